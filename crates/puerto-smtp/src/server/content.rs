//! The states in which content comes, by DATA (RFC 5321 §4.1.1.4) or by BDAT (RFC 3030).

use super::commands::{Commands, Transaction};
use super::common::{Answer, Common};
use super::session::{Event, Next, State};
use super::{Action, Discard};
use crate::codec::{ChunkDecoder, ContentFault, DataDecoder};
use crate::command::Verb;
use crate::envelope::Envelope;
use crate::limits::MAX_DISCARDED_CONTENT;
use crate::reply::Reply;

/// How content is to come.
#[derive(Debug, Clone, Copy)]
pub(super) enum Transfer {
    Data,
    Chunk { size: u64, last: bool },
}

/// DATA or the first BDAT waits for its answer.
#[derive(Debug)]
pub(super) struct Beginning {
    envelope: Envelope,
    transfer: Transfer,
}

impl Beginning {
    pub(super) fn new(envelope: Envelope, transfer: Transfer) -> Self {
        Self { envelope, transfer }
    }

    pub(super) fn question(&self) -> Action<'_> {
        Action::BeginContent(&self.envelope)
    }

    pub(super) fn answered(self, answer: Answer<'_>, common: &mut Common) -> State {
        let refusal = match answer {
            Answer::Reply(reply) if !reply.is_positive() => Some(reply),
            _ => None,
        };
        match (self.transfer, refusal) {
            (Transfer::Data, Some(reply)) => {
                common.conclude(Verb::Data, reply);
                State::Commands(Commands::default())
            }
            (Transfer::Data, None) => {
                common.write("354 End data with <CR><LF>.<CR><LF>\r\n");
                let decoder = common.data_decoder();
                State::Data(Data { envelope: self.envelope, decoder, refusal: None })
            }
            (Transfer::Chunk { size, .. }, Some(reply)) => {
                State::UnwantedChunk(UnwantedChunk::new(size, reply.clone()))
            }
            (Transfer::Chunk { size, last }, None) => {
                let decoder = common.chunk_decoder();
                State::Chunk(Chunk::new(self.envelope, decoder, (size, last)))
            }
        }
    }
}

/// Content is coming by DATA.
#[derive(Debug)]
pub(super) struct Data {
    envelope: Envelope,
    decoder: DataDecoder,
    /// It is being read to its end only to be refused with this.
    refusal: Option<Reply>,
}

impl Data {
    /// Reads up to the end of the input or of the message.
    pub(super) fn read(mut self, common: &mut Common) -> Next {
        let unread = common.unread();
        if unread.is_empty() {
            return (State::Data(self), Some(Event::Read));
        }
        let step = self.decoder.decode(unread);
        let (consumed, length, ended) = (step.consumed, step.content.len(), step.ended);
        let restored = step.restored;
        // The content is at the end of what was consumed, but for the final dot.
        let end = common.take(consumed).end;
        if let Some(reply) = &self.refusal {
            if !common.may_discard(consumed) {
                return give_up(reply, common);
            }
        } else if let Some((why, reply)) = self.fault(common) {
            self.refusal = Some(reply);
            let next = if ended { self.end(common).0 } else { State::Data(self) };
            return (next, Some(Event::Discard(why)));
        }
        if ended {
            return self.end(common);
        }
        let event = match (self.refusal.is_none(), restored.is_empty()) {
            (true, false) => Some(Event::Restored(restored)),
            (true, true) if length > 0 => Some(Event::Content(end - length..end)),
            _ => None,
        };
        (State::Data(self), event)
    }

    /// Why what has come is not fit to be kept.
    fn fault(&self, common: &Common) -> Option<(Discard, Reply)> {
        if let Some(fault) = self.decoder.fault() {
            return Some((Discard::Fault(fault), malformed(fault)));
        }
        let too_large = common.settings.too_large(self.decoder.octets())?;
        Some((Discard::TooLarge, too_large))
    }

    fn end(self, common: &mut Common) -> Next {
        let Some(reply) = self.refusal else {
            let ending = State::Ending(Ending { verb: Verb::Data });
            return (ending, Some(Event::EndContent(self.envelope)));
        };
        // Whoever sends a bare CR or LF may believe that the message ended there,
        // and go on with what it takes for commands and we for anything.
        let closes = self.decoder.fault().is_some() || reply.closes();
        common.reject(Verb::Data, reply, Some(self.envelope.reverse_path));
        if closes { (State::Closing, None) } else { Commands::default().go_on(common) }
    }

    /// The driver cannot keep it; the first refusal stands.
    pub(super) fn refused(self, reply: Reply) -> Self {
        Self { refusal: self.refusal.or(Some(reply)), ..self }
    }
}

