//! What another mail program on this machine is configured to do, so that it can be
//! taken over. Only files are read, and what cannot be taken over is said.

use std::collections::HashMap;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

use puerto_smtp::{Address, Domain};

use super::host_name;
use super::others::Service;
use super::root::Root;
use super::senders::is_known_outside;
use crate::config::{Known, Mailbox, Network, NextHop, Sender, TlsFiles, Who};
use crate::lang::{Said, Text, said, said_of};

/// Why a setting is not taken over, or what to write instead.
macro_rules! not_taken {
    ($en:literal, $es:literal) => {
        $crate::lang::Text::new(
            concat!("{program}'s {key} = {value} is not taken over: ", $en),
            concat!("{key} = {value} de {program} no se hereda: ", $es),
        )
    };
}

mod exim;
mod forwarders;
mod msmtp;
mod opendkim;
mod postfix;

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
    pub hostname: Option<String>,
    /// The domains that are local to it; the first completes bare names.
    pub domains: Vec<Domain>,
    /// It says that mail for no domain stays on this machine.
    pub nothing_local: bool,
    /// What completes bare senders, where it says so and that is a name.
    pub origin: Option<Domain>,
    /// Under which addresses it knows senders elsewhere.
    pub sender: Sender,
    pub relayhost: Option<NextHop>,
    pub login: Option<Credentials>,
    /// What it tries where the direct way fails, and its login there.
    pub rescue: Option<(NextHop, Option<Credentials>)>,
    /// It demands TLS with a verified certificate at the relayhost.
    pub tls_required: bool,
    /// Who may relay through it.
    pub networks: Vec<Network>,
    pub message_size: Option<u64>,
    pub aliases: Option<PathBuf>,
    /// Its table of addresses that stand for others, and domains that have no other.
    pub virtual_file: Option<PathBuf>,
    pub virtual_domains: Vec<Domain>,
    /// Its kind of mailbox, where it is not mbox.
    pub mailbox: Option<Mailbox>,
    /// Where it listens, where that is not everywhere.
    pub listen: Option<Vec<SocketAddr>>,
    pub certificate: Option<TlsFiles>,
    pub bind_ipv4: Option<Ipv4Addr>,
    pub bind_ipv6: Option<Ipv6Addr>,
    /// Keys that it signs with.
    pub keys: Vec<ForeignKey>,
    /// What is not taken over, and what to do about it.
    pub left: Vec<Said>,
    /// Whether the person had it taken over now.
    pub taken: bool,
}

impl Inherited {
    /// Begins with the file by which a program is known, and its text.
    fn of(program: &'static str, root: &Root, file: &str) -> Option<(Self, String)> {
        if !root.has(file) {
            return None;
        }
        let mut found = Self { program, ..Self::default() };
        let text = found.text_of(root, file).unwrap_or_default();
        Some((found, text))
    }

    /// Reads a file, or notes that it is there but cannot be read.
    fn text_of(&mut self, root: &Root, file: &str) -> Option<String> {
        match root.read(file) {
            Ok(text) => {
                self.files.extend(text.is_some().then(|| PathBuf::from(file)));
                text
            }
            Err(error) => {
                self.left.push(said!(
                    "{file} cannot be read ({error}): run this as root to take over what it says",
                    "{file} no se puede leer ({error}): ejecútelo como root para heredar lo que dice";
                    file = file, error = error
                ));
                None
            }
        }
    }

    /// Notes what comes of a setting, or does not.
    fn note(&mut self, text: Text, key: &str, value: &str) {
        let values = [("program", self.program), ("key", key), ("value", value)];
        self.left.push(Said::with(text, &values));
    }

    /// Notes why a value is none of ours.
    fn wrong(&mut self, key: &str, value: &str, error: &Said) {
        self.left.push(said_of!(
            "{key} = {value} is not taken over: {error}", "{key} = {value} no se hereda: {error}";
            key = Said::words(key), value = Said::words(value), error = error
        ));
    }

    /// Takes its host name, unless others do not know it.
    fn hostname_of(&mut self, key: &str, value: Option<&str>) {
        const HOST: Text = not_taken!(
            "that is no full name by which others know a machine of yours",
            "no es un nombre completo con el que otros conozcan una máquina suya"
        );
        match value {
            Some(name) if host_name(name).is_some_and(|name| is_known_outside(&name)) => {
                self.hostname = Some(name.to_owned());
            }
            Some(name) => self.note(HOST, key, name),
            None => {}
        }
    }

    /// Takes what completes bare senders, unless it is of no use outside.
    fn origin_of(&mut self, key: &str, value: &str) {
        const ORIGIN: Text = not_taken!(
            "that is no name by which others can answer. Set `origin` to a domain of yours",
            "no es un nombre con el que otros puedan contestar. Ponga en `origin` un dominio suyo"
        );
        match own_name(value).filter(|domain| domain.name().is_some_and(is_known_outside)) {
            Some(domain) if self.domains.first() == Some(&domain) => {}
            Some(domain) => self.origin = Some(domain),
            None => self.note(ORIGIN, key, value),
        }
    }

