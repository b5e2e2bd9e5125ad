//! Exim as Debian configures it: `update-exim4.conf.conf` and `passwd.client`; elsewhere,
//! and where Debian's administrator wrote one, what the file of its own says plainly.

use std::collections::HashMap;

use super::{
    Credentials, Inherited, RELAYED, SEVERAL, assignments, has_word, lines, local_domain, own_name,
    server, set,
};
use crate::config::{Known, Mailbox, Who};
use crate::lang::{Text, said};
use crate::setup::others::{EXIM, EXIM_ELSEWHERE, Service};
use crate::setup::root::Root;

/// Files of Exim's own, which make Debian's void; each with the service that reads it.
const OWN_FILES: [(&str, Service); 3] = [
    ("/etc/exim4/exim4.conf", EXIM),
    ("/etc/exim/exim.conf", EXIM_ELSEWHERE),
    ("/etc/exim.conf", EXIM_ELSEWHERE),
];
const PASSWORDS: &str = "/etc/exim4/passwd.client";

const OWN: Text = Text::new(
    "Exim's own {value} is there: routers and transports in it are not taken over. If it sends \
     through another server, set `relayhost`",
    "Exim tiene un {value} propio: sus routers y transports no se heredan. Si envía por otro \
     servidor, ponga `relayhost`",
);
const KEYS: Text = Text::new(
    "Exim signs with {value}, and for whom is worked out for each message: copy its keys to \
     /etc/puerto/dkim/DOMAIN/SELECTOR.pem",
    "Exim firma con {value}, y para quién lo calcula en cada mensaje: copie sus claves a \
     /etc/puerto/dkim/DOMINIO/SELECTOR.pem",
);
const LOCAL: Text = Text::new(
    "Exim was told that no mail may leave this machine ({key} = {value}), and with this server it \
     does: do not go on if that is not wanted",
    "A Exim se le dijo que de esta máquina no sale correo ({key} = {value}), y con este servidor \
     sale: no siga si no es lo que quiere",
);
const NAMES: Text = Text::new(
    "Exim's {key} names {value}, which is not taken over: write the domains that it stands for into \
     `domains`",
    "{key} de Exim nombra {value}, que no se hereda: escriba en `domains` los dominios que representa",
);
const HUB: Text = Text::new(
    "Exim sends mail for users of this machine on to user@{value} (satellite), which is not taken over: \
     write a line for each into the aliases file, as in `root: root@{value}`",
    "Exim reenvía el correo para usuarios de esta máquina a usuario@{value} (satellite), lo que no se \
     hereda: escriba en el fichero de alias una línea por cada uno, como `root: root@{value}`",
);
const ADDRESS: Text = Text::new(
    "the line `{value}` of {key} is not taken over: write it into sender.map",
    "la línea `{value}` de {key} no se hereda: escríbala en sender.map",
);

/// Users of the machine and the addresses by which others know them.
const ADDRESSES: &str = "/etc/email-addresses";

/// Settings of Debian's file, and macros, that are taken over or mean nothing elsewhere.
const READ: &str = "dc_eximconfig_configtype dc_other_hostnames dc_local_interfaces dc_readhost \
    dc_relay_domains dc_minimaldns dc_relay_nets dc_smarthost CFILEMODE dc_use_split_config \
    dc_hide_mailname dc_mailname_in_oh dc_localdelivery ue4c_keepcomments \
    REMOTE_SMTP_SMARTHOST_PROTOCOL MAIN_HARDCODE_PRIMARY_HOSTNAME";

