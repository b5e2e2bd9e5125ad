//! Messages of the DNS on the wire (RFC 1035 §4), as far as an update needs them.

/// Record types by number.
pub(super) const SOA: u16 = 6;
pub(super) const MX: u16 = 15;
pub(super) const TXT: u16 = 16;
pub(super) const TSIG: u16 = 250;

const CLASS_IN: u16 = 1;
const CLASS_NONE: u16 = 254;
pub(super) const CLASS_ANY: u16 = 255;

const HEADER: usize = 12;
const AUTHORITATIVE: u16 = 0x0400;
/// Pointers that are followed in one name.
const MAX_POINTERS: usize = 32;

/// A record with its data uncompressed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ResourceRecord {
    /// Lower case, without a trailing dot.
    pub(super) name: String,
    pub(super) kind: u16,
    pub(super) ttl: u32,
    pub(super) data: Vec<u8>,
}

impl ResourceRecord {
    pub(super) fn new(name: &str, kind: u16, ttl: u32, data: Vec<u8>) -> Self {
        Self { name: name.to_owned(), kind, ttl, data }
    }
}

/// A request.
#[derive(Debug, Clone)]
pub(super) struct Message(Vec<u8>);

impl Message {
    /// A question.
    pub(super) fn query(name: &str, kind: u16) -> Self {
        Self::new(0, name, kind)
    }

    /// An update of a zone (RFC 2136 §2), to which prerequisites are added before
    /// anything else.
    pub(super) fn update(zone: &str) -> Self {
        Self::new(0x2800, zone, SOA)
    }

    fn new(flags: u16, name: &str, kind: u16) -> Self {
        let mut id = [0; 2];
        // Without randomness the id is 0; over TCP, and signed, it protects nothing.
        let _ = aws_lc_rs::rand::fill(&mut id);
        let mut out = id.to_vec();
        out.extend_from_slice(&flags.to_be_bytes());
        out.extend_from_slice(&[0, 1, 0, 0, 0, 0, 0, 0]);
        write_name(&mut out, name);
        out.extend_from_slice(&kind.to_be_bytes());
        out.extend_from_slice(&CLASS_IN.to_be_bytes());
        Self(out)
    }

    pub(super) fn id(&self) -> u16 {
        u16_at(&self.0, 0).unwrap_or_default()
    }

    pub(super) fn octets(&self) -> &[u8] {
        &self.0
    }

    /// No record of the type may exist (RFC 2136 §2.4.3).
    pub(super) fn require_none(&mut self, name: &str, kind: u16) {
        self.push(6, CLASS_NONE, &ResourceRecord::new(name, kind, 0, Vec::new()));
    }

    /// The set must consist of this record and the others required (§2.4.2).
    pub(super) fn require(&mut self, record: &ResourceRecord) {
        self.push(6, CLASS_IN, &ResourceRecord { ttl: 0, ..record.clone() });
    }

    /// Adds a record (§2.5.1).
    pub(super) fn add(&mut self, record: ResourceRecord) {
        self.push(8, CLASS_IN, &record);
    }

    /// Deletes a record (§2.5.4).
    pub(super) fn delete(&mut self, record: &ResourceRecord) {
        self.push(8, CLASS_NONE, &ResourceRecord { ttl: 0, ..record.clone() });
    }

    // The sections of prerequisites (6) and of updates (8) by the offset of their
    // count. A prerequisite goes in front of the updates.
    fn push(&mut self, section: usize, class: u16, record: &ResourceRecord) {
        let mut out = Vec::new();
        write_record(&mut out, class, record);
        let at = if section == 6 { self.end_of_prerequisites() } else { self.0.len() };
        self.0.splice(at..at, out);
        increment(&mut self.0, section);
    }

    fn end_of_prerequisites(&self) -> usize {
        let mut reader = Reader { octets: &self.0, at: HEADER };
        let count = u16_at(&self.0, 6).unwrap_or_default();
        let read = reader
            .skip_question()
            .and_then(|()| (0..count).try_for_each(|_| reader.record().map(|_| ())));
        read.map_or(self.0.len(), |()| reader.at)
    }
}

