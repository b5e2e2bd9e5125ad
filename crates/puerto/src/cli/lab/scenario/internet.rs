//! The lab as the checks see it: the real questions, led to where the lab answers,
//! since ports 53 and 25 need privileges.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use puerto_lab::Lab;
use puerto_lab::world::NAME_SERVERS;
use puerto_mail::dns::{Answer, Dns, DnsError, RecordType};
use rustls::pki_types::CertificateDer;

use crate::check::{Greeting, Internet, Starttls, Trial, World};
use crate::config::Config;
use crate::dns::{Resolver, ask_server};

/// For one question: the lab is on this machine.
const PATIENCE: Duration = Duration::from_secs(3);

/// The lab's world.
pub(super) struct LabInternet {
    internet: Internet,
    name_servers: [(IpAddr, SocketAddr); 2],
    port: u16,
}

impl LabInternet {
    /// The world as the lab's server sees it, which has its port of all MX hosts and its
    /// resolver from its configuration.
    pub(super) fn new(lab: &Lab, config: &Config) -> Self {
        let [first, second] = NAME_SERVERS;
        let [first_at, second_at] = lab.name_servers();
        Self {
            internet: Internet::new(Resolver::new(config)),
            name_servers: [(first.into(), first_at), (second.into(), second_at)],
            port: config.delivery.port,
        }
    }
}

impl Dns for LabInternet {
    async fn lookup(&self, name: &str, record_type: RecordType) -> Result<Answer, DnsError> {
        self.internet.lookup(name, record_type).await
    }
}

impl World for LabInternet {
    fn resolvers(&self) -> Vec<SocketAddr> {
        self.internet.resolvers()
    }

    async fn ask_server(
        &self,
        server: IpAddr,
        name: &str,
        record_type: RecordType,
    ) -> Result<Answer, DnsError> {
        let known = self.name_servers.iter().find(|(address, _)| *address == server);
        let Some((_, at)) = known else { return Err(DnsError::Timeout) };
        let asked = ask_server(*at, name, record_type);
        tokio::time::timeout(PATIENCE, asked).await.unwrap_or(Err(DnsError::Timeout))
    }

    async fn starttls(
        &self,
        peer: SocketAddr,
        source: Option<IpAddr>,
        names: (&str, &str),
    ) -> Starttls {
        self.internet.starttls(SocketAddr::new(peer.ip(), self.port), source, names).await
    }

    async fn certificates(
        &self,
        peer: SocketAddr,
        names: (&str, &str),
    ) -> Result<Vec<CertificateDer<'static>>, Starttls> {
        self.internet.certificates(SocketAddr::new(peer.ip(), self.port), names).await
    }

    // The scenario sends its letters through it.
    async fn relay_trial(&self) -> Trial {
        Trial::Through
    }

    async fn greeting(&self, peer: SocketAddr, source: Option<IpAddr>) -> Greeting {
        self.internet.greeting(SocketAddr::new(peer.ip(), self.port), source).await
    }
}
