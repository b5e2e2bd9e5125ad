//! How fast anybody may guess. Pure: times and names go in, what to do comes out.
//!
//! Failures are counted for the client, its network and the account. A client that fails
//! waits, each time longer, and then is sent away for a while; so is a network, after more
//! of them. An account is never locked, or whoever knows its name could keep its owner out:
//! once many have guessed at it, clients that have not logged in to it before get one
//! attempt every few seconds between them, and those that have do not notice. Accounts that
//! do not exist are counted alike. A failure counts for less as time passes.

use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

/// What a count falls to half in.
const HALF: Duration = Duration::from_secs(600);
/// Failures of a client, and of a network, after which they are sent away.
const CLIENT: f64 = 10.0;
const NETWORK: f64 = 50.0;
/// Failures after which an account's strangers take turns, and how long a turn is.
const ACCOUNT: f64 = 20.0;
const TURN: Duration = Duration::from_secs(5);
/// Failures that cost a client nothing: people mistype.
const FREE: f64 = 3.0;
/// The longest that one waits before it is judged.
const LONGEST: Duration = Duration::from_secs(8);
/// Who is remembered: no more of each, however many come.
const MOST: usize = 50_000;

/// What is to be done with an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// Judge it, after this time.
    After(Duration),
    /// Send the client away.
    SentAway(TooMany),
    /// Have it try later: others guess at the account.
    Later,
}

/// Who has failed too often.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TooMany {
    /// The client's address.
    Client,
    /// Its network.
    Network,
}

impl fmt::Display for TooMany {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Client => "too many failed logins from this address",
            Self::Network => "too many failed logins from this network",
        })
    }
}

/// Something that counts, and when it did last.
#[derive(Debug, Clone, Copy, Default)]
struct Count {
    failures: f64,
    at: Duration,
}

impl Count {
    fn now(self, now: Duration) -> f64 {
        let passed = now.saturating_sub(self.at).as_secs_f64() / HALF.as_secs_f64();
        self.failures * (-passed).exp2()
    }

    /// In whole failures: three within a minute are three.
    fn whole(self, now: Duration) -> f64 {
        self.now(now).round()
    }

    fn plus(self, failures: f64, now: Duration) -> Self {
        Self { failures: (self.now(now) + failures).max(0.0), at: now }
    }
}

/// All that is remembered.
#[derive(Debug, Clone, Default)]
pub(super) struct Pace {
    clients: HashMap<IpAddr, Count>,
    networks: HashMap<IpAddr, Count>,
    accounts: HashMap<String, Count>,
    /// When an account's strangers had their last turn.
    turns: HashMap<String, Duration>,
    /// From where an account was logged in to.
    familiar: HashMap<(String, IpAddr), Duration>,
}

impl Pace {
    /// What to do with an attempt from an address at an account. It counts for a failure
    /// until something else is said: many at the same time are as many. `now` neither leaps
    /// nor goes back.
    pub(super) fn ask(&mut self, now: Duration, from: IpAddr, account: &str) -> Turn {
        let (client, network) = places(from);
        let of = |counts: &HashMap<IpAddr, Count>, place| {
            counts.get(&place).map_or(0.0, |count: &Count| count.whole(now))
        };
        let failures = of(&self.clients, client);
        if failures >= CLIENT {
            return Turn::SentAway(TooMany::Client);
        }
        let is_familiar = self.familiar.contains_key(&(account.to_owned(), client));
        if !is_familiar && of(&self.networks, network) >= NETWORK {
            return Turn::SentAway(TooMany::Network);
        }
        if !is_familiar
            && self.accounts.get(account).is_some_and(|count| count.whole(now) >= ACCOUNT)
        {
            let last = self.turns.get(account).copied();
            if last.is_some_and(|last| now.saturating_sub(last) < TURN) {
                return Turn::Later;
            }
            remember(&mut self.turns, account.to_owned(), now, |at| *at);
        }
        self.count(now, (client, network), account, 1.0);
        Turn::After(wait(failures))
    }

