//! The machine itself: what goes in, what comes out, and how questions are answered.

use std::ops::Range;

use super::{Action, Discard, Refusal, Settings};
use crate::address::ReversePath;
use crate::codec::{ChunkDecoder, DataDecoder, LineDecoder};
use crate::command::{Moment, Verb};
use crate::envelope::{Envelope, Recipient};
use crate::limits::{MAX_DISCARDED_CONTENT, MAX_DOMAIN, MAX_ERRORS};
use crate::reply::{Reply, Severity};

/// Commands that move no mail (NOOP, RSET, VRFY, HELP, EHLO) between two messages
/// before each counts as an error.
const MAX_IDLE_COMMANDS: u32 = 100;

/// Where a session stands. A handler takes one and leaves the next.
#[derive(Debug)]
pub(super) enum State {
    /// The greeting has not been written.
    Greeting,
    /// Between two commands.
    Commands(Option<Transaction>),
    /// MAIL waits for its answer.
    AskingMail { envelope: Envelope, size: Option<u64> },
    /// RCPT waits for its answer.
    AskingRecipient { transaction: Transaction, recipient: Recipient },
    /// DATA or the first BDAT waits for its answer.
    Beginning { transaction: Transaction, transfer: Transfer },
    /// Content is coming by DATA.
    Data(Data),
    /// A chunk of content is coming by BDAT.
    Chunk(Chunk),
    /// A chunk is coming that nobody wants; then this is the reply.
    UnwantedChunk { left: u64, reply: Reply },
    /// The whole message waits for its answer.
    Ending { verb: Verb },
    /// The driver is to make the TLS handshake.
    StartingTls,
    /// What is left to be written is written, and nothing else happens.
    Closing,
}

/// A mail transaction between two commands.
#[derive(Debug)]
pub(super) struct Transaction {
    pub(super) envelope: Envelope,
    /// Watches the content, once some has come by BDAT.
    pub(super) chunks: Option<ChunkDecoder>,
}

/// How content is to come.
#[derive(Debug, Clone, Copy)]
pub(super) enum Transfer {
    Data,
    Chunk { size: u64, last: bool },
}

/// Content that is coming by DATA.
#[derive(Debug)]
pub(super) struct Data {
    pub(super) envelope: Envelope,
    pub(super) decoder: DataDecoder,
    /// It is being read to its end only to be refused with this.
    pub(super) refusal: Option<Reply>,
}

/// A chunk that is coming by BDAT.
#[derive(Debug)]
pub(super) struct Chunk {
    pub(super) envelope: Envelope,
    pub(super) decoder: ChunkDecoder,
    pub(super) size: u64,
    pub(super) left: u64,
    pub(super) last: bool,
}

/// What the driver answered.
#[derive(Debug, Clone, Copy)]
enum Answer<'a> {
    Usual,
    Reply(&'a Reply),
}

impl Answer<'_> {
    fn is_positive(self) -> bool {
        match self {
            Self::Usual => true,
            Self::Reply(reply) => reply.is_positive(),
        }
    }
}

/// What a step came to; borrows are taken from the state afterwards.
pub(super) enum Event {
    Read,
    Ask,
    Content(Range<usize>),
    Restored(&'static [u8]),
    EndContent(Envelope),
    Discard(Discard),
    Refused(Refusal),
    StartTls,
    Close,
}

/// How the client introduced itself.
#[derive(Debug, Clone)]
pub(super) struct Hello {
    pub(super) name: String,
    pub(super) extended: bool,
}

/// One SMTP session as a server sees it.
#[derive(Debug)]
pub struct Session {
    pub(super) settings: Settings,
    pub(super) state: State,
    pub(super) hello: Option<Hello>,
    pub(super) tls: bool,
    pub(super) lines: LineDecoder,
    pub(super) input: Vec<u8>,
    pub(super) position: usize,
    pub(super) output: Vec<u8>,
    output_taken: bool,
    refused: Option<Refusal>,
    errors: u32,
    idle_commands: u32,
    discarded: u64,
    counts: [(u32, u32); Verb::COUNT],
    unknown: u32,
}

impl Session {
    /// A session whose greeting has not been written yet.
    pub fn new(settings: Settings) -> Self {
        Self {
            lines: line_decoder(&settings),
            settings,
            state: State::Greeting,
            hello: None,
            tls: false,
            input: Vec::new(),
            position: 0,
            output: Vec::new(),
            output_taken: false,
            refused: None,
            errors: 0,
            idle_commands: 0,
            discarded: 0,
            counts: [(0, 0); Verb::COUNT],
            unknown: 0,
        }
    }

