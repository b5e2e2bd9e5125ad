//! Opens what the daemon will open, so that `config check` tells before a start what would
//! stop it, and what would stop mail. Nothing is changed, and a daemon that runs is not
//! disturbed: it holds its addresses, and only those that nobody holds are taken for a moment.

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::path::Path;

use nix::unistd::{AccessFlags, eaccess};
use serde_json::{Value, json};

use super::clock::now;
use crate::config::{Config, LogTarget};
use crate::intake::KeyRing;
use crate::lang::{Language, Said, Text, said, said_of};
use crate::rights::{self, Identity};
use crate::sender;
use crate::survey::names::is_private;
use crate::tls::{OwnCertificate, ServerTls};

/// How grave a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Gravity {
    /// The daemon would not start.
    Error,
    /// Mail would wait or be refused.
    Warning,
    /// Only root, or the daemon's user, could tell.
    Unseen,
}

impl Gravity {
    fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Unseen => "not-seen",
        }
    }

    fn in_language(self, language: Language) -> &'static str {
        let text = match self {
            Self::Error => Text::new("error", "error"),
            Self::Warning => Text::new("warning", "aviso"),
            Self::Unseen => Text::new("not looked at", "sin mirar"),
        };
        text.of(language)
    }
}

/// What was found about one key.
#[derive(Debug)]
pub(super) struct Finding {
    pub(super) gravity: Gravity,
    key: &'static str,
    line: Option<usize>,
    what: Said,
}

impl Finding {
    /// For people: where, and what to do.
    pub(super) fn text(&self, file: &str, language: Language) -> String {
        let line = self.line.map(|line| format!(":{line}")).unwrap_or_default();
        let gravity = self.gravity.in_language(language);
        format!("{gravity}: {file}{line}: {}: {}", self.key, self.what.of(language))
    }

    /// For programs.
    pub(super) fn json(&self, language: Language) -> Value {
        json!({
            "severity": self.gravity.name(), "key": self.key, "line": self.line,
            "message": self.what.of(language),
        })
    }
}

/// Tries everything that a configuration names; `text` is its file.
pub(super) fn of(config: &Config, text: &str) -> Vec<Finding> {
    // A user who is missing is told; nobody is acted as then.
    let service = Identity::of_service(&config.user).ok().flatten();
    let mut trial = Trial { text, service, found: Vec::new() };
    trial.user(config);
    trial.log(config);
    trial.certificate(config);
    trial.passwords(config);
    trial.keys(config);
    trial.listeners(config);
    trial.sources(config);
    trial.names(config);
    trial.found
}

struct Trial<'a> {
    text: &'a str,
    /// As whom the daemon opens most of it.
    service: Option<Identity>,
    found: Vec<Finding>,
}

