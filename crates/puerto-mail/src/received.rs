//! The trace field `Received` (RFC 5321 §4.4) and what it tells about loops.
//!
//! Every value in it comes from the network or from users, so all are written
//! through a list of allowed characters; whatever else they hold becomes `?`.

use std::borrow::Cow;
use std::net::IpAddr;

use puerto_smtp::Address;
use puerto_smtp::text::{is_harmful, with_only};

use crate::date::{self, DateTime};
use crate::header::{Header, write_structured};
use crate::idn::in_ascii;

/// `Received` fields from which on a message is taken to be going round in circles
/// (RFC 5321 §6.3 asks for at least 100 before *simple* counting rejects; every
/// large provider refuses far earlier, and a real path has fewer than 15).
pub const MAX_HOPS: usize = 50;

/// Where a message came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum From<'a> {
    /// A client that spoke SMTP over the network.
    Client {
        /// The argument of its HELO or EHLO, unverified.
        helo: &'a str,
        /// Its host name, if that leads back to the address; else the field says `unknown`.
        name: Option<&'a str>,
        /// The address that it connected from.
        address: IpAddr,
        /// `ESMTPS` and the like (RFC 3848).
        protocol: &'a str,
        /// TLS version and cipher: `TLSv1.3 with cipher TLS_AES_256_GCM_SHA384`.
        tls: Option<&'a str>,
    },
    /// A user of this machine.
    User(u32),
    /// This server itself, such as a notification that it wrote.
    Internal,
}

/// What one trace field says (RFC 5321 §4.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Received<'a> {
    /// Where the message came from.
    pub from: From<'a>,
    /// This server's host name, as its greeting says it.
    pub by: &'a str,
    /// The id in the queue, by which the log finds the message.
    pub id: &'a str,
    /// The recipient, if there is only one: with more, none is named, so that no
    /// Bcc is given away (RFC 5321 §7.2).
    pub recipient: Option<&'a Address>,
    /// When this server got it, on its own wall clock.
    pub date: DateTime,
}

impl Received<'_> {
    /// Appends the whole field, folded, with its name and the final CRLF.
    pub fn write(&self, out: &mut Vec<u8>) {
        // What may be folded apart ends with a line's end, which nothing in it holds.
        let mut text = String::with_capacity(256);
        let mut say = |parts: &[&str]| {
            parts.iter().for_each(|part| text.push_str(part));
            text.push('\n');
        };
        let by = safe(self.by);
        match self.from {
            From::Client { helo, name, address, protocol, tls } => {
                say(&["from ", &safe(helo)]);
                say(&["(", &safe(name.unwrap_or("unknown")), " [", &tagged(address), "])"]);
                if let Some(tls) = tls {
                    say(&["(using ", &safe_phrase(tls), ")"]);
                }
                say(&["by ", &by, " (Buen Puerto)"]);
                say(&["with ", &safe(protocol)]);
            }
            From::User(uid) => {
                say(&["by ", &by, " (Buen Puerto, from userid ", &uid.to_string(), ")"]);
            }
            From::Internal => say(&["by ", &by, " (Buen Puerto)"]),
        }
        match self.recipient {
            None => say(&["id ", &safe(self.id), ";"]),
            Some(recipient) => {
                say(&["id ", &safe(self.id)]);
                // A trace field alone must not make a message need SMTPUTF8.
                let in_ascii = in_ascii(recipient);
                say(&["for <", &safe_address(in_ascii.as_ref().unwrap_or(recipient)), ">;"]);
            }
        }
        say(&[&date::format(self.date)]);
        write_structured(out, "Received", text.lines());
    }
}

/// Whether a message has gone through so many servers that it must be going round
/// in circles.
pub fn is_looping(header: &Header<'_>) -> bool {
    header.count("Received") > MAX_HOPS
}

/// Whether a message was already delivered to this address here, so that its owner
/// forwards it to itself.
pub fn was_delivered_to(header: &Header<'_>, address: &Address) -> bool {
    let mut named = header.named("Delivered-To").peekable();
    // Nearly none has been delivered before.
    let text = if named.peek().is_some() { address.to_string() } else { return false };
    named.any(|field| field.unfolded().eq_ignore_ascii_case(text.as_bytes()))
}

fn tagged(address: IpAddr) -> String {
    match address {
        IpAddr::V4(v4) => v4.to_string(),
        IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
            Some(v4) => v4.to_string(),
            None => format!("IPv6:{v6}"),
        },
    }
}

