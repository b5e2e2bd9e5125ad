//! A queue over a spool in memory, a table for a DNS, and a carrier that follows a
//! script, all under a paused clock.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use puerto_mail::dns::{self, Dns, DnsError, RecordType, Table};
use puerto_smtp::{Address, EnhancedCode, Envelope, Recipient, Reply, ReversePath};
use puerto_spool::clock::Clock;
use puerto_spool::memory::MemorySpool;
use puerto_spool::*;
use tokio::sync::watch;
use tokio::time::Instant;

use super::super::{Carrier, Lanes, Wiring, run};
use crate::bounce::{Kind as News, Notice};
use crate::cause::Cause;
use crate::config::{Config, Live};
use crate::deliver::{HURRIED, Job, Outcome, Places, Pressure, Report, Success, Whom};
use crate::intake::{Meant, Refusal, Wake};
use crate::orders::Orders;
use crate::providers::Against;
use crate::route::{Machine, Router};
use crate::telemetry::{Delays, Delivery, DeliveryStatus, Event, MailLog};

/// The time of day that follows tokio's clock, and that tests can set.
pub(super) struct WallClock {
    start: Instant,
    leap: AtomicI64,
}

const EPOCH: i64 = 1_800_000_000_000;

impl WallClock {
    pub(super) fn leap(&self, seconds: i64) {
        self.leap.fetch_add(seconds * 1000, Ordering::SeqCst);
    }
}

impl Clock for WallClock {
    fn now(&self) -> Timestamp {
        let passed = i64::try_from(self.start.elapsed().as_millis()).unwrap();
        Timestamp::from_millis(EPOCH + passed + self.leap.load(Ordering::SeqCst))
    }

    fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }
}

/// A table some of whose domains never answer: `silent.test` and what is below it.
pub(super) struct TestDns {
    pub(super) table: Table,
    pub(super) takes: Duration,
    pub(super) asked: AtomicUsize,
}

impl Dns for TestDns {
    async fn lookup(&self, name: &str, record_type: RecordType) -> Result<dns::Answer, DnsError> {
        if name.ends_with("silent.test") {
            tokio::time::sleep(Duration::from_secs(20)).await;
            return Err(DnsError::Timeout);
        }
        self.asked.fetch_add(1, Ordering::SeqCst);
        // An answer comes from elsewhere: others have their turn meanwhile.
        match self.takes {
            Duration::ZERO => tokio::task::yield_now().await,
            takes => tokio::time::sleep(takes).await,
        }
        self.table.lookup(name, record_type).await
    }
}

/// What a scripted peer does with a job.
#[derive(Clone)]
pub(super) struct Reaction {
    pub(super) takes: Duration,
    pub(super) pressure: Pressure,
    pub(super) each: Arc<dyn Fn(&LeasedRecipient) -> DeliveryStatus + Send + Sync>,
    pub(super) panics: bool,
    pub(super) forgets: bool,
    pub(super) success: Success,
    pub(super) retry_after: Option<Duration>,
    pub(super) against: Option<Against>,
    pub(super) cause: Cause,
}

pub(super) fn all(status: DeliveryStatus) -> Reaction {
    Reaction {
        takes: Duration::from_millis(10),
        pressure: Pressure::Fine,
        each: Arc::new(move |_| status),
        panics: false,
        forgets: false,
        success: Success::Relayed,
        retry_after: None,
        against: None,
        cause: Cause::words("host mx.test said so"),
    }
}

pub(super) fn unreachable() -> Reaction {
    Reaction { pressure: Pressure::Unreachable, ..all(DeliveryStatus::Deferred) }
}

type Script = Box<dyn Fn(&Job) -> Reaction + Send + Sync>;

/// One attempt as the carrier saw it.
#[derive(Debug, Clone)]
pub(super) struct Try {
    pub(super) at: Duration,
    pub(super) to: Vec<String>,
    /// By which destination's line.
    pub(super) by: String,
}

#[derive(Default)]
pub(super) struct Seen {
    pub(super) tries: Vec<Try>,
    pub(super) news: Vec<(News, Duration, usize)>,
    pub(super) queued_at_notice: Vec<usize>,
    pub(super) running: usize,
    pub(super) most_running: usize,
}

