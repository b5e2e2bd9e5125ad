//! The driver against peers that follow scripts.

mod content;
mod domains;
mod failures;
mod hosts;
mod manners;
mod notices;
mod peer;
mod reuse;
mod security;
mod transport;
mod verdicts;

use std::io::{Cursor, Read};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use puerto_smtp::limits::ClientTimeouts;
use puerto_smtp::{Address, Recipient, ReversePath};
use puerto_spool::{LeasedRecipient, MessageId, Timestamp};

use super::{Body, BodyReader, Ending, Job, Outcome, Remote};
use crate::config::{Config, Live, Login, TlsLevel};
use crate::route::{Hop, Plan};
use crate::telemetry::DeliveryStatus;
use crate::tls::{Acquaintance, ClientTls, KnownKeys};
use peer::Peer;

/// Up to the point at which MAIL may come.
const HELLO: &str = "S: 220 mx.example\nC: EHLO mail.example.com\nS: 250-mx.example\nS: 250-DSN\nS: 250 PIPELINING\n";
/// One message for one recipient, accepted.
const ACCEPT: &str = "C: MAIL FROM:<me@example.com>\nC: RCPT TO:<r0@\nC: DATA\nS: 250 ok\nS: 250 ok\nS: 354 go\ncontent\nS: 250 2.0.0 Ok: queued as 1\n";
/// The envelope of that message, with 354 as the last reply.
const ENVELOPE: &str = "C: MAIL FROM:\nC: RCPT TO:\nC: DATA\nS: 250 ok\nS: 250 ok\nS: 354 go\n";

struct Text {
    octets: Vec<u8>,
    size: u64,
    in_memory: bool,
}

struct TextReader {
    cursor: Cursor<Vec<u8>>,
    in_memory: bool,
}

impl Body for Text {
    fn len(&self) -> u64 {
        self.size
    }

    fn open(&self) -> std::io::Result<Box<dyn BodyReader>> {
        let cursor = Cursor::new(self.octets.clone());
        Ok(Box::new(TextReader { cursor, in_memory: self.in_memory }))
    }
}

impl Read for TextReader {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.cursor.read(buffer)
    }
}

impl BodyReader for TextReader {
    fn in_memory(&self) -> Option<&[u8]> {
        self.in_memory.then(|| self.cursor.get_ref().as_slice())
    }
}

fn body(octets: &[u8], in_memory: bool) -> Arc<dyn Body> {
    Arc::new(Text { octets: octets.to_vec(), size: octets.len() as u64, in_memory })
}

fn plan(addresses: &[SocketAddr]) -> Plan {
    let hop = |address: &SocketAddr| Hop::at("mx.example", *address);
    Plan::direct("example.net", addresses.iter().map(hop).collect(), TlsLevel::Opportunistic)
}

fn job(plan: Plan, recipients: usize) -> Job {
    let recipient = |index: usize| {
        let address = Address::parse(&format!("r{index}@example.net")).unwrap();
        // Places in the envelope need not be places in the job.
        let index = u32::try_from(index + 10).unwrap();
        LeasedRecipient { index, recipient: Recipient::new(address), attempts: 0 }
    };
    Job {
        id: MessageId::from_u64(1),
        plan: Arc::new(plan),
        reverse_path: ReversePath::parse("<me@example.com>").unwrap(),
        recipients: (0..recipients).map(recipient).collect(),
        envelope_id: None,
        ret: None,
        verp: None,
        eight_bit: false,
        smtputf8: false,
        tls: puerto_smtp::TlsWish::Usual,
        bulk: false,
        received_at: Timestamp::from_millis(0),
        in_queue: Duration::ZERO,
        ending: Ending::default(),
        body: body(b"Subject: hi\r\n\r\n.\r\nbody\r\n", true),
    }
}

/// Time-outs that never end a test's healthy stages.
fn patient() -> ClientTimeouts {
    let long = Duration::from_secs(20);
    ClientTimeouts {
        connect: long,
        greeting: long,
        hello: long,
        tls_handshake: long,
        mail: long,
        recipient: long,
        data: long,
        data_block: long,
        final_dot: long,
        quit: long,
    }
}

fn remote(timeouts: ClientTimeouts) -> Remote {
    remote_with(timeouts, |_| {}, ClientTls::trusting(ca()))
}

fn remote_with(
    timeouts: ClientTimeouts,
    change: impl FnOnce(&mut Config),
    tls: ClientTls,
) -> Remote {
    let mut config = Config::for_tests(std::path::Path::new("/nowhere"));
    config.delivery.helo = "mail.example.com".to_owned();
    change(&mut config);
    Remote::new(Live::new(config), tls).with_timeouts(timeouts)
}

fn ca() -> Vec<rustls::pki_types::CertificateDer<'static>> {
    use rustls::pki_types::pem::PemObject;
    vec![rustls::pki_types::CertificateDer::from_pem_slice(peer::CA.as_bytes()).unwrap()]
}

fn login(file: &std::path::Path) -> Login {
    Login { user: "user".to_owned(), password_file: file.to_owned() }
}

fn summary(outcome: &Outcome) -> String {
    let status = match outcome.status {
        DeliveryStatus::Sent => "sent",
        DeliveryStatus::Deferred => "deferred",
        DeliveryStatus::Bounced => "bounced",
    };
    // The port is another in every run.
    let relay = outcome.relay.split("]:").next().unwrap_or_default();
    format!("{status} {} {relay} {}", outcome.status_code, outcome.text())
}
