//! What the DNS says about a next hop: its mail exchangers (RFC 5321 §5.1) and
//! their addresses. Every answer is hostile input.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use puerto_mail::dns::{Dns, DnsError, Record, RecordType};
use puerto_smtp::Domain;

use super::abreast::abreast;
use super::choice::Choice;
use super::family::{self, Left};
use super::random::Random;
use super::{DestinationKey, Exchangers, Hop, LiteralFault, Machine, Plan, RouteFailure, address};
use crate::cause::Cause;
use crate::cause::field::DescribedAddress;
use crate::config::{Config, Named, NextHop, NextHopHost, TlsLevel};
use crate::survey::address::Special;
use crate::transport::results::Results;
use crate::transport::sts::{self, Policies};
use crate::transport::{self, Rule};

mod security;

/// Mail exchangers of one domain that are looked at.
const MAX_HOSTS: usize = 20;
/// Addresses in one plan.
const MAX_ADDRESSES: usize = 20;
/// Of which for one host, while there are others.
const MAX_ADDRESSES_OF_HOST: usize = 10;
const LITERAL_TTL: u32 = 3600;
/// For a plan that lacks something because a look-up failed.
const PARTIAL_TTL: u32 = 30;

/// What a search needs.
pub(super) struct Context<'a, D> {
    pub(super) config: &'a Config,
    pub(super) dns: &'a Arc<D>,
    pub(super) machine: &'a Machine,
    pub(super) policies: Option<&'a Policies>,
    pub(super) results: Option<&'a Results>,
    /// The message says that it is to go even where TLS fails (RFC 8689 §3).
    pub(super) is_optional: bool,
}

/// A plan, with what makes it the same as that of another domain.
pub(super) struct Found {
    pub(super) plan: Plan,
    pub(super) exchange: Arc<str>,
    pub(super) ttl: Duration,
}

/// A host to be looked up.
struct Host {
    preference: u16,
    name: String,
}

/// The hosts of a domain.
struct Hosts {
    list: Vec<Host>,
    ttl: u32,
    from_mx: bool,
    /// DNSSEC vouches for the MX records, or that there are none; or an administrator named
    /// the host.
    validated: bool,
    /// What the domain is an alias of.
    alias_of: Option<String>,
}

/// A host with its addresses, in the order in which they are tried.
struct Located {
    preference: u16,
    name: Arc<str>,
    addresses: Vec<IpAddr>,
    security: transport::dane::Located,
    rule: Option<Arc<Rule>>,
}

/// Finds the plan for a choice that is not local.
pub(super) async fn find<D: Dns + 'static>(
    context: &Context<'_, D>,
    domain: &Domain,
    choice: &Choice,
) -> Result<Found, RouteFailure> {
    match choice {
        Choice::Local => Err(RouteFailure::permanent(3, 5, Cause::LocalDomain {})),
        Choice::Relay(named) => to_relay(context, *named).await,
        Choice::Exchanger(tls) => match domain {
            Domain::Literal(ip) => to_literal(context, *ip, *tls),
            Domain::Name(name) => to_exchanger(context, name, *tls).await,
        },
    }
}

async fn to_relay<D: Dns + 'static>(
    context: &Context<'_, D>,
    named: Named,
) -> Result<Found, RouteFailure> {
    let relay = context.config.relays().find(|relay| relay.named == named);
    let relay = relay.ok_or_else(|| RouteFailure::temporary(Cause::ConfigurationChanged {}))?;
    let next_hop = relay.next_hop;
    let port = next_hop.port_or(25);
    let key = next_hop.to_string();
    let search = search_relay(context, next_hop, (port, relay.tls)).await;
    let search = search.and_then(|found| without_ourselves(context, found));
    // What the administrator wrote may be mended; the mail waits for it.
    let (hops, ttl, validated) = search.map_err(|failure| {
        let rule = format!("{} {key}", in_its_own_words(context.config, named));
        RouteFailure::temporary(Cause::OfRule { rule, why: Box::new(failure.cause) })
    })?;
    let optional = if context.is_optional { " optional" } else { "" };
    let exchange = format!("relay {named:?}{optional}");
    let exchangers_of = exchangers_of(next_hop, validated)?;
    let plan = Plan {
        key: DestinationKey(key.into()),
        hops: address::drop_unreachable(hops, context.machine),
        tls: relay.tls,
        implicit_tls: next_hop.implicit_tls,
        login: relay.login.cloned(),
        is_vouched: exchangers_of.as_ref().is_none_or(|relay| relay.validated),
        exchangers_of,
        is_relay: true,
        manners: context.config.profiles().of_relay(next_hop.host.name()),
        avoided: None,
        guard: None,
        by_sender: None,
        leaving: None,
        rescues: None,
    };
    Ok(Found { plan, exchange: exchange.into(), ttl: Duration::from_secs(ttl.into()) })
}

