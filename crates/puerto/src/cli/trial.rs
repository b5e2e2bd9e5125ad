//! Opens what the daemon will open, so that `config check` tells before a start what would
//! stop it, and what would stop mail. Nothing is changed, and a daemon that runs is not
//! disturbed: it holds its addresses, and only those that nobody holds are taken for a moment.

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::path::Path;
use std::sync::Arc;

use nix::unistd::{AccessFlags, eaccess};
use puerto_spool::postgres;
use serde_json::{Value, json};

use super::clock::now;
use crate::accounts::{Book, BookError};
use crate::config::{Config, Inhabitant, LogTarget, Mailbox, Named};
use crate::finding::{Finding, Severity, kinds, page};
use crate::intake::KeyRing;
use crate::lang::{Language, Said, Text, said_of, spool_error};
use crate::local;
use crate::rights::{self, Identity};
use crate::sender;
use crate::setup;
use crate::survey::names::is_private;
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
    HIDDEN_PASSWORD = "password.hidden" Error:
        "{user}, as whom the server runs, may not read {file}; run: chgrp $(id -g {user}) {file} && \
         chmod 0640 {file}",
        "{user}, con cuyos permisos trabaja el servidor, no puede leer {file}; ejecute: chgrp $(id \
         -g {user}) {file} && chmod 0640 {file}";
    NO_DATABASE_PASSWORD = "database.password" Error:
        "{file} holds no password", "{file} no contiene ninguna contraseña",
        "write it into the first line", "escríbala en la primera línea";
    HIDDEN_DATABASE_PASSWORD = "database.password-hidden" Error:
        "{user}, as whom the server runs, may not read {file}; run: chgrp $(id -g {user}) {file} && \
         chmod 0640 {file}",
        "{user}, con cuyos permisos trabaja el servidor, no puede leer {file}; ejecute: chgrp $(id \
         -g {user}) {file} && chmod 0640 {file}";
    LONELY_NODE = "database.node-alone" Warning:
        "a node's name, but no database whose nodes have names",
        "un nombre de nodo, pero ninguna base de datos cuyos nodos tengan nombre",
        "name it as `store.url`, or take `store.node` out",
        "indíquela en `store.url`, o quite `store.node`";
    NOBODY = "accounts.none" Warning:
        "nobody can log in: {file} has no account",
        "nadie puede identificarse: {file} no tiene ninguna cuenta",
        "make one: puerto user add NAME", "cree una: puerto user add NOMBRE";
    HELD = "listener.held" Warning:
        "{address} is held by another program", "{address} lo ocupa otro programa",
        "`ss -ltnp` names it", "`ss -ltnp` lo nombra";
    NOT_OURS = "source.not-ours" Warning:
        "{address} is no address of this machine, so no mail would leave",
        "{address} no es una dirección de esta máquina, así que no saldría correo",
        "`ip address` shows those that are", "`ip address` muestra las que sí";
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
    UNREAD = "postmaster.unread" Warning:
        "mail to postmaster goes to `root` at the LMTP server; where that does not know him, notices of \
         this server are lost and strangers' mail comes back to them",
        "el correo a postmaster va a `root` en el servidor LMTP; si ese no lo conoce, los avisos de \
         este servidor se pierden y el correo ajeno vuelve a quien lo envió",
        "name who reads it, as in postmaster = \"ana\" in [local], or in the aliases",
        "ponga quién lo lee, como postmaster = \"ana\" en [local], o en los alias";
}

/// The name of a line of a map that cannot be understood.
const BROKEN: &str = "virtual.broken";
/// The name of what cannot be used.
const UNUSABLE: &str = "key.unusable";
/// The name of what cannot be read, where the server runs and mail waits for it.
const AWAITED: &str = "file.awaited";

/// What was found about one key.
#[derive(Debug)]
pub(super) struct Tried {
    pub(super) finding: Finding,
    key: &'static str,
    line: Option<usize>,
    /// Only root, or the daemon's user, could tell.
    pub(super) is_unseen: bool,
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
            "mend that; `puerto config check` looks again",
            "arréglelo; `puerto config check` lo mira de nuevo",
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

    /// Whether the daemon would not start. For one line of a map, or one relay's password, all
    /// mail would be a high price, so that only what needs them waits.
    pub(super) fn stops(&self) -> bool {
        let some = [BROKEN, AWAITED, NO_PASSWORD.id, HIDDEN_PASSWORD.id];
        self.is_error() && !some.contains(&self.finding.id)
    }
}

