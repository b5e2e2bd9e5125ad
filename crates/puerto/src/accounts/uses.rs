//! When each password was used last: kept beside the queue, since the daemon may not write
//! where the accounts are. Losing it loses no account.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use puerto_spool::Timestamp;

use super::Password;
use crate::config::Config;
use crate::rights::{Place, read_bounded};

/// The file's name in the folder of the queue.
const FILE: &str = "logins.json";
/// Octets of it at most.
const MAX_FILE: u64 = 64 * 1024 * 1024;
/// A use that follows another sooner is not written down.
const GRAIN: Duration = Duration::from_secs(60);

/// By account and application, in milliseconds since the epoch, with the number of the password:
/// one that was made anew for an application has not been used by that.
type Times = BTreeMap<String, BTreeMap<String, (i64, u32)>>;

/// When passwords were used.
#[derive(Debug)]
pub struct Uses {
    path: PathBuf,
    times: Mutex<Times>,
}

impl Uses {
    /// What is known of it. A file that is missing or broken knows nothing.
    pub fn of(config: &Config) -> Self {
        let path = config.state_dir.join(FILE);
        let times = Mutex::new(read(&path).unwrap_or_default());
        Self { path, times }
    }

    /// When this password was used last.
    pub fn last(&self, account: &str, password: &Password) -> Option<Timestamp> {
        last(&self.times.lock().unwrap_or_else(PoisonError::into_inner), account, password)
    }

    /// Notes a use; to be called where waiting for the disk is no harm.
    pub(super) fn note(&self, account: &str, password: &Password, now: Timestamp) {
        let mut times = self.times.lock().unwrap_or_else(PoisonError::into_inner);
        let last = last(&times, account, password);
        if last.is_some_and(|last| last <= now && now.since(last) < GRAIN) {
            return;
        }
        let known = times.entry(account.to_owned()).or_default();
        known.insert(password.application.clone(), (now.as_millis(), password.number()));
        // A login is not refused because this cannot be written.
        let _ = serde_json::to_vec(&*times)
            .map_err(std::io::Error::other)
            .and_then(|octets| Place::of(&self.path)?.replace(&octets, 0o600));
    }
}

fn last(times: &Times, account: &str, password: &Password) -> Option<Timestamp> {
    let (at, number) = times.get(account)?.get(&password.application)?;
    (*number == password.number()).then(|| Timestamp::from_millis(*at))
}

fn read(path: &Path) -> Option<Times> {
    serde_json::from_slice(&read_bounded(path, None, MAX_FILE).ok()?).ok()
}
