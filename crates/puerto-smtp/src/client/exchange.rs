//! One transaction: which commands are out, which replies are due, and what each
//! means for each recipient.

use std::collections::VecDeque;

use crate::client::{
    Cause, Failure, Fate, MAX_TRANSACTION_RECIPIENTS, Protocol, Stage, Transaction, commands,
};
use crate::codec::DotStuffer;
use crate::extension::Extensions;
use crate::reply::{EnhancedCode, Reply, Severity};

/// A reply that is due, and what it answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Due {
    Reset,
    Mail,
    Recipient(usize),
    Data,
    /// To RSET, which shows that the refusal of DATA was the reply to DATA.
    Confirmation,
    /// To the dot alone, sent when DATA was accepted for nobody.
    LoneDot,
    /// To the content, for every accepted recipient.
    Content,
    /// To the content, for one recipient (LMTP).
    ContentFor(usize),
}

/// Where a recipient stands.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Standing {
    /// Not decided.
    Open,
    /// RCPT was accepted.
    Accepted,
    /// Decided.
    Decided(Fate),
}

/// How far the content is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ContentState {
    NotYet,
    Wanted,
    Ending,
}

/// What a step of the exchange came to.
#[derive(Debug)]
pub(super) enum Progress {
    /// It goes on.
    GoesOn,
    /// Every recipient has its fate.
    Finished {
        /// Whether the connection can be used again.
        usable: bool,
        /// Whether RSET comes before the next MAIL, since a transaction is open.
        reset_first: bool,
    },
    /// The session cannot go on.
    Failed(Cause),
}

/// A transaction under way.
pub(super) struct Exchange {
    protocol: Protocol,
    pipelining: bool,
    /// Commands that were not sent yet, each with the reply that it will get.
    commands: VecDeque<(Due, String)>,
    due: VecDeque<Due>,
    standings: Vec<Standing>,
    mail_refused: bool,
    /// RCPT was accepted although MAIL was refused: the peer is confused.
    confused: bool,
    /// 354 has come, which nothing but DATA is answered with: the replies before it
    /// answered the commands that they were taken to answer.
    in_step: bool,
    content: ContentState,
}

impl Exchange {
    pub(super) fn new(
        transaction: &Transaction<'_>,
        peer: &Extensions,
        protocol: Protocol,
        reset: bool,
    ) -> Self {
        let mut exchange = Self {
            protocol,
            pipelining: peer.pipelining,
            commands: VecDeque::new(),
            due: VecDeque::new(),
            standings: standings(transaction, peer),
            mail_refused: false,
            confused: false,
            in_step: false,
            content: ContentState::NotYet,
        };
        if !exchange.standings.contains(&Standing::Open) {
            return exchange;
        }
        if reset {
            exchange.commands.push_back((Due::Reset, "RSET\r\n".to_owned()));
        }
        let mut line = String::new();
        commands::mail(transaction, peer, &mut line);
        exchange.commands.push_back((Due::Mail, line));
        for (index, recipient) in transaction.recipients.iter().enumerate() {
            if exchange.standings.get(index) == Some(&Standing::Open) {
                let mut line = String::new();
                commands::recipient(transaction, recipient, peer, &mut line);
                exchange.commands.push_back((Due::Recipient(index), line));
            }
        }
        exchange.commands.push_back((Due::Data, "DATA\r\n".to_owned()));
        exchange
    }

    /// Whether the content is to be written now.
    pub(super) fn content_wanted(&self) -> bool {
        self.content == ContentState::Wanted
    }

    /// The end of the content is about to be written.
    pub(super) fn content_ending(&mut self) {
        if self.content == ContentState::Wanted {
            self.content = ContentState::Ending;
        }
    }

    /// What the exchange waits for.
    pub(super) fn stage(&self) -> Stage {
        match self.due.front() {
            Some(Due::Reset | Due::Confirmation) => Stage::Reset,
            Some(Due::Mail) | None => Stage::Mail,
            Some(Due::Recipient(_)) => Stage::Recipient,
            Some(Due::Data | Due::LoneDot) => Stage::Data,
            Some(Due::Content | Due::ContentFor(_)) if self.content == ContentState::Wanted => {
                Stage::Content
            }
            Some(Due::Content | Due::ContentFor(_)) => Stage::FinalDot,
        }
    }

