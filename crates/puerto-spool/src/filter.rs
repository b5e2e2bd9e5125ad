//! Which messages are meant: the conditions of an administrator, and how they fit.

use std::net::IpAddr;
use std::sync::Arc;

use puerto_smtp::Domain;

use crate::entry::{Attempt, Entry, Origin, RecipientState, RecipientStatus};
use crate::id::{MessageId, Timestamp};

/// What an attempt came to, without being copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LastAttempt<'a> {
    /// [`Attempt::relay`].
    pub relay: &'a str,
    /// [`Attempt::text`].
    pub text: &'a str,
    /// [`Attempt::cause`].
    pub cause: &'a str,
}

impl<'a> From<&'a Attempt> for LastAttempt<'a> {
    fn from(attempt: &'a Attempt) -> Self {
        Self { relay: &attempt.relay, text: &attempt.text, cause: &attempt.cause }
    }
}

/// Says to which class belongs why a recipient waits; `None`: nobody has tried it yet. The
/// store knows no classes, so whoever asks brings what knows them.
pub type Classify = Arc<dyn Fn(Option<LastAttempt<'_>>) -> &'static str + Send + Sync>;

/// A class, with what tells whether a reason belongs to it.
#[derive(Clone)]
pub struct Class {
    /// Its name.
    pub name: String,
    /// To which class a reason belongs.
    pub of: Classify,
}

impl std::fmt::Debug for Class {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Class({})", self.name)
    }
}

impl PartialEq for Class {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Class {}

/// Which messages are meant; without any condition, all. A message is meant if its
/// sender fits and one of its recipients that are not done fits all the others.
///
/// Conditions are compared without regard to case. With `*` or `?` in it, a condition
/// is a pattern for the whole; otherwise it is a part that is to be found, except for
/// `destination`, `account` and `origin`, which are whole names. Of one that may be spelt in
/// several ways, any will do; none is no condition.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// The recipient's address.
    pub to: Vec<String>,
    /// The reverse-path; `<>` means the null one.
    pub from: Vec<String>,
    /// The recipient's domain, or the host that answered last.
    pub destination: Vec<String>,
    /// Why the recipient still waits.
    pub reason: Option<String>,
    /// The class of the reason why the recipient waits.
    pub class: Option<Class>,
    /// The account that handed it over.
    pub account: Vec<String>,
    /// Who handed it over, as [`Origin`] is shown; or the network that a client is in, as
    /// `2001:db8::/64`.
    pub origin: Option<String>,
    /// Whether the message is held.
    pub held: Option<bool>,
    /// It came before this.
    pub before: Option<Timestamp>,
    /// It has more octets than this.
    pub larger: Option<u64>,
    /// It is one of these.
    pub ids: Option<Vec<MessageId>>,
}

impl Filter {
    /// Whether there is no condition.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether it means mail with the null reverse-path.
    pub(crate) fn is_of_the_null_path(&self) -> bool {
        self.from.iter().any(|from| matches!(from.as_str(), "" | "<>"))
    }

    /// Makes it ready to be compared with many messages.
    pub fn compiled(&self) -> Selector {
        let patterns = |texts: &[String]| texts.iter().map(|text| Pattern::new(text)).collect();
        let wholes = |texts: &[String]| texts.iter().map(|text| Pattern::whole(text)).collect();
        Selector {
            held: self.held,
            before: self.before,
            larger: self.larger,
            ids: self.ids.as_ref().map(|ids| {
                let mut ids = ids.clone();
                ids.sort_unstable();
                ids.dedup();
                ids
            }),
            class: self.class.clone(),
            account: wholes(&self.account),
            origin: self.origin.as_deref().map(Whence::new),
            is_null: self.is_of_the_null_path(),
            from: patterns(&self.from),
            to: patterns(&self.to),
            reason: self.reason.as_deref().map(Pattern::new),
            hosts: wholes(&self.destination),
            domains: self.destination.iter().map(|name| Destination::new(name)).collect(),
        }
    }
}

/// A [`Filter`] whose patterns are read, once for all messages.
#[derive(Debug)]
pub struct Selector {
    held: Option<bool>,
    before: Option<Timestamp>,
    larger: Option<u64>,
    /// In their order.
    ids: Option<Vec<MessageId>>,
    class: Option<Class>,
    account: Vec<Pattern>,
    origin: Option<Whence>,
    is_null: bool,
    from: Vec<Pattern>,
    to: Vec<Pattern>,
    reason: Option<Pattern>,
    hosts: Vec<Pattern>,
    domains: Vec<Destination>,
}

/// A condition on the recipient's domain.
#[derive(Debug)]
enum Destination {
    Is(Domain),
    Fits(Pattern),
}

impl Destination {
    fn new(name: &str) -> Self {
        Domain::parse(name).map_or_else(|_| Self::Fits(Pattern::whole(name)), Self::Is)
    }

    fn is(&self, domain: &Domain) -> bool {
        match self {
            Self::Is(wanted) => wanted == domain,
            Self::Fits(pattern) => pattern.fits(&domain.to_string()),
        }
    }
}

impl Selector {
    /// Whether a message is meant.
    pub fn selects(&self, entry: &Entry) -> bool {
        let mut open = entry.recipients.iter().filter(|r| r.state != RecipientState::Done);
        self.selects_message(entry)
            && (!self.looks_at_recipients() || open.any(|status| self.selects_recipient(status)))
    }

