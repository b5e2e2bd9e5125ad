//! Several domains, and one that does not exist.

use puerto_mail::dns::{DnsError, Record, RecordType};

use super::reverse;
use super::world::{Made, V4, V6, with_status};
use crate::check::context::domains_of;
use crate::check::{Asked, Check, RECEIVERS, Report, Status};
use crate::config::NextHop;
use crate::lang::Language;

#[tokio::test]
async fn a_domain_that_nobody_registered_is_named_before_all_else() {
    let mut world = Made::healthy();
    world.config.domains = vec![puerto_smtp::Domain::parse("shop.example.org").unwrap()];
    let checks = world.check().await;
    let found = with_status(&checks, Status::Finding);
    assert_eq!(found, ["dns.sender-resolves shop.example.org"]);
    assert_eq!(with_status(&checks, Status::Unknown), Vec::<String>::new());
    let first = checks.first().unwrap();
    assert!(first.seen.to_string().contains("example.org does not exist"), "{first:?}");
    assert!(first.remedy.to_string().contains("register example.org"), "{first:?}");
    let skipped = |id: &str| {
        let check = checks.iter().find(|check| check.id() == id).unwrap();
        check.status == Status::NotApplicable
            && check.seen.to_string().contains("needs dns.sender-resolves")
    };
    for id in ["spf.exists", "dkim.alignment", "dmarc.exists", "dns.soa"] {
        assert!(skipped(id), "{id}");
    }
    for receiver in RECEIVERS {
        let judgement = receiver.judge(&checks);
        assert_eq!(judgement.because, ["dns.sender-resolves"], "{}", receiver.name);
    }
    let report = Report { domains: vec!["shop.example.org".into()], egress: vec![], checks };
    assert_eq!(report.exit_code(), 1);
    assert!(report.summary(Language::English).contains("register example.org"));

    // The host's own name lies in the domain too: it needs no finding of its own.
    let mut world = Made::healthy();
    world.config.domains = vec![puerto_smtp::Domain::parse("example.org").unwrap()];
    world.config.delivery.helo = "mail.example.org".to_owned();
    let found = with_status(&world.check().await, Status::Finding);
    assert_eq!(found.first().map(String::as_str), Some("dns.sender-resolves example.org"));
    assert!(!found.iter().any(|one| one.starts_with("helo.")), "{found:?}");
}

#[test]
fn where_mailboxes_are_elsewhere_the_domain_that_mail_is_from_is_judged() {
    let domain = |name: &str| puerto_smtp::Domain::parse(name).unwrap();
    let mut config = crate::config::Config::for_tests(std::path::Path::new("/nonexistent"));
    let asked = Asked { domain: None, egress: Vec::new() };
    config.domains = vec![domain("mail.example.com"), domain("shop.example.org")];
    assert_eq!(domains_of(&asked, &config), ["mail.example.com", "shop.example.org"]);
    config.origin = Some(domain("example.com"));
    assert_eq!(domains_of(&asked, &config), ["example.com", "shop.example.org"]);
    let named = Asked { domain: Some("Mail.Example.com".into()), ..asked };
    assert_eq!(domains_of(&named, &config), ["mail.example.com"]);
}

#[tokio::test]
async fn every_domain_is_judged_with_every_address() {
    let mut world = Made::healthy().with_lists();
    let domain = |name: &str| puerto_smtp::Domain::parse(name).unwrap();
    world.config.domains = vec![domain("example.com"), domain("example.net")];
    world.add_domain("example.net", "v=spf1 ip6:2001:db8::10 -all");
    // What is named twice, or mapped into IPv6, is judged once.
    for address in ["192.0.2.11", V4, "::ffff:192.0.2.11"] {
        world.egress.push(address.parse().unwrap());
    }
    let name = Record::Name("mail.example.com".to_owned());
    world.table.address("mail.example.com", "192.0.2.11".parse().unwrap());
    world.table.add(&reverse("192.0.2.11"), RecordType::Ptr, name);
    let report = world.judge_all().await;
    assert_eq!(report.domains, ["example.com", "example.net"]);
    let found = with_status(&report.checks, Status::Finding);
    assert_eq!(
        found,
        [
            "spf.covers-ip example.com 192.0.2.11",
            "spf.covers-ip example.net 192.0.2.10",
            "spf.covers-ip example.net 192.0.2.11",
        ]
    );
    let json = report.to_json(Language::English);
    assert_eq!(
        (json["domain"].as_str(), json["domains"][1].as_str()),
        (Some("example.com"), Some("example.net"))
    );
    // What is about the machine is told once, and everything else of each domain.
    let with_id = |id: &str| {
        let checks = report.checks.iter().filter(|check| check.id() == id);
        checks.map(|check| check.subject.clone()).collect::<Vec<_>>()
    };
    assert_eq!(with_id("ptr.exists"), [V4, "192.0.2.11"]);
    assert_eq!(with_id("helo.fqdn"), ["mail.example.com"]);
    assert_eq!(with_id("mbox.open-relay"), ["mail.example.com"]);
    assert_eq!(with_id("bl.spamhaus-zen"), [V4, "192.0.2.11", V6]);
    for id in ["dns.soa", "spf.exists", "dmarc.exists", "dmarc.alignment", "bl.spamhaus-dbl"] {
        assert_eq!(with_id(id), ["example.com", "example.net"], "{id}");
    }
    let mut unique = with_status(&report.checks, Status::Pass);
    unique.retain(|one| !one.starts_with("bl."));
    let all = unique.len();
    unique.sort();
    unique.dedup();
    assert_eq!(unique.len(), all);
}

