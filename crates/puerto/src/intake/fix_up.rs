//! What a message of ours lacks is added to its header, and what receivers refuse is
//! made right here, before anything is signed. Nothing that a program of this machine
//! writes into a header is a reason to refuse its message.
//!
//! How much is done depends on who wrote the message ([`Handling`]): another host that
//! may relay gets nothing changed that its signature, or the one that it passes on, may
//! cover; mail that others send to our users passes unchanged.

use std::borrow::Cow;
use std::collections::HashSet;

use puerto_mail::date;
use puerto_mail::header::encoded_word::{Place, is_japanese};
use puerto_mail::header::{
    Field, Header, is_well_formed, parse_address_list, read_address_list, write_address_list,
    write_folded, write_mended, write_parameters, write_structured,
};
use puerto_mail::mime::Value;
use puerto_smtp::limits::MAX_TEXT_LINE;
use puerto_smtp::{Address, Domain};

use super::foreign::is_forged;
use super::prepare::{Work, parse_fields, unacceptable, wall_clock};
use super::{Refusal, Source, author, local_origin, repeated};
use crate::cause::Cause;
use crate::telemetry::Change;

/// Fields that nobody outside may see, or that only the final host may write
/// (RFC 5322 §3.6.3, RFC 5321 §4.4).
const DROPPED: [&str; 5] =
    ["Bcc", "Resent-Bcc", "Return-Path", "Content-Length", local_origin::NAME];
/// Fields that hold addresses.
const ADDRESSES: [&str; 15] = [
    "From",
    "Sender",
    "Reply-To",
    "To",
    "Cc",
    "Resent-From",
    "Resent-Sender",
    "Resent-Reply-To",
    "Resent-To",
    "Resent-Cc",
    "Disposition-Notification-To",
    "Return-Receipt-To",
    "Errors-To",
    "Mail-Followup-To",
    "Apparently-To",
];
/// Those of them that name recipients.
const RECIPIENTS: [&str; 5] = ["To", "Cc", "Resent-To", "Resent-Cc", "Apparently-To"];
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
/// Those of them whose parameters may hold text.
const PARAMETERS: [&str; 2] = ["Content-Type", "Content-Disposition"];
/// Those of them that hold ids.
const LISTS_OF_IDS: [&str; 2] = ["References", "In-Reply-To"];
/// Those of them that hold a date.
const DATES: [&str; 2] = ["Date", "Resent-Date"];
/// Fields that are nothing but text.
const TEXTS: [&str; 6] =
    ["Subject", "Comments", "Keywords", "Organization", "Content-Description", "Thread-Topic"];
/// Changes of fields that are told.
const MOST_CHANGES: usize = 50;
/// Octets of a field's name that fit on a line with a value.
const LONGEST_NAME: usize = MAX_TEXT_LINE / 2;
/// Fields that say that somebody has signed the message (RFC 6376 §3.5, RFC 8617 §4.1).
const SIGNATURES: [&str; 4] =
    ["DKIM-Signature", "ARC-Message-Signature", "ARC-Seal", "ARC-Authentication-Results"];

/// How much of a message may be made right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Handling {
    /// A program of this machine wrote it: all of it.
    Complete,
    /// Another host that we relay for wrote it: what the next hop cannot take.
    Relay,
    /// The same, and somebody has signed it: nothing, wherever it comes from.
    Signed,
    /// It is from others, to our users: nothing, and it may be refused.
    PassOn,
    /// It was taken in before, and goes on to another address: nothing.
    Forward,
}

impl Handling {
    /// What may be done to a message with this header from this source.
    pub(super) fn of(source: &Source, header: &Header<'_>) -> Self {
        match source {
            Source::Forwarded | Source::Outward => Self::Forward,
            Source::Smtp { trusted: false, .. } => Self::PassOn,
            _ if SIGNATURES.iter().any(|name| header.first(name).is_some()) => Self::Signed,
            _ if source.is_of_this_machine() => Self::Complete,
            _ => Self::Relay,
        }
    }
}

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
    /// What the administrator should know.
    pub(super) notices: Vec<Cause>,
}

