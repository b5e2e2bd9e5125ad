//! Goes from host to host until every recipient has its outcome.
//!
//! The rules, which are Postfix's where nothing else is said:
//!
//! * What a host says before MAIL is about the host: the next one is tried, and if
//!   there is none the mail waits, also where the host said 5xx.
//! * A recipient that a host refuses for good is refused. One that it will not take
//!   now, or that a lost connection left undecided, is tried at the next host.
//! * Once the end of the content is out, only a reply decides. Without one, the
//!   recipients wait and no other host is tried: that is the only window in which a
//!   second copy can arise.
//! * On a connection that carried a message before, a refusal may be about what was
//!   said before, or about how much. It is no verdict: the connection is given up, and
//!   the same host asked again on a new one.
//! * An attempt makes at most [`MOST_CONNECTIONS`] connections and gives its message
//!   to at most [`MOST_SESSIONS`] hosts, and tries no further host after
//!   [`LONGEST_ATTEMPT`].

use std::borrow::Cow;
use std::collections::HashMap;
use std::io::Read;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use puerto_mail::header::{Header, MAX_HEADER};
use puerto_mail::idn::in_ascii;
use puerto_smtp::client::{
    Cause as Reason, Failure, Fate, Loss, Protocol, Stage, Step, Transaction,
};
use puerto_smtp::limits::ClientTimeouts;
use puerto_smtp::{Recipient, ReversePath, Severity};
use puerto_spool::Timestamp;
use tokio::net::UnixStream;
use tokio::time::Instant;

use super::attempt::Attempt;
use super::content::{self, Opening};
use super::one_domain::{self, OneDomain};
use super::open::{Terms, connected, get_ready_or_leave, own_name};
use super::outcome::{HostFailure, Peer};
use super::places::{Places, Whom};
use super::pool::{Key, Pool};
use super::require_tls::{UNENCRYPTED, UNSUPPORTED, is_asked, is_insisted_on, proving, unproved};
use super::seldom::Seldom;
use super::session::Session;
use super::stream::{self, Stream};
use super::witness::Witness;
use super::{Body, Job, Report};
use crate::cause::Cause;
use crate::config::{Config, Live};
use crate::route::{Hop, Plan};
use crate::telemetry::{Event, MailLog};
use crate::tls::ClientTls;
use crate::transport::memory::Memory;
use crate::transport::results::Results;

/// Connections that one attempt makes at most.
const MOST_CONNECTIONS: usize = 5;
/// Hosts that one attempt gives its message to at most.
const MOST_SESSIONS: usize = 2;
/// How long an attempt may have lasted for another host to be tried.
const LONGEST_ATTEMPT: Duration = Duration::from_secs(10 * 60);
/// Messages on one connection at most.
const MOST_MESSAGES: u32 = 100;
/// Octets of content that is opened before a peer has taken the envelope: thousands may
/// wait for peers that never do.
const OPENED_EARLY: u64 = 16 * 1024;

/// Where an LMTP server listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LmtpTarget {
    /// By TCP: the host as the configuration names it, and an address of it with the port.
    Host(Arc<str>, SocketAddr),
    /// At a socket in the file system.
    Path(PathBuf),
}

/// What one of so many nodes may have of a limit that a receiver sets for all of them.
pub fn share(limit: usize, nodes: u32) -> usize {
    (limit / usize::try_from(nodes).unwrap_or(usize::MAX).max(1)).max(1)
}

/// Delivers to other hosts.
pub struct Remote {
    pub(super) config: Live,
    pub(super) client_tls: ClientTls,
    timeouts: Option<ClientTimeouts>,
    pool: Pool,
    places: Places,
    one_domain: OneDomain,
    log: MailLog,
    nodes: Nodes,
    witness: Witness,
    seldom: Seldom,
}

/// How many nodes deliver from the same queue now.
type Nodes = Box<dyn Fn() -> u32 + Send + Sync>;

impl Remote {
    /// Delivery by this configuration.
    pub fn new(config: Live, client_tls: ClientTls) -> Self {
        let (pool, one_domain) = Default::default();
        let (places, log) = (Places::of_process(), MailLog::nowhere());
        let nodes = Box::new(|| 1);
        let (witness, seldom, timeouts) = Default::default();
        Self { config, client_tls, timeouts, pool, places, one_domain, log, nodes, witness, seldom }
    }

    /// The same, which remembers with whom TLS went well.
    #[must_use]
    pub fn remembering(mut self, memory: Memory) -> Self {
        self.witness.memory = Some(memory);
        self
    }

