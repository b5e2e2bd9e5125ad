//! After an attempt: the sender, the log, the spool, in this order.
//!
//! A recipient that failed is logged as such and leaves the spool only after the
//! notification about it is on stable storage; if none can be queued, the recipient
//! stays.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use puerto_spool::{
    Disposition, LeasedRecipient, MessageId, RecipientState, Settlement, SpoolError, Timestamp,
};

use super::carrier::Carrier;
use super::leases::Leases;
use super::outcome::{self, Basis, Fate, Judged, Moment};
use super::record::Recorder;
use super::work::Work;
use super::{Wiring, catch, retry};
use crate::bounce::{Kind as News, Notice};
use crate::config::Config;
use crate::deliver::{Outcome, Success};
use crate::explain;
use crate::route::random::Random;
use crate::telemetry::{Delivery, DeliveryStatus, Event};

/// How long a failed recipient waits when its sender could not be told.
const AFTER_FAILED_NOTICE: Duration = Duration::from_secs(300);
/// How long work waits whose consequences were broken off by a mistake of our own.
const AFTER_MISTAKE: Duration = Duration::from_secs(60);

/// Draws the consequences of attempts, or of there having been none.
pub(super) struct Settler<D, C> {
    wiring: Arc<Wiring<D, C>>,
    recorder: Arc<Recorder>,
    random: Mutex<Random>,
}

