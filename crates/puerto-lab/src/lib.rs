//! A simulated Internet on loopback: a name server, receivers with manners of their
//! own, and a relay. It needs no privileges and no network.
//!
//! `puerto lab` shows it to people, and tests use it as their Internet. What the
//! receivers saw is told live ([`Lab::events`]) and kept ([`Lab::transactions`]);
//! [`Lab::zone`] lets anyone change the DNS while it runs: publish a key, take a
//! reverse name away, make a server fail.
//!
//! ```no_run
//! # async fn example() -> Result<(), puerto_lab::LabError> {
//! let lab = puerto_lab::Lab::start(puerto_lab::Options::default()).await?;
//! lab.zone().add_txt("s1._domainkey.lab.example", "v=DKIM1; k=ed25519; p=…");
//! // Send from 127.0.0.10, with the name server at lab.dns_addr() and the port of
//! // all MX hosts at lab.mx_port().
//! # Ok(())
//! # }
//! ```

mod clock;
mod dns;
mod manners;
mod relay;
mod stream;
mod transaction;
mod visit;
pub mod world;
pub mod zone;
pub mod zonefile;

use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::{broadcast, mpsc, watch};
use tokio::task::JoinSet;

use dns::NameServer;
use manners::House;
use transaction::Recorder;
pub use transaction::{Outcome, Transaction};
use visit::Premises;
pub use world::Resident;
use world::{Manners, NAME_SERVERS, PROVIDERS, RELAY, RELAY_INWARD, RESIDENTS, STRICT};
pub use zone::Zone;

/// Ports that are tried until one is free on the addresses of all receivers.
const PORT_ATTEMPTS: u32 = 32;

/// What a lab is to be like.
#[derive(Debug, Clone)]
pub struct Options {
    /// The receivers offer STARTTLS, with certificates that they signed themselves.
    pub tls: bool,
    /// Receivers that offer none all the same, by their short names.
    pub without_tls: &'static [&'static str],
    /// Octets of a message at most.
    pub max_message: u64,
    /// The strict receiver listens at `[::1]` too.
    pub ipv6: bool,
    /// The relay takes no mail from the sender's own addresses: whoever sends through
    /// it would have to be known to it under that name.
    pub relay_refuses_senders: bool,
    /// The only domain whose addresses the relay takes as senders, if it is choosy.
    pub relay_takes_from: Option<&'static str>,
    /// The user name and password without which the relay takes nothing.
    pub relay_login: Option<(&'static str, &'static str)>,
    /// Addresses that no receiver knows, beside those of [`world::UNKNOWN_USER`].
    pub unknown: &'static [&'static str],
    /// The first name server's port and that of all receivers; free ones if not given.
    pub ports: Option<(u16, u16)>,
    /// Transactions that are kept; older ones are forgotten.
    pub kept: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            tls: true,
            without_tls: &[],
            max_message: 50 * 1024 * 1024,
            ipv6: false,
            relay_refuses_senders: false,
            relay_takes_from: None,
            relay_login: None,
            unknown: &[],
            ports: None,
            kept: 1000,
        }
    }
}

/// How all receivers treat whoever comes, beside their own manners.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Door {
    /// As their manners are.
    Open,
    /// Every recipient is to be tried again later.
    Later,
    /// What comes is read to its end, and answered when the door is another.
    Silent,
}

/// Why a lab cannot be started.
#[derive(Debug, thiserror::Error)]
pub enum LabError {
    /// No port is free on the receivers' addresses, or they cannot be bound.
    #[error("cannot listen on {address}: {error}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        error: io::Error,
    },
    /// No certificate could be made.
    #[error("cannot make a certificate for the receivers: {0}")]
    Certificate(String),
}

/// A running lab. It stops when it is dropped.
pub struct Lab {
    zone: Zone,
    names: [NameServer; 2],
    mx_port: u16,
    recorder: Arc<Recorder>,
    door: watch::Sender<Door>,
    certificate: Vec<u8>,
    // Dropping them ends them.
    _tasks: JoinSet<()>,
}

impl Lab {
    /// Starts everything. All of it listens when this returns.
    pub async fn start(options: Options) -> Result<Self, LabError> {
        let zone = Zone::new();
        world::publish(&zone);
        let [first, second] = NAME_SERVERS;
        let (dns_port, mx_port) = options.ports.unwrap_or_default();
        let names = [
            name_server((first, dns_port).into(), &zone).await?,
            name_server((second, 0).into(), &zone).await?,
        ];
        let (mx_port, listeners) = bind_receivers(mx_port, options.ipv6).await?;
        let (tls, certificate) = match options.tls {
            true => {
                let hosts = everybody().map(|resident| resident.host.to_owned()).collect();
                let (tls, certificate) = stream::acceptor(hosts).map_err(LabError::Certificate)?;
                (Some(tls), certificate)
            }
            false => (None, Vec::new()),
        };
        let recorder = Arc::new(Recorder::new(options.kept));
        let (door, seen_door) = watch::channel(Door::Open);
        let mut tasks = JoinSet::new();
        let (onward, parcels) = mpsc::unbounded_channel();
        tasks.spawn(relay::run(zone.clone(), mx_port, parcels));
        for (resident, listener) in listeners {
            let is_relay = resident.manners == Manners::Relay;
            let premises = Premises {
                house: Arc::new(House::new(resident, zone.clone(), &options)),
                recorder: Arc::clone(&recorder),
                tls: tls.clone().filter(|_| !options.without_tls.contains(&resident.name)),
                max_message: options.max_message,
                onward: is_relay.then(|| onward.clone()),
                taken: Arc::default(),
                door: seen_door.clone(),
            };
            tasks.spawn(listen(listener, premises));
        }
        Ok(Self { zone, names, mx_port, recorder, door, certificate, _tasks: tasks })
    }

