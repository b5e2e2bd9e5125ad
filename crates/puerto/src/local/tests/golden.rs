//! What deliveries to mailboxes come to, word for word: in the log, and in Spanish.

use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::{Arc, Mutex};

use super::{House, MESSAGE, job};
use crate::config::{Config, Mailbox};
use crate::deliver::{Body, BodyReader, Job, Report};
use crate::golden;
use crate::lang::Language;
use crate::telemetry::{Event, MailLog};

const ALIASES: &str = "pipe: |/bin/false\nfile: /var/tmp/x\ninclude: :include:members\n\
    bad: a@b@c\nodd: a[b\nmixed: root, \"|/bin/false\", nobody-here\n\
    circle: round\nround: circle\nnull: /dev/null\nsome: root, /dev/null\n\
    list: :include:DIR/missing, root\nfifo: :include:DIR/fifo\n\
    on: on1\n";

struct Told {
    house: House,
    notices: Arc<Mutex<Vec<String>>>,
    text: String,
}

impl Told {
    fn new() -> Self {
        let notices = Arc::new(Mutex::new(Vec::new()));
        let written = Arc::clone(&notices);
        let log = MailLog::new(move |event| {
            let said = match event {
                Event::Notice { level, component, text, .. } => (level, component, *text),
                Event::Remark { level, component, cause, .. } => (level, component, &*cause.text()),
                _ => return,
            };
            let (level, component, text) = said;
            written.lock().unwrap().push(format!("  {level} {component}: {text}\n"));
        });
        let house = House::with_log("", log);
        let chain: String = (1..30).map(|n| format!("on{n}: on{}\n", n + 1)).collect();
        let aliases = ALIASES.replace("DIR", &house.dir.path().display().to_string());
        house.write_aliases(&(aliases + &chain));
        let mode = nix::sys::stat::Mode::from_bits_truncate(0o600);
        nix::unistd::mkfifo(&house.dir.path().join("fifo"), mode).unwrap();
        Self { house, notices, text: String::new() }
    }

    async fn of(&mut self, what: &str, job: &Job) {
        let report = self.house.mailboxes.deliver(job).await;
        self.add(what, &report);
    }

    async fn to(&mut self, what: &str, to: &str) {
        self.of(what, &job(&[to], MESSAGE)).await;
    }

    fn add(&mut self, what: &str, report: &Report) {
        let dir = self.house.dir.path().display().to_string();
        let plain = |text: &str| {
            let text = text.replace(&dir, "/DIR");
            let is_id = |word: &&str| {
                word.len() == 12
                    && word.bytes().all(|o| o.is_ascii_digit() || o.is_ascii_uppercase())
            };
            match text.split(|c: char| !c.is_alphanumeric()).find(is_id) {
                Some(id) => text.replace(id, "ID"),
                None => text,
            }
        };
        self.text.push_str(&format!("{what}\n"));
        for outcome in &report.outcomes {
            let (status, code) = (format!("{:?}", outcome.status), outcome.status_code);
            let spanish = outcome.cause.said().of(Language::Spanish);
            let again = outcome.retry_after.map(|wait| format!(" again after {wait:?}"));
            let again = again.unwrap_or_default();
            self.text.push_str(&format!("  {status} {code}{again} {}\n", plain(&outcome.text())));
            self.text.push_str(&format!("    {}\n", plain(&spanish)));
        }
        for notice in self.notices.lock().unwrap().drain(..) {
            self.text.push_str(&plain(&notice));
        }
    }

    fn mail(&self, name: &str) -> std::path::PathBuf {
        self.house.dir.path().join("mail").join(name)
    }
}

struct Broken;

impl Body for Broken {
    fn len(&self) -> u64 {
        10
    }

    fn open(&self) -> std::io::Result<Box<dyn BodyReader>> {
        Err(std::io::Error::from_raw_os_error(5))
    }
}