/// Reads Exim's configuration, if there is one.
pub(super) fn read(root: &Root) -> Option<Inherited> {
    if let Some((file, service)) = OWN_FILES.into_iter().find(|(file, _)| root.has(file)) {
        return read_own(root, file, service);
    }
    let (mut found, text) = Inherited::of("Exim", root, "/etc/exim4/update-exim4.conf.conf")?;
    found.service = Some(EXIM);
    let settings = assignments(&text);
    let get = |name: &str| set(&settings, name);
    for item in list(get("dc_other_hostnames")).flat_map(|item| item.split(':')) {
        match local_domain(item).filter(|_| !item.contains('*')) {
            // A bare name is the machine's own.
            None if item.contains(['*', '/', '$', '!']) => {
                found.note(NAMES, "dc_other_hostnames", item);
            }
            domain => found.add_domain(domain),
        }
    }
    let mail_name = found.text_of(root, "/etc/mailname").unwrap_or_default();
    let mail_name = mail_name.trim();
    if get("dc_mailname_in_oh") == Some("true") {
        let domain = local_domain(mail_name).filter(|name| !found.domains.contains(name));
        found.domains.splice(0..0, domain);
    }
    let macros = macros(root);
    let name = "MAIN_HARDCODE_PRIMARY_HOSTNAME";
    found.hostname_of(name, macros.get(name).map(String::as_str));
    keys(root, &macros, &mut found);
    const KIND: &str = "dc_eximconfig_configtype";
    if get(KIND) == Some("satellite") {
        found.nothing_local = found.domains.is_empty();
        if let Some(value) = get("dc_readhost") {
            found.note(HUB, "dc_readhost", value);
        }
    }
    match get(KIND) {
        Some("smarthost" | "satellite") => {
            let protocol = macros.get("REMOTE_SMTP_SMARTHOST_PROTOCOL");
            let implicit_tls = protocol.is_some_and(|protocol| protocol == "smtps");
            smarthost(root, get("dc_smarthost").unwrap_or_default(), implicit_tls, &mut found);
        }
        Some(value @ ("local" | "none")) => found.note(LOCAL, KIND, value),
        _ => {}
    }
    let visible = get("dc_readhost").filter(|_| get("dc_hide_mailname") == Some("true"));
    senders(root, mail_name, visible, &mut found);
    if let Some(value) = get("dc_relay_domains") {
        found.note(RELAYED, "dc_relay_domains", value);
    }
    let own =
        macros.keys().filter(|name| !name.starts_with("DKIM_") && !name.starts_with("MAIN_TLS_"));
    found.name_others(settings.keys().chain(own).map(String::as_str), READ);
    found.add_networks(root, "dc_relay_nets", list(get("dc_relay_nets")));
    if get("dc_localdelivery").is_some_and(|kind| kind.contains("maildir")) {
        found.mailbox = Some(Mailbox::Maildir);
    }
    let mut interfaces = list(get("dc_local_interfaces")).peekable();
    let loopback = |item: &str| item.starts_with("127.") || has_word("::1 [::1]", item);
    if interfaces.peek().is_some() && interfaces.all(loopback) {
        found.listen = Some(super::loopback());
    }
    Some(found)
}

/// Who writes as user@{its name} is known by a line of a file, or at the name that is to
/// be seen; Exim completes bare names with that of `/etc/mailname`.
fn senders(root: &Root, mail_name: &str, visible: Option<&str>, found: &mut Inherited) {
    match visible {
        Some(name) => found.origin_of("dc_readhost", name),
        None if !mail_name.is_empty() => found.origin_of("/etc/mailname", mail_name),
        None => {}
    }
    let text = found.text_of(root, ADDRESSES).unwrap_or_default();
    for line in lines(&text) {
        let row = line.split_once(':').and_then(|(user, address)| {
            let who = Who::parse(user.trim()).ok()?;
            Some((who, Known::parse(address.trim()).ok()?))
        });
        match row {
            Some((who, known)) => found.add_sender(who, known),
            None => found.note(ADDRESS, ADDRESSES, line),
        }
    }
    let Some(seen) = found.origin.clone().filter(|_| visible.is_some()) else { return };
    let own: Vec<_> = found.domains.iter().cloned().chain(own_name(mail_name)).collect();
    for own in own.into_iter().filter(|domain| *domain != seen) {
        found.add_sender(Who::Domain(own), Known::Domain(seen.clone()));
    }
}

/// What Exim's own file says in lines that mean one thing alone. Routers and transports
/// are a program, of which nothing is taken.
fn read_own(root: &Root, file: &str, service: Service) -> Option<Inherited> {
    let (mut found, text) = Inherited::of("Exim", root, file)?;
    found.service = Some(service);
    // `domainlist local_domains`, `hostlist relay_from_hosts`: the last word is the name.
    let settings: HashMap<String, String> = assignments(&text)
        .into_iter()
        .filter_map(|(name, value)| Some((name.split_whitespace().last()?.to_owned(), value)))
        .collect();
    let get = |name: &str| set(&settings, name).unwrap_or_default();
    found.hostname_of("primary_hostname", set(&settings, "primary_hostname"));
    for item in get("local_domains").split(':').map(str::trim) {
        let name = if item == "@" { get("primary_hostname") } else { item };
        found.add_domain(local_domain(name));
    }
    if let Some(qualifies) = set(&settings, "qualify_domain") {
        found.origin_of("qualify_domain", qualifies);
    }
    // A name with `+` is another list's.
    let is_of_hosts = |item: &String| item.contains(['.', ':']) || item.starts_with(['/', '!']);
    // A doubled colon is one of an IPv6 address.
    let networks = get("relay_from_hosts").replace("::::", "\u{0}").replace(" ; ", " : ");
    let networks = networks.split(':').map(|item| item.trim().replace('\u{0}', "::"));
    let networks: Vec<String> = networks.filter(is_of_hosts).collect();
    if !get("relay_from_hosts").starts_with('<') {
        found.add_networks(root, "relay_from_hosts", networks.iter().map(String::as_str));
    }
    if let Some(hop) = only_route(&text) {
        // A `protocol` stands at a transport, and only one can belong to the only route.
        let implicit_tls = text.lines().any(|line| {
            line.split_once('=').is_some_and(|(name, value)| {
                name.trim() == "protocol" && value.trim().eq_ignore_ascii_case("smtps")
            })
        });
        found.relay("route_list", &hop, implicit_tls);
    }
    found.note(OWN, "", file);
    Some(found)
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
    Some(hop(host, "::").1)
}

