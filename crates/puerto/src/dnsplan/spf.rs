//! The SPF records: that of the domain, edited so that it covers this server or its
//! relay with every other sender kept, and that of the HELO name.

use std::net::IpAddr;

use puerto_mail::dns::{Dns, RecordType};
use puerto_mail::spf::{self, Outcome, Query, SpfResult, count};

use super::existing::Existing;
use super::overlay::Overlay;
use super::relay::{self, Coverage};
use super::{Draft, Plan, Said, State, Subject, Unread, words};

/// The terms of one record, to be added to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Terms(Vec<String>);

impl Terms {
    /// The terms of the records of one name as one record: each once, in their order,
    /// and the mildest `all`, since what one record lets pass it must go on letting
    /// pass. Terms that cannot be read are left out and returned, for they make the
    /// whole record worthless (RFC 7208 §4.6).
    pub(super) fn merge(records: &[String]) -> (Self, Vec<String>) {
        let mut terms: Vec<String> = Vec::new();
        let mut left_out = Vec::new();
        let mut ends: Vec<String> = Vec::new();
        let meant: Vec<String> =
            records.iter().filter_map(|record| spf::repair::meant(record)).collect();
        for term in meant.iter().flat_map(|record| record.split_whitespace().skip(1)) {
            let known = terms.iter().chain(&ends).any(|other| other.eq_ignore_ascii_case(term));
            if spf::check_syntax(format!("v=spf1 {term}").as_bytes()).is_err() {
                left_out.push(term.to_owned());
            } else if is_end(term) && (records.len() > 1 || is_all(term)) {
                ends.push(term.to_owned());
            } else if !known {
                terms.push(term.to_owned());
            }
        }
        let all = ends.iter().filter(|term| is_all(term)).min_by_key(|term| severity(term));
        let redirects: Vec<&String> = ends.iter().filter(|term| !is_all(term)).collect();
        match (all, redirects.as_slice()) {
            (None, [only]) => terms.push((*only).clone()),
            (all, several) => {
                // Where one record ends and another goes on elsewhere, what the other
                // leads to is asked on the way.
                for redirect in several.iter().filter_map(|term| term.get("redirect=".len()..)) {
                    terms.push(format!("include:{redirect}"));
                }
                if let Some(all) = all {
                    let modifiers = terms.iter().position(|term| is_modifier(term));
                    terms.insert(modifiers.unwrap_or(terms.len()), all.clone());
                }
            }
        }
        (Self(terms), left_out)
    }

    /// Puts terms in front of `matched`, the term that decides today, or else at the
    /// end of those that are tried.
    pub(super) fn insert(&mut self, new: Vec<String>, matched: Option<&str>) {
        // What stands further behind, where it was not reached, need not stand twice.
        self.0.retain(|term| !new.contains(term) || Some(term.as_str()) == matched);
        let decides = matched.and_then(|term| self.0.iter().position(|other| other == term));
        let last = || self.0.iter().position(|term| is_all(term) || is_modifier(term));
        let at = decides.or_else(last).unwrap_or(self.0.len());
        self.0.splice(at..at, new);
    }

    /// The record.
    pub(super) fn text(&self) -> String {
        std::iter::once("v=spf1")
            .chain(self.0.iter().map(String::as_str))
            .collect::<Vec<_>>()
            .join(" ")
    }

    /// The record; a single one that has just these terms already stays to the letter.
    fn text_beside(&self, present: &[String]) -> String {
        match present {
            [only]
                if spf::is_record(only.as_bytes())
                    && only.split_whitespace().skip(1).eq(self.0.iter()) =>
            {
                only.clone()
            }
            _ => self.text(),
        }
    }

    /// The qualifier of `all`, as it is written.
    pub(super) fn all(&self) -> Option<&str> {
        self.0.iter().map(String::as_str).find(|term| is_all(term))
    }

    fn has_redirect(&self) -> bool {
        self.0.iter().any(|term| is_end(term) && !is_all(term))
    }
}

fn is_all(term: &str) -> bool {
    term.trim_start_matches(['+', '-', '~', '?']).eq_ignore_ascii_case("all")
}

fn is_modifier(term: &str) -> bool {
    term.split_once('=').is_some_and(|(name, _)| !name.contains([':', '/']))
}

// What decides for everybody whom no term has matched.
fn is_end(term: &str) -> bool {
    is_all(term) || term.get(..9).is_some_and(|name| name.eq_ignore_ascii_case("redirect="))
}