#[tokio::test]
async fn what_is_said_of_mailboxes_stays_as_it_is() {
    let mut told = Told::new();
    for name in ["root", "root+tag", "nobody-here", "pipe", "file", "include", "bad", "odd"] {
        told.to(name, &format!("{name}@example.com")).await;
    }
    for name in ["mixed", "circle", "null", "some", "list", "fifo", "on"] {
        told.to(name, &format!("{name}@example.com")).await;
    }
    let looping = b"Delivered-To: root@example.com\r\nSubject: x\r\n\r\n";
    told.of("a loop", &job(&["root@example.com"], looping)).await;
    told.of("a broken disk", &Job { body: Arc::new(Broken), ..other(1, "root") }).await;
    mailboxes(&mut told).await;
    forwards(&mut told).await;
    let mut config = Config::for_tests(told.house.dir.path());
    config.local.mailbox_size = 10;
    told.house.mailboxes.config_for_tests().replace(config.clone());
    told.of("a full mailbox", &other(20, "root")).await;
    config.local.mailbox = Mailbox::Lmtp("nonsense".into());
    told.house.mailboxes.config_for_tests().replace(config.clone());
    told.of("an LMTP server without an address", &other(21, "root")).await;
    config.local.mailbox = Mailbox::Lmtp("127.0.0.1:24".into());
    told.house.mailboxes.config_for_tests().replace(config.clone());
    told.of("no LMTP client", &other(22, "root")).await;
    config.local.mailbox = Mailbox::Mbox;
    config.local.aliases = told.house.dir.path().join("fifo");
    told.house.mailboxes.config_for_tests().replace(config);
    told.of("no aliases to be read", &other(23, "root")).await;
    golden::same("local/outcomes.txt", &told.text);
}

async fn mailboxes(told: &mut Told) {
    type Prepare = dyn Fn(&Path);
    let path = told.mail("daemon");
    let prepare: [(&str, &Prepare); 5] = [
        ("a link", &|path| symlink("/etc/passwd", path).unwrap()),
        ("a second name", &|path| {
            std::fs::write(path, "").unwrap();
            std::fs::hard_link(path, path.with_extension("2")).unwrap();
        }),
        ("a folder", &|path| std::fs::create_dir(path).unwrap()),
        ("a pipe", &|path| {
            let mode = nix::sys::stat::Mode::from_bits_truncate(0o600);
            nix::unistd::mkfifo(path, mode).unwrap();
        }),
        ("a lock", &|path| std::fs::write(path.with_extension("lock"), "1\n").unwrap()),
    ];
    for (n, (what, prepare)) in (2..).zip(prepare) {
        prepare(&path);
        told.of(&format!("{what} in a mailbox's place"), &other(n, "daemon")).await;
        let _ = std::fs::remove_dir(&path);
        let _ = std::fs::remove_file(&path);
    }
}

async fn forwards(told: &mut Told) {
    let home = told.mail("home/bin");
    std::fs::create_dir_all(&home).unwrap();
    let file = home.join(".forward");
    let texts = ["/dev/null", "a@example.net", "|/bin/false, nobody-here", ":include:/x", "a@b@c"];
    for (n, text) in (10..).zip(texts) {
        std::fs::write(&file, text).unwrap();
        told.of(&format!("a .forward: {text}"), &other(n, "bin")).await;
    }
    std::fs::remove_file(&file).unwrap();
    symlink("/etc/passwd", &file).unwrap();
    told.of("a .forward that is a link", &other(15, "bin")).await;
    std::fs::remove_file(&file).unwrap();
    std::fs::write(&file, "x".repeat(70_000)).unwrap();
    told.of("a long .forward", &other(16, "bin")).await;
}

// Of another message, which nobody has yet.
fn other(n: u64, user: &str) -> Job {
    let id = puerto_spool::MessageId::from_u64((2 + n) << 40);
    Job { id, ..job(&[&format!("{user}@example.com")], MESSAGE) }
}
