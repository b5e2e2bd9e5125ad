//! Nodes: how each keeps what it has, and what becomes of what a dead one had.
//!
//! A node renews its lease while it is heard of. When that has ended, the first that sees
//! it raises the dead node's epoch, and only then gives its rows to everybody: so a node
//! whose own epoch still stands in its row has lost nothing, however long it was away, and
//! one that finds another there knows that it has nothing left.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::Instant;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Error, Row};

use super::accept::signed;
use super::claims::{NEXT, unsigned};
use super::clock::uptime;
use super::connect::{Link, Reach, Session, Trouble, patience, session_name, session_prefix};
use super::core::Core;
use super::hand::{FENCE_BITS, PartOf};
use super::{Durability, lock};
use crate::clock::Clock;
use crate::id::{COUNTER_BITS, MessageId, Timestamp};
use crate::{Edit, Hindrance, SpoolError};

/// This node, as the database has it.
pub(super) struct Registered {
    pub(super) number: i16,
    pub(super) epoch: i64,
    /// No id is given that is not greater, its node's number apart.
    pub(super) last_id: u64,
    pub(super) now: i64,
}

/// A commit of unknown fate whose client was told to try again.
pub(super) struct Doubt {
    id: MessageId,
    epoch: i64,
    fence: i64,
    /// Until when its transaction may still end well: as long as the database hangs, what
    /// it was given does, too.
    until: Option<Instant>,
}

impl Doubt {
    pub(super) fn new(id: MessageId, epoch: i64, fence: i64) -> Self {
        Self { id, epoch, fence, until: None }
    }
}

/// How long nobody waits longer for what is good to know.
const ASKED: Duration = Duration::from_secs(3);
/// How long a transaction may linger on a server that has lost its client.
const DOUBTFUL: Duration = Duration::from_secs(120);
/// Ids that were given after the last beat of an earlier run are at most so much later.
const ID_MARGIN: u64 = 60_000 << COUNTER_BITS;
/// What waits in hand for so long is given back, if there are others.
const IDLE: Duration = Duration::from_secs(20);
/// Every so many beats what died unseen is looked for.
const ROUNDS: u64 = 10;
/// How often what is nobody's is looked at; when there was nothing, so many times less.
const TICK: Duration = Duration::from_secs(1);
const EMPTY: u32 = 4;
/// Rows of one statement.
const BATCH: usize = 1000;

// So that numbers come back of nodes that nobody has seen for a month.
const EXPIRE: &str = "\
DELETE FROM node n WHERE NOT n.alive
  AND n.seen < (extract(epoch FROM clock_timestamp()) * 1000)::bigint - 30::bigint * 86400000
  AND NOT EXISTS (SELECT 1 FROM work w WHERE w.owner = n.number)";

// $1: name, $2: lease in milliseconds, $3: version.
const REGISTER: &str = "\
INSERT INTO node AS n (number, name, epoch, alive, lease_until, since, seen, last_id, version)
SELECT (SELECT min(s) FROM generate_series(1, 255) s WHERE NOT EXISTS (SELECT 1 FROM node WHERE number = s)),
  $1, 1, true, t.now + $2, t.now, t.now, 0, $3
FROM (SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint AS now) t
ON CONFLICT (name) DO UPDATE SET epoch = n.epoch + 1, alive = true, version = excluded.version,
  lease_until = excluded.lease_until, since = excluded.since, seen = excluded.seen
RETURNING number, epoch, last_id, seen";

const BEAT: &str = "\
UPDATE node SET seen = t.now, lease_until = t.now + $3, last_id = greatest(last_id, $4)
FROM (SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint AS now) t
WHERE number = $1 AND epoch = $2 AND alive
RETURNING t.now, (SELECT count(*) FROM node n WHERE n.alive AND n.lease_until > t.now)";

// After a beat that met another epoch: whether somebody lives by it.
const WHO: &str = "\
SELECT alive AND lease_until > (extract(epoch FROM clock_timestamp()) * 1000)::bigint
FROM node WHERE number = $1";

