use puerto_mail::dns::{DnsError, RecordType, Table};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufStream};
use tokio::net::TcpListener;

use super::*;
use crate::config::{Login, TlsFiles, TlsLevel};
use crate::lang::Language;
use crate::tls::ServerTls;

mod golden;

const NOW: i64 = 1_795_503_600; // 2026-11-24

/// How a relay behaves.
#[derive(Clone, Copy)]
struct Manners {
    tls: bool,
    refuses: &'static str,
    refusal: &'static str,
}

const GOOD: Manners = Manners { tls: true, refuses: "never", refusal: "550 5.7.1 no" };

async fn relay(manners: Manners) -> (u16, Arc<std::sync::Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let heard = Arc::new(std::sync::Mutex::new(Vec::new()));
    let shared = Arc::clone(&heard);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let heard = Arc::clone(&shared);
            tokio::spawn(async move {
                let mut stream = BufStream::new(stream);
                stream.write_all(b"220 mx.example\r\n").await.unwrap();
                if talk(&mut stream, manners, false, &heard).await {
                    let tls = acceptor().accept(stream.into_inner()).await;
                    let Ok(tls) = tls else { return };
                    talk(&mut BufStream::new(tls), manners, true, &heard).await;
                }
            });
        }
    });
    (port, heard)
}

// Ends with whether a handshake follows.
async fn talk<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut BufStream<S>,
    manners: Manners,
    encrypted: bool,
    heard: &std::sync::Mutex<Vec<String>>,
) -> bool {
    let mut content = false;
    loop {
        stream.flush().await.unwrap();
        let mut line = String::new();
        if stream.read_line(&mut line).await.unwrap_or(0) == 0 {
            return false;
        }
        if content {
            heard.lock().unwrap().push(line.trim_end().to_owned());
            content = line != ".\r\n";
            if !content {
                stream.write_all(b"250 2.0.0 queued\r\n").await.unwrap();
            }
            continue;
        }
        heard.lock().unwrap().push(line.trim_end().to_owned());
        let verb = line.split([' ', ':', '\r']).next().unwrap();
        let reply: &str = match verb {
            _ if line.contains(manners.refuses) => manners.refusal,
            "EHLO" if manners.tls && !encrypted => "250-mx\r\n250 STARTTLS",
            "EHLO" => "250-mx\r\n250-SIZE 10000000\r\n250 AUTH PLAIN",
            "STARTTLS" => "220 go",
            "DATA" => {
                content = true;
                "354 go"
            }
            "QUIT" => "221 bye",
            _ => "250 ok",
        };
        stream.write_all(format!("{reply}\r\n").as_bytes()).await.unwrap();
        stream.flush().await.unwrap();
        if verb == "STARTTLS" {
            return true;
        }
    }
}

fn acceptor() -> tokio_rustls::TlsAcceptor {
    use std::os::unix::fs::PermissionsExt;
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tls");
    // Only the server may read a key.
    let own = tempfile::tempdir().unwrap();
    let key = own.path().join("key");
    std::fs::copy(folder.join("mx.key"), &key).unwrap();
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
    let files = TlsFiles { certificate: folder.join("mx.pem"), key };
    ServerTls::load(Some(&files)).unwrap().acceptor().unwrap().tls
}

fn question(port: u16) -> Question {
    let mut config = Config::for_tests(std::path::Path::new("/nonexistent"));
    config.delivery.allow_private = true;
    config.limits.message_size = 10_000_000;
    Question {
        config,
        next_hop: NextHop::parse(&format!("[mx.example]:{port}")).unwrap(),
        sender: Address::parse("me@example.com").unwrap(),
        recipient: None,
        send_to: None,
        now: NOW,
    }
}

fn table() -> Table {
    let mut table = Table::new();
    table.address("mx.example", "127.0.0.1".parse().unwrap());
    table
}

