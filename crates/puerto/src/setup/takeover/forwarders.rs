//! Programs that only hand mail on to another server: nullmailer, sSMTP and dma. And
//! mail servers whose configuration nobody here reads, which are named.

use std::collections::HashMap;

use puerto_smtp::Address;

use super::{Credentials, Inherited, authorities, name_others, next_hop, text_of};
use crate::config::{Known, Who};
use crate::lang::{Said, Text};
use crate::setup::others::NULLMAILER;
use crate::setup::root::Root;

const ONE_SENDER: Text = Text::new(
    "{program}'s {key} = {value} is taken over as sender.always, which stands in From, too; the author \
     stays in Reply-To. If the relay takes other senders, use sender.map",
    "{key} = {value} de {program} se hereda como sender.always, que va también en la cabecera; el autor \
     queda en Reply-To. Si el relay admite otros remitentes, use sender.map",
);
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
const LINE: Text = Text::new(
    "{program}'s {key} = {value} is not taken over: set `origin`, or sender.map",
    "{key} = {value} de {program} no se hereda: ponga `origin` o sender.map",
);
const FINGERPRINT: Text = Text::new(
    "{program}'s {key} = {value} is not taken over: where there is a password, the relay's key is \
     remembered at the first login; `puerto relay test` shows the certificate to compare",
    "{key} = {value} de {program} no se hereda: donde hay contraseña se recuerda la clave del relay en \
     la primera conexión; `puerto relay test` muestra el certificado para compararlo",
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
    let mut found = Inherited::of(program);
    found.files.push(file.into());
    say(&mut found, UNREAD, "", file);
    Some(found)
}

fn say(found: &mut Inherited, text: Text, key: &str, value: &str) {
    let values = [("program", found.program), ("key", key), ("value", value)];
    found.left.push(Said::with(text, &values));
}

fn always(found: &mut Inherited, key: &str, value: &str) {
    match Address::parse(value) {
        Ok(address) => {
            found.sender.always = Some(address);
            say(found, ONE_SENDER, key, value);
        }
        Err(_) => say(found, LINE, key, value),
    }
}

fn login(user: Option<&str>, password: Option<&str>) -> Option<Credentials> {
    Some(Credentials { user: user?.to_owned(), password: password?.to_owned() })
}

/// Reads nullmailer's folder, each file of which is one setting.
pub(super) fn nullmailer(root: &Root) -> Option<Inherited> {
    const FOLDER: &str = "/etc/nullmailer";
    if !root.has(format!("{FOLDER}/remotes")) {
        return None;
    }
    let mut found = Inherited::of("nullmailer");
    found.service = Some(NULLMAILER);
    let mut file = |name: &str| {
        let text = text_of(root, &format!("{FOLDER}/{name}"), &mut found).unwrap_or_default();
        text.trim().to_owned()
    };
    let [remotes, me, host, domain, from, admin, helo] =
        ["remotes", "me", "defaulthost", "defaultdomain", "allmailfrom", "adminaddr", "helohost"]
            .map(&mut file);
    let mail_name = root.read("/etc/mailname").ok().flatten().unwrap_or_default();
    let first = |names: &[&str]| {
        names.iter().map(|name| name.trim()).find(|name| !name.is_empty()).map(str::to_owned)
    };
    found.hostname_of("nullmailer", "me", first(&[&helo, &me]).as_deref());
    if let Some(mut name) = first(&[&host, &me, &mail_name]) {
        if !name.contains('.') && !domain.is_empty() {
            name = format!("{name}.{domain}");
        }
        found.origin_of("nullmailer", "defaulthost", &name);
    }
    if !from.is_empty() {
        always(&mut found, "allmailfrom", &from);
    }
    if !admin.is_empty() {
        say(&mut found, READER, "adminaddr", &admin);
    }
    let lines = remotes.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with('#'));
    for (number, line) in lines.enumerate() {
        match number {
            0 => remote(line, &mut found),
            // Without the password that may stand in it.
            _ => say(&mut found, SEVERAL, "", line.split_whitespace().next().unwrap_or_default()),
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
    let port = get("port").or_else(|| get("p")).map(|port| format!(":{port}"));
    let hop = format!("[{host}]{}", port.unwrap_or_default());
    next_hop("remotes", &hop, get("ssl").is_some() || get("tls").is_some(), found);
    found.login = login(get("user"), get("pass"));
    authorities(get("x509cafile"), found);
    const READ: [&str; 11] = [
        "port",
        "p",
        "ssl",
        "tls",
        "starttls",
        "user",
        "pass",
        "auth-login",
        "insecure",
        "x509cafile",
        "x509crlfile",
    ];
    name_others(options.keys().copied().filter(|name| !READ.contains(name)).collect(), found);
}

/// Reads sSMTP's configuration.
pub(super) fn ssmtp(root: &Root) -> Option<Inherited> {
    const FILE: &str = "/etc/ssmtp/ssmtp.conf";
    if !root.has(FILE) {
        return None;
    }
    let mut found = Inherited::of("sSMTP");
    let text = text_of(root, FILE, &mut found).unwrap_or_default();
    let lines = text.lines().map(str::trim).filter(|line| !line.starts_with('#'));
    let settings: HashMap<String, &str> = lines
        .filter_map(|line| line.split_once('='))
        .map(|(name, value)| (name.trim().to_lowercase(), value.trim()))
        .collect();
    let get = |name: &str| settings.get(name).copied().filter(|value| !value.is_empty());
    let yes = |name: &str| get(name).is_some_and(|value| value.eq_ignore_ascii_case("yes"));
    found.hostname_of("sSMTP", "hostname", get("hostname"));
    if let Some(domain) = get("rewritedomain").or_else(|| get("hostname")) {
        found.origin_of("sSMTP", "rewriteDomain", domain);
    }
    let (host, port) =
        get("mailhub").map_or(("mail", ""), |hub| hub.split_once(':').unwrap_or((hub, "")));
    let port = if port.is_empty() { String::new() } else { format!(":{port}") };
    next_hop(
        "mailhub",
        &format!("[{host}]{port}"),
        yes("usetls") && !yes("usestarttls"),
        &mut found,
    );
    found.login = login(get("authuser"), get("authpass"));
    if let Some(reader) = get("root").filter(|reader| reader.contains('@')) {
        say(&mut found, READER, "root", reader);
    }
    authorities(get("tls_ca_file"), &mut found);
    let aliases = text_of(root, "/etc/ssmtp/revaliases", &mut found).unwrap_or_default();
    for line in aliases.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with('#')) {
        let mut parts = line.split(':').map(str::trim);
        let row = (parts.next().map(Who::parse), parts.next().map(Known::parse), parts.next());
        match row {
            (Some(Ok(who)), Some(Ok(known)), hub) => {
                found.sender.map.push((who, known));
                if let Some(hub) = hub.filter(|hub| !hub.is_empty() && *hub != host) {
                    say(&mut found, SEVERAL, "", hub);
                }
            }
            _ => say(&mut found, LINE, "revaliases", line),
        }
    }
    const READ: [&str; 13] = [
        "root",
        "mailhub",
        "rewritedomain",
        "hostname",
        "fromlineoverride",
        "authuser",
        "authpass",
        "authmethod",
        "usetls",
        "usestarttls",
        "tls_ca_file",
        "debug",
        "minuserid",
    ];
    let others = settings.keys().map(String::as_str).filter(|name| !READ.contains(name));
    name_others(others.collect(), &mut found);
    Some(found)
}

