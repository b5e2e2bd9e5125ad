//! What `puerto verify` says, in both languages, whole: documents and pages for some
//! messages, and for each fault that the evaluators can find what they say of it.
//!
//! `PUERTO_BLESS=1` writes the files anew.

use std::fmt::Write as _;

use puerto_mail::dns::{DnsError, DnsFault, Record, RecordType, Table};
use serde_json::Value;

use super::*;
use crate::lang::Language;

const LANGUAGES: [Language; 2] = [Language::English, Language::Spanish];

fn assert_golden(name: &str, actual: &str) {
    let path = format!("{}/src/verify/tests/golden/{name}", env!("CARGO_MANIFEST_DIR"));
    if std::env::var_os("PUERTO_BLESS").is_some() {
        return std::fs::write(path, actual).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    let differs = expected.lines().zip(actual.lines()).find(|(old, new)| old != new);
    assert_eq!(differs, None, "{path}");
    assert_eq!(expected.lines().count(), actual.lines().count(), "{path}");
}

fn page(report: &Report, language: Language) -> String {
    anstream::adapter::strip_str(&show(report, language)).to_string()
}

// The lines about one method.
fn section(page: &str, method: &str) -> String {
    let of_method =
        |line: &&str| !line.starts_with(char::is_alphabetic) || line.starts_with(method);
    let begun = page.lines().skip_while(|line| !line.starts_with(method));
    begun
        .take_while(of_method)
        .take_while(|line| !line.is_empty())
        .fold(String::new(), |all, line| all + "  " + line + "\n")
}

// What a document and a page say of one method, a case for each report.
fn told(out: &mut String, case: &str, method: &str, report: &Report) {
    let key = method.to_ascii_lowercase();
    writeln!(out, "== {}", case.escape_debug()).unwrap();
    for language in LANGUAGES {
        let document = report.to_json(language)[&key].to_string();
        let page = section(&page(report, language), method);
        // Words that betray a sentence of the other language.
        let other: &[&str] = match language {
            Language::English => &[" el ", " la ", " no es ", " no hay ", " de ", " registro "],
            Language::Spanish => &[" the ", " is ", " not ", " of ", " more ", " record "],
        };
        assert!(!other.iter().any(|word| document.contains(word) || page.contains(word)), "{page}");
        writeln!(out, "{document}\n{}", page.trim_end()).unwrap();
    }
}

fn spf_world() -> Table {
    let mut table = Table::new();
    let here = "192.0.2.1".parse().unwrap();
    table
        .address("mail.example.com", here)
        .txt("good.example", "v=spf1 mx:mail.example -all exp=why.%{d}")
        .txt("why.good.example", "who are you, %{i}?")
        .txt("loop.example", "v=spf1 include:loop.example -all")
        .txt("other.example", "site-verification=1")
        .txt("twice.example", "v=spf1 -all")
        .txt("twice.example", "v=spf1 a -all")
        .txt("voids.example", "v=spf1 a:no1.example a:no2.example a:no3.example -all")
        .mx("mail.example", 20, "mail.example.com")
        .mx("mail.example", 10, "")
        .fail("slow.example", RecordType::A, DnsError::Timeout)
        .fail("slow.example", RecordType::Txt, DnsError::Timeout)
        .fail("dark.example", RecordType::A, DnsError::Failure(DnsFault::Aliases))
        .fail("bare.example", RecordType::Txt, DnsError::NoRecords)
        .add("1.2.0.192.in-addr.arpa", RecordType::Ptr, Record::Name("mail.example.com".into()));
    for last in 10..24 {
        table.mx("many.example", last, &format!("mx{last}.example"));
        table.address("wide.example", [198, 51, 100, u8::try_from(last).unwrap()].into());
    }
    table
}

const SPF_RECORDS: &[&str] = &[
    "v=spf1 ñ",
    "v=spf1 a\u{7} -all",
    "v=spf1 redirect=a.example redirect=b.example",
    "v=spf1 all:x",
    "v=spf1 include",
    "v=spf1 loopback -all",
    "v=spf1 a/x",
    "v=spf1 a/33",
    "v=spf1 mx//129",
    "v=spf1 ip4:1.2.3",
    "v=spf1 ip6:1.2.3.4",
    "v=spf1 exists:%",
    "v=spf1 exists:%{d",
    "v=spf1 exists:%{}",
    "v=spf1 exists:%{C}",
    "v=spf1 exists:%{x}",
    "v=spf1 exists:%{d0}",
    "v=spf1 exists:%{dr!}",
    "v=spf1 include:",
    "v=spf1 a:example",
    "v=spf1 ip4:198.51.100.1",
    "v=spf1 ?all",
    "v=spf1 ptr:example.com -all",
    "v=spf1 exists:%{i}.no.example a:wide.example ~all",
    "v=spf1 include:good.example -all",
    "v=spf1 redirect=good.example",
    "v=spf1 redirect=no.example",
    "v=spf1 redirect=slow.example",
    "v=spf1 include:no.example -all",
    "v=spf1 include:bare.example -all",
    "v=spf1 include:other.example -all",
    "v=spf1 include:twice.example -all",
    "v=spf1 include:slow.example -all",
    "v=spf1 include:loop.example -all",
    "v=spf1 include:voids.example -all",
    "v=spf1 include:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.example",
    "v=spf1 a:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.example -all",
    "v=spf1 a:slow.example -all",
    "v=spf1 a:dark.example -all",
    "v=spf1 mx:many.example -all",
];

#[test]
fn each_fault_of_spf_is_said_in_both_languages() {
    let mut out = String::new();
    for record in SPF_RECORDS {
        let mut table = spf_world();
        table.txt("example.com", record);
        told(&mut out, record, "SPF", &judge(&table, &question(GOOD)));
    }
    for sender in [
        "localhost",
        "no.example",
        "bare.example",
        "other.example",
        "twice.example",
        "slow.example",
    ] {
        let asked = Question { reverse_path: Some(sender), ..question(GOOD) };
        told(&mut out, sender, "SPF", &judge(&spf_world(), &asked));
    }
    let elsewhere = Some("2001:db8::1".parse().unwrap());
    let asked = Question { reverse_path: Some("good.example"), ip: elsewhere, ..question(GOOD) };
    told(&mut out, "good.example from elsewhere", "SPF", &judge(&spf_world(), &asked));
    let asked = Question { reverse_path: Some(""), ..question(GOOD) };
    told(&mut out, "the null reverse-path", "SPF", &judge(&spf_world(), &asked));
    for asked in [
        Question { ip: None, ..question(GOOD) },
        Question { reverse_path: None, ..question(GOOD) },
        Question { reverse_path: Some(""), helo: None, ..question(GOOD) },
    ] {
        told(&mut out, "not checked", "SPF", &judge(&spf_world(), &asked));
    }
    assert_golden("spf.txt", &out);
}

const VECTOR: &str = include_str!("../../../../puerto-mail/tests/data/rfc8463-appendix-a.eml");
const VECTOR_KEYS: &str =
    include_str!("../../../../puerto-mail/tests/data/rfc8463-appendix-a.keys");
const RSA_512: &str = "MFwwDQYJKoZIhvcNAQEBBQADSwAwSAJBAN8weVI7vbPFyN9ePEmS7q3rmPLWv0r3\
                       hvh1+euFx6GJGDNSNr645XiCCNpGKYIptal5Txgxr67sXCd0mHiMO/MCAwEAAQ==";
/// Signed with the key of the vector, over the first line of what is the body.
const PART_SIGNED: &str = "DKIM-Signature: v=1; a=ed25519-sha256; c=relaxed/relaxed; \
    d=football.example.com; s=brisbane; h=from; l=6; \
    bh=Ck5SoRNWUpSR4X0COv7R5ub2pUTtl6xz4dTFz++ji4M=; \
    b=56Ug9G4IpO8duRUDQ0OmKNHnrQ2JjHcEoPQol76Tx9WIB4LpgQSGsUlP8BYNobs5lC8hNZ7cL/alaGXcuPnJDA==\n\
    From: Joe <joe@football.example.com>\n\nbody\nadded\n";

/// What is put for what in the message of RFC 8463.
const SIGNATURES: &[(&str, &str)] = &[
    ("", ""),
    ("hungry", "angry"),
    ("Is dinner", "Is lunch"),
    ("v=1;", "v=2;"),
    ("v=1;", ""),
    ("v=1;", "v=1; v=1;"),
    ("v=1;", "v=1; what;"),
    ("v=1;", "v=1; 1st=x;"),
    ("v=1;", "v=1; l=many;"),
    ("v=1;", "v=1; l=9999;"),
    ("v=1;", "v=1; x=1528637910;"),
    ("v=1;", "v=1; x=1528637908;"),
    ("t=1528637909", "t=1895500000"),
    ("i=@football.example.com", "i=football.example.com"),
    ("i=@football.example.com", "i=@tennis.example.com"),
    ("q=dns/txt", "q=other"),
    ("c=relaxed/relaxed", "c=loose"),
    ("-sha256", "-sha1"),
    ("-sha256", "-sha512"),
    ("d=football.example.com", "d=foot ball"),
    ("h=from : to", "h=to"),
    (" : from :", " :"),
    ("bh=", "bh=!"),
    ("b=/gCrin", "b=!gCrin"),
    ("s=brisbane", "s=sydney"),
];

#[test]
fn each_fault_of_dkim_is_said_in_both_languages() {
    let mut out = String::new();
    let records = || VECTOR_KEYS.lines().filter_map(|line| line.split_once(' '));
    let mut world = Table::new();
    for (name, record) in records() {
        world.txt(name, record);
    }
    let mut tell = |case: &str, table: &Table, message: &str| {
        told(&mut out, case, "DKIM", &judge(table, &question(message)));
    };
    for (from, to) in SIGNATURES {
        let message = VECTOR.replace(from, to);
        tell(&format!("{from} → {to}"), &world, &message);
    }
    let tags: String = (0..120).map(|number| format!("t{number}=;")).collect();
    tell("many tags", &world, &VECTOR.replace("v=1;", &format!("v=1;{tags}")));
    tell("many signatures", &world, &format!("{}{VECTOR}", "DKIM-Signature: v=1\n".repeat(9)));
    tell("l=", &world, PART_SIGNED);
    tell("none", &world, GOOD);
    // Of the RSA key: the second signature.
    let (name, good) = records().nth(1).unwrap();
    let key = good.split("p=").nth(1).unwrap();
    let ed25519 = records().next().unwrap().1;
    for texts in [
        vec!["v=DKIM1; t=y; p=KEY"],
        vec!["v=DKIM2; p=KEY"],
        vec!["v=DKIM1; k=rsa"],
        vec!["v=DKIM1; p="],
        vec!["v=DKIM1; k=dsa; p=KEY"],
        vec!["v=DKIM1; p=AAAA"],
        vec!["v=DKIM1; k=ed25519; p=KEY"],
        vec!["v=DKIM1; p=SHORT"],
        vec!["v=DKIM1; s=tlsrpt; p=KEY"],
        vec!["v=DKIM1; h=sha1; p=KEY"],
        vec!["v=DKIM1; p=KEY; p=KEY"],
        vec!["v=DKIM1; p=KEY; the key"],
        vec![ed25519],
        vec!["v=DKIM1; p=KEY", ed25519, "v=DKIM1; p=KEY"],
    ] {
        let mut table = Table::new();
        for text in &texts {
            table.txt(name, &text.replace("KEY", key).replace("SHORT", RSA_512));
        }
        tell(&texts.join(" + "), &table, VECTOR);
    }
    let mut table = Table::new();
    table.txt(name, &format!("v=DKIM1; t=s; p={key}"));
    tell("t=s", &table, &VECTOR.replace("i=@football", "i=x@team.football"));
    for error in [DnsError::NoRecords, DnsError::Timeout, DnsError::Failure("x".into())] {
        table.fail(name, RecordType::Txt, error.clone());
        tell(&error.to_string(), &table, VECTOR);
    }
    assert_golden("dkim.txt", &out);
}

#[test]
fn each_finding_of_dmarc_is_said_in_both_languages() {
    let mut out = String::new();
    for (from, records) in [
        ("[192.0.2.1]", &[][..]),
        ("example.com", &[]),
        ("example.com", &[("example.com", "v=DMARC1; p=reject")]),
        ("example.com", &[("example.com", "v=DMARC1; p=reject; t=y")]),
        ("example.com", &[("example.com", "v=DMARC1;\u{a0}p=reject")]),
        (
            "example.com",
            &[("example.com", "v=DMARC1; p=none"), ("example.com", "v=DMARC1; p=none")],
        ),
        ("example.com", &[("example.com", "v=DMARC1; fo=1")]),
        ("example.com", &[("example.com", "site-verification=1")]),
        ("no.example.com", &[("example.com", "v=DMARC1; p=none; np=reject")]),
        ("shop.example.com", &[("example.com", "v=DMARC1; p=none; sp=reject")]),
        ("slow.example", &[]),
        ("a.slow.example", &[("a.slow.example", "v=DMARC1; p=reject")]),
    ] {
        let mut table = Table::new();
        table
            .txt("example.com", "v=spf1 ip4:192.0.2.1 -all")
            .address("shop.example.com", "192.0.2.1".parse().unwrap())
            .fail("_dmarc.slow.example", RecordType::Txt, DnsError::Timeout);
        for (domain, text) in records {
            table.txt(&format!("_dmarc.{domain}"), text);
        }
        let message = GOOD.replace("ana@example.com", &format!("ana@{from}"));
        for ip in ["192.0.2.1", "198.51.100.7"] {
            let asked = Question { ip: Some(ip.parse().unwrap()), ..question(&message) };
            let case = format!("{from} {records:?} {ip}");
            told(&mut out, &case, "DMARC", &judge(&table, &asked));
        }
    }
    let two = GOOD.replace("Ana <ana@example.com>", "ana@example.com, bo@example.net");
    told(&mut out, "two authors", "DMARC", &judge(&world(), &question(&two)));
    assert_golden("dmarc.txt", &out);
}

// What is the same of every finding of a rule is said with the rules, once.
fn findings(out: &mut String, case: &str, report: &Report) {
    writeln!(out, "== {}", case.escape_debug()).unwrap();
    for finding in &report.findings {
        let rule = RULES.iter().find(|rule| rule.id == finding.id).unwrap();
        writeln!(out, "{} {}", finding.severity.as_str(), finding.id).unwrap();
        for language in LANGUAGES {
            writeln!(out, "  {}", finding.seen.of(language)).unwrap();
            if finding.remedy != rule.remedy.into() {
                writeln!(out, "    {}", finding.remedy.of(language)).unwrap();
            }
        }
    }
}

#[test]
fn each_finding_is_said_in_both_languages() {
    let mut out = String::new();
    for rule in RULES {
        writeln!(out, "{} {}, {}", rule.severity.as_str(), rule.id, rule.reference).unwrap();
        for language in LANGUAGES {
            writeln!(out, "  {}", rule.expected.of(language)).unwrap();
            writeln!(out, "  {}", rule.remedy.of(language)).unwrap();
        }
    }
    for &(id, from, to) in CASES {
        findings(
            &mut out,
            &format!("{id} {to}"),
            &judge(&world(), &question(&GOOD.replacen(from, to, 1))),
        );
    }
    let parts = "Content-Type: multipart/mixed; boundary=b\nMIME-Version: 1.0";
    for (from, to) in [
        ("Ana <ana@example.com>", "ana@example.com\nFrom: ana@example.com"),
        ("Ana <ana@example.com>", "Friends: ana@example.com"),
        ("Ana <ana@example.com>", "info@shop <ana@example.com>"),
        ("Ana <ana@example.com>", "nobody"),
        ("Ana <ana@example.com>", "mailer-daemon@example.com"),
        ("bo@example.net", "bo@example.net cy@example.net"),
        ("bo@example.net", "bo@example.net \\"),
        ("bo@example.net", "<>"),
        ("bo@example.net", "bo"),
        ("bo@example.net", "bo@a..b"),
        ("bo@example.net", "@example.net"),
        ("bo@example.net", "bo@[x]"),
        ("bo@example.net", &format!("{}@example.net", "b".repeat(1000))),
        ("<1@example.com>", "<1@localhost>"),
        ("<1@example.com>", "<1@example.com>\nMessage-ID: <1@example.com>"),
        ("Date: ", "Date: Tue, 24 Nov 2026 06:59:00 +0000\nDate: "),
        ("Subject: hi", "Subject: hi\nAuto-Submitted: auto-replied"),
        ("Subject: hi", "Subject: hi\nContent-Type: multipart/mixed"),
        ("Subject: hi", parts),
        ("Subject: hi\n\n", &format!("{parts}\n\n--b\n\n")),
        ("Subject: hi\n\n", &format!("{parts}\n\n--b\nContent-Type: text/html\n\nñ")),
        (
            "Subject: hi\n\n",
            &format!("{parts}\n\n--b\nContent-Type: a/b; name=\"x y.exe\"\n\n--b--\n"),
        ),
        ("Subject: hi\n", "Subject: hi\r\n"),
        ("hi\n\n", "hi\n\n\0"),
        ("hi\n\n", "hi\n\n\0\0"),
        ("\n\nhi", &format!("\n\n{}", "x".repeat(999))),
        ("Subject: hi", &format!("Subject: {}", "hi\n ".repeat(6000))),
        ("Subject: hi", &format!("Subject: hi{}", "\nReceived: x".repeat(50))),
        ("bo@example.net", &"bo@example.net, ".repeat(101)),
    ] {
        let message = GOOD.replacen(from, to, 1);
        assert_ne!(message, GOOD, "{to}");
        let case: String = to.chars().take(60).collect();
        findings(&mut out, &case, &judge(&world(), &question(&message)));
    }
    let null = Question { reverse_path: Some(""), ..question(GOOD) };
    findings(&mut out, "null", &judge(&world(), &null));
    let bulk = Question { bulk: true, ..question(GOOD) };
    findings(&mut out, "bulk", &judge(&Table::new(), &bulk));
    let post = "Subject: hi\nList-Unsubscribe: <mailto:x@example.com>\nList-Unsubscribe-Post: no";
    let post = GOOD.replace("Subject: hi", post);
    findings(&mut out, "no way out", &judge(&world(), &question(&post)));
    findings(&mut out, "l=", &judge(&world(), &question(PART_SIGNED)));
    findings(&mut out, "nothing", &judge(&world(), &question("")));
    findings(&mut out, "endless", &judge(&world(), &question(&"A: b\n".repeat(1_000_000))));
    findings(&mut out, "RFC 8463", &judge(&world(), &question(VECTOR)));
    let mut table = world();
    table
        .remove("_dmarc.example.com", RecordType::Txt)
        .txt("_dmarc.example.com", " v=DMARC1; p=none");
    findings(&mut out, "damaged", &judge(&table, &question(GOOD)));
    table
        .remove("_dmarc.example.com", RecordType::Txt)
        .txt("_dmarc.shop.example.com", "v=DMARC1; p=none");
    let shop = GOOD.replace("ana@example.com", "ana@a.shop.example.com");
    findings(&mut out, "two ways", &judge(&table, &question(&shop)));
    assert_golden("findings.txt", &out);
}

#[test]
fn documents_and_pages_stay_as_they_are() {
    let elsewhere = Some("198.51.100.7".parse().unwrap());
    let mut vector = world();
    for (name, record) in VECTOR_KEYS.lines().filter_map(|line| line.split_once(' ')) {
        vector.txt(name, record);
    }
    vector.txt("_dmarc.football.example.com", "v=DMARC1; p=quarantine; rua=mailto:d@example.com");
    let mut silent = world();
    silent.fail("example.com", RecordType::Txt, DnsError::Timeout);
    let reports = [
        ("good", judge(&world(), &question(GOOD))),
        ("signed", judge(&vector, &question(VECTOR))),
        ("from elsewhere", judge(&world(), &Question { ip: elsewhere, ..question(GOOD) })),
        ("no address", judge(&world(), &Question { ip: None, ..question(GOOD) })),
        ("a silent DNS", judge(&silent, &question(GOOD))),
        ("bulk", judge(&world(), &Question { bulk: true, ..question(GOOD) })),
        ("nothing", judge(&Table::new(), &question(""))),
    ];
    for (language, name) in LANGUAGES.into_iter().zip(["en", "es"]) {
        let (mut documents, mut pages) = (String::new(), String::new());
        for (case, report) in &reports {
            let document: Value = report.to_json(language);
            let document = serde_json::to_string_pretty(&document).unwrap();
            writeln!(documents, "== {case}\n{document}").unwrap();
            writeln!(pages, "== {case}\n{}", page(report, language)).unwrap();
        }
        assert_golden(&format!("documents.{name}.txt"), &documents);
        assert_golden(&format!("pages.{name}.txt"), &pages);
    }
}