pub(super) struct Scripted {
    script: Script,
    pub(super) seen: Arc<Mutex<Seen>>,
    refuse_notices: Arc<AtomicBool>,
    spool: Arc<Stubborn>,
    start: Instant,
    places: Option<Places>,
}

impl Scripted {
    // A peer that is silent is waited for as the deliverer does.
    async fn wait_for_silent(&self, job: &Job, places: &Places) -> Report {
        let hop = job.plan.hops.first().unwrap();
        let whom = Whom::exchanger(&hop.host, hop.address.ip());
        let report = |cause: Cause, pressure| {
            let outcomes = job.recipients.iter().map(|recipient| Outcome {
                reply: None,
                cause: cause.clone(),
                ..self.outcome(recipient, &unreachable())
            });
            Report { outcomes: outcomes.collect(), pressure }
        };
        let place = match places.enter(&whom, 20).await {
            Ok(place) => place,
            Err(crowded) => {
                let pressure = Pressure::Crowded { failed_at: crowded.failed_at };
                return report(crowded.cause, pressure);
            }
        };
        if !is_silent(job) {
            tokio::time::sleep(Duration::from_millis(200)).await;
            place.proved();
            return self.carry(job).await;
        }
        for _ in 0..10 {
            tokio::time::sleep(HURRIED).await;
            if place.is_wanted() {
                break;
            }
        }
        let at = i64::try_from(self.start.elapsed().as_millis()).unwrap();
        place.failed(Timestamp::from_millis(EPOCH + at));
        report(Cause::words("timed out"), Pressure::Unreachable)
    }

    async fn carry(&self, job: &Job) -> Report {
        let reaction = (self.script)(job);
        {
            let mut seen = self.seen.lock().unwrap();
            let to = job.recipients.iter().map(|r| r.recipient.address.to_string()).collect();
            let by = job.plan.key.to_string();
            seen.tries.push(Try { at: self.start.elapsed(), to, by });
            seen.running += 1;
            seen.most_running = seen.most_running.max(seen.running);
        }
        tokio::time::sleep(reaction.takes).await;
        self.seen.lock().unwrap().running -= 1;
        assert!(!reaction.panics, "scripted");
        let mut outcomes: Vec<Outcome> =
            job.recipients.iter().map(|recipient| self.outcome(recipient, &reaction)).collect();
        if reaction.forgets {
            outcomes.pop();
            outcomes.reverse();
        }
        Report { outcomes, pressure: reaction.pressure }
    }

    fn outcome(&self, recipient: &LeasedRecipient, reaction: &Reaction) -> Outcome {
        let status = (reaction.each)(recipient);
        let (class, code) = match status {
            DeliveryStatus::Sent => (2, 250),
            DeliveryStatus::Deferred => (4, 450),
            DeliveryStatus::Bounced => (5, 550),
        };
        Outcome {
            index: recipient.index,
            status,
            component: if reaction.retry_after.is_some() { "local" } else { "smtp" },
            relay: "mx.test[192.0.2.1]:25".to_owned(),
            host: Some("mx.test".to_owned()),
            status_code: EnhancedCode::new(class, 1, 1),
            reply: Some(Reply::enhanced(code, (class, 1, 1), "so it is")),
            cause: reaction.cause.clone(),
            tls: None,
            tls_reason: None,
            at: Timestamp::from_millis(
                EPOCH + i64::try_from(self.start.elapsed().as_millis()).unwrap(),
            ),
            delays: Delays::default(),
            retry_after: reaction.retry_after,
            success: reaction.success,
            against: reaction.against.filter(|_| status != DeliveryStatus::Sent),
        }
    }
}

fn is_silent(job: &Job) -> bool {
    job.plan.hops.first().is_some_and(|hop| hop.host.contains("silent"))
}

impl Carrier for Scripted {
    async fn remote(&self, job: &Job) -> Report {
        match &self.places {
            Some(places) => self.wait_for_silent(job, places).await,
            None => self.carry(job).await,
        }
    }