    /// The recipients for which a message is meant that is.
    pub fn selected<'a>(&self, entry: &'a Entry) -> impl Iterator<Item = &'a RecipientStatus> {
        let open = entry.recipients.iter().filter(|r| r.state != RecipientState::Done);
        open.filter(|status| self.selects_recipient(status))
    }

    /// Whether all that is asked of a recipient is its domain and what became of it: then
    /// nobody needs to read its message.
    pub(crate) fn looks_at_work_alone(&self) -> bool {
        self.to.is_empty()
            && self.from.is_empty()
            && self.account.is_empty()
            && self.origin.is_none()
    }

    /// Whether a recipient fits of which these are known, if [`Self::looks_at_work_alone`].
    pub(crate) fn selects_work(
        &self,
        domain: &Domain,
        last: Option<LastAttempt<'_>>,
        received_at: Timestamp,
    ) -> bool {
        self.before.is_none_or(|before| received_at < before) && self.selects_fate(domain, last)
    }

    /// The only messages that may be meant, in their order, if there are such.
    pub(crate) fn ids(&self) -> Option<&[MessageId]> {
        self.ids.as_deref()
    }

    /// Whether a message may be meant for some of its recipients only.
    pub fn looks_at_recipients(&self) -> bool {
        !self.to.is_empty()
            || !self.hosts.is_empty()
            || self.reason.is_some()
            || self.class.is_some()
    }

    fn selects_message(&self, entry: &Entry) -> bool {
        let sender_fits = || {
            self.from.is_empty()
                || match self.is_null {
                    true => entry.reverse_path.is_null(),
                    false => fit(&self.from, &entry.reverse_path.to_string()),
                }
        };
        let account_fits = || {
            self.account.is_empty()
                || match &entry.origin {
                    Origin::Account { name, .. } => fit(&self.account, name),
                    Origin::Client(_) | Origin::LocalUser(_) | Origin::Internal => false,
                }
        };
        self.held.is_none_or(|held| held == entry.held)
            && self.before.is_none_or(|before| entry.received_at < before)
            && self.larger.is_none_or(|larger| entry.size > larger)
            && self.ids.as_ref().is_none_or(|ids| ids.binary_search(&entry.id).is_ok())
            && sender_fits()
            && account_fits()
            && self.origin.as_ref().is_none_or(|whence| whence.fits(&entry.origin.to_string()))
    }

    // Whether a recipient fits all conditions but that on the sender.
    fn selects_recipient(&self, status: &RecipientStatus) -> bool {
        let address = &status.recipient.address;
        (self.to.is_empty() || fit(&self.to, &address.to_string()))
            && self.selects_fate(address.domain(), status.last().map(Into::into))
    }

    // Whether what became of a recipient in a domain fits.
    fn selects_fate(&self, domain: &Domain, last: Option<LastAttempt<'_>>) -> bool {
        let host = || last.and_then(|attempt| attempt.relay.split(['[', ':']).next());
        self.class.as_ref().is_none_or(|class| (class.of)(last) == class.name)
            && self
                .reason
                .as_ref()
                .is_none_or(|pattern| last.is_some_and(|attempt| pattern.fits(attempt.text)))
            && (self.hosts.is_empty()
                || self.domains.iter().any(|wanted| wanted.is(domain))
                || host().is_some_and(|host| fit(&self.hosts, host)))
    }
}

// Whether a text fits one of these.
fn fit(patterns: &[Pattern], text: &str) -> bool {
    patterns.iter().any(|pattern| pattern.fits(text))
}

/// A condition on who handed a message over.
#[derive(Debug)]
enum Whence {
    Named(Pattern),
    /// An address, and how many of its last bits do not count.
    Network(IpAddr, u32),
}

impl Whence {
    fn new(condition: &str) -> Self {
        let network = condition.split_once('/').and_then(|(address, length)| {
            let address: IpAddr = address.parse().ok()?;
            let bits: u32 = if address.is_ipv4() { 32 } else { 128 };
            Some(Self::Network(address, bits.checked_sub(length.parse().ok()?)?))
        });
        network.unwrap_or_else(|| Self::Named(Pattern::whole(condition)))
    }

    fn fits(&self, origin: &str) -> bool {
        let (network, free) = match self {
            Self::Named(pattern) => return pattern.fits(origin),
            Self::Network(network, free) => (*network, *free),
        };
        let client = origin.rsplit_once('[').and_then(|(_, rest)| rest.split_once(']'));
        let client = client.and_then(|(address, _)| address.parse().ok());
        match (network, client) {
            (IpAddr::V4(network), Some(IpAddr::V4(client))) => {
                (network.to_bits() ^ client.to_bits()).checked_shr(free).unwrap_or(0) == 0
            }
            (IpAddr::V6(network), Some(IpAddr::V6(client))) => {
                (network.to_bits() ^ client.to_bits()).checked_shr(free).unwrap_or(0) == 0
            }
            _ => false,
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_is_all_of_its_clients_and_nobody_else() {
        for (condition, origin, expected) in [
            ("2001:db8:77::/64", "a.example[2001:db8:77::21]", true),
            ("2001:db8:77::/64", "a.example[2001:db8:77:0:1:2:3:4]", true),
            ("2001:db8:77::/64", "account ana, a.example[2001:db8:77::1]", true),
            ("2001:db8:77::/64", "a.example[2001:db8:77:1::1]", false),
            ("192.0.2.0/24", "unknown[192.0.2.200]", true),
            ("192.0.2.0/24", "unknown[192.0.3.1]", false),
            ("0.0.0.0/0", "unknown[198.51.100.1]", true),
            ("0.0.0.0/0", "unknown[2001:db8::1]", false),
            ("192.0.2.0/24", "user 1000", false),
            ("192.0.2.0/33", "192.0.2.0/33", true),
        ] {
            assert_eq!(Whence::new(condition).fits(origin), expected, "{condition} {origin}");
        }
    }

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
}
