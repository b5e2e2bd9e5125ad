//! Counts of the whole queue, which take a while where it is long: whoever asks often gets
//! those of a moment ago.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use puerto_smtp::Domain;
use puerto_spool::{Tally, TallyRequest, Timestamp};
use tokio::time::Instant;

use super::operations::{self, Problem};
use super::ordering;
use super::overview::{Overview, Vitals};
use super::protocol::{Answer, Selection};
use super::session::Shared;
use super::view::{Keeps, time};

/// Ordinary users get counts that are younger than this many times as long as it takes to
/// count, and so does whoever looks again and again.
const SELDOM: u32 = 10;

/// Counts of all that is queued.
pub(super) struct Tallied {
    tally: Arc<Tally>,
    at: Timestamp,
    ended: Instant,
    took: Duration,
}

impl Shared {
    /// What is queued, counted, with so many destinations and of such an age at most.
    pub(super) fn overview(
        &self,
        selection: &Selection,
        (most, max_age): (usize, Duration),
        is_administrator: bool,
    ) -> Result<Overview, Problem> {
        let now = self.context.store.clock().now();
        let filter = self.filter(selection)?;
        let request = TallyRequest { filter, classify: Arc::clone(&self.classify) };
        let (tally, at) = match selection.is_empty() {
            true => self.tally_of_all(&request, max_age, is_administrator)?,
            false => (operations::tally(&self.context, &request)?, now),
        };
        let sight = &self.context.sight;
        let keeps = Keeps::of(&self.context);
        let standing_of = |to: &Domain| ((sight.lane_of)(to), keeps.pauses.of_domain(to));
        let next = |to: &Domain, due| keeps.next(to, due, keeps.pauses.of_domain(to));
        let mut overview = Overview::new(time(at), (&tally, most), standing_of, next);
        overview.lanes = sight.lanes.look().into_iter().map(Into::into).collect();
        if !selection.is_empty() {
            overview.keep_lanes_of_destinations();
        }
        overview.rescued = sight.lanes.rescued().into_iter().map(Into::into).collect();
        overview.orders = ordering::list(&self.context);
        Ok(overview)
    }

    // One counts at a time; who waited for it takes what it has counted, if that will do.
    fn tally_of_all(
        &self,
        request: &TallyRequest,
        max_age: Duration,
        is_administrator: bool,
    ) -> Result<(Arc<Tally>, Timestamp), Problem> {
        let mut tallied = self.tallied.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = &*tallied {
            let seldom = !is_administrator || !max_age.is_zero();
            let spared = if seldom { known.took * SELDOM } else { Duration::ZERO };
            if known.ended.elapsed() < max_age.max(spared) {
                return Ok((Arc::clone(&known.tally), known.at));
            }
        }
        let (began, at) = (Instant::now(), self.context.store.clock().now());
        let tally = operations::tally(&self.context, request)?;
        let ended = Instant::now();
        let took = ended.duration_since(began);
        *tallied = Some(Tallied { tally: Arc::clone(&tally), at, ended, took });
        Ok((tally, at))
    }

    /// What went through this node, and how its lanes stand.
    pub(super) fn vitals(&self) -> Answer {
        let millis = self.context.store.clock().now().as_millis();
        let counts = Vitals::new(millis, self.context.log.counts());
        let lanes = self.context.sight.lanes.look().into_iter().map(Into::into).collect();
        let warm_up = self.context.sight.lanes.warm_ups().into_iter().map(Into::into).collect();
        Answer::Vitals { counts, lanes, warm_up }
    }
}
