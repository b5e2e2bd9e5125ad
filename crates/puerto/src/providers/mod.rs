//! How each receiver wants to be treated: pure knowledge.
//!
//! `data/` has one file for each provider, and `config` reads them, with what the
//! administrator has in files of the same form. Who a provider is, its mail exchangers say;
//! [`EVERYBODY`] is the file of those that have none, [`RELAYS`] that of relays.
//!
//! A reply calls for something only by its words, as they stand in the data: which words
//! these are, and what they call for, is nobody's to know in code. What is not about us but
//! about one message or one mailbox never touches the others.

mod data;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

pub use data::{EVERYBODY, FILES, RELAYS};

/// What is known of one provider.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Profile {
    /// Its name, which is the key of its destination. It holds no dot, so that it is
    /// never taken for a host.
    pub name: String,
    /// Suffixes of its MX hosts' names, in small letters.
    pub hosts: Vec<String>,
    /// Connections to it at the same time, where it is known to mind.
    pub connections: Option<usize>,
    /// Messages on one connection, likewise.
    pub messages: Option<u32>,
    /// Recipients of one transaction, likewise.
    pub recipients: Option<usize>,
    /// How much it may get in a time.
    pub rate: Option<Rate>,
    /// What it turns mail away for.
    pub enforces: Vec<Demand>,
    /// What its replies call for; the first that fits.
    pub replies: Vec<Rule>,
    /// What its refusals are held against.
    pub grounds: Vec<Ground>,
}

/// What a file says of a provider; the rest is as it was.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// See [`Profile::hosts`].
    pub hosts: Option<Vec<String>>,
    /// See [`Profile::connections`].
    pub connections: Option<usize>,
    /// See [`Profile::messages`].
    pub messages: Option<u32>,
    /// See [`Profile::recipients`].
    pub recipients: Option<usize>,
    /// See [`Profile::rate`].
    pub rate: Option<Rate>,
    /// See [`Profile::enforces`].
    pub enforces: Option<Vec<Demand>>,
    /// They are asked before those that were known.
    pub replies: Vec<Rule>,
    /// See [`Profile::grounds`]; they are added to those that were known.
    pub grounds: Vec<Ground>,
}

/// So many messages in such a time, spread evenly over it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// How many; at least one.
    pub messages: u32,
    /// In which time; not zero.
    pub per: Duration,
}

impl Rate {
    /// From one message to the next.
    pub fn interval(self) -> Duration {
        self.per / self.messages.max(1)
    }
}

/// Something that a receiver turns mail away for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Demand {
    /// The address has a name that leads back to it.
    Ptr,
    /// That name does not look like one of a range.
    OwnPtr,
    /// SPF passes.
    Spf,
    /// DKIM passes.
    Dkim,
    /// One of the two passes.
    SpfOrDkim,
    /// There is a DMARC record, and it passes.
    Dmarc,
    /// One of the two passes for the domain in From.
    Alignment,
    /// The connection is encrypted.
    Tls,
}

impl Demand {
    /// All, as files write them.
    pub const ALL: [(&str, Self); 8] = [
        ("ptr", Self::Ptr),
        ("own-ptr", Self::OwnPtr),
        ("spf", Self::Spf),
        ("dkim", Self::Dkim),
        ("spf or dkim", Self::SpfOrDkim),
        ("dmarc", Self::Dmarc),
        ("alignment", Self::Alignment),
        ("tls", Self::Tls),
    ];
}

/// What one kind of reply calls for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// A piece of the reply, in small letters. Where it begins or ends with a digit, the
    /// number in the reply does too.
    pub says: String,
    /// Replies whose code begins so, alone.
    pub class: Option<u8>,
    /// What it calls for.
    pub call: Call,
    /// It is a pause, also where it comes as a refusal for good.
    pub pause: bool,
}

/// What refusals with these words are held against.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ground {
    /// A piece of the reply, as in [`Rule::says`].
    pub says: String,
    /// What it is held against.
    pub against: Against,
}

/// What a refusal is held against: something of the address that mail is sent from, which
/// another way out does not have, or what goes with the message whichever way it takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Against {
    /// The address stands in a list of those that sent unwanted mail.
    List,
    /// It is of a range whose machines are not expected to send by themselves.
    Range,
    /// It has a bad name, or none yet.
    Reputation,
    /// No host's name leads to it and back.
    Name,
    /// The recipient, what the message says, its sender's domain, or how much there is of it.
    Message,
}

/// What a reply calls for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    /// Less, for about so long, or at no more than this rate.
    Slow(Duration, Option<Rate>),
    /// Nothing at all for so long, then one message.
    Park(Duration),
    /// Nothing to this recipient for so long; the others go on.
    Recipient(Duration),
    /// Nothing but that this message waits; the others go on.
    Message,
    /// A new connection: the old one is used up, and nobody has failed.
    Reconnect,
}