// +all is the mildest, and yet never chosen over another: it lets everybody pass.
fn severity(all: &str) -> u8 {
    match all.as_bytes().first() {
        Some(b'?') => 0,
        Some(b'~') => 1,
        Some(b'-') => 2,
        _ => 3,
    }
}

/// The record of the domain.
pub(super) async fn of_domain<D: Dns>(
    plan: &mut Plan,
    subject: &Subject,
    existing: &Existing,
    future: &mut Overlay<'_, D>,
) -> Result<(), Unread> {
    let domain = &subject.domain;
    let (mut terms, left_out) = Terms::merge(&existing.spf);
    if existing.spf.is_empty() {
        terms = Terms(vec!["~all".to_owned()]);
        if subject.relay.is_none() && subject.egress.is_empty() {
            terms.insert(vec![format!("a:{}", subject.hostname)], None);
        }
    }
    // Judged by the DNS as it is, since the record may be published before the others.
    let mut present = Overlay::new(future.present());
    present.set_text(domain, &terms.text());
    let why = match &subject.relay {
        Some(next_hop) => {
            let coverage = relay::find(&present, next_hop).await?;
            cover_relay(plan, subject, &mut terms, coverage, &present).await?
        }
        None => {
            let query =
                |ip| Query::mail_from_text(ip, &subject.hostname, &format!("postmaster@{domain}"));
            cover_addresses(domain, &mut terms, &subject.egress, &mut present, query).await?
        }
    };
    let why = why.map(|said| match (&subject.relay, existing.spf.is_empty()) {
        (None, true) => Said::plain(words::SPF_FIRST).put("terms", new_terms(&terms)),
        _ => said,
    });
    let first = existing.spf.first().map(String::as_str);
    notes(plan, &terms, &left_out, first);
    let text = terms.text_beside(&existing.spf);
    plan.lookups = lookups(existing, domain, &text, future).await;
    tree_faults(plan, &count::count_text(future, domain, &text).await, domain);
    future.set_text(domain, &text);
    let why = why.unwrap_or_else(|| match (first, existing.spf.len()) {
        (Some(first), 1) if first == text => words::SPF_RIGHT.into(),
        (None, _) => Said::plain(words::SPF_BY_NAME).put("host", &subject.hostname),
        _ => words::SPF_MENDED.into(),
    });
    publish(plan, existing, domain, &existing.spf, (text, why));
    Ok(())
}

// One record, in the place of all those that exist.
fn publish(
    plan: &mut Plan,
    existing: &Existing,
    name: &str,
    present: &[String],
    new: (String, Said),
) {
    let (value, why) = new;
    let state = match present.first() {
        None => State::New,
        Some(_) if present.contains(&value) => State::Keep,
        Some(_) => State::Change,
    };
    let old = present.first().filter(|_| state == State::Change).cloned();
    let replaced = old.clone().unwrap_or_else(|| value.clone());
    let (name, kind) = (name.to_owned(), RecordType::Txt);
    plan.push(&existing.zones, Draft { name: name.clone(), kind, value, state, old, why });
    let mut kept = false;
    for other in present {
        if *other == replaced && !kept {
            kept = true;
            continue;
        }
        let why = words::SPF_SECOND.into();
        let (name, value) = (name.clone(), other.clone());
        plan.push(
            &existing.zones,
            Draft { name, kind, value, state: State::Delete, old: None, why },
        );
    }
}

fn notes(plan: &mut Plan, terms: &Terms, left_out: &[String], present: Option<&str>) {
    for term in left_out {
        plan.note(true, Said::plain(words::SPF_LEFT_OUT).put("term", term));
    }
    let Some(_) = present else { return };
    match terms.all().map(|term| term.as_bytes().first().copied()) {
        Some(Some(b'-' | b'~')) => {}
        Some(Some(b'?')) => plan.note(false, words::SPF_NEUTRAL),
        Some(_) => plan.note(true, words::SPF_PLUS_ALL),
        None if terms.has_redirect() => {}
        None => plan.note(false, words::SPF_NEUTRAL),
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
    terms: &mut Terms,
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
        terms.insert(vec![term.clone()], decided_by(&evaluation));
        added.push(term);
    }
    future.set_text(name, &terms.text());
    Ok((!added.is_empty()).then(|| Said::plain(words::SPF_ADDED).put("terms", added.join(" "))))
}

fn new_terms(terms: &Terms) -> String {
    let terms = terms.0.iter().filter(|term| !is_all(term)).map(String::as_str);
    terms.collect::<Vec<_>>().join(" ")
}

fn literal(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => format!("ip4:{address}"),
        IpAddr::V6(address) => format!("ip6:{address}"),
    }
}

