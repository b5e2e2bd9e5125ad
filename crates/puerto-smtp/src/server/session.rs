//! The machine itself: which state it is in, what goes in and what comes out.

use std::ops::Range;

use super::auth::{AskingAuth, AwaitingResponse};
use super::commands::{AskingMail, AskingRecipient, Commands};
use super::common::{Answer, Common};
use super::content::{Beginning, Chunk, Data, END_OF_MESSAGE, Ending, UnwantedChunk};
use super::{Action, Discard, Refusal, Settings};
use crate::command::OriginClaim;
use crate::envelope::Envelope;
use crate::reply::Reply;
use crate::sasl::Mechanism;

/// Where a session stands. Each state has what it needs and nobody else does; its
/// handler consumes it and returns the next.
#[derive(Debug)]
pub(super) enum State {
    /// The greeting has not been written.
    Greeting,
    Commands(Commands),
    AskingMail(AskingMail),
    AskingRecipient(AskingRecipient),
    Beginning(Beginning),
    Data(Data),
    Chunk(Chunk),
    UnwantedChunk(UnwantedChunk),
    Ending(Ending),
    /// The driver is to make the TLS handshake.
    StartingTls,
    AskingAuth(AskingAuth),
    AwaitingResponse(AwaitingResponse),
    /// What is left to be written is written, and nothing else happens.
    Closing,
}

/// The next state, and what the driver is to be told of.
pub(super) type Next = (State, Option<Event>);

/// What a step came to; borrows are taken from the state afterwards.
pub(super) enum Event {
    Read,
    Ask,
    /// Where in the input a piece of the content is.
    Content(Range<usize>),
    /// What an earlier piece was waiting to be.
    Restored(&'static [u8]),
    EndContent(Envelope),
    Discard(Discard),
    Refused(Refusal),
    StartTls,
    Close,
}

impl State {
    fn advance(self, common: &mut Common) -> Next {
        match self {
            Self::Greeting => (greet(common), None),
            Self::Commands(state) => state.read(common),
            Self::Data(state) => state.read(common),
            Self::Chunk(state) => state.read(common),
            Self::UnwantedChunk(state) => state.read(common),
            Self::AwaitingResponse(state) => state.read(common),
            Self::AskingMail(_)
            | Self::AskingRecipient(_)
            | Self::Beginning(_)
            | Self::AskingAuth(_) => (self, Some(Event::Ask)),
            Self::Ending(_) => (self, Some(Event::Read)),
            Self::StartingTls => (self, Some(Event::StartTls)),
            Self::Closing => (self, Some(Event::Close)),
        }
    }

    fn question(&self) -> Action<'_> {
        match self {
            Self::AskingMail(state) => state.question(),
            Self::AskingRecipient(state) => state.question(),
            Self::Beginning(state) => state.question(),
            Self::AskingAuth(state) => state.question(),
            _ => Action::Read,
        }
    }

    fn answered(self, answer: Answer<'_>, common: &mut Common) -> Self {
        let next = match self {
            Self::AskingMail(state) => state.answered(answer, common),
            Self::AskingRecipient(state) => state.answered(answer, common),
            Self::Beginning(state) => state.answered(answer, common),
            Self::Ending(state) => state.answered(answer, common),
            Self::AskingAuth(_) => AskingAuth::answered(answer, common),
            unasked => return unasked,
        };
        match next {
            // The reply is for after its octets.
            Self::UnwantedChunk(_) => next,
            _ if answer.closes() => Self::Closing,
            Self::Commands(state) => state.go_on(common).0,
            next => next,
        }
    }
}

fn greet(common: &mut Common) -> State {
    if !common.unread().is_empty() {
        // Who talks before it is greeted does not listen to replies.
        let text = "Error: data before the greeting";
        let reply = Reply::enhanced(554, (5, 5, 1), text);
        common.say(&reply);
        common.note("CONNECT", reply, None);
        return State::Closing;
    }
    common.write(&format!("220 {} ESMTP Buen Puerto\r\n", common.settings.hostname));
    State::Commands(Commands::default())
}

/// One SMTP session as a server sees it.
#[derive(Debug)]
pub struct Session {
    state: State,
    common: Common,
}

impl Session {
    /// A session whose greeting has not been written yet.
    pub fn new(settings: Settings) -> Self {
        Self { state: State::Greeting, common: Common::new(settings) }
    }

