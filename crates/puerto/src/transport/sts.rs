//! The MTA-STS policies of the domains that mail goes to (RFC 8461): announced in the DNS,
//! fetched by HTTPS, kept for as long as they say, through restarts and while the host that
//! publishes them is dead.
//!
//! What keeps a policy is worth more than what fetches it: whoever interferes can take the
//! record and the page away, and has to do so for as long as the policy holds. Time is told by
//! a clock that does not leap; the time of day counts only between two runs, and one that lies
//! in the future makes no policy hold longer than it says.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use puerto_mail::dns::{Dns, DnsError, Record, RecordType};
use puerto_spool::clock::Clock;
use serde::{Deserialize, Serialize};

use super::Policy as OfHost;
use super::file::{self, Lagging};
use crate::cause::Cause;
use crate::survey::https::Page;
use crate::survey::mtasts::{LONGEST, Mode, PATH, Policy, id_of};

/// The file's name in the state folder.
const FILE: &str = "mta-sts";
/// Policies that are kept; then those go first that were not asked for the longest.
const MOST: usize = 10_000;
/// Octets of their patterns, by the same rule: whoever has many domains may write long ones.
const MOST_OCTETS: usize = 16 * 1024 * 1024;
/// How long the file may lag behind: a newsletter meets many policies at once.
const LAG: Duration = Duration::from_secs(2);
/// RFC 8461 §3.3: what could not be fetched is left alone for so long.
const PATIENCE: Duration = Duration::from_secs(300);
/// After this a policy is fetched again, off the path of a message.
const FRESH: Duration = Duration::from_secs(24 * 3600);
/// For so long one is fetched again that nobody asks for.
const WANTED: Duration = Duration::from_secs(30 * 24 * 3600);

/// How long the path of a message waits for the record: a server that keeps silent about it
/// may well answer for the rest.
const LOOK_UP: Duration = Duration::from_secs(5);
/// Seconds after which it is asked for again where nobody answered.
const SOON: u32 = 30;

