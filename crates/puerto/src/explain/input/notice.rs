//! A notice that comes back: whom it is about, and what was said to each of them.
//!
//! Some servers write the fields of RFC 3464, many write prose, and most return the
//! message that failed, whose words say nothing about the reason. So what is returned is
//! cut off first; then the fields are read where there are any, and the prose about the
//! same recipient beside them, since a field often says less than the prose. A message
//! that is no notice is a letter, in which nothing is looked for.

mod letter;
mod parts;
pub(in crate::explain) mod report;

use self::letter::Author;
use self::parts::{Part, parts, without_tags};
use super::wording::{begins, holds, wording};
use super::{Fields, Found, after, field, found_in, groups, header, line, starts_reply, typed};
use crate::explain::Kind;

/// A text that people paste, by what it is.
pub(in crate::explain) enum Pasted {
    /// No message: a reply, a log line, part of a notice.
    Fragment,
    /// A message that somebody wrote.
    Letter,
    /// A notice, with what was found about each recipient, in the order of the notice.
    Notice(Vec<About>),
}

/// What a notice says about one recipient.
pub(in crate::explain) struct About {
    /// Its address, where one is named.
    pub(in crate::explain) recipient: Option<String>,
    /// What may be the reason, the likeliest first.
    pub(in crate::explain) reasons: Vec<Found>,
}

/// Reads a pasted text whose line ends are LF.
pub(in crate::explain) fn read(text: &str) -> Pasted {
    if letter::is_quotation(text) {
        return read(&letter::unquoted(text));
    }
    let Some((head, body)) = header::split(text) else { return fragment(text) };
    match message(head, body) {
        Pasted::Letter => passed_on(head, body).unwrap_or(Pasted::Letter),
        notice => notice,
    }
}

/// A notice without its header: sentences, and then addresses with what was said to each.
fn fragment(text: &str) -> Pasted {
    let prose = without_returned(text);
    let blocks = blocks(&prose, "");
    let begins_with_block = prose.lines().next().is_some_and(|line| address_line(line).is_some());
    let is_about = |block: &&Block| reply_in(&block.text).is_some();
    let count = blocks.iter().filter(is_about).count();
    if count == 0 || begins_with_block && count < 2 {
        return Pasted::Fragment;
    }
    let waits = letter::waits_by_words(&prose);
    let about = blocks.iter().map(|block| block.about(&prose, waits));
    Pasted::Notice(about.filter(|one| !one.reasons.is_empty()).collect())
}

/// A notice that somebody forwards within a letter.
fn passed_on(head: &str, body: &str) -> Option<Pasted> {
    let parts = parts(&fields(head), body);
    let plain = parts.iter().find(|part| part.is("text/plain"))?;
    let inner = letter::passed_on(&plain.text)?;
    let (head, body) = header::split(&inner)?;
    Some(message(head, body)).filter(|found| matches!(found, Pasted::Notice(_)))
}

fn message(head: &str, body: &str) -> Pasted {
    let fields = fields(head);
    let parts = parts(&fields, body);
    let status: Vec<Fields> = parts
        .iter()
        .filter(|part| {
            part.is("message/delivery-status") || part.is("message/global-delivery-status")
        })
        .flat_map(|part| groups(&part.text))
        .collect();
    let author = Author::of(&fields);
    let prose = prose(&parts);
    let own = field(&fields, "to").and_then(address_in).unwrap_or_default();
    let blocks = blocks(&prose, &own);
    let is_answered = |block: &Block| reply_in(&block.text).is_some();
    let has_reply = reply_in(&prose).is_some() || !blocks.is_empty();
    if status.is_empty() && !author.gives_notice(has_reply, blocks.iter().any(is_answered)) {
        return Pasted::Letter;
    }
    // Some put the fields into the text itself.
    let status = if status.is_empty() { groups(&prose) } else { status };
    let waits = Some(letter::waits(&fields));
    let mut about: Vec<About> =
        status.iter().filter_map(|group| of_group(group, &blocks)).collect();
    if about.is_empty() {
        about = blocks.iter().map(|block| block.about(&prose, waits)).collect();
    }
    if about.is_empty() {
        about.extend(named(&fields, &prose, &own, waits));
    }
    if about.is_empty() {
        about.push(About { recipient: None, reasons: reasons_in(&prose, waits) });
    }
    about.retain(|one| !one.reasons.is_empty());
    Pasted::Notice(about)
}

