//! What can only be found out by looking around: addresses, names, ports.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use puerto_mail::dns::{Dns, DnsError, DnsFault, Record, RecordType, reverse_name};
use puerto_mail::together::together;

use crate::config::Config;
use crate::dns::{Resolver, Validation};
use crate::dnsplan::{self, Plan, Subject, Unread};
use crate::survey::address::is_public;
use crate::survey::egress;
use crate::survey::greeting::{Greeting, greet};
use crate::survey::patience::{Patience, Patient};
use crate::survey::processes;

/// How long the DNS may take for one answer: a setup must not hang where there is none.
const DNS_PATIENCE: Duration = Duration::from_secs(4);
/// How long the DNS may take for all that is published.
const PLAN_PATIENCE: Duration = Duration::from_secs(20);
/// How long a mail server may take to let us in.
const CONNECT_PATIENCE: Duration = Duration::from_secs(5);

/// Domains whose mail servers are asked whether port 25 is open: of different
/// providers, so that one of them alone cannot make it look closed.
const ASKED: [&str; 2] = ["gmail.com", "outlook.com"];

/// What was found out.
#[derive(Debug, Clone)]
pub struct Survey {
    /// The addresses that mail would leave from.
    pub egress: Vec<Egress>,
    /// The machine's own full name, if it has one.
    pub machine: Option<String>,
    /// The hosts that take mail for the domain; empty: there are none.
    pub exchanges: Result<Vec<String>, DnsError>,
    /// The DNS says that there is no such domain.
    pub absent: bool,
    /// Whether the resolver validates DNSSEC, and is near enough to be believed; `None` if
    /// that is not known.
    pub validates: Option<bool>,
}

/// An address that mail would leave from.
#[derive(Debug, Clone)]
pub struct Egress {
    /// As this machine has it: on the way it may become another.
    pub address: IpAddr,
    /// Its names by PTR; empty: it has none.
    pub names: Result<Vec<String>, DnsError>,
}

/// Whether this machine can reach others at port 25.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Port25 {
    /// A mail server greeted us.
    Open,
    /// Something answers that it may not.
    Refused,
    /// Nothing answers.
    Dropped,
    /// There was nobody to ask.
    Unknown,
}

impl Port25 {
    /// The word for it in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Refused => "refused",
            Self::Dropped => "dropped",
            Self::Unknown => "unknown",
        }
    }
}

/// Looks around: in the network, or in what a test says.
pub trait World {
    /// Finds out about this machine and a domain in A-labels.
    fn survey(&self, domain: &str) -> Survey;

    /// Works out what is to be published.
    fn plan(&self, subject: &Subject) -> Result<Plan, Unread>;

    /// Whether there is a TXT record of this name.
    fn is_published(&self, name: &str) -> bool;

    /// Tries to reach other mail servers.
    fn port_25(&self) -> Port25;

    /// The programs that run on this machine, by their paths.
    fn running(&self) -> Vec<PathBuf>;

    /// The programs that keep us from listening at an address of this machine, by their
    /// paths.
    fn holders(&self, address: SocketAddr) -> Vec<PathBuf>;

    /// Runs a command on this machine, or says why it failed.
    fn execute(&self, command: &str) -> Result<(), String>;
}

/// This machine and the network, as they are.
pub struct Network {
    dns: Patient<Resolver>,
    config: Config,
}

impl Network {
    /// Asks the DNS servers of this configuration, or the system's.
    pub fn new(config: Option<&Config>) -> Self {
        let plain = || Config::with_defaults("localhost".to_owned());
        let config = config.cloned().unwrap_or_else(plain);
        Self { dns: Patient(Resolver::new(&config), Patience::of(DNS_PATIENCE)), config }
    }

    async fn egress(&self, address: IpAddr) -> Egress {
        let records = self.dns.records(&reverse_name(address), RecordType::Ptr).await;
        let names = |records: Vec<_>| records.into_iter().filter_map(Record::into_name).collect();
        Egress { address, names: records.map(names) }
    }

    async fn validates(&self) -> Option<bool> {
        let known = &self.config.dns;
        let asked = self.dns.0.validation(&known.signed_name, &known.bogus_name);
        match tokio::time::timeout(DNS_PATIENCE, asked).await.ok()? {
            Validation::Full => Some(true),
            Validation::Unknown(_) => None,
            Validation::Untrusted | Validation::Absent | Validation::Credulous => Some(false),
        }
    }

    async fn is_absent(&self, domain: &str) -> bool {
        matches!(self.dns.lookup(domain, RecordType::Mx).await, Err(DnsError::NoSuchDomain))
    }

