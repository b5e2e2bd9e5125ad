//! The DMARC record: started at `p=none` with somebody to report to, and never made
//! stricter without a reason.

use puerto_mail::dns::RecordType;

use super::existing::Existing;
use super::{Draft, Plan, Planned, Said, State, Subject, words};

/// Whether a text at `_dmarc` is a DMARC record or was meant as one.
pub(super) fn is_meant(text: &str) -> bool {
    let mut letters = text.to_ascii_lowercase();
    letters.retain(|character| !character.is_whitespace());
    letters.contains("v=dmarc")
}

/// Tags that are defined, those of RFC 7489 among them.
const NAMES: [&str; 14] =
    ["v", "p", "sp", "np", "rua", "ruf", "adkim", "aspf", "fo", "psd", "t", "pct", "ri", "rf"];

/// The tags of a record in their order.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Tags(Vec<(String, String)>);

impl Tags {
    fn parse(text: &str) -> Self {
        let tags = text.split(';').filter_map(|tag| tag.split_once('='));
        Self(tags.map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned())).collect())
    }

    /// What was meant by a record that panels or people damaged: without quotation marks,
    /// and with a semicolon wherever something else stands before a tag.
    fn meant(text: &str) -> Self {
        let bare: String = text.chars().filter(|c| !matches!(c, '"' | '\\')).collect();
        let mut separated = String::with_capacity(bare.len());
        for (at, character) in bare.char_indices() {
            let rest = bare.get(at..).unwrap_or_default();
            let next = rest.trim_start_matches(|c: char| c == ',' || c.is_whitespace());
            let begins_tag = next.split_once('=').is_some_and(|(name, _)| {
                NAMES.contains(&name.trim().to_ascii_lowercase().as_str())
            });
            match character {
                ',' | ' ' | '\t' if next.len() < rest.len() && begins_tag => separated.push(';'),
                other => separated.push(other),
            }
        }
        Self::parse(&separated)
    }

    // Takes out what is not defined, each time telling that it did.
    fn purge(&mut self) -> bool {
        let before = self.0.clone();
        let mut seen: Vec<String> = Vec::new();
        self.0.retain(|(name, value)| {
            let name = name.to_ascii_lowercase();
            let one_of = |values: &[&str]| values.iter().any(|v| value.eq_ignore_ascii_case(v));
            let is_right = match name.as_str() {
                "sp" | "np" => one_of(&["none", "quarantine", "reject"]),
                "adkim" | "aspf" => one_of(&["r", "s"]),
                "psd" => one_of(&["y", "n", "u"]),
                "t" => one_of(&["y", "n"]),
                "fo" => value.split(':').all(|one| ["0", "1", "d", "s"].contains(&one.trim())),
                _ => !value.is_empty() || name == "p" || name == "rua",
            };
            let is_new = !seen.contains(&name);
            seen.push(name);
            is_right && is_new
        });
        for (_, value) in self.0.iter_mut().filter(|(name, _)| name == "rua" || name == "ruf") {
            let uris = value.split(',').map(str::trim).filter(|uri| !uri.is_empty());
            let whole = uris.map(|uri| match uri.contains('@') && !uri.contains(':') {
                true => format!("mailto:{uri}"),
                false => uri.to_owned(),
            });
            let whole: Vec<String> = whole.collect();
            if !value.split(',').map(str::trim).eq(whole.iter().map(String::as_str)) {
                *value = whole.join(",");
            }
        }
        self.0 != before
    }

    fn get(&self, name: &str) -> Option<&str> {
        let tag = self.0.iter().find(|(other, _)| other.eq_ignore_ascii_case(name));
        tag.map(|(_, value)| value.as_str())
    }

    fn set(&mut self, name: &str, value: &str) {
        match self.0.iter_mut().find(|(other, _)| other.eq_ignore_ascii_case(name)) {
            Some((_, old)) => value.clone_into(old),
            None => self.0.push((name.to_owned(), value.to_owned())),
        }
    }

    fn text(&self) -> String {
        self.0.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("; ")
    }

    // How much the record asks for; a policy that cannot be read asks for nothing.
    fn severity(&self) -> u8 {
        match self.policy() {
            Some("reject") => 2,
            Some("quarantine") => 1,
            _ => 0,
        }
    }

    fn policy(&self) -> Option<&'static str> {
        let written = self.get("p")?;
        ["none", "quarantine", "reject"].into_iter().find(|p| written.eq_ignore_ascii_case(p))
    }
}

