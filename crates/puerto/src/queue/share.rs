//! What a line gets at best: of connections, and of the rates that hold for all nodes together.

use std::time::Duration;

use super::schedule::Bounds;
use super::work::{Kind, Work};
use crate::config::{Config, Mailbox};
use crate::deliver::share;
use crate::providers::Rate;
use crate::route::DestinationKey;

/// Connections to pseudo-destinations: one user's mailbox, and mail without a route.
const LOCAL_CEILING: usize = 2;
const UNROUTABLE_CEILING: usize = 20;

/// From one message to the next on each of so many nodes.
pub(super) fn interval(rate: Rate, nodes: u32) -> Duration {
    rate.interval() * nodes.max(1)
}

/// Where work stands in line, and what of that line may run on each of so many nodes.
pub(super) fn line(work: &Work, (config, nodes): (&Config, u32)) -> (DestinationKey, Bounds) {
    let ours = config.delivery.concurrency;
    let key = work.destination();
    match work.kind {
        // One server has all mailboxes, and bears so much.
        Kind::Local if matches!(config.local.mailbox, Mailbox::Lmtp(_)) => {
            (work.job.plan.key.clone(), Bounds::of(ours))
        }
        Kind::Local => (key, Bounds::of(LOCAL_CEILING)),
        Kind::Unroutable(_) => (key, Bounds::of(UNROUTABLE_CEILING)),
        Kind::Remote => {
            let manners = &work.job.plan.manners;
            let all_nodes = manners.connections.map_or(ours, |theirs| ours.min(theirs));
            let rates = [manners.rate, config.delivery.rate].into_iter().flatten();
            let interval = rates.map(|rate| interval(rate, nodes)).max();
            (key, Bounds { ceiling: share(all_nodes, nodes), interval, takes_turns: true })
        }
    }
}
