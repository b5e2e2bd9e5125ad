//! What people publish, and the one record in its place.

use std::net::IpAddr;

use proptest::prelude::*;

use super::*;
use crate::dns::{Table, block_on};
use crate::spf::{self, Query, check_syntax};

fn mended(table: &Table, texts: &[&str]) -> Mended {
    let texts: Vec<String> = texts.iter().map(|&text| text.to_owned()).collect();
    block_on(mend(table, &texts)).unwrap().unwrap()
}

fn services() -> Table {
    let mut table = Table::new();
    table
        .txt("hard.example", "v=spf1 ip4:198.51.100.16/28 -all")
        .txt("soft.example", "v=spf1 ip4:198.51.100.32/28 ~all")
        .txt("further.example", "v=spf1 redirect=hard.example")
        .txt("silent.example", "v=spf1 ip4:198.51.100.48/28")
        .txt("circle.example", "v=spf1 redirect=circle.example")
        .address("host.example", "198.51.100.64".parse().unwrap())
        .address("host.example", "2001:db8:ffff::1".parse().unwrap())
        .mx("host.example", 10, "host.example");
    table
}

#[test]
fn several_records_become_one_that_is_no_looser() {
    for (texts, one) in [
        (&["v=spf1 a -all", "v=spf1 mx ~all"][..], "v=spf1 a mx -all"),
        (&["v=spf1 a ~all", "v=spf1 mx"], "v=spf1 a mx ~all"),
        (&["v=spf1 a ?all", "v=spf1 mx"], "v=spf1 a mx ?all"),
        (&["v=spf1 a", "v=spf1 mx"], "v=spf1 a mx"),
        (&["v=spf1 a +all", "v=spf1 mx -all"], "v=spf1 a mx -all"),
        (&["v=spf1 a -all", "v=spf1 +A -all"], "v=spf1 +A -all"),
        // A modifier may stand before a mechanism, and says nothing about where `all` goes.
        (
            &["v=spf1 exp=why.example a -all", "v=spf1 ra=postmaster op=x mx -all"],
            "v=spf1 a mx -all exp=why.example ra=postmaster op=x",
        ),
        // What another record decides is asked on the way, and how it ends counts.
        (
            &["v=spf1 a redirect=hard.example", "v=spf1 mx ~all"],
            "v=spf1 a include:hard.example mx -all",
        ),
        (
            &["v=spf1 redirect=further.example", "v=spf1 mx ~all"],
            "v=spf1 mx include:further.example -all",
        ),
        (
            &["v=spf1 redirect=soft.example", "v=spf1 mx ?all"],
            "v=spf1 mx include:soft.example ~all",
        ),
        (
            &["v=spf1 redirect=silent.example", "v=spf1 mx ~all"],
            "v=spf1 mx include:silent.example ~all",
        ),
        (
            &["v=spf1 redirect=circle.example", "v=spf1 mx ~all"],
            "v=spf1 mx include:circle.example -all",
        ),
        (
            &["v=spf1 redirect=%{d}.example", "v=spf1 mx ~all"],
            "v=spf1 mx include:%{d}.example -all",
        ),
        (
            &["v=spf1 a redirect=soft.example", "v=spf1 mx redirect=soft.example"],
            "v=spf1 a mx redirect=soft.example",
        ),
        (
            &["v=spf1 redirect=soft.example redirect=hard.example"],
            "v=spf1 include:soft.example include:hard.example -all",
        ),
        (&["v=spf1 redirect=soft.example ~all", "v=spf1 a -all"], "v=spf1 a -all"),
        // A term that refuses stops nobody whom the other record lets pass.
        (
            &["v=spf1 -ip4:192.0.2.1 ip4:192.0.2.0/24 -all", "v=spf1 ip4:192.0.2.1 -all"],
            "v=spf1 ip4:192.0.2.1 -ip4:192.0.2.1 ip4:192.0.2.0/24 -all",
        ),
        // Two that grew together, and one in quotes beside one that is wrong.
        (&["v=spf1 a -allv=spf1 mx ~all"], "v=spf1 a mx -all"),
        (&["\"v=spf1 a -all\"", "v=spf1 ipv4:192.0.2.1 ~all"], "v=spf1 a ip4:192.0.2.1 -all"),
    ] {
        let mended = mended(&services(), texts);
        assert_eq!(mended.text(), one, "{texts:?}");
        assert_eq!(mended.unclear, Vec::<String>::new(), "{texts:?}");
    }
}