    fn count(
        &mut self,
        now: Duration,
        (client, network): (IpAddr, IpAddr),
        account: &str,
        by: f64,
    ) {
        let plus = |count: Option<&Count>| count.copied().unwrap_or_default().plus(by, now);
        let count = plus(self.clients.get(&client));
        remember(&mut self.clients, client, count, |count| count.at);
        let count = plus(self.networks.get(&network));
        remember(&mut self.networks, network, count, |count| count.at);
        let count = plus(self.accounts.get(account));
        remember(&mut self.accounts, account.to_owned(), count, |count| count.at);
    }

    /// The attempt was no guess: nobody could judge it.
    pub(super) fn taken_back(&mut self, now: Duration, from: IpAddr, account: &str) {
        self.count(now, places(from), account, -1.0);
    }

    /// Somebody is who they say. Where one of a network's users knows the password, what the
    /// others mistyped counts half; guessing from where one can log in oneself stays slow.
    pub(super) fn succeeded(&mut self, now: Duration, from: IpAddr, account: &str) {
        self.taken_back(now, from, account);
        let (client, _) = places(from);
        if let Some(count) = self.clients.get_mut(&client) {
            count.failures /= 2.0;
        }
        remember(&mut self.familiar, (account.to_owned(), client), now, |at| *at);
    }
}

// Puts a value in; where there are too many, the half that is oldest goes.
fn remember<K: Eq + Hash, V>(
    map: &mut HashMap<K, V>,
    key: K,
    value: V,
    at: impl Fn(&V) -> Duration,
) {
    if map.len() >= MOST && !map.contains_key(&key) {
        let mut times: Vec<Duration> = map.values().map(&at).collect();
        times.sort_unstable();
        let middle = times.get(times.len() / 2).copied().unwrap_or_default();
        map.retain(|_, value| at(value) > middle);
    }
    map.insert(key, value);
}

// None for the first, then 1 s, 2 s, 4 s and the longest.
fn wait(failures: f64) -> Duration {
    if failures < FREE {
        return Duration::ZERO;
    }
    Duration::from_secs_f64((failures - FREE).exp2().min(LONGEST.as_secs_f64())).min(LONGEST)
}

