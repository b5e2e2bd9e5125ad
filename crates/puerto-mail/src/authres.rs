//! The `Authentication-Results` field (RFC 8601): what a receiver found out, for
//! those who read the message later.
//!
//! Values from the network are quoted where they have to be and can never end the
//! field.

use puerto_smtp::text::is_harmful;

use crate::dkim::Verification;
use crate::dmarc;
use crate::spf;

/// The field in the making: whose word it is, and what each method came to.
#[derive(Debug, Clone)]
pub struct AuthenticationResults {
    service: String,
    results: Vec<MethodResult>,
}

/// What one method came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MethodResult {
    /// `spf`, `dkim`, `dmarc`, `iprev`, `auth` (the IANA registry of email
    /// authentication methods).
    pub method: &'static str,
    /// The method's word for what it came to: `pass`, `fail`, `none` (RFC 8601 §2.7).
    pub result: String,
    /// Why it came to that, in English for people; no program reads it.
    pub reason: Option<String>,
    /// `smtp.mailfrom` and its like, with their values.
    pub properties: Vec<(&'static str, String)>,
}

impl MethodResult {
    /// A result without reason and properties.
    pub fn new(method: &'static str, result: impl Into<String>) -> Self {
        Self { method, result: result.into(), reason: None, properties: Vec::new() }
    }

    /// The same with a reason, from anywhere: it is quoted when the field is written.
    #[must_use]
    pub fn reason(mut self, reason: impl Into<String>) -> Self {
        self.reason = Some(reason.into());
        self
    }

    /// The same with one property more: what was looked at (RFC 8601 §2.2).
    #[must_use]
    pub fn property(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.properties.push((name, value.into()));
        self
    }

    /// SPF; `sender` is the reverse-path, of which the domain counts (RFC 8601 §2.7.2).
    pub fn spf(evaluation: &spf::Evaluation, sender: &str) -> Self {
        let result = Self::new("spf", evaluation.result.as_str());
        match evaluation.identity {
            spf::Identity::MailFrom => result.property("smtp.mailfrom", sender),
            spf::Identity::Helo => result.property("smtp.helo", evaluation.domain.clone()),
        }
    }

    /// One DKIM signature: its result and why, `d=`, `s=` and `a=`, with the beginning of
    /// `b=` to tell it from others (RFC 8601 §2.7.1, RFC 6008). What could not be read
    /// is empty, and is left out.
    pub fn dkim(signature: &Verification) -> Self {
        let known = [
            ("header.d", &*signature.domain),
            ("header.s", &signature.selector),
            ("header.a", signature.algorithm.map_or("", |algorithm| algorithm.name())),
            ("header.b", &signature.signature_start),
        ];
        let known = known.into_iter().filter(|(_, value)| !value.is_empty());
        let result = Self {
            reason: signature.reason().map(ToString::to_string),
            ..Self::new("dkim", signature.result.name())
        };
        known.fold(result, |method, (name, value)| method.property(name, value))
    }

    /// DMARC, with the policy that holds for this From domain, as IANA registered the
    /// property: subdomains and test mode are taken into account.
    pub fn dmarc(evaluation: &dmarc::Evaluation) -> Self {
        let result = Self::new("dmarc", evaluation.result.as_str());
        let result = match &evaluation.record {
            Some(record) if record.testing => {
                result.property("policy.dmarc", evaluation.policy.relaxed().as_str())
            }
            Some(_) => result.property("policy.dmarc", evaluation.policy.as_str()),
            None => result,
        };
        result.property("header.from", evaluation.from_domain.clone())
    }

    /// Whether the client's address has a name that leads back to it (RFC 8601 §2.7.3).
    pub fn iprev(pass: bool, address: std::net::IpAddr) -> Self {
        let result = if pass { "pass" } else { "fail" };
        Self::new("iprev", result).property("policy.iprev", address.to_string())
    }
}

impl AuthenticationResults {
    /// A field of the host that vouches for the results: its authserv-id.
    pub fn new(service: &str) -> Self {
        Self { service: service.to_owned(), results: Vec::new() }
    }

    /// The same with one result more, behind the others.
    #[must_use]
    pub fn with(mut self, result: MethodResult) -> Self {
        self.results.push(result);
        self
    }

    /// The results in the order in which they will stand in the field.
    pub fn results(&self) -> &[MethodResult] {
        &self.results
    }

    /// The whole field, folded, with its name and the final CRLF.
    pub fn to_field(&self) -> String {
        let mut out = format!("Authentication-Results: {}", token_or_quoted(&self.service));
        if self.results.is_empty() {
            out.push_str("; none");
        }
        for result in &self.results {
            out.push_str(";\r\n ");
            out.push_str(result.method);
            out.push('=');
            out.push_str(&token_or_quoted(&result.result));
            if let Some(reason) = &result.reason {
                out.push_str("\r\n  reason=");
                out.push_str(&quoted(reason));
            }
            for (name, value) in &result.properties {
                out.push_str("\r\n  ");
                out.push_str(name);
                out.push('=');
                out.push_str(&value_text(value));
            }
        }
        out.push_str("\r\n");
        out
    }
}

