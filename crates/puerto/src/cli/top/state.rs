//! What is known of a queue that is looked at again and again.

use crate::control::overview::{Destination, LaneView, Overview, Vitals, WarmUpView};
use crate::control::protocol::{HealthView, NodeView};
use crate::lang::Language;

use super::Trouble;

/// One look.
#[derive(Clone)]
pub(super) struct Look {
    pub(super) counts: Vitals,
    pub(super) lanes: Vec<LaneView>,
    pub(super) warm_up: Vec<WarmUpView>,
    pub(super) overview: Overview,
    pub(super) nodes: Vec<NodeView>,
    pub(super) health: HealthView,
}

/// How much happens in a second.
#[derive(Debug, Clone, Copy, Default, PartialEq, serde::Serialize)]
pub(super) struct Rates {
    pub(super) accepted: f64,
    pub(super) delivered: f64,
    pub(super) deferred: f64,
    pub(super) bounced: f64,
    pub(super) rejected: f64,
}

impl Rates {
    // Of a server that was started in between, nothing is known.
    fn between(before: &Vitals, after: &Vitals) -> Self {
        let millis = after.millis.saturating_sub(before.millis);
        if millis <= 0 {
            return Self::default();
        }
        let rate = |before: u64, after: u64| {
            let count = u32::try_from(after.saturating_sub(before)).unwrap_or(u32::MAX);
            let millis = u32::try_from(millis).unwrap_or(u32::MAX);
            f64::from(count) * 1000.0 / f64::from(millis)
        };
        Self {
            accepted: rate(before.accepted, after.accepted),
            delivered: rate(before.delivered, after.delivered),
            deferred: rate(before.deferred, after.deferred),
            bounced: rate(before.bounced, after.bounced),
            rejected: rate(before.rejected, after.rejected),
        }
    }
}

/// By what destinations are ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sort {
    Recipients,
    Oldest,
    Next,
    Name,
}

impl Sort {
    pub(super) fn next(self) -> Self {
        match self {
            Self::Recipients => Self::Oldest,
            Self::Oldest => Self::Next,
            Self::Next => Self::Name,
            Self::Name => Self::Recipients,
        }
    }
}

/// See the module.
pub(super) struct State {
    pub(super) language: Language,
    pub(super) colour: bool,
    pub(super) look: Option<Look>,
    pub(super) rates: Rates,
    pub(super) sort: Sort,
    /// The first destination that is shown.
    pub(super) first: usize,
    /// It is not looked again until it goes on.
    pub(super) stands: bool,
    /// Why the last look failed.
    pub(super) trouble: Option<Trouble>,
}

impl State {
    pub(super) fn new(language: Language, colour: bool) -> Self {
        Self {
            language,
            colour,
            look: None,
            rates: Rates::default(),
            sort: Sort::Recipients,
            first: 0,
            stands: false,
            trouble: None,
        }
    }

    /// Takes another look in.
    pub(super) fn take(&mut self, look: Look) {
        if let Some(before) = &self.look {
            self.rates = Rates::between(&before.counts, &look.counts);
        }
        self.trouble = None;
        self.look = Some(look);
    }

    /// The destinations in the order that was asked for.
    pub(super) fn destinations(&self) -> Vec<&Destination> {
        let Some(look) = &self.look else { return Vec::new() };
        let mut all: Vec<&Destination> = look.overview.destinations.iter().collect();
        // Times as RFC 3339 has them in UTC are ordered as texts; what has none comes last.
        let time = |time: &Option<String>| (time.is_none(), time.clone());
        match self.sort {
            Sort::Recipients => {}
            Sort::Oldest => all.sort_by_key(|one| time(&one.recipients.oldest)),
            Sort::Next => all.sort_by_key(|one| time(&one.recipients.next_attempt)),
            Sort::Name => all.sort_by_key(|one| one.domain.clone()),
        }
        all
    }

    /// All of it, for programs.
    pub(super) fn document(&self) -> serde_json::Value {
        let look = self.look.as_ref().map(|look| {
            serde_json::json!({
                "counts": look.counts,
                "queue": look.overview,
                "lanes": look.lanes,
                "warm_up": look.warm_up,
                "nodes": look.nodes,
                "health": look.health,
            })
        });
        let mut document = look.unwrap_or_default();
        if let Some(object) = document.as_object_mut() {
            object.insert("rates".to_owned(), serde_json::json!(self.rates));
        }
        document
    }
}
