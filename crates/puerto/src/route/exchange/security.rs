//! The TLS rule of each host that was found, and which hosts are left out by it.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;

use puerto_mail::dns::Dns;
use puerto_mail::together::together;

use super::{Context, Hosts, Located, PARTIAL_TTL};
use crate::cause::Cause;
use crate::config::TlsLevel;
use crate::route::RouteFailure;
use crate::transport::{Demand, Records, Rule, dane, sts};

/// What is known of a next hop before its hosts are looked up.
pub(super) struct Next<'a> {
    level: TlsLevel,
    domain: &'a str,
    port: u16,
    /// DNSSEC, or the administrator, vouches for the names of the hosts.
    is_secure: bool,
    /// The names that a certificate may be for besides the host's.
    domains: Vec<Arc<str>>,
    policy: &'a sts::Found,
}

impl<'a> Next<'a> {
    /// A domain whose hosts these are.
    pub(super) fn new(
        level: TlsLevel,
        domain: &'a str,
        port: u16,
        hosts: &Hosts,
        policy: &'a sts::Found,
    ) -> Self {
        let alias_of = hosts.alias_of.iter().map(|name| Arc::from(name.as_str()));
        let domains = std::iter::once(Arc::from(domain)).chain(alias_of).collect();
        Self { level, domain, port, is_secure: hosts.validated, domains, policy }
    }
}

/// Gives each host its rule. Those to which no mail may go are left out; where none is left,
/// the mail waits.
pub(super) async fn ruled<D: Dns>(
    context: &Context<'_, D>,
    located: Vec<Located>,
    next: &Next<'_>,
    mut ttl: u32,
) -> Result<(Vec<Located>, u32), RouteFailure> {
    let is_obeyed = context.config.delivery.dane && !context.is_optional;
    let asks = next.is_secure && next.level != TlsLevel::None && is_obeyed;
    let dns = &**context.dns;
    let asked = located.iter().map(async |host| match asks {
        true => dane::records(dns, (&*host.name, next.port), &host.security, &next.domains).await,
        false => (Records::Absent, u32::MAX),
    });
    let records = together(asked).await;
    let (policy, policy_ttl) = next.policy;
    ttl = ttl.min(*policy_ttl);
    let (mut ruled, mut fault) = (Vec::new(), None);
    for (host, (records, records_ttl)) in located.into_iter().zip(records) {
        ttl = ttl.min(records_ttl.max(PARTIAL_TTL));
        let policy = sts::of_host(policy.as_deref(), next.domain, &host.name);
        let rule = match context.is_optional && next.level == TlsLevel::Opportunistic {
            true => Ok(Rule { demand: Demand::Opportunistic, reason: Cause::TlsOptional {} }),
            false => Rule::of(next.level, &host.name, &records, &policy),
        };
        match rule {
            Ok(rule) => ruled.push(Located { rule: Some(Arc::new(rule)), ..host }),
            Err(cause) => {
                ttl = ttl.min(PARTIAL_TTL);
                if let Some(results) =
                    context.results.filter(|_| context.config.delivery.tls_reports)
                {
                    results.left_out(next.domain, &host.name, &cause);
                }
                fault.get_or_insert(cause);
            }
        }
    }
    match fault {
        Some(cause) if ruled.is_empty() => Err(RouteFailure::temporary(cause)),
        _ => Ok((ruled, ttl)),
    }
}

/// What tells a rule from that of the level alone, for plans that are shared: nothing where
/// it is that.
pub(super) fn mark(rule: &Rule) -> String {
    let levels = [TlsLevel::None, TlsLevel::Opportunistic, TlsLevel::Required];
    if levels.into_iter().any(|level| *rule == Rule::of_level(level)) {
        return String::new();
    }
    let mut hasher = DefaultHasher::new();
    rule.demand.hash(&mut hasher);
    format!(" {} {:x}", rule.reason, hasher.finish())
}
