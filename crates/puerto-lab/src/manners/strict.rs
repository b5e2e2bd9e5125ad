//! The strict receiver: what the largest providers ask of everybody who sends to
//! them, decided after the content has come, as they do.
//!
//! In this order, since the first fault is the one that is told: a reverse name that is not
//! made from the address; no entry in the PBL; reverse DNS that leads back; one From
//! field with one address; SPF or DKIM; DMARC; an SPF record; a DKIM signature that
//! verifies, if there is one. A DNS that does not answer is
//! a reason to wait, never to refuse, and so is a blocklist that answers something else
//! than an entry. Of signatures only those by RSA count, since hardly any receiver
//! reads others yet.

use std::net::{IpAddr, Ipv4Addr};

use puerto_mail::authres::MethodResult;
use puerto_mail::dkim::{self, Algorithm, DkimResult, Verification};
use puerto_mail::dmarc::{self, Authenticated, DmarcResult, Policy};
use puerto_mail::header::{Header, parse_address_list};
use puerto_mail::spf::{self, SpfResult};
use puerto_smtp::Reply;

use super::{Answer, Judgement, Presented};
use crate::clock::now;
use crate::zone::Zone;

/// The list that is asked, and those of its answers that mean the PBL. Others, such as
/// 127.255.255.254, say nothing about the address.
const PBL_ZONE: &str = "zen.spamhaus.org";
const PBL_ANSWERS: [IpAddr; 2] =
    [IpAddr::V4(Ipv4Addr::new(127, 0, 0, 10)), IpAddr::V4(Ipv4Addr::new(127, 0, 0, 11))];

pub(super) async fn judge(zone: &Zone, host: &str, presented: &Presented<'_>) -> Judgement {
    let evidence = gather(zone, host, presented).await;
    let answer = match evidence.fault(presented) {
        Some(reply) => Answer::Say(reply),
        None => Answer::Accept,
    };
    Judgement { answer, authentication: evidence.results(presented) }
}

struct Evidence {
    in_pbl: bool,
    reverse_name: Option<String>,
    spf: spf::Evaluation,
    dkim: Vec<dkim::Verification>,
    from_domain: Result<String, &'static str>,
    dmarc: Option<dmarc::Evaluation>,
}

async fn gather(zone: &Zone, host: &str, presented: &Presented<'_>) -> Evidence {
    let now = now();
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
    let listings = zone.listings(PBL_ZONE, presented.peer);
    let in_pbl = listings.iter().any(|answer| PBL_ANSWERS.contains(answer));
    Evidence { in_pbl, reverse_name, spf, dkim, from_domain, dmarc }
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
        self.fault_of_address(presented.peer).or_else(|| self.fault_of_message(presented.peer))
    }

    fn fault_of_address(&self, peer: IpAddr) -> Option<Reply> {
        if let Some(name) = self.reverse_name.as_ref().filter(|name| is_made_from(name, peer)) {
            return Some(refusal(
                (5, 7, 1),
                &[
                    &format!("DY-001 [{peer}] is named {name}, as dynamic addresses are,"),
                    "and we do not accept mail from dynamic IP addresses.",
                ],
            ));
        }
        if self.in_pbl {
            return Some(refusal(
                (5, 7, 1),
                &[
                    &format!("Client host [{peer}] blocked using {PBL_ZONE}: it is on the PBL,"),
                    "a list of dynamic and residential addresses.",
                    &format!("https://check.spamhaus.org/results/?query={peer}"),
                ],
            ));
        }
        self.reverse_name.is_none().then(|| {
            refusal(
                (5, 7, 25),
                &[
                    &format!("[{peer}] has no name in the DNS (PTR) that leads back to it."),
                    "Give the address a PTR record, and that name the address.",
                ],
            )
        })
    }

    fn fault_of_message(&self, peer: IpAddr) -> Option<Reply> {
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
        if rejected {
            return Some(refusal(
                (5, 7, 26),
                &[
                    &format!("Unauthenticated mail from {domain} is not accepted,"),
                    &format!("by the DMARC policy of {domain}."),
                ],
            ));
        }
        self.fault_of_spf(peer).or_else(|| self.fault_of_dkim())
    }

    // By the codes of RFC 7372 §3.2. A record that is missing or broken is a fault of the
    // domain even where a signature passes; one that fails is not, since forwarding
    // brings that about.
    fn fault_of_spf(&self, peer: IpAddr) -> Option<Reply> {
        let domain = &self.spf.domain;
        match self.spf.result {
            SpfResult::PermError => Some(refusal(
                (5, 7, 24),
                &[
                    &format!("SPF validation error: [{domain}] with ip [{peer}] = permerror."),
                    "The SPF record of the domain cannot be evaluated.",
                ],
            )),
            SpfResult::None => Some(refusal(
                (5, 7, 23),
                &[&format!("SPF validation failed: [{domain}] has no SPF record.")],
            )),
            _ => None,
        }
    }

    // By the code of RFC 7372 §3.1. Who does not sign at all was judged by DMARC.
    fn fault_of_dkim(&self) -> Option<Reply> {
        let by_rsa =
            || self.dkim.iter().filter(|found| found.algorithm != Some(Algorithm::Ed25519Sha256));
        if by_rsa().any(|found| found.result == DkimResult::Pass) {
            return None;
        }
        let failed = by_rsa().next()?;
        let name = format!("{}._domainkey.{}", failed.selector, failed.domain);
        let why = reason(failed);
        Some(refusal(
            (5, 7, 20),
            &[
                "No passing DKIM signature found.",
                &format!("DKIM [{name}] = {} ({why}).", failed.result.name()),
            ],
        ))
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
                format!("{} ({})", found.result.name(), reason(found))
            }
        }
    }

    fn results(&self, presented: &Presented<'_>) -> Vec<MethodResult> {
        let mut results = vec![MethodResult::iprev(self.reverse_name.is_some(), presented.peer)];
        results.push(MethodResult::spf(&self.spf, &presented.from.to_string()));
        if self.dkim.is_empty() {
            results.push(MethodResult::new("dkim", "none"));
        }
        results.extend(self.dkim.iter().map(MethodResult::dkim));
        results.extend(self.dmarc.as_ref().map(MethodResult::dmarc));
        results
    }
}

fn reason(found: &Verification) -> String {
    found.reason().map_or_else(|| "for no reason".to_owned(), ToString::to_string)
}

// `127-0-0-10.dynamic.isp.example`: the octets of the address stand in its name.
fn is_made_from(name: &str, address: IpAddr) -> bool {
    let IpAddr::V4(address) = address else { return false };
    let dashed = address.to_string().replace('.', "-");
    name.contains(&dashed) || name.contains(&address.to_string())
}

fn refusal(code: (u8, u16, u16), lines: &[&str]) -> Reply {
    let (class, subject, detail) = code;
    let code = puerto_smtp::EnhancedCode::new(class, subject, detail);
    Reply::multiline(550, Some(code), lines.iter().map(|line| (*line).to_owned()).collect())
}
