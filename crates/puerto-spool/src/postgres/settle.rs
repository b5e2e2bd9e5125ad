//! How settlements come into the database: those of many leases in one transaction, each
//! only where the row is still this node's by owner, epoch and fence.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use tokio_postgres::Error;

use super::accept::signed;
use super::claims::unsigned;
use super::connect::{Link, Parameters, Session, Trouble, patience};
use super::core::Core;
use super::hand::{PartOf, PartSettled};
use super::{closed, lock};
use crate::SpoolError;
use crate::clock::Clock;
use crate::entry::{Settled, Settlement};
use crate::id::MessageId;
use crate::ticket::{Completer, Ticket};

/// A settlement on its way into the database.
pub(super) struct Change {
    part: PartSettled,
    answers: Arc<Answers>,
    number: usize,
}

type Answered = Result<u32, SpoolError>;
type Done = Completer<Vec<Result<Settled, SpoolError>>>;

/// The answers to the settlements of one call.
struct Answers {
    given: Mutex<Vec<Option<Answered>>>,
    done: Mutex<Option<Done>>,
}

impl Answers {
    fn give(&self, number: usize, answer: Answered) {
        let mut given = lock(&self.given);
        if let Some(place) = given.get_mut(number) {
            *place = Some(answer);
        }
        if given.iter().all(Option::is_some) {
            let answers = std::mem::take(&mut *given);
            drop(given);
            self.complete(answers.into_iter().flatten());
        }
    }

    fn complete(&self, answers: impl Iterator<Item = Answered>) {
        let settled = |remaining| Settled { remaining, durable: Ticket::ready(Ok(())) };
        if let Some(done) = lock(&self.done).take() {
            done.complete(answers.map(|answer| answer.map(settled)).collect());
        }
    }
}

impl Drop for Answers {
    fn drop(&mut self) {
        let given = std::mem::take(&mut *lock(&self.given));
        self.complete(given.into_iter().map(|answer| answer.unwrap_or_else(|| Err(closed()))));
    }
}

/// Settlements of one transaction.
const GROUP: usize = 500;

// Messages of a single part of which nothing is left: the usual end.
const FINISH: &str = "\
WITH w AS (
  DELETE FROM work w
  USING unnest($1::bigint[], $2::integer[], $3::bigint[], $4::bigint[]) AS g (id, place, epoch, fence)
  WHERE w.id = g.id AND w.place = g.place AND w.owner = $5 AND w.epoch = g.epoch AND w.fence = g.fence
  RETURNING w.id, w.place
), m AS (DELETE FROM message m USING w WHERE m.id = w.id),
c AS (DELETE FROM chunk c USING w WHERE c.id = w.id)
SELECT id, place, 0 FROM w";

const CHANGE: &str = "\
WITH old AS MATERIALIZED (
  SELECT w.id, w.place, w.open AS before, g.state, g.due, g.tried, g.open, g.release
  FROM unnest($1::bigint[], $2::integer[], $3::bigint[], $4::bigint[], $6::bytea[], $7::bigint[],
      $8::boolean[], $9::integer[], $10::boolean[])
    AS g (id, place, epoch, fence, state, due, tried, open, release)
  JOIN work w ON w.id = g.id AND w.place = g.place
  WHERE w.owner = $5 AND w.epoch = g.epoch AND w.fence = g.fence
  ORDER BY w.id, w.place FOR NO KEY UPDATE OF w
), w AS (
  UPDATE work w SET state = o.state, due = o.due, tried = o.tried, open = o.open, ceiling = NULL,
    owner = CASE WHEN o.release THEN NULL ELSE w.owner END
  FROM old o WHERE w.id = o.id AND w.place = o.place
  RETURNING w.id, w.place, o.before - w.open AS less
), m AS (
  UPDATE message m SET open = m.open - s.less
  FROM (SELECT id, sum(less)::integer AS less FROM w GROUP BY id HAVING sum(less) <> 0) s
  WHERE m.id = s.id RETURNING m.id, m.open
)
SELECT w.id, w.place, coalesce((SELECT m.open FROM m WHERE m.id = w.id),
  (SELECT m.open FROM message m WHERE m.id = w.id), 0) FROM w";

