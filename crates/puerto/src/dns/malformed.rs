//! Answers with TLSA records that are too short to be any.
//!
//! Some resolvers pass records on that have no data at all; Cloudflare, Quad9 and Unbound do.
//! The library then refuses the whole message, and with it the records beside them that are
//! good. RFC 7672 §2.2 has a malformed record be an unusable one: it stands for its owner's
//! wish for TLS and spoils no other. So the question is asked once more, and the answer read
//! here: what is too short becomes a record of a type that stands for nothing.

use std::io;
use std::net::SocketAddr;

use hickory_resolver::net::NetError;
use hickory_resolver::proto::op::{DnsRequest, DnsResponse, Message, OpCode, ResponseCode};
use hickory_resolver::proto::rr::rdata::{CNAME, NULL, TLSA};
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use hickory_resolver::proto::serialize::binary::{BinDecodable as _, BinDecoder};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};

/// A type for private use (RFC 6895 §3.1).
pub(super) const STAND_IN: u16 = 65_399;
const TLSA_TYPE: u16 = 52;
const CNAME_TYPE: u16 = 5;
/// The AD bit, in the fourth octet.
const AUTHENTIC: u8 = 0x20;
const HEADER: usize = 12;
const TRUNCATED: u8 = 2;
/// Octets that a server may send by UDP.
const LONGEST: usize = 4096;

/// Asks a server once more, by UDP and by TCP where that was cut off. Whoever calls says how
/// long it may last.
pub(super) async fn ask(server: SocketAddr, request: &DnsRequest) -> Result<DnsResponse, NetError> {
    let question = request.to_vec()?;
    let own = if server.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = UdpSocket::bind(own).await?;
    socket.connect(server).await?;
    socket.send(&question).await?;
    let mut buffer = vec![0; LONGEST];
    loop {
        let length = socket.recv(&mut buffer).await?;
        let answer = buffer.get(..length).unwrap_or_default();
        if !belongs(&question, answer) {
            continue;
        }
        let is_cut_off = answer.get(2).is_some_and(|flags| flags & TRUNCATED != 0);
        let answer = if is_cut_off { by_tcp(server, &question).await? } else { answer.to_vec() };
        let message = mended(&answer).ok_or(io::Error::from(io::ErrorKind::InvalidData))?;
        return Ok(DnsResponse::from_message(message)?);
    }
}

async fn by_tcp(server: SocketAddr, question: &[u8]) -> Result<Vec<u8>, NetError> {
    let mut stream = TcpStream::connect(server).await?;
    let length = u16::try_from(question.len()).map_err(io::Error::other)?;
    stream.write_all(&[&length.to_be_bytes()[..], question].concat()).await?;
    let mut answer = vec![0; stream.read_u16().await?.into()];
    stream.read_exact(&mut answer).await?;
    match belongs(question, &answer) {
        true => Ok(answer),
        false => Err(io::Error::from(io::ErrorKind::InvalidData).into()),
    }
}

// The number and the question itself are as they were asked.
fn belongs(question: &[u8], answer: &[u8]) -> bool {
    let asked = |message: &[u8]| {
        let end = after_name(message, HEADER)? + 4;
        let number = message.get(..2)?.to_vec();
        Some((number, message.get(HEADER..end)?.to_ascii_lowercase()))
    };
    asked(question).is_some_and(|question| asked(answer) == Some(question))
}

// The message as the library would have read it, with a record of a type that stands for nothing
// in the place of each TLSA record that is too short. Only what answers for TLSA is read.
fn mended(octets: &[u8]) -> Option<Message> {
    let number = |at: usize| {
        let octets = octets.get(at..at + 2)?;
        Some(u16::from_be_bytes(octets.try_into().ok()?))
    };
    let decoder = BinDecoder::new(octets);
    let name = |at: usize| Name::read(&mut decoder.clone(u16::try_from(at).ok()?)).ok();
    let (questions, answers) = (number(4)?, number(6)?);
    let mut message = Message::response(number(0)?, OpCode::Query);
    message.metadata.authentic_data = octets.get(3)? & AUTHENTIC != 0;
    message.metadata.response_code = ResponseCode::from_low(octets.get(3)? & 0x0f);
    let mut at = HEADER;
    for _question in 0..questions {
        at = after_name(octets, at)? + 4;
    }
    for _answer in 0..answers {
        let kind = after_name(octets, at)?;
        let (length, start) = (usize::from(number(kind + 8)?), kind + 10);
        let data = octets.get(start..start + length)?;
        let ttl = u32::from(number(kind + 4)?) << 16 | u32::from(number(kind + 6)?);
        let data = match (number(kind)?, data) {
            (TLSA_TYPE, [usage, selector, matching, data @ ..]) => {
                let fields = ((*usage).into(), (*selector).into(), (*matching).into());
                Some(RData::TLSA(TLSA::new(fields.0, fields.1, fields.2, data.to_vec())))
            }
            (TLSA_TYPE, _) => Some(RData::Unknown {
                code: RecordType::Unknown(STAND_IN),
                rdata: NULL::with(vec![0]),
            }),
            (CNAME_TYPE, _) => Some(RData::CNAME(CNAME(name(start)?))),
            _ => None,
        };
        if let Some(data) = data {
            message.add_answer(Record::from_rdata(name(at)?, ttl, data));
        }
        at = start + length;
    }
    Some(message)
}

// RFC 1035 §4.1.4.
fn after_name(message: &[u8], mut at: usize) -> Option<usize> {
    loop {
        match *message.get(at)? {
            0 => return Some(at + 1),
            0xc0.. => return Some(at + 2),
            length => at += 1 + usize::from(length),
        }
    }
}
