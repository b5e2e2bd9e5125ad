//! Who may send from which address: a user of this machine, an account, a client of a
//! trusted network. Judged is what others will see, the map and masquerading being done.
//!
//! People have addresses of their own. Root, the services of this machine and its programs
//! that speak SMTP write for the machine: in any of our domains. Other hosts of trusted
//! networks have users of their own, of whom nothing is known here, and pass on what was
//! written elsewhere: unless the configuration names them they may send from anywhere.

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::net::IpAddr;

use puerto_mail::dns::is_at_or_below;
use puerto_mail::idn::name_in_ascii;
use puerto_smtp::{Address, Domain, LocalPart, ReversePath};

use super::{of_the_machine, only_one, outside};
use crate::config::{
    AddressPattern, Config, Known, NextHopHost, Otherwise, in_ascii, means_account, same_user,
};

/// Who hands a message over.
#[derive(Debug, Clone, Copy)]
pub enum Submitter<'a> {
    /// A user of this machine.
    User {
        /// The number.
        uid: u32,
        /// The name, or the number as text.
        name: &'a str,
    },
    /// Whoever has logged in.
    Account {
        /// The account's name.
        name: &'a str,
        /// What is noted with it.
        addresses: &'a [AddressPattern],
    },
    /// A client of a trusted network.
    Client(IpAddr),
}

/// Whether an address may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It may.
    Allowed,
    /// It is in one of our domains, and somebody else's.
    NotOwn,
    /// Its domain is not ours.
    Foreign,
}

/// What somebody has of their own accord, before anything is granted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing<'a> {
    /// An own address in each of our domains, of this user.
    Person(&'a str),
    /// All of our domains.
    Machine,
    /// Nothing.
    Named,
    /// Everything.
    Relay,
}

/// What one submitter may use.
pub struct Permission<'a> {
    config: &'a Config,
    submitter: Submitter<'a>,
    standing: Standing<'a>,
    granted: Vec<&'a AddressPattern>,
    signs: &'a dyn Fn(&Domain) -> bool,
}

/// Numbers of people's accounts (`UID_MIN` and `UID_MAX` of `login.defs`), and of a
/// directory's. Others are services, those that systemd numbers among them.
fn is_person(uid: u32) -> bool {
    (1000..=60_000).contains(&uid) || uid > 65_535
}

