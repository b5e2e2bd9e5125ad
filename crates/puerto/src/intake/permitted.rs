//! Who may send as whom, applied to a message: to the envelope's reverse-path and to the
//! fields that say whose message it is. What each may use is for [`crate::sender`] to say.

use std::cell::Cell;

use puerto_mail::header::forgiving::{AddressList, Meaning, Member, Written};
use puerto_mail::header::{Field, is_well_formed, read_address_list, write_address_list};
use puerto_smtp::{Address, Domain, Reply, ReversePath};

use super::fix_up::Fixed;
use super::senders::{self, SENDERS};
use super::{KeyRing, Refusal, Source};
use crate::cause::Cause;
use crate::config::Config;
use crate::sender::{Permission, Submitter, Verdict};

/// Fields of a message that its sender passes on: it was written elsewhere, whoever hands
/// it over. A list, a forwarder and a filter that returns it are no authors.
const PASSED_ON: [&str; 6] = [
    "Received",
    "List-Id",
    "DKIM-Signature",
    "ARC-Message-Signature",
    "ARC-Seal",
    "ARC-Authentication-Results",
];

/// Who hands a message over, if that is somebody who may send anywhere: strangers' mail is
/// for our users, and whatever it says of its senders is for others to judge.
fn submitter(source: &Source) -> Option<Submitter<'_>> {
    match source {
        Source::Local { uid, user, .. } => Some(Submitter::User { uid: *uid, name: user }),
        Source::Smtp { account: Some(account), .. } => {
            Some(Submitter::Account { name: &account.name, addresses: &account.addresses })
        }
        Source::Smtp { trusted: true, peer, .. } => Some(Submitter::Client(peer.ip())),
        Source::Smtp { .. } | Source::Internal | Source::Outward | Source::Forwarded => None,
    }
}

/// Says at the envelope's beginning what would be refused at the message's end, whatever the
/// message is.
pub(super) fn at_mail(
    source: &Source,
    from: &ReversePath,
    config: &Config,
    keys: &KeyRing,
) -> Result<(), Refusal> {
    let (Some(submitter), Some(address)) = (submitter(source), from.address()) else {
        return Ok(());
    };
    let signs = |domain: &Domain| !keys.keys_for(domain).is_empty();
    let permission = Permission::new(config, submitter, &signs);
    if permission.is_boundless() || !permission.refuses(from) {
        return Ok(());
    }
    let known = senders::known(config, address);
    let address = known.as_ref().unwrap_or(address);
    match permission.judge_path(address) {
        Verdict::Allowed => Ok(()),
        // It may be passed on.
        Verdict::Foreign if !permission.is_of_a_login() => Ok(()),
        verdict => Err(refused_path(&permission, address, verdict)),
    }
}