impl Trial<'_> {
    fn add(&mut self, gravity: Gravity, key: &'static str, what: Said) {
        self.found.push(Finding { gravity, key, line: line_of(self.text, key), what });
    }

    // What the system says of an open or a bind, by what it means for a start.
    fn failed(&mut self, gravity: Gravity, key: &'static str, about: &str, error: &io::Error) {
        // An error with words of its own is a judgement, whoever asks.
        let is_ours = error.get_ref().is_some();
        let is_denied = error.kind() == io::ErrorKind::PermissionDenied && !is_ours;
        let gravity = match is_denied && !nix::unistd::geteuid().is_root() {
            true => Gravity::Unseen,
            false => gravity,
        };
        let what = said_of!("{about}: {error}", "{about}: {error}";
            about = Said::words(about), error = rights::said(error));
        self.add(gravity, key, what);
    }

    // The default is made by `puerto setup`; who wrote another name means one that exists.
    fn user(&mut self, config: &Config) {
        let is_written = line_of(self.text, "user").is_some();
        let is_missing = matches!(nix::unistd::User::from_name(&config.user), Ok(None));
        if is_written && !config.user.is_empty() && is_missing {
            let what = said!(
                "there is no user {user}: make it (`useradd --system {user}`) or name another",
                "no existe el usuario {user}: créelo (`useradd --system {user}`) o ponga otro";
                user = config.user
            );
            self.add(Gravity::Error, "user", what);
        }
    }

    fn certificate(&mut self, config: &Config) {
        let Some(files) = &config.tls else { return };
        let mut is_readable = true;
        for (key, file) in [("tls.certificate", &files.certificate), ("tls.key", &files.key)] {
            if let Err(error) = rights::open_to_read(file, None) {
                self.failed(Gravity::Error, key, &file.display().to_string(), &error);
                is_readable = false;
            }
        }
        if let (true, Err(error)) = (is_readable, ServerTls::load(Some(files))) {
            self.add(Gravity::Error, "tls.certificate", error.said());
        }
        let own = OwnCertificate::load(files).ok().filter(|_| is_readable);
        if own.and_then(|own| own.not_after()).is_some_and(|end| end <= now().as_second()) {
            let what = said!(
                "{file} has expired: who verifies it sends nothing here; renew it, and reload",
                "{file} ha caducado: quien lo verifica no envía nada aquí; renuévelo y recargue";
                file = files.certificate.display()
            );
            self.add(Gravity::Warning, "tls.certificate", what);
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
            self.failed(Gravity::Error, "log_to", &file.display().to_string(), &error);
        }
    }

    fn keys(&mut self, config: &Config) {
        let folder = &config.dkim_directory;
        if folder.exists() && !folder.is_dir() {
            let what = said!(
                "{folder} is no folder, so mail leaves unsigned", "{folder} no es una carpeta, así \
                 que el correo sale sin firmar"; folder = folder.display()
            );
            self.add(Gravity::Warning, "dkim.directory", what);
            return;
        }
        let gravity =
            if nix::unistd::geteuid().is_root() { Gravity::Warning } else { Gravity::Unseen };
        for problem in KeyRing::of(config).problems() {
            self.add(gravity, "dkim.directory", problem.said);
        }
    }

    fn passwords(&mut self, config: &Config) {
        let logins = config.relays().filter_map(|relay| Some((relay.route, relay.login?)));
        for (route, login) in logins {
            let of_route = route.is_some();
            let key = if of_route { "route.password_file" } else { "relayhost_password_file" };
            let file = login.password_file.display().to_string();
            let read = || rights::read_secret(&login.password_file);
            // First as root, who trusts no names in others' folders.
            match read().and_then(|_| rights::act(self.service.as_ref(), read)) {
                Ok(text) if text.trim().is_empty() => {
                    let what = said!(
                        "{file} holds no password: write it into the first line",
                        "{file} no contiene ninguna contraseña: escríbala en la primera línea";
                        file = file
                    );
                    self.add(Gravity::Warning, key, what);
                }
                Ok(_) => {}
                Err(error)
                    if self.service.is_some()
                        && error.kind() == io::ErrorKind::PermissionDenied
                        && error.get_ref().is_none() =>
                {
                    let what = said!(
                        "{user}, as whom the server runs, may not read {file}; run: chgrp $(id -g {user}) {file} \
                         && chmod 0640 {file}",
                        "{user}, con cuyos permisos trabaja el servidor, no puede leer {file}; ejecute: \
                         chgrp $(id -g {user}) {file} && chmod 0640 {file}";
                        user = config.user, file = file
                    );
                    self.add(Gravity::Warning, key, what);
                }
                Err(error) => self.failed(Gravity::Warning, key, &file, &error),
            }
        }
    }

    fn listeners(&mut self, config: &Config) {
        let listen = &config.listen;
        let services = [
            ("listen.smtp", &listen.smtp),
            ("listen.submission", &listen.submission),
            ("listen.submissions", &listen.submissions),
        ];
        // Its addresses are in use, and by whom they should.
        let runs = std::os::unix::net::UnixStream::connect(config.run_dir.join("control")).is_ok();
        for (key, address) in services.iter().flat_map(|(k, list)| list.iter().map(|a| (*k, *a))) {
            let Err(error) = bind(address) else { continue };
            match error.kind() {
                io::ErrorKind::AddrInUse if runs => {}
                io::ErrorKind::AddrInUse => {
                    let what = said!(
                        "{address} is held by another program: `ss -ltnp` names it",
                        "{address} lo ocupa otro programa: `ss -ltnp` lo nombra";
                        address = address
                    );
                    self.add(Gravity::Warning, key, what);
                }
                _ => self.failed(Gravity::Error, key, &address.to_string(), &error),
            }
        }
    }

    fn sources(&mut self, config: &Config) {
        let delivery = &config.delivery;
        let v4 = delivery.bind_ipv4.map(|address| ("delivery.bind_ipv4", IpAddr::V4(address)));
        let v6 = delivery.bind_ipv6.map(|address| ("delivery.bind_ipv6", IpAddr::V6(address)));
        for (key, address) in v4.into_iter().chain(v6) {
            if UdpSocket::bind((address, 0)).is_err() {
                let what = said!(
                    "{address} is no address of this machine, so no mail would leave: `ip address` \
                     shows those that are",
                    "{address} no es una dirección de esta máquina, así que no saldría correo: `ip \
                     address` muestra las que sí";
                    address = address
                );
                self.add(Gravity::Warning, key, what);
            }
        }
    }

    fn names(&mut self, config: &Config) {
        let name = config.hostname.as_str();
        if !name.contains('.') {
            let what = said!(
                "{name} is not a full name, and receivers refuse such a greeting: write one as in \
                 mail.example.com",
                "{name} no es un nombre completo, y los receptores rechazan ese saludo: escriba uno \
                 como mail.example.com";
                name = name
            );
            self.add(Gravity::Warning, "hostname", what);
        } else if is_private(name) && config.relayhost.is_none() {
            let what = said!(
                "{name} is a name that nobody outside knows, and receivers refuse such a greeting: \
                 write one as in mail.example.com",
                "{name} es un nombre que nadie conoce fuera, y los receptores rechazan ese saludo: \
                 escriba uno como mail.example.com";
                name = name
            );
            self.add(Gravity::Warning, "hostname", what);
        }
        let sender = sender::of_the_machine(config);
        let domain = sender.as_ref().and_then(|sender| sender.domain().name());
        if domain.is_some_and(|domain| is_private(domain) && domain != name) {
            let what = said!(
                "mail of this machine is from {sender}, which nobody outside can answer, and \
                 receivers refuse it: set `origin` to a domain of yours",
                "el correo de esta máquina sale de {sender}, a donde nadie de fuera puede contestar, y \
                 los receptores lo rechazan: ponga en `origin` un dominio suyo";
                sender = sender.as_ref().map(ToString::to_string).unwrap_or_default()
            );
            let key = if config.sender.always.is_some() { "sender.always" } else { "origin" };
            self.add(Gravity::Warning, key, what);
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

    fn tried(text: &str) -> Vec<(Gravity, &'static str, Option<usize>)> {
        let mut config = Config::parse(text, "puerto.toml").unwrap();
        // What this machine has in the usual place is no matter of the tests.
        if !text.contains("[dkim]") {
            config.dkim_directory = "/nonexistent".into();
        }
        of(&config, text).iter().map(|found| (found.gravity, found.key, found.line)).collect()
    }

    const QUIET: &str = "hostname = \"mail.example.com\"\n";

    #[test]
    fn what_would_stop_the_daemon_or_its_mail_is_found_with_its_line() {
        use Gravity::{Error, Warning};
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
            (relay("none"), vec![(Warning, "relayhost_password_file", Some(4))]),
            (relay("open"), vec![(Warning, "relayhost_password_file", Some(4))]),
            (relay("empty"), vec![(Warning, "relayhost_password_file", Some(4))]),
        ] {
            assert_eq!(tried(&text), expected, "{text}");
        }
    }

    #[test]
    fn an_address_in_use_is_told_and_not_disturbed() {
        let held = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = held.local_addr().unwrap();
        let run = tempfile::tempdir().unwrap();
        let text = format!("{QUIET}run_dir = {:?}\n[listen]\nsmtp = [\"{address}\"]\n", run.path());
        assert_eq!(tried(&text), [(Gravity::Warning, "listen.smtp", Some(4))]);
        assert!(std::net::TcpStream::connect(address).is_ok());
        let _daemon = std::os::unix::net::UnixListener::bind(run.path().join("control")).unwrap();
        assert_eq!(tried(&text), [], "the daemon that runs holds it");
    }
}
