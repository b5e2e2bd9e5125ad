//! What an administrator sees and changes: of the whole queue, from any node.

use std::collections::HashSet;

use tokio_postgres::{Error, Row};

use super::accept::signed;
use super::claims::unsigned;
use super::connect::{Link, Parameters, Trouble, patience};
use super::core::Core;
use super::lock;
use crate::clock::Clock;
use crate::entry::{Entry, RecipientState, RecipientStatus};
use crate::faces::{Count, Health, Node, Page, PageRequest};
use crate::filter::Filter;
use crate::id::{MessageId, Timestamp};
use crate::index::{Index, Part};
use crate::{Edit, SpoolError};

// The parts of messages, with what is said of a message in each row.
const LIST: &str = "\
SELECT m.id, m.common, m.size, m.held, m.delay_noted, w.place, w.due, w.ceiling, w.recipients,
  w.state, w.owner, w.epoch, n.lease_until
FROM (
  SELECT id, common, size, held, delay_noted FROM message
  WHERE id > $1 AND id <= $2 AND ($4::boolean IS NULL OR held = $4) ORDER BY id LIMIT $3) m
JOIN work w ON w.id = m.id
LEFT JOIN node n ON n.number = w.owner AND n.epoch = w.epoch AND n.alive
ORDER BY m.id, w.place";

const COUNT: &str =
    "SELECT count(*), coalesce(sum(open), 0)::bigint, coalesce(sum(size), 0)::bigint FROM message";

const DISK: &str = "\
SELECT (pg_total_relation_size('message') + pg_total_relation_size('work')
  + pg_total_relation_size('chunk'))::bigint";

const HOLD: &str = "\
WITH m AS (UPDATE message SET held = $2 WHERE id = ANY ($1) RETURNING id),
w AS (UPDATE work SET held = $2 WHERE id = ANY ($1))
SELECT id, false FROM m";

const RETRY: &str = "\
WITH m AS (SELECT id, held FROM message WHERE id = ANY ($1)),
w AS (UPDATE work SET due = least(due, $2), ceiling = least(ceiling, $2)
  WHERE id = ANY (ARRAY(SELECT id FROM m WHERE NOT held)) AND open > 0)
SELECT id, held FROM m";

const REMOVE: &str = "\
WITH m AS (DELETE FROM message WHERE id = ANY ($1) RETURNING id),
w AS (DELETE FROM work WHERE id = ANY ($1)), c AS (DELETE FROM chunk WHERE id = ANY ($1))
SELECT id, false FROM m";

const RETRY_SOME: &str = "\
WITH r AS MATERIALIZED (
  SELECT id, place FROM work
  WHERE owner IS NULL AND open > 0 AND NOT held AND (id, place) > ($1, $2)
  ORDER BY id, place LIMIT 1000 FOR NO KEY UPDATE
), w AS (
  UPDATE work w SET due = least(w.due, $3), ceiling = least(w.ceiling, $3)
  FROM r WHERE w.id = r.id AND w.place = r.place
)
SELECT id, place FROM r ORDER BY id, place";

const NOTE: &str = "\
WITH m AS (UPDATE message SET delay_noted = $2 WHERE id = $1 AND delay_noted <> $2 RETURNING id)
SELECT EXISTS (SELECT 1 FROM m) FROM message WHERE id = $1";

const NODES: &str = "\
SELECT name, since, seen, version, number,
  alive AND lease_until > (extract(epoch FROM clock_timestamp()) * 1000)::bigint,
  (SELECT count(*) FROM work w WHERE w.owner = n.number AND w.epoch = n.epoch)
FROM node n ORDER BY name";

/// Messages of one statement.
const BATCH: usize = 500;

impl Core {
    /// Asks the database, once more where others were in the way.
    pub(super) async fn ask_database(
        &self,
        sql: &'static str,
        parameters: Parameters<'_>,
    ) -> Result<Vec<Row>, SpoolError> {
        self.ask_by(&self.desk, sql, parameters).await
    }

