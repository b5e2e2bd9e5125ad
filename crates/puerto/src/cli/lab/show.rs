//! How the lab is shown: lines and a table for people, JSON lines for programs.
//! Results go to stdout; a spinner, on a terminal only, to stderr.

use std::io::IsTerminal;
use std::time::Duration;

use anstyle::{AnsiColor, Style};
use indicatif::{ProgressBar, ProgressStyle};
use puerto_lab::world::{Manners, SENDER_ADDRESS, SENDER_HOST};
use puerto_lab::{Lab, Outcome, Resident, Transaction};
use puerto_smtp::ReversePath;
use serde_json::json;
use tokio::time::Instant;

use super::scenario::{Answered, Verdict};
use super::scene::Scene;
use super::story::{Letter, METHODS, Row, Status, Way};
use super::submit::Promise;
use crate::cause::Cause;
use crate::check::Report;
use crate::cli::explain::explanation_text;
use crate::cli::output::{columns, printable, say, show};
use crate::explain::Explanation;
use crate::lang::layout::{self, whole};
use crate::lang::{Language, Said, Text, harmless_json, shell_word};

pub(super) const GOOD: Style = AnsiColor::Green.on_default();
pub(super) const BAD: Style = AnsiColor::Red.on_default().bold();
pub(super) const LATER: Style = AnsiColor::Yellow.on_default();
pub(super) const FAINT: Style = Style::new().dimmed();
pub(super) const TITLE: Style = Style::new().bold();

const HEADING: [Text; 5] = [
    Text::new("recipient", "destinatario"),
    Text::new("way", "camino"),
    Text::new("attempts", "intentos"),
    Text::new("proof of the sender", "pruebas del remitente"),
    Text::new("ended", "final"),
];
const ALL_WELL: Text = Text::new(
    "All ended as it should, in {seconds} s; {queue}.",
    "Todo ha terminado como debía, en {seconds} s; {queue}.",
);
const NOT_ALL_WELL: Text = Text::new(
    "Not all ended as it should, in {seconds} s; {queue}.",
    "No todo ha terminado como debía, en {seconds} s; {queue}.",
);

/// Where everything is shown.
pub(super) struct Show {
    pub(super) json: bool,
    language: Language,
    started: Instant,
    spinner: Option<ProgressBar>,
}

impl Show {
    pub(super) fn new(json: bool, language: Language) -> Self {
        let people = !json && std::io::stdout().is_terminal() && std::io::stderr().is_terminal();
        Self { json, language, started: Instant::now(), spinner: people.then(spinner) }
    }

    /// The language that people are spoken to in.
    pub(super) fn language(&self) -> Language {
        self.language
    }

    /// Since it began.
    pub(super) fn seconds(&self) -> f64 {
        self.started.elapsed().as_secs_f64()
    }

    fn say(&self, en: &'static str, es: &'static str, values: &[(&str, &str)]) -> String {
        Text::new(en, es).with(self.language, values)
    }

    /// Who is there, and where.
    pub(super) fn scene(&self, lab: &Lab, scene: &Scene) {
        if self.json {
            return self.object(&json!({
                "event": "started",
                "dns": lab.dns_addr().to_string(),
                "mx_port": lab.mx_port(),
                "smtp": scene.smtp.to_string(),
                "config": scene.config,
                "log": scene.log,
            }));
        }
        let title = self.say(
            "Buen Puerto, and an Internet of its own on this machine",
            "Buen Puerto, con un Internet propio dentro de esta máquina",
            &[],
        );
        self.line(&format!("\n{}\n", paint(TITLE, &title)));
        const SERVER: Text = Text::new(
            "the server: its real spool, two DKIM keys, SPF and DMARC in the DNS",
            "el servidor: su cola de verdad, dos claves DKIM, SPF y DMARC en el DNS",
        );
        self.resident(SENDER_HOST, &SENDER_ADDRESS.to_string(), SERVER);
        for resident in lab.residents() {
            let manners = manners_of(resident);
            self.resident(resident.host, &resident.address.to_string(), manners);
        }
        let detail = self.say(
            "  name server {dns} · receivers on port {port} · everything in {folder}\n",
            "  servidor de nombres {dns} · receptores en el puerto {port} · todo en {folder}\n",
            &[
                ("dns", &lab.dns_addr().to_string()),
                ("port", &lab.mx_port().to_string()),
                ("folder", &scene.folder.path().display().to_string()),
            ],
        );
        self.line(&paint(FAINT, &detail));
    }

