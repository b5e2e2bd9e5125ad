//! What each command does.

use super::Discard;
use super::session::{Event, Session, State, Transaction, Transfer};
use crate::address::{Address, LocalPart, ReversePath};
use crate::codec::Line;
use crate::command::{Command, MailCommand, Mailbox, RcptCommand, Verb, unsupported};
use crate::envelope::{Envelope, Recipient};
use crate::reply::Reply;

type Next = (State, Option<Event>);

impl Session {
    /// Reads one command line, if there is a whole one.
    pub(super) fn next_command(&mut self, transaction: Option<Transaction>) -> Next {
        let unread = self.input.get(self.position..).unwrap_or_default();
        let (consumed, line) = self.lines.decode(unread);
        self.position += consumed;
        let (reply, fatal) = match line {
            None => return (State::Commands(transaction), Some(Event::Read)),
            Some(Line::Command(line)) => {
                let lenient = self.settings.lenient;
                let read = if lenient { Command::parse_leniently } else { Command::parse };
                return match read(line) {
                    Ok(command) => self.obey(command, transaction),
                    Err(refused) => self.refuse(refused, transaction),
                };
            }
            Some(Line::BareLf) => {
                let text = "Error: bare <LF> received: lines must end with <CR><LF>";
                (Reply::enhanced(500, (5, 5, 2), text), true)
            }
            Some(Line::TooLong { announces_chunk }) => {
                (Reply::enhanced(500, (5, 5, 2), "Error: command line too long"), announces_chunk)
            }
            Some(Line::Endless) => {
                (Reply::enhanced(500, (5, 5, 2), "Error: command line too long"), true)
            }
        };
        self.refuse_unknown(&reply);
        if fatal {
            self.note("UNKNOWN", reply, None);
            return self.closing(transaction.as_ref());
        }
        self.commands(transaction)
    }

    fn refuse(
        &mut self,
        refused: crate::command::Refused,
        transaction: Option<Transaction>,
    ) -> Next {
        let from = transaction.as_ref().map(|t| t.envelope.reverse_path.clone());
        match refused.verb {
            Some(verb) => self.conclude(verb, &refused.reply),
            None => self.refuse_unknown(&refused.reply),
        }
        match refused.verb {
            Some(Verb::Mail | Verb::Rcpt | Verb::Bdat) => {
                self.note(refused.verb.map_or("", Verb::name), refused.reply, from);
            }
            None if refused.fatal => self.note("UNKNOWN", refused.reply, from),
            _ => {}
        }
        if refused.fatal { self.closing(transaction.as_ref()) } else { self.commands(transaction) }
    }

    fn obey(&mut self, command: Command, transaction: Option<Transaction>) -> Next {
        let moment = self.moment(transaction.as_ref());
        let verb = verb_of(&command);
        if let Err(reply) = verb.check(moment) {
            return self.out_of_order(&command, reply, transaction);
        }
        match command {
            Command::Ehlo(name) => self.say_hello(&name, true, transaction),
            Command::Helo(name) => self.say_hello(&name, false, transaction),
            Command::Mail(mail) => self.mail(mail),
            Command::Rcpt(rcpt) => self.recipient(rcpt, transaction),
            Command::Data => self.transfer(Transfer::Data, transaction),
            Command::Bdat { size, last } => {
                self.transfer(Transfer::Chunk { size, last }, transaction)
            }
            Command::Rset => {
                self.done(Verb::Rset, "250 2.0.0 Ok\r\n");
                self.withdraw(transaction.as_ref(), State::Commands(None))
            }
            Command::Noop => {
                self.done(Verb::Noop, "250 2.0.0 Ok\r\n");
                self.commands(transaction)
            }
            // RFC 5321 §3.5.3: 252 when an address is not looked up for strangers.
            Command::Vrfy => {
                self.done(Verb::Vrfy, "252 2.0.0 Cannot verify; send mail and see\r\n");
                self.commands(transaction)
            }
            Command::Help => {
                self.done(
                    Verb::Help,
                    "214 2.0.0 EHLO MAIL RCPT DATA BDAT RSET QUIT: see RFC 5321\r\n",
                );
                self.commands(transaction)
            }
            Command::Quit => {
                self.done(Verb::Quit, "221 2.0.0 Bye\r\n");
                self.closing(transaction.as_ref())
            }
            Command::StartTls => self.start_tls(),
        }
    }

    /// Refuses a command at the wrong moment. The octets behind a BDAT come all the
    /// same, and must not be taken for commands.
    fn out_of_order(
        &mut self,
        command: &Command,
        reply: Reply,
        transaction: Option<Transaction>,
    ) -> Next {
        if let Command::Bdat { size, .. } = command {
            return (State::UnwantedChunk { left: *size, reply }, None);
        }
        self.conclude(verb_of(command), &reply);
        self.commands(transaction)
    }

