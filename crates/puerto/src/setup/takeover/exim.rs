//! Exim as Debian configures it: `update-exim4.conf.conf` and `passwd.client`; elsewhere,
//! and where Debian's administrator wrote one, what the file of its own says plainly.

use std::collections::HashMap;

use super::{
    Credentials, Inherited, add_networks, local_domain, name_others, next_hop, own_name, text_of,
};
use crate::config::{Known, Mailbox, Who};
use crate::lang::{Said, Text};
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

const NO_PASSWORD: Text = Text::new(
    "no line of {file} is for {host}, so that no user and password are taken over: if the relay \
     wants a login, write them into relayhost_user and relayhost_password_file",
    "ninguna línea de {file} es para {host}, así que no se heredan usuario y contraseña: si el \
     relay los exige, escríbalos en relayhost_user y relayhost_password_file",
);
const RELAYED: Text = Text::new(
    "Exim's dc_relay_domains = {value} is not taken over: this server takes no mail from strangers \
     for domains of other servers",
    "dc_relay_domains = {value} de Exim no se hereda: este servidor no acepta de desconocidos \
     correo para dominios de otros servidores",
);
const LOCAL: Text = Text::new(
    "Exim was told that no mail may leave this machine (dc_eximconfig_configtype = {value}), and \
     with this server it does: do not go on if that is not wanted",
    "A Exim se le dijo que de esta máquina no sale correo (dc_eximconfig_configtype = {value}), y \
     con este servidor sale: no siga si no es lo que quiere",
);
const NAMES: Text = Text::new(
    "Exim's dc_other_hostnames names {value}, which is not taken over: write the domains that it stands \
     for into `domains`",
    "dc_other_hostnames de Exim nombra {value}, que no se hereda: escriba en `domains` los dominios que \
     representa",
);
const HUB: Text = Text::new(
    "Exim sends mail for users of this machine on to user@{value} (satellite), which is not taken over: \
     write a line for each into the aliases file, as in `root: root@{value}`",
    "Exim reenvía el correo para usuarios de esta máquina a usuario@{value} (satellite), lo que no se \
     hereda: escriba en el fichero de alias una línea por cada uno, como `root: root@{value}`",
);
const ADDRESS: Text = Text::new(
    "the line `{line}` of {file} is not taken over: write it into sender.map",
    "la línea `{line}` de {file} no se hereda: escríbala en sender.map",
);

/// Users of the machine and the addresses by which others know them.
const ADDRESSES: &str = "/etc/email-addresses";

