//! The lab's name server: authoritative for everything, it answers from a [`Zone`]
//! by UDP and TCP.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hickory_proto::op::{Header, HeaderCounts, Metadata, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA, CNAME, MX, NS, PTR, SOA, TLSA, TXT};
use hickory_proto::rr::{self, Name, RData};
use hickory_server::Server;
use hickory_server::net::runtime::Time;
use hickory_server::server::{Request, RequestHandler, ResponseHandler, ResponseInfo};
use hickory_server::zone_handler::MessageResponseBuilder;
use puerto_mail::dns::{DnsError, Record, RecordType};
use tokio::net::{TcpListener, UdpSocket};

use crate::zone::{Resolution, TTL, Zone};

/// How long a client may leave a TCP connection idle.
const TCP_IDLE: Duration = Duration::from_secs(5);
/// Answers that may wait to be written on one TCP connection.
const TCP_BACKLOG: usize = 32;
/// Octets of one character-string of a TXT record (RFC 1035 §3.3).
const MAX_STRING: usize = 255;

/// A running name server; it stops when it is dropped.
pub(crate) struct NameServer {
    address: SocketAddr,
    broken: Arc<AtomicBool>,
    // Dropping it ends its tasks.
    _server: Server<Handler>,
}

impl NameServer {
    /// Binds the same port of `address` for UDP and TCP and serves.
    pub(crate) async fn start(address: SocketAddr, zone: Zone) -> io::Result<Self> {
        let (udp, tcp) = bind_both(address).await?;
        let address = udp.local_addr()?;
        let broken = Arc::new(AtomicBool::new(false));
        let mut server = Server::new(Handler { zone, broken: Arc::clone(&broken) });
        server.register_socket(udp);
        server.register_listener(tcp, TCP_IDLE, TCP_BACKLOG);
        Ok(Self { address, broken, _server: server })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on everything is answered by SERVFAIL.
    pub(crate) fn break_down(&self) {
        self.broken.store(true, Ordering::Relaxed);
    }
}

// A free UDP port need not be free for TCP, so a few are tried.
async fn bind_both(address: SocketAddr) -> io::Result<(UdpSocket, TcpListener)> {
    let mut last = io::Error::from(io::ErrorKind::AddrInUse);
    for _ in 0..16 {
        let tcp = TcpListener::bind(address).await?;
        match UdpSocket::bind(tcp.local_addr()?).await {
            Ok(udp) => return Ok((udp, tcp)),
            Err(error) => last = error,
        }
    }
    Err(last)
}

struct Handler {
    zone: Zone,
    broken: Arc<AtomicBool>,
}

// Written out by hand, since the trait is declared by a macro of a library that
// nothing else here needs.
impl RequestHandler for Handler {
    fn handle_request<'me, 'request, 'future, R, T>(
        &'me self,
        request: &'request Request,
        responder: R,
    ) -> Pin<Box<dyn Future<Output = ResponseInfo> + Send + 'future>>
    where
        R: ResponseHandler + 'future,
        T: Time + 'future,
        'me: 'future,
        'request: 'future,
        Self: 'future,
    {
        Box::pin(async move { self.answer(request, responder).await })
    }
}

impl Handler {
    async fn answer<R: ResponseHandler>(
        &self,
        request: &Request,
        mut responder: R,
    ) -> ResponseInfo {
        let mut metadata = Metadata::response_from_request(&request.metadata);
        metadata.authoritative = true;
        let mut answers = Vec::new();
        let mut authority = Vec::new();
        metadata.response_code = match request.request_info() {
            Err(_) => ResponseCode::FormErr,
            Ok(_) if self.broken.load(Ordering::Relaxed) => ResponseCode::ServFail,
            Ok(info) => match known_type(info.query.query_type()) {
                None => ResponseCode::NoError,
                Some(record_type) => {
                    let name = Name::from(info.query.name()).to_ascii();
                    let resolution = self.zone.resolve(&name, record_type);
                    if resolution.result == Err(DnsError::Timeout) {
                        return silent(metadata);
                    }
                    // RFC 6840 §5.8: to whoever asks for it.
                    metadata.authentic_data =
                        resolution.is_secure && request.metadata.authentic_data;
                    write_answer(&resolution, record_type, &mut answers, &mut authority)
                }
            },
        };
        let silent = silent(metadata);
        let response = MessageResponseBuilder::from_message_request(request).build(
            metadata,
            answers.iter(),
            authority.iter(),
            [],
            [],
        );
        // A client that is gone needs no answer.
        responder.send_response(response).await.unwrap_or(silent)
    }
}

