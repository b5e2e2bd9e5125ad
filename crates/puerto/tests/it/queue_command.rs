//! `puerto queue`, `mailq` and `sendmail -q` against the control socket of a server
//! whose queue is in memory.

use std::process::Output;
use std::sync::Arc;
use std::time::Duration;

use puerto::config::{Config, Live};
use puerto::control::{Context, Server, Sight};
use puerto::intake::Wake;
use puerto::telemetry::MailLog;
use puerto_smtp::{Envelope, Recipient, ReversePath};
use puerto_spool::clock::{Clock, SystemClock};
use puerto_spool::memory::MemorySpool;
use puerto_spool::{
    Attempt, ClaimRequest, Content, Desk as _, Disposition, MessageId, NewMessage, Origin,
    Settlement, Store as _, Work as _,
};
use tempfile::TempDir;

use crate::support::command::{code, home, puerto, run, stderr, stdout};

struct Machine {
    home: TempDir,
    spool: Arc<MemorySpool>,
    stop: tokio::sync::watch::Sender<bool>,
    server: Option<std::thread::JoinHandle<()>>,
}

fn machine() -> Machine {
    let home = home();
    let spool = Arc::new(MemorySpool::new(Arc::new(SystemClock)));
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let config = Config::load(Some(&home.path().join("puerto.toml"))).unwrap();
    let server = Server::bind(&config).unwrap();
    let context = Context {
        config: Live::new(config),
        desk: spool.clone(),
        store: spool.clone(),
        wake: Wake::default(),
        log: MailLog::nowhere(),
        history: None,
        reload: Arc::new(|| Ok(())),
        sight: Sight::default(),
    };
    let server = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(server.run(context, stopped));
    });
    Machine { home, spool, stop, server: Some(server) }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.stop.send(true).unwrap();
        self.server.take().unwrap().join().unwrap();
        assert!(!self.home.path().join("run/control").exists(), "the socket is taken away");
    }
}

impl Machine {
    fn put(&self, from: &str, to: &[&str]) -> MessageId {
        let id = self.spool.new_id();
        let from = ReversePath::parse(&format!("<{from}>")).unwrap();
        let to = to.iter().map(|to| Recipient::new(to.parse().unwrap())).collect();
        let message = NewMessage {
            id,
            envelope: Envelope::new(from, to),
            received_at: SystemClock.now(),
            origin: Origin::LocalUser(0),
            prefix: Vec::new(),
            content: Content::Memory(b"Subject: x\r\n\r\nbody\r\n".to_vec()),
            held_for: None,
        };
        self.spool.commit(message).wait().unwrap();
        id
    }

    fn defer_all(&self, text: &str) {
        let now = SystemClock.now();
        let hold = Duration::from_secs(60);
        let request = ClaimRequest { hold, limit: 1000, per_domain: 1000, resting: Vec::new() };
        for lease in self.spool.claim(&request).wait().unwrap().leases {
            let attempt = Attempt {
                at: now,
                relay: String::new(),
                code: 0,
                status: "4.4.1".parse().unwrap(),
                text: text.into(),
                cause: String::new(),
            };
            let due = now.after(Duration::from_secs(3600));
            let deferred = Disposition::Deferred { due, attempt };
            let dispositions =
                lease.recipients.iter().map(|r| (r.index, deferred.clone())).collect();
            drop(self.spool.settle(vec![Settlement { token: lease.token, dispositions }]));
        }
    }

    fn run(&self, arguments: &[&str]) -> Output {
        run(puerto(self.home.path(), arguments), b"")
    }

    fn ok(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert_eq!(code(&output), 0, "{arguments:?}: {}", stderr(&output));
        assert_eq!(stderr(&output), "");
        stdout(&output)
    }

    fn is_due(&self) -> bool {
        let request =
            ClaimRequest { hold: Duration::ZERO, limit: 0, per_domain: 0, resting: Vec::new() };
        let next_due = self.spool.claim(&request).wait().unwrap().next_due;
        next_due.is_some_and(|due| due <= SystemClock.now())
    }
}

