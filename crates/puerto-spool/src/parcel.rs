//! A queued message as it stands, in octets that another store can take over: envelope,
//! what every recipient waits for, attempts, and whether it is held. The content goes beside
//! it. The encoding is that of the segments and has their version.

use std::io;

use crate::codec::{Malformed, Put, Take};
use crate::entry::Entry;
use crate::id::{MessageId, Timestamp};
use crate::index::{EncodedEnvelope, Index};
use crate::segments::RECORD_VERSION;
use crate::{SpoolError, Store, StoredContent};

const MAGIC: &[u8; 8] = b"PUERTOMS";

/// Why octets are no message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotAMessage {
    /// They are damaged, or something else.
    #[error("it is damaged, or no message")]
    Damaged,
    /// A later version has written them.
    #[error("a later version has written it")]
    Later,
}

impl From<Malformed> for NotAMessage {
    fn from(_: Malformed) -> Self {
        Self::Damaged
    }
}

/// A message in octets; `now` is due what is being tried.
pub fn pack(entry: &Entry, now: Timestamp) -> Result<Vec<u8>, SpoolError> {
    let held_for = (!entry.held_for.is_empty()).then(|| entry.held_for.clone());
    let origin = entry.origin.clone();
    let envelope = EncodedEnvelope::new(entry.envelope(), entry.received_at, origin, held_for)?;
    let mut out = MAGIC.to_vec();
    out.put_u32(RECORD_VERSION);
    out.put_u64(entry.id.as_u64());
    out.put_u64(entry.size);
    out.put_bytes(envelope.as_bytes());
    out.put_bytes(&entry.states(now));
    out.put_u32(crc32fast::hash(&out));
    Ok(out)
}

/// The content of a message, which was read to its end before: what is written behind the
/// octets of the message is whole. Waits for the disk.
///
/// # Errors
/// Those of the store; also where only the last octets say that it is damaged.
pub fn content<S: Store + ?Sized>(
    store: &S,
    id: MessageId,
) -> Result<Box<dyn StoredContent>, SpoolError> {
    let mut content = store.content(id).wait()?;
    if content.in_memory().is_some() {
        return Ok(content);
    }
    io::copy(&mut content, &mut io::sink()).map_err(|error| SpoolError::from(&error))?;
    store.content(id).wait()
}

/// The message that octets hold.
pub fn unpack(octets: &[u8]) -> Result<Entry, NotAMessage> {
    let intact = octets
        .split_last_chunk::<4>()
        .filter(|(body, checksum)| crc32fast::hash(body).to_le_bytes() == **checksum);
    let (body, _) = intact.ok_or(NotAMessage::Damaged)?;
    let mut from = Take(body);
    if from.raw(8)? != MAGIC {
        return Err(NotAMessage::Damaged);
    }
    if from.u32()? > RECORD_VERSION {
        return Err(NotAMessage::Later);
    }
    let id = MessageId::from_u64(from.u64()?);
    let size = from.u64()?;
    let envelope = EncodedEnvelope::decode(from.bytes()?)?;
    let mut index: Index<()> = Index::default();
    index.insert(id, envelope, (size, ()), Timestamp::default());
    index.apply(id, from.bytes()?)?;
    // One of which nothing is left to do is none.
    index.get(id).map_err(|_| NotAMessage::Damaged)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::{Attempt, Origin, RecipientState, RecipientStatus};
    use puerto_smtp::{Recipient, ReversePath};

    fn entry() -> Entry {
        let at = Timestamp::from_millis;
        let recipient = |address: &str, state| RecipientStatus {
            recipient: Recipient::new(address.parse().unwrap()),
            state,
            attempts: 2,
            story: vec![Attempt {
                at: at(7),
                relay: "mx.example[192.0.2.1]:25".to_owned(),
                code: 451,
                status: "4.7.1".parse().unwrap(),
                text: "later".to_owned(),
                cause: String::new(),
            }],
        };
        Entry {
            id: MessageId::at(at(1_800_000_000_000)),
            reverse_path: ReversePath::Null,
            recipients: vec![
                recipient("a@example.net", RecipientState::Done),
                recipient("b@example.net", RecipientState::Due(at(99))),
            ],
            envelope_id: Some("QQ".to_owned()),
            ret: None,
            verp: None,
            eight_bit: true,
            smtputf8: false,
            tls: puerto_smtp::TlsWish::Usual,
            bulk: true,
            received_at: at(5),
            origin: Origin::LocalUser(1000),
            size: 1234,
            held: true,
            held_for: "{\"x\":{}}".to_owned(),
            delay_notified: true,
        }
    }

    #[test]
    fn a_message_comes_out_of_its_octets_as_it_went_in() {
        let now = Timestamp::from_millis(50);
        assert_eq!(unpack(&pack(&entry(), now).unwrap()), Ok(entry()));
        let mut tried = entry();
        tried.held = false;
        tried.held_for = String::new();
        tried.recipients[1].state = RecipientState::Leased(Timestamp::from_millis(60));
        let octets = pack(&tried, now).unwrap();
        tried.recipients[1].state = RecipientState::Due(now);
        assert_eq!(unpack(&octets), Ok(tried), "what is being tried is due");
    }

    #[test]
    fn octets_that_are_cut_changed_or_of_a_later_version_are_no_message() {
        let octets = pack(&entry(), Timestamp::default()).unwrap();
        for end in 0..octets.len() {
            assert_eq!(unpack(&octets[..end]), Err(NotAMessage::Damaged));
            let mut changed = octets.clone();
            changed[end] ^= 0x40;
            assert_eq!(unpack(&changed), Err(NotAMessage::Damaged));
        }
        let mut later = octets[..octets.len() - 4].to_vec();
        later[8] = 99;
        later.put_u32(crc32fast::hash(&later));
        assert_eq!(unpack(&later), Err(NotAMessage::Later));
    }
}
