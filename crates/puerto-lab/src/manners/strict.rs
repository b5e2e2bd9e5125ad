//! The strict receiver: what the largest providers ask of everybody who sends to
//! them, decided after the content has come, as they do.
//!
//! In this order, since the first fault is the one that is told: reverse DNS that
//! leads back; one From field with one address; SPF or DKIM; DMARC. A DNS that does
//! not answer is a reason to wait, never to refuse.

use std::time::{SystemTime, UNIX_EPOCH};

use puerto_mail::authres::MethodResult;
use puerto_mail::dkim::{self, DkimResult};
use puerto_mail::dmarc::{self, Authenticated, DmarcResult, Policy};
use puerto_mail::header::{Header, parse_address_list};
use puerto_mail::spf::{self, SpfResult};
use puerto_smtp::Reply;

use super::{Answer, Judgement, Presented};
use crate::zone::Zone;

pub(super) async fn judge(zone: &Zone, host: &str, presented: &Presented<'_>) -> Judgement {
    let evidence = gather(zone, host, presented).await;
    let answer = match evidence.fault(presented) {
        Some(reply) => Answer::Say(reply),
        None => Answer::Accept,
    };
    Judgement { answer, authentication: evidence.results(presented) }
}

struct Evidence {
    reverse_name: Option<String>,
    spf: spf::Evaluation,
    dkim: Vec<dkim::Verification>,
    from_domain: Result<String, &'static str>,
    dmarc: Option<dmarc::Evaluation>,
}

async fn gather(zone: &Zone, host: &str, presented: &Presented<'_>) -> Evidence {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let query = spf::Query::mail_from(presented.peer, presented.helo, presented.from)
        .receiver(host)
        .at(now);
    let spf = spf::check(zone, &query).await;
    let dkim = dkim::verify(presented.message, zone, now.try_into().unwrap_or(i64::MAX)).await;
    let from_domain = from_domain(presented.message);
    let dmarc = match &from_domain {
        Ok(domain) => {
            let by_spf = Authenticated::new(spf.domain.clone(), spf.result == SpfResult::Pass);
            let by_dkim: Vec<_> = dkim
                .iter()
                .map(|found| Authenticated::new(&*found.domain, found.result == DkimResult::Pass))
                .collect();
            Some(dmarc::evaluate(zone, domain, Some(&by_spf), &by_dkim).await)
        }
        Err(_) => None,
    };
    let reverse_name = zone.confirmed_names(presented.peer).into_iter().next();
    Evidence { reverse_name, spf, dkim, from_domain, dmarc }
}

// DMARC stands on one author (RFC 9989 §5); the largest providers want no other mail.
fn from_domain(message: &[u8]) -> Result<String, &'static str> {
    let header = Header::parse(message).map_err(|_| "the header is too long")?;
    if header.count("From") != 1 {
        return Err("there must be exactly one From field");
    }
    let field = header.first("From").ok_or("there is no From field")?;
    let mailboxes = parse_address_list(field.value(), None);
    match mailboxes.map_err(|_| "the From field is malformed")?.as_slice() {
        [one] => Ok(one.address.domain().to_string()),
        _ => Err("the From field must hold exactly one address"),
    }
}

impl Evidence {
    fn fault(&self, presented: &Presented<'_>) -> Option<Reply> {
        let peer = presented.peer;
        if self.reverse_name.is_none() {
            return Some(refusal(
                (5, 7, 25),
                &[
                    &format!("[{peer}] has no name in the DNS (PTR) that leads back to it."),
                    "Give the address a PTR record, and that name the address.",
                ],
            ));
        }
        let domain = match &self.from_domain {
            Ok(domain) => domain,
            Err(fault) => {
                return Some(refusal((5, 7, 1), &["This is not a message:", fault]));
            }
        };
        if self.is_undecided() {
            let text = "the sender's DNS does not answer, try again later";
            return Some(Reply::enhanced(451, (4, 7, 24), text));
        }
        let signed = self.dkim.iter().any(|found| found.result == DkimResult::Pass);
        if self.spf.result != SpfResult::Pass && !signed {
            let spf = format!("SPF [{}] with ip [{peer}] = {}.", self.spf.domain, self.spf.result);
            return Some(refusal(
                (5, 7, 26),
                &[
                    "This message is blocked: its sender is not authenticated.",
                    "Either SPF or DKIM has to pass.",
                    &format!("DKIM = {}.", self.dkim_in_words()),
                    &spf,
                ],
            ));
        }
        let rejected = self.dmarc.as_ref().is_some_and(|dmarc| {
            dmarc.result == DmarcResult::Fail && dmarc.disposition == Policy::Reject
        });
        rejected.then(|| {
            refusal(
                (5, 7, 26),
                &[
                    &format!("Unauthenticated mail from {domain} is not accepted,"),
                    &format!("by the DMARC policy of {domain}."),
                ],
            )
        })
    }

    fn is_undecided(&self) -> bool {
        let dmarc_passed = self.dmarc.as_ref().is_some_and(|d| d.result == DmarcResult::Pass);
        let temporary = self.spf.result == SpfResult::TempError
            || self.dkim.iter().any(|found| found.result == DkimResult::TempError)
            || self.dmarc.as_ref().is_some_and(|d| d.result == DmarcResult::TempError);
        temporary && !dmarc_passed
    }

    fn dkim_in_words(&self) -> String {
        match self.dkim.first() {
            None => "did not pass: there is no signature".to_owned(),
            Some(found) => {
                format!("{} ({})", found.result.name(), found.reason().unwrap_or("for no reason"))
            }
        }
    }

    fn results(&self, presented: &Presented<'_>) -> Vec<MethodResult> {
        let mut results = vec![MethodResult::iprev(self.reverse_name.is_some(), presented.peer)];
        results.push(MethodResult::spf(&self.spf, &presented.from.to_string()));
        if self.dkim.is_empty() {
            results.push(MethodResult::new("dkim", "none"));
        }
        for found in &self.dkim {
            let algorithm = found.algorithm.map_or("unknown", dkim::Algorithm::name);
            let result = MethodResult::dkim(
                found.result.name(),
                &found.domain,
                &found.selector,
                algorithm,
                &found.signature_start,
            );
            results.push(match found.reason() {
                Some(reason) => result.reason(reason),
                None => result,
            });
        }
        results.extend(self.dmarc.as_ref().map(MethodResult::dmarc));
        results
    }
}

fn refusal(code: (u8, u16, u16), lines: &[&str]) -> Reply {
    let (class, subject, detail) = code;
    let code = puerto_smtp::EnhancedCode::new(class, subject, detail);
    Reply::multiline(550, Some(code), lines.iter().map(|line| (*line).to_owned()).collect())
}