#[test]
fn an_empty_queue() {
    let machine = machine();
    assert_eq!(machine.ok(&["mailq"]), "Mail queue is empty\n");
    assert_eq!(machine.ok(&["sendmail", "-bp"]), "Mail queue is empty\n");
    assert_eq!(machine.ok(&["queue", "list"]), "");
    assert_eq!(machine.ok(&["queue", "list", "--json"]), "");
    assert_eq!(machine.ok(&["queue", "retry", "--all"]), "0 messages to be tried now\n");
}

#[test]
fn what_waits_is_listed() {
    let machine = machine();
    let one = machine.put("a@example.com", &["b@example.net"]).to_string();
    machine.defer_all("connect to mx.example.net[192.0.2.1]:25: Connection refused");
    let two = machine.put("", &["c@example.org", "d@example.org"]).to_string();
    let list = machine.ok(&["queue", "list"]);
    let lines: Vec<&str> = list.lines().collect();
    assert_eq!(lines.len(), 3);
    assert!(lines[0].starts_with(&one) && lines[0].ends_with("Connection refused"), "{list}");
    assert!(lines[1].starts_with(&two) && lines[1].ends_with("\t<>\tc@example.org\tdue now"));
    assert_eq!(machine.ok(&["queue", "list", "--destination", "example.org"]).lines().count(), 2);
    let json = machine.ok(&["queue", "list", "--json", "--reason", "refused"]);
    let value: serde_json::Value = serde_json::from_str(json.trim_end()).unwrap();
    assert_eq!(value["id"], one.as_str());
    assert_eq!(value["recipients"][0]["last"]["status"], "4.4.1");
    let mailq = machine.ok(&["mailq"]);
    assert!(mailq.starts_with("-Queue ID-  --Size-- ----Arrival Time---- -Sender/Recipient"));
    assert!(mailq.contains("MAILER-DAEMON\n") && mailq.ends_with("-- 0 Kbytes in 2 Requests.\n"));
}

#[test]
fn one_message_is_shown() {
    let machine = machine();
    let id = machine.put("a@example.com", &["b@example.net"]).to_string();
    let story = machine.ok(&["queue", "show", &id]);
    assert!(story.starts_with(&format!("ID          {id}\nFrom        <a@example.com>\n")));
    assert!(story.contains("Subject: x"), "the test's own user is an administrator");
    let json: serde_json::Value =
        serde_json::from_str(&machine.ok(&["queue", "show", "--json", &id])).unwrap();
    assert_eq!(json["recipients"][0]["address"], "b@example.net");
    let absent = machine.run(&["queue", "show", "0A1B2C3D4E5F"]);
    assert_eq!(code(&absent), 66);
    assert!(stderr(&absent).contains("no message 0A1B2C3D4E5F is queued"));
    assert_eq!(code(&machine.run(&["queue", "show", "nonsense"])), 2);
}

#[test]
fn messages_are_held_released_tried_and_removed() {
    let machine = machine();
    let one = machine.put("a@example.com", &["b@example.net"]);
    let two = machine.put("a@example.com", &["b@example.org"]);
    machine.defer_all("later");
    let (first, second) = (one.to_string(), two.to_string());
    assert_eq!(machine.ok(&["queue", "hold", &first, &second]), "2 messages held\n");
    assert!(machine.spool.get(one).wait().unwrap().held);
    assert!(machine.ok(&["mailq"]).contains(&format!("{first}!")));
    assert_eq!(machine.ok(&["queue", "release", &first, &second]), "2 messages released\n");
    assert!(machine.is_due(), "what is released goes now");
    machine.defer_all("later");
    assert!(!machine.is_due());
    assert_eq!(machine.ok(&["queue", "retry", &first]), "1 message to be tried now\n");
    assert!(machine.is_due());
    let to = ["queue", "remove", "--to", "@example.org", "--yes"];
    assert_eq!(machine.ok(&to), "1 message removed\n");
    assert!(machine.spool.get(two).wait().is_err() && machine.spool.get(one).wait().is_ok());
    let gone = machine.run(&["queue", "remove", &first, &second]);
    assert_eq!((code(&gone), stdout(&gone).as_str()), (66, "1 message removed\n"));
    assert!(stderr(&gone).contains(&format!("{second} is not in the queue")));
}

