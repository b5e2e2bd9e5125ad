//! Plans over tables of records.

use std::net::IpAddr;

use puerto_mail::dkim::{Algorithm, PrivateKey};
use puerto_mail::dns::{DnsError, Record, RecordType, Table, block_on};

use super::*;
use crate::config::NextHop;
use crate::finding::Severity;
use crate::lang::Language;

mod golden;
mod spf_record;

fn key() -> String {
    PrivateKey::from_pem(&PrivateKey::generate(Algorithm::RsaSha256).unwrap())
        .unwrap()
        .record_text()
}

fn subject() -> Subject {
    Subject {
        domain: "example.com".to_owned(),
        hostname: "mail.example.com".to_owned(),
        exchanger: "mail.example.com".to_owned(),
        egress: vec!["192.0.2.1".parse().unwrap(), "2001:db8::1".parse().unwrap()],
        sources: Vec::new(),
        relay: None,
        rescue: None,
        keys: vec![Key {
            domain: "example.com".to_owned(),
            selector: "s1".to_owned(),
            kind: "rsa",
            record: key(),
        }],
        policy: None,
        is_policy_there: true,
        tlsa: Vec::new(),
        receives: true,
        reached: vec![("postmaster", Some(true)), ("abuse", Some(false))],
    }
}

fn planned(table: &Table, subject: &Subject) -> Plan {
    block_on(plan(table, subject)).unwrap().unwrap()
}

fn shown(plan: &Plan, name: &str, kind: RecordType) -> Vec<String> {
    let of_name = plan.records.iter().filter(|r| r.name == name && r.kind == kind);
    of_name.map(|r| format!("{} {}", r.state.as_str(), r.value)).collect()
}

fn spf(records: &[&str], change: impl FnOnce(&mut Table, &mut Subject)) -> Plan {
    let (mut table, mut subject) = (Table::new(), subject());
    subject.egress.truncate(1);
    for record in records {
        table.txt("example.com", record);
    }
    change(&mut table, &mut subject);
    planned(&table, &subject)
}

/// Senders that find the record and no policy behind it keep no policy, and one that a record
/// with a new id announces too early is not fetched again.
#[test]
fn a_policy_is_announced_only_when_it_is_there() {
    let (mut table, mut subject) = (Table::new(), subject());
    subject.policy = Some("version: STSv1\nmode: none\nmax_age: 604800\n".to_owned());
    subject.is_policy_there = false;
    table.mx("example.com", 10, "mail.example.com");
    let name = "_mta-sts.example.com";
    for record in [None, Some("v=STSv1; id=1;"), Some("v=STSv1; id=2026-11-30")] {
        if let Some(record) = record {
            table.txt(name, record);
        }
        let plan = planned(&table, &subject);
        assert!(!plan.changes().any(|change| change.name == name), "{record:?}");
        assert!(plan.changes().any(|change| change.name == "mta-sts.example.com"), "{record:?}");
        let later = plan.later.iter().find(|later| later.name == name).unwrap();
        let why = later.why.of(Language::English);
        assert!(why.contains("mta-sts.example.com") && why.contains("puerto dns"), "{why}");
        table.remove(name, RecordType::Txt);
    }
}

#[test]
fn a_policy_that_is_served_is_announced_after_its_host() {
    let (mut table, mut subject) = (Table::new(), subject());
    let page = "version: STSv1\nmode: testing\nmx: mail.example.com\nmax_age: 604800\n";
    subject.policy = Some(page.to_owned());
    table.mx("example.com", 10, "mail.example.com");
    table.address("mail.example.com", "192.0.2.1".parse().unwrap());
    table.txt("_mta-sts.example.com", "v=STSv1; id=1;");
    let plan = planned(&table, &subject);
    let id = crate::survey::mtasts::id_for(page);
    let announced = shown(&plan, "_mta-sts.example.com", RecordType::Txt);
    assert_eq!(announced, [format!("change v=STSv1; id={id};")]);
    assert_eq!(shown(&plan, "mta-sts.example.com", RecordType::A), ["new 192.0.2.1"]);
    let reports = shown(&plan, "_smtp._tls.example.com", RecordType::Txt);
    assert_eq!(reports, ["new v=TLSRPTv1; rua=mailto:postmaster@example.com"]);
    assert!(plan.later.is_empty(), "{:?}", plan.later);
    table.remove("_mta-sts.example.com", RecordType::Txt);
    let published = publish(&table, &planned(&table, &subject));
    let again = planned(&published, &subject);
    assert_eq!(
        shown(&again, "_mta-sts.example.com", RecordType::Txt),
        [format!("keep v=STSv1; id={id};")]
    );
    // Another policy has another id.
    subject.policy = Some(page.replace("testing", "enforce"));
    let changed = planned(&published, &subject);
    assert!(shown(&changed, "_mta-sts.example.com", RecordType::Txt)[0].starts_with("change "));
}

