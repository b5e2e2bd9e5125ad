//! The daemon's part: sees which folders have changed and has them emptied.
//!
//! The daemon may not look into a user's folder, but it sees when the folder was changed: a
//! time that its user cannot set (`st_ctime`). Nothing is done where nothing has changed.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::UnixStream as Socket;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use nix::unistd::{Uid, geteuid};
use rustix::fs::Dir;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use super::agent::{AgentHandle, LIFE};
use super::{Ledger, Report, Request, open_folder};
use crate::config::Live;
use crate::lang::Language;
use crate::telemetry::{Event, MailLog};

/// How often it looks for what has changed.
const LOOK: Duration = Duration::from_secs(5);
/// How long what must wait is left alone.
const LATER: Duration = Duration::from_secs(20);
/// Folders that are emptied at the same time.
const AT_ONCE: usize = 16;
/// Octets of one report at most, and how many of them are heard of one process.
const REPORT: u64 = 64 * 1024;
const REPORTS: usize = 5000;
/// How many files of one process the log names; the others are counted.
const NAMED: usize = 20;

/// When a folder was changed last.
type Stamp = (i64, i64, u64);
/// That of each user's folder.
pub type Stamps = BTreeMap<u32, (i64, i64, u64)>;

fn stamps(directory: &Path) -> Stamps {
    let entries = std::fs::read_dir(directory).into_iter().flatten().filter_map(Result::ok);
    let stamp = |entry: std::fs::DirEntry| {
        let uid: u32 = entry.file_name().to_str()?.parse().ok()?;
        let seen = std::fs::symlink_metadata(entry.path()).ok()?;
        let is_folder = seen.is_dir() && seen.uid() == uid;
        is_folder.then(|| (uid, (seen.ctime(), seen.ctime_nsec(), seen.ino())))
    };
    entries.filter_map(stamp).collect()
}

/// The folders that hold nothing: for a start as root, so that not each of them has to be
/// looked into by a process of its user's.
pub fn empty_folders(directory: &Path) -> Stamps {
    let is_empty = |uid: u32| {
        let folder = open_folder(directory, Uid::from_raw(uid)).ok();
        let folder = folder.and_then(|folder| Dir::new(folder).ok());
        folder.is_some_and(|mut folder| {
            let names = folder.by_ref().filter_map(Result::ok);
            !names
                .map(|entry| entry.file_name().to_bytes().to_vec())
                .any(|name| name != b"." && name != b".." && name != super::REFUSED.as_bytes())
        })
    };
    stamps(directory).into_iter().filter(|(uid, _)| is_empty(*uid)).collect()
}

/// What the watch needs.
pub struct Watch {
    /// Where the folders are.
    pub directory: PathBuf,
    /// Where mail is handed over.
    pub socket: PathBuf,
    /// Who empties them; started when it is needed, if the daemon can.
    pub agent: Option<AgentHandle>,
    /// Folders that were empty a moment ago.
    pub empty: Stamps,
    /// What was taken.
    pub ledger: Arc<Ledger>,
    /// Who was met.
    pub met: mpsc::Receiver<Uid>,
    /// The configuration.
    pub config: Live,
    /// The mail log.
    pub log: MailLog,
}

impl Watch {
    /// Watches until the daemon stops.
    pub async fn run(self, mut stop: watch::Receiver<bool>) {
        let Self { directory, socket, agent, empty, ledger, mut met, config, log } = self;
        let becomes_others = agent.is_some() || geteuid().is_root();
        let agent = Mutex::new(agent);
        let crew = Crew { directory, socket, becomes_others, ledger, config, log, agent };
        let crew = Arc::new(crew);
        let mut rounds = Rounds { known: empty, ..Rounds::default() };
        let mut work = JoinSet::new();
        while !*stop.borrow() {
            let directory = crew.directory.clone();
            let now = tokio::task::spawn_blocking(move || stamps(&directory)).await;
            let mut now = now.unwrap_or_default();
            now.retain(|uid, _| crew.becomes_others || *uid == geteuid().as_raw());
            for (uid, stamp) in rounds.due(now, work.len()) {
                let crew = Arc::clone(&crew);
                work.spawn(async move { (uid, stamp, crew.empty(uid).await) });
            }
            tokio::select! {
                changed = stop.changed() => if changed.is_err() { break },
                Some(ended) = work.join_next(), if !work.is_empty() => {
                    if let Ok((uid, stamp, end)) = ended {
                        rounds.ended(uid, stamp, end);
                    }
                }
                Some(uid) = met.recv() => {
                    let crew = Arc::clone(&crew);
                    work.spawn(async move {
                        crew.make(uid).await;
                        (uid.as_raw(), Stamp::default(), End::Done { progress: true })
                    });
                }
                () = sleep(LOOK) => {}
            }
        }
    }
}

/// Which folders are to be looked into.
#[derive(Default)]
struct Rounds {
    /// Those that were found to hold nothing that could be taken, as they were then.
    known: Stamps,
    busy: HashMap<u32, ()>,
    later: HashMap<u32, Instant>,
}

impl Rounds {
    fn due(&mut self, now: Stamps, busy: usize) -> Vec<(u32, Stamp)> {
        self.known.retain(|uid, _| now.contains_key(uid));
        self.later.retain(|_, until| *until > Instant::now());
        let changed = now.into_iter().filter(|(uid, stamp)| {
            self.known.get(uid) != Some(stamp)
                && !self.busy.contains_key(uid)
                && !self.later.contains_key(uid)
        });
        let due: Vec<_> = changed.take(AT_ONCE.saturating_sub(busy)).collect();
        self.busy.extend(due.iter().map(|(uid, _)| (*uid, ())));
        due
    }

