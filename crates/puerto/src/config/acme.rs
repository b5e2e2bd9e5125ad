//! Certificates that this server gets by itself (ACME, RFC 8555).

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

use puerto_smtp::Address;

use super::TlsFiles;

/// How an authority sees that a name is ours.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Challenge {
    /// A page on port 80 (RFC 8555 §8.3).
    #[default]
    Http,
    /// A certificate on port 443 (RFC 8737).
    TlsAlpn,
    /// A record in the DNS (RFC 8555 §8.4).
    Dns,
}

impl Challenge {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Http, Self::TlsAlpn, Self::Dns];

    /// As the standards call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Http => "http-01",
            Self::TlsAlpn => "tls-alpn-01",
            Self::Dns => "dns-01",
        }
    }

    /// The port that the authority asks.
    pub fn port(self) -> Option<u16> {
        match self {
            Self::Http => Some(80),
            Self::TlsAlpn => Some(443),
            Self::Dns => None,
        }
    }

    /// Where it is answered if nothing else is configured.
    pub(super) fn places(self) -> Vec<SocketAddr> {
        let all = |port: u16| -> [SocketAddr; 2] {
            [(Ipv4Addr::UNSPECIFIED, port).into(), (Ipv6Addr::UNSPECIFIED, port).into()]
        };
        self.port().map(all).into_iter().flatten().collect()
    }
}

/// From whom certificates are got, and how.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Acme {
    /// The address of the authority's directory; `None`: no certificate is asked for.
    pub directory: Option<String>,
    /// The administrator has agreed to the authority's terms.
    pub accept_terms: bool,
    /// Whom the authority may write to.
    pub contact: Option<Address>,
    /// How it sees that a name is ours.
    pub challenge: Challenge,
    /// The names that the certificate is for.
    pub names: Vec<String>,
    /// Where challenges are answered.
    pub listen: Vec<SocketAddr>,
    /// The DNS server that takes updates.
    pub dns_server: Option<SocketAddr>,
    /// The file of the key that updates are signed with.
    pub dns_key: Option<PathBuf>,
}

impl Acme {
    /// Whether certificates are asked for.
    pub fn is_on(&self) -> bool {
        self.directory.is_some()
    }

    /// Where everything is kept, below the state folder.
    pub fn folder(state_dir: &Path) -> PathBuf {
        state_dir.join("acme")
    }

    /// Where the certificate is kept, and its key.
    pub fn files(state_dir: &Path) -> TlsFiles {
        let folder = Self::folder(state_dir);
        TlsFiles { certificate: folder.join("certificate.pem"), key: folder.join("key.pem") }
    }
}
