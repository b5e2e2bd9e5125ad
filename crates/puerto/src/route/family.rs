//! From which of our addresses a receiver is gone to that turns mail away from an address
//! without a name of its own, or for which the sender's domain does not vouch.
//!
//! Most servers have a name for IPv4 and none for IPv6, and many SPF records know of the
//! former alone; of several addresses that mail leaves from, the newest is mostly the one that
//! somebody has forgotten there. A receiver that refuses such mail does so for good, and would
//! be asked again from there as soon as it puts mail off elsewhere. So an address of ours whose
//! name is known to be missing is not used there, nor one that the SPF of whoever sends does not
//! let send, as long as there is another of which nothing is known. What the DNS does not say
//! decides nothing.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use puerto_mail::dns::{Dns, Record, RecordType, reverse_name};
use puerto_mail::spf::{self, Query, SpfResult};
use puerto_smtp::ReversePath;

use super::abreast::abreast;
use super::exchange::{Context, to_ascii};
use super::{Hop, Plan};
use crate::cause::Cause;
use crate::config::{Config, Source};
use crate::providers::{Demand, Profile};
use crate::survey::address::special;

/// Names of an address that are followed back.
const MOST_NAMES: usize = 5;
/// How long mail waits at most for what a domain's SPF says.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long what SPF says of a sender holds, and what nobody could say.
const DECIDED: Duration = Duration::from_secs(300);
const UNDECIDED: Duration = Duration::from_secs(30);

/// What is known against one of our addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Doubt {
    address: IpAddr,
    cause: Cause,
}

/// All hosts of a plan, and what is known against our addresses there: for mail that leaves
/// from another than the usual one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Guard {
    hops: Vec<Hop>,
    doubts: Vec<Doubt>,
}

/// Hosts as they are gone to from some address of ours, and what is known against those from
/// which they are not.
pub(super) type Sifted = (Vec<Hop>, Option<Cause>);

/// What is left of hosts for mail from the usual address, and what other mail goes by.
pub(super) struct Left {
    pub(super) hops: Vec<Hop>,
    pub(super) avoided: Option<Cause>,
    pub(super) guard: Option<Arc<Guard>>,
}

/// Whose SPF a receiver asks about mail (RFC 7208 §2.4).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum SpfOwner {
    /// The reverse-path's domain, in A-labels.
    Domain(Box<str>),
    /// The host, by its name in EHLO: mail without a sender is its own.
    Host,
}

impl SpfOwner {
    /// Whose it is for mail of this reverse-path. There is none for an address literal.
    pub(super) fn of(reverse_path: &ReversePath) -> Option<Self> {
        let Some(address) = reverse_path.address() else { return Some(Self::Host) };
        let name = to_ascii(address.domain().name()?).ok()?;
        Some(Self::Domain(name.into_boxed_str()))
    }

    /// Octets of its name.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Domain(name) => name.len(),
            Self::Host => 0,
        }
    }
}

impl Guard {
    /// The hosts that can be reached from a source: from addresses of which nothing is known,
    /// if it has one there.
    pub(super) fn sift(&self, source: &Source) -> Sifted {
        sift(&reached(&self.hops, source), &self.doubts, |there| source.towards(there))
    }

    /// What is known against all addresses of a source that could be used there.
    pub(super) fn against(&self, source: &Source) -> Option<&Cause> {
        let mut used = self.hops.iter().filter_map(|hop| source.towards(hop.address));
        let doubt = |address: IpAddr| self.doubts.iter().find(|doubt| doubt.address == address);
        let first = doubt(used.next()?)?;
        used.all(|address| doubt(address).is_some()).then_some(&first.cause)
    }
}

/// The hosts that a source has an address for.
pub(super) fn reached(hops: &[Hop], source: &Source) -> Vec<Hop> {
    hops.iter().filter(|hop| source.towards(hop.address).is_some()).cloned().collect()
}

