use super::*;
use crate::config::Config;

fn caps(section: &str) -> config::Caps {
    Config::parse(&format!("hostname = \"a.example\"\n[caps]\n{section}\n"), "test").unwrap().caps
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_millis(1_795_500_000_000 + seconds * 1000)
}

const ANA: Sending<'_> = Sending { account: Some("ana"), user: None, client: None };

struct Bench {
    caps: config::Caps,
    counts: Caps,
    folder: tempfile::TempDir,
}

impl Bench {
    fn new(section: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { caps: caps(section), counts: Caps::new(folder.path()), folder }
    }

    /// Whether a message is held, and whether somebody is told.
    fn send(&self, sending: Sending<'_>, to: &[&str], seconds: i64) -> (bool, bool) {
        let to: Vec<Address> = to.iter().map(|to| Address::parse(to).unwrap()).collect();
        let over = self.counts.count((&self.caps, &[]), sending, to.iter(), at(seconds));
        (over.is_some(), over.is_some_and(|over| over.is_first))
    }

    fn restart(&mut self) {
        self.counts = Caps::new(self.folder.path());
    }
}

#[test]
fn what_comes_beyond_a_cap_is_held_and_told_of_once_in_each_overrun() {
    let mut bench = Bench::new("accounts = { \"*\" = [\"2 messages/hour\", \"4 messages/day\"] }");
    let one = |bench: &Bench, seconds| bench.send(ANA, &["you@example.net"], seconds);
    assert_eq!([one(&bench, 0), one(&bench, 1)], [(false, false); 2]);
    assert_eq!([one(&bench, 2), one(&bench, 3)], [(true, true), (true, false)]);
    // The day's, too, and that is another overrun.
    assert_eq!([one(&bench, 4), one(&bench, 5)], [(true, true), (true, false)]);
    bench.restart();
    assert_eq!(one(&bench, 6), (true, false), "a restart forgets nothing");
    assert_eq!(one(&bench, 3600), (true, false), "the day is not over");
    assert_eq!(one(&bench, 90_000), (false, false));
    let bob = Sending { account: Some("bob"), ..ANA };
    assert_eq!(bench.send(bob, &["you@example.net"], 7), (false, false), "each has an own count");
    assert_eq!(bench.send(ANA, &[], 90_001), (false, false), "local mail does not count");
}

#[test]
fn new_are_recipients_that_this_sender_has_not_sent_to() {
    let mut bench = Bench::new("users = { www-data = [\"3 recipients/hour\"] }");
    let www = Sending { account: None, user: Some((33, "www-data")), client: None };
    assert!(!bench.send(www, &["a@x.example", "b@x.example", "A@X.example"], 0).0);
    for seconds in 1..50 {
        assert!(!bench.send(www, &["a@x.example", "b@x.example"], seconds).0, "known by now");
    }
    assert_eq!(bench.send(www, &["c@x.example", "d@x.example"], 60), (true, true));
    assert_eq!(bench.send(www, &["c@x.example"], 61), (true, false), "it was held: still new");
    assert!(!bench.send(www, &["b@x.example"], 62).0, "who writes to known people goes on");
    bench.restart();
    assert!(!bench.send(www, &["a@x.example"], 63).0);
    assert!(!bench.send(www, &["c@x.example"], 3700).0);
    let other = Sending { user: Some((34, "other")), ..www };
    assert!(!bench.send(other, &["a@y.example", "b@y.example", "c@y.example", "d@y.example"], 0).0);
}

#[test]
fn clients_are_counted_by_address_and_by_network_of_one_customer() {
    let bench = Bench::new(
        "clients = { \"192.0.2.1/32\" = [], \"192.0.2.0/24\" = \"1 message/day\", \
         \"2001:db8::/32\" = [\"1 message/hour\"] }\naccounts = { ana = [\"1 message/hour\"] }",
    );
    let from = |address: &str| Sending {
        account: None,
        user: None,
        client: Some(address.parse().unwrap()),
    };
    let held = |address| bench.send(from(address), &["you@example.net"], 0).0;
    assert_eq!([held("192.0.2.1"), held("192.0.2.1")], [false, false], "none for this one");
    assert_eq!(
        [held("192.0.2.2"), held("192.0.2.3"), held("::ffff:192.0.2.2")],
        [false, false, true]
    );
    assert_eq!(
        [held("2001:db8::1"), held("2001:db8::2"), held("2001:db8:0:1::1")],
        [false, true, false]
    );
    // Whoever logs in counts for both.
    let both = Sending { account: Some("ana"), ..from("192.0.2.9") };
    assert!(!bench.send(both, &["you@example.net"], 1).0);
    assert!(bench.send(from("192.0.2.9"), &["you@example.net"], 2).0);
}

#[test]
fn memory_is_bounded() {
    let bench = Bench::new("accounts = { \"*\" = [\"1000000 recipients/day\"] }");
    for number in 0..20 {
        let many: Vec<String> = (0..1000).map(|n| format!("u{number}-{n}@x.example")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        bench.send(ANA, &many, number);
    }
    let state = bench.counts.state();
    let sender = &state.senders.as_ref().unwrap()["account ana"];
    assert_eq!((sender.known.len(), sender.looked_up.len()), (KNOWN, KNOWN));
}

#[test]
fn mistakes_are_named_and_what_is_right_reads_back() {
    for section in [
        "accounts = { ana = \"200\" }",
        "users = { ana = [\"2 mails/hour\"] }",
        "clients = { x = [] }",
    ] {
        let text = format!("hostname = \"a.example\"\n[caps]\n{section}\n");
        let error = Config::parse(&text, "test").unwrap_err().to_string();
        assert!(error.contains("caps."), "{section}: {error}");
    }
    let section = "accounts = { \"*\" = [\"200 messages/h\", \"20 recipients/d\"] }\n\
                   clients = { \"192.0.2.0/24\" = [\"1 message/day\"] }";
    let config =
        Config::parse(&format!("hostname = \"a.example\"\n[caps]\n{section}\n"), "t").unwrap();
    assert_eq!(Config::parse(&config.to_toml(), "test").unwrap().caps, config.caps);
}

#[test]
fn an_accounts_cap_is_found_by_each_of_its_names() {
    let folder = tempfile::tempdir().unwrap();
    let counts = Caps::new(folder.path());
    let caps = caps("accounts = { \"Ana@Example.com\" = [\"1 messages/hour\"], \"*\" = [] }");
    let to = [Address::parse("you@example.net").unwrap()];
    let is_over = |domain: &str, seconds| {
        let domains = [Domain::parse(domain).unwrap()];
        counts.count((&caps, &domains), ANA, to.iter(), at(seconds)).is_some()
    };
    assert_eq!([0, 1].map(|seconds| is_over("example.com", seconds)), [false, true]);
    assert!(!is_over("example.net", 2), "ana@example.com is somebody else then");
}
