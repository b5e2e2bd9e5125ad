//! The DNS as this server asks it: through recursive resolvers, with a cache of
//! our own.
//!
//! What matters to mail is whether an answer is one. NXDOMAIN and an empty answer
//! are facts about a domain; SERVFAIL, REFUSED, a time-out or a referral are facts
//! about the way there, from which nothing may be concluded. The servers are asked
//! one after the other, so that one that fails never hides another that would have
//! answered, and the one that answered last is asked first the next time.
//!
//! Questions that are the same share one query, and answers are kept for their own
//! time to live within bounds, absences for the SOA's minimum (RFC 2308 §5), and
//! failures for a few seconds only. hickory carries the messages; its own cache,
//! search list and special names are not used, so that the simulated Internet on
//! loopback can have names for its addresses.
//!
//! DNSSEC is validated by the resolver, not here. Its word, the AD bit, is taken where
//! nobody can put it into the answer on the way: if all servers are on this machine, or the
//! system's resolv.conf says `trust-ad` (RFC 4035 §4.9.3). hickory 0.26 sends no AD bit of
//! its own and its own validation calls zones bogus that are not, so it is not used.

mod malformed;
mod response;
mod servers;
mod system;
pub(crate) mod ttl_cache;
mod validation;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use puerto_mail::dns::{Answer, Dns, DnsError, DnsFault, RecordType};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::config::Config;
pub use response::{hickory_type, plain};
use servers::Servers;
pub use servers::{TIMEOUT, wire_name};
use ttl_cache::TtlCache;
pub use validation::Validation;

/// Octets of answers that are kept at most.
const CACHE_OCTETS: usize = 8 * 1024 * 1024;
const MAX_POSITIVE_TTL: u32 = 24 * 3600;
const MIN_TTL: u32 = 1;
const MAX_NEGATIVE_TTL: u32 = 900;
/// For absences without an SOA record.
const DEFAULT_NEGATIVE_TTL: u32 = 60;
/// A failure is remembered just long enough to spare the servers a stampede.
const FAILURE_TTL: Duration = Duration::from_secs(5);
/// For one question in all, over all servers and attempts.
const PATIENCE: Duration = Duration::from_secs(20);

type Question = (Box<str>, RecordType);
/// What was answered, and whether DNSSEC vouches for it, which an absence may be as well.
type Found = (Result<Answer, DnsError>, bool);
type Shared = Option<Found>;

/// Asks the DNS and remembers the answers.
#[derive(Clone)]
pub struct Resolver(Arc<Inner>);

struct Inner {
    servers: Servers,
    state: Mutex<State>,
    /// The servers were found to vouch for what they have not validated.
    is_credulous: AtomicBool,
}

struct State {
    cache: TtlCache<Question, Found>,
    in_flight: HashMap<Question, watch::Receiver<Shared>>,
}

impl Resolver {
    /// A resolver over `dns.servers`, or over the system's resolvers where none are
    /// configured. Without any server every look-up is a temporary failure.
    pub fn new(config: &Config) -> Self {
        if config.dns_servers.is_empty() {
            return Self::over(Servers::of_system(config.dns.trust_ad));
        }
        Self::over(Servers::new(&config.dns_servers, servers::TIMEOUT, config.dns.trust_ad))
    }

    /// A resolver over these servers.
    pub fn with_servers(addresses: &[SocketAddr]) -> Self {
        Self::over(Servers::new(addresses, servers::TIMEOUT, false))
    }

    fn over(servers: Servers) -> Self {
        let state = State { cache: TtlCache::new(CACHE_OCTETS), in_flight: HashMap::new() };
        let is_credulous = AtomicBool::new(false);
        Self(Arc::new(Inner { servers, state: Mutex::new(state), is_credulous }))
    }

    /// The servers that are asked, in their order.
    pub fn servers(&self) -> Vec<SocketAddr> {
        self.0.servers.addresses()
    }

    /// Asks this of all servers at the same time, and begins with the one that answered
    /// first from then on: for a program that runs once, to which a server that is dead
    /// would cost the time-outs of all its first questions.
    pub async fn prefer_the_first_to_answer(&self, name: &str, record_type: RecordType) {
        let servers = self.servers().len();
        if servers < 2 {
            return;
        }
        let mut asked = JoinSet::new();
        for number in 0..servers {
            let (inner, name) = (Arc::clone(&self.0), name.to_owned());
            asked.spawn(async move {
                inner.servers.answers(number, &name, record_type).await.then_some(number)
            });
        }
        while let Some(answered) = asked.join_next().await {
            if let Ok(Some(number)) = answered {
                self.0.servers.prefer(number);
                return;
            }
        }
    }

    async fn ask(&self, question: Question) -> Found {
        let (mut answer, validated) = self.ask_or_remember(question).await;
        let is_believed = !self.0.is_credulous.load(Ordering::Relaxed);
        if let Ok(answer) = &mut answer {
            answer.validated &= is_believed;
        }
        (answer, validated && is_believed)
    }