impl Fixed<'_> {
    fn replace(&mut self, octets: Vec<u8>) {
        self.is_changed = true;
        self.kept.push(Cow::Owned(octets));
    }

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

    /// What is not as it came.
    pub(super) fn changes(&self, header: &Header<'_>) -> Vec<Change> {
        let name = |field: &Field<'_>| String::from_utf8_lossy(field.name()).into_owned();
        let mut changes: Vec<Change> = match self.added.as_slice() {
            [] => Vec::new(),
            added => parse_fields(added).iter().map(|field| Change::Added(name(field))).collect(),
        };
        if !self.is_changed {
            return changes;
        }
        let came: HashSet<&[u8]> = header.fields().iter().map(Field::raw).collect();
        let kept: Vec<Field<'_>> = self.kept().filter_map(Field::parse).collect();
        let names: HashSet<_> = kept.iter().map(|field| name(field).to_lowercase()).collect();
        let rewritten = kept.iter().filter(|field| !came.contains(field.raw()));
        changes.extend(rewritten.map(|field| Change::Rewritten(name(field))));
        let fields = header.fields().iter();
        let gone = fields.filter(|field| !names.contains(&name(field).to_lowercase()));
        changes.extend(gone.map(|field| Change::Dropped(name(field))));
        // One who looks for more looks at the message.
        changes.truncate(MOST_CHANGES);
        changes
    }

    /// Puts what `change` makes of a field in its place, wherever it makes something.
    pub(super) fn map(&mut self, change: impl Fn(&Field<'_>) -> Option<Vec<u8>>) {
        for field in &mut self.kept {
            if let Some(octets) = Field::parse(field).and_then(|field| change(&field)) {
                self.is_changed = true;
                *field = Cow::Owned(octets);
            }
        }
        let added = parse_fields(&self.added);
        let changed =
            added.iter().flat_map(|field| change(field).unwrap_or_else(|| field.raw().to_vec()));
        self.added = changed.collect();
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
    let handling = Handling::of(&work.source, header);
    let mut fixed = Fixed {
        kept: Vec::with_capacity(header.fields().len()),
        added: Vec::new(),
        is_changed: false,
        message_id: String::new(),
        from_domain: None,
        smtputf8: false,
        notices: Vec::new(),
    };
    match handling {
        Handling::PassOn => check(header)?,
        Handling::Forward => {}
        Handling::Signed => pass_signed(header, work, &mut fixed),
        Handling::Relay | Handling::Complete => mend(header, work, handling, &mut fixed),
    }
    if matches!(handling, Handling::PassOn | Handling::Forward) {
        let honest = |field: &&Field<'_>| {
            !is_forged(field, &work.source, &work.config) && !field.is(local_origin::NAME)
        };
        let kept = header.fields().iter().filter(honest);
        fixed.kept.extend(kept.map(|field| Cow::Borrowed(field.raw())));
        fixed.is_changed |= fixed.kept.len() < header.fields().len();
    }
    let is_id = |field: &Field<'_>| field.is("Message-ID");
    let added = parse_fields(&fixed.added).into_iter().find(is_id);
    let id = added.or_else(|| fixed.kept().filter_map(Field::parse).find(is_id));
    fixed.message_id = id.as_ref().map(Field::text).unwrap_or_default();
    Ok(fixed)
}

// RFC 5322 §3.6: exactly one From. What has none or several is forged to be read in two
// ways, or fails at every receiver that looks.
fn check(header: &Header<'_>) -> Result<(), Refusal> {
    match header.count("From") {
        1 => Ok(()),
        count => Err(unacceptable(format!(
            "the message has {count} From fields: RFC 5322 section 3.6 wants one"
        ))),
    }
}

fn pass_signed<'a>(header: &Header<'a>, work: &Work, fixed: &mut Fixed<'a>) {
    let signed = Signed::by(header);
    for field in header.fields() {
        if is_one_of(field, &DROPPED) && !signed.covers(field.name()) {
            fixed.is_changed = true;
        } else if has_long_line(field.raw()) && signed.may_be_folded {
            let mut folded = Vec::with_capacity(field.raw().len() + 64);
            write_folded(&mut folded, field.raw());
            fixed.replace(folded);
        } else {
            fixed.kept.push(Cow::Borrowed(field.raw()));
        }
    }
    if work.source.is_of_this_machine() {
        add_missing(work, fixed, |name| signed.covers(name.as_bytes()));
    }
    let author = header.first("From").filter(|_| header.count("From") == 1);
    let author = author.and_then(|field| parse_address_list(field.value(), None).ok());
    if let Some([author]) = author.as_deref() {
        fixed.from_domain = Some(author.address.domain().clone());
    }
}

// What the signatures of a header cover.
struct Signed {
    names: HashSet<String>,
    may_be_folded: bool,
}

