//! The configuration: every key declared once, read with errors that name file,
//! line, key, what is accepted and the nearest known key.

mod account;
mod acme;
mod addresses;
mod caps;
mod errors;
mod host;
mod keys;
mod matching;
mod measure;
mod network;
mod next_hop;
mod pattern;
mod policy;
mod profiles;
mod read;
mod relays;
mod restart;
mod sender;
mod show;
mod source;
mod syntax;
#[cfg(test)]
mod tests;
mod value;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use puerto_smtp::{Address, Domain, Verp};

use crate::lang::{Language, shell_word};
use crate::providers::{Profiles, Rate};

pub use account::{account_folded, account_spellings, means_account};
pub use acme::{Acme, Challenge};
pub use addresses::{Destination, Destinations, Inhabitant, NamedIn, Srs, Virtual};
pub use caps::{Cap, Caps, Counted, Span};
pub use errors::{ConfigError, ConfigErrors, distance};
pub use matching::{domain_matches, domain_spellings, same_name, sender_matches, whole_domain};
pub use measure::{parse_duration, parse_size, show_duration};
pub use network::{Network, Networks};
pub use next_hop::{NextHop, NextHopHost};
pub use pattern::{AddressPattern, DomainPattern, in_ascii, same_user};
pub use policy::{OwnPolicy, PolicyMode};
pub use relays::{Named, Relay};
pub use sender::{Known, Masquerade, Otherwise, Sender, Who};
pub use source::Source;

/// The whole configuration, checked and with every default filled in. What `default` gives
/// is blank: what the declarations' defaults are read into.
#[derive(Debug, Clone, Default)]
pub struct Config {
    /// HELO name and the name in trace fields.
    pub hostname: String,
    /// Domains whose users live on this server. The first qualifies bare names.
    pub domains: Vec<Domain>,
    /// The domain that completes bare senders; `None`: the first of `domains`.
    pub origin: Option<Domain>,
    /// Under which addresses local senders are known elsewhere.
    pub sender: Sender,
    /// Where all mail without a route of its own goes; `None`: to its MX.
    pub relayhost: Option<NextHop>,
    /// AUTH to the relayhost.
    pub relayhost_login: Option<Login>,
    /// Who may relay without AUTH.
    pub trusted_networks: Networks,
    /// Domains whose mail is taken from everybody and handed on: `example.net`, or
    /// `*.example.net` for its subdomains too.
    pub relay_domains: Vec<String>,
    /// Who lives there; empty: their next hop is asked.
    pub relay_recipients: Vec<Inhabitant>,
    /// Where the spool lives.
    pub state_dir: PathBuf,
    /// Where the sockets live.
    pub run_dir: PathBuf,
    /// Whom the daemon becomes when started as root; empty: nobody else.
    pub user: String,
    /// Who is told of notifications that could not be delivered.
    pub postmaster: Option<Address>,
    /// The language of notifications to people.
    pub language: Language,
    /// The form of the mail log.
    pub log: LogFormat,
    /// Where the mail log goes.
    pub log_to: LogTarget,
    /// Listeners.
    pub listen: Listen,
    /// Our certificate; without it STARTTLS is not offered. Where it is got by ACME, the files
    /// may not be there yet.
    pub tls: Option<TlsFiles>,
    /// From whom it is got, if not by others.
    pub acme: Acme,
    /// What senders are asked to demand of TLS towards this server.
    pub mta_sts: OwnPolicy,
    /// DNS servers; empty: the system's resolvers.
    pub dns_servers: Vec<SocketAddr>,
    /// What is believed of them.
    pub dns: DnsTrust,
    /// DIRECTORY/DOMAIN/SELECTOR.pem.
    pub dkim_directory: PathBuf,
    /// Who may log in.
    pub accounts: AccountSource,
    /// How mail leaves.
    pub delivery: Delivery,
    /// When it is tried again and given up.
    pub queue: QueueTimes,
    /// Where the queue is, if several nodes share it.
    pub store: Store,
    /// What is kept of mail that is gone.
    pub history: History,
    /// How local users get theirs.
    pub local: Local,
    /// How they hand over what they send.
    pub pickup: Pickup,
    /// Addresses that stand for others.
    pub virtual_addresses: Virtual,
    /// Under which senders mail is sent on.
    pub srs: Srs,
    /// How much one account, user or client may send.
    pub caps: Caps,
    /// Bounds.
    pub limits: Limits,
    /// Routes, in order; the first that matches wins.
    pub routes: Vec<Route>,
    /// Addresses that mail leaves from; none: those of `delivery`.
    pub sources: Vec<Source>,
    /// Where mail goes that is refused for the address that it comes from.
    pub rescue: Rescue,
    /// How receivers want to be treated, where the administrator knows more than we do.
    pub profiles: Option<Profiles>,
}

