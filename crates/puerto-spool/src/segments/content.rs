//! Content on its way in and out: drafts that spill into files of their own, and
//! readers of what is stored.

use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use super::payload::SpilledAt;
use crate::disk::{Disk, File};
use crate::{Content, Draft, SpilledContent, SpoolError, StoredContent};

/// The directory of files that hold large content.
pub(crate) struct ContentFiles {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) directory: PathBuf,
    next: AtomicU64,
    /// Octets in them.
    pub(crate) octets: AtomicU64,
    /// Octets that drafts hold in memory.
    drafts: AtomicUsize,
}

impl ContentFiles {
    /// `next` is greater than the number of any file that is there.
    pub(crate) fn new(disk: Arc<dyn Disk>, directory: PathBuf, next: u64, octets: u64) -> Self {
        Self {
            disk,
            directory,
            next: AtomicU64::new(next),
            octets: AtomicU64::new(octets),
            drafts: AtomicUsize::new(0),
        }
    }

    fn is_crowded(&self) -> bool {
        self.drafts.load(Ordering::Relaxed) > CROWDED
    }

    /// Opens a file that a record names.
    pub(crate) fn open(&self, number: u64) -> io::Result<Arc<dyn File>> {
        self.disk.open(&content_path(&self.directory, number))
    }

    /// Takes a file away whose message is gone. What cannot be taken away now is met
    /// as an orphan at the next start.
    pub(crate) fn remove(&self, at: SpilledAt) {
        if self.disk.remove(&content_path(&self.directory, at.number)).is_ok() {
            self.octets.fetch_sub(at.octets, Ordering::Relaxed);
        }
    }

    fn create(self: &Arc<Self>) -> io::Result<SpilledFile> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let file = self.disk.create(&content_path(&self.directory, number))?;
        let hasher = crc32fast::Hasher::new();
        Ok(SpilledFile { files: Arc::clone(self), file, number, octets: 0, hasher, kept: false })
    }
}

/// Where a content's file is.
pub(crate) fn content_path(directory: &Path, number: u64) -> PathBuf {
    directory.join(format!("{number:08x}.content"))
}

/// The number of a content's file.
pub(crate) fn content_number(name: &str) -> Option<u64> {
    u64::from_str_radix(name.strip_suffix(".content")?, 16).ok()
}

/// A file that is removed when dropped, unless a record names it.
pub(crate) struct SpilledFile {
    files: Arc<ContentFiles>,
    file: Arc<dyn File>,
    number: u64,
    octets: u64,
    hasher: crc32fast::Hasher,
    kept: bool,
}

impl SpilledFile {
    fn append(&mut self, octets: &[u8]) -> Result<(), SpoolError> {
        self.file.write_at(octets, self.octets).map_err(|error| SpoolError::from(&error))?;
        self.hasher.update(octets);
        self.octets += octets.len() as u64;
        self.files.octets.fetch_add(octets.len() as u64, Ordering::Relaxed);
        Ok(())
    }

    /// What a record says of it.
    pub(crate) fn at(&self) -> SpilledAt {
        let checksum = self.hasher.clone().finalize();
        SpilledAt { number: self.number, octets: self.octets, checksum }
    }

    /// Makes it durable, its name too.
    pub(crate) fn sync(&self) -> Result<(), SpoolError> {
        let synced = self.file.sync_data();
        synced
            .and_then(|()| self.files.disk.sync_dir(&self.files.directory))
            .map_err(|error| SpoolError::from(&error))
    }

    /// Whether it belongs to this store.
    pub(crate) fn is_of(&self, files: &Arc<ContentFiles>) -> bool {
        Arc::ptr_eq(&self.files, files)
    }

    /// A record names it: it stays.
    pub(crate) fn keep(mut self) {
        self.kept = true;
    }
}

impl Drop for SpilledFile {
    fn drop(&mut self) {
        if !self.kept {
            self.files.remove(self.at());
        }
    }
}

impl SpilledContent for SpilledFile {
    fn len(&self) -> u64 {
        self.octets
    }

    fn reader(&self) -> Result<Box<dyn Read + Send + '_>, SpoolError> {
        Ok(Box::new(SpilledReader::new(Arc::clone(&self.file), self.at())))
    }

    fn into_any(self: Box<Self>) -> Box<dyn std::any::Any + Send> {
        self
    }
}

/// Content that is held in memory up to a bound and then goes to a file.
pub(crate) struct SegmentDraft {
    files: Arc<ContentFiles>,
    spill_above: usize,
    buffer: Vec<u8>,
    spilled: Option<SpilledFile>,
}

/// Octets that are gathered before they are written to the file.
const SPILL_PIECE: usize = 64 * 1024;
/// Octets that all drafts may hold in memory before each moves to a file early.
const CROWDED: usize = 32 * 1024 * 1024;

impl SegmentDraft {
    /// An empty draft.
    pub(crate) fn new(files: Arc<ContentFiles>, spill_above: usize) -> Self {
        Self { files, spill_above, buffer: Vec::new(), spilled: None }
    }

    fn bound(&self) -> usize {
        match self.spilled {
            None if !self.files.is_crowded() => self.spill_above,
            _ => SPILL_PIECE.min(self.spill_above),
        }
    }
}

impl Drop for SegmentDraft {
    fn drop(&mut self) {
        self.files.drafts.fetch_sub(self.buffer.len(), Ordering::Relaxed);
    }
}

