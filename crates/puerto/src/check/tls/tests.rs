use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use aws_lc_rs::digest;
use puerto_mail::dns::{DnsError, Record, RecordType, block_on};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use super::super::outcome::Status;
use super::super::tests::made::{Made, NOW, troubles};
use super::*;
use crate::config::{Config, TlsFiles};

/// Mail for example.com comes to this server, mail.example.com.
fn world() -> Made {
    let mut made = Made::default();
    made.table.mx("example.com", 10, "mail.example.com");
    made.answer("mail.example.com", [192, 0, 2, 7]);
    made
}

fn config(directory: &Path, certificate: Option<&str>) -> Config {
    let mut config = Config::for_tests(directory);
    config.tls = certificate.map(|name| {
        let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/tls"));
        let key = directory.join("key.pem");
        std::fs::copy(folder.join(format!("{name}.key")), &key).unwrap();
        std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
        TlsFiles { certificate: folder.join("localhost.pem"), key }
    });
    config
}

fn checks(made: &Made, certificate: Option<&str>, now: i64) -> Vec<Check> {
    let directory = tempfile::tempdir().unwrap();
    let config = config(directory.path(), certificate);
    let change = |context: &mut Context<'_, Made>| {
        context.egress_given = false;
        context.now = now;
    };
    made.judge_with(&config, change, |context| block_on(run(context)))
}

fn seen(checks: &[Check], id: &str) -> String {
    checks.iter().find(|check| check.id() == id).map(|check| check.seen.to_string()).unwrap()
}

const ENDS: i64 = 4_949_105_213;

#[test]
fn a_server_that_receives_without_a_certificate_is_told_so() {
    let found = checks(&world(), None, NOW);
    assert_eq!(troubles(&found), ["tls.in-starttls finding warning mail.example.com"]);
}

#[test]
fn a_server_that_does_not_receive_needs_none() {
    let mut made = Made::default();
    made.table.mx("example.com", 10, "mx.example.net");
    made.answer("mx.example.net", [198, 51, 100, 1]);
    let found = checks(&made, None, NOW);
    assert_eq!(troubles(&found), Vec::<String>::new());
    assert!(seen(&found, "tls.in-starttls").contains("mx.example.net"));
}

#[test]
fn a_certificate_is_judged_by_its_end_its_name_and_its_issuer() {
    for (certificate, now, mx, part) in [
        ("localhost", ENDS + 1, "mail.example.com", "it expired"),
        ("localhost", ENDS - 86_400, "mail.example.com", "expires in 1 day,"),
        ("localhost", NOW, "mail.example.com", "no authority"),
        ("localhost", NOW, "mx2.example.com", "does not name mx2.example.com"),
        ("other", NOW, "mail.example.com", "cannot be used with the key"),
    ] {
        let mut made = Made::default();
        made.table.mx("example.com", 10, mx);
        made.answer(mx, [192, 0, 2, 7]);
        let found = checks(&made, Some(certificate), now);
        assert!(seen(&found, "tls.cert").contains(part), "{part}: {found:?}");
        assert_eq!(troubles(&found).len(), 1, "{part}: {:?}", troubles(&found));
    }
}

#[test]
fn a_dns_that_fails_says_nothing_about_who_receives() {
    let mut made = world();
    made.table.fail("example.com", RecordType::Mx, DnsError::Timeout);
    let found = checks(&made, None, NOW);
    assert!(found.iter().all(|check| check.status != Status::Finding), "{found:?}");
}

/// What openssl says of the key of tests/tls/localhost.pem, SHA-256.
fn key_digest() -> Vec<u8> {
    let directory = tempfile::tempdir().unwrap();
    let config = config(directory.path(), Some("localhost"));
    let certificate = OwnCertificate::load(config.tls.as_ref().unwrap()).unwrap();
    let (_, key) = certificate.chain().next().unwrap();
    digest::digest(&digest::SHA256, key.unwrap().as_ref()).as_ref().to_vec()
}

#[test]
fn tlsa_records_must_match_the_certificate_and_be_usable() {
    let right = key_digest();
    let hex: String = right.iter().map(|octet| format!("{octet:02x}")).collect();
    assert_eq!(hex, KEY_DIGEST);
    let name = "_25._tcp.mail.example.com";
    for (usage, data, tlsa, usable) in [
        (3, right.clone(), Status::Pass, Status::Pass),
        (3, vec![7; 32], Status::Finding, Status::Pass),
        (2, right.clone(), Status::Finding, Status::Pass),
        (1, right, Status::Finding, Status::Finding),
    ] {
        let mut made = world();
        made.table.add(name, RecordType::Tlsa, Record::Tlsa(usage, 1, 1, data));
        let found = checks(&made, Some("localhost"), NOW);
        let status = |id| found.iter().find(|check| check.id() == id).unwrap().status;
        assert_eq!((status("dane.tlsa"), status("dane.usage")), (tlsa, usable), "usage {usage}");
    }
}