#[tokio::test]
async fn behind_a_relayhost_every_domain_must_cover_it() {
    let mut world = Made::healthy();
    let domain = |name: &str| puerto_smtp::Domain::parse(name).unwrap();
    world.config.domains = vec![domain("example.com"), domain("example.net")];
    world.config.relayhost = Some(NextHop::parse("[relay.isp.example]:587").unwrap());
    for address in ["198.51.100.25", "2001:db8:25::1"] {
        world.table.address("relay.isp.example", address.parse().unwrap());
    }
    world.set_txt("example.com", "v=spf1 a:relay.isp.example -all");
    world.add_domain("example.net", "v=spf1 ip4:198.51.100.25 -all");
    let report = world.judge_all().await;
    // One of the relay's addresses passes: whether it sends from the other, nobody knows.
    assert_eq!(with_status(&report.checks, Status::Finding), Vec::<String>::new());
    let unknown = with_status(&report.checks, Status::Unknown);
    assert!(
        unknown.contains(&"spf.covers-ip example.net 2001:db8:25::1".to_owned()),
        "{unknown:?}"
    );
    world.set_txt("example.net", "v=spf1 ip4:192.0.2.10 -all");
    let report = world.judge_all().await;
    assert_eq!(
        with_status(&report.checks, Status::Finding),
        ["spf.covers-ip example.net 198.51.100.25", "spf.covers-ip example.net 2001:db8:25::1"]
    );
}

#[tokio::test]
async fn resolvers_that_disagree_are_named_with_what_each_says() {
    let find = async |world: &Made| {
        let checks = world.check().await;
        checks.into_iter().find(|check| check.id() == "dns.resolvers-agree")
    };
    let mut world = Made::healthy();
    assert!(find(&world).await.is_none(), "one resolver agrees with itself");
    world.resolvers = ["198.51.100.1:53", "198.51.100.2:53"].map(|at| at.parse().unwrap()).into();
    assert_eq!(find(&world).await.unwrap().status, Status::Pass);
    let other = "198.51.100.2".parse().unwrap();
    let old = Record::Txt(b"v=spf1 ip4:203.0.113.1 -all".to_vec());
    let question = (other, "example.com".to_owned(), RecordType::Txt);
    world.servers.insert(question.clone(), Ok(vec![old]));
    let found = find(&world).await.unwrap();
    assert_eq!(found.status, Status::Finding);
    for said in ["198.51.100.", "203.0.113.1", V4, "TXT example.com"] {
        assert!(found.seen.to_string().contains(said), "{said}: {}", found.seen);
    }
    world.servers.insert(question, Err(DnsError::NoSuchDomain));
    assert_eq!(find(&world).await.unwrap().status, Status::Finding);
    // One that keeps silent says nothing else.
    world.servers.clear();
    let silent = (other, "example.com".to_owned(), RecordType::Mx);
    world.servers.insert(silent, Err(DnsError::Timeout));
    assert_eq!(find(&world).await.unwrap().status, Status::Pass);
}

#[tokio::test]
async fn a_public_resolver_is_known_among_several() {
    let mut world = Made::healthy();
    for (resolvers, status) in [
        (["192.0.2.53:53", "127.0.0.1:53"], Status::Pass),
        (["192.0.2.53:53", "9.9.9.9:9953"], Status::Finding),
        (["[2620:fe::9]:53", "127.0.0.1:53"], Status::Finding),
    ] {
        world.resolvers = resolvers.map(|at| at.parse().unwrap()).into();
        let checks = world.check().await;
        let found = checks.iter().find(|check| check.id() == "net.resolver-public").unwrap();
        assert_eq!(found.status, status, "{resolvers:?}");
    }
}

#[tokio::test]
async fn that_an_address_is_named_in_a_domain_that_does_not_exist_is_told_once() {
    for (name, status) in [
        ("mail.example.org", Status::NotApplicable),
        // Another domain ends alike.
        ("mail.anexample.org", Status::Finding),
    ] {
        let mut world = Made::healthy();
        world.config.domains = vec![puerto_smtp::Domain::parse("shop.example.org").unwrap()];
        world.absent(&reverse(V4), RecordType::Ptr);
        world.table.add(&reverse(V4), RecordType::Ptr, Record::Name(name.to_owned()));
        let checks = world.judge_all().await.checks;
        let judged = |check: &&Check| check.id() == "ptr.fcrdns" && check.subject == V4;
        let found = checks.iter().find(judged).unwrap();
        assert_eq!(found.status, status, "{name}: {}", found.seen);
    }
}

#[tokio::test]
async fn nothing_is_well_while_a_name_server_keeps_silent() {
    let mut world = Made::healthy();
    for (name, kind) in [("example.com", RecordType::Mx), ("example.com", RecordType::Txt)] {
        let question = ("192.0.2.52".parse().unwrap(), name.to_owned(), kind);
        world.servers.insert(question, Err(DnsError::Timeout));
    }
    let checks = world.check().await;
    let report = Report { domains: vec!["example.com".into()], egress: vec![], checks };
    let summary = report.summary(Language::English);
    assert!(summary.starts_with("Nothing is known to be wrong"), "{summary}");
    assert_eq!(report.exit_code(), 2);
}
