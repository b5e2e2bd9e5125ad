//! One attempt to deliver one message: where each recipient stands, host by host.

use std::time::Duration;

use puerto_smtp::client::{Cause as Reason, Failure, Fate, Loss};
use puerto_smtp::{EnhancedCode, Reply, Severity};
use puerto_spool::Timestamp;
use tokio::time::Instant;

use super::outcome::{HostFailure, cause_of, shortened};
use super::places::Crowded;
use super::session::Session;
use super::{Job, Outcome, Pressure, Report, Success, retry_after};
use crate::cause::Cause;
use crate::providers::{Against, Call, Rule};
use crate::telemetry::{Delays, DeliveryStatus};

/// Where a recipient stands.
enum Standing {
    /// To be tried at the next host, if there is one; otherwise this is its outcome.
    Open(Option<Outcome>),
    /// Decided for this attempt.
    Settled(Outcome),
}

/// One attempt at one message, over all hosts that it is offered to.
pub(super) struct Attempt<'a> {
    /// What is to be delivered.
    pub(super) job: &'a Job,
    component: &'static str,
    started: Instant,
    standings: Vec<Standing>,
    connection: Duration,
    answered: bool,
    strained: bool,
    /// What the replies called for, by what is known of the provider.
    call: Option<Call>,
    crowded: Option<Crowded>,
}

impl<'a> Attempt<'a> {
    /// Begins now, with every recipient open; the component is what the log calls us.
    pub(super) fn new(job: &'a Job, component: &'static str) -> Self {
        Self {
            job,
            component,
            started: Instant::now(),
            standings: job.recipients.iter().map(|_| Standing::Open(None)).collect(),
            connection: Duration::ZERO,
            answered: false,
            strained: false,
            call: None,
            crowded: None,
        }
    }

    /// How long it has lasted.
    pub(super) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// The time of day.
    pub(super) fn now(&self) -> Timestamp {
        self.job.after(self.elapsed())
    }

    /// The places in the job of those that are to be tried at the next host.
    pub(super) fn open(&self) -> Vec<usize> {
        let standings = self.standings.iter().enumerate();
        standings.filter(|(_, s)| matches!(s, Standing::Open(_))).map(|(place, _)| place).collect()
    }

    /// A session is ready: what follows is transmission.
    pub(super) fn connected(&mut self) {
        self.connection = self.elapsed();
        self.answered = true;
    }

    /// There was no place for a connection to a host.
    pub(super) fn turned_away(&mut self, crowded: Crowded) {
        self.connection = self.elapsed();
        self.crowded = Some(crowded);
    }

    /// Whether the destination asked for less or for a pause: then no other host of it is
    /// asked for the same.
    pub(super) fn is_called_off(&self) -> bool {
        matches!(self.call, Some(Call::Park(_) | Call::Slow(..)))
    }

    /// Whether it is known what a reply calls for, other than a new connection.
    pub(super) fn is_understood(&self, failure: &Failure) -> bool {
        let rule = failure.reply().and_then(|reply| self.rule(reply));
        rule.is_some_and(|rule| rule.call != Call::Reconnect)
    }

