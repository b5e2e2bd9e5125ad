//! Asks who has a mailbox whether there is one: RCPT without a message behind it.

use std::sync::Arc;

use puerto_smtp::client::{Failure, Stage};
use puerto_smtp::{Address, Reply, ReversePath, Severity};

use super::probe::{self, Wish};
use super::remote::{LmtpTarget, Remote};
use crate::cause::Cause;
use crate::config::TlsLevel;
use crate::route::{Hop, Plan};

/// Hosts that are asked for one answer at most.
const MOST_HOSTS: usize = 3;

/// What was said of an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Judged {
    /// Mail for it is taken.
    Taken,
    /// There is no such mailbox.
    Unknown(Reply),
    /// Neither of the two, for this address now: its mailbox is full, or the host puts off
    /// whom it does not know.
    PutOff(Cause),
    /// Neither of the two: nobody answered, or the answer is about something else.
    Unsaid(Cause),
}

impl Remote {
    /// Asks the LMTP server.
    pub async fn ask_lmtp(&self, target: &LmtpTarget, address: &Address) -> Judged {
        let config = self.config.get();
        let mut session = match self.open_lmtp(&config, target).await {
            Ok(session) => session,
            Err(failure) => return Judged::Unsaid(failure.cause),
        };
        let granted = probe::ask(&mut session, &wish(address)).await;
        session.leave();
        judged(granted.answer)
    }

    /// Asks the hosts of a plan, until one has answered.
    pub async fn ask_next_hop(&self, plan: &Plan, address: &Address) -> Judged {
        let config = self.config.get();
        let mut last = Judged::Unsaid(Cause::NobodyToAsk {});
        let plain = Plan { tls: TlsLevel::None, ..plan.clone() };
        for hop in plan.hops.iter().take(MOST_HOSTS) {
            let may_be_plain = hop.demand(plan).may_be_plain() && plan.login.is_none();
            let without = Hop::at(Arc::clone(&hop.host), hop.address);
            let ways = [Some((plan, hop)), may_be_plain.then_some((&plain, &without))];
            for (plan, hop) in ways.into_iter().flatten() {
                let wishes = [wish(address)];
                let seen = probe::look(&config, &self.client_tls, plan, hop, &wishes).await;
                let host = format!("{}[{}]", hop.host, hop.address.ip());
                last = match (seen.granted.into_iter().next(), seen.failure) {
                    (Some(granted), _) => judged(granted.answer),
                    (None, Some(_)) => Judged::Unsaid(Cause::HostNotAsked { host }),
                    (None, None) => Judged::Unsaid(Cause::HostUnwilling { host }),
                };
                match &last {
                    Judged::Unsaid(_) if seen.offered_starttls => {}
                    Judged::Unsaid(_) => break,
                    _ => return last,
                }
            }
        }
        last
    }
}

// A notification's reverse-path, which every host has to take (RFC 5321 §4.5.5).
fn wish(address: &Address) -> Wish {
    Wish { reverse_path: ReversePath::Null, recipient: address.clone() }
}

fn judged(answer: Result<Reply, Failure>) -> Judged {
    let failure = match answer {
        Ok(_) => return Judged::Taken,
        Err(failure) => failure,
    };
    match failure.reply() {
        Some(reply) if failure.stage == Stage::Recipient && is_about_the_mailbox(reply) => {
            Judged::Unknown(reply.clone())
        }
        Some(reply)
            if failure.stage == Stage::Recipient && reply.severity() == Severity::Transient =>
        {
            Judged::PutOff(Cause::words(failure.to_string()))
        }
        _ => Judged::Unsaid(Cause::words(failure.to_string())),
    }
}

// A refusal that is about us, or about what the host is set up for, says nothing of the
// address. X.1.x is about the address (RFC 3463 §3.2); X.4.1 is how Exchange says it.
fn is_about_the_mailbox(reply: &Reply) -> bool {
    let code = reply.code().get();
    match reply.enhanced_code() {
        Some(enhanced) => {
            enhanced.class == 5
                && (matches!((enhanced.subject, enhanced.detail), (1, 0..=3 | 6 | 10) | (4, 1))
                    || (enhanced.subject, enhanced.detail) == (2, 1))
        }
        None => matches!(code, 550 | 551 | 553),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_said_of_the_mailbox_counts() {
        for (code, enhanced, counts) in [
            (550, Some((5, 1, 1)), true),
            (550, Some((5, 1, 10)), true),
            (550, Some((5, 4, 1)), true),
            (550, None, true),
            (551, None, true),
            (554, Some((5, 7, 1)), false),
            (550, Some((5, 7, 1)), false),
            (554, None, false),
            (450, Some((4, 1, 1)), false),
            (451, None, false),
            (552, Some((5, 2, 2)), false),
            (550, Some((5, 1, 8)), false),
        ] {
            let reply = match enhanced {
                Some(status) => Reply::enhanced(code, status, "x"),
                None => Reply::new(code, None, "x"),
            };
            assert_eq!(is_about_the_mailbox(&reply), counts, "{reply}");
        }
    }
}
