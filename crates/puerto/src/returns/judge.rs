//! Whether a report is to be believed, and which message it belongs to.

use puerto_smtp::{Address, Verp};
use puerto_spool::MessageId;

use super::Known;
use crate::cause::Cause;
use crate::cause::field::Spoken;
use crate::explain::{Fate, News, Returned};
use crate::lang::said;

/// Messages that are looked at for one report.
const MOST: usize = 20;

/// A report, and where it came to.
pub(super) struct Asked<'a> {
    pub(super) report: &'a Returned,
    /// The addresses of ours that it came to.
    pub(super) came_to: &'a [Address],
    /// Our name in trace fields.
    pub(super) hostname: &'a str,
    /// What may stand in an envelope sender that names its recipient.
    pub(super) delimiters: &'a [Verp],
}

/// What a report tells about one of our messages.
pub(super) struct Found<'a> {
    pub(super) id: MessageId,
    /// Which of its recipients, where that is known.
    pub(super) recipient: Option<String>,
    pub(super) fate: &'a Fate,
}

/// Why a report is not believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Doubt {
    /// It tells nothing about anybody.
    SaysNothing,
    /// It tells who else has sent in our name, or takes a complaint back.
    OtherFeedback(String),
    /// It names no message at all.
    NamesNoMessage,
    /// It names none that we know of.
    UnknownMessage(String),
    /// The message that it names went out from another address.
    OtherSender(MessageId),
    /// The message that it names did not go to whom it names.
    OtherRecipient(MessageId, String),
}

impl Doubt {
    /// The same for the log and for people.
    pub(super) fn cause(&self) -> Cause {
        let why = match self {
            Self::SaysNothing => said!("it names no recipient", "no nombra a ningún destinatario"),
            Self::OtherFeedback(kind) => said!(
                "{kind} is no complaint of a message", "{kind} no es una queja de un mensaje";
                kind = kind
            ),
            Self::NamesNoMessage => said!("it names no message", "no nombra ningún mensaje"),
            Self::UnknownMessage(id) => said!(
                "nothing is known of the message that it names, {id}",
                "nada se sabe del mensaje que nombra, {id}"; id = id
            ),
            Self::OtherSender(id) => said!(
                "{id}, which it names, was sent from another address than it came to",
                "{id}, al que nombra, se envió desde otra dirección que aquella a la que ha llegado";
                id = id
            ),
            Self::OtherRecipient(id, to) => said!(
                "{id}, which it names, was not sent to {to}",
                "{id}, al que nombra, no se envió a {to}"; id = id, to = to
            ),
        };
        Cause::ReportDoubted { why: Spoken::of(&why) }
    }
}

/// Which message each part of a report is about; an error if none is believed.
pub(super) fn judge<'a>(asked: &Asked<'a>, known: &dyn Known) -> Result<Vec<Found<'a>>, Doubt> {
    let report = asked.report;
    // RFC 5965 §7.3, RFC 6591 §3.1.
    if let Some(kind) = &report.complaint
        && !matches!(kind.as_str(), "abuse" | "fraud" | "virus" | "other" | "opt-out")
    {
        return Err(Doubt::OtherFeedback(kind.clone()));
    }
    if report.about.is_empty() {
        return Err(Doubt::SaysNothing);
    }
    let mut doubt = match report.message_ids.first() {
        Some(id) => Doubt::UnknownMessage(id.clone()),
        None => Doubt::NamesNoMessage,
    };
    for (id, is_traced) in candidates(asked, known) {
        let Some(sent) = known.envelope(id) else { continue };
        if report.complaint.is_none() && !asked.senders().any(|sender| same(&sender, &sent.from)) {
            doubt = Doubt::OtherSender(id);
            continue;
        }
        let mut found = Vec::new();
        for fate in &report.about {
            // A server before us may have sent a copy elsewhere, of the same name.
            let is_it =
                is_traced || report.traces.is_empty() && !asked.is_addressed_too(fate, &sent.to);
            // A complaint may hide who complains, or write another address for them.
            let is_hidden =
                fate.news == News::Complaint && (is_traced || fate.recipients.is_empty());
            match asked.recipient(fate, &sent.to, is_it) {
                Some(recipient) => found.push(Found { id, recipient: Some(recipient), fate }),
                None if is_hidden => found.push(Found { id, recipient: None, fate }),
                None => {
                    let named = fate.recipients.first().cloned().unwrap_or_default();
                    doubt = Doubt::OtherRecipient(id, named);
                }
            }
        }
        if !found.is_empty() {
            return Ok(found);
        }
    }
    Err(doubt)
}

// With whether our trace field names it.
fn candidates(asked: &Asked<'_>, known: &dyn Known) -> Vec<(MessageId, bool)> {
    let report = asked.report;
    let ours = report.traces.iter().filter(|(by, _)| same(by, asked.hostname));
    let by_trace = ours.filter_map(|(_, id)| Some((id.parse().ok()?, true)));
    let by_name = report.message_ids.iter().flat_map(|name| known.with_message_id(name));
    let by_name = by_name.map(|id| (id, false));
    let mut candidates: Vec<(MessageId, bool)> = Vec::new();
    for one in by_trace.chain(by_name) {
        if !candidates.iter().any(|(id, _)| *id == one.0) {
            candidates.push(one);
        }
        if candidates.len() == MOST {
            break;
        }
    }
    candidates
}

impl Asked<'_> {
    // The addresses that the message may have been sent from.
    fn senders(&self) -> impl Iterator<Item = String> {
        let plain = self.came_to.iter().map(ToString::to_string);
        let read = |address| self.delimiters.iter().filter_map(move |verp| verp.read(address));
        plain.chain(self.came_to.iter().flat_map(read).map(|(_, sender)| sender.to_string()))
    }

    // Whether the message's header names whom it is about beside ours. The header that a
    // complaint returns may name them instead.
    fn is_addressed_too(&self, fate: &Fate, ours: &[String]) -> bool {
        let is_addressed = |name: &String| self.report.addressed.iter().any(|one| same(one, name));
        let is_besides = self.report.complaint.is_none() || ours.iter().any(is_addressed);
        is_besides && fate.recipients.iter().any(is_addressed)
    }

    // Which of the message's recipients it is about. An envelope sender of ours that names
    // one says more than the report, in which the address may be that of another forwarder;
    // where there is one recipient and it is this message, it is that one.
    fn recipient(&self, fate: &Fate, to: &[String], is_it: bool) -> Option<String> {
        let named = self.report.senders.iter().filter_map(|sender| Address::parse(sender).ok());
        let senders: Vec<Address> = self.came_to.iter().cloned().chain(named).collect();
        let by_sender = senders
            .iter()
            .flat_map(|sender| self.delimiters.iter().filter_map(|verp| verp.read(sender)))
            .map(|(recipient, _)| recipient.to_string());
        let mut names = by_sender.chain(fate.recipients.iter().cloned());
        let named = names.find_map(|name| to.iter().find(|one| same(one, &name)));
        match (named, to) {
            (Some(one), _) => Some(one.clone()),
            (None, [only]) if is_it => Some(only.clone()),
            _ => None,
        }
    }
}

fn same(one: &str, other: &str) -> bool {
    one.eq_ignore_ascii_case(other)
}
