//! Keeps what the network says from harming a log: no control characters, nothing
//! that reorders a line for its reader, no field without end.

use std::fmt::{self, Write};

use crate::lang::is_harmful;

/// Octets of one field at most; the rest is cut off with an ellipsis.
pub(super) const FIELD_BOUND: usize = 2048;

/// How a field's characters are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Style {
    /// A character that must not stand in a log becomes `?`.
    Plain,
    /// As `Plain`, and parentheses become brackets.
    NoParentheses,
    /// As `Plain`, and a comma becomes a semicolon.
    NoComma,
    /// Inside a JSON string: escaped, and so kept.
    Json,
}

/// Appends a value so that it can do no harm on a line of text.
pub(super) fn plain(out: &mut String, value: impl fmt::Display) {
    push(out, Style::Plain, value);
}

/// Appends a value without parentheses, which readers take for the end of a reply.
pub(super) fn without_parentheses(out: &mut String, value: impl fmt::Display) {
    push(out, Style::NoParentheses, value);
}

/// Appends a value without commas, which readers take for the end of a field.
pub(super) fn without_comma(out: &mut String, value: impl fmt::Display) {
    push(out, Style::NoComma, value);
}

/// Appends a value as a JSON string, quotes included.
pub(super) fn json(out: &mut String, value: impl fmt::Display) {
    out.push('"');
    push(out, Style::Json, value);
    out.push('"');
}

fn push(out: &mut String, style: Style, value: impl fmt::Display) {
    let end = out.len() + FIELD_BOUND;
    let mut cleaner = Cleaner { out, style, end };
    // A failure means that the bound was reached.
    if write!(cleaner, "{value}").is_err() {
        out.push('…');
    }
}

struct Cleaner<'a> {
    out: &'a mut String,
    style: Style,
    end: usize,
}

impl Write for Cleaner<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if text.bytes().all(|byte| self.is_plain(byte)) && self.out.len() + text.len() <= self.end {
            self.out.push_str(text);
            return Ok(());
        }
        for character in text.chars() {
            if self.out.len() >= self.end {
                return Err(fmt::Error);
            }
            self.push(character)?;
        }
        Ok(())
    }
}

impl Cleaner<'_> {
    fn is_plain(&self, byte: u8) -> bool {
        matches!(byte, b' '..=b'~') && !matches!(byte, b'(' | b')' | b',' | b'"' | b'\\')
    }

    fn push(&mut self, character: char) -> fmt::Result {
        match (self.style, character) {
            (Style::Json, '"' | '\\') => {
                self.out.push('\\');
                self.out.push(character);
            }
            (Style::Json, hidden) if is_harmful(hidden) => {
                for unit in hidden.encode_utf16(&mut [0; 2]) {
                    write!(self.out, "\\u{unit:04x}")?;
                }
            }
            (_, hidden) if is_harmful(hidden) => self.out.push('?'),
            (Style::NoParentheses, '(') => self.out.push('['),
            (Style::NoParentheses, ')') => self.out.push(']'),
            (Style::NoComma, ',') => self.out.push(';'),
            (_, other) => self.out.push(other),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_cannot_harm_a_line() {
        let run = |clean: fn(&mut String, &str), text: &str| {
            let mut out = String::new();
            clean(&mut out, text);
            out
        };
        assert_eq!(run(|o, t| plain(o, t), "a\r\nb\x1b[31m\u{85}\u{202e}é"), "a??b?[31m??é");
        assert_eq!(run(|o, t| without_parentheses(o, t), "a (b)"), "a [b]");
        assert_eq!(run(|o, t| without_comma(o, t), "a, b"), "a; b");
        assert_eq!(run(|o, t| json(o, t), "a\"\\\n\u{202e}é"), "\"a\\\"\\\\\\u000a\\u202eé\"");
        let long = "x".repeat(FIELD_BOUND + 5);
        let cut = run(|o, t| plain(o, t), &long);
        assert!(cut.ends_with("x…") && cut.chars().count() == FIELD_BOUND + 1);
    }
}
