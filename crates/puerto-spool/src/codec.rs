//! How values of the spool are written as octets, for records and for the index.
//!
//! Integers are little-endian and of fixed width; texts and lists carry their
//! length before them. Reading is strict: a length beyond the end, a text that is
//! not UTF-8, an unknown tag, an address that does not parse or octets left over
//! are errors, and nothing is allocated for a length before that many octets are
//! known to be there. The format belongs to the version in a segment's header.

use puerto_smtp::{
    Address, Domain, EnhancedCode, LocalPart, Notify, Recipient, Return, ReversePath, TlsWish, Verp,
};

use crate::entry::{Attempt, Origin};
use crate::id::Timestamp;

/// The octets do not hold what they should.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Malformed(pub(crate) &'static str);

/// Writes values at the end of a buffer.
pub(crate) trait Put {
    /// One octet.
    fn put_u8(&mut self, value: u8);
    /// Two octets.
    fn put_u16(&mut self, value: u16);
    /// Four octets.
    fn put_u32(&mut self, value: u32);
    /// Eight octets.
    fn put_u64(&mut self, value: u64);
    /// Eight octets.
    fn put_time(&mut self, value: Timestamp);
    /// A length of four octets and the octets.
    fn put_bytes(&mut self, value: &[u8]);
    /// An optional text: a tag, then the text.
    fn put_optional(&mut self, value: Option<&str>);
}

impl Put for Vec<u8> {
    fn put_u8(&mut self, value: u8) {
        self.push(value);
    }

    fn put_u16(&mut self, value: u16) {
        self.extend_from_slice(&value.to_le_bytes());
    }

    fn put_u32(&mut self, value: u32) {
        self.extend_from_slice(&value.to_le_bytes());
    }

    fn put_u64(&mut self, value: u64) {
        self.extend_from_slice(&value.to_le_bytes());
    }

    fn put_time(&mut self, value: Timestamp) {
        self.extend_from_slice(&value.as_millis().to_le_bytes());
    }

    fn put_bytes(&mut self, value: &[u8]) {
        self.put_u32(u32::try_from(value.len()).unwrap_or(u32::MAX));
        self.extend_from_slice(value);
    }

    fn put_optional(&mut self, value: Option<&str>) {
        match value {
            None => self.put_u8(0),
            Some(text) => {
                self.put_u8(1);
                self.put_bytes(text.as_bytes());
            }
        }
    }
}

/// Reads values from the front of a slice.
#[derive(Debug, Clone)]
pub(crate) struct Take<'a>(pub(crate) &'a [u8]);

impl<'a> Take<'a> {
    /// The next `count` octets.
    pub(crate) fn raw(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        let (head, tail) = self.0.split_at_checked(count).ok_or(Malformed("it ends too early"))?;
        self.0 = tail;
        Ok(head)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (head, tail) = self.0.split_first_chunk().ok_or(Malformed("it ends too early"))?;
        self.0 = tail;
        Ok(*head)
    }

    /// One octet.
    pub(crate) fn u8(&mut self) -> Result<u8, Malformed> {
        self.array().map(|[octet]: [u8; 1]| octet)
    }

    /// Two octets.
    pub(crate) fn u16(&mut self) -> Result<u16, Malformed> {
        self.array().map(u16::from_le_bytes)
    }

    /// Four octets.
    pub(crate) fn u32(&mut self) -> Result<u32, Malformed> {
        self.array().map(u32::from_le_bytes)
    }

    /// Eight octets.
    pub(crate) fn u64(&mut self) -> Result<u64, Malformed> {
        self.array().map(u64::from_le_bytes)
    }

    /// Eight octets.
    pub(crate) fn time(&mut self) -> Result<Timestamp, Malformed> {
        self.array().map(|octets| Timestamp::from_millis(i64::from_le_bytes(octets)))
    }

    /// A length and the octets.
    pub(crate) fn bytes(&mut self) -> Result<&'a [u8], Malformed> {
        let length = self.u32()?;
        self.raw(usize::try_from(length).map_err(|_| Malformed("a length is impossible"))?)
    }

    /// A length and a text.
    pub(crate) fn text(&mut self) -> Result<&'a str, Malformed> {
        std::str::from_utf8(self.bytes()?).map_err(|_| Malformed("a text is not UTF-8"))
    }

    /// A tag and perhaps a text.
    pub(crate) fn optional(&mut self) -> Result<Option<&'a str>, Malformed> {
        match self.u8()? {
            0 => Ok(None),
            1 => self.text().map(Some),
            _ => Err(Malformed("an unknown tag stands before a text")),
        }
    }

    /// Nothing may be left.
    pub(crate) fn end(&self) -> Result<(), Malformed> {
        if self.0.is_empty() { Ok(()) } else { Err(Malformed("octets are left over")) }
    }
}