// Sessions of one role see each other.
const SESSIONS: &str = "\
SELECT DISTINCT application_name, coalesce(host(client_addr), '') FROM pg_stat_activity
WHERE datname = current_database() AND application_name LIKE 'puerto %@%' ORDER BY 1, 2";

const BURY: &str = "\
UPDATE node SET alive = false, epoch = epoch + 1
WHERE alive AND lease_until < (extract(epoch FROM clock_timestamp()) * 1000)::bigint
RETURNING number";

const FREE: &str = "\
WITH f AS MATERIALIZED (
  SELECT w.id, w.place FROM work w
  WHERE w.owner IS NOT NULL AND NOT EXISTS (
    SELECT 1 FROM node n WHERE n.number = w.owner AND n.epoch = w.epoch AND n.alive)
  ORDER BY w.id, w.place LIMIT $1 FOR NO KEY UPDATE OF w SKIP LOCKED
)
UPDATE work w SET owner = NULL, fence = w.fence + 1 FROM f
WHERE w.id = f.id AND w.place = f.place RETURNING w.id";

const OWNED: &str = "SELECT id, place, fence FROM work WHERE owner = $1 AND epoch = $2";

const GIVE_BACK: &str = "\
UPDATE work w SET owner = NULL, fence = w.fence + 1
FROM unnest($3::bigint[], $4::integer[], $5::bigint[]) AS g (id, place, fence)
WHERE w.id = g.id AND w.place = g.place AND w.owner = $1 AND w.epoch = $2 AND w.fence = g.fence
RETURNING w.id";

// Only what nobody has taken from this node, as a whole.
const FORGET: &str = "\
WITH g AS MATERIALIZED (
  SELECT g.id, g.epoch, g.fence FROM unnest($2::bigint[], $3::bigint[], $4::bigint[]) AS g (id, epoch, fence)
  WHERE NOT EXISTS (SELECT 1 FROM work w WHERE w.id = g.id AND NOT (
    coalesce(w.owner = $1 AND w.epoch = g.epoch, true) AND w.fence = g.fence AND w.state IS NULL))
), w AS (
  DELETE FROM work w USING g WHERE w.id = g.id AND w.fence = g.fence
    AND coalesce(w.owner = $1 AND w.epoch = g.epoch, true) RETURNING w.id
), m AS (DELETE FROM message WHERE id = ANY (ARRAY(SELECT id FROM w))),
c AS (DELETE FROM chunk WHERE id = ANY (ARRAY(SELECT id FROM w)))
SELECT id FROM w";

const CHANGED: &str = "\
SELECT c.id, m.held, w.place, w.ceiling
FROM changed c LEFT JOIN message m ON m.id = c.id
LEFT JOIN work w ON w.id = c.id AND w.owner = $1 AND w.epoch = $2 AND w.ceiling IS NOT NULL
WHERE c.node = $1";

const HEEDED: &str = "\
DELETE FROM changed WHERE node = $1
  AND at < (extract(epoch FROM clock_timestamp()) * 1000)::bigint - $2";

// One that ended otherwise keeps a lease that is later than when it was last seen.
const LEAVE: &str = "UPDATE node SET alive = false, epoch = epoch + 1, last_id = greatest(last_id, $3), \
                     lease_until = seen WHERE number = $1 AND epoch = $2";

