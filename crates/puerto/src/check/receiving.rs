//! Where mail for the sender's domain goes: what is checked of this machine's own
//! listeners and mailboxes matters only if it comes here.

use std::net::IpAddr;

use puerto_mail::dns::DnsError;

use super::context::Context;
use super::outcome::{Draft, Judged};
use super::world::World;
use puerto_mail::together::together;

/// Hosts of one domain that are looked at.
const MAX_HOSTS: usize = 20;

/// Who receives mail for the domain.
#[derive(Debug)]
pub(super) enum Receiving {
    /// This server, under these names.
    Here(Vec<String>),
    /// Other hosts.
    Elsewhere(Vec<String>),
    /// Nobody: no MX and no address, or a null MX (RFC 7505).
    Nowhere,
    /// Addresses were given by hand, so that nothing is known of this machine.
    NotJudged,
    /// The DNS did not answer.
    Unknown(DnsError),
}

impl Receiving {
    /// Finds out by the addresses of the hosts that the mail goes to.
    pub(super) async fn find<W: World>(context: &Context<'_, W>) -> Self {
        if context.egress_given {
            return Self::NotJudged;
        }
        Self::look(context).await.unwrap_or_else(Self::Unknown)
    }

    async fn look<W: World>(context: &Context<'_, W>) -> Result<Self, DnsError> {
        let mut hosts = context.exchangers().await?;
        hosts.truncate(MAX_HOSTS);
        let (mut ours, mut exists) = (Vec::new(), false);
        let found = together(hosts.iter().map(|host| context.world.addresses(host))).await;
        for (host, addresses) in hosts.iter().zip(found) {
            let addresses = addresses?;
            exists |= !addresses.is_empty();
            let is_ours =
                |address| context.egress.contains(address) || listens_at(context, *address);
            if *host == context.helo || addresses.iter().any(is_ours) {
                ours.push(host.clone());
            }
        }
        Ok(match (ours.is_empty(), exists) {
            (false, _) => Self::Here(ours),
            (true, true) => Self::Elsewhere(hosts),
            (true, false) => Self::Nowhere,
        })
    }

    /// The names under which this server receives, if it does; else the outcome of a
    /// check that is about this.
    pub(super) fn here(&self, draft: &Draft) -> Judged<&[String]> {
        let draft = draft.clone();
        let check = match self {
            Self::Here(hosts) => return Ok(hosts),
            Self::Elsewhere(hosts) => draft.list("hosts", hosts).not_applicable((
                "mail for the domain is received by {hosts}, not by this server",
                "el correo del dominio lo recibe {hosts}, no este servidor",
            )),
            Self::Nowhere => draft.not_applicable((
                "nobody receives mail for the domain",
                "nadie recibe el correo del dominio",
            )),
            Self::NotJudged => draft.not_applicable((
                "the addresses given are judged, not this machine",
                "se juzgan las direcciones indicadas, no esta máquina",
            )),
            Self::Unknown(error) => draft.no_answer(error),
        };
        check.fails()
    }
}

// Listeners at every address say nothing about whose address it is.
fn listens_at<W: World>(context: &Context<'_, W>, address: IpAddr) -> bool {
    context.config.listen.smtp.iter().any(|listener| listener.ip() == address)
}
