use puerto_smtp::{Address, Recipient};
use puerto_spool::clock::ManualClock;

use super::*;
use crate::config::NextHopHost;

const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_millis(NOW.as_millis() + seconds * 1000)
}

fn orders(given: &[(What, Option<i64>)]) -> Orders {
    let orders = Orders::default();
    let kept = given.iter().zip(1..).map(|((what, seconds), number)| {
        let until = seconds.map(at);
        let order = Order { what: what.clone(), since: NOW, until, by: 0, note: None };
        (number, serde_json::to_string(&order).unwrap())
    });
    assert!(orders.replace(kept.collect()) || given.is_empty());
    orders
}

fn some(text: &str) -> Option<String> {
    Some(text.to_owned())
}

fn pause(to: &str, from: Option<&str>) -> What {
    What::Pause { to: to.into(), from: from.map(str::to_owned) }
}

fn sender(text: &str) -> ReversePath {
    ReversePath::parse(&format!("<{text}>")).unwrap()
}

#[test]
fn a_pause_is_for_its_domain_and_sender_until_its_end() {
    let orders = orders(&[
        (pause("example.net", None), Some(60)),
        (pause("*.example.org", Some("@shop.example")), None),
        (pause("example.net", Some("ana@shop.example")), Some(600)),
    ]);
    let standing = orders.get();
    for (from, to, now, expected) in [
        ("bob@x.example", "example.net", 0, Some((1, Some(at(60))))),
        ("ana@shop.example", "Example.NET", 0, Some((3, Some(at(600))))),
        ("bob@x.example", "sub.example.net", 0, None),
        ("bob@x.example", "example.net", 60, None),
        ("", "example.net", 59, Some((1, Some(at(60))))),
        ("bob@shop.example", "a.b.example.org", 1_000_000, Some((2, None))),
        ("bob@x.example", "example.org", 0, None),
    ] {
        let domain = Domain::parse(to).unwrap();
        assert_eq!(standing.pause_of(&sender(from), &domain, at(now)), expected, "{from} {to}");
    }
}

#[test]
fn new_mail_is_held_that_fits_all_of_an_order() {
    let hold = |to: Option<&str>, from: Option<&str>, account: Option<&str>, larger| What::Hold {
        to: to.map(str::to_owned),
        from: from.map(str::to_owned),
        account: account.map(str::to_owned),
        larger,
    };
    let orders = orders(&[
        (hold(Some("boss@example.net"), None, None, None), None),
        (hold(None, Some("@shop.example"), None, Some(1000)), None),
        (hold(None, None, Some("ana"), None), Some(60)),
        (hold(Some("@example.org"), None, None, None), None),
        (hold(None, None, Some("Luis@Example.com"), None), None),
    ]);
    let domains = [Domain::parse("example.com").unwrap()];
    for (from, to, size, account, expected) in [
        ("a@x.example", "boss@example.net", 1, None, Some(1)),
        ("a@x.example", "other@example.net", 1, None, None),
        ("a@shop.example", "x@example.net", 1000, None, None),
        ("a@shop.example", "x@example.net", 1001, None, Some(2)),
        ("a@x.example", "x@example.net", 1, Some("Ana"), Some(3)),
        ("a@x.example", "x@example.net", 1, Some("bob"), None),
        ("a@x.example", "x@example.net", 1, Some("luis"), Some(5)),
        ("a@x.example", "x@example.net", 1, Some("luis@example.com"), Some(5)),
        ("a@x.example", "x@example.net", 1, Some("luis@example.net"), None),
        ("", "x@example.org", 1, None, Some(4)),
    ] {
        let recipients = vec![
            Recipient::new(Address::parse("first@nowhere.example").unwrap()),
            Recipient::new(Address::parse(to).unwrap()),
        ];
        let envelope = Envelope::new(sender(from), recipients);
        assert_eq!(
            orders.get().hold_of(&envelope, (size, account, &domains), NOW),
            expected,
            "{from} {to}"
        );
    }
}

