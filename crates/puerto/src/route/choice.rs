//! Which rule of the configuration holds for a sender and a recipient's domain.

use std::net::IpAddr;

use puerto_smtp::{Domain, ReversePath, Verp};

use super::{Machine, address};
use crate::config::{Config, Named, Route, TlsLevel, domain_matches, same_name, sender_matches};

/// The rule that holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Choice {
    /// A domain of ours.
    Local,
    /// A next hop that the configuration names.
    Relay(Named),
    /// The recipient domain's own mail exchanger.
    Exchanger(TlsLevel),
}

/// The first route that matches, else the relayhost, else the domain's exchanger.
/// Domains of ours come before everything.
pub(super) fn choose(
    config: &Config,
    machine: &Machine,
    reverse_path: &ReversePath,
    domain: &Domain,
) -> Choice {
    if is_here(config, domain) || is_own_literal(config, &machine.addresses, domain) {
        return Choice::Local;
    }
    let mut routes = config.routes.iter().enumerate();
    match routes.find(|(_, route)| matches(route, reverse_path, domain)) {
        Some((place, Route { via: Some(_), .. })) => Choice::Relay(Named::Route(place)),
        Some((_, route)) => Choice::Exchanger(route.tls),
        // A relayhost would send it back: we are their exchanger ourselves, or stand before it.
        None if config.relayhost.is_some() && !is_relayed(config, domain) => {
            Choice::Relay(Named::Relayhost)
        }
        None => Choice::Exchanger(config.delivery.tls),
    }
}

/// How mail that this server's own users, clients or programs send to a domain is to name
/// its recipient in its reverse-path, as the route that holds for it says.
pub fn verp(config: &Config, reverse_path: &ReversePath, domain: &Domain) -> Option<Verp> {
    if reverse_path.is_null() || config.routes.iter().all(|route| route.verp.is_none()) {
        return None;
    }
    config.routes.iter().find(|route| matches(route, reverse_path, domain))?.verp
}

/// Whether the users of a domain live on this machine, as far as its name says: one
/// of `domains`, our host name, or `localhost`. A loopback address counts as well.
pub fn is_local(config: &Config, domain: &Domain) -> bool {
    match domain {
        Domain::Name(name) => {
            let ours = config.domains.iter().filter_map(Domain::name);
            same_name(name, &config.hostname)
                || matches!(&**name, "localhost" | "localhost.localdomain")
                || ours.into_iter().any(|ours| same_name(name, ours))
        }
        Domain::Literal(ip) => address::canonical(*ip).is_loopback(),
    }
}

/// Whether a domain's mail ends here: its users live on this machine, or the table of
/// `[virtual]` says where they do.
pub fn is_here(config: &Config, domain: &Domain) -> bool {
    is_local(config, domain) || is_virtual(config, domain)
}

/// Whether a domain has no users of this machine, but addresses that stand for others.
pub fn is_virtual(config: &Config, domain: &Domain) -> bool {
    let Domain::Name(name) = domain else { return false };
    let domains = &config.virtual_addresses.domains;
    domains
        .iter()
        .chain(&config.srs.domain)
        .filter_map(Domain::name)
        .any(|ours| same_name(name, ours))
        && !is_local(config, domain)
}

/// Whether a domain is somebody else's whose mail is taken from everybody and handed on.
/// An address literal never is.
pub fn is_relayed(config: &Config, domain: &Domain) -> bool {
    matches!(domain, Domain::Name(_))
        && config.relay_domains.iter().any(|pattern| domain_matches(pattern, domain))
        && !is_here(config, domain)
}

/// Whether a domain is the address of one of our listeners for mail. The kernel is asked
/// for the interfaces' addresses only where they matter: this is asked of every message.
pub(super) fn is_own_literal(
    config: &Config,
    interfaces: impl Fn() -> Vec<IpAddr>,
    domain: &Domain,
) -> bool {
    let Domain::Literal(ip) = domain else { return false };
    let ip = address::canonical(*ip);
    let listeners = &config.listen.smtp;
    listeners.iter().any(|listener| match listener.ip().is_unspecified() {
        true => interfaces().contains(&ip),
        false => address::canonical(listener.ip()) == ip,
    })
}

fn matches(route: &Route, reverse_path: &ReversePath, domain: &Domain) -> bool {
    let to = route.to.as_deref().is_none_or(|pattern| domain_matches(pattern, domain));
    let from = route.from.as_deref().is_none_or(|pattern| sender_matches(pattern, reverse_path));
    to && from
}
