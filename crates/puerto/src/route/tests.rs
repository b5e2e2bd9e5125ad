//! Routes over a table for a DNS and a machine with fixed addresses and dice.

use std::net::{IpAddr, SocketAddr};

use puerto_mail::dns::{DnsError, Record, RecordType, Table};
use puerto_smtp::Address;

use super::*;

mod family;
mod transport;

const OWN_ADDRESS: &str = "203.0.113.5";

fn config(toml: &str) -> Config {
    let mut config = Config::parse(toml, "test.toml").unwrap();
    if !toml.contains("hostname") {
        config.hostname = "mail.example.com".to_owned();
        config.domains = vec![Domain::parse("example.com").unwrap()];
    }
    config
}

fn no_v6(address: SocketAddr) -> bool {
    address.is_ipv4()
}

fn router_of(config: Config, dns: Table, way: fn(SocketAddr) -> bool) -> Router<Table> {
    let addresses = vec![IpAddr::from([127, 0, 0, 1]), OWN_ADDRESS.parse().unwrap()];
    Router::on_machine(Live::new(config), Arc::new(dns), Machine::fixed(addresses, way, 3))
}

async fn route_with(
    toml: &str,
    dns: &Table,
    from: &str,
    to: &str,
) -> Result<Routing, RouteFailure> {
    let router = router_of(config(toml), dns.clone(), |_| true);
    let reverse_path = match from {
        "" => ReversePath::Null,
        from => ReversePath::Address(Address::parse(from).unwrap()),
    };
    router.route(&reverse_path, &Domain::parse(to).unwrap()).await
}

async fn plan(toml: &str, dns: &Table, to: &str) -> Arc<Plan> {
    match route_with(toml, dns, "me@example.com", to).await {
        Ok(Routing::Remote(plan)) => plan,
        other => panic!("{to}: {other:?}"),
    }
}

async fn hops(toml: &str, dns: &Table, to: &str) -> Vec<String> {
    let plan = plan(toml, dns, to).await;
    plan.hops.iter().map(|hop| format!("{} {}", hop.host, hop.address)).collect()
}

fn internet() -> Table {
    let mut dns = Table::new();
    let hosts = [
        ("a.test", "198.51.100.1"),
        ("a.test", "2001:db8::1"),
        ("a.test", "198.51.100.2"),
        ("b.test", "198.51.100.9"),
        ("relay.test", "198.51.100.25"),
        ("bare.test", "198.51.100.80"),
        ("mail.example.com", OWN_ADDRESS),
        ("also.us.test", OWN_ADDRESS),
    ];
    for (name, address) in hosts {
        dns.address(name, address.parse().unwrap());
    }
    dns.mx("two.test", 10, "a.test").mx("two.test", 20, "b.test");
    dns.mx("twin.test", 20, "b.test").mx("twin.test", 10, "a.test");
    dns.mx("relay.test", 5, "b.test");
    dns
}

#[tokio::test]
async fn exchangers_are_tried_by_preference_with_families_in_turn() {
    let expected = [
        "a.test 198.51.100.1:25",
        "a.test [2001:db8::1]:25",
        "a.test 198.51.100.2:25",
        "b.test 198.51.100.9:25",
    ];
    assert_eq!(hops("", &internet(), "two.test").await, expected);
    let plan = plan("", &internet(), "two.test").await;
    assert_eq!(&*plan.key.0, "a.test,b.test");
    assert!(!plan.is_relay && !plan.implicit_tls);
}

#[tokio::test]
async fn a_family_without_a_way_is_left_out_unless_nothing_else_is_left() {
    let mut dns = internet();
    dns.address("six.test", "2001:db8::6".parse().unwrap());
    let router = router_of(config(""), dns, no_v6);
    for (domain, count) in [("two.test", 3), ("six.test", 1)] {
        let domain = Domain::parse(domain).unwrap();
        let Ok(Routing::Remote(plan)) = router.route(&ReversePath::Null, &domain).await else {
            panic!("{domain}")
        };
        assert_eq!(plan.hops.len(), count, "{domain}");
    }
}

