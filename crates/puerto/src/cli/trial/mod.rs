//! Opens what the daemon will open, so that `config check` tells before a start what would
//! stop it, and what would stop mail. Nothing is changed, and a daemon that runs is not
//! disturbed: it holds its addresses, and only those that nobody holds are taken for a moment.

mod people;
mod providers;
mod sources;
#[cfg(test)]
mod tests;
mod times;

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use nix::unistd::{AccessFlags, eaccess};
use puerto_spool::postgres;
use serde_json::{Value, json};

use super::clock::{now, today_in_utc};
use crate::cause::Cause;
use crate::config::{Config, Inhabitant, LogTarget, Mailbox, Named};
use crate::finding::{Finding, Severity, kinds, page};
use crate::intake::{KeyRing, key_files};
use crate::lang::{Language, Said, Text, said_of, spool_error};
use crate::local;
use crate::recipients;
use crate::rights::{self, Identity};
use crate::route;
use crate::sender;
use crate::setup;
use crate::survey::names::is_private;
use crate::survey::processes;
use crate::tls::{OwnCertificate, ServerTls};

// With an error the daemon would not start; of what is warned, mail would wait or be refused.
kinds! {
    NO_USER = "user.missing" Error:
        "there is no user {user}", "no existe el usuario {user}",
        "make it (`useradd --system {user}`) or name another",
        "créelo (`useradd --system {user}`) o ponga otro";
    EXPIRED = "certificate.expired" Warning:
        "{file} has expired", "{file} ha caducado",
        "who verifies it sends nothing here; renew it, and reload",
        "quien lo verifica no envía nada aquí; renuévelo y recargue";
    NO_FOLDER = "dkim.no-folder" Warning:
        "{folder} is no folder, so mail leaves unsigned",
        "{folder} no es una carpeta, así que el correo sale sin firmar";
    NO_PASSWORD = "password.empty" Error:
        "{file} holds no password", "{file} no contiene ninguna contraseña",
        "write it into the first line", "escríbala en la primera línea";
    OWN_RELAY = "relay.ourselves" Error:
        "{hop} is this server itself, and mail would go round and round: it waits",
        "{hop} es este mismo servidor, y el correo daría vueltas: espera",
        "name the server that is to take the mail", "indique el servidor que ha de recibir el correo";
    NO_DATABASE_PASSWORD = "database.password" Error:
        "{file} holds no password", "{file} no contiene ninguna contraseña",
        "write it into the first line", "escríbala en la primera línea";
    HIDDEN = "file.hidden" Error:
        "{user}, as whom the server runs, may not read {file}",
        "{user}, con cuyos permisos trabaja el servidor, no puede leer {file}",
        "{remedy}", "{remedy}";
    EXPOSED = "file.exposed" Error:
        "others can read or change what {file} keeps secret (mode {mode})",
        "otros pueden leer o cambiar lo que {file} guarda en secreto (modo {mode})",
        "{remedy}", "{remedy}";
    LONELY_NODE = "database.node-alone" Warning:
        "a node's name, but no database whose nodes have names",
        "un nombre de nodo, pero ninguna base de datos cuyos nodos tengan nombre",
        "name it as `store.url`, or take `store.node` out",
        "indíquela en `store.url`, o quite `store.node`";
    HELD = "listener.held" Warning:
        "{address} is held by another program{which}", "{address} lo ocupa otro programa{which}",
        "`ss -ltnp` names it", "`ss -ltnp` lo nombra";
    SHORT_NAME = "hostname.short" Warning:
        "{name} is not a full name, and receivers refuse such a greeting",
        "{name} no es un nombre completo, y los receptores rechazan ese saludo",
        "write one as in mail.example.com", "escriba uno como mail.example.com";
    PRIVATE_NAME = "hostname.private" Warning:
        "{name} is a name that nobody outside knows, and receivers refuse such a greeting",
        "{name} es un nombre que nadie conoce fuera, y los receptores rechazan ese saludo",
        "write one as in mail.example.com", "escriba uno como mail.example.com";
    PRIVATE_SENDER = "sender.private" Warning:
        "mail of this machine is from {sender}, which nobody outside can answer, and receivers \
         refuse it",
        "el correo de esta máquina sale de {sender}, a donde nadie de fuera puede contestar, y los \
         receptores lo rechazan",
        "set `origin` to a domain of yours", "ponga en `origin` un dominio suyo";
}

/// What in a file cannot be understood: where, and what.
type Broken = Vec<(String, Said)>;

