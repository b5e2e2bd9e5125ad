//! A setup's report, for people and for programs.

use std::fmt::Write as _;

use puerto_mail::dkim::zone_file_text;
use serde_json::{Value, json};

use crate::dnsplan::render;
use crate::lang::layout::whole;
use crate::lang::{Language, Said, Text, dns_error};
use crate::setup::{Done, Port25, Report, Step, Undone};

const FOUND_OUT: Text = Text::new("Found out", "Lo que hay");
const NAME: Text = Text::new("server name", "nombre del servidor");
const ADDRESS: Text = Text::new("address", "dirección");
const POINTS_TO: Text = Text::new("points back to {names}", "apunta a {names}");
const NO_NAME: Text = Text::new("has no reverse name (PTR)", "no tiene nombre inverso (PTR)");
const NOT_KNOWN: Text =
    Text::new("reverse name not known: {error}", "nombre inverso sin saber: {error}");
const PORT_25: Text = Text::new("port 25 on the way out", "puerto 25 de salida");
const OPEN: Text = Text::new("open", "abierto");
const REFUSED: Text =
    Text::new("closed: connections are refused", "cerrado: se rechazan las conexiones");
const DROPPED: Text = Text::new("closed: nothing answers", "cerrado: nada responde");
const UNKNOWN: Text = Text::new("could not be tried", "no se ha podido probar");
const MAIL_GOES: Text = Text::new("mail goes", "el correo va");
const DIRECTLY: Text =
    Text::new("directly to the recipients' MX", "directamente al MX de los destinatarios");
const THROUGH: Text = Text::new("through {relayhost}", "por {relayhost}");
const TAKEN: Text = Text::new("Taken over from {program}", "Heredado de {program}");
const SEEN: Text = Text::new(
    "{program} is there too; nothing was taken over now",
    "También está {program}; ahora no se ha heredado nada",
);
const FILES: Text = Text::new("Files", "Ficheros");
const WRITTEN: Text = Text::new("written", "escrito");
const UNCHANGED: Text = Text::new("as it was", "como estaba");
const KEPT: Text = Text::new("kept: says something else", "conservado: dice otra cosa");
const REPLACED: Text = Text::new("replaced", "reemplazado");
const RECORDS: Text = Text::new("DNS records to publish", "Registros DNS que publicar");
const KEYS_ALONE: Text = Text::new(
    "The DNS did not say what exists, so these are only the keys; `puerto dns` shows all records \
     once it answers:",
    "El DNS no ha dicho qué existe, así que aquí solo están las claves; `puerto dns` mostrará \
     todos los registros cuando responda:",
);
const TO_KNOW: Text = Text::new("Good to know", "Conviene saber");
const PROBLEMS: Text = Text::new("What stands in the way", "Lo que lo impide");
const STEPS: Text = Text::new(
    "What comes next (run commands as root)",
    "Lo que queda por hacer (ejecute las órdenes como root)",
);
const DONE: Text = Text::new("Commands that were run", "Órdenes ejecutadas");
const NOTHING: Text = Text::new(
    "Everything was there already: nothing was changed.",
    "Todo estaba ya: no se ha cambiado nada.",
);

/// The report for people.
pub(super) fn text(report: &Report, language: Language) -> String {
    let mut out = String::new();
    heading(&mut out, FOUND_OUT.of(language));
    facts(&mut out, report, language);
    for found in &report.found {
        let title = if found.taken { TAKEN } else { SEEN };
        heading(&mut out, &title.with(language, &[("program", found.program)]));
        for setting in found.settings.iter().filter(|_| found.taken) {
            let _ = writeln!(out, "  {setting}");
        }
        points(&mut out, &found.left, language);
    }
    heading(&mut out, FILES.of(language));
    for (path, done) in &report.files {
        let _ = writeln!(out, "  {}  ({})", path.display(), done_text(*done).of(language));
    }
    if !report.changed() {
        let _ = writeln!(out, "  {}", NOTHING.of(language));
    }
    heading(&mut out, RECORDS.of(language));
    match &report.plan {
        Some(plan) => out.push_str(&render::fields(plan, language)),
        None => {
            let _ = writeln!(out, "  {}", KEYS_ALONE.of(language));
            for key in &report.keys {
                let _ = writeln!(out, "  {}. IN TXT ( {} )", key.name, zone_file_text(&key.value));
            }
        }
    }
    for (title, said) in [(TO_KNOW, &report.notes), (PROBLEMS, &report.problems)] {
        if !said.is_empty() {
            heading(&mut out, title.of(language));
            points(&mut out, said, language);
        }
    }
    steps(&mut out, &report.steps, language);
    out
}

/// What was undone, for people.
pub(super) fn undone(undone: &Undone, language: Language) -> String {
    let mut out = String::new();
    if !undone.problems.is_empty() {
        heading(&mut out, PROBLEMS.of(language));
        points(&mut out, &undone.problems, language);
    }
    steps(&mut out, &undone.steps, language);
    out
}

