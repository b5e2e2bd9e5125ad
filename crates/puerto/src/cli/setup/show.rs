//! A setup's report, for people and for programs.

use puerto_mail::dkim::zone_file_text;
use serde_json::{Value, json};

use crate::dnsplan::render;
use crate::finding::Finding;
use crate::finding::page::Page;
use crate::lang::layout::whole;
use crate::lang::{Language, Said, Text, dns_error};
use crate::setup::{Done, Port25, Report, Step, Undone};

const PROBLEMS: Text = Text::new("What stands in the way", "Lo que lo impide");

/// The report for people.
pub(super) fn text(report: &Report, language: Language) -> String {
    const TAKEN: Text = Text::new("Taken over from {program}", "Heredado de {program}");
    const SEEN: Text = Text::new(
        "{program} is there too; nothing was taken over now",
        "También está {program}; ahora no se ha heredado nada",
    );
    const NOTHING: Text = Text::new(
        "Everything was there already: nothing was changed.",
        "Todo estaba ya: no se ha cambiado nada.",
    );
    let mut page = Page::new(language);
    facts(&mut page, report);
    for program in &report.programs {
        let title = if program.taken { TAKEN } else { SEEN };
        page.heading(&title.with(language, &[("program", program.program)]));
        for setting in program.summary().iter().filter(|_| program.taken) {
            page.line(&format!("  {setting}"));
        }
        program.left.iter().for_each(|said| page.point(false, said));
    }
    page.heading(Text::new("Files", "Ficheros").of(language));
    for (path, done) in &report.files {
        page.line(&format!("  {}  ({})", path.display(), done_text(*done).of(language)));
    }
    if !report.changed() {
        page.line(&format!("  {}", NOTHING.of(language)));
    }
    records(&mut page, report);
    points(&mut page, Text::new("Good to know", "Conviene saber"), &report.notes());
    points(&mut page, PROBLEMS, &report.problems());
    steps(&mut page, &report.steps);
    page.finish()
}

/// What was undone, for people.
pub(super) fn undone(undone: &Undone, language: Language) -> String {
    let mut page = Page::new(language);
    points(&mut page, PROBLEMS, &problems(undone));
    steps(&mut page, &undone.steps);
    page.finish()
}

fn facts(page: &mut Page, report: &Report) {
    const NO_NAME: Text = Text::new("has no reverse name (PTR)", "no tiene nombre inverso (PTR)");
    const POINTS_TO: Text = Text::new("points back to {names}", "apunta a {names}");
    const NOT_KNOWN: Text =
        Text::new("reverse name not known: {error}", "nombre inverso sin saber: {error}");
    const THROUGH: Text = Text::new("through {relayhost}", "por {relayhost}");
    const DIRECTLY: Text =
        Text::new("directly to the recipients' MX", "directamente al MX de los destinatarios");
    let language = page.language();
    page.heading(Text::new("Found out", "Lo que hay").of(language));
    let mut fact = |name: Text, value: &str| {
        page.line(&format!("  {}: {value}", name.of(language)));
    };
    fact(Text::new("server name", "nombre del servidor"), &report.config.hostname);
    for egress in &report.survey.egress {
        let names = match &egress.names {
            Ok(names) if names.is_empty() => NO_NAME.of(language).to_owned(),
            Ok(names) => POINTS_TO.with(language, &[("names", &names.join(", "))]),
            Err(error) => NOT_KNOWN.with(language, &[("error", &dns_error(error).of(language))]),
        };
        fact(Text::new("address", "dirección"), &format!("{}, {names}", egress.address));
    }
    if let Some(port_25) = report.port_25 {
        let state = match port_25 {
            Port25::Open => Text::new("open", "abierto"),
            Port25::Refused => {
                Text::new("closed: connections are refused", "cerrado: se rechazan las conexiones")
            }
            Port25::Dropped => Text::new("closed: nothing answers", "cerrado: nada responde"),
            Port25::Unknown => Text::new("could not be tried", "no se ha podido probar"),
        };
        fact(Text::new("port 25 on the way out", "puerto 25 de salida"), state.of(language));
    }
    let way = match &report.config.relayhost {
        Some(hop) => THROUGH.with(language, &[("relayhost", &hop.to_string())]),
        None => DIRECTLY.of(language).to_owned(),
    };
    fact(Text::new("mail goes", "el correo va"), &way);
}

fn records(page: &mut Page, report: &Report) {
    const KEYS_ALONE: Text = Text::new(
        "The DNS did not say what exists, so these are only the keys; `puerto dns` shows all \
         records once it answers:",
        "El DNS no ha dicho qué existe, así que aquí solo están las claves; `puerto dns` mostrará \
         todos los registros cuando responda:",
    );
    let language = page.language();
    page.heading(Text::new("DNS records to publish", "Registros DNS que publicar").of(language));
    if let Some(plan) = &report.plan {
        return page.line(render::fields(plan, language).trim_end_matches('\n'));
    }
    page.line(&format!("  {}", KEYS_ALONE.of(language)));
    for key in &report.keys {
        page.line(&format!("  {}. IN TXT ( {} )", key.name(), zone_file_text(&key.record)));
    }
}

