//! What a relayhost means here, and whether it takes our mail: `puerto relay test`.
//!
//! Where the mail would go is asked of `route` and how it would get there of
//! `deliver`, so that what is shown is what the server does. Nothing is sent, unless
//! somebody names an address to send to.

mod host;
mod json;
mod letter;
mod problem;
mod show;
#[cfg(test)]
mod tests;
mod trouble;

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use puerto_mail::dns::{Dns, DnsError, Record, RecordType};
use puerto_smtp::{Address, Domain, ReversePath};
use tokio::task::JoinSet;

use crate::cause::Cause;
use crate::config::{Config, Live, Login, NextHop, NextHopHost, TlsLevel};
use crate::deliver::probe::{self, Sight, Wish};
use crate::deliver::{Outcome, Remote};
use crate::lang::Said;
use crate::route::{Machine, Plan, RouteFailure, Router, Routing};
use crate::survey::relayhost;
use crate::tls::{ClientTls, KnownKeys};
pub use problem::{Problem, Weight};
pub use show::show;

/// What is to be tested.
#[derive(Debug, Clone)]
pub struct Question {
    /// The configuration.
    pub config: Config,
    /// The relayhost.
    pub next_hop: NextHop,
    /// From whom the mail would be.
    pub sender: Address,
    /// To whom it would be; without it, to whom it is sent, or else the sender.
    pub recipient: Option<Address>,
    /// To whom a message is really sent.
    pub send_to: Option<Address>,
    /// Seconds since the epoch.
    pub now: i64,
}

/// What a bare name and the same name in brackets would lead to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Names {
    /// Its MX records, the best first.
    pub exchangers: Vec<(u16, String)>,
    /// The addresses of the best of them.
    pub exchanger_addresses: Vec<IpAddr>,
    /// Its own addresses.
    pub addresses: Vec<IpAddr>,
    /// A look-up that matters failed, so that nothing can be concluded from what is
    /// missing.
    pub uncertain: Option<DnsError>,
    /// Why it has no address of its own, if it has none.
    pub absence: Option<DnsError>,
}

/// What became of a message that was really sent.
#[derive(Debug)]
pub struct Sent {
    /// To whom.
    pub to: Address,
    /// What the relay did with it; `None` if it was kept back, since no host would have
    /// taken it.
    pub outcome: Option<Outcome>,
}

/// What was found out.
#[derive(Debug)]
pub struct Report {
    /// The relayhost.
    pub next_hop: NextHop,
    /// Both meanings of its name; `None` for an address.
    pub names: Option<Names>,
    /// From whom the mail would be.
    pub sender: Address,
    /// Where it would go.
    pub plan: Result<Arc<Plan>, RouteFailure>,
    /// What was seen of each address.
    pub sights: Vec<Sight>,
    /// Octets of a message that this server takes.
    pub message_size: u64,
    /// Where the keys of relays are kept that a password was sent to.
    pub keys_file: PathBuf,
    /// What became of the message that was sent.
    pub sent: Option<Sent>,
    /// What is wrong, the worst first.
    pub problems: Vec<Problem>,
}

impl Report {
    /// Whether something is wrong that keeps mail from arriving.
    pub fn is_wrong(&self) -> bool {
        self.problems.iter().any(|problem| problem.weight == Weight::Error)
    }

    /// Whether nothing could be tested, since the DNS did not answer.
    pub fn is_uncertain(&self) -> bool {
        self.plan.is_err() && self.names.as_ref().is_some_and(|names| names.uncertain.is_some())
    }
}

/// Tests a relayhost.
pub async fn test<D: Dns + 'static>(
    dns: Arc<D>,
    machine: Machine,
    client_tls: ClientTls,
    question: Question,
) -> Report {
    let names = names(&*dns, &question.next_hop).await;
    let config = Arc::new(with_relayhost(&question));
    let sender = question.sender.clone();
    let plan = plan(dns, machine, &config).await;
    let recipient = question.recipient.as_ref().or(question.send_to.as_ref()).unwrap_or(&sender);
    let sights = match &plan {
        Ok(plan) => look_at_all(&config, &client_tls, plan, (&sender, recipient)).await,
        Err(_) => Vec::new(),
    };
    let mut report = Report {
        next_hop: question.next_hop,
        names,
        sender,
        plan,
        sights,
        message_size: config.limits.message_size,
        keys_file: KnownKeys::file(&config.state_dir),
        sent: None,
        problems: Vec::new(),
    };
    if let Some(to) = question.send_to {
        let outcome = send(&config, client_tls, &report, &to, question.now).await;
        report.sent = Some(Sent { to, outcome });
    }
    report.problems = problem::find(&report, question.now);
    report
}

// What no host would take is not sent: the refusal is known already.
async fn send(
    config: &Arc<Config>,
    client_tls: ClientTls,
    report: &Report,
    to: &Address,
    now: i64,
) -> Option<Outcome> {
    let plan = report.plan.as_ref().ok()?;
    report.sights.iter().find(|sight| host::takes_mail(report, sight))?;
    let remote = Remote::new(Live::new(Config::clone(config)), client_tls);
    let job = letter::job(config, plan, &report.sender, to.clone(), now);
    let delivered = remote.deliver(&job).await;
    remote.close().await;
    delivered.outcomes.into_iter().next()
}

/// The relayhosts of a configuration, each with its login and level of TLS.
fn configured(config: &Config) -> impl Iterator<Item = (&NextHop, Option<&Login>, TlsLevel)> {
    let of_all = (config.relayhost.as_ref(), config.relayhost_login.as_ref(), config.delivery.tls);
    let of_routes = config.routes.iter().map(|r| (r.via.as_ref(), r.login.as_ref(), r.tls));
    std::iter::once(of_all)
        .chain(of_routes)
        .filter_map(|(hop, login, tls)| Some((hop?, login, tls)))
}

