//! Publishes a plan by dynamic update (RFC 2136), signed with a key (RFC 8945).
//!
//! Nothing is overwritten blindly: what the server has at each name is asked for
//! again right before, compared with what the plan was made from, and named in the
//! update as its prerequisite. If somebody changes a record in between, the server
//! refuses the whole update. Afterwards the records are asked for once more, since a
//! server passes over some things in silence, such as a record beside a CNAME.

mod key;
mod tsig;
mod wire;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use puerto_mail::dns::RecordType;
use puerto_spool::clock::Clock;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::{Plan, Planned, Said, State, words};
use crate::lang::{NOT_IN_TIME, Text, system};
pub use key::{Key, KeyFileError};
use wire::{Message, ResourceRecord};

/// For one exchange with the server.
const PATIENCE: Duration = Duration::from_secs(15);

/// What a server answers to a key that it does not accept, and for a zone that is not
/// its own (RFC 8945 §5.2, RFC 2136 §2.2).
const NOTAUTH: u16 = 9;

const TOO_LARGE: Text =
    Text::new("the update is too large", "la actualización es demasiado grande");
const MALFORMED: Text = Text::new("the answer is malformed", "la respuesta está mal formada");
const OF_ANOTHER: Text =
    Text::new("the answer belongs to another question", "la respuesta es la de otra pregunta");

/// Why records were not published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UpdateError {
    /// The server cannot be talked to.
    Unreachable(Said),
    /// It does not accept the key, for a reason of RFC 8945 §5.2.
    Key {
        /// The zone or name.
        zone: String,
        /// BADSIG, BADKEY or BADTIME; 0 if it did not say.
        reason: u16,
    },
    /// It answers with an error code.
    Refused {
        /// The zone or name.
        zone: String,
        /// The code.
        code: u16,
    },
    /// It has other records than those that the plan was made from.
    Changed {
        /// At this name.
        name: String,
    },
    /// It took the update, and yet does not have the record.
    Ignored {
        /// At this name.
        name: String,
    },
}

impl UpdateError {
    /// What to tell the administrator.
    pub fn said(&self) -> Said {
        match self {
            Self::Unreachable(error) => {
                Said::of_parts(words::UPDATE_UNREACHABLE, &[("error", error)])
            }
            Self::Refused { zone, code } => {
                let text = match code {
                    4 => words::UPDATE_NOT_KNOWN,
                    5 => words::UPDATE_REFUSED,
                    9 => words::UPDATE_NOT_AUTHORIZED,
                    10 => words::UPDATE_NOT_IN_ZONE,
                    _ => words::UPDATE_FAILED,
                };
                Said::plain(text).put("zone", zone).put("code", code_name(*code))
            }
            Self::Key { zone, reason } => {
                let text = match reason {
                    16 => words::UPDATE_BAD_SIGNATURE,
                    17 => words::UPDATE_BAD_KEY,
                    18 => words::UPDATE_BAD_TIME,
                    _ => words::UPDATE_NOT_AUTHORIZED,
                };
                Said::plain(text).put("zone", zone)
            }
            Self::Changed { name } => Said::plain(words::UPDATE_CHANGED).put("name", name),
            Self::Ignored { name } => Said::plain(words::UPDATE_IGNORED).put("name", name),
        }
    }
}

// RFC 1035 §4.1.1 and RFC 2136 §2.2.
fn code_name(code: u16) -> String {
    let name = match code {
        1 => "FORMERR",
        2 => "SERVFAIL",
        3 => "NXDOMAIN",
        4 => "NOTIMP",
        5 => "REFUSED",
        6 => "YXDOMAIN",
        7 => "YXRRSET",
        8 => "NXRRSET",
        9 => "NOTAUTH",
        10 => "NOTZONE",
        other => return other.to_string(),
    };
    name.to_owned()
}

/// What was done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Done {
    /// Names whose records were changed.
    pub published: Vec<String>,
    /// Names for which the server is not responsible.
    pub elsewhere: Vec<String>,
}

/// Why not all was published, and how far it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stopped {
    /// Why.
    pub error: UpdateError,
    /// Zones that were changed before, or with which only the look afterwards failed.
    pub changed: Vec<String>,
    /// Zones that were not.
    pub unchanged: Vec<String>,
}

impl Stopped {
    /// What to tell the administrator.
    pub fn said(&self) -> Said {
        let zones = |zones: &[String]| zones.join(", ");
        let text = match (self.changed.is_empty(), self.unchanged.is_empty()) {
            (true, _) => return self.error.said(),
            (false, true) => words::UPDATE_CHANGED_ALL,
            (false, false) => words::UPDATE_CHANGED_SOME,
        };
        let [changed, unchanged] =
            [&self.changed, &self.unchanged].map(|list| Said::words(zones(list)));
        let parts =
            [("error", &self.error.said()), ("changed", &changed), ("unchanged", &unchanged)];
        Said::of_parts(text, &parts)
    }
}