    /// Takes what the client sent, at any cut. Bytes before the first poll have
    /// come before the greeting, and end the session.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.input(bytes.len()).extend_from_slice(bytes);
    }

    /// The same without a copy: a buffer with room for that many octets, to which
    /// the driver appends what the client sent.
    pub fn input(&mut self, room: usize) -> &mut Vec<u8> {
        if self.position > 0 {
            self.input.drain(..self.position.min(self.input.len()));
            self.position = 0;
        }
        self.input.reserve(room);
        &mut self.input
    }

    /// What to do next. A question is repeated until it is answered.
    pub fn poll(&mut self) -> Action<'_> {
        if std::mem::take(&mut self.output_taken) {
            self.output.clear();
        }
        let event = match self.refused.take() {
            Some(refusal) => Event::Refused(refusal),
            None => self.advance(),
        };
        match event {
            Event::Read | Event::StartTls | Event::Close if !self.output.is_empty() => {
                self.output_taken = true;
                Action::Write(&self.output)
            }
            Event::Read => Action::Read,
            Event::Ask => self.question(),
            Event::Content(range) => Action::Content(self.input.get(range).unwrap_or_default()),
            Event::Restored(octets) => Action::Content(octets),
            Event::EndContent(envelope) => Action::EndContent(envelope),
            Event::Discard(why) => Action::DiscardContent(why),
            Event::Refused(refusal) => Action::Refused(refusal),
            Event::StartTls => Action::StartTls,
            Event::Close => Action::Close,
        }
    }

    fn question(&self) -> Action<'_> {
        match &self.state {
            State::AskingMail { envelope, size } => Action::AskMail { envelope, size: *size },
            State::AskingRecipient { transaction, recipient } => {
                Action::AskRecipient { envelope: &transaction.envelope, recipient }
            }
            State::Beginning { transaction, .. } => Action::BeginContent(&transaction.envelope),
            _ => Action::Read,
        }
    }

    fn advance(&mut self) -> Event {
        loop {
            let state = std::mem::replace(&mut self.state, State::Closing);
            let (next, event) = match state {
                State::Greeting => (self.greet(), None),
                State::Commands(transaction) => self.next_command(transaction),
                State::Data(data) => self.read_data(data),
                State::Chunk(chunk) => self.read_chunk(chunk),
                State::UnwantedChunk { left, reply } => self.discard_chunk(left, reply),
                State::StartingTls => (State::StartingTls, Some(Event::StartTls)),
                State::Closing => (State::Closing, Some(Event::Close)),
                State::Ending { .. } => (state, Some(Event::Read)),
                asking => (asking, Some(Event::Ask)),
            };
            self.state = next;
            if let Some(refusal) = self.refused.take_if(|_| event.is_none()) {
                return Event::Refused(refusal);
            }
            if let Some(event) = event {
                return event;
            }
        }
    }

    fn greet(&mut self) -> State {
        if !self.unread().is_empty() {
            // Who talks before it is greeted does not listen to replies.
            let text = "Error: data before the greeting";
            let reply = Reply::enhanced(554, (5, 5, 1), text);
            self.say(&reply);
            self.note("CONNECT", reply, None);
            return State::Closing;
        }
        let greeting = format!("220 {} ESMTP Buen Puerto\r\n", self.settings.hostname);
        self.output.extend_from_slice(greeting.as_bytes());
        State::Commands(None)
    }

    /// Answers the question that [`Session::poll`] asked. A positive reply goes on;
    /// for [`Action::BeginContent`] its text is not used. With 421 the session
    /// ends after it. Without a question it does nothing.
    pub fn answer(&mut self, reply: &Reply) {
        self.resolve(Answer::Reply(reply));
    }

    /// Answers the question with the usual positive reply.
    pub fn accept(&mut self) {
        self.resolve(Answer::Usual);
    }

    fn resolve(&mut self, answer: Answer<'_>) {
        let positive = answer.is_positive();
        self.state = match std::mem::replace(&mut self.state, State::Closing) {
            State::AskingMail { envelope, .. } => {
                self.conclude_with(Verb::Mail, answer);
                State::Commands(positive.then_some(Transaction { envelope, chunks: None }))
            }
            State::AskingRecipient { mut transaction, recipient } => {
                self.conclude_with(Verb::Rcpt, answer);
                if positive {
                    transaction.envelope.recipients.push(recipient);
                }
                State::Commands(Some(transaction))
            }
            State::Beginning { transaction, transfer } => match (answer, transfer) {
                (Answer::Reply(reply), Transfer::Data) if !positive => {
                    self.conclude(Verb::Data, reply);
                    State::Commands(None)
                }
                (Answer::Reply(reply), Transfer::Chunk { size, .. }) if !positive => {
                    self.state = State::UnwantedChunk { left: size, reply: reply.clone() };
                    return;
                }
                _ => self.begin(transaction, transfer),
            },
            State::Ending { verb } => {
                self.conclude_with(verb, answer);
                if positive {
                    (self.errors, self.idle_commands) = (0, 0);
                }
                State::Commands(None)
            }
            other => {
                self.state = other;
                return;
            }
        };
        if matches!(answer, Answer::Reply(reply) if reply.closes()) {
            self.state = State::Closing;
        } else if self.too_many_errors() {
            self.close_with(&Reply::enhanced(421, (4, 7, 0), "Error: too many errors"));
        }
    }

    /// Says that the content which is coming cannot be kept. It is read to its end
    /// and refused with this reply.
    pub fn refuse_content(&mut self, reply: Reply) {
        match std::mem::replace(&mut self.state, State::Closing) {
            State::Data(data) => {
                let refusal = data.refusal.or(Some(reply));
                self.state = State::Data(Data { refusal, ..data });
            }
            State::Chunk(chunk) => {
                self.state = State::UnwantedChunk { left: chunk.left, reply };
            }
            other => self.state = other,
        }
    }

    /// Ends the session with this reply, whatever it is doing.
    pub fn close_with(&mut self, reply: &Reply) {
        self.say(reply);
        self.state = State::Closing;
    }

    /// The handshake is done: the session begins anew, without a greeting
    /// (RFC 3207 §4.2).
    pub fn tls_established(&mut self) {
        self.tls = true;
        self.hello = None;
        self.input.clear();
        self.position = 0;
        self.lines = line_decoder(&self.settings);
        self.state = State::Commands(None);
    }

    /// TLS is in use from the first byte.
    pub fn tls_from_start(&mut self) {
        self.tls = true;
    }

    /// Whether a transaction is under way, from MAIL to the reply to its content.
    pub fn in_transaction(&self) -> bool {
        !matches!(
            self.state,
            State::Greeting | State::Commands(None) | State::StartingTls | State::Closing
        )
    }

    /// Whether content is coming.
    pub fn in_content(&self) -> bool {
        matches!(self.state, State::Data(_) | State::Chunk(_) | State::UnwantedChunk { .. })
    }

    /// Where the session stands, as the log says it after "lost connection after".
    pub fn stage(&self) -> &'static str {
        match &self.state {
            State::Greeting => "CONNECT",
            State::Commands(None) if self.hello.is_none() && !self.tls => "CONNECT",
            State::Commands(None) => "EHLO",
            State::Commands(Some(transaction)) if transaction.chunks.is_some() => "BDAT",
            State::Commands(Some(transaction)) if transaction.envelope.recipients.is_empty() => {
                "MAIL"
            }
            State::Commands(Some(_)) | State::AskingRecipient { .. } => "RCPT",
            State::AskingMail { .. } => "MAIL",
            State::Beginning { .. } | State::Data(_) => "DATA",
            State::Chunk(_) | State::UnwantedChunk { .. } => "BDAT",
            State::Ending { .. } => "END-OF-MESSAGE",
            State::StartingTls => "STARTTLS",
            State::Closing => "QUIT",
        }
    }

    /// What the client called itself, fit for a trace field: characters that have
    /// no place in a host name or literal are `?`.
    pub fn hello(&self) -> Option<&str> {
        self.hello.as_ref().map(|hello| hello.name.as_str())
    }

    /// The protocol as trace fields name it (RFC 3848, RFC 6531 §4.3).
    pub fn protocol(&self, smtputf8: bool) -> &'static str {
        let extended = self.hello.as_ref().is_some_and(|hello| hello.extended);
        match (smtputf8, extended, self.tls) {
            (true, _, true) => "UTF8SMTPS",
            (true, _, false) => "UTF8SMTP",
            (false, true, true) => "ESMTPS",
            (false, true, false) => "ESMTP",
            (false, false, _) => "SMTP",
        }
    }

    /// The commands that were given: name, how many succeeded, how many there were.
    pub fn command_counts(&self) -> Vec<(&'static str, u32, u32)> {
        const NAMES: [&str; Verb::COUNT] = [
            "ehlo", "helo", "starttls", "auth", "mail", "rcpt", "bdat", "data", "rset", "noop",
            "quit", "vrfy", "expn", "etrn", "turn", "help",
        ];
        let known = NAMES.iter().zip(&self.counts);
        let known = known.map(|(name, (succeeded, all))| (*name, *succeeded, *all));
        known
            .chain(std::iter::once(("unknown", 0, self.unknown)))
            .filter(|(_, _, all)| *all > 0)
            .collect()
    }
}

