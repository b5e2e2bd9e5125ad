//! Moves a queue from one store to another so that nothing is lost and nothing goes out
//! from both, wherever it is broken off.
//!
//! A batch of messages goes in five steps: a journal says which they are and which of them
//! were held; the source holds all, so that it hands them to nobody; the target takes them
//! over as held; the source forgets them; the target releases those that were not held.
//! What a run finds in a journal it finishes first, whichever way it goes itself. What was
//! ordered goes before all messages, and is taken back at the source behind the last.

use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use crate::disk::{Disk, SystemDisk};
use crate::faces::Answer;
use crate::{Backend, Content, Edit, Entry, Filter, MessageId, PageRequest, SpoolError};

/// Messages of one batch.
const BATCH: usize = 500;
/// Octets that are on their way to the target at the same time, the last message's aside.
const ON_THE_WAY: u64 = 16 * 1024 * 1024;

/// A queue and the name that journals know it by.
#[derive(Clone, Copy)]
pub struct Place<'a> {
    /// A short word, the same in every run.
    pub name: &'a str,
    /// The queue.
    pub store: &'a dyn Backend,
}

/// Moves everything; the folder keeps the journal, and `progress` hears how many messages
/// were moved so far and how many there are in all. Nothing may work on the source
/// meanwhile. Waits for disks and networks.
///
/// # Errors
/// Those of both stores and of the journal's file. A later run goes on where this one ended;
/// one the other way first finishes what this one had begun.
pub fn run(
    from: Place<'_>,
    to: Place<'_>,
    folder: &Path,
    mut progress: impl FnMut(u64, u64),
) -> Result<u64, SpoolError> {
    let orders = from.store.orders().wait()?;
    give_orders(to.store, &orders)?;
    finish(to, from, &Journal::of(folder, from))?;
    let journal = Journal::of(folder, to);
    let mut moved = finish(from, to, &journal)?;
    let all = moved + from.store.count(&Filter::default()).wait()?.messages;
    loop {
        progress(moved, all);
        let page = PageRequest { limit: BATCH, ..PageRequest::default() };
        let entries = from.store.page(&page).wait()?.entries;
        if entries.is_empty() {
            for (number, _) in &orders {
                from.store.take_back_order(*number).wait()?;
            }
            return Ok(moved);
        }
        journal.write(&entries)?;
        moved += finish(from, to, &journal)?;
    }
}

// What is paused or held is so before the first message is there. What says the same as one
// that is there comes from a run that was broken off.
fn give_orders(to: &dyn Backend, orders: &[(u64, String)]) -> Result<(), SpoolError> {
    let known = to.orders().wait()?;
    for (_, order) in orders {
        if !known.iter().any(|(_, there)| there == order) {
            to.give_order(order.clone()).wait()?;
        }
    }
    Ok(())
}

// One that is there already comes from a run that was broken off, and is held.
fn take_over(
    from: &dyn Backend,
    to: &dyn Backend,
    entry: &Entry,
) -> Result<Answer<bool>, SpoolError> {
    let mut stored = from.content(entry.id).wait()?;
    begin_adoption(to, &Entry { held: true, ..entry.clone() }, &mut stored)
}

/// Has a store take over a message as it stands, with the content that is read; `false` if it
/// is there already. Waits for disks and networks.
///
/// # Errors
/// Those of the store and of what is read.
pub fn adopt(to: &dyn Backend, entry: &Entry, content: &mut dyn Read) -> Result<bool, SpoolError> {
    begin_adoption(to, entry, content)?.wait()
}

fn begin_adoption(
    to: &dyn Backend,
    entry: &Entry,
    content: &mut dyn Read,
) -> Result<Answer<bool>, SpoolError> {
    let mut draft = to.draft()?;
    let mut piece = vec![0; 256 * 1024];
    loop {
        let count = content.read(&mut piece).map_err(|error| SpoolError::from(&error))?;
        if count == 0 {
            break;
        }
        draft.write(piece.get(..count).unwrap_or_default())?;
    }
    let content: Content = draft.finish()?;
    Ok(to.adopt(entry, content))
}

