//! Questions to the DNS as the evaluators ask them, and a table that answers them
//! in tests.
//!
//! The evaluators are async without a runtime: they await whatever answers, and
//! over [`Table`] they are ready at once, so [`block_on`] is all a test needs.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

use crate::together::together;

/// A record type that this project asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RecordType {
    /// An IPv4 address (RFC 1035 §3.4.1).
    A,
    /// An IPv6 address (RFC 3596 §2.1).
    Aaaa,
    /// A host that takes mail for the name, with its preference (RFC 1035 §3.3.9).
    Mx,
    /// Text, in which SPF, DKIM and DMARC are published (RFC 1035 §3.3.14).
    Txt,
    /// Host name of an address.
    Ptr,
    /// The name that this one stands for (RFC 1035 §3.3.1).
    Cname,
    /// A server that answers for the zone (RFC 1035 §3.3.11).
    Ns,
    /// What a zone says of itself, at its top only (RFC 1035 §3.3.13).
    Soa,
    /// The certificate or key that a TLS server shows, for DANE (RFC 6698).
    Tlsa,
}

impl RecordType {
    /// The type of an address's own family: A or AAAA.
    pub fn of_address(address: IpAddr) -> Self {
        if address.is_ipv4() { Self::A } else { Self::Aaaa }
    }

    /// Its name, as zone files and `dig` write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::A => "A",
            Self::Aaaa => "AAAA",
            Self::Mx => "MX",
            Self::Txt => "TXT",
            Self::Ptr => "PTR",
            Self::Cname => "CNAME",
            Self::Ns => "NS",
            Self::Soa => "SOA",
            Self::Tlsa => "TLSA",
        }
    }
}

impl std::fmt::Display for RecordType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// The data of one record, parsed; its name and type are those of the question.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Record {
    /// A or AAAA: an address, of the family that the type says.
    Address(IpAddr),
    /// MX: preference and host, lower case, without a trailing dot; "" is the root
    /// (null MX, RFC 7505).
    Mx(u16, String),
    /// TXT: its character-strings joined, as octets; not always UTF-8.
    Txt(Vec<u8>),
    /// PTR, CNAME or NS target, lower case, without a trailing dot.
    Name(String),
    /// SOA: the serial number, and the whole as a zone file writes it.
    Soa(u32, String),
    /// TLSA: usage, selector, matching type and data (RFC 6698 §2.1).
    Tlsa(u8, u8, u8, Vec<u8>),
}

impl Record {
    /// The address, of an A or AAAA record.
    pub fn into_address(self) -> Option<IpAddr> {
        if let Self::Address(address) = self { Some(address) } else { None }
    }

    /// The name, of a PTR, CNAME or NS record.
    pub fn into_name(self) -> Option<String> {
        if let Self::Name(name) = self { Some(name) } else { None }
    }

    /// Preference and host, of an MX record.
    pub fn into_exchanger(self) -> Option<(u16, String)> {
        if let Self::Mx(preference, host) = self { Some((preference, host)) } else { None }
    }

    /// The text, of a TXT record; octets that are no text are replaced.
    pub fn text(&self) -> Option<String> {
        match self {
            Self::Txt(octets) => Some(String::from_utf8_lossy(octets).into_owned()),
            _ => None,
        }
    }

    /// The serial number, of an SOA record.
    pub fn serial(&self) -> Option<u32> {
        if let Self::Soa(serial, _) = self { Some(*serial) } else { None }
    }
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "kebab-case")]
pub enum DnsError {
    /// NXDOMAIN: the name does not exist.
    #[error("no such domain")]
    NoSuchDomain,
    /// The name exists, records of this type do not.
    #[error("no such record")]
    NoRecords,
    /// No server answered in time.
    #[error("the DNS did not answer in time")]
    Timeout,
    /// SERVFAIL, REFUSED, a malformed answer or another fault: not an answer.
    #[error("the DNS failed: {0}")]
    Failure(DnsFault),
}