/// Judges a message's senders, and has those that may not be used refused or written anew.
pub(super) fn apply(
    source: &Source,
    reverse_path: &mut ReversePath,
    (config, keys): (&Config, &KeyRing),
    fixed: &mut Fixed<'_>,
) -> Result<(), Refusal> {
    let Some(submitter) = submitter(source) else { return Ok(()) };
    let signs = |domain: &Domain| !keys.keys_for(domain).is_empty();
    let permission = Permission::new(config, submitter, &signs);
    if permission.is_boundless() {
        return Ok(());
    }
    let fields = fixed.fields();
    let is_passed_on = !permission.is_of_a_login()
        && fields.iter().any(|field| PASSED_ON.iter().any(|name| field.is(name)));
    let judge = |address: &Address| match permission.judge(address) {
        Verdict::Foreign if is_passed_on => Verdict::Allowed,
        verdict => verdict,
    };
    // What was written elsewhere may be as bad as it was there, but shows whose it is.
    let counts = |flaw: &Flaw| !is_passed_on || !matches!(flaw, Flaw::Unreadable(Unread::Name(_)));
    let flaw = |field: &Field<'_>| flaw(field, &judge).filter(counts);
    let refuses = permission.refuses(reverse_path);
    let mut to_rewrite = false;
    for field in &fields {
        let Some(flaw) = flaw(field) else { continue };
        if refuses || permission.own().is_none() {
            return Err(refused_field(&permission, field, &flaw));
        }
        to_rewrite = true;
    }
    let is_as_read = !fields.iter().any(is_read_otherwise);
    drop(fields);
    if !is_passed_on && !to_rewrite && !is_as_read {
        write_as_read(fixed);
    }
    let path_verdict = match reverse_path.address().map(|path| permission.judge_path(path)) {
        None => Verdict::Allowed,
        Some(Verdict::Foreign) if is_passed_on => Verdict::Allowed,
        Some(verdict) => verdict,
    };
    if !to_rewrite && path_verdict == Verdict::Allowed {
        return Ok(());
    }
    let path = reverse_path.address().cloned();
    let own = match (&path, permission.own()) {
        (Some(path), own) if path_verdict != Verdict::Allowed => match own {
            Some(own) if !refuses => {
                fixed.notices.push(Cause::SenderRewritten {
                    from: path.to_string(),
                    to: own.to_string(),
                    why: Box::new(why(&permission, path, path_verdict)),
                });
                *reverse_path = ReversePath::Address(own.clone());
                own
            }
            _ => return Err(refused_path(&permission, path, path_verdict)),
        },
        // Bounces and answers reach the same.
        (Some(path), _) if judge(path) == Verdict::Allowed && !is_passed_on => path.clone(),
        (_, Some(own)) => own,
        (_, None) => return Ok(()),
    };
    if to_rewrite {
        rewrite(fixed, &permission, &own, &flaw);
    }
    Ok(())
}

/// What speaks against a field that says whose message it is.
enum Flaw {
    /// An address in it that may not be used.
    Address(Address, Verdict),
    /// Something in it that we read no address in, and another program may.
    Unreadable(Unread),
}

/// What could not be read.
enum Unread {
    /// A part of a name beside an address, as where a comma of the name is not quoted.
    Name(String),
    /// What may be an address, or all there is.
    Address(String),
}

impl Flaw {
    fn verdict(&self) -> Verdict {
        match self {
            Self::Address(_, verdict) => *verdict,
            Self::Unreadable(_) => Verdict::NotOwn,
        }
    }

    fn text(&self) -> String {
        match self {
            Self::Address(address, _) => address.to_string(),
            Self::Unreadable(Unread::Name(excerpt) | Unread::Address(excerpt)) => excerpt.clone(),
        }
    }

    fn why(&self, permission: &Permission<'_>) -> Cause {
        match self {
            Self::Address(address, verdict) => why(permission, address, *verdict),
            Self::Unreadable(_) => Cause::AddressUnreadable {},
        }
    }
}

fn flaw(field: &Field<'_>, judge: &impl Fn(&Address) -> Verdict) -> Option<Flaw> {
    SENDERS.iter().find(|name| field.is(name))?;
    let list = read_address_list(field.value(), None);
    let mut judged = list.written().map(|written| (&written.address, judge(&written.address)));
    if let Some((address, verdict)) = judged.find(|(_, verdict)| *verdict != Verdict::Allowed) {
        return Some(Flaw::Address(address.clone(), verdict));
    }
    let is_nobodys = field.is("From") && list.written().next().is_none();
    let mut unread: Vec<String> = list.problems().map(|problem| problem.excerpt).collect();
    let may_be_one = |excerpt: &String| is_nobodys || excerpt.contains(['@', '\u{ff20}']);
    if let Some(place) = unread.iter().position(may_be_one) {
        return Some(Flaw::Unreadable(Unread::Address(unread.swap_remove(place))));
    }
    if is_nobodys {
        return Some(Flaw::Unreadable(Unread::Address(String::new())));
    }
    unread.into_iter().next().map(|excerpt| Flaw::Unreadable(Unread::Name(excerpt)))
}