/// Hosts without those that would be reached from an address that the receiver turns away, as
/// far as its name in the DNS tells.
pub(super) async fn trusted<D: Dns + 'static>(
    context: &Context<'_, D>,
    hops: Vec<Hop>,
    manners: &Profile,
) -> Left {
    let minds = manners.enforces.iter().any(|d| matches!(d, Demand::Ptr | Demand::OwnPtr));
    let ours = if minds { ours(context, &hops) } else { Vec::new() };
    let mut doubts = Vec::new();
    if ours.len() > 1 {
        let ask = |&(address, _): &(IpAddr, &str)| {
            let dns = Arc::clone(context.dns);
            async move { is_nameless(&*dns, address).await }
        };
        let nameless = abreast(ours.iter().map(ask).collect()).await;
        let found = ours.into_iter().zip(nameless).filter(|(_, nameless)| *nameless == Some(true));
        doubts.extend(found.map(|((address, _), _)| Doubt {
            address,
            cause: Cause::AddressAvoided {
                address: address.to_string(),
                receiver: manners.name.clone(),
            },
        }));
    }
    left(context, hops, doubts)
}

/// Whether it depends on whose mail it is which of these hosts are used, and from where.
pub(super) fn depends_on_sender<D>(context: &Context<'_, D>, left: &Left, minds: &Profile) -> bool {
    let proves = |demand: &Demand| {
        matches!(demand, Demand::Spf | Demand::SpfOrDkim | Demand::Dmarc | Demand::Alignment)
    };
    let hops = left.guard.as_ref().map_or(&left.hops, |guard| &guard.hops);
    minds.enforces.iter().any(proves) && ours(context, hops).len() > 1
}

/// The plan for mail of this owner, and for how long it holds: without the hosts that would
/// be reached from an address that the owner's SPF does not let send, where it lets another of
/// ours.
pub(super) async fn permitted<D: Dns + 'static>(
    context: &Context<'_, D>,
    plan: &Arc<Plan>,
    owner: &SpfOwner,
) -> (Arc<Plan>, Duration) {
    let undecided = || (Arc::clone(plan), UNDECIDED);
    let (hops, mut doubts) = match plan.guard.as_deref() {
        Some(guard) => (&guard.hops, guard.doubts.clone()),
        None => (&plan.hops, Vec::new()),
    };
    let ours = ours(context, hops);
    let asked = ours.iter().map(|&(address, helo)| {
        let domain = match owner {
            SpfOwner::Domain(domain) => domain.to_string(),
            SpfOwner::Host => to_ascii(helo).unwrap_or_default(),
        };
        let (dns, helo) = (Arc::clone(context.dns), helo.to_owned());
        async move {
            let query = Query::mail_from_text(address, &helo, &domain);
            let result = spf::check(&*dns, &query).await.result;
            (address, domain, result)
        }
    });
    let Ok(answers) = tokio::time::timeout(PATIENCE, abreast(asked.collect())).await else {
        return undecided();
    };
    let (mut age, known) = (DECIDED, doubts.len());
    for (address, domain, result) in answers.into_iter().flatten() {
        if result == SpfResult::TempError {
            age = UNDECIDED;
        }
        if is_refusal(result) && doubts.iter().all(|doubt| doubt.address != address) {
            let (address_text, receiver) = (address.to_string(), plan.manners.name.clone());
            let cause = Cause::AddressNotPermitted { address: address_text, domain, receiver };
            doubts.push(Doubt { address, cause });
        }
    }
    if doubts.len() == known {
        return (Arc::clone(plan), age);
    }
    let Left { hops, avoided, guard } = left(context, hops.clone(), doubts);
    let made = Plan { hops, avoided, guard, by_sender: None, ..Plan::clone(plan) };
    (Arc::new(made), age)
}

