//! How messages come into the database: those of many sessions in one statement.
//!
//! Where a connection is lost before the answer has come, the same statement is given
//! again on another: an id that is there is left alone, and one that a transaction still
//! holds is waited for. So its end is known, whichever of the two it was that stored it.

use std::io::Read as _;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tokio_postgres::Error;

use super::connect::{Link, Parameters, Session, Trouble, patience};
use super::core::{Core, Promise};
use super::hand::Held;
use super::lock;
use super::node::Doubt;
use crate::codec::Common;
use crate::id::{MessageId, Timestamp};
use crate::index::{EncodedEnvelope, Part};
use crate::{Content, Hindrance, NewMessage, SpoolError};

/// A message on its way into the database.
pub(super) struct Arrival {
    pub(super) id: MessageId,
    common: Vec<u8>,
    parts: Vec<Part>,
    size: u64,
    recipients: u32,
    held_for: Option<String>,
    due: Timestamp,
    body: Body,
    /// This node's epoch, if the message is to be its own.
    epoch: Option<i64>,
    fence: i64,
    since: Instant,
    done: Promise<()>,
}

/// Content, with what stands before it.
pub(super) enum Body {
    /// In memory, and to be in one row.
    Small(Arc<Vec<u8>>),
    /// To be in chunks.
    Large(Arc<(Vec<u8>, Content)>),
}

impl Body {
    pub(super) fn of(prefix: Vec<u8>, content: Content, size: u64) -> Self {
        match content {
            Content::Memory(octets) if size <= LARGE => {
                let mut whole = prefix;
                whole.extend_from_slice(&octets);
                Self::Small(Arc::new(whole))
            }
            content => Self::Large(Arc::new((prefix, content))),
        }
    }

    /// What is in one row.
    pub(super) fn small(&self) -> Option<&[u8]> {
        match self {
            Self::Small(octets) => Some(octets),
            Self::Large(_) => None,
        }
    }
}

/// Content up to here is in one row, and in memory on its way.
pub(super) const LARGE: u64 = 1024 * 1024;
/// Octets of a chunk.
pub(super) const CHUNK: usize = 512 * 1024;
/// Messages and octets of one statement.
pub(super) const GROUP: (usize, usize) = (256, 4 * 1024 * 1024);
/// How long a client waits for the fate of a commit.
const PATIENCE: Duration = Duration::from_secs(20);

const ACCEPT: &str = "\
WITH m AS (
  INSERT INTO message (id, common, size, recipients, parts, open, content, held, held_for)
  SELECT id, common, size, recipients, parts, recipients, content, held_for IS NOT NULL, held_for
  FROM unnest($1::bigint[], $2::bytea[], $3::bigint[], $4::integer[], $5::integer[], $6::bytea[],
      $16::bytea[]) AS t (id, common, size, recipients, parts, content, held_for)
  ON CONFLICT (id) DO NOTHING RETURNING id
), w AS (
  INSERT INTO work (id, place, domain, due, open, owner, epoch, fence, recipients, held, bulk)
  SELECT id, place, domain, due, open, owner, epoch, fence, recipients, held, bulk
  FROM unnest($7::bigint[], $8::integer[], $9::text[], $10::bigint[], $11::integer[],
      $12::smallint[], $13::bigint[], $14::bigint[], $15::bytea[], $17::boolean[],
      $18::boolean[])
    AS t (id, place, domain, due, open, owner, epoch, fence, recipients, held, bulk)
  WHERE id = ANY (ARRAY(SELECT id FROM m))
)
SELECT id FROM m";

const CHUNK_IN: &str =
    "INSERT INTO chunk (id, n, data) VALUES ($1, $2, $3) ON CONFLICT (id, n) DO NOTHING";

