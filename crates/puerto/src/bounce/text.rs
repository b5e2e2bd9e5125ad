//! What a notification says to people, in the language of the configuration: what
//! happened, to whom, why, and what they can do about it.

use puerto_mail::date::{self, DateTime};
use puerto_mail::dsn::Labels;
use puerto_mail::header::{Header, encoded_word};
use puerto_smtp::EnhancedCode;

use super::{Kind, Letter, Told, Whom};
use crate::deliver::{Outcome, Success};
use crate::explain::{self, Explanation, Whose};
use crate::intake::wall_clock;
use crate::lang::{Language, Text, is_harmful};

/// Recipients that are told about in words; the part for programs lists them all.
const MAX_NAMED: usize = 100;

pub(super) fn subject(letter: &Letter<'_>) -> Text {
    if letter.whom == Whom::Postmaster {
        return Text::new(
            "A notification could not be delivered",
            "No se ha podido entregar una notificación",
        );
    }
    match letter.notice.kind {
        Kind::Failed => {
            Text::new("Your message could not be delivered", "No se ha podido entregar su mensaje")
        }
        Kind::Delayed => Text::new(
            "Your message is late, nothing to do yet",
            "Su mensaje se retrasa; de momento no hay que hacer nada",
        ),
        Kind::Delivered => {
            Text::new("Your message has been delivered", "Su mensaje se ha entregado")
        }
    }
}

/// Characters of a subject that are quoted.
const MAX_SUBJECT: usize = 120;

/// The subject of the message that is told about, as people read it.
pub(super) fn subject_of(octets: &[u8]) -> Option<String> {
    let header = Header::parse(octets).ok()?;
    let subject = encoded_word::decode(&header.first("Subject")?.text());
    let plain = subject.split_whitespace().collect::<Vec<_>>().join(" ");
    let plain: String = plain.chars().filter(|c| !is_harmful(*c)).take(MAX_SUBJECT).collect();
    (!plain.is_empty()).then_some(plain)
}

const SERVER: Text =
    Text::new("This is the mail server {host}.", "Este es el servidor de correo {host}.");
const FAILED: Text = Text::new(
    "Your message of {arrival} could not be delivered to the recipients below. It will not be \
     tried again.",
    "Su mensaje del {arrival} no se ha podido entregar a los destinatarios que siguen. No se \
     volverá a intentar.",
);
const DELAYED: Text = Text::new(
    "Your message of {arrival} has not yet reached the recipients below. You need not do anything \
     and should not send it again: it will be tried until {until}. If that fails, you will be \
     told.",
    "Su mensaje del {arrival} aún no ha llegado a los destinatarios que siguen. No tiene que hacer \
     nada ni debe enviarlo otra vez: se seguirá intentando hasta el {until}. Si no se consigue, se \
     le avisará.",
);
const NEXT: Text =
    Text::new("The next attempt is made on {next}.", "El próximo intento será el {next}.");
const UNTOLD: Text = Text::new(
    "A notification of {arrival} could not be delivered to the recipients below, so that nobody \
     has been told what it says. It will not be tried again.",
    "Una notificación del {arrival} no se ha podido entregar a los destinatarios que siguen, así \
     que nadie sabe lo que dice. No se volverá a intentar.",
);
const DELIVERED: Text = Text::new(
    "You asked to be told: your message of {arrival} has been taken for the recipients below.",
    "Pidió que se le avisara: se ha aceptado su mensaje del {arrival} para los destinatarios que \
     siguen.",
);
const IN_MAILBOX: Text = Text::new("It is in the mailbox.", "Está en el buzón.");
const SENT_ON: Text = Text::new(
    "This address stands for several people, and the message was sent on to all of them.",
    "Esta dirección representa a varias personas, y el mensaje se ha enviado a todas.",
);
const PASSED_ON: Text = Text::new(
    "It was handed to {host}, which does not tell what becomes of it.",
    "Se ha entregado a {host}, que no informa de lo que ocurra después.",
);
const SUBJECT: Text = Text::new("Its subject: {subject}", "Su asunto: {subject}");
const IN_SHORT: Text = Text::new("In short: {short}.", "En resumen: {short}.");
const TOO_LONG: Text = Text::new(
    "It was tried again and again, until it had waited too long.",
    "Se intentó una y otra vez, hasta que llevaba demasiado tiempo esperando.",
);
const MORE: Text = Text::new("and {count} more", "y {count} más");
const QUOTE: Text = Text::new(
    "If you ask your administrator about this, quote the queue id {id}.",
    "Si pregunta a su administrador por esto, dígale el identificador de cola {id}.",
);