#[test]
fn what_would_open_the_domain_or_is_not_clear_is_named() {
    for (texts, one, opening, unclear, surplus) in [
        (
            &["v=spf1 a +all", "v=spf1 mx all"][..],
            "v=spf1 a mx ~all",
            &["+all"][..],
            &[][..],
            &[][..],
        ),
        (&["v=spf1, a all"], "v=spf1 a ~all", &["all"], &[], &[]),
        (&["v=spf1 ipv4:0.0.0.0/0 a -all"], "v=spf1 a -all", &["ip4:0.0.0.0/0"], &[], &[]),
        (&["v=spf1; a:host.example/0 mx -all"], "v=spf1 mx -all", &["a:host.example/0"], &[], &[]),
        (&["(SPF) ip4:192.0.2.1 -all"], "v=spf1 -all", &[], &["SPF ip4:192.0.2.1 -all"], &[]),
        (
            &["v=spf1; a host.example ip4:192.0.2.1 -all"],
            "v=spf1 ip4:192.0.2.1 -all",
            &[],
            &["a host.example"],
            &[],
        ),
        (&["v=spf1 ip4:198.51.100 a -all"], "v=spf1 a -all", &[], &["ip4:198.51.100"], &[]),
        (
            &["v=spf1 exp=a.example a -all", "v=spf1 exp=b.example mx -all"],
            "v=spf1 a mx -all exp=a.example",
            &[],
            &[],
            &["exp=b.example"],
        ),
        (
            &["v=spf1 exp=a.example exp=b.example a -all"],
            "v=spf1 exp=a.example a -all",
            &[],
            &[],
            &["exp=b.example"],
        ),
        // Nobody reads what stands behind `all`; only its owner knows whether it was meant.
        (&["v=spf1 -all a", "v=spf1 mx -all"], "v=spf1 mx -all", &[], &["a"], &[]),
        (
            &["v=spf1 -ip4:192.0.2.1 a -all", "v=spf1 -ip4:192.0.2.2 mx -all"],
            "v=spf1 -ip4:192.0.2.1 a -ip4:192.0.2.2 mx -all",
            &[],
            &["-ip4:192.0.2.2"],
            &[],
        ),
    ] {
        let mended = mended(&services(), texts);
        assert_eq!(mended.text(), one, "{texts:?}");
        assert_eq!(mended.opening, opening, "{texts:?}");
        assert_eq!(mended.unclear, unclear, "{texts:?}");
        assert_eq!(mended.surplus, surplus, "{texts:?}");
    }
}

#[test]
fn a_record_that_is_right_stays_and_what_stands_beside_it_lets_nobody_in() {
    for text in ["v=spf1 +all", "V=SPF1  A ~ALL", "v=spf1 exp=x.example a -all mx", "v=spf1"] {
        assert_eq!(mended(&services(), &[text]).text(), text);
    }
    let mended = mended(&services(), &["v=spf1 a -all", "\"v=spf1 mx -all\"", "site=1"]);
    assert_eq!(mended.text(), "v=spf1 a -all");
    assert_eq!(mended.beside, ["\"v=spf1 mx -all\""]);
}

#[test]
fn what_nobody_reads_is_known() {
    for (record, unread) in [
        (
            "v=spf1 a -all mx include:hard.example exp=x.example",
            &["mx", "include:hard.example"][..],
        ),
        ("v=spf1 a redirect=hard.example ~all", &["redirect=hard.example"]),
        ("v=spf1 a redirect=hard.example", &[]),
        ("v=spf1 a ?all -all", &["-all"]),
    ] {
        assert_eq!(mended(&services(), &[record]).unread(), unread, "{record}");
    }
}