#[test]
fn a_key_is_announced_before_it_is_used_and_forgotten_when_it_is_not() {
    let (mut table, mut subject) = (Table::new(), subject());
    table.mx("example.com", 10, "mail.example.com");
    let name = "_25._tcp.mail.example.com";
    let (one, two) = ("11".repeat(32), "22".repeat(32));
    assert!(shown(&planned(&table, &subject), name, RecordType::Tlsa).is_empty(), "unsigned");
    subject.tlsa = vec![one.clone()];
    assert_eq!(
        shown(&planned(&table, &subject), name, RecordType::Tlsa),
        [format!("new 3 1 1 {one}")]
    );
    table.add(name, RecordType::Tlsa, Record::Tlsa(3, 1, 1, vec![0x11; 32]));
    assert_eq!(
        shown(&planned(&table, &subject), name, RecordType::Tlsa),
        [format!("keep 3 1 1 {one}")]
    );
    subject.tlsa = vec![one.clone(), two.clone()];
    let roll = shown(&planned(&table, &subject), name, RecordType::Tlsa);
    assert_eq!(roll, [format!("keep 3 1 1 {one}"), format!("new 3 1 1 {two}")]);
    // The next is in force, and its record is not there yet: nothing goes.
    subject.tlsa = vec![two.clone()];
    let early = shown(&planned(&table, &subject), name, RecordType::Tlsa);
    assert_eq!(early, [format!("new 3 1 1 {two}"), format!("keep 3 1 1 {one}")]);
    table.add(name, RecordType::Tlsa, Record::Tlsa(3, 1, 1, vec![0x22; 32]));
    let late = shown(&planned(&table, &subject), name, RecordType::Tlsa);
    assert_eq!(late, [format!("keep 3 1 1 {two}"), format!("delete 3 1 1 {one}")]);
    // Mail that comes by another's host is no business of our key.
    table.remove("example.com", RecordType::Mx).mx("example.com", 10, "mx.example.net");
    assert!(shown(&planned(&table, &subject), name, RecordType::Tlsa).is_empty());
}

/// Publishes a plan as the administrator is told to.
fn publish(table: &Table, plan: &Plan) -> Table {
    let mut published = table.clone();
    for record in plan.records.iter().filter(|record| record.state == State::New) {
        let value = match record.kind {
            RecordType::A | RecordType::Aaaa => Record::Address(record.value.parse().unwrap()),
            RecordType::Mx => {
                let (preference, host) = record.value.split_once(' ').unwrap();
                Record::Mx(preference.parse().unwrap(), host.to_owned())
            }
            _ => Record::Txt(record.pieces().concat().into_bytes()),
        };
        published.add(&record.name, record.kind, value);
    }
    for reverse in &plan.reverse {
        published.add(&reverse.name, RecordType::Ptr, Record::Name(reverse.value.clone()));
    }
    published
}

#[test]
fn that_nobody_registered_the_domain_is_said_first() {
    let plan = planned(&Table::new(), &subject());
    let shown = render::fields(&plan, Language::Spanish);
    assert!(shown.lines().nth(2).unwrap().starts_with("! example.com no existe"), "{shown}");
    assert_eq!(shown.matches("no existe").count(), 1);
    let json = render::json(&plan, Language::English);
    assert_eq!(json["notes"][0]["serious"], true);
    assert!(json["notes"][0]["text"].as_str().unwrap().contains("NXDOMAIN"));
    let zone = zonefile::zone(&plan, Language::English);
    assert!(zone.lines().take(4).any(|line| line.starts_with("; ! example.com does not exist")));
}

