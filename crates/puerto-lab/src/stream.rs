//! A connection, in plain or in TLS, and the lab's certificate.
//!
//! The certificate is made anew for each lab and signed by itself: opportunistic
//! TLS asks for no more, and who demands a verified certificate is to be refused.

use std::io;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// One client's connection.
pub(crate) enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
    /// It is in the middle of a handshake, or died in one.
    Gone,
}

impl Stream {
    /// Takes the connection out, for a handshake.
    pub(crate) fn take(&mut self) -> Self {
        std::mem::replace(self, Self::Gone)
    }

    pub(crate) async fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.read(buffer).await,
            Self::Tls(stream) => stream.read(buffer).await,
            Self::Gone => Ok(0),
        }
    }

    pub(crate) async fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Plain(stream) => stream.write_all(bytes).await,
            Self::Tls(stream) => {
                stream.write_all(bytes).await?;
                stream.flush().await
            }
            Self::Gone => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    /// Makes the server's side of the handshake.
    pub(crate) async fn encrypt(self, acceptor: &TlsAcceptor) -> io::Result<Self> {
        match self {
            Self::Plain(stream) => Ok(Self::Tls(Box::new(acceptor.accept(stream).await?))),
            Self::Tls(_) | Self::Gone => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    /// Says goodbye, as far as the protocol has a word for it.
    pub(crate) async fn close(mut self) {
        // A client that is gone needs no goodbye.
        let _ignored = match &mut self {
            Self::Plain(stream) => stream.shutdown().await,
            Self::Tls(stream) => stream.shutdown().await,
            Self::Gone => Ok(()),
        };
    }
}

/// Makes a certificate for these hosts, which is given in DER too.
pub(crate) fn acceptor(hosts: Vec<String>) -> Result<(TlsAcceptor, Vec<u8>), String> {
    let certified = rcgen::generate_simple_self_signed(hosts).map_err(|e| e.to_string())?;
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(certified.signing_key.serialize_der()));
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| e.to_string())?
        .with_no_client_auth()
        .with_single_cert(vec![certified.cert.der().clone()], key)
        .map_err(|e| e.to_string())?;
    Ok((TlsAcceptor::from(Arc::new(config)), certified.cert.der().to_vec()))
}
