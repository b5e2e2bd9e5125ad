//! The parts of a message (RFC 2045, RFC 2046), as far as receivers judge them.

use puerto_mail::header::{Header, encoded_word};

/// Parts within parts that are followed.
const MAX_DEPTH: usize = 16;
/// Parts of one message that are looked at.
const MAX_PARTS: usize = 1000;

/// Extensions of files that Gmail refuses, as others do with most of them.
pub const BLOCKED_EXTENSIONS: [&str; 54] = [
    "ade",
    "adp",
    "apk",
    "appx",
    "appxbundle",
    "bat",
    "cab",
    "chm",
    "cmd",
    "com",
    "cpl",
    "diagcab",
    "diagcfg",
    "diagpkg",
    "dll",
    "dmg",
    "ex",
    "ex_",
    "exe",
    "hta",
    "img",
    "ins",
    "iso",
    "isp",
    "jar",
    "jnlp",
    "js",
    "jse",
    "lib",
    "lnk",
    "mde",
    "mjs",
    "msc",
    "msi",
    "msix",
    "msixbundle",
    "msp",
    "mst",
    "nsh",
    "pif",
    "ps1",
    "scr",
    "sct",
    "shb",
    "sys",
    "vb",
    "vbe",
    "vbs",
    "vhd",
    "vxd",
    "wsc",
    "wsf",
    "wsh",
    "xll",
];

/// A part without parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Part {
    /// `text/plain`, in lower case.
    pub(super) media_type: String,
    /// The declared character set.
    pub(super) charset: Option<String>,
    /// The Content-Transfer-Encoding, in lower case; `7bit` if it is not declared.
    pub(super) encoding: String,
    /// The name of the file that it holds.
    pub(super) file_name: Option<String>,
    /// It has octets above 127 as it stands.
    pub(super) eight_bit: bool,
}

/// What is wrong with the structure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Problem {
    /// A multipart type names no boundary.
    NoBoundary,
    /// The boundary never comes.
    NoParts(String),
    /// The closing boundary never comes.
    NotClosed(String),
    /// There are more parts, or parts within parts, than any message needs.
    TooMany,
}

/// The parts and what is wrong.
#[derive(Debug, Default)]
pub(super) struct Structure {
    /// Parts without parts, in order.
    pub(super) parts: Vec<Part>,
    /// What is wrong, in order.
    pub(super) problems: Vec<Problem>,
}

/// Reads the structure of a message whose header was read.
pub(super) fn read(header: &Header<'_>) -> Structure {
    let mut structure = Structure::default();
    let mut waiting = vec![(header.clone(), 0)];
    while let Some((header, depth)) = waiting.pop() {
        let kind = header
            .first("Content-Type")
            .map_or_else(|| Value::of("text/plain"), |field| Value::of(&field.text()));
        if !kind.main.starts_with("multipart/") {
            if structure.parts.len() >= MAX_PARTS {
                structure.problems.push(Problem::TooMany);
                break;
            }
            structure.parts.push(part(&header, &kind));
            continue;
        }
        let Some(boundary) = kind.get("boundary").filter(|boundary| !boundary.is_empty()) else {
            structure.problems.push(Problem::NoBoundary);
            continue;
        };
        let (pieces, closed) = split(header.body(), boundary);
        if pieces.is_empty() {
            structure.problems.push(Problem::NoParts(boundary.to_owned()));
        } else if !closed {
            structure.problems.push(Problem::NotClosed(boundary.to_owned()));
        }
        if depth >= MAX_DEPTH || waiting.len() + pieces.len() > MAX_PARTS {
            structure.problems.push(Problem::TooMany);
            break;
        }
        // The last that is put on is the first that is taken off.
        let headers = pieces.iter().rev().filter_map(|piece| Header::parse(piece).ok());
        waiting.extend(headers.map(|header| (header, depth + 1)));
    }
    structure
}

fn part(header: &Header<'_>, kind: &Value) -> Part {
    let encoding = header
        .first("Content-Transfer-Encoding")
        .map_or_else(|| "7bit".to_owned(), |field| Value::of(&field.text()).main);
    let disposition = header.first("Content-Disposition").map(|f| Value::of(&f.text()));
    let file_name = disposition
        .as_ref()
        .and_then(|value| value.get("filename"))
        .or_else(|| kind.get("name"))
        .map(encoded_word::decode);
    Part {
        media_type: kind.main.clone(),
        charset: kind.get("charset").map(str::to_owned),
        encoding,
        file_name,
        eight_bit: !header.body().is_ascii(),
    }
}

