//! What is known of a message, or of those of an address: the queue's own knowledge joined
//! with the history's.
//!
//! Root and the server's own user may ask for everything; others for what they have handed
//! over themselves on this machine.

use std::collections::BTreeSet;

use puerto_smtp::Address;
use puerto_spool::{Entry, Filter, MessageId, Origin, PageRequest, SpoolError};
use serde::{Deserialize, Serialize};

use super::operations::Problem;
use super::ordering::OrderView;
use super::server::Context;
use super::view::{self, Keeps, MessageView};
use crate::config::{distance, domain_spellings};
use crate::history::fact::Fact;
use crate::history::{Happened, History, Key};

/// Messages that are shown of those that fit.
const MOST: usize = 50;
/// Of those of others, how many are looked at for one's own.
const MOST_LOOKED_AT: usize = 1000;
/// Messages of the queue that are looked at in one go.
const PIECE: usize = 1024;
/// Recipients that a list names.
const MOST_NAMED: usize = 3;
/// Notes in which names are looked for that were perhaps meant.
const LOOKED_AT_FOR_NAMES: usize = 2000;

/// All that is known of a message.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StoryView {
    /// Its id.
    pub id: String,
    /// What became of it, in order.
    pub events: Vec<Happened>,
    /// How it stands in the queue, if it is there.
    pub queued: Option<MessageView>,
    /// The pauses that it waits for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub paused: Vec<OrderView>,
}

/// One of several messages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MatchView {
    /// Its id.
    pub id: String,
    /// When it came, as in RFC 3339.
    pub at: String,
    /// The reverse-path; empty for a notification.
    pub from: String,
    /// The first recipients.
    pub to: Vec<String>,
    /// How many there are in all.
    pub recipients: u64,
    /// What became of it.
    pub state: Standing,
}

/// What became of a message, in a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// It is in the queue, and held.
    Held,
    /// It is in the queue.
    Waiting,
    /// All recipients have it.
    Sent,
    /// Some recipient does not have it, and never will.
    Failed,
    /// It was refused.
    Refused,
    /// Somebody has removed it.
    Removed,
    /// The history does not tell.
    Unknown,
}

/// Why nothing is told.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct UnknownView {
    /// Whether a history is kept.
    pub on: bool,
    /// Since when, as in RFC 3339; `None`: nothing is in it.
    pub since: Option<String>,
    /// When the id was given, if it is one.
    pub given: Option<String>,
    /// Names that are nearly the same.
    pub similar: Vec<String>,
    /// Whether only one's own messages were looked for.
    pub own_only: bool,
}

/// What is answered.
pub(super) enum Told {
    Story(Box<StoryView>),
    Matches(Vec<MatchView>),
    Unknown(UnknownView),
}

/// Who asks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asker {
    pub(super) uid: u32,
    pub(super) is_administrator: bool,
}

/// Tells what is known by an id, a Message-ID or an address. Waits for the disk.
pub(super) fn why(context: &Context, what: &str, asker: Asker) -> Result<Told, Problem> {
    let what = what.trim();
    if what.trim_matches(['<', '>']).is_empty() {
        return Ok(Told::Unknown(unknown(context, what, asker)?));
    }
    if let Ok(id) = what.parse::<MessageId>()
        && let Some(story) = story(context, id, asker)?
    {
        return Ok(Told::Story(Box::new(story)));
    }
    let mut stories = Vec::new();
    for id in candidates(context, what)?.into_iter().take(MOST_LOOKED_AT) {
        stories.extend(story(context, id, asker)?);
        if stories.len() >= MOST {
            break;
        }
    }
    match stories.len() {
        0 => Ok(Told::Unknown(unknown(context, what, asker)?)),
        1 => Ok(stories
            .pop()
            .map_or_else(|| Told::Matches(Vec::new()), |story| Told::Story(Box::new(story)))),
        _ => Ok(Told::Matches(stories.iter().map(StoryView::brief).collect())),
    }
}

/// Forgets all finished messages from or to an address.
pub(super) fn forget(context: &Context, address: &str) -> Result<u64, Problem> {
    let Some(history) = &context.history else { return Ok(0) };
    let spellings = domain_spellings(address).into_iter();
    spellings.map(|address| forget_one(context, history, &address)).sum()
}

