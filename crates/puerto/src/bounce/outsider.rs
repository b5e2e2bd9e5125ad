//! Notices to people who are not ours.
//!
//! Whoever writes to our users chooses the address that a notice goes to and, by what is
//! returned, much of what stands in it. So that nobody can have this server send a
//! stranger's words to a victim under our name, such a notice returns the header alone, is
//! not signed, and there are only so many of them.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use puerto_smtp::{Address, ReversePath};
use puerto_spool::{Origin, Timestamp};

use crate::config::Config;
use crate::route;

/// How long the counts last.
const SPAN: i64 = 3600;
/// Notices to one address in that time.
pub(super) const TO_ONE: u32 = 10;
/// Notices to all outsiders in that time.
pub(super) const TO_ALL: u32 = 300;

/// Whether a notice on a message goes out of the house: it came from a client that may
/// not relay, or an alias sent it on for somebody who is not our user.
pub(super) fn is_meant(config: &Config, origin: Option<&Origin>, from: &ReversePath) -> bool {
    match origin {
        Some(Origin::Internal) | None => {
            from.address().is_none_or(|address| !route::is_here(config, address.domain()))
        }
        origin => is_strange(config, origin),
    }
}

/// Whether a message came from a client that may not relay.
pub(super) fn is_strange(config: &Config, origin: Option<&Origin>) -> bool {
    let Some(origin @ Origin::Client(_)) = origin else { return false };
    !client(origin).is_some_and(|(_, address)| config.trusted_networks.contains(address))
}

/// A client's name and address, of `name[address]` as intake writes it: the store keeps
/// where a message came from as text, in the queues of older versions too.
pub(super) fn client(origin: &Origin) -> Option<(&str, IpAddr)> {
    let (Origin::Client(client) | Origin::Account { client, .. }) = origin else { return None };
    let (name, address) = client.strip_suffix(']')?.rsplit_once('[')?;
    Some((name, address.parse().ok()?))
}

/// How many notices have gone out of the house lately.
#[derive(Debug)]
pub(super) struct Allowance {
    to_one: u32,
    to_all: u32,
    counts: Mutex<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    since: i64,
    all: u32,
    to: HashMap<Address, u32>,
}

impl Allowance {
    /// So many to one address within an hour, and so many in all.
    pub(super) fn of(to_one: u32, to_all: u32) -> Self {
        Self { to_one, to_all, counts: Mutex::default() }
    }

    /// Whether one more may go to this address; counts it if so.
    pub(super) fn take(&self, to: &Address, now: Timestamp) -> bool {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let now = now.as_secs();
        // A clock that was set back begins anew, too.
        if !(0..SPAN).contains(&now.saturating_sub(counts.since)) {
            *counts = Counts { since: now, ..Counts::default() };
        }
        if counts.all >= self.to_all {
            return false;
        }
        let one = counts.to.entry(to.clone()).or_default();
        if *one >= self.to_one {
            return false;
        }
        *one += 1;
        counts.all += 1;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outsiders_are_those_whom_strangers_name_and_not_our_users_or_clients() {
        let config = Config::for_tests(std::path::Path::new("/nowhere"));
        let client = |text: &str| Some(Origin::Client(text.to_owned()));
        let ours = "me@example.com";
        for (origin, from, expected) in [
            (client("unknown[198.51.100.7]"), "victim@bank.example", true),
            // The reverse-path is the stranger's choice.
            (client("unknown[198.51.100.7]"), ours, true),
            (client("a[127.0.0.1][2001:db8::1]"), ours, true),
            (client("what is this"), ours, true),
            (client("localhost[127.0.0.1]"), "shop@elsewhere.example", false),
            (client("localhost[::1]"), ours, false),
            (
                Some(Origin::Account {
                    name: "ana".to_owned(),
                    client: "a[198.51.100.7]".to_owned(),
                }),
                ours,
                false,
            ),
            (Some(Origin::LocalUser(1000)), "shop@elsewhere.example", false),
            (Some(Origin::Internal), ours, false),
            (Some(Origin::Internal), "victim@bank.example", true),
            (None, "victim@bank.example", true),
            (None, ours, false),
        ] {
            let from = ReversePath::parse(&format!("<{from}>")).unwrap();
            assert_eq!(is_meant(&config, origin.as_ref(), &from), expected, "{origin:?} {from}");
        }
    }

    #[test]
    fn there_are_so_many_in_an_hour_and_no_more() {
        let allowance = Allowance::of(TO_ONE, TO_ALL);
        let at = |seconds: i64| Timestamp::from_millis(1_795_500_000_000 + seconds * 1000);
        let victim = Address::parse("victim@bank.example").unwrap();
        let granted = (0..100).filter(|second| allowance.take(&victim, at(*second))).count();
        assert_eq!(granted, 10);
        let other = |n: u32| Address::parse(&format!("user{n}@bank.example")).unwrap();
        let granted = (0..1000).filter(|n| allowance.take(&other(*n), at(200))).count();
        assert_eq!(granted, 290);
        assert!(allowance.take(&victim, at(3600)));
        assert!(allowance.take(&victim, at(-9000)));
    }
}
