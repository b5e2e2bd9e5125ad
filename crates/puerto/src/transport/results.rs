//! What became of TLS with each policy domain, counted for the reports of RFC 8460.
//!
//! Connections are counted, not messages, and by the day in UTC. A host with TLSA records is
//! its own policy domain, and its operator hears of it; else it is the recipient's domain. To
//! count is to add to a number in memory; the file follows, and what a crash takes with it
//! is missing in a report and nowhere else.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use puerto_spool::clock::Clock;
use serde::{Deserialize, Serialize};

use super::file::{self, Kept, Lagging};
use super::sts::Shared;
use super::{Demand, Rule};
use crate::cause::Cause;

/// The file's name in the state folder.
const FILE: &str = "tls-results";
/// Policies that are counted at the same time, of all days together.
const MOST: usize = 20_000;
/// Failures of one of them that are told apart.
const MOST_FAULTS: usize = 100;
/// How long the file may lag behind.
const LAG: Duration = Duration::from_secs(60);
const DAY: i64 = 24 * 3600;

/// What kind of policy a domain has, as reports call it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Kind {
    /// TLSA records.
    #[serde(rename = "tlsa")]
    Tlsa,
    /// An MTA-STS policy.
    #[serde(rename = "sts")]
    Sts,
    /// None.
    #[serde(rename = "no-policy-found")]
    None,
}

/// Connections that failed in one way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// The result type (RFC 8460 §4.3).
    pub kind: String,
    /// Where we came from, if we know.
    pub from: Option<IpAddr>,
    /// The host.
    pub host: Option<String>,
    /// Its address.
    pub to: Option<IpAddr>,
    /// Our own name for the reason.
    pub reason: String,
    /// How many.
    pub count: u64,
}

/// What is counted of one policy on one day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Days since the epoch.
    pub day: i64,
    /// The policy domain.
    pub domain: String,
    /// What policy it has.
    pub kind: Kind,
    /// The policy, line by line or record by record.
    pub policy: Vec<String>,
    /// The hosts that an MTA-STS policy names.
    pub hosts: Vec<String>,
    /// Connections whose TLS was as the policy wants it.
    pub good: u64,
    /// Those whose was not.
    pub bad: u64,
    /// How they failed.
    pub faults: Vec<Fault>,
}

/// One connection.
#[derive(Debug, Clone, Copy)]
pub struct Seen<'a> {
    /// What was demanded.
    pub rule: &'a Rule,
    /// Of whom.
    pub host: &'a str,
    /// Where that is.
    pub to: Option<IpAddr>,
    /// Where we came from, if we know.
    pub from: Option<IpAddr>,
    /// Why TLS was not as it should be.
    pub result: Result<(), &'a Cause>,
}

/// The counts. Clones share them.
#[derive(Clone)]
pub struct Results(Arc<Inner>);

struct Inner {
    clock: Arc<dyn Clock>,
    policies: Option<Shared>,
    file: Lagging,
    tallies: Mutex<BTreeMap<Key, Tally>>,
}

type Key = (i64, String, Kind);

impl Results {
    /// Counts that end with the process.
    pub fn new(clock: Arc<dyn Clock>, policies: Option<Shared>) -> Self {
        Self::with(clock, policies, None, BTreeMap::new())
    }

    /// Where they are kept in a state folder.
    pub fn file(state_dir: &Path) -> PathBuf {
        state_dir.join(FILE)
    }

    /// The counts in a state folder. A line that is damaged is left out.
    pub fn in_folder(
        clock: Arc<dyn Clock>,
        policies: Option<Shared>,
        state_dir: &Path,
    ) -> io::Result<Self> {
        let path = Self::file(state_dir);
        let text = file::read(&path)?;
        let lines = text.lines().filter_map(|line| serde_json::from_str::<Tally>(line).ok());
        let tallies = lines.take(MOST).map(|one| ((one.day, one.domain.clone(), one.kind), one));
        Ok(Self::with(clock, policies, Some(path), tallies.collect()))
    }

    fn with(
        clock: Arc<dyn Clock>,
        policies: Option<Shared>,
        path: Option<PathBuf>,
        tallies: BTreeMap<Key, Tally>,
    ) -> Self {
        let (file, tallies) = (Lagging::new(path, LAG), Mutex::new(tallies));
        Self(Arc::new(Inner { clock, policies, file, tallies }))
    }

    /// The day that it is, since the epoch.
    pub fn today(&self) -> i64 {
        (self.0.clock.now().as_millis() / 1000).div_euclid(DAY)
    }