// It would go round and round, until it is returned for that.
fn without_ourselves<D>(
    context: &Context<'_, D>,
    (mut hops, ttl, validated): (Vec<Hop>, u32, bool),
) -> Result<(Vec<Hop>, u32, bool), RouteFailure> {
    let interfaces = (context.machine.addresses)();
    hops.retain(|hop| !address::is_ourselves(hop.address, context.config, &interfaces));
    match hops.is_empty() {
        true => Err(RouteFailure::temporary(Cause::OwnRelay {})),
        false => Ok((hops, ttl, validated)),
    }
}

fn in_its_own_words(config: &Config, named: Named) -> String {
    let route = match named {
        Named::Relayhost => return "relayhost".to_owned(),
        Named::Rescue => return "rescue".to_owned(),
        Named::Route(place) => config.routes.get(place),
    };
    format!("route to {}", route.and_then(|route| route.to.as_deref()).unwrap_or("every domain"))
}

fn exchangers_of(next_hop: &NextHop, validated: bool) -> Result<Option<Exchangers>, RouteFailure> {
    let NextHopHost::Mx(name) = &next_hop.host else { return Ok(None) };
    Ok(Some(Exchangers { of: to_ascii(name)?.into(), validated }))
}

async fn search_relay<D: Dns + 'static>(
    context: &Context<'_, D>,
    next_hop: &NextHop,
    (port, level): (u16, TlsLevel),
) -> Result<(Vec<Hop>, u32, bool), RouteFailure> {
    let hosts = match &next_hop.host {
        NextHopHost::Address(ip) => {
            let host: Arc<str> = ip.to_string().into();
            return Ok((vec![Hop::at(host, SocketAddr::new(*ip, port))], LITERAL_TTL, false));
        }
        // RFC 7672 §2.2: who configures a host has said whom he trusts.
        NextHopHost::Name(name) => {
            let list = vec![Host { preference: 0, name: to_ascii(name)? }];
            let (ttl, from_mx, validated, alias_of) = (LITERAL_TTL, false, true, None);
            Hosts { list, ttl, from_mx, validated, alias_of }
        }
        NextHopHost::Mx(name) => hosts_of(context, &to_ascii(name)?).await?,
    };
    let validated = hosts.validated && hosts.from_mx;
    let domain = match &next_hop.host {
        NextHopHost::Name(name) | NextHopHost::Mx(name) => to_ascii(name)?,
        NextHopHost::Address(ip) => ip.to_string(),
    };
    // RFC 8461 §3.4: the relay is the policy domain.
    let policy = policy_of(context, &domain, level).await;
    let next = security::Next::new(level, &domain, port, &hosts, &policy);
    let (located, ttl) = locate(context, hosts, &|_| None).await?;
    let (located, ttl) = security::ruled(context, located, &next, ttl).await?;
    Ok((hops_of(&located, port), ttl, validated))
}

async fn policy_of<D: Dns>(context: &Context<'_, D>, domain: &str, level: TlsLevel) -> sts::Found {
    let is_wanted = level != TlsLevel::None && context.config.delivery.mta_sts;
    match context.policies.filter(|_| is_wanted && !context.is_optional) {
        Some(policies) => policies.of(&**context.dns, domain).await,
        None => (None, u32::MAX),
    }
}

// A literal is judged as an MX host's address is, and what leads back to this machine is
// never connected to.
fn to_literal<D>(
    context: &Context<'_, D>,
    ip: IpAddr,
    tls: TlsLevel,
) -> Result<Found, RouteFailure> {
    let ip = address::canonical(ip);
    let literal = Domain::Literal(ip).to_string();
    match address::literal_fault(ip, context.config, &(context.machine.addresses)()) {
        None => {}
        Some(LiteralFault::Special(kind)) => {
            let why = address::where_no_mail_goes(kind);
            let kind = DescribedAddress(kind);
            return Err(RouteFailure::permanent(
                4,
                4,
                Cause::SpecialLiteral { literal, kind, why },
            ));
        }
        Some(LiteralFault::Ourselves) => {
            return Err(RouteFailure::permanent(4, 6, Cause::OwnLiteral { literal }));
        }
    }
    let host: Arc<str> = ip.to_string().into();
    let hop = Hop::at(host, SocketAddr::new(ip, context.config.delivery.port));
    let manners = context.config.profiles().everybody();
    let plan = Plan { manners, ..Plan::direct(literal.clone(), vec![hop], tls) };
    let ttl = Duration::from_secs(LITERAL_TTL.into());
    Ok(Found { plan, exchange: format!("literal {literal} {tls:?}").into(), ttl })
}

