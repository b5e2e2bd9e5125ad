//! What a message of ours lacks is added to its header, and what receivers refuse is
//! made right or refused here, before anything is signed. Mail that others send to
//! our users passes unchanged.

use std::borrow::Cow;

use puerto_mail::date;
use puerto_mail::header::{
    Field, Header, Mailbox, encoded_word, parse_address_list, write_mailboxes, write_structured,
    write_unstructured,
};
use puerto_smtp::limits::MAX_TEXT_LINE;
use puerto_smtp::{Address, Domain, LocalPart, Reply};

use super::prepare::{Work, parse_fields, unacceptable, wall_clock};
use super::{Refusal, Source};

/// Fields that nobody outside may see, or that only the final host may write
/// (RFC 5322 §3.6.3, RFC 5321 §4.4).
const DROPPED: [&str; 4] = ["Bcc", "Resent-Bcc", "Return-Path", "Content-Length"];
/// Fields that hold addresses.
const ADDRESSES: [&str; 9] = [
    "From",
    "Sender",
    "Reply-To",
    "To",
    "Cc",
    "Resent-From",
    "Resent-Sender",
    "Resent-To",
    "Resent-Cc",
];
/// Other fields with a grammar of their own: encoded words are not allowed in them.
const STRUCTURED: [&str; 16] = [
    "Received",
    "Date",
    "Resent-Date",
    "Message-ID",
    "Resent-Message-ID",
    "In-Reply-To",
    "References",
    "MIME-Version",
    "Content-Type",
    "Content-Disposition",
    "Content-Transfer-Encoding",
    "Content-ID",
    "DKIM-Signature",
    "Authentication-Results",
    "ARC-Seal",
    "ARC-Message-Signature",
];
/// Fields of which a message may have one (RFC 5322 §3.6); receivers disagree about
/// which of two counts, and attackers use that.
const UNIQUE: [&str; 6] = ["From", "Date", "Subject", "Message-ID", "To", "Cc"];

/// A header as it will be stored.
pub(super) struct Fixed<'a> {
    kept: Vec<Cow<'a, [u8]>>,
    /// Fields that were missing, to stand above the others.
    pub(super) added: Vec<u8>,
    /// Something among the fields that came differs from how it came.
    pub(super) is_changed: bool,
    /// The value of Message-ID; empty if there is none.
    pub(super) message_id: String,
    /// The domain of From, if the message is ours and so may be signed.
    pub(super) from_domain: Option<Domain>,
    /// An address holds UTF-8.
    pub(super) smtputf8: bool,
}

impl Fixed<'_> {
    /// The fields that came, with their changes.
    pub(super) fn kept(&self) -> impl Iterator<Item = &[u8]> {
        self.kept.iter().map(AsRef::as_ref)
    }

    /// All fields, the added ones first.
    pub(super) fn fields(&self) -> Vec<Field<'_>> {
        let mut fields = parse_fields(&self.added);
        fields.extend(self.kept().filter_map(Field::parse));
        fields
    }

    /// Says how the body is encoded now.
    pub(super) fn set_transfer_encoding(&mut self, encoding: &str) {
        let is_other = |octets: &Cow<'_, [u8]>| {
            !Field::parse(octets).is_some_and(|field| field.is("Content-Transfer-Encoding"))
        };
        let before = self.kept.len();
        self.kept.retain(is_other);
        self.is_changed |= self.kept.len() != before;
        let has_version = self.fields().iter().any(|field| field.is("MIME-Version"));
        if !has_version {
            write_structured(&mut self.added, "MIME-Version", ["1.0"]);
        }
        write_structured(&mut self.added, "Content-Transfer-Encoding", [encoding]);
    }
}

