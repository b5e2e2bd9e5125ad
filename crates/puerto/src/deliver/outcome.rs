//! What is said about an attempt, in the words that readers of Postfix's log know.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use puerto_smtp::client::{AuthUnavailable, Cause as Reason, Failure, Loss, Stage};
use puerto_smtp::{EnhancedCode, Reply};

use super::places::Place;
use crate::cause::Cause;
use crate::cause::field::Command;
use crate::telemetry::Encryption;

/// Who is spoken to.
#[derive(Debug, Clone)]
pub(super) struct Peer {
    /// The host's name.
    pub(super) host: Arc<str>,
    /// Where it is; `None` for a socket in the file system.
    pub(super) address: Option<SocketAddr>,
    /// `host[address]`, as sentences name it.
    pub(super) name: String,
    /// `host[address]:port`, as `relay=` has it.
    pub(super) relay: String,
    /// The right to a connection, where it is counted.
    pub(super) place: Option<Arc<Place>>,
}

impl Peer {
    /// A host at an address.
    pub(super) fn at(host: &Arc<str>, address: SocketAddr) -> Self {
        let name = format!("{host}[{}]", address.ip());
        let relay = format!("{name}:{}", address.port());
        Self { host: Arc::clone(host), address: Some(address), name, relay, place: None }
    }

    /// A server behind a socket in the file system.
    pub(super) fn at_path(host: &Arc<str>, path: &Path) -> Self {
        let name = format!("{host}[{}]", path.display());
        Self { host: Arc::clone(host), address: None, relay: name.clone(), name, place: None }
    }
}

/// Why a host gave no session, for whoever says it in other words than the log.
#[derive(Debug, Clone)]
pub enum Why {
    /// No connection was made.
    NotConnected(Arc<std::io::Error>),
    /// A connection was made, and the host refused or was lost before MAIL.
    Session(Failure),
    /// TLS is required and was not offered.
    NoTls,
    /// TLS could not be started, or the certificate was not taken.
    Handshake(Cause),
    /// The file with the password cannot be read.
    Password(PathBuf, Arc<std::io::Error>),
    /// Logging in cannot even be tried.
    NoLogin(AuthUnavailable),
}

/// Why a host gave no session: nothing of this is about a message.
#[derive(Debug)]
pub(super) struct HostFailure {
    /// Who; what the log calls `relay`, if a connection was made at all.
    pub(super) relay: Option<String>,
    /// The host's name.
    pub(super) host: Arc<str>,
    /// The status, always of class 4.
    pub(super) status: EnhancedCode,
    /// What is said of it.
    pub(super) cause: Cause,
    /// What it rests on.
    pub(super) why: Why,
    /// The reply, if there was one.
    pub(super) reply: Option<Reply>,
    /// How the connection was protected, if it was.
    pub(super) tls: Option<Encryption>,
    /// Why TLS was demanded, if it was.
    pub(super) tls_reason: Option<Cause>,
    /// TLS is what failed, so that it may work without.
    pub(super) tls_broke: bool,
    /// It failed for the peer's certificate.
    pub(super) is_uncertified: bool,
}

impl HostFailure {
    /// A failure without a reply on a connection that was made.
    pub(super) fn new(peer: &Peer, status: (u8, u16, u16), cause: Cause, why: Why) -> Self {
        Self {
            relay: Some(peer.relay.clone()),
            host: Arc::clone(&peer.host),
            status: EnhancedCode::new(status.0, status.1, status.2),
            cause,
            why,
            reply: None,
            tls: None,
            tls_reason: None,
            tls_broke: false,
            is_uncertified: false,
        }
    }

    /// No connection was made.
    pub(super) fn not_connected(peer: &Peer, error: std::io::Error) -> Self {
        let cause = Cause::NotConnected { peer: peer.relay.clone(), error: (&error).into() };
        let why = Why::NotConnected(Arc::new(error));
        Self { relay: None, ..Self::new(peer, (4, 4, 1), cause, why) }
    }

    /// The session failed before a message began.
    pub(super) fn of_session(peer: &Peer, failure: &Failure) -> Self {
        let host = || peer.name.clone();
        let cause = match (&failure.cause, failure.stage) {
            (Reason::Reply(reply), Stage::Greeting | Stage::Ehlo | Stage::Helo | Stage::Lhlo) => {
                Cause::RefusedToTalk { host: host(), reply: quoted(reply) }
            }
            (Reason::Reply(reply), Stage::Auth) => {
                Cause::LoginRefused { host: host(), reply: quoted(reply) }
            }
            _ => cause_of(&peer.name, failure, 0),
        };
        Self {
            status: failure.status().with_class(4),
            reply: failure.reply().cloned(),
            ..Self::new(peer, (4, 0, 0), cause, Why::Session(failure.clone()))
        }
    }

