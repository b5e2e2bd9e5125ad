use puerto_mail::dns::{DnsError, RecordType, Table, block_on};

use super::rules::RULES;
use super::*;
use crate::lang::Language;

mod golden;

const NOW: i64 = 1_795_503_600; // 2026-11-24 07:00 UTC

fn world() -> Table {
    let mut table = Table::new();
    table
        .txt("example.com", "v=spf1 ip4:192.0.2.1 -all")
        .txt("_dmarc.example.com", "v=DMARC1; p=reject")
        .txt("mail.example.com", "v=spf1 a -all")
        .address("mail.example.com", "192.0.2.1".parse().unwrap())
        .mx("example.com", 10, "mail.example.com");
    table
}

fn question(message: &str) -> Question<'_> {
    Question {
        message: message.as_bytes(),
        ip: Some("192.0.2.1".parse().unwrap()),
        helo: Some("mail.example.com"),
        reverse_path: Some("ana@example.com"),
        bulk: false,
        now: NOW,
        receiver: "mx.example.net",
    }
}

fn judge(table: &Table, question: &Question<'_>) -> Report {
    block_on(verify(table, question)).unwrap()
}

fn ids(report: &Report) -> Vec<(&'static str, Severity)> {
    report.findings.iter().map(|finding| (finding.id, finding.severity)).collect()
}

const GOOD: &str = "Date: Tue, 24 Nov 2026 06:59:00 +0000\nFrom: Ana <ana@example.com>\nTo: \
                    bo@example.net\nMessage-ID: <1@example.com>\nSubject: hi\n\nhi\n";

#[test]
fn a_file_with_plain_line_ends_is_judged_like_the_message() {
    let report = judge(&world(), &question(GOOD));
    assert_eq!(report.spf.result(), SpfResult::Pass);
    assert_eq!(report.dmarc_result(), DmarcResult::Pass);
    assert_eq!(ids(&report), [("msg.dkim-verify", Severity::Warning)]);
    assert!(!report.is_wrong());
    let field = "Authentication-Results: mx.example.net; spf=pass smtp.mailfrom=ana@example.com; \
                 dkim=none; dmarc=pass policy.dmarc=reject \
                 header.from=example.com";
    assert_eq!(report.authentication_results, field);
    assert_eq!(judge(&world(), &question(&GOOD.replace('\n', "\r\n"))).findings, report.findings);
}

#[test]
fn the_null_reverse_path_is_checked_by_the_helo_name() {
    let asked = Question { reverse_path: Some(""), ..question(GOOD) };
    let report = judge(&world(), &asked);
    let evaluation = report.spf.evaluation().unwrap();
    assert_eq!((evaluation.result, &*evaluation.domain), (SpfResult::Pass, "mail.example.com"));
    assert_eq!(report.dmarc_result(), DmarcResult::Pass);
    let nobody = Question { helo: None, ..asked };
    assert!(judge(&world(), &nobody).spf.evaluation().is_none());
}

#[test]
fn without_an_address_spf_is_none_and_says_why() {
    let report = judge(&world(), &Question { ip: None, ..question(GOOD) });
    let json = report.to_json(Language::English);
    assert_eq!(json["spf"]["result"], "none");
    assert!(json["spf"]["reason"].as_str().unwrap().contains("--ip"));
}

#[test]
fn without_an_address_dmarc_rests_on_the_signature_or_is_unknown() {
    let unsigned = judge(&world(), &Question { ip: None, ..question(GOOD) });
    let json = unsigned.to_json(Language::English);
    assert_eq!(json["dmarc"]["result"], "unknown");
    assert_eq!(json["dmarc"]["disposition"], "none");
    assert!(json["dmarc"]["alignment"]["spf"].is_null());
    assert_eq!(json["dmarc"]["alignment"]["dkim"], false);
    let finding = json["findings"].as_array().unwrap().iter();
    let mut finding = finding.filter(|one| one["id"] == "dmarc.alignment");
    let finding = finding.next().unwrap();
    assert_eq!(finding["severity"], "info");
    assert!(finding["seen"].as_str().unwrap().contains("--ip"));
    assert!(unsigned.authentication_results.contains("dmarc=none"));
    assert!(!unsigned.is_wrong() && unsigned.is_uncertain());
    let shown = show(&unsigned, Language::Spanish);
    assert!(shown.contains("unknown") && shown.contains("no se puede saber si pasa DMARC"));
    assert!(!shown.contains("inténtelo más tarde"), "{shown}");
}

