//! The daemon as a process: what signals and limits do to it.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use puerto_spool::clock::{Clock as _, SystemClock};

use crate::support::command::{home, puerto};

/// A daemon that listens at its local sockets alone.
struct Daemon {
    process: Child,
    home: tempfile::TempDir,
}

impl Daemon {
    fn start(prefix: &[&str]) -> Self {
        let home = home();
        let file = home.path().join("puerto.toml");
        let mut configuration = std::fs::read_to_string(&file).unwrap();
        configuration.push_str(&format!(
            "state_dir = {:?}\nuser = \"\"\nlog_to = {:?}\n[listen]\nsmtp = []\n\
             [dns]\nservers = [\"127.0.0.1:9\"]\n[dkim]\ndirectory = {:?}\n",
            home.path().join("state"),
            home.path().join("mail.log"),
            home.path().join("dkim"),
        ));
        std::fs::write(&file, configuration).unwrap();
        let serve = puerto(home.path(), &["serve"]);
        let mut command = match prefix.split_first() {
            None => serve,
            Some((first, rest)) => {
                let mut command = Command::new(first);
                command.args(rest).arg(serve.get_program()).args(serve.get_args());
                command.env("PUERTO_CONFIG", &file);
                command
            }
        };
        let process = command.stdin(Stdio::null()).spawn().unwrap();
        Self { process, home }
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(self.process.id() as i32)
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.home.path().join("mail.log")).unwrap_or_default()
    }

    /// Whether it has gone so far that it blocks or handles SIGHUP.
    fn minds_reloads(&self) -> bool {
        let status = Path::new("/proc").join(self.process.id().to_string()).join("status");
        let status = std::fs::read_to_string(status).unwrap_or_default();
        let masks = status.lines().filter(|l| l.starts_with("SigBlk") || l.starts_with("SigCgt"));
        masks.filter_map(|line| line.chars().last()?.to_digit(16)).any(|digit| digit & 1 == 1)
    }

    fn wait_for(&mut self, what: &str, mut condition: impl FnMut(&Self) -> bool) {
        let deadline = SystemClock.elapsed() + Duration::from_secs(60);
        while !condition(self) {
            let ended = self.process.try_wait().unwrap();
            assert!(ended.is_none(), "it ended with {ended:?}: {}", self.log());
            assert!(SystemClock.elapsed() < deadline, "waited in vain for {what}: {}", self.log());
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn stop(&mut self) {
        kill(self.pid(), Signal::SIGTERM).unwrap();
        assert!(self.process.wait().unwrap().success(), "{}", self.log());
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn a_reload_during_the_start_does_not_end_the_daemon() {
    for _ in 0..5 {
        let mut daemon = Daemon::start(&[]);
        daemon.wait_for("its first steps", Daemon::minds_reloads);
        daemon.wait_for("the start", |daemon| {
            kill(daemon.pid(), Signal::SIGHUP).unwrap();
            daemon.log().contains("ready as")
        });
        daemon.wait_for("the reload", |daemon| daemon.log().contains("was read again"));
        daemon.stop();
    }
}

#[test]
fn an_address_space_of_400_megabytes_is_enough() {
    let mut daemon = Daemon::start(&["prlimit", "--as=400000000"]);
    daemon.wait_for("the start", |daemon| daemon.log().contains("ready as"));
    let run_dir = daemon.home.path().join("run");
    std::thread::scope(|scope| {
        for _ in 0..40 {
            scope.spawn(|| {
                let mut client = puerto::control::Client::connect(&run_dir).unwrap();
                for _ in 0..50 {
                    assert_eq!(client.health().unwrap().refusing, None);
                }
            });
        }
    });
    daemon.stop();
}