    /// Takes a domain that mail is local to, once.
    fn add_domain(&mut self, domain: Option<Domain>) {
        let new = domain.filter(|domain| !self.domains.contains(domain));
        self.domains.extend(new);
    }

    /// Takes one address for all senders; `text` says what that means.
    fn always(&mut self, text: Option<Text>, key: &str, value: &str) {
        match Address::parse(value) {
            Ok(address) => {
                self.sender.always = Some(address);
                if let Some(text) = text {
                    self.note(text, key, value);
                }
            }
            Err(_) => self.note(NO_SENDER, key, value),
        }
    }

    /// Takes a next hop, or notes why it is none. At port 465 TLS begins with the first
    /// byte (RFC 8314 §3.3), whatever program writes it.
    fn relay(&mut self, key: &str, value: &str, implicit_tls: bool) {
        let hop = self.next_hop(key, value, implicit_tls);
        self.relayhost = hop.or(self.relayhost.take());
    }

    fn next_hop(&mut self, key: &str, value: &str, implicit_tls: bool) -> Option<NextHop> {
        match NextHop::parse(value) {
            Ok(mut hop) => {
                hop.implicit_tls |= implicit_tls || hop.port == Some(465);
                Some(hop)
            }
            Err(error) => {
                self.wrong(key, value, &error);
                None
            }
        }
    }

    /// Takes a sender's other address; where a program names the sender twice, the first
    /// holds.
    fn add_sender(&mut self, who: Who, known: Known) {
        if !self.sender.map.iter().any(|(there, _)| *there == who) {
            self.sender.map.push((who, known));
        }
    }

    /// Adds networks and notes those that are none, since a table may stand among them. A
    /// file's name stands for what is in the file.
    fn add_networks<'a>(&mut self, root: &Root, key: &str, items: impl Iterator<Item = &'a str>) {
        let items: Vec<&str> = items.collect();
        if items.iter().any(|item| item.starts_with('!')) {
            // Without what it leaves out, the rest would let more in than it says.
            return self.note(EXCEPT, key, &items.join(" "));
        }
        for item in items {
            match Network::parse(item) {
                Ok(network) if self.networks.contains(&network) => {}
                Ok(network) => self.networks.push(network),
                Err(_) if item.starts_with('/') => match self.text_of(root, item) {
                    Some(text) => {
                        let lines = text.lines().map(|line| line.split('#').next().unwrap_or(line));
                        let inside = lines.flat_map(|line| line.split([' ', '\t', ',', ';']));
                        // A file in a file is not looked for: it might be this one.
                        let (files, inside): (Vec<&str>, Vec<&str>) = inside
                            .filter(|item| !item.is_empty())
                            .partition(|item| item.starts_with('/'));
                        files.iter().for_each(|file| self.note(NETWORKS, item, file));
                        self.add_networks(root, item, inside.into_iter());
                    }
                    None => self.note(NETWORKS, key, item),
                },
                Err(error) => self.wrong(key, item, &error),
            }
        }
    }

    /// Names the settings that nobody here has read, so that none is dropped in silence.
    fn name_others<'a>(&mut self, keys: impl Iterator<Item = &'a str>, read: &str) {
        let mut keys: Vec<&str> = keys.filter(|key| !has_word(read, key)).collect();
        keys.sort_unstable();
        keys.dedup();
        if !keys.is_empty() {
            self.left.push(said!(
                "{program} also sets {keys}, of which nothing is taken over: see whether this \
                 server needs anything like it",
                "{program} también fija {keys}, de lo que no se hereda nada: vea si este servidor \
                 necesita algo parecido";
                program = self.program, keys = keys.join(", ")
            ));
        }
    }

    /// Names a file of authorities that is not the system's.
    fn authorities(&mut self, file: Option<&str>) {
        if let Some(file) = file.filter(|file| !SYSTEM_AUTHORITIES.contains(file)) {
            self.note(AUTHORITY, "", file);
        }
    }

    /// What would be taken over, as our configuration would write it, one for each line.
    pub fn summary(&self) -> Vec<String> {
        fn list<T: ToString>(items: impl IntoIterator<Item = T>) -> String {
            items.into_iter().map(|item| item.to_string()).collect::<Vec<_>>().join(", ")
        }
        let Sender { always, map, masquerade, masquerade_except, .. } = &self.sender;
        let map = map.iter().map(|(who, known)| ("sender.map", format!("{who} → {known}")));
        let lines = [
            ("hostname", list(&self.hostname)),
            ("domains", list(&self.domains)),
            ("origin", list(&self.origin)),
            ("sender.always", list(always)),
        ];
        let of_the_rest = [
            ("sender.masquerade", list(masquerade)),
            ("sender.masquerade_except", list(masquerade_except)),
            ("relayhost", list(&self.relayhost)),
            ("relayhost_user", list(self.login.as_ref().map(|login| &login.user))),
            ("rescue.via", list(self.rescue.iter().map(|(hop, _)| hop))),
            ("rescue.user", list(self.rescue.iter().flat_map(|(_, login)| login).map(|l| &l.user))),
            ("trusted_networks", list(&self.networks)),
            ("message_size", list(self.message_size)),
            ("aliases", list(self.aliases.as_ref().map(|path| path.display()))),
            ("virtual.domains", list(&self.virtual_domains)),
            ("virtual.file", list(self.virtual_file.as_ref().map(|path| path.display()))),
            ("mailbox", list(self.mailbox.as_ref().map(|_| "maildir"))),
            ("listen.smtp", list(self.listen.iter().flatten())),
            ("tls.certificate", list(self.certificate.as_ref().map(|t| t.certificate.display()))),
            ("delivery.bind_ipv4", list(self.bind_ipv4)),
            ("delivery.bind_ipv6", list(self.bind_ipv6)),
        ];
        let keys = self.keys.iter();
        let keys = keys.map(|key| ("dkim", format!("{}._domainkey.{}", key.selector, key.domain)));
        let lines = lines.into_iter().chain(map).chain(of_the_rest).chain(keys);
        let set = lines.filter(|(_, value)| !value.is_empty());
        set.map(|(name, value)| format!("{name} = {value}")).collect()
    }
}

