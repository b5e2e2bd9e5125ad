//! Asking ahead: an evaluation of SPF goes through a record term by term and waits for
//! each answer. Where the resolver is slow, that takes longer than anybody waits. So
//! all that the terms will ask is asked beforehand, a whole layer of the tree at a time,
//! and the evaluations find the answers in the resolver's cache.

use std::collections::HashSet;

use puerto_mail::dns::{Answer, Record, RecordType};
use puerto_mail::spf;

use super::super::context::{Context, text_of};
use super::super::together::together;
use super::super::world::World;

/// Layers that are followed: an evaluation has ten look-ups.
const MAX_LAYERS: usize = 10;
/// Questions in all: more than any record that receivers would evaluate.
const MAX_QUESTIONS: usize = 100;

type Question = (String, RecordType);

/// Asks all that the record of a domain leads to. What comes of it is not looked at.
pub(super) async fn ask<W: World>(context: &Context<'_, W>, domain: &str) {
    let mut asked: HashSet<Question> = HashSet::new();
    let mut layer = vec![(domain.to_owned(), RecordType::Txt)];
    for _ in 0..MAX_LAYERS {
        layer.retain(|question| asked.len() < MAX_QUESTIONS && asked.insert(question.clone()));
        if layer.is_empty() {
            return;
        }
        let answers = layer.iter().map(|(name, kind)| context.lookup(name, *kind));
        let answers = together(answers).await;
        let found = layer.iter().zip(&answers).filter_map(|(question, answer)| {
            answer.as_ref().ok().map(|answer| follow(question, answer))
        });
        layer = found.flatten().collect();
    }
}

fn follow((name, kind): &Question, answer: &Answer) -> Vec<Question> {
    let mut next = Vec::new();
    match kind {
        RecordType::Txt => {
            let texts = answer.records.iter().filter_map(text_of);
            for record in texts.filter(|text| spf::is_record(text.as_bytes())) {
                next.extend(record.split_whitespace().skip(1).flat_map(|term| of_term(term, name)));
            }
        }
        RecordType::Mx => next.extend(answer.records.iter().flat_map(|record| match record {
            Record::Mx(_, host) => addresses_of(host),
            _ => Vec::new(),
        })),
        _ => {}
    }
    next
}

fn of_term(term: &str, domain: &str) -> Vec<Question> {
    let term = term.trim_start_matches(['+', '-', '~', '?']).to_ascii_lowercase();
    // What a macro stands for is known only in the evaluation.
    if term.contains('%') {
        return Vec::new();
    }
    let (mechanism, target) = term.split_once([':', '=']).unwrap_or((&term, domain));
    let mechanism = mechanism.split('/').next().unwrap_or_default();
    let target = target.split('/').next().unwrap_or_default().to_owned();
    match mechanism {
        "include" | "redirect" => vec![(target, RecordType::Txt)],
        "mx" => vec![(target, RecordType::Mx)],
        "a" => addresses_of(&target),
        _ => Vec::new(),
    }
}

fn addresses_of(name: &str) -> Vec<Question> {
    vec![(name.to_owned(), RecordType::A), (name.to_owned(), RecordType::Aaaa)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terms_say_what_will_be_asked() {
        let asked = |term| of_term(term, "example.com");
        let txt = |name: &str| vec![(name.to_owned(), RecordType::Txt)];
        assert_eq!(asked("include:_spf.example.net"), txt("_spf.example.net"));
        assert_eq!(asked("redirect=Other.example"), txt("other.example"));
        assert_eq!(asked("~a:host.example/24//64"), addresses_of("host.example"));
        assert_eq!(asked("a/24"), addresses_of("example.com"));
        assert_eq!(asked("mx"), vec![("example.com".to_owned(), RecordType::Mx)]);
        for term in ["ip4:192.0.2.1", "-all", "include:%{d}.example", "exists:a.example"] {
            assert_eq!(asked(term), Vec::new(), "{term}");
        }
    }
}
