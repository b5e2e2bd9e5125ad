//! What the checks ask of the world outside: the DNS, its authoritative servers, and
//! hosts that answer on a port. Tests put a table in its place.

use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use puerto_mail::dns::{Answer, Dns, DnsError, RecordType};
use rustls::pki_types::CertificateDer;
use tokio::sync::watch;

use super::starttls::{self, Starttls};
use crate::dns::{Resolver, Validation};
use crate::finding::Finding;
use crate::lang::{self, Said, Text, said};
use crate::survey::authority::{ask_server, undistorted};
use crate::survey::greeting::{Greeting, greet};
use crate::survey::https::{self, Page};
use crate::survey::patience::Patience;
use crate::tls::ClientTls;

const NOT_IN_TIME: Text = Text::new("it did not answer in time", "no ha respondido a tiempo");

/// For one question, over all servers and repetitions.
const PATIENCE: Duration = Duration::from_secs(4);
/// For all questions of a run: what is asked later has no answer.
const PATIENCE_IN_ALL: Duration = Duration::from_secs(8);
/// For finding out which resolver answers.
const SETTLING_PATIENCE: Duration = Duration::from_secs(2);
/// For one question to one authoritative server.
const SERVER_PATIENCE: Duration = Duration::from_secs(3);
/// For a connection and its greeting, together: a first SYN that is lost is repeated
/// after one second, and after two more.
const GREETING_PATIENCE: Duration = Duration::from_secs(4);
/// With less time left than this, silence says nothing about a port.
const SHORTEST_PATIENCE: Duration = Duration::from_secs(2);

/// What came of a conversation with the relayhost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trial {
    /// Mail goes through it.
    Through,
    /// It answered, to sender, recipient and the login where there is one; no message was
    /// sent. What is wrong, the worst first.
    Answered(Vec<Finding>),
    /// Nobody tried; with the reason, if there is one.
    NotTried(Option<Said>),
}

/// The world outside.
pub trait World: Dns {
    /// Who answers [`Dns::lookup`].
    fn resolvers(&self) -> Vec<SocketAddr>;

    /// The same for people: `127.0.0.53`.
    fn resolver(&self) -> String {
        self.resolvers().iter().map(shown).collect::<Vec<_>>().join(", ")
    }

    /// What the resolvers make of DNSSEC, by a name that is signed and one whose signatures
    /// are wrong; `None` if nobody looked.
    fn validation(
        &self,
        _signed: &str,
        _bogus: &str,
    ) -> impl Future<Output = Option<Validation>> + Send {
        async { None }
    }

    /// The same about this machine's own names and addresses, which its resolver may make
    /// up: by the word of the zone's own servers.
    fn undistorted(
        &self,
        name: &str,
        record_type: RecordType,
    ) -> impl Future<Output = Result<Answer, DnsError>> + Send {
        self.lookup(name, record_type)
    }

    /// Asks one of the resolvers alone.
    fn ask_resolver(
        &self,
        _resolver: SocketAddr,
        name: &str,
        record_type: RecordType,
    ) -> impl Future<Output = Result<Answer, DnsError>> + Send {
        self.lookup(name, record_type)
    }

    /// Where the command `sendmail` leads that is not ours; `None` if it is ours, or
    /// nobody looked.
    fn foreign_sendmail(&self) -> Option<String> {
        None
    }

    /// What came of a conversation with the relayhost.
    fn relay_trial(&self) -> impl Future<Output = Trial> + Send {
        async { Trial::NotTried(None) }
    }

    /// Asks one given server, without recursion.
    fn ask_server(
        &self,
        server: IpAddr,
        name: &str,
        record_type: RecordType,
    ) -> impl Future<Output = Result<Answer, DnsError>> + Send;

    /// Fetches a page of a host over HTTPS.
    fn page(&self, _host: &str, _path: &str) -> impl Future<Output = Page> + Send {
        async { Page::Failed(Said::default()) }
    }

    /// Connects as far as STARTTLS and its handshake; `names` are the peer's and ours.
    fn starttls(
        &self,
        _peer: SocketAddr,
        _source: Option<IpAddr>,
        _names: (&str, &str),
    ) -> impl Future<Output = Starttls> + Send {
        async { Starttls::NotTried(Said::default()) }
    }

    /// The same for the certificates that a host shows, its own first; else what came instead.
    fn certificates(
        &self,
        _peer: SocketAddr,
        _names: (&str, &str),
    ) -> impl Future<Output = Result<Vec<CertificateDer<'static>>, Starttls>> + Send {
        async { Err(Starttls::NotTried(Said::default())) }
    }

    /// Connects, from `source` where one is given, and reads the first line.
    fn greeting(
        &self,
        peer: SocketAddr,
        source: Option<IpAddr>,
    ) -> impl Future<Output = Greeting> + Send;
}

/// The Internet.
#[derive(Debug, Clone)]
pub struct Internet {
    resolver: Resolver,
    until: tokio::time::Instant,
    trial: Option<watch::Receiver<Option<Trial>>>,
}

