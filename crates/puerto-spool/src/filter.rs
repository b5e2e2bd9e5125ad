//! Which messages are meant: the conditions of an administrator, and how they fit.

use puerto_smtp::Domain;

use crate::entry::{Entry, RecipientState, RecipientStatus};

/// Which messages are meant; without any condition, all. A message is meant if its
/// sender fits and one of its recipients that are not done fits all the others.
///
/// Conditions are compared without regard to case. With `*` or `?` in it, a condition
/// is a pattern for the whole; otherwise it is a part that is to be found, except for
/// `destination`, which is a whole name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// The recipient's address.
    pub to: Option<String>,
    /// The reverse-path; `<>` means the null one.
    pub from: Option<String>,
    /// The recipient's domain, or the host that answered last.
    pub destination: Option<String>,
    /// Why the recipient still waits.
    pub reason: Option<String>,
    /// Whether the message is held.
    pub held: Option<bool>,
}

impl Filter {
    /// Whether there is no condition.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Makes it ready to be compared with many messages.
    pub fn compiled(&self) -> Selector {
        let pattern = |text: &Option<String>| text.as_deref().map(Pattern::new);
        let from = self.from.as_deref();
        Selector {
            held: self.held,
            is_null: from.is_some_and(|from| matches!(from, "" | "<>")),
            from: pattern(&self.from),
            to: pattern(&self.to),
            reason: pattern(&self.reason),
            host: self.destination.as_deref().map(Pattern::whole),
            domain: self.destination.as_deref().and_then(|name| Domain::parse(name).ok()),
        }
    }
}

/// A [`Filter`] whose patterns are read, once for all messages.
#[derive(Debug)]
pub struct Selector {
    held: Option<bool>,
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
        let held_fits = self.held.is_none_or(|held| held == entry.held);
        held_fits
            && sender_fits
            && (only_sender || open.any(|recipient| self.selects_recipient(recipient)))
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
}
