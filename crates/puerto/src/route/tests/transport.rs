//! Which rule each host of a plan has, and which hosts are left out: RFC 7672 §2 from the MX
//! records on.

use puerto_smtp::TlsWish;
use puerto_spool::Timestamp;
use puerto_spool::clock::ManualClock;

use super::*;
use crate::survey::https::Page;
use crate::transport::results::Results;
use crate::transport::sts::{Fetching, Policies};

/// `two.test` is at `a.test` and `b.test`, all signed, with records of `a.test`.
fn signed() -> Table {
    let mut dns = internet();
    dns.validate();
    publish(&mut dns, "_25._tcp.a.test");
    dns
}

fn publish(dns: &mut Table, name: &str) {
    dns.add(name, RecordType::Tlsa, Record::Tlsa(3, 1, 1, vec![7; 32]));
}

fn servfail() -> DnsError {
    DnsError::Failure("SERVFAIL".into())
}

/// The hosts with why TLS is what it is there.
fn rules(plan: &Plan) -> Vec<String> {
    let mut rules: Vec<String> = plan
        .hops
        .iter()
        .map(|hop| {
            let rule = hop.rule.as_ref().map_or("none", |rule| rule.reason.id());
            format!("{} {}", hop.host, rule.trim_start_matches("transport."))
        })
        .collect();
    rules.dedup();
    rules
}

async fn ruled(toml: &str, dns: &Table, to: &str) -> Vec<String> {
    match route_with(toml, dns, "me@example.com", to).await {
        Ok(Routing::Remote(plan)) => rules(&plan),
        Ok(other) => panic!("{other:?}"),
        Err(failure) => {
            assert!(!failure.is_permanent(), "{failure}");
            vec![failure.cause.id().to_owned()]
        }
    }
}

#[tokio::test]
async fn dane_needs_a_chain_that_is_secure_from_the_mx_records_on() {
    let both = ["a.test dane", "b.test opportunistic"];
    let neither = ["a.test opportunistic", "b.test opportunistic"];
    assert_eq!(ruled("", &signed(), "two.test").await, both);
    assert_eq!(ruled("[delivery]\ndane = false", &signed(), "two.test").await, neither);
    // Insecure MX records.
    let mut dns = signed();
    dns.doubt("two.test", RecordType::Mx).fail("_25._tcp.a.test", RecordType::Tlsa, servfail());
    assert_eq!(ruled("", &dns, "two.test").await, neither);
    // One family is enough; with none secure nothing is asked, though it would fail.
    let mut dns = signed();
    dns.doubt("a.test", RecordType::A);
    assert_eq!(ruled("", &dns, "two.test").await, both);
    dns.doubt("a.test", RecordType::Aaaa).fail("_25._tcp.a.test", RecordType::Tlsa, servfail());
    assert_eq!(ruled("", &dns, "two.test").await, neither);
    // A look-up that fails leaves the host out, and never goes around.
    let mut dns = signed();
    dns.fail("_25._tcp.a.test", RecordType::Tlsa, servfail());
    assert_eq!(ruled("", &dns, "two.test").await, ["b.test opportunistic"]);
    dns.fail("_25._tcp.b.test", RecordType::Tlsa, DnsError::Timeout);
    assert_eq!(ruled("", &dns, "two.test").await, ["transport.tlsa-unknown"]);
    assert_eq!(ruled("[delivery]\ndane = false", &dns, "two.test").await, neither);
    let none = "[[route]]\nto = \"two.test\"\ntls = \"none\"";
    assert_eq!(ruled(none, &dns, "two.test").await, ["a.test none", "b.test none"]);
    // Bogus MX records or addresses are no absence.
    let mut dns = signed();
    dns.fail("two.test", RecordType::Mx, servfail());
    assert_eq!(ruled("", &dns, "two.test").await, ["route.exchangers-unknown"]);
}

#[tokio::test]
async fn a_domain_without_mx_records_is_its_own_host_where_that_is_certain() {
    let mut dns = signed();
    publish(&mut dns, "_25._tcp.bare.test");
    assert_eq!(ruled("", &dns, "bare.test").await, ["bare.test dane"]);
    dns.doubt("bare.test", RecordType::Mx);
    assert_eq!(ruled("", &dns, "bare.test").await, ["bare.test opportunistic"]);
}

#[tokio::test]
async fn a_relayhost_is_a_destination_with_records_at_its_own_port() {
    let mut dns = signed();
    publish(&mut dns, "_587._tcp.relay.test");
    publish(&mut dns, "_465._tcp.relay.test");
    publish(&mut dns, "_25._tcp.b.test");
    for (relayhost, expected) in [
        // Who configures a host has said whom he trusts: no MX records are asked for.
        ("[relay.test]:587", "relay.test dane"),
        ("smtps://[relay.test]", "relay.test dane"),
        ("[relay.test]:26", "relay.test opportunistic"),
        ("relay.test", "b.test dane"),
        ("[198.51.100.25]", "198.51.100.25 none"),
    ] {
        let toml = format!("relayhost = \"{relayhost}\"");
        assert_eq!(ruled(&toml, &dns, "else.test").await, [expected], "{relayhost}");
    }
    dns.doubt("relay.test", RecordType::Mx);
    let by_mx = "relayhost = \"relay.test\"";
    assert_eq!(ruled(by_mx, &dns, "else.test").await, ["b.test opportunistic"]);
    dns.fail("_587._tcp.relay.test", RecordType::Tlsa, servfail());
    let by_name = "relayhost = \"[relay.test]:587\"";
    assert_eq!(ruled(by_name, &dns, "else.test").await, ["route.of-rule"]);
}

