//! The SPF records: that of the domain, mended and edited so that it covers this server
//! or its relay with every other sender kept, and that of the HELO name.
//!
//! [`spf_proposal`] is the one place that says what a record is to be: `puerto check`
//! gives its remedies from here.

use std::net::IpAddr;

use puerto_mail::dns::{Dns, DnsError, RecordType};
use puerto_mail::spf::mend::{self, Mended};
use puerto_mail::spf::{self, Query, Reason, SpfResult, count};

use super::existing::Existing;
use super::overlay::Overlay;
use super::relay::{self, Coverage};
use super::{Draft, Note, Plan, Said, State, Subject, Unread, words};
use crate::config::NextHop;
use crate::lang::Text;

/// Whose mail the record is to let pass.
#[derive(Debug, Clone, Copy)]
pub struct Sender<'a> {
    /// The domain in the reverse-path.
    pub domain: &'a str,
    /// The name in HELO.
    pub hostname: &'a str,
    /// Who takes all our mail instead.
    pub relay: Option<&'a NextHop>,
    /// The addresses that mail leaves from.
    pub egress: &'a [IpAddr],
}

/// What a name's SPF record is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpfProposal {
    /// The record.
    pub text: String,
    /// What is to be said of the record that is there.
    pub mended: Mended,
    /// Why it is proposed; `None` if the record that is there needs no change for us.
    why: Option<Said>,
    /// What is to be known of the relay.
    notes: Vec<Note>,
}

impl SpfProposal {
    fn of(mended: Mended, why: Option<Said>, notes: Vec<Note>) -> Self {
        Self { text: mended.text(), mended, why, notes }
    }

    /// Words of the record of which only the domain's owner knows whether senders are
    /// meant: the proposal is theirs to publish. None where everything is kept.
    pub fn unclear(&self) -> String {
        self.mended.unclear.join(" ")
    }
}

/// What the record of a domain is to be, out of the texts that stand at it. `closed`:
/// also one that says nothing about strangers today is to end in `~all`.
pub async fn spf_proposal<D: Dns>(
    dns: &D,
    sender: &Sender<'_>,
    texts: &[String],
    closed: bool,
) -> Result<SpfProposal, Unread> {
    let domain = sender.domain;
    let mut mended = mended(dns, domain, texts).await?;
    let is_new = !texts.iter().any(|text| mend::is_meant(text));
    if is_new {
        mended = Mended::of_terms(&["~all".to_owned()]);
        if sender.relay.is_none() && sender.egress.is_empty() {
            mended.insert(vec![format!("a:{}", sender.hostname)], None);
        }
    }
    if closed {
        mended = mended.closed();
    }
    let mut notes = Vec::new();
    // Judged by the DNS as it is, since the record may be published before the others.
    let mut present = Overlay::new(dns);
    present.set_text(domain, &mended.text());
    let why = match sender.relay {
        Some(next_hop) => {
            let coverage = relay::find(&present, next_hop).await?;
            cover_relay(&mut notes, domain, &mut mended, coverage, &present).await?
        }
        None => {
            let query =
                |ip| Query::mail_from_text(ip, sender.hostname, &format!("postmaster@{domain}"));
            let why =
                cover_addresses(domain, &mut mended, sender.egress, &mut present, query).await?;
            why.map(|said| match is_new {
                true => Said::plain(words::SPF_FIRST).put("terms", own_terms(&mended)),
                false => said,
            })
        }
    };
    Ok(SpfProposal::of(mended, why, notes))
}

