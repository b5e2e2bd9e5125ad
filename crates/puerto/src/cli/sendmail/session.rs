//! One SMTP session with the server of this machine, over its local socket, by
//! plain blocking calls.
//!
//! The next hop's client in `puerto_smtp::client` serves as many recipients as it
//! can; here none is to get the message unless all can. So the content is offered
//! only after every recipient was accepted, and commands go out in groups that are
//! smaller than the number of mistakes after which a server hangs up.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use puerto_smtp::client::{Transaction, commands};
use puerto_smtp::codec::DotStuffer;
use puerto_smtp::extension::Extensions;
use puerto_smtp::limits::{ClientTimeouts, MAX_COMMAND_LINE, MAX_ERRORS};
use puerto_smtp::reply::{ReplyDecoder, ReplyError, Severity};
use puerto_smtp::{Address, Envelope, Recipient, Reply};
use puerto_spool::clock::{Clock as _, SystemClock};

use super::compose::Submission;
use super::input::BLOCK;
use crate::cli::exit::{Failure, Sysexit, and_try_again, client_error};
use crate::cli::output::printable;
use crate::control::protocol::ErrorCode;
use crate::control::{Client, ClientError};
use crate::lang::{Said, Text, reply_error, said, said_of, system};
use crate::telemetry::bounded;

/// Commands that are sent before their replies are read.
pub(super) const GROUP: usize = (MAX_ERRORS as usize) * 3 / 4;

/// How long a server that is too busy is asked again, and how soon.
const PATIENCE: Duration = Duration::from_secs(10);
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LAST_PAUSE: Duration = Duration::from_secs(1);

/// A session in which nothing is under way.
pub(super) struct Session {
    stream: UnixStream,
    decoder: ReplyDecoder,
    timeouts: ClientTimeouts,
    offers: Extensions,
    /// Commands that go out before the next message, and how many they are.
    claims: String,
    claimed: usize,
    verbose: bool,
}

/// What the server said to a list of recipients.
#[derive(Debug, Default)]
pub(super) struct Offer {
    /// How many it accepted, from the first.
    pub(super) accepted: usize,
    /// It takes no more of them with one message; the rest may go with another.
    pub(super) full: bool,
    /// Those that it refused, and how.
    pub(super) refused: Vec<(Address, Reply)>,
}

