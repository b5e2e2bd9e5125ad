//! The DMARC record: started at `p=none` with somebody to report to, and never made
//! stricter without a reason.

use puerto_mail::dmarc::Policy;
use puerto_mail::dmarc::mend::{self, Fault, mend};
use puerto_mail::dns::RecordType;

use super::{Draft, Planned, Said, State, words};

/// What the record of a domain is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DmarcProposal {
    /// The text to publish.
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
    let sentences = faults.iter().map(|fault| match fault {
        Fault::Version => words::DMARC_VERSION.into(),
        Fault::Space => words::DMARC_SPACE.into(),
        Fault::Marks => words::DMARC_MARKS.into(),
        Fault::Separator => words::DMARC_SEPARATOR.into(),
        Fault::NoPolicy => words::DMARC_NO_POLICY.into(),
        Fault::Twice(name) => Said::plain(words::DMARC_TWICE).put("tag", name),
        Fault::Value(tag) => Said::plain(words::DMARC_VALUE).put("tag", tag),
        Fault::Address(address) => Said::plain(words::DMARC_ADDRESS).put("address", address),
    });
    let sentences: Vec<Said> = sentences.collect();
    (!sentences.is_empty()).then(|| Said::joined(&sentences, "; "))
}

/// The record, and the next step where one is due.
pub(super) fn policy(draft: &mut Draft<'_>) {
    let (domain, existing) = (&draft.subject.domain, draft.existing);
    if let (true, Some(above)) = (existing.dmarc.is_empty(), &existing.dmarc_above) {
        return draft.note(words::DMARC_ABOVE.put("above", above).put("domain", domain));
    }
    let DmarcProposal { text, why, present } = dmarc_proposal(domain, &existing.dmarc);
    let chosen = existing.dmarc.iter().position(|text| Some(text) == present.as_ref());
    let name = format!("_dmarc.{domain}");
    let record = Planned::text(&name, &text, why);
    draft.merge(record, &existing.dmarc, chosen, |_| words::DMARC_SECOND.into());
    if present.as_ref() == Some(&text) {
        next_step(draft, &name, &text);
    }
}

fn next_step(draft: &mut Draft<'_>, name: &str, value: &str) {
    let (plan, domain) = (&draft.plan, &draft.subject.domain);
    let is_of_key = |record: &Planned| record.name.contains("._domainkey.");
    let right = |record: &Planned| {
        let proves = record.name == *domain || is_of_key(record);
        !proves || record.kind != RecordType::Txt || record.state == State::Keep
    };
    if !plan.records.iter().any(is_of_key) || !plan.records.iter().all(right) {
        return;
    }
    let record = mend(value);
    let (policy, why) = match record.policy() {
        Policy::None => ("quarantine", words::DMARC_TO_QUARANTINE),
        Policy::Quarantine => ("reject", words::DMARC_TO_REJECT),
        Policy::Reject => return,
    };
    let stricter = Planned::text(name, &record.with("p", policy), why).in_state(State::Change);
    draft.prepare(Planned { old: Some(value.to_owned()), ..stricter });
}
