//! What happens to a message between its last octet and its commit. Everything here
//! runs to the end on one thread; the only thing that may wait is the disk under
//! large content.
//!
//! A message that needs no change is not copied: our own fields go into the prefix
//! that is stored before it. When its header must change, the whole header moves
//! into the prefix and the content begins with the body.

use std::io::Read;
use std::sync::Arc;

use puerto_mail::date::DateTime;
use puerto_mail::dkim::{self, BodyHasher, Canonicalization, SigningKey, SigningTime};
use puerto_mail::header::{End, Field, Header, MAX_HEADER};
use puerto_mail::message::{Facts, Scanner, scan};
use puerto_mail::received::{self, Received};
use puerto_smtp::limits::MAX_TEXT_LINE;
use puerto_smtp::{Envelope, Reply};
use puerto_spool::{Content, MessageId, NewMessage, Origin, Spool, SpoolError, Timestamp};

use super::fix_up::{self, Fixed};
use super::{KeyRing, Refusal, Source, lines};
use crate::config::Config;

/// Content that is rewritten is held in memory, no more of it than this.
const MAX_REWRITTEN: u64 = 8 * 1024 * 1024;
const CHUNK: usize = 64 * 1024;

/// A message as it came, and what is needed to prepare it.
pub(super) struct Work {
    pub(super) id: MessageId,
    pub(super) source: Source,
    pub(super) envelope: Envelope,
    pub(super) content: Content,
    pub(super) now: Timestamp,
    pub(super) config: Arc<Config>,
    pub(super) keys: Arc<KeyRing>,
    pub(super) spool: Arc<dyn Spool>,
}

/// A message that is ready to be committed.
pub(super) struct Prepared {
    pub(super) message: NewMessage,
    /// The value of Message-ID, for the log.
    pub(super) message_id: String,
    /// What the administrator should know about it.
    pub(super) notices: Vec<String>,
}

/// A refusal for what the message itself is (RFC 3463 §3.7: 5.6.0).
pub(super) fn unacceptable(text: impl Into<String>) -> Refusal {
    Refusal { reply: Reply::enhanced(550, (5, 6, 0), text) }
}

/// Completes and signs a message.
pub(super) fn prepare(work: Work) -> Result<Prepared, Refusal> {
    let head = Head::read(&work.content, work.source.is_ours())?;
    let octets = head.octets(&work.content);
    let header = Header::parse(octets.get(head.skip..).unwrap_or_default())
        .map_err(|error| too_big(&error.to_string()))?;
    if received::is_looping(&header) {
        let text = format!("too many hops: more than {} Received fields", received::MAX_HOPS);
        return Err(Refusal { reply: Reply::enhanced(554, (5, 4, 6), text) });
    }
    let mut fixed = fix_up::fix(&header, &work)?;
    let keys = fixed.from_domain.as_ref().map(|domain| work.keys.keys_for(domain));
    let keys = keys.unwrap_or_default();
    let body_offset = head.skip + header.body_offset();
    let mut pass = Pass::over(&work.content, body_offset, !keys.is_empty())?;
    let facts =
        Facts { eight_bit: pass.facts.eight_bit || !header.octets().is_ascii(), ..pass.facts };
    check_octets(&facts, &scan(header.octets()))?;
    // A client by SMTP may have signed what it sends; a local program has not.
    let is_local = matches!(work.source, Source::Local { .. });
    let is_undescribed = is_local && pass.facts.eight_bit && !fixed.describes_body();
    if is_undescribed && let Content::Memory(octets) = &work.content {
        fixed.describe_text(character_set(octets.get(body_offset..).unwrap_or_default()));
        if facts.longest_line <= MAX_TEXT_LINE {
            fixed.set_transfer_encoding("8bit");
        }
    }
    let mut new_body = None;
    if facts.longest_line > MAX_TEXT_LINE {
        let body = long_lines_away(&work, &mut fixed, body_offset)?;
        pass = Pass::of_octets(&body, !keys.is_empty());
        new_body = Some(body);
    }
    let is_changed = fixed.is_changed || head.skip > 0 || header.end() != End::Blank;
    let (signatures, notices) = signatures(&keys, &fixed, pass.hasher.take(), work.now);
    let prefix = prefix(&work, &fixed, signatures, is_changed || new_body.is_some());
    let message_id = std::mem::take(&mut fixed.message_id);
    let envelope = Envelope {
        eight_bit: work.envelope.eight_bit || facts.eight_bit,
        smtputf8: work.envelope.smtputf8 || fixed.smtputf8,
        ..work.envelope
    };
    drop(fixed);
    let content = match new_body {
        Some(body) => Content::Memory(body),
        None if is_changed => without_header(work.content, body_offset, work.spool.as_ref())?,
        None => work.content,
    };
    let message = NewMessage {
        id: work.id,
        envelope,
        received_at: work.now,
        origin: origin(&work.source),
        prefix,
        content,
    };
    Ok(Prepared { message, message_id, notices })
}

