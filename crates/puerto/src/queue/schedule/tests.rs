//! Whose turn it is, step by step.

use super::*;
use crate::deliver::Pressure;

#[derive(Debug, PartialEq)]
struct Item {
    name: &'static str,
    number: u32,
    fresh: bool,
    claimed: Instant,
}

impl Schedulable for Item {
    fn is_fresh(&self) -> bool {
        self.fresh
    }
    fn claimed(&self) -> Instant {
        self.claimed
    }
    fn is_bulk(&self) -> bool {
        self.name == "letter"
    }
    fn recipients(&self) -> usize {
        1
    }
    fn absorb(&mut self, other: Self) -> Result<(), Self> {
        if self.name == "pair" && other.name == "pair" {
            self.number += other.number;
            return Ok(());
        }
        Err(other)
    }
}

fn item(number: u32, fresh: bool) -> Item {
    Item { name: "item", number, fresh, claimed: Instant::now() }
}

fn key(name: &str) -> DestinationKey {
    DestinationKey(name.into())
}

fn deliver(schedule: &mut Schedule<Item, ()>, destination: &str) -> Option<u32> {
    match schedule.next(&key(destination), Instant::now()) {
        Step::Deliver { work, .. } => Some(work.number),
        _ => None,
    }
}

fn end(schedule: &mut Schedule<Item, ()>, destination: &str, pressure: Pressure) {
    let now = Instant::now();
    let ended = Ended { started: now, now, was_probe: false, pressure };
    schedule.ended(&key(destination), ended, None);
}

#[tokio::test(start_paused = true)]
async fn fresh_mail_and_old_take_turns() {
    let mut schedule = Schedule::<Item, ()>::new();
    for number in 0..3 {
        let _ = schedule.push(&key("a"), item(number, true), Bounds::of(20));
        let _ = schedule.push(&key("a"), item(100 + number, false), Bounds::of(20));
    }
    let order: Vec<_> = (0..6)
        .map(|_| {
            let number = deliver(&mut schedule, "a").unwrap();
            end(&mut schedule, "a", Pressure::Fine);
            number
        })
        .collect();
    assert_eq!(order, [0, 100, 1, 101, 2, 102]);
}

#[tokio::test(start_paused = true)]
async fn each_destination_has_workers_of_its_own_up_to_its_concurrency() {
    let mut schedule = Schedule::<Item, ()>::new();
    let mut push = |to: &str| schedule.push(&key(to), item(1, true), Bounds::of(20));
    let started = (0..1000).filter(|_| push("big")).count();
    assert_eq!(started, 5);
    assert!(push("small"), "a long queue elsewhere must not matter");
}

