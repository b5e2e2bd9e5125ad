//! Why was it refused: a reply goes in; what it means, whose problem it is and what
//! to do about it come out.
//!
//! What is known lies in `rules/*.toml`, one file for each provider or kind of
//! software, and the sentences in `texts/`, one file for each language. A rule
//! recognizes words, not numbers: providers use one enhanced code for different
//! things, and the same words with several codes.
//!
//! ```text
//! pasted text ─▶ input ─▶ Found ─▶ reply ─▶ Reply ─▶ knowledge ─▶ Rule ─▶ text ─▶ Explanation
//! ```
//!
//! 1. `input` finds the reply in what people paste: itself, a line of a log, a
//!    notification. How notices are known is data too, `input/wording.toml`.
//! 2. `reply` brings it into one form: codes apart, words in lower case.
//! 3. `knowledge` holds the rules in the order in which they are asked. The most telling
//!    come first, the meaning of bare codes last, so that every reply has a class.
//!    `pattern` compares, and `vocabulary` lets a rule say once what has many words.
//! 4. `text` has what is then said; `document` writes it all down, as `docs/refusals.md`.
//!
//! Nothing here decides about a message. It is pure, never fails, and its work is
//! bounded by [`MAX_INPUT`] whatever a peer sends.

mod document;
mod input;
mod knowledge;
mod pattern;
mod reply;
mod returned;
mod text;
mod vocabulary;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::{LazyLock, Mutex, PoisonError};

pub use document::document;
use input::notice::{self, About, Pasted};
use knowledge::{Knowledge, Rule};
use reply::Reply;
pub use returned::{Fate, News, Returned, returned};

use crate::cause::{Cause, Explained};
use crate::lang::{Language, Text};

/// Octets of a text that are looked at; what follows is ignored.
pub const MAX_INPUT: usize = 64 * 1024;

/// Texts whose explanation is kept, and octets of one at most.
const REMEMBERED: usize = 256;
const REMEMBERED_LENGTH: usize = 2048;

/// Whether the same may succeed later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// It is tried again by itself.
    Temporary,
    /// It is not.
    Permanent,
}

impl Kind {
    /// The word that programs read.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Temporary => "temporary",
            Self::Permanent => "permanent",
        }
    }
}

/// Whose problem a refusal is: who can do something about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Whose {
    /// The server that sends: its address, name or conduct.
    Server,
    /// What is published in DNS for the sender's domain.
    Dns,
    /// What the message says, or its form.
    Content,
    /// The recipient: the address, the mailbox, or its owner's wish.
    Recipient,
    /// The one that receives.
    Provider,
}

impl Whose {
    /// The words that programs read.
    pub fn as_str(self) -> &'static str {
        self.in_language(Language::English)
    }

    /// The words that people read, after "Problem of" or "Problema".
    pub fn in_language(self, language: Language) -> &'static str {
        match self {
            Self::Server => Text::new("this server", "de este servidor"),
            Self::Dns => Text::new("this domain's DNS", "del DNS de este dominio"),
            Self::Content => Text::new("the content", "del contenido"),
            Self::Recipient => Text::new("the recipient", "del destinatario"),
            Self::Provider => Text::new("the provider", "del proveedor"),
        }
        .of(language)
    }
}

/// What a refusal means.
#[derive(Debug, Clone, Copy)]
pub struct Explanation {
    rule: &'static Rule,
    provider: &'static str,
    kind: Kind,
}

impl Explanation {
    /// Whose words they are: a provider, a kind of software, or `generic`.
    pub fn provider(&self) -> &'static str {
        self.provider
    }

    /// What it is about, such as `spf-fail` or `mailbox-full`.
    pub fn class(&self) -> &'static str {
        &self.rule.class
    }

    /// Whether it will be tried again: what became of the message decides, where that is
    /// known, else the reply's first digit, whatever the words say (RFC 5321 §4.2.1).
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The same for a message of which it is known whether it is tried again.
    pub fn of_kind(self, kind: Kind) -> Self {
        Self { kind, ..self }
    }

    /// Whose problem it is.
    pub fn whose(&self) -> Whose {
        self.rule.whose()
    }

    /// What happened, in whole sentences.
    pub fn cause(&self, language: Language) -> &'static str {
        &text::of(language, &self.rule.say).cause
    }

    /// What to do, in whole sentences; of what is not tried again, that it would be is
    /// never said.
    pub fn remedy(&self, language: Language) -> &'static str {
        text::of(language, &self.rule.say).remedy(self.kind)
    }

    /// What happened, in a clause.
    pub fn short(&self, language: Language) -> &'static str {
        &text::of(language, &self.rule.say).short
    }

    /// What happened and what to do, in one clause of at most 120 characters, in English.
    pub fn clause(&self) -> &'static str {
        text::of(Language::English, &self.rule.say).clause(self.kind)
    }

    /// The check of `puerto check` that finds the same fault.
    pub fn check(&self) -> Option<&'static str> {
        self.rule.check.as_deref()
    }

    /// Where to read on, or where to ask for removal.
    pub fn link(&self) -> Option<&'static str> {
        self.rule.link.as_deref()
    }

    /// The rule that applied.
    pub fn matched(&self) -> &'static str {
        &self.rule.id
    }

    // Whether nothing but the code was understood.
    fn is_general(&self) -> bool {
        self.rule.provider == knowledge::FALLBACK
    }
}

