//! How the lab is shown: lines and a table for people, JSON lines for programs.
//! Results go to stdout; a spinner, on a terminal only, to stderr.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use anstyle::{AnsiColor, Style};
use comfy_table::{Cell, Color, ContentArrangement, Table, presets};
use indicatif::{ProgressBar, ProgressStyle};
use puerto_lab::world::{Manners, SENDER_ADDRESS, SENDER_HOST};
use puerto_lab::{Lab, Outcome, Transaction};
use puerto_smtp::ReversePath;
use serde_json::json;

use super::scenario::{Answered, Verdict};
use super::scene::Scene;
use super::story::{Letter, METHODS, Row, Status, Way};
use super::submit::Promise;
use crate::check::Report;
use crate::cli::explain::write_explanation;
use crate::cli::output::printable;
use crate::explain::Explanation;
use crate::lang::{Language, Text};

const GOOD: Style = AnsiColor::Green.on_default();
const BAD: Style = AnsiColor::Red.on_default().bold();
const LATER: Style = AnsiColor::Yellow.on_default();
const FAINT: Style = Style::new().dimmed();
const TITLE: Style = Style::new().bold();
/// Columns of a table that goes to a file or a program.
const PLAIN_WIDTH: u16 = 160;

/// Where everything is shown.
pub(super) struct Show {
    json: bool,
    started: Instant,
    spinner: Option<ProgressBar>,
}

impl Show {
    pub(super) fn new(json: bool) -> Self {
        let people = !json && std::io::stdout().is_terminal() && std::io::stderr().is_terminal();
        Self { json, started: Instant::now(), spinner: people.then(spinner) }
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
        let title = paint(TITLE, "Buen Puerto, and an Internet of its own on this machine");
        self.line(&format!("\n{title}\n"));
        self.resident(
            SENDER_HOST,
            &SENDER_ADDRESS.to_string(),
            "the server: its real spool, two DKIM keys, SPF and DMARC in the DNS",
        );
        for resident in lab.residents() {
            let manners = match resident.manners {
                Manners::Strict => "wants PTR, SPF, DKIM and DMARC in order",
                Manners::Plain if resident.name == "home" => {
                    "the mailboxes of lab.example: bounces come here"
                }
                Manners::Plain => "takes everything",
                Manners::Grumpy => "greylists, answers slowly, hangs up, says 421",
                Manners::Relay => "the provider's relay: hands on what the server sends",
            };
            self.resident(resident.host, &resident.address.to_string(), manners);
        }
        let detail = format!(
            "  name server {} · receivers on port {} · everything in {}\n",
            lab.dns_addr(),
            lab.mx_port(),
            scene.folder.path().display()
        );
        self.line(&paint(FAINT, &detail));
    }

    fn resident(&self, host: &str, address: &str, manners: &str) {
        self.line(&format!("  {host:<20} {address:<12} {}", paint(FAINT, manners)));
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
        let took = format!("on disk {:.1} ms after the dot", milliseconds(promise.took));
        self.event(("server", GOOD, "queued"), &to.join(", "), &promise.reply.to_string());
        self.detail(&paint(FAINT, &took));
    }