/// The name of what cannot be used.
const UNUSABLE: &str = "key.unusable";

const MEANWHILE_WAITS: Text = Text::new(
    "{place}: {what}; until then its mail waits",
    "{place}: {what}; hasta entonces su correo espera",
);
const MEANWHILE_REFUSED: Text = Text::new(
    "{place}: {what}; until then mail for whom it means is refused",
    "{place}: {what}; hasta entonces se rechaza el correo para quien nombra",
);

/// What was found about one key.
#[derive(Debug)]
pub(super) struct Tried {
    pub(super) finding: Finding,
    key: &'static str,
    line: Option<usize>,
    /// Only root, or the daemon's user, could tell.
    pub(super) is_unseen: bool,
    means: Means,
}

/// What something that is wrong means for a start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Means {
    /// The server does not.
    Stops,
    /// It does, and some mail waits: for one line of a map, or one relay's password, all mail
    /// would be a high price.
    Waits,
    /// It does, and goes without.
    Warns,
}

impl Tried {
    /// For people: where, and what to do.
    pub(super) fn text(&self, file: &str, language: Language) -> String {
        const UNSEEN: Text = Text::new("not looked at", "sin mirar");
        let line = self.line.map(|line| format!(":{line}")).unwrap_or_default();
        let word = if self.is_unseen { UNSEEN } else { page::word(self.finding.severity).1 };
        let (word, said) = (word.of(language), self.finding.said().of(language));
        format!("{word}: {file}{line}: {}: {said}", self.key)
    }

    /// The same as a finding among others: the key is what it is about.
    pub(super) fn into_finding(self) -> Finding {
        const AGAIN: Text = Text::new(
            "mend that; `{puerto} config check` looks again",
            "arréglelo; `{puerto} config check` lo mira de nuevo",
        );
        let is_bare = self.finding.remedy.is_empty();
        let remedy = if is_bare { AGAIN.into() } else { self.finding.remedy.clone() };
        Finding { subject: Some(self.key.to_owned()), remedy, ..self.finding }
    }

    /// For programs.
    pub(super) fn json(&self, language: Language) -> Value {
        let severity = self.finding.severity.as_str();
        json!({
            "severity": if self.is_unseen { "not-seen" } else { severity },
            "key": self.key, "line": self.line, "message": self.finding.said().of(language),
        })
    }

    /// Whether it is wrong, and not only to be bettered.
    pub(super) fn is_error(&self) -> bool {
        self.finding.severity == Severity::Error && !self.is_unseen
    }

    /// Whether the daemon would not start.
    pub(super) fn stops(&self) -> bool {
        self.is_error() && self.means == Means::Stops
    }
}

/// Tries everything that a configuration names, and its file itself.
pub(super) fn of(config: &Config, file: &Path) -> Vec<Tried> {
    // A user who is missing is told; nobody is acted as then.
    let service = Identity::of_service(&config.user).ok().flatten();
    let reader = Identity::named(&config.user).ok().flatten();
    // What cannot be read has no lines to name.
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let mut trial = Trial { text, service, reader, found: Vec::new() };
    // At a reload it is read as the service's user.
    if file.exists() {
        trial.readable(Means::Warns, "user", file);
    }
    trial.user(config);
    trial.log(config);
    trial.certificate(config);
    trial.relays(config);
    trial.passwords(config);
    trial.database(config);
    trial.keys(config);
    trial.addresses(config);
    trial.listeners(config);
    trial.accounts(config);
    trial.readers(config);
    trial.users(config);
    trial.networks(config);
    trial.times(config);
    trial.sources(config);
    trial.first_days(config, today_in_utc());
    trial.providers(config);
    trial.names(config);
    let own = Config::command(file);
    let called = |tried: Tried| Tried { finding: tried.finding.put("puerto", &own), ..tried };
    trial.found.into_iter().map(called).collect()
}

struct Trial {
    text: String,
    /// As whom the daemon opens most of it, where we can become that user.
    service: Option<Identity>,
    /// The same, also where we cannot.
    reader: Option<Identity>,
    found: Vec<Tried>,
}

impl Trial {
    fn add(&mut self, key: &'static str, finding: Finding) {
        self.tried(key, finding, false, Means::Stops);
    }

    // The same of what only mail that needs it waits for.
    fn adds_wait(&mut self, key: &'static str, finding: Finding) {
        self.tried(key, finding, false, Means::Waits);
    }

    // Its words say what is to be done, too.
    fn bare(&mut self, severity: Severity, key: &'static str, is_unseen: bool, what: Said) {
        let finding = Finding::new(UNUSABLE, severity, what, Said::default());
        self.tried(key, finding, is_unseen, Means::Stops);
    }