/// Joins the nodes. A name that was here before gets its number again, and what it had
/// then is anybody's.
pub(super) async fn register(
    reach: &Reach,
    session: &Session,
    name: &str,
    lease: Duration,
) -> Result<Registered, SpoolError> {
    let version = env!("CARGO_PKG_VERSION");
    session.query(EXPIRE, &[]).await.map_err(|error| reach.failure(&error))?;
    let mut tried = 0;
    let rows = loop {
        match session.query(REGISTER, &[&name, &millis(lease), &version]).await {
            Ok(rows) => break rows,
            // Another took the number meanwhile.
            Err(error) if error.code() == Some(&SqlState::UNIQUE_VIOLATION) && tried < 20 => {}
            Err(error) if error.code() == Some(&SqlState::NOT_NULL_VIOLATION) => {
                let database = reach.settings.shown.clone();
                return Err(SpoolError::Io(Hindrance::TooManyNodes { database }));
            }
            Err(error) if reach.judge(&error) == Trouble::Again && tried < 20 => {}
            Err(error) => return Err(reach.failure(&error)),
        }
        tried += 1;
        tokio::time::sleep(patience(0)).await;
    };
    let read = |row: &Row| {
        let last: i64 = row.try_get(2)?;
        let last_id = if last == 0 { 0 } else { last.unsigned_abs() + ID_MARGIN };
        let (number, epoch, now) = (row.try_get(0)?, row.try_get(1)?, row.try_get(3)?);
        Ok(Registered { number, epoch, last_id, now })
    };
    let database = reach.settings.shown.clone();
    let row = rows.first().ok_or(SpoolError::Io(Hindrance::TooManyNodes { database }))?;
    read(row).map_err(|error: Error| reach.failure(&error))
}

/// Which other machines have connections by a node's name, with their addresses. That none is
/// found says little: what the database shows of others is its own to decide.
pub(super) async fn namesakes(session: &Session, node: &str) -> Vec<String> {
    let asked = tokio::time::timeout(ASKED, session.query(SESSIONS, &[])).await;
    let rows = asked.ok().and_then(Result::ok).unwrap_or_default();
    let (own, prefix) = (session_name(node), session_prefix(node));
    let read = |row: &Row| {
        let name: String = row.try_get(0).ok()?;
        let address: String = row.try_get(1).ok()?;
        let machine = name.strip_prefix(&prefix).filter(|_| name != own)?;
        Some(match address.as_str() {
            "" => machine.to_owned(),
            address => format!("{machine} ({address})"),
        })
    };
    rows.iter().filter_map(read).collect()
}

/// How the database is set.
pub(super) async fn durability(session: &Session) -> Result<Durability, Error> {
    let asked = "SELECT current_setting('fsync') = 'on', current_setting('synchronous_standby_names'), \
                 current_setting('server_version')";
    let row = session.client.query_one(asked, &[]).await?;
    let (fsync, standbys, server) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
    Ok(Durability { fsync, standbys, server })
}

fn millis(span: Duration) -> i64 {
    i64::try_from(span.as_millis()).unwrap_or(i64::MAX)
}

/// What a beat was answered with.
enum Answered {
    /// All is as it was.
    Living,
    /// Others have taken what this node had.
    Buried,
    /// Another process lives by this node's name.
    Impostor,
}

impl Core {
    /// Keeps what this node has, frees what dead ones had, and looks for work.
    pub(super) async fn stay(self: Arc<Self>) {
        let mut link = Link::with(&self.reach, "SET synchronous_commit = off");
        let (mut beats, mut failed) = (0_u64, 0_u32);
        let (mut next_beat, mut next_look) = (Instant::now(), Instant::now() + TICK);
        let mut edited = false;
        loop {
            let done = if Instant::now() >= next_beat {
                next_beat = Instant::now() + self.beat;
                beats += 1;
                self.beat(&mut link, beats - 1).await
            } else if std::mem::take(&mut edited) {
                self.heed_changes(&mut link).await
            } else if Instant::now() >= next_look {
                let found = self.look(&mut link).await;
                let times = if found == Ok(false) { 1 + EMPTY } else { 1 };
                next_look = Instant::now() + TICK * times;
                found.map(drop)
            } else {
                Ok(())
            };
            if done.is_err() {
                failed += 1;
                next_beat = Instant::now();
                tokio::time::sleep(patience(failed).min(self.beat)).await;
                continue;
            }
            failed = 0;
            tokio::select! {
                () = tokio::time::sleep_until(next_beat.min(next_look)) => {}
                () = self.wakes.edited.notified() => edited = true,
                // Where a connection was lost, it is found out at once whether all are.
                () = self.reach.lost() => next_beat = Instant::now(),
            }
        }
    }

