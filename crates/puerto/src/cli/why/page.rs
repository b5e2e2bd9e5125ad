//! The story for people.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::story::{Recipient, Story, Try};
use super::words;
use crate::cli::output::printable;
use crate::cli::queue::{orders, print};
use crate::control::view::State;
use crate::control::{MatchView, Standing, UnknownView};
use crate::explain;
use crate::finding::page::{BAD, FAINT, GOOD, TITLE, UNSURE, paint};
use crate::history::Happened;
use crate::history::fact::{self, Fact, Tried};
use crate::lang::layout::table;
use crate::lang::{Language, Said, Text, quoted, said, said_of};

/// Attempts of a recipient that are shown before the last ones.
const FIRST_TRIES: usize = 1;
const LAST_TRIES: usize = 3;

/// In which language, at what time and where a story is told.
pub(super) struct Manner {
    pub(super) language: Language,
    pub(super) now: Timestamp,
    pub(super) zone: TimeZone,
}

impl Manner {
    fn time(&self, at: &str) -> String {
        match at.parse::<Timestamp>() {
            Ok(time) => time.to_zoned(self.zone.clone()).strftime("%Y-%m-%d %H:%M:%S").to_string(),
            Err(_) => printable(at),
        }
    }

    // `in 9m`, `5m ago`.
    fn relative(&self, at: &str) -> String {
        let Ok(time) = at.parse::<Timestamp>() else { return String::new() };
        let seconds = time.as_second() - self.now.as_second();
        let span = span(seconds.unsigned_abs());
        let text = match seconds {
            1.. => IN,
            _ => AGO,
        };
        text.with(self.language, &[("span", &span)])
    }
}

const IN: Text = Text::new("in {span}", "dentro de {span}");
const AGO: Text = Text::new("{span} ago", "hace {span}");

fn span(seconds: u64) -> String {
    let nearest = |unit: u64| (seconds + unit / 2) / unit;
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7170 => format!("{} min", nearest(60)),
        7170..171_000 => format!("{} h", nearest(3600)),
        _ => format!("{} d", nearest(86_400)),
    }
}

/// The whole story.
pub(super) fn story(story: &Story<'_>, manner: &Manner) -> String {
    let language = manner.language;
    let mut page = Page { out: String::new(), language };
    let (style, said) = headline(story, manner);
    page.out.push_str(&format!("{}  {}\n\n", paint(TITLE, story.id), paint(style, &said)));
    beginning(&mut page, story, manner);
    for recipient in &story.recipients {
        page.out.push_str(&format!("\n{}\n", paint(TITLE, &printable(recipient.address))));
        attempts(&mut page, recipient, story.standing == Standing::Held, manner);
    }
    if !story.others.is_empty() {
        let also = Text::new("What else happened", "Qué más ocurrió");
        page.out.push_str(&format!("\n{}\n", paint(TITLE, also.of(language))));
        for happened in &story.others {
            page.event(&manner.time(&happened.at), &other(happened).of(language));
        }
    }
    let advice = story.advice();
    if !advice.is_empty() {
        let title = match story.standing {
            Standing::Failed => Text::new("What can be done", "Qué se puede hacer"),
            _ => Text::new("What would speed it up", "Qué lo aceleraría"),
        };
        page.out.push_str(&format!("\n{}\n", paint(TITLE, title.of(language))));
        for said in advice {
            page.out.push_str(&format!("  - {}\n", said.of(language)));
        }
    }
    page.out
}

/// A page with labels on its left.
struct Page {
    out: String,
    language: Language,
}

impl Page {
    fn fact(&mut self, label: Text, value: &str) {
        let label = label.of(self.language);
        let padding = " ".repeat(12_usize.saturating_sub(label.chars().count()).max(2));
        self.out.push_str(&format!("{}{padding}{value}\n", paint(FAINT, label)));
    }

    fn event(&mut self, at: &str, what: &str) {
        self.out.push_str(&format!("  {}  {what}\n", paint(FAINT, at)));
    }

    fn more(&mut self, what: &str) {
        self.out.push_str(&format!("{:23}{what}\n", ""));
    }
}

