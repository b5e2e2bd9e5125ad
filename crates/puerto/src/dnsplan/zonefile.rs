//! The plan as a zone file, which a name server loads as it is printed.
//!
//! A zone has exactly one SOA and its NS records, so these stand in front, as they are
//! published: then the file can be checked by itself, and also behind or included in
//! the zone that exists, where the same records once more are no second ones. What
//! belongs into another zone, as the reverse records do, is a comment.

use std::fmt::Write as _;
use std::net::IpAddr;

use puerto_mail::dns::RecordType;

use super::render::DELETE;
use super::{Apex, Plan, Planned, State, TTL};
use crate::lang::{Language, Text};
use crate::survey::names::is_within;

/// The zone that the domain stands in: its head, what exists and is right, and what is
/// to be published. What is to be deleted or replaced is a comment.
pub fn zone(plan: &Plan, language: Language) -> String {
    let mut out = String::new();
    let apex = &plan.apex;
    let zone = if apex.zone.is_empty() { &plan.domain } else { &apex.zone };
    let values = [("domain", plan.domain.as_str()), ("zone", zone)];
    comment(&mut out, &HEAD.with(language, &values));
    for note in plan.notes.iter().take(usize::from(plan.unregistered)) {
        comment(&mut out, &format!("! {}", note.text.of(language)));
    }
    head(&mut out, zone, apex, language);
    for (host, address) in &apex.addresses {
        let planned =
            |record: &Planned| record.name == *host && record.value == address.to_string();
        if !plan.records.iter().any(planned) {
            let kind = if address.is_ipv4() { RecordType::A } else { RecordType::Aaaa };
            let _ = writeln!(out, "{host}. {TTL} IN {kind} {address}");
        }
    }
    let (inside, elsewhere): (Vec<_>, Vec<_>) =
        plan.records.iter().partition(|record| record.zone == *zone);
    let _ = writeln!(out, ";");
    for record in inside {
        entry(&mut out, record, language);
    }
    let mut last = "";
    for record in elsewhere {
        if last != record.zone {
            comment(&mut out, "");
            comment(&mut out, &ELSEWHERE.with(language, &[("zone", &record.zone)]));
            last = &record.zone;
        }
        let mut lines = String::new();
        entry(&mut lines, record, language);
        comment(&mut out, lines.trim_end());
    }
    for reverse in plan.reverse.iter().filter(|reverse| reverse.state != Some(State::Keep)) {
        comment(&mut out, "");
        comment(&mut out, &reverse.why.of(language));
        comment(&mut out, &format!("{}. IN PTR {}.", reverse.name, reverse.value));
    }
    out
}

fn head(out: &mut String, zone: &str, apex: &Apex, language: Language) {
    let _ = writeln!(out, "$ORIGIN {zone}.\n$TTL {TTL}");
    let has_address = |host: &&String| {
        !is_within(host, zone)
            || apex.addresses.iter().any(|(other, _): &(String, IpAddr)| other == *host)
    };
    let servers: Vec<&String> = apex.servers.iter().filter(has_address).collect();
    if apex.soa.is_none() || servers.is_empty() {
        comment(out, MADE_UP.of(language));
    }
    match &apex.soa {
        Some(soa) => {
            let _ = writeln!(out, "@ {TTL} IN SOA {soa}");
        }
        None => {
            let first = servers.first().map_or("ns.invalid", |name| name);
            let timers = "1 7200 900 1209600 3600";
            let _ = writeln!(out, "@ {TTL} IN SOA {first}. hostmaster.{zone}. {timers}");
        }
    }
    for server in &servers {
        let _ = writeln!(out, "@ {TTL} IN NS {server}.");
    }
    if servers.is_empty() {
        let _ = writeln!(out, "@ {TTL} IN NS ns.invalid.");
    }
}

fn entry(out: &mut String, record: &Planned, language: Language) {
    if record.state == State::Decide {
        comment(out, &record.why.of(language));
        comment(out, &line(record));
        if let Some(old) = &record.old {
            let _ = writeln!(out, "{}", line(&Planned { value: old.clone(), ..record.clone() }));
        }
        return;
    }
    if let Some(old) = &record.old {
        let old = line(&Planned { value: old.clone(), ..record.clone() });
        comment(out, &format!("{} {old}", REPLACES.of(language)));
    }
    match record.state {
        State::Delete => comment(out, &format!("{} {}", DELETE.of(language), line(record))),
        State::New | State::Change | State::Keep | State::Decide => {
            let _ = writeln!(out, "{}", line(record));
        }
    }
}

fn comment(out: &mut String, text: &str) {
    for line in text.split('\n') {
        let _ = writeln!(out, "{}", format!("; {line}").trim_end());
    }
}

fn line(record: &Planned) -> String {
    let value = match record.kind {
        RecordType::Txt => {
            let pieces: Vec<String> = record.pieces().iter().map(|piece| quoted(piece)).collect();
            pieces.join(" ")
        }
        RecordType::Mx => match record.value.split_once(' ') {
            Some((preference, ".")) => format!("{preference} ."),
            Some((preference, host)) => format!("{preference} {host}."),
            None => record.value.clone(),
        },
        _ => record.value.clone(),
    };
    format!("{}. {} IN {} {value}", record.name, record.ttl, record.kind)
}

/// A character-string as a zone file writes it (RFC 1035 §5.1): in quotes, and what
/// a reader could mistake by its number.
pub(super) fn quoted(piece: &str) -> String {
    let mut out = String::from('"');
    for octet in piece.bytes() {
        match octet {
            b'"' | b'\\' => {
                out.push('\\');
                out.push(char::from(octet));
            }
            b' '..=b'~' => out.push(char::from(octet)),
            other => {
                let _ = write!(out, "\\{other:03}");
            }
        }
    }
    out.push('"');
    out
}

const HEAD: Text = Text::new(
    "Records for mail from {domain}, in the zone {zone}, with its head as it is published. What is \n\
     right already is among them; replace or delete what a comment says. Other records of the \n\
     zone are not shown and stay. Try it: named-checkzone {zone} FILE",
    "Registros para el correo de {domain}, en la zona {zone}, con su cabecera tal como está \n\
     publicada. Incluye lo que ya está bien; sustituya o elimine lo que diga cada comentario. Los \n\
     demás registros de la zona no se muestran y se quedan. Pruébelo: named-checkzone {zone} FICHERO",
);
const MADE_UP: Text = Text::new(
    "The DNS did not give the whole head of the zone: the SOA or the NS here is a placeholder.",
    "El DNS no ha dado la cabecera entera de la zona: el SOA o el NS de aquí es de relleno.",
);
const REPLACES: Text = Text::new("replaces:", "sustituye a:");
const ELSEWHERE: Text = Text::new("In the zone {zone}:", "En la zona {zone}:");