// Text without a MIME header is US-ASCII (RFC 2045 §5.2), so a local program that
// writes anything else has to have it said for it.
fn character_set(body: &[u8]) -> &'static str {
    match std::str::from_utf8(body) {
        Ok(_) => "utf-8",
        Err(_) => "unknown-8bit", // RFC 1428 §3
    }
}

fn too_big(text: &str) -> Refusal {
    Refusal { reply: Reply::enhanced(552, (5, 3, 4), text) }
}

fn disk_failed(error: &std::io::Error) -> Refusal {
    SpoolError::Io(error.to_string()).into()
}

fn origin(source: &Source) -> Origin {
    match source {
        Source::Smtp { client, peer, .. } => {
            let name = client.name.as_deref().unwrap_or("unknown");
            Origin::Client(format!("{name}[{}]", peer.ip().to_canonical()))
        }
        Source::Local { uid, .. } => Origin::LocalUser(*uid),
        Source::Internal | Source::Forwarded => Origin::Internal,
    }
}

// The beginning of the content, long enough to hold any header that is accepted.
struct Head {
    read: Option<Vec<u8>>,
    skip: usize,
}

impl Head {
    fn read(content: &Content, is_ours: bool) -> Result<Self, Refusal> {
        let read = match content {
            Content::Memory(_) => None,
            Content::Spilled(_) => {
                let mut head = Vec::new();
                let mut reader = content.reader()?.take(MAX_HEADER as u64 + 1024);
                reader.read_to_end(&mut head).map_err(|error| disk_failed(&error))?;
                Some(head)
            }
        };
        let mut head = Self { read, skip: 0 };
        if is_ours {
            head.skip = envelope_line(head.octets(content));
        }
        Ok(head)
    }

