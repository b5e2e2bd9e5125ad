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

    /// Whether it may be about the connection, and what was said on it before, rather
    /// than about this message: a peer that keeps the last transaction, takes no more
    /// messages in one session, or is about to close says so in reply to whatever comes
    /// next. On a connection that carried a message before, such a refusal is no verdict.
    /// Where the status speaks of an address, a mailbox or the content (RFC 3463 §3.2,
    /// §3.3, §3.7), it is.
    pub fn may_be_about_the_session(&self) -> bool {
        let reply = match &self.cause {
            Cause::Reply(reply) => reply,
            Cause::Garbage(_) | Cause::OutOfStep | Cause::Lost(Loss::Closed) => {
                return self.stage != Stage::FinalDot;
            }
            _ => return false,
        };
        if self.stage.is_before_mail() || self.stage == Stage::Mail || reply.closes() {
            return true;
        }
        let status = reply.enhanced_code().map(|code| (code.subject, code.detail));
        let about_message = match (self.stage, status) {
            (_, Some((1 | 2 | 6, _) | (3, 4))) => true,
            // The content was seen, and policy is what most refusals of it are called.
            (Stage::Content | Stage::FinalDot, Some((7, _))) => true,
            _ => false,
        };
        reply.severity() == Severity::Permanent && !about_message
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

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(stage: Stage, reply: &str) -> Failure {
        let mut decoder = crate::reply::ReplyDecoder::new();
        decoder.feed(format!("{reply}\r\n").as_bytes());
        let reply = decoder.next_reply().unwrap().unwrap();
        Failure { stage, cause: Cause::Reply(reply) }
    }

    #[test]
    fn a_refusal_that_may_be_about_the_session_is_told_from_one_of_the_message() {
        use Stage::{Content, Data, FinalDot, Mail, Recipient, Reset};
        for (stage, reply, session) in [
            (Reset, "502 5.5.1 what", true),
            (Mail, "503 5.5.1 nested MAIL command", true),
            (Mail, "550 5.1.8 who are you", true),
            (Mail, "451 4.3.0 not now", true),
            (Mail, "421 4.7.0 too many messages in this session", true),
            (Recipient, "550 too many messages in this session", true),
            (Recipient, "550 5.7.1 too many messages in this session", true),
            (Recipient, "503 5.5.1 need MAIL before RCPT", true),
            (Recipient, "421 4.4.2 closing", true),
            (Recipient, "550 5.1.1 no such user", false),
            (Recipient, "552 5.2.2 full", false),
            (Recipient, "450 4.7.1 greylisted", false),
            (Data, "550 too many messages in this session", true),
            (Data, "554 5.5.1 no valid recipients", true),
            (Content, "552 5.3.4 too much", false),
            (FinalDot, "550 too many messages in this session", true),
            (FinalDot, "421 4.7.0 too many messages", true),
            (FinalDot, "550 5.7.1 spam", false),
            (FinalDot, "554 5.6.0 malformed", false),
            (FinalDot, "451 4.3.0 later", false),
        ] {
            assert_eq!(refused(stage, reply).may_be_about_the_session(), session, "{reply}");
        }
        for (stage, cause, session) in [
            (Mail, Cause::Lost(Loss::Closed), true),
            (Data, Cause::OutOfStep, true),
            (Recipient, Cause::Garbage(ReplyError::NotAReply), true),
            (Content, Cause::Lost(Loss::Closed), true),
            (FinalDot, Cause::Lost(Loss::Closed), false),
            (FinalDot, Cause::OutOfStep, false),
            (Mail, Cause::Lost(Loss::TimedOut), false),
            (Content, Cause::Lost(Loss::Abandoned), false),
            (Mail, Cause::TooLarge { limit: 1 }, false),
            (Mail, Cause::NeedsSmtputf8, false),
        ] {
            let failure = Failure { stage, cause };
            assert_eq!(failure.may_be_about_the_session(), session, "{failure}");
        }
    }
}
