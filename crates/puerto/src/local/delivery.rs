//! Hands a message to local recipients: follows aliases and `.forward`, sends copies on
//! to addresses elsewhere, and has mailboxes written.
//!
//! A message is written into a mailbox once, for all the recipients that come to it, and
//! goes to an address elsewhere once. What is done is remembered for each message, so
//! that the next attempt, or the next part of its recipients, leaves it out; a restart
//! forgets it, and then somebody may get a second copy.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
#[cfg(test)]
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use puerto_mail::header::{Header, MAX_HEADER};
use puerto_mail::received;
use puerto_smtp::Address;
use puerto_spool::{LeasedRecipient, MessageId};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::agent::{AgentHandle, Written};
use super::deed::Deed;
use super::directory::Directory;
use super::expansion::{Onward, Resolution, UserBox};
use super::failure::Failure;
use super::frame::Request;
use super::hands::Hands;
use super::lmtp::part_of;
use super::onward::Sent;
use super::report::{self, Forwards, Share};
use crate::cause::Cause;
use crate::cause::field::Spoken;
use crate::config::{Live, Mailbox};
use crate::deliver::{Body, Job, Outcome, Pressure, Remote, Report, Success};
use crate::intake::Intake;
use crate::telemetry::{Event, MailLog};

/// Messages of which it is remembered what is done.
const REMEMBERED: usize = 4096;

/// The mailboxes of this machine's users.
pub struct Mailboxes {
    pub(super) config: Live,
    pub(super) intake: Arc<Intake>,
    log: MailLog,
    directory: Arc<Directory>,
    hands: Arc<Hands>,
    pub(super) remote: Option<Arc<Remote>>,
    done: Mutex<BTreeMap<MessageId, HashSet<Done>>>,
    /// Warnings that the log has.
    told: Mutex<HashSet<String>>,
}

/// What a message has come to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Done {
    Box(UserBox),
    Elsewhere(Address),
    Deed(Deed),
}

/// For whom a mailbox is, and what stood behind the user's name.
type Wanted<'a> = (Vec<&'a LeasedRecipient>, BTreeSet<String>);

/// What the mailboxes of one job came to so far.
#[derive(Default)]
struct Progress {
    results: HashMap<UserBox, Result<Cause, Failure>>,
    forwards: Forwards,
}

impl Mailboxes {
    /// Follows the configuration in force.
    pub fn new(config: Live, intake: Arc<Intake>, log: MailLog) -> Self {
        let directory = Arc::new(Directory::new(config.clone()));
        let hands = Arc::new(Hands::system());
        let (done, told) = (Mutex::default(), Mutex::default());
        Self { config, intake, log, directory, hands, remote: None, done, told }
    }

    /// Has mailboxes written by an agent that was started before privileges were
    /// dropped.
    #[must_use]
    pub fn with_agent(self, agent: Option<AgentHandle>) -> Self {
        let hands = agent.map(|agent| Arc::new(Hands::with_agent(agent)));
        Self { hands: hands.unwrap_or(self.hands), ..self }
    }

