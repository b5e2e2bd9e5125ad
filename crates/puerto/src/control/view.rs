//! What a queued message looks like from outside. The names are stable: they are
//! the control protocol's and those of `puerto queue list --json`.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;

use foldhash::HashMap;
use puerto_smtp::{Domain, Return, TlsWish};
use puerto_spool::{Attempt, Entry, MessageId, RecipientState, RecipientStatus, Timestamp};
use serde::{Deserialize, Serialize};

use super::ordering::{OrderView, Pause, Pauses, tried_at};
use super::server::Context;
use crate::cause::Cause;
use crate::queue::{Lanes, Turn};

/// Recipients of whose destination it is looked whether it asked for a pause.
const MOST_PARKED: usize = 1000;

/// A queued message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessageView {
    /// Its id.
    pub id: String,
    /// When it came, as in RFC 3339.
    pub arrived: String,
    /// When it is given up, if it is still waiting then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<String>,
    /// Octets.
    pub size: u64,
    /// The reverse-path; empty for a notification.
    pub from: String,
    /// Where it came from: `client name[address]`, `user 1000`, `server`, or `account ana
    /// client name[address]`.
    pub origin: String,
    /// Not tried until released.
    pub held: bool,
    /// Why, if not because an administrator said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held_for: Option<serde_json::Value>,
    /// The sender was told of the delay.
    pub delay_notified: bool,
    /// ENVID, if given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub envelope_id: Option<String>,
    /// RET, if given: `full` or `headers`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ret: Option<String>,
    /// The content needs 8BITMIME.
    #[serde(default)]
    pub eight_bit: bool,
    /// The message needs SMTPUTF8.
    #[serde(default)]
    pub smtputf8: bool,
    /// What it wants of TLS, if that is not what is usual.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls_wish: Option<WishView>,
    /// The pauses that it waits for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub paused: Vec<OrderView>,
    /// The pauses that its destinations asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parked: Vec<ParkView>,
    /// All recipients, those that are done too.
    pub recipients: Vec<RecipientView>,
    /// The header as it is stored, when one message is shown to an administrator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub header: Option<String>,
}

/// What a message wants of TLS (RFC 8689).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WishView {
    /// REQUIRETLS: it goes to nobody who does not prove who it is.
    Required,
    /// `TLS-Required: No`: it goes also where TLS fails.
    Optional,
}

/// A pause that a destination asked for: no attempt is spent until its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParkView {
    /// The destination.
    pub lane: String,
    /// When it ends, as in RFC 3339.
    pub until: String,
    /// Why, in English.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Why, as a value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<Cause>,
}

/// A rate for which a recipient waits in line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TurnView {
    /// The destination.
    pub lane: String,
    /// Messages an hour at most.
    pub per_hour: u64,
    /// That is the rate of all destinations together.
    #[serde(default)]
    pub in_all: bool,
    /// When the first in its line goes, as in RFC 3339.
    pub next: String,
}

impl From<&Turn> for TurnView {
    fn from(turn: &Turn) -> Self {
        let Turn { name, per_hour, in_all, next } = turn;
        Self { lane: name.clone(), per_hour: *per_hour, in_all: *in_all, next: time(*next) }
    }
}

/// What keeps mail waiting at one moment, to be told of many messages.
pub(super) struct Keeps {
    pub(super) pauses: Pauses,
    parks: HashMap<Domain, Timestamp>,
    turns: HashMap<(MessageId, u32), Arc<Turn>>,
}

impl Keeps {
    /// What does now.
    pub(super) fn of(context: &Context) -> Self {
        let lanes = &context.sight.lanes;
        Self { pauses: Pauses::of(context), parks: lanes.parks(), turns: lanes.turns() }
    }

    /// When a domain's mail that is due at a time is tried, with the pause of ours that keeps
    /// it, if one does: one that its destination asked for may last longer. `None`: not before
    /// somebody ends ours.
    pub(super) fn next(
        &self,
        domain: &Domain,
        due: Timestamp,
        pause: Option<Pause>,
    ) -> Option<Timestamp> {
        let parked = self.parks.get(domain).copied().filter(|until| *until > due);
        tried_at(parked.unwrap_or(due), pause)
    }

    fn turn(&self, id: MessageId, place: u32) -> Option<TurnView> {
        self.turns.get(&(id, place)).map(|turn| (&**turn).into())
    }
}

