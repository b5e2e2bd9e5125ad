//! Which hosts have spoken TLS before, and with which it broke.
//!
//! Opportunistic TLS is undone by whoever takes STARTTLS out of the conversation: the mail
//! then goes in plain text, and nobody notices. A host that did TLS last week and offers none
//! today has either lost its configuration or somebody stands between, and both are worth a
//! word. The other way round, a host with which no handshake ever succeeds need not be asked
//! for one at each message.
//!
//! Neither counts where something is demanded: DANE and an enforced policy do not forget. And
//! that TLS broke is never remembered of a host that did it before, or one connection that is
//! cut in the right place would turn it off for days.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use puerto_spool::clock::Clock;
use serde::{Deserialize, Serialize};

use super::file::{self, Kept, Lagging};

/// The file's name in the state folder.
const FILE: &str = "tls-hosts";
/// Hosts that are kept; then those go first of which nothing was heard for the longest.
const MOST: usize = 50_000;
/// How long the file may lag behind.
const LAG: Duration = Duration::from_secs(30);
const DAY: i64 = 24 * 3600;
/// For so long a host counts as one that does TLS.
const GOOD: i64 = 60 * DAY;
/// For so long one is not asked for TLS with which it broke.
const BROKEN: i64 = 3 * DAY;

/// The memory. Clones share it.
#[derive(Clone)]
pub struct Memory(Arc<Inner>);

struct Inner {
    clock: Arc<dyn Clock>,
    file: Lagging,
    hosts: Mutex<HashMap<String, Known>>,
}

/// When a host last did TLS, and when it last broke: seconds since the epoch, 0 for never.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Known {
    #[serde(default)]
    good: i64,
    #[serde(default)]
    broken: i64,
}

/// A line of the file.
#[derive(Serialize, Deserialize)]
struct Line {
    host: String,
    #[serde(flatten)]
    known: Known,
}

impl Memory {
    /// A memory that ends with the process.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self::with(clock, None, HashMap::new())
    }

    /// Where it is kept in a state folder.
    pub fn file(state_dir: &Path) -> PathBuf {
        state_dir.join(FILE)
    }

    /// The memory in a state folder. A line that is damaged is left out, and a time that lies
    /// in the future is now: a clock may have been set back.
    pub fn in_folder(clock: Arc<dyn Clock>, state_dir: &Path) -> io::Result<Self> {
        let path = Self::file(state_dir);
        let text = file::read(&path)?;
        let now = clock.now().as_millis() / 1000;
        let lines = text.lines().filter_map(|line| serde_json::from_str::<Line>(line).ok());
        let hosts = lines.map(|Line { host, known: Known { good, broken } }| {
            (host, Known { good: good.min(now), broken: broken.min(now) })
        });
        let hosts = hosts.take(MOST).collect();
        Ok(Self::with(clock, Some(path), hosts))
    }

    fn with(clock: Arc<dyn Clock>, path: Option<PathBuf>, hosts: HashMap<String, Known>) -> Self {
        let (file, hosts) = (Lagging::new(path, LAG), Mutex::new(hosts));
        Self(Arc::new(Inner { clock, file, hosts }))
    }

    /// Whether a host did TLS within the last weeks.
    pub fn does_tls(&self, host: &str) -> bool {
        let now = self.now();
        self.hosts().get(host).is_some_and(|known| known.is_good(now))
    }

    /// Whether TLS broke with a host within the last days, and never went well before.
    pub fn is_broken(&self, host: &str) -> bool {
        let now = self.now();
        let hosts = self.hosts();
        hosts.get(host).is_some_and(|known| !known.is_good(now) && now - known.broken < BROKEN)
    }

    /// A host has done TLS.
    pub fn note_good(&self, host: &str) {
        let now = self.now();
        // Once a day is enough to know it.
        let is_news = |known: Known| now - known.good >= DAY || known.broken > 0;
        self.note(host, is_news, |known| *known = Known { good: now, broken: 0 });
    }

    /// TLS was offered by a host, and broke.
    pub fn note_broken(&self, host: &str) {
        let now = self.now();
        let is_news = |known: Known| !known.is_good(now) && now - known.broken >= BROKEN;
        self.note(host, is_news, |known| known.broken = now);
    }

    fn note(&self, host: &str, is_news: impl Fn(Known) -> bool, change: impl Fn(&mut Known)) {
        {
            let mut hosts = self.hosts();
            if !is_news(hosts.get(host).copied().unwrap_or_default()) {
                return;
            }
            if hosts.len() >= MOST && !hosts.contains_key(host) {
                forget_the_oldest(&mut hosts);
            }
            change(hosts.entry(host.to_owned()).or_default());
        }
        file::touch(self);
    }

    /// Writes the file, whole or not at all. It blocks.
    pub fn write(&self) -> io::Result<()> {
        file::write(self)
    }

    fn now(&self) -> i64 {
        self.0.clock.now().as_millis() / 1000
    }

    fn hosts(&self) -> MutexGuard<'_, HashMap<String, Known>> {
        self.0.hosts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn is_good(self, now: i64) -> bool {
        self.good > 0 && now - self.good < GOOD
    }

    fn last(self) -> i64 {
        self.good.max(self.broken)
    }
}

