//! The sentences, by language and by the key that rules name.

use std::collections::HashMap;
use std::sync::LazyLock;

use serde::Deserialize;

use crate::lang::Language;

/// What is said about one matter.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Sentences {
    /// What happened.
    pub(super) cause: String,
    /// What to do.
    pub(super) remedy: String,
    /// Both in a clause; English only.
    #[serde(default)]
    pub(super) short: String,
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
