//! One connection to one peer: the protocol's state machine joined to a socket.

use std::io::{self, IoSlice};
use std::pin::pin;
use std::time::Duration;

use puerto_smtp::Domain;
use puerto_smtp::client::{Connection, Loss, Protocol, Stage, Step};
use puerto_smtp::limits::ClientTimeouts;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, timeout, timeout_at};

use super::Ending;
use super::outcome::Peer;
use super::places::{HURRIED, Place};
use super::stream::Stream;
use crate::alarm::{Alarm, at_once, in_time};
use crate::cause::Cause;
use crate::telemetry::{Encryption, Verified};
use crate::tls::Agreed;

/// Octets that are read at once: replies are short, and thousands of sessions wait.
const READ_BUFFER: usize = 1024;
/// Octets of content that one time-out covers (RFC 5321 §4.5.3.2.5: "each block").
const BLOCK: usize = 64 * 1024;
/// How long a reply is waited for after a write has failed. A peer that refuses and
/// closes has sent it before.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// How often it is looked whether others wait for a place, once a peer is slow.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// One connection to one peer.
pub(super) struct Session {
    /// The peer.
    pub(super) peer: Peer,
    /// What has been said and what comes next.
    pub(super) connection: Connection,
    /// TLS version and cipher.
    pub(super) tls: Option<Agreed>,
    /// What is known of the peer by it.
    pub(super) verified: Verified,
    /// Why it is so, or why there is none.
    pub(super) tls_reason: Option<Cause>,
    /// Why there is none, although it was offered and wanted; to be logged once.
    pub(super) without_tls: Option<Cause>,
    /// Who is there has proved who it is, as REQUIRETLS wants it (RFC 8689 §2).
    pub(super) is_proven: bool,
    /// Why we gave the connection up ourselves.
    pub(super) abandoned: Option<Cause>,
    pub(super) stream: Stream,
    /// Of the job under way.
    pub(super) ending: Ending,
    timeouts: ClientTimeouts,
    waiting_for: (u64, Stage),
    asked: Instant,
    deadline: Instant,
    alarm: Alarm,
    broken: Option<Loss>,
}

impl Session {
    /// A session on a connection that was just made. It is boxed, since it goes from hand to
    /// hand with each message.
    pub(super) fn new(
        peer: Peer,
        stream: Stream,
        protocol: Protocol,
        name: Domain,
        timeouts: ClientTimeouts,
    ) -> Box<Self> {
        let encrypted = matches!(stream, Stream::Tls(_));
        let connection = Connection::new(protocol, name, encrypted);
        let waiting_for = (0, connection.stage());
        let asked = Instant::now();
        let deadline = asked + connection.stage().timeout(&timeouts);
        Box::new(Self {
            peer,
            connection,
            tls: None,
            verified: Verified::No,
            tls_reason: None,
            without_tls: None,
            is_proven: false,
            abandoned: None,
            stream,
            ending: Ending::default(),
            timeouts,
            waiting_for,
            asked,
            deadline,
            alarm: Alarm::default(),
            broken: None,
        })
    }

    /// How the connection is protected, if it is.
    pub(super) fn encryption(&self) -> Option<Encryption> {
        let tls = self.tls.as_ref()?;
        let (version, cipher) = (tls.version, tls.cipher.clone());
        Some(Encryption { version, cipher, verified: self.verified })
    }

    /// Sends and receives until something else is to be done.
    pub(super) async fn next_step(&mut self) -> Step {
        loop {
            let step = self.connection.poll();
            match (&step, self.broken) {
                (Step::Send, Some(loss)) => self.connection.lost(loss),
                (Step::Receive | Step::Content, Some(loss)) => self.hear_last_words(loss).await,
                (Step::Send, None) => self.send_output().await,
                (Step::Receive, None) => self.receive().await,
                _ => return step,
            }
        }
    }

    /// Gives the connection up for a reason of our own. It is dropped without a
    /// word, so that a message under way can never be taken for a whole one.
    pub(super) fn abandon(&mut self, why: Cause) {
        self.abandoned = Some(why);
        self.connection.lost(Loss::Abandoned);
        self.stream = Stream::Gone;
    }

    /// Says QUIT and waits a little for the reply.
    pub(super) async fn quit(mut self: Box<Self>) {
        self.peer.place = None;
        let wait = self.timeouts.quit;
        if !self.connection.quit() {
            return;
        }
        let closed = timeout(wait, async {
            while !matches!(self.next_step().await, Step::Closed | Step::Ready) {}
        });
        // Nothing depends on the reply.
        let _ = closed.await;
    }

    /// The same while others go on.
    pub(super) fn leave(self: Box<Self>) {
        drop(tokio::spawn(self.quit()));
    }

    /// Whether it can carry another message, as far as anybody can know.
    pub(super) fn is_alive(&mut self) -> bool {
        self.connection.is_ready() && self.stream.is_quiet()
    }

