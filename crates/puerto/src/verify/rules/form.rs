//! How a message is written: lines, sizes, and which fields stand in the header.

use puerto_mail::date;
use puerto_mail::header::{Header, parse_address_list};
use puerto_smtp::limits::MAX_TEXT_LINE;

use super::Subject;
use super::catalog::{
    CRLF, DATE, EIGHT_BIT, HEADER_SIZE, LINE_LENGTH, MESSAGE_ID, RFC5322, SIZE, TO,
};
use crate::finding::{Finding, Severity};
use crate::lang::{Said, Text, address_list_error, said, said_of};

const MAX_HEADER: usize = 64 * 1024;
const MAX_FIELD: usize = 16 * 1024;
const MAX_RECEIVED: usize = 50;
/// What Gmail and most others take.
const MAX_SIZE: usize = 25 * 1024 * 1024;
const MAX_RECIPIENTS: usize = 100;
const DAY: i64 = 86_400;
/// How far ahead of the receiver's clock a date may be, in seconds.
const CLOCK_SKEW: i64 = 300;
/// Fields of which one is allowed and which no other rule is about.
const SINGLE: [&str; 8] =
    ["Sender", "Reply-To", "To", "Cc", "Bcc", "In-Reply-To", "References", "Subject"];

impl Subject<'_> {
    pub(super) fn line_ends(&self, findings: &mut Vec<Finding>) {
        const FEED: Text = Text::new(
            "1 line ends in LF alone, the others in CRLF",
            "1 línea termina solo en LF, las demás en CRLF",
        );
        const FEEDS: Text = Text::new(
            "{count} lines end in LF alone, the others in CRLF",
            "{count} líneas terminan solo en LF, las demás en CRLF",
        );
        const RETURNS: Text =
            Text::new("{count} CR without an LF behind it", "{count} CR sin LF detrás");
        const NUL: Text = Text::new("1 NUL octet", "1 octeto NUL");
        const NULS: Text = Text::new("{count} NUL octets", "{count} octetos NUL");
        for (count, one, many) in [
            (self.message.stray_line_feeds, FEED, FEEDS),
            (self.message.stray_carriage_returns, RETURNS, RETURNS),
            (self.message.nul_octets, NUL, NULS),
        ] {
            if count > 0 {
                let text = Text::by_count(count, one, many);
                findings.push(CRLF.broken(Said::with(text, &[("count", &count.to_string())])));
            }
        }
    }

    pub(super) fn line_lengths(&self, findings: &mut Vec<Finding>) {
        let lines = self.message.octets().split(|octet| *octet == b'\n');
        let lengths = lines.map(|line| line.strip_suffix(b"\r").unwrap_or(line).len());
        let too_long = lengths.enumerate().find(|(_, length)| *length > MAX_TEXT_LINE);
        if let Some((index, length)) = too_long {
            findings.push(LINE_LENGTH.broken(said!(
                "line {line} has {octets} octets", "la línea {line} tiene {octets} octetos";
                line = index + 1, octets = length
            )));
        }
    }

    pub(super) fn size(&self, findings: &mut Vec<Finding>) {
        let size = self.message.octets().len();
        if size > MAX_SIZE {
            findings.push(SIZE.broken(Said::words(format!("{} MB", size.div_ceil(1024 * 1024)))));
        }
    }

    pub(super) fn header_form(&self, header: &Header<'_>, findings: &mut Vec<Finding>) {
        if let Some(line) = header.malformed_line() {
            findings.push(RFC5322.broken(said!(
                "the line \"{line}\" is no field, and so ends the header",
                "la línea «{line}» no es un campo, y por eso termina la cabecera";
                line = String::from_utf8_lossy(line)
            )));
        } else if header.fields().is_empty() {
            findings.push(
                RFC5322
                    .broken(said!("there is no header field", "no hay ningún campo de cabecera")),
            );
        }
        for field in SINGLE {
            let count = header.count(field);
            if count > 1 {
                findings.push(RFC5322.broken(said!(
                    "{count} fields {field}", "{count} campos {field}";
                    count = count, field = field
                )));
            }
        }
        for name in ["Sender", "Reply-To", "To", "Cc"] {
            let Some(field) = header.first(name) else { continue };
            if let Err(error) = parse_address_list(field.value(), None) {
                let seen = said_of!(
                    "{field} is not a list of addresses: {problem}",
                    "{field} no es una lista de direcciones: {problem}";
                    field = Said::words(name), problem = address_list_error(&error)
                );
                findings.push(RFC5322.broken_at(Severity::Warning, seen));
            }
        }
    }

    pub(super) fn header_size(&self, header: &Header<'_>, findings: &mut Vec<Finding>) {
        let octets = header.octets().len();
        if octets > MAX_HEADER {
            findings.push(HEADER_SIZE.broken(said!(
                "the header has {octets} octets", "la cabecera tiene {octets} octetos";
                octets = octets
            )));
        }
        if let Some(field) = header.fields().iter().find(|field| field.raw().len() > MAX_FIELD) {
            findings.push(HEADER_SIZE.broken(said!(
                "the field {field} has {octets} octets", "el campo {field} tiene {octets} octetos";
                field = String::from_utf8_lossy(field.name()), octets = field.raw().len()
            )));
        }
        let received = header.count("Received");
        if received >= MAX_RECEIVED {
            findings.push(HEADER_SIZE.broken(said!(
                "{count} fields Received", "{count} campos Received"; count = received
            )));
        }
    }

    pub(super) fn eight_bit(&self, header: &Header<'_>, findings: &mut Vec<Finding>) {
        if let Some(field) = header.fields().iter().find(|field| !field.value().is_ascii()) {
            findings.push(EIGHT_BIT.broken(said!(
                "the field {field} has characters beyond ASCII as they are",
                "el campo {field} tiene caracteres no ASCII sin codificar";
                field = String::from_utf8_lossy(field.name())
            )));
        }
    }

    pub(super) fn date(&self, header: &Header<'_>, findings: &mut Vec<Finding>) {
        let mut say = |seen| findings.push(DATE.broken(seen));
        let Some(field) = header.first("Date") else {
            return say(said!("there is no Date", "falta Date"));
        };
        if header.count("Date") > 1 {
            return say(said!("there are several Date", "hay varios Date"));
        }
        let text = field.text();
        let Some(date) = date::parse(&field.unfolded()) else {
            let seen = said!("\"{date}\" is not a date", "«{date}» no es una fecha"; date = text);
            return say(seen);
        };
        // Of a message that is read again later, the first who received it says when.
        let came = arrival(header).unwrap_or(self.question.now);
        let age = came.saturating_sub(date.unix_seconds);
        if age < -CLOCK_SKEW {
            say(said!(
                "{date} is {minutes} minutes ahead of the time at which it came",
                "{date} va {minutes} minutos por delante de la hora a la que llegó";
                date = text, minutes = -age / 60
            ));
        } else if age > DAY {
            say(said!(
                "{date} is {hours} hours before the time at which it came",
                "{date} es {hours} horas anterior a la hora a la que llegó";
                date = text, hours = age / 3600
            ));
        }
    }

    pub(super) fn message_id(&self, header: &Header<'_>, findings: &mut Vec<Finding>) {
        let mut say = |severity, seen| findings.push(MESSAGE_ID.broken_at(severity, seen));
        let Some(field) = header.first("Message-ID") else {
            return say(Severity::Error, said!("there is no Message-ID", "falta Message-ID"));
        };
        if header.count("Message-ID") > 1 {
            let seen = said!("there are several Message-ID", "hay varios Message-ID");
            return say(Severity::Error, seen);
        }
        let id = field.text();
        match id_right(&id) {
            None => {
                let seen = said!(
                    "\"{id}\" is not of the form <left@right>",
                    "«{id}» no tiene la forma <izquierda@derecha>"; id = id
                );
                say(Severity::Error, seen);
            }
            Some(right) if !right.contains('.') && !right.starts_with('[') => {
                let seen = said!(
                    "the right part of {id} is no domain of the Internet",
                    "la parte derecha de {id} no es un dominio de Internet"; id = id
                );
                say(Severity::Warning, seen);
            }
            Some(_) => {}
        }
    }

    pub(super) fn recipients(&self, header: &Header<'_>, findings: &mut Vec<Finding>) {
        let mut say = |seen| findings.push(TO.broken(seen));
        let lists = header.named("To").chain(header.named("Cc"));
        let lists = lists.filter_map(|field| parse_address_list(field.value(), None).ok());
        let count: usize = lists.map(|list| list.len()).sum();
        if header.first("Bcc").is_some_and(|field| !field.unfolded().is_empty()) {
            say(said!(
                "Bcc still names recipients that others were not to see",
                "Bcc aún nombra destinatarios que los demás no debían ver"
            ));
        }
        if count > MAX_RECIPIENTS {
            say(said!(
                "To and Cc name {count} recipients to each other",
                "To y Cc muestran {count} destinatarios unos a otros"; count = count
            ));
        }
        if ["To", "Cc", "Bcc"].iter().all(|name| header.first(name).is_none()) {
            say(said!("neither To nor Cc is there", "no hay ni To ni Cc"));
        }
    }
}

// When the first host received the message, by the lowest Received field.
fn arrival(header: &Header<'_>) -> Option<i64> {
    let field = header.named("Received").next_back()?;
    let value = field.unfolded();
    let semicolon = memchr::memrchr(b';', &value)?;
    Some(date::parse(value.get(semicolon + 1..)?)?.unix_seconds)
}

/// The right part of a message identifier; `None` if it is not one. Comments are
/// allowed by the grammar and written by nobody, so that they are not.
pub(super) fn id_right(id: &str) -> Option<&str> {
    let inner = id.trim().strip_prefix('<')?.strip_suffix('>')?;
    let (left, right) = inner.rsplit_once('@')?;
    let sound = |c: char| !c.is_whitespace() && !c.is_control() && c != '<' && c != '>';
    (!left.is_empty() && !right.is_empty() && inner.chars().all(sound)).then_some(right)
}
