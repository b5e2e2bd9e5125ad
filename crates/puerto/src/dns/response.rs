//! What a server's message says: records, an alias to follow, an absence or a fault.

use std::net::{IpAddr, SocketAddr};

use hickory_resolver::net::{DnsError as HickoryDnsError, NetError};
use hickory_resolver::proto::op::{DnsResponse, ResponseCode};
use hickory_resolver::proto::rr::{Name, RData, RecordType as HickoryType};
use puerto_mail::dns::{Answer, DnsError, DnsFault, Record, RecordType};

use super::malformed::STAND_IN;

/// Records of one answer that are looked at.
const MAX_RECORDS: usize = 100;
/// Aliases in one message that are followed.
const MAX_ALIASES_IN_MESSAGE: usize = 8;

/// An absence or a fault, with how long an absence holds and whether DNSSEC vouches for it.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) error: DnsError,
    pub(super) ttl: Option<u32>,
    pub(super) validated: bool,
}

impl Failure {
    pub(super) fn timeout() -> Self {
        Self { error: DnsError::Timeout, ttl: None, validated: false }
    }

    pub(super) fn fault(fault: DnsFault) -> Self {
        Self { error: DnsError::Failure(fault), ttl: None, validated: false }
    }

    pub(super) fn absence(error: DnsError, ttl: Option<u32>, validated: bool) -> Self {
        Self { error, ttl, validated }
    }
}

/// What a message answers.
#[derive(Debug)]
pub(super) enum Reading {
    Records(Answer),
    /// The records must be asked for at another name.
    Alias {
        target: String,
        ttl: u32,
        followed: usize,
        validated: bool,
    },
}

/// A type as the library calls it.
pub fn hickory_type(record_type: RecordType) -> HickoryType {
    match record_type {
        RecordType::A => HickoryType::A,
        RecordType::Aaaa => HickoryType::AAAA,
        RecordType::Mx => HickoryType::MX,
        RecordType::Txt => HickoryType::TXT,
        RecordType::Ptr => HickoryType::PTR,
        RecordType::Cname => HickoryType::CNAME,
        RecordType::Ns => HickoryType::NS,
        RecordType::Soa => HickoryType::SOA,
        RecordType::Tlsa => HickoryType::TLSA,
    }
}

/// Reads a server's answer to the question for `name`, following aliases inside it.
pub(super) fn read(
    message: &DnsResponse,
    server: SocketAddr,
    name: &str,
    record_type: RecordType,
) -> Result<Reading, Failure> {
    let (target, mut ttl, followed) = follow_aliases(message, name, record_type)?;
    let mut records = Vec::new();
    for record in &message.answers {
        if records.len() < MAX_RECORDS
            && plain(&record.name) == target
            && let Some(found) = convert(&record.data, record_type)
        {
            ttl = ttl.min(record.ttl);
            records.push(found);
        }
    }
    if !records.is_empty() {
        let validated = message.authentic_data;
        let alias_of = (followed > 0).then_some(target);
        return Ok(Reading::Records(Answer { records, ttl, validated, alias_of }));
    }
    let (negative_ttl, validated) = (message.negative_ttl(), message.authentic_data);
    let absence = |error| Err(Failure::absence(error, negative_ttl, validated));
    match message.response_code {
        ResponseCode::NXDomain => absence(DnsError::NoSuchDomain),
        ResponseCode::NoError if followed > 0 && negative_ttl.is_none() => {
            Ok(Reading::Alias { target, ttl, followed, validated })
        }
        ResponseCode::NoError => absence(DnsError::NoRecords),
        code => Err(Failure::fault(DnsFault::Code(server, mnemonic(code)))),
    }
}

/// The alias that the name itself is in this message, if it is one.
pub(super) fn alias(message: &DnsResponse, name: &str, record_type: RecordType) -> Option<Reading> {
    let of_name = message.answers.iter().filter(|record| plain(&record.name) == name);
    let mut aliases = of_name.filter_map(|record| match &record.data {
        RData::CNAME(target) if record_type != RecordType::Cname => {
            let target = plain(&target.0);
            Some(Reading::Alias { target, ttl: record.ttl, followed: 1, validated: false })
        }
        _ => None,
    });
    aliases.next()
}

fn follow_aliases(
    message: &DnsResponse,
    name: &str,
    record_type: RecordType,
) -> Result<(String, u32, usize), Failure> {
    let mut target = name.to_owned();
    let mut ttl = u32::MAX;
    if record_type == RecordType::Cname {
        return Ok((target, ttl, 0));
    }
    for followed in 0..=MAX_ALIASES_IN_MESSAGE {
        let alias = message.answers.iter().find_map(|record| match &record.data {
            RData::CNAME(alias) if plain(&record.name) == target => {
                Some((plain(&alias.0), record.ttl))
            }
            _ => None,
        });
        let Some((next, alias_ttl)) = alias else { return Ok((target, ttl, followed)) };
        target = next;
        ttl = ttl.min(alias_ttl);
    }
    Err(Failure::fault(DnsFault::Aliases))
}

