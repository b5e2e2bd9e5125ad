//! All that a run came to: its checks, the receivers' verdicts, and in one sentence
//! what to do first.

use serde_json::{Value, json};

use super::outcome::{Check, Status};
use super::receivers::{Judgement, RECEIVERS, Verdict};
use crate::finding::Severity;
use crate::lang::{Language, Text};

const SILENT_DNS: Text = Text::new(
    "The DNS answered nothing at all: mend the resolver first (`dns.servers` in puerto.toml, or \
     /etc/resolv.conf), then check again.",
    "El DNS no respondió absolutamente nada: arregle antes el servidor DNS (`dns.servers` en \
     puerto.toml, o /etc/resolv.conf) y repita la comprobación.",
);

/// How many characters of what was seen the summary repeats.
const SEEN_AT_MOST: usize = 80;

/// How long what is to be done may be in the summary.
const REMEDY_AT_MOST: usize = 160;
const ELSEWHERE: Text = Text::new(
    "`puerto check --only {id}` shows what to do.",
    "`puerto check --only {id}` muestra qué hay que hacer.",
);

/// What a run came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The senders' domains; there is at least one.
    pub domains: Vec<String>,
    /// The addresses that were judged.
    pub egress: Vec<std::net::IpAddr>,
    /// What came of every check, in the order of the registry, a decisive one first.
    pub checks: Vec<Check>,
}

impl Report {
    /// The domain that was asked for, or the first of the configuration.
    pub fn domain(&self) -> &str {
        self.domains.first().map_or("", String::as_str)
    }

    /// 0: all is well; 1: something is wrong; 2: what matters could not be seen.
    pub fn exit_code(&self) -> u8 {
        let unseen = RECEIVERS.iter().map(|one| one.judge(&self.checks)).any(|judgement| {
            judgement.verdict == Verdict::Unknown && !judgement.because.is_empty()
        });
        // Where a name server keeps silent, mail fails whenever that one is asked.
        let is_doubtful = self.checks.iter().any(|check| {
            check.id() == "dns.ns-consistent"
                && check.status == Status::Unknown
                && !check.remedy.is_empty()
        });
        let nothing_seen = self.checks.iter().all(|check| check.status == Status::Unknown);
        if self.checks.iter().any(Check::is_wrong) {
            1
        } else {
            u8::from(unseen || nothing_seen || is_doubtful) * 2
        }
    }

    /// The finding to take care of first: the worst one, and of those the one that
    /// the others build on.
    pub fn first(&self) -> Option<&Check> {
        let of = |severity| {
            self.checks.iter().find(|c| c.status == Status::Finding && c.severity == severity)
        };
        of(Severity::Error).or_else(|| of(Severity::Warning))
    }

    // Whether no question to the DNS at all had an answer; blocklists may refuse by
    // themselves. What else is wrong can wait.
    fn is_dns_silent(&self) -> bool {
        let asked = self.checks.iter().filter(|check| {
            check.status != Status::NotApplicable
                && check.is_of_dns
                && check.definition.group() != "bl"
        });
        let asked: Vec<_> = asked.collect();
        asked.len() > 2 && asked.iter().all(|check| check.status == Status::Unknown)
    }

