//! The queue on paper: a table for people, plain lines for other programs' pipes. A line is
//! written as it comes, so that a long queue is shown from its first page on.

mod spans;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::io::{self, Write};

use jiff::Timestamp;

use self::spans::{age, ahead};
pub(in crate::cli) use self::spans::{ago, from_now, size};
use super::orders;
use crate::cause::Cause;
use crate::cli::output::printable;
use crate::control::view::{
    AttemptView, Brief, BriefPause, BriefRecipient, MessageView, ParkView, RecipientView, State,
    TurnView, WishView,
};
use crate::explain;
use crate::lang::layout;
use crate::lang::{Language, Text};

/// Recipients that are set in one table. A table's columns are as wide as what is in
/// it, so it is printed only when it is whole; a long queue is printed in several.
const TABLE_ROWS: usize = 200;

/// How a list is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// For a terminal of so many columns.
    Table(Option<usize>),
    /// One line for each recipient, columns separated by tabs.
    Plain,
}

/// How, in which language, and at what time a list is written.
#[derive(Debug, Clone, Copy)]
pub(super) struct Manner {
    /// The form.
    pub(super) form: Form,
    /// The language.
    pub(super) language: Language,
    /// The time.
    pub(super) now: Timestamp,
}

/// Reasons whose words are remembered.
const REMEMBERED: usize = 1000;

/// Writes a list as it comes.
pub(super) struct Printer<W: Write> {
    out: W,
    manner: Manner,
    rows: Vec<[String; 6]>,
    reasons: Reasons,
    messages: u64,
    recipients: u64,
    octets: u64,
}

const HEADING: [Text; 6] = [
    Text::same("ID"),
    Text::new("Size", "Tamaño"),
    Text::new("Age", "Edad"),
    Text::new("Sender", "Remitente"),
    Text::new("Recipient", "Destinatario"),
    Text::new("Status", "Estado"),
];
const EMPTY: Text = Text::new("The queue is empty.", "La cola está vacía.");
const TOTAL: Text = Text::new(
    "Messages: {messages}, recipients: {recipients}, {size}",
    "Mensajes: {messages}, destinatarios: {recipients}, {size}",
);
const DONE: Text = Text::new("done", "terminado");
const SENDING: Text = Text::new("being sent or in line", "enviándose o en turno");
const HELD: Text = Text::new("held", "retenido");
/// That a pause keeps it, by the number that resumes it.
pub(super) const PAUSED: Text = Text::new("paused (order {number})", "en pausa (orden {number})");
const PAUSED_FOR: Text =
    Text::new("paused for {span} (order {number})", "en pausa {span} (orden {number})");
const NEXT_TRY: Text = Text::new("next try in {span}", "próximo intento en {span}");
const DUE: Text = Text::new("due now", "toca ahora");
const WAITING: Text = Text::new("waiting", "en espera");
const AGO: Text = Text::new("{span} ago", "hace {span}");
const IN: Text = Text::new("in {span}", "en {span}");
const NOW: Text = Text::new("now", "ahora");

impl<W: Write> Printer<W> {
    pub(super) fn new(out: W, manner: Manner) -> Self {
        let reasons = Reasons { language: manner.language, known: HashMap::new() };
        Self { out, manner, rows: Vec::new(), reasons, messages: 0, recipients: 0, octets: 0 }
    }

    pub(super) fn message(&mut self, message: &Brief<'_>) -> io::Result<()> {
        self.messages += 1;
        self.octets = self.octets.saturating_add(message.size);
        // All its recipients have these in common.
        let (size, age) = (size(message.size), age(message.at, self.manner.now));
        let from = sender(message);
        for recipient in &message.to {
            self.recipients += 1;
            let to = printable(&recipient.address);
            let status = status(message, recipient, self.manner, &mut self.reasons);
            if self.manner.form == Form::Plain {
                let id = &message.id;
                writeln!(self.out, "{id}\t{size}\t{age}\t{from}\t{to}\t{status}")?;
            } else {
                let id = message.id.to_string();
                self.rows.push([id, size.clone(), age.clone(), from.to_owned(), to, status]);
            }
        }
        if self.rows.len() >= TABLE_ROWS {
            self.table()?;
        }
        Ok(())
    }