/// What came instead of an answer, or kept one from coming.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DnsFault {
    /// A server gave this code, as `dig` writes it: `SERVFAIL`.
    Code(SocketAddr, String),
    /// A server that was never meant to be asked named others.
    Referral(SocketAddr),
    /// A server's answer is cut off, over TCP too.
    CutOff(SocketAddr),
    /// A server could not be asked: the operating system's number for it, and its words.
    Unreachable(SocketAddr, i32, String),
    /// Something else with a server, in a library's words.
    Server(SocketAddr, String),
    /// Aliases lead on and on.
    Aliases,
    /// No server of this name's zone is known.
    NoServerOf(String),
    /// The servers of the zone fail by this, and the resolver's word is not worth theirs.
    Distorted(Box<DnsError>),
    /// A name server has no address.
    NoAddress,
    /// More names would have to be asked about than is right.
    TooManyNames,
    /// The task that asked is gone.
    BrokenOff,
    /// There is no server to ask.
    NoServer,
    /// The file that names the servers cannot be read: the operating system's number for
    /// it, and its words.
    Unread(String, i32, String),
    /// Something else, in the words of whoever said it.
    Quoted(String),
}

impl From<&str> for DnsFault {
    fn from(words: &str) -> Self {
        Self::Quoted(words.to_owned())
    }
}

impl fmt::Display for DnsFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(server, code) => write!(f, "{server} answered {code}"),
            Self::Referral(server) => write!(f, "{server} gave a referral instead of an answer"),
            Self::CutOff(server) => write!(f, "{server}: the answer is cut off, over TCP too"),
            Self::Unreachable(server, _, words) => write!(f, "{server}: io error: {words}"),
            Self::Server(server, words) => write!(f, "{server}: {words}"),
            Self::Aliases => f.write_str("a chain of aliases is too long"),
            Self::NoServerOf(name) => write!(f, "no name server of {name} is known"),
            Self::Distorted(error) => write!(
                f,
                "the name servers of the zone cannot be asked ({error}), and this machine's \
                 resolver may have made its answer up"
            ),
            Self::NoAddress => f.write_str("the name server has no address"),
            Self::TooManyNames => f.write_str("too many names to ask about"),
            Self::BrokenOff => f.write_str("the look-up was broken off"),
            Self::NoServer => f.write_str("no DNS server is configured"),
            Self::Unread(file, _, words) => write!(f, "no DNS server is known: {file}: {words}"),
            Self::Quoted(words) => f.write_str(words),
        }
    }
}

impl DnsError {
    /// Whether the DNS said for certain that there is nothing; otherwise nothing
    /// may be concluded and the question is to be asked again later.
    pub fn is_absence(&self) -> bool {
        matches!(self, Self::NoSuchDomain | Self::NoRecords)
    }
}

/// Records and for how long they hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The records of the type asked for, aliases followed; never empty.
    pub records: Vec<Record>,
    /// For how many seconds it may be kept.
    pub ttl: u32,
    /// Whether DNSSEC vouches for all of it, by the word of a resolver that validates and
    /// to which the way is safe (RFC 4035 §4.9.3).
    pub validated: bool,
    /// The name whose records they are, where aliases lead to another than was asked for.
    pub alias_of: Option<String>,
}

/// A text in the character-strings of at most 255 octets that a TXT record holds (RFC 1035
/// §3.3), which receivers join without anything between.
pub fn character_strings(text: &str) -> Vec<String> {
    let mut strings = vec![String::new()];
    for character in text.chars() {
        if strings.last().is_some_and(|string| string.len() + character.len_utf8() > 255) {
            strings.push(String::new());
        }
        if let Some(last) = strings.last_mut() {
            last.push(character);
        }
    }
    strings
}

/// A character-string as a zone file writes it (RFC 1035 §5.1): in quotes, and what a
/// reader could mistake by its number.
pub fn quoted(string: &str) -> String {
    let octet = |octet: u8| match octet {
        b'"' | b'\\' => format!("\\{}", char::from(octet)),
        b' '..=b'~' => char::from(octet).to_string(),
        other => format!("\\{other:03}"),
    };
    format!("\"{}\"", string.bytes().map(octet).collect::<String>())
}

