//! The log for people: short sentences, coloured on a terminal.

use std::fmt::{Display, Write as _};

use super::clean;
use super::event::{Delivery, DeliveryStatus, Event, Later, Prepared, Reject};
use super::postfix::{client, seconds};

const GREEN: &str = "\x1b[32m";
const YELLOW: &str = "\x1b[33m";
const RED: &str = "\x1b[31m";
const DIM: &str = "\x1b[2m";
const PLAIN: &str = "\x1b[0m";

/// Appends one line without its end.
pub(super) fn render(out: &mut String, event: &Event<'_>, colour: bool) {
    let mark = colour_of(event).filter(|_| colour);
    out.push_str(mark.unwrap_or_default());
    body(out, event);
    out.push_str(mark.map_or("", |_| PLAIN));
}

fn colour_of(event: &Event<'_>) -> Option<&'static str> {
    match event {
        Event::Delivery(Delivery { status: DeliveryStatus::Sent, .. }) => Some(GREEN),
        Event::Delivery(Delivery { status: DeliveryStatus::Deferred, .. }) => Some(YELLOW),
        Event::Delivery(_) | Event::Reject(_) | Event::Expired { .. } => Some(RED),
        Event::Notice { level: "warning", .. }
        | Event::Remark { level: "warning", .. }
        | Event::SessionProblem { .. }
        | Event::LoginFailed { .. } => Some(YELLOW),
        Event::Notice { level: "error" | "fatal", .. } | Event::Remark { level: "error", .. } => {
            Some(RED)
        }
        Event::Connect { .. } | Event::Disconnect { .. } | Event::Prepared(_) => Some(DIM),
        _ => None,
    }
}

fn body(out: &mut String, event: &Event<'_>) {
    match event {
        Event::Connect { client: who } => {
            client(out, who);
            out.push_str(" connected");
        }
        Event::Disconnect { client: who, .. } => {
            client(out, who);
            out.push_str(" left");
        }
        Event::SessionProblem { client: who, what } => {
            client(out, who);
            labelled(out, ": ", what);
        }
        Event::Reject(Reject { stage, client: who, reply, to, .. }) => {
            client(out, who);
            let _ = write!(out, " was refused at {stage}");
            if let Some(to) = to {
                labelled(out, ", to ", to);
            }
            labelled(out, ": ", reply);
        }
        Event::LoginFailed { client: who, mechanism, account, why } => {
            client(out, who);
            let _ = write!(out, " could not log in with {mechanism}");
            if let Some(account) = account {
                labelled(out, " as ", account);
            }
            labelled(out, ": ", why);
        }
        Event::FromClient { id, client: who, tls, login, .. } => {
            let _ = write!(out, "{id} comes from ");
            client(out, who);
            for (word, value) in [(" as ", login), (" over ", tls)] {
                if let Some(value) = value {
                    labelled(out, word, value);
                }
            }
        }
        Event::FromLocalUser { id, uid, origin, from } => {
            let _ = write!(out, "{id} comes from the local user {uid}");
            labelled(out, ", sender ", from);
            for (name, value) in origin.process.each() {
                let _ = write!(out, ", {name} ");
                clean::plain(out, value);
            }
            let mut separator = "; it says: ";
            for (name, value) in origin.claims.each() {
                let _ = write!(out, "{separator}{name} ");
                clean::plain(out, value);
                separator = ", ";
            }
        }
        Event::Prepared(Prepared { id, message_id, .. }) => {
            let _ = write!(out, "{id} has the Message-ID ");
            clean::plain(out, message_id);
        }
        Event::Queued { id, from, size, recipients } => {
            let _ = write!(out, "{id} is queued: {size} octets, recipients: {recipients}");
            labelled(out, ", from ", sender(from));
        }
        Event::Delivery(attempt) => delivery(out, attempt),
        Event::Notification { id, kind, notification } => {
            let _ = write!(out, "{id}: {kind} is {notification}");
        }
        Event::Later(told) => later(out, told),
        Event::Removed { id } => {
            let _ = write!(out, "{id} is done");
        }
        Event::Expired { id, from } => {
            let _ = write!(out, "{id} is given up and returned to ");
            clean::plain(out, sender(from));
        }
        Event::Notice { level, id, text, .. } => {
            let _ = write!(out, "{level}: {}: ", event.component());
            if let Some(id) = id {
                let _ = write!(out, "{id}: ");
            }
            clean::plain(out, text);
        }
        Event::Remark { level, id, cause, .. } => {
            let _ = write!(out, "{level}: {}: {id}: ", event.component());
            clean::plain(out, cause.text());
        }
    }
}

fn later(out: &mut String, told: &Later<'_>) {
    let Later { id, report, to, text, complaint, explanation, .. } = told;
    let _ = write!(out, "{id}: {}", told.word());
    if let Some(to) = to {
        labelled(out, " for ", to);
    }
    let _ = write!(out, ", as {report} tells");
    for words in [(!text.is_empty()).then_some(*text), *complaint].into_iter().flatten() {
        labelled(out, ": ", words);
    }
    if let Some(explanation) = explanation {
        labelled(out, ". ", explanation);
    }
}

fn delivery(out: &mut String, delivery: &Delivery<'_>) {
    let Delivery { id, to, relay, delay, status, text, tls, explanation, .. } = delivery;
    let (word, preposition) = match status {
        DeliveryStatus::Sent => ("delivered", "to"),
        DeliveryStatus::Deferred => ("must wait", "for"),
        DeliveryStatus::Bounced => ("failed", "for"),
    };
    let _ = write!(out, "{id} {word} {preposition} ");
    clean::plain(out, to);
    labelled(out, " via ", relay);
    if let Some(tls) = tls {
        labelled(out, ", ", tls);
    }
    if let Some(reason) = super::postfix::remarkable(delivery) {
        labelled(out, ", ", reason);
    }
    out.push_str(", after ");
    seconds(out, *delay);
    labelled(out, " s: ", text);
    if let Some(explanation) = explanation {
        labelled(out, ". ", explanation);
    }
}

fn sender(from: &puerto_smtp::ReversePath) -> &dyn Display {
    if from.is_null() { &"<>" } else { from }
}

fn labelled(out: &mut String, label: &str, value: impl Display) {
    out.push_str(label);
    clean::plain(out, value);
}
