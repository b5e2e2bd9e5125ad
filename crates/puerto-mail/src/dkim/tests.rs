use super::*;
use crate::dns::{DnsError, RecordType, Table, block_on};
use crate::header::Header;

const VECTOR: &str = include_str!("../../tests/data/rfc8463-appendix-a.eml");
const VECTOR_KEYS: &str = include_str!("../../tests/data/rfc8463-appendix-a.keys");
const NOW: i64 = 1_795_500_000;

fn vector_dns() -> Table {
    let mut dns = Table::new();
    for (name, record) in VECTOR_KEYS.lines().filter_map(|line| line.split_once(' ')) {
        dns.txt(name, record);
    }
    dns
}

fn vector() -> String {
    VECTOR.replace('\n', "\r\n")
}

fn check(message: &str, dns: &Table) -> Vec<Verification> {
    block_on(verify(message.as_bytes(), dns, NOW)).unwrap()
}

fn failed_step(verification: &Verification) -> Option<StepKind> {
    verification.steps.iter().find(|step| !step.passed()).map(Step::kind)
}

#[test]
fn the_vector_of_rfc_8463_appendix_a_passes() {
    let results = check(&vector(), &vector_dns());
    let seen: Vec<_> = results.iter().map(|v| (v.result, v.algorithm, v.reason())).collect();
    assert_eq!(
        seen,
        [
            (DkimResult::Pass, Some(Algorithm::Ed25519Sha256), None),
            (DkimResult::Pass, Some(Algorithm::RsaSha256), None),
        ]
    );
    assert_eq!(results[0].domain, "football.example.com");
    assert_eq!(results[1].key_bits, Some(1024));
    assert_eq!(results[1].signature_start, "F45dVWDf");
}

#[test]
fn every_change_fails_at_its_step() {
    use DkimResult::*;
    for (from, to, result, step) in [
        ("hungry", "angry", Fail, StepKind::BodyHash),
        ("Joe.\r\n", "Joe.\r\nPS\r\n", Fail, StepKind::BodyHash),
        ("Is dinner", "Is lunch", Fail, StepKind::HeaderHash),
        ("From: Joe", "From: a@b.example\r\nFrom: Joe", Fail, StepKind::HeaderHash),
        ("To: Suzie", "Subject: more\r\nTo: Suzie", Fail, StepKind::HeaderHash),
        ("t=1528637909", "t=1528637908", Fail, StepKind::HeaderHash),
        ("t=1528637909", "t=1528637909; x=1528637910", PermError, StepKind::Syntax),
        ("t=1528637909", "t=1895500000", PermError, StepKind::Syntax),
        ("v=1;", "v=2;", PermError, StepKind::Syntax),
        ("v=1;", "v=1; v=1;", PermError, StepKind::Syntax),
        ("v=1;", "v=1; what;", PermError, StepKind::Syntax),
        ("i=@football.example.com", "i=@oot.example.com", PermError, StepKind::Syntax),
        ("i=@football.example.com", "i=@xfootball.example.com", PermError, StepKind::Syntax),
        ("q=dns/txt", "q=other", PermError, StepKind::Syntax),
        (": to", ": cc", Fail, StepKind::HeaderHash),
        ("c=relaxed/relaxed", "c=loose", PermError, StepKind::Syntax),
        ("-sha256", "-sha1", PermError, StepKind::Algorithm),
        ("-sha256", "-sha512", PermError, StepKind::Algorithm),
        (" d=football", " d=tennis", PermError, StepKind::Syntax),
    ] {
        let message = vector().replace(from, to);
        assert_ne!(message, vector(), "{from}");
        for seen in check(&message, &vector_dns()) {
            let is_sha1 = seen.algorithm == Some(Algorithm::RsaSha1);
            let result = if is_sha1 { Policy } else { result };
            assert_eq!((seen.result, failed_step(&seen)), (result, Some(step)), "{from} → {to}");
        }
    }
}

