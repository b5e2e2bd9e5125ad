//! What a body may hold: octets and lines that no other server has to take.

use super::*;

fn spilled(message: &[u8]) -> Content {
    Content::Spilled(Box::new(Spilled(message.to_vec())))
}

fn both(message: &[u8]) -> [Content; 2] {
    [Content::Memory(message.to_vec()), spilled(message)]
}

// Another host of the trusted network, not this machine.
fn relaying() -> Source {
    client(true)
}

fn program_by_smtp() -> Source {
    let Source::Smtp { client, helo, protocol, tls, .. } = client(true) else { unreachable!() };
    let peer = "127.0.0.1:4000".parse().unwrap();
    Source::Smtp { client, peer, helo, protocol, tls, trusted: true, account: None }
}

#[tokio::test]
async fn nuls_are_carried_in_an_encoding_that_can() {
    let rig = Rig::with_keys(&[("example.com", Algorithm::Ed25519Sha256)]);
    let filler = "a line of cron's\r\n".repeat(100_000);
    for source in [local(), relaying(), program_by_smtp()] {
        for (message, body, encoding) in [
            ("Subject: x\r\n\r\na\0b\r\n".to_owned(), "a=00b\r\n", "quoted-printable"),
            (format!("Subject: x\r\n\r\n{filler}a\0b\r\n"), "a=00b\r\n", "quoted-printable"),
            ("Content-Type: a/b\r\n\r\nA\0B\r\n".to_owned(), "QQBCDQo=\r\n", "base64"),
        ] {
            for content in both(message.as_bytes()) {
                let stored = rig.accept_content(&source, envelope(), content).await.unwrap();
                assert!(stored.ends_with(body), "{message:?}");
                let seen = value(&stored, "Content-Transfer-Encoding");
                assert_eq!(seen.as_deref(), Some(encoding));
                assert_eq!(value(&stored, "MIME-Version").as_deref(), Some("1.0"));
                assert_eq!(rig.dkim(&stored)[0].1, DkimResult::Pass);
            }
        }
    }
    let mixed = "Content-Type: multipart/mixed; boundary=b\r\nMIME-Version: 1.0\r\n\r\n--b\r\n\r\na\0b\r\n\
                 --b\r\nContent-Type: text/plain\r\n\r\nc\r\n--b--\r\n";
    for content in both(mixed.as_bytes()) {
        let stored = rig.accept_content(&local(), envelope(), content).await.unwrap();
        let part = "--b\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\na=00b\r\n--b\r\n";
        assert!(stored.contains(part), "{stored}");
        assert_eq!(value(&stored, "Content-Transfer-Encoding"), None);
    }
}

#[tokio::test]
async fn a_nul_in_the_header_is_removed_and_told() {
    let rig = Rig::new();
    for message in [
        "Subject: a\0b\r\nX: y\r\n\r\nbody\r\n",
        "Sub\0ject: ab\r\nX: y\r\n\r\nbody\r\n",
        "From a Tue\r\nSubject: ab\r\nX\0: y\r\n\r\nbody\r\n",
    ] {
        for content in both(message.as_bytes()) {
            let stored = rig.accept_content(&local(), envelope(), content).await.unwrap();
            assert_eq!(value(&stored, "Subject").as_deref(), Some("ab"));
            assert!(stored.ends_with("X: y\r\n\r\nbody\r\n"), "{stored:?}");
        }
    }
    assert!(rig.events.lock().unwrap().iter().any(|event| event.contains("removed 1 NULs")));
}

#[tokio::test]
async fn line_ends_of_ours_are_mended() {
    let rig = Rig::new();
    for message in [
        "Subject: x\nX: y\n\na\nb\n",
        "Subject: x\r\r\nX: y\r\r\n\r\r\na\r\r\nb\r\r\n",
        "Subject: x\r\nX: y\r\n\r\na\nb",
    ] {
        for content in both(message.as_bytes()) {
            let stored = rig.accept_content(&relaying(), envelope(), content).await.unwrap();
            assert!(stored.ends_with("Subject: x\r\nX: y\r\n\r\na\r\nb\r\n"), "{stored:?}");
        }
    }
    let stored = rig.accept(&local(), "Subject: a\rBcc: b\r\n\r\nc\rd\r\n").await.unwrap();
    assert_eq!(value(&stored, "Subject").as_deref(), Some("a Bcc: b"));
    assert!(stored.ends_with("\r\n\r\nc d\r\n"));
}

#[tokio::test]
async fn long_lines_are_never_a_reason_to_refuse_ours() {
    let rig = Rig::with_keys(&[("example.com", Algorithm::Ed25519Sha256)]);
    let (long, filler) = ("é".repeat(900), "line\r\n".repeat(1_500_000));
    for message in [
        format!("\r\n{long}\r\n{filler}"),
        format!("Content-Type: multipart/signed; boundary=b\r\n\r\n--b\r\n\r\n{long}\r\n--b--\r\n"),
        format!(
            "Content-Type: multipart/report; boundary=b\r\n\r\n{long}\r\n--b\r\nContent-Type: message/delivery-status\r\n\r\nX: {long}\r\n--b--\r\n"
        ),
        format!("Content-Type: multipart/mixed\r\n\r\n{long}\r\n"),
        format!("Content-Type: message/rfc822\r\n\r\nSubject: y\r\n\r\n{long}\r\n"),
        format!("Content-Transfer-Encoding: x-uuencode\r\n\r\n{long}\r\n"),
    ] {
        for source in [local(), relaying()] {
            let stored = rig.accept(&source, &message).await.unwrap();
            assert_eq!(rig.dkim(&stored)[0].1, DkimResult::Pass);
            let longest = puerto_mail::message::scan(stored.as_bytes()).longest_line;
            assert_eq!(longest > 998, message.contains("signed"), "{longest}");
        }
    }
}

