//! The tables of the rule, cell by cell, and which TLSA records are found.

use std::net::IpAddr;

use puerto_mail::dns::{Record, RecordType, Table};

use super::dane::{Located, records};
use super::*;
use crate::tls::TlsaSet;

const HOST: &str = "mx.test";

fn usable() -> Records {
    let records = Arc::new(TlsaSet::of(&[Record::Tlsa(3, 1, 1, vec![7; 32])]));
    let base: Arc<str> = HOST.into();
    Records::Usable(Arc::new(Dane { names: vec![base.clone()], base, records }))
}

fn enforced() -> Policy {
    Policy::Enforced { pattern: "*.test".to_owned() }
}

fn excluded() -> Policy {
    Policy::Excluded { domain: "example.net".to_owned() }
}

/// What is demanded, or that the host is left out.
fn ruled(level: TlsLevel, records: &Records, policy: &Policy) -> (&'static str, &'static str) {
    match Rule::of(level, HOST, records, policy) {
        Ok(rule) => {
            let demand = match &rule.demand {
                Demand::None => "none",
                Demand::Opportunistic => "opportunistic",
                Demand::Watched => "watched",
                Demand::Encrypted => "encrypted",
                Demand::Verified => "verified",
                Demand::Dane(_) => "dane",
            };
            (demand, rule.reason.id())
        }
        Err(cause) => ("left out", cause.id()),
    }
}

#[test]
fn dane_and_mta_sts_come_to_one_rule() {
    use TlsLevel::{None, Opportunistic, Required};
    let domain = || "example.net".to_owned();
    let testing = || Policy::Testing { domain: domain(), pattern: Some("*.test".to_owned()) };
    let elsewhere = || Policy::Testing { domain: domain(), pattern: Option::None };
    let policies = [Policy::Absent, enforced(), excluded(), testing(), elsewhere()];
    for policy in &policies {
        for level in [Opportunistic, Required] {
            // DANE decides, whatever the policy says, and so does a look-up of it that fails.
            assert_eq!(ruled(level, &usable(), policy), ("dane", "transport.dane"));
            let unknown = Records::Unknown(DnsError::Timeout);
            let left_out = ("left out", "transport.tlsa-unknown");
            assert_eq!(ruled(level, &unknown, policy), left_out, "{policy:?}");
        }
        for records in [Records::Absent, usable(), Records::Unusable] {
            assert_eq!(ruled(None, &records, policy), ("none", "transport.none"));
        }
    }
    for (records, policy, opportunistic, required) in [
        (
            Records::Unusable,
            enforced(),
            ("verified", "transport.sts-enforce"),
            ("verified", "transport.sts-enforce"),
        ),
        (
            Records::Unusable,
            excluded(),
            ("left out", "transport.sts-excludes"),
            ("left out", "transport.sts-excludes"),
        ),
        (
            Records::Unusable,
            testing(),
            ("encrypted", "transport.dane-unusable"),
            ("verified", "transport.configured"),
        ),
        (
            Records::Unusable,
            Policy::Absent,
            ("encrypted", "transport.dane-unusable"),
            ("verified", "transport.configured"),
        ),
        (
            Records::Absent,
            enforced(),
            ("verified", "transport.sts-enforce"),
            ("verified", "transport.sts-enforce"),
        ),
        (
            Records::Absent,
            excluded(),
            ("left out", "transport.sts-excludes"),
            ("left out", "transport.sts-excludes"),
        ),
        (
            Records::Absent,
            testing(),
            ("watched", "transport.sts-testing"),
            ("verified", "transport.configured"),
        ),
        (
            Records::Absent,
            elsewhere(),
            ("opportunistic", "transport.sts-test-failed"),
            ("verified", "transport.configured"),
        ),
        (
            Records::Absent,
            Policy::Absent,
            ("opportunistic", "transport.opportunistic"),
            ("verified", "transport.configured"),
        ),
    ] {
        let case = format!("{records:?} {policy:?}");
        assert_eq!(ruled(Opportunistic, &records, &policy), opportunistic, "{case}");
        assert_eq!(ruled(Required, &records, &policy), required, "{case}");
    }
}

fn signed() -> Table {
    let mut dns = Table::new();
    let address: IpAddr = [192, 0, 2, 1].into();
    dns.validate().address("mx.test", address).address("end.test", address);
    dns
}

fn add(dns: &mut Table, host: &str, first: u8) {
    let record = Record::Tlsa(3, 1, 1, vec![first; 32]);
    dns.add(&format!("_25._tcp.{host}"), RecordType::Tlsa, record);
}