    fn ended(&mut self, uid: u32, stamp: Stamp, end: End) {
        self.busy.remove(&uid);
        match end {
            // What it has removed has changed the folder: it is looked into once more.
            End::Done { progress: true } => {}
            // A user who goes on changing it keeps nobody busy.
            End::Done { progress: false } => {
                self.known.insert(uid, stamp);
                self.later.insert(uid, Instant::now() + LOOK);
            }
            End::Later => {
                self.later.insert(uid, Instant::now() + LATER);
            }
        }
    }
}

enum End {
    Done { progress: bool },
    Later,
}

struct Crew {
    directory: PathBuf,
    socket: PathBuf,
    /// It may look into other folders than its own user's.
    becomes_others: bool,
    agent: Mutex<Option<AgentHandle>>,
    ledger: Arc<Ledger>,
    config: Live,
    log: MailLog,
}

impl Crew {
    /// Makes the folder of a user who was met, by looking into it.
    async fn make(&self, uid: Uid) {
        let path = super::folder_of(&self.directory, uid);
        let may = self.becomes_others || uid == geteuid();
        if may && tokio::task::spawn_blocking(move || !path.exists()).await.unwrap_or(false) {
            self.empty(uid.as_raw()).await;
        }
    }

    async fn empty(&self, uid: u32) -> End {
        let conversation = timeout(LIFE + Duration::from_secs(5), self.converse(uid));
        match conversation.await {
            Ok(Ok(end)) => end,
            Ok(Err(error)) => {
                self.say(&format!(
                    "the drop folder of uid {uid} was not looked into: {error}; it is tried again"
                ));
                End::Later
            }
            Err(_) => End::Later,
        }
    }

    async fn converse(&self, uid: u32) -> io::Result<End> {
        let (ours, theirs) = Socket::pair()?;
        self.hand_over(uid, theirs)?;
        ours.set_nonblocking(true)?;
        let mut stream = UnixStream::from_std(ours)?;
        let spanish = self.config.get().language == Language::Spanish;
        let request = Request { done: self.ledger.done(uid), spanish };
        let mut line = serde_json::to_vec(&request)?;
        line.push(b'\n');
        stream.write_all(&line).await?;
        let mut stream = BufReader::new(stream);
        for heard in 0..REPORTS {
            let mut line = Vec::new();
            (&mut stream).take(REPORT).read_until(b'\n', &mut line).await?;
            if line.is_empty() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            match serde_json::from_slice(&line)? {
                Report::End { progress, again, more } => {
                    if heard > NAMED {
                        let others = heard - NAMED;
                        self.say(&format!("drop folder of uid {uid}: and {others} more"));
                    }
                    let stays = again || (more && progress == 0);
                    return Ok(if stays {
                        End::Later
                    } else {
                        End::Done { progress: progress > 0 }
                    });
                }
                report if heard < NAMED => self.tell(uid, &report),
                _ => {}
            }
        }
        Ok(End::Later)
    }

    fn hand_over(&self, uid: u32, theirs: Socket) -> io::Result<()> {
        let mut slot = self.agent.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(agent) = &*slot
            && let Ok(socket) = theirs.try_clone()
            && agent.empty(Uid::from_raw(uid), socket).is_ok()
        {
            return Ok(());
        }
        // A daemon that has given root's rights up can start none that is of use.
        let agent = AgentHandle::spawn(&self.directory, &self.socket)?;
        agent.empty(Uid::from_raw(uid), theirs)?;
        *slot = Some(agent);
        Ok(())
    }

    fn tell(&self, uid: u32, report: &Report) {
        let text = match report {
            Report::Kept { name, why, moved } => {
                let path = super::folder_of(&self.directory, Uid::from_raw(uid));
                let path = if *moved { path.join(super::REFUSED) } else { path };
                format!(
                    "{name:?}, left by uid {uid}, is not sent: {why}; it stays in {}",
                    path.display()
                )
            }
            Report::Returned { name, reply } => {
                format!(
                    "{name:?}, left by uid {uid}, was refused and returned to its user: {reply}"
                )
            }
            Report::End { .. } => return,
        };
        self.say(&text);
    }

    fn say(&self, text: &str) {
        self.log.write(&Event::Notice { level: "warning", component: "pickup", id: None, text });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_folder_is_looked_into_when_it_has_changed_and_never_twice_at_once() {
        let stamp = |change| (change, 0, 1);
        let mut rounds = Rounds { known: Stamps::from([(1, stamp(1))]), ..Rounds::default() };
        let now = |one, two| Stamps::from([(1, stamp(one)), (2, stamp(two))]);
        assert_eq!(rounds.due(now(1, 1), 0), [(2, stamp(1))]);
        assert_eq!(rounds.due(now(1, 2), 1), [], "it is being looked into");
        rounds.ended(2, stamp(1), End::Done { progress: true });
        assert_eq!(rounds.due(now(1, 2), 0), [(2, stamp(2))], "files that were taken change it");
        rounds.ended(2, stamp(2), End::Done { progress: false });
        assert_eq!(rounds.due(now(1, 2), 0), []);
        assert_eq!(rounds.due(now(2, 2), AT_ONCE), [], "others come first");
        assert_eq!(rounds.due(now(2, 2), 0), [(1, stamp(2))]);
        rounds.ended(1, stamp(2), End::Later);
        assert_eq!(rounds.due(now(2, 2), 0), []);
        tokio::time::advance(LATER).await;
        assert_eq!(rounds.due(now(2, 2), 0), [(1, stamp(2))]);
        // A folder that went and came again is another.
        assert_eq!(rounds.due(Stamps::new(), 1), []);
        assert_eq!(rounds.due(now(2, 2), 1), [(2, stamp(2))]);
    }
}
