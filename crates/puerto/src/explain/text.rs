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
    /// Both in a clause; English only.
    #[serde(default)]
    pub(super) short: String,
}

impl Sentences {
    /// The remedy for a message that is tried again, or is not.
    pub(super) fn remedy(&self, kind: Kind) -> &str {
        match kind {
            Kind::Permanent if !self.given_up.is_empty() => &self.given_up,
            _ => &self.remedy,
        }
    }

    /// The clause for it: what is given up is not tried again, whatever the reply says.
    pub(super) fn short(&self, kind: Kind) -> &str {
        let cause = self.short.split(": ").next().unwrap_or(&self.short);
        let promises = ["tried again", "separately"];
        let is_promise =
            !self.given_up.is_empty() && promises.iter().any(|words| self.short.contains(words));
        if kind == Kind::Permanent && is_promise { cause } else { &self.short }
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
    toml::from_str(file).unwrap_or_default()
}