    pub(super) fn finish(&mut self) -> io::Result<()> {
        if let Form::Table(_) = self.manner.form {
            if self.messages == 0 {
                writeln!(self.out, "{}", EMPTY.of(self.manner.language))?;
            } else {
                self.table()?;
                let counts = [self.messages, self.recipients].map(|count| count.to_string());
                let size = size(self.octets);
                let values =
                    [("messages", &*counts[0]), ("recipients", &*counts[1]), ("size", &*size)];
                writeln!(self.out, "\n{}", TOTAL.with(self.manner.language, &values))?;
            }
        }
        self.out.flush()
    }

    fn table(&mut self) -> io::Result<()> {
        let Form::Table(width) = self.manner.form else { return Ok(()) };
        if self.rows.is_empty() {
            return Ok(());
        }
        let heading = HEADING.map(|text| text.of(self.manner.language));
        let table = layout::table(heading, &self.rows, width);
        self.rows.clear();
        self.out.write_all(table.as_bytes())?;
        self.out.flush()
    }
}

/// One message in a line, as an example of many.
pub(super) fn example(message: &Brief<'_>, manner: Manner) -> String {
    let mut reasons = Reasons { language: manner.language, known: HashMap::new() };
    let (id, size, age) = (&message.id, size(message.size), age(message.at, manner.now));
    let from = printable(sender(message));
    let more = match message.to.len() {
        0 | 1 => String::new(),
        all => format!(" (+{})", all - 1),
    };
    let first = message.to.first().map_or_else(String::new, |recipient| {
        let status = status(message, recipient, manner, &mut reasons);
        format!("{}{more}: {status}", printable(&recipient.address))
    });
    format!("{id}  {size}  {age}  {from} → {first}")
}

fn sender<'a>(message: &'a Brief<'_>) -> &'a str {
    if message.from.is_empty() { "<>" } else { &message.from }
}

fn status(
    message: &Brief<'_>,
    recipient: &BriefRecipient<'_>,
    manner: Manner,
    reasons: &mut Reasons,
) -> String {
    let Manner { language, now, .. } = manner;
    let what = match (recipient.state, recipient.next) {
        (State::Done, _) => DONE.of(language).to_owned(),
        (State::Sending, _) => match &recipient.turn {
            Some(turn) => in_turn(turn, now, language),
            None => SENDING.of(language).to_owned(),
        },
        (State::Waiting, _) if message.held => match &message.held_for {
            Some(why) => format!("{}: {}", HELD.of(language), reasons.of_kept(why, why)),
            None => HELD.of(language).to_owned(),
        },
        (State::Waiting, _) if recipient.paused.is_some() => {
            recipient.paused.map(|pause| paused(pause, manner)).unwrap_or_default()
        }
        (State::Waiting, Some(next)) => match ahead(next / 1000, now) {
            Some(span) => NEXT_TRY.with(language, &[("span", &span)]),
            None => DUE.of(language).to_owned(),
        },
        (State::Waiting, None) => WAITING.of(language).to_owned(),
    };
    match &recipient.text {
        Some(text) => {
            let reason = reasons.of(text, recipient.cause.as_deref());
            [what.as_str(), ": ", &reason].concat()
        }
        None => what,
    }
}

fn paused(pause: BriefPause, Manner { language, now, .. }: Manner) -> String {
    let number = pause.number.to_string();
    match pause.until.and_then(|until| ahead(until.div_euclid(1000), now)) {
        Some(span) => PAUSED_FOR.with(language, &[("number", &number), ("span", &span)]),
        None => PAUSED.with(language, &[("number", &number)]),
    }
}

/// Why recipients wait, in the language of whoever reads it.
struct Reasons {
    language: Language,
    /// Most of a queue waits for one of a few reasons.
    known: HashMap<String, String>,
}

impl Reasons {
    // What was kept as a text alone is left as it is, and English is what was kept.
    fn of(&mut self, text: &str, cause: Option<&str>) -> String {
        let Some(kept) = cause.filter(|_| self.language != Language::English) else {
            return printable(text);
        };
        self.of_kept(kept, text)
    }

    fn of_kept(&mut self, kept: &str, text: &str) -> String {
        if let Some(known) = self.known.get(kept) {
            return known.clone();
        }
        let said = printable(&Cause::of_kept(kept, text).said().of(self.language));
        if self.known.len() >= REMEMBERED {
            self.known.clear();
        }
        self.known.insert(kept.to_owned(), said.clone());
        said
    }
}

