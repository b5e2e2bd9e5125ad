//! One page over HTTPS, or one report: what MTA-STS and TLS-RPT need, and no more.
//!
//! Redirects are not followed, since senders do not follow them either (RFC 8461 §3.3),
//! and the certificate must be valid. What failed on the way there says nothing about
//! the page.

use std::net::{IpAddr, SocketAddr};

use puerto_mail::dns::{Dns, Record, RecordType};
use puerto_mail::together::together;
use rustls::pki_types::ServerName;
use rustls::{CertificateError, Error};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::cause::Cause;
use crate::lang::{Said, dns_error, said, system};
use crate::tls::{ClientTls, handshake_failure, tls_failure};

/// Octets of an answer that are read: RFC 8461 §3.3 suggests 64 kilobytes.
const MAX_ANSWER: u64 = 64 * 1024;

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
    answer(at, host, question.as_bytes(), tls).await
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
    answer(at, host, &question, tls).await
}

async fn answer(at: SocketAddr, host: &str, question: &[u8], tls: &ClientTls) -> Page {
    match exchange(at, host, question, tls).await {
        Ok(octets) => read(&octets).unwrap_or_else(|| {
            Page::Failed(said!("no HTTP answer", "no ha dado una respuesta HTTP"))
        }),
        Err(why) => why,
    }
}

async fn exchange(
    at: SocketAddr,
    host: &str,
    question: &[u8],
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
    stream.write_all(question).await.map_err(broke)?;
    let mut octets = Vec::new();
    let read = stream.take(MAX_ANSWER + 1).read_to_end(&mut octets).await;
    if octets.len() as u64 > MAX_ANSWER {
        return Err(Page::Failed(said!(
            "the answer is too long",
            "la respuesta es demasiado larga"
        )));
    }
    // Many close without taking leave of TLS.
    if octets.is_empty() {
        read.map_err(broke)?;
    }
    Ok(octets)
}

// A clock that is wrong or roots that cannot be read are ours.
fn is_certificates_fault(error: &std::io::Error) -> bool {
    let of_tls = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
    matches!(of_tls, Some(Error::InvalidCertificate(why)) if !matches!(why, CertificateError::Other(_)))
}

fn read(octets: &[u8]) -> Option<Page> {
    let text = String::from_utf8_lossy(octets);
    let (head, body) = text.split_once("\r\n\r\n")?;
    let mut lines = head.split("\r\n");
    let mut first = lines.next()?.split_whitespace();
    first.next().filter(|version| version.starts_with("HTTP/1."))?;
    let status = first.next()?.parse().ok()?;
    let fields: Vec<_> = lines.filter_map(|line| line.split_once(':')).collect();
    let field = |wanted: &str| {
        let mut values = fields.iter().filter(|(name, _)| name.eq_ignore_ascii_case(wanted));
        values.next().map_or("", |(_, value)| value.trim())
    };
    let body = match field("transfer-encoding").eq_ignore_ascii_case("chunked") {
        true => joined(body)?,
        false => body.to_owned(),
    };
    Some(Page::Answer { status, media_type: field("content-type").to_owned(), body })
}

// RFC 9112 §7.1.
fn joined(mut chunks: &str) -> Option<String> {
    let mut body = String::new();
    loop {
        let (size, rest) = chunks.split_once("\r\n")?;
        let size = usize::from_str_radix(size.split(';').next()?.trim(), 16).ok()?;
        if size == 0 {
            return Some(body);
        }
        body.push_str(rest.get(..size)?);
        chunks = rest.get(size..)?.strip_prefix("\r\n")?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, media_type: &str, body: &str) -> Option<Page> {
        let (media_type, body) = (media_type.to_owned(), body.to_owned());
        Some(Page::Answer { status, media_type, body })
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
        for nonsense in [
            &b""[..],
            b"220 mail.example ESMTP\r\n\r\n",
            b"HTTP/1.1 200 OK\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffff\r\nx",
        ] {
            assert_eq!(read(nonsense), None);
        }
    }

    #[tokio::test]
    async fn a_host_that_is_not_there_says_nothing() {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let page = fetch(free, "mta-sts.example.com", "/", &ClientTls::new()).await;
        assert!(matches!(page, Page::Failed(_)), "{page:?}");
    }
}
