//! Notes about messages in a table that all nodes share, so that any of them can tell what
//! became of a message, also those of a node that is dead.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use tokio_postgres::{Error, Row};

use super::accept::signed;
use super::claims::unsigned;
use super::connect::Parameters;
use super::core::Core;
use crate::archive::{Archive, Note};
use crate::faces::Answer;
use crate::id::{MessageId, Timestamp};
use crate::{Hindrance, SpoolError};

/// Holds for the sessions of this link. A crash may lose the last moments, so nothing waits
/// for a disk or for a standby.
pub(super) const SETUP: &str = "SET enable_seqscan = on; SET synchronous_commit = off";

const KEEP: &str = "\
INSERT INTO note (at, size, ids, starts, lengths, keys, key_ids, octets)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";

const NOTES: &str = "\
SELECT n.at, p.id, substring(n.octets FROM p.start + 1 FOR p.length),
  ARRAY(SELECT k.key FROM unnest(n.keys, n.key_ids) AS k (key, id) WHERE k.id = p.id)
FROM note n, unnest(n.ids, n.starts, n.lengths) AS p (id, start, length)
WHERE $1 = ANY (n.ids) AND p.id = $1 ORDER BY n.number, p.start";

// Each row that has the key has a message at least.
const UNDER: &str = "\
SELECT DISTINCT p.id
FROM (SELECT keys, key_ids FROM note WHERE $1 = ANY (keys) ORDER BY number DESC LIMIT $2) n,
  unnest(n.keys, n.key_ids) AS p (key, id)
WHERE p.key = $1 ORDER BY p.id DESC LIMIT $2";

const NEWEST: &str = "\
SELECT number, at, ids, starts, lengths, keys, key_ids, octets FROM note
WHERE number < $1 ORDER BY number DESC LIMIT 8";

const FROM: &str = "\
SELECT number, at, ids, starts, lengths, keys, key_ids, octets FROM note
WHERE number > $1 ORDER BY number LIMIT 8";

const OF_ANY: &str = "\
SELECT number, at, ids, starts, lengths, keys, key_ids, octets FROM note
WHERE ids && $1 ORDER BY number LIMIT 8";

// Only as it was read: another node may be at it, too.
const REPLACE: &str = "\
UPDATE note SET size = $3, ids = $4, starts = $5, lengths = $6, keys = $7, key_ids = $8, octets = $9
WHERE number = $1 AND ids = $2 RETURNING number";

const DROP: &str = "DELETE FROM note WHERE number = $1 AND ids = $2 RETURNING number";

const IS_TOO_MUCH: &str = "\
SELECT coalesce((SELECT at FROM note ORDER BY number LIMIT 1) < $1, false)
  OR pg_total_relation_size('note') > $2";

const PURGE: &str = "\
DELETE FROM note WHERE number <= (
  SELECT max(number) FROM (
    SELECT number, at, sum(size) OVER (ORDER BY number DESC) AS above FROM note) n
  WHERE above > $2 OR at < $1)";

const SINCE: &str = "SELECT at FROM note ORDER BY number LIMIT 1";

/// How long an answer is waited for: whoever stops the server waits for the last.
const PATIENCE: Duration = Duration::from_secs(15);
/// Octets of a row besides those of its notes, about.
const ROW: usize = 100;

/// The table.
pub(super) struct Notes(pub(super) Arc<Core>);

/// What is in a row.
#[derive(Debug, Default, PartialEq, Eq)]
struct Gathered {
    at: i64,
    ids: Vec<i64>,
    starts: Vec<i32>,
    lengths: Vec<i32>,
    keys: Vec<i64>,
    key_ids: Vec<i64>,
    octets: Vec<u8>,
}