impl<'a> Permission<'a> {
    /// What `submitter` may use. `signs` says for which domains there is a key here.
    pub fn new(
        config: &'a Config,
        submitter: Submitter<'a>,
        signs: &'a dyn Fn(&Domain) -> bool,
    ) -> Self {
        let sender = &config.sender;
        let of = |table: &'a [(String, Vec<AddressPattern>)], is_meant: &dyn Fn(&str) -> bool| {
            let meant = table.iter().filter(|(who, _)| who == "*" || is_meant(who));
            meant.flat_map(|(_, list)| list).collect::<Vec<_>>()
        };
        let (standing, granted) = match submitter {
            Submitter::User { uid, name } => {
                let is_one = is_person(uid);
                let standing = if is_one { Standing::Person(name) } else { Standing::Machine };
                (standing, of(&sender.users, &|who| who.eq_ignore_ascii_case(name)))
            }
            Submitter::Account { name, addresses } => {
                let is_meant = |who: &str| means_account(who, name, &config.domains);
                let granted = addresses.iter().chain(of(&sender.accounts, &is_meant));
                (Standing::Person(name), granted.collect())
            }
            Submitter::Client(ip) => {
                let ip = ip.to_canonical();
                let named = sender.networks.iter().find(|(network, _)| network.contains(ip));
                match named {
                    Some((_, list)) => (Standing::Named, list.iter().collect()),
                    None if ip.is_loopback() => (Standing::Machine, Vec::new()),
                    None => (Standing::Relay, Vec::new()),
                }
            }
        };
        Self { config, submitter, standing, granted, signs }
    }

    /// Whether anything may be used, so that nothing need be judged.
    pub fn is_boundless(&self) -> bool {
        self.standing == Standing::Relay
    }

    /// Whether it is somebody's whom nobody knows but by a login.
    pub fn is_of_a_login(&self) -> bool {
        matches!(self.submitter, Submitter::Account { .. })
    }

    /// The same, and the account is one of our file's.
    pub fn is_of_an_own_account(&self) -> bool {
        self.is_of_a_login() && self.config.accounts.dovecot.is_none()
    }

    /// Judges an address.
    pub fn judge(&self, address: &Address) -> Verdict {
        let is_ours = |domain: &Domain| self.is_ours(domain);
        let is_granted = || self.granted.iter().any(|pattern| pattern.fits(address, is_ours));
        let allowed = only_one(self.config) == Some(address)
            || is_granted()
            || match self.standing {
                Standing::Relay => true,
                Standing::Machine => {
                    self.is_around_ours(address.domain()) || self.is_relay_login(address)
                }
                Standing::Person(name) => {
                    self.is_own(name, address)
                        || (!self.is_of_a_login() && self.is_relay_login(address))
                }
                Standing::Named => false,
            };
        match () {
            () if allowed => Verdict::Allowed,
            () if self.is_ours(address.domain()) => Verdict::NotOwn,
            () if self.config.sender.foreign.iter().any(|one| one.fits(address.domain())) => {
                Verdict::Allowed
            }
            () => Verdict::Foreign,
        }
    }

    /// Judges a reverse-path. Where the machine has its bounces brought is its own affair: it is
    /// From that receivers hold against its domain.
    pub fn judge_path(&self, address: &Address) -> Verdict {
        match self.judge(address) {
            Verdict::Foreign if self.standing == Standing::Machine => Verdict::Allowed,
            verdict => verdict,
        }
    }

    /// Whether what may not be used is refused, or else sent from another address. Of a
    /// notice that is refused, nobody would be told (RFC 5321 §4.5.5).
    pub fn refuses(&self, path: &ReversePath) -> bool {
        match self.config.sender.otherwise {
            Otherwise::Reject => true,
            Otherwise::Rewrite => false,
            Otherwise::Auto => match self.submitter {
                Submitter::User { .. } => false,
                Submitter::Client(ip) if ip.to_canonical().is_loopback() => false,
                Submitter::Account { .. } | Submitter::Client(_) => !path.is_null(),
            },
        }
    }

    /// The address to send from in place of one that may not be used.
    pub fn own(&self) -> Option<Address> {
        let noted = || self.granted.iter().find_map(|pattern| pattern.only());
        match self.submitter {
            Submitter::User { name, .. } => self.as_known(name),
            Submitter::Account { name, .. } => self.as_known(name).or_else(noted),
            Submitter::Client(_) => {
                // Whom only whole domains were granted is known by who answers for one.
                let postmasters = self.granted.iter().filter_map(|pattern| pattern.postmaster());
                let all = noted().into_iter().chain(of_the_machine(self.config)).chain(postmasters);
                all.into_iter().find(|one| self.judge(one) == Verdict::Allowed)
            }
        }
    }

    /// Who it is, as replies say it.
    pub fn who(&self) -> String {
        match self.submitter {
            Submitter::User { name, .. } | Submitter::Account { name, .. } => {
                format!("user {name}")
            }
            Submitter::Client(ip) => format!("client [{}]", ip.to_canonical()),
        }
    }

    /// What may be used, as replies say it.
    pub fn described(&self) -> String {
        const MOST: usize = 5;
        let own = match self.standing {
            Standing::Person(_) => self.own().map(|own| own.to_string()),
            Standing::Machine => Some("addresses in our domains".to_owned()),
            Standing::Named | Standing::Relay => None,
        };
        let granted = self.granted.iter().map(|pattern| match pattern.to_string().as_str() {
            "ours" => "addresses in our domains".to_owned(),
            written => written.to_owned(),
        });
        let mut all: Vec<String> = own.into_iter().chain(granted).collect();
        all.dedup();
        let more = if all.len() > MOST { ", ..." } else { "" };
        all.truncate(MOST);
        match all.as_slice() {
            [] => "no address".to_owned(),
            all => format!("{}{more}", all.join(", ")),
        }
    }

    // A user as it is known elsewhere. An account may be named by its whole address.
    fn as_known(&self, name: &str) -> Option<Address> {
        let address = match name.contains('@') {
            true => Address::parse(name).ok()?,
            false => Address::new(
                LocalPart::from_unquoted(name).ok()?,
                self.config.sender_domain()?.clone(),
            ),
        };
        Some(super::in_a_labels(outside(self.config, &address).unwrap_or(address)))
    }

    // The names that users of this machine have addresses at, in A-labels.
    fn names(&self) -> impl Iterator<Item = Cow<'_, str>> {
        let Config { domains, origin, hostname, .. } = self.config;
        domains.iter().chain(origin).map(in_ascii).chain([name_in_ascii(hostname)])
    }

    fn is_own(&self, name: &str, address: &Address) -> bool {
        if name.contains('@') {
            let own = AddressPattern::parse(name);
            let known = self.as_known(name);
            return own.is_ok_and(|own| own.fits(address, |_| false))
                || known.as_ref() == Some(address);
        }
        let domain = in_ascii(address.domain());
        let is_at_home = is_of_no_network(&domain) || self.names().any(|name| name == domain);
        if is_at_home && same_user(&name.to_lowercase(), address.local_part()) {
            return true;
        }
        // What becomes of one of them by the map.
        super::is_needed(self.config)
            && LocalPart::from_unquoted(name).is_ok_and(|user| {
                let domains = self.names().filter_map(|name| Domain::parse(&name).ok());
                domains.into_iter().any(|domain| {
                    let known = outside(self.config, &Address::new(user.clone(), domain));
                    known.is_some_and(|known| {
                        in_ascii(known.domain()) == in_ascii(address.domain())
                            && same_user(
                                &known.local_part().as_str().to_lowercase(),
                                address.local_part(),
                            )
                    })
                })
            })
    }

    /// Whether a domain is one of ours, or below one.
    fn is_ours(&self, domain: &Domain) -> bool {
        let name = in_ascii(domain);
        is_of_no_network(&name)
            || self.own_domains().any(|own| is_at_or_below(&name, &own))
            || (self.signs)(domain)
    }

    fn own_domains(&self) -> impl Iterator<Item = Cow<'_, str>> {
        let sender = &self.config.sender;
        let mapped = sender.map.iter().map(|(_, known)| match known {
            Known::Address(address) => address.domain(),
            Known::Domain(domain) => domain,
        });
        let masked = sender.masquerade.iter().map(|masquerade| &masquerade.domain);
        let always = sender.always.iter().map(Address::domain);
        self.names().chain(mapped.chain(masked).chain(always).map(in_ascii))
    }

    // The same, and the domains that our names lie in: who runs www.example.com without
    // another word means example.com. A relay's domain is its to judge.
    fn is_around_ours(&self, domain: &Domain) -> bool {
        let name = in_ascii(domain);
        let relay = self.config.relayhost.as_ref().and_then(|relay| match &relay.host {
            NextHopHost::Mx(name) | NextHopHost::Name(name) => Some(name_in_ascii(name)),
            NextHopHost::Address(_) => None,
        });
        self.is_ours(domain)
            || name.contains('.')
                && self.names().chain(relay).any(|own| is_at_or_below(&own, &name))
    }

    // The address that we log in to a relay as is ours to send from.
    fn is_relay_login(&self, address: &Address) -> bool {
        let routes = self.config.routes.iter().filter_map(|route| route.login.as_ref());
        let mut logins = self.config.relayhost_login.iter().chain(routes);
        logins.any(|login| Address::parse(&login.user).is_ok_and(|user| user == *address))
    }
}

// What no receiver looks up: names of this machine and of a network without the Internet.
fn is_of_no_network(name: &str) -> bool {
    !name.contains('.') || name.starts_with('[') || name == "localhost.localdomain"
}
