//! Writing for people and programs that may stop reading.

use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;

use crate::control::ClientError;
/// A text from the network on one line of a terminal, nothing of it hidden or turned round.
pub(super) use crate::lang::harmless as printable;
use crate::lang::harmless_json;
use crate::lang::layout::set;

/// The widest lines that read well.
const WIDEST: usize = 120;

/// The columns of a terminal; `COLUMNS` overrules what it says, also where there is none.
/// `None`: lines may be as long as they are.
pub(super) fn columns(stream: &(impl AsFd + IsTerminal)) -> Option<usize> {
    let asked = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
    let of_terminal = || {
        let size = rustix::termios::tcgetwinsize(stream).ok()?;
        Some(usize::from(size.ws_col)).filter(|columns| *columns > 0)
    };
    match asked.filter(|columns| *columns > 0) {
        None if stream.is_terminal() => Some(of_terminal().unwrap_or(80)),
        asked => asked,
    }
}

/// Shows people a text on standard output, in lines that their terminal holds and with
/// its colours only where there are any.
pub(super) fn show(text: &str) -> io::Result<()> {
    show_within(text, columns(&io::stdout()).map(|width| width.min(WIDEST)))
}

/// The same for a few sentences, which are set as on a terminal of 80 columns elsewhere too.
pub(super) fn show_reading(text: &str) -> io::Result<()> {
    show_within(text, Some(columns(&io::stdout()).map_or(78, |width| width.min(78))))
}

fn show_within(text: &str, width: Option<usize>) -> io::Result<()> {
    let mut out = anstream::stdout().lock();
    if_read(out.write_all(set(text, width).as_bytes()).and_then(|()| out.flush()))
}

/// Tells people on standard error, a line's end added.
pub(super) fn tell(text: &str) {
    let width = columns(&io::stderr()).map(|width| width.min(WIDEST));
    // Who closed standard error wants to be told nothing.
    let _ignored = writeln!(anstream::stderr(), "{}", set(text, width));
}

/// Writes a line to standard output.
pub(super) fn say(line: &str) -> io::Result<()> {
    print(&format!("{line}\n"))
}

/// Writes a text to standard output as it is. That nobody reads it is no failure: whoever
/// runs `mailq | head -1` has what they want.
pub(super) fn print(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    if_read(out.write_all(text.as_bytes()).and_then(|()| out.flush()))
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
