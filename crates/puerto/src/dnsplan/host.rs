//! The host's own records: its addresses, who takes mail for the domain, and the
//! reverse records.

use std::net::IpAddr;

use puerto_mail::dns::{Dns, Record, RecordType, reverse_name};

use super::existing::Existing;
use super::overlay::Overlay;
use super::{Draft, Mailbox, Plan, Reverse, Said, State, Subject, words};

/// A and AAAA of the host name.
pub(super) fn addresses<D: Dns>(
    plan: &mut Plan,
    subject: &Subject,
    existing: &Existing,
    future: &mut Overlay<'_, D>,
) {
    if subject.relay.is_some() {
        return;
    }
    if !subject.has_full_name() {
        plan.note(true, Said::plain(words::NO_FULL_NAME).put("name", &subject.hostname));
        return;
    }
    if let Some(target) = existing.aliases.get(&subject.hostname) {
        let said = Said::plain(words::HOST_IS_ALIAS);
        plan.note(true, said.put("name", &subject.hostname).put("target", target));
    }
    for kind in [RecordType::A, RecordType::Aaaa] {
        let is_kind = |address: &&IpAddr| address.is_ipv4() == (kind == RecordType::A);
        let present: Vec<IpAddr> = existing.addresses.iter().filter(is_kind).copied().collect();
        let wanted: Vec<IpAddr> = subject.egress.iter().filter(is_kind).copied().collect();
        let mut all = present.clone();
        for address in &wanted {
            let state = if present.contains(address) { State::Keep } else { State::New };
            let why = Said::plain(words::HOST_ADDRESS).put("address", address);
            plan.push(existing, draft(&subject.hostname, kind, address, state, why));
            if state == State::New {
                all.push(*address);
            }
        }
        let strange: Vec<String> = present
            .iter()
            .filter(|address| !wanted.contains(address))
            .map(ToString::to_string)
            .collect();
        // An address that mail does not leave from is no fault, but one of a family
        // that mail does leave by may be this server's old one.
        if !wanted.is_empty() && !strange.is_empty() {
            let said = Said::plain(words::OTHER_ADDRESS).put("name", &subject.hostname);
            plan.note(false, said.put("addresses", strange.join(", ")));
        }
        future.set(&subject.hostname, kind, all.into_iter().map(Record::Address).collect());
    }
}

/// MX of the domain, and the mailboxes that must exist where it points to.
pub(super) fn exchangers<D: Dns>(
    plan: &mut Plan,
    subject: &Subject,
    existing: &Existing,
    future: &mut Overlay<'_, D>,
) {
    let domain = &subject.domain;
    let ours = |host: &str| host == subject.exchanger || host == subject.hostname;
    let written = |preference: u16, host: &str| match host {
        "" => format!("{preference} ."),
        host => format!("{preference} {host}"),
    };
    let proposed = written(10, &subject.exchanger);
    let refuses_all = existing.exchangers.iter().any(|(_, host)| host.is_empty());
    let mut here = existing.exchangers.iter().any(|(_, host)| ours(host));
    if existing.exchangers.is_empty() {
        if subject.receives {
            here = true;
            let why = Said::plain(words::MX_NEW).put("domain", domain);
            plan.push(existing, draft(domain, RecordType::Mx, &proposed, State::New, why));
            let record = Record::Mx(10, subject.exchanger.clone());
            future.set(domain, RecordType::Mx, vec![record]);
        } else if existing.has_address {
            plan.note(false, Said::plain(words::MX_IMPLICIT).put("domain", domain));
        } else {
            plan.note(true, Said::plain(words::MX_MISSING).put("domain", domain));
        }
    }
    for (preference, host) in &existing.exchangers {
        let value = written(*preference, host);
        let (state, why) = match host.as_str() {
            "" => (State::Delete, Said::plain(words::MX_NULL).put("domain", domain)),
            host if ours(host) => (State::Keep, Said::plain(words::MX_OURS)),
            host => (State::Keep, Said::plain(words::MX_OTHER).put("host", host)),
        };
        plan.push(existing, draft(domain, RecordType::Mx, value, state, why));
    }
    if refuses_all && subject.receives {
        here = true;
        let why = Said::plain(words::MX_NEW).put("domain", domain);
        plan.push(existing, draft(domain, RecordType::Mx, &proposed, State::New, why));
    } else if refuses_all && existing.exchangers.len() == 1 && !existing.has_address {
        plan.note(true, Said::plain(words::MX_MISSING).put("domain", domain));
    }
    if subject.receives && !here {
        plan.note(false, Said::plain(words::MX_ELSEWHERE).put("domain", domain));
    }
    for (name, why) in [("postmaster", words::POSTMASTER), ("abuse", words::ABUSE)] {
        let address = format!("{name}@{domain}");
        let reached = subject.reached.iter().find(|(known, _)| *known == name);
        let exists = reached.and_then(|(_, exists)| *exists).filter(|_| here && subject.receives);
        let place = match (here, exists) {
            (false, _) => words::MAILBOX_ELSEWHERE,
            (true, Some(true)) => words::MAILBOX_EXISTS,
            (true, Some(false)) => words::MAILBOX_MISSING,
            (true, None) => words::MAILBOX_HERE,
        };
        let place = Said::plain(place).put("name", name);
        plan.mailboxes.push(Mailbox { address, here, exists, why: why.into(), place });
    }
}

fn draft(name: &str, kind: RecordType, value: impl ToString, state: State, why: Said) -> Draft {
    Draft { name: name.to_owned(), kind, value: value.to_string(), state, old: None, why }
}

/// PTR of each address that mail leaves from.
pub(super) fn reverse(plan: &mut Plan, subject: &Subject, existing: &Existing) {
    if subject.relay.is_some() {
        plan.note(false, Said::plain(words::REVERSE_OF_RELAY));
        return;
    }
    if !subject.has_full_name() {
        return;
    }
    for (address, found) in subject.egress.iter().zip(&existing.names) {
        let value = subject.hostname.clone();
        let (state, old) = match found {
            Err(_) => (None, Vec::new()),
            Ok(names) if names.contains(&value) => (Some(State::Keep), names.clone()),
            Ok(names) if names.is_empty() => (Some(State::New), Vec::new()),
            Ok(names) => (Some(State::Change), names.clone()),
        };
        let text = match (state, old.len()) {
            (None, _) => words::PTR_UNREAD,
            (Some(State::Keep), 0 | 1) => words::PTR_RIGHT,
            (Some(State::Keep), _) => words::PTR_SEVERAL,
            _ => words::PTR_WANTED,
        };
        let put = |text| Said::plain(text).put("address", address).put("name", &value);
        let request = (state != Some(State::Keep)).then(|| put(words::PTR_REQUEST));
        let why = put(text);
        let name = reverse_name(*address);
        plan.reverse.push(Reverse { address: *address, name, value, state, old, why, request });
    }
}
