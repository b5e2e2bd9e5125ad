//! The library's requests, carried by our own client.

use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};
use jiff::fmt::rfc2822;

use super::trouble::unreachable;
use crate::dns::Resolver;
use crate::lang::{NOT_IN_TIME, Said, Text, dns_error};
use crate::survey::https::{self, Answer, Page};
use crate::survey::records::addresses;
use crate::tls::ClientTls;

/// For one request at one address.
const PATIENCE: Duration = Duration::from_secs(30);
/// Addresses of an authority that are tried.
const MOST_ADDRESSES: usize = 4;

const NOT_HTTPS: Text = Text::new("it is not asked over HTTPS", "no se le pregunta por HTTPS");

/// Speaks to one authority.
#[derive(Clone)]
pub(super) struct Client(Arc<Inner>);

struct Inner {
    dns: Arc<Resolver>,
    tls: ClientTls,
    /// For how many seconds it asked to be left alone when it last refused something; the
    /// library does not hand that on. -1: it did not say.
    pause: AtomicI64,
}

impl Client {
    pub(super) fn new(dns: Arc<Resolver>, tls: ClientTls) -> Self {
        Self(Arc::new(Inner { dns, tls, pause: AtomicI64::new(-1) }))
    }

    /// For how many seconds the authority wants to be left alone.
    pub(super) fn pause(&self) -> Option<i64> {
        Some(self.0.pause.load(Ordering::Relaxed)).filter(|pause| *pause >= 0)
    }

    async fn carry(&self, request: Request<BodyWrapper<Bytes>>) -> Result<BytesResponse, Error> {
        let (parts, body) = request.into_parts();
        // The library collects what a response holds, and a request alike.
        let mut body = BytesResponse::from(http::Response::new(body)).body;
        let body = body.into_bytes().await.map_err(Error::Other)?;
        let request = Request::from_parts(parts, ());
        let (host, port) = place(&request).ok_or_else(|| {
            let place = request.uri().to_string();
            Error::Other(Box::new(unreachable(&place, &NOT_HTTPS.into())))
        })?;
        let octets = written(&request, (&host, port), &body);
        let answer = self.ask(&host, port, &octets).await;
        let answer = answer.map_err(|why| Error::Other(Box::new(unreachable(&host, &why))))?;
        if answer.status >= 400 {
            self.0.pause.store(pause(&answer).unwrap_or(-1), Ordering::Relaxed);
        }
        response(answer)
    }

    async fn ask(&self, host: &str, port: u16, octets: &[u8]) -> Result<Answer, Said> {
        let Inner { dns, tls, .. } = &*self.0;
        if !tls.has_roots() {
            let tls = tls.clone();
            // They are read from the disk; what is wrong with them shows in the request.
            let _ = tokio::task::spawn_blocking(move || tls.verified().map(drop)).await;
        }
        let name = host.trim_start_matches('[').trim_end_matches(']');
        let found = match name.parse::<IpAddr>() {
            Ok(address) => vec![address],
            Err(_) => addresses(&**dns, host).await.map_err(|(_, error)| dns_error(&error))?,
        };
        let mut last = dns_error(&puerto_mail::dns::DnsError::NoRecords);
        for address in found.into_iter().take(MOST_ADDRESSES) {
            let asked = https::ask(SocketAddr::new(address, port), name, octets, tls);
            match tokio::time::timeout(PATIENCE, asked).await {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(Page::Untrusted(why) | Page::Failed(why))) => last = why,
                Ok(Err(Page::Answer { .. } | Page::NoHost)) => {}
                Err(_) => last = NOT_IN_TIME.into(),
            }
        }
        Err(last)
    }
}

impl HttpClient for Client {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let client = self.clone();
        Box::pin(async move { client.carry(request).await })
    }
}

// RFC 9110 §10.2.3: in seconds, or until a moment by the authority's own clock, which its answer
// tells.
fn pause(answer: &Answer) -> Option<i64> {
    let asked = answer.field("retry-after");
    let at = |text: &str| Some(rfc2822::parse(text).ok()?.timestamp().as_second());
    let seconds = asked.parse().ok();
    seconds.or_else(|| at(asked)?.checked_sub(at(answer.field("date"))?)).filter(|wait| *wait >= 0)
}