#[tokio::test]
async fn equal_hosts_are_tried_in_changing_order() {
    let mut dns = Table::new();
    for number in 0..8_u8 {
        let host = format!("mx{number}.test");
        dns.mx("many.test", 10, &host).address(&host, [192, 0, 2, number + 1].into());
    }
    let mut orders = std::collections::BTreeSet::new();
    for seed in 0..10 {
        let machine = Machine::fixed(Vec::new(), |_| true, seed);
        let live = Live::new(config(""));
        let router = Router::on_machine(live, Arc::new(dns.clone()), machine);
        let domain = Domain::parse("many.test").unwrap();
        let Ok(Routing::Remote(plan)) = router.route(&ReversePath::Null, &domain).await else {
            panic!()
        };
        let mut order: Vec<_> = plan.hops.iter().map(|hop| hop.address).collect();
        orders.insert(order.clone());
        order.sort_unstable();
        order.dedup();
        assert_eq!(order.len(), 8);
    }
    assert!(orders.len() > 5);
}

#[tokio::test]
async fn a_domain_without_exchangers_is_its_own() {
    assert_eq!(hops("", &internet(), "bare.test").await, ["bare.test 198.51.100.80:25"]);
}

#[tokio::test]
async fn refusals_say_whether_to_try_again() {
    let mut dns = internet();
    let failure = || DnsError::Failure("SERVFAIL".into());
    dns.mx("null.test", 0, "");
    dns.mx("nowhere.test", 0, "localhost");
    dns.mx("dangling.test", 10, "absent.test");
    dns.mx("lost.test", 10, "failing.test");
    dns.fail("failing.test", RecordType::A, failure());
    dns.fail("failing.test", RecordType::Aaaa, DnsError::NoRecords);
    dns.fail("servfail.test", RecordType::Mx, failure());
    dns.fail("slow.test", RecordType::Mx, DnsError::Timeout);
    dns.fail("half.test", RecordType::Mx, DnsError::NoSuchDomain);
    dns.fail("half.test", RecordType::A, DnsError::Timeout);
    dns.txt("mute.test", "no mail here");
    dns.mx("us.test", 10, "mail.example.com");
    dns.mx("also.test", 10, "also.us.test").mx("also.test", 20, "b.test");
    let cases = [
        ("null.test", "5.1.10"),
        ("nowhere.test", "5.1.10"),
        ("absent.test", "5.1.2"),
        ("mute.test", "5.1.2"),
        ("dangling.test", "5.4.4"),
        ("lost.test", "4.4.3"),
        ("servfail.test", "4.4.3"),
        ("slow.test", "4.4.3"),
        ("half.test", "4.4.3"),
        ("us.test", "5.4.6"),
        ("also.test", "5.4.6"),
    ];
    let toml = "hostname = \"mail.example.com\"\n[listen]\nsmtp = [\"0.0.0.0:25\"]";
    for (domain, code) in cases {
        let failure = route_with(toml, &dns, "", domain).await.unwrap_err();
        assert_eq!(failure.code.to_string(), code, "{domain}: {failure}");
        assert_eq!(failure.is_permanent(), code.starts_with('5'));
        assert!(
            failure.cause.text().contains(domain) || code == "4.4.3" || code == "5.4.4",
            "{failure}"
        );
    }
}

#[tokio::test]
async fn where_we_are_an_exchanger_only_better_ones_are_tried() {
    let mut dns = internet();
    dns.mx("ours.test", 10, "a.test").mx("ours.test", 20, "mail.example.com");
    dns.mx("ours.test", 20, "b.test").mx("ours.test", 30, "bare.test");
    let plan = plan("", &dns, "ours.test").await;
    assert!(plan.hops.iter().all(|hop| &*hop.host == "a.test"), "{:?}", plan.hops);
}

