//! Whether the database clears away what the queue deletes. It cannot while somebody holds an
//! old snapshot: that is told, with who it is. Where it merely does not keep up, since its own
//! workers are elsewhere or asleep, a node does it.

use std::sync::Arc;
use std::time::Duration;

use tokio_postgres::Error;

use super::connect::{Session, Trouble};
use super::core::Core;
use super::lock;
use crate::clock::Clock;
use crate::faces::{HeldBack, Holder};

/// The oldest snapshot that somebody holds, and since when this node has seen it.
pub(super) struct Oldest {
    by: Holder,
    /// The transaction from which on nothing is cleared away.
    horizon: String,
    since: Duration,
}

// What a transaction that writes keeps, every snapshot that is taken meanwhile keeps, too.
const OLDEST: &str = "\
SELECT kind, name, pid, horizon::text FROM (
  SELECT CASE WHEN backend_type = 'walsender' THEN 1 ELSE 0 END AS kind,
    concat_ws(', ', usename, nullif(application_name, ''), host(client_addr)) AS name, pid,
    CASE WHEN age(backend_xid) >= coalesce(age(backend_xmin), 0) THEN backend_xid
      ELSE backend_xmin END AS horizon, backend_xid IS NOT NULL AS writes
  FROM pg_stat_activity
  WHERE pid <> pg_backend_pid() AND backend_type <> 'autovacuum worker'
    AND (datname = current_database() OR backend_type = 'walsender')
  UNION ALL SELECT 2, slot_name::text, 0, xmin, false FROM pg_replication_slots
  UNION ALL SELECT 3, gid, 0, transaction, true FROM pg_prepared_xacts
    WHERE database = current_database()) h
WHERE horizon IS NOT NULL ORDER BY age(horizon) DESC, writes DESC, pid LIMIT 1";

const DEAD: &str = "\
SELECT relname::text FROM pg_stat_user_tables
WHERE schemaname = 'puerto' AND relname IN ('message', 'work', 'chunk', 'changed', 'note')
  AND n_dead_tup > 20000 + n_live_tup / 2";

impl Core {
    /// Who keeps the database from clearing away.
    pub(super) fn held_back(&self) -> Option<HeldBack> {
        let oldest = lock(&self.oldest);
        let oldest = oldest.as_ref()?;
        let seconds = self.clock.elapsed().saturating_sub(oldest.since).as_secs();
        Some(HeldBack { by: oldest.by.clone(), seconds })
    }

    /// Looks who keeps it from that.
    pub(super) async fn look_back(&self, session: &Session) -> Result<(), Error> {
        match self.look_for_holders(session).await {
            // Some databases that are nearly PostgreSQL have no such tables.
            Err(error) if self.reach.judge(&error) == Trouble::Refused => Ok(()),
            looked => looked,
        }
    }

    /// Has the database clear away what it leaves lying, unless that is of no use now.
    pub(super) async fn clean(self: &Arc<Self>, session: &Session) -> Result<(), Error> {
        if self.held_back().is_some_and(|held| held.is_old()) {
            return Ok(());
        }
        let rows = session.query(DEAD, &[]).await?;
        let names: Vec<String> = rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?;
        if !names.is_empty() {
            let core = Arc::clone(self);
            self.runtime.spawn(async move { core.vacuum(&names).await });
        }
        Ok(())
    }

    async fn look_for_holders(&self, session: &Session) -> Result<(), Error> {
        let rows = session.query(OLDEST, &[]).await?;
        let Some(row) = rows.first() else {
            *lock(&self.oldest) = None;
            return Ok(());
        };
        let (kind, name, pid): (i32, String, i32) =
            (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
        let by = match kind {
            0 => Holder::Session { pid, who: name },
            1 => Holder::Standby { who: name },
            2 => Holder::Slot { name },
            _ => Holder::Prepared { name },
        };
        let (horizon, since) = (row.try_get(3)?, self.clock.elapsed());
        let mut oldest = lock(&self.oldest);
        let same = |known: &&Oldest| known.by == by && known.horizon == horizon;
        let since = oldest.as_ref().filter(same).map_or(since, |known| known.since);
        *oldest = Some(Oldest { by, horizon, since });
        Ok(())
    }

    // Where another node is at it, or the database itself, there is nothing to do. No end of
    // a file is given back, since readers would have to wait for that.
    async fn vacuum(&self, tables: &[String]) {
        let Ok(mut link) = self.cleaner.try_lock() else { return };
        let Ok(session) = link.session().await else { return };
        for table in tables {
            let sql =
                format!("VACUUM (SKIP_LOCKED, INDEX_CLEANUP ON, TRUNCATE OFF) puerto.{table}");
            if let Err(error) = session.client.batch_execute(&sql).await {
                self.reach.judge(&error);
                return;
            }
        }
    }
}