#[test]
fn what_port_25_shows_must_match_the_tlsa_records() {
    use super::super::starttls::Starttls;
    use crate::lang::Said;
    let der = |file: &str| {
        let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/tls"));
        CertificateDer::from_pem_file(folder.join(file)).unwrap()
    };
    let words = |text: &str| Said::words(text);
    for (usage, shown, status, part) in [
        (3, Ok(vec![der("localhost.pem")]), Status::Pass, "3 1 1"),
        // Renewed on the disk, and not yet shown.
        (3, Ok(vec![der("mx.pem")]), Status::Finding, "no TLSA record of mail.example.com matches"),
        (3, Err(Starttls::NotOffered), Status::Finding, "no STARTTLS"),
        (3, Err(Starttls::Failed(words("454 not now"))), Status::Finding, "454 not now"),
        (3, Err(Starttls::NotTried(words("refused"))), Status::Unknown, "refused"),
        (1, Ok(vec![der("mx.pem")]), Status::NotApplicable, "dane.usage"),
    ] {
        let mut made = world();
        let record = Record::Tlsa(usage, 1, 1, key_digest());
        made.table.add("_25._tcp.mail.example.com", RecordType::Tlsa, record);
        made.certificates = Some(shown);
        let found = checks(&made, Some("localhost"), NOW);
        let check = found.iter().find(|check| check.id() == "dane.shown").unwrap();
        assert_eq!(check.status, status, "{check:?}");
        assert!(check.seen.to_string().contains(part), "{check:?}");
        if status != Status::NotApplicable {
            assert!(check.asked.contains("mail.example.com[192.0.2.7]:25"), "{check:?}");
        }
    }
}

/// A secondary that is right takes the mail, so that nobody notices.
#[test]
fn each_host_that_receives_is_judged_by_its_own_tlsa_records() {
    let mut made = world();
    made.table.mx("example.com", 20, "mx2.example.com");
    made.answer("mx2.example.com", [192, 0, 2, 7]);
    for (host, data) in [("mail", vec![7; 32]), ("mx2", key_digest())] {
        let name = format!("_25._tcp.{host}.example.com");
        made.table.add(&name, RecordType::Tlsa, Record::Tlsa(3, 1, 1, data));
    }
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/tls"));
    let shown = CertificateDer::from_pem_file(folder.join("localhost.pem")).unwrap();
    made.certificates = Some(Ok(vec![shown]));
    let mut found = troubles(&checks(&made, Some("localhost"), NOW));
    found.retain(|one| one.starts_with("dane."));
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found[0].starts_with("dane.tlsa finding") && found[0].ends_with(" mail.example.com"));
    assert!(found[1].starts_with("dane.shown finding") && found[1].ends_with(" mail.example.com"));
}

const KEY_DIGEST: &str = "3b8dfaf1f4a92a0f38f9a69124dd07cd287d5d8fa360f875ff989024decd65a2";

#[test]
fn published_policies_must_be_well_formed_and_are_not_demanded() {
    let mta = "_mta-sts.example.com";
    let rpt = "_smtp._tls.example.com";
    for (name, texts, id, expected) in [
        (mta, &[][..], "mtasts.record", Status::NotApplicable),
        (mta, &["v=STSv1; id=20261124T08;"], "mtasts.record", Status::Pass),
        (mta, &["v=STSv1; id=20261124T08", "other=1"], "mtasts.record", Status::Pass),
        (mta, &["v=STSv1"], "mtasts.record", Status::Finding),
        (mta, &["v=STSv1; id=2026-11-24"], "mtasts.record", Status::Finding),
        (mta, &["v=STSv1; id=1", "v=STSv1; id=2"], "mtasts.record", Status::Finding),
        (mta, &["id=1; v=STSv1"], "mtasts.record", Status::Finding),
        // A wildcard record of the zone.
        (mta, &["v=spf1 -all"], "mtasts.record", Status::NotApplicable),
        (rpt, &[], "tlsrpt.record", Status::NotApplicable),
        (rpt, &["v=TLSRPTv1; rua=mailto:a@example.com"], "tlsrpt.record", Status::Pass),
        (rpt, &["v=TLSRPTv1;rua=https://r.example, mailto:a@b"], "tlsrpt.record", Status::Pass),
        (rpt, &["v=TLSRPTv1; rua=a@example.com"], "tlsrpt.record", Status::Finding),
        (rpt, &["v=TLSRPTv1"], "tlsrpt.record", Status::Finding),
    ] {
        let mut made = world();
        for text in texts {
            made.table.txt(name, text);
        }
        let found = checks(&made, Some("localhost"), NOW);
        let check = found.iter().find(|check| check.id() == id).unwrap();
        assert_eq!(check.status, expected, "{texts:?}: {check:?}");
    }
}