async fn to_exchanger<D: Dns + 'static>(
    context: &Context<'_, D>,
    domain: &str,
    tls: TlsLevel,
) -> Result<Found, RouteFailure> {
    let domain = to_ascii(domain)?;
    let (hosts, policy) =
        tokio::join!(hosts_of(context, &domain), policy_of(context, &domain, tls));
    let hosts = hosts?;
    let is_vouched = hosts.validated || !hosts.from_mx;
    let port = context.config.delivery.port;
    let next = security::Next::new(tls, &domain, port, &hosts, &policy);
    let allow_private = context.config.delivery.allow_private;
    let refuse = move |ip| address::refusal(ip, allow_private);
    let (located, ttl) = locate(context, hosts, &refuse).await?;
    let located = better_than_us(context, located, &domain)?;
    let (located, ttl) = security::ruled(context, located, &next, ttl).await?;
    let mut names: Vec<&str> = located.iter().map(|host| &*host.name).collect();
    names.sort_unstable();
    names.dedup();
    let provider = context.config.profiles().of_hosts(&names).cloned();
    let key = provider.as_ref().map_or_else(|| names.join(","), |provider| provider.name.clone());
    let manners = provider.unwrap_or_else(|| context.config.profiles().everybody());
    let ranked = located.iter().map(|host| {
        let rule = host.rule.as_deref().map_or_else(String::new, security::mark);
        format!("{} {}{rule}", host.preference, host.name)
    });
    let mut ranked: Vec<String> = ranked.collect();
    ranked.sort_unstable();
    let vouched = if is_vouched { " vouched" } else { "" };
    let exchange: Arc<str> = format!("mx {} {tls:?}{vouched}", ranked.join(",")).into();
    let hops = hops_of(&located, port);
    let hops = address::drop_unreachable(hops, context.machine);
    let left = family::trusted(context, hops, &manners).await;
    let depends = family::depends_on_sender(context, &left, &manners);
    let by_sender = depends.then(|| Arc::clone(&exchange));
    let Left { hops, avoided, guard } = left;
    let plan = Plan { avoided, guard, by_sender, is_vouched, ..Plan::direct(key, hops, tls) };
    let plan = Plan { manners, ..plan };
    Ok(Found { plan, exchange, ttl: Duration::from_secs(ttl.into()) })
}

/// The hosts that a domain's MX records name, or the domain itself where it has
/// none (RFC 5321 §5.1), at most twenty, equal preferences in random order.
async fn hosts_of<D: Dns>(context: &Context<'_, D>, domain: &str) -> Result<Hosts, RouteFailure> {
    let (answer, validated) = context.dns.vouched(domain, RecordType::Mx).await;
    let answer = match answer {
        Ok(answer) => answer,
        // Some servers answer NXDOMAIN where they should say that there is no MX;
        // the addresses decide whether the domain exists.
        Err(error) if error.is_absence() => {
            let list = vec![Host { preference: 0, name: domain.to_owned() }];
            let (ttl, from_mx, alias_of) = (LITERAL_TTL, false, None);
            return Ok(Hosts { list, ttl, from_mx, validated, alias_of });
        }
        Err(error) => {
            let domain = domain.to_owned();
            return Err(RouteFailure::temporary(Cause::ExchangersUnknown { domain, error }));
        }
    };
    let mut list: Vec<Host> = answer
        .records
        .into_iter()
        .filter_map(|record| match record {
            Record::Mx(preference, name) => Some(Host { preference, name }),
            _ => None,
        })
        .collect();
    refuse_null_exchanger(domain, &list)?;
    list.retain(|host| !is_loopback_name(&host.name));
    Random::from_seed((context.machine.seed)()).shuffle(&mut list);
    list.sort_by_key(|host| host.preference);
    let mut seen = std::collections::HashSet::new();
    list.retain(|host| seen.insert(host.name.clone()));
    list.truncate(MAX_HOSTS);
    let (ttl, alias_of) = (answer.ttl, answer.alias_of);
    Ok(Hosts { list, ttl, from_mx: true, validated, alias_of })
}

