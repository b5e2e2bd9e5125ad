//! What the requests do to the queue. Everything here may take a while (a page of a
//! long queue, a read from the disk) and runs on threads that may block.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use puerto_mail::header::Header;
use puerto_smtp::Domain;
use puerto_spool::{
    Class, Classify, Desk, Edit, Entry, Filter, MessageId, Node, Page, PageRequest, RecipientState,
    Selector, SpoolError, Store, StoredContent, Tally, TallyRequest, Timestamp,
};

use super::ordering::Pauses;
use super::protocol::{Change, ErrorCode, HealthView, NodeView, PausedView, Selection, Summary};
use super::reasons;
use super::server::Context;
use super::view::{self, Keeps, MessageView};
use crate::cause::Cause;
use crate::config::{account_spellings, domain_spellings};
use crate::intake::Meant;
use crate::telemetry::Event;

/// Messages that are looked at in one go. The first answer to a client comes after
/// so many, however long the queue is.
pub(super) const PAGE: usize = 256;
/// The pages behind the first.
pub(super) const NEXT_PAGES: usize = 1024;

/// Octets of a message in which its header is looked for.
const HEADER_OCTETS: usize = 64 * 1024;

/// Octets of a message that are sent in one go.
const PIECE: u64 = 256 * 1024;

/// Why an operation was not done.
#[derive(Debug, Clone)]
pub(super) struct Problem(pub(super) ErrorCode, pub(super) String);

impl From<SpoolError> for Problem {
    fn from(error: SpoolError) -> Self {
        let code = match error {
            SpoolError::NotFound(_) => ErrorCode::NotFound,
            _ => ErrorCode::Failed,
        };
        Self(code, error.to_string())
    }
}

/// The page after `after` of the messages that are meant.
pub(super) fn page(
    desk: &dyn Desk,
    after: Option<MessageId>,
    filter: &Filter,
) -> Result<Page, Problem> {
    let limit = if after.is_none() { PAGE } else { NEXT_PAGES };
    let request = PageRequest { after, limit, filter: filter.clone() };
    Ok(desk.page(&request).wait()?)
}

/// What the store is asked for, where these domains are ours. It knows neither that U-labels and
/// A-labels are one name, nor how an account may be named.
pub(super) fn filter(
    selection: &Selection,
    (classify, domains): (&Classify, &[Domain]),
    now: Timestamp,
) -> Result<Filter, Problem> {
    if let Some(name) = selection.blank() {
        let text = format!("the condition `{name}` is empty: leave it out, or write `*`");
        return Err(Problem(ErrorCode::Malformed, text));
    }
    let selection = selection.clone();
    let class = selection.class.map(|name| match reasons::all().any(|known| known == name) {
        true => Ok(Class { name, of: Arc::clone(classify) }),
        false => {
            let text = format!("no reason is of a class {name:.40}");
            Err(Problem(ErrorCode::Malformed, text))
        }
    });
    let before = selection.older.map(|seconds| {
        let age = i64::try_from(seconds.saturating_mul(1000)).unwrap_or(i64::MAX);
        Timestamp::from_millis(now.as_millis().saturating_sub(age).saturating_add(1))
    });
    let ids: Result<Vec<MessageId>, Problem> =
        selection.ids.iter().map(|id| parse_id(id)).collect();
    let spelt = |condition: Option<String>| {
        condition.iter().flat_map(|text| domain_spellings(text)).collect::<Vec<_>>()
    };
    let account = selection.account.iter().flat_map(|name| account_spellings(name, domains));
    Ok(Filter {
        to: spelt(selection.to),
        from: spelt(selection.from),
        destination: spelt(selection.destination),
        reason: selection.reason,
        class: class.transpose()?,
        account: account.collect(),
        origin: selection.origin,
        held: selection.held,
        before,
        larger: selection.larger,
        ids: Some(ids?).filter(|ids| !ids.is_empty()),
    })
}

/// What is queued, counted.
pub(super) fn tally(context: &Context, request: &TallyRequest) -> Result<Arc<Tally>, Problem> {
    Ok(Arc::new(context.desk.tally(request).wait()?))
}

