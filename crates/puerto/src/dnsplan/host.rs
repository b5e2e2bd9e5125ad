//! The host's own records: its addresses, who takes mail for the domain, and the
//! reverse records.

use std::net::IpAddr;

use puerto_mail::dns::{Dns, Record, RecordType, reverse_name};

use super::overlay::Overlay;
use super::subject::is_full_name;
use super::{Draft, Mailbox, Planned, Reverse, Said, State, words};
use crate::survey::egress::{self, Host};

/// A and AAAA of each name in EHLO: those of the addresses that go by it.
pub(super) fn addresses<D: Dns>(draft: &mut Draft<'_>, future: &mut Overlay<'_, D>) {
    let (subject, existing) = (draft.subject, draft.existing);
    if subject.relay.is_some() {
        return;
    }
    for (host, (found, _)) in subject.hosts().iter().zip(&existing.hosts) {
        addresses_of(draft, future, host, found);
    }
}

fn addresses_of<D: Dns>(
    draft: &mut Draft<'_>,
    future: &mut Overlay<'_, D>,
    Host { name: host, addresses }: &Host,
    found: &[IpAddr],
) {
    let existing = draft.existing;
    if !is_full_name(host) {
        return draft.note(words::NO_FULL_NAME.put("name", host));
    }
    if let Some(target) = existing.aliases.get(host) {
        draft.note(words::HOST_IS_ALIAS.put("name", host).put("target", target));
    }
    for kind in [RecordType::A, RecordType::Aaaa] {
        let is_kind = |address: &&IpAddr| address.is_ipv4() == (kind == RecordType::A);
        let mut all: Vec<IpAddr> = found.iter().filter(is_kind).copied().collect();
        let wanted: Vec<IpAddr> = addresses.iter().filter(is_kind).copied().collect();
        let strange = all.iter().filter(|address| !wanted.contains(address));
        let strange: Vec<String> = strange.map(ToString::to_string).collect();
        for address in &wanted {
            let why = Said::plain(words::HOST_ADDRESS).put("address", address);
            let is_there = all.contains(address);
            let state = if is_there { State::Keep } else { State::New };
            draft.add(Planned::new(host, kind, address, why).in_state(state));
            all.extend((!is_there).then_some(*address));
        }
        // An address that mail does not leave from is no fault, but one of a family
        // that mail does leave by may be this server's old one.
        if !wanted.is_empty() && !strange.is_empty() {
            let found = words::OTHER_ADDRESS.put("name", host);
            draft.note(found.put("addresses", strange.join(", ")));
        }
        future.set(host, kind, all.into_iter().map(Record::Address).collect());
    }
}

/// MX of the domain, and the mailboxes that must exist where it points to.
pub(super) fn exchangers<D: Dns>(draft: &mut Draft<'_>, future: &mut Overlay<'_, D>) {
    let (subject, existing) = (draft.subject, draft.existing);
    let (domain, proposed) = (&subject.domain, &subject.exchanger);
    let is_ours = |host: &str| host == proposed || host == subject.hostname;
    for (preference, host) in &existing.exchangers {
        let (state, why) = match host.as_str() {
            "" => (State::Delete, Said::plain(words::MX_NULL).put("domain", domain)),
            host if is_ours(host) => (State::Keep, Said::plain(words::MX_OURS)),
            host if existing.nowhere.iter().any(|one| one == host) => {
                draft.note(words::MX_NOWHERE.put("host", host).put("domain", domain));
                (State::Decide, Said::plain(words::MX_NO_HOST).put("host", host))
            }
            host => (State::Keep, Said::plain(words::MX_OTHER).put("host", host)),
        };
        let value = format!("{preference} {}", if host.is_empty() { "." } else { host });
        draft.add(Planned::new(domain, RecordType::Mx, value, why).in_state(state));
    }
    let mut here = existing.exchangers.iter().any(|(_, host)| is_ours(host));
    let refuses_all = existing.exchangers.iter().any(|(_, host)| host.is_empty());
    if subject.receives && (refuses_all || existing.exchangers.is_empty()) {
        here = true;
        let why = Said::plain(words::MX_NEW).put("domain", domain);
        let record = Planned::new(domain, RecordType::Mx, format!("10 {proposed}"), why);
        // Behind a relay, or where all mail leaves under the names of sources, the addresses
        // that it leaves from do not say where it comes in.
        let leaves = subject.relay.is_none()
            && subject.hosts().first().is_some_and(|host| !host.addresses.is_empty());
        let is_nowhere =
            !leaves && *proposed == subject.hostname && existing.addresses().is_empty();
        if is_nowhere {
            draft.note(words::MX_NO_ADDRESS.put("host", proposed));
            draft.add(record.in_state(State::Decide));
        } else {
            draft.add(record);
        }
        future.set(domain, RecordType::Mx, vec![Record::Mx(10, proposed.clone())]);
    } else if existing.exchangers.iter().all(|(_, host)| host.is_empty()) {
        let kind = if existing.has_address { words::MX_IMPLICIT } else { words::MX_MISSING };
        draft.note(kind.put("domain", domain));
    }
    if subject.receives && !here {
        draft.note(words::MX_ELSEWHERE.put("domain", domain));
    }
    for (name, why) in [("postmaster", words::POSTMASTER), ("abuse", words::ABUSE)] {
        let reached = subject.reached.iter().find(|(known, _)| *known == name);
        let exists = reached.and_then(|(_, exists)| *exists).filter(|_| here && subject.receives);
        let place = match (here, exists) {
            (false, _) => words::MAILBOX_ELSEWHERE,
            (true, Some(true)) => words::MAILBOX_EXISTS,
            (true, Some(false)) => words::MAILBOX_MISSING,
            (true, None) => words::MAILBOX_HERE,
        };
        let why = Said::joined(&[why.into(), Said::plain(place).put("name", name)], " ");
        let address = format!("{name}@{domain}");
        draft.plan.mailboxes.push(Mailbox { address, here, exists, why });
    }
}

/// PTR of each address that mail leaves from.
pub(super) fn reverse(draft: &mut Draft<'_>) {
    let (subject, existing) = (draft.subject, draft.existing);
    if subject.relay.is_some() {
        return draft.note(words::REVERSE_OF_RELAY);
    }
    for (address, found) in subject.egress.iter().zip(&existing.names) {
        // Of the names of several sources at one address, the one that stands there already.
        let names = egress::names_of(&subject.hostname, &subject.sources, *address);
        let is_there = |name: &&&str| {
            found.as_ref().is_ok_and(|found| found.iter().any(|there| there == *name))
        };
        let Some(value) = names.iter().find(is_there).or(names.first()) else { continue };
        if !is_full_name(value) {
            continue;
        }
        let value = (*value).to_owned();
        let (state, text) = match found.as_deref() {
            Err(_) => (None, words::PTR_UNREAD),
            Ok([only]) if *only == value => (Some(State::Keep), words::PTR_RIGHT),
            Ok(names) if names.contains(&value) => (Some(State::Keep), words::PTR_SEVERAL),
            Ok([]) => (Some(State::New), words::PTR_WANTED),
            Ok(_) => (Some(State::Change), words::PTR_WANTED),
        };
        let old = found.clone().unwrap_or_default();
        let put = |text| Said::plain(text).put("address", address).put("name", &value);
        let request = (state != Some(State::Keep)).then(|| put(words::PTR_REQUEST));
        let (why, name) = (put(text), reverse_name(*address));
        draft.plan.reverse.push(Reverse {
            address: *address,
            name,
            value,
            state,
            old,
            why,
            request,
        });
    }
}
