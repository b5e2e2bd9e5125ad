//! What the queue promises, over a scripted carrier and a paused clock.

mod crowds;
mod edits;
mod harness;
mod parks;
mod pauses;
mod rescue;
mod simulation;
mod sources;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use puerto_smtp::Notify;
use puerto_spool::{Desk as _, Edit, RecipientState};

use crate::bounce::Kind as News;
use crate::cause::Cause;
use crate::config::{Config, NextHop};
use crate::deliver::{Pressure, Success};
use crate::telemetry::DeliveryStatus::{Bounced, Deferred, Sent};
use harness::{Reaction, World, all, seconds, unreachable};

const HOUR: u64 = 3600;
const DAY: u64 = 24 * HOUR;

fn config() -> Config {
    Config::for_tests(std::path::Path::new("/nonexistent"))
}

#[tokio::test(start_paused = true)]
async fn a_message_that_is_taken_leaves_the_queue() {
    let world = World::new();
    world.start(|_| all(Sent));
    world.send(&["user@a.test"]);
    seconds(1).await;
    assert_eq!(world.messages(), 0);
    assert_eq!(world.log(), ["user@a.test Sent 2.1.1 host mx.test said so", "removed"]);
    assert!(world.news().is_empty());
}

#[tokio::test(start_paused = true)]
async fn retries_follow_the_schedule_until_the_message_expires() {
    let world = World::new();
    world.start(|_| all(Deferred));
    world.send(&["user@a.test"]);
    seconds(6 * DAY).await;
    let at: Vec<u64> = world.tries().iter().map(|one| one.at.as_secs()).collect();
    let waits: Vec<u64> = at.windows(2).map(|pair| pair[1] - pair[0]).collect();
    let expected = [5, 10, 20, 40, 60, 120, 180, 240, 240];
    for (wait, minutes) in waits.iter().zip(expected) {
        let (low, high) = (minutes * 54 - 2, minutes * 66 + 2);
        assert!((low..=high).contains(wait), "{wait} s instead of {minutes} min");
    }
    let last = *at.last().unwrap();
    assert!((5 * DAY..=5 * DAY + 2).contains(&last), "the last try is at the end: {last}");
    assert_eq!(world.messages(), 0);
    assert!(world.log().contains(&"expired".to_owned()));
    let news: Vec<News> = world.news().iter().map(|(news, ..)| *news).collect();
    assert_eq!(news, [News::Delayed, News::Failed], "one delay notice, then the failure");
    let told = world.news()[0].1.as_secs();
    assert!((4 * HOUR..9 * HOUR).contains(&told), "{told}");
}

/// Their retries drift apart, so that no job has all of them when it is time to tell.
#[tokio::test(start_paused = true)]
async fn the_one_delay_notice_names_every_recipient_that_still_waits() {
    let world = World::new();
    world.start(|job| {
        let is_last = job.recipients.iter().any(|r| r.recipient.address.to_string() == "u@d.test");
        all(if is_last { Sent } else { Deferred })
    });
    world.send(&["u@a.test", "u@b.test", "u@d.test", "u@c.test"]);
    seconds(DAY).await;
    let news = world.news();
    let told: Vec<(News, usize)> = news.iter().map(|(news, _, count)| (*news, *count)).collect();
    assert_eq!(told, [(News::Delayed, 3)], "all that wait, and not the one who has it");
}

#[tokio::test(start_paused = true)]
async fn a_long_queue_for_one_domain_does_not_delay_another() {
    let world = World::new();
    world.start(|job| {
        let slow = job.recipients[0].recipient.address.domain().name() == Some("a.test");
        Reaction { takes: Duration::from_secs(if slow { 600 } else { 0 }), ..all(Sent) }
    });
    for _ in 0..5000 {
        world.send(&["user@a.test"]);
    }
    seconds(5).await;
    world.send(&["user@b.test"]);
    seconds(2).await;
    assert_eq!(world.tries_to("b.test").len(), 1);
    assert!(world.seen.lock().unwrap().most_running <= 21);
}