impl Gathered {
    fn of<'a>(at: Timestamp, notes: impl IntoIterator<Item = &'a Note>) -> Self {
        let length = |octets: usize| i32::try_from(octets).unwrap_or(i32::MAX);
        let mut all = Self { at: at.as_millis(), ..Self::default() };
        for note in notes {
            let id = signed(note.id);
            all.ids.push(id);
            all.starts.push(length(all.octets.len()));
            all.lengths.push(length(note.octets.len()));
            all.keys.extend(note.keys.iter().map(|key| key.cast_signed()));
            all.key_ids.resize(all.keys.len(), id);
            all.octets.extend_from_slice(&note.octets);
        }
        all
    }

    fn read(row: &Row) -> Result<(i64, Self), Error> {
        let all = Self {
            at: row.try_get(1)?,
            ids: row.try_get(2)?,
            starts: row.try_get(3)?,
            lengths: row.try_get(4)?,
            keys: row.try_get(5)?,
            key_ids: row.try_get(6)?,
            octets: row.try_get(7)?,
        };
        Ok((row.try_get(0)?, all))
    }

    fn size(&self) -> i32 {
        let size = ROW + self.octets.len() + 16 * (self.ids.len() + self.keys.len());
        i32::try_from(size).unwrap_or(i32::MAX)
    }

    fn notes(&self) -> Vec<Note> {
        let mut keys: HashMap<i64, Vec<u64>> = HashMap::new();
        for (key, id) in self.keys.iter().zip(&self.key_ids) {
            keys.entry(*id).or_default().push(key.cast_unsigned());
        }
        let places = self.starts.iter().zip(&self.lengths);
        let note = |(id, (start, length)): (&i64, (&i32, &i32))| {
            let start = usize::try_from(*start).ok()?;
            let end = start.checked_add(usize::try_from(*length).ok()?)?;
            let octets = self.octets.get(start..end)?.to_vec();
            let at = Timestamp::from_millis(self.at);
            Some(Note { id: unsigned(*id), at, keys: keys.remove(id).unwrap_or_default(), octets })
        };
        self.ids.iter().zip(places).filter_map(note).collect()
    }
}

impl Core {
    async fn ask_notes(
        &self,
        sql: &'static str,
        parameters: Parameters<'_>,
    ) -> Result<Vec<Row>, SpoolError> {
        let asked = self.ask_by(&self.notes, sql, parameters);
        if let Ok(answer) = tokio::time::timeout(PATIENCE, asked).await {
            return answer;
        }
        // What it may say yet is nobody's answer.
        self.notes.lock().await.forget();
        let database = self.reach.settings.shown.clone();
        Err(SpoolError::ReadOnly(Hindrance::DatabaseSilent { database }))
    }

    fn taken<T>(
        &self,
        rows: &[Row],
        read: impl FnMut(&Row) -> Result<T, Error>,
    ) -> Result<Vec<T>, SpoolError> {
        let read: Result<Vec<T>, Error> = rows.iter().map(read).collect();
        read.map_err(|error| self.reach.failure(&error))
    }

    async fn keep_notes(&self, rows: Vec<Gathered>) -> Result<(), SpoolError> {
        for row in rows {
            let Gathered { at, ids, starts, lengths, keys, key_ids, octets } = &row;
            let size = row.size();
            let parameters: Parameters<'_> =
                &[at, &size, ids, starts, lengths, keys, key_ids, octets];
            self.ask_notes(KEEP, parameters).await?;
        }
        Ok(())
    }

    async fn notes_of(&self, id: MessageId) -> Result<Vec<Note>, SpoolError> {
        let rows = self.ask_notes(NOTES, &[&signed(id)]).await?;
        self.taken(&rows, |row| {
            let keys: Vec<i64> = row.try_get(3)?;
            Ok(Note {
                id: unsigned(row.try_get(1)?),
                at: Timestamp::from_millis(row.try_get(0)?),
                keys: keys.into_iter().map(i64::cast_unsigned).collect(),
                octets: row.try_get(2)?,
            })
        })
    }

