//! A connection's octets: plain TCP, TLS over it, or a local socket.

use std::io::{self, IoSlice};
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpSocket, TcpStream, UnixStream};
use tokio_rustls::client::TlsStream;

use crate::config::Delivery;

/// The octets of one connection.
pub(super) enum Stream {
    /// TCP, anybody may read along.
    Plain(TcpStream),
    /// TLS over TCP.
    Tls(Box<TlsStream<TcpStream>>),
    /// A socket in the file system.
    Local(UnixStream),
    /// Taken away: a TLS handshake failed on it.
    Gone,
}

impl Stream {
    /// Whether a failed write may have sent octets all the same, since they pass
    /// through a buffer of our own.
    pub(super) fn is_buffered(&self) -> bool {
        matches!(self, Self::Tls(_))
    }

    /// Whether the peer is silent and has not closed, as an idle connection must be.
    pub(super) fn is_quiet(&mut self) -> bool {
        let mut octet = [0];
        let mut buffer = ReadBuf::new(&mut octet);
        let mut context = Context::from_waker(Waker::noop());
        Pin::new(self).poll_read(&mut context, &mut buffer).is_pending()
    }
}

/// Makes a TCP connection, from this address if it is to be that one.
pub(super) async fn connect(
    address: SocketAddr,
    source: Option<IpAddr>,
    delivery: &Delivery,
) -> io::Result<TcpStream> {
    if delivery.only_port && address.port() != delivery.port {
        return Err(nix::errno::Errno::ECONNREFUSED.into());
    }
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    if let Some(source) = source {
        socket.bind(SocketAddr::new(source, 0))?;
    }
    let stream = socket.connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// The source address that is configured for a peer's family.
pub(super) fn source_address(peer: SocketAddr, delivery: &Delivery) -> Option<IpAddr> {
    match peer {
        SocketAddr::V4(_) => delivery.bind_ipv4.map(IpAddr::V4),
        SocketAddr::V6(_) => delivery.bind_ipv6.map(IpAddr::V6),
    }
}

fn gone<T>() -> Poll<io::Result<T>> {
    Poll::Ready(Err(io::ErrorKind::NotConnected.into()))
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Tls(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Local(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Gone => gone(),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        octets: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(context, octets),
            Self::Tls(stream) => Pin::new(stream).poll_write(context, octets),
            Self::Local(stream) => Pin::new(stream).poll_write(context, octets),
            Self::Gone => gone(),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write_vectored(context, parts),
            Self::Tls(stream) => Pin::new(stream).poll_write_vectored(context, parts),
            Self::Local(stream) => Pin::new(stream).poll_write_vectored(context, parts),
            Self::Gone => gone(),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(context),
            Self::Tls(stream) => Pin::new(stream).poll_flush(context),
            Self::Local(stream) => Pin::new(stream).poll_flush(context),
            Self::Gone => gone(),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Local(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Gone => gone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    /// A real server of the machine that a lab runs on would send its letters to the Internet.
    #[tokio::test]
    async fn a_labs_server_connects_to_nothing_but_the_lab() {
        let other = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = other.local_addr().unwrap();
        let mut delivery = Config::with_defaults("lab.example".to_owned()).delivery;
        delivery.only_port = true;
        delivery.port = address.port();
        assert!(connect(address, None, &delivery).await.is_ok());
        delivery.port = 25;
        let refused = connect(address, None, &delivery).await.unwrap_err();
        assert_eq!(refused.raw_os_error(), Some(nix::errno::Errno::ECONNREFUSED as i32));
        delivery.only_port = false;
        assert!(connect(address, None, &delivery).await.is_ok());
    }
}
