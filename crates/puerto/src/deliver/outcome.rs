//! What is said about an attempt, in the words that readers of Postfix's log know.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use puerto_smtp::client::{AuthUnavailable, Cause, Failure, Loss, Stage};
use puerto_smtp::{EnhancedCode, Reply};

use super::places::Place;

/// Who is spoken to.
#[derive(Debug, Clone)]
pub(super) struct Peer {
    /// The host's name.
    pub(super) host: Arc<str>,
    /// Where it is; `None` for a socket in the file system.
    pub(super) address: Option<SocketAddr>,
    /// `host[address]`.
    pub(super) name: String,
    /// `host[address]:port`.
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
    /// The session failed.
    Session(Failure),
    /// TLS is required and was not offered.
    NoTls,
    /// TLS could not be started, or the certificate was not taken.
    Handshake(String),
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
    /// The reason.
    pub(super) text: String,
    /// The same as a value.
    pub(super) why: Why,
    /// The reply, if there was one.
    pub(super) reply: Option<Reply>,
    /// TLS version and cipher.
    pub(super) tls: Option<String>,
    /// TLS is what failed, so that it may work without.
    pub(super) tls_broke: bool,
}

impl HostFailure {
    /// A failure without a reply on a connection that was made.
    pub(super) fn new(peer: &Peer, status: (u8, u16, u16), text: String, why: Why) -> Self {
        Self {
            relay: Some(peer.relay.clone()),
            host: Arc::clone(&peer.host),
            status: EnhancedCode::new(status.0, status.1, status.2),
            text,
            why,
            reply: None,
            tls: None,
            tls_broke: false,
        }
    }

    /// No connection was made.
    pub(super) fn not_connected(peer: &Peer, error: std::io::Error) -> Self {
        let text = format!("connect to {}: {}", peer.relay, describe(&error));
        let why = Why::NotConnected(Arc::new(error));
        Self { relay: None, ..Self::new(peer, (4, 4, 1), text, why) }
    }

    /// The session failed before a message began.
    pub(super) fn of_session(peer: &Peer, failure: &Failure) -> Self {
        let Peer { name, .. } = peer;
        let text = match (&failure.cause, failure.stage) {
            (Cause::Reply(reply), Stage::Greeting | Stage::Ehlo | Stage::Helo | Stage::Lhlo) => {
                format!("host {name} refused to talk to me: {reply}")
            }
            (Cause::Reply(reply), Stage::Auth) => {
                format!("SASL authentication failed; server {name} said: {reply}")
            }
            _ => describe_failure(peer, failure, 0),
        };
        Self {
            status: failure.status().with_class(4),
            reply: failure.reply().cloned(),
            ..Self::new(peer, (4, 0, 0), text, Why::Session(failure.clone()))
        }
    }

    /// Whether the host asked for fewer connections rather than refusing us.
    pub(super) fn asks_for_less(&self) -> bool {
        self.reply.as_ref().is_some_and(Reply::closes)
    }
}

/// The log's text for a failure about a message; `size` is the message's.
pub(super) fn describe_failure(peer: &Peer, failure: &Failure, size: u64) -> String {
    let name = &peer.name;
    let activity = failure.stage.activity();
    match &failure.cause {
        Cause::Reply(reply) => {
            format!("host {name} said: {reply} (in reply to {})", failure.stage.command())
        }
        Cause::Lost(Loss::Closed) => format!("lost connection with {name} while {activity}"),
        Cause::Lost(Loss::TimedOut) => {
            format!("conversation with {name} timed out while {activity}")
        }
        Cause::Lost(Loss::Abandoned) => format!("gave up on {name} while {activity}"),
        Cause::Garbage(error) => format!("bad reply from {name} while {activity}: {error}"),
        Cause::OutOfStep => format!("unexpected reply from {name} while {activity}"),
        Cause::InjectedBeforeTls => format!(
            "host {name} sent plain text behind its reply to STARTTLS: somebody may be \
             interfering with the connection"
        ),
        Cause::TooLarge { limit } => {
            format!("message size {size} exceeds size limit {limit} of server {name}")
        }
        Cause::NeedsSmtputf8 => {
            format!("SMTPUTF8 is required, but was not offered by host {name}")
        }
    }
}

/// An error of the operating system, without its number.
pub(super) fn describe(error: &std::io::Error) -> String {
    if error.kind() == std::io::ErrorKind::TimedOut {
        return "Connection timed out".to_owned();
    }
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = write!(text, "{error}");
    match text.find(" (os error") {
        Some(end) => text.get(..end).map_or(text.clone(), str::to_owned),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_told_in_the_words_of_postfix() {
        let peer = Peer::at(&Arc::from("mx.example"), "192.0.2.1:25".parse().unwrap());
        let reply = Reply::enhanced(550, (5, 1, 1), "no such user");
        for (stage, cause, text) in [
            (
                Stage::Recipient,
                Cause::Reply(reply),
                "host mx.example[192.0.2.1] said: 550 5.1.1 no such user (in reply to RCPT TO \
                 command)",
            ),
            (
                Stage::FinalDot,
                Cause::Lost(Loss::Closed),
                "lost connection with mx.example[192.0.2.1] while sending end of data -- message \
                 may be sent more than once",
            ),
            (
                Stage::Content,
                Cause::Lost(Loss::TimedOut),
                "conversation with mx.example[192.0.2.1] timed out while sending message body",
            ),
            (
                Stage::Mail,
                Cause::TooLarge { limit: 5 },
                "message size 9 exceeds size limit 5 of server mx.example[192.0.2.1]",
            ),
        ] {
            assert_eq!(describe_failure(&peer, &Failure { stage, cause }, 9), text);
        }
    }

    #[test]
    fn a_refusal_of_the_session_is_never_permanent() {
        let peer = Peer::at(&Arc::from("mx.example"), "[2001:db8::1]:25".parse().unwrap());
        let reply = Reply::enhanced(554, (5, 7, 1), "go away");
        let failure = Failure { stage: Stage::Greeting, cause: Cause::Reply(reply) };
        let failure = HostFailure::of_session(&peer, &failure);
        assert_eq!(
            failure.text,
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
        assert_eq!(failure.text, "connect to mx.example[192.0.2.1]:25: Connection refused");
        assert_eq!(failure.relay, None);
    }
}
