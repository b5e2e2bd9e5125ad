//! What a message carries: its parts and attachments.

use puerto_mail::header::{Field, Header, encoded_word};
use puerto_mail::mime::{self, Limits, Problem, Value};

use super::Subject;
use super::catalog::{ATTACHMENTS, EIGHT_BIT, MIME};
use crate::lang::{Said, Text};
use crate::verify::finding::{Finding, Severity};

/// How far parts are looked into.
const LIMITS: Limits = Limits { depth: 16, parts: 1000 };

/// Extensions of files that Gmail refuses, as others do with most of them.
const BLOCKED_EXTENSIONS: &str = "\
    ade adp apk appx appxbundle bat cab chm cmd com cpl diagcab diagcfg diagpkg dll dmg ex \
    ex_ exe hta img ins iso isp jar jnlp js jse lib lnk mde mjs msc msi msix msixbundle msp \
    mst nsh pif ps1 scr sct shb sys vb vbe vbs vhd vxd wsc wsf wsh xll";

/// A part without parts.
struct Part {
    media_type: String,
    charset: Option<String>,
    encoding: String,
    file_name: Option<String>,
    has_8_bits: bool,
}

impl Part {
    fn of(header: &Header<'_>) -> Self {
        let text = |name| header.first(name).map(Field::text);
        let kind = text("Content-Type").unwrap_or_else(|| "text/plain".to_owned());
        let kind = Value::of(&kind);
        let disposition = text("Content-Disposition").unwrap_or_default();
        let file_name = Value::of(&disposition).get("filename").or_else(|| kind.get("name"));
        let encoding = text("Content-Transfer-Encoding");
        Self {
            media_type: kind.word(),
            charset: kind.get("charset"),
            encoding: encoding.map_or_else(|| "7bit".to_owned(), |text| Value::of(&text).word()),
            file_name: file_name.map(|name| encoded_word::decode(&name)),
            has_8_bits: !header.body().is_ascii(),
        }
    }
}

impl Subject<'_> {
    pub(super) fn content(&self, header: &Header<'_>, findings: &mut Vec<Finding>) {
        const VERSION: Text =
            Text::new("Content-Type without MIME-Version", "Content-Type sin MIME-Version");
        let structure = mime::read(header, LIMITS);
        let parts: Vec<Part> = structure.parts.iter().map(Part::of).collect();
        if header.first("Content-Type").is_some() && header.first("MIME-Version").is_none() {
            findings.push(MIME.broken(Said::plain(VERSION)));
        }
        findings.extend(structure.problems.iter().map(broken_structure));
        text_parts(&parts, findings);
        for part in &parts {
            attachment(part, findings);
        }
    }
}

fn broken_structure(problem: &Problem) -> Finding {
    const NO_BOUNDARY: Text =
        Text::new("a multipart type without a boundary", "un tipo multipart sin boundary");
    const NO_PARTS: Text = Text::new(
        "no line begins a part of the boundary {boundary}",
        "ninguna línea inicia una parte del boundary {boundary}",
    );
    const NOT_CLOSED: Text =
        Text::new("the boundary {boundary} is never closed", "el boundary {boundary} no se cierra");
    const TOO_MANY: Text =
        Text::new("more parts than a receiver will read", "más partes de las que un receptor lee");
    MIME.broken(match problem {
        Problem::NoBoundary => Said::plain(NO_BOUNDARY),
        Problem::NoParts(boundary) => Said::with(NO_PARTS, &[("boundary", boundary)]),
        Problem::NotClosed(boundary) => Said::with(NOT_CLOSED, &[("boundary", boundary)]),
        Problem::TooMany => Said::plain(TOO_MANY),
    })
}

fn text_parts(parts: &[Part], findings: &mut Vec<Finding>) {
    const CHARSET: Text = Text::new(
        "a part {type} has characters beyond ASCII and declares no charset",
        "una parte {type} tiene caracteres no ASCII y no declara charset",
    );
    const ENCODING: Text = Text::new(
        "a part {type} has octets above 127 and is declared as {encoding}",
        "una parte {type} tiene octetos mayores que 127 y se declara como {encoding}",
    );
    const HTML_ALONE: Text = Text::new(
        "HTML without the same as text/plain beside it",
        "HTML sin lo mismo en text/plain al lado",
    );
    let eight_bit: Vec<&Part> = parts.iter().filter(|part| part.has_8_bits).collect();
    let is_text = |part: &&&Part| part.media_type.starts_with("text/");
    if let Some(part) = eight_bit.iter().filter(is_text).find(|part| part.charset.is_none()) {
        findings.push(MIME.broken(Said::with(CHARSET, &[("type", &part.media_type)])));
    }
    let undeclared =
        eight_bit.iter().find(|part| !matches!(part.encoding.as_str(), "8bit" | "binary"));
    if let Some(part) = undeclared {
        let values = [("type", &*part.media_type), ("encoding", &*part.encoding)];
        findings.push(EIGHT_BIT.broken(Said::with(ENCODING, &values)));
    }
    let has = |media_type| parts.iter().any(|part| part.media_type == media_type);
    if has("text/html") && !has("text/plain") {
        findings.push(MIME.broken(Said::plain(HTML_ALONE)).at(Severity::Info));
    }
}

fn attachment(part: &Part, findings: &mut Vec<Finding>) {
    const TEXT: Text = Text::new(
        "the attachment {file}, of a type that Gmail and others refuse",
        "el adjunto {file}, de un tipo que Gmail y otros rechazan",
    );
    let Some(name) = &part.file_name else { return };
    let lower = name.to_ascii_lowercase();
    let extension = lower.trim_end_matches(['.', ' ']).rsplit_once('.').map(|(_, last)| last);
    if BLOCKED_EXTENSIONS.split(' ').any(|blocked| Some(blocked) == extension) {
        findings.push(ATTACHMENTS.broken(Said::with(TEXT, &[("file", name)])));
    }
}