impl Core {
    /// Prepares a message. What is small waits in memory from here on.
    pub(super) fn prepare(&self, message: NewMessage, done: Promise<()>) {
        let (id, received) = (message.id, message.received_at);
        // The reason stands in a column, since a release takes it away.
        let envelope = EncodedEnvelope::new(message.envelope, received, message.origin, None);
        let envelope = match envelope {
            Ok(envelope) => envelope,
            Err(error) => return done.keep(Err(error)),
        };
        let (common, parts) = envelope.parts();
        let size = message.prefix.len() as u64 + message.content.len();
        let body = Body::of(message.prefix, message.content, size);
        let mut arrival = Arrival {
            id,
            common: common.to_vec(),
            recipients: u32::try_from(envelope.recipients()).unwrap_or(u32::MAX),
            size,
            held_for: message.held_for,
            due: received.min(crate::clock::Clock::now(&*self.clock)),
            body,
            epoch: None,
            fence: 0,
            since: Instant::now(),
            done,
            parts,
        };
        // What is held is nobody's until it is released.
        let fading = self.is_fading() || arrival.held_for.is_some();
        let mut hand = lock(&self.hand);
        if !fading && hand.has_room(&arrival.parts, &self.bounds) && hand.arriving.insert(id) {
            arrival.epoch = Some(hand.epoch);
            arrival.fence = hand.fence(&*self.clock);
        }
        drop(hand);
        match arrival.body {
            Body::Small(_) => self.arrivals.push(arrival),
            Body::Large(_) => self.large.push(arrival),
        }
    }

    /// Stores small messages, many at a time.
    pub(super) async fn accept(self: Arc<Self>) {
        let mut link = Link::new(&self.reach);
        loop {
            let group = self.arrivals.take(GROUP.0, GROUP.1, |one| one.octets()).await;
            self.store(&mut link, group).await;
        }
    }

    /// Stores large messages, one at a time.
    pub(super) async fn accept_large(self: Arc<Self>) {
        let mut link = Link::new(&self.reach);
        loop {
            let one = self.large.take(1, usize::MAX, |_| 0).await;
            self.store(&mut link, one).await;
        }
    }

    async fn store(&self, link: &mut Link, group: Vec<Arrival>) {
        let since = group.iter().map(|one| one.since).min().unwrap_or_else(Instant::now);
        let give_up = since + PATIENCE;
        let (mut in_doubt, mut failed) = (false, 0);
        let error = loop {
            let opened = tokio::time::timeout_at(give_up, link.session()).await;
            let session = match opened.unwrap_or_else(|_| Err(self.reach.unanswered())) {
                Ok(session) => session,
                Err(_) if in_doubt && Instant::now() < give_up => {
                    failed += 1;
                    self.pause(failed).await;
                    continue;
                }
                Err(error) => break error,
            };
            let warnings = session.warnings();
            let owner = self.who().0;
            let inserted = insert(&session, &group, owner);
            let Ok(inserted) = tokio::time::timeout_at(give_up, inserted).await else {
                in_doubt = true;
                link.give_up(session);
                break self.reach.unanswered();
            };
            let error = match inserted {
                Ok(_) if session.warnings() != warnings => {
                    in_doubt = true;
                    let database = self.reach.settings.shown.clone();
                    break SpoolError::Io(Hindrance::NotReplicated { database });
                }
                Ok(stored) => {
                    self.reach.answers();
                    return self.have_arrived(group, &stored, in_doubt);
                }
                Err(Failed::Content(error)) => break error,
                Err(Failed::Database(error)) => error,
            };
            match self.reach.judge(&error) {
                Trouble::Lost => in_doubt = true,
                Trouble::Again if failed < 10 => {}
                Trouble::Again => break self.reach.failure(&error),
                // One that the database will not have is not to keep out the others.
                Trouble::Refused if group.len() > 1 => {
                    for one in group {
                        Box::pin(self.store(link, vec![one])).await;
                    }
                    return;
                }
                Trouble::Refused => break self.reach.failure(&error),
            }
            if in_doubt && Instant::now() >= give_up {
                break self.reach.failure(&error);
            }
            failed += 1;
            self.pause(failed).await;
        };
        self.are_refused(group, &error, in_doubt);
    }

    /// Waits before a group is tried again. Where the database is away, what was not sent
    /// does not wait with it for the fate of what was.
    async fn pause(&self, failed: u32) {
        if let Some(error) = self.reach.away() {
            self.refuse_unsent(&error);
        }
        tokio::time::sleep(patience(failed)).await;
    }

