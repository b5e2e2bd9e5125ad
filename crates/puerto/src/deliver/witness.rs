//! What is remembered of a connection's TLS: for the next one, and for reports.

use std::collections::BTreeSet;

use super::Job;
use super::open::Terms;
use super::outcome::{HostFailure, Peer, Why};
use super::session::Session;
use crate::cause::Cause;
use crate::config::Downgrade;
use crate::route::leaves_by;
use crate::transport::Demand;
use crate::transport::memory::Memory;
use crate::transport::results::{Results, Seen};

/// Who remembers, and who counts.
#[derive(Debug, Clone, Default)]
pub(super) struct Witness {
    pub(super) memory: Option<Memory>,
    pub(super) results: Option<Results>,
}

impl Witness {
    /// Opens a session for a job.
    pub(super) async fn open(
        &self,
        terms: &Terms<'_>,
        peer: &Peer,
        job: &Job,
    ) -> Result<Box<Session>, HostFailure> {
        let opened = self.open_by_memory(terms, peer).await;
        self.count(terms, peer, job, &opened);
        opened
    }

    async fn open_by_memory(
        &self,
        terms: &Terms<'_>,
        peer: &Peer,
    ) -> Result<Box<Session>, HostFailure> {
        let host = &*peer.host;
        let demand = &terms.rule.demand;
        // Without TLS no password would go out.
        let may_be_plain = demand.may_be_plain() && !terms.implicit_tls && terms.login.is_none();
        let is_broken = || self.memory.as_ref().is_some_and(|memory| memory.is_broken(host));
        // Where a policy is tried out, it is to be seen each time what would come of it.
        if may_be_plain && *demand == Demand::Opportunistic && is_broken() {
            let mut session = terms.open(peer, true).await?;
            session.tls_reason = Some(Cause::PlainRemembered {});
            return Ok(session);
        }
        let (mut session, broke) = match may_be_plain {
            true => open_or_plain(terms, peer).await?,
            false => (terms.open(peer, false).await?, false),
        };
        match &self.memory {
            Some(memory) if session.tls.is_some() => memory.note_good(host),
            Some(memory) if demand.may_be_plain() && memory.does_tls(host) => {
                if let Some(failure) = downgraded(terms, &mut session) {
                    session.leave();
                    return Err(failure);
                }
            }
            Some(memory) if broke => memory.note_broken(host),
            _ => {}
        }
        Ok(session)
    }

    // A host that offered no session says nothing of its TLS.
    fn count(
        &self,
        terms: &Terms<'_>,
        peer: &Peer,
        job: &Job,
        opened: &Result<Box<Session>, HostFailure>,
    ) {
        // What the receiver has not promised is no failure of the receiver's.
        let wishes = [Cause::TlsOptional {}, Cause::RequireTlsVouched {}];
        let is_wanted = terms.config.delivery.tls_reports && !wishes.contains(&terms.rule.reason);
        let Some(results) = self.results.as_ref().filter(|_| is_wanted) else { return };
        let result = match opened {
            Ok(session) => match (&session.tls_reason, &session.tls) {
                (Some(why @ Cause::StsTestFailed { .. }), _) | (Some(why), None) => Err(why),
                (_, Some(_)) => Ok(()),
                (None, None) => return,
            },
            Err(failure) => match &failure.why {
                Why::NoTls => Err(&failure.cause),
                Why::Handshake(why) => Err(why),
                _ => return,
            },
        };
        let to = peer.address.map(|address| address.ip());
        // The kernel's choice is asked for where there is a failure to tell.
        let chosen = |there| result.is_err().then(|| leaves_by(terms.config, there)).flatten();
        let from = peer.address.and_then(|there| terms.source(there).or_else(|| chosen(there)));
        let seen = Seen { rule: &terms.rule, host: &peer.host, to, from, result };
        let domains = policy_domains(job, &peer.host);
        results.note(&domains.iter().map(String::as_str).collect::<Vec<_>>(), &seen);
    }
}

// RFC 8461 §3.4: with a relay, the relay's name is the policy domain.
fn policy_domains(job: &Job, host: &str) -> BTreeSet<String> {
    if job.plan.is_relay {
        let relay = job.plan.exchangers_of.as_ref().map_or(host, |relay| &relay.of);
        return BTreeSet::from([relay.to_ascii_lowercase()]);
    }
    let domains = job.recipients.iter().map(|leased| leased.recipient.address.domain().name());
    let in_ascii = |name: &str| match name.is_ascii() {
        true => Some(name.to_ascii_lowercase()),
        false => idna::domain_to_ascii(name).ok(),
    };
    domains.flatten().filter_map(in_ascii).collect()
}

// It had TLS before: either it has lost it, or somebody takes it away.
fn downgraded(terms: &Terms<'_>, session: &mut Session) -> Option<HostFailure> {
    let why = Box::new(session.tls_reason.take().unwrap_or(Cause::PlainNotOffered {}));
    let is_refused = terms.config.delivery.downgrade == Downgrade::Refuse
        && terms.rule.reason != Cause::TlsOptional {};
    if is_refused {
        let cause = Cause::Downgraded { host: session.peer.name.clone(), why };
        return Some(HostFailure::new(&session.peer, (4, 7, 4), cause, Why::NoTls));
    }
    let cause = Cause::PlainAfterTls { why };
    session.without_tls = Some(cause.clone());
    session.tls_reason = Some(cause);
    None
}

// Opportunistic TLS that breaks is given up for this attempt, on a new connection. True where
// the host itself spoilt it: what the network does is no habit of the host's.
async fn open_or_plain(
    terms: &Terms<'_>,
    peer: &Peer,
) -> Result<(Box<Session>, bool), HostFailure> {
    match terms.open(peer, false).await {
        Err(failure) if failure.tls_broke => {
            let mut session = terms.open(peer, true).await?;
            let is_habit = matches!(
                failure.why,
                Why::Handshake(
                    Cause::Alert { .. }
                        | Cause::PeerIncompatible { .. }
                        | Cause::PeerMisbehaved { .. }
                        | Cause::NoTlsRecord { .. }
                )
            );
            let why = Cause::PlainBecause { why: Box::new(failure.cause.clone()) };
            session.tls_reason = Some(terms.rule.demand.plain(why));
            session.without_tls = Some(failure.cause);
            Ok((session, is_habit))
        }
        opened => Ok((opened?, false)),
    }
}
