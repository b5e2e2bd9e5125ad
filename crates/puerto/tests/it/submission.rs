//! `sendmail` against the real reception and intake, with the queue in memory: what a
//! local program hands over and what is queued of it.

use std::io::Read;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;

use puerto::accounts::Accounts;
use puerto::config::{Config, Live};
use puerto::control::{self, Server};
use puerto::dns::Resolver;
use puerto::intake::{self, Intake, KeyRing, Wake};
use puerto::receive::{Context, Listeners};
use puerto::recipients::Recipients;
use puerto::telemetry::MailLog;
use puerto::tls::ServerTls;
use puerto_spool::clock::SystemClock;
use puerto_spool::memory::MemorySpool;
use puerto_spool::{Entry, Store as _};
use tempfile::TempDir;
use tokio::sync::watch;

use crate::support::command::{code, home, puerto, run, stderr};

struct Machine {
    home: TempDir,
    spool: Arc<MemorySpool>,
    stop: watch::Sender<bool>,
    server: Option<std::thread::JoinHandle<()>>,
}

impl Machine {
    fn new(more: &str) -> Self {
        let home = home();
        let file: PathBuf = home.path().join("puerto.toml");
        let mut text = std::fs::read_to_string(&file).unwrap();
        text.push_str(more);
        text.push_str("\n[listen]\nsmtp = []\n");
        std::fs::write(&file, text).unwrap();
        let config = Config::load(Some(&file)).unwrap();
        let listeners = Listeners::bind(&config).unwrap();
        let control = Server::bind(&config).unwrap();
        let spool = Arc::new(MemorySpool::new(Arc::new(SystemClock)));
        let (context, controlled) = contexts(config, Arc::clone(&spool));
        let (stop, stopped) = watch::channel(false);
        let server = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                tokio::join!(
                    listeners.run(context, stopped.clone()),
                    control.run(controlled, stopped)
                )
            });
        });
        Self { home, spool, stop, server: Some(server) }
    }

    fn send(&self, arguments: &[&str], input: &[u8]) -> i32 {
        let arguments: Vec<&str> =
            std::iter::once("sendmail").chain(arguments.iter().copied()).collect();
        let output = run(puerto(self.home.path(), &arguments), input);
        if code(&output) != 0 {
            eprintln!("{}", stderr(&output));
        }
        code(&output)
    }

    fn queued(&self) -> Vec<Entry> {
        self.spool.entries()
    }

    fn only(&self) -> (Entry, String) {
        let entry = self.queued().pop().unwrap();
        let mut octets = Vec::new();
        self.spool.content(entry.id).wait().unwrap().read_to_end(&mut octets).unwrap();
        (entry, String::from_utf8(octets).unwrap())
    }
}

fn contexts(config: Config, spool: Arc<MemorySpool>) -> (Context, control::Context) {
    let keys = Arc::new(KeyRing::load(&config.dkim_directory));
    let live = Live::new(config);
    let log = MailLog::nowhere();
    let wake = Wake::default();
    let intake = Intake::new(intake::Context {
        config: live.clone(),
        store: spool.clone(),
        keys,
        log: log.clone(),
        wake: wake.clone(),
        clock: Arc::new(SystemClock),
    });
    let received = Context {
        recipients: Arc::new(Recipients::new(live.clone())),
        config: live.clone(),
        intake: Arc::new(intake),
        dns: Arc::new(Resolver::with_servers(&[])),
        tls: ServerTls::load(None).unwrap(),
        accounts: Accounts::new(live.clone(), Arc::new(SystemClock)),
        log: log.clone(),
    };
    let reload: control::Reload = Arc::new(|| Ok(()));
    (
        received,
        control::Context {
            config: live,
            desk: spool.clone(),
            store: spool,
            wake,
            log,
            reload,
            sight: control::Sight::default(),
            history: None,
        },
    )
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.stop.send(true).unwrap();
        self.server.take().unwrap().join().unwrap();
    }
}

fn field<'a>(message: &'a str, name: &str) -> Option<&'a str> {
    let header = message.split("\r\n\r\n").next()?;
    header.split("\r\n").find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