/// What the index keeps of a message in encoded form, apart from its recipients.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Common {
    pub(crate) reverse_path: ReversePath,
    pub(crate) envelope_id: Option<String>,
    pub(crate) ret: Option<Return>,
    pub(crate) verp: Option<Verp>,
    pub(crate) eight_bit: bool,
    pub(crate) smtputf8: bool,
    pub(crate) tls: TlsWish,
    pub(crate) bulk: bool,
    pub(crate) received_at: Timestamp,
    pub(crate) origin: Origin,
    /// Why it was committed held.
    pub(crate) held_for: Option<String>,
}

const EIGHT_BIT: u8 = 1;
const SMTPUTF8: u8 = 2;
const RET_FULL: u8 = 4;
const RET_HEADERS: u8 = 8;
const HELD_FOR: u8 = 16;
const VERP: u8 = 32;
const BULK: u8 = 64;
/// What is wanted of TLS stands at the end.
const TLS: u8 = 128;
const TLS_REQUIRED: u8 = 1;
const TLS_OPTIONAL: u8 = 2;
const NOTIFY_GIVEN: u8 = 1;
const NOTIFY_SUCCESS: u8 = 2;
const NOTIFY_FAILURE: u8 = 4;
const NOTIFY_DELAY: u8 = 8;

/// The bit, if the condition holds.
pub(crate) fn bit(condition: bool, bit: u8) -> u8 {
    if condition { bit } else { 0 }
}

impl Common {
    /// Appends it.
    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        let ret = match self.ret {
            None => 0,
            Some(Return::Full) => RET_FULL,
            Some(Return::Headers) => RET_HEADERS,
        };
        let held = bit(self.held_for.is_some(), HELD_FOR);
        let verp = bit(self.verp.is_some(), VERP);
        let bulk = bit(self.bulk, BULK);
        let tls = bit(self.tls != TlsWish::Usual, TLS);
        let needs = bit(self.eight_bit, EIGHT_BIT) | bit(self.smtputf8, SMTPUTF8);
        let flags = needs | ret | held | verp | bulk | tls;
        out.put_u8(flags);
        out.put_time(self.received_at);
        match &self.reverse_path {
            ReversePath::Null => out.put_u8(0),
            ReversePath::Address(address) => {
                out.put_u8(1);
                put_address(out, address);
            }
        }
        out.put_optional(self.envelope_id.as_deref());
        match &self.origin {
            Origin::Client(name) => {
                out.put_u8(0);
                out.put_bytes(name.as_bytes());
            }
            Origin::LocalUser(uid) => {
                out.put_u8(1);
                out.put_u32(*uid);
            }
            Origin::Internal => out.put_u8(2),
            Origin::Account { name, client } => {
                out.put_u8(3);
                out.put_bytes(name.as_bytes());
                out.put_bytes(client.as_bytes());
            }
        }
        if let Some(reason) = &self.held_for {
            out.put_bytes(reason.as_bytes());
        }
        if let Some(verp) = self.verp {
            out.put_u8(verp.number());
        }
        match self.tls {
            TlsWish::Usual => {}
            TlsWish::Required => out.put_u8(TLS_REQUIRED),
            TlsWish::Optional => out.put_u8(TLS_OPTIONAL),
        }
    }

    /// Whether others go before the message, of what stands before its recipients.
    pub(crate) fn is_bulk(encoded: &[u8]) -> bool {
        encoded.first().is_some_and(|flags| flags & BULK != 0)
    }

    /// When the message came, of what stands before its recipients.
    pub(crate) fn received_at(encoded: &[u8]) -> Result<Timestamp, Malformed> {
        let mut from = Take(encoded);
        from.u8()?;
        from.time()
    }

    /// Reads it.
    pub(crate) fn take(from: &mut Take<'_>) -> Result<Self, Malformed> {
        let flags = from.u8()?;
        let ret = match flags & (RET_FULL | RET_HEADERS) {
            0 => None,
            RET_FULL => Some(Return::Full),
            RET_HEADERS => Some(Return::Headers),
            _ => return Err(Malformed("RET has two values")),
        };
        let received_at = from.time()?;
        let reverse_path = match from.u8()? {
            0 => ReversePath::Null,
            1 => ReversePath::Address(take_address(from)?),
            _ => return Err(Malformed("the reverse-path has an unknown tag")),
        };
        let envelope_id = from.optional()?.map(str::to_owned);
        let origin = match from.u8()? {
            0 => Origin::Client(from.text()?.to_owned()),
            1 => Origin::LocalUser(from.u32()?),
            2 => Origin::Internal,
            3 => Origin::Account { name: from.text()?.to_owned(), client: from.text()?.to_owned() },
            _ => return Err(Malformed("the origin has an unknown tag")),
        };
        let held_for = match flags & HELD_FOR {
            0 => None,
            _ => Some(from.text()?.to_owned()),
        };
        let verp = match flags & VERP {
            0 => None,
            _ => Some(Verp::from_number(from.u8()?).ok_or(Malformed("VERP is unknown"))?),
        };
        let tls = match flags & TLS {
            0 => TlsWish::Usual,
            _ => match from.u8()? {
                TLS_REQUIRED => TlsWish::Required,
                TLS_OPTIONAL => TlsWish::Optional,
                _ => return Err(Malformed("what is wanted of TLS is unknown")),
            },
        };
        Ok(Self {
            reverse_path,
            envelope_id,
            ret,
            verp,
            eight_bit: flags & EIGHT_BIT != 0,
            smtputf8: flags & SMTPUTF8 != 0,
            tls,
            bulk: flags & BULK != 0,
            received_at,
            origin,
            held_for,
        })
    }
}

