//! The rules, in the order in which they are asked.

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

pub(super) const FILES: &[&str] = &[
    include_str!("rules/own.toml"),
    include_str!("rules/gmail.toml"),
    include_str!("rules/microsoft.toml"),
    include_str!("rules/yahoo.toml"),
    include_str!("rules/icloud.toml"),
    include_str!("rules/germany.toml"),
    include_str!("rules/france.toml"),
    include_str!("rules/america.toml"),
    include_str!("rules/europe.toml"),
    include_str!("rules/russia.toml"),
    include_str!("rules/china.toml"),
    include_str!("rules/hosting.toml"),
    include_str!("rules/filters.toml"),
    include_str!("rules/software.toml"),
    include_str!("rules/relays.toml"),
    include_str!("rules/lists.toml"),
    include_str!("rules/network.toml"),
    include_str!("rules/languages.toml"),
    include_str!("rules/generic.toml"),
    include_str!("rules/codes.toml"),
    include_str!("rules/hosts.toml"),
];

/// Words of somebody who writes of himself, in the languages that rules are written for.
const FIRST_PERSON: [&str; 12] =
    ["my", "i", "i'm", "i've", "mi", "mis", "mein", "meine", "ich", "mon", "mes", "je"];

const VOCABULARY: &str = include_str!("rules/vocabulary.toml");

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
    rules: Vec<Written>,
}

/// Whose MX hosts are called so.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Hosts {
    provider: String,
    suffixes: Vec<String>,
}

/// A rule as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    id: String,
    class: String,
    /// Words that are its provider's or its software's own, and tell whose they are.
    #[serde(default)]
    own: Vec<String>,
    /// Words that anybody may use. A provider's rule counts them only where one of the
    /// provider's own hosts says them.
    #[serde(default)]
    anybodys: Vec<String>,
    /// Words that mean something else.
    #[serde(default)]
    unless: Vec<String>,
    #[serde(default)]
    code: Vec<String>,
    #[serde(default)]
    status: Vec<String>,
    #[serde(default)]
    provider: Option<String>,
    /// It has no words, and its codes mean this at the provider's own hosts alone.
    #[serde(default)]
    host: bool,
    #[serde(default)]
    priority: Option<u8>,
    #[serde(default)]
    say: Option<String>,
    #[serde(default)]
    whose: Option<Whose>,
    #[serde(default)]
    kind: Option<Kind>,
    #[serde(default)]
    check: Option<String>,
    #[serde(default)]
    link: Option<String>,
}

/// A rule.
#[derive(Debug)]
pub(super) struct Rule {
    pub(super) id: String,
    pub(super) provider: String,
    pub(super) class: String,
    /// The key of its sentences.
    pub(super) say: String,
    pub(super) whose: Whose,
    /// What it is if there is no code.
    pub(super) kind: Kind,
    pub(super) check: Option<String>,
    pub(super) link: Option<String>,
    priority: u8,
    needs_host: bool,
    own: Vec<Pattern>,
    anybodys: Vec<Pattern>,
    unless: Vec<Pattern>,
    /// The beginnings of the codes that it is for; all if empty.
    codes: Vec<String>,
    statuses: Vec<String>,
}

impl Rule {
    // Words that anybody may use are a provider's only `at_its_host`.
    fn applies(&self, reply: &Reply, at_its_host: bool) -> bool {
        let is_said = |words: &[Pattern]| words.iter().any(|words| words.is_in(&reply.words));
        let is_heard = at_its_host || self.priority > OWN;
        (self.codes.is_empty() || begins(&self.codes, reply))
            && (self.statuses.is_empty()
                || reply.status.is_some_and(|status| is_one_of(&self.statuses, status)))
            && (self.own.is_empty() && self.anybodys.is_empty()
                || is_said(&self.own)
                || is_heard && is_said(&self.anybodys))
            && !is_said(&self.unless)
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
    refusal: Vec<Pattern>,
}

impl Knowledge {
    /// The rules of the program, read when they are first needed.
    pub(super) fn get() -> &'static Self {
        &KNOWLEDGE
    }

    fn read(files: &[&str]) -> Result<Self, String> {
        let mut knowledge = Self::default();
        let vocabulary = Vocabulary::read(VOCABULARY)?;
        knowledge.refusal = patterns(&["{=refusal}".to_owned()], &vocabulary)?;
        for text in files {
            let file: File = toml::from_str(text).map_err(|error| error.to_string())?;
            for hosts in &file.hosts {
                let own = hosts.suffixes.iter().map(|s| (s.clone(), hosts.provider.clone()));
                knowledge.hosts.extend(own);
            }
            for written in &file.rules {
                knowledge.rules.push(rule(&file, written, &vocabulary)?);
            }
        }
        let wordless = |rule: &&mut Rule| rule.provider == OURS && rule.own.is_empty();
        for rule in knowledge.rules.iter_mut().filter(wordless) {
            let said = Cause::EXPLAINED.iter().filter(|(_, id)| *id == rule.id);
            rule.own = said
                .map(|(english, _)| Pattern::parse(&pattern_of(english)))
                .collect::<Result<_, _>>()?;
        }
        knowledge.rules.sort_by_key(|rule| rule.priority);
        Ok(knowledge)
    }