impl Call {
    /// The words for these, as files write them.
    pub const WORDS: [&str; 5] = ["slow", "park", "recipient", "message", "reconnect"];

    /// How long it holds.
    pub fn span(self) -> Duration {
        match self {
            Self::Slow(span, _) | Self::Park(span) | Self::Recipient(span) => span,
            Self::Message | Self::Reconnect => Duration::ZERO,
        }
    }

    /// Whether the other hosts of the provider would say the same.
    pub fn is_for_all_hosts(self) -> bool {
        matches!(self, Self::Slow(..) | Self::Park(_) | Self::Recipient(_))
    }

    /// The one of two that calls for more.
    #[must_use]
    pub fn or_more(self, other: Self) -> Self {
        let weight = |call: Self| match call {
            Self::Park(_) => 4,
            Self::Slow(..) => 3,
            Self::Recipient(_) => 2,
            Self::Message => 1,
            Self::Reconnect => 0,
        };
        if (weight(other), other.span()) > (weight(self), self.span()) { other } else { self }
    }
}

impl Profile {
    /// The rule that a reply falls under: its codes, and its text in lines.
    pub fn rule(&self, (code, enhanced): (u16, &str), text: &str) -> Option<&Rule> {
        if self.replies.is_empty() {
            return None;
        }
        let said = squeezed((code, enhanced), text);
        self.replies.iter().find(|rule| rule.fits(code, &said))
    }

    /// What a refusal holds against the address that we send from, if nothing in it is about
    /// the message: of a receiver that says both, what no other way cures is believed.
    pub fn held_against_us(&self, (code, enhanced): (u16, &str), text: &str) -> Option<Against> {
        if self.grounds.is_empty() {
            return None;
        }
        let said = squeezed((code, enhanced), text);
        let fitting = self.grounds.iter().filter(|ground| stands_in(&ground.says, &said));
        let mut held = fitting.map(|ground| ground.against).peekable();
        let first = *held.peek()?;
        held.all(|against| against != Against::Message).then_some(first)
    }

    /// The same with what a file says.
    #[must_use]
    pub fn with(&self, changes: &Changes) -> Self {
        let mut replies = changes.replies.clone();
        replies.extend(self.replies.iter().cloned());
        let mut grounds = changes.grounds.clone();
        grounds.extend(self.grounds.iter().cloned());
        Self {
            name: self.name.clone(),
            hosts: changes.hosts.clone().unwrap_or_else(|| self.hosts.clone()),
            connections: changes.connections.or(self.connections),
            messages: changes.messages.or(self.messages),
            recipients: changes.recipients.or(self.recipients),
            rate: changes.rate.or(self.rate),
            enforces: changes.enforces.clone().unwrap_or_else(|| self.enforces.clone()),
            replies,
            grounds,
        }
    }

    // How long the longest suffix is that a host's name has.
    fn suffix(&self, host: &str) -> Option<usize> {
        let has = |suffix: &&String| {
            let rest = host.strip_suffix(suffix.as_str());
            rest.is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
        };
        self.hosts.iter().filter(has).map(String::len).max()
    }
}

impl Rule {
    fn fits(&self, code: u16, said: &str) -> bool {
        if self.class.is_some_and(|class| u16::from(class) != code / 100) {
            return false;
        }
        stands_in(&self.says, said)
    }
}

// Whether a piece stands in what was said, its numbers whole.
fn stands_in(piece: &str, said: &str) -> bool {
    said.match_indices(piece).any(|(at, found)| {
        let ends = (found.as_bytes().first(), found.as_bytes().last());
        let before = said.get(..at).and_then(|before| before.as_bytes().last());
        let mut behind = said.get(at + found.len()..).unwrap_or_default().bytes();
        let (next, after) = (behind.next(), behind.next());
        let goes_on = next.is_some_and(|c| c.is_ascii_digit())
            || next == Some(b'.') && after.is_some_and(|c| c.is_ascii_digit());
        let cut = ends.0.is_some_and(u8::is_ascii_digit)
            && before.is_some_and(|c| c.is_ascii_digit() || *c == b'.');
        !(cut || ends.1.is_some_and(u8::is_ascii_digit) && goes_on)
    })
}

/// A reply in one line of small letters, its codes in front, as rules are compared with it.
/// Some repeat the enhanced one in each line. Addresses are left out: whoever writes to
/// `s3150@` a provider is not to bring its words about.
fn squeezed((code, enhanced): (u16, &str), text: &str) -> String {
    let mut said = format!("{code} {enhanced}").trim_end().to_owned();
    let words = text.split_ascii_whitespace();
    for word in words.filter(|word| *word != enhanced && !word.contains('@')) {
        said.push(' ');
        said.push_str(word);
    }
    said.make_ascii_lowercase();
    said
}

