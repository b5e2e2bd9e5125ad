//! The SPF records: that of the domain, mended and edited so that it covers this server
//! or its relay with every other sender kept, and that of the HELO name.
//!
//! [`spf_proposal`] is the one place that says what a record is to be: `puerto check`
//! gives its remedies from here.

use std::net::IpAddr;

use puerto_mail::dns::{Dns, DnsError};
use puerto_mail::spf::mend::{self, Mended};
use puerto_mail::spf::{self, Query, Reason, SpfResult, count};

use super::overlay::Overlay;
use super::subject::is_full_name;
use super::{Draft, Planned, Said, State, Unread, words};
use crate::config::{NextHop, NextHopHost};
use crate::finding::{Finding, Kind};
use crate::survey::address::is_public;
use crate::survey::names::ascii;
use crate::survey::relayhost;

/// Whose mail the record is to let pass.
#[derive(Debug, Clone, Copy)]
pub struct Sender<'a> {
    /// The domain in the reverse-path.
    pub domain: &'a str,
    /// The name in HELO.
    pub hostname: &'a str,
    /// Who takes all our mail instead.
    pub relay: Option<&'a NextHop>,
    /// Who takes what is refused for them.
    pub rescue: Option<&'a NextHop>,
    /// The addresses that mail leaves from.
    pub egress: &'a [IpAddr],
}

/// What a name's SPF record is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpfProposal {
    /// The text to publish.
    pub text: String,
    /// What is to be said of the record that is there.
    pub mended: Mended,
    /// Why it is proposed; `None` if the record that is there needs no change for us.
    why: Option<Said>,
    /// What is to be known of the relay.
    notes: Vec<Finding>,
    /// What was added so that mail by the rescue route passes.
    pub for_rescue: Option<String>,
    /// It would be the first record, and nobody knows whom it is to let pass: to publish it
    /// would be to disown all mail of the domain.
    pub is_blind: bool,
}

