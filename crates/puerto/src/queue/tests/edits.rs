//! What an administrator does while this process has claimed mail: nothing that is held or
//! removed is sent, wherever it waits, and another rate holds at once.

use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use puerto_spool::{Edit, MessageId, RecipientState};

use super::harness::{Reaction, World, all, seconds, unreachable};
use crate::config::Config;
use crate::providers::Rate;
use crate::telemetry::DeliveryStatus::Sent;

const THREE_A_MINUTE: Option<Rate> = Some(Rate { messages: 3, per: Duration::from_secs(60) });

fn rated(change: impl Fn(&mut Config)) -> World {
    let mut config = super::config();
    change(&mut config);
    World::with(config)
}

fn sent(world: &World) -> usize {
    world.log().iter().filter(|line| line.contains("Sent")).count()
}

fn is_in_line(world: &World, id: MessageId) -> bool {
    matches!(world.state_of(id)[0].state, RecipientState::Leased(_))
}

// Found by hand: "1 message held" was said, and it was sent at its turn.
#[tokio::test(start_paused = true)]
async fn what_is_held_while_it_waits_for_a_rate_is_not_sent_until_it_is_released() {
    let worlds: [fn(&mut Config); 2] = [
        |config| config.delivery.rate = THREE_A_MINUTE,
        |config| config.delivery.rate_in_all = THREE_A_MINUTE,
    ];
    for (change, wait) in worlds.into_iter().flat_map(|c| [(c, 100), (c, 1900), (c, 19_900)]) {
        let world = rated(change);
        world.start(|_| all(Sent));
        let ids: Vec<MessageId> = (0..4).map(|_| world.send(&["user@a.test"])).collect();
        tokio::time::sleep(Duration::from_millis(wait)).await;
        assert!(is_in_line(&world, ids[1]));
        world.edit(ids[1], Edit::Hold);
        seconds(600).await;
        assert_eq!((sent(&world), world.messages()), (3, 1), "{wait}: {:?}", world.log());
        world.edit(ids[1], Edit::Release);
        seconds(60).await;
        assert_eq!((sent(&world), world.messages()), (4, 0));
    }
}

// The node that is asked does not ring at the others.
#[tokio::test(start_paused = true)]
async fn what_is_held_at_another_node_while_it_waits_in_line_here_is_not_sent() {
    for (edit, left) in [(Edit::Hold, 3), (Edit::Remove, 0)] {
        let world = rated(|config| config.delivery.rate = THREE_A_MINUTE);
        world.spool.edited_elsewhere.store(true, SeqCst);
        world.start(|_| all(Sent));
        let ids: Vec<MessageId> = (0..4).map(|_| world.send(&["user@a.test"])).collect();
        seconds(2).await;
        ids[1..].iter().for_each(|id| world.edit(*id, edit));
        seconds(600).await;
        assert_eq!((sent(&world), world.messages()), (1, left), "{:?}", world.log());
        assert!(ids[1..].iter().all(|id| left == 0 || !is_in_line(&world, *id)));
    }
}

// With a database each question is a round trip and an update, for every message.
#[tokio::test(start_paused = true)]
async fn what_goes_out_at_once_is_not_asked_for_again_unless_somebody_changed_the_queue() {
    let world = World::new();
    let renewals = || world.spool.renewals.load(SeqCst);
    world.start(|_| all(Sent));
    for _ in 0..20 {
        world.send(&["user@a.test"]);
    }
    seconds(5).await;
    assert_eq!((sent(&world), renewals()), (20, 0));
    let slow = rated(|config| config.delivery.rate = THREE_A_MINUTE);
    slow.start(|_| all(Sent));
    for _ in 0..2 {
        slow.send(&["user@a.test"]);
    }
    seconds(60).await;
    assert_eq!((sent(&slow), slow.spool.renewals.load(SeqCst)), (2, 1), "one stood in line");
}