// `host::port`, several of them separated by semicolons; a single colon separates,
// too. Exim looks the addresses of a smarthost up, never its MX.
fn smarthost(root: &Root, written: &str, implicit_tls: bool, found: &mut Inherited) {
    let doubled = written.replace("::", "\u{0}");
    let mut hosts = doubled.split([';', ':']).map(str::trim).filter(|host| !host.is_empty());
    let Some(first) = hosts.next() else { return };
    let (host, hop) = hop(first, "\u{0}");
    found.relay("dc_smarthost", &hop, implicit_tls);
    if hosts.next().is_some() {
        found.note(SEVERAL, "dc_smarthost", written);
    }
    let Some(table) = found.text_of(root, PASSWORDS) else { return };
    let rows = lines(&table).filter_map(|line| {
        let mut parts = line.splitn(3, ':').map(str::trim);
        Some((parts.next()?, parts.next()?, parts.next()?))
    });
    let rows: Vec<_> = rows.collect();
    let of_the_host = rows.iter().find(|(pattern, ..)| fits(pattern, host));
    found.login = of_the_host.map(|(_, user, password)| Credentials::of(user, password));
    if found.login.is_none() && !rows.is_empty() {
        found.left.push(said!(
            "no line of {file} is for {host}, so that no user and password are taken over: if the \
             relay wants a login, write them into relayhost_user and relayhost_password_file",
            "ninguna línea de {file} es para {host}, así que no se heredan usuario y contraseña: si \
             el relay los exige, escríbalos en relayhost_user y relayhost_password_file";
            file = PASSWORDS, host = host
        ));
    }
}

// A host and the hop that it is, with the port behind a separator.
fn hop<'a>(written: &'a str, separator: &str) -> (&'a str, String) {
    match written.split_once(separator) {
        Some((host, port)) => (host, server(host, Some(port))),
        None => (written, server(written, None)),
    }
}

/// The macros of Debian's configuration: those that its own files set for DKIM, and all
/// that the administrator set.
fn macros(root: &Root) -> HashMap<String, String> {
    let mut macros = HashMap::new();
    for file in root.names("/etc/exim4/conf.d/main") {
        let text = root.read(format!("/etc/exim4/conf.d/main/{file}")).ok().flatten();
        let text = text.unwrap_or_default();
        let ours = |name: &str| name.starts_with("DKIM_") || name.ends_with("SMARTHOST_PROTOCOL");
        macros.extend(assignments(&text).into_iter().filter(|(name, _)| ours(name)));
    }
    let text = root.read("/etc/exim4/exim4.conf.localmacros").ok().flatten().unwrap_or_default();
    macros.extend(assignments(&text));
    macros
}

// What the macros say of signing, where they say it as it is: what is made of other names
// at each message is beyond us.
fn keys(root: &Root, macros: &HashMap<String, String>, found: &mut Inherited) {
    let get = |name: &str| set(macros, name);
    let key = get("DKIM_PRIVATE_KEY").or_else(|| get("DKIM_FILE"));
    let Some(key) = key.filter(|key| *key != "0") else { return };
    match (get("DKIM_DOMAIN"), get("DKIM_SELECTOR")) {
        (Some(domain), Some(selector))
            if ![domain, selector, key].concat().contains(['$', ':', '{']) =>
        {
            super::opendkim::add(root, domain, selector, key, found);
        }
        _ => found.note(KEYS, "", key),
    }
}

// A host name, or `*` and its end.
fn fits(pattern: &str, host: &str) -> bool {
    match pattern.strip_prefix('*') {
        Some(end) => host.to_lowercase().ends_with(&end.to_lowercase()),
        None => pattern.eq_ignore_ascii_case(host),
    }
}

fn list(text: Option<&str>) -> impl Iterator<Item = &str> {
    let items = text.unwrap_or_default().split([';', ',', ' ']).map(str::trim);
    items.filter(|item| !matches!(*item, "" | ":"))
}