#[test]
fn from_nothing_everything_is_proposed_and_once_published_nothing_more() {
    let (mut table, subject) = (Table::new(), subject());
    table.add("example.com", RecordType::Soa, Record::Soa(1, String::new()));
    let plan = planned(&table, &subject);
    for (name, kind, value) in [
        ("mail.example.com", RecordType::A, "new 192.0.2.1"),
        ("mail.example.com", RecordType::Aaaa, "new 2001:db8::1"),
        ("example.com", RecordType::Mx, "new 10 mail.example.com"),
        ("example.com", RecordType::Txt, "new v=spf1 ip4:192.0.2.1 ip6:2001:db8::1 ~all"),
        ("mail.example.com", RecordType::Txt, "new v=spf1 a -all"),
        (
            "_dmarc.example.com",
            RecordType::Txt,
            "new v=DMARC1; p=none; rua=mailto:postmaster@example.com",
        ),
    ] {
        assert_eq!(shown(&plan, name, kind), [value], "{name}");
    }
    let key = shown(&plan, "s1._domainkey.example.com", RecordType::Txt);
    assert_eq!(key, [format!("new {}", subject.keys[0].record)]);
    assert_eq!(plan.lookups, Lookups { before: None, after: Some(0) });
    assert_eq!(plan.reverse[0].name, "1.2.0.192.in-addr.arpa");
    assert!(plan.reverse[1].name.starts_with("1.0.0.0.") && plan.reverse[1].request.is_some());
    let exist: Vec<_> = plan.mailboxes.iter().map(|mailbox| mailbox.exists).collect();
    assert_eq!(exist, [Some(true), Some(false)]);
    assert_eq!(plan.notes, []);

    let again = planned(&publish(&table, &plan), &subject);
    let left: Vec<_> = again.changes().collect();
    assert!(again.is_done(), "{left:#?}");
    let next: Vec<_> = again.later.iter().map(|record| record.name.as_str()).collect();
    assert_eq!(next, ["_dmarc.example.com", "_smtp._tls.example.com", "_mta-sts.example.com"]);
    assert!(again.later[0].value.contains("p=quarantine"));
}

#[test]
fn one_dmarc_record_and_its_policy_stay() {
    let rua = "rua=mailto:postmaster@example.com";
    for (present, expected) in [
        (
            &["v=DMARC1; p=reject; rua=mailto:a@b.example"][..],
            vec!["keep v=DMARC1; p=reject; rua=mailto:a@b.example".to_owned()],
        ),
        (&["v=DMARC1;p=reject;pct=50"], vec![format!("change v=DMARC1; p=reject; pct=50; {rua}")]),
        (
            &["v=DMARC1;\u{a0}p=reject; rua=mailto: a@b.example;c@b.example"],
            vec!["change v=DMARC1; p=reject; rua=mailto:a@b.example,mailto:c@b.example".to_owned()],
        ),
        (&["v=dmarc1; p=quarantine"], vec![format!("change v=DMARC1; p=quarantine; {rua}")]),
        // Damage of panels and of copying costs nobody the policy.
        (
            &["\"v=DMARC1; p=reject; rua=mailto:a@b.example\""],
            vec!["change v=DMARC1; p=reject; rua=mailto:a@b.example".to_owned()],
        ),
        (
            &["v=DMARC1, p=reject, rua=mailto:a@b.example,mailto:c@b.example"],
            vec!["change v=DMARC1; p=reject; rua=mailto:a@b.example,mailto:c@b.example".to_owned()],
        ),
        (
            &["p=quarantine; rua=a@b.example; v=DMARC1"],
            vec!["change v=DMARC1; p=quarantine; rua=mailto:a@b.example".to_owned()],
        ),
        (
            &["v=DMARC1 p=reject rua=mailto:a@b.example"],
            vec!["change v=DMARC1; p=reject; rua=mailto:a@b.example".to_owned()],
        ),
        (
            &["v=DMARC1\\; p=reject\\; rua=mailto:a@b.example"],
            vec!["change v=DMARC1; p=reject; rua=mailto:a@b.example".to_owned()],
        ),
        (
            &["v=DMARC1; p=reject; sp=nothing; p=none; adkim=x; rua=mailto:a@b.example"],
            vec!["change v=DMARC1; p=reject; rua=mailto:a@b.example".to_owned()],
        ),
        (
            &["v = DMARC1 ; p = reject ; rua = mailto:a@b.example , mailto:c@b.example ; fo=1:d"],
            vec![
                "keep v = DMARC1 ; p = reject ; rua = mailto:a@b.example , mailto:c@b.example ; \
                  fo=1:d"
                    .to_owned(),
            ],
        ),
        (&["v=DMARC1; p=nothing"], vec![format!("change v=DMARC1; p=none; {rua}")]),
        (
            &["v=DMARC1; p=reject; rua=mailto:a@b.example", "v=DMARC1; p=none"],
            vec![
                format!("change v=DMARC1; p=none; {rua}"),
                "delete v=DMARC1; p=reject; rua=mailto:a@b.example".to_owned(),
            ],
        ),
    ] {
        let mut table = Table::new();
        for text in present {
            table.txt("_dmarc.example.com", text);
        }
        let plan = planned(&table, &subject());
        assert_eq!(shown(&plan, "_dmarc.example.com", RecordType::Txt), expected, "{present:?}");
        assert!(plan.later.iter().all(|record| !record.name.starts_with("_dmarc")));
    }
    let mut table = Table::new();
    table.txt("_dmarc.example.com", "v=DMARC1; p=reject");
    let subject = Subject { domain: "news.example.com".to_owned(), ..subject() };
    let plan = planned(&table, &subject);
    assert_eq!(shown(&plan, "_dmarc.news.example.com", RecordType::Txt), Vec::<String>::new());
    assert!(
        plan.notes.iter().any(|note| note.said().of(Language::English).contains("example.com"))
    );
}