#[tokio::test]
async fn another_port_on_our_own_address_is_not_ourselves() {
    let mut dns = Table::new();
    dns.mx("other.test", 10, "host.test").address("host.test", OWN_ADDRESS.parse().unwrap());
    let toml = "hostname = \"m.example.com\"\n[listen]\nsmtp = [\"0.0.0.0:2525\"]";
    assert_eq!(hops(toml, &dns, "other.test").await.len(), 1);
}

#[tokio::test]
async fn a_host_that_cannot_be_looked_up_is_skipped_while_there_are_others() {
    let mut dns = internet();
    dns.mx("two.test", 5, "failing.test");
    dns.fail("failing.test", RecordType::A, DnsError::Timeout);
    dns.fail("failing.test", RecordType::Aaaa, DnsError::Timeout);
    assert_eq!(hops("", &dns, "two.test").await.len(), 4);
}

#[tokio::test]
async fn addresses_that_are_not_public_are_refused_for_mx_but_not_elsewhere() {
    let private = [
        "127.0.0.1",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.1.1",
        "0.0.0.0",
        "224.0.0.1",
        "255.255.255.255",
        "100.64.0.1",
        "::1",
        "::",
        "fe80::1",
        "fc00::1",
        "ff02::1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "64:ff9b::10.0.0.1",
        "::7f00:1",
    ];
    for address in private {
        let mut dns = Table::new();
        dns.mx("trap.test", 10, "host.test").address("host.test", address.parse().unwrap());
        let failure = route_with("", &dns, "", "trap.test").await.unwrap_err();
        assert_eq!(failure.code.to_string(), "5.4.4", "{address}: {failure}");
        let allowing = "[listen]\nsmtp = []\n[delivery]\nallow_private = true";
        let allowed = route_with(allowing, &dns, "", "trap.test").await;
        // These are nobody's address, or many machines': nothing allows them.
        let never = ["0.0.0.0", "::", "224.0.0.1", "ff02::1"].contains(&address);
        assert_eq!(allowed.is_err(), never, "{address}");
        assert_eq!(failure.cause.text().contains("allow_private"), !never, "{failure}");
        let relayed =
            hops("relayhost = \"[host.test]\"\n[listen]\nsmtp = []", &dns, "x.test").await;
        assert_eq!(relayed.len(), 1, "{address}");
        dns.address("host.test", "198.51.100.3".parse().unwrap());
        let public = hops("", &dns, "trap.test").await;
        assert_eq!(public, ["host.test 198.51.100.3:25"], "{address}");
    }
}

