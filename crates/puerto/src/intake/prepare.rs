//! What happens to a message between its last octet and its commit. Everything here
//! runs to the end on one thread; the only thing that may wait is the disk under
//! large content.
//!
//! A message that needs no change is not copied: our own fields go into the prefix
//! that is stored before it. When its header must change, the whole header moves
//! into the prefix and the content begins with the body.

use std::sync::Arc;

use puerto_mail::date::DateTime;
use puerto_mail::dkim::{self, BodyHasher, Canonicalization, SigningKey, SigningTime};
use puerto_mail::header::{End, Field, Header, write_structured};
use puerto_mail::message::Facts;
use puerto_mail::received::{self, Received};
use puerto_smtp::limits::MAX_TEXT_LINE;
use puerto_smtp::{Address, Domain, Envelope, Reply, TlsWish};
use puerto_spool::{Content, MessageId, NewMessage, Origin, Store, Timestamp};

use super::bulk;
use super::content::{self, Head, Pass};
use super::encode::Rewriting;
use super::fix_up::{self, Fixed, Handling};
use super::structure::Walker;
use super::{Account, KeyRing, Refusal, Source, local_origin, permitted, senders};
use crate::cause::Cause;
use crate::cause::field::Words;
use crate::config::Config;
use crate::route;
use crate::telemetry::{Change, Signature, Signing};

/// A message as it came, and what is needed to prepare it.
pub(super) struct Work {
    pub(super) id: MessageId,
    pub(super) source: Source,
    pub(super) envelope: Envelope,
    pub(super) content: Content,
    pub(super) now: Timestamp,
    pub(super) config: Arc<Config>,
    pub(super) keys: Arc<KeyRing>,
    pub(super) store: Arc<dyn Store>,
}

/// A message that is ready to be committed.
pub(super) struct Prepared {
    pub(super) message: NewMessage,
    /// The value of Message-ID, for the log.
    pub(super) message_id: String,
    /// What the administrator should know about it.
    pub(super) notices: Vec<Cause>,
    /// What is not as it came.
    pub(super) changes: Vec<Change>,
    /// What it was signed with.
    pub(super) signing: Signing,
}

/// A refusal for what the message itself is (RFC 3463 §3.7: 5.6.0).
pub(super) fn unacceptable(text: impl Into<String>) -> Refusal {
    Refusal { reply: Reply::enhanced(550, (5, 6, 0), text) }
}

/// Completes and signs a message.
pub(super) fn prepare(mut work: Work) -> Result<Prepared, Refusal> {
    let is_ours = work.source.is_ours();
    let (whole, mut changes) = mend(&mut work)?;
    let head = Head::read(&work.content, is_ours)?;
    let header = head.header(&work.content, is_ours).map_err(|e| too_big(&e.to_string()))?;
    if received::is_looping(&header) {
        let text = format!("too many hops: more than {} Received fields", received::MAX_HOPS);
        return Err(Refusal { reply: Reply::enhanced(554, (5, 4, 6), text) });
    }
    if let Some(address) = came_round(&work, &header) {
        let text = format!("mail forwarding loop: it was delivered to {address} before");
        return Err(Refusal { reply: Reply::enhanced(554, (5, 4, 6), text) });
    }
    if work.envelope.tls == TlsWish::Usual && says_tls_is_optional(&header) {
        work.envelope.tls = TlsWish::Optional;
    }
    let handling = Handling::of(&work.source, &header);
    let bulk = bulk::is_bulk(&work, &header);
    let may_rewrite = matches!(handling, Handling::Complete | Handling::Relay);
    if may_rewrite {
        let before = senders::rewrite_envelope(&mut work.envelope.reverse_path, &work.config);
        changes.extend(before.map(|before| Change::Sender(before.to_string())));
    }
    let mut fixed = fix_up::fix(&header, &work)?;
    if may_rewrite {
        senders::rewrite_header(&mut fixed, &work.config);
    }
    let by = (&*work.config, &*work.keys);
    permitted::apply(&work.source, &mut work.envelope.reverse_path, by, &mut fixed)?;
    let keys = fixed.from_domain.as_ref().map(|domain| work.keys.keys_for(domain));
    let keys = keys.unwrap_or_default();
    let mut signing = unsigned(&work.source, fixed.from_domain.as_ref());
    let body_offset = head.body_offset(&header);
    let mut pass = Pass::over(&work.content, body_offset, whole, !keys.is_empty())?;
    let eight_bit = pass.facts.eight_bit || !header.octets().is_ascii();
    if handling == Handling::Complete {
        let charset = || content::charset(&work.content, body_offset);
        describe_body(&mut fixed, &pass.facts, charset)?;
    }
    let mut new_body = None;
    if may_rewrite && cannot_be_sent(&pass.facts) {
        let body = sendable_body(&work, &mut fixed, body_offset)?;
        pass = Pass::over(&body, 0, content::facts(&body)?, !keys.is_empty())?;
        new_body = Some(body);
        changes.push(Change::Body);
    }
    let is_changed = fixed.is_changed || head.skip + head.removed > 0 || header.end() != End::Blank;
    changes.extend(fixed.changes(&header));
    changes.extend((head.removed > 0).then_some(Change::Nuls(head.removed)));
    let (signatures, mut notices) =
        signatures(&keys, &fixed, pass.hasher.take(), (work.now, &mut signing));
    let count = head.removed as u64;
    notices.extend((count > 0).then_some(Cause::NulsRemoved { count }));
    notices.append(&mut fixed.notices);
    let prefix = prefix(&work, &fixed, signatures, is_changed || new_body.is_some());
    let message_id = std::mem::take(&mut fixed.message_id);
    let envelope = Envelope {
        eight_bit: work.envelope.eight_bit || eight_bit,
        smtputf8: work.envelope.smtputf8 || fixed.smtputf8,
        bulk,
        ..work.envelope
    };
    drop(fixed);
    let content = match new_body {
        Some(body) => body,
        None if is_changed => {
            content::without_beginning(work.content, body_offset, work.store.as_ref())?
        }
        None => work.content,
    };
    let message = NewMessage {
        id: work.id,
        envelope,
        received_at: work.now,
        origin: origin(&work.source),
        prefix,
        content,
        held_for: None,
    };
    Ok(Prepared { message, message_id, notices, changes, signing })
}

