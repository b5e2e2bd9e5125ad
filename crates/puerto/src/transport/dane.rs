//! The TLSA records of a host: whether they are asked for at all, and at which name
//! (RFC 7672 §2).

use std::sync::Arc;

use puerto_mail::dns::{Dns, RecordType};

use super::Records;
use crate::tls::{Dane, TlsaSet};

/// What the look-up of a host's addresses has shown.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Located {
    /// DNSSEC vouches for the addresses of one family, aliases included.
    pub is_secure: bool,
    /// The host that its name is an alias of.
    pub alias_of: Option<String>,
}

/// The names that a certificate may be for besides the host's own, where an authority is what
/// a record binds to (RFC 7672 §3.2.2): the next hop's domain, and what that is an alias of.
pub type Domains<'a> = &'a [Arc<str>];

/// Finds the records of a host at a port, with the seconds for which they hold. Where DNSSEC
/// does not vouch for the address nothing is asked: servers of unsigned zones fail at such
/// questions, and would stop mail that DANE has nothing to do with.
pub async fn records<D: Dns>(
    dns: &D,
    (host, port): (&str, u16),
    located: &Located,
    domains: Domains<'_>,
) -> (Records, u32) {
    let mut bases = Vec::new();
    match &located.alias_of {
        None if located.is_secure => bases.push(host),
        None => {}
        Some(end) if located.is_secure => bases.extend([end.as_str(), host]),
        // The alias itself may be signed, where what it leads to is not.
        Some(_) => match dns.vouched(host, RecordType::Cname).await {
            (Ok(_), true) => bases.push(host),
            (Err(error), _) if !error.is_absence() => return (Records::Unknown(error), 0),
            _ => {}
        },
    }
    let mut ttl = u32::MAX;
    for base in bases {
        match dns.vouched(&format!("_{port}._tcp.{base}"), RecordType::Tlsa).await {
            (Ok(answer), true) => {
                let found = TlsaSet::of(&answer.records);
                let records = match found.is_usable() {
                    true => Records::Usable(Arc::new(demand(base, host, found, domains))),
                    false => Records::Unusable,
                };
                return (records, ttl.min(answer.ttl));
            }
            (Ok(answer), false) => ttl = ttl.min(answer.ttl),
            (Err(error), _) if error.is_absence() => {}
            (Err(error), _) => return (Records::Unknown(error), 0),
        }
    }
    (Records::Absent, ttl)
}

fn demand(base: &str, host: &str, records: TlsaSet, domains: Domains<'_>) -> Dane {
    let base: Arc<str> = base.into();
    let mut names = vec![Arc::clone(&base)];
    if records.needs_names() {
        let more = std::iter::once(Arc::from(host)).chain(domains.iter().cloned());
        for name in more {
            if !names.contains(&name) {
                names.push(name);
            }
        }
    }
    Dane { base, names, records: Arc::new(records) }
}