/// The bodies between the lines of a boundary (RFC 2046 §5.1.1), and whether the
/// closing line came.
fn split<'a>(body: &'a [u8], boundary: &str) -> (Vec<&'a [u8]>, bool) {
    let delimiter = [b"--", boundary.as_bytes()].concat();
    let mut pieces = Vec::new();
    let mut begun: Option<usize> = None;
    let mut at = 0;
    while at < body.len() {
        let rest = body.get(at..).unwrap_or_default();
        let length = memchr::memchr(b'\n', rest).map_or(rest.len(), |end| end + 1);
        let line = rest.get(..length).unwrap_or_default().trim_ascii_end();
        if let Some(after) = line.strip_prefix(delimiter.as_slice())
            && (after.is_empty() || after == b"--")
        {
            if let Some(start) = begun {
                // The line's end before a boundary belongs to the boundary.
                let end = at.saturating_sub(2).max(start);
                pieces.push(body.get(start..end).unwrap_or_default());
            }
            if after == b"--" {
                return (pieces, true);
            }
            begun = Some(at + length);
        }
        at += length;
    }
    if let Some(start) = begun {
        pieces.push(body.get(start..).unwrap_or_default());
    }
    (pieces, false)
}

/// A value with parameters: `text/plain; charset=utf-8`.
pub(super) struct Value {
    /// What stands before the first parameter, in lower case.
    pub(super) main: String,
    parameters: Vec<(String, String)>,
}

impl Value {
    /// Reads a value; what is malformed is left out.
    pub(super) fn of(text: &str) -> Self {
        let mut pieces = outside_quotes(text).into_iter();
        let main = pieces.next().unwrap_or_default();
        let main = main.split(['(', ' ', '\t']).next().unwrap_or_default();
        let parameters = pieces
            .filter_map(|piece| {
                let (name, value) = piece.split_once('=')?;
                Some((name.trim().to_ascii_lowercase(), unquoted(value.trim())))
            })
            .collect();
        Self { main: main.to_ascii_lowercase(), parameters }
    }

    /// A parameter, in whole or in the forms of RFC 2231, of which the last piece is
    /// what tells the kind of a file.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        let is_it = |(parameter, _): &&(String, String)| {
            parameter == name || parameter.split('*').next() == Some(name)
        };
        self.parameters.iter().rfind(is_it).map(|(_, value)| value.as_str())
    }
}

// The text between semicolons that are not in quotes, trimmed.
fn outside_quotes(text: &str) -> Vec<String> {
    let mut pieces = vec![String::new()];
    let (mut quoted, mut escaped) = (false, false);
    for character in text.chars() {
        match character {
            ';' if !quoted => pieces.push(String::new()),
            other => {
                if other == '"' && !escaped {
                    quoted = !quoted;
                }
                if let Some(piece) = pieces.last_mut() {
                    piece.push(other);
                }
            }
        }
        escaped = character == '\\' && !escaped;
    }
    pieces.into_iter().map(|piece| piece.trim().to_owned()).collect()
}

fn unquoted(value: &str) -> String {
    let Some(inner) = value.strip_prefix('"') else {
        return value.split([' ', '\t', '(']).next().unwrap_or_default().to_owned();
    };
    let mut out = String::new();
    let mut characters = inner.chars();
    while let Some(character) = characters.next() {
        match character {
            '"' => break,
            '\\' => out.extend(characters.next()),
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn structure(message: &str) -> Structure {
        let message = message.replace('\n', "\r\n");
        read(&Header::parse(message.as_bytes()).unwrap())
    }

    #[test]
    fn parts_are_found_in_their_order() {
        let found = structure(
            "Content-Type: multipart/mixed; boundary=\"a;b\"\n\n--a;b\nContent-Type: \
             multipart/alternative;\n boundary=in\n\n--in\n\nhi\n--in\nContent-Type: text/html; \
             charset=utf-8\n\n<p>\n--in--\n\n--a;b\nContent-Type: application/pdf; \
             name=x\nContent-Disposition: attachment; filename*=utf-8''bill%2Eexe\n\n--a;b--\n",
        );
        assert_eq!(found.problems, []);
        let kinds: Vec<&str> = found.parts.iter().map(|part| &*part.media_type).collect();
        assert_eq!(kinds, ["text/plain", "text/html", "application/pdf"]);
        assert_eq!(found.parts[1].charset.as_deref(), Some("utf-8"));
        assert_eq!(found.parts[2].file_name.as_deref(), Some("utf-8''bill%2Eexe"));
    }

    #[test]
    fn what_is_broken_is_said() {
        for (message, problem) in [
            ("Content-Type: multipart/mixed\n\nx", Problem::NoBoundary),
            ("Content-Type: multipart/mixed; boundary=b\n\nx", Problem::NoParts("b".into())),
            (
                "Content-Type: multipart/mixed; boundary=b\n\n--b\n\nx\n--bc--\n",
                Problem::NotClosed("b".into()),
            ),
        ] {
            assert_eq!(structure(message).problems, [problem], "{message}");
        }
    }

    #[test]
    fn a_nest_without_end_is_left() {
        let mut message = String::new();
        for depth in 0..100 {
            message.push_str(&format!(
                "Content-Type: multipart/mixed; boundary=b{depth}\n\n--b{depth}\n"
            ));
        }
        assert!(structure(&message).problems.contains(&Problem::TooMany));
    }
}
