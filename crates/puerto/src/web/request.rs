//! One request and one answer of HTTP/1.1 (RFC 9112): no more of it than is needed, and what
//! is not understood is refused.

use tokio::io::{AsyncRead, AsyncReadExt as _};

/// Octets of a request's header at most.
const LONGEST: usize = 8 * 1024;

/// What somebody asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Request {
    /// Without a question behind it.
    pub(super) path: String,
    /// The host that it is asked of, in lower case, without a port; "" if it is not said.
    pub(super) host: String,
    /// Nothing but the header is wanted.
    pub(super) is_head: bool,
}

impl Request {
    /// Reads a request; within, the status that refuses it.
    pub(super) async fn read<S: AsyncRead + Unpin>(
        stream: &mut S,
    ) -> std::io::Result<Result<Self, u16>> {
        let mut octets = Vec::with_capacity(1024);
        loop {
            let before = octets.len();
            if stream.read_buf(&mut octets).await? == 0 {
                return Ok(Err(400));
            }
            // The end may have begun in what came before.
            let from = before.saturating_sub(3);
            let end = octets.get(from..).and_then(|new| memchr::memmem::find(new, b"\r\n\r\n"));
            match end {
                Some(end) if from + end <= LONGEST => {
                    return Ok(Self::parse(octets.get(..from + end).unwrap_or_default()));
                }
                None if octets.len() <= LONGEST => {}
                _ => return Ok(Err(431)),
            }
        }
    }

    fn parse(head: &[u8]) -> Result<Self, u16> {
        let head = std::str::from_utf8(head).map_err(|_| 400u16)?;
        let mut lines = head.split("\r\n");
        let mut words = lines.next().unwrap_or_default().split(' ');
        let (Some(method), Some(target), Some(version), None) =
            (words.next(), words.next(), words.next(), words.next())
        else {
            return Err(400);
        };
        if !matches!(version, "HTTP/1.1" | "HTTP/1.0") {
            return Err(if version.starts_with("HTTP/") { 505 } else { 400 });
        }
        let mut hosts = Vec::new();
        for line in lines {
            let (name, value) = line.split_once(':').ok_or(400u16)?;
            // RFC 9112 §5.1: no space may stand before the colon.
            if name.is_empty() || name.contains([' ', '\t']) {
                return Err(400);
            }
            if name.eq_ignore_ascii_case("host") {
                hosts.push(value.trim());
            }
        }
        // RFC 9112 §3.2: one and no more.
        let host = match (hosts.as_slice(), version) {
            ([one], _) => without_port(one),
            ([], "HTTP/1.0") => String::new(),
            _ => return Err(400),
        };
        let is_head = match method {
            "GET" => false,
            "HEAD" => true,
            _ => return Err(405),
        };
        // RFC 9112 §3.2.2: it may be asked as a proxy is.
        let path = match target.strip_prefix("http://").or(target.strip_prefix("https://")) {
            Some(rest) => rest.find('/').and_then(|at| rest.get(at..)).unwrap_or("/"),
            None => target,
        };
        if !path.starts_with('/') {
            return Err(400);
        }
        let path = path.split('?').next().unwrap_or_default().to_owned();
        Ok(Self { path, host, is_head })
    }
}

fn without_port(host: &str) -> String {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|octet| octet.is_ascii_digit()) => name,
        _ => host,
    };
    name.trim_end_matches('.').to_ascii_lowercase()
}

/// What is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) body: String,
    has_body: bool,
}

impl Reply {
    /// A page of text.
    pub(super) fn text(body: String) -> Self {
        Self { status: 200, body, has_body: true }
    }

    /// A status, in words.
    pub(super) fn status(status: u16) -> Self {
        Self { status, body: format!("{}\n", reason(status)), has_body: true }
    }

    /// The header alone, as of the whole (RFC 9110 §9.3.2).
    pub(super) fn without_body_if(self, is_head: bool) -> Self {
        Self { has_body: !is_head, ..self }
    }

    /// As it is sent. The connection ends with it.
    pub(super) fn octets(&self) -> Vec<u8> {
        let Self { status, body, has_body } = self;
        let allow = if *status == 405 { "Allow: GET, HEAD\r\n" } else { "" };
        let shown = if *has_body { body.as_str() } else { "" };
        format!(
            "HTTP/1.1 {status} {}\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\
             X-Content-Type-Options: nosniff\r\n{allow}Connection: close\r\n\r\n{shown}",
            reason(*status),
            body.len()
        )
        .into_bytes()
    }
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        400 => "Bad Request",
        404 => "Not Found",
        405 => "Method Not Allowed",
        431 => "Request Header Fields Too Large",
        505 => "HTTP Version Not Supported",
        _ => "Error",
    }
}