impl ParkView {
    /// Those that keep a message's recipients waiting.
    pub(super) fn of(entry: &Entry, lanes: &Lanes) -> Vec<Self> {
        let waits = |status: &&RecipientStatus| matches!(status.state, RecipientState::Due(_));
        let waiting = entry.recipients.iter().filter(waits);
        let domains: BTreeSet<&Domain> =
            waiting.map(|status| status.recipient.address.domain()).take(MOST_PARKED).collect();
        let mut parks: Vec<Self> = Vec::new();
        for park in domains.into_iter().filter_map(|domain| lanes.park_of(domain)) {
            if !parks.iter().any(|known| known.lane == park.name) {
                parks.push(Self {
                    lane: park.name,
                    until: time(park.until),
                    reason: park.reason.as_ref().map(ToString::to_string),
                    cause: park.reason,
                });
            }
        }
        parks
    }
}

/// A recipient of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecipientView {
    /// Its address.
    pub address: String,
    /// What it waits for.
    pub state: State,
    /// Attempts that failed.
    pub attempts: u32,
    /// When it is tried next, if it waits.
    pub next_attempt: Option<String>,
    /// The number of the pause that it waits for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused: Option<u64>,
    /// The rate that it waits for in line, on the node that was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub turn: Option<TurnView>,
    /// The last attempt.
    pub last: Option<AttemptView>,
    /// The first attempt and the last four, oldest first, the last one included.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attempts_list: Vec<AttemptView>,
}

/// What a recipient waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// For its next attempt.
    Waiting,
    /// For the attempt that is under way.
    Sending,
    /// For nothing: delivered, returned or discarded.
    Done,
}

/// One attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptView {
    /// When it ended.
    pub at: String,
    /// Who answered, or should have; `none` if it never came to that.
    pub relay: String,
    /// The reply code, if there was a reply.
    pub code: Option<u16>,
    /// The enhanced status code.
    pub status: String,
    /// The reply, or the reason.
    pub text: String,
    /// The reason as a value, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<serde_json::Value>,
}

/// As much of a queued message as a list for people shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Brief<'a> {
    /// Its id.
    #[serde(borrow)]
    pub id: Cow<'a, str>,
    /// When it came, in milliseconds since 1970.
    pub at: i64,
    /// Octets.
    pub size: u64,
    /// The reverse-path; empty for a notification.
    #[serde(borrow)]
    pub from: Cow<'a, str>,
    /// Not tried until released.
    pub held: bool,
    /// Why, as it is kept, if not because an administrator said so.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub held_for: Option<Cow<'a, str>>,
    /// The recipients that are not done.
    #[serde(borrow)]
    pub to: Vec<BriefRecipient<'a>>,
}

/// A recipient of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BriefRecipient<'a> {
    /// Its address.
    #[serde(borrow)]
    pub address: Cow<'a, str>,
    /// What it waits for.
    pub state: State,
    /// When it is tried next, if it waits, in milliseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<i64>,
    /// The pause that it waits for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused: Option<BriefPause>,
    /// The rate that it waits for in line, on the node that was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub turn: Option<TurnView>,
    /// What the last attempt came to, if there was one.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub text: Option<Cow<'a, str>>,
    /// The same as a value, as it is kept; only if that was asked for.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<Cow<'a, str>>,
}

/// A pause that a recipient waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct BriefPause {
    /// Its number.
    pub number: u64,
    /// When it ends by itself, in milliseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<i64>,
}

impl<'a> Brief<'a> {
    /// Shows an entry; `causes`: with the reasons as values.
    pub(super) fn new(entry: &'a Entry, causes: bool, keeps: &Keeps) -> Self {
        let all = (0..).zip(&entry.recipients);
        let open = all.filter(|(_, status)| status.state != RecipientState::Done);
        Self {
            id: entry.id.to_string().into(),
            at: entry.received_at.as_millis(),
            size: entry.size,
            from: entry.reverse_path.to_string().into(),
            held: entry.held,
            held_for: Some(entry.held_for.as_str()).filter(|why| !why.is_empty()).map(Into::into),
            to: open.map(|one| BriefRecipient::new(one, causes, (entry, keeps))).collect(),
        }
    }

    /// Whether a recipient is being tried.
    pub fn is_active(&self) -> bool {
        self.to.iter().any(|recipient| recipient.state == State::Sending)
    }
}