    /// One host, and how it is.
    pub(super) fn resident(&self, host: &str, address: &str, manners: Text) {
        let manners = paint(FAINT, manners.of(self.language));
        self.line(&format!("  {host:<20} {address:<12} {manners}"));
    }

    /// A letter was taken.
    pub(super) fn promise(&self, letter: &Letter, promise: &Promise) {
        let to: Vec<String> = letter.recipients.iter().map(|r| r.to.to_string()).collect();
        if self.json {
            return self.object(&json!({
                "event": "queued",
                "id": promise.id(),
                "from": letter.from.to_string(),
                "to": to,
                "reply": promise.reply.to_string(),
                "milliseconds": milliseconds(promise.took),
            }));
        }
        let took = self.say(
            "on disk {time} ms after the dot",
            "en el disco {time} ms después del punto",
            &[("time", &format!("{:.1}", milliseconds(promise.took)))],
        );
        let queued = Text::new("queued", "en cola");
        self.event((self.server(), GOOD, queued), &to.join(", "), &promise.reply.to_string());
        self.detail(&paint(FAINT, &took));
    }

    /// A receiver saw something.
    pub(super) fn transaction(&self, seen: &Transaction) {
        if self.json {
            return self.object(&transaction_object(self.started.elapsed(), seen));
        }
        let (style, word) = match seen.outcome {
            Outcome::Accepted => (GOOD, Text::new("took", "aceptó")),
            Outcome::Deferred => (LATER, Text::new("later", "aplazó")),
            Outcome::Refused => (BAD, Text::new("refused", "rechazó")),
            Outcome::HungUp => (LATER, Text::new("hung up", "colgó")),
        };
        let to: Vec<String> = seen.recipients.iter().map(|(to, _)| to.to_string()).collect();
        let none = || self.say("no reply", "sin respuesta", &[]);
        let reply = seen.reply.as_ref().map_or_else(none, ToString::to_string);
        self.event((seen.receiver, style, word), &to.join(", "), &reply);
        let from = match &seen.from {
            Some(ReversePath::Address(address)) => address.to_string(),
            _ => self.say("<>, a notification,", "<>, una notificación,", &[]),
        };
        let (en, es) = match seen.tls {
            true => ("from {from} by {peer} with TLS", "de {from} desde {peer} con TLS"),
            false => ("from {from} by {peer} without TLS", "de {from} desde {peer} sin TLS"),
        };
        let peer = seen.peer.to_string();
        let detail = self.say(en, es, &[("from", &from), ("peer", &peer)]);
        let mut detail = paint(FAINT, &detail);
        for result in &seen.authentication {
            let style = if result.result == "pass" { GOOD } else { BAD };
            let selector = result.properties.iter().find(|(name, _)| *name == "header.s");
            let selector = selector.map(|(_, s)| format!("/{s}")).unwrap_or_default();
            let text = format!("{}{selector}={}", result.method, result.result);
            detail.push(' ');
            detail.push_str(&paint(style, &text));
        }
        self.detail(&detail);
    }

