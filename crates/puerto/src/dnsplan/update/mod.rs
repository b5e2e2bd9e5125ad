//! Publishes a plan by dynamic update (RFC 2136), signed with a key (RFC 8945).
//!
//! Nothing is overwritten blindly: what the server has at each name is asked for
//! again right before, compared with what the plan was made from, and named in the
//! update as its prerequisite. If somebody changes a record in between, the server
//! refuses the whole update. Afterwards the records are asked for once more, since a
//! server passes over some things in silence, such as a record beside a CNAME.

mod key;
#[cfg(test)]
mod tests;
mod tsig;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use hickory_proto::op::{Message, OpCode, Query, ResponseCode};
use hickory_proto::rr::rdata::{MX, TLSA, TXT};
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType as Type};
use puerto_mail::dns::RecordType;
use puerto_spool::clock::Clock;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::existing::hexadecimal;
use super::{Plan, Planned, Said, State, words};
use crate::dns::{hickory_type, plain, wire_name};
use crate::lang::{NOT_IN_TIME, Text, quoted, system};
pub use key::{Key, KeyFileError};

/// For one exchange with the server.
const PATIENCE: Duration = Duration::from_secs(15);
/// How often it is looked again for what was published, and after what pause.
const LOOKS: u32 = 20;
const LOOK_AGAIN: Duration = Duration::from_millis(250);
/// Seconds for which a record is kept that is soon taken away again.
const SHORT_LIVED: u32 = 60;
/// NOTAUTH: the server is not responsible (RFC 2136 §2.2).
const NOT_OURS: u16 = 9;

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
    /// For this zone or name it does not accept the key, for a reason of RFC 8945 §5.2:
    /// BADSIG, BADKEY or BADTIME; 0 if it did not say.
    Key(String, u16),
    /// For this zone or name it answers with an error code.
    Refused(String, u16),
    /// At this name it has other records than those that the plan was made from.
    Changed(String),
    /// It took the update, and yet does not have the record at this name.
    Ignored(String),
}