#[tokio::test]
async fn an_address_literal_is_judged_as_the_address_of_an_mx_host_is() {
    let dns = Table::new();
    for (literal, code) in [
        ("[0.0.0.0]", "5.4.4"),
        ("[0.0.0.1]", "5.4.4"),
        ("[10.0.0.99]", "5.4.4"),
        ("[169.254.169.254]", "5.4.4"),
        ("[198.18.0.1]", "5.4.4"),
        ("[224.0.0.1]", "5.4.4"),
        ("[255.255.255.255]", "5.4.4"),
        ("[IPv6:::]", "5.4.4"),
        ("[IPv6:::ffff:0.0.0.0]", "5.4.4"),
        ("[IPv6:::ffff:10.0.0.99]", "5.4.4"),
        ("[IPv6:64:ff9b::7f00:1]", "5.4.4"),
        ("[IPv6:64:ff9b:1::a00:1]", "5.4.4"),
        ("[IPv6:2002:7f00:1::1]", "5.4.4"),
        ("[IPv6:2001:0:4136:e378:8000:63bf:3fff:fdd2]", "5.4.4"),
        ("[IPv6:fe80::1]", "5.4.4"),
        ("[IPv6:fec0::1]", "5.4.4"),
        ("[IPv6:ff02::1]", "5.4.4"),
        ("[127.0.0.1]", "local"),
        ("[127.9.9.9]", "local"),
        ("[IPv6:::1]", "local"),
        ("[IPv6:::ffff:127.0.0.1]", "local"),
        // An address of this machine, where it does not listen for mail.
        ("[203.0.113.5]", "5.4.6"),
        ("[IPv6:::ffff:203.0.113.5]", "5.4.6"),
        ("[198.51.100.3]", "remote"),
        ("[IPv6:2001:db8::3]", "remote"),
    ] {
        let toml = "[listen]\nsmtp = [\"127.0.0.1:25\"]";
        let found = match route_with(toml, &dns, "", literal).await {
            Ok(Routing::Local) => "local".to_owned(),
            Ok(Routing::Remote(_)) => "remote".to_owned(),
            Err(failure) => failure.code.to_string(),
        };
        assert_eq!(found, code, "{literal}");
    }
    let refused = route_with("", &dns, "", "[0.0.0.0]").await.unwrap_err();
    assert_eq!(
        refused.cause.text(),
        "the address literal [0.0.0.0] is an unspecified address, where no mail is delivered"
    );
    // Where private addresses may be delivered to, the listeners and nobody stay out.
    let toml = "[listen]\nsmtp = [\"10.0.0.99:25\"]\n[delivery]\nallow_private = true";
    for (literal, is_remote) in
        [("[10.0.0.98]", true), ("[10.0.0.99]", false), ("[0.0.0.0]", false)]
    {
        let found = route_with(toml, &dns, "", literal).await;
        assert_eq!(matches!(found, Ok(Routing::Remote(_))), is_remote, "{literal}");
    }
}

#[tokio::test]
async fn an_address_in_place_of_an_mx_host_is_named_as_such() {
    for written in ["192.0.2.52", "[192.0.2.52]", "2001:db8::52", "::1"] {
        let mut dns = internet();
        dns.mx("odd.test", 10, written).address(written, "198.51.100.3".parse().unwrap());
        let failure = route_with("", &dns, "", "odd.test").await.unwrap_err();
        assert_eq!(
            failure.to_string(),
            format!("5.4.4 the MX record names the address {written}, where a host's name belongs")
        );
        dns.mx("odd.test", 20, "a.test");
        assert!(hops("", &dns, "odd.test").await.iter().all(|hop| hop.starts_with("a.test")));
    }
}

/// C6: what else stands in MX records.
#[tokio::test]
async fn odd_exchangers_are_passed_over_and_named_where_nothing_else_is_left() {
    let long = format!(
        "{}.test",
        ["a".repeat(63), "b".repeat(63), "c".repeat(63), "d".repeat(59)].join(".")
    );
    for (host, address, said) in [
        ("", None, "5.1.10 odd.test takes no mail: it publishes a null MX (RFC 7505)"),
        ("localhost", None, "5.1.10 odd.test takes no mail: its MX is localhost"),
        ("mail.localhost", None, "5.1.10 odd.test takes no mail: its MX is mail.localhost"),
        (
            "192.0.2.52.odd.test",
            None,
            "5.4.4 the MX record names the address 192.0.2.52, where a host's name belongs",
        ),
        ("192.0.2.odd.test", None, "5.4.4 the MX host 192.0.2.odd.test has no address"),
        (&long, None, &*format!("5.4.4 the MX host {long} has no address")),
        (
            "host.test",
            Some("0.0.0.0"),
            "5.4.4 host.test has the unspecified address 0.0.0.0, where no mail is delivered",
        ),
        (
            "host.test",
            Some("10.0.0.1"),
            "5.4.4 host.test has the private address 10.0.0.1, where mail is not delivered unless \
             [delivery] allow_private = true",
        ),
        (
            "host.test",
            Some(OWN_ADDRESS),
            "5.4.6 mail for odd.test loops back to this server: its best mail exchanger host.test \
             is this host; if the domain is ours, add it to `domains`",
        ),
    ] {
        let mut dns = internet();
        dns.mx("odd.test", 0, host);
        if let Some(address) = address {
            dns.address(host, address.parse().unwrap());
        }
        let toml = "hostname = \"m.example.com\"\n[listen]\nsmtp = [\"0.0.0.0:25\"]";
        let failure = route_with(toml, &dns, "", "odd.test").await.unwrap_err();
        assert_eq!(failure.to_string(), said);
        // Beside a good one: of those behind us none is tried (RFC 5321 §5.1).
        dns.mx("odd.test", if address == Some(OWN_ADDRESS) { 0 } else { 10 }, "a.test");
        let beside = route_with(toml, &dns, "", "odd.test").await;
        assert_eq!(beside.is_ok(), address != Some(OWN_ADDRESS), "{host} {beside:?}");
    }
    let mut dns = internet();
    dns.mx("alias.test", 10, "www.test").mx("line.test", 10, "_mail.test");
    dns.add("www.test", RecordType::Cname, Record::Name("bare.test".to_owned()));
    dns.address("_mail.test", "198.51.100.7".parse().unwrap());
    assert_eq!(hops("", &dns, "alias.test").await, ["www.test 198.51.100.80:25"]);
    assert_eq!(hops("", &dns, "line.test").await, ["_mail.test 198.51.100.7:25"]);
}