    // As the receivers are named in the same column.
    fn server(&self) -> &'static str {
        Text::new("server", "servidor").of(self.language)
    }

    fn event(&self, (who, style, word): (&str, Style, Text), to: &str, reply: &str) {
        let clock = paint(FAINT, &format!("{:>7.3} s", self.seconds()));
        let nobody = Text::new("at MAIL", "en MAIL").of(self.language);
        let to = if to.is_empty() { nobody } else { to };
        let word = paint(style, &format!("{:<8}", word.of(self.language)));
        self.line(&format!("{clock}  {who:<8} {word} {to}  {}", paint(style, reply)));
    }

    fn detail(&self, text: &str) {
        self.line(&format!("{:29}{text}", ""));
    }

    /// Something is waited for.
    pub(super) fn waiting(&self, rows: &[Row]) {
        let Some(spinner) = &self.spinner else { return };
        let waiting: Vec<&str> =
            rows.iter().filter(|r| r.status == Status::UnderWay).map(|r| r.to.as_str()).collect();
        let done = rows.len() - waiting.len();
        spinner.set_message(match waiting.as_slice() {
            [] => self.say(
                "waiting for the queue to be empty",
                "a la espera de que la cola se vacíe",
                &[],
            ),
            waiting => self.say(
                "{done} of {all} have ended, waiting for {list}",
                "terminados {done} de {all}, a la espera de {list}",
                &[
                    ("done", &done.to_string()),
                    ("all", &rows.len().to_string()),
                    ("list", &waiting.join(", ")),
                ],
            ),
        });
    }

    /// Something else is waited for.
    pub(super) fn waiting_for(&self, what: String) {
        if let Some(spinner) = &self.spinner {
            spinner.set_message(what);
        }
    }

    /// Waiting for whatever comes.
    pub(super) fn idle(&self) {
        self.waiting_for(self.say(
            "waiting for mail, until Ctrl-C",
            "a la espera de correo, hasta que pulse Ctrl-C",
            &[],
        ));
    }

    /// Nothing is waited for any more.
    pub(super) fn done_waiting(&self) {
        if let Some(spinner) = &self.spinner {
            spinner.finish_and_clear();
        }
    }

    /// What became of everything. `left` is how many messages the queue still holds.
    pub(super) fn summary(&self, rows: &[Row], left: u64, well: bool) {
        if self.json {
            return self.object(&json!({
                "event": "summary",
                "ok": well,
                "queue": left,
                "seconds": self.seconds(),
                "recipients": rows.iter().map(|row| row_object(row, self.language)).collect::<Vec<_>>(),
            }));
        }
        self.line(&format!("\n{}", rows_of(rows, self.language)));
        let seconds = format!("{:.1}", self.seconds());
        let queue = match left {
            0 => self.say("the queue is empty", "la cola está vacía", &[]),
            1 => self.say("1 message is still in the queue", "queda 1 mensaje en la cola", &[]),
            left => self.say(
                "{left} messages are still in the queue",
                "quedan {left} mensajes en la cola",
                &[("left", &left.to_string())],
            ),
        };
        let (style, text) = match well {
            true => (GOOD, ALL_WELL),
            false => (BAD, NOT_ALL_WELL),
        };
        let text = text.with(self.language, &[("seconds", &seconds), ("queue", &queue)]);
        self.line(&format!("{}\n", paint(style, &text)));
    }

    /// How to send more.
    pub(super) fn invitation(&self, scene: &Scene) {
        if self.json {
            return;
        }
        let program =
            std::env::current_exe().map_or_else(|_| "puerto".to_owned(), |path| shell_word(&path));
        let text = self.say(
            "  echo hi | {program} --config {config} sendmail -f you@lab.example ana@strict.example\n  \
             {program} --config {config} queue list\n  \
             tail -f {log}\n\n  \
             or by SMTP at {smtp}; every mailbox exists but no-such-user@. Ctrl-C ends it all.\n",
            "  echo hola | {program} --config {config} sendmail -f you@lab.example ana@strict.example\n  \
             {program} --config {config} queue list\n  \
             tail -f {log}\n\n  \
             o por SMTP en {smtp}; existen todos los buzones salvo no-such-user@. Ctrl-C lo termina \
             todo.\n",
            &[
                ("program", &*program),
                ("config", &*shell_word(&scene.config)),
                ("log", &*shell_word(&scene.log)),
                ("smtp", &*scene.smtp.to_string()),
            ],
        );
        let title = self.say("Send something yourself:", "Envíe algo usted:", &[]);
        let text: String = text.lines().map(|line| whole(line) + "\n").collect();
        self.line(&format!("{}\n\n{text}", paint(TITLE, &title)));
    }

    /// A part of a scenario begins.
    pub(super) fn part(&self, title: &str, text: &str) {
        if self.json {
            return;
        }
        self.line(&format!("\n{}", paint(TITLE, title)));
        if !text.is_empty() {
            self.line(&printable(text));
        }
        self.line("");
    }

    /// A letter waits, since nobody could be reached.
    pub(super) fn waits(&self, to: &str, why: &Cause) {
        if self.json {
            return self.object(&json!({"event": "waits", "to": to, "why": why.text()}));
        }
        let why = why.said().of(self.language);
        let waits = Text::new("waits", "espera");
        self.event((self.server(), LATER, waits), to, &why);
    }

    /// What the checks came to, as `puerto check` shows it.
    pub(super) fn report(&self, report: &Report) {
        let language = self.language;
        if self.json {
            return self.object(&json!({"event": "check", "report": report.to_json(language)}));
        }
        self.line(crate::check::show(report, false, language).trim_end());
    }

    /// What a refusal means, as `puerto explain` shows it.
    pub(super) fn explanation(&self, found: &Explanation, check: Option<&str>) {
        let language = self.language;
        if self.json {
            return self.object(&json!({
                "event": "explanation",
                "class": found.class(),
                "whose": found.whose().as_str(),
                "cause": found.cause(language),
                "remedy": found.remedy(language),
                "check": check,
            }));
        }
        self.line(&format!("{}\n", explanation_text(found, check, language).trim_end()));
    }

    /// Whether that came which a scenario expects.
    pub(super) fn verdict(&self, name: &str, answered: &[Answered], verdict: &Verdict) {
        let language = self.language;
        let faults: Vec<String> = verdict.faults.iter().map(|fault| fault.of(language)).collect();
        let well = faults.is_empty();
        if self.json {
            let letters: Vec<_> = answered
                .iter()
                .map(|one| json!({"to": one.to, "ended": one.ended(), "text": one.cause.text()}))
                .collect();
            return self.object(&json!({
                "event": "verdict",
                "scenario": name,
                "ok": well,
                "letters": letters,
                "findings": verdict.findings,
                "unknown": verdict.unknown,
                "class": verdict.class,
                "faults": faults,
            }));
        }
        let seconds = format!("{:.1}", self.seconds());
        if well {
            let text = Text::new(
                "{name}: exactly what was expected, in {seconds} s.",
                "{name}: justo lo que se esperaba, en {seconds} s.",
            );
            let text = text.with(language, &[("name", name), ("seconds", &seconds)]);
            return self.verdict_line(true, &text);
        }
        let text = Text::new(
            "{name}: not what was expected: {faults}",
            "{name}: no es lo que se esperaba: {faults}",
        );
        let faults = printable(&faults.join("; "));
        let text = text.with(language, &[("name", name), ("faults", &faults)]);
        self.verdict_line(false, &text);
    }

    /// A JSON line for programs.
    pub(super) fn object(&self, object: &serde_json::Value) {
        let _ignored = say(&harmless_json(&object.to_string()));
    }

    /// Whether all is well, as the last line.
    pub(super) fn verdict_line(&self, well: bool, text: &str) {
        self.line(&paint(if well { GOOD } else { BAD }, text));
    }

    /// A line for people.
    pub(super) fn line(&self, line: &str) {
        let write = || {
            let _ignored = show(&format!("{line}\n"));
        };
        match &self.spinner {
            Some(spinner) => spinner.suspend(write),
            None => write(),
        }
    }
}