    /// The same by a connection of its own: what an administrator asks may take long.
    pub(super) async fn ask_by(
        &self,
        link: &tokio::sync::Mutex<Link>,
        sql: &'static str,
        parameters: Parameters<'_>,
    ) -> Result<Vec<Row>, SpoolError> {
        let mut failed = 0;
        loop {
            let session = link.lock().await.session().await?;
            let error = match session.query(sql, parameters).await {
                Ok(rows) => return Ok(rows),
                Err(error) => error,
            };
            failed += 1;
            // All that is asked here can be asked twice. A connection may have been lost
            // long before.
            match self.reach.judge(&error) {
                Trouble::Lost if failed < 4 => {}
                Trouble::Again if failed < 10 => {}
                _ => return Err(self.reach.failure(&error)),
            }
            tokio::time::sleep(patience(failed)).await;
        }
    }

    /// One message.
    pub(super) async fn get(&self, id: MessageId) -> Result<Entry, SpoolError> {
        let (entries, _) = self.list((signed(id) - 1, signed(id)), 1, None).await?;
        entries.into_iter().next().ok_or(SpoolError::NotFound(id))?
    }

    /// A page.
    pub(super) async fn page(&self, request: PageRequest) -> Result<Page, SpoolError> {
        let selector = request.filter.compiled();
        // With conditions, more is looked at than is wanted.
        let look = if request.filter.is_empty() { request.limit } else { request.limit.max(BATCH) };
        let after = request.after.map_or(-1, signed);
        let listed = self.list((after, i64::MAX), look, request.filter.held).await?;
        let (entries, last) = listed;
        let mut page = Page { entries: Vec::new(), next: last };
        for entry in entries {
            let entry = entry?;
            let id = entry.id;
            if selector.selects(&entry) {
                page.entries.push(entry);
                if page.entries.len() == request.limit {
                    page.next = Some(id);
                    break;
                }
            }
        }
        Ok(page)
    }

    /// How many a filter selects.
    pub(super) async fn count(&self, filter: Filter) -> Result<Count, SpoolError> {
        if filter.is_empty() {
            let (messages, recipients, _) = self.totals().await?;
            return Ok(Count { messages, recipients });
        }
        let (mut after, mut all) = (None, Count::default());
        loop {
            let request = PageRequest { after, limit: BATCH, filter: filter.clone() };
            let page = self.page(request).await?;
            let some = Count::of(&page.entries);
            all.messages += some.messages;
            all.recipients += some.recipients;
            if page.next.is_none() {
                return Ok(all);
            }
            after = page.next;
        }
    }

    async fn totals(&self) -> Result<(u64, u64, u64), SpoolError> {
        let rows = self.ask_database(COUNT, &[]).await?;
        let number = |at: usize| {
            let value = rows.first().map_or(Ok(0), |row| row.try_get::<_, i64>(at));
            value.map(i64::unsigned_abs).map_err(|error| self.reach.failure(&error))
        };
        Ok((number(0)?, number(1)?, number(2)?))
    }

    // Messages between two ids, and the last one if there may be more.
    async fn list(
        &self,
        (after, to): (i64, i64),
        limit: usize,
        held: Option<bool>,
    ) -> Result<(Vec<Result<Entry, SpoolError>>, Option<MessageId>), SpoolError> {
        let count = i64::try_from(limit).unwrap_or(i64::MAX);
        let rows = self.ask_database(LIST, &[&after, &to, &count, &held]).await?;
        let failed = |error: Error| self.reach.failure(&error);
        let mut entries = Vec::new();
        let mut parts: Vec<Listed> = Vec::new();
        let mut seen = 0;
        for row in &rows {
            let listed = Listed::read(row).map_err(failed)?;
            if parts.last().is_some_and(|part| part.id != listed.id) {
                entries.push(self.entry(&parts));
                parts.clear();
            }
            seen += usize::from(parts.is_empty());
            parts.push(listed);
        }
        let last = parts.last().map(|part| part.id);
        if !parts.is_empty() {
            entries.push(self.entry(&parts));
        }
        Ok((entries, last.filter(|_| seen >= limit)))
    }