impl<'a> BriefRecipient<'a> {
    fn new(
        (place, status): (u32, &'a RecipientStatus),
        causes: bool,
        (entry, keeps): (&Entry, &Keeps),
    ) -> Self {
        let domain = status.recipient.address.domain();
        let (state, next) = match status.state {
            RecipientState::Due(at) => (State::Waiting, Some(at)),
            RecipientState::Leased(_) => (State::Sending, None),
            RecipientState::Done => (State::Done, None),
        };
        let pause = keeps.pauses.of_recipient(&entry.reverse_path, status);
        let next = next.and_then(|at| keeps.next(domain, at, pause)).map(Timestamp::as_millis);
        let paused = pause
            .map(|(number, until)| BriefPause { number, until: until.map(Timestamp::as_millis) });
        let last = status.last();
        let kept = |attempt: &'a Attempt| attempt.cause.as_str();
        Self {
            address: status.recipient.address.to_string().into(),
            state,
            next,
            paused,
            turn: keeps.turn(entry.id, place),
            text: last.map(|attempt| attempt.text.as_str().into()),
            cause: last.map(kept).filter(|kept| causes && !kept.is_empty()).map(Into::into),
        }
    }
}

impl MessageView {
    /// Shows an entry.
    pub(super) fn new(entry: &Entry, keeps: &Keeps) -> Self {
        let of = |one| RecipientView::new(one, (entry, keeps));
        Self {
            id: entry.id.to_string(),
            arrived: time(entry.received_at),
            expires: None,
            size: entry.size,
            from: entry.reverse_path.to_string(),
            origin: entry.origin.to_string(),
            held: entry.held,
            held_for: held_for(&entry.held_for),
            delay_notified: entry.delay_notified,
            envelope_id: entry.envelope_id.clone(),
            ret: entry.ret.map(|ret| {
                match ret {
                    Return::Full => "full",
                    Return::Headers => "headers",
                }
                .to_owned()
            }),
            eight_bit: entry.eight_bit,
            smtputf8: entry.smtputf8,
            tls_wish: match entry.tls {
                TlsWish::Usual => None,
                TlsWish::Required => Some(WishView::Required),
                TlsWish::Optional => Some(WishView::Optional),
            },
            paused: keeps.pauses.of_message(entry),
            parked: Vec::new(),
            recipients: (0..).zip(&entry.recipients).map(of).collect(),
            header: None,
        }
    }

    /// Why it is held, if not because an administrator said so.
    pub fn why_held(&self) -> Option<Cause> {
        self.held_for.as_ref().map(|why| {
            let words = || why.as_str().map_or_else(|| why.to_string(), str::to_owned);
            Cause::deserialize(why).unwrap_or_else(|_| Cause::words(words()))
        })
    }

    /// The recipients that still wait.
    pub fn open_recipients(&self) -> impl Iterator<Item = &RecipientView> {
        self.recipients.iter().filter(|recipient| recipient.state != State::Done)
    }

    /// Whether a recipient is being tried.
    pub fn is_active(&self) -> bool {
        self.recipients.iter().any(|recipient| recipient.state == State::Sending)
    }
}

impl RecipientView {
    fn new((place, status): (u32, &RecipientStatus), (entry, keeps): (&Entry, &Keeps)) -> Self {
        let domain = status.recipient.address.domain();
        let pause = keeps.pauses.of_recipient(&entry.reverse_path, status);
        let (state, next_attempt) = match status.state {
            RecipientState::Due(at) => (State::Waiting, keeps.next(domain, at, pause).map(time)),
            RecipientState::Leased(_) => (State::Sending, None),
            RecipientState::Done => (State::Done, None),
        };
        Self {
            address: status.recipient.address.to_string(),
            state,
            attempts: status.attempts,
            next_attempt,
            paused: pause.map(|(number, _)| number),
            turn: keeps.turn(entry.id, place),
            last: status.last().map(AttemptView::new),
            attempts_list: status.story.iter().map(AttemptView::new).collect(),
        }
    }
}

impl AttemptView {
    fn new(attempt: &Attempt) -> Self {
        let relay = if attempt.relay.is_empty() { "none" } else { &attempt.relay };
        Self {
            at: time(attempt.at),
            relay: relay.to_owned(),
            code: (attempt.code != 0).then_some(attempt.code),
            status: attempt.status.to_string(),
            text: attempt.text.clone(),
            cause: serde_json::from_str(&attempt.cause).ok(),
        }
    }

    /// The reply, or the reason. Of one that was kept as a text alone, or that this
    /// version does not know, the text is left.
    pub fn cause(&self) -> Cause {
        let known = self.cause.as_ref().and_then(|cause| Cause::deserialize(cause).ok());
        known.unwrap_or_else(|| Cause::words(&self.text))
    }
}

// A cause as it is kept; whatever else it may be is shown as it is.
fn held_for(kept: &str) -> Option<serde_json::Value> {
    let value = serde_json::from_str(kept);
    (!kept.is_empty()).then(|| value.unwrap_or_else(|_| kept.into()))
}

// RFC 3339, in UTC. A time outside of what a calendar can show cannot come from a
// clock; it is shown as a number.
pub(super) fn time(timestamp: Timestamp) -> String {
    let millis = timestamp.as_millis();
    jiff::Timestamp::from_millisecond(millis).map_or_else(|_| millis.to_string(), |t| t.to_string())
}