#[test]
fn what_a_relaxed_signature_forgives() {
    for (from, to) in [
        ("Subject: Is dinner ready?", "SUBJECT:  Is\r\n\tdinner ready? "),
        ("Hi.\r\n", "Hi. \t\r\n"),
        ("We lost", "We \t lost"),
        ("Joe.\r\n", "Joe."),
        ("Joe.\r\n", "Joe.\r\n\r\n \r\n\r\n"),
        ("From: Joe", "Received: by x; y\r\nFrom: Joe"),
    ] {
        let message = vector().replace(from, to);
        assert!(message != vector());
        for seen in check(&message, &vector_dns()) {
            assert_eq!(seen.result, DkimResult::Pass, "{to:?}: {:?}", seen.reason());
        }
    }
}

#[test]
fn every_fault_of_a_key_record_is_told_apart() {
    use DkimResult::*;
    let name = "test._domainkey.football.example.com";
    let (_, good) = VECTOR_KEYS.lines().filter_map(|l| l.split_once(' ')).nth(1).unwrap();
    let key = good.split("p=").nth(1).unwrap();
    for (record, result, says) in [
        (good.to_owned(), Pass, ""),
        (format!("p={key}"), Pass, ""),
        (format!("v=DKIM1; s=email:other; t=y; h=sha1:sha256; n=x y; p={key};"), Pass, ""),
        (format!("v=DKIM1; t=s; p={key}"), Pass, ""),
        (format!("v=DKIM2; p={key}"), PermError, "v="),
        (format!("p={key}; v=DKIM1"), PermError, "v="),
        ("v=DKIM1; p=".to_owned(), PermError, "revoked"),
        ("v=DKIM1; k=rsa".to_owned(), PermError, "no p="),
        (format!("v=DKIM1; k=dsa; p={key}"), PermError, "k=dsa"),
        (format!("v=DKIM1; k=ed25519; p={key}"), PermError, "valid Ed25519"),
        ("v=DKIM1; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=".to_owned(), PermError, "RSA"),
        (format!("v=DKIM1; h=sha1; p={key}"), PermError, "h="),
        (format!("v=DKIM1; s=tlsrpt; p={key}"), PermError, "s="),
        ("v=spf1 -all".to_owned(), PermError, "v="),
    ] {
        let mut dns = Table::new();
        dns.txt(name, &record);
        let seen = check(&vector(), &dns).remove(1);
        assert_eq!(seen.result, result, "{record}");
        let reason = seen.reason().map(ToString::to_string).unwrap_or_default();
        assert!(reason.contains(says), "{record}: {reason}");
        if result != Pass {
            assert_eq!(failed_step(&seen), Some(StepKind::KeyRecord));
        }
    }
    let mut dns = Table::new();
    dns.fail(name, RecordType::Txt, DnsError::Timeout);
    let results = check(&vector(), &dns);
    assert_eq!((results[0].result, results[1].result), (PermError, TempError));
}

#[test]
fn of_several_keys_at_a_selector_any_may_have_signed() {
    let other = PrivateKey::generate(Algorithm::RsaSha256).unwrap();
    let other = PrivateKey::from_pem(&other).unwrap().record_text();
    let noise = ["site-verification=1", "v=DKIM1; p=", "v=DKIM1; k=rsa; p=AAAA", &other];
    let records: Vec<(&str, &str)> =
        VECTOR_KEYS.lines().filter_map(|line| line.split_once(' ')).collect();
    for ours_first in [true, false] {
        let mut dns = Table::new();
        for (name, ours) in &records {
            let mut texts = vec![noise[3], noise[0], noise[1]];
            texts.insert(if ours_first { 0 } else { 3 }, ours);
            for text in texts {
                dns.txt(name, text);
            }
        }
        for seen in check(&vector(), &dns) {
            assert_eq!((seen.result, seen.reason()), (DkimResult::Pass, None), "{ours_first}");
        }
    }
    // None of them is the signer's.
    let mut dns = Table::new();
    for (name, _) in &records {
        noise.iter().for_each(|text| {
            dns.txt(name, text);
        });
    }
    let results = check(&vector(), &dns);
    let seen: Vec<_> = results.iter().map(|one| (one.result, failed_step(one))).collect();
    assert_eq!(
        seen,
        [
            (DkimResult::PermError, Some(StepKind::KeyRecord)),
            (DkimResult::Fail, Some(StepKind::HeaderHash)),
        ]
    );
}