    /// Answers those of whom the database has heard nothing.
    pub(super) fn refuse_unsent(&self, error: &SpoolError) {
        for unsent in [&self.arrivals, &self.large] {
            self.are_refused(unsent.take_now(usize::MAX, usize::MAX, |_| 0), error, false);
        }
    }

    fn have_arrived(&self, group: Vec<Arrival>, stored: &[i64], in_doubt: bool) {
        let since = crate::clock::Clock::elapsed(&*self.clock);
        let mut answers = Vec::with_capacity(group.len());
        let mut anybodys = false;
        let mut hand = lock(&self.hand);
        for arrival in group {
            let id = arrival.id;
            if arrival.epoch.is_some() {
                hand.arriving.remove(&id);
            }
            if !in_doubt && !stored.contains(&signed(id)) {
                let error = SpoolError::Io(Hindrance::QueuedAlready(id));
                answers.push((arrival.done, Err(error)));
                continue;
            }
            if arrival.epoch == Some(hand.epoch) {
                for part in &arrival.parts {
                    let held = Held {
                        of: (id, part.place),
                        fence: arrival.fence,
                        parts: u32::try_from(arrival.parts.len()).unwrap_or(u32::MAX),
                        recipients: arrival.recipients,
                        since,
                    };
                    let what = (&*arrival.common, part, arrival.size);
                    // It was encoded here.
                    let _ = hand.take_up(held, what, arrival.due, None);
                }
                if let Body::Small(octets) = arrival.body {
                    hand.keep(id, octets, &self.bounds);
                }
            } else if arrival.held_for.is_none() {
                anybodys = true;
                hand.hear_of(arrival.due);
                hand.may_be_more = true;
            }
            answers.push((arrival.done, Ok(())));
        }
        drop(hand);
        if anybodys {
            self.wakes.work();
        }
        for (done, answer) in answers {
            done.keep(answer);
        }
    }

    fn are_refused(&self, group: Vec<Arrival>, error: &SpoolError, in_doubt: bool) {
        for arrival in group {
            if arrival.epoch.is_some() {
                lock(&self.hand).arriving.remove(&arrival.id);
            }
            if in_doubt {
                let Arrival { id, epoch, fence, .. } = arrival;
                lock(&self.doubts).push(Doubt::new(id, epoch.unwrap_or(0), fence));
            }
            arrival.done.keep(Err(error.clone()));
        }
    }
}

impl Arrival {
    fn octets(&self) -> usize {
        let parts: usize = self.parts.iter().map(|part| part.recipients.len() + 64).sum();
        let body = self.body.small().map_or(0, <[u8]>::len);
        parts + body
    }
}

/// An id as the database has it.
pub(super) fn signed(id: MessageId) -> i64 {
    i64::try_from(id.as_u64()).unwrap_or(i64::MAX)
}

/// What kept something from being stored.
pub(super) enum Failed {
    Database(Error),
    Content(SpoolError),
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Self::Database(error)
    }
}

// The ids that were not there before.
async fn insert(session: &Session, group: &[Arrival], owner: i16) -> Result<Vec<i64>, Failed> {
    let large = group.iter().find_map(|one| match &one.body {
        Body::Large(content) => Some((one.id, Arc::clone(content))),
        Body::Small(_) => None,
    });
    let Some((id, content)) = large else { return Ok(insert_all(session, group, owner).await?) };
    session.client.batch_execute("BEGIN").await?;
    if let Err(error) = insert_chunks(session, id, content).await {
        // If that fails, too, the session is of no use to anybody.
        let _ = session.client.batch_execute("ROLLBACK").await;
        return Err(error);
    }
    let stored = insert_all(session, group, owner).await;
    match stored {
        Ok(stored) => {
            session.client.batch_execute("COMMIT").await?;
            Ok(stored)
        }
        Err(error) => {
            let _ = session.client.batch_execute("ROLLBACK").await;
            Err(error.into())
        }
    }
}

