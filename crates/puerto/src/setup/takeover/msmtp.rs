//! msmtp: the default account of `/etc/msmtprc`.

use std::collections::HashMap;

use puerto_smtp::Address;

use super::{Credentials, Inherited, authorities, name_others, next_hop, text_of};
use crate::lang::{Said, Text};
use crate::setup::root::Root;

const FILE: &str = "/etc/msmtprc";

const PASSWORD: Text = Text::new(
    "msmtp's password for {user} is not written in {file}: write it into \
     relayhost_password_file",
    "la contraseña de msmtp para {user} no está escrita en {file}: escríbala en \
     relayhost_password_file",
);
const ACCOUNTS: Text = Text::new(
    "msmtp's other accounts are not taken over: write a [[route]] with `from` for each",
    "las demás cuentas de msmtp no se heredan: escriba una [[route]] con `from` para cada una",
);

const FROM: Text = Text::new(
    "msmtp's {key} = {value} is taken over as sender.always, which stands in From, too, where a program \
     says another; the author stays in Reply-To. If the relay takes other senders, use sender.map",
    "{key} = {value} de msmtp se hereda como sender.always, que va también en la cabecera cuando un programa \
     dice otra cosa; el autor queda en Reply-To. Si el relay admite otros remitentes, use sender.map",
);
const NO_FROM: Text = Text::new(
    "msmtp's {key} = {value} is not taken over: set `origin`, or sender.map",
    "{key} = {value} de msmtp no se hereda: ponga `origin` o sender.map",
);
const FINGERPRINT: Text = Text::new(
    "msmtp's tls_fingerprint is not taken over: where there is a password, the relay's key is \
     remembered at the first login; `puerto relay test` shows the certificate to compare",
    "tls_fingerprint de msmtp no se hereda: donde hay contraseña se recuerda la clave del relay en \
     la primera conexión; `puerto relay test` muestra el certificado para compararlo",
);
const DEFAULT_ALIAS: Text = Text::new(
    "the line `default: {target}` of {file} is for every local user in msmtp, and for nobody here: \
     write `root: {target}`, and a line for each other user whose mail it should have",
    "la línea `default: {target}` de {file} vale en msmtp para todos los usuarios locales, y aquí \
     para ninguno: escriba `root: {target}` y una línea por cada otro usuario cuyo correo deba \
     recibir",
);

/// What is taken over, and what means nothing to a server.
const READ: [&str; 27] = [
    "host",
    "port",
    "user",
    "password",
    "passwordeval",
    "auth",
    "aliases",
    "tls",
    "tls_starttls",
    "tls_certcheck",
    "tls_trust_file",
    "tls_fingerprint",
    "logfile",
    "syslog",
    "logfile_time_format",
    "timeout",
    "protocol",
    "keepbcc",
    "undisclosed_recipients",
    "eval",
    "domain",
    "from",
    "from_full_name",
    "auto_from",
    "maildomain",
    "set_from_header",
    "allow_from_override",
];

type Account = HashMap<String, String>;

/// Reads msmtp's configuration, if there is one for the whole machine.
pub(super) fn read(root: &Root) -> Option<Inherited> {
    if !root.has(FILE) {
        return None;
    }
    let mut found = Inherited::of("msmtp");
    let text = text_of(root, FILE, &mut found).unwrap_or_default();
    let (account, has_others) = default_account(&text);
    let get = |name: &str| account.get(name).map(String::as_str);
    let on = |name: &str| matches!(get(name), Some("on" | ""));
    let Some(host) = get("host") else { return Some(found) };
    let implicit = on("tls") && get("tls_starttls") == Some("off");
    let port = get("port").map(|port| format!(":{port}")).unwrap_or_default();
    next_hop("host", &format!("[{host}]{port}"), implicit, &mut found);
    found.tls_required = on("tls") && get("tls_certcheck") != Some("off");
    match (get("user"), get("password")) {
        (Some(user), Some(password)) if get("auth") != Some("off") => {
            found.login = Some(Credentials { user: user.into(), password: password.into() });
        }
        (Some(user), None) if get("auth") != Some("off") => {
            found.left.push(Said::with(PASSWORD, &[("user", user), ("file", FILE)]));
        }
        _ => {}
    }
    aliases(root, get("aliases"), &mut found);
    found.hostname_of("msmtp", "domain", get("domain"));
    sender(&account, &mut found);
    authorities(get("tls_trust_file").filter(|file| !file.is_empty()), &mut found);
    if get("tls_fingerprint").is_some_and(|value| !value.is_empty()) {
        found.left.push(Said::with(FINGERPRINT, &[]));
    }
    let others: Vec<&str> = account.keys().map(String::as_str).collect();
    name_others(others.into_iter().filter(|name| !READ.contains(name)).collect(), &mut found);
    if has_others {
        found.left.push(Said::with(ACCOUNTS, &[]));
    }
    Some(found)
}

