//! Where the parts of a body are, and what must be done to each so that it can be sent.
//!
//! A body may hold what no other server has to take: lines of more than 998 octets
//! (RFC 5322 §2.1.1) and NULs (§4.1). The [`Walker`] sees its lines once, in bounded
//! memory however large it is, follows the MIME structure (RFC 2046 §5.1) and makes a
//! [`Plan`]: text becomes quoted-printable, anything else base64, and only where there
//! is need. What may not change, such as a signed part, stays; where nothing can be
//! encoded (between parts, in a delivery report, in a part without order) lines are
//! folded, as Postfix does.

use puerto_mail::header::{End, Field, Header};
use puerto_mail::mime::{Behind, Limits, MAX_BOUNDARY, Nest, Value};
use puerto_smtp::limits::MAX_TEXT_LINE;

/// How far parts are looked into.
const LIMITS: Limits = Limits { depth: 32, parts: 10_000 };
/// Octets of a part's header that is looked into.
const MAX_PART_HEADER: usize = 64 * 1024;
/// Octets of a line that are looked at where it may be a delimiter.
const MAX_DELIMITER: usize = MAX_BOUNDARY + 56;

/// What is done to a stretch of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Treatment {
    /// It stays.
    Copy,
    /// It is the header of a part, whose Content-Transfer-Encoding becomes this.
    Header(Option<&'static str>),
    /// It becomes quoted-printable (RFC 2045 §6.7).
    Text,
    /// It becomes base64 (RFC 2045 §6.8).
    Binary,
    /// It is base64 and gets other line ends.
    Rewrap,
    /// It is quoted-printable and gets more soft line breaks.
    Break,
    /// Its lines are folded.
    Fold,
}

/// So many octets, and what is done to them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) octets: u64,
    pub(super) treatment: Treatment,
}

/// What is done to a body, from its first octet to its last.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) steps: Vec<Step>,
    /// The Content-Transfer-Encoding that the message has then, if it is another.
    pub(super) transfer_encoding: Option<&'static str>,
}

/// What an entity is, as far as it matters here.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    Text,
    Binary,
    Base64,
    QuotedPrintable,
    /// Another's signature or encryption covers it.
    Protected,
    /// It cannot be encoded.
    Odd,
    Message,
    Multipart {
        boundary: Vec<u8>,
        is_digest: bool,
    },
}

impl Kind {
    fn of(fields: &[Field<'_>], in_digest: bool) -> Self {
        let value = |name: &str| {
            fields.iter().find(|field| field.is(name)).map(Field::text).unwrap_or_default()
        };
        let content_type = value("Content-Type");
        let content_type = Value::of(&content_type);
        let media_type = content_type.word();
        let encoding = value("Content-Transfer-Encoding").to_ascii_lowercase();
        let encoding = encoding.split([';', '(']).next().unwrap_or_default();
        let encoding = encoding.trim_matches([' ', '\t', '"', '\'', '<', '>']);
        match (media_type.as_str(), encoding) {
            ("multipart/signed" | "multipart/encrypted", _) => Self::Protected,
            (multipart, _) if multipart.starts_with("multipart/") => {
                let is_digest = multipart == "multipart/digest";
                let boundary = content_type.boundary();
                boundary.map_or(Self::Odd, |boundary| Self::Multipart { boundary, is_digest })
            }
            (_, "base64") => Self::Base64,
            (_, "quoted-printable") => Self::QuotedPrintable,
            (_, uuencode) if uuencode.contains("uu") => Self::Odd,
            ("message/rfc822" | "message/global", _) => Self::Message,
            ("", _) if in_digest => Self::Message,
            (report, _) if report.starts_with("message/") => Self::Odd,
            // Labels such as `8-bit` and `utf-8` mean that nothing was encoded.
            (text, _) if text.is_empty() || text.starts_with("text/") => Self::Text,
            (_, "" | "7bit" | "8bit" | "binary") => Self::Binary,
            _ => Self::Odd,
        }
    }

    // The treatment of octets that cannot be sent, and the encoding they have then.
    fn treatment(&self, seen: &Seen) -> (Treatment, Option<&'static str>) {
        match self {
            // Text with a NUL in every other octet is UTF-16, and no longer readable.
            Self::Text if seen.nuls > seen.octets / 4 => (Treatment::Binary, Some("base64")),
            Self::Text => (Treatment::Text, Some("quoted-printable")),
            Self::Binary => (Treatment::Binary, Some("base64")),
            Self::Base64 => (Treatment::Rewrap, None),
            Self::QuotedPrintable => (Treatment::Break, None),
            Self::Protected => (Treatment::Copy, None),
            Self::Odd | Self::Message | Self::Multipart { .. } => (Treatment::Fold, None),
        }
    }
}

// What was seen of an entity's lines.
#[derive(Debug, Clone, Copy, Default)]
struct Seen {
    octets: u64,
    nuls: u64,
    longest_line: usize,
}

impl Seen {
    fn add(&mut self, line: &Line) {
        self.octets += line.octets as u64;
        self.nuls += line.nuls;
        self.longest_line = self.longest_line.max(line.octets - line.end);
    }

