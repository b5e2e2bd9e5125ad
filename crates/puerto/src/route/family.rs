//! Which address family is used towards a receiver that turns mail away from an address
//! without a name of its own, or for which the sender's domain does not vouch.
//!
//! Most servers have a name for IPv4 and none for IPv6, and many SPF records know of the
//! former alone. A receiver that refuses such mail does so for good, and would be asked over
//! IPv6 as soon as it puts mail off over IPv4. So an address of ours whose name is known to
//! be missing is not used there, nor one that the SPF of whoever sends does not let send, as
//! long as the other family is right. What the DNS does not say decides nothing.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use puerto_mail::dns::{Dns, Record, RecordType, reverse_name};
use puerto_mail::spf::{self, Query, SpfResult};
use puerto_smtp::ReversePath;

use super::exchange::{Context, to_ascii};
use super::{Hop, Plan};
use crate::cause::Cause;
use crate::config::Config;
use crate::providers::{Demand, Profile};
use crate::survey::address::special;

/// Names of an address that are followed back.
const MOST_NAMES: usize = 5;
/// How long mail waits at most for what a domain's SPF says.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long what SPF says of a sender holds, and what nobody could say.
const DECIDED: Duration = Duration::from_secs(300);
const UNDECIDED: Duration = Duration::from_secs(30);

/// Hosts without those that would be reached from an address that the receiver turns away,
/// and why, if there are such.
pub(super) async fn trusted<D: Dns>(
    context: &Context<'_, D>,
    hops: Vec<Hop>,
    manners: &Profile,
) -> (Vec<Hop>, Option<Cause>) {
    let minds = manners.enforces.iter().any(|d| matches!(d, Demand::Ptr | Demand::OwnPtr));
    let Some((v4, v6)) = both(&hops).filter(|_| minds) else { return (hops, None) };
    for (there, other) in [(v6, v4), (v4, v6)] {
        if let Some(address) = nameless(context, there).await {
            if nameless(context, other).await.is_some() {
                return (hops, None);
            }
            let left = of_family(&hops, other);
            let cause = Cause::AddressAvoided {
                address: address.to_string(),
                receiver: manners.name.clone(),
            };
            return (left, Some(cause));
        }
    }
    (hops, None)
}

/// Whether it depends on whose mail it is which of these hosts are used.
pub(super) fn depends_on_sender(hops: &[Hop], manners: &Profile) -> bool {
    let proves = |demand: &Demand| {
        matches!(demand, Demand::Spf | Demand::SpfOrDkim | Demand::Dmarc | Demand::Alignment)
    };
    manners.enforces.iter().any(proves) && both(hops).is_some()
}

/// Whose SPF a receiver asks about mail of this reverse-path (RFC 7208 §2.4), in A-labels.
/// There is none for an address literal.
pub(super) fn spf_domain(config: &Config, reverse_path: &ReversePath) -> Option<Box<str>> {
    let name = match reverse_path.address() {
        Some(address) => address.domain().name()?,
        None => &config.delivery.helo,
    };
    to_ascii(name).ok().map(String::into_boxed_str)
}

/// The plan for mail of this domain, and for how long it holds: without the hosts that would
/// be reached from an address that the domain's SPF does not let send, where it lets ours of
/// the other family.
pub(super) async fn permitted<D: Dns>(
    context: &Context<'_, D>,
    plan: &Arc<Plan>,
    domain: &str,
) -> (Arc<Plan>, Duration) {
    let undecided = || (Arc::clone(plan), UNDECIDED);
    let Some((v4, v6)) = both(&plan.hops) else { return undecided() };
    let (Some(ours_v4), Some(ours_v6)) = (source(context, v4), source(context, v6)) else {
        return undecided();
    };
    let (dns, helo) = (&**context.dns, &context.config.delivery.helo);
    let ask = async |ours| spf::check(dns, &Query::mail_from_text(ours, helo, domain)).await.result;
    let asked = async { tokio::join!(ask(ours_v4), ask(ours_v6)) };
    let Ok((by_v4, by_v6)) = tokio::time::timeout(PATIENCE, asked).await else {
        return undecided();
    };
    let (avoided, used) = match (by_v4, by_v6) {
        (SpfResult::Pass, by_v6) if is_refusal(by_v6) => (ours_v6, v4),
        (by_v4, SpfResult::Pass) if is_refusal(by_v4) => (ours_v4, v6),
        (SpfResult::TempError, _) | (_, SpfResult::TempError) => return undecided(),
        _ => return (Arc::clone(plan), DECIDED),
    };
    let cause = Cause::AddressNotPermitted {
        address: avoided.to_string(),
        domain: domain.to_owned(),
        receiver: plan.manners.name.clone(),
    };
    let hops = of_family(&plan.hops, used);
    let left = Plan { hops, avoided: Some(cause), by_sender: None, ..Plan::clone(plan) };
    (Arc::new(left), DECIDED)
}

// What a domain's owner has published about an address that may not send, or has published
// wrongly; receivers that want SPF to pass take none of these for that.
fn is_refusal(result: SpfResult) -> bool {
    use SpfResult::{Fail, Neutral, PermError, SoftFail};
    matches!(result, Fail | SoftFail | Neutral | PermError)
}

// An address of each family, IPv4 first, if there are both.
fn both(hops: &[Hop]) -> Option<(SocketAddr, SocketAddr)> {
    let first = |v6: bool| hops.iter().map(|hop| hop.address).find(|there| there.is_ipv6() == v6);
    first(false).zip(first(true))
}

fn of_family(hops: &[Hop], there: SocketAddr) -> Vec<Hop> {
    hops.iter().filter(|hop| hop.address.is_ipv6() == there.is_ipv6()).cloned().collect()
}

// The address of ours from which one there is reached, if others see it: what is translated
// on its way is not known.
fn source<D>(context: &Context<'_, D>, there: SocketAddr) -> Option<IpAddr> {
    let delivery = &context.config.delivery;
    let bound = match there {
        SocketAddr::V4(_) => delivery.bind_ipv4.map(IpAddr::V4),
        SocketAddr::V6(_) => delivery.bind_ipv6.map(IpAddr::V6),
    };
    let ours = bound.or_else(|| (context.machine.source)(there))?;
    (special(ours).is_none() || delivery.allow_private).then_some(ours)
}

// The address of ours from which one there is reached, if it is known to have no name that
// leads back to it.
async fn nameless<D: Dns>(context: &Context<'_, D>, there: SocketAddr) -> Option<IpAddr> {
    let ours = source(context, there)?;
    let names = match context.dns.lookup(&reverse_name(ours), RecordType::Ptr).await {
        Ok(answer) => answer.records,
        Err(error) => return error.is_absence().then_some(ours),
    };
    let kind = if ours.is_ipv4() { RecordType::A } else { RecordType::Aaaa };
    for name in names.into_iter().filter_map(Record::into_name).take(MOST_NAMES) {
        match context.dns.lookup(&name, kind).await {
            Ok(answer) if answer.records.contains(&Record::Address(ours)) => return None,
            Err(error) if !error.is_absence() => return None,
            _ => {}
        }
    }
    Some(ours)
}
