//! What the receivers saw: a record of each attempt to hand a message over, kept
//! and told live to whoever listens.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use puerto_mail::authres::MethodResult;
use puerto_smtp::{Address, Reply, ReversePath};
use tokio::sync::broadcast;

/// Records that a slow listener may fall behind.
const BACKLOG: usize = 256;

/// What became of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// The receiver has the message.
    Accepted,
    /// The client is to come again.
    Deferred,
    /// The client need not come again.
    Refused,
    /// The connection ended without an answer.
    HungUp,
}

/// One attempt to hand a message over, as its receiver saw it.
#[derive(Debug, Clone)]
pub struct Transaction {
    /// Which receiver, by its short name: `strict`.
    pub receiver: &'static str,
    /// Its host name.
    pub host: String,
    /// Where the client came from.
    pub peer: IpAddr,
    /// What it called itself; `None` if it was sent away before it could.
    pub helo: Option<String>,
    /// Whether it spoke TLS.
    pub tls: bool,
    /// The reverse-path, once given.
    pub from: Option<ReversePath>,
    /// The recipients that were tried, each with the reply to it.
    pub recipients: Vec<(Address, Reply)>,
    /// The reply that decided; `None` if the connection ended without one.
    pub reply: Option<Reply>,
    /// What became of it.
    pub outcome: Outcome,
    /// What the receiver found out about the sender, if it looks.
    pub authentication: Vec<MethodResult>,
    /// The message with the fields that the receiver put before it; empty unless it
    /// came as far as that.
    pub message: Arc<[u8]>,
}

impl Transaction {
    /// The recipients that were accepted.
    pub fn accepted_recipients(&self) -> impl Iterator<Item = &Address> {
        self.recipients.iter().filter(|(_, reply)| reply.is_positive()).map(|(address, _)| address)
    }

    /// The result of a method such as `dkim`: the best of them, if there are several.
    pub fn result_of(&self, method: &str) -> Option<&str> {
        let mut results =
            self.authentication.iter().filter(|r| r.method == method).map(|r| r.result.as_str());
        let first = results.next()?;
        Some(if results.any(|result| result == "pass") { "pass" } else { first })
    }
}

/// Where the receivers write what they saw.
#[derive(Debug)]
pub(crate) struct Recorder {
    most: usize,
    kept: Mutex<VecDeque<Arc<Transaction>>>,
    live: broadcast::Sender<Arc<Transaction>>,
}

impl Recorder {
    /// Keeps so many records; older ones are forgotten.
    pub(crate) fn new(most: usize) -> Self {
        Self { most, kept: Mutex::default(), live: broadcast::channel(BACKLOG).0 }
    }

    pub(crate) fn record(&self, transaction: Transaction) {
        let transaction = Arc::new(transaction);
        {
            let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
            if kept.len() >= self.most {
                kept.pop_front();
            }
            kept.push_back(Arc::clone(&transaction));
            // Told while the list is locked, so that a listener that also reads the
            // list sees each record in one of them.
            let _nobody_listens = self.live.send(transaction);
        }
    }

    pub(crate) fn listen(&self) -> broadcast::Receiver<Arc<Transaction>> {
        self.live.subscribe()
    }

    pub(crate) fn all(&self) -> Vec<Arc<Transaction>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }
}
