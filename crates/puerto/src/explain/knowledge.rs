//! The rules, in the order in which they are asked.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use puerto_smtp::EnhancedCode;
use serde::Deserialize;

use super::pattern::Pattern;
use super::reply::{self, Reply};
use super::vocabulary::Vocabulary;
use super::{Explanation, Kind, Whose};
use crate::cause::Cause;

/// The provider of the rules that know nothing but the code.
pub(super) const FALLBACK: &str = "code";

/// What rules of no provider are labelled with in answers.
const GENERIC: &str = "generic";

/// Whose words this server's own are.
const OURS: &str = "puerto";

/// Stands among a rule's codes for a text without one: nobody answered.
const NO_CODE: &str = "none";

/// Rules up to this priority are a provider's own; those above are of software that
/// anybody may run, of lists that anybody may ask, or of words that anybody may use.
const OWN: u8 = 29;

/// Rules above this priority are of words that prose may hold.
const TELLING: u8 = 59;

macro_rules! files {
    ($($name:literal)*) => { &[$(include_str!(concat!("rules/", $name, ".toml"))),*] };
}
pub(super) const FILES: &[&str] = files! {
    "own" "gmail" "microsoft" "yahoo" "icloud" "germany" "france" "america" "europe" "russia"
    "china" "hosting" "filters" "software" "relays" "lists" "network" "languages" "generic"
    "codes" "hosts"
};

/// Words of somebody who writes of himself, in the languages that rules are written for.
const FIRST_PERSON: [&str; 12] =
    ["my", "i", "i'm", "i've", "mi", "mis", "mein", "meine", "ich", "mon", "mes", "je"];

static KNOWLEDGE: LazyLock<Knowledge> =
    LazyLock::new(|| Knowledge::read(FILES).unwrap_or_else(|_| Knowledge::default()));

/// A file of rules.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    provider: String,
    priority: u8,
    #[serde(default)]
    link: Option<String>,
    #[serde(default)]
    hosts: Vec<Hosts>,
    #[serde(default)]
    rules: Vec<Rule>,
}

/// Whose MX hosts are called so.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Hosts {
    provider: String,
    suffixes: Vec<String>,
}

/// What a class says of its rules that do not say otherwise.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Class {
    pub(super) whose: Whose,
    pub(super) kind: Kind,
}

/// The classes by name.
pub(super) static CLASSES: LazyLock<BTreeMap<String, Class>> =
    LazyLock::new(|| toml::from_str(include_str!("rules/classes.toml")).unwrap_or_default());

/// A rule, as it is written. What is left out is its file's or its class's; when it is read
/// that is filled in.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Rule {
    /// `PROVIDER.NAME`, of which the file has the name.
    pub(super) id: String,
    pub(super) provider: String,
    pub(super) class: String,
    /// The key of its sentences.
    pub(super) say: String,
    whose: Option<Whose>,
    /// What it is if there is no code.
    kind: Option<Kind>,
    pub(super) check: Option<String>,
    pub(super) link: Option<String>,
    priority: Option<u8>,
    /// It has no words, and its codes mean this at the provider's own hosts alone.
    host: bool,
    /// Words that are its provider's or its software's own, and tell whose they are.
    own: Words,
    /// Words that anybody may use. A provider's rule counts them only where one of the
    /// provider's own hosts says them.
    anybodys: Words,
    /// Words that mean something else.
    unless: Words,
    /// The beginnings of the codes that it is for; all if empty.
    code: Vec<String>,
    status: Vec<String>,
}

/// Any of these patterns.
#[derive(Debug, Default, Deserialize)]
#[serde(try_from = "Vec<String>")]
struct Words(Vec<Pattern>);

impl Words {
    fn are_in(&self, reply: &Reply) -> bool {
        self.0.iter().any(|pattern| pattern.is_in(&reply.words))
    }
}

impl TryFrom<Vec<String>> for Words {
    type Error = String;

    fn try_from(written: Vec<String>) -> Result<Self, String> {
        let mut patterns = Vec::new();
        for words in written {
            for order in Vocabulary::get().expand(&words)? {
                patterns.push(Pattern::parse(&order)?);
            }
        }
        Ok(Self(patterns))
    }
}

