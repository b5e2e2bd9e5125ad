use super::*;
use crate::dns::{DnsError, Record as DnsRecord, Table, block_on};

fn run(table: &Table, from: &str, spf: Option<(&str, bool)>, dkim: &[(&str, bool)]) -> Evaluation {
    let spf = spf.map(|(domain, pass)| Authenticated::new(domain, pass));
    let dkim: Vec<_> = dkim.iter().map(|(d, pass)| Authenticated::new(*d, *pass)).collect();
    block_on(evaluate(table, from, spf.as_ref(), &dkim)).expect("a table never waits")
}

fn table(records: &[(&str, &str)]) -> Table {
    let mut table = Table::new();
    for (name, text) in records {
        table.txt(&format!("_dmarc.{name}"), text);
    }
    table
}

#[test]
fn one_aligned_pass_is_enough() {
    let table = table(&[("example.com", "v=DMARC1; p=reject")]);
    for (spf, dkim, expected) in [
        (Some(("example.com", true)), vec![], DmarcResult::Pass),
        (Some(("bounce.example.com", true)), vec![], DmarcResult::Pass),
        (None, vec![("mail.example.com", true)], DmarcResult::Pass),
        (Some(("example.com", false)), vec![("example.com", true)], DmarcResult::Pass),
        (Some(("example.net", true)), vec![("example.com", false)], DmarcResult::Fail),
        (Some(("notexample.com", true)), vec![("com", true)], DmarcResult::Fail),
        (None, vec![], DmarcResult::Fail),
    ] {
        let evaluation = run(&table, "example.com", spf, &dkim);
        assert_eq!(evaluation.result, expected, "{spf:?} {dkim:?}\n{evaluation}");
        let failed = expected == DmarcResult::Fail;
        let disposition = if failed { Policy::Reject } else { Policy::None };
        assert_eq!(evaluation.disposition, disposition);
    }
}

#[test]
fn strict_alignment_wants_the_same_domain() {
    let table = table(&[("example.com", "v=DMARC1; p=none; aspf=s; adkim=s")]);
    let sub = "mail.example.com";
    let evaluation = run(&table, "example.com", Some((sub, true)), &[(sub, true)]);
    assert_eq!(evaluation.result, DmarcResult::Fail);
    assert_eq!(evaluation.spf, Some((sub.to_owned(), Alignment::NotAligned)));
    let evaluation = run(&table, "example.com", None, &[("Example.COM.", true)]);
    assert_eq!(evaluation.result, DmarcResult::Pass);
}

#[test]
fn the_policy_comes_from_the_nearest_that_has_the_right() {
    let example = ("example.com", "v=DMARC1; p=reject; sp=quarantine; np=none");
    for (records, from, policy_domain, policy) in [
        (vec![example], "example.com", Some("example.com"), Policy::Reject),
        (vec![example], "news.example.com", Some("example.com"), Policy::Quarantine),
        (vec![example], "absent.example.com", Some("example.com"), Policy::None),
        (
            vec![example, ("news.example.com", "v=DMARC1; p=none")],
            "news.example.com",
            Some("news.example.com"),
            Policy::None,
        ),
        // The suffix's own record, one label above the organizational domain.
        (
            vec![("bank", "v=DMARC1; p=reject; psd=y")],
            "my.credit.bank",
            Some("bank"),
            Policy::Reject,
        ),
        (vec![], "example.com", None, Policy::None),
    ] {
        let mut table = table(&records);
        table.address("news.example.com", "192.0.2.1".parse().unwrap());
        let evaluation = run(&table, from, None, &[]);
        assert_eq!(evaluation.policy_domain.as_deref(), policy_domain, "{from}\n{evaluation}");
        assert_eq!(evaluation.policy, policy, "{from}\n{evaluation}");
    }
}

#[test]
fn organizational_domains_are_found_by_walking_up() {
    for (records, from, organizational) in [
        (vec![("example.com", "v=DMARC1;p=none")], "a.b.example.com", "example.com"),
        // The highest name with a record.
        (
            vec![("b.example.com", "v=DMARC1;p=none"), ("example.com", "v=DMARC1;p=none")],
            "a.b.example.com",
            "example.com",
        ),
        // psd=n stops below that.
        (
            vec![("b.example.com", "v=DMARC1;p=none;psd=n"), ("example.com", "v=DMARC1;p=none")],
            "a.b.example.com",
            "b.example.com",
        ),
        // psd=y: one label below.
        (vec![("bank", "v=DMARC1;p=none;psd=y")], "my.credit.bank", "credit.bank"),
        (vec![("bank", "v=DMARC1;p=none;psd=y")], "bank", "bank"),
        // Nothing found: the domain itself.
        (vec![], "a.b.example.com", "a.b.example.com"),
    ] {
        let evaluation = run(&table(&records), from, None, &[]);
        assert_eq!(evaluation.organizational_domain.as_deref(), Some(organizational), "{from}");
    }
}

