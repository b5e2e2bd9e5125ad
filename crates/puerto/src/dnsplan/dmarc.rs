//! The DMARC record: started at `p=none` with somebody to report to, and never made
//! stricter without a reason.

use puerto_mail::dmarc::Policy;
use puerto_mail::dmarc::mend::{self, Fault, mend};
use puerto_mail::dns::RecordType;

use super::existing::Existing;
use super::{Draft, Plan, Planned, Said, State, Subject, words};
use crate::lang::Text;

/// What the record of a domain is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DmarcProposal {
    /// The record.
    pub text: String,
    /// Why it is proposed.
    pub why: Said,
    /// The record that is there and that it is made from.
    pub present: Option<String>,
}

/// What the record of a domain is to be, out of the texts that stand at its `_dmarc`.
pub fn dmarc_proposal(domain: &str, texts: &[String]) -> DmarcProposal {
    let rua = format!("mailto:postmaster@{domain}");
    // Receivers discard all of several (RFC 9989 §4.10), so that until now none held:
    // the mildest is the one that surprises nobody.
    let meant = texts.iter().filter(|text| mend::is_meant(text));
    let Some(present) = meant.min_by_key(|text| mend(text).policy()) else {
        let text = format!("v=DMARC1; p=none; rua={rua}");
        return DmarcProposal { text, why: words::DMARC_NEW.into(), present: None };
    };
    let mended = mend(present);
    let reports = mended.get("rua").is_some_and(|list| !list.is_empty());
    let text = if reports { mended.text() } else { mended.with("rua", &rua) };
    let why = match (said_of_faults(&mended.faults), reports) {
        (None, true) => words::DMARC_RIGHT.into(),
        (None, false) => words::DMARC_NO_REPORTS.into(),
        (Some(faults), _) => {
            let asked = mended.get("p").is_some() && !lacks_policy(&mended.faults);
            let text = if asked { words::DMARC_MENDED } else { words::DMARC_WITHOUT_POLICY };
            Said::of_parts(text, &[("faults", &faults)])
        }
    };
    DmarcProposal { text, why, present: Some(present.clone()) }
}

fn lacks_policy(faults: &[Fault]) -> bool {
    faults.contains(&Fault::NoPolicy)
}

/// What is wrong with a record, in one sentence; `None` if nothing is.
pub fn said_of_faults(faults: &[Fault]) -> Option<Said> {
    let mut sentences = faults.iter().map(|fault| match fault {
        Fault::Version => words::DMARC_VERSION.into(),
        Fault::Space => words::DMARC_SPACE.into(),
        Fault::Marks => words::DMARC_MARKS.into(),
        Fault::Separator => words::DMARC_SEPARATOR.into(),
        Fault::NoPolicy => words::DMARC_NO_POLICY.into(),
        Fault::Twice(name) => Said::plain(words::DMARC_TWICE).put("tag", name),
        Fault::Value(tag) => Said::plain(words::DMARC_VALUE).put("tag", tag),
        Fault::Address(address) => Said::plain(words::DMARC_ADDRESS).put("address", address),
    });
    let first: Said = sentences.next()?;
    let join = |one: Said, other: Said| {
        Said::of_parts(Text::same("{one}; {other}"), &[("one", &one), ("other", &other)])
    };
    Some(sentences.fold(first, join))
}

/// The record, and the next step where one is due.
pub(super) fn policy(plan: &mut Plan, subject: &Subject, existing: &Existing) {
    let name = format!("_dmarc.{}", subject.domain);
    if let (true, Some((above, _))) = (existing.dmarc.is_empty(), &existing.dmarc_above) {
        let said = Said::plain(words::DMARC_ABOVE).put("above", above);
        return plan.note(false, said.put("domain", &subject.domain));
    }
    let DmarcProposal { text: value, why, present: chosen } =
        dmarc_proposal(&subject.domain, &existing.dmarc);
    let chosen = chosen.as_ref();
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

fn next_step(plan: &mut Plan, existing: &Existing, name: &str, value: &str) {
    let signs = plan.records.iter().any(|record| record.name.contains("._domainkey."));
    let right = |record: &Planned| {
        let proves = record.name == plan.domain || record.name.contains("._domainkey.");
        !proves || record.kind != RecordType::Txt || record.state == State::Keep
    };
    if !signs || !plan.records.iter().all(right) {
        return;
    }
    let record = mend(value);
    let (policy, why) = match record.policy() {
        Policy::None => ("quarantine", words::DMARC_TO_QUARANTINE),
        Policy::Quarantine => ("reject", words::DMARC_TO_REJECT),
        Policy::Reject => return,
    };
    let draft = Draft {
        name: name.to_owned(),
        kind: RecordType::Txt,
        value: record.with("p", policy),
        state: State::Change,
        old: Some(value.to_owned()),
        why: why.into(),
    };
    plan.later.push(draft.in_zone(&existing.zones, &plan.domain));
}