// Many go at the same time, so that they share what the target does to keep them.
fn take_over_all(
    from: &dyn Backend,
    to: &dyn Backend,
    all: &[MessageId],
) -> Result<(), SpoolError> {
    let entries: Vec<Answer<Entry>> = all.iter().map(|id| from.get(*id)).collect();
    let (mut answers, mut octets) = (Vec::new(), 0);
    for entry in entries {
        let entry = match entry.wait() {
            Err(SpoolError::NotFound(_)) => continue,
            entry => entry?,
        };
        octets += entry.size;
        answers.push(take_over(from, to, &entry)?);
        if octets >= ON_THE_WAY {
            octets = 0;
            all_taken(&mut answers)?;
        }
    }
    all_taken(&mut answers)
}

fn all_taken(answers: &mut Vec<Answer<bool>>) -> Result<(), SpoolError> {
    answers.drain(..).try_for_each(|answer| answer.wait().map(drop))
}

/// Hands each message of a store to `each`, as it stands, with its content: the size and what
/// it is read from; then how many there are in all. Waits for disks and networks.
///
/// # Errors
/// Those of the store and of `each`.
pub fn each<E: From<SpoolError>>(
    from: &dyn Backend,
    mut each: impl FnMut(&Entry, (u64, &mut dyn Read), u64) -> Result<(), E>,
) -> Result<(), E> {
    let all = from.count(&Filter::default()).wait()?.messages;
    let mut after = None;
    loop {
        let page = PageRequest { after, limit: BATCH, ..PageRequest::default() };
        let page = from.page(&page).wait()?;
        for entry in &page.entries {
            let mut content = from.content(entry.id).wait()?;
            each(entry, (content.len(), &mut content), all)?;
        }
        match page.next {
            Some(next) => after = Some(next),
            None => return Ok(()),
        }
    }
}

// Brings what a journal names to its end, and says how many messages that were.
fn finish(from: Place<'_>, to: Place<'_>, journal: &Journal) -> Result<u64, SpoolError> {
    let begun = journal.read()?;
    if begun.is_empty() {
        return Ok(0);
    }
    let all: Vec<MessageId> = begun.iter().map(|(id, _)| *id).collect();
    let free: Vec<MessageId> = begun.iter().filter(|(_, held)| !held).map(|(id, _)| *id).collect();
    edit(from.store, &free, Edit::Hold)?;
    take_over_all(from.store, to.store, &all)?;
    edit(from.store, &all, Edit::Remove)?;
    edit(to.store, &free, Edit::Release)?;
    journal.clear()?;
    Ok(all.len() as u64)
}

// What is not there was moved by the run before, and may have gone out since.
fn edit(store: &dyn Backend, ids: &[MessageId], edit: Edit) -> Result<(), SpoolError> {
    let answers = store.edit(ids, edit).wait();
    answers
        .into_iter()
        .find(|answer| !matches!(answer, Ok(()) | Err(SpoolError::NotFound(_))))
        .unwrap_or(Ok(()))
}

/// The file that names the messages of the batch that is under way, one a line, and those
/// that were held.
struct Journal(PathBuf);

impl Journal {
    fn of(folder: &Path, to: Place<'_>) -> Self {
        Self(folder.join(format!("copy-to-{}", to.name)))
    }

    fn read(&self) -> Result<Vec<(MessageId, bool)>, SpoolError> {
        let text = match std::fs::read_to_string(&self.0) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(SpoolError::from(&error)),
        };
        let line = |line: &str| {
            let (id, held) = line.strip_suffix(" held").map_or((line, false), |id| (id, true));
            let id = id.parse().map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error));
            id.map(|id: MessageId| (id, held)).map_err(|error| SpoolError::from(&error))
        };
        text.lines().map(line).collect()
    }

    fn write(&self, entries: &[Entry]) -> Result<(), SpoolError> {
        let mut text = String::new();
        for entry in entries {
            text += &format!("{}{}\n", entry.id, if entry.held { " held" } else { "" });
        }
        let part = self.0.with_extension("part");
        let written = std::fs::File::create(&part).and_then(|mut file| {
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            std::fs::rename(&part, &self.0)?;
            self.sync_folder()
        });
        written.map_err(|error| SpoolError::from(&error))
    }

    fn clear(&self) -> Result<(), SpoolError> {
        match std::fs::remove_file(&self.0) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => {
                removed.and_then(|()| self.sync_folder()).map_err(|error| SpoolError::from(&error))
            }
        }
    }

    fn sync_folder(&self) -> io::Result<()> {
        self.0.parent().map_or(Ok(()), |folder| SystemDisk.sync_dir(folder))
    }
}

#[cfg(test)]
mod tests;