/// The fields of a header, unfolded, their names in lower case.
fn fields(header: &str) -> Fields {
    let folded = groups(header).into_iter().flatten();
    folded.map(|(name, value)| (name, value.replace('\n', " "))).collect()
}

/// The words of the server itself, without the message that it returns.
fn prose(parts: &[Part]) -> String {
    let plain: Vec<&str> =
        parts.iter().filter(|part| part.is("text/plain")).map(|part| part.text.as_str()).collect();
    if !plain.is_empty() {
        return without_returned(plain.first().copied().unwrap_or_default());
    }
    let html = parts.iter().find(|part| part.is("text/html"));
    html.map(|part| without_returned(&without_tags(&part.text))).unwrap_or_default()
}

fn without_returned(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for line in text.lines() {
        let lower = line.trim().to_lowercase();
        let words = lower.trim_matches(|c: char| !c.is_alphanumeric());
        let is_framed = lower.starts_with(['-', '=', '*', '_']) || lower.ends_with(':');
        // "The original message was received at" is a sentence of the server's own.
        let is_mark =
            is_framed && begins(words, &wording().returned) && !words.contains("was received");
        let is_header = ["received: from ", "received: by ", "received: (", "return-path:"]
            .iter()
            .any(|start| lower.starts_with(start) && !line.starts_with([' ', '\t']));
        // What the message was about is its own word, wherever the notice names it.
        let label = lower.trim_start_matches([' ', '*', '-', '>', ':']);
        if begins(label, &wording().subject_labels) {
            continue;
        }
        if is_mark || is_header {
            break;
        }
        out.push_str(line);
        out.push('\n');
    }
    out
}

/// What the prose says under an address.
struct Block {
    address: String,
    text: String,
}

impl Block {
    fn about(&self, prose: &str, waits: Option<Kind>) -> About {
        let mut reasons = reasons_in(&self.text, waits);
        if reasons.is_empty() || reply_in(&self.text).is_none() {
            // Sendmail lists the addresses first, and what was said to each later.
            let others = prose.lines().filter(|line| line.contains(&self.address));
            let replies = others.filter_map(reply_in).map(|found| with(found, waits));
            let mut said: Vec<_> = replies.take(1).collect();
            said.append(&mut reasons);
            reasons = said;
            reasons.extend(reasons_in(prose, waits));
        }
        About { recipient: Some(self.address.clone()), reasons }
    }
}

fn with(found: Found, waits: Option<Kind>) -> Found {
    Found { sure: true, waits: waits.or(found.waits), ..found }
}

/// What may be the reason in a piece of prose: a reply in it, else all that it says.
fn reasons_in(text: &str, waits: Option<Kind>) -> Vec<Found> {
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if words.is_empty() {
        return Vec::new();
    }
    let mut reasons: Vec<_> = reply_in(text).map(|found| with(found, waits)).into_iter().collect();
    reasons.push(with(line(&words), waits));
    reasons.push(with(Found { reply: words, ..Found::default() }, waits));
    reasons
}

/// A reply on a line of its own, or behind what introduces one.
fn reply_in(text: &str) -> Option<Found> {
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let reply_of = |line: &str| {
        let behind = wording().before_replies.iter().filter_map(|mark| after(line, mark));
        let mut candidates = std::iter::once(line).chain(behind);
        let is_refusal =
            |rest: &&str| starts_reply(rest.trim()) && rest.trim().starts_with(['4', '5']);
        candidates.find(is_refusal).map(|rest| rest.trim().trim_end_matches([')', '\'']).to_owned())
    };
    let (index, first) = lines.iter().enumerate().find_map(|(i, l)| Some((i, reply_of(l)?)))?;
    let more = lines.iter().skip(index + 1).take_while(|line| !line.is_empty());
    let more =
        more.take_while(|line| !line.starts_with(['<', '>']) && address_line(line).is_none());
    let reply = more.fold(first, |reply, line| format!("{reply}\n{line}"));
    let before = lines.get(..=index).unwrap_or_default().join(" ");
    let host = line(&before).host;
    Some(Found { reply, host, sure: true, ..Found::default() })
}

