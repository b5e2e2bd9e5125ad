//! Fields that a message may have once and has twice (RFC 5322 §3.6, RFC 2045 §3):
//! receivers disagree about which of two counts, and the largest refuse both. Of those
//! that are lists, the values are joined; of the others the first stands.

use std::borrow::Cow;

use puerto_mail::header::Field;

use crate::cause::Cause;

/// Fields that become one, and the mark between their values.
const JOINED: [(&str, &str); 5] =
    [("To", ","), ("Cc", ","), ("Reply-To", ","), ("In-Reply-To", ""), ("References", "")];
/// Fields of which the first stands.
const FIRST: [&str; 7] = [
    "Sender",
    "Date",
    "Subject",
    "Message-ID",
    "MIME-Version",
    "Content-Type",
    "Content-Transfer-Encoding",
];

/// Makes one field of those of one name; whether there were any. What is dropped is
/// told to the administrator.
pub(super) fn join(fields: &mut Vec<Cow<'_, [u8]>>, notices: &mut Vec<Cause>) -> bool {
    if !any_twice(fields) {
        return false;
    }
    let mut is_changed = false;
    for (name, mark) in JOINED {
        let places = places(fields, name);
        if let (Some(first), true) = (places.first(), places.len() > 1) {
            let joined = joined(fields, &places, mark);
            if let Some(place) = fields.get_mut(*first) {
                *place = Cow::Owned(joined);
            }
            is_changed |= remove(fields, places.get(1..).unwrap_or_default());
        }
    }
    for name in FIRST {
        let places = places(fields, name);
        if places.len() < 2 {
            continue;
        }
        let is_said = |place: &&usize| value(fields, **place).is_some_and(|said| !said.is_empty());
        let stays = places.iter().find(is_said).or(places.first()).copied();
        let first = stays.and_then(|stays| value(fields, stays));
        let differs = |place: &usize| value(fields, *place) != first;
        if places.iter().filter(is_said).any(differs) {
            let (count, name) = (places.len() as u64, name.to_owned());
            notices.push(Cause::OneFieldKept { count, name });
        }
        let gone: Vec<usize> = places.into_iter().filter(|place| Some(*place) != stays).collect();
        is_changed |= remove(fields, &gone);
    }
    is_changed
}

// One look at each field: nearly every message has all of them once.
fn any_twice(fields: &[Cow<'_, [u8]>]) -> bool {
    let names = || JOINED.iter().map(|(name, _)| *name).chain(FIRST);
    let mut seen = [false; JOINED.len() + FIRST.len()];
    fields.iter().any(|field| {
        let end = field.iter().position(|octet| matches!(octet, b':' | b' ' | b'\t'));
        let name = end.and_then(|end| field.get(..end)).unwrap_or_default();
        let place = names().position(|known| name.eq_ignore_ascii_case(known.as_bytes()));
        let seen = place.and_then(|place| seen.get_mut(place));
        seen.is_some_and(|seen| std::mem::replace(seen, true))
    })
}

fn places(fields: &[Cow<'_, [u8]>], name: &str) -> Vec<usize> {
    let is_named = |octets: &[u8]| {
        let start = octets.get(..name.len());
        start.is_some_and(|start| start.eq_ignore_ascii_case(name.as_bytes()))
            && Field::parse(octets).is_some_and(|field| field.is(name))
    };
    let named = fields.iter().enumerate().filter(|(_, octets)| is_named(octets));
    named.map(|(place, _)| place).collect()
}

fn value(fields: &[Cow<'_, [u8]>], place: usize) -> Option<Vec<u8>> {
    let field = Field::parse(fields.get(place)?)?;
    Some(field.unfolded().into_owned())
}

fn joined(fields: &[Cow<'_, [u8]>], places: &[usize], mark: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let values = places.iter().filter_map(|place| Field::parse(fields.get(*place)?));
    for field in values {
        let value = field.value().trim_ascii();
        let value = value.strip_suffix(b",").unwrap_or(value).trim_ascii_end();
        if out.is_empty() {
            out.extend_from_slice(field.name());
            out.extend_from_slice(b": ");
            out.extend_from_slice(value);
        } else if !value.is_empty() {
            let is_first = out.ends_with(b": ");
            out.extend_from_slice(if is_first { b"" } else { mark.as_bytes() });
            out.extend_from_slice(if is_first { b"" } else { b"\r\n " });
            out.extend_from_slice(value);
        }
    }
    out.extend_from_slice(b"\r\n");
    out
}

// The places are in ascending order.
fn remove(fields: &mut Vec<Cow<'_, [u8]>>, places: &[usize]) -> bool {
    let mut at = 0;
    let mut gone = places.iter().peekable();
    fields.retain(|_| {
        at += 1;
        gone.next_if_eq(&&(at - 1)).is_none()
    });
    !places.is_empty()
}