/// Reads the configuration of the DragonFly Mail Agent.
pub(super) fn dma(root: &Root) -> Option<Inherited> {
    const FILE: &str = "/etc/dma/dma.conf";
    if !root.has(FILE) {
        return None;
    }
    let mut found = Inherited::of("dma");
    let text = text_of(root, FILE, &mut found).unwrap_or_default();
    let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default().trim());
    let settings: HashMap<&str, &str> = lines
        .filter(|line| !line.is_empty())
        .map(|line| line.split_once(char::is_whitespace).unwrap_or((line, "")))
        .map(|(name, value)| (name, value.trim()))
        .collect();
    let get = |name: &str| settings.get(name).copied().filter(|value| !value.is_empty());
    let has = |name: &str| settings.contains_key(name);
    if let Some(name) = get("MAILNAME") {
        let text = root.read(name).ok().flatten().filter(|_| name.starts_with('/'));
        let name = text.as_deref().map_or(name, str::trim);
        found.hostname_of("dma", "MAILNAME", Some(name));
        found.origin_of("dma", "MAILNAME", name);
    }
    match get("MASQUERADE").map(|value| (value, value.split_once('@'))) {
        Some((_, Some(("", domain)))) => found.origin_of("dma", "MASQUERADE", domain),
        Some((value, Some((_, domain)))) if !domain.is_empty() => {
            always(&mut found, "MASQUERADE", value);
        }
        Some((value, None)) => found.origin_of("dma", "MASQUERADE", value),
        Some((value, _)) => say(&mut found, LINE, "MASQUERADE", value),
        None => {}
    }
    if let Some(host) = get("SMARTHOST") {
        let port = get("PORT").map(|port| format!(":{port}")).unwrap_or_default();
        let implicit_tls = has("SECURETRANSFER") && !has("STARTTLS");
        next_hop("SMARTHOST", &format!("[{host}]{port}"), implicit_tls, &mut found);
        let file = get("AUTHPATH").unwrap_or("/etc/dma/auth.conf");
        let table = text_of(root, file, &mut found).unwrap_or_default();
        found.login =
            table.lines().map(str::trim).filter(|line| !line.starts_with('#')).find_map(|line| {
                let (user, rest) = line.split_once('|')?;
                let (known, password) = rest.split_once(':')?;
                known.eq_ignore_ascii_case(host).then(|| login(Some(user), Some(password)))?
            });
    }
    found.nothing_local = has("NULLCLIENT");
    found.aliases = get("ALIASES").filter(|path| path.starts_with('/')).map(Into::into);
    if let Some(value) = get("FINGERPRINT") {
        say(&mut found, FINGERPRINT, "FINGERPRINT", value);
    }
    const READ: [&str; 14] = [
        "SMARTHOST",
        "PORT",
        "ALIASES",
        "SPOOLDIR",
        "AUTHPATH",
        "SECURETRANSFER",
        "STARTTLS",
        "OPPORTUNISTIC_TLS",
        "DEFER",
        "FULLBOUNCE",
        "MAILNAME",
        "MASQUERADE",
        "NULLCLIENT",
        "FINGERPRINT",
    ];
    name_others(settings.keys().copied().filter(|name| !READ.contains(name)).collect(), &mut found);
    Some(found)
}