    fn octets<'a>(&'a self, content: &'a Content) -> &'a [u8] {
        match (&self.read, content) {
            (Some(read), _) => read,
            (None, Content::Memory(octets)) => octets,
            (None, Content::Spilled(_)) => &[],
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

// One pass over a body: what it is like and, if it will be signed, its hash.
struct Pass {
    facts: Facts,
    hasher: Option<BodyHasher>,
}

impl Pass {
    fn over(content: &Content, offset: usize, sign: bool) -> Result<Self, Refusal> {
        if let Content::Memory(octets) = content {
            return Ok(Self::of_octets(octets.get(offset..).unwrap_or_default(), sign));
        }
        let mut reader = content.reader()?;
        let (mut scanner, mut hasher) = Self::start(sign);
        let mut skip = offset;
        let mut buffer = vec![0; CHUNK];
        loop {
            let read = reader.read(&mut buffer).map_err(|error| disk_failed(&error))?;
            let chunk = buffer.get(..read).unwrap_or_default();
            if chunk.is_empty() {
                return Ok(Self { facts: scanner.finish(), hasher });
            }
            let body = chunk.get(skip.min(read)..).unwrap_or_default();
            skip -= skip.min(read);
            scanner.update(body);
            if let Some(hasher) = &mut hasher {
                hasher.update(body);
            }
        }
    }

    fn of_octets(body: &[u8], sign: bool) -> Self {
        let (mut scanner, mut hasher) = Self::start(sign);
        scanner.update(body);
        if let Some(hasher) = &mut hasher {
            hasher.update(body);
        }
        Self { facts: scanner.finish(), hasher }
    }

    fn start(sign: bool) -> (Scanner, Option<BodyHasher>) {
        (Scanner::new(), sign.then(|| BodyHasher::new(Canonicalization::Relaxed)))
    }
}

// The protocol layer lets none of these through; this makes sure that no other way
// in can (RFC 5321 §2.3.8).
fn check_octets(body: &Facts, header: &Facts) -> Result<(), Refusal> {
    if body.bare_line_end || header.bare_line_end {
        return Err(unacceptable("a CR or LF stands alone: lines end in CRLF"));
    }
    if body.nul || header.nul {
        return Err(unacceptable("the message holds a NUL octet"));
    }
    Ok(())
}

fn long_lines_away(
    work: &Work,
    fixed: &mut Fixed<'_>,
    body_offset: usize,
) -> Result<Vec<u8>, Refusal> {
    let refuse =
        |why: &str| unacceptable(format!("a line is longer than {MAX_TEXT_LINE} octets{why}"));
    if !work.source.is_ours() {
        return Err(refuse(" (RFC 5322 section 2.1.1)"));
    }
    if work.content.len() > MAX_REWRITTEN {
        return Err(refuse(" and the message is too large to be encoded here"));
    }
    let mut octets = Vec::new();
    work.content.reader()?.read_to_end(&mut octets).map_err(|error| disk_failed(&error))?;
    let body = octets.get(body_offset..).unwrap_or_default();
    let encoded = lines::encode(&fixed.fields(), body)
        .map_err(|why| refuse(&format!(" and cannot be encoded here: {why}")))?;
    if let Some(encoding) = encoded.transfer_encoding {
        fixed.set_transfer_encoding(encoding);
    }
    Ok(encoded.body)
}

fn signatures(
    keys: &[Arc<SigningKey>],
    fixed: &Fixed<'_>,
    hasher: Option<BodyHasher>,
    now: Timestamp,
) -> (Vec<u8>, Vec<String>) {
    let (mut out, mut notices) = (Vec::new(), Vec::new());
    let Some(hasher) = hasher else { return (out, notices) };
    let body = hasher.finish();
    let fields = fixed.fields();
    let time = SigningTime { signed_at: now.as_secs(), expires_at: None };
    for key in keys {
        let form = Canonicalization::Relaxed;
        match dkim::sign(key, &fields, form, &body, time) {
            Ok(field) => out.extend_from_slice(&field),
            Err(error) => notices.push(format!(
                "not signed with {}._domainkey.{}: {error}",
                key.selector, key.domain
            )),
        }
    }
    (out, notices)
}

fn prefix(work: &Work, fixed: &Fixed<'_>, signatures: Vec<u8>, with_header: bool) -> Vec<u8> {
    let mut prefix = signatures;
    trace(work, &mut prefix);
    prefix.extend_from_slice(&fixed.added);
    if with_header {
        for field in fixed.kept() {
            prefix.extend_from_slice(field);
            // A header that ended with the content may lack its last line end.
            if !field.ends_with(b"\r\n") {
                prefix.extend_from_slice(b"\r\n");
            }
        }
        prefix.extend_from_slice(b"\r\n");
    }
    prefix
}

fn trace(work: &Work, out: &mut Vec<u8>) {
    let from = match &work.source {
        Source::Smtp { client, peer, helo, protocol, tls, .. } => received::From::Client {
            helo,
            name: client.name.as_deref(),
            address: peer.ip(),
            protocol,
            tls: tls.as_deref(),
        },
        Source::Local { uid, .. } => received::From::User(*uid),
        Source::Internal | Source::Forwarded => received::From::Internal,
    };
    let recipient = match work.envelope.recipients.as_slice() {
        [only] => Some(&only.address),
        _ => None,
    };
    let id = work.id.to_string();
    let trace = Received {
        from,
        by: &work.config.hostname,
        id: &id,
        recipient,
        date: wall_clock(work.now),
    };
    trace.write(out);
}

/// A time on this machine's wall clock.
pub(crate) fn wall_clock(now: Timestamp) -> DateTime {
    let offset = jiff::Timestamp::from_second(now.as_secs())
        .map_or(0, |at| jiff::tz::TimeZone::system().to_offset(at).seconds());
    DateTime { unix_seconds: now.as_secs(), offset_minutes: offset / 60 }
}

fn without_header(
    content: Content,
    body_offset: usize,
    spool: &dyn Spool,
) -> Result<Content, Refusal> {
    if body_offset == 0 {
        return Ok(content);
    }
    if let Content::Memory(mut octets) = content {
        octets.drain(..body_offset.min(octets.len()));
        return Ok(Content::Memory(octets));
    }
    let mut draft = spool.draft()?;
    let mut reader = content.reader()?;
    let mut skip = body_offset;
    let mut buffer = vec![0; CHUNK];
    loop {
        let read = reader.read(&mut buffer).map_err(|error| disk_failed(&error))?;
        if read == 0 {
            return Ok(draft.finish()?);
        }
        let chunk = buffer.get(skip.min(read)..read).unwrap_or_default();
        skip -= skip.min(read);
        draft.write(chunk)?;
    }
}

/// The fields of a header and those that are added to it, as they will be stored.
pub(super) fn parse_fields<'a>(octets: &'a [u8]) -> Vec<Field<'a>> {
    Header::parse(octets).map(|header| header.fields().to_vec()).unwrap_or_default()
}
