//! What can go wrong in a session, and what becomes of each recipient.

use std::fmt;

use crate::client::Stage;
use crate::reply::{EnhancedCode, Reply, ReplyError, Severity};

/// How a connection was lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Loss {
    /// The peer closed or reset it, or the network did.
    Closed,
    /// The peer did not answer within the stage's time.
    TimedOut,
    /// We ended it for a reason of our own, such as content that cannot be read.
    Abandoned,
}

/// Why something failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cause {
    /// The peer said so.
    Reply(Reply),
    /// The peer sent something that is not a reply.
    Garbage(ReplyError),
    /// The peer sent a reply that nothing asked for, or one that makes no sense
    /// where it stands. Whatever follows cannot be trusted to answer what we ask.
    OutOfStep,
    /// Octets came in plain text behind the reply to STARTTLS: somebody may have
    /// put them there (RFC 3207 §4, the CVE-2011-0411 family).
    InjectedBeforeTls,
    /// The connection is gone.
    Lost(Loss),
    /// The message is larger than the peer takes (RFC 1870 §6.1).
    TooLarge {
        /// Octets that it takes.
        limit: u64,
    },
    /// The message or the address needs SMTPUTF8 and the peer lacks it (RFC 6531
    /// §3.2).
    NeedsSmtputf8,
}

/// A failure and where it happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Where.
    pub stage: Stage,
    /// Why.
    pub cause: Cause,
}

impl Failure {
    /// Whether trying again cannot help. What a peer says before MAIL is about the
    /// session and not about any message, and so is never for good.
    pub fn is_permanent(&self) -> bool {
        match &self.cause {
            Cause::Reply(_) if self.stage.is_before_mail() => false,
            Cause::Reply(reply) => reply.severity() == Severity::Permanent,
            Cause::TooLarge { .. } | Cause::NeedsSmtputf8 => true,
            Cause::Garbage(_) | Cause::OutOfStep | Cause::InjectedBeforeTls | Cause::Lost(_) => {
                false
            }
        }
    }

    /// Whether the peer may have taken the message although no reply says so. Only
    /// then can a second attempt make a second copy.
    pub fn may_have_delivered(&self) -> bool {
        self.stage == Stage::FinalDot && !matches!(self.cause, Cause::Reply(_))
    }

    /// The status code for it (RFC 3463 §3).
    pub fn status(&self) -> EnhancedCode {
        match &self.cause {
            Cause::Reply(reply) if self.stage.is_before_mail() => reply.status().with_class(4),
            Cause::Reply(reply) => reply.status(),
            Cause::Garbage(_) | Cause::OutOfStep => EnhancedCode::new(4, 5, 0),
            Cause::InjectedBeforeTls => EnhancedCode::new(4, 7, 5),
            Cause::Lost(Loss::Abandoned) => EnhancedCode::new(4, 3, 0),
            Cause::Lost(_) => EnhancedCode::new(4, 4, 2),
            Cause::TooLarge { .. } => EnhancedCode::new(5, 3, 4),
            Cause::NeedsSmtputf8 => EnhancedCode::new(5, 6, 7),
        }
    }

    /// The peer's reply, if it gave one.
    pub fn reply(&self) -> Option<&Reply> {
        match &self.cause {
            Cause::Reply(reply) => Some(reply),
            _ => None,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.cause {
            Cause::Reply(reply) => write!(f, "{reply} (in reply to {})", self.stage.command()),
            Cause::Garbage(error) => write!(f, "{error}, while {}", self.stage.activity()),
            Cause::OutOfStep => {
                write!(f, "the peer sent an unexpected reply while {}", self.stage.activity())
            }
            Cause::InjectedBeforeTls => {
                f.write_str("the peer sent plain text behind its reply to STARTTLS")
            }
            Cause::Lost(Loss::Closed) => {
                write!(f, "lost connection while {}", self.stage.activity())
            }
            Cause::Lost(Loss::TimedOut) => write!(f, "timed out while {}", self.stage.activity()),
            Cause::Lost(Loss::Abandoned) => write!(f, "abandoned while {}", self.stage.activity()),
            Cause::TooLarge { limit } => {
                write!(f, "the message is larger than the {limit} octets that the peer takes")
            }
            Cause::NeedsSmtputf8 => f.write_str("the peer does not offer SMTPUTF8"),
        }
    }
}

/// What became of one recipient in a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// The peer has taken the message for it, with this reply.
    Accepted(Reply),
    /// It was not taken.
    Failed(Failure),
    /// It was not tried, since the peer takes no more recipients in one
    /// transaction: to be given in the next, on the same connection
    /// (RFC 5321 §4.5.3.1.10).
    Remaining,
}
