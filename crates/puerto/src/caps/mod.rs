//! How much each account, user and client has sent, held against what it may.
//!
//! Counted is in memory, in windows that begin with the first message; what is known is
//! written down now and then, so that a restart forgets a minute at most. A recipient is new
//! to a sender that has not sent to it before; so many are remembered, the latest.

#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet, VecDeque};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use puerto_smtp::{Address, Domain};
use puerto_spool::{Origin, Timestamp};
use serde::{Deserialize, Serialize};

use crate::cause::Cause;
use crate::config::{self, Cap, Counted, Span, in_ascii, means_account};
use crate::rights::{Place, read_bounded};

/// The file's name in the folder of the queue.
const FILE: &str = "caps.json";
/// Octets of it at most.
const MAX_FILE: u64 = 256 * 1024 * 1024;
/// How long what has changed may stay unwritten.
const GRAIN: Duration = Duration::from_secs(60);
/// Senders that are counted; beyond that those whose day is over are forgotten.
const SENDERS: usize = 10_000;
/// Recipients that one sender is known to write to.
const KNOWN: usize = 5_000;

/// Who sends.
#[derive(Debug, Clone, Copy)]
pub struct Sending<'a> {
    /// The account that was logged in to.
    pub account: Option<&'a str>,
    /// The user of this machine, by number and name.
    pub user: Option<(u32, &'a str)>,
    /// The client.
    pub client: Option<IpAddr>,
}

/// A cap that a message passes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Over {
    /// Whose it is, as it is shown.
    pub who: String,
    /// Which cap.
    pub cap: Cap,
    /// It is the first of this overrun: the administrator is to be told.
    pub is_first: bool,
    /// What is his in the queue, by a condition of `puerto queue` and its value.
    pub selection: (&'static str, String),
}

impl Over {
    /// As the queue keeps it.
    pub fn cause(&self) -> Cause {
        let (who, most) = (self.who.clone(), self.cap.most);
        match (self.cap.of, self.cap.span) {
            (Counted::Messages, Span::Hour) => Cause::OverMessagesInHour { who, most },
            (Counted::Messages, Span::Day) => Cause::OverMessagesInDay { who, most },
            (Counted::Recipients, Span::Hour) => Cause::OverRecipientsInHour { who, most },
            (Counted::Recipients, Span::Day) => Cause::OverRecipientsInDay { who, most },
        }
    }
}

/// The counts.
#[derive(Debug)]
pub struct Caps {
    path: PathBuf,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    senders: Option<HashMap<String, Sender>>,
    written: Option<Timestamp>,
    has_changed: bool,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Sender {
    hour: Window,
    day: Window,
    /// Recipients as numbers, the latest last.
    #[serde(default)]
    known: VecDeque<u64>,
    #[serde(skip)]
    looked_up: HashSet<u64>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Window {
    since: i64,
    messages: u64,
    recipients: u64,
    /// Caps of which the administrator was told, as they are written.
    told: Vec<String>,
}

impl Caps {
    /// Those that are kept beside the queue. Nothing is read before there is something to
    /// count.
    pub fn new(state_dir: &Path) -> Self {
        Self { path: state_dir.join(FILE), state: Mutex::default() }
    }

    /// Counts a message to these recipients; says which cap it passes, if one. `domains` are
    /// ours.
    pub fn count<'a>(
        &self,
        (caps, domains): (&config::Caps, &[Domain]),
        sending: Sending<'_>,
        recipients: impl Iterator<Item = &'a Address>,
        now: Timestamp,
    ) -> Option<Over> {
        let subjects = subjects((caps, domains), sending);
        if subjects.is_empty() {
            return None;
        }
        let mut recipients: Vec<u64> = recipients.map(number).collect();
        recipients.sort_unstable();
        recipients.dedup();
        // Local delivery never counts.
        if recipients.is_empty() {
            return None;
        }
        let mut state = self.state();
        let state = &mut *state;
        let senders = state.senders.get_or_insert_with(|| read(&self.path));
        if senders.len() >= SENDERS {
            senders.retain(|_, sender| !sender.day.is_over(Span::Day, now));
        }
        let mut over: Option<Over> = None;
        for subject in &subjects {
            let sender = senders.entry(subject.key.clone()).or_default();
            let passed = sender.count(subject.caps, &recipients, now);
            over = match (over, passed) {
                (Some(before), Some((_, is_first))) if !before.is_first && is_first => None,
                (over, _) => over,
            }
            .or_else(|| {
                passed.map(|(cap, is_first)| Over {
                    who: subject.who.clone(),
                    cap,
                    is_first,
                    selection: subject.whose.selection(),
                })
            });
        }
        if over.is_none() {
            for subject in subjects.iter().filter(|subject| subject.remembers()) {
                if let Some(sender) = senders.get_mut(&subject.key) {
                    sender.remember(&recipients);
                }
            }
        }
        state.has_changed = true;
        over
    }

    /// What is to be written down now, if anything; to be handed to [`Caps::write`] where
    /// waiting for the disk is no harm.
    pub fn to_be_written(&self, now: Timestamp, at_once: bool) -> Option<Vec<u8>> {
        let mut state = self.state();
        let is_due = state.written.is_none_or(|at| at > now || now.since(at) >= GRAIN);
        if !state.has_changed || !(is_due || at_once) {
            return None;
        }
        state.has_changed = false;
        state.written = Some(now);
        serde_json::to_vec(state.senders.as_ref()?).ok()
    }

    /// Writes it down.
    pub fn write(path: &Path, octets: &[u8]) -> std::io::Result<()> {
        Place::of(path)?.replace(octets, 0o600)
    }

    /// Where it is written.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Caps {
    fn drop(&mut self) {
        if let Some(octets) = self.to_be_written(Timestamp::default(), true) {
            // The counts of the last minute are all that is lost.
            let _ = Self::write(&self.path, &octets);
        }
    }
}

/// One of those that a message is counted for.
struct Subject<'a> {
    key: String,
    who: String,
    caps: &'a [Cap],
    whose: Whose<'a>,
}

