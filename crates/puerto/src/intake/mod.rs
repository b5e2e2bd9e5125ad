//! The one choke point between a client and the spool: what a local message lacks
//! is added, lines are made right, trace and signatures are written, and only then
//! is the message committed.

use std::net::SocketAddr;

use puerto_smtp::Reply;
use puerto_spool::MessageId;

use crate::telemetry::Client;

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
