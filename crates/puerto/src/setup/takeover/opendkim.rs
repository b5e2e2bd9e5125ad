//! OpenDKIM: the keys that it signs with.

use puerto_mail::dkim::PrivateKey;
use puerto_mail::dns::is_at_or_below;
use puerto_smtp::Domain;

use super::Inherited;
use crate::lang::{Text, said};
use crate::setup::others::OPENDKIM;
use crate::setup::root::Root;

const FILE: &str = "/etc/opendkim.conf";
const FOLDER: &str = "/etc/opendkim/keys";

const UNUSABLE: Text = Text::new(
    "the key {key} cannot be taken over: {value}",
    "la clave {key} no se puede heredar: {value}",
);
const TABLE: Text = Text::new(
    "OpenDKIM's {value} is not a file that can be read here: copy its keys to \
     /etc/puerto/dkim/DOMAIN/SELECTOR.pem",
    "{value} de OpenDKIM no es un fichero que se pueda leer aquí: copie sus claves a \
     /etc/puerto/dkim/DOMINIO/SELECTOR.pem",
);
const INSIDE: Text = Text::new(
    "OpenDKIM's key {value} does not stand in a file of its own: write it to \
     /etc/puerto/dkim/DOMAIN/SELECTOR.pem",
    "la clave {value} de OpenDKIM no está en un fichero propio: escríbala en \
     /etc/puerto/dkim/DOMINIO/SELECTOR.pem",
);
const EVERYBODY: Text = Text::new(
    "OpenDKIM's `{value}` signs for every sender's domain, and keys here belong to one: make one for \
     each domain of yours with `puerto dkim new DOMAIN`",
    "`{value}` de OpenDKIM firma por el dominio de cualquier remitente, y aquí cada clave es de uno: \
     cree una por cada dominio suyo con `puerto dkim new DOMINIO`",
);
const BROKEN: Text = Text::new(
    "OpenDKIM's row `{value}` is not understood, and was left",
    "la fila `{value}` de OpenDKIM no se entiende y se ha dejado",
);
const UNUSED: Text = Text::new(
    "OpenDKIM's key {value} stands in no row of its SigningTable, and was left",
    "la clave {value} de OpenDKIM no está en ninguna fila de su SigningTable y se ha dejado",
);

/// Settings that are taken over, or are about OpenDKIM's own work and manners.
const READ: &str = "autorestart autorestartrate background basedirectory canonicalization \
    diagnostics dnstimeout domain externalignorelist internalhosts keyfile keytable logresults \
    logwhy minimumkeybits mode nameservers on-default oversignheaders peerlist pidfile \
    requiresafekeys resolverconfiguration selector signaturealgorithm signingtable socket \
    softwareheader subdomains syslog syslogfacility syslogsuccess trustanchorfile umask userid";

/// A key that another program signs with.
pub struct ForeignKey {
    pub domain: String,
    pub selector: String,
    /// The key as PEM: PKCS#8, or PKCS#1, which we read as well.
    pub pem: String,
}

impl std::fmt::Debug for ForeignKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ForeignKey({}._domainkey.{}, …)", self.selector, self.domain)
    }
}

/// Reads OpenDKIM's configuration and keys, if there are any.
pub(super) fn read(root: &Root) -> Option<Inherited> {
    if !root.has(FILE) && !root.has(FOLDER) {
        return None;
    }
    let mut found =
        Inherited { program: "OpenDKIM", service: Some(OPENDKIM), ..Inherited::default() };
    let text = found.text_of(root, FILE).unwrap_or_default();
    for (domain, selector, path) in places(root, &text, &mut found) {
        add(root, &domain, &selector, &path, &mut found);
    }
    let names = super::lines(&text).filter_map(|line| line.split_whitespace().next());
    let unknown = names.filter(|name| !super::has_word(READ, &name.to_lowercase()));
    found.name_others(unknown, "");
    (!found.keys.is_empty() || !found.left.is_empty()).then_some(found)
}

/// Where its keys are. A table makes the settings of a single key void; the folder of
/// every guide counts where the configuration names none.
fn places(root: &Root, text: &str, found: &mut Inherited) -> Vec<Place> {
    if let Some(table) = setting(text, "KeyTable") {
        return from_tables(root, table, setting(text, "SigningTable"), found);
    }
    let one = (setting(text, "Domain"), setting(text, "Selector"), setting(text, "KeyFile"));
    let (Some(domains), Some(selector), Some(path)) = one else { return from_folder(root) };
    let (everybody, domains): (Vec<_>, Vec<_>) =
        lines(root, domains, found).into_iter().partition(|domain| is_everybody(domain));
    for domain in everybody {
        found.note(EVERYBODY, "", &format!("Domain {domain}"));
    }
    let place = |domain: String| (domain, selector.to_owned(), path.to_owned());
    domains.into_iter().map(place).collect()
}

/// A setting of `opendkim.conf`: its name, in any case, and the rest of the line.
fn setting<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().rev().find_map(|line| {
        let (key, value) = line.trim().split_once(char::is_whitespace)?;
        let value = value.split('#').next().unwrap_or_default().trim();
        (key.eq_ignore_ascii_case(name) && !value.is_empty()).then_some(value)
    })
}

