//! The languages that people are spoken to in.
//!
//! Every sentence for people is a [`Text`], which cannot exist without both of its
//! languages, so none can be missing. Words of the protocols (record types, keys,
//! replies) stay as they are. Logs and SMTP replies are English: programs read them.

use std::borrow::Cow;

mod crates;
mod evaluators;
pub mod layout;
mod shell;
mod system;

pub use puerto_smtp::text::{harmless, is_harmful};

pub use crates::{
    address_error, address_list_error, command, dns_error, key_error, reply_error, spool_error,
    stage,
};
pub use evaluators::InSpanish;
pub use shell::shell_word;
pub use system::{bare, of_kind, of_number, system};

/// A language.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, Default, serde::Serialize, serde::Deserialize,
)]
pub enum Language {
    /// English.
    #[default]
    English,
    /// Spanish.
    Spanish,
}

impl Language {
    /// From a name such as `es`, `es_ES.UTF-8`, `en` or `C`; `None` if it is neither.
    pub fn parse(name: &str) -> Option<Self> {
        let code = name.split(['_', '.', '-', '@']).next().unwrap_or_default();
        match code.to_ascii_lowercase().as_str() {
            "es" | "spanish" | "español" => Some(Self::Spanish),
            "en" | "english" | "c" | "posix" => Some(Self::English),
            _ => None,
        }
    }

    /// What was asked for, or else what the environment says, as gettext reads it: the
    /// locale is the first that is set of LC_ALL, LC_MESSAGES and LANG, and where it is
    /// neither `C` nor `POSIX`, the first language of LANGUAGE's list that is one of
    /// ours goes before it. English where there is none.
    pub fn choose(asked: Option<Self>, environment: impl Fn(&str) -> Option<String>) -> Self {
        let set = |name| environment(name).filter(|value| !value.is_empty());
        let of_environment = || {
            let locale = ["LC_ALL", "LC_MESSAGES", "LANG"].into_iter().find_map(set)?;
            if matches!(locale.split('.').next(), Some("C" | "POSIX")) {
                return Some(Self::English);
            }
            let listed = set("LANGUAGE").unwrap_or_default();
            listed.split(':').chain([locale.as_str()]).find_map(Self::parse)
        };
        asked.or_else(of_environment).unwrap_or_default()
    }

    /// What a person has answered to a question of yes or no; `None`: neither. English words
    /// are understood by everybody, Spanish ones where the question was Spanish.
    pub fn answer(self, text: &str) -> Option<bool> {
        match (text.trim().to_lowercase().as_str(), self) {
            ("y" | "yes", _) | ("s" | "si" | "sí" | "si\u{301}", Self::Spanish) => Some(true),
            ("n" | "no", _) => Some(false),
            _ => None,
        }
    }

    /// [`Language::choose`] with this process's environment.
    pub fn of_process(asked: Option<Self>) -> Self {
        Self::choose(asked, |name| std::env::var(name).ok())
    }
}

impl std::str::FromStr for Language {
    type Err = Said;

    fn from_str(name: &str) -> Result<Self, Said> {
        const WRITE: Text = Text::new("write en or es", "escriba en o es");
        Self::parse(name).ok_or(Said::plain(WRITE))
    }
}

/// A sentence in both languages, with `{name}` where something is put in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Text {
    /// In English.
    pub en: &'static str,
    /// In Spanish.
    pub es: &'static str,
}

impl Text {
    /// A sentence in both languages.
    pub const fn new(en: &'static str, es: &'static str) -> Self {
        Self { en, es }
    }

    /// Words that are the same in every language: names, records, commands.
    pub const fn same(words: &'static str) -> Self {
        Self { en: words, es: words }
    }

    /// The sentence for one of something, or else for none or many.
    pub fn by_count(count: impl TryInto<u64>, one: Self, many: Self) -> Self {
        if count.try_into().is_ok_and(|count| count == 1) { one } else { many }
    }