/// A newsletter of thousands is under way, slowly, and a password is asked for.
#[tokio::test(start_paused = true)]
async fn a_newsletter_keeps_no_password_waiting() {
    let world = World::new();
    world.start(|_| Reaction { takes: Duration::from_millis(500), ..all(Sent) });
    for _ in 0..10_000 {
        world.send_bulk(&["reader@a.test"]);
    }
    seconds(60).await;
    assert!(world.messages() > 5_000);
    let asked = world.elapsed();
    world.send(&["password@a.test"]);
    seconds(10).await;
    let came = world.tries_to("password@a.test");
    let waited = came.first().map(|one| one.at - asked);
    assert!(waited.is_some_and(|waited| waited < Duration::from_secs(5)), "{waited:?}");
    seconds(HOUR).await;
    assert_eq!(world.messages(), 0, "and the newsletter is not forgotten");
}

#[tokio::test(start_paused = true)]
async fn a_name_server_that_does_not_answer_delays_only_its_own_domain() {
    let world = World::new();
    for number in 0..300 {
        world.send(&[&format!("user{number}@silent.test")]);
    }
    world.start(|_| all(Sent));
    world.send(&["user@b.test"]);
    seconds(1).await;
    assert_eq!(world.tries_to("b.test").len(), 1);
    seconds(60).await;
    assert_eq!(world.messages(), 300);
    assert!(world.log().iter().any(|line| line.contains("Deferred 4.4.3 MX of silent.test")));
}

#[tokio::test(start_paused = true)]
async fn a_destination_that_is_down_is_probed_by_one_message() {
    let world = World::new();
    world.start(|_| Reaction { takes: Duration::from_secs(1), ..unreachable() });
    let ids: Vec<_> =
        (0..200).map(|number| world.send(&[&format!("user{number}@a.test")])).collect();
    seconds(30).await;
    let tries = world.tries().len();
    assert!(tries <= 6, "{tries} attempts: the first five at once, then one probe");
    let now = puerto_spool::clock::Clock::now(&*world.clock);
    for id in ids {
        let status = &world.state_of(id)[0];
        let RecipientState::Due(due) = status.state else { panic!("{status:?}") };
        assert_eq!(status.attempts, 1, "each has a schedule of its own");
        assert!(due.since(now) > Duration::from_secs(200), "{due:?}");
        assert!(status.last().unwrap().text.contains("said so"));
    }
    seconds(600).await;
    assert!(world.tries().len() <= 20, "{}", world.tries().len());
}

/// A backlog for a destination that is dead is put off one share at a time, and is all there
/// when the destination comes back.
#[tokio::test(start_paused = true)]
async fn a_backlog_for_a_dead_destination_is_let_be_and_flows_when_it_is_back() {
    let world = World::new();
    let up = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let switch = Arc::clone(&up);
    world.start(move |_| if up.load(Ordering::SeqCst) { all(Sent) } else { unreachable() });
    for _ in 0..3_000 {
        world.send(&["user@a.test"]);
    }
    let put_off = || {
        let entries = world.entries();
        entries.iter().filter(|entry| entry.recipients[0].attempts > 0).count()
    };
    seconds(20).await;
    let before = put_off();
    seconds(20).await;
    let in_between = put_off() - before;
    assert!((250..=5 * 250).contains(&in_between), "{in_between} of {}", put_off());
    switch.store(true, Ordering::SeqCst);
    world.retry();
    seconds(60).await;
    assert_eq!(world.messages(), 0);
}

#[tokio::test(start_paused = true)]
async fn mail_waits_through_a_short_outage_and_then_flows() {
    let world = World::new();
    let up = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let switch = Arc::clone(&up);
    world.start(move |_| if up.load(Ordering::SeqCst) { all(Sent) } else { unreachable() });
    world.send(&["first@a.test"]);
    seconds(1).await;
    switch.store(true, Ordering::SeqCst);
    for number in 0..100 {
        world.send(&[&format!("user{number}@a.test")]);
    }
    seconds(10).await;
    assert_eq!(world.messages(), 1, "only the one that found it down waits for its turn");
    seconds(400).await;
    assert_eq!(world.messages(), 0);
}