/// Everything about one message, for people.
pub(super) fn story(
    out: &mut impl Write,
    message: &MessageView,
    now: Timestamp,
    language: Language,
) -> io::Result<()> {
    for (name, value) in facts(message, now, language) {
        writeln!(out, "{:<12}{}", name.of(language), printable(&value))?;
    }
    for recipient in &message.recipients {
        writeln!(out)?;
        story_of(out, message, recipient, Manner { form: Form::Plain, language, now })?;
    }
    if let Some(header) = &message.header {
        writeln!(out, "\n{}", Text::new("Header", "Cabecera").of(language))?;
        for line in header.lines() {
            let line = printable(&line.replace('\t', "    "));
            writeln!(out, "  {}", layout::whole(&line))?;
        }
    }
    Ok(())
}

fn facts(message: &MessageView, now: Timestamp, language: Language) -> Vec<(Text, String)> {
    let since = AGO.with(language, &[("span", &ago(&message.arrived, now))]);
    let arrived = format!("{} ({since})", message.arrived);
    let mut facts = vec![
        (Text::same("ID"), message.id.clone()),
        (Text::new("From", "De"), format!("<{}>", message.from)),
        (Text::new("Origin", "Origen"), message.origin.clone()),
        (Text::new("Arrived", "Llegó"), arrived),
    ];
    if let Some(expires) = &message.expires {
        let left = match from_now(expires, now) {
            Some(span) => IN.with(language, &[("span", &span)]),
            None => OVERDUE.of(language).to_owned(),
        };
        facts.push((Text::new("Given up", "Caduca"), format!("{expires} ({left})")));
    }
    let octets = Text::new("octets", "octetos").of(language);
    let size = format!("{} ({} {octets})", size(message.size), message.size);
    facts.push((Text::new("Size", "Tamaño"), size));
    if message.held {
        let until = Text::new("until `puerto queue release`", "hasta `puerto queue release`");
        facts.push((Text::new("Held", "Retenido"), until.of(language).to_owned()));
        let why = message.why_held().map(|why| why.said().of(language).to_string());
        facts.extend(why.map(|why| (Text::new("Held for", "Motivo"), why)));
    }
    let wish = message.tls_wish.map(|wish| match wish {
        WishView::Required => Text::new(
            "REQUIRETLS: it goes to no host that does not prove who it is",
            "REQUIRETLS: no va a ninguna máquina que no demuestre quién es",
        ),
        WishView::Optional => Text::new(
            "TLS-Required: No: it goes also where TLS fails",
            "TLS-Required: No: va también donde falle TLS",
        ),
    });
    facts.extend(wish.map(|wish| (Text::same("TLS"), wish.of(language).to_owned())));
    for order in &message.paused {
        let line = orders::line(order, now, language);
        facts.push((Text::new("Paused", "En pausa"), line));
    }
    let parks = message.parked.iter().map(|park| (PARK, parked(park, now, language)));
    facts.extend(parks);
    if message.delay_notified {
        let told =
            Text::new("the sender was told of the delay", "se ha avisado del retraso al remitente");
        facts.push((Text::new("Notice", "Aviso"), told.of(language).to_owned()));
    }
    if let Some(id) = &message.envelope_id {
        facts.push((Text::new("Envelope id", "Id. sobre"), id.clone()));
    }
    facts
}

fn story_of(
    out: &mut impl Write,
    message: &MessageView,
    recipient: &RecipientView,
    manner: Manner,
) -> io::Result<()> {
    let Manner { language, now, .. } = manner;
    let mut line = |name: Text, value: &str| writeln!(out, "{:<12}{value}", name.of(language));
    line(Text::new("To", "Para"), &format!("<{}>", printable(&recipient.address)))?;
    let state = match recipient.state {
        State::Done => DONE,
        State::Sending => SENDING,
        State::Waiting if message.held => HELD,
        State::Waiting => WAITING,
    };
    let attempts =
        Text::new("{state}, failed attempts: {count}", "{state}, intentos fallidos: {count}");
    let paused = recipient
        .paused
        .filter(|_| state == WAITING)
        .map(|number| PAUSED.with(language, &[("number", &number.to_string())]));
    let turn = recipient.turn.as_ref().filter(|_| recipient.state == State::Sending);
    let said = paused.or_else(|| turn.map(|turn| in_turn(turn, now, language)));
    let state = said.as_deref().unwrap_or_else(|| state.of(language));
    let values = [("state", state), ("count", &recipient.attempts.to_string())];
    line(Text::new("  State", "  Estado"), &attempts.with(language, &values))?;
    let is_kept = message.held || recipient.paused.is_some();
    if let Some(next) = recipient.next_attempt.as_ref().filter(|_| !is_kept) {
        let wait = until(next, now, language);
        line(Text::new("  Next try", "  Próximo"), &format!("{next} ({wait})"))?;
    }
    if let Some(last) = &recipient.last {
        line(Text::new("  Last try", "  Último"), &place_of(last, language))?;
        line(Text::new("  Reply", "  Respuesta"), &reply_of(last, language))?;
        if let Some(meaning) = meaning(&last.cause(), language) {
            line(Text::new("  Meaning", "  Significa"), meaning)?;
        }
    }
    let earlier = recipient.attempts_list.split_last().map_or(&[][..], |(_, earlier)| earlier);
    for (nth, attempt) in earlier.iter().enumerate().rev() {
        let name = match nth {
            0 => Text::new("  First try", "  Primero"),
            _ => Text::new("  Earlier", "  Antes"),
        };
        line(name, &format!("{}: {}", place_of(attempt, language), reply_of(attempt, language)))?;
    }
    Ok(())
}