    /// Where the first name server listens, by UDP and TCP.
    pub fn dns_addr(&self) -> SocketAddr {
        let [first, _] = &self.names;
        first.address()
    }

    /// The name servers, in the order of [`world::NAME_SERVERS`]: where each of those
    /// addresses really answers, since port 53 needs privileges.
    pub fn name_servers(&self) -> [SocketAddr; 2] {
        self.names.each_ref().map(NameServer::address)
    }

    /// Makes the second name server answer SERVFAIL to everything.
    pub fn break_second_name_server(&self) {
        let [_, second] = &self.names;
        second.break_down();
    }

    /// The port of every receiver and of the relay.
    pub fn mx_port(&self) -> u16 {
        self.mx_port
    }

    /// The certificate of all receivers, in DER; empty where none offers TLS.
    pub fn certificate(&self) -> &[u8] {
        &self.certificate
    }

    /// The records, to be read and changed.
    pub fn zone(&self) -> &Zone {
        &self.zone
    }

    /// Sets how all receivers treat whoever comes from now on.
    pub fn set_door(&self, door: Door) {
        self.door.send_replace(door);
    }

    /// The receivers, the relay among them.
    pub fn residents(&self) -> &'static [Resident] {
        &RESIDENTS
    }

    /// The relay's address, as a `relayhost` names it.
    pub fn relayhost(&self) -> String {
        format!("[{}]:{}", RELAY.host, self.mx_port)
    }

    /// What the receivers see from now on.
    pub fn events(&self) -> broadcast::Receiver<Arc<Transaction>> {
        self.recorder.listen()
    }

    /// What the receivers have seen, in order: the latest [`Options::kept`].
    pub fn transactions(&self) -> Vec<Arc<Transaction>> {
        self.recorder.all()
    }

    /// Waits until a receiver has seen, or sees, a transaction for which `wanted`
    /// holds. `None` when that takes longer than `patience`.
    pub async fn wait_for(
        &self,
        patience: Duration,
        wanted: impl Fn(&Transaction) -> bool,
    ) -> Option<Arc<Transaction>> {
        let mut events = self.events();
        let search = async {
            loop {
                let all = self.transactions();
                if let Some(found) = all.into_iter().find(|seen| wanted(seen)) {
                    return Some(found);
                }
                // Whether one was told or some were missed, the list has them.
                if let Err(broadcast::error::RecvError::Closed) = events.recv().await {
                    return None;
                }
            }
        };
        tokio::time::timeout(patience, search).await.ok().flatten()
    }
}

async fn name_server(address: SocketAddr, zone: &Zone) -> Result<NameServer, LabError> {
    let started = NameServer::start(address, zone.clone()).await;
    started.map_err(|error| LabError::Bind { address, error })
}

fn everybody() -> impl Iterator<Item = Resident> {
    RESIDENTS.into_iter().chain(PROVIDERS).chain([RELAY_INWARD])
}

// A port that was asked for is tried once.
async fn bind_receivers(
    wanted: u16,
    ipv6: bool,
) -> Result<(u16, Vec<(Resident, TcpListener)>), LabError> {
    let mut attempt = 1;
    loop {
        match try_bind_receivers(wanted, ipv6).await {
            Ok(bound) => return Ok(bound),
            Err(LabError::Bind { error, .. })
                if error.kind() == io::ErrorKind::AddrInUse
                    && attempt < PORT_ATTEMPTS
                    && wanted == 0 => {}
            Err(error) => return Err(error),
        }
        attempt += 1;
    }
}

async fn try_bind_receivers(
    wanted: u16,
    ipv6: bool,
) -> Result<(u16, Vec<(Resident, TcpListener)>), LabError> {
    let mut port = wanted;
    let mut listeners = Vec::new();
    let mut houses: Vec<_> = everybody().map(|one| (one, IpAddr::V4(one.address))).collect();
    if ipv6 {
        houses.push((STRICT, IpAddr::V6(Ipv6Addr::LOCALHOST)));
    }
    for (resident, ip) in houses {
        let address = SocketAddr::new(ip, port);
        let failed = |error| LabError::Bind { address, error };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        port = listener.local_addr().map_err(failed)?.port();
        listeners.push((resident, listener));
    }
    Ok((port, listeners))
}

async fn listen(listener: TcpListener, premises: Premises) {
    let mut visits = JoinSet::new();
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                visits.spawn(visit::serve(premises.clone(), stream, peer.ip()));
            }
            // Out of descriptors, most likely: clients that leave give some back.
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
        while visits.try_join_next().is_some() {}
    }
}

#[cfg(test)]
mod tests;
