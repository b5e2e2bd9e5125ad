//! The SPF record that is proposed.

use super::*;

#[test]
fn the_spf_record_that_exists_is_edited() {
    for (present, expected) in [
        // The other senders, their order and the end are kept.
        (
            &["v=spf1 include:_spf.news.example mx ?all"][..],
            &["change v=spf1 include:_spf.news.example mx ip4:192.0.2.1 ?all"][..],
        ),
        (
            &["v=spf1 ip4:198.51.100.1 -all exp=why.example.com"],
            &["change v=spf1 ip4:198.51.100.1 ip4:192.0.2.1 -all exp=why.example.com"],
        ),
        (
            &["v=spf1 redirect=_spf.news.example"],
            &["change v=spf1 ip4:192.0.2.1 redirect=_spf.news.example"],
        ),
        (&["v=spf1 a"], &["change v=spf1 a ip4:192.0.2.1"]),
        // What refuses our address comes after it.
        (
            &["v=spf1 -ip4:192.0.2.0/24 ip4:198.51.100.1 -all"],
            &["change v=spf1 ip4:192.0.2.1 -ip4:192.0.2.0/24 ip4:198.51.100.1 -all"],
        ),
        // What covers it already, by whatever way, is left alone.
        (&["v=spf1 ip4:192.0.2.0/24 -all"], &["keep v=spf1 ip4:192.0.2.0/24 -all"]),
        (&["V=SPF1  a:mail.example.com ~all"], &["keep V=SPF1  a:mail.example.com ~all"]),
        // Several become one.
        (
            &["v=spf1 include:_spf.news.example -all", "v=spf1 ip4:198.51.100.1 ~all"],
            &[
                "change v=spf1 include:_spf.news.example ip4:198.51.100.1 ip4:192.0.2.1 -all",
                "delete v=spf1 ip4:198.51.100.1 ~all",
            ],
        ),
        (
            &["v=spf1 ip4:198.51.100.1 ~all", "v=spf1 redirect=_spf.news.example"],
            &[
                "change v=spf1 ip4:198.51.100.1 include:_spf.news.example ip4:192.0.2.1 ~all",
                "delete v=spf1 redirect=_spf.news.example",
            ],
        ),
        // What a panel or a text program damaged is mended, and no sender lost.
        (
            &["\"v=spf1 include:_spf.news.example -all\""],
            &["change v=spf1 include:_spf.news.example ip4:192.0.2.1 -all"],
        ),
        (
            &["v=spf1 ip4:198.51.100.1include:_spf.news.example -all"],
            &["change v=spf1 ip4:198.51.100.1 include:_spf.news.example ip4:192.0.2.1 -all"],
        ),
        (
            &["v=spf1include:_spf.news.example, ip4: 198.51.100.1 –all"],
            &["change v=spf1 include:_spf.news.example ip4:198.51.100.1 ip4:192.0.2.1 -all"],
        ),
        (
            &["\"v=spf1 ip4:192.0.2.1 -all\"", "v=spf1 include:_spf.news.example ~all"],
            // Receivers do not read the first: who stands in it alone does not pass today.
            &["change v=spf1 include:_spf.news.example ip4:192.0.2.1 ~all"],
        ),
        // Macros, and what passes by another way than ours.
        (
            &["v=spf1 exists:%{i}._spf.%{d2} include:%{d}._spf.news.example ~all"],
            &["change v=spf1 exists:%{i}._spf.%{d2} include:%{d}._spf.news.example \
               ip4:192.0.2.1 ~all"],
        ),
        (&["v=spf1 include:_spf.example.com -all"], &["keep v=spf1 include:_spf.example.com -all"]),
        (&["v=spf1 redirect=_spf.example.com"], &["keep v=spf1 redirect=_spf.example.com"]),
        (&["v=spf1 a:mail.example.com/28 -all"], &["keep v=spf1 a:mail.example.com/28 -all"]),
        (&["v=spf1 +all"], &["keep v=spf1 +all"]),
        // What is not clear is the owner's to decide.
        (&["v=spf1 ip4:198.51.100 a -all"], &["decide v=spf1 a ip4:192.0.2.1 -all"]),
    ] {
        let plan = spf(present, |table, _| {
            table.txt("_spf.news.example", "v=spf1 ip4:203.0.113.0/24 ~all");
            table.txt("example.com._spf.news.example", "v=spf1 ip4:203.0.113.0/24 ~all");
            table.txt("_spf.example.com", "v=spf1 ip4:192.0.2.0/28 -all");
            table.txt("example.com", "site-verification=1");
            table.address("example.com", "203.0.113.80".parse::<IpAddr>().unwrap());
            table.address("mail.example.com", "192.0.2.1".parse::<IpAddr>().unwrap());
        });
        assert_eq!(shown(&plan, "example.com", RecordType::Txt), expected, "{present:?}");
    }
}

