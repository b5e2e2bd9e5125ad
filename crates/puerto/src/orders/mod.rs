//! What an administrator has ordered until it ends or is taken back: destinations that are
//! paused, new mail that is held, mail that goes another way.
//!
//! An order is a value that the store keeps with the queue, for all nodes; `control` gives
//! and takes them back and puts in force here what the store has. `queue`, `intake` and
//! `route` look at what is in force, which costs them nothing as long as there is nothing.

use std::sync::{Arc, Mutex, PoisonError, RwLock};

use puerto_smtp::{Domain, Envelope, ReversePath};
use puerto_spool::Timestamp;
use puerto_spool::clock::Clock;
use serde::{Deserialize, Serialize};

use crate::config::{
    Config, Login, NextHop, Route, domain_matches, means_account, sender_matches, whole_domain,
};
use crate::lang::{Said, said};

/// An order, as the store keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// What is ordered.
    pub what: What,
    /// When it was given.
    pub since: Timestamp,
    /// When it ends, if it does by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// The user who gave it.
    pub by: u32,
    /// What they say about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// What is ordered. Domains are written as in a route: `example.net`, `*.example.net` for it
/// and all below it, `*` for all; senders as an address, `@domain` or `<>`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum What {
    /// Nothing is tried for recipients in this domain.
    Pause {
        /// The domain.
        to: String,
        /// Only mail of this sender.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        from: Option<String>,
    },
    /// New mail that fits all of these is held.
    Hold {
        /// A recipient: a domain, `@domain` or an address.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        to: Option<String>,
        /// The sender.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        from: Option<String>,
        /// The account that hands it over.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        account: Option<String>,
        /// It has more octets.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        larger: Option<u64>,
    },
    /// Mail for this domain goes by this next hop.
    Reroute {
        /// The domain.
        to: String,
        /// Only mail of this sender.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        from: Option<String>,
        /// The next hop, as `relayhost` is written.
        via: String,
    },
}

impl What {
    /// The same with its domains as queue and history have them: without the final dot that a zone
    /// file gives them.
    #[must_use]
    pub fn without_final_dots(mut self) -> Self {
        let (to, from) = match &mut self {
            Self::Pause { to, from } | Self::Reroute { to, from, .. } => (Some(to), from.as_mut()),
            Self::Hold { to, from, .. } => (to.as_mut(), from.as_mut()),
        };
        for text in [to, from].into_iter().flatten() {
            if text.ends_with('.') {
                text.pop();
            }
        }
        self
    }

    /// Why it cannot be.
    pub fn fault(&self) -> Option<Said> {
        let is_domain = |text: &str| {
            let name = text.strip_prefix("*.").unwrap_or(text);
            text == "*" || Domain::parse(name).is_ok()
        };
        // An order looks at whole names: what looks like a pattern would do nothing.
        let is_address =
            |text: &str| !text.contains(['*', '?']) && puerto_smtp::Address::parse(text).is_ok();
        let is_sender = |text: &str| {
            text == "<>" || whole_domain(text).map_or_else(|| is_address(text), is_domain)
        };
        let (to, from) = match self {
            Self::Pause { to, from } | Self::Reroute { to, from, .. } => (Some(to), from),
            Self::Hold { to, from, .. } => (to.as_ref(), from),
        };
        let is_recipient = |text: &str| match self {
            Self::Hold { .. } => is_domain(text) || is_sender(text),
            _ => is_domain(text),
        };
        // A user's name would be taken for a domain, and do nothing.
        let is_one_label = |text: &&String| {
            text.bytes().all(|o| o.is_ascii_alphanumeric() || o == b'-' || o == b'_')
        };
        if let Some(to) = to.filter(is_one_label).filter(|to| *to != "localhost") {
            return Some(said!(
                "`{to}` has no dot: write {to}.example.net, {to}@example.net for an address, or `{to}.` \
                 for a domain of that name",
                "`{to}` no tiene ningún punto: escriba {to}.example.net, {to}@example.net para una \
                 dirección o `{to}.` para un dominio con ese nombre"; to = to
            ));
        }
        if let Some(to) = to.filter(|to| !is_recipient(to)) {
            return Some(said!(
                "`{to}` is no domain: write example.net, *.example.net for all below it too, or *",
                "`{to}` no es un dominio: escriba example.net, *.example.net para incluir también \
                 los que están por debajo, o *"; to = to
            ));
        }
        if let Some(from) = from.as_ref().filter(|from| !is_sender(from)) {
            return Some(said!(
                "`{from}` is no sender: write an address, @example.com, or <>",
                "`{from}` no es un remitente: escriba una dirección, @example.com o <>"; from = from
            ));
        }
        match self {
            Self::Reroute { via, .. } => NextHop::parse(via).err(),
            Self::Hold { to: None, from: None, account: None, larger: None } => Some(said!(
                "which mail is to be held? Say --to, --from, --account or --larger",
                "¿qué correo se ha de retener? Indique --to, --from, --account o --larger"
            )),
            Self::Hold { account: Some(account), .. }
                if account.trim().is_empty() || account.contains(['*', '?']) =>
            {
                Some(said!(
                    "`{account}` is no account's name: say which one is meant",
                    "`{account}` no es el nombre de ninguna cuenta: indique cuál"; account = account
                ))
            }
            Self::Hold { .. } | Self::Pause { .. } => None,
        }
    }
}

