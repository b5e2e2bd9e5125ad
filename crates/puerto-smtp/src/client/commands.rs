//! The commands of one transaction in their wire form.

use std::fmt::Write as _;

use crate::client::Transaction;
use crate::command::encode_xtext;
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
    if peer.smtputf8 && transaction.needs_smtputf8() {
        out.push_str(" SMTPUTF8");
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
    out.push_str("\r\n");
}

/// Appends `RCPT TO`.
pub fn recipient(recipient: &Recipient, peer: &Extensions, out: &mut String) {
    let _ = write!(out, "RCPT TO:<{}>", recipient.address);
    if peer.dsn {
        if let Some(wishes) = recipient.notify {
            out.push_str(" NOTIFY=");
            notify(wishes, out);
        }
        // An address of type rfc822 is ASCII; others would need utf-8-addr-xtext
        // (RFC 6533 §3), which a peer may not know.
        let original = recipient.original.as_deref().filter(|original| original.is_ascii());
        if let Some((kind, address)) = original.and_then(|original| original.split_once(';')) {
            out.push_str(" ORCPT=");
            encode_xtext(kind, out);
            out.push(';');
            encode_xtext(address, out);
        }
    }
    out.push_str("\r\n");
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
