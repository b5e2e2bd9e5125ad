//! One page over HTTPS: what an MTA-STS policy needs, one report about TLS, and one request to
//! an authority of certificates, and no more. A connection is for one request.
//!
//! Redirects are not followed, since senders do not follow them either (RFC 8461 §3.3),
//! and the certificate must be valid. What failed on the way there says nothing about
//! the page.

use std::net::{IpAddr, SocketAddr};

use puerto_mail::dns::{Dns, Record, RecordType};
use puerto_mail::together::together;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::cause::Cause;
use crate::lang::{Said, Text, dns_error, system};
use crate::tls::{ClientTls, handshake_failure, is_certificates_fault, tls_failure};

/// Octets of an answer that are read: RFC 8461 §3.3 suggests 64 kilobytes.
const MAX_ANSWER: u64 = 64 * 1024;

const TOO_LONG: Text = Text::new("the answer is too long", "la respuesta es demasiado larga");
const NO_HTTP: Text = Text::new("no HTTP answer", "no ha dado una respuesta HTTP");

/// A server's answer to one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The fields of its header, by their names as they were written.
    pub fields: Vec<(String, String)>,
    /// What follows the header.
    pub body: Vec<u8>,
}

impl Answer {
    /// What the first field of this name says; "" without one.
    pub fn field(&self, wanted: &str) -> &str {
        let mut values = self.fields.iter().filter(|(name, _)| name.eq_ignore_ascii_case(wanted));
        values.next().map_or("", |(_, value)| value)
    }
}

/// What a host answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Page {
    /// An answer of the server.
    Answer {
        /// The status code.
        status: u16,
        /// The media type, as it was given.
        media_type: String,
        /// The text.
        body: String,
    },
    /// The host has no address.
    NoHost,
    /// The host's certificate is not valid, and why.
    Untrusted(Said),
    /// Nothing may be concluded, and why.
    Failed(Said),
}

/// The address of a host; what comes of a page of one that has none.
pub async fn address<D: Dns>(dns: &D, host: &str) -> Result<IpAddr, Page> {
    let kinds = [RecordType::A, RecordType::Aaaa];
    let mut failure = None;
    for records in together(kinds.map(|kind| dns.records(host, kind))).await {
        match records.map(|records| records.into_iter().find_map(Record::into_address)) {
            Ok(Some(address)) => return Ok(address),
            Ok(None) => {}
            Err(error) => failure = failure.or(Some(error)),
        }
    }
    Err(failure.map_or(Page::NoHost, |error| Page::Failed(dns_error(&error))))
}

/// Asks `host`, at this address, for a page.
pub async fn fetch(at: SocketAddr, host: &str, path: &str, tls: &ClientTls) -> Page {
    let question = format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: puerto\r\nAccept: text/plain\r\n\
         Connection: close\r\n\r\n"
    );
    page(at, host, question.as_bytes(), tls).await
}

/// Gives `host`, at this address, octets of a media type.
pub async fn post(
    at: SocketAddr,
    (host, path): (&str, &str),
    (media_type, octets): (&str, &[u8]),
    tls: &ClientTls,
) -> Page {
    let length = octets.len();
    let mut question = format!(
        "POST {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: puerto\r\n\
         Content-Type: {media_type}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
    )
    .into_bytes();
    question.extend(octets);
    page(at, host, &question, tls).await
}

async fn page(at: SocketAddr, host: &str, question: &[u8], tls: &ClientTls) -> Page {
    match ask(at, host, question, tls).await {
        Ok(answer) => Page::Answer {
            status: answer.status,
            media_type: answer.field("content-type").to_owned(),
            body: String::from_utf8_lossy(&answer.body).into_owned(),
        },
        Err(why) => why,
    }
}

/// Sends one request, whole and with `Connection: close`, to a host whose certificate is
/// valid, and reads the answer. An error is never [`Page::Answer`].
pub async fn ask(
    at: SocketAddr,
    host: &str,
    request: &[u8],
    tls: &ClientTls,
) -> Result<Answer, Page> {
    let octets = exchange(at, host, request, tls).await?;
    let is_head = request.starts_with(b"HEAD ");
    read(&octets, is_head).ok_or_else(|| Page::Failed(NO_HTTP.into()))
}