#[tokio::test(start_paused = true)]
async fn every_destination_has_a_worker_however_many_there_are() {
    let mut schedule = Schedule::<Item, ()>::new();
    for number in 0..10_000 {
        assert!(
            schedule.push(&key(&number.to_string()), item(1, true), Bounds::of(20)),
            "{number}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_destination_without_a_place_sends_back_what_waits_until_it_has_one() {
    let mut schedule = Schedule::<Item, ()>::new();
    for number in 0..3 {
        let _ = schedule.push(&key("a"), item(number, true), Bounds::of(1));
    }
    assert!(deliver(&mut schedule, "a").is_some());
    let now = Instant::now();
    let pressure = Pressure::Crowded { failed_at: None };
    let ended = Ended { started: now, now, was_probe: false, pressure };
    schedule.ended(&key("a"), ended, Some(Arc::new(())));
    assert!(matches!(schedule.next(&key("a"), now), Step::TurnAway { .. }));
    let later = now + TURNED_AWAY;
    assert!(matches!(schedule.next(&key("a"), later), Step::Deliver { probe: false, .. }));
}

#[tokio::test(start_paused = true)]
async fn the_newer_half_of_what_stands_makes_room() {
    let mut schedule = Schedule::<Item, ()>::new();
    let stood = Duration::from_secs(2);
    for number in 0..10 {
        let _ = schedule.push(&key("long"), item(number, true), Bounds::of(1));
    }
    let _ = schedule.push(&key("short"), item(10, true), Bounds::of(1));
    assert!(schedule.take_standing(Instant::now(), stood, 3).is_empty(), "all just came");
    let now = Instant::now() + stood;
    let taken: Vec<u32> =
        schedule.take_standing(now, stood, 3).iter().map(|item| item.number).collect();
    assert_eq!(taken, [5, 6, 7, 8, 9]);
    assert_eq!(schedule.take_standing(now, stood, 100).len(), 4);
}

#[tokio::test(start_paused = true)]
async fn companions_travel_together() {
    let mut schedule = Schedule::<Item, ()>::new();
    for number in [1, 2] {
        let pair = Item { name: "pair", ..item(number, true) };
        let _ = schedule.push(&key("a"), pair, Bounds::of(20));
        let _ = schedule.push(&key("a"), item(10, true), Bounds::of(20));
    }
    assert_eq!(schedule.queued(&key("a")), 3);
    assert_eq!(deliver(&mut schedule, "a"), Some(3));
}

#[tokio::test(start_paused = true)]
async fn an_outage_has_one_waiter_and_later_one_probe() {
    let mut schedule = Schedule::<Item, ()>::new();
    for number in 0..5 {
        let _ = schedule.push(&key("a"), item(number, true), Bounds::of(20));
    }
    assert!(deliver(&mut schedule, "a").is_some());
    end(&mut schedule, "a", Pressure::Unreachable);
    let Step::Wait(until) = schedule.next(&key("a"), Instant::now()) else { panic!() };
    assert!(matches!(schedule.next(&key("a"), Instant::now()), Step::Stop));
    tokio::time::advance(until - Instant::now() + Duration::from_millis(1)).await;
    assert!(schedule.waited(&key("a")));
    let step = schedule.next(&key("a"), Instant::now());
    assert!(matches!(step, Step::Deliver { probe: true, .. }));
    assert!(matches!(schedule.next(&key("a"), Instant::now()), Step::Stop));
}

#[tokio::test(start_paused = true)]
async fn idle_destinations_are_forgotten() {
    let mut schedule = Schedule::<Item, ()>::new();
    for number in 0..(2 * MAX_REMEMBERED) {
        let name = key(&number.to_string());
        assert!(schedule.push(&name, item(1, true), Bounds::of(20)));
        while let Step::Deliver { .. } = schedule.next(&name, Instant::now()) {
            end(&mut schedule, &name.0, Pressure::Fine);
        }
    }
    assert!(schedule.destinations.len() <= MAX_REMEMBERED);
    assert!(schedule.destinations.values().all(|destination| destination.workers == 0));
}

#[tokio::test(start_paused = true)]
async fn a_pause_gives_back_what_waits_and_ends_with_one() {
    let mut schedule = Schedule::<Item, ()>::new();
    for number in 0..5 {
        let _ = schedule.push(&key("a"), item(number, true), Bounds::of(20));
    }
    assert!(deliver(&mut schedule, "a").is_some());
    let (now, pause) = (Instant::now(), Duration::from_secs(600));
    let pressure = Pressure::Parked(pause);
    let ended = Ended { started: now, now, was_probe: false, pressure };
    schedule.ended(&key("a"), ended, Some(Arc::new(())));
    let Step::Park { until, .. } = schedule.next(&key("a"), now) else { panic!() };
    assert_eq!(until, now + pause);
    let domain = Domain::parse("a.test").unwrap();
    schedule.keeps_waiting(&key("a"), &domain);
    assert!(schedule.parked(&domain).is_some());
    assert!(schedule.parked(&Domain::parse("b.test").unwrap()).is_none());
    let step = schedule.next(&key("a"), until);
    assert!(matches!(step, Step::Deliver { probe: true, .. }));
    assert!(matches!(schedule.next(&key("a"), until), Step::Stop), "the others wait for it");
    let ended = Ended { started: until, now: until, was_probe: true, pressure: Pressure::Fine };
    schedule.ended(&key("a"), ended, None);
    assert!(schedule.parked(&domain).is_none());
}

#[tokio::test(start_paused = true)]
async fn a_rate_for_all_is_shared_out_among_those_that_take_turns() {
    let mut schedule = Schedule::<Item, ()>::new();
    schedule.order(Some(Duration::from_secs(1)), Instant::now());
    let bounds = Bounds { takes_turns: true, ..Bounds::of(20) };
    for name in ["a", "b", "c"] {
        for number in 0..100 {
            let _ = schedule.push(&key(name), item(number, true), bounds);
        }
    }
    let _ = schedule.push(&key("mailbox"), item(0, true), Bounds::of(1));
    let mut sent = HashMap::<&str, u32>::default();
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(30) {
        for name in ["a", "b", "c", "mailbox"] {
            let _ = schedule.waited(&key(name));
            if deliver(&mut schedule, name).is_some() {
                *sent.entry(name).or_default() += 1;
                end(&mut schedule, name, Pressure::Fine);
            }
        }
        tokio::time::advance(Duration::from_millis(100)).await;
    }
    assert_eq!(sent["mailbox"], 1, "what stays here takes no turns");
    for name in ["a", "b", "c"] {
        assert!((9..=11).contains(&sent[name]), "{sent:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_goes_to_many_waits_for_the_others_and_not_for_ever() {
    let mut schedule = Schedule::<Item, ()>::new();
    for number in 0..100 {
        let letter = Item { name: "letter", ..item(number, number % 2 == 0) };
        let _ = schedule.push(&key("a"), letter, Bounds::of(1));
    }
    let next = |schedule: &mut Schedule<Item, ()>| {
        let number = deliver(schedule, "a").unwrap();
        end(schedule, "a", Pressure::Fine);
        number
    };
    assert_eq!(next(&mut schedule), 0);
    let _ = schedule.push(&key("a"), item(1000, true), Bounds::of(1));
    assert_eq!(next(&mut schedule), 1000, "the next of all");
    for number in 1001..1020 {
        let _ = schedule.push(&key("a"), item(number, true), Bounds::of(1));
    }
    let order: Vec<u32> = (0..16).map(|_| next(&mut schedule)).collect();
    assert_eq!(order.iter().filter(|number| **number < 100).count(), 2, "{order:?}");
}
