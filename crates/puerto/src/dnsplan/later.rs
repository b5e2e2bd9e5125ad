//! What makes mail to the domain safer once it works: prepared, and off, unless this server
//! serves an MTA-STS policy or its name is signed.

use puerto_mail::dns::RecordType;

use super::existing::{policy_host, tlsa_name};
use super::{Draft, Planned, Said, State, words};
use crate::survey::mtasts::id_for;

/// TLS reports and MTA-STS, where this server takes the domain's mail.
pub(super) fn encryption(draft: &mut Draft<'_>) {
    let (subject, existing) = (draft.subject, draft.existing);
    if !draft.plan.mailboxes.iter().any(|mailbox| mailbox.here) {
        return;
    }
    let domain = &subject.domain;
    let exchangers = &existing.exchangers;
    let is_exchanger = exchangers.iter().any(|(_, host)| *host == subject.exchanger);
    let is_tlsa = !subject.tlsa.is_empty() && (is_exchanger || exchangers.is_empty());
    if !existing.has_tls_reports {
        let value = format!("v=TLSRPTv1; rua=mailto:postmaster@{domain}");
        let name = format!("_smtp._tls.{domain}");
        let record = Planned::text(&name, &value, words::TLS_REPORTS);
        match subject.policy.is_some() || is_tlsa {
            true => draft.add(record),
            false => draft.prepare(record),
        }
    }
    if is_tlsa {
        tlsa(draft);
    }
    if let Some(text) = &subject.policy {
        policy(draft, text);
    } else if existing.mta_sts.is_empty() {
        // A null MX, which is to go, names no host.
        let hosts = existing.exchangers.iter().map(|(_, host)| host.as_str());
        let mut hosts: Vec<&str> = hosts.filter(|host| !host.is_empty()).collect();
        if hosts.is_empty() {
            hosts.push(&subject.exchanger);
        }
        let hosts: Vec<String> = hosts.iter().map(|host| format!("mx: {host}")).collect();
        let file =
            format!("version: STSv1 / mode: testing / {} / max_age: 604800", hosts.join(" / "));
        let why = Said::plain(words::MTA_STS).put("domain", domain).put("file", file);
        draft.prepare(Planned::text(&format!("_mta-sts.{domain}"), "v=STSv1; id=1", why));
    }
}

/// The policy that this server serves: its host, and then the record that announces it.
fn policy(draft: &mut Draft<'_>, text: &str) {
    let (subject, existing) = (draft.subject, draft.existing);
    let domain = &subject.domain;
    let host = policy_host(domain);
    // It is served where this server is reached, be that by an alias.
    if existing.policy_host.is_empty() || !existing.aliases.contains_key(&host) {
        let own = existing.addresses();
        let reached = if own.is_empty() { subject.egress.as_slice() } else { own };
        for address in reached {
            let why = Said::plain(words::MTA_STS_HOST).put("host", &host);
            let is_there = existing.policy_host.contains(address);
            let state = if is_there { State::Keep } else { State::New };
            let kind = RecordType::of_address(*address);
            draft.add(Planned::new(&host, kind, address, why).in_state(state));
        }
        for address in existing.policy_host.iter().filter(|one| !reached.contains(one)) {
            let why = Said::plain(words::MTA_STS_ELSEWHERE).put("host", &host);
            let kind = RecordType::of_address(*address);
            draft.add(Planned::new(&host, kind, address, why).in_state(State::Decide));
        }
    }
    let name = format!("_mta-sts.{domain}");
    let value = format!("v=STSv1; id={};", id_for(text));
    let announced: Vec<String> =
        existing.mta_sts.iter().filter(|text| text.starts_with("v=STSv1")).cloned().collect();
    // One that announces the policy already is right before and after.
    if !subject.is_policy_there && announced.as_slice() != [value.clone()] {
        let why = Said::plain(words::MTA_STS_NOT_YET).put("host", &host);
        return draft.prepare(Planned::text(&name, &value, why));
    }
    let why = Said::plain(words::MTA_STS_OURS).put("host", &host);
    let chosen = announced.iter().position(|text| *text == value).or(Some(0));
    draft.merge(Planned::text(&name, &value, why), &announced, chosen, |_| {
        words::MTA_STS_ONE.into()
    });
}

/// TLSA records of the key in force and of the next. What is of neither goes only when both
/// have been there for a while: what senders still have in their caches must be true as well
/// (RFC 7671 §8.1).
fn tlsa(draft: &mut Draft<'_>) {
    let (subject, existing) = (draft.subject, draft.existing);
    let name = tlsa_name(&subject.exchanger);
    let wanted: Vec<String> = subject.tlsa.iter().map(|hash| format!("3 1 1 {hash}")).collect();
    let are_there = wanted.iter().all(|value| existing.tlsa.contains(value));
    for (at, value) in wanted.iter().enumerate() {
        let why = if at == 0 { words::TLSA_OURS } else { words::TLSA_NEXT };
        let is_there = existing.tlsa.contains(value);
        let state = if is_there { State::Keep } else { State::New };
        draft.add(Planned::new(&name, RecordType::Tlsa, value, why).in_state(state));
    }
    for value in existing.tlsa.iter().filter(|value| !wanted.contains(value)) {
        let (state, why) = match are_there && subject.tlsa.len() == 1 {
            true => (State::Delete, words::TLSA_OLD),
            false => (State::Keep, words::TLSA_STAYS),
        };
        draft.add(Planned::new(&name, RecordType::Tlsa, value, why).in_state(state));
    }
}
