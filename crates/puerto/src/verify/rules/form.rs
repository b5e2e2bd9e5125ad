//! How a message is written: lines, sizes, and which fields stand in the header.

use puerto_mail::date;
use puerto_mail::header::{Header, parse_address_list};

use super::Subject;
use super::catalog::{
    CRLF, DATE, EIGHT_BIT, HEADER_SIZE, LINE_LENGTH, MESSAGE_ID, RFC5322, SIZE, TO,
};
use crate::lang::{Said, Text, address_list_error, said_of};
use crate::verify::finding::{Finding, Severity};

/// Octets of a line without its end (RFC 5322 §2.1.1).
const MAX_LINE: usize = 998;
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
        for (count, text) in [
            (
                self.message.stray_line_feeds,
                Text::by_count(
                    self.message.stray_line_feeds,
                    Text::new(
                        "1 line ends in LF alone, the others in CRLF",
                        "1 línea termina solo en LF, las demás en CRLF",
                    ),
                    Text::new(
                        "{count} lines end in LF alone, the others in CRLF",
                        "{count} líneas terminan solo en LF, las demás en CRLF",
                    ),
                ),
            ),
            (
                self.message.stray_carriage_returns,
                Text::new("{count} CR without an LF behind it", "{count} CR sin LF detrás"),
            ),
            (
                self.message.nul_octets,
                Text::by_count(
                    self.message.nul_octets,
                    Text::new("1 NUL octet", "1 octeto NUL"),
                    Text::new("{count} NUL octets", "{count} octetos NUL"),
                ),
            ),
        ] {
            if count > 0 {
                findings.push(CRLF.broken(Said::with(text, &[("count", &count.to_string())])));
            }
        }
    }

    pub(super) fn line_lengths(&self, findings: &mut Vec<Finding>) {
        const TEXT: Text =
            Text::new("line {line} has {octets} octets", "la línea {line} tiene {octets} octetos");
        let lines = self.message.octets().split(|octet| *octet == b'\n');
        let lengths = lines.map(|line| line.strip_suffix(b"\r").unwrap_or(line).len());
        if let Some((index, length)) = lengths.enumerate().find(|(_, length)| *length > MAX_LINE) {
            let (line, octets) = ((index + 1).to_string(), length.to_string());
            let seen = Said::with(TEXT, &[("line", &line), ("octets", &octets)]);
            findings.push(LINE_LENGTH.broken(seen));
        }
    }

    pub(super) fn size(&self, findings: &mut Vec<Finding>) {
        const TEXT: Text = Text::new("{size} MB", "{size} MB");
        let size = self.message.octets().len();
        if size > MAX_SIZE {
            let size = size.div_ceil(1024 * 1024).to_string();
            findings.push(SIZE.broken(Said::with(TEXT, &[("size", &size)])));
        }
    }

    pub(super) fn header_form(&self, header: &Header<'_>, findings: &mut Vec<Finding>) {
        const NO_FIELDS: Text =
            Text::new("there is no header field", "no hay ningún campo de cabecera");
        const MALFORMED: Text = Text::new(
            "the line \"{line}\" is no field, and so ends the header",
            "la línea «{line}» no es un campo, y por eso termina la cabecera",
        );
        const REPEATED: Text = Text::new("{count} fields {field}", "{count} campos {field}");
        if let Some(line) = header.malformed_line() {
            let line = String::from_utf8_lossy(line);
            findings.push(RFC5322.broken(Said::with(MALFORMED, &[("line", &line)])));
        } else if header.fields().is_empty() {
            findings.push(RFC5322.broken(Said::plain(NO_FIELDS)));
        }
        for field in SINGLE {
            let count = header.count(field);
            if count > 1 {
                let values = [("count", &*count.to_string()), ("field", field)];
                findings.push(RFC5322.broken(Said::with(REPEATED, &values)));
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
                findings.push(RFC5322.broken(seen).at(Severity::Warning));
            }
        }
    }

    pub(super) fn header_size(&self, header: &Header<'_>, findings: &mut Vec<Finding>) {
        const WHOLE: Text =
            Text::new("the header has {octets} octets", "la cabecera tiene {octets} octetos");
        const FIELD: Text = Text::new(
            "the field {field} has {octets} octets",
            "el campo {field} tiene {octets} octetos",
        );
        const RECEIVED: Text = Text::new("{count} fields Received", "{count} campos Received");
        let mut say = |text, field: &str, number: usize| {
            let number = number.to_string();
            let values = [("field", field), ("octets", &*number), ("count", &*number)];
            findings.push(HEADER_SIZE.broken(Said::with(text, &values)));
        };
        let octets = header.octets().len();
        if octets > MAX_HEADER {
            say(WHOLE, "", octets);
        }
        if let Some(field) = header.fields().iter().find(|field| field.raw().len() > MAX_FIELD) {
            say(FIELD, &String::from_utf8_lossy(field.name()), field.raw().len());
        }
        let received = header.count("Received");
        if received >= MAX_RECEIVED {
            say(RECEIVED, "", received);
        }
    }

    pub(super) fn eight_bit(&self, header: &Header<'_>, findings: &mut Vec<Finding>) {
        const TEXT: Text = Text::new(
            "the field {field} has characters beyond ASCII as they are",
            "el campo {field} tiene caracteres no ASCII sin codificar",
        );
        if let Some(field) = header.fields().iter().find(|field| !field.value().is_ascii()) {
            let name = String::from_utf8_lossy(field.name());
            findings.push(EIGHT_BIT.broken(Said::with(TEXT, &[("field", &name)])));
        }
    }

    pub(super) fn date(&self, header: &Header<'_>, findings: &mut Vec<Finding>) {
        const MISSING: Text = Text::new("there is no Date", "falta Date");
        const SEVERAL: Text = Text::new("there are several Date", "hay varios Date");
        const MALFORMED: Text = Text::new("\"{date}\" is not a date", "«{date}» no es una fecha");
        const FUTURE: Text = Text::new(
            "{date} is {minutes} minutes ahead of the time at which it came",
            "{date} va {minutes} minutos por delante de la hora a la que llegó",
        );
        const PAST: Text = Text::new(
            "{date} is {hours} hours before the time at which it came",
            "{date} es {hours} horas anterior a la hora a la que llegó",
        );
        let mut say = |text, values: &[(&'static str, &str)]| {
            findings.push(DATE.broken(Said::with(text, values)));
        };
        let Some(field) = header.first("Date") else { return say(MISSING, &[]) };
        if header.count("Date") > 1 {
            return say(SEVERAL, &[]);
        }
        let text = field.text();
        let Some(date) = date::parse(&field.unfolded()) else {
            return say(MALFORMED, &[("date", &text)]);
        };
        // Of a message that is read again later, the first who received it says when.
        let came = arrival(header).unwrap_or(self.question.now);
        let age = came.saturating_sub(date.unix_seconds);
        if age < -CLOCK_SKEW {
            say(FUTURE, &[("date", &text), ("minutes", &(-age / 60).to_string())]);
        } else if age > DAY {
            say(PAST, &[("date", &text), ("hours", &(age / 3600).to_string())]);
        }
    }

    pub(super) fn message_id(&self, header: &Header<'_>, findings: &mut Vec<Finding>) {
        const MISSING: Text = Text::new("there is no Message-ID", "falta Message-ID");
        const SEVERAL: Text = Text::new("there are several Message-ID", "hay varios Message-ID");
        const MALFORMED: Text = Text::new(
            "\"{id}\" is not of the form <left@right>",
            "«{id}» no tiene la forma <izquierda@derecha>",
        );
        const LOCAL: Text = Text::new(
            "the right part of {id} is no domain of the Internet",
            "la parte derecha de {id} no es un dominio de Internet",
        );
        let Some(field) = header.first("Message-ID") else {
            return findings.push(MESSAGE_ID.broken(Said::plain(MISSING)));
        };
        if header.count("Message-ID") > 1 {
            return findings.push(MESSAGE_ID.broken(Said::plain(SEVERAL)));
        }
        let id = field.text();
        match id_right(&id) {
            None => findings.push(MESSAGE_ID.broken(Said::with(MALFORMED, &[("id", &id)]))),
            Some(right) if !right.contains('.') && !right.starts_with('[') => {
                let finding = MESSAGE_ID.broken(Said::with(LOCAL, &[("id", &id)]));
                findings.push(finding.at(Severity::Warning));
            }
            Some(_) => {}
        }
    }

    pub(super) fn recipients(&self, header: &Header<'_>, findings: &mut Vec<Finding>) {
        const NOBODY: Text = Text::new("neither To nor Cc is there", "no hay ni To ni Cc");
        const BLIND: Text = Text::new(
            "Bcc still names recipients that others were not to see",
            "Bcc aún nombra destinatarios que los demás no debían ver",
        );
        const MANY: Text = Text::new(
            "To and Cc name {count} recipients to each other",
            "To y Cc muestran {count} destinatarios unos a otros",
        );
        let count: usize = header
            .named("To")
            .chain(header.named("Cc"))
            .filter_map(|field| parse_address_list(field.value(), None).ok())
            .map(|list| list.len())
            .sum();
        if header.first("Bcc").is_some_and(|field| !field.unfolded().is_empty()) {
            findings.push(TO.broken(Said::plain(BLIND)));
        }
        if count > MAX_RECIPIENTS {
            findings.push(TO.broken(Said::with(MANY, &[("count", &count.to_string())])));
        }
        if ["To", "Cc", "Bcc"].iter().all(|name| header.first(name).is_none()) {
            findings.push(TO.broken(Said::plain(NOBODY)));
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
