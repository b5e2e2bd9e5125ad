//! Days in seconds: what is counted on one is told after midnight, once, and to whom wants it.

use std::sync::Mutex;

use puerto_mail::dns::{DnsError, Table};
use puerto_spool::clock::ManualClock;
use puerto_spool::memory::MemorySpool;
use puerto_spool::{Desk as _, Timestamp};

use super::*;
use crate::cause::Cause;
use crate::config::TlsLevel;
use crate::intake::{KeyRing, Wake};
use crate::transport::Rule;
use crate::transport::results::Seen;

const DOMAIN: &str = "example.net";
const RECORD: &str = "_smtp._tls.example.net";

/// What was posted: to where, as what.
type Posted = Arc<Mutex<Vec<(String, Vec<u8>)>>>;

struct Rig {
    clock: Arc<ManualClock>,
    results: Results,
    reporter: Reporter<Table>,
    spool: Arc<MemorySpool>,
    posted: Posted,
    _folder: tempfile::TempDir,
}

impl Rig {
    fn new(dns: Table, toml: &str, is_taken: bool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        // Noon, some day in 2026.
        let noon = Timestamp::from_millis((20_000 * DAY + DAY / 2) * 1000);
        let clock = Arc::new(ManualClock::new(noon));
        let any_clock: Arc<dyn Clock> = clock.clone();
        let toml = format!(
            "hostname = \"mail.example.com\"\ndomains = [\"example.com\"]\nstate_dir = \"{}\"\n{toml}",
            folder.path().display()
        );
        let config = Live::new(Config::parse(&toml, "test.toml").unwrap());
        let spool = Arc::new(MemorySpool::new(any_clock.clone()));
        let intake = Intake::new(crate::intake::Context {
            config: config.clone(),
            store: spool.clone(),
            keys: Arc::new(KeyRing::load(&folder.path().join("dkim"))),
            log: MailLog::nowhere(),
            wake: Wake::default(),
            clock: any_clock.clone(),
        });
        let results = Results::in_folder(any_clock.clone(), None, folder.path()).unwrap();
        let posted = Posted::default();
        let seen = Arc::clone(&posted);
        let post: Post = Arc::new(move |place, kind, octets| -> Posting {
            assert_eq!(kind, "application/tlsrpt+gzip");
            seen.lock().unwrap().push((place.to_string(), octets));
            Box::pin(async move { if is_taken { Ok(()) } else { Err("no".to_owned()) } })
        });
        let reporter = Reporter::new(Context {
            config,
            dns: Arc::new(dns),
            results: results.clone(),
            intake: Arc::new(intake),
            log: MailLog::nowhere(),
            clock: any_clock,
            post,
        });
        Self { clock, results, reporter, spool, posted, _folder: folder }
    }

    fn count(&self) {
        let rule = Rule::of_level(TlsLevel::Opportunistic);
        let to = Some([192, 0, 2, 1].into());
        let seen = Seen { rule: &rule, host: "mx.example.net", to, from: None, result: Ok(()) };
        self.results.note(&[DOMAIN], &seen);
        let why = Cause::PlainNotOffered {};
        self.results.note(&[DOMAIN], &Seen { result: Err(&why), ..seen });
    }

    async fn pass(&mut self, hours: u64) {
        self.clock.advance(Duration::from_secs(hours * 3600));
        self.reporter.round().await;
    }

    fn posts(&self) -> usize {
        self.posted.lock().unwrap().len()
    }

    async fn queued(&self) -> u64 {
        self.spool.health().await.unwrap().messages
    }
}

fn wanting(rua: &str) -> Table {
    let mut dns = Table::new();
    dns.txt(RECORD, &format!("v=TLSRPTv1; rua={rua}"));
    dns
}

