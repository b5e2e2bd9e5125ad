//! The states between two commands, and what each command does.

use super::auth;
use super::common::{Answer, Common};
use super::content::{Beginning, Chunk, Transfer, UnwantedChunk};
use super::session::{Event, Next, State};
use super::{Action, Discard, Settings};
use crate::address::{Address, LocalPart, ReversePath};
use crate::codec::ChunkDecoder;
use crate::command::{
    Command, MailCommand, Mailbox, Moment, OriginClaim, RcptCommand, Refused, Verb, unsupported,
};
use crate::envelope::{Envelope, Recipient, TlsWish};
use crate::reply::Reply;

/// Between two commands.
#[derive(Debug, Default)]
pub(super) struct Commands {
    transaction: Option<Transaction>,
}

/// A mail transaction between two commands.
#[derive(Debug)]
pub(super) struct Transaction {
    pub(super) envelope: Envelope,
    /// Watches the content, once some has come by BDAT.
    pub(super) chunks: Option<ChunkDecoder>,
}

impl From<Transaction> for Commands {
    fn from(transaction: Transaction) -> Self {
        Self { transaction: Some(transaction) }
    }
}

impl Commands {
    /// Reads one command line, if there is a whole one.
    pub(super) fn read(self, common: &mut Common) -> Next {
        match common.next_command() {
            None => (State::Commands(self), Some(Event::Read)),
            Some(Ok(command)) => self.obey(command, common),
            Some(Err(refused)) => self.refuse(refused, common),
        }
    }

    fn refuse(self, refused: Refused, common: &mut Common) -> Next {
        let from = self.transaction.as_ref().map(|t| t.envelope.reverse_path.clone());
        let Refused { verb, reply, fatal } = refused;
        match verb {
            Some(verb @ (Verb::Mail | Verb::Rcpt | Verb::Bdat)) => common.reject(verb, reply, from),
            Some(verb) => common.conclude(verb, &reply),
            None => {
                common.refuse_unknown(&reply);
                if fatal {
                    common.note("UNKNOWN", reply, from);
                }
            }
        }
        if fatal { self.withdraw(State::Closing) } else { self.go_on(common) }
    }

    fn obey(self, command: Command, common: &mut Common) -> Next {
        let verb = verb_of(&command);
        if let Err(reply) = verb.check(self.moment(common)) {
            return self.out_of_order(&command, reply, common);
        }
        match (command, self.transaction) {
            (Command::Mail(mail), None) => begin(mail, common),
            (Command::Rcpt(rcpt), Some(transaction)) => transaction.recipient(rcpt, common),
            (Command::Data, Some(transaction)) => transaction.transfer(Transfer::Data),
            (Command::Bdat { size, last }, Some(transaction)) => {
                transaction.transfer(Transfer::Chunk { size, last })
            }
            (Command::StartTls, None) => start_tls(common),
            (Command::Auth(auth), None) => auth::begin(auth, common),
            (Command::Origin(claim), None) => claimed(claim, common),
            (command, transaction) => Self { transaction }.obey_anywhere(command, common),
        }
    }

    fn obey_anywhere(self, command: Command, common: &mut Common) -> Next {
        match command {
            Command::Ehlo(name) => return self.say_hello(&name, true, common),
            Command::Helo(name) => return self.say_hello(&name, false, common),
            Command::Rset => {
                common.done(Verb::Rset, "250 2.0.0 Ok\r\n");
                return self.begin_anew(common);
            }
            Command::Quit => {
                common.done(Verb::Quit, "221 2.0.0 Bye\r\n");
                return self.withdraw(State::Closing);
            }
            Command::Noop => common.done(Verb::Noop, "250 2.0.0 Ok\r\n"),
            // RFC 5321 §3.5.3: 252 when an address is not looked up for strangers.
            Command::Vrfy => {
                common.done(Verb::Vrfy, "252 2.0.0 Cannot verify; send mail and see\r\n");
            }
            Command::Help => {
                let line = "214 2.0.0 EHLO MAIL RCPT DATA BDAT RSET QUIT: see RFC 5321\r\n";
                common.done(Verb::Help, line);
            }
            // The command table has refused these where they have no place.
            Command::Mail(_)
            | Command::Rcpt(_)
            | Command::Data
            | Command::Bdat { .. }
            | Command::StartTls
            | Command::Auth(_)
            | Command::Origin(_) => {}
        }
        self.go_on(common)
    }

