//! Takes a message from standard input: line ends are made right, and content that
//! is too large for memory goes to a nameless temporary file.
//!
//! Everything is read before the server is called. A job whose output is piped into
//! `sendmail` may take hours, and must not meet the time-outs of a session; and what
//! is known beforehand (size, 8-bit content, recipients in the header) need not be
//! guessed.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};

use crate::cli::exit::{Failure, Sysexit};
use crate::lang::{Said, said, said_of, system};

/// Octets of content that are held in memory; the header must fit in half of them.
pub const IN_MEMORY: usize = 2 * 1024 * 1024;

/// Octets that are read, written and sent at once.
pub const BLOCK: usize = 64 * 1024;

/// A message as it was given, with CRLF line ends and no dot-stuffing.
#[derive(Debug, Default)]
pub struct Input {
    /// Its beginning: all of it, if it is not larger than [`IN_MEMORY`].
    pub beginning: Vec<u8>,
    /// The rest, if any.
    pub rest: Option<Rest>,
    /// Whether any octet is not ASCII.
    pub eight_bit: bool,
}

/// The part of a message that is not held in memory.
#[derive(Debug)]
pub struct Rest {
    file: File,
    octets: u64,
}

impl Rest {
    /// How many octets it has.
    pub fn len(&self) -> u64 {
        self.octets
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.octets == 0
    }

    /// Reads it from its beginning.
    pub fn reader(&mut self) -> io::Result<impl Read + '_> {
        self.file.seek(SeekFrom::Start(0))?;
        Ok(&mut self.file)
    }
}

impl Input {
    /// Reads a message to its end; with `dot_ends`, a line that is a lone dot ends it
    /// before the end of the input.
    pub fn read(mut source: impl Read, dot_ends: bool) -> Result<Self, Failure> {
        let mut input = Self::default();
        let mut lines = LineEnds::new(dot_ends);
        let mut block = vec![0; BLOCK];
        let mut out = Vec::with_capacity(BLOCK + BLOCK / 8);
        while !lines.ended {
            let count = match source.read(&mut block) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(unreadable(&error)),
            };
            out.clear();
            lines.push(block.get(..count).unwrap_or_default(), &mut out)?;
            input.keep(&out)?;
        }
        out.clear();
        lines.finish(&mut out);
        input.keep(&out)?;
        Ok(input)
    }

    fn keep(&mut self, octets: &[u8]) -> Result<(), Failure> {
        self.eight_bit |= !octets.is_ascii();
        let room = IN_MEMORY.saturating_sub(self.beginning.len()).min(octets.len());
        let (near, far) = octets.split_at_checked(room).unwrap_or((octets, &[]));
        self.beginning.extend_from_slice(near);
        if far.is_empty() {
            return Ok(());
        }
        let rest = match &mut self.rest {
            Some(rest) => rest,
            none => {
                let file = tempfile::tempfile().map_err(|error| no_room(&error))?;
                none.insert(Rest { file, octets: 0 })
            }
        };
        rest.file.write_all(far).map_err(|error| no_room(&error))?;
        rest.octets += far.len() as u64;
        Ok(())
    }
}

fn unreadable(error: &io::Error) -> Failure {
    Failure::new(
        Sysexit::NoInput,
        said_of!(
            "cannot read the message from standard input: {error}; nothing was sent",
            "no se puede leer el mensaje de la entrada estándar: {error}; no se ha enviado nada";
            error = system(error)
        ),
    )
}

fn no_room(error: &io::Error) -> Failure {
    let directory = std::env::temp_dir();
    Failure::new(
        Sysexit::TryAgain,
        said_of!(
            "cannot keep the message in {directory}: {error}; nothing was sent, try again when \
             there is room, or set TMPDIR",
            "no se puede guardar el mensaje en {directory}: {error}; no se ha enviado nada: vuelva \
             a intentarlo cuando haya espacio, o define TMPDIR";
            directory = Said::words(directory.display().to_string()), error = system(error)
        ),
    )
}

/// Where a stream of lines stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Nothing of the line was seen.
    Start,
    /// The line began with a dot, which is held back: it may end the message.
    Dot,
    /// Further on.
    Inside,
}

/// Turns whatever line ends come into CRLF.
///
/// LF, CRLF and any number of CRs before an LF are one line end. CRs anywhere else
/// become a single space, as with Postfix: taken for a line end, they would let the
/// value of one header field become another field.
struct LineEnds {
    dot_ends: bool,
    place: Place,
    held_cr: bool,
    line: u64,
    ended: bool,
}

impl LineEnds {
    fn new(dot_ends: bool) -> Self {
        Self { dot_ends, place: Place::Start, held_cr: false, line: 1, ended: false }
    }