impl Rule {
    pub(super) fn whose(&self) -> Whose {
        self.whose.unwrap_or(Whose::Provider)
    }

    fn is_own(&self) -> bool {
        self.priority <= Some(OWN)
    }

    // Fills in what its file and its class say.
    fn of(mut self, file: &File) -> Result<Self, String> {
        let default =
            |own: String, other: &String| if own.is_empty() { other.clone() } else { own };
        self.provider = default(self.provider, &file.provider);
        self.say = default(self.say, &self.class);
        self.id = format!("{}.{}", self.provider, self.id);
        let class = CLASSES.get(&self.class);
        let class = class.ok_or_else(|| format!("{}: no class `{}`", self.id, self.class))?;
        self.whose = self.whose.or(Some(class.whose));
        self.kind = self.kind.or(Some(class.kind));
        self.priority = self.priority.or(Some(file.priority));
        self.link = self.link.or_else(|| file.link.clone());
        Ok(self)
    }

    // Words that anybody may use are a provider's only `at_its_host`.
    fn applies(&self, reply: &Reply, at_its_host: bool) -> bool {
        let is_heard = at_its_host || !self.is_own();
        (self.code.is_empty() || begins(&self.code, reply))
            && (self.status.is_empty()
                || reply.status.is_some_and(|status| is_one_of(&self.status, status)))
            && (self.own.0.is_empty() && self.anybodys.0.is_empty()
                || self.own.are_in(reply)
                || is_heard && self.anybodys.are_in(reply))
            && !self.unless.are_in(reply)
    }
}

// Where there is no code, its first digit is that of the status.
fn begins(codes: &[String], reply: &Reply) -> bool {
    let code = reply.code.map(|code| code.to_string());
    let class = reply.status.map(|status| status.class.to_string());
    codes.iter().any(|beginning| match &code {
        Some(code) => code.starts_with(beginning.as_str()),
        None => beginning == NO_CODE || class.as_ref() == Some(beginning),
    })
}

// `x` stands for any class, subject or detail.
fn is_one_of(statuses: &[String], status: EnhancedCode) -> bool {
    let actual = [u16::from(status.class), status.subject, status.detail];
    statuses.iter().any(|written| {
        let parts = written.split('.').zip(actual);
        parts.into_iter().all(|(part, actual)| part == "x" || part.parse() == Ok(actual))
    })
}

/// All rules.
#[derive(Debug, Default)]
pub(super) struct Knowledge {
    rules: Vec<Rule>,
    /// Suffix of a host's name and whose it is.
    hosts: Vec<(String, String)>,
    /// What tells that a text without a code speaks of a refusal.
    refusal: Words,
}

