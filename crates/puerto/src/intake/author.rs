//! Whose message it is: the From field as receivers want it, with one address that can
//! be read, made of what the program wrote there. No address is invented: where there
//! is none, it is that of the sender, and the words stay beside it as a name.

use std::collections::HashSet;

use puerto_mail::header::forgiving::{AddressList, Meaning, Member, Written};
use puerto_mail::header::{
    Field, Header, encoded_word::Place, is_well_formed, parse_address_list, read_address_list,
    write_address_list, write_mended,
};
use puerto_mail::idn;
use puerto_smtp::{Address, Domain, LocalPart};

use super::Source;
use super::fix_up::{Handling, default_domain, has_long_line};
use super::prepare::Work;
use crate::cause::Cause;

/// What is to become of the From fields.
#[derive(Default)]
pub(super) struct Author {
    /// Whose message it is, if that can be said.
    pub(super) address: Option<Address>,
    /// The field to stand in place of those that came.
    pub(super) field: Option<Vec<u8>>,
    /// Fields to be added for what that one cannot hold.
    pub(super) others: Vec<u8>,
    /// What the administrator should know.
    pub(super) notice: Option<Cause>,
}

/// Finds the author of a message.
pub(super) fn find(
    header: &Header<'_>,
    work: &Work,
    handling: Handling,
    charset: Option<&str>,
) -> Author {
    let completes = handling == Handling::Complete;
    let fields: Vec<&Field<'_>> =
        header.named("From").filter(|field| !field.unfolded().is_empty()).collect();
    if fields.is_empty() {
        return missing(header, work, handling);
    }
    if let [only] = fields.as_slice()
        && (is_well_formed(only.value())
            || !completes && (only.value().is_ascii() || !work.envelope.smtputf8))
        && !has_long_line(only.raw())
        // A group is no author to most receivers.
        && !only.value().contains(&b':')
        && let Ok([mailbox]) = parse_address_list(only.value(), None).as_deref()
    {
        return Author { address: Some(mailbox.address.clone()), ..Author::default() };
    }
    let values: Vec<_> = fields.iter().map(|field| field.unfolded()).collect();
    let mut lists: Vec<AddressList<'_>> =
        values.iter().map(|value| read_address_list(value, None)).collect();
    if lists.iter().all(|list| list.written().next().is_none()) {
        let default = default_domain(work, handling);
        lists = values.iter().map(|value| read_address_list(value, default)).collect();
    }
    lists.iter_mut().for_each(write_domains_in_ascii);
    let mut author = match (mailboxes(&lists).as_slice(), completes) {
        ([], false) => return Author::default(),
        ([], true) => return nameless(&lists, work, charset),
        // Only what looks like several is refused by receivers.
        ([only], false) if !values.iter().any(|value| value.iter().any(|b| b",;:".contains(b))) => {
            return Author { address: address_of(only), ..Author::default() };
        }
        ([only], _) => one(only, charset),
        (all, _) => several(all, header, charset),
    };
    // What From cannot hold stays in the message, for people.
    let is_all = author.notice.is_none() && lists.iter().all(|l| l.problems().next().is_none());
    for value in values.iter().filter(|_| !is_all) {
        write_mended(&mut author.others, "X-Original-From", value, Place::Guarded, charset);
    }
    author
}

// The mailboxes of all From fields, each once.
fn mailboxes<'a>(lists: &'a [AddressList<'_>]) -> Vec<&'a Member<'a>> {
    let mut found: Vec<&Member<'_>> = Vec::new();
    let mut seen = HashSet::new();
    for member in lists.iter().flat_map(|list| &list.members) {
        let Meaning::Mailbox(written) = &member.meaning else { continue };
        if seen.insert(written.address.to_string().to_lowercase()) {
            found.push(member);
        }
    }
    found
}

fn address_of(member: &Member<'_>) -> Option<Address> {
    match &member.meaning {
        Meaning::Mailbox(written) => Some(written.address.clone()),
        _ => None,
    }
}