impl Internet {
    /// The Internet as this resolver sees it, for a run that begins now.
    pub fn new(resolver: Resolver) -> Self {
        Self { resolver, until: tokio::time::Instant::now() + PATIENCE_IN_ALL, trial: None }
    }

    /// With a conversation that somebody has with the relayhost meanwhile.
    #[must_use]
    pub fn trying(self, trial: watch::Receiver<Option<Trial>>) -> Self {
        Self { trial: Some(trial), ..self }
    }

    /// Finds out which of several resolvers answers, so that one that is dead does not
    /// cost each question its time-out.
    pub async fn settle(&self, domain: &str) {
        let asked = self.resolver.prefer_the_first_to_answer(domain, RecordType::Soa);
        let _ = tokio::time::timeout(SETTLING_PATIENCE, asked).await;
    }

    fn patience(&self, one: Duration) -> Patience {
        Patience::of(one).until(self.until)
    }
}

impl Dns for Internet {
    async fn lookup(&self, name: &str, record_type: RecordType) -> Result<Answer, DnsError> {
        let asked = self.resolver.lookup(name, record_type);
        self.patience(PATIENCE).wait(asked).await
    }
}

impl World for Internet {
    async fn undistorted(&self, name: &str, record_type: RecordType) -> Result<Answer, DnsError> {
        let asked = undistorted(&self.resolver, name, record_type);
        self.patience(PATIENCE).wait(asked).await
    }

    fn resolvers(&self) -> Vec<SocketAddr> {
        self.resolver.servers()
    }

    async fn validation(&self, signed: &str, bogus: &str) -> Option<Validation> {
        if signed.is_empty() && bogus.is_empty() {
            return None;
        }
        let asked = async { Ok(self.resolver.validation(signed, bogus).await) };
        let found = self.patience(PATIENCE_IN_ALL).wait(asked).await;
        Some(found.unwrap_or_else(Validation::Unknown))
    }

    async fn ask_resolver(
        &self,
        resolver: SocketAddr,
        name: &str,
        record_type: RecordType,
    ) -> Result<Answer, DnsError> {
        let alone = Resolver::with_servers(&[resolver]);
        self.patience(SERVER_PATIENCE).wait(alone.lookup(name, record_type)).await
    }

    fn foreign_sendmail(&self) -> Option<String> {
        let commands = ["/usr/sbin/sendmail", "/usr/lib/sendmail"].map(std::path::Path::new);
        let ours = std::env::current_exe().and_then(|file| file.canonicalize()).ok()?;
        let found = commands.into_iter().filter_map(|command| {
            let target = command.canonicalize().ok()?;
            let is_ours = target == ours || target.file_name() == Some("puerto".as_ref());
            (!is_ours).then(|| format!("{} → {}", command.display(), target.display()))
        });
        found.into_iter().next()
    }

    async fn relay_trial(&self) -> Trial {
        let Some(mut trial) = self.trial.clone() else { return Trial::NotTried(None) };
        let told = tokio::time::timeout_at(self.until, trial.wait_for(Option::is_some)).await;
        match told {
            Ok(Ok(told)) => told.clone().unwrap_or(Trial::NotTried(None)),
            _ => Trial::NotTried(Some(Said::plain(NOT_IN_TIME))),
        }
    }

    async fn ask_server(
        &self,
        server: IpAddr,
        name: &str,
        record_type: RecordType,
    ) -> Result<Answer, DnsError> {
        let asked = ask_server(&self.resolver, server, name, record_type);
        self.patience(SERVER_PATIENCE).wait(asked).await
    }

    async fn page(&self, host: &str, path: &str) -> Page {
        let address = match https::address(self, host).await {
            Ok(address) => address,
            Err(page) => return page,
        };
        let tls = ClientTls::new();
        let asked = https::fetch(SocketAddr::new(address, 443), host, path, &tls);
        let until = self.patience(GREETING_PATIENCE).end();
        let silence = || Page::Failed(lang::NOT_IN_TIME.into());
        tokio::time::timeout_at(until, asked).await.unwrap_or_else(|_| silence())
    }

    async fn starttls(
        &self,
        peer: SocketAddr,
        source: Option<IpAddr>,
        names: (&str, &str),
    ) -> Starttls {
        let left = self.until.saturating_duration_since(tokio::time::Instant::now());
        starttls::attempt(peer, source, names, left.min(GREETING_PATIENCE)).await
    }

    async fn certificates(
        &self,
        peer: SocketAddr,
        names: (&str, &str),
    ) -> Result<Vec<CertificateDer<'static>>, Starttls> {
        let left = self.until.saturating_duration_since(tokio::time::Instant::now());
        starttls::certificates(peer, names, left.min(GREETING_PATIENCE)).await
    }

    async fn greeting(&self, peer: SocketAddr, source: Option<IpAddr>) -> Greeting {
        let left = self.until.saturating_duration_since(tokio::time::Instant::now());
        if left < SHORTEST_PATIENCE {
            return Greeting::NotTried(said!("no time was left", "no quedaba tiempo"));
        }
        greet(peer, source, self.patience(GREETING_PATIENCE).end()).await
    }
}

fn shown(server: &SocketAddr) -> String {
    if server.port() == 53 { server.ip().to_string() } else { server.to_string() }
}
