//! Reads content on its way to the spool: its beginning, its octets in one pass, and
//! what of them has to be made right before anybody looks at it.

use std::io::Read;

use puerto_mail::charset::Guess;
use puerto_mail::dkim::{BodyHasher, Canonicalization};
use puerto_mail::header::{Header, HeaderError, MAX_HEADER, first_empty_line};
use puerto_mail::line_ends::LineEnds;
use puerto_mail::message::{Facts, Scanner};
use puerto_smtp::limits::MAX_TEXT_LINE;
use puerto_spool::{Content, SpoolError, Store};

use super::Refusal;

/// Octets of a header that a message may come with: half of what is read of a stored
/// one, since fields are added and encoded words are longer than what they encode.
const LONGEST: usize = MAX_HEADER / 2;
/// Octets that are read at once.
pub(super) const CHUNK: usize = 64 * 1024;

/// The refusal where the disk under large content fails.
pub(super) fn disk_failed(error: &std::io::Error) -> Refusal {
    SpoolError::Io(error.into()).into()
}

/// Hands out content from `offset` on, in pieces.
pub(super) fn each_piece(
    content: &Content,
    offset: usize,
    mut take: impl FnMut(&[u8]) -> Result<(), Refusal>,
) -> Result<(), Refusal> {
    if let Content::Memory(octets) = content {
        return take(octets.get(offset..).unwrap_or_default());
    }
    let mut reader = content.reader()?;
    let mut skip = offset;
    let mut buffer = vec![0; CHUNK];
    loop {
        let read = reader.read(&mut buffer).map_err(|error| disk_failed(&error))?;
        if read == 0 {
            return Ok(());
        }
        take(buffer.get(skip.min(read)..read).unwrap_or_default())?;
        skip -= skip.min(read);
    }
}

/// The facts about all of some content.
pub(super) fn facts(content: &Content) -> Result<Facts, Refusal> {
    let mut scanner = Scanner::new();
    each_piece(content, 0, |piece| {
        scanner.update(piece);
        Ok(())
    })?;
    Ok(scanner.finish())
}

/// The same content with line ends that are CRLF.
pub(super) fn mend_line_ends(content: &Content, store: &dyn Store) -> Result<Content, Refusal> {
    let mut draft = store.draft()?;
    let (mut lines, mut out) = (LineEnds::new(false), Vec::new());
    each_piece(content, 0, |piece| {
        out.clear();
        lines.push(piece, &mut out);
        Ok(draft.write(&out)?)
    })?;
    out.clear();
    lines.finish(&mut out);
    draft.write(&out)?;
    Ok(draft.finish()?)
}

/// The same content without the octets before `offset`.
pub(super) fn without_beginning(
    content: Content,
    offset: usize,
    store: &dyn Store,
) -> Result<Content, Refusal> {
    if offset == 0 {
        return Ok(content);
    }
    if let Content::Memory(mut octets) = content {
        octets.drain(..offset.min(octets.len()));
        return Ok(Content::Memory(octets));
    }
    let mut draft = store.draft()?;
    each_piece(&content, offset, |piece| Ok(draft.write(piece)?))?;
    Ok(draft.finish()?)
}

/// The beginning of the content, long enough to hold any header that is accepted.
pub(super) struct Head {
    /// A copy of it, where the content is on a disk or was cleaned.
    read: Option<Vec<u8>>,
    /// Octets before the header.
    pub(super) skip: usize,
    /// Octets of the header that nobody could send and that are gone.
    pub(super) removed: usize,
}

impl Head {
    /// Reads it. Of a message that is ours, an mbox file's separator is skipped and
    /// the header's NULs are removed.
    pub(super) fn read(content: &Content, is_ours: bool) -> Result<Self, Refusal> {
        let read = match content {
            Content::Memory(_) => None,
            Content::Spilled(_) => Some(read_head(content)?),
        };
        let mut head = Self { read, skip: 0, removed: 0 };
        if is_ours {
            head.skip = envelope_line(head.octets(content));
            head.remove_nuls(content);
        }
        Ok(head)
    }

    /// The octets of the header and of what follows it.
    pub(super) fn octets<'a>(&'a self, content: &'a Content) -> &'a [u8] {
        let octets = match (&self.read, content) {
            (Some(read), _) => read.as_slice(),
            (None, Content::Memory(octets)) => octets,
            (None, Content::Spilled(_)) => &[],
        };
        octets.get(self.skip..).unwrap_or_default()
    }