/// The record, and the next step where one is due.
pub(super) fn policy(plan: &mut Plan, subject: &Subject, existing: &Existing) {
    let name = format!("_dmarc.{}", subject.domain);
    let start = format!("v=DMARC1; p=none; rua=mailto:postmaster@{}", subject.domain);
    // Receivers discard all of several (RFC 9989 §4.10), so that until now none held:
    // the mildest is the one that surprises nobody.
    let chosen = existing.dmarc.iter().min_by_key(|text| Tags::meant(text).severity());
    let (value, why) = match (chosen, &existing.dmarc_above) {
        (None, Some((above, _))) => {
            let said = Said::plain(words::DMARC_ABOVE).put("above", above);
            return plan.note(false, said.put("domain", &subject.domain));
        }
        (None, None) => (start, Said::plain(words::DMARC_NEW)),
        (Some(text), _) => mend(text, subject),
    };
    let state = match chosen {
        None => State::New,
        Some(text) if *text == value => State::Keep,
        Some(_) => State::Change,
    };
    let old = chosen.filter(|_| state == State::Change).cloned();
    let kind = RecordType::Txt;
    let draft = Draft { name: name.clone(), kind, value: value.clone(), state, old, why };
    plan.push(existing, draft);
    let chosen_at = existing.dmarc.iter().position(|text| Some(text) == chosen);
    for (_, text) in existing.dmarc.iter().enumerate().filter(|(at, _)| Some(*at) != chosen_at) {
        let (name, value, why) = (name.clone(), text.clone(), words::DMARC_SECOND.into());
        let draft = Draft { name, kind, value, state: State::Delete, old: None, why };
        plan.push(existing, draft);
    }
    if state == State::Keep {
        next_step(plan, existing, &name, &value);
    }
}

// A record that is right is kept to the letter; one that is not is changed where it
// is wrong.
fn mend(text: &str, subject: &Subject) -> (String, Said) {
    let mut tags = Tags::meant(text);
    let mut why = None;
    if tags != Tags::parse(text) || tags.purge() {
        tags.purge();
        why = Some(words::DMARC_MALFORMED);
    }
    let version_is_right = tags.0.first().is_some_and(|(n, v)| n == "v" && v == "DMARC1");
    if !version_is_right {
        tags.0.retain(|(name, _)| !name.eq_ignore_ascii_case("v"));
        tags.0.insert(0, ("v".to_owned(), "DMARC1".to_owned()));
        why = Some(words::DMARC_MALFORMED);
    }
    if tags.policy().is_none() {
        tags.0.retain(|(name, _)| !name.eq_ignore_ascii_case("p"));
        tags.0.insert(1, ("p".to_owned(), "none".to_owned()));
        why = Some(words::DMARC_MALFORMED);
    }
    if tags.get("rua").is_none_or(str::is_empty) {
        tags.set("rua", &format!("mailto:postmaster@{}", subject.domain));
        why = why.or(Some(words::DMARC_NO_REPORTS));
    }
    match why {
        None => (text.to_owned(), words::DMARC_RIGHT.into()),
        Some(why) => (tags.text(), why.into()),
    }
}

fn next_step(plan: &mut Plan, existing: &Existing, name: &str, value: &str) {
    let signs = plan.records.iter().any(|record| record.name.contains("._domainkey."));
    let right = |record: &Planned| {
        let proves = record.name == plan.domain || record.name.contains("._domainkey.");
        !proves || record.kind != RecordType::Txt || record.state == State::Keep
    };
    if !signs || !plan.records.iter().all(right) {
        return;
    }
    let mut tags = Tags::parse(value);
    let (policy, why) = match tags.policy() {
        Some("none") => ("quarantine", words::DMARC_TO_QUARANTINE),
        Some("quarantine") => ("reject", words::DMARC_TO_REJECT),
        _ => return,
    };
    tags.set("p", policy);
    let draft = Draft {
        name: name.to_owned(),
        kind: RecordType::Txt,
        value: tags.text(),
        state: State::Change,
        old: Some(value.to_owned()),
        why: why.into(),
    };
    plan.later.push(draft.in_zone(&existing.zones, &plan.domain));
}