#[test]
fn a_bare_text_becomes_a_whole_message() {
    let machine = Machine::new("");
    assert_eq!(machine.send(&["-f", "me@example.com", "you@example.net"], b"hola\n"), 0);
    let (entry, message) = machine.only();
    assert_eq!(entry.reverse_path.to_string(), "me@example.com");
    assert_eq!(entry.recipients[0].recipient.address.to_string(), "you@example.net");
    assert_eq!(field(&message, "From"), Some("me@example.com"));
    assert!(field(&message, "Date").is_some() && field(&message, "Message-ID").is_some());
    assert!(message.starts_with("Received: "));
    assert!(message.ends_with("\r\n\r\nhola\r\n"), "{message}");
}

#[test]
fn eight_bit_text_and_dots_arrive_as_they_were() {
    let machine = Machine::new("");
    let body = "ñandú\n.\n..\n.x\n";
    let message = format!("From: me@example.com\nSubject: x\n\n{body}");
    assert_eq!(machine.send(&["-i", "josé@example.net"], message.as_bytes()), 0);
    let (entry, message) = machine.only();
    assert!(entry.eight_bit && entry.smtputf8);
    assert!(message.ends_with(&format!("\r\n\r\n{}", body.replace('\n', "\r\n"))), "{message}");
}

#[test]
fn more_recipients_than_one_message_may_have_all_get_it() {
    let machine = Machine::new("[limits]\nrecipients = 1000");
    let list: Vec<String> = (0..10_000).map(|n| format!("user{n}@example.net")).collect();
    let message = format!("From: me@example.com\nBcc: {}\n\nhi\n", list.join(",\n "));
    assert_eq!(machine.send(&["-t"], message.as_bytes()), 0);
    let queued = machine.queued();
    assert_eq!(queued.len(), 10);
    let mut all: Vec<String> = Vec::new();
    for entry in &queued {
        all.extend(entry.recipients.iter().map(|r| r.recipient.address.to_string()));
    }
    assert_eq!(all, list);
}

#[test]
fn a_message_that_is_too_large_is_refused_before_it_is_sent() {
    let machine = Machine::new("[limits]\nmessage_size = \"10KiB\"");
    assert_eq!(machine.send(&["you@example.net"], &b"0123456789\n".repeat(2000)), 69);
    assert!(machine.queued().is_empty());
}

/// B11: what an administrator is just writing stops no mail while the daemon runs.
#[test]
fn one_error_in_the_configuration_stops_no_sendmail_while_the_daemon_runs() {
    let machine = Machine::new("");
    let file = machine.home.path().join("puerto.toml");
    let good = std::fs::read_to_string(&file).unwrap();
    for broken in ["hostnam = 1\n", "domains = [\"a.example\"\n", "hostname = \"a\n", "[[\n"] {
        std::fs::write(&file, format!("{broken}{good}")).unwrap();
        let message = b"Subject: x\n\nhi\n";
        assert_eq!(machine.send(&["someone@example.org"], message), 0, "{broken}");
    }
    // Names are completed as the daemon does it, not as what is left of the file would.
    std::fs::write(&file, format!("domains = [\"\n{good}")).unwrap();
    assert_eq!(machine.send(&["-f", "ana", "luis"], b"Subject: x\n\nhi\n"), 0);
    let (entry, _) = machine.only();
    assert_eq!(entry.reverse_path.to_string(), "ana@example.com");
    assert_eq!(entry.recipients[0].recipient.address.to_string(), "luis@example.com");
}

#[test]
fn a_burst_beyond_the_limit_on_connections_is_taken_all_the_same() {
    let machine = Machine::new("[limits]\nconnections_from_one_client = 4");
    let children: Vec<_> = (0..40)
        .map(|n| {
            let recipient = format!("you{n}@example.net");
            let mut command: Command = puerto(machine.home.path(), &["sendmail", &recipient]);
            command.stdin(std::process::Stdio::null());
            command.spawn().unwrap()
        })
        .collect();
    for mut child in children {
        assert_eq!(child.wait().unwrap().code(), Some(0));
    }
    assert_eq!(machine.queued().len(), 40);
}