    fn is_sendable(&self) -> bool {
        self.nuls == 0 && self.longest_line <= MAX_TEXT_LINE
    }
}

// The line that is being read.
#[derive(Debug, Default)]
struct Line {
    // Its beginning.
    start: Vec<u8>,
    octets: usize,
    nuls: u64,
    // Octets of its line end.
    end: usize,
}

// Whose header says how a body is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Owner {
    Message,
    // The header is in this step.
    Part(usize),
    Nobody,
}

#[derive(Debug)]
enum State {
    Header { octets: Vec<u8>, seen: Seen, in_digest: bool },
    Body { kind: Kind, owner: Owner, seen: Seen },
}

impl State {
    fn body(kind: Kind, owner: Owner) -> Self {
        Self::Body { kind, owner, seen: Seen::default() }
    }

    fn header(in_digest: bool) -> Self {
        Self::Header { octets: Vec::new(), seen: Seen::default(), in_digest }
    }
}

/// Walks through a body.
#[derive(Debug)]
pub(super) struct Walker {
    plan: Plan,
    nest: Nest,
    state: State,
    line: Line,
}

impl Walker {
    /// At the beginning of the body of a message with these fields.
    pub(super) fn new(fields: &[Field<'_>]) -> Self {
        let mut walker = Self {
            plan: Plan { steps: Vec::new(), transfer_encoding: None },
            nest: Nest::new(LIMITS),
            state: State::body(Kind::Odd, Owner::Nobody),
            line: Line::default(),
        };
        walker.state = walker.enter(Kind::of(fields, false), Owner::Message);
        walker
    }

    /// Takes the next octets.
    pub(super) fn update(&mut self, octets: &[u8]) {
        for piece in octets.split_inclusive(|octet| *octet == b'\n') {
            self.line.octets += piece.len();
            self.line.nuls += memchr::memchr_iter(0, piece).count() as u64;
            let room = self.room().saturating_sub(self.line.start.len());
            self.line.start.extend_from_slice(piece.get(..room).unwrap_or(piece));
            if piece.ends_with(b"\n") {
                self.line.end = 2.min(self.line.octets);
                self.end_line();
            }
        }
    }

    /// Ends the body.
    pub(super) fn finish(mut self) -> Plan {
        if self.line.octets > 0 {
            self.end_line();
        }
        self.close(0);
        self.plan
    }

    // Octets of a line that are kept.
    fn room(&self) -> usize {
        match &self.state {
            State::Header { .. } => MAX_PART_HEADER,
            State::Body { .. } if self.nest.is_empty() => 0,
            State::Body { .. } => MAX_DELIMITER,
        }
    }

    fn end_line(&mut self) {
        let line = std::mem::take(&mut self.line);
        let may_delimit = line.octets <= MAX_DELIMITER;
        if let Some(delimiter) = self.nest.delimiter(&line.start).filter(|_| may_delimit) {
            // The line end before a delimiter belongs to it (RFC 2046 §5.1.1).
            let taken = self.close(2);
            self.step(line.octets as u64 + taken, Treatment::Copy);
            self.state = match self.nest.pass(delimiter) {
                Behind::Part { in_digest } => State::header(in_digest),
                Behind::Epilogue | Behind::TooMany => State::body(Kind::Odd, Owner::Nobody),
            };
            return;
        }
        match &mut self.state {
            State::Body { seen, .. } => seen.add(&line),
            State::Header { .. } if matches!(line.start.as_slice(), b"\r\n") => self.end_header(),
            State::Header { octets, seen, .. } => {
                seen.add(&line);
                octets.extend_from_slice(&line.start);
                if octets.len() as u64 != seen.octets || octets.len() > MAX_PART_HEADER {
                    let seen = *seen;
                    self.state = State::Body { kind: Kind::Odd, owner: Owner::Nobody, seen };
                }
            }
        }
    }

    fn end_header(&mut self) {
        let state = std::mem::replace(&mut self.state, State::body(Kind::Odd, Owner::Nobody));
        let State::Header { octets, seen, in_digest } = state else { return };
        let header = Header::parse_leading(&octets, MAX_PART_HEADER);
        let is_broken = header.end() == End::Malformed;
        let treatment = if seen.is_sendable() { Treatment::Copy } else { Treatment::Header(None) };
        self.plan.steps.push(Step {
            octets: octets.len() as u64,
            treatment: if is_broken && !seen.is_sendable() { Treatment::Fold } else { treatment },
        });
        let owner = Owner::Part(self.plan.steps.len() - 1);
        self.plan.steps.push(Step { octets: 2, treatment: Treatment::Copy });
        let is_signed = |field: &Field<'_>| field.is("DKIM-Signature") || field.is("ARC-Seal");
        self.state = if is_broken {
            State::body(Kind::Odd, Owner::Nobody)
        } else if header.fields().iter().any(is_signed) {
            self.keep_step(owner);
            State::body(Kind::Protected, Owner::Nobody)
        } else {
            self.enter(Kind::of(header.fields(), in_digest), owner)
        };
    }

    // What another's signature covers stays, the header too.
    fn keep_step(&mut self, owner: Owner) {
        let Owner::Part(index) = owner else { return };
        if let Some(step) = self.plan.steps.get_mut(index) {
            step.treatment = Treatment::Copy;
        }
    }

    fn enter(&mut self, kind: Kind, owner: Owner) -> State {
        match kind {
            Kind::Message if self.nest.descend() => State::header(false),
            Kind::Multipart { boundary, is_digest } => {
                self.nest.open(boundary, is_digest);
                State::body(Kind::Odd, Owner::Nobody)
            }
            Kind::Message => State::body(Kind::Odd, Owner::Nobody),
            kind => State::body(kind, owner),
        }
    }

    // Ends what is being read, but for so many octets of its last line end; says how
    // many that were.
    fn close(&mut self, reserved: u64) -> u64 {
        let next = State::body(Kind::Odd, Owner::Nobody);
        let (kind, owner, seen) = match std::mem::replace(&mut self.state, next) {
            State::Body { kind, owner, seen } => (kind, owner, seen),
            State::Header { seen, .. } => (Kind::Odd, Owner::Nobody, seen),
        };
        let taken = reserved.min(seen.octets);
        let (treatment, encoding) =
            if seen.is_sendable() { (Treatment::Copy, None) } else { kind.treatment(&seen) };
        self.step(seen.octets - taken, treatment);
        match (owner, encoding) {
            (_, None) | (Owner::Nobody, _) => {}
            (Owner::Message, encoding) => self.plan.transfer_encoding = encoding,
            (Owner::Part(index), encoding) => {
                if let Some(step) = self.plan.steps.get_mut(index) {
                    step.treatment = Treatment::Header(encoding);
                }
            }
        }
        taken
    }

    fn step(&mut self, octets: u64, treatment: Treatment) {
        if octets > 0 {
            self.plan.steps.push(Step { octets, treatment });
        }
    }
}
