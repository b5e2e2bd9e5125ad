//! Reads what the segments and the checkpoint say, into an index.
//!
//! Reading is whole or it is not: if a file could not be read, another one may say that a
//! message is there of which that file says that it is gone.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::checkpoint::{self, Heading, Missing};
use super::core::Location;
use super::log::{Placed, Position, SegmentFile, segment_path};
use super::payload::Payload;
use super::record::Kind;
use super::scan::{self, Damage, Found};
use super::survey::{Scope, Survey};
use crate::SpoolError;
use crate::disk::Disk;
use crate::id::{MessageId, Timestamp};
use crate::index::{EncodedEnvelope, Index};

/// See the module.
pub(crate) struct Reading {
    pub(crate) survey: Survey,
    pub(crate) index: Index<Location>,
    pub(crate) last_id: MessageId,
    /// Where the last segment ends.
    pub(crate) end: Position,
    /// The checkpoint could not be read, which costs time but no message.
    pub(crate) checkpoint_unread: bool,
    /// Messages that are spoken of and were not found, and the segment that does.
    unknown: BTreeMap<MessageId, u64>,
    /// What the checkpoint holds everything up to.
    from: Position,
}

impl Reading {
    /// Reads what is in scope, as far as it can be read.
    pub(crate) fn take(
        disk: &dyn Disk,
        directory: &Path,
        scope: Scope<'_>,
    ) -> Result<Self, SpoolError> {
        let survey = Survey::take(disk, directory, scope)?;
        let mut reading = Self {
            last_id: survey.last_id,
            survey,
            index: Index::default(),
            end: Position::default(),
            checkpoint_unread: false,
            unknown: BTreeMap::new(),
            from: Position::default(),
        };
        // To try again is cheap as long as it is in vain.
        if matches!(scope, Scope::All) || reading.is_whole() {
            reading.take_checkpoint(disk, directory);
            reading.replay(&directory.join("segments"));
            reading.tell_losses();
        }
        Ok(reading)
    }

    /// Whether every segment was read, whatever was found in it.
    pub(crate) fn is_whole(&self) -> bool {
        self.survey.unread.is_empty()
    }

    /// Whether every segment was read and found as it was written, so that what nothing
    /// speaks of belongs to nobody.
    pub(crate) fn is_intact(&self) -> bool {
        self.is_whole()
            && !self.survey.aside
            && self.survey.damaged.is_empty()
            && self.survey.notes.is_empty()
            && self.survey.missing().is_empty()
    }

    fn take_checkpoint(&mut self, disk: &dyn Disk, directory: &Path) {
        let survey = &self.survey;
        let of_another_store = std::cell::Cell::new(false);
        let usable = |heading: &Heading| {
            let Position { generation, offset } = heading.position;
            let end = survey.ends.get(&generation).copied().unwrap_or(u64::MAX);
            // Of a segment that is not there any more it tells what nothing else does.
            generation >= survey.floor && generation > 0 && offset <= end
        };
        let ours = |heading: &Heading| {
            of_another_store.set(heading.salt != survey.salt);
            heading.salt == survey.salt && usable(heading)
        };
        let result = checkpoint::read(disk, directory, ours);
        let notes = &mut self.survey.notes;
        match result {
            Ok((heading, index)) => {
                self.index = index;
                self.from = heading.position;
                self.end = heading.position;
                self.last_id = self.last_id.max(heading.last_id);
                let places = self.index.ids_after(None).map(|(_, at)| at.placed.generation);
                let named: BTreeSet<u64> = places.chain([heading.position.generation]).collect();
                self.survey.expect(named.into_iter());
            }
            Err(Missing::Absent) if of_another_store.get() => {
                let _ = checkpoint::set_aside(disk, directory, "foreign");
                notes.push("the checkpoint belongs to another store and was set aside".to_owned());
            }
            Err(Missing::Absent) => {}
            Err(Missing::Damaged(what)) => {
                let _ = checkpoint::set_aside(disk, directory, "damaged");
                notes.push(format!("the checkpoint is damaged and was set aside: {what}"));
            }
            Err(Missing::Unread(_)) => self.checkpoint_unread = true,
        }
    }

    fn replay(&mut self, segments: &Path) {
        let from = self.from;
        let files: Vec<SegmentFile> =
            self.survey.live.range(from.generation..).map(|(_, file)| file.clone()).collect();
        for file in files {
            let start = if file.generation == from.generation { from.offset } else { 0 };
            if let Err(error) = self.replay_segment(&file, start) {
                let path = segment_path(segments, file.number);
                self.survey.not_read(file.number, Some(file.generation), &path, &error);
            }
        }
    }