fn write_record(out: &mut Vec<u8>, class: u16, record: &ResourceRecord) {
    write_name(out, &record.name);
    out.extend_from_slice(&record.kind.to_be_bytes());
    out.extend_from_slice(&class.to_be_bytes());
    out.extend_from_slice(&record.ttl.to_be_bytes());
    out.extend_from_slice(&u16::try_from(record.data.len()).unwrap_or(0).to_be_bytes());
    out.extend_from_slice(&record.data);
}

fn increment(octets: &mut [u8], at: usize) {
    let count = u16_at(octets, at).unwrap_or_default().wrapping_add(1).to_be_bytes();
    if let Some(slot) = octets.get_mut(at..at + 2) {
        slot.copy_from_slice(&count);
    }
}

fn u16_at(octets: &[u8], at: usize) -> Option<u16> {
    octets.get(at..)?.first_chunk::<2>().map(|number| u16::from_be_bytes(*number))
}

/// A message with one more record behind it.
pub(super) fn with_additional(message: &[u8], name: &str, kind: u16, data: &[u8]) -> Vec<u8> {
    let mut out = message.to_vec();
    let record = ResourceRecord::new(name, kind, 0, data.to_vec());
    write_record(&mut out, CLASS_ANY, &record);
    increment(&mut out, 10);
    out
}

/// The message before its last record, which begins at `at`, was added.
pub(super) fn without_last(message: &[u8], at: usize) -> Vec<u8> {
    let mut out = message.get(..at).unwrap_or_default().to_vec();
    let count = u16_at(&out, 10).unwrap_or_default().wrapping_sub(1).to_be_bytes();
    if let Some(slot) = out.get_mut(10..12) {
        slot.copy_from_slice(&count);
    }
    out
}

/// Writes a name, in lower case and uncompressed; "" and "." are the root.
pub(super) fn write_name(out: &mut Vec<u8>, name: &str) {
    for label in name.split('.').filter(|label| !label.is_empty()) {
        let label = label.as_bytes().get(..63).unwrap_or(label.as_bytes());
        out.push(u8::try_from(label.len()).unwrap_or(0));
        out.extend(label.iter().map(u8::to_ascii_lowercase));
    }
    out.push(0);
}

/// An uncompressed name as text.
pub(super) fn name_text(octets: &[u8]) -> String {
    Reader { octets, at: 0 }.name().unwrap_or_default()
}

/// How many octets an uncompressed name takes.
pub(super) fn name_length(octets: &[u8]) -> Option<usize> {
    let mut reader = Reader { octets, at: 0 };
    reader.name()?;
    Some(reader.at)
}

/// An answer.
#[derive(Debug, Clone)]
pub(super) struct Answer {
    pub(super) id: u16,
    flags: u16,
    /// Of all sections, the signature left out.
    pub(super) records: Vec<ResourceRecord>,
    pub(super) signature: Option<ResourceRecord>,
    /// Where the signature begins.
    pub(super) signature_at: usize,
}

impl Answer {
    pub(super) fn read(octets: &[u8]) -> Option<Self> {
        let mut answer = Self {
            id: u16_at(octets, 0)?,
            flags: u16_at(octets, 2)?,
            records: Vec::new(),
            signature: None,
            signature_at: 0,
        };
        let mut reader = Reader { octets, at: HEADER };
        for _ in 0..u16_at(octets, 4)? {
            reader.skip_question()?;
        }
        let counts = [u16_at(octets, 6)?, u16_at(octets, 8)?, u16_at(octets, 10)?];
        for _ in 0..counts.into_iter().map(u32::from).sum() {
            // A signature is the last record of all (RFC 8945 §5.1).
            if answer.signature.is_some() {
                return None;
            }
            let at = reader.at;
            let record = reader.record()?;
            if record.kind == TSIG {
                answer.signature = Some(record);
                answer.signature_at = at;
            } else {
                answer.records.push(record);
            }
        }
        Some(answer)
    }