#[tokio::test]
async fn what_anothers_signature_covers_is_passed_on() {
    let rig = Rig::new();
    for signature in ["DKIM-Signature: v=1; d=b.example", "ARC-Seal: i=1"] {
        for line in ["é".repeat(900), "a\0b".to_owned(), "é".to_owned()] {
            let body = format!("\r\n\r\n{line}\r\n");
            let message = format!("From: a@b.example\r\n{signature}{body}");
            for source in [local(), relaying(), program_by_smtp()] {
                let stored = rig.accept(&source, &message).await.unwrap();
                assert!(stored.ends_with(&body), "{stored}");
                assert_eq!(value(&stored, "Content-Transfer-Encoding"), None);
                assert_eq!(value(&stored, "MIME-Version"), None);
            }
        }
    }
}

#[tokio::test]
async fn long_lines_of_strangers_are_taken_as_they_are() {
    let rig = Rig::new();
    for message in [
        format!("From: a@b.example\r\n\r\n{}\r\n", "x".repeat(5000)),
        format!("From: a@b.example\r\nContent-Type: text/plain\r\n\r\né{}\r\n", "x".repeat(999)),
    ] {
        let stored = rig.accept(&client(false), &message).await.unwrap();
        assert!(stored.ends_with(&message));
    }
}

#[tokio::test]
async fn what_a_mime_header_lacks_is_added_at_any_size() {
    let rig = Rig::new();
    let filler = "ascii\r\n".repeat(400_000);
    for (message, added) in [
        ("Subject: x\r\n\r\nñ\r\n", "MIME-Version|Content-Type|Content-Transfer-Encoding"),
        ("Content-Type: text/html\r\n\r\na\r\n", "MIME-Version"),
        ("Content-Type: text/html\r\n\r\nñ\r\n", "MIME-Version|Content-Transfer-Encoding"),
        ("Content-Transfer-Encoding: 8bit\r\n\r\nñ\r\n", "MIME-Version"),
        ("MIME-Version: 1.0\r\n\r\nñ\r\n", "Content-Type|Content-Transfer-Encoding"),
        ("MIME-Version: 1.0\r\nContent-Type: text/x\r\n\r\na\r\n", ""),
        ("Subject: x\r\n\r\na\r\n", ""),
    ] {
        for source in [local(), program_by_smtp()] {
            for message in [message.to_owned(), format!("{message}{filler}")] {
                for content in both(message.as_bytes()) {
                    let stored = rig.accept_content(&source, envelope(), content).await.unwrap();
                    let names = ["MIME-Version", "Content-Type", "Content-Transfer-Encoding"];
                    for name in names {
                        let had = usize::from(message.starts_with(name));
                        let wanted = had + usize::from(added.split('|').any(|n| n == name));
                        let header = Header::parse(stored.as_bytes()).unwrap();
                        assert!(header.count(name) >= wanted.min(1), "{name} {message}");
                        assert!(header.count(name) <= 1);
                    }
                }
            }
        }
        let passed_on = rig.accept(&relaying(), message).await.unwrap();
        assert!(passed_on.ends_with(message));
    }
    let latin = [b"Subject: x\r\n\r\n\xf1\r\n".as_slice(), filler.as_bytes()].concat();
    let id = rig.intake.new_id();
    rig.intake.accept(id, &local(), envelope(), spilled(&latin)).await.unwrap();
    let mut stored = Vec::new();
    rig.spool.content(id).wait().unwrap().read_to_end(&mut stored).unwrap();
    let header = Header::parse(&stored).unwrap();
    let content_type = header.first("Content-Type").unwrap().text();
    assert_eq!(content_type, "text/plain; charset=windows-1252");
}

#[tokio::test]
async fn a_header_of_any_length_is_taken_from_ours() {
    let rig = Rig::new();
    for (fields, kept) in [(20_000, 20_000), (200_000, 0)] {
        let lines: String = (0..fields).map(|n| format!("X-Field-{n:06}: value\r\n")).collect();
        let message = format!("Subject: x\r\n{lines}\r\nbody\r\n");
        for content in both(message.as_bytes()) {
            let stored = rig.accept_content(&local(), envelope(), content).await.unwrap();
            assert!(stored.ends_with("\r\nbody\r\n"));
            let header = Header::parse(stored.as_bytes()).unwrap();
            assert!(header.fields().len() >= kept);
            let all = stored.matches("X-Field-").count();
            assert_eq!(all, fields, "nothing is lost");
        }
    }
}
