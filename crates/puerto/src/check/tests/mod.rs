//! The healthy world has no finding; each broken one has its own and no other.

mod advice;
mod domains;
mod golden;
pub(super) mod made;
mod sources;
mod variations;
mod world;

use std::net::IpAddr;

use puerto_mail::dns::{DnsError, Record, RecordType, reverse_name};

use super::outcome::Status;
use super::watch::{Change, Memory};
use super::{FAMILIES, Greeting, RECEIVERS, Report, Verdict, document};
use crate::config::NextHop;
use crate::finding::Severity;
use crate::lang::{Language, Said};
use world::{KEY, Made, V4, V6, with_status};

/// What is wrong, how it is brought about, and the findings that it must give.
type Case = (&'static str, fn(&mut Made), &'static [&'static str]);

const CASES: &[Case] = &[
    (
        "no PTR",
        |w| {
            w.absent(&reverse(V4), RecordType::Ptr);
        },
        &["ptr.exists 192.0.2.10"],
    ),
    (
        "IPv6 without PTR",
        |w| {
            w.absent(&reverse(V6), RecordType::Ptr);
        },
        &["ptr.v6 2001:db8::10"],
    ),
    (
        "a generic PTR",
        |w| {
            w.set_pointer(V4, "192-0-2-10.dynamic.isp.example");
        },
        &["ptr.generic 192.0.2.10"],
    ),
    (
        "a PTR that does not lead back",
        |w| {
            w.absent(&reverse(V4), RecordType::Ptr);
            let name = Record::Name("other.example.com".to_owned());
            w.table.add(&reverse(V4), RecordType::Ptr, name);
        },
        &["ptr.fcrdns 192.0.2.10"],
    ),
    (
        "two PTR records",
        |w| {
            let name = Record::Name("www.example.com".to_owned());
            w.table.add(&reverse(V4), RecordType::Ptr, name);
        },
        &["ptr.single 192.0.2.10"],
    ),
    (
        "no SPF",
        |w| {
            w.absent("example.com", RecordType::Txt);
        },
        &["spf.exists example.com"],
    ),
    (
        "two SPF records",
        |w| {
            w.table.txt("example.com", "v=spf1 include:_spf.isp.example ~all");
        },
        &["spf.single example.com"],
    ),
    (
        "SPF without our address",
        |w| {
            w.set_txt("example.com", "v=spf1 ip6:2001:db8::10 -all");
        },
        &["spf.covers-ip 192.0.2.10"],
    ),
    (
        "SPF with too many look-ups",
        |w| {
            w.set_txt(
                "example.com",
                "v=spf1 ip4:192.0.2.10 ip6:2001:db8::10 include:many.example -all",
            );
            w.table.txt(
                "many.example",
                "v=spf1 a mx a:mail.example.com mx:example.com \
                a:ns1.example.com a:ns2.example.com a:ns3.example.com a:mail.example.com/24 \
                mx:example.com/24 a:ns1.example.com/24 -all",
            );
            w.table.address("many.example", "203.0.113.1".parse().unwrap());
            w.table.mx("many.example", 10, "mail.example.com");
        },
        &["spf.lookups example.com"],
    ),
    (
        "SPF with a mistake",
        |w| {
            w.set_txt("example.com", "v=spf1 ip4:192.0.2.10.1 ip6:2001:db8::10 -all");
        },
        &["spf.syntax example.com"],
    ),
    (
        "SPF whose strings have no space between them",
        |w| {
            w.set_txt("example.com", "v=spf1 ip4:192.0.2.10ip6:2001:db8::10 -all");
        },
        &["spf.string-255 example.com"],
    ),
    (
        "a domain that takes no mail, the reports neither",
        |w| {
            w.absent("example.com", RecordType::Mx);
        },
        &["dns.sender-resolves example.com"],
    ),
    (
        "an include of nothing",
        |w| {
            w.set_txt(
                "example.com",
                "v=spf1 include:gone.example ip4:192.0.2.10 ip6:2001:db8::10 -all",
            );
        },
        &["spf.include-missing example.com"],
    ),
    (
        "an open SPF record",
        |w| {
            w.set_txt("example.com", "v=spf1 +all");
        },
        &["spf.plus-all example.com"],
    ),
    (
        "SPF without an end",
        |w| {
            w.set_txt("example.com", "v=spf1 ip4:192.0.2.10 ip6:2001:db8::10");
        },
        &["spf.no-all example.com"],
    ),
    (
        "no DKIM record",
        |w| {
            w.absent(KEY, RecordType::Txt);
        },
        &["dkim.record-exists s1._domainkey.example.com"],
    ),
    (
        "another key",
        |w| {
            w.set_txt(KEY, &world::other_record());
        },
        &["dkim.key-match s1._domainkey.example.com"],
    ),
    (
        "a key cut off by the panel",
        |w| {
            let cut = w.record.get(..255).unwrap().to_owned();
            w.set_txt(KEY, &cut);
        },
        &["dkim.syntax s1._domainkey.example.com"],
    ),
    (
        "a revoked key",
        |w| {
            w.set_txt(KEY, "v=DKIM1; k=rsa; p=");
        },
        &["dkim.revoked s1._domainkey.example.com"],
    ),
    (
        "a key that is a test",
        |w| {
            let testing = w.record.replace("k=rsa;", "k=rsa; t=y;");
            w.set_txt(KEY, &testing);
        },
        &["dkim.testing s1._domainkey.example.com"],
    ),
    (
        "two key records",
        |w| {
            w.table.txt(KEY, "v=DKIM1; k=rsa; p=AAAA");
        },
        &["dkim.multiple s1._domainkey.example.com"],
    ),
    (
        "a key with quotation marks",
        |w| {
            let quoted = format!("\"{}\"", w.record);
            w.set_txt(KEY, &quoted);
        },
        &["dkim.chunks s1._domainkey.example.com"],
    ),
    (
        "keys for another domain only",
        |w| {
            let directory = &w.config.dkim_directory;
            std::fs::rename(directory.join("example.com"), directory.join("example.net")).unwrap();
        },
        &["dkim.alignment example.com"],
    ),
    (
        "no DMARC",
        |w| {
            w.absent("_dmarc.example.com", RecordType::Txt);
        },
        &["dmarc.exists example.com"],
    ),
    (
        "two DMARC records",
        |w| {
            w.table.txt("_dmarc.example.com", "v=DMARC1; p=reject");
        },
        &["dmarc.single example.com"],
    ),
    (
        "DMARC at the wrong name",
        |w| {
            w.absent("_dmarc.example.com", RecordType::Txt);
            w.table.txt("example.com", "v=DMARC1; p=none; rua=mailto:postmaster@example.com");
        },
        &["dmarc.location example.com"],
    ),
    (
        "a top-level domain with a record that does not say psd=y",
        |w| {
            w.table.txt("_dmarc.com", "v=DMARC1; p=none");
        },
        &["dmarc.org-domain example.com"],
    ),
    (
        "reports to nobody",
        |w| {
            w.set_txt("_dmarc.example.com", "v=DMARC1; p=none; rua=mailto:a@reports.example");
            w.table.mx("reports.example", 10, "mail.example.com");
        },
        &["dmarc.rua-external reports.example"],
    ),
    (
        "the null MX",
        |w| {
            w.absent("example.com", RecordType::Mx);
            w.table.mx("example.com", 0, "");
        },
        &["dns.null-mx example.com"],
    ),
    (
        "an MX without address",
        |w| {
            w.table.mx("example.com", 20, "backup.example.com");
        },
        &["dns.mx-resolves backup.example.com"],
    ),
    (
        "one name server with an old key",
        |w| {
            let old = Ok(vec![Record::Txt(b"v=DKIM1; k=rsa; p=T0xE".to_vec())]);
            w.servers.insert(("192.0.2.52".parse().unwrap(), KEY.to_owned(), RecordType::Txt), old);
        },
        &["dns.ns-consistent example.com"],
    ),
    (
        "a bare host name",
        |w| {
            w.config.delivery.helo = "mail".to_owned();
        },
        &["helo.fqdn mail"],
    ),
    (
        "a host name without our IPv4 address",
        |w| {
            w.absent("mail.example.com", RecordType::A);
            w.set_pointer(V4, "mail4.example.com");
            w.config.delivery.helo = "mail.example.com".to_owned();
            w.set_txt("mail.example.com", "v=spf1 ip4:192.0.2.10 ip6:2001:db8::10 -all");
        },
        &["helo.resolves 192.0.2.10", "ptr.matches-helo 192.0.2.10"],
    ),
];

fn reverse(address: &str) -> String {
    reverse_name(address.parse().unwrap())
}

#[tokio::test]
async fn a_healthy_world_has_no_finding() {
    let world = Made::healthy();
    let checks = world.check().await;
    assert_eq!(with_status(&checks, Status::Finding), Vec::<String>::new());
    assert_eq!(with_status(&checks, Status::Unknown), Vec::<String>::new());
    let report =
        Report { domains: vec!["example.com".into()], egress: world.egress.clone(), checks };
    assert_eq!(report.exit_code(), 0);
    for receiver in RECEIVERS {
        assert_eq!(receiver.judge(&report.checks).verdict, Verdict::Accept, "{}", receiver.name);
    }
    assert!(report.summary(Language::Spanish).starts_with("Todo está bien"));
}

#[tokio::test]
async fn each_broken_world_has_exactly_its_findings() {
    for (what, breaks, expected) in CASES {
        let mut world = Made::healthy();
        breaks(&mut world);
        let checks = world.check().await;
        let mut found = with_status(&checks, Status::Finding);
        found.sort();
        let mut expected = expected.to_vec();
        expected.sort_unstable();
        assert_eq!(found, expected, "{what}");
        assert!(checks.iter().any(super::Check::is_wrong), "{what}");
        for check in checks.iter().filter(|check| check.status == Status::Finding) {
            assert!(!check.seen.is_empty() && !check.remedy.is_empty(), "{what}: {check:?}");
            let texts = [&check.seen, &check.expected, &check.remedy].map(ToString::to_string);
            assert!(texts.iter().all(|text| !text.contains('{')), "{what}: {check:?}");
        }
    }
}

#[tokio::test]
async fn a_dns_that_does_not_answer_gives_no_finding() {
    let reversed = reverse(V4);
    for (name, kind) in [
        ("example.com", RecordType::Txt),
        ("example.com", RecordType::Mx),
        ("example.com", RecordType::Ns),
        ("example.com", RecordType::Soa),
        ("mail.example.com", RecordType::A),
        ("_dmarc.example.com", RecordType::Txt),
        (KEY, RecordType::Txt),
        (reversed.as_str(), RecordType::Ptr),
    ] {
        for error in [DnsError::Timeout, DnsError::Failure("SERVFAIL".into())] {
            let mut world = Made::healthy();
            world.table.fail(name, kind, error);
            let checks = world.check().await;
            assert_eq!(
                with_status(&checks, Status::Finding),
                Vec::<String>::new(),
                "{kind} {name}"
            );
            assert_ne!(
                with_status(&checks, Status::Unknown),
                Vec::<String>::new(),
                "{kind} {name}"
            );
        }
    }
}

#[tokio::test]
async fn a_dns_that_answers_nothing_is_what_is_to_be_mended_first() {
    let mut world = Made::healthy();
    let summary = |checks| {
        let report = Report { domains: vec!["example.com".into()], egress: vec![], checks };
        report.summary(Language::English)
    };
    assert!(summary(world.check().await).starts_with("All is well"));
    world.silent = true;
    let checks = world.check().await;
    // What stands on an answer of the DNS cannot have passed.
    let passed = checks.iter().filter(|c| c.asked.contains(" @") && c.status == Status::Pass);
    assert_eq!(passed.map(super::Check::id).collect::<Vec<_>>(), Vec::<&str>::new());
    let said = summary(checks);
    assert!(said.starts_with("The DNS answered nothing at all: mend the resolver"), "{said}");
}

#[tokio::test]
async fn a_long_record_or_lines_of_a_file_are_not_repeated_in_the_last_line() {
    let mut checks = Made::healthy().check().await;
    let mut first = checks.remove(0);
    (first.status, first.severity) = (Status::Finding, Severity::Error);
    let id = first.id().to_owned();
    let last_line = |remedy: &str, has_record: bool| {
        let mut check = first.clone();
        check.remedy = Said::words(remedy);
        check.has_record = has_record;
        let report =
            Report { domains: vec!["example.com".into()], egress: vec![], checks: vec![check] };
        report.summary(Language::English)
    };
    let long = format!("publish: {}", "A".repeat(200));
    for (remedy, has_record, is_said) in [
        ("publish it", true, true),
        (&*long, false, true),
        (&*long, true, false),
        ("write:\n[tls]\nkey = \"x\"", false, false),
    ] {
        let said = last_line(remedy, has_record);
        assert!(!said.contains('\n') && said.contains(&id), "{said}");
        assert_eq!(said.contains(remedy), is_said, "{said}");
    }
}

#[tokio::test]
async fn a_name_server_that_fails_is_unknown_with_a_remedy() {
    let mut world = Made::healthy();
    let server: IpAddr = "192.0.2.53".parse().unwrap();
    let failure = Err(DnsError::Failure("SERVFAIL".into()));
    world.servers.insert((server, "example.com".to_owned(), RecordType::Txt), failure);
    let checks = world.check().await;
    assert_eq!(with_status(&checks, Status::Finding), Vec::<String>::new());
    assert_eq!(with_status(&checks, Status::Unknown), ["dns.ns-consistent example.com"]);
    let check = checks.iter().find(|check| check.id() == "dns.ns-consistent").unwrap();
    assert!(
        check.seen.to_string().contains("ns3.example.com") && !check.remedy.is_empty(),
        "{check:?}"
    );
}

#[tokio::test]
async fn which_name_server_is_behind_is_known_by_our_key_and_by_the_serial() {
    let server = |last: u8| IpAddr::from([192, 0, 2, last]);
    let txt = |text: &str| Ok(vec![Record::Txt(text.as_bytes().to_vec())]);
    let failure = |why: &str| Err(DnsError::Failure(why.into()));
    let consistency = async |world: &Made| {
        let checks = world.check().await;
        let check = checks.into_iter().find(|check| check.id() == "dns.ns-consistent");
        check.map(|check| (check.status, check.seen.to_string())).unwrap()
    };
    let old = "v=DKIM1; k=rsa; p=T0xE";

    let mut world = Made::healthy();
    world.servers.insert((server(51), KEY.to_owned(), RecordType::Txt), txt(old));
    world.servers.insert((server(52), KEY.to_owned(), RecordType::Txt), failure("REFUSED"));
    world.servers.insert((server(53), KEY.to_owned(), RecordType::Txt), failure("SERVFAIL"));
    let (status, seen) = consistency(&world).await;
    assert_eq!(status, Status::Finding);
    assert!(seen.contains("1 of 3 name servers still serves the old key: ns1"), "{seen}");

    let mut world = Made::healthy();
    for last in [52, 53] {
        world.servers.insert((server(last), KEY.to_owned(), RecordType::Txt), txt(old));
    }
    let (_, seen) = consistency(&world).await;
    assert!(seen.contains("2 of 3 name servers still serve the old key: ns2"), "{seen}");

    // Most servers have the old record; the newest serial number tells it.
    let mut world = Made::healthy();
    let new = txt("v=spf1 ip4:192.0.2.10 ip6:2001:db8::10 ip4:198.51.100.1 -all");
    world.servers.insert((server(51), "example.com".to_owned(), RecordType::Txt), new);
    let serial = Ok(vec![Record::Soa(8, String::new())]);
    world.servers.insert((server(51), "example.com".to_owned(), RecordType::Soa), serial);
    let (_, seen) = consistency(&world).await;
    assert!(seen.contains("2 of 3 name servers say otherwise: ns2.example.com, ns3"), "{seen}");

    // What is none of mail's business may differ.
    let mut world = Made::healthy();
    let spf = format!("v=spf1 ip4:{V4} ip6:{V6} -all");
    let more = Ok(vec![
        Record::Txt(b"site-verification=1".to_vec()),
        Record::Txt(spf.as_bytes().to_vec()),
    ]);
    world.servers.insert((server(51), "example.com".to_owned(), RecordType::Txt), more);
    assert_eq!(consistency(&world).await.0, Status::Pass);
}

#[tokio::test]
async fn behind_a_relayhost_its_addresses_count() {
    let mut world = Made::healthy();
    world.config.relayhost = Some(NextHop::parse("[relay.isp.example]:587").unwrap());
    world.table.address("relay.isp.example", "198.51.100.25".parse().unwrap());
    world.absent(&reverse(V4), RecordType::Ptr);
    let checks = world.check().await;
    assert_eq!(with_status(&checks, Status::Finding), ["spf.covers-ip 198.51.100.25"]);
    world.set_txt("example.com", "v=spf1 a:relay.isp.example -all");
    assert_eq!(with_status(&world.check().await, Status::Finding), Vec::<String>::new());
}

#[tokio::test]
async fn port_25_is_told_apart() {
    let line = |text: &str| Greeting::Line(text.to_owned());
    let real =
        |host: &str| Greeting::Line(format!("220 {} ready", host.replace("yahoodns", "yahoo")));
    let own = |greeting: &dyn Fn(&str) -> Greeting| {
        let mut world = Made::healthy().with_receivers(greeting);
        world.config.delivery.bind_ipv4 = Some(V4.parse().unwrap());
        world.config.delivery.bind_ipv6 = Some(V6.parse().unwrap());
        world
    };
    type Said<'a> = &'a dyn Fn(&str) -> Greeting;
    let cases: [(Said<'_>, Option<&str>); 4] = [
        (&real, None),
        (&|_| Greeting::Refused(crate::lang::Said::words("refused")), Some("refused")),
        (&|_| Greeting::TimedOut, Some("dropped")),
        (&move |_| line("220 proxy.host.example"), Some("intercepted")),
    ];
    for (greeting, expected) in cases {
        let checks = own(greeting).check_in(&[]).await;
        let check = checks.iter().find(|check| check.id() == "net.port25-out").unwrap();
        match expected {
            None => assert_eq!(check.status, Status::Pass, "{check:?}"),
            Some(word) => {
                assert_eq!(check.status, Status::Finding);
                assert!(check.seen.to_string().starts_with(word), "{check:?}");
            }
        }
    }
    let checks = Made::healthy().check_in(&[]).await;
    assert!(!with_status(&checks, Status::Finding).iter().any(|id| id.starts_with("net.port25")));
}

#[tokio::test]
async fn the_receivers_say_because_of_what() {
    let mut world = Made::healthy();
    world.set_pointer(V4, "192-0-2-10.dynamic.isp.example");
    let checks = world.check_in(&world.egress).await;
    let verdict = |key: &str| {
        let receiver = RECEIVERS.iter().find(|receiver| receiver.key == key).unwrap();
        let judgement = receiver.judge(&checks);
        (judgement.verdict, judgement.because)
    };
    assert_eq!(verdict("gmail"), (Verdict::Accept, vec![]));
    assert_eq!(verdict("microsoft"), (Verdict::Refuse, vec!["ptr.generic"]));
    let report = Report { domains: vec!["example.com".into()], egress: vec![], checks };
    let json = report.to_json(Language::Spanish);
    assert_eq!(json["receivers"]["microsoft"]["because"][0], "ptr.generic");
    assert!(
        json["summary"].as_str().unwrap().starts_with("Hay una cosa mal, ptr.generic"),
        "{json}"
    );
}

#[tokio::test]
async fn a_change_is_told_once_two_runs_saw_it() {
    let healthy = Made::healthy().check().await;
    let mut broken = Made::healthy();
    broken.absent("example.com", RecordType::Txt);
    let broken = broken.check().await;
    let mut silent = Made::healthy();
    silent.table.fail("example.com", RecordType::Txt, DnsError::Timeout);
    let silent = silent.check().await;
    let mut memory = Memory::default();
    assert_eq!(memory.learn(&healthy), None);
    assert_eq!(memory.learn(&broken), None);
    assert_eq!(memory.learn(&healthy), None);
    assert_eq!(memory.learn(&broken), None);
    let appeared = vec!["spf.exists example.com".to_owned()];
    assert_eq!(memory.learn(&broken), Some(Change { appeared, gone: vec![] }));
    assert_eq!(memory.learn(&broken), None);
    assert_eq!(memory.learn(&silent), None);
    assert_eq!(memory.learn(&silent), None);
    assert_eq!(memory.learn(&healthy), None);
    let gone = vec!["spf.exists example.com".to_owned()];
    assert_eq!(memory.learn(&healthy), Some(Change { appeared: vec![], gone }));
}

// The severities are facts that were gathered with the receivers' rules, and each check
// that was thought of is either made or left out with its reason.
#[test]
fn every_check_is_made_as_severe_as_it_is_known_or_left_out_with_its_reason() {
    let left_out = document(Language::English);
    let left_out = left_out.split("## What is not checked").nth(1).unwrap();
    let known = include_str!("known.txt").lines().filter(|line| !line.starts_with('#'));
    let known: Vec<(&str, &str)> = known.map(|line| line.split_once(' ').unwrap()).collect();
    assert!(known.len() > 150);
    for (id, severity) in known {
        match super::definition(id) {
            // For bulk senders only, and told to everybody: it costs nothing.
            Some(check) => {
                assert_eq!(check.severity.as_str(), severity.trim_end_matches("+bulk"), "{id}");
            }
            None => {
                let is_told = left_out.contains(&format!("`{id}`")) || id.starts_with("msg.");
                assert!(is_told, "{id} is neither made nor left out");
            }
        }
    }
}

#[test]
fn checks_are_declared_once_and_the_document_is_theirs() {
    let mut ids: Vec<_> =
        FAMILIES.iter().flat_map(|family| family.checks).map(|check| check.id).collect();
    let all = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), all);
    for check in FAMILIES.iter().flat_map(|family| family.checks) {
        assert!(check.title.en != check.title.es && check.reason.en != check.reason.es);
        assert!(check.severity >= Severity::Info && check.id.contains('.'));
    }
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/checks.md");
    if std::env::var_os("PUERTO_BLESS").is_some() {
        std::fs::write(file, document(Language::English)).unwrap();
    }
    let written = std::fs::read_to_string(file).unwrap_or_default();
    assert!(
        written == document(Language::English),
        "docs/checks.md is not what `puerto check --document` prints"
    );
}