fn one(member: &Member<'_>, charset: Option<&str>) -> Author {
    let mut field = Vec::new();
    let list = AddressList { members: vec![member.clone()] };
    write_address_list(&mut field, "From", &list, charset);
    Author { address: address_of(member), field: Some(field), ..Author::default() }
}

// Large receivers refuse a From with several addresses, whatever RFC 5322 §3.6.2 says
// of a Sender beside it: the first stays, and replies go to all.
fn several(all: &[&Member<'_>], header: &Header<'_>, charset: Option<&str>) -> Author {
    let Some(first) = all.first() else { return Author::default() };
    let mut author = one(first, charset);
    if header.named("Reply-To").all(|field| field.unfolded().is_empty()) {
        let list = AddressList { members: all.iter().map(|member| (*member).clone()).collect() };
        write_address_list(&mut author.others, "Reply-To", &list, charset);
    }
    author.notice = Some(Cause::FirstAuthorKept { count: all.len() as u64 });
    author
}

// There is no From with a value.
fn missing(header: &Header<'_>, work: &Work, handling: Handling) -> Author {
    let address = match handling {
        Handling::Complete => sender(work),
        _ => work.envelope.reverse_path.address().cloned().filter(|_| header.count("From") == 0),
    };
    let field = address.clone().map(|address| written(Vec::new(), address, None));
    Author { address, field, ..Author::default() }
}

// There are words and no address.
fn nameless(lists: &[AddressList<'_>], work: &Work, charset: Option<&str>) -> Author {
    let members: Vec<&Member<'_>> = lists.iter().flat_map(|list| &list.members).collect();
    let name = members.iter().map(|member| member.words()).collect::<Vec<_>>().join(&b' ');
    let is_from_mailer = members.iter().any(|member| member.is_empty_path())
        && (work.envelope.reverse_path.is_null() || is_mailer(&name));
    let address = if is_from_mailer { mailer(work) } else { sender(work) };
    let field = address.clone().map(|address| written(name, address, charset));
    Author { address, field, ..Author::default() }
}

fn is_mailer(name: &[u8]) -> bool {
    let name = String::from_utf8_lossy(name).to_ascii_lowercase();
    let words = ["daemon", "mailer", "deliver", "postmaster", "mail system"];
    name.trim().is_empty() || words.iter().any(|word| name.contains(word))
}

fn written(name: Vec<u8>, address: Address, charset: Option<&str>) -> Vec<u8> {
    let written = Written { name, address, is_sound: false };
    let member = Member { octets: b"", meaning: Meaning::Mailbox(written) };
    let mut field = Vec::new();
    write_address_list(&mut field, "From", &AddressList { members: vec![member] }, charset);
    field
}

// Who hands the message over; of a notification, the mailer of this host.
fn sender(work: &Work) -> Option<Address> {
    let reverse_path = work.envelope.reverse_path.address().cloned();
    reverse_path.or_else(|| local_user(work)).or_else(|| mailer(work))
}

fn local_user(work: &Work) -> Option<Address> {
    let Source::Local { user, .. } = &work.source else { return None };
    let local_part = LocalPart::from_unquoted(user).ok()?;
    Some(Address::new(local_part, work.config.sender_domain()?.clone()))
}

// RFC 5321 §6.1 calls it so, and so do all others.
fn mailer(work: &Work) -> Option<Address> {
    let local_part = LocalPart::from_unquoted("MAILER-DAEMON").ok()?;
    let domain = Domain::parse(&work.config.hostname).ok();
    Some(Address::new(local_part, domain.or_else(|| work.config.domains.first().cloned())?))
}

/// A-labels need no SMTPUTF8 (RFC 6531 §3.2), so where nothing else does, they are what
/// is sent.
pub(super) fn write_domains_in_ascii(list: &mut AddressList<'_>) {
    for member in &mut list.members {
        if let Meaning::Mailbox(written) = &mut member.meaning
            && let Some(address) = idn::in_ascii(&written.address)
        {
            written.address = address;
        }
    }
}
