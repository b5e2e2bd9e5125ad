//! The words of the protocol.

use puerto_spool::SpoolError;
use serde::{Deserialize, Serialize};

use super::ordering::OrderView;
use super::overview::{LaneView, Overview, Vitals, WarmUpView};
use super::view::{Brief, MessageView};
use super::why::{MatchView, StoryView, UnknownView};
use crate::lang::{Said, quoted, spool_error};
use crate::orders::What;

/// The version that this program speaks. It grows when a word changes its meaning or
/// goes; new words and new fields leave it alone.
pub const VERSION: u32 = 1;

/// Octets of an ordinary user's request line at most.
pub const MAX_REQUEST: usize = 4 * 1024;

/// Octets of an administrator's: it names many messages at once.
pub const MAX_ADMINISTRATOR_REQUEST: usize = 64 * 1024;

/// A request line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestLine {
    /// The client's [`VERSION`].
    pub version: u32,
    /// What it asks.
    pub request: Request,
}

/// What a client can ask.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// Messages in the order of their ids; each is a line of its own.
    List(Selection),
    /// The same with no more than a list for people shows.
    Brief {
        /// Which.
        #[serde(default)]
        selection: Selection,
        /// With the reasons as values, too.
        #[serde(default)]
        causes: bool,
    },
    /// Their ids alone, many in a line.
    Ids(Selection),
    /// What is queued, counted by destination and by reason.
    Overview {
        /// Of these messages, and of them the recipients that fit.
        #[serde(default)]
        selection: Selection,
        /// Destinations that are told apart at most.
        most: usize,
        /// Counts of so many milliseconds ago will do.
        #[serde(default)]
        max_age: u64,
    },
    /// What went through this node, and how its lanes stand.
    Vitals,
    /// What an administrator has ordered; each order is a line of its own.
    Orders,
    /// Orders something.
    Order {
        /// What.
        what: What,
        /// For so many seconds; else until it is taken back.
        #[serde(default)]
        seconds: Option<u64>,
        /// A word on why.
        #[serde(default)]
        note: Option<String>,
    },
    /// Takes orders back.
    TakeBack {
        /// Their numbers.
        numbers: Vec<u64>,
    },
    /// One message's octets, after a line that says how many they are.
    Body {
        /// Its id.
        id: String,
    },
    /// One message as it stands, for another store: see [`puerto_spool::parcel`].
    Parcel {
        /// Its id.
        id: String,
    },
    /// One message, and its header if the client may see it.
    Show {
        /// Its id.
        id: String,
    },
    /// Changes messages.
    Change {
        /// How.
        change: Change,
        /// Which.
        ids: Vec<String>,
        /// By what they were chosen: a retry is for the recipients that fit it.
        #[serde(default, skip_serializing_if = "Selection::is_empty")]
        chosen: Selection,
    },
    /// Tries waiting mail now.
    Flush {
        /// Only messages with a recipient in this domain.
        #[serde(default)]
        destination: Option<String>,
        /// Only this message.
        #[serde(default)]
        id: Option<String>,
    },
    /// The story of a message, or which messages are meant.
    Why {
        /// An id, a Message-ID or an address.
        what: String,
    },
    /// Has the history forget all mail from or to an address.
    Forget {
        /// The address.
        address: String,
    },
    /// How the server fares.
    Health,
    /// Who shares the queue; each node is a line of its own.
    Nodes,
    /// Reads the configuration again.
    Reload,
    /// Asks for another certificate.
    Renew {
        /// With another key, once its TLSA record has come to everybody.
        #[serde(default)]
        new_key: bool,
    },
}

/// A change of one message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// Every waiting recipient is due now.
    Retry,
    /// Not to be tried until released.
    Hold,
    /// The opposite of hold.
    Release,
    /// Forgotten, without notice to anybody.
    Remove,
}

/// Which messages are meant; without any condition, all. A message is meant if its
/// sender fits and one of its recipients that are not done fits all the others.
///
/// Conditions are compared without regard to case. With `*` or `?` in it, a condition
/// is a pattern for the whole; otherwise it is a part that is to be found, except for
/// `destination`, which is a whole name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Selection {
    /// The recipient's address.
    pub to: Option<String>,
    /// The reverse-path; `<>` means the null one.
    pub from: Option<String>,
    /// The recipient's domain, or the host that answered last.
    pub destination: Option<String>,
    /// Why the recipient still waits.
    pub reason: Option<String>,
    /// The class of that reason, as `explain` names it; see [`reasons`](super::reasons).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub class: Option<String>,
    /// The account that handed the message over.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// Who handed it over, as a message shows it: `user 33`, `client name[address]`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub origin: Option<String>,
    /// So many seconds old at least.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub older: Option<u64>,
    /// More octets than these.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub larger: Option<u64>,
    /// One of these.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ids: Vec<String>,
    /// Whether it is held.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub held: Option<bool>,
}

impl Selection {
    /// Whether there is no condition.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The name of a condition that says nothing. It is a slip, as of a script's variable that
    /// was never set, and is not to be taken for a condition that everything fits.
    pub fn blank(&self) -> Option<&'static str> {
        let texts = [
            ("to", &self.to),
            ("from", &self.from),
            ("destination", &self.destination),
            ("reason", &self.reason),
            ("account", &self.account),
            ("origin", &self.origin),
        ];
        let is_blank = |text: &Option<String>| text.as_ref().is_some_and(|t| t.trim().is_empty());
        texts.iter().find(|(_, text)| is_blank(text)).map(|(name, _)| *name)
    }
}

