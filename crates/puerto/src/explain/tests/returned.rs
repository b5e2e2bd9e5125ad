//! Reports that come in later, in the shapes that servers give them.

use std::path::Path;

use crate::explain::{News, returned};

/// What each sample says: file, Message-ID, recipients with news, status and class.
#[test]
fn reports_of_many_servers_are_read() {
    let Some(folder) = samples() else { return };
    for (file, id, about) in [
        ("dsn-01-postfix", 1, &[("nobody@dest.example", News::Refused, "5.1.1")][..]),
        ("dsn-02-exim-report", 2, &[("full@dest.example", News::Refused, "5.2.2")]),
        ("dsn-03-exim-plain-text", 3, &[("gone@dest.example", News::Refused, "")]),
        (
            "dsn-04-qmail-text",
            4,
            &[
                ("nadie@dest.example", News::Refused, "5.1.1"),
                ("otra@away.example", News::Refused, "4.2.2"),
            ],
        ),
        ("dsn-05-exchange-es", 5, &[("persona.inexistente@corp.example", News::Refused, "5.1.10")]),
        ("dsn-06-gmail-like", 6, &[("nosuchuser@custom.example", News::Refused, "5.1.1")]),
        ("dsn-07-german-free-text", 7, &[("kein.mensch@haus.example", News::Refused, "5.1.1")]),
        ("dsn-08-delayed-bilingual", 8, &[("lent@fr.example", News::Late, "4.4.1")]),
        (
            "dsn-09-forwarded-two-recipients",
            9,
            &[
                ("ok@forward.example", News::Delivered, ""),
                ("alias@forward.example", News::Refused, "5.7.1"),
            ],
        ),
        (
            "dsn-10-final-recipient-is-sender",
            10,
            &[("b.3kq7x2m9d4.10@bounce.example.com", News::Refused, "5.2.1")],
        ),
        (
            "dsn-11-utf8-global",
            11,
            &[("m\\x{FC}ller@b\\x{FC}cher.example", News::Refused, "5.1.1")],
        ),
        ("arf-01-complete", 1, &[("reader@bigportal.example", News::Complaint, "")]),
        (
            "arf-02-recipient-anonymised",
            2,
            &[("redacted@consumermail.example", News::Complaint, "")],
        ),
        ("arf-03-headers-only-no-rcpt", 3, &[("", News::Complaint, "")]),
        ("arf-06-cfbl", 6, &[("", News::Complaint, "")]),
    ] {
        let octets = std::fs::read(folder.join(format!("{file}.eml"))).unwrap();
        let found = returned(&String::from_utf8_lossy(&octets)).unwrap_or_else(|| panic!("{file}"));
        let id = format!("3kq7x2m9d4.{id}@example.com");
        assert!(found.message_ids.contains(&id), "{file}: {:?}", found.message_ids);
        let told: Vec<_> = found
            .about
            .iter()
            .map(|one| {
                let status = one.status.map(|status| status.to_string()).unwrap_or_default();
                (one.recipients.first().cloned().unwrap_or_default(), one.news, status)
            })
            .collect();
        let wanted: Vec<_> =
            about.iter().map(|(to, news, s)| ((*to).to_owned(), *news, (*s).to_owned())).collect();
        assert_eq!(told, wanted, "{file}");
    }
}

#[test]
fn answers_of_machines_and_read_receipts_are_no_reports() {
    let Some(folder) = samples() else { return };
    for file in [
        "auto-01-vacation-rfc3834",
        "auto-02-outlook-es",
        "auto-03-no-headers",
        "auto-04-challenge",
        "auto-05-mdn",
        // No report, but a message that somebody attached.
        "arf-04-old-no-feedback-part",
    ] {
        let octets = std::fs::read(folder.join(format!("{file}.eml"))).unwrap();
        assert!(returned(&String::from_utf8_lossy(&octets)).is_none(), "{file}");
    }
}

/// Hostile or broken reports: nothing panics, and little is kept.
#[test]
fn what_a_report_names_is_bounded() {
    let ids = "Message-ID: <x@y>\r\n".repeat(3000);
    let many = (0..3000).fold(String::new(), |all, n| {
        all + &format!(
            "\r\nFinal-Recipient: rfc822; u{n}@x.example\r\nAction: failed\r\nStatus: 5.0.0\r\n"
        )
    });
    let different =
        (0..500).fold(String::new(), |all, n| all + &format!("Message-ID: <{n}@y>\r\n"));
    let text = format!(
        "From: MAILER-DAEMON@x.example\r\nSubject: failure\r\nContent-Type: multipart/report; \
         report-type=delivery-status; boundary=b\r\n\r\n--b\r\nContent-Type: \
         message/delivery-status\r\n\r\nReporting-MTA: dns; x\r\n{many}\r\n--b\r\nContent-Type: \
         text/rfc822-headers\r\n\r\n{different}{ids}\r\n--b--\r\n"
    );
    let found = returned(&text).unwrap();
    assert_eq!(found.about.len(), 20);
    assert!(found.message_ids.len() <= 20);
    for cut in (0..text.len().min(3000)).step_by(7) {
        let _ = returned(text.get(..cut).unwrap_or_default());
    }
}

/// The folder of samples, where the machine has it beside the project.
fn samples() -> Option<std::path::PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(3)?;
    Some(root.join("shared/data/reports")).filter(|folder| folder.is_dir())
}
