//! Where mail for a domain goes: relayhost, routes, MX, addresses.
//!
//! `choice` is pure and says which rule of the configuration holds; `exchange`
//! asks the DNS what that means today, taking every answer for hostile input;
//! `address` decides which addresses may be used and in which order. A look-up
//! that fails is not an answer: it makes mail wait, while an absence that the DNS
//! asserts makes it fail.
//!
//! Plans are kept for their records' time to live, within bounds that keep the
//! choice between equal hosts fresh. Domains with the same MX set share one plan,
//! so that mail for them can share connections and transactions. Nothing here knows
//! of the queue or of a socket.

mod abreast;
mod address;
mod choice;
mod exchange;
mod family;
mod machine;
pub(crate) mod random;
pub mod source;

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use puerto_mail::dns::Dns;
use puerto_smtp::{Domain, EnhancedCode, ReversePath, TlsWish};
use tokio::time::Instant;

use crate::cause::Cause;
use crate::config::{Config, Live, Login, Named, Source, TlsLevel};
use crate::dns::Resolver;
use crate::dns::ttl_cache::TtlCache;
use crate::orders::Orders;
use crate::providers::Profile;
use crate::survey::egress;
use crate::transport::results::Results;
use crate::transport::sts::Policies;
use crate::transport::{Demand, Rule};
pub use address::{LiteralFault, leads_here};
use choice::Choice;
pub use choice::{is_here, is_local, is_relayed, is_virtual, verp};
pub use family::Guard;
use family::SpfOwner;
pub use machine::Machine;

/// The address of this machine that another is reached from, as others see it: what is translated
/// on its way is not known.
pub fn leaves_by(config: &Config, there: SocketAddr) -> Option<IpAddr> {
    machine::source(there).filter(|address| family::is_seen(config, *address))
}

/// Why nothing could be brought to a stranger whose address is in this domain: an address
/// literal is judged as one that mail is for, and this machine's own are no stranger's.
/// Nothing is said against a name.
pub fn fault_of_stranger(config: &Config, domain: &Domain) -> Option<LiteralFault> {
    let Domain::Literal(ip) = domain else { return None };
    let interfaces = machine::interface_addresses();
    let judged = address::literal_fault(address::canonical(*ip), config, &interfaces);
    let is_ours =
        || is_here(config, domain) || choice::is_own_literal(config, || interfaces.clone(), domain);
    judged.or_else(|| is_ours().then_some(LiteralFault::Ourselves))
}

/// What messages share when they go to the same place. With a relayhost, the
/// relayhost; otherwise the set of MX hosts.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DestinationKey(pub Arc<str>);

impl std::fmt::Display for DestinationKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// One address of one host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hop {
    /// The host's name, or its address as text: for the log and the certificate.
    pub host: Arc<str>,
    /// The address and port to connect to, judged already.
    pub address: SocketAddr,
    /// What is demanded of TLS there, where that is more than the plan's level alone.
    pub rule: Option<Arc<Rule>>,
}

impl Hop {
    /// An address of a host of which nothing more is demanded than what the plan says.
    pub fn at(host: impl Into<Arc<str>>, address: SocketAddr) -> Self {
        Self { host: host.into(), address, rule: None }
    }

    /// What is demanded of TLS there.
    pub fn demand(&self, plan: &Plan) -> Demand {
        let rule = self.rule.as_ref();
        rule.map_or_else(|| Demand::of_level(plan.tls), |rule| rule.demand.clone())
    }
}

/// Hosts that MX records name for a relay: anybody on the way to the DNS may have named
/// others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exchangers {
    /// The relay's name as the configuration writes it.
    pub of: Arc<str>,
    /// DNSSEC vouches for the records.
    pub validated: bool,
}

/// How to reach a destination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// What it shares with others.
    pub key: DestinationKey,
    /// Where to connect, in this order; at most 20, never empty.
    pub hops: Vec<Hop>,
    /// What is demanded of TLS, by the route or the configuration.
    pub tls: TlsLevel,
    /// TLS from the first byte.
    pub implicit_tls: bool,
    /// AUTH, if the next hop wants it.
    pub login: Option<Login>,
    /// The relay whose hosts its MX records name.
    pub exchangers_of: Option<Exchangers>,
    /// Nobody on the way to the DNS can have put other hosts in the place of these: DNSSEC vouches
    /// for the MX records, or none are asked, since the hosts are named by the administrator or are
    /// the domain itself.
    pub is_vouched: bool,
    /// Whether the next hop is a relay of ours: its refusal of the whole session is
    /// then a mistake to be mended, never a reason to bounce.
    pub is_relay: bool,
    /// How whoever runs the hosts wants to be treated.
    pub manners: Arc<Profile>,
    /// Why one of our addresses is not used, though there is a way from it.
    pub avoided: Option<Cause>,
    /// Where mail leaves from several addresses, and something is known against some there.
    pub guard: Option<Arc<Guard>>,
    /// Where whose mail it is decides which of the hosts are used: under which name what is
    /// left for each sender is kept.
    pub by_sender: Option<Arc<str>>,
    /// The address that it is gone from, where it is not the usual one.
    pub leaving: Option<Leaving>,
    /// What it is tried instead of, where it is the rescue route.
    pub rescues: Option<Rescued>,
}

