//! `[[source]]`: addresses that mail leaves from, by whose mail it is.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use jiff::civil::Date;
use puerto_smtp::{Domain, ReversePath};

use super::{means_account, sender_matches};
use crate::lang::{Said, said};

/// Messages to one provider on the first days of an address, where the configuration names none:
/// twice as many each day or two, as those do who publish theirs.
pub(super) const USUAL_PLAN: &str = "[50, 100, 200, 400, 800, 1500, 3000, 5000, 10000, 20000]";

/// An address that mail leaves from, in one family or both.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// What it is called in the log and beside the destinations.
    pub name: String,
    /// Its IPv4 address.
    pub ipv4: Option<Ipv4Addr>,
    /// Its IPv6 address.
    pub ipv6: Option<Ipv6Addr>,
    /// The name in EHLO, which the addresses' own lead to.
    pub helo: String,
    /// How much it gets beside the others that may carry the same mail; at least one.
    pub weight: u32,
    /// Whose mail it carries, by the reverse-path: addresses, or `@` and a domain.
    pub from: Vec<String>,
    /// The same by the account that hands it over.
    pub accounts: Vec<String>,
    /// The first day on which it sends, in UTC, if it is to be warmed up.
    pub begins: Option<Date>,
    /// Messages to one provider on the first day, the second …; after the last, any number.
    pub plan: Vec<u32>,
}

impl Source {
    /// Its address in the family of a peer's.
    pub fn towards(&self, peer: SocketAddr) -> Option<IpAddr> {
        match peer {
            SocketAddr::V4(_) => self.ipv4.map(IpAddr::V4),
            SocketAddr::V6(_) => self.ipv6.map(IpAddr::V6),
        }
    }

    /// Both addresses, as far as it has them.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        self.ipv4.map(IpAddr::V4).into_iter().chain(self.ipv6.map(IpAddr::V6))
    }

    /// Whether it is for some mail alone.
    pub fn is_for_some(&self) -> bool {
        !self.from.is_empty() || !self.accounts.is_empty()
    }

    /// Whether it is for this mail by name, where these domains are ours.
    pub fn is_for(
        &self,
        (reverse_path, account): (&ReversePath, Option<&str>),
        domains: &[Domain],
    ) -> bool {
        let is_it =
            |known: &String| account.is_some_and(|name| means_account(known, name, domains));
        self.from.iter().any(|pattern| sender_matches(pattern, reverse_path))
            || self.accounts.iter().any(is_it)
    }

    /// Messages that one provider may get from it on a day; `None`: any number.
    pub fn limit_on(&self, day: Date) -> Option<u32> {
        let days = self.begins?.until(day).ok()?.get_days();
        match usize::try_from(days) {
            Ok(days) => self.plan.get(days).copied(),
            // It has not begun.
            Err(_) => Some(0),
        }
    }
}

/// Reads a day.
pub(super) fn parse_day(text: &str) -> Result<Date, Said> {
    text.parse().map_err(|_| {
        said!(
            "`{text}` is not a day: write it as 2026-12-31",
            "`{text}` no es un día: escríbalo como 2026-12-31"; text = text
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_grows_by_days_and_ends() {
        let source = Source {
            name: "new".into(),
            ipv4: None,
            ipv6: None,
            helo: "out.example.com".into(),
            weight: 1,
            from: Vec::new(),
            accounts: Vec::new(),
            begins: parse_day("2026-12-30").ok(),
            plan: vec![50, 100, 200],
        };
        for (day, limit) in [
            ("2026-12-29", Some(0)),
            ("2026-12-30", Some(50)),
            ("2026-12-31", Some(100)),
            ("2027-01-01", Some(200)),
            ("2027-01-02", None),
            ("2027-12-30", None),
        ] {
            assert_eq!(source.limit_on(parse_day(day).unwrap()), limit, "{day}");
        }
        assert!(parse_day("31.12.2026").is_err());
    }
}
