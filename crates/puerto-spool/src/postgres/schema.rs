//! The tables, in numbered steps. A database has the version of the last step that it has
//! taken; a newer one than this program knows is left alone.

use tokio_postgres::Error;

use super::connect::{Reach, Session};
use crate::{Hindrance, SpoolError};

/// What each version adds to the one before.
const STEPS: &[&str] = &[
    include_str!("schema/1.sql"),
    include_str!("schema/2.sql"),
    include_str!("schema/3.sql"),
    include_str!("schema/4.sql"),
    include_str!("schema/5.sql"),
    include_str!("schema/6.sql"),
];

/// The version that this program works with.
pub(super) const KNOWN: u32 = STEPS.len() as u32;

// Several nodes may come to an empty database at the same time: whoever is late fails on a
// name that is there by then, and looks again.
const BEGIN: &str = "CREATE SCHEMA IF NOT EXISTS puerto; \
                     CREATE TABLE IF NOT EXISTS puerto.version ( \
                       one boolean PRIMARY KEY DEFAULT true CHECK (one), number integer NOT NULL); \
                     INSERT INTO puerto.version (number) VALUES (0) ON CONFLICT DO NOTHING";

/// What was done to the tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Migrated {
    /// The version that was found; 0: there were no tables.
    pub from: u32,
    /// The version that they have now.
    pub to: u32,
}

/// The version of the tables; 0 if there are none.
pub(super) async fn version(reach: &Reach, session: &Session) -> Result<u32, SpoolError> {
    let read = async {
        let there = "SELECT to_regclass('puerto.version') IS NOT NULL";
        if !session.client.query_one(there, &[]).await?.try_get::<_, bool>(0)? {
            return Ok(0);
        }
        let row = session.client.query_opt("SELECT number FROM puerto.version", &[]).await?;
        row.map_or(Ok(0), |row| row.try_get::<_, i32>(0))
    };
    let number = read.await.map_err(|error: Error| reach.failure(&error))?;
    Ok(u32::try_from(number).unwrap_or(u32::MAX))
}

/// Whether the tables are of the version that this program works with.
pub(super) fn check(reach: &Reach, version: u32) -> Result<(), SpoolError> {
    let database = reach.settings.shown.clone();
    match version.cmp(&KNOWN) {
        std::cmp::Ordering::Equal => Ok(()),
        std::cmp::Ordering::Less => {
            Err(SpoolError::Io(Hindrance::SchemaOlder { database, version, known: KNOWN }))
        }
        std::cmp::Ordering::Greater => {
            Err(SpoolError::Io(Hindrance::SchemaNewer { database, version, known: KNOWN }))
        }
    }
}

/// Brings the tables to the version that this program works with.
pub(super) async fn migrate(reach: &Reach, session: &Session) -> Result<Migrated, SpoolError> {
    let mut tried = 0;
    loop {
        match take_steps(session).await {
            Ok(migrated) => {
                check(reach, migrated.to)?;
                return Ok(migrated);
            }
            Err(_) if tried < 5 => tried += 1,
            Err(error) => return Err(reach.failure(&error)),
        }
        // What failed has left a transaction open.
        let _ = session.client.batch_execute("ROLLBACK").await;
        tokio::time::sleep(super::connect::patience(tried)).await;
    }
}

async fn take_steps(session: &Session) -> Result<Migrated, Error> {
    let client = &session.client;
    client.batch_execute(BEGIN).await?;
    client.batch_execute("BEGIN").await?;
    let locked = "SELECT number FROM puerto.version FOR UPDATE";
    let number: i32 = client.query_one(locked, &[]).await?.try_get(0)?;
    let from = u32::try_from(number).unwrap_or(u32::MAX);
    let mut to = from;
    for step in STEPS.iter().skip(from as usize) {
        client.batch_execute(step).await?;
        to += 1;
    }
    let reached = i32::try_from(to).unwrap_or(i32::MAX);
    client.execute("UPDATE puerto.version SET number = $1", &[&reached]).await?;
    client.batch_execute("COMMIT").await?;
    Ok(Migrated { from, to })
}