/// What a data set holds: a file's lines, or what stands between commas. A database
/// cannot be read, and is named.
fn lines(root: &Root, set: &str, found: &mut Inherited) -> Vec<String> {
    let (kind, rest) = set.split_once(':').unwrap_or(("", set));
    let is_file = matches!(kind, "file" | "refile") || (kind.is_empty() && rest.starts_with('/'));
    if is_file {
        let text = found.text_of(root, rest).unwrap_or_default();
        let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default().trim());
        return lines.filter(|line| !line.is_empty()).map(str::to_owned).collect();
    }
    if !matches!(kind, "" | "csl") {
        found.note(TABLE, "", set);
        return Vec::new();
    }
    rest.split(',').map(str::trim).filter(|item| !item.is_empty()).map(str::to_owned).collect()
}

type Place = (String, String, String);

// Keys: `name domain:selector:/path`. Who signs with them: `pattern name`. A domain of
// `%` is that of the sender, which the pattern tells.
fn from_tables(
    root: &Root,
    keys: &str,
    signing: Option<&str>,
    found: &mut Inherited,
) -> Vec<Place> {
    let keys = lines(root, keys, found);
    let signing = signing.map(|table| lines(root, table, found));
    let mut places = Vec::new();
    for line in &keys {
        let Some((name, (domain, selector, key))) = key_row(line) else {
            found.note(BROKEN, "", line);
            continue;
        };
        if !key.starts_with('/') {
            found.note(INSIDE, "", name);
            continue;
        }
        let users: Vec<&str> = signing.iter().flatten().filter_map(|l| user_of(l, name)).collect();
        if domain == "%" {
            // A domain that is each sender's own is only known where a row names it.
            let (everybody, users): (Vec<&str>, Vec<&str>) =
                users.into_iter().partition(|user| is_everybody(user));
            if !everybody.is_empty() || users.is_empty() {
                found.note(EVERYBODY, "", line);
            }
            let place =
                |user: &&str| ((*user).to_owned(), selector.to_owned(), key.replace('%', user));
            places.extend(users.iter().map(place));
            continue;
        }
        if !users.is_empty() || signing.is_none() {
            places.push((domain.to_owned(), selector.to_owned(), key.to_owned()));
        } else {
            found.note(UNUSED, "", name);
        }
        // Our keys sign for their domain and what is below it.
        let is_ours = |user: &&str| {
            is_everybody(user) || is_at_or_below(user.trim_start_matches(['*', '.']), domain)
        };
        for user in users.into_iter().filter(|user| !is_ours(user)) {
            found.left.push(said!(
                "OpenDKIM signs mail from {user} with a key of {domain}, which proves nothing \
                 about {user}: make it a key of its own with `puerto dkim new {user}`",
                "OpenDKIM firma el correo de {user} con una clave de {domain}, que no demuestra \
                 nada sobre {user}: cree una propia con `puerto dkim new {user}`";
                user = user, domain = domain
            ));
        }
    }
    for line in signing.iter().flatten() {
        let known = |name: &str| keys.iter().any(|key| pair(key).is_some_and(|(n, _)| n == name));
        if !pair(line).and_then(|(_, value)| value.split_whitespace().next()).is_some_and(known) {
            found.note(BROKEN, "", line);
        }
    }
    places
}

/// `name domain:selector:/path`.
fn key_row(line: &str) -> Option<(&str, (&str, &str, &str))> {
    let (name, value) = pair(line)?;
    let mut parts = value.splitn(3, ':').map(str::trim);
    Some((name, (parts.next()?, parts.next()?, parts.next()?)))
}

// `*`, `%`, `.` or nothing: whoever sends.
fn is_everybody(domain: &str) -> bool {
    domain.trim_matches(['*', '.', '%']).is_empty()
}

fn pair(line: &str) -> Option<(&str, &str)> {
    let (name, value) = line.split_once(char::is_whitespace)?;
    Some((name, value.trim()))
}

// The domain of a line's senders, if they sign with this key; `*` is everybody.
fn user_of<'a>(line: &'a str, key: &str) -> Option<&'a str> {
    let (pattern, value) = pair(line)?;
    (value.split_whitespace().next() == Some(key))
        .then(|| pattern.rsplit('@').next().unwrap_or(pattern))
}

// DOMAIN/SELECTOR.private, as every guide has it.
fn from_folder(root: &Root) -> Vec<Place> {
    let mut places = Vec::new();
    for domain in root.names(FOLDER) {
        let folder = format!("{FOLDER}/{domain}");
        for file in root.names(&folder) {
            if let Some(selector) = file.strip_suffix(".private") {
                let place = (domain.clone(), selector.to_owned(), format!("{folder}/{file}"));
                places.push(place);
            }
        }
    }
    places
}

pub(super) fn add(root: &Root, domain: &str, selector: &str, path: &str, found: &mut Inherited) {
    let name = Domain::parse(domain).ok().and_then(|d| d.name().map(str::to_owned));
    let Some(domain) = name.and_then(|name| idna::domain_to_ascii(&name).ok()) else { return };
    let selector = selector.to_lowercase();
    let usable = selector.is_ascii() && Domain::parse(&format!("{selector}.example")).is_ok();
    let known = |key: &ForeignKey| key.domain == domain && key.selector == selector;
    if !usable || found.keys.iter().any(known) {
        return;
    }
    let Some(pem) = found.text_of(root, path) else { return };
    match PrivateKey::from_pem(&pem) {
        Ok(_) => found.keys.push(ForeignKey { domain, selector, pem }),
        Err(error) => found.note(UNUSABLE, path, &error.to_string()),
    }
}