    pub(super) fn code(&self) -> u16 {
        self.flags & 15
    }

    pub(super) fn is_authoritative(&self) -> bool {
        self.flags & AUTHORITATIVE != 0
    }
}

struct Reader<'a> {
    octets: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn u16(&mut self) -> Option<u16> {
        let number = u16_at(self.octets, self.at)?;
        self.at += 2;
        Some(number)
    }

    fn skip_question(&mut self) -> Option<()> {
        self.name()?;
        self.at += 4;
        Some(())
    }

    fn record(&mut self) -> Option<ResourceRecord> {
        let name = self.name()?;
        let kind = self.u16()?;
        let _class = self.u16()?;
        let ttl = u32::from(self.u16()?) << 16 | u32::from(self.u16()?);
        let end = usize::from(self.u16()?) + self.at;
        let mut data = Vec::new();
        // Names in these may be compressed (RFC 3597 §4).
        if end > self.at && matches!(kind, 2 | 5 | 12 | MX) {
            if kind == MX {
                data.extend_from_slice(&self.u16()?.to_be_bytes());
            }
            write_name(&mut data, &self.name()?);
        } else {
            data.extend_from_slice(self.octets.get(self.at..end)?);
        }
        self.at = end;
        (end <= self.octets.len()).then_some(ResourceRecord { name, kind, ttl, data })
    }

    fn name(&mut self) -> Option<String> {
        let mut name = String::new();
        let mut at = self.at;
        let mut pointers = 0;
        loop {
            let length = usize::from(*self.octets.get(at)?);
            match length {
                0 => break,
                1..=63 => {
                    if !name.is_empty() {
                        name.push('.');
                    }
                    let label = self.octets.get(at + 1..at + 1 + length)?;
                    name.push_str(&String::from_utf8_lossy(label).to_ascii_lowercase());
                    at += 1 + length;
                }
                192.. => {
                    let target = usize::from(u16_at(self.octets, at)? & 0x3fff);
                    if pointers == 0 {
                        self.at = at + 2;
                    }
                    pointers += 1;
                    if pointers > MAX_POINTERS {
                        return None;
                    }
                    at = target;
                }
                _ => return None,
            }
            if name.len() > 255 {
                return None;
            }
        }
        if pointers == 0 {
            self.at = at + 1;
        }
        Some(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back_with_prerequisites_in_front() {
        let mut update = Message::update("example.com");
        let record = |text: &[u8]| ResourceRecord::new("a.example.com", TXT, 60, text.to_vec());
        update.add(record(b"\x01n"));
        update.require(&record(b"\x01o"));
        update.delete(&record(b"\x01o"));
        update.require_none("b.example.com", MX);
        let octets = with_additional(update.octets(), "key", TSIG, b"x");
        assert_eq!(octets[4..12], [0, 1, 0, 2, 0, 2, 0, 1]);
        let read = Answer::read(&octets).unwrap();
        let shown: Vec<_> = read.records.iter().map(|r| (r.name.as_str(), r.kind, r.ttl)).collect();
        let expected = [
            ("a.example.com", TXT, 0),
            ("b.example.com", MX, 0),
            ("a.example.com", TXT, 60),
            ("a.example.com", TXT, 0),
        ];
        assert_eq!(shown, expected);
        assert_eq!(without_last(&octets, read.signature_at), update.octets());
    }

    #[test]
    fn hostile_answers_are_refused_and_never_read_beyond_their_end() {
        let mut octets = vec![0, 1, 0, 0, 0, 1, 0, 1, 0, 0, 0, 0];
        octets.extend_from_slice(b"\xc0\x0c\x00\x10\x00\x01");
        assert!(Answer::read(&octets).is_none(), "a name that points to itself");
        let whole =
            with_additional(Message::query("example.com", MX).octets(), "a", MX, b"\0\x0a\x01m\0");
        assert_eq!(Answer::read(&whole).unwrap().records[0].data, b"\0\x0a\x01m\0");
        for end in 0..whole.len() {
            assert!(Answer::read(&whole[..end]).is_none(), "{end}");
        }
    }
}
