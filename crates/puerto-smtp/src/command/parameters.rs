//! The parameters of MAIL and RCPT.

use super::{MailCommand, Mailbox, RcptCommand, decode_utf8_address, decode_xtext};
use crate::envelope::{Notify, Return};
use crate::reply::Reply;
use crate::verp::Verp;

/// Octets of an encoded ENVID at most (RFC 3461 §4.4).
const MAX_ENVELOPE_ID: usize = 100;
/// Octets of an encoded ORCPT at most (RFC 3461 §4.2).
const MAX_ORIGINAL: usize = 500;

/// A non-negative decimal number: digits and nothing else. One that is greater
/// than we can count has no valid meaning to us.
pub(super) fn digits(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.len() <= 20 && text.bytes().all(|b| b.is_ascii_digit());
    if digits { text.parse().ok() } else { None }
}

pub(super) fn mail(from: Option<Mailbox>, text: &str) -> Result<MailCommand, Reply> {
    let mut command = MailCommand {
        from,
        size: None,
        eight_bit: false,
        smtputf8: false,
        require_tls: false,
        ret: None,
        envelope_id: None,
        verp: None,
        names_submitter: false,
    };
    each(text, |keyword, value| {
        match (keyword, value) {
            ("SIZE", Some(value)) => {
                command.size = Some(digits(value).ok_or_else(|| bad("SIZE", "SIZE=octets"))?);
            }
            ("BODY", Some(value)) => {
                command.eight_bit = match value.to_ascii_uppercase().as_str() {
                    "7BIT" => false,
                    "8BITMIME" => true,
                    _ => return Err(bad("BODY", "BODY=7BIT or BODY=8BITMIME")),
                };
            }
            ("REQUIRETLS", None) => command.require_tls = true,
            ("SMTPUTF8", None) => command.smtputf8 = true,
            ("RET", Some(value)) => {
                command.ret = Some(match value.to_ascii_uppercase().as_str() {
                    "FULL" => Return::Full,
                    "HDRS" => Return::Headers,
                    _ => return Err(bad("RET", "RET=FULL or RET=HDRS")),
                });
            }
            ("ENVID", Some(value)) => {
                let id = decode_xtext(value).filter(|id| !id.is_empty());
                let id = id.filter(|_| value.len() <= MAX_ENVELOPE_ID);
                command.envelope_id =
                    Some(id.ok_or_else(|| bad("ENVID", "up to 100 characters of xtext"))?);
            }
            ("XVERP", None) => command.verp = Some(Verp::default()),
            ("XVERP", Some(value)) => {
                let verp = Verp::parse(value);
                command.verp = Some(verp.ok_or_else(|| bad("XVERP", Verp::FORM))?);
            }
            ("AUTH", Some(value)) => {
                let submitter = decode_xtext(value).filter(|submitter| !submitter.is_empty());
                command.names_submitter =
                    submitter.map(|_| true).ok_or_else(|| bad("AUTH", "AUTH=<> or xtext"))?;
            }
            _ => return Err(unsupported(keyword)),
        }
        Ok(())
    })?;
    Ok(command)
}

pub(super) fn rcpt(to: Mailbox, text: &str) -> Result<RcptCommand, Reply> {
    let mut command = RcptCommand { to, notify: None, original: None };
    each(text, |keyword, value| {
        match (keyword, value) {
            ("NOTIFY", Some(value)) => {
                let form = "NOTIFY=NEVER or a list of SUCCESS, FAILURE, DELAY";
                command.notify = Some(notify(value).ok_or_else(|| bad("NOTIFY", form))?);
            }
            ("ORCPT", Some(value)) => {
                let form = "ORCPT=type;address with the address in xtext";
                command.original = Some(original(value).ok_or_else(|| bad("ORCPT", form))?);
            }
            _ => return Err(unsupported(keyword)),
        }
        Ok(())
    })?;
    Ok(command)
}

fn each(
    text: &str,
    mut take: impl FnMut(&str, Option<&str>) -> Result<(), Reply>,
) -> Result<(), Reply> {
    let mut seen: Vec<String> = Vec::new();
    for word in text.split_ascii_whitespace() {
        let (keyword, value) = match word.split_once('=') {
            Some((keyword, value)) => (keyword, Some(value)),
            None => (word, None),
        };
        let keyword = keyword.to_ascii_uppercase();
        if seen.contains(&keyword) {
            return Err(bad(&keyword, "each parameter once"));
        }
        take(&keyword, value)?;
        seen.push(keyword);
    }
    Ok(())
}

fn notify(value: &str) -> Option<Notify> {
    if value.eq_ignore_ascii_case("NEVER") {
        return Some(Notify::NEVER);
    }
    let mut notify = Notify::NEVER;
    for word in value.split(',') {
        let wish = match word.to_ascii_uppercase().as_str() {
            "SUCCESS" => &mut notify.success,
            "FAILURE" => &mut notify.failure,
            "DELAY" => &mut notify.delay,
            _ => return None,
        };
        *wish = true;
    }
    Some(notify)
}

fn original(value: &str) -> Option<String> {
    let (kind, address) = value.split_once(';')?;
    let kind_ok = !kind.is_empty()
        && kind.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.'));
    if !kind_ok || value.len() > MAX_ORIGINAL {
        return None;
    }
    let address = match kind.eq_ignore_ascii_case("utf-8") {
        true => decode_utf8_address(address)?,
        false => decode_xtext(address)?,
    };
    if address.is_empty() {
        return None;
    }
    Some(format!("{kind};{address}"))
}

fn bad(keyword: &str, form: &str) -> Reply {
    Reply::enhanced(501, (5, 5, 4), format!("Bad {keyword} parameter: expected {form}"))
}

/// RFC 5321 §4.1.1.11: 555 for a parameter that is not recognized.
pub(crate) fn unsupported(keyword: &str) -> Reply {
    let shown: String = keyword.chars().take(40).collect();
    Reply::enhanced(555, (5, 5, 4), format!("Unsupported option: {shown}"))
}