#[test]
fn a_new_term_stands_where_it_counts() {
    for (record, matched, expected) in [
        ("v=spf1 exp=why.example a -all", None, "v=spf1 exp=why.example a ip4:192.0.2.1 -all"),
        ("v=spf1 ra=x a", None, "v=spf1 ra=x a ip4:192.0.2.1"),
        ("v=spf1 redirect=x.example a", None, "v=spf1 redirect=x.example a ip4:192.0.2.1"),
        ("v=spf1 a redirect=x.example", None, "v=spf1 a ip4:192.0.2.1 redirect=x.example"),
        ("v=spf1 -all ip4:192.0.2.1", Some("-all"), "v=spf1 ip4:192.0.2.1 -all"),
        (
            "v=spf1 a -ip4:192.0.2.0/24 mx ~all",
            Some("-ip4:192.0.2.0/24"),
            "v=spf1 a ip4:192.0.2.1 -ip4:192.0.2.0/24 mx ~all",
        ),
        ("v=spf1", None, "v=spf1 ip4:192.0.2.1"),
    ] {
        let mut mended = mended(&services(), &[record]);
        mended.insert(vec!["ip4:192.0.2.1".to_owned()], matched);
        assert_eq!(mended.text(), expected);
    }
}

#[test]
fn a_record_is_closed_without_losing_a_named_sender() {
    for (record, closed) in [
        ("v=spf1 a +all", "v=spf1 a ~all"),
        ("v=spf1 a ?all", "v=spf1 a ~all"),
        ("v=spf1 a", "v=spf1 a ~all"),
        ("v=spf1 exp=why.example a", "v=spf1 exp=why.example a ~all"),
        ("v=spf1 ip4:0.0.0.0/0 -all", "v=spf1 -all"),
        ("v=spf1 a all redirect=x.example", "v=spf1 a ~all redirect=x.example"),
        ("v=spf1 a redirect=x.example", "v=spf1 a redirect=x.example"),
        ("V=SPF1 a -all", "V=SPF1 a -all"),
    ] {
        assert_eq!(mended(&services(), &[record]).closed().text(), closed);
    }
}

fn result(table: &Table, record: &str, address: IpAddr) -> SpfResult {
    let mut table = table.clone();
    table.txt("example.com", record);
    let query = Query::mail_from_text(address, "mail.example.com", "ana@example.com");
    block_on(spf::check(&table, &query)).unwrap().result
}

fn mechanism() -> impl Strategy<Value = String> {
    let network = (0u8..=15, 24u8..=32)
        .prop_map(|(part, length)| format!("ip4:198.51.100.{}/{length}", part * 16));
    let named = prop::sample::select(vec![
        "include:hard.example",
        "include:soft.example",
        "include:silent.example",
        "a:host.example",
        "mx:host.example",
        "exists:host.example",
        "ip6:2001:db8::/32",
        "A:HOST.example/28",
    ]);
    prop_oneof![network, named.prop_map(str::to_owned)]
}

fn modifier() -> impl Strategy<Value = String> {
    let known = vec!["exp=why.example", "ra=postmaster", "op=x", "x-new=1", "rp=5"];
    prop::sample::select(known).prop_map(str::to_owned)
}

fn record(qualifiers: &'static [&'static str]) -> impl Strategy<Value = String> {
    let term = (prop::sample::select(qualifiers), mechanism()).prop_map(|(q, m)| format!("{q}{m}"));
    let ends = vec!["-all", "~all", "?all", "", "redirect=soft.example", "redirect=hard.example"];
    let parts = (
        prop::collection::vec(term, 0..5),
        prop::option::of(modifier()),
        any::<prop::sample::Index>(),
    );
    (parts, prop::sample::select(ends)).prop_map(|((mut terms, modifier, at), end)| {
        if let Some(modifier) = modifier {
            terms.insert(at.index(terms.len() + 1), modifier);
        }
        terms.push(end.to_owned());
        terms.retain(|term| !term.is_empty());
        std::iter::once("v=spf1".to_owned()).chain(terms).collect::<Vec<_>>().join(" ")
    })
}