    /// The sentence in one language, with nothing put in.
    pub const fn of(self, language: Language) -> &'static str {
        match language {
            Language::English => self.en,
            Language::Spanish => self.es,
        }
    }

    /// The sentence in one language, with each `{name}` replaced by its value. What is
    /// put in is not looked through again, so a value from the network may hold braces.
    pub fn with(self, language: Language, values: &[(&str, &str)]) -> String {
        let mut out = String::new();
        let mut rest = self.of(language);
        while let Some((before, after)) = rest.split_once('{') {
            out.push_str(before);
            let Some((name, tail)) = after.split_once('}') else {
                out.push('{');
                rest = after;
                continue;
            };
            match values.iter().find(|(known, _)| *known == name) {
                Some((_, value)) => out.push_str(value),
                None => {
                    out.push('{');
                    out.push_str(name);
                    out.push('}');
                }
            }
            rest = tail;
        }
        out.push_str(rest);
        out
    }
}

/// English, then Spanish.
impl From<(&'static str, &'static str)> for Text {
    fn from((en, es): (&'static str, &'static str)) -> Self {
        Self::new(en, es)
    }
}

/// Words that are the same in every language.
impl From<&'static str> for Text {
    fn from(words: &'static str) -> Self {
        Self::same(words)
    }
}

