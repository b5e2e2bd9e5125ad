//! Exim as Debian configures it: `update-exim4.conf.conf` and `passwd.client`; elsewhere,
//! and where Debian's administrator wrote one, what the file of its own says plainly.

use std::collections::HashMap;

use super::{Credentials, Inherited, add_networks, local_domain, next_hop, text_of};
use crate::config::Mailbox;
use crate::lang::{Said, Text};
use crate::setup::host_name;
use crate::setup::others::{EXIM, EXIM_ELSEWHERE, Service};
use crate::setup::root::Root;

/// Files of Exim's own, which make Debian's void; each with the service that reads it.
const OWN_FILES: [(&str, Service); 3] = [
    ("/etc/exim4/exim4.conf", EXIM),
    ("/etc/exim/exim.conf", EXIM_ELSEWHERE),
    ("/etc/exim.conf", EXIM_ELSEWHERE),
];
const FILE: &str = "/etc/exim4/update-exim4.conf.conf";
const PASSWORDS: &str = "/etc/exim4/passwd.client";

const OWN: Text = Text::new(
    "Exim's own {file} is there: routers and transports in it are not taken over. If it sends \
     through another server, set `relayhost`",
    "Exim tiene un {file} propio: sus routers y transports no se heredan. Si envía por otro \
     servidor, ponga `relayhost`",
);
const KEYS: Text = Text::new(
    "Exim signs with {key}, and for whom is worked out for each message: copy its keys to \
     /etc/puerto/dkim/DOMAIN/SELECTOR.pem",
    "Exim firma con {key}, y para quién lo calcula en cada mensaje: copie sus claves a \
     /etc/puerto/dkim/DOMINIO/SELECTOR.pem",
);
const SEVERAL: Text = Text::new(
    "Exim's dc_smarthost names several relays: the first, {first}, is taken over",
    "dc_smarthost de Exim nombra varios relays: se hereda el primero, {first}",
);

/// Reads Exim's configuration, if there is one.
pub(super) fn read(root: &Root) -> Option<Inherited> {
    if let Some((file, service)) = OWN_FILES.into_iter().find(|(file, _)| root.has(file)) {
        return Some(read_own(root, file, service));
    }
    if !root.has(FILE) {
        return None;
    }
    let mut found = Inherited::of("Exim");
    found.service = Some(EXIM);
    let text = text_of(root, FILE, &mut found).unwrap_or_default();
    let settings = parse(&text);
    let get = |name: &str| settings.get(name).map(String::as_str).filter(|v| !v.is_empty());
    for item in list(get("dc_other_hostnames").unwrap_or_default()) {
        found.domains.extend(local_domain(item).filter(|domain| !found.domains.contains(domain)));
    }
    if get("dc_mailname_in_oh") == Some("true") {
        let name = text_of(root, "/etc/mailname", &mut found).unwrap_or_default();
        let domain = local_domain(name.trim()).filter(|name| !found.domains.contains(name));
        found.domains.splice(0..0, domain);
    }
    keys(root, &mut found);
    if matches!(get("dc_eximconfig_configtype"), Some("smarthost" | "satellite")) {
        smarthost(root, get("dc_smarthost").unwrap_or_default(), &mut found);
    }
    add_networks("dc_relay_nets", list(get("dc_relay_nets").unwrap_or_default()), &mut found);
    if get("dc_localdelivery").is_some_and(|kind| kind.contains("maildir")) {
        found.mailbox = Some(Mailbox::Maildir);
    }
    let interfaces = get("dc_local_interfaces").unwrap_or_default();
    let mut local = list(interfaces).filter(|item| !item.is_empty()).peekable();
    let loopback = |item: &str| item.starts_with("127.") || item == "::1" || item == "[::1]";
    if local.peek().is_some() && local.all(loopback) {
        found.listen = Some(super::loopback());
    }
    Some(found)
}

