//! Every event in every form, against lines that Postfix's readers know.

use std::time::Duration;

use puerto_smtp::{Address, EnhancedCode, Reply, ReversePath};
use puerto_spool::clock::ManualClock;
use puerto_spool::{MessageId, Timestamp};

use crate::cause::Cause;

use super::*;

fn form(format: LogFormat, lead: Lead) -> Form {
    Form {
        format,
        lead,
        host: "mail".into(),
        colour: false,
        zone: TimeZone::UTC,
        written: Mutex::default(),
    }
}

fn line(form: &Form, event: &Event<'_>) -> String {
    let mut out = String::new();
    let now = "2026-11-04T06:53:50.1239Z".parse().unwrap();
    form.render(&mut out, event, now);
    out.replace(&format!("[{}]", std::process::id()), "[7]")
}

/// Calls a function with one event of each kind, and a name for it.
fn each_event(mut with: impl FnMut(&str, &Event<'_>)) {
    let id = MessageId::from_u64(0xABC_DEF0_1234);
    let named = Client { name: Some("mx.example".into()), address: "192.0.2.1".parse().ok() };
    let unnamed = Client { name: None, address: "::ffff:192.0.2.9".parse().ok() };
    let socket = Client { name: None, address: None };
    let from = ReversePath::parse("<me@example.com>").unwrap();
    let to = Address::parse("you@example.net").unwrap();
    let refusal = Reply::enhanced(554, (5, 7, 1), "Relay access denied");
    let delays = Delays {
        before_queue: Duration::from_millis(10),
        in_queue: Duration::ZERO,
        connection: Duration::from_millis(1234),
        transmission: Duration::from_millis(12_600),
    };
    let reject = |id, stage, reply, from, to| {
        Event::Reject(Reject {
            id,
            stage,
            client: &unnamed,
            reply,
            from,
            to,
            protocol: "ESMTP",
            helo: Some("evil\r\nx"),
        })
    };
    let cause = Cause::words("");
    let attempt = |status, status_code, text, tls, explanation| {
        Event::Delivery(Delivery {
            cause: &cause,
            code: Some(250),
            next: (status == DeliveryStatus::Deferred)
                .then_some(Timestamp::from_millis(1_795_500_000_000)),
            id,
            component: "smtp",
            to: &to,
            relay: "mx.example.net[192.0.2.7]:25",
            delay: Duration::from_millis(13_840),
            delays,
            status_code,
            status,
            text,
            tls,
            tls_reason: None,
            explanation,
        })
    };
    let code = EnhancedCode::new;
    with("connect", &Event::Connect { client: &named });
    with("connect-unix", &Event::Connect { client: &socket });
    let commands = [("ehlo", 1, 1), ("rcpt", 2, 3), ("quit", 1, 1)];
    with("disconnect", &Event::Disconnect { client: &named, commands: &commands });
    with("lost", &Event::SessionProblem { client: &named, what: "lost connection after DATA" });
    with("reject", &reject(None, "RCPT", &refusal, Some(&from), Some(&to)));
    let too_big = Reply::enhanced(552, (5, 3, 4), "Message too big");
    with("reject-data", &reject(Some(id), "END-OF-MESSAGE", &too_big, Some(&from), None));
    let (tls, login) = (Some("TLSv1.3 with X, Y"), Some("ana"));
    let (helo, protocol) = ("mx.example", "ESMTPSA");
    with("client", &Event::FromClient { id, client: &named, tls, login, helo, protocol });
    let (no_tls, login) = (None, None);
    with(
        "client-plain",
        &Event::FromClient { id, client: &named, tls: no_tls, login, helo, protocol },
    );
    let (mechanism, why) = ("PLAIN", "wrong password");
    let failed = |client, account| Event::LoginFailed { client, mechanism, account, why };
    with("login-failed", &failed(&named, Some("ana")));
    with("login-failed-unknown", &failed(&unnamed, None));
    let nothing = LocalOrigin::default();
    with("local-user", &Event::FromLocalUser { id, uid: 1000, origin: &nothing, from: &from });
    let origin = shop();
    with("local-program", &Event::FromLocalUser { id, uid: 33, origin: &origin, from: &from });
    each_prepared(&mut with, id, &from);
    with("queued", &Event::Queued { id, from: &from, size: 512, recipients: 2 });
    let tls =
        Encryption { version: "TLSv1.3", cipher: "X".into(), verified: Verified::Certificate };
    let tls = Some(&tls);
    with("sent", &attempt(DeliveryStatus::Sent, code(2, 0, 0), "250 2.0.0 Ok", tls, None));
    let busy =
        "host mx.example.net[192.0.2.7] said: 450 4.2.0 Greylisted (in reply to RCPT TO command)";
    let why = Some("greylisting (normal): it is tried again");
    with("deferred", &attempt(DeliveryStatus::Deferred, code(4, 2, 0), busy, None, why));
    let unknown = "host mx.example.net[192.0.2.7] said: 550 5.1.1 no (in reply to RCPT TO command)";
    with("bounced", &attempt(DeliveryStatus::Bounced, code(5, 1, 1), unknown, tls, why));
    let notification = MessageId::from_u64(0xABC_DEF0_1235);
    let kind = "sender non-delivery notification";
    with("notification", &Event::Notification { id, kind, notification });
    with("removed", &Event::Removed { id });
    with("expired", &Event::Expired { id, from: &ReversePath::Null });
    let notice = |level, id, text| Event::Notice { level, component: "qmgr", id, text };
    with("info", &notice("info", None, "started"));
    with("warning", &notice("warning", Some(id), "odd\u{1b}[2J"));
}

fn each_prepared(with: &mut impl FnMut(&str, &Event<'_>), id: MessageId, from: &ReversePath) {
    let signature =
        Signature { domain: "example.com".into(), selector: "s1".into(), algorithm: "rsa-sha256" };
    let signing = [Signing::With(vec![signature]), Signing::NoKey("example.com".into())];
    let changes = [Change::Added("Date".into()), Change::Nuls(2), Change::Body];
    let prepared = |signing| Prepared {
        id,
        message_id: "<1@example.com>",
        from,
        recipients: &[],
        changes: &changes,
        signing,
    };
    with("message-id", &Event::Prepared(prepared(&signing[0])));
    let unsigned = Prepared { changes: &[], ..prepared(&signing[1]) };
    with("message-id-unsigned", &Event::Prepared(unsigned));
}

fn shop() -> LocalOrigin {
    let parent = |name: &str, pid| Ancestor { name: name.into(), pid };
    let process = Process {
        pid: Some(4711),
        unit: Some("php8.2-fpm.service".into()),
        parents: vec![parent("sh", 4710), parent("php-fpm: a, b", 812)],
    };
    let claims = Claims::of([("script", "/srv/shop/mail.php"), ("executable", "/usr/bin/php")]);
    LocalOrigin { process, claims }
}

fn check(format: LogFormat, expected: &[(&str, &str)]) {
    let form = form(format, Lead::TimeAndHost);
    let mut expected = expected.iter();
    each_event(|name, event| {
        let (expected_name, text) = expected.next().expect(name);
        assert_eq!((name, line(&form, event).trim_end_matches('\n')), (*expected_name, *text));
    });
    assert_eq!(expected.next(), None);
}

#[test]
fn events_read_as_postfix_writes_them() {
    const REPLY: &str = "host mx.example.net[192.0.2.7] said:";
    const DELIVERY: &str = "Nov  4 06:53:50 mail puerto/smtp[7]: 0ABCDEF01234: \
        to=<you@example.net>, \
        relay=mx.example.net[192.0.2.7]:25, delay=14, delays=0.01/0/1.2/13";
    let delivery = |rest: &str| format!("{DELIVERY}, {rest}");
    let sent =
        delivery("dsn=2.0.0, status=sent (250 2.0.0 Ok); tls: TLSv1.3 with cipher X, verified");
    let deferred = delivery(&format!(
        "dsn=4.2.0, status=deferred ({REPLY} 450 4.2.0 Greylisted (in reply to RCPT TO command)); \
         why: greylisting [normal]: it is tried again"
    ));
    let bounced = delivery(&format!(
        "dsn=5.1.1, status=bounced ({REPLY} 550 5.1.1 no (in reply to RCPT TO command)); \
         tls: TLSv1.3 with cipher X, verified; why: greylisting [normal]: it is tried again"
    ));
    let smtpd = |rest: &str| format!("Nov  4 06:53:50 mail puerto/smtpd[7]: {rest}");
    let qmgr = |rest: &str| format!("Nov  4 06:53:50 mail puerto/qmgr[7]: {rest}");
    let reject = smtpd(
        "NOQUEUE: reject: RCPT from unknown[192.0.2.9]: 554 5.7.1 <you@example.net>: Relay access \
         denied; from=<me@example.com> to=<you@example.net> proto=ESMTP helo=<evil??x>",
    );
    let reject_data = smtpd(
        "0ABCDEF01234: reject: END-OF-MESSAGE from unknown[192.0.2.9]: 552 5.3.4 Message too big; \
         from=<me@example.com> proto=ESMTP helo=<evil??x>",
    );
    check(
        LogFormat::Postfix,
        &[
            ("connect", &smtpd("connect from mx.example[192.0.2.1]")),
            ("connect-unix", &smtpd("connect from localhost[unix]")),
            (
                "disconnect",
                &smtpd("disconnect from mx.example[192.0.2.1] ehlo=1 rcpt=2/3 quit=1 commands=4/5"),
            ),
            ("lost", &smtpd("lost connection after DATA from mx.example[192.0.2.1]")),
            ("reject", &reject),
            ("reject-data", &reject_data),
            (
                "client",
                &smtpd(
                    "0ABCDEF01234: client=mx.example[192.0.2.1], sasl_username=ana, \
                     tls=TLSv1.3 with X; Y",
                ),
            ),
            ("client-plain", &smtpd("0ABCDEF01234: client=mx.example[192.0.2.1]")),
            (
                "login-failed",
                &smtpd(
                    "warning: mx.example[192.0.2.1]: SASL PLAIN authentication failed: wrong \
                     password, sasl_username=ana",
                ),
            ),
            (
                "login-failed-unknown",
                &smtpd(
                    "warning: unknown[192.0.2.9]: SASL PLAIN authentication failed: wrong password",
                ),
            ),
            (
                "local-user",
                "Nov  4 06:53:50 mail puerto/pickup[7]: 0ABCDEF01234: uid=1000 \
                 from=<me@example.com>",
            ),
            (
                "local-program",
                "Nov  4 06:53:50 mail puerto/pickup[7]: 0ABCDEF01234: uid=33 \
                 from=<me@example.com>, pid=4711, unit=php8.2-fpm.service, \
                 parents=sh[4710] php-fpm: a; b[812], claimed_executable=/usr/bin/php, \
                 claimed_script=/srv/shop/mail.php",
            ),
            (
                "message-id",
                "Nov  4 06:53:50 mail puerto/cleanup[7]: 0ABCDEF01234: \
                 message-id=<1@example.com>",
            ),
            (
                "message-id-unsigned",
                "Nov  4 06:53:50 mail puerto/cleanup[7]: 0ABCDEF01234: \
                 message-id=<1@example.com>",
            ),
            (
                "queued",
                &qmgr("0ABCDEF01234: from=<me@example.com>, size=512, nrcpt=2 (queue active)"),
            ),
            ("sent", &sent),
            ("deferred", &deferred),
            ("bounced", &bounced),
            (
                "notification",
                "Nov  4 06:53:50 mail puerto/bounce[7]: 0ABCDEF01234: \
                 sender non-delivery notification: 0ABCDEF01235",
            ),
            ("removed", &qmgr("0ABCDEF01234: removed")),
            ("expired", &qmgr("0ABCDEF01234: from=<>, status=expired, returned to sender")),
            ("info", &qmgr("started")),
            ("warning", &qmgr("warning: 0ABCDEF01234: odd?[2J")),
        ],
    );
}

#[test]
fn json_lines_hold_the_same_facts_with_types() {
    let form = form(LogFormat::Json, Lead::TimeAndHost);
    let mut seen = Vec::new();
    each_event(|name, event| {
        let text = line(&form, event);
        let value: serde_json::Value = serde_json::from_str(&text).expect(&text);
        assert_eq!(value["time"], "2026-11-04T06:53:50.123Z");
        assert!(value["event"].is_string() && value["component"].is_string(), "{text}");
        seen.push((name.to_owned(), value));
    });
    let of = |name: &str| &seen.iter().find(|(n, _)| n == name).unwrap().1;
    assert_eq!(of("bounced")["delay"], 13.84);
    assert_eq!(of("bounced")["delay_transmission"], 12.6);
    assert_eq!(of("bounced")["dsn"], "5.1.1");
    assert_eq!(of("bounced")["tls"], "TLSv1.3 with cipher X");
    assert_eq!(of("bounced")["tls_cipher"], "X");
    assert_eq!(of("bounced")["tls_verified"], "certificate");
    assert_eq!(of("deferred")["next_attempt"], "2026-11-24T06:00:00Z");
    assert!(of("deferred")["tls_version"].is_null() && of("sent")["next_attempt"].is_null());
    assert_eq!(of("client")["helo"], "mx.example");
    assert_eq!(of("client")["protocol"], "ESMTPSA");
    let message = of("message-id");
    assert_eq!(message["signed"][0]["selector"], "s1");
    assert_eq!(message["changes"][0], serde_json::json!({"what": "added", "of": "Date"}));
    assert_eq!(message["changes"][1], serde_json::json!({"what": "nuls", "count": 2}));
    let unsigned = of("message-id-unsigned");
    assert_eq!(
        (&unsigned["unsigned"], &unsigned["unsigned_domain"]),
        (&"no-key".into(), &"example.com".into())
    );
    assert_eq!(unsigned["changes"], serde_json::json!([]));
    assert_eq!(of("queued")["size"], 512);
    assert_eq!(of("reject")["code"], 554);
    assert_eq!(of("reject")["helo"], "evil\r\nx");
    assert_eq!(of("reject")["client_address"], "192.0.2.9");
    assert_eq!(of("disconnect")["commands"]["rcpt"]["all"], 3);
    assert_eq!(of("expired")["from"], "");
    assert_eq!(of("warning")["level"], "warning");
    assert_eq!(of("login-failed")["login"], "ana");
    let program = of("local-program");
    assert_eq!((&program["uid"], &program["pid"]), (&33.into(), &4711.into()));
    assert_eq!(program["unit"], "php8.2-fpm.service");
    assert_eq!(program["parents"][1]["name"], "php-fpm: a, b");
    assert_eq!(program["claimed"]["script"], "/srv/shop/mail.php");
    assert!(of("local-user").get("claimed").is_none() && of("local-user").get("pid").is_none());
}

#[test]
fn people_read_sentences() {
    let mut coloured = form(LogFormat::Text, Lead::TimeAndHost);
    let mut lines = Vec::new();
    each_event(|_, event| lines.push(line(&coloured, event)));
    let all = lines.concat();
    for part in [
        "0ABCDEF01234 delivered to you@example.net via mx.example",
        "must wait for",
        "mx.example[192.0.2.1] could not log in with PLAIN as ana: wrong password\n",
        "parents sh[4710] php-fpm: a, b[812]; it says: executable /usr/bin/php, script /srv/",
        "unknown[192.0.2.9] was refused at RCPT, to you@example.net: 554 5.7.1 Relay",
    ] {
        assert!(all.contains(part), "{part} in\n{all}");
    }
    assert!(!all.contains('\x1b'));
    assert_eq!(lines.len(), all.lines().count());
    coloured.colour = true;
    let removed = Event::Notice { level: "error", component: "qmgr", id: None, text: "x" };
    assert!(line(&coloured, &removed).contains("\x1b[31m"));
}

#[test]
fn the_syslog_socket_and_the_journal_get_priorities() {
    let event = Event::Notice { level: "warning", component: "smtp", id: None, text: "x" };
    for (format, lead, expected) in [
        (
            LogFormat::Postfix,
            Lead::PriorityAndTime,
            "<20>Nov  4 06:53:50 puerto/smtp[7]: warning: x\n",
        ),
        (LogFormat::Postfix, Lead::Priority, "<4>puerto/smtp[7]: warning: x\n"),
        (LogFormat::Text, Lead::Priority, "<4>warning: smtp: x\n"),
    ] {
        assert_eq!(line(&form(format, lead), &event), expected);
    }
}

#[test]
fn delays_have_two_significant_digits() {
    for (millis, expected) in [
        (0, "0"),
        (4, "0"),
        (10, "0.01"),
        (500, "0.5"),
        (994, "0.99"),
        (999, "1"),
        (1_250, "1.3"),
        (9_949, "9.9"),
        (9_990, "10"),
        (100_000, "100"),
    ] {
        let mut out = String::new();
        postfix::seconds(&mut out, Duration::from_millis(millis));
        assert_eq!(out, expected, "{millis}");
    }
}

#[test]
fn an_opened_log_writes_lines_to_its_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("mail.log");
    let mut config = Config::for_tests(dir.path());
    config.log_to = LogTarget::File(path.clone());
    let noon = Timestamp::from_millis(1_795_521_600_000);
    let clock = || Arc::new(ManualClock::new(noon));
    let (log, reopen) = open(&config, clock()).unwrap();
    each_event(|_, event| log.write(event));
    reopen.flush();
    let text = std::fs::read_to_string(&path).unwrap();
    assert_eq!(text.lines().count(), 23);
    assert!(text.lines().all(|line| line.starts_with("Nov 24 ") && line.contains(" mail puerto/")));
    let mode = std::os::unix::fs::PermissionsExt::mode(&path.metadata().unwrap().permissions());
    assert_eq!(mode & 0o777 & !0o640, 0);
    config.log_to = LogTarget::File(dir.path().join("missing/mail.log"));
    assert!(open(&config, clock()).unwrap_err().to_string().contains("missing/mail.log"));
}

/// pflogsumm's own counting, where it is installed.
#[test]
fn pflogsumm_reads_the_log() {
    let form = form(LogFormat::Postfix, Lead::TimeAndHost);
    let all = Mutex::new(String::new());
    each_event(|_, event| {
        all.lock().unwrap_or_else(PoisonError::into_inner).push_str(&line(&form, event));
    });
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("mail.log");
    std::fs::write(&path, all.into_inner().unwrap()).unwrap();
    let output =
        std::process::Command::new("pflogsumm").args(["--syslog_name=puerto"]).arg(&path).output();
    let Ok(output) = output else {
        return;
    };
    let text = String::from_utf8_lossy(&output.stdout);
    for count in ["4   received", "1   delivered", "1   deferred", "1   bounced", "2   rejected"] {
        assert!(text.contains(count), "{count} in\n{text}");
    }
    assert!(text.contains("Relay access denied"), "{text}");
    assert!(text.contains("450 4.2.0 Greylisted") || text.contains("Greylisted"), "{text}");
}
