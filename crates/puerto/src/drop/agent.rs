//! The process that has each user's folder emptied when the daemon starts.
//!
//! It is started before the daemon gives root's rights up, makes the folders that are
//! missing, and waits for one octet: mail is taken now. Then it starts a process for each
//! folder that is not empty, which is that folder's user's from its first instruction, and
//! ends when nothing is left to be tried again. It takes no request: a daemon that was
//! broken into can have it do nothing but this. What it says is for the log, a line each:
//! `i` or `w` for how much it matters, and the text.

use std::collections::HashMap;
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream as Socket;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitCode, ExitStatus, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use nix::unistd::{Uid, User, geteuid};
use puerto_spool::clock::{Clock as _, SystemClock};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;
use tokio::sync::watch;

use super::{has_any, owners, prepare};
use crate::lang::{Language, harmless};
use crate::rights::{self, Capabilities};
use crate::telemetry::{Event, MailLog};

/// The name of the hidden subcommand that runs the agent.
pub const SUBCOMMAND: &str = "drop-agent";
/// The name of the one that runs the processes that it starts.
pub const READER: &str = "drop-reader";

/// With what such a process ends: all is done; there is more; it is to be tried again later.
pub const DONE: u8 = 0;
/// There is more to do, and something was done.
pub const MORE: u8 = 1;
/// What is left has to wait.
pub const LATER: u8 = 75;

/// How long such a process may take: it ends much earlier of itself, but for one message
/// whose final dot is not answered, or if its user has stopped it.
const LIFE: Duration = Duration::from_secs(15 * 60);
/// How often it is looked after.
const LOOK: Duration = Duration::from_millis(20);
/// Such processes at the same time.
const AT_ONCE: usize = 32;
/// How long the next round waits: while there is progress, and at most.
const PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(600);
/// Lines about one user's folder that the log gets of one start.
const LINES: usize = 20;
/// Octets that are read of what such a process says, and of a line of the agent's.
const SAID: u64 = 64 * 1024;
const LINE: u64 = 4096;
/// The group of a user whom the system does not know.
const NO_GROUP: u32 = 65_534;

/// The daemon's end. Dropping it ends the agent.
#[derive(Debug)]
pub struct Agent {
    socket: Socket,
    child: Child,
}

impl Agent {
    /// Starts the agent: before rights are given up.
    pub fn spawn(directory: &Path, submit: &Path, language: Language) -> io::Result<Self> {
        let (socket, theirs) = Socket::pair()?;
        let errands = Errands::new(directory, submit, language);
        let mut command = errands.program(SUBCOMMAND);
        let child = command.stdin(Stdio::from(OwnedFd::from(theirs))).spawn()?;
        Ok(Self { socket, child })
    }

    /// Tells it that mail is taken, and logs what it says, until it ends or the daemon stops.
    pub async fn run(self, log: MailLog, mut stop: watch::Receiver<bool>) {
        let Self { socket, mut child } = self;
        let stream = socket.set_nonblocking(true).and_then(|()| UnixStream::from_std(socket));
        let Ok(mut stream) = stream else { return };
        // One that has ended has said why.
        let _ = stream.write_all(b"\n").await;
        let mut stream = BufReader::new(stream);
        loop {
            let mut line = Vec::new();
            let mut bounded = (&mut stream).take(LINE);
            tokio::select! {
                _ = stop.changed() => return,
                read = bounded.read_until(b'\n', &mut line) => match read {
                    Ok(octets) if octets > 0 => say(&log, &String::from_utf8_lossy(&line)),
                    Ok(_) | Err(_) => break,
                },
            }
        }
        let _ = tokio::task::spawn_blocking(move || child.wait()).await;
    }
}

fn say(log: &MailLog, line: &str) {
    let level = if line.starts_with('i') { "info" } else { "warning" };
    let text = harmless(line.trim_end().get(1..).unwrap_or_default());
    log.write(&Event::Notice { level, component: "pickup", id: None, text: &text });
}

/// What the agent and the processes that it starts have on their command lines.
#[derive(Debug)]
pub struct Errands {
    directory: PathBuf,
    submit: PathBuf,
    language: Language,
}

impl Errands {
    /// The folders, the socket at which mail is handed over, and in which language users
    /// are told what was refused.
    pub fn new(directory: &Path, submit: &Path, language: Language) -> Self {
        Self { directory: directory.into(), submit: submit.into(), language }
    }

    fn program(&self, subcommand: &str) -> Command {
        let language = if self.language == Language::Spanish { "es" } else { "en" };
        let mut command = Command::new("/proc/self/exe");
        command.arg0("puerto").arg(subcommand).arg("--").args([&self.directory, &self.submit]);
        command.arg(language).env_clear().stdin(Stdio::null()).stdout(Stdio::null());
        if let Some(zone) = std::env::var_os("TZ") {
            command.env("TZ", zone);
        }
        command
    }

    // Without any other group's rights, too: the library gives them up with root's.
    fn reader(&self, uid: Uid) -> io::Result<Child> {
        let mut command = self.program(READER);
        if uid != geteuid() {
            let group = User::from_uid(uid).ok().flatten().map(|user| user.gid.as_raw());
            command.gid(group.unwrap_or(NO_GROUP)).uid(uid.as_raw());
        }
        command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn()
    }
}

