//! After an attempt: the log, the sender, the spool, in this order.
//!
//! A recipient that failed leaves the spool only after the notification about it
//! is on stable storage; if none can be queued, the recipient stays. When the spool
//! cannot record what happened, the record is kept in memory and tried again, with
//! the lease kept alive, so that a full disk never makes us deliver twice.

use puerto_mail::dns::Dns;
use puerto_spool::{Edit, MessageId, Settlement, SpoolError, Timestamp};

use super::carrier::Carrier;
use super::driver::Driver;
use super::outcome::{self, Basis, Fate, Judged, Moment};
use super::retry;
use super::work::{Kind, Work};
use crate::bounce::{Kind as News, Notice};
use crate::config::Config;
use crate::deliver::Outcome;
use crate::explain;
use crate::telemetry::{DeliveryStatus, Event};

/// How long a failed recipient waits when its sender could not be told.
const AFTER_FAILED_NOTICE: std::time::Duration = std::time::Duration::from_secs(300);

impl<D: Dns + 'static, C: Carrier> Driver<D, C> {
    /// Draws every consequence of an attempt, or of there having been none.
    pub(super) async fn settle(&self, work: &Work, outcomes: Vec<Outcome>, basis: Basis) {
        let config = self.config.get();
        let now = self.now();
        let moment = Moment { now, basis };
        let outcomes = outcome::complete(work, outcomes, now);
        let mut judged: Vec<Judged> = outcomes
            .into_iter()
            .zip(&work.job.recipients)
            .map(|(outcome, recipient)| {
                let tried = (outcome, recipient.attempts);
                outcome::judge(&config.queue, &work.job, tried, moment, || self.dice())
            })
            .collect();
        self.wake.announced(work.job.id).await;
        self.log_attempts(work, &judged);
        self.tell_failures(work, &config, &mut judged).await;
        self.tell_deliveries(work, &config, &judged).await;
        self.tell_delay(work, &config, &judged, now).await;
        self.record(work, &judged);
    }

    fn log_attempts(&self, work: &Work, judged: &[Judged]) {
        for (judged, recipient) in judged.iter().zip(&work.job.recipients) {
            let outcome = &judged.outcome;
            let refused = outcome.status != DeliveryStatus::Sent;
            let host = outcome.host.as_deref();
            let kind = match outcome.status {
                DeliveryStatus::Deferred => explain::Kind::Temporary,
                _ => explain::Kind::Permanent,
            };
            self.log.write(&Event::Delivery {
                id: work.job.id,
                component: outcome.component,
                to: &recipient.recipient.address,
                original: None,
                relay: &outcome.relay,
                delay: outcome.at.since(work.job.received_at),
                delays: outcome.delays,
                status_code: outcome.status_code,
                status: outcome.status,
                text: &outcome.text,
                tls: outcome.tls.as_deref(),
                explanation: refused.then(|| explain::short(&outcome.text, host, kind)).flatten(),
            });
        }
        if judged.iter().any(|judged| judged.fate == Fate::Expired) {
            self.log.write(&Event::Expired { id: work.job.id, from: &work.job.reverse_path });
        }
    }

    async fn tell_failures(&self, work: &Work, config: &Config, judged: &mut [Judged]) {
        let failures: Vec<Outcome> =
            judged.iter().filter(|j| j.fate.is_failure()).map(Judged::as_failure).collect();
        if failures.is_empty() {
            return;
        }
        if self.tell(News::Failed, work, config, &failures).await {
            return;
        }
        let later = self.now().after(AFTER_FAILED_NOTICE);
        for judged in judged.iter_mut().filter(|judged| judged.fate.is_failure()) {
            judged.fate = Fate::Deferred(later);
        }
    }

    // Once a next hop offers DSN, telling of success is its duty (RFC 3461 §5.2.2).
    async fn tell_deliveries(&self, work: &Work, config: &Config, judged: &[Judged]) {
        let asked = |index: usize| {
            let recipient = work.job.recipients.get(index);
            recipient.and_then(|r| r.recipient.notify).is_some_and(|notify| notify.success)
        };
        let delivered: Vec<Outcome> = judged
            .iter()
            .enumerate()
            .filter(|(index, judged)| {
                judged.fate == Fate::Delivered && !judged.outcome.peer_reports && asked(*index)
            })
            .map(|(_, judged)| judged.outcome.clone())
            .collect();
        if !delivered.is_empty() {
            self.tell(News::Delivered, work, config, &delivered).await;
        }
    }

    async fn tell_delay(&self, work: &Work, config: &Config, judged: &[Judged], now: Timestamp) {
        let received_at = work.job.received_at;
        if !retry::delay_notice_due(&config.queue, now, received_at, work.delay_notified) {
            return;
        }
        let waits = |judged: &&Judged| {
            matches!(judged.fate, Fate::Deferred(_) | Fate::Returned(_))
                && judged.outcome.status == DeliveryStatus::Deferred
        };
        let late: Vec<Outcome> = judged.iter().filter(waits).map(|j| j.outcome.clone()).collect();
        if late.is_empty() || !self.begin_delay_notice(work.job.id) {
            return;
        }
        if self.tell(News::Delayed, work, config, &late).await
            && let Err(error) = self.spool.edit(work.job.id, Edit::DelayNotified)
        {
            self.warn(Some(work.job.id), &format!("the delay notice was not noted: {error}"));
        }
        self.end_delay_notice(work.job.id);
    }

    // Another job of the same message may be at it, or may have done it since the
    // lease was handed out.
    fn begin_delay_notice(&self, id: MessageId) -> bool {
        let first = self.state().telling_delay.insert(id);
        if first && self.spool.get(id).is_ok_and(|entry| entry.delay_notified) {
            self.end_delay_notice(id);
            return false;
        }
        first
    }

    fn end_delay_notice(&self, id: MessageId) {
        self.state().telling_delay.remove(&id);
    }

    async fn tell(&self, news: News, work: &Work, config: &Config, outcomes: &[Outcome]) -> bool {
        let expire_at = work.job.received_at.after(config.queue.expire);
        let origin = self.spool.get(work.job.id).ok().map(|entry| entry.origin);
        let notice = Notice { kind: news, job: &work.job, outcomes, expire_at, origin };
        match self.carrier.notify(&notice).await {
            Ok(()) => true,
            Err(refusal) => {
                let text = format!("the sender could not be told: {}", refusal.reply);
                self.warn(Some(work.job.id), &text);
                false
            }
        }
    }

    fn record(&self, work: &Work, judged: &[Judged]) {
        let mut rest = judged;
        for held in &work.leases {
            let (own, others) = rest.split_at_checked(held.recipients).unwrap_or((rest, &[]));
            rest = others;
            let settlement = || Settlement {
                token: held.token,
                dispositions: own.iter().map(|j| (j.outcome.index, j.disposition())).collect(),
            };
            if let Err(error) = self.try_settle(settlement()) {
                let text = format!(
                    "what became of its recipients is kept in memory until the spool can \
                     record it: {error}"
                );
                self.warn(Some(work.job.id), &text);
                self.state().unsettled.push(settlement());
            }
        }
    }

    /// Records a settlement. An error means that it must be tried again.
    pub(super) fn try_settle(&self, settlement: Settlement) -> Result<(), SpoolError> {
        let token = settlement.token;
        match self.spool.settle(settlement) {
            Ok((settled, ticket)) => {
                self.release(&token);
                if settled.remaining == 0 {
                    self.log.write(&Event::Removed { id: token.id });
                }
                self.watch_over(token.id, ticket);
                Ok(())
            }
            Err(
                error @ (SpoolError::LeaseLost(_)
                | SpoolError::NotFound(_)
                | SpoolError::Damaged { .. }),
            ) => {
                self.release(&token);
                self.warn(Some(token.id), &format!("its settlement was not recorded: {error}"));
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// Tries again what the spool could not record.
    pub(super) fn settle_leftovers(&self) {
        let leftovers = std::mem::take(&mut self.state().unsettled);
        let mut broken = false;
        for settlement in leftovers {
            broken = broken || self.try_settle(settlement.clone()).is_err();
            if broken {
                self.state().unsettled.push(settlement);
            }
        }
    }

    /// Why a destination is out of reach, as its suspended mail will tell.
    pub(super) fn reason_of(&self, work: &Work, outcomes: &[Outcome]) -> Option<Outcome> {
        if !matches!(work.kind, Kind::Remote) {
            return None;
        }
        outcomes.iter().find(|o| o.status == DeliveryStatus::Deferred).cloned()
    }
}
