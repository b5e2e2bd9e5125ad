//! The log as Postfix writes it, so that pflogsumm, fail2ban's filters and lnav
//! read it. What Postfix would not say stands after the closing parenthesis, where
//! those readers no longer look.

use std::fmt::{Display, Write as _};
use std::net::IpAddr;
use std::sync::LazyLock;
use std::time::Duration;

use puerto_mail::date::push_number;
use puerto_spool::MessageId;

use crate::cause::Cause;

use super::clean;
use super::event::{Client, Delays, Delivery, Event, Later, Prepared, Reject};

/// Appends `puerto/component[pid]: text`, without time, host and line end.
pub(super) fn render(out: &mut String, event: &Event<'_>) {
    // Asking costs a system call each time.
    static PROCESS: LazyLock<String> = LazyLock::new(|| format!("[{}]: ", std::process::id()));
    out.push_str("puerto/");
    out.push_str(event.component());
    out.push_str(&PROCESS);
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
        Event::Reject(rejected) => reject(out, rejected),
        Event::LoginFailed { client: who, mechanism, account, why } => {
            out.push_str("warning: ");
            client(out, who);
            let _ = write!(out, ": SASL {mechanism} authentication failed: ");
            clean::without_comma(out, why);
            if let Some(account) = account {
                out.push_str(", sasl_username=");
                clean::without_comma(out, account);
            }
        }
        Event::FromClient { id, client: who, tls, login, .. } => {
            let _ = write!(out, "{id}: client=");
            client(out, who);
            for (name, value) in [("sasl_username", login), ("tls", tls)] {
                if let Some(value) = value {
                    let _ = write!(out, ", {name}=");
                    clean::without_comma(out, value);
                }
            }
        }
        Event::FromLocalUser { id, uid, origin, from } => {
            let _ = write!(out, "{id}: uid={uid}");
            bracketed(out, " from=", from);
            for (name, value) in origin.each() {
                let _ = write!(out, ", {name}=");
                clean::without_comma(out, value);
            }
        }
        Event::Prepared(Prepared { id, message_id, .. }) => {
            let _ = write!(out, "{id}: message-id=");
            clean::plain(out, if message_id.is_empty() { "<>" } else { message_id });
        }
        Event::Queued { id, from, size, recipients } => {
            let _ = write!(out, "{id}:");
            bracketed(out, " from=", from);
            let _ = write!(out, ", size={size}, nrcpt={recipients} (queue active)");
        }
        Event::Delivery(attempt) => delivery(out, attempt),
        Event::Notification { id, kind, notification } => {
            let _ = write!(out, "{id}: {kind}: {notification}");
        }
        Event::Later(told) => later(out, told),
        Event::Removed { id } => {
            let _ = write!(out, "{id}: removed");
        }
        Event::Expired { id, from } => {
            let _ = write!(out, "{id}:");
            bracketed(out, " from=", from);
            out.push_str(", status=expired, returned to sender");
        }
        Event::Notice { level, id, text, .. } => notice(out, level, id.as_ref(), text),
        Event::Remark { level, id, cause, .. } => notice(out, level, Some(id), &cause.text()),
    }
}

fn notice(out: &mut String, level: &str, id: Option<&MessageId>, text: &str) {
    if level != "info" {
        let _ = write!(out, "{level}: ");
    }
    if let Some(id) = id {
        let _ = write!(out, "{id}: ");
    }
    clean::plain(out, text);
}

fn later(out: &mut String, later: &Later<'_>) {
    let Later { id, report, to, status_code, text, complaint, explanation, .. } = later;
    let _ = write!(out, "{id}: {}: {report}", later.word());
    if let Some(to) = to {
        bracketed(out, ", to=", to);
    }
    if let Some(code) = status_code {
        let _ = write!(out, ", dsn={code}");
    }
    out.push_str(" (");
    clean::plain(
        out,
        if text.is_empty() { complaint.unwrap_or("no reason was given") } else { text },
    );
    out.push(')');
    if let Some(explanation) = explanation {
        out.push_str("; why: ");
        clean::without_parentheses(out, explanation);
    }
}