impl UpdateError {
    /// What to tell the administrator.
    pub fn said(&self) -> Said {
        match self {
            Self::Unreachable(error) => {
                Said::of_parts(words::UPDATE_UNREACHABLE, &[("error", error)])
            }
            Self::Refused(zone, code) => {
                let text = match code {
                    4 => words::UPDATE_NOT_KNOWN,
                    5 => words::UPDATE_REFUSED,
                    9 => words::UPDATE_NOT_AUTHORIZED,
                    10 => words::UPDATE_NOT_IN_ZONE,
                    _ => words::UPDATE_FAILED,
                };
                Said::plain(text).put("zone", zone).put("code", code_name(*code))
            }
            Self::Key(zone, reason) => {
                let text = match reason {
                    16 => words::UPDATE_BAD_SIGNATURE,
                    17 => words::UPDATE_BAD_KEY,
                    18 => words::UPDATE_BAD_TIME,
                    _ => words::UPDATE_NOT_AUTHORIZED,
                };
                Said::plain(text).put("zone", zone)
            }
            Self::Changed(name) => Said::plain(words::UPDATE_CHANGED).put("name", name),
            Self::Ignored(name) => Said::plain(words::UPDATE_IGNORED).put("name", name),
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

/// What was published, and what could not be there.
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
    /// What it stopped at.
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

/// Writes a TXT record for a short while, or takes it away again: others at its name stay.
/// Says in which zone it is.
pub async fn text(
    server: SocketAddr,
    key: &Key,
    clock: &dyn Clock,
    (name, value): (&str, &str),
    is_wanted: bool,
) -> Result<String, UpdateError> {
    let client = Client { server, key, clock };
    let zone = client.zone_of(name).await?;
    let zone = zone.ok_or_else(|| UpdateError::Refused(name.to_owned(), NOT_OURS))?;
    let mut update = request(OpCode::Update, &zone, Type::SOA)?;
    let data = RData::TXT(TXT::new(vec![value.to_owned()]));
    let record = Record::from_rdata(wire(name)?, SHORT_LIVED, data);
    update.add_authority(if is_wanted { record } else { in_class(DNSClass::NONE, record) });
    let answer = client.exchange(&update).await?;
    accepted(&answer, &zone).map(|()| zone)
}

// What an update was answered with.
fn accepted(answer: &Message, zone: &str) -> Result<(), UpdateError> {
    let zone = zone.to_owned();
    match answer.response_code {
        ResponseCode::NoError => Ok(()),
        // RFC 2136 §3.2: a prerequisite does not hold any more.
        ResponseCode::NXDomain
        | ResponseCode::YXDomain
        | ResponseCode::YXRRSet
        | ResponseCode::NXRRSet => Err(UpdateError::Changed(zone)),
        code => Err(match (code, tsig::error_of(answer)) {
            (ResponseCode::NotAuth, reason @ 1..) => UpdateError::Key(zone, reason),
            _ => UpdateError::Refused(zone, code.into()),
        }),
    }
}

async fn publish_in(
    client: &Client<'_>,
    plan: &Plan,
    (zones, changed): (&mut Vec<String>, &mut Vec<String>),
) -> Result<Done, UpdateError> {
    let mut sets: BTreeMap<(&str, Type), Vec<&Planned>> = BTreeMap::new();
    for record in plan.changes() {
        sets.entry((&record.name, hickory_type(record.kind))).or_default().push(record);
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
        if !updates.contains_key(&zone) {
            updates.insert(zone.clone(), request(OpCode::Update, &zone, Type::SOA)?);
        }
        if let Some(update) = updates.get_mut(&zone) {
            add_set(update, (name, *kind), &present, &records)?;
        }
        done.published.push((*name).to_owned());
    }
    zones.extend(updates.keys().cloned());
    for (zone, update) in &updates {
        let answer = client.exchange(update).await?;
        accepted(&answer, zone)?;
        changed.push(zone.clone());
    }
    for ((name, kind), records) in &sets {
        if done.elsewhere.iter().any(|other| other == name) {
            continue;
        }
        if !client.comes_to_have(records, (name, *kind)).await? {
            return Err(UpdateError::Ignored((*name).to_owned()));
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

// A question, or what an update begins with: the zone stands where a question has its name.
fn request(code: OpCode, name: &str, kind: Type) -> Result<Message, UpdateError> {
    let mut message = Message::query();
    message.metadata.op_code = code;
    message.add_query(Query::query(wire(name)?, kind));
    Ok(message)
}

fn wire(name: &str) -> Result<Name, UpdateError> {
    let wrong = || Said::plain(words::NOT_A_DOMAIN).put("text", name);
    wire_name(name.trim_end_matches('.')).ok_or_else(|| UpdateError::Unreachable(wrong()))
}

// Prerequisites and changes of one set of records (RFC 2136 §2.4 and §2.5).
fn add_set(
    update: &mut Message,
    (name, kind): (&str, Type),
    present: &[Record],
    records: &[&Planned],
) -> Result<(), UpdateError> {
    let at = wire(name)?;
    if present.is_empty() {
        update.add_answer(in_class(DNSClass::NONE, Record::update0(at.clone(), 0, kind)));
    }
    update.add_answers(present.iter().map(|there| in_class(DNSClass::IN, there.clone())));
    let ttl = present.first().map(|record| record.ttl);
    for record in records {
        let gone = match record.state {
            State::Delete => Some(&record.value),
            _ => record.old.as_ref(),
        };
        if let Some(gone) = gone {
            let there = present.iter().find(|one| value_of(one) == *gone);
            let there = there.ok_or_else(|| UpdateError::Changed(name.to_owned()))?;
            update.add_authority(in_class(DNSClass::NONE, there.clone()));
        }
        if record.state != State::Delete {
            let (ttl, data) = (ttl.unwrap_or(record.ttl), data_of(record)?);
            update.add_authority(Record::from_rdata(at.clone(), ttl, data));
        }
    }
    Ok(())
}

// As it is required or deleted: its class says which, and its TTL nothing.
fn in_class(class: DNSClass, mut record: Record) -> Record {
    (record.dns_class, record.ttl) = (class, 0);
    record
}

fn data_of(record: &Planned) -> Result<RData, UpdateError> {
    Ok(match (record.kind, record.value.split_once(' ')) {
        (RecordType::Txt, _) => {
            let pieces = record.pieces();
            RData::TXT(TXT::from_bytes(pieces.iter().map(String::as_bytes).collect()))
        }
        (RecordType::Mx, Some((preference, host))) => {
            RData::MX(MX::new(preference.parse().unwrap_or(10), wire(host)?))
        }
        (RecordType::Tlsa, _) => {
            tlsa_of(&record.value).ok_or_else(|| UpdateError::Unreachable(quoted(&record.value)))?
        }
        _ => {
            let address = record.value.parse::<IpAddr>();
            address.map_err(|error| UpdateError::Unreachable(quoted(&error.to_string())))?.into()
        }
    })
}

// As a zone file writes it.
fn tlsa_of(value: &str) -> Option<RData> {
    let mut words = value.split(' ');
    let mut number = || words.next()?.parse::<u8>().ok();
    let (usage, selector, matching) = (number()?, number()?, number()?);
    let digits = words.next()?;
    let pairs = digits.as_bytes().chunks_exact(2);
    let octet = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    let data = pairs.map(octet).collect::<Option<Vec<u8>>>()?;
    Some(RData::TLSA(TLSA::new(usage.into(), selector.into(), matching.into(), data)))
}

/// The value as plans write it.
fn value_of(record: &Record) -> String {
    match &record.data {
        RData::TXT(text) => String::from_utf8_lossy(&text.txt_data.concat()).into_owned(),
        RData::MX(mx) => {
            let host = plain(&mx.exchange);
            format!("{} {}", mx.preference, if host.is_empty() { "." } else { &host })
        }
        RData::TLSA(tlsa) => format!(
            "{} {} {} {}",
            u8::from(tlsa.cert_usage),
            u8::from(tlsa.selector),
            u8::from(tlsa.matching),
            hexadecimal(&tlsa.cert_data)
        ),
        data => data.to_string(),
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
        let answer = self.exchange(&request(OpCode::Query, name, Type::SOA)?).await?;
        match answer.response_code {
            ResponseCode::NotAuth => {
                let reason = tsig::error_of(&answer);
                return Err(UpdateError::Key(name.to_owned(), reason));
            }
            ResponseCode::NoError | ResponseCode::NXDomain if answer.authoritative => {}
            _ => return Ok(None),
        }
        let mut records = answer.all_sections();
        let soa = records.find(|one| one.record_type() == Type::SOA);
        Ok(soa.map(|soa| plain(&soa.name)))
    }

    async fn records(&self, name: &str, kind: Type) -> Result<Vec<Record>, UpdateError> {
        let answer = self.exchange(&request(OpCode::Query, name, kind)?).await?;
        match answer.response_code {
            ResponseCode::NoError | ResponseCode::NXDomain => {}
            code => {
                return Err(UpdateError::Refused(name.to_owned(), code.into()));
            }
        }
        let wanted = |one: &&Record| one.record_type() == kind && plain(&one.name) == name;
        Ok(answer.answers.iter().filter(wanted).cloned().collect())
    }

    // Whether what was to be published is there. A server that signs its zone serves what it
    // took only when that is done.
    async fn comes_to_have(
        &self,
        records: &[&Planned],
        (name, kind): (&str, Type),
    ) -> Result<bool, UpdateError> {
        for look in 0..=LOOKS {
            if look > 0 {
                tokio::time::sleep(LOOK_AGAIN).await;
            }
            let present = self.records(name, kind).await?;
            let mut wanted = records.iter().filter(|record| record.state != State::Delete);
            if wanted.all(|record| present.iter().any(|one| value_of(one) == record.value)) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    // A wildcard's records appear at a name that has none, where nothing can be
    // required or deleted: they appear at any other name beside it too.
    async fn is_wildcard(
        &self,
        name: &str,
        kind: Type,
        present: &[Record],
    ) -> Result<bool, UpdateError> {
        let Some((_, parent)) = name.split_once('.').filter(|_| !present.is_empty()) else {
            return Ok(false);
        };
        let beside = self.records(&format!("no-such-name-of-puerto.{parent}"), kind).await?;
        let is_there = |one: &Record| present.iter().any(|other| other.data == one.data);
        Ok(beside.len() == present.len() && beside.iter().all(is_there))
    }

    async fn exchange(&self, message: &Message) -> Result<Message, UpdateError> {
        let done = tokio::time::timeout(PATIENCE, self.talk(message)).await;
        done.unwrap_or_else(|_| Err(NOT_IN_TIME.into())).map_err(|error| {
            let server = Said::words(self.server.to_string());
            UpdateError::Unreachable(Said::joined([&server, &error], ": "))
        })
    }

    // Over TCP: a key's record alone fills half of a datagram.
    async fn talk(&self, message: &Message) -> Result<Message, Said> {
        let io = |error: std::io::Error| system(&error);
        let request = tsig::sign(message, self.key, self.clock.now().as_secs())?;
        let length = u16::try_from(request.octets.len()).map_err(|_| TOO_LARGE)?;
        let mut stream = TcpStream::connect(self.server).await.map_err(io)?;
        stream.write_all(&[&length.to_be_bytes(), &*request.octets].concat()).await.map_err(io)?;
        let length = stream.read_u16().await.map_err(io)?;
        let mut octets = vec![0; length.into()];
        stream.read_exact(&mut octets).await.map_err(io)?;
        let answer = Message::from_vec(&octets).map_err(|_| MALFORMED)?;
        if answer.id != message.id {
            return Err(OF_ANOTHER.into());
        }
        // What a server that does not know the key says cannot be signed with it.
        if answer.response_code != ResponseCode::NotAuth {
            tsig::verify(&octets, &answer, self.key, &request.mac)?;
        }
        Ok(answer)
    }
}