    /// Refuses a command at the wrong moment. The octets behind a BDAT come all the
    /// same, and must not be taken for commands.
    fn out_of_order(self, command: &Command, reply: Reply, common: &mut Common) -> Next {
        if let Command::Bdat { size, .. } = command {
            return (State::UnwantedChunk(UnwantedChunk::new(*size, reply)), None);
        }
        common.conclude(verb_of(command), &reply);
        self.go_on(common)
    }

    /// Waits for the next command, unless there have been too many errors.
    pub(super) fn go_on(self, common: &mut Common) -> Next {
        match common.gives_up() {
            true => self.withdraw(State::Closing),
            false => (State::Commands(self), None),
        }
    }

    fn begin_anew(self, common: &mut Common) -> Next {
        self.withdraw(Self::default().go_on(common).0)
    }

    /// Ends a transaction; what had come of its content is worth nothing then.
    fn withdraw(self, next: State) -> Next {
        let has_content = self.transaction.is_some_and(|transaction| transaction.chunks.is_some());
        (next, has_content.then_some(Event::Discard(Discard::Withdrawn)))
    }

    fn say_hello(self, name: &str, extended: bool, common: &mut Common) -> Next {
        common.set_hello(name, extended);
        let mut lines = vec![common.settings.hostname.clone()];
        let verb = if extended { Verb::Ehlo } else { Verb::Helo };
        if extended {
            let mut offered = common.settings.extensions.clone();
            offered.starttls = offered.starttls && !common.tls;
            offered.require_tls = offered.require_tls && common.tls;
            if !common.tls {
                offered.auth.clear();
            }
            lines.extend(offered.keywords());
        }
        common.conclude(verb, &Reply::multiline(250, None, lines));
        self.begin_anew(common)
    }

    /// Where the session stands, in the terms of the command table.
    fn moment(&self, common: &Common) -> Moment {
        match &self.transaction {
            // Programs that send by hand leave the greeting out.
            _ if common.hello.is_none() && !common.settings.lenient => Moment::Start,
            None => Moment::Ready,
            Some(transaction) => transaction.moment(),
        }
    }

    pub(super) fn in_transaction(&self) -> bool {
        self.transaction.is_some()
    }
}

fn begin(mail: MailCommand, common: &mut Common) -> Next {
    let size = mail.size;
    match common.settings.envelope(mail, common.tls) {
        Ok(envelope) => (State::AskingMail(AskingMail { envelope, size }), None),
        Err(reply) => {
            common.reject(Verb::Mail, reply, None);
            Commands::default().go_on(common)
        }
    }
}

/// Claims of one session that are kept at most.
const MAX_CLAIMS: usize = 16;

// The last word on a subject counts: one session may send for several programs.
fn claimed(claim: OriginClaim, common: &mut Common) -> Next {
    let claims = &mut common.claims;
    claims.retain(|known| known.name != claim.name);
    let refusal = if !common.settings.extensions.origin {
        Some(Reply::enhanced(502, (5, 5, 1), "Error: command not implemented"))
    } else if claims.len() >= MAX_CLAIMS {
        Some(Reply::enhanced(501, (5, 5, 4), "Error: too many claims"))
    } else {
        claims.push(claim);
        None
    };
    match refusal {
        Some(reply) => common.conclude(Verb::Origin, &reply),
        None => common.done(Verb::Origin, "250 2.0.0 Ok\r\n"),
    }
    Commands::default().go_on(common)
}