    fn tried(&mut self, key: &'static str, finding: Finding, is_unseen: bool, means: Means) {
        self.found.push(Tried { finding, key, line: line_of(&self.text, key), is_unseen, means });
    }

    // What the system says of an open or a bind, by what it means for a start.
    fn failed(&mut self, means: Means, key: &'static str, about: &str, error: &io::Error) {
        // An error with words of its own is a judgement, whoever asks.
        let ours = error.get_ref().and_then(|inner| inner.downcast_ref::<Cause>());
        let finding = match ours {
            Some(Cause::FileHidden { file, user, remedy }) => {
                HIDDEN.put("user", user).put("file", file).put("remedy", remedy)
            }
            Some(Cause::SecretExposed { file, mode, remedy }) => {
                EXPOSED.put("file", file).put("mode", mode).put("remedy", remedy)
            }
            _ => {
                let what = said_of!("{about}: {error}", "{about}: {error}";
                    about = Said::words(about), error = rights::said(error));
                Finding::new(UNUSABLE, Severity::Error, what, Said::default())
            }
        };
        let severity = if means == Means::Warns { Severity::Warning } else { Severity::Error };
        let is_denied = error.kind() == io::ErrorKind::PermissionDenied && ours.is_none();
        let is_unseen = is_denied && !nix::unistd::geteuid().is_root();
        self.tried(key, finding.of(severity), is_unseen, means);
    }

    // Whether the daemon may read it when root's rights are given up.
    fn readable(&mut self, means: Means, key: &'static str, file: &Path) -> bool {
        let read = rights::readable_by(file, self.service.as_ref());
        if let Err(error) = &read {
            self.failed(means, key, &file.display().to_string(), error);
        }
        read.is_ok()
    }

    // The default is made by `puerto setup`; who wrote another name means one that exists.
    fn user(&mut self, config: &Config) {
        let is_written = line_of(&self.text, "user").is_some();
        let is_missing = matches!(nix::unistd::User::from_name(&config.user), Ok(None));
        if is_written && !config.user.is_empty() && is_missing {
            self.add("user", NO_USER.put("user", &config.user));
        }
    }

    fn certificate(&mut self, config: &Config) {
        // What is got by ACME may not be there yet; `puerto certificate` tells of it.
        let Some(files) = config.tls.as_ref().filter(|_| !config.acme.is_on()) else { return };
        let mut is_readable = true;
        for (key, file) in [("tls.certificate", &files.certificate), ("tls.key", &files.key)] {
            if let Err(error) = rights::open_to_read(file, None) {
                self.failed(Means::Stops, key, &file.display().to_string(), &error);
                is_readable = false;
            }
        }
        if let (true, Err(error)) = (is_readable, ServerTls::load(Some(files))) {
            self.bare(Severity::Error, "tls.certificate", false, error.said());
        }
        let own = OwnCertificate::load(files).ok().filter(|_| is_readable);
        if own.and_then(|own| own.not_after()).is_some_and(|end| end <= now().as_second()) {
            self.add("tls.certificate", EXPIRED.put("file", files.certificate.display()));
        }
    }