/// A rule, and what is put for what in the good message to break it.
const CASES: &[(&str, &str, &str)] = &[
    ("msg.from-single", "From: Ana <ana@example.com>", "From: ana@example.com, bo@example.com"),
    ("msg.from-single", "From: Ana <ana@example.com>", "From: ana@no.example"),
    ("msg.from-single", "From: Ana <ana@example.com>\n", ""),
    ("msg.from-single", "From: Ana <ana@example.com>", "From: <ana"),
    ("msg.from-freemail", "From: Ana <ana@example.com>", "From: ana@yahoo.co.uk"),
    ("msg.message-id", "Message-ID: <1@example.com>\n", ""),
    ("msg.message-id", "<1@example.com>", "1@example.com"),
    ("msg.envelope-match", "<1@example.com>", "<1@elsewhere.example>"),
    ("msg.date", "Date: Tue, 24 Nov 2026 06:59:00 +0000\n", ""),
    ("msg.date", "24 Nov 2026 06:59", "24 Nov 2026 08:59"),
    ("msg.date", "24 Nov 2026", "22 Nov 2026"),
    ("msg.date", "24 Nov 2026", "someday"),
    ("msg.to", "To: bo@example.net\n", ""),
    ("msg.to", "To: bo@example.net", "To: bo@example.net\nBcc: eve@example.net"),
    ("msg.rfc5322", "Subject: hi", "Subject: hi\nSubject: ho"),
    ("msg.rfc5322", "Subject: hi", "what is this"),
    ("msg.rfc5322", "To: bo@example.net", "To: bo at example.net"),
    ("msg.8bit", "Subject: hi", "Subject: señor"),
    ("msg.8bit", "\n\nhi", "\n\nseñor"),
    ("msg.mime", "\n\nhi", "\nContent-Type: text/plain\n\nhi"),
    ("msg.precedence", "Subject: hi", "Subject: Re: hi"),
    ("msg.crlf", "\n\nhi", "\n\nh\ri"),
    ("msg.list-unsubscribe", "Subject: hi", "Subject: hi\nPrecedence: bulk"),
    ("msg.feedback-id", "Subject: hi", "Subject: hi\nList-Id: <x.example.com>"),
];

#[test]
fn each_rule_sees_what_breaks_it() {
    for &(id, from, to) in CASES {
        let message = GOOD.replacen(from, to, 1);
        assert_ne!(message, GOOD, "{id}");
        let report = judge(&world(), &question(&message));
        assert!(
            ids(&report).iter().any(|(found, _)| *found == id),
            "{id} {to}: {:?}",
            ids(&report)
        );
        for language in [Language::English, Language::Spanish] {
            assert!(!show(&report, language).contains('{'), "{}", show(&report, language));
        }
    }
}

#[test]
fn a_difference_between_tree_walk_and_public_suffixes_is_a_warning() {
    // Its own record halfway: receivers of the old way look at the top, and find none.
    let mut table = world();
    table.fail("_dmarc.example.com", RecordType::Txt, DnsError::NoRecords);
    table.txt("_dmarc.shop.example.com", "v=DMARC1; p=reject");
    let message = GOOD.replace("ana@example.com", "ana@a.shop.example.com");
    let report = judge(&table, &question(&message));
    let json = report.to_json(Language::English);
    assert_eq!(json["dmarc"]["org_domain"], "shop.example.com");
    assert_eq!(json["dmarc"]["org_domain_public_suffix"], "example.com");
    assert_eq!(
        (&json["dmarc"]["result"], &json["dmarc"]["result_public_suffix"]),
        (&"fail".into(), &"none".into())
    );
    assert!(ids(&report).contains(&("dmarc.org-domain", Severity::Warning)), "{:?}", ids(&report));
    for (language, words) in
        [(Language::English, "by the list of"), (Language::Spanish, "según la lista de")]
    {
        let text = show(&report, language);
        assert!(text.matches(words).count() >= 2, "{text}");
    }
    // Where both agree there is nothing to say, and nothing where the DNS is silent.
    assert!(
        !ids(&judge(&world(), &question(GOOD))).iter().any(|(id, _)| *id == "dmarc.org-domain")
    );
    table.fail("_dmarc.example.com", RecordType::Txt, DnsError::Timeout);
    let silent = judge(&table, &question(&message));
    assert!(!ids(&silent).iter().any(|(id, _)| *id == "dmarc.org-domain"));
}