    /// Writes content, one part after the other, in as few writes as possible. With
    /// `last`, the parts include the content's end.
    pub(super) async fn write_content(&mut self, parts: &mut [IoSlice<'_>], last: bool) {
        // What a plain socket did not take was not sent. Behind a buffer of ours
        // nobody can tell.
        if last && self.stream.is_buffered() {
            self.content_ending();
        }
        let written = write_all(&mut self.stream, parts, self.timeouts.data_block).await;
        if written.is_ok() && last {
            self.content_ending();
        }
        let written = match written {
            Ok(()) => flush(&mut self.stream, self.timeouts.data_block).await,
            error => error,
        };
        self.note(written);
    }

    fn content_ending(&mut self) {
        self.connection.content_ending();
        self.ending.note();
    }

    /// Whether writing has failed.
    pub(super) fn is_broken(&self) -> bool {
        self.broken.is_some()
    }

    fn note(&mut self, result: io::Result<()>) {
        if let Err(error) = result {
            self.broken = Some(match error.kind() {
                io::ErrorKind::TimedOut => Loss::TimedOut,
                _ => Loss::Closed,
            });
        }
    }

    async fn send_output(&mut self) {
        let output = self.connection.take_output();
        let wait = self.connection.stage().timeout(&self.timeouts);
        let mut result = write_all(&mut self.stream, &mut [IoSlice::new(&output)], wait).await;
        if result.is_ok() {
            result = flush(&mut self.stream, wait).await;
        }
        self.note(result);
    }

    async fn receive(&mut self) {
        // The time runs for a whole reply: a peer that sends an octet now and then
        // does not win more of it.
        let waiting_for = (self.connection.replies(), self.connection.stage());
        if waiting_for != self.waiting_for {
            self.waiting_for = waiting_for;
            self.asked = Instant::now();
            self.deadline = self.asked + waiting_for.1.timeout(&self.timeouts);
        }
        let mut buffer = [0; READ_BUFFER];
        let place = self.peer.place.clone().filter(|_| waiting_for.1.is_before_content());
        let patience = patience(&mut self.alarm, (self.asked, self.deadline), place.as_deref());
        let read = tokio::select! {
            biased;
            read = self.stream.read(&mut buffer) => Ok(read),
            () = patience => Err(()),
        };
        match read {
            Err(()) => self.connection.lost(Loss::TimedOut),
            Ok(Ok(0) | Err(_)) => self.connection.lost(Loss::Closed),
            Ok(Ok(count)) => self.connection.feed(buffer.get(..count).unwrap_or_default()),
        }
    }

    // A peer that refuses in the middle says why before it closes.
    async fn hear_last_words(&mut self, loss: Loss) {
        let mut buffer = [0; READ_BUFFER];
        let wait = LAST_WORDS.min(self.timeouts.data_block);
        match timeout(wait, self.stream.read(&mut buffer)).await {
            Ok(Ok(count)) if count > 0 => {
                self.connection.feed(buffer.get(..count).unwrap_or_default());
            }
            _ => self.connection.lost(loss),
        }
    }
}

// Ends at the deadline; sooner, if others wait for the place of a peer that has taken
// nothing yet.
async fn patience(alarm: &mut Alarm, (asked, deadline): (Instant, Instant), place: Option<&Place>) {
    let Some(place) = place else { return alarm.wait_until(deadline).await };
    let mut look = asked + HURRIED;
    while look < deadline {
        alarm.wait_until(look).await;
        if place.is_wanted() {
            return;
        }
        look += LOOK_AGAIN;
    }
    alarm.wait_until(deadline).await;
}

async fn write_all(
    stream: &mut Stream,
    mut parts: &mut [IoSlice<'_>],
    wait: Duration,
) -> io::Result<()> {
    let mut deadline = None;
    let mut taken = 0;
    // Advancing by nothing drops leading parts that are empty.
    IoSlice::advance_slices(&mut parts, 0);
    while !parts.is_empty() {
        let mut writing = pin!(stream.write_vectored(parts));
        let count = match at_once(&mut writing).await {
            Some(written) => written?,
            None => {
                let deadline = *deadline.get_or_insert_with(|| Instant::now() + wait);
                let written = timeout_at(deadline, writing).await;
                written.map_err(|_elapsed| io::Error::from(io::ErrorKind::TimedOut))??
            }
        };
        if count == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        IoSlice::advance_slices(&mut parts, count);
        taken += count;
        if taken >= BLOCK {
            taken = 0;
            deadline = None;
        }
    }
    Ok(())
}

async fn flush(stream: &mut Stream, wait: Duration) -> io::Result<()> {
    let flushed = in_time(wait, stream.flush()).await;
    flushed.map_err(|_elapsed| io::Error::from(io::ErrorKind::TimedOut))?
}

#[cfg(test)]
mod tests {
    use super::super::places::{Places, Whom};
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_silent_peer_has_half_a_minute_while_others_wait_for_its_place() {
        let places = Places::with_sockets(100);
        let whom = Whom::relay("192.0.2.1".parse().unwrap());
        let place = places.enter(&whom, 20).await.unwrap();
        let long = Duration::from_secs(300);
        let asked = Instant::now();
        patience(&mut Alarm::default(), (asked, asked + long), Some(&place)).await;
        assert_eq!(asked.elapsed(), long);
        let mut held = Vec::new();
        while let Ok(other) = places.enter(&whom, 20).await {
            held.push(other);
        }
        let asked = Instant::now();
        patience(&mut Alarm::default(), (asked, asked + long), Some(&place)).await;
        assert_eq!(asked.elapsed(), HURRIED);
    }
}