/// A user name and a password. The password is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// Who logs in, as the relay calls them.
    pub user: String,
    /// In clear, for a file that only root and the daemon read.
    pub password: String,
}

impl Credentials {
    fn of(user: &str, password: &str) -> Self {
        Self { user: user.to_owned(), password: password.to_owned() }
    }
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

const RELAYED: Text = not_taken!(
    "this server takes no mail from strangers for domains of other servers",
    "este servidor no acepta de desconocidos correo para dominios de otros servidores"
);
const NO_SENDER: Text = not_taken!("set `origin`, or sender.map", "ponga `origin` o sender.map");
const FINGERPRINT: Text = not_taken!(
    "where there is a password, the relay's key is remembered at the first login; `puerto relay \
     test` shows the certificate to compare",
    "donde hay contraseña se recuerda la clave del relay en la primera conexión; `puerto relay \
     test` muestra el certificado para compararlo"
);
const ONE_SENDER: Text = Text::new(
    "{program}'s {key} = {value} is taken over as sender.always, which stands in From, too; the author \
     stays in Reply-To. If the relay takes other senders, use sender.map",
    "{key} = {value} de {program} se hereda como sender.always, que va también en la cabecera; el autor \
     queda en Reply-To. Si el relay admite otros remitentes, use sender.map",
);
const SEVERAL: Text = Text::new(
    "{program}'s {key} = {value} names several relays: the first is taken over",
    "{key} = {value} de {program} nombra varios relays: se hereda el primero",
);
const AUTHORITY: Text = Text::new(
    "{program} verifies certificates with {value}, and this server with the authorities that the \
     system trusts: if one of your own signed the relay's certificate, copy it to \
     /usr/local/share/ca-certificates and run update-ca-certificates",
    "{program} verifica certificados con {value}, y este servidor con las autoridades en que confía \
     el sistema: si el certificado del relay lo firmó una propia, cópiela a \
     /usr/local/share/ca-certificates y ejecute update-ca-certificates",
);
const EXCEPT: Text = Text::new(
    "{program}'s {key} = {value} leaves some out, so it is not taken over: write those that are to \
     send through this server into trusted_networks",
    "{key} = {value} de {program} excluye algunas, así que no se hereda: escriba en \
     trusted_networks las que deban enviar por este servidor",
);
const NETWORKS: Text = Text::new(
    "{program}'s {key} names the file {value}, which cannot be read here: write the networks in it \
     into trusted_networks",
    "{key} de {program} nombra el fichero {value}, que aquí no se puede leer: escriba en \
     trusted_networks las redes que contiene",
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

/// Whether a word is among those of a list.
fn has_word(list: &str, word: &str) -> bool {
    list.split(' ').any(|known| known == word)
}

/// The lines of a file that are neither empty nor a comment.
fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'))
}

/// Settings as a shell reads them: NAME='value'.
fn assignments(text: &str) -> HashMap<String, String> {
    let pairs = lines(text).filter_map(|line| line.split_once('='));
    let bare = |value: &str| value.trim().trim_matches(['\'', '"']).to_owned();
    pairs.map(|(name, value)| (name.trim().to_owned(), bare(value))).collect()
}

/// A setting that is not empty.
fn set<'a>(settings: &'a HashMap<String, String>, name: &str) -> Option<&'a str> {
    settings.get(name).map(String::as_str).filter(|value| !value.is_empty())
}

/// A server whose addresses are looked up, not its MX.
fn server(host: &str, port: Option<&str>) -> String {
    port.map_or_else(|| format!("[{host}]"), |port| format!("[{host}]:{port}"))
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

/// Port 25 of this machine alone.
pub(super) fn loopback() -> Vec<SocketAddr> {
    vec![(Ipv4Addr::LOCALHOST, 25).into(), (Ipv6Addr::LOCALHOST, 25).into()]
}

#[cfg(test)]
mod tests;
