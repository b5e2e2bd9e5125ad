//! Events as they are kept: which of them, in which octets, and by what they are found.
//!
//! A fact is its length, its time, a tag and its fields, one behind the other. What a
//! program does not know it passes over, and what is not there is empty: a new field goes
//! behind the others, a new fact gets a new tag, and neither changes its meaning.

mod read;

use std::collections::BTreeMap;
use std::fmt::{self, Display, Write as _};

use puerto_spool::{MessageId, Timestamp};
use serde::{Deserialize, Serialize};

use super::Key;
use crate::cause::Cause;
use crate::telemetry::{
    Change, Client, Delivery, DeliveryStatus, Event, Prepared, Reject, Signing,
};

pub(super) use read::read;

/// Octets of a text at most.
const MOST_TEXT: usize = 4096;
/// Recipients that are named at most; the others are found all the same.
const MOST_RECIPIENTS: usize = 1000;

/// What happened. The names are those of the log's JSON form.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
#[allow(missing_docs, reason = "the log's events say what the fields are")]
pub enum Fact {
    /// It came by SMTP.
    FromClient {
        #[serde(skip_serializing_if = "Option::is_none")]
        client_name: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        client_address: Option<String>,
        helo: String,
        protocol: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        tls: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        login: Option<String>,
    },
    /// It came from a local user.
    FromLocalUser {
        uid: u32,
        from: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pid: Option<u32>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        unit: Option<String>,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        parents: Vec<String>,
        /// What only `sendmail` says.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        claimed: BTreeMap<String, String>,
    },
    /// It was made ready.
    #[serde(rename = "message_id")]
    Prepared(Box<Ready>),
    /// It is durable.
    Queued { size: u64, recipients: u64 },
    /// It was refused after all.
    Reject { stage: String, code: u16, dsn: String, text: String },
    /// An attempt for a recipient.
    Delivery(Box<Tried>),
    /// Its sender was told of something.
    Notification { kind: String, notification: String },
    /// It is itself a notification about another message.
    NotificationOf { kind: String, about: String },
    /// It has left the queue.
    Removed,
    /// It was given up by age.
    Expired,
    /// A notice or a complaint has come about it: `refused`, `late`, `delivered` or
    /// `complaint`.
    Later {
        report: String,
        news: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        to: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        dsn: Option<String>,
        text: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        complaint: Option<String>,
    },
    /// A remark. Where its value is known, it says itself in each language.
    Notice {
        level: String,
        component: String,
        text: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        cause: Option<serde_json::Value>,
    },
}

/// A message as it is committed.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the log's events say what the fields are")]
pub struct Ready {
    pub message_id: String,
    pub from: String,
    pub to: Vec<String>,
    /// How many recipients are not named.
    #[serde(default, skip_serializing_if = "is_none")]
    pub more_to: u64,
    pub changes: Vec<Changed>,
    pub signed: Vec<Signed>,
    /// Why it is not: `not-ours`, `no-author`, `no-key`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unsigned: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unsigned_domain: Option<String>,
}

/// Something that was changed of a message: `added`, `rewritten`, `dropped`, `sender`,
/// `line-ends`, `nuls`, `body`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the log's events say what the fields are")]
pub struct Changed {
    pub what: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub of: Option<String>,
}

/// A signature of ours.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the log's events say what the fields are")]
pub struct Signed {
    pub domain: String,
    pub selector: String,
    pub algorithm: String,
}

/// An attempt for a recipient. Times are seconds.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the log's events say what the fields are")]
pub struct Tried {
    pub to: String,
    pub component: String,
    pub relay: String,
    /// `sent`, `deferred`, `bounced`.
    pub status: String,
    pub dsn: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<u16>,
    pub text: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<serde_json::Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_attempt: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_version: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_cipher: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_verified: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls_reason: Option<serde_json::Value>,
    pub delay: f64,
    pub delay_before_queue: f64,
    pub delay_in_queue: f64,
    pub delay_connection: f64,
    pub delay_transmission: f64,
}

/// The cause that was kept, if this version knows it.
pub fn known(kept: Option<&serde_json::Value>) -> Option<Cause> {
    kept.and_then(|cause| Cause::deserialize(cause).ok())
}

