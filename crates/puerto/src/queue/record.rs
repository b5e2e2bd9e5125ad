//! Tells the store what became of leases, and the log what the store has recorded.
//!
//! Whoever hands settlements over goes on at once. The first to come settles what there is
//! with one call; what others hand over meanwhile goes with the next. A store that answers
//! at once costs nobody a change of threads, and one that is far away is asked as rarely
//! as its answers take.
//!
//! What it cannot record is kept in memory and tried again, with the lease kept alive, so
//! that a full disk never makes us deliver twice.

use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use puerto_spool::{Answer, MessageId, Settled, Settlement, SpoolError};
use tokio::sync::{Notify, mpsc, oneshot};

use super::leases::Leases;
use crate::cause::Cause;
use crate::telemetry::{Event, MailLog};

/// Settlements of one call at most: others wait for the index or the rows meanwhile.
const BATCH: usize = 500;

/// See the module.
pub(super) struct Recorder {
    work: Arc<dyn puerto_spool::Work>,
    leases: Arc<Leases>,
    log: MailLog,
    state: Mutex<State>,
    /// Nobody is settling.
    idle: Notify,
    written: mpsc::UnboundedSender<Written>,
}

#[derive(Default)]
struct State {
    waiting: Vec<Pending>,
    /// What the store could not record yet.
    refused: Vec<Pending>,
    settling: bool,
}

/// A settlement that is to be recorded.
#[derive(Clone)]
struct Pending {
    settlement: Settlement,
    /// Whether the log need not hear that it could not be recorded at once.
    quiet: bool,
}

/// What the store has recorded, in the order in which it did.
enum Written {
    Settled {
        id: MessageId,
        is_gone: bool,
        durable: Answer<()>,
    },
    /// Whoever waits for all before it.
    End(oneshot::Sender<()>),
}

impl Recorder {
    /// Builds it, and starts its watch over what becomes durable.
    pub(super) fn start(
        work: &Arc<dyn puerto_spool::Work>,
        leases: &Arc<Leases>,
        log: &MailLog,
    ) -> Arc<Self> {
        let (written, to_watch) = mpsc::unbounded_channel();
        tokio::spawn(watch(to_watch, log.clone()));
        Arc::new(Self {
            work: Arc::clone(work),
            leases: Arc::clone(leases),
            log: log.clone(),
            state: Mutex::default(),
            idle: Notify::new(),
            written,
        })
    }

    /// Has these recorded; the leases end with it. `quiet`: the log need not hear that they
    /// could not be recorded at once.
    pub(super) fn record(
        self: &Arc<Self>,
        settlements: impl IntoIterator<Item = Settlement>,
        quiet: bool,
    ) {
        let pending = settlements.into_iter().map(|settlement| Pending { settlement, quiet });
        self.state().waiting.extend(pending);
        self.settle_waiting();
    }

    /// Tries again what the store could not record.
    pub(super) fn try_again(self: &Arc<Self>) {
        let mut state = self.state();
        let refused = std::mem::take(&mut state.refused);
        state.waiting.extend(refused);
        drop(state);
        self.settle_waiting();
    }

    /// Waits until the store has answered for all, and the log has told it.
    pub(super) async fn finish(&self) {
        loop {
            let mut idle = pin!(self.idle.notified());
            idle.as_mut().enable();
            if !self.state().settling {
                break;
            }
            idle.await;
        }
        let (end, ended) = oneshot::channel();
        let _ = self.written.send(Written::End(end));
        let _ = ended.await;
    }

    fn settle_waiting(self: &Arc<Self>) {
        while let Some(batch) = self.next_batch() {
            let turn = Turn { recorder: self, batch };
            let settlements = turn.batch.iter().map(|pending| pending.settlement.clone());
            match self.work.settle(settlements.collect()).at_once() {
                Ok(answers) => turn.end(answers),
                Err(ticket) => {
                    let (recorder, batch) = (Arc::clone(self), turn.suspend());
                    tokio::spawn(async move {
                        let turn = Turn { recorder: &recorder, batch };
                        let answers = ticket.await;
                        turn.end(answers);
                        recorder.settle_waiting();
                    });
                    return;
                }
            }
        }
    }

    // What to settle now, if nobody else is at it: they will take what is there.
    fn next_batch(&self) -> Option<Vec<Pending>> {
        let mut state = self.state();
        if state.settling || state.waiting.is_empty() {
            return None;
        }
        state.settling = true;
        let count = state.waiting.len().min(BATCH);
        let rest = state.waiting.split_off(count);
        Some(std::mem::replace(&mut state.waiting, rest))
    }

    fn take(&self, pending: Pending, answer: Option<Result<Settled, SpoolError>>) {
        let token = pending.settlement.token;
        match answer {
            Some(Ok(Settled { remaining, durable })) => {
                self.leases.release(&token);
                let written = Written::Settled { id: token.id, is_gone: remaining == 0, durable };
                let _ = self.written.send(written);
            }
            Some(Err(
                error @ (SpoolError::LeaseLost(_)
                | SpoolError::NotFound(_)
                | SpoolError::Damaged { .. }),
            )) => {
                self.leases.release(&token);
                self.warn(token.id, &Cause::Unrecorded { error });
            }
            Some(Err(error)) => {
                if !pending.quiet {
                    self.warn(token.id, &Cause::RecordWaits { error });
                }
                self.state().refused.push(Pending { quiet: true, ..pending });
            }
            None => self.state().refused.push(pending),
        }
    }

    fn warn(&self, id: MessageId, cause: &Cause) {
        self.log.write(&Event::Remark { level: "warning", component: "qmgr", id, cause });
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The right to settle. However it ends, what has no answer is tried again, and others
/// may settle.
struct Turn<'a> {
    recorder: &'a Recorder,
    batch: Vec<Pending>,
}

impl Turn<'_> {
    fn end(mut self, answers: Vec<Result<Settled, SpoolError>>) {
        let mut answers = answers.into_iter();
        for pending in std::mem::take(&mut self.batch) {
            self.recorder.take(pending, answers.next());
        }
    }

    // Another goes on with it.
    fn suspend(mut self) -> Vec<Pending> {
        let batch = std::mem::take(&mut self.batch);
        std::mem::forget(self);
        batch
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut state = self.recorder.state();
        state.refused.append(&mut self.batch);
        state.settling = false;
        drop(state);
        self.recorder.idle.notify_waiters();
    }
}

async fn watch(mut written: mpsc::UnboundedReceiver<Written>, log: MailLog) {
    while let Some(written) = written.recv().await {
        let (id, is_gone, durable) = match written {
            Written::Settled { id, is_gone, durable } => (id, is_gone, durable),
            Written::End(end) => {
                let _ = end.send(());
                continue;
            }
        };
        match durable.await {
            Ok(()) if is_gone => log.write(&Event::Removed { id }),
            Ok(()) => {}
            Err(error) => {
                let cause = &Cause::RecordNotDurable { error };
                log.write(&Event::Remark { level: "error", component: "qmgr", id, cause });
            }
        }
    }
}
