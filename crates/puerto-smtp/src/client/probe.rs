//! Asking a peer whether it would take a message, without giving it one: MAIL, RCPT
//! and RSET, each after the reply to the one before. DATA is never said.

use crate::client::{Cause, Failure, Fate, Stage, Transaction, commands};
use crate::extension::Extensions;
use crate::reply::{Reply, Severity};

/// The reply that is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Due {
    ResetFirst,
    Mail,
    Recipient,
    Reset,
}

/// What follows a reply.
#[derive(Debug)]
pub(super) enum Next {
    /// The next command.
    Say(String),
    /// The end, and whether the session can go on.
    Finished { usable: bool },
}

/// A probe under way.
#[derive(Debug)]
pub(super) struct Probe {
    due: Due,
    mail: String,
    recipient: String,
    fate: Option<Fate>,
}

impl Probe {
    /// A probe for a transaction's first recipient, and its first command.
    pub(super) fn new(
        transaction: &Transaction<'_>,
        peer: &Extensions,
        reset: bool,
    ) -> (Self, String) {
        let (mut mail, mut recipient) = (String::new(), String::new());
        commands::mail(transaction, peer, &mut mail);
        if let Some(first) = transaction.recipients.first() {
            commands::recipient(transaction, first, peer, &mut recipient);
        }
        let first = if reset { "RSET\r\n".to_owned() } else { mail.clone() };
        let due = if reset { Due::ResetFirst } else { Due::Mail };
        (Self { due, mail, recipient, fate: None }, first)
    }

    pub(super) fn stage(&self) -> Stage {
        match self.due {
            Due::ResetFirst | Due::Reset => Stage::Reset,
            Due::Mail => Stage::Mail,
            Due::Recipient => Stage::Recipient,
        }
    }

    pub(super) fn on_reply(&mut self, reply: Reply) -> Next {
        let positive = reply.severity() == Severity::Positive;
        let closes = reply.closes();
        match self.due {
            Due::ResetFirst if positive => {
                self.due = Due::Mail;
                return Next::Say(std::mem::take(&mut self.mail));
            }
            Due::Mail if positive => {
                self.due = Due::Recipient;
                return Next::Say(std::mem::take(&mut self.recipient));
            }
            Due::Recipient if positive => self.fate = Some(Fate::Accepted(reply)),
            Due::Reset => return Next::Finished { usable: positive },
            Due::ResetFirst | Due::Mail | Due::Recipient => {
                let failure = Failure { stage: self.stage(), cause: Cause::Reply(reply) };
                self.fate = Some(Fate::Failed(failure));
            }
        }
        if closes {
            return Next::Finished { usable: false };
        }
        self.due = Due::Reset;
        Next::Say("RSET\r\n".to_owned())
    }

    /// What became of the recipient; `failure` if nothing was decided.
    pub(super) fn into_fate(self, failure: Failure) -> Fate {
        self.fate.unwrap_or(Fate::Failed(failure))
    }
}

#[cfg(test)]
mod tests {
    use crate::client::{Connection, Fate, Protocol, Step, Transaction};
    use crate::{Address, Domain, Recipient, ReversePath};

    // Runs a probe against replies; what was said, what became of it, and whether the
    // session goes on.
    fn probe(replies: &[&str]) -> (Vec<String>, Option<Fate>, bool) {
        let name = Domain::parse("me.example").unwrap();
        let mut connection = Connection::new(Protocol::Smtp, name, false);
        let recipient = Recipient::new(Address::parse("you@example.net").unwrap());
        let (mut said, mut fate, mut begun) = (Vec::new(), None, false);
        let mut replies = ["220 hi\r\n", "250-x\r\n250 PIPELINING\r\n"].iter().chain(replies);
        loop {
            match connection.poll() {
                Step::Send => said.push(String::from_utf8(connection.take_output()).unwrap()),
                Step::Receive => match replies.next() {
                    Some(reply) => connection.feed(reply.as_bytes()),
                    None => connection.lost(crate::client::Loss::Closed),
                },
                Step::Ready if !begun => {
                    begun = true;
                    connection.probe(&Transaction {
                        reverse_path: &ReversePath::Null,
                        recipients: &[&recipient],
                        envelope_id: None,
                        ret: None,
                        verp: None,
                        size: 1000,
                        eight_bit: false,
                        utf8_header: false,
                        require_tls: false,
                    });
                }
                Step::Finished => fate = connection.take_fates().pop(),
                Step::Ready => return (said, fate, true),
                _ => return (said, fate, false),
            }
        }
    }

    #[test]
    fn no_probe_says_data() {
        for (replies, commands, accepted, goes_on) in [
            (&["250 ok\r\n", "250 ok\r\n", "250 ok\r\n"][..], 3, true, true),
            (&["250 ok\r\n", "550 no\r\n", "250 ok\r\n"], 3, false, true),
            (&["553 no\r\n", "250 ok\r\n"], 2, false, true),
            (&["421 bye\r\n"], 1, false, false),
            (&["250 ok\r\n", "250 ok\r\n", "500 what\r\n"], 3, true, false),
            (&["250 ok\r\n", "250 ok\r\n"], 3, true, false),
            (&["250 ok\r\n"], 2, false, false),
        ] {
            let (said, fate, alive) = probe(replies);
            assert_eq!(said.len(), 1 + commands, "{said:?}");
            assert!(!said.iter().any(|line| line.contains("DATA")));
            assert_eq!(matches!(fate, Some(Fate::Accepted(_))), accepted, "{fate:?}");
            assert_eq!(alive, goes_on, "{replies:?}");
        }
    }
}
