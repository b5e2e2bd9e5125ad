//! Is it right? Everything that receivers demand of a sender and a machine can see,
//! asked live: `puerto check`.
//!
//! Each family of checks is a file that declares its checks as [`Definition`]s and
//! has one function that makes [`Check`]s of a [`Context`]. A check has four
//! outcomes, and false alarms are worse than silence: a question without an answer
//! is `unknown`, never a finding, and a check that builds on one that failed is not
//! applicable. One fault gives one finding, with the remedy ready to paste.
//!
//! Its sentences are in both languages, so that one run can be shown in either.
//!
//! A family asks through [`World`], so that tests judge a made-up Internet. Families
//! run at the same time.

mod absent;
mod blocklists;
mod context;
mod dane;
mod dkim;
mod dmarc;
mod domain;
mod generic;
mod helo;
mod mailboxes;
mod mtasts;
pub mod names;
mod net;
mod outcome;
mod policies;
mod ptr;
mod receivers;
mod receiving;
mod registry;
mod report;
mod show;
mod spf;
mod starttls;
mod tls;
pub mod watch;
mod world;

pub use crate::survey::greeting::Greeting;
pub use crate::survey::https::Page;
pub use blocklists::test_points as blocklist_test_points;
pub use context::{Asked, Context, Place, Relay, domain_of};
pub use outcome::{Check, Definition, Draft, Family, Status};
use puerto_mail::together::together;
pub use receivers::{Judgement, RECEIVERS, Receiver, Verdict};
pub use registry::{FAMILIES, definition, document, has_group};
pub use report::Report;
pub use show::show;
pub use starttls::Starttls;
pub use world::{Internet, Trial, World};

use crate::config::Config;
use context::domains_of;

/// How far a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Families that are done, of the domain that the user is told about.
    pub done: usize,
    /// Families that run at all: those that were asked for.
    pub total: usize,
    /// The family that was done last.
    pub family: &'static Family,
}

/// Judges the domain that was asked for, or all of the configuration: the checks of all
/// families, or those that one group or id names, at the same time.
pub async fn judge<W: World>(
    world: &W,
    config: &Config,
    (asked, now): (Asked, i64),
    only: &[String],
    progress: &(dyn Fn(Progress) + Sync),
) -> Report {
    let domains = domains_of(&asked, config);
    let several = domains.len() > 1;
    let gathered = domains.iter().map(|domain| {
        let asked = Asked { domain: Some(domain.clone()), ..asked.clone() };
        Context::gather(world, config, asked, now)
    });
    let mut contexts = together(gathered).await;
    for (number, context) in contexts.iter_mut().enumerate().filter(|_| several) {
        context.place = if number == 0 { Place::First } else { Place::Further };
    }
    let silent = |_: Progress| {};
    let running = contexts.iter().map(|context| {
        let is_further = context.place == Place::Further;
        run(context, only, if is_further { &silent } else { progress })
    });
    let checks = merged(together(running).await);
    let egress = contexts.first().map(|context| context.egress.clone()).unwrap_or_default();
    Report { domains, egress, checks }
}

// What several domains have in common is told once, by the outcome that says most.
fn merged(of_domains: Vec<Vec<Check>>) -> Vec<Check> {
    let weight = |check: &Check| match check.status {
        Status::NotApplicable => 0,
        Status::Pass => 1,
        Status::Unknown => 2,
        Status::Finding => 3,
    };
    let mut kept: Vec<Check> = Vec::new();
    for checks in of_domains {
        let mut more = Vec::new();
        for check in checks {
            let same = |other: &&mut Check| {
                other.definition == check.definition && other.subject == check.subject
            };
            match kept.iter_mut().find(same) {
                Some(other) if weight(&check) > weight(other) => *other = check,
                Some(_) => {}
                None => more.push(check),
            }
        }
        kept.append(&mut more);
    }
    kept.sort_by_key(|check| (!check.is_decisive, registry::position(check.definition)));
    kept
}

/// Runs the checks of one domain. They come in the order of the registry.
pub async fn run<W: World>(
    context: &Context<'_, W>,
    only: &[String],
    progress: &(dyn Fn(Progress) + Sync),
) -> Vec<Check> {
    let done = std::sync::atomic::AtomicUsize::new(0);
    let is_wanted = |family: &Family| {
        family.is_wanted(only) && !(family.is_of_machine && context.place == Place::Further)
    };
    let mut wanted = Vec::from(registry::runs(context));
    wanted.retain(|(family, _)| is_wanted(family));
    let total = wanted.len();
    let running = wanted.into_iter().map(|(family, checks)| {
        let done = &done;
        async move {
            let checks = checks.await;
            let done = 1 + done.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            progress(Progress { done, total, family });
            checks
        }
    });
    let mut checks: Vec<Check> = together(running).await.into_iter().flatten().collect();
    checks.retain(|check| registry::is_wanted(check.definition, only));
    checks.sort_by_key(|check| registry::position(check.definition));
    absent::told(context, checks)
}

#[cfg(test)]
mod tests;
