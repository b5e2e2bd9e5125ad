//! The sentences, by language and by the key that rules name.

use std::collections::HashMap;
use std::sync::LazyLock;

use serde::Deserialize;

use super::Kind;
use crate::lang::Language;

/// What is said about one matter.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Sentences {
    /// What happened.
    pub(super) cause: String,
    /// What to do.
    pub(super) remedy: String,
    /// What to do where it is not tried again, if the remedy says that it is.
    #[serde(default)]
    pub(super) given_up: String,
    /// What happened, in a clause.
    pub(super) short: String,
    /// What to do, in a clause: for the log, and so in English only.
    #[serde(default)]
    advice: String,
    /// In the place of advice, what happens by itself as long as it is tried again.
    #[serde(default)]
    promise: String,
    /// `short: advice`.
    #[serde(skip)]
    clause: String,
}

impl Sentences {
    /// The remedy for a message that is tried again, or is not.
    pub(super) fn remedy(&self, kind: Kind) -> &str {
        match kind {
            Kind::Permanent if !self.given_up.is_empty() => &self.given_up,
            _ => &self.remedy,
        }
    }

    /// What happened and what to do, in one clause. Nothing is promised of what is not
    /// tried again.
    pub(super) fn clause(&self, kind: Kind) -> &str {
        match kind {
            Kind::Permanent if !self.promise.is_empty() => &self.short,
            _ => &self.clause,
        }
    }
}

pub(super) type Texts = HashMap<String, Sentences>;

static ENGLISH: LazyLock<Texts> = LazyLock::new(|| read(include_str!("texts/en.toml")));
static SPANISH: LazyLock<Texts> = LazyLock::new(|| read(include_str!("texts/es.toml")));
static NONE: LazyLock<Sentences> = LazyLock::new(Sentences::default);

/// All of a language.
pub(super) fn all(language: Language) -> &'static Texts {
    match language {
        Language::English => &ENGLISH,
        Language::Spanish => &SPANISH,
    }
}

/// The sentences under a key. Tests see to it that each key of a rule has some.
pub(super) fn of(language: Language, key: &str) -> &'static Sentences {
    all(language).get(key).unwrap_or_else(|| LazyLock::force(&NONE))
}

// A file of the program that does not parse fails the tests; a server in service
// says less rather than stop.
fn read(file: &str) -> Texts {
    let mut texts: Texts = toml::from_str(file).unwrap_or_default();
    for said in texts.values_mut() {
        let (short, rest) = (&said.short, [&*said.advice, &*said.promise].concat());
        said.clause = if rest.is_empty() { short.clone() } else { format!("{short}: {rest}") };
    }
    texts
}