/// How a receiver treats its clients.
pub(super) fn manners_of(resident: &Resident) -> Text {
    match resident.manners {
        Manners::Strict => Text::new(
            "wants PTR, SPF, DKIM and DMARC in order",
            "exige PTR, SPF, DKIM y DMARC en regla",
        ),
        Manners::Plain if resident.name == "home" => Text::new(
            "the mailboxes of lab.example: bounces come here",
            "los buzones de lab.example: aquí llegan los rebotes",
        ),
        Manners::Plain => Text::new("takes everything", "lo acepta todo"),
        Manners::Grumpy => Text::new(
            "greylists, answers slowly, hangs up, says 421",
            "usa listas grises, responde despacio, cuelga, dice 421",
        ),
        Manners::Relay => Text::new(
            "the provider's relay: hands on what the server sends",
            "el relay del proveedor: reenvía lo que manda el servidor",
        ),
    }
}

fn spinner() -> ProgressBar {
    let spinner = ProgressBar::new_spinner();
    // The template is a constant; the default would do as well.
    if let Ok(style) = ProgressStyle::with_template("  {spinner} {msg}") {
        spinner.set_style(style);
    }
    spinner.enable_steady_tick(Duration::from_millis(100));
    spinner
}

fn rows_of(rows: &[Row], language: Language) -> String {
    let cells = rows.iter().map(|row| {
        let way = match row.way {
            Way::Direct => Text::new("direct", "directo"),
            Way::Relay => Text::same("relay"),
        };
        let (ended, colour) = match &row.status {
            Status::UnderWay => (Said::plain(Text::new("not yet", "aún no")), LATER),
            Status::Well(how) => (Said::plain(*how), GOOD),
            Status::Wrong(why) => (why.clone(), BAD),
        };
        [
            row.to.clone(),
            way.of(language).to_owned(),
            attempts(row, language),
            proof(row, language),
            paint(colour, &ended.of(language)),
        ]
    });
    let cells: Vec<_> = cells.collect();
    let heading = HEADING.map(|text| text.of(language));
    layout::table(heading, &cells, columns(&std::io::stdout()))
}