#[test]
fn a_key_that_asks_for_the_exact_domain_refuses_subdomains() {
    let mut dns = Table::new();
    let (_, good) = VECTOR_KEYS.lines().filter_map(|l| l.split_once(' ')).nth(1).unwrap();
    let record = good.replace("v=DKIM1;", "v=DKIM1; t=s;");
    dns.txt("test._domainkey.football.example.com", &record);
    let message = vector().replace("i=@football", "i=x@team.football");
    let seen = check(&message, &dns).remove(1);
    assert_eq!(
        (seen.result, failed_step(&seen)),
        (DkimResult::PermError, Some(StepKind::KeyRecord))
    );
}

fn signing_keys() -> (Vec<SigningKey>, Table) {
    let mut dns = Table::new();
    let algorithms = [("rsa1", Algorithm::RsaSha256), ("ed1", Algorithm::Ed25519Sha256)];
    let keys = algorithms.map(|(selector, algorithm)| {
        let pem = PrivateKey::generate(algorithm).unwrap();
        let key = PrivateKey::from_pem(&pem).unwrap();
        dns.txt(&format!("{selector}._domainkey.example.com"), &key.record_text());
        SigningKey { domain: "example.com".to_owned(), selector: selector.to_owned(), key }
    });
    (keys.into(), dns)
}

fn signed(
    keys: &[SigningKey],
    message: &str,
    form: Canonicalization,
    body: Canonicalization,
) -> String {
    let header = Header::parse(message.as_bytes()).unwrap();
    let mut hasher = BodyHasher::new(body);
    hasher.update(header.body());
    let body = hasher.finish();
    let time = SigningTime { signed_at: NOW - 5, expires_at: Some(NOW + 5) };
    let mut out = Vec::new();
    for key in keys {
        out.extend(sign(key, header.fields(), form, &body, time).unwrap());
    }
    assert!(out.split(|b| *b == b'\n').all(|line| line.len() <= 79));
    String::from_utf8(out).unwrap() + message
}

const FORMS: [Canonicalization; 2] = [Canonicalization::Simple, Canonicalization::Relaxed];

#[test]
fn our_signatures_verify_in_every_form_over_hard_bodies() {
    let (keys, dns) = signing_keys();
    let header = "From: Ann <ann@example.com>\r\nTo: bo@example.net,\r\n\tcy@example.net\r\n\
                  SUBJECT : a  b \r\nX: y\r\nList-Id: <l.example.com>\r\n";
    let long = format!("\r\n{}\r\n", "x ".repeat(600));
    for body in
        ["", "\r\n", "\r\n\r\n\r\n", "\r\na", "\r\na \t\r\n \r\n", "\r\né\u{1f986}\r\n.\r\n", &long]
    {
        for header_form in FORMS {
            for body_form in FORMS {
                let message = signed(&keys, &format!("{header}{body}"), header_form, body_form);
                let results = check(&message, &dns);
                assert_eq!(results.len(), 2);
                for seen in results {
                    assert_eq!(seen.result, DkimResult::Pass, "{body:?} {:?}", seen.steps);
                    assert_eq!(seen.identity, "@example.com");
                }
            }
        }
    }
}