    /// Sends what can be sent, and notices when nothing is left to wait for.
    pub(super) fn advance(&mut self, output: &mut Vec<u8>) -> Progress {
        if self.mail_refused || (self.due.is_empty() && !self.has_accepted_or_open()) {
            // What was not sent yet has become pointless.
            self.commands.clear();
        }
        while self.pipelining || self.due.is_empty() {
            let Some((due, line)) = self.commands.pop_front() else { break };
            output.extend_from_slice(line.as_bytes());
            self.due.push_back(due);
        }
        if !self.due.is_empty() {
            return Progress::GoesOn;
        }
        // A transaction without content is still open at the peer, or may be; and some
        // peers keep one whose content they have refused.
        let ended =
            self.content == ContentState::Ending && self.standings.iter().all(is_no_refusal);
        Progress::Finished { usable: true, reset_first: !ended }
    }

    /// Takes the next reply.
    pub(super) fn on_reply(&mut self, reply: Reply, output: &mut Vec<u8>) -> Progress {
        let Some(due) = self.due.front().copied() else {
            return Progress::Failed(Cause::OutOfStep);
        };
        if reply.closes() {
            return Progress::Failed(Cause::Reply(reply));
        }
        let intermediate = reply.severity() == Severity::Intermediate;
        if intermediate != (due == Due::Data) && (intermediate || reply.is_positive()) {
            return Progress::Failed(Cause::OutOfStep);
        }
        if self.content == ContentState::Wanted {
            return self.on_early_reply(reply);
        }
        match due {
            Due::Reset if !reply.is_positive() => return Progress::Failed(Cause::Reply(reply)),
            Due::Confirmation if !reply.is_positive() => {
                return Progress::Failed(Cause::OutOfStep);
            }
            _ => {}
        }
        // A failure above is reported with the stage of the reply that is still due.
        self.due.pop_front();
        match due {
            Due::Confirmation => return Progress::Finished { usable: true, reset_first: false },
            Due::Reset | Due::LoneDot => {}
            Due::Mail => self.on_mail(&reply),
            Due::Recipient(index) => self.on_recipient(index, reply),
            Due::Data if intermediate => return self.on_go_ahead(output),
            Due::Data => return self.on_no_go_ahead(&reply, output),
            Due::Content => self.decide_accepted(Stage::FinalDot, &reply),
            Due::ContentFor(index) => self.decide(index, Stage::FinalDot, reply),
        }
        self.advance(output)
    }

    /// Ends the exchange for all recipients that have no fate yet. Where replies turn
    /// out not to answer the commands that they were taken for, and 354 never was among
    /// them, no refusal before was a verdict on its recipient either.
    pub(super) fn fail(&mut self, failure: &Failure) {
        let shifted =
            matches!(failure.cause, Cause::OutOfStep | Cause::Garbage(_)) && !self.in_step;
        for standing in &mut self.standings {
            let undecided = match standing {
                Standing::Decided(Fate::Failed(refusal)) => shifted && refusal.reply().is_some(),
                Standing::Decided(_) => false,
                Standing::Open | Standing::Accepted => true,
            };
            if undecided {
                *standing = Standing::Decided(Fate::Failed(failure.clone()));
            }
        }
    }

    /// The fates, in the order of the recipients.
    pub(super) fn take_fates(&mut self) -> Vec<Fate> {
        let undecided = || Failure { stage: Stage::Mail, cause: Cause::OutOfStep };
        std::mem::take(&mut self.standings)
            .into_iter()
            .map(|standing| match standing {
                Standing::Decided(fate) => fate,
                Standing::Open | Standing::Accepted => Fate::Failed(undecided()),
            })
            .collect()
    }

    fn has_accepted(&self) -> bool {
        self.standings.contains(&Standing::Accepted)
    }

    fn has_accepted_or_open(&self) -> bool {
        self.standings.iter().any(|standing| !matches!(standing, Standing::Decided(_)))
    }

    fn on_mail(&mut self, reply: &Reply) {
        if !reply.is_positive() {
            self.mail_refused = true;
            self.fail(&Failure { stage: Stage::Mail, cause: Cause::Reply(reply.clone()) });
        }
    }

    fn on_recipient(&mut self, index: usize, reply: Reply) {
        if self.mail_refused {
            self.confused |= reply.is_positive();
            return;
        }
        let fate = if reply.is_positive() {
            Standing::Accepted
        } else if self.has_accepted() && is_recipient_limit(&reply) {
            Standing::Decided(Fate::Remaining)
        } else {
            let failure = Failure { stage: Stage::Recipient, cause: Cause::Reply(reply) };
            Standing::Decided(Fate::Failed(failure))
        };
        if let Some(standing) = self.standings.get_mut(index) {
            *standing = fate;
        }
    }