#[tokio::test]
async fn hostile_answers_are_cut() {
    let mut dns = Table::new();
    for number in 0..500_u16 {
        let host = format!("mx{number}.test");
        dns.mx("huge.test", number, &host);
        for last in 1..100 {
            dns.address(&host, IpAddr::from([198, 51, 100, last]));
        }
    }
    assert_eq!(plan("", &dns, "huge.test").await.hops.len(), 20);
    dns.add("loop.test", RecordType::Cname, Record::Name("pool.test".to_owned()));
    dns.add("pool.test", RecordType::Cname, Record::Name("loop.test".to_owned()));
    let failure = route_with("", &dns, "", "loop.test").await.unwrap_err();
    assert!(!failure.is_permanent(), "{failure}");
}

#[tokio::test]
async fn relayhosts_mean_what_they_mean_to_postfix() {
    let cases: [(&str, &[&str], &str, bool); 9] = [
        ("relay.test", &["b.test 198.51.100.9:25"], "relay.test", false),
        ("relay.test:587", &["b.test 198.51.100.9:587"], "relay.test:587", false),
        ("bare.test", &["bare.test 198.51.100.80:25"], "bare.test", false),
        ("[relay.test]", &["relay.test 198.51.100.25:25"], "[relay.test]", false),
        ("[relay.test]:587", &["relay.test 198.51.100.25:587"], "[relay.test]:587", false),
        ("[192.0.2.1]", &["192.0.2.1 192.0.2.1:25"], "[192.0.2.1]", false),
        ("[2001:db8::1]:26", &["2001:db8::1 [2001:db8::1]:26"], "[2001:db8::1]:26", false),
        ("smtps://[relay.test]", &["relay.test 198.51.100.25:465"], "smtps://[relay.test]", true),
        (
            "smtps://[relay.test]:466",
            &["relay.test 198.51.100.25:466"],
            "smtps://[relay.test]:466",
            true,
        ),
    ];
    for (relayhost, expected, key, implicit_tls) in cases {
        let toml = format!("relayhost = \"{relayhost}\"");
        assert_eq!(hops(&toml, &internet(), "anything.test").await, expected, "{relayhost}");
        let plan = plan(&toml, &internet(), "anything.test").await;
        assert_eq!(&*plan.key.0, key);
        assert_eq!(plan.implicit_tls, implicit_tls);
        assert!(plan.is_relay);
    }
}