/// Something that answers questions to the DNS.
pub trait Dns: Send + Sync {
    /// Looks `name` up, in A-labels, with or without a trailing dot; no search list
    /// is applied.
    fn lookup(
        &self,
        name: &str,
        record_type: RecordType,
    ) -> impl Future<Output = Result<Answer, DnsError>> + Send;

    /// The same, and whether DNSSEC vouches for what is said, that there is nothing included.
    fn vouched(
        &self,
        name: &str,
        record_type: RecordType,
    ) -> impl Future<Output = (Result<Answer, DnsError>, bool)> + Send {
        async move {
            let answer = self.lookup(name, record_type).await;
            let validated = answer.as_ref().is_ok_and(|answer| answer.validated);
            (answer, validated)
        }
    }

    /// The records of a name; none where the DNS says for certain that there are none.
    fn records(
        &self,
        name: &str,
        record_type: RecordType,
    ) -> impl Future<Output = Result<Vec<Record>, DnsError>> + Send {
        async move { records_of(self.lookup(name, record_type).await) }
    }

    /// The addresses of a name in both families, IPv4 first, an absence being an answer.
    fn addresses(&self, name: &str) -> impl Future<Output = Result<Vec<IpAddr>, DnsError>> + Send {
        async move {
            let kinds = [RecordType::A, RecordType::Aaaa];
            let mut found = Vec::new();
            for records in together(kinds.map(|kind| self.records(name, kind))).await {
                found.extend(records?.into_iter().filter_map(Record::into_address));
            }
            Ok(found)
        }
    }

    /// The MX records of a name, the best first, an absence being an answer.
    fn exchangers(
        &self,
        name: &str,
    ) -> impl Future<Output = Result<Vec<(u16, String)>, DnsError>> + Send {
        async move {
            let records = self.records(name, RecordType::Mx).await?;
            let mut found: Vec<_> =
                records.into_iter().filter_map(Record::into_exchanger).collect();
            found.sort();
            Ok(found)
        }
    }
}