/// An answer line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// A message.
    Message(Box<MessageView>),
    /// Ids of messages.
    Ids(Vec<String>),
    /// An order.
    Order(OrderView),
    /// What is queued, counted.
    Overview(Box<Overview>),
    /// What went through this node, and how its lanes stand.
    Vitals {
        /// Counts since it began.
        counts: Vitals,
        /// Its lanes, the busiest first.
        lanes: Vec<LaneView>,
        /// How its new addresses stand.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        warm_up: Vec<WarmUpView>,
    },
    /// So many octets follow the end of this line, before the next.
    Body {
        /// Octets.
        size: u64,
    },
    /// A message as it stands, its octets in hexadecimal.
    Parcel(String),
    /// The story of a message.
    Story(Box<StoryView>),
    /// One of several messages that are meant.
    Match(MatchView),
    /// Why there is none.
    Unknown(UnknownView),
    /// How the server fares.
    Health(HealthView),
    /// A node.
    Node(NodeView),
    /// It is done; nothing follows.
    End(Summary),
    /// It is not done; nothing follows.
    Error {
        /// For programs.
        code: ErrorCode,
        /// For people.
        message: String,
    },
}

/// An answer line to [`Request::Brief`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BriefAnswer<'a> {
    /// A message.
    Brief(#[serde(borrow)] Brief<'a>),
    /// It is done; nothing follows.
    End(Summary),
    /// It is not done; nothing follows.
    Error {
        /// For programs.
        code: ErrorCode,
        /// For people.
        message: String,
    },
}

/// What was done.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Summary {
    /// How many messages were listed or changed.
    pub count: u64,
    /// Those that are not in the queue.
    pub missing: Vec<String>,
    /// Those that were not to be tried, since they are held.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub held: Vec<String>,
    /// Those that were not to be released, since they are not held.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub not_held: Vec<String>,
    /// Those that are to be tried, but wait for pauses to end.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub paused: Vec<PausedView>,
}

/// A message that waits for pauses to end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PausedView {
    /// Its id.
    pub id: String,
    /// The numbers of the pauses.
    pub orders: Vec<u64>,
    /// Whether others of its recipients wait for none, and are tried.
    pub in_part: bool,
}

/// Why a request was not done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorCode {
    /// It is not a request.
    Malformed,
    /// It is of a version that the server does not speak.
    Version,
    /// This user may not.
    Denied,
    /// No such message.
    NotFound,
    /// Too many clients.
    Busy,
    /// It would change nothing.
    NoEffect,
    /// The queue or the server failed.
    Failed,
}

/// How the server fares.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct HealthView {
    /// The program's version.
    pub version: String,
    /// The name by which the server calls itself.
    pub hostname: String,
    /// The domain that completes the names of senders.
    pub origin: Option<String>,
    /// The domain that completes the names of recipients.
    pub local: Option<String>,
    /// Messages in the queue.
    pub messages: u64,
    /// Recipients that wait or are being tried.
    pub recipients: u64,
    /// Octets of content.
    pub octets: u64,
    /// Octets on disk.
    pub disk_octets: u64,
    /// Why no new mail is taken, if so.
    pub refusing: Option<String>,
    /// The same as a value, which says itself in both languages.
    #[serde(default)]
    pub hindrance: Option<SpoolError>,
    /// What was found damaged when the queue was opened.
    pub damaged: Vec<String>,
    /// What could not be read when the queue was opened, and waits until it can be.
    pub unreadable: Vec<String>,
}

impl HealthView {
    /// Why no new mail is taken, if so; in the server's English where it is another version.
    pub fn why_refusing(&self) -> Option<Said> {
        let words = || self.refusing.as_ref().map(|why| quoted(why));
        self.hindrance.as_ref().map(spool_error).or_else(words)
    }
}

/// One of those that share the queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeView {
    /// Its name.
    pub name: String,
    /// Whether it was heard of recently enough for its leases to hold.
    pub alive: bool,
    /// Whether it was stopped in good order.
    #[serde(default)]
    pub stopped: bool,
    /// Since when it takes part, as in RFC 3339.
    pub since: String,
    /// When it was last heard of.
    pub seen: String,
    /// Messages that it is working on.
    pub leases: u64,
    /// The program's version.
    pub version: String,
    /// Whether it is the one that was asked.
    pub is_this: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_stable() {
        let line = RequestLine {
            version: VERSION,
            request: Request::Change {
                change: Change::Retry,
                ids: vec!["1".into()],
                chosen: Selection::default(),
            },
        };
        assert_eq!(
            serde_json::to_string(&line).unwrap(),
            r#"{"version":1,"request":{"change":{"change":"retry","ids":["1"]}}}"#
        );
        let list: RequestLine =
            serde_json::from_str(r#"{"version":1,"request":{"list":{"to":"x"}}}"#).unwrap();
        let selection = Selection { to: Some("x".into()), ..Selection::default() };
        assert_eq!(list.request, Request::List(selection));
        let health: RequestLine =
            serde_json::from_str(r#"{"version":1,"request":"health"}"#).unwrap();
        assert_eq!(health.request, Request::Health);
    }
}
