//! Writing for people and programs that may stop reading.

use std::io::{self, Write};

use crate::control::ClientError;
/// A text from the network on one line of a terminal, nothing of it hidden or turned round.
pub(super) use crate::lang::harmless as printable;
use crate::lang::harmless_json;

/// Writes a line to standard output. That nobody reads it is no failure: whoever
/// runs `mailq | head -1` has what they want.
pub(super) fn say(line: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    if_read(writeln!(out, "{line}").and_then(|()| out.flush()))
}

/// Turns the failure to write to somebody who has stopped reading into success.
pub(super) fn if_read(written: io::Result<()>) -> io::Result<()> {
    match written {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

/// Whether a list ended because nobody reads our output any more.
pub(super) fn is_unread(error: &ClientError) -> bool {
    matches!(error, ClientError::Lost(error) if error.kind() == io::ErrorKind::BrokenPipe)
}

/// A value as a JSON document that a terminal can show.
pub(super) fn json_document<T: serde::Serialize + ?Sized>(value: &T) -> serde_json::Result<String> {
    serde_json::to_string_pretty(value).map(|text| harmless_json(&text))
}
