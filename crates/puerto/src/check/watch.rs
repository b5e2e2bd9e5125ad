//! What has changed between runs, for a timer: silence until it is certain.
//!
//! A change counts once two runs in a row saw the same, since a server that is being
//! restarted is no news. What could not be seen is taken to be as it was.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::outcome::{Check, Status};
use crate::config::Config;
use crate::rights::Place;

/// What earlier runs found, to be kept between runs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    /// Findings that two runs in a row saw; `None` before the first run.
    confirmed: Option<BTreeSet<String>>,
    /// What the last run saw, where it differs.
    candidate: Option<BTreeSet<String>>,
}

/// A confirmed change.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Change {
    /// Findings that are new: `ID SUBJECT`.
    pub appeared: Vec<String>,
    /// Findings that are gone.
    pub gone: Vec<String>,
}

/// Where the memory is kept when nobody names a file: in the state directory, and for root
/// beside it, since that directory belongs to the service's user.
pub fn memory_file(config: &Config, domain: &str) -> PathBuf {
    let mut folder = config.state_dir.clone().into_os_string();
    if nix::unistd::geteuid().is_root() && !config.user.is_empty() {
        folder.push("-root");
    }
    Path::new(&folder).join(format!("check-{domain}.json"))
}

/// A place for the memory. Root uses no folder in which others could put another file.
pub fn memory_place(file: &Path) -> io::Result<Place> {
    let place = Place::making_way(file, 0o700)?;
    if nix::unistd::geteuid().is_root() {
        place.is_safe()?;
    }
    Ok(place)
}

impl Memory {
    /// What was kept at the place; nothing yet if there is no file, or no memory in it.
    pub fn load(place: &Place) -> io::Result<Self> {
        match place.read() {
            Ok(octets) => Ok(serde_json::from_slice(&octets).unwrap_or_default()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error),
        }
    }

    /// Keeps it, whole or not at all: a run may be cut off.
    pub fn save(&self, place: &Place) -> io::Result<()> {
        place.replace(&serde_json::to_vec(self)?, 0o600)
    }

    /// Takes a run in, and tells what has changed for certain. The first run is what
    /// later ones are compared with.
    pub fn learn(&mut self, checks: &[Check]) -> Option<Change> {
        let name = |check: &Check| format!("{} {}", check.id(), check.subject);
        let wrong = |check: &&Check| check.is_wrong();
        let mut seen: BTreeSet<String> = checks.iter().filter(wrong).map(name).collect();
        let Some(confirmed) = &self.confirmed else {
            self.confirmed = Some(seen);
            return None;
        };
        let unseen = checks
            .iter()
            .filter(|check| matches!(check.status, Status::Unknown | Status::NotApplicable));
        seen.extend(unseen.map(name).filter(|name| confirmed.contains(name)));
        if seen == *confirmed {
            self.candidate = None;
            return None;
        }
        if self.candidate.as_ref() != Some(&seen) {
            self.candidate = Some(seen);
            return None;
        }
        let change = Change {
            appeared: seen.difference(confirmed).cloned().collect(),
            gone: confirmed.difference(&seen).cloned().collect(),
        };
        self.confirmed = Some(seen);
        self.candidate = None;
        Some(change)
    }
}