fn forget_one(context: &Context, history: &History, address: &str) -> Result<u64, Problem> {
    let (mut forgotten, mut waiting) = (0, BTreeSet::new());
    loop {
        // What still waits stays among those that are found.
        let mut ids = history.find(Key::Address(address), MOST_LOOKED_AT + waiting.len())?;
        ids.retain(|id| !waiting.contains(id));
        waiting.extend(queued(context, &ids)?);
        ids.retain(|id| !waiting.contains(id));
        let count = if ids.is_empty() { 0 } else { history.forget(&ids)? };
        forgotten += count;
        if count == 0 {
            return Ok(forgotten);
        }
    }
}

// Those of these that are in the queue: their story is not at its end.
fn queued(context: &Context, ids: &[MessageId]) -> Result<Vec<MessageId>, Problem> {
    let mut queued = Vec::new();
    for id in ids {
        match context.desk.get(*id).wait() {
            Ok(_) => queued.push(*id),
            Err(SpoolError::NotFound(_)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(queued)
}

fn candidates(context: &Context, what: &str) -> Result<Vec<MessageId>, Problem> {
    let bare = what.trim_matches(['<', '>']);
    let addresses = addresses(context, bare);
    let mut ids = Vec::new();
    if let Some(history) = &context.history {
        ids = history.find(Key::MessageId(bare), MOST_LOOKED_AT)?;
        if ids.is_empty() {
            for address in &addresses {
                ids.extend(history.find(Key::Address(address), MOST_LOOKED_AT)?);
            }
        }
    }
    // What waits may be older than the history.
    if ids.is_empty() {
        for address in &addresses {
            ids.extend(waiting(context, address)?);
        }
    }
    ids.sort_unstable_by(|a, b| b.cmp(a));
    ids.dedup();
    Ok(ids)
}

// The messages in the queue of exactly this sender or recipient.
fn waiting(context: &Context, address: &str) -> Result<Vec<MessageId>, Problem> {
    let mut ids = Vec::new();
    let is_it = |known: &Address| known.to_string().eq_ignore_ascii_case(address);
    let fits = |entry: &Entry| {
        let mut recipients = entry.recipients.iter();
        entry.reverse_path.address().is_some_and(is_it)
            || recipients.any(|status| is_it(&status.recipient.address))
    };
    for filter in [
        Filter { to: vec![address.to_owned()], ..Filter::default() },
        Filter { from: vec![address.to_owned()], ..Filter::default() },
    ] {
        let mut after = None;
        loop {
            let request = PageRequest { after, limit: PIECE, filter: filter.clone() };
            let page = context.desk.page(&request).wait()?;
            ids.extend(page.entries.iter().filter(|entry| fits(entry)).map(|entry| entry.id));
            after = page.next;
            if after.is_none() {
                break;
            }
        }
    }
    Ok(ids)
}

// As it is written, as addresses are kept, and completed if it is the name of a user.
fn addresses(context: &Context, bare: &str) -> Vec<String> {
    if bare.contains('@') {
        let kept = Address::parse(bare).map(|address| address.to_string());
        let spelt = [Ok(bare.to_owned()), kept].into_iter().flatten();
        return spelt.flat_map(|address| domain_spellings(&address)).collect();
    }
    let config = context.config.get();
    let domains = config.domains.iter().chain(&config.origin);
    domains.map(|domain| format!("{bare}@{domain}")).collect()
}

fn story(context: &Context, id: MessageId, asker: Asker) -> Result<Option<StoryView>, Problem> {
    let events = match &context.history {
        Some(history) => history.of(id)?,
        None => Vec::new(),
    };
    let entry = match context.desk.get(id).wait() {
        Ok(entry) => Some(entry),
        Err(SpoolError::NotFound(_)) => None,
        Err(error) => return Err(error.into()),
    };
    let is_own = entry.as_ref().is_some_and(|entry| entry.origin == Origin::LocalUser(asker.uid))
        || events.iter().any(|happened| {
            matches!(&happened.fact, Fact::FromLocalUser { uid, .. } if *uid == asker.uid)
        });
    if !(asker.is_administrator || is_own) || (events.is_empty() && entry.is_none()) {
        return Ok(None);
    }
    let queued = entry.map(|entry| {
        let mut view = MessageView::new(&entry, &Keeps::of(context));
        view.parked = view::ParkView::of(&entry, &context.sight.lanes);
        let expire = context.config.get().queue.expire;
        view.expires = (!entry.held).then(|| view::time(entry.received_at.after(expire)));
        view
    });
    let paused = queued.as_ref().map(|view| view.paused.clone()).unwrap_or_default();
    Ok(Some(StoryView { id: id.to_string(), events, queued, paused }))
}

fn unknown(context: &Context, what: &str, asker: Asker) -> Result<UnknownView, Problem> {
    let given = what.parse::<MessageId>().ok().map(|id| view::time(id.given_at()));
    let own_only = !asker.is_administrator;
    let Some(history) = &context.history else {
        return Ok(UnknownView { given, own_only, ..UnknownView::default() });
    };
    let since = history.since()?.map(view::time);
    let similar = match asker.is_administrator && given.is_none() {
        true => similar(what, history.recent_names(LOOKED_AT_FOR_NAMES)?),
        false => Vec::new(),
    };
    Ok(UnknownView { on: history.is_on(), since, given, similar, own_only })
}

/// Names that differ from what was asked for by a slip or two.
fn similar(what: &str, mut names: Vec<String>) -> Vec<String> {
    let asked = what.trim_matches(['<', '>']).to_lowercase();
    let most = if asked.chars().count() < 8 { 1 } else { 2 };
    names.sort_unstable();
    names.dedup();
    let bare = |name: &str| name.trim_matches(['<', '>']).to_lowercase();
    let mut near: Vec<(usize, String)> = names
        .into_iter()
        .map(|name| (distance(&asked, &bare(&name)), name))
        .filter(|(distance, _)| *distance <= most)
        .collect();
    near.sort();
    near.into_iter().take(3).map(|(_, name)| name).collect()
}

impl StoryView {
    /// What became of it, in a word.
    pub fn standing(&self) -> Standing {
        match &self.queued {
            Some(queued) if queued.held => return Standing::Held,
            Some(_) => return Standing::Waiting,
            None => {}
        }
        let (mut sent, mut failed, mut removed) = (false, false, false);
        for happened in &self.events {
            match &happened.fact {
                Fact::Delivery(tried) => {
                    sent |= tried.status == "sent";
                    failed |= tried.status == "bounced";
                }
                Fact::Expired => failed = true,
                Fact::Reject { .. } => return Standing::Refused,
                Fact::Removed => removed = true,
                _ => {}
            }
        }
        match (failed, sent, removed) {
            (true, ..) => Standing::Failed,
            (false, true, true) => Standing::Sent,
            (false, false, true) => Standing::Removed,
            _ => Standing::Unknown,
        }
    }

    fn brief(&self) -> MatchView {
        let at = self.events.first().map(|happened| &happened.at);
        let queued = self.queued.as_ref();
        let at = at.or(queued.map(|queued| &queued.arrived)).cloned().unwrap_or_default();
        let ready = self.events.iter().find_map(|happened| match &happened.fact {
            Fact::Prepared(ready) => Some(ready),
            _ => None,
        });
        let (from, all, more) = match (ready, queued) {
            (Some(ready), _) => (ready.from.clone(), ready.to.clone(), ready.more_to),
            (None, Some(queued)) => {
                let to = queued.recipients.iter().map(|recipient| recipient.address.clone());
                (queued.from.clone(), to.collect(), 0)
            }
            (None, None) => (String::new(), Vec::new(), 0),
        };
        let recipients = all.len() as u64 + more;
        let to = all.into_iter().take(MOST_NAMED).collect();
        MatchView { id: self.id.clone(), at, from, to, recipients, state: self.standing() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_were_perhaps_meant_are_few_slips_away() {
        let names = ["ana@example.com", "ann@example.com", "<1@host>", "ana@example.com"];
        let names = || names.map(str::to_owned).to_vec();
        assert_eq!(similar("ana@exampel.com", names()), ["ana@example.com"]);
        assert_eq!(similar("anb@example.com", names()), ["ana@example.com", "ann@example.com"]);
        assert_eq!(similar("2@host", names()), ["<1@host>"]);
        assert!(similar("somebody@example.net", names()).is_empty());
    }
}
