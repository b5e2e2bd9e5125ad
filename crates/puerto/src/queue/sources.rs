//! From which address a message leaves, and how much a new one may send. Times come in.
//!
//! Whose mail it is says which addresses may carry it, and each message has an order of its own
//! among them (`route::source`), so that it comes back from the same one. An address that is being
//! warmed up has a number of messages that it may give to each provider on a day; beyond that the
//! next in the order carries the message, and where there is none it waits for the next day.
//!
//! An address that a receiver turns away, as far as the DNS tells (`route::family`), carries nothing
//! there while another that may carry the message is right.
//!
//! Counted is what was taken and what is under way. A message that has met a receiver from one
//! address meets it from there again, also where that is one too many: whoever greylists would
//! begin anew. The counts are each node's own, which may use its share of a limit.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use foldhash::HashMap;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use puerto_smtp::{EnhancedCode, ReversePath};
use puerto_spool::{MessageId, Timestamp};
use serde::{Deserialize, Serialize};

use crate::cause::Cause;
use crate::config::{Config, Source};
use crate::deliver::{Outcome, share};
use crate::rights::{self, Place};
use crate::route::{DestinationKey, Plan, RouteFailure, source};

/// Plans and messages that are remembered.
const MOST_PLANS: usize = 4096;
const MOST_BOUND: usize = 50_000;
/// Octets of the file that are read.
const LONGEST_FILE: u64 = 16 * 1024 * 1024;
const DAY: i64 = 24 * 3600 * 1000;
/// Over how long after midnight what has waited for it comes.
const SPREAD: u64 = 10 * 60 * 1000;

/// Whose message it is that wants a way.
#[derive(Debug, Clone, Copy)]
pub(super) struct Whose<'a> {
    pub(super) id: MessageId,
    pub(super) reverse_path: &'a ReversePath,
    pub(super) account: Option<&'a str>,
}

/// See the module.
pub(super) struct Sources {
    state: Mutex<State>,
    file: PathBuf,
}

#[derive(Default)]
struct State {
    /// The plans that were made, by their keys, with what they were made of.
    plans: HashMap<DestinationKey, (Arc<Plan>, Arc<Plan>)>,
    /// From where messages were tried that are still on their way.
    bound: HashMap<MessageId, String>,
    sent: Sent,
    /// Under way, which are not in the file.
    running: HashMap<(String, String), u32>,
    unwritten: bool,
}

/// What was sent on a day, as the file has it.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Sent {
    day: String,
    /// Messages, by source and provider.
    messages: BTreeMap<String, BTreeMap<String, u32>>,
}

/// How a new address stands with one provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WarmUp {
    /// The source's name.
    pub source: String,
    /// The provider or its hosts; `None`: none has had anything today.
    pub provider: Option<String>,
    /// The day of its plan, from 1; 0: it has not begun.
    pub day: u32,
    /// Messages that one provider may get today from this node.
    pub limit: u32,
    /// Messages that it got today.
    pub sent: u32,
}

impl Sources {
    /// What a file in this folder has counted, if there is one.
    pub(super) fn load(state_dir: &Path) -> Self {
        let file = state_dir.join("warm-up.json");
        let read = rights::read_bounded(&file, None, LONGEST_FILE);
        let sent = read.ok().and_then(|octets| serde_json::from_slice(&octets).ok());
        let state = State { sent: sent.unwrap_or_default(), ..State::default() };
        Self { state: Mutex::new(state), file }
    }

