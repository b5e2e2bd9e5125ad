//! What has changed between runs, for a timer: silence until it is certain.
//!
//! A change counts once two runs in a row saw the same, since a server that is being
//! restarted is no news. What could not be seen is taken to be as it was.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::outcome::{Check, Status};

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

impl Memory {
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
