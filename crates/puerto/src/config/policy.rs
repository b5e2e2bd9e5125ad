//! What this server says of mail that comes to it: its MTA-STS policy (RFC 8461).

use std::net::SocketAddr;
use std::time::Duration;

/// What the policy demands of senders.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PolicyMode {
    /// TLS with a valid certificate, or the mail waits.
    Enforce,
    /// Nothing: what would fail is only reported.
    Testing,
    /// Nothing any more: what a policy says that is to be given up.
    Off,
}

impl PolicyMode {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Testing, Self::Enforce, Self::Off];

    /// As the policy writes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Enforce => "enforce",
            Self::Testing => "testing",
            Self::Off => "none",
        }
    }
}

/// The policy, and where it is served.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OwnPolicy {
    /// What it demands; `None`: none is served.
    pub mode: Option<PolicyMode>,
    /// The hosts by which our domains' mail comes.
    pub mx: Vec<String>,
    /// For how long senders keep it.
    pub max_age: Duration,
    /// Where it is served.
    pub listen: Vec<SocketAddr>,
}

impl OwnPolicy {
    /// The page, if one is served.
    pub fn text(&self) -> Option<String> {
        let mode = self.mode?.name();
        let hosts: String = self.mx.iter().map(|host| format!("mx: {host}\n")).collect();
        let seconds = self.max_age.as_secs();
        Some(format!("version: STSv1\nmode: {mode}\n{hosts}max_age: {seconds}\n"))
    }
}
