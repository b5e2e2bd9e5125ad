//! The plan on paper: for panels, as lines of a zone file, and for programs.

use std::fmt::Write as _;

use puerto_mail::dns::RecordType;
use serde_json::{Value, json};

use super::zonefile::quoted;
use super::{Plan, Planned, Reverse, Said, State};
use crate::lang::{Language, Text, harmless};

/// One document, for programs.
pub fn json(plan: &Plan, language: Language) -> Value {
    let said = |said: &Said| said.of(language);
    let record = |record: &Planned| {
        json!({
            "name": record.name,
            "relative": record.relative(),
            "zone": record.zone,
            "type": record.kind.name(),
            "ttl": record.ttl,
            "value": record.value,
            "pieces": record.pieces(),
            "state": record.state.as_str(),
            "why": said(&record.why),
            "old": record.old,
        })
    };
    let reverse = |reverse: &Reverse| {
        json!({
            "address": reverse.address,
            "name": reverse.name,
            "type": "PTR",
            "value": reverse.value,
            "state": reverse.state.map_or("unknown", State::as_str),
            "old": reverse.old,
            "why": said(&reverse.why),
            "request": reverse.request.as_ref().map(said),
        })
    };
    let mailboxes = plan.mailboxes.iter().map(|mailbox| {
        let why = format!("{} {}", said(&mailbox.why), said(&mailbox.place));
        json!({ "address": mailbox.address, "here": mailbox.here, "exists": mailbox.exists, "why": why })
    });
    let notes =
        plan.notes.iter().map(|note| json!({ "serious": note.serious, "text": said(&note.text) }));
    json!({
        "domain": plan.domain,
        "hostname": plan.hostname,
        "egress": plan.egress,
        "records": plan.records.iter().map(record).collect::<Vec<_>>(),
        "later": plan.later.iter().map(record).collect::<Vec<_>>(),
        "ptr": plan.reverse.iter().map(reverse).collect::<Vec<_>>(),
        "mailboxes": mailboxes.collect::<Vec<_>>(),
        "lookups": { "before": plan.lookups.before, "after": plan.lookups.after },
        "notes": notes.collect::<Vec<_>>(),
    })
}

/// For people with a panel before them.
pub fn fields(plan: &Plan, language: Language) -> String {
    let mut out = String::new();
    let head = [("domain", plan.domain.as_str()), ("host", plan.hostname.as_str())];
    let _ = writeln!(out, "{}\n", FIELDS_HEAD.with(language, &head));
    let first = plan.notes.iter().take(usize::from(plan.unregistered));
    for note in first {
        let _ = writeln!(out, "! {}\n", note.text.of(language));
    }
    let to_do: Vec<&Planned> = plan.changes().collect();
    for record in &to_do {
        field(&mut out, record, language);
    }
    for record in plan.undecided() {
        field(&mut out, record, language);
    }
    if to_do.is_empty() && plan.undecided().next().is_none() {
        let _ = writeln!(out, "{}\n", NOTHING.of(language));
    }
    lookups(&mut out, plan, language);
    reverse(&mut out, plan, language);
    let kept: Vec<&Planned> = plan.records.iter().filter(|r| r.state == State::Keep).collect();
    heading(&mut out, KEPT, kept.is_empty(), language);
    for record in kept {
        let kind = record.kind;
        let _ = writeln!(out, "  {} {kind} {}", record.name, harmless(&record.value));
        let _ = writeln!(out, "      {}", record.why.of(language));
    }
    heading(&mut out, MAILBOXES, plan.mailboxes.is_empty(), language);
    for mailbox in &plan.mailboxes {
        let (why, place) = (mailbox.why.of(language), mailbox.place.of(language));
        let mark = if mailbox.exists == Some(false) { "!" } else { "-" };
        let _ = writeln!(out, "  {mark} {}: {why} {place}", mailbox.address);
    }
    let notes: Vec<_> = plan.notes.iter().skip(usize::from(plan.unregistered)).collect();
    heading(&mut out, NOTES, notes.is_empty(), language);
    for note in notes {
        let mark = if note.serious { "!" } else { "-" };
        let _ = writeln!(out, "  {mark} {}", note.text.of(language));
    }
    heading(&mut out, LATER, plan.later.is_empty(), language);
    for record in &plan.later {
        let _ = writeln!(out, "  {} TXT {}", record.name, harmless(&record.value));
        let _ = writeln!(out, "      {}", record.why.of(language));
    }
    out
}

fn heading(out: &mut String, text: Text, nothing_follows: bool, language: Language) {
    if !nothing_follows {
        let _ = writeln!(out, "\n{}", text.of(language));
    }
}

