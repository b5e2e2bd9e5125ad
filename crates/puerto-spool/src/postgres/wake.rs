//! Word to the other nodes: that there is work, and that an administrator has changed
//! something. It is a hint; what is lost costs them the time after which they look by
//! themselves.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::Notify;
use tokio_postgres::Error;

use super::connect::{Link, Session, patience};
use super::core::Core;
use super::lock;

/// What is to be told.
#[derive(Default)]
pub(super) struct Wakes {
    waiting: Mutex<BTreeSet<&'static str>>,
    woken: Notify,
    /// Something that this node has was changed.
    pub(super) edited: Notify,
}

/// There is work that is nobody's.
pub(super) const WORK: &str = "work";
/// Messages were changed that some node has.
const EDIT: &str = "edit";

/// What comes within this time is told together.
const GATHER: Duration = Duration::from_millis(20);
/// How often the ear is tried.
const LISTEN: Duration = Duration::from_secs(5);

const SEND: &str = "SELECT pg_notify('puerto', p) FROM unnest($1::text[]) AS p";

impl Wakes {
    /// There is work that is nobody's.
    pub(super) fn work(&self) {
        self.tell(WORK);
    }

    /// Messages were changed.
    pub(super) fn edit(&self) {
        self.tell(EDIT);
    }

    fn tell(&self, what: &'static str) {
        lock(&self.waiting).insert(what);
        self.woken.notify_one();
    }
}

/// Tells the others.
pub(super) async fn send(session: &Session, what: &[String]) -> Result<(), Error> {
    session.query(SEND, &[&what]).await.map(drop)
}

impl Core {
    /// Sends what is to be told.
    pub(super) async fn notify(self: Arc<Self>) {
        let mut link = Link::with(&self.reach, "SET synchronous_commit = off");
        loop {
            self.wakes.woken.notified().await;
            tokio::time::sleep(GATHER).await;
            let own = lock(&self.hand).owner;
            let what: Vec<String> = std::mem::take(&mut *lock(&self.wakes.waiting))
                .into_iter()
                .map(|what| format!("{own} {what}"))
                .collect();
            // Nobody to tell it to: they look by themselves.
            if self.living() < 2 || what.is_empty() {
                continue;
            }
            if let Ok(session) = link.session().await
                && let Err(error) = send(&session, &what).await
            {
                self.reach.judge(&error);
            }
        }
    }

    /// Hears what the others tell.
    pub(super) async fn listen(self: Arc<Self>) {
        let mut failed = 0;
        loop {
            if let Err(again) = self.listen_once().await {
                failed = if again { 0 } else { failed + 1 };
                tokio::time::sleep(patience(failed)).await;
            }
        }
    }

    // The error says whether it went well for a while.
    async fn listen_once(self: &Arc<Self>) -> Result<(), bool> {
        let core = Arc::downgrade(self);
        let heard = move |payload: String| {
            if let Some(core) = core.upgrade() {
                core.hear(&payload);
            }
        };
        let session = self.reach.open(Some(Arc::new(heard))).await.map_err(|_| false)?;
        session.client.batch_execute("LISTEN puerto").await.map_err(|_| false)?;
        // What was told meanwhile was not heard.
        self.changed();
        loop {
            tokio::time::sleep(LISTEN).await;
            session.client.simple_query("SELECT 1").await.map_err(|_| true)?;
        }
    }

    fn hear(&self, payload: &str) {
        let own = lock(&self.hand).owner.to_string();
        match payload.split_once(' ') {
            Some((from, _)) if from == own => {}
            Some((_, EDIT)) => self.wakes.edited.notify_one(),
            _ => self.changed(),
        }
    }
}
