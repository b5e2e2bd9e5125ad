//! The records of the keys.

use puerto_mail::dkim::PublicKey;
use puerto_mail::dns::RecordType;

use super::existing::Existing;
use super::{Draft, Plan, Said, State, Subject, words};

/// Whether a text at a key's name is one, or was meant as one.
pub(super) fn is_meant(text: &str) -> bool {
    text.trim_start().get(..6).is_some_and(|start| start.eq_ignore_ascii_case("v=DKIM"))
        || tag(text, "p").is_some()
}

/// A record for each key that mail from the domain is signed with.
pub(super) fn keys(plan: &mut Plan, subject: &Subject, existing: &Existing) {
    if subject.keys.is_empty() {
        plan.note(true, Said::plain(words::NO_KEYS).put("domain", &subject.domain));
    } else if subject.keys.iter().all(|key| key.kind == "ed25519") {
        plan.note(true, words::ONLY_ED25519);
    }
    for (key, present) in subject.keys.iter().zip(&existing.keys) {
        let name = format!("{}._domainkey.{}", key.selector, key.domain);
        let right = present.iter().position(|text| is_same(text, &key.record));
        // Others with the same name are in the way even of the right one: which of
        // them a receiver takes is not defined (RFC 6376 §3.6.2.2).
        let replaced = right.or(if present.is_empty() { None } else { Some(0) });
        let (state, why) = match (right, present.len()) {
            (Some(_), _) => (State::Keep, words::DKIM_RIGHT),
            (None, 0) => (State::New, words::DKIM_NEW),
            (None, _) => (State::Change, words::DKIM_OTHER),
        };
        let old = replaced.and_then(|at| present.get(at)).filter(|_| right.is_none()).cloned();
        let value = match right.and_then(|at| present.get(at)) {
            Some(text) => text.clone(),
            None => key.record.clone(),
        };
        let why = Said::plain(why).put("kind", key.kind).put("domain", &key.domain);
        let kind = RecordType::Txt;
        plan.push(existing, Draft { name: name.clone(), kind, value, state, old, why });
        for (at, text) in present.iter().enumerate() {
            if Some(at) != replaced {
                let (name, value) = (name.clone(), text.clone());
                let (state, why) = (State::Delete, words::DKIM_SECOND.into());
                let draft = Draft { name, kind, value, state, old: None, why };
                plan.push(existing, draft);
            }
        }
    }
}

/// Whether a published record holds the same key and can be used with it: panels
/// add spaces, and administrators flags.
fn is_same(published: &str, wanted: &str) -> bool {
    let usable = PublicKey::parse(published).is_ok_and(|key| {
        !key.testing && (key.hashes.is_empty() || key.hashes.iter().any(|hash| hash == "sha256"))
    });
    usable && tag(published, "p") == tag(wanted, "p")
}

fn tag(record: &str, name: &str) -> Option<String> {
    let mut tags = record.split(';').filter_map(|tag| tag.split_once('='));
    let (_, value) = tags.find(|(found, _)| found.trim() == name)?;
    Some(value.split_whitespace().collect())
}