async fn ask(table: Table, question: Question) -> Report {
    let ca = include_bytes!("../../tests/tls/ca.pem");
    let roots = vec![CertificateDer::from_pem_slice(ca).unwrap()];
    let machine = Machine::fixed(Vec::new(), |_| true, 1);
    test(Arc::new(table), (machine, None), ClientTls::trusting(roots), question).await
}

fn ids(report: &Report) -> Vec<&'static str> {
    report.problems.iter().map(|problem| problem.finding.id).collect()
}

#[tokio::test]
async fn a_relay_that_takes_our_mail_is_shown_whole_and_given_nothing() {
    let (port, heard) = relay(GOOD).await;
    let report = ask(table(), question(port)).await;
    assert_eq!(ids(&report), [""; 0], "{:?}", report.problems);
    let json = report.to_json(Language::English);
    let host = &json["hosts"][0];
    assert_eq!(host["certificate"]["valid"], true);
    assert_eq!(host["certificate"]["chain"][0]["subject"], "mx.example");
    assert_eq!(host["certificate"]["chain"][0]["not_after"], "2126-10-31");
    assert_eq!(host["auth"], serde_json::json!(["PLAIN"]));
    assert_eq!(host["size"], 10_000_000);
    assert_eq!(json["ok"], true);
    let heard = heard.lock().unwrap().join("\n");
    assert!(heard.contains("MAIL FROM:<me@example.com>") && heard.contains("MAIL FROM:<>"));
    assert!(!heard.contains("DATA"), "{heard}");
    assert_eq!(heard.matches("RSET").count(), 2);
    for language in [Language::English, Language::Spanish] {
        let text = show(&report, language);
        assert!(text.contains("Test CA of Buen Puerto") && !text.contains('{'), "{text}");
    }
}

#[tokio::test]
async fn each_fault_has_its_name() {
    for (manners, id) in [
        (Manners { refuses: "MAIL FROM:<me@", ..GOOD }, "relay.sender"),
        (Manners { refuses: "RCPT", ..GOOD }, "relay.sender"),
        (Manners { refuses: "MAIL FROM:<>", ..GOOD }, "relay.null-sender"),
        (Manners { refuses: "LO", ..GOOD }, "relay.unreachable"),
        (Manners { tls: false, ..GOOD }, "relay.no-tls"),
    ] {
        let (port, _) = relay(manners).await;
        let report = ask(table(), question(port)).await;
        assert!(ids(&report).contains(&id), "{id}: {:?}", report.problems);
    }
}

#[tokio::test]
async fn a_certificate_of_another_name_is_seen() {
    let (port, _) = relay(GOOD).await;
    let mut table = table();
    table.address("other.example", "127.0.0.1".parse().unwrap());
    for (level, weight) in
        [(TlsLevel::Opportunistic, Severity::Warning), (TlsLevel::Required, Severity::Error)]
    {
        let mut asked = question(port);
        asked.next_hop = NextHop::parse(&format!("[other.example]:{port}")).unwrap();
        asked.config.delivery.tls = level;
        let report = ask(table.clone(), asked).await;
        assert_eq!(ids(&report), ["relay.certificate"]);
        assert_eq!(report.problems[0].finding.severity, weight);
    }
}

#[tokio::test]
async fn a_bare_name_goes_to_its_mx_and_says_so() {
    let (port, _) = relay(GOOD).await;
    let mut table = table();
    table.mx("example.org", 10, "mx.example");
    table.address("example.org", "192.0.2.9".parse().unwrap());
    let mut asked = question(port);
    asked.next_hop = NextHop::parse(&format!("example.org:{port}")).unwrap();
    let report = ask(table, asked).await;
    assert_eq!(ids(&report), ["relay.mx-differs"]);
    assert_eq!(report.sights[0].address.ip().to_string(), "127.0.0.1");
    assert!(!report.is_wrong());
}