#[test]
fn lines_and_sizes_are_measured() {
    for (id, from, to) in [
        ("msg.line-length", "\n\nhi", format!("\n\n{}", "x".repeat(999))),
        ("msg.header-size", "Subject: hi", format!("Subject: {}", "hi\n ".repeat(6000))),
        ("msg.header-size", "Subject: hi", format!("Subject: hi{}", "\nReceived: x".repeat(50))),
        ("msg.size", "\n\nhi", format!("\n\n{}", "0123456789\n".repeat(2_500_000))),
    ] {
        let message = GOOD.replacen(from, &to, 1);
        let report = judge(&world(), &question(&message));
        assert!(ids(&report).iter().any(|(found, _)| *found == id), "{id}: {:?}", ids(&report));
    }
}

#[test]
fn what_is_no_message_is_judged_all_the_same() {
    for message in ["", "\n", "no header at all", "From: \0\n", ":\n\n", "\u{fffd}"] {
        let report = judge(&world(), &question(message));
        assert!(report.is_wrong(), "{message:?}");
        assert_eq!(report.dmarc_result(), DmarcResult::PermError);
    }
    let endless = "A: b\n".repeat(1_000_000);
    assert!(
        ids(&judge(&world(), &question(&endless)))
            .contains(&("msg.header-size", Severity::Warning))
    );
}

#[test]
fn a_dns_that_does_not_answer_is_no_finding() {
    use puerto_mail::dns::{DnsError, RecordType};
    let mut table = world();
    table.fail("example.com", RecordType::Txt, DnsError::Timeout);
    let report = judge(&table, &question(GOOD));
    assert_eq!(report.spf.result(), SpfResult::TempError);
    assert!(report.is_uncertain());
    assert_eq!(report.dmarc_result(), DmarcResult::TempError);
    assert!(!ids(&report).iter().any(|(id, _)| id.starts_with("spf")));
}

#[test]
fn an_address_that_may_not_send_fails_dmarc() {
    let asked = Question { ip: Some("198.51.100.7".parse().unwrap()), ..question(GOOD) };
    let report = judge(&world(), &asked);
    assert_eq!(report.spf.result(), SpfResult::Fail);
    assert_eq!(report.dmarc_result(), DmarcResult::Fail);
    let found: Vec<&str> = ids(&report).into_iter().map(|(id, _)| id).collect();
    assert_eq!(found, ["spf.covers-ip", "msg.dkim-verify", "dmarc.alignment"]);
    let json = report.to_json(Language::Spanish);
    assert_eq!(json["dmarc"]["alignment"]["spf"], false);
    assert_eq!(json["dmarc"]["policy"], "reject");
    assert_eq!(json["spf"]["steps"][0]["term"], "ip4:192.0.2.1");
}