/// Where the configuration is read from when nobody names another file.
pub const DEFAULT_FILE: &str = "/etc/puerto/puerto.toml";

/// Where the files of providers are when nobody names another folder.
const DEFAULT_PROVIDERS: &str = "/etc/puerto/providers";

/// The environment variable that names another file.
pub const FILE_VARIABLE: &str = "PUERTO_CONFIG";

impl Config {
    /// Reads the file that was named, or the one that `PUERTO_CONFIG` names, or
    /// [`DEFAULT_FILE`]. Only the last of these may be missing: then every key has
    /// its default.
    pub fn load(path: Option<&Path>) -> Result<Self, ConfigErrors> {
        let (file, explicit) = Self::file(path);
        match std::fs::read_to_string(&file) {
            Ok(text) => Self::parse(&text, &file.display().to_string()),
            Err(error) if !explicit && error.kind() == std::io::ErrorKind::NotFound => {
                Self::parse("", &file.display().to_string())
            }
            Err(error) => Err(ConfigErrors::unreadable(&file, &error)),
        }
    }

    /// The same with the files of providers, which the daemon alone needs. All that is wrong
    /// in any of them is told at once.
    pub fn load_whole(path: Option<&Path>) -> Result<Self, ConfigErrors> {
        let mut config = Self::load(path)?;
        let folder = &config.delivery.providers;
        let is_named = folder.as_path() != Path::new(DEFAULT_PROVIDERS);
        match read::profiles::of_folder(folder, is_named) {
            Ok(profiles) => config.profiles = profiles,
            Err(wrong) => return Err(ConfigErrors::together(wrong)),
        }
        Ok(config)
    }

    /// How receivers want to be treated.
    pub fn profiles(&self) -> &Profiles {
        self.profiles.as_ref().unwrap_or_else(|| read::profiles::built_in())
    }

    /// The same for programs that have to reach the daemon and need little more than
    /// `run_dir`: of a file with errors, what can be read of it. The daemon goes on with
    /// what it had, and so do they. Where the file that nobody named cannot be read, the
    /// daemon is where it is by default.
    pub fn load_leniently(path: Option<&Path>) -> Result<Self, ConfigErrors> {
        let (file, explicit) = Self::file(path);
        Self::load(path).or_else(|errors| match std::fs::read(file) {
            Ok(octets) => Ok(read::salvage(&String::from_utf8_lossy(&octets))),
            Err(_) if !explicit => Ok(read::salvage("")),
            Err(_) => Err(errors),
        })
    }

    /// The file that [`Config::load`] reads, and whether somebody named it.
    pub fn file(path: Option<&Path>) -> (PathBuf, bool) {
        let variable = || std::env::var_os(FILE_VARIABLE).filter(|name| !name.is_empty());
        match path.map(PathBuf::from).or_else(|| variable().map(PathBuf::from)) {
            Some(named) => (named, true),
            None => (PathBuf::from(DEFAULT_FILE), false),
        }
    }