/// A7: whether the hosts of a relay are those that the administrator meant.
#[tokio::test]
async fn hosts_that_mx_records_name_for_a_relay_are_known_by_dnssec_alone() {
    let mut signed = internet();
    signed.validate();
    for (relayhost, dns, expected) in [
        ("Relay.test", &internet(), Some(("relay.test", false))),
        ("relay.test:587", &signed, Some(("relay.test", true))),
        // Without MX records the host is the one that was written.
        ("bare.test", &signed, Some(("bare.test", false))),
        ("[relay.test]", &signed, None),
        ("[192.0.2.1]", &signed, None),
    ] {
        let plan = plan(&format!("relayhost = \"{relayhost}\""), dns, "x.test").await;
        let found = plan.exchangers_of.as_ref().map(|relay| (&*relay.of, relay.validated));
        assert_eq!(found, expected, "{relayhost}");
    }
}

// Found by hand: each message went round fifty times, and was returned.
#[tokio::test]
async fn mail_waits_while_its_relay_is_this_server_itself() {
    let listen = "[listen]\nsmtp = [\"0.0.0.0:25\", \"0.0.0.0:587\"]";
    let mut dns = internet();
    dns.mx("us.test", 10, "mail.example.com");
    for hop in
        ["[mail.example.com]:587", "[203.0.113.5]", "mail.example.com", "us.test", "[127.0.0.2]"]
    {
        for toml in [
            format!("relayhost = \"{hop}\"\n{listen}"),
            format!("{listen}\n[[route]]\nto = \"x.test\"\nvia = \"{hop}\""),
        ] {
            let failure = route_with(&toml, &dns, "", "x.test").await.unwrap_err();
            assert!(!failure.is_permanent(), "{hop}: {failure}");
            assert!(failure.cause.text().contains("leads back to this server"), "{hop}: {failure}");
        }
    }
    // Another server of this machine listens elsewhere.
    let toml = format!("relayhost = \"[203.0.113.5]:2525\"\n{listen}");
    assert_eq!(hops(&toml, &internet(), "x.test").await, ["203.0.113.5 203.0.113.5:2525"]);
}

#[tokio::test]
async fn a_relayhost_that_cannot_be_found_makes_mail_wait() {
    let failure =
        route_with("relayhost = \"[absent.test]\"", &internet(), "", "x.test").await.unwrap_err();
    assert!(!failure.is_permanent());
    assert!(failure.cause.text().contains("relayhost [absent.test]"), "{failure}");
}

#[tokio::test]
async fn the_first_route_that_matches_wins() {
    let toml = r#"
        relayhost = "[192.0.2.1]"
        [[route]]
        to = "*.below.test"
        via = "[192.0.2.2]"
        tls = "required"
        [[route]]
        to = "two.test"
        from = "@shop.example.com"
        via = "[192.0.2.3]"
        [[route]]
        from = "boss@example.com"
        via = "[192.0.2.4]"
        [[route]]
        to = "two.test"
    "#;
    let cases = [
        ("me@example.com", "x.test", "192.0.2.1:25"),
        ("me@example.com", "below.test", "192.0.2.2:25"),
        ("me@example.com", "far.below.test", "192.0.2.2:25"),
        ("me@example.com", "notbelow.test", "192.0.2.1:25"),
        ("me@shop.example.com", "two.test", "192.0.2.3:25"),
        ("Boss@Example.com", "two.test", "192.0.2.4:25"),
        ("me@example.com", "two.test", "198.51.100.1:25"),
        ("", "two.test", "198.51.100.1:25"),
    ];
    for (from, to, expected) in cases {
        let Ok(Routing::Remote(plan)) = route_with(toml, &internet(), from, to).await else {
            panic!("{to}")
        };
        assert_eq!(plan.hops[0].address.to_string(), expected, "{from} to {to}");
        assert_eq!(
            plan.tls == TlsLevel::Required,
            to.ends_with("below.test") && to != "notbelow.test"
        );
    }
}