fn start_tls(common: &mut Common) -> Next {
    let refusal = if common.tls {
        Some(Reply::enhanced(554, (5, 5, 1), "Error: TLS already active"))
    } else if !common.settings.extensions.starttls {
        Some(Reply::enhanced(502, (5, 5, 1), "Error: TLS not available"))
    } else {
        None
    };
    if let Some(reply) = refusal {
        common.conclude(Verb::StartTls, &reply);
        return Commands::default().go_on(common);
    }
    // What came with the command was not protected, and would be taken for what
    // the client says under TLS (RFC 3207 §4.2, CVE-2011-0411).
    if !common.unread().is_empty() {
        let text = "Error: data after STARTTLS: wait for its reply";
        common.reject(Verb::StartTls, Reply::enhanced(554, (5, 5, 1), text), None);
        return (State::Closing, None);
    }
    common.done(Verb::StartTls, "220 2.0.0 Ready to start TLS\r\n");
    (State::StartingTls, None)
}

impl Transaction {
    fn moment(&self) -> Moment {
        if self.chunks.is_some() {
            return Moment::Chunks;
        }
        if self.envelope.recipients.is_empty() { Moment::Mail } else { Moment::Recipients }
    }

    fn recipient(self, rcpt: RcptCommand, common: &mut Common) -> Next {
        let envelope = &self.envelope;
        let address = match common.settings.recipient(&rcpt, envelope.smtputf8) {
            Ok(address) => address,
            Err(reply) => {
                common.reject(Verb::Rcpt, reply, Some(envelope.reverse_path.clone()));
                return Commands::from(self).go_on(common);
            }
        };
        // One copy is enough for whoever is named twice.
        if envelope.recipients.iter().any(|known| known.address == address) {
            common.done(Verb::Rcpt, RECIPIENT_OK);
            return Commands::from(self).go_on(common);
        }
        if envelope.recipients.len() >= common.settings.max_recipients {
            let text = "Error: too many recipients: send the rest in another transaction";
            common.conclude(Verb::Rcpt, &Reply::enhanced(452, (4, 5, 3), text));
            return Commands::from(self).go_on(common);
        }
        let recipient = Recipient { address, notify: rcpt.notify, original: rcpt.original };
        (State::AskingRecipient(AskingRecipient { transaction: self, recipient }), None)
    }

    fn transfer(self, transfer: Transfer) -> Next {
        let next = match (transfer, self.chunks) {
            (Transfer::Chunk { size, last }, Some(decoder)) => {
                State::Chunk(Chunk::new(self.envelope, decoder, (size, last)))
            }
            (transfer, _) => State::Beginning(Beginning::new(self.envelope, transfer)),
        };
        (next, None)
    }
}

/// MAIL waits for its answer.
#[derive(Debug)]
pub(super) struct AskingMail {
    envelope: Envelope,
    size: Option<u64>,
}

impl AskingMail {
    pub(super) fn question(&self) -> Action<'_> {
        Action::AskMail { envelope: &self.envelope, size: self.size }
    }

    pub(super) fn answered(self, answer: Answer<'_>, common: &mut Common) -> State {
        common.conclude_with(Verb::Mail, answer, "250 2.1.0 Ok\r\n");
        let transaction = Transaction { envelope: self.envelope, chunks: None };
        let transaction = answer.is_positive().then_some(transaction);
        State::Commands(Commands { transaction })
    }
}

/// RCPT waits for its answer.
#[derive(Debug)]
pub(super) struct AskingRecipient {
    transaction: Transaction,
    recipient: Recipient,
}

const RECIPIENT_OK: &str = "250 2.1.5 Ok\r\n";

impl AskingRecipient {
    pub(super) fn question(&self) -> Action<'_> {
        let envelope = &self.transaction.envelope;
        Action::AskRecipient { envelope, recipient: &self.recipient }
    }

    pub(super) fn answered(mut self, answer: Answer<'_>, common: &mut Common) -> State {
        common.conclude_with(Verb::Rcpt, answer, RECIPIENT_OK);
        if answer.is_positive() {
            self.transaction.envelope.recipients.push(self.recipient);
        }
        State::Commands(self.transaction.into())
    }
}

