//! Days in seconds: made providers, whose patience depends on how they are treated, and
//! three ways of sending to them. Ours is the schedule, shape, pace and retry that send
//! real mail, and the files of providers that they obey; only the clock is another.
//!
//! The figures stand in `docs/en/manners.md` and `docs/es/manners.md`, which this writes
//! with `PUERTO_BLESS` set and compares otherwise.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use puerto_spool::Timestamp;
use tokio::time::Instant;

use super::super::retry::{self, Failed, Next};
use super::super::schedule::{Bounds, Schedulable, Schedule, Step};
use super::super::shape::Ended;
use crate::config::{Config, QueueTimes};
use crate::deliver::Pressure;
use crate::providers::Profile;
use crate::route::DestinationKey;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
/// How long a message takes.
const TAKES: Duration = Duration::from_millis(400);
const LASTS: Duration = Duration::from_secs(36 * 3600);
/// What waits at the beginning: more than anybody takes.
const MESSAGES: u32 = 50_000;
/// From when to when the provider takes next to nothing, whatever is done.
const BAD_HOURS: (Duration, Duration) =
    (Duration::from_secs(16 * 3600), Duration::from_secs(20 * 3600));

/// A made provider.
#[derive(Clone)]
struct Provider {
    name: &'static str,
    /// The file that ours obeys.
    file: &'static str,
    /// Messages an hour at the best reputation.
    per_hour: f64,
    /// What may come at once, in hours of that.
    burst: f64,
    /// Connections at the same time.
    connections: usize,
    /// For how long nothing is taken after the rate was exceeded.
    shut: Duration,
    /// What an attempt against its will costs of the reputation, and the lowest.
    costs: f64,
    lowest: f64,
    refusal: (u16, &'static str),
    crowded: (u16, &'static str),
    /// What a tool with fixed rules does at that refusal.
    fixed: Fixed,
}

#[derive(Clone, Copy)]
enum Fixed {
    Pause(Duration),
    /// So many a minute, for so long.
    Slow(f64, Duration),
}

fn providers() -> [Provider; 3] {
    [
        Provider {
            name: "Gmail",
            file: "google",
            per_hour: 1200.0,
            burst: 0.25,
            connections: 20,
            shut: MINUTE * 10,
            costs: 0.002,
            lowest: 0.2,
            refusal: (
                421,
                "4.7.28 Gmail has detected an unusual rate of unsolicited mail originating from \
                 your IP address",
            ),
            crowded: (421, "4.7.0 Try again later, closing connection."),
            fixed: Fixed::Slow(10.0, Duration::from_secs(1800)),
        },
        Provider {
            name: "Yahoo",
            file: "yahoo",
            per_hour: 1500.0,
            burst: 0.5,
            connections: 10,
            shut: HOUR,
            costs: 0.002,
            lowest: 0.2,
            refusal: (
                421,
                "4.7.0 [TSS04] Messages from 192.0.2.25 temporarily deferred due to unexpected \
                 volume or user complaints",
            ),
            crowded: (421, "4.7.0 too many connections"),
            fixed: Fixed::Pause(Duration::from_secs(7200)),
        },
        Provider {
            name: "Microsoft",
            file: "microsoft-consumer",
            per_hour: 1000.0,
            burst: 1.0,
            connections: 15,
            shut: Duration::ZERO,
            costs: 0.001,
            lowest: 0.2,
            refusal: (
                451,
                "4.7.650 The mail server [192.0.2.25] has been temporarily rate limited due to \
                 IP reputation",
            ),
            crowded: (
                451,
                "4.7.652 The mail server has exceeded the maximum number of connections",
            ),
            fixed: Fixed::Slow(10.0, Duration::from_secs(1800)),
        },
    ]
}

/// A provider at work.
struct World {
    provider: Provider,
    /// Between the lowest and one.
    reputation: f64,
    tokens: f64,
    at: Duration,
    shut_until: Duration,
    open: usize,
    refused: u32,
}

enum Verdict {
    Taken,
    Said(u16, &'static str),
}

impl World {
    fn new(provider: Provider) -> Self {
        let tokens = provider.per_hour * provider.burst;
        let (at, shut_until) = (Duration::ZERO, Duration::ZERO);
        Self { provider, reputation: 1.0, tokens, at, shut_until, open: 0, refused: 0 }
    }

    // Good conduct mends a tenth an hour.
    fn go_on(&mut self, now: Duration) {
        let hours = now.saturating_sub(self.at).as_secs_f64() / 3600.0;
        let bad = if now >= BAD_HOURS.0 && now < BAD_HOURS.1 { 0.05 } else { 1.0 };
        self.reputation = (self.reputation + 0.1 * hours).min(1.0);
        let rate = self.provider.per_hour * self.reputation * bad;
        let most = (rate * self.provider.burst).max(1.0);
        self.tokens = (self.tokens + rate * hours).min(most);
        self.at = now;
    }

    fn begin(&mut self, now: Duration) -> Verdict {
        self.go_on(now);
        self.open += 1;
        if self.open > self.provider.connections {
            return self.refuse(self.provider.crowded);
        }
        if now < self.shut_until {
            return self.refuse(self.provider.refusal);
        }
        if self.tokens < 1.0 {
            self.shut_until = now + self.provider.shut;
            return self.refuse(self.provider.refusal);
        }
        self.tokens -= 1.0;
        Verdict::Taken
    }

    fn refuse(&mut self, (code, text): (u16, &'static str)) -> Verdict {
        self.refused += 1;
        self.reputation = (self.reputation - self.provider.costs).max(self.provider.lowest);
        Verdict::Said(code, text)
    }

    fn end(&mut self) {
        self.open -= 1;
    }
}

#[derive(Clone, Copy)]
struct Message {
    attempts: u32,
    received: Duration,
}

/// What a way of sending came to.
#[derive(Debug, Default)]
struct Score {
    delivered: u32,
    refused: u32,
    /// Delivered by the hour.
    hours: Vec<u32>,
}

impl Score {
    fn delivered_at(&mut self, now: Duration) {
        self.delivered += 1;
        let hour = usize::try_from(now.as_secs() / 3600).unwrap();
        self.hours.resize(self.hours.len().max(hour + 1), 0);
        self.hours[hour] += 1;
    }

    fn per_hour(&self) -> f64 {
        f64::from(self.delivered) / (LASTS.as_secs_f64() / 3600.0)
    }

    // From the end of the bad hours until an hour in which as much is delivered as in the
    // usual hour before.
    fn hours_to_recover(&self) -> Option<usize> {
        let from = usize::try_from(BAD_HOURS.1.as_secs() / 3600).unwrap();
        let before = usize::try_from(BAD_HOURS.0.as_secs() / 3600).unwrap();
        let mut usual = self.hours.get(before - 8..before)?.to_vec();
        usual.sort_unstable();
        let usual = usual[usual.len() / 2];
        let recovered = self.hours.iter().skip(from).position(|hour| *hour * 10 >= usual * 9);
        recovered.map(|hours| hours + 1)
    }
}

/// Messages that wait until they are due.
struct Waiting(BinaryHeap<Reverse<(Duration, u32, u32, Duration)>>, u32);

impl Waiting {
    fn all() -> Self {
        let mut waiting = Self(BinaryHeap::new(), 0);
        for _ in 0..MESSAGES {
            waiting.put(Duration::ZERO, Message { attempts: 0, received: Duration::ZERO });
        }
        waiting
    }

    fn put(&mut self, due: Duration, message: Message) {
        self.1 += 1;
        self.0.push(Reverse((due, self.1, message.attempts, message.received)));
    }

    fn next_due(&self) -> Option<Duration> {
        self.0.peek().map(|Reverse((due, ..))| *due)
    }

    fn take(&mut self, now: Duration) -> Option<Message> {
        if self.next_due()? > now {
            return None;
        }
        let Reverse((_, _, attempts, received)) = self.0.pop()?;
        Some(Message { attempts, received })
    }
}

/// A made die: the same each time.
fn dice(of: u32) -> u64 {
    u64::from(of).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 20
}

/// As Postfix does it: as many connections as it may have, each message by its own schedule.
fn fixed_concurrency(provider: Provider) -> Score {
    others(
        provider,
        20,
        |_| Duration::ZERO,
        |message, now| {
            let age = now.saturating_sub(message.received);
            now + age.clamp(Duration::from_secs(300), Duration::from_secs(4000))
        },
    )
}

/// As KumoMTA's community rules do it: connections by provider, and at a refusal what its
/// rule says.
fn fixed_shaping(provider: Provider) -> Score {
    let fixed = provider.fixed;
    let mut pace = (Duration::ZERO, 0.0_f64, Duration::ZERO);
    let mut paused = Duration::ZERO;
    let retry =
        |message: Message, now: Duration| now + MINUTE * 20 * 2_u32.pow(message.attempts.min(6));
    let gate = move |event: Event| match event {
        Event::Refused(now) => {
            match fixed {
                Fixed::Pause(span) if now >= paused => paused = now + span,
                Fixed::Pause(_) => {}
                Fixed::Slow(per_minute, span) => pace = (now + span, 60.0 / per_minute, pace.2),
            }
            Duration::ZERO
        }
        Event::May(now) if now < paused => paused,
        Event::May(now) if now < pace.0 => pace.2,
        Event::May(_) => Duration::ZERO,
        Event::Began(now) => {
            pace.2 = now + Duration::from_secs_f64(pace.1);
            Duration::ZERO
        }
    };
    others(provider, 5, gate, retry)
}

enum Event {
    May(Duration),
    Began(Duration),
    Refused(Duration),
}

// Those that are no code of ours: connections, a gate that says from when on one may go, and
// when a message is tried again.
fn others(
    provider: Provider,
    connections: usize,
    mut gate: impl FnMut(Event) -> Duration,
    retry: impl Fn(Message, Duration) -> Duration,
) -> Score {
    let (mut world, mut waiting, mut score) =
        (World::new(provider), Waiting::all(), Score::default());
    let mut under_way: VecDeque<(Duration, Message, bool)> = VecDeque::new();
    let mut now = Duration::ZERO;
    while now < LASTS {
        while let Some((_, message, taken)) = under_way.pop_front_if(|(end, ..)| *end <= now) {
            world.end();
            if taken {
                score.delivered_at(now);
            } else {
                gate(Event::Refused(now));
                let message = Message { attempts: message.attempts + 1, ..message };
                waiting.put(retry(message, now), message);
            }
        }
        let may = gate(Event::May(now));
        let has_room = under_way.len() < connections;
        if has_room
            && may <= now
            && let Some(message) = waiting.take(now)
        {
            gate(Event::Began(now));
            let taken = matches!(world.begin(now), Verdict::Taken);
            under_way.push_back((now + TAKES, message, taken));
            continue;
        }
        let ends = under_way.front().map(|(end, ..)| *end);
        let begins = waiting.next_due().filter(|_| has_room).map(|due| due.max(may));
        let Some(next) = ends.into_iter().chain(begins).min() else { break };
        now = next.max(now + Duration::from_millis(1));
    }
    score.refused = world.refused;
    score
}

/// A message in our schedule.
struct Item(Message, Instant);

impl Schedulable for Item {
    fn is_fresh(&self) -> bool {
        self.0.attempts == 0
    }

    fn claimed(&self) -> Instant {
        self.1
    }

    fn recipients(&self) -> usize {
        1
    }

    fn absorb(&mut self, other: Self) -> Result<(), Self> {
        Err(other)
    }
}

struct Ours {
    world: World,
    profile: Arc<Profile>,
    schedule: Schedule<Item, ()>,
    key: DestinationKey,
    start: Instant,
    times: QueueTimes,
    waiting: Waiting,
    score: Score,
    /// Jobs under way, and workers that wait for a time.
    jobs: BinaryHeap<Reverse<(Duration, u32)>>,
    bodies: std::collections::HashMap<u32, Job>,
    number: u32,
}

enum Job {
    Under { item: Item, started: Duration, probe: bool, verdict: Verdict },
    Wait,
}

impl Ours {
    fn new(provider: Provider) -> Self {
        let config = Config::for_tests(std::path::Path::new("/nonexistent"));
        let profile = Arc::clone(config.profiles().named(provider.file).unwrap());
        Self {
            world: World::new(provider),
            profile,
            schedule: Schedule::new(),
            key: DestinationKey("made".into()),
            start: Instant::now(),
            times: config.queue,
            waiting: Waiting::all(),
            score: Score::default(),
            jobs: BinaryHeap::new(),
            bodies: std::collections::HashMap::new(),
            number: 0,
        }
    }

    fn bounds(&self) -> Bounds {
        let ceiling = self.profile.connections.unwrap_or(20).min(20);
        let interval = self.profile.rate.map(crate::providers::Rate::interval);
        Bounds { ceiling, interval, takes_turns: true }
    }

    fn at(&self, now: Duration) -> Instant {
        self.start + now
    }

    fn later(&mut self, at: Duration, job: Job) {
        self.number += 1;
        self.jobs.push(Reverse((at, self.number)));
        self.bodies.insert(self.number, job);
    }

    // As the store hands out due work: so much of one domain at a time.
    fn claim(&mut self, now: Duration) {
        while self.schedule.queued(&self.key) < 250
            && let Some(message) = self.waiting.take(now)
        {
            let item = Item(message, self.at(now));
            if self.schedule.push(&self.key.clone(), item, self.bounds()) {
                self.work(now);
            }
        }
    }

    // A worker until it has a job, or is not needed.
    fn work(&mut self, now: Duration) {
        loop {
            match self.schedule.next(&self.key, self.at(now)) {
                Step::Stop => return,
                Step::Wait(until) => {
                    let at = until.duration_since(self.start);
                    return self.later(at.max(now), Job::Wait);
                }
                Step::Deliver { work, probe } => {
                    if self.schedule.take_successor(&self.key, self.at(now)) {
                        self.work(now);
                    }
                    let verdict = self.world.begin(now);
                    let job = Job::Under { item: work, started: now, probe, verdict };
                    return self.later(now + TAKES, job);
                }
                Step::Park { work, until, .. } => {
                    self.waiting.put(until.duration_since(self.start), work.0);
                }
                Step::Suspend { work, .. } => self.put_off(now, work.0, None),
                Step::TurnAway { work, .. } => self.waiting.put(now + SECOND * 15, work.0),
            }
        }
    }

    fn put_off(&mut self, now: Duration, message: Message, asked: Option<Duration>) {
        let stamp = |at: Duration| Timestamp::from_millis(i64::try_from(at.as_millis()).unwrap());
        let failed = Failed {
            now: stamp(now),
            tried_at: stamp(now),
            received_at: stamp(message.received),
            attempts_before: message.attempts,
            retry_after: asked,
            soon: false,
        };
        if let Next::At(due) = retry::after(&self.times, failed, dice(self.number)) {
            let due = Duration::from_millis(u64::try_from(due.as_millis()).unwrap());
            self.waiting.put(due, Message { attempts: message.attempts + 1, ..message });
        }
    }

    fn end(&mut self, now: Duration, job: Job) {
        let Job::Under { item, started, probe, verdict } = job else {
            if self.schedule.waited(&self.key) {
                self.work(now);
            }
            return;
        };
        self.world.end();
        let pressure = match verdict {
            Verdict::Taken => {
                self.score.delivered_at(now);
                Pressure::Fine
            }
            Verdict::Said(code, text) => {
                let rule = self.profile.rule((code, ""), text);
                let call = rule.map(|rule| rule.call);
                self.put_off(now, item.0, call.map(crate::providers::Call::span));
                Pressure::of(call).unwrap_or(Pressure::Strained)
            }
        };
        let ended =
            Ended { started: self.at(started), now: self.at(now), was_probe: probe, pressure };
        self.schedule.ended(&self.key.clone(), ended, Some(Arc::new(())));
        if self.schedule.take_worker(&self.key) {
            self.work(now);
        }
        self.work(now);
    }

    fn run(mut self) -> Score {
        let mut now = Duration::ZERO;
        while now < LASTS {
            self.claim(now);
            let due = self.waiting.next_due();
            let has_room = self.schedule.queued(&self.key) < 250;
            let job = self.jobs.peek().map(|Reverse((at, _))| *at);
            let Some(next) = job.into_iter().chain(due.filter(|_| has_room)).min() else { break };
            now = next.max(now);
            while let Some(Reverse((at, number))) = self.jobs.peek().copied()
                && at <= now
            {
                self.jobs.pop();
                let job = self.bodies.remove(&number).unwrap();
                self.end(now, job);
            }
        }
        self.score.refused = self.world.refused;
        self.score
    }
}

fn scores() -> Vec<(Provider, [Score; 3])> {
    let all = providers().into_iter().map(|provider| {
        let ours = Ours::new(provider.clone()).run();
        let postfix = fixed_concurrency(provider.clone());
        let kumo = fixed_shaping(provider.clone());
        (provider, [ours, postfix, kumo])
    });
    all.collect()
}

fn table(scores: &[(Provider, [Score; 3])], words: [&str; 8]) -> String {
    let [ours, postfix, kumo, by, hourly, refusals, recovery, never] = words;
    let mut out = format!("| {by} | | {hourly} | {refusals} | {recovery} |\n");
    out.push_str("| --- | --- | ---: | ---: | ---: |\n");
    for (provider, scores) in scores {
        for (score, name) in scores.iter().zip([ours, postfix, kumo]) {
            let recovery = score.hours_to_recover();
            let recovery = recovery.map_or_else(|| never.to_owned(), |hours| format!("{hours} h"));
            let _ = writeln!(
                out,
                "| {} | {name} | {:.0} | {} | {recovery} |",
                provider.name,
                score.per_hour(),
                score.refused
            );
        }
    }
    out
}

// The part of a page between two marks.
fn page(file: &str, table: &str) {
    let (begin, end) = ("<!-- simulation -->\n", "<!-- /simulation -->");
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs").join(file);
    let text = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = text.split_once(begin).unwrap();
    let (known, after) = rest.split_once(end).unwrap();
    let table = format!("\n{table}\n");
    if std::env::var_os("PUERTO_BLESS").is_some() {
        std::fs::write(&path, format!("{before}{begin}{table}{end}{after}")).unwrap();
    } else {
        assert_eq!(known, table, "{file}: see what changed, then write it with PUERTO_BLESS=1");
    }
}

#[test]
fn ours_provokes_the_fewest_refusals_and_delivers_no_less() {
    let scores = scores();
    let english = [
        "Buen Puerto",
        "20 connections, always",
        "fixed rules",
        "provider",
        "delivered an hour",
        "refusals provoked",
        "time to recover",
        "not in sixteen hours",
    ];
    let spanish = [
        "Buen Puerto",
        "20 conexiones, siempre",
        "reglas fijas",
        "proveedor",
        "entregados por hora",
        "rechazos provocados",
        "tiempo de recuperación",
        "no en dieciséis horas",
    ];
    for (provider, [ours, postfix, kumo]) in &scores {
        for other in [postfix, kumo] {
            assert!(
                ours.refused < other.refused && ours.delivered >= other.delivered,
                "{}\n{}",
                provider.name,
                table(&scores, english)
            );
        }
    }
    page("en/manners.md", &table(&scores, english));
    page("es/manners.md", &table(&scores, spanish));
}
