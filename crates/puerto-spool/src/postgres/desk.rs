//! What an administrator sees and changes: of the whole queue, from any node.

use std::collections::HashSet;
use std::time::Duration;

use tokio::time::Instant;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Error, Row};

use super::MOVES;
use super::accept::signed;
use super::claims::unsigned;
use super::connect::{Link, Parameters, Trouble, patience};
use super::core::Core;
use super::damage::Damage;
use super::lock;
use super::sieve::Sieve;
use crate::clock::Clock;
use crate::entry::{Entry, RecipientState, RecipientStatus};
use crate::faces::{Count, Health, Node, Page, PageRequest};
use crate::filter::Filter;
use crate::id::{MessageId, Timestamp};
use crate::index::{Index, Part};
use crate::{Edit, SpoolError};

// The parts of messages, with what is said of a message in each row. What is set aside
// cannot be read.
pub(super) const LIST: &str = "\
SELECT m.id, m.common, m.size, m.held, m.delay_noted, w.place, w.due, w.ceiling, w.recipients,
  w.state, w.owner, w.epoch, n.lease_until, m.held_for
FROM (
  SELECT id, common, size, held, delay_noted, held_for FROM message m
  WHERE id > $1 AND id <= $2 AND ($4::boolean IS NULL OR held = $4)
    AND ($5::text IS NULL OR lower(encode(common, 'escape')) LIKE $5)
    AND (NOT $6::boolean OR get_byte(common, 9) = 0)
    AND ($12::bigint IS NULL OR get_byte(common, 1)::bigint + (get_byte(common, 2)::bigint << 8)
      + (get_byte(common, 3)::bigint << 16) + (get_byte(common, 4)::bigint << 24)
      + (get_byte(common, 5)::bigint << 32) + (get_byte(common, 6)::bigint << 40) < $12)
    AND ($13::bigint IS NULL OR size > $13)
    AND ($14::bigint[] IS NULL OR id = ANY ($14))
    AND ($15::text IS NULL OR lower(encode(common, 'escape')) LIKE $15)
    AND (NOT $11::boolean OR EXISTS (
      SELECT 1 FROM work w WHERE w.id = m.id
        AND ($7::text IS NULL OR lower(encode(w.recipients, 'escape')) LIKE $7)
        AND ($8::text IS NULL OR lower(encode(w.state, 'escape')) LIKE $8)
        AND ($9::text IS NULL OR w.domain LIKE $9 OR lower(encode(w.state, 'escape')) LIKE $10)))
    AND NOT EXISTS (SELECT 1 FROM work w
      WHERE w.id = m.id AND w.damaged IS NOT NULL AND w.held AND NOT m.held)
  ORDER BY id LIMIT $3) m
JOIN work w ON w.id = m.id
LEFT JOIN node n ON n.number = w.owner AND n.epoch = w.epoch AND n.alive
ORDER BY m.id, w.place";

// The end of so many messages, if there are as many.
const PIECE: &str = "SELECT id FROM message WHERE id > $1 ORDER BY id OFFSET $2 LIMIT 1";

const COUNT: &str = "\
SELECT count(*), coalesce(sum(open), 0)::bigint, coalesce(sum(size), 0)::bigint FROM message
WHERE $1::boolean IS NULL OR held = $1";

const DISK: &str = "\
SELECT (pg_total_relation_size('message') + pg_total_relation_size('work')
  + pg_total_relation_size('chunk'))::bigint";

// Tells the nodes that have rows of `w` to look at them.
macro_rules! told {
    () => {
        "c AS (INSERT INTO changed (node, id, at) \
           SELECT DISTINCT w.owner, w.id, (extract(epoch FROM statement_timestamp()) * 1000)::bigint \
           FROM w WHERE w.owner IS NOT NULL ORDER BY 1, 2 \
           ON CONFLICT (node, id) DO UPDATE SET at = excluded.at)"
    };
}

const HOLD: &str = concat!(
    "WITH m AS (UPDATE message SET held = $2, held_for = CASE WHEN $2 THEN held_for END \
       WHERE id = ANY ($1) RETURNING id), \
     w AS (UPDATE work SET held = $2, damaged = CASE WHEN $2 THEN damaged END \
       WHERE id = ANY ($1) RETURNING id, owner), ",
    told!(),
    " SELECT id, false FROM m"
);

const RETRY: &str = concat!(
    "WITH m AS (SELECT id, held FROM message WHERE id = ANY ($1)), \
     w AS (UPDATE work SET due = least(due, $2), ceiling = least(ceiling, $2) \
       WHERE id = ANY (ARRAY(SELECT id FROM m WHERE NOT held)) AND open > 0 RETURNING id, owner), ",
    told!(),
    " SELECT id, held FROM m"
);