#[test]
fn a_key_that_is_published_with_spaces_is_right_and_another_is_not() {
    let subject = subject();
    let record = &subject.keys[0].record;
    let name = "s1._domainkey.example.com";
    let spaced = record.replace("p=", "p= ").replace("v=DMARC1; ", "");
    for (present, expected) in [
        (vec![spaced.clone()], vec![format!("keep {spaced}")]),
        (vec![key()], vec![format!("change {record}")]),
        (vec!["v=DKIM1; p=".to_owned()], vec![format!("change {record}")]),
        (vec![format!("{record}; t=y")], vec![format!("change {record}")]),
        (
            vec![record.clone(), "v=DKIM1; p=".to_owned()],
            vec![format!("keep {record}"), "delete v=DKIM1; p=".to_owned()],
        ),
    ] {
        let mut table = Table::new();
        for text in &present {
            table.txt(name, text);
        }
        assert_eq!(shown(&planned(&table, &subject), name, RecordType::Txt), expected);
    }
}

#[test]
fn an_mx_elsewhere_stays_and_a_null_mx_goes() {
    let (mut table, mut subject) = (Table::new(), subject());
    subject.receives = false;
    table.mx("example.com", 5, "mx.provider.example");
    // One that has no address is for its owner to mend.
    let plan = planned(&table, &subject);
    assert_eq!(shown(&plan, "example.com", RecordType::Mx), ["decide 5 mx.provider.example"]);
    assert!(plan.notes.iter().any(|note| note.id == "mx.nowhere"));
    table.address("mx.provider.example", "192.0.2.99".parse().unwrap());
    let plan = planned(&table, &subject);
    assert_eq!(shown(&plan, "example.com", RecordType::Mx), ["keep 5 mx.provider.example"]);
    assert!(plan.mailboxes.iter().all(|mailbox| !mailbox.here));

    let mut table = Table::new();
    table.mx("example.com", 0, ".");
    subject.receives = true;
    let plan = planned(&table, &subject);
    let expected = ["delete 0 .", "new 10 mail.example.com"];
    assert_eq!(shown(&plan, "example.com", RecordType::Mx), expected);
}

#[test]
fn nothing_is_proposed_where_the_dns_does_not_answer() {
    let failure = DnsError::Failure("SERVFAIL".into());
    for (name, kind) in [
        ("example.com", RecordType::Txt),
        ("example.com", RecordType::Mx),
        ("_dmarc.example.com", RecordType::Txt),
        ("s1._domainkey.example.com", RecordType::Txt),
        ("mail.example.com", RecordType::A),
        ("_spf.news.example", RecordType::Txt),
    ] {
        let mut table = Table::new();
        table.txt("example.com", "v=spf1 include:_spf.news.example -all");
        table.fail(name, kind, failure.clone());
        let unread = block_on(plan(&table, &subject())).unwrap().unwrap_err();
        assert!(unread.said().of(Language::Spanish).contains(name), "{name}");
    }
    let mut table = Table::new();
    table.fail("1.2.0.192.in-addr.arpa", RecordType::Ptr, DnsError::Timeout);
    assert_eq!(planned(&table, &subject()).reverse[0].state, None, "not ours to change");
}