impl Draft for SegmentDraft {
    fn hold(&mut self, octets: &[u8]) -> bool {
        self.buffer.extend_from_slice(octets);
        self.files.drafts.fetch_add(octets.len(), Ordering::Relaxed);
        self.buffer.len() > self.bound()
    }

    fn spill(&mut self) -> Result<(), SpoolError> {
        let spilled = match &mut self.spilled {
            Some(spilled) => spilled,
            none => none.insert(self.files.create().map_err(|error| SpoolError::from(&error))?),
        };
        spilled.append(&self.buffer)?;
        self.files.drafts.fetch_sub(self.buffer.len(), Ordering::Relaxed);
        self.buffer.clear();
        self.buffer.shrink_to(SPILL_PIECE);
        Ok(())
    }

    fn is_on_disk(&self) -> bool {
        self.spilled.is_some()
    }

    fn len(&self) -> u64 {
        self.buffer.len() as u64 + self.spilled.as_ref().map_or(0, |spilled| spilled.octets)
    }

    fn finish(mut self: Box<Self>) -> Result<Content, SpoolError> {
        if self.spilled.is_some() {
            self.spill()?;
        }
        Ok(match self.spilled.take() {
            None => {
                self.files.drafts.fetch_sub(self.buffer.len(), Ordering::Relaxed);
                Content::Memory(std::mem::take(&mut self.buffer))
            }
            Some(spilled) => Content::Spilled(Box::new(spilled)),
        })
    }
}

/// Reads a content's file and checks at its end that it is what was written.
pub(crate) struct SpilledReader {
    file: Arc<dyn File>,
    at: SpilledAt,
    read: u64,
    hasher: crc32fast::Hasher,
}

impl SpilledReader {
    /// A reader at the beginning.
    pub(crate) fn new(file: Arc<dyn File>, at: SpilledAt) -> Self {
        Self { file, at, read: 0, hasher: crc32fast::Hasher::new() }
    }
}

impl Read for SpilledReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.at.octets - self.read).unwrap_or(usize::MAX);
        let length = buffer.len().min(left);
        let Some(wanted) = buffer.get_mut(..length).filter(|wanted| !wanted.is_empty()) else {
            return Ok(0);
        };
        let count = self.file.read_at(wanted, self.read)?;
        if count == 0 {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the content's file is cut"));
        }
        self.hasher.update(wanted.get(..count).unwrap_or_default());
        self.read += count as u64;
        // The error comes in place of the last octets, so that no next hop ever gets
        // the whole of a damaged message.
        if self.read == self.at.octets && self.hasher.clone().finalize() != self.at.checksum {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "the content's checksum does not fit",
            ));
        }
        Ok(count)
    }
}

/// Stored content: what is in memory, then perhaps a file.
pub(crate) struct SegmentContent {
    octets: Arc<Vec<u8>>,
    /// Where the content begins in `octets`.
    from: usize,
    read: usize,
    rest: Option<SpilledReader>,
}

impl SegmentContent {
    /// Content that begins at `from` of a payload and goes on in a file.
    pub(crate) fn new(octets: Arc<Vec<u8>>, from: usize, rest: Option<SpilledReader>) -> Self {
        Self { octets, from, read: 0, rest }
    }

    fn here(&self) -> &[u8] {
        self.octets.get(self.from..).unwrap_or_default()
    }
}

impl Read for SegmentContent {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut left = self.here().get(self.read..).unwrap_or_default();
        if left.is_empty() {
            return self.rest.as_mut().map_or(Ok(0), |rest| rest.read(buffer));
        }
        let count = left.read(buffer)?;
        self.read += count;
        Ok(count)
    }
}

impl StoredContent for SegmentContent {
    fn len(&self) -> u64 {
        self.here().len() as u64 + self.rest.as_ref().map_or(0, |rest| rest.at.octets)
    }

    fn in_memory(&self) -> Option<&[u8]> {
        match self.rest {
            None => Some(self.here()),
            Some(_) => None,
        }
    }
}

/// The content of messages that have just come, so that their first delivery need
/// not read the disk.
pub(crate) struct Cache {
    bound: usize,
    octets: usize,
    order: std::collections::VecDeque<crate::MessageId>,
    entries: foldhash::HashMap<crate::MessageId, (Arc<Vec<u8>>, usize)>,
}

impl Cache {
    /// A cache that holds at most this many octets.
    pub(crate) fn new(bound: usize) -> Self {
        Self { bound, octets: 0, order: Default::default(), entries: Default::default() }
    }

    /// Keeps a message's payload and where the content begins in it.
    pub(crate) fn insert(&mut self, id: crate::MessageId, payload: Arc<Vec<u8>>, from: usize) {
        if payload.len() > self.bound / 4 {
            return;
        }
        self.octets += payload.len();
        self.order.push_back(id);
        self.entries.insert(id, (payload, from));
        while self.octets > self.bound || self.order.len() > 2 * self.entries.len() + 64 {
            let Some(oldest) = self.order.pop_front() else { break };
            self.remove(oldest);
        }
    }

    /// What is kept of a message.
    pub(crate) fn get(&self, id: crate::MessageId) -> Option<(Arc<Vec<u8>>, usize)> {
        self.entries.get(&id).cloned()
    }

    /// Forgets a message.
    pub(crate) fn remove(&mut self, id: crate::MessageId) {
        if let Some((payload, _)) = self.entries.remove(&id) {
            self.octets = self.octets.saturating_sub(payload.len());
        }
    }
}