fn line_decoder(settings: &Settings) -> LineDecoder {
    if settings.lenient { LineDecoder::lenient() } else { LineDecoder::new() }
}

/// What the handlers of commands and content share.
impl Session {
    pub(super) fn unread(&self) -> &[u8] {
        self.input.get(self.position..).unwrap_or_default()
    }

    /// Where a session stands, in the terms of the command table.
    pub(super) fn moment(&self, transaction: Option<&Transaction>) -> Moment {
        match transaction {
            // Programs that send by hand leave the greeting out.
            _ if self.hello.is_none() && !self.settings.lenient => Moment::Start,
            None => Moment::Ready,
            Some(transaction) if transaction.chunks.is_some() => Moment::Chunks,
            Some(transaction) if transaction.envelope.recipients.is_empty() => Moment::Mail,
            Some(_) => Moment::Recipients,
        }
    }

    pub(super) fn say(&mut self, reply: &Reply) {
        reply.write_to(&mut self.output);
    }

    fn conclude_with(&mut self, verb: Verb, answer: Answer<'_>) {
        match (answer, verb) {
            (Answer::Reply(reply), _) => self.conclude(verb, reply),
            (Answer::Usual, Verb::Mail) => self.done(verb, "250 2.1.0 Ok\r\n"),
            (Answer::Usual, Verb::Rcpt) => self.done(verb, "250 2.1.5 Ok\r\n"),
            (Answer::Usual, _) => self.done(verb, "250 2.0.0 Ok\r\n"),
        }
    }

