//! Hands a letter to the server's local socket, as `sendmail` does, and measures how
//! long the promise takes: from the final dot to the reply that says `queued as`.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use puerto_smtp::address::Domain;
use puerto_smtp::client::{Connection, Failure, Fate, Loss, Protocol, Step, Transaction};
use puerto_smtp::codec::DotStuffer;
use puerto_smtp::{Address, Recipient, Reply, ReversePath};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::Instant;

use super::story::Letter;
use crate::lang::{Said, address_error, said, said_of, system};

/// For each step: the server is on this machine.
const PATIENCE: Duration = Duration::from_secs(10);

/// What the server promised.
#[derive(Debug, Clone)]
pub(super) struct Promise {
    /// The reply to the content.
    pub(super) reply: Reply,
    /// How long the server took to give it: to parse, sign and sync.
    pub(super) took: Duration,
}

impl Promise {
    /// The id that the reply names.
    pub(super) fn id(&self) -> Option<String> {
        self.reply.text().split_once("queued as ").map(|(_, id)| id.trim().to_owned())
    }
}

/// Why there is no promise.
#[derive(Debug)]
pub(super) enum NotTaken {
    /// What the server replied, or how it went away.
    Failed(Failure),
    /// What else it is, for people.
    Otherwise(Said),
}

impl From<Said> for NotTaken {
    fn from(said: Said) -> Self {
        Self::Otherwise(said)
    }
}

impl From<NotTaken> for Said {
    fn from(not_taken: NotTaken) -> Self {
        match not_taken {
            NotTaken::Failed(failure) => Self::from(&failure),
            NotTaken::Otherwise(said) => said,
        }
    }
}

/// Submits a letter.
pub(super) async fn submit(socket: &Path, letter: &Letter) -> Result<Promise, NotTaken> {
    let to = letter.recipients.iter().map(|recipient| recipient.to.clone()).collect();
    hand_in(Counter::Socket(socket), (&letter.from, to), letter.text()).await
}

/// Where a message is handed in.
#[derive(Debug, Clone, Copy)]
pub(super) enum Counter<'a> {
    /// The socket that `sendmail` uses.
    Socket(&'a Path),
    /// A port for SMTP.
    Port(SocketAddr),
}

/// Hands a message in: its sender, its recipients, its text.
pub(super) async fn hand_in(
    counter: Counter<'_>,
    (from, to): (&Address, Vec<Address>),
    content: String,
) -> Result<Promise, NotTaken> {
    let cannot = |place: String, error: &io::Error| {
        said_of!(
            "cannot connect to {socket}: {error}", "no se puede conectar con {socket}: {error}";
            socket = Said::words(place), error = system(error)
        )
    };
    let stream: Box<dyn Stream> = match counter {
        Counter::Socket(path) => {
            let stream = UnixStream::connect(path).await;
            Box::new(stream.map_err(|error| cannot(path.display().to_string(), &error))?)
        }
        Counter::Port(address) => {
            let stream = TcpStream::connect(address).await;
            Box::new(stream.map_err(|error| cannot(address.to_string(), &error))?)
        }
    };
    let name = Domain::parse("localhost").map_err(|error| address_error(&error))?;
    let connection = Connection::new(Protocol::Smtp, name, false);
    Submission { stream, connection, content, dotted: None }.run(from, to).await
}

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

struct Submission {
    stream: Box<dyn Stream>,
    connection: Connection,
    content: String,
    // When the final dot went out.
    dotted: Option<Instant>,
}

impl Submission {
    async fn run(mut self, from: &Address, to: Vec<Address>) -> Result<Promise, NotTaken> {
        let from = ReversePath::Address(from.clone());
        let recipients: Vec<Recipient> = to.into_iter().map(Recipient::new).collect();
        let ended = said!("the server ended the session", "el servidor ha cerrado la sesión");
        let mut promise = Err(ended.into());
        loop {
            match self.connection.poll() {
                Step::Ready if self.connection.transactions() == 0 => {
                    self.connection.begin(&Transaction {
                        reverse_path: &from,
                        recipients: &recipients.iter().collect::<Vec<_>>(),
                        envelope_id: None,
                        ret: None,
                        verp: None,
                        size: self.content.len() as u64,
                        eight_bit: !self.content.is_ascii(),
                        utf8_header: false,
                        require_tls: false,
                    });
                }
                Step::Ready => drop(self.connection.quit()),
                Step::Finished => promise = self.read_promise(),
                Step::Failed(failure) | Step::Refused(failure) => {
                    return Err(NotTaken::Failed(failure));
                }
                Step::Closed | Step::Handshake => return promise,
                step => match tokio::time::timeout(PATIENCE, self.perform(&step)).await {
                    Ok(Ok(())) => {}
                    Ok(Err(_)) => self.connection.lost(Loss::Closed),
                    Err(_) => self.connection.lost(Loss::TimedOut),
                },
            }
        }
    }

    fn read_promise(&mut self) -> Result<Promise, NotTaken> {
        let took = self.dotted.map_or(Duration::ZERO, |since| since.elapsed());
        let mut promise =
            Err(said!("the server said nothing", "el servidor no ha dicho nada").into());
        for fate in self.connection.take_fates() {
            match fate {
                Fate::Accepted(reply) => promise = Ok(Promise { reply, took }),
                Fate::Failed(failure) => return Err(NotTaken::Failed(failure)),
                Fate::Remaining => {
                    return Err(said!(
                        "the server takes no more recipients",
                        "el servidor no admite más destinatarios"
                    )
                    .into());
                }
            }
        }
        promise
    }

    async fn perform(&mut self, step: &Step) -> io::Result<()> {
        match step {
            Step::Send => self.stream.write_all(&self.connection.take_output()).await,
            Step::Content => {
                let mut out = Vec::new();
                let mut stuffer = DotStuffer::new();
                stuffer.push(self.content.as_bytes(), &mut out);
                stuffer.finish(&mut out);
                self.connection.content_ending();
                self.dotted = Some(Instant::now());
                self.stream.write_all(&out).await
            }
            _ => {
                let mut buffer = [0; 4096];
                match self.stream.read(&mut buffer).await? {
                    0 => Err(io::ErrorKind::UnexpectedEof.into()),
                    count => {
                        self.connection.feed(buffer.get(..count).unwrap_or_default());
                        Ok(())
                    }
                }
            }
        }
    }
}