impl Signed {
    fn by(header: &Header<'_>) -> Self {
        let mut signed = Self { names: HashSet::new(), may_be_folded: true };
        for field in header.fields() {
            let is_dkim = field.is("DKIM-Signature");
            if !is_dkim && !field.is("ARC-Message-Signature") {
                continue;
            }
            let text: String = field.text().chars().filter(|c| !c.is_whitespace()).collect();
            let tag = |name: &str| text.split(';').find_map(|tag| tag.strip_prefix(name));
            let names = tag("h=").unwrap_or_default().split(':');
            signed.names.extend(names.map(str::to_ascii_lowercase));
            // Simple is what a signature means that does not say (RFC 6376 §3.5).
            let is_relaxed = tag("c=").is_some_and(|form| form.starts_with("relaxed"));
            signed.may_be_folded &= is_relaxed || !is_dkim;
        }
        signed
    }

    fn covers(&self, name: &[u8]) -> bool {
        self.names.contains(&String::from_utf8_lossy(name).to_ascii_lowercase())
    }
}

fn mend<'a>(header: &Header<'a>, work: &Work, handling: Handling, fixed: &mut Fixed<'a>) {
    let charset = declared_charset(header);
    let author = author::find(header, work, handling, charset.as_deref());
    fixed.smtputf8 = needs_smtputf8(author.address.as_ref(), work, handling);
    let mender = Mender { work, handling, charset: charset.as_deref() };
    let mut from = author.field;
    let has_new_author = from.is_some();
    for field in header.fields() {
        if has_new_author && field.is("From") {
            fixed.is_changed = true;
            fixed.kept.extend(from.take().map(Cow::Owned));
        } else {
            mender.keep(field, fixed);
        }
    }
    fixed.is_changed |= repeated::join(&mut fixed.kept, &mut fixed.notices);
    fixed.notices.extend(author.notice);
    fixed.added.extend(from.unwrap_or_default());
    fixed.added.extend(author.others);
    // Who resends a message is no business of a host that it passes.
    add_missing(work, fixed, |name| handling == Handling::Relay && name.starts_with("Resent-"));
    fixed.from_domain = author.address.map(|address| address.domain().clone());
}

fn needs_smtputf8(from: Option<&Address>, work: &Work, handling: Handling) -> bool {
    let envelope = &work.envelope;
    let from = from.filter(|_| handling == Handling::Complete);
    from.is_some_and(|address| !address.is_ascii())
        || envelope.reverse_path.address().is_some_and(|address| !address.is_ascii())
        || envelope.recipients.iter().any(|recipient| !recipient.address.is_ascii())
}

// A character set of eight bits that the message says it is in.
fn declared_charset(header: &Header<'_>) -> Option<String> {
    let text = header.first("Content-Type")?.text();
    let charset = Value::of(&text).get("charset")?.to_ascii_lowercase();
    let is_token = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    let name = charset.split(|c| !is_token(c)).next().unwrap_or_default();
    let is_known = ["iso-8859-", "windows-", "koi8-", "cp", "gb", "big5", "euc-", "shift_jis"];
    is_known.iter().any(|start| name.starts_with(start)).then(|| name.to_owned())
}

fn add_missing(work: &Work, fixed: &mut Fixed<'_>, may_not_be: impl Fn(&str) -> bool) {
    let (mut has_date, mut has_id) = (false, false);
    let (mut is_resent, mut has_resent_date, mut has_resent_id) = (false, false, false);
    for field in fixed.kept().filter_map(Field::parse) {
        has_date |= field.is("Date");
        has_id |= field.is("Message-ID");
        is_resent |= field.is("Resent-From") || field.is("Resent-To") || field.is("Resent-Cc");
        has_resent_date |= field.is("Resent-Date");
        has_resent_id |= field.is("Resent-Message-ID");
    }
    let mut add = |name, value: &dyn Fn() -> String, is_missing| {
        if is_missing && !may_not_be(name) {
            write_structured(&mut fixed.added, name, [value().as_str()]);
        }
    };
    let now = || date::format(wall_clock(work.now));
    // The id is unique here for all time, and the host name in the world.
    let id = || format!("<{}@{}>", work.id, work.config.hostname);
    add("Date", &now, !has_date);
    add("Message-ID", &id, !has_id);
    // Last, to stand right above the others of their kind (RFC 5322 §3.6.6).
    add("Resent-Date", &now, is_resent && !has_resent_date);
    add("Resent-Message-ID", &id, is_resent && !has_resent_id);
}