#[test]
fn another_way_goes_before_the_configured_ones_and_has_their_password() {
    let mut config = Config::for_tests(std::path::Path::new("/nonexistent"));
    config.relayhost = NextHop::parse("[relay.example]:587").ok();
    config.relayhost_login =
        Some(Login { user: "me".into(), password_file: "/etc/password".into() });
    let reroute =
        |to: &str, via: &str| What::Reroute { to: to.into(), from: None, via: via.into() };
    let orders = orders(&[
        (reroute("*", "[192.0.2.1]"), None),
        (reroute("example.net", "[relay.example]:587"), Some(60)),
    ]);
    let standing = orders.get();
    let routes = standing.rerouted(&config, NOW).routes;
    assert_eq!(routes.len(), 2);
    assert_eq!(routes[0].to.as_deref(), Some("example.net"), "the newest comes first");
    assert_eq!(routes[0].login, config.relayhost_login);
    assert_eq!(routes[1].login, None);
    assert!(matches!(routes[1].via.as_ref().unwrap().host, NextHopHost::Address(_)));
    assert_eq!(standing.next_reroute_ends(NOW), Some(at(60)));
    assert_eq!(standing.rerouted(&config, at(60)).routes.len(), 1);
}

#[test]
fn the_way_is_the_same_configuration_until_something_changes() {
    let clock = Arc::new(ManualClock::new(NOW));
    let orders = Orders::new(clock.clone());
    let config = Arc::new(Config::for_tests(std::path::Path::new("/nonexistent")));
    assert!(Arc::ptr_eq(&orders.way(Arc::clone(&config)), &config));
    let what = What::Reroute { to: "a.example".into(), from: None, via: "[192.0.2.1]".into() };
    let order = Order { what, since: NOW, until: Some(at(60)), by: 0, note: None };
    orders.replace(vec![(1, serde_json::to_string(&order).unwrap())]);
    let way = orders.way(Arc::clone(&config));
    assert_eq!(way.routes.len(), config.routes.len() + 1);
    assert!(Arc::ptr_eq(&orders.way(Arc::clone(&config)), &way));
    clock.advance(std::time::Duration::from_secs(60));
    assert_eq!(orders.way(Arc::clone(&config)).routes.len(), config.routes.len());
}

#[test]
fn a_final_dot_is_taken_off_wherever_a_domain_ends() {
    for (given, expected) in [
        (
            pause("*.example.net.", Some("@shop.example.")),
            pause("*.example.net", Some("@shop.example")),
        ),
        (pause("*", Some("<>")), pause("*", Some("<>"))),
    ] {
        assert_eq!(given.without_final_dots(), expected);
    }
    let hold =
        |to: &str| What::Hold { to: some(to), from: None, account: some("a."), larger: None };
    assert_eq!(hold("a@b.example.").without_final_dots(), hold("a@b.example"));
}

#[test]
fn what_cannot_be_ordered_is_said() {
    let hold = |from: Option<&str>, account: Option<&str>| What::Hold {
        to: None,
        from: from.map(str::to_owned),
        account: account.map(str::to_owned),
        larger: None,
    };
    let reroute = |via: &str| What::Reroute { to: "a.example".into(), from: None, via: via.into() };
    for (what, word) in [
        (pause("not a domain", None), "no domain"),
        (pause("user@example.net", None), "no domain"),
        (pause("gmail", None), "no dot"),
        (pause("example.net", Some("shop.example")), "no sender"),
        // Conditions take patterns, and orders whole names.
        (pause("example.net", Some("news-*@shop.example")), "no sender"),
        (hold(None, Some("shop-*")), "no account"),
        (hold(None, Some(" ")), "no account"),
        (hold(None, None), "--account"),
        (reroute("192.0.2.1"), "brackets"),
    ] {
        let fault = what.fault().unwrap().to_string();
        assert!(fault.contains(word), "{fault}");
    }
    let recipient =
        What::Hold { to: some("a@b.example"), from: some("<>"), account: None, larger: None };
    let user = What::Hold { to: some("luis"), from: None, account: None, larger: None };
    assert!(user.fault().unwrap().to_string().contains("luis@example.net for an address"));
    let of_all = hold(Some("*@shop.example"), None);
    let named = pause("*.example", Some("<>"));
    let local = pause("intranet.", None);
    for what in [
        pause("*", None),
        pause("localhost", None),
        local,
        named,
        recipient,
        of_all,
        reroute("[a.example]"),
    ] {
        assert!(what.fault().is_none(), "{what:?}");
    }
}

#[test]
fn what_this_version_does_not_know_is_left_alone() {
    let orders = Orders::default();
    let unknown = r#"{"what":{"kind":"sing"},"since":0,"by":0}"#;
    assert!(orders.replace(vec![(1, unknown.into()), (2, "?".into())]));
    assert!(orders.get().orders.is_empty());
    assert!(!orders.replace(vec![(1, unknown.into()), (2, "?".into())]), "nothing has changed");
}