fn policies(mode: &str, hosts: &str) -> Policies {
    let body = format!("version: STSv1\nmode: {mode}\n{hosts}max_age: 86400\n");
    let fetch = move |_: String, _: &'static str| -> Fetching {
        let (status, media_type, body) = (200, "text/plain".to_owned(), body.clone());
        Box::pin(async move { Page::Answer { status, media_type, body } })
    };
    let clock = ManualClock::new(Timestamp::from_millis(1_795_000_000_000));
    Policies::new(Arc::new(clock), Arc::new(fetch))
}

async fn obeyed(policies: &Policies, toml: &str, dns: &Table, to: &str) -> Vec<String> {
    let router = router_of(config(toml), dns.clone(), |_| true).obeying(policies.clone());
    match router.route(&ReversePath::Null, &Domain::parse(to).unwrap()).await {
        Ok(Routing::Remote(plan)) => rules(&plan),
        Ok(other) => panic!("{other:?}"),
        Err(failure) => vec![failure.cause.id().to_owned()],
    }
}

#[tokio::test]
async fn a_policy_names_the_hosts_and_dane_comes_first() {
    let mut dns = internet();
    dns.txt("_mta-sts.two.test", "v=STSv1; id=1;");
    let enforce = policies("enforce", "mx: a.test\n");
    assert_eq!(obeyed(&enforce, "", &dns, "two.test").await, ["a.test sts-enforce"]);
    let off = "[delivery]\nmta_sts = false";
    let neither = ["a.test opportunistic", "b.test opportunistic"];
    assert_eq!(obeyed(&enforce, off, &dns, "two.test").await, neither);
    // The same hosts without a policy are another plan.
    assert_eq!(obeyed(&enforce, "", &dns, "twin.test").await, neither);
    let nobody = policies("enforce", "mx: mx.test\n");
    assert_eq!(obeyed(&nobody, "", &dns, "two.test").await, ["transport.sts-excludes"]);
    let testing = policies("testing", "mx: mx.test\n");
    let tested = ["a.test sts-test-failed", "b.test sts-test-failed"];
    assert_eq!(obeyed(&testing, "", &dns, "two.test").await, tested);
    let testing = policies("testing", "mx: a.test\n");
    let tested = ["a.test sts-testing", "b.test sts-test-failed"];
    assert_eq!(obeyed(&testing, "", &dns, "two.test").await, tested);
    assert_eq!(obeyed(&policies("none", ""), "", &dns, "two.test").await, neither);
    // With DANE the patterns do not matter to that host, and to the other they do.
    dns.validate();
    publish(&mut dns, "_25._tcp.a.test");
    assert_eq!(obeyed(&nobody, "", &dns, "two.test").await, ["a.test dane"]);
    let unknown = policies("enforce", "mx: a.test\n");
    dns.fail("_mta-sts.two.test", RecordType::Txt, servfail());
    let both = ["a.test dane", "b.test opportunistic"];
    assert_eq!(obeyed(&unknown, "", &dns, "two.test").await, both);
    // RFC 8461 §3.4: with a relay, the relay's own.
    let mut dns = internet();
    dns.txt("_mta-sts.relay.test", "v=STSv1; id=1;");
    let of_relay = policies("enforce", "mx: b.test\n");
    let toml = "relayhost = \"relay.test\"";
    assert_eq!(obeyed(&of_relay, toml, &dns, "two.test").await, ["b.test sts-enforce"]);
}

/// Mullvad's mail, 29 October 2024: the host of the policy was down and the records were stale at
/// once. Neither the policy that is still kept nor its absence makes up for records that nothing
/// matches; a host without any is gone to as the policy says.
#[tokio::test]
async fn records_decide_whether_the_policys_host_answers_or_not() {
    let mut dns = internet();
    dns.txt("_mta-sts.two.test", "v=STSv1; id=1;");
    dns.validate();
    publish(&mut dns, "_25._tcp.a.test");
    let kept = policies("enforce", "mx: a.test\nmx: b.test\n");
    let by_both = ["a.test dane", "b.test sts-enforce"];
    assert_eq!(obeyed(&kept, "", &dns, "two.test").await, by_both);
    // Another id is announced, and nobody answers for it.
    let down = |_: String, _: &'static str| -> Fetching {
        Box::pin(async { Page::Failed(crate::lang::Said::words("nobody answers")) })
    };
    let clock = ManualClock::new(Timestamp::from_millis(1_795_000_000_000));
    let never_had = Policies::new(Arc::new(clock), Arc::new(down));
    let by_records = ["a.test dane", "b.test opportunistic"];
    assert_eq!(obeyed(&never_had, "", &dns, "two.test").await, by_records);
    dns.fail("_25._tcp.a.test", RecordType::Tlsa, servfail());
    assert_eq!(obeyed(&kept, "", &dns, "two.test").await, ["b.test sts-enforce"]);
}