    fn replay_segment(&mut self, file: &SegmentFile, from: u64) -> std::io::Result<()> {
        let generation = file.generation;
        let known_end = self.survey.ends.get(&generation).copied();
        let to = known_end.unwrap_or(u64::MAX);
        let range = scan::Range { salt: self.survey.salt, generation, from, to };
        let mut damage: Vec<Damage> = Vec::new();
        let end = scan::scan(
            &file.file,
            range,
            |found, payload| self.apply(generation, found, payload),
            &mut damage,
        )?;
        self.end = Position { generation, offset: end };
        let lost = known_end.map_or(0, |known| known.saturating_sub(end.max(from)));
        if lost > 0 {
            let what = format!(
                "the last {lost} octets that were written to it are not there, and of what they \
                 said is gone some may be sent again"
            );
            damage.push(Damage { id: None, offset: end, what });
        }
        for Damage { id, offset, what } in damage {
            let of =
                id.map_or_else(|| "an unknown message".to_owned(), |id| format!("message {id}"));
            let tail = if offset >= end && known_end.is_none() {
                "; it is the last in the log, so if the machine lost power it may never have been \
                 acknowledged"
            } else {
                self.survey.damaged.insert(generation);
                ""
            };
            self.survey.notes.push(format!(
                "a record of {of} in segment file {:08x} at {offset} is damaged: {what}{tail}",
                file.number
            ));
        }
        Ok(())
    }

    fn apply(&mut self, generation: u64, found: Found, payload: &[u8]) -> Result<(), String> {
        let Found { id, offset, octets, .. } = found;
        self.last_id = self.last_id.or_later(id);
        let said = match found.kind {
            Kind::Message => Payload::take(payload).and_then(|payload| {
                let envelope = EncodedEnvelope::decode(payload.envelope)?;
                let placed = Placed {
                    generation,
                    offset: u32::try_from(offset).unwrap_or(u32::MAX),
                    octets: u32::try_from(octets).unwrap_or(u32::MAX),
                };
                let location = Location { placed, spilled: payload.spilled.map(Box::new) };
                let content = (payload.size(), location);
                self.index.insert(id, envelope, content, Timestamp::default());
                self.unknown.remove(&id);
                self.index.apply(id, payload.states).map(drop)
            }),
            Kind::State => {
                if !self.index.contains(id) {
                    self.unknown.insert(id, generation);
                }
                self.index.apply(id, payload).map(drop)
            }
            Kind::Gone => {
                self.unknown.remove(&id);
                self.index.remove(id);
                Ok(())
            }
        };
        said.map_err(|malformed| malformed.to_string())
    }

    /// Names what is lost, if all was read: what could not be read is not lost.
    fn tell_losses(&mut self) {
        if !self.is_whole() {
            return;
        }
        let missing = self.survey.missing();
        if missing.is_empty() && self.survey.damaged.is_empty() {
            return;
        }
        for generation in &missing {
            self.survey.notes.push(format!(
                "the segment of generation {generation} is not there: what came of messages \
                 meanwhile is not known, and some may be sent again"
            ));
        }
        let gone = |location: &Location| missing.contains(&location.placed.generation);
        let lost = self.index.ids_after(None).filter(|(_, location)| gone(location));
        let lost: Vec<MessageId> = lost.map(|(id, _)| id).collect();
        for id in lost {
            self.index.remove(id);
            self.survey.notes.push(format!("message {id} is lost: its segment is not there"));
        }
        // A checkpoint may be ahead of the segment that it was written in.
        let spoken_of = self.unknown.iter().filter(|(_, by)| **by > self.from.generation);
        for (id, _) in spoken_of {
            self.survey.notes.push(format!("message {id} is lost: its record is not there"));
        }
    }

    /// Messages whose record lies behind the end of its segment's file.
    pub(crate) fn cut_off(&self) -> BTreeSet<MessageId> {
        let is_cut = |location: &Location| {
            let Placed { generation, offset, octets } = location.placed;
            let size = self.survey.live.get(&generation).map(|file| file.size);
            size.is_some_and(|size| u64::from(offset) + u64::from(octets) > size)
        };
        let all = self.index.ids_after(None);
        all.filter(|(_, location)| is_cut(location)).map(|(id, _)| id).collect()
    }
}
