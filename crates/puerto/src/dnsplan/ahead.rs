//! Asks what the evaluation of SPF is going to ask, all at once.
//!
//! An evaluation and a count ask one question after the other, as receivers do, and
//! with a slow resolver that takes seconds. Here the tree of records is walked level by
//! level and everything on a level asked at the same time. The answers are thrown
//! away: the resolver keeps them, failures too, and the evaluation finds them there.

use std::collections::HashSet;

use puerto_mail::dns::{Dns, Record, RecordType};
use puerto_mail::together::together_within;

use super::Subject;
use super::existing::{AT_ONCE, Existing};
use crate::config::NextHopHost;

/// Levels of the tree, and questions in all: a record that needs more is in error.
const LEVELS: usize = 11;
const QUESTIONS: usize = 100;

type Question = (String, RecordType);

/// Asks for everything that the records lead to, and for the relay.
pub(super) async fn ask<D: Dns>(dns: &D, subject: &Subject, existing: &Existing) {
    let domain = existing.spf.iter().flat_map(|text| of_record(text, &subject.domain));
    let helo = existing.helo_spf.iter().flat_map(|text| of_record(text, &subject.hostname));
    let mut level: Vec<Question> = domain.chain(helo).collect();
    match subject.relay.as_ref().map(|relay| &relay.host) {
        Some(NextHopHost::Mx(name)) => {
            level.push((name.clone(), RecordType::Mx));
            level.extend(addresses(name));
        }
        Some(NextHopHost::Name(name)) => level.extend(addresses(name)),
        _ => {}
    }
    let mut asked: HashSet<Question> = HashSet::new();
    for _ in 0..LEVELS {
        level.retain(|question| asked.insert(question.clone()));
        if level.is_empty() || asked.len() > QUESTIONS {
            return;
        }
        let answers = together_within(
            AT_ONCE,
            level.into_iter().map(async |(name, kind)| {
                let answer = dns.lookup(&name, kind).await;
                (name, answer.map(|answer| answer.records).unwrap_or_default())
            }),
        );
        let answers = answers.await;
        level = answers.iter().flat_map(|(name, records)| next(name, records)).collect();
    }
}

// What an answer leads to.
fn next(name: &str, records: &[Record]) -> Vec<Question> {
    records
        .iter()
        .flat_map(|record| match record {
            Record::Txt(octets) if puerto_mail::spf::is_record(octets) => {
                of_record(&String::from_utf8_lossy(octets), name)
            }
            Record::Mx(_, host) if !host.is_empty() => addresses(host).to_vec(),
            _ => Vec::new(),
        })
        .collect()
}

// What the terms of a record ask for; those with macros depend on the message.
fn of_record(text: &str, domain: &str) -> Vec<Question> {
    let mut list = Vec::new();
    for term in text.split(' ').skip(1).map(str::to_ascii_lowercase) {
        let term = term.trim_start_matches(['+', '-', '~', '?']);
        let (name, target) = term.split_once([':', '=']).unwrap_or((term, domain));
        let (name, _) = name.split_once('/').unwrap_or((name, ""));
        let (target, _) = target.split_once('/').unwrap_or((target, ""));
        match name {
            _ if target.contains('%') => {}
            "include" | "redirect" => list.push((target.to_owned(), RecordType::Txt)),
            "a" => list.extend(addresses(target)),
            "mx" => list.push((target.to_owned(), RecordType::Mx)),
            "exists" => list.push((target.to_owned(), RecordType::A)),
            _ => {}
        }
    }
    list
}

fn addresses(name: &str) -> [Question; 2] {
    [(name.to_owned(), RecordType::A), (name.to_owned(), RecordType::Aaaa)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_terms_of_a_record_lead_to_their_questions() {
        let text = "v=spf1 a/24 MX:Relay.Example -include:b.example ip4:192.0.2.1/24 \
                    exists:%{i}.c.example redirect=d.example";
        let asked: Vec<String> =
            of_record(text, "a.example").iter().map(|(n, k)| format!("{k} {n}")).collect();
        let expected =
            ["A a.example", "AAAA a.example", "MX relay.example", "TXT b.example", "TXT d.example"];
        assert_eq!(asked, expected);
    }
}
