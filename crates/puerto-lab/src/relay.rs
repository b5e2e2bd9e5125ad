//! What the relay has taken and hands on: it looks the recipients' MX up in the
//! zone and delivers from its own address, trying again for a while when it is sent
//! away.
//!
//! It is a small relay: what it took it holds in memory, it speaks no TLS, and what
//! it cannot deliver it drops. The program under test is the other one.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use puerto_mail::dns::{Record, RecordType};
use puerto_smtp::address::Domain;
use puerto_smtp::client::{Connection, Fate, Loss, Protocol, Step, Transaction};
use puerto_smtp::codec::DotStuffer;
use puerto_smtp::envelope::{Envelope, Recipient};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::world::RELAY;
use crate::zone::Zone;

/// How often a message is tried, and the pause between attempts.
const ATTEMPTS: u32 = 20;
const PAUSE: Duration = Duration::from_millis(500);
/// For each step of a session with a receiver, which is on this machine.
const PATIENCE: Duration = Duration::from_secs(10);

/// A message that the relay has taken.
#[derive(Debug)]
pub(crate) struct Parcel {
    pub(crate) envelope: Envelope,
    pub(crate) message: Arc<[u8]>,
}

/// Hands on what comes until nobody can send any more.
pub(crate) async fn run(zone: Zone, port: u16, mut parcels: mpsc::UnboundedReceiver<Parcel>) {
    let mut errands = JoinSet::new();
    while let Some(parcel) = parcels.recv().await {
        for (domain, recipients) in by_domain(&parcel.envelope) {
            let Some(address) = find_host(&zone, &domain) else { continue };
            let errand = Errand {
                to: SocketAddr::new(address, port),
                envelope: Envelope { recipients, ..parcel.envelope.clone() },
                message: Arc::clone(&parcel.message),
            };
            errands.spawn(errand.run());
        }
        while errands.try_join_next().is_some() {}
    }
}

fn by_domain(envelope: &Envelope) -> BTreeMap<String, Vec<Recipient>> {
    let mut groups: BTreeMap<String, Vec<Recipient>> = BTreeMap::new();
    for recipient in &envelope.recipients {
        let domain = recipient.address.domain().to_string();
        groups.entry(domain).or_default().push(recipient.clone());
    }
    groups
}

fn find_host(zone: &Zone, domain: &str) -> Option<IpAddr> {
    let exchangers = zone.resolve(domain, RecordType::Mx).result.ok()?;
    let best = exchangers.iter().min()?;
    let Record::Mx(_, host) = best else { return None };
    zone.resolve(host, RecordType::A).result.ok()?.into_iter().find_map(|record| match record {
        Record::Address(address) => Some(address),
        _ => None,
    })
}

struct Errand {
    to: SocketAddr,
    envelope: Envelope,
    message: Arc<[u8]>,
}

impl Errand {
    async fn run(mut self) {
        for _ in 0..ATTEMPTS {
            self.attempt().await;
            if self.envelope.recipients.is_empty() {
                return;
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    // Recipients for whom something final was said are struck from the list.
    async fn attempt(&mut self) {
        let Ok(mut stream) = connect(self.to).await else { return };
        // The relay's name is a constant, and a valid one.
        let Ok(name) = Domain::parse(RELAY.host) else { return };
        let mut connection = Connection::new(Protocol::Smtp, name, false);
        let mut fates = Vec::new();
        loop {
            match connection.poll() {
                Step::Ready if connection.transactions() == 0 => {
                    let recipients: Vec<&Recipient> = self.envelope.recipients.iter().collect();
                    connection.begin(&Transaction {
                        reverse_path: &self.envelope.reverse_path,
                        recipients: &recipients,
                        envelope_id: None,
                        ret: None,
                        verp: None,
                        size: self.message.len() as u64,
                        eight_bit: !self.message.is_ascii(),
                        utf8_header: self.envelope.smtputf8,
                        require_tls: false,
                    });
                }
                Step::Ready => drop(connection.quit()),
                Step::Finished => fates = connection.take_fates(),
                Step::Failed(_) | Step::Closed | Step::Handshake => break,
                Step::Refused(_) => {}
                step @ (Step::Send | Step::Receive | Step::Content) => {
                    let done = perform(&step, &mut connection, &mut stream, &self.message);
                    match tokio::time::timeout(PATIENCE, done).await {
                        Ok(Ok(())) => {}
                        Ok(Err(_)) => connection.lost(Loss::Closed),
                        Err(_) => connection.lost(Loss::TimedOut),
                    }
                }
            }
        }
        let mut fates = fates.into_iter();
        self.envelope.recipients.retain(|_| match fates.next() {
            Some(Fate::Accepted(_)) => false,
            Some(Fate::Failed(failure)) => !failure.is_permanent(),
            Some(Fate::Remaining) | None => true,
        });
    }
}

async fn connect(to: SocketAddr) -> io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::new(IpAddr::V4(RELAY.address), 0))?;
    socket.connect(to).await
}

async fn perform(
    step: &Step,
    connection: &mut Connection,
    stream: &mut TcpStream,
    message: &[u8],
) -> io::Result<()> {
    match step {
        Step::Send => stream.write_all(&connection.take_output()).await,
        Step::Content => {
            let mut out = Vec::new();
            let mut stuffer = DotStuffer::new();
            stuffer.push(message, &mut out);
            stuffer.finish(&mut out);
            connection.content_ending();
            stream.write_all(&out).await
        }
        _ => {
            let mut buffer = [0; 4096];
            match stream.read(&mut buffer).await? {
                0 => Err(io::ErrorKind::UnexpectedEof.into()),
                count => {
                    connection.feed(buffer.get(..count).unwrap_or_default());
                    Ok(())
                }
            }
        }
    }
}