    /// The rule that says most about a reply. Those of the host's provider are asked
    /// first, for different providers use the same words.
    pub(super) fn rule_for(&self, reply: &Reply, host: Option<&str>) -> Option<&Rule> {
        let owner = host.and_then(|host| self.owner(host));
        let own = |rule: &&Rule| {
            rule.priority <= OWN && owner.is_some_and(|owner| is_kin(owner, &rule.provider))
        };
        let first = self.rules.iter().filter(own).find(|rule| rule.applies(reply, true));
        // Prose is full of words that anybody may use, and no server speaks of itself as "my".
        let is_unsure = !reply.sure && reply.code.is_none() && reply.status.is_none();
        let is_somebodys = reply.words.split(' ').any(|word| FIRST_PERSON.contains(&word));
        let is_prose = !reply.sure && !self.refusal.iter().any(|words| words.is_in(&reply.words))
            || is_unsure && is_somebodys;
        let too_vague = |rule: &Rule| is_prose && rule.priority > TELLING;
        let asked = |rule: &&Rule| !(rule.needs_host || too_vague(rule));
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
            kind: waits.or(reply.kind()).unwrap_or(rule.kind),
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
        if rule.priority <= OWN {
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

    fn owner(&self, host: &str) -> Option<&str> {
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

fn patterns(written: &[String], vocabulary: &Vocabulary) -> Result<Vec<Pattern>, String> {
    let mut patterns = Vec::new();
    for words in written {
        for order in vocabulary.expand(words)? {
            patterns.push(Pattern::parse(&order)?);
        }
    }
    Ok(patterns)
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

fn rule(file: &File, written: &Written, vocabulary: &Vocabulary) -> Result<Rule, String> {
    let provider = written.provider.as_ref().unwrap_or(&file.provider);
    let read = |words: &[String]| patterns(words, vocabulary);
    let id = format!("{provider}.{}", written.id);
    let (whose, kind) = of_class(&written.class)
        .ok_or_else(|| format!("{id}: there is no class `{}`", written.class))?;
    Ok(Rule {
        own: read(&written.own).map_err(|error| format!("{id}: {error}"))?,
        anybodys: read(&written.anybodys).map_err(|error| format!("{id}: {error}"))?,
        unless: read(&written.unless).map_err(|error| format!("{id}: {error}"))?,
        id,
        provider: provider.clone(),
        class: written.class.clone(),
        say: written.say.clone().unwrap_or_else(|| written.class.clone()),
        whose: written.whose.unwrap_or(whose),
        kind: written.kind.unwrap_or(kind),
        check: written.check.clone(),
        link: written.link.clone().or_else(|| file.link.clone()),
        priority: written.priority.unwrap_or(file.priority),
        needs_host: written.host,
        codes: written.code.clone(),
        statuses: written.status.clone(),
    })
}

/// The classes: whose problem each is, and what it is where no code says so.
pub(super) const CLASSES: &[(&str, Whose, Kind)] = &[
    ("attachment-blocked", Whose::Content, Kind::Permanent),
    ("auth-missing", Whose::Dns, Kind::Permanent),
    ("auth-required", Whose::Server, Kind::Permanent),
    ("connection-refused", Whose::Provider, Kind::Temporary),
    ("content-malware", Whose::Content, Kind::Permanent),
    ("content-spam", Whose::Content, Kind::Permanent),
    ("dkim-fail", Whose::Dns, Kind::Permanent),
    ("dmarc-fail", Whose::Dns, Kind::Permanent),
    ("domain-blocklisted", Whose::Server, Kind::Permanent),
    ("domain-not-found", Whose::Recipient, Kind::Permanent),
    ("expired", Whose::Provider, Kind::Permanent),
    ("greylisted", Whose::Provider, Kind::Temporary),
    ("helo-invalid", Whose::Server, Kind::Permanent),
    ("ip-blocklisted", Whose::Server, Kind::Permanent),
    ("ip-dynamic", Whose::Server, Kind::Permanent),
    ("loop", Whose::Provider, Kind::Permanent),
    ("mailbox-disabled", Whose::Recipient, Kind::Permanent),
    ("mailbox-full", Whose::Recipient, Kind::Permanent),
    ("mailbox-unknown", Whose::Recipient, Kind::Permanent),
    ("message-format", Whose::Content, Kind::Permanent),
    ("message-too-large", Whose::Content, Kind::Permanent),
    ("no-ptr", Whose::Server, Kind::Permanent),
    ("policy", Whose::Provider, Kind::Permanent),
    ("protocol-error", Whose::Server, Kind::Permanent),
    ("rate-limited", Whose::Server, Kind::Temporary),
    ("relay-denied", Whose::Server, Kind::Permanent),
    ("reputation-low", Whose::Server, Kind::Permanent),
    ("sender-rejected", Whose::Dns, Kind::Permanent),
    ("spf-fail", Whose::Dns, Kind::Permanent),
    ("temporary-failure", Whose::Provider, Kind::Temporary),
    ("tls-required", Whose::Server, Kind::Permanent),
    ("too-many-recipients", Whose::Server, Kind::Temporary),
];

fn of_class(class: &str) -> Option<(Whose, Kind)> {
    CLASSES.iter().find(|(name, ..)| *name == class).map(|(_, whose, kind)| (*whose, *kind))
}
