//! A message's story, made of what the queue and the history know.

use serde_json::{Value, json};

use crate::cli::output::printable;
use crate::control::view::{MessageView, RecipientView, State};
use crate::control::{OrderView, Standing, StoryView};
use crate::explain::{self, Explanation, Kind};
use crate::history::Happened;
use crate::history::fact::{Fact, Ready, Tried};
use crate::lang::{Language, Said, said};

/// A message's story.
pub(super) struct Story<'a> {
    pub(super) id: &'a str,
    pub(super) standing: Standing,
    /// As it was committed, if the history goes back so far.
    pub(super) ready: Option<&'a Ready>,
    /// Who brought it.
    pub(super) origin: Option<&'a Fact>,
    pub(super) arrived: Option<&'a str>,
    pub(super) size: Option<u64>,
    pub(super) queued: Option<&'a MessageView>,
    /// The pauses that it waits for.
    pub(super) paused: &'a [OrderView],
    pub(super) recipients: Vec<Recipient<'a>>,
    /// What else happened, in order.
    pub(super) others: Vec<&'a Happened>,
    events: &'a [Happened],
}

/// One recipient, and what became of it.
pub(super) struct Recipient<'a> {
    pub(super) address: &'a str,
    /// How it stands in the queue, if it is there.
    pub(super) queued: Option<&'a RecipientView>,
    /// Attempts, in order.
    pub(super) tries: Vec<Try<'a>>,
}

/// One attempt.
#[derive(Clone, Copy)]
pub(super) struct Try<'a> {
    pub(super) at: &'a str,
    pub(super) node: Option<&'a str>,
    pub(super) tried: &'a Tried,
}

/// Remedies that are told of at most, and recipients that are named with one.
const MOST_REMEDIES: usize = 5;
const MOST_NAMED: usize = 3;

// What would help whom.
fn remedy(found: Explanation, whom: &[&str], is_one: bool) -> Said {
    let remedy = Said::of_both(|language| found.remedy(language).to_owned());
    if is_one {
        return remedy;
    }
    let mut names = whom.iter().map(|name| printable(name)).take(MOST_NAMED).collect::<Vec<_>>();
    if whom.len() > MOST_NAMED {
        names.push("…".to_owned());
    }
    Said::joined([&Said::words(names.join(", ")), &remedy], ": ")
}

impl Try<'_> {
    /// What a refusal means.
    pub(super) fn explained(&self) -> Option<Explanation> {
        let kind = match self.tried.status.as_str() {
            "sent" => return None,
            "deferred" => Kind::Temporary,
            _ => Kind::Permanent,
        };
        let host = self.tried.relay.split_once('[').map(|(host, _)| host);
        explain::of_cause(&self.tried.cause(), host).map(|found| found.of_kind(kind))
    }
}

impl<'a> Story<'a> {
    /// What is known, in order.
    pub(super) fn of(view: &'a StoryView) -> Self {
        let mut story = Self {
            id: &view.id,
            standing: view.standing(),
            ready: None,
            origin: None,
            arrived: None,
            size: view.queued.as_ref().map(|queued| queued.size),
            queued: view.queued.as_ref(),
            paused: &view.paused,
            recipients: Vec::new(),
            others: Vec::new(),
            events: &view.events,
        };
        for happened in &view.events {
            story.add(happened);
        }
        if let Some(queued) = &view.queued {
            story.arrived = story.arrived.or(Some(&queued.arrived));
            for recipient in &queued.recipients {
                story.recipient(&recipient.address, |known| known.queued = Some(recipient));
            }
        }
        story
    }

    fn add(&mut self, happened: &'a Happened) {
        match &happened.fact {
            fact @ (Fact::FromClient { .. }
            | Fact::FromLocalUser { .. }
            | Fact::NotificationOf { .. }) => {
                self.arrived = self.arrived.or(Some(&happened.at));
                self.origin = Some(fact);
            }
            Fact::Prepared(ready) => {
                self.arrived = self.arrived.or(Some(&happened.at));
                self.ready = Some(ready);
                ready.to.iter().for_each(|to| self.recipient(to, |_| {}));
            }
            Fact::Queued { size, .. } => self.size = Some(*size),
            Fact::Delivery(tried) => {
                let (at, node) = (&*happened.at, happened.node.as_deref());
                self.recipient(&tried.to, |known| known.tries.push(Try { at, node, tried }));
            }
            _ => self.others.push(happened),
        }
    }