    async fn local(&self, job: &Job) -> Report {
        self.carry(job).await
    }

    async fn notify(&self, notice: &Notice<'_>) -> Result<Option<MessageId>, Refusal> {
        let entry = self.spool.inner.get(notice.job.id).wait().unwrap();
        let open = entry.recipients.iter().filter(|r| r.state != RecipientState::Done).count();
        let mut seen = self.seen.lock().unwrap();
        if self.refuse_notices.load(Ordering::SeqCst) {
            return Err(Refusal { reply: Reply::enhanced(452, (4, 3, 1), "full") });
        }
        seen.news.push((notice.kind, self.start.elapsed(), notice.outcomes.len()));
        seen.queued_at_notice.push(open);
        Ok(Some(self.spool.inner.new_id()))
    }
}

/// A memory spool whose settlements can be made to fail.
pub(super) struct Stubborn {
    pub(super) inner: Arc<MemorySpool>,
    pub(super) full: AtomicBool,
    /// How often it was asked whether leases still stand.
    pub(super) renewals: AtomicUsize,
    /// Nodes beside this one.
    pub(super) others: AtomicU32,
    /// Whether it is another node that an administrator changes the queue at.
    pub(super) edited_elsewhere: AtomicBool,
}

impl Work for Stubborn {
    fn claim(&self, request: &ClaimRequest) -> Answer<Claimed> {
        self.inner.claim(request)
    }
    fn renew(&self, leases: &[LeaseToken], hold: Duration) -> Answer<Renewed> {
        self.renewals.fetch_add(1, Ordering::SeqCst);
        self.inner.renew(leases, hold)
    }
    fn edits(&self) -> u64 {
        if self.edited_elsewhere.load(Ordering::SeqCst) { 0 } else { self.inner.edits() }
    }
    fn settle(&self, settlements: Vec<Settlement>) -> Ticket<Vec<Result<Settled, SpoolError>>> {
        if self.full.load(Ordering::SeqCst) {
            let full = |_| Err(SpoolError::Full(puerto_spool::Hindrance::NoRoom));
            return Ticket::ready(settlements.into_iter().map(full).collect());
        }
        self.inner.settle(settlements)
    }
    fn note_delay(&self, id: MessageId) -> Answer<bool> {
        self.inner.note_delay(id)
    }
    fn forget_delay(&self, id: MessageId) -> Answer<()> {
        self.inner.forget_delay(id)
    }
    fn standing(&self, id: MessageId) -> Answer<Entry> {
        self.inner.get(id)
    }
    fn retry_all(&self) -> Answer<u64> {
        self.inner.retry_all()
    }
    fn changed(&self) -> Ticket<()> {
        self.inner.changed()
    }
    fn living(&self) -> u32 {
        self.inner.living() + self.others.load(Ordering::SeqCst)
    }
}

pub(super) struct World {
    pub(super) spool: Arc<Stubborn>,
    pub(super) clock: Arc<WallClock>,
    pub(super) seen: Arc<Mutex<Seen>>,
    pub(super) log: Arc<Mutex<Vec<String>>>,
    pub(super) refuse_notices: Arc<AtomicBool>,
    start: Instant,
    pub(super) dns: Arc<TestDns>,
    /// With places, hosts that are called silent take one and say nothing.
    pub(super) places: Option<Places>,
    pub(super) config: Live,
    pub(super) wake: Wake,
    pub(super) orders: Orders,
    pub(super) lanes: Lanes,
    /// Those of the process that starts next.
    again: Mutex<Lanes>,
    stop: watch::Sender<bool>,
}