    async fn noted_under(&self, key: u64, limit: usize) -> Result<Vec<MessageId>, SpoolError> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let rows = self.ask_notes(UNDER, &[&key.cast_signed(), &limit]).await?;
        self.taken(&rows, |row| Ok(unsigned(row.try_get(0)?)))
    }

    async fn newest_notes(&self, limit: usize) -> Result<Vec<Note>, SpoolError> {
        let (mut before, mut notes) = (i64::MAX, Vec::new());
        while notes.len() < limit {
            let rows = self.ask_notes(NEWEST, &[&before]).await?;
            for (number, row) in self.taken(&rows, Gathered::read)? {
                before = number;
                notes.extend(row.notes().into_iter().rev());
            }
            if rows.is_empty() {
                break;
            }
        }
        notes.truncate(limit);
        Ok(notes)
    }

    async fn notes_from(&self, place: u64) -> Result<Option<(Vec<Note>, u64)>, SpoolError> {
        let place = i64::try_from(place).unwrap_or(i64::MAX);
        let rows = self.taken(&self.ask_notes(FROM, &[&place]).await?, Gathered::read)?;
        let Some((last, _)) = rows.last() else { return Ok(None) };
        let behind = last.unsigned_abs();
        Ok(Some((rows.iter().flat_map(|(_, row)| row.notes()).collect(), behind)))
    }

    async fn purge_notes(&self, before: Timestamp, octets: u64) -> Result<(), SpoolError> {
        let octets = i64::try_from(octets).unwrap_or(i64::MAX);
        let bounds: Parameters<'_> = &[&before.as_millis(), &octets];
        let rows = self.ask_notes(IS_TOO_MUCH, bounds).await?;
        if self.taken(&rows, |row| row.try_get::<_, bool>(0))?.contains(&true) {
            self.ask_notes(PURGE, bounds).await?;
        }
        Ok(())
    }

    async fn forget_notes(&self, ids: Vec<MessageId>) -> Result<u64, SpoolError> {
        let wanted: Vec<i64> = ids.iter().map(|id| signed(*id)).collect();
        let mut found: BTreeSet<i64> = BTreeSet::new();
        loop {
            let rows = self.ask_notes(OF_ANY, &[&wanted]).await?;
            if rows.is_empty() {
                return Ok(found.len() as u64);
            }
            for (number, row) in self.taken(&rows, Gathered::read)? {
                found.extend(row.ids.iter().filter(|id| wanted.contains(id)).copied());
                let stay = row.notes().into_iter().filter(|note| !ids.contains(&note.id));
                self.replace_notes((number, &row), &stay.collect::<Vec<_>>()).await?;
            }
        }
    }

    async fn replace_notes(
        &self,
        (number, before): (i64, &Gathered),
        stay: &[Note],
    ) -> Result<(), SpoolError> {
        let row = Gathered::of(Timestamp::from_millis(before.at), stay);
        if stay.is_empty() {
            return self.ask_notes(DROP, &[&number, &before.ids]).await.map(drop);
        }
        let Gathered { ids, starts, lengths, keys, key_ids, octets, .. } = &row;
        let size = row.size();
        let parameters: Parameters<'_> =
            &[&number, &before.ids, &size, ids, starts, lengths, keys, key_ids, octets];
        self.ask_notes(REPLACE, parameters).await.map(drop)
    }

    async fn noted_since(&self) -> Result<Option<Timestamp>, SpoolError> {
        let rows = self.ask_notes(SINCE, &[]).await?;
        Ok(self.taken(&rows, |row| row.try_get(0).map(Timestamp::from_millis))?.pop())
    }
}

impl Archive for Notes {
    fn keep(&self, notes: Vec<Note>) -> Answer<()> {
        let core = Arc::clone(&self.0);
        let rows = notes.chunk_by(|one, other| one.at == other.at);
        let rows = rows.map(|notes| {
            Gathered::of(notes.first().map_or_else(Timestamp::default, |note| note.at), notes)
        });
        let rows: Vec<Gathered> = rows.collect();
        self.0.ask(async move { core.keep_notes(rows).await })
    }

    fn notes(&self, id: MessageId) -> Answer<Vec<Note>> {
        let core = Arc::clone(&self.0);
        self.0.ask(async move { core.notes_of(id).await })
    }

    fn under(&self, key: u64, limit: usize) -> Answer<Vec<MessageId>> {
        let core = Arc::clone(&self.0);
        self.0.ask(async move { core.noted_under(key, limit).await })
    }

    fn behind(&self, place: u64) -> Answer<Option<(Vec<Note>, u64)>> {
        let core = Arc::clone(&self.0);
        self.0.ask(async move { core.notes_from(place).await })
    }

    fn newest(&self, limit: usize) -> Answer<Vec<Note>> {
        let core = Arc::clone(&self.0);
        self.0.ask(async move { core.newest_notes(limit).await })
    }

    fn purge(&self, before: Timestamp, octets: u64) -> Answer<()> {
        let core = Arc::clone(&self.0);
        self.0.ask(async move { core.purge_notes(before, octets).await })
    }

    fn clear(&self) -> Answer<Vec<String>> {
        let core = Arc::clone(&self.0);
        let all = async move { core.purge_notes(Timestamp::from_millis(i64::MAX), 0).await };
        self.0.ask(async move { all.await.map(|()| Vec::new()) })
    }

    fn forget(&self, ids: &[MessageId]) -> Answer<u64> {
        let (core, ids) = (Arc::clone(&self.0), ids.to_vec());
        self.0.ask(async move { core.forget_notes(ids).await })
    }

    fn since(&self) -> Answer<Option<Timestamp>> {
        let core = Arc::clone(&self.0);
        self.0.ask(async move { core.noted_since().await })
    }
}