/// What the notification's parts are called.
pub(super) fn labels(language: Language) -> Labels {
    match language {
        Language::English => Labels::ENGLISH,
        Language::Spanish => Labels {
            preamble: "Este es un informe en formato MIME.",
            people: "Lo ocurrido, en palabras",
            programs: "Lo ocurrido, para programas",
            header: "La cabecera de su mensaje",
            message: "Su mensaje",
        },
    }
}

pub(super) fn body(
    letter: &Letter<'_>,
    (hostname, language): (&str, Language),
    subject: Option<&str>,
) -> String {
    let Letter { notice, told, .. } = letter;
    let first = match notice.kind {
        _ if letter.whom == Whom::Postmaster => UNTOLD,
        Kind::Failed => FAILED,
        Kind::Delayed => DELAYED,
        Kind::Delivered => DELIVERED,
    };
    let values = [
        ("arrival", &*day(wall_clock(notice.job.received_at), language)),
        ("until", &*day(wall_clock(notice.expire_at), language)),
    ];
    let mut text = SERVER.with(language, &[("host", hostname)]) + "\n\n";
    text.push_str(&(first.with(language, &values) + "\n"));
    if let Some(next) = notice.next_attempt.filter(|_| notice.kind == Kind::Delayed) {
        let next = day(wall_clock(next), language);
        text.push_str(&(NEXT.with(language, &[("next", &next)]) + "\n"));
    }
    if let Some(subject) = subject {
        text.push_str(&(SUBJECT.with(language, &[("subject", subject)]) + "\n"));
    }
    for told in told.iter().take(MAX_NAMED) {
        about(&mut text, notice.kind, told, language);
    }
    if let Some(count) = told.len().checked_sub(MAX_NAMED).filter(|count| *count > 0) {
        let more = MORE.with(language, &[("count", &count.to_string())]);
        text.push_str(&format!("\n  {more}\n"));
    }
    let quote = QUOTE.with(language, &[("id", &notice.job.id.to_string())]);
    text.push_str(&format!("\n{quote}\n"));
    text
}

// A recipient, what was said, what that means, and what to do: each once.
fn about(text: &mut String, notice: Kind, told: &Told<'_>, language: Language) {
    let Told { recipient, outcome } = told;
    text.push_str(&format!("\n  {}\n", recipient.recipient.address));
    let mut say = |line: &str| text.push_str(&format!("    {line}\n"));
    // What is given up is not tried again, whatever its last reply invited us to.
    let kind = match notice {
        Kind::Delivered => return say(&taken(outcome, language)),
        Kind::Failed => explain::Kind::Permanent,
        Kind::Delayed => explain::Kind::Temporary,
    };
    say(&outcome.cause.said().of(language));
    let explained = explain::of_cause(&outcome.cause, outcome.host.as_deref());
    let explained = explained.map(|found| found.of_kind(kind));
    if let Some(found) = explained {
        let short = match (language, notice) {
            (Language::English, Kind::Delayed) => found.clause(),
            // What to do is the advice's to say.
            _ => found.short(language),
        };
        say(&IN_SHORT.with(language, &[("short", short)]));
    }
    if notice == Kind::Failed {
        // What only ever failed for the moment was given up by age.
        if outcome.status_code.class == 4 {
            say(TOO_LONG.of(language));
        }
        let (matter, action) = advice(explained, outcome.status_code);
        let matter = matter.filter(|_| explained.is_none());
        let both = matter.into_iter().chain([action]).map(|text| text.of(language));
        say(&both.collect::<Vec<_>>().join(" "));
    }
}

fn taken(outcome: &Outcome, language: Language) -> String {
    match (outcome.success, &outcome.host) {
        (Success::Expanded, _) => SENT_ON.of(language).to_owned(),
        (Success::Delivered, _) | (_, None) => IN_MAILBOX.of(language).to_owned(),
        (_, Some(host)) => PASSED_ON.with(language, &[("host", host)]),
    }
}