    /// How a shell calls this program for the configuration in a file.
    pub fn command(file: &Path) -> String {
        match file == Path::new(DEFAULT_FILE) {
            true => "puerto".to_owned(),
            false => format!("puerto --config {}", shell_word(file)),
        }
    }

    /// Reads a text; `file` names it in errors. All errors are found at once.
    pub fn parse(text: &str, file: &str) -> Result<Self, ConfigErrors> {
        read::parse(text, file)
    }

    /// The defaults of a machine with this name; what the machine itself says plays no
    /// part in them.
    pub fn with_defaults(hostname: String) -> Self {
        let mut config = read::with_defaults(hostname);
        config.domains = Domain::parse(&config.hostname).into_iter().collect();
        config
    }

    /// The domain that completes the names of senders.
    pub fn sender_domain(&self) -> Option<&Domain> {
        self.origin.as_ref().or(self.domains.first())
    }

    /// The machine's name, completed from `/etc/hosts`; no DNS is asked.
    pub fn machine_name() -> String {
        host::machine_name()
    }

    /// A configuration for tests: everything lives under `dir`, nothing listens on a
    /// fixed port, nobody's privileges change, private addresses are delivered to.
    pub fn for_tests(dir: &Path) -> Self {
        let mut config = read::with_defaults("mail.example.com".to_owned());
        config.domains = Domain::parse("example.com").into_iter().collect();
        config.state_dir = dir.join("state");
        config.run_dir = dir.join("run");
        config.user = String::new();
        config.log_to = LogTarget::Stderr;
        config.listen.smtp = vec![SocketAddr::from(([127, 0, 0, 1], 0))];
        config.pickup.directory = None;
        config.dkim_directory = dir.join("dkim");
        config.accounts.file = dir.join("accounts");
        config.local.aliases = dir.join("aliases");
        config.delivery.allow_private = true;
        // Nobody out there is asked.
        config.dns = DnsTrust::default();
        // Whoever runs the tests sends for everybody.
        let any: Vec<_> = AddressPattern::parse("*").into_iter().collect();
        let machine = config.trusted_networks.0.iter().map(|network| (*network, any.clone()));
        config.sender.networks = machine.collect();
        config.sender.users = vec![("*".to_owned(), any)];
        config
    }

    /// The configuration as a file that reads back to it, for `puerto config show`.
    /// No secrets: it names the files that hold them.
    pub fn to_toml(&self) -> String {
        show::effective(self)
    }

    /// A commented file that reads back to this configuration: it names hostname, domains
    /// and what differs from the defaults, and shows every other key as a comment.
    pub fn annotated(&self, language: Language) -> String {
        show::annotated(self, language)
    }

    /// A commented file that shows every key and reads back to the defaults.
    pub fn sample(language: Language) -> String {
        show::sample(language)
    }

    /// The guide's page about every key, in Markdown.
    pub fn document(language: Language) -> String {
        show::document(language)
    }
}

/// The configuration in force. A reload replaces it; whoever holds an `Arc` of the
/// old one finishes with that.
#[derive(Debug, Clone)]
pub struct Live(std::sync::Arc<std::sync::RwLock<std::sync::Arc<Config>>>);

impl Live {
    /// Puts a configuration in force.
    pub fn new(config: Config) -> Self {
        Self(std::sync::Arc::new(std::sync::RwLock::new(std::sync::Arc::new(config))))
    }

    /// The configuration in force.
    pub fn get(&self) -> std::sync::Arc<Config> {
        std::sync::Arc::clone(&self.0.read().unwrap_or_else(std::sync::PoisonError::into_inner))
    }

    /// Puts another in force.
    pub fn replace(&self, config: Config) {
        let mut slot = self.0.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        *slot = std::sync::Arc::new(config);
    }
}

/// A user name and where its password is kept. The password is read when it is
/// needed and never shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    /// The user name.
    pub user: String,
    /// The file that holds the password, and nothing else but a final line end.
    pub password_file: PathBuf,
}

