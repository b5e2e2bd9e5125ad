//! Signatures of messages (RFC 8945).

use aws_lc_rs::hmac;

use super::key::{Algorithm, Key};
use super::wire::{self, Answer};
use crate::lang::Text;

const WRONG_CLOCK: Text =
    Text::new("this machine's clock is wrong", "el reloj de esta máquina va mal");
const UNSIGNED: Text =
    Text::new("the server does not sign its answers", "el servidor no firma sus respuestas");
const MALFORMED: Text = Text::new(
    "the signature of the answer is malformed",
    "la firma de la respuesta está mal formada",
);
const WRONG: Text =
    Text::new("the answer's signature is wrong", "la firma de la respuesta no es válida");

/// Seconds that two clocks may be apart (RFC 8945 §10).
const FUDGE: u16 = 300;

/// A message with its signature.
pub(super) struct Signed {
    pub(super) octets: Vec<u8>,
    pub(super) mac: Vec<u8>,
}

fn hmac_key(key: &Key) -> hmac::Key {
    let algorithm = match key.algorithm {
        Algorithm::Sha256 => hmac::HMAC_SHA256,
        Algorithm::Sha384 => hmac::HMAC_SHA384,
        Algorithm::Sha512 => hmac::HMAC_SHA512,
    };
    hmac::Key::new(algorithm, &key.secret)
}

/// Signs a request (RFC 8945 §4.3.3 and §5.1).
pub(super) fn sign(message: &[u8], key: &Key, now: i64) -> Result<Signed, Text> {
    let time = u64::try_from(now).map_err(|_| WRONG_CLOCK)?.to_be_bytes();
    let time = time.get(2..).unwrap_or_default();
    let mut signed = message.to_vec();
    signed.extend_from_slice(&variables(key, time, FUDGE, (0, &[])));
    let mac = hmac::sign(&hmac_key(key), &signed).as_ref().to_vec();
    let mut data = Vec::new();
    wire::write_name(&mut data, key.algorithm.name());
    data.extend_from_slice(time);
    data.extend_from_slice(&FUDGE.to_be_bytes());
    data.extend_from_slice(&u16::try_from(mac.len()).unwrap_or(0).to_be_bytes());
    data.extend_from_slice(&mac);
    data.extend_from_slice(message.get(..2).unwrap_or_default());
    data.extend_from_slice(&[0; 4]);
    let octets = wire::with_additional(message, &key.name, wire::TSIG, &data);
    Ok(Signed { octets, mac })
}

fn variables(key: &Key, time: &[u8], fudge: u16, (error, other): (u16, &[u8])) -> Vec<u8> {
    let mut out = Vec::new();
    wire::write_name(&mut out, &key.name);
    out.extend_from_slice(&wire::CLASS_ANY.to_be_bytes());
    out.extend_from_slice(&[0; 4]);
    wire::write_name(&mut out, key.algorithm.name());
    out.extend_from_slice(time);
    out.extend_from_slice(&fudge.to_be_bytes());
    out.extend_from_slice(&error.to_be_bytes());
    out.extend_from_slice(&u16::try_from(other.len()).unwrap_or(0).to_be_bytes());
    out.extend_from_slice(other);
    out
}

/// Checks that an answer was signed with the same key (RFC 8945 §5.3).
pub(super) fn verify(
    octets: &[u8],
    answer: &Answer,
    key: &Key,
    request_mac: &[u8],
) -> Result<(), Text> {
    let record = answer.signature.as_ref().ok_or(UNSIGNED)?;
    let fields = Fields::read(&record.data).ok_or(MALFORMED)?;
    let mut signed = u16::try_from(request_mac.len()).unwrap_or(0).to_be_bytes().to_vec();
    signed.extend_from_slice(request_mac);
    signed.extend_from_slice(&wire::without_last(octets, answer.signature_at));
    let rest = (fields.error, fields.other);
    signed.extend_from_slice(&variables(key, fields.time, fields.fudge, rest));
    let right =
        record.name == key.name && hmac::verify(&hmac_key(key), &signed, fields.mac).is_ok();
    if right { Ok(()) } else { Err(WRONG) }
}

/// Why a server did not accept a signature (RFC 8945 §5.2), as it says in its own.
pub(super) fn error_of(answer: &Answer) -> u16 {
    let fields = answer.signature.as_ref().and_then(|record| Fields::read(&record.data));
    fields.map_or(0, |fields| fields.error)
}

/// What a signature consists of.
struct Fields<'a> {
    time: &'a [u8],
    fudge: u16,
    mac: &'a [u8],
    error: u16,
    other: &'a [u8],
}

impl<'a> Fields<'a> {
    fn read(data: &'a [u8]) -> Option<Self> {
        let data = data.get(wire::name_length(data)?..)?;
        let (time, data) = data.split_at_checked(6)?;
        let (fudge, data) = take_u16(data)?;
        let (length, data) = take_u16(data)?;
        let (mac, data) = data.split_at_checked(length.into())?;
        let (_id, data) = take_u16(data)?;
        let (error, data) = take_u16(data)?;
        let (length, data) = take_u16(data)?;
        Some(Self { time, fudge, mac, error, other: data.get(..length.into())? })
    }
}

fn take_u16(data: &[u8]) -> Option<(u16, &[u8])> {
    let (number, rest) = data.split_first_chunk::<2>()?;
    Some((u16::from_be_bytes(*number), rest))
}