#[test]
fn signed_fields_can_be_neither_changed_nor_added() {
    let (keys, dns) = signing_keys();
    let message = "From: ann@example.com\r\nSubject: x\r\n\r\nbody\r\n";
    let message = signed(&keys, message, Canonicalization::Relaxed, Canonicalization::Relaxed);
    let names = [
        "From",
        "To",
        "Cc",
        "Subject",
        "Date",
        "Message-ID",
        "Reply-To",
        "MIME-Version",
        "Content-Type",
        "Content-Transfer-Encoding",
        "Sender",
    ];
    for name in names {
        for place in ["DKIM-Signature: v=1; a=rsa", "Subject: x"] {
            let changed = message.replacen(place, &format!("{name}: added\r\n{place}"), 1);
            for seen in check(&changed, &dns) {
                assert_eq!(failed_step(&seen), Some(StepKind::HeaderHash), "{name}");
            }
        }
    }
    assert_eq!(
        sign(
            &keys[0],
            Header::parse(b"To: a@b.example\r\n").unwrap().fields(),
            Canonicalization::Relaxed,
            &BodyHasher::new(Canonicalization::Relaxed).finish(),
            SigningTime { signed_at: NOW, expires_at: None },
        ),
        Err(SignError::NoFrom)
    );
}

#[test]
fn a_signature_over_part_of_the_body_passes_and_tells_what_it_leaves_open() {
    let (keys, dns) = signing_keys();
    let partial = |body: &str, length: &str| {
        let message = "From: ann@example.com\r\n\r\nbody\r\n";
        let header = Header::parse(message.as_bytes()).unwrap();
        let mut hasher = BodyHasher::new(Canonicalization::Relaxed);
        hasher.update(header.body());
        let body_hash = hasher.finish();
        // A foreign signer's l= is imitated by a selector that carries it along.
        let mut text = String::from("DKIM-Signature: v=1; a=ed25519-sha256; c=relaxed/relaxed; ");
        text.push_str(&format!("d=example.com; s=ed1; h=From; l={length}; bh="));
        text.push_str(&puerto_smtp::base64::encode(&body_hash.sha256));
        text.push_str("; b=");
        let mut octets = b"from:ann@example.com\r\n".to_vec();
        octets.extend(text.replace("DKIM-Signature: ", "dkim-signature:").into_bytes());
        let value = keys[1].key.sign(&octets).unwrap();
        text.push_str(&puerto_smtp::base64::encode(&value));
        format!("{text}\r\nFrom: ann@example.com\r\n\r\n{body}")
    };
    for (body, length, result, open) in [
        ("body\r\n", "6", DkimResult::Pass, 0),
        ("body\r\nadded\r\n", "6", DkimResult::Pass, 7),
        ("body\r\n", "7", DkimResult::Fail, 0),
        ("body\r\n", "-1", DkimResult::PermError, 0),
        ("body\r\n", &"9".repeat(76), DkimResult::Fail, 0),
        ("body\r\n", &"9".repeat(77), DkimResult::PermError, 0),
    ] {
        let seen = check(&partial(body, length), &dns).remove(0);
        assert_eq!(seen.result, result, "{body:?} l={length}: {:?}", seen.reason());
        assert_eq!(seen.octets_not_signed, open, "{body:?} l={length}");
    }
}

#[test]
fn only_so_many_signatures_are_checked() {
    let message = "DKIM-Signature: v=1\r\n".repeat(5000) + &vector();
    let results = check(&message, &vector_dns());
    assert_eq!(results.len(), 5002);
    assert!(results.iter().all(|seen| seen.result == DkimResult::PermError));
}

