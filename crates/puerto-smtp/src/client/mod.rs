//! The client's side of SMTP (RFC 5321) and LMTP (RFC 2033).
//!
//! [`Connection`] is one connection to one peer, without the socket. The driver
//! asks [`Connection::poll`] what to do next, does it, and asks again:
//!
//! * [`Step::Send`]: write [`Connection::take_output`];
//! * [`Step::Receive`]: read, and [`Connection::feed`] what came;
//! * [`Step::Handshake`]: perform the TLS handshake, then
//!   [`Connection::tls_established`];
//! * [`Step::Content`]: write the content, with its dots doubled;
//! * [`Step::Ready`]: decide: [`start_tls`](Connection::start_tls),
//!   [`authenticate`](Connection::authenticate), [`begin`](Connection::begin),
//!   [`quit`](Connection::quit), or keep the connection for later;
//! * the others tell how something ended.
//!
//! When reading or writing fails, [`Connection::lost`] turns that into the same
//! kind of result that a reply would give, with the stage at which it happened.
//! Whether TLS is used and demanded is the driver's to decide; that nothing said
//! before TLS counts after it, and that no password goes out without it, is
//! settled here.
//!
//! With PIPELINING, MAIL, all RCPT and DATA go out together (RFC 2920 §3.1). Content
//! goes out only behind 354, and never by BDAT (RFC 3030): a peer that offers CHUNKING
//! and does not know BDAT would read the content as commands.
//!
//! **What a reply is a verdict on.** A peer may send a reply too many, or none. 354 is
//! the mark by which that is noticed: where the replies of a transaction do not fit the
//! commands, none of its refusals counts. On a connection that carried a message
//! before, a refusal may be about that connection
//! ([`Failure::may_be_about_the_session`]); the driver asks again on a new one.
//!
//! **A peer that lacks 8BITMIME** gets content with 8-bit octets as it is, without
//! BODY=. RFC 6152 §3 would have us convert it or return it. Converting means to
//! parse and rewrite MIME after the message was signed, which breaks every DKIM
//! signature; returning it means that mail does not arrive. Servers that truly
//! cannot carry eight bits are extinct, while those that merely do not announce
//! it are not, and other servers (Exim and qmail among them) have sent such
//! content unannounced for decades.
//!
//! **A peer that lacks SMTPUTF8** cannot take the message if its header or its
//! reverse-path needs it, nor a recipient whose address does: these fail for good
//! with 5.6.7 (RFC 6531 §3.2). An address with a name in another script but an
//! ASCII local part needs none: the driver writes such a domain in A-labels.

mod auth;
pub mod commands;
mod exchange;
mod failure;
mod probe;
mod stage;

use std::fmt;

use crate::address::{Domain, ReversePath};
use crate::envelope::{Recipient, Return};
use crate::extension::Extensions;
use crate::reply::{Reply, ReplyDecoder, ReplyError, Severity};
use crate::verp::Verp;

use auth::Login;
pub use auth::{AuthUnavailable, Credentials};
use exchange::{Exchange, Progress};
pub use failure::{Cause, Failure, Fate, Loss};
use probe::{Next, Probe};
pub use stage::Stage;

/// Recipients in one transaction at most. Every server takes 100 (RFC 5321
/// §4.5.3.1.8), and the replies to 100 pipelined commands fit into any socket
/// buffer, so that neither side can block the other.
pub const MAX_TRANSACTION_RECIPIENTS: usize = 100;

/// Which protocol is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// SMTP: one reply to the content, for all recipients.
    Smtp,
    /// LMTP: one reply to the content for each accepted recipient (RFC 2033 §4.2).
    Lmtp,
}

/// One message for some recipients, as MAIL and RCPT say it.
#[derive(Debug, Clone, Copy)]
pub struct Transaction<'a> {
    /// Where failures are told, with its domain in A-labels if its local part is
    /// ASCII.
    pub reverse_path: &'a ReversePath,
    /// The recipients, likewise. Results come in this order.
    pub recipients: &'a [&'a Recipient],
    /// ENVID.
    pub envelope_id: Option<&'a str>,
    /// RET.
    pub ret: Option<Return>,
    /// XVERP, for a peer that offers it.
    pub verp: Option<Verp>,
    /// Octets of the content, before dots are doubled.
    pub size: u64,
    /// The content has 8-bit octets.
    pub eight_bit: bool,
    /// The header has UTF-8 that needs SMTPUTF8.
    pub utf8_header: bool,
    /// REQUIRETLS, for a peer that offers it: whoever asks for it has seen that.
    pub require_tls: bool,
}