impl Session {
    /// Connects and greets. A server that is too busy for one more session is asked
    /// again for a while: programs start `sendmail` by the hundred and do not expect
    /// that some of them fail for it.
    pub(super) fn open(
        socket: &Path,
        claims: &[(&'static str, String)],
        verbose: bool,
    ) -> Result<Self, Failure> {
        let mut session = Self::open_within(PATIENCE, socket, verbose)?;
        session.claim(claims);
        Ok(session)
    }

    /// Says this of the program that the next message is from.
    pub(super) fn claim(&mut self, claims: &[(&'static str, String)]) {
        if self.offers.origin {
            for line in claims.iter().filter_map(|(name, value)| claim_line(name, value)) {
                self.claims.push_str(&line);
                self.claimed += 1;
            }
        }
    }

    fn open_within(patience: Duration, socket: &Path, verbose: bool) -> Result<Self, Failure> {
        let started = SystemClock.elapsed();
        let mut pause = FIRST_PAUSE;
        loop {
            let stream = connect(socket)?;
            match Self::greet(stream, verbose) {
                Err(failure)
                    if failure.code == Sysexit::TryAgain
                        && SystemClock.elapsed() - started < patience =>
                {
                    let why = if pause == FIRST_PAUSE { no_queue(socket) } else { None };
                    if let Some(message) = why {
                        return Err(Failure { message, ..failure });
                    }
                    std::thread::sleep(pause);
                    pause = (pause * 2).min(LAST_PAUSE);
                }
                result => return result,
            }
        }
    }

    fn greet(stream: UnixStream, verbose: bool) -> Result<Self, Failure> {
        let mut session = Self {
            stream,
            decoder: ReplyDecoder::new(),
            timeouts: ClientTimeouts::default(),
            offers: Extensions::default(),
            claims: String::new(),
            claimed: 0,
            verbose,
        };
        let timeouts = session.timeouts;
        session.stream.set_write_timeout(Some(timeouts.data_block)).map_err(|e| lost(&e))?;
        let greeting = session.reply(timeouts.greeting)?;
        positive(&greeting, ITS_GREETING)?;
        let hello = session.command("EHLO localhost\r\n", timeouts.hello)?;
        positive(&hello, Text::same("EHLO"))?;
        session.offers = Extensions::parse(&hello);
        Ok(session)
    }

    /// Offers the envelope, with these of its recipients.
    pub(super) fn offer(
        &mut self,
        envelope: &Envelope,
        recipients: &[Recipient],
        size: u64,
    ) -> Result<Offer, Failure> {
        let everybody: Vec<&Recipient> = recipients.iter().collect();
        let transaction = transaction(envelope, &everybody, size);
        check_offers(&transaction, &self.offers)?;
        let mut mail = std::mem::take(&mut self.claims);
        commands::mail(&transaction, &self.offers, &mut mail);
        self.send(mail.as_bytes())?;
        // A claim that is not taken is nothing that a message should wait for.
        for _ in 0..std::mem::take(&mut self.claimed) {
            self.reply(self.timeouts.mail)?;
        }
        let reply = self.reply(self.timeouts.mail)?;
        positive(&reply, sender_or_message(&reply))?;
        let group = if self.offers.pipelining { GROUP } else { 1 };
        let mut offer = Offer::default();
        for recipients in recipients.chunks(group) {
            let mut lines = String::new();
            for recipient in recipients {
                commands::recipient(&transaction, recipient, &self.offers, &mut lines);
            }
            self.send(lines.as_bytes())?;
            for recipient in recipients {
                let reply = self.reply(self.timeouts.recipient)?;
                offer.count(recipient, reply);
            }
            if offer.full || offer.refused.len() >= group {
                break;
            }
        }
        Ok(offer)
    }

    /// Sends the content to those who were accepted. When this returns `Ok`, the
    /// server has the message on disk.
    pub(super) fn content(&mut self, submission: &mut Submission) -> Result<Reply, Failure> {
        let size = submission.size();
        let body = submission.input.beginning.get(submission.body_at..).unwrap_or_default();
        let mut near = submission.header.as_slice().chain(body);
        let reply = match &mut submission.input.rest {
            Some(rest) => {
                let rest = rest.reader().map_err(|error| unreadable(&error))?;
                self.content_of(&mut near.chain(rest), size)?
            }
            None => self.content_of(&mut near, size)?,
        };
        positive(&reply, THE_MESSAGE)?;
        Ok(reply)
    }

    /// Sends content of so many octets; the reply may be a refusal. If the octets cannot be
    /// read, the session is of no more use.
    pub(super) fn content_of(
        &mut self,
        source: &mut dyn Read,
        size: u64,
    ) -> Result<Reply, Failure> {
        let go_on = self.command("DATA\r\n", self.timeouts.data)?;
        if go_on.severity() != Severity::Intermediate {
            return Ok(go_on);
        }
        match self.send_content(source, size) {
            Ok(()) => self.reply(self.timeouts.final_dot),
            Err(ContentError::Source(failure)) => Err(failure),
            // A server that refuses in the middle says why before it hangs up.
            Err(ContentError::Server(error)) => {
                let reply = self.reply(self.timeouts.quit).map_err(|_| lost(&error))?;
                if reply.is_positive() { Err(lost(&error)) } else { Ok(reply) }
            }
        }
    }

    /// Whether it hears what programs say of themselves.
    pub(super) fn hears_claims(&self) -> bool {
        self.offers.origin
    }

    /// Says some commands and hears the replies.
    pub(super) fn say(&mut self, lines: &[String]) -> Result<Vec<Reply>, Failure> {
        self.send(lines.concat().as_bytes())?;
        lines.iter().map(|_| self.reply(self.timeouts.mail)).collect()
    }

    /// Says good-bye; nothing depends on the answer.
    pub(super) fn quit(mut self) {
        let _ = self.send(b"QUIT\r\n");
    }

    fn send_content(&mut self, source: &mut dyn Read, size: u64) -> Result<(), ContentError> {
        let mut stuffer = DotStuffer::new();
        let mut wire = Vec::with_capacity(BLOCK + BLOCK / 8);
        let (mut block, mut octets) = (vec![0; BLOCK], 0);
        loop {
            match source.read(&mut block) {
                Ok(0) => break,
                Ok(count) => {
                    octets += count as u64;
                    stuffer.push(block.get(..count).unwrap_or_default(), &mut wire);
                    self.flush_if_full(&mut wire)?;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(ContentError::Source(unreadable(&error))),
            }
        }
        if octets != size {
            let error = io::Error::from(io::ErrorKind::UnexpectedEof);
            return Err(ContentError::Source(unreadable(&error)));
        }
        stuffer.finish(&mut wire);
        self.stream.write_all(&wire).map_err(ContentError::Server)
    }

    fn flush_if_full(&mut self, wire: &mut Vec<u8>) -> Result<(), ContentError> {
        if wire.len() >= BLOCK {
            self.stream.write_all(wire).map_err(ContentError::Server)?;
            wire.clear();
        }
        Ok(())
    }

    fn command(&mut self, line: &str, wait: Duration) -> Result<Reply, Failure> {
        self.send(line.as_bytes())?;
        self.reply(wait)
    }

    fn send(&mut self, lines: &[u8]) -> Result<(), Failure> {
        if self.verbose {
            for line in String::from_utf8_lossy(lines).lines() {
                eprintln!(">>> {}", printable(line));
            }
        }
        let sent = self.stream.write_all(lines);
        sent.or_else(|error| self.last_words(&error))
    }

    // The server may have said 421 before it hung up.
    fn last_words(&mut self, error: &io::Error) -> Result<(), Failure> {
        let reply = self.reply(self.timeouts.quit).map_err(|_| lost(error))?;
        Err(refusal(&reply, THE_SESSION))
    }

    fn reply(&mut self, wait: Duration) -> Result<Reply, Failure> {
        self.stream.set_read_timeout(Some(wait)).map_err(|error| lost(&error))?;
        let mut buffer = [0; 8192];
        loop {
            if let Some(reply) = self.decoder.next_reply().map_err(|error| protocol(&error))? {
                if self.verbose {
                    eprintln!("<<< {}", printable(&reply.to_string()));
                }
                if reply.closes() {
                    return Err(refusal(&reply, THE_SESSION));
                }
                return Ok(reply);
            }
            // Another program may say something before its reply; our server does not.
            if self.decoder.has_noise() {
                return Err(protocol(&ReplyError::NotAReply));
            }
            match self.stream.read(&mut buffer) {
                Ok(0) => return Err(lost(&io::Error::from(io::ErrorKind::UnexpectedEof))),
                Ok(count) => self.decoder.feed(buffer.get(..count).unwrap_or_default()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(lost(&error)),
            }
        }
    }
}

impl Offer {
    fn count(&mut self, recipient: &Recipient, reply: Reply) {
        // "Too many recipients" (RFC 5321 §4.5.3.1.10; X.5.3 in RFC 3463 §3.6).
        let status = reply.status();
        let too_many = reply.code().get() == 452 && (status.subject, status.detail) == (5, 3);
        if reply.is_positive() && self.refused.is_empty() && !self.full {
            self.accepted += 1;
        } else if too_many && self.accepted > 0 {
            self.full = true;
        } else if !reply.is_positive() {
            self.refused.push((recipient.address.clone(), reply));
        }
    }
}

enum ContentError {
    /// Our own copy of the message cannot be read.
    Source(Failure),
    /// The server does not take it.
    Server(io::Error),
}

/// A command that claims something; one in a script of many octets to a character does
/// without.
pub(super) fn claim_line(name: &str, value: &str) -> Option<String> {
    let mut line = String::new();
    commands::origin(name, &bounded(value), &mut line);
    (line.len() <= MAX_COMMAND_LINE).then_some(line)
}

fn unreadable(error: &io::Error) -> Failure {
    let message = said_of!(
        "cannot read the message back: {error}; nothing was sent",
        "no se puede releer el mensaje: {error}; no se ha enviado nada"; error = system(error)
    );
    Failure::new(Sysexit::IoError, message)
}

const NOT_RUNNING: Text = Text::new(
    "the mail server is not running ({socket}: {error}); nothing was sent; try again",
    "el servidor de correo no está en marcha ({socket}: {error}); no se ha enviado nada; vuelva a \
     intentarlo",
);
const NOT_ALLOWED: Text = Text::new(
    "you may not use the mail server's socket ({socket}: {error}); nothing was sent",
    "no tiene permiso para usar el socket del servidor de correo ({socket}: {error}); no se ha \
     enviado nada",
);
const NOT_REACHED: Text = Text::new(
    "cannot reach the mail server ({socket}: {error}); nothing was sent; try again",
    "no se puede hablar con el servidor de correo ({socket}: {error}); no se ha enviado nada; \
     vuelva a intentarlo",
);
const THE_SESSION: Text = Text::new("the session", "la sesión");
const ITS_GREETING: Text = Text::new("its greeting", "la conexión");
const THE_SENDER: Text = Text::new("the sender address", "la dirección del remitente");
const THE_MESSAGE: Text = Text::new("the message", "el mensaje");

/// Whether no server listens there.
pub(super) fn is_down(socket: &Path) -> bool {
    UnixStream::connect(socket).is_err_and(|error| means_down(&error))
}

fn means_down(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused)
}

/// Opens the server's local socket.
pub(super) fn connect(socket: &Path) -> Result<UnixStream, Failure> {
    UnixStream::connect(socket).map_err(|error| {
        let (code, text) = match error.kind() {
            _ if means_down(&error) => (Sysexit::TryAgain, NOT_RUNNING),
            io::ErrorKind::PermissionDenied => (Sysexit::NoPermission, NOT_ALLOWED),
            _ => (Sysexit::TryAgain, NOT_REACHED),
        };
        let shown = Said::words(socket.display().to_string());
        Failure::new(code, Said::of_parts(text, &[("socket", &shown), ("error", &system(&error))]))
    })
}

// Why the server has no queue to put mail into, if it says so on its other socket: to whom it
// takes none from, a busy moment and a database that is away look the same.
fn no_queue(socket: &Path) -> Option<Said> {
    let error = Client::connect(socket.parent()?).ok()?.health().err()?;
    match &error {
        ClientError::Refused { code: ErrorCode::Failed, .. } => {
            Some(and_try_again(&client_error(&error)))
        }
        _ => None,
    }
}

/// Why a message is not even offered.
pub(super) fn too_large(size: u64, limit: u64) -> Failure {
    let message = said!(
        "the message has {size} octets and the mail server takes at most {limit} \
         (limits.message_size); nothing was sent",
        "el mensaje tiene {size} octetos y el servidor de correo admite como mucho {limit} \
         (limits.message_size); no se ha enviado nada";
        size = size, limit = limit
    );
    Failure::new(Sysexit::Unavailable, message)
}

// What the server cannot take is said here in plainer words than it would use.
fn check_offers(transaction: &Transaction<'_>, offers: &Extensions) -> Result<(), Failure> {
    let size = transaction.size;
    let message = match offers.size {
        Some(limit) if limit > 0 && size > limit => return Err(too_large(size, limit)),
        _ if transaction.utf8_header && !offers.smtputf8 => said!(
            "the mail server takes no addresses outside ASCII; nothing was sent",
            "el servidor de correo no admite direcciones con caracteres que no sean ASCII; no se \
             ha enviado nada"
        ),
        _ => return Ok(()),
    };
    Err(Failure::new(Sysexit::Unavailable, message))
}

fn lost(error: &io::Error) -> Failure {
    let what = match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
            said!(
                "the mail server did not answer in time",
                "el servidor de correo no ha respondido a tiempo"
            )
        }
        io::ErrorKind::UnexpectedEof
        | io::ErrorKind::BrokenPipe
        | io::ErrorKind::ConnectionReset => {
            said!("the mail server hung up", "el servidor de correo ha colgado")
        }
        _ => said_of!(
            "the connection to the mail server failed: {error}",
            "ha fallado la conexión con el servidor de correo: {error}"; error = system(error)
        ),
    };
    let message = said_of!(
        "{what} before it had the message; try again",
        "{what} antes de tener el mensaje; vuelva a intentarlo"; what = what
    );
    Failure::new(Sysexit::TryAgain, message)
}

fn protocol(error: &ReplyError) -> Failure {
    let message = said_of!(
        "the mail server's socket does not speak SMTP: {error}; nothing was sent",
        "el socket del servidor de correo no habla SMTP: {error}; no se ha enviado nada";
        error = reply_error(error)
    );
    Failure::new(Sysexit::Protocol, message)
}

fn positive(reply: &Reply, to_what: Text) -> Result<(), Failure> {
    if reply.is_positive() { Ok(()) } else { Err(refusal(reply, to_what)) }
}

// What the system or the network lacks is no fault of the address (RFC 3463 §3.4, §3.5).
fn sender_or_message(reply: &Reply) -> Text {
    if matches!(reply.status().subject, 3 | 4) { THE_MESSAGE } else { THE_SENDER }
}

fn refusal(reply: &Reply, what: Text) -> Failure {
    let message = said_of!(
        "the mail server refused {what}: {reply}; nothing was sent",
        "el servidor de correo ha rechazado {what}: {reply}; no se ha enviado nada";
        what = Said::plain(what), reply = Said::words(reply.to_string())
    );
    match reply.severity() {
        Severity::Transient => Failure::new(Sysexit::TryAgain, and_try_again(&message)),
        // RFC 3463 §3.8: it is not for this user to do.
        Severity::Permanent if reply.status().subject == 7 => {
            Failure::new(Sysexit::NoPermission, message)
        }
        Severity::Permanent => Failure::new(Sysexit::Unavailable, message),
        Severity::Positive | Severity::Intermediate => Failure::new(Sysexit::Protocol, message),
    }
}

/// The envelope as it is offered for these of its recipients.
pub(super) fn transaction<'a>(
    envelope: &'a Envelope,
    recipients: &'a [&'a Recipient],
    size: u64,
) -> Transaction<'a> {
    Transaction {
        reverse_path: &envelope.reverse_path,
        recipients,
        envelope_id: envelope.envelope_id.as_deref(),
        ret: envelope.ret,
        verp: envelope.verp,
        size,
        eight_bit: envelope.eight_bit,
        utf8_header: envelope.smtputf8,
        // On this machine it is not offered.
        require_tls: false,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn a_server_that_stays_busy_is_told_of() {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("submit");
        let listener = UnixListener::bind(&socket).unwrap();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream.write_all(b"421 4.3.2 too many connections\r\n").unwrap();
        });
        let failure = Session::open_within(Duration::ZERO, &socket, false).err().unwrap();
        assert_eq!(failure.code, Sysexit::TryAgain);
        assert!(failure.message.to_string().contains("too many connections"), "{failure:?}");
        server.join().unwrap();
    }

    /// It is not asked again and again, and the user hears what every other command says.
    #[test]
    fn a_server_without_a_queue_is_not_waited_for() {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("submit");
        let submit = UnixListener::bind(&socket).unwrap();
        let control = UnixListener::bind(directory.path().join("control")).unwrap();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = submit.accept().unwrap();
            // Whoever comes a second time finds nobody.
            drop(submit);
            stream.write_all(b"421 4.3.0 mail cannot be stored now, try later\r\n").unwrap();
            let (mut stream, _) = control.accept().unwrap();
            let answer = serde_json::json!({
                "error": { "code": "failed", "message": "the database is away" }
            });
            stream.write_all(format!("{answer}\n").as_bytes()).unwrap();
        });
        let failure = Session::open_within(PATIENCE, &socket, false).err().unwrap();
        assert_eq!(failure.code, Sysexit::TryAgain);
        let said = failure.message.to_string();
        assert!(said.contains("the database is away") && !said.contains("421"), "{said}");
        server.join().unwrap();
    }

    #[test]
    fn what_the_system_lacks_is_not_said_of_the_senders_address() {
        for (line, what) in [
            ("452 4.3.1 the disk is full", THE_MESSAGE),
            ("451 4.4.3 the database is away", THE_MESSAGE),
            ("550 5.1.8 no such domain", THE_SENDER),
            ("550 5.7.1 not yours to send from", THE_SENDER),
        ] {
            let mut decoder = ReplyDecoder::new();
            decoder.feed(format!("{line}\r\n").as_bytes());
            let reply = decoder.next_reply().unwrap().unwrap();
            assert_eq!(sender_or_message(&reply), what, "{line}");
        }
    }
}