// RFC 8689 §3: one such field, and REQUIRETLS comes before it.
fn says_tls_is_optional(header: &Header<'_>) -> bool {
    let mut fields = header.fields().iter().filter(|field| field.is("TLS-Required"));
    match (fields.next(), fields.next()) {
        (Some(only), None) => only.text().trim().eq_ignore_ascii_case("no"),
        _ => false,
    }
}

// The protocol layer lets strangers send no line end but CRLF and no NUL; this makes
// sure that no other way in can (RFC 5321 §2.3.8). What our own programs send is made
// right: there is no second server to hold another opinion about it. Returns what the
// whole message is like.
fn mend(work: &mut Work) -> Result<(Facts, Vec<Change>), Refusal> {
    let facts = content::facts(&work.content)?;
    match work.source {
        Source::Smtp { trusted: false, .. } if facts.bare_line_end => {
            Err(unacceptable("a CR or LF stands alone: lines end in CRLF"))
        }
        Source::Smtp { trusted: false, .. } if facts.nul => {
            Err(unacceptable("the message holds a NUL octet"))
        }
        _ => {
            if !facts.bare_line_end {
                return Ok((facts, Vec::new()));
            }
            work.content = content::mend_line_ends(&work.content, work.store.as_ref())?;
            Ok((content::facts(&work.content)?, vec![Change::LineEnds]))
        }
    }
}

// Why a message has no signature, unless it gets one.
fn unsigned(source: &Source, author: Option<&Domain>) -> Signing {
    match author {
        _ if !source.is_ours() => Signing::NotOurs,
        Some(domain) => Signing::NoKey(domain.to_string()),
        None => Signing::NoAuthor,
    }
}

fn cannot_be_sent(body: &Facts) -> bool {
    body.nul || body.longest_line > MAX_TEXT_LINE
}

// Text without a MIME header is US-ASCII in seven bits (RFC 2045 §5.2, §6.1), and a
// MIME header without its version is none (§4): programs of this machine that leave
// such things out have them said for them.
fn describe_body(
    fixed: &mut Fixed<'_>,
    body: &Facts,
    charset: impl FnOnce() -> Result<&'static str, Refusal>,
) -> Result<(), Refusal> {
    let fields = fixed.fields();
    let says = |name: &str| fields.iter().any(|field| field.is(name));
    let (has_version, has_encoding) = (says("MIME-Version"), says("Content-Transfer-Encoding"));
    let has_type = says("Content-Type");
    drop(fields);
    let charset = if has_type || has_encoding { None } else { Some(charset()?) };
    let charset = charset.filter(|charset| body.eight_bit || *charset == "iso-2022-jp");
    let adds_encoding = body.eight_bit && !has_encoding && !cannot_be_sent(body);
    if !has_version && (has_type || has_encoding || charset.is_some() || adds_encoding) {
        write_structured(&mut fixed.added, "MIME-Version", ["1.0"]);
    }
    if let Some(charset) = charset {
        let parameter = format!("charset={charset}");
        write_structured(&mut fixed.added, "Content-Type", ["text/plain;", &parameter]);
    }
    if adds_encoding {
        write_structured(&mut fixed.added, "Content-Transfer-Encoding", ["8bit"]);
    }
    Ok(())
}

// A recipient of ours that has had this message. The client that is told so now tells its
// own user; a notification of ours would go to whomever the envelope names.
fn came_round<'a>(work: &'a Work, header: &Header<'_>) -> Option<&'a Address> {
    if matches!(work.source, Source::Internal | Source::Forwarded) {
        return None;
    }
    let mut recipients = work.envelope.recipients.iter().map(|recipient| &recipient.address);
    recipients.find(|address| {
        received::was_delivered_to(header, address)
            && route::is_here(&work.config, address.domain())
    })
}