// `from` is the envelope's sender of all mail, unless a program says another; with
// `set_from_header` it stands in From, too.
fn sender(account: &Account, found: &mut Inherited) {
    let get = |name: &str| account.get(name).map(String::as_str).filter(|v| !v.is_empty());
    let domain = get("maildomain");
    let automatic =
        get("auto_from") == Some("on") || account.get("auto_from").is_some_and(String::is_empty);
    if let Some(domain) = domain.filter(|_| automatic) {
        return found.origin_of("msmtp", "maildomain", domain);
    }
    let Some(from) = get("from") else { return };
    let from = from.replace("%M", domain.unwrap_or("%M"));
    // Each user at one domain.
    if let Some(domain) = from.strip_prefix("%U@").filter(|domain| !domain.contains(['%', '*'])) {
        return found.origin_of("msmtp", "from", domain);
    }
    match Address::parse(&from) {
        Ok(address) if !from.contains(['%', '*']) => {
            found.sender.always = Some(address);
            if get("set_from_header") != Some("on") {
                found.left.push(Said::with(FROM, &[("key", "from"), ("value", &from)]));
            }
        }
        _ => found.left.push(Said::with(NO_FROM, &[("key", "from"), ("value", &from)])),
    }
}

// Its `default` is no name, but whoever has no line of his own.
fn aliases(root: &Root, file: Option<&str>, found: &mut Inherited) {
    let Some(file) = file.filter(|path| path.starts_with('/')) else { return };
    found.aliases = Some(file.into());
    let text = text_of(root, file, found).unwrap_or_default();
    let all = text.lines().filter_map(|line| line.split_once(':'));
    for (_, target) in all.filter(|(name, _)| name.trim().eq_ignore_ascii_case("default")) {
        let values = [("file", file), ("target", target.trim())];
        found.left.push(Said::with(DEFAULT_ALIAS, &values));
    }
}

/// The account called `default`, or the one that it stands for, with the defaults
/// that were set before it; and whether there are others.
fn default_account(text: &str) -> (Account, bool) {
    let mut defaults = Account::new();
    let mut accounts: HashMap<String, Account> = HashMap::new();
    let mut current: Option<String> = None;
    for line in text.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with('#')) {
        let (name, value) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        let value = value.trim().trim_matches('"');
        match name {
            "defaults" => current = None,
            "account" => {
                let (account, parent) = value.split_once(':').unwrap_or((value, ""));
                let parent = accounts.get(parent.trim()).unwrap_or(&defaults).clone();
                accounts.insert(account.trim().to_owned(), parent);
                current = Some(account.trim().to_owned());
            }
            _ => {
                let account = current.as_ref().and_then(|name| accounts.get_mut(name));
                account.unwrap_or(&mut defaults).insert(name.to_owned(), value.to_owned());
            }
        }
    }
    let alone = accounts.len() == 1;
    let chosen = match accounts.remove("default") {
        Some(account) => account,
        None if alone => accounts.drain().next().map(|(_, account)| account).unwrap_or_default(),
        None => defaults,
    };
    let others = accounts.values().any(|account| account.get("host") != chosen.get("host"));
    (chosen, others)
}
