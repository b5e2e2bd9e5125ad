//! What is shown, whole, as a page and as JSON in both languages.

use super::*;
use crate::golden;

fn same(name: &str, report: &Report, port: u16) {
    let mut text = String::new();
    for language in [Language::English, Language::Spanish] {
        text += &show(report, language);
        text += &format!("\n{:#}\n\n", report.to_json(language));
    }
    // The system gives every listener another.
    golden::same(&format!("relay/{name}.txt"), &text.replace(&port.to_string(), "PORT"));
}

#[tokio::test]
async fn what_a_relay_answers() {
    for (name, manners, hop) in [
        ("good", GOOD, "[mx.example]"),
        ("sender", Manners { refuses: "MAIL FROM:<me@", ..GOOD }, "[mx.example]"),
        (
            "denied",
            Manners { refuses: "RCPT", refusal: "554 5.7.1 Relay access denied", ..GOOD },
            "[mx.example]",
        ),
        ("null-sender", Manners { refuses: "MAIL FROM:<>", ..GOOD }, "[mx.example]"),
        ("turned-away", Manners { refuses: "LO", ..GOOD }, "[mx.example]"),
        ("busy", Manners { refuses: "LO", refusal: "421 4.7.0 try later", ..GOOD }, "[mx.example]"),
        ("garbage", Manners { refuses: "MAIL", refusal: "hello", ..GOOD }, "[mx.example]"),
        ("no-tls", Manners { tls: false, ..GOOD }, "[mx.example]"),
        (
            "no-handshake",
            Manners { refuses: "STARTTLS", refusal: "454 no", ..GOOD },
            "[mx.example]",
        ),
        ("other-name", GOOD, "[other.example]"),
        ("mx", GOOD, "example.org"),
        ("address", GOOD, "[127.0.0.1]"),
    ] {
        for level in [TlsLevel::Opportunistic, TlsLevel::Required, TlsLevel::None] {
            if level != TlsLevel::Opportunistic && !matches!(name, "no-tls" | "other-name") {
                continue;
            }
            let (port, _) = relay(manners).await;
            let mut table = table();
            table.address("other.example", "127.0.0.1".parse().unwrap());
            table.mx("example.org", 10, "mx.example");
            table.address("example.org", "192.0.2.9".parse().unwrap());
            let mut asked = question(port);
            asked.next_hop = NextHop::parse(&format!("{hop}:{port}")).unwrap();
            asked.config.delivery.tls = level;
            asked.config.limits.message_size = 10_000_001;
            asked.send_to = Some(Address::parse("you@example.net").unwrap());
            let report = ask(table, asked).await;
            same(&format!("{name}-{level:?}").to_lowercase(), &report, port);
        }
    }
}

#[tokio::test]
async fn what_becomes_of_a_login() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("password");
    std::fs::write(&file, "secret\n").unwrap();
    std::fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
    let missing = std::path::PathBuf::from("/nonexistent/password");
    let another =
        CertificateDer::from_pem_slice(include_bytes!("../../../tests/tls/ca.pem")).unwrap();
    let refused = Manners { refuses: "AUTH", refusal: "535 5.7.8 bad credentials", ..GOOD };
    for (name, manners, password_file, is_trusted) in [
        ("taken", GOOD, &file, true),
        ("unnamed", GOOD, &file, true),
        ("refused", refused, &file, true),
        ("unreadable", GOOD, &missing, true),
        ("no-tls", Manners { tls: false, ..GOOD }, &file, true),
        ("untrusted", GOOD, &file, false),
        ("key-changed", GOOD, &file, false),
    ] {
        let (port, _) = relay(manners).await;
        let mut table = table();
        table.mx("example.org", 10, "mx.example");
        let mut asked = question(port);
        let hop = if name == "unnamed" { "example.org" } else { "[mx.example]" };
        asked.next_hop = NextHop::parse(&format!("{hop}:{port}")).unwrap();
        asked.config.relayhost = Some(asked.next_hop.clone());
        let password_file = password_file.clone();
        asked.config.relayhost_login = Some(Login { user: "me".to_owned(), password_file });
        let keys = KnownKeys::default();
        if name == "key-changed" {
            keys.remember("mx.example", &another);
        }
        let report = if is_trusted {
            ask(table, asked).await
        } else {
            let machine = Machine::fixed(Vec::new(), |_| true, 1);
            test(Arc::new(table), (machine, None), ClientTls::new().knowing(keys), asked).await
        };
        same(&format!("login-{name}"), &report, port);
    }
}

#[tokio::test]
async fn where_there_is_nowhere_to_go() {
    let mut table = Table::new();
    table.mx("null.example", 0, "").mx("mx.example", 10, "gone.example").txt("txt.example", "x");
    table.fail("silent.example", RecordType::A, DnsError::Timeout);
    table.fail("silent.example", RecordType::Aaaa, DnsError::Timeout);
    table.fail("silent.example", RecordType::Mx, DnsError::Failure("SERVFAIL".into()));
    for hop in [
        "null.example",
        "mx.example",
        "[mx.example]",
        "absent.example",
        "txt.example:465",
        "silent.example",
        "[silent.example]:587",
        "[0.0.0.0]:1",
        "smtps://[127.0.0.1]:25",
    ] {
        let mut asked = question(25);
        asked.next_hop = NextHop::parse(hop).unwrap();
        if hop.contains("smtps") {
            // A port that nothing listens at.
            let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
            asked.next_hop.port = Some(free.port());
            let report = ask(table.clone(), asked).await;
            same("nowhere-refused", &report, free.port());
            continue;
        }
        let report = ask(table.clone(), asked).await;
        let name = hop.replace(['[', ']'], "").replace(':', "-");
        let name = if hop.starts_with('[') { format!("brackets-{name}") } else { name };
        same(&format!("nowhere-{name}"), &report, 65_535);
    }
}