impl Transaction<'_> {
    fn says_smtputf8(&self, peer: &Extensions) -> bool {
        peer.smtputf8 && self.needs_smtputf8()
    }

    fn needs_smtputf8(&self) -> bool {
        self.utf8_header
            || self.reverse_path.address().is_some_and(|address| !address.is_ascii())
            || self.recipients.iter().any(|recipient| !recipient.address.is_ascii())
    }
}

/// What the driver does next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Write what [`Connection::take_output`] returns.
    Send,
    /// Read something and feed it. The wait ends by the time-out of
    /// [`Connection::stage`].
    Receive,
    /// Perform the TLS handshake, now; then call [`Connection::tls_established`].
    Handshake,
    /// Write the content with [`DotStuffer`](crate::codec::DotStuffer), its end
    /// included. Call [`Connection::content_ending`] before the write that includes
    /// its end.
    Content,
    /// Nothing is under way.
    Ready,
    /// STARTTLS or AUTH was refused; the session goes on without.
    Refused(Failure),
    /// A transaction has ended: [`Connection::take_fates`] tells what became of
    /// each recipient.
    Finished,
    /// The session failed outside a transaction, and is over.
    Failed(Failure),
    /// The session is over.
    Closed,
}

enum State {
    Greeting,
    Hello,
    Ready,
    StartTls,
    Handshake,
    Auth(Login),
    Transaction(Exchange),
    Probe(Probe),
    Quit,
    /// The peer has refused the session, and may be told that we go.
    Refused,
    Closed,
}

/// One connection to one peer.
pub struct Connection {
    protocol: Protocol,
    name: Domain,
    state: State,
    hello: Stage,
    decoder: ReplyDecoder,
    output: Vec<u8>,
    report: Option<Step>,
    fates: Vec<Fate>,
    extensions: Extensions,
    encrypted: bool,
    reset_first: bool,
    transactions: u32,
    replies: u64,
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("stage", &self.stage())
            .field("encrypted", &self.encrypted)
            .field("transactions", &self.transactions)
            .finish_non_exhaustive()
    }
}

impl Connection {
    /// A connection that was just made. `name` is what we call ourselves;
    /// `encrypted` says that TLS stands already (implicit TLS, RFC 8314 §3).
    pub fn new(protocol: Protocol, name: Domain, encrypted: bool) -> Self {
        Self {
            protocol,
            name,
            state: State::Greeting,
            hello: if protocol == Protocol::Lmtp { Stage::Lhlo } else { Stage::Ehlo },
            decoder: ReplyDecoder::new(),
            output: Vec::new(),
            report: None,
            fates: Vec::new(),
            extensions: Extensions::default(),
            encrypted,
            reset_first: false,
            transactions: 0,
            replies: 0,
        }
    }

    /// What to do next.
    pub fn poll(&mut self) -> Step {
        loop {
            if let Some(report) = self.report.take() {
                return report;
            }
            if !self.output.is_empty() {
                return Step::Send;
            }
            match self.state {
                State::Ready if !self.decoder.has_leftover() => return Step::Ready,
                State::Handshake => return Step::Handshake,
                State::Refused | State::Closed => return Step::Closed,
                _ => {}
            }
            match self.decoder.next_reply() {
                Ok(Some(reply)) => {
                    self.replies += 1;
                    self.on_reply(reply);
                }
                Ok(None) => {
                    let content =
                        matches!(&self.state, State::Transaction(e) if e.content_wanted());
                    return if content { Step::Content } else { Step::Receive };
                }
                Err(error) => self.fail(Cause::Garbage(error)),
            }
        }
    }

    /// Adds octets that came from the peer.
    pub fn feed(&mut self, octets: &[u8]) {
        self.decoder.feed(octets);
    }