/// Explains a refusal: a bare reply, a log line of Postfix, Exim or this server, or
/// a notification. `host` is the MX that answered, where the caller knows it; a host
/// that the text names is found. `None` if there is no refusal in the text.
pub fn explain(text: &str, host: Option<&str>) -> Option<Explanation> {
    let text = input::in_lines(clip(text));
    match notice::read(&text) {
        Pasted::Fragment => explain_found(&input::find(&text), host),
        Pasted::Letter => None,
        Pasted::Notice(about) => about.iter().find_map(|one| likeliest(&one.reasons, host)),
    }
}

/// Explains the text of an attempt of this server that failed, which is no prose.
pub fn explain_attempt(text: &str, host: Option<&str>) -> Option<Explanation> {
    let found = input::find(clip(text));
    explain_found(&input::Found { sure: true, ..found }, host)
}

/// The first of several reasons that is understood; if none is, what the bare code of the
/// first means.
fn likeliest(reasons: &[input::Found], host: Option<&str>) -> Option<Explanation> {
    let explained: Vec<_> = reasons.iter().filter_map(|found| explain_found(found, host)).collect();
    explained.iter().find(|found| !found.is_general()).or(explained.first()).copied()
}

/// Whether a text that holds no refusal says that mail was taken.
pub fn is_success(text: &str) -> bool {
    let text = input::in_lines(clip(text));
    matches!(notice::read(&text), Pasted::Fragment) && input::is_success(&text)
}

/// Explains what each recipient was refused with, in order. A notification may name
/// several (RFC 3464 §2.1), and so do several log lines; any other text says one thing,
/// of no named recipient.
pub fn explain_each(text: &str, host: Option<&str>) -> Vec<(Option<String>, Explanation)> {
    let text = input::in_lines(clip(text));
    if let Pasted::Notice(about) = notice::read(&text) {
        let explained = |one: &About| Some((one.recipient.clone(), likeliest(&one.reasons, host)?));
        return about.iter().filter_map(explained).collect();
    }
    let recipients = input::recipients(&text);
    if recipients.len() < 2 {
        return explain(&text, host).map(|found| (None, found)).into_iter().collect();
    }
    let explained = |(recipient, found): (String, input::Found)| {
        explain_found(&found, host).map(|explanation| (Some(recipient), explanation))
    };
    recipients.into_iter().filter_map(explained).collect()
}

/// Whose host it is, where rules know more of that one than of others.
pub fn owner(host: &str) -> Option<&'static str> {
    Knowledge::get().owner(host)
}

fn explain_found(found: &input::Found, host: Option<&str>) -> Option<Explanation> {
    let mut reply = Reply::parse(found);
    if reply.is_success() || reply.has_unknown_code {
        return None;
    }
    let host = host.or(found.host.as_deref());
    let knowledge = Knowledge::get();
    // What a host is called is no reason, unless rules know whose it is.
    if let Some(name) = host.filter(|name| name.contains('.') && knowledge.owner(name).is_none()) {
        reply.words = reply.words.replace(&reply::folded_words(name), "-");
    }
    let rule = knowledge.rule_for(&reply, host)?;
    Some(knowledge.explanation(rule, &reply, host, found.waits))
}

/// The explanation of what became of an attempt, for the log, the notification and the
/// queue. `None` if there is nothing to add to what the cause says itself.
pub fn of_cause(cause: &Cause, host: Option<&str>) -> Option<Explanation> {
    match cause.explained() {
        Explained::ByRule(id) => {
            let knowledge = Knowledge::get();
            let rule = knowledge.rules().iter().find(|rule| rule.id == id)?;
            Some(knowledge.explanation(rule, &Reply::default(), host, None))
        }
        Explained::ByWords => specific(&cause.text(), host),
        Explained::ByNothing => None,
    }
}

/// The classes of [`Explanation::class`], in the order of the alphabet.
pub fn classes() -> impl Iterator<Item = &'static str> {
    knowledge::CLASSES.keys().map(String::as_str)
}

/// What a class is about, in a clause, and whose problem it is.
pub fn of_class(class: &str) -> Option<(Text, Whose)> {
    let whose = knowledge::CLASSES.get(class)?.whose;
    let short = |language| text::of(language, class).short.as_str();
    Some((Text { en: short(Language::English), es: short(Language::Spanish) }, whose))
}

/// What [`explain_attempt`] finds, unless that is only what a bare code means. Texts that were
/// seen lately cost nothing: a destination that is down gives each message of its
/// queue the same one.
pub fn specific(text: &str, host: Option<&str>) -> Option<Explanation> {
    type Memory = HashMap<String, Option<Explanation>>;
    static MEMORY: LazyLock<Mutex<Memory>> = LazyLock::new(Mutex::default);
    let find = || explain_attempt(text, host).filter(|found| !found.is_general());
    if text.len() > REMEMBERED_LENGTH {
        return find();
    }
    let key = format!("{} {text}", host.unwrap_or_default());
    let memory = || MEMORY.lock().unwrap_or_else(PoisonError::into_inner);
    let remembered = memory().get(&key).copied();
    remembered.unwrap_or_else(|| {
        let found = find();
        let mut memory = memory();
        if memory.len() >= REMEMBERED {
            memory.clear();
        }
        memory.insert(key, found);
        found
    })
}

fn clip(text: &str) -> &str {
    let mut end = text.len().min(MAX_INPUT);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default()
}