fn silent(metadata: Metadata) -> ResponseInfo {
    ResponseInfo::from(Header { metadata, counts: HeaderCounts::default() })
}

fn write_answer(
    resolution: &Resolution,
    record_type: RecordType,
    answers: &mut Vec<rr::Record>,
    authority: &mut Vec<rr::Record>,
) -> ResponseCode {
    for (alias, target) in &resolution.aliases {
        let data = name(target).map(|target| RData::CNAME(CNAME(target)));
        answers.extend(record(alias, data));
    }
    let is_apex = resolution.name.split('.').count() == 2;
    let code = match &resolution.result {
        Err(DnsError::NoRecords) if record_type == RecordType::Soa && is_apex => {
            answers.extend(start_of_authority(&resolution.name));
            return ResponseCode::NoError;
        }
        Ok(records) => {
            for found in records {
                answers.extend(record(&resolution.name, data(found, record_type)));
            }
            return ResponseCode::NoError;
        }
        Err(DnsError::NoRecords) => ResponseCode::NoError,
        Err(DnsError::NoSuchDomain) => ResponseCode::NXDomain,
        Err(DnsError::Timeout | DnsError::Failure(_)) => return ResponseCode::ServFail,
    };
    authority.extend(start_of_authority(&resolution.name));
    code
}

fn known_type(record_type: rr::RecordType) -> Option<RecordType> {
    match record_type {
        rr::RecordType::A => Some(RecordType::A),
        rr::RecordType::AAAA => Some(RecordType::Aaaa),
        rr::RecordType::MX => Some(RecordType::Mx),
        rr::RecordType::TXT => Some(RecordType::Txt),
        rr::RecordType::PTR => Some(RecordType::Ptr),
        rr::RecordType::CNAME => Some(RecordType::Cname),
        rr::RecordType::NS => Some(RecordType::Ns),
        rr::RecordType::SOA => Some(RecordType::Soa),
        rr::RecordType::TLSA => Some(RecordType::Tlsa),
        _ => None,
    }
}

fn data(found: &Record, record_type: RecordType) -> Option<RData> {
    match found {
        Record::Address(std::net::IpAddr::V4(v4)) => Some(RData::A(A(*v4))),
        Record::Address(std::net::IpAddr::V6(v6)) => Some(RData::AAAA(AAAA(*v6))),
        Record::Mx(preference, host) => Some(RData::MX(MX::new(*preference, name(host)?))),
        Record::Txt(text) => Some(RData::TXT(TXT::from_bytes(text.chunks(MAX_STRING).collect()))),
        Record::Name(target) => {
            let target = name(target)?;
            Some(match record_type {
                RecordType::Cname => RData::CNAME(CNAME(target)),
                RecordType::Ns => RData::NS(NS(target)),
                _ => RData::PTR(PTR(target)),
            })
        }
        Record::Tlsa(usage, selector, matching, data) => Some(RData::TLSA(TLSA::new(
            (*usage).into(),
            (*selector).into(),
            (*matching).into(),
            data.clone(),
        ))),
        // Written into the answer by itself.
        Record::Soa(..) => None,
    }
}

// The zone's apex is taken to be the last two labels: negative answers carry its
// SOA, so that resolvers know for how long to believe them (RFC 2308 §3).
fn start_of_authority(of: &str) -> Option<rr::Record> {
    let skip = of.split('.').count().saturating_sub(2);
    let apex = of.split('.').skip(skip).collect::<Vec<_>>().join(".");
    let ttl = i32::try_from(TTL).ok()?;
    let soa = SOA::new(
        name(&format!("ns.{apex}"))?,
        name(&format!("hostmaster.{apex}"))?,
        1,
        ttl,
        ttl,
        ttl,
        TTL,
    );
    record(&apex, Some(RData::SOA(soa)))
}

fn record(owner: &str, data: Option<RData>) -> Option<rr::Record> {
    Some(rr::Record::from_rdata(name(owner)?, TTL, data?))
}

fn name(text: &str) -> Option<Name> {
    let mut name = Name::from_ascii(text).ok()?;
    name.set_fqdn(true);
    Some(name)
}
