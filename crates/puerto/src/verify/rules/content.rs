//! What a message carries: its parts and attachments.

use puerto_mail::header::Header;

use super::Subject;
use super::catalog::{ATTACHMENTS, EIGHT_BIT, MIME};
use crate::lang::{Said, Text};
use crate::verify::finding::{Finding, Severity};
use crate::verify::mime::{self, Part, Problem, Structure};

impl Subject<'_> {
    pub(super) fn content(&self, header: &Header<'_>, findings: &mut Vec<Finding>) {
        const VERSION: Text =
            Text::new("Content-Type without MIME-Version", "Content-Type sin MIME-Version");
        let structure = mime::read(header);
        if header.first("Content-Type").is_some() && header.first("MIME-Version").is_none() {
            findings.push(MIME.broken(Said::plain(VERSION)));
        }
        findings.extend(structure.problems.iter().map(broken_structure));
        text_parts(&structure, findings);
        for part in &structure.parts {
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

fn text_parts(structure: &Structure, findings: &mut Vec<Finding>) {
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
    let eight_bit: Vec<&Part> = structure.parts.iter().filter(|part| part.eight_bit).collect();
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
    let has = |media_type| structure.parts.iter().any(|part| part.media_type == media_type);
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
    let lower = name.replace("%2E", ".").replace("%2e", ".").to_ascii_lowercase();
    let extension = lower.trim_end_matches(['.', ' ']).rsplit_once('.').map(|(_, last)| last);
    if extension.is_some_and(|extension| mime::BLOCKED_EXTENSIONS.contains(&extension)) {
        findings.push(ATTACHMENTS.broken(Said::with(TEXT, &[("file", name)])));
    }
}
