//! What another mail program on this machine is configured to do, so that it can be
//! taken over. Only files are read, and what cannot be taken over is said.

mod exim;
mod forwarders;
mod msmtp;
mod opendkim;
mod postfix;

use std::net::SocketAddr;
use std::path::PathBuf;

use puerto_smtp::Domain;

use super::host_name;
use super::others::Service;
use super::root::Root;
use super::senders::is_known_outside;
use crate::config::{Mailbox, Network, NextHop, Sender, TlsFiles};
use crate::lang::{Said, Text};

pub use opendkim::ForeignKey;

/// What one program's configuration says, in our terms.
#[derive(Debug, Default)]
pub struct Inherited {
    /// The program's name, as people write it.
    pub program: &'static str,
    /// The service to stop, if the program is one that runs all the time.
    pub service: Option<Service>,
    /// The files that were read, as paths of the machine.
    pub files: Vec<PathBuf>,
    /// Its host name.
    pub hostname: Option<String>,
    /// The domains that are local to it; the first completes bare names.
    pub domains: Vec<Domain>,
    /// It says that mail for no domain stays on this machine.
    pub nothing_local: bool,
    /// What completes bare senders, where it says so and that is a name.
    pub origin: Option<Domain>,
    /// Under which addresses it knows senders elsewhere.
    pub sender: Sender,
    /// Where it sends all mail.
    pub relayhost: Option<NextHop>,
    /// User and password for that.
    pub login: Option<Credentials>,
    /// It demands TLS with a verified certificate there.
    pub tls_required: bool,
    /// Who may relay through it.
    pub networks: Vec<Network>,
    /// The largest message it takes.
    pub message_size: Option<u64>,
    /// Its aliases.
    pub aliases: Option<PathBuf>,
    /// Its kind of mailbox, where it is not mbox.
    pub mailbox: Option<Mailbox>,
    /// Where it listens, where that is not everywhere.
    pub listen: Option<Vec<SocketAddr>>,
    /// Its certificate.
    pub certificate: Option<TlsFiles>,
    /// The IPv4 address that it sends from.
    pub bind_ipv4: Option<std::net::Ipv4Addr>,
    /// The IPv6 address that it sends from.
    pub bind_ipv6: Option<std::net::Ipv6Addr>,
    /// Keys that it signs with.
    pub keys: Vec<ForeignKey>,
    /// What is not taken over, and what to do about it.
    pub left: Vec<Said>,
}

impl Inherited {
    fn of(program: &'static str) -> Self {
        Self { program, ..Self::default() }
    }

    /// Notes its host name, or that others do not know it.
    fn hostname_of(&mut self, program: &str, key: &str, value: Option<&str>) {
        let Some(value) = value else { return };
        match host_name(value).filter(|name| is_known_outside(name)) {
            Some(_) => self.hostname = Some(value.to_owned()),
            None => {
                let values = [("program", program), ("key", key), ("value", value)];
                self.left.push(Said::with(HOST, &values));
            }
        }
    }

    /// Notes what completes bare senders, or that it is of no use outside.
    fn origin_of(&mut self, program: &str, key: &str, value: &str) {
        match own_name(value).filter(|domain| domain.name().is_some_and(is_known_outside)) {
            Some(domain) if self.domains.first() == Some(&domain) => {}
            Some(domain) => self.origin = Some(domain),
            None => {
                let values = [("program", program), ("key", key), ("value", value)];
                self.left.push(Said::with(ORIGIN, &values));
            }
        }
    }

    /// What would be taken over, as our configuration would write it, one for each line.
    pub fn summary(&self) -> Vec<String> {
        let mut out = Vec::new();
        let mut line = |name: &str, value: Option<String>| {
            out.extend(value.map(|value| format!("{name} = {value}")));
        };
        let joined = |items: Vec<String>| (!items.is_empty()).then(|| items.join(", "));
        line("hostname", self.hostname.clone());
        line("domains", joined(self.domains.iter().map(Domain::to_string).collect()));
        line("origin", self.origin.as_ref().map(Domain::to_string));
        let Sender { always, map, masquerade, masquerade_except } = &self.sender;
        line("sender.always", always.as_ref().map(ToString::to_string));
        for (who, known) in map {
            line("sender.map", Some(format!("{who} → {known}")));
        }
        line("sender.masquerade", joined(masquerade.iter().map(ToString::to_string).collect()));
        let except = masquerade_except.iter().map(ToString::to_string).collect();
        line("sender.masquerade_except", joined(except));
        line("relayhost", self.relayhost.as_ref().map(NextHop::to_string));
        line("relayhost_user", self.login.as_ref().map(|login| login.user.clone()));
        line("trusted_networks", joined(self.networks.iter().map(Network::to_string).collect()));
        line("message_size", self.message_size.map(|size| size.to_string()));
        line("aliases", self.aliases.as_ref().map(|path| path.display().to_string()));
        line("mailbox", self.mailbox.as_ref().map(|_| "maildir".to_owned()));
        let listen = self.listen.iter().flatten().map(SocketAddr::to_string).collect();
        line("listen.smtp", joined(listen));
        let certificate = self.certificate.as_ref();
        line("tls.certificate", certificate.map(|files| files.certificate.display().to_string()));
        line("delivery.bind_ipv4", self.bind_ipv4.map(|address| address.to_string()));
        line("delivery.bind_ipv6", self.bind_ipv6.map(|address| address.to_string()));
        for key in &self.keys {
            line("dkim", Some(format!("{}._domainkey.{}", key.selector, key.domain)));
        }
        out
    }
}

/// A user name and a password. The password is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The user.
    pub user: String,
    /// The password.
    pub password: String,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Credentials({:?}, …)", self.user)
    }
}

