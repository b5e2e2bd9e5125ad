//! Which files of segments there are, and what each of them is.
//!
//! A file that cannot be read has met the machine's trouble: nothing is known of it, so
//! nothing is decided about it, or about what it may speak of. A file that was read and
//! is not what was written is damaged. Neither is ever removed or used again.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::checkpoint::Heading;
use super::identity::{self, Identity};
use super::log::{DAMAGED, Segment, SegmentFile, segment_number, segment_path};
use super::record::{FIRST_RECORD, ReadHeader, SegmentHeader, VERSION};
use super::scan::{self, read_whole};
use crate::disk::{Disk, File};
use crate::id::MessageId;
use crate::{Hindrance, SpoolError};

/// What a file is called that belongs to another store.
const FOREIGN: &str = "foreign";
/// What a file is called that says it is what another one is.
const SECOND: &str = "second";

/// A file that could not be read.
#[derive(Debug, Clone)]
pub(crate) struct Unread {
    pub(crate) number: u64,
    /// What it holds, if that could be read.
    pub(crate) generation: Option<u64>,
    pub(crate) why: String,
}

/// Which files to look at.
#[derive(Clone, Copy)]
pub(crate) enum Scope<'a> {
    /// All.
    All,
    /// Those that were there when the store was opened, of the store with this number.
    Old(&'a BTreeSet<u64>, u64),
}

/// See the module.
pub(crate) struct Survey {
    pub(crate) salt: u64,
    pub(crate) identity: Identity,
    pub(crate) floor: u64,
    /// Those that count, by generation.
    pub(crate) live: BTreeMap<u64, SegmentFile>,
    /// Up to where a segment counts, if the one after it says so.
    pub(crate) ends: HashMap<u64, u64>,
    /// Between two segments that follow each other there is none that counts.
    skipped: Vec<(u64, u64)>,
    /// Segments of which another one speaks.
    expected: BTreeSet<u64>,
    pub(crate) spare: Vec<SegmentFile>,
    /// Numbers of files that cannot be synced, so that they must not be written.
    pub(crate) failing: BTreeSet<u64>,
    pub(crate) unread: Vec<Unread>,
    /// Generations of segments in which something is damaged.
    pub(crate) damaged: HashSet<u64>,
    /// Files were set aside, now or before: what they held is not known.
    pub(crate) aside: bool,
    pub(crate) greatest_generation: u64,
    pub(crate) greatest_number: u64,
    pub(crate) octets: u64,
    pub(crate) last_id: MessageId,
    pub(crate) notes: Vec<String>,
}

struct Examined {
    file: SegmentFile,
    head: Head,
    /// It was read from the disk itself.
    settled: bool,
}

impl Examined {
    fn header(&self) -> Option<SegmentHeader> {
        match self.head {
            Head::Valid(header) => Some(header),
            Head::Blank | Head::Damaged => None,
        }
    }
}

enum Head {
    Valid(SegmentHeader),
    Blank,
    Damaged,
}

impl Survey {
    /// Looks at the files. Errors are a folder that cannot be listed or has lost all its
    /// segments, files none of which can be read, and those of a newer program.
    pub(crate) fn take(
        disk: &dyn Disk,
        directory: &Path,
        scope: Scope<'_>,
    ) -> Result<Self, SpoolError> {
        let segments = directory.join("segments");
        let names =
            disk.list(&segments).map_err(|error| SpoolError::unreadable(&segments, &error))?;
        let numbers: BTreeSet<u64> = names.iter().filter_map(|n| segment_number(n)).collect();
        let asides = [DAMAGED, FOREIGN, SECOND];
        let is_aside =
            |name: &String| asides.iter().any(|kind| name.ends_with(&format!(".{kind}")));
        let mut survey = Self {
            salt: 0,
            identity: Identity::Absent,
            floor: 0,
            live: BTreeMap::new(),
            ends: HashMap::new(),
            skipped: Vec::new(),
            expected: BTreeSet::new(),
            spare: Vec::new(),
            failing: BTreeSet::new(),
            unread: Vec::new(),
            damaged: HashSet::new(),
            aside: names.iter().any(is_aside),
            greatest_generation: 0,
            greatest_number: numbers.last().copied().unwrap_or(0),
            octets: 0,
            last_id: MessageId::from_u64(0),
            notes: Vec::new(),
        };
        let wanted = match scope {
            Scope::All => &numbers,
            Scope::Old(old, _) => old,
        };
        let mut files = survey.examine_all(disk, &segments, wanted)?;
        survey.settle(disk, &segments, &mut files)?;
        let headers: Vec<SegmentHeader> = files.iter().filter_map(Examined::header).collect();
        survey.salt = match scope {
            Scope::Old(_, salt) => salt,
            Scope::All => survey.find_salt(disk, directory, &headers, numbers.is_empty())?,
        };
        survey.link(&headers);
        for found in files {
            survey.classify(disk, &segments, found);
        }
        Ok(survey)
    }