// The form that mail gives to a date names day and month in English.
fn day(date: DateTime, language: Language) -> String {
    let zone = jiff::tz::Offset::from_seconds(date.offset_minutes.saturating_mul(60));
    let time = jiff::Timestamp::from_second(date.unix_seconds);
    match (language, time, zone) {
        (Language::Spanish, Ok(time), Ok(zone)) => {
            time.to_zoned(zone.to_time_zone()).strftime("%d/%m/%Y, %H:%M (UTC%:z)").to_string()
        }
        _ => date::format(date),
    }
}

// What is the matter, where that can be told, and what to do. The recipient's and the
// content's faults are for the sender to mend; all others need an administrator.
fn advice(explained: Option<Explanation>, status: EnhancedCode) -> (Option<Text>, Text) {
    match explained.map(|explanation| explanation.whose()) {
        Some(Whose::Server | Whose::Dns | Whose::Provider) => (
            None,
            Text::new(
                "Tell your administrator, who can do something about it.",
                "Avise a su administrador, que puede hacer algo al respecto.",
            ),
        ),
        _ => meaning(status),
    }
}

// By the subject and detail of the status (RFC 3463 §3).
fn meaning(status: EnhancedCode) -> (Option<Text>, Text) {
    let (matter, action) = match (status.subject, status.detail) {
        (1, 10) => (
            Text::new(
                "That domain says that it takes no mail at all.",
                "Ese dominio dice que no recibe ningún correo.",
            ),
            Text::new("Ask for another address.", "Pida otra dirección."),
        ),
        (1, 7 | 8) => (
            Text::new("Your own address was not accepted.", "No se aceptó la dirección de usted."),
            Text::new(
                "Check the sender that your program sets.",
                "Compruebe el remitente que pone su programa.",
            ),
        ),
        (1, 2) => (
            Text::new("There is no such domain.", "Ese dominio no existe."),
            Text::new(
                "Check what stands after the @ for typing mistakes.",
                "Compruebe que lo que va tras la @ esté bien escrito.",
            ),
        ),
        (1, _) => (
            Text::new("There is no such address.", "Esa dirección no existe."),
            Text::new("Check it for typing mistakes.", "Compruebe que esté bien escrita."),
        ),
        (2, 2) => (
            Text::new("The mailbox is full.", "El buzón está lleno."),
            Text::new(
                "Write anew in some days, or reach the person otherwise.",
                "Escriba de nuevo dentro de unos días o contacte de otro modo.",
            ),
        ),
        (2, 3) | (3, 4) => (
            Text::new("The message is too large.", "El mensaje es demasiado grande."),
            Text::new("Send less, or a link to it.", "Envíe menos, o un enlace."),
        ),
        (2, _) => (
            Text::new(
                "The mailbox takes no mail at present.",
                "El buzón no recibe correo por ahora.",
            ),
            Text::new("Reach the person otherwise.", "Contacte de otro modo."),
        ),
        (4, 6) => (
            Text::new("The message went round in circles.", "El mensaje daba vueltas sin fin."),
            Text::new("Your administrator can mend that.", "Su administrador puede arreglarlo."),
        ),
        (4, 4) => (
            Text::new(
                "That domain names no server that takes its mail.",
                "Ese dominio no nombra ningún servidor que reciba su correo.",
            ),
            Text::new(
                "Check what stands after the @ for typing mistakes, or reach the person otherwise.",
                "Compruebe que lo que va tras la @ esté bien escrito, o contacte de otro modo.",
            ),
        ),
        (4, _) => (
            Text::new(
                "The other server could not be reached.",
                "No se pudo llegar al otro servidor.",
            ),
            Text::new(
                "Reach the person otherwise, and tell your administrator.",
                "Contacte de otro modo y avise a su administrador.",
            ),
        ),
        (6, _) => (
            Text::new(
                "The other server cannot take a message of this form.",
                "El otro servidor no admite un mensaje de esta forma.",
            ),
            Text::new("Send it as plain text.", "Envíelo como texto sencillo."),
        ),
        (7, _) => (
            Text::new(
                "The other server refused it by its rules: often because it doubts the sender or \
                 takes the message for spam.",
                "El otro servidor lo rechazó por sus normas: a menudo porque duda del remitente o \
                 lo toma por correo basura.",
            ),
            Text::new(
                "Tell your administrator what it said.",
                "Cuente a su administrador lo que dijo.",
            ),
        ),
        _ => {
            let action = Text::new(
                "Tell your administrator what the other server said.",
                "Cuente a su administrador lo que dijo el otro servidor.",
            );
            return (None, action);
        }
    };
    (Some(matter), action)
}