/// The good message, signed for a domain, and its world with the key.
fn signed(message: &str, domain: &str) -> (Table, String) {
    use puerto_mail::dkim::{
        Algorithm, BodyHasher, Canonicalization, PrivateKey, SigningKey, SigningTime, sign,
    };
    let pem = PrivateKey::generate(Algorithm::Ed25519Sha256).unwrap();
    let key = PrivateKey::from_pem(&pem).unwrap();
    let mut table = world();
    table.txt(&format!("s1._domainkey.{domain}"), &key.record_text());
    let message = message.replace('\n', "\r\n");
    let header = Header::parse(message.as_bytes()).unwrap();
    let mut hasher = BodyHasher::new(Canonicalization::Relaxed);
    hasher.update(header.body());
    let key = SigningKey { domain: domain.to_owned(), selector: "s1".to_owned(), key };
    let form = Canonicalization::Relaxed;
    let time = SigningTime { signed_at: NOW, expires_at: None };
    let field = sign(&key, header.fields(), form, &hasher.finish(), time).unwrap();
    let field = String::from_utf8_lossy(&field).into_owned();
    (table, format!("{field}{message}"))
}

#[test]
fn a_signature_is_judged_step_by_step() {
    let (table, message) = signed(GOOD, "example.com");
    let report = judge(&table, &question(&message));
    assert_eq!(report.findings, []);
    assert_eq!(report.to_json(Language::English)["dmarc"]["alignment"]["dkim"], true);
    assert!(show(&report, Language::English).contains("receivers have no reason"));
    // A forwarder's address may not send for the domain, and its signature holds.
    let forwarded = Question { ip: Some("198.51.100.7".parse().unwrap()), ..question(&message) };
    let report = judge(&table, &forwarded);
    assert_eq!(ids(&report), [("spf.covers-ip", Severity::Warning)]);
    let changed = message.replace("hi\r\n", "ho\r\n");
    let report = judge(&table, &question(&changed));
    assert_eq!(ids(&report), [("msg.dkim-verify", Severity::Warning)]);
    let text = show(&report, Language::Spanish);
    assert!(text.contains("el cuerpo se cambió después de firmarlo"), "{text}");
    let json = report.to_json(Language::English);
    assert!(json["dkim"][0]["reason"].as_str().unwrap().contains("body was changed"));
    let (table, message) = signed(GOOD, "other.example");
    let asked = Question { ip: Some("198.51.100.7".parse().unwrap()), ..question(&message) };
    assert!(ids(&judge(&table, &asked)).contains(&("msg.dkim-verify", Severity::Error)));
}

#[test]
fn mail_to_many_needs_a_signed_way_out() {
    let message = GOOD.replace(
        "Subject: hi",
        "Subject: hi\nList-Unsubscribe: <https://example.com/u>\nList-Unsubscribe-Post: \
         List-Unsubscribe=One-Click\nFeedback-ID: a:b:c:d",
    );
    let report = judge(&world(), &question(&message));
    let unsigned = ("msg.list-unsubscribe-signed", Severity::Error);
    assert_eq!(ids(&report), [unsigned, ("msg.dkim-verify", Severity::Error)]);
    let (table, message) = signed(&message, "example.com");
    assert_eq!(judge(&table, &question(&message)).findings, []);
    let bulk = Question { bulk: true, ..question(GOOD) };
    assert!(ids(&judge(&world(), &bulk)).contains(&("msg.list-unsubscribe", Severity::Error)));
}

#[test]
fn rules_have_names_of_their_own() {
    let mut names: Vec<&str> = RULES.iter().map(|rule| rule.id).collect();
    names.sort_unstable();
    let count = names.len();
    names.dedup();
    assert_eq!(names.len(), count);
}

#[test]
fn what_the_dns_left_open_is_no_error() {
    let (mut table, message) = signed(GOOD, "example.com");
    table.fail("s1._domainkey.example.com", RecordType::Txt, DnsError::Timeout);
    let asked = Question { ip: Some("198.51.100.7".parse().unwrap()), ..question(&message) };
    let report = judge(&table, &asked);
    assert_eq!(report.dmarc_result(), DmarcResult::TempError);
    assert_eq!(ids(&report), [("spf.covers-ip", Severity::Warning)]);
    assert!(report.is_uncertain() && !report.is_wrong());
}