    /// What is to be written at [`Step::Send`].
    pub fn take_output(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.output)
    }

    /// What is waited for.
    pub fn stage(&self) -> Stage {
        match &self.state {
            State::Greeting => Stage::Greeting,
            State::Hello => self.hello,
            State::Ready | State::Refused | State::Closed => Stage::Idle,
            State::StartTls => Stage::StartTls,
            State::Handshake => Stage::Handshake,
            State::Auth(_) => Stage::Auth,
            State::Transaction(exchange) => exchange.stage(),
            State::Probe(probe) => probe.stage(),
            State::Quit => Stage::Quit,
        }
    }

    /// What the peer offers, by its last reply to EHLO.
    pub fn extensions(&self) -> &Extensions {
        &self.extensions
    }

    /// Whether TLS stands.
    pub fn is_encrypted(&self) -> bool {
        self.encrypted
    }

    /// Whether a further transaction may begin: nothing is under way, and the peer
    /// has said nothing that was not asked for.
    pub fn is_ready(&self) -> bool {
        matches!(self.state, State::Ready) && self.report.is_none() && !self.decoder.has_leftover()
    }

    /// How many transactions have begun.
    pub fn transactions(&self) -> u32 {
        self.transactions
    }

    /// How many replies have come: the stage's time begins anew with each.
    pub fn replies(&self) -> u64 {
        self.replies
    }

    /// Asks for TLS; to be called at [`Step::Ready`] when the peer offers it.
    pub fn start_tls(&mut self) {
        if self.is_ready() {
            self.say("STARTTLS\r\n");
            self.state = State::StartTls;
        }
    }

    /// Says that the handshake succeeded. Whatever the peer said before is
    /// forgotten and EHLO is said again (RFC 3207 §4.2).
    pub fn tls_established(&mut self) {
        if matches!(self.state, State::Handshake) {
            self.encrypted = true;
            self.extensions = Extensions::default();
            self.say_hello();
        }
    }

    /// Begins a transaction; to be called at [`Step::Ready`]. The next
    /// [`Step::Finished`] belongs to it.
    pub fn begin(&mut self, transaction: &Transaction<'_>) {
        self.transactions += 1;
        if !self.is_ready() {
            let failure = Failure { stage: Stage::Idle, cause: Cause::OutOfStep };
            self.finish(vec![Fate::Failed(failure); transaction.recipients.len()]);
            self.state = State::Closed;
            return;
        }
        let reset = std::mem::take(&mut self.reset_first);
        let mut exchange = Exchange::new(transaction, &self.extensions, self.protocol, reset);
        let progress = exchange.advance(&mut self.output);
        self.state = State::Transaction(exchange);
        self.after(progress);
    }

    /// Asks whether the peer would take a message for the first recipient, and gives
    /// it none: MAIL, RCPT, RSET. To be called at [`Step::Ready`]; the next
    /// [`Step::Finished`] belongs to it.
    pub fn probe(&mut self, transaction: &Transaction<'_>) {
        if !self.is_ready() {
            let failure = Failure { stage: Stage::Idle, cause: Cause::OutOfStep };
            self.finish(vec![Fate::Failed(failure)]);
            self.state = State::Closed;
            return;
        }
        let reset = std::mem::take(&mut self.reset_first);
        let (probe, command) = Probe::new(transaction, &self.extensions, reset);
        self.say(&command);
        self.state = State::Probe(probe);
    }

    /// Says that the end of the content is about to be written: from here on the
    /// peer may have the message, whatever happens.
    pub fn content_ending(&mut self) {
        if let State::Transaction(exchange) = &mut self.state {
            exchange.content_ending();
        }
    }

    /// What became of each recipient of the last transaction, in its order.
    pub fn take_fates(&mut self) -> Vec<Fate> {
        std::mem::take(&mut self.fates)
    }

    /// Ends the session politely; to be called at [`Step::Ready`], or when the peer has
    /// refused the session (RFC 5321 §4.1.1.10). Otherwise it says nothing, and tells so.
    pub fn quit(&mut self) -> bool {
        let may_speak = self.is_ready() || matches!(self.state, State::Refused);
        if may_speak {
            self.say("QUIT\r\n");
            self.state = State::Quit;
        }
        may_speak
    }

    /// Says that the connection is gone, or that the stage's time has passed.
    pub fn lost(&mut self, loss: Loss) {
        // What came in the place of a reply says more than that none came.
        if self.decoder.has_noise() && loss != Loss::Abandoned {
            return self.fail(Cause::Garbage(ReplyError::NotAReply));
        }
        self.fail(Cause::Lost(loss));
    }

    fn say(&mut self, line: &str) {
        self.output.extend_from_slice(line.as_bytes());
    }

    fn say_hello(&mut self) {
        let verb = match self.hello {
            Stage::Lhlo => "LHLO",
            Stage::Helo => "HELO",
            _ => "EHLO",
        };
        let line = format!("{verb} {}\r\n", self.name);
        self.say(&line);
        self.state = State::Hello;
    }

    fn on_reply(&mut self, reply: Reply) {
        // In a pipelined group further replies are expected. Everywhere else a reply
        // behind this one answers nothing.
        let surplus = self.decoder.has_leftover();
        match &mut self.state {
            State::Transaction(exchange) => {
                let progress = exchange.on_reply(reply, &mut self.output);
                self.after(progress);
            }
            State::StartTls => self.on_start_tls(reply, surplus),
            State::Quit | State::Refused | State::Closed => self.state = State::Closed,
            State::Ready | State::Handshake if reply.closes() => self.fail(Cause::Reply(reply)),
            State::Ready | State::Handshake => self.fail(Cause::OutOfStep),
            State::Greeting | State::Hello | State::Auth(_) if reply.closes() => {
                self.fail(Cause::Reply(reply));
            }
            _ if surplus => self.fail(Cause::OutOfStep),
            State::Greeting => self.on_greeting(reply),
            State::Hello => self.on_hello(reply),
            State::Auth(_) => self.on_auth(reply),
            State::Probe(probe) => match probe.on_reply(reply) {
                Next::Say(command) => self.say(&command),
                Next::Finished { usable } => self.end_probe(usable),
            },
        }
    }

    fn end_probe(&mut self, usable: bool) {
        let next = if usable { State::Ready } else { State::Closed };
        if let State::Probe(probe) = std::mem::replace(&mut self.state, next) {
            let open = Failure { stage: probe.stage(), cause: Cause::OutOfStep };
            self.finish(vec![probe.into_fate(open)]);
        }
    }

    fn on_greeting(&mut self, reply: Reply) {
        match reply.severity() {
            Severity::Positive => self.say_hello(),
            Severity::Intermediate => self.fail(Cause::OutOfStep),
            Severity::Transient | Severity::Permanent => self.fail(Cause::Reply(reply)),
        }
    }

    fn on_hello(&mut self, reply: Reply) {
        match reply.severity() {
            Severity::Positive => {
                if self.hello != Stage::Helo {
                    self.extensions = Extensions::parse(&reply);
                }
                self.state = State::Ready;
            }
            // RFC 5321 §3.2: a server that does not know EHLO still knows HELO.
            Severity::Permanent if self.hello == Stage::Ehlo => {
                self.hello = Stage::Helo;
                self.say_hello();
            }
            Severity::Intermediate => self.fail(Cause::OutOfStep),
            Severity::Transient | Severity::Permanent => self.fail(Cause::Reply(reply)),
        }
    }

    fn on_start_tls(&mut self, reply: Reply, surplus: bool) {
        match reply.severity() {
            Severity::Positive if surplus => self.fail(Cause::InjectedBeforeTls),
            Severity::Positive => self.state = State::Handshake,
            _ if reply.closes() => self.fail(Cause::Reply(reply)),
            _ if surplus => self.fail(Cause::OutOfStep),
            Severity::Intermediate => self.fail(Cause::OutOfStep),
            Severity::Transient | Severity::Permanent => self.refused(Stage::StartTls, reply),
        }
    }

    fn refused(&mut self, stage: Stage, reply: Reply) {
        self.state = State::Ready;
        self.report = Some(Step::Refused(Failure { stage, cause: Cause::Reply(reply) }));
    }

    fn after(&mut self, progress: Progress) {
        match progress {
            Progress::GoesOn => {}
            Progress::Failed(cause) => self.fail(cause),
            Progress::Finished { usable, reset_first } => {
                let State::Transaction(exchange) = &mut self.state else { return };
                // What the peer says behind its last reply would be taken for the
                // reply to the next command.
                let usable = usable && !self.decoder.has_leftover();
                if let Ok(Some(surplus)) = self.decoder.next_reply()
                    && !is_farewell(&surplus)
                {
                    let stage = exchange.stage();
                    exchange.fail(&Failure { stage, cause: Cause::OutOfStep });
                }
                let fates = exchange.take_fates();
                self.reset_first = reset_first;
                self.state = if usable { State::Ready } else { State::Closed };
                self.finish(fates);
            }
        }
    }

    fn finish(&mut self, fates: Vec<Fate>) {
        self.fates = fates;
        self.report = Some(Step::Finished);
    }

    fn fail(&mut self, cause: Cause) {
        let failure = Failure { stage: self.stage(), cause };
        self.output.clear();
        // In the middle of content, QUIT would be content.
        let refused = failure.reply().is_some_and(|reply| !reply.closes());
        let next =
            if refused && failure.stage != Stage::Content { State::Refused } else { State::Closed };
        match std::mem::replace(&mut self.state, next) {
            State::Transaction(mut exchange) => {
                exchange.fail(&failure);
                self.finish(exchange.take_fates());
            }
            State::Probe(probe) => self.finish(vec![probe.into_fate(failure)]),
            State::Quit | State::Refused | State::Closed => self.state = State::Closed,
            _ => self.report = Some(Step::Failed(failure)),
        }
    }
}

// What a peer says that closes, without being asked.
fn is_farewell(reply: &Reply) -> bool {
    reply.closes() || reply.code().get() == 221
}