    fn recipient(&mut self, address: &'a str, change: impl FnOnce(&mut Recipient<'a>)) {
        match self.recipients.iter_mut().find(|known| known.address == address) {
            Some(known) => change(known),
            None => {
                let mut new = Recipient { address, queued: None, tries: Vec::new() };
                change(&mut new);
                self.recipients.push(new);
            }
        }
    }

    /// What would help those who wait, or those who will never have it, the last refusal first;
    /// of several recipients, whom it is about.
    fn remedies(&self) -> Vec<Said> {
        let waits = |recipient: &&Recipient<'_>| {
            recipient.queued.is_none_or(|queued| queued.state == State::Waiting)
        };
        let last = |recipient: &Recipient<'a>| {
            let last = recipient.tries.last().filter(|last| last.tried.status != "sent")?;
            Some((last.at, recipient.address, last.explained()?))
        };
        let mut refusals: Vec<_> = self.recipients.iter().filter(waits).filter_map(last).collect();
        refusals.sort_by_key(|(at, ..)| std::cmp::Reverse(*at));
        let mut remedies: Vec<(Explanation, Vec<&str>)> = Vec::new();
        for (_, address, found) in refusals {
            let remedy = found.remedy(Language::English);
            let known = remedies.iter_mut();
            match known.into_iter().find(|(known, _)| known.remedy(Language::English) == remedy) {
                Some((_, whom)) => whom.push(address),
                None => remedies.push((found, vec![address])),
            }
        }
        remedies.retain(|(found, _)| !found.remedy(Language::English).is_empty());
        remedies.truncate(MOST_REMEDIES);
        let is_one = self.recipients.len() == 1;
        remedies.into_iter().map(|(found, whom)| remedy(found, &whom, is_one)).collect()
    }

    /// When it is tried next, if it waits for that.
    pub(super) fn next_attempt(&self) -> Option<&'a str> {
        let recipients = self.queued?.recipients.iter();
        let waiting = recipients.filter(|recipient| recipient.state == State::Waiting);
        waiting.filter_map(|recipient| recipient.next_attempt.as_deref()).min()
    }

    /// What would help, the most important first.
    pub(super) fn advice(&self) -> Vec<Said> {
        let mut advice = Vec::new();
        let remedies = self.remedies();
        match self.standing {
            Standing::Held => advice.push(said!(
                "it is held: `puerto queue release {id}` lets it go",
                "está retenido: `puerto queue release {id}` lo deja salir"; id = self.id
            )),
            Standing::Waiting if self.is_being_sent() => advice.push(said!(
                "nothing is to be done: it is being sent now",
                "no hay nada que hacer: se está enviando ahora"
            )),
            Standing::Waiting if !self.paused.is_empty() => {
                advice.extend(self.paused.iter().map(|order| resumed(order.number)));
                advice.extend(remedies);
            }
            Standing::Waiting if self.stands_in_line() => {
                advice.extend(remedies);
                advice.push(said!(
                    "nothing is to be done: it goes when its turn comes; a higher rate in the \
                     configuration and a reload let it go sooner",
                    "no hay nada que hacer: sale cuando le toca; con un ritmo mayor en la \
                     configuración y una recarga sale antes"
                ));
            }
            Standing::Waiting => {
                advice.extend(remedies);
                advice.push(match self.has_failed() {
                    true => said!(
                        "`puerto queue retry {id}` tries it now; while the cause lasts, that \
                         changes nothing",
                        "`puerto queue retry {id}` lo intenta ahora; mientras dure la causa, eso \
                         no cambia nada"; id = self.id
                    ),
                    false => said!(
                        "`puerto queue retry {id}` tries it now",
                        "`puerto queue retry {id}` lo intenta ahora"; id = self.id
                    ),
                });
            }
            Standing::Failed => advice.extend(remedies),
            Standing::Sent | Standing::Refused | Standing::Removed | Standing::Unknown => {}
        }
        advice.retain(|said| !said.is_empty());
        advice
    }

    // Whether somebody for whom it waits has been tried.
    fn has_failed(&self) -> bool {
        let recipients = self.queued.map(|queued| queued.open_recipients());
        recipients.is_some_and(|mut open| open.any(|recipient| recipient.last.is_some()))
            || self.recipients.iter().any(|recipient| !recipient.tries.is_empty())
    }

    /// A copy that this server sends on: how it began is known, nobody brought it, and it is
    /// no letter of the server's own, which has no sender.
    pub(super) fn is_sent_on(&self) -> bool {
        self.origin.is_none() && self.ready.is_some_and(|ready| !ready.from.is_empty())
    }

    // Whether somebody waits in line for a rate, from which no retry takes him.
    fn stands_in_line(&self) -> bool {
        let mut recipients = self.queued.iter().flat_map(|queued| &queued.recipients);
        recipients.any(|recipient| recipient.turn.is_some())
    }

    pub(super) fn is_being_sent(&self) -> bool {
        let recipients = self.queued.map(|queued| queued.recipients.as_slice());
        let recipients = recipients.unwrap_or_default();
        let is_at_it = |one: &RecipientView| one.state == State::Sending && one.turn.is_none();
        recipients.iter().any(is_at_it)
            && !recipients.iter().any(|recipient| recipient.state == State::Waiting)
    }

    /// The story for programs.
    pub(super) fn document(&self, language: Language) -> Value {
        let ready = self.ready;
        let queued = self.queued;
        json!({
            "id": self.id,
            "state": self.standing,
            "arrived": self.arrived,
            "next_attempt": self.next_attempt(),
            "expires": queued.and_then(|queued| queued.expires.as_ref()),
            "size": self.size,
            "message_id": ready.map(|ready| &ready.message_id),
            "from": ready.map(|ready| &ready.from).or(queued.map(|queued| &queued.from)),
            "origin": self.origin,
            "changes": ready.map(|ready| &ready.changes),
            "signed": ready.map(|ready| &ready.signed),
            "unsigned": ready.and_then(|ready| ready.unsigned.as_ref()),
            "recipients": self.recipients.iter().map(|r| r.document(language)).collect::<Vec<_>>(),
            "advice": self.advice().iter().map(|said| said.of(language)).collect::<Vec<_>>(),
            "events": self.events,
            "queued": queued,
            "paused": self.paused,
        })
    }
}

