//! Messages of another store, taken over as they stand.

use std::sync::Arc;

use super::accept::{Body, Failed, GROUP, insert_chunks, signed};
use super::connect::{Link, Parameters, Session, Trouble, patience};
use super::core::{Core, Promise};
use crate::clock::Clock;
use crate::entry::{Entry, RecipientStatus};
use crate::id::Timestamp;
use crate::index::{EncodedEnvelope, Index, states_of};
use crate::{Content, Hindrance, NewMessage, SpoolError};

const ADOPT: &str = "\
WITH m AS (
  INSERT INTO message (id, common, size, recipients, parts, open, held, delay_noted, content, held_for)
  VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $17) ON CONFLICT (id) DO NOTHING RETURNING id
), w AS (
  INSERT INTO work (id, place, domain, due, tried, open, held, bulk, recipients, state)
  SELECT $1, place, domain, due, tried, open, $7, $18, recipients, state
  FROM unnest($10::integer[], $11::text[], $12::bigint[], $13::boolean[], $14::integer[],
      $15::bytea[], $16::bytea[]) AS t (place, domain, due, tried, open, recipients, state)
  WHERE EXISTS (SELECT 1 FROM m)
)
SELECT id FROM m";

/// Parts as columns.
#[derive(Default)]
struct Columns {
    places: Vec<i32>,
    domains: Vec<String>,
    due: Vec<i64>,
    tried: Vec<bool>,
    open: Vec<i32>,
    recipients: Vec<Vec<u8>>,
    states: Vec<Vec<u8>>,
}

/// A message as the database is to have it.
struct Adopted {
    entry: Entry,
    common: Vec<u8>,
    size: u64,
    body: Body,
    parts: Columns,
}

impl Adopted {
    fn new(entry: Entry, content: Content, now: Timestamp) -> Result<Self, SpoolError> {
        let size = content.len();
        let NewMessage { envelope, received_at, origin, content, .. } = entry.as_new(content);
        let envelope = EncodedEnvelope::new(envelope, received_at, origin, None)?;
        let (common, list) = envelope.parts();
        let mut parts = Columns::default();
        for part in list {
            let domain = &part.domain;
            let own =
                |(_, status): &(u32, &RecipientStatus)| status.recipient.address.domain() == domain;
            let states = states_of(&entry, (0..).zip(&entry.recipients).filter(own), now);
            let mut index: Index<()> = Index::default();
            // It was encoded here.
            let _ = index.insert_part(entry.id, (common, &part), (size, ()), (now, Some(&states)));
            let Some(state) = index.part_state(entry.id, now) else { continue };
            let (tried, due) = state.next.unwrap_or((false, now));
            parts.places.push(part.place.cast_signed());
            parts.domains.push(part.domain.to_string());
            parts.due.push(due.as_millis());
            parts.tried.push(tried);
            parts.open.push(state.open.cast_signed());
            parts.recipients.push(part.recipients);
            parts.states.push(states);
        }
        let common = common.to_vec();
        Ok(Self { entry, common, size, body: Body::of(Vec::new(), content, size), parts })
    }

    fn octets(&self) -> usize {
        self.parts.recipients.iter().map(Vec::len).sum::<usize>()
            + self.common.len()
            + self.body.small().map_or(0, <[u8]>::len)
    }

    async fn insert(&self, session: &Session) -> Result<bool, Failed> {
        let id = signed(self.entry.id);
        let size = i64::try_from(self.size).unwrap_or(i64::MAX);
        let all = i32::try_from(self.entry.recipients.len()).unwrap_or(i32::MAX);
        let count = i32::try_from(self.parts.places.len()).unwrap_or(i32::MAX);
        let open: i32 = self.parts.open.iter().sum();
        let content = self.body.small();
        if let Body::Large(content) = &self.body {
            insert_chunks(session, self.entry.id, Arc::clone(content)).await?;
        }
        let parts = &self.parts;
        let reason = self.entry.held_for.as_bytes();
        let held_for = (!reason.is_empty()).then_some(reason);
        let parameters: Parameters<'_> = &[
            &id,
            &self.common,
            &size,
            &all,
            &count,
            &open,
            &self.entry.held,
            &self.entry.delay_notified,
            &content,
            &parts.places,
            &parts.domains,
            &parts.due,
            &parts.tried,
            &parts.open,
            &parts.recipients,
            &parts.states,
            &held_for,
            &self.entry.bulk,
        ];
        Ok(!session.query(ADOPT, parameters).await?.is_empty())
    }
}

/// A message that is to be taken over, and who waits for that.
pub(super) struct Adoption(Adopted, Promise<bool>);

impl Core {
    /// Prepares a message of another store.
    pub(super) fn prepare_adoption(&self, entry: &Entry, content: Content, done: Promise<bool>) {
        match Adopted::new(entry.clone(), content, self.clock.now()) {
            Ok(adopted) => self.adopted.push(Adoption(adopted, done)),
            Err(error) => done.keep(Err(error)),
        }
    }

    /// Takes over messages of another store, many in one transaction, and says of each
    /// whether it was not here before.
    pub(super) async fn take_over(self: Arc<Self>) {
        let mut link = Link::new(&self.reach);
        loop {
            let group = self.adopted.take(GROUP.0, GROUP.1, |one| one.0.octets()).await;
            self.adopt(&mut link, group).await;
        }
    }

    async fn adopt(&self, link: &mut Link, group: Vec<Adoption>) {
        let mut failed = 0;
        // One whose answer was lost may be there by this very run: it was new all the same.
        let mut new = vec![false; group.len()];
        let error = loop {
            let session = match link.session().await {
                Ok(session) => session,
                Err(error) => break error,
            };
            let warnings = session.warnings();
            let error = match adopt_all(&session, &group, &mut new).await {
                Ok(()) if session.warnings() != warnings => {
                    let database = self.reach.settings.shown.clone();
                    break SpoolError::Io(Hindrance::NotReplicated { database });
                }
                Ok(()) => {
                    self.hear_of_adopted();
                    for (Adoption(_, done), is_new) in group.into_iter().zip(new) {
                        done.keep(Ok(is_new));
                    }
                    return;
                }
                Err(error) => error,
            };
            // If that fails, too, the session is of no use to anybody.
            let _ = session.client.batch_execute("ROLLBACK").await;
            failed += 1;
            let (is_final, error) = match error {
                Failed::Content(error) => (true, error),
                Failed::Database(error) => {
                    let is_refused = self.reach.judge(&error) == Trouble::Refused;
                    (is_refused, self.reach.failure(&error))
                }
            };
            // One that cannot be had is not to keep out the others.
            if is_final && group.len() > 1 {
                for one in group {
                    Box::pin(self.adopt(link, vec![one])).await;
                }
                return;
            }
            if is_final || failed > 5 {
                break error;
            }
            tokio::time::sleep(patience(failed)).await;
        };
        for Adoption(_, done) in group {
            done.keep(Err(error.clone()));
        }
    }

    fn hear_of_adopted(&self) {
        let mut hand = super::lock(&self.hand);
        hand.is_stale = true;
        hand.may_be_more = true;
        drop(hand);
        self.wakes.work();
    }
}

// Notes which are new.
async fn adopt_all(session: &Session, group: &[Adoption], new: &mut [bool]) -> Result<(), Failed> {
    session.client.batch_execute("BEGIN").await?;
    for (Adoption(adopted, _), is_new) in group.iter().zip(new) {
        *is_new |= adopted.insert(session).await?;
    }
    Ok(session.client.batch_execute("COMMIT").await?)
}