#[tokio::test]
async fn a_name_that_is_its_own_mx_means_the_same_with_and_without_brackets() {
    let (port, _) = relay(GOOD).await;
    let mut table = table();
    table.mx("mx.example", 10, "mx.example");
    // An address that this machine has no way to is none that mail goes to elsewhere.
    table.address("mx.example", "2001:db8::1".parse().unwrap());
    let mut asked = question(port);
    asked.next_hop = NextHop::parse(&format!("mx.example:{port}")).unwrap();
    let machine = Machine::fixed(Vec::new(), |address| address.is_ipv4(), 1);
    let ca = include_bytes!("../../tests/tls/ca.pem");
    let tls = ClientTls::trusting(vec![CertificateDer::from_pem_slice(ca).unwrap()]);
    let report = test(Arc::new(table), (machine, None), tls, asked).await;
    assert_eq!((report.sights.len(), ids(&report)), (1, vec![]), "{:?}", report.problems);
}

#[tokio::test]
async fn nowhere_to_go_is_an_error_or_unknown() {
    let report = ask(Table::new(), question(25)).await;
    assert_eq!(ids(&report), ["relay.route"]);
    let mut silent = Table::new();
    silent.fail("mx.example", RecordType::A, DnsError::Timeout);
    silent.fail("mx.example", RecordType::Aaaa, DnsError::Timeout);
    let report = ask(silent, question(25)).await;
    assert!(report.is_uncertain());
    let text = show(&report, Language::Spanish);
    assert!(text.contains("el DNS no ha respondido a tiempo"), "{text}");
}

#[tokio::test]
async fn a_null_mx_is_a_refusal_and_no_doubt() {
    let mut table = table();
    table.mx("example.org", 0, "");
    let mut asked = question(25);
    asked.next_hop = NextHop::parse("example.org").unwrap();
    let report = ask(table, asked).await;
    assert_eq!(ids(&report), ["relay.route"]);
    assert!(!report.is_uncertain() && show(&report, Language::English).contains("null MX"));
}

#[tokio::test]
async fn one_address_that_answers_is_enough() {
    let (port, _) = relay(GOOD).await;
    let mut table = table();
    table.address("mx.example", "127.0.0.99".parse().unwrap());
    let report = ask(table, question(port)).await;
    assert_eq!(report.sights.len(), 2);
    assert_eq!(ids(&report), ["relay.unreachable"]);
    assert!(!report.is_wrong());
}

#[tokio::test]
async fn a_refusal_says_what_it_means_and_what_to_do_here() {
    for (reply, class, remedy) in [
        ("554 5.7.1 <you@example.net>: Relay access denied", "relay-denied", "relayhost_user"),
        ("530 5.7.0 Authentication required", "auth-required", "relayhost_user"),
    ] {
        let (port, _) = relay(Manners { refuses: "RCPT", refusal: reply, ..GOOD }).await;
        let mut asked = question(port);
        asked.send_to = Some(Address::parse("you@example.net").unwrap());
        let report = ask(table(), asked).await;
        // That the null reverse-path is refused too adds nothing.
        assert_eq!(ids(&report), ["relay.sender"], "{:?}", report.problems);
        let refusal = report.problems[0].refusal;
        assert_eq!(refusal.map(|refusal| refusal.class()), Some(class));
        assert!(report.problems[0].finding.remedy.to_string().contains(remedy));
        assert!(matches!(&report.sent, Some(Sent { outcome: None, .. })), "it was kept back");
        assert_eq!(report.sights[0].granted[0].wish.recipient.to_string(), "you@example.net");
    }
}

#[tokio::test]
async fn a_smaller_size_than_ours_is_a_warning() {
    let (port, _) = relay(GOOD).await;
    let mut asked = question(port);
    asked.config.limits.message_size = 10_000_001;
    let report = ask(table(), asked).await;
    assert_eq!(ids(&report), ["relay.size"]);
    assert!(!report.is_wrong());
}