/// What was undone, as one JSON document.
pub(super) fn undone_json(undone: &Undone, language: Language) -> Value {
    let (done, next) = steps_json(&undone.steps, language);
    let problems: Vec<_> = undone.problems.iter().map(|one| one.of(language)).collect();
    json!({"problems": problems, "done": done, "next": next})
}

fn steps(out: &mut String, steps: &[Step], language: Language) {
    let (done, left): (Vec<_>, Vec<_>) = steps.iter().partition(|step| step.done);
    if !done.is_empty() {
        heading(out, DONE.of(language));
    }
    for command in done.iter().flat_map(|step| &step.commands) {
        let _ = writeln!(out, "  {}", whole(command));
    }
    heading(out, STEPS.of(language));
    for (number, step) in left.iter().enumerate() {
        let _ = writeln!(out, "  {}. {}", number + 1, step.what.of(language));
        for command in &step.commands {
            let _ = writeln!(out, "       {}", whole(command));
        }
    }
}

/// The commands that were run, and the steps that remain.
fn steps_json(steps: &[Step], language: Language) -> (Vec<&String>, Vec<Value>) {
    let (done, left): (Vec<_>, Vec<_>) = steps.iter().partition(|step| step.done);
    let next =
        left.iter().map(|step| json!({"what": step.what.of(language), "commands": step.commands}));
    (done.iter().flat_map(|step| &step.commands).collect(), next.collect())
}

fn facts(out: &mut String, report: &Report, language: Language) {
    let mut fact = |name: Text, value: &str| {
        let _ = writeln!(out, "  {}: {value}", name.of(language));
    };
    fact(NAME, &report.hostname);
    for egress in &report.survey.egress {
        let names = match &egress.names {
            Ok(names) if names.is_empty() => NO_NAME.of(language).to_owned(),
            Ok(names) => POINTS_TO.with(language, &[("names", &names.join(", "))]),
            Err(error) => NOT_KNOWN.with(language, &[("error", &dns_error(error).of(language))]),
        };
        fact(ADDRESS, &format!("{}, {names}", egress.address));
    }
    if let Some(port_25) = report.port_25 {
        let state = match port_25 {
            Port25::Open => OPEN,
            Port25::Refused => REFUSED,
            Port25::Dropped => DROPPED,
            Port25::Unknown => UNKNOWN,
        };
        fact(PORT_25, state.of(language));
    }
    let way = match &report.relayhost {
        Some(hop) => THROUGH.with(language, &[("relayhost", &hop.to_string())]),
        None => DIRECTLY.of(language).to_owned(),
    };
    fact(MAIL_GOES, &way);
}

fn heading(out: &mut String, title: &str) {
    let gap = if out.is_empty() { "" } else { "\n" };
    let _ = writeln!(out, "{gap}{title}");
}

fn points(out: &mut String, said: &[Said], language: Language) {
    for one in said {
        let _ = writeln!(out, "  - {}", one.of(language));
    }
}

fn done_text(done: Done) -> Text {
    match done {
        Done::Written => WRITTEN,
        Done::Unchanged => UNCHANGED,
        Done::Kept => KEPT,
        Done::Replaced => REPLACED,
    }
}

/// The report as one JSON document.
pub(super) fn json(report: &Report, language: Language) -> Value {
    let sentences = |said: &[Said]| said.iter().map(|one| one.of(language)).collect::<Vec<_>>();
    let egress = report.survey.egress.iter().map(|egress| {
        json!({
            "address": egress.address,
            "ptr": egress.names.as_ref().ok(),
            "error": egress.names.as_ref().err().map(|error| dns_error(error).of(language)),
        })
    });
    let found = report.found.iter().map(|found| {
        json!({
            "program": found.program, "files": found.files, "taken": found.taken,
            "settings": found.settings, "left": sentences(&found.left),
        })
    });
    let files =
        report.files.iter().map(|(path, done)| json!({"path": path, "status": done.name()}));
    let (done, next) = steps_json(&report.steps, language);
    json!({
        "domain": report.domain,
        "hostname": report.hostname,
        "origin": report.origin,
        "relayhost": report.relayhost.as_ref().map(ToString::to_string),
        "config": report.config_file,
        "root": report.root,
        "egress": egress.collect::<Vec<_>>(),
        "port_25": report.port_25.map_or("not-tried", Port25::name),
        "found": found.collect::<Vec<_>>(),
        "changed": report.changed(),
        "files": files.collect::<Vec<_>>(),
        "records": records(report),
        "dns": report.plan.as_ref().map(|plan| render::json(plan, language)),
        "notes": sentences(&report.notes),
        "problems": sentences(&report.problems),
        "done": done,
        "next": next,
    })
}

/// What is to be published, in short.
fn records(report: &Report) -> Vec<Value> {
    let record = |name: &str, kind: &str, value: &str, state: &str| json!({"name": name, "type": kind, "value": value, "state": state});
    match &report.plan {
        Some(plan) => plan
            .changes()
            .map(|new| record(&new.name, new.kind.name(), &new.value, new.state.as_str()))
            .collect(),
        None => report.keys.iter().map(|key| record(&key.name, "TXT", &key.value, "new")).collect(),
    }
}