    /// The same, which counts for the reports to receivers how TLS went.
    #[must_use]
    pub fn counting(mut self, results: Results) -> Self {
        self.witness.results = Some(results);
        self
    }

    /// The same as one of so many nodes, which share what a receiver bears.
    #[must_use]
    pub fn among(self, nodes: impl Fn() -> u32 + Send + Sync + 'static) -> Self {
        Self { nodes: Box::new(nodes), ..self }
    }

    /// The same with a log, for what is about a connection and no outcome tells.
    #[must_use]
    pub fn with_log(self, log: MailLog) -> Self {
        Self { log, ..self }
    }

    /// The same with other time-outs than those of RFC 5321, for connecting too.
    #[cfg(test)]
    pub(super) fn with_timeouts(self, timeouts: ClientTimeouts) -> Self {
        Self { timeouts: Some(timeouts), ..self }
    }

    /// Delivers a message to some recipients, as far as that is possible now.
    pub async fn deliver(&self, job: &Job) -> Report {
        let config = self.config.get();
        let terms = Terms::of(&job.plan, &config, &self.client_tls, self.timeouts(&config));
        let mut attempt = Attempt::new(job, "smtp");
        if let Some(avoided) = &job.plan.avoided {
            self.remark(job, avoided, self.seldom.level(avoided, Instant::now()));
        }
        if let Some(rescued) = &job.plan.rescues {
            let (relay, why) = (job.plan.key.to_string(), Box::new(rescued.why.clone()));
            self.tell(job, &Cause::ByRescue { relay, why });
        }
        let mut tried = Vec::new();
        if !is_asked(job)
            && let Some((key, session)) = self.idle_session(&terms, &job.plan)
        {
            attempt.connected();
            let address = key.address;
            if self.transact(session, &mut attempt, Some(key)).await == Tried::Done {
                tried.push(address);
            }
        }
        let mut connections = tried.len();
        let mut sessions = tried.len();
        let is_fit = |hop: &&Hop| {
            !tried.contains(&hop.address)
                && (!is_insisted_on(job) || proving(&terms.at(hop).rule, &job.plan).is_some())
        };
        let mut hops = job.plan.hops.iter().filter(is_fit);
        let mut next = hops.next();
        if let (None, true, Some(hop)) = (next, is_insisted_on(job), job.plan.hops.first()) {
            let host = hop.host.to_string();
            let cause = Cause::RequireTlsUnproven { host };
            attempt.host_unfit(&hop.host, UNSUPPORTED, cause);
        }
        while let Some(hop) = next
            && connections < MOST_CONNECTIONS
            && sessions < MOST_SESSIONS
            && attempt.elapsed() <= LONGEST_ATTEMPT
            && !attempt.open().is_empty()
            && !attempt.is_called_off()
        {
            connections += 1;
            let tried = self.try_host(&terms, hop, &mut attempt).await;
            sessions += usize::from(tried == Tried::Done);
            if tried != Tried::UsedUp {
                next = hops.next();
            }
        }
        attempt.report()
    }

    // One connection to one host, and the message over it.
    async fn try_host(&self, terms: &Terms<'_>, hop: &Hop, attempt: &mut Attempt<'_>) -> Tried {
        let limit = share(terms.config.delivery.concurrency, (self.nodes)());
        let place = match self.places.enter(&whom(&attempt.job.plan, hop), limit).await {
            Ok(place) => place,
            Err(crowded) => {
                attempt.turned_away(crowded);
                return Tried::NoSession;
            }
        };
        let peer = Peer { place: Some(Arc::clone(&place)), ..Peer::at(&hop.host, hop.address) };
        let job = attempt.job;
        let (own, insists) = (terms.at(hop), is_insisted_on(job));
        let proof = is_asked(job).then(|| proving(&own.rule, &job.plan)).flatten();
        let mut is_proven = proof.is_some();
        let mut terms = Terms { rule: proof.unwrap_or_else(|| own.rule.clone()), ..own };
        let mut opened = self.witness.open(&terms, &peer, job).await;
        if opened.as_ref().is_err_and(|failure| unproved(&terms.rule, failure).is_some())
            && !insists
        {
            (terms, is_proven) = (own, false);
            opened = self.witness.open(&terms, &peer, job).await;
        }
        let terms = &terms;
        let mut session = match opened {
            Ok(session) => session,
            Err(failure) => {
                match unproved(&terms.rule, &failure) {
                    Some(cause) => attempt.host_unfit(&hop.host, UNENCRYPTED, cause),
                    None => {
                        place.failed(attempt.now());
                        attempt.host_failed(&failure);
                    }
                }
                return Tried::NoSession;
            }
        };
        // The session holds it from now on.
        drop((peer, place));
        session.is_proven = is_proven;
        if insists && !session.connection.extensions().require_tls {
            let host = session.peer.name.clone();
            let cause = Cause::RequireTlsNotOffered { host };
            attempt.host_unfit(&hop.host, UNSUPPORTED, cause);
            session.leave();
            return Tried::NoSession;
        }
        attempt.connected();
        self.log_plain_text(job, session.without_tls.take());
        self.transact(session, attempt, Some(key(terms, hop))).await
    }

