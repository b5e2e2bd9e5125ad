//! Orders: pauses, holds and other ways, as they are given, shown and taken back.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use puerto_smtp::{Domain, ReversePath};
use puerto_spool::{Entry, Filter, RecipientState, RecipientStatus, SpoolError, Timestamp};
use serde::{Deserialize, Serialize};

use super::operations::{self, Problem};
use super::protocol::{ErrorCode, PausedView, Summary};
use super::server::Context;
use super::view::time;
use crate::config::{NextHop, domain_spellings};
use crate::orders::{Order, Standing, What};
use crate::route;
use crate::telemetry::Event;

/// Octets of a note.
const MAX_NOTE: usize = 500;
/// Orders at the same time: each message is compared with them.
const MAX_ORDERS: usize = 1000;

/// An order, from outside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderView {
    /// Its number, by which it is taken back.
    pub number: u64,
    /// What is ordered.
    #[serde(flatten)]
    pub what: What,
    /// When it was given, as in RFC 3339.
    pub since: String,
    /// When it ends, if it does by itself.
    pub until: Option<String>,
    /// The user who gave it.
    pub by: u32,
    /// What they say about it.
    pub note: Option<String>,
}

impl OrderView {
    /// The order as the store keeps it; `None`: a time in it is none.
    pub fn kept(&self) -> Option<String> {
        let at = |text: &String| {
            let read = text.parse::<jiff::Timestamp>().ok()?;
            Some(Timestamp::from_millis(read.as_millisecond()))
        };
        let until = match &self.until {
            Some(until) => Some(at(until)?),
            None => None,
        };
        let order = Order {
            what: self.what.clone(),
            since: at(&self.since)?,
            until,
            by: self.by,
            note: self.note.clone(),
        };
        serde_json::to_string(&order).ok()
    }

    fn new(number: u64, order: &Order) -> Self {
        Self {
            number,
            what: order.what.clone(),
            since: time(order.since),
            until: order.until.map(time),
            by: order.by,
            note: order.note.clone(),
        }
    }
}

/// All that are in force.
pub(super) fn list(context: &Context) -> Vec<OrderView> {
    let now = context.store.clock().now();
    let standing = context.sight.orders.get();
    standing.in_force(now).map(|(number, order)| OrderView::new(*number, order)).collect()
}

/// The number of a pause, and when it ends by itself.
pub(super) type Pause = (u64, Option<Timestamp>);

/// When what is due at a time is tried, if this pause keeps it; `None`: not before somebody
/// ends the pause. What it is put off to until then says nothing.
pub(super) fn tried_at(due: Timestamp, pause: Option<Pause>) -> Option<Timestamp> {
    pause.map_or(Some(due), |(_, until)| until.map(|until| until.max(due)))
}

/// The pauses of one moment, to be told of many messages.
#[derive(Debug, Clone)]
pub(super) struct Pauses {
    standing: Arc<Standing>,
    now: Timestamp,
}

impl Pauses {
    /// Those that are in force now.
    pub(super) fn of(context: &Context) -> Self {
        Self { standing: context.sight.orders.get(), now: context.store.clock().now() }
    }

    /// The one that a recipient waits for.
    pub(super) fn of_recipient(
        &self,
        from: &ReversePath,
        status: &RecipientStatus,
    ) -> Option<Pause> {
        if !self.standing.has_pauses() || status.state == RecipientState::Done {
            return None;
        }
        self.standing.pause_of(from, status.recipient.address.domain(), self.now)
    }

    /// The one that all mail for a domain waits for.
    pub(super) fn of_domain(&self, domain: &Domain) -> Option<Pause> {
        self.standing.pause_of_all(domain, self.now)
    }

    /// Whether there is any.
    pub(super) fn is_any(&self) -> bool {
        self.standing.has_pauses()
    }

    /// What is to be said of a message that was asked to be tried; `None`: all of it is.
    pub(super) fn keep(&self, entry: &Entry) -> Option<PausedView> {
        let open = entry.recipients.iter().filter(|status| status.state != RecipientState::Done);
        let pauses = open.map(|status| self.of_recipient(&entry.reverse_path, status));
        let (mut orders, mut in_part) = (BTreeSet::new(), false);
        for pause in pauses {
            match pause {
                Some((number, _)) => drop(orders.insert(number)),
                None => in_part = true,
            }
        }
        let orders: Vec<u64> = orders.into_iter().collect();
        (!orders.is_empty()).then(|| PausedView { id: entry.id.to_string(), orders, in_part })
    }

    /// Those that a message waits for.
    pub(super) fn of_message(&self, entry: &Entry) -> Vec<OrderView> {
        if !self.standing.has_pauses() {
            return Vec::new();
        }
        let from = &entry.reverse_path;
        let pauses = entry.recipients.iter().filter_map(|status| self.of_recipient(from, status));
        let numbers: BTreeSet<u64> = pauses.map(|(number, _)| number).collect();
        let orders = self.standing.in_force(self.now);
        let meant = orders.filter(|(number, _)| numbers.contains(number));
        meant.map(|(number, order)| OrderView::new(*number, order)).collect()
    }
}

