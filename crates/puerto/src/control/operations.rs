//! What the requests do to the queue. Everything here may take a while (a page of a
//! long queue, a read from the disk) and runs on threads that may block.

use puerto_mail::header::Header;
use puerto_spool::{Edit, Entry, ListRequest, MessageId, Spool, SpoolError, Ticket};

use super::protocol::{Change, ErrorCode, HealthView, Selector, Summary};
use super::server::Context;
use super::view::{self, MessageView};
use crate::telemetry::Event;

/// Messages that are looked at in one go. The first answer to a client comes after
/// so many, however long the queue is.
pub(super) const PAGE: usize = 256;

/// Octets of a message in which its header is looked for.
const HEADER_OCTETS: usize = 64 * 1024;

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

/// One step through the queue.
#[derive(Debug, Default)]
pub(super) struct Page {
    /// Those that are meant.
    pub(super) entries: Vec<Entry>,
    /// Where the next page begins; `None` at the end.
    pub(super) next: Option<MessageId>,
}

/// The page after `after`.
pub(super) fn page(
    spool: &dyn Spool,
    after: Option<MessageId>,
    selector: &Selector,
) -> Result<Page, Problem> {
    let mut entries = spool.list(&ListRequest { after, limit: PAGE })?;
    let next = entries.last().map(|entry| entry.id);
    entries.retain(|entry| selector.selects(entry));
    Ok(Page { entries, next })
}

/// One message; `private`: with its header.
pub(super) fn show(context: &Context, id: &str, private: bool) -> Result<MessageView, Problem> {
    let id = parse_id(id)?;
    let entry = context.spool.get(id)?;
    let mut view = MessageView::new(&entry);
    let expire = context.config.get().queue.expire;
    view.expires = Some(view::time(entry.received_at.after(expire)));
    if private {
        view.header = Some(header(context.spool.as_ref(), id)?);
    }
    Ok(view)
}

fn header(spool: &dyn Spool, id: MessageId) -> Result<String, Problem> {
    let mut content = std::io::Read::take(spool.content(id)?, HEADER_OCTETS as u64);
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

/// A change that was made in the queue's index but may not be durable yet.
pub(super) struct Pending {
    /// The message.
    pub(super) id: MessageId,
    ticket: Ticket<Result<(), SpoolError>>,
}

/// Begins to change messages. Messages that are not in the queue are told apart, since
/// another administrator or a delivery may have been quicker; so are those that would be
/// tried if they were not held.
pub(super) fn change(
    spool: &dyn Spool,
    change: Change,
    ids: &[String],
) -> Result<(Vec<Pending>, Summary), Problem> {
    let ids: Vec<MessageId> = ids.iter().map(|id| parse_id(id)).collect::<Result<_, _>>()?;
    let mut pending = Vec::with_capacity(ids.len());
    let mut summary = Summary::default();
    for id in ids {
        if change == Change::Retry && spool.get(id).is_ok_and(|entry| entry.held) {
            summary.held.push(id.to_string());
            continue;
        }
        match spool.edit(id, edit(change)) {
            Ok(ticket) => pending.push(Pending { id, ticket }),
            Err(SpoolError::NotFound(_)) => summary.missing.push(id.to_string()),
            Err(error) => return Err(error.into()),
        }
    }
    Ok((pending, summary))
}

fn edit(change: Change) -> Edit {
    match change {
        Change::Retry => Edit::Retry,
        Change::Hold => Edit::Hold,
        Change::Release => Edit::Release,
        Change::Remove => Edit::Remove,
    }
}

/// Waits until changes are durable, and writes them to the log: whoever looks for a
/// message that is gone finds there who removed it.
pub(super) async fn settle(
    context: &Context,
    change: Change,
    uid: u32,
    pending: Vec<Pending>,
) -> Result<u64, Problem> {
    let mut count = 0;
    for Pending { id, ticket } in pending {
        match ticket.await {
            Ok(()) => {}
            Err(SpoolError::NotFound(_)) => continue,
            Err(error) => return Err(error.into()),
        }
        count += 1;
        let what = match change {
            Change::Retry => "to be tried now",
            Change::Hold => "placed on hold",
            Change::Release => "released from hold",
            Change::Remove => "removed from the queue",
        };
        let text = format!("{what} by uid {uid}");
        let log = &context.log;
        log.write(&Event::Notice { level: "info", component: "qmgr", id: Some(id), text: &text });
        if change == Change::Remove {
            log.write(&Event::Removed { id });
        }
    }
    Ok(count)
}

/// Makes one message due now, unless it is held.
pub(super) fn flush_one(spool: &dyn Spool, id: &str) -> Result<Summary, Problem> {
    let id = parse_id(id)?;
    if spool.get(id)?.held {
        return Ok(Summary { held: vec![id.to_string()], ..Summary::default() });
    }
    spool.edit(id, Edit::Retry)?;
    Ok(Summary { count: 1, ..Summary::default() })
}

/// Makes the next page of waiting messages due now.
pub(super) fn flush_page(
    spool: &dyn Spool,
    after: Option<MessageId>,
    selector: &Selector,
) -> Result<(Summary, Option<MessageId>), Problem> {
    let Page { entries, next } = page(spool, after, selector)?;
    let mut summary = Summary::default();
    for entry in entries.iter().filter(|entry| !entry.held) {
        match spool.edit(entry.id, Edit::Retry) {
            // A lost flush costs nobody anything, so nobody waits for the disk.
            Ok(_) => summary.count += 1,
            Err(SpoolError::NotFound(_)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok((summary, next))
}

/// How the server fares.
pub(super) fn health(context: &Context) -> HealthView {
    let health = context.spool.health();
    let config = context.config.get();
    HealthView {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        hostname: config.hostname.clone(),
        origin: config.sender_domain().map(ToString::to_string),
        local: config.domains.first().map(ToString::to_string),
        messages: health.messages,
        recipients: health.recipients,
        octets: health.octets,
        disk_octets: health.disk_octets,
        refusing: health.refusing,
        damaged: health.damaged,
        unreadable: health.unreadable,
    }
}