#[tokio::test]
async fn a_day_is_reported_once_when_it_is_over() {
    let mut rig = Rig::new(wanting("https://r.example/tls"), "", true);
    rig.count();
    rig.pass(11).await;
    assert_eq!(rig.posts(), 0, "the day is not over");
    // Not all at midnight, and within four hours.
    for _hour in 0..5 {
        rig.pass(1).await;
    }
    assert_eq!(rig.posts(), 1);
    rig.pass(24).await;
    assert_eq!(rig.posts(), 1);
    assert!(rig.results.finished().is_empty());
    let (place, octets) = rig.posted.lock().unwrap()[0].clone();
    assert_eq!(place, "https://r.example/tls");
    // A header of ten octets and five of the one block before it, a check sum of eight behind.
    let json: serde_json::Value = serde_json::from_slice(&octets[15..octets.len() - 8]).unwrap();
    assert_eq!(json["date-range"]["start-datetime"], "2024-10-04T00:00:00Z");
    assert_eq!(json["contact-info"], "postmaster@example.com");
    let policy = &json["policies"][0];
    assert_eq!(policy["policy"]["policy-type"], "no-policy-found");
    assert_eq!(policy["policy"]["policy-domain"], DOMAIN);
    assert_eq!(policy["summary"]["total-successful-session-count"], 1);
    assert_eq!(policy["summary"]["total-failure-session-count"], 1);
    assert_eq!(policy["failure-details"][0]["result-type"], "starttls-not-supported");
    assert_eq!(policy["failure-details"][0]["receiving-ip"], "192.0.2.1");
}

#[tokio::test]
async fn what_is_not_taken_is_tried_for_a_day_and_then_let_go() {
    let mut rig = Rig::new(wanting("https://r.example/tls"), "", false);
    rig.count();
    rig.pass(17).await;
    assert_eq!(rig.posts(), 1);
    rig.reporter.round().await;
    assert_eq!(rig.posts(), 1, "it is left alone for an hour");
    rig.pass(1).await;
    assert_eq!(rig.posts(), 2);
    rig.pass(60).await;
    assert_eq!(rig.posts(), 2);
    assert!(rig.results.finished().is_empty());
}

#[tokio::test]
async fn a_report_by_mail_is_never_about_itself() {
    let mut rig = Rig::new(wanting("mailto:tls@example.net"), "", true);
    rig.count();
    rig.pass(17).await;
    assert_eq!((rig.posts(), rig.queued().await), (0, 1));
    assert!(rig.results.finished().is_empty(), "it is forgotten before it is queued");
    rig.pass(24).await;
    assert_eq!(rig.queued().await, 1);
}

#[tokio::test]
async fn who_does_not_want_it_gets_nothing() {
    let mut silent = Table::new();
    silent.fail(RECORD, RecordType::Txt, DnsError::Timeout);
    for (dns, toml, is_kept) in [
        (Table::new(), "", false),
        (wanting("ftp://r.example/"), "", false),
        (silent, "", true),
        (wanting("https://r.example/"), "[delivery]\ntls_reports = false", false),
    ] {
        let mut rig = Rig::new(dns, toml, true);
        rig.count();
        rig.pass(17).await;
        assert_eq!((rig.posts(), rig.queued().await), (0, 0));
        assert_eq!(!rig.results.finished().is_empty(), is_kept, "{toml}");
    }
}

/// Python's gzip reads it as well; this is what RFC 1952 says of it.
#[test]
fn the_packed_form_is_whole_at_every_length() {
    for count in [1, 700] {
        let fault = crate::transport::results::Fault {
            kind: "validation-failure".to_owned(),
            from: None,
            host: Some("mx.example.net".to_owned()),
            to: None,
            reason: "x".repeat(200),
            count: 1,
        };
        let tally = crate::transport::results::Tally {
            day: 20_000,
            domain: DOMAIN.to_owned(),
            kind: crate::transport::results::Kind::Tlsa,
            policy: vec!["3 1 1 00".to_owned()],
            hosts: Vec::new(),
            good: 0,
            bad: count,
            faults: vec![fault; usize::try_from(count).unwrap()],
        };
        let document =
            Document::new(&[tally], (20_000, DOMAIN), ("example.com", "mail.example.com"));
        let packed = document.zipped();
        let (mut at, mut text) = (10, Vec::new());
        loop {
            let length = usize::from(u16::from_le_bytes([packed[at + 1], packed[at + 2]]));
            text.extend(&packed[at + 5..at + 5 + length]);
            at += 5 + length;
            if packed[at - 5 - length] == 1 {
                break;
            }
        }
        assert_eq!(text, document.json().as_bytes());
        assert_eq!(packed[at..at + 4], crc32fast::hash(&text).to_le_bytes());
        assert_eq!(packed.len(), at + 8);
    }
}