/// Checks a header and, if the message is ours, completes it.
pub(super) fn fix<'a>(header: &Header<'a>, work: &Work) -> Result<Fixed<'a>, Refusal> {
    let mut fixed = Fixed {
        kept: Vec::with_capacity(header.fields().len()),
        added: Vec::new(),
        is_changed: false,
        message_id: header.first("Message-ID").map(Field::text).unwrap_or_default(),
        from_domain: None,
        smtputf8: false,
    };
    if !work.source.is_ours() {
        return pass_on(header, fixed);
    }
    for name in UNIQUE {
        let count = header.count(name);
        if count > 1 {
            return Err(unacceptable(format!(
                "the message has {count} {name} fields: RFC 5322 section 3.6 allows one"
            )));
        }
    }
    let from = match header.first("From") {
        Some(field) => author(field, work)?,
        None => add_from(work, &mut fixed.added)?,
    };
    fixed.smtputf8 = needs_smtputf8(&from, work);
    fixed.from_domain = Some(from.domain().clone());
    for field in header.fields() {
        keep(field, work, &mut fixed)?;
    }
    add_missing(header, work, &mut fixed);
    Ok(fixed)
}

// RFC 5322 §3.6: exactly one From, and no line that cannot be sent on.
fn pass_on<'a>(header: &Header<'a>, mut fixed: Fixed<'a>) -> Result<Fixed<'a>, Refusal> {
    let count = header.count("From");
    if count != 1 {
        return Err(unacceptable(format!(
            "the message has {count} From fields: RFC 5322 section 3.6 wants one"
        )));
    }
    if header.fields().iter().any(has_long_line) {
        return Err(unacceptable(format!(
            "a header line is longer than {MAX_TEXT_LINE} octets (RFC 5322 section 2.1.1)"
        )));
    }
    fixed.kept.extend(header.fields().iter().map(|field| Cow::Borrowed(field.raw())));
    Ok(fixed)
}

fn author(field: &Field<'_>, work: &Work) -> Result<Address, Refusal> {
    let mailboxes = parse_address_list(field.value(), work.config.domains.first())
        .map_err(|error| unacceptable(format!("From cannot be read: {error}")))?;
    let count = mailboxes.len();
    let mut mailboxes = mailboxes.into_iter();
    match (mailboxes.next(), mailboxes.next()) {
        (Some(only), None) => Ok(only.address),
        (None, _) => Err(unacceptable("From holds no address")),
        (Some(_), Some(_)) => Err(unacceptable(format!(
            "From holds {count} addresses: large receivers refuse more than one, so put the others \
             into Reply-To or Cc"
        ))),
    }
}

fn add_from(work: &Work, added: &mut Vec<u8>) -> Result<Address, Refusal> {
    let address = work.envelope.reverse_path.address().cloned().or_else(|| local_author(work));
    let Some(address) = address else {
        let text = "the message has no From field and no sender: add From: user@domain";
        return Err(Refusal { reply: Reply::enhanced(550, (5, 7, 1), text) });
    };
    write_mailboxes(added, "From", &[Mailbox { name: None, address: address.clone() }]);
    Ok(address)
}

fn local_author(work: &Work) -> Option<Address> {
    let Source::Local { user, .. } = &work.source else { return None };
    let local_part = LocalPart::from_unquoted(user).ok()?;
    Some(Address::new(local_part, work.config.domains.first()?.clone()))
}

fn needs_smtputf8(from: &Address, work: &Work) -> bool {
    let envelope = &work.envelope;
    !from.is_ascii()
        || envelope.reverse_path.address().is_some_and(|address| !address.is_ascii())
        || envelope.recipients.iter().any(|recipient| !recipient.address.is_ascii())
}

fn add_missing(header: &Header<'_>, work: &Work, fixed: &mut Fixed<'_>) {
    let is_missing = |name: &str| header.named(name).all(is_empty);
    if is_missing("Date") {
        let now = date::format(wall_clock(work.now));
        write_structured(&mut fixed.added, "Date", [now.as_str()]);
    }
    if is_missing("Message-ID") {
        // The id is unique here for all time, and the host name in the world.
        fixed.message_id = format!("<{}@{}>", work.id, work.config.hostname);
        write_structured(&mut fixed.added, "Message-ID", [fixed.message_id.as_str()]);
    }
}

