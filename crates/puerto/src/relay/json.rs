//! The report as JSON.

use puerto_smtp::ReversePath;
use serde_json::{Value, json};

use super::{Problem, Report, host, trouble};
use crate::config::NextHopHost;
use crate::deliver::Outcome;
use crate::deliver::probe::{Granted, Sight, Why};
use crate::lang::Language;
use crate::telemetry::DeliveryStatus;
use crate::tls::{Acquaintance, Certificate};

impl Report {
    /// The report; its sentences are in one language.
    pub fn to_json(&self, language: Language) -> Value {
        let names = self.names.as_ref();
        let exchanger =
            |(preference, host): &(u16, String)| json!({ "preference": preference, "host": host });
        json!({
            "relayhost": self.next_hop.to_string(),
            "kind": match &self.next_hop.host {
                NextHopHost::Mx(_) => "mx",
                NextHopHost::Name(_) => "host",
                NextHopHost::Address(_) => "address",
            },
            "port": self.next_hop.port_or(25),
            "implicit_tls": self.next_hop.implicit_tls,
            "mx": names.map(|names| names.exchangers.iter().map(exchanger).collect::<Vec<_>>()),
            "addresses": names.map(|names| &names.addresses),
            "sender": self.sender.to_string(),
            "failure": self.plan.as_ref().err().map(|it| it.cause.said().of(language)),
            "hosts": self.sights.iter().map(|it| sight(it, language)).collect::<Vec<_>>(),
            "sent": self.sent.as_ref().map(|sent| {
                let outcome = sent.outcome.as_ref();
                json!({
                    "to": sent.to.to_string(),
                    "accepted": outcome.is_some_and(|it| it.status == DeliveryStatus::Sent),
                    "reply": outcome.map(Outcome::text),
                })
            }),
            "problems": self.problems.iter().map(|p| problem(p, language)).collect::<Vec<_>>(),
            "ok": !self.is_wrong(),
        })
    }
}

fn sight(sight: &Sight, language: Language) -> Value {
    let said = |why: &Why| trouble::said(why).of(language);
    let offered = sight.offered.as_ref();
    let (taken, refusal) = match &sight.login {
        Some(Ok(())) => (Some(true), None),
        Some(Err(why)) => (Some(false), Some(said(why))),
        None => (None, None),
    };
    let inspected = sight.inspected.as_ref();
    json!({
        "host": &*sight.host,
        "address": sight.address.ip(),
        "port": sight.address.port(),
        "starttls": sight.offered_starttls,
        "tls": sight.tls.as_ref().map(ToString::to_string),
        "rule": {
            "id": sight.rule.reason.id(),
            "reason": sight.rule.reason.said().of(language),
            "met": sight.verdict.as_ref().map(Result::is_ok),
            "told": sight.verdict.as_ref().map(|verdict| match verdict {
                Ok(told) | Err(told) => told.said().of(language),
            }),
        },
        "certificate": inspected.map(|inspected| json!({
            "valid": inspected.verdict.is_ok(),
            "key_changed": inspected.acquaintance == Acquaintance::Changed,
            "problem": inspected.verdict.as_ref().err().map(|fault| fault.as_str()),
            "reason": inspected.verdict.as_ref().err()
                .map(|fault| host::fault_of(fault, inspected).of(language)),
            "chain": inspected.chain.iter().map(|der| certificate(der)).collect::<Vec<_>>(),
        })),
        "auth": offered.map(|offered| &offered.auth),
        "size": offered.and_then(|offered| offered.size),
        "extensions": offered.map(|offered| json!({
            "pipelining": offered.pipelining,
            "chunking": offered.chunking,
            "8bitmime": offered.eight_bit_mime,
            "smtputf8": offered.smtputf8,
            "dsn": offered.dsn,
        })),
        "login": { "accepted": taken, "reason": refusal },
        "probes": sight.granted.iter().map(granted).collect::<Vec<_>>(),
        "failure": sight.failure.as_ref().map(said),
    })
}

fn certificate(der: &[u8]) -> Value {
    Certificate::parse(der).map_or(Value::Null, |certificate| {
        json!({
            "subject": certificate.subject,
            "issuer": certificate.issuer,
            "names": certificate.names,
            "not_before": certificate.not_before.to_string(),
            "not_after": certificate.not_after.to_string(),
        })
    })
}

fn granted(granted: &Granted) -> Value {
    let from = match &granted.wish.reverse_path {
        ReversePath::Null => String::new(),
        ReversePath::Address(address) => address.to_string(),
    };
    let reply = match &granted.answer {
        Ok(reply) => reply.to_string(),
        Err(failure) => failure.to_string(),
    };
    json!({
        "from": from,
        "to": granted.wish.recipient.to_string(),
        "accepted": granted.answer.is_ok(),
        "reply": reply,
    })
}

fn problem(problem: &Problem, language: Language) -> Value {
    let mut members = problem.finding.to_json(language);
    let refusal = problem.refusal;
    members.insert("cause".to_owned(), json!(refusal.map(|refusal| refusal.cause(language))));
    members.insert("class".to_owned(), json!(refusal.map(|refusal| refusal.class())));
    Value::Object(members)
}
