//! The DNS for somebody who waits at a terminal.

use std::time::Duration;

use puerto_mail::dns::{Answer, Dns, DnsError, RecordType};
use tokio::time::{Instant, timeout_at};

use crate::dns::TIMEOUT;

/// Beyond the time in which every server can fail once: for a lost datagram.
const MARGIN: Duration = Duration::from_secs(2);

/// How long an answer is waited for.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    one: Duration,
    until: Option<Instant>,
}

impl Patience {
    /// So long for each question.
    pub fn of(one: Duration) -> Self {
        Self { one, until: None }
    }

    /// Not for as long as a queue would wait: until each of so many servers has had its
    /// chance.
    pub fn with_servers(servers: usize) -> Self {
        let servers = u32::try_from(servers.max(1)).unwrap_or(u32::MAX);
        Self::of(TIMEOUT.saturating_mul(servers).saturating_add(MARGIN))
    }

    /// For all questions together until then: what is asked later has no answer.
    #[must_use]
    pub fn until(self, until: Instant) -> Self {
        Self { until: Some(until), ..self }
    }

    /// When a wait that begins now ends.
    pub fn end(&self) -> Instant {
        let end = Instant::now() + self.one;
        self.until.map_or(end, |until| until.min(end))
    }

    /// Waits; what has not come by then counts as not answered.
    pub async fn wait<T>(
        &self,
        asked: impl Future<Output = Result<T, DnsError>>,
    ) -> Result<T, DnsError> {
        timeout_at(self.end(), asked).await.unwrap_or(Err(DnsError::Timeout))
    }
}

/// A DNS each of whose answers is waited for so long.
#[derive(Debug, Clone)]
pub struct Patient<D>(pub D, pub Patience);

impl<D: Dns> Dns for Patient<D> {
    async fn lookup(&self, name: &str, kind: RecordType) -> Result<Answer, DnsError> {
        self.1.wait(self.0.lookup(name, kind)).await
    }
}
