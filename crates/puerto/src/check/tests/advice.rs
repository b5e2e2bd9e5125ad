//! Advice is true: whoever publishes what a finding says to publish does not meet that
//! finding again, and `puerto dns` says to publish the same.

use puerto_mail::dns::{Record, RecordType, reverse_name};

use super::world::{KEY, Made, V4, V6};
use crate::check::{Asked, Check, Context, Greeting, RECEIVERS, Status, Trial, Verdict, run};
use crate::config::NextHop;
use crate::dnsplan::{self, State, Subject};
use crate::finding::{Finding, Severity};
use crate::intake::KeyRing;
use crate::lang::Said;

fn broken(checks: &[Check]) -> Vec<&Check> {
    checks.iter().filter(|check| check.status == Status::Finding).collect()
}

/// The name and the text of the record that a remedy says to publish.
fn advised(remedy: &str) -> Option<(String, String)> {
    let (before, strings) = remedy.split_once(". IN TXT ")?;
    let name = before.rsplit(' ').next()?.to_owned();
    let pieces = strings.split('"').skip(1).step_by(2);
    Some((name, pieces.collect()))
}

async fn proposed(world: &Made, name: &str) -> Option<(State, String)> {
    let ring = KeyRing::load(&world.config.dkim_directory);
    let egress = if world.config.relayhost.is_some() { vec![] } else { world.egress.clone() };
    let subject = Subject::new(&world.config, &ring, None, egress).unwrap();
    let plan = dnsplan::plan(world, &subject).await.unwrap();
    let of_name = |record: &&dnsplan::Planned| {
        record.name == name && record.kind == RecordType::Txt && record.state != State::Delete
    };
    plan.records.iter().find(of_name).map(|record| (record.state, record.value.clone()))
}

/// Follows all advice about a family until nothing is advised any more.
async fn follow(world: &mut Made, family: &str, title: &str) {
    for _ in 0..4 {
        let checks = world.check().await;
        let mut followed = Vec::new();
        for check in broken(&checks) {
            let Some((name, text)) =
                advised(&check.remedy.to_string()).filter(|_| check.id().starts_with(family))
            else {
                continue;
            };
            let (state, value) = proposed(world, &name).await.unwrap();
            let ids = ["spf.no-all", "spf.plus-all"];
            if !ids.contains(&check.id()) {
                assert_eq!(value, text, "{title}: {}", check.id());
                let named = state == State::Decide || check.seen.to_string().contains("unclear");
                assert!(named || state != State::Keep, "{title}: {}", check.id());
            }
            followed.push((check.id(), name, text));
        }
        if followed.is_empty() {
            return;
        }
        for (_, name, text) in &followed {
            world.set_txt(name, text);
        }
        let again = world.check().await;
        for (id, ..) in &followed {
            let left = broken(&again).into_iter().find(|check| check.id() == *id);
            assert!(left.is_none(), "{title}: {left:?}");
        }
    }
    panic!("{title}: the advice has no end");
}

fn world() -> Made {
    let mut world = Made::healthy().with_hosts();
    world
        .table
        .txt("_spf.example.net", "v=spf1 ip4:203.0.113.0/24 ~all")
        .txt("_spf.example.org", "v=spf1 ip4:198.51.100.0/24 -all")
        .address("relay.example.net", "203.0.113.9".parse().unwrap());
    world
}