fn points(page: &mut Page, title: Text, said: &[Said]) {
    if !said.is_empty() {
        page.heading(title.of(page.language()));
        said.iter().for_each(|one| page.point(false, one));
    }
}

fn steps(page: &mut Page, steps: &[Step]) {
    const DONE: Text = Text::new("Commands that were run", "Órdenes ejecutadas");
    const NEXT: Text = Text::new(
        "What comes next (run commands as root)",
        "Lo que queda por hacer (ejecute las órdenes como root)",
    );
    let language = page.language();
    let (done, left): (Vec<_>, Vec<_>) = steps.iter().partition(|step| step.done);
    if !done.is_empty() {
        page.heading(DONE.of(language));
    }
    for command in done.iter().flat_map(|step| &step.commands) {
        page.line(&format!("  {}", whole(command)));
    }
    page.heading(NEXT.of(language));
    for (number, step) in left.iter().enumerate() {
        page.line(&format!("  {}. {}", number + 1, step.what.of(language)));
        for command in &step.commands {
            page.line(&format!("       {}", whole(command)));
        }
    }
}

fn done_text(done: Done) -> Text {
    match done {
        Done::Written => Text::new("written", "escrito"),
        Done::Unchanged => Text::new("as it was", "como estaba"),
        Done::Kept => Text::new("kept: says something else", "conservado: dice otra cosa"),
        Done::Replaced => Text::new("replaced", "reemplazado"),
    }
}

/// The report as one JSON document.
pub(super) fn json(report: &Report, language: Language) -> Value {
    let sentences = |said| sentences(said, language);
    let egress = report.survey.egress.iter().map(|egress| {
        json!({
            "address": egress.address,
            "ptr": egress.names.as_ref().ok(),
            "error": egress.names.as_ref().err().map(|error| dns_error(error).of(language)),
        })
    });
    let programs = report.programs.iter().map(|program| {
        json!({
            "program": program.program, "files": program.files, "taken": program.taken,
            "settings": program.summary(), "left": sentences(&program.left),
        })
    });
    let files =
        report.files.iter().map(|(path, done)| json!({"path": path, "status": done.name()}));
    let (done, next) = steps_json(&report.steps, language);
    let (notes, problems) = (report.notes(), report.problems());
    json!({
        "domain": report.domain,
        "hostname": report.config.hostname,
        "origin": report.config.sender_domain().map(ToString::to_string),
        "relayhost": report.config.relayhost.as_ref().map(ToString::to_string),
        "config": report.config_file,
        "root": report.root,
        "egress": egress.collect::<Vec<_>>(),
        "port_25": report.port_25.map_or("not-tried", Port25::name),
        "found": programs.collect::<Vec<_>>(),
        "changed": report.changed(),
        "files": files.collect::<Vec<_>>(),
        "records": changes(report),
        "dns": report.plan.as_ref().map(|plan| render::json(plan, language)),
        "notes": sentences(&notes),
        "problems": sentences(&problems),
        "done": done,
        "next": next,
    })
}

/// What was undone, as one JSON document.
pub(super) fn undone_json(undone: &Undone, language: Language) -> Value {
    let (done, next) = steps_json(&undone.steps, language);
    json!({"problems": sentences(&problems(undone), language), "done": done, "next": next})
}

fn problems(undone: &Undone) -> Vec<Said> {
    undone.problems.iter().map(Finding::said).collect()
}

fn sentences(said: &[Said], language: Language) -> Vec<String> {
    said.iter().map(|one| one.of(language)).collect()
}

/// The commands that were run, and the steps that remain.
fn steps_json(steps: &[Step], language: Language) -> (Vec<&String>, Vec<Value>) {
    let (done, left): (Vec<_>, Vec<_>) = steps.iter().partition(|step| step.done);
    let next =
        left.iter().map(|step| json!({"what": step.what.of(language), "commands": step.commands}));
    (done.iter().flat_map(|step| &step.commands).collect(), next.collect())
}

/// What is to be published, in short.
fn changes(report: &Report) -> Vec<Value> {
    let record = |name: &str, kind: &str, value: &str, state: &str| json!({"name": name, "type": kind, "value": value, "state": state});
    match &report.plan {
        Some(plan) => plan
            .changes()
            .map(|new| record(&new.name, new.kind.name(), &new.value, new.state.as_str()))
            .collect(),
        None => {
            report.keys.iter().map(|key| record(&key.name(), "TXT", &key.record, "new")).collect()
        }
    }
}