    /// The header. One of ours that is too long ends where the bound is: what follows
    /// is body then, and nothing is lost.
    pub(super) fn header<'a>(
        &'a self,
        content: &'a Content,
        is_ours: bool,
    ) -> Result<Header<'a>, HeaderError> {
        let octets = self.octets(content);
        match Header::parse_within(octets, LONGEST) {
            Err(HeaderError::TooLong) if is_ours => Ok(Header::parse_leading(octets, LONGEST)),
            result => result,
        }
    }

    /// Where the body begins in the content.
    pub(super) fn body_offset(&self, header: &Header<'_>) -> usize {
        self.skip + self.removed + header.body_offset()
    }

    fn remove_nuls(&mut self, content: &Content) {
        let octets = self.octets(content);
        // Next to none has one, and to look for it takes less than to read the header.
        if memchr::memchr(0, octets).is_none() {
            return;
        }
        let header = Header::parse_leading(octets, LONGEST);
        let mut end = header.body_offset();
        // A NUL in a field's name makes the line no field.
        if header.malformed_line().is_some_and(|line| line.contains(&0)) {
            end = first_empty_line(octets).unwrap_or(end);
        }
        let dirty = octets.get(..end).unwrap_or_default();
        if !dirty.contains(&0) {
            return;
        }
        let mut clean: Vec<u8> = dirty.iter().copied().filter(|octet| *octet != 0).collect();
        let removed = dirty.len() - clean.len();
        clean.extend_from_slice(octets.get(end..).unwrap_or_default());
        // What stands before the header is skipped either way.
        self.read = Some([vec![b' '; self.skip], clean].concat());
        self.removed = removed;
    }
}

fn read_head(content: &Content) -> Result<Vec<u8>, Refusal> {
    let mut head = Vec::new();
    let mut reader = content.reader()?;
    loop {
        let line = memchr::memrchr(b'\n', &head).map_or(0, |at| at + 1);
        let mut piece = reader.by_ref().take(CHUNK as u64);
        let read = piece.read_to_end(&mut head).map_err(|error| disk_failed(&error))?;
        let is_whole = first_empty_line(head.get(line..).unwrap_or_default()).is_some();
        if read == 0 || is_whole || head.len() > LONGEST + CHUNK {
            return Ok(head);
        }
    }
}

// Octets of a line that an mbox file puts before each message; programs that resend
// from one leave it there.
fn envelope_line(octets: &[u8]) -> usize {
    if !octets.starts_with(b"From ") && !octets.starts_with(b">From ") {
        return 0;
    }
    let line = octets.get(..MAX_TEXT_LINE).unwrap_or(octets);
    memchr::memmem::find(line, b"\r\n").map_or(0, |at| at + 2)
}

/// What the text from `offset` on seems to be in.
pub(super) fn charset(content: &Content, offset: usize) -> Result<&'static str, Refusal> {
    let mut text = Guess::default();
    each_piece(content, offset, |piece| {
        text.update(piece);
        Ok(())
    })?;
    Ok(text.charset())
}

/// One pass over a body: what it is like and, if it will be signed, its hash.
pub(super) struct Pass {
    pub(super) facts: Facts,
    pub(super) hasher: Option<BodyHasher>,
}

impl Pass {
    /// The pass over the content from `offset` on. `whole` are the facts about all of
    /// it; where nothing is odd about those, they hold for the body as well.
    pub(super) fn over(
        content: &Content,
        offset: usize,
        whole: Facts,
        sign: bool,
    ) -> Result<Self, Refusal> {
        let is_odd = whole.eight_bit || whole.nul || whole.longest_line > MAX_TEXT_LINE;
        let mut scanner = (offset > 0 && is_odd).then(Scanner::new);
        let mut hasher = sign.then(|| BodyHasher::new(Canonicalization::Relaxed));
        if scanner.is_some() || sign {
            each_piece(content, offset, |piece| {
                if let Some(scanner) = &mut scanner {
                    scanner.update(piece);
                }
                if let Some(hasher) = &mut hasher {
                    hasher.update(piece);
                }
                Ok(())
            })?;
        }
        Ok(Self { facts: scanner.map_or(whole, Scanner::finish), hasher })
    }
}