#[tokio::test]
async fn domains_share_a_plan_only_by_the_same_rules() {
    let mut dns = internet();
    dns.txt("_mta-sts.two.test", "v=STSv1; id=1;");
    let policies = policies("enforce", "mx: *.test\nmx: a.test\nmx: b.test\n");
    let router = router_of(config(""), dns, |_| true).obeying(policies);
    let mut plans = Vec::new();
    for domain in ["two.test", "twin.test"] {
        let domain = Domain::parse(domain).unwrap();
        match router.route(&ReversePath::Null, &domain).await {
            Ok(Routing::Remote(plan)) => plans.push(plan),
            other => panic!("{other:?}"),
        }
    }
    assert!(!Arc::ptr_eq(&plans[0], &plans[1]));
    assert_eq!(plans[0].key, plans[1].key, "the receiver is the same");
}

/// RFC 8689 §3: what says that TLS may fail is stopped by no look-up and no policy.
#[tokio::test]
async fn a_message_that_does_not_mind_goes_where_others_wait() {
    let mut dns = signed();
    dns.txt("_mta-sts.two.test", "v=STSv1; id=1;");
    for host in ["a.test", "b.test"] {
        dns.fail(&format!("_25._tcp.{host}"), RecordType::Tlsa, servfail());
    }
    let nobody = policies("enforce", "mx: mx.test\n");
    let domain = Domain::parse("two.test").unwrap();
    let router = router_of(config(""), dns.clone(), |_| true).obeying(nobody.clone());
    let ask = |wish| router.route_by(&ReversePath::Null, &domain, wish);
    let failure = ask(TlsWish::Usual).await.unwrap_err();
    assert_eq!(failure.cause.id(), "transport.tlsa-unknown");
    let Ok(Routing::Remote(plan)) = ask(TlsWish::Optional).await else { panic!() };
    assert_eq!(rules(&plan), ["a.test optional", "b.test optional"]);
    assert!(ask(TlsWish::Required).await.is_err(), "each has its own answer");
    // What the administrator demands holds all the same.
    let required = config("[delivery]\ntls = \"required\"");
    let router = router_of(required, dns, |_| true).obeying(nobody);
    let found = router.route_by(&ReversePath::Null, &domain, TlsWish::Optional).await;
    let Ok(Routing::Remote(plan)) = found else { panic!() };
    assert_eq!(rules(&plan), ["a.test configured", "b.test configured"]);
}

/// What is left out is counted for the reports, since no connection is made.
#[tokio::test]
async fn hosts_that_are_left_out_are_counted() {
    let mut dns = signed();
    dns.fail("_25._tcp.a.test", RecordType::Tlsa, servfail());
    let clock = ManualClock::new(Timestamp::from_millis(1_795_000_000_000));
    let results = Results::new(Arc::new(clock), None);
    let counting = config("[delivery]\ntls_reports = true");
    let router = router_of(counting, dns, |_| true).counting(results.clone());
    let domain = Domain::parse("two.test").unwrap();
    assert!(router.route(&ReversePath::Null, &domain).await.is_ok());
    let found = results.of(results.today(), "a.test");
    assert_eq!(found[0].faults[0].kind, "dnssec-invalid");
}

#[tokio::test]
async fn the_names_of_hosts_are_beyond_doubt_where_nobody_could_have_forged_them() {
    let mut unsigned = internet();
    unsigned.address("one.test", "198.51.100.7".parse().unwrap());
    for (toml, signed_too, to, expected) in [
        ("", true, "two.test", true),
        ("", false, "two.test", false),
        // Without MX records the host is the domain itself.
        ("", false, "one.test", true),
        ("relayhost = \"[relay.test]:587\"", false, "two.test", true),
        ("relayhost = \"relay.test\"", false, "two.test", false),
        ("relayhost = \"relay.test\"", true, "two.test", true),
    ] {
        let mut dns = unsigned.clone();
        if signed_too {
            dns.validate();
        }
        let plan = plan(toml, &dns, to).await;
        assert_eq!(plan.is_vouched, expected, "{toml} {to} {signed_too}");
    }
    // What is shared is never more trusted than one's own records are.
    let mut dns = signed();
    dns.mx("forged.test", 10, "a.test").mx("forged.test", 20, "b.test");
    dns.doubt("forged.test", RecordType::Mx);
    let router = router_of(config("[delivery]\ndane = false"), dns, |_| true);
    for (to, expected) in [("two.test", true), ("forged.test", false), ("two.test", true)] {
        let to = Domain::parse(to).unwrap();
        let Ok(Routing::Remote(plan)) = router.route(&ReversePath::Null, &to).await else {
            panic!()
        };
        assert_eq!(plan.is_vouched, expected, "{to}");
    }
}