#[test]
fn names_are_relative_to_the_zone_that_they_stand_in() {
    let (mut table, mut subject) = (Table::new(), subject());
    subject.domain = "shop.example.com".to_owned();
    subject.hostname = "mail.host.example".to_owned();
    table.add("example.com", RecordType::Ns, Record::Name("ns.example.net".to_owned()));
    let plan = planned(&table, &subject);
    let relative = |kind, name: &str| {
        let record = plan.records.iter().find(|r| r.kind == kind && r.name == name).unwrap();
        record.relative().to_owned()
    };
    assert_eq!(relative(RecordType::Txt, "shop.example.com"), "shop");
    assert_eq!(relative(RecordType::Txt, "_dmarc.shop.example.com"), "_dmarc.shop");
    assert_eq!(relative(RecordType::Txt, "s1._domainkey.example.com"), "s1._domainkey");
    assert_eq!(relative(RecordType::A, "mail.host.example"), "mail");
}

#[test]
fn a_zone_file_has_short_quoted_strings() {
    let record = Planned {
        name: "a.example.com".to_owned(),
        zone: "example.com".to_owned(),
        kind: RecordType::Txt,
        ttl: TTL,
        value: format!("\"\\;ñ{}", "x".repeat(251)),
        state: State::New,
        old: None,
        why: words::SPF_HELO.into(),
    };
    let mut plan = planned(&Table::new(), &subject());
    plan.records = vec![record];
    let zone = zonefile::zone(&plan, Language::English);
    let line = zone.lines().find(|line| line.starts_with("a.example.com.")).unwrap();
    let expected =
        format!("a.example.com. 3600 IN TXT \"\\\"\\\\;\\195\\177{}\" \"x\"", "x".repeat(250));
    assert_eq!(line, expected);
    let is_known = |line: &str| line.starts_with([';', '$']) || line.contains(" IN ");
    assert!(zone.lines().all(is_known), "{zone}");
}

#[test]
fn the_document_for_programs_has_every_record() {
    let plan = planned(&Table::new(), &subject());
    let document = render::json(&plan, Language::English);
    assert_eq!(document["records"].as_array().unwrap().len(), plan.records.len());
    let key =
        document["records"].as_array().unwrap().iter().find(|r| r["relative"] == "s1._domainkey");
    let key = key.unwrap();
    let pieces: Vec<&str> =
        key["pieces"].as_array().unwrap().iter().map(|piece| piece.as_str().unwrap()).collect();
    assert_eq!(pieces.len(), 2);
    assert_eq!(pieces.concat(), key["value"]);
    assert_eq!(document["lookups"]["after"], 0);
    assert_eq!(document["ptr"][0]["state"], "new");
}

#[test]
fn a_zone_file_has_the_head_that_is_published_and_other_zones_as_comments() {
    let (mut table, mut subject) = (Table::new(), subject());
    subject.hostname = "mail.host.example".to_owned();
    let soa = "ns.example.com. h.example.com. 7 1 2 3 4";
    table.add("example.com", RecordType::Soa, Record::Soa(7, soa.to_owned()));
    for server in ["ns.example.com", "ns.example.net", "gone.example.com"] {
        table.add("example.com", RecordType::Ns, Record::Name(server.to_owned()));
    }
    table.add("host.example", RecordType::Ns, Record::Name("ns.example.net".to_owned()));
    table.address("ns.example.com", "192.0.2.53".parse::<IpAddr>().unwrap());
    let zone = zonefile::zone(&planned(&table, &subject), Language::English);
    let head: Vec<&str> = zone.lines().filter(|line| !line.starts_with(';')).take(6).collect();
    let expected = [
        "$ORIGIN example.com.",
        "$TTL 3600",
        "@ 3600 IN SOA ns.example.com. h.example.com. 7 1 2 3 4",
        "@ 3600 IN NS ns.example.com.",
        "@ 3600 IN NS ns.example.net.",
        "ns.example.com. 3600 IN A 192.0.2.53",
    ];
    assert_eq!(head, expected, "{zone}");
    assert!(zone.contains("; mail.host.example. 3600 IN A 192.0.2.1"), "{zone}");
    assert!(zone.lines().all(|line| line.starts_with(';') || !line.contains("host.example. 3600")));
    let none = zonefile::zone(&planned(&Table::new(), &self::subject()), Language::English);
    assert!(none.contains("placeholder") && none.contains("IN NS ns.invalid."), "{none}");
}