#[test]
fn siblings_align_but_neighbours_below_a_public_suffix_do_not() {
    let records =
        [("example.com", "v=DMARC1; p=reject"), ("bank", "v=DMARC1; p=reject; psd=y; np=reject")];
    let table = table(&records);
    let evaluation = run(&table, "a.example.com", None, &[("b.example.com", true)]);
    assert_eq!(evaluation.result, DmarcResult::Pass, "{evaluation}");
    let evaluation = run(&table, "one.bank", None, &[("two.bank", true), ("bank", true)]);
    assert_eq!(evaluation.result, DmarcResult::Fail, "{evaluation}");
}

#[test]
fn a_long_name_costs_eight_questions() {
    let from = "a.b.c.d.e.f.g.h.i.j.example.com";
    let evaluation = run(&table(&[("example.com", "v=DMARC1;p=reject")]), from, None, &[]);
    let asked: Vec<_> = evaluation.steps.iter().filter(|s| s.about.starts_with("_dmarc")).collect();
    assert_eq!(asked.len(), 8);
    assert_eq!(asked[1].about, "_dmarc.f.g.h.i.j.example.com");
    assert_eq!(evaluation.policy_domain.as_deref(), Some("example.com"));
}

#[test]
fn a_dns_without_answer_is_not_a_domain_without_record() {
    let mut failing = table(&[("sub.example.com", "v=DMARC1; p=reject")]);
    failing.fail("_dmarc.example.com", RecordType::Txt, DnsError::Timeout);
    let evaluation = run(&failing, "example.com", Some(("example.com", true)), &[]);
    assert_eq!(evaluation.result, DmarcResult::TempError);
    // An own record decides where no walk is needed; otherwise nothing is claimed.
    let own = run(&failing, "sub.example.com", None, &[("sub.example.com", true)]);
    assert_eq!(own.result, DmarcResult::Pass);
    let unknown = run(&failing, "sub.example.com", None, &[("x.example.com", true)]);
    assert_eq!((unknown.result, unknown.disposition), (DmarcResult::TempError, Policy::None));
}

#[test]
fn records_that_do_not_count() {
    for text in [
        "v=dmarc1; p=reject",
        "p=reject; v=DMARC1",
        "v=DMARC1",
        "v=DMARC1; p=maybe",
        "v=DMARC12; p=reject",
    ] {
        let evaluation = run(&table(&[("example.com", text)]), "example.com", None, &[]);
        assert_eq!(evaluation.result, DmarcResult::None, "{text}");
    }
    let several =
        table(&[("example.com", "v=DMARC1;p=reject"), ("example.com", "v=DMARC1;p=none")]);
    assert_eq!(run(&several, "example.com", None, &[]).result, DmarcResult::None);
    let mut other = table(&[("example.com", "v=DMARC1;p=reject"), ("example.com", "hello")]);
    other.add("_dmarc.example.com", RecordType::Txt, DnsRecord::Txt(vec![0xff]));
    assert_eq!(run(&other, "example.com", None, &[]).policy, Policy::Reject);
}

#[test]
fn a_wrong_policy_with_report_addresses_is_none() {
    let text = "v=DMARC1; p=maybe; rua=mailto:d@example.com!10m, https://x.example";
    let evaluation = run(&table(&[("example.com", text)]), "example.com", None, &[]);
    assert_eq!((evaluation.result, evaluation.policy), (DmarcResult::Fail, Policy::None));
    assert_eq!(evaluation.record.unwrap().aggregate_reports, ["mailto:d@example.com"]);
}

#[test]
fn test_mode_takes_one_step_off() {
    for (p, disposition) in
        [("reject", Policy::Quarantine), ("quarantine", Policy::None), ("none", Policy::None)]
    {
        let text = format!("v=DMARC1 ; p = {p} ; t=y ; pct=50");
        let evaluation = run(&table(&[("example.com", &text)]), "example.com", None, &[]);
        assert_eq!(evaluation.policy.as_str(), p);
        assert_eq!(evaluation.disposition, disposition);
    }
}

#[test]
fn what_is_no_domain_is_a_permanent_error() {
    for from in ["", "[192.0.2.1]", "a..b"] {
        assert_eq!(run(&Table::new(), from, None, &[]).result, DmarcResult::PermError, "{from}");
    }
}