impl Knowledge {
    /// The rules of the program, read when they are first needed.
    pub(super) fn get() -> &'static Self {
        &KNOWLEDGE
    }

    fn read(files: &[&str]) -> Result<Self, String> {
        let refusal = Words::try_from(vec!["{=refusal}".to_owned()])?;
        let mut knowledge = Self { refusal, ..Self::default() };
        for text in files {
            let mut file: File = toml::from_str(text).map_err(|error| error.to_string())?;
            for rule in std::mem::take(&mut file.rules) {
                knowledge.rules.push(rule.of(&file)?);
            }
            for Hosts { provider, suffixes } in file.hosts {
                knowledge.hosts.extend(suffixes.into_iter().map(|end| (end, provider.clone())));
            }
        }
        let wordless = |rule: &&mut Rule| rule.provider == OURS && rule.own.0.is_empty();
        for rule in knowledge.rules.iter_mut().filter(wordless) {
            let said = Cause::EXPLAINED.iter().filter(|(_, id)| *id == rule.id);
            let patterns = said.map(|(english, _)| Pattern::parse(&pattern_of(english)));
            rule.own = Words(patterns.collect::<Result<_, _>>()?);
        }
        knowledge.rules.sort_by_key(|rule| rule.priority);
        Ok(knowledge)
    }

    /// The rule that says most about a reply. Those of the host's provider are asked
    /// first, for different providers use the same words.
    pub(super) fn rule_for(&self, reply: &Reply, host: Option<&str>) -> Option<&Rule> {
        let owner = host.and_then(|host| self.owner(host));
        let own = |rule: &&Rule| {
            rule.is_own() && owner.is_some_and(|owner| is_kin(owner, &rule.provider))
        };
        let first = self.rules.iter().filter(own).find(|rule| rule.applies(reply, true));
        // Prose is full of words that anybody may use, and no server speaks of itself as "my".
        let is_unsure = !reply.sure && reply.code.is_none() && reply.status.is_none();
        let is_somebodys = reply.words.split(' ').any(|word| FIRST_PERSON.contains(&word));
        let is_prose = !reply.sure && !self.refusal.are_in(reply) || is_unsure && is_somebodys;
        let too_vague = |rule: &Rule| is_prose && rule.priority > Some(TELLING);
        let asked = |rule: &&Rule| !(rule.host || too_vague(rule));
        first.or_else(|| self.rules.iter().filter(asked).find(|rule| rule.applies(reply, false)))
    }

    /// What a rule says of a reply; `waits` tells whether it is tried again, where that is
    /// known.
    pub(super) fn explanation(
        &'static self,
        rule: &'static Rule,
        reply: &Reply,
        host: Option<&str>,
        waits: Option<Kind>,
    ) -> Explanation {
        Explanation {
            rule,
            provider: self.provider_of(rule, reply, host),
            kind: waits.or(reply.kind()).or(rule.kind).unwrap_or(Kind::Permanent),
        }
    }

    /// Whose answer it is: the host's owner where that is known, else whoever uses
    /// the words that the rule knows.
    pub(super) fn provider_of<'a>(
        &'a self,
        rule: &'a Rule,
        reply: &Reply,
        host: Option<&str>,
    ) -> &'a str {
        if rule.is_own() {
            return &rule.provider;
        }
        // A greeting begins with the host's name.
        let greeting = || reply.words.split(' ').take(2).find_map(|word| self.owner(word));
        let signed =
            || reply.words.split(' ').find_map(|word| self.signature(word)).or_else(greeting);
        let known = host.and_then(|host| self.owner(host)).or_else(signed);
        known.unwrap_or(match rule.provider.as_str() {
            FALLBACK => GENERIC,
            provider => provider,
        })
    }

    pub(super) fn owner(&self, host: &str) -> Option<&str> {
        let host = host.trim_end_matches('.').to_ascii_lowercase();
        let under = |suffix: &str| {
            host.strip_suffix(suffix).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
        };
        self.hosts.iter().find(|(suffix, _)| under(suffix)).map(|(_, owner)| owner.as_str())
    }

    // Some sign their replies.
    fn signature(&self, word: &str) -> Option<&str> {
        let word = word.trim_matches(['[', ']', '(', ')', '.', ',', ';']);
        match word {
            "gsmtp" => Some("gmail"),
            _ if word.ends_with(".outlook.com") => self.owner(word),
            _ => None,
        }
    }

    #[cfg(test)]
    pub(super) fn checked() -> Result<Self, String> {
        Self::read(FILES)
    }

    /// All rules, in the order in which they are asked.
    pub(super) fn rules(&self) -> &[Rule] {
        &self.rules
    }
}

// Microsoft answers from several houses with the same words.
fn is_kin(owner: &str, provider: &str) -> bool {
    const MICROSOFT: [&str; 3] = ["outlook", "exchange-online", "microsoft-corp"];
    owner == provider || (MICROSOFT.contains(&owner) && MICROSOFT.contains(&provider))
}

/// The pattern of what a cause of ours says: a field that names a path is known for one,
/// and any other may be anything.
fn pattern_of(english: &str) -> String {
    let word = |written: &str| {
        let folded = reply::folded_words(written);
        let Some((before, rest)) = folded.split_once('{') else { return folded };
        let (field, after) = rest.split_once('}').unwrap_or((rest, ""));
        match field {
            "path" | "home" | "file" => format!("{before}/*{after}"),
            _ if before.is_empty() && after.is_empty() => "...".to_owned(),
            _ => format!("{before}*{after}"),
        }
    };
    let words: Vec<String> = english.split(' ').map(word).collect();
    let words = words.join(" ");
    let inner = words.trim_start_matches("... ").trim_end_matches(" ...");
    let start = if words.starts_with("...") { "" } else { "^" };
    format!("{start}{inner}")
}