    // A message from all its parts.
    fn entry(&self, parts: &[Listed]) -> Result<Entry, SpoolError> {
        let now = self.clock.now();
        let mut whole: Option<Entry> = None;
        let mut all: Vec<(u32, RecipientStatus)> = Vec::new();
        for listed in parts {
            let mut index: Index<()> = Index::default();
            let taken = Part::read(listed.recipients.clone()).and_then(|part| {
                let states = (listed.due, listed.states.as_deref());
                index.insert_part(listed.id, (&listed.common, &part), (listed.size, ()), states)
            });
            taken.map_err(|malformed| {
                let what = malformed.to_string();
                SpoolError::Damaged { id: listed.id, what }
            })?;
            if let Some(ceiling) = listed.ceiling {
                index.make_due(listed.id, ceiling);
            }
            let places = index.states_of(listed.id);
            let entry = index.get(listed.id)?;
            let own = self.own_states(listed);
            for ((place, _), mut status) in places.into_iter().zip(entry.recipients.clone()) {
                status.state = listed.shown(status.state, now);
                if let Some((_, state)) = own.iter().find(|(other, _)| *other == place) {
                    status.state = *state;
                }
                all.push((place, status));
            }
            whole = Some(entry);
        }
        let first = parts.first().map_or(MessageId::from_u64(0), |part| part.id);
        let mut whole = whole.ok_or(SpoolError::NotFound(first))?;
        all.sort_by_key(|(place, _)| *place);
        whole.recipients = all.into_iter().map(|(_, status)| status).collect();
        whole.held = parts.iter().any(|part| part.held);
        whole.delay_notified = parts.iter().any(|part| part.delay_noted);
        Ok(whole)
    }

    // Which of what is this node's is leased, only it knows.
    fn own_states(&self, listed: &Listed) -> Vec<(u32, RecipientState)> {
        let hand = lock(&self.hand);
        if listed.owner != Some((hand.owner, hand.epoch)) {
            return Vec::new();
        }
        let mut states = hand.states((listed.id, listed.place));
        // What was settled a moment ago is as the database says.
        states.retain(|(_, state)| *state != RecipientState::Done);
        states
    }

    /// Changes messages; there is an answer for each.
    pub(super) async fn edit(&self, ids: &[MessageId], edit: Edit) -> Vec<Result<(), SpoolError>> {
        let mut answers = Vec::with_capacity(ids.len());
        let mut gone: HashSet<MessageId> = HashSet::new();
        for some in ids.chunks(BATCH) {
            match self.edit_some(some, edit).await {
                Ok(found) => answers.extend(some.iter().map(|id| {
                    match found.iter().find(|(known, _)| known == id) {
                        Some((_, true)) => Err(SpoolError::Held(*id)),
                        Some(_) if edit != Edit::Remove || gone.insert(*id) => Ok(()),
                        Some(_) | None => Err(SpoolError::NotFound(*id)),
                    }
                })),
                Err(error) => answers.extend(some.iter().map(|_| Err(error.clone()))),
            }
        }
        answers
    }

    // Those that are there, and whether they are held in the way.
    async fn edit_some(
        &self,
        ids: &[MessageId],
        edit: Edit,
    ) -> Result<Vec<(MessageId, bool)>, SpoolError> {
        let now = self.clock.now();
        let wanted: Vec<i64> = ids.iter().map(|id| signed(*id)).collect();
        let rows = match edit {
            Edit::Hold => self.ask_database(HOLD, &[&wanted, &true]).await?,
            Edit::Release => self.ask_database(HOLD, &[&wanted, &false]).await?,
            Edit::Retry => self.ask_database(RETRY, &[&wanted, &now.as_millis()]).await?,
            Edit::Remove => self.ask_database(REMOVE, &[&wanted]).await?,
        };
        let found: Result<Vec<(MessageId, bool)>, Error> =
            rows.iter().map(|row| Ok((unsigned(row.try_get(0)?), row.try_get(1)?))).collect();
        let found = found.map_err(|error| self.reach.failure(&error))?;
        let mut hand = lock(&self.hand);
        for (id, in_the_way) in &found {
            if !in_the_way {
                hand.edit(*id, edit, now);
            }
        }
        hand.is_stale = true;
        hand.may_be_more = true;
        drop(hand);
        self.wakes.edit(ids, edit);
        Ok(found)
    }

    /// Makes all due that waits; says how many messages these are.
    pub(super) async fn retry_all(&self) -> Result<u64, SpoolError> {
        let now = self.clock.now();
        let mut retried: HashSet<MessageId> = lock(&self.hand).retry_all(now);
        let (mut id, mut place) = (-1_i64, 0_i32);
        loop {
            let rows = self.ask_database(RETRY_SOME, &[&id, &place, &now.as_millis()]).await?;
            for row in &rows {
                let failed = |error: Error| self.reach.failure(&error);
                id = row.try_get(0).map_err(failed)?;
                place = row.try_get(1).map_err(failed)?;
                retried.insert(unsigned(id));
            }
            if rows.len() < 1000 {
                break;
            }
        }
        let mut hand = lock(&self.hand);
        hand.is_stale = true;
        hand.may_be_more = true;
        drop(hand);
        self.wakes.work();
        Ok(retried.len() as u64)
    }