#[test]
fn a_from_without_a_domain_name_agrees_with_nothing() {
    for from in ["ana@[192.0.2.1]", "ana@example.com, bo@example.net", "Team:;"] {
        let report = judge(&world(), &question(&GOOD.replace("Ana <ana@example.com>", from)));
        let json = report.to_json(Language::English);
        assert_eq!(json["dmarc"]["result"], "permerror", "{from}");
        let alignment = serde_json::json!({ "spf": false, "dkim": false });
        assert_eq!(json["dmarc"]["alignment"], alignment, "{from}");
    }
}

#[test]
fn the_reason_of_spf_names_the_term() {
    for (record, reason) in [
        ("v=spf1 include:no.example -all", "term `include:no.example`: the included domain has no"),
        (
            "v=spf1 a:slow.example -all",
            "term `a:slow.example`: slow.example: the DNS did not answer in time",
        ),
        ("v=spf1 foo:bar -all", "term `foo:bar`: `foo` is not a mechanism"),
        ("v=spf1 include:loop.example -all", "term `include:loop.example`: term `include:"),
    ] {
        let mut table = Table::new();
        table.txt("example.com", record).txt("loop.example", "v=spf1 include:loop.example -all");
        table.fail("slow.example", RecordType::A, DnsError::Timeout);
        let json = judge(&table, &question(GOOD)).to_json(Language::English);
        let said = json["spf"]["reason"].as_str().unwrap_or_default().to_owned();
        assert!(said.starts_with(reason), "{record}: {said}");
    }
}

#[test]
fn a_signature_in_a_long_header_is_seen() {
    let (table, message) = signed(GOOD, "example.com");
    let message = message.replace("To: ", &format!("{}To: ", "X-Long: none\r\n".repeat(30_000)));
    let report = judge(&table, &question(&message));
    assert_eq!(report.dkim.len(), 1);
    assert_eq!(report.dkim[0].result, DkimResult::Pass);
}

#[test]
fn each_fault_of_from_has_a_remedy_of_its_own() {
    for (from, seen, remedy) in [
        ("Friends: ana@example.com", "does not end it", "Name <user@domain>"),
        ("info@shop <ana@example.com>", "outside of quotation marks", "in quotation marks"),
        ("ana@example.com, bo@example.com", "2 addresses", "name one author"),
        ("ana@nowhere.example", "does not exist", "correct the domain"),
        ("nobody", "is not an address", "Name <user@domain>"),
    ] {
        let message = GOOD.replace("Ana <ana@example.com>", from);
        let report = judge(&world(), &question(&message));
        let of_from = report.findings.iter().filter(|one| one.id == "msg.from-single");
        let of_from: Vec<_> = of_from.collect();
        assert_eq!(of_from.len(), 1, "{from}: {of_from:?}");
        assert!(of_from[0].seen.of(Language::English).contains(seen), "{from}: {of_from:?}");
        assert!(of_from[0].remedy.of(Language::English).contains(remedy), "{from}: {of_from:?}");
    }
    let message = GOOD.replace("From: Ana", "From : Ana");
    let report = judge(&world(), &question(&format!("{message}\n")));
    assert!(report.findings.iter().all(|one| one.id != "msg.from-single"), "{report:?}");
}

#[test]
fn a_damaged_dmarc_record_is_said_to_be_damaged() {
    for text in [
        "v=DMARC1;\u{a0}p=reject",
        "v=DMARC1;\u{3000}p=reject",
        "v=DMARC1;\u{b}p=reject",
        "\"v=DMARC1; p=reject\"",
        " v=DMARC1; p=reject",
        "v=DMARC1; p=reject; rua=a@example.com",
    ] {
        let mut table = world();
        table.remove("_dmarc.example.com", RecordType::Txt).txt("_dmarc.example.com", text);
        let report = judge(&table, &question(GOOD));
        let damaged = report.findings.iter().find(|finding| {
            finding.id == "dmarc.alignment"
                && finding.seen.of(Language::English).contains("damaged")
        });
        let damaged = damaged.unwrap_or_else(|| panic!("{text}: {:?}", report.findings));
        assert!(damaged.remedy.of(Language::English).contains("puerto dns"), "{text}");
    }
}