/// The same of the name in HELO, which is judged when the reverse-path is null, as a
/// bounce's is (RFC 7208 §2.4).
pub async fn helo_spf_proposal<D: Dns>(
    dns: &D,
    (host, egress): (&str, &[IpAddr]),
    texts: &[String],
) -> Result<SpfProposal, Unread> {
    if !texts.iter().any(|text| mend::is_meant(text)) {
        let terms = Mended::of_terms(&["a".to_owned(), "-all".to_owned()]);
        let why = Said::plain(words::SPF_HELO).put("name", host);
        return Ok(SpfProposal::of(terms, Some(why), Vec::new()));
    }
    let mut mended = mended(dns, host, texts).await?;
    let mut present = Overlay::new(dns);
    let query = |ip| Query::helo(ip, host);
    let why = cover_addresses(host, &mut mended, egress, &mut present, query).await?;
    Ok(SpfProposal::of(mended, why, Vec::new()))
}

async fn mended<D: Dns>(dns: &D, name: &str, texts: &[String]) -> Result<Mended, Unread> {
    let unread = |error: DnsError| Unread { questions: vec![(format!("SPF {name}"), error)] };
    mend::mend(dns, texts).await.map_err(unread)
}

/// The record of the domain.
pub(super) async fn of_domain<D: Dns>(
    plan: &mut Plan,
    subject: &Subject,
    existing: &Existing,
    future: &mut Overlay<'_, D>,
) -> Result<(), Unread> {
    let domain = subject.domain.as_str();
    let sender = Sender {
        domain,
        hostname: &subject.hostname,
        relay: subject.relay.as_ref(),
        egress: &subject.egress,
    };
    let mut proposal = spf_proposal(future.present(), &sender, &existing.spf, false).await?;
    plan.notes.append(&mut proposal.notes);
    notes(plan, &proposal, existing.spf.is_empty());
    plan.lookups = lookups(existing, domain, &proposal.text, future).await;
    tree_faults(plan, &count::count_text(future, domain, &proposal.text).await, domain);
    future.set_text(domain, &proposal.text);
    let right = match existing.spf.is_empty() {
        true => Said::plain(words::SPF_BY_NAME).put("host", &subject.hostname),
        false => words::SPF_RIGHT.into(),
    };
    publish(plan, existing, domain, (&existing.spf, right), proposal);
    Ok(())
}

/// The record of the HELO name.
pub(super) async fn of_helo_name<D: Dns>(
    plan: &mut Plan,
    subject: &Subject,
    existing: &Existing,
    future: &mut Overlay<'_, D>,
) -> Result<(), Unread> {
    let host = subject.hostname.as_str();
    if subject.relay.is_some() || !subject.has_full_name() || host == subject.domain {
        return Ok(());
    }
    let proposal = helo_spf_proposal(future, (host, &subject.egress), &existing.helo_spf).await?;
    notes(plan, &proposal, existing.helo_spf.is_empty());
    publish(plan, existing, host, (&existing.helo_spf, words::SPF_HELO_RIGHT.into()), proposal);
    Ok(())
}

// One record, in the place of all those that count today.
fn publish(
    plan: &mut Plan,
    existing: &Existing,
    name: &str,
    (present, right): (&[String], Said),
    proposal: SpfProposal,
) {
    let counting: Vec<&String> =
        present.iter().filter(|text| !proposal.mended.beside.contains(text)).collect();
    let value = proposal.text;
    let (state, old) = match counting.as_slice() {
        [] => (State::New, None),
        [only] if **only == value => (State::Keep, None),
        several if several.contains(&&value) => (State::Keep, None),
        several => (State::Change, several.first().map(|text| (*text).clone())),
    };
    let why = match (proposal.why, state) {
        (Some(why), _) => why,
        (None, State::Change) => words::SPF_MENDED.into(),
        (None, _) => right,
    };
    let kind = RecordType::Txt;
    let draft = |value: String, state, old, why| Draft {
        name: name.to_owned(),
        kind,
        value,
        state,
        old,
        why,
    };
    if !proposal.mended.unclear.is_empty() {
        let unclear = proposal.mended.unclear.join(" ");
        let why = Said::plain(words::SPF_UNCLEAR).put("words", unclear);
        return plan.push(existing, draft(value, State::Decide, old, why));
    }
    let why = match state {
        // Only where nothing was taken out of the record that is there.
        State::Change if proposal.mended.opening.is_empty() => {
            Said::of_parts(AND, &[("one", &why), ("other", &words::SPF_KEPT.into())])
        }
        _ => why,
    };
    let replaced = old.clone().unwrap_or_else(|| value.clone());
    plan.push(existing, draft(value, state, old, why));
    for other in counting.into_iter().filter(|text| **text != replaced) {
        let why = words::SPF_SECOND.into();
        plan.push(existing, draft(other.clone(), State::Delete, None, why));
    }
}

