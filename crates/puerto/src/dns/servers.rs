//! The recursive servers, asked in turn.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::tcp::TcpClientStream;
use hickory_resolver::net::udp::UdpClientStream;
use hickory_resolver::net::xfer::{DnsHandle, FirstAnswer};
use hickory_resolver::net::{DnsError as HickoryDnsError, NetError};
use hickory_resolver::proto::op::{DnsRequest, DnsRequestOptions, DnsResponse, Query};
use hickory_resolver::proto::rr::Name;
use puerto_mail::dns::{Answer, DnsError, DnsFault, RecordType};

use super::response::{self, Failure, Reading};
use super::{malformed, system};

/// For one question to one server, the repetition over TCP included.
pub const TIMEOUT: Duration = Duration::from_secs(3);
/// How often each server is asked at most.
const ROUNDS: usize = 2;
/// Aliases that are followed for one question.
const MAX_ALIASES: usize = 8;

struct Server {
    address: SocketAddr,
    timeout: Duration,
    /// What it says of DNSSEC is believed: nobody is on the way to it.
    is_trusted: bool,
}

/// The servers and which of them answered last.
pub(super) struct Servers {
    list: Vec<Server>,
    preferred: AtomicUsize,
    /// What is the matter where no server answers.
    problem: DnsFault,
}

impl Servers {
    /// These servers, each of which has `timeout` to answer. What they say of DNSSEC is
    /// believed if they are all on this machine, or `trust_ad` says that the way to them is
    /// as safe.
    pub(super) fn new(addresses: &[SocketAddr], timeout: Duration, trust_ad: bool) -> Self {
        let is_trusted = trust_ad || addresses.iter().all(|server| server.ip().is_loopback());
        let list =
            addresses.iter().map(|&address| Server { address, timeout, is_trusted }).collect();
        Self { list, preferred: AtomicUsize::new(0), problem: DnsFault::NoServer }
    }

    /// The servers that the system names in its resolv.conf, which may say itself that the
    /// way to them is safe.
    pub(super) fn of_system(trust_ad: bool) -> Self {
        match system::resolvers() {
            Ok((addresses, trusted)) => Self::new(&addresses, TIMEOUT, trust_ad || trusted),
            Err(problem) => Self { list: Vec::new(), preferred: AtomicUsize::new(0), problem },
        }
    }

    pub(super) fn addresses(&self) -> Vec<SocketAddr> {
        self.list.iter().map(|server| server.address).collect()
    }

    /// Asks, and follows aliases that a server left for us to follow.
    pub(super) async fn query(
        &self,
        name: &str,
        record_type: RecordType,
    ) -> Result<Answer, Failure> {
        let mut name = name.to_owned();
        let mut ttl = u32::MAX;
        let (mut aliases, mut all_validated) = (0, true);
        loop {
            let reading = self.query_once(&name, record_type).await;
            match reading.map_err(|f| Failure { validated: f.validated && all_validated, ..f })? {
                Reading::Records(mut answer) => {
                    answer.ttl = answer.ttl.min(ttl);
                    answer.validated &= all_validated;
                    let followed = (aliases > 0).then_some(name);
                    answer.alias_of = answer.alias_of.or(followed);
                    return Ok(answer);
                }
                Reading::Alias { target, ttl: alias_ttl, followed, validated } => {
                    aliases += followed;
                    all_validated &= validated;
                    if aliases > MAX_ALIASES {
                        return Err(Failure::fault(DnsFault::Aliases));
                    }
                    ttl = ttl.min(alias_ttl);
                    name = target;
                }
            }
        }
    }

    /// Whether the server of this number answers a question.
    pub(super) async fn answers(&self, number: usize, name: &str, kind: RecordType) -> bool {
        let Some((server, wire)) = self.list.get(number).zip(wire_name(name)) else { return false };
        match server.ask(&wire, name, kind).await {
            Ok(_) => true,
            Err(failure) => failure.error.is_absence(),
        }
    }

    /// Asks the server of this number alone, once.
    pub(super) async fn ask_number(
        &self,
        number: usize,
        name: &str,
        kind: RecordType,
    ) -> Result<Answer, DnsError> {
        let wire = wire_name(name).ok_or(DnsError::NoSuchDomain)?;
        let no_server = || DnsError::Failure(DnsFault::NoServer);
        let server = self.list.get(number).ok_or_else(no_server)?;
        match server.ask(&wire, name, kind).await.map_err(|failure| failure.error)? {
            Reading::Records(answer) => Ok(answer),
            Reading::Alias { .. } => Err(DnsError::NoRecords),
        }
    }

    /// Whether what the servers say of DNSSEC is believed.
    pub(super) fn are_trusted(&self) -> bool {
        !self.list.is_empty() && self.list.iter().all(|server| server.is_trusted)
    }

    /// Begins with this server from now on.
    pub(super) fn prefer(&self, number: usize) {
        self.preferred.store(number, Ordering::Relaxed);
    }

