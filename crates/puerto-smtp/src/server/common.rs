//! What outlives the states of a session: what the client sent and nobody has read yet,
//! what it is told, and what is counted.

use std::ops::Range;

use super::{Refusal, Settings};
use crate::address::ReversePath;
use crate::base64;
use crate::codec::{ChunkDecoder, ContentFault, DataDecoder, Line, LineDecoder};
use crate::command::{Command, OriginClaim, Refused, Verb};
use crate::limits::{MAX_AUTH_LINE, MAX_DISCARDED_CONTENT, MAX_DOMAIN, MAX_ERRORS};
use crate::reply::{Reply, Severity};

/// Commands that move no mail (NOOP, RSET, VRFY, HELP, EHLO) between two messages
/// before each counts as an error.
const MAX_IDLE_COMMANDS: u32 = 100;

/// What the driver answered.
#[derive(Debug, Clone, Copy)]
pub(super) enum Answer<'a> {
    Usual,
    Reply(&'a Reply),
}

impl Answer<'_> {
    pub(super) fn is_positive(self) -> bool {
        matches!(self, Self::Usual) || matches!(self, Self::Reply(reply) if reply.is_positive())
    }

    pub(super) fn closes(self) -> bool {
        matches!(self, Self::Reply(reply) if reply.closes())
    }
}

/// What every state is handed.
#[derive(Debug)]
pub(super) struct Common {
    pub(super) settings: Settings,
    lines: LineDecoder,
    input: Vec<u8>,
    /// How much of the input has been read.
    position: usize,
    output: Vec<u8>,
    output_taken: bool,
    refused: Option<Refusal>,
    pub(super) hello: Option<Hello>,
    pub(super) tls: bool,
    /// The client has logged in.
    pub(super) authenticated: bool,
    /// What the client says of the program that it sends for.
    pub(super) claims: Vec<OriginClaim>,
    pub(super) tally: Tally,
}

/// What a client may say within AUTH instead of a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoResponse {
    /// It has changed its mind.
    Cancelled,
    NotBase64,
    TooLong,
    /// Where the next line begins is a matter of opinion, or never.
    Hopeless,
}

/// How the client introduced itself.
#[derive(Debug, Clone)]
pub(super) struct Hello {
    pub(super) name: String,
    pub(super) extended: bool,
}

/// What the client did so far.
#[derive(Debug, Default)]
pub(super) struct Tally {
    errors: u32,
    idle_commands: u32,
    discarded: u64,
    /// For each verb: how many commands succeeded, and all.
    commands: [(u32, u32); Verb::COUNT],
    unknown: u32,
    /// After what the client is, in Postfix's words, which filters of logs know.
    pub(super) after: Option<&'static str>,
}

impl Common {
    pub(super) fn new(settings: Settings) -> Self {
        Self {
            lines: line_decoder(&settings),
            settings,
            input: Vec::new(),
            position: 0,
            output: Vec::new(),
            output_taken: false,
            refused: None,
            hello: None,
            tls: false,
            authenticated: false,
            claims: Vec::new(),
            tally: Tally::default(),
        }
    }

    /// A buffer with room for that many octets behind those that are unread.
    pub(super) fn room(&mut self, room: usize) -> &mut Vec<u8> {
        if self.position > 0 {
            self.input.drain(..self.position.min(self.input.len()));
            self.position = 0;
        }
        if self.input.is_empty() && self.input.capacity() < room {
            // A larger one would begin as a copy of what nobody reads any more.
            self.input = Vec::with_capacity(room);
        }
        self.input.reserve(room);
        &mut self.input
    }

    pub(super) fn unread(&self) -> &[u8] {
        self.input.get(self.position..).unwrap_or_default()
    }

    /// Marks so many octets as read; says where they are, until there is to be more room.
    pub(super) fn take(&mut self, octets: usize) -> Range<usize> {
        let begin = self.position;
        self.position += octets;
        begin..self.position
    }

    pub(super) fn taken(&self, range: Range<usize>) -> &[u8] {
        self.input.get(range).unwrap_or_default()
    }

    /// The next command, or why what stands in its place is none. `None` while its line
    /// has no end.
    pub(super) fn next_command(&mut self) -> Option<Result<Command, Refused>> {
        let no_command = |text: String, fatal| {
            let reply = Reply::enhanced(500, (5, 5, 2), text);
            Err(Refused { verb: None, reply, fatal })
        };
        let too_long = || "Error: command line too long".to_owned();
        let unread = self.input.get(self.position..).unwrap_or_default();
        let (consumed, line) = self.lines.decode(unread);
        self.position += consumed;
        Some(match line? {
            Line::Command(line) if self.settings.lenient => Command::parse_leniently(line),
            Line::Command(line) => Command::parse(line),
            Line::BareLf => no_command(format!("Error: {}", ContentFault::BareLf), true),
            Line::TooLong { announces_chunk } => no_command(too_long(), announces_chunk),
            Line::Endless => no_command(too_long(), true),
        })
    }

    /// The next line of AUTH, decoded, or why it is none. `None` while it has no end.
    pub(super) fn next_response(&mut self) -> Option<Result<Vec<u8>, NoResponse>> {
        let unread = self.input.get(self.position..).unwrap_or_default();
        let (consumed, line) = self.lines.decode_within(MAX_AUTH_LINE, unread);
        self.position += consumed;
        Some(match line? {
            Line::Command(b"*") => Err(NoResponse::Cancelled),
            // As it is written on the line of AUTH, where an empty one could not be seen.
            Line::Command(b"=") => Ok(Vec::new()),
            Line::Command(line) => base64::decode(line).ok_or(NoResponse::NotBase64),
            Line::TooLong { .. } => Err(NoResponse::TooLong),
            Line::BareLf | Line::Endless => Err(NoResponse::Hopeless),
        })
    }

