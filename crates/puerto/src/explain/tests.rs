//! Each reply means what it means, in whatever form it is pasted.

use std::collections::BTreeSet;
use std::time::Duration;

use puerto_spool::clock::{Clock as _, SystemClock};

use super::knowledge::Knowledge;
use super::*;

mod forms;
mod letters;
mod notices;
mod own;
mod returned;

fn understood(text: &str) -> Explanation {
    explain(text, None).unwrap_or_else(|| panic!("nothing found in {text}"))
}

/// Replies as servers write them: class, whether it is final, whose problem it is.
const REPLIES: &[(&str, &str, Kind, Whose)] = {
    use Kind::{Permanent as P, Temporary as T};
    use Whose::{Content, Dns, Provider, Recipient, Server};
    &[
        (
            "550 DY-001 Mail rejected by Windows Live Hotmail for policy reasons. We generally do \
             not accept email from dynamic IP's as they are not typically used to deliver \
             unauthenticated SMTP e-mail to an Internet mail server.",
            "ip-dynamic",
            P,
            Server,
        ),
        (
            "550-5.7.26 This mail has been blocked because the sender is unauthenticated.\n\
             550-5.7.26 Gmail requires all senders to authenticate with either SPF or DKIM.\n\
             550 5.7.26 For instructions see https://support.google.com - gsmtp",
            "auth-missing",
            P,
            Dns,
        ),
        (
            "550-5.7.26 Unauthenticated email from example.com is not accepted due to 550-5.7.26 \
             domain's DMARC policy. Please contact the administrator - gsmtp",
            "dmarc-fail",
            P,
            Dns,
        ),
        ("421-4.7.0 Try again later, closing connection. - gsmtp", "rate-limited", T, Server),
        (
            "550 5.7.515 Access denied, sending domain EXAMPLE.COM doesn't meet the required \
             authentication level. Spf= Pass , Dkim= Fail , DMARC= Pass",
            "dkim-fail",
            P,
            Dns,
        ),
        (
            "550 5.7.1 Unfortunately, messages from [192.0.2.1] weren't sent. Please contact your \
             Internet service provider since part of their network is on our block list (S3140).",
            "ip-blocklisted",
            P,
            Server,
        ),
        (
            "421 4.7.0 [TSS04] Messages from 192.0.2.1 temporarily deferred due to unexpected \
             volume or user complaints - 4.16.55.1",
            "rate-limited",
            T,
            Server,
        ),
        (
            "554 5.7.1 Service unavailable; Client host [192.0.2.1] blocked using \
             zen.spamhaus.org; https://www.spamhaus.org/query/ip/192.0.2.1",
            "ip-blocklisted",
            P,
            Server,
        ),
        (
            "554 5.7.1 Service unavailable; Client host [192.0.2.1] blocked using \
             pbl.spamhaus.org",
            "ip-dynamic",
            P,
            Server,
        ),
        ("550 5.1.1 <spam@example.com>: user unknown", "mailbox-unknown", P, Recipient),
        ("552 5.2.2 <spf@example.com>: mailbox full", "mailbox-full", P, Recipient),
        ("450 4.2.0 Greylisted, please come back in 5 minutes", "greylisted", T, Provider),
        ("554 5.7.1 <x@example.net>: Relay access denied", "relay-denied", P, Server),
        (
            "450 4.7.25 Client host rejected: cannot find your hostname, [192.0.2.1]",
            "no-ptr",
            T,
            Server,
        ),
        (
            "550 IP address is dynamically assigned, use your ISP's mail server",
            "ip-dynamic",
            P,
            Server,
        ),
        ("554 5.6.0 Message contains a virus", "content-malware", P, Content),
        ("550 5.7.1 Message rejected as spam", "content-spam", P, Content),
        ("552 5.3.4 Message too big", "message-too-large", P, Content),
        ("550 5.7.23 refused", "spf-fail", P, Dns),
        ("550 5.1.1 go away", "mailbox-unknown", P, Recipient),
        ("451 zzz", "temporary-failure", T, Provider),
        ("599 zzz", "policy", P, Provider),
        (
            "connect to mx.example[192.0.2.1]:25: Connection refused",
            "connection-refused",
            T,
            Provider,
        ),
        (
            "Host or domain name not found. Name service error for name=example.invalid type=MX: \
             Host not found",
            "domain-not-found",
            P,
            Recipient,
        ),
        (
            "Host or domain name not found. Name service error for name=example.net type=MX: Host \
             not found, try again",
            "temporary-failure",
            T,
            Provider,
        ),
    ]
};