    async fn query_once(&self, name: &str, record_type: RecordType) -> Result<Reading, Failure> {
        let Some(wire_name) = wire_name(name) else {
            // A name with an empty or over-long label cannot exist (RFC 1035 §2.3.4).
            return Err(Failure::absence(DnsError::NoSuchDomain, None, false));
        };
        let mut failure = Failure::fault(self.problem.clone());
        for _ in 0..ROUNDS {
            let first = self.preferred.load(Ordering::Relaxed);
            for step in 0..self.list.len() {
                let index = (first + step) % self.list.len();
                let Some(server) = self.list.get(index) else { continue };
                match server.ask(&wire_name, name, record_type).await {
                    Err(error) if !error.error.is_absence() => failure = error,
                    answer => {
                        self.preferred.store(index, Ordering::Relaxed);
                        return answer;
                    }
                }
            }
        }
        Err(failure)
    }
}

/// Asks one server, which is to answer by itself: an authoritative one. An alias that
/// leads elsewhere is the answer then.
pub(super) async fn ask_one(
    address: SocketAddr,
    name: &str,
    kind: RecordType,
) -> Result<Answer, DnsError> {
    let Some(wire) = wire_name(name) else { return Err(DnsError::NoSuchDomain) };
    let server = Server { address, timeout: TIMEOUT, is_trusted: false };
    match server.ask_with(&wire, name, kind, false).await {
        Ok(Reading::Records(answer)) => Ok(answer),
        Ok(Reading::Alias { target, ttl, .. }) => {
            let records = vec![puerto_mail::dns::Record::Name(target)];
            Ok(Answer { records, ttl, validated: false, alias_of: None })
        }
        Err(failure) => Err(failure.error),
    }
}

impl Server {
    async fn ask(&self, wire: &Name, name: &str, kind: RecordType) -> Result<Reading, Failure> {
        self.ask_with(wire, name, kind, true).await
    }

    async fn ask_with(
        &self,
        wire: &Name,
        name: &str,
        kind: RecordType,
        recursion: bool,
    ) -> Result<Reading, Failure> {
        let query = Query::query(wire.clone(), response::hickory_type(kind));
        let mut options = DnsRequestOptions::default();
        options.use_edns = true;
        options.recursion_desired = recursion;
        let mut is_mended = false;
        let asking = async {
            let answer = self.exchange(query.clone(), options).await;
            match &answer {
                Err(NetError::Proto(_)) if kind == RecordType::Tlsa => {
                    is_mended = true;
                    let again = malformed::ask(self.address, &self.request(query, options)).await;
                    again.map(|answer| self.believed(answer))
                }
                _ => answer,
            }
        };
        let answer = tokio::time::timeout(self.timeout, asking).await;
        let message = match answer.unwrap_or(Err(NetError::Timeout)) {
            // The library would take records of a type that it does not know for none.
            Ok(message) if is_mended => {
                return response::read(&message, self.address, name, kind);
            }
            Ok(message) => message,
            Err(error) => return Err(response::failure(error, self.address, false)),
        };
        if message.truncation {
            return Err(Failure::fault(DnsFault::CutOff(self.address)));
        }
        // The error that an answer may be says nothing of this bit.
        let validated = message.authentic_data;
        match HickoryDnsError::from_response(message).map_err(NetError::from) {
            // Whether a server knows the alias' target too is its own matter.
            Ok(message) if !recursion => response::alias(&message, name, kind)
                .map_or_else(|| response::read(&message, self.address, name, kind), Ok),
            Ok(message) => response::read(&message, self.address, name, kind),
            Err(error) => Err(response::failure(error, self.address, validated)),
        }
    }

    // One question by UDP and, if the answer was cut off there, one by TCP. A server that
    // says by TCP that the answer is cut off has none to give. (The library's own pool
    // would ask it again until the time is over.)
    async fn exchange(
        &self,
        query: Query,
        options: DnsRequestOptions,
    ) -> Result<DnsResponse, NetError> {
        let runtime = TokioRuntimeProvider::default();
        let ask = || self.request(query.clone(), options);
        let datagrams = UdpClientStream::builder(self.address, runtime.clone())
            .with_timeout(Some(self.timeout))
            .exchange();
        let mut answer = datagrams.send(ask()).first_answer().await?;
        if answer.truncation {
            let stream =
                TcpClientStream::exchange(self.address, None, self.timeout, None, runtime).await?;
            answer = stream.send(ask()).first_answer().await?;
        }
        Ok(self.believed(answer))
    }

    fn request(&self, query: Query, options: DnsRequestOptions) -> DnsRequest {
        let mut request = DnsRequest::from_query(query, options);
        // RFC 6840 §5.7: so it is asked whether DNSSEC vouches for the answer.
        request.metadata.authentic_data = self.is_trusted;
        request
    }

    fn believed(&self, mut answer: DnsResponse) -> DnsResponse {
        answer.metadata.authentic_data &= self.is_trusted;
        answer
    }
}

/// A name as the library takes it; none can be of empty or too long labels.
pub fn wire_name(name: &str) -> Option<Name> {
    if name.is_empty() {
        return Some(Name::root());
    }
    let mut labels = name.split('.').map(str::as_bytes);
    if labels.clone().any(|label| label.is_empty() || label.len() > 63) || name.len() > 253 {
        return None;
    }
    let mut wire = Name::from_labels(labels.by_ref()).ok()?;
    wire.set_fqdn(true);
    Some(wire)
}
