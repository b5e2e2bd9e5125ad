//! Finds out what a store holds, whatever state its files are in.
//!
//! Nothing that is damaged keeps the store from opening, and what cannot be read only
//! keeps waiting what it may concern ([`super::waiting`]). What is lost by damage is
//! reported, by id where that can still be told. Errors are trouble with a whole folder,
//! another process that has the store open, and a newer program that wrote it.

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Condvar, Mutex};

use super::Options;
use super::content::{Cache, ContentFiles};
use super::contents::Contents;
use super::core::{Core, Queue, Trouble, lock};
use super::identity::Identity;
use super::log::Log;
use super::reading::Reading;
use super::space::AmpleSpace;
use super::survey::Scope;
use super::upkeep::Upkeep;
use super::waiting::Waiting;
use crate::clock::Clock;
use crate::disk::{Disk, Lock};
use crate::id::{MessageId, Timestamp};
use crate::orders::Orders;
use crate::{Hindrance, SpoolError};

/// Opens the store in a directory, or makes an empty one.
pub(crate) fn open(
    directory: &Path,
    options: Options,
    disk: Arc<dyn Disk>,
    clock: Arc<dyn Clock>,
) -> Result<Core, SpoolError> {
    let held = enter(&*disk, directory)?;
    let mut reading = Reading::take(&*disk, directory, Scope::All)?;
    let mut waiting = Waiting::take(&mut reading, clock.elapsed());
    let content_directory = directory.join("content");
    let contents = Contents::take(&*disk, &content_directory, &reading.index, |_| true)?;
    if reading.is_intact() {
        contents.sweep(&*disk, &content_directory, u64::MAX, |_| false);
    }
    let cut = reading.cut_off();
    let Reading { survey, index, last_id, end, checkpoint_unread, .. } = reading;
    let mut log = Log::new(Arc::clone(&disk), directory.join("segments"), options.segment_size);
    log.salt = survey.salt;
    log.next_generation = survey.greatest() + 1;
    log.next_number = survey.greatest_number + 1;
    log.durable_floor = survey.floor;
    log.sealed_end = end;
    log.last_id = last_id;
    log.octets.store(survey.octets, Ordering::Relaxed);
    log.sealed = survey.segments(options.segment_size).into();
    let (spare, retired) = survey.spare.into_iter().partition(|file| {
        file.size == options.segment_size && !survey.failing.contains(&file.number)
    });
    (log.spare, log.retired) = (spare, retired);
    if let Some(waiting) = &mut waiting {
        waiting.step_over(&mut log, &contents, clock.now());
    }
    let readable: HashMap<_, _> = log
        .sealed
        .iter()
        .map(|segment| (segment.generation(), Arc::clone(&segment.file.file)))
        .collect();
    for (id, location) in index.ids_after(None) {
        log.enliven(location.placed);
        if cut.contains(&id) {
            log.mark_damaged(location.placed.generation);
        }
    }
    let mut notes = survey.notes;
    notes.extend(cut.iter().map(|id| format!("message {id} is damaged: its record is cut off")));
    notes.extend(contents.notes);
    let (orders, note) = Orders::read(&*disk, directory);
    notes.extend(note);
    let id_step = if waiting.is_some() { AN_HOUR } else { A_MINUTE };
    let content =
        ContentFiles::new(Arc::clone(&disk), content_directory, contents.next, contents.octets);
    let core = Core {
        cache: Mutex::new(Cache::new(options.cache)),
        last_id: Mutex::new(beyond(last_id, clock.now(), id_step)),
        clock,
        disk,
        directory: directory.to_owned(),
        index: Mutex::new(index),
        queue: Mutex::new(Queue::default()),
        woken: Condvar::new(),
        upkeep_woken: Condvar::new(),
        salt: log.salt,
        readable: Mutex::new(readable),
        content: Arc::new(content),
        trouble: Mutex::new(Trouble { notes, ..Trouble::default() }),
        orders: Mutex::new(orders),
        waiting: Mutex::new(waiting),
        unread_contents: Mutex::new(contents.unread),
        garbage: Mutex::default(),
        upkeep: Mutex::new(Upkeep::new(checkpoint_unread)),
        segment_octets: Arc::clone(&log.octets),
        ample_space: AmpleSpace::unknown(),
        log: Mutex::new(log),
        options,
        _lock: held,
    };
    // With threads the rest of upkeep is done by them, so that nobody waits for it.
    if core.options.threads {
        core.recover()
    } else {
        core.maintain()
    }
    core.keep_identity(survey.identity);
    Ok(core)
}

/// Makes the directories and takes the lock.
fn enter(disk: &dyn Disk, directory: &Path) -> Result<Box<dyn Lock>, SpoolError> {
    for path in [directory, &directory.join("segments"), &directory.join("content")] {
        // A disk that cannot be written may still be read.
        if disk.create_dir(path).is_ok()
            && let Some(parent) = path.parent()
        {
            let _ = disk.sync_dir(parent);
        }
    }
    let lock = directory.join("lock");
    disk.lock(&lock).map_err(|error| match error.kind() {
        std::io::ErrorKind::WouldBlock => {
            SpoolError::Io(Hindrance::InUse { directory: directory.display().to_string() })
        }
        _ => SpoolError::Io(Hindrance::Unusable {
            file: lock.display().to_string(),
            why: Box::new((&error).into()),
        }),
    })
}

impl Core {
    /// Writes down which store this is, once there is a segment: from then on a store
    /// without one is a store whose disk is not there.
    fn keep_identity(&self, identity: Identity) {
        if lock(&self.log).is_writable()
            && let Err(error) = identity.keep(&*self.disk, &self.directory, self.salt)
        {
            self.note(format!("the store's identity could not be written: {error}"));
        }
    }
}

const A_MINUTE: Timestamp = Timestamp::from_millis(1_767_225_660_000);
const AN_HOUR: Timestamp = Timestamp::from_millis(1_767_229_200_000);

/// The id after which new ones begin. If the clock has gone back, those that were
/// given out shortly before the end but never came into the log are stepped over.
fn beyond(last: MessageId, now: Timestamp, step: Timestamp) -> MessageId {
    if MessageId::at(now) > last {
        return last;
    }
    MessageId::from_u64(last.as_u64().saturating_add(MessageId::at(step).as_u64()))
}
