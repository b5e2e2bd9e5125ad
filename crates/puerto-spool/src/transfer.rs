//! Moves a queue from one store to another so that nothing is lost and nothing goes out
//! from both, wherever it is broken off.
//!
//! A batch of messages goes in five steps: a journal says which they are and which of them
//! were held; the source holds all, so that it hands them to nobody; the target takes them
//! over as held; the source forgets them; the target releases those that were not held.
//! What a run finds in a journal it finishes first, whichever way it goes itself. What was
//! ordered goes before all messages, and is taken back at the source behind the last.
//!
//! A message that the source cannot read whole stays there as it was, and keeps none of the
//! others back.

use std::collections::HashSet;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use crate::disk::{Disk, SystemDisk};
use crate::faces::Answer;
use crate::{Backend, Content, Edit, Entry, Filter, MessageId, PageRequest, SpoolError, parcel};

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

/// What came of a move.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Moved {
    /// Messages that are at the target now and were not before this run.
    pub messages: u64,
    /// Those that the source could not read, and why: they stay where they are.
    pub left: Vec<(MessageId, SpoolError)>,
    /// What else the source says of damage.
    pub damage: Vec<String>,
    /// Messages that the source still has.
    pub stay: u64,
}

/// Moves everything that can be read; the folder keeps the journal, and `progress` hears how many messages
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
) -> Result<Moved, SpoolError> {
    let orders = from.store.orders().wait()?;
    let given: Vec<String> = orders.iter().map(|(_, order)| order.clone()).collect();
    give_orders(to.store, &given)?;
    finish(to, from, &Journal::of(folder, from))?;
    let journal = Journal::of(folder, to);
    let mut done = finish(from, to, &journal)?;
    let all = done.messages + from.store.count(&Filter::default()).wait()?.messages;
    let mut after = None;
    loop {
        progress(done.messages, all);
        // What stays would be met again at the beginning.
        let page = PageRequest { after, limit: BATCH, ..PageRequest::default() };
        let page = from.store.page(&page).wait()?;
        if !page.entries.is_empty() {
            journal.write(&page.entries)?;
            let some = finish(from, to, &journal)?;
            done.messages += some.messages;
            done.left.retain(|(id, _)| some.left.iter().all(|(other, _)| other != id));
            done.left.extend(some.left);
        }
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    progress(done.messages, all);
    for (number, _) in &orders {
        from.store.take_back_order(*number).wait()?;
    }
    done.stay = from.store.count(&Filter::default()).wait()?.messages;
    done.damage = from.store.health().wait()?.damaged;
    done.damage.retain(|line| done.left.iter().all(|(_, error)| error.to_string() != *line));
    Ok(done)
}

/// Gives a store orders, before the first message that they are about is there. What says the
/// same as one that is there comes from a run that was broken off. Answers with how many are new.
///
/// # Errors
/// Those of the store.
pub fn give_orders(to: &dyn Backend, orders: &[String]) -> Result<u64, SpoolError> {
    let known = to.orders().wait()?;
    let new = orders.iter().filter(|order| !known.iter().any(|(_, there)| there == *order));
    let mut given = 0;
    for order in new {
        to.give_order(order.clone()).wait()?;
        given += 1;
    }
    Ok(given)
}

/// Messages on their way into a store: many at the same time, so that they share what it does
/// to keep them.
pub struct Adoptions<'a> {
    to: &'a dyn Backend,
    under_way: Vec<Answer<bool>>,
    octets: u64,
    taken: Taken,
}

/// How many messages a store took over.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Taken {
    /// Those that it did not have.
    pub new: u64,
    /// Those that were there already.
    pub there: u64,
}

impl<'a> Adoptions<'a> {
    /// Into this one, none yet.
    pub fn new(to: &'a dyn Backend) -> Self {
        Self { to, under_way: Vec::new(), octets: 0, taken: Taken::default() }
    }

    /// Sends a message on its way as it stands, with the content that is read. Waits for disks
    /// and networks where many are.
    ///
    /// # Errors
    /// Those of the store, also about one that went before, and of what is read.
    pub fn begin(&mut self, entry: &Entry, content: &mut dyn Read) -> Result<(), SpoolError> {
        self.put(entry, content).map_err(|untaken| match untaken {
            Untaken::Unread(error) | Untaken::Failed(error) => error,
        })
    }

    fn put(&mut self, entry: &Entry, content: &mut dyn Read) -> Result<(), Untaken> {
        self.under_way.push(begin_adoption(self.to, entry, content)?);
        self.octets += entry.size;
        if self.octets >= ON_THE_WAY || self.under_way.len() >= BATCH {
            self.arrive()?;
        }
        Ok(())
    }

    /// Waits until all are there.
    ///
    /// # Errors
    /// Those of the store.
    pub fn end(mut self) -> Result<Taken, SpoolError> {
        self.arrive()?;
        Ok(self.taken)
    }

    fn arrive(&mut self) -> Result<(), SpoolError> {
        self.octets = 0;
        for answer in self.under_way.drain(..) {
            match answer.wait()? {
                true => self.taken.new += 1,
                false => self.taken.there += 1,
            }
        }
        Ok(())
    }
}

/// Why a message was not taken over.
enum Untaken {
    /// It cannot be read, which says nothing of others.
    Unread(SpoolError),
    /// The move cannot go on.
    Failed(SpoolError),
}

