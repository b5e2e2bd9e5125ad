//! A client's connection, with or without TLS.

use std::io;
use std::sync::Arc;

use puerto_smtp::Reply;
use rustls::ProtocolVersion;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::server::TlsStream;

use crate::tls::{Acceptor, Agreed};

/// A byte stream to and from a client.
pub(super) enum Connection {
    Tcp(TcpStream),
    /// With what our certificate is known by to logins that are bound to it.
    Tls(Box<TlsStream<TcpStream>>, Option<Arc<[u8]>>),
    Unix(UnixStream),
    /// The stream is gone: a handshake took it and failed.
    Gone,
}

impl Connection {
    /// Reads what there is into `buffer`, up to its capacity; 0 at the end.
    pub(super) async fn read(&mut self, buffer: &mut Vec<u8>) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.read_buf(buffer).await,
            Self::Tls(stream, _) => stream.read_buf(buffer).await,
            Self::Unix(stream) => stream.read_buf(buffer).await,
            Self::Gone => Ok(0),
        }
    }

    /// Reads what there is already, without waiting.
    pub(super) fn read_now(&mut self, buffer: &mut Vec<u8>) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.try_read_buf(buffer),
            _ => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    /// Sends all of it.
    pub(super) async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.write_all(bytes).await,
            Self::Tls(stream, _) => {
                stream.write_all(bytes).await?;
                stream.flush().await
            }
            Self::Unix(stream) => stream.write_all(bytes).await,
            Self::Gone => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    /// Makes the TLS handshake; returns what was agreed on.
    pub(super) async fn start_tls(&mut self, acceptor: &Acceptor) -> io::Result<String> {
        let Self::Tcp(stream) = std::mem::replace(self, Self::Gone) else {
            return Err(io::Error::other("TLS needs a TCP connection without TLS"));
        };
        // A session is as large as the largest of what it may ever do: what few of them do
        // is boxed.
        let stream = Box::pin(acceptor.tls.accept(stream)).await?;
        let (_, agreed) = stream.get_ref();
        let agreed = Agreed::of(agreed).to_string();
        *self = Self::Tls(Box::new(stream), acceptor.end_point.clone());
        Ok(agreed)
    }

    /// What is this connection's alone, for a login to be bound to (RFC 9266 §2): under TLS
    /// 1.3.
    pub(super) fn exported(&self) -> Option<[u8; 32]> {
        let Self::Tls(stream, _) = self else { return None };
        let (_, agreed) = stream.get_ref();
        let is_new = agreed.protocol_version() == Some(ProtocolVersion::TLSv1_3);
        let export =
            || agreed.export_keying_material([0; 32], b"EXPORTER-Channel-Binding", Some(b"")).ok();
        is_new.then(export)?
    }

    /// What our certificate on it is known by (RFC 5929 §4.1).
    pub(super) fn end_point(&self) -> Option<Arc<[u8]>> {
        let Self::Tls(_, end_point) = self else { return None };
        end_point.clone()
    }

    /// Tells the client that this is the end, and reads what it still had to say: to
    /// close with octets unread is to reset the connection, and the last reply could
    /// be lost with it. Never returns before the client closes; set a limit.
    pub(super) async fn close(&mut self) {
        let told = match self {
            Self::Tcp(stream) => stream.shutdown().await,
            Self::Tls(stream, _) => stream.shutdown().await,
            Self::Unix(stream) => stream.shutdown().await,
            Self::Gone => return,
        };
        let mut unwanted = Vec::with_capacity(512);
        let mut more = told.is_ok();
        while more {
            unwanted.clear();
            more = matches!(self.read(&mut unwanted).await, Ok(1..));
        }
    }

    /// Sends a last reply if it can be sent at once.
    pub(super) fn turn_away(&self, reply: &Reply) {
        let mut bytes = Vec::new();
        reply.write_to(&mut bytes);
        // Whoever is turned away is not waited for.
        let _ = match self {
            Self::Tcp(stream) => stream.try_write(&bytes),
            Self::Unix(stream) => stream.try_write(&bytes),
            Self::Tls(..) | Self::Gone => Ok(0),
        };
    }
}