/// The form of the mail log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// As Postfix writes it.
    #[default]
    Postfix,
    /// One JSON object for each event.
    Json,
    /// For people.
    Text,
}

/// Where the mail log goes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum LogTarget {
    /// The journal under systemd, else stderr.
    #[default]
    Auto,
    /// stderr.
    Stderr,
    /// The syslog socket.
    Syslog,
    /// A file.
    File(PathBuf),
}

/// Listening addresses.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listen {
    /// Port 25.
    pub smtp: Vec<SocketAddr>,
    /// Port 587: STARTTLS, then AUTH.
    pub submission: Vec<SocketAddr>,
    /// Port 465: implicit TLS, then AUTH.
    pub submissions: Vec<SocketAddr>,
}

impl Listen {
    /// Every address.
    pub fn all(&self) -> impl Iterator<Item = &SocketAddr> {
        self.smtp.iter().chain(&self.submission).chain(&self.submissions)
    }

    /// Whether two sockets cannot be open at once: the same port at the same address, or at one
    /// that stands for all of its family.
    pub fn meet(one: &SocketAddr, other: &SocketAddr) -> bool {
        one.port() == other.port()
            && one.is_ipv4() == other.is_ipv4()
            && (one.ip() == other.ip() || one.ip().is_unspecified() || other.ip().is_unspecified())
    }
}

/// PEM files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The chain, our certificate first.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// What is demanded of TLS towards a next hop.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum TlsLevel {
    /// If offered; unverified; plain when the handshake fails.
    #[default]
    Opportunistic,
    /// Always, with a verified certificate; otherwise the mail waits.
    Required,
    /// Never.
    None,
}

/// What is done where a host that spoke TLS before does not any more.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Downgrade {
    /// It is said, and the mail goes.
    #[default]
    Tell,
    /// The mail waits.
    Refuse,
}

/// Where accounts are known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountSource {
    /// The file that `puerto user` writes.
    pub file: PathBuf,
    /// Dovecot's authentication socket, which is asked instead.
    pub dovecot: Option<PathBuf>,
    /// Whether logins may be bound to their connection, and clients are told so.
    pub channel_binding: bool,
}

impl Default for AccountSource {
    fn default() -> Self {
        Self { file: PathBuf::default(), dovecot: None, channel_binding: true }
    }
}

/// What is believed of the DNS servers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DnsTrust {
    /// The way to them is as safe as this machine, so that their word on DNSSEC counts.
    pub trust_ad: bool,
    /// A name that is signed, to be asked for; "": it is not.
    pub signed_name: String,
    /// A name whose signatures are wrong, to be asked for; "": it is not.
    pub bogus_name: String,
}

/// How mail leaves.
#[derive(Debug, Clone, Default)]
pub struct Delivery {
    /// The port of MX hosts.
    pub port: u16,
    /// Nothing is connected to at another port, where the server is a lab's: there programs of
    /// this machine may listen that do not belong to it. No key says it.
    pub only_port: bool,
    /// For one TCP connection.
    pub connect_timeout: Duration,
    /// TLS towards hosts without a route of their own.
    pub tls: TlsLevel,
    /// TLSA records of hosts are obeyed.
    pub dane: bool,
    /// MTA-STS policies of domains are obeyed.
    pub mta_sts: bool,
    /// What is done where a host that spoke TLS before does not any more.
    pub downgrade: Downgrade,
    /// Domains are told how TLS towards them went, if they want to know.
    pub tls_reports: bool,
    /// IPv4 source address.
    pub bind_ipv4: Option<std::net::Ipv4Addr>,
    /// IPv6 source address.
    pub bind_ipv6: Option<std::net::Ipv6Addr>,
    /// The name in EHLO.
    pub helo: String,
    /// Connections to one destination at most.
    pub concurrency: usize,
    /// Messages to one destination.
    pub rate: Option<Rate>,
    /// Messages to all other hosts together.
    pub rate_in_all: Option<Rate>,
    /// The administrator's files about providers.
    pub providers: PathBuf,
    /// Deliver by MX to loopback and private addresses.
    pub allow_private: bool,
}

