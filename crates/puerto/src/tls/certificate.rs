//! What a certificate says of itself (RFC 5280 §4.1): whose it is, who issued it and
//! how long it holds.
//!
//! Only read, never trusted: whether it is valid is the verifier's to say. The reader
//! knows as much of DER as these fields need.

/// A certificate's own words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    /// Whose it is: the common name, or what else the name holds.
    pub subject: String,
    /// Who issued it, by the same rule.
    pub issuer: String,
    /// The contents of its issuer's name, in DER.
    pub(super) issuer_der: Vec<u8>,
    /// Its issuer says that it is the one whom it is about.
    pub is_self_issued: bool,
    /// Its SubjectPublicKeyInfo, in DER.
    pub public_key: Vec<u8>,
    /// The names that it is for.
    pub names: Vec<String>,
    /// When it begins to hold: `YYYY-MM-DD`.
    pub not_before: jiff::civil::Date,
    /// When it ends to hold.
    pub not_after: jiff::civil::Date,
    /// The same moments to the second, since the epoch.
    pub holds: (i64, i64),
    /// Its number, as DER has it, and the name of its issuer's key: what its authority knows it
    /// by (RFC 9773 §4.1).
    pub number: (Vec<u8>, Option<Vec<u8>>),
}

/// A list of elements, each of its own kind.
pub(super) const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
/// The name of a thing that is registered.
pub(super) const OID: u8 = 0x06;
const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const OCTET_STRING: u8 = 0x04;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
/// `[0]`: the version of a certificate.
const VERSION: u8 = 0xA0;
/// `[3]`: its extensions.
const EXTENSIONS: u8 = 0xA3;
/// `[2]`: a DNS name among the alternative ones.
const DNS_NAME: u8 = 0x82;
const COMMON_NAME: [u8; 3] = [0x55, 0x04, 0x03];
const ORGANIZATION: [u8; 3] = [0x55, 0x04, 0x0A];
const ALTERNATIVE_NAMES: [u8; 3] = [0x55, 0x1D, 0x11];
const AUTHORITY_KEY: [u8; 3] = [0x55, 0x1D, 0x23];
/// `[0]`: the name of a key, in the extension about the issuer's.
const KEY_NAME: u8 = 0x80;
/// Names that are kept.
const MAX_NAMES: usize = 100;

impl Certificate {
    /// Reads a certificate; `None` if it is none.
    pub fn parse(der: &[u8]) -> Option<Self> {
        let mut certificate = Reader(Reader(der).take(SEQUENCE)?);
        let mut fields = Reader(certificate.take(SEQUENCE)?);
        if fields.peek() == Some(VERSION) {
            fields.next()?;
        }
        let number = fields.take(INTEGER)?.to_vec();
        fields.next()?; // algorithm
        let issuer_der = fields.take(SEQUENCE)?;
        let mut validity = Reader(fields.take(SEQUENCE)?);
        let (begin, end) = (validity.next()?, validity.next()?);
        let (not_before, not_after) = (date(begin)?, date(end)?);
        let holds = (moment(begin, not_before), moment(end, not_after));
        let subject_der = fields.take(SEQUENCE)?;
        let public_key = fields.take(SEQUENCE)?.to_vec();
        let (mut names, mut issuer_key) = (Vec::new(), None);
        while let Some((tag, value)) = fields.next() {
            if tag == EXTENSIONS {
                names = alternative_names(value).unwrap_or_default();
                issuer_key = authority_key(value);
            }
        }
        let (subject, issuer) = (name(subject_der), name(issuer_der));
        let is_self_issued = subject_der == issuer_der;
        let issuer_der = issuer_der.to_vec();
        Some(Self {
            subject,
            issuer,
            issuer_der,
            is_self_issued,
            public_key,
            names,
            not_before,
            not_after,
            holds,
            number: (number, issuer_key),
        })
    }

    /// Its key: the contents of the AlgorithmIdentifier, and the key's octets.
    pub fn key(&self) -> Option<(&[u8], &[u8])> {
        let mut fields = Reader(&self.public_key);
        let algorithm = fields.take(SEQUENCE)?;
        // The first octet says how many bits of the last are not used: none.
        let key = fields.take(BIT_STRING)?.strip_prefix(&[0])?;
        Some((algorithm, key))
    }
}

/// The contents of a DER sequence.
pub(super) fn contents(der: &[u8]) -> Option<&[u8]> {
    Reader(der).take(SEQUENCE)
}

/// The elements of a piece of DER, one after the other.
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    fn peek(&self) -> Option<u8> {
        self.0.first().copied()
    }

    /// The next element: its tag and its contents.
    pub(super) fn next(&mut self) -> Option<(u8, &'a [u8])> {
        let (&tag, rest) = self.0.split_first()?;
        let (&first, mut rest) = rest.split_first()?;
        let length = if first < 0x80 {
            usize::from(first)
        } else {
            let octets = usize::from(first & 0x7F);
            let (length, after) = rest.split_at_checked(octets)?;
            rest = after;
            if length.len() > 4 {
                return None;
            }
            length.iter().fold(0, |sum, octet| sum << 8 | usize::from(*octet))
        };
        let (value, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some((tag, value))
    }

    /// The contents of the next element, if it is of this kind.
    pub(super) fn take(&mut self, tag: u8) -> Option<&'a [u8]> {
        self.next().filter(|(found, _)| *found == tag).map(|(_, value)| value)
    }
}

