//! The queue on paper: a table for people, plain lines for other programs' pipes,
//! JSON lines for programs.

use std::io::{self, Write};
use std::time::Duration;

use comfy_table::{ColumnConstraint, ContentArrangement, Table, Width, presets};
use jiff::Timestamp;

use crate::cli::output::printable;
use crate::control::view::{MessageView, RecipientView, State};
use crate::explain;

/// Recipients that are set in one table. A table's columns are as wide as what is in
/// it, so it is printed only when it is whole; a long queue is printed in several.
const TABLE_ROWS: usize = 200;

/// How a list is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// For a terminal.
    Table,
    /// One line for each recipient, columns separated by tabs.
    Plain,
    /// One object for each message.
    Json,
}

/// Writes a list as it comes.
pub(super) struct Printer<W: Write> {
    out: W,
    form: Form,
    now: Timestamp,
    rows: Vec<[String; 6]>,
    messages: u64,
    recipients: u64,
    octets: u64,
}

const HEADING: [&str; 6] = ["ID", "Size", "Age", "Sender", "Recipient", "Status"];

impl<W: Write> Printer<W> {
    pub(super) fn new(out: W, form: Form, now: Timestamp) -> Self {
        Self { out, form, now, rows: Vec::new(), messages: 0, recipients: 0, octets: 0 }
    }

    pub(super) fn message(&mut self, message: &MessageView) -> io::Result<()> {
        self.messages += 1;
        self.octets = self.octets.saturating_add(message.size);
        if self.form == Form::Json {
            serde_json::to_writer(&mut self.out, message)?;
            return writeln!(self.out);
        }
        for recipient in message.open_recipients() {
            self.recipients += 1;
            let row = row(message, recipient, self.now);
            if self.form == Form::Plain {
                writeln!(self.out, "{}", row.join("\t"))?;
            } else {
                self.rows.push(row);
            }
        }
        if self.rows.len() >= TABLE_ROWS {
            self.table()?;
        }
        Ok(())
    }

    pub(super) fn finish(&mut self) -> io::Result<()> {
        if self.form == Form::Table {
            if self.messages == 0 {
                writeln!(self.out, "The queue is empty.")?;
            } else {
                self.table()?;
                let (messages, recipients) = (self.messages, self.recipients);
                let size = size(self.octets);
                writeln!(self.out, "\nMessages: {messages}, recipients: {recipients}, {size}")?;
            }
        }
        self.out.flush()
    }

    fn table(&mut self) -> io::Result<()> {
        if self.rows.is_empty() {
            return Ok(());
        }
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        table.set_content_arrangement(ContentArrangement::Dynamic);
        table.set_header(HEADING);
        table.add_rows(self.rows.drain(..));
        for index in 0..3 {
            if let Some(column) = table.column_mut(index) {
                column.set_constraint(ColumnConstraint::ContentWidth);
            }
        }
        if let Some(status) = table.column_mut(5) {
            status.set_constraint(ColumnConstraint::LowerBoundary(Width::Percentage(30)));
        }
        for line in table.lines() {
            writeln!(self.out, "{}", line.trim_end())?;
        }
        self.out.flush()
    }
}

fn row(message: &MessageView, recipient: &RecipientView, now: Timestamp) -> [String; 6] {
    [
        message.id.clone(),
        size(message.size),
        ago(&message.arrived, now),
        sender(message).to_owned(),
        printable(&recipient.address),
        status(message, recipient, now),
    ]
}

fn sender(message: &MessageView) -> &str {
    if message.from.is_empty() { "<>" } else { &message.from }
}

fn status(message: &MessageView, recipient: &RecipientView, now: Timestamp) -> String {
    let what = match (recipient.state, &recipient.next_attempt) {
        (State::Done, _) => "done".to_owned(),
        (State::Sending, _) => "being sent".to_owned(),
        (State::Waiting, _) if message.held => "held".to_owned(),
        (State::Waiting, Some(next)) => match from_now(next, now) {
            Some(span) => format!("next try in {span}"),
            None => "due now".to_owned(),
        },
        (State::Waiting, None) => "waiting".to_owned(),
    };
    match &recipient.last {
        Some(last) => format!("{what}: {}", printable(&last.text)),
        None => what,
    }
}