#[tokio::test]
async fn the_login_is_tried_and_only_at_its_own_relay() {
    let (port, heard) = relay(GOOD).await;
    let folder = tempfile::tempdir().unwrap();
    let password_file = folder.path().join("password");
    std::fs::write(&password_file, "secret\n").unwrap();
    std::fs::set_permissions(&password_file, Permissions::from_mode(0o600)).unwrap();
    let login = Login { user: "me".to_owned(), password_file };
    let mut asked = question(port);
    asked.config.relayhost_login = Some(login);
    let report = ask(table(), asked.clone()).await;
    assert!(report.sights[0].login.is_none());
    assert!(!heard.lock().unwrap().iter().any(|line| line.starts_with("AUTH")));
    asked.config.relayhost = Some(asked.next_hop.clone());
    let report = ask(table(), asked).await;
    assert!(matches!(report.sights[0].login, Some(Ok(()))), "{:?}", report.sights[0].login);
    assert!(!format!("{report:?}").contains("secret"));
}

#[tokio::test]
async fn the_password_is_kept_from_a_key_that_changed() {
    let folder = tempfile::tempdir().unwrap();
    let password_file = folder.path().join("password");
    std::fs::write(&password_file, "secret\n").unwrap();
    std::fs::set_permissions(&password_file, Permissions::from_mode(0o600)).unwrap();
    let another = CertificateDer::from_pem_slice(include_bytes!("../../tests/tls/ca.pem")).unwrap();
    let changed = KnownKeys::default();
    changed.remember("mx.example", &another);
    for (level, keys, wanted, logs_in) in [
        (TlsLevel::Opportunistic, KnownKeys::default(), "relay.certificate", true),
        (TlsLevel::Opportunistic, changed, "relay.key-changed", false),
        (TlsLevel::Required, KnownKeys::default(), "relay.certificate", false),
    ] {
        let (port, heard) = relay(GOOD).await;
        let mut asked = question(port);
        asked.config.relayhost = Some(asked.next_hop.clone());
        let password_file = password_file.clone();
        asked.config.relayhost_login = Some(Login { user: "me".to_owned(), password_file });
        asked.config.delivery.tls = level;
        let machine = Machine::fixed(Vec::new(), |_| true, 1);
        let client_tls = ClientTls::new().knowing(keys);
        let report = test(Arc::new(table()), (machine, None), client_tls, asked).await;
        assert_eq!(ids(&report), [wanted]);
        assert_eq!(report.is_wrong(), !logs_in);
        let heard = heard.lock().unwrap().join("\n");
        assert_eq!(heard.contains("AUTH"), logs_in, "{heard}");
    }
}

#[tokio::test]
async fn a_message_is_sent_only_when_it_is_asked_for() {
    let (port, heard) = relay(GOOD).await;
    let mut asked = question(port);
    asked.send_to = Some(Address::parse("you@example.net").unwrap());
    let folder = tempfile::tempdir().unwrap();
    asked.config.dkim_directory = folder.path().to_owned();
    write_key(folder.path());
    let report = ask(table(), asked).await;
    assert_eq!(ids(&report), [""; 0]);
    assert_eq!(report.to_json(Language::English)["sent"]["accepted"], true);
    assert_eq!(heard.lock().unwrap().iter().filter(|line| *line == "DATA").count(), 1);
    let lines = heard.lock().unwrap().join("\n");
    assert!(lines.contains("DKIM-Signature: v=1; a=ed25519-sha256"), "{lines}");
}

fn write_key(directory: &std::path::Path) {
    use std::os::unix::fs::PermissionsExt;
    let algorithm = puerto_mail::dkim::Algorithm::Ed25519Sha256;
    let pem = puerto_mail::dkim::PrivateKey::generate(algorithm).unwrap();
    let file = directory.join("example.com").join("s1.pem");
    std::fs::create_dir(file.parent().unwrap()).unwrap();
    std::fs::write(&file, pem).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
}