const REMOVE: &str = concat!(
    "WITH m AS (DELETE FROM message WHERE id = ANY ($1) RETURNING id), \
     w AS (DELETE FROM work WHERE id = ANY ($1) RETURNING id, owner), \
     h AS (DELETE FROM chunk WHERE id = ANY ($1)), ",
    told!(),
    " SELECT id, false FROM m"
);

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
  (SELECT count(*) FROM work w WHERE w.owner = n.number AND w.epoch = n.epoch),
  NOT alive AND lease_until = seen
FROM node n WHERE n.alive OR right(name, length($1::text)) <> $1::text ORDER BY name";

/// Messages of one statement, and those that one looks at where few of them may be meant:
/// other questions wait meanwhile.
const BATCH: usize = 500;
const LOOKED_AT: i64 = 10_000;
/// How the store fares is asked often: where it takes long to count, that is done so seldom.
const LONG: Duration = Duration::from_millis(100);
const SELDOM: u32 = 50;

/// Messages, recipients that are not done, octets.
pub(super) type Totals = (u64, u64, u64);

/// Before which ids none is meant, and behind which: of messages that are named, none is
/// outside of the first and the last.
pub(super) fn span(filter: &Filter) -> (i64, i64) {
    let named = filter.ids.as_deref().unwrap_or_default();
    let lowest = named.iter().min().map_or(0, |id| signed(*id));
    (lowest - 1, named.iter().max().map_or(i64::MAX, |id| signed(*id)))
}

/// What is asked for with `LIST`: so many messages at most between two ids.
pub(super) struct Wanted {
    span: (i64, i64),
    count: i64,
    held: Option<bool>,
    of_work: bool,
    sieve: Sieve,
}

impl Wanted {
    pub(super) fn new(span: (i64, i64), limit: usize, filter: &Filter) -> Self {
        let sieve = Sieve::of(filter);
        let of_work = sieve.to.is_some() || sieve.reason.is_some() || sieve.domain.is_some();
        let count = i64::try_from(limit).unwrap_or(i64::MAX);
        Self { span, count, held: filter.held, of_work, sieve }
    }