type Open = (Text, Vec<(&'static str, String)>);

/// A sentence with what is put into it, in both languages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    en: Cow<'static, str>,
    es: Cow<'static, str>,
    // The sentence to put more in, and what was put in already.
    open: Option<Box<Open>>,
}

impl Said {
    /// A sentence with nothing to put in.
    pub const fn plain(text: Text) -> Self {
        Self { en: Cow::Borrowed(text.en), es: Cow::Borrowed(text.es), open: None }
    }

    /// Words that are no sentence and the same in every language: a name, a path, what
    /// another program said. As they are.
    pub fn words(words: impl Into<String>) -> Self {
        let words = words.into();
        Self { en: Cow::Owned(words.clone()), es: Cow::Owned(words), open: None }
    }

    /// What was put into words already, once in each language.
    pub fn of_both(mut words: impl FnMut(Language) -> String) -> Self {
        let en = Cow::Owned(words(Language::English));
        Self { en, es: Cow::Owned(words(Language::Spanish)), open: None }
    }

    /// A sentence with values, shortened and without control characters: they come
    /// from outside.
    pub fn with(text: Text, values: &[(&'static str, &str)]) -> Self {
        let values: Vec<_> = values.iter().map(|(name, value)| (*name, shown(value))).collect();
        let values: Vec<_> = values.iter().map(|(name, value)| (*name, &**value)).collect();
        Self::of_both(|language| text.with(language, &values))
    }

    /// Puts a value into a sentence that began plain, whole: a record that is to be
    /// published must not be cut. Without control characters.
    #[must_use]
    pub fn put(mut self, name: &'static str, value: impl ToString) -> Self {
        let begun = match (&self.en, &self.es) {
            (Cow::Borrowed(en), Cow::Borrowed(es)) => Some((Text::new(en, es), Vec::new())),
            _ => self.open.take().map(|open| *open),
        };
        let Some((text, mut values)) = begun else { return self };
        let value = value.to_string();
        values.push((name, harmless(&value)));
        let all: Vec<_> = values.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let said = Self::of_both(|language| text.with(language, &all));
        Self { open: Some(Box::new((text, values))), ..said }
    }

    /// A sentence into which others are put, whole.
    pub fn of_parts(text: Text, parts: &[(&'static str, &Self)]) -> Self {
        Self::of_both(|language| {
            let parts: Vec<_> =
                parts.iter().map(|(name, said)| (*name, said.get(language))).collect();
            text.with(language, &parts)
        })
    }

    /// Several, one after the other.
    pub fn joined<'a>(said: impl IntoIterator<Item = &'a Self> + Clone, between: &str) -> Self {
        Self::of_both(|language| {
            let said: Vec<_> = said.clone().into_iter().map(|one| one.get(language)).collect();
            said.join(between)
        })
    }

    /// What is said and what follows from it: a whole sentence is followed by another, and
    /// what is none by a colon.
    pub fn then(&self, next: &Self) -> Self {
        let between = if self.en.ends_with('.') { " " } else { ": " };
        Self::joined([self, next], between)
    }

    /// Whether nothing is said.
    pub fn is_empty(&self) -> bool {
        self.en.is_empty()
    }

    /// The sentence in one language.
    pub fn of(&self, language: Language) -> String {
        self.get(language).to_owned()
    }

    fn get(&self, language: Language) -> &str {
        match language {
            Language::English => &self.en,
            Language::Spanish => &self.es,
        }
    }
}

/// A sentence in both languages with what is put into it: `said!("no {name}",
/// "no hay {name}"; name = value)`.
macro_rules! said {
    ($en:literal, $es:literal $(; $($name:ident = $value:expr),+)?) => {
        $crate::lang::Said::with(
            $crate::lang::Text::new($en, $es),
            &[$($((stringify!($name), &*$value.to_string())),+)?],
        )
    };
}

/// The same, where what is put in is [`Said`] too.
macro_rules! said_of {
    ($en:literal, $es:literal; $($name:ident = $value:expr),+) => {
        $crate::lang::Said::of_parts(
            $crate::lang::Text::new($en, $es),
            &[$((stringify!($name), &$crate::lang::Said::from(&$value))),+],
        )
    };
}

pub(crate) use {said, said_of};

/// Octets in a unit that people read.
pub fn octets(size: u64) -> String {
    const UNITS: [(u32, &str); 3] = [(30, "GiB"), (20, "MiB"), (10, "KiB")];
    let unit = UNITS.iter().find(|(shift, _)| size >> shift > 0);
    let Some((shift, unit)) = unit else { return format!("{size} B") };
    let tenths = (size >> (shift - 10)).saturating_mul(10) >> 10;
    match tenths % 10 {
        0 => format!("{} {unit}", tenths / 10),
        tenth => format!("{}.{tenth} {unit}", tenths / 10),
    }
}

/// Nothing.
impl Default for Said {
    fn default() -> Self {
        Self::plain(Text::same(""))
    }
}

impl From<Text> for Said {
    fn from(text: Text) -> Self {
        Self::plain(text)
    }
}

impl From<&Said> for Said {
    fn from(said: &Said) -> Self {
        said.clone()
    }
}

impl From<&&Said> for Said {
    fn from(said: &&Said) -> Self {
        (*said).clone()
    }
}

/// In English: for logs, and for whoever asks for an error's text without a language.
impl std::fmt::Display for Said {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.en)
    }
}

impl std::error::Error for Said {}

/// A JSON document with what is harmful on a terminal escaped; it says the same. Such
/// characters stand only inside of its strings.
pub fn harmless_json(json: &str) -> String {
    // Nearly all of a long list is of such characters.
    if json.bytes().all(|octet| matches!(octet, b'\n' | b' '..=b'~')) {
        return json.to_owned();
    }
    let mut out = String::with_capacity(json.len());
    for character in json.chars() {
        if is_harmful(character) && character != '\n' {
            for unit in character.encode_utf16(&mut [0; 2]) {
                out.push_str(&format!("\\u{unit:04x}"));
            }
        } else {
            out.push(character);
        }
    }
    out
}

/// Why nothing is known of a peer that was asked.
pub const NOT_IN_TIME: Text = Text::new("no answer in time", "no ha respondido a tiempo");

/// Words of others, which have no other language: a sentence among them is quoted where
/// another is spoken.
pub fn quoted(words: &str) -> Said {
    Said::of_both(|language| match language {
        Language::English => words.to_owned(),
        Language::Spanish => quote_sentence(words),
    })
}

// Names, addresses, codes and numbers are no sentence, and two plain words in a row are.
// A reply is known for one by its code.
fn quote_sentence(text: &str) -> String {
    let plain = |word: &str| {
        let word = word.trim_end_matches([',', ';', '.', ':']);
        word.len() > 1 && word.bytes().all(|octet| octet.is_ascii_lowercase())
    };
    let words: Vec<bool> = text.split(' ').map(plain).collect();
    let is_reply =
        matches!(text.as_bytes(), [b'2'..=b'5', b'0'..=b'9', b'0'..=b'9', b' ' | b'-', ..]);
    let is_sentence = words.windows(2).any(|pair| pair == [true, true]);
    match is_sentence && !is_reply && !text.starts_with('«') {
        true => format!("«{text}»"),
        false => text.to_owned(),
    }
}

/// Somebody else's text, short enough for a line and harmless on a terminal.
pub fn shown(text: &str) -> String {
    const LENGTH: usize = 200;
    let mut out = harmless(&text.chars().take(LENGTH).collect::<String>());
    if text.chars().nth(LENGTH).is_some() {
        out.push('…');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `s` removed a hundred messages where the question was English.
    #[test]
    fn a_word_is_a_yes_in_the_language_of_the_question() {
        let (english, spanish) = (Language::English, Language::Spanish);
        for (word, in_english, in_spanish) in [
            ("y", Some(true), Some(true)),
            (" YES\n", Some(true), Some(true)),
            ("s", None, Some(true)),
            ("S\u{cd}", None, Some(true)),
            ("no", Some(false), Some(false)),
            ("", None, None),
            ("maybe", None, None),
        ] {
            assert_eq!(
                (english.answer(word), spanish.answer(word)),
                (in_english, in_spanish),
                "{word}"
            );
        }
    }

    #[test]
    fn the_environment_chooses_unless_a_language_was_asked_for() {
        let environment = |name: &str| match name {
            "LC_ALL" => Some(String::new()),
            "LANG" => Some("es_ES.UTF-8".to_owned()),
            _ => None,
        };
        assert_eq!(Language::choose(None, environment), Language::Spanish);
        assert_eq!(Language::choose(Some(Language::English), environment), Language::English);
        assert_eq!(Language::choose(None, |_| Some("fr_FR".to_owned())), Language::English);
    }

    /// A10: see also `cli::output`, `telemetry::clean`.
    #[test]
    fn bidirectional_control_characters_are_escaped_and_json_says_the_same() {
        let bad = "a\u{202e}b\u{2066}c\u{61c}d\u{200f}e\u{e0041}é\u{85}";
        assert_eq!(shown(bad), "a?b?c?d?e?é?");
        let json = serde_json::to_string_pretty(&[bad]).unwrap();
        let harmless = harmless_json(&json);
        assert!(!harmless.chars().any(|c| is_harmful(c) && c != '\n'), "{harmless:?}");
        assert_eq!(serde_json::from_str::<[String; 1]>(&harmless).unwrap(), [bad]);
    }

    #[test]
    fn values_that_are_put_in_one_by_one_are_whole_and_not_looked_through() {
        let said = Said::plain(Text::new("{a} and {b}", "{b} y {a}"));
        let long = "x".repeat(300);
        let said = said.put("a", "{b}").put("b", &long);
        assert_eq!(said.of(Language::English), format!("{{b}} and {long}"));
        assert_eq!(said.of(Language::Spanish), format!("{long} y {{b}}"));
    }

    #[test]
    fn values_are_put_in_once() {
        let text = Text::new("{a} and {b}, {c}", "{b} y {a}");
        let values = [("a", "{b}"), ("b", "x")];
        assert_eq!(text.with(Language::English, &values), "{b} and x, {c}");
        assert_eq!(text.with(Language::Spanish, &values), "x y {b}");
    }
}
