//! The client's side of the control socket, by plain blocking calls.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::ordering::OrderView;
use super::overview::{LaneView, Overview, Vitals, WarmUpView};
use super::protocol::{
    Answer, BriefAnswer, Change, ErrorCode, HealthView, NodeView, Request, RequestLine, Selection,
    Summary, VERSION,
};
use super::view::{Brief, MessageView};
use super::why::{MatchView, StoryView, UnknownView};
use crate::orders::What;

/// How long the server may take over an answer.
const PATIENCE: Duration = Duration::from_secs(120);

/// Octets of an answer line at most: a message with 100,000 recipients and their
/// reasons fits.
const MAX_ANSWER: u64 = 256 * 1024 * 1024;

/// Octets that are read at once.
const BUFFER: usize = 128 * 1024;

/// Messages that are changed with one request: their ids fit into one.
const BATCH: usize = 2000;

/// Why a request could not be done.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody answers on the socket.
    #[error("the mail server is not running ({}: {source})", path.display())]
    NotRunning {
        /// The socket.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The socket cannot be used.
    #[error("cannot reach the mail server ({}: {source})", path.display())]
    Unreachable {
        /// The socket.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The connection failed half-way.
    #[error("the connection to the mail server failed: {0}")]
    Lost(#[from] io::Error),
    /// The server's answer is not of this protocol.
    #[error("the mail server's answer was not understood: {0}")]
    Protocol(String),
    /// The server says why not.
    #[error("{message}")]
    Refused {
        /// For programs.
        code: ErrorCode,
        /// For people.
        message: String,
    },
}

/// What is known by an id, a Message-ID or an address.
#[derive(Debug)]
pub enum Known {
    /// One message.
    Story(Box<StoryView>),
    /// Several, the newest first.
    Several(Vec<MatchView>),
    /// Nothing, and why.
    Nothing(UnknownView),
}

/// A connection to the server of this machine.
#[derive(Debug)]
pub struct Client {
    stream: BufReader<UnixStream>,
}

impl Client {
    /// Connects to the server whose sockets live in `run_dir`.
    pub fn connect(run_dir: &Path) -> Result<Self, ClientError> {
        let path = run_dir.join("control");
        let stream = UnixStream::connect(&path).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
                ClientError::NotRunning { path, source }
            }
            _ => ClientError::Unreachable { path, source },
        })?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Self { stream: BufReader::with_capacity(BUFFER, stream) })
    }

    /// Hands each selected message to `each`, in the order of their ids, as it comes;
    /// an error of `each` ends the list.
    pub fn list(
        &mut self,
        selection: &Selection,
        mut each: impl FnMut(MessageView) -> io::Result<()>,
    ) -> Result<u64, ClientError> {
        self.send(Request::List(selection.clone()))?;
        loop {
            match self.answer()? {
                Answer::Message(message) => each(*message)?,
                Answer::End(summary) => return Ok(summary.count),
                other => return Err(unexpected(&other)),
            }
        }
    }

    /// Hands each selected message to `each` as a list for people shows it, with the reasons
    /// as values if `causes`.
    pub fn briefs(
        &mut self,
        selection: &Selection,
        causes: bool,
        mut each: impl FnMut(&Brief<'_>) -> io::Result<()>,
    ) -> Result<u64, ClientError> {
        self.send(Request::Brief { selection: selection.clone(), causes })?;
        let mut line = Vec::new();
        loop {
            self.line(&mut line)?;
            match serde_json::from_slice(&line) {
                Ok(BriefAnswer::Brief(brief)) => each(&brief)?,
                Ok(BriefAnswer::End(summary)) => return Ok(summary.count),
                Ok(BriefAnswer::Error { code, message }) => {
                    return Err(ClientError::Refused { code, message });
                }
                Err(error) => return Err(ClientError::Protocol(error.to_string())),
            }
        }
    }

    /// Hands each selected message to `each` as the JSON object that [`MessageView`] reads.
    pub fn documents(
        &mut self,
        selection: &Selection,
        mut each: impl FnMut(&str) -> io::Result<()>,
    ) -> Result<u64, ClientError> {
        self.send(Request::List(selection.clone()))?;
        let mut line = Vec::new();
        loop {
            self.line(&mut line)?;
            // So begins and ends an answer that is a message, as `Answer` is written.
            let document =
                line.strip_prefix(b"{\"message\":").and_then(|line| line.strip_suffix(b"}\n"));
            match document.map(std::str::from_utf8) {
                Some(Ok(document)) => each(document)?,
                Some(Err(error)) => return Err(ClientError::Protocol(error.to_string())),
                None => match self::parse(&line)? {
                    Answer::End(summary) => return Ok(summary.count),
                    other => return Err(unexpected(&other)),
                },
            }
        }
    }

    /// Hands over the ids of all selected messages, many at a time.
    pub fn ids(
        &mut self,
        selection: &Selection,
        mut each: impl FnMut(Vec<String>) -> io::Result<()>,
    ) -> Result<u64, ClientError> {
        self.send(Request::Ids(selection.clone()))?;
        loop {
            match self.answer()? {
                Answer::Ids(ids) => each(ids)?,
                Answer::End(summary) => return Ok(summary.count),
                other => return Err(unexpected(&other)),
            }
        }
    }

    /// What is queued, counted, with so many destinations at most; counts of `max_age` ago
    /// will do.
    pub fn overview(
        &mut self,
        selection: &Selection,
        most: usize,
        max_age: Duration,
    ) -> Result<Overview, ClientError> {
        let max_age = u64::try_from(max_age.as_millis()).unwrap_or(u64::MAX);
        self.send(Request::Overview { selection: selection.clone(), most, max_age })?;
        match self.answer()? {
            Answer::Overview(overview) => {
                self.end()?;
                Ok(*overview)
            }
            other => Err(unexpected(&other)),
        }
    }

    /// What went through this node, how its lanes stand, and its new addresses.
    pub fn vitals(&mut self) -> Result<(Vitals, Vec<LaneView>, Vec<WarmUpView>), ClientError> {
        self.send(Request::Vitals)?;
        match self.answer()? {
            Answer::Vitals { counts, lanes, warm_up } => {
                self.end()?;
                Ok((counts, lanes, warm_up))
            }
            other => Err(unexpected(&other)),
        }
    }

    /// What was ordered.
    pub fn orders(&mut self) -> Result<Vec<OrderView>, ClientError> {
        self.send(Request::Orders)?;
        let mut orders = Vec::new();
        loop {
            match self.answer()? {
                Answer::Order(order) => orders.push(order),
                Answer::End(_) => return Ok(orders),
                other => return Err(unexpected(&other)),
            }
        }
    }

    /// Orders something, for so many seconds if it is to end by itself.
    pub fn order(
        &mut self,
        what: What,
        seconds: Option<u64>,
        note: Option<String>,
    ) -> Result<OrderView, ClientError> {
        self.send(Request::Order { what, seconds, note })?;
        match self.answer()? {
            Answer::Order(order) => {
                self.end()?;
                Ok(order)
            }
            other => Err(unexpected(&other)),
        }
    }

    /// Takes orders back.
    pub fn take_back(&mut self, numbers: &[u64]) -> Result<Summary, ClientError> {
        self.send(Request::TakeBack { numbers: numbers.to_vec() })?;
        self.end()
    }

    /// Hands to `each` one message as it stands, in the octets of [`puerto_spool::parcel`], and
    /// its content with its size.
    pub fn parcel<E: From<ClientError>>(
        &mut self,
        id: &str,
        each: impl FnOnce(&[u8], u64, &mut dyn io::Read) -> Result<(), E>,
    ) -> Result<(), E> {
        self.send(Request::Parcel { id: id.to_owned() })?;
        let digits = match self.answer()? {
            Answer::Parcel(digits) => digits,
            other => return Err(unexpected(&other).into()),
        };
        let size = match self.answer()? {
            Answer::Body { size } => size,
            other => return Err(unexpected(&other).into()),
        };
        let octet =
            |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap_or_default(), 16);
        let entry: Result<Vec<u8>, _> = digits.as_bytes().chunks(2).map(octet).collect();
        let entry = entry.map_err(|error| ClientError::Protocol(error.to_string()))?;
        let mut content = io::Read::take(&mut self.stream, size);
        each(&entry, size, &mut content)?;
        if content.limit() > 0 {
            return Err(ClientError::Lost(io::ErrorKind::UnexpectedEof.into()).into());
        }
        Ok(self.end().map(drop)?)
    }

    /// Writes a message's octets.
    pub fn body(&mut self, id: &str, out: &mut impl Write) -> Result<(), ClientError> {
        self.send(Request::Body { id: id.to_owned() })?;
        match self.answer()? {
            Answer::Body { size } => {
                let copied = io::copy(&mut (&mut self.stream).take(size), out)?;
                if copied < size {
                    return Err(ClientError::Lost(io::ErrorKind::UnexpectedEof.into()));
                }
                self.end().map(drop)
            }
            other => Err(unexpected(&other)),
        }
    }

    /// One message.
    pub fn show(&mut self, id: &str) -> Result<MessageView, ClientError> {
        self.send(Request::Show { id: id.to_owned() })?;
        match self.answer()? {
            Answer::Message(message) => {
                self.end()?;
                Ok(*message)
            }
            other => Err(unexpected(&other)),
        }
    }

    /// Changes messages, and waits until that is on disk; `progress` hears how many have been
    /// dealt with. A retry is for the recipients that fit what they were chosen by.
    pub fn change(
        &mut self,
        (change, chosen): (Change, &Selection),
        mut ids: impl Iterator<Item = String>,
        mut progress: impl FnMut(u64),
    ) -> Result<Summary, ClientError> {
        let mut done = Summary::default();
        let mut dealt_with = 0;
        loop {
            let batch: Vec<String> = ids.by_ref().take(BATCH).collect();
            if batch.is_empty() {
                return Ok(done);
            }
            dealt_with += batch.len() as u64;
            self.send(Request::Change { change, ids: batch, chosen: chosen.clone() })?;
            let summary = self.end()?;
            done.count += summary.count;
            done.missing.extend(summary.missing);
            done.held.extend(summary.held);
            done.not_held.extend(summary.not_held);
            done.paused.extend(summary.paused);
            progress(dealt_with);
        }
    }

    /// Has waiting mail tried now: all, or that for one destination.
    pub fn flush(&mut self, destination: Option<&str>) -> Result<u64, ClientError> {
        self.send(Request::Flush { destination: destination.map(str::to_owned), id: None })?;
        self.end().map(|summary| summary.count)
    }

    /// Has one message tried now, unless it is held.
    pub fn flush_message(&mut self, id: &str) -> Result<Summary, ClientError> {
        self.send(Request::Flush { destination: None, id: Some(id.to_owned()) })?;
        self.end()
    }

    /// What is known by an id, a Message-ID or an address.
    pub fn why(&mut self, what: &str) -> Result<Known, ClientError> {
        self.send(Request::Why { what: what.to_owned() })?;
        let mut matches = Vec::new();
        loop {
            match self.answer()? {
                Answer::Match(one) => matches.push(one),
                Answer::Story(story) => {
                    self.end()?;
                    return Ok(Known::Story(story));
                }
                Answer::Unknown(unknown) => {
                    self.end()?;
                    return Ok(Known::Nothing(unknown));
                }
                Answer::End(_) => return Ok(Known::Several(matches)),
                other => return Err(unexpected(&other)),
            }
        }
    }

    /// Has the history forget all mail from or to an address. Says how many messages.
    pub fn forget(&mut self, address: &str) -> Result<u64, ClientError> {
        self.send(Request::Forget { address: address.to_owned() })?;
        self.end().map(|summary| summary.count)
    }

    /// How the server fares.
    pub fn health(&mut self) -> Result<HealthView, ClientError> {
        self.send(Request::Health)?;
        match self.answer()? {
            Answer::Health(health) => {
                self.end()?;
                Ok(health)
            }
            other => Err(unexpected(&other)),
        }
    }

    /// Who shares the queue.
    pub fn nodes(&mut self) -> Result<Vec<NodeView>, ClientError> {
        self.send(Request::Nodes)?;
        let mut nodes = Vec::new();
        loop {
            match self.answer()? {
                Answer::Node(node) => nodes.push(node),
                Answer::End(_) => return Ok(nodes),
                other => return Err(unexpected(&other)),
            }
        }
    }

    /// Has the server read its configuration again.
    pub fn reload(&mut self) -> Result<(), ClientError> {
        self.send(Request::Reload)?;
        self.end().map(|_| ())
    }

    /// Has the server ask for another certificate, with a new key or the old one.
    pub fn renew(&mut self, new_key: bool) -> Result<(), ClientError> {
        self.send(Request::Renew { new_key })?;
        self.end().map(|_| ())
    }

    fn send(&mut self, request: Request) -> Result<(), ClientError> {
        let line = RequestLine { version: VERSION, request };
        let mut octets = serde_json::to_vec(&line).map_err(io::Error::from)?;
        octets.push(b'\n');
        // A server that is too busy says so and hangs up before it reads this; what
        // it said tells more than the broken pipe.
        match self.stream.get_mut().write_all(&octets) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            result => Ok(result?),
        }
    }

    fn end(&mut self) -> Result<Summary, ClientError> {
        match self.answer()? {
            Answer::End(summary) => Ok(summary),
            other => Err(unexpected(&other)),
        }
    }

    fn answer(&mut self) -> Result<Answer, ClientError> {
        let mut line = Vec::new();
        self.line(&mut line)?;
        parse(&line)
    }

    // The next line, in the place of the one before.
    fn line(&mut self, line: &mut Vec<u8>) -> Result<(), ClientError> {
        line.clear();
        match (&mut self.stream).take(MAX_ANSWER).read_until(b'\n', line)? {
            0 => Err(ClientError::Lost(io::ErrorKind::UnexpectedEof.into())),
            _ => Ok(()),
        }
    }
}

fn parse(line: &[u8]) -> Result<Answer, ClientError> {
    match serde_json::from_slice(line) {
        Ok(Answer::Error { code, message }) => Err(ClientError::Refused { code, message }),
        Ok(answer) => Ok(answer),
        Err(error) => Err(ClientError::Protocol(error.to_string())),
    }
}

fn unexpected(answer: &Answer) -> ClientError {
    let word = match answer {
        Answer::Message(_) => "message",
        Answer::Ids(_) => "ids",
        Answer::Order(_) => "order",
        Answer::Overview(_) => "overview",
        Answer::Vitals { .. } => "vitals",
        Answer::Body { .. } => "body",
        Answer::Parcel(_) => "parcel",
        Answer::Story(_) => "story",
        Answer::Match(_) => "match",
        Answer::Unknown(_) => "unknown",
        Answer::Health(_) => "health",
        Answer::Node(_) => "node",
        Answer::End(_) => "end",
        Answer::Error { .. } => "error",
    };
    ClientError::Protocol(format!("`{word}` was not expected"))
}