// Who answered is said where it is not the one before.
fn attempts(row: &Row, language: Language) -> String {
    let mut before = "";
    let mut answers = Vec::new();
    for (receiver, answer) in &row.attempts {
        let answer =
            answer.as_deref().unwrap_or_else(|| Text::new("hung up", "colgó").of(language));
        answers.push(match *receiver == before {
            true => answer.to_owned(),
            false => format!("{receiver} {answer}"),
        });
        before = receiver;
    }
    answers.join(" → ")
}

fn proof(row: &Row, language: Language) -> String {
    let results: Vec<String> = METHODS
        .iter()
        .zip(&row.results)
        .filter_map(|(method, result)| Some(format!("{method}={}", result.as_ref()?)))
        .collect();
    let none = Text::new("not asked for", "no las pide").of(language);
    if results.is_empty() { none.to_owned() } else { results.join(" ") }
}

fn row_object(row: &Row, language: Language) -> serde_json::Value {
    let attempts: Vec<_> = row
        .attempts
        .iter()
        .map(|(receiver, answer)| json!({"receiver": receiver, "answer": answer.as_deref().unwrap_or("hung up")}))
        .collect();
    let results: serde_json::Map<_, _> = METHODS
        .iter()
        .zip(&row.results)
        .filter_map(|(method, result)| Some(((*method).to_owned(), json!(result.as_ref()?))))
        .collect();
    let (status, detail) = match &row.status {
        Status::UnderWay => ("under way", None),
        Status::Well(how) => ("well", Some(how.of(language).to_owned())),
        Status::Wrong(why) => ("wrong", Some(why.of(language))),
    };
    json!({
        "from": row.from,
        "to": row.to,
        "way": match row.way { Way::Direct => "direct", Way::Relay => "relay" },
        "attempts": attempts,
        "authentication": results,
        "reply": row.reply.as_ref().map(ToString::to_string),
        "status": status,
        "detail": detail,
    })
}

/// What a receiver saw, for programs.
pub(super) fn transaction_object(since_start: Duration, seen: &Transaction) -> serde_json::Value {
    let outcome = match seen.outcome {
        Outcome::Accepted => "accepted",
        Outcome::Deferred => "deferred",
        Outcome::Refused => "refused",
        Outcome::HungUp => "hung up",
    };
    let to: Vec<_> = seen
        .recipients
        .iter()
        .map(|(to, reply)| json!({"address": to.to_string(), "reply": reply.to_string()}))
        .collect();
    let authentication: Vec<_> = seen
        .authentication
        .iter()
        .map(|r| {
            let properties: serde_json::Map<_, _> =
                r.properties.iter().map(|(n, v)| ((*n).to_owned(), json!(v))).collect();
            json!({
                "method": r.method,
                "result": r.result,
                "reason": r.reason,
                "properties": properties,
            })
        })
        .collect();
    json!({
        "event": "transaction",
        "seconds": since_start.as_secs_f64(),
        "receiver": seen.receiver,
        "host": seen.host,
        "peer": seen.peer.to_string(),
        "helo": seen.helo,
        "tls": seen.tls,
        "from": seen.from.as_ref().map(ToString::to_string),
        "to": to,
        "outcome": outcome,
        "reply": seen.reply.as_ref().map(ToString::to_string),
        "authentication": authentication,
        "octets": seen.message.len(),
    })
}

/// A text in a colour.
pub(super) fn paint(style: Style, text: &str) -> String {
    format!("{style}{text}{style:#}")
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}