impl<D: Send + Sync + 'static, C: Carrier> Settler<D, C> {
    /// Builds it, and starts its watch over what is being written.
    pub(super) fn start(wiring: &Arc<Wiring<D, C>>, leases: &Arc<Leases>) -> Self {
        Self {
            wiring: Arc::clone(wiring),
            recorder: Recorder::start(&wiring.work, leases, &wiring.log),
            random: Mutex::new(Random::unpredictable()),
        }
    }

    /// Draws every consequence of an attempt. Work for which that fails by a mistake of our
    /// own waits and is tried again.
    pub(super) async fn settle(&self, work: &Work, outcomes: Vec<Outcome>, basis: Basis) {
        if catch(Box::pin(self.draw_consequences(work, outcomes, basis))).await.is_err() {
            let text = "its settlement was broken off by an internal error";
            self.wiring.warn(Some(work.job.id), text);
            self.give_back(work, self.wiring.now().after(AFTER_MISTAKE));
        }
    }

    /// Gives leases back without an attempt; the recipients are due at that time.
    pub(super) fn give_back(&self, work: &Work, due: Timestamp) {
        let mut recipients = work.job.recipients.iter();
        let settlements = work.leases.iter().map(|held| {
            let own = recipients.by_ref().take(held.recipients);
            let dispositions = own.map(|r| (r.index, Disposition::Returned(due))).collect();
            Settlement { token: held.token, dispositions }
        });
        self.recorder.record(settlements, true);
    }

    /// Gives back what these say.
    pub(super) fn return_some(&self, settlements: Vec<Settlement>) {
        self.recorder.record(settlements, true);
    }

    /// Tries again what the store could not record.
    pub(super) fn settle_leftovers(&self) {
        self.recorder.try_again();
    }

    /// Waits until all that was settled is durable, and the log tells it.
    pub(super) async fn finish(&self) {
        self.recorder.finish().await;
    }

    async fn draw_consequences(&self, work: &Work, outcomes: Vec<Outcome>, basis: Basis) {
        let config = self.wiring.config.get();
        let moment = Moment { now: self.wiring.now(), basis };
        let outcomes = outcome::complete(work, outcomes, moment.now);
        let mut judged: Vec<Judged> = outcomes
            .into_iter()
            .zip(&work.job.recipients)
            .map(|(outcome, recipient)| {
                let tried = (outcome, recipient.attempts);
                let dice = || self.random.lock().unwrap_or_else(PoisonError::into_inner).next();
                outcome::judge(&config.queue, &work.job, tried, moment, dice)
            })
            .collect();
        self.wiring.wake.announced(work.job.id).await;
        let late = self.late(work, &config, &judged, moment.now);
        let next_attempt = judged.iter().filter_map(|judged| judged.fate.next_attempt()).min();
        let told = self.tell_failures(work, &config, &mut judged).await;
        self.log_attempts(work, &judged);
        self.log_notification(work, News::Failed, told);
        self.tell_deliveries(work, &config, &judged).await;
        self.tell_delay(work, &config, (&late, next_attempt)).await;
        self.record(work, &judged);
    }

    fn log_attempts(&self, work: &Work, judged: &[Judged]) {
        for (judged, recipient) in judged.iter().zip(&work.job.recipients) {
            let outcome = &judged.outcome;
            let text = outcome.text();
            let refused = outcome.status != DeliveryStatus::Sent;
            let host = outcome.host.as_deref();
            let explained = refused.then(|| explain::of_cause(&outcome.cause, host)).flatten();
            let kind = match outcome.status {
                DeliveryStatus::Deferred => explain::Kind::Temporary,
                _ => explain::Kind::Permanent,
            };
            self.wiring.log.write(&Event::Delivery(Delivery {
                id: work.job.id,
                component: outcome.component,
                to: &recipient.recipient.address,
                relay: &outcome.relay,
                delay: outcome.at.since(work.job.received_at),
                delays: outcome.delays,
                status_code: outcome.status_code,
                status: outcome.status,
                text: &text,
                cause: &outcome.cause,
                code: outcome.reply.as_ref().map(|reply| reply.code().get()),
                next: match judged.fate {
                    Fate::Deferred(due) | Fate::Returned(due) => Some(due),
                    Fate::Delivered | Fate::Refused | Fate::Expired => None,
                },
                tls: outcome.tls.as_ref(),
                tls_reason: outcome.tls_reason.as_ref(),
                explanation: explained.map(|found| found.of_kind(kind).clause()),
            }));
        }
        if judged.iter().any(|judged| judged.fate == Fate::Expired) {
            let from = &work.job.reverse_path;
            self.wiring.log.write(&Event::Expired { id: work.job.id, from });
        }
    }

    // What the log calls bounced has left, so the notification comes first. Without it
    // the recipients stay.
    async fn tell_failures(
        &self,
        work: &Work,
        config: &Config,
        judged: &mut [Judged],
    ) -> Option<MessageId> {
        let failures: Vec<Outcome> =
            judged.iter().filter(|j| j.fate.is_failure()).map(Judged::as_failure).collect();
        if failures.is_empty() {
            return None;
        }
        self.tell(News::Failed, work, config, (&[], &failures, None)).await.unwrap_or_else(
            |NotTold| {
                let later = self.wiring.now().after(AFTER_FAILED_NOTICE);
                for judged in judged.iter_mut().filter(|judged| judged.fate.is_failure()) {
                    judged.withhold(later);
                }
                None
            },
        )
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
                judged.fate == Fate::Delivered
                    && judged.outcome.success != Success::ToldElsewhere
                    && asked(*index)
            })
            .map(|(_, judged)| judged.outcome.clone())
            .collect();
        if !delivered.is_empty()
            && let Ok(told) =
                self.tell(News::Delivered, work, config, (&[], &delivered, None)).await
        {
            self.log_notification(work, News::Delivered, told);
        }
    }

    // Those that wait, if it is time to tell of it.
    fn late(
        &self,
        work: &Work,
        config: &Config,
        judged: &[Judged],
        now: Timestamp,
    ) -> Vec<Outcome> {
        let received_at = work.job.received_at;
        if !retry::delay_notice_due(&config.queue, now, received_at, work.delay_notified) {
            return Vec::new();
        }
        let waits = |judged: &&Judged| matches!(judged.fate, Fate::Deferred(_) | Fate::Returned(_));
        judged.iter().filter(waits).map(|judged| judged.outcome.clone()).collect()
    }

    // Another job of the same message may be at it, here or on another node, or may have
    // done it since the lease was handed out: the store says whose it is.
    async fn tell_delay(
        &self,
        work: &Work,
        config: &Config,
        (late, next_attempt): (&[Outcome], Option<Timestamp>),
    ) {
        let id = work.job.id;
        if late.is_empty() {
            return;
        }
        match self.wiring.work.note_delay(id).await {
            Ok(true) => {}
            Ok(false) | Err(SpoolError::NotFound(_)) => return,
            Err(error) => {
                let text = format!("the delay notice could not be noted, and waits: {error}");
                return self.wiring.warn(Some(id), &text);
            }
        }
        let mut all = self.others_that_wait(work).await;
        all.outcomes.extend_from_slice(late);
        all.outcomes.sort_by_key(|outcome| outcome.index);
        let next_attempt = next_attempt.into_iter().chain(all.next_attempt).min();
        let whom = (&*all.recipients, &*all.outcomes, next_attempt);
        match self.tell(News::Delayed, work, config, whom).await {
            Ok(told) => self.log_notification(work, News::Delayed, told),
            Err(NotTold) => {
                if let Err(error) = self.wiring.work.forget_delay(id).await {
                    let text = format!("no delay notice will be sent any more: {error}");
                    self.wiring.warn(Some(id), &text);
                }
            }
        }
    }

    // The one notice names all that wait: what other jobs have is told of by nobody else.
    // Only a message that is late is looked at again.
    async fn others_that_wait(&self, work: &Work) -> Others {
        let mut others = Others::default();
        let Ok(entry) = self.wiring.work.standing(work.job.id).await else { return others };
        let own: HashSet<u32> = work.job.recipients.iter().map(|own| own.index).collect();
        let all = (0..).zip(entry.recipients);
        for (index, status) in all.filter(|(index, _)| !own.contains(index)) {
            match status.state {
                RecipientState::Done => continue,
                RecipientState::Due(at) => {
                    let next = others.next_attempt.map_or(at, |next| next.min(at));
                    others.next_attempt = Some(next);
                }
                RecipientState::Leased(_) => {}
            }
            let (recipient, outcome) = outcome::of_kept(index, status, self.wiring.now());
            others.recipients.push(recipient);
            others.outcomes.push(outcome);
        }
        others
    }

    async fn tell(
        &self,
        news: News,
        work: &Work,
        config: &Config,
        (others, outcomes, next_attempt): (&[LeasedRecipient], &[Outcome], Option<Timestamp>),
    ) -> Result<Option<MessageId>, NotTold> {
        let expire_at = work.job.received_at.after(config.queue.expire);
        let origin = Some(work.origin.clone());
        let job = &work.job;
        let notice = Notice { kind: news, job, others, outcomes, expire_at, next_attempt, origin };
        self.wiring.carrier.notify(&notice).await.map_err(|refusal| {
            let text = format!("the sender could not be told: {}", refusal.reply);
            self.wiring.warn(Some(work.job.id), &text);
            NotTold
        })
    }

    fn log_notification(&self, work: &Work, news: News, told: Option<MessageId>) {
        if let Some(notification) = told {
            let (id, kind) = (work.job.id, news.log_name());
            self.wiring.log.write(&Event::Notification { id, kind, notification });
        }
    }

    fn record(&self, work: &Work, judged: &[Judged]) {
        let mut rest = judged;
        let settlements = work.leases.iter().map(|held| {
            let (own, others) = rest.split_at_checked(held.recipients).unwrap_or((rest, &[]));
            rest = others;
            Settlement {
                token: held.token,
                dispositions: own.iter().map(|j| (j.outcome.index, j.disposition())).collect(),
            }
        });
        self.recorder.record(settlements, false);
    }
}

/// Recipients of a message that wait, and are another job's.
#[derive(Default)]
struct Others {
    recipients: Vec<LeasedRecipient>,
    outcomes: Vec<Outcome>,
    next_attempt: Option<Timestamp>,
}

/// The sender was not told, and the log says why.
struct NotTold;