// A null MX (RFC 7505 §3), and the names that some domains publish instead of one.
fn refuse_null_exchanger(domain: &str, hosts: &[Host]) -> Result<(), RouteFailure> {
    if !hosts.iter().all(|host| is_loopback_name(&host.name)) {
        return Ok(());
    }
    let domain = domain.to_owned();
    let cause = match hosts.first() {
        Some(host) if !host.name.is_empty() => {
            Cause::LoopbackExchanger { domain, host: host.name.clone() }
        }
        _ => Cause::NullExchanger { domain },
    };
    Err(RouteFailure::permanent(1, 10, cause))
}

fn is_loopback_name(name: &str) -> bool {
    name.is_empty() || name == "localhost" || name.ends_with(".localhost") || name == "."
}

// What some write as an MX host, which no MX host can be (RFC 1035 §3.3.9).
fn is_address(name: &str) -> bool {
    name.trim_matches(['[', ']']).parse::<IpAddr>().is_ok()
}

// The same in a host that does not exist. Without a dot at its end in the zone file, the
// zone's name stands behind the address.
fn written_address(name: &str) -> Option<&str> {
    if is_address(name) {
        return Some(name);
    }
    let end = name.match_indices('.').nth(3).map(|(end, _)| end)?;
    name.get(..end).filter(|first| is_address(first))
}

type AddressesOf = Result<(Vec<IpAddr>, u32, transport::dane::Located), DnsError>;

/// Looks up the addresses of all hosts, some at the same time. A host whose look-up fails
/// is left out while there are others.
async fn locate<D: Dns + 'static>(
    context: &Context<'_, D>,
    hosts: Hosts,
    refuse: &(dyn Fn(IpAddr) -> Option<Special> + Sync),
) -> Result<(Vec<Located>, u32), RouteFailure> {
    let found = look_up_all(context, &hosts.list).await;
    let mut ttl = hosts.ttl;
    let mut located: Vec<Located> = Vec::new();
    let mut verdict = Verdict::default();
    for (host, found) in hosts.list.into_iter().zip(found) {
        match found.unwrap_or(Err(DnsError::Timeout)) {
            Ok((addresses, address_ttl, security)) => {
                ttl = ttl.min(address_ttl);
                let (usable, refused) = sift(&addresses, refuse);
                if let Some((ip, kind)) = refused {
                    verdict.refused.get_or_insert((host.name.clone(), ip, kind));
                }
                if !usable.is_empty() {
                    let addresses = address::interleave(&usable);
                    let (preference, name) = (host.preference, host.name.into());
                    located.push(Located { preference, name, addresses, security, rule: None });
                }
            }
            Err(error) if error.is_absence() => verdict.absent.push((host.name, error)),
            Err(error) => {
                verdict.failed.get_or_insert((host.name, error));
            }
        }
    }
    if verdict.failed.is_some() {
        ttl = ttl.min(PARTIAL_TTL);
    }
    if located.is_empty() { Err(verdict.explain(hosts.from_mx)) } else { Ok((located, ttl)) }
}

async fn look_up_all<D: Dns + 'static>(
    context: &Context<'_, D>,
    hosts: &[Host],
) -> Vec<Option<AddressesOf>> {
    if let [only] = hosts {
        return vec![Some(addresses_of(&**context.dns, &only.name).await)];
    }
    let ask = |host: &Host| {
        let (dns, name) = (Arc::clone(context.dns), host.name.clone());
        async move { addresses_of(&*dns, &name).await }
    };
    abreast(hosts.iter().map(ask).collect()).await
}

/// Both families of one host. One family that fails is an absence of certainty only
/// if the other gave nothing.
async fn addresses_of<D: Dns>(dns: &D, name: &str) -> AddressesOf {
    if is_address(name) {
        return Err(DnsError::NoSuchDomain);
    }
    let (v4, v6) =
        tokio::join!(dns.lookup(name, RecordType::A), dns.lookup(name, RecordType::Aaaa));
    let mut addresses = Vec::new();
    let mut ttl = u32::MAX;
    let mut security = transport::dane::Located::default();
    for answer in [&v4, &v6] {
        match answer {
            Ok(answer) => {
                ttl = ttl.min(answer.ttl);
                security.is_secure |= answer.validated;
                security.alias_of = security.alias_of.take().or_else(|| answer.alias_of.clone());
                addresses.extend(answer.records.iter().filter_map(|record| match record {
                    Record::Address(ip) => Some(*ip),
                    _ => None,
                }));
            }
            Err(error) if error.is_absence() => {}
            Err(_) => ttl = ttl.min(PARTIAL_TTL),
        }
    }
    if !addresses.is_empty() {
        return Ok((addresses, ttl, security));
    }
    let mut errors = [v4, v6].into_iter().filter_map(Result::err);
    let first = errors.next().unwrap_or(DnsError::NoRecords);
    let worst = if first.is_absence() { errors.find(|error| !error.is_absence()) } else { None };
    Err(worst.unwrap_or(first))
}