/// The addresses that begin a line of the prose, each with what stands under it.
fn blocks(prose: &str, own: &str) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    for line in prose.lines() {
        match address_line(line.trim()).filter(|(address, _)| !address.eq_ignore_ascii_case(own)) {
            Some((address, rest)) => {
                let known =
                    blocks.iter_mut().find(|block| block.address.eq_ignore_ascii_case(&address));
                match known {
                    Some(block) => block.text.push_str(rest),
                    None => blocks.push(Block { address, text: rest.to_owned() }),
                }
            }
            None => {
                if let Some(block) = blocks.last_mut() {
                    block.text.push('\n');
                    block.text.push_str(line);
                }
            }
        }
    }
    blocks
}

/// A line that names a recipient: an address, with its reason or nothing after it.
fn address_line(line: &str) -> Option<(String, &str)> {
    let lower = line.to_lowercase();
    let label = wording().recipient_labels.iter().find(|label| lower.starts_with(&**label));
    let rest = line.get(label.map_or(0, |label| label.len())..).unwrap_or(line).trim_start();
    let rest = rest.trim_start_matches(['-', '*', '<', '"', '\'', ' ', '\u{2022}']);
    let end = rest.find(|c: char| !is_in_address(c));
    let (address, rest) = rest.split_at_checked(end.unwrap_or(rest.len()))?;
    let address = address.trim_end_matches(['.', '\'', '-']);
    let (local, domain) = address.rsplit_once('@')?;
    let rest = rest.trim_start_matches(['>', '"', '\'']).trim_start();
    let is_address = !local.is_empty() && domain.contains('.');
    let is_heading = rest.is_empty()
        || rest.starts_with([':', '(', ';', ','])
        || rest.starts_with("...")
        || rest.starts_with("on ")
        || rest.starts_with("- ");
    (is_address && is_heading).then(|| (address.to_owned(), rest.trim_start_matches([':', ' '])))
}

/// The recipients that a notice names elsewhere: in its header, or in a sentence.
fn named(header: &Fields, prose: &str, own: &str, waits: Option<Kind>) -> Vec<About> {
    let failed = field(header, "x-failed-recipients").unwrap_or_default();
    let mut names: Vec<String> = failed.split(',').filter_map(address_in).collect();
    if names.is_empty() {
        let words = prose.split_whitespace().filter_map(address_in);
        let foreign = words.filter(|name| {
            let lower = name.to_lowercase();
            !name.eq_ignore_ascii_case(own) && !holds(&lower, &wording().servers)
        });
        names.extend(foreign.take(1));
    }
    let reasons = || reasons_in(prose, waits);
    names.into_iter().map(|name| About { recipient: Some(name), reasons: reasons() }).collect()
}

fn is_in_address(character: char) -> bool {
    character.is_alphanumeric() || "!#$%&'*+-/=?^_`{|}~.@".contains(character)
}

fn address_in(text: &str) -> Option<String> {
    let word = text.split(|c: char| !is_in_address(c)).find(|word| word.contains('@'))?;
    let word = word.trim_matches(['\'', '.']);
    let (local, domain) = word.rsplit_once('@')?;
    (!local.is_empty() && domain.contains('.')).then(|| word.to_owned())
}

/// One recipient of a report (RFC 3464 §2.3), unless it was delivered.
fn of_group(group: &Fields, blocks: &[Block]) -> Option<About> {
    let typed = |name| typed(group, name).map(str::to_owned);
    let recipient = typed("final-recipient").or_else(|| typed("original-recipient"))?;
    let action = field(group, "action").unwrap_or_default().to_ascii_lowercase();
    if ["delivered", "relayed", "expanded"].iter().any(|word| action.starts_with(word)) {
        return None;
    }
    let waits = Some(match action.starts_with("delayed") {
        true => Kind::Temporary,
        false => Kind::Permanent,
    });
    let mut reasons: Vec<_> = found_in(group).map(|found| with(found, waits)).into_iter().collect();
    let original = typed("original-recipient").unwrap_or_default();
    let of_prose = blocks.iter().find(|block| {
        [&recipient, &original].iter().any(|name| name.eq_ignore_ascii_case(&block.address))
    });
    reasons.extend(of_prose.into_iter().flat_map(|block| reasons_in(&block.text, waits)));
    Some(About { recipient: Some(recipient), reasons })
}