/// Publishes what a plan changes at a server.
pub async fn publish(
    server: SocketAddr,
    key: &Key,
    plan: &Plan,
    clock: &dyn Clock,
) -> Result<Done, Stopped> {
    let mut changed = Vec::new();
    let mut zones = Vec::new();
    let client = Client { server, key, clock };
    publish_in(&client, plan, (&mut zones, &mut changed)).await.map_err(|error| {
        zones.retain(|zone| !changed.contains(zone));
        Stopped { error, changed, unchanged: zones }
    })
}

async fn publish_in(
    client: &Client<'_>,
    plan: &Plan,
    (zones, changed): (&mut Vec<String>, &mut Vec<String>),
) -> Result<Done, UpdateError> {
    let mut sets: BTreeMap<(&str, u16), Vec<&Planned>> = BTreeMap::new();
    for record in plan.changes() {
        sets.entry((&record.name, type_number(record.kind))).or_default().push(record);
    }
    let mut done = Done::default();
    let mut updates: BTreeMap<String, Message> = BTreeMap::new();
    for ((name, kind), records) in &sets {
        let Some(zone) = client.zone_of(name).await? else {
            done.elsewhere.push((*name).to_owned());
            continue;
        };
        let mut present = client.records(name, *kind).await?;
        let mut records = records.clone();
        let own;
        if **name != *zone && client.is_wildcard(name, *kind, &present).await? {
            present.clear();
            own = own_records(&records);
            records = own.iter().collect();
        }
        let update = updates.entry(zone.clone()).or_insert_with(|| Message::update(&zone));
        add_set(update, (name, *kind), &present, &records)?;
        done.published.push((*name).to_owned());
    }
    zones.extend(updates.keys().cloned());
    for (zone, update) in &updates {
        let answer = client.exchange(update).await?;
        match answer.code() {
            0 => changed.push(zone.clone()),
            // RFC 2136 §3.2: a prerequisite does not hold any more.
            3 | 6..=8 => return Err(UpdateError::Changed { name: zone.clone() }),
            NOTAUTH if tsig::error_of(&answer) != 0 => {
                let reason = tsig::error_of(&answer);
                return Err(UpdateError::Key { zone: zone.clone(), reason });
            }
            code => return Err(UpdateError::Refused { zone: zone.clone(), code }),
        }
    }
    for ((name, kind), records) in &sets {
        if done.elsewhere.iter().any(|other| other == name) {
            continue;
        }
        let present = client.records(name, *kind).await?;
        let mut wanted = records.iter().filter(|record| record.state != State::Delete);
        if !wanted.all(|record| present.iter().any(|one| value_of(one) == record.value)) {
            return Err(UpdateError::Ignored { name: (*name).to_owned() });
        }
    }
    done.published.dedup();
    Ok(done)
}

// What replaces a wildcard's record at a name replaces nothing there.
fn own_records(records: &[&Planned]) -> Vec<Planned> {
    let published = records.iter().filter(|record| record.state != State::Delete);
    published.map(|record| Planned { old: None, ..(*record).clone() }).collect()
}

// Prerequisites and changes of one set of records (RFC 2136 §2.4 and §2.5).
fn add_set(
    update: &mut Message,
    (name, kind): (&str, u16),
    present: &[ResourceRecord],
    records: &[&Planned],
) -> Result<(), UpdateError> {
    if present.is_empty() {
        update.require_none(name, kind);
    }
    for record in present {
        update.require(record);
    }
    let ttl = present.first().map(|record| record.ttl);
    for record in records {
        let gone = match record.state {
            State::Delete => Some(&record.value),
            _ => record.old.as_ref(),
        };
        if let Some(gone) = gone {
            let there = present.iter().find(|one| value_of(one) == *gone);
            let there = there.ok_or_else(|| UpdateError::Changed { name: name.to_owned() })?;
            update.delete(there);
        }
        if record.state != State::Delete {
            let data = data_of(record);
            let ttl = ttl.unwrap_or(record.ttl);
            update.add(ResourceRecord::new(name, kind, ttl, data));
        }
    }
    Ok(())
}

fn type_number(kind: RecordType) -> u16 {
    match kind {
        RecordType::A => 1,
        RecordType::Ns => 2,
        RecordType::Cname => 5,
        RecordType::Soa => wire::SOA,
        RecordType::Ptr => 12,
        RecordType::Mx => wire::MX,
        RecordType::Txt => wire::TXT,
        RecordType::Aaaa => 28,
        RecordType::Tlsa => 52,
    }
}

fn data_of(record: &Planned) -> Vec<u8> {
    let mut data = Vec::new();
    match record.kind {
        RecordType::Txt => {
            for piece in record.pieces() {
                data.push(u8::try_from(piece.len()).unwrap_or(u8::MAX));
                data.extend_from_slice(piece.as_bytes());
            }
        }
        RecordType::Mx => {
            let (preference, host) = record.value.split_once(' ').unwrap_or(("10", &record.value));
            data.extend_from_slice(&preference.parse::<u16>().unwrap_or(10).to_be_bytes());
            wire::write_name(&mut data, host);
        }
        _ => match record.value.parse() {
            Ok(std::net::IpAddr::V4(address)) => data.extend_from_slice(&address.octets()),
            Ok(std::net::IpAddr::V6(address)) => data.extend_from_slice(&address.octets()),
            Err(_) => wire::write_name(&mut data, &record.value),
        },
    }
    data
}

