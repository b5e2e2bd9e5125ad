//! What an administrator has ordered for all nodes.

use tokio_postgres::Row;

use super::core::Core;
use crate::SpoolError;

const ORDERS: &str = "SELECT number, said FROM standing_order ORDER BY number";
// Asked again where a connection was lost, it may be there already: an order that stands twice
// says what it said once, and the administrator sees it.
const GIVE: &str = "INSERT INTO standing_order (said) VALUES ($1) RETURNING number";
const TAKE_BACK: &str = "DELETE FROM standing_order WHERE number = $1 RETURNING number";

impl Core {
    /// All that was ordered.
    pub(super) async fn orders(&self) -> Result<Vec<(u64, String)>, SpoolError> {
        let rows = self.ask_by(&self.counting, ORDERS, &[]).await?;
        let read = |row: &Row| Ok((row.try_get::<_, i64>(0)?.unsigned_abs(), row.try_get(1)?));
        let orders: Result<_, tokio_postgres::Error> = rows.iter().map(read).collect();
        orders.map_err(|error| self.reach.failure(&error))
    }

    /// Keeps an order.
    pub(super) async fn give_order(&self, order: &str) -> Result<u64, SpoolError> {
        let rows = self.ask_database(GIVE, &[&order]).await?;
        let number = rows.first().map_or(Ok(0), |row| row.try_get::<_, i64>(0));
        number.map(i64::unsigned_abs).map_err(|error| self.reach.failure(&error))
    }

    /// Takes one back.
    pub(super) async fn take_back_order(&self, number: u64) -> Result<bool, SpoolError> {
        let number = i64::try_from(number).unwrap_or(i64::MAX);
        Ok(!self.ask_database(TAKE_BACK, &[&number]).await?.is_empty())
    }
}