    /// Writes mailboxes as mbox files below a directory, with the rights of this process.
    #[cfg(test)]
    pub(super) fn in_directory(self, directory: &Path) -> Self {
        Self { hands: Arc::new(Hands::below(directory)), ..self }
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
            self.warn(&text);
        }
        let mut report = Report { outcomes: Vec::new(), pressure: Pressure::Fine };
        let by_lmtp = matches!(self.config.get().local.mailbox, Mailbox::Lmtp(_));
        let (at_once, mut ours): (Vec<_>, Vec<_>) = job
            .recipients
            .iter()
            .partition(|leased| by_lmtp && !self.directory.has_rule(&leased.recipient.address));
        let with_forward = self.with_forward(job, &at_once).await;
        let (forwarded, at_once): (Vec<_>, Vec<_>) =
            at_once.into_iter().partition(|leased| with_forward.contains(&leased.index));
        ours.extend(forwarded);
        if !at_once.is_empty() {
            let job = part_of(job, at_once.into_iter().cloned().collect());
            report = self.hand_to_lmtp(&job).await;
        }
        report.outcomes.extend(self.deliver_to(job, &ours).await);
        report
    }

    async fn deliver_to(&self, job: &Job, recipients: &[&LeasedRecipient]) -> Vec<Outcome> {
        let begun = Instant::now();
        let resolved = self.resolve(job, recipients).await;
        let progress = self.fill_boxes(job, recipients, &resolved).await;
        let mut outcomes = Vec::new();
        for (leased, resolved) in recipients.iter().zip(resolved) {
            let share = resolved.map(|found| Share::of(&found, &progress.forwards));
            let success = share.as_ref().map_or(Success::default(), Share::success);
            let result = match share {
                Ok(share) => self.conclude(job, leased, &share, &progress).await,
                Err(failure) => Err(failure),
            };
            outcomes.push(Outcome { success, ..report::outcome(job, leased, result, begun) });
        }
        outcomes
    }

    // Whose `.forward` says something, before an LMTP server is asked: as Postfix does it with
    // mailbox_transport. Who is no user of this machine has none.
    async fn with_forward(&self, job: &Job, asked: &[&LeasedRecipient]) -> HashSet<u32> {
        let mut looking = JoinSet::new();
        for (leased, found) in asked.iter().zip(self.resolve(job, asked).await) {
            let user_box = found.ok().and_then(|found| found.boxes.into_iter().next());
            let request = user_box.and_then(|user_box| {
                let extensions = BTreeSet::from([user_box.extension.clone()]);
                self.request(job, (&user_box, &extensions), &[leased])
            });
            if let Some(request) = request {
                let (hands, body) = (Arc::clone(&self.hands), Arc::clone(&job.body));
                let index = leased.index;
                looking.spawn(async move { (index, hands.write(request, body).await) });
            }
        }
        let mut with_forward = HashSet::new();
        while let Some(ended) = looking.join_next().await {
            match ended {
                Ok((_, Ok(Written::Stored(None)))) | Err(_) => {}
                Ok((index, _)) => drop(with_forward.insert(index)),
            }
        }
        with_forward
    }

    async fn resolve(
        &self,
        job: &Job,
        recipients: &[&LeasedRecipient],
    ) -> Vec<Result<Resolution, Failure>> {
        let addresses: Vec<Address> =
            recipients.iter().map(|leased| leased.recipient.address.clone()).collect();
        let (directory, body) = (Arc::clone(&self.directory), Arc::clone(&job.body));
        let all = aside(move || {
            let head = read_head(body.as_ref())?;
            let header = Header::parse(&head).ok();
            let resolve = |address: &Address| {
                let passed =
                    header.as_ref().is_some_and(|h| received::was_delivered_to(h, address));
                if passed {
                    let address = address.to_string();
                    return Err(Failure::never(4, 6, Cause::ForwardingLoop { address }));
                }
                directory.resolve(address).map_err(Failure::no_users)
            };
            Ok(addresses.iter().map(resolve).collect::<Vec<_>>())
        });
        let all = all.await;
        for found in all.iter().flatten().flatten() {
            found.remarks.iter().for_each(|text| self.warn_once(&text.to_string()));
        }
        all.unwrap_or_else(|failure| recipients.iter().map(|_| Err(failure.clone())).collect())
    }

    // In rounds, since a `.forward` may name other users. Each round fills boxes or learns
    // where a user's mail goes, and there are only so many users.
    async fn fill_boxes(
        &self,
        job: &Job,
        recipients: &[&LeasedRecipient],
        resolved: &[Result<Resolution, Failure>],
    ) -> Progress {
        let mut progress = Progress::default();
        loop {
            let mut wanted: BTreeMap<UserBox, Wanted<'_>> = BTreeMap::new();
            for (leased, found) in recipients.iter().zip(resolved) {
                let Ok(found) = found else { continue };
                for user_box in Share::of(found, &progress.forwards).boxes {
                    let (whom, extensions) =
                        wanted.entry(user_box.without_extension()).or_default();
                    whom.push(leased);
                    extensions.insert(user_box.extension);
                }
            }
            wanted.retain(|user_box, _| !progress.results.contains_key(user_box));
            if wanted.is_empty() {
                return progress;
            }
            // The same mailbox, once with a say of `.forward` and once without: the first
            // tells whether there is anything left for the second.
            let asked: HashSet<String> =
                wanted.keys().filter(|b| b.forward).map(|b| b.user.clone()).collect();
            wanted.retain(|user_box, _| user_box.forward || !asked.contains(&user_box.user));
            self.fill_round(job, wanted, &mut progress).await;
        }
    }

    async fn fill_round(
        &self,
        job: &Job,
        wanted: BTreeMap<UserBox, Wanted<'_>>,
        progress: &mut Progress,
    ) {
        let asked: Vec<UserBox> = wanted.keys().cloned().collect();
        let mut writing = JoinSet::new();
        for (user_box, (whom, extensions)) in wanted {
            let asked = (&user_box, &extensions);
            if self.is_done(job.id, &Done::Box(user_box.clone())) {
                progress.results.insert(user_box, Ok(Cause::WithOthers {}));
            } else if let Some(request) = self.request(job, asked, &whom).filter(|r| !r.look) {
                let (hands, body) = (Arc::clone(&self.hands), Arc::clone(&job.body));
                writing.spawn(async move {
                    let done = match request.maildir {
                        true => Cause::ToMaildir {},
                        false => Cause::ToMailbox {},
                    };
                    let written = hands.write(request, body).await;
                    (user_box, written.map(|written| (written, done)))
                });
            } else if let Some(first) = whom.first() {
                let result = self.look_and_write_by_lmtp(job, first, asked).await;
                self.take(job, user_box, result, progress).await;
            }
        }
        while let Some(ended) = writing.join_next().await {
            if let Ok((user_box, written)) = ended {
                self.take(job, user_box, written, progress).await;
            }
        }
        let has_forward = |b: &UserBox| progress.forwards.keys().any(|(user, _)| *user == b.user);
        for user_box in asked.into_iter().filter(|b| !has_forward(b)).collect::<Vec<_>>() {
            progress.results.entry(user_box).or_insert_with(broken_off);
        }
    }

    async fn look_and_write_by_lmtp(
        &self,
        job: &Job,
        leased: &LeasedRecipient,
        (user_box, extensions): (&UserBox, &BTreeSet<String>),
    ) -> Result<(Written, Cause), Failure> {
        let looked = match self.request(job, (user_box, extensions), &[leased]) {
            Some(request) => Arc::clone(&self.hands).write(request, Arc::clone(&job.body)).await?,
            None => Written::Stored(None),
        };
        match looked {
            Written::Forward(_) => Ok((looked, Cause::Delivered {})),
            Written::Stored(_) => {
                let cause = self.write_by_lmtp(job, leased, user_box).await?;
                Ok((looked, cause))
            }
        }
    }

    // `None` where an LMTP server has the mailboxes and no `.forward` has a say.
    fn request(
        &self,
        job: &Job,
        (user_box, extensions): (&UserBox, &BTreeSet<String>),
        whom: &[&LeasedRecipient],
    ) -> Option<Request> {
        let config = self.config.get();
        let (maildir, look) = match config.local.mailbox {
            Mailbox::Mbox => (false, false),
            Mailbox::Maildir => (true, false),
            Mailbox::Lmtp(_) if user_box.forward => (false, true),
            Mailbox::Lmtp(_) => return None,
        };
        Some(Request {
            user: user_box.user.clone(),
            maildir,
            forward: user_box.forward,
            look,
            sender: job.reverse_path.to_string(),
            header: report::preface_header(job, whom),
            size: job.body.len(),
            limit: config.local.mailbox_size,
            at: job.after(Duration::ZERO),
            extensions: extensions.iter().filter(|one| !one.is_empty()).cloned().collect(),
            deed: None,
        })
    }

    async fn take(
        &self,
        job: &Job,
        user_box: UserBox,
        written: Result<(Written, Cause), Failure>,
        progress: &mut Progress,
    ) {
        let result = match written {
            Ok((Written::Forward(texts), _)) => {
                match self.expand_all(job, &user_box.user, texts).await {
                    Ok(found) => {
                        progress.forwards.extend(found);
                        return;
                    }
                    Err(failure) => Err(failure),
                }
            }
            Ok((Written::Stored(remark), done)) => {
                if let Some(remark) = remark {
                    let (user, why) = (user_box.user.clone(), Spoken::of(&remark.said()));
                    self.remark(job.id, &Cause::ForwardUnheeded { user, why });
                }
                let without = UserBox { forward: false, ..user_box.clone() };
                self.remember(job.id, [Done::Box(user_box.clone()), Done::Box(without)]);
                Ok(done)
            }
            Err(failure) => Err(failure),
        };
        progress.results.insert(user_box, result);
    }

    async fn expand_all(
        &self,
        job: &Job,
        user: &str,
        texts: Vec<(String, String)>,
    ) -> Result<Forwards, Failure> {
        let mut all = Forwards::new();
        for (extension, text) in texts {
            let found = self.expand(job, user, text).await?;
            all.insert((user.to_owned(), extension), found);
        }
        Ok(all)
    }

    async fn expand(&self, job: &Job, user: &str, text: String) -> Result<Resolution, Failure> {
        let (directory, owner) = (Arc::clone(&self.directory), user.to_owned());
        let (found, warnings) =
            aside(move || directory.resolve_forward(&owner, &text).map_err(Failure::no_users))
                .await?;
        for warning in warnings {
            let (user, what) = (user.to_owned(), Spoken::of(&warning));
            self.remark(job.id, &Cause::InForward { user, what });
        }
        Ok(found)
    }

    async fn conclude(
        &self,
        job: &Job,
        leased: &LeasedRecipient,
        share: &Share,
        progress: &Progress,
    ) -> Result<Cause, Failure> {
        let of_box = |user_box: &UserBox| {
            let known = progress.results.get(&user_box.without_extension());
            known.cloned().unwrap_or_else(broken_off)
        };
        let mut results: Vec<_> = share.boxes.iter().map(of_box).collect();
        results.extend(self.do_all(job, leased, &share.deeds).await);
        let mut by_owner: BTreeMap<Option<&str>, Vec<Address>> = BTreeMap::new();
        for Onward { address, owner } in &share.remote {
            if !self.is_done(job.id, &Done::Elsewhere(address.clone())) {
                by_owner.entry(owner.as_deref()).or_default().push(address.clone());
            }
        }
        for (owner, targets) in by_owner {
            let sent = Sent { leased, owner, is_only: share.is_one_address() };
            let result = self.send_on(job, sent, &targets).await;
            if result.is_ok() {
                self.remember(job.id, targets.into_iter().map(Done::Elsewhere));
            }
            results.push(result);
        }
        report::verdict(share, results)
    }

    /// Under whom mail of this sender is sent on.
    pub(super) async fn sender_on(&self, sender: &Address) -> Result<Option<Address>, Failure> {
        if self.config.get().srs.domain.is_none() {
            return Ok(None);
        }
        let (directory, sender) = (Arc::clone(&self.directory), sender.clone());
        aside(move || directory.sender_on(&sender).map_err(|why| Failure::later(3, 5, why))).await
    }

    /// Who does what is no delivery into a mailbox.
    pub(super) fn hands(&self) -> Arc<Hands> {
        Arc::clone(&self.hands)
    }

    /// Whether it was done for this message.
    pub(super) fn is_deed_done(&self, id: MessageId, deed: &Deed) -> bool {
        self.is_done(id, &Done::Deed(deed.clone()))
    }

    /// It is not done again for this message.
    pub(super) fn remember_deed(&self, id: MessageId, deed: Deed) {
        self.remember(id, [Done::Deed(deed)]);
    }

    fn is_done(&self, id: MessageId, what: &Done) -> bool {
        self.lock_done().get(&id).is_some_and(|done| done.contains(what))
    }

    fn remember(&self, id: MessageId, what: impl IntoIterator<Item = Done>) {
        let mut done = self.lock_done();
        done.entry(id).or_default().extend(what);
        while done.len() > REMEMBERED {
            done.pop_first();
        }
    }

    fn lock_done(&self) -> MutexGuard<'_, BTreeMap<MessageId, HashSet<Done>>> {
        self.done.lock().unwrap_or_else(PoisonError::into_inner)
    }

    // A list's faults are met with each of its messages.
    fn warn_once(&self, text: &str) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.len() >= REMEMBERED {
            told.clear();
        }
        if told.insert(text.to_owned()) {
            self.warn(text);
        }
    }

    fn warn(&self, text: &str) {
        let (component, id) = ("local", None);
        self.log.write(&Event::Notice { level: "warning", component, id, text });
    }

    fn remark(&self, id: MessageId, cause: &Cause) {
        self.log.write(&Event::Remark { level: "warning", component: "local", id, cause });
    }
}

impl std::fmt::Debug for Mailboxes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mailboxes").finish_non_exhaustive()
    }
}

/// Does what blocks beside the reactor.
pub(super) async fn aside<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    tokio::task::spawn_blocking(work).await.map_err(|_| Failure::internal())?
}

fn broken_off() -> Result<Cause, Failure> {
    Err(Failure::internal())
}

// Our own fields stand before a header that may be as long as one can be.
fn read_head(body: &dyn Body) -> Result<Vec<u8>, Failure> {
    use std::io::Read as _;
    let mut octets = Vec::new();
    let mut head = body.open().map_err(Failure::of_message)?.take(MAX_HEADER as u64 + 1024);
    head.read_to_end(&mut octets).map_err(Failure::of_message)?;
    Ok(octets)
}