/// Domains a.test, b.test … with an MX of their own; `twin.test` shares a.test's.
fn dns() -> Table {
    let mut table = Table::new();
    for letter in ['a', 'b', 'c', 'd'] {
        let host = format!("mx.{letter}.test");
        table.mx(&format!("{letter}.test"), 10, &host);
        table.address(&host, "192.0.2.1".parse().unwrap());
    }
    for (name, address) in [("far", "198.51.100.1"), ("farther", "203.0.113.1")] {
        table.mx(&format!("{name}.test"), 10, &format!("mx.{name}.test"));
        table.address(&format!("mx.{name}.test"), address.parse().unwrap());
    }
    table.mx("twin.test", 10, "mx.a.test");
    // A receiver that wants SPF or DKIM to pass, and is reached by both families.
    table.mx("gmail.test", 5, "mx.l.google.com");
    table.address("mx.l.google.com", "192.0.2.9".parse().unwrap());
    table.address("mx.l.google.com", "2001:db8:9::9".parse().unwrap());
    table.txt("v4.test", "v=spf1 ip4:198.51.100.1 -all");
    table.mx("null.test", 0, ".");
    table.fail("servfail.test", RecordType::Mx, DnsError::Failure("SERVFAIL".into()));
    table
}

impl World {
    pub(super) fn new() -> Self {
        let config = Config::for_tests(std::path::Path::new("/nonexistent"));
        Self::with(config)
    }

    pub(super) fn with(config: Config) -> Self {
        let start = Instant::now();
        let clock = Arc::new(WallClock { start, leap: AtomicI64::new(0) });
        let orders = Orders::new(Arc::clone(&clock) as Arc<dyn Clock>);
        let lanes = Lanes::default();
        let inner = Arc::new(MemorySpool::new(Arc::clone(&clock) as Arc<dyn Clock>));
        Self {
            spool: Arc::new(Stubborn {
                inner,
                full: AtomicBool::new(false),
                renewals: AtomicUsize::new(0),
                others: AtomicU32::new(0),
                edited_elsewhere: AtomicBool::new(false),
            }),
            clock,
            seen: Arc::default(),
            log: Arc::default(),
            refuse_notices: Arc::default(),
            start,
            dns: Arc::new(TestDns {
                table: dns(),
                takes: Duration::ZERO,
                asked: AtomicUsize::new(0),
            }),
            places: None,
            config: Live::new(config),
            wake: Wake::default(),
            orders,
            again: Mutex::new(lanes.clone()),
            lanes,
            stop: watch::channel(false).0,
        }
    }

    /// Commits a message and wakes the queue.
    pub(super) fn send(&self, to: &[&str]) -> MessageId {
        self.send_from("<sender@example.com>", to, |_| {})
    }

    /// The same for one that goes to many.
    pub(super) fn send_bulk(&self, to: &[&str]) {
        self.commit((self.spool.inner.new_id(), "<news@example.com>"), to, |_| {}, true);
    }

    pub(super) fn send_from(
        &self,
        from: &str,
        to: &[&str],
        change: impl Fn(&mut Recipient),
    ) -> MessageId {
        self.send_as(self.spool.inner.new_id(), from, to, change)
    }

    pub(super) fn send_as(
        &self,
        id: MessageId,
        from: &str,
        to: &[&str],
        change: impl Fn(&mut Recipient),
    ) -> MessageId {
        self.commit((id, from), to, change, false)
    }

    fn commit(
        &self,
        (id, from): (MessageId, &str),
        to: &[&str],
        change: impl Fn(&mut Recipient),
        bulk: bool,
    ) -> MessageId {
        let recipients = to.iter().map(|to| {
            let mut recipient = Recipient::new(Address::parse(to).unwrap());
            change(&mut recipient);
            recipient
        });
        let mut envelope = Envelope::new(ReversePath::parse(from).unwrap(), recipients.collect());
        envelope.bulk = bulk;
        let message = NewMessage {
            id,
            envelope,
            received_at: self.clock.now(),
            origin: Origin::Internal,
            prefix: Vec::new(),
            content: Content::Memory(b"Subject: hi\r\n\r\nhi\r\n".to_vec()),
            held_for: None,
        };
        self.spool.inner.commit(message).wait().unwrap();
        self.wake.wake();
        id
    }

