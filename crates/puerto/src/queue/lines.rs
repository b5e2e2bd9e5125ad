//! The lines in which work stands, and the tasks that take it from there: what dispatch,
//! which brings work into line, and the workers share.

use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use puerto_smtp::EnhancedCode;
use puerto_spool::Timestamp;
use tokio::sync::{Notify, watch};

use super::leases::Leases;
use super::schedule::Schedule;
use super::work::Work;
use crate::cause::Cause;

/// See the module.
pub(super) struct Lines {
    leases: Arc<Leases>,
    standing: Mutex<Standing>,
    tasks: AtomicUsize,
    /// The last task has ended.
    pub(super) idle: Notify,
    pub(super) stopping: watch::Sender<bool>,
    /// Another configuration holds: whoever waits for a time looks again whether it is that.
    pub(super) moved: watch::Sender<()>,
}

/// What stands there.
pub(super) struct Standing {
    pub(super) schedule: Schedule<Box<Work>, Ground>,
    /// Leased recipients whose job is under way.
    pub(super) running: usize,
    /// Nothing comes into line any more.
    pub(super) closed: bool,
}

/// Why work is put off without an attempt of its own.
pub(super) struct Ground {
    pub(super) code: EnhancedCode,
    pub(super) cause: Cause,
    /// When somebody was really tried.
    pub(super) tried_at: Timestamp,
}

impl Lines {
    /// None yet.
    pub(super) fn new(leases: &Arc<Leases>) -> Arc<Self> {
        let standing = Standing { schedule: Schedule::new(), running: 0, closed: false };
        Arc::new(Self {
            leases: Arc::clone(leases),
            standing: Mutex::new(standing),
            tasks: AtomicUsize::new(0),
            idle: Notify::new(),
            stopping: watch::channel(false).0,
            moved: watch::channel(()).0,
        })
    }

    /// What stands in them, locked.
    pub(super) fn lock(&self) -> MutexGuard<'_, Standing> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Recipients that wait here for their turn or for their route.
    pub(super) fn waiting(&self) -> usize {
        self.leases.recipients().saturating_sub(self.lock().running)
    }

    /// Runs a task that a stop waits for. It comes boxed: starting and ending a task copies it
    /// several times, and what works at a line is several KiB.
    pub(super) fn spawn(self: &Arc<Self>, task: Pin<Box<dyn Future<Output = ()> + Send>>) {
        self.tasks.fetch_add(1, Ordering::SeqCst);
        let guard = TaskGuard(Arc::clone(self));
        tokio::spawn(async move {
            let _guard = guard;
            task.await;
        });
    }

    /// How many tasks have not ended.
    pub(super) fn tasks(&self) -> usize {
        self.tasks.load(Ordering::SeqCst)
    }
}

/// Counts a task until it has ended, however it ends.
struct TaskGuard(Arc<Lines>);

impl Drop for TaskGuard {
    fn drop(&mut self) {
        if self.0.tasks.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.0.idle.notify_one();
        }
    }
}
