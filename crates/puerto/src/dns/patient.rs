//! The DNS for somebody who waits at a terminal.

use std::time::Duration;

use puerto_mail::dns::{Answer, Dns, DnsError, RecordType};

use super::servers::TIMEOUT;

/// Beyond the time in which every server can fail once: for a lost datagram.
const MARGIN: Duration = Duration::from_secs(2);

/// Asks, but not for as long as a queue would: each question ends when every server
/// has had its chance, and then it counts as not answered.
#[derive(Debug, Clone)]
pub struct Patient<D> {
    dns: D,
    patience: Duration,
}

impl<D> Patient<D> {
    /// For a DNS behind which there are so many servers.
    pub fn new(dns: D, servers: usize) -> Self {
        let servers = u32::try_from(servers.max(1)).unwrap_or(u32::MAX);
        Self { dns, patience: TIMEOUT.saturating_mul(servers).saturating_add(MARGIN) }
    }
}

impl<D: Dns> Dns for Patient<D> {
    async fn lookup(&self, name: &str, kind: RecordType) -> Result<Answer, DnsError> {
        let answer = tokio::time::timeout(self.patience, self.dns.lookup(name, kind)).await;
        answer.unwrap_or(Err(DnsError::Timeout))
    }
}