#[test]
fn look_ups_are_counted_before_and_after() {
    let many = "v=spf1 a mx a:1.example a:2.example a:3.example a:4.example a:5.example \
                a:6.example a:7.example a:8.example a:9.example -all";
    let plan = spf(&[many], |_, _| {});
    assert_eq!(plan.lookups, Lookups { before: Some(11), after: Some(11) });
    assert!(render::fields(&plan, Language::English).contains("! The SPF record would ask"));
}

#[test]
fn what_a_record_leads_to_in_vain_is_noted_and_its_terms_stand_once() {
    for (record, expected, words) in [
        (
            "v=spf1 include:gone.example ip4:192.0.2.1 -all",
            "change v=spf1 ip4:192.0.2.1 include:gone.example -all",
            "include:gone.example",
        ),
        ("v=spf1 ip4:192.0.2.1 include:two.example -all", "keep ", "two.example, whose record"),
        ("v=spf1 ip4:192.0.2.1 include:example.com -all", "keep ", "in a circle"),
        ("v=spf1 ip4:192.0.2.1 include:%{l}.example -all", "keep ", ""),
    ] {
        let plan = spf(&[record], |table, _| {
            table.txt("two.example", "v=spf1 -all").txt("two.example", "v=spf1 ~all");
        });
        let shown = shown(&plan, "example.com", RecordType::Txt);
        assert!(shown[0].starts_with(expected), "{record}: {shown:?}");
        let serious = plan.notes.iter().filter(|note| note.severity == Severity::Error);
        let serious: Vec<_> = serious.map(|note| note.said().of(Language::English)).collect();
        let said = serious.iter().any(|text| text.contains(words));
        assert_eq!(said, !words.is_empty(), "{record}: {serious:?}");
    }
}

#[test]
fn a_tree_of_ten_look_ups_takes_an_address_and_no_name() {
    let full = "v=spf1 include:many.example -all";
    let many: String = (0..9).map(|number| format!("a:{number}.example ")).collect();
    let with_tree = |relay: Option<&str>| {
        spf(&[full], |table, subject| {
            table.txt("many.example", &format!("v=spf1 {many}-all"));
            for number in 0..9 {
                table.address(&format!("{number}.example"), "203.0.113.1".parse().unwrap());
            }
            for address in ["198.51.100.7", "2001:db8::7"] {
                table.address("relay.example.net", address.parse().unwrap());
            }
            if let Some(relay) = relay {
                subject.relay = Some(NextHop::parse(relay).unwrap());
                subject.egress.clear();
            }
        })
    };
    for (relay, terms) in
        [(None, "ip4:192.0.2.1"), (Some("[relay.example.net]"), "ip4:198.51.100.7 ip6:2001:db8::7")]
    {
        let plan = with_tree(relay);
        let expected = format!("change v=spf1 include:many.example {terms} -all");
        assert_eq!(shown(&plan, "example.com", RecordType::Txt), [expected]);
        assert_eq!(plan.lookups, Lookups { before: Some(10), after: Some(10) });
        let shown = render::fields(&plan, Language::English);
        assert!(shown.contains("SPF record: 10 today and 10 then"), "{shown}");
    }
}

#[test]
fn behind_a_relayhost_the_relay_is_covered() {
    for (relay, present, expected, reaches) in [
        (
            "[relay.example.net]:587",
            "v=spf1 mx -all",
            "change v=spf1 mx a:relay.example.net -all",
            "a:relay.example.net",
        ),
        (
            "[relay.example.net]",
            "v=spf1 ip4:198.51.100.7 -all",
            "keep v=spf1 ip4:198.51.100.7 -all",
            "",
        ),
        ("[198.51.100.9]", "v=spf1 -all", "change v=spf1 ip4:198.51.100.9 -all", "ip4"),
        (
            "[smtp-relay.gmail.com]:587",
            "v=spf1 -all",
            "change v=spf1 include:_spf.google.com -all",
            "smtp-relay.gmail.com",
        ),
        (
            "[email-smtp.eu-west-1.amazonaws.com]:587",
            "v=spf1 include:amazonses.com -all",
            "keep v=spf1 include:amazonses.com -all",
            "",
        ),
        ("[10.0.0.1]", "v=spf1 mx -all", "keep v=spf1 mx -all", ""),
    ] {
        let plan = spf(&[present], |table, subject| {
            table.address("relay.example.net", "198.51.100.7".parse::<IpAddr>().unwrap());
            subject.relay = Some(NextHop::parse(relay).unwrap());
            subject.egress.clear();
        });
        assert_eq!(shown(&plan, "example.com", RecordType::Txt), [expected], "{relay}");
        let record =
            plan.records.iter().find(|r| r.name == "example.com" && r.kind == RecordType::Txt);
        assert!(record.unwrap().why.of(Language::English).contains(reaches));
        assert!(
            plan.reverse.is_empty() && shown(&plan, "mail.example.com", RecordType::A).is_empty()
        );
    }
}