#[test]
fn only_what_is_held_is_released_and_counted() {
    let machine = machine();
    let free = machine.put("a@example.com", &["b@example.net"]).to_string();
    let held = machine.put("a@example.com", &["b@example.net"]).to_string();
    machine.ok(&["queue", "hold", &held]);
    let shown = machine.run(&["queue", "release", "--all", "--dry-run"]);
    assert_eq!(stdout(&shown), "this would be 1 message\n");
    let of_both = machine.run(&["queue", "release", &free, &held]);
    assert_eq!((code(&of_both), stdout(&of_both).as_str()), (0, "1 message released\n"));
    let told = format!("puerto: {free} is not held: there is nothing to release it from\n");
    assert_eq!(stderr(&of_both), told);
    let again = machine.run(&["queue", "release", &free]);
    assert_eq!((code(&again), stdout(&again).as_str()), (0, ""));
    assert_eq!(machine.ok(&["queue", "release", "--all", "--yes"]), "0 messages released\n");
}

#[test]
fn bulk_changes_are_not_made_without_a_yes() {
    let machine = machine();
    let id = machine.put("a@example.com", &["b@example.net"]);
    for arguments in [
        &["queue", "remove", "--all"][..],
        &["queue", "remove", "--from", "a@"],
        &["queue", "remove"],
        &["queue", "remove", "--all", "0A1B2C3D4E5F"],
        &["queue", "remove", "--to", "b", "0A1B2C3D4E5F"],
    ] {
        let output = machine.run(arguments);
        assert_eq!(code(&output), 2, "{arguments:?}");
        assert!(!output.stderr.is_empty());
    }
    assert!(machine.spool.get(id).wait().is_ok());
}

#[test]
fn a_summary_says_what_waits_for_whom_and_why() {
    let machine = machine();
    assert_eq!(machine.ok(&["queue", "summary"]), "The queue is empty.\n");
    machine.put("a@example.com", &["b@example.net", "c@example.net"]);
    machine.defer_all("host mx.example.net[192.0.2.1] said: 452 4.2.2 Mailbox full");
    machine.put("", &["d@example.org"]);
    let summary = machine.ok(&["queue", "summary"]);
    for part in [
        "Messages: 2 (0 held), recipients: 3 (0 being sent or in line), 40 B\n",
        "An attempt is due now.",
        "mailbox-full 2",
        "not-tried",
        "nothing has been tried yet",
    ] {
        assert!(summary.contains(part), "{part} in {summary}");
    }
    let lines: Vec<&str> = summary.lines().collect();
    let row = lines.iter().find(|line| line.starts_with("example.net")).unwrap();
    let words: Vec<&str> = row.split_whitespace().collect();
    assert_eq!(words[1..3], ["2", "2"], "two, both younger than five minutes: {summary}");
    let one = machine.ok(&["queue", "summary", "--to", "d@", "--json"]);
    let one: serde_json::Value = serde_json::from_str(&one).unwrap();
    assert_eq!(
        (&one["messages"], &one["destinations"][0]["domain"]),
        (&1.into(), &"example.org".into())
    );
    let mut narrow = puerto(machine.home.path(), &["queue", "summary", "--lang", "es"]);
    narrow.env("COLUMNS", "80");
    let shown = stdout(&run(narrow, b""));
    assert!(shown.contains("DESTINO") && shown.contains("mailbox-full 2"), "{shown}");
    assert!(shown.lines().all(|line| line.chars().count() <= 80), "{shown}");
}

