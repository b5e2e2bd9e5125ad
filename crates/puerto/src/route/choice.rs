//! Which rule of the configuration holds for a sender and a recipient's domain.

use puerto_smtp::{Domain, ReversePath};

use super::{Machine, address};
use crate::config::{Config, Login, NextHop, Route, TlsLevel};

/// The rule that holds.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Choice {
    /// A domain of ours.
    Local,
    /// A next hop that the configuration names.
    Relay(Box<Relay>),
    /// The recipient domain's own mail exchanger.
    Exchanger(TlsLevel),
}

/// A next hop that the configuration names.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Relay {
    pub(super) next_hop: NextHop,
    pub(super) user: Option<(String, std::path::PathBuf)>,
    pub(super) tls: TlsLevel,
    /// `relayhost`, or the route's own words.
    pub(super) rule: String,
}

impl Relay {
    fn new(next_hop: &NextHop, login: Option<&Login>, tls: TlsLevel, rule: String) -> Self {
        let user = login.map(|login| (login.user.clone(), login.password_file.clone()));
        Self { next_hop: next_hop.clone(), user, tls, rule }
    }

    pub(super) fn login(&self) -> Option<Login> {
        let (user, password_file) = self.user.clone()?;
        Some(Login { user, password_file })
    }
}

/// The first route that matches, else the relayhost, else the domain's exchanger.
/// Domains of ours come before everything.
pub(super) fn choose(
    config: &Config,
    machine: &Machine,
    reverse_path: &ReversePath,
    domain: &Domain,
) -> Choice {
    if is_local(config, domain) || is_own_literal(config, machine, domain) {
        return Choice::Local;
    }
    let route = config.routes.iter().find(|route| matches(route, reverse_path, domain));
    if let Some(route) = route {
        let rule = format!("route to {}", route.to.as_deref().unwrap_or("every domain"));
        return match &route.via {
            Some(via) => {
                Choice::Relay(Box::new(Relay::new(via, route.login.as_ref(), route.tls, rule)))
            }
            None => Choice::Exchanger(route.tls),
        };
    }
    match &config.relayhost {
        Some(relay) => {
            let login = config.relayhost_login.as_ref();
            let rule = "relayhost".to_owned();
            Choice::Relay(Box::new(Relay::new(relay, login, config.delivery.tls, rule)))
        }
        None => Choice::Exchanger(config.delivery.tls),
    }
}

/// Whether the users of a domain live on this machine, as far as its name says: one
/// of `domains`, our host name, or `localhost`. A loopback address counts as well.
pub fn is_local(config: &Config, domain: &Domain) -> bool {
    match domain {
        Domain::Name(name) => {
            config.domains.contains(domain)
                || name.eq_ignore_ascii_case(&config.hostname)
                || matches!(&**name, "localhost" | "localhost.localdomain")
        }
        Domain::Literal(ip) => address::canonical(*ip).is_loopback(),
    }
}

fn is_own_literal(config: &Config, machine: &Machine, domain: &Domain) -> bool {
    let Domain::Literal(ip) = domain else { return false };
    let ip = address::canonical(*ip);
    let listeners = &config.listen.smtp;
    let explicit = listeners.iter().any(|listener| address::canonical(listener.ip()) == ip);
    let everywhere = listeners.iter().any(|listener| listener.ip().is_unspecified());
    explicit || everywhere && (machine.addresses)().contains(&ip)
}

fn matches(route: &Route, reverse_path: &ReversePath, domain: &Domain) -> bool {
    let to = route.to.as_deref().is_none_or(|pattern| domain_matches(pattern, domain));
    let from = route.from.as_deref().is_none_or(|pattern| sender_matches(pattern, reverse_path));
    to && from
}

// "*.example.net" stands for example.net and everything below it.
fn domain_matches(pattern: &str, domain: &Domain) -> bool {
    let text = domain.to_string();
    match pattern.strip_prefix("*.") {
        None => pattern == "*" || text.eq_ignore_ascii_case(pattern),
        Some(parent) => {
            let name = text.to_lowercase();
            let parent = parent.to_lowercase();
            name == parent || name.strip_suffix(&parent).is_some_and(|rest| rest.ends_with('.'))
        }
    }
}

// "@example.com" stands for every address of that domain. Local parts are compared
// as they are written, apart from their case: nobody means two people by it here.
fn sender_matches(pattern: &str, reverse_path: &ReversePath) -> bool {
    let Some(address) = reverse_path.address() else { return pattern == "<>" };
    match pattern.strip_prefix('@') {
        Some(domain) => domain_matches(domain, address.domain()),
        None => address.to_string().eq_ignore_ascii_case(pattern),
    }
}
