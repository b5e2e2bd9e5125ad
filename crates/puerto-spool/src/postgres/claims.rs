//! How work comes from the database into the hand.
//!
//! A claim takes some of what is due, in one committed statement: of each domain no more
//! than its share, the domains in turn, and in each of them mail that was tried before in
//! turn with mail that was not; what goes to many waits for the rest, but for one in so
//! many. What others are about to take is passed over.

use std::sync::Arc;

use puerto_smtp::Domain;
use tokio_postgres::{Error, Row};

use super::connect::{Link, Parameters, Session, Trouble, patience};
use super::core::{Core, Promise};
use super::damage::{self, Damage};
use super::hand::Held;
use super::lock;
use crate::ClaimRequest;
use crate::clock::Clock;
use crate::entry::Lease;
use crate::faces::{Answer, Claimed};
use crate::id::{MessageId, Timestamp};
use crate::index::{BEFORE_BULK, Part};
use crate::ticket::Ticket;

/// A claim that waits for the database.
pub(super) struct Asked {
    request: ClaimRequest,
    leases: Vec<Lease>,
    left: usize,
    promise: Promise<Claimed>,
}

/// Parts that one statement takes, at least and at most: what is due at the same time is
/// had together.
const BATCH: (usize, usize) = (100, 1000);

/// What goes to many has its turn once in so many.
const BULK_TURNS: i64 = BEFORE_BULK as i64 + 1;