fn too_big(text: &str) -> Refusal {
    Refusal { reply: Reply::enhanced(552, (5, 3, 4), text) }
}

fn origin(source: &Source) -> Origin {
    match source {
        Source::Smtp { client, peer, account, .. } => {
            let name = client.name.as_deref().unwrap_or("unknown");
            let client = format!("{name}[{}]", peer.ip().to_canonical());
            match account {
                Some(Account { name, .. }) => Origin::Account { name: name.clone(), client },
                None => Origin::Client(client),
            }
        }
        Source::Local { uid, .. } => Origin::LocalUser(*uid),
        Source::Internal | Source::Outward | Source::Forwarded => Origin::Internal,
    }
}

// The body in a form that can be sent; the header says so from now on.
fn sendable_body(
    work: &Work,
    fixed: &mut Fixed<'_>,
    body_offset: usize,
) -> Result<Content, Refusal> {
    let mut walker = Walker::new(&fixed.fields());
    content::each_piece(&work.content, body_offset, |piece| {
        walker.update(piece);
        Ok(())
    })?;
    let plan = walker.finish();
    let mut draft = work.store.draft()?;
    let mut rewriting = Rewriting::new(&plan.steps);
    content::each_piece(&work.content, body_offset, |piece| {
        Ok(draft.write(rewriting.push(piece))?)
    })?;
    draft.write(&rewriting.finish())?;
    if let Some(encoding) = plan.transfer_encoding {
        fixed.set_transfer_encoding(encoding);
    }
    Ok(draft.finish()?)
}

fn signatures(
    keys: &[Arc<SigningKey>],
    fixed: &Fixed<'_>,
    hasher: Option<BodyHasher>,
    (now, signing): (Timestamp, &mut Signing),
) -> (Vec<u8>, Vec<Cause>) {
    let (mut out, mut notices, mut made) = (Vec::new(), Vec::new(), Vec::new());
    let Some(hasher) = hasher else { return (out, notices) };
    let body = hasher.finish();
    let fields = fixed.fields();
    let time = SigningTime { signed_at: now.as_secs(), expires_at: None };
    for key in keys {
        let form = Canonicalization::Relaxed;
        match dkim::sign(key, &fields, form, &body, time) {
            Ok(field) => {
                out.extend_from_slice(&field);
                made.push(Signature {
                    domain: key.domain.clone(),
                    selector: key.selector.clone(),
                    algorithm: key.key.algorithm().name(),
                });
            }
            Err(error) => notices.push(Cause::NotSigned {
                key: format!("{}._domainkey.{}", key.selector, key.domain),
                why: Words(error.to_string()),
            }),
        }
    }
    *signing = Signing::With(made);
    (out, notices)
}

fn prefix(work: &Work, fixed: &Fixed<'_>, signatures: Vec<u8>, with_header: bool) -> Vec<u8> {
    let mut prefix = signatures;
    trace(work, &mut prefix);
    prefix.extend_from_slice(&fixed.added);
    if with_header {
        for field in fixed.kept() {
            prefix.extend_from_slice(field);
            // A header that ended with the content may lack its last line end.
            if !field.ends_with(b"\r\n") {
                prefix.extend_from_slice(b"\r\n");
            }
        }
        prefix.extend_from_slice(b"\r\n");
    }
    prefix
}

fn trace(work: &Work, out: &mut Vec<u8>) {
    let from = match &work.source {
        Source::Smtp { client, peer, helo, protocol, tls, .. } => received::From::Client {
            helo,
            name: client.name.as_deref(),
            address: peer.ip(),
            protocol,
            tls: tls.as_deref(),
        },
        Source::Local { uid, .. } => received::From::User(*uid),
        Source::Internal | Source::Outward | Source::Forwarded => received::From::Internal,
    };
    let recipient = match work.envelope.recipients.as_slice() {
        [only] => Some(&only.address),
        _ => None,
    };
    let id = work.id.to_string();
    let trace = Received {
        from,
        by: &work.config.hostname,
        id: &id,
        recipient,
        date: wall_clock(work.now),
    };
    trace.write(out);
    local_origin::write(work, out);
}

/// A time on this machine's wall clock.
pub(crate) fn wall_clock(now: Timestamp) -> DateTime {
    let offset = jiff::Timestamp::from_second(now.as_secs())
        .map_or(0, |at| jiff::tz::TimeZone::system().to_offset(at).seconds());
    DateTime { unix_seconds: now.as_secs(), offset_minutes: offset / 60 }
}

/// The fields of a header and those that are added to it, as they will be stored.
pub(super) fn parse_fields<'a>(octets: &'a [u8]) -> Vec<Field<'a>> {
    Header::parse(octets).map(|header| header.fields().to_vec()).unwrap_or_default()
}