    /// Delivers to an LMTP server (RFC 2033), whatever the job's plan says.
    pub async fn deliver_lmtp(&self, job: &Job, target: &LmtpTarget) -> Report {
        let config = self.config.get();
        let mut attempt = Attempt::new(job, "lmtp");
        for _ in 0..MOST_CONNECTIONS {
            match self.open_lmtp(&config, target).await {
                Err(failure) => attempt.host_failed(&failure),
                Ok(session) => {
                    attempt.connected();
                    if self.transact(session, &mut attempt, None).await == Tried::UsedUp {
                        continue;
                    }
                }
            }
            break;
        }
        attempt.report()
    }

    /// Ends the connections that wait for another message. Deliveries that are
    /// under way go on; their connections are closed when they end.
    pub async fn close(&self) {
        self.pool.close().await;
        let Witness { memory, results } = self.witness.clone();
        let writing = move || {
            // What cannot be written is found out again.
            let _ = memory.iter().try_for_each(Memory::write);
            let _ = results.iter().try_for_each(Results::write);
        };
        let _ = tokio::task::spawn_blocking(writing).await;
    }

    /// How many connections wait for another message.
    pub fn idle_connections(&self) -> usize {
        self.pool.len()
    }

    fn log_plain_text(&self, job: &Job, without_tls: Option<Cause>) {
        let Some(cause) = without_tls else { return };
        self.tell(job, &Cause::GoesOnInPlain { why: Box::new(cause) });
    }

    fn tell(&self, job: &Job, cause: &Cause) {
        self.remark(job, cause, "warning");
    }

    fn remark(&self, job: &Job, cause: &Cause, level: &'static str) {
        let (component, id) = ("smtp", job.id);
        self.log.write(&Event::Remark { level, component, id, cause });
    }

    fn timeouts(&self, config: &Config) -> ClientTimeouts {
        let usual = ClientTimeouts {
            connect: config.delivery.connect_timeout,
            ..ClientTimeouts::default()
        };
        self.timeouts.unwrap_or(usual)
    }

    fn idle_session(&self, terms: &Terms<'_>, plan: &Plan) -> Option<(Key, Box<Session>)> {
        if self.pool.len() == 0 {
            return None;
        }
        plan.hops.iter().find_map(|hop| {
            let key = key(terms, hop);
            let session = self.pool.take(&key, &self.places)?;
            Some((key, session))
        })
    }

    pub(super) async fn open_lmtp(
        &self,
        config: &Config,
        target: &LmtpTarget,
    ) -> Result<Box<Session>, HostFailure> {
        let peer = match target {
            LmtpTarget::Host(host, address) => Peer::at(host, *address),
            // A socket has no name but its machine's.
            LmtpTarget::Path(path) => Peer::at_path(&Arc::from(config.hostname.as_str()), path),
        };
        let timeouts = self.timeouts(config);
        let connecting = async {
            Ok(match target {
                LmtpTarget::Host(_, address) => {
                    let delivery = &config.delivery;
                    let source = stream::source_address(*address, delivery);
                    Stream::Plain(stream::connect(*address, source, delivery).await?)
                }
                LmtpTarget::Path(path) => Stream::Local(UnixStream::connect(path).await?),
            })
        };
        let stream = connected(&peer, timeouts.connect, connecting).await?;
        let name = own_name(&config.hostname);
        get_ready_or_leave(Session::new(peer, stream, Protocol::Lmtp, name, timeouts)).await
    }