/// Characters of one value at most: more than any name or address that is valid has,
/// and few enough for a line (RFC 5322 §2.1.1), two octets for each that is escaped.
const MAX_VALUE: usize = 450;

// A value may be an address as it stands, besides a token (RFC 8601 §2.2, pvalue).
fn value_text(value: &str) -> String {
    match value.rsplit_once('@') {
        _ if value.len() > MAX_VALUE => quoted(value),
        Some((local, domain)) if is_dot_atom(local) && is_dot_atom(domain) => value.to_owned(),
        Some(("", domain)) if is_dot_atom(domain) => value.to_owned(),
        _ => token_or_quoted(value),
    }
}

fn token_or_quoted(value: &str) -> String {
    if is_token(value) && value.len() <= MAX_VALUE { value.to_owned() } else { quoted(value) }
}

// token of RFC 2045 §5.1.
fn is_token(value: &str) -> bool {
    let is_token_byte = |b: u8| b.is_ascii_graphic() && !b"()<>@,;:\\\"/[]?=".contains(&b);
    !value.is_empty() && value.bytes().all(is_token_byte)
}

fn is_dot_atom(value: &str) -> bool {
    let is_atext = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&b);
    value.split('.').all(|atom| !atom.is_empty() && atom.bytes().all(is_atext))
}

fn quoted(value: &str) -> String {
    let mut out = String::with_capacity(value.len().min(MAX_VALUE) + 2);
    out.push('"');
    let mut room = MAX_VALUE * 2;
    for character in value.chars() {
        room = room.saturating_sub(character.len_utf8().max(2));
        if room == 0 {
            out.push('…');
            break;
        }
        match character {
            '"' | '\\' => {
                out.push('\\');
                out.push(character);
            }
            harmful if is_harmful(harmful) => out.push('?'),
            other => out.push(other),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dkim::{Algorithm, DkimResult};

    #[test]
    fn a_field_names_every_result() {
        let signature = Verification {
            result: DkimResult::Pass,
            domain: "example.com".to_owned(),
            selector: "s1".to_owned(),
            algorithm: Some(Algorithm::RsaSha256),
            signature_start: "AbCdEfGh".to_owned(),
            ..Verification::blank()
        };
        let field = AuthenticationResults::new("mx.example.net")
            .with(MethodResult::new("spf", "pass").property("smtp.mailfrom", "ana@example.com"))
            .with(MethodResult::dkim(&signature))
            .with(MethodResult::iprev(true, "2001:db8::1".parse().unwrap()));
        assert_eq!(
            field.to_field(),
            "Authentication-Results: mx.example.net;\r\n\
            \x20spf=pass\r\n\
            \x20 smtp.mailfrom=ana@example.com;\r\n\
            \x20dkim=pass\r\n\
            \x20 header.d=example.com\r\n\
            \x20 header.s=s1\r\n\
            \x20 header.a=rsa-sha256\r\n\
            \x20 header.b=AbCdEfGh;\r\n\
            \x20iprev=pass\r\n\
            \x20 policy.iprev=\"2001:db8::1\"\r\n"
        );
    }

    #[test]
    fn nothing_from_the_network_can_end_the_field() {
        let hostile = "x\r\nBcc: all@example.com; dkim=pass \"\\";
        let field = AuthenticationResults::new("mx.example.net")
            .with(MethodResult::new("spf", "fail").property("smtp.mailfrom", hostile))
            .with(MethodResult::new("dkim", "fail").reason(hostile))
            .to_field();
        assert!(!field.contains("\r\nBcc"));
        let quoted = "\"x??Bcc: all@example.com; dkim=pass \\\"\\\\\"";
        assert_eq!(field.matches(quoted).count(), 2, "{field}");
    }

    #[test]
    fn values_fit_a_line_and_show_what_they_are() {
        for long in
            ["a".repeat(5000), "é\"".repeat(2000), format!("{}@example.com", "b".repeat(999))]
        {
            let field = AuthenticationResults::new("mx.example.net")
                .with(MethodResult::new("spf", "fail").property("smtp.mailfrom", long))
                .to_field();
            assert!(field.split("\r\n").all(|line| line.len() < 998), "{field}");
            assert!(field.ends_with("…\"\r\n"), "{field}");
        }
        let hidden = MethodResult::new("spf", "fail").reason("a\u{202e}b\u{2028}c\u{85}d");
        let field = AuthenticationResults::new("mx.example.net").with(hidden).to_field();
        assert!(field.contains("\"a?b?c?d\""), "{field}");
        let unread = MethodResult::dkim(&Verification::blank());
        assert_eq!(unread, MethodResult::new("dkim", "permerror"));
    }

    #[test]
    fn no_results_are_said_to_be_none() {
        let field = AuthenticationResults::new("mx.example.net").to_field();
        assert_eq!(field, "Authentication-Results: mx.example.net; none\r\n");
    }
}
