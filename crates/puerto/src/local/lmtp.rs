//! Hands mail to an LMTP server, such as Dovecot, where `mailbox = "lmtp:…"` says so.

use std::io;
use std::sync::Arc;

use puerto_smtp::{Address, LocalPart};
use puerto_spool::LeasedRecipient;
use tokio::time::Instant;

use super::delivery::{Mailboxes, aside};
use super::expansion::UserBox;
use super::failure::Failure;
use super::report::outcome;
use crate::cause::Cause;
use crate::config::{Config, Mailbox};
use crate::deliver::{Job, LmtpTarget, Pressure, Report};
use crate::telemetry::DeliveryStatus;

impl Mailboxes {
    /// Has the server take the message for all of the job's recipients.
    pub(super) async fn hand_to_lmtp(&self, job: &Job) -> Report {
        let target = self.lmtp_target().await;
        match (target, &self.remote) {
            (Ok(target), Some(remote)) => remote.deliver_lmtp(job, &target).await,
            (target, _) => {
                let unable = || Failure::later(3, 5, Cause::NoLmtpClient {});
                let failure = target.err().unwrap_or_else(unable);
                let begun = Instant::now();
                let failed = |leased| outcome(job, leased, Err(failure.clone()), begun);
                let outcomes = job.recipients.iter().map(failed).collect();
                Report { outcomes, pressure: Pressure::Unreachable }
            }
        }
    }

    async fn lmtp_target(&self) -> Result<LmtpTarget, Failure> {
        let config = self.config.get();
        aside(move || lmtp_server(&config).map_err(|cause| Failure::later(4, 3, cause))).await
    }

    /// A user that an alias or a table named: the server is given the user's own address.
    pub(super) async fn write_by_lmtp(
        &self,
        job: &Job,
        leased: &LeasedRecipient,
        user_box: &UserBox,
    ) -> Result<Cause, Failure> {
        let mut leased = leased.clone();
        leased.recipient.address = match &user_box.address {
            Some(address) => address.clone(),
            None => {
                let user = &user_box.user;
                let local_part = LocalPart::from_unquoted(user).map_err(|error| {
                    Failure::never(1, 3, Cause::BadUserName { user: user.clone(), error })
                })?;
                Address::new(local_part, leased.recipient.address.domain().clone())
            }
        };
        let report = self.hand_to_lmtp(&part_of(job, vec![leased])).await;
        let outcome = report.outcomes.into_iter().next();
        let outcome = outcome.ok_or_else(|| Failure::later(3, 0, Cause::LmtpServerSilent {}))?;
        match outcome.status {
            DeliveryStatus::Sent => Ok(outcome.cause),
            _ => Err(Failure::of_peer(outcome.status_code, outcome.cause)),
        }
    }
}

/// Where the LMTP server is that has the mailboxes; it may block on the system's resolver.
pub fn lmtp_server(config: &Config) -> Result<LmtpTarget, Cause> {
    let Mailbox::Lmtp(written) = &config.local.mailbox else {
        return Err(Cause::LmtpNoLonger {});
    };
    if written.starts_with('/') {
        return Ok(LmtpTarget::Path(written.into()));
    }
    let addresses = std::net::ToSocketAddrs::to_socket_addrs(written);
    let first = addresses.and_then(|mut all| all.next().ok_or(io::ErrorKind::NotFound.into()));
    let name = written.rsplit_once(':').map_or(&**written, |(name, _)| name);
    let name = name.trim_matches(['[', ']']);
    first
        .map(|address| LmtpTarget::Host(name.into(), address))
        .map_err(|error| Cause::LmtpServerUnknown { server: written.clone(), error: error.into() })
}

/// A job for some of its recipients.
pub(super) fn part_of(job: &Job, recipients: Vec<LeasedRecipient>) -> Job {
    Job {
        id: job.id,
        plan: Arc::clone(&job.plan),
        reverse_path: job.reverse_path.clone(),
        recipients,
        envelope_id: job.envelope_id.clone(),
        ret: job.ret,
        verp: None,
        eight_bit: job.eight_bit,
        smtputf8: job.smtputf8,
        tls: job.tls,
        bulk: job.bulk,
        received_at: job.received_at,
        in_queue: job.in_queue,
        body: Arc::clone(&job.body),
        ending: job.ending.clone(),
    }
}