/// RFC 8460 §4.4: each member by its name and kind, and none that the standard has not.
#[test]
fn a_report_has_the_members_that_the_standard_names() {
    let fault = crate::transport::results::Fault {
        kind: "certificate-expired".to_owned(),
        from: Some([198, 51, 100, 1].into()),
        host: Some("mx.example.net".to_owned()),
        to: Some([192, 0, 2, 1].into()),
        reason: "tls.certificate-expired".to_owned(),
        count: 2,
    };
    let tally = crate::transport::results::Tally {
        day: 20_000,
        domain: DOMAIN.to_owned(),
        kind: crate::transport::results::Kind::Sts,
        policy: vec!["version: STSv1".to_owned(), "mode: enforce".to_owned()],
        hosts: vec!["*.example.net".to_owned()],
        good: 5,
        bad: 2,
        faults: vec![fault],
    };
    let document = Document::new(&[tally], (20_000, DOMAIN), ("example.com", "mail.example.com"));
    let json: serde_json::Value = serde_json::from_str(document.json()).unwrap();
    let expected = serde_json::json!({
        "organization-name": "example.com",
        "date-range": {
            "start-datetime": "2024-10-04T00:00:00Z",
            "end-datetime": "2024-10-04T23:59:59Z",
        },
        "contact-info": "postmaster@example.com",
        "report-id": "2024-10-04.example.net@mail.example.com",
        "policies": [{
            "policy": {
                "policy-type": "sts",
                "policy-string": ["version: STSv1", "mode: enforce"],
                "policy-domain": "example.net",
                // A list (erratum 6241).
                "mx-host": ["*.example.net"],
            },
            "summary": {
                "total-successful-session-count": 5,
                "total-failure-session-count": 2,
            },
            "failure-details": [{
                "result-type": "certificate-expired",
                "sending-mta-ip": "198.51.100.1",
                "receiving-mx-hostname": "mx.example.net",
                "receiving-ip": "192.0.2.1",
                "failed-session-count": 2,
                "failure-reason-code": "tls.certificate-expired",
            }],
        }],
    });
    assert_eq!(json, expected);
    // §5.1: sender!policy-domain!begin!end.json.gz, in seconds since the epoch.
    let (begin, end) = (20_000 * DAY, 20_001 * DAY - 1);
    let file = format!("example.com!example.net!{begin}!{end}.json.gz");
    assert_eq!(document.file_name(), file);
    // §5.3: the header fields, the subject by its ABNF, and the two parts.
    let to = puerto_smtp::Address::parse("tls@example.net").unwrap();
    let letter = letter::write(&document, &to, "id1", 20_001 * DAY).unwrap();
    let letter = String::from_utf8(letter).unwrap().replace("\r\n ", " ");
    for line in [
        "Subject: Report Domain: example.net Submitter: example.com Report-ID: \
         <2024-10-04.example.net@mail.example.com>",
        "TLS-Report-Domain: example.net",
        "TLS-Report-Submitter: example.com",
        "Content-Type: application/tlsrpt+gzip",
        "Content-Transfer-Encoding: base64",
    ] {
        assert!(letter.lines().any(|has| has == line), "{line}\n{letter}");
    }
    for words in ["multipart/report; report-type=\"tlsrpt\";", &format!("filename=\"{file}\"")] {
        assert!(letter.contains(words), "{words}\n{letter}");
    }
}
