//! What a recipient comes to: its share of what a job does, the verdict on it, and how
//! the message says whom it came for.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use puerto_smtp::EnhancedCode;
use puerto_spool::LeasedRecipient;
use tokio::time::Instant;

use super::deed::Deed;
use super::expansion::{Onward, Resolution, UserBox};
use super::failure::Failure;
use crate::cause::Cause;
use crate::deliver::{Job, Outcome, Success};
use crate::telemetry::{Delays, DeliveryStatus};

/// How long a mailbox that is locked is waited for at first; each time twice as long.
const SOON: Duration = Duration::from_secs(10);
/// The doublings of it at most.
const DOUBLINGS: u32 = 5;

/// What users' `.forward` files say, by user and by what stands behind the name.
pub(super) type Forwards = HashMap<(String, String), Resolution>;

/// Where one recipient's mail goes, as far as it is known yet.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Share {
    pub(super) boxes: BTreeSet<UserBox>,
    pub(super) remote: BTreeSet<Onward>,
    pub(super) deeds: BTreeSet<Deed>,
    missing: Vec<String>,
    problems: Vec<Cause>,
    unread: Vec<Cause>,
    discards: Vec<String>,
}

impl Share {
    /// Puts what users' `.forward` files say in the place of their mailboxes. A user who
    /// comes round to the own name again has the mailbox meant.
    pub(super) fn of(found: &Resolution, forwards: &Forwards) -> Self {
        let mut share = Self::default();
        share.add(found, forwards, &mut Vec::new());
        share
    }

    fn add(&mut self, found: &Resolution, forwards: &Forwards, through: &mut Vec<String>) {
        self.remote.extend(found.remote.iter().cloned());
        self.deeds.extend(found.deeds.iter().cloned());
        self.missing.extend(found.missing.iter().cloned());
        self.problems.extend(found.problems.iter().cloned());
        self.unread.extend(found.unread.iter().cloned());
        self.discards.extend(found.discards.iter().cloned());
        for user_box in &found.boxes {
            let user = &user_box.user;
            let came_round = through.contains(user);
            let own = forwards.get(&(user.clone(), user_box.extension.clone()));
            let forward = own.or_else(|| forwards.get(&(user.clone(), String::new())));
            match forward.filter(|_| user_box.forward && !came_round) {
                Some(forward) => {
                    through.push(user.clone());
                    self.add(forward, forwards, through);
                    through.pop();
                }
                None => {
                    let forward = user_box.forward && !came_round;
                    self.boxes.insert(UserBox { forward, ..user_box.clone() });
                }
            }
        }
    }

    fn reaches_nobody(&self) -> bool {
        let no_deed = self.deeds.is_empty() && self.discards.is_empty();
        self.boxes.is_empty() && self.remote.is_empty() && no_deed
    }

    /// What a sender hears of success (RFC 3461 §5.2.7): one address in the place of another
    /// has its server tell; a list's address, which has an owner, is final; any other that
    /// stands for several is expanded.
    pub(super) fn success(&self) -> Success {
        let has_owner = self.remote.iter().any(|one| one.owner.is_some());
        match self.boxes.len() + self.remote.len() + self.deeds.len() {
            _ if self.is_one_address() => Success::ToldElsewhere,
            2.. if !has_owner => Success::Expanded,
            _ => Success::Delivered,
        }
    }

    /// One address in the place of another.
    pub(super) fn is_one_address(&self) -> bool {
        let is_one = self.remote.len() == 1 && self.remote.iter().all(|one| one.owner.is_none());
        let no_other = self.boxes.is_empty() && self.deeds.is_empty() && self.discards.is_empty();
        is_one && no_other && self.missing.is_empty()
    }
}

