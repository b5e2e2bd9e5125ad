//! What the queue makes of a report: one outcome for each recipient, whatever the
//! deliverer returned, and what follows from it.

use std::collections::HashMap;

use puerto_smtp::EnhancedCode;
use puerto_spool::{Attempt, Disposition, LeasedRecipient, RecipientStatus, Timestamp};

use super::lines::Ground;
use super::rescue::Rescue;
use super::retry::{self, Failed, Next};
use super::sources;
use super::work::Work;
use crate::cause::Cause;
use crate::config::QueueTimes;
use crate::deliver::{Job, Outcome, Report, Success};
use crate::route::RouteFailure;
use crate::telemetry::{Delays, DeliveryStatus};

/// What becomes of a recipient.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// Gone on.
    Delivered,
    /// Tried again at this time.
    Deferred(Timestamp),
    /// Not tried for want of a place or in a pause, which counts as no attempt: until this
    /// time.
    Returned(Timestamp),
    /// Refused for good.
    Refused,
    /// Too old to be tried again.
    Expired,
}

impl Fate {
    /// When it is tried again, if it is.
    pub(super) fn next_attempt(self) -> Option<Timestamp> {
        match self {
            Self::Deferred(at) | Self::Returned(at) => Some(at),
            Self::Delivered | Self::Refused | Self::Expired => None,
        }
    }

    /// Whether it has ended without delivery.
    pub(super) fn is_failure(self) -> bool {
        matches!(self, Self::Refused | Self::Expired)
    }
}

/// A recipient's outcome and what follows from it.
#[derive(Debug)]
pub(super) struct Judged {
    pub(super) outcome: Outcome,
    pub(super) fate: Fate,
}

impl Judged {
    /// What the spool keeps of it.
    pub(super) fn disposition(&self) -> Disposition {
        let outcome = &self.outcome;
        let relay = if outcome.relay == "none" { String::new() } else { outcome.relay.clone() };
        let attempt = Attempt {
            at: outcome.at,
            relay,
            code: outcome.reply.as_ref().map_or(0, |reply| reply.code().get()),
            status: outcome.status_code,
            text: outcome.text().into_owned(),
            cause: outcome.cause.kept(),
        };
        match self.fate {
            Fate::Delivered => Disposition::Delivered(attempt),
            Fate::Deferred(due) => Disposition::Deferred { due, attempt },
            Fate::Returned(due) => Disposition::Returned(due),
            Fate::Refused | Fate::Expired => Disposition::Bounced(attempt),
        }
    }

    /// It failed, and its sender could not be told: it stays until then.
    pub(super) fn withhold(&mut self, until: Timestamp) {
        self.fate = Fate::Deferred(until);
        self.outcome.status = DeliveryStatus::Deferred;
        self.outcome.status_code = self.outcome.status_code.with_class(4);
        self.outcome.wrap(|of| Cause::Untold { of });
    }

    /// The outcome as a notification of failure tells it: an expired recipient is
    /// one that failed for good, with its last reason.
    pub(super) fn as_failure(&self) -> Outcome {
        let mut outcome = self.outcome.clone();
        if self.fate == Fate::Expired {
            outcome.status = DeliveryStatus::Bounced;
            outcome.status_code = outcome.status_code.with_class(5);
            outcome.wrap(|last| Cause::Expired { last });
        }
        outcome
    }
}

/// One outcome for each of the work's recipients, in their order. A deliverer that
/// forgot one has not delivered it, as far as anybody knows; of two that contradict
/// each other, the delivery counts.
pub(super) fn complete(work: &Work, outcomes: Vec<Outcome>, now: Timestamp) -> Vec<Outcome> {
    let in_order = outcomes.len() == work.job.recipients.len()
        && outcomes.iter().zip(&work.job.recipients).all(|(o, r)| o.index == r.index);
    if in_order {
        return outcomes;
    }
    let mut by_index: HashMap<u32, Outcome> = HashMap::with_capacity(outcomes.len());
    for outcome in outcomes {
        let known = by_index.get(&outcome.index);
        if known.is_none_or(|known| known.status != DeliveryStatus::Sent) {
            by_index.insert(outcome.index, outcome);
        }
    }
    let recipients = work.job.recipients.iter();
    recipients
        .map(|recipient| {
            by_index.remove(&recipient.index).unwrap_or_else(|| broken_off(recipient.index, now))
        })
        .collect()
}

/// Whether anything of a message was taken, and whether any of it waits.
pub(super) fn taken(report: &Report) -> (bool, bool) {
    let has = |status| report.outcomes.iter().any(|outcome| outcome.status == status);
    (has(DeliveryStatus::Sent), has(DeliveryStatus::Deferred))
}

/// What an outcome rests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Basis {
    /// An attempt with this message.
    Tried,
    /// One with another message, at this time, which spared it its own.
    Spared(Timestamp),
    /// Its destination asked for a pause until then; somebody was last tried at this time.
    Parked { tried_at: Timestamp, until: Timestamp },
    /// There was no place for it; whoever holds the places last failed at this time.
    Crowded(Timestamp),
}

/// When outcomes are judged, and what they rest on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment {
    pub(super) now: Timestamp,
    pub(super) basis: Basis,
}