#[test]
fn hostile_lists_cost_no_more_than_their_length() {
    let names = " x :".repeat(10_000);
    let fields = "x:y\r\n".repeat(15_000);
    let message = fields + &vector().replace("h=from :", &format!("h={names} from :"));
    let results = check(&message, &vector_dns());
    assert_eq!(results.len(), 2);
    for seen in results {
        assert_eq!(failed_step(&seen), Some(StepKind::HeaderHash));
    }
    let tags: String = (0..600_000).map(|n| format!("t{n}=;")).collect();
    let message = vector().replace("v=1;", &format!("v=1;{tags}"));
    assert_eq!(check(&message, &vector_dns()), []);
    let tags: String = (0..10_000).map(|n| format!("t{n}=;")).collect();
    let message = vector().replace("v=1;", &format!("v=1;{tags}"));
    let results = check(&message, &vector_dns());
    assert_eq!(results.len(), 2);
    for seen in results {
        assert_eq!(seen.reason(), Some(&Step::Tags(TagError::TooMany(100))));
    }
}

#[test]
fn keys_are_read_or_the_mistake_is_named() {
    let rsa = PrivateKey::generate(Algorithm::RsaSha256).unwrap();
    let key = PrivateKey::from_pem(&rsa).unwrap();
    assert_eq!((key.algorithm(), key.bits()), (Algorithm::RsaSha256, 2048));
    assert!(key.record_text().starts_with("v=DKIM1; k=rsa; p=MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8A"));
    assert_eq!(PublicKey::parse(&key.record_text()).unwrap().bits, 2048);
    let ed =
        PrivateKey::from_pem(&PrivateKey::generate(Algorithm::Ed25519Sha256).unwrap()).unwrap();
    assert_eq!(ed.record_text().len(), "v=DKIM1; k=ed25519; p=".len() + 44);
    let shown = format!("{key:?}");
    assert_eq!(shown, "PrivateKey(rsa-sha256, 2048 bits)");
    for (text, says) in [
        (String::new(), "no PEM block"),
        (rsa.replace("PRIVATE KEY", "PUBLIC KEY"), "holds a PUBLIC KEY"),
        (rsa.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY"), "holds a ENCRYPTED"),
        (rsa.replace("M", "!"), "not base64"),
        (rsa.replace("PRIVATE KEY", "RSA PRIVATE KEY"), "not a usable"),
        ("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----".to_owned(), "not a usable"),
    ] {
        let error = PrivateKey::from_pem(&text).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    }
}

#[test]
fn keys_of_1024_bits_sign_too() {
    for pem in [
        include_str!("../../tests/data/keys/rsa-1024-pkcs8.pem"),
        include_str!("../../tests/data/keys/rsa-1024-pkcs1.pem"),
    ] {
        let key = PrivateKey::from_pem(pem).unwrap();
        assert_eq!((key.algorithm(), key.bits()), (Algorithm::RsaSha256, 1024));
        let mut dns = Table::new();
        dns.txt("short._domainkey.example.com", &key.record_text());
        let keys =
            [SigningKey { domain: "example.com".to_owned(), selector: "short".to_owned(), key }];
        let relaxed = Canonicalization::Relaxed;
        let message = signed(&keys, "From: a@example.com\r\n\r\nbody\r\n", relaxed, relaxed);
        assert_eq!(check(&message, &dns)[0].result, DkimResult::Pass);
    }
    let too_short = include_str!("../../tests/data/keys/rsa-512.pem");
    assert!(PrivateKey::from_pem(too_short).is_err());
}

#[test]
fn long_records_are_cut_for_zone_files() {
    let text = format!("v=DKIM1; k=rsa; p={}", "A".repeat(392));
    let zone = zone_file_text(&text);
    let strings: Vec<&str> = zone.trim_matches('"').split("\" \"").collect();
    assert_eq!(strings.len(), 2);
    assert!(strings.iter().all(|s| s.len() <= 255));
    assert_eq!(strings.concat(), text);
}

proptest::proptest! {
    #[test]
    fn any_signature_field_gets_a_result(value in "[a-z0-9=;: @/\\r\\n\\t.]{0,80}") {
        let message = format!("DKIM-Signature: v=1; {value}\r\nFrom: a@b.example\r\n\r\nx");
        let _ = check(&message, &vector_dns());
    }
}