fn field(out: &mut String, record: &Planned, language: Language) {
    let state = match record.state {
        State::New => PUBLISH,
        State::Change => REPLACE,
        State::Keep => KEEP,
        State::Delete => DELETE,
        State::Decide => DECIDE,
    };
    let _ = writeln!(out, "{} {} {}", state.of(language), record.kind, record.name);
    let _ = writeln!(out, "  {}", record.why.of(language));
    let relative = record.relative();
    row(out, NAME, relative, language);
    if relative != record.name {
        row(out, WHOLE_NAME, &record.name, language);
    }
    row(out, TYPE, record.kind.name(), language);
    row(out, TTL_WORD, &record.ttl.to_string(), language);
    match (record.kind, record.value.split_once(' ')) {
        (RecordType::Mx, Some((preference, host))) => {
            row(out, PRIORITY, preference, language);
            row(out, VALUE, host, language);
        }
        _ => row(out, VALUE, &harmless(&record.value), language),
    }
    let pieces = record.pieces();
    if pieces.len() > 1 {
        let shown: Vec<String> = pieces.iter().map(|piece| quoted(piece)).collect();
        row(out, PIECES, &shown.join(" "), language);
    }
    if let Some(old) = &record.old {
        let _ = writeln!(out, "  - {}\n  + {}", harmless(old), harmless(&record.value));
    }
    out.push('\n');
}

fn row(out: &mut String, label: Text, value: &str, language: Language) {
    let _ = writeln!(out, "    {:<10} {value}", label.of(language));
}

fn lookups(out: &mut String, plan: &Plan, language: Language) {
    let number = |n: Option<u32>| n.map_or_else(|| "?".to_owned(), |n| n.to_string());
    let (before, after) = (number(plan.lookups.before), number(plan.lookups.after));
    let values = [("before", before.as_str()), ("after", after.as_str())];
    let too_many = plan.lookups.after.is_some_and(|n| n > puerto_mail::spf::MAX_LOOKUPS);
    let text = match (plan.lookups.before, too_many) {
        (_, true) => LOOKUPS_TOO_MANY,
        (None, _) => LOOKUPS_NEW,
        _ => LOOKUPS,
    };
    let _ = writeln!(out, "{}", text.with(language, &values));
}

fn reverse(out: &mut String, plan: &Plan, language: Language) {
    heading(out, REVERSE, plan.reverse.is_empty(), language);
    for reverse in &plan.reverse {
        let _ = writeln!(out, "  {}", reverse.why.of(language));
        if !reverse.old.is_empty() && reverse.state != Some(State::Keep) {
            let _ =
                writeln!(out, "  - {}\n  + {}", harmless(&reverse.old.join(", ")), reverse.value);
        }
        if let Some(request) = &reverse.request {
            let _ = writeln!(out, "    «{}»", request.of(language));
        }
    }
}

const FIELDS_HEAD: Text = Text::new(
    "What to publish so that mail from {domain}, sent by {host}, is accepted.",
    "Qué publicar para que se acepte el correo de {domain} que envía {host}.",
);
const NOTHING: Text = Text::new(
    "Nothing to do in this domain's DNS: all records are right.",
    "Nada que hacer en el DNS de este dominio: todos los registros son correctos.",
);
const PUBLISH: Text = Text::new("Publish", "Publicar");
const REPLACE: Text = Text::new("Replace", "Sustituir");
const KEEP: Text = Text::new("Keep", "Conservar");
pub(super) const DELETE: Text = Text::new("Delete", "Eliminar");
const DECIDE: Text = Text::new("Yours to decide:", "Decida usted:");
const NAME: Text = Text::new("name", "nombre");
const WHOLE_NAME: Text = Text::new("or whole", "o entero");
const TYPE: Text = Text::new("type", "tipo");
const TTL_WORD: Text = Text::new("TTL", "TTL");
const PRIORITY: Text = Text::new("priority", "prioridad");
const VALUE: Text = Text::new("value", "valor");
const PIECES: Text = Text::new("in pieces", "en trozos");
const LOOKUPS: Text = Text::new(
    "Look-ups of the SPF record: {before} today and {after} then; 10 are allowed.",
    "Consultas al DNS del registro SPF: hoy {before} y después {after}; se permiten 10.",
);
const LOOKUPS_NEW: Text = Text::new(
    "Look-ups of the SPF record: {after}; 10 are allowed.",
    "Consultas al DNS del registro SPF: {after}; se permiten 10.",
);
const LOOKUPS_TOO_MANY: Text = Text::new(
    "! The SPF record would ask the DNS {after} times ({before} today), and 10 are allowed: with \
     more, receivers take the whole record for an error. Take out the services that no longer \
     send for the domain, or let one of them send from a subdomain with a record of its own.",
    "! El registro SPF haría {after} consultas al DNS (hoy {before}) y se permiten 10: con más, \
     los receptores dan por erróneo el registro entero. Quite los servicios que ya no envían en \
     nombre del dominio, o haga que uno de ellos envíe desde un subdominio con su propio registro.",
);
const REVERSE: Text = Text::new("Reverse DNS", "DNS inverso");
const KEPT: Text = Text::new("Right already", "Ya correcto");
const MAILBOXES: Text = Text::new("Mailboxes that must exist", "Buzones que deben existir");
const NOTES: Text = Text::new("To know", "Conviene saber");
const LATER: Text = Text::new("Later, not now", "Más adelante, no ahora");