impl Tried {
    /// Why the connection was protected as it was, or not.
    pub fn tls_reason(&self) -> Option<Cause> {
        known(self.tls_reason.as_ref())
    }

    /// What brought it about.
    pub fn cause(&self) -> Cause {
        known(self.cause.as_ref()).unwrap_or_else(|| Cause::words(&self.text))
    }
}

impl Fact {
    /// The names in it by which somebody may ask for a message.
    pub(super) fn names(self) -> Vec<String> {
        let mut names = match self {
            Self::Prepared(ready) => {
                let Ready { message_id, from, mut to, .. } = *ready;
                to.extend([message_id, from]);
                to
            }
            Self::Delivery(tried) => vec![tried.to],
            _ => Vec::new(),
        };
        names.retain(|name| !name.is_empty());
        names
    }
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
fn is_none(count: &u64) -> bool {
    *count == 0
}

const NODE: u8 = 1;
const FROM_CLIENT: u8 = 2;
const FROM_LOCAL_USER: u8 = 3;
const PREPARED: u8 = 4;
const QUEUED: u8 = 5;
const REJECT: u8 = 6;
const DELIVERY: u8 = 7;
const NOTIFICATION: u8 = 8;
const NOTIFICATION_OF: u8 = 9;
const REMOVED: u8 = 10;
const EXPIRED: u8 = 11;
const NOTICE: u8 = 12;
const LATER: u8 = 13;

/// Takes what is to be kept: of which message, by which keys it is found, and its octets.
pub(super) trait Keeper {
    /// Begins a fact about a message.
    fn begin(&mut self, id: MessageId);
    /// It is found by this key.
    fn key(&mut self, key: u64);
    /// Where its octets go.
    fn octets(&mut self) -> &mut Vec<u8>;
}

/// Hands over what is kept of an event; nothing, if it is about no message.
pub(super) fn keep(keeper: &mut impl Keeper, at: Timestamp, event: &Event<'_>) {
    match event {
        Event::FromClient { id, client, tls, login, helo, protocol } => {
            keeper.begin(*id);
            fact(keeper, at, FROM_CLIENT, |fields| {
                fields.client(client);
                fields.words(helo);
                fields.words(protocol);
                fields.maybe(tls.as_ref());
                fields.maybe(login.as_ref());
            });
        }
        Event::FromLocalUser { id, uid, from, origin } => {
            keeper.begin(*id);
            fact(keeper, at, FROM_LOCAL_USER, |fields| {
                fields.number(u64::from(*uid));
                fields.text(from);
                let process = &origin.process;
                fields.number(u64::from(process.pid.unwrap_or_default()));
                fields.maybe(process.unit.as_ref());
                fields.number(process.parents.len() as u64);
                for parent in &process.parents {
                    fields.text(format_args!("{}[{}]", parent.name, parent.pid));
                }
                fields.number(origin.claims.each().count() as u64);
                for (name, value) in origin.claims.each() {
                    fields.text(name);
                    fields.text(value);
                }
            });
        }
        Event::Prepared(prepared) => keep_prepared(keeper, at, prepared),
        Event::Queued { id, size, recipients, .. } => {
            keeper.begin(*id);
            fact(keeper, at, QUEUED, |fields| {
                fields.number(*size);
                fields.number(*recipients as u64);
            });
        }
        Event::Reject(Reject { id: Some(id), stage, reply, .. }) => {
            keeper.begin(*id);
            fact(keeper, at, REJECT, |fields| {
                fields.words(stage);
                fields.number(u64::from(reply.code().get()));
                fields.text(reply.status());
                fields.text(reply.text());
            });
        }
        Event::Delivery(delivery) => keep_delivery(keeper, at, delivery),
        Event::Notification { id, kind, notification } => {
            for (id, tag, other) in
                [(*id, NOTIFICATION, *notification), (*notification, NOTIFICATION_OF, *id)]
            {
                keeper.begin(id);
                fact(keeper, at, tag, |fields| {
                    fields.words(kind);
                    fields.text(other);
                });
            }
        }
        Event::Later(later) => {
            keeper.begin(later.id);
            fact(keeper, at, LATER, |fields| {
                fields.text(later.report);
                fields.text(later.news);
                fields.maybe(later.to);
                fields.maybe(later.status_code);
                fields.text(later.text);
                fields.maybe(later.complaint);
            });
        }
        Event::Removed { id } => {
            keeper.begin(*id);
            fact(keeper, at, REMOVED, |_| {});
        }
        Event::Expired { id, .. } => {
            keeper.begin(*id);
            fact(keeper, at, EXPIRED, |_| {});
        }
        Event::Notice { level, component, id: Some(id), text } => {
            keeper.begin(*id);
            fact(keeper, at, NOTICE, |fields| {
                fields.text(level);
                fields.text(component);
                fields.text(text);
            });
        }
        Event::Remark { level, component, id, cause } => {
            keeper.begin(*id);
            fact(keeper, at, NOTICE, |fields| {
                fields.text(level);
                fields.text(component);
                fields.text(cause);
                fields.text(cause.kept());
            });
        }
        _ => {}
    }
}

fn keep_prepared(keeper: &mut impl Keeper, at: Timestamp, prepared: &Prepared<'_>) {
    let Prepared { id, message_id, from, recipients, changes, signing } = prepared;
    keeper.begin(*id);
    if !message_id.is_empty() {
        keeper.key(hash(Key::MessageId(message_id)));
    }
    if let Some(from) = from.address() {
        keeper.key(hash_address(from));
    }
    for recipient in *recipients {
        keeper.key(hash_address(&recipient.address));
    }
    fact(keeper, at, PREPARED, |fields| {
        fields.words(message_id);
        fields.text(from);
        let named = recipients.len().min(MOST_RECIPIENTS);
        fields.number(named as u64);
        recipients.iter().take(named).for_each(|recipient| fields.text(&recipient.address));
        fields.number((recipients.len() - named) as u64);
        fields.number(changes.len() as u64);
        for change in *changes {
            fields.words(change.name());
            match change {
                Change::Nuls(count) => fields.text(count),
                change => fields.maybe(change.of().as_ref()),
            }
        }
        let signatures = match signing {
            Signing::With(signatures) => signatures.as_slice(),
            _ => &[],
        };
        fields.number(signatures.len() as u64);
        for signature in signatures {
            fields.words(&signature.domain);
            fields.words(&signature.selector);
            fields.words(signature.algorithm);
        }
        let (why, domain) = match signing {
            Signing::With(_) => ("", ""),
            Signing::NotOurs => ("not-ours", ""),
            Signing::NoAuthor => ("no-author", ""),
            Signing::NoKey(domain) => ("no-key", domain.as_str()),
        };
        fields.words(why);
        fields.words(domain);
    });
}

fn keep_delivery(keeper: &mut impl Keeper, at: Timestamp, delivery: &Delivery<'_>) {
    keeper.begin(delivery.id);
    keeper.key(hash_address(delivery.to));
    fact(keeper, at, DELIVERY, |fields| {
        fields.text(delivery.to);
        fields.words(delivery.component);
        fields.text(delivery.relay);
        fields.number(match delivery.status {
            DeliveryStatus::Sent => 0,
            DeliveryStatus::Deferred => 1,
            DeliveryStatus::Bounced => 2,
        });
        fields.text(delivery.status_code);
        fields.number(u64::from(delivery.code.unwrap_or_default()));
        // The value says the text, too.
        let cause = delivery.cause.kept();
        fields.text(if cause.is_empty() { delivery.text } else { "" });
        fields.text(cause);
        let next = delivery.next.map_or(0, Timestamp::as_millis);
        fields.number(u64::try_from(next).unwrap_or_default());
        match delivery.tls {
            Some(tls) => {
                fields.words(tls.version);
                fields.words(&tls.cipher);
                fields.words(tls.verified.name());
            }
            None => (0..3).for_each(|_| fields.words("")),
        }
        let delays = delivery.delays;
        for span in [
            delivery.delay,
            delays.before_queue,
            delays.in_queue,
            delays.connection,
            delays.transmission,
        ] {
            fields.number(u64::try_from(span.as_millis()).unwrap_or(u64::MAX));
        }
        fields.text(delivery.tls_reason.map(Cause::kept).unwrap_or_default());
    });
}

/// Which node says what follows.
pub(super) fn say_node(octets: &mut Vec<u8>, at: Timestamp, name: &str) {
    put(octets, at, NODE, |fields| fields.text(name));
}

fn fact(keeper: &mut impl Keeper, at: Timestamp, tag: u8, write: impl FnOnce(&mut Fields<'_>)) {
    put(keeper.octets(), at, tag, write);
}

fn put(octets: &mut Vec<u8>, at: Timestamp, tag: u8, write: impl FnOnce(&mut Fields<'_>)) {
    let start = octets.len();
    octets.extend_from_slice(&[0; 4]);
    octets.extend_from_slice(&at.as_millis().to_le_bytes());
    octets.push(tag);
    write(&mut Fields(octets));
    let length = u32::try_from(octets.len() - start - 4).unwrap_or(u32::MAX);
    if let Some(place) = octets.get_mut(start..start + 4) {
        place.copy_from_slice(&length.to_le_bytes());
    }
}

/// Writes the fields of a fact.
struct Fields<'a>(&'a mut Vec<u8>);

impl Fields<'_> {
    // Seven bits in an octet, the lowest first; the last has no eighth.
    fn number(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.0.push((number & 0x7f) as u8 | 0x80);
            number >>= 7;
        }
        self.0.push(number as u8);
    }

