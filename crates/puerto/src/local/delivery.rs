//! Hands a message to local recipients: follows aliases, sends copies on to addresses
//! elsewhere, and has mailboxes written.
//!
//! A recipient that is an alias for several may succeed for some and must wait for
//! others. Those that are done are remembered, so that the next attempt leaves them
//! out; a restart forgets them, and then one of them may get a second copy.

use std::collections::{HashMap, HashSet};
use std::io::{self, BufRead as _, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use puerto_smtp::{Address, EnhancedCode, Envelope, LocalPart, Recipient};
use puerto_spool::clock::{Clock as _, SystemClock};
use puerto_spool::{LeasedRecipient, MessageId};

use super::account::Account;
use super::agent::{self, AgentHandle, Request, SPOOL};
use super::directory::{Directory, Resolution};
use super::failure::Failure;
use crate::config::{Live, Mailbox};
use crate::deliver::{Body, Job, LmtpTarget, Outcome, Pressure, Remote, Report};
use crate::intake::{Intake, Source};
use crate::telemetry::{Delays, DeliveryStatus, Event, MailLog};

/// Recipients of which it is remembered what is done.
const REMEMBERED: usize = 10_000;
/// Octets of a header that are searched for a loop.
const HEADER_BOUND: u64 = 256 * 1024;

/// The mailboxes of this machine's users.
pub struct Mailboxes {
    config: Live,
    intake: Arc<Intake>,
    log: MailLog,
    directory: Arc<Directory>,
    hands: Arc<Hands>,
    remote: Option<Arc<Remote>>,
    done: Mutex<HashMap<(MessageId, u32), HashSet<String>>>,
}

/// Who writes mailboxes.
enum Hands {
    /// The agent, or this process for its own user.
    System(Mutex<Option<Arc<AgentHandle>>>),
    /// This process, as mbox files below a directory.
    Below(PathBuf),
}

impl Mailboxes {
    /// Follows the configuration in force.
    pub fn new(config: Live, intake: Arc<Intake>, log: MailLog) -> Self {
        let directory = Arc::new(Directory::new(config.clone()));
        let hands = Arc::new(Hands::System(Mutex::default()));
        Self { config, intake, log, directory, hands, remote: None, done: Mutex::default() }
    }

    /// Shares what is remembered of users with those who answer RCPT.
    #[must_use]
    pub fn with_directory(self, directory: Arc<Directory>) -> Self {
        Self { directory, ..self }
    }

    /// Has mailboxes written by an agent that was started before privileges were
    /// dropped.
    #[must_use]
    pub fn with_agent(self, agent: AgentHandle) -> Self {
        let hands = Hands::System(Mutex::new(Some(Arc::new(agent))));
        Self { hands: Arc::new(hands), ..self }
    }

    /// Writes mailboxes as mbox files below a directory, with the rights of this
    /// process: for the lab and for tests.
    #[must_use]
    pub fn in_directory(self, directory: &Path) -> Self {
        Self { hands: Arc::new(Hands::Below(directory.to_owned())), ..self }
    }

    #[cfg(test)]
    pub(super) fn config_for_tests(&self) -> &Live {
        &self.config
    }

    /// Hands mail to an LMTP server with this client where `mailbox = "lmtp:…"` says so.
    #[must_use]
    pub fn with_remote(self, remote: Arc<Remote>) -> Self {
        Self { remote: Some(remote), ..self }
    }

    /// Delivers to every recipient of a job.
    pub async fn deliver(&self, job: &Job) -> Report {
        for text in self.directory.new_warnings() {
            let event =
                Event::Notice { level: "warning", component: "local", id: None, text: &text };
            self.log.write(&event);
        }
        let mut report = Report { outcomes: Vec::new(), pressure: Pressure::Fine };
        let by_lmtp = matches!(self.config.get().local.mailbox, Mailbox::Lmtp(_));
        let (at_once, one_by_one): (Vec<_>, Vec<_>) = job.recipients.iter().partition(|leased| {
            by_lmtp && !self.directory.is_alias(leased.recipient.address.local_part())
        });
        if !at_once.is_empty() {
            let job = part_of(job, at_once.into_iter().cloned().collect());
            report = self.hand_to_lmtp(&job).await;
        }
        for leased in one_by_one {
            let begun = Instant::now();
            let result = self.deliver_to(job, leased).await;
            report.outcomes.push(outcome(job, leased, result, begun));
        }
        report
    }

    async fn hand_to_lmtp(&self, job: &Job) -> Report {
        let target = self.lmtp_target().await;
        match (target, &self.remote) {
            (Ok(target), Some(remote)) => remote.deliver_lmtp(job, &target).await,
            (target, _) => {
                let unable = || Failure::later(3, 5, "this program has no LMTP client");
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
        let Mailbox::Lmtp(written) = &config.local.mailbox else {
            return Err(Failure::later(3, 5, "the configuration has just changed"));
        };
        if written.starts_with('/') {
            return Ok(LmtpTarget::Path(written.into()));
        }
        let written = written.clone();
        aside(move || {
            let addresses = std::net::ToSocketAddrs::to_socket_addrs(&written);
            let first =
                addresses.and_then(|mut all| all.next().ok_or(io::ErrorKind::NotFound.into()));
            first.map(LmtpTarget::Address).map_err(|error| {
                Failure::later(4, 3, format!("the LMTP server {written} is not found: {error}"))
            })
        })
        .await
    }

    async fn deliver_to(&self, job: &Job, leased: &LeasedRecipient) -> Result<String, Failure> {
        let address = leased.recipient.address.clone();
        let directory = Arc::clone(&self.directory);
        let body = Arc::clone(&job.body);
        let resolution = aside(move || {
            if passed_here(body.as_ref(), &address)? {
                let text = format!("mail forwarding loop: it was delivered to {address} before");
                return Err(Failure::never(4, 6, text));
            }
            directory
                .resolve(address.local_part())
                .map_err(|error| Failure::later(3, 0, format!("cannot look up users: {error}")))
        })
        .await?;
        let results = self.deliver_to_all(job, leased, &resolution).await;
        let verdict = verdict(&resolution, results);
        if verdict.as_ref().map_or_else(|failure| failure.status.class != 4, |_| true) {
            self.lock_done().remove(&(job.id, leased.index));
        }
        verdict
    }

    async fn deliver_to_all(
        &self,
        job: &Job,
        leased: &LeasedRecipient,
        resolution: &Resolution,
    ) -> Vec<Result<String, Failure>> {
        let key = (job.id, leased.index);
        let mut results = Vec::new();
        if !resolution.remote.is_empty() && !self.is_done(key, "") {
            let result = self.forward(job, leased, &resolution.remote).await;
            self.remember(key, "", result.is_ok());
            results.push(result);
        }
        for user in &resolution.users {
            if !self.is_done(key, user) {
                let result = self.write(job, leased, user).await;
                self.remember(key, user, result.is_ok());
                results.push(result);
            }
        }
        results
    }

    fn is_done(&self, key: (MessageId, u32), target: &str) -> bool {
        self.lock_done().get(&key).is_some_and(|targets| targets.contains(target))
    }

    fn remember(&self, key: (MessageId, u32), target: &str, succeeded: bool) {
        let mut done = self.lock_done();
        if succeeded && (done.len() < REMEMBERED || done.contains_key(&key)) {
            done.entry(key).or_default().insert(target.to_owned());
        }
    }

    fn lock_done(&self) -> MutexGuard<'_, HashMap<(MessageId, u32), HashSet<String>>> {
        self.done.lock().unwrap_or_else(PoisonError::into_inner)
    }

    // The copy keeps the reverse-path: whoever sent the message hears of its failure.
    async fn forward(
        &self,
        job: &Job,
        leased: &LeasedRecipient,
        targets: &[Address],
    ) -> Result<String, Failure> {
        let refused = |refusal: crate::intake::Refusal| Failure {
            status: refusal.reply.status(),
            text: format!("cannot forward it: {}", refusal.reply),
        };
        let mut draft = self.intake.draft().map_err(refused)?;
        let body = Arc::clone(&job.body);
        let trace = format!("Delivered-To: {}\r\n", leased.recipient.address);
        let content = aside(move || {
            let failed = |error: io::Error| Failure::system("read the queued message", &error);
            let full = |error: puerto_spool::SpoolError| {
                Failure::later(3, 1, format!("cannot store the copy to forward: {error}"))
            };
            draft.write(trace.as_bytes()).map_err(full)?;
            let mut reader = body.open().map_err(failed)?;
            let mut chunk = vec![0; 64 * 1024];
            loop {
                let length = reader.read(&mut chunk).map_err(failed)?;
                match chunk.get(..length) {
                    Some(octets) if !octets.is_empty() => draft.write(octets).map_err(full)?,
                    _ => return draft.finish().map_err(full),
                }
            }
        })
        .await?;
        let id = self.intake.new_id();
        let envelope = forward_envelope(job, leased, targets);
        let accepted = self.intake.accept(id, &Source::Forwarded, envelope, content).await;
        accepted.map(|accepted| format!("forwarded as {}", accepted.id)).map_err(refused)
    }

    async fn write(
        &self,
        job: &Job,
        leased: &LeasedRecipient,
        user: &str,
    ) -> Result<String, Failure> {
        let maildir = match self.config.get().local.mailbox {
            Mailbox::Mbox => false,
            Mailbox::Maildir => true,
            Mailbox::Lmtp(_) => return self.write_by_lmtp(job, leased, user).await,
        };
        let request = Request {
            user: user.to_owned(),
            maildir,
            sender: job.reverse_path.to_string(),
            header: preface_header(job, leased),
        };
        let hands = Arc::clone(&self.hands);
        let body = Arc::clone(&job.body);
        aside(move || {
            let failed = |error: io::Error| Failure::system("read the queued message", &error);
            let mut reader = body.open().map_err(failed)?;
            hands.write(&request, &mut reader)
        })
        .await?;
        Ok(format!("delivered to {}", if maildir { "maildir" } else { "mailbox" }))
    }

    // A user that an alias named: the server is given the user's own address.
    async fn write_by_lmtp(
        &self,
        job: &Job,
        leased: &LeasedRecipient,
        user: &str,
    ) -> Result<String, Failure> {
        let local_part = LocalPart::from_unquoted(user)
            .map_err(|error| Failure::never(1, 3, format!("the user `{user}`: {error}")))?;
        let domain = leased.recipient.address.domain().clone();
        let mut leased = leased.clone();
        leased.recipient.address = Address::new(local_part, domain);
        let report = self.hand_to_lmtp(&part_of(job, vec![leased])).await;
        let outcome = report.outcomes.into_iter().next();
        let outcome =
            outcome.ok_or_else(|| Failure::later(3, 0, "the LMTP server said nothing"))?;
        match outcome.status {
            DeliveryStatus::Sent => Ok(outcome.text),
            _ => Err(Failure { status: outcome.status_code, text: outcome.text }),
        }
    }
}

impl std::fmt::Debug for Mailboxes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mailboxes").finish_non_exhaustive()
    }
}

