//! Sees to it that every message whose content is in a file of its own has that file, and
//! that every such file belongs to a message.

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::path::Path;

use super::content::{content_number, content_path};
use super::core::Location;
use super::payload::SpilledAt;
use crate::SpoolError;
use crate::disk::Disk;
use crate::id::MessageId;
use crate::index::Index;

/// The files that are there.
pub(crate) struct Contents {
    pub(crate) numbers: BTreeSet<u64>,
    /// Octets in those that belong to a message.
    pub(crate) octets: u64,
    /// What is wrong with some.
    pub(crate) notes: Vec<String>,
    /// Which could not be read.
    pub(crate) unread: Vec<(u64, String)>,
    /// Greater than the number of any file that is there or should be.
    pub(crate) next: u64,
    wanted: BTreeSet<u64>,
}

impl Contents {
    /// Compares the files with the messages of an index that `count`. A message whose
    /// file is cut or not there stays in the queue: what is known of it is enough to tell
    /// its sender, and the file may come back.
    pub(crate) fn take(
        disk: &dyn Disk,
        directory: &Path,
        index: &Index<Location>,
        count: impl Fn(&Location) -> bool,
    ) -> Result<Self, SpoolError> {
        let spilled = |(id, location): (MessageId, &Location)| {
            let counts = count(location);
            location.spilled.as_deref().map(|at| (at.number, (id, *at, counts)))
        };
        let wanted: HashMap<u64, (MessageId, SpilledAt, bool)> =
            index.ids_after(None).filter_map(spilled).collect();
        let names =
            disk.list(directory).map_err(|error| SpoolError::unreadable(directory, &error))?;
        let numbers: BTreeSet<u64> = names.iter().filter_map(|name| content_number(name)).collect();
        let mut contents = Self {
            next: 1 + numbers.iter().chain(wanted.keys()).max().copied().unwrap_or(0),
            numbers,
            octets: 0,
            notes: Vec::new(),
            unread: Vec::new(),
            wanted: wanted.keys().copied().collect(),
        };
        let mut wanted: Vec<_> = wanted.into_values().filter(|(_, _, counts)| *counts).collect();
        wanted.sort_unstable_by_key(|(id, ..)| *id);
        for (id, at, _) in wanted {
            contents.compare(disk, directory, id, at);
        }
        Ok(contents)
    }

    fn compare(&mut self, disk: &dyn Disk, directory: &Path, id: MessageId, at: SpilledAt) {
        self.octets += at.octets;
        let path = content_path(directory, at.number);
        let name = format!("{:08x}.content", at.number);
        let what = match self.numbers.contains(&at.number).then(|| length(disk, &path)) {
            None => "not there",
            Some(Ok(length)) if length < at.octets => "cut",
            Some(Ok(_)) => return,
            Some(Err(error)) => {
                let path = path.display();
                let note =
                    format!("message {id} waits: its content, {path}, cannot be read: {error}");
                return self.unread.push((at.number, note));
            }
        };
        self.notes.push(format!("message {id} is damaged: its content, {name}, is {what}"));
    }

    /// Removes the files of which neither this index nor another says anything; only for
    /// when all that may speak of them was read. Those from `new` on may be under way.
    pub(crate) fn sweep(
        &self,
        disk: &dyn Disk,
        directory: &Path,
        new: u64,
        belongs: impl Fn(u64) -> bool,
    ) {
        for number in self.numbers.range(..new) {
            if !self.wanted.contains(number) && !belongs(*number) {
                // What cannot be removed now is met again at the next start.
                let _ = disk.remove(&content_path(directory, *number));
            }
        }
    }
}

fn length(disk: &dyn Disk, path: &Path) -> io::Result<u64> {
    disk.open(path)?.len()
}