#[test]
fn replies_have_their_class() {
    for (reply, class, kind, whose) in REPLIES {
        let found = understood(reply);
        assert_eq!((found.class(), found.kind()), (*class, *kind), "{reply}: {found:?}");
        assert_eq!(found.whose(), *whose, "{reply}: {found:?}");
    }
}

#[test]
fn the_refusal_of_the_course_is_explained() {
    let found = understood(REPLIES[0].0);
    assert_eq!(found.provider(), "outlook");
    assert_eq!(found.check(), Some("ptr.generic"));
    for part in ["dynamic", "PBL"] {
        assert!(found.cause(Language::English).contains(part));
    }
    for part in ["relayhost", "static", "PTR", "PBL"] {
        assert!(found.remedy(Language::English).contains(part), "{part}");
    }
}

#[test]
fn a_reply_is_found_in_whatever_is_pasted() {
    for (name, text) in [
        (
            "Postfix",
            "Nov 24 10:00:00 mx postfix/smtp[1]: 4C1: to=<x@gmail.com>, \
             relay=gmail-smtp-in.l.google.com[192.0.2.1]:25, delay=1, dsn=5.1.1, status=bounced \
             (host gmail-smtp-in.l.google.com[192.0.2.1] said: 550-5.1.1 The email account that \
             you tried to reach does not exist. 550 5.1.1 - gsmtp (in reply to RCPT TO command))",
        ),
        (
            "ours",
            "puerto/smtp[1]: 0A1B2C3D4E5F: to=<x@gmail.com>, \
             relay=gmail-smtp-in.l.google.com[192.0.2.1]:25, dsn=5.1.1, status=bounced (host \
             gmail-smtp-in.l.google.com[192.0.2.1] said: 550 5.1.1 no (in reply to RCPT TO \
             command)); tls: TLSv1.3; why: mailbox full",
        ),
        (
            "Exim",
            "2026-11-24 10:00:00 1abc-0001-AA ** x@gmail.com R=dnslookup T=remote_smtp \
             H=gmail-smtp-in.l.google.com [192.0.2.1] X=TLS1.3: SMTP error from remote mail \
             server after RCPT TO:<x@gmail.com>: 550-5.1.1 The email account\\n550 5.1.1 that you \
             tried to reach does not exist",
        ),
        (
            "JSON",
            r#"{"event":"delivery","relay":"gmail-smtp-in.l.google.com[192.0.2.1]:25","dsn":"5.1.1","status":"bounced","text":"host gmail-smtp-in.l.google.com[192.0.2.1] said: 550 5.1.1 no (in reply to RCPT TO command)"}"#,
        ),
        (
            "notification",
            "From: MAILER-DAEMON\n\nReporting-MTA: dns; mx.example\n\nFinal-Recipient: rfc822; \
             x@gmail.com\nAction: failed\nStatus: 5.1.1\nRemote-MTA: dns; \
             gmail-smtp-in.l.google.com\nDiagnostic-Code: smtp; 550-5.1.1 The email account\n    \
             550 5.1.1 that you tried to reach does not exist\n\nSubject: spam",
        ),
        (
            "qmail",
            "delivery 1: failure: 192.0.2.1_does_not_like_recipient./Remote_host_said:_550_5.1.1_\
             The_email_account_that_you_tried_to_reach_does_not_exist_-_gsmtp/",
        ),
    ] {
        let found = understood(text);
        assert_eq!(found.class(), "mailbox-unknown", "{name}: {found:?}");
        assert_eq!(found.provider(), "gmail", "{name}: {found:?}");
        assert_eq!(found.kind(), Kind::Permanent, "{name}: {found:?}");
    }
}

#[test]
fn other_forms_are_understood_too() {
    for (text, class) in [
        (
            "postfix/smtpd[1]: NOQUEUE: reject: RCPT from unknown[192.0.2.1]: 450 4.7.25 Client \
             host rejected: cannot find your hostname, [192.0.2.1]; from=<a@b.c> to=<d@e.f> \
             proto=ESMTP helo=<x>",
            "no-ptr",
        ),
        (
            "status=deferred (host mx.example[192.0.2.1] refused to talk to me: 421 too many \
             connections)",
            "rate-limited",
        ),
        (
            "status=deferred (connect to mx.example[192.0.2.1]:25: Connection timed out)",
            "connection-refused",
        ),
        (
            "The remote server returned '550 5.1.10 RESOLVER.ADR.RecipientNotFound; not found'",
            "mailbox-unknown",
        ),
        (
            "sm-mta[1]: xyz: to=<a@b.c>, relay=mx.b.c. [192.0.2.1], dsn=5.1.1, stat=User unknown",
            "mailbox-unknown",
        ),
        ("Final-Recipient: rfc822; a@b.c\nAction: failed\nStatus: 5.2.2", "mailbox-full"),
    ] {
        assert_eq!(understood(text).class(), class, "{text}");
    }
}

