//! The process that has each user's folder emptied when the daemon starts.
//!
//! It is started before the daemon gives root's rights up, makes the folders that are
//! missing, and waits for an empty line: mail is taken now. Then it starts a process for each
//! folder that is not empty, which is that folder's user's from its first instruction, until
//! nothing is left to be tried again. As long as the daemon runs it stays, and hears the
//! numbers of users who have sent mail and have no folder (those whom a directory knows, and
//! those who are newer than the daemon's start): they have one before the daemon is down.
//! When it ends with the daemon, it looks once more for users of the system's own file.
//!
//! That is all that it takes from the daemon. One that was broken into can have an empty
//! folder made for a user of the system, in the place that is root's, and nothing else. What
//! it says is for the log, a line each: `i` or `w` for how much it matters, and the text.

use std::collections::{HashMap, HashSet};
use std::io::{self, BufRead as _, Read as _, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream as Socket;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitCode, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::Duration;

use nix::unistd::{Uid, User, geteuid};
use puerto_spool::clock::{Clock as _, SystemClock};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;
use tokio::sync::{mpsc as channel, watch};

use super::{has_any, is_program, make_for, owners, prepare};
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
/// How much longer the kernel may take to end one: for ever, where a file system that is a
/// program of the user's does not answer. Nobody waits for that.
const KILLED: Duration = Duration::from_secs(10);
/// How often it is looked after.
const LOOK: Duration = Duration::from_millis(20);
/// Folders that are made for users whom the daemon names, as long as it runs.
const NEWCOMERS: usize = 10_000;
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

    /// Tells it that mail is taken and who has sent some, and logs what it says, until it ends
    /// or the daemon stops.
    pub async fn run(
        self,
        log: MailLog,
        mut seen: channel::Receiver<u32>,
        mut stop: watch::Receiver<bool>,
    ) {
        let Self { socket, mut child } = self;
        let stream = socket.set_nonblocking(true).and_then(|()| UnixStream::from_std(socket));
        let Ok(mut stream) = stream else { return };
        // One that has ended has said why.
        let _ = stream.write_all(b"\n").await;
        let (hears, mut says) = stream.into_split();
        let mut hears = BufReader::new(hears);
        let mut line = Vec::new();
        loop {
            let mut bounded = (&mut hears).take(LINE);
            tokio::select! {
                _ = stop.changed() => return,
                Some(uid) = seen.recv() => {
                    let _ = says.write_all(format!("{uid}\n").as_bytes()).await;
                }
                // What has been read of a line stays in it.
                read = bounded.read_until(b'\n', &mut line) => match read {
                    Ok(octets) if octets > 0 => {
                        say(&log, &String::from_utf8_lossy(&line));
                        line.clear();
                    }
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

/// Hears in the log who sends mail, and says each of them once.
pub fn newcomers() -> (impl Fn(&Event<'_>) + Send + Sync + 'static, channel::Receiver<u32>) {
    let (says, seen) = channel::channel(64);
    let known = Mutex::new(HashSet::new());
    let hears = move |event: &Event<'_>| {
        let Event::FromLocalUser { uid, .. } = event else { return };
        let mut known = locked(&known);
        // Whom there was no room for comes again.
        if known.len() < NEWCOMERS && !known.contains(uid) && says.try_send(*uid).is_ok() {
            known.insert(*uid);
        }
    };
    (hears, seen)
}

/// What the agent and the processes that it starts have on their command lines.
#[derive(Debug, Clone)]
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
            | Capabilities::CHOWN
            | Capabilities::DAC_READ_SEARCH,
    )?;
    let mut lines = io::BufReader::new(socket.try_clone()?).take(LINE);
    if lines.read_until(b'\n', &mut Vec::new())? == 0 {
        return Ok(());
    }
    let (heard, hears) = mpsc::channel::<()>();
    let directory = errands.directory.clone();
    std::thread::spawn(move || {
        hear(lines, &directory);
        drop(heard);
    });
    let log = Mutex::new((socket, HashMap::new()));
    let rounds = Rounds { errands: errands.clone(), log };
    let mut crew = Crew::new(AT_ONCE, LIFE + KILLED, move |uid| rounds.folder(uid));
    let mut pending = owners(&errands.directory);
    let mut pause = PAUSE;
    loop {
        let progress;
        (pending, progress) = crew.empty(pending);
        pause = if progress { PAUSE } else { (pause * 2).min(LONGEST_PAUSE) };
        let ended = match pending.is_empty() {
            true => hears.recv().is_err(),
            false => hears.recv_timeout(pause) == Err(mpsc::RecvTimeoutError::Disconnected),
        };
        if ended {
            // Whoever has none then is told by `sendmail` what to do.
            let _ = prepare(&errands.directory);
            return Ok(());
        }
    }
}

// Until the daemon is gone. A user's number that the system does not know is nobody's.
fn hear(mut lines: io::Take<io::BufReader<Socket>>, directory: &Path) {
    let mut made = 0;
    let mut line = String::new();
    loop {
        line.clear();
        lines.set_limit(LINE);
        match lines.read_line(&mut line) {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        let Ok(uid) = line.trim().parse() else { continue };
        let is_known = || matches!(User::from_uid(Uid::from_raw(uid)), Ok(Some(_)));
        if made < NEWCOMERS && is_known() {
            made += 1;
            // Without one, `sendmail` says how root makes it.
            let _ = make_for(directory, Uid::from_raw(uid));
        }
    }
}

/// Does something about many users, for so many at a time. Whoever takes too long loses the
/// place to the next, and is not begun again before the end of that.
struct Crew<F> {
    at_once: usize,
    patience: Duration,
    work: Arc<F>,
    ends: (mpsc::Sender<Ended>, mpsc::Receiver<Ended>),
    /// Those who have taken too long.
    stuck: HashSet<u32>,
}

/// A user, and with what the work about them has ended.
type Ended = (Uid, Option<u8>);

impl<F: Fn(Uid) -> Option<u8> + Send + Sync + 'static> Crew<F> {
    fn new(at_once: usize, patience: Duration, work: F) -> Self {
        let (work, stuck) = (Arc::new(work), HashSet::new());
        Self { at_once, patience, work, ends: mpsc::channel(), stuck }
    }

    /// Works on these users; returns those that are to be looked at again, and whether
    /// anything was done.
    fn empty(&mut self, users: Vec<Uid>) -> (Vec<Uid>, bool) {
        let (mut again, mut progress) = (Vec::new(), false);
        let mut running: HashMap<u32, Duration> = HashMap::new();
        let mut todo = users.into_iter();
        loop {
            while running.len() < self.at_once
                && let Some(uid) = todo.next()
            {
                if self.stuck.contains(&uid.as_raw()) {
                    again.push(uid);
                    continue;
                }
                let (work, ends) = (Arc::clone(&self.work), self.ends.0.clone());
                // Nobody hears the end of what is stuck when the process ends.
                std::thread::spawn(move || {
                    let _ = ends.send((uid, work(uid)));
                });
                running.insert(uid.as_raw(), SystemClock.elapsed());
            }
            if running.is_empty() {
                return (again, progress);
            }
            if let Ok((uid, code)) = self.ends.1.recv_timeout(self.patience / 100) {
                self.stuck.remove(&uid.as_raw());
                let is_awaited = running.remove(&uid.as_raw()).is_some();
                if is_awaited && code != Some(DONE) {
                    again.push(uid);
                    progress |= code == Some(MORE);
                }
            }
            let now = SystemClock.elapsed();
            for (uid, _) in running.extract_if(|_, since| now - *since > self.patience) {
                self.stuck.insert(uid);
                again.push(Uid::from_raw(uid));
            }
        }
    }
}

struct Rounds {
    errands: Errands,
    /// Where lines for the log go, and how many each user has had.
    log: Mutex<(Socket, HashMap<u32, usize>)>,
}

impl Rounds {
    fn folder(&self, uid: Uid) -> Option<u8> {
        if is_program(&self.errands.directory, uid) {
            self.tell(uid, "it is a file system that is a program (FUSE): nothing is taken of it");
            return Some(DONE);
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_never_ends_keeps_nobody_else_waiting_and_is_not_begun_again() {
        let (begun, begins) = mpsc::channel();
        let (release, released) = mpsc::channel::<()>();
        let released = Mutex::new(released);
        let mut crew = Crew::new(2, Duration::from_millis(200), move |uid: Uid| {
            begun.send(uid.as_raw()).unwrap();
            match uid.as_raw() {
                1 => {
                    let _ = locked(&released).recv();
                    Some(DONE)
                }
                2 => Some(LATER),
                3 => Some(MORE),
                _ => Some(DONE),
            }
        });
        let users = |numbers: &[u32]| numbers.iter().copied().map(Uid::from_raw).collect();
        let (again, progress) = crew.empty(users(&[1, 2, 3, 4, 5]));
        assert_eq!((again, progress), (users(&[2, 3, 1]), true));
        assert_eq!(begins.try_iter().count(), 5);
        let (again, progress) = crew.empty(users(&[1, 2]));
        assert_eq!((again, progress), (users(&[1, 2]), false));
        assert_eq!(begins.try_iter().collect::<Vec<_>>(), [2]);
        // It has ended after all.
        release.send(()).unwrap();
        while crew.stuck.contains(&1) {
            crew.empty(users(&[4]));
        }
        drop(release);
        assert_eq!(crew.empty(users(&[1])), (Vec::new(), false));
    }
}
