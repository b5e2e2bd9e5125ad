//! What went wrong, as values: from where it happens to where it is shown.
//!
//! A cause is declared once, in [`list`]: its id, what it is about, and its words in
//! both languages. The log, replies, notices and JSON have the English, in the words
//! that readers of Postfix's log know; people have theirs; the queue keeps the value.
//! Nothing is recognized by its text. What somebody else said, and a library for whose
//! errors there is no value, is quoted.
//!
//! A cause may be about another ("delivery time expired; last try: …"). What it is about
//! else is a [`Field`](field::Field), which says itself in both languages too.

pub mod field;
mod list;

use std::borrow::Cow;
use std::fmt;

use nix::errno::Errno;

use crate::lang::{Language, Said};
use field::Words;
pub use field::{AddressKind, SystemError};
pub use list::Cause;

/// What says what a cause means, whose problem it is and what to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Explained {
    /// The rule of `explain` with this id.
    ByRule(&'static str),
    /// Whatever rule knows the words, which are somebody else's.
    ByWords,
    /// Nothing: it says itself all that there is to say.
    ByNothing,
}

impl Explained {
    fn or(self, rule: &'static str) -> Self {
        if self == Self::ByNothing { Self::ByRule(rule) } else { self }
    }
}

impl Cause {
    /// What somebody else said: a peer's reply, a library's text, what an older version
    /// of this program has kept.
    pub fn words(words: impl Into<String>) -> Self {
        Self::Quoted { words: Words(words.into()) }
    }

    /// The words in English, as the log has them.
    pub fn text(&self) -> Cow<'_, str> {
        match self {
            Self::Quoted { words } => Cow::Borrowed(&words.0),
            cause => Cow::Owned(cause.in_language(Language::English)),
        }
    }

    /// In both languages.
    pub fn said(&self) -> Said {
        Said::of_both(|language| self.in_language(language))
    }

    /// By what it is explained. One that is about another is explained as that one is.
    pub fn explained(&self) -> Explained {
        match self {
            Self::Quoted { .. }
            | Self::RefusedToTalk { .. }
            | Self::LoginRefused { .. }
            | Self::Refused { .. }
            | Self::NotForwarded { .. } => Explained::ByWords,
            Self::NotConnected { error, .. } => match error.errno() {
                Some(Errno::EADDRNOTAVAIL) => Explained::ByRule("network.own-address"),
                Some(Errno::ETIMEDOUT) => Explained::ByRule("network.mx-timeout"),
                Some(Errno::ECONNREFUSED) => Explained::ByRule("network.refused"),
                Some(Errno::ECONNRESET) => Explained::ByRule("network.hung-up"),
                Some(Errno::ENETUNREACH | Errno::EHOSTUNREACH) => {
                    Explained::ByRule("network.no-route")
                }
                _ => Explained::ByNothing,
            },
            Self::OfRule { why, .. }
            | Self::SpecialAddress { why, .. }
            | Self::SpecialLiteral { why, .. }
            | Self::InAliases { why }
            | Self::Target { why, .. }
            | Self::OthersHaveIt { of: why }
            | Self::ToRescue { why, .. }
            | Self::ByRescue { why, .. }
            | Self::RescueFailed { last: why, .. }
            | Self::Untold { of: why } => why.explained(),
            // What went wrong between the two is its own story.
            Self::TlsFailed { why, .. } if matches!(**why, Self::TlsaUnmatched { .. }) => {
                why.explained()
            }
            Self::Suspended { why } | Self::Parked { why } => {
                why.explained().or("network.suspended")
            }
            Self::Expired { last } => last.explained().or("postfix.expired"),
            cause => cause.rule().map_or(Explained::ByNothing, Explained::ByRule),
        }
    }

    /// The reply that is the cause, if one is.
    pub fn reply(&self) -> Option<&str> {
        match self {
            Self::Refused { reply, .. }
            | Self::RefusedToTalk { reply, .. }
            | Self::LoginRefused { reply, .. } => Some(reply),
            _ => None,
        }
    }

    /// As it is kept beside its text, which says all that there is to quoted words:
    /// they are kept as nothing.
    pub fn kept(&self) -> String {
        match self {
            Self::Quoted { .. } => String::new(),
            // It has no map whose keys are no strings, the only thing that JSON lacks.
            cause => serde_json::to_string(cause).unwrap_or_default(),
        }
    }

    /// What was kept. Of a cause that this version does not know, the text is left.
    pub fn of_kept(kept: &str, text: &str) -> Self {
        serde_json::from_str(kept).unwrap_or_else(|_| Self::words(text))
    }
}

/// In English.
impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text())
    }
}

/// So that it may be an [`io::Error`](std::io::Error)'s, where a function has those:
/// [`SystemError`] finds it there.
impl std::error::Error for Cause {}

impl From<Cause> for std::io::Error {
    fn from(cause: Cause) -> Self {
        Self::other(cause)
    }
}

impl From<&Cause> for Said {
    fn from(cause: &Cause) -> Self {
        cause.said()
    }
}

impl From<&&Cause> for Said {
    fn from(cause: &&Cause) -> Self {
        cause.said()
    }
}

#[cfg(test)]
mod tests;