fn headline(story: &Story<'_>, manner: &Manner) -> (anstyle::Style, String) {
    let language = manner.language;
    let (style, text) = match story.standing {
        Standing::Held => (UNSURE, Text::new("is held", "está retenido")),
        Standing::Waiting if story.is_being_sent() => (
            UNSURE,
            Text::new("is being sent, or in line for it", "se está enviando o espera su turno"),
        ),
        Standing::Waiting if !story.paused.is_empty() => {
            (UNSURE, Text::new("is paused", "está en pausa"))
        }
        Standing::Waiting => (UNSURE, Text::new("waits", "espera")),
        Standing::Sent => (GOOD, Text::new("was delivered", "se entregó")),
        Standing::Failed => (BAD, Text::new("failed", "falló")),
        Standing::Refused => (BAD, Text::new("was not accepted", "no se aceptó")),
        Standing::Removed => {
            (UNSURE, Text::new("was removed from the queue", "se eliminó de la cola"))
        }
        Standing::Unknown => (
            UNSURE,
            Text::new("how it ended is not in the history", "su final no consta en el historial"),
        ),
    };
    let mut said = text.of(language).to_owned();
    let waits = story.standing == Standing::Waiting && story.paused.is_empty();
    if let Some(next) = story.next_attempt().filter(|_| waits) {
        let is_due = next.parse::<Timestamp>().is_ok_and(|next| next <= manner.now);
        let when = match is_due {
            true => Text::new("it is its turn now", "le toca ahora").of(language).to_owned(),
            false => Text::new("the next attempt is {when}", "el próximo intento es {when}")
                .with(language, &[("when", &manner.relative(next))]),
        };
        said.push_str(&format!(": {when}"));
    }
    (style, said)
}

fn beginning(page: &mut Page, story: &Story<'_>, manner: &Manner) {
    let language = manner.language;
    let queued_from = story.queued.map(|queued| &queued.from);
    if let Some(from) = story.ready.map(|ready| &ready.from).or(queued_from) {
        page.fact(Text::new("From", "De"), &format!("<{}>", printable(from)));
    }
    if let Some(ready) = story.ready.filter(|ready| !ready.message_id.is_empty()) {
        page.fact(Text::same("Message-ID"), &printable(&ready.message_id));
    }
    if let Some(arrived) = story.arrived {
        let value = format!("{} ({})", manner.time(arrived), manner.relative(arrived));
        page.fact(Text::new("Arrived", "Llegó"), &value);
    }
    match (story.origin, story.queued) {
        (Some(origin), _) => {
            page.fact(Text::new("Came", "Vino"), &words::came(origin).of(language));
        }
        (None, _) if story.is_sent_on() => {
            let text = Text::new(
                "from this server: a copy that an alias, a `.forward` or [virtual] sends on; the \
                 message itself has the same Message-ID",
                "de este servidor: una copia que reenvía un alias, un `.forward` o [virtual]; el \
                 mensaje original tiene el mismo Message-ID",
            );
            page.fact(Text::new("Came", "Vino"), text.of(language));
        }
        (None, Some(queued)) => {
            page.fact(Text::new("Came from", "Vino de"), &printable(&queued.origin));
        }
        (None, None) => {}
    }
    if let Some(size) = story.size {
        let octets = Text::new("{size} octets", "{size} octetos");
        let size = octets.with(language, &[("size", &size.to_string())]);
        page.fact(Text::new("Size", "Tamaño"), &size);
    }
    match story.ready {
        Some(ready) => {
            page.fact(Text::new("Changed", "Cambios"), &words::changes(ready).of(language));
            page.fact(Text::new("Signed", "Firma"), &words::signed(ready).of(language));
        }
        None => {
            let text = Text::new(
                "how it began is not in the history (any more)",
                "su comienzo no consta (o ya no consta) en el historial",
            );
            page.fact(Text::new("Note", "Nota"), text.of(language));
        }
    }
    for order in story.paused {
        let value = orders::line(order, manner.now, language);
        page.fact(Text::new("Paused", "En pausa"), &value);
    }
    for park in story.queued.iter().flat_map(|queued| &queued.parked) {
        page.fact(print::PARK, &print::parked(park, manner.now, language));
    }
    if let Some(expires) = story.queued.and_then(|queued| queued.expires.as_ref()) {
        let left = match print::from_now(expires, manner.now) {
            Some(_) => manner.relative(expires),
            None => print::OVERDUE.of(language).to_owned(),
        };
        let value = format!("{} ({left})", manner.time(expires));
        page.fact(Text::new("Given up", "Caduca"), &value);
    }
}

