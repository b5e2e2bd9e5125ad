//! The DNS as the server has it that is to be updated.

use std::net::SocketAddr;

use puerto_mail::dns::{Answer, Dns, DnsError, RecordType};

use crate::dns::Resolver;

/// Asks the server first, which knows what it has better than any cache, and the
/// usual resolvers for what it does not answer.
#[derive(Debug, Clone)]
pub struct Authority {
    server: Resolver,
    others: Resolver,
}

impl Authority {
    /// The server, and whom to ask for the rest of the world.
    pub fn new(server: SocketAddr, others: Resolver) -> Self {
        Self { server: Resolver::with_servers(&[server]), others }
    }
}

impl Dns for Authority {
    async fn lookup(&self, name: &str, kind: RecordType) -> Result<Answer, DnsError> {
        match self.server.lookup(name, kind).await {
            Err(error) if !error.is_absence() => self.others.lookup(name, kind).await,
            answer => answer,
        }
    }
}
