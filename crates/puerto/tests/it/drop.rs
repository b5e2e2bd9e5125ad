//! Mail that is left while the server does not run, and what is made of hostile files.

use std::fs::{File, FileTimes};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::mpsc::Receiver;
use std::time::{Duration, UNIX_EPOCH};

use nix::fcntl::{Flock, FlockArg};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, geteuid};
use puerto_spool::clock::{Clock as _, SystemClock};
use tempfile::TempDir;

use crate::support::command::{code, home, puerto, run, stderr, stdout};
use crate::support::daemon::{self, Heard, Script};

const LETTER: &[u8] = b"Subject: hi\nFrom: me@example.com\n\nhello\n.x\n";
const RECIPIENT: &str = "you@example.net";

/// A machine on which the daemon may run or not.
struct Machine {
    home: TempDir,
    daemon: Option<Child>,
}

impl Machine {
    fn new() -> Self {
        let home = home();
        let file = home.path().join("puerto.toml");
        let mut text = std::fs::read_to_string(&file).unwrap();
        text.push_str(&format!(
            "state_dir = {:?}\nuser = \"\"\nlog_to = {:?}\n[listen]\nsmtp = []\n\
             [dns]\nservers = [\"127.0.0.1:9\"]\n[dkim]\ndirectory = {:?}\n",
            home.path().join("state"),
            home.path().join("mail.log"),
            home.path().join("dkim"),
        ));
        std::fs::write(&file, text).unwrap();
        Self { home, daemon: None }
    }

    fn folder(&self) -> PathBuf {
        self.home.path().join("state-drop").join(geteuid().to_string())
    }

    /// As if the daemon had run before.
    fn with_folder() -> Self {
        let machine = Self::new();
        std::fs::create_dir_all(machine.folder()).unwrap();
        let own = std::fs::Permissions::from_mode(0o700);
        std::fs::set_permissions(machine.folder(), own).unwrap();
        machine
    }

    fn start(&mut self) {
        let mut serve = puerto(self.home.path(), &["serve"]);
        let before = self.count("ready as");
        self.daemon = Some(serve.stdin(Stdio::null()).spawn().unwrap());
        self.wait_for("the start", |machine| {
            machine.count("ready as") > before && machine.folder().exists()
        });
    }