#[test]
fn conditions_are_combined() {
    let machine = machine();
    let one = machine.put("a@example.com", &["b@example.net"]).to_string();
    machine.defer_all("host mx.example.net[192.0.2.1] said: 452 4.2.2 Mailbox full");
    let two = machine.put("a@example.com", &["c@example.net"]).to_string();
    let listed = |arguments: &[&str]| {
        let all = [&["queue", "list"], arguments].concat();
        let list = machine.ok(&all);
        list.lines().map(|line| line.split('\t').next().unwrap().to_owned()).collect::<Vec<_>>()
    };
    for (arguments, expected) in [
        (&["--class", "mailbox-full"][..], vec![&one]),
        (&["--class", "mailbox-full", "--to", "c@"], vec![]),
        (&["--class", "not-tried", "--destination", "example.net"], vec![&two]),
        (&["--larger", "1k"], vec![]),
        (&["--larger", "19", "--older", "0s", "--from", "a@"], vec![&one, &two]),
        (&["--older", "1h"], vec![]),
        (&["--id", &format!("{one},{two}"), "--reason", "full"], vec![&one]),
        (&["--account", "ana"], vec![]),
        (&["--held"], vec![]),
    ] {
        assert_eq!(
            listed(arguments),
            expected.into_iter().cloned().collect::<Vec<_>>(),
            "{arguments:?}"
        );
    }
    for (arguments, word) in [
        (["--class", "full"], "greylisted"),
        (["--older", "5"], "no unit"),
        (["--larger", "x"], "size"),
    ] {
        let output = machine.run(&[&["queue", "list"], &arguments[..]].concat());
        assert_eq!(code(&output), 2, "{arguments:?}");
        assert!(stderr(&output).contains(word), "{}", stderr(&output));
    }
}

#[test]
fn a_dry_run_shows_what_would_be_changed_and_changes_nothing() {
    let machine = machine();
    let ids: Vec<MessageId> =
        (0..5).map(|n| machine.put("a@example.com", &[&format!("b{n}@example.net")])).collect();
    let output = machine.run(&["queue", "remove", "--to", "@example.net", "--dry-run"]);
    assert_eq!((code(&output), stdout(&output).as_str()), (0, "this would be 5 messages\n"));
    let shown = stderr(&output);
    assert!(shown.contains(&ids[0].to_string()) && shown.contains("b0@example.net: due now"));
    assert!(shown.contains("and 2 more") && !shown.contains(&ids[4].to_string()), "{shown}");
    assert!(machine.spool.get(ids[0]).wait().is_ok());
}

#[test]
fn a_body_is_written_as_it_is_stored() {
    let machine = machine();
    let id = machine.put("a@example.com", &["b@example.net"]).to_string();
    assert_eq!(machine.ok(&["queue", "body", &id]), "Subject: x\r\n\r\nbody\r\n");
    assert_eq!(code(&machine.run(&["queue", "body", "0A1B2C3D4E5F"])), 66);
}