    /// What to do first, in one sentence.
    pub fn summary(&self, language: Language) -> String {
        if self.is_dns_silent() {
            return SILENT_DNS.of(language).to_owned();
        }
        let wrong = self.checks.iter().filter(|check| check.is_wrong()).count();
        if let Some(first) = self.first() {
            let text = if wrong == 1 {
                Text::new(
                    "One thing is wrong, {id} ({subject}), {seen}: {remedy}",
                    "Hay una cosa mal, {id} ({subject}), {seen}: {remedy}",
                )
            } else {
                Text::new(
                    "{count} things are wrong; first {id} ({subject}), {seen}: {remedy}",
                    "Hay {count} cosas mal; primero {id} ({subject}), {seen}: {remedy}",
                )
            };
            // A key, a whole record or lines of a file belong to their finding, not into one
            // sentence.
            let remedy = first.remedy.of(language);
            let is_long = remedy.chars().count() > REMEDY_AT_MOST;
            let remedy = match is_long && first.has_record || remedy.contains('\n') {
                true => ELSEWHERE.with(language, &[("id", first.id())]),
                false => remedy,
            };
            let values = [
                ("count", &*wrong.to_string()),
                ("id", first.id()),
                ("subject", &first.subject),
                ("seen", &shortened(&first.seen.of(language))),
                ("remedy", &remedy),
            ];
            return text.with(language, &values);
        }
        let unknown = self.checks.iter().filter(|check| check.status == Status::Unknown).count();
        let text = match (self.exit_code(), unknown) {
            (0, 1) => Text::new(
                "Nothing is wrong; one check that is not decisive had no answer.",
                "Nada está mal; una comprobación que no es decisiva quedó sin respuesta.",
            ),
            (0, 1..) => Text::new(
                "Nothing is wrong; {count} checks that are not decisive had no answer.",
                "Nada está mal; {count} comprobaciones que no son decisivas quedaron sin respuesta.",
            ),
            (0, 0) => Text::new(
                "All is well; nothing has to be done.",
                "Todo está bien; no hay que hacer nada.",
            ),
            (_, 1) => Text::new(
                "Nothing is known to be wrong, but one check had no answer: try again.",
                "No consta nada mal, pero una comprobación quedó sin respuesta: repítalo.",
            ),
            _ => Text::new(
                "Nothing is known to be wrong, but {count} checks had no answer: try again.",
                "No consta nada mal, pero {count} comprobaciones quedaron sin respuesta: repítalo.",
            ),
        };
        text.with(language, &[("count", &unknown.to_string())])
    }

    /// The report as one JSON document.
    pub fn to_json(&self, language: Language) -> Value {
        let receivers = RECEIVERS.iter().map(|receiver| {
            let Judgement { verdict, because } = receiver.judge(&self.checks);
            (receiver.key.to_owned(), json!({ "verdict": verdict.as_str(), "because": because }))
        });
        let receivers: serde_json::Map<String, Value> = receivers.collect();
        json!({
            "domain": self.domain(),
            "domains": self.domains,
            "egress": self.egress,
            "summary": self.summary(language),
            "receivers": receivers,
            "checks": self.checks.iter().map(|check| check_json(check, language)).collect::<Vec<_>>(),
        })
    }
}

// A key or a whole record would bury the rest of the sentence. Its first clauses say most;
// what is cut is cut between words and marked.
fn shortened(seen: &str) -> String {
    let Some((limit, _)) = seen.char_indices().nth(SEEN_AT_MOST) else { return seen.to_owned() };
    let start = seen.get(..limit).unwrap_or_default();
    match start.rfind([':', ';']) {
        Some(end) => start.get(..end).unwrap_or_default().to_owned(),
        None => {
            let end = start.rfind(' ').unwrap_or(start.len());
            format!("{}…", start.get(..end).unwrap_or_default().trim_end())
        }
    }
}

fn check_json(check: &Check, language: Language) -> Value {
    let mut members = check.finding().to_json(language);
    members.insert("status".to_owned(), check.status.as_str().into());
    Value::Object(members)
}

#[cfg(test)]
mod tests {
    use super::shortened;

    #[test]
    fn what_was_seen_is_told_by_its_first_clause() {
        let listed = "listed by Spamhaus ZEN as PBL (127.0.0.10): the address lies in a dynamic or \
                      residential range";
        assert_eq!(shortened(listed), "listed by Spamhaus ZEN as PBL (127.0.0.10)");
        assert_eq!(shortened("no name"), "no name");
        let key = "ñ".repeat(100);
        assert_eq!(shortened(&key), format!("{}…", "ñ".repeat(80)));
    }
}
