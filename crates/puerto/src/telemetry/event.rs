//! What the mail log tells. Both of its forms are written from these values.

use std::net::IpAddr;
use std::time::Duration;

use puerto_smtp::{Address, EnhancedCode, Recipient, Reply, ReversePath};
use puerto_spool::{MessageId, Timestamp};

use crate::cause::Cause;

use super::LocalOrigin;

/// A client as the log names it: `name[address]`, the name "unknown" if it has none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Client {
    /// Its verified host name.
    pub name: Option<String>,
    /// Its address; `None` for the local socket.
    pub address: Option<IpAddr>,
}

/// Where the time went, as Postfix's `delays=a/b/c/d`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Delays {
    /// From the message's arrival until it was in the queue.
    pub before_queue: Duration,
    /// Waiting in the queue, for this attempt or a place.
    pub in_queue: Duration,
    /// Connection set-up, DNS, EHLO and TLS included.
    pub connection: Duration,
    /// From MAIL to the last reply.
    pub transmission: Duration,
}

/// What became of a recipient in one attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DeliveryStatus {
    /// The next hop has it.
    Sent,
    /// The next hop does not have it, and it is tried again.
    Deferred,
    /// The next hop does not have it and never will: its sender is told.
    Bounced,
}

impl DeliveryStatus {
    /// The log's word for it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Deferred => "deferred",
            Self::Bounced => "bounced",
        }
    }
}

/// What is known of whoever is at the other end of a connection that is encrypted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Verified {
    /// Nothing: any certificate was taken.
    #[default]
    No,
    /// Its certificate verifies, or it shows the key that it had before.
    Known,
    /// Its certificate verifies, for its name.
    Certificate,
    /// A TLSA record of its own matches its certificate.
    Dane,
}

impl Verified {
    /// The word that programs read.
    pub fn name(self) -> &'static str {
        match self {
            Self::No => "no",
            Self::Known => "known",
            Self::Certificate => "certificate",
            Self::Dane => "dane",
        }
    }
}

/// How a connection to a next hop was protected. Displayed as the log has it:
/// `TLSv1.3 with cipher TLS_AES_256_GCM_SHA384`, and whether the peer was verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Encryption {
    /// `TLSv1.3`.
    pub version: &'static str,
    /// By its name in the registry of the IANA.
    pub cipher: String,
    /// What is known of the peer.
    pub verified: Verified,
}

impl std::fmt::Display for Encryption {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let known = match self.verified {
            Verified::No => "",
            Verified::Known => ", known",
            Verified::Certificate | Verified::Dane => ", verified",
        };
        write!(f, "{} with cipher {}{known}", self.version, self.cipher)
    }
}

/// What was done to a message on its way in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A field that was missing.
    Added(String),
    /// A field that was made right, or whose address is another outside.
    Rewritten(String),
    /// A field that may not go out, or that says nothing.
    Dropped(String),
    /// The envelope's sender: as it came.
    Sender(String),
    /// CRs and LFs that stood alone became line ends.
    LineEnds,
    /// So many NULs were taken out of the header.
    Nuls(usize),
    /// The body was encoded so that it can be sent.
    Body,
}

impl Change {
    /// The word that programs read.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Added(_) => "added",
            Self::Rewritten(_) => "rewritten",
            Self::Dropped(_) => "dropped",
            Self::Sender(_) => "sender",
            Self::LineEnds => "line-ends",
            Self::Nuls(_) => "nuls",
            Self::Body => "body",
        }
    }

    /// Of what.
    pub fn of(&self) -> Option<&str> {
        match self {
            Self::Added(name) | Self::Rewritten(name) | Self::Dropped(name) => Some(name),
            Self::Sender(address) => Some(address),
            Self::LineEnds | Self::Nuls(_) | Self::Body => None,
        }
    }
}

/// A signature of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    /// `d=`.
    pub domain: String,
    /// `s=`.
    pub selector: String,
    /// `a=`.
    pub algorithm: &'static str,
}

/// What a message was signed with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Signing {
    /// With these keys; none: a notice says why not.
    With(Vec<Signature>),
    /// It is not ours to sign.
    NotOurs,
    /// Nobody can say whose it is.
    NoAuthor,
    /// There is no key for this domain.
    NoKey(String),
}

