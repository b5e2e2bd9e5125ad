//! What an authority refuses, as causes that are explained.

use instant_acme::{Error, Problem};

use crate::cause::Cause;
use crate::cause::field::{Spoken, Words};
use crate::lang::Said;

/// How all types of problems begin (RFC 8555 §6.7).
const PREFIX: &str = "urn:ietf:params:acme:error:";

/// An authority that cannot be talked to.
pub(super) fn unreachable(server: &str, why: &Said) -> Cause {
    Cause::AcmeUnreachable { server: server.to_owned(), why: Spoken::of(why) }
}

/// What went wrong while a certificate for these names was asked for.
pub(super) fn cause(error: Error, names: &str) -> Cause {
    match error {
        Error::Api(problem) => of_problem(&problem, names),
        Error::Other(other) => match other.downcast::<Cause>() {
            Ok(cause) => *cause,
            Err(other) => misunderstood(&other),
        },
        Error::Timeout(_) => Cause::AcmeSlow {},
        other => misunderstood(&other),
    }
}

fn misunderstood(error: &dyn std::fmt::Display) -> Cause {
    Cause::AcmeMisunderstood { why: Words(bounded(&error.to_string())) }
}

/// The kind of a problem, without its prefix.
pub(super) fn kind_of(problem: &Problem) -> &str {
    let kind = problem.r#type.as_deref().unwrap_or_default();
    kind.strip_prefix(PREFIX).unwrap_or(kind)
}

/// What a problem means for the name that was looked at.
pub(super) fn of_problem(problem: &Problem, name: &str) -> Cause {
    // Of several names, the first that is in trouble (RFC 8555 §6.7.1).
    let sub = problem.subproblems.first();
    let (mut kind, mut detail) = (kind_of(problem), problem.detail.as_deref());
    let mut name = name.to_owned();
    if let Some(sub) = sub {
        let own = sub.r#type.as_deref().unwrap_or_default();
        kind = own.strip_prefix(PREFIX).unwrap_or(own);
        detail = sub.detail.as_deref().or(detail);
        if let Some(identifier) = &sub.identifier {
            name = identifier.clone().authorized(false).to_string();
        }
    }
    let detail = Words(bounded(detail.unwrap_or("no reason given")));
    match kind {
        "rateLimited" => Cause::AcmeRateLimited { name, detail },
        "unauthorized" | "incorrectResponse" => Cause::AcmeUnauthorized { name, detail },
        "connection" => Cause::AcmeUnconnected { name, detail },
        "dns" => Cause::AcmeNoName { name, detail },
        "caa" => Cause::AcmeForbidden { name, detail },
        "tls" => Cause::AcmeTls { name, detail },
        "rejectedIdentifier" | "unsupportedIdentifier" => Cause::AcmeRejected { name, detail },
        "externalAccountRequired" => Cause::AcmeAccount { detail },
        "userActionRequired" => Cause::AcmeTerms { detail },
        "serverInternal" => Cause::AcmeInternal { detail },
        kind => Cause::AcmeRefused { kind: bounded(kind), detail },
    }
}

// A page of somebody else's is no line of the log.
fn bounded(text: &str) -> String {
    let plain = text.chars().map(|one| if one.is_control() { ' ' } else { one });
    plain.take(500).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cause::Explained;

    fn problem(json: &str) -> Cause {
        of_problem(&serde_json::from_str(json).unwrap(), "mail.example.com")
    }

    /// The words of Let's Encrypt and Pebble, as people have met them.
    #[test]
    fn what_authorities_refuse_is_explained() {
        for (kind, detail, rule) in [
            (
                "rateLimited",
                "too many certificates (5) already issued for this exact set of identifiers in \
                 the last 168h0m0s, retry after 2026-12-01 10:00:00 UTC",
                "puerto.acme-rate-limited",
            ),
            (
                "unauthorized",
                "192.0.2.1: Invalid response from http://mail.example.com/.well-known/\
                 acme-challenge/x: 404",
                "puerto.acme-unauthorized",
            ),
            (
                "connection",
                "192.0.2.1: Fetching http://mail.example.com/.well-known/acme-challenge/x: \
                 Timeout during connect (likely firewall problem)",
                "puerto.acme-unconnected",
            ),
            (
                "dns",
                "DNS problem: NXDOMAIN looking up A for mail.example.com - check that a DNS \
                 record exists for this domain",
                "puerto.acme-no-name",
            ),
            ("caa", "CAA record for mail.example.com prevents issuance", "puerto.acme-forbidden"),
            ("tls", "remote error: tls: no application protocol", "puerto.acme-tls"),
            (
                "rejectedIdentifier",
                "The ACME server refuses to issue a certificate for this domain name, because \
                 it is forbidden by policy",
                "puerto.acme-rejected",
            ),
            ("externalAccountRequired", "binding required", "puerto.acme-account"),
            ("userActionRequired", "Terms of service have changed", "puerto.acme-terms"),
            ("serverInternal", "Error creating new order", "puerto.acme-busy"),
            ("badPublicKey", "key too small", "puerto.acme-refused"),
        ] {
            let json = serde_json::json!({ "type": format!("{PREFIX}{kind}"), "detail": detail });
            let cause = problem(&json.to_string());
            assert_eq!(cause.explained(), Explained::ByRule(rule), "{cause}");
            assert!(cause.text().contains(detail), "{cause}");
        }
    }

    #[test]
    fn of_several_names_the_one_in_trouble_is_told() {
        let cause = problem(
            r#"{"type":"urn:ietf:params:acme:error:malformed","detail":"some are bad",
                "subproblems":[{"type":"urn:ietf:params:acme:error:caa","detail":"forbids it",
                "identifier":{"type":"dns","value":"mta-sts.example.com"}}]}"#,
        );
        let detail = Words("forbids it".to_owned());
        assert_eq!(cause, Cause::AcmeForbidden { name: "mta-sts.example.com".to_owned(), detail });
    }

    #[test]
    fn a_long_answer_is_cut_and_has_no_lines() {
        let detail = "x\n\u{1b}[31m".repeat(400);
        let json = serde_json::json!({ "type": "about:blank", "detail": detail });
        let text = problem(&json.to_string()).text().into_owned();
        assert!(text.len() < 700 && !text.contains(char::is_control), "{text}");
        assert!(problem("{}").text().contains("no reason given"));
    }
}