/// Appends `name[address]`, as readers of Postfix's log expect it.
pub(super) fn client(out: &mut String, client: &Client) {
    let unnamed = if client.address.is_some() { "unknown" } else { "localhost" };
    clean::without_comma(out, client.name.as_deref().unwrap_or(unnamed));
    match client.address {
        Some(address) => {
            out.push('[');
            match address.to_canonical() {
                IpAddr::V4(address) => {
                    for (index, octet) in address.octets().into_iter().enumerate() {
                        out.push_str(if index == 0 { "" } else { "." });
                        push_number(out, octet.into(), 1);
                    }
                }
                address => {
                    let _ = write!(out, "{address}");
                }
            }
            out.push(']');
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

fn reject(out: &mut String, reject: &Reject<'_>) {
    match reject.id {
        Some(id) => {
            let _ = write!(out, "{id}");
        }
        None => out.push_str("NOQUEUE"),
    }
    let _ = write!(out, ": reject: {} from ", reject.stage);
    client(out, reject.client);
    let _ = write!(out, ": {} {} ", reject.reply.code(), reject.reply.status());
    subject(out, reject);
    for (index, line) in reject.reply.lines().iter().enumerate() {
        out.push_str(if index > 0 { " " } else { "" });
        clean::plain(out, line);
    }
    out.push(';');
    if let Some(from) = reject.from {
        bracketed(out, " from=", from);
    }
    if let Some(to) = reject.to {
        bracketed(out, " to=", to);
    }
    out.push_str(" proto=");
    clean::plain(out, reject.protocol);
    if let Some(helo) = reject.helo {
        bracketed(out, " helo=", helo);
    }
}

// Postfix names the address that it refuses before it says why: readers look for it.
fn subject(out: &mut String, reject: &Reject<'_>) {
    if reject.reply.lines().first().is_some_and(|line| line.starts_with('<')) {
        return;
    }
    match (reject.stage, reject.from, reject.to) {
        ("RCPT", _, Some(to)) => bracketed(out, "", to),
        ("MAIL", Some(from), _) => bracketed(out, "", from),
        _ => return,
    }
    out.push_str(": ");
}

fn delivery(out: &mut String, delivery: &Delivery<'_>) {
    let _ = write!(out, "{}:", delivery.id);
    bracketed(out, " to=", delivery.to);
    out.push_str(", relay=");
    clean::without_comma(out, if delivery.relay.is_empty() { "none" } else { delivery.relay });
    out.push_str(", delay=");
    seconds(out, delivery.delay);
    let Delays { before_queue, in_queue, connection, transmission } = delivery.delays;
    let mut separator = ", delays=";
    for part in [before_queue, in_queue, connection, transmission] {
        out.push_str(separator);
        seconds(out, part);
        separator = "/";
    }
    let _ = write!(out, ", dsn={}, status={} (", delivery.status_code, delivery.status.name());
    clean::plain(out, if delivery.text.is_empty() { "no reason was given" } else { delivery.text });
    out.push(')');
    if let Some(tls) = delivery.tls {
        out.push_str("; tls: ");
        clean::without_parentheses(out, tls);
    }
    if let Some(reason) = remarkable(delivery) {
        out.push_str("; tls reason: ");
        clean::without_parentheses(out, reason);
    }
    if let Some(explanation) = delivery.explanation {
        out.push_str("; why: ");
        clean::without_parentheses(out, explanation);
    }
}

/// Why a connection was protected as it was, unless it was as nearly all are.
pub(super) fn remarkable<'a>(delivery: &Delivery<'a>) -> Option<&'a Cause> {
    let is_usual = |reason: &&Cause| {
        matches!(
            reason,
            Cause::Opportunistic {}
                | Cause::PlainNotOffered {}
                | Cause::WithoutTls {}
                | Cause::TlsConfigured {}
        )
    };
    delivery.tls_reason.filter(|reason| !is_usual(reason))
}

fn bracketed(out: &mut String, label: &str, value: impl Display) {
    out.push_str(label);
    out.push('<');
    clean::plain(out, value);
    out.push('>');
}

/// Appends seconds with two significant digits, as Postfix does: `0.05`, `1.2`, `37`.
pub(super) fn seconds(out: &mut String, span: Duration) {
    let hundredths = match i64::try_from(span.as_millis()).unwrap_or(i64::MAX / 2) {
        millis @ 0..995 => (millis + 5) / 10,
        millis @ 995..9950 => (millis + 50) / 100 * 10,
        millis => (millis + 500) / 1000 * 100,
    };
    push_number(out, hundredths / 100, 1);
    if hundredths % 100 > 0 {
        out.push('.');
        push_number(out, hundredths % 100, 2);
        if out.ends_with('0') {
            out.pop();
        }
    }
}