    pub(super) fn parameters(&self) -> [&(dyn ToSql + Sync); 15] {
        let Sieve { from, is_null, to, reason, domain, host, account, before, larger, ids, .. } =
            &self.sieve;
        let Self { span, count, held, of_work, .. } = self;
        [
            &span.0, &span.1, count, held, from, is_null, to, reason, domain, host, of_work,
            before, larger, ids, account,
        ]
    }
}

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
            let session = {
                let mut link = link.lock().await;
                // Each that waited for the one before would find out the same, as slowly.
                match self.reach.silent() {
                    Some(silent) => return Err(silent),
                    None => link.session().await?,
                }
            };
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
        let listed = self.list((signed(id) - 1, signed(id)), 1, &Filter::default()).await?;
        match listed.into_iter().next() {
            Some(entry) => entry.map_err(|((id, _), what)| SpoolError::Damaged { id, what }),
            None => Err(self.why_not(id).await),
        }
    }

    /// A page.
    pub(super) async fn page(&self, request: PageRequest) -> Result<Page, SpoolError> {
        let (before, highest) = span(&request.filter);
        let after = request.after.map_or(-1, signed).max(before);
        let piece = match request.filter.is_empty() {
            true => None,
            false => self.ask_database(PIECE, &[&after, &(LOOKED_AT - 1)]).await?.pop(),
        };
        let end = piece.map(|row| row.try_get(0)).transpose();
        let end: Option<i64> = end.map_err(|error| self.reach.failure(&error))?;
        let end = end.filter(|end| *end < highest);
        let span = (after, end.unwrap_or(highest));
        let listed = self.list(span, request.limit, &request.filter).await?;
        let selector = request.filter.compiled();
        let (mut page, count, mut last) = (Page::default(), listed.len(), None);
        let mut damaged = Vec::new();
        for entry in listed {
            match entry {
                Ok(entry) => {
                    last = Some(entry.id);
                    page.entries.extend(Some(entry).filter(|entry| selector.selects(entry)));
                }
                Err(damage) => {
                    last = Some(damage.0.0);
                    damaged.push(damage);
                }
            }
        }
        page.next = if count >= request.limit { last } else { end.map(unsigned) };
        if !damaged.is_empty() {
            let session = self.desk.lock().await.session().await?;
            let aside = self.set_aside(&session, &damaged).await;
            aside.map_err(|error| self.reach.failure(&error))?;
        }
        Ok(page)
    }

    /// How many a filter selects.
    pub(super) async fn count(&self, filter: Filter) -> Result<Count, SpoolError> {
        if Sieve::of(&filter).is_open() {
            let (messages, recipients, _) = self.totals(filter.held).await?;
            return Ok(Count { messages, recipients });
        }
        let request = PageRequest { after: None, limit: BATCH, filter };
        Count::of_pages(|after| self.page(PageRequest { after, ..request.clone() })).await
    }

    async fn totals(&self, held: Option<bool>) -> Result<Totals, SpoolError> {
        let rows = self.ask_by(&self.counting, COUNT, &[&held]).await?;
        let number = |at: usize| {
            let value = rows.first().map_or(Ok(0), |row| row.try_get::<_, i64>(at));
            value.map(i64::unsigned_abs).map_err(|error| self.reach.failure(&error))
        };
        Ok((number(0)?, number(1)?, number(2)?))
    }

    // How things stood a moment ago, where it takes long to count.
    async fn recent_totals(&self) -> Result<Totals, SpoolError> {
        let mut counted = self.counted.lock().await;
        if let Some((totals, at, took)) = *counted
            && took > LONG
            && at.elapsed() < took * SELDOM
        {
            return Ok(totals);
        }
        let (began, connected) = (Instant::now(), self.reach.generation());
        let totals = self.totals(None).await?;
        // A wait for the database says nothing of how long it counts.
        let took = match self.reach.generation() == connected {
            true => began.elapsed(),
            false => Duration::ZERO,
        };
        *counted = Some((totals, Instant::now(), took));
        Ok(totals)
    }

    // Messages between two ids that a filter may select.
    async fn list(
        &self,
        (after, to): (i64, i64),
        limit: usize,
        filter: &Filter,
    ) -> Result<Vec<Result<Entry, Damage>>, SpoolError> {
        let wanted = Wanted::new((after, to), limit, filter);
        let rows = self.ask_database(LIST, &wanted.parameters()).await?;
        let parts: Result<Vec<Listed>, Error> = rows.iter().map(Listed::read).collect();
        let parts = parts.map_err(|error| self.reach.failure(&error))?;
        Ok(parts.chunk_by(|a, b| a.id == b.id).map(|parts| self.entry(parts)).collect())
    }

    /// A message from all its parts.
    pub(super) fn entry(&self, parts: &[Listed]) -> Result<Entry, Damage> {
        let now = self.clock.now();
        let mut whole: Option<Entry> = None;
        let mut all: Vec<(u32, RecipientStatus)> = Vec::new();
        for listed in parts {
            let damage = |what: String| ((listed.id, listed.place), what);
            let mut index: Index<()> = Index::default();
            let taken = Part::read(listed.recipients.clone()).and_then(|part| {
                let states = (listed.due, listed.states.as_deref());
                index.insert_part(listed.id, (&listed.common, &part), (listed.size, ()), states)
            });
            taken.map_err(|malformed| damage(malformed.to_string()))?;
            if let Some(ceiling) = listed.ceiling {
                index.make_due(listed.id, ceiling);
            }
            let places = index.states_of(listed.id);
            let entry = index.get(listed.id).map_err(|error| damage(error.to_string()))?;
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
        // There is a part at least.
        let mut whole = whole.ok_or_else(|| ((MessageId::from_u64(0), 0), String::new()))?;
        all.sort_by_key(|(place, _)| *place);
        whole.recipients = all.into_iter().map(|(_, status)| status).collect();
        whole.held = parts.iter().any(|part| part.held);
        whole.held_for = parts.iter().find_map(|part| part.held_for.clone()).unwrap_or_default();
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
        self.wakes.edit();
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
        let totals = self.recent_totals().await;
        let disk = self.ask_database(DISK, &[]).await;
        let refusing = self.refusing();
        let (messages, recipients, octets) = match totals {
            Ok(totals) => totals,
            Err(_) if refusing.is_some() => (0, 0, 0),
            Err(error) => return Err(error),
        };
        let disk = disk.ok().and_then(|rows| rows.first()?.try_get::<_, i64>(0).ok());
        let disk_octets = disk.map_or(0, i64::unsigned_abs);
        let damaged = self.damaged().await.unwrap_or_default();
        let counted = Health { messages, recipients, octets, disk_octets, ..Health::default() };
        Ok(Health { refusing, damaged, held_back: self.held_back(), ..counted })
    }

    /// Those that share the queue.
    pub(super) async fn nodes(&self) -> Result<Vec<Node>, SpoolError> {
        let rows = self.ask_database(NODES, &[&MOVES]).await?;
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
                stopped: row.try_get(7)?,
                leases: if is_this { leases } else { row.try_get::<_, i64>(6)?.unsigned_abs() },
                is_this,
            })
        };
        let nodes: Result<Vec<Node>, Error> = rows.iter().map(read).collect();
        nodes.map_err(|error| self.reach.failure(&error))
    }
}

/// A part of a message, as it is listed.
pub(super) struct Listed {
    pub(super) id: MessageId,
    common: Vec<u8>,
    size: u64,
    held: bool,
    held_for: Option<String>,
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
    pub(super) fn read(row: &Row) -> Result<Self, Error> {
        let owner: Option<i16> = row.try_get(10)?;
        let epoch: i64 = row.try_get(11)?;
        Ok(Self {
            id: unsigned(row.try_get(0)?),
            common: row.try_get(1)?,
            size: row.try_get::<_, i64>(2)?.unsigned_abs(),
            held: row.try_get(3)?,
            held_for: row
                .try_get::<_, Option<&[u8]>>(13)?
                .map(|reason| String::from_utf8_lossy(reason).into_owned()),
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
