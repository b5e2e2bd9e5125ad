//! The server's side of a session (RFC 5321 §3), as a machine without a socket.
//!
//! A driver feeds what the client sent and polls for what to do next. The machine
//! answers everything that the protocol decides; what policy decides it asks, and
//! goes on when it is answered:
//!
//! ```text
//!          feed(bytes)                       answer(reply) / accept()
//!   client ───────────▶ Session ── poll() ─▶ AskMail, AskRecipient,
//!          ◀─────────── Write                BeginContent, EndContent
//! ```
//!
//! Replies to pipelined commands gather and go out in one write when the client
//! has to say something, so that a group of commands costs one read and one write.
//! Whatever ends a message, good or bad, ends its transaction with it; and nothing
//! that was said before STARTTLS is known after it.

mod auth;
mod commands;
mod common;
mod content;
mod session;

use crate::address::Domain;
use crate::codec::ContentFault;
use crate::envelope::{Envelope, Recipient};
use crate::extension::Extensions;
use crate::reply::Reply;
use crate::sasl::Mechanism;

pub use session::Session;

/// What a server is and offers.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The server's name, for the greeting and the reply to EHLO.
    pub hostname: String,
    /// What EHLO offers. `size` is the limit that is enforced; the session leaves
    /// `starttls` out while TLS is in use, and `auth` while it is not.
    pub extensions: Extensions,
    /// The domain that completes `<postmaster>` (RFC 5321 §4.1.1.3).
    pub domain: Domain,
    /// The domain that completes senders.
    pub sender_domain: Domain,
    /// It completes every bare name: for users of this machine.
    pub bare_names: bool,
    /// The client is one of ours: a greeting may be missing, paths may lack their
    /// brackets, lines may end in LF, and content that is malformed is handed over for
    /// the driver to mend. A stranger gets the rule.
    pub lenient: bool,
    /// Recipients of one message at most.
    pub max_recipients: usize,
}

/// What the driver is to do next.
#[derive(Debug)]
pub enum Action<'a> {
    /// Feed more of what the client sends.
    Read,
    /// Send this to the client.
    Write(&'a [u8]),
    /// May a message from here be sent? Answer it. The envelope has no recipients
    /// yet; the size is what the client declared.
    AskMail {
        /// What is known of the envelope.
        envelope: &'a Envelope,
        /// The value of SIZE.
        size: Option<u64>,
    },
    /// May the message go to this recipient? Answer it.
    AskRecipient {
        /// The envelope so far.
        envelope: &'a Envelope,
        /// The recipient in question.
        recipient: &'a Recipient,
    },
    /// Content is about to come for this envelope: get ready for it and accept, or
    /// answer with the reason why not.
    BeginContent(&'a Envelope),
    /// A piece of the content, without stuffed dots. If it cannot be kept, call
    /// [`Session::refuse_content`].
    Content(&'a [u8]),
    /// The content is whole. Answer for the message: a positive reply is a promise. The
    /// session forgets the envelope.
    EndContent(Envelope),
    /// What has come of the content is worth nothing: forget it. The session reads
    /// what remains of it and tells the client.
    DiscardContent(Discard),
    /// The session refused something by itself; only the log needs to know.
    Refused(Refusal),
    /// The client wants to log in. Ask for more with [`Session::challenge`], let it in
    /// with [`Session::accept`], or answer with the reason why not.
    BeginAuth {
        /// How.
        mechanism: Mechanism,
        /// What it said with the command, decoded.
        initial: Option<&'a [u8]>,
    },
    /// What the client says to the challenge, decoded; to be answered in the same ways.
    ContinueAuth(&'a [u8]),
    /// Begin the TLS handshake, then call [`Session::tls_established`].
    StartTls,
    /// Close the connection.
    Close,
}

/// Why content is discarded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Discard {
    /// The client took the message back between two chunks.
    Withdrawn,
    /// It is malformed.
    Fault(ContentFault),
    /// It is larger than the limit.
    TooLarge,
}

/// A refusal that the protocol decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The command that was refused, as the log names it.
    pub stage: &'static str,
    /// What the client was told.
    pub reply: Reply,
    /// The envelope's reverse-path, if MAIL was accepted before.
    pub from: Option<crate::address::ReversePath>,
}