fn place<T>(request: &Request<T>) -> Option<(String, u16)> {
    let uri = request.uri();
    let host = uri.host().filter(|_| uri.scheme() == Some(&http::uri::Scheme::HTTPS))?;
    Some((host.to_owned(), uri.port_u16().unwrap_or(443)))
}

fn written<T>(request: &Request<T>, (host, port): (&str, u16), body: &[u8]) -> Vec<u8> {
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    let port = if port == 443 { String::new() } else { format!(":{port}") };
    let mut text = format!(
        "{} {path} HTTP/1.1\r\nHost: {host}{port}\r\nConnection: close\r\n",
        request.method()
    );
    for (name, value) in request.headers() {
        let (name, value) = (name.as_str(), String::from_utf8_lossy(value.as_bytes()));
        if name != "user-agent" {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
    }
    text.push_str(concat!("User-Agent: puerto/", env!("CARGO_PKG_VERSION"), "\r\n"));
    if *request.method() == http::Method::POST {
        text.push_str(&format!("Content-Length: {}\r\n", body.len()));
    }
    text.push_str("\r\n");
    [text.as_bytes(), body].concat()
}

fn response(answer: Answer) -> Result<BytesResponse, Error> {
    let mut built = http::Response::builder().status(answer.status);
    for (name, value) in &answer.fields {
        built = built.header(name, value);
    }
    let (parts, ()) = built.body(())?.into_parts();
    Ok(BytesResponse { parts, body: Box::new(Bytes::from(answer.body)) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_written_and_its_answer_read() {
        let request = Request::builder()
            .method("POST")
            .uri("https://acme.test:14000/order?x=1")
            .header("Content-Type", "application/jose+json")
            .body(())
            .unwrap();
        let (host, port) = place(&request).unwrap();
        let text = String::from_utf8(written(&request, (&host, port), b"{}")).unwrap();
        assert!(
            text.starts_with("POST /order?x=1 HTTP/1.1\r\nHost: acme.test:14000\r\n"),
            "{text}"
        );
        assert!(text.contains("content-type: application/jose+json\r\n"), "{text}");
        assert!(text.ends_with("Content-Length: 2\r\n\r\n{}"), "{text}");
        let plain = Request::builder().uri("http://acme.test/").body(()).unwrap();
        assert_eq!(place(&plain), None, "nothing is said in the clear");
        let fields = vec![("Replay-Nonce".to_owned(), "abc".to_owned())];
        let read = response(Answer { status: 201, fields, body: b"{}".to_vec() }).unwrap();
        assert_eq!(read.parts.status, 201);
        assert_eq!(read.parts.headers["replay-nonce"], "abc");
        let fields = vec![("no name".to_owned(), "abc".to_owned())];
        assert!(response(Answer { status: 200, fields, body: Vec::new() }).is_err());
    }

    #[test]
    fn an_authority_says_how_long_it_wants_to_be_left_alone() {
        let now = ("Date", "Mon, 30 Nov 2026 08:00:00 GMT");
        for (fields, expected) in [
            (&[("Retry-After", "7200")][..], Some(7200)),
            (&[("retry-after", "0")], Some(0)),
            (&[now, ("Retry-After", "Mon, 30 Nov 2026 09:30:00 GMT")], Some(5400)),
            // What is over, or says nothing.
            (&[now, ("Retry-After", "Mon, 30 Nov 2026 07:30:00 GMT")], None),
            (&[("Retry-After", "Mon, 30 Nov 2026 09:30:00 GMT")], None),
            (&[now, ("Retry-After", "soon")], None),
            (&[now, ("Retry-After", "-5")], None),
            (&[now, ("Retry-After", "99999999999999999999")], None),
            (&[now], None),
        ] {
            let fields = fields.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned()));
            let answer = Answer { status: 429, fields: fields.collect(), body: Vec::new() };
            assert_eq!(pause(&answer), expected, "{:?}", answer.fields);
        }
    }
}