/// Gives an order, for so many seconds if it is to end by itself.
pub(super) fn give(
    context: &Context,
    what: What,
    (seconds, note): (Option<u64>, Option<String>),
    uid: u32,
) -> Result<OrderView, Problem> {
    if let Some(fault) = what.fault() {
        return Err(Problem(ErrorCode::Malformed, fault.to_string()));
    }
    let what = what.without_final_dots();
    if seconds == Some(0) {
        let text = "the order would end at once: say for how many seconds it is to last".to_owned();
        return Err(Problem(ErrorCode::Malformed, text));
    }
    if let What::Reroute { to, via, .. } = &what {
        let config = context.config.get();
        if NextHop::parse(via).is_ok_and(|via| route::leads_here(&config, &via)) {
            let text = format!("{via} is this server itself: what goes there would come back");
            return Err(Problem(ErrorCode::NoEffect, text));
        }
        if Domain::parse(to).is_ok_and(|to| route::is_here(&config, &to)) {
            let text = format!("mail for {to} stays on this server: another way has no effect");
            return Err(Problem(ErrorCode::NoEffect, text));
        }
    }
    let now = context.store.clock().now();
    let note = note.map(|note| note.chars().take(MAX_NOTE).collect::<String>());
    let until = seconds.map(|seconds| now.after(Duration::from_secs(seconds)));
    let order = Order { what, since: now, until, by: uid, note };
    if context.sight.orders.get().orders.len() >= MAX_ORDERS {
        let text = format!("there are {MAX_ORDERS} orders already: take some back");
        return Err(Problem(ErrorCode::Failed, text));
    }
    let failed = |error: serde_json::Error| Problem(ErrorCode::Failed, error.to_string());
    let kept = serde_json::to_string(&order).map_err(failed)?;
    let number = context.desk.give_order(kept).wait()?;
    refresh(context)?;
    log(context, number, &order, &format!("given by uid {uid}, {}", end_of(&order)));
    Ok(OrderView::new(number, &order))
}

/// Takes orders back. What waited for one is tried now.
pub(super) fn take_back(context: &Context, numbers: &[u64], uid: u32) -> Result<Summary, Problem> {
    let standing = context.sight.orders.get();
    let mut summary = Summary::default();
    for number in numbers {
        if !context.desk.take_back_order(*number).wait()? {
            summary.missing.push(number.to_string());
            continue;
        }
        summary.count += 1;
        if let Some((_, order)) = standing.orders.iter().find(|(known, _)| known == number) {
            log(context, *number, order, &format!("taken back by uid {uid}"));
        }
    }
    refresh(context)?;
    for (number, order) in &standing.orders {
        if numbers.contains(number) {
            try_freed(context, &order.what)?;
        }
    }
    Ok(summary)
}

// What waits for a pause to end was put off until that end; what another way could not take
// has not been tried by its own.
fn try_freed(context: &Context, what: &What) -> Result<(), Problem> {
    match what {
        What::Pause { to, from } | What::Reroute { to, from, .. } => {
            try_now(context, to, from.as_deref())
        }
        What::Hold { .. } => Ok(()),
    }
}

fn try_now(context: &Context, to: &str, from: Option<&str>) -> Result<(), Problem> {
    let below = to.strip_prefix("*.");
    for destination in [Some(to), below].into_iter().flatten() {
        let filter = Filter {
            destination: domain_spellings(destination),
            from: from.map(domain_spellings).unwrap_or_default(),
            ..Filter::default()
        };
        let mut after = None;
        loop {
            let (_, next) = operations::flush_page(context, after, &filter, true)?;
            context.wake.wake();
            if next.is_none() {
                break;
            }
            after = next;
        }
    }
    Ok(())
}

/// Puts in force what the store has: another node may have given or taken back something.
pub(super) fn refresh(context: &Context) -> Result<(), SpoolError> {
    if context.sight.orders.replace(context.desk.orders().wait()?) {
        context.wake.wake();
    }
    Ok(())
}

/// The same, and takes back what has ended.
pub(super) fn tend(context: &Context) {
    let now = context.store.clock().now();
    // A store that gives no answer now is asked again; what is in force stays so.
    if refresh(context).is_err() {
        return;
    }
    let standing = context.sight.orders.get();
    let over: Vec<_> = standing.orders.iter().filter(|(_, order)| order.is_over(now)).collect();
    for (number, order) in &over {
        // Of several nodes, one has taken it back.
        if let Ok(true) = context.desk.take_back_order(*number).wait() {
            log(context, *number, order, "has ended");
        }
    }
    if !over.is_empty() {
        let _ = refresh(context);
        for (_, order) in &over {
            // What cannot be made due now has a time of its own.
            let _ = try_freed(context, &order.what);
        }
        context.wake.wake();
    }
}

fn end_of(order: &Order) -> String {
    order.until.map_or_else(
        || "until it is taken back".to_owned(),
        |end: Timestamp| format!("until {}", time(end)),
    )
}

fn log(context: &Context, number: u64, order: &Order, what: &str) {
    let note = order.note.as_ref().map(|note| format!(" ({note})")).unwrap_or_default();
    let text = format!("order {number}: {}: {what}{note}", described(&order.what));
    context.log.write(&Event::Notice { level: "info", component: "qmgr", id: None, text: &text });
}

fn described(what: &What) -> String {
    let from = |from: &Option<String>| from.as_ref().map(|from| format!(" from={from}"));
    match what {
        What::Pause { to, from: sender } => {
            format!("pause to={to}{}", from(sender).unwrap_or_default())
        }
        What::Reroute { to, from: sender, via } => {
            format!("reroute to={to}{} via={via}", from(sender).unwrap_or_default())
        }
        What::Hold { to, from: sender, account, larger } => {
            let to = to.as_ref().map(|to| format!(" to={to}"));
            let account = account.as_ref().map(|account| format!(" account={account}"));
            let larger = larger.map(|octets| format!(" larger={octets}"));
            let all = [to, from(sender), account, larger].into_iter().flatten();
            format!("hold{}", all.collect::<String>())
        }
    }
}
