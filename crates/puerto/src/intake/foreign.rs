//! Fields in strangers' mail that speak in our name: only we say what our own checks
//! found, and only the last host says what the reverse-path was.

use puerto_mail::dns::is_at_or_below;
use puerto_mail::header::Field;
use puerto_mail::idn::name_in_ascii;
use puerto_smtp::Domain;

use super::Source;
use crate::config::Config;

/// Whether a field is to be taken out of what a client outside of the trusted networks
/// sent (RFC 8601 §5, RFC 5321 §4.4).
pub(super) fn is_forged(field: &Field<'_>, source: &Source, config: &Config) -> bool {
    if !matches!(source, Source::Smtp { trusted: false, .. }) {
        return false;
    }
    if field.is("Return-Path") {
        return true;
    }
    field.is("Authentication-Results") && is_ours(&server_named(field.value()), config)
}

/// The name of the server that claims to have checked: what stands first, comments and
/// quotes apart.
fn server_named(value: &[u8]) -> String {
    let text = String::from_utf8_lossy(value);
    let (mut name, mut depth, mut quoted, mut escaped) = (String::new(), 0_usize, false, false);
    for character in text.chars() {
        match character {
            _ if escaped => {
                escaped = false;
                if depth == 0 {
                    name.push(character);
                }
            }
            '\\' => escaped = true,
            '"' if depth == 0 => quoted = !quoted,
            '(' if !quoted => depth += 1,
            ')' if !quoted => depth = depth.saturating_sub(1),
            _ if depth > 0 => {}
            ';' if !quoted => break,
            other if other.is_whitespace() && !quoted && name.is_empty() => {}
            other if other.is_whitespace() && !quoted => break,
            other => name.push(other),
        }
    }
    name
}

fn is_ours(name: &str, config: &Config) -> bool {
    let name = name_in_ascii(name.trim());
    let domains = config.domains.iter().filter_map(Domain::name);
    let own = [config.hostname.as_str(), config.delivery.helo.as_str()];
    let mut ours = own.into_iter().chain(domains).map(name_in_ascii);
    ours.any(|ours| is_at_or_below(&name, &ours))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::Client;

    #[test]
    fn a_foreign_field_that_speaks_in_our_name_is_seen_however_it_is_written() {
        let config = Config::for_tests(std::path::Path::new("/nowhere"));
        let client = |trusted| Source::Smtp {
            client: Client { name: None, address: None },
            peer: ([198, 51, 100, 7], 4000).into(),
            helo: "x".to_owned(),
            protocol: "ESMTP",
            tls: None,
            trusted,
            account: None,
        };
        for (field, forged) in [
            ("Authentication-Results: mail.example.com; spf=pass", true),
            ("authentication-results: MAIL.Example.COM.; spf=pass", true),
            ("Authentication-Results:\r\n (all is well) mail.example.com\r\n 1; dkim=pass", true),
            ("Authentication-Results: \"mail.example.com\"; dmarc=pass", true),
            ("Authentication-Results: (a (b\\)) c)example.com;none", true),
            ("Authentication-Results: mx2.example.com; dkim=pass", true),
            ("Authentication-Results: mail.example.com", true),
            ("Authentication-Results : mail.example.com; spf=pass", true),
            ("Authentication-Results: notexample.com; dkim=pass", false),
            ("Authentication-Results: mx.google.com; dkim=pass (mail.example.com)", false),
            ("X-Authentication-Results: mail.example.com; spf=pass", false),
            ("ARC-Authentication-Results: i=1; mail.example.com; spf=pass", false),
            ("Return-Path: <ceo@example.com>", true),
            ("RETURN-PATH: <>", true),
            ("Subject: Return-Path", false),
        ] {
            let octets = format!("{field}\r\n");
            let field = Field::parse(octets.as_bytes()).unwrap();
            assert_eq!(is_forged(&field, &client(false), &config), forged, "{octets}");
            assert!(!is_forged(&field, &client(true), &config), "{octets}");
            assert!(!is_forged(&field, &Source::Forwarded, &config), "{octets}");
        }
    }
}