#[test]
fn the_relay_of_the_rescue_route_is_covered_beside_this_server() {
    for (rescue, relayhost, present, expected, why) in [
        (
            "[relay.example.net]:587",
            None,
            Some("v=spf1 ip4:192.0.2.1 -all"),
            "change v=spf1 ip4:192.0.2.1 a:relay.example.net -all",
            "refuse for this server's address leaves through relay.example.net",
        ),
        (
            "[smtp.sendgrid.net]:587",
            None,
            Some("v=spf1 mx -all"),
            "change v=spf1 mx ip4:192.0.2.1 include:sendgrid.net -all",
            "include:sendgrid.net lets them pass",
        ),
        (
            "[relay.example.net]:587",
            None,
            Some("v=spf1 ip4:192.0.2.1 ip4:198.51.100.7 -all"),
            "keep v=spf1 ip4:192.0.2.1 ip4:198.51.100.7 -all",
            "",
        ),
        (
            "[198.51.100.9]",
            None,
            None,
            "new v=spf1 ip4:192.0.2.1 ip4:198.51.100.9 ~all",
            "ip4:198.51.100.9 lets its addresses pass",
        ),
        // Nobody knows by what: the record that is there stays, and a note says so.
        (
            "[gone.example.net]",
            None,
            Some("v=spf1 ip4:192.0.2.1 -all"),
            "keep v=spf1 ip4:192.0.2.1 -all",
            "",
        ),
        // With a relay for all mail there is nothing to rescue.
        (
            "[198.51.100.9]",
            Some("[relay.example.net]:587"),
            Some("v=spf1 a:relay.example.net -all"),
            "keep v=spf1 a:relay.example.net -all",
            "",
        ),
    ] {
        let present: Vec<&str> = present.into_iter().collect();
        let plan = spf(&present, |table, subject| {
            table.address("relay.example.net", "198.51.100.7".parse::<IpAddr>().unwrap());
            subject.egress = vec!["192.0.2.1".parse().unwrap()];
            subject.rescue = NextHop::parse(rescue).ok();
            subject.relay = relayhost.map(|relay| NextHop::parse(relay).unwrap());
        });
        assert_eq!(shown(&plan, "example.com", RecordType::Txt), [expected], "{rescue}");
        let record =
            plan.records.iter().find(|r| r.name == "example.com" && r.kind == RecordType::Txt);
        let said = record.unwrap().why.of(Language::English);
        assert!(said.contains(why), "{rescue}: {said}");
        let noted = plan.notes.iter().any(|note| note.id == "relay.nowhere");
        assert_eq!(noted, rescue.contains("gone"), "{rescue}");
    }
}

#[test]
fn while_the_address_is_not_known_its_name_stands_for_it() {
    let none = |present: &[&str]| spf(present, |_, subject| subject.egress.clear());
    let plan = none(&[]);
    let record = "new v=spf1 a:mail.example.com ~all";
    assert_eq!(shown(&plan, "example.com", RecordType::Txt), [record]);
    let present = "v=spf1 include:a.example -all";
    let plan = none(&[present]);
    assert_eq!(shown(&plan, "example.com", RecordType::Txt), [format!("keep {present}")]);
}

#[test]
fn behind_a_relay_that_leads_nowhere_no_first_record_disowns_all_mail() {
    let (mut table, mut subject) = (Table::new(), subject());
    subject.relay = Some(NextHop::parse("[gone.example.net]").unwrap());
    subject.egress.clear();
    table.mx("example.com", 5, "mx.example.org");
    let is_spf = |record: &&Planned| record.value.starts_with("v=spf1");
    let plan = planned(&table, &subject);
    assert_eq!(plan.records.iter().find(is_spf), None);
    assert!(plan.notes.iter().any(|note| note.id == words::RELAY_NOWHERE.id));
    // One that is there is kept, and one is made as soon as it is known for whom.
    table.txt("example.com", "v=spf1 mx -all");
    assert_eq!(planned(&table, &subject).records.iter().find(is_spf).unwrap().state, State::Keep);
    let mut table = Table::new();
    table.address("gone.example.net", "198.51.100.7".parse().unwrap());
    let plan = planned(&table, &subject);
    assert_eq!(plan.records.iter().find(is_spf).unwrap().value, "v=spf1 a:gone.example.net ~all");
}

#[test]
fn behind_a_relay_no_mx_is_published_before_its_name_has_an_address() {
    let (mut table, mut subject) = (Table::new(), subject());
    subject.relay = Some(NextHop::parse("[198.51.100.9]:587").unwrap());
    subject.egress.clear();
    for (address, state) in [(None, State::Decide), (Some("198.51.100.1"), State::New)] {
        if let Some(address) = address {
            table.address("mail.example.com", address.parse().unwrap());
        }
        let plan = planned(&table, &subject);
        let is_mx = |record: &&Planned| record.kind == RecordType::Mx;
        let mx = plan.records.iter().find(is_mx).unwrap();
        assert_eq!((&*mx.value, mx.state), ("10 mail.example.com", state));
        let is_told = plan.notes.iter().any(|note| note.id == words::MX_NO_ADDRESS.id);
        assert_eq!(is_told, address.is_none());
    }
}
