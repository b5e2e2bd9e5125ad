//! Which address family is used towards a receiver that turns mail away from an address
//! without a name of its own.
//!
//! Most servers have such a name for IPv4 and none for IPv6. A receiver that refuses the
//! latter does so for good, and would be asked over IPv6 as soon as it puts mail off over
//! IPv4. So an address of ours whose name is known to be missing is not used there, as long
//! as the other family is left.

use std::net::{IpAddr, SocketAddr};

use puerto_mail::dns::{Dns, Record, RecordType, reverse_name};

use super::Hop;
use super::exchange::Context;
use crate::cause::Cause;
use crate::providers::{Demand, Profile};
use crate::survey::address::special;

/// Names of an address that are followed back.
const MOST_NAMES: usize = 5;

/// Hosts without those that would be reached from an address that the receiver turns away,
/// and why, if there are such.
pub(super) async fn trusted<D: Dns>(
    context: &Context<'_, D>,
    hops: Vec<Hop>,
    manners: &Profile,
) -> (Vec<Hop>, Option<Cause>) {
    let minds = manners.enforces.iter().any(|d| matches!(d, Demand::Ptr | Demand::OwnPtr));
    let has = |v6: bool| hops.iter().find(|hop| hop.address.is_ipv6() == v6).map(|hop| hop.address);
    let (Some(v4), Some(v6)) = (has(false), has(true)) else { return (hops, None) };
    if !minds {
        return (hops, None);
    }
    for (there, other) in [(v6, v4), (v4, v6)] {
        if let Some(address) = nameless(context, there).await {
            if nameless(context, other).await.is_some() {
                return (hops, None);
            }
            let is_used = |hop: &Hop| hop.address.is_ipv6() == other.is_ipv6();
            let left = hops.into_iter().filter(is_used).collect();
            let cause = Cause::AddressAvoided {
                address: address.to_string(),
                receiver: manners.name.clone(),
            };
            return (left, Some(cause));
        }
    }
    (hops, None)
}

// The address of ours from which one there is reached, if it is known to have no name that
// leads back to it. What is translated on its way is not known.
async fn nameless<D: Dns>(context: &Context<'_, D>, there: SocketAddr) -> Option<IpAddr> {
    let delivery = &context.config.delivery;
    let bound = match there {
        SocketAddr::V4(_) => delivery.bind_ipv4.map(IpAddr::V4),
        SocketAddr::V6(_) => delivery.bind_ipv6.map(IpAddr::V6),
    };
    let ours = bound.or_else(|| (context.machine.source)(there))?;
    if special(ours).is_some() && !delivery.allow_private {
        return None;
    }
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
