//! The field that tells of the program which has handed a message over.
//!
//! What it says is for those who keep this machine: paths and users' names are nobody
//! else's to know. So by default only mail that stays here has it, and what is sent on to
//! another address loses it. Whoever writes such a field into a message has it taken out.

use puerto_mail::header::write_structured;

use super::Source;
use super::prepare::Work;
use crate::config::OriginHeader;
use crate::route;

/// Its name.
pub(super) const NAME: &str = "X-Local-Origin";

/// Writes it, if the message is to have it.
pub(super) fn write(work: &Work, out: &mut Vec<u8>) {
    let Source::Local { uid, origin, .. } = &work.source else { return };
    let stays = || {
        let mut recipients = work.envelope.recipients.iter();
        recipients.all(|recipient| route::is_local(&work.config, recipient.address.domain()))
    };
    let is_wanted = match work.config.pickup.header {
        OriginHeader::None => false,
        OriginHeader::Local => stays(),
        OriginHeader::All => true,
    };
    if !is_wanted {
        return;
    }
    let facts = origin.process.each().map(|(name, value)| format!("{name}={}", quoted(&value)));
    let claims = origin.claims.each();
    let claims = claims.map(|(name, value)| format!("claimed-{name}={}", quoted(value)));
    let mut parts: Vec<String> =
        std::iter::once(format!("uid={uid}")).chain(facts).chain(claims).collect();
    let last = parts.len().saturating_sub(1);
    for part in parts.iter_mut().take(last) {
        part.push(';');
    }
    write_structured(out, NAME, parts.iter().map(String::as_str));
}

// A value cannot end early, nor become another.
fn quoted(value: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-@:[]".contains(c);
    if value.chars().all(is_plain) {
        return value.to_owned();
    }
    let ascii = |c: char| if (' '..='~').contains(&c) && c != '"' && c != '\\' { c } else { '?' };
    format!("\"{}\"", value.chars().map(ascii).collect::<String>())
}