/// One of several addresses that mail leaves from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leaving {
    /// The address.
    pub source: Source,
    /// The destination, by whatever address it is gone to.
    pub towards: DestinationKey,
}

/// A direct way that failed, and what goes another instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rescued {
    /// The destination of the direct way.
    pub from: DestinationKey,
    /// Why it failed.
    pub why: Cause,
}

impl Plan {
    /// To a stranger's hosts: TLS by STARTTLS alone, and nobody logs in.
    pub fn direct(key: impl Into<Arc<str>>, hops: Vec<Hop>, tls: TlsLevel) -> Self {
        Self {
            key: DestinationKey(key.into()),
            hops,
            tls,
            implicit_tls: false,
            login: None,
            exchangers_of: None,
            is_vouched: false,
            is_relay: false,
            manners: Arc::default(),
            avoided: None,
            guard: None,
            by_sender: None,
            leaving: None,
            rescues: None,
        }
    }
}

/// Where mail for a domain goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Routing {
    /// To users of this machine.
    Local,
    /// To another host, by this plan.
    Remote(Arc<Plan>),
}

/// Why there is nowhere to go, for now or for good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteFailure {
    /// The status; its class says whether to try again.
    pub code: EnhancedCode,
    /// What was found and, where it helps, how to mend it.
    pub cause: Cause,
}

impl RouteFailure {
    /// Whether trying again cannot help.
    pub fn is_permanent(&self) -> bool {
        self.code.class == 5
    }

    fn permanent(subject: u16, detail: u16, cause: Cause) -> Self {
        Self { code: EnhancedCode::new(5, subject, detail), cause }
    }

    fn temporary(cause: Cause) -> Self {
        Self { code: EnhancedCode::new(4, 4, 3), cause }
    }
}

impl std::fmt::Display for RouteFailure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.code, self.cause)
    }
}

impl std::error::Error for RouteFailure {}

/// Octets of plans that are kept at most.
const CACHE_OCTETS: usize = 4 * 1024 * 1024;
const MIN_PLAN_AGE: Duration = Duration::from_secs(30);
/// Below the hour that a plan could hold, so that the order of equal hosts changes.
const MAX_PLAN_AGE: Duration = Duration::from_secs(300);
/// Refusals to route are kept shortly: they are often being mended.
const FAILURE_AGE: Duration = Duration::from_secs(10);

/// Finds routes and remembers them.
pub struct Router<D = Resolver> {
    config: Live,
    orders: Orders,
    dns: Arc<D>,
    machine: Machine,
    policies: Option<Policies>,
    results: Option<Results>,
    cache: Mutex<Cache>,
}

type Answer = Result<Routing, RouteFailure>;

/// What is to be asked of the DNS to find a route: the same for all mail that has the
/// same way. With a relay, the recipient's domain has no say in it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Question {
    domain: Domain,
    choice: Choice,
    /// Only what says that TLS may fail has another way.
    is_optional: bool,
    /// The sender's domain, once it is known that it matters.
    sender: Option<SpfOwner>,
}

/// A plan's name, and whose SPF says what is left of it.
type BySender = (Arc<str>, SpfOwner);

struct Cache {
    // What the plans were made from; another configuration makes all of them void.
    made_from: Arc<Config>,
    by_question: TtlCache<Question, Answer>,
    by_exchange: TtlCache<Arc<str>, Arc<Plan>>,
    by_sender: TtlCache<BySender, Arc<Plan>>,
}

