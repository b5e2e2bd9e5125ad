//! What a message carries: its parts and attachments.

use puerto_mail::header::{Field, Header, encoded_word};
use puerto_mail::mime::{self, Limits, Problem, Value};

use super::Subject;
use super::catalog::{ATTACHMENTS, EIGHT_BIT, MIME};
use crate::finding::{Finding, Severity};
use crate::lang::{Said, said};

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
        let structure = mime::read(header, LIMITS);
        let parts: Vec<Part> = structure.parts.iter().map(Part::of).collect();
        if header.first("Content-Type").is_some() && header.first("MIME-Version").is_none() {
            findings.push(MIME.broken(said!(
                "Content-Type without MIME-Version",
                "Content-Type sin MIME-Version"
            )));
        }
        findings.extend(structure.problems.iter().map(|problem| MIME.broken(in_words(problem))));
        text_parts(&parts, findings);
        for name in parts.iter().filter_map(|part| part.file_name.as_deref()) {
            let lower = name.to_ascii_lowercase();
            let extension = lower.trim_end_matches(['.', ' ']).rsplit_once('.');
            let extension = extension.map(|(_, extension)| extension);
            if BLOCKED_EXTENSIONS.split(' ').any(|blocked| Some(blocked) == extension) {
                findings.push(ATTACHMENTS.broken(said!(
                    "the attachment {file}, of a type that Gmail and others refuse",
                    "el adjunto {file}, de un tipo que Gmail y otros rechazan";
                    file = name
                )));
            }
        }
    }
}

fn in_words(problem: &Problem) -> Said {
    match problem {
        Problem::NoBoundary => {
            said!("a multipart type without a boundary", "un tipo multipart sin boundary")
        }
        Problem::NoParts(boundary) => said!(
            "no line begins a part of the boundary {boundary}",
            "ninguna línea inicia una parte del boundary {boundary}";
            boundary = boundary
        ),
        Problem::NotClosed(boundary) => said!(
            "the boundary {boundary} is never closed", "el boundary {boundary} no se cierra";
            boundary = boundary
        ),
        Problem::TooMany => {
            said!("more parts than a receiver will read", "más partes de las que un receptor lee")
        }
    }
}

fn text_parts(parts: &[Part], findings: &mut Vec<Finding>) {
    let beyond_ascii = || parts.iter().filter(|part| part.has_8_bits);
    let is_text = |part: &&Part| part.media_type.starts_with("text/");
    if let Some(part) = beyond_ascii().filter(is_text).find(|part| part.charset.is_none()) {
        findings.push(MIME.broken(said!(
            "a part {type} has characters beyond ASCII and declares no charset",
            "una parte {type} tiene caracteres no ASCII y no declara charset";
            type = part.media_type
        )));
    }
    let is_declared = |part: &Part| matches!(part.encoding.as_str(), "8bit" | "binary");
    if let Some(part) = beyond_ascii().find(|part| !is_declared(part)) {
        findings.push(EIGHT_BIT.broken(said!(
            "a part {type} has octets above 127 and is declared as {encoding}",
            "una parte {type} tiene octetos mayores que 127 y se declara como {encoding}";
            type = part.media_type, encoding = part.encoding
        )));
    }
    let has = |media_type| parts.iter().any(|part| part.media_type == media_type);
    if has("text/html") && !has("text/plain") {
        findings.push(MIME.broken_at(
            Severity::Info,
            said!(
                "HTML without the same as text/plain beside it",
                "HTML sin lo mismo en text/plain al lado"
            ),
        ));
    }
}