fn attempts(page: &mut Page, recipient: &Recipient<'_>, is_held: bool, manner: &Manner) {
    let language = manner.language;
    let count = recipient.tries.len();
    let hidden = count.saturating_sub(FIRST_TRIES + LAST_TRIES);
    let mut known = None;
    for (nth, one) in recipient.tries.iter().enumerate() {
        if hidden > 0 && (FIRST_TRIES..FIRST_TRIES + hidden).contains(&nth) {
            if nth == FIRST_TRIES {
                let text = Text::by_count(hidden as u64, ONE_MORE, MORE);
                page.more(&text.with(language, &[("count", &hidden.to_string())]));
            }
            continue;
        }
        attempt(page, one, &mut known, manner);
    }
    match recipient.queued {
        Some(queued) if count == 0 && queued.attempts > 0 => {
            if let Some(last) = &queued.last {
                let what = format!("{}: {}", last.relay, last.cause().said().of(language));
                page.event(&manner.time(&last.at), &printable(&what));
            }
        }
        None if count == 0 => {
            let never = Text::new(
                "nothing is known of an attempt for this recipient; an alias may have replaced it",
                "no se sabe de ningún intento para este destinatario; puede que lo haya \
                 sustituido un alias",
            );
            page.out.push_str(&format!("  {}\n", never.of(language)));
        }
        _ => {}
    }
    if let Some(queued) = recipient.queued.filter(|queued| queued.state != State::Done && !is_held)
    {
        let now = match (queued.state, &queued.next_attempt) {
            (State::Sending, _) => match &queued.turn {
                Some(turn) => print::in_turn(turn, manner.now, language),
                None => Text::new("being sent now", "enviándose ahora").of(language).to_owned(),
            },
            _ if queued.paused.is_some() => {
                let number = queued.paused.unwrap_or_default().to_string();
                PAUSED.with(language, &[("number", &number)])
            }
            (_, Some(next)) => {
                NEXT.with(language, &[("at", &manner.time(next)), ("when", &manner.relative(next))])
            }
            _ => Text::new("waiting", "en espera").of(language).to_owned(),
        };
        page.out.push_str(&format!("  {}\n", paint(UNSURE, &now)));
    }
}

const ONE_MORE: Text =
    Text::new("… and one more attempt like these …", "… y otro intento como estos …");
const MORE: Text = Text::new(
    "… and {count} more attempts between these …",
    "… y {count} intentos más entre estos …",
);
const PAUSED: Text = Text::new(
    "waits for the pause of order {number} to end",
    "espera a que termine la pausa de la orden {number}",
);
const NEXT: Text = Text::new("next attempt at {at} ({when})", "próximo intento: {at} ({when})");

// What was said of the attempt before need not be said again.
fn attempt(page: &mut Page, one: &Try<'_>, known: &mut Option<&'static str>, manner: &Manner) {
    let language = manner.language;
    let Try { at, node, tried } = one;
    let (style, word) = match tried.status.as_str() {
        "sent" => (GOOD, Text::new("delivered", "entregado")),
        "deferred" => (UNSURE, Text::new("not now", "ahora no")),
        _ => (BAD, Text::new("refused for good", "rechazado definitivamente")),
    };
    let said = tried.cause().said().of(language);
    let what = format!("{}: {}", paint(style, word.of(language)), printable(&said));
    page.event(&manner.time(at), &what);
    if tried.relay != "none" {
        page.more(&printable(&place(tried).of(language)));
    }
    if let Some(node) = node {
        let by = Text::new("by the node {node}", "por el nodo {node}");
        page.more(&by.with(language, &[("node", &printable(node))]));
    }
    let meaning = one.explained().map(|found| found.cause(language));
    if let Some(meaning) = meaning.filter(|meaning| *known != Some(*meaning)) {
        page.more(&format!("{} {meaning}", MEANS.of(language)));
    }
    *known = meaning;
}