#[tokio::test]
async fn an_spf_record_that_is_published_as_advised_is_found_right() {
    for (texts, whole) in [
        (&[][..], "v=spf1 {ours} ~all"),
        (
            &["v=spf1 exp=why.example.com include:_spf.example.net -all"],
            "v=spf1 exp=why.example.com include:_spf.example.net {ours} -all",
        ),
        (
            &["v=spf1 include:_spf.example.net -all", "v=spf1 a:h1.example ~all"],
            "v=spf1 a:h1.example include:_spf.example.net {ours} -all",
        ),
        (
            &["v=spf1 redirect=_spf.example.net", "v=spf1 a:h1.example ~all"],
            "v=spf1 a:h1.example include:_spf.example.net {ours} ~all",
        ),
        (
            &["v=spf1; include:_spf.example.net; -all"],
            "v=spf1 include:_spf.example.net {ours} -all",
        ),
        (
            &["v = spf1 include:_spf.example.net - all"],
            "v=spf1 include:_spf.example.net {ours} -all",
        ),
        (
            &["“v=spf1 include:_spf.example.net –all”"],
            "v=spf1 include:_spf.example.net {ours} -all",
        ),
        (
            &["\u{feff}v=spf1 include:_spf.example.net -all"],
            "v=spf1 include:_spf.example.net {ours} -all",
        ),
        (
            &["v=spf1 include=_spf.example.net ipv4:203.0.113.7 -all"],
            "v=spf1 include:_spf.example.net ip4:203.0.113.7 {ours} -all",
        ),
        (
            &["v=spf1 include:_spf.example.net ip4:h1.example a:203.0.113.7 -all"],
            "v=spf1 include:_spf.example.net a:h1.example ip4:203.0.113.7 {ours} -all",
        ),
        (
            &["v=spf1 include:_spf.example.netip4:203.0.113.7 ~all"],
            "v=spf1 include:_spf.example.net ip4:203.0.113.7 {ours} ~all",
        ),
        (
            &["v=spf1 include:_spf.example.net,include:_spf.example.org ~all"],
            "v=spf1 include:_spf.example.net include:_spf.example.org {ours} ~all",
        ),
        (&["v=spf1 203.0.113.7\u{a0}-all"], "v=spf1 ip4:203.0.113.7 {ours} -all"),
        (
            &["v=spf1 include:_spf.example.net ip4:198.51.100 -all"],
            "v=spf1 include:_spf.example.net {ours} -all",
        ),
        (&["v=spf1 include:_spf.example.net -all"], "v=spf1 include:_spf.example.net {ours} -all"),
        (&["v=spf1 -all include:_spf.example.net"], "v=spf1 {ours} -all include:_spf.example.net"),
        (&["v=spf1 include:_spf.example.net ?all"], "v=spf1 include:_spf.example.net {ours} ~all"),
        (&["v=spf1 include:_spf.example.net"], "v=spf1 include:_spf.example.net {ours} ~all"),
        (&["v=spf1 +all"], "v=spf1 {ours} ~all"),
        (&["v=spf1 ip4:0.0.0.0/0 -all"], "v=spf1 {ours} -all"),
    ] {
        let mut world = world();
        world.absent("example.com", RecordType::Txt);
        for text in texts {
            world.table.txt("example.com", text);
        }
        follow(&mut world, "spf.", texts.first().unwrap_or(&"nothing")).await;
        let ours = format!("ip4:{V4} ip6:{V6}");
        let answer = puerto_mail::dns::Dns::lookup(&world, "example.com", RecordType::Txt).await;
        let records: Vec<_> = answer.unwrap().records;
        assert_eq!(
            records,
            [Record::Txt(whole.replace("{ours}", &ours).into_bytes())],
            "{texts:?}"
        );
    }
}

#[tokio::test]
async fn a_rescue_route_outside_the_record_is_found_and_mended() {
    let mut world = world();
    let check = async |world: &Made| {
        let checks = world.check().await;
        let check = checks.iter().find(|check| check.id() == "spf.covers-rescue")?;
        Some((check.status, format!("{check:?}")))
    };
    assert_eq!(check(&world).await, None, "without a rescue route there is nothing to say");
    world.config.rescue.via = NextHop::parse("[smtp.sendgrid.net]:587").ok();
    world.table.txt("sendgrid.net", "v=spf1 ip4:198.51.100.128/26 -all");
    let (status, text) = check(&world).await.unwrap();
    assert_eq!(status, Status::Finding, "{text}");
    assert!(text.contains("include:sendgrid.net"), "{text}");
    follow(&mut world, "spf.", "rescue").await;
    assert_eq!(check(&world).await.unwrap().0, Status::Pass);
    let (state, value) = proposed(&world, "example.com").await.unwrap();
    assert!(state == State::Keep && value.contains("include:sendgrid.net"), "{value}");
    world.config.relayhost = NextHop::parse("[relay.example.net]").ok();
    assert_eq!(check(&world).await, None);
}

