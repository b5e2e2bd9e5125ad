//! What cannot be read: a row of work is set aside, so that it keeps nobody else waiting, and
//! told of until an administrator removes or releases it.

use tokio_postgres::Error;
use tokio_postgres::error::SqlState;

use super::accept::signed;
use super::claims::unsigned;
use super::connect::Session;
use super::core::Core;
use super::hand::PartOf;
use crate::SpoolError;
use crate::clock::Clock;
use crate::id::MessageId;

/// A part of a message that cannot be read, and why.
pub(super) type Damage = (PartOf, String);

// What another node has in hand it has read.
const SET_ASIDE: &str = "\
UPDATE work w SET damaged = g.what, held = true, owner = NULL, fence = w.fence + 1
FROM unnest($1::bigint[], $2::integer[], $3::text[]) AS g (id, place, what)
WHERE w.id = g.id AND w.place = g.place
  AND (w.owner IS NULL OR w.owner = $4 AND w.epoch = $5)";

// Its recipients are known: the mail is tried until it is returned to its sender.
const NOTE: &str = "UPDATE work SET damaged = $2 WHERE id = $1 AND damaged IS NULL";

const LIST: &str = "\
SELECT DISTINCT ON (id) id, damaged FROM work WHERE damaged IS NOT NULL ORDER BY id LIMIT 100";

const OF_ONE: &str = "SELECT damaged FROM work WHERE id = $1 AND damaged IS NOT NULL AND held";

// What the next claim would take, without what is in it.
const NEXT: &str = "\
SELECT id, place FROM work WHERE owner IS NULL AND open > 0 AND NOT held AND due <= $1
ORDER BY due LIMIT 1000";

const READ: &str = "\
SELECT w.recipients, w.state, m.common FROM work w JOIN message m ON m.id = w.id
WHERE w.id = $1 AND w.place = $2";

/// Whether the database itself found its files damaged.
pub(super) fn is_of_files(error: &Error) -> bool {
    error.code().map(SqlState::code).is_some_and(|code| code.starts_with("XX"))
}

impl Core {
    /// Keeps these from being claimed.
    pub(super) async fn set_aside(&self, session: &Session, all: &[Damage]) -> Result<(), Error> {
        if all.is_empty() {
            return Ok(());
        }
        let (number, epoch) = self.who();
        let ids: Vec<i64> = all.iter().map(|((id, _), _)| signed(*id)).collect();
        let places: Vec<i32> = all.iter().map(|((_, place), _)| place.cast_signed()).collect();
        let what: Vec<&str> = all.iter().map(|(_, what)| what.as_str()).collect();
        session.query(SET_ASIDE, &[&ids, &places, &what, &number, &epoch]).await.map(drop)
    }

    /// Sets aside what keeps the database from answering a claim: each row that would be
    /// taken is read alone.
    pub(super) async fn pass_over(&self, session: &Session) -> Result<bool, Error> {
        let rows = session.query(NEXT, &[&self.clock.now().as_millis()]).await?;
        let mut damaged = Vec::new();
        for row in &rows {
            let (id, place): (i64, i32) = (row.try_get(0)?, row.try_get(1)?);
            match session.query(READ, &[&id, &place]).await {
                Err(error) if is_of_files(&error) => {
                    damaged.push((
                        (unsigned(id), place.cast_unsigned()),
                        super::settings::quoted(&error),
                    ));
                }
                read => drop(read?),
            }
        }
        self.set_aside(session, &damaged).await?;
        Ok(!damaged.is_empty())
    }

    /// Notes that the content of a message is damaged, unless the message is gone.
    pub(super) async fn note_damage(&self, id: MessageId, what: &str) -> SpoolError {
        // Whoever reads it the next time notes it again.
        let _ = self.ask_database(NOTE, &[&signed(id), &what]).await;
        SpoolError::Damaged { id, what: what.to_owned() }
    }

    /// All damage that is known, in words.
    pub(super) async fn damaged(&self) -> Result<Vec<String>, SpoolError> {
        let rows = self.ask_database(LIST, &[]).await?;
        let read = |row: &tokio_postgres::Row| {
            let damaged =
                SpoolError::Damaged { id: unsigned(row.try_get(0)?), what: row.try_get(1)? };
            Ok(damaged.to_string())
        };
        rows.iter().map(read).collect::<Result<_, _>>().map_err(|error| self.reach.failure(&error))
    }

    /// Why a message that is set aside cannot be shown; else that there is none.
    pub(super) async fn why_not(&self, id: MessageId) -> SpoolError {
        let rows = self.ask_database(OF_ONE, &[&signed(id)]).await;
        let what = rows.ok().and_then(|rows| rows.first()?.try_get(0).ok());
        what.map_or(SpoolError::NotFound(id), |what| SpoolError::Damaged { id, what })
    }
}