const AND: Text = Text::same("{one} {other}");

fn notes(plan: &mut Plan, proposal: &SpfProposal, is_new: bool) {
    let mended = &proposal.mended;
    for (serious, text, terms) in [
        (true, words::SPF_OPENING, &mended.opening),
        (false, words::SPF_SURPLUS, &mended.surplus),
        (true, words::SPF_BESIDE, &mended.beside),
    ] {
        for term in terms {
            plan.note(serious, Said::plain(text).put("term", term));
        }
    }
    for term in mended.unread() {
        plan.note(false, Said::plain(words::SPF_UNREAD).put("term", term));
    }
    if is_new || !mended.is_ajar() {
        return;
    }
    let closed = mended.clone().closed().text();
    match mended.all().map(|term| term.as_bytes().first().copied()) {
        None | Some(Some(b'?')) => {
            plan.note(false, Said::plain(words::SPF_NEUTRAL).put("record", closed));
        }
        Some(_) => plan.note(true, words::SPF_PLUS_ALL),
    }
}

// What the record leads to and nobody can read: to receivers the whole is in error then,
// and only the administrator knows whether that sender is still needed.
fn tree_faults(plan: &mut Plan, tree: &count::Count, domain: &str) {
    for fault in tree.faults.iter().filter(|fault| fault.domain != domain) {
        use count::CountFaultKind::{Loop, Malformed, NoRecord, SeveralRecords};
        let said = match &fault.kind {
            NoRecord => Said::plain(words::SPF_LEADS_NOWHERE),
            SeveralRecords | Malformed(_) => Said::plain(words::SPF_LEADS_TO_FAULT),
            Loop => Said::plain(words::SPF_LEADS_BACK),
            _ => continue,
        };
        plan.note(true, said.put("whose", &fault.domain));
    }
    if tree
        .faults
        .iter()
        .any(|fault| fault.domain == domain && fault.kind == count::CountFaultKind::Loop)
    {
        plan.note(true, Said::plain(words::SPF_LEADS_BACK).put("whose", domain));
    }
}

async fn lookups<D: Dns>(
    existing: &Existing,
    domain: &str,
    text: &str,
    future: &Overlay<'_, D>,
) -> super::Lookups {
    let number = |count: count::Count| {
        let known = count.faults.iter().all(|fault| {
            use count::CountFaultKind::{DependsOnMessage, NoRecord};
            matches!(fault.kind, DependsOnMessage | NoRecord)
        });
        known.then_some(count.lookups)
    };
    let before = match existing.spf.as_slice() {
        [only] => number(count::count_text(future.present(), domain, only).await),
        _ => None,
    };
    let after = number(count::count_text(future, domain, text).await);
    super::Lookups { before, after }
}

/// Makes the record cover addresses; says what was added and why.
async fn cover_addresses<D: Dns>(
    name: &str,
    terms: &mut Mended,
    addresses: &[IpAddr],
    future: &mut Overlay<'_, D>,
    query: impl Fn(IpAddr) -> Query,
) -> Result<Option<Said>, Unread> {
    let mut added = Vec::new();
    for address in addresses {
        future.set_text(name, &terms.text());
        let evaluation = spf::check(future, &query(*address)).await;
        match evaluation.result {
            SpfResult::Pass => continue,
            SpfResult::TempError => return Err(unread(&evaluation)),
            _ => {}
        }
        let term = literal(*address);
        terms.insert(vec![term.clone()], evaluation.decided_by());
        added.push(term);
    }
    future.set_text(name, &terms.text());
    Ok((!added.is_empty()).then(|| Said::plain(words::SPF_ADDED).put("terms", added.join(" "))))
}