    /// Takes what the client sent, at any cut. Bytes before the first poll have
    /// come before the greeting, and end the session.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.input(bytes.len()).extend_from_slice(bytes);
    }

    /// The same without a copy: a buffer with room for that many octets, to which
    /// the driver appends what the client sent.
    pub fn input(&mut self, room: usize) -> &mut Vec<u8> {
        self.common.room(room)
    }

    /// What to do next. A question is repeated until it is answered.
    pub fn poll(&mut self) -> Action<'_> {
        self.common.forget_sent();
        let event = self.advance();
        let common = &mut self.common;
        match event {
            Event::Content(range) => Action::Content(common.taken(range)),
            Event::Restored(octets) => Action::Content(octets),
            Event::EndContent(envelope) => Action::EndContent(envelope),
            Event::Discard(why) => Action::DiscardContent(why),
            Event::Refused(refusal) => Action::Refused(refusal),
            Event::Ask => self.state.question(),
            Event::Read | Event::StartTls | Event::Close => match (common.outgoing(), event) {
                (Some(output), _) => Action::Write(output),
                (None, Event::StartTls) => Action::StartTls,
                (None, Event::Close) => Action::Close,
                (None, _) => Action::Read,
            },
        }
    }

    fn advance(&mut self) -> Event {
        loop {
            if let Some(refusal) = self.common.take_refusal() {
                return Event::Refused(refusal);
            }
            if let Some(event) = self.step(State::advance) {
                return event;
            }
        }
    }

    /// Has a handler turn the state into the next one. One that panicked would leave the
    /// session closed.
    fn step<T>(&mut self, handler: impl FnOnce(State, &mut Common) -> (State, T)) -> T {
        let state = std::mem::replace(&mut self.state, State::Closing);
        let (next, told) = handler(state, &mut self.common);
        self.state = next;
        told
    }

    /// Answers the question that [`Session::poll`] asked. A positive reply goes on;
    /// for [`Action::BeginContent`] its text is not used. With 421 the session
    /// ends after it. Without a question it does nothing.
    pub fn answer(&mut self, reply: &Reply) {
        self.step(|state, common| (state.answered(Answer::Reply(reply), common), ()));
    }

    /// Answers the question with the usual positive reply.
    pub fn accept(&mut self) {
        self.step(|state, common| (state.answered(Answer::Usual, common), ()));
    }

    /// Answers [`Action::BeginAuth`] or [`Action::ContinueAuth`] with a question to the
    /// client, which this encodes.
    pub fn challenge(&mut self, octets: &[u8]) {
        self.step(|state, common| match state {
            State::AskingAuth(_) => (AskingAuth::challenge(octets, common), ()),
            unasked => (unasked, ()),
        });
    }

    /// Says that the content which is coming cannot be kept. It is read to its end
    /// and refused with this reply.
    pub fn refuse_content(&mut self, reply: Reply) {
        self.step(|state, _| match state {
            State::Data(state) => (State::Data(state.refused(reply)), ()),
            State::Chunk(state) => (State::UnwantedChunk(state.refused(reply)), ()),
            other => (other, ()),
        });
    }

    /// Ends the session with this reply, whatever it is doing.
    pub fn close_with(&mut self, reply: &Reply) {
        self.common.say(reply);
        self.state = State::Closing;
    }

    /// The handshake is done: the session begins anew, without a greeting
    /// (RFC 3207 §4.2).
    pub fn tls_established(&mut self) {
        self.common.tls_established();
        self.state = State::Commands(Commands::default());
    }

    /// Offers these mechanisms from now on: what can be offered may depend on the handshake.
    pub fn offer_auth(&mut self, mechanisms: &[Mechanism]) {
        let names = mechanisms.iter().map(|mechanism| mechanism.name().to_owned());
        self.common.settings.extensions.auth = names.collect();
    }

    /// TLS is in use from the first byte.
    pub fn tls_from_start(&mut self) {
        self.common.tls = true;
    }

    /// Whether a transaction is under way, from MAIL to the reply to its content.
    pub fn in_transaction(&self) -> bool {
        match &self.state {
            State::Commands(state) => state.in_transaction(),
            State::Greeting
            | State::StartingTls
            | State::AskingAuth(_)
            | State::AwaitingResponse(_)
            | State::Closing => false,
            _ => true,
        }
    }

    /// Whether content is coming.
    pub fn in_content(&self) -> bool {
        matches!(self.state, State::Data(_) | State::Chunk(_) | State::UnwantedChunk(_))
    }

    /// Where the session stands, as the log says it after "lost connection after".
    pub fn stage(&self) -> &'static str {
        match &self.state {
            State::Greeting => "CONNECT",
            State::Commands(_) => self.common.tally.after.unwrap_or("CONNECT"),
            State::AskingMail(_) => "MAIL",
            State::AskingRecipient(_) => "RCPT",
            State::Beginning(_) | State::Data(_) => "DATA",
            State::Chunk(_) | State::UnwantedChunk(_) => "BDAT",
            State::Ending(_) => END_OF_MESSAGE,
            State::StartingTls => "STARTTLS",
            State::AskingAuth(_) | State::AwaitingResponse(_) => "AUTH",
            State::Closing => "QUIT",
        }
    }

    /// What the client called itself, fit for a trace field: characters that have
    /// no place in a host name or literal are `?`.
    pub fn hello(&self) -> Option<&str> {
        self.common.hello.as_ref().map(|hello| hello.name.as_str())
    }

    /// The protocol as trace fields name it (RFC 3848, RFC 6531 §4.3).
    pub fn protocol(&self, smtputf8: bool) -> &'static str {
        let extended = self.common.hello.as_ref().is_some_and(|hello| hello.extended);
        let is_known = self.common.authenticated;
        match (smtputf8, extended, self.common.tls, is_known) {
            (true, _, true, true) => "UTF8SMTPSA",
            (true, _, true, false) => "UTF8SMTPS",
            (true, _, false, _) => "UTF8SMTP",
            (false, _, true, true) => "ESMTPSA",
            (false, true, true, false) => "ESMTPS",
            (false, true, false, _) => "ESMTP",
            (false, false, _, _) => "SMTP",
        }
    }

    /// What the client says of the program that it sends for: nobody has checked it.
    pub fn claims(&self) -> &[OriginClaim] {
        &self.common.claims
    }

    /// The commands that were given: name, how many succeeded, how many there were.
    pub fn command_counts(&self) -> Vec<(&'static str, u32, u32)> {
        self.common.tally.command_counts()
    }
}
