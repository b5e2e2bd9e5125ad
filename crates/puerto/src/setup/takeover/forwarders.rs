//! Programs that only hand mail on to another server: nullmailer, sSMTP and dma. And
//! mail servers whose configuration nobody here reads, which are named.

use std::collections::HashMap;

use super::{Credentials, FINGERPRINT, Inherited, NO_SENDER, ONE_SENDER, lines, server, set};
use crate::config::{Known, Who};
use crate::lang::Text;
use crate::setup::others::NULLMAILER;
use crate::setup::root::Root;

const READER: Text = Text::new(
    "{program} sends mail for users of this machine to {value} ({key}), which is not taken over: write \
     `root: {value}` into the aliases file",
    "{program} envía a {value} el correo para usuarios de esta máquina ({key}), lo que no se hereda: \
     escriba `root: {value}` en el fichero de alias",
);
const SEVERAL: Text = Text::new(
    "{program} names several servers: the first is taken over, not `{value}`",
    "{program} nombra varios servidores: se hereda el primero, no `{value}`",
);
const UNREAD: Text = Text::new(
    "{program} is configured here ({value}), and nothing of it is taken over: see in it which relayhost, \
     domains and networks this server needs",
    "{program} está configurado aquí ({value}) y no se hereda nada de él: vea ahí qué relayhost, \
     dominios y redes necesita este servidor",
);

/// Files by which mail servers are known whose configuration is not read.
const UNREAD_FILES: [(&str, &str); 9] = [
    ("Sendmail", "/etc/mail/sendmail.mc"),
    ("Sendmail", "/etc/mail/sendmail.cf"),
    ("OpenSMTPD", "/etc/smtpd.conf"),
    ("OpenSMTPD", "/etc/mail/smtpd.conf"),
    ("OpenSMTPD", "/etc/opensmtpd/smtpd.conf"),
    ("esmtp", "/etc/esmtprc"),
    ("masqmail", "/etc/masqmail/masqmail.conf"),
    ("Courier", "/etc/courier/me"),
    ("qmail", "/var/qmail/control/me"),
];

/// Names a mail server whose configuration is not read.
pub(super) fn unread(root: &Root) -> Option<Inherited> {
    let (program, file) = UNREAD_FILES.into_iter().find(|(_, file)| root.has(file))?;
    let mut found = Inherited { program, files: vec![file.into()], ..Inherited::default() };
    found.note(UNREAD, "", file);
    Some(found)
}

/// Reads nullmailer's folder, each file of which is one setting.
pub(super) fn nullmailer(root: &Root) -> Option<Inherited> {
    let (mut found, remotes) = Inherited::of("nullmailer", root, "/etc/nullmailer/remotes")?;
    found.service = Some(NULLMAILER);
    let [me, host, domain, from, admin, helo] =
        ["me", "defaulthost", "defaultdomain", "allmailfrom", "adminaddr", "helohost"].map(
            |name| {
                let text = found.text_of(root, &format!("/etc/nullmailer/{name}"));
                text.unwrap_or_default().trim().to_owned()
            },
        );
    let mail_name = root.read("/etc/mailname").ok().flatten().unwrap_or_default();
    let first =
        |names: [&str; 3]| names.into_iter().find(|name| !name.is_empty()).map(str::to_owned);
    found.hostname_of("me", first([&helo, &me, ""]).as_deref());
    if let Some(mut name) = first([&host, &me, mail_name.trim()]) {
        if !name.contains('.') && !domain.is_empty() {
            name = format!("{name}.{domain}");
        }
        found.origin_of("defaulthost", &name);
    }
    if !from.is_empty() {
        found.always(Some(ONE_SENDER), "allmailfrom", &from);
    }
    if !admin.is_empty() {
        found.note(READER, "adminaddr", &admin);
    }
    for (number, line) in lines(&remotes).enumerate() {
        match number {
            0 => remote(line, &mut found),
            // Without the password that may stand in it.
            _ => found.note(SEVERAL, "", line.split_whitespace().next().unwrap_or_default()),
        }
    }
    Some(found)
}

// `HOST [PROTOCOL] [--OPTION[=VALUE]]…`
fn remote(line: &str, found: &mut Inherited) {
    let mut words = line.split_whitespace();
    let host = words.next().unwrap_or_default();
    let mut options: HashMap<&str, &str> = HashMap::new();
    while let Some(word) = words.next() {
        let Some(option) = word.strip_prefix('-') else { continue };
        let option = option.strip_prefix('-').unwrap_or(option);
        let (name, value) = match option.split_once('=') {
            Some(pair) => pair,
            None if matches!(option, "p" | "port") => (option, words.next().unwrap_or_default()),
            None => (option, ""),
        };
        options.insert(name, value.trim_matches(['\'', '"']));
    }
    let get = |name: &str| options.get(name).copied();
    let hop = server(host, get("port").or_else(|| get("p")));
    found.relay("remotes", &hop, get("ssl").is_some() || get("tls").is_some());
    found.login = get("user").zip(get("pass")).map(|(user, pass)| Credentials::of(user, pass));
    found.authorities(get("x509cafile"));
    let read = "port p ssl tls starttls user pass auth-login insecure x509cafile x509crlfile";
    found.name_others(options.keys().copied(), read);
}