fn own_terms(mended: &Mended) -> String {
    let is_all = |term: &&String| Some(term.as_str()) == mended.all();
    mended.terms().iter().filter(|term| !is_all(term)).cloned().collect::<Vec<_>>().join(" ")
}

pub(super) fn literal(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => format!("ip4:{address}"),
        IpAddr::V6(address) => format!("ip6:{address}"),
    }
}

// The include that failed is what the administrator has to look at.
fn unread(evaluation: &spf::Evaluation) -> Unread {
    let mut trace = &evaluation.trace;
    while let Some(nested) = trace.steps.last().and_then(|step| step.nested.as_deref()) {
        trace = nested;
    }
    let reason = trace.steps.last().and_then(|step| step.reason.as_ref());
    let (name, error) = match reason.or(trace.problem.as_ref()) {
        Some(Reason::Asked(name, error)) => (name, error.clone()),
        Some(Reason::Dns(error)) => (&trace.domain, error.clone()),
        _ => (&trace.domain, DnsError::Timeout),
    };
    Unread { questions: vec![(format!("SPF {name}"), error)] }
}

async fn cover_relay<D: Dns>(
    notes: &mut Vec<Note>,
    domain: &str,
    terms: &mut Mended,
    coverage: Coverage,
    future: &Overlay<'_, D>,
) -> Result<Option<Said>, Unread> {
    let mut note = |serious, text: Text, relay: String| {
        notes.push(Note { serious, text: Said::plain(text).put("relay", relay) });
    };
    let (term, decides, said) = match coverage {
        Coverage::Include { term, provider } => {
            let tree = count::count_text(future, domain, &terms.text()).await;
            if tree.terms.iter().any(|counted| counted.term.eq_ignore_ascii_case(&term)) {
                return Ok(Some(Said::plain(words::SPF_RELAY_RIGHT).put("relay", provider)));
            }
            (term, None, Said::plain(words::SPF_RELAY_PROVIDER).put("relay", provider))
        }
        Coverage::Addresses { term, relay, addresses } => {
            let sender = format!("postmaster@{domain}");
            let mut refused = None;
            for address in &addresses {
                let query = Query::mail_from_text(*address, &relay, &sender);
                let evaluation = spf::check(future, &query).await;
                match evaluation.result {
                    SpfResult::TempError => return Err(unread(&evaluation)),
                    SpfResult::Pass => {}
                    _ => refused = refused.or(Some(evaluation)),
                }
            }
            note(false, words::RELAY_MAY_DIFFER, relay.clone());
            let Some(refused) = refused else {
                return Ok(Some(Said::plain(words::SPF_RELAY_RIGHT).put("relay", relay)));
            };
            let decides = refused.decided_by().map(str::to_owned);
            // A name asks the DNS once more: where the limit is reached, addresses do not.
            let tree = count::count_text(future, domain, &terms.text()).await;
            if tree.lookups >= spf::MAX_LOOKUPS {
                let fixed: Vec<String> = addresses.iter().map(|one| literal(*one)).collect();
                let said = Said::plain(words::SPF_RELAY_FIXED).put("relay", relay);
                let said = said.put("term", fixed.join(" "));
                terms.insert(fixed, decides.as_deref());
                return Ok(Some(said));
            }
            (term, decides, Said::plain(words::SPF_RELAY_HOST).put("relay", relay))
        }
        Coverage::Private { relay } => {
            note(true, words::RELAY_PRIVATE, relay);
            return Ok(None);
        }
        Coverage::Nowhere { relay } => {
            note(true, words::RELAY_NOWHERE, relay);
            return Ok(None);
        }
    };
    terms.insert(vec![term.clone()], decides.as_deref());
    Ok(Some(said.put("term", term)))
}
