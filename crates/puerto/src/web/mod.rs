//! What is answered over HTTP and on port 443, and nothing else: an authority that wants to
//! see that a name is ours (`acme`), and senders that ask for our MTA-STS policy (RFC 8461).
//!
//! Anybody may come here, and nobody has business for long: one request on a connection,
//! bounded in length and time, and few connections from one network at a time, so that the
//! authority finds a place. Nothing on the disk is served, so that no path leads astray. Where
//! they come in is `doors`'.

mod doors;
mod guests;
mod request;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use puerto_smtp::Domain;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::LazyConfigAcceptor;

use crate::config::Live;
use crate::survey::mtasts;
use crate::tls::ServerTls;

pub use doors::Doors;
use request::{Reply, Request};

/// Where an authority looks for its page (RFC 8555 §8.3).
const CHALLENGES: &str = "/.well-known/acme-challenge/";
/// What an authority speaks that looks for its certificate (RFC 8737 §3).
pub const ACME_PROTOCOL: &[u8] = b"acme-tls/1";

/// What is to be shown to an authority while it looks. Clones share it.
#[derive(Clone, Default)]
pub struct Answers(Arc<Mutex<Shown>>);

#[derive(Default)]
struct Shown {
    pages: HashMap<String, String>,
    certificates: HashMap<String, Arc<ServerConfig>>,
}

impl Answers {
    /// Shows a page under this token, or no more.
    pub fn page(&self, token: &str, text: Option<String>) {
        let mut shown = self.shown();
        match text {
            Some(text) => shown.pages.insert(token.to_owned(), text),
            None => shown.pages.remove(token),
        };
    }

    /// Shows a certificate to who asks for this name by [`ACME_PROTOCOL`], or no more.
    pub fn certificate(&self, name: &str, config: Option<Arc<ServerConfig>>) {
        let mut shown = self.shown();
        match config {
            Some(config) => shown.certificates.insert(name.to_ascii_lowercase(), config),
            None => shown.certificates.remove(&name.to_ascii_lowercase()),
        };
    }

    fn answer(&self, request: &Request) -> Reply {
        let token = request.path.strip_prefix(CHALLENGES);
        match token.and_then(|token| self.shown().pages.get(token).cloned()) {
            Some(text) => Reply::text(text),
            None => Reply::status(404),
        }
    }

    fn shown(&self) -> MutexGuard<'_, Shown> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Answers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Answers")
    }
}

/// What is behind the doors. Clones share it.
#[derive(Clone)]
pub struct Site {
    /// What authorities are shown.
    pub answers: Answers,
    /// The configuration in force, which has the policy.
    pub config: Live,
    /// The certificate that the policy is served with.
    pub tls: ServerTls,
}

impl Site {
    // The policy of the domain whose host is asked (RFC 8461 §3.3).
    fn policy(&self, request: &Request) -> Reply {
        let config = self.config.get();
        let ours = |domain: &Domain| idna::domain_to_ascii(domain.name()?).ok();
        let domain = request.host.strip_prefix("mta-sts.").unwrap_or_default();
        let is_ours = config.domains.iter().filter_map(ours).any(|name| name == domain);
        match config.mta_sts.text() {
            Some(text) if is_ours && request.path == mtasts::PATH => Reply::text(text),
            _ => Reply::status(404),
        }
    }
}

async fn serve<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: S,
    answer: impl Fn(&Request) -> Reply,
) -> std::io::Result<()> {
    let reply = match Request::read(&mut stream).await? {
        Ok(request) => answer(&request).without_body_if(request.is_head),
        Err(status) => Reply::status(status),
    };
    stream.write_all(&reply.octets()).await?;
    stream.shutdown().await
}

async fn serve_over_tls(stream: TcpStream, site: &Site) -> std::io::Result<()> {
    let start = LazyConfigAcceptor::new(rustls::server::Acceptor::default(), stream).await?;
    let hello = start.client_hello();
    let is_authority =
        hello.alpn().is_some_and(|mut spoken| spoken.any(|one| one == ACME_PROTOCOL));
    let name = hello.server_name().map(str::to_ascii_lowercase);
    if is_authority {
        let shown = |name: String| site.answers.shown().certificates.get(&name).cloned();
        let Some(config) = name.and_then(shown) else { return Ok(()) };
        // The handshake is all that there is to it (RFC 8737 §3).
        return start.into_stream(config).await?.shutdown().await;
    }
    let Some(acceptor) = site.tls.acceptor() else { return Ok(()) };
    if site.config.get().mta_sts.mode.is_none() {
        return Ok(());
    }
    let stream = start.into_stream(Arc::clone(acceptor.tls.config())).await?;
    serve(stream, |request| site.policy(request)).await
}
