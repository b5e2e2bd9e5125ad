//! What arrived in whose mailbox, and what was refused and why: the receivers' records as
//! a list of letters.

use std::sync::Arc;

use puerto_lab::{Outcome, Transaction};
use puerto_mail::header::Header;
use puerto_smtp::{ReversePath, Severity};
use serde::{Deserialize, Serialize};

use crate::cli::lab::show::{BAD, FAINT, GOOD, LATER, TITLE, paint};
use crate::cli::output::printable;
use crate::lang::{Language, Text};

/// Recipients of the letters that grading sends begin with this.
pub(super) const PROBE: &str = "probe-";
/// Octets of a message that are shown.
const MOST: usize = 64 * 1024;

/// One letter's attempt at one recipient.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Post {
    /// The receiver's short name.
    pub(super) receiver: String,
    pub(super) to: String,
    /// The sender of the envelope; `<>` for a notification.
    pub(super) from: String,
    /// `accepted`, `deferred`, `refused` or `hung up`.
    pub(super) outcome: String,
    pub(super) reply: Option<String>,
    /// The client's address.
    pub(super) peer: String,
    pub(super) tls: bool,
    pub(super) subject: Option<String>,
    /// `method=result`, where the receiver looked.
    pub(super) proof: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(super) message: Option<String>,
}

/// The receivers' records, without the letters that grading sent and what came of them.
pub(super) fn posts(seen: &[Arc<Transaction>], full: bool) -> Vec<Post> {
    let mut posts = Vec::new();
    for one in seen.iter().filter(|one| !is_probe(one)) {
        let subject = Header::parse(&one.message).ok().and_then(|header| {
            let value = header.first("Subject")?.value();
            Some(String::from_utf8_lossy(value).trim().to_owned())
        });
        let proof = one.authentication.iter().map(|r| format!("{}={}", r.method, r.result));
        let proof: Vec<String> = proof.collect();
        for (to, reply) in &one.recipients {
            let of_it = if reply.is_positive() { one.reply.as_ref() } else { Some(reply) };
            let outcome = match (reply.is_positive(), one.outcome) {
                (true, Outcome::Accepted) => "accepted",
                (true, Outcome::HungUp) => "hung up",
                _ if of_it.is_some_and(|reply| reply.severity() == Severity::Permanent) => {
                    "refused"
                }
                _ => "deferred",
            };
            posts.push(Post {
                receiver: one.receiver.to_owned(),
                to: to.to_string(),
                from: match &one.from {
                    Some(ReversePath::Address(address)) => address.to_string(),
                    _ => "<>".to_owned(),
                },
                outcome: outcome.to_owned(),
                reply: of_it.map(ToString::to_string),
                peer: one.peer.to_string(),
                tls: one.tls,
                subject: subject.clone(),
                proof: proof.clone(),
                message: full.then(|| {
                    let part = one.message.get(..MOST).unwrap_or(&one.message);
                    String::from_utf8_lossy(part).into_owned()
                }),
            });
        }
    }
    posts
}

/// Whether grading sent it, or a notification is about what grading sent.
pub(super) fn is_probe(one: &Transaction) -> bool {
    let to_probe = |to: &puerto_smtp::Address| to.local_part().as_str().starts_with(PROBE);
    one.recipients.iter().any(|(to, _)| to_probe(to))
        || one.from == Some(ReversePath::Null)
            && memchr::memmem::find(&one.message, PROBE.as_bytes()).is_some()
}

const NOTHING: Text = Text::new(
    "No letter that was asked for has come since this lab was started.",
    "Desde que se inició este laboratorio no ha llegado ninguna de las cartas por las que se pregunta.",
);
const FROM: Text = Text::new("from {from} by {peer}, {tls}", "de {from} desde {peer}, {tls}");
const NOTICE: Text = Text::new("a notification (<>)", "una notificación (<>)");

/// The list for people, by mailbox.
pub(super) fn shown(posts: &[Post], language: Language) -> String {
    if posts.is_empty() {
        return NOTHING.of(language).to_owned() + "\n";
    }
    let mut mailboxes: Vec<&str> = posts.iter().map(|post| post.to.as_str()).collect();
    mailboxes.sort_unstable();
    mailboxes.dedup();
    let mut out = String::new();
    for mailbox in mailboxes {
        out.push_str(&format!("{}\n", paint(TITLE, &printable(mailbox))));
        for post in posts.iter().filter(|post| post.to == mailbox) {
            out.push_str(&entry(post, language));
        }
    }
    out
}

fn entry(post: &Post, language: Language) -> String {
    let (style, word) = match post.outcome.as_str() {
        "accepted" => (GOOD, Text::new("arrived", "llegó")),
        "refused" => (BAD, Text::new("refused", "rechazado")),
        "deferred" => (LATER, Text::new("later", "aplazado")),
        _ => (LATER, Text::new("hung up", "colgó")),
    };
    let word = paint(style, &format!("{:<10}", word.of(language)));
    let tls = match post.tls {
        true => Text::new("with TLS", "con TLS"),
        false => Text::new("without TLS", "sin TLS"),
    };
    let from = if post.from == "<>" { NOTICE.of(language) } else { &post.from };
    let subject = post.subject.as_deref().map(|subject| format!("«{subject}» "));
    let values = [("from", from), ("peer", post.peer.as_str()), ("tls", tls.of(language))];
    let first = format!("{}{}", subject.unwrap_or_default(), FROM.with(language, &values));
    let mut out = format!("  {word} {}\n", printable(&first));
    let more = match (post.outcome.as_str(), &post.reply) {
        ("accepted", _) if post.proof.is_empty() => None,
        ("accepted", _) => Some(post.proof.join(" ")),
        (_, reply) => reply.clone(),
    };
    if let Some(more) = more {
        out.push_str(&format!("  {:<10} {}\n", "", paint(FAINT, &printable(&more))));
    }
    if let Some(message) = &post.message {
        for line in message.lines() {
            out.push_str(&format!("  | {}\n", printable(&line.replace('\t', "    "))));
        }
    }
    out
}
