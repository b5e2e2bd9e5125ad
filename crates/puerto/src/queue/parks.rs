//! The pauses that destinations asked for, as a file has them: whoever restarts the server
//! asks none of them again before its time.
//!
//! They hold for the [`Standpoint`] that they were asked of.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use puerto_smtp::{Domain, EnhancedCode};
use puerto_spool::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::lines::Ground;
use super::rescue::Moment;
use super::schedule::{Parked, Schedulable, Schedule};
use crate::cause::Cause;
use crate::config::Config;
use crate::rights::{self, Place};
use crate::route::DestinationKey;

/// Octets of the file that are read.
const LONGEST_FILE: u64 = 16 * 1024 * 1024;
/// No pause that was noted is believed to be longer, whatever the clock said.
const LONGEST: Duration = Duration::from_secs(24 * 3600);
/// One that is over for so long is forgotten.
const FORGOTTEN: Duration = Duration::from_secs(3600);

/// See the module.
pub(super) struct Parks {
    file: PathBuf,
    written: Mutex<Vec<Known>>,
}

/// A destination as it stands in the file: how long it is parked, and how many wait for it.
type Known = (DestinationKey, Option<Instant>, usize);

/// What a pause was asked of, and what else could be tried: where that is another now, the
/// destination is looked at anew.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Standpoint {
    /// The addresses that mail leaves from.
    from: Vec<IpAddr>,
    /// The relay for what these are refused for.
    rescue: Option<String>,
}

impl Standpoint {
    /// With this configuration, and these addresses.
    pub(super) fn of(config: &Config, from: Vec<IpAddr>) -> Self {
        Self { from, rescue: config.rescue.via.as_ref().map(ToString::to_string) }
    }
}

/// The file.
#[derive(Default, Serialize, Deserialize)]
struct Note {
    #[serde(flatten)]
    standpoint: Standpoint,
    /// When it was written, in milliseconds since the epoch.
    at: i64,
    destinations: Vec<One>,
}

/// A destination. Times are milliseconds since the epoch.
#[derive(Serialize, Deserialize)]
struct One {
    destination: String,
    until: i64,
    /// Pauses that it asked for, each before the one before was over.
    in_a_row: u32,
    /// Whose mail waits for it.
    domains: Vec<String>,
    why: Option<Why>,
}

#[derive(Serialize, Deserialize)]
struct Why {
    code: String,
    cause: Cause,
    tried_at: i64,
}

impl One {
    fn of(parked: &Parked<'_, Ground>, now: Moment) -> Self {
        let why = parked.reason.as_ref().map(|ground| Why {
            code: ground.code.to_string(),
            cause: ground.cause.clone(),
            tried_at: ground.tried_at.as_millis(),
        });
        Self {
            destination: parked.key.to_string(),
            until: now.at(parked.until.unwrap_or(now.instant)).as_millis(),
            in_a_row: parked.in_a_row,
            domains: parked.domains.iter().map(ToString::to_string).collect(),
            why,
        }
    }

    // Nobody was tried in what counts as the future.
    fn ground(why: Why, now: Timestamp) -> Option<Arc<Ground>> {
        let code = why.code.parse::<EnhancedCode>().ok()?;
        let tried_at = Timestamp::from_millis(why.tried_at).min(now);
        Some(Arc::new(Ground { code, cause: why.cause, tried_at }))
    }
}

impl Parks {
    /// Has the destinations parked that a file in this folder remembers, if that was from
    /// here.
    pub(super) fn load<W: Schedulable>(
        state_dir: &Path,
        standpoint: &Standpoint,
        schedule: &mut Schedule<W, Ground>,
        now: Moment,
    ) -> Self {
        let file = state_dir.join("parked.json");
        let read = rights::read_bounded(&file, None, LONGEST_FILE).ok();
        let note: Note =
            read.and_then(|octets| serde_json::from_slice(&octets).ok()).unwrap_or_default();
        // A clock that is behind its own last word, as that of a small machine is at its start, says
        // nothing: no more time is left, and nobody was tried later, than when this was written.
        let time = now.time.max(Timestamp::from_millis(note.at));
        let is_fresh = |one: &One| time.since(Timestamp::from_millis(one.until)) <= FORGOTTEN;
        let ours = note.destinations.into_iter().filter(|_| note.standpoint == *standpoint);
        for one in ours.filter(is_fresh) {
            let left = Timestamp::from_millis(one.until).since(time).min(LONGEST);
            let domains = one.domains.iter().filter_map(|name| Domain::parse(name).ok()).collect();
            let pause = (now.instant, now.instant + left, one.in_a_row);
            let why = one.why.and_then(|why| One::ground(why, now.time));
            schedule.park(DestinationKey(one.destination.into()), pause, domains, why);
        }
        Self { file, written: Mutex::default() }
    }

    /// What there is to be written, if that is something else than was.
    pub(super) fn news<W: Schedulable>(
        &self,
        schedule: &Schedule<W, Ground>,
        standpoint: impl FnOnce() -> Standpoint,
        now: Moment,
    ) -> Option<String> {
        let mut parked: Vec<_> = schedule.parked_ones(now.instant).collect();
        parked.sort_by(|one, other| one.key.0.cmp(&other.key.0));
        let known = parked.iter().map(|one| (one.key.clone(), one.until, one.domains.len()));
        let known: Vec<Known> = known.collect();
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        if *written == known {
            return None;
        }
        *written = known;
        let destinations = parked.iter().map(|one| One::of(one, now)).collect();
        serde_json::to_string(&Note {
            standpoint: standpoint(),
            at: now.time.as_millis(),
            destinations,
        })
        .ok()
    }

    /// Writes it. It blocks.
    pub(super) fn write(&self, text: &str) -> std::io::Result<()> {
        Place::of(&self.file)?.replace(text.as_bytes(), 0o640)
    }
}