    async fn ask_or_remember(&self, question: Question) -> Found {
        let mut receiver = {
            let mut state = self.0.state();
            if let Some((cached, left)) = state.cache.get(&question, Instant::now()) {
                return with_remaining_ttl(cached, left);
            }
            match state.in_flight.get(&question) {
                Some(receiver) => receiver.clone(),
                None => self.start(&mut state, question),
            }
        };
        match receiver.wait_for(Option::is_some).await {
            Ok(shared) => shared.clone().unwrap_or_else(broken_off),
            Err(_) => broken_off(),
        }
    }

    // A task of its own: others may wait for the answer when the first who asked
    // has gone away.
    fn start(&self, state: &mut State, question: Question) -> watch::Receiver<Shared> {
        let (sender, receiver) = watch::channel(None);
        state.in_flight.insert(question.clone(), receiver.clone());
        let inner = Arc::clone(&self.0);
        tokio::spawn(async move {
            let guard = InFlight { inner: &inner, question: &question };
            let query = inner.servers.query(&question.0, question.1);
            let result = tokio::time::timeout(PATIENCE, query)
                .await
                .unwrap_or_else(|_| Err(response::Failure::timeout()));
            inner.remember(&question, &result);
            drop(guard);
            let _ = sender.send(Some(found(result)));
        });
        receiver
    }
}

/// Asks one authoritative server, without recursion and without the cache. Where the
/// name is an alias, the answer is the alias.
pub async fn ask_server(
    server: SocketAddr,
    name: &str,
    record_type: RecordType,
) -> Result<Answer, DnsError> {
    let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
    servers::ask_one(server, &name, record_type).await
}

impl Inner {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn remember(&self, question: &Question, result: &Result<Answer, response::Failure>) {
        let (kept, ttl) = match result {
            Ok(answer) => {
                let ttl = answer.ttl.clamp(MIN_TTL, MAX_POSITIVE_TTL);
                ((Ok(answer.clone()), answer.validated), Duration::from_secs(ttl.into()))
            }
            Err(failure) if failure.error.is_absence() => {
                let ttl = failure.ttl.unwrap_or(DEFAULT_NEGATIVE_TTL);
                let ttl = ttl.clamp(MIN_TTL, MAX_NEGATIVE_TTL);
                let kept = (Err(failure.error.clone()), failure.validated);
                (kept, Duration::from_secs(ttl.into()))
            }
            Err(failure) => ((Err(failure.error.clone()), false), FAILURE_TTL),
        };
        let cost = question.0.len() + cost_of(&kept.0);
        let now = Instant::now();
        self.state().cache.insert(question.clone(), kept, cost, (now, ttl));
    }
}

/// Takes the question off the list of those in flight, also when the query panics.
struct InFlight<'a> {
    inner: &'a Inner,
    question: &'a Question,
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.inner.state().in_flight.remove(self.question);
    }
}

fn broken_off() -> Found {
    (Err(DnsError::Failure(DnsFault::BrokenOff)), false)
}

fn found(result: Result<Answer, response::Failure>) -> Found {
    match result {
        Ok(answer) => {
            let validated = answer.validated;
            (Ok(answer), validated)
        }
        Err(failure) => (Err(failure.error), failure.validated),
    }
}

fn with_remaining_ttl(cached: &Found, left: Duration) -> Found {
    let (mut answer, validated) = cached.clone();
    if let Ok(answer) = &mut answer {
        answer.ttl = u32::try_from(left.as_secs()).unwrap_or(MAX_POSITIVE_TTL).max(MIN_TTL);
    }
    (answer, validated)
}

fn cost_of(result: &Result<Answer, DnsError>) -> usize {
    use puerto_mail::dns::Record;
    const PER_RECORD: usize = size_of::<Record>();
    match result {
        Err(_) => 0,
        Ok(answer) => answer
            .records
            .iter()
            .map(|record| match record {
                Record::Address(_) => PER_RECORD,
                Record::Mx(_, name) | Record::Name(name) | Record::Soa(_, name) => {
                    PER_RECORD + name.len()
                }
                Record::Txt(octets) | Record::Tlsa(_, _, _, octets) => PER_RECORD + octets.len(),
            })
            .sum(),
    }
}

impl Dns for Resolver {
    async fn lookup(&self, name: &str, record_type: RecordType) -> Result<Answer, DnsError> {
        self.vouched(name, record_type).await.0
    }

    async fn vouched(&self, name: &str, record_type: RecordType) -> Found {
        let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
        self.ask((name.into_boxed_str(), record_type)).await
    }
}

impl std::fmt::Debug for Resolver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Resolver").field(&self.servers()).finish()
    }
}

#[cfg(test)]
mod tests;