    async fn beat(self: &Arc<Self>, link: &mut Link, beats: u64) -> Result<(), SpoolError> {
        if !link.is_open() {
            // Whoever answers now may be a primary that did not hear all that was said.
            self.may_have_lost();
        }
        let session = match link.session().await {
            Err(_) if self.reach.silent().is_some() => return Err(self.fall_silent()),
            session => session?,
        };
        let was_away = self.has_lapsed();
        let beating = self.beat_once(&session);
        let Ok(beaten) = tokio::time::timeout(self.lease / 3, beating).await else {
            return Err(self.fall_silent());
        };
        let answered = beaten.map_err(|error| self.troubled(&error))?;
        if was_away {
            // So were all, perhaps, and the first to be back is not to give away what others have
            // under way before they could be heard of again.
            *lock(&self.misses_from) = uptime() + self.lease;
        }
        let all = match answered {
            Answered::Living => beats.is_multiple_of(ROUNDS),
            Answered::Impostor => {
                lock(&self.hand).drop_all();
                let name = self.name.clone();
                let by = match namesakes(&session, &name).await {
                    others if others.is_empty() => self.own_machine(),
                    others => others.join(", "),
                };
                return Err(self.reach.refuse(Hindrance::NameTaken { name, by }));
            }
            Answered::Buried => {
                let joined = tokio::time::timeout(self.lease / 3, self.rejoin(&session)).await;
                joined.unwrap_or_else(|_| Err(self.fall_silent()))?;
                true
            }
        };
        // No beat is sent meanwhile, and a database may begin to hang in any statement of it.
        let upkeep = tokio::time::timeout(self.lease / 3 * 2, self.keep_up(&session, all)).await;
        match upkeep {
            Ok(kept) => kept.map_err(|error| self.troubled(&error)),
            Err(_) => Err(self.fall_silent()),
        }
    }

    // Where no other is seen, it is a process of the same.
    fn own_machine(&self) -> String {
        let (whole, prefix) = (session_name(&self.name), session_prefix(&self.name));
        whole.strip_prefix(&prefix).unwrap_or_default().to_owned()
    }

    fn fall_silent(&self) -> SpoolError {
        let silent = self.reach.is_silent();
        self.refuse_unsent(&silent);
        silent
    }

    fn troubled(&self, error: &Error) -> SpoolError {
        self.reach.judge(error);
        self.reach.failure(error)
    }

    async fn beat_once(&self, session: &Session) -> Result<Answered, Error> {
        let (number, epoch) = self.who();
        let last_id = i64::try_from(*lock(&self.last_id)).unwrap_or(i64::MAX);
        let (asked, sent) = (self.clock.elapsed(), uptime());
        let rows = session.query(BEAT, &[&number, &epoch, &millis(self.lease), &last_id]).await?;
        let Some(row) = rows.first() else {
            let rows = session.query(WHO, &[&number]).await?;
            let alive = rows.first().map_or(Ok(false), |row| row.try_get(0))?;
            return Ok(if alive { Answered::Impostor } else { Answered::Buried });
        };
        self.clock.hear(row.try_get(0)?, asked);
        let was_fading = self.is_fading();
        *lock(&self.heard_at) = sent;
        if was_fading {
            self.changed();
        }
        let living: i64 = row.try_get(1)?;
        self.living.store(u32::try_from(living).unwrap_or(1), Ordering::SeqCst);
        self.reach.is_back();
        Ok(Answered::Living)
    }

    async fn rejoin(&self, session: &Session) -> Result<(), SpoolError> {
        let sent = uptime();
        let again = register(&self.reach, session, &self.name, self.lease).await?;
        lock(&self.hand).begin_anew(again.number, again.epoch);
        *lock(&self.heard_at) = sent;
        self.reach.is_back();
        self.changed();
        Ok(())
    }

