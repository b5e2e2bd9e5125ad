//! Signatures of messages (RFC 8945).

use aws_lc_rs::hmac;
use hickory_proto::op::{Header, Message, Query};
use hickory_proto::rr::rdata::TSIG;
use hickory_proto::rr::rdata::tsig::{TsigAlgorithm, make_tsig_record, message_tbs};
use hickory_proto::rr::{Name, RData, Record};
use hickory_proto::serialize::binary::{BinDecodable as _, BinDecoder, BinEncoder};

use super::TOO_LARGE;
use super::key::Key;
use crate::lang::Text;

const WRONG_CLOCK: Text =
    Text::new("this machine's clock is wrong", "el reloj de esta máquina va mal");
const UNSIGNED: Text =
    Text::new("the server does not sign its answers", "el servidor no firma sus respuestas");
const WRONG: Text =
    Text::new("the answer's signature is wrong", "la firma de la respuesta no es válida");

/// Seconds that two clocks may be apart (RFC 8945 §10).
const FUDGE: u16 = 300;

/// The octet of a header's flags, and among them that a message was cut to fit (RFC 1035
/// §4.1.1), as the library does with what is too large.
const CUT: (usize, u8) = (2, 2);

/// A message with its signature.
pub(super) struct Signed {
    pub(super) octets: Vec<u8>,
    pub(super) mac: Vec<u8>,
}

fn hmac_key(key: &Key) -> hmac::Key {
    let algorithm = match key.algorithm {
        TsigAlgorithm::HmacSha384 => hmac::HMAC_SHA384,
        TsigAlgorithm::HmacSha512 => hmac::HMAC_SHA512,
        _ => hmac::HMAC_SHA256,
    };
    hmac::Key::new(algorithm, &key.secret)
}

/// Signs a request (RFC 8945 §4.3.3 and §5.1).
pub(super) fn sign(message: &Message, key: &Key, now: i64) -> Result<Signed, Text> {
    let time = u64::try_from(now).map_err(|_| WRONG_CLOCK)?;
    let (algorithm, id) = (key.algorithm.clone(), message.id);
    let fields = TSIG::new(algorithm, time, FUDGE, Vec::new(), id, None, Vec::new());
    let signed = message_tbs(message, &fields, &key.name).map_err(|_| TOO_LARGE)?;
    let mac = hmac::sign(&hmac_key(key), &signed).as_ref().to_vec();
    let mut message = message.clone();
    let record = make_tsig_record(key.name.clone(), fields.set_mac(mac.clone()));
    message.signature = Some(Box::new(record));
    let octets = message.to_vec().map_err(|_| TOO_LARGE)?;
    let is_cut = octets.get(CUT.0).is_some_and(|flags| flags & CUT.1 != 0);
    if is_cut { Err(TOO_LARGE) } else { Ok(Signed { octets, mac }) }
}

/// Checks that an answer was signed with the same key (RFC 8945 §5.3).
pub(super) fn verify(
    octets: &[u8],
    answer: &Message,
    key: &Key,
    request_mac: &[u8],
) -> Result<(), Text> {
    let (name, fields) = signature(answer).ok_or(UNSIGNED)?;
    let unsigned = without_signature(octets).ok_or(UNSIGNED)?;
    let mut variables = Vec::new();
    fields.emit_tsig_for_mac(&mut BinEncoder::new(&mut variables), name).map_err(|_| WRONG)?;
    let length = u16::try_from(request_mac.len()).unwrap_or(0).to_be_bytes();
    let signed = [&length, request_mac, &unsigned, &variables].concat();
    let is_ours = *name == key.name && fields.algorithm == key.algorithm;
    let right = is_ours && hmac::verify(&hmac_key(key), &signed, &fields.mac).is_ok();
    if right { Ok(()) } else { Err(WRONG) }
}

/// Why a server did not accept a signature (RFC 8945 §5.2), as it says in its own.
pub(super) fn error_of(answer: &Message) -> u16 {
    signature(answer).and_then(|(_, fields)| fields.error).map_or(0, u16::from)
}

// The last record of all (RFC 8945 §5.1).
fn signature(answer: &Message) -> Option<(&Name, &TSIG)> {
    let record = answer.additionals.last()?;
    match &record.data {
        RData::TSIG(fields) => Some((&record.name, fields)),
        _ => None,
    }
}

// The message before its last record was added.
fn without_signature(octets: &[u8]) -> Option<Vec<u8>> {
    let mut decoder = BinDecoder::new(octets);
    let counts = Header::read(&mut decoder).ok()?.counts;
    let additionals = counts.additionals.checked_sub(1)?;
    let records = [counts.answers, counts.authorities, additionals].map(u32::from);
    (0..counts.queries).try_for_each(|_| Query::read(&mut decoder).map(drop)).ok()?;
    (0..records.iter().sum()).try_for_each(|_| Record::read(&mut decoder).map(drop)).ok()?;
    let mut out = octets.get(..decoder.index())?.to_vec();
    out.get_mut(10..12)?.copy_from_slice(&additionals.to_be_bytes());
    Some(out)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A message as a server sends it to whoever signed a request.
    pub(in super::super) fn answer(message: &Message, key: &Key, request_mac: &[u8]) -> Vec<u8> {
        let fields =
            TSIG::new(key.algorithm.clone(), 1, FUDGE, Vec::new(), message.id, None, Vec::new());
        let length = u16::try_from(request_mac.len()).unwrap().to_be_bytes();
        let signed = message_tbs(message, &fields, &key.name).unwrap();
        let signed = [&length, request_mac, &signed].concat();
        let mac = hmac::sign(&hmac_key(key), &signed).as_ref().to_vec();
        let mut message = message.clone();
        let record = make_tsig_record(key.name.clone(), fields.set_mac(mac));
        message.signature = Some(Box::new(record));
        message.to_vec().unwrap()
    }
}
