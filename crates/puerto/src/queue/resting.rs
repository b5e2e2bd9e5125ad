//! Domains of which nothing is claimed for a while: a million messages for one that is dead
//! are looked at one share at a time, and cost the others nothing.

use std::collections::HashMap;
use std::time::Duration;

use puerto_smtp::Domain;
use tokio::time::Instant;

use super::work::Work;

/// For how long a domain rests of which something was suspended.
const SUSPENDED: Duration = Duration::from_secs(5);
/// The same in a pause that its destination asked for.
const PAUSED: Duration = Duration::from_secs(60);
/// Domains that may rest at the same time.
const MOST: usize = 1_000;

/// Those that rest, and until when.
#[derive(Default)]
pub(super) struct Resting(HashMap<Domain, Instant>);

impl Resting {
    /// The domains of this work's recipients rest: something of them was suspended.
    pub(super) fn suspended(&mut self, work: &Work) {
        self.rest(work, SUSPENDED);
    }

    /// The same in a pause until then, as long as that is likely to hold, so that a backlog
    /// keeps its order and is not given back again and again. Where the mail of others may
    /// have another way, it is looked at as soon as what is suspended.
    pub(super) fn paused(&mut self, work: &Work, until: Instant, others_may_go: bool) {
        let longest = if others_may_go { SUSPENDED } else { PAUSED };
        self.rest(work, until.saturating_duration_since(Instant::now()).min(longest));
    }

    fn rest(&mut self, work: &Work, span: Duration) {
        let until = Instant::now() + span;
        for leased in &work.job.recipients {
            let domain = leased.recipient.address.domain();
            if self.0.len() < MOST && !self.0.contains_key(domain) {
                self.0.insert(domain.clone(), until);
            }
        }
    }

    /// All are looked at again.
    pub(super) fn end(&mut self) {
        self.0.clear();
    }

    /// Those that rest now.
    pub(super) fn domains(&mut self) -> Vec<Domain> {
        let now = Instant::now();
        self.0.retain(|_, until| *until > now);
        self.0.keys().cloned().collect()
    }
}
