//! Envelopes as the index and the records keep them.

use puerto_smtp::{Domain, Envelope};

use super::domains::DomainKey;
use super::message::Hold;
use super::slots::{self, Slot};
use crate::codec::{Common, Malformed, Take, put_recipient, take_recipient};
use crate::entry::Origin;
use crate::id::Timestamp;
use crate::{Hindrance, SpoolError};

/// An envelope in encoded form, with its recipients' places in it.
#[derive(Debug)]
pub(crate) struct EncodedEnvelope {
    pub(super) blob: Box<[u8]>,
    /// Where each recipient stands in it, and its domain.
    pub(super) recipients: Vec<(u32, Domain)>,
    /// It says why the message is to be held.
    pub(super) held: bool,
}

impl EncodedEnvelope {
    /// Encodes an envelope and reads it back, so that none is ever acknowledged that
    /// could not be read after a restart.
    pub(crate) fn new(
        envelope: Envelope,
        received_at: Timestamp,
        origin: Origin,
        held_for: Option<String>,
    ) -> Result<Self, SpoolError> {
        let common = Common {
            reverse_path: envelope.reverse_path,
            envelope_id: envelope.envelope_id,
            ret: envelope.ret,
            verp: envelope.verp,
            eight_bit: envelope.eight_bit,
            smtputf8: envelope.smtputf8,
            tls: envelope.tls,
            bulk: envelope.bulk,
            received_at,
            origin,
            held_for,
        };
        let mut blob = Vec::with_capacity(64 + envelope.recipients.len() * 48);
        common.put(&mut blob);
        let mut recipients = Vec::with_capacity(envelope.recipients.len());
        for recipient in &envelope.recipients {
            recipients.push((place(&blob)?, recipient.address.domain().clone()));
            put_recipient(&mut blob, recipient);
        }
        let held = common.held_for.is_some();
        let encoded = Self { blob: blob.into(), recipients, held };
        let mut from = Take(&encoded.blob);
        let mut same = Common::take(&mut from).as_ref() == Ok(&common);
        for recipient in &envelope.recipients {
            same &= take_recipient(&mut from).as_ref() == Ok(recipient);
        }
        if !same || envelope.recipients.is_empty() {
            return Err(SpoolError::Io(Hindrance::EnvelopeDistorted));
        }
        Ok(encoded)
    }

    /// Reads an encoded envelope.
    pub(crate) fn decode(blob: &[u8]) -> Result<Self, Malformed> {
        let mut from = Take(blob);
        let held = Common::take(&mut from)?.held_for.is_some();
        let mut recipients = Vec::new();
        while !from.0.is_empty() {
            let offset = u32::try_from(blob.len() - from.0.len())
                .map_err(|_| Malformed("the envelope is too large"))?;
            recipients.push((offset, take_recipient(&mut from)?.address.domain().clone()));
        }
        if recipients.is_empty() {
            return Err(Malformed("the envelope has no recipient"));
        }
        Ok(Self { blob: blob.into(), recipients, held })
    }

    /// The encoded form.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.blob
    }

    /// The states of recipients that are all due at this time, as a record says them.
    pub(crate) fn fresh_states(&self, due: Timestamp) -> Vec<u8> {
        let fresh = |index| Slot::new(index, 0, DomainKey(0), due);
        let count = u32::try_from(self.recipients.len()).unwrap_or(u32::MAX);
        let slots: Vec<Slot> = (0..count).map(fresh).collect();
        slots::put_states(Hold::of_new(self.held).flags(), slots.iter(), due)
    }

    /// How many recipients there are.
    pub(crate) fn recipients(&self) -> usize {
        self.recipients.len()
    }
}

fn place(blob: &[u8]) -> Result<u32, SpoolError> {
    u32::try_from(blob.len()).map_err(|_| SpoolError::Io(Hindrance::EnvelopeTooLarge))
}