/// Tries everything that a configuration names; `text` is its file.
pub(super) fn of(config: &Config, text: &str) -> Vec<Tried> {
    // A user who is missing is told; nobody is acted as then.
    let service = Identity::of_service(&config.user).ok().flatten();
    let mut trial = Trial { text, service, found: Vec::new() };
    trial.user(config);
    trial.log(config);
    trial.certificate(config);
    trial.passwords(config);
    trial.database(config);
    trial.keys(config);
    trial.addresses(config);
    trial.listeners(config);
    trial.accounts(config);
    trial.sources(config);
    trial.names(config);
    trial.found
}

struct Trial<'a> {
    text: &'a str,
    /// As whom the daemon opens most of it.
    service: Option<Identity>,
    found: Vec<Tried>,
}

impl Trial<'_> {
    fn add(&mut self, key: &'static str, finding: Finding) {
        self.tried(key, finding, false);
    }

    // Its words say what is to be done, too.
    fn bare(&mut self, severity: Severity, key: &'static str, is_unseen: bool, what: Said) {
        self.tried(key, Finding::new(UNUSABLE, severity, what, Said::default()), is_unseen);
    }

    fn tried(&mut self, key: &'static str, finding: Finding, is_unseen: bool) {
        self.found.push(Tried { finding, key, line: line_of(self.text, key), is_unseen });
    }

    // What the system says of an open or a bind, by what it means for a start.
    fn failed(&mut self, severity: Severity, key: &'static str, about: &str, error: &io::Error) {
        self.unread((UNUSABLE, severity), key, about, error);
    }

    // The same of what mail waits for.
    fn awaited(&mut self, key: &'static str, about: &str, error: &io::Error) {
        self.unread((AWAITED, Severity::Error), key, about, error);
    }

    fn unread(
        &mut self,
        (id, severity): (&'static str, Severity),
        key: &'static str,
        about: &str,
        error: &io::Error,
    ) {
        // An error with words of its own is a judgement, whoever asks.
        let is_ours = error.get_ref().is_some();
        let is_denied = error.kind() == io::ErrorKind::PermissionDenied && !is_ours;
        let is_unseen = is_denied && !nix::unistd::geteuid().is_root();
        let what = said_of!("{about}: {error}", "{about}: {error}";
            about = Said::words(about), error = rights::said(error));
        self.tried(key, Finding::new(id, severity, what, Said::default()), is_unseen);
    }

    // The default is made by `puerto setup`; who wrote another name means one that exists.
    fn user(&mut self, config: &Config) {
        let is_written = line_of(self.text, "user").is_some();
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
                self.failed(Severity::Error, key, &file.display().to_string(), &error);
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
            self.failed(Severity::Error, "log_to", &file.display().to_string(), &error);
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
            let read = || rights::read_secret(&login.password_file);
            // First as root, who trusts no names in others' folders.
            match read().and_then(|_| rights::act(self.service.as_ref(), read)) {
                Ok(text) if text.trim().is_empty() => {
                    self.add(key, NO_PASSWORD.put("file", &file));
                }
                Ok(_) => {}
                Err(error)
                    if self.service.is_some()
                        && error.kind() == io::ErrorKind::PermissionDenied
                        && error.get_ref().is_none() =>
                {
                    self.add(key, HIDDEN_PASSWORD.put("user", &config.user).put("file", &file));
                }
                Err(error) => self.awaited(key, &file, &error),
            }
        }
    }

    // Without it no mail is taken at all.
    fn database(&mut self, config: &Config) {
        let Some(url) = &config.store.url else {
            if line_of(self.text, "store.node").is_some() {
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
        let read = || rights::read_secret(path);
        match read().and_then(|_| rights::act(self.service.as_ref(), read)) {
            Ok(text) if text.lines().next().unwrap_or_default().is_empty() => {
                self.add(key, NO_DATABASE_PASSWORD.put("file", &file));
            }
            Ok(_) => {}
            Err(error) if error.get_ref().is_some() => {
                self.failed(Severity::Warning, key, &file, &error);
            }
            Err(error)
                if self.service.is_some() && error.kind() == io::ErrorKind::PermissionDenied =>
            {
                let hidden = HIDDEN_DATABASE_PASSWORD.put("user", &config.user);
                self.add(key, hidden.put("file", &file));
            }
            Err(error) => self.failed(Severity::Error, key, &file, &error),
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
        let aliases = [("local.aliases", &config.local.aliases)];
        for (key, file) in table.chain(lists).chain(aliases) {
            let opened =
                rights::act(self.service.as_ref(), || rights::open_to_read(file, None).map(drop));
            let shown = file.display().to_string();
            match opened {
                // There may be none.
                Err(error) if key == "local.aliases" && error.kind() == io::ErrorKind::NotFound => {
                }
                Err(error) if key != "relay_recipients" => self.awaited(key, &shown, &error),
                Err(error) => self.failed(Severity::Warning, key, &shown, &error),
                Ok(()) => {}
            }
        }
        let file = config.virtual_addresses.file.iter();
        for file in file.map(|file| file.display().to_string()) {
            for (number, what) in local::broken_lines(config, self.service.as_ref()) {
                let said = said_of!(
                    "{file}:{number}: {what}; until then mail for it waits",
                    "{file}:{number}: {what}; hasta entonces el correo para ella espera";
                    file = Said::words(&file), number = Said::words(number.to_string()), what = what
                );
                let broken = Finding::new(BROKEN, Severity::Error, said, Said::default());
                self.add("virtual.file", broken);
            }
        }
        self.circles(config);
        if let Some(file) = &config.srs.secret_file {
            let read = || rights::read_secret(file).map(drop);
            if let Err(error) = read().and_then(|()| rights::act(self.service.as_ref(), read)) {
                let key = "srs.secret_file";
                self.failed(Severity::Warning, key, &file.display().to_string(), &error);
            }
        }
        let Mailbox::Lmtp(server) = &config.local.mailbox else { return };
        let whole = Arc::new(config.clone());
        if local::root_reads_postmaster(&whole, self.service.as_ref()).unwrap_or_default() {
            self.add("local.postmaster", UNREAD.put("server", server));
        }
        if server.starts_with('/') {
            let may_write = || Ok(eaccess(Path::new(server), AccessFlags::W_OK)?);
            if let Err(error) = rights::act(self.service.as_ref(), may_write) {
                self.failed(Severity::Warning, "local.mailbox", server, &error);
            }
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
                    self.add(key, HELD.put("address", address));
                }
                _ => self.failed(Severity::Error, key, &address.to_string(), &error),
            }
        }
    }

    // Without them all that the listeners for logins do is to refuse.
    fn accounts(&mut self, config: &Config) {
        let listen = &config.listen;
        let key = match (listen.submission.is_empty(), listen.submissions.is_empty()) {
            (true, true) => return,
            (true, false) => "listen.submissions",
            (false, _) => "listen.submission",
        };
        let file = &config.accounts.file;
        if let Some(socket) = &config.accounts.dovecot {
            let connect = || std::os::unix::net::UnixStream::connect(socket);
            if let Err(error) = rights::act(self.service.as_ref(), connect) {
                let socket = socket.display().to_string();
                self.failed(Severity::Warning, "accounts.dovecot", &socket, &error);
            }
            return;
        }
        let load = || match Book::load(file) {
            Err(BookError::File { error, .. }) => Err(error),
            read => Ok(read),
        };
        match rights::act(self.service.as_ref(), load) {
            Ok(Ok(book)) if !book.accounts().is_empty() => {}
            Ok(Ok(_)) => self.add(key, NOBODY.put("file", file.display())),
            Ok(Err(error)) => {
                self.bare(Severity::Warning, "accounts.file", false, error.said());
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.add(key, NOBODY.put("file", file.display()));
            }
            Err(error) => {
                let file = file.display().to_string();
                self.failed(Severity::Warning, "accounts.file", &file, &error);
            }
        }
    }

    fn sources(&mut self, config: &Config) {
        let delivery = &config.delivery;
        let v4 = delivery.bind_ipv4.map(|address| ("delivery.bind_ipv4", IpAddr::V4(address)));
        let v6 = delivery.bind_ipv6.map(|address| ("delivery.bind_ipv6", IpAddr::V6(address)));
        let of_sources = config.sources.iter().flat_map(|source| {
            let v4 = source.ipv4.map(|address| ("source.ipv4", IpAddr::V4(address)));
            v4.into_iter().chain(source.ipv6.map(|address| ("source.ipv6", IpAddr::V6(address))))
        });
        for (key, address) in v4.into_iter().chain(v6).chain(of_sources) {
            if UdpSocket::bind((address, 0)).is_err() {
                self.add(key, NOT_OURS.put("address", address));
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

/// The file as it stands; what cannot be read has no lines to name.
pub(super) fn text_of(file: &Path) -> String {
    std::fs::read_to_string(file).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn tried(text: &str) -> Vec<(Severity, &'static str, Option<usize>)> {
        let mut config = Config::parse(text, "puerto.toml").unwrap();
        // What this machine has in the usual place is no matter of the tests.
        if !text.contains("[dkim]") {
            config.dkim_directory = "/nonexistent".into();
        }
        of(&config, text)
            .iter()
            .map(|found| (found.finding.severity, found.key, found.line))
            .collect()
    }

    const QUIET: &str = "hostname = \"mail.example.com\"\n";

    #[test]
    fn a_postmaster_whom_an_lmtp_server_may_not_know_is_warned_of() {
        use Severity::Warning;
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).display().to_string();
        let listen = "[listen]\nsmtp = []\n";
        std::fs::write(path("aliases"), "root: ana\n").unwrap();
        let lmtp = |socket: &str, aliases: &str| {
            let (socket, aliases) = (path(socket), path(aliases));
            format!(
                "{QUIET}{listen}[local]\nmailbox = \"lmtp:{socket}\"\naliases = \"{aliases}\"\n"
            )
        };
        for (text, expected) in [
            (
                lmtp("none", "none"),
                vec![(Warning, "local.postmaster", None), (Warning, "local.mailbox", Some(5))],
            ),
            (lmtp("none", "aliases"), vec![(Warning, "local.mailbox", Some(5))]),
            (
                format!("{}postmaster = \"ana\"\n", lmtp("none", "none")),
                vec![(Warning, "local.mailbox", Some(5))],
            ),
        ] {
            assert_eq!(tried(&text), expected, "{text}");
        }
    }

    #[test]
    fn a_database_that_could_not_be_used_is_found_with_its_line() {
        use Severity::{Error, Warning};
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).display().to_string();
        for (name, text, mode) in [("open", "s3cret\n", 0o644), ("empty", "\n", 0o600)] {
            std::fs::write(path(name), text).unwrap();
            std::fs::set_permissions(path(name), PermissionsExt::from_mode(mode)).unwrap();
        }
        let listen = "[listen]\nsmtp = []\n";
        std::fs::write(path("secret"), "s3cret\n").unwrap();
        std::fs::set_permissions(path("secret"), PermissionsExt::from_mode(0o600)).unwrap();
        let database = |options: &str, file: &str| {
            let file = path(file);
            format!(
                "{QUIET}{listen}[store]\nurl = \"postgres://u@db1.example/p{options}\"\n\
                 password_file = \"{file}\"\n"
            )
        };
        for (text, expected) in [
            (database("", "none"), vec![(Error, "store.password_file", Some(6))]),
            (database("", "empty"), vec![(Error, "store.password_file", Some(6))]),
            (database("", "open"), vec![(Warning, "store.password_file", Some(6))]),
            (database("", "secret"), vec![]),
            (database("?sslmode=require", "secret"), vec![]),
            (database("?sslmode=quatsch", "secret"), vec![(Error, "store.url", Some(5))]),
            (database("?foo=bar", "secret"), vec![(Error, "store.url", Some(5))]),
            (database("?sslrootcert=/none", "secret"), vec![(Error, "store.url", Some(5))]),
            (
                format!("{QUIET}{listen}[store]\nnode = \"mail1\"\n"),
                vec![(Warning, "store.node", Some(5))],
            ),
        ] {
            assert_eq!(tried(&text), expected, "{text}");
        }
    }

    #[test]
    fn what_would_stop_the_daemon_or_its_mail_is_found_with_its_line() {
        use Severity::{Error, Warning};
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).display().to_string();
        std::fs::write(path("open"), "secret\n").unwrap();
        std::fs::set_permissions(path("open"), PermissionsExt::from_mode(0o644)).unwrap();
        std::fs::write(path("empty"), "\n").unwrap();
        std::fs::set_permissions(path("empty"), PermissionsExt::from_mode(0o600)).unwrap();
        let listen = "[listen]\nsmtp = []\n";
        let relay = |file: &str| {
            format!(
                "{QUIET}relayhost = \"[r.example]\"\nrelayhost_user = \"u\"\nrelayhost_password_file = \"{}\"\n{listen}",
                path(file)
            )
        };
        for (text, expected) in [
            (format!("{QUIET}{listen}"), vec![]),
            (
                format!("{QUIET}user = \"nobody-of-this-name\"\n{listen}"),
                vec![(Error, "user", Some(2))],
            ),
            (format!("hostname = \"vps\"\n{listen}"), vec![(Warning, "hostname", Some(1))]),
            (format!("hostname = \"a.lan\"\n{listen}"), vec![(Warning, "hostname", Some(1))]),
            (format!("{QUIET}origin = \"a.lan\"\n{listen}"), vec![(Warning, "origin", Some(2))]),
            (
                format!("{QUIET}{listen}[sender]\nalways = \"a@b.lan\"\n"),
                vec![(Warning, "sender.always", Some(5))],
            ),
            (
                format!("{QUIET}log_to = \"{}\"\n{listen}", path("none/mail.log")),
                vec![(Error, "log_to", Some(2))],
            ),
            (
                format!("{QUIET}log_to = \"{}\"\n{listen}", path("")),
                vec![(Error, "log_to", Some(2))],
            ),
            (format!("{QUIET}log_to = \"{}\"\n{listen}", path("mail.log")), vec![]),
            (
                format!("{QUIET}{listen}[dkim]\ndirectory = \"{}\"\n", path("open")),
                vec![(Warning, "dkim.directory", Some(5))],
            ),
            (
                format!("{QUIET}[listen]\nsmtp = [\"192.0.2.1:25\"]\n"),
                vec![(Error, "listen.smtp", Some(3))],
            ),
            (
                format!("{QUIET}{listen}[delivery]\nbind_ipv4 = \"192.0.2.1\"\n"),
                vec![(Warning, "delivery.bind_ipv4", Some(5))],
            ),
            (
                format!(
                    "{QUIET}{listen}[tls]\ncertificate = \"{0}\"\nkey = \"{0}\"\n",
                    path("none")
                ),
                vec![(Error, "tls.certificate", Some(5)), (Error, "tls.key", Some(6))],
            ),
            (
                format!(
                    "{QUIET}{listen}[tls]\ncertificate = \"{0}\"\nkey = \"{0}\"\n",
                    path("open")
                ),
                vec![(Error, "tls.certificate", Some(5))],
            ),
            (
                format!(
                    "{QUIET}{listen}[virtual]\ndomains = [\"a.example\"]\nfile = \"{}\"\n",
                    path("none")
                ),
                vec![(Error, "virtual.file", Some(6))],
            ),
            (
                format!(
                    "{QUIET}relay_domains = [\"b.example\"]\nrelay_recipients = [\"{}\"]\n{listen}",
                    path("none")
                ),
                vec![(Warning, "relay_recipients", Some(3))],
            ),
            (
                format!(
                    "{QUIET}{listen}[srs]\ndomain = \"a.example\"\nsecret_file = \"{}\"\n",
                    path("open")
                ),
                vec![(Warning, "srs.secret_file", Some(6))],
            ),
            (relay("none"), vec![(Error, "relayhost_password_file", Some(4))]),
            (relay("open"), vec![(Error, "relayhost_password_file", Some(4))]),
            (relay("empty"), vec![(Error, "relayhost_password_file", Some(4))]),
        ] {
            assert_eq!(tried(&text), expected, "{text}");
        }
    }

    #[test]
    fn who_may_log_in_is_looked_for_where_logins_are_listened_for() {
        use Severity::Warning;
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).display().to_string();
        std::fs::write(path("open"), "secret\n").unwrap();
        std::fs::set_permissions(path("open"), PermissionsExt::from_mode(0o644)).unwrap();
        std::fs::write(path("empty"), "\n").unwrap();
        std::fs::set_permissions(path("empty"), PermissionsExt::from_mode(0o600)).unwrap();
        let logins = |key: &str, file: &str| {
            format!(
                "{QUIET}[listen]\nsmtp = []\nsubmissions = [\"127.0.0.1:0\"]\n[tls]\n\
                 certificate = \"{0}\"\nkey = \"{0}\"\n[accounts]\n{key} = \"{1}\"\n",
                path("none"),
                path(file)
            )
        };
        let mut book = Book::default();
        book.save(Path::new(&path("none-yet")), |_| Ok(())).unwrap();
        book.add("ana", &[]).unwrap();
        book.save(Path::new(&path("accounts")), |_| Ok(())).unwrap();
        for (text, expected) in [
            (logins("file", "none"), vec![(Warning, "listen.submissions", Some(4))]),
            (logins("file", "none-yet"), vec![(Warning, "listen.submissions", Some(4))]),
            (logins("file", "open"), vec![(Warning, "accounts.file", Some(9))]),
            (logins("file", "empty"), vec![(Warning, "listen.submissions", Some(4))]),
            (logins("dovecot", "none"), vec![(Warning, "accounts.dovecot", Some(9))]),
            (logins("file", "accounts"), vec![]),
        ] {
            // None of these has a certificate.
            let mut tried = tried(&text);
            tried.retain(|(_, key, _)| !key.starts_with("tls."));
            assert_eq!(tried, expected, "{text}");
        }
    }

    #[test]
    fn what_is_found_is_said_as_ever() {
        // Others may not look at everything.
        if !nix::unistd::geteuid().is_root() {
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().display().to_string();
        let path = |name: &str, text: &str, mode: u32| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
            path.display().to_string()
        };
        let pem = "-----BEGIN CERTIFICATE-----\n";
        let held = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = held.local_addr().unwrap().to_string();
        let mut all = String::new();
        for text in [
            "hostname = \"vps\"\nuser = \"nobody-of-this-name\"\n".to_owned(),
            format!(
                "hostname = \"a.lan\"\norigin = \"b.lan\"\nlog_to = \"{root}\"\nrun_dir = \"{root}\"\n\
                 [listen]\nsmtp = [\"{address}\", \"192.0.2.1:25\"]\n\
                 [delivery]\nbind_ipv4 = \"192.0.2.1\"\nbind_ipv6 = \"2001:db8::1\"\n\
                 [tls]\ncertificate = \"{root}/none\"\nkey = \"{}\"\n\
                 [dkim]\ndirectory = \"{}\"\n\
                 [[route]]\nto = \"a.example\"\nvia = \"[r.example]\"\nuser = \"u\"\n\
                 password_file = \"{}\"\n",
                path("key.pem", pem, 0o600),
                path("dkim", "", 0o600),
                path("empty", "\n", 0o600),
            ),
            format!(
                "{QUIET}relayhost = \"[r.example]\"\nrelayhost_user = \"u\"\n\
                 relayhost_password_file = \"{}\"\n[sender]\nalways = \"a@b.lan\"\n\
                 [tls]\ncertificate = \"{root}/key.pem\"\nkey = \"{root}/key.pem\"\n",
                path("open", "secret\n", 0o644),
            ),
            format!(
                "{QUIET}[listen]\nsubmission = [\"127.0.0.1:0\"]\n[accounts]\nfile = \"{root}/none\"\n\
                 [tls]\ncertificate = \"{root}/none\"\nkey = \"{root}/none\"\n",
            ),
            // No user who exists: all threads of the tests would become that user.
            format!("{QUIET}[dkim]\ndirectory = \"{root}\"\n"),
        ] {
            std::fs::create_dir_all(folder.path().join("example.com")).unwrap();
            path("example.com/s1.pem", "none", 0o640);
            let mut config = Config::parse(&text, "puerto.toml").unwrap();
            if !text.contains("[listen]") {
                config.listen = crate::config::Listen::default();
            }
            if !text.contains("[dkim]") {
                config.dkim_directory = "/nonexistent".into();
            }
            for found in of(&config, &text) {
                for language in [Language::English, Language::Spanish] {
                    let (shown, json) = (found.text("puerto.toml", language), found.json(language));
                    all += &format!("{shown}\n{json}\n");
                }
            }
        }
        let all = all.replace(&root, "/ROOT").replace(&address, "ADDRESS");
        crate::golden::same("cli/trial.txt", &all);
    }

    #[test]
    fn an_address_in_use_is_told_and_not_disturbed() {
        let held = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = held.local_addr().unwrap();
        let run = tempfile::tempdir().unwrap();
        let text = format!("{QUIET}run_dir = {:?}\n[listen]\nsmtp = [\"{address}\"]\n", run.path());
        assert_eq!(tried(&text), [(Severity::Warning, "listen.smtp", Some(4))]);
        assert!(std::net::TcpStream::connect(address).is_ok());
        let _daemon = std::os::unix::net::UnixListener::bind(run.path().join("control")).unwrap();
        assert_eq!(tried(&text), [], "the daemon that runs holds it");
    }
}
