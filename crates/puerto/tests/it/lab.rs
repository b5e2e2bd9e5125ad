//! The real daemon against the simulated Internet: as `puerto lab` shows it, and with
//! things broken on purpose.

use std::io::{BufRead, BufReader, Write};
use std::net::IpAddr;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use puerto::config::{Config, LogTarget};
use puerto::serve::{Daemon, Prepared};
use puerto_lab::world::{HOME, SENDER_ADDRESS, SENDER_HOST, STRICT};
use puerto_lab::{Lab, Options, Outcome};
use puerto_mail::dns::{DnsError, RecordType};

fn lab() -> Vec<serde_json::Value> {
    let output = Command::new(env!("CARGO_BIN_EXE_puerto"))
        .args(["lab", "--once", "--json"])
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}\n{complaint}\n{text}", output.status);
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn every_letter_ends_as_it_should() {
    let events = lab();
    let summary = events.last().unwrap();
    assert_eq!((&summary["event"], &summary["ok"]), (&"summary".into(), &true.into()));
    assert_eq!(summary["queue"], 0);
    let recipients = summary["recipients"].as_array().unwrap();
    assert_eq!(recipients.len(), 6);
    let row = |to: &str, way: &str| {
        recipients.iter().find(|row| row["to"] == to && row["way"] == way).unwrap()
    };
    for way in ["direct", "relay"] {
        for method in ["iprev", "spf", "dkim", "dmarc"] {
            let row = row("ana@strict.example", way);
            assert_eq!(row["authentication"][method], "pass", "{way} {method}");
        }
    }
    let attempts = row("rosa@grumpy.example", "direct")["attempts"].as_array().unwrap();
    let answers: Vec<_> = attempts.iter().map(|a| a["answer"].as_str().unwrap()).collect();
    assert_eq!(answers, ["451 4.7.1", "hung up", "421 4.3.2", "250 2.0.0"]);
    let returned = row("no-such-user@plain.example", "direct");
    assert_eq!(returned["detail"], "returned to the sender");
    // Each of the five messages was promised once, under an id of its own.
    let mut ids: Vec<_> = events
        .iter()
        .filter(|e| e["event"] == "queued")
        .map(|e| e["id"].as_str().unwrap())
        .collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 5);
}

const PATIENCE: Duration = Duration::from_secs(20);

/// A daemon without DKIM keys whose Internet is a lab.
struct Sender {
    lab: Lab,
    daemon: Daemon,
    socket: PathBuf,
    _folder: tempfile::TempDir,
}

impl Sender {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let lab = Lab::start(Options::default()).await.unwrap();
        let config = configuration(folder.path(), &lab);
        let socket = config.run_dir.join("submit");
        let daemon = Daemon::start(Prepared::new(config).unwrap(), None).await.unwrap();
        Self { lab, daemon, socket, _folder: folder }
    }

    async fn send(&self, to: &str) {
        let (socket, to) = (self.socket.clone(), to.to_owned());
        tokio::task::spawn_blocking(move || submit(&socket, &to)).await.unwrap();
    }
}

fn configuration(folder: &Path, lab: &Lab) -> Config {
    let mut config = Config::for_tests(folder);
    config.hostname = SENDER_HOST.to_owned();
    config.domains = vec![SENDER_HOST.parse().unwrap()];
    config.log_to = LogTarget::File(folder.join("mail.log"));
    config.listen.smtp = Vec::new();
    config.dns_servers = vec![lab.dns_addr()];
    config.delivery.port = lab.mx_port();
    config.delivery.bind_ipv4 = Some(SENDER_ADDRESS);
    config.delivery.helo = SENDER_HOST.to_owned();
    config.queue.retry = vec![Duration::from_secs(1)];
    config
}

fn submit(socket: &Path, to: &str) {
    let stream = UnixStream::connect(socket).unwrap();
    let mut replies = BufReader::new(stream.try_clone().unwrap()).lines();
    let mut say = |line: &str, expected: &str| {
        (&stream).write_all(line.as_bytes()).unwrap();
        let reply = replies.next().unwrap().unwrap();
        assert!(reply.starts_with(expected), "{line:?}: {reply}");
    };
    say("", "220");
    say("HELO localhost\r\n", "250");
    say("MAIL FROM:<me@lab.example>\r\n", "250");
    say(&format!("RCPT TO:<{to}>\r\n"), "250");
    say("DATA\r\n", "354");
    say("From: me@lab.example\r\nSubject: hello\r\n\r\nhello\r\n.\r\n", "250 2.0.0");
    say("QUIT\r\n", "221");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_proves_nothing_is_refused_and_its_sender_is_told_why() {
    let sender = Sender::start().await;
    sender.lab.zone().set_txt("lab.example", "v=spf1 -all");
    sender.send("ana@strict.example").await;
    let refused = sender.lab.wait_for(PATIENCE, |t| t.receiver == STRICT.name).await.unwrap();
    assert_eq!(refused.outcome, Outcome::Refused);
    let results = ["iprev", "spf", "dkim", "dmarc"].map(|method| refused.result_of(method));
    assert_eq!(results, [Some("pass"), Some("fail"), Some("none"), Some("fail")]);
    let told = sender.lab.wait_for(PATIENCE, |t| t.receiver == HOME.name).await.unwrap();
    let notification = String::from_utf8_lossy(&told.message);
    assert!(notification.contains("Status: 5.7.26"), "{notification}");
    assert!(notification.contains("ana@strict.example"), "{notification}");
    sender.daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_judged_now_waits_and_arrives_when_it_can() {
    let sender = Sender::start().await;
    let zone = sender.lab.zone();
    let broken = DnsError::Failure("the name servers are down".into());
    zone.fail("lab.example", RecordType::Txt, broken);
    sender.send("ana@strict.example").await;
    let deferred = sender.lab.wait_for(PATIENCE, |t| t.receiver == STRICT.name).await.unwrap();
    assert_eq!(deferred.outcome, Outcome::Deferred);
    zone.set_txt("lab.example", "v=spf1 ip4:127.0.0.10 -all");
    let arrived = sender.lab.wait_for(PATIENCE, |t| t.outcome == Outcome::Accepted).await.unwrap();
    assert_eq!((arrived.receiver, arrived.peer), (STRICT.name, IpAddr::V4(SENDER_ADDRESS)));
    assert_eq!(arrived.result_of("spf"), Some("pass"));
    sender.daemon.stop().await;
    // Nobody was told of a failure that was none.
    assert!(sender.lab.transactions().iter().all(|t| t.receiver == STRICT.name));
}