/// What Exim's own file says in lines that mean one thing alone. Routers and transports
/// are a program, of which nothing is taken.
fn read_own(root: &Root, file: &str, service: Service) -> Inherited {
    let mut found = Inherited::of("Exim");
    found.service = Some(service);
    let text = text_of(root, file, &mut found).unwrap_or_default();
    // `domainlist local_domains`, `hostlist relay_from_hosts`: the last word is the name.
    let settings: HashMap<String, String> = parse(&text)
        .into_iter()
        .filter_map(|(name, value)| Some((name.split_whitespace().last()?.to_owned(), value)))
        .collect();
    let get = |name: &str| settings.get(name).map(String::as_str).unwrap_or_default();
    found.hostname =
        Some(get("primary_hostname")).filter(|name| host_name(name).is_some()).map(Into::into);
    let domains = get("local_domains").split(':').map(str::trim);
    for item in domains {
        let name = if item == "@" { found.hostname.as_deref().unwrap_or_default() } else { item };
        let domain = local_domain(name).filter(|domain| !found.domains.contains(domain));
        found.domains.extend(domain);
    }
    // A doubled colon is one of an IPv6 address.
    let networks = get("relay_from_hosts").replace("::::", "\u{0}").replace(" ; ", " : ");
    let networks = networks.split(':').map(|item| item.trim().replace('\u{0}', "::"));
    let networks: Vec<String> = networks.filter(|item| item.contains(['.', ':'])).collect();
    if !get("relay_from_hosts").starts_with('<') {
        add_networks("relay_from_hosts", networks.iter().map(String::as_str), &mut found);
    }
    found.left.push(Said::with(OWN, &[("file", file)]));
    found
}

// `host::port`, several of them separated by semicolons; a single colon separates,
// too. Exim looks the addresses of a smarthost up, never its MX.
fn smarthost(root: &Root, written: &str, found: &mut Inherited) {
    let doubled = written.replace("::", "\u{0}");
    let mut hosts = doubled.split([';', ':']).map(str::trim).filter(|host| !host.is_empty());
    let Some(first) = hosts.next() else { return };
    let (host, port) = match first.split_once('\u{0}') {
        Some((host, port)) => (host, Some(port)),
        None => (first, None),
    };
    let hop = match port {
        Some(port) => format!("[{host}]:{port}"),
        None => format!("[{host}]"),
    };
    next_hop("dc_smarthost", &hop, found);
    if hosts.next().is_some() {
        found.left.push(Said::with(SEVERAL, &[("first", &hop)]));
    }
    let Some(table) = text_of(root, PASSWORDS, found) else { return };
    found.login = table.lines().find_map(|line| {
        let mut parts = line.trim().splitn(3, ':');
        let (pattern, user, password) = (parts.next()?, parts.next()?, parts.next()?);
        let comment = pattern.starts_with('#');
        let user_and_password = || Credentials { user: user.into(), password: password.into() };
        (!comment && fits(pattern, host)).then(user_and_password)
    });
}

// What the macros of Debian's configuration say, where they say it as it is: what is
// made of other names at each message is beyond us.
fn keys(root: &Root, found: &mut Inherited) {
    let mut macros = HashMap::new();
    let folder = root.at("/etc/exim4/conf.d/main");
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut files: Vec<String> = entries
        .filter_map(|entry| entry.file_name().into_string().ok())
        .map(|name| format!("/etc/exim4/conf.d/main/{name}"))
        .collect();
    files.sort();
    files.push("/etc/exim4/exim4.conf.localmacros".to_owned());
    for file in files {
        let text = root.read(&file).ok().flatten().unwrap_or_default();
        macros.extend(parse(&text).into_iter().filter(|(name, _)| name.starts_with("DKIM_")));
    }
    let get = |name: &str| macros.get(name).map(String::as_str).filter(|v| !v.is_empty());
    let key = get("DKIM_PRIVATE_KEY").or_else(|| get("DKIM_FILE"));
    let Some(key) = key.filter(|key| *key != "0") else { return };
    match (get("DKIM_DOMAIN"), get("DKIM_SELECTOR")) {
        (Some(domain), Some(selector))
            if ![domain, selector, key].concat().contains(['$', ':', '{']) =>
        {
            super::opendkim::add(root, domain, selector, key, found);
        }
        _ => found.left.push(Said::with(KEYS, &[("key", key)])),
    }
}

// A host name, or `*` and its end.
fn fits(pattern: &str, host: &str) -> bool {
    match pattern.strip_prefix('*') {
        Some(end) => host.to_lowercase().ends_with(&end.to_lowercase()),
        None => pattern.eq_ignore_ascii_case(host),
    }
}

fn list(text: &str) -> impl Iterator<Item = &str> {
    text.split([';', ',', ' ']).map(str::trim).filter(|item| !item.is_empty())
}

// Lines as a shell reads them: NAME='value'.
fn parse(text: &str) -> HashMap<String, String> {
    let lines = text.lines().map(str::trim).filter(|line| !line.starts_with('#'));
    let pairs = lines.filter_map(|line| line.split_once('='));
    let bare = |value: &str| value.trim().trim_matches(['\'', '"']).to_owned();
    pairs.map(|(name, value)| (name.trim().to_owned(), bare(value))).collect()
}