/// What MAIL and RCPT may say to this server.
impl Settings {
    fn envelope(&self, mail: MailCommand, tls: bool) -> Result<Envelope, Reply> {
        if let Some(from) = &mail.from {
            self.check_utf8(from, mail.smtputf8)?;
        }
        let reverse_path = match mail.from {
            None => ReversePath::Null,
            Some(Mailbox::Address(address)) => ReversePath::Address(address),
            Some(Mailbox::Bare(part)) if self.bare_names => {
                ReversePath::Address(Address::new(part, self.sender_domain.clone()))
            }
            Some(Mailbox::Bare(_)) => return Err(no_domain((5, 1, 7), "sender")),
        };
        if let Some(reply) = mail.size.and_then(|size| self.too_large(size)) {
            return Err(reply);
        }
        self.offered_dsn([("RET", mail.ret.is_some()), ("ENVID", mail.envelope_id.is_some())])?;
        if mail.names_submitter && self.extensions.auth.is_empty() {
            return Err(unsupported("AUTH"));
        }
        // RFC 8689 §2: in plain text it is not offered.
        if mail.require_tls && !(self.extensions.require_tls && tls) {
            return Err(unsupported("REQUIRETLS"));
        }
        if mail.verp.is_some() && !self.extensions.xverp {
            return Err(unsupported("XVERP"));
        }
        Ok(Envelope {
            envelope_id: mail.envelope_id,
            ret: mail.ret,
            verp: mail.verp.filter(|_| !reverse_path.is_null()),
            eight_bit: mail.eight_bit,
            smtputf8: mail.smtputf8,
            tls: if mail.require_tls { TlsWish::Required } else { TlsWish::Usual },
            ..Envelope::new(reverse_path, Vec::new())
        })
    }

    fn recipient(&self, rcpt: &RcptCommand, smtputf8: bool) -> Result<Address, Reply> {
        self.check_utf8(&rcpt.to, smtputf8)?;
        self.offered_dsn([("NOTIFY", rcpt.notify.is_some()), ("ORCPT", rcpt.original.is_some())])?;
        let is_postmaster = |part: &LocalPart| part.as_str().eq_ignore_ascii_case("postmaster");
        match &rcpt.to {
            Mailbox::Address(address) => Ok(address.clone()),
            Mailbox::Bare(part) if self.bare_names || is_postmaster(part) => {
                Ok(Address::new(part.clone(), self.domain.clone()))
            }
            Mailbox::Bare(_) => Err(no_domain((5, 1, 3), "recipient")),
        }
    }

    // Whoever names a parameter of an extension that is not offered relies on what will
    // not be done; NOTIFY=NEVER taken and ignored would be the worst. So these are as
    // unknown as any other (RFC 5321 §4.1.1.11), and nobody who reads our EHLO is hit.
    fn offered_dsn(&self, parameters: [(&str, bool); 2]) -> Result<(), Reply> {
        let asked = parameters.into_iter().find(|(_, is_asked)| *is_asked);
        match asked.filter(|_| !self.extensions.dsn) {
            Some((keyword, _)) => Err(unsupported(keyword)),
            None => Ok(()),
        }
    }

    fn check_utf8(&self, mailbox: &Mailbox, smtputf8: bool) -> Result<(), Reply> {
        if smtputf8 || self.lenient || mailbox.is_ascii() {
            return Ok(());
        }
        let text = "Error: this address needs SMTPUTF8: give it as a parameter of MAIL";
        Err(Reply::enhanced(553, (5, 6, 7), text))
    }

    /// Why a message of so many octets is refused, if it is.
    pub(super) fn too_large(&self, octets: u64) -> Option<Reply> {
        let limit = self.extensions.size.filter(|limit| (1..octets).contains(limit))?;
        let text = format!("Error: message is larger than the limit of {limit} octets");
        Some(Reply::enhanced(552, (5, 3, 4), text))
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
        Command::Auth(_) => Verb::Auth,
        Command::Origin(_) => Verb::Origin,
    }
}