/// Reads sSMTP's configuration.
pub(super) fn ssmtp(root: &Root) -> Option<Inherited> {
    let (mut found, text) = Inherited::of("sSMTP", root, "/etc/ssmtp/ssmtp.conf")?;
    let settings: HashMap<String, String> = lines(&text)
        .filter_map(|line| line.split_once('='))
        .map(|(name, value)| (name.trim().to_lowercase(), value.trim().to_owned()))
        .collect();
    let get = |name: &str| set(&settings, name);
    let yes = |name: &str| get(name).is_some_and(|value| value.eq_ignore_ascii_case("yes"));
    found.hostname_of("hostname", get("hostname"));
    if let Some(domain) = get("rewritedomain").or_else(|| get("hostname")) {
        found.origin_of("rewriteDomain", domain);
    }
    let hub = get("mailhub").unwrap_or("mail");
    let (host, port) = hub.split_once(':').unwrap_or((hub, ""));
    let port = Some(port).filter(|port| !port.is_empty());
    found.relay("mailhub", &server(host, port), yes("usetls") && !yes("usestarttls"));
    let login = get("authuser").zip(get("authpass"));
    found.login = login.map(|(user, password)| Credentials::of(user, password));
    if let Some(reader) = get("root").filter(|reader| reader.contains('@')) {
        found.note(READER, "root", reader);
    }
    found.authorities(get("tls_ca_file"));
    let aliases = found.text_of(root, "/etc/ssmtp/revaliases").unwrap_or_default();
    for line in lines(&aliases) {
        let mut parts = line.split(':').map(str::trim);
        let row = (parts.next().map(Who::parse), parts.next().map(Known::parse), parts.next());
        match row {
            (Some(Ok(who)), Some(Ok(known)), hub) => {
                found.add_sender(who, known);
                if let Some(hub) = hub.filter(|hub| !hub.is_empty() && *hub != host) {
                    found.note(SEVERAL, "", hub);
                }
            }
            _ => found.note(NO_SENDER, "revaliases", line),
        }
    }
    let read = "root mailhub rewritedomain hostname fromlineoverride authuser authpass authmethod \
                usetls usestarttls tls_ca_file debug minuserid";
    found.name_others(settings.keys().map(String::as_str), read);
    Some(found)
}

/// Reads the configuration of the DragonFly Mail Agent.
pub(super) fn dma(root: &Root) -> Option<Inherited> {
    let (mut found, text) = Inherited::of("dma", root, "/etc/dma/dma.conf")?;
    let settings: HashMap<String, String> = text
        .lines()
        .map(|line| line.split('#').next().unwrap_or_default().trim())
        .filter(|line| !line.is_empty())
        .map(|line| line.split_once(char::is_whitespace).unwrap_or((line, "")))
        .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
        .collect();
    let get = |name: &str| set(&settings, name);
    let has = |name: &str| settings.contains_key(name);
    if let Some(name) = get("MAILNAME") {
        let text = root.read(name).ok().flatten().filter(|_| name.starts_with('/'));
        let name = text.as_deref().map_or(name, str::trim);
        found.hostname_of("MAILNAME", Some(name));
        found.origin_of("MAILNAME", name);
    }
    let masquerade = get("MASQUERADE").unwrap_or_default();
    match masquerade.split_once('@') {
        None if masquerade.is_empty() => {}
        None => found.origin_of("MASQUERADE", masquerade),
        Some(("", domain)) => found.origin_of("MASQUERADE", domain),
        Some(_) => found.always(Some(ONE_SENDER), "MASQUERADE", masquerade),
    }
    if let Some(host) = get("SMARTHOST") {
        let implicit_tls = has("SECURETRANSFER") && !has("STARTTLS");
        found.relay("SMARTHOST", &server(host, get("PORT")), implicit_tls);
        let file = get("AUTHPATH").unwrap_or("/etc/dma/auth.conf");
        let table = found.text_of(root, file).unwrap_or_default();
        found.login = lines(&table).find_map(|line| {
            let (user, rest) = line.split_once('|')?;
            let (known, password) = rest.split_once(':')?;
            known.eq_ignore_ascii_case(host).then(|| Credentials::of(user, password))
        });
    }
    found.nothing_local = has("NULLCLIENT");
    found.aliases = get("ALIASES").filter(|path| path.starts_with('/')).map(Into::into);
    if let Some(value) = get("FINGERPRINT") {
        found.note(FINGERPRINT, "FINGERPRINT", value);
    }
    let read = "SMARTHOST PORT ALIASES SPOOLDIR AUTHPATH SECURETRANSFER STARTTLS OPPORTUNISTIC_TLS \
                DEFER FULLBOUNCE MAILNAME MASQUERADE NULLCLIENT FINGERPRINT";
    found.name_others(settings.keys().map(String::as_str), read);
    Some(found)
}
