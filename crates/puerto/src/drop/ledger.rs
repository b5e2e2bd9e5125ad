//! Which file of each folder was taken last: the message that it became.
//!
//! A record is on the disk before the message is committed, and marked when it is. A daemon
//! that is killed in between asks the store, when it starts, whether the message is there:
//! before the queue can have delivered it. A process that is killed between the answer and
//! the removal of its file is told which file that was. One record for each user is enough,
//! since a folder is emptied one file after the other, and the next begins when the one
//! before is gone.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nix::unistd::Uid;
use puerto_spool::{MessageId, SpoolError};
use tokio::sync::mpsc;

use super::{is_for, letter};

/// A file's name, and how many of its recipients are served with this message.
pub type Taken = String;

#[derive(Debug, Clone, PartialEq, Eq)]
struct Record {
    taken: Taken,
    id: MessageId,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// It is about to be committed.
    Begun,
    /// It was.
    Done,
}

/// The records of all users.
#[derive(Debug)]
pub struct Ledger {
    folder: PathBuf,
    records: Mutex<HashMap<u32, Record>>,
}

/// Whether what a name of a file says of itself can be kept in a record.
fn is_taken(taken: &str) -> bool {
    taken.split_once('.').is_some_and(|(name, count)| {
        letter::is_name(name.as_bytes())
            && (1..=9).contains(&count.len())
            && count.bytes().all(|octet| octet.is_ascii_digit())
    })
}

impl Ledger {
    /// Opens it. `is_there` says whether the store has a message; what cannot be told now
    /// is taken to be there no more than the message is.
    pub async fn open<F>(state_dir: &Path, is_there: impl Fn(MessageId) -> F) -> Self
    where
        F: Future<Output = Result<bool, SpoolError>>,
    {
        let folder = state_dir.join("drop");
        let mut records = HashMap::new();
        for entry in std::fs::read_dir(&folder).into_iter().flatten().filter_map(Result::ok) {
            let uid = entry.file_name().to_str().and_then(|name| name.parse().ok());
            let record = std::fs::read_to_string(entry.path()).ok();
            let record = record.and_then(|text| Record::parse(&text));
            let (Some(uid), Some(mut record)) = (uid, record) else { continue };
            if record.state == State::Begun && is_there(record.id).await.unwrap_or(false) {
                record.state = State::Done;
            }
            if record.state == State::Done {
                records.insert(uid, record);
            }
        }
        Self { folder, records: Mutex::new(records) }
    }

    /// The file of this user that was taken last.
    pub fn done(&self, uid: u32) -> Option<Taken> {
        let records = self.records();
        let record = records.get(&uid).filter(|record| record.state == State::Done);
        record.map(|record| record.taken.clone())
    }

    /// The message that a file has become already; if none, notes that it is about to become
    /// this one. Waits for the disk.
    pub fn begin(&self, uid: u32, taken: &str, id: MessageId) -> io::Result<Option<MessageId>> {
        if !is_taken(taken) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let known = self.records().get(&uid).cloned();
        if let Some(record) =
            known.filter(|record| record.taken == taken && record.state == State::Done)
        {
            return Ok(Some(record.id));
        }
        self.note(uid, Record { taken: taken.to_owned(), id, state: State::Begun })?;
        Ok(None)
    }

    /// Notes that it has become that message. Waits for the disk.
    pub fn end(&self, uid: u32, taken: &str, id: MessageId) -> io::Result<()> {
        self.note(uid, Record { taken: taken.to_owned(), id, state: State::Done })
    }

    fn note(&self, uid: u32, record: Record) -> io::Result<()> {
        let text = record.to_text();
        self.records().insert(uid, record);
        let path = self.folder.join(uid.to_string());
        let mut options = File::options();
        let is_new = !path.exists();
        if is_new {
            std::fs::create_dir_all(&self.folder)?;
        }
        options.write(true).create(true).truncate(false).mode(0o600);
        let mut file = options.open(&path)?;
        // In one piece over the one before, and shorter than any block of a disk.
        file.write_all(text.as_bytes())?;
        file.set_len(text.len() as u64)?;
        file.sync_data()?;
        if is_new {
            File::open(&self.folder)?.sync_all()?;
        }
        Ok(())
    }

