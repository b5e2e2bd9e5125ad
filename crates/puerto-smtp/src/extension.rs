//! Service extensions: what an EHLO reply offers (RFC 5321 §2.2, §4.1.1.1).
//!
//! One value serves both sides. A server writes its keywords from it, a client
//! reads its peer's into it; a keyword that nobody here acts on is not kept.

use crate::reply::Reply;

/// The extensions that one server offers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Extensions {
    /// PIPELINING (RFC 2920).
    pub pipelining: bool,
    /// SIZE (RFC 1870): the most octets of a message; `Some(0)`: offered, with no
    /// fixed limit; `None`: not offered.
    pub size: Option<u64>,
    /// 8BITMIME (RFC 6152).
    pub eight_bit_mime: bool,
    /// SMTPUTF8 (RFC 6531).
    pub smtputf8: bool,
    /// ENHANCEDSTATUSCODES (RFC 2034).
    pub enhanced_status_codes: bool,
    /// STARTTLS (RFC 3207).
    pub starttls: bool,
    /// CHUNKING: the BDAT command (RFC 3030).
    pub chunking: bool,
    /// DSN (RFC 3461).
    pub dsn: bool,
    /// REQUIRETLS (RFC 8689).
    pub require_tls: bool,
    /// XVERP, Postfix's own: an envelope sender for each recipient.
    pub xverp: bool,
    /// AUTH mechanisms in upper case (RFC 4954); empty: not offered.
    pub auth: Vec<String>,
    /// HELP.
    pub help: bool,
    /// XORIGIN, ours and for users of this machine alone: a client may say which program sends.
    pub origin: bool,
}

impl Extensions {
    /// Reads the reply to EHLO. Its first line is the peer's greeting and names no
    /// extension. Keywords are compared without regard to case.
    pub fn parse(reply: &Reply) -> Self {
        let mut extensions = Self::default();
        for line in reply.lines().iter().skip(1) {
            extensions.read_keyword(line);
        }
        extensions
    }

    fn read_keyword(&mut self, line: &str) {
        let mut words = line.split_ascii_whitespace();
        let keyword = words.next().unwrap_or_default().to_ascii_uppercase();
        match keyword.as_str() {
            "PIPELINING" => self.pipelining = true,
            // A limit that is not a number limits nothing that we could obey.
            "SIZE" => self.size = Some(words.next().and_then(|n| n.parse().ok()).unwrap_or(0)),
            "8BITMIME" => self.eight_bit_mime = true,
            "SMTPUTF8" => self.smtputf8 = true,
            "ENHANCEDSTATUSCODES" => self.enhanced_status_codes = true,
            "STARTTLS" => self.starttls = true,
            "CHUNKING" => self.chunking = true,
            "DSN" => self.dsn = true,
            "REQUIRETLS" => self.require_tls = true,
            "XVERP" => self.xverp = true,
            "HELP" => self.help = true,
            "XORIGIN" => self.origin = true,
            "AUTH" => self.add_mechanisms(words),
            // Servers before RFC 2554 wrote "AUTH=LOGIN PLAIN", and some write both.
            other => {
                if let Some(first) = other.strip_prefix("AUTH=") {
                    self.add_mechanisms(std::iter::once(first).chain(words));
                }
            }
        }
    }

    fn add_mechanisms<'a>(&mut self, words: impl Iterator<Item = &'a str>) {
        for word in words.filter(|word| !word.is_empty()) {
            let mechanism = word.to_ascii_uppercase();
            if !self.auth.contains(&mechanism) {
                self.auth.push(mechanism);
            }
        }
    }

    /// The lines of an EHLO reply after the first, one for each extension.
    pub fn keywords(&self) -> Vec<String> {
        let mut lines = Vec::new();
        let mut offer = |offered: bool, keyword: &str| {
            if offered {
                lines.push(keyword.to_owned());
            }
        };
        offer(self.pipelining, "PIPELINING");
        if let Some(size) = self.size {
            offer(true, &format!("SIZE {size}"));
        }
        offer(self.starttls, "STARTTLS");
        if !self.auth.is_empty() {
            offer(true, &format!("AUTH {}", self.auth.join(" ")));
        }
        offer(self.enhanced_status_codes, "ENHANCEDSTATUSCODES");
        offer(self.eight_bit_mime, "8BITMIME");
        offer(self.dsn, "DSN");
        offer(self.smtputf8, "SMTPUTF8");
        offer(self.chunking, "CHUNKING");
        offer(self.require_tls, "REQUIRETLS");
        offer(self.xverp, "XVERP");
        offer(self.help, "HELP");
        offer(self.origin, "XORIGIN");
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(lines: &[&str]) -> Extensions {
        let lines = lines.iter().map(|line| (*line).to_owned()).collect();
        Extensions::parse(&Reply::multiline(250, None, lines))
    }

    #[test]
    fn what_is_written_is_read_back() {
        let all = Extensions {
            pipelining: true,
            size: Some(52_428_800),
            eight_bit_mime: true,
            smtputf8: true,
            enhanced_status_codes: true,
            starttls: true,
            chunking: true,
            dsn: true,
            require_tls: true,
            xverp: true,
            auth: vec!["PLAIN".to_owned(), "LOGIN".to_owned()],
            help: true,
            origin: true,
        };
        for extensions in [Extensions::default(), all] {
            let mut lines = vec!["mx.example.com".to_owned()];
            lines.extend(extensions.keywords());
            assert_eq!(Extensions::parse(&Reply::multiline(250, None, lines)), extensions);
        }
    }

    #[test]
    fn peers_write_keywords_in_many_ways() {
        assert!(!parse(&["PIPELINING"]).pipelining, "the first line is a greeting");
        assert!(parse(&["mx", "pipelining"]).pipelining);
        assert_eq!(parse(&["mx", "SIZE"]).size, Some(0));
        assert_eq!(parse(&["mx", "SIZE 0"]).size, Some(0));
        assert_eq!(parse(&["mx", "size 1000"]).size, Some(1000));
        assert_eq!(parse(&["mx", "SIZE 99999999999999999999999"]).size, Some(0));
        assert_eq!(parse(&["mx", "HELP"]).size, None);
        assert_eq!(
            parse(&["mx", "AUTH plain LOGIN", "AUTH=LOGIN CRAM-MD5"]).auth,
            ["PLAIN", "LOGIN", "CRAM-MD5"]
        );
        assert_eq!(parse(&["mx", "", "X-UNKNOWN 1", "AUTHX"]), Extensions::default());
    }
}
