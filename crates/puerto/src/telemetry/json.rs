//! The log as JSON: one object for each event, the same facts with types.

use std::fmt::{Display, Write as _};
use std::time::Duration;

use super::clean;
use super::event::{Change, Client, Delays, Delivery, Event, Later, Prepared, Reject, Signing};
use super::{LocalOrigin, Process};

/// Appends one object, without a line end. `time` is RFC 3339, in UTC.
pub(super) fn render(out: &mut String, event: &Event<'_>, time: impl Display) {
    let _ = write!(out, "{{\"time\":\"{time}\"");
    let mut object = Object(out);
    object.text("event", name(event));
    object.text("component", event.component());
    match event {
        Event::Connect { client } => object.client(client),
        Event::Disconnect { client, commands } => {
            object.client(client);
            object.commands(commands);
        }
        Event::SessionProblem { client, what } => {
            object.client(client);
            object.text("what", what);
        }
        Event::Reject(reject) => object.reject(reject),
        Event::LoginFailed { client, mechanism, account, why } => {
            object.client(client);
            object.text("mechanism", mechanism);
            object.maybe("login", account.as_ref());
            object.text("why", why);
        }
        Event::FromClient { id, client, tls, login, helo, protocol } => {
            object.text("id", id);
            object.client(client);
            object.text("helo", helo);
            object.text("protocol", protocol);
            object.maybe("tls", tls.as_ref());
            object.maybe("login", login.as_ref());
        }
        Event::FromLocalUser { id, uid, origin, from } => {
            object.text("id", id);
            object.number("uid", uid);
            object.text("from", from);
            object.origin(origin);
        }
        Event::Prepared(prepared) => object.prepared(prepared),
        Event::Queued { id, from, size, recipients } => {
            object.text("id", id);
            object.text("from", from);
            object.number("size", size);
            object.number("recipients", recipients);
        }
        Event::Delivery(delivery) => object.delivery(delivery),
        Event::Notification { id, kind, notification } => {
            object.text("id", id);
            object.text("kind", kind);
            object.text("notification", notification);
        }
        Event::Later(later) => object.later(later),
        Event::Removed { id } => object.text("id", id),
        Event::Expired { id, from } => {
            object.text("id", id);
            object.text("from", from);
        }
        Event::Notice { level, id, text, .. } => {
            object.text("level", level);
            object.maybe("id", id.as_ref());
            object.text("text", text);
        }
        Event::Remark { level, id, cause, .. } => {
            object.text("level", level);
            object.text("id", id);
            object.text("text", cause);
        }
    }
    out.push('}');
}

fn name(event: &Event<'_>) -> &'static str {
    match event {
        Event::Connect { .. } => "connect",
        Event::Disconnect { .. } => "disconnect",
        Event::SessionProblem { .. } => "session_problem",
        Event::Reject(_) => "reject",
        Event::LoginFailed { .. } => "login_failed",
        Event::FromClient { .. } => "from_client",
        Event::FromLocalUser { .. } => "from_local_user",
        Event::Prepared(_) => "message_id",
        Event::Queued { .. } => "queued",
        Event::Delivery(_) => "delivery",
        Event::Notification { .. } => "notification",
        Event::Later(_) => "later",
        Event::Removed { .. } => "removed",
        Event::Expired { .. } => "expired",
        Event::Notice { .. } | Event::Remark { .. } => "notice",
    }
}

struct Object<'a>(&'a mut String);