#[test]
fn the_lines_of_other_servers_are_understood() {
    let ours = "to=<a@b.example>, relay=none, delay=1, dsn=4.4.1, status=deferred";
    for (text, class, kind) in [
        (format!("{ours} (connect to m.example[192.0.2.1]:25: Connection timed out)"), "connection-refused", Kind::Temporary),
        (format!("{ours} (connect to m.example[192.0.2.1]:25: Connection refused)"), "connection-refused", Kind::Temporary),
        (format!("{ours} (lost connection with m.example[192.0.2.1] while sending RCPT TO)"), "connection-refused", Kind::Temporary),
        (format!("{ours} (TLS is required, but was not offered by host m.example[192.0.2.1])"), "tls-required", Kind::Temporary),
        (
            "to=<a@b.example>, relay=none, dsn=4.4.3, status=deferred (Host or domain name not found. Name service error for name=b.example type=MX: Host not found, try again)".to_owned(),
            "temporary-failure",
            Kind::Temporary,
        ),
        (
            "2026-11-24 10:00:00 1abc-0001-AA == a@b.example R=dnslookup T=remote_smtp defer (-44) H=m.example [192.0.2.1]: SMTP error from remote mail server after RCPT TO:<a@b.example>: 451 4.7.1 Greylisted, please try again".to_owned(),
            "greylisted",
            Kind::Temporary,
        ),
        (
            "2026-11-24 10:00:00 1abc-0001-AA ** a@b.example R=dnslookup T=remote_smtp: SMTP error from remote mail server after RCPT TO:<a@b.example>: host m.example [192.0.2.1]: 550 5.1.1 User unknown".to_owned(),
            "mailbox-unknown",
            Kind::Permanent,
        ),
        (
            "sm-mta[1]: xyz: to=<a@b.example>, relay=m.example. [192.0.2.1], dsn=4.0.0, stat=Deferred: 421 Too many connections from your host".to_owned(),
            "rate-limited",
            Kind::Temporary,
        ),
        (
            "delivery 7: deferral: 192.0.2.1_failed_after_I_sent_the_message./Remote_host_said:_452_4.2.2_Mailbox_full/".to_owned(),
            "mailbox-full",
            Kind::Temporary,
        ),
    ] {
        let found = understood(&text);
        assert_eq!((found.class(), found.kind()), (class, kind), "{text}: {found:?}");
    }
}

#[test]
fn each_recipient_of_a_notification_is_explained() {
    let text = "Reporting-MTA: dns; mx.example\n\nFinal-Recipient: rfc822; a@b.example\nAction: \
                failed\nStatus: 5.1.1\nDiagnostic-Code: smtp; 550 5.1.1 User unknown\n\n\
                Final-Recipient: rfc822; c@b.example\nAction: failed\nStatus: 5.2.2\n\
                Diagnostic-Code: smtp; 552 5.2.2 Mailbox full\n";
    let found = explain_each(text, None);
    let said: Vec<_> = found.iter().map(|(to, what)| (to.as_deref(), what.class())).collect();
    let expected =
        [(Some("a@b.example"), "mailbox-unknown"), (Some("c@b.example"), "mailbox-full")];
    assert_eq!(said, expected);
    assert_eq!(explain_each("550 5.1.1 no", None).len(), 1);
}