/// A message's octets, from their beginning.
pub(super) fn body(
    context: &Context,
    id: &str,
    uid: u32,
) -> Result<Box<dyn StoredContent>, Problem> {
    let id = parse_id(id)?;
    let content = context.store.content(id).wait()?;
    let cause = &Cause::ShownByHand { uid: u64::from(uid) };
    context.log.write(&Event::Remark { level: "info", component: "qmgr", id, cause });
    Ok(content)
}

/// A message as it stands, in hexadecimal, and its octets. The log says once in a session
/// that a copy is taken.
pub(super) fn parcel(
    context: &Context,
    id: &str,
    told: Option<u32>,
) -> Result<(String, Box<dyn StoredContent>), Problem> {
    let id = parse_id(id)?;
    let entry = context.desk.get(id).wait()?;
    let octets = puerto_spool::parcel::pack(&entry, context.store.clock().now())?;
    let content = puerto_spool::parcel::content(&*context.store, id)?;
    if let Some(uid) = told {
        let text = format!("uid {uid} takes a copy of the queue");
        let log = &context.log;
        log.write(&Event::Notice { level: "info", component: "qmgr", id: None, text: &text });
    }
    Ok((octets.iter().map(|octet| format!("{octet:02x}")).collect(), content))
}

/// The next octets of a message; none at its end.
pub(super) fn next_octets(content: &mut dyn StoredContent) -> Result<Vec<u8>, Problem> {
    let mut octets = Vec::new();
    std::io::Read::read_to_end(&mut std::io::Read::take(content, PIECE), &mut octets)
        .map_err(|error| Problem(ErrorCode::Failed, format!("cannot be read: {error}")))?;
    Ok(octets)
}

/// One message; `private`: with its header.
pub(super) fn show(context: &Context, id: &str, private: bool) -> Result<MessageView, Problem> {
    let id = parse_id(id)?;
    let entry = context.desk.get(id).wait()?;
    let mut view = MessageView::new(&entry, &Keeps::of(context));
    view.parked = view::ParkView::of(&entry, &context.sight.lanes);
    let expire = context.config.get().queue.expire;
    view.expires = (!entry.held).then(|| view::time(entry.received_at.after(expire)));
    if private {
        view.header = Some(header(context.store.as_ref(), id)?);
    }
    Ok(view)
}

fn header(store: &dyn Store, id: MessageId) -> Result<String, Problem> {
    let mut content = std::io::Read::take(store.content(id).wait()?, HEADER_OCTETS as u64);
    let mut octets = Vec::new();
    std::io::Read::read_to_end(&mut content, &mut octets).map_err(|error| {
        Problem(ErrorCode::Failed, format!("cannot read message {id}: {error}"))
    })?;
    let header = match Header::parse(&octets) {
        Ok(header) => header.octets(),
        Err(_) => &octets,
    };
    Ok(String::from_utf8_lossy(header).replace("\r\n", "\n"))
}

fn parse_id(id: &str) -> Result<MessageId, Problem> {
    id.parse().map_err(|error| Problem(ErrorCode::Malformed, format!("{id:.40}: {error}")))
}