#[tokio::test(start_paused = true)]
async fn complaints_shrink_the_number_of_connections() {
    let world = World::new();
    world.start(|job| {
        let busy = job.recipients[0].attempts == 0;
        let pressure = if busy { Pressure::Strained } else { Pressure::Fine };
        let status = if busy { Deferred } else { Sent };
        Reaction { pressure, takes: Duration::from_secs(1), ..all(status) }
    });
    for _ in 0..20 {
        world.send(&["user@a.test"]);
    }
    seconds(4).await;
    assert!(world.seen.lock().unwrap().running <= 2);
    seconds(HOUR).await;
    assert_eq!(world.messages(), 0);
}

#[tokio::test(start_paused = true)]
async fn each_recipient_has_a_fate_of_its_own() {
    let world = World::new();
    world.start(|job| Reaction {
        each: Arc::new(|r| match r.recipient.address.local_part().as_str() {
            "sent" => Sent,
            "later" => Deferred,
            _ => Bounced,
        }),
        ..if job.recipients.is_empty() { unreachable() } else { all(Sent) }
    });
    let id = world.send(&["later@a.test", "never@a.test", "sent@a.test"]);
    seconds(1).await;
    let states: Vec<_> = world.state_of(id).into_iter().map(|r| r.state).collect();
    assert!(matches!(
        states[..],
        [RecipientState::Due(_), RecipientState::Done, RecipientState::Done]
    ));
    assert_eq!(world.news().len(), 1);
    assert_eq!(world.news()[0].2, 1, "exactly the one that failed");
    seconds(400).await;
    assert_eq!(world.tries()[1].to, ["later@a.test"]);
}

#[tokio::test(start_paused = true)]
async fn a_failed_recipient_stays_until_its_sender_could_be_told() {
    let world = World::new();
    world.refuse_notices.store(true, Ordering::SeqCst);
    world.start(|_| all(Bounced));
    world.send(&["user@a.test"]);
    seconds(60).await;
    assert_eq!(world.messages(), 1);
    let stays = [
        "notice: the sender could not be told: 452 4.3.1 full",
        "user@a.test Deferred 4.1.1 the sender cannot be told yet of: host mx.test said so",
    ];
    assert_eq!(world.log(), stays, "nothing has bounced yet");
    world.refuse_notices.store(false, Ordering::SeqCst);
    seconds(600).await;
    assert_eq!(world.messages(), 0);
    let bounced = [
        "user@a.test Bounced 5.1.1 host mx.test said so",
        "sender non-delivery notification",
        "removed",
    ];
    assert_eq!(world.log()[2..], bounced);
    assert_eq!(world.news().len(), 1);
    let open = world.seen.lock().unwrap().queued_at_notice.clone();
    assert_eq!(open, [1], "the recipient was still queued when the notice was written");
}