/// Everybody who is known.
#[derive(Clone, Default)]
pub struct Profiles(Arc<BTreeMap<String, Arc<Profile>>>);

impl Profiles {
    /// Of these.
    pub fn new(profiles: impl IntoIterator<Item = Profile>) -> Self {
        let named = profiles.into_iter().map(|one| (one.name.clone(), Arc::new(one)));
        Self(Arc::new(named.collect()))
    }

    /// The same, as the files of these names change them. A name that is new is a provider
    /// that is new.
    #[must_use]
    pub fn changed<'a>(&self, files: impl IntoIterator<Item = (&'a str, &'a Changes)>) -> Self {
        let mut all = BTreeMap::clone(&self.0);
        for (name, changes) in files {
            let before = all.get(name).map_or_else(
                || Cow::Owned(Profile { name: name.to_owned(), ..Profile::default() }),
                |known| Cow::Borrowed(&**known),
            );
            let after = before.with(changes);
            all.insert(name.to_owned(), Arc::new(after));
        }
        Self(Arc::new(all))
    }

    /// The same, in which the words that all servers have in common are asked behind a
    /// provider's own.
    #[must_use]
    pub fn complete(&self) -> Self {
        let (of_receivers, of_relays) = (self.everybody(), self.relays());
        let completed = self.0.iter().map(|(name, known)| {
            let knows_more = ![EVERYBODY, RELAYS].contains(&name.as_str());
            let common = if is_of_relay(name) { &of_relays } else { &of_receivers };
            let more = common.replies.iter().filter(|_| knows_more).cloned();
            let mut one = Profile::clone(known);
            one.replies.extend(more);
            let more = common.grounds.iter().filter(|_| knows_more).cloned();
            one.grounds.extend(more);
            (name.clone(), Arc::new(one))
        });
        Self(Arc::new(completed.collect()))
    }

    /// The provider of this name.
    pub fn named(&self, name: &str) -> Option<&Arc<Profile>> {
        self.0.get(name)
    }

    /// The names of all.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// The provider that all these hosts belong to: of each, that of its longest suffix.
    pub fn of_hosts(&self, hosts: &[&str]) -> Option<&Arc<Profile>> {
        let mut owners = hosts.iter().map(|host| self.of_host(host));
        let first = owners.next()??;
        owners.all(|other| other.is_some_and(|other| other.name == first.name)).then_some(first)
    }

    fn of_host(&self, host: &str) -> Option<&Arc<Profile>> {
        let host = host.to_ascii_lowercase();
        self.longest(&host, |name| !is_of_relay(name))
    }

    fn longest(&self, host: &str, is_asked: fn(&str) -> bool) -> Option<&Arc<Profile>> {
        let asked = self.0.values().filter(|one| is_asked(&one.name));
        let owners = asked.filter_map(|one| Some((one.suffix(host)?, one)));
        owners.max_by_key(|(length, _)| *length).map(|(_, one)| one)
    }

    /// What holds for everybody without a file.
    pub fn everybody(&self) -> Arc<Profile> {
        self.0.get(EVERYBODY).cloned().unwrap_or_default()
    }

    /// What holds for a relay of this name, or for one that is an address.
    pub fn of_relay(&self, host: Option<&str>) -> Arc<Profile> {
        let host = host.map(str::to_ascii_lowercase);
        let known = host.and_then(|host| self.longest(&host, is_of_relay));
        known.cloned().unwrap_or_else(|| self.relays())
    }

    /// What holds for relays of which nothing more is known.
    pub fn relays(&self) -> Arc<Profile> {
        self.0.get(RELAYS).cloned().unwrap_or_default()
    }
}

fn is_of_relay(name: &str) -> bool {
    name.strip_prefix(RELAYS).is_some_and(|rest| rest.starts_with('-'))
}