// Writes the fields anew whose addresses may not be used.
fn rewrite(
    fixed: &mut Fixed<'_>,
    permission: &Permission<'_>,
    own: &Address,
    flaw: &impl Fn(&Field<'_>) -> Option<Flaw>,
) {
    let mut originals = Vec::new();
    let mut reply_to = Vec::new();
    let mut notice = None;
    for field in &fixed.fields() {
        let Some(bad) = flaw(field) else { continue };
        if field.is("From") {
            notice = Some(Cause::AuthorRewritten {
                from: bad.text(),
                to: own.to_string(),
                why: Box::new(bad.why(permission)),
            });
            let list = read_address_list(field.value(), None);
            if list.written().next().is_some() {
                write_address_list(&mut reply_to, "Reply-To", &list, None);
            }
        }
        originals.extend(as_original(field));
    }
    // Of several authors the first is shown, as where none is written anew.
    let is_seen = Cell::new(false);
    fixed.map(|field| match field.is("From") && is_seen.replace(true) {
        true => Some(Vec::new()),
        false => flaw(field).map(|_| written_anew(field, own)),
    });
    fixed.notices.extend(notice);
    let has_reply_to = fixed.fields().iter().any(|field| field.is("Reply-To"));
    if !has_reply_to {
        fixed.added.extend(reply_to);
    }
    fixed.added.extend(originals);
    // Whatever stood there before: the author whom receivers see is the one to sign for.
    fixed.from_domain = senders::domain_seen(fixed);
}

// One address stands for all.
fn written_anew(field: &Field<'_>, own: &Address) -> Vec<u8> {
    let read = read_address_list(field.value(), None);
    let name = read.written().next().map(|written| written.name.clone()).unwrap_or_default();
    let written = Written { name, address: own.clone(), is_sound: false };
    let member = Member { octets: b"", meaning: Meaning::Mailbox(written) };
    written_list(field, &AddressList { members: vec![member] })
}

// A program may take an `@` of a name for that of an address, where we do not.
fn is_read_otherwise(field: &Field<'_>) -> bool {
    field.is("From") && !is_well_formed(field.value())
}

// So whose mail this is stands there in the one form that all read alike.
fn write_as_read(fixed: &mut Fixed<'_>) {
    fixed.map(|field| {
        let list = || written_list(field, &read_address_list(field.value(), None));
        is_read_otherwise(field).then(list)
    });
}

fn written_list(field: &Field<'_>, list: &AddressList<'_>) -> Vec<u8> {
    let mut out = Vec::with_capacity(field.raw().len() + 64);
    write_address_list(&mut out, &String::from_utf8_lossy(field.name()), list, None);
    out
}

fn as_original(field: &Field<'_>) -> Vec<u8> {
    let rest = field.raw().get(field.name().len()..).unwrap_or_default();
    [b"X-Original-", field.name(), rest].concat()
}

fn why(permission: &Permission<'_>, address: &Address, verdict: Verdict) -> Cause {
    match verdict {
        Verdict::Foreign => Cause::DomainNotOurs { domain: address.domain().to_string() },
        Verdict::NotOwn | Verdict::Allowed => {
            Cause::AddressNotOwned { who: permission.who().to_string() }
        }
    }
}

/// The wording is the one that log readers know. What it costs the reader to know more is in
/// it: what may be used, and what allows the rest.
fn refused_path(permission: &Permission<'_>, address: &Address, verdict: Verdict) -> Refusal {
    let text = format!(
        "<{address}>: Sender address rejected: {}; {}",
        why(permission, address, verdict),
        remedy(permission, verdict)
    );
    Refusal { reply: Reply::enhanced(553, (5, 7, 1), text) }
}

fn refused_field(permission: &Permission<'_>, field: &Field<'_>, flaw: &Flaw) -> Refusal {
    let text = format!(
        "{} address <{}> rejected: {}; {}",
        String::from_utf8_lossy(field.name()),
        flaw.text(),
        flaw.why(permission),
        remedy(permission, flaw.verdict())
    );
    Refusal { reply: Reply::enhanced(550, (5, 7, 1), text) }
}

fn remedy(permission: &Permission<'_>, verdict: Verdict) -> String {
    let (who, may_use) = (permission.who(), permission.described());
    let key = if verdict == Verdict::Foreign { ", or to all by sender.foreign" } else { "" };
    let key = match permission.is_of_an_own_account() {
        true => format!("`puerto user addresses`{key}"),
        false => format!("[sender]{key}"),
    };
    format!("{who} may use {may_use}; the administrator allows more by {key}")
}