// A client is an IPv4 address or a /64; a network a /24 or a /48.
fn places(from: IpAddr) -> (IpAddr, IpAddr) {
    match from.to_canonical() {
        IpAddr::V4(address) => {
            let [a, b, c, _] = address.octets();
            (address.into(), [a, b, c, 0].into())
        }
        IpAddr::V6(address) => {
            let of = |prefix: u32| {
                IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << (128 - prefix))))
            };
            (of(64), of(48))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(100_000);

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    /// Fails until it is not judged any more; tells for how long each attempt waited.
    fn guess(pace: &mut Pace, from: &str, account: &str) -> (Vec<u64>, Turn) {
        let mut waits = Vec::new();
        loop {
            match pace.ask(NOW, ip(from), account) {
                Turn::After(wait) => waits.push(wait.as_secs()),
                other => return (waits, other),
            }
        }
    }

    #[test]
    fn a_client_waits_longer_each_time_and_is_sent_away_for_a_while() {
        let mut pace = Pace::default();
        let (waits, turn) = guess(&mut pace, "192.0.2.1", "ana");
        assert_eq!(waits, [0, 0, 0, 1, 2, 4, 8, 8, 8, 8]);
        assert_eq!(turn, Turn::SentAway(TooMany::Client));
        // By another name and another spelling of its address, too; not its neighbour.
        let away = Turn::SentAway(TooMany::Client);
        assert_eq!(pace.ask(NOW, ip("::ffff:192.0.2.1"), "bea"), away);
        assert_eq!(pace.ask(NOW, ip("192.0.2.2"), "ana"), Turn::After(Duration::ZERO));
        let later = NOW + Duration::from_secs(600);
        assert_eq!(pace.ask(later, ip("192.0.2.1"), "bea"), Turn::After(Duration::from_secs(4)));
        let tomorrow = NOW + Duration::from_secs(86_400);
        assert_eq!(pace.ask(tomorrow, ip("192.0.2.1"), "bea"), Turn::After(Duration::ZERO));
    }

    #[test]
    fn a_network_is_sent_away_after_more_and_ipv6_counts_by_its_64_and_48() {
        for (own, other_client, other_network) in [
            ("192.0.2.", "192.0.2.99", "192.0.3.1"),
            ("2001:db8:1:", "2001:db8:1:ffff::1", "2001:db8:2::1"),
        ] {
            let mut pace = Pace::default();
            for number in 1..=50 {
                let from = match own.ends_with(':') {
                    true => format!("{own}{number}::{number}"),
                    false => format!("{own}{number}"),
                };
                pace.ask(NOW, ip(&from), &format!("user{number}"));
            }
            let away = Turn::SentAway(TooMany::Network);
            assert_eq!(pace.ask(NOW, ip(other_client), "ana"), away, "{own}");
            let free = Turn::After(Duration::ZERO);
            assert_eq!(pace.ask(NOW, ip(other_network), "ana"), free, "{own}");
        }
        let mut pace = Pace::default();
        for number in 0..10 {
            pace.ask(NOW, ip(&format!("2001:db8::{number}")), "ana");
        }
        assert_eq!(pace.ask(NOW, ip("2001:db8::ffff"), "ana"), Turn::SentAway(TooMany::Client));
    }

    #[test]
    fn guessers_from_everywhere_take_turns_and_do_not_keep_the_owner_out() {
        let mut pace = Pace::default();
        let home = ip("203.0.113.9");
        pace.succeeded(NOW, home, "ana");
        for number in 0..20 {
            pace.ask(NOW, ip(&format!("198.51.{number}.1")), "ana");
        }
        let bot = ip("198.51.100.1");
        assert_eq!(pace.ask(NOW, bot, "ana"), Turn::After(Duration::ZERO));
        let soon = NOW + Duration::from_secs(1);
        assert_eq!(pace.ask(soon, ip("198.51.101.1"), "ana"), Turn::Later);
        assert_eq!(pace.ask(soon, home, "ana"), Turn::After(Duration::ZERO));
        assert_eq!(pace.ask(soon, bot, "bea"), Turn::After(Duration::ZERO));
        assert_eq!(pace.ask(NOW + TURN, bot, "ana"), Turn::After(Duration::ZERO));
    }

    #[test]
    fn people_who_mistype_and_then_do_not_are_forgiven() {
        let mut pace = Pace::default();
        let school = ip("192.0.2.1");
        // Thirty behind one address, each of whom is wrong once before they are right.
        for number in 0..30 {
            let account = format!("student{number}");
            for _ in 0..2 {
                let turn = pace.ask(NOW, school, &account);
                assert_eq!(turn, Turn::After(Duration::ZERO), "{number}");
            }
            pace.succeeded(NOW, school, &account);
        }
    }

    #[test]
    fn memory_is_bounded() {
        let mut pace = Pace::default();
        for number in 0..200_000u32 {
            let now = NOW + Duration::from_millis(u64::from(number));
            let from = IpAddr::from(number.to_be_bytes());
            pace.ask(now, from, &number.to_string());
            pace.succeeded(now, from, "ana");
        }
        for size in [pace.clients.len(), pace.accounts.len(), pace.familiar.len()] {
            assert!((MOST / 2..=MOST).contains(&size), "{size}");
        }
        // Those that came last are known.
        let last = 199_999u32;
        assert!(pace.clients.contains_key(&IpAddr::from(last.to_be_bytes())));
    }
}