/// When mail is tried again and given up.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct QueueTimes {
    /// Waits between attempts; the last repeats. Never empty.
    pub retry: Vec<Duration>,
    /// Age at which a message is returned.
    pub expire: Duration,
    /// Age at which the sender is told of a delay; zero: never.
    pub warn_after: Duration,
    /// Senders and accounts whose mail others go before.
    pub bulk: Vec<String>,
    /// Recipients beyond which others go before a message.
    pub bulk_recipients: usize,
}

/// Where the queue is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Store {
    /// The PostgreSQL database that several nodes share, without its password; `None`: the
    /// queue is this machine's own, in the state directory.
    pub url: Option<String>,
    /// The file that holds the database's password.
    pub password_file: Option<PathBuf>,
    /// This node's name; the other nodes have others.
    pub node: String,
}

/// What is kept of mail that is gone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct History {
    /// For how long; zero: nothing is.
    pub keep: Duration,
    /// Octets of it at most; 0: nothing is kept.
    pub size: u64,
}

/// How local users get their mail.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Local {
    /// The kind of mailbox.
    pub mailbox: Mailbox,
    /// Octets that a mailbox may come to; 0: any number.
    pub mailbox_size: u64,
    /// The aliases file.
    pub aliases: PathBuf,
    /// The characters that part a name from its extension; empty: none does.
    pub recipient_delimiter: String,
    /// Who gets postmaster's mail where no alias says so.
    pub postmaster: Option<Destination>,
    /// Where commands may be named that get mail.
    pub allow_commands: Vec<NamedIn>,
    /// Where files may be named that it is appended to.
    pub allow_files: Vec<NamedIn>,
    /// Who does what root's files name.
    pub default_user: String,
    /// How long a command may take.
    pub command_timeout: Duration,
}

/// How programs of this machine hand mail over.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pickup {
    /// The folders in which it is left while the daemon does not run; `None`: none.
    pub directory: Option<PathBuf>,
    /// Which mail says in its header where it came from.
    pub header: OriginHeader,
}

/// Which mail says in its header from which program of this machine it came.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum OriginHeader {
    /// None; the log says it all the same.
    None,
    /// What stays on this machine.
    #[default]
    Local,
    /// All, also what leaves.
    All,
}

/// The kind of mailbox.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Mailbox {
    /// /var/mail/USER.
    #[default]
    Mbox,
    /// ~/Maildir/.
    Maildir,
    /// An LMTP server, `host:port` or the path of a socket.
    Lmtp(String),
}

/// Bounds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Limits {
    /// Octets of a message.
    pub message_size: u64,
    /// Recipients of a message.
    pub recipients: usize,
    /// The same for clients outside of the trusted networks.
    pub recipients_from_strangers: usize,
    /// Client connections at the same time.
    pub connections: usize,
    /// Of which from one address.
    pub connections_from_one_client: usize,
}

/// The relay that gets what receivers do not take from this server's own address.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rescue {
    /// The next hop; none: what is refused is returned.
    pub via: Option<NextHop>,
    /// AUTH to it.
    pub login: Option<Login>,
    /// TLS towards it.
    pub tls: TlsLevel,
}

/// A route for some recipients.
#[derive(Debug, Clone)]
pub struct Route {
    /// `example.net`, or `*.example.net` for its subdomains too.
    pub to: Option<String>,
    /// Reverse-paths: an address, `@domain`, or none for all.
    pub from: Option<String>,
    /// The next hop; none: the recipient's MX.
    pub via: Option<NextHop>,
    /// AUTH to it.
    pub login: Option<Login>,
    /// TLS towards it.
    pub tls: TlsLevel,
    /// Names each recipient in the reverse-path of our users' mail.
    pub verp: Option<Verp>,
}