/// The agent's whole life: what the hidden subcommand runs. The socket to the daemon is its
/// standard input.
pub fn run(errands: &Errands) -> ExitCode {
    // It ends with the daemon, which ends in its own time after a signal to the group.
    let _ = nix::sys::signal::SigSet::all().thread_block();
    let _ = std::env::set_current_dir("/");
    let socket = io::stdin().as_fd().try_clone_to_owned().map(Socket::from);
    match socket.and_then(|socket| live(errands, socket)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("puerto {SUBCOMMAND}: this is started by `puerto serve` alone: {error}");
            ExitCode::from(70)
        }
    }
}

fn live(errands: &Errands, mut socket: Socket) -> io::Result<()> {
    let level = if geteuid().is_root() { 'w' } else { 'i' };
    if let Err(error) = prepare(&errands.directory) {
        let (path, why) = (errands.directory.display(), rights::said(&error));
        return writeln!(
            socket,
            "{level}sendmail cannot leave mail while the server does not run: {path}: {why}; it is \
             to be a folder of the user that starts the server, which nobody else may write to \
             (pickup.directory)"
        );
    }
    rights::keep(
        Capabilities::SETUID
            | Capabilities::SETGID
            | Capabilities::KILL
            | Capabilities::DAC_READ_SEARCH,
    )?;
    let mut octet = [0];
    if socket.read(&mut octet)? == 0 {
        return Ok(());
    }
    let mut pending = owners(&errands.directory);
    let round = Round { errands, log: Mutex::new((socket.try_clone()?, HashMap::new())) };
    let mut pause = PAUSE;
    loop {
        let progress;
        (pending, progress) = round.empty(pending);
        if pending.is_empty() {
            return Ok(());
        }
        pause = if progress { PAUSE } else { (pause * 2).min(LONGEST_PAUSE) };
        socket.set_read_timeout(Some(pause))?;
        match socket.read(&mut octet) {
            Ok(0) => return Ok(()),
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err(error),
            Ok(_) | Err(_) => {}
        }
    }
}

struct Round<'a> {
    errands: &'a Errands,
    /// Where lines for the log go, and how many each user has had.
    log: Mutex<(Socket, HashMap<u32, usize>)>,
}

impl Round<'_> {
    /// Has the folders of these users emptied; returns those that are to be looked into
    /// again, and whether anything was done.
    fn empty(&self, users: Vec<Uid>) -> (Vec<Uid>, bool) {
        let at_once = users.len().min(AT_ONCE);
        let (todo, again) = (Mutex::new(users.into_iter()), Mutex::new((Vec::new(), false)));
        std::thread::scope(|scope| {
            for _ in 0..at_once {
                scope.spawn(|| {
                    while let Some(uid) = locked(&todo).next() {
                        let code = self.folder(uid);
                        if code != Some(DONE) {
                            let mut again = locked(&again);
                            again.0.push(uid);
                            again.1 |= code == Some(MORE);
                        }
                    }
                });
            }
        });
        again.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    fn folder(&self, uid: Uid) -> Option<u8> {
        if !has_any(&self.errands.directory, uid) {
            return Some(DONE);
        }
        let ended = self.errands.reader(uid).and_then(wait);
        let (status, said) = match ended {
            Ok(ended) => ended,
            Err(error) => {
                self.tell(uid, &format!("no process can be started: {error}"));
                return None;
            }
        };
        for line in said.lines() {
            self.tell(uid, line);
        }
        let code = status.code().and_then(|code| u8::try_from(code).ok());
        let code = code.filter(|code| [DONE, MORE, LATER].contains(code));
        if code.is_none() {
            self.tell(uid, &format!("the process has ended ({status}); it is tried again"));
        }
        code
    }

    fn tell(&self, uid: Uid, text: &str) {
        let mut log = locked(&self.log);
        let (socket, lines) = &mut *log;
        let lines = lines.entry(uid.as_raw()).or_default();
        *lines += 1;
        let text: String = text.chars().take(LINE as usize / 8).collect();
        // A daemon that does not hear it is gone.
        let _ = match *lines {
            ..LINES => writeln!(socket, "wdrop folder of uid {uid}: {text}"),
            LINES => writeln!(socket, "wdrop folder of uid {uid}: more is not logged"),
            _ => Ok(()),
        };
    }
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

// Nothing that it does, or does not, is waited for longer than its life.
fn wait(mut reader: Child) -> io::Result<(ExitStatus, String)> {
    let started = SystemClock.elapsed();
    let status = loop {
        match reader.try_wait()? {
            Some(status) => break status,
            None if SystemClock.elapsed() - started > LIFE => {
                reader.kill()?;
                break reader.wait()?;
            }
            None => std::thread::sleep(LOOK),
        }
    };
    let said = reader.stdout.take().map(said).unwrap_or_default();
    Ok((status, said))
}

// What is in the pipe, as much as a pipe holds: a process of its may still have the other end.
fn said(out: ChildStdout) -> String {
    let mut said = Vec::new();
    if rustix::io::ioctl_fionbio(&out, true).is_ok() {
        let _ = out.take(SAID).read_to_end(&mut said);
    }
    String::from_utf8_lossy(&said).into_owned()
}
