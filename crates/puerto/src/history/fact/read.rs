//! From octets to facts. What is damaged is left out, and never believed.

use puerto_spool::Timestamp;

use super::{
    Changed, DELIVERY, EXPIRED, FROM_CLIENT, FROM_LOCAL_USER, Fact, LATER, NODE, NOTICE,
    NOTIFICATION, NOTIFICATION_OF, PREPARED, QUEUED, REJECT, REMOVED, Ready, Signed, Tried,
};
use crate::history::time;

/// The facts of a note, each with its time and the node that says it. What cannot be read
/// is left out.
pub(in crate::history) fn read(octets: &[u8]) -> Vec<(Timestamp, Option<String>, Fact)> {
    let (mut facts, mut node, mut rest) = (Vec::new(), None, octets);
    while let Some((length, more)) = rest.split_first_chunk::<4>() {
        let length = usize::try_from(u32::from_le_bytes(*length)).unwrap_or(usize::MAX);
        let Some((one, more)) = more.split_at_checked(length) else { break };
        rest = more;
        let Some((at, one)) = one.split_first_chunk::<8>() else { continue };
        let at = Timestamp::from_millis(i64::from_le_bytes(*at));
        let Some((tag, fields)) = one.split_first() else { continue };
        let mut fields = Given(fields);
        match *tag {
            NODE => node = fields.maybe(),
            tag => facts.extend(fields.fact(tag).map(|fact| (at, node.clone(), fact))),
        }
    }
    facts
}

/// Reads the fields of a fact; behind the last all are empty.
struct Given<'a>(&'a [u8]);

impl Given<'_> {
    fn number(&mut self) -> u64 {
        let (mut number, mut shift) = (0_u64, 0);
        while let Some((octet, rest)) = self.0.split_first() {
            self.0 = rest;
            number |= u64::from(octet & 0x7f).checked_shl(shift).unwrap_or_default();
            if octet & 0x80 == 0 {
                break;
            }
            shift += 7;
        }
        number
    }

    fn text(&mut self) -> String {
        let Some((length, rest)) = self.0.split_first_chunk::<2>() else {
            self.0 = &[];
            return String::new();
        };
        let length = usize::from(u16::from_le_bytes(*length));
        let (text, rest) = rest.split_at_checked(length).unwrap_or((rest, &[]));
        self.0 = rest;
        String::from_utf8_lossy(text).into_owned()
    }

    fn maybe(&mut self) -> Option<String> {
        Some(self.text()).filter(|text| !text.is_empty())
    }

    fn seconds(&mut self) -> f64 {
        std::time::Duration::from_millis(self.number()).as_secs_f64()
    }

    // So many of something, but never more than there are octets.
    fn list<T>(&mut self, mut one: impl FnMut(&mut Self) -> T) -> Vec<T> {
        let count = usize::try_from(self.number()).unwrap_or(usize::MAX).min(self.0.len());
        (0..count).map(|_| one(self)).collect()
    }

    fn fact(&mut self, tag: u8) -> Option<Fact> {
        Some(match tag {
            FROM_CLIENT => Fact::FromClient {
                client_name: self.maybe(),
                client_address: self.maybe(),
                helo: self.text(),
                protocol: self.text(),
                tls: self.maybe(),
                login: self.maybe(),
            },
            FROM_LOCAL_USER => Fact::FromLocalUser {
                uid: u32::try_from(self.number()).unwrap_or(u32::MAX),
                from: self.text(),
                pid: u32::try_from(self.number()).ok().filter(|pid| *pid != 0),
                unit: self.maybe(),
                parents: self.list(Self::text),
                claimed: self.list(|fields| (fields.text(), fields.text())).into_iter().collect(),
            },
            PREPARED => Fact::Prepared(Box::new(self.ready())),
            QUEUED => Fact::Queued { size: self.number(), recipients: self.number() },
            REJECT => Fact::Reject {
                stage: self.text(),
                code: u16::try_from(self.number()).unwrap_or_default(),
                dsn: self.text(),
                text: self.text(),
            },
            DELIVERY => Fact::Delivery(Box::new(self.tried())),
            NOTIFICATION => Fact::Notification { kind: self.text(), notification: self.text() },
            NOTIFICATION_OF => Fact::NotificationOf { kind: self.text(), about: self.text() },
            REMOVED => Fact::Removed,
            EXPIRED => Fact::Expired,
            NOTICE => Fact::Notice {
                level: self.text(),
                component: self.text(),
                text: self.text(),
                cause: self.maybe().and_then(|cause| serde_json::from_str(&cause).ok()),
            },
            LATER => Fact::Later {
                report: self.text(),
                news: self.text(),
                to: self.maybe(),
                dsn: self.maybe(),
                text: self.text(),
                complaint: self.maybe(),
            },
            _ => return None,
        })
    }

    fn ready(&mut self) -> Ready {
        Ready {
            message_id: self.text(),
            from: self.text(),
            to: self.list(Self::text),
            more_to: self.number(),
            changes: self.list(|fields| Changed { what: fields.text(), of: fields.maybe() }),
            signed: self.list(|fields| Signed {
                domain: fields.text(),
                selector: fields.text(),
                algorithm: fields.text(),
            }),
            unsigned: self.maybe(),
            unsigned_domain: self.maybe(),
        }
    }

    fn tried(&mut self) -> Tried {
        let (to, component, relay) = (self.text(), self.text(), self.text());
        let status = match self.number() {
            0 => "sent",
            1 => "deferred",
            _ => "bounced",
        };
        let (dsn, code) = (self.text(), u16::try_from(self.number()).ok());
        let (text, cause) = (self.text(), self.maybe());
        let next = i64::try_from(self.number()).unwrap_or_default();
        let mut tried = Tried {
            to,
            component,
            relay,
            status: status.to_owned(),
            dsn,
            code: code.filter(|code| *code != 0),
            text,
            cause: cause.and_then(|cause| serde_json::from_str(&cause).ok()),
            next_attempt: (next > 0).then(|| time(Timestamp::from_millis(next))),
            tls_version: self.maybe(),
            tls_cipher: self.maybe(),
            tls_verified: self.maybe(),
            delay: self.seconds(),
            delay_before_queue: self.seconds(),
            delay_in_queue: self.seconds(),
            delay_connection: self.seconds(),
            delay_transmission: self.seconds(),
            tls_reason: None,
        };
        tried.tls_reason = self.maybe().and_then(|reason| serde_json::from_str(&reason).ok());
        if tried.text.is_empty() {
            tried.text = tried.cause().text().into_owned();
        }
        tried
    }
}