/// Decides what follows from one outcome.
pub(super) fn judge(
    times: &QueueTimes,
    job: &Job,
    (outcome, attempts_before): (Outcome, u32),
    moment: Moment,
    dice: impl FnOnce() -> u64,
) -> Judged {
    let fate = match outcome.status {
        DeliveryStatus::Sent => Fate::Delivered,
        DeliveryStatus::Bounced => Fate::Refused,
        // However old it is, it was not tried that way.
        DeliveryStatus::Deferred if Rescue::is_next(&outcome) => Fate::Deferred(moment.now),
        DeliveryStatus::Deferred => {
            let end = job.received_at.after(times.expire);
            let dice = dice();
            if let Some(due) = sources::next_day(&outcome, moment.now, dice)
                && moment.now < end
            {
                return Judged { outcome, fate: Fate::Deferred(due.min(end)) };
            }
            let failed = Failed {
                now: moment.now,
                tried_at: match moment.basis {
                    Basis::Tried => moment.now,
                    Basis::Spared(at) | Basis::Crowded(at) | Basis::Parked { tried_at: at, .. } => {
                        at
                    }
                },
                received_at: job.received_at,
                attempts_before,
                retry_after: outcome.retry_after,
                soon: outcome.component == "local",
            };
            let next = match moment.basis {
                Basis::Crowded(_) => retry::when_crowded(times, failed, dice),
                Basis::Parked { until, .. } => retry::when_parked(times, failed, until),
                Basis::Tried | Basis::Spared(_) => retry::after(times, failed, dice),
            };
            match (next, moment.basis) {
                (Next::At(due), Basis::Crowded(_) | Basis::Parked { .. }) => Fate::Returned(due),
                (Next::At(due), _) => Fate::Deferred(due),
                (Next::GiveUp, _) => Fate::Expired,
            }
        }
    };
    Judged { outcome, fate }
}

/// A recipient that another job has, and what is known of it: how its last attempt ended,
/// as the store keeps it.
pub(super) fn of_kept(
    index: u32,
    status: RecipientStatus,
    now: Timestamp,
) -> (LeasedRecipient, Outcome) {
    let outcome = match status.last() {
        None => without_host(index, EnhancedCode::new(4, 4, 7), Cause::NotTried {}, now),
        Some(last) => {
            let cause = Cause::of_kept(&last.cause, &last.text);
            let mut outcome = without_host(index, last.status.with_class(4), cause, last.at);
            outcome.host = last.relay.split_once('[').map(|(host, _)| host.to_owned());
            outcome.relay.clone_from(&last.relay);
            outcome
        }
    };
    let RecipientStatus { recipient, attempts, .. } = status;
    (LeasedRecipient { index, recipient, attempts }, outcome)
}

/// The outcome of a recipient that never got as far as a host.
fn without_host(index: u32, code: EnhancedCode, cause: Cause, at: Timestamp) -> Outcome {
    let status = if code.class == 5 { DeliveryStatus::Bounced } else { DeliveryStatus::Deferred };
    Outcome {
        index,
        status,
        component: "error",
        relay: "none".to_owned(),
        host: None,
        status_code: code,
        reply: None,
        cause,
        tls: None,
        tls_reason: None,
        at,
        delays: Delays::default(),
        retry_after: None,
        success: Success::default(),
        against: None,
    }
}

/// The outcome of an attempt that ended in a mistake of our own.
pub(super) fn broken_off(index: u32, at: Timestamp) -> Outcome {
    without_host(index, EnhancedCode::new(4, 3, 0), Cause::BrokenOff {}, at)
}

/// What all recipients of a job get that has no route.
pub(super) fn unroutable(job: &Job, failure: &RouteFailure, at: Timestamp) -> Vec<Outcome> {
    all(job, failure.code, &failure.cause, at)
}

/// What all recipients of a job get for which there is no place.
pub(super) fn turned_away(job: &Job, reason: &Ground, at: Timestamp) -> Vec<Outcome> {
    all(job, reason.code, &reason.cause, at)
}

/// What all recipients of a job get whose destination is suspended.
pub(super) fn suspended(job: &Job, reason: Option<&Ground>, at: Timestamp) -> Vec<Outcome> {
    let code = reason.map_or(EnhancedCode::new(4, 4, 1), |reason| reason.code.with_class(4));
    let why = reason.map_or(Cause::NotReached {}, |reason| reason.cause.clone());
    all(job, code, &Cause::Suspended { why: Box::new(why) }, at)
}

/// What all recipients of a job get whose destination asked for a pause.
pub(super) fn parked(job: &Job, reason: Option<&Ground>, at: Timestamp) -> Vec<Outcome> {
    let code = reason.map_or(EnhancedCode::new(4, 7, 0), |reason| reason.code.with_class(4));
    let why = reason.map_or(Cause::NotReached {}, |reason| reason.cause.clone());
    all(job, code, &Cause::Parked { why: Box::new(why) }, at)
}

fn all(job: &Job, code: EnhancedCode, cause: &Cause, at: Timestamp) -> Vec<Outcome> {
    let in_queue = at.since(job.received_at);
    let recipients = job.recipients.iter();
    recipients
        .map(|recipient| {
            let mut outcome = without_host(recipient.index, code, cause.clone(), at);
            outcome.delays.in_queue = in_queue;
            outcome
        })
        .collect()
}

/// What all recipients of a job get whose attempt ended in a mistake of our own.
pub(super) fn all_broken_off(job: &Job, at: Timestamp) -> Vec<Outcome> {
    job.recipients.iter().map(|recipient| broken_off(recipient.index, at)).collect()
}