/// The value as plans write it.
fn value_of(record: &ResourceRecord) -> String {
    let mut data = record.data.as_slice();
    match (record.kind, data) {
        (wire::TXT, _) => {
            let mut text = Vec::new();
            while let Some((length, rest)) = data.split_first() {
                let Some((piece, rest)) = rest.split_at_checked((*length).into()) else { break };
                text.extend_from_slice(piece);
                data = rest;
            }
            String::from_utf8_lossy(&text).into_owned()
        }
        (wire::MX, [high, low, host @ ..]) => {
            let preference = u16::from_be_bytes([*high, *low]);
            let host = wire::name_text(host);
            format!("{preference} {}", if host.is_empty() { "." } else { &host })
        }
        (1, &[a, b, c, d]) => std::net::Ipv4Addr::new(a, b, c, d).to_string(),
        (28, data) => match <[u8; 16]>::try_from(data) {
            Ok(octets) => std::net::Ipv6Addr::from(octets).to_string(),
            Err(_) => String::new(),
        },
        (_, data) => wire::name_text(data),
    }
}

struct Client<'a> {
    server: SocketAddr,
    key: &'a Key,
    clock: &'a dyn Clock,
}

impl Client<'_> {
    // Every answer about a zone that exists brings its SOA, as the answer or beside
    // the empty one (RFC 2308 §3).
    async fn zone_of(&self, name: &str) -> Result<Option<String>, UpdateError> {
        let answer = self.exchange(&Message::query(name, wire::SOA)).await?;
        if answer.code() == NOTAUTH {
            let reason = tsig::error_of(&answer);
            return Err(UpdateError::Key { zone: name.to_owned(), reason });
        }
        if !answer.is_authoritative() || !matches!(answer.code(), 0 | 3) {
            return Ok(None);
        }
        Ok(answer.records.iter().find(|one| one.kind == wire::SOA).map(|one| one.name.clone()))
    }

    async fn records(&self, name: &str, kind: u16) -> Result<Vec<ResourceRecord>, UpdateError> {
        let answer = self.exchange(&Message::query(name, kind)).await?;
        let code = answer.code();
        if !matches!(code, 0 | 3) {
            return Err(UpdateError::Refused { zone: name.to_owned(), code });
        }
        let wanted = |one: &ResourceRecord| one.kind == kind && one.name == name;
        Ok(answer.records.into_iter().filter(wanted).collect())
    }

    // A wildcard's records appear at a name that has none, where nothing can be
    // required or deleted: they appear at any other name beside it too.
    async fn is_wildcard(
        &self,
        name: &str,
        kind: u16,
        present: &[ResourceRecord],
    ) -> Result<bool, UpdateError> {
        let Some((_, parent)) = name.split_once('.').filter(|_| !present.is_empty()) else {
            return Ok(false);
        };
        let beside = self.records(&format!("no-such-name-of-puerto.{parent}"), kind).await?;
        let data = |records: &[ResourceRecord]| {
            let mut data: Vec<Vec<u8>> = records.iter().map(|one| one.data.clone()).collect();
            data.sort();
            data
        };
        Ok(data(&beside) == data(present))
    }

    async fn exchange(&self, message: &Message) -> Result<wire::Answer, UpdateError> {
        let done = tokio::time::timeout(PATIENCE, self.talk(message)).await;
        done.unwrap_or_else(|_| Err(NOT_IN_TIME.into())).map_err(|error| {
            let server = Said::words(self.server.to_string());
            UpdateError::Unreachable(Said::joined([&server, &error], ": "))
        })
    }

    // Over TCP: a key's record alone fills half of a datagram.
    async fn talk(&self, message: &Message) -> Result<wire::Answer, Said> {
        let io = |error: std::io::Error| system(&error);
        let request = tsig::sign(message.octets(), self.key, self.clock.now().as_secs())?;
        let length = u16::try_from(request.octets.len()).map_err(|_| TOO_LARGE)?;
        let mut stream = TcpStream::connect(self.server).await.map_err(io)?;
        let mut framed = length.to_be_bytes().to_vec();
        framed.extend_from_slice(&request.octets);
        stream.write_all(&framed).await.map_err(io)?;
        let length = stream.read_u16().await.map_err(io)?;
        let mut octets = vec![0; length.into()];
        stream.read_exact(&mut octets).await.map_err(io)?;
        let answer = wire::Answer::read(&octets).ok_or(MALFORMED)?;
        if answer.id != message.id() {
            return Err(OF_ANOTHER.into());
        }
        // What a server that does not know the key says cannot be signed with it.
        if answer.code() != NOTAUTH {
            tsig::verify(&octets, &answer, self.key, &request.mac)?;
        }
        Ok(answer)
    }
}