    async fn exchanges(&self, domain: &str) -> Result<Vec<String>, DnsError> {
        let records = self.dns.records(domain, RecordType::Mx).await?;
        let hosts = records.into_iter().filter_map(Record::into_exchanger).map(|(_, host)| host);
        Ok(hosts.collect())
    }

    async fn reach(&self, domain: &str) -> Port25 {
        let hosts = self.exchanges(domain).await.unwrap_or_default();
        let Some(host) = hosts.first() else { return Port25::Unknown };
        let records = self.dns.records(host, RecordType::A).await.unwrap_or_default();
        let Some(Record::Address(address)) = records.first() else { return Port25::Unknown };
        let peer = SocketAddr::new(*address, self.config.delivery.port);
        let until = tokio::time::Instant::now() + CONNECT_PATIENCE;
        match greet(peer, None, until).await {
            Greeting::Line(_) => Port25::Open,
            Greeting::Refused(_) => Port25::Refused,
            Greeting::TimedOut | Greeting::NotTried(_) => Port25::Dropped,
        }
    }
}

impl World for Network {
    fn survey(&self, domain: &str) -> Survey {
        let machine = Config::machine_name();
        let machine =
            (machine.contains('.') && !machine.starts_with("localhost.")).then_some(machine);
        let mut addresses = egress::find(&self.config);
        addresses.sort_by_key(|address| !is_public(*address));
        let found = run(async {
            let egress = together(addresses.into_iter().map(|address| self.egress(address)));
            let of_domain = async { (self.exchanges(domain).await, self.is_absent(domain).await) };
            tokio::join!(egress, of_domain, self.validates())
        });
        let (egress, (exchanges, absent), validates) = found.unwrap_or_else(|error| {
            (Vec::new(), (Err(DnsError::Failure(DnsFault::Quoted(error))), false), None)
        });
        Survey { egress, machine, exchanges, absent, validates }
    }

    fn plan(&self, subject: &Subject) -> Result<Plan, Unread> {
        let late = |error| {
            let question = format!("TXT {}", subject.domain);
            Unread { questions: vec![(question, error)] }
        };
        let planned = run(async {
            tokio::time::timeout(PLAN_PATIENCE, dnsplan::plan(&self.dns.0, subject)).await
        });
        match planned {
            Ok(Ok(plan)) => plan,
            Ok(Err(_)) => Err(late(DnsError::Timeout)),
            Err(error) => Err(late(DnsError::Failure(DnsFault::Quoted(error)))),
        }
    }

    fn is_published(&self, name: &str) -> bool {
        let records = run(self.dns.records(name, RecordType::Txt));
        records.is_ok_and(|records| records.is_ok_and(|records| !records.is_empty()))
    }

    fn port_25(&self) -> Port25 {
        let [one, other] = ASKED;
        let both = run(async { tokio::join!(self.reach(one), self.reach(other)) });
        let Ok((one, other)) = both else { return Port25::Unknown };
        let order = [Port25::Open, Port25::Refused, Port25::Dropped];
        let seen = order.into_iter().find(|state| *state == one || *state == other);
        seen.unwrap_or(Port25::Unknown)
    }

    fn running(&self) -> Vec<PathBuf> {
        processes::running()
    }

    fn holders(&self, address: SocketAddr) -> Vec<PathBuf> {
        let tried = std::net::TcpListener::bind(address);
        match tried.map_err(|error| error.kind()) {
            Err(std::io::ErrorKind::AddrInUse) => processes::listening(address),
            _ => Vec::new(),
        }
    }

    fn execute(&self, command: &str) -> Result<(), String> {
        let mut shell = std::process::Command::new("/bin/sh");
        let output = shell.args(["-c", command]).stdin(std::process::Stdio::null()).output();
        let output = output.map_err(|error| error.to_string())?;
        if output.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        let said = said.trim().lines().collect::<Vec<_>>().join(" ");
        Err(if said.is_empty() { output.status.to_string() } else { said })
    }
}

fn run<T>(work: impl Future<Output = T>) -> Result<T, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    Ok(runtime.map_err(|error| error.to_string())?.block_on(work))
}

/// Where the program that runs should be found by others: where it is, if that is a
/// place for programs, or else where it is to be put.
pub fn program_path(running: Option<PathBuf>) -> PathBuf {
    let lasting = |path: &PathBuf| path.starts_with("/usr") || path.starts_with("/opt");
    running.filter(lasting).unwrap_or_else(|| PathBuf::from("/usr/local/bin/puerto"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_in_a_build_folder_is_to_be_installed() {
        let at = |path: &str| program_path(Some(PathBuf::from(path)));
        assert_eq!(at("/usr/bin/puerto"), PathBuf::from("/usr/bin/puerto"));
        assert_eq!(at("/home/ana/target/release/puerto"), program_path(None));
    }
}