impl<D: Dns + 'static> Router<D> {
    /// A router for this machine.
    pub fn new(config: Live, dns: Arc<D>) -> Self {
        Self::on_machine(config, dns, Machine::this())
    }

    /// A router for a machine whose addresses, routes and dice are given.
    pub fn on_machine(config: Live, dns: Arc<D>, machine: Machine) -> Self {
        let cache = Mutex::new(Cache {
            made_from: config.get(),
            by_question: TtlCache::new(CACHE_OCTETS),
            by_exchange: TtlCache::new(CACHE_OCTETS),
            by_sender: TtlCache::new(CACHE_OCTETS),
        });
        Self {
            config,
            orders: Orders::default(),
            dns,
            machine,
            policies: None,
            results: None,
            cache,
        }
    }

    /// The same, which also obeys the MTA-STS policies of the domains that mail goes to.
    pub fn obeying(self, policies: Policies) -> Self {
        Self { policies: Some(policies), ..self }
    }

    /// The same, which also counts the hosts that it leaves out for the reports to receivers.
    pub fn counting(self, results: Results) -> Self {
        Self { results: Some(results), ..self }
    }

    /// The same, which also heeds what was ordered.
    pub fn heeding(self, orders: Orders) -> Self {
        Self { orders, ..self }
    }

    // With the routes that were ordered before its own.
    fn config(&self) -> Arc<Config> {
        self.orders.way(self.config.get())
    }

    /// The answer for a domain if it is known without asking the DNS.
    pub fn known(
        &self,
        reverse_path: &ReversePath,
        domain: &Domain,
        wish: TlsWish,
    ) -> Option<Answer> {
        let config = self.config();
        let choice = choice::choose(&config, &self.machine, reverse_path, domain);
        if choice == Choice::Local {
            return Some(Ok(Routing::Local));
        }
        let (answer, _) = self.cached(&config, &Question::new(domain, choice, wish))?;
        match asked_by_sender(&answer, reverse_path) {
            Some((_, key)) => self.left_for(&config, &key).map(|plan| Ok(Routing::Remote(plan))),
            None => Some(answer),
        }
    }

    /// By which destination's line mail for a domain goes, if that is known without asking the DNS.
    pub fn destination(&self, domain: &Domain) -> Option<DestinationKey> {
        let config = self.config();
        let choice = choice::choose(&config, &self.machine, &ReversePath::Null, domain);
        let question = Question::new(domain, choice, TlsWish::Usual);
        match self.cached(&config, &question)? {
            (Ok(Routing::Remote(plan)), _) => Some(plan.key.clone()),
            _ => None,
        }
    }

    /// The addresses that mail leaves from now.
    pub fn leaves_from(&self) -> Vec<IpAddr> {
        egress::find(&self.config())
    }

    /// The plan of the rescue route if it is known without asking the DNS.
    pub fn known_rescue(&self, wish: TlsWish) -> Option<Answer> {
        let question = Question::new(&nobody(), Choice::Relay(Named::Rescue), wish);
        self.cached(&self.config(), &question).map(|(answer, _)| answer)
    }

    /// The plan of the rescue route.
    pub async fn rescue(&self, wish: TlsWish) -> Result<Routing, RouteFailure> {
        let question = Question::new(&nobody(), Choice::Relay(Named::Rescue), wish);
        self.common(&self.config(), question).await.0
    }

    /// What [`Router::route_by`] would ask about.
    pub fn question(&self, reverse_path: &ReversePath, domain: &Domain, wish: TlsWish) -> Question {
        let config = self.config();
        let choice = choice::choose(&config, &self.machine, reverse_path, domain);
        let question = Question::new(domain, choice, wish);
        let known = self.cached(&config, &question);
        let sender = known.and_then(|(answer, _)| {
            asked_by_sender(&answer, reverse_path).map(|(_, (_, sender))| sender)
        });
        Question { sender, ..question }
    }

    /// Where mail of which nothing is wanted from TLS but what is usual goes.
    pub async fn route(
        &self,
        reverse_path: &ReversePath,
        domain: &Domain,
    ) -> Result<Routing, RouteFailure> {
        self.route_by(reverse_path, domain, TlsWish::Usual).await
    }

    /// Where mail from `reverse_path` to `domain` goes.
    pub async fn route_by(
        &self,
        reverse_path: &ReversePath,
        domain: &Domain,
        wish: TlsWish,
    ) -> Result<Routing, RouteFailure> {
        let config = self.config();
        let choice = choice::choose(&config, &self.machine, reverse_path, domain);
        if choice == Choice::Local {
            return Ok(Routing::Local);
        }
        let question = Question::new(domain, choice, wish);
        let (answer, left) = self.common(&config, question).await;
        let Some((plan, key)) = asked_by_sender(&answer, reverse_path) else {
            return answer;
        };
        if let Some(known) = self.left_for(&config, &key) {
            return Ok(Routing::Remote(known));
        }
        let context = self.context(&config, wish == TlsWish::Optional);
        let (plan, age) = family::permitted(&context, plan, &key.1).await;
        let cost = key.0.len() + key.1.len() + 128 * plan.hops.len();
        let mut cache = self.cache_for(&config);
        cache.by_sender.insert(key, Arc::clone(&plan), cost, (Instant::now(), age.min(left)));
        Ok(Routing::Remote(plan))
    }

    /// Finds what mail for a domain has in common on its way, whoever sends it: what
    /// [`Router::known`] and [`Router::question`] go by.
    pub async fn prepare(&self, reverse_path: &ReversePath, domain: &Domain, wish: TlsWish) {
        let config = self.config();
        let choice = choice::choose(&config, &self.machine, reverse_path, domain);
        if choice != Choice::Local {
            // It is in the cache from then on.
            let _ = self.common(&config, Question::new(domain, choice, wish)).await;
        }
    }

    // For how long the answer holds stands beside it.
    async fn common(&self, config: &Arc<Config>, question: Question) -> (Answer, Duration) {
        if let Some(known) = self.cached(config, &question) {
            return known;
        }
        let context = self.context(config, question.is_optional);
        let found = exchange::find(&context, &question.domain, &question.choice).await;
        let (answer, ttl) = match found {
            Ok(found) => {
                let ttl = found.ttl.clamp(MIN_PLAN_AGE, MAX_PLAN_AGE);
                (Ok(self.share(found, ttl)), ttl)
            }
            Err(failure) => (Err(failure), FAILURE_AGE),
        };
        let cost = 512 + question.domain.name().map_or(16, str::len);
        let mut cache = self.cache_for(config);
        cache.by_question.insert(question, answer.clone(), cost, (Instant::now(), ttl));
        drop(cache);
        (answer, ttl)
    }

    fn context<'a>(&'a self, config: &'a Config, is_optional: bool) -> exchange::Context<'a, D> {
        exchange::Context {
            config,
            dns: &self.dns,
            machine: &self.machine,
            policies: self.policies.as_ref(),
            results: self.results.as_ref(),
            is_optional,
        }
    }

    fn cached(&self, config: &Arc<Config>, question: &Question) -> Option<(Answer, Duration)> {
        let cache = self.cache_for(config);
        let (answer, left) = cache.by_question.get(question, Instant::now())?;
        Some((answer.clone(), left))
    }

    fn left_for(&self, config: &Arc<Config>, key: &BySender) -> Option<Arc<Plan>> {
        let cache = self.cache_for(config);
        cache.by_sender.get(key, Instant::now()).map(|(plan, _)| Arc::clone(plan))
    }

    // Domains with the same exchange get the very same plan.
    fn share(&self, found: exchange::Found, ttl: Duration) -> Routing {
        let now = Instant::now();
        let config = self.config();
        let mut cache = self.cache_for(&config);
        if let Some((plan, _)) = cache.by_exchange.get(&found.exchange, now) {
            return Routing::Remote(Arc::clone(plan));
        }
        let plan = Arc::new(found.plan);
        let cost = found.exchange.len() + 128 * plan.hops.len();
        cache.by_exchange.insert(found.exchange, Arc::clone(&plan), cost, (now, ttl));
        Routing::Remote(plan)
    }

    fn cache_for(&self, config: &Arc<Config>) -> MutexGuard<'_, Cache> {
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        if !Arc::ptr_eq(&cache.made_from, config) {
            cache.by_question.clear();
            cache.by_exchange.clear();
            cache.by_sender.clear();
            cache.made_from = Arc::clone(config);
        }
        cache
    }
}

impl Question {
    fn new(domain: &Domain, choice: Choice, wish: TlsWish) -> Self {
        let domain = if matches!(choice, Choice::Relay(_)) { nobody() } else { domain.clone() };
        Self { domain, choice, is_optional: wish == TlsWish::Optional, sender: None }
    }

    /// Whether it is what one sender's domain alone asks, since it matters whose mail it is.
    pub fn is_of_sender(&self) -> bool {
        self.sender.is_some()
    }
}

// The plan of which what is left depends on whose mail it is, and what that is kept under.
fn asked_by_sender<'a>(
    answer: &'a Answer,
    reverse_path: &ReversePath,
) -> Option<(&'a Arc<Plan>, BySender)> {
    let Ok(Routing::Remote(plan)) = answer else { return None };
    let exchange = plan.by_sender.as_ref()?;
    Some((plan, (Arc::clone(exchange), SpfOwner::of(reverse_path)?)))
}

// Whose domain has no say.
fn nobody() -> Domain {
    Domain::Literal(std::net::Ipv4Addr::UNSPECIFIED.into())
}

impl<D> std::fmt::Debug for Router<D> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Router")
    }
}

#[cfg(test)]
mod tests;