// What panels, text programs and hands do to a record without changing what it meant.
fn damage(record: &str, how: usize) -> String {
    match how {
        0 => format!("\"{record}\""),
        1 => format!("“{record}”"),
        2 => format!("\u{feff}{record}"),
        3 => record.replacen("v=spf1", "v = spf1", 1),
        4 => record.replacen("v=spf1", "v=spf1;", 1),
        5 => record.replacen("v=spf1", "v=spf1,", 1),
        6 => record.replace(' ', "\u{a0}"),
        7 => record.replace(' ', ", ").replacen("v=spf1, ", "v=spf1 ", 1),
        8 => record.replace("ip4:", "ipv4:"),
        9 => record.replace("ip4:", "ip:"),
        10 => record.replace("ip4:", ""),
        11 => record.replace("include:", "include="),
        12 => record.replace("include:", "includes: "),
        13 => record.replace("ip4:", "ip4 : "),
        14 => record.replace("-all", "\u{2013}all").replace("~all", "~ all"),
        15 => record.replace("ip4:", "a:"),
        16 => record.replace(" include:", "include:").replace(" ip4:", "ip4:"),
        17 => record.replace(' ', ";"),
        18 => format!("{record};"),
        _ => format!(" {}", record.to_ascii_uppercase()),
    }
}

fn addresses() -> Vec<IpAddr> {
    let v4 = (0..=255u8).step_by(8).map(|last| IpAddr::from([198, 51, 100, last]));
    v4.chain(["2001:db8::1", "2001:db9::1", "203.0.113.1"].map(|text| text.parse().unwrap()))
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_valid_record_stays_and_our_address_changes_nobody_elses_lot(
        record in record(&["", "+", "-", "~", "?"]),
    ) {
        let table = services();
        let mut mended = mended(&table, &[&record]);
        prop_assert_eq!(mended.text(), record.clone());
        let ours: IpAddr = "203.0.113.77".parse().unwrap();
        let query = Query::mail_from_text(ours, "mail.example.com", "ana@example.com");
        let mut published = table.clone();
        published.txt("example.com", &record);
        let today = block_on(spf::check(&published, &query)).unwrap();
        mended.insert(vec!["ip4:203.0.113.77".to_owned()], today.decided_by());
        let text = mended.text();
        prop_assert_eq!(result(&table, &text, ours), SpfResult::Pass, "{}", text);
        for address in addresses() {
            prop_assert_eq!(result(&table, &record, address), result(&table, &text, address), "{} {} {}", record, text, address);
        }
    }

    #[test]
    fn two_records_become_one_by_which_the_same_senders_pass(
        one in record(&["", "+"]), other in record(&["", "+", "-", "~", "?"]),
    ) {
        let table = services();
        let mended = mended(&table, &[&one, &other]);
        let text = mended.text();
        prop_assert_eq!(check_syntax(text.as_bytes()), Ok(()));
        prop_assert_eq!(&mended.unclear, &Vec::<String>::new());
        for address in addresses() {
            let passes = |record: &str| result(&table, record, address) == SpfResult::Pass;
            prop_assert_eq!(passes(&text), passes(&one) || passes(&other), "{} | {} > {} {}", one, other, text, address);
        }
        let again = super::tests::mended(&table, &[&text]);
        prop_assert_eq!(again.text(), text);
    }

    #[test]
    fn a_damaged_record_means_what_it_meant(
        record in record(&["", "+", "-", "~", "?"]), how in 0usize..20,
    ) {
        let table = services();
        let text = damage(&record, how);
        let mended = mended(&table, &[&text]);
        let out = mended.text();
        prop_assert_eq!(check_syntax(out.as_bytes()), Ok(()));
        prop_assert_eq!(&mended.unclear, &Vec::<String>::new(), "{}", text);
        for address in addresses() {
            // A term that stands twice may have been one question too many.
            if result(&table, &record, address) == SpfResult::PermError {
                continue;
            }
            prop_assert_eq!(result(&table, &record, address), result(&table, &out, address), "{} > {} > {} {}", record, text, out, address);
        }
        let again = super::tests::mended(&table, &[&out]);
        prop_assert_eq!(again.text(), out);
    }

    #[test]
    fn whatever_stands_there_the_outcome_can_be_read(texts in prop::collection::vec("v ?= ?spf1[ ;,:]{0,2}([a-zA-Z0-9:=/., ~?+\"“\u{a0}–%{}-]{0,12} ){0,5}", 1..3)) {
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let mended = mended(&services(), &texts);
        let text = mended.text();
        prop_assert_eq!(check_syntax(text.as_bytes()), Ok(()), "{:?}", texts);
        {
            prop_assert!(is_sound(&text), "{:?} > {}", texts, text);
            let again = super::tests::mended(&services(), &[&text]);
            prop_assert_eq!(again.text(), text);
        }
    }
}