#[tokio::test]
async fn our_own_domains_are_local_whatever_the_routes_say() {
    let toml = "hostname = \"mail.example.com\"\ndomains = [\"example.com\", \"bücher.example\"]\n\
                relayhost = \"[192.0.2.1]\"\n[listen]\nsmtp = [\"0.0.0.0:25\"]";
    let ours = [
        "example.com",
        "EXAMPLE.com",
        "mail.example.com",
        "localhost",
        "[127.0.0.1]",
        "[IPv6:::1]",
        "[IPv6:::ffff:127.0.0.1]",
        "[203.0.113.5]",
        "xn--bcher-kva.example",
        "bücher.example",
    ];
    for domain in ours {
        let routing = route_with(toml, &Table::new(), "", domain).await;
        assert_eq!(routing, Ok(Routing::Local), "{domain}");
    }
    for domain in ["sub.example.com", "[203.0.113.6]"] {
        let routing = route_with(toml, &Table::new(), "", domain).await;
        assert!(matches!(routing, Ok(Routing::Remote(_))), "{domain}");
    }
}

#[tokio::test]
async fn a_literal_is_its_own_host() {
    assert_eq!(hops("", &Table::new(), "[192.0.2.7]").await, ["192.0.2.7 192.0.2.7:25"]);
    let six = hops("", &Table::new(), "[IPv6:2001:db8::7]").await;
    assert_eq!(six, ["2001:db8::7 [2001:db8::7]:25"]);
}

#[tokio::test]
async fn internationalized_domains_are_looked_up_by_their_a_labels() {
    let mut dns = Table::new();
    dns.mx("xn--bcher-kva.test", 10, "mx.test").address("mx.test", [192, 0, 2, 1].into());
    assert_eq!(hops("", &dns, "bücher.test").await, ["mx.test 192.0.2.1:25"]);
}

#[tokio::test]
async fn domains_at_the_same_exchangers_share_a_plan_and_providers_a_key() {
    let mut dns = internet();
    for host in ["alt1.aspmx.l.google.com", "gmail-smtp-in.l.google.com"] {
        dns.address(host, [192, 0, 2, 1].into());
    }
    dns.mx("gmail.com", 5, "gmail-smtp-in.l.google.com");
    dns.mx("hosted.test", 1, "alt1.aspmx.l.google.com");
    let router = router_of(config(""), dns, |_| true);
    let plan = async |domain: &str| {
        let domain = Domain::parse(domain).unwrap();
        match router.route(&ReversePath::Null, &domain).await {
            Ok(Routing::Remote(plan)) => plan,
            other => panic!("{other:?}"),
        }
    };
    assert!(Arc::ptr_eq(&plan("two.test").await, &plan("twin.test").await));
    let (gmail, hosted) = (plan("gmail.com").await, plan("hosted.test").await);
    assert_eq!(gmail.key, hosted.key);
    assert_ne!(gmail.hops, hosted.hops);
}

#[tokio::test(start_paused = true)]
async fn plans_are_kept_for_a_while_and_a_new_configuration_voids_them() {
    let live = Live::new(config(""));
    let machine = Machine::fixed(Vec::new(), |_| true, 1);
    let router = Router::on_machine(live.clone(), Arc::new(internet()), machine);
    let domain = Domain::parse("two.test").unwrap();
    assert_eq!(router.known(&ReversePath::Null, &domain, puerto_smtp::TlsWish::Usual), None);
    router.route(&ReversePath::Null, &domain).await.unwrap();
    assert!(router.known(&ReversePath::Null, &domain, puerto_smtp::TlsWish::Usual).is_some());
    live.replace(config("relayhost = \"[192.0.2.1]\""));
    assert_eq!(router.known(&ReversePath::Null, &domain, puerto_smtp::TlsWish::Usual), None);
    let Ok(Routing::Remote(plan)) = router.route(&ReversePath::Null, &domain).await else {
        panic!()
    };
    assert_eq!(&*plan.key.0, "[192.0.2.1]");
    tokio::time::advance(Duration::from_secs(400)).await;
    assert_eq!(router.known(&ReversePath::Null, &domain, puerto_smtp::TlsWish::Usual), None);
}