// What a domain's owner has published about an address that may not send, or has published
// wrongly; receivers that want SPF to pass take none of these for that.
fn is_refusal(result: SpfResult) -> bool {
    use SpfResult::{Fail, Neutral, PermError, SoftFail};
    matches!(result, Fail | SoftFail | Neutral | PermError)
}

// The addresses from which mail may go to these hosts, each with its name in EHLO, if others see
// them: what is translated on its way is not known. Where the sources are for all mail, none
// leaves from the usual address.
fn ours<'a, D>(context: &Context<'a, D>, hops: &[Hop]) -> Vec<(IpAddr, &'a str)> {
    let config = context.config;
    let first = |v6: bool| hops.iter().map(|hop| hop.address).find(|there| there.is_ipv6() == v6);
    let towards: Vec<SocketAddr> = [first(false), first(true)].into_iter().flatten().collect();
    let mut ours: Vec<(IpAddr, &str)> = Vec::new();
    let mut add = |helo: &'a str, leaves: &Leaves<'_>| {
        for address in towards.iter().filter_map(|there| leaves(*there)) {
            if is_seen(config, address) && ours.iter().all(|(known, _)| *known != address) {
                ours.push((address, helo));
            }
        }
    };
    if config.sources.iter().all(Source::is_for_some) {
        add(&config.delivery.helo, &|there| usual(context, there));
    }
    for source in &config.sources {
        add(&source.helo, &|there| source.towards(there));
    }
    ours
}

// From which address of ours one there is reached.
type Leaves<'a> = dyn Fn(SocketAddr) -> Option<IpAddr> + 'a;

fn usual<D>(context: &Context<'_, D>, there: SocketAddr) -> Option<IpAddr> {
    let delivery = &context.config.delivery;
    let bound = match there {
        SocketAddr::V4(_) => delivery.bind_ipv4.map(IpAddr::V4),
        SocketAddr::V6(_) => delivery.bind_ipv6.map(IpAddr::V6),
    };
    bound.or_else(|| (context.machine.source)(there))
}

pub(super) fn is_seen(config: &Config, address: IpAddr) -> bool {
    special(address).is_none() || config.delivery.allow_private
}

fn left<D>(context: &Context<'_, D>, all: Vec<Hop>, doubts: Vec<Doubt>) -> Left {
    if doubts.is_empty() {
        return Left { hops: all, avoided: None, guard: None };
    }
    let (hops, avoided) = sift(&all, &doubts, |there| usual(context, there));
    let guard = Guard { hops: all, doubts };
    let guard = (!context.config.sources.is_empty()).then(|| Arc::new(guard));
    Left { hops, avoided, guard }
}

// Where something is known against all, nothing is to be gained.
fn sift(hops: &[Hop], doubts: &[Doubt], leaves: impl Fn(SocketAddr) -> Option<IpAddr>) -> Sifted {
    let doubt = |hop: &Hop| {
        let ours = leaves(hop.address)?;
        doubts.iter().find(|doubt| doubt.address == ours)
    };
    let sound: Vec<Hop> = hops.iter().filter(|hop| doubt(hop).is_none()).cloned().collect();
    if sound.is_empty() {
        return (hops.to_vec(), None);
    }
    (sound, hops.iter().find_map(doubt).map(|doubt| doubt.cause.clone()))
}

// Whether it is known that no name of an address leads back to it.
async fn is_nameless<D: Dns>(dns: &D, ours: IpAddr) -> bool {
    let names = match dns.lookup(&reverse_name(ours), RecordType::Ptr).await {
        Ok(answer) => answer.records,
        Err(error) => return error.is_absence(),
    };
    let kind = if ours.is_ipv4() { RecordType::A } else { RecordType::Aaaa };
    for name in names.into_iter().filter_map(Record::into_name).take(MOST_NAMES) {
        match dns.lookup(&name, kind).await {
            Ok(answer) if answer.records.contains(&Record::Address(ours)) => return false,
            Err(error) if !error.is_absence() => return false,
            _ => {}
        }
    }
    true
}