async fn insert_all(session: &Session, group: &[Arrival], owner: i16) -> Result<Vec<i64>, Error> {
    let each = |arrival: &Arrival| i32::try_from(arrival.parts.len()).unwrap_or(i32::MAX);
    let ids: Vec<i64> = group.iter().map(|a| signed(a.id)).collect();
    let commons: Vec<&[u8]> = group.iter().map(|a| &*a.common).collect();
    let sizes: Vec<i64> = group.iter().map(|a| i64::try_from(a.size).unwrap_or(i64::MAX)).collect();
    let recipients: Vec<i32> = group.iter().map(|a| a.recipients.cast_signed()).collect();
    let parts: Vec<i32> = group.iter().map(each).collect();
    let bodies: Vec<Option<&[u8]>> = group.iter().map(|a| a.body.small()).collect();
    let all = || group.iter().flat_map(|a| a.parts.iter().map(move |part| (a, part)));
    let of: Vec<i64> = all().map(|(a, _)| signed(a.id)).collect();
    let places: Vec<i32> = all().map(|(_, part)| part.place.cast_signed()).collect();
    let domains: Vec<String> = all().map(|(_, part)| part.domain.to_string()).collect();
    let due: Vec<i64> = all().map(|(a, _)| a.due.as_millis()).collect();
    let open: Vec<i32> = all().map(|(_, part)| part.count.cast_signed()).collect();
    let owners: Vec<Option<i16>> = all().map(|(a, _)| a.epoch.map(|_| owner)).collect();
    let epochs: Vec<i64> = all().map(|(a, _)| a.epoch.unwrap_or(0)).collect();
    let fences: Vec<i64> = all().map(|(a, _)| a.fence).collect();
    let reasons: Vec<Option<&[u8]>> =
        group.iter().map(|a| a.held_for.as_deref().map(str::as_bytes)).collect();
    let held: Vec<bool> = all().map(|(a, _)| a.held_for.is_some()).collect();
    let bulk: Vec<bool> = all().map(|(a, _)| Common::is_bulk(&a.common)).collect();
    let lists: Vec<&[u8]> = all().map(|(_, part)| &*part.recipients).collect();
    let parameters: Parameters<'_> = &[
        &ids,
        &commons,
        &sizes,
        &recipients,
        &parts,
        &bodies,
        &of,
        &places,
        &domains,
        &due,
        &open,
        &owners,
        &epochs,
        &fences,
        &lists,
        &reasons,
        &held,
        &bulk,
    ];
    session.query(ACCEPT, parameters).await?.iter().map(|row| row.try_get(0)).collect()
}

/// Stores the content of a message in chunks.
pub(super) async fn insert_chunks(
    session: &Session,
    id: MessageId,
    content: Arc<(Vec<u8>, Content)>,
) -> Result<(), Failed> {
    let (out, mut chunks) = tokio::sync::mpsc::channel(2);
    let read = tokio::task::spawn_blocking(move || read_chunks(&content, &out));
    let statement = session.statement(CHUNK_IN).await?;
    let mut n = 0_i32;
    while let Some(chunk) = chunks.recv().await {
        session.client.execute(&statement, &[&signed(id), &n, &chunk]).await?;
        n += 1;
    }
    match read.await {
        Ok(read) => read.map_err(Failed::Content),
        Err(error) => {
            let why = Hindrance::System(None, error.to_string());
            Err(Failed::Content(SpoolError::Io(why)))
        }
    }
}

// On a thread that may wait for the disk.
fn read_chunks(
    content: &(Vec<u8>, Content),
    out: &tokio::sync::mpsc::Sender<Vec<u8>>,
) -> Result<(), SpoolError> {
    let (prefix, content) = content;
    let mut whole = prefix.as_slice().chain(content.reader()?);
    loop {
        let mut chunk = Vec::with_capacity(CHUNK);
        let piece = whole.by_ref().take(CHUNK as u64).read_to_end(&mut chunk);
        piece.map_err(|error| SpoolError::Io((&error).into()))?;
        // Nobody listens: the database has failed, and is told of.
        if chunk.is_empty() || out.blocking_send(chunk).is_err() {
            return Ok(());
        }
    }
}