fn convert(data: &RData, record_type: RecordType) -> Option<Record> {
    match (record_type, data) {
        (RecordType::A, RData::A(address)) => Some(Record::Address(IpAddr::V4(address.0))),
        (RecordType::Aaaa, RData::AAAA(address)) => Some(Record::Address(IpAddr::V6(address.0))),
        (RecordType::Mx, RData::MX(mx)) => Some(Record::Mx(mx.preference, plain(&mx.exchange))),
        (RecordType::Txt, RData::TXT(txt)) => Some(Record::Txt(txt.txt_data.concat())),
        (RecordType::Ptr, RData::PTR(name)) => Some(Record::Name(plain(&name.0))),
        (RecordType::Cname, RData::CNAME(name)) => Some(Record::Name(plain(&name.0))),
        (RecordType::Ns, RData::NS(name)) => Some(Record::Name(plain(&name.0))),
        (RecordType::Soa, RData::SOA(soa)) => Some(Record::Soa(soa.serial, soa.to_string())),
        (RecordType::Tlsa, RData::TLSA(tlsa)) => Some(Record::Tlsa(
            tlsa.cert_usage.into(),
            tlsa.selector.into(),
            tlsa.matching.into(),
            tlsa.cert_data.clone(),
        )),
        // One that nothing can be compared with, and no absence.
        (RecordType::Tlsa, RData::Unknown { code, .. }) if u16::from(*code) == STAND_IN => {
            Some(Record::Tlsa(u8::MAX, u8::MAX, u8::MAX, Vec::new()))
        }
        _ => None,
    }
}

/// What an error of the transport, or of a server that does not answer, means. `validated`
/// is what the answer says of DNSSEC, where the error is one.
pub(super) fn failure(error: NetError, server: SocketAddr, validated: bool) -> Failure {
    match error {
        NetError::Timeout => Failure::timeout(),
        NetError::Dns(HickoryDnsError::NoRecordsFound(absence)) => match absence.response_code {
            ResponseCode::NXDomain => {
                Failure::absence(DnsError::NoSuchDomain, absence.negative_ttl, validated)
            }
            // A referral is what a server gives that was never meant to be asked.
            ResponseCode::NoError if absence.soa.is_none() && absence.ns.is_some() => {
                Failure::fault(DnsFault::Referral(server))
            }
            ResponseCode::NoError => {
                Failure::absence(DnsError::NoRecords, absence.negative_ttl, validated)
            }
            code => Failure::fault(DnsFault::Code(server, mnemonic(code))),
        },
        NetError::Dns(HickoryDnsError::ResponseCode(code)) => {
            Failure::fault(DnsFault::Code(server, mnemonic(code)))
        }
        other => {
            let number = match &other {
                NetError::Io(error) => error.raw_os_error().map(|number| (number, error)),
                _ => None,
            };
            Failure::fault(match number {
                Some((number, error)) => DnsFault::Unreachable(server, number, error.to_string()),
                None => DnsFault::Server(server, other.to_string()),
            })
        }
    }
}

// As `dig` writes it, which is what people search for.
fn mnemonic(code: ResponseCode) -> String {
    match code {
        ResponseCode::FormErr => "FORMERR".to_owned(),
        ResponseCode::ServFail => "SERVFAIL".to_owned(),
        ResponseCode::NotImp => "NOTIMP".to_owned(),
        ResponseCode::Refused => "REFUSED".to_owned(),
        ResponseCode::NotAuth => "NOTAUTH".to_owned(),
        ResponseCode::NotZone => "NOTZONE".to_owned(),
        code => format!("RCODE {}", u16::from(code)),
    }
}

/// A name in lower case and without the final dot, as the rest of the program writes names.
/// The library writes `:`, `/` and blanks as escapes, which no question has: SPF asks for
/// such names (RFC 7208 §7.1).
pub fn plain(name: &Name) -> String {
    let is_plain = |octet: &u8| (0x20..0x7f).contains(octet) && !matches!(octet, b'.' | b'\\');
    let mut text = if name.iter().flatten().all(is_plain) {
        let labels = name.iter().map(|label| String::from_utf8_lossy(label).into_owned());
        labels.collect::<Vec<_>>().join(".")
    } else {
        name.to_ascii()
    };
    text.make_ascii_lowercase();
    if text.ends_with('.') {
        text.pop();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_colons_slashes_or_blanks_is_the_one_that_was_asked_for() {
        for name in ["foo:bar/baz.example.com", "a b.example.com", "_spf.example.com", "x"] {
            let labels = name.split('.').map(str::as_bytes);
            let mut wire = Name::from_labels(labels).unwrap();
            wire.set_fqdn(true);
            assert_eq!(plain(&wire), name);
        }
        assert_eq!(plain(&Name::root()), "");
    }
}