/// Everything about one message, for people.
pub(super) fn story(out: &mut impl Write, message: &MessageView, now: Timestamp) -> io::Result<()> {
    let arrived = format!("{} ({} ago)", message.arrived, ago(&message.arrived, now));
    let mut facts = vec![
        ("ID", message.id.clone()),
        ("From", format!("<{}>", message.from)),
        ("Origin", message.origin.clone()),
        ("Arrived", arrived),
    ];
    if let Some(expires) = &message.expires {
        let left = from_now(expires, now).map_or_else(|| "now".to_owned(), |t| format!("in {t}"));
        facts.push(("Given up", format!("{expires} ({left})")));
    }
    facts.push(("Size", format!("{} ({} octets)", size(message.size), message.size)));
    if message.held {
        facts.push(("Held", "until `puerto queue release`".to_owned()));
    }
    if message.delay_notified {
        facts.push(("Notice", "the sender was told of the delay".to_owned()));
    }
    if let Some(id) = &message.envelope_id {
        facts.push(("Envelope id", id.clone()));
    }
    for (name, value) in facts {
        writeln!(out, "{name:<12}{}", printable(&value))?;
    }
    for recipient in &message.recipients {
        writeln!(out)?;
        story_of(out, message, recipient, now)?;
    }
    if let Some(header) = &message.header {
        writeln!(out, "\nHeader")?;
        for line in header.lines() {
            writeln!(out, "  {}", printable(&line.replace('\t', "    ")))?;
        }
    }
    Ok(())
}

fn story_of(
    out: &mut impl Write,
    message: &MessageView,
    recipient: &RecipientView,
    now: Timestamp,
) -> io::Result<()> {
    writeln!(out, "{:<12}<{}>", "To", printable(&recipient.address))?;
    let state = match recipient.state {
        State::Done => "done",
        State::Sending => "being sent",
        State::Waiting if message.held => "held",
        State::Waiting => "waiting",
    };
    writeln!(out, "  {:<10}{state}, failed attempts: {}", "State", recipient.attempts)?;
    if let Some(next) = recipient.next_attempt.as_ref().filter(|_| !message.held) {
        let wait = from_now(next, now).map_or_else(|| "now".to_owned(), |t| format!("in {t}"));
        writeln!(out, "  {:<10}{next} ({wait})", "Next try")?;
    }
    if let Some(last) = &recipient.last {
        writeln!(out, "  {:<10}{} at {}", "Last try", last.at, printable(&last.relay))?;
        let code = last.code.map(|code| format!("{code} ")).unwrap_or_default();
        writeln!(out, "  {:<10}{code}{} {}", "Reply", last.status, printable(&last.text))?;
        if let Some(meaning) = explain::short(&last.text, None) {
            writeln!(out, "  {:<10}{meaning}", "Meaning")?;
        }
    }
    Ok(())
}

fn ago(time: &str, now: Timestamp) -> String {
    let Ok(time) = time.parse::<Timestamp>() else { return "?".to_owned() };
    let seconds = now.as_second().saturating_sub(time.as_second());
    span(Duration::from_secs(u64::try_from(seconds).unwrap_or(0)))
}

// `None` if the time has come.
fn from_now(time: &str, now: Timestamp) -> Option<String> {
    let time = time.parse::<Timestamp>().ok()?;
    let seconds = u64::try_from(time.as_second().saturating_sub(now.as_second())).ok()?;
    (seconds > 0).then(|| span(Duration::from_secs(seconds)))
}