    // It is opened as the service's user; what that user may not make, root makes.
    fn log(&mut self, config: &Config) {
        let LogTarget::File(file) = &config.log_to else { return };
        let opened = rights::act(self.service.as_ref(), || {
            match std::fs::OpenOptions::new().append(true).open(file) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    let folder = file.parent().unwrap_or(Path::new("/"));
                    Ok(eaccess(folder, AccessFlags::W_OK | AccessFlags::X_OK)?)
                }
                opened => opened.map(drop),
            }
        });
        let is_made = self.service.is_some();
        if let Err(error) = opened
            && !(is_made && error.kind() == io::ErrorKind::PermissionDenied)
        {
            self.failed(Means::Stops, "log_to", &file.display().to_string(), &error);
        }
    }

    fn keys(&mut self, config: &Config) {
        let folder = &config.dkim_directory;
        if folder.exists() && !folder.is_dir() {
            self.add("dkim.directory", NO_FOLDER.put("folder", folder.display()));
            return;
        }
        let is_unseen = !nix::unistd::geteuid().is_root();
        for problem in KeyRing::of(config).problems() {
            self.bare(Severity::Warning, "dkim.directory", is_unseen, problem.said);
        }
        // At the start they are read with root's rights, at a reload without.
        let files = if self.service.is_some() { key_files(folder) } else { Vec::new() };
        for file in &files {
            self.readable(Means::Warns, "dkim.directory", file);
        }
    }

    fn relays(&mut self, config: &Config) {
        for relay in config.relays().filter(|relay| route::leads_here(config, relay.next_hop)) {
            let key = match relay.named {
                Named::Relayhost => "relayhost",
                Named::Route(_) => "route.via",
                Named::Rescue => "rescue.via",
            };
            self.adds_wait(key, OWN_RELAY.put("hop", relay.next_hop));
        }
    }

    fn passwords(&mut self, config: &Config) {
        let logins = config.relays().filter_map(|relay| Some((relay.named, relay.login?)));
        for (named, login) in logins {
            let key = match named {
                Named::Relayhost => "relayhost_password_file",
                Named::Route(_) => "route.password_file",
                Named::Rescue => "rescue.password_file",
            };
            let file = login.password_file.display().to_string();
            match self.secret(&login.password_file) {
                Ok(text) if text.trim().is_empty() => {
                    self.adds_wait(key, NO_PASSWORD.put("file", &file));
                }
                Ok(_) => {}
                Err(error) => self.failed(Means::Waits, key, &file, &error),
            }
        }
    }

    fn secret(&self, file: &Path) -> io::Result<String> {
        self.secrets(file, rights::MAX_SECRET)
    }

    fn secrets(&self, file: &Path, most: u64) -> io::Result<String> {
        rights::read_secrets_for(file, most, self.service.as_ref(), self.reader.as_ref())
    }

    // Without it no mail is taken at all.
    fn database(&mut self, config: &Config) {
        let Some(url) = &config.store.url else {
            if line_of(&self.text, "store.node").is_some() {
                self.add("store.node", LONELY_NODE.into());
            }
            return;
        };
        // The certificates that it names are read as whoever runs the server.
        let checked = rights::act(self.service.as_ref(), || Ok(postgres::check_url(url)));
        if let Ok(Err(error)) = checked {
            self.bare(Severity::Error, "store.url", false, spool_error(&error));
        }
        let Some(path) = &config.store.password_file else { return };
        let (key, file) = ("store.password_file", path.display().to_string());
        match self.secret(path) {
            Ok(text) if text.lines().next().unwrap_or_default().is_empty() => {
                self.add(key, NO_DATABASE_PASSWORD.put("file", &file));
            }
            Ok(_) => {}
            // The server reads it all the same.
            Err(error) if error.get_ref().is_some() && !is_hidden(&error) => {
                self.failed(Means::Warns, key, &file, &error);
            }
            Err(error) => self.failed(Means::Stops, key, &file, &error),
        }
    }

    // What mail waits for while it cannot be read or reached.
    fn addresses(&mut self, config: &Config) {
        let table = config.virtual_addresses.file.iter().map(|file| ("virtual.file", file));
        // Of these, who cannot be read is asked for at the next hop.
        let lists = config.relay_recipients.iter().filter_map(|who| match who {
            Inhabitant::File(file) => Some(("relay_recipients", file)),
            Inhabitant::Listed(_) => None,
        });
        // The aliases may be missing.
        let aliases = Some(&config.local.aliases).filter(|file| file.exists());
        let aliases = aliases.into_iter().map(|file| ("local.aliases", file));
        for (key, file) in aliases.chain(table).chain(lists) {
            let means = if key == "relay_recipients" { Means::Warns } else { Means::Waits };
            if !self.readable(means, key, file) {
                continue;
            }
            let service = self.service.as_ref();
            let at = |(line, what)| (format!("{}:{line}", file.display()), what);
            let (id, until, found): (_, _, Broken) = match key {
                "virtual.file" => {
                    let lines = local::broken_lines(config, service).into_iter();
                    ("virtual.broken", MEANWHILE_WAITS, lines.map(at).collect())
                }
                "relay_recipients" => {
                    let lines = recipients::broken_lines(file, service).into_iter();
                    ("virtual.broken", MEANWHILE_REFUSED, lines.map(at).collect())
                }
                _ => {
                    let found = local::broken_aliases(&config.local, service);
                    ("aliases.broken", MEANWHILE_WAITS, found)
                }
            };
            self.broken((key, id), until, found);
        }
        self.circles(config);
        if let Some(file) = &config.srs.secret_file
            && let Err(error) = self.secret(file)
        {
            self.failed(Means::Warns, "srs.secret_file", &file.display().to_string(), &error);
        }
        let Mailbox::Lmtp(server) = &config.local.mailbox else { return };
        if server.starts_with('/') {
            let may_write = || Ok(eaccess(Path::new(server), AccessFlags::W_OK)?);
            if let Err(error) = rights::act(self.service.as_ref(), may_write) {
                self.failed(Means::Warns, "local.mailbox", server, &error);
            }
        }
    }

    fn broken(&mut self, (key, id): (&'static str, &'static str), until: Text, found: Broken) {
        for (place, what) in found {
            let place = Said::words(place);
            let said = Said::of_parts(until, &[("place", &place), ("what", &what)]);
            self.adds_wait(key, Finding::new(id, Severity::Error, said, Said::default()));
        }
    }

    fn circles(&mut self, config: &Config) {
        let whole = Arc::new(config.clone());
        // That users cannot be looked up is no fault of the entries.
        let circles = local::circles_of_virtual(&whole, self.service.as_ref()).unwrap_or_default();
        for (file, what) in circles {
            let (key, what) = match file {
                None => ("virtual.map", what),
                Some(file) => {
                    let file = Said::words(file.display().to_string());
                    let what =
                        said_of!("{file}: {what}", "{file}: {what}"; file = file, what = what);
                    ("virtual.file", what)
                }
            };
            let circle = Finding::new("virtual.circle", Severity::Warning, what, Said::default());
            self.add(key, circle);
        }
    }

    fn listeners(&mut self, config: &Config) {
        let listen = &config.listen;
        let services = [
            ("listen.smtp", &listen.smtp),
            ("listen.submission", &listen.submission),
            ("listen.submissions", &listen.submissions),
        ];
        if let Some(overlap) = setup::overlap(&setup::Root::new("/"), config) {
            self.add("listen", overlap);
        }
        // Its addresses are in use, and by whom they should.
        let runs = std::os::unix::net::UnixStream::connect(config.run_dir.join("control")).is_ok();
        for (key, address) in services.iter().flat_map(|(k, list)| list.iter().map(|a| (*k, *a))) {
            let Err(error) = bind(address) else { continue };
            match error.kind() {
                io::ErrorKind::AddrInUse if runs => {}
                io::ErrorKind::AddrInUse => {
                    let holders = processes::listening(address);
                    let stranger = holders.iter().find(|program| !processes::is_manager(program));
                    // A service manager has it for the server, until that starts.
                    if holders.is_empty() || stranger.is_some() {
                        let which = stranger.map(|program| format!(" ({})", program.display()));
                        let held = HELD.put("address", address);
                        self.add(key, held.put("which", which.unwrap_or_default()));
                    }
                }
                _ => self.failed(Means::Stops, key, &address.to_string(), &error),
            }
        }
    }

    fn names(&mut self, config: &Config) {
        let name = config.hostname.as_str();
        if !name.contains('.') {
            self.add("hostname", SHORT_NAME.put("name", name));
        } else if is_private(name) && config.relayhost.is_none() {
            self.add("hostname", PRIVATE_NAME.put("name", name));
        }
        let sender = sender::of_the_machine(config);
        let domain = sender.as_ref().and_then(|sender| sender.domain().name());
        if domain.is_some_and(|domain| is_private(domain) && domain != name) {
            let key = if config.sender.always.is_some() { "sender.always" } else { "origin" };
            self.add(
                key,
                PRIVATE_SENDER
                    .put("sender", sender.as_ref().map(ToString::to_string).unwrap_or_default()),
            );
        }
    }
}

// Taken and let go at once. With reuse, as the daemon binds, an address that somebody
// listens on can be bound all the same: only listening tells.
fn bind(address: SocketAddr) -> io::Result<()> {
    let domain = socket2::Domain::for_address(address);
    let socket = socket2::Socket::new(domain, socket2::Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.bind(&address.into())?;
    socket.listen(1)
}

/// The line on which a key is set, counted from one.
fn line_of(text: &str, key: &str) -> Option<usize> {
    let (table, key) = key.rsplit_once('.').unwrap_or(("", key));
    let mut current = String::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if let Some(name) = line.strip_prefix('[') {
            current = name.trim_matches(['[', ']', ' ']).split(']').next()?.to_owned();
        } else if current == table
            && line.split_once('=').is_some_and(|(name, _)| name.trim().trim_matches('"') == key)
        {
            return Some(number + 1);
        }
    }
    None
}

fn is_hidden(error: &io::Error) -> bool {
    let ours = error.get_ref().and_then(|inner| inner.downcast_ref::<Cause>());
    matches!(ours, Some(Cause::FileHidden { .. }))
}