#[test]
fn the_list_of_public_suffixes_gives_the_old_organizational_domain() {
    for (domain, organizational) in [
        ("example.com", "example.com"),
        ("a.b.example.com.", "example.com"),
        ("mail.example.co.uk", "example.co.uk"),
        // Private suffixes count too, and a suffix is its own.
        ("www.ana.github.io", "ana.github.io"),
        ("github.io", "github.io"),
        ("com", "com"),
        // Wildcards and exceptions of the list.
        ("a.b.c.ck", "b.c.ck"),
        ("a.www.ck", "www.ck"),
        // A top label that the list does not know, and one in A-labels.
        ("a.lab.test", "lab.test"),
        ("www.ana.xn--55qx5d.cn", "ana.xn--55qx5d.cn"),
        ("a..com", "a..com"),
    ] {
        assert_eq!(organizational_domain_by_list(domain), organizational, "{domain}");
    }
}

#[test]
fn receivers_of_the_old_way_may_see_it_differently() {
    let none = "v=DMARC1; p=none";
    type Case<'a> =
        (&'a str, Vec<(&'a str, &'a str)>, &'a str, &'a str, [&'a str; 2], [DmarcResult; 2]);
    let (pass, fail, absent) = (DmarcResult::Pass, DmarcResult::Fail, DmarcResult::None);
    let cases: [Case<'_>; 9] = [
        // From, records, who passed, organizational domains and results: walk, list.
        (
            "news.example.com",
            vec![("example.com", none)],
            "bounce.example.com",
            "alike",
            ["example.com", "example.com"],
            [pass, pass],
        ),
        (
            "a.b.example.com",
            vec![("b.example.com", none)],
            "c.b.example.com",
            "a record halfway",
            ["b.example.com", "example.com"],
            [pass, absent],
        ),
        (
            "b.example.com",
            vec![("b.example.com", none)],
            "example.com",
            "a record of a subdomain alone",
            ["b.example.com", "example.com"],
            [fail, pass],
        ),
        (
            "a.b.example.com",
            vec![("b.example.com", "v=DMARC1; p=none; psd=n"), ("example.com", none)],
            "x.example.com",
            "psd=n",
            ["b.example.com", "example.com"],
            [fail, pass],
        ),
        (
            "one.example.com",
            vec![("example.com", "v=DMARC1; p=none; psd=y")],
            "two.example.com",
            "psd=y where the list has no suffix",
            ["one.example.com", "example.com"],
            [fail, pass],
        ),
        (
            "one.bank",
            vec![("bank", "v=DMARC1; p=reject; psd=y")],
            "two.bank",
            "a record of the suffix",
            ["one.bank", "one.bank"],
            [fail, absent],
        ),
        (
            "ana.github.io",
            vec![("github.io", none)],
            "bo.github.io",
            "a suffix that does not say so",
            ["github.io", "ana.github.io"],
            [pass, absent],
        ),
        (
            "ana.github.io",
            vec![("github.io", none), ("ana.github.io", none)],
            "bo.github.io",
            "likewise",
            ["github.io", "ana.github.io"],
            [pass, fail],
        ),
        (
            "example.com",
            vec![("example.com", none), ("b.example.com", "v=DMARC1; p=none; psd=n")],
            "b.example.com",
            "psd=n at the signer",
            ["example.com", "example.com"],
            [fail, pass],
        ),
    ];
    for (from, records, passed, what, organizational, results) in cases {
        let evaluation = run(&table(&records), from, Some((passed, true)), &[]);
        let by_list = &evaluation.by_list;
        let walk = evaluation.organizational_domain.as_deref();
        assert_eq!(
            [walk, Some(&*by_list.organizational_domain)],
            organizational.map(Some),
            "{what}"
        );
        assert_eq!([evaluation.result, by_list.result], results, "{what}\n{evaluation}");
        assert_eq!(evaluation.ways_differ(), what != "alike", "{what}");
    }
    // Without a record nobody is judged by either.
    assert!(!run(&Table::new(), "a.b.example.com", None, &[]).ways_differ());
}

#[test]
fn strict_alignment_is_the_same_by_both_ways() {
    let strict = table(&[("b.example.com", "v=DMARC1; p=none; aspf=s; adkim=s")]);
    let sub = "b.example.com";
    for (domain, result) in [(sub, DmarcResult::Pass), ("example.com", DmarcResult::Fail)] {
        let evaluation = run(&strict, sub, Some((domain, true)), &[(domain, true)]);
        assert_eq!([evaluation.result, evaluation.by_list.result], [result; 2]);
        assert!(!evaluation.ways_differ());
    }
}
