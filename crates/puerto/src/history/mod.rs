//! What became of messages, kept for a while after they are gone: what `puerto why` tells.
//!
//! It hears the events of the mail log ([`fact`] says which, and in which octets they are
//! kept). The thread in which an event happens writes those octets into a buffer; a thread of
//! the history takes what has gathered there, makes one note of all that is about one
//! message ([`recorder`]), and hands them to an [`Archive`]: [`files`] in the state directory,
//! or a table of the database that several nodes share.
//!
//! Nothing of it is promised, and mail never waits for it: a full buffer, a full disk or a
//! database that is away leave a gap in the history, which the log tells once. No content
//! is kept, only what the log tells, too.

pub mod fact;
mod files;
mod joined;
mod recorder;
#[cfg(test)]
mod tests;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use puerto_spool::clock::Clock;
use puerto_spool::{Archive, MessageId, SpoolError, Timestamp};

use crate::config::Config;
use crate::telemetry::{Event, MailLog};
use fact::Fact;
use recorder::Recorder;

pub use files::Files;

/// The history, open.
#[derive(Clone)]
pub struct History {
    archive: Arc<dyn Archive>,
    recorder: Arc<Recorder>,
}

/// Something that happened to a message.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Happened {
    /// When, as in RFC 3339.
    pub at: String,
    /// On which node of the cluster, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// What.
    #[serde(flatten)]
    pub fact: Fact,
}

/// By what a message is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key<'a> {
    /// Its Message-ID, with or without brackets.
    MessageId(&'a str),
    /// A sender's or a recipient's address.
    Address(&'a str),
}

impl History {
    /// Begins to record into the files of a folder.
    pub fn in_folder(
        folder: &Path,
        config: &Config,
        clock: Arc<dyn Clock>,
        log: &MailLog,
    ) -> std::io::Result<Self> {
        let archive = Arc::new(Files::new(folder, log.clone()));
        Self::start(archive, None, config, clock, log)
    }

    /// Begins to record into an archive that all nodes share, as this one of them. What the
    /// files of a folder know from before is told, too, as long as it is there.
    pub fn shared(
        archive: Arc<dyn Archive>,
        folder: &Path,
        config: &Config,
        clock: Arc<dyn Clock>,
        log: &MailLog,
    ) -> std::io::Result<Self> {
        let archive: Arc<dyn Archive> = match folder.exists() {
            true => {
                let before = Arc::new(Files::new(folder, log.clone()));
                Arc::new(joined::Joined { first: archive, before })
            }
            false => archive,
        };
        Self::start(archive, Some(config.store.node.clone()), config, clock, log)
    }

    /// Begins to record into an archive. `node`: who notes it, if several do.
    pub fn start(
        archive: Arc<dyn Archive>,
        node: Option<String>,
        config: &Config,
        clock: Arc<dyn Clock>,
        log: &MailLog,
    ) -> std::io::Result<Self> {
        let recorder = Recorder::start(Arc::clone(&archive), node, &config.history, clock, log)?;
        Ok(Self { archive, recorder })
    }

    /// Hears an event. It never waits.
    pub fn hear(&self, event: &Event<'_>) {
        self.recorder.hear(event);
    }

    /// Goes by another configuration from now on.
    pub fn reload(&self, config: &Config) {
        self.recorder.reload(&config.history);
    }

    /// Whether anything is kept.
    pub fn is_on(&self) -> bool {
        self.recorder.is_on()
    }

    /// Writes what waits, and ends. Waits for the disk.
    pub fn close(&self) {
        self.recorder.close();
    }

    /// All that is known of a message, in the order in which it happened. Waits for the disk.
    pub fn of(&self, id: MessageId) -> Result<Vec<Happened>, SpoolError> {
        self.recorder.flush();
        let notes = self.archive.notes(id).wait()?;
        let mut all: Vec<_> = notes.iter().flat_map(|note| fact::read(&note.octets)).collect();
        // Notes of several nodes, or of a clock that went back, may come in another order;
        // one whose answer was lost may be there twice.
        all.sort_by_key(|(at, ..)| *at);
        let mut once: Vec<(Timestamp, Option<String>, Fact)> = Vec::with_capacity(all.len());
        for one in all {
            let mut of_moment = once.iter().rev().take_while(|(at, ..)| *at == one.0);
            if !of_moment.any(|other| *other == one) {
                once.push(one);
            }
        }
        let told = |(at, node, fact)| Happened { at: time(at), node, fact };
        Ok(once.into_iter().map(told).collect())
    }

    /// The messages that have a key, at most so many, the newest first. Waits for the disk.
    pub fn find(&self, key: Key<'_>, limit: usize) -> Result<Vec<MessageId>, SpoolError> {
        self.recorder.flush();
        self.archive.under(fact::hash(key), limit).wait()
    }

    /// Message-IDs and addresses that were noted last. Waits for the disk.
    pub fn recent_names(&self, limit: usize) -> Result<Vec<String>, SpoolError> {
        let notes = self.archive.newest(limit).wait()?;
        let facts = notes.iter().flat_map(|note| fact::read(&note.octets));
        Ok(facts.flat_map(|(.., fact)| fact.names()).collect())
    }

    /// Forgets messages. Answers with how many were known.
    pub fn forget(&self, ids: &[MessageId]) -> Result<u64, SpoolError> {
        self.recorder.flush();
        self.archive.forget(ids).wait()
    }

    /// Since when there is a history; `None`: there is nothing in it. Waits for the disk.
    pub fn since(&self) -> Result<Option<Timestamp>, SpoolError> {
        self.recorder.flush();
        self.archive.since().wait()
    }
}

impl std::fmt::Debug for History {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("History")
    }
}

/// Moves all notes from one archive to another; `progress` hears how many so far. Nobody may
/// work with either meanwhile. What a run that was broken off has brought there already is told
/// once all the same. What cannot be read stays. Waits for disks and networks.
///
/// # Errors
/// Those of both; what was not moved is still where it was.
pub fn transfer(
    from: &dyn Archive,
    to: &dyn Archive,
    mut progress: impl FnMut(u64),
) -> Result<Moved, SpoolError> {
    let (mut place, mut moved) = (0, 0);
    while let Some((notes, behind)) = from.behind(place).wait()? {
        place = behind;
        moved += notes.len() as u64;
        to.keep(notes).wait()?;
        progress(moved);
    }
    let stay = from.clear().wait()?;
    Ok(Moved { notes: moved, stay })
}

/// What became of a history that was moved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moved {
    /// How many notes there were.
    pub notes: u64,
    /// What cannot be read as a whole, and is where it was.
    pub stay: Vec<String>,
}

/// A time as in RFC 3339, in UTC.
fn time(at: Timestamp) -> String {
    let millis = at.as_millis();
    jiff::Timestamp::from_millisecond(millis).map_or_else(|_| millis.to_string(), |t| t.to_string())
}

/// How long notes are gathered before they are written.
const GATHERING: Duration = Duration::from_millis(250);