/// Settings of Debian's file that are taken over, or mean nothing elsewhere.
const READ: [&str; 14] = [
    "dc_eximconfig_configtype",
    "dc_other_hostnames",
    "dc_local_interfaces",
    "dc_readhost",
    "dc_relay_domains",
    "dc_minimaldns",
    "dc_relay_nets",
    "dc_smarthost",
    "CFILEMODE",
    "dc_use_split_config",
    "dc_hide_mailname",
    "dc_mailname_in_oh",
    "dc_localdelivery",
    "ue4c_keepcomments",
];

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
    let names = list(get("dc_other_hostnames").unwrap_or_default());
    for item in names.flat_map(|item| item.split(':')).filter(|item| !item.is_empty()) {
        match local_domain(item).filter(|_| !item.contains('*')) {
            Some(domain) if !found.domains.contains(&domain) => found.domains.push(domain),
            // A bare name is the machine's own.
            None if item.contains(['*', '/', '$', '!']) => {
                found.left.push(Said::with(NAMES, &[("value", item)]));
            }
            _ => {}
        }
    }
    let mail_name = text_of(root, "/etc/mailname", &mut found).unwrap_or_default();
    let mail_name = mail_name.trim();
    if get("dc_mailname_in_oh") == Some("true") {
        let domain = local_domain(mail_name).filter(|name| !found.domains.contains(name));
        found.domains.splice(0..0, domain);
    }
    let macros = macros(root);
    let name = "MAIN_HARDCODE_PRIMARY_HOSTNAME";
    found.hostname_of("Exim", name, macros.get(name).map(String::as_str));
    keys(root, &macros, &mut found);
    if get("dc_eximconfig_configtype") == Some("satellite") {
        found.nothing_local = found.domains.is_empty();
        if let Some(value) = get("dc_readhost") {
            found.left.push(Said::with(HUB, &[("value", value)]));
        }
    }
    match get("dc_eximconfig_configtype") {
        Some("smarthost" | "satellite") => {
            let protocol = macros.get("REMOTE_SMTP_SMARTHOST_PROTOCOL");
            let implicit_tls = protocol.is_some_and(|protocol| protocol == "smtps");
            smarthost(root, get("dc_smarthost").unwrap_or_default(), implicit_tls, &mut found);
        }
        Some(value @ ("local" | "none")) => {
            found.left.push(Said::with(LOCAL, &[("value", value)]));
        }
        _ => {}
    }
    let visible = get("dc_readhost").filter(|_| get("dc_hide_mailname") == Some("true"));
    senders(root, mail_name, visible, &mut found);
    if let Some(value) = get("dc_relay_domains") {
        found.left.push(Said::with(RELAYED, &[("value", value)]));
    }
    let others = settings.keys().map(String::as_str).filter(|name| !READ.contains(name));
    let own = macros.keys().map(String::as_str);
    let own = own.filter(|name| !name.starts_with("DKIM_") && !name.starts_with("MAIN_TLS_"));
    let read = ["REMOTE_SMTP_SMARTHOST_PROTOCOL", "MAIN_HARDCODE_PRIMARY_HOSTNAME"];
    let own = own.filter(|name| !read.contains(name));
    name_others(others.chain(own).collect(), &mut found);
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

/// Who writes as user@{its name} is known by a line of a file, or at the name that is to
/// be seen; Exim completes bare names with that of `/etc/mailname`.
fn senders(root: &Root, mail_name: &str, visible: Option<&str>, found: &mut Inherited) {
    match visible {
        Some(name) => found.origin_of("Exim", "dc_readhost", name),
        None if !mail_name.is_empty() => found.origin_of("Exim", "/etc/mailname", mail_name),
        None => {}
    }
    let text = text_of(root, ADDRESSES, found).unwrap_or_default();
    for line in text.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with('#')) {
        let row = line.split_once(':').and_then(|(user, address)| {
            let who = Who::parse(user.trim()).ok()?;
            Some((who, Known::parse(address.trim()).ok()?))
        });
        match row {
            Some(row) => found.sender.map.push(row),
            None => {
                let values = [("line", line), ("file", ADDRESSES)];
                found.left.push(Said::with(ADDRESS, &values));
            }
        }
    }
    let Some(seen) = found.origin.clone().filter(|_| visible.is_some()) else { return };
    let own = found.domains.iter().cloned().chain(own_name(mail_name));
    let mut hidden: Vec<_> = own.filter(|domain| *domain != seen).collect();
    hidden.dedup();
    let entries = hidden.into_iter().map(|own| (Who::Domain(own), Known::Domain(seen.clone())));
    found.sender.map.extend(entries);
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
    let name = Some(get("primary_hostname")).filter(|name| !name.is_empty());
    found.hostname_of("Exim", "primary_hostname", name);
    let domains = get("local_domains").split(':').map(str::trim);
    for item in domains {
        let name = if item == "@" { get("primary_hostname") } else { item };
        let domain = local_domain(name).filter(|domain| !found.domains.contains(domain));
        found.domains.extend(domain);
    }
    let qualifies = get("qualify_domain");
    if !qualifies.is_empty() {
        found.origin_of("Exim", "qualify_domain", qualifies);
    }
    // A doubled colon is one of an IPv6 address.
    let networks = get("relay_from_hosts").replace("::::", "\u{0}").replace(" ; ", " : ");
    let networks = networks.split(':').map(|item| item.trim().replace('\u{0}', "::"));
    let networks: Vec<String> = networks.filter(|item| item.contains(['.', ':'])).collect();
    if !get("relay_from_hosts").starts_with('<') {
        add_networks("relay_from_hosts", networks.iter().map(String::as_str), &mut found);
    }
    if let Some(hop) = only_route(&text) {
        // A `protocol` stands at a transport, and only one can belong to the only route.
        let implicit_tls = text.lines().any(|line| {
            line.split_once('=').is_some_and(|(name, value)| {
                name.trim() == "protocol" && value.trim().eq_ignore_ascii_case("smtps")
            })
        });
        next_hop("route_list", &hop, implicit_tls, &mut found);
    }
    found.left.push(Said::with(OWN, &[("file", file)]));
    found
}