// One unit says enough: nobody plans by the seconds of a day.
fn span(span: Duration) -> String {
    let seconds = span.as_secs();
    match seconds {
        0..120 => format!("{seconds}s"),
        120..7200 => format!("{}m", seconds / 60),
        7200..172_800 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

fn size(octets: u64) -> String {
    const UNITS: [&str; 4] = ["B", "KiB", "MiB", "GiB"];
    let mut value = octets;
    let mut remainder = 0;
    let mut unit = "B";
    for next in UNITS {
        unit = next;
        if value < 1024 || next == "GiB" {
            break;
        }
        remainder = value % 1024;
        value /= 1024;
    }
    if unit == "B" || value >= 10 {
        format!("{value} {unit}")
    } else {
        format!("{value}.{} {unit}", remainder * 10 / 1024)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::view::AttemptView;

    fn now() -> Timestamp {
        "2026-11-24T12:00:00Z".parse().unwrap()
    }

    fn message() -> MessageView {
        let waiting = RecipientView {
            address: "you@example.net".into(),
            state: State::Waiting,
            attempts: 2,
            next_attempt: Some("2026-11-24T12:10:00Z".into()),
            last: Some(AttemptView {
                at: "2026-11-24T11:50:00Z".into(),
                relay: "mx.example.net[192.0.2.1]:25".into(),
                code: Some(450),
                status: "4.7.1".into(),
                text: "host mx.example.net[192.0.2.1] said: 450 4.7.1 later\x1b[2J".into(),
            }),
        };
        let done = RecipientView {
            address: "done@example.net".into(),
            state: State::Done,
            next_attempt: None,
            last: None,
            ..waiting.clone()
        };
        MessageView {
            id: "0A1B2C3D4E5F".into(),
            arrived: "2026-11-24T09:00:00Z".into(),
            expires: Some("2026-11-29T09:00:00Z".into()),
            size: 4300,
            from: String::new(),
            origin: "user 1000".into(),
            held: false,
            delay_notified: false,
            envelope_id: None,
            ret: None,
            eight_bit: false,
            smtputf8: false,
            recipients: vec![waiting, done],
            header: Some("Subject: x\x07\n\tfolded\n".into()),
        }
    }

    fn listed(form: Form, messages: &[MessageView]) -> String {
        let mut out = Vec::new();
        let mut printer = Printer::new(&mut out, form, now());
        for message in messages {
            printer.message(message).unwrap();
        }
        printer.finish().unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn plain_lines_have_one_recipient_each() {
        assert_eq!(
            listed(Form::Plain, &[message()]),
            "0A1B2C3D4E5F\t4.1 KiB\t3h\t<>\tyou@example.net\tnext try in 10m: host \
             mx.example.net[192.0.2.1] said: 450 4.7.1 later?[2J\n"
        );
        assert_eq!(listed(Form::Plain, &[]), "");
        let held = MessageView { held: true, ..message() };
        assert!(listed(Form::Plain, &[held]).contains("\theld: host"));
    }

    #[test]
    fn a_table_is_for_people() {
        let table = listed(Form::Table, &[message()]);
        for part in ["ID", "Recipient", "0A1B2C3D4E5F", "you@example.net", "recipients: 1"] {
            assert!(table.contains(part), "{part} in {table}");
        }
        assert!(!table.contains("done@example.net") && !table.contains('\x1b'));
        assert_eq!(listed(Form::Table, &[]), "The queue is empty.\n");
    }

    #[test]
    fn json_reads_back() {
        let lines = listed(Form::Json, &[message(), message()]);
        for line in lines.lines() {
            assert_eq!(serde_json::from_str::<MessageView>(line).unwrap(), message());
        }
        assert_eq!(lines.lines().count(), 2);
        let value: serde_json::Value = serde_json::from_str(lines.lines().next().unwrap()).unwrap();
        assert_eq!(value["recipients"][0]["state"], "waiting");
        assert_eq!(value["recipients"][0]["last"]["code"], 450);
        assert_eq!(value["recipients"][1]["next_attempt"], serde_json::Value::Null);
    }

    #[test]
    fn a_story_tells_everything() {
        let mut out = Vec::new();
        story(&mut out, &message(), now()).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "\
ID          0A1B2C3D4E5F
From        <>
Origin      user 1000
Arrived     2026-11-24T09:00:00Z (3h ago)
Given up    2026-11-29T09:00:00Z (in 4d)
Size        4.1 KiB (4300 octets)

To          <you@example.net>
  State     waiting, failed attempts: 2
  Next try  2026-11-24T12:10:00Z (in 10m)
  Last try  2026-11-24T11:50:00Z at mx.example.net[192.0.2.1]:25
  Reply     450 4.7.1 host mx.example.net[192.0.2.1] said: 450 4.7.1 later?[2J
  Meaning   passing trouble at the receiver: it is tried again by itself

To          <done@example.net>
  State     done, failed attempts: 2

Header
  Subject: x?
      folded
"
        );
    }

    #[test]
    fn sizes_and_spans_are_short() {
        for (octets, shown) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (10_240, "10 KiB"),
            (52_428_800, "50 MiB"),
        ] {
            assert_eq!(size(octets), shown);
        }
        for (seconds, shown) in
            [(0, "0s"), (119, "119s"), (120, "2m"), (7200, "2h"), (172_800, "2d")]
        {
            assert_eq!(span(Duration::from_secs(seconds)), shown);
        }
    }
}
