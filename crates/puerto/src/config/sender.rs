//! The section `[sender]`: under which addresses the senders of this machine are known
//! elsewhere.

use std::fmt;

use puerto_smtp::{Address, Domain, LocalPart};

use super::network::Network;
use super::pattern::{AddressPattern, DomainPattern};
use crate::lang::{Said, address_error, said, said_of};

/// Under which addresses local senders are known elsewhere.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sender {
    /// The one address that all mail is sent from, for a relay that takes no other.
    pub always: Option<Address>,
    /// Senders and what each becomes.
    pub map: Vec<(Who, Known)>,
    /// Domains whose hosts do not show, the first that matches.
    pub masquerade: Vec<Masquerade>,
    /// Local parts whose hosts show all the same.
    pub masquerade_except: Vec<LocalPart>,
    /// Domains that are not ours and may be sent from all the same.
    pub foreign: Vec<DomainPattern>,
    /// What is done about senders that somebody may not use.
    pub otherwise: Otherwise,
    /// What local users may use beside what is their own; `*` is all of them.
    pub users: Vec<(String, Vec<AddressPattern>)>,
    /// The same of accounts.
    pub accounts: Vec<(String, Vec<AddressPattern>)>,
    /// What clients of networks may use, the first that they are in.
    pub networks: Vec<(Network, Vec<AddressPattern>)>,
}

/// What is done about a sender that somebody may not use.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Otherwise {
    /// What comes by a login or from another host is refused; what programs of this machine
    /// write is sent from an address that they may use.
    #[default]
    Auto,
    /// The message is refused.
    Reject,
    /// It is sent from an address that may be used.
    Rewrite,
}

/// Whose mail an entry of the map is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Who {
    /// A user of this machine, at any of its own names.
    User(LocalPart),
    /// One address.
    Address(Address),
    /// All addresses of a domain.
    Domain(Domain),
}

/// What a sender of the map becomes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Known {
    /// This address.
    Address(Address),
    /// The same user at this domain.
    Domain(Domain),
}

/// A domain whose hosts do not show, or an exception.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Masquerade {
    /// The domain.
    pub domain: Domain,
    /// It and its hosts show as they are.
    pub is_exception: bool,
}

impl Who {
    /// Reads `user`, `user@domain` or `@domain`.
    pub fn parse(text: &str) -> Result<Self, Said> {
        if let Some(name) = text.strip_prefix('@') {
            return domain(name).map(Self::Domain);
        }
        if text.contains('@') {
            return address(text).map(Self::Address);
        }
        local_part(text).map(Self::User)
    }
}

impl Known {
    /// Reads `user@domain` or `@domain`.
    pub fn parse(text: &str) -> Result<Self, Said> {
        match text.strip_prefix('@') {
            Some(name) => domain(name).map(Self::Domain),
            None => address(text).map(Self::Address),
        }
    }
}

impl Masquerade {
    /// Reads `domain` or `!domain`.
    pub fn parse(text: &str) -> Result<Self, Said> {
        let name = text.strip_prefix('!');
        let domain = domain(name.unwrap_or(text))?;
        Ok(Self { domain, is_exception: name.is_some() })
    }
}

/// Reads an address.
pub(super) fn address(text: &str) -> Result<Address, Said> {
    Address::parse(text).map_err(|error| wrong(text, &error))
}

pub(super) fn local_part(text: &str) -> Result<LocalPart, Said> {
    LocalPart::parse(text).map_err(|error| wrong(text, &error))
}

fn domain(text: &str) -> Result<Domain, Said> {
    Domain::parse(text).map_err(|_| not_a_domain(text))
}

pub(super) fn not_a_domain(text: &str) -> Said {
    said!("`{text}` is not a domain", "`{text}` no es un dominio"; text = text)
}

fn wrong(text: &str, error: &puerto_smtp::address::AddressError) -> Said {
    said_of!(
        "`{text}`: {error}", "`{text}`: {error}";
        text = Said::words(text), error = address_error(error)
    )
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(local_part) => local_part.fmt(f),
            Self::Address(address) => address.fmt(f),
            Self::Domain(domain) => write!(f, "@{domain}"),
        }
    }
}

impl fmt::Display for Known {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Domain(domain) => write!(f, "@{domain}"),
        }
    }
}

impl fmt::Display for Masquerade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = if self.is_exception { "!" } else { "" };
        write!(f, "{mark}{}", self.domain)
    }
}