const PURGE: &str = "\
WITH m AS (DELETE FROM message WHERE id = ANY ($1) AND open = 0 RETURNING id),
w AS (DELETE FROM work WHERE id = ANY (ARRAY(SELECT id FROM m))),
c AS (DELETE FROM chunk WHERE id = ANY (ARRAY(SELECT id FROM m)))
SELECT 1 FROM m";

// After a COMMIT of unknown fate: what is gone, and what was given back with the same
// fence, was settled by it.
const FATE: &str = "\
SELECT g.id, g.place, coalesce((SELECT open FROM message m WHERE m.id = g.id), 0)
FROM unnest($1::bigint[], $2::integer[], $3::bigint[]) AS g (id, place, fence)
LEFT JOIN work w ON w.id = g.id AND w.place = g.place
WHERE w.id IS NULL OR (w.owner IS NULL AND w.fence = g.fence)";

/// A second copy of a message, should the primary fail before a standby has the
/// settlement, costs less than to wait for one each time.
const SETUP: &str = "SET synchronous_commit = local";

impl Core {
    /// Ends leases, in the hand at once, and in the database as soon as may be.
    pub(super) fn settle(
        &self,
        settlements: Vec<Settlement>,
    ) -> Ticket<Vec<Result<Settled, SpoolError>>> {
        if settlements.is_empty() {
            return Ticket::ready(Vec::new());
        }
        let now = self.clock.now();
        let (done, ticket) = Ticket::new();
        let given = Mutex::new((0..settlements.len()).map(|_| None).collect());
        let answers = Arc::new(Answers { given, done: Mutex::new(Some(done)) });
        for (number, settlement) in settlements.into_iter().enumerate() {
            match lock(&self.hand).settle(settlement, now) {
                Ok(part) => {
                    self.changes.push(Change { part, answers: Arc::clone(&answers), number })
                }
                Err(error) => answers.give(number, Err(error)),
            }
        }
        ticket
    }

    /// Records settlements, one transaction after the other, until the database has them.
    pub(super) async fn record(self: Arc<Self>) {
        let mut link = Link::with(&self.reach, SETUP);
        loop {
            let group = self.changes.take(GROUP, usize::MAX, |_| 0).await;
            let left = self.record_group(&mut link, &group).await;
            self.are_recorded(group, &left);
        }
    }

    /// What is left of the message of each part that was this node's.
    async fn record_group(&self, link: &mut Link, group: &[Change]) -> HashMap<PartOf, u32> {
        let owner = self.who().0;
        let latest = Latest::of(group);
        let (mut in_doubt, mut failed, mut refused) = (false, 0, 0);
        loop {
            failed += 1;
            let wait = patience(failed);
            let Ok(session) = link.session().await else {
                tokio::time::sleep(wait).await;
                continue;
            };
            match latest.record(&session, owner, in_doubt).await {
                Ok(left) => {
                    self.reach.answers();
                    return left;
                }
                Err(error) => match self.reach.judge(&error) {
                    Trouble::Lost => in_doubt = true,
                    Trouble::Again => {}
                    Trouble::Refused => refused += 1,
                },
            }
            // A transaction that failed is still open.
            let _ = session.client.batch_execute("ROLLBACK").await;
            if refused == 3 {
                return self.record_each(link, group).await;
            }
            tokio::time::sleep(wait).await;
        }
    }

    // What the database will not have is not to keep out the others. It counts as lost: its
    // recipients are handed out again.
    async fn record_each(&self, link: &mut Link, group: &[Change]) -> HashMap<PartOf, u32> {
        let mut left = HashMap::new();
        if let [_] = group {
            self.may_have_lost();
            return left;
        }
        for one in group.chunks(1) {
            left.extend(Box::pin(self.record_group(link, one)).await);
        }
        left
    }