#[tokio::test]
async fn behind_a_relay_check_and_dns_propose_the_same() {
    for (relay, text, whole) in [
        ("[relay.example.net]:587", None, "v=spf1 a:relay.example.net ~all"),
        (
            "[relay.example.net]:587",
            Some("v=spf1 a:h1.example -all"),
            "v=spf1 a:h1.example a:relay.example.net -all",
        ),
        (
            "[relay.example.net]:587",
            Some("v=spf1; a:h1.example -all"),
            "v=spf1 a:h1.example a:relay.example.net -all",
        ),
        ("[smtp.sendgrid.net]:587", None, "v=spf1 include:sendgrid.net ~all"),
        (
            "[smtp.sendgrid.net]:587",
            Some("v=spf1 a:h1.example -all"),
            "v=spf1 a:h1.example include:sendgrid.net -all",
        ),
    ] {
        let mut world = world();
        world.config.relayhost = Some(NextHop::parse(relay).unwrap());
        world.table.address("smtp.sendgrid.net", "198.51.100.200".parse().unwrap());
        world.table.txt("sendgrid.net", "v=spf1 ip4:198.51.100.128/26 -all");
        world.absent("example.com", RecordType::Txt);
        if let Some(text) = text {
            world.table.txt("example.com", text);
        }
        // Setup has this machine's addresses at hand, which matter to nobody here.
        let ring = KeyRing::load(&world.config.dkim_directory);
        let egress = world.egress.clone();
        let subject = Subject::new(&world.config, &ring, Some("example.com"), egress).unwrap();
        let of_setup = dnsplan::plan(&world, &subject).await.unwrap().records;
        let is_it = of_setup.iter().any(|r| r.name == "example.com" && r.value == whole);
        assert!(is_it, "{relay} {text:?}: {of_setup:?}");
        follow(&mut world, "spf.", relay).await;
        let (_, value) = proposed(&world, "example.com").await.unwrap();
        assert_eq!(value, whole, "{relay} {text:?}");
        let answer = puerto_mail::dns::Dns::lookup(&world, "example.com", RecordType::Txt).await;
        assert_eq!(answer.unwrap().records, [Record::Txt(whole.into())], "{relay} {text:?}");
    }
}

#[tokio::test]
async fn a_dmarc_record_that_is_published_as_advised_is_found_right() {
    for (texts, whole) in [
        (&[][..], "v=DMARC1; p=none; rua=mailto:postmaster@example.com"),
        (
            &["\"v=DMARC1; p=reject; rua=mailto:a@example.com\""],
            "v=DMARC1; p=reject; rua=mailto:a@example.com",
        ),
        (
            &["v=DMARC1;\u{a0}p=reject; rua=mailto:a@example.com"],
            "v=DMARC1; p=reject; rua=mailto:a@example.com",
        ),
        (
            &["v=DMARC1;\u{b}p=quarantine; rua=mailto: a@example.com"],
            "v=DMARC1; p=quarantine; rua=mailto:a@example.com",
        ),
        (
            &["<p>v=DMARC1; p=reject; rua=a@example.com;b@example.com</p>"],
            "v=DMARC1; p=reject; rua=mailto:a@example.com,mailto:b@example.com",
        ),
        (
            &["v=DMARC1;; p=reject; rua=mailto:a@example.com"],
            "v=DMARC1; p=reject; rua=mailto:a@example.com",
        ),
        (
            &[" v=DMARC1; p=reject; rua=mailto:a@example.com"],
            "v=DMARC1; p=reject; rua=mailto:a@example.com",
        ),
        (
            &["v=DMARC1; p=quarentine; rua=mailto:a@example.com"],
            "v=DMARC1; p=quarantine; rua=mailto:a@example.com",
        ),
        (
            &["v=DMARC1; p=reject; p=none; rua=mailto:a@example.com"],
            "v=DMARC1; p=reject; rua=mailto:a@example.com",
        ),
        (&["v=DMARC1; p=reject"], "v=DMARC1; p=reject; rua=mailto:postmaster@example.com"),
        (&["v=DMARC1"], "v=DMARC1; p=none; rua=mailto:postmaster@example.com"),
        (
            &["v=DMARC1; p=reject; rua=mailto:a@example.com", "v=DMARC1; p=none"],
            "v=DMARC1; p=none; rua=mailto:postmaster@example.com",
        ),
    ] {
        let mut world = world();
        world.absent("_dmarc.example.com", RecordType::Txt);
        for text in texts {
            world.table.txt("_dmarc.example.com", text);
        }
        follow(&mut world, "dmarc.", texts.first().unwrap_or(&"nothing")).await;
        let answer =
            puerto_mail::dns::Dns::lookup(&world, "_dmarc.example.com", RecordType::Txt).await;
        assert_eq!(answer.unwrap().records, [Record::Txt(whole.into())], "{texts:?}");
    }
}

