//! The envelope: who a message comes from and goes to (RFC 5321 §2.3.1), with the
//! wishes about notifications that came with it (RFC 3461).

use std::borrow::Cow;

use crate::address::{Address, ReversePath};
use crate::verp::Verp;

/// What the sender wants returned of a message that fails (RFC 3461 §4.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Return {
    /// RET=FULL: the whole message.
    Full,
    /// RET=HDRS: its header alone.
    Headers,
}

/// When the sender wants to be told about one recipient (RFC 3461 §4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Notify {
    /// On final delivery, or on relaying to a server that cannot say so.
    pub success: bool,
    /// When delivery has failed for good.
    pub failure: bool,
    /// When the message is late.
    pub delay: bool,
}

impl Notify {
    /// NOTIFY=NEVER.
    pub const NEVER: Self = Self { success: false, failure: false, delay: false };
}

/// What holds when nothing was asked for: failures and delays are told
/// (RFC 3461 §4.1 leaves the delay to the server; Postfix does the same).
impl Default for Notify {
    fn default() -> Self {
        Self { success: false, failure: true, delay: true }
    }
}

/// What the sender wants of TLS on the way (RFC 8689).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum TlsWish {
    /// What receivers demand is done.
    #[default]
    Usual,
    /// REQUIRETLS: it is returned rather than sent where TLS cannot be relied on.
    Required,
    /// `TLS-Required: No`: it is sent even where what receivers demand cannot be met.
    Optional,
}

/// One recipient of a message.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Recipient {
    /// The forward-path.
    pub address: Address,
    /// When the sender wants to be told; `None` if NOTIFY was not given.
    pub notify: Option<Notify>,
    /// ORCPT, decoded, as `type;address` (RFC 3461 §4.2).
    pub original: Option<String>,
}

impl Recipient {
    /// A recipient without any wishes.
    pub fn new(address: Address) -> Self {
        Self { address, notify: None, original: None }
    }

    /// ORCPT as it was given, or made of the address where it was not: an address that
    /// takes this one's place is known by it to whoever sent the message (RFC 3461
    /// §5.2.1, RFC 6533 §3).
    pub fn original_or_address(&self) -> Cow<'_, str> {
        match &self.original {
            Some(original) => Cow::Borrowed(original),
            None if self.address.is_ascii() => Cow::Owned(format!("rfc822;{}", self.address)),
            None => Cow::Owned(format!("utf-8;{}", self.address)),
        }
    }
}

/// Everything that MAIL and RCPT said about one message.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Envelope {
    /// Where failures are told.
    pub reverse_path: ReversePath,
    /// The recipients, in the order in which they were given. Other rooms name a
    /// recipient by its place in this list.
    pub recipients: Vec<Recipient>,
    /// ENVID, decoded (RFC 3461 §4.4).
    pub envelope_id: Option<String>,
    /// RET, if given.
    pub ret: Option<Return>,
    /// XVERP: the reverse-path is to name the recipient.
    pub verp: Option<Verp>,
    /// BODY=8BITMIME was declared, or the content was seen to need it (RFC 6152).
    pub eight_bit: bool,
    /// SMTPUTF8 was declared: addresses or header hold UTF-8 (RFC 6531).
    pub smtputf8: bool,
    /// What is wanted of TLS on the way.
    pub tls: TlsWish,
    /// It goes to many and nobody waits for it: others go before it.
    pub bulk: bool,
}

impl Envelope {
    /// An envelope without any wishes or extensions.
    pub fn new(reverse_path: ReversePath, recipients: Vec<Recipient>) -> Self {
        Self {
            reverse_path,
            recipients,
            envelope_id: None,
            ret: None,
            verp: None,
            eight_bit: false,
            smtputf8: false,
            tls: TlsWish::Usual,
            bulk: false,
        }
    }
}