    /// Counts a connection that carries mail for recipients of these domains.
    pub fn note(&self, domains: &[&str], seen: &Seen<'_>) {
        match &seen.rule.demand {
            // Who wants none has no failures to report.
            Demand::None => {}
            Demand::Dane(dane) => {
                let found = Found { policy: dane.records.written(), hosts: Vec::new() };
                self.add((&dane.base, Kind::Tlsa), found, seen);
            }
            Demand::Encrypted => {
                let unusable = Seen { result: seen.result.and(Err(&seen.rule.reason)), ..*seen };
                self.add((seen.host, Kind::Tlsa), Found::default(), &unusable);
            }
            Demand::Opportunistic | Demand::Watched | Demand::Verified => {
                for domain in domains {
                    self.note_of(domain, seen);
                }
            }
        }
    }

    /// Counts a host of a domain that was left out, so that no connection was made.
    pub fn left_out(&self, domain: &str, host: &str, why: &Cause) {
        let rule = Rule { demand: Demand::Verified, reason: why.clone() };
        let seen = Seen { rule: &rule, host, to: None, from: None, result: Err(why) };
        match why {
            Cause::TlsaUnknown { .. } => self.add((host, Kind::Tlsa), Found::default(), &seen),
            _ => self.note_of(domain, &seen),
        }
    }

    fn note_of(&self, domain: &str, seen: &Seen<'_>) {
        let policies = self.0.policies.as_ref().and_then(Shared::upgrade);
        let policy = policies.as_ref().and_then(|policies| policies.known(domain));
        if let Some(policy) = policy {
            let found = Found { policy: policy.written(), hosts: policy.hosts.clone() };
            return self.add((domain, Kind::Sts), found, seen);
        }
        self.add((domain, Kind::None), Found::default(), seen);
        // RFC 8460 §4.3.2.2: that there is a policy which could not be had is told, too.
        if let Some(why) = policies.and_then(|policies| policies.fault(domain)) {
            let fault = Seen { result: Err(&why), to: None, from: None, ..*seen };
            self.add((domain, Kind::Sts), Found::default(), &fault);
        }
    }

    fn add(&self, (domain, kind): (&str, Kind), found: Found, seen: &Seen<'_>) {
        let key = (self.today(), domain.to_owned(), kind);
        {
            let mut tallies = self.tallies();
            if tallies.len() >= MOST && !tallies.contains_key(&key) {
                return;
            }
            let tally = tallies.entry(key.clone()).or_insert_with(|| Tally {
                day: key.0,
                domain: key.1,
                kind,
                policy: Vec::new(),
                hosts: Vec::new(),
                good: 0,
                bad: 0,
                faults: Vec::new(),
            });
            tally.add(found, seen);
        }
        file::touch(self);
    }

    /// The days that are over and what was counted on them: each with its policy domain, once.
    pub fn finished(&self) -> Vec<(i64, String)> {
        let today = self.today();
        let tallies = self.tallies();
        let mut over: Vec<_> = tallies
            .keys()
            .filter(|(day, ..)| *day < today)
            .map(|(day, domain, _)| (*day, domain.clone()))
            .collect();
        over.dedup();
        over
    }

    /// What was counted of a domain on a day.
    pub fn of(&self, day: i64, domain: &str) -> Vec<Tally> {
        let tallies = self.tallies();
        let own = tallies.values().filter(|one| one.day == day && one.domain == domain);
        own.cloned().collect()
    }

    /// Forgets it: it was reported, or never will be.
    pub fn forget(&self, day: i64, domain: &str) {
        self.tallies().retain(|(on, of, _), _| *on != day || of != domain);
        file::touch(self);
    }

    /// Writes the file, whole or not at all. It blocks.
    pub fn write(&self) -> io::Result<()> {
        file::write(self)
    }