// The term of the record itself that matched or failed.
fn decided_by(evaluation: &spf::Evaluation) -> Option<&str> {
    let step = evaluation.trace.steps.last()?;
    (!matches!(step.outcome, Outcome::NoMatch)).then_some(step.term.as_str())
}

// The include that failed is what the administrator has to look at.
fn unread(evaluation: &spf::Evaluation) -> Unread {
    let mut trace = &evaluation.trace;
    while let Some(nested) = trace.steps.last().and_then(|step| step.nested.as_deref()) {
        trace = nested;
    }
    let reason = trace.steps.last().and_then(|step| step.reason.clone());
    let reason = reason.or_else(|| trace.problem.clone()).unwrap_or_else(|| "temperror".to_owned());
    let error = puerto_mail::dns::DnsError::Failure(reason);
    Unread { questions: vec![(format!("SPF {}", trace.domain), error)] }
}

async fn cover_relay<D: Dns>(
    plan: &mut Plan,
    subject: &Subject,
    terms: &mut Terms,
    coverage: Coverage,
    future: &Overlay<'_, D>,
) -> Result<Option<Said>, Unread> {
    let domain = &subject.domain;
    let (term, said) = match coverage {
        Coverage::Include { term, provider } => {
            let tree = count::count_text(future, domain, &terms.text()).await;
            if tree.terms.iter().any(|counted| counted.term.eq_ignore_ascii_case(&term)) {
                return Ok(Some(Said::plain(words::SPF_RELAY_RIGHT).put("relay", provider)));
            }
            let said = Said::plain(words::SPF_RELAY_PROVIDER).put("relay", provider);
            (term, said)
        }
        Coverage::Addresses { term, relay, addresses } => {
            let sender = format!("postmaster@{domain}");
            let mut missing = false;
            for address in &addresses {
                let query = Query::mail_from_text(*address, &relay, &sender);
                let evaluation = spf::check(future, &query).await;
                match evaluation.result {
                    SpfResult::TempError => return Err(unread(&evaluation)),
                    SpfResult::Pass => {}
                    _ => missing = true,
                }
            }
            plan.note(false, Said::plain(words::RELAY_MAY_DIFFER).put("relay", &relay));
            if !missing {
                return Ok(Some(Said::plain(words::SPF_RELAY_RIGHT).put("relay", relay)));
            }
            // A name asks the DNS once more: where the limit is reached, addresses do not.
            let tree = count::count_text(future, domain, &terms.text()).await;
            if tree.lookups >= spf::MAX_LOOKUPS {
                let fixed: Vec<String> = addresses.iter().map(|one| literal(*one)).collect();
                let said = Said::plain(words::SPF_RELAY_FIXED).put("relay", relay);
                let said = said.put("term", fixed.join(" "));
                terms.insert(fixed, None);
                return Ok(Some(said));
            }
            (term, Said::plain(words::SPF_RELAY_HOST).put("relay", relay))
        }
        Coverage::Private { relay } => {
            plan.note(true, Said::plain(words::RELAY_PRIVATE).put("relay", relay));
            return Ok(None);
        }
        Coverage::Nowhere { relay } => {
            plan.note(true, Said::plain(words::RELAY_NOWHERE).put("relay", relay));
            return Ok(None);
        }
    };
    terms.insert(vec![term.clone()], None);
    Ok(Some(said.put("term", term)))
}

/// The record of the HELO name, which is judged when the reverse-path is null, as a
/// bounce's is (RFC 7208 §2.4).
pub(super) async fn of_helo_name<D: Dns>(
    plan: &mut Plan,
    subject: &Subject,
    existing: &Existing,
    future: &mut Overlay<'_, D>,
) -> Result<(), Unread> {
    let host = &subject.hostname;
    if subject.relay.is_some() || !subject.has_full_name() || *host == subject.domain {
        return Ok(());
    }
    let (text, why) = if existing.helo_spf.is_empty() {
        ("v=spf1 a -all".to_owned(), Said::plain(words::SPF_HELO).put("name", host))
    } else {
        let (mut terms, left_out) = Terms::merge(&existing.helo_spf);
        let query = |ip| Query::helo(ip, host);
        let added = cover_addresses(host, &mut terms, &subject.egress, future, query).await?;
        notes(plan, &terms, &left_out, existing.helo_spf.first().map(String::as_str));
        (
            terms.text_beside(&existing.helo_spf),
            added.unwrap_or_else(|| words::SPF_HELO_RIGHT.into()),
        )
    };
    publish(plan, existing, host, &existing.helo_spf, (text, why));
    Ok(())
}
