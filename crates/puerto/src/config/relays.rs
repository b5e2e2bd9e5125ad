//! The next hops that a configuration names, and for whom their logins are.

use super::{Config, Login, NextHop, TlsLevel};
use crate::lang::Said;

/// A next hop that the configuration names, with what holds there.
#[derive(Debug, Clone, Copy)]
pub struct Relay<'a> {
    /// Where mail goes.
    pub next_hop: &'a NextHop,
    /// AUTH there.
    pub login: Option<&'a Login>,
    /// What is demanded of TLS on the way.
    pub tls: TlsLevel,
    /// What names it.
    pub named: Named,
}

/// What of the configuration names a next hop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Named {
    /// `relayhost`.
    Relayhost,
    /// The route at this place, counted from 0.
    Route(usize),
    /// `[rescue]`.
    Rescue,
}

impl Config {
    /// All next hops that are named: `relayhost`, then those of routes, in their order, then
    /// that of `[rescue]`.
    pub fn relays(&self) -> impl Iterator<Item = Relay<'_>> {
        let relayhost = self.relayhost.iter().map(|next_hop| Relay {
            next_hop,
            login: self.relayhost_login.as_ref(),
            tls: self.delivery.tls,
            named: Named::Relayhost,
        });
        let routes = self.routes.iter().enumerate().filter_map(|(place, route)| {
            let (next_hop, login) = (route.via.as_ref()?, route.login.as_ref());
            Some(Relay { next_hop, login, tls: route.tls, named: Named::Route(place) })
        });
        let rescue = self.rescue.via.iter().map(|next_hop| Relay {
            next_hop,
            login: self.rescue.login.as_ref(),
            tls: self.rescue.tls,
            named: Named::Rescue,
        });
        relayhost.chain(routes).chain(rescue)
    }

    /// Who takes what is refused for our addresses; nobody where a relay takes all mail.
    pub fn rescuer(&self) -> Option<&NextHop> {
        self.rescue.via.as_ref().filter(|_| self.relayhost.is_none())
    }

    /// What is configured for a next hop. A login is for the one that it is configured for
    /// and for nobody else: with brackets added that is the same host, found by less.
    pub fn relay_of(&self, next_hop: &NextHop) -> Option<Relay<'_>> {
        let with_brackets = |known: &NextHop| known.in_brackets().as_ref() == Some(next_hop);
        let exact = self.relays().find(|relay| relay.next_hop == next_hop);
        exact.or_else(|| self.relays().find(|relay| with_brackets(relay.next_hop)))
    }

    /// The next hop that is meant by `written`: one that is named here, however it is
    /// spelt, or else what is written.
    pub fn next_hop_of(&self, written: &str) -> Result<NextHop, Said> {
        let hop = NextHop::parse(written)?;
        let mut known = self.relays().map(|relay| relay.next_hop);
        if self.relays().any(|relay| *relay.next_hop == hop) {
            return Ok(hop);
        }
        Ok(known.find_map(|known| known.as_written(written)).unwrap_or(hop))
    }
}