impl Object<'_> {
    fn text(&mut self, name: &str, value: impl Display) {
        let _ = write!(self.0, ",\"{name}\":");
        clean::json(self.0, value);
    }

    fn maybe(&mut self, name: &str, value: Option<&impl Display>) {
        if let Some(value) = value {
            self.text(name, value);
        }
    }

    fn number(&mut self, name: &str, value: impl Display) {
        let _ = write!(self.0, ",\"{name}\":{value}");
    }

    fn seconds(&mut self, name: &str, span: Duration) {
        self.number(name, format_args!("{}.{:03}", span.as_secs(), span.subsec_millis()));
    }

    fn later(&mut self, later: &Later<'_>) {
        self.text("id", later.id);
        self.text("report", later.report);
        self.text("news", later.news);
        self.maybe("to", later.to.as_ref());
        self.maybe("dsn", later.status_code.as_ref());
        self.text("text", later.text);
        self.maybe("complaint", later.complaint.as_ref());
        self.maybe("explanation", later.explanation.as_ref());
    }

    fn client(&mut self, client: &Client) {
        self.maybe("client_name", client.name.as_ref());
        self.maybe("client_address", client.address.map(|a| a.to_canonical()).as_ref());
    }

    fn commands(&mut self, commands: &[(&'static str, u32, u32)]) {
        self.0.push_str(",\"commands\":{");
        for (index, (name, good, total)) in commands.iter().enumerate() {
            let comma = if index > 0 { "," } else { "" };
            let _ = write!(self.0, "{comma}\"{name}\":{{\"accepted\":{good},\"all\":{total}}}");
        }
        self.0.push('}');
    }

    fn origin(&mut self, origin: &LocalOrigin) {
        let Process { pid, unit, parents } = &origin.process;
        if let Some(pid) = pid {
            self.number("pid", pid);
        }
        self.maybe("unit", unit.as_ref());
        if !parents.is_empty() {
            self.0.push_str(",\"parents\":[");
            for (index, parent) in parents.iter().enumerate() {
                self.0.push_str(if index > 0 { "," } else { "" });
                let _ = write!(self.0, "{{\"pid\":{}", parent.pid);
                self.text("name", &parent.name);
                self.0.push('}');
            }
            self.0.push(']');
        }
        let mut separator = ",\"claimed\":{";
        for (name, value) in origin.claims.each() {
            let _ = write!(self.0, "{separator}\"{name}\":");
            clean::json(self.0, value);
            separator = ",";
        }
        self.0.push_str(if separator == "," { "}" } else { "" });
    }

    fn reject(&mut self, reject: &Reject<'_>) {
        self.maybe("id", reject.id.as_ref());
        self.client(reject.client);
        self.text("stage", reject.stage);
        self.number("code", reject.reply.code());
        self.text("dsn", reject.reply.status());
        self.text("text", reject.reply.text());
        self.maybe("from", reject.from.as_ref());
        self.maybe("to", reject.to.as_ref());
        self.text("protocol", reject.protocol);
        self.maybe("helo", reject.helo.as_ref());
    }

    fn prepared(&mut self, prepared: &Prepared<'_>) {
        self.text("id", prepared.id);
        self.text("message_id", prepared.message_id);
        self.list("changes", prepared.changes, |object, change| {
            object.text("what", change.name());
            match change {
                Change::Nuls(count) => object.number("count", count),
                change => object.maybe("of", change.of().as_ref()),
            }
        });
        match prepared.signing {
            Signing::With(signatures) => self.list("signed", signatures, |object, signature| {
                object.text("domain", &signature.domain);
                object.text("selector", &signature.selector);
                object.text("algorithm", signature.algorithm);
            }),
            Signing::NotOurs => self.text("unsigned", "not-ours"),
            Signing::NoAuthor => self.text("unsigned", "no-author"),
            Signing::NoKey(_) => self.text("unsigned", "no-key"),
        }
        if let Signing::NoKey(domain) = prepared.signing {
            self.text("unsigned_domain", domain);
        }
    }

    fn list<T>(&mut self, name: &str, items: &[T], each: impl Fn(&mut Object<'_>, &T)) {
        let _ = write!(self.0, ",\"{name}\":[");
        for (index, item) in items.iter().enumerate() {
            self.0.push_str(if index > 0 { ",{" } else { "{" });
            let start = self.0.len();
            each(&mut Object(self.0), item);
            // Each member begins with a comma.
            self.0.remove(start);
            self.0.push('}');
        }
        self.0.push(']');
    }

    fn delivery(&mut self, delivery: &Delivery<'_>) {
        self.text("id", delivery.id);
        self.text("to", delivery.to);
        self.text("relay", delivery.relay);
        self.seconds("delay", delivery.delay);
        let Delays { before_queue, in_queue, connection, transmission } = delivery.delays;
        self.seconds("delay_before_queue", before_queue);
        self.seconds("delay_in_queue", in_queue);
        self.seconds("delay_connection", connection);
        self.seconds("delay_transmission", transmission);
        self.text("dsn", delivery.status_code);
        self.text("status", delivery.status.name());
        self.text("text", delivery.text);
        if let Some(code) = delivery.code {
            self.number("code", code);
        }
        let next = delivery.next.map(|next| jiff::Timestamp::from_millisecond(next.as_millis()));
        self.maybe("next_attempt", next.and_then(Result::ok).as_ref());
        if let Some(tls) = delivery.tls {
            self.text("tls", format_args!("{} with cipher {}", tls.version, tls.cipher));
            self.text("tls_version", tls.version);
            self.text("tls_cipher", &tls.cipher);
            self.text("tls_verified", tls.verified.name());
        }
        if let Some(reason) = delivery.tls_reason {
            self.text("tls_rule", reason.id());
            self.text("tls_reason", reason);
        }
        self.maybe("explanation", delivery.explanation.as_ref());
    }
}
