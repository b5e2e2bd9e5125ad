//! What answers at a port, before anything is asked of it.

use std::net::{IpAddr, SocketAddr};

use tokio::io::AsyncReadExt;
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{Instant, timeout_at};

use crate::lang::{Said, harmless, system};

/// Octets of a greeting that are read at most.
const MAX_GREETING: usize = 512;

/// What a connection to a port brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Greeting {
    /// The first line that the host said; empty if it said nothing in time.
    Line(String),
    /// The host or something before it refused: a reset, "unreachable" or the like.
    Refused(Said),
    /// Nothing came back in time.
    TimedOut,
    /// This machine could not even try, and why: no address of that family, say.
    NotTried(Said),
}

/// Connects, from `source` where one is given, and reads the first line.
pub async fn greet(peer: SocketAddr, source: Option<IpAddr>, until: Instant) -> Greeting {
    let socket = if peer.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() };
    let bound = socket.and_then(|socket| {
        if let Some(source) = source {
            socket.bind(SocketAddr::new(source, 0))?;
        }
        Ok(socket)
    });
    let socket = match bound {
        Ok(socket) => socket,
        Err(error) => return Greeting::NotTried(system(&error)),
    };
    let mut stream = match timeout_at(until, socket.connect(peer)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) if error.kind() != std::io::ErrorKind::TimedOut => return refusal(&error),
        _ => return Greeting::TimedOut,
    };
    let line = timeout_at(until, first_line(&mut stream)).await;
    line.unwrap_or_else(|_| Greeting::Line(String::new()))
}

async fn first_line(stream: &mut TcpStream) -> Greeting {
    let mut line = Vec::new();
    let mut buffer = [0; MAX_GREETING];
    while line.len() < MAX_GREETING && !line.contains(&b'\n') {
        match stream.read(&mut buffer).await {
            Ok(0) => break,
            Ok(octets) => line.extend_from_slice(buffer.get(..octets).unwrap_or_default()),
            Err(error) => return Greeting::Refused(system(&error)),
        }
    }
    let text = String::from_utf8_lossy(&line);
    let first = text.lines().next().unwrap_or_default();
    Greeting::Line(harmless(first.trim_end()))
}

// A network without that address family says nothing about the port.
fn refusal(error: &std::io::Error) -> Greeting {
    use std::io::ErrorKind;
    match error.kind() {
        ErrorKind::NetworkUnreachable | ErrorKind::AddrNotAvailable => {
            Greeting::NotTried(system(error))
        }
        _ => Greeting::Refused(system(error)),
    }
}