    fn find_salt(
        &mut self,
        disk: &dyn Disk,
        directory: &Path,
        headers: &[SegmentHeader],
        empty: bool,
    ) -> Result<u64, SpoolError> {
        self.identity = Identity::read(disk, directory);
        let was_used = || {
            let heading = super::checkpoint::heading(disk, directory);
            self.identity != Identity::Absent
                || !matches!(
                    heading,
                    Ok(None
                        | Some(Heading {
                            position: super::log::Position { generation: 0, .. },
                            ..
                        }))
                )
        };
        if empty && was_used() {
            return Err(SpoolError::Io(Hindrance::NothingThere {
                segments: directory.join("segments").display().to_string(),
                directory: directory.display().to_string(),
            }));
        }
        let unread = !self.unread.is_empty();
        identity::salt(disk, directory, self.identity, headers, unread)
    }

    fn examine_all(
        &mut self,
        disk: &dyn Disk,
        segments: &Path,
        numbers: &BTreeSet<u64>,
    ) -> Result<Vec<Examined>, SpoolError> {
        let mut files = Vec::new();
        for number in numbers {
            let path = segment_path(segments, *number);
            let opened = disk.open(&path);
            files.extend(self.examine(disk, &path, *number, opened)?);
        }
        Ok(files)
    }

    /// Reads a file's header; `None` if it cannot be read, or was never finished and has
    /// been removed. An error is a format of a newer program.
    fn examine(
        &mut self,
        disk: &dyn Disk,
        path: &Path,
        number: u64,
        file: io::Result<Arc<dyn File>>,
    ) -> Result<Option<Examined>, SpoolError> {
        match file.and_then(|file| examine(disk, path, number, file)) {
            Ok(Look::Found(found)) => Ok(Some(found)),
            Ok(Look::Nothing) => Ok(None),
            Ok(Look::Newer(version)) => Err(SpoolError::Io(Hindrance::Newer {
                file: path.display().to_string(),
                version,
                known: VERSION,
            })),
            Err(error) => {
                self.not_read(number, None, path, &error);
                Ok(None)
            }
        }
    }

    /// What the process before left in the system's memory is made durable, and what could
    /// not be is not believed. All that it may not have known to be durable stands in the
    /// newest segment; where that one was never begun, in the one before.
    fn settle(
        &mut self,
        disk: &dyn Disk,
        segments: &Path,
        files: &mut Vec<Examined>,
    ) -> Result<(), SpoolError> {
        loop {
            let mut newest = HashMap::<u64, u64>::new();
            for header in files.iter().filter_map(Examined::header) {
                let of_its_store = newest.entry(header.salt).or_default();
                *of_its_store = header.generation.max(*of_its_store);
            }
            let is_newest = |h: SegmentHeader| newest.get(&h.salt) == Some(&h.generation);
            let may_lie = |found: &Examined| found.header().is_none_or(is_newest);
            let unsettled = files.iter().position(|found| !found.settled && may_lie(found));
            let Some(place) = unsettled else { return Ok(()) };
            let SegmentFile { file, number, .. } = files.remove(place).file;
            let path = segment_path(segments, number);
            if let Err(error) = file.sync_data() {
                self.failing.insert(number);
                self.notes.push(format!("the segment {} does not sync: {error}", path.display()));
            }
            file.forget();
            if let Some(found) = self.examine(disk, &path, number, Ok(file))? {
                files.insert(place, Examined { settled: true, ..found });
            }
        }
    }

