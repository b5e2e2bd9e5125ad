//! The log as Postfix writes it, so that pflogsumm, fail2ban's filters and lnav
//! read it. What Postfix would not say stands after the closing parenthesis, where
//! those readers no longer look.

use std::fmt::Write as _;
use std::sync::LazyLock;
use std::time::Duration;

use super::clean;
use super::event::{Client, Delays, DeliveryStatus, Event};

/// The component that Postfix would log an event under.
pub(super) fn component(event: &Event<'_>) -> &'static str {
    match event {
        Event::Connect { .. }
        | Event::Disconnect { .. }
        | Event::SessionProblem { .. }
        | Event::Reject { .. }
        | Event::FromClient { .. } => "smtpd",
        Event::FromLocalUser { .. } => "pickup",
        Event::MessageId { .. } => "cleanup",
        Event::Queued { .. } | Event::Removed { .. } | Event::Expired { .. } => "qmgr",
        Event::Delivery { component, .. } | Event::Notice { component, .. } => component,
        Event::Notification { .. } => "bounce",
    }
}

/// Appends `puerto/component[pid]: text`, without time, host and line end.
pub(super) fn render(out: &mut String, event: &Event<'_>) {
    // Asking costs a system call each time.
    static PROCESS: LazyLock<u32> = LazyLock::new(std::process::id);
    let _ = write!(out, "puerto/{}[{}]: ", component(event), *PROCESS);
    body(out, event);
}

fn body(out: &mut String, event: &Event<'_>) {
    match event {
        Event::Connect { client: who } => {
            out.push_str("connect from ");
            client(out, who);
        }
        Event::Disconnect { client: who, commands } => disconnect(out, who, commands),
        Event::SessionProblem { client: who, what } => {
            clean::plain(out, what);
            out.push_str(" from ");
            client(out, who);
        }
        Event::Reject { .. } => reject(out, event),
        Event::FromClient { id, client: who, tls, login } => {
            let _ = write!(out, "{id}: client=");
            client(out, who);
            for (name, value) in [("sasl_username", login), ("tls", tls)] {
                if let Some(value) = value {
                    let _ = write!(out, ", {name}=");
                    clean::without_comma(out, value);
                }
            }
        }
        Event::FromLocalUser { id, uid, from } => {
            let _ = write!(out, "{id}: uid={uid} from=<");
            clean::plain(out, from);
            out.push('>');
        }
        Event::MessageId { id, message_id } => {
            let _ = write!(out, "{id}: message-id=");
            clean::plain(out, if message_id.is_empty() { "<>" } else { message_id });
        }
        Event::Queued { id, from, size, recipients } => {
            let _ = write!(out, "{id}: from=<");
            clean::plain(out, from);
            let _ = write!(out, ">, size={size}, nrcpt={recipients} (queue active)");
        }
        Event::Delivery { .. } => delivery(out, event),
        Event::Notification { id, kind, notification } => {
            let _ = write!(out, "{id}: {kind}: {notification}");
        }
        Event::Removed { id } => {
            let _ = write!(out, "{id}: removed");
        }
        Event::Expired { id, from } => {
            let _ = write!(out, "{id}: from=<");
            clean::plain(out, from);
            out.push_str(">, status=expired, returned to sender");
        }
        Event::Notice { level, id, text, .. } => {
            if *level != "info" {
                let _ = write!(out, "{level}: ");
            }
            if let Some(id) = id {
                let _ = write!(out, "{id}: ");
            }
            clean::plain(out, text);
        }
    }
}

/// Appends `name[address]`.
pub(super) fn client(out: &mut String, client: &Client) {
    let unnamed = if client.address.is_some() { "unknown" } else { "localhost" };
    clean::without_comma(out, client.name.as_deref().unwrap_or(unnamed));
    match client.address {
        Some(address) => {
            let _ = write!(out, "[{}]", address.to_canonical());
        }
        None => out.push_str("[unix]"),
    }
}

fn disconnect(out: &mut String, who: &Client, commands: &[(&'static str, u32, u32)]) {
    out.push_str("disconnect from ");
    client(out, who);
    let (mut all_good, mut all) = (0_u32, 0_u32);
    for &(name, good, total) in commands {
        counts(out, name, good, total);
        all_good = all_good.saturating_add(good);
        all = all.saturating_add(total);
    }
    counts(out, "commands", all_good, all);
}

fn counts(out: &mut String, name: &str, good: u32, total: u32) {
    let _ = write!(out, " {name}={good}");
    if good != total {
        let _ = write!(out, "/{total}");
    }
}

fn reject(out: &mut String, event: &Event<'_>) {
    let Event::Reject { id, stage, client: who, reply, from, to, protocol, helo } = event else {
        return;
    };
    match id {
        Some(id) => {
            let _ = write!(out, "{id}: reject: {stage} from ");
        }
        None => {
            let _ = write!(out, "NOQUEUE: reject: {stage} from ");
        }
    }
    client(out, who);
    let _ = write!(out, ": {} {} ", reply.code(), reply.status());
    subject(out, stage, event);
    for (index, line) in reply.lines().iter().enumerate() {
        out.push_str(if index > 0 { " " } else { "" });
        clean::plain(out, line);
    }
    out.push(';');
    if let Some(from) = from {
        out.push_str(" from=<");
        clean::plain(out, from);
        out.push('>');
    }
    if let Some(to) = to {
        out.push_str(" to=<");
        clean::plain(out, to);
        out.push('>');
    }
    out.push_str(" proto=");
    clean::plain(out, protocol);
    if let Some(helo) = helo {
        out.push_str(" helo=<");
        clean::plain(out, helo);
        out.push('>');
    }
}

// Postfix names the address that it refuses before it says why: readers look for it.
fn subject(out: &mut String, stage: &str, event: &Event<'_>) {
    let Event::Reject { reply, from, to, .. } = event else {
        return;
    };
    if reply.lines().first().is_some_and(|line| line.starts_with('<')) {
        return;
    }
    let mut name = |address: &dyn std::fmt::Display| {
        out.push('<');
        clean::plain(out, address);
        out.push_str(">: ");
    };
    match (stage, from, to) {
        ("RCPT", _, Some(to)) => name(to),
        ("MAIL", Some(from), _) => name(from),
        _ => {}
    }
}

fn delivery(out: &mut String, event: &Event<'_>) {
    let Event::Delivery {
        id,
        to,
        original,
        relay,
        delay,
        delays,
        status_code,
        status,
        text,
        tls,
        explanation,
        ..
    } = event
    else {
        return;
    };
    let _ = write!(out, "{id}: to=<");
    clean::plain(out, to);
    out.push('>');
    if let Some(original) = original {
        out.push_str(", orig_to=<");
        clean::plain(out, original);
        out.push('>');
    }
    out.push_str(", relay=");
    clean::without_comma(out, if relay.is_empty() { "none" } else { relay });
    out.push_str(", delay=");
    seconds(out, *delay);
    let Delays { before_queue, in_queue, connection, transmission } = delays;
    let mut separator = ", delays=";
    for part in [before_queue, in_queue, connection, transmission] {
        out.push_str(separator);
        seconds(out, *part);
        separator = "/";
    }
    let _ = write!(out, ", dsn={status_code}, status={} (", status_name(*status));
    clean::plain(out, if text.is_empty() { "no reason was given" } else { text });
    out.push(')');
    for (name, value) in [("tls", tls), ("why", explanation)] {
        if let Some(value) = value {
            let _ = write!(out, "; {name}: ");
            clean::without_parentheses(out, value);
        }
    }
}

/// The word for what became of a recipient.
pub(super) fn status_name(status: DeliveryStatus) -> &'static str {
    match status {
        DeliveryStatus::Sent => "sent",
        DeliveryStatus::Deferred => "deferred",
        DeliveryStatus::Bounced => "bounced",
    }
}

/// Appends seconds with two significant digits, as Postfix does: `0.05`, `1.2`, `37`.
pub(super) fn seconds(out: &mut String, span: Duration) {
    let millis = span.as_millis();
    let start = out.len();
    let _ = match millis {
        0..995 => write!(out, "{:.2}", span.as_secs_f64()),
        995..9950 => write!(out, "{:.1}", span.as_secs_f64()),
        _ => write!(out, "{}", (millis + 500) / 1000),
    };
    if out.get(start..).is_some_and(|number| number.contains('.')) {
        while out.ends_with('0') {
            out.pop();
        }
        if out.ends_with('.') {
            out.pop();
        }
    }
}
