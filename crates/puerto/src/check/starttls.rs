//! Is mail that leaves this machine encrypted? A connection to port 25 of a large
//! receiver, as far as the handshake: where none of them offers STARTTLS, something on the
//! way takes it out.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use rustls::pki_types::ServerName;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufStream};
use tokio::net::{TcpSocket, TcpStream};

use super::context::Context;
use super::net::PORT25_OUT;
use super::outcome::{Check, definitions};
use super::world::World;
use crate::config::TlsLevel;
use crate::lang::{Text, harmless};
use crate::tls::{ClientTls, handshake_failure, summary};

definitions! {
    TLS_OUT = "tls.out" Error "RFC 3207 §6; RFC 8996 §4" [
        "Mail that leaves this machine is encrypted",
        "El correo que sale de esta máquina va cifrado",
        "Large receivers offer STARTTLS, and Gmail marks mail that comes without it. Where none of \
         them seems to offer it, a firewall or proxy on the way takes the offer out (Cisco calls \
         that `fixup` or `inspect` smtp or esmtp); where the handshake fails with all, the system's \
         cryptographic policy is wrong.",
        "Los grandes receptores ofrecen STARTTLS, y Gmail señala el correo que llega sin él. Si \
         parece que ninguno lo ofrece, un cortafuegos o proxy del camino quita la oferta (Cisco lo \
         llama `fixup` o `inspect` smtp o esmtp); si la negociación falla con todos, la política \
         criptográfica del sistema está mal.",
    ];
}

/// Octets of a reply that are read.
const MAX_REPLY: u64 = 16 * 1024;

/// What became of one try to encrypt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Starttls {
    /// Agreed, and on what.
    Encrypted(String),
    /// EHLO was answered, and STARTTLS was not in the answer.
    NotOffered,
    /// It was offered and then not done, and why.
    Failed(String),
    /// The conversation did not come so far, which says nothing about TLS.
    NotTried(String),
}

impl Starttls {
    fn shown(&self) -> String {
        match self {
            Self::Encrypted(what) | Self::Failed(what) | Self::NotTried(what) => what.clone(),
            Self::NotOffered => "no STARTTLS".to_owned(),
        }
    }
}

/// Judges what became of the tries, each with the name of its host.
pub(super) fn judge<W: World>(context: &Context<'_, W>, tries: &[(String, Starttls)]) -> Check {
    let asked: Vec<_> = tries.iter().map(|(peer, _)| peer.as_str()).collect();
    let shown: Vec<_> =
        tries.iter().map(|(peer, found)| format!("{peer}: {}", found.shown())).collect();
    let draft = context
        .about(&TLS_OUT, &context.helo)
        .asked(asked.join(", "))
        .with("shown", shown.join("; "));
    if context.config.delivery.tls == TlsLevel::None {
        return draft.not_applicable(Text::new(
            "[delivery] tls = \"none\": nothing is encrypted",
            "[delivery] tls = \"none\": no se cifra nada",
        ));
    }
    let tried: Vec<&Starttls> = tries
        .iter()
        .map(|(_, found)| found)
        .filter(|found| !matches!(found, Starttls::NotTried(_)))
        .collect();
    if tries.is_empty() {
        return draft.skipped(&PORT25_OUT);
    }
    if tried.iter().any(|found| matches!(found, Starttls::Encrypted(_))) {
        return draft.pass(Text::same("{shown}"));
    }
    // One alone may have a bad day, and silence says nothing.
    if tried.len() < 2 {
        return draft.unknown(Text::same("{shown}"));
    }
    let good = Text::new("TLS 1.2 or 1.3 with all of them", "TLS 1.2 o 1.3 con todos");
    if tried.iter().all(|found| **found == Starttls::NotOffered) {
        return draft.finding(
            Text::new(
                "STARTTLS is taken out on the way: {shown}",
                "algo en el camino quita STARTTLS: {shown}",
            ),
            good,
            Text::new(
                "Find the firewall or proxy between this machine and the Internet that inspects \
                 SMTP, and switch that off; or ask the hosting company",
                "Busque el cortafuegos o proxy entre esta máquina e Internet que inspecciona SMTP \
                 y desactívelo; o pregunte a la empresa de alojamiento",
            ),
        );
    }
    draft.finding(
        Text::new("no handshake succeeds: {shown}", "ninguna negociación sale bien: {shown}"),
        good,
        Text::new(
            "See whether a proxy on the way breaks TLS: openssl s_client -starttls smtp -connect \
             HOST:25",
            "Mire si un proxy del camino rompe TLS: openssl s_client -starttls smtp -connect \
             MÁQUINA:25",
        ),
    )
}