// A tenth at once, so that it is not sorted for each.
fn forget_the_oldest(hosts: &mut HashMap<String, Known>) {
    let mut times: Vec<i64> = hosts.values().map(|known| known.last()).collect();
    times.sort_unstable();
    let Some(limit) = times.get(times.len() / 10).copied() else { return };
    hosts.retain(|_, known| known.last() > limit);
}

impl Kept for Memory {
    fn file(&self) -> &Lagging {
        &self.0.file
    }

    // What is too old to matter is left out.
    fn text(&self) -> io::Result<String> {
        let now = self.now();
        let mut hosts = self.hosts();
        hosts.retain(|_, known| known.is_good(now) || now - known.broken < BROKEN);
        let mut lines: Vec<String> = Vec::with_capacity(hosts.len());
        for (host, known) in &*hosts {
            let line = Line { host: host.clone(), known: *known };
            lines.push(serde_json::to_string(&line).map_err(io::Error::other)? + "\n");
        }
        Ok(lines.concat())
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Memory")
    }
}

#[cfg(test)]
mod tests {
    use puerto_spool::Timestamp;
    use puerto_spool::clock::ManualClock;

    use super::*;

    fn clock() -> Arc<ManualClock> {
        Arc::new(ManualClock::new(Timestamp::from_millis(1_795_000_000_000)))
    }

    fn days(count: u64) -> Duration {
        Duration::from_secs(count * 24 * 3600)
    }

    #[tokio::test]
    async fn a_host_that_did_tls_is_known_for_weeks_and_one_that_broke_for_days() {
        let clock = clock();
        let memory = Memory::new(clock.clone());
        let state = |host| (memory.does_tls(host), memory.is_broken(host));
        assert_eq!(state("mx.example"), (false, false));
        memory.note_good("good.example");
        memory.note_broken("broken.example");
        assert_eq!(state("good.example"), (true, false));
        assert_eq!(state("broken.example"), (false, true));
        // One connection that is cut turns nothing off.
        memory.note_broken("good.example");
        assert_eq!(state("good.example"), (true, false));
        clock.advance(days(2));
        memory.note_broken("broken.example");
        assert_eq!(state("broken.example"), (false, true));
        clock.advance(days(1));
        assert_eq!(state("broken.example"), (false, false), "it is asked again");
        memory.note_good("broken.example");
        assert_eq!(state("broken.example"), (true, false));
        clock.advance(days(58));
        assert_eq!(state("good.example"), (false, false));
        assert_eq!(state("broken.example"), (true, false));
    }

    #[tokio::test]
    async fn it_outlives_a_restart_and_a_clock_that_was_wrong() {
        let (folder, clock) = (tempfile::tempdir().unwrap(), clock());
        let open = || Memory::in_folder(clock.clone(), folder.path()).unwrap();
        let memory = open();
        clock.advance(days(3650));
        memory.note_good("future.example");
        clock.set(Timestamp::from_millis(1_795_000_000_000));
        memory.note_good("good.example");
        memory.note_broken("broken.example");
        memory.write().unwrap();
        let file = Memory::file(folder.path());
        let text = std::fs::read_to_string(&file).unwrap();
        std::fs::write(&file, format!("{{\"host\":\"half\n{text}\u{0}\n")).unwrap();
        let memory = open();
        assert!(memory.does_tls("good.example") && memory.does_tls("future.example"));
        assert!(memory.is_broken("broken.example"));
        clock.advance(days(60));
        assert!(!memory.does_tls("future.example"));
        memory.write().unwrap();
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "", "what is over is not kept");
    }

    #[tokio::test]
    async fn it_is_bounded_and_forgets_whom_it_heard_of_the_longest_ago() {
        let clock = clock();
        let memory = Memory::new(clock.clone());
        for number in 0..=MOST {
            if number % 100 == 0 {
                clock.advance(Duration::from_secs(1));
            }
            memory.note_good(&format!("mx{number}.example"));
        }
        assert!(memory.hosts().len() <= MOST);
        assert!(!memory.does_tls("mx0.example") && memory.does_tls("mx49999.example"));
    }
}
