//! What the payload of a message's record holds: the envelope, the states of the
//! recipients, and the content or where it is.

use crate::codec::{Malformed, Put, Take};

/// Content in a file of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SpilledAt {
    /// The number that is the file's name.
    pub(crate) number: u64,
    /// Octets in it.
    pub(crate) octets: u64,
    /// Their CRC-32.
    pub(crate) checksum: u32,
}

/// The payload of a message's record, taken apart.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Payload<'a> {
    pub(crate) envelope: &'a [u8],
    pub(crate) states: &'a [u8],
    /// Where the rest of the content is, if it is not here.
    pub(crate) spilled: Option<SpilledAt>,
    /// All of the content, or what stands before the spilled part.
    pub(crate) content: &'a [u8],
}

impl<'a> Payload<'a> {
    /// Appends everything but the content, which whoever calls appends.
    pub(crate) fn put_before_content(
        envelope: &[u8],
        states: &[u8],
        spilled: Option<SpilledAt>,
        out: &mut Vec<u8>,
    ) {
        out.put_bytes(envelope);
        out.put_bytes(states);
        match spilled {
            None => out.put_u8(0),
            Some(at) => {
                out.put_u8(1);
                out.put_u64(at.number);
                out.put_u64(at.octets);
                out.put_u32(at.checksum);
            }
        }
    }

    /// Takes a payload apart.
    pub(crate) fn take(octets: &'a [u8]) -> Result<Self, Malformed> {
        let mut from = Take(octets);
        let envelope = from.bytes()?;
        let states = from.bytes()?;
        let spilled = match from.u8()? {
            0 => None,
            1 => {
                Some(SpilledAt { number: from.u64()?, octets: from.u64()?, checksum: from.u32()? })
            }
            _ => return Err(Malformed("the content is of an unknown kind")),
        };
        Ok(Self { envelope, states, spilled, content: from.0 })
    }

    /// Octets of the whole content.
    pub(crate) fn size(&self) -> u64 {
        self.content.len() as u64 + self.spilled.map_or(0, |at| at.octets)
    }
}
