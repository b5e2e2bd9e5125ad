//! The words of the protocol.

use puerto_smtp::Domain;
use puerto_spool::{Entry, RecipientState, RecipientStatus};
use serde::{Deserialize, Serialize};

use super::view::MessageView;

/// The version that this program speaks. It grows when a word changes its meaning or
/// goes; new words and new fields leave it alone.
pub const VERSION: u32 = 1;

/// Octets of a request line at most.
pub const MAX_REQUEST: usize = 4 * 1024;

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
    /// How the server fares.
    Health,
    /// Reads the configuration again.
    Reload,
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
}

impl Selection {
    /// Whether there is no condition.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Makes it ready to be compared with many messages.
    pub fn compiled(&self) -> Selector {
        let pattern = |text: &Option<String>| text.as_deref().map(Pattern::new);
        let from = self.from.as_deref();
        Selector {
            is_null: from.is_some_and(|from| matches!(from, "" | "<>")),
            from: pattern(&self.from),
            to: pattern(&self.to),
            reason: pattern(&self.reason),
            host: self.destination.as_deref().map(Pattern::whole),
            domain: self.destination.as_deref().and_then(|name| Domain::parse(name).ok()),
        }
    }
}

/// A [`Selection`] whose patterns are read, once for all messages.
#[derive(Debug)]
pub struct Selector {
    is_null: bool,
    from: Option<Pattern>,
    to: Option<Pattern>,
    reason: Option<Pattern>,
    host: Option<Pattern>,
    domain: Option<Domain>,
}

impl Selector {
    /// Whether a message is meant.
    pub fn selects(&self, entry: &Entry) -> bool {
        let sender_fits = self.from.as_ref().is_none_or(|pattern| match self.is_null {
            true => entry.reverse_path.is_null(),
            false => pattern.fits(&entry.reverse_path.to_string()),
        });
        let only_sender = self.to.is_none() && self.host.is_none() && self.reason.is_none();
        let mut open = entry.recipients.iter().filter(|r| r.state != RecipientState::Done);
        sender_fits && (only_sender || open.any(|recipient| self.selects_recipient(recipient)))
    }

    // Whether a recipient fits all conditions but that on the sender.
    fn selects_recipient(&self, status: &RecipientStatus) -> bool {
        let address = &status.recipient.address;
        let last = status.last();
        let is_named = |pattern: &Pattern| match &self.domain {
            Some(wanted) => wanted == address.domain(),
            None => pattern.fits(&address.domain().to_string()),
        };
        self.to.as_ref().is_none_or(|pattern| pattern.fits(&address.to_string()))
            && self
                .reason
                .as_ref()
                .is_none_or(|pattern| last.is_some_and(|attempt| pattern.fits(&attempt.text)))
            && self.host.as_ref().is_none_or(|pattern| {
                let host = last.and_then(|attempt| attempt.relay.split(['[', ':']).next());
                is_named(pattern) || host.is_some_and(|host| pattern.fits(host))
            })
    }
}

/// A condition on a text, compared without regard to case.
#[derive(Debug)]
enum Pattern {
    Part(String),
    Whole(Vec<char>),
}

impl Pattern {
    fn new(condition: &str) -> Self {
        if condition.contains(['*', '?']) {
            return Self::whole(condition);
        }
        Self::Part(condition.to_lowercase())
    }

    fn whole(condition: &str) -> Self {
        let mut pattern: Vec<char> = condition.to_lowercase().chars().collect();
        // Stars in a row say no more than one, and cost as much each.
        pattern.dedup_by(|one, other| *one == '*' && *other == '*');
        Self::Whole(pattern)
    }

    fn fits(&self, text: &str) -> bool {
        let text = text.to_lowercase();
        match self {
            Self::Part(part) => text.contains(part),
            Self::Whole(pattern) => matches_whole(pattern, &text.chars().collect::<Vec<_>>()),
        }
    }
}

// `*` is any text, `?` any character. When what follows a `*` does not fit, only the
// last `*` need take one character more, so the work is at most the product of the
// two lengths.
fn matches_whole(pattern: &[char], text: &[char]) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        match (pattern.get(p), star) {
            (Some('*'), _) => {
                star = Some((p, t));
                p += 1;
            }
            (Some(&wanted), _) if wanted == '?' || text.get(t) == Some(&wanted) => {
                p += 1;
                t += 1;
            }
            (_, Some((at, taken))) => {
                star = Some((at, taken + 1));
                p = at + 1;
                t = taken + 1;
            }
            (_, None) => return false,
        }
    }
    pattern.get(p..).unwrap_or_default().iter().all(|&c| c == '*')
}

/// An answer line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// A message.
    Message(Box<MessageView>),
    /// How the server fares.
    Health(HealthView),
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
    /// What was found damaged when the queue was opened.
    pub damaged: Vec<String>,
    /// What could not be read when the queue was opened, and waits until it can be.
    pub unreadable: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_for_the_whole_and_plain_text_for_a_part() {
        for (condition, text, expected) in [
            ("example", "user@EXAMPLE.net", true),
            ("exampel", "user@example.net", false),
            ("*@example.net", "user@example.net", true),
            ("*@example", "user@example.net", false),
            ("us?r@*", "user@example.net", true),
            ("*a*b*c", "xaxxbxbxc", true),
            ("*a*b*c", "xaxxbxbx", false),
            ("*", "", true),
            ("?", "", false),
            ("", "anything", true),
        ] {
            assert_eq!(Pattern::new(condition).fits(text), expected, "{condition} {text}");
        }
        let long = "a".repeat(3000);
        let pattern = "*a".repeat(40).replace("*a*a", "*a*ab");
        assert!(!Pattern::new(&pattern).fits(&long));
    }

    #[test]
    fn words_are_stable() {
        let line = RequestLine {
            version: VERSION,
            request: Request::Change { change: Change::Retry, ids: vec!["1".into()] },
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
