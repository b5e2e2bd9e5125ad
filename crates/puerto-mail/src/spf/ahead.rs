//! Asks what an evaluation is going to ask, all at once.
//!
//! An evaluation and a count go through a record term by term and wait for each answer,
//! as receivers do. Where the resolver is slow that takes longer than anybody waits. So
//! the tree of records is walked beforehand, a level at a time, and everything on a level
//! asked together. The answers are thrown away: the resolver keeps them, failures too,
//! and the evaluation finds them there.

use std::collections::HashSet;

use crate::dns::{Dns, Record, RecordType};
use crate::spf;
use crate::together::together_within;

/// Levels of the tree: the first question, and one for each look-up that is allowed.
const LEVELS: u32 = spf::MAX_LOOKUPS + 1;
/// Questions in all: more than any record that receivers would evaluate.
const MAX_QUESTIONS: usize = 100;
/// Questions that are under way at the same time.
const AT_ONCE: usize = 64;

/// A name and what is asked of it.
pub type Question = (String, RecordType);

/// Asks these questions and all that their answers lead to; to be followed by evaluations
/// through a resolver that caches. For a domain's record, the question is its TXT.
pub async fn ask<D: Dns>(dns: &D, first: impl IntoIterator<Item = Question>) {
    let mut level: Vec<Question> = first.into_iter().collect();
    let mut asked: HashSet<Question> = HashSet::new();
    for _ in 0..LEVELS {
        level.retain(|question| asked.len() < MAX_QUESTIONS && asked.insert(question.clone()));
        if level.is_empty() {
            return;
        }
        let questions = level.into_iter().map(async |(name, kind)| {
            let answer = dns.lookup(&name, kind).await;
            (name, answer.map(|answer| answer.records).unwrap_or_default())
        });
        let answers = together_within(AT_ONCE, questions).await;
        level = answers.iter().flat_map(|(name, records)| next(name, records)).collect();
    }
}

/// The questions for a host's addresses.
pub fn addresses(name: &str) -> [Question; 2] {
    [(name.to_owned(), RecordType::A), (name.to_owned(), RecordType::Aaaa)]
}

fn next(name: &str, records: &[Record]) -> Vec<Question> {
    let of_record = |record: &Record| match record {
        Record::Txt(octets) if spf::is_record(octets) => {
            let text = String::from_utf8_lossy(octets);
            text.split_whitespace().skip(1).flat_map(|term| of_term(term, name)).collect()
        }
        Record::Mx(_, host) if !host.is_empty() => addresses(host).to_vec(),
        _ => Vec::new(),
    };
    records.iter().flat_map(of_record).collect()
}

fn of_term(term: &str, domain: &str) -> Vec<Question> {
    let term = term.trim_start_matches(['+', '-', '~', '?']).to_ascii_lowercase();
    let (mechanism, target) = term.split_once([':', '=']).unwrap_or((&term, domain));
    let mechanism = mechanism.split('/').next().unwrap_or_default();
    let target = target.split('/').next().unwrap_or_default();
    match mechanism {
        // What a macro stands for is known only in the evaluation.
        _ if target.contains('%') => Vec::new(),
        "include" | "redirect" => vec![(target.to_owned(), RecordType::Txt)],
        "mx" => vec![(target.to_owned(), RecordType::Mx)],
        "a" => addresses(target).to_vec(),
        "exists" => vec![(target.to_owned(), RecordType::A)],
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terms_say_what_will_be_asked() {
        let asked = |term| of_term(term, "example.com");
        let one = |name: &str, kind| vec![(name.to_owned(), kind)];
        assert_eq!(asked("include:_spf.example.net"), one("_spf.example.net", RecordType::Txt));
        assert_eq!(asked("redirect=Other.example"), one("other.example", RecordType::Txt));
        assert_eq!(asked("exists:a.example"), one("a.example", RecordType::A));
        assert_eq!(asked("~a:host.example/24//64"), addresses("host.example"));
        assert_eq!(asked("a/24"), addresses("example.com"));
        assert_eq!(asked("mx"), one("example.com", RecordType::Mx));
        for term in ["ip4:192.0.2.1/24", "-all", "include:%{d}.example", "exists:%{i}.c.example"] {
            assert_eq!(asked(term), Vec::new(), "{term}");
        }
    }
}