/// What is in force. It is cloned freely.
#[derive(Clone, Default)]
pub struct Orders(Arc<InForce>);

#[derive(Default)]
struct InForce {
    standing: RwLock<Arc<Standing>>,
    /// Without one nothing ends.
    clock: Option<Arc<dyn Clock>>,
    rerouted: Mutex<Option<Rerouted>>,
}

/// A configuration with the routes that orders put before its own.
struct Rerouted {
    from: Arc<Config>,
    version: u64,
    ends: Option<Timestamp>,
    config: Arc<Config>,
}

impl std::fmt::Debug for Orders {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Orders").field(&self.get().orders).finish()
    }
}

impl Orders {
    /// None yet, which will end by this clock.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self(Arc::new(InForce { clock: Some(clock), ..InForce::default() }))
    }

    /// What is in force now.
    pub fn get(&self) -> Arc<Standing> {
        Arc::clone(&self.0.standing.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts in force what the store has: numbers and orders. One that this version does not
    /// know is left to those that do. Says whether that is another than before.
    pub fn replace(&self, kept: Vec<(u64, String)>) -> bool {
        let mut slot = self.0.standing.write().unwrap_or_else(PoisonError::into_inner);
        if slot.kept == kept {
            return false;
        }
        let version = slot.version + 1;
        *slot = Arc::new(Standing::of(kept, version));
        true
    }

    /// The configuration by which mail finds its way: with the routes that were ordered before
    /// its own. It is the same one as long as nothing changes.
    pub fn way(&self, config: Arc<Config>) -> Arc<Config> {
        let standing = self.get();
        if !standing.has_reroutes {
            return config;
        }
        let now = self.0.clock.as_ref().map_or(Timestamp::default(), |clock| clock.now());
        let mut made = self.0.rerouted.lock().unwrap_or_else(PoisonError::into_inner);
        let holds = |made: &&Rerouted| {
            Arc::ptr_eq(&made.from, &config)
                && made.version == standing.version
                && made.ends.is_none_or(|end| now < end)
        };
        if let Some(made) = made.as_ref().filter(holds) {
            return Arc::clone(&made.config);
        }
        let rerouted = Arc::new(standing.rerouted(&config, now));
        *made = Some(Rerouted {
            from: config,
            version: standing.version,
            ends: standing.next_reroute_ends(now),
            config: Arc::clone(&rerouted),
        });
        rerouted
    }
}

/// The orders of one moment.
#[derive(Debug, Default)]
pub struct Standing {
    /// By their numbers.
    pub orders: Vec<(u64, Order)>,
    kept: Vec<(u64, String)>,
    version: u64,
    has_pauses: bool,
    has_holds: bool,
    has_reroutes: bool,
}

impl Standing {
    fn of(kept: Vec<(u64, String)>, version: u64) -> Self {
        let read = |(number, text): &(u64, String)| {
            serde_json::from_str::<Order>(text).ok().map(|order| (*number, order))
        };
        let orders: Vec<(u64, Order)> = kept.iter().filter_map(read).collect();
        let has = |is_meant: fn(&What) -> bool| orders.iter().any(|(_, o)| is_meant(&o.what));
        Self {
            has_pauses: has(|what| matches!(what, What::Pause { .. })),
            has_holds: has(|what| matches!(what, What::Hold { .. })),
            has_reroutes: has(|what| matches!(what, What::Reroute { .. })),
            orders,
            kept,
            version,
        }
    }

    /// Whether anything is paused.
    pub fn has_pauses(&self) -> bool {
        self.has_pauses
    }

    /// Those that are in force at a time.
    pub fn in_force(&self, now: Timestamp) -> impl Iterator<Item = &(u64, Order)> {
        self.orders.iter().filter(move |(_, order)| !order.is_over(now))
    }

    /// The orders in force that say where mail goes and whether it does, by their numbers; of
    /// another way, with its next hop.
    pub fn directions(&self, now: Timestamp) -> Vec<(u64, Option<NextHop>)> {
        if !self.has_reroutes && !self.has_pauses {
            return Vec::new();
        }
        let directions = self.in_force(now).filter_map(|(number, order)| match &order.what {
            What::Reroute { via, .. } => Some((*number, NextHop::parse(via).ok())),
            What::Pause { .. } => Some((*number, None)),
            What::Hold { .. } => None,
        });
        directions.collect()
    }

    /// If mail of this sender for this domain is paused: the number of the order that lasts
    /// longest, and until when (`None`: until it is taken back).
    pub fn pause_of(
        &self,
        from: &ReversePath,
        domain: &Domain,
        now: Timestamp,
    ) -> Option<(u64, Option<Timestamp>)> {
        if !self.has_pauses {
            return None;
        }
        self.last_pause(now, |to, sender| {
            domain_matches(to, domain) && sender.is_none_or(|sender| sender_matches(sender, from))
        })
    }

    /// The one that mail for a domain waits for whoever sent it.
    pub fn pause_of_all(
        &self,
        domain: &Domain,
        now: Timestamp,
    ) -> Option<(u64, Option<Timestamp>)> {
        self.last_pause(now, |to, sender| sender.is_none() && domain_matches(to, domain))
    }

    // Of several pauses, the one that ends last is what is waited for.
    fn last_pause(
        &self,
        now: Timestamp,
        is_meant: impl Fn(&str, Option<&str>) -> bool,
    ) -> Option<(u64, Option<Timestamp>)> {
        let paused = self.in_force(now).filter_map(|(number, order)| match &order.what {
            What::Pause { to, from } => {
                is_meant(to, from.as_deref()).then_some((*number, order.until))
            }
            What::Hold { .. } | What::Reroute { .. } => None,
        });
        paused.max_by_key(|(_, until)| until.map_or(i64::MAX, Timestamp::as_millis))
    }

    /// The number of the order by which new mail is held, if there is one; `domains` are ours.
    pub fn hold_of(
        &self,
        envelope: &Envelope,
        (size, account, domains): (u64, Option<&str>, &[Domain]),
        now: Timestamp,
    ) -> Option<u64> {
        if !self.has_holds {
            return None;
        }
        let fits = |order: &Order| match &order.what {
            What::Hold { to, from, account: name, larger } => {
                to.as_ref().is_none_or(|to| {
                    let mut recipients = envelope.recipients.iter();
                    recipients.any(|recipient| {
                        domain_matches(to, recipient.address.domain())
                            || sender_matches(to, &ReversePath::Address(recipient.address.clone()))
                    })
                }) && from.as_ref().is_none_or(|from| sender_matches(from, &envelope.reverse_path))
                    && name.as_ref().is_none_or(|name| {
                        account.is_some_and(|account| means_account(name, account, domains))
                    })
                    && larger.is_none_or(|larger| size > larger)
            }
            What::Pause { .. } | What::Reroute { .. } => false,
        };
        self.in_force(now).find(|(_, order)| fits(order)).map(|(number, _)| *number)
    }

    // The next hop that an order names has the password that the configuration has for it.
    fn rerouted(&self, config: &Config, now: Timestamp) -> Config {
        // The newest goes before the others.
        let orders = self.in_force(now).collect::<Vec<_>>().into_iter().rev();
        let routes: Vec<Route> = orders
            .filter_map(|(_, order)| match &order.what {
                What::Reroute { to, from, via } => {
                    let via = NextHop::parse(via).ok()?;
                    Some(Route {
                        to: Some(to.clone()),
                        from: from.clone(),
                        login: login_for(config, &via),
                        tls: tls_for(config, &via),
                        via: Some(via),
                        verp: None,
                    })
                }
                What::Pause { .. } | What::Hold { .. } => None,
            })
            .collect();
        let mut rerouted = config.clone();
        rerouted.routes.splice(0..0, routes);
        rerouted
    }

    fn next_reroute_ends(&self, now: Timestamp) -> Option<Timestamp> {
        let reroutes =
            self.in_force(now).filter(|(_, order)| matches!(order.what, What::Reroute { .. }));
        reroutes.filter_map(|(_, order)| order.until).min()
    }
}

impl Order {
    /// Whether it has ended by itself.
    pub fn is_over(&self, now: Timestamp) -> bool {
        self.until.is_some_and(|until| until <= now)
    }
}

fn login_for(config: &Config, via: &NextHop) -> Option<Login> {
    if config.relayhost.as_ref() == Some(via) {
        return config.relayhost_login.clone();
    }
    config.routes.iter().find(|route| route.via.as_ref() == Some(via))?.login.clone()
}

fn tls_for(config: &Config, via: &NextHop) -> crate::config::TlsLevel {
    let same = config.routes.iter().find(|route| route.via.as_ref() == Some(via));
    same.map_or(config.delivery.tls, |route| route.tls)
}

#[cfg(test)]
mod tests;