#[test]
fn pauses_holds_and_other_ways_are_ordered_shown_and_taken_back() {
    let machine = machine();
    machine.put("a@example.com", &["b@example.net"]);
    assert!(machine.ok(&["queue", "rules"]).starts_with("No destination is paused"));
    let said = machine.ok(&["pause", "--to", "example.net", "--for", "2h", "--note", "hm"]);
    assert_eq!(said, "order 1: paused: to example.net; it ends in 2h\n");
    let hold = ["queue", "hold", "--rule", "--from", "@shop.example", "--larger", "1MiB"];
    let said = machine.ok(&hold);
    assert_eq!(
        said,
        "order 2: new mail is held: from @shop.example larger than 1048576 octets; it ends when \
         taken back\n"
    );
    let via = ["--via", "[relay.example.org]:587"];
    let reroute = [&["queue", "reroute", "--to", "example.net"], &via[..], &["--yes"]].concat();
    let output = machine.run(&reroute);
    assert!(stderr(&output).contains("`puerto resume 1`"), "{}", stderr(&output));
    assert_eq!(
        stdout(&output),
        "order 3: to example.net goes by [relay.example.org]:587; it ends when taken back\n"
    );
    let pauses = machine.ok(&["pause", "list"]);
    assert!(pauses.contains("paused: to example.net") && pauses.contains("hm"), "{pauses}");
    assert!(!pauses.contains("held") && !pauses.contains("goes by"), "{pauses}");
    let rules: serde_json::Value =
        serde_json::from_str(&machine.ok(&["queue", "rules", "--json"])).unwrap();
    let kinds: Vec<&str> =
        rules["orders"].as_array().unwrap().iter().map(|o| o["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["pause", "hold", "reroute"]);
    assert!(machine.ok(&["queue", "summary"]).contains("order 3: to example.net goes by"));
    assert!(machine.ok(&["resume", "--to", "EXAMPLE.net"]).starts_with("1 pause ended"));
    assert_eq!(code(&machine.run(&["resume", "--all"])), 66);
    let removed = machine.run(&["queue", "rules", "--remove", "2", "9"]);
    assert_eq!((code(&removed), stdout(&removed).as_str()), (66, "1 order taken back\n"));
    // Nothing was held by it.
    assert!(!stderr(&removed).contains("stays held") && stderr(&removed).contains("no order 9"));
    for wrong in [
        &["pause"][..],
        &["resume"],
        &["pause", "--to", "a@b.example"],
        &["queue", "hold", "--rule"],
        &["queue", "hold", "--rule", "--reason", "x", "--to", "*"],
        &["queue", "hold", "--for", "2h", "--all"],
        &["queue", "reroute", "--to", "example.net", "--via", "192.0.2.1", "--yes"],
        &["pause", "--to", "gmail"],
        &["queue", "hold", "--rule", "--to", "luis"],
        &[&["queue", "reroute", "--to", "example.net"], &via[..]].concat(),
    ] {
        assert_eq!(code(&machine.run(wrong)), 2, "{wrong:?}");
    }
    for own in ["localhost", "LOCALHOST."] {
        let reroute = [&["queue", "reroute", "--to", own, "--yes"], &via[..]].concat();
        let told = stderr(&machine.run(&reroute));
        assert!(told.contains("stays on this server"), "{own}: {told}");
    }
}

#[test]
fn waiting_mail_is_flushed() {
    let machine = machine();
    let id = machine.put("a@example.com", &["b@example.net"]).to_string();
    for arguments in [
        &["sendmail", "-q"][..],
        &["sendmail", "-q30m"],
        &["sendmail", "-qRexample.net"],
        &["sendmail", &format!("-qI{id}")],
    ] {
        machine.defer_all("later");
        assert!(!machine.is_due());
        machine.ok(arguments);
        assert!(machine.is_due(), "{arguments:?}");
    }
}

#[test]
fn a_second_server_does_not_take_the_socket_over() {
    let machine = machine();
    let config = Config::load(Some(&machine.home.path().join("puerto.toml"))).unwrap();
    let error = Server::bind(&config).unwrap_err().to_string();
    assert!(error.contains("another server answers"), "{error}");
}

#[test]
fn a_socket_that_a_dead_server_left_is_replaced() {
    let home = home();
    drop(std::os::unix::net::UnixListener::bind(home.path().join("run/control")).unwrap());
    let config = Config::load(Some(&home.path().join("puerto.toml"))).unwrap();
    Server::bind(&config).unwrap();
}

#[test]
fn without_a_server_everybody_is_told() {
    let home = home();
    for arguments in [
        &["mailq"][..],
        &["sendmail", "-q"],
        &["queue", "list"],
        &["queue", "hold", "0359DF3BDE00"],
    ] {
        let output = run(puerto(home.path(), arguments), b"");
        assert_eq!(code(&output), 75, "{arguments:?}");
        assert!(stderr(&output).contains("the mail server is not running"));
    }
}

#[test]
fn aliases_need_no_rebuilding() {
    let home = home();
    let aliases = home.path().join("aliases");
    let mut configuration = std::fs::read_to_string(home.path().join("puerto.toml")).unwrap();
    configuration.push_str(&format!("[local]\naliases = {aliases:?}\n"));
    std::fs::write(home.path().join("puerto.toml"), configuration).unwrap();
    let output = run(puerto(home.path(), &["newaliases"]), b"");
    assert_eq!(code(&output), 0);
    assert!(stdout(&output).contains("no such file"));
    std::fs::write(&aliases, "postmaster: root\n").unwrap();
    for arguments in [&["newaliases"][..], &["sendmail", "-bi"], &["sendmail", "-I"]] {
        let output = run(puerto(home.path(), arguments), b"");
        assert_eq!(code(&output), 0);
        assert!(stdout(&output).contains("at once"));
    }
    std::fs::write(&aliases, "postmaster root\n").unwrap();
    let output = run(puerto(home.path(), &["newaliases"]), b"");
    assert_eq!(code(&output), 0);
    assert!(stderr(&output).contains("line 1: there is no colon"), "{}", stderr(&output));
}