const MAX_NAME: usize = 255;

fn safe(text: &str) -> Cow<'_, str> {
    let is_plain = |octet: u8| octet.is_ascii_alphanumeric() || b".-_:[]/+".contains(&octet);
    if (1..=MAX_NAME).contains(&text.len()) && text.bytes().all(is_plain) {
        return Cow::Borrowed(text);
    }
    let allowed = |c: char| {
        c.is_ascii_alphanumeric()
            || ".-_:[]/+".contains(c)
            || (!c.is_ascii() && c.is_alphanumeric())
    };
    let end = text.char_indices().nth(MAX_NAME).map_or(text.len(), |(end, _)| end);
    let text = with_only(text.get(..end).unwrap_or_default(), allowed);
    if text.is_empty() { Cow::Borrowed("?") } else { Cow::Owned(text) }
}

fn safe_phrase(text: &str) -> String {
    text.split(' ').filter(|word| !word.is_empty()).map(safe).collect::<Vec<_>>().join(" ")
}

// An Address is valid, but a quoted local part may hold what confuses other readers.
fn safe_address(address: &Address) -> String {
    with_only(&address.to_string(), |c| !"<>()\\;\"".contains(c) && !is_harmful(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(received: &Received<'_>) -> String {
        let mut out = Vec::new();
        received.write(&mut out);
        assert_eq!(Header::parse(&out).unwrap().fields().len(), 1);
        assert!(out.split(|b| *b == b'\n').all(|line| line.len() <= 79));
        String::from_utf8(out).unwrap().replace("\r\n ", " ")
    }

    fn from_client<'a>(helo: &'a str, tls: Option<&'a str>) -> Received<'a> {
        Received {
            from: From::Client {
                helo,
                name: Some("mx.example.net"),
                address: "2001:db8::1".parse().unwrap(),
                protocol: "ESMTPS",
                tls,
            },
            by: "mail.example.com",
            id: "0123456789AB",
            recipient: None,
            date: DateTime { unix_seconds: 0, offset_minutes: 60 },
        }
    }

    #[test]
    fn the_field_tells_the_path() {
        let cipher = "TLSv1.3 with cipher TLS_AES_256_GCM_SHA384";
        let address = Address::parse("a@b.example").unwrap();
        let received = from_client("mx.example.net", Some(cipher));
        assert_eq!(
            written(&Received { recipient: Some(&address), ..received }),
            "Received: from mx.example.net (mx.example.net [IPv6:2001:db8::1]) (using TLSv1.3 with \
             cipher TLS_AES_256_GCM_SHA384) by mail.example.com (Buen Puerto) with ESMTPS id \
             0123456789AB for <a@b.example>; Thu, 1 Jan 1970 01:00:00 +0100\r\n"
        );
        assert_eq!(
            written(&Received { from: From::User(1000), ..received }),
            "Received: by mail.example.com (Buen Puerto, from userid 1000) id 0123456789AB; \
             Thu, 1 Jan 1970 01:00:00 +0100\r\n"
        );
    }

    #[test]
    fn hostile_names_are_made_harmless() {
        let text = written(&from_client("x) by evil (\r\nBcc: a@b;\0<>", Some("TLS\r\nX: y")));
        assert!(text.contains("from x??by?evil????Bcc:?a?b????"), "{text}");
        assert!(text.contains("(using TLS??X: y)"), "{text}");
        let long = "x".repeat(100_000);
        let mut out = Vec::new();
        from_client(&long, None).write(&mut out);
        assert!(out.len() < 1000);
    }

    #[test]
    fn loops_are_seen() {
        let one = "Received: by a id b; Thu, 1 Jan 1970 01:00:00 +0100\r\n";
        let message = one.repeat(MAX_HOPS);
        assert!(!is_looping(&Header::parse(message.as_bytes()).unwrap()));
        let message = one.repeat(MAX_HOPS + 1);
        assert!(is_looping(&Header::parse(message.as_bytes()).unwrap()));
        let header = Header::parse(b"Delivered-To: A@b.example\r\n\r\n").unwrap();
        assert!(was_delivered_to(&header, &Address::parse("a@B.example").unwrap()));
        assert!(!was_delivered_to(&header, &Address::parse("c@b.example").unwrap()));
    }
}