    // Gives the message to one host, in as many transactions as that host wants.
    async fn transact(
        &self,
        mut session: Box<Session>,
        attempt: &mut Attempt<'_>,
        key: Option<Key>,
    ) -> Tried {
        let job = attempt.job;
        let host = Arc::clone(&session.peer.host);
        let mut places = attempt.open();
        while !places.is_empty() {
            let is_used = session.connection.transactions() > 0;
            let at_once = job.plan.manners.recipients.unwrap_or(usize::MAX).max(1);
            let (mut given, mut left) = match self.one_domain.knows(&host) {
                // Each recipient has a reverse-path of its own.
                _ if job.verp.is_some() => {
                    let mut places = places.into_iter();
                    (places.by_ref().take(1).collect(), places.collect())
                }
                true => one_domain::part(job, places),
                false => (places, Vec::new()),
            };
            if given.len() > at_once {
                let mut more = given.split_off(at_once);
                more.append(&mut left);
                left = more;
            }
            let fates = transaction(&mut session, job, &given).await;
            note(&session, &fates, attempt.now());
            let parted =
                fates.iter().any(one_domain::is_asked_for) && one_domain::are_mixed(job, &given);
            if parted {
                self.one_domain.remember(&host);
            }
            let rest = fate_of_the_rest(&session, &fates, parted);
            let goes_on_elsewhere = rest.is_some() && (parted || fates.iter().any(is_accepted));
            let (mut remaining, mut used_up) = (Vec::new(), false);
            let left = left.into_iter().map(|place| (place, Fate::Remaining));
            for (place, fate) in given.into_iter().zip(fates).chain(left) {
                let again = parted && one_domain::is_asked_for(&fate);
                match (if again { Fate::Remaining } else { fate }, &rest) {
                    (Fate::Failed(failure), _)
                        if is_used
                            && failure.may_be_about_the_session()
                            && !attempt.is_understood(&failure) =>
                    {
                        used_up = true;
                        attempt.give_up(place, &session, &failure);
                    }
                    (Fate::Remaining, None) => remaining.push(place),
                    (Fate::Remaining, Some(failure)) if goes_on_elsewhere => {
                        used_up = true;
                        attempt.give_up(place, &session, failure);
                    }
                    (Fate::Remaining, Some(failure)) => {
                        attempt.decide(place, &session, Fate::Failed(failure.clone()));
                    }
                    (fate, _) => attempt.decide(place, &session, fate),
                }
            }
            if used_up {
                session.leave();
                return Tried::UsedUp;
            }
            places = remaining;
        }
        self.release(session, key, &job.plan);
        Tried::Done
    }

    fn release(&self, session: Box<Session>, key: Option<Key>, plan: &Plan) {
        let most = plan.manners.messages.unwrap_or(MOST_MESSAGES);
        let has_room = session.connection.transactions() < most;
        match key {
            Some(key) if has_room && session.connection.is_ready() => self.pool.put(key, session),
            _ => session.leave(),
        }
    }
}

impl std::fmt::Debug for Remote {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Remote").field("idle", &self.idle_connections()).finish_non_exhaustive()
    }
}

/// What came of one connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tried {
    /// There was no place for it, or the host gave no session.
    NoSession,
    /// Every recipient was tried.
    Done,
    /// The connection carries no more messages: those that are open are to be tried on
    /// a new one.
    UsedUp,
}

fn whom(plan: &Plan, hop: &Hop) -> Arc<Whom> {
    match plan.is_relay {
        true => Whom::relay(hop.address.ip()),
        false => Whom::exchanger(&hop.host, hop.address.ip()),
    }
}

fn key(terms: &Terms<'_>, hop: &Hop) -> Key {
    Key {
        host: Arc::clone(&hop.host),
        address: hop.address,
        demand: hop.rule.as_deref().unwrap_or(&terms.rule).demand.clone(),
        downgrade: terms.config.delivery.downgrade,
        implicit_tls: terms.implicit_tls,
        name: terms.helo().to_owned(),
        source: terms.source(hop.address),
        user: terms.login.map(|login| login.user.clone()),
    }
}

// One transaction, and what became of each place. A mailbox that the envelope names
// twice, in U-labels and in A-labels, gets one copy.
async fn transaction(session: &mut Session, job: &Job, places: &[usize]) -> Vec<Fate> {
    let adds_original = session.connection.extensions().dsn;
    let (recipients, given) = distinct(job, places, adds_original);
    let fates = converse(session, job, &recipients).await;
    let lost = || Fate::Failed(Failure { stage: Stage::Idle, cause: Reason::OutOfStep });
    given.into_iter().map(|index| fates.get(index).cloned().unwrap_or_else(lost)).collect()
}

