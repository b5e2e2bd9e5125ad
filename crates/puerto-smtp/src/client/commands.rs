//! The commands of one transaction in their wire form.

use std::fmt::Write as _;

use crate::client::Transaction;
use crate::command::{encode_utf8_address, encode_xtext};
use crate::envelope::{Notify, Recipient, Return};
use crate::extension::Extensions;

/// Appends `MAIL FROM` with the parameters that the peer understands.
pub fn mail(transaction: &Transaction<'_>, peer: &Extensions, out: &mut String) {
    // Writing to a String cannot fail; the results are dropped for that reason.
    let _ = write!(out, "MAIL FROM:<{}>", transaction.reverse_path);
    if peer.size.is_some() {
        let _ = write!(out, " SIZE={}", transaction.size);
    }
    if transaction.eight_bit && peer.eight_bit_mime {
        out.push_str(" BODY=8BITMIME");
    }
    if transaction.says_smtputf8(peer) {
        out.push_str(" SMTPUTF8");
    }
    if transaction.require_tls && peer.require_tls {
        out.push_str(" REQUIRETLS");
    }
    if peer.dsn {
        match transaction.ret {
            Some(Return::Full) => out.push_str(" RET=FULL"),
            Some(Return::Headers) => out.push_str(" RET=HDRS"),
            None => {}
        }
        if let Some(id) = transaction.envelope_id {
            out.push_str(" ENVID=");
            encode_xtext(id, out);
        }
    }
    if let Some(verp) = transaction.verp.filter(|_| peer.xverp) {
        let _ = write!(out, " XVERP={verp}");
    }
    out.push_str("\r\n");
}

/// Appends `XORIGIN`: something about the program that a message is from, for a server of ours.
pub fn origin(name: &str, value: &str, out: &mut String) {
    let _ = write!(out, "XORIGIN {name}=");
    encode_xtext(value, out);
    out.push_str("\r\n");
}

/// Appends `RCPT TO` for one recipient of a transaction.
pub fn recipient(
    transaction: &Transaction<'_>,
    recipient: &Recipient,
    peer: &Extensions,
    out: &mut String,
) {
    let _ = write!(out, "RCPT TO:<{}>", recipient.address);
    if peer.dsn {
        if let Some(wishes) = recipient.notify {
            out.push_str(" NOTIFY=");
            notify(wishes, out);
        }
        if let Some((kind, address)) = recipient.original.as_deref().and_then(type_and_address) {
            let _ = write!(out, " ORCPT={kind};");
            match kind.eq_ignore_ascii_case("utf-8") {
                true => encode_utf8_address(address, transaction.says_smtputf8(peer), out),
                false => encode_xtext(address, out),
            }
        }
    }
    out.push_str("\r\n");
}

/// Octets of an ORCPT, encoded, that every server takes (RFC 3461 §5.4).
const MAX_ORIGINAL: usize = 500;

// The longest that an octet becomes is three in xtext, and eleven in the other form; what
// might be too long for a peer is left out rather than have the recipient refused. Types
// other than utf-8 are ASCII (RFC 3461 §4.2).
fn type_and_address(original: &str) -> Option<(&str, &str)> {
    let (kind, address) = original.split_once(';')?;
    let is_utf8 = kind.eq_ignore_ascii_case("utf-8");
    let mut encoded = String::new();
    match is_utf8 {
        true => encode_utf8_address(address, false, &mut encoded),
        false if address.is_ascii() => encode_xtext(address, &mut encoded),
        false => return None,
    }
    let length = kind.len() + 1 + encoded.len();
    (length <= MAX_ORIGINAL).then_some((kind, address))
}

// RFC 3461 §4.1: NEVER, or a list of the others.
fn notify(wishes: Notify, out: &mut String) {
    let kinds = [(wishes.success, "SUCCESS"), (wishes.failure, "FAILURE"), (wishes.delay, "DELAY")];
    let mut kinds = kinds.iter().filter(|(wished, _)| *wished).map(|(_, word)| *word);
    out.push_str(kinds.next().unwrap_or("NEVER"));
    for word in kinds {
        out.push(',');
        out.push_str(word);
    }
}