    /// The state between two commands, unless there have been too many errors.
    pub(super) fn commands(&mut self, transaction: Option<Transaction>) -> Next {
        if self.too_many_errors() {
            self.say(&Reply::enhanced(421, (4, 7, 0), "Error: too many errors"));
            return self.closing(transaction.as_ref());
        }
        (State::Commands(transaction), None)
    }

    fn closing(&mut self, transaction: Option<&Transaction>) -> Next {
        self.withdraw(transaction, State::Closing)
    }

    /// Ends a transaction; what had come of its content is worth nothing then.
    fn withdraw(&mut self, transaction: Option<&Transaction>, next: State) -> Next {
        let content = transaction.is_some_and(|transaction| transaction.chunks.is_some());
        let next = if self.too_many_errors() && matches!(next, State::Commands(_)) {
            self.say(&Reply::enhanced(421, (4, 7, 0), "Error: too many errors"));
            State::Closing
        } else {
            next
        };
        (next, content.then_some(Event::Discard(Discard::Withdrawn)))
    }

    fn say_hello(&mut self, name: &str, extended: bool, transaction: Option<Transaction>) -> Next {
        self.set_hello(name, extended);
        let mut lines = vec![self.settings.hostname.clone()];
        let verb = if extended { Verb::Ehlo } else { Verb::Helo };
        if extended {
            let mut offered = self.settings.extensions.clone();
            offered.starttls = offered.starttls && !self.tls;
            lines.extend(offered.keywords());
        }
        self.conclude(verb, &Reply::multiline(250, None, lines));
        self.withdraw(transaction.as_ref(), State::Commands(None))
    }

    fn mail(&mut self, mail: MailCommand) -> Next {
        match self.envelope(&mail) {
            Ok(envelope) => (State::AskingMail { envelope, size: mail.size }, None),
            Err(reply) => {
                self.conclude(Verb::Mail, &reply);
                self.note("MAIL", reply, None);
                self.commands(None)
            }
        }
    }

    fn envelope(&self, mail: &MailCommand) -> Result<Envelope, Reply> {
        let reverse_path = match &mail.from {
            None => ReversePath::Null,
            Some(from) => {
                self.check_utf8(from, mail.smtputf8)?;
                let address = match from {
                    Mailbox::Bare(part) if self.settings.bare_names => {
                        Address::new(part.clone(), self.settings.sender_domain.clone())
                    }
                    Mailbox::Bare(_) => return Err(no_domain((5, 1, 7), "sender")),
                    Mailbox::Address(address) => address.clone(),
                };
                ReversePath::Address(address)
            }
        };
        if mail.size.zip(self.size_limit()).is_some_and(|(size, limit)| size > limit) {
            return Err(self.too_large());
        }
        self.offered_dsn(("RET", mail.ret.is_some()), ("ENVID", mail.envelope_id.is_some()))?;
        let mut envelope = Envelope::new(reverse_path, Vec::new());
        envelope.envelope_id.clone_from(&mail.envelope_id);
        envelope.ret = mail.ret;
        envelope.eight_bit = mail.eight_bit;
        envelope.smtputf8 = mail.smtputf8;
        Ok(envelope)
    }

    // Whoever names a parameter of an extension that is not offered relies on what will
    // not be done; NOTIFY=NEVER taken and ignored would be the worst. So these are as
    // unknown as any other (RFC 5321 §4.1.1.11), and nobody who reads our EHLO is hit.
    fn offered_dsn(&self, one: (&str, bool), other: (&str, bool)) -> Result<(), Reply> {
        let asked = [one, other].into_iter().find(|(_, is_asked)| *is_asked);
        match asked.filter(|_| !self.settings.extensions.dsn) {
            Some((keyword, _)) => Err(unsupported(keyword)),
            None => Ok(()),
        }
    }