    /// A receiver saw something.
    pub(super) fn transaction(&self, seen: &Transaction) {
        if self.json {
            return self.object(&transaction_object(self.started.elapsed(), seen));
        }
        let (style, word) = match seen.outcome {
            Outcome::Accepted => (GOOD, "took"),
            Outcome::Deferred => (LATER, "later"),
            Outcome::Refused => (BAD, "refused"),
            Outcome::HungUp => (LATER, "hung up"),
        };
        let to: Vec<String> = seen.recipients.iter().map(|(to, _)| to.to_string()).collect();
        let reply = seen.reply.as_ref().map_or_else(|| "no reply".to_owned(), ToString::to_string);
        self.event((seen.receiver, style, word), &to.join(", "), &reply);
        let from = match &seen.from {
            Some(ReversePath::Address(address)) => address.to_string(),
            _ => "<>, a notification,".to_owned(),
        };
        let tls = if seen.tls { "with TLS" } else { "without TLS" };
        let mut detail = paint(FAINT, &format!("from {from} by {} {tls}", seen.peer));
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

    fn event(&self, (who, style, word): (&str, Style, &str), to: &str, reply: &str) {
        let clock = paint(FAINT, &format!("{:>7.3} s", self.started.elapsed().as_secs_f64()));
        let to = if to.is_empty() { "at MAIL" } else { to };
        let word = paint(style, &format!("{word:<8}"));
        self.line(&format!("{clock}  {who:<7} {word} {to}  {}", paint(style, reply)));
    }

    fn detail(&self, text: &str) {
        self.line(&format!("{:28}{text}", ""));
    }

    /// Something is waited for.
    pub(super) fn waiting(&self, rows: &[Row]) {
        let Some(spinner) = &self.spinner else { return };
        let waiting: Vec<&str> =
            rows.iter().filter(|r| r.status == Status::UnderWay).map(|r| r.to.as_str()).collect();
        let done = rows.len() - waiting.len();
        spinner.set_message(match waiting.as_slice() {
            [] => "waiting for the queue to be empty".to_owned(),
            waiting => {
                format!("{done} of {} have ended, waiting for {}", rows.len(), waiting.join(", "))
            }
        });
    }

    /// Waiting for whatever comes.
    pub(super) fn idle(&self) {
        if let Some(spinner) = &self.spinner {
            spinner.set_message("waiting for mail, until Ctrl-C");
        }
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
                "seconds": self.started.elapsed().as_secs_f64(),
                "recipients": rows.iter().map(row_object).collect::<Vec<_>>(),
            }));
        }
        self.line(&format!("\n{}", table(rows)));
        let took = format!("in {:.1} s", self.started.elapsed().as_secs_f64());
        let queue = match left {
            0 => "the queue is empty".to_owned(),
            1 => "1 message is still in the queue".to_owned(),
            left => format!("{left} messages are still in the queue"),
        };
        let verdict = if well {
            paint(GOOD, &format!("All ended as it should, {took}; {queue}."))
        } else {
            paint(BAD, &format!("Not all ended as it should, {took}; {queue}."))
        };
        self.line(&format!("{verdict}\n"));
    }

    /// How to send more.
    pub(super) fn invitation(&self, scene: &Scene) {
        if self.json {
            return;
        }
        let program = std::env::current_exe()
            .map_or_else(|_| "puerto".to_owned(), |path| path.display().to_string());
        let config = scene.config.display();
        self.line(&format!(
            "{}\n\n  \
             echo hi | {program} --config {config} sendmail -f you@lab.example ana@strict.example\n  \
             {program} --config {config} queue list\n  \
             tail -f {log}\n\n  \
             or by SMTP at {smtp}; every mailbox exists but no-such-user@. Ctrl-C ends it all.\n",
            paint(TITLE, "Send something yourself:"),
            log = scene.log.display(),
            smtp = scene.smtp,
        ));
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
    pub(super) fn waits(&self, to: &str, why: &str) {
        if self.json {
            return self.object(&json!({"event": "waits", "to": to, "why": why}));
        }
        self.event(("server", LATER, "waits"), to, why);
    }

    /// What the checks came to, as `puerto check` shows it.
    pub(super) fn report(&self, report: &Report, language: Language) {
        if self.json {
            return self.object(&json!({"event": "check", "report": report.to_json(language)}));
        }
        self.line(crate::cli::check::shown(report, false, language).trim_end());
    }

    /// What a refusal means, as `puerto explain` shows it.
    pub(super) fn explanation(&self, found: &Explanation, language: Language) {
        if self.json {
            return self.object(&json!({
                "event": "explanation",
                "class": found.class(),
                "whose": found.whose().as_str(),
                "cause": found.cause(language),
                "remedy": found.remedy(language),
                "check": found.check(),
            }));
        }
        let mut text = Vec::new();
        // Writing into memory does not fail.
        let _ignored = write_explanation(&mut text, found, language);
        self.line(&format!("{}\n", String::from_utf8_lossy(&text).trim_end()));
    }

    /// Whether that came which a scenario expects.
    pub(super) fn verdict(
        &self,
        name: &str,
        answered: &[Answered],
        verdict: &Verdict,
        language: Language,
    ) {
        let well = verdict.faults.is_empty();
        if self.json {
            let letters: Vec<_> = answered
                .iter()
                .map(|one| json!({"to": one.to, "ended": one.ended(), "text": one.text}))
                .collect();
            return self.object(&json!({
                "event": "verdict",
                "scenario": name,
                "ok": well,
                "letters": letters,
                "findings": verdict.findings,
                "unknown": verdict.unknown,
                "class": verdict.class,
                "faults": verdict.faults,
            }));
        }
        let seconds = format!("{:.1}", self.started.elapsed().as_secs_f64());
        if well {
            let text = Text::new(
                "{name}: exactly what was expected, in {seconds} s.",
                "{name}: justo lo que se esperaba, en {seconds} s.",
            );
            let text = text.with(language, &[("name", name), ("seconds", &seconds)]);
            return self.line(&paint(GOOD, &text));
        }
        let text = Text::new(
            "{name}: not what was expected: {faults}",
            "{name}: no es lo que se esperaba: {faults}",
        );
        let faults = printable(&verdict.faults.join("; "));
        let text = text.with(language, &[("name", name), ("faults", &faults)]);
        self.line(&paint(BAD, &text));
    }

    fn object(&self, object: &serde_json::Value) {
        self.line(&object.to_string());
    }

    // A reader that went away, as `head` does, wants no more.
    fn line(&self, line: &str) {
        let write = || {
            let _ignored = writeln!(anstream::stdout(), "{line}");
        };
        match &self.spinner {
            Some(spinner) => spinner.suspend(write),
            None => write(),
        }
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

fn table(rows: &[Row]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::UTF8_FULL_CONDENSED);
    table.set_content_arrangement(ContentArrangement::Dynamic);
    if !std::io::stdout().is_terminal() {
        table.set_width(PLAIN_WIDTH);
    }
    if anstream::AutoStream::choice(&std::io::stdout()) == anstream::ColorChoice::Never {
        table.force_no_tty();
    }
    table.set_header(["recipient", "way", "attempts", "proof of the sender", "ended"]);
    for row in rows {
        let way = match row.way {
            Way::Direct => "direct",
            Way::Relay => "relay",
        };
        let (ended, colour) = match &row.status {
            Status::UnderWay => ("not yet".to_owned(), Color::Yellow),
            Status::Well(how) => ((*how).to_owned(), Color::Green),
            Status::Wrong(why) => (why.clone(), Color::Red),
        };
        table.add_row([
            Cell::new(&row.to),
            Cell::new(way),
            Cell::new(attempts(row)),
            Cell::new(proof(row)),
            Cell::new(ended).fg(colour),
        ]);
    }
    table
}

// Who answered is said where it is not the one before.
fn attempts(row: &Row) -> String {
    let mut before = "";
    let mut answers = Vec::new();
    for (receiver, answer) in &row.attempts {
        answers.push(match *receiver == before {
            true => answer.clone(),
            false => format!("{receiver} {answer}"),
        });
        before = receiver;
    }
    answers.join(" → ")
}

fn proof(row: &Row) -> String {
    let results: Vec<String> = METHODS
        .iter()
        .zip(&row.results)
        .filter_map(|(method, result)| Some(format!("{method}={}", result.as_ref()?)))
        .collect();
    if results.is_empty() { "not asked for".to_owned() } else { results.join(" ") }
}

fn row_object(row: &Row) -> serde_json::Value {
    let attempts: Vec<_> = row
        .attempts
        .iter()
        .map(|(receiver, answer)| json!({"receiver": receiver, "answer": answer}))
        .collect();
    let results: serde_json::Map<_, _> = METHODS
        .iter()
        .zip(&row.results)
        .filter_map(|(method, result)| Some(((*method).to_owned(), json!(result.as_ref()?))))
        .collect();
    let (status, detail) = match &row.status {
        Status::UnderWay => ("under way", None),
        Status::Well(how) => ("well", Some((*how).to_owned())),
        Status::Wrong(why) => ("wrong", Some(why.clone())),
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

fn transaction_object(since_start: Duration, seen: &Transaction) -> serde_json::Value {
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

fn paint(style: Style, text: &str) -> String {
    format!("{style}{text}{style:#}")
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}