    // 354 came.
    fn on_go_ahead(&mut self, output: &mut Vec<u8>) -> Progress {
        self.in_step = !self.confused;
        if self.has_accepted() {
            self.want_content();
            return Progress::GoesOn;
        }
        if self.confused {
            // MAIL was refused and RCPT was not: a dot might deliver an empty message.
            return Progress::Finished { usable: false, reset_first: false };
        }
        // RFC 2920 §3.1: nobody is to get anything, so nothing is sent.
        output.extend_from_slice(DotStuffer::END);
        self.due.push_back(Due::LoneDot);
        Progress::GoesOn
    }

    // DATA was refused although a recipient was not. If a reply too many came before, this
    // one is the last recipient's, and DATA's own comes in answer to the RSET.
    fn on_no_go_ahead(&mut self, reply: &Reply, output: &mut Vec<u8>) -> Progress {
        let accepted = self.has_accepted();
        self.decide_accepted(Stage::Data, reply);
        if !(self.pipelining && accepted && self.standings.iter().any(is_for_good)) {
            return self.advance(output);
        }
        output.extend_from_slice(b"RSET\r\n");
        self.due.push_back(Due::Confirmation);
        Progress::GoesOn
    }

    fn want_content(&mut self) {
        self.content = ContentState::Wanted;
        match self.protocol {
            Protocol::Smtp => self.due.push_back(Due::Content),
            Protocol::Lmtp => {
                let accepted = self.standings.iter().enumerate();
                let accepted = accepted.filter(|(_, standing)| **standing == Standing::Accepted);
                self.due.extend(accepted.map(|(index, _)| Due::ContentFor(index)));
            }
        }
    }

    // The peer refuses the content before its end. Having sent only a part of it, we
    // have no way back to commands.
    fn on_early_reply(&mut self, reply: Reply) -> Progress {
        if reply.is_positive() {
            return Progress::Failed(Cause::OutOfStep);
        }
        self.decide_accepted(Stage::Content, &reply);
        Progress::Finished { usable: false, reset_first: false }
    }

    fn decide_accepted(&mut self, stage: Stage, reply: &Reply) {
        for index in 0..self.standings.len() {
            if self.standings.get(index) == Some(&Standing::Accepted) {
                self.decide(index, stage, reply.clone());
            }
        }
    }

    fn decide(&mut self, index: usize, stage: Stage, reply: Reply) {
        if let Some(standing) = self.standings.get_mut(index) {
            *standing = Standing::Decided(if reply.is_positive() {
                Fate::Accepted(reply)
            } else {
                Fate::Failed(Failure { stage, cause: Cause::Reply(reply) })
            });
        }
    }
}

fn is_for_good(standing: &Standing) -> bool {
    matches!(standing, Standing::Decided(Fate::Failed(failure)) if failure.is_permanent())
}

fn is_no_refusal(standing: &Standing) -> bool {
    let Standing::Decided(Fate::Failed(failure)) = standing else { return true };
    failure.stage != Stage::FinalDot
}

// What is known of each recipient before anything is said.
fn standings(transaction: &Transaction<'_>, peer: &Extensions) -> Vec<Standing> {
    let refuse = |cause| {
        let failure = Failure { stage: Stage::Mail, cause };
        Standing::Decided(Fate::Failed(failure))
    };
    let too_large = peer.size.filter(|&limit| limit > 0 && transaction.size > limit);
    let reverse_path = transaction.reverse_path.address();
    let message_needs_utf8 =
        transaction.utf8_header || reverse_path.is_some_and(|address| !address.is_ascii());
    let mut taken = 0;
    let standing = |recipient: &&crate::envelope::Recipient| {
        let needs_utf8 = message_needs_utf8 || !recipient.address.is_ascii();
        if let Some(limit) = too_large {
            return refuse(Cause::TooLarge { limit });
        }
        if needs_utf8 && !peer.smtputf8 {
            return refuse(Cause::NeedsSmtputf8);
        }
        taken += 1;
        if taken > MAX_TRANSACTION_RECIPIENTS {
            return Standing::Decided(Fate::Remaining);
        }
        Standing::Open
    };
    transaction.recipients.iter().map(standing).collect()
}

// RFC 5321 §4.5.3.1.10: 452 says that there are too many recipients, and 552 does so
// where servers follow RFC 821. Both say other things too, which the enhanced code
// tells apart: 452 4.2.2 is one full mailbox.
fn is_recipient_limit(reply: &Reply) -> bool {
    let code = reply.code().get();
    let limit = |enhanced: EnhancedCode| (enhanced.subject, enhanced.detail) == (5, 3);
    matches!(code, 452 | 552) && reply.enhanced_code().is_none_or(limit)
}