impl Hands {
    fn write(&self, request: &Request, body: &mut dyn Read) -> Result<(), Failure> {
        let we = nix::unistd::geteuid();
        let slot = match self {
            Self::System(slot) => slot,
            Self::Below(directory) => {
                let account = Account {
                    name: request.user.clone(),
                    uid: we,
                    gid: nix::unistd::getegid(),
                    home: directory.join(&request.user),
                };
                let request = Request { maildir: false, ..request.clone() };
                return agent::write(&account, &request, body, directory);
            }
        };
        if let Some(agent) = Self::agent(slot)? {
            return agent.deliver(request, body);
        }
        let account = Account::find(&request.user)
            .map_err(|error| Failure::later(3, 0, format!("cannot look up users: {error}")))?
            .ok_or_else(|| Failure::never(1, 1, format!("there is no user `{}`", request.user)))?;
        if account.uid == we {
            return agent::write(&account, request, body, Path::new(SPOOL));
        }
        let text = format!(
            "puerto was started as user {we} and may not write the mailbox of {}: start it as \
             root, it then drops to `user`",
            account.name
        );
        Err(Failure::later(2, 1, text))
    }

    // A daemon that stays root needs no agent before the first local mail.
    fn agent(slot: &Mutex<Option<Arc<AgentHandle>>>) -> Result<Option<Arc<AgentHandle>>, Failure> {
        let mut slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
        if slot.is_none() && nix::unistd::geteuid().is_root() {
            let agent = agent::spawn()
                .map_err(|error| Failure::system("start the mailbox agent", &error))?;
            *slot = Some(Arc::new(agent));
        }
        Ok(slot.clone())
    }
}

