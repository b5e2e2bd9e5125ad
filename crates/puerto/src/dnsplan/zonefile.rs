//! The plan as a zone file, which a name server loads as it is printed.
//!
//! A zone has exactly one SOA and its NS records, so these stand in front, as they are
//! published: then the file can be checked by itself, and also behind or included in
//! the zone that exists, where the same records once more are no second ones. What
//! belongs into another zone, as the reverse records do, is a comment.

use puerto_mail::dkim::zone_file_text;
use puerto_mail::dns::RecordType;

use super::render::DELETE;
use super::{Apex, Plan, Planned, State, TTL};
use crate::lang::{Language, Text};
use puerto_mail::dns::is_at_or_below;

/// The zone that the domain stands in: its head, what exists and is right, and what is
/// to be published. What is to be deleted or replaced is a comment.
pub fn zone(plan: &Plan, language: Language) -> String {
    let apex = &plan.apex;
    let zone = if apex.zone.is_empty() { &plan.domain } else { &apex.zone };
    let values = [("domain", plan.domain.as_str()), ("zone", zone)];
    let mut out = comment(&HEAD.with(language, &values));
    if let Some(note) = plan.unregistered() {
        out += &comment(&format!("! {}", note.said().of(language)));
    }
    out += &head(zone, apex, language);
    for (host, address) in &apex.addresses {
        let planned =
            |record: &Planned| record.name == *host && record.value == address.to_string();
        if !plan.records.iter().any(planned) {
            let kind = if address.is_ipv4() { RecordType::A } else { RecordType::Aaaa };
            out += &format!("{host}. {TTL} IN {kind} {address}\n");
        }
    }
    let (inside, elsewhere): (Vec<_>, Vec<_>) =
        plan.records.iter().partition(|record| record.zone == *zone);
    out += ";\n";
    out.extend(inside.iter().map(|record| entry(record, language)));
    let mut last = "";
    for record in elsewhere {
        if last != record.zone {
            let title = ELSEWHERE.with(language, &[("zone", &record.zone)]);
            out += &comment(&format!("\n{title}"));
            last = &record.zone;
        }
        out += &comment(entry(record, language).trim_end());
    }
    for reverse in plan.reverse.iter().filter(|reverse| reverse.state != Some(State::Keep)) {
        let why = reverse.why.of(language);
        out += &comment(&format!("\n{why}\n{}. IN PTR {}.", reverse.name, reverse.value));
    }
    out
}

fn head(zone: &str, apex: &Apex, language: Language) -> String {
    let has_address = |host: &&String| {
        !is_at_or_below(host, zone) || apex.addresses.iter().any(|(other, _)| other == *host)
    };
    let mut servers: Vec<&str> =
        apex.servers.iter().filter(has_address).map(String::as_str).collect();
    let mut out = format!("$ORIGIN {zone}.\n$TTL {TTL}\n");
    if apex.soa.is_none() || servers.is_empty() {
        out += &comment(MADE_UP.of(language));
    }
    if servers.is_empty() {
        servers.push("ns.invalid");
    }
    let first = servers.first().copied().unwrap_or_default();
    let made_up = || format!("{first}. hostmaster.{zone}. 1 7200 900 1209600 3600");
    out += &format!("@ {TTL} IN SOA {}\n", apex.soa.clone().unwrap_or_else(made_up));
    out.extend(servers.iter().map(|server| format!("@ {TTL} IN NS {server}.\n")));
    out
}

fn entry(record: &Planned, language: Language) -> String {
    let new = line(record, &record.value);
    let old = record.old.as_ref().map(|old| line(record, old));
    match (record.state, old) {
        (State::Delete, _) => comment(&format!("{} {new}", DELETE.of(language))),
        (State::Decide, old) => {
            let old = old.map(|old| old + "\n").unwrap_or_default();
            comment(&format!("{}\n{new}", record.why.of(language))) + &old
        }
        (_, Some(old)) => comment(&format!("{} {old}", REPLACES.of(language))) + &new + "\n",
        (_, None) => new + "\n",
    }
}

fn comment(text: &str) -> String {
    text.split('\n').map(|line| format!("; {line}").trim_end().to_owned() + "\n").collect()
}

fn line(record: &Planned, value: &str) -> String {
    let value = match (record.kind, value.split_once(' ')) {
        (RecordType::Txt, _) => zone_file_text(value),
        (RecordType::Mx, Some((_, host))) if host != "." => format!("{value}."),
        _ => value.to_owned(),
    };
    format!("{}. {} IN {} {value}", record.name, record.ttl, record.kind)
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