#[tokio::test]
async fn a_key_that_is_published_as_advised_is_found_right() {
    for change in [
        |_: &str| String::new(),
        |record: &str| format!("{record}; t=y"),
        |record: &str| record.replace("; p=", ";; p="),
        |record: &str| format!("\"{record}\""),
        |record: &str| record.chars().take(255).collect(),
        |_: &str| "v=DKIM1; p=".to_owned(),
        |_: &str| "site-verification=1".to_owned(),
    ] {
        let mut world = world();
        let text = change(&world.record);
        world.absent(KEY, RecordType::Txt);
        if !text.is_empty() {
            world.table.txt(KEY, &text);
        }
        follow(&mut world, "dkim.", &text).await;
        let answer = puerto_mail::dns::Dns::lookup(&world, KEY, RecordType::Txt).await;
        assert_eq!(answer.unwrap().records, [Record::Txt(world.record.clone().into())], "{text}");
    }
}

#[tokio::test]
async fn beside_an_alias_nothing_is_to_be_published() {
    for (name, family) in
        [("example.com", "spf."), ("_dmarc.example.com", "dmarc."), (KEY, "dkim.")]
    {
        let mut world = world();
        world.table.remove(name, RecordType::Txt);
        world.table.add(name, RecordType::Cname, Record::Name("other.example.net".to_owned()));
        world.table.txt("other.example.net", "nothing of ours");
        let checks = world.check().await;
        let of_family = broken(&checks).into_iter().filter(|check| check.id().starts_with(family));
        let remedies: Vec<String> = of_family.map(|check| check.remedy.to_string()).collect();
        assert!(!remedies.is_empty(), "{name}");
        for remedy in remedies {
            assert!(remedy.contains("remove the CNAME first"), "{name}: {remedy}");
        }
    }
}

#[tokio::test]
async fn what_only_our_own_resolver_says_of_this_machine_does_not_count() {
    let mut world = world();
    let name = Record::Name("mail.example.com".to_owned());
    for address in [V4, V6].map(|text| text.parse().unwrap()) {
        world.invented.add(&reverse_name(address), RecordType::Ptr, name.clone());
        world.invented.address("mail.example.com", address);
        world.absent(&reverse_name(address), RecordType::Ptr);
    }
    world.absent("mail.example.com", RecordType::A);
    let checks = world.check().await;
    let found: Vec<&str> = broken(&checks).into_iter().map(Check::id).collect();
    assert!(found.contains(&"ptr.exists") && found.contains(&"ptr.v6"), "{found:?}");
    assert!(found.contains(&"helo.resolves"), "{found:?}");
}