/// Looks for every program that is known.
pub fn look(root: &Root) -> Vec<Inherited> {
    let readers = [
        postfix::read,
        exim::read,
        msmtp::read,
        forwarders::nullmailer,
        forwarders::ssmtp,
        forwarders::dma,
        forwarders::unread,
        opendkim::read,
    ];
    readers.into_iter().filter_map(|read| read(root)).collect()
}

const UNREADABLE: Text = Text::new(
    "{file} cannot be read ({error}): run this as root to take over what it says",
    "{file} no se puede leer ({error}): ejecútelo como root para heredar lo que dice",
);
const HOST: Text = Text::new(
    "{program}'s {key} = {value} is not taken over: that is no full name by which others know a \
     machine of yours",
    "{key} = {value} de {program} no se hereda: no es un nombre completo con el que otros conozcan \
     una máquina suya",
);
const ORIGIN: Text = Text::new(
    "{program}'s {key} = {value} is not taken over: that is no name by which others can answer. Set \
     `origin` to a domain of yours",
    "{key} = {value} de {program} no se hereda: no es un nombre con el que otros puedan contestar. \
     Ponga en `origin` un dominio suyo",
);
const NOT_A_HOP: Text = Text::new(
    "{key} = {value} is not taken over: {error}",
    "{key} = {value} no se hereda: {error}",
);

const OTHERS: Text = Text::new(
    "{program} also sets {keys}, of which nothing is taken over: see whether this server needs \
     anything like it",
    "{program} también fija {keys}, de lo que no se hereda nada: vea si este servidor necesita \
     algo parecido",
);
const AUTHORITY: Text = Text::new(
    "{program} verifies certificates with {file}, and this server with the authorities that the \
     system trusts: if one of your own signed the relay's certificate, copy it to \
     /usr/local/share/ca-certificates and run update-ca-certificates",
    "{program} verifica certificados con {file}, y este servidor con las autoridades en que confía \
     el sistema: si el certificado del relay lo firmó una propia, cópiela a \
     /usr/local/share/ca-certificates y ejecute update-ca-certificates",
);
/// Where systems keep the authorities that they trust.
const SYSTEM_AUTHORITIES: [&str; 6] = [
    "system",
    "/etc/ssl/certs",
    "/etc/ssl/certs/",
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/cert.pem",
];

/// Names the settings that nobody here has read, so that none is dropped in silence.
fn name_others(mut keys: Vec<&str>, inherited: &mut Inherited) {
    keys.sort_unstable();
    keys.dedup();
    if !keys.is_empty() {
        let values = [("program", inherited.program), ("keys", &keys.join(", "))];
        inherited.left.push(Said::with(OTHERS, &values));
    }
}

/// Names a file of authorities that is not the system's.
fn authorities(file: Option<&str>, inherited: &mut Inherited) {
    if let Some(file) = file.filter(|file| !SYSTEM_AUTHORITIES.contains(file)) {
        let values = [("program", inherited.program), ("file", file)];
        inherited.left.push(Said::with(AUTHORITY, &values));
    }
}

/// Reads a file, or notes that it is there but cannot be read.
fn text_of(root: &Root, path: &str, inherited: &mut Inherited) -> Option<String> {
    match root.read(path) {
        Ok(None) => None,
        Ok(text) => {
            inherited.files.push(PathBuf::from(path));
            text
        }
        Err(error) => {
            inherited
                .left
                .push(Said::with(UNREADABLE, &[("file", path), ("error", &error.to_string())]));
            None
        }
    }
}

/// Reads a next hop, or notes why it is none. At port 465 TLS begins with the first byte
/// (RFC 8314 §3.3), whatever program writes it.
fn next_hop(key: &str, value: &str, implicit_tls: bool, inherited: &mut Inherited) {
    match NextHop::parse(value) {
        Ok(mut hop) => {
            hop.implicit_tls |= implicit_tls || hop.port == Some(465);
            inherited.relayhost = Some(hop);
        }
        Err(error) => {
            let [key, value] = [key, value].map(Said::words);
            let values = [("key", &key), ("value", &value), ("error", &error)];
            inherited.left.push(Said::of_parts(NOT_A_HOP, &values));
        }
    }
}

/// A name with a dot, in an address.
fn own_name(text: &str) -> Option<Domain> {
    Domain::parse(text).ok().filter(|domain| domain.name().is_some_and(|name| name.contains('.')))
}

/// A domain that mail can be local to: a name with a dot that is not the loopback's.
fn local_domain(text: &str) -> Option<Domain> {
    let domain = Domain::parse(text).ok()?;
    let name = domain.name()?;
    let loopback = name.starts_with("localhost.") || name.ends_with(".localdomain");
    (name.contains('.') && !loopback).then_some(domain)
}

/// Adds networks and notes those that are none, since a table may stand among them.
fn add_networks<'a>(key: &str, items: impl Iterator<Item = &'a str>, inherited: &mut Inherited) {
    for item in items {
        match Network::parse(item) {
            Ok(network) if inherited.networks.contains(&network) => {}
            Ok(network) => inherited.networks.push(network),
            Err(error) => {
                let [key, value] = [key, item].map(Said::words);
                let values = [("key", &key), ("value", &value), ("error", &error)];
                inherited.left.push(Said::of_parts(NOT_A_HOP, &values));
            }
        }
    }
}

/// Port 25 of this machine alone.
pub(super) fn loopback() -> Vec<SocketAddr> {
    use std::net::{Ipv4Addr, Ipv6Addr};
    vec![(Ipv4Addr::LOCALHOST, 25).into(), (Ipv6Addr::LOCALHOST, 25).into()]
}

#[cfg(test)]
mod tests;