    fn push(&mut self, mut octets: &[u8], out: &mut Vec<u8>) -> Result<(), Failure> {
        while let Some(&next) = octets.first() {
            match next {
                b'\n' => {
                    if self.place == Place::Dot {
                        self.ended = true;
                        return Ok(());
                    }
                    out.extend_from_slice(b"\r\n");
                    self.place = Place::Start;
                    self.held_cr = false;
                    self.line += 1;
                }
                b'\r' => self.held_cr = true,
                b'.' if self.dot_ends && self.place == Place::Start && !self.held_cr => {
                    self.place = Place::Dot;
                }
                0 => return Err(self.null()),
                _ => {
                    let end = memchr::memchr3(b'\n', b'\r', 0, octets).unwrap_or(octets.len());
                    self.text(octets.get(..end).unwrap_or_default(), out);
                    octets = octets.get(end..).unwrap_or_default();
                    continue;
                }
            }
            octets = octets.get(1..).unwrap_or_default();
        }
        Ok(())
    }

    fn text(&mut self, text: &[u8], out: &mut Vec<u8>) {
        if self.place == Place::Dot {
            out.push(b'.');
        }
        if std::mem::take(&mut self.held_cr) {
            out.push(b' ');
        }
        out.extend_from_slice(text);
        self.place = Place::Inside;
    }

    fn finish(&mut self, out: &mut Vec<u8>) {
        let unfinished = self.place == Place::Inside || self.held_cr;
        if unfinished && self.place != Place::Dot && !self.ended {
            out.extend_from_slice(b"\r\n");
        }
    }

    fn null(&self) -> Failure {
        Failure::new(
            Sysexit::DataError,
            said!(
                "line {line} of the message holds a NUL octet, which mail cannot carry; encode it \
                 (base64 or quoted-printable); nothing was sent",
                "la línea {line} del mensaje tiene un octeto NUL, que el correo no puede llevar; \
                 codifícalo (base64 o quoted-printable); no se ha enviado nada";
                line = self.line
            ),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Hands out its octets a few at a time, so that every cut is met.
    struct Pieces<'a>(&'a [u8], usize);

    impl Read for Pieces<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let count = self.1.min(self.0.len()).min(buffer.len());
            let (now, later) = self.0.split_at(count);
            buffer[..count].copy_from_slice(now);
            self.0 = later;
            Ok(count)
        }
    }

    #[test]
    fn line_ends_are_made_right_at_any_cut() {
        for (given, dot_ends, expected) in [
            ("a\nb\n", true, "a\r\nb\r\n"),
            ("a\r\nb\r\n", true, "a\r\nb\r\n"),
            ("a\r\r\nb\n", true, "a\r\nb\r\n"),
            ("a\rb\n", true, "a b\r\n"),
            ("a\r\r\rb\n", true, "a b\r\n"),
            ("no end", true, "no end\r\n"),
            ("no end\r", true, "no end\r\n"),
            ("\n\n", true, "\r\n\r\n"),
            ("\r\n\r\n", true, "\r\n\r\n"),
            ("", true, ""),
            ("a\n.\nb\n", true, "a\r\n"),
            ("a\r\n.\r\nb\r\n", true, "a\r\n"),
            ("a\n.", true, "a\r\n"),
            ("a\n.\n", true, "a\r\n"),
            ("a\n.\r", true, "a\r\n"),
            (".\nb\n", true, ""),
            ("a\n.\nb\n", false, "a\r\n.\r\nb\r\n"),
            ("a\n.", false, "a\r\n.\r\n"),
            ("..\n.a\n. \n...\n", true, "..\r\n.a\r\n. \r\n...\r\n"),
            ("\r.\nb\n", true, " .\r\nb\r\n"),
            ("a\r.\rb\n", true, "a . b\r\n"),
            (".\rx\n", true, ". x\r\n"),
            ("é\n", true, "é\r\n"),
        ] {
            for size in [1, 2, 3, 1000] {
                let input = Input::read(Pieces(given.as_bytes(), size), dot_ends).unwrap();
                let text = String::from_utf8(input.beginning).unwrap();
                assert_eq!(text, expected, "{given:?} dot_ends={dot_ends} size={size}");
                assert_eq!(input.eight_bit, given.contains('é'));
            }
        }
    }

    #[test]
    fn a_null_is_refused_with_its_line() {
        for size in [1, 1000] {
            let failure = Input::read(Pieces(b"a\nb\n.\0c\n", size), true).unwrap_err();
            assert_eq!(failure.code, Sysexit::DataError);
            assert!(failure.message.to_string().starts_with("line 3 "), "{failure:?}");
        }
    }

    #[test]
    fn large_content_goes_to_a_file() {
        let line = b"0123456789\n".repeat(300_000);
        let mut input = Input::read(Pieces(&line, BLOCK), true).unwrap();
        assert_eq!(input.beginning.len(), IN_MEMORY);
        let mut all = input.beginning.clone();
        let rest = input.rest.as_mut().unwrap();
        assert_eq!(rest.len(), 3_600_000 - IN_MEMORY as u64);
        for _ in 0..2 {
            all.truncate(IN_MEMORY);
            rest.reader().unwrap().read_to_end(&mut all).unwrap();
            assert!(all == b"0123456789\r\n".repeat(300_000));
        }
    }
}