#[test]
fn what_stands_in_the_way_of_a_record_is_told() {
    let (mut table, subject) = (Table::new(), subject());
    let name = "s1._domainkey.example.com";
    // What a wildcard says does not stand there; an alias leads to somebody else's.
    table.txt(name, "v=spf1 -all").txt("*._domainkey.example.com", "v=spf1 -all");
    let plan = planned(&table, &subject);
    assert_eq!(shown(&plan, name, RecordType::Txt), [format!("new {}", subject.keys[0].record)]);
    let mut table = Table::new();
    let target = Record::Name("s1.dkim.provider.example".to_owned());
    table.add(name, RecordType::Cname, target);
    table.txt("s1.dkim.provider.example", &key());
    let plan = planned(&table, &subject);
    assert!(shown(&plan, name, RecordType::Txt)[0].starts_with("decide "));
    assert!(plan.changes().all(|record| record.name != name), "nothing is published beside it");
    let told = |note: &Finding| {
        note.severity == Severity::Error && note.said().of(Language::English).contains("CNAME")
    };
    assert!(plan.notes.iter().any(told), "{:?}", plan.notes);
}

#[test]
fn what_is_said_of_a_key_record_is_true_of_it() {
    let subject = subject();
    let ours = &subject.keys[0].record;
    let name = "s1._domainkey.example.com";
    for (present, state, words) in [
        (vec![format!("{ours}; t=y")], "change", "marked as a test"),
        (vec![ours.replace("; p=", ";; p=")], "change", "receivers cannot read"),
        (vec![format!("{ours}; h=sha1")], "change", "leaves out sha256"),
        (vec![format!("\"{ours}\"")], "change", "receivers cannot read"),
        (vec![ours.replace("p=MII", "p=MI\u{a0}I")], "change", "The rsa key of example.com is"),
        (vec![key()], "change", "not the public half"),
        (vec!["v=DKIM1; p=".to_owned()], "change", "no key that receivers can use"),
        (vec!["site-verification=1".to_owned()], "change", "`site-verification=1` stands at"),
        (vec![ours.clone(), "site-verification=1".to_owned()], "delete", "stands at the name"),
    ] {
        let mut table = Table::new();
        for text in &present {
            table.txt(name, text);
        }
        let plan = planned(&table, &subject);
        let mut of_name = plan.records.iter().filter(|record| record.name == name);
        assert_eq!(of_name.clone().count(), present.len(), "{present:?}: never a second one");
        let said = of_name.find(|record| record.state.as_str() == state).unwrap();
        let why = said.why.of(Language::English);
        assert!(why.contains(words) && !why.contains('{'), "{present:?}: {why}");
    }
}

#[test]
fn a_reason_says_only_what_is_true_of_the_dmarc_record() {
    for (text, said, not_said) in [
        ("v=DMARC1;\u{3000}p=none; rua=mailto:a@b.example", "only looks like a space", "capitals"),
        ("v=DMARC1; p=none;; rua=mailto:a@b.example", "semicolon", "capitals"),
        ("v=dmarc1; p=none; rua=mailto:a@b.example", "capitals", "semicolon"),
        ("v=DMARC1; p=noe; rua=mailto:a@b.example", "`p=noe`", "capitals"),
        ("v=DMARC1; rua=mailto:a@b.example", "`p=` is missing", "Its policy"),
        ("v=DMARC1; p=none; rua=a@b.example", "`a@b.example` is not written", "capitals"),
    ] {
        let mut table = Table::new();
        table.txt("_dmarc.example.com", text);
        let plan = planned(&table, &subject());
        let record = plan.records.iter().find(|record| record.name.starts_with("_dmarc")).unwrap();
        assert_eq!(record.value, "v=DMARC1; p=none; rua=mailto:a@b.example", "{text}");
        let why = record.why.of(Language::English);
        assert!(why.contains(said) && !why.contains(not_said), "{text}: {why}");
    }
}

#[test]
fn a_domain_or_policy_that_is_an_alias_is_the_owners_to_decide() {
    for (name, target) in
        [("example.com", "apex.host.example"), ("_dmarc.example.com", "d.host.example")]
    {
        let mut table = Table::new();
        table.add(name, RecordType::Cname, Record::Name(target.to_owned()));
        table.txt(target, "v=spf1 -all").txt(target, "v=DMARC1; p=none");
        let plan = planned(&table, &subject());
        let of_name = plan.records.iter().filter(|r| r.name == name && r.kind == RecordType::Txt);
        let of_name: Vec<_> = of_name.collect();
        assert_eq!(of_name.len(), 1, "{name}: {of_name:?}");
        assert_eq!(of_name[0].state, State::Decide);
        assert!(of_name[0].why.of(Language::English).contains("Remove the CNAME"));
        assert!(!plan.is_done() && plan.changes().all(|record| record.name != name));
        let shown = render::fields(&plan, Language::Spanish);
        assert!(shown.contains("Decida usted:"), "{shown}");
    }
}