/// Changes messages, and waits until that is durable. What was changed is logged: whoever
/// looks for a message that is gone finds there who removed it. Messages that are not in the
/// queue are told apart, since another administrator or a delivery may have been quicker;
/// so are those that would be tried if they were not held. A retry of messages that were
/// `chosen` for some of their recipients ends the pauses of the destinations of these alone.
pub(super) fn change(
    context: &Context,
    change: Change,
    uid: u32,
    (ids, chosen): (&[String], &Filter),
) -> Result<Summary, Problem> {
    let mut ids: Vec<MessageId> = ids.iter().map(|id| parse_id(id)).collect::<Result<_, _>>()?;
    let mut summary = Summary::default();
    let mut put_off = Vec::new();
    if change == Change::Release {
        let looked = to_be_released(context, &ids)?;
        let free = |id: &MessageId| looked.get(id).is_some_and(|seen| !seen.is_held);
        ids.retain(|id| !free(id));
        for (id, seen) in &looked {
            summary.not_held.extend((!seen.is_held).then(|| id.to_string()));
            put_off.extend(seen.is_put_off.then_some(*id));
        }
    }
    match change {
        Change::Retry => context.wake.expect_retry(meant(context, &ids, chosen)?),
        Change::Release => {
            context.wake.expect_retry(ids.iter().map(|id| (*id, Meant::All)).collect());
        }
        Change::Hold | Change::Remove => {}
    }
    let answers = context.desk.edit(&ids, edit(change)).wait();
    let mut failed = None;
    for (id, answer) in ids.iter().copied().zip(answers) {
        match answer {
            Ok(()) => {
                summary.count += 1;
                log_change(context, change, uid, id);
            }
            Err(SpoolError::NotFound(_)) => summary.missing.push(id.to_string()),
            Err(SpoolError::Held(_)) => summary.held.push(id.to_string()),
            Err(error) => failed = Some(error),
        }
    }
    // Whoever releases mail wants it to go. What it waited for before, such as a pause that has
    // ended meanwhile, is passed. Who is gone by now, or held again, is somebody else's doing.
    context.desk.edit(&put_off, Edit::Retry).wait();
    if change == Change::Retry {
        summary.paused = kept_by_pauses(context, &ids)?;
        let whole = summary.paused.iter().filter(|paused| !paused.in_part).count();
        summary.count = summary.count.saturating_sub(whole as u64);
    }
    failed.map_or(Ok(summary), |error| Err(error.into()))
}

/// How a message stands that is to be released.
struct Seen {
    is_held: bool,
    /// It is held, and would not be tried at once without that.
    is_put_off: bool,
}

fn to_be_released(
    context: &Context,
    ids: &[MessageId],
) -> Result<BTreeMap<MessageId, Seen>, Problem> {
    let now = context.store.clock().now();
    let is_later = |state: &RecipientState| matches!(state, RecipientState::Due(at) if *at > now);
    let seen = of_these(context.desk.as_ref(), (ids, None), |entry| {
        let is_put_off =
            entry.held && entry.recipients.iter().any(|status| is_later(&status.state));
        Some((entry.id, Seen { is_held: entry.held, is_put_off }))
    })?;
    Ok(seen.into_iter().collect())
}

// The recipients for which these were chosen.
fn meant(
    context: &Context,
    ids: &[MessageId],
    chosen: &Filter,
) -> Result<Vec<(MessageId, Meant)>, Problem> {
    let selector = chosen.compiled();
    if !selector.looks_at_recipients() {
        return Ok(ids.iter().map(|id| (*id, Meant::All)).collect());
    }
    of_these(context.desk.as_ref(), (ids, Some(false)), |entry| whom(entry, &selector))
}

fn whom(entry: &Entry, selector: &Selector) -> Option<(MessageId, Meant)> {
    let fit = selector.selected(entry).map(|status| status.recipient.address.domain().clone());
    let domains: HashSet<_> = fit.collect();
    (!domains.is_empty()).then_some((entry.id, Meant::In(domains)))
}

// Those of these that are not tried, or not all of them, until a pause ends.
fn kept_by_pauses(context: &Context, ids: &[MessageId]) -> Result<Vec<PausedView>, Problem> {
    let pauses = Pauses::of(context);
    if !pauses.is_any() {
        return Ok(Vec::new());
    }
    of_these(context.desk.as_ref(), (ids, Some(false)), |entry| pauses.keep(entry))
}

// What there is to say of those of these that are in the queue, and held or not.
fn of_these<T>(
    desk: &dyn Desk,
    (ids, held): (&[MessageId], Option<bool>),
    say: impl Fn(&Entry) -> Option<T>,
) -> Result<Vec<T>, Problem> {
    let filter = Filter { ids: Some(ids.to_vec()), held, ..Filter::default() };
    let (mut all, mut after) = (Vec::new(), None);
    loop {
        let page = page(desk, after, &filter)?;
        all.extend(page.entries.iter().filter_map(&say));
        after = page.next;
        if after.is_none() {
            return Ok(all);
        }
    }
}