#[tokio::test(start_paused = true)]
async fn a_full_disk_never_delivers_twice() {
    let world = World::new();
    world.start(|_| all(Sent));
    world.spool.full.store(true, Ordering::SeqCst);
    world.send(&["user@a.test"]);
    seconds(2 * HOUR).await;
    assert_eq!(world.tries().len(), 1);
    assert_eq!(world.messages(), 1);
    world.spool.full.store(false, Ordering::SeqCst);
    seconds(5).await;
    assert_eq!(world.messages(), 0);
    assert_eq!(world.tries().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_panic_defers_one_message_and_harms_no_other() {
    let world = World::new();
    world.start(|job| Reaction {
        panics: job.recipients[0].recipient.address.local_part().as_str() == "bad"
            && job.recipients[0].attempts == 0,
        ..all(Sent)
    });
    world.send(&["bad@a.test"]);
    world.send(&["good@a.test"]);
    seconds(1).await;
    assert_eq!(world.messages(), 1);
    seconds(400).await;
    assert_eq!(world.messages(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_recipient_that_the_carrier_forgot_is_tried_again() {
    let world = World::new();
    world.start(|job| Reaction { forgets: job.recipients.len() == 3, ..all(Sent) });
    let id = world.send(&["x@a.test", "y@a.test", "z@a.test"]);
    seconds(1).await;
    let done = |status: &puerto_spool::RecipientStatus| status.state == RecipientState::Done;
    assert_eq!(world.state_of(id).iter().map(done).collect::<Vec<_>>(), [true, true, false]);
    seconds(400).await;
    assert_eq!(world.messages(), 0);
}

#[tokio::test(start_paused = true)]
async fn stopping_finishes_what_is_under_way_and_gives_the_rest_back() {
    let world = World::new();
    // These peers may have the message.
    let run = world.start(|job| {
        job.ending.note();
        Reaction { takes: Duration::from_secs(10), ..all(Sent) }
    });
    for number in 0..50 {
        world.send(&[&format!("user{number}@a.test")]);
    }
    seconds(1).await;
    world.stop();
    run.await.unwrap();
    let under_way = world.tries().len();
    assert_eq!(under_way, 5);
    assert_eq!(world.messages(), 45);
    let now = puerto_spool::clock::Clock::now(&*world.clock);
    for entry in world.entries() {
        let status = &entry.recipients[0];
        assert!(matches!(status.state, RecipientState::Due(due) if due <= now));
        assert_eq!(status.attempts, 0);
    }
    world.restart();
    world.start(|_| all(Sent));
    seconds(10).await;
    assert_eq!(world.messages(), 0);
    assert_eq!(world.tries().len(), 50);
}

#[tokio::test(start_paused = true)]
async fn stopping_does_not_wait_for_peers_that_cannot_have_the_message() {
    let world = World::new();
    let run = world.start(|_| Reaction { takes: Duration::from_secs(300), ..all(Sent) });
    for to in ["a@a.test", "b@b.test", "c@silent.test"] {
        world.send(&[to]);
    }
    seconds(5).await;
    let stopped = tokio::time::Instant::now();
    world.stop();
    run.await.unwrap();
    assert!(stopped.elapsed() <= Duration::from_secs(2), "{:?}", stopped.elapsed());
    assert_eq!(world.tries().len(), 2);
    let now = puerto_spool::clock::Clock::now(&*world.clock);
    for entry in world.entries() {
        let status = &entry.recipients[0];
        assert!(matches!(status.state, RecipientState::Due(due) if due <= now));
        assert_eq!(status.attempts, 0);
    }
    world.restart();
    world.start(|_| all(Sent));
    seconds(10).await;
    assert_eq!((world.tries().len(), world.messages()), (4, 1));
}

#[tokio::test(start_paused = true)]
async fn a_locked_mailbox_is_tried_again_as_soon_as_its_failure_says() {
    let world = World::new();
    let attempts = std::sync::atomic::AtomicU32::new(0);
    let locked_for = 3;
    world.start(move |_| {
        let nth = attempts.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        match nth < locked_for {
            true => Reaction { retry_after: Some(Duration::from_secs(10 << nth)), ..all(Deferred) },
            false => all(Sent),
        }
    });
    world.send(&["ana@a.test"]);
    seconds(9).await;
    assert_eq!(world.tries().len(), 1);
    seconds(3).await;
    assert_eq!(world.tries().len(), 2, "after 10 seconds, not at the queue's pace");
    seconds(20 + 40 + 5).await;
    assert_eq!((world.tries().len(), world.messages()), (4, 0));
}

#[tokio::test(start_paused = true)]
async fn what_a_crash_left_leased_is_delivered_when_the_lease_ends() {
    let world = World::new();
    let run = world.start(|_| Reaction { takes: Duration::from_secs(10 * DAY), ..all(Sent) });
    world.send(&["user@a.test"]);
    seconds(1).await;
    run.abort();
    world.start(|_| all(Sent));
    seconds(590).await;
    assert_eq!(world.tries().len(), 1);
    seconds(30).await;
    assert_eq!(world.tries().len(), 2);
    assert_eq!(world.messages(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_long_delivery_keeps_its_lease() {
    let world = World::new();
    world.start(|_| Reaction { takes: Duration::from_secs(HOUR), ..all(Sent) });
    world.send(&["user@a.test"]);
    seconds(2 * HOUR).await;
    assert_eq!(world.tries().len(), 1);
    assert_eq!(world.messages(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_message_that_was_removed_while_it_waited_is_not_delivered() {
    let mut config = config();
    config.delivery.concurrency = 1;
    let world = World::with(config);
    world.start(|_| Reaction { takes: Duration::from_secs(5), ..all(Sent) });
    world.send(&["first@a.test"]);
    let removed = world.send(&["second@a.test"]);
    seconds(1).await;
    world.spool.inner.edit(&[removed], Edit::Remove).wait().remove(0).unwrap();
    seconds(30).await;
    assert_eq!(world.tries().len(), 1);
    assert_eq!(world.messages(), 0);
}

#[tokio::test(start_paused = true)]
async fn domains_behind_one_exchange_share_a_transaction() {
    let world = World::new();
    world.send(&["warm@a.test", "up@twin.test"]);
    world.start(|_| all(Sent));
    seconds(1).await;
    let before = world.tries().len();
    world.send(&["x@a.test", "y@twin.test", "z@b.test"]);
    seconds(1).await;
    let mut jobs: Vec<_> = world.tries()[before..].iter().map(|one| one.to.clone()).collect();
    jobs.sort();
    assert_eq!(jobs, [vec!["x@a.test", "y@twin.test"], vec!["z@b.test"]]);
    assert_eq!(world.messages(), 0);
}

#[tokio::test(start_paused = true)]
async fn domains_behind_one_relay_share_a_transaction_before_its_route_is_known() {
    let relayhost = Some(NextHop::parse("[mx.a.test]").unwrap());
    let world = World::with(Config { relayhost, ..config() });
    world.send(&["x@a.test", "y@b.test", "z@no.such.test"]);
    world.start(|_| all(Sent));
    seconds(1).await;
    let jobs: Vec<_> = world.tries().iter().map(|one| one.to.clone()).collect();
    assert_eq!(jobs, [["x@a.test", "y@b.test", "z@no.such.test"]]);
    assert_eq!(world.dns.asked.load(Ordering::SeqCst), 2, "A and AAAA, once for all of them");
    assert_eq!(world.messages(), 0);
}

#[tokio::test(start_paused = true)]
async fn mail_without_a_way_is_returned_or_waits() {
    let world = World::new();
    world.start(|_| all(Sent));
    world.send(&["user@null.test", "user@servfail.test", "user@absent.test", "root@localhost"]);
    seconds(1).await;
    let log = world.log().join("\n");
    for expected in [
        "user@null.test Bounced 5.1.10",
        "user@servfail.test Deferred 4.4.3",
        "user@absent.test Bounced 5.1.2",
        "root@localhost Sent",
    ] {
        assert!(log.contains(expected), "{expected}\n{log}");
    }
    assert_eq!(world.news().len(), 2);
    assert_eq!(world.messages(), 1);
}

#[tokio::test(start_paused = true)]
async fn success_is_told_unless_the_next_hop_does() {
    for (success, expected) in [(Success::Relayed, 1), (Success::ToldElsewhere, 0)] {
        let world = World::new();
        world.start(move |_| Reaction { success, ..all(Sent) });
        world.send_from("<me@example.com>", &["asks@a.test"], |recipient| {
            recipient.notify = Some(Notify { success: true, ..Notify::NEVER });
        });
        world.send(&["does.not@a.test"]);
        seconds(1).await;
        let told = world.news().iter().filter(|(news, ..)| *news == News::Delivered).count();
        assert_eq!(told, expected);
        assert_eq!(world.messages(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_leaps_neither_expires_mail_nor_lets_it_wait() {
    for (leap, late) in [(86_400, 60), (-86_400, 60)] {
        let world = World::new();
        world.start(|job| all(if job.recipients[0].attempts == 0 { Deferred } else { Sent }));
        world.send(&["user@a.test"]);
        seconds(2).await;
        world.clock.leap(leap);
        seconds(late).await;
        assert_eq!(world.messages(), 0, "leap of {leap} s");
        assert!(world.news().iter().all(|(news, ..)| *news != News::Failed));
    }
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_leaps_while_the_next_hop_thinks_sends_nothing_twice() {
    for leap in [3_600, -3_600, 86_400] {
        let world = World::new();
        let attempts = Arc::new(std::sync::atomic::AtomicU32::new(0));
        let counted = Arc::clone(&attempts);
        world.start(move |_| {
            counted.fetch_add(1, Ordering::SeqCst);
            Reaction { takes: Duration::from_secs(300), ..all(Sent) }
        });
        world.send(&["user@a.test"]);
        seconds(2).await;
        world.clock.leap(leap);
        seconds(600).await;
        assert_eq!(attempts.load(Ordering::SeqCst), 1, "leap of {leap} s");
        assert_eq!(world.messages(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_leap_of_years_expires_nothing_at_a_destination_that_is_suspended() {
    let world = World::new();
    let up = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let switch = Arc::clone(&up);
    world.start(move |_| if up.load(Ordering::SeqCst) { all(Sent) } else { unreachable() });
    for _ in 0..50 {
        world.send(&["user@a.test"]);
    }
    seconds(60).await;
    world.clock.leap(10 * 365 * 86_400);
    switch.store(true, Ordering::SeqCst);
    seconds(HOUR).await;
    assert_eq!(world.messages(), 0);
    assert!(world.news().iter().all(|(news, ..)| *news != News::Failed));
}

#[tokio::test(start_paused = true)]
async fn mail_that_is_to_be_retried_lifts_the_suspension_of_its_destination() {
    let world = World::new();
    let up = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let switch = Arc::clone(&up);
    world.start(move |_| if up.load(Ordering::SeqCst) { all(Sent) } else { unreachable() });
    for _ in 0..50 {
        world.send(&["user@a.test"]);
    }
    seconds(20).await;
    switch.store(true, Ordering::SeqCst);
    world.retry();
    seconds(5).await;
    assert_eq!(world.messages(), 0);
}

/// Every recipient of every message ends in exactly one of delivered, bounced and
/// queued, whatever the peers do.
#[tokio::test(start_paused = true)]
async fn no_recipient_is_lost_whatever_the_peers_do() {
    for seed in 0..8_u64 {
        let world = World::new();
        let dice = std::sync::Mutex::new(crate::route::random::Random::from_seed(seed));
        let delivered = Arc::new(std::sync::Mutex::new(BTreeMap::<String, u32>::new()));
        let taken = Arc::clone(&delivered);
        let run = world.start(move |job| {
            let roll = dice.lock().unwrap().next();
            let taken = Arc::clone(&taken);
            let id = job.id;
            Reaction {
                takes: Duration::from_millis(roll % 3000),
                pressure: match roll % 10 {
                    0 => Pressure::Unreachable,
                    1 | 2 => Pressure::Strained,
                    _ => Pressure::Fine,
                },
                panics: roll % 37 == 5,
                forgets: false,
                success: Success::default(),
                retry_after: None,
                against: None,
                cause: Cause::words("so it is"),
                each: Arc::new(move |recipient| {
                    let hash = roll.rotate_left(recipient.index % 64).wrapping_mul(31);
                    match hash % 5 {
                        0 | 1 if roll % 10 > 2 => {
                            let key = format!("{id} {}", recipient.index);
                            *taken.lock().unwrap().entry(key).or_default() += 1;
                            Sent
                        }
                        2 => Bounced,
                        _ => Deferred,
                    }
                }),
            }
        });
        let mut sent = BTreeMap::new();
        for number in 0..60 {
            let to: Vec<String> = (0..(number % 7 + 1))
                .map(|n| format!("u{n}@{}.test", ["a", "b", "twin", "null"][n % 4]))
                .collect();
            let to: Vec<&str> = to.iter().map(String::as_str).collect();
            sent.insert(world.send(&to), to.len());
            seconds(number as u64 % 3).await;
        }
        seconds(HOUR + seed * 1000).await;
        world.stop();
        run.await.unwrap();
        let bounced: usize = {
            let failed = world.news();
            failed.iter().filter(|(news, ..)| *news == News::Failed).map(|(.., n)| n).sum()
        };
        let mut queued = 0;
        for id in sent.keys() {
            let states = world.state_of(*id);
            queued += states.iter().filter(|r| matches!(r.state, RecipientState::Due(_))).count();
            assert!(states.iter().all(|r| !matches!(r.state, RecipientState::Leased(_))));
        }
        let delivered = delivered.lock().unwrap();
        assert!(delivered.values().all(|copies| *copies == 1), "no copy without a crash");
        let all: usize = sent.values().sum();
        assert_eq!(delivered.len() + bounced + queued, all, "seed {seed}");
    }
}