/// The records of an answer; none where it is that there are none.
pub fn records_of(answer: Result<Answer, DnsError>) -> Result<Vec<Record>, DnsError> {
    match answer {
        Ok(answer) => Ok(answer.records),
        Err(error) if error.is_absence() => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

impl<D: Dns> Dns for &D {
    fn lookup(
        &self,
        name: &str,
        record_type: RecordType,
    ) -> impl Future<Output = Result<Answer, DnsError>> + Send {
        (**self).lookup(name, record_type)
    }

    fn vouched(
        &self,
        name: &str,
        record_type: RecordType,
    ) -> impl Future<Output = (Result<Answer, DnsError>, bool)> + Send {
        (**self).vouched(name, record_type)
    }
}

/// A table that answers: the DNS of tests.
#[derive(Debug, Clone, Default)]
pub struct Table {
    records: HashMap<(String, RecordType), Result<Vec<Record>, DnsError>>,
    names: std::collections::HashSet<String>,
    validated: bool,
    doubted: std::collections::HashSet<(String, RecordType)>,
}

impl Table {
    /// An empty table: every name is absent.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a record to those that a name has, or in place of a failure.
    pub fn add(&mut self, name: &str, record_type: RecordType, record: Record) -> &mut Self {
        let name = canonical(name);
        self.names.insert(name.clone());
        let slot = self.records.entry((name, record_type)).or_insert_with(|| Ok(Vec::new()));
        match slot {
            Ok(records) => records.push(record),
            Err(_) => *slot = Ok(vec![record]),
        }
        self
    }

    /// Adds a TXT record of one text, however long.
    pub fn txt(&mut self, name: &str, text: &str) -> &mut Self {
        self.add(name, RecordType::Txt, Record::Txt(text.as_bytes().to_vec()))
    }

    /// Adds an A or AAAA record, by the address's family.
    pub fn address(&mut self, name: &str, address: IpAddr) -> &mut Self {
        self.add(name, RecordType::of_address(address), Record::Address(address))
    }

    /// Adds an MX record; `.` as host is the null MX (RFC 7505).
    pub fn mx(&mut self, name: &str, preference: u16, host: &str) -> &mut Self {
        self.add(name, RecordType::Mx, Record::Mx(preference, canonical(host)))
    }

    /// Takes the records of a type from a name.
    pub fn remove(&mut self, name: &str, record_type: RecordType) -> &mut Self {
        self.records.remove(&(canonical(name), record_type));
        self
    }

    /// Makes it a table for all of which DNSSEC vouches.
    pub fn validate(&mut self) -> &mut Self {
        self.validated = true;
        self
    }

    /// Takes one question out of what DNSSEC vouches for; for an alias, that of its CNAME.
    pub fn doubt(&mut self, name: &str, record_type: RecordType) -> &mut Self {
        self.doubted.insert((canonical(name), record_type));
        self
    }

    /// Answers a question with an error in place of the records that there may be.
    pub fn fail(&mut self, name: &str, record_type: RecordType, error: DnsError) -> &mut Self {
        self.records.insert((canonical(name), record_type), Err(error));
        self
    }
}

/// A name in the form in which names are compared: lower case, without a final dot.
pub fn canonical(name: &str) -> String {
    name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase()
}

/// Whether a name is another or lies below it; case does not matter.
pub fn is_at_or_below(name: &str, ancestor: &str) -> bool {
    let before = name.len().checked_sub(ancestor.len()).and_then(|at| name.split_at_checked(at));
    before.is_some_and(|(before, end)| {
        end.eq_ignore_ascii_case(ancestor) && (before.is_empty() || before.ends_with('.'))
    })
}

impl Dns for Table {
    async fn lookup(&self, name: &str, record_type: RecordType) -> Result<Answer, DnsError> {
        self.vouched(name, record_type).await.0
    }

    async fn vouched(
        &self,
        name: &str,
        record_type: RecordType,
    ) -> (Result<Answer, DnsError>, bool) {
        let mut name = canonical(name);
        let (mut validated, mut alias_of) = (self.validated, None);
        let is_doubted = |name: &str, kind| self.doubted.contains(&(name.to_owned(), kind));
        for _ in 0..8 {
            match self.records.get(&(name.clone(), record_type)) {
                Some(Ok(records)) => {
                    validated &= !is_doubted(&name, record_type);
                    let records = records.clone();
                    return (Ok(Answer { records, ttl: 300, validated, alias_of }), validated);
                }
                Some(Err(error)) => return (Err(error.clone()), false),
                None => {}
            }
            match self.records.get(&(name.clone(), RecordType::Cname)) {
                Some(Ok(aliases)) => match aliases.first() {
                    Some(Record::Name(target)) => {
                        validated &= !is_doubted(&name, RecordType::Cname);
                        name.clone_from(target);
                        alias_of = Some(name.clone());
                    }
                    _ => return (Err(DnsError::NoRecords), validated),
                },
                _ => {
                    validated &= !is_doubted(&name, record_type);
                    let exists = self.names.contains(&name);
                    let absence = if exists { DnsError::NoRecords } else { DnsError::NoSuchDomain };
                    return (Err(absence), validated);
                }
            }
        }
        (Err(DnsError::Failure(DnsFault::Aliases)), false)
    }
}

/// The name whose PTR records name the address: `4.3.2.1.in-addr.arpa`.
pub fn reverse_name(address: IpAddr) -> String {
    let (labels, suffix): (Vec<String>, _) = match address {
        IpAddr::V4(v4) => (v4.octets().iter().map(u8::to_string).collect(), "in-addr.arpa"),
        IpAddr::V6(v6) => {
            let nibbles = v6.octets().into_iter().flat_map(|octet| [octet >> 4, octet & 15]);
            (nibbles.map(|nibble| format!("{nibble:x}")).collect(), "ip6.arpa")
        }
    };
    let reversed: Vec<&str> = labels.iter().rev().map(String::as_str).collect();
    format!("{}.{suffix}", reversed.join("."))
}

/// Runs a future that never has to wait, such as an evaluation over a [`Table`].
/// `None` if it would have to wait.
pub fn block_on<F: Future>(future: F) -> Option<F::Output> {
    let mut future = std::pin::pin!(future);
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match future.as_mut().poll(&mut context) {
        std::task::Poll::Ready(output) => Some(output),
        std::task::Poll::Pending => None,
    }
}
