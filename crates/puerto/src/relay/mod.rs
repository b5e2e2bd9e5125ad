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

use std::path::PathBuf;
use std::sync::Arc;

use puerto_mail::dns::Dns;
use puerto_mail::together::together;
use puerto_smtp::{Address, Domain, ReversePath};

use crate::cause::Cause;
use crate::config::{Config, Live, NextHop};
use crate::deliver::probe::{self, Sight, Wish};
use crate::deliver::{Outcome, Remote};
use crate::finding::Severity;
use crate::route::{Machine, Plan, RouteFailure, Router, Routing};
use crate::survey::relayhost::{self, Names};
use crate::tls::{ClientTls, KnownKeys};
use crate::transport::sts::Policies;
pub use problem::Problem;
pub use show::show;

/// What is to be tested.
#[derive(Debug, Clone)]
pub struct Question {
    /// The server's own, from which login, keys and bounds are taken.
    pub config: Config,
    /// The relayhost, which need not be the configured one.
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

/// What became of a message that was really sent.
#[derive(Debug)]
pub struct Sent {
    /// To whom.
    pub to: Address,
    /// What the relay did with it; `None` if it was kept back, since no host would have
    /// taken it.
    pub outcome: Option<Outcome>,
}

/// What was found out: facts first, and in `problems` what they come to.
#[derive(Debug)]
pub struct Report {
    /// As it was asked for.
    pub next_hop: NextHop,
    /// What stands at its name; `None` for an address.
    pub names: Option<Names>,
    /// From whom the mail would be.
    pub sender: Address,
    /// Where the server itself would bring mail, by its own router.
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
        self.problems.iter().any(|problem| problem.finding.severity == Severity::Error)
    }

    /// Whether nothing could be tested, since the DNS did not answer.
    pub fn is_uncertain(&self) -> bool {
        let failure = self.plan.as_ref().err().map(|failure| problem::of_rule(&failure.cause));
        matches!(failure, Some(Cause::ExchangersUnknown { .. } | Cause::AddressUnknown { .. }))
    }
}

/// Tests a relayhost as this machine would use it, with the configuration's own login
/// where the relayhost is one that has one. Without policies no MTA-STS policy is obeyed.
pub async fn test<D: Dns + 'static>(
    dns: Arc<D>,
    (machine, policies): (Machine, Option<Policies>),
    client_tls: ClientTls,
    question: Question,
) -> Report {
    let names = relayhost::names(&*dns, &question.next_hop).await;
    let config = Arc::new(with_relayhost(&question));
    let sender = question.sender.clone();
    let plan = plan(dns, (machine, policies), &config).await;
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
    report.sights.iter().find(|sight| host::takes_mail(sight))?;
    let remote = Remote::new(Live::new(Config::clone(config)), client_tls);
    let job = letter::job(config, plan, &report.sender, to.clone(), now);
    let delivered = remote.deliver(&job).await;
    remote.close().await;
    delivered.outcomes.into_iter().next()
}

fn with_relayhost(question: &Question) -> Config {
    let mut config = question.config.clone();
    let known = question.config.relay_of(&question.next_hop);
    config.relayhost_login = known.and_then(|relay| relay.login.cloned());
    config.delivery.tls = known.map_or(config.delivery.tls, |relay| relay.tls);
    config.relayhost = Some(question.next_hop.clone());
    config.routes.clear();
    config
}

async fn plan<D: Dns + 'static>(
    dns: Arc<D>,
    (machine, policies): (Machine, Option<Policies>),
    config: &Arc<Config>,
) -> Result<Arc<Plan>, RouteFailure> {
    let router = Router::on_machine(Live::new(Config::clone(config)), dns, machine);
    let router = match policies {
        Some(policies) => router.obeying(policies),
        None => router,
    };
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

// All at the same time: a host that keeps silent is waited for once.
async fn look_at_all(
    config: &Config,
    client_tls: &ClientTls,
    plan: &Plan,
    (sender, recipient): (&Address, &Address),
) -> Vec<Sight> {
    let wish = |reverse_path| Wish { reverse_path, recipient: recipient.clone() };
    let wishes = [wish(ReversePath::Address(sender.clone())), wish(ReversePath::Null)];
    let hops = plan.hops.iter();
    together(hops.map(|hop| probe::look(config, client_tls, plan, hop, &wishes))).await
}