    async fn keep_up(self: &Arc<Self>, session: &Session, all: bool) -> Result<(), Error> {
        let misses_others = uptime() >= *lock(&self.misses_from);
        let buried = match misses_others {
            true => session.query(BURY, &[]).await?,
            false => Vec::new(),
        };
        if (all || !buried.is_empty()) && free(session).await? {
            self.changed();
            self.wakes.work();
        }
        self.forget_doubts(session).await?;
        self.heed(session).await?;
        if self.clock.elapsed() < *lock(&self.sweeps_until) {
            self.sweep(session).await?;
        }
        if self.living() > 1 {
            self.give_back_idle(session).await?;
        }
        if all {
            self.look_back(session).await?;
        }
        self.clean(session).await
    }

    /// Looks whether something is due that is nobody's.
    async fn look(&self, link: &mut Link) -> Result<bool, SpoolError> {
        let session = link.session().await?;
        let rows = session.query(NEXT, &[]).await.map_err(|error| self.troubled(&error))?;
        let due = rows.first().and_then(|row| row.try_get::<_, Option<i64>>(0).ok().flatten());
        let Some(due) = due.map(Timestamp::from_millis) else { return Ok(false) };
        if due <= self.clock.now() {
            self.changed();
        } else {
            lock(&self.hand).hear_of(due);
        }
        Ok(true)
    }

    async fn heed_changes(&self, link: &mut Link) -> Result<(), SpoolError> {
        let session = link.session().await?;
        self.heed(&session).await.map_err(|error| self.troubled(&error))
    }

    /// Brings into the hand what an administrator has changed of it, at whatever node: as it
    /// stands in the database, so that to do it again does no harm. It is done again with
    /// each beat for a while, since what was changed may have been on its way into the hand.
    async fn heed(&self, session: &Session) -> Result<(), Error> {
        let (number, epoch) = self.who();
        let rows = session.query(CHANGED, &[&number, &epoch]).await?;
        if rows.is_empty() {
            return Ok(());
        }
        let now = self.clock.now();
        for row in &rows {
            let id = unsigned(row.try_get(0)?);
            let held: Option<bool> = row.try_get(1)?;
            let mut hand = lock(&self.hand);
            hand.edit(
                id,
                held.map_or(Edit::Remove, |h| if h { Edit::Hold } else { Edit::Release }),
                now,
            );
            if let (Some(place), Some(ceiling)) =
                (row.try_get::<_, Option<i32>>(2)?, row.try_get(3)?)
            {
                hand.make_due((id, place.cast_unsigned()), Timestamp::from_millis(ceiling));
            }
        }
        self.changed();
        session.query(HEEDED, &[&number, &millis(self.lease * 2)]).await.map(drop)
    }

    /// This node's number and epoch.
    pub(super) fn who(&self) -> (i16, i64) {
        let hand = lock(&self.hand);
        (hand.owner, hand.epoch)
    }

    /// Forgets what was stored although its client was told that it was not.
    async fn forget_doubts(&self, session: &Session) -> Result<(), Error> {
        let (mut ids, mut epochs, mut fences) = (Vec::new(), Vec::new(), Vec::new());
        for doubt in lock(&self.doubts).iter() {
            ids.push(signed(doubt.id));
            epochs.push(doubt.epoch);
            fences.push(doubt.fence);
        }
        if ids.is_empty() {
            return Ok(());
        }
        let (number, _) = self.who();
        let rows = session.query(FORGET, &[&number, &ids, &epochs, &fences]).await?;
        let gone: Vec<MessageId> =
            rows.iter().map(|row| row.try_get(0).map(unsigned)).collect::<Result<_, _>>()?;
        let now = Instant::now();
        lock(&self.doubts).retain_mut(|doubt| {
            let asked = ids.contains(&signed(doubt.id));
            let until = match asked {
                true => *doubt.until.get_or_insert(now + DOUBTFUL),
                false => now + DOUBTFUL,
            };
            until > now && !gone.contains(&doubt.id)
        });
        Ok(())
    }