    /// Remembers that a file could not be read.
    pub(crate) fn not_read(
        &mut self,
        number: u64,
        generation: Option<u64>,
        path: &Path,
        error: &io::Error,
    ) {
        let why = format!("the segment file {} cannot be read: {error}", path.display());
        self.unread.push(Unread { number, generation, why });
    }

    /// Takes what the headers say of each other.
    fn link(&mut self, headers: &[SegmentHeader]) {
        let ours = || headers.iter().filter(|header| header.salt == self.salt);
        self.floor = ours().map(|header| header.floor).max().unwrap_or(0);
        self.last_id = ours().map(|header| header.last_id).max().unwrap_or(self.last_id);
        for header in ours().filter(|header| header.generation >= self.floor) {
            let Some((previous, end)) = header.previous() else { continue };
            self.ends.insert(previous, end);
            self.skipped.push((previous, header.generation));
            if previous > 0 {
                self.expected.insert(previous);
            }
        }
    }

    /// Says what is to become of a file.
    fn classify(&mut self, disk: &dyn Disk, segments: &Path, found: Examined) {
        let Examined { mut file, head, .. } = found;
        self.octets += file.size;
        let path = segment_path(segments, file.number);
        match head {
            Head::Valid(header) if header.salt != self.salt => {
                let why = "belongs to another store";
                return self.set_aside(disk, (&path, file.size), FOREIGN, why);
            }
            Head::Valid(header) => file.generation = header.generation,
            Head::Blank => {}
            Head::Damaged => match scan::generation(&file.file, self.salt) {
                Err(error) => return self.not_read(file.number, None, &path, &error),
                Ok(None) => {
                    let why = "has a damaged header and no intact record";
                    return self.set_aside(disk, (&path, file.size), DAMAGED, why);
                }
                Ok(Some(generation)) => {
                    self.notes.push(format!("the segment {} has a damaged header", path.display()));
                    self.damaged.insert(generation);
                    file.generation = generation;
                }
            },
        }
        let generation = file.generation;
        self.greatest_generation = self.greatest_generation.max(generation);
        if generation == 0 || generation < self.floor {
            self.spare.push(file);
        } else if self.is_skipped(generation) {
            self.drop_given_up(disk, &path, &file);
        } else if let Some(first) = self.live.remove(&generation) {
            self.choose(disk, segments, first, file);
        } else {
            self.live.insert(generation, file);
        }
    }

    fn is_skipped(&self, generation: u64) -> bool {
        self.skipped.iter().any(|(from, to)| *from < generation && generation < *to)
    }

    /// A segment that was given up before anything was written to it. One that holds
    /// something came here in another way.
    fn drop_given_up(&mut self, disk: &dyn Disk, path: &Path, file: &SegmentFile) {
        match scan::generation(&file.file, self.salt) {
            Ok(Some(generation)) if generation == file.generation => {
                let why = "is not one that the others know of";
                self.set_aside(disk, (path, file.size), SECOND, why);
            }
            Ok(_) => {
                if disk.remove(path).is_ok() {
                    self.octets -= file.size;
                }
            }
            Err(error) => self.not_read(file.number, Some(file.generation), path, &error),
        }
    }

    /// Two files say that they are the same segment: the one with more in it counts.
    fn choose(
        &mut self,
        disk: &dyn Disk,
        segments: &Path,
        first: SegmentFile,
        second: SegmentFile,
    ) {
        let generation = second.generation;
        let range = scan::Range { salt: self.salt, generation, from: 0, to: u64::MAX };
        let end =
            |file: &SegmentFile| scan::scan(&file.file, range, |_, _| Ok(()), &mut Vec::new());
        let (kept, other) = match (end(&first), end(&second)) {
            (Ok(of_first), Ok(of_second)) if of_second > of_first => (second, first),
            (Ok(_), Ok(_)) => (first, second),
            (Err(error), _) | (_, Err(error)) => {
                for file in [first, second] {
                    let path = segment_path(segments, file.number);
                    self.not_read(file.number, Some(generation), &path, &error);
                }
                return;
            }
        };
        let path = segment_path(segments, other.number);
        let why =
            format!("is a second copy of {:08x}.segment, with less in it or the same", kept.number);
        self.live.insert(generation, kept);
        self.set_aside(disk, (&path, other.size), SECOND, &why);
    }

