//! Takes a message from standard input: line ends are made right, and content that
//! is too large for memory goes to a nameless temporary file.
//!
//! Everything is read before the server is called. A job whose output is piped into
//! `sendmail` may take hours, and must not meet the time-outs of a session; and what
//! is known beforehand (size, 8-bit content, recipients in the header) need not be
//! guessed.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};

use puerto_mail::line_ends::LineEnds;

use super::raw::RawBody;
use crate::cli::exit::{Failure, Sysexit};
use crate::intake::Base64Lines;
use crate::lang::{Said, said_of, system};

/// Octets of content that are held in memory; the header must fit in half of them.
pub const IN_MEMORY: usize = 4 * 1024 * 1024;

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
    /// The body was no text, and is base64 now: what the header must say of it, the
    /// Content-Type first if it says none.
    pub encoded: Option<RawBody>,
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
        let mut start = Vec::with_capacity(BLOCK);
        let beginning = source.by_ref().take(BLOCK as u64).read_to_end(&mut start);
        beginning.map_err(|error| unreadable(&error))?;
        match RawBody::find(&start) {
            Some(raw) => input.read_raw(raw, &start, source)?,
            None => input.read_lines(&start, source, LineEnds::new(dot_ends))?,
        }
        Ok(input)
    }

    fn read_lines(
        &mut self,
        start: &[u8],
        source: impl Read,
        mut lines: LineEnds,
    ) -> Result<(), Failure> {
        let mut out = Vec::with_capacity(BLOCK + BLOCK / 8);
        lines.push(start, &mut out);
        self.keep(&out)?;
        let mut blocks = Blocks::of(source);
        while !lines.is_ended()
            && let Some(block) = blocks.next()?
        {
            out.clear();
            lines.push(block, &mut out);
            self.keep(&out)?;
        }
        out.clear();
        lines.finish(&mut out);
        self.keep(&out)
    }

    // What is no text has no lines: its octets stay what they are.
    fn read_raw(&mut self, raw: RawBody, start: &[u8], source: impl Read) -> Result<(), Failure> {
        let (header, body) = start.split_at_checked(raw.offset).unwrap_or((start, &[]));
        let mut lines = LineEnds::new(false);
        let mut out = Vec::new();
        lines.push(header, &mut out);
        lines.finish(&mut out);
        let mut encoder = Base64Lines::default();
        encoder.push(body, &mut out);
        let mut blocks = Blocks::of(source);
        while let Some(block) = blocks.next()? {
            self.keep(&out)?;
            out.clear();
            encoder.push(block, &mut out);
        }
        encoder.finish(&mut out);
        self.encoded = Some(raw);
        self.keep(&out)
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

// The source in blocks, however it is interrupted.
struct Blocks<R> {
    source: R,
    block: Vec<u8>,
}

impl<R: Read> Blocks<R> {
    fn of(source: R) -> Self {
        Self { source, block: vec![0; BLOCK] }
    }

    fn next(&mut self) -> Result<Option<&[u8]>, Failure> {
        loop {
            match self.source.read(&mut self.block) {
                Ok(0) => return Ok(None),
                Ok(count) => return Ok(self.block.get(..count)),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(unreadable(&error)),
            }
        }
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
    fn line_ends_are_made_right_and_octets_are_noticed() {
        for (given, dot_ends, expected) in [
            ("a\nb\r\nc\r\r\nd\re", true, "a\r\nb\r\nc\r\nd e\r\n"),
            ("a\n.\nb\n", true, "a\r\n"),
            ("a\n.\nb\n", false, "a\r\n.\r\nb\r\n"),
            ("é\na\0b\n", true, "é\r\na\0b\r\n"),
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
    fn utf16_keeps_its_octets() {
        let text = "\u{feff}Línea uno\r\nlínea dos\n.\n€\n".repeat(20_000);
        let wide: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let given = [b"Subject: x\n\n".as_slice(), &wide].concat();
        for size in [1000, BLOCK] {
            let mut input = Input::read(Pieces(&given, size), true).unwrap();
            let mut all = input.beginning.clone();
            if let Some(rest) = &mut input.rest {
                rest.reader().unwrap().read_to_end(&mut all).unwrap();
            }
            let body = all.strip_prefix(b"Subject: x\r\n\r\n").unwrap();
            assert!(puerto_smtp::base64::decode(body).unwrap() == wide);
            assert!(!input.eight_bit);
        }
    }

    #[test]
    fn large_content_goes_to_a_file() {
        let line = b"0123456789\n".repeat(600_000);
        let mut input = Input::read(Pieces(&line, BLOCK), true).unwrap();
        assert_eq!(input.beginning.len(), IN_MEMORY);
        let mut all = input.beginning.clone();
        let rest = input.rest.as_mut().unwrap();
        assert_eq!(rest.len(), 7_200_000 - IN_MEMORY as u64);
        for _ in 0..2 {
            all.truncate(IN_MEMORY);
            rest.reader().unwrap().read_to_end(&mut all).unwrap();
            assert!(all == b"0123456789\r\n".repeat(600_000));
        }
    }
}
