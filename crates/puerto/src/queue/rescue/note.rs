//! What is remembered of destinations that hold something against us, as a file has it.
//!
//! It holds for the addresses that it was learnt with: after a move to another one the direct way
//! is looked at first.

use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use puerto_spool::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Destination, IN_A_ROW, LONGEST_STAND, Moment, State};
use crate::cause::Cause;
use crate::rights;
use crate::route::DestinationKey;

/// Octets of the file that are read.
const LONGEST_FILE: u64 = 16 * 1024 * 1024;

/// The file.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Note {
    /// The addresses that mail leaves from.
    from: Vec<IpAddr>,
    destinations: Vec<Standing>,
    port: Option<Closed>,
}

/// A destination whose mail goes by the rescue route. Times are milliseconds since the epoch.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Standing {
    destination: String,
    why: Cause,
    since: i64,
    until: i64,
    /// Seconds that it stands the next time.
    next: u64,
}

/// Port 25 is closed here.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Closed {
    since: i64,
    until: i64,
    destinations: u64,
}

impl Note {
    /// What a file says; nothing where there is none that can be read.
    pub(super) fn read(path: &Path) -> Self {
        let read = rights::read_bounded(path, None, LONGEST_FILE);
        read.ok().and_then(|octets| serde_json::from_slice(&octets).ok()).unwrap_or_default()
    }

    /// What is known now, with these addresses.
    pub(super) fn of(state: &State, from: Vec<IpAddr>, now: Moment) -> Self {
        let standing = |(key, known): (&DestinationKey, &Destination)| {
            let (since, until) = known.stands?;
            Some(Standing {
                destination: key.to_string(),
                why: Cause::clone(&known.why),
                since: since.as_millis(),
                until: now.at(until).as_millis(),
                next: known.next_stand.as_secs(),
            })
        };
        let port = state.port.closed.map(|closed| Closed {
            since: closed.since.as_millis(),
            until: now.at(closed.until).as_millis(),
            destinations: closed.destinations,
        });
        Self { from, destinations: state.destinations.iter().filter_map(standing).collect(), port }
    }

    /// What still counts of it, for these addresses. Whatever its clock said, nothing stands
    /// longer than it may; what is over is looked at by the first message.
    pub(super) fn state(self, from: &[IpAddr], now: Moment) -> State {
        let mut state = State::default();
        if self.from != from {
            return state;
        }
        let is_fresh = |until: i64| now.time.since(Timestamp::from_millis(until)) <= LONGEST_STAND;
        let left = |until: i64, most: Duration| {
            now.instant + Timestamp::from_millis(until).since(now.time).min(most)
        };
        for one in self.destinations.into_iter().filter(|one| is_fresh(one.until)) {
            let since = Timestamp::from_millis(one.since.min(now.time.as_millis()));
            let known = Destination {
                in_a_row: IN_A_ROW,
                why: one.why.into(),
                last: now.instant,
                stands: Some((since, left(one.until, LONGEST_STAND))),
                looks: None,
                next_stand: Duration::from_secs(one.next).min(LONGEST_STAND),
            };
            state.destinations.insert(DestinationKey(one.destination.into()), known);
        }
        if let Some(port) = self.port.filter(|port| is_fresh(port.until)) {
            let since = Timestamp::from_millis(port.since.min(now.time.as_millis()));
            let until = left(port.until, super::CLOSED);
            let destinations = port.destinations;
            state.port.closed = Some(super::Closed { since, until, destinations });
        }
        state
    }
}
