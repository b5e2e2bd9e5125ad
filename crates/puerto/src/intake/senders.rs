//! The senders of a message as they are known elsewhere: that of the envelope, and those
//! in the header. What they become is for [`crate::sender`] to say.

use puerto_mail::header::forgiving::Meaning;
use puerto_mail::header::{Field, read_address_list, write_address_list};
use puerto_smtp::{Address, Domain, ReversePath};

use super::fix_up::Fixed;
use crate::config::Config;
use crate::sender;

/// Fields that say whose message it is.
pub(super) const SENDERS: [&str; 4] = ["From", "Sender", "Resent-From", "Resent-Sender"];

/// Writes the envelope's sender as it is known elsewhere. Returns it as it was, if it
/// changes.
pub(super) fn rewrite_envelope(
    reverse_path: &mut ReversePath,
    config: &Config,
) -> Option<ReversePath> {
    let known = reverse_path.address().and_then(|address| known(config, address))?;
    Some(std::mem::replace(reverse_path, ReversePath::Address(known)))
}

/// Writes the header's senders as they are known elsewhere.
pub(super) fn rewrite_header(fixed: &mut Fixed<'_>, config: &Config) {
    if !sender::is_needed(config) {
        return;
    }
    let fields = fixed.fields();
    let has_reply_to = fields.iter().any(|field| field.is("Reply-To"));
    let author = fields.iter().find(|field| field.is("From"));
    // Where all mail is from one address, the answer is to reach the author.
    let author = author.filter(|_| !has_reply_to && sender::only_one(config).is_some());
    let reply_to = author.and_then(|field| {
        let mut copy = Vec::new();
        let is_changed = rewritten(field, |address| known(config, address)).is_some();
        let list = read_address_list(field.value(), None);
        write_address_list(&mut copy, "Reply-To", &list, None);
        let own = Field::parse(&copy).and_then(|f| rewritten(&f, |a| sender::outside(config, a)));
        is_changed.then(|| own.unwrap_or(copy))
    });
    drop(fields);
    fixed.map(|field| {
        if SENDERS.iter().any(|name| field.is(name)) {
            rewritten(field, |address| known(config, address))
        } else if field.is("Reply-To") || field.is("Disposition-Notification-To") {
            rewritten(field, |address| sender::outside(config, address))
        } else {
            None
        }
    });
    fixed.added.extend(reply_to.unwrap_or_default());
    // What was to be signed is, for the author that it has now.
    if fixed.from_domain.is_some()
        && let Some(author) = domain_seen(fixed)
    {
        fixed.from_domain = Some(author);
    }
}

/// The domain of the author whom receivers see.
pub(super) fn domain_seen(fixed: &Fixed<'_>) -> Option<Domain> {
    let from = fixed.fields().into_iter().find(|field| field.is("From"))?;
    let list = read_address_list(from.value(), None);
    list.written().next().map(|written| written.address.domain().clone())
}

/// The address under which this one is known elsewhere, if that is another.
pub(super) fn known(config: &Config, address: &Address) -> Option<Address> {
    match sender::only_one(config) {
        Some(only) => (only != address).then(|| only.clone()),
        None => sender::outside(config, address),
    }
}

fn rewritten(field: &Field<'_>, known: impl Fn(&Address) -> Option<Address>) -> Option<Vec<u8>> {
    let value = field.unfolded();
    let mut list = read_address_list(&value, None);
    let mut is_changed = false;
    for member in &mut list.members {
        let Meaning::Mailbox(written) = &mut member.meaning else { continue };
        if let Some(address) = known(&written.address) {
            written.address = address;
            written.is_sound = false;
            is_changed = true;
        }
    }
    let mut out = Vec::with_capacity(field.raw().len() + 64);
    write_address_list(&mut out, &String::from_utf8_lossy(field.name()), &list, None);
    is_changed.then_some(out)
}