/// A chunk is coming by BDAT.
#[derive(Debug)]
pub(super) struct Chunk {
    envelope: Envelope,
    decoder: ChunkDecoder,
    size: u64,
    left: u64,
    last: bool,
}

impl Chunk {
    pub(super) fn new(
        envelope: Envelope,
        decoder: ChunkDecoder,
        (size, last): (u64, bool),
    ) -> Self {
        Self { envelope, decoder, size, left: size, last }
    }

    /// Reads up to the end of the input or of the chunk.
    pub(super) fn read(mut self, common: &mut Common) -> Next {
        let promised = self.decoder.octets().saturating_add(self.left);
        if let Some(reply) = common.settings.too_large(promised) {
            return self.unwanted(Discard::TooLarge, reply, common);
        }
        if self.left == 0 {
            return self.end(common);
        }
        let unread = common.unread();
        if unread.is_empty() {
            return (State::Chunk(self), Some(Event::Read));
        }
        let take = usize::try_from(self.left).unwrap_or(usize::MAX).min(unread.len());
        self.decoder.push(unread.get(..take).unwrap_or_default());
        let taken = common.take(take);
        self.left -= take as u64;
        if let Some(fault) = self.decoder.fault() {
            return self.unwanted(Discard::Fault(fault), malformed(fault), common);
        }
        (State::Chunk(self), Some(Event::Content(taken)))
    }

    fn unwanted(self, why: Discard, reply: Reply, common: &mut Common) -> Next {
        let unwanted = UnwantedChunk::new(self.left, reply.clone());
        common.note("BDAT", reply, Some(self.envelope.reverse_path));
        (State::UnwantedChunk(unwanted), Some(Event::Discard(why)))
    }

    fn end(self, common: &mut Common) -> Next {
        if !self.last {
            let text = format!("Ok: {} octets received", self.size);
            common.conclude(Verb::Bdat, &Reply::enhanced(250, (2, 0, 0), text));
            let transaction = Transaction { envelope: self.envelope, chunks: Some(self.decoder) };
            return (State::Commands(transaction.into()), None);
        }
        if let Some(fault) = self.decoder.finish() {
            return self.unwanted(Discard::Fault(fault), malformed(fault), common);
        }
        let ending = State::Ending(Ending { verb: Verb::Bdat });
        (ending, Some(Event::EndContent(self.envelope)))
    }

    /// The driver cannot keep it.
    pub(super) fn refused(self, reply: Reply) -> UnwantedChunk {
        UnwantedChunk::new(self.left, reply)
    }
}

/// A chunk is coming that nobody wants.
#[derive(Debug)]
pub(super) struct UnwantedChunk {
    left: u64,
    /// For when it has come.
    reply: Reply,
}

impl UnwantedChunk {
    pub(super) fn new(left: u64, reply: Reply) -> Self {
        Self { left, reply }
    }

    /// Reads exactly as many octets as were announced, and then says so (RFC 3030 §2).
    pub(super) fn read(mut self, common: &mut Common) -> Next {
        let unread = common.unread().len();
        let take = usize::try_from(self.left).unwrap_or(usize::MAX).min(unread);
        common.take(take);
        self.left -= take as u64;
        if !common.may_discard(take) || self.left > MAX_DISCARDED_CONTENT {
            return give_up(&self.reply, common);
        }
        if self.left > 0 {
            return (State::UnwantedChunk(self), Some(Event::Read));
        }
        common.conclude(Verb::Bdat, &self.reply);
        if self.reply.closes() {
            return (State::Closing, None);
        }
        Commands::default().go_on(common)
    }
}

/// Too much would be read only to be thrown away.
fn give_up(reply: &Reply, common: &mut Common) -> Next {
    common.say(reply);
    (State::Closing, None)
}

/// Where a session is after a whole message, in Postfix's words.
pub(super) const END_OF_MESSAGE: &str = "END-OF-MESSAGE";

/// The whole message waits for its answer.
#[derive(Debug)]
pub(super) struct Ending {
    verb: Verb,
}

impl Ending {
    pub(super) fn answered(self, answer: Answer<'_>, common: &mut Common) -> State {
        common.conclude_with(self.verb, answer, "250 2.0.0 Ok\r\n");
        common.tally.after = Some(END_OF_MESSAGE);
        if answer.is_positive() {
            common.forgive();
        }
        State::Commands(Commands::default())
    }
}

fn malformed(fault: ContentFault) -> Reply {
    Reply::enhanced(550, (5, 5, 2), format!("Error: {fault}"))
}
