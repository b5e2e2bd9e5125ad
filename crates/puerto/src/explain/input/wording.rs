//! The words by which notices, and what stands in them, are known: `wording.toml`.

use std::sync::LazyLock;

use serde::Deserialize;

/// Lists of words in lower case; the file says what each is for.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct Wording {
    pub(super) header_fields: Vec<String>,
    pub(super) servers: Vec<String>,
    pub(super) subjects: Vec<String>,
    pub(super) delays: Vec<String>,
    pub(super) waits: Vec<String>,
    pub(super) fails: Vec<String>,
    pub(super) passed_on: Vec<String>,
    pub(super) letter_begins: Vec<String>,
    pub(super) returned: Vec<String>,
    pub(super) subject_labels: Vec<String>,
    pub(super) recipient_labels: Vec<String>,
    pub(super) before_replies: Vec<String>,
}

// A file of the program that does not parse fails the tests.
static WORDING: LazyLock<Wording> =
    LazyLock::new(|| toml::from_str(include_str!("wording.toml")).unwrap_or_default());

/// All of them.
pub(super) fn wording() -> &'static Wording {
    &WORDING
}

/// Whether a text holds one of these.
pub(super) fn holds(text: &str, words: &[String]) -> bool {
    words.iter().any(|words| text.contains(words))
}

/// Whether it begins with one of these.
pub(super) fn begins(text: &str, words: &[String]) -> bool {
    words.iter().any(|words| text.starts_with(words))
}