/// What is found, and at which base domain.
async fn found(dns: &Table, located: &Located) -> String {
    match records(dns, ("mx.test", 25), located, &[]).await.0 {
        Records::Absent => "absent".to_owned(),
        Records::Unusable => "unusable".to_owned(),
        Records::Unknown(error) => format!("unknown: {error}"),
        Records::Usable(dane) => format!("usable at {}", dane.base),
    }
}

fn located(is_secure: bool, alias_of: Option<&str>) -> Located {
    Located { is_secure, alias_of: alias_of.map(str::to_owned) }
}

#[tokio::test]
async fn records_are_asked_for_where_the_address_is_secure() {
    let failure = || DnsError::Failure("SERVFAIL".into());
    let tlsa = "_25._tcp.mx.test";
    let mut there = signed();
    add(&mut there, "mx.test", 1);
    assert_eq!(found(&there, &located(true, None)).await, "usable at mx.test");
    // outlook.com's servers answered SERVFAIL: whoever asked had no mail go out.
    let mut fails = signed();
    fails.fail(tlsa, RecordType::Tlsa, failure());
    assert_eq!(found(&fails, &located(false, None)).await, "absent");
    assert_eq!(found(&fails, &located(true, None)).await, "unknown: the DNS failed: SERVFAIL");
    fails.fail(tlsa, RecordType::Tlsa, DnsError::Timeout);
    assert!(found(&fails, &located(true, None)).await.starts_with("unknown"));
    // Insecure records, and absences of both kinds, are as none.
    there.doubt(tlsa, RecordType::Tlsa);
    assert_eq!(found(&there, &located(true, None)).await, "absent");
    assert_eq!(found(&signed(), &located(true, None)).await, "absent");
    let mut absent = signed();
    absent.doubt(tlsa, RecordType::Tlsa);
    assert_eq!(found(&absent, &located(true, None)).await, "absent");
    for malformed in [
        Record::Tlsa(3, 1, 1, Vec::new()),
        Record::Tlsa(1, 1, 1, vec![7; 32]),
        Record::Tlsa(255, 255, 255, Vec::new()),
    ] {
        let mut dns = signed();
        dns.add(tlsa, RecordType::Tlsa, malformed);
        assert_eq!(found(&dns, &located(true, None)).await, "unusable");
    }
}

/// RFC 7672 §2.2.2.
#[tokio::test]
async fn aliases_are_followed_as_far_as_they_are_secure() {
    let mut dns = signed();
    let alias = Record::Name("end.test".to_owned());
    dns.add("mx.test", RecordType::Cname, alias);
    let secure = located(true, Some("end.test"));
    assert_eq!(found(&dns, &secure).await, "absent");
    add(&mut dns, "mx.test", 1);
    assert_eq!(found(&dns, &secure).await, "usable at mx.test", "where the end has none");
    let insecure = located(false, Some("end.test"));
    assert_eq!(found(&dns, &insecure).await, "usable at mx.test", "the alias itself is signed");
    add(&mut dns, "end.test", 2);
    assert_eq!(found(&dns, &secure).await, "usable at end.test");
    assert_eq!(found(&dns, &insecure).await, "usable at mx.test");
    dns.doubt("mx.test", RecordType::Cname);
    assert_eq!(found(&dns, &insecure).await, "absent");
    // What fails at the end never leads to the beginning.
    dns.fail("_25._tcp.end.test", RecordType::Tlsa, DnsError::Timeout);
    assert!(found(&dns, &secure).await.starts_with("unknown"));
    dns.fail("mx.test", RecordType::Cname, DnsError::Timeout);
    assert!(found(&dns, &insecure).await.starts_with("unknown"));
}

#[tokio::test]
async fn an_authority_may_vouch_for_the_domain_and_a_port_has_its_own_records() {
    let mut dns = signed();
    let record = Record::Tlsa(2, 1, 1, vec![1; 32]);
    dns.add("_587._tcp.end.test", RecordType::Tlsa, record);
    dns.add("mx.test", RecordType::Cname, Record::Name("end.test".to_owned()));
    let domains: Vec<Arc<str>> = vec!["example.net".into(), "end.test".into()];
    let located = located(true, Some("end.test"));
    let (found, _) = records(&dns, ("mx.test", 587), &located, &domains).await;
    let Records::Usable(dane) = found else { panic!("{found:?}") };
    let names: Vec<&str> = dane.names.iter().map(|name| &**name).collect();
    assert_eq!(names, ["end.test", "mx.test", "example.net"]);
    assert_eq!(records(&dns, ("mx.test", 25), &located, &domains).await.0, Records::Absent);
}
