//! How content comes, by DATA (RFC 5321 §4.1.1.4) or by BDAT (RFC 3030).

use super::Discard;
use super::session::{Chunk, Data, Event, Session, State, Transaction, Transfer};
use crate::codec::{ChunkDecoder, ContentFault, DataDecoder};
use crate::command::Verb;
use crate::envelope::Envelope;
use crate::reply::Reply;

type Next = (State, Option<Event>);

impl Session {
    /// The driver has answered that content may come.
    pub(super) fn begin(&mut self, transaction: Transaction, transfer: Transfer) -> State {
        match transfer {
            Transfer::Data => {
                self.output.extend_from_slice(b"354 End data with <CR><LF>.<CR><LF>\r\n");
                let decoder = if self.settings.lenient {
                    DataDecoder::lenient(self.lines.ended_oddly())
                } else {
                    DataDecoder::new()
                };
                State::Data(Data { envelope: transaction.envelope, decoder, refusal: None })
            }
            Transfer::Chunk { size, last } => {
                let lenient = self.settings.lenient;
                let decoder = if lenient { ChunkDecoder::lenient() } else { ChunkDecoder::new() };
                self.continue_chunks(transaction.envelope, decoder, size, last)
            }
        }
    }

    pub(super) fn continue_chunks(
        &mut self,
        envelope: Envelope,
        decoder: ChunkDecoder,
        size: u64,
        last: bool,
    ) -> State {
        State::Chunk(Chunk { envelope, decoder, size, left: size, last })
    }

    /// Reads content after DATA up to the end of the input or of the message.
    pub(super) fn read_data(&mut self, mut data: Data) -> Next {
        let unread = self.input.get(self.position..).unwrap_or_default();
        if unread.is_empty() {
            return (State::Data(data), Some(Event::Read));
        }
        let step = data.decoder.decode(unread);
        let (consumed, length, ended) = (step.consumed, step.content.len(), step.ended);
        let restored = step.restored;
        // The content is at the end of what was consumed, but for the final dot.
        let end = self.position + consumed;
        self.position = end;
        if data.refusal.is_none() {
            if let Some(event) = self.judge(&mut data) {
                let state = if ended { self.end_data(data).0 } else { State::Data(data) };
                return (state, Some(event));
            }
        } else if !self.may_discard(consumed as u64) {
            return (self.give_up(data.refusal), None);
        }
        if ended {
            return self.end_data(data);
        }
        let event = match (data.refusal.is_none(), restored.is_empty()) {
            (true, false) => Some(Event::Restored(restored)),
            (true, true) if length > 0 => Some(Event::Content(end - length..end)),
            _ => None,
        };
        (State::Data(data), event)
    }

    /// Whether what has come is still fit to be kept.
    fn judge(&self, data: &mut Data) -> Option<Event> {
        let (why, reply) = if let Some(fault) = data.decoder.fault() {
            (Discard::Fault(fault), malformed(fault))
        } else if self.size_limit().is_some_and(|limit| data.decoder.octets() > limit) {
            (Discard::TooLarge, self.too_large())
        } else {
            return None;
        };
        data.refusal = Some(reply);
        Some(Event::Discard(why))
    }

    fn end_data(&mut self, data: Data) -> Next {
        let fault = data.decoder.fault();
        let Some(reply) = data.refusal else {
            let state = State::Ending { verb: Verb::Data };
            return (state, Some(Event::EndContent(data.envelope)));
        };
        self.conclude(Verb::Data, &reply);
        // Whoever sends a bare CR or LF may believe that the message ended there,
        // and go on with what it takes for commands and we for anything.
        let closes = fault.is_some() || reply.closes();
        self.note("DATA", reply, Some(data.envelope.reverse_path));
        if closes { (State::Closing, None) } else { self.commands(None) }
    }

    fn give_up(&mut self, refusal: Option<Reply>) -> State {
        let reply = refusal.unwrap_or_else(|| self.too_large());
        self.say(&reply);
        State::Closing
    }

    /// Reads a chunk up to the end of the input or of the chunk.
    pub(super) fn read_chunk(&mut self, mut chunk: Chunk) -> Next {
        let seen = chunk.decoder.octets();
        let promised = seen.saturating_add(chunk.left);
        if self.size_limit().is_some_and(|limit| promised > limit) {
            let reply = self.too_large();
            return self.unwant(chunk, Discard::TooLarge, reply);
        }
        if chunk.left == 0 {
            return self.end_chunk(chunk);
        }
        let unread = self.input.get(self.position..).unwrap_or_default();
        if unread.is_empty() {
            return (State::Chunk(chunk), Some(Event::Read));
        }
        let take = usize::try_from(chunk.left).unwrap_or(usize::MAX).min(unread.len());
        chunk.decoder.push(unread.get(..take).unwrap_or_default());
        let range = self.position..self.position + take;
        self.position += take;
        chunk.left -= take as u64;
        if let Some(fault) = chunk.decoder.fault() {
            return self.unwant(chunk, Discard::Fault(fault), malformed(fault));
        }
        (State::Chunk(chunk), Some(Event::Content(range)))
    }

    fn unwant(&mut self, chunk: Chunk, why: Discard, reply: Reply) -> Next {
        let from = chunk.envelope.reverse_path;
        self.note("BDAT", reply.clone(), Some(from));
        (State::UnwantedChunk { left: chunk.left, reply }, Some(Event::Discard(why)))
    }

    fn end_chunk(&mut self, chunk: Chunk) -> Next {
        let Chunk { envelope, decoder, size, last, .. } = chunk;
        if !last {
            let text = format!("Ok: {size} octets received");
            self.conclude(Verb::Bdat, &Reply::enhanced(250, (2, 0, 0), text));
            return (State::Commands(Some(Transaction { envelope, chunks: Some(decoder) })), None);
        }
        if let Some(fault) = decoder.finish() {
            let reply = malformed(fault);
            self.note("BDAT", reply.clone(), Some(envelope.reverse_path));
            let state = State::UnwantedChunk { left: 0, reply };
            return (state, Some(Event::Discard(Discard::Fault(fault))));
        }
        let state = State::Ending { verb: Verb::Bdat };
        (state, Some(Event::EndContent(envelope)))
    }

    /// Reads the octets of a chunk that was refused, exactly as many as were
    /// announced, and then says so (RFC 3030 §2).
    pub(super) fn discard_chunk(&mut self, left: u64, reply: Reply) -> Next {
        let unread = self.unread().len();
        let take = usize::try_from(left).unwrap_or(usize::MAX).min(unread);
        self.position += take;
        let left = left - take as u64;
        if !self.may_discard(take as u64) || left > crate::limits::MAX_DISCARDED_CONTENT {
            return (self.give_up(Some(reply)), None);
        }
        if left > 0 {
            return (State::UnwantedChunk { left, reply }, Some(Event::Read));
        }
        self.conclude(Verb::Bdat, &reply);
        if reply.closes() { (State::Closing, None) } else { self.commands(None) }
    }
}

fn malformed(fault: ContentFault) -> Reply {
    Reply::enhanced(550, (5, 5, 2), format!("Error: {fault}"))
}