// A field without a value says nothing, and the grammar of these wants one.
fn is_empty(field: &Field<'_>) -> bool {
    field.unfolded().is_empty()
}

fn keep<'a>(field: &Field<'a>, work: &Work, fixed: &mut Fixed<'a>) -> Result<(), Refusal> {
    let is_listed = |names: &[&str]| names.iter().any(|name| field.is(name));
    let is_useless = is_empty(field) && (is_listed(&ADDRESSES) || is_listed(&STRUCTURED));
    if is_listed(&DROPPED) || is_useless {
        fixed.is_changed = true;
        return Ok(());
    }
    let changed = if is_listed(&ADDRESSES) {
        addresses(field, work, &mut fixed.smtputf8)?
    } else {
        text(field, work)?
    };
    match changed.or_else(|| without_gap(field)) {
        Some(octets) => {
            fixed.is_changed = true;
            fixed.kept.push(Cow::Owned(octets));
        }
        None => fixed.kept.push(Cow::Borrowed(field.raw())),
    }
    Ok(())
}

// Bare names are qualified; UTF-8 in display names is encoded, since few receivers
// take it otherwise. A list that cannot be read stays as it is.
fn addresses(
    field: &Field<'_>,
    work: &Work,
    smtputf8: &mut bool,
) -> Result<Option<Vec<u8>>, Refusal> {
    let is_long = has_long_line(field);
    let Ok(mailboxes) = parse_address_list(field.value(), work.config.domains.first()) else {
        return if is_long { refold(field).map(Some) } else { Ok(None) };
    };
    *smtputf8 |= mailboxes.iter().any(|mailbox| !mailbox.address.is_ascii());
    let is_bare = parse_address_list(field.value(), None).is_err();
    let is_raw = !field.value().is_ascii() && !work.envelope.smtputf8;
    if mailboxes.is_empty() || !(is_bare || is_raw || is_long) {
        return Ok(None);
    }
    let mut out = Vec::with_capacity(field.raw().len() + 64);
    write_mailboxes(&mut out, &String::from_utf8_lossy(field.name()), &mailboxes);
    Ok(Some(out))
}

fn text(field: &Field<'_>, work: &Work) -> Result<Option<Vec<u8>>, Refusal> {
    let is_structured = STRUCTURED.iter().any(|name| field.is(name));
    if !is_structured && !work.envelope.smtputf8 && !field.value().is_ascii() {
        let value = field.unfolded();
        let encoded = encoded_word::encode(&value);
        let mut out = Vec::with_capacity(encoded.len() + 64);
        write_structured(&mut out, &String::from_utf8_lossy(field.name()), encoded.split(' '));
        return Ok(Some(out));
    }
    if has_long_line(field) { refold(field).map(Some) } else { Ok(None) }
}

// White space before the colon is obsolete, and some verifiers of signatures refuse
// the whole message for it.
fn without_gap(field: &Field<'_>) -> Option<Vec<u8>> {
    let rest = field.raw().get(field.name().len()..)?;
    let gap = rest.iter().position(|byte| *byte == b':').filter(|gap| *gap > 0)?;
    Some([field.name(), rest.get(gap..)?].concat())
}

fn has_long_line(field: &Field<'_>) -> bool {
    let raw = field.raw();
    raw.len() > MAX_TEXT_LINE
        && raw.split(|byte| *byte == b'\n').any(|line| line.len() > MAX_TEXT_LINE + 1)
}

// Folds at the white space that is there; a word too long for a line stays one.
fn refold(field: &Field<'_>) -> Result<Vec<u8>, Refusal> {
    let name = String::from_utf8_lossy(field.name());
    let value = field.text();
    let longest = value.split([' ', '\t']).map(str::len).max().unwrap_or(0);
    if longest + name.len() + 2 > 900 {
        return Err(unacceptable(format!(
            "the field {name} has a line longer than {MAX_TEXT_LINE} octets that cannot be folded"
        )));
    }
    let mut out = Vec::with_capacity(value.len() + 64);
    write_unstructured(&mut out, &name, &value);
    Ok(out)
}