/// The relayhost that is meant by `written`: a configured one, however it is spelt, or else
/// what is written.
pub fn meant(written: &str, config: &Config) -> Result<NextHop, Said> {
    let hop = NextHop::parse(written)?;
    if configured(config).any(|(known, ..)| *known == hop) {
        return Ok(hop);
    }
    Ok(configured(config).find_map(|(known, ..)| known.as_written(written)).unwrap_or(hop))
}

/// The configured relayhosts with a login of their own, where `hop` is none of them: the
/// login is not for it.
pub fn logins_of_others(hop: &NextHop, config: &Config) -> Vec<NextHop> {
    if login_for(hop, config).is_some() {
        return Vec::new();
    }
    let with_login = configured(config).filter(|(_, login, _)| login.is_some());
    with_login.map(|(known, ..)| known.clone()).collect()
}

// A login is for the relayhost that it is configured for and nobody else: with brackets
// added that is the same host, found by less.
fn login_for<'a>(hop: &NextHop, config: &'a Config) -> Option<(Option<&'a Login>, TlsLevel)> {
    let exact = configured(config).find(|(known, ..)| *known == hop);
    let found = exact.or_else(|| {
        configured(config).find(|(known, ..)| known.in_brackets().as_ref() == Some(hop))
    });
    found.map(|(_, login, tls)| (login, tls))
}

fn with_relayhost(question: &Question) -> Config {
    let mut config = question.config.clone();
    let found = login_for(&question.next_hop, &question.config);
    config.relayhost_login = found.and_then(|(login, _)| login.cloned());
    config.delivery.tls = found.map_or(config.delivery.tls, |(_, tls)| tls);
    config.relayhost = Some(question.next_hop.clone());
    config.routes.clear();
    config
}

async fn plan<D: Dns + 'static>(
    dns: Arc<D>,
    machine: Machine,
    config: &Arc<Config>,
) -> Result<Arc<Plan>, RouteFailure> {
    let router = Router::on_machine(Live::new(Config::clone(config)), dns, machine);
    // Any domain that is not ours: the relayhost is for all of them.
    let elsewhere = Domain::Name("elsewhere.invalid".into());
    match router.route(&ReversePath::Null, &elsewhere).await? {
        Routing::Remote(plan) => Ok(plan),
        Routing::Local => Err(RouteFailure {
            code: puerto_smtp::EnhancedCode::new(5, 3, 5),
            cause: Cause::StaysHere {},
        }),
    }
}

async fn look_at_all(
    config: &Arc<Config>,
    client_tls: &ClientTls,
    plan: &Arc<Plan>,
    (sender, recipient): (&Address, &Address),
) -> Vec<Sight> {
    let wish = |reverse_path| Wish { reverse_path, recipient: recipient.clone() };
    let wishes = Arc::new([wish(ReversePath::Address(sender.clone())), wish(ReversePath::Null)]);
    let mut looks = JoinSet::new();
    for (index, hop) in plan.hops.iter().cloned().enumerate() {
        let (config, plan, wishes) = (Arc::clone(config), Arc::clone(plan), Arc::clone(&wishes));
        let client_tls = client_tls.clone();
        looks.spawn(async move {
            (index, probe::look(&config, &client_tls, &plan, &hop, &*wishes).await)
        });
    }
    let mut sights = looks.join_all().await;
    sights.sort_by_key(|(index, _)| *index);
    sights.into_iter().map(|(_, sight)| sight).collect()
}

async fn names<D: Dns>(dns: &D, next_hop: &NextHop) -> Option<Names> {
    let name = relayhost::ascii(next_hop.host.name()?);
    let mut found = Names::default();
    let is_bare = matches!(next_hop.host, NextHopHost::Mx(_));
    let (records, missing) = look_up(dns, &name, RecordType::Mx).await;
    // In brackets the MX records are shown, but do not matter.
    found.uncertain = missing.filter(|error| is_bare && !error.is_absence());
    for record in records {
        if let Record::Mx(preference, host) = record {
            found.exchangers.push((preference, host));
        }
    }
    found.exchangers.sort();
    let own = addresses_of(dns, &name).await;
    let best = match found.exchangers.first() {
        Some((_, best)) if is_bare && !best.is_empty() => Some(addresses_of(dns, best).await),
        _ => None,
    };
    let asked = best.as_ref().unwrap_or(&own);
    let failed = asked.1.clone().filter(|error| asked.0.is_empty() && !error.is_absence());
    found.uncertain = found.uncertain.or(failed);
    (found.addresses, found.absence) = own;
    found.exchanger_addresses = best.map(|(addresses, _)| addresses).unwrap_or_default();
    Some(found)
}

async fn look_up<D: Dns>(dns: &D, name: &str, kind: RecordType) -> (Vec<Record>, Option<DnsError>) {
    match dns.lookup(name, kind).await {
        Ok(answer) => (answer.records, None),
        Err(error) => (Vec::new(), Some(error)),
    }
}

// With why there are none, a failed look-up before an absence.
async fn addresses_of<D: Dns>(dns: &D, name: &str) -> (Vec<IpAddr>, Option<DnsError>) {
    let (mut found, mut missing) = (Vec::new(), None);
    for kind in [RecordType::A, RecordType::Aaaa] {
        let (records, error) = look_up(dns, name, kind).await;
        found.extend(records.into_iter().filter_map(Record::into_address));
        missing = match (missing, error) {
            (Some(DnsError::NoRecords | DnsError::NoSuchDomain) | None, Some(error)) => Some(error),
            (missing, _) => missing,
        };
    }
    found.sort();
    (found, missing)
}