fn resumed(number: u64) -> Said {
    said!(
        "it is paused by order {number}: `puerto resume {number}` has it tried now",
        "está en pausa por la orden {number}: con `puerto resume {number}` se intenta ahora";
        number = number
    )
}

impl Recipient<'_> {
    fn document(&self, language: Language) -> Value {
        let state = match (self.queued.map(|queued| queued.state), self.tries.last()) {
            (Some(State::Waiting), _) => "waiting",
            (Some(State::Sending), _) => "sending",
            (_, Some(last)) if last.tried.status == "sent" => "sent",
            (_, Some(last)) if last.tried.status == "bounced" => "failed",
            (Some(State::Done), _) => "done",
            (None, _) => "unknown",
        };
        let attempts = self.tries.iter().map(|one| {
            let explanation = one.explained().map(|found| {
                json!({
                    "class": found.class(),
                    "kind": found.kind().as_str(),
                    "cause": found.cause(language),
                    "whose": found.whose().as_str(),
                    "remedy": found.remedy(language),
                    "check": found.check(),
                    "link": found.link(),
                })
            });
            json!({
                "at": one.at,
                "node": one.node,
                "relay": one.tried.relay,
                "status": one.tried.status,
                "dsn": one.tried.dsn,
                "code": one.tried.code,
                "text": one.tried.text,
                "next_attempt": one.tried.next_attempt,
                "tls_version": one.tried.tls_version,
                "tls_cipher": one.tried.tls_cipher,
                "tls_verified": one.tried.tls_verified,
                "tls_reason": one.tried.tls_reason().map(|reason| reason.said().of(language)),
                "delay": one.tried.delay,
                "delay_connection": one.tried.delay_connection,
                "delay_transmission": one.tried.delay_transmission,
                "explanation": explanation,
            })
        });
        json!({
            "address": self.address,
            "state": state,
            "next_attempt": self.queued.and_then(|queued| queued.next_attempt.as_ref()),
            "attempts": attempts.collect::<Vec<_>>(),
        })
    }
}
