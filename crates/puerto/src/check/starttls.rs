//! Is mail that leaves this machine encrypted? A connection to port 25 of a large
//! receiver, as far as the handshake: where none of them offers STARTTLS, something on the
//! way takes it out.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use rustls::pki_types::CertificateDer;

use super::context::Context;
use super::net::{PORT25_OUT, TLS_OUT};
use super::outcome::Check;
use super::world::World;
use crate::config::{Config, TlsLevel};
use crate::deliver::probe::{self, Sight, Why};
use crate::lang::{NOT_IN_TIME, Said, harmless, said, system};
use crate::route::{Hop, Plan};
use crate::tls::ClientTls;

/// What became of one try to encrypt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Starttls {
    /// Agreed, and on what.
    Encrypted(Said),
    /// EHLO was answered, and STARTTLS was not in the answer.
    NotOffered,
    /// It was offered and then not done, and why.
    Failed(Said),
    /// The conversation did not come so far, which says nothing about TLS.
    NotTried(Said),
}

impl Starttls {
    /// What was seen, for people.
    pub(super) fn shown(&self) -> Said {
        match self {
            Self::Encrypted(what) | Self::Failed(what) | Self::NotTried(what) => what.clone(),
            Self::NotOffered => said!("no STARTTLS", "sin STARTTLS"),
        }
    }
}

/// Judges what became of the tries, each with the name of its host.
pub(super) fn judge<W: World>(context: &Context<'_, W>, tries: &[(String, Starttls)]) -> Check {
    let asked: Vec<_> = tries.iter().map(|(peer, _)| peer.as_str()).collect();
    let shown =
        tries.iter().map(|(peer, found)| Said::joined([&Said::words(peer), &found.shown()], ": "));
    let shown: Vec<Said> = shown.collect();
    let draft = context
        .about(&TLS_OUT, &context.helo)
        .asked(asked.join(", "))
        .with_said("shown", Said::joined(&shown, "; "));
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
    match tried.len() {
        _ if tries.is_empty() => draft.skipped(&PORT25_OUT),
        _ if tried.iter().any(|found| matches!(found, Starttls::Encrypted(_))) => draft.right(),
        // One alone may have a bad day, and silence says nothing.
        ..2 => draft.unknown("{shown}"),
        _ if tried.iter().all(|found| **found == Starttls::NotOffered) => draft
            .remedy((
                "Find the firewall or proxy between this machine and the Internet that inspects \
                 SMTP, and switch that off; or ask the hosting company",
                "Busque el cortafuegos o proxy entre esta máquina e Internet que inspecciona SMTP \
                 y desactívelo; o pregunte a la empresa de alojamiento",
            ))
            .finding((
                "STARTTLS is taken out on the way: {shown}",
                "algo en el camino quita STARTTLS: {shown}",
            )),
        _ => draft
            .remedy((
                "See whether a proxy on the way breaks TLS: openssl s_client -starttls smtp \
                 -connect HOST:25",
                "Mire si un proxy del camino rompe TLS: openssl s_client -starttls smtp -connect \
                 MÁQUINA:25",
            ))
            .finding(("no handshake succeeds: {shown}", "ninguna negociación sale bien: {shown}")),
    }
}

/// Tries to encrypt, as a delivery to a host of this name would; `source` is our address
/// and `helo` our name.
pub(super) async fn attempt(
    address: SocketAddr,
    source: Option<IpAddr>,
    names: (&str, &str),
    patience: Duration,
) -> Starttls {
    let looked = look(address, source, names, patience).await;
    looked.map_or_else(|silence| silence, |sight| of_sight(&sight))
}

/// The certificates that a host shows, its own first; else what came instead.
pub(super) async fn certificates(
    address: SocketAddr,
    names: (&str, &str),
    patience: Duration,
) -> Result<Vec<CertificateDer<'static>>, Starttls> {
    let mut sight = look(address, None, names, patience).await?;
    let shown = sight.inspected.take();
    shown.map(|shown| shown.chain).ok_or_else(|| of_sight(&sight))
}

async fn look(
    address: SocketAddr,
    source: Option<IpAddr>,
    (host, helo): (&str, &str),
    patience: Duration,
) -> Result<Sight, Starttls> {
    let mut config = Config::with_defaults(helo.to_owned());
    match source {
        Some(IpAddr::V4(source)) => config.delivery.bind_ipv4 = Some(source),
        Some(IpAddr::V6(source)) => config.delivery.bind_ipv6 = Some(source),
        None => {}
    }
    let hop = Hop::at(host, address);
    let client_tls = ClientTls::new();
    // Receivers' certificates are often not valid for their name: a look takes any.
    let plan = Plan::direct(host, Vec::new(), TlsLevel::Required);
    let looked = probe::look(&config, &client_tls, &plan, &hop, &[]);
    let silence = |_| Starttls::NotTried(NOT_IN_TIME.into());
    tokio::time::timeout(patience, looked).await.map_err(silence)
}

fn of_sight(sight: &Sight) -> Starttls {
    let why = || match &sight.failure {
        Some(Why::Session(failure)) => match failure.reply() {
            Some(reply) => Said::words(harmless(&reply.to_string())),
            None => Said::from(failure),
        },
        Some(Why::Handshake(reason)) => reason.said(),
        Some(Why::NotConnected(error)) => system(error),
        _ => Said::default(),
    };
    match (&sight.tls, &sight.offered) {
        (Some(agreed), _) => Starttls::Encrypted(agreed.said()),
        (None, Some(_)) if sight.offered_starttls => Starttls::Failed(why()),
        (None, Some(_)) => Starttls::NotOffered,
        (None, None) => Starttls::NotTried(why()),
    }
}

#[cfg(test)]
mod tests;