/// Replies that were written for this test, or seen at large: class (`none` for what is
/// no refusal) and words, and where the words come from (`own`, or a class of source).
#[test]
fn replies_at_large_have_their_class() {
    let mut wrong = Vec::new();
    for line in include_str!("replies.tsv").lines().filter(|line| !line.starts_with('#')) {
        let mut fields = line.splitn(3, '\t');
        let (class, _, reply) =
            (fields.next().unwrap(), fields.next().unwrap(), fields.next().unwrap());
        let reply = reply.replace("\\n", "\n");
        let found = explain(&reply, None);
        if found.map_or("none", |found| found.class()) != class {
            wrong.push(format!("{found:?} for {class}: {reply}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn words_that_say_nothing_are_not_given_a_meaning() {
    for text in ["550 Rejected", "550 5.7.1 Message rejected", "554 Transaction failed", "500 no"] {
        assert!(understood(text).is_general() || text == "500 no", "{text}");
    }
    assert!(
        explain("The minutes of Tuesday; the spam filter question was postponed.", None).is_none()
    );
}

#[test]
fn the_host_tells_whose_words_they_are() {
    let text = "550 5.7.1 user does not exist";
    let by = |host| explain(text, Some(host)).unwrap().provider();
    assert_eq!(by("mx01.mail.icloud.com"), "icloud");
    assert_eq!(by("example-com.mail.protection.outlook.com."), "exchange-online");
    assert_eq!(by("notgoogle.com.example"), "generic");
    assert_eq!(by("evilgoogle.com"), "generic");
}

#[test]
fn success_and_nonsense_are_not_explained() {
    for text in ["", "250 2.0.0 Ok: queued as 1", "hello", "status=sent (250 2.0.0 Ok)"] {
        assert!(explain(text, None).is_none(), "{text}");
    }
    assert!(specific("550 zzz", None).is_none() && specific("", None).is_none());
    assert!(specific("550 5.1.1 zzz", None).is_some());
    let greylisted = |kind| specific("451 4.7.1 Greylisted", None).unwrap().of_kind(kind).clause();
    assert!(greylisted(Kind::Temporary).contains("tried again"));
    assert!(!greylisted(Kind::Permanent).contains("tried again"));
}

#[test]
fn hostile_replies_cost_little() {
    for unit in ["a ", "user ", "header ", "(", "550-5.7.1 ", "\\n", "ofr", "é", "said: 550 "] {
        let text = format!("550 {}", unit.repeat(200_000));
        let began = SystemClock.elapsed();
        let _ = explain(&text, Some(&text));
        let took = SystemClock.elapsed() - began;
        assert!(took < Duration::from_secs(2), "{unit}: {took:?}");
    }
}

/// F4: beside a phrase stands a reply that asked for it.
#[test]
fn rules_stand_one_phrase_a_line() {
    let mut with_reply = 0;
    for file in knowledge::FILES {
        let mut is_phrase = false;
        for line in file.lines() {
            match line {
                "own = [" | "anybodys = [" => is_phrase = true,
                "]" => is_phrase = false,
                _ if is_phrase => {
                    let parsed: toml::Table = toml::from_str(&format!("x = [{line}\n]")).unwrap();
                    assert_eq!(parsed["x"].as_array().unwrap().len(), 1, "{line}");
                    with_reply += usize::from(line.contains("\", # "));
                }
                _ => {}
            }
        }
    }
    assert!(with_reply > 1000, "{with_reply}");
}

#[test]
fn each_rule_has_its_sentences() {
    let knowledge = Knowledge::checked().unwrap();
    let mut ids = BTreeSet::new();
    let mut keys = BTreeSet::new();
    for rule in knowledge.rules() {
        assert!(ids.insert(rule.id.as_str()), "two rules are called {}", rule.id);
        keys.insert(rule.say.as_str());
    }
    for language in [Language::English, Language::Spanish] {
        let texts = text::all(language);
        let known: BTreeSet<&str> = texts.keys().map(String::as_str).collect();
        let missing: Vec<_> = keys.difference(&known).collect();
        assert!(missing.is_empty(), "{language:?} lacks {missing:?}");
        for (key, said) in texts {
            assert!(!said.cause.is_empty() && !said.remedy.is_empty(), "{language:?} {key}");
            assert!(said.cause.ends_with('.') && said.remedy.ends_with('.'), "{language:?} {key}");
            assert!(!said.short.is_empty() && !said.short.ends_with('.'), "{language:?} {key}");
        }
    }
    for (key, said) in text::all(Language::English) {
        assert!(text::all(Language::Spanish).contains_key(key), "{key} has no Spanish");
        let clause = said.clause(Kind::Temporary);
        assert!((1..=120).contains(&clause.len()), "{key}: {}", clause.len());
        // Brackets would end the reason in a Postfix line.
        assert!(clause.is_ascii() && !clause.contains(['\n', '(', ')']), "{key}");
    }
}

#[test]
fn the_collected_replies_have_their_class() {
    let mut wrong = Vec::new();
    let lines = include_str!("collected.tsv").lines().filter(|line| !line.starts_with('#'));
    for line in lines.clone() {
        let fields: Vec<&str> = line.split('\t').collect();
        let [id, class, _, reply] = fields[..] else { panic!("four fields: {line}") };
        let found = explain(&reply.replace("\\n", "\n"), None);
        if found.is_none_or(|found| found.class() != class) {
            wrong.push(format!("{id}: {found:?} for {class}: {reply}"));
        }
    }
    assert_eq!(lines.count(), 344);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The checks of a message, which are `puerto verify`'s.
const OF_A_MESSAGE: &[&str] = &[
    "msg.rfc5322",
    "msg.from-single",
    "msg.from-freemail",
    "msg.message-id",
    "msg.date",
    "msg.to",
    "msg.crlf",
    "msg.line-length",
    "msg.8bit",
    "msg.header-size",
    "msg.size",
    "msg.attachments",
    "msg.url-blocklist",
    "msg.mime",
    "msg.list-unsubscribe",
    "msg.list-unsubscribe-signed",
    "msg.unsubscribe-endpoint",
    "msg.auto-submitted",
    "msg.feedback-id",
    "msg.precedence",
    "msg.dkim-verify",
    "msg.envelope-match",
];

#[test]
fn each_check_that_a_rule_names_exists() {
    // The document of the checks names those that are made and those that are left out.
    let checks = include_str!("../../../../docs/checks.md");
    for rule in Knowledge::checked().unwrap().rules() {
        if let Some(check) = rule.check.as_deref() {
            let known = OF_A_MESSAGE.contains(&check) || checks.contains(&format!("`{check}`"));
            assert!(known, "{}: there is no {check}", rule.id);
        }
    }
}

#[test]
fn the_check_is_the_one_that_finds_the_cause() {
    for (reply, check) in [
        ("550 SPF PermError: too many DNS lookups", "spf.lookups"),
        ("550 5.7.23 SPF validation failed: [example.com] has no SPF record.", "spf.exists"),
        ("550 5.7.24 SPF validation error: [example.com] = permerror", "spf.syntax"),
        ("550 5.7.25 [2001:db8::1] has no name in the DNS (PTR)", "ptr.v6"),
        ("550 5.7.25 [192.0.2.1] has no name in the DNS (PTR)", "ptr.exists"),
        ("550 5.7.20 DKIM = permerror (the key record's p= is malformed)", "dkim.syntax"),
        ("550 5.7.24 Multiple SPF records found", "spf.single"),
        ("550 example.com has no SPF record", "spf.exists"),
        ("550 5.7.1 SPF check failed for 192.0.2.1", "spf.covers-ip"),
        ("550 DKIM check failed: key not found in DNS", "dkim.record-exists"),
        ("550 5.7.20 DKIM signature body hash mismatch", "dkim.selftest"),
        ("550 5.7.20 DKIM key too short", "dkim.key-size"),
        ("554 5.7.5 Permanent error evaluating DMARC policy", "dmarc.syntax"),
        ("550 EHLO name does not resolve", "helo.resolves"),
        ("504 <x>: Helo command rejected: need fully-qualified hostname", "helo.fqdn"),
        ("521 5.5.2 Error: bare <LF> received", "msg.crlf"),
        ("550 message has lines too long for transport", "msg.line-length"),
        ("550 rejected because 192.0.2.1 is in a black list at bl.spamcop.net", "bl.spamcop"),
        ("550 rejected because 192.0.2.1 is in a black list at bl.example.org", "bl.other"),
        ("550 192.0.2.1 is in a black list at zen.spamhaus.org", "bl.spamhaus-zen"),
        ("550 blocked using dbl.spamhaus.org", "bl.spamhaus-dbl"),
    ] {
        assert_eq!(understood(reply).check(), Some(check), "{reply}: {:?}", understood(reply));
    }
}

#[test]
fn a_providers_host_is_known_by_its_end() {
    for (host, provider) in [
        ("in1-smtp.messagingengine.com", "fastmail"),
        ("smtpin.rzone.de", "strato"),
        ("mx1.mail.ovh.net", "ovh"),
        ("mx.serviciodecorreo.es.", "arsys"),
        ("MX1.MAILBOX.ORG", "mailbox.org"),
        ("mx1.example.org", "generic"),
    ] {
        assert_eq!(explain("550 5.1.1 no", Some(host)).unwrap().provider(), provider, "{host}");
    }
}

#[test]
fn of_what_is_given_up_it_is_never_said_that_it_is_tried_again() {
    let promises = ["tried again", "retried", "reintenta", "follow separately", "by itself within"];
    for rule in Knowledge::checked().unwrap().rules() {
        for language in [Language::English, Language::Spanish] {
            let said = text::of(language, &rule.say);
            for text in [said.remedy(Kind::Permanent), said.clause(Kind::Permanent)] {
                let promise = promises.iter().find(|words| text.contains(*words));
                assert_eq!(promise, None, "{}: {text}", rule.id);
            }
        }
    }
}

#[test]
fn what_became_of_the_message_counts_more_than_the_digit() {
    let relay = "relay=mx.example[192.0.2.1]:25, delay=1";
    for (text, kind) in [
        // A greeting that refuses is asked again (RFC 5321 §3.1), and so is what a queue keeps.
        (format!("to=<a@b.c>, {relay}, dsn=4.0.0, status=deferred (host mx.example[192.0.2.1] refused to talk to me: 554 mx.example no service)"), Kind::Temporary),
        (format!("to=<a@b.c>, {relay}, dsn=5.7.1, status=deferred (host mx.example[192.0.2.1] said: 550 5.7.1 blocked (in reply to MAIL FROM command))"), Kind::Temporary),
        (format!("to=<a@b.c>, {relay}, dsn=5.4.7, status=bounced (host mx.example[192.0.2.1] said: 451 4.7.1 Greylisted (in reply to RCPT TO command))"), Kind::Permanent),
        (r#"{"event":"delivery","dsn":"5.7.1","status":"deferred","code":550,"text":"550 5.7.1 no"}"#.to_owned(), Kind::Temporary),
        ("Final-Recipient: rfc822; a@b.c\nAction: delayed\nStatus: 4.4.1\nDiagnostic-Code: smtp; 550 5.7.1 blocked".to_owned(), Kind::Temporary),
        ("Final-Recipient: rfc822; a@b.c\nAction: failed\nStatus: 4.4.7\nDiagnostic-Code: smtp; 451 4.7.1 Greylisted".to_owned(), Kind::Permanent),
        ("2026-11-24 10:00:00 1abc-0001-AA == a@b.example R=r T=t defer (0): 550 5.7.1 blocked".to_owned(), Kind::Temporary),
        ("550 5.7.1 blocked".to_owned(), Kind::Permanent),
    ] {
        assert_eq!(understood(&text).kind(), kind, "{text}");
    }
}

#[test]
fn what_a_relay_says_to_whom_logs_in_is_told_as_what_it_is() {
    let lines = include_str!("tests/relays.tsv").lines().filter(|line| !line.starts_with('#'));
    let mut wrong = Vec::new();
    for (say, reply) in lines.filter_map(|line| line.split_once('\t')) {
        let found = understood(reply);
        if found.rule.say != say {
            wrong.push(format!("{say} for {reply}: {found:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let own = understood("connect to mx.example[192.0.2.1]:25: Cannot assign requested address");
    assert_eq!((own.whose(), own.rule.say.as_str()), (Whose::Server, "own-address"));
}

#[test]
fn an_ordinary_letter_is_no_refusal() {
    let header = "From: Ana <ana@example.net>\nTo: luis@example.com\nSubject: Tuesday\n\n";
    for body in [
        "My mailbox is full of spam again, and the user unknown to me keeps writing.",
        "I got 550 5.1.1 User unknown when I wrote to Eva; do you have her address?",
        "The quota exceeded our hopes.",
    ] {
        assert!(explain(&format!("{header}{body}"), None).is_none(), "{body}");
        assert!(explain_each(&format!("{header}{body}"), None).is_empty(), "{body}");
    }
    assert!(explain("my mailbox is full of spam again", None).is_none());
    assert!(explain("Your mailbox is full", None).is_some());
    assert!(explain("Mailbox is full", None).is_some());
}

#[test]
fn the_words_behind_a_code_that_smtp_does_not_know_are_no_verdict() {
    for reply in
        ["650 5.1.1 no such user", "000 no such user", "199 user unknown", "999-no such user"]
    {
        let attempt =
            format!("host mx.example[192.0.2.1] said: {reply} (in reply to RCPT TO command)");
        for text in [reply, &attempt] {
            assert!(explain(text, None).is_none(), "{text}");
        }
    }
    assert!(explain("550 no such user", None).is_some());
}