    /// Whether the host asked for fewer connections rather than refusing us.
    pub(super) fn asks_for_less(&self) -> bool {
        self.reply.as_ref().is_some_and(Reply::closes)
    }
}

/// What is said of a failure about a message of that size.
pub(super) fn cause_of(host: &str, failure: &Failure, size: u64) -> Cause {
    let (host, stage) = (host.to_owned(), failure.stage);
    match &failure.cause {
        Reason::Reply(reply) => {
            Cause::Refused { host, reply: quoted(reply), command: Command(stage) }
        }
        Reason::Lost(Loss::Closed) => Cause::ConnectionLost { host, stage },
        Reason::Lost(Loss::TimedOut) => Cause::TimedOut { host, stage },
        Reason::Lost(Loss::Abandoned) => Cause::GaveUp { host, stage },
        Reason::Garbage(error) => Cause::BadReply { host, stage, error: *error },
        Reason::OutOfStep => Cause::UnexpectedReply { host, stage },
        Reason::InjectedBeforeTls => Cause::InjectedBeforeTls { host },
        Reason::TooLarge { limit } => Cause::TooLarge { size, limit: *limit, host },
        Reason::NeedsSmtputf8 => Cause::NeedsSmtputf8 { host },
    }
}

/// Octets of what is said of an outcome at most: it is kept with every recipient, and a
/// peer may say 64 KiB.
const LONGEST: usize = 2000;

// A longer one is cut in the text anyway.
fn quoted(reply: &Reply) -> String {
    shortened(reply.to_string())
}

/// A text of at most so many octets.
pub(super) fn shortened(mut text: String) -> String {
    if text.len() > LONGEST {
        text.truncate(text.floor_char_boundary(LONGEST));
        text.push_str(" ...");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_cut_between_characters() {
        assert_eq!(shortened("short".to_owned()), "short");
        let cut = shortened("ñ".repeat(2000));
        assert_eq!(cut, format!("{} ...", "ñ".repeat(1000)));
    }

    #[test]
    fn failures_are_told_in_the_words_of_postfix() {
        let peer = Peer::at(&Arc::from("mx.example"), "192.0.2.1:25".parse().unwrap());
        let reply = Reply::enhanced(550, (5, 1, 1), "no such user");
        for (stage, cause, text) in [
            (
                Stage::Recipient,
                Reason::Reply(reply),
                "host mx.example[192.0.2.1] said: 550 5.1.1 no such user (in reply to RCPT TO \
                 command)",
            ),
            (
                Stage::FinalDot,
                Reason::Lost(Loss::Closed),
                "lost connection with mx.example[192.0.2.1] while sending end of data -- message \
                 may be sent more than once",
            ),
            (
                Stage::Content,
                Reason::Lost(Loss::TimedOut),
                "conversation with mx.example[192.0.2.1] timed out while sending message body",
            ),
            (
                Stage::Mail,
                Reason::TooLarge { limit: 5 },
                "message size 9 exceeds size limit 5 of server mx.example[192.0.2.1]",
            ),
        ] {
            assert_eq!(cause_of(&peer.name, &Failure { stage, cause }, 9).text(), text);
        }
    }

    #[test]
    fn a_refusal_of_the_session_is_never_permanent() {
        let peer = Peer::at(&Arc::from("mx.example"), "[2001:db8::1]:25".parse().unwrap());
        let reply = Reply::enhanced(554, (5, 7, 1), "go away");
        let failure = Failure { stage: Stage::Greeting, cause: Reason::Reply(reply) };
        let failure = HostFailure::of_session(&peer, &failure);
        assert_eq!(
            failure.cause.text(),
            "host mx.example[2001:db8::1] refused to talk to me: 554 5.7.1 go away"
        );
        assert_eq!(failure.status.to_string(), "4.7.1");
        assert_eq!(failure.relay.as_deref(), Some("mx.example[2001:db8::1]:25"));
    }

    #[test]
    fn a_failed_connection_names_the_reason_without_its_number() {
        let peer = Peer::at(&Arc::from("mx.example"), "192.0.2.1:25".parse().unwrap());
        let refused = std::io::Error::from_raw_os_error(111);
        let failure = HostFailure::not_connected(&peer, refused);
        assert_eq!(failure.cause.text(), "connect to mx.example[192.0.2.1]:25: Connection refused");
        assert_eq!(failure.relay, None);
    }
}
