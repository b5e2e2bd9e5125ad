//! What commands print when they have something to tell: no line of it is English. The
//! worlds are the lab's, on loopback. Replies and records are others' words and stay.

use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use puerto_lab::world::{RELAY, SENDER_ADDRESS, SENDER_DOMAIN, SENDER_HOST};
use puerto_lab::{Lab, Options};
use puerto_mail::dkim::{Algorithm, PrivateKey};

use super::{assert_spanish, run, said, spoken};

/// As many scenarios are played at the same time.
const AT_ONCE: usize = 3;

const SCENARIOS: &[&str] = &[
    "healthy",
    "no-ptr",
    "generic-ptr",
    "spf-missing",
    "spf-too-many-lookups",
    "two-spf-records",
    "key-mismatch",
    "dkim-truncated",
    "dmarc-misaligned",
    "listed-on-pbl",
    "blocklist-refuses-us",
    "servfail",
    "ipv6-without-ptr",
    "ipv6-outside-spf",
    "sources",
    "port-25-closed",
    "relay-refuses-from",
    "dane",
    "mta-sts",
    "downgrade",
];

/// Of others' documents.
const TITLES: &[&str] = &[
    "Policies, practices and guidelines",
    "Sender best practices",
    "Email sender guidelines",
    "rules for sending servers",
    "requirements for sending servers",
    "Postmaster information for iCloud Mail",
];

// Without what others said: replies, records and what is written into a message.
fn ours(text: &str) -> String {
    let mut out = String::new();
    for line in text.lines() {
        let line = line.split(" TXT \"").next().unwrap_or_default();
        // The names of classes and checks head the documents' parts.
        if line.starts_with("## ")
            || TITLES.iter().any(|title| line.contains(title))
            || line.starts_with("Authentication-Results:")
            || line.starts_with("connect to ")
        {
            continue;
        }
        let words: Vec<&str> = line.split(' ').collect();
        let reply = words.windows(2).position(|pair| {
            let [code, status] = pair else { return false };
            let is_code = code.len() == 3 && code.bytes().all(|octet| octet.is_ascii_digit());
            is_code && status.split('.').count() == 3
        });
        out += &words[..reply.unwrap_or(words.len())].join(" ");
        out.push('\n');
    }
    out
}

fn assert_ours_is_spanish(text: &str, about: &str) {
    assert!(!text.trim().is_empty(), "{about}: nothing");
    assert_spanish(&ours(text), about);
}

#[test]
fn the_lab_speaks_spanish() {
    let folder = tempfile::tempdir().unwrap();
    let output = run(&["lab", "--once"], folder.path());
    assert!(output.status.success(), "{}", said(&output));
    let text = said(&output);
    assert!(text.contains("la cola está vacía"), "{text}");
    assert_ours_is_spanish(&text, "lab --once");
}

#[test]
fn each_scenario_of_the_lab_is_told_in_spanish() {
    let listed = said(&run(&["lab", "--scenario", "list"], Path::new("/tmp")));
    assert_eq!(listed.lines().count(), SCENARIOS.len(), "{listed}");
    assert_spanish(&listed, "list");
    let (next, told) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some(name) = SCENARIOS.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let folder = tempfile::tempdir().unwrap();
                    let output = run(&["lab", "--scenario", name], folder.path());
                    told.lock().unwrap().push((*name, said(&output)));
                }
            });
        }
    });
    for (name, text) in told.into_inner().unwrap() {
        assert_ours_is_spanish(&text, name);
    }
}

/// A home whose configuration asks the lab, with a key that is published there.
async fn sender() -> (Lab, tempfile::TempDir) {
    use std::os::unix::fs::PermissionsExt as _;
    let lab = Lab::start(Options::default()).await.unwrap();
    let home = tempfile::tempdir().unwrap();
    let keys = home.path().join("dkim").join(SENDER_DOMAIN);
    std::fs::create_dir_all(&keys).unwrap();
    let pem = PrivateKey::generate(Algorithm::RsaSha256).unwrap();
    let file = keys.join("s1.pem");
    std::fs::write(&file, &pem).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    let record = PrivateKey::from_pem(&pem).unwrap().record_text();
    lab.zone().set_txt("s1._domainkey.lab.example", &record);
    let base = home.path().display();
    let configuration = format!(
        "hostname = {SENDER_HOST:?}\ndomains = [{SENDER_DOMAIN:?}]\nstate_dir = \"{base}/state\"\n\
         run_dir = \"{base}/run\"\n[dns]\nservers = [\"{}\"]\n[dkim]\ndirectory = \"{base}/dkim\"\n\
         [local]\naliases = \"{base}/aliases\"\n[listen]\nsmtp = []\n\
         [delivery]\nallow_private = true\n",
        lab.dns_addr(),
    );
    std::fs::write(home.path().join("puerto.toml"), configuration).unwrap();
    let aliases = "a: \"|/bin/x\"\nb: /var/x\nc: :include:/x\nd\ne:\nf: root\nf: root\ng: a@b@c\n";
    std::fs::write(home.path().join("aliases"), aliases).unwrap();
    std::fs::write(home.path().join("bad.eml"), BAD).unwrap();
    std::fs::write(home.path().join("notification.eml"), NOTIFICATION).unwrap();
    (lab, home)
}