/// What became of a message before it is committed.
#[derive(Debug, Clone)]
pub struct Prepared<'a> {
    /// Its id.
    pub id: MessageId,
    /// The field's value, brackets included; empty if there is none.
    pub message_id: &'a str,
    /// Reverse-path, as it goes out.
    pub from: &'a ReversePath,
    /// Whom it is for.
    pub recipients: &'a [Recipient],
    /// What was changed.
    pub changes: &'a [Change],
    /// What it was signed with.
    pub signing: &'a Signing,
}

/// A command or message that was refused.
#[derive(Debug, Clone)]
pub struct Reject<'a> {
    /// The message's id, if it had one.
    pub id: Option<MessageId>,
    /// The command that was refused.
    pub stage: &'static str,
    /// Who is refused.
    pub client: &'a Client,
    /// What it was told.
    pub reply: &'a Reply,
    /// Reverse-path, once MAIL has named one.
    pub from: Option<&'a ReversePath>,
    /// The recipient that is refused, if it is one.
    pub to: Option<&'a Address>,
    /// `SMTP`, `ESMTP`, `ESMTPS` …
    pub protocol: &'a str,
    /// What it called itself.
    pub helo: Option<&'a str>,
}

/// One attempt for one recipient.
#[derive(Debug, Clone)]
pub struct Delivery<'a> {
    /// The message that was tried.
    pub id: MessageId,
    /// `smtp`, `lmtp`, `local`, `error`.
    pub component: &'static str,
    /// The recipient, after aliases.
    pub to: &'a Address,
    /// `host[ip]:port`, `local`, `none`.
    pub relay: &'a str,
    /// From arrival to the end of the attempt.
    pub delay: Duration,
    /// What that delay is made of.
    pub delays: Delays,
    /// The code in `dsn=` (RFC 3463), ours where there was no reply.
    pub status_code: EnhancedCode,
    /// What became of it.
    pub status: DeliveryStatus,
    /// The reply or the reason, without parentheses.
    pub text: &'a str,
    /// The same as a value.
    pub cause: &'a Cause,
    /// The code of the reply, if there was one.
    pub code: Option<u16>,
    /// When it is tried next, if it waits.
    pub next: Option<Timestamp>,
    /// How the connection was protected, if it was.
    pub tls: Option<&'a Encryption>,
    /// Why it was so, or why it was not protected.
    pub tls_reason: Option<&'a Cause>,
    /// A short explanation of a refusal.
    pub explanation: Option<&'a str>,
}

/// What a notice or a complaint says about a message that went out earlier.
#[derive(Debug, Clone)]
pub struct Later<'a> {
    /// The message that it is about.
    pub id: MessageId,
    /// The message that says so.
    pub report: MessageId,
    /// `refused`, `late`, `delivered` or `complaint`.
    pub news: &'static str,
    /// The recipient, where it is known.
    pub to: Option<&'a str>,
    /// The status that it gives.
    pub status_code: Option<EnhancedCode>,
    /// The reply or the reason that it gives; maybe empty.
    pub text: &'a str,
    /// What kind of complaint it is, such as `abuse`.
    pub complaint: Option<&'a str>,
    /// A short explanation of the reason.
    pub explanation: Option<&'a str>,
}

impl Later<'_> {
    /// What became of it, as the log for people says it.
    pub(super) fn word(&self) -> &'static str {
        match self.news {
            "late" => "reported late",
            "delivered" => "reported delivered",
            "complaint" => "complained of later",
            _ => "refused later",
        }
    }
}