    fn are_recorded(&self, group: Vec<Change>, left: &HashMap<PartOf, u32>) {
        let now = self.clock.now();
        let mut after: HashMap<MessageId, u32> = HashMap::new();
        let mut answers = Vec::with_capacity(group.len());
        let mut due_now = false;
        let mut hand = lock(&self.hand);
        for change in group.into_iter().rev() {
            let (of, state) = (change.part.held.of, &change.part.state);
            hand.has_left(of);
            let Some(open) = left.get(&of) else {
                // Whoever has it now, it is not this node.
                if !state.has_left && hand.epoch == change.part.epoch {
                    hand.drop_part(of);
                }
                answers.push((change, Err(SpoolError::LeaseLost(of.0))));
                continue;
            };
            if let Some((_, due)) = state.next.filter(|_| state.has_left) {
                hand.hear_of(due);
                due_now |= due <= now;
            }
            // What the database says is true after the last of the group.
            let remaining = *after.entry(of.0).or_insert(*open);
            after.insert(of.0, remaining + state.open_before.saturating_sub(state.open));
            answers.push((change, Ok(remaining)));
        }
        drop(hand);
        if due_now {
            self.wakes.work();
        }
        for (change, answer) in answers.into_iter().rev() {
            change.answers.give(change.number, answer);
        }
    }
}

/// How parts stand after all settlements of a group, as columns.
#[derive(Default)]
struct Columns {
    ids: Vec<i64>,
    places: Vec<i32>,
    epochs: Vec<i64>,
    fences: Vec<i64>,
    states: Vec<Vec<u8>>,
    due: Vec<i64>,
    tried: Vec<bool>,
    open: Vec<i32>,
    release: Vec<bool>,
}

impl Columns {
    fn push(&mut self, part: &PartSettled) {
        let state = &part.state;
        let (tried, due) = state.next.map_or((false, 0), |(tried, due)| (tried, due.as_millis()));
        self.ids.push(signed(part.held.of.0));
        self.places.push(part.held.of.1.cast_signed());
        self.epochs.push(part.epoch);
        self.fences.push(part.held.fence);
        self.states.push(state.states.clone());
        self.due.push(due);
        self.tried.push(tried);
        self.open.push(state.open.cast_signed());
        self.release.push(state.has_left);
    }
}

struct Latest {
    finished: Columns,
    changed: Columns,
}

impl Latest {
    // A statement may change a row once.
    fn of(group: &[Change]) -> Self {
        let mut last: HashMap<PartOf, &PartSettled> = HashMap::new();
        for change in group {
            last.insert(change.part.held.of, &change.part);
        }
        let mut parts: Vec<&PartSettled> = last.into_values().collect();
        parts.sort_unstable_by_key(|part| part.held.of);
        let (mut finished, mut changed) = (Columns::default(), Columns::default());
        for part in parts {
            let is_all = part.held.parts == 1 && part.state.open == 0;
            if is_all { finished.push(part) } else { changed.push(part) }
        }
        Self { finished, changed }
    }

    async fn record(
        &self,
        session: &Session,
        owner: i16,
        in_doubt: bool,
    ) -> Result<HashMap<PartOf, u32>, Error> {
        let (done, rest) = (&self.finished, &self.changed);
        let mut rows = Vec::new();
        let alone = rest.ids.is_empty();
        if !alone {
            session.client.batch_execute("BEGIN").await?;
        }
        if !done.ids.is_empty() {
            let parameters: Parameters<'_> =
                &[&done.ids, &done.places, &done.epochs, &done.fences, &owner];
            rows.extend(session.query(FINISH, parameters).await?);
        }
        if !alone {
            let parameters: Parameters<'_> = &[
                &rest.ids,
                &rest.places,
                &rest.epochs,
                &rest.fences,
                &owner,
                &rest.states,
                &rest.due,
                &rest.tried,
                &rest.open,
                &rest.release,
            ];
            rows.extend(session.query(CHANGE, parameters).await?);
            if rest.open.contains(&0) {
                session.query(PURGE, &[&rest.ids]).await?;
            }
            session.client.batch_execute("COMMIT").await?;
        }
        if in_doubt {
            for part in [done, rest].into_iter().filter(|part| !part.ids.is_empty()) {
                let parameters: Parameters<'_> = &[&part.ids, &part.places, &part.fences];
                rows.extend(session.query(FATE, parameters).await?);
            }
        }
        let read = |row: &tokio_postgres::Row| {
            let part = (unsigned(row.try_get(0)?), row.try_get::<_, i32>(1)?.cast_unsigned());
            Ok((part, row.try_get::<_, i32>(2)?.cast_unsigned()))
        };
        rows.iter().map(read).collect()
    }
}