    /// The plan by which a message goes directly: from which of several addresses.
    pub(super) fn plan(
        &self,
        (config, nodes): (&Config, u32),
        direct: &Arc<Plan>,
        whose: Whose<'_>,
        now: Timestamp,
    ) -> Result<Arc<Plan>, RouteFailure> {
        if config.sources.is_empty() || direct.is_relay {
            return Ok(Arc::clone(direct));
        }
        let from = (whose.reverse_path, whose.account);
        let order = source::order(config, from, &whose.id.to_string());
        if order.is_empty() {
            return Ok(Arc::clone(direct));
        }
        let mut state = self.state();
        let today = day_of(now);
        state.begin(today);
        let in_order: Vec<&Source> =
            order.iter().filter_map(|place| config.sources.get(*place)).collect();
        let (sound, avoided) = sound(direct, in_order, |s| limit_on(s, today, nodes) != Some(0));
        if let Some(bound) = state.bound.get(&whose.id).cloned()
            && let Some(source) = sound.iter().find(|source| source.name == bound)
            && let Some(plan) = state.plan_by(direct, source, avoided.as_ref())
        {
            return Ok(plan);
        }
        let (mut full, mut first) = (None, None::<(Date, &Source)>);
        for source in sound {
            let limit = limit_on(source, today, nodes);
            if let Some(begins) = source.begins.filter(|begins| *begins > today) {
                first = first.filter(|(day, _)| *day <= begins).or(Some((begins, source)));
            } else if limit.is_some_and(|limit| state.used(&source.name, &direct.key.0) >= limit) {
                full = full.or(limit.map(|limit| (source, limit)));
            } else if let Some(plan) = state.plan_by(direct, source, avoided.as_ref()) {
                return Ok(plan);
            }
        }
        let cause = match (full, first) {
            (Some((source, most)), _) => Cause::WarmUp {
                source: source.name.clone(),
                provider: direct.key.to_string(),
                most: most.into(),
            },
            (None, Some((begins, source))) => {
                Cause::NotBegun { source: source.name.clone(), begins: begins.to_string() }
            }
            (None, None) => Cause::NoSource { destination: direct.key.to_string() },
        };
        Err(RouteFailure { code: EnhancedCode::new(4, 4, 3), cause })
    }

    /// A message is about to be tried. `false`: others have used up what was left, and it is to
    /// be routed anew.
    pub(super) fn begin(&self, plan: &Plan, id: MessageId, nodes: u32, now: Timestamp) -> bool {
        let Some(leaving) = &plan.leaving else { return true };
        let (source, provider) = (&leaving.source, &*leaving.towards.0);
        let mut state = self.state();
        let today = day_of(now);
        state.begin(today);
        let is_known = state.bound.get(&id).is_some_and(|bound| *bound == source.name);
        let limit = limit_on(source, today, nodes);
        if !is_known && limit.is_some_and(|limit| state.used(&source.name, provider) >= limit) {
            return false;
        }
        if state.bound.len() >= MOST_BOUND {
            state.bound.clear();
        }
        state.bound.insert(id, source.name.clone());
        if source.begins.is_some() {
            *state.running.entry((source.name.clone(), provider.to_owned())).or_default() += 1;
        }
        true
    }

    /// It was tried: whether it was taken, and whether some of it waits.
    pub(super) fn ended(&self, plan: &Plan, id: MessageId, (taken, waits): (bool, bool)) {
        let Some(leaving) = &plan.leaving else { return };
        let mut state = self.state();
        if !waits {
            state.bound.remove(&id);
        }
        if leaving.source.begins.is_none() {
            return;
        }
        let key = (leaving.source.name.clone(), leaving.towards.to_string());
        if let Some(running) = state.running.get_mut(&key) {
            *running = running.saturating_sub(1);
        }
        if taken {
            let of_source = state.sent.messages.entry(key.0).or_default();
            *of_source.entry(key.1).or_default() += 1;
            state.unwritten = true;
        }
    }

    /// How the addresses stand that are being warmed up.
    pub(super) fn warm_ups(&self, (config, nodes): (&Config, u32), now: Timestamp) -> Vec<WarmUp> {
        let mut state = self.state();
        let today = day_of(now);
        state.begin(today);
        let mut all = Vec::new();
        for source in &config.sources {
            let Some(limit) = limit_on(source, today, nodes) else { continue };
            let day = source.begins.and_then(|begins| begins.until(today).ok());
            let day = day.and_then(|span| u32::try_from(span.get_days() + 1).ok()).unwrap_or(0);
            let name = &source.name;
            let row = |provider: Option<String>, sent| WarmUp {
                source: name.clone(),
                provider,
                day,
                limit,
                sent,
            };
            match state.sent.messages.get(name).filter(|sent| !sent.is_empty()) {
                None => all.push(row(None, 0)),
                Some(sent) => {
                    let mut rows: Vec<_> = sent.iter().collect();
                    rows.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
                    all.extend(rows.into_iter().map(|(to, n)| row(Some(to.clone()), *n)));
                }
            }
        }
        all
    }