    fn recipient(&mut self, rcpt: RcptCommand, transaction: Option<Transaction>) -> Next {
        // The command table lets RCPT through only inside a transaction.
        let Some(transaction) = transaction else { return self.commands(None) };
        let envelope = &transaction.envelope;
        let is_postmaster = |part: &LocalPart| part.as_str().eq_ignore_ascii_case("postmaster");
        let bare_ok = match &rcpt.to {
            Mailbox::Bare(part) => self.settings.bare_names || is_postmaster(part),
            Mailbox::Address(_) => true,
        };
        let asked = (("NOTIFY", rcpt.notify.is_some()), ("ORCPT", rcpt.original.is_some()));
        let checked = self
            .check_utf8(&rcpt.to, envelope.smtputf8)
            .and_then(|()| self.offered_dsn(asked.0, asked.1))
            .and_then(|()| {
                self.qualify(&rcpt.to, bare_ok).ok_or_else(|| no_domain((5, 1, 3), "recipient"))
            });
        let address = match checked {
            Ok(address) => address,
            Err(reply) => {
                let from = envelope.reverse_path.clone();
                self.conclude(Verb::Rcpt, &reply);
                self.note("RCPT", reply, Some(from));
                return self.commands(Some(transaction));
            }
        };
        // One copy is enough for whoever is named twice.
        if envelope.recipients.iter().any(|known| known.address == address) {
            self.done(Verb::Rcpt, "250 2.1.5 Ok\r\n");
            return self.commands(Some(transaction));
        }
        if envelope.recipients.len() >= self.settings.max_recipients {
            let text = "Error: too many recipients: send the rest in another transaction";
            self.conclude(Verb::Rcpt, &Reply::enhanced(452, (4, 5, 3), text));
            return self.commands(Some(transaction));
        }
        let recipient = Recipient { address, notify: rcpt.notify, original: rcpt.original };
        (State::AskingRecipient { transaction, recipient }, None)
    }

    fn check_utf8(&self, mailbox: &Mailbox, smtputf8: bool) -> Result<(), Reply> {
        if smtputf8 || self.settings.lenient || mailbox.is_ascii() {
            return Ok(());
        }
        let text = "Error: this address needs SMTPUTF8: give it as a parameter of MAIL";
        Err(Reply::enhanced(553, (5, 6, 7), text))
    }

    fn qualify(&self, mailbox: &Mailbox, bare_ok: bool) -> Option<Address> {
        match mailbox {
            Mailbox::Address(address) => Some(address.clone()),
            Mailbox::Bare(part) if bare_ok => {
                Some(Address::new(part.clone(), self.settings.domain.clone()))
            }
            Mailbox::Bare(_) => None,
        }
    }

    fn transfer(&mut self, transfer: Transfer, transaction: Option<Transaction>) -> Next {
        // As for RCPT, the command table has seen to it.
        let Some(transaction) = transaction else { return self.commands(None) };
        match (transfer, transaction.chunks) {
            (Transfer::Chunk { size, last }, Some(decoder)) => {
                (self.continue_chunks(transaction.envelope, decoder, size, last), None)
            }
            (transfer, chunks) => {
                let transaction = Transaction { chunks, ..transaction };
                (State::Beginning { transaction, transfer }, None)
            }
        }
    }

    fn start_tls(&mut self) -> Next {
        let refusal = if self.tls {
            Some(Reply::enhanced(554, (5, 5, 1), "Error: TLS already active"))
        } else if !self.settings.extensions.starttls {
            Some(Reply::enhanced(502, (5, 5, 1), "Error: TLS not available"))
        } else {
            None
        };
        if let Some(reply) = refusal {
            self.conclude(Verb::StartTls, &reply);
            return self.commands(None);
        }
        // What came with the command was not protected, and would be taken for what
        // the client says under TLS (RFC 3207 §4.2, CVE-2011-0411).
        if !self.unread().is_empty() {
            let text = "Error: data after STARTTLS: wait for its reply";
            let reply = Reply::enhanced(554, (5, 5, 1), text);
            self.conclude(Verb::StartTls, &reply);
            self.note("STARTTLS", reply, None);
            return self.closing(None);
        }
        self.done(Verb::StartTls, "220 2.0.0 Ready to start TLS\r\n");
        (State::StartingTls, None)
    }

    pub(super) fn too_large(&self) -> Reply {
        let limit = self.size_limit().unwrap_or_default();
        let text = format!("Error: message is larger than the limit of {limit} octets");
        Reply::enhanced(552, (5, 3, 4), text)
    }
}

fn no_domain(status: (u8, u16, u16), which: &str) -> Reply {
    let text = format!("Bad {which} address syntax: address has no domain: write user@domain");
    Reply::enhanced(501, status, text)
}

fn verb_of(command: &Command) -> Verb {
    match command {
        Command::Ehlo(_) => Verb::Ehlo,
        Command::Helo(_) => Verb::Helo,
        Command::Mail(_) => Verb::Mail,
        Command::Rcpt(_) => Verb::Rcpt,
        Command::Data => Verb::Data,
        Command::Bdat { .. } => Verb::Bdat,
        Command::Rset => Verb::Rset,
        Command::Noop => Verb::Noop,
        Command::Quit => Verb::Quit,
        Command::Vrfy => Verb::Vrfy,
        Command::Help => Verb::Help,
        Command::StartTls => Verb::StartTls,
    }
}