fn place_of(attempt: &AttemptView, language: Language) -> String {
    // As in the log, `none` is the relay of what reached nobody.
    let at = match attempt.relay.as_str() {
        "none" => Text::same("{at}"),
        _ => Text::new("{at} at {relay}", "{at} en {relay}"),
    };
    at.with(language, &[("at", &attempt.at), ("relay", &printable(&attempt.relay))])
}

fn reply_of(attempt: &AttemptView, language: Language) -> String {
    let text = printable(&attempt.cause().said().of(language));
    // What another server said begins with its codes.
    match (text.contains(&attempt.status), attempt.code) {
        (true, _) => text,
        (false, Some(code)) => format!("{code} {} {text}", attempt.status),
        (false, None) => format!("{} {text}", attempt.status),
    }
}

// The clause that the log has is English; in Spanish the cause says it.
fn meaning(cause: &Cause, language: Language) -> Option<&'static str> {
    let found = explain::of_cause(cause, None)?;
    Some(match language {
        // What is queued is tried again.
        Language::English => found.of_kind(explain::Kind::Temporary).clause(),
        Language::Spanish => found.cause(language),
    })
}

fn until(time: &str, now: Timestamp, language: Language) -> String {
    match from_now(time, now) {
        Some(span) => IN.with(language, &[("span", &span)]),
        None => NOW.of(language).to_owned(),
    }
}

/// Of mail whose time is over: whether it is given up is looked at when it has been tried.
pub(crate) const OVERDUE: Text =
    Text::new("over: with the next attempt that fails", "ya pasó: con el próximo intento fallido");

/// What stands before a pause that a destination asked for.
pub(crate) const PARK: Text = Text::new("Waits for", "Espera a");

/// A pause that a destination asked for.
pub(crate) fn parked(park: &ParkView, now: Timestamp, language: Language) -> String {
    let text = Text::new(
        "{lane}, which asked for a pause; no attempt is spent until {until} ({span}){why}",
        "{lane}, que pidió una pausa; no se gasta ningún intento hasta {until} ({span}){why}",
    );
    let why = park.cause.as_ref().map(|cause| format!(": {}", cause.said().of(language)));
    let span = until(&park.until, now, language);
    let parts = [
        ("lane", park.lane.as_str()),
        ("until", &park.until),
        ("span", &span),
        ("why", why.as_deref().unwrap_or_default()),
    ];
    printable(&text.with(language, &parts))
}

/// That it waits in line for a rate.
pub(crate) fn in_turn(turn: &TurnView, now: Timestamp, language: Language) -> String {
    let text = match turn.in_all {
        true => Text::new(
            "in line for {lane}, which goes on {span}: {count} messages an hour at most to all \
             destinations together (`rate_in_all`)",
            "en turno para {lane}, que sigue {span}: como mucho {count} mensajes por hora a todos \
             los destinos juntos (`rate_in_all`)",
        ),
        false => Text::new(
            "in line for {lane}, which goes on {span}: {count} messages an hour at most to it",
            "en turno para {lane}, que sigue {span}: como mucho {count} mensajes por hora",
        ),
    };
    let (span, count) = (until(&turn.next, now, language), turn.per_hour.to_string());
    printable(&text.with(language, &[("lane", &turn.lane), ("span", &span), ("count", &count)]))
}