async fn exchange(
    at: SocketAddr,
    host: &str,
    request: &[u8],
    tls: &ClientTls,
) -> Result<Vec<u8>, Page> {
    let broke = |error: std::io::Error| Page::Failed(system(&error));
    let name = ServerName::try_from(host.to_owned())
        .map_err(|_| Page::Failed(Cause::UnverifiableName {}.said()))?;
    let connector = tls.verified().map_err(|error| Page::Failed(tls_failure(&error).said()))?;
    let stream = TcpStream::connect(at).await.map_err(broke)?;
    let mut stream = connector.connect(name, stream).await.map_err(|error| {
        let why = handshake_failure(&error).said();
        let is_fault = tls.has_roots() && is_certificates_fault(&error);
        if is_fault { Page::Untrusted(why) } else { Page::Failed(why) }
    })?;
    stream.write_all(request).await.map_err(broke)?;
    let mut octets = Vec::new();
    let read = stream.take(MAX_ANSWER + 1).read_to_end(&mut octets).await;
    if octets.len() as u64 > MAX_ANSWER {
        return Err(Page::Failed(TOO_LONG.into()));
    }
    // Many close without taking leave of TLS.
    if octets.is_empty() {
        read.map_err(broke)?;
    }
    Ok(octets)
}

// RFC 9110 §9.3.2: what is asked by HEAD has no body, whatever its fields say of one.
fn read(octets: &[u8], is_head: bool) -> Option<Answer> {
    let end = memchr::memmem::find(octets, b"\r\n\r\n")?;
    let (head, rest) = octets.split_at_checked(end)?;
    let body = rest.get(4..)?;
    let head = String::from_utf8_lossy(head);
    let mut lines = head.split("\r\n");
    let mut first = lines.next()?.split_whitespace();
    first.next().filter(|version| version.starts_with("HTTP/1."))?;
    let status = first.next()?.parse().ok()?;
    let fields = lines.filter_map(|line| line.split_once(':'));
    let fields = fields.map(|(name, value)| (name.to_owned(), value.trim().to_owned())).collect();
    let mut answer = Answer { status, fields, body: Vec::new() };
    answer.body = match answer.field("transfer-encoding").eq_ignore_ascii_case("chunked") {
        _ if is_head => Vec::new(),
        true => joined(body)?,
        false => whole(body, answer.field("content-length"))?,
    };
    Some(answer)
}

// What is cut off is no answer, where the server says how long it is.
fn whole(body: &[u8], length: &str) -> Option<Vec<u8>> {
    match length {
        "" => Some(body.to_vec()),
        length => body.get(..length.parse().ok()?).map(<[u8]>::to_vec),
    }
}

// RFC 9112 §7.1.
fn joined(mut chunks: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let end = memchr::memmem::find(chunks, b"\r\n")?;
        let (size, rest) = (chunks.get(..end)?, chunks.get(end + 2..)?);
        let size = std::str::from_utf8(size).ok()?.split(';').next()?.trim();
        let size = usize::from_str_radix(size, 16).ok()?;
        if size == 0 {
            return Some(body);
        }
        let (chunk, rest) = rest.split_at_checked(size)?;
        body.extend_from_slice(chunk);
        chunks = rest.strip_prefix(b"\r\n")?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, media_type: &str, body: &str) -> Option<(u16, String, Vec<u8>)> {
        Some((status, media_type.to_owned(), body.into()))
    }

    fn read(octets: &[u8]) -> Option<(u16, String, Vec<u8>)> {
        let answer = super::read(octets, false)?;
        Some((answer.status, answer.field("Content-Type").to_owned(), answer.body))
    }

    #[test]
    fn answers_are_read_whole_or_in_chunks() {
        let plain = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\n\r\nversion: STSv1\r\n";
        assert_eq!(read(plain), answer(200, "text/plain", "version: STSv1\r\n"));
        let chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\
            4\r\nvers\r\na;x=1\r\nion: STSv1\r\n0\r\n\r\n";
        assert_eq!(read(chunked), answer(200, "", "version: STSv1"));
        let moved = b"HTTP/1.1 301 Moved\r\nLocation: https://x.example/\r\n\r\n";
        assert_eq!(read(moved), answer(301, "", ""));
        let split = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\
            1\r\n\xC3\r\n1\r\n\xBC\r\n0\r\n\r\n";
        assert_eq!(read(split), answer(200, "", "\u{fc}"), "a letter in two chunks");
        let long = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nabc";
        assert_eq!(read(long), answer(200, "", "ab"));
        for nonsense in [
            &b""[..],
            b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\ncut",
            b"220 mail.example ESMTP\r\n\r\n",
            b"HTTP/1.1 200 OK\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffff\r\nx",
        ] {
            assert_eq!(read(nonsense), None);
        }
        // What is asked by HEAD is told of the body that it does not get.
        let head = b"HTTP/1.1 200 OK\r\nContent-Length: 512\r\nReplay-Nonce: x\r\n\r\n";
        assert_eq!(read(head), None);
        let told = super::read(head, true).unwrap();
        assert_eq!((told.status, told.field("replay-nonce"), &*told.body), (200, "x", &b""[..]));
    }

    #[tokio::test]
    async fn a_host_that_is_not_there_says_nothing() {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let page = fetch(free, "mta-sts.example.com", "/", &ClientTls::new()).await;
        assert!(matches!(page, Page::Failed(_)), "{page:?}");
    }
}
