//! The curated lists, read once from `blocklists.toml`.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::OnceLock;

use serde::Deserialize;

use crate::finding::Severity;
use crate::lang::{Language, Said};

/// What is known of blocklists.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Lists {
    #[serde(rename = "list")]
    pub(super) lists: Vec<List>,
}

impl Lists {
    pub(super) fn known() -> &'static Self {
        static KNOWN: OnceLock<Lists> = OnceLock::new();
        // A test reads the file; were it broken all the same, no list would be asked.
        KNOWN.get_or_init(|| Self::read(include_str!("../blocklists.toml")).unwrap_or_default())
    }

    fn read(text: &str) -> Result<Self, toml::de::Error> {
        toml::from_str(text)
    }

    /// The lists to ask about subjects of this kind.
    pub(super) fn of(&self, kind: Kind) -> impl Iterator<Item = &List> {
        self.lists.iter().filter(move |list| list.of.contains(&kind))
    }
}

/// A list as the file has it, with all that is needed to ask it and to tell of it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct List {
    pub(super) name: String,
    /// Without a dot at either end.
    pub(super) zone: String,
    /// The id of the check that reports it.
    pub(super) check: String,
    pub(super) of: Vec<Kind>,
    /// How much a listing matters: how widely receivers use the list.
    pub(super) severity: Severity,
    #[serde(default)]
    pub(super) access: Access,
    #[serde(default)]
    kind: ListKind,
    /// Its page for look-ups and removals.
    pub(super) page: String,
    // What to do about a listing.
    en: String,
    es: String,
    /// Test names; empty: those of RFC 5782 §5.
    #[serde(default)]
    pub(super) listed: Vec<String>,
    pub(super) unlisted: Option<String>,
    #[serde(default, rename = "answer")]
    answers: Vec<Meaning>,
}

#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum ListKind {
    #[default]
    Block,
    Allow,
}

impl List {
    /// Whether it lists good senders.
    pub(super) fn is_allow_list(&self) -> bool {
        self.kind == ListKind::Allow
    }

    /// What the list says by an answer; several bits may be set in one.
    pub(super) fn meanings(&self, answer: IpAddr) -> impl Iterator<Item = &Meaning> {
        self.answers.iter().filter(move |meaning| match answer {
            IpAddr::V4(answer) => meaning.is.matches(answer),
            IpAddr::V6(_) => false,
        })
    }

    /// What to do about a listing of this meaning.
    pub(super) fn remedy(&self, meaning: &Meaning) -> Said {
        match &meaning.remedy {
            Some(remedy) => said(&remedy.en, &remedy.es),
            None => said(&self.en, &self.es),
        }
    }
}

/// What one answer means.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Meaning {
    is: Pattern,
    pub(super) name: String,
    /// It is about whoever asks, not about what was asked for.
    #[serde(default, rename = "refused")]
    pub(super) is_refusal: bool,
    /// It matters only to who delivers directly, not to a relayhost's client.
    #[serde(default)]
    pub(super) direct_only: bool,
    pub(super) severity: Option<Severity>,
    en: String,
    es: String,
    remedy: Option<Sentence>,
}

impl Meaning {
    pub(super) fn means(&self) -> Said {
        said(&self.en, &self.es)
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Sentence {
    en: String,
    es: String,
}

fn said(en: &str, es: &str) -> Said {
    Said::of_both(|language| match language {
        Language::English => en.to_owned(),
        Language::Spanish => es.to_owned(),
    })
}

/// What a list lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Kind {
    Ipv4,
    Ipv6,
    Domain,
}

/// Who may ask a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Access {
    #[default]
    Open,
    /// Resolvers whose address was registered.
    Registered,
}

/// Answers of one meaning.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Pattern([Octet; 4]);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Octet {
    Within(u8, u8),
    /// All of these bits are set.
    Bits(u8),
}

impl Pattern {
    pub(super) fn matches(&self, address: Ipv4Addr) -> bool {
        self.0.iter().zip(address.octets()).all(|(octet, value)| match *octet {
            Octet::Within(low, high) => (low..=high).contains(&value),
            Octet::Bits(bits) => value & bits == bits,
        })
    }
}

impl TryFrom<String> for Pattern {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let wrong = || format!("{text:?} is no pattern of an address");
        let mut octets = text.split('.').map(Octet::parse);
        let mut next = || octets.next().flatten().ok_or_else(wrong);
        let pattern = Self([next()?, next()?, next()?, next()?]);
        if octets.next().is_some() { Err(wrong()) } else { Ok(pattern) }
    }
}

impl Octet {
    fn parse(text: &str) -> Option<Self> {
        if text == "*" {
            return Some(Self::Within(0, u8::MAX));
        }
        if let Some(bits) = text.strip_prefix('&') {
            return bits.parse().ok().map(Self::Bits);
        }
        let (low, high) = text.split_once('-').unwrap_or((text, text));
        Some(Self::Within(low.parse().ok()?, high.parse().ok()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_read_and_every_list_can_be_understood() {
        let lists = Lists::read(include_str!("../blocklists.toml")).unwrap();
        assert!(lists.lists.len() > 15);
        for list in &lists.lists {
            assert!(list.check.starts_with("bl."), "{list:?}");
            assert!(list.page.starts_with("https://"), "{list:?}");
            assert!(!list.of.is_empty() && !list.zone.ends_with('.'), "{list:?}");
            assert!(!list.answers.is_empty(), "{list:?}");
        }
    }

    #[test]
    fn patterns_match_numbers_ranges_and_bits() {
        for (pattern, address, expected) in [
            ("127.0.0.2", [127, 0, 0, 2], true),
            ("127.0.0.2", [127, 0, 1, 2], false),
            ("127.0.0.4-7", [127, 0, 0, 7], true),
            ("127.0.0.4-7", [127, 0, 0, 8], false),
            ("127.0.*.0-3", [127, 0, 5, 3], true),
            ("127.0.0.&8", [127, 0, 0, 72], true),
            ("127.0.0.&8", [127, 0, 0, 64], false),
        ] {
            let pattern = Pattern::try_from(pattern.to_owned()).unwrap();
            assert_eq!(pattern.matches(address.into()), expected, "{pattern:?} {address:?}");
        }
        for wrong in ["", "127.0.0", "127.0.0.1.1", "127.0.0.256", "127.0.0.&", "127.0.0.3-"] {
            assert!(Pattern::try_from(wrong.to_owned()).is_err(), "{wrong}");
        }
    }
}
