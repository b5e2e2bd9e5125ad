//! A job together with the leases that it settles.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use puerto_smtp::Domain;
use puerto_spool::{
    Disposition, Lease, LeaseToken, LeasedRecipient, Origin, Renewed, Settlement, Timestamp,
};
use tokio::time::Instant;

use super::schedule::Schedulable;
use crate::config::TlsLevel;
use crate::deliver::{Body, Ending, Job};
use crate::local;
use crate::route::{DestinationKey, Plan, RouteFailure, Routing};

/// Recipients of one job at most; the deliverer splits it by what the peer takes.
const MAX_RECIPIENTS: usize = 1000;

/// How the lines of users begin.
pub(super) const USERS: &str = "local/";

/// How the work is done.
#[derive(Debug, Clone)]
pub(super) enum Kind {
    /// By another host.
    Remote,
    /// By this machine's mailboxes.
    Local,
    /// Not at all: there is no way.
    Unroutable(RouteFailure),
}

/// A lease as its job holds it: the right, and how many of the job's recipients it
/// covers. Leases stand in the order of the recipients.
#[derive(Debug, Clone, Copy)]
pub(super) struct Held {
    pub(super) token: LeaseToken,
    pub(super) recipients: usize,
}

/// One message for one destination, with what settles it.
pub(super) struct Work {
    pub(super) job: Job,
    pub(super) kind: Kind,
    pub(super) leases: Vec<Held>,
    pub(super) delay_notified: bool,
    /// Where the message came from.
    pub(super) origin: Origin,
    /// When its oldest lease was handed out.
    pub(super) claimed: Instant,
    fresh: bool,
}

static LOCAL_PLAN: LazyLock<Arc<Plan>> = LazyLock::new(|| pseudo_plan("local"));
static ERROR_PLAN: LazyLock<Arc<Plan>> = LazyLock::new(|| pseudo_plan("error"));

fn pseudo_plan(name: &str) -> Arc<Plan> {
    Arc::new(Plan::direct(name, Vec::new(), TlsLevel::None))
}

impl Work {
    /// Makes work of a lease once it is known where it goes. It is boxed, since it goes through
    /// many hands in a line.
    pub(super) fn new(
        lease: Lease,
        routing: Result<Routing, RouteFailure>,
        body: Arc<dyn Body>,
    ) -> Box<Self> {
        let (plan, kind) = match routing {
            Ok(Routing::Remote(plan)) => (plan, Kind::Remote),
            Ok(Routing::Local) => (Arc::clone(&LOCAL_PLAN), Kind::Local),
            Err(failure) => (Arc::clone(&ERROR_PLAN), Kind::Unroutable(failure)),
        };
        let held = Held { token: lease.token, recipients: lease.recipients.len() };
        let fresh = lease.recipients.iter().all(|recipient| recipient.attempts == 0);
        let job = Job {
            id: lease.token.id,
            plan,
            reverse_path: lease.reverse_path,
            recipients: lease.recipients,
            envelope_id: lease.envelope_id,
            ret: lease.ret,
            verp: lease.verp,
            eight_bit: lease.eight_bit,
            smtputf8: lease.smtputf8,
            tls: lease.tls,
            bulk: lease.bulk,
            received_at: lease.received_at,
            in_queue: Duration::ZERO,
            ending: Ending::default(),
            body,
        };
        Box::new(Self {
            job,
            kind,
            leases: vec![held],
            delay_notified: lease.delay_notified,
            origin: lease.origin,
            claimed: Instant::now(),
            fresh,
        })
    }

    /// Where the work stands in line. Mailboxes have a line for each user, whatever
    /// comes behind the name, so that one that is slow or locked keeps nobody else
    /// waiting; users who share a message share a line for it.
    pub(super) fn destination(&self) -> DestinationKey {
        if !matches!(self.kind, Kind::Local) {
            return self.job.plan.key.clone();
        }
        let recipients = self.job.recipients.iter();
        let mut lanes: Vec<String> =
            recipients.map(|leased| local::lane(leased.recipient.address.local_part())).collect();
        lanes.sort_unstable();
        lanes.dedup();
        DestinationKey(format!("{USERS}{}", lanes.join(",")).into())
    }

    /// Leaves out the leases that are lost, and takes out those of held messages, to be
    /// returned.
    pub(super) fn withdraw(&mut self, renewed: &Renewed, now: Timestamp) -> Vec<Settlement> {
        self.leave(&renewed.lost);
        if renewed.held.is_empty() {
            return Vec::new();
        }
        self.take_waiting(|token, _| renewed.held.contains(token).then_some(now))
    }

    /// Takes out the leases, each of one domain, that are to wait, to be returned at that time.
    pub(super) fn take_waiting(
        &mut self,
        until: impl Fn(&LeaseToken, &Domain) -> Option<Timestamp>,
    ) -> Vec<Settlement> {
        let mut recipients = self.job.recipients.iter();
        let mut waiting = Vec::new();
        for held in &self.leases {
            let own: Vec<_> = recipients.by_ref().take(held.recipients).collect();
            let first = own.first().map(|first| first.recipient.address.domain());
            if let Some(due) = first.and_then(|domain| until(&held.token, domain)) {
                let returned =
                    |leased: &&LeasedRecipient| (leased.index, Disposition::Returned(due));
                let dispositions = own.iter().map(returned).collect();
                waiting.push(Settlement { token: held.token, dispositions });
            }
        }
        let tokens: Vec<LeaseToken> = waiting.iter().map(|settlement| settlement.token).collect();
        self.leave(&tokens);
        waiting
    }

    /// Leaves out the leases that are no longer ours, with their recipients.
    pub(super) fn leave(&mut self, lost: &[LeaseToken]) {
        if lost.is_empty() {
            return;
        }
        let verdict = |held: &Held| (!lost.contains(&held.token), held.recipients);
        let verdicts: Vec<(bool, usize)> = self.leases.iter().map(verdict).collect();
        let mut kept = verdicts.iter().flat_map(|(kept, count)| std::iter::repeat_n(*kept, *count));
        self.job.recipients.retain(|_| kept.next().unwrap_or(false));
        let mut kept = verdicts.iter();
        self.leases.retain(|_| kept.next().is_some_and(|(kept, _)| *kept));
    }
}

impl Schedulable for Box<Work> {
    fn is_fresh(&self) -> bool {
        self.fresh
    }

    fn is_bulk(&self) -> bool {
        self.job.bulk
    }

    fn claimed(&self) -> Instant {
        self.claimed
    }

    fn recipients(&self) -> usize {
        self.job.recipients.len()
    }

    // The recipients of one message behind the same exchange share a transaction.
    fn absorb(&mut self, mut other: Self) -> Result<(), Self> {
        let together = self.job.id == other.job.id
            && Arc::ptr_eq(&self.job.plan, &other.job.plan)
            && matches!((&self.kind, &other.kind), (Kind::Remote, Kind::Remote))
            && self.job.verp == other.job.verp
            && self.job.recipients.len() + other.job.recipients.len() <= MAX_RECIPIENTS;
        if !together {
            return Err(other);
        }
        self.job.recipients.append(&mut other.job.recipients);
        self.leases.append(&mut other.leases);
        self.delay_notified |= other.delay_notified;
        self.claimed = self.claimed.min(other.claimed);
        Ok(())
    }
}