/// Tries it: `host` is the peer's name, `helo` ours.
pub(super) async fn attempt(
    peer: SocketAddr,
    source: Option<IpAddr>,
    (host, helo): (&str, &str),
    patience: Duration,
) -> Starttls {
    let conversation = converse(peer, source, host, helo);
    match tokio::time::timeout(patience, conversation).await {
        Ok(Ok(found)) => found,
        Ok(Err(error)) => Starttls::NotTried(error.to_string()),
        Err(_) => Starttls::NotTried("no answer in time".to_owned()),
    }
}

async fn converse(
    peer: SocketAddr,
    source: Option<IpAddr>,
    host: &str,
    helo: &str,
) -> std::io::Result<Starttls> {
    let socket = if peer.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    if let Some(source) = source {
        socket.bind(SocketAddr::new(source, 0))?;
    }
    let mut stream = BufStream::new(socket.connect(peer).await?);
    let greeting = reply(&mut stream).await?;
    let offers = match greeting.first() {
        Some(line) if line.starts_with("220") => ask(&mut stream, &format!("EHLO {helo}")).await?,
        _ => greeting,
    };
    if !offers.first().is_some_and(|line| line.starts_with("250")) {
        return Ok(Starttls::NotTried(offers.concat()));
    }
    let keyword = |line: &String| line.get(4..).unwrap_or_default().trim().to_ascii_uppercase();
    if !offers.iter().any(|line| keyword(line) == "STARTTLS") {
        let _ = ask(&mut stream, "QUIT").await;
        return Ok(Starttls::NotOffered);
    }
    let answer = ask(&mut stream, "STARTTLS").await?;
    if !answer.first().is_some_and(|line| line.starts_with("220")) {
        return Ok(Starttls::Failed(answer.concat()));
    }
    let name = ServerName::try_from(host.to_owned()).map_err(std::io::Error::other)?;
    // Receivers' certificates are often not valid for their name: that is not asked here.
    let connector = ClientTls::new().unverified().map_err(std::io::Error::other)?;
    match connector.connect(name, stream.into_inner()).await {
        Ok(mut stream) => {
            let (_, session) = stream.get_ref();
            let agreed = summary(session.protocol_version(), session.negotiated_cipher_suite());
            let _ = stream.write_all(b"QUIT\r\n").await;
            Ok(Starttls::Encrypted(agreed))
        }
        Err(error) => Ok(Starttls::Failed(handshake_failure(&error))),
    }
}

async fn ask(stream: &mut BufStream<TcpStream>, line: &str) -> std::io::Result<Vec<String>> {
    stream.write_all(format!("{line}\r\n").as_bytes()).await?;
    stream.flush().await?;
    reply(stream).await
}

// The lines of a reply, as people may see them.
async fn reply(stream: &mut BufStream<TcpStream>) -> std::io::Result<Vec<String>> {
    let mut lines = Vec::new();
    let mut limited = stream.take(MAX_REPLY);
    loop {
        let mut octets = Vec::new();
        if limited.read_until(b'\n', &mut octets).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        let text = String::from_utf8_lossy(&octets);
        let line = harmless(text.trim_end());
        let goes_on = line.as_bytes().get(3) == Some(&b'-');
        lines.push(line);
        if !goes_on {
            return Ok(lines);
        }
    }
}

#[cfg(test)]
mod tests;