#[tokio::test(start_paused = true)]
async fn what_is_held_or_removed_leaves_the_line_and_does_not_count_in_it() {
    let world = rated(|config| config.delivery.rate = THREE_A_MINUTE);
    world.start(|_| all(Sent));
    let ids: Vec<MessageId> = (0..5).map(|_| world.send(&["user@a.test"])).collect();
    let both = world.send(&["user@a.test", "other@a.test"]);
    seconds(2).await;
    assert_eq!(world.lanes.look()[0].waiting, 6);
    world.edit(ids[1], Edit::Hold);
    world.edit(both, Edit::Hold);
    world.edit(ids[2], Edit::Remove);
    seconds(2).await;
    assert_eq!(world.lanes.look()[0].waiting, 2);
    assert!(!is_in_line(&world, ids[1]), "it is held, and that alone");
    assert!(world.state_of(both).iter().all(|one| matches!(one.state, RecipientState::Due(_))));
    seconds(600).await;
    assert_eq!((sent(&world), world.messages()), (3, 2), "{:?}", world.log());
    assert!(world.lanes.look().is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_is_held_while_a_destination_is_probed_or_asked_for_a_pause_is_not_sent() {
    use crate::deliver::Pressure::{Crowded, Parked};
    let parked = Reaction { pressure: Parked(Duration::from_secs(300)), ..unreachable() };
    let crowded = Reaction { pressure: Crowded { failed_at: None }, ..unreachable() };
    for first in [unreachable(), parked, crowded] {
        let world = World::new();
        let start = world.elapsed();
        let clock = tokio::time::Instant::now();
        world.start(move |_| match start + clock.elapsed() < Duration::from_secs(3) {
            true => first.clone(),
            false => all(Sent),
        });
        let ids: Vec<MessageId> = (0..20).map(|_| world.send(&["user@a.test"])).collect();
        seconds(1).await;
        ids[5..].iter().for_each(|id| world.edit(*id, Edit::Hold));
        seconds(24 * 3600).await;
        assert_eq!((sent(&world), world.messages()), (5, 15), "{:?}", world.log());
        assert!(ids[5..].iter().all(|id| !is_in_line(&world, *id)));
    }
}

// The carrier has it, and waits: for a place among many domains, for a connection, for a reply.
#[tokio::test(start_paused = true)]
async fn what_is_held_or_removed_while_it_is_carried_is_broken_off_before_it_can_be_taken() {
    for (edit, left) in [(Edit::Hold, 1), (Edit::Remove, 0)] {
        let world = World::new();
        world.start(|_| Reaction { takes: Duration::from_secs(60), ..all(Sent) });
        let id = world.send(&["user@a.test"]);
        seconds(10).await;
        world.edit(id, edit);
        seconds(3).await;
        assert_eq!(world.messages(), left);
        assert!(left == 0 || !is_in_line(&world, id));
        seconds(600).await;
        assert_eq!((sent(&world), world.messages()), (0, left), "{:?}", world.log());
        assert!(!world.log().iter().any(|line| line.contains("notice")), "{:?}", world.log());
    }
    let world = World::new();
    world.start(|job| {
        job.ending.note();
        Reaction { takes: Duration::from_secs(60), ..all(Sent) }
    });
    let id = world.send(&["user@a.test"]);
    seconds(10).await;
    world.edit(id, Edit::Hold);
    seconds(600).await;
    assert_eq!((sent(&world), world.messages()), (1, 0), "the peer may have it: it is not twice");
}

// Found by hand: a rate that was too low was mended, and what stood in line kept its times.
#[tokio::test(start_paused = true)]
async fn another_rate_moves_what_stands_in_line() {
    let rate = |messages, per| Some(Rate { messages, per: Duration::from_secs(per) });
    let set: [fn(&mut Config, Option<Rate>); 2] = [
        |config, rate| config.delivery.rate = rate,
        |config, rate| config.delivery.rate_in_all = rate,
    ];
    let slow = rate(6, 3600);
    for set in set {
        for (other, after) in [(None, 5), (rate(60, 60), 8), (rate(1000, 60), 5)] {
            let world = rated(|config| set(config, slow));
            world.start(|_| all(Sent));
            for to in ["1@a.test", "2@a.test", "3@a.test", "4@b.test", "5@b.test"] {
                world.send(&[to]);
            }
            seconds(30).await;
            let early = sent(&world);
            assert!(early < 3, "{early}");
            let mut config = super::config();
            set(&mut config, other);
            world.config.replace(config);
            seconds(2).await;
            let shown = world.lanes.look().first().and_then(|lane| lane.per_hour);
            assert_ne!(shown, Some(6), "the old rate is shown");
            seconds(after).await;
            assert_eq!(sent(&world), 5, "{other:?}: {:?}", world.log());
            assert!(world.tries().len() == 5, "each once");
        }
        // One that is lower holds as well, and the same again changes nothing.
        let world = rated(|config| set(config, rate(60, 60)));
        world.start(|_| all(Sent));
        (0..10).for_each(|_| {
            world.send(&["user@a.test"]);
        });
        seconds(3).await;
        let lower = || {
            let mut config = super::config();
            set(&mut config, slow);
            world.config.replace(config);
        };
        lower();
        seconds(2).await;
        let before = sent(&world);
        for _ in 0..3 {
            lower();
            seconds(190).await;
        }
        assert_eq!(sent(&world), before, "{:?}", world.log());
        seconds(100).await;
        assert_eq!(sent(&world), before + 1);
    }
}

// A rate is the cluster's: each node has its share.
#[tokio::test(start_paused = true)]
async fn what_stands_in_line_has_its_share_of_a_rate_anew_when_a_node_comes_or_goes() {
    let rate = Some(Rate { messages: 6, per: Duration::from_secs(60) });
    let set: [fn(&mut Config, Option<Rate>); 2] = [
        |config, rate| config.delivery.rate = rate,
        |config, rate| config.delivery.rate_in_all = rate,
    ];
    for set in set {
        let world = rated(|config| set(config, rate));
        world.spool.others.store(9, SeqCst);
        world.start(|_| all(Sent));
        for _ in 0..20 {
            world.send(&["user@a.test"]);
        }
        seconds(90).await;
        assert_eq!(sent(&world), 1, "one in a hundred seconds");
        world.spool.others.store(0, SeqCst);
        seconds(45).await;
        let alone = sent(&world);
        assert!((4..=6).contains(&alone), "one in ten: {alone}");
        world.spool.others.store(9, SeqCst);
        seconds(90).await;
        assert!(sent(&world) <= alone + 1, "{} after {alone}", sent(&world));
    }
}

#[tokio::test(start_paused = true)]
async fn another_rate_in_a_providers_file_moves_what_stands_in_line_too() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("puerto.toml");
    let (providers, state) = (folder.path().join("providers"), folder.path().join("state"));
    std::fs::create_dir(&providers).unwrap();
    let text = format!("state_dir = {state:?}\n[delivery]\nproviders = {providers:?}\n");
    std::fs::write(&file, text).unwrap();
    // As a reload reads it.
    let with = |rate: &str| {
        let text = format!("hosts = [\"mx.a.test\"]\nrate = \"{rate}\"\n");
        std::fs::write(providers.join("school.toml"), text).unwrap();
        Config::load_whole(Some(&file)).unwrap()
    };
    let world = World::with(with("6/hour"));
    world.start(|_| all(Sent));
    for number in 0..5 {
        world.send(&[&format!("{number}@a.test")]);
        world.send(&[&format!("{number}@b.test")]);
    }
    seconds(30).await;
    let to_school = || world.tries_to("a.test").len();
    assert_eq!((to_school(), world.tries_to("b.test").len()), (1, 5));
    let lane = || world.lanes.look().into_iter().find(|lane| lane.name == "school");
    assert_eq!(lane().map(|lane| (lane.per_hour, lane.waiting)), Some((Some(6), 4)));
    world.config.replace(with("30/minute"));
    seconds(2).await;
    assert_ne!(lane().and_then(|lane| lane.per_hour), Some(6), "the old rate is shown");
    seconds(10).await;
    assert_eq!((to_school(), world.messages()), (5, 0), "{:?}", world.log());
}

#[tokio::test(start_paused = true)]
async fn whoever_waits_for_a_rate_can_be_told_which_it_is() {
    for in_all in [false, true] {
        let world = rated(|config| match in_all {
            true => config.delivery.rate_in_all = THREE_A_MINUTE,
            false => config.delivery.rate = THREE_A_MINUTE,
        });
        world.start(|_| all(Sent));
        let ids: Vec<MessageId> = (0..3).map(|_| world.send(&["user@a.test"])).collect();
        seconds(5).await;
        let turns = world.lanes.turns();
        assert_eq!(turns.len(), 2, "the first has gone: {turns:?}");
        for id in &ids[1..] {
            let turn = &turns[&(*id, 0)];
            assert_eq!((&*turn.name, turn.per_hour, turn.in_all), ("mx.a.test", 180, in_all));
            assert_eq!(turn.next.as_millis() % 100_000, 20_000, "at its turn");
        }
        let lane = world.lanes.look().remove(0);
        assert_eq!((lane.per_hour, lane.in_all, lane.waiting), (Some(180), in_all, 2));
        seconds(60).await;
        assert!(world.lanes.turns().is_empty() && world.lanes.look().is_empty());
    }
    let world = World::new();
    world.start(|_| Reaction { takes: Duration::from_secs(60), ..all(Sent) });
    (0..50).for_each(|_| {
        world.send(&["user@a.test"]);
    });
    seconds(5).await;
    assert!(world.lanes.turns().is_empty(), "what waits for a connection waits for no rate");
}