type Refused = (IpAddr, Special);

fn sift(
    addresses: &[IpAddr],
    refuse: &(dyn Fn(IpAddr) -> Option<Special> + Sync),
) -> (Vec<IpAddr>, Option<Refused>) {
    let mut usable = Vec::new();
    let mut refused = None;
    for &ip in addresses {
        match refuse(ip) {
            Some(kind) => refused = Some((ip, kind)),
            None if usable.len() < MAX_ADDRESSES_OF_HOST => usable.push(address::canonical(ip)),
            None => {}
        }
    }
    (usable, refused)
}

/// Why no host is left.
#[derive(Default)]
struct Verdict {
    failed: Option<(String, DnsError)>,
    refused: Option<(String, IpAddr, Special)>,
    absent: Vec<(String, DnsError)>,
}

impl Verdict {
    fn explain(self, from_mx: bool) -> RouteFailure {
        if let Some((name, error)) = self.failed {
            return RouteFailure::temporary(Cause::AddressUnknown { host: name, error });
        }
        if let Some((host, address, kind)) = self.refused {
            let why = address::where_no_mail_goes(kind);
            let cause = Cause::SpecialAddress { host, kind, address, why };
            return RouteFailure::permanent(4, 4, cause);
        }
        match self.absent.into_iter().next() {
            Some((host, _)) if from_mx => {
                let cause = match written_address(&host) {
                    Some(address) => Cause::ExchangerIsAddress { address: address.to_owned() },
                    None => Cause::HostWithoutAddress { host },
                };
                RouteFailure::permanent(4, 4, cause)
            }
            Some((domain, DnsError::NoSuchDomain)) => {
                RouteFailure::permanent(1, 2, Cause::NoSuchDomain { domain })
            }
            Some((domain, _)) => RouteFailure::permanent(1, 2, Cause::BareDomain { domain }),
            None => RouteFailure::permanent(4, 4, Cause::NoExchangerLeft {}),
        }
    }
}

/// Where we are one of the exchangers ourselves, only better ones are tried
/// (RFC 5321 §5.1); where there is none, the mail would come back to us.
fn better_than_us<D>(
    context: &Context<'_, D>,
    located: Vec<Located>,
    domain: &str,
) -> Result<Vec<Located>, RouteFailure> {
    let port = context.config.delivery.port;
    let interfaces = (context.machine.addresses)();
    let is_us = |host: &Located| {
        host.name.eq_ignore_ascii_case(&context.config.hostname)
            || host.addresses.iter().any(|&ip| {
                address::is_ourselves(SocketAddr::new(ip, port), context.config, &interfaces)
            })
    };
    let Some(us) = located.iter().filter(|host| is_us(host)).min_by_key(|host| host.preference)
    else {
        return Ok(located);
    };
    let (our_preference, our_name) = (us.preference, Arc::clone(&us.name));
    let better: Vec<Located> =
        located.into_iter().filter(|host| host.preference < our_preference).collect();
    if better.is_empty() {
        let (domain, host) = (domain.to_owned(), our_name.to_string());
        return Err(RouteFailure::permanent(4, 6, Cause::OwnExchanger { domain, host }));
    }
    Ok(better)
}

fn hops_of(located: &[Located], port: u16) -> Vec<Hop> {
    let addresses = located.iter().flat_map(|host| {
        host.addresses.iter().map(|&ip| {
            let hop = Hop::at(Arc::clone(&host.name), SocketAddr::new(ip, port));
            Hop { rule: host.rule.clone(), ..hop }
        })
    });
    addresses.take(MAX_ADDRESSES).collect()
}

/// A domain's A-labels (RFC 5891), which is what the DNS knows.
pub(super) fn to_ascii(name: &str) -> Result<String, RouteFailure> {
    if name.is_ascii() {
        return Ok(name.to_ascii_lowercase());
    }
    idna::domain_to_ascii(name)
        .map_err(|_| RouteFailure::permanent(1, 2, Cause::BadDomain { domain: name.to_owned() }))
}