    /// Rows are looked for that are this node's without its knowing, until those count as old
    /// that are on their way into the hand now.
    pub(super) fn may_have_lost(&self) {
        *lock(&self.sweeps_until) = self.clock.elapsed() + self.lease * 3;
    }

    /// Gives back what the database says is this node's, and it knows nothing of: a claim's
    /// answer was lost, or a new primary never had the settlement. Else nobody would ever
    /// hand it out, as long as this node lives.
    async fn sweep(&self, session: &Session) -> Result<(), Error> {
        let (number, epoch) = self.who();
        let arriving = lock(&self.hand).arriving.clone();
        // What was claimed or accepted just now is on its way into the hand.
        let recent = millis(self.lease * 2) << FENCE_BITS;
        let settled_by = lock(&self.hand).fence(&*self.clock) - recent;
        let rows = session.query(OWNED, &[&number, &epoch]).await?;
        let read = |row: &Row| {
            let of = (unsigned(row.try_get(0)?), row.try_get::<_, i32>(1)?.cast_unsigned());
            Ok((of, row.try_get(2)?))
        };
        let mut lost: Vec<(PartOf, i64)> = rows.iter().map(read).collect::<Result<_, Error>>()?;
        lost.retain(|(of, fence)| {
            let doubted = lock(&self.doubts).iter().any(|doubt| doubt.id == of.0);
            let known = arriving.contains(&of.0) || lock(&self.hand).knows(*of);
            *fence < settled_by && !known && !doubted
        });
        if !lost.is_empty() {
            self.give_back(session, &lost).await?;
            self.changed();
        }
        Ok(())
    }

    async fn give_back_idle(&self, session: &Session) -> Result<(), Error> {
        let Some(before) = self.clock.elapsed().checked_sub(IDLE) else { return Ok(()) };
        let given = lock(&self.hand).take_idle(before, BATCH);
        let done = self.give_back(session, &given).await;
        lock(&self.hand).have_left(&given);
        if done.is_err() {
            self.may_have_lost();
        }
        done
    }

    async fn give_back(&self, session: &Session, parts: &[(PartOf, i64)]) -> Result<(), Error> {
        if parts.is_empty() {
            return Ok(());
        }
        let (number, epoch) = self.who();
        let ids: Vec<i64> = parts.iter().map(|((id, _), _)| signed(*id)).collect();
        let places: Vec<i32> = parts.iter().map(|((_, place), _)| place.cast_signed()).collect();
        let fences: Vec<i64> = parts.iter().map(|(_, fence)| *fence).collect();
        session.query(GIVE_BACK, &[&number, &epoch, &ids, &places, &fences]).await?;
        self.wakes.work();
        Ok(())
    }

    /// Leaves the nodes; what it had is anybody's.
    pub(super) async fn leave(&self) {
        let mut link = Link::new(&self.reach);
        let Ok(session) = link.session().await else { return };
        let (number, epoch) = self.who();
        let last_id = i64::try_from(*lock(&self.last_id)).unwrap_or(i64::MAX);
        // Who cannot say so is found dead.
        if session.query(LEAVE, &[&number, &epoch, &last_id]).await.is_ok() {
            let _ = free(&session).await;
            let _ = super::wake::send(&session, &[format!("{number} {}", super::wake::WORK)]).await;
        }
    }
}

// Whether there was something to free.
async fn free(session: &Session) -> Result<bool, Error> {
    let mut any = false;
    loop {
        let rows = session.query(FREE, &[&i64::try_from(BATCH).unwrap_or(i64::MAX)]).await?;
        any |= !rows.is_empty();
        if rows.len() < BATCH {
            return Ok(any);
        }
    }
}