    /// Whether something was counted that is not written.
    pub(super) fn is_unwritten(&self) -> bool {
        self.state().unwritten
    }

    /// Writes what was counted, if there is anything new. It blocks.
    pub(super) fn write(&self) -> std::io::Result<()> {
        let sent = {
            let mut state = self.state();
            if !std::mem::take(&mut state.unwritten) {
                return Ok(());
            }
            state.sent.clone()
        };
        let text = serde_json::to_string(&sent).map_err(std::io::Error::from)?;
        Place::of(&self.file)?.replace(text.as_bytes(), 0o640)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether this waits for the next day, or for that on which an address begins, and until when:
/// some time after midnight in UTC.
pub(super) fn next_day(outcome: &Outcome, now: Timestamp, dice: u64) -> Option<Timestamp> {
    let left = match &outcome.cause {
        Cause::WarmUp { .. } => DAY - now.as_millis().rem_euclid(DAY),
        Cause::NotBegun { begins, .. } => {
            let begins = begins.parse::<Date>().ok()?.to_zoned(TimeZone::UTC).ok()?;
            begins.timestamp().as_millisecond().saturating_sub(now.as_millis())
        }
        _ => return None,
    };
    let left = u64::try_from(left).unwrap_or_default() + dice % SPREAD;
    Some(now.after(Duration::from_millis(left)))
}

impl State {
    // What was counted on another day counts no more.
    fn begin(&mut self, today: Date) {
        let today = today.to_string();
        if self.sent.day != today {
            self.sent = Sent { day: today, messages: BTreeMap::new() };
        }
    }

    fn used(&self, source: &str, provider: &str) -> u32 {
        let sent = self.sent.messages.get(source).and_then(|sent| sent.get(provider));
        let running = self.running.get(&(source.to_owned(), provider.to_owned()));
        sent.copied().unwrap_or_default().saturating_add(running.copied().unwrap_or_default())
    }

    // The same one for all mail that may travel together.
    fn plan_by(
        &mut self,
        direct: &Arc<Plan>,
        source: &Source,
        avoided: Option<&Cause>,
    ) -> Option<Arc<Plan>> {
        let plan = direct.from_source(source)?;
        let avoided = avoided.cloned().or_else(|| plan.avoided.clone());
        let plan = Plan { avoided, ..plan };
        let is_same = |made: &Plan| made.leaving == plan.leaving && made.avoided == plan.avoided;
        if let Some((base, made)) = self.plans.get(&plan.key)
            && Arc::ptr_eq(base, direct)
            && is_same(made)
        {
            return Some(Arc::clone(made));
        }
        if self.plans.len() >= MOST_PLANS {
            self.plans.clear();
        }
        let plan = Arc::new(plan);
        self.plans.insert(plan.key.clone(), (Arc::clone(direct), Arc::clone(&plan)));
        Some(plan)
    }
}

// Without those that the receiver turns away, while there is another that has begun, and why the
// first of all is not used then.
fn sound<'a>(
    direct: &Plan,
    mut in_order: Vec<&'a Source>,
    has_begun: impl Fn(&Source) -> bool,
) -> (Vec<&'a Source>, Option<Cause>) {
    let reaches = |source: &Source| direct.from_source(source).is_some();
    let is_sound = |source: &Source| direct.against(source).is_none();
    if direct.guard.is_none()
        || !in_order.iter().any(|source| is_sound(source) && has_begun(source) && reaches(source))
    {
        return (in_order, None);
    }
    let avoided = in_order.first().and_then(|first| direct.against(first)).cloned();
    in_order.retain(|source| is_sound(source));
    (in_order, avoided)
}

fn limit_on(source: &Source, today: Date, nodes: u32) -> Option<u32> {
    let limit = source.limit_on(today)?;
    if limit == 0 {
        return Some(0);
    }
    let limit = share(usize::try_from(limit).unwrap_or(usize::MAX), nodes);
    Some(u32::try_from(limit).unwrap_or(u32::MAX))
}

fn day_of(now: Timestamp) -> Date {
    let time = jiff::Timestamp::from_millisecond(now.as_millis()).unwrap_or_default();
    time.to_zoned(TimeZone::UTC).date()
}