const CLAIM: &str = "\
WITH sample AS MATERIALIZED (
  SELECT DISTINCT domain FROM (
    SELECT domain FROM work WHERE owner IS NULL AND open > 0 AND NOT held AND due <= $1
    ORDER BY due LIMIT 500) s
  WHERE NOT domain = ANY ($4::text[])
), heads AS (
  SELECT w.id, w.place, w.due,
    row_number() OVER (PARTITION BY d.domain, k.bulk, k.tried ORDER BY w.due, w.id)
      * CASE WHEN k.bulk THEN $9::bigint ELSE 1 END AS turn
  FROM (SELECT domain FROM sample UNION SELECT unnest($5::text[]) COLLATE \"C\") d
  CROSS JOIN (VALUES (false, false), (false, true), (true, false), (true, true)) AS k (bulk, tried)
  CROSS JOIN LATERAL (
    SELECT id, place, due FROM work w
    WHERE w.owner IS NULL AND w.open > 0 AND NOT w.held
      AND w.domain = d.domain COLLATE \"C\" AND w.bulk = k.bulk
      AND w.tried = k.tried AND w.due <= $1
    ORDER BY w.due, w.id LIMIT $3) w
), picked AS MATERIALIZED (
  SELECT id, place FROM heads ORDER BY turn, due, id LIMIT $2
), taken AS MATERIALIZED (
  SELECT w.id, w.place FROM picked p JOIN work w ON w.id = p.id AND w.place = p.place
  WHERE w.owner IS NULL AND w.open > 0 AND NOT w.held
  ORDER BY w.id, w.place FOR NO KEY UPDATE OF w SKIP LOCKED
), claimed AS (
  UPDATE work w SET owner = $6, epoch = $7, fence = greatest(w.fence + 1, $8)
  FROM taken t WHERE w.id = t.id AND w.place = t.place
    AND EXISTS (SELECT 1 FROM node n WHERE n.number = $6 AND n.epoch = $7 AND n.alive
      AND n.lease_until > (extract(epoch FROM clock_timestamp()) * 1000)::bigint)
  RETURNING w.id, w.place, w.due, w.fence, w.ceiling, w.state, w.recipients
)
SELECT c.id, c.place, c.due, c.fence, c.ceiling, c.state, c.recipients,
  m.common, m.size, m.recipients, m.parts, m.delay_noted
FROM claimed c JOIN message m ON m.id = c.id ORDER BY c.due, c.id";

/// Domains that have work, from some name on. The first of the oldest that is due may all
/// be of domains that have their share: then the others are looked for by their names.
const WALK: &str = "\
WITH RECURSIVE walk (domain, n) AS (
  (SELECT domain, 1 FROM work WHERE owner IS NULL AND open > 0 AND NOT held
    AND domain > $1::text COLLATE \"C\" ORDER BY domain LIMIT 1)
  UNION ALL
  SELECT (SELECT w.domain FROM work w WHERE w.owner IS NULL AND w.open > 0 AND NOT w.held
    AND w.domain > walk.domain ORDER BY w.domain LIMIT 1), n + 1
  FROM walk WHERE walk.domain IS NOT NULL AND n < 200
)
SELECT domain FROM walk WHERE domain IS NOT NULL ORDER BY n";

pub(super) const NEXT: &str =
    "SELECT min(due) FROM work WHERE owner IS NULL AND open > 0 AND NOT held";

impl Core {
    /// Hands out what is in hand, and asks the database for more where that may help.
    pub(super) fn claim(&self, request: &ClaimRequest) -> Answer<Claimed> {
        if self.is_fading() {
            // What is in hand may be others' soon. It is looked at again when it is not.
            return Ticket::ready(Ok(Claimed::default()));
        }
        let now = self.clock.now();
        let mut hand = lock(&self.hand);
        let leases = hand.claim(request, &*self.clock);
        let count: usize = leases.iter().map(|lease| lease.recipients.len()).sum();
        let left = request.limit.saturating_sub(count);
        let due = hand.others_due.is_some_and(|due| due <= now);
        let wanted = left > 0 && request.per_domain > 0 && due && hand.may_be_more;
        if hand.is_closed || !(wanted || hand.is_stale) || self.reach.away().is_some() {
            let next_due = hand.next_due(&*self.clock);
            return Ticket::ready(Ok(Claimed { leases, next_due }));
        }
        drop(hand);
        let (promise, answer) = Promise::new();
        self.asked.push(Asked { request: request.clone(), leases, left, promise });
        answer
    }

    /// Answers claims that wait for the database.
    pub(super) async fn answer_claims(self: Arc<Self>) {
        let mut link = Link::new(&self.reach);
        let mut cursor = String::new();
        loop {
            for mut asked in self.asked.take(1, usize::MAX, |_| 0).await {
                self.take_from(&mut link, &mut cursor, &mut asked).await;
                let next_due = lock(&self.hand).next_due(&*self.clock);
                // What was had is handed out whatever became of the rest.
                asked.promise.keep(Ok(Claimed { leases: asked.leases, next_due }));
            }
        }
    }

    async fn take_from(&self, link: &mut Link, cursor: &mut String, asked: &mut Asked) {
        let mut failed = 0;
        loop {
            let Ok(session) = link.session().await else { return };
            let taken = self.take_some(&session, cursor, asked).await;
            let taken = match taken {
                Err(error) if damage::is_of_files(&error) => {
                    let passed = self.pass_over(&session).await;
                    passed.and_then(|passed| if passed { Ok(true) } else { Err(error) })
                }
                taken => taken,
            };
            match taken {
                Ok(true) => {}
                Ok(false) => return,
                Err(error) => {
                    // What is lost with a connection is swept by whoever keeps the beat.
                    let trouble = self.reach.judge(&error);
                    failed += 1;
                    if trouble != Trouble::Again || failed > 10 {
                        return;
                    }
                    tokio::time::sleep(patience(failed)).await;
                }
            }
        }
    }

    // Whether there may be more.
    async fn take_some(
        &self,
        session: &Session,
        cursor: &mut String,
        asked: &mut Asked,
    ) -> Result<bool, Error> {
        let per_domain = asked.request.per_domain;
        let (owner, epoch, full, fence) = {
            let mut hand = lock(&self.hand);
            hand.may_be_more &= per_domain == 0 || asked.left == 0;
            hand.is_stale = false;
            let fence = hand.fence(&*self.clock);
            (hand.owner, hand.epoch, hand.domains_with(per_domain), fence)
        };
        let resting = asked.request.resting.iter().map(Domain::to_string);
        let passed: Vec<String> = full.iter().cloned().chain(resting).collect();
        let batch = if per_domain == 0 { 0 } else { asked.left.min(BATCH.1) };
        let mut rows = Vec::new();
        let wanted = if batch == 0 { 0 } else { batch.max(BATCH.0) };
        if wanted > 0 {
            let others = if passed.is_empty() { Vec::new() } else { walk(session, cursor).await? };
            let others: Vec<String> =
                others.into_iter().filter(|domain| !passed.contains(domain)).collect();
            let now = self.clock.now().as_millis();
            let limit = i64::try_from(wanted).unwrap_or(i64::MAX);
            let share = i64::try_from(per_domain.min(wanted)).unwrap_or(i64::MAX);
            let parameters: Parameters<'_> =
                &[&now, &limit, &share, &passed, &others, &owner, &epoch, &fence, &BULK_TURNS];
            rows = session.query(CLAIM, parameters).await?;
        }
        let due: Option<i64> =
            session.query(NEXT, &[]).await?.first().map_or(Ok(None), |r| r.try_get(0))?;
        let damaged = self.take_up(epoch, &rows)?;
        self.set_aside(session, &damaged).await?;
        let mut hand = lock(&self.hand);
        hand.others_due = due.map(Timestamp::from_millis);
        let request = ClaimRequest { limit: asked.left, ..asked.request.clone() };
        let leases = hand.claim(&request, &*self.clock);
        let count: usize = leases.iter().map(|lease| lease.recipients.len()).sum();
        asked.left = asked.left.saturating_sub(count);
        asked.leases.extend(leases);
        // What is due longest may all have been of domains that have their share by now.
        let fuller = hand.domains_with(per_domain).len() > full.len();
        let more = !rows.is_empty() && (rows.len() >= wanted || fuller);
        // What will be due is to be asked for then.
        let later = hand.others_due.is_none_or(|due| due > self.clock.now());
        hand.may_be_more |= more || later;
        Ok(more && asked.left > 0)
    }

    // Takes up what was claimed by an epoch; what cannot be read.
    fn take_up(&self, epoch: i64, rows: &[Row]) -> Result<Vec<Damage>, Error> {
        let since = self.clock.elapsed();
        let mut damaged = Vec::new();
        let mut hand = lock(&self.hand);
        for row in rows.iter().filter(|_| hand.epoch == epoch).collect::<Vec<_>>() {
            let (held, taken) = Taken::read(row, since)?;
            let up = Part::read(taken.recipients).and_then(|part| {
                let what = (&*taken.common, &part, taken.size);
                hand.take_up(held, what, taken.due, taken.states.as_deref())
            });
            if let Err(malformed) = up {
                damaged.push((held.of, malformed.to_string()));
                continue;
            }
            if let Some(ceiling) = taken.ceiling {
                hand.make_due(held.of, ceiling);
            }
            if taken.delay_noted {
                hand.note_delay(held.of.0, true, taken.due);
            }
        }
        Ok(damaged)
    }
}

async fn walk(session: &Session, cursor: &mut String) -> Result<Vec<String>, Error> {
    let rows = session.query(WALK, &[&*cursor]).await?;
    let domains: Vec<String> = rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?;
    // At the end it begins anew.
    *cursor = if domains.len() < 200 {
        String::new()
    } else {
        domains.last().cloned().unwrap_or_default()
    };
    Ok(domains)
}

/// A part of a message as the database has it.
struct Taken {
    common: Vec<u8>,
    recipients: Vec<u8>,
    size: u64,
    due: Timestamp,
    ceiling: Option<Timestamp>,
    states: Option<Vec<u8>>,
    delay_noted: bool,
}

impl Taken {
    fn read(row: &Row, since: std::time::Duration) -> Result<(Held, Self), Error> {
        let id = unsigned(row.try_get(0)?);
        let place = row.try_get::<_, i32>(1)?.cast_unsigned();
        let held = Held {
            of: (id, place),
            fence: row.try_get(3)?,
            recipients: row.try_get::<_, i32>(9)?.cast_unsigned(),
            parts: row.try_get::<_, i32>(10)?.cast_unsigned(),
            since,
        };
        let taken = Self {
            recipients: row.try_get(6)?,
            due: Timestamp::from_millis(row.try_get(2)?),
            ceiling: row.try_get::<_, Option<i64>>(4)?.map(Timestamp::from_millis),
            states: row.try_get(5)?,
            common: row.try_get(7)?,
            size: row.try_get::<_, i64>(8)?.unsigned_abs(),
            delay_noted: row.try_get(11)?,
        };
        Ok((held, taken))
    }
}

/// An id from the database.
pub(super) fn unsigned(id: i64) -> MessageId {
    MessageId::from_u64(id.unsigned_abs())
}