    /// Notes whether the sender is told of a delay; says whether that is new.
    pub(super) async fn note_delay(&self, id: MessageId, told: bool) -> Result<bool, SpoolError> {
        let rows = self.ask_database(NOTE, &[&signed(id), &told]).await?;
        let row = rows.first().ok_or(SpoolError::NotFound(id))?;
        let is_new = row.try_get(0).map_err(|error| self.reach.failure(&error))?;
        lock(&self.hand).note_delay(id, told, self.clock.now());
        Ok(is_new)
    }

    /// How the store fares.
    pub(super) async fn health(&self) -> Result<Health, SpoolError> {
        let totals = self.totals().await;
        let disk = self.ask_database(DISK, &[]).await;
        let refusing = self.refusing().map(|error| error.to_string());
        let (messages, recipients, octets) = match totals {
            Ok(totals) => totals,
            Err(_) if refusing.is_some() => (0, 0, 0),
            Err(error) => return Err(error),
        };
        let disk = disk.ok().and_then(|rows| rows.first()?.try_get::<_, i64>(0).ok());
        let disk_octets = disk.map_or(0, i64::unsigned_abs);
        Ok(Health { messages, recipients, octets, disk_octets, refusing, ..Health::default() })
    }

    /// Those that share the queue.
    pub(super) async fn nodes(&self) -> Result<Vec<Node>, SpoolError> {
        let rows = self.ask_database(NODES, &[]).await?;
        let (own, leases) = {
            let hand = lock(&self.hand);
            (hand.owner, hand.leases())
        };
        let read = |row: &Row| {
            let is_this = row.try_get::<_, i16>(4)? == own;
            Ok(Node {
                name: row.try_get(0)?,
                since: Timestamp::from_millis(row.try_get(1)?),
                seen: Timestamp::from_millis(row.try_get(2)?),
                version: row.try_get(3)?,
                alive: row.try_get(5)?,
                leases: if is_this { leases } else { row.try_get::<_, i64>(6)?.unsigned_abs() },
                is_this,
            })
        };
        let nodes: Result<Vec<Node>, Error> = rows.iter().map(read).collect();
        nodes.map_err(|error| self.reach.failure(&error))
    }
}

/// A part of a message, as it is listed.
struct Listed {
    id: MessageId,
    common: Vec<u8>,
    size: u64,
    held: bool,
    delay_noted: bool,
    place: u32,
    recipients: Vec<u8>,
    due: Timestamp,
    ceiling: Option<Timestamp>,
    states: Option<Vec<u8>>,
    owner: Option<(i16, i64)>,
    /// Until when its owner has it at least, if that lives.
    until: Option<Timestamp>,
}

impl Listed {
    fn read(row: &Row) -> Result<Self, Error> {
        let owner: Option<i16> = row.try_get(10)?;
        let epoch: i64 = row.try_get(11)?;
        Ok(Self {
            id: unsigned(row.try_get(0)?),
            common: row.try_get(1)?,
            size: row.try_get::<_, i64>(2)?.unsigned_abs(),
            held: row.try_get(3)?,
            delay_noted: row.try_get(4)?,
            place: row.try_get::<_, i32>(5)?.cast_unsigned(),
            recipients: row.try_get(8)?,
            due: Timestamp::from_millis(row.try_get(6)?),
            ceiling: row.try_get::<_, Option<i64>>(7)?.map(Timestamp::from_millis),
            states: row.try_get(9)?,
            owner: owner.map(|owner| (owner, epoch)),
            until: row.try_get::<_, Option<i64>>(12)?.map(Timestamp::from_millis),
        })
    }

    /// What is due and another node's is as good as leased.
    fn shown(&self, state: RecipientState, now: Timestamp) -> RecipientState {
        match (state, self.until) {
            (RecipientState::Due(due), Some(until)) if due <= now => RecipientState::Leased(until),
            _ => state,
        }
    }
}
