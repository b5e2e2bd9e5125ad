//! The records of the keys.

use puerto_mail::dkim::{PublicKey, RecordError};

use super::{Draft, Key, Planned, Said, words};

/// A record for each key that mail from the domain is signed with.
pub(super) fn keys(draft: &mut Draft<'_>) {
    let subject = draft.subject;
    if subject.keys.is_empty() {
        draft.note(words::NO_KEYS.put("domain", &subject.domain));
    } else if subject.keys.iter().all(|key| key.kind == "ed25519") {
        draft.note(words::ONLY_ED25519);
    }
    for (key, present) in subject.keys.iter().zip(&draft.existing.keys) {
        let right = present.iter().position(|text| is_same(text, &key.record));
        // Others with the same name are in the way even of the right one: which of
        // them a receiver takes is not defined (RFC 6376 §3.6.2.2).
        let ours = || present.iter().position(|text| holds(text, &key.record));
        let chosen = right.or_else(ours).or((!present.is_empty()).then_some(0));
        let (value, why) = match chosen.and_then(|at| present.get(at)) {
            Some(text) if right.is_some() => (text, Said::plain(words::DKIM_RIGHT)),
            Some(text) => (&key.record, what_is_wrong(text, key)),
            None => (&key.record, Said::plain(words::DKIM_NEW)),
        };
        let why = why.put("kind", key.kind).put("domain", &key.domain);
        draft.merge(Planned::text(&key.name(), value, why), present, chosen, beside);
    }
}

/// Whether a published record holds the same key and can be used with it: panels
/// add spaces, and administrators flags.
fn is_same(published: &str, wanted: &str) -> bool {
    let usable = PublicKey::parse(published).is_ok_and(|key| !key.testing && takes_sha256(&key));
    usable && tag(published, "p") == tag(wanted, "p")
}

fn takes_sha256(key: &PublicKey) -> bool {
    key.hashes.is_empty() || key.hashes.iter().any(|hash| hash == "sha256")
}

// Whether it is our key, however the record around it is written.
fn holds(published: &str, wanted: &str) -> bool {
    let key = |record| tag(record, "p").map(|key| key.trim_end_matches('=').to_owned());
    key(published).is_some_and(|found| !found.is_empty() && Some(found) == key(wanted))
}

fn what_is_wrong(published: &str, key: &Key) -> Said {
    let with_error = |text, error: &RecordError| {
        let (kind, domain) = (Said::words(key.kind), Said::words(&key.domain));
        Said::of_parts(text, &[("error", &error.into()), ("kind", &kind), ("domain", &domain)])
    };
    match (PublicKey::parse(published), holds(published, &key.record)) {
        (Ok(key), true) if !takes_sha256(&key) => Said::plain(words::DKIM_HASHES),
        (Ok(found), true) if found.testing => Said::plain(words::DKIM_TESTING),
        (Ok(_), true) => Said::plain(words::DKIM_PADDING),
        (Ok(_), false) => Said::plain(words::DKIM_OTHER),
        (Err(error), true) => with_error(words::DKIM_MALFORMED, &error),
        (Err(error), false) if tag(published, "p").is_some() => {
            with_error(words::DKIM_BROKEN, &error)
        }
        (Err(_), false) => Said::with(words::DKIM_FOREIGN, &[("text", published)]),
    }
}

fn beside(text: &str) -> Said {
    match tag(text, "p").is_some() {
        true => words::DKIM_SECOND.into(),
        false => Said::with(words::DKIM_FOREIGN, &[("text", text)]),
    }
}

fn tag(record: &str, name: &str) -> Option<String> {
    let bare: String = record.chars().filter(|c| !matches!(c, '"' | '\\')).collect();
    let mut tags = bare.split(';').filter_map(|tag| tag.split_once('='));
    let (_, value) = tags.find(|(found, _)| found.trim() == name)?;
    Some(value.split_whitespace().collect())
}
