//! msmtp: the default account of `/etc/msmtprc`.

use std::collections::HashMap;

use super::{Credentials, FINGERPRINT, Inherited, NO_SENDER, ONE_SENDER, lines, server, set};
use crate::lang::said;
use crate::setup::root::Root;

const FILE: &str = "/etc/msmtprc";

/// What is taken over, and what means nothing to a server.
const READ: &str = "host port user password passwordeval auth aliases tls tls_starttls \
    tls_certcheck tls_trust_file tls_fingerprint logfile syslog logfile_time_format timeout \
    protocol keepbcc undisclosed_recipients eval domain from from_full_name auto_from maildomain \
    set_from_header allow_from_override";

type Account = HashMap<String, String>;

/// Reads msmtp's configuration, if there is one for the whole machine.
pub(super) fn read(root: &Root) -> Option<Inherited> {
    let (mut found, text) = Inherited::of("msmtp", root, FILE)?;
    let (account, has_others) = default_account(&text);
    let get = |name: &str| account.get(name).map(String::as_str);
    let on = |name: &str| matches!(get(name), Some("on" | ""));
    let Some(host) = get("host") else { return Some(found) };
    let implicit_tls = on("tls") && get("tls_starttls") == Some("off");
    found.relay("host", &server(host, get("port")), implicit_tls);
    found.tls_required = on("tls") && get("tls_certcheck") != Some("off");
    match (get("user").filter(|_| get("auth") != Some("off")), get("password")) {
        (Some(user), Some(password)) => found.login = Some(Credentials::of(user, password)),
        (Some(user), None) => found.left.push(said!(
            "msmtp's password for {user} is not written in {file}: write it into \
             relayhost_password_file",
            "la contraseña de msmtp para {user} no está escrita en {file}: escríbala en \
             relayhost_password_file";
            user = user, file = FILE
        )),
        (None, _) => {}
    }
    aliases(root, get("aliases"), &mut found);
    found.hostname_of("domain", get("domain"));
    sender(&account, &mut found);
    found.authorities(set(&account, "tls_trust_file"));
    if let Some(fingerprint) = set(&account, "tls_fingerprint") {
        found.note(FINGERPRINT, "tls_fingerprint", fingerprint);
    }
    found.name_others(account.keys().map(String::as_str), READ);
    if has_others {
        found.left.push(said!(
            "msmtp's other accounts are not taken over: write a [[route]] with `from` for each",
            "las demás cuentas de msmtp no se heredan: escriba una [[route]] con `from` para cada una"
        ));
    }
    Some(found)
}

// `from` is the envelope's sender of all mail, unless a program says another; with
// `set_from_header` it stands in From, too.
fn sender(account: &Account, found: &mut Inherited) {
    let domain = set(account, "maildomain");
    let is_automatic = account.get("auto_from").is_some_and(|set| matches!(&**set, "on" | ""));
    if let Some(domain) = domain.filter(|_| is_automatic) {
        return found.origin_of("maildomain", domain);
    }
    let Some(from) = set(account, "from") else { return };
    let from = from.replace("%M", domain.unwrap_or("%M"));
    match from.strip_prefix("%U@") {
        // Each user at one domain.
        Some(domain) if !domain.contains(['%', '*']) => found.origin_of("from", domain),
        _ if from.contains(['%', '*']) => found.note(NO_SENDER, "from", &from),
        _ => {
            let is_everywhere = set(account, "set_from_header") == Some("on");
            found.always((!is_everywhere).then_some(ONE_SENDER), "from", &from);
        }
    }
}

// Its `default` is no name, but whoever has no line of his own.
fn aliases(root: &Root, file: Option<&str>, found: &mut Inherited) {
    let Some(file) = file.filter(|path| path.starts_with('/')) else { return };
    found.aliases = Some(file.into());
    let text = found.text_of(root, file).unwrap_or_default();
    let all = text.lines().filter_map(|line| line.split_once(':'));
    for (_, target) in all.filter(|(name, _)| name.trim().eq_ignore_ascii_case("default")) {
        found.left.push(said!(
            "the line `default: {target}` of {file} is for every local user in msmtp, and for \
             nobody here: write `root: {target}`, and a line for each other user whose mail it \
             should have",
            "la línea `default: {target}` de {file} vale en msmtp para todos los usuarios locales, \
             y aquí para ninguno: escriba `root: {target}` y una línea por cada otro usuario cuyo \
             correo deba recibir";
            file = file, target = target.trim()
        ));
    }
}

/// The account called `default`, or the one that it stands for, with the defaults
/// that were set before it; and whether there are others.
fn default_account(text: &str) -> (Account, bool) {
    let mut defaults = Account::new();
    let mut accounts: HashMap<String, Account> = HashMap::new();
    let mut current: Option<String> = None;
    for line in lines(text) {
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