#[tokio::test]
async fn a_foreign_sendmail_is_an_error() {
    let mut world = world();
    world.sendmail = Some("/usr/sbin/sendmail → /usr/sbin/exim4".to_owned());
    let net = ["net".to_owned()];
    for (asked, status) in [
        (Asked::default(), Status::Finding),
        (Asked { egress: world.egress.clone(), ..Asked::default() }, Status::NotApplicable),
    ] {
        let context = Context::gather(&world, &world.config, asked, 0).await;
        let checks = run(&context, &net, &|_| {}).await;
        let check = checks.iter().find(|check| check.id() == "net.sendmail").unwrap();
        assert_eq!(check.status, status, "{check:?}");
        assert!(
            status != Status::Finding
                || check.is_wrong() && check.seen.to_string().contains("exim4")
        );
    }
    world.sendmail = None;
    world.config.relayhost = Some(NextHop::parse("[relay.example.net]").unwrap());
    let context = Context::gather(&world, &world.config, Asked::default(), 0).await;
    let checks = run(&context, &net, &|_| {}).await;
    let sendmail = checks.iter().find(|check| check.id() == "net.sendmail").unwrap();
    assert_eq!(sendmail.status, Status::Pass);
}

#[tokio::test]
async fn a_relay_is_judged_by_a_conversation_or_it_is_said_why_there_was_none() {
    let fault = |severity| {
        Finding::new("relay.login", severity, Said::words("535 no"), Said::words("set it"))
    };
    let root = Said::words("run it as root");
    for (trial, status, wrong, seen) in [
        (Trial::NotTried(None), Status::Unknown, false, "not tried here"),
        (Trial::NotTried(Some(root)), Status::Unknown, false, "run it as root"),
        (Trial::Through, Status::NotApplicable, false, "mail goes through it"),
        (Trial::Answered(vec![]), Status::Pass, false, "takes our mail, and the login"),
        (Trial::Answered(vec![fault(Severity::Error)]), Status::Finding, true, "535 no"),
    ] {
        let mut world = world();
        world.config.relayhost = Some(NextHop::parse("[relay.example.net]").unwrap());
        world.trial = trial.clone();
        let context = Context::gather(&world, &world.config, Asked::default(), 0).await;
        let checks = run(&context, &["net.relay".to_owned()], &|_| {}).await;
        let [relay] = checks.as_slice() else { panic!("{checks:?}") };
        assert_eq!((relay.status, relay.is_wrong()), (status, wrong), "{relay:?}");
        assert!(relay.seen.to_string().contains(seen), "{relay:?}");
        let remedy = match status {
            Status::Unknown => "puerto relay test",
            Status::Finding => "set it",
            _ => "",
        };
        assert_eq!(relay.remedy.to_string(), remedy);
    }
    let mut world = world();
    world.config.relayhost = Some(NextHop::parse("[relay.example.net]").unwrap());
    world.trial = Trial::Answered(vec![fault(Severity::Warning)]);
    let context = Context::gather(&world, &world.config, Asked::default(), 0).await;
    let checks = run(&context, &["net.relay".to_owned()], &|_| {}).await;
    let found: Vec<_> = checks.iter().map(|check| (check.status, check.severity)).collect();
    let expected = [(Status::Pass, Severity::Error), (Status::Finding, Severity::Warning)];
    assert_eq!(found, expected, "mail is taken, and something is to be seen to");
}

#[tokio::test]
async fn a_receiver_that_our_mail_does_not_reach_refuses_nothing() {
    let world = world().with_receivers(|_| Greeting::TimedOut);
    let mut config = world.config.clone();
    config.delivery.bind_ipv4 = Some(V4.parse().unwrap());
    let context = Context::gather(&world, &config, Asked::default(), 0).await;
    let checks = run(&context, &["net".to_owned()], &|_| {}).await;
    let gmail = RECEIVERS.iter().find(|receiver| receiver.key == "gmail").unwrap();
    let judgement = gmail.judge(&checks);
    assert_eq!(judgement.verdict, Verdict::Unreached, "{judgement:?}");
    assert_eq!(judgement.because, ["net.port25-out"]);
}