fn part_of(job: &Job, recipients: Vec<LeasedRecipient>) -> Job {
    Job {
        id: job.id,
        plan: Arc::clone(&job.plan),
        reverse_path: job.reverse_path.clone(),
        recipients,
        envelope_id: job.envelope_id.clone(),
        ret: job.ret,
        eight_bit: job.eight_bit,
        smtputf8: job.smtputf8,
        received_at: job.received_at,
        in_queue: job.in_queue,
        body: Arc::clone(&job.body),
    }
}

async fn aside<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    let broken = |_| Failure::later(3, 0, "internal error, it is tried again");
    tokio::task::spawn_blocking(work).await.map_err(broken)?
}

// Whether our own Delivered-To for this recipient is in the header already: it went
// round through an alias here and a forwarding elsewhere.
fn passed_here(body: &dyn Body, address: &Address) -> Result<bool, Failure> {
    let failed = |error: io::Error| Failure::system("read the queued message", &error);
    let reader = body.open().map_err(failed)?;
    let mut header = io::BufReader::new(reader.take(HEADER_BOUND));
    let address = address.to_string();
    let mut line = Vec::new();
    loop {
        line.clear();
        header.read_until(b'\n', &mut line).map_err(failed)?;
        let text = line.trim_ascii();
        if text.is_empty() {
            return Ok(false);
        }
        let (name, value) = text.split_at_checked(b"delivered-to:".len()).unwrap_or_default();
        let value = value.trim_ascii();
        if name.eq_ignore_ascii_case(b"delivered-to:")
            && value.eq_ignore_ascii_case(address.as_bytes())
        {
            return Ok(true);
        }
    }
}