// The common name, or else the organization, or else whatever comes first.
fn name(der: &[u8]) -> String {
    let mut attributes = Vec::new();
    let mut sets = Reader(der);
    while let Some(set) = sets.take(SET) {
        let mut set = Reader(set);
        while let Some(attribute) = set.take(SEQUENCE) {
            let mut attribute = Reader(attribute);
            if let (Some(kind), Some((_, value))) = (attribute.take(OID), attribute.next()) {
                attributes.push((kind, value));
            }
        }
    }
    let of_kind = |wanted: [u8; 3]| attributes.iter().find(|(kind, _)| *kind == wanted);
    let chosen =
        of_kind(COMMON_NAME).or_else(|| of_kind(ORGANIZATION)).or_else(|| attributes.first());
    chosen.map_or_else(String::new, |(_, value)| String::from_utf8_lossy(value).into_owned())
}

fn date((tag, value): (u8, &[u8])) -> Option<jiff::civil::Date> {
    let digits = std::str::from_utf8(value).ok()?;
    let (year, rest) = match tag {
        // RFC 5280 §4.1.2.5.1: two digits, of 1950 to 2049.
        UTC_TIME => {
            let (year, rest) = digits.split_at_checked(2)?;
            let year: i16 = year.parse().ok()?;
            (if year < 50 { year + 2000 } else { year + 1900 }, rest)
        }
        GENERALIZED_TIME => {
            let (year, rest) = digits.split_at_checked(4)?;
            (year.parse().ok()?, rest)
        }
        _ => return None,
    };
    let month = rest.get(..2)?.parse().ok()?;
    let day = rest.get(2..4)?.parse().ok()?;
    jiff::civil::Date::new(year, month, day).ok()
}

// The time behind the date: HHMMSSZ (RFC 5280 §4.1.2.5). Midnight, where it is none.
fn moment((_, value): (u8, &[u8]), date: jiff::civil::Date) -> i64 {
    let time = value.len().checked_sub(7).and_then(|at| value.get(at..));
    let pair = |at: usize| -> Option<i8> {
        std::str::from_utf8(time?.get(at..at + 2)?).ok()?.parse().ok()
    };
    let (hour, minute, second) = (pair(0).unwrap_or(0), pair(2).unwrap_or(0), pair(4).unwrap_or(0));
    let time = jiff::civil::Time::new(hour, minute, second, 0).unwrap_or_default();
    let at = date.to_datetime(time).to_zoned(jiff::tz::TimeZone::UTC);
    at.map_or(0, |at| at.timestamp().as_second())
}

// The contents of an extension.
fn extension(der: &[u8], wanted: [u8; 3]) -> Option<&[u8]> {
    let mut extensions = Reader(Reader(der).take(SEQUENCE)?);
    while let Some(extension) = extensions.take(SEQUENCE) {
        let mut extension = Reader(extension);
        if extension.take(OID) != Some(&wanted) {
            continue;
        }
        loop {
            match extension.next()? {
                (OCTET_STRING, value) => return Some(value),
                _critical => {}
            }
        }
    }
    None
}

fn authority_key(der: &[u8]) -> Option<Vec<u8>> {
    let value = extension(der, AUTHORITY_KEY)?;
    Reader(Reader(value).take(SEQUENCE)?).take(KEY_NAME).map(<[u8]>::to_vec)
}

fn alternative_names(der: &[u8]) -> Option<Vec<String>> {
    let mut names = Vec::new();
    let mut list = Reader(Reader(extension(der, ALTERNATIVE_NAMES)?).take(SEQUENCE)?);
    while let Some((tag, value)) = list.next() {
        if tag == DNS_NAME && names.len() < MAX_NAMES {
            names.push(String::from_utf8_lossy(value).into_owned());
        }
    }
    Some(names)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject;

    #[test]
    fn a_certificate_is_read() {
        let pem = include_bytes!("../../tests/tls/mx.pem");
        let der = CertificateDer::from_pem_slice(pem).unwrap();
        let certificate = Certificate::parse(&der).unwrap();
        assert_eq!(certificate.subject, "mx.example");
        assert_eq!(certificate.issuer, "Test CA of Buen Puerto");
        assert!(!certificate.is_self_issued);
        assert_eq!(certificate.names, ["mx.example"]);
        assert_eq!(certificate.not_before.to_string(), "2026-11-24");
        assert_eq!(certificate.not_after.to_string(), "2126-10-31");
        let day = |at: i64| jiff::Timestamp::from_second(at).unwrap().to_string();
        assert!(day(certificate.holds.0).starts_with("2026-11-24T"), "{:?}", certificate.holds);
        assert!(day(certificate.holds.1).starts_with("2126-10-31T"), "{:?}", certificate.holds);
        assert!(!certificate.number.0.is_empty());
    }

    #[test]
    fn what_is_cut_or_changed_is_read_without_harm() {
        let pem = include_bytes!("../../tests/tls/mx.pem");
        let der = CertificateDer::from_pem_slice(pem).unwrap().to_vec();
        for end in 0..der.len() {
            assert_eq!(Certificate::parse(&der[..end]), None);
            let mut changed = der.clone();
            changed[end] ^= 0xFF;
            let _ = Certificate::parse(&changed);
        }
    }
}