/// The recipients as they are said, and for each place which of them it is. A next hop that
/// offers DSN is told under which address each came here (RFC 3461 §5.2.1).
fn distinct<'a>(
    job: &'a Job,
    places: &[usize],
    adds_original: bool,
) -> (Vec<Cow<'a, Recipient>>, Vec<usize>) {
    let (mut recipients, mut given) = (Vec::new(), Vec::with_capacity(places.len()));
    let mut seen = HashMap::new();
    for leased in places.iter().filter_map(|place| job.recipients.get(*place)) {
        let mut recipient = match in_ascii(&leased.recipient.address) {
            Some(address) => Cow::Owned(Recipient { address, ..leased.recipient.clone() }),
            None => Cow::Borrowed(&leased.recipient),
        };
        if adds_original && recipient.original.is_none() {
            let original = leased.recipient.original_or_address().into_owned();
            recipient.to_mut().original = Some(original);
        }
        // One alone is like no other.
        let index = match places {
            [_] => 0,
            _ => *seen.entry(recipient.address.clone()).or_insert(recipients.len()),
        };
        if index == recipients.len() {
            recipients.push(recipient);
        }
        given.push(index);
    }
    (recipients, given)
}

async fn converse(
    session: &mut Session,
    job: &Job,
    recipients: &[Cow<'_, Recipient>],
) -> Vec<Fate> {
    let is_small = job.body.len() <= OPENED_EARLY;
    session.ending = job.ending.clone();
    let mut opening = is_small.then(|| Opening::begin(&job.body));
    let peer_takes_utf8 = session.connection.extensions().smtputf8;
    let utf8_header = job.smtputf8 && (peer_takes_utf8 || has_utf8_header(&job.body).await);
    let own = match recipients {
        [only] => job.reverse_path_for(&only.address),
        _ => Cow::Borrowed(&job.reverse_path),
    };
    let reverse_path = match own.address().and_then(in_ascii) {
        Some(address) => &ReversePath::Address(address),
        None => &*own,
    };
    session.connection.begin(&Transaction {
        reverse_path,
        recipients: &recipients.iter().map(|recipient| &**recipient).collect::<Vec<_>>(),
        envelope_id: job.envelope_id.as_deref(),
        ret: job.ret,
        verp: None,
        size: job.body.len(),
        eight_bit: job.eight_bit,
        utf8_header,
        require_tls: is_asked(job) && session.is_proven,
    });
    loop {
        match session.next_step().await {
            Step::Content => {
                let opening = opening.take().unwrap_or_else(|| Opening::begin(&job.body));
                content::send(session, opening, job.body.len()).await;
            }
            Step::Finished => return session.connection.take_fates(),
            // Then every recipient has the fate of a session out of step.
            _ => return Vec::new(),
        }
    }
}

// A message that was declared to need SMTPUTF8 may go without it if nothing in it
// does: declaring it is a habit of some clients (RFC 6531 §3.2).
async fn has_utf8_header(body: &Arc<dyn Body>) -> bool {
    let body = Arc::clone(body);
    let reading = tokio::task::spawn_blocking(move || {
        let mut start = Vec::new();
        body.open()?.take(MAX_HEADER as u64 + 2).read_to_end(&mut start)?;
        std::io::Result::Ok(!Header::parse_leading(&start, MAX_HEADER).octets().is_ascii())
    });
    // Content that cannot be read fails when it is sent, with the right words.
    matches!(reading.await, Ok(Ok(true)))
}

fn is_accepted(fate: &Fate) -> bool {
    matches!(fate, Fate::Accepted(_))
}

// Whether the peer did more than wait: what it may have from now on depends on it.
fn note(session: &Session, fates: &[Fate], now: Timestamp) {
    let Some(place) = &session.peer.place else { return };
    let answers = fates.iter().any(|fate| match fate {
        Fate::Accepted(_) => true,
        Fate::Failed(failure) => failure.reply().is_some(),
        Fate::Remaining => false,
    });
    if answers { place.proved() } else { place.failed(now) }
}

// What is already clear for recipients that were left for another transaction: the
// host is gone, or it will not take the content now from anybody. If the recipients
// are parted by domain, what it said of all of them together decides nothing.
fn fate_of_the_rest(session: &Session, fates: &[Fate], parted: bool) -> Option<Failure> {
    let refusal = fates.iter().find_map(|fate| match fate {
        Fate::Failed(failure) if failure.stage == Stage::FinalDot => Some(failure),
        _ => None,
    });
    let not_now = |failure: &&Failure| {
        failure.reply().is_some_and(|reply| reply.severity() == Severity::Transient)
    };
    if let Some(failure) = refusal.filter(not_now).filter(|_| !parted) {
        return Some(failure.clone());
    }
    let gone = !session.connection.is_ready() || !fates.iter().any(|f| *f != Fate::Remaining);
    gone.then_some(Failure { stage: Stage::Idle, cause: Reason::Lost(Loss::Closed) })
}