impl fmt::Debug for Profiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Profiles({})", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn profile(name: &str, hosts: &[&str]) -> Profile {
        let hosts = hosts.iter().map(|host| (*host).to_owned()).collect();
        Profile { name: name.to_owned(), hosts, ..Profile::default() }
    }

    #[test]
    fn a_domain_is_a_providers_only_if_all_its_hosts_are() {
        let all = Profiles::new([
            profile("google", &["google.com"]),
            profile("business", &["mail.protection.outlook.com"]),
            profile("consumer", &["olc.protection.outlook.com", "outlook.com"]),
        ]);
        let name = |hosts: &[&str]| all.of_hosts(hosts).map(|one| one.name.clone());
        assert_eq!(name(&["Gmail-SMTP-in.l.Google.com"]).as_deref(), Some("google"));
        assert_eq!(
            name(&["a.mail.protection.outlook.com", "b.mail.protection.outlook.com"]).as_deref(),
            Some("business"),
            "the longest suffix counts"
        );
        assert_eq!(name(&["mx.outlook.com"]).as_deref(), Some("consumer"));
        assert_eq!(name(&["mx.example.com", "aspmx.l.google.com"]), None);
        assert_eq!(name(&["mx.outlook.com", "aspmx.l.google.com"]), None);
        assert_eq!(name(&["notgoogle.com"]), None);
        assert_eq!(name(&[]), None);
    }

    #[test]
    fn a_relay_has_a_file_of_its_own_which_says_nothing_of_receivers() {
        let mut common = profile("relay", &[]);
        let says =
            Rule { says: "rate limit".to_owned(), class: None, call: Call::Message, pause: false };
        common.replies = vec![says];
        let of_own = profile("relay-mailgun", &["smtp.mailgun.org"]);
        let all = [profile("default", &[]), common, of_own, profile("relayed", &["mx.example"])];
        let all = Profiles::new(all).complete();
        assert_eq!(all.of_relay(Some("SMTP.mailgun.org")).name, "relay-mailgun");
        assert_eq!(all.of_relay(Some("smtp.mailgun.org")).replies.len(), 1, "as of all relays");
        for other in [Some("smtp.example.net"), Some("mx.example"), None] {
            assert_eq!(all.of_relay(other).name, "relay", "{other:?}");
        }
        let receiver = |host: &str| all.of_hosts(&[host]).map(|one| one.name.clone());
        assert_eq!(receiver("smtp.mailgun.org"), None);
        assert_eq!(receiver("mx.example").as_deref(), Some("relayed"));
    }

    #[test]
    fn a_reply_is_known_by_a_piece_of_it_and_numbers_are_whole() {
        let rule = |says: &str, class| Rule {
            says: says.to_owned(),
            class,
            call: Call::Message,
            pause: false,
        };
        let mut known = profile("x", &[]);
        known.replies = vec![rule("4.7.28", None), rule("554-ip", None), rule("blocked", Some(4))];
        let says = |code, text| known.rule((code, ""), text).map(|rule| rule.says.as_str());
        assert_eq!(says(421, "4.7.28 slow\r\ndown"), Some("4.7.28"));
        assert_eq!(says(421, "4.7.280 other"), None);
        assert_eq!(says(421, "14.7.28 other"), None);
        assert_eq!(says(421, "[192.4.7.28.1] other"), None);
        assert_eq!(says(421, "4.7.28. It ends a sentence"), Some("4.7.28"));
        assert_eq!(says(421, "go\n  BLOCKED"), Some("blocked"));
        assert_eq!(says(550, "blocked"), None, "only where it is temporary");
        assert_eq!(says(421, ""), None);
        assert_eq!(says(550, "no such user <4.7.28@example.net>"), None, "an address is no word");
        let lines = "4.7.28 unusual\r\n4.7.28 rate";
        known.replies = vec![rule("421 4.7.28 unusual rate", None)];
        assert!(known.rule((421, "4.7.28"), lines).is_some(), "it stands in each line");
    }

    #[test]
    fn a_file_changes_what_it_names_and_is_asked_first() {
        let known =
            Profile { connections: Some(5), messages: Some(50), ..profile("x", &["x.test"]) };
        let rule = |says: &str| Rule {
            says: says.to_owned(),
            class: None,
            call: Call::Message,
            pause: false,
        };
        let known = Profile { replies: vec![rule("a b")], ..known };
        let changes = Changes {
            connections: Some(2),
            replies: vec![Rule { call: Call::Park(Duration::from_secs(60)), ..rule("a") }],
            ..Changes::default()
        };
        let all = Profiles::new([known]).changed([("x", &changes), ("new", &Changes::default())]);
        let changed = all.named("x").unwrap();
        assert_eq!((changed.connections, changed.messages), (Some(2), Some(50)));
        assert_eq!(changed.hosts, ["x.test"]);
        assert_eq!(
            changed.rule((421, ""), "a b").unwrap().call,
            Call::Park(Duration::from_secs(60))
        );
        assert!(all.named("new").is_some());
    }

    #[test]
    fn of_two_calls_the_one_for_more_holds() {
        let (short, long) = (Duration::from_secs(60), Duration::from_secs(600));
        for (one, other, more) in [
            (Call::Slow(long, None), Call::Park(short), Call::Park(short)),
            (Call::Park(short), Call::Park(long), Call::Park(long)),
            (Call::Recipient(long), Call::Message, Call::Recipient(long)),
            (Call::Reconnect, Call::Message, Call::Message),
        ] {
            assert_eq!(one.or_more(other), more);
            assert_eq!(other.or_more(one), more);
        }
    }
}