/// `route_list = * HOST::PORT byname`, where it is the only one and says it plainly.
fn only_route(text: &str) -> Option<String> {
    let lines = text.lines().filter_map(|line| line.split_once('='));
    let mut routes = lines.filter(|(name, _)| matches!(name.trim(), "route_list" | "route_data"));
    let ((name, value), None) = (routes.next()?, routes.next()) else { return None };
    let mut words = value.trim().trim_matches('"').split_whitespace();
    if name.trim() == "route_list" && words.next() != Some("*") {
        return None;
    }
    let host = words.next().filter(|host| !host.contains(['$', '{', ';', '/']))?;
    Some(match host.split_once("::") {
        Some((host, port)) => format!("[{host}]:{port}"),
        None => format!("[{host}]"),
    })
}

// `host::port`, several of them separated by semicolons; a single colon separates,
// too. Exim looks the addresses of a smarthost up, never its MX.
fn smarthost(root: &Root, written: &str, implicit_tls: bool, found: &mut Inherited) {
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
    next_hop("dc_smarthost", &hop, implicit_tls, found);
    if hosts.next().is_some() {
        found.left.push(Said::with(SEVERAL, &[("first", &hop)]));
    }
    let Some(table) = text_of(root, PASSWORDS, found) else { return };
    let mut lines = table.lines().map(str::trim);
    let mut is_filled = false;
    found.login = lines.find_map(|line| {
        let mut parts = line.splitn(3, ':').map(str::trim);
        let (pattern, user, password) = (parts.next()?, parts.next()?, parts.next()?);
        if pattern.starts_with('#') {
            return None;
        }
        is_filled = true;
        let user_and_password = || Credentials { user: user.into(), password: password.into() };
        fits(pattern, host).then(user_and_password)
    });
    if found.login.is_none() && is_filled {
        found.left.push(Said::with(NO_PASSWORD, &[("file", PASSWORDS), ("host", host)]));
    }
}

/// The macros of Debian's configuration: those that its own files set for DKIM, and all
/// that the administrator set.
fn macros(root: &Root) -> HashMap<String, String> {
    let folder = root.at("/etc/exim4/conf.d/main");
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut files: Vec<String> = entries
        .filter_map(|entry| entry.file_name().into_string().ok())
        .map(|name| format!("/etc/exim4/conf.d/main/{name}"))
        .collect();
    files.sort();
    let mut macros = HashMap::new();
    for file in files {
        let text = root.read(&file).ok().flatten().unwrap_or_default();
        let ours = |name: &str| name.starts_with("DKIM_") || name.ends_with("SMARTHOST_PROTOCOL");
        macros.extend(parse(&text).into_iter().filter(|(name, _)| ours(name)));
    }
    let text = root.read("/etc/exim4/exim4.conf.localmacros").ok().flatten().unwrap_or_default();
    macros.extend(parse(&text));
    macros
}

// What the macros say of signing, where they say it as it is: what is made of other names
// at each message is beyond us.
fn keys(root: &Root, macros: &HashMap<String, String>, found: &mut Inherited) {
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
    text.split([';', ',', ' ']).map(str::trim).filter(|item| !matches!(*item, "" | ":"))
}

// Lines as a shell reads them: NAME='value'.
fn parse(text: &str) -> HashMap<String, String> {
    let lines = text.lines().map(str::trim).filter(|line| !line.starts_with('#'));
    let pairs = lines.filter_map(|line| line.split_once('='));
    let bare = |value: &str| value.trim().trim_matches(['\'', '"']).to_owned();
    pairs.map(|(name, value)| (name.trim().to_owned(), bare(value))).collect()
}