/// A message with many faults.
const BAD: &str = "DKIM-Signature: v=1; a=rsa-sha256; d=lab.example; s=s1; h=from:to; bh=AAAA; b=BBBB\r\n\
     From: a@lab.example, b@y.example\r\nDate: yesterday\r\nMessage-ID: x\r\nMessage-ID: y\r\n\r\nhi\nho\r\n";

const NOTIFICATION: &str = "From: MAILER-DAEMON@mx.example.net\r\nTo: a@lab.example\r\n\
     Content-Type: multipart/report; report-type=delivery-status; boundary=x\r\n\r\n--x\r\n\
     Content-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; mx.example.net\r\n\r\n\
     Final-Recipient: rfc822; b@example.net\r\nAction: failed\r\nStatus: 5.1.1\r\n\
     Diagnostic-Code: smtp; 550 5.1.1 no such user here\r\n\r\n--x--\r\n";

#[tokio::test(flavor = "multi_thread")]
async fn commands_that_succeed_and_fail_in_a_world_are_spanish() {
    let (lab, home) = sender().await;
    let name = home.path().join("puerto.toml").display().to_string();
    let relay = format!("[{}]:{}", RELAY.host, lab.mx_port());
    let in_home = |name: &str| home.path().join(name).display().to_string();
    let (bad, notification, root) =
        (in_home("bad.eml"), in_home("notification.eml"), in_home("root"));
    let egress = SENDER_ADDRESS.to_string();
    let lines: Vec<Vec<&str>> = vec![
        vec!["check", "--egress", &egress, "--all"],
        vec!["check", "--egress", "192.0.2.77"],
        vec!["check", "--egress", &egress, "nowhere.example"],
        vec!["dns", SENDER_DOMAIN, "--egress", "192.0.2.77"],
        vec!["dns", "nowhere.example", "--egress", "192.0.2.77"],
        vec!["dns", SENDER_DOMAIN],
        vec!["verify", &bad, "--ip", "192.0.2.9", "--helo", "x", "--from", "a@lab.example"],
        vec!["verify", &bad],
        vec!["explain", "550 5.7.1 Service unavailable; client host blocked using Spamhaus"],
        vec!["explain", &notification],
        vec!["explain", "--document"],
        vec!["check", "--document"],
        vec!["relay", "test", &relay],
        vec!["relay", "test", &relay, "--send", "ana@strict.example"],
        vec!["relay", "test", "[127.0.0.14]:1"],
        vec!["relay", "test", "nowhere.example"],
        vec!["dkim", "list"],
        vec!["dkim", "new", SENDER_DOMAIN, "--selector", "s2"],
        vec!["newaliases"],
        vec!["config", "check"],
        vec!["setup", SENDER_DOMAIN, "--yes", "--hostname", SENDER_HOST, "--root", &root],
        vec!["setup", SENDER_DOMAIN, "--yes", "--hostname", SENDER_HOST, "--root", &root],
    ];
    for line in lines {
        let arguments: Vec<String> =
            ["--config", &name].iter().chain(&line).map(|one| (*one).to_owned()).collect();
        let folder = home.path().to_owned();
        let output = tokio::task::spawn_blocking(move || {
            let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
            run(&arguments, &folder)
        });
        let text = said(&output.await.unwrap());
        assert_ours_is_spanish(&text, &line.join(" "));
    }
}

#[test]
fn the_language_is_chosen_as_gettext_chooses_it() {
    let folder = tempfile::tempdir().unwrap();
    let spanish = |environment: &[(&str, &str)]| {
        said(&spoken(&["explain", "250 ok"], folder.path(), environment)).contains("rechazo")
    };
    for (environment, expected) in [
        (&[][..], false),
        (&[("LANG", "es_MX.UTF-8")], true),
        (&[("LANG", "es")], true),
        (&[("LANG", "C")], false),
        (&[("LANG", "es_ES"), ("LC_ALL", "C")], false),
        (&[("LANG", "es_ES"), ("LC_ALL", "POSIX")], false),
        (&[("LANG", "es_ES"), ("LC_ALL", "")], true),
        (&[("LANG", "en_US"), ("LC_MESSAGES", "es_ES.UTF-8")], true),
        (&[("LANG", "es_ES"), ("LC_MESSAGES", "en_GB.UTF-8")], false),
        (&[("LANG", "es_ES"), ("LC_MESSAGES", "es_ES"), ("LC_ALL", "de_DE")], false),
        // LANGUAGE is a list, and counts unless the locale is C.
        (&[("LANG", "en_US.UTF-8"), ("LANGUAGE", "es:en")], true),
        (&[("LANG", "es_ES.UTF-8"), ("LANGUAGE", "en")], false),
        (&[("LANG", "es_ES.UTF-8"), ("LANGUAGE", "ca:es")], true),
        (&[("LANG", "es_ES.UTF-8"), ("LANGUAGE", "")], true),
        (&[("LANG", "C"), ("LANGUAGE", "es")], false),
        (&[("LANGUAGE", "es")], false),
    ] {
        assert_eq!(spanish(environment), expected, "{environment:?}");
    }
    let asked = spoken(&["--lang", "es", "explain", "250 ok"], folder.path(), &[("LANG", "C")]);
    assert!(said(&asked).contains("rechazo"));
    for personality in ["sendmail", "check"] {
        let unknown = spoken(&["--lang", "xx", personality], folder.path(), &[]);
        assert_eq!(unknown.status.code(), Some(2), "{}", said(&unknown));
        assert!(said(&unknown).contains("write en or es"), "{}", said(&unknown));
    }
}