    fn text(&mut self, text: impl Display) {
        self.bounded(|bounded| write!(bounded, "{text}"));
    }

    // The same, without what formats anything.
    fn words(&mut self, text: &str) {
        self.bounded(|bounded| bounded.write_str(text));
    }

    fn bounded(&mut self, write: impl FnOnce(&mut Bounded<'_>) -> fmt::Result) {
        let start = self.0.len();
        self.0.extend_from_slice(&[0; 2]);
        // Beyond the bound it fails, and what is there stays.
        let _ = write(&mut Bounded { out: self.0, end: start + 2 + MOST_TEXT });
        let length = u16::try_from(self.0.len() - start - 2).unwrap_or(u16::MAX);
        if let Some(place) = self.0.get_mut(start..start + 2) {
            place.copy_from_slice(&length.to_le_bytes());
        }
    }

    fn maybe(&mut self, text: Option<impl Display>) {
        match text {
            Some(text) => self.text(text),
            None => self.text(""),
        }
    }

    fn client(&mut self, client: &Client) {
        self.maybe(client.name.as_ref());
        self.maybe(client.address.map(|address| address.to_canonical()));
    }
}

struct Bounded<'a> {
    out: &'a mut Vec<u8>,
    end: usize,
}

impl fmt::Write for Bounded<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = self.end.saturating_sub(self.out.len());
        if text.len() <= room {
            self.out.extend_from_slice(text.as_bytes());
            return Ok(());
        }
        let (kept, _) = text.split_at(text.floor_char_boundary(room));
        self.out.extend_from_slice(kept.as_bytes());
        Err(fmt::Error)
    }
}