    /// Replies to a command that succeeded with a line of ours, and counts it.
    pub(super) fn done(&mut self, verb: Verb, line: &str) {
        self.output.extend_from_slice(line.as_bytes());
        self.tally(verb, Severity::Positive);
    }

    /// Replies to a command and counts it.
    pub(super) fn conclude(&mut self, verb: Verb, reply: &Reply) {
        self.say(reply);
        self.tally(verb, reply.severity());
    }

    fn tally(&mut self, verb: Verb, severity: Severity) {
        self.count(Some(verb), severity == Severity::Positive);
        self.errors += u32::from(severity == Severity::Permanent);
        if matches!(verb, Verb::Noop | Verb::Rset | Verb::Vrfy | Verb::Help | Verb::Ehlo) {
            self.idle_commands += 1;
            self.errors += u32::from(self.idle_commands > MAX_IDLE_COMMANDS);
        }
    }

    /// Refuses what was no command at all.
    pub(super) fn refuse_unknown(&mut self, reply: &Reply) {
        self.say(reply);
        self.count(None, false);
        self.errors += 1;
    }

    fn count(&mut self, verb: Option<Verb>, succeeded: bool) {
        match verb.and_then(|verb| self.counts.get_mut(verb.index())) {
            Some((successes, all)) => {
                *successes += u32::from(succeeded);
                *all += 1;
            }
            None => self.unknown += 1,
        }
    }

    /// Keeps a refusal for the log; [`Session::poll`] hands it out next.
    pub(super) fn note(&mut self, stage: &'static str, reply: Reply, from: Option<ReversePath>) {
        self.refused = Some(Refusal { stage, reply, from });
    }

    pub(super) fn too_many_errors(&self) -> bool {
        self.errors > MAX_ERRORS
    }

    /// Counts octets of content that are thrown away; `false` when there have been
    /// too many in this session.
    pub(super) fn may_discard(&mut self, octets: u64) -> bool {
        self.discarded = self.discarded.saturating_add(octets);
        self.discarded <= MAX_DISCARDED_CONTENT
    }

    /// The most octets of a message, if there is a limit.
    pub(super) fn size_limit(&self) -> Option<u64> {
        self.settings.extensions.size.filter(|size| *size > 0)
    }

    pub(super) fn set_hello(&mut self, name: &str, extended: bool) {
        let clean = |c: char| match c {
            'a'..='z' | 'A'..='Z' | '0'..='9' | '.' | '-' | '_' | ':' | '[' | ']' => c,
            _ => '?',
        };
        let name = name.chars().take(MAX_DOMAIN).map(clean).collect();
        self.hello = Some(Hello { name, extended });
    }
}