    fn tallies(&self) -> MutexGuard<'_, BTreeMap<Key, Tally>> {
        self.0.tallies.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A policy, as it is now.
#[derive(Default)]
struct Found {
    policy: Vec<String>,
    hosts: Vec<String>,
}

impl Tally {
    fn add(&mut self, found: Found, seen: &Seen<'_>) {
        if !found.policy.is_empty() {
            (self.policy, self.hosts) = (found.policy, found.hosts);
        }
        let Err(why) = seen.result else {
            self.good += 1;
            return;
        };
        self.bad += 1;
        let fault = Fault {
            kind: result_type(why).to_owned(),
            from: seen.from,
            host: Some(seen.host.to_owned()),
            to: seen.to,
            reason: innermost(why).id().to_owned(),
            count: 1,
        };
        let is_same = |one: &&mut Fault| Fault { count: 1, ..(**one).clone() } == fault;
        let has_room = self.faults.len() < MOST_FAULTS;
        match self.faults.iter_mut().find(is_same) {
            Some(same) => same.count += 1,
            None if has_room => self.faults.push(fault),
            None => {}
        }
    }
}

// What brought the rest about.
fn innermost(why: &Cause) -> &Cause {
    match why {
        Cause::StsTestFailed { why }
        | Cause::PlainAfterTls { why }
        | Cause::Downgraded { why, .. }
        | Cause::PlainBecause { why }
        | Cause::TlsFailed { why, .. } => innermost(why),
        why => why,
    }
}

/// The result type of RFC 8460 §4.3 for a cause.
fn result_type(why: &Cause) -> &'static str {
    match innermost(why) {
        Cause::PlainNotOffered {} | Cause::NoTls { .. } => "starttls-not-supported",
        Cause::CertificateExpired {} => "certificate-expired",
        Cause::CertificateOfOther {} | Cause::CertificateFor { .. } => "certificate-host-mismatch",
        Cause::CertificateSelfSigned {} | Cause::CertificateUntrusted {} => {
            "certificate-not-trusted"
        }
        Cause::DaneUnusable {} => "tlsa-invalid",
        Cause::TlsaUnknown { .. } => "dnssec-invalid",
        Cause::StsNotFetched {} => "sts-policy-fetch-error",
        Cause::StsInvalid {} => "sts-policy-invalid",
        Cause::StsUntrusted {} => "sts-webpki-invalid",
        _ => "validation-failure",
    }
}

impl Kept for Results {
    fn file(&self) -> &Lagging {
        &self.0.file
    }

    fn text(&self) -> io::Result<String> {
        let tallies = self.tallies();
        let lines = tallies.values().map(|one| Ok(serde_json::to_string(one)? + "\n"));
        lines.collect()
    }
}

impl fmt::Debug for Results {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Results")
    }
}

#[cfg(test)]
mod tests {
    use puerto_mail::dns::Record;
    use puerto_spool::Timestamp;
    use puerto_spool::clock::ManualClock;

    use super::*;
    use crate::config::TlsLevel;
    use crate::tls::{Dane, TlsaSet};

    const HOST: &str = "mx.example";

    fn clock() -> Arc<ManualClock> {
        Arc::new(ManualClock::new(Timestamp::from_millis(1_795_000_000_000)))
    }

    fn dane() -> Rule {
        let records = Arc::new(TlsaSet::of(&[Record::Tlsa(3, 1, 1, vec![7; 32])]));
        let base: Arc<str> = HOST.into();
        let demand = Demand::Dane(Arc::new(Dane { names: vec![base.clone()], base, records }));
        Rule { demand, reason: Cause::DanePublished { records: "3 1 1".to_owned() } }
    }

    fn seen<'a>(rule: &'a Rule, result: Result<(), &'a Cause>) -> Seen<'a> {
        let to = Some([192, 0, 2, 1].into());
        Seen { rule, host: HOST, to, from: None, result }
    }

    fn failed(why: Cause) -> Cause {
        Cause::TlsFailed { host: HOST.to_owned(), why: Box::new(why) }
    }

    #[tokio::test]
    async fn connections_are_counted_by_policy_and_by_failure() {
        let results = Results::new(clock(), None);
        let usual = Rule::of_level(TlsLevel::Opportunistic);
        let domains = ["a.example", "b.example"];
        results.note(&domains, &seen(&usual, Ok(())));
        let plain = Cause::PlainNotOffered {};
        results.note(&domains[..1], &seen(&usual, Err(&plain)));
        results.note(&domains[..1], &seen(&usual, Err(&plain)));
        let other = failed(Cause::CertificateFor { names: "x.example".to_owned() });
        results.note(&domains[..1], &seen(&usual, Err(&other)));
        results.note(&domains, &seen(&Rule::of_level(TlsLevel::None), Ok(())));
        let day = results.today();
        let [a] = &results.of(day, "a.example")[..] else { panic!() };
        assert_eq!((a.kind, a.good, a.bad), (Kind::None, 1, 3));
        let faults: Vec<_> = a.faults.iter().map(|one| (one.kind.as_str(), one.count)).collect();
        assert_eq!(faults, [("starttls-not-supported", 2), ("certificate-host-mismatch", 1)]);
        assert_eq!(results.of(day, "b.example")[0].good, 1);
        // The host's own operator hears of its TLSA records.
        let unmatched = failed(Cause::TlsaUnmatched { host: HOST.to_owned() });
        results.note(&domains, &seen(&dane(), Err(&unmatched)));
        results.note(&domains, &seen(&dane(), Ok(())));
        let [host] = &results.of(day, HOST)[..] else { panic!() };
        assert_eq!((host.kind, host.good, host.bad), (Kind::Tlsa, 1, 1));
        assert_eq!(host.policy, [format!("3 1 1 {}", "07".repeat(32))]);
        assert_eq!(host.faults[0].kind, "validation-failure");
        assert_eq!(host.faults[0].reason, "tls.tlsa-unmatched");
        assert_eq!(results.of(day, "b.example")[0].bad, 0);
        let error = puerto_mail::dns::DnsError::Timeout;
        let unknown = Cause::TlsaUnknown { host: HOST.to_owned(), error };
        results.left_out("a.example", HOST, &unknown);
        assert_eq!(results.of(day, HOST)[0].faults[1].kind, "dnssec-invalid");
    }