/// Bare names of senders are completed with this domain, those of recipients with that
/// of this machine.
pub(super) fn default_domain(work: &Work, handling: Handling) -> Option<&Domain> {
    work.config.sender_domain().filter(|_| handling == Handling::Complete)
}

// Makes the fields right, one after the other.
struct Mender<'a> {
    work: &'a Work,
    handling: Handling,
    charset: Option<&'a str>,
}

impl Mender<'_> {
    fn keep<'a>(&self, field: &Field<'a>, fixed: &mut Fixed<'a>) {
        let completes = self.handling == Handling::Complete;
        let is_needless = is_one_of(field, &DROPPED)
            || completes && (is_without_meaning(field) || field.name().len() > LONGEST_NAME);
        if is_needless {
            fixed.is_changed = true;
            return;
        }
        match self.mended(field, &mut fixed.smtputf8) {
            Some(octets) => fixed.replace(octets),
            None => fixed.kept.push(Cow::Borrowed(field.raw())),
        }
    }

    fn mended(&self, field: &Field<'_>, smtputf8: &mut bool) -> Option<Vec<u8>> {
        let completes = self.handling == Handling::Complete;
        let is_long = has_long_line(field.raw());
        if is_long && (!completes || field.raw().is_ascii()) {
            let mut folded = Vec::with_capacity(field.raw().len() + 64);
            write_folded(&mut folded, field.raw());
            if !has_long_line(&folded) {
                return Some(folded);
            }
        }
        if completes && is_one_of(field, &DATES) && date::parse(&field.unfolded()).is_none() {
            return date::read(&field.unfolded()).map(|date| {
                let mut out = Vec::with_capacity(field.raw().len());
                let name = String::from_utf8_lossy(field.name());
                write_structured(&mut out, &name, [date::format(date).as_str()]);
                out
            });
        }
        if completes && field.is("Message-ID") && !is_message_id(&field.unfolded()) {
            return with_brackets(field);
        }
        if is_one_of(field, &ADDRESSES) {
            if completes || is_long || self.must_be_ascii(field) {
                return self
                    .addresses(field, is_long, smtputf8)
                    .or_else(|| self.without_gap(field));
            }
        } else if is_one_of(field, &PARAMETERS) && self.must_be_ascii(field) {
            let mut out = Vec::with_capacity(field.raw().len() + 64);
            let name = String::from_utf8_lossy(field.name());
            write_parameters(&mut out, &name, &field.unfolded(), self.charset);
            return Some(out);
        } else if is_one_of(field, &LISTS_OF_IDS) && self.must_be_ascii(field) {
            return Some(ids_in_ascii(field));
        } else if is_long || !is_one_of(field, &STRUCTURED) && self.must_be_ascii(field) {
            let is_text = is_one_of(field, &TEXTS);
            let place = if is_text { Place::Text } else { Place::Guarded };
            let mut out = Vec::with_capacity(field.raw().len() + 64);
            let name = String::from_utf8_lossy(field.name());
            write_mended(&mut out, &name, &field.unfolded(), place, self.charset);
            // What stays is an address or a URL in UTF-8.
            return (out != field.raw()).then_some(out);
        }
        self.without_gap(field)
    }

    // A program of this machine leaves raw text to us. A host that relays has its
    // header passed on, unless it asked for SMTPUTF8, which few receivers offer, and
    // needs it for nothing else.
    fn must_be_ascii(&self, field: &Field<'_>) -> bool {
        let is_asked = self.work.envelope.smtputf8;
        !field.value().is_ascii() && (self.handling == Handling::Complete || is_asked)
            || self.handling == Handling::Complete && is_japanese(field.value())
    }

    // Bare names are completed, names that nobody quoted are, and text beyond ASCII is
    // encoded. What is well formed stays as it is, and so does what cannot be read.
    fn addresses(&self, field: &Field<'_>, is_long: bool, smtputf8: &mut bool) -> Option<Vec<u8>> {
        let value = field.unfolded();
        if is_well_formed(&value) && !is_long {
            return None;
        }
        let default = default_domain(self.work, self.handling);
        let is_to = is_one_of(field, &RECIPIENTS);
        let default = default
            .and_then(|origin| if is_to { self.work.config.domains.first() } else { Some(origin) });
        let mut list = read_address_list(&value, default);
        author::write_domains_in_ascii(&mut list);
        if self.handling == Handling::Complete {
            *smtputf8 |= list.written().any(|written| !written.address.is_ascii());
        }
        if list.is_best_left() && !is_long {
            return None;
        }
        let mut out = Vec::with_capacity(field.raw().len() + 64);
        let name = String::from_utf8_lossy(field.name());
        write_address_list(&mut out, &name, &list, self.charset);
        Some(out)
    }

    // White space before the colon is obsolete, and some verifiers of signatures refuse
    // the whole message for it.
    fn without_gap(&self, field: &Field<'_>) -> Option<Vec<u8>> {
        let rest = field.raw().get(field.name().len()..)?;
        let gap = rest.iter().position(|byte| *byte == b':').filter(|gap| *gap > 0)?;
        let is_ours = self.handling == Handling::Complete;
        is_ours.then(|| [field.name(), rest.get(gap..).unwrap_or_default()].concat())
    }
}