    pub(super) fn data_decoder(&self) -> DataDecoder {
        match self.settings.lenient {
            true => DataDecoder::lenient(self.lines.ended_oddly()),
            false => DataDecoder::new(),
        }
    }

    pub(super) fn chunk_decoder(&self) -> ChunkDecoder {
        if self.settings.lenient { ChunkDecoder::lenient() } else { ChunkDecoder::new() }
    }

    pub(super) fn write(&mut self, line: &str) {
        self.output.extend_from_slice(line.as_bytes());
    }

    pub(super) fn say(&mut self, reply: &Reply) {
        reply.write_to(&mut self.output);
    }

    /// What is to be sent, if there is anything. It is forgotten by
    /// [`Common::forget_sent`].
    pub(super) fn outgoing(&mut self) -> Option<&[u8]> {
        self.output_taken = !self.output.is_empty();
        self.output_taken.then_some(&self.output)
    }

    pub(super) fn forget_sent(&mut self) {
        if std::mem::take(&mut self.output_taken) {
            self.output.clear();
        }
    }

    /// Replies to a command that succeeded with a line of ours, and counts it.
    pub(super) fn done(&mut self, verb: Verb, line: &str) {
        self.write(line);
        self.tally.command(verb, Severity::Positive);
    }

    /// Replies to a command and counts it.
    pub(super) fn conclude(&mut self, verb: Verb, reply: &Reply) {
        self.say(reply);
        self.tally.command(verb, reply.severity());
    }

    /// Replies with the driver's answer; `usual` is the line for the usual one.
    pub(super) fn conclude_with(&mut self, verb: Verb, answer: Answer<'_>, usual: &str) {
        match answer {
            Answer::Usual => self.done(verb, usual),
            Answer::Reply(reply) => self.conclude(verb, reply),
        }
    }

    /// Refuses a command, which the log hears of.
    pub(super) fn reject(&mut self, verb: Verb, reply: Reply, from: Option<ReversePath>) {
        self.conclude(verb, &reply);
        self.note(verb.name(), reply, from);
    }

    /// Refuses what was no command at all.
    pub(super) fn refuse_unknown(&mut self, reply: &Reply) {
        self.say(reply);
        self.tally.unknown += 1;
        self.tally.after = Some("UNKNOWN");
        self.tally.errors += 1;
    }

    /// Keeps a refusal for the log, which hears of it next.
    pub(super) fn note(&mut self, stage: &'static str, reply: Reply, from: Option<ReversePath>) {
        self.refused = Some(Refusal { stage, reply, from });
    }

    pub(super) fn take_refusal(&mut self) -> Option<Refusal> {
        self.refused.take()
    }

    /// Whether there have been too many errors, in which case the client is told so.
    pub(super) fn gives_up(&mut self) -> bool {
        let gives_up = self.tally.errors > MAX_ERRORS;
        if gives_up {
            self.say(&Reply::enhanced(421, (4, 7, 0), "Error: too many errors"));
        }
        gives_up
    }

    /// A message was taken: what the client did before it is forgiven.
    pub(super) fn forgive(&mut self) {
        (self.tally.errors, self.tally.idle_commands) = (0, 0);
    }

    /// Counts octets of content that are thrown away; `false` when there have been
    /// too many in this session.
    pub(super) fn may_discard(&mut self, octets: usize) -> bool {
        self.tally.discarded = self.tally.discarded.saturating_add(octets as u64);
        self.tally.discarded <= MAX_DISCARDED_CONTENT
    }

    pub(super) fn set_hello(&mut self, name: &str, extended: bool) {
        let clean = |c: char| match c {
            'a'..='z' | 'A'..='Z' | '0'..='9' | '.' | '-' | '_' | ':' | '[' | ']' => c,
            _ => '?',
        };
        let name = name.chars().take(MAX_DOMAIN).map(clean).collect();
        self.hello = Some(Hello { name, extended });
    }

    /// Nothing that was said before TLS is known after it (RFC 3207 §4.2).
    pub(super) fn tls_established(&mut self) {
        self.tls = true;
        self.hello = None;
        self.input.clear();
        self.position = 0;
        self.lines = line_decoder(&self.settings);
    }
}

fn line_decoder(settings: &Settings) -> LineDecoder {
    if settings.lenient { LineDecoder::lenient() } else { LineDecoder::new() }
}

impl Tally {
    fn command(&mut self, verb: Verb, severity: Severity) {
        self.after = Some(verb.name());
        if let Some((successes, all)) = self.commands.get_mut(verb.index()) {
            *successes += u32::from(severity == Severity::Positive);
            *all += 1;
        }
        self.errors += u32::from(severity == Severity::Permanent);
        if matches!(verb, Verb::Noop | Verb::Rset | Verb::Vrfy | Verb::Help | Verb::Ehlo) {
            self.idle_commands += 1;
            self.errors += u32::from(self.idle_commands > MAX_IDLE_COMMANDS);
        }
    }

    pub(super) fn command_counts(&self) -> Vec<(&'static str, u32, u32)> {
        const NAMES: [&str; Verb::COUNT] = [
            "ehlo", "helo", "starttls", "auth", "mail", "rcpt", "bdat", "data", "rset", "noop",
            "quit", "vrfy", "expn", "etrn", "turn", "help", "xorigin",
        ];
        let known = NAMES.iter().zip(&self.commands);
        let known = known.map(|(name, (succeeded, all))| (*name, *succeeded, *all));
        known
            .chain(std::iter::once(("unknown", 0, self.unknown)))
            .filter(|(_, _, all)| *all > 0)
            .collect()
    }
}