const MEANS: Text = Text::new("Meaning:", "Significa:");

/// Where it was tried, over what, and how long that took.
fn place(tried: &Tried) -> Said {
    let relay = Said::words(&tried.relay);
    let tls = match (&tried.tls_version, &tried.tls_cipher) {
        _ if tried.component != "smtp" => Said::default(),
        (Some(version), Some(cipher)) => {
            let verified = match tried.tls_verified.as_deref() {
                Some("certificate" | "dane") => {
                    said!("certificate verified", "certificado verificado")
                }
                Some("known") => said!(
                    "certificate verified or known from before",
                    "certificado verificado o ya conocido"
                ),
                _ => said!("certificate not checked", "certificado sin comprobar"),
            };
            let tls = said!(
                ", {version} with {cipher}, ", ", {version} con {cipher}, ";
                version = version, cipher = cipher
            );
            Said::joined([&tls, &verified], "")
        }
        _ => said!(", without TLS", ", sin TLS"),
    };
    let seconds = |span: f64| format!("{span:.1}");
    let took = said!(
        "; {connection} s to connect, {transmission} s to send",
        "; {connection} s para conectar, {transmission} s para enviar";
        connection = seconds(tried.delay_connection),
        transmission = seconds(tried.delay_transmission)
    );
    let reason = match tried.tls_reason() {
        Some(reason) if tried.component == "smtp" => {
            said_of!(" ({reason})", " ({reason})"; reason = reason.said())
        }
        _ => Said::default(),
    };
    Said::joined([&relay, &tls, &reason, &took], "")
}

/// What else happened.
fn other(happened: &Happened) -> Said {
    match &happened.fact {
        Fact::Reject { code, dsn, text, .. } => said_of!(
            "refused: {reply}", "rechazado: {reply}";
            reply = quoted(&format!("{code} {dsn} {}", printable(text)))
        ),
        Fact::Notification { kind, notification } => said_of!(
            "the sender was told, by the message {id}: {kind}",
            "se avisó al remitente, con el mensaje {id}: {kind}";
            id = Said::words(printable(notification)), kind = words::notification(kind)
        ),
        Fact::Removed => said!("it left the queue", "salió de la cola"),
        Fact::Expired => said!(
            "it was too old to be tried again",
            "era demasiado antiguo para seguir intentándolo"
        ),
        Fact::Later { report, news, to, text, complaint, .. } => later(
            &printable(report),
            news,
            to.as_deref().map(printable).as_deref(),
            &printable(complaint.as_deref().unwrap_or(text)),
        ),
        Fact::Notice { text, cause, .. } => match fact::known(cause.as_ref()) {
            Some(cause) => Said::of_both(|language| printable(&cause.said().of(language))),
            None => quoted(&printable(text)),
        },
        _ => Said::default(),
    }
}

/// What a notice or a complaint has told about it, and what that means.
fn later(report: &str, news: &str, to: Option<&str>, text: &str) -> Said {
    let what = match news {
        "complaint" => Text::new("complained of, as {id} tells", "hubo una queja, según {id}"),
        "late" => Text::new("delayed behind us, as {id} tells", "retrasado después, según {id}"),
        "delivered" => Text::new("delivered, as {id} tells", "entregado, según {id}"),
        _ => Text::new("refused later, as {id} tells", "rechazado después, según {id}"),
    };
    let mut told = vec![Said::with(what, &[("id", report)])];
    told.extend(to.map(Said::words));
    // A complaint's kind is a word of its own and no reply.
    if news == "complaint" {
        told.push(words::complaint(text));
        return Said::joined(&told, ": ");
    }
    told.extend((!text.is_empty()).then(|| quoted(text)));
    told.extend(
        explain::specific(text, None)
            .map(|found| Said::of_both(|language| found.short(language).to_owned())),
    );
    Said::joined(&told, ": ")
}