/// A policy, if there is one, and for how many seconds nobody need ask again.
pub type Found = (Option<Arc<Policy>>, u32);
/// A page that is under way.
pub type Fetching = Pin<Box<dyn Future<Output = Page> + Send>>;
/// Fetches the page of a host: `mta-sts.DOMAIN` and its path.
pub type Fetch = Arc<dyn Fn(String, &'static str) -> Fetching + Send + Sync>;

/// Policies for as long as somebody else needs them.
#[derive(Clone)]
pub struct Shared(Weak<Inner>);

impl Shared {
    /// The policies, if anybody still needs them.
    pub fn upgrade(&self) -> Option<Policies> {
        self.0.upgrade().map(Policies)
    }
}

/// The policies. Clones share them.
#[derive(Clone)]
pub struct Policies(Arc<Inner>);

struct Inner {
    clock: Arc<dyn Clock>,
    fetch: Fetch,
    file: Lagging,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    kept: HashMap<String, Kept>,
    failed: HashMap<String, Failed>,
}

/// An attempt to fetch a policy that failed.
struct Failed {
    id: String,
    at: Duration,
    why: Cause,
}

/// A policy that was fetched, by the clock that does not leap.
#[derive(Debug, Clone)]
struct Kept {
    id: String,
    policy: Arc<Policy>,
    /// How long ago it was fetched when this process began counts, too.
    age: Duration,
    since: Duration,
    used: Duration,
}

impl Kept {
    fn age(&self, now: Duration) -> Duration {
        self.age + now.saturating_sub(self.since)
    }

    fn holds(&self, now: Duration) -> bool {
        self.age(now) < Duration::from_secs(self.policy.max_age.min(LONGEST))
    }

    // Before it ends, whenever that is.
    fn is_stale(&self, now: Duration) -> bool {
        let half = Duration::from_secs(self.policy.max_age.min(LONGEST)) / 2;
        self.age(now) >= FRESH.min(half)
    }
}

/// A line of the file. Times are seconds since the epoch.
#[derive(Serialize, Deserialize)]
struct Line {
    domain: String,
    id: String,
    fetched: i64,
    mode: String,
    max_age: u64,
    mx: Vec<String>,
}

impl Policies {
    /// Policies that are kept nowhere but in memory.
    pub fn new(clock: Arc<dyn Clock>, fetch: Fetch) -> Self {
        Self::with(clock, fetch, None, State::default())
    }

    /// Where they are kept in a state folder.
    pub fn file(state_dir: &Path) -> PathBuf {
        state_dir.join(FILE)
    }

    /// The policies in a state folder, where they are written when one is fetched. Reads the
    /// file, if there is one; a line that is damaged is left out.
    pub fn in_folder(clock: Arc<dyn Clock>, fetch: Fetch, state_dir: &Path) -> io::Result<Self> {
        let path = Self::file(state_dir);
        let text = file::read(&path)?;
        let (now, since) = (clock.now().as_millis() / 1000, clock.elapsed());
        let lines = text.lines().filter_map(|line| serde_json::from_str::<Line>(line).ok());
        let kept = lines.filter_map(|line| {
            // One of the future is of now: the clock was set back.
            let age =
                Duration::from_secs(u64::try_from(now.saturating_sub(line.fetched)).unwrap_or(0));
            let mode = Mode::named(&line.mode)?;
            let policy = Policy { mode, max_age: line.max_age, hosts: line.mx };
            let (policy, used) = (Arc::new(policy), since);
            let kept = Kept { id: line.id, policy, age, since, used };
            kept.holds(since).then_some((line.domain, kept))
        });
        let state = State { kept: kept.take(MOST).collect(), failed: HashMap::new() };
        Ok(Self::with(clock, fetch, Some(path), state))
    }

    fn with(clock: Arc<dyn Clock>, fetch: Fetch, path: Option<PathBuf>, state: State) -> Self {
        let (file, state) = (Lagging::new(path, LAG), Mutex::new(state));
        Self(Arc::new(Inner { clock, fetch, file, state }))
    }

    /// The same for whoever does not need them for himself.
    pub fn downgrade(&self) -> Shared {
        Shared(Arc::downgrade(&self.0))
    }

    /// The policy of a domain, and for how many seconds nobody need ask again. Where the
    /// record or the page is gone or nobody answers, one that holds still does.
    pub async fn of<D: Dns>(&self, dns: &D, domain: &str) -> Found {
        let kept = self.kept(domain);
        let policy = kept.as_ref().map(|kept| Arc::clone(&kept.policy));
        let name = format!("_mta-sts.{domain}");
        let asked = tokio::time::timeout(LOOK_UP, dns.lookup(&name, RecordType::Txt));
        let answer = match asked.await.unwrap_or(Err(DnsError::Timeout)) {
            Ok(answer) => answer,
            Err(error) if error.is_absence() => return (policy, u32::MAX),
            Err(_) => return (policy, SOON),
        };
        let texts: Vec<String> = answer.records.iter().filter_map(Record::text).collect();
        let Some(id) = id_of(texts.iter().map(String::as_str)) else {
            return (policy, answer.ttl);
        };
        if kept.is_some_and(|kept| kept.id == id) || self.failed_just_now(domain, id) {
            return (policy, answer.ttl);
        }
        let fetched = self.fetch(domain, id).await;
        (fetched.or(policy), answer.ttl)
    }

    /// Fetches again what is older than a day, or half as old as it may become, and forgets
    /// what holds no longer. What cannot be fetched stays as it was.
    pub async fn refresh<D: Dns>(&self, dns: &D) {
        let now = self.0.clock.elapsed();
        let stale: Vec<(String, String)> = {
            let mut state = self.state();
            state.failed.retain(|_, failed| now.saturating_sub(failed.at) < PATIENCE);
            state.kept.retain(|_, kept| kept.holds(now));
            let is_due = |kept: &Kept| kept.is_stale(now) && now.saturating_sub(kept.used) < WANTED;
            let stale = state.kept.iter().filter(|(_, kept)| is_due(kept));
            stale.map(|(domain, kept)| (domain.clone(), kept.id.clone())).collect()
        };
        for (domain, known) in stale {
            let answer = dns.records(&format!("_mta-sts.{domain}"), RecordType::Txt).await;
            let texts: Vec<String> =
                answer.unwrap_or_default().iter().filter_map(Record::text).collect();
            let id = id_of(texts.iter().map(String::as_str)).unwrap_or(&known);
            self.fetch(&domain, id).await;
        }
    }

    // What was fetched, and kept.
    async fn fetch(&self, domain: &str, id: &str) -> Option<Arc<Policy>> {
        let page = (self.0.fetch)(format!("mta-sts.{domain}"), PATH).await;
        let now = self.0.clock.elapsed();
        let policy = match of_page(&page) {
            Ok(policy) => Arc::new(policy),
            Err(why) => {
                let mut state = self.state();
                if state.failed.len() >= MOST {
                    state.failed.clear();
                }
                let failed = Failed { id: id.to_owned(), at: now, why };
                state.failed.insert(domain.to_owned(), failed);
                return None;
            }
        };
        {
            let mut state = self.state();
            state.failed.remove(domain);
            let used = state.kept.get(domain).map_or(now, |kept| kept.used);
            let (id, policy) = (id.to_owned(), Arc::clone(&policy));
            let kept = Kept { id, policy, age: Duration::ZERO, since: now, used };
            state.kept.insert(domain.to_owned(), kept);
            state.shrink();
        }
        file::touch(self);
        Some(policy)
    }

    fn kept(&self, domain: &str) -> Option<Kept> {
        let now = self.0.clock.elapsed();
        let mut state = self.state();
        let kept = state.kept.get_mut(domain).filter(|kept| kept.holds(now))?;
        kept.used = now;
        Some(kept.clone())
    }

    fn failed_just_now(&self, domain: &str, id: &str) -> bool {
        let now = self.0.clock.elapsed();
        let state = self.state();
        let failed = state.failed.get(domain).filter(|failed| failed.id == id);
        failed.is_some_and(|failed| now.saturating_sub(failed.at) < PATIENCE)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The policy of a domain that is kept and holds, without asking anybody.
    pub fn known(&self, domain: &str) -> Option<Arc<Policy>> {
        let now = self.0.clock.elapsed();
        let state = self.state();
        let kept = state.kept.get(domain).filter(|kept| kept.holds(now))?;
        (kept.policy.mode != Mode::None).then(|| Arc::clone(&kept.policy))
    }

    /// Why the policy that a domain announces could not be had a moment ago.
    pub fn fault(&self, domain: &str) -> Option<Cause> {
        let now = self.0.clock.elapsed();
        let state = self.state();
        let failed = state.failed.get(domain)?;
        (now.saturating_sub(failed.at) < PATIENCE).then(|| failed.why.clone())
    }

    /// Writes the file, whole or not at all. It blocks.
    pub fn write(&self) -> io::Result<()> {
        file::write(self)
    }
}

impl file::Kept for Policies {
    fn file(&self) -> &Lagging {
        &self.0.file
    }

    fn text(&self) -> io::Result<String> {
        let (now, elapsed) = (self.0.clock.now().as_millis() / 1000, self.0.clock.elapsed());
        let mut text = String::new();
        for (domain, kept) in &self.state().kept {
            let age = i64::try_from(kept.age(elapsed).as_secs()).unwrap_or(i64::MAX);
            let line = Line {
                domain: domain.clone(),
                id: kept.id.clone(),
                fetched: now.saturating_sub(age),
                mode: kept.policy.mode.name().to_owned(),
                max_age: kept.policy.max_age,
                mx: kept.policy.hosts.clone(),
            };
            text.push_str(&serde_json::to_string(&line).map_err(io::Error::other)?);
            text.push('\n');
        }
        Ok(text)
    }
}

impl State {
    fn shrink(&mut self) {
        let cost = |kept: &Kept| kept.policy.hosts.iter().map(String::len).sum::<usize>();
        let mut octets: usize = self.kept.values().map(cost).sum();
        while self.kept.len() > MOST || octets > MOST_OCTETS {
            let oldest = self.kept.iter().min_by_key(|(_, kept)| kept.used);
            let Some(oldest) = oldest.map(|(domain, _)| domain.clone()) else { return };
            octets -= self.kept.remove(&oldest).as_ref().map_or(0, cost);
        }
    }
}

impl fmt::Debug for Policies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Policies")
    }
}

// RFC 8461 §3.3: only status 200 counts, and only plain text.
fn of_page(page: &Page) -> Result<Policy, Cause> {
    match page {
        Page::Answer { status: 200, media_type, body }
            if media_type.to_ascii_lowercase().starts_with("text/plain") =>
        {
            Policy::read(body).map_err(|_field| Cause::StsInvalid {})
        }
        Page::Untrusted(_) => Err(Cause::StsUntrusted {}),
        _ => Err(Cause::StsNotFetched {}),
    }
}

/// What a domain's policy says of a host.
pub fn of_host(policy: Option<&Policy>, domain: &str, host: &str) -> OfHost {
    let Some(policy) = policy else { return OfHost::Absent };
    let pattern = policy.pattern_of(&host.to_ascii_lowercase()).map(str::to_owned);
    match (policy.mode, pattern) {
        (Mode::None, _) => OfHost::Absent,
        (Mode::Testing, pattern) => OfHost::Testing { domain: domain.to_owned(), pattern },
        (Mode::Enforce, Some(pattern)) => OfHost::Enforced { pattern },
        (Mode::Enforce, None) => OfHost::Excluded { domain: domain.to_owned() },
    }
}

#[cfg(test)]
mod tests;