    /// The rows of RFC 8460 §4.3, but for `dane-required`, which nobody can configure here.
    #[test]
    fn each_failure_has_the_type_that_the_standard_gives_it() {
        let error = puerto_mail::dns::DnsError::Timeout;
        let host = || HOST.to_owned();
        for (cause, kind) in [
            (Cause::NoTls { host: host() }, "starttls-not-supported"),
            (Cause::PlainNotOffered {}, "starttls-not-supported"),
            (Cause::CertificateOfOther {}, "certificate-host-mismatch"),
            (Cause::CertificateExpired {}, "certificate-expired"),
            (Cause::CertificateUntrusted {}, "certificate-not-trusted"),
            (Cause::CertificateSelfSigned {}, "certificate-not-trusted"),
            (Cause::HandshakeTimedOut {}, "validation-failure"),
            // The records are right, and the certificate is not: none of them is invalid.
            (Cause::TlsaUnmatched { host: host() }, "validation-failure"),
            (Cause::DaneUnusable {}, "tlsa-invalid"),
            (Cause::TlsaUnknown { host: host(), error }, "dnssec-invalid"),
            (Cause::StsNotFetched {}, "sts-policy-fetch-error"),
            (Cause::StsInvalid {}, "sts-policy-invalid"),
            (Cause::StsUntrusted {}, "sts-webpki-invalid"),
        ] {
            assert_eq!(result_type(&cause), kind, "{cause}");
            assert_eq!(result_type(&failed(cause.clone())), kind, "in the handshake: {cause}");
            let tested = Cause::StsTestFailed { why: Box::new(cause) };
            assert_eq!(result_type(&tested), kind, "where a policy is tried out");
        }
    }

    #[tokio::test]
    async fn a_day_ends_at_midnight_in_utc_and_outlives_a_restart() {
        let (folder, clock) = (tempfile::tempdir().unwrap(), clock());
        let open = || Results::in_folder(clock.clone(), None, folder.path()).unwrap();
        let results = open();
        let day = results.today();
        let usual = Rule::of_level(TlsLevel::Opportunistic);
        results.note(&["a.example"], &seen(&usual, Ok(())));
        assert!(results.finished().is_empty(), "the day is not over");
        let left = (day + 1) * DAY * 1000 - clock.now().as_millis();
        clock.advance(Duration::from_millis(u64::try_from(left).unwrap()));
        results.note(&["a.example"], &seen(&usual, Ok(())));
        assert_eq!(results.finished(), [(day, "a.example".to_owned())]);
        results.write().unwrap();
        let file = Results::file(folder.path());
        let text = std::fs::read_to_string(&file).unwrap();
        std::fs::write(&file, format!("{{\"day\":\n{text}")).unwrap();
        let results = open();
        assert_eq!(results.finished(), [(day, "a.example".to_owned())]);
        assert_eq!(results.of(day, "a.example")[0].good, 1);
        results.forget(day, "a.example");
        assert!(results.finished().is_empty());
        assert_eq!(results.of(day + 1, "a.example")[0].good, 1);
    }

    #[tokio::test]
    async fn counts_are_bounded() {
        let results = Results::new(clock(), None);
        let usual = Rule::of_level(TlsLevel::Opportunistic);
        for number in 0..MOST + 10 {
            results.note(&[&format!("d{number}.example")], &seen(&usual, Ok(())));
        }
        assert_eq!(results.tallies().len(), MOST);
        let plain = Cause::PlainNotOffered {};
        for number in 0..MOST_FAULTS + 10 {
            let host = format!("mx{number}.example");
            let seen = Seen { host: &host, ..seen(&usual, Err(&plain)) };
            results.note(&["d0.example"], &seen);
        }
        let [one] = &results.of(results.today(), "d0.example")[..] else { panic!() };
        assert_eq!((one.faults.len(), one.bad), (MOST_FAULTS, 110));
    }
}
