//! The one choke point between a client and the spool: what a local message lacks
//! is added, lines are made right, trace and signatures are written, and only then
//! is the message committed.

mod key_ring;

use std::net::SocketAddr;
use std::sync::Arc;

use puerto_smtp::{Envelope, Reply};
use puerto_spool::{Content, Draft, MessageId, Spool, SpoolError};

use crate::config::Live;
use crate::queue::Wake;
use crate::telemetry::{Client, MailLog};

pub use key_ring::KeyRing;

/// Who hands a message over.
#[derive(Debug, Clone)]
pub enum Source {
    /// An SMTP client.
    Smtp {
        /// As the log names it.
        client: Client,
        /// Its address and port.
        peer: SocketAddr,
        /// What it called itself.
        helo: String,
        /// `SMTP`, `ESMTP`, `ESMTPS`, `UTF8SMTPS` … (RFC 3848, RFC 6531 §4.3).
        protocol: &'static str,
        /// TLS version and cipher, if any.
        tls: Option<String>,
        /// It may relay: what it lacks is added as for a local user.
        trusted: bool,
    },
    /// A user of this machine, by the local socket.
    Local {
        /// From the peer's credentials.
        uid: u32,
        /// The user's name, or the number as text.
        user: String,
    },
    /// This server: a notification.
    Internal,
}

/// What was accepted: it is on stable storage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Accepted {
    /// Its id.
    pub id: MessageId,
    /// Octets, our own header included.
    pub size: u64,
}

/// Why a message was not accepted; nothing of it is kept.
#[derive(Debug, Clone)]
pub struct Refusal {
    /// What the client is told.
    pub reply: Reply,
}

/// The door to the spool.
pub struct Intake {
    config: Live,
    spool: Arc<dyn Spool>,
    keys: Arc<KeyRing>,
    log: MailLog,
    wake: Wake,
}

impl Intake {
    /// Builds it; called once.
    pub fn new(
        config: Live,
        spool: Arc<dyn Spool>,
        keys: Arc<KeyRing>,
        log: MailLog,
        wake: Wake,
    ) -> Self {
        Self { config, spool, keys, log, wake }
    }

    /// An id for a message that is about to come.
    pub fn new_id(&self) -> MessageId {
        self.spool.new_id()
    }

    /// Begins to take content; the refusal is what the client is to be told.
    pub fn draft(&self) -> Result<Box<dyn Draft>, Refusal> {
        self.spool.draft().map_err(Refusal::from)
    }
}

/// A failing store: the client is to try again later (RFC 3463 §3.4).
impl From<SpoolError> for Refusal {
    fn from(error: SpoolError) -> Self {
        let reply = match error {
            SpoolError::Full(_) => Reply::enhanced(452, (4, 3, 1), "the disk is full, try later"),
            _ => Reply::enhanced(451, (4, 3, 0), "mail cannot be stored now, try later"),
        };
        Self { reply }
    }
}
