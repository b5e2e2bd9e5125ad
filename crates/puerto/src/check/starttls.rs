//! Is mail that leaves this machine encrypted? A connection to port 25 of a large
//! receiver, as far as the handshake: where none of them offers STARTTLS, something on the
//! way takes it out.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::context::Context;
use super::net::PORT25_OUT;
use super::outcome::{Check, definitions};
use super::world::World;
use crate::config::{Config, TlsLevel};
use crate::deliver::probe::{self, Sight, Why};
use crate::lang::{Text, harmless};
use crate::route::{DestinationKey, Hop, Plan};
use crate::tls::ClientTls;

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
        return draft.not_applicable((
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
        return draft.pass("{shown}");
    }
    // One alone may have a bad day, and silence says nothing.
    if tried.len() < 2 {
        return draft.unknown("{shown}");
    }
    let good = Text::new("TLS 1.2 or 1.3 with all of them", "TLS 1.2 o 1.3 con todos");
    if tried.iter().all(|found| **found == Starttls::NotOffered) {
        return draft.finding(
            (
                "STARTTLS is taken out on the way: {shown}",
                "algo en el camino quita STARTTLS: {shown}",
            ),
            good,
            (
                "Find the firewall or proxy between this machine and the Internet that inspects \
                 SMTP, and switch that off; or ask the hosting company",
                "Busque el cortafuegos o proxy entre esta máquina e Internet que inspecciona SMTP \
                 y desactívelo; o pregunte a la empresa de alojamiento",
            ),
        );
    }
    draft.finding(
        ("no handshake succeeds: {shown}", "ninguna negociación sale bien: {shown}"),
        good,
        (
            "See whether a proxy on the way breaks TLS: openssl s_client -starttls smtp -connect \
             HOST:25",
            "Mire si un proxy del camino rompe TLS: openssl s_client -starttls smtp -connect \
             MÁQUINA:25",
        ),
    )
}

/// Tries to encrypt, as a delivery to a host of this name would; `source` is our address
/// and `helo` our name.
pub(super) async fn attempt(
    address: SocketAddr,
    source: Option<IpAddr>,
    (host, helo): (&str, &str),
    patience: Duration,
) -> Starttls {
    let mut config = Config::with_defaults(helo.to_owned());
    match source {
        Some(IpAddr::V4(source)) => config.delivery.bind_ipv4 = Some(source),
        Some(IpAddr::V6(source)) => config.delivery.bind_ipv6 = Some(source),
        None => {}
    }
    let hop = Hop { host: host.into(), address };
    let client_tls = ClientTls::new();
    // Receivers' certificates are often not valid for their name: a look takes any.
    let plan = Plan {
        key: DestinationKey(host.into()),
        hops: Vec::new(),
        tls: TlsLevel::Required,
        implicit_tls: false,
        login: None,
        exchangers_of: None,
        is_relay: false,
    };
    let looked = probe::look(&config, &client_tls, &plan, &hop, &[]);
    match tokio::time::timeout(patience, looked).await {
        Ok(sight) => of_sight(&sight),
        Err(_) => Starttls::NotTried("no answer in time".to_owned()),
    }
}

fn of_sight(sight: &Sight) -> Starttls {
    let why = || match &sight.failure {
        Some(Why::Session(failure)) => match failure.reply() {
            Some(reply) => harmless(&reply.to_string()),
            None => failure.to_string(),
        },
        Some(Why::Handshake(reason)) => reason.to_string(),
        Some(Why::NotConnected(error)) => error.to_string(),
        _ => String::new(),
    };
    match (&sight.tls, &sight.offered) {
        (Some(agreed), _) => Starttls::Encrypted(agreed.clone()),
        (None, Some(_)) if sight.offered_starttls => Starttls::Failed(why()),
        (None, Some(_)) => Starttls::NotOffered,
        (None, None) => Starttls::NotTried(why()),
    }
}

#[cfg(test)]
mod tests;
