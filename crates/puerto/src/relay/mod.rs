//! What a relayhost means here, and whether it takes our mail: `puerto relay test`.
//!
//! Where the mail would go is asked of `route` and how it would get there of
//! `deliver`, so that what is shown is what the server does. Nothing is sent, unless
//! somebody names an address to send to.

mod json;
mod letter;
mod problem;
mod show;
#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::sync::Arc;

use puerto_mail::dns::{Dns, Record, RecordType};
use puerto_smtp::{Address, Domain, ReversePath};
use tokio::task::JoinSet;

use crate::config::{Config, Live, NextHop, NextHopHost};
use crate::deliver::probe::{self, Sight, Wish};
use crate::deliver::{Outcome, Remote};
use crate::route::{Machine, Plan, RouteFailure, Router, Routing};
use crate::tls::ClientTls;
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
    /// A look-up failed, so that nothing can be concluded from what is missing.
    pub uncertain: bool,
}

/// What became of a message that was really sent.
#[derive(Debug)]
pub struct Sent {
    /// To whom.
    pub to: Address,
    /// The relay's answer.
    pub outcome: Outcome,
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
        self.plan.is_err() && self.names.as_ref().is_some_and(|names| names.uncertain)
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
    let sights = match &plan {
        Ok(plan) => look_at_all(&config, &client_tls, plan, &sender).await,
        Err(_) => Vec::new(),
    };
    let sent = match (&plan, question.send_to) {
        (Ok(plan), Some(to)) => {
            let remote = Remote::new(Live::new(Config::clone(&config)), client_tls);
            let job = letter::job(&config, plan, &sender, to.clone(), question.now);
            let report = remote.deliver(&job).await;
            remote.close().await;
            report.outcomes.into_iter().next().map(|outcome| Sent { to, outcome })
        }
        _ => None,
    };
    let next_hop = question.next_hop;
    let mut report = Report { next_hop, names, sender, plan, sights, sent, problems: Vec::new() };
    report.problems = problem::find(&report, question.now);
    report
}

// The relayhost's login is for the relayhost that is configured and nobody else.
fn with_relayhost(question: &Question) -> Config {
    let mut config = question.config.clone();
    let is_configured = config.relayhost.as_ref() == Some(&question.next_hop);
    let route = config.routes.iter().find(|route| route.via.as_ref() == Some(&question.next_hop));
    if let Some(route) = route.filter(|_| !is_configured) {
        config.relayhost_login = route.login.clone();
        config.delivery.tls = route.tls;
    } else if !is_configured {
        config.relayhost_login = None;
    }
    config.relayhost = Some(question.next_hop.clone());
    config.routes.clear();
    config
}

/// From whom mail of this machine is, if nobody says: the postmaster of its first
/// domain. `None` if the configuration names no domain that can stand in an address.
pub fn postmaster(config: &Config) -> Option<Address> {
    let domain = config.domains.first().map(ToString::to_string);
    let domain = domain.as_ref().unwrap_or(&config.hostname);
    Address::parse(&format!("postmaster@{domain}")).ok()
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
            text: "the mail would stay on this machine".to_owned(),
        }),
    }
}

async fn look_at_all(
    config: &Arc<Config>,
    client_tls: &ClientTls,
    plan: &Arc<Plan>,
    sender: &Address,
) -> Vec<Sight> {
    let wish = |reverse_path| Wish { reverse_path, recipient: sender.clone() };
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
    let (NextHopHost::Mx(name) | NextHopHost::Name(name)) = &next_hop.host else { return None };
    let name = idna::domain_to_ascii(name).unwrap_or_else(|_| name.clone());
    let mut found = Names::default();
    for record in found.look_up(dns, &name, RecordType::Mx).await {
        if let Record::Mx(preference, host) = record {
            found.exchangers.push((preference, host));
        }
    }
    found.exchangers.sort();
    found.addresses = found.addresses_of(dns, &name).await;
    if let Some((_, best)) = found.exchangers.first().cloned() {
        found.exchanger_addresses = found.addresses_of(dns, &best).await;
    }
    Some(found)
}

impl Names {
    async fn look_up<D: Dns>(&mut self, dns: &D, name: &str, kind: RecordType) -> Vec<Record> {
        match dns.lookup(name, kind).await {
            Ok(answer) => answer.records,
            Err(error) => {
                self.uncertain |= !error.is_absence();
                Vec::new()
            }
        }
    }

    async fn addresses_of<D: Dns>(&mut self, dns: &D, name: &str) -> Vec<IpAddr> {
        let mut found = Vec::new();
        for kind in [RecordType::A, RecordType::Aaaa] {
            for record in self.look_up(dns, name, kind).await {
                if let Record::Address(ip) = record {
                    found.push(ip);
                }
            }
        }
        found.sort();
        found
    }
}