fn log_change(context: &Context, change: Change, uid: u32, id: MessageId) {
    let uid = u64::from(uid);
    let cause = &match change {
        Change::Retry => Cause::TriedByHand { uid },
        Change::Hold => Cause::HeldByHand { uid },
        Change::Release => Cause::ReleasedByHand { uid },
        Change::Remove => Cause::RemovedByHand { uid },
    };
    let log = &context.log;
    log.write(&Event::Remark { level: "info", component: "qmgr", id, cause });
    if change == Change::Remove {
        log.write(&Event::Removed { id });
    }
}

fn edit(change: Change) -> Edit {
    match change {
        Change::Retry => Edit::Retry,
        Change::Hold => Edit::Hold,
        Change::Release => Edit::Release,
        Change::Remove => Edit::Remove,
    }
}

/// Makes one message due now, unless it is held. An administrator's ends the pauses of its
/// destinations.
pub(super) fn flush_one(
    context: &Context,
    id: &str,
    is_administrators: bool,
) -> Result<Summary, Problem> {
    let id = parse_id(id)?;
    if is_administrators {
        context.wake.expect_retry(vec![(id, Meant::All)]);
    }
    let mut summary = Summary::default();
    match context.desk.edit(&[id], Edit::Retry).wait().pop() {
        Some(Err(SpoolError::Held(_))) => summary.held.push(id.to_string()),
        Some(Err(error)) => return Err(error.into()),
        Some(Ok(())) | None => {
            summary.paused = kept_by_pauses(context, &[id])?;
            summary.count = u64::from(summary.paused.iter().all(|paused| paused.in_part));
        }
    }
    Ok(summary)
}

/// Makes the next page of waiting messages due now. An administrator's ends the pauses of
/// their destinations.
pub(super) fn flush_page(
    context: &Context,
    after: Option<MessageId>,
    filter: &Filter,
    is_administrators: bool,
) -> Result<(Summary, Option<MessageId>), Problem> {
    let filter = Filter { held: Some(false), ..filter.clone() };
    let Page { entries, next } = page(context.desk.as_ref(), after, &filter)?;
    let ids: Vec<MessageId> = entries.iter().map(|entry| entry.id).collect();
    if is_administrators {
        let selector = filter.compiled();
        context
            .wake
            .expect_retry(entries.iter().filter_map(|entry| whom(entry, &selector)).collect());
    }
    // A lost flush costs nobody anything, so nobody waits for the disk.
    drop(context.desk.edit(&ids, Edit::Retry));
    Ok((Summary { count: ids.len() as u64, ..Summary::default() }, next))
}

/// How the server fares.
pub(super) fn health(context: &Context) -> Result<HealthView, Problem> {
    let health = context.desk.health().wait()?;
    let config = context.config.get();
    Ok(HealthView {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        hostname: config.hostname.clone(),
        origin: config.sender_domain().map(ToString::to_string),
        local: config.domains.first().map(ToString::to_string),
        messages: health.messages,
        recipients: health.recipients,
        octets: health.octets,
        disk_octets: health.disk_octets,
        refusing: health.refusing.as_ref().map(ToString::to_string),
        hindrance: health.refusing,
        damaged: health.damaged,
        unreadable: health.unreadable,
    })
}

/// Who shares the queue.
pub(super) fn nodes(context: &Context) -> Result<Vec<NodeView>, Problem> {
    let nodes = context.desk.nodes().wait()?;
    let config = context.config.get();
    // A queue that is not shared does not know what the configuration calls its one node.
    let alone = config.store.url.is_none().then(|| config.store.node.clone());
    let view = |node: Node| NodeView {
        name: alone.clone().unwrap_or(node.name),
        alive: node.alive,
        stopped: node.stopped,
        since: view::time(node.since),
        seen: view::time(node.seen),
        leases: node.leases,
        version: node.version,
        is_this: node.is_this,
    };
    Ok(nodes.into_iter().map(view).collect())
}