    fn rule(&self, reply: &Reply) -> Option<&'a Rule> {
        let job: &'a Job = self.job;
        let enhanced = reply.enhanced_code().map(|code| code.to_string()).unwrap_or_default();
        job.plan.manners.rule((reply.code().get(), &enhanced), &reply.text())
    }

    // Of a relay of ours nothing is known: what it refuses, it refuses.
    fn against(&self, reply: &Reply) -> Option<Against> {
        let plan = &self.job.plan;
        let enhanced = reply.enhanced_code().map(|code| code.to_string()).unwrap_or_default();
        let codes = (reply.code().get(), &*enhanced);
        let said = || plan.manners.held_against_us(codes, &reply.text());
        (!plan.is_relay).then(said).flatten()
    }

    // What a reply calls for is learnt; `otherwise`: what one says that calls for nothing.
    fn learn(&mut self, rule: Option<&Rule>, otherwise: bool) {
        match rule {
            Some(rule) => {
                self.call = Some(self.call.map_or(rule.call, |known| known.or_more(rule.call)));
            }
            None => self.strained |= otherwise,
        }
    }

    /// A host gave no session.
    pub(super) fn host_failed(&mut self, failure: &HostFailure) {
        self.connection = self.elapsed();
        let rule = failure.reply.as_ref().and_then(|reply| self.rule(reply));
        self.learn(rule, failure.asks_for_less());
        for place in self.open() {
            // What a host has said is more than that another was not reached.
            if failure.reply.is_none() && self.is_held_against_us(place) {
                continue;
            }
            let outcome = Outcome {
                relay: failure.relay.clone().unwrap_or_else(|| "none".to_owned()),
                host: Some(failure.host.to_string()),
                status_code: failure.status,
                reply: failure.reply.clone(),
                retry_after: failure.reply.as_ref().and_then(|reply| wait(reply, rule)),
                tls: failure.tls.clone(),
                tls_reason: failure.tls_reason.clone(),
                against: failure.reply.as_ref().and_then(|reply| self.against(reply)),
                ..self.outcome(place, DeliveryStatus::Deferred, failure.cause.clone())
            };
            self.set(place, Standing::Open(Some(outcome)));
        }
    }

    /// A host cannot be relied on for a message that asks for REQUIRETLS: where none can, it is
    /// returned (RFC 8689 §4.2.1), and it waits where another host may be able to later.
    pub(super) fn host_unfit(&mut self, host: &str, code: EnhancedCode, cause: Cause) {
        self.connection = self.elapsed();
        self.answered = true;
        for place in self.open() {
            let waits = matches!(
                self.standings.get(place),
                Some(Standing::Open(Some(last))) if last.status == DeliveryStatus::Deferred
            );
            if waits {
                continue;
            }
            let outcome = Outcome {
                host: Some(host.to_owned()),
                status_code: code,
                ..self.outcome(place, DeliveryStatus::Bounced, cause.clone())
            };
            self.set(place, Standing::Open(Some(outcome)));
        }
    }

    /// A transaction told what became of a recipient.
    pub(super) fn decide(&mut self, place: usize, session: &Session, fate: Fate) {
        match fate {
            Fate::Accepted(reply) => {
                let cause = Cause::words(shortened(reply.to_string()));
                let outcome = Outcome {
                    status_code: reply.status(),
                    success: self.success(session),
                    reply: Some(reply),
                    ..self.session_outcome(place, DeliveryStatus::Sent, session, cause)
                };
                self.set(place, Standing::Settled(outcome));
            }
            Fate::Failed(failure) => self.fail(place, session, &failure),
            Fate::Remaining => {}
        }
    }

    // RFC 3461 §5.2.1: a next hop that offers DSN tells of success itself.
    fn success(&self, session: &Session) -> Success {
        match self.component {
            _ if session.connection.extensions().dsn => Success::ToldElsewhere,
            "lmtp" => Success::Delivered,
            _ => Success::Relayed,
        }
    }

    /// A connection that had carried a message before gave no verdict: the recipient is
    /// to be tried on a new one.
    pub(super) fn give_up(&mut self, place: usize, session: &Session, failure: &Failure) {
        let outcome = self.failed(place, session, failure, DeliveryStatus::Deferred);
        self.set(place, Standing::Open(Some(outcome)));
    }

    fn fail(&mut self, place: usize, session: &Session, failure: &Failure) {
        let rule = failure.reply().and_then(|reply| self.rule(reply));
        let asks_for_less = match &failure.cause {
            Reason::Reply(reply) => reply.closes(),
            Reason::Lost(loss) => *loss != Loss::Abandoned,
            _ => false,
        };
        self.learn(rule, asks_for_less);
        let is_pause = rule.is_some_and(|rule| rule.pause);
        let permanent = failure.is_permanent() && !is_pause && !self.is_our_mistake(failure);
        let status = if permanent { DeliveryStatus::Bounced } else { DeliveryStatus::Deferred };
        let outcome = self.failed(place, session, failure, status);
        // Another host may take what this one will not take now, but never what this
        // one may have already. What we cannot read, no host will get.
        let elsewhere = !permanent
            && !failure.may_have_delivered()
            && session.abandoned.is_none()
            && !rule.is_some_and(|rule| rule.call.is_for_all_hosts());
        let standing =
            if elsewhere { Standing::Open(Some(outcome)) } else { Standing::Settled(outcome) };
        self.set(place, standing);
    }

    fn failed(
        &self,
        place: usize,
        session: &Session,
        failure: &Failure,
        status: DeliveryStatus,
    ) -> Outcome {
        let class = if status == DeliveryStatus::Bounced { 5 } else { 4 };
        let cause = session.abandoned.clone();
        let cause =
            cause.unwrap_or_else(|| cause_of(&session.peer.name, failure, self.job.body.len()));
        Outcome {
            status_code: failure.status().with_class(class),
            reply: failure.reply().cloned(),
            retry_after: failure.reply().and_then(|reply| wait(reply, self.rule(reply))),
            against: failure.reply().and_then(|reply| self.against(reply)),
            ..self.session_outcome(place, status, session, cause)
        }
    }

    // A relay that wants us to authenticate does not refuse the message: it waits for
    // our configuration to be mended (RFC 4954 §6: 530, 535, 538).
    fn is_our_mistake(&self, failure: &Failure) -> bool {
        let code = failure.reply().map(|reply| reply.code().get());
        self.job.plan.is_relay && matches!(code, Some(530 | 535 | 538))
    }

    fn session_outcome(
        &self,
        place: usize,
        status: DeliveryStatus,
        session: &Session,
        cause: Cause,
    ) -> Outcome {
        Outcome {
            relay: session.peer.relay.clone(),
            host: Some(session.peer.host.to_string()),
            tls: session.encryption(),
            tls_reason: session.tls_reason.clone(),
            ..self.outcome(place, status, cause)
        }
    }

    fn outcome(&self, place: usize, status: DeliveryStatus, cause: Cause) -> Outcome {
        let transmission = self.elapsed().saturating_sub(self.connection);
        Outcome {
            index: self.job.recipients.get(place).map_or(u32::MAX, |recipient| recipient.index),
            status,
            component: self.component,
            relay: "none".to_owned(),
            host: None,
            status_code: EnhancedCode::new(4, 0, 0),
            reply: None,
            cause,
            tls: None,
            tls_reason: None,
            at: self.now(),
            delays: Delays {
                in_queue: self.job.in_queue,
                connection: self.connection,
                transmission,
                ..Delays::default()
            },
            retry_after: None,
            success: Success::default(),
            against: None,
        }
    }

    fn is_held_against_us(&self, place: usize) -> bool {
        let standing = self.standings.get(place);
        matches!(standing, Some(Standing::Open(Some(last))) if last.against.is_some())
    }

    fn set(&mut self, place: usize, standing: Standing) {
        if let Some(slot) = self.standings.get_mut(place) {
            *slot = standing;
        }
    }

    /// The end: one outcome for each recipient.
    pub(super) fn report(mut self) -> Report {
        let untried = self.standings.iter().all(|s| matches!(s, Standing::Open(None)));
        let crowded = self.crowded.take().filter(|_| untried);
        let standings = std::mem::take(&mut self.standings).into_iter().enumerate();
        let outcomes = standings.map(|(place, standing)| match standing {
            Standing::Open(Some(outcome)) | Standing::Settled(outcome) => outcome,
            Standing::Open(None) => {
                let cause = crowded.as_ref().map(|crowded| crowded.cause.clone());
                let cause = cause.unwrap_or(Cause::NoHostTried {});
                Outcome {
                    status_code: EnhancedCode::new(4, 3, 2),
                    ..self.outcome(place, DeliveryStatus::Deferred, cause)
                }
            }
        });
        let outcomes = outcomes.collect();
        // Who says what it is about has answered.
        let answered = self.answered || self.call.is_some();
        let pressure = match (&crowded, Pressure::of(self.call), self.strained, answered) {
            (Some(crowded), ..) => Pressure::Crowded { failed_at: crowded.failed_at },
            (None, Some(asked), ..) => asked,
            (None, None, true, _) => Pressure::Strained,
            (None, None, false, true) => Pressure::Fine,
            (None, None, false, false) => Pressure::Unreachable,
        };
        Report { outcomes, pressure }
    }
}

// What the reply itself asks for, or what is known of it. A wait in a refusal for good is
// about something else.
fn wait(reply: &Reply, rule: Option<&Rule>) -> Option<Duration> {
    let is_transient = reply.severity() == Severity::Transient;
    let asked = is_transient.then(|| retry_after::parse(&reply.text())).flatten();
    let known = rule.map(|rule| rule.call.span()).filter(|span| !span.is_zero());
    let is_known = is_transient || rule.is_some_and(|rule| rule.pause);
    asked.or_else(|| known.filter(|_| is_known))
}