impl From<SpoolError> for Untaken {
    fn from(error: SpoolError) -> Self {
        Self::Failed(error)
    }
}

// A source that is away, or closed, is not one that has damage.
fn unread(error: SpoolError) -> Untaken {
    match error {
        SpoolError::Damaged { .. } | SpoolError::Io(_) | SpoolError::NotFound(_) => {
            Untaken::Unread(error)
        }
        _ => Untaken::Failed(error),
    }
}

fn begin_adoption(
    to: &dyn Backend,
    entry: &Entry,
    content: &mut dyn Read,
) -> Result<Answer<bool>, Untaken> {
    let mut draft = to.draft()?;
    let mut piece = vec![0; 256 * 1024];
    loop {
        let count = match content.read(&mut piece) {
            Ok(0) => break,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            read => read.map_err(|error| unread(SpoolError::from(&error)))?,
        };
        draft.write(piece.get(..count).unwrap_or_default())?;
    }
    let content: Content = draft.finish()?;
    Ok(to.adopt(entry, content))
}

// One that is there already comes from a run that was broken off, and is held.
fn take_over(
    from: &dyn Backend,
    adoptions: &mut Adoptions<'_>,
    entry: Result<Entry, SpoolError>,
) -> Result<(), Untaken> {
    let entry = entry.map_err(unread)?;
    let mut stored = from.content(entry.id).wait().map_err(unread)?;
    adoptions.put(&Entry { held: true, ..entry }, &mut stored)
}

// Answers with those that could not be read.
fn take_over_all(
    from: &dyn Backend,
    to: &dyn Backend,
    all: &[MessageId],
) -> Result<Vec<(MessageId, SpoolError)>, SpoolError> {
    let entries: Vec<(MessageId, Answer<Entry>)> =
        all.iter().map(|id| (*id, from.get(*id))).collect();
    let (mut adoptions, mut left) = (Adoptions::new(to), Vec::new());
    for (id, entry) in entries {
        match take_over(from, &mut adoptions, entry.wait()) {
            Ok(()) => {}
            Err(Untaken::Unread(error)) => left.push((id, error)),
            Err(Untaken::Failed(error)) => return Err(error),
        }
    }
    adoptions.end()?;
    Ok(left)
}

fn is_there(store: &dyn Backend, id: MessageId) -> Result<bool, SpoolError> {
    match store.get(id).wait() {
        Ok(_) | Err(SpoolError::Damaged { .. }) => Ok(true),
        Err(SpoolError::NotFound(_)) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Hands each message of a store to `each`, as it stands, with its content: the size and what
/// it is read from; then how many there are in all. Those that cannot be read are passed over.
/// Waits for disks and networks. Answers with them, and why.
///
/// # Errors
/// Those of the store and of `each`.
pub fn each<E: From<SpoolError>>(
    from: &dyn Backend,
    mut each: impl FnMut(&Entry, (u64, &mut dyn Read), u64) -> Result<(), E>,
) -> Result<Vec<(MessageId, SpoolError)>, E> {
    let all = from.count(&Filter::default()).wait()?.messages;
    let (mut after, mut left) = (None, Vec::new());
    loop {
        let page = PageRequest { after, limit: BATCH, ..PageRequest::default() };
        let page = from.page(&page).wait()?;
        for entry in &page.entries {
            match parcel::content(from, entry.id).map_err(unread) {
                Ok(mut content) => each(entry, (content.len(), &mut content), all)?,
                Err(Untaken::Unread(error)) => left.push((entry.id, error)),
                Err(Untaken::Failed(error)) => return Err(error.into()),
            }
        }
        match page.next {
            Some(next) => after = Some(next),
            None => return Ok(left),
        }
    }
}

// Brings what a journal names to its end.
fn finish(from: Place<'_>, to: Place<'_>, journal: &Journal) -> Result<Moved, SpoolError> {
    let begun = journal.read()?;
    let mut done = Moved::default();
    if begun.is_empty() {
        return Ok(done);
    }
    let all: Vec<MessageId> = begun.iter().map(|(id, _)| *id).collect();
    let free: Vec<MessageId> = begun.iter().filter(|(_, held)| !held).map(|(id, _)| *id).collect();
    edit(from.store, &free, Edit::Hold)?;
    let mut absent = HashSet::new();
    for (id, error) in take_over_all(from.store, to.store, &all)? {
        // A run that was broken off may have brought it there whole.
        if is_there(to.store, id)? {
            continue;
        }
        absent.insert(id);
        if !matches!(error, SpoolError::NotFound(_)) {
            done.left.push((id, error));
        }
    }
    let split = |ids: Vec<MessageId>| ids.into_iter().partition(|id| absent.contains(id));
    done.messages = (all.len() - absent.len()) as u64;
    let (_, moved): (Vec<_>, Vec<_>) = split(all);
    let (unmoved, moved_free): (Vec<_>, Vec<_>) = split(free);
    edit(from.store, &moved, Edit::Remove)?;
    edit(to.store, &moved_free, Edit::Release)?;
    edit(from.store, &unmoved, Edit::Release)?;
    journal.clear()?;
    Ok(done)
}

// What is not there was moved by the run before, and may have gone out since.
fn edit(store: &dyn Backend, ids: &[MessageId], edit: Edit) -> Result<(), SpoolError> {
    if ids.is_empty() {
        return Ok(());
    }
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