/// The key of a name. It is kept, so that it must never change.
pub(super) fn hash(key: Key<'_>) -> u64 {
    match key {
        Key::Address(address) => hash_address(address),
        Key::MessageId(id) => {
            let id = id.trim().trim_matches(['<', '>']);
            let mut hasher = Fnv::new(b'm');
            hasher.add(id);
            hasher.0
        }
    }
}

fn hash_address(address: impl Display) -> u64 {
    let mut hasher = Fnv::new(b'a');
    let _ = write!(hasher, "{address}");
    hasher.0
}

/// FNV-1a of what is written to it, in lower case.
struct Fnv(u64);

impl Fnv {
    fn new(kind: u8) -> Self {
        let mut new = Self(0xcbf2_9ce4_8422_2325);
        new.octet(kind);
        new
    }

    fn octet(&mut self, octet: u8) {
        self.0 = (self.0 ^ u64::from(octet)).wrapping_mul(0x0100_0000_01b3);
    }

    fn add(&mut self, text: &str) {
        if text.is_ascii() {
            text.bytes().for_each(|octet| self.octet(octet.to_ascii_lowercase()));
        } else {
            text.to_lowercase().bytes().for_each(|octet| self.octet(octet));
        }
    }
}

impl fmt::Write for Fnv {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.add(text);
        Ok(())
    }
}