fn is_one_of(field: &Field<'_>, names: &[&str]) -> bool {
    names.iter().any(|name| field.is(name))
}

// A field without a value says nothing, and the grammar of these wants one; a date or
// an id that is none is worse than none.
fn is_without_meaning(field: &Field<'_>) -> bool {
    let value = field.unfolded();
    if value.is_empty() || value.as_ref() == b"<>" {
        return is_one_of(field, &ADDRESSES)
            || is_one_of(field, &STRUCTURED)
            || field.is("Subject");
    }
    match () {
        () if is_one_of(field, &DATES) => {
            date::parse(&value).or_else(|| date::read(&value)).is_none()
        }
        () if field.is("Message-ID") || field.is("Resent-Message-ID") => {
            !is_message_id(&value) && with_brackets(field).is_none()
        }
        () => false,
    }
}

// `<left@right>` (RFC 5322 §3.6.4), with whatever receivers let stand on both sides.
fn is_message_id(value: &[u8]) -> bool {
    let inner = value.strip_prefix(b"<").and_then(|rest| rest.strip_suffix(b">"));
    inner.is_some_and(is_bare_id) && value.len() < MAX_TEXT_LINE - 20
}

fn is_bare_id(id: &[u8]) -> bool {
    let sides = id.iter().position(|byte| *byte == b'@').map(|at| id.split_at(at));
    let is_whole = sides.is_some_and(|(left, right)| !left.is_empty() && right.len() > 1);
    is_whole && id.iter().all(|byte| byte.is_ascii_graphic() && !b"<>".contains(byte))
}

// An id whose domain is in U-labels is the same in A-labels, wherever it stands. Another one
// that is not ASCII is no message's by the time it gets here.
fn in_ascii(id: &[u8]) -> Option<Cow<'_, [u8]>> {
    if id.is_ascii() {
        return Some(Cow::Borrowed(id));
    }
    let (left, right) = std::str::from_utf8(id).ok()?.rsplit_once('@')?;
    let (domain, end) = right.strip_suffix('>').map_or((right, ""), |domain| (domain, ">"));
    let domain = idna::domain_to_ascii(domain).ok().filter(|_| left.is_ascii())?;
    Some(Cow::Owned(format!("{left}@{domain}{end}").into_bytes()))
}

fn ids_in_ascii(field: &Field<'_>) -> Vec<u8> {
    let mut out = Vec::with_capacity(field.raw().len());
    let value = field.unfolded();
    let ids = value.split(u8::is_ascii_whitespace).filter(|id| !id.is_empty());
    let ids: Vec<_> = ids.filter_map(in_ascii).collect();
    let ids = ids.iter().filter_map(|id| std::str::from_utf8(id).ok());
    write_structured(&mut out, &String::from_utf8_lossy(field.name()), ids);
    out
}

// An id that lacks nothing but its brackets, or has something beside it.
fn with_brackets(field: &Field<'_>) -> Option<Vec<u8>> {
    let value = field.unfolded();
    let parts = value.split(|byte| b"<>".contains(byte)).filter_map(in_ascii);
    let inside = parts.into_iter().find(|part| is_bare_id(part))?;
    let id = [b"<".as_slice(), &inside, b">"].concat();
    is_message_id(&id).then(|| [field.name(), b": ", &id, b"\r\n"].concat())
}

/// Whether a field has a line that may not be sent (RFC 5322 §2.1.1).
pub(super) fn has_long_line(raw: &[u8]) -> bool {
    raw.len() > MAX_TEXT_LINE
        && raw.split(|byte| *byte == b'\n').any(|line| line.len() > MAX_TEXT_LINE + 1)
}