impl SpfProposal {
    fn of(mended: Mended, why: Option<Said>, notes: Vec<Finding>) -> Self {
        Self { text: mended.text(), mended, why, notes, for_rescue: None, is_blind: false }
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
        Some(relay) => {
            let covered = cover_relay(&mut notes, (domain, &mut mended), relay, &present).await?;
            covered.map(|covered| match covered {
                Covered::Already(relay) => Said::plain(words::SPF_RELAY_RIGHT).put("relay", relay),
                Covered::By(way, relay, term) => way.of_all(relay, term),
            })
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
    let is_blind = is_new && sender.relay.is_some() && why.is_none();
    let mut for_rescue = None;
    let mut reasons: Vec<Said> = why.into_iter().collect();
    if let Some(rescue) = sender.rescue.filter(|_| sender.relay.is_none()) {
        present.set_text(domain, &mended.text());
        let covered = cover_relay(&mut notes, (domain, &mut mended), rescue, &present).await?;
        if let Some(Covered::By(way, relay, term)) = covered {
            for_rescue = Some(term.clone());
            reasons.push(way.of_refused(relay, term));
        }
    }
    let why = (!reasons.is_empty()).then(|| Said::joined(&reasons, " "));
    Ok(SpfProposal { is_blind, for_rescue, ..SpfProposal::of(mended, why, notes) })
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
    draft: &mut Draft<'_>,
    future: &mut Overlay<'_, D>,
) -> Result<(), Unread> {
    let (subject, present) = (draft.subject, draft.existing.spf.as_slice());
    let (domain, hostname) = (subject.domain.as_str(), subject.hostname.as_str());
    let (relay, egress) = (subject.relay.as_ref(), subject.egress.as_slice());
    let rescue = subject.rescue.as_ref();
    let sender = Sender { domain, hostname, relay, rescue, egress };
    let mut proposal = spf_proposal(future.present(), &sender, present, false).await?;
    draft.plan.notes.append(&mut proposal.notes);
    if proposal.is_blind {
        return Ok(());
    }
    notes(draft, &proposal, present.is_empty());
    let before = match present {
        [only] => lookups(&count::count_text(future.present(), domain, only).await),
        _ => None,
    };
    let tree = count::count_text(future, domain, &proposal.text).await;
    draft.plan.lookups = super::Lookups { before, after: lookups(&tree) };
    tree_faults(draft, &tree);
    future.set_text(domain, &proposal.text);
    let right = match present.is_empty() {
        true => Said::plain(words::SPF_BY_NAME).put("host", hostname),
        false => words::SPF_RIGHT.into(),
    };
    publish(draft, domain, (present, right), proposal);
    Ok(())
}

/// The records of the HELO names.
pub(super) async fn of_helo_names<D: Dns>(
    draft: &mut Draft<'_>,
    future: &mut Overlay<'_, D>,
) -> Result<(), Unread> {
    let (subject, existing) = (draft.subject, draft.existing);
    if subject.relay.is_some() {
        return Ok(());
    }
    for (host, (_, present)) in subject.hosts().iter().zip(&existing.hosts) {
        let name = host.name.as_str();
        if !is_full_name(name) || name == subject.domain {
            continue;
        }
        let proposal = helo_spf_proposal(future, (name, &host.addresses), present).await?;
        notes(draft, &proposal, present.is_empty());
        publish(draft, name, (present, words::SPF_HELO_RIGHT.into()), proposal);
    }
    Ok(())
}

// One record, in the place of all those that count today.
fn publish(
    draft: &mut Draft<'_>,
    name: &str,
    (present, right): (&[String], Said),
    proposal: SpfProposal,
) {
    let SpfProposal { text, mended, why, .. } = &proposal;
    let counting = present.iter().filter(|text| !mended.beside.contains(text));
    let counting: Vec<String> = counting.cloned().collect();
    let chosen = counting.iter().position(|present| present == text);
    let changed = counting.first().filter(|_| chosen.is_none());
    if !mended.unclear.is_empty() {
        let why = Said::plain(words::SPF_UNCLEAR).put("words", proposal.unclear());
        let record = Planned::text(name, text, why).in_state(State::Decide);
        return draft.add(Planned { old: changed.cloned(), ..record });
    }
    let mut why = why.clone().unwrap_or_else(|| match changed {
        Some(_) => words::SPF_MENDED.into(),
        None => right,
    });
    // Only where nothing was taken out of the record that is there.
    if changed.is_some() && mended.opening.is_empty() {
        why = Said::joined(&[why, words::SPF_KEPT.into()], " ");
    }
    let chosen = chosen.or(changed.map(|_| 0));
    let record = Planned::text(name, text, why);
    draft.merge(record, &counting, chosen, |_| words::SPF_SECOND.into());
}

fn notes(draft: &mut Draft<'_>, proposal: &SpfProposal, is_new: bool) {
    let mended = &proposal.mended;
    let unread: Vec<_> = mended.unread().into_iter().map(ToString::to_string).collect();
    for (kind, terms) in [
        (words::SPF_OPENING, &mended.opening),
        (words::SPF_SURPLUS, &mended.surplus),
        (words::SPF_BESIDE, &mended.beside),
        (words::SPF_UNREAD, &unread),
    ] {
        terms.iter().for_each(|term| draft.note(kind.put("term", term)));
    }
    if is_new || !mended.is_ajar() {
        return;
    }
    let closed = mended.clone().closed().text();
    match mended.all().map(|term| term.as_bytes().first().copied()) {
        None | Some(Some(b'?')) => {
            draft.note(words::SPF_NEUTRAL.put("record", closed));
        }
        Some(_) => draft.note(words::SPF_PLUS_ALL),
    }
}

// What the record leads to and nobody can read: to receivers the whole is in error then,
// and only the administrator knows whether that sender is still needed.
fn tree_faults(draft: &mut Draft<'_>, tree: &count::Count) {
    use count::CountFaultKind::{Loop, Malformed, NoRecord, SeveralRecords};
    let domain = &draft.subject.domain;
    let (own, others): (Vec<_>, Vec<_>) =
        tree.faults.iter().partition(|fault| fault.domain == *domain);
    for fault in others {
        let kind = match &fault.kind {
            NoRecord => words::SPF_LEADS_NOWHERE,
            SeveralRecords | Malformed(_) => words::SPF_LEADS_TO_FAULT,
            Loop => words::SPF_LEADS_BACK,
            _ => continue,
        };
        draft.note(kind.put("whose", &fault.domain));
    }
    if own.iter().any(|fault| fault.kind == Loop) {
        draft.note(words::SPF_LEADS_BACK.put("whose", domain));
    }
}

// How often a record's tree asks the DNS, if all of it is known.
fn lookups(tree: &count::Count) -> Option<u32> {
    use count::CountFaultKind::{DependsOnMessage, NoRecord};
    let is_known = |kind: &_| matches!(kind, DependsOnMessage | NoRecord);
    tree.faults.iter().all(|fault| is_known(&fault.kind)).then_some(tree.lookups)
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

fn literal(address: IpAddr) -> String {
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

/// How a record covers a relay.
enum Covered {
    /// It did.
    Already(String),
    /// By a term that was added.
    By(Way, String, String),
}

/// What such a term stands for.
#[derive(Clone, Copy)]
enum Way {
    Provider,
    Host,
    Fixed,
}

impl Way {
    // Where all mail leaves through the relay.
    fn of_all(self, relay: String, term: String) -> Said {
        let text = match self {
            Self::Provider => words::SPF_RELAY_PROVIDER,
            Self::Host => words::SPF_RELAY_HOST,
            Self::Fixed => words::SPF_RELAY_FIXED,
        };
        Said::plain(text).put("relay", relay).put("term", term)
    }

    // Where what is refused elsewhere does.
    fn of_refused(self, relay: String, term: String) -> Said {
        let text = match self {
            Self::Provider => words::SPF_RESCUE_PROVIDER,
            Self::Host => words::SPF_RESCUE_HOST,
            Self::Fixed => words::SPF_RESCUE_FIXED,
        };
        Said::plain(text).put("relay", relay).put("term", term)
    }
}

/// Makes the record cover a relay; `None` where it is not known by what.
///
/// The addresses that a relay takes mail in at are often not those that it sends
/// from. The large services publish those that they send from in a record to be
/// included, by which they are covered.
async fn cover_relay<D: Dns>(
    notes: &mut Vec<Finding>,
    (domain, terms): (&str, &mut Mended),
    next_hop: &NextHop,
    future: &Overlay<'_, D>,
) -> Result<Option<Covered>, Unread> {
    let relay = match &next_hop.host {
        NextHopHost::Address(address) => address.to_string(),
        NextHopHost::Mx(name) | NextHopHost::Name(name) => name.clone(),
    };
    let mut note = |kind: Kind| notes.push(kind.put("relay", &relay));
    let tree = count::count_text(future, domain, &terms.text()).await;
    if let Some(record) = relayhost::service(next_hop).and_then(|service| service.spf) {
        let term = format!("include:{record}");
        if tree.terms.iter().any(|counted| counted.term.eq_ignore_ascii_case(&term)) {
            return Ok(Some(Covered::Already(relay)));
        }
        terms.insert(vec![term.clone()], None);
        return Ok(Some(Covered::By(Way::Provider, relay, term)));
    }
    let way = relayhost::way(future, next_hop).await;
    let relayhost::Way { by_mx, addresses } =
        way.map_err(|question| Unread { questions: vec![question] })?;
    if !addresses.iter().any(|address| is_public(*address)) {
        let is_nowhere = addresses.is_empty();
        note(if is_nowhere { words::RELAY_NOWHERE } else { words::RELAY_PRIVATE });
        return Ok(None);
    }
    note(words::RELAY_MAY_DIFFER);
    let mut refused = None;
    for address in &addresses {
        let query = Query::mail_from_text(*address, &relay, &format!("postmaster@{domain}"));
        let evaluation = spf::check(future, &query).await;
        match evaluation.result {
            SpfResult::TempError => return Err(unread(&evaluation)),
            SpfResult::Pass => {}
            _ => refused = refused.or(Some(evaluation)),
        }
    }
    let Some(refused) = refused else { return Ok(Some(Covered::Already(relay))) };
    // A name asks the DNS once more: where the limit is reached, addresses do not.
    let (added, way) = match &next_hop.host {
        NextHopHost::Address(address) => (vec![literal(*address)], Way::Host),
        _ if tree.lookups >= spf::MAX_LOOKUPS => {
            (addresses.iter().map(|one| literal(*one)).collect(), Way::Fixed)
        }
        _ if by_mx => (vec![format!("mx:{}", ascii(&relay))], Way::Host),
        _ => (vec![format!("a:{}", ascii(&relay))], Way::Host),
    };
    let term = added.join(" ");
    terms.insert(added, refused.decided_by());
    Ok(Some(Covered::By(way, relay, term)))
}