/// What becomes of a recipient, by what became of each part of its share. What must be
/// tried again comes before what has failed for good: the sender is told once, at the end.
pub(super) fn verdict(
    share: &Share,
    results: Vec<Result<Cause, Failure>>,
) -> Result<Cause, Failure> {
    let (mut done, mut later, mut never) = (Vec::new(), None, Vec::new());
    for result in results {
        match result {
            Ok(cause) => done.push(cause),
            Err(failure) if failure.status.class == 4 => later = Some(failure),
            Err(failure) => never.push(failure),
        }
    }
    let in_aliases = |why: &Cause| match why {
        Cause::EntryBroken { .. } => why.clone(),
        why => Cause::InAliases { why: Box::new(why.clone()) },
    };
    let unread = share.unread.first();
    let unread = unread.map(|why| Failure::later(3, 5, in_aliases(why)));
    if let Some(failure) = later.or(unread) {
        return Err(failure);
    }
    let missing = |user: &String| Failure::never(1, 1, Cause::NoSuchUser { user: user.clone() });
    never.extend(share.missing.iter().map(missing));
    never.extend(share.problems.iter().map(|why| Failure::never(3, 5, in_aliases(why))));
    if never.is_empty() && share.reaches_nobody() {
        return Err(Failure::never(4, 6, Cause::AliasCircle {}));
    }
    done.extend(share.discards.iter().map(|name| match name.as_str() {
        "" => Cause::ForwardedNowhere {},
        name => Cause::ThrownAway { alias: name.to_owned() },
    }));
    let is_alone = done.is_empty() && share.remote.is_empty();
    let Some(first) = never.first() else {
        done.dedup();
        let together =
            |first, then| Cause::Together { first: Box::new(first), then: Box::new(then) };
        return Ok(done.into_iter().reduce(together).unwrap_or(Cause::Delivered {}));
    };
    let status = first.status;
    let mut causes: Vec<Cause> = never.into_iter().map(|failure| failure.cause).collect();
    let cause = match (causes.pop(), causes.is_empty()) {
        (Some(only), true) => only,
        (last, _) => {
            causes.extend(last);
            Cause::Several { causes }
        }
    };
    Err(Failure::of_peer(
        status,
        if is_alone { cause } else { Cause::OthersHaveIt { of: Box::new(cause) } },
    ))
}

/// The lines that stand before a message in a mailbox: where it came from, and all the
/// addresses that it came for. RFC 5321 §4.4: final delivery adds the Return-Path.
pub(super) fn preface_header(job: &Job, recipients: &[&LeasedRecipient]) -> String {
    let mut out = format!("Return-Path: <{}>\n", job.reverse_path);
    for leased in recipients {
        let address = &leased.recipient.address;
        let original = leased.recipient.original.as_deref();
        let original = original.and_then(|text| text.split_once(';')).map(|(_, address)| address);
        let original = match original {
            Some(original) if !original.chars().any(char::is_control) => original.to_owned(),
            _ => address.to_string(),
        };
        out.push_str(&format!("X-Original-To: {original}\nDelivered-To: {address}\n"));
    }
    out
}

/// The record of it.
pub(super) fn outcome(
    job: &Job,
    leased: &LeasedRecipient,
    result: Result<Cause, Failure>,
    begun: Instant,
) -> Outcome {
    let soon = result.as_ref().is_err_and(|failure| failure.soon);
    let retry_after = soon.then(|| SOON * 2_u32.pow(leased.attempts.min(DOUBLINGS)));
    let (status, status_code, cause) = match result {
        Ok(cause) => (DeliveryStatus::Sent, EnhancedCode::new(2, 0, 0), cause),
        Err(Failure { status, cause, .. }) if status.class == 4 => {
            (DeliveryStatus::Deferred, status, cause)
        }
        Err(Failure { status, cause, .. }) => (DeliveryStatus::Bounced, status, cause),
    };
    Outcome {
        index: leased.index,
        status,
        component: "local",
        relay: "local".to_owned(),
        host: None,
        status_code,
        reply: None,
        cause,
        tls: None,
        tls_reason: None,
        at: job.after(begun.elapsed()),
        delays: Delays {
            in_queue: job.in_queue,
            transmission: begun.elapsed(),
            ..Delays::default()
        },
        retry_after,
        success: Success::Delivered,
        against: None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::deed::{By, What};
    use super::*;

    /// A command that was all there was and refused the mail: nobody has it.
    #[test]
    fn others_have_it_where_there_are_others() {
        let command = |text: &str| Deed { what: What::Command(text.into()), by: By::Owner(1) };
        let share = |commands: &[&str]| Share {
            deeds: commands.iter().map(|text| command(text)).collect(),
            ..Share::default()
        };
        let refused = || Err(Failure::never(3, 0, Cause::AliasCircle {}));
        let said = |share: &Share, results| match verdict(share, results) {
            Err(failure) => failure.cause.to_string(),
            Ok(cause) => panic!("{cause}"),
        };
        let alone = said(&share(&["one"]), vec![refused()]);
        assert!(!alone.contains("its other targets have it"), "{alone}");
        let beside = said(&share(&["one", "two"]), vec![refused(), Ok(Cause::Delivered {})]);
        assert!(beside.ends_with("; its other targets have it"), "{beside}");
    }
}