/// Appends a recipient.
pub(crate) fn put_recipient(out: &mut Vec<u8>, recipient: &Recipient) {
    put_address(out, &recipient.address);
    out.put_u8(recipient.notify.map_or(0, |notify| {
        NOTIFY_GIVEN
            | bit(notify.success, NOTIFY_SUCCESS)
            | bit(notify.failure, NOTIFY_FAILURE)
            | bit(notify.delay, NOTIFY_DELAY)
    }));
    out.put_optional(recipient.original.as_deref());
}

/// Reads a recipient.
pub(crate) fn take_recipient(from: &mut Take<'_>) -> Result<Recipient, Malformed> {
    let address = take_address(from)?;
    let flags = from.u8()?;
    if flags & !(NOTIFY_GIVEN | NOTIFY_SUCCESS | NOTIFY_FAILURE | NOTIFY_DELAY) != 0 {
        return Err(Malformed("NOTIFY has an unknown flag"));
    }
    let notify = (flags & NOTIFY_GIVEN != 0).then_some(Notify {
        success: flags & NOTIFY_SUCCESS != 0,
        failure: flags & NOTIFY_FAILURE != 0,
        delay: flags & NOTIFY_DELAY != 0,
    });
    let original = from.optional()?.map(str::to_owned);
    Ok(Recipient { address, notify, original })
}

// The local part is written without quotes, since quoting may make it longer than
// the parser of its written form accepts.
fn put_address(out: &mut Vec<u8>, address: &Address) {
    out.put_bytes(address.local_part().as_str().as_bytes());
    match address.domain() {
        Domain::Name(name) => out.put_bytes(name.as_bytes()),
        literal @ Domain::Literal(_) => out.put_bytes(literal.to_string().as_bytes()),
    }
}

fn take_address(from: &mut Take<'_>) -> Result<Address, Malformed> {
    let local = match from.text()? {
        "" => LocalPart::parse("\"\""),
        text => LocalPart::from_unquoted(text),
    };
    let local = local.map_err(|_| Malformed("a local part is malformed"))?;
    let domain = Domain::parse(from.text()?).map_err(|_| Malformed("a domain is malformed"))?;
    Ok(Address::new(local, domain))
}

/// Reads an attempt as format 1 has it.
pub(crate) fn take_attempt(from: &mut Take<'_>) -> Result<Attempt, Malformed> {
    let at = from.time()?;
    let relay = from.text()?.to_owned();
    let code = from.u16()?;
    let (class, subject, detail) = (from.u8()?, from.u16()?, from.u16()?);
    let status = EnhancedCode::new(class, subject, detail);
    let text = from.text()?.to_owned();
    Ok(Attempt { at, relay, code, status, text, cause: String::new() })
}
