//! The plan on paper: for panels, as lines of a zone file, and for programs.

use puerto_mail::dns::{RecordType, quoted};
use serde_json::{Value, json};

use super::{Mailbox, Plan, Planned, Reverse, Said, State};
use crate::finding::Severity;
use crate::finding::page::Page;
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
        let Mailbox { address, here, exists, why } = mailbox;
        json!({ "address": address, "here": here, "exists": exists, "why": said(why) })
    });
    let notes = plan.notes.iter().map(|note| {
        let is_serious = note.severity == Severity::Error;
        json!({ "serious": is_serious, "text": said(&note.said()) })
    });
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
    let mut page = Page::new(language);
    let head = [("domain", plan.domain.as_str()), ("host", plan.hostname.as_str())];
    page.line(&FIELDS_HEAD.with(language, &head));
    page.line("");
    if let Some(note) = plan.unregistered() {
        page.line(&format!("! {}\n", note.said().of(language)));
    }
    let to_do: Vec<&Planned> = plan.changes().chain(plan.undecided()).collect();
    for record in &to_do {
        field(&mut page, record);
    }
    if to_do.is_empty() {
        page.line(&format!("{}\n", NOTHING.of(language)));
    }
    lookups(&mut page, plan);
    reverse(&mut page, plan);
    let kept = plan.records.iter().filter(|record| record.state == State::Keep);
    list(&mut page, KEPT, kept, listed);
    list(&mut page, MAILBOXES, &plan.mailboxes, |page, mailbox| {
        let why =
            Said::joined(&[Said::words(format!("{}:", mailbox.address)), mailbox.why.clone()], " ");
        page.point(mailbox.exists == Some(false), &why);
    });
    list(&mut page, NOTES, plan.other_notes(), Page::note);
    list(&mut page, LATER, &plan.later, listed);
    page.finish()
}

// A heading, if anything stands below it.
fn list<'a, T: 'a>(
    page: &mut Page,
    title: Text,
    items: impl IntoIterator<Item = &'a T>,
    show: impl Fn(&mut Page, &T),
) {
    for (number, item) in items.into_iter().enumerate() {
        if number == 0 {
            page.heading(title.of(page.language()));
        }
        show(page, item);
    }
}

fn listed(page: &mut Page, record: &Planned) {
    page.line(&format!("  {} {} {}", record.name, record.kind, harmless(&record.value)));
    page.line(&format!("      {}", record.why.of(page.language())));
}

fn field(page: &mut Page, record: &Planned) {
    let state = match record.state {
        State::New => PUBLISH,
        State::Change => REPLACE,
        State::Keep => KEEP,
        State::Delete => DELETE,
        State::Decide => DECIDE,
    };
    let language = page.language();
    page.line(&format!("{} {} {}", state.of(language), record.kind, record.name));
    page.line(&format!("  {}", record.why.of(language)));
    let mut row = |label: Text, value: &str| {
        page.line(&format!("    {:<10} {value}", label.of(language)));
    };
    let relative = record.relative();
    row(NAME, relative);
    if relative != record.name {
        row(WHOLE_NAME, &record.name);
    }
    row(TYPE, record.kind.name());
    row(TTL_WORD, &record.ttl.to_string());
    match (record.kind, record.value.split_once(' ')) {
        (RecordType::Mx, Some((preference, host))) => {
            row(PRIORITY, preference);
            row(VALUE, host);
        }
        _ => row(VALUE, &harmless(&record.value)),
    }
    let pieces = record.pieces();
    if pieces.len() > 1 {
        let shown: Vec<String> = pieces.iter().map(|piece| quoted(piece)).collect();
        row(PIECES, &shown.join(" "));
    }
    if let Some(old) = &record.old {
        difference(page, old, &record.value);
    }
    page.line("");
}

fn difference(page: &mut Page, old: &str, new: &str) {
    page.line(&format!("  - {}\n  + {}", harmless(old), harmless(new)));
}

fn lookups(page: &mut Page, plan: &Plan) {
    let number = |n: Option<u32>| n.map_or_else(|| "?".to_owned(), |n| n.to_string());
    let (before, after) = (number(plan.lookups.before), number(plan.lookups.after));
    let too_many = plan.lookups.after.is_some_and(|n| n > puerto_mail::spf::MAX_LOOKUPS);
    let text = match (plan.lookups.before, too_many) {
        (_, true) => LOOKUPS_TOO_MANY,
        (None, _) => LOOKUPS_NEW,
        _ => LOOKUPS,
    };
    page.line(&text.with(page.language(), &[("before", &before), ("after", &after)]));
}

fn reverse(page: &mut Page, plan: &Plan) {
    list(page, REVERSE, &plan.reverse, |page, reverse| {
        page.line(&format!("  {}", reverse.why.of(page.language())));
        if !reverse.old.is_empty() && reverse.state != Some(State::Keep) {
            difference(page, &reverse.old.join(", "), &reverse.value);
        }
        if let Some(request) = &reverse.request {
            page.line(&format!("    «{}»", request.of(page.language())));
        }
    });
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