    fn set_aside(&mut self, disk: &dyn Disk, (path, size): (&Path, u64), kind: &str, why: &str) {
        self.aside = true;
        let aside: PathBuf = path.with_extension(kind);
        let done = match disk.rename(path, &aside) {
            Ok(()) => {
                self.octets -= size;
                format!("it is kept as {}", aside.display())
            }
            Err(error) => format!("it is left where it is, since it cannot be renamed: {error}"),
        };
        self.notes.push(format!("the segment {} {why}: {done}", path.display()));
    }

    /// The checkpoint names these segments, too.
    pub(crate) fn expect(&mut self, generations: impl Iterator<Item = u64>) {
        let floor = self.floor;
        self.expected.extend(generations.filter(|generation| *generation >= floor.max(1)));
    }

    /// Segments that the others or the checkpoint speak of and that were not found.
    pub(crate) fn missing(&self) -> BTreeSet<u64> {
        let is_missing = |generation: &&u64| {
            **generation >= self.floor
                && !self.live.contains_key(generation)
                && !self.is_skipped(**generation)
                && !self.unread.iter().any(|unread| unread.generation == Some(**generation))
        };
        self.expected.iter().filter(is_missing).copied().collect()
    }

    /// What is in segments up to this generation may have been changed by a segment that
    /// could not be read. If as many are missing as could not be read, they are these;
    /// else one of them may be the last of all.
    pub(crate) fn doubt(&self) -> u64 {
        let unknown = self.unread.iter().filter(|unread| unread.generation.is_none()).count();
        let missing = self.missing();
        if unknown > 0 && missing.len() != unknown {
            return u64::MAX;
        }
        let known = self.unread.iter().filter_map(|unread| unread.generation);
        let places = known.chain(missing.into_iter().filter(|_| unknown > 0));
        places.max().unwrap_or(0)
    }

    /// No greater generation is known to have been used.
    pub(crate) fn greatest(&self) -> u64 {
        self.greatest_generation.max(self.expected.last().copied().unwrap_or(0))
    }

    /// The segments that count, in their order.
    pub(crate) fn segments(&self, usual_size: u64) -> Vec<Segment> {
        let segment = |(generation, file): (&u64, &SegmentFile)| Segment {
            file: file.clone(),
            alive: 0,
            spoiled: file.size != usual_size || self.failing.contains(&file.number),
            damaged: self.damaged.contains(generation),
        };
        self.live.iter().map(segment).collect()
    }
}

enum Look {
    Found(Examined),
    /// It was never finished, and has been removed.
    Nothing,
    /// A newer program wrote it, in this format.
    Newer(u32),
}

/// Reads a file's header. An error says that it could not be read.
fn examine(disk: &dyn Disk, path: &Path, number: u64, file: Arc<dyn File>) -> io::Result<Look> {
    let size = file.len()?;
    let mut sectors = vec![0; usize::try_from(FIRST_RECORD.min(size)).unwrap_or_default()];
    read_whole(&*file, &mut sectors, 0)?;
    let file = SegmentFile { file, number, size, generation: 0, used: size };
    let head = match SegmentHeader::decode(&sectors) {
        ReadHeader::Valid(header) => Head::Valid(header),
        ReadHeader::Unknown(version) => return Ok(Look::Newer(version)),
        ReadHeader::Blank if size < FIRST_RECORD => {
            let _ = disk.remove(path);
            return Ok(Look::Nothing);
        }
        ReadHeader::Blank if scan::is_blank(&file.file)? => Head::Blank,
        ReadHeader::Blank | ReadHeader::Damaged => Head::Damaged,
    };
    Ok(Look::Found(Examined { file, head, settled: false }))
}