    /// Starts a queue whose peers follow the script.
    pub(super) fn start(
        &self,
        script: impl Fn(&Job) -> Reaction + Send + Sync + 'static,
    ) -> tokio::task::JoinHandle<()> {
        let carrier = Scripted {
            script: Box::new(script),
            seen: Arc::clone(&self.seen),
            refuse_notices: Arc::clone(&self.refuse_notices),
            spool: Arc::clone(&self.spool),
            start: self.start,
            places: self.places.clone(),
        };
        let machine = Machine::fixed(Vec::new(), |_| true, 7);
        let machine = machine.reaching_from("198.51.100.1", "2001:db8:1::1");
        let router = Router::on_machine(self.config.clone(), Arc::clone(&self.dns), machine)
            .heeding(self.orders.clone());
        let log = Arc::clone(&self.log);
        let wiring = Wiring {
            config: self.config.clone(),
            store: Arc::clone(&self.spool.inner) as Arc<dyn Store>,
            work: Arc::clone(&self.spool) as Arc<dyn Work>,
            router: Arc::new(router),
            carrier,
            log: MailLog::new(move |event| log.lock().unwrap().extend(line(event))),
            wake: self.wake.clone(),
            clock: Arc::clone(&self.clock) as Arc<dyn Clock>,
            files: 65_536,
            orders: self.orders.clone(),
            lanes: self.again.lock().unwrap().clone(),
        };
        tokio::spawn(run(wiring, self.stop.subscribe()))
    }

    /// How long the world has stood.
    pub(super) fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }

    pub(super) fn stop(&self) {
        self.stop.send_replace(true);
    }

    pub(super) fn restart(&self) {
        self.stop.send_replace(false);
    }

    /// The same as another process, whose lanes these are.
    pub(super) fn again(&self) -> Lanes {
        self.restart();
        let lanes = Lanes::default();
        *self.again.lock().unwrap() = lanes.clone();
        lanes
    }

    /// Makes all mail due, as an administrator does.
    pub(super) fn retry(&self) {
        let ids: Vec<MessageId> = self.entries().iter().map(|entry| entry.id).collect();
        self.wake.expect_retry_of_all();
        self.retry_some(&ids);
    }

    /// The same of some.
    pub(super) fn retry_some(&self, ids: &[MessageId]) {
        self.retry_for(ids, &Meant::All);
    }

    /// The same for some of their recipients.
    pub(super) fn retry_for(&self, ids: &[MessageId], whose: &Meant) {
        self.wake.expect_retry(ids.iter().map(|id| (*id, whose.clone())).collect());
        drop(self.spool.inner.edit(ids, Edit::Retry));
        self.wake.wake();
    }

    /// Changes one as an administrator does.
    pub(super) fn edit(&self, id: MessageId, edit: Edit) {
        drop(self.spool.inner.edit(&[id], edit));
        self.wake.wake();
    }

    pub(super) fn entries(&self) -> Vec<Entry> {
        self.spool.inner.entries()
    }

    pub(super) fn messages(&self) -> u64 {
        self.spool.inner.health().wait().unwrap().messages
    }

    pub(super) fn tries(&self) -> Vec<Try> {
        self.seen.lock().unwrap().tries.clone()
    }

    pub(super) fn tries_to(&self, domain: &str) -> Vec<Try> {
        let mut tries = self.tries();
        tries.retain(|one| one.to.iter().any(|to| to.ends_with(domain)));
        tries
    }

    pub(super) fn news(&self) -> Vec<(News, Duration, usize)> {
        self.seen.lock().unwrap().news.clone()
    }

    pub(super) fn log(&self) -> Vec<String> {
        self.log.lock().unwrap().clone()
    }

    pub(super) fn state_of(&self, id: MessageId) -> Vec<RecipientStatus> {
        self.spool.inner.get(id).wait().map_or(Vec::new(), |entry| entry.recipients)
    }
}

pub(super) async fn seconds(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}

fn line(event: &Event<'_>) -> Option<String> {
    match event {
        Event::Delivery(Delivery { to, status, status_code, text, .. }) => {
            Some(format!("{to} {status:?} {status_code} {text}"))
        }
        Event::Removed { .. } => Some("removed".to_owned()),
        Event::Notification { kind, .. } => Some((*kind).to_owned()),
        Event::Expired { .. } => Some("expired".to_owned()),
        Event::Notice { text, .. } => Some(format!("notice: {text}")),
        Event::Remark { cause, .. } => Some(format!("notice: {cause}")),
        _ => None,
    }
}