/// Several messages, the newest first.
pub(super) fn list(matches: &[MatchView], numbered: bool, manner: &Manner) -> String {
    let language = manner.language;
    let state = |standing: Standing| match standing {
        Standing::Held => Text::new("held", "retenido"),
        Standing::Waiting => Text::new("waits", "espera"),
        Standing::Sent => Text::new("delivered", "entregado"),
        Standing::Failed => Text::new("failed", "falló"),
        Standing::Refused => Text::new("not accepted", "no aceptado"),
        Standing::Removed => Text::new("removed", "eliminado"),
        Standing::Unknown => Text::same("?"),
    };
    let rows: Vec<[String; 5]> = matches
        .iter()
        .enumerate()
        .map(|(nth, one)| {
            let id = if numbered { format!("{:>2}. {}", nth + 1, one.id) } else { one.id.clone() };
            let mut to = one.to.join(", ");
            if let Some(more @ 1..) = one.recipients.checked_sub(one.to.len() as u64) {
                to.push_str(&format!(" +{more}"));
            }
            let from = if one.from.is_empty() { "<>".to_owned() } else { printable(&one.from) };
            let state = state(one.state).of(language).to_owned();
            [id, manner.time(&one.at), from, printable(&to), state]
        })
        .collect();
    let heading = [
        Text::same("ID"),
        Text::new("Arrived", "Llegó"),
        Text::new("From", "De"),
        Text::new("To", "Para"),
        Text::new("State", "Estado"),
    ];
    let width = crate::cli::output::columns(&std::io::stdout());
    table(heading.map(|text| text.of(language)), &rows, width)
}

/// Why nothing is known.
pub(super) fn nothing(what: &str, unknown: &UnknownView, manner: &Manner) -> Vec<String> {
    let language = manner.language;
    let mut lines = vec![
        said!("nothing is known of {what}", "no se sabe nada de {what}"; what = what).of(language),
    ];
    let since = unknown.since.as_deref();
    let is_before = |given: &str| {
        since.is_none_or(|since| match (given.parse::<Timestamp>(), since.parse::<Timestamp>()) {
            (Ok(given), Ok(since)) => given < since,
            _ => false,
        })
    };
    if !unknown.on {
        let off = Text::new(
            "no history is kept (`[history]` in the configuration): only what waits can be told",
            "no se guarda historial (`[history]` en la configuración): solo se conoce lo que espera",
        );
        lines.push(off.of(language).to_owned());
    }
    match (&unknown.given, since) {
        (Some(given), _) if unknown.on && is_before(given) => {
            let text = Text::new(
                "that id was given on {at}: what happened then is no longer in the history",
                "ese identificador se dio el {at}: lo de entonces ya no está en el historial",
            );
            lines.push(text.with(language, &[("at", &manner.time(given))]));
        }
        (Some(given), Some(_)) => {
            let text = Text::new(
                "that id would be from {at}, and no message of then has it: look at it again",
                "ese identificador sería del {at}, y ningún mensaje de entonces lo tiene: \
                 compruébelo",
            );
            lines.push(text.with(language, &[("at", &manner.time(given))]));
        }
        (None, Some(since)) => {
            let text = Text::new(
                "the history begins at {at}: it came before, or never",
                "el historial comienza el {at}: llegó antes, o nunca",
            );
            lines.push(text.with(language, &[("at", &manner.time(since))]));
        }
        (_, None) if unknown.on => {
            let text = Text::new("the history is still empty", "el historial está todavía vacío");
            lines.push(text.of(language).to_owned());
        }
        (_, None) => {}
    }
    if !unknown.similar.is_empty() {
        let names: Vec<String> = unknown.similar.iter().map(|name| printable(name)).collect();
        let text = Text::new("did you mean {names}?", "¿quería decir {names}?");
        lines.push(text.with(language, &[("names", &names.join(", "))]));
    }
    if unknown.own_only {
        let text = Text::new(
            "only root is told of mail that other users have handed over",
            "solo root puede ver el correo que han entregado otros usuarios",
        );
        lines.push(text.of(language).to_owned());
    }
    lines
}