    fn end(&mut self, signal: Signal) {
        let mut daemon = self.daemon.take().unwrap();
        kill(Pid::from_raw(daemon.id() as i32), signal).unwrap();
        daemon.wait().unwrap();
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.home.path().join("mail.log")).unwrap_or_default()
    }

    fn count(&self, words: &str) -> usize {
        self.log().matches(words).count()
    }

    fn wait_for(&self, what: &str, condition: impl Fn(&Self) -> bool) {
        let deadline = SystemClock.elapsed() + Duration::from_secs(120);
        while !condition(self) {
            assert!(SystemClock.elapsed() < deadline, "waited in vain for {what}: {}", self.log());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn send(&self, arguments: &[&str], input: &[u8]) -> std::process::Output {
        let arguments: Vec<&str> = ["sendmail"].iter().chain(arguments).copied().collect();
        run(puerto(self.home.path(), &arguments), input)
    }

    fn leave(&self, recipient: &str) {
        let output = self.send(&["-i", "-f", "me@example.com", recipient], LETTER);
        assert_eq!(code(&output), 0, "{}", stderr(&output));
        assert!(output.stderr.is_empty());
    }

    /// The names in the folder, those in the one for what is refused with it before them.
    fn names(&self) -> Vec<String> {
        let list = |path: &Path| -> Vec<String> {
            let entries = std::fs::read_dir(path).into_iter().flatten();
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
        };
        let mut names = list(&self.folder());
        names.retain(|name| name != "refused");
        let refused = list(&self.folder().join("refused"));
        names.extend(refused.into_iter().map(|name| format!("refused/{name}")));
        names.sort();
        names
    }

    /// Has the folder emptied by a process as the agent starts it; returns its exit code and
    /// what it says for the log.
    fn empty(&self) -> (i32, String) {
        let drop = self.home.path().join("state-drop");
        let socket = self.home.path().join("run/submit");
        let arguments = ["drop-reader", "--", drop.to_str().unwrap(), socket.to_str().unwrap()];
        let arguments: Vec<&str> = arguments.into_iter().chain(["en"]).collect();
        let output = run(puerto(self.home.path(), &arguments), b"");
        (code(&output), stdout(&output))
    }

    /// The recipients of all messages in the queue.
    fn queued(&self) -> Vec<String> {
        let listed = run(puerto(self.home.path(), &["queue", "list", "--json"]), b"");
        let text = stdout(&listed);
        let addresses = text.split('"').filter(|word| word.ends_with("@example.net"));
        addresses.map(str::to_owned).collect()
    }

    fn serve(&self, script: Script) -> Receiver<Heard> {
        let _ = std::fs::remove_file(self.home.path().join("run/submit"));
        daemon::start(self.home.path(), script)
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        if let Some(daemon) = &mut self.daemon {
            let _ = daemon.kill();
            let _ = daemon.wait();
        }
    }
}

#[test]
fn what_is_left_while_the_server_is_down_is_taken_in_order_when_it_starts() {
    let mut machine = Machine::new();
    machine.start();
    machine.end(Signal::SIGTERM);
    for number in 0..3 {
        machine.leave(&format!("you{number}@example.net"));
    }
    assert_eq!(machine.names().len(), 3);
    let mode = std::fs::metadata(machine.folder()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
    for arguments in [&["mailq"][..], &["queue", "list"]] {
        let output = run(puerto(machine.home.path(), arguments), b"");
        assert_eq!(code(&output), 75);
        assert!(
            stderr(&output).contains(": 3; it takes them when it starts"),
            "{}",
            stderr(&output)
        );
    }
    machine.start();
    machine.wait_for("three messages", |machine| machine.count("(queue active)") == 3);
    machine.wait_for("the folder to be empty", |machine| machine.names().is_empty());
    let log = machine.log();
    let pickups: Vec<&str> = log.lines().filter(|line| line.contains("/pickup[")).collect();
    assert_eq!(pickups.len(), 3, "{log}");
    assert!(pickups.iter().all(|line| line.contains(", claimed_dropped=20")), "{log}");
    let left = |line: &str| line.split("claimed_dropped=").nth(1).map(str::to_owned);
    let times: Vec<_> = pickups.iter().map(|line| left(line)).collect();
    assert!(times.is_sorted(), "{log}");
    machine.end(Signal::SIGTERM);
}

#[test]
fn a_message_is_as_old_as_it_was_when_it_was_left_and_other_instances_keep_their_hands_off() {
    let machine = Machine::with_folder();
    machine.leave(RECIPIENT);
    let path = machine.folder().join(machine.names().remove(0));
    let text = String::from_utf8(std::fs::read(&path).unwrap()).unwrap();
    assert!(text.contains("\n\nDate: "), "{text}");
    let sessions = machine.serve(Script::default());
    // Whoever has it in hand: the `sendmail` that may take it back, or another's process.
    let held = Flock::lock(File::open(&path).unwrap(), FlockArg::LockExclusive).unwrap();
    assert_eq!(machine.empty(), (75, String::new()));
    assert!(path.exists());
    assert!(sessions.try_recv().is_err());
    drop(held);
    assert_eq!(machine.empty(), (0, String::new()));
    assert!(!path.exists());
    let heard = sessions.recv_timeout(Duration::from_secs(60)).unwrap();
    assert!(heard.content.starts_with(b"Date: ") && heard.content.ends_with(b"hello\r\n.x\r\n"));
    // One that has a date keeps it.
    let _ = std::fs::remove_file(machine.home.path().join("run/submit"));
    let dated = b"Subject: x\nDate: Mon, 1 Jan 2024 00:00:00 +0000\n\nx\n";
    assert_eq!(code(&machine.send(&["-f", "me@example.com", RECIPIENT], dated)), 0);
    let text = std::fs::read_to_string(machine.folder().join(machine.names().remove(0))).unwrap();
    assert_eq!(text.matches("Date: ").count(), 1, "{text}");
}

#[test]
fn a_server_that_is_killed_at_any_moment_loses_nothing_and_doubles_only_what_was_in_hand() {
    let mut machine = Machine::with_folder();
    let (count, rounds) = (40, 4);
    for number in 0..count {
        machine.leave(&format!("you{number}@example.net"));
    }
    for round in 0..rounds {
        machine.start();
        machine.wait_for("some", |machine| machine.names().len() < count - round * 8);
        machine.end(Signal::SIGKILL);
    }
    machine.start();
    machine.wait_for("the folder to be empty", |machine| machine.names().is_empty());
    let queued = machine.queued();
    for number in 0..count {
        let address = format!("you{number}@example.net");
        assert!(queued.contains(&address), "{address}: {queued:?}");
    }
    // Two processes at most, each with one file: that of a dead server may still find the next.
    assert!(queued.len() <= count + 2 * rounds, "{queued:?}");
}

#[test]
fn what_is_sent_while_servers_come_and_go_is_in_the_queue_in_the_end() {
    let mut machine = Machine::with_folder();
    let config = machine.home.path().to_owned();
    let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let senders: Vec<_> = (0..3)
        .map(|sender| {
            let (config, stop) = (config.clone(), std::sync::Arc::clone(&stop));
            std::thread::spawn(move || {
                let mut promised = Vec::new();
                while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                    let to = format!("s{sender}n{}@example.net", promised.len());
                    let arguments = ["sendmail", "-i", "-f", "me@example.com", &to];
                    if code(&run(puerto(&config, &arguments), LETTER)) == 0 {
                        promised.push(to);
                    }
                }
                promised
            })
        })
        .collect();
    for round in 0..6 {
        machine.start();
        let before = machine.count("/pickup[");
        machine.wait_for("some mail", |machine| machine.count("/pickup[") > before);
        machine.end(if round % 2 == 0 { Signal::SIGTERM } else { Signal::SIGKILL });
        machine.wait_for("some mail to be left", |machine| !machine.names().is_empty());
    }
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    let promised: Vec<String> =
        senders.into_iter().flat_map(|sender| sender.join().unwrap()).collect();
    machine.start();
    machine.wait_for("the folder to be empty", |machine| machine.names().is_empty());
    let queued = machine.queued();
    let lost: Vec<_> = promised.iter().filter(|to| !queued.contains(to)).collect();
    assert!(lost.is_empty() && !promised.is_empty(), "{lost:?} of {}", promised.len());
}

#[test]
fn hostile_files_are_neither_read_nor_sent_and_the_log_says_why() {
    let mut machine = Machine::with_folder();
    let folder = machine.folder();
    let old = FileTimes::new().set_modified(UNIX_EPOCH);
    let secret = machine.home.path().join("secret");
    std::fs::write(&secret, "mine\n").unwrap();
    machine.leave(RECIPIENT);
    let good = machine.names().remove(0);
    let letter = std::fs::read(folder.join(&good)).unwrap();
    let write = |name: &str, octets: &[u8]| {
        std::fs::write(folder.join(name), octets).unwrap();
        File::options().write(true).open(folder.join(name)).unwrap().set_times(old).unwrap();
    };
    symlink(&secret, folder.join("a0link")).unwrap();
    symlink("/dev/zero", folder.join("a0device")).unwrap();
    nix::unistd::mkfifo(&folder.join("a0pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    std::fs::create_dir(folder.join("a0folder")).unwrap();
    std::fs::write(machine.home.path().join("second"), &letter).unwrap();
    std::fs::hard_link(machine.home.path().join("second"), folder.join("a0hard")).unwrap();
    write("a0cut", &letter[..letter.len() - 1]);
    write("a0long", &[&letter[..], b"x"].concat());
    write("a0empty", b"");
    write("a0text", b"Subject: no letter\n\nhi\n");
    write("a new\nline", &letter);
    write("a0sparse", &letter);
    let sparse = File::options().write(true).open(folder.join("a0sparse")).unwrap();
    if sparse.set_len(1 << 40).is_ok() {
        sparse.set_times(old).unwrap();
    } else {
        write("a0sparse", b"no such large files here");
    }
    write(".abandoned", b"x");
    machine.start();
    machine.wait_for("the good one", |machine| machine.count("(queue active)") == 1);
    machine.wait_for("the others", |machine| {
        machine.names().iter().filter(|name| name.starts_with("refused/")).count() == 11
    });
    let refused = machine.names().into_iter().filter(|name| name.starts_with("refused/"));
    assert_eq!(refused.count(), 11, "{:?}", machine.names());
    machine.wait_for("the rest to be gone", |machine| machine.names().len() == 11);
    machine.wait_for("what the log says", |machine| machine.count(" is not sent: ") == 11);
    let log = machine.log();
    for (name, why) in [
        ("a0link", "a symbolic link"),
        ("a0device", "a symbolic link"),
        ("a0pipe", "no regular file"),
        ("a0folder", "no regular file"),
        ("a0hard", "more than one name"),
        ("a0cut", "not whole"),
        ("a0long", "not whole"),
        ("a0empty", "not whole"),
        ("a0text", "no message that sendmail has left"),
        ("a new\\nline", "sendmail gives no such names"),
        ("a0sparse", "it is"),
    ] {
        let line =
            log.lines().find(|line| line.contains(&format!("{name:?}").replace("\\\\", "\\")));
        assert!(line.is_some_and(|line| line.contains(why)), "{name}: {log}");
    }
    assert_eq!(std::fs::read_to_string(&secret).unwrap(), "mine\n");
    // Each is named once: they are out of the way now.
    machine.leave(RECIPIENT);
    machine.wait_for("another", |machine| machine.count("(queue active)") == 2);
    assert_eq!(machine.count("a0link"), 1);
    machine.end(Signal::SIGTERM);
}

#[test]
fn a_folder_that_is_not_the_users_takes_nothing_and_sendmail_says_what_to_do() {
    let machine = Machine::new();
    let output = machine.send(&[RECIPIENT], LETTER);
    assert_eq!(code(&output), 75);
    let (uid, path) = (geteuid(), machine.folder());
    let advice = format!("install -d -m 700 -o {uid} {}", path.display());
    assert!(stderr(&output).contains(&advice), "{}", stderr(&output));
    // What it says helps, where the reader may do it.
    if geteuid().is_root() {
        let done = run(
            {
                let mut shell = std::process::Command::new("sh");
                shell.args(["-c", &advice]);
                shell
            },
            b"",
        );
        assert!(done.status.success(), "{done:?}");
        machine.leave(RECIPIENT);
        std::fs::remove_dir_all(&path).unwrap();
    }
    let elsewhere = machine.home.path().join("elsewhere");
    std::fs::create_dir_all(&elsewhere).unwrap();
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    symlink(&elsewhere, &path).unwrap();
    let output = machine.send(&[RECIPIENT], LETTER);
    assert_eq!(code(&output), 75, "a link is no folder");
    assert_eq!(std::fs::read_dir(&elsewhere).unwrap().count(), 0);
    let large = Machine::with_folder();
    let file = large.home.path().join("puerto.toml");
    let mut text = std::fs::read_to_string(&file).unwrap();
    text.push_str("[limits]\nmessage_size = 2000\n");
    std::fs::write(&file, text).unwrap();
    let output = large.send(&[RECIPIENT], &LETTER.repeat(100));
    assert_eq!(code(&output), 69, "the limits are the server's");
    assert_eq!(large.names(), [""; 0]);
}

#[test]
fn a_program_gone_wild_leaves_so_many_messages_and_no_more() {
    let machine = Machine::with_folder();
    for number in 0..999 {
        std::fs::write(machine.folder().join(format!("a{number}")), "").unwrap();
    }
    machine.leave(RECIPIENT);
    let output = machine.send(&[RECIPIENT], LETTER);
    assert_eq!(code(&output), 75);
    assert!(stderr(&output).contains("holds 1000 messages already"), "{}", stderr(&output));
    assert_eq!(machine.names().len(), 1000);
}

#[test]
fn whoever_sends_while_the_server_runs_has_a_folder_when_it_does_not() {
    let mut machine = Machine::new();
    machine.start();
    machine.wait_for("a folder", |machine| machine.folder().is_dir());
    // As of a user whom no file names: it is gone, and the server runs.
    std::fs::remove_dir(machine.folder()).unwrap();
    assert_eq!(code(&machine.send(&[RECIPIENT], LETTER)), 0);
    machine.wait_for("a folder", |machine| machine.folder().is_dir());
    machine.end(Signal::SIGTERM);
    machine.leave(RECIPIENT);
    assert_eq!(machine.names().len(), 1);
}

#[test]
fn a_message_of_many_recipients_is_left_in_as_many_parts_as_the_server_wants() {
    let machine = Machine::with_folder();
    let file = machine.home.path().join("puerto.toml");
    let mut text = std::fs::read_to_string(&file).unwrap();
    text.push_str("[limits]\nrecipients = 100\n");
    std::fs::write(&file, text).unwrap();
    let list: Vec<String> = (0..250).map(|number| format!("you{number}@example.net")).collect();
    machine.leave(&list.join(","));
    assert_eq!(machine.names().len(), 3);
    let sessions = machine.serve(Script { most_recipients: Some(100), ..Script::default() });
    assert_eq!(machine.empty(), (0, String::new()));
    let mut recipients: Vec<String> = Vec::new();
    while recipients.len() < list.len() {
        let heard = sessions.recv_timeout(Duration::from_secs(60)).unwrap();
        assert!(!heard.commands.iter().any(|line| line.starts_with("XORIGIN")), "not offered");
        recipients.extend(heard.recipients);
    }
    let place = |to: &String| list.iter().position(|known| known == to);
    recipients.sort_by_key(place);
    assert!(recipients == list);
    assert_eq!(machine.names(), [""; 0]);
}

#[test]
fn what_the_server_does_not_take_now_stays_and_what_it_refuses_comes_back() {
    let later = [
        Script { mail: Some("452 4.3.1 disk full"), ..Script::default() },
        Script { recipient: Some(("you@", "451 4.3.0 later")), ..Script::default() },
        Script { content: Some("451 4.3.0 disk"), ..Script::default() },
        Script { hang_up_after: Some(1), ..Script::default() },
    ];
    let machine = Machine::with_folder();
    machine.leave(RECIPIENT);
    for script in later {
        let _sessions = machine.serve(script);
        assert_eq!(machine.empty(), (75, String::new()));
        assert_eq!(machine.names().len(), 1);
    }
    let script =
        Script { recipient: Some(("you@", "554 5.7.1 not <from> you")), ..Script::default() };
    let sessions = machine.serve(script.clone());
    let (code_of, said) = machine.empty();
    assert!(said.contains("returned to its user") && said.contains("554 5.7.1"), "{said}");
    assert_eq!(code_of, 0);
    assert_eq!(machine.names(), [""; 0]);
    assert!(!sessions.recv_timeout(Duration::from_secs(60)).unwrap().complete);
    let notice = sessions.recv_timeout(Duration::from_secs(60)).unwrap();
    assert!(notice.commands.contains(&"MAIL FROM:<>".to_owned()), "{notice:?}");
    let text = String::from_utf8(notice.content).unwrap();
    for part in ["554 5.7.1 not <from> you", "<you@example.net>", "Subject: hi", "auto-replied"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    // A notification that is refused is told to nobody, and kept.
    let output = machine.send(&["-i", "-f", "<>", RECIPIENT], LETTER);
    assert_eq!(code(&output), 69, "a server is there, and it does not take it");
    let _ = std::fs::remove_file(machine.home.path().join("run/submit"));
    assert_eq!(code(&machine.send(&["-i", "-f", "<>", RECIPIENT], LETTER)), 0);
    let _sessions = machine.serve(script);
    let (code_of, said) = machine.empty();
    assert!(said.contains("its user cannot be told") && code_of == 0, "{said}");
    assert!(machine.names()[0].starts_with("refused/"), "{:?}", machine.names());
}