fn forward_envelope(job: &Job, leased: &LeasedRecipient, targets: &[Address]) -> Envelope {
    let original = || {
        let written = &leased.recipient.address;
        leased.recipient.original.clone().or_else(|| Some(format!("rfc822;{written}")))
    };
    let recipient = |address: &Address| Recipient {
        address: address.clone(),
        notify: leased.recipient.notify,
        original: original(),
    };
    Envelope {
        reverse_path: job.reverse_path.clone(),
        recipients: targets.iter().map(recipient).collect(),
        envelope_id: job.envelope_id.clone(),
        ret: job.ret,
        eight_bit: job.eight_bit,
        smtputf8: job.smtputf8,
    }
}

// RFC 5321 §4.4: final delivery adds the Return-Path.
fn preface_header(job: &Job, leased: &LeasedRecipient) -> String {
    let address = &leased.recipient.address;
    let original = leased.recipient.original.as_deref();
    let original = original.and_then(|text| text.split_once(';')).map(|(_, address)| address);
    let original = match original {
        Some(original) if !original.chars().any(char::is_control) => original.to_owned(),
        _ => address.to_string(),
    };
    let path = &job.reverse_path;
    format!("Return-Path: <{path}>\nX-Original-To: {original}\nDelivered-To: {address}\n")
}

// What must be tried again comes before what has failed for good: the sender is told
// once, at the end.
fn verdict(
    resolution: &Resolution,
    results: Vec<Result<String, Failure>>,
) -> Result<String, Failure> {
    let (mut done, mut later, mut never) = (Vec::new(), None, Vec::new());
    for result in results {
        match result {
            Ok(text) => done.push(text),
            Err(failure) if failure.status.class == 4 => later = Some(failure),
            Err(failure) => never.push(failure),
        }
    }
    if let Some(failure) = later {
        return Err(failure);
    }
    let missing = |name: &String| Failure::never(1, 1, format!("there is no user `{name}`"));
    never.extend(resolution.missing.iter().map(missing));
    let problem = |text: &String| Failure::never(3, 5, format!("in the aliases file: {text}"));
    never.extend(resolution.problems.iter().map(problem));
    let nowhere = resolution.users.is_empty() && resolution.remote.is_empty();
    if never.is_empty() && nowhere {
        return Err(Failure::never(4, 6, "in the aliases file: this name leads in a circle"));
    }
    let Some(first) = never.first() else {
        done.dedup();
        return Ok(if done.is_empty() { "delivered".to_owned() } else { done.join(", ") });
    };
    let texts: Vec<&str> = never.iter().map(|failure| failure.text.as_str()).collect();
    let others = if nowhere { "" } else { "; its other targets have it" };
    Err(Failure { status: first.status, text: format!("{}{others}", texts.join("; ")) })
}

fn outcome(
    job: &Job,
    leased: &LeasedRecipient,
    result: Result<String, Failure>,
    begun: Instant,
) -> Outcome {
    let (status, status_code, text) = match result {
        Ok(text) => (DeliveryStatus::Sent, EnhancedCode::new(2, 0, 0), text),
        Err(Failure { status, text }) if status.class == 4 => {
            (DeliveryStatus::Deferred, status, text)
        }
        Err(Failure { status, text }) => (DeliveryStatus::Bounced, status, text),
    };
    Outcome {
        index: leased.index,
        status,
        component: "local",
        relay: "local".to_owned(),
        host: None,
        status_code,
        reply: None,
        text,
        tls: None,
        at: SystemClock.now(),
        delays: Delays {
            in_queue: job.in_queue,
            transmission: begun.elapsed(),
            ..Delays::default()
        },
        retry_after: None,
        peer_reports: false,
    }
}