    fn records(&self) -> MutexGuard<'_, HashMap<u32, Record>> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Record {
    fn to_text(&self) -> String {
        let state = if self.state == State::Done { "done " } else { "begun" };
        format!("{state} {} {:<96}\n", self.id, self.taken)
    }

    fn parse(text: &str) -> Option<Self> {
        let mut words = text.strip_suffix('\n')?.split_ascii_whitespace();
        let state = match words.next()? {
            "done" => State::Done,
            "begun" => State::Begun,
            _ => return None,
        };
        let id = words.next()?.parse().ok()?;
        let taken = words.next().filter(|taken| is_taken(taken))?.to_owned();
        Some(Self { taken, id, state })
    }
}

/// What sessions of local users know of the drop folders.
#[derive(Debug)]
pub struct Register {
    /// What was taken.
    pub ledger: Arc<Ledger>,
    met: Mutex<HashSet<u32>>,
    announce: mpsc::Sender<Uid>,
}

impl Register {
    /// With somewhere to say who was met.
    pub fn new(ledger: Arc<Ledger>, announce: mpsc::Sender<Uid>) -> Self {
        Self { ledger, met: Mutex::default(), announce }
    }

    /// A user has come, who may need a folder.
    pub fn meet(&self, uid: u32) {
        let user = Uid::from_raw(uid);
        let is_new = || self.met.lock().unwrap_or_else(PoisonError::into_inner).insert(uid);
        // One that is not heard now has a folder with the next start.
        if is_for(user) && is_new() {
            let _ = self.announce.try_send(user);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TAKEN: &str = "000000000005000000070000000.1";

    async fn open(folder: &Path, there: bool) -> Ledger {
        Ledger::open(folder, |_| async move { Ok(there) }).await
    }

    #[tokio::test]
    async fn what_was_taken_is_known_after_any_death() {
        let folder = tempfile::tempdir().unwrap();
        let (first, second) = (MessageId::from_u64(0xABC_DEF0_1234), MessageId::from_u64(7));
        let ledger = open(folder.path(), false).await;
        assert_eq!(ledger.begin(33, TAKEN, first).unwrap(), None);
        // Killed before the commit, or in the middle of it: the store knows.
        assert_eq!(open(folder.path(), false).await.done(33), None);
        assert_eq!(open(folder.path(), true).await.done(33).as_deref(), Some(TAKEN));
        // Refused, and handed over again as another.
        assert_eq!(ledger.begin(33, TAKEN, second).unwrap(), None);
        ledger.end(33, TAKEN, second).unwrap();
        assert_eq!(ledger.begin(33, TAKEN, first).unwrap(), Some(second));
        assert_eq!(ledger.begin(34, TAKEN, first).unwrap(), None, "another user's of this name");
        // Whatever has become of the message since.
        let ledger = open(folder.path(), false).await;
        assert_eq!(ledger.done(33).as_deref(), Some(TAKEN));
        assert_eq!(ledger.begin(33, TAKEN, first).unwrap(), Some(second));
        assert_eq!(ledger.begin(33, &TAKEN.replace(".1", ".2"), first).unwrap(), None);
    }

    #[tokio::test]
    async fn what_users_say_names_nothing_else_and_damage_is_no_record() {
        let folder = tempfile::tempdir().unwrap();
        let ledger = open(folder.path(), false).await;
        for odd in ["", "x", "x.", "../x.1", "x.1 y", "x.1\n", "x.y", "x.1234567890"] {
            assert!(ledger.begin(33, odd, MessageId::from_u64(1)).is_err(), "{odd:?}");
        }
        ledger.begin(33, TAKEN, MessageId::from_u64(0xABC_DEF0_1234)).unwrap();
        let file = folder.path().join("drop/33");
        let whole = std::fs::read_to_string(&file).unwrap();
        for end in 0..whole.len() {
            std::fs::write(&file, whole.get(..end).unwrap()).unwrap();
            assert_eq!(open(folder.path(), true).await.done(33), None, "{end}");
        }
    }
}