/// One event of the mail log. The component that Postfix would log it under stands
/// in parentheses.
#[derive(Debug, Clone)]
pub enum Event<'a> {
    /// A client connected (smtpd).
    Connect {
        /// The client.
        client: &'a Client,
    },
    /// A client left (smtpd).
    Disconnect {
        /// The client.
        client: &'a Client,
        /// Commands by name: how many succeeded, how many there were.
        commands: &'a [(&'static str, u32, u32)],
    },
    /// A client was lost in the middle, or another remark on a session (smtpd).
    SessionProblem {
        /// The client.
        client: &'a Client,
        /// What happened: `lost connection after DATA`, `timeout after RCPT`.
        what: &'a str,
    },
    /// A command or message was refused: `NOQUEUE: reject: RCPT from …` (smtpd).
    Reject(Reject<'a>),
    /// Somebody could not log in: `warning: name[address]: SASL PLAIN authentication
    /// failed: why` (smtpd).
    LoginFailed {
        /// The client.
        client: &'a Client,
        /// How it tried.
        mechanism: &'static str,
        /// Which account. One that does not exist is not named: people type their password
        /// where their name belongs.
        account: Option<&'a str>,
        /// Why.
        why: &'a str,
    },
    /// A message came by SMTP: `ID: client=name[address]` (smtpd).
    FromClient {
        /// Its id.
        id: MessageId,
        /// The client.
        client: &'a Client,
        /// TLS version and cipher.
        tls: Option<&'a str>,
        /// The name that the client logged in with.
        login: Option<&'a str>,
        /// What it called itself.
        helo: &'a str,
        /// `SMTP`, `ESMTP`, `ESMTPSA` …
        protocol: &'a str,
    },
    /// A message came from a local user: `ID: uid=0 from=<root>` and what is known of its
    /// program (pickup).
    FromLocalUser {
        /// Its id.
        id: MessageId,
        /// The user's number, which the kernel vouches for.
        uid: u32,
        /// The program.
        origin: &'a LocalOrigin,
        /// Reverse-path.
        from: &'a ReversePath,
    },
    /// A message is ready to be committed: `ID: message-id=<…>` (cleanup).
    Prepared(Prepared<'a>),
    /// A message is durable: `ID: from=<>, size=, nrcpt= (queue active)` (qmgr).
    Queued {
        /// Its id.
        id: MessageId,
        /// Reverse-path.
        from: &'a ReversePath,
        /// Octets of the whole message, as it is stored.
        size: u64,
        /// How many recipients its envelope has.
        recipients: usize,
    },
    /// One attempt for one recipient: `ID: to=<>, relay=…, status=…` (smtp, local, or
    /// error for a recipient that never got as far as a host).
    Delivery(Delivery<'a>),
    /// A notification was queued: `ID: sender non-delivery notification: NEW` (bounce).
    Notification {
        /// The message that it is about.
        id: MessageId,
        /// `sender non-delivery notification`, `sender delay notification`,
        /// `sender delivery status notification`.
        kind: &'a str,
        /// The notification's own id.
        notification: MessageId,
    },
    /// A notice or a complaint has come about a message that went out earlier: `ID: refused
    /// later: NEW, to=<>, dsn=… (…)`, or what [`Later::word`] says instead (bounce).
    Later(Later<'a>),
    /// A message is gone from the queue: `ID: removed` (qmgr).
    Removed {
        /// Its id.
        id: MessageId,
    },
    /// A message was given up by age: `ID: from=<>, status=expired, returned to
    /// sender` (qmgr).
    Expired {
        /// Its id.
        id: MessageId,
        /// Reverse-path.
        from: &'a ReversePath,
    },
    /// Anything that an administrator should see, about a message or the server.
    Notice {
        /// `info`, `warning`, `error`, `fatal`.
        level: &'static str,
        /// The part of the server that says so, by its name in Postfix.
        component: &'static str,
        /// The message, if it is about one.
        id: Option<MessageId>,
        /// What it says, in English; of any length.
        text: &'a str,
    },
    /// The same about a message, as a value that `puerto why` says in each language.
    Remark {
        /// `info`, `warning`, `error`; `debug` for the message's story alone.
        level: &'static str,
        /// The part of the server that says so, by its name in Postfix.
        component: &'static str,
        /// The message.
        id: MessageId,
        /// What is said of it.
        cause: &'a Cause,
    },
}

impl Event<'_> {
    /// Whether it has no line in the log: `puerto why` alone tells it.
    pub(super) fn is_for_the_story(&self) -> bool {
        matches!(self, Self::Remark { level: "debug", .. })
    }

    /// The component that Postfix would log it under.
    pub(super) fn component(&self) -> &'static str {
        match self {
            Self::Connect { .. }
            | Self::Disconnect { .. }
            | Self::SessionProblem { .. }
            | Self::Reject(_)
            | Self::LoginFailed { .. }
            | Self::FromClient { .. } => "smtpd",
            Self::FromLocalUser { .. } => "pickup",
            Self::Prepared(_) => "cleanup",
            Self::Queued { .. } | Self::Removed { .. } | Self::Expired { .. } => "qmgr",
            Self::Delivery(Delivery { component, .. })
            | Self::Notice { component, .. }
            | Self::Remark { component, .. } => component,
            Self::Notification { .. } | Self::Later(_) => "bounce",
        }
    }
}