/// By what mail in the queue is known as somebody's.
#[derive(Clone, Copy)]
enum Whose<'a> {
    Account(&'a str),
    User(u32),
    Client(IpAddr),
}

impl Whose<'_> {
    // A condition of `puerto queue` and its value.
    fn selection(self) -> (&'static str, String) {
        match self {
            Self::Account(name) => ("--account", name.to_owned()),
            Self::User(uid) => ("--origin", Origin::LocalUser(uid).to_string()),
            Self::Client(address) if address.is_ipv6() => ("--origin", shown(address)),
            Self::Client(address) => ("--origin", format!("*[{address}]")),
        }
    }
}

impl Subject<'_> {
    fn remembers(&self) -> bool {
        self.caps.iter().any(|cap| cap.of == Counted::Recipients)
    }
}

fn subjects<'a>(
    (caps, domains): (&'a config::Caps, &[Domain]),
    sending: Sending<'a>,
) -> Vec<Subject<'a>> {
    let of = |table: &'a [(String, Vec<Cap>)], is_meant: &dyn Fn(&str) -> bool| {
        let named = table.iter().find(|(who, _)| is_meant(who));
        let (_, caps) = named.or_else(|| table.iter().find(|(who, _)| who == "*"))?;
        Some(caps.as_slice()).filter(|caps| !caps.is_empty())
    };
    let mut subjects = Vec::new();
    if let Some(name) = sending.account
        && let Some(caps) = of(&caps.accounts, &|who| means_account(who, name, domains))
    {
        let (key, who) = (format!("account {name}"), name.to_owned());
        subjects.push(Subject { key, who, caps, whose: Whose::Account(name) });
    }
    if let Some((uid, name)) = sending.user
        && let Some(caps) = of(&caps.users, &|who| who.eq_ignore_ascii_case(name))
    {
        let (key, who) = (format!("user {uid}"), name.to_owned());
        subjects.push(Subject { key, who, caps, whose: Whose::User(uid) });
    }
    if let Some(address) = sending.client.map(|address| address.to_canonical())
        && let Some((_, caps)) = caps.clients.iter().find(|(network, _)| network.contains(address))
        && !caps.is_empty()
    {
        let (key, who) = (format!("client {}", whole(address)), shown(address));
        subjects.push(Subject { key, who, caps, whose: Whose::Client(address) });
    }
    subjects
}

// Whose it is, as people read it.
fn shown(address: IpAddr) -> String {
    match address {
        IpAddr::V6(_) => format!("{}/64", whole(address)),
        IpAddr::V4(_) => address.to_string(),
    }
}

// Who has one IPv6 address has a whole /64 of them.
fn whole(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(address) => IpAddr::V6((u128::from(address) & !u128::from(u64::MAX)).into()),
        address => address,
    }
}

impl Sender {
    fn count(&mut self, caps: &[Cap], recipients: &[u64], now: Timestamp) -> Option<(Cap, bool)> {
        if self.looked_up.len() != self.known.len() {
            self.looked_up = self.known.iter().copied().collect();
        }
        let new = recipients.iter().filter(|one| !self.looked_up.contains(one)).count() as u64;
        for (window, span) in [(&mut self.hour, Span::Hour), (&mut self.day, Span::Day)] {
            if window.is_over(span, now) {
                *window = Window { since: now.as_secs(), ..Window::default() };
            }
            window.messages = window.messages.saturating_add(1);
            window.recipients = window.recipients.saturating_add(new);
        }
        let mut passed: Option<(Cap, bool)> = None;
        for cap in caps {
            let window = match cap.span {
                Span::Hour => &mut self.hour,
                Span::Day => &mut self.day,
            };
            let (count, counts_now) = match cap.of {
                Counted::Messages => (window.messages, true),
                // Who writes to known people is held for no stranger.
                Counted::Recipients => (window.recipients, new > 0),
            };
            if count <= cap.most || !counts_now {
                continue;
            }
            let written = cap.to_string();
            let is_first = !window.told.contains(&written);
            if is_first {
                window.told.push(written);
            }
            if passed.is_none_or(|(_, first)| !first && is_first) {
                passed = Some((*cap, is_first));
            }
        }
        passed
    }

    fn remember(&mut self, recipients: &[u64]) {
        for one in recipients {
            if self.looked_up.insert(*one) {
                self.known.push_back(*one);
            }
        }
        while self.known.len() > KNOWN {
            if let Some(oldest) = self.known.pop_front() {
                self.looked_up.remove(&oldest);
            }
        }
    }
}

impl Window {
    // A clock that was set back begins anew, too.
    fn is_over(&self, span: Span, now: Timestamp) -> bool {
        let length = match span {
            Span::Hour => 3600,
            Span::Day => 86_400,
        };
        !(0..length).contains(&now.as_secs().saturating_sub(self.since))
    }
}

// The same in every version and after every restart: FNV-1a. Two people of one number cost a
// sender nothing but a count.
fn number(address: &Address) -> u64 {
    let written =
        format!("{}@{}", address.local_part().as_str().to_lowercase(), in_ascii(address.domain()));
    written.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

fn read(path: &Path) -> HashMap<String, Sender> {
    let octets = read_bounded(path, None, MAX_FILE).ok();
    octets.and_then(|octets| serde_json::from_slice(&octets).ok()).unwrap_or_default()
}
