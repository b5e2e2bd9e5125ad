//! Several addresses: by sender, in an order of each message's own, and as much as a plan gives.

use std::net::IpAddr;
use std::sync::Arc;

use puerto_mail::dns::{Record, RecordType, reverse_name};

use super::harness::{World, all, seconds};
use super::{DAY, HOUR};
use crate::config::{Config, Source};
use crate::telemetry::DeliveryStatus::{Deferred, Sent};

/// The clock of the world begins on 15 January 2027 at 08:00 in UTC.
const FIRST_DAY: &str = "2027-01-15";
const UNTIL_MIDNIGHT: u64 = 16 * HOUR;

fn source(name: &str, change: impl FnOnce(&mut Source)) -> Source {
    let mut source = Source {
        name: name.to_owned(),
        ipv4: "192.0.2.10".parse().ok(),
        ipv6: None,
        helo: format!("{name}.example.com"),
        weight: 1,
        from: Vec::new(),
        accounts: Vec::new(),
        begins: None,
        plan: vec![3, 6],
    };
    change(&mut source);
    source
}

fn config(dir: &std::path::Path, sources: Vec<Source>) -> Config {
    let mut config = Config::for_tests(dir);
    std::fs::create_dir_all(&config.state_dir).unwrap();
    config.sources = sources;
    config
}

fn begins(source: &mut Source) {
    source.begins = FIRST_DAY.parse().ok();
}

fn by(world: &World, way: &str) -> usize {
    world.tries().iter().filter(|one| one.by == way).count()
}

#[tokio::test(start_paused = true)]
async fn a_sender_has_its_own_address_and_a_lane_of_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let news = source("news", |s| s.from = vec!["@news.example.com".to_owned()]);
    let six = source("six", |s| {
        (s.ipv4, s.ipv6) = (None, "2001:db8::1".parse().ok());
        s.from = vec!["six@example.com".to_owned()];
    });
    let world = World::with(config(dir.path(), vec![news, six]));
    world.start(|_| all(Sent));
    world.send_from("<x@news.example.com>", &["user@a.test"], |_| {});
    world.send_from("<ana@example.com>", &["user@a.test"], |_| {});
    world.send_from("<six@example.com>", &["user@a.test"], |_| {});
    seconds(5).await;
    let mut ways: Vec<String> = world.tries().into_iter().map(|one| one.by).collect();
    ways.sort();
    assert_eq!(ways, ["mx.a.test", "mx.a.test from news"]);
    let log = world.log().join("\n");
    assert!(log.contains("none of the addresses that may carry this"), "{log}");
}

#[tokio::test(start_paused = true)]
async fn a_message_that_is_greylisted_comes_back_from_the_same_address() {
    let dir = tempfile::tempdir().unwrap();
    let sources = ["one", "two", "three"].map(|name| source(name, |_| {}));
    let world = World::with(config(dir.path(), sources.to_vec()));
    world.start(|_| all(Deferred));
    for number in 0..20 {
        world.send(&[&format!("user{number}@a.test")]);
    }
    seconds(6 * HOUR).await;
    let mut ways = std::collections::BTreeMap::<String, std::collections::BTreeSet<String>>::new();
    for one in world.tries() {
        ways.entry(one.to[0].clone()).or_default().insert(one.by);
    }
    assert!(world.tries().len() > 60);
    assert!(ways.values().all(|ways| ways.len() == 1), "{ways:?}");
    let used: std::collections::BTreeSet<_> = ways.values().flatten().collect();
    assert_eq!(used.len(), 3, "each carries some");
}

#[tokio::test(start_paused = true)]
async fn a_new_address_sends_what_its_plan_gives_and_the_rest_waits_for_the_next_day() {
    let dir = tempfile::tempdir().unwrap();
    let world = World::with(config(dir.path(), vec![source("new", begins)]));
    world.start(|_| all(Sent));
    for number in 0..20 {
        world.send(&[&format!("user{number}@a.test")]);
        world.send(&[&format!("user{number}@b.test")]);
    }
    seconds(HOUR).await;
    assert_eq!((by(&world, "mx.a.test from new"), by(&world, "mx.b.test from new")), (3, 3));
    let waiting = world.entries();
    assert_eq!(waiting.len(), 34);
    let last = waiting[0].recipients[0].last().unwrap();
    assert!(
        last.text.contains("new has sent mx.") && last.text.contains("3 messages"),
        "{}",
        last.text
    );
    let shown = world.lanes.warm_ups();
    assert_eq!(shown.len(), 2);
    assert_eq!((shown[0].day, shown[0].limit, shown[0].sent), (1, 3, 3));
    // After a restart it is known what was sent.
    world.stop();
    seconds(60).await;
    world.restart();
    world.start(|_| all(Sent));
    world.send(&["more@a.test"]);
    seconds(HOUR).await;
    assert_eq!(by(&world, "mx.a.test from new"), 3);
    seconds(UNTIL_MIDNIGHT - HOUR).await;
    assert_eq!(by(&world, "mx.a.test from new"), 3 + 6, "the second day gives six");
    seconds(DAY).await;
    assert_eq!(world.messages(), 0, "and the third has no bound");
}

#[tokio::test(start_paused = true)]
async fn what_a_plan_does_not_give_goes_by_the_other_addresses() {
    let dir = tempfile::tempdir().unwrap();
    let old = source("old", |_| {});
    let world = World::with(config(dir.path(), vec![source("new", begins), old]));
    world.start(|_| all(Sent));
    for number in 0..40 {
        world.send(&[&format!("user{number}@a.test")]);
    }
    seconds(60).await;
    assert_eq!(world.messages(), 0);
    assert_eq!((by(&world, "mx.a.test from new"), by(&world, "mx.a.test from old")), (3, 37));
}

#[tokio::test(start_paused = true)]
async fn what_was_not_taken_is_not_counted_and_comes_back_all_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let old = source("old", |_| {});
    let world = World::with(config(dir.path(), vec![source("new", begins), old]));
    world.start(|_| all(Deferred));
    for number in 0..40 {
        world.send(&[&format!("user{number}@a.test")]);
    }
    seconds(HOUR).await;
    let mut ways = std::collections::BTreeMap::<String, std::collections::BTreeSet<String>>::new();
    for one in world.tries() {
        ways.entry(one.to[0].clone()).or_default().insert(one.by);
    }
    assert!(ways.values().all(|ways| ways.len() == 1), "{ways:?}");
    assert_eq!(world.lanes.warm_ups()[0].sent, 0);
}

#[tokio::test(start_paused = true)]
async fn before_its_first_day_an_address_sends_nothing_and_mail_grows_no_older_than_it_may() {
    let dir = tempfile::tempdir().unwrap();
    let later = source("later", |s| s.begins = "2028-01-01".parse().ok());
    let world = World::with(config(dir.path(), vec![later]));
    world.start(|_| all(Sent));
    world.send(&["user@a.test"]);
    seconds(6 * DAY).await;
    assert_eq!((world.tries().len(), world.messages()), (0, 0), "it is returned");
}

// Found by hand: it "has sent the 0 messages of this day of its plan; it goes on tomorrow".
#[tokio::test(start_paused = true)]
async fn whoever_waits_for_the_first_day_of_an_address_is_told_which_that_is() {
    let dir = tempfile::tempdir().unwrap();
    let later = source("later", |s| s.begins = "2027-01-17".parse().ok());
    let latest = source("latest", |s| s.begins = "2027-01-18".parse().ok());
    let world = World::with(config(dir.path(), vec![latest, later]));
    world.start(|_| all(Sent));
    let id = world.send(&["user@a.test"]);
    seconds(60).await;
    let status = world.state_of(id).remove(0);
    let text = &status.last().unwrap().text;
    assert!(text.contains("later begins to send on 2027-01-17"), "{text}");
    let puerto_spool::RecipientState::Due(due) = status.state else { panic!("{status:?}") };
    let midnight = UNTIL_MIDNIGHT + DAY;
    let waits = due.as_millis() / 1000 - 1_800_000_000;
    assert!((midnight..midnight + 600).contains(&u64::try_from(waits).unwrap()), "{waits}");
    seconds(2 * DAY).await;
    assert_eq!((by(&world, "mx.a.test from later"), world.messages()), (1, 0));
}

// Some addresses have names that lead back to them.
fn name(world: &mut World, addresses: &[&str]) {
    let table = &mut Arc::get_mut(&mut world.dns).unwrap().table;
    for (number, address) in addresses.iter().enumerate() {
        let (name, address) = (format!("out{number}.example.com"), address.parse().unwrap());
        table.add(&reverse_name(address), RecordType::Ptr, Record::Name(name.clone()));
        table.address(&name, address);
    }
}

fn at(source: &mut Source, v4: &str, v6: &str) {
    (source.ipv4, source.ipv6) = (v4.parse().ok(), v6.parse().ok());
}

#[tokio::test(start_paused = true)]
async fn a_source_that_a_receiver_turns_away_carries_nothing_there_while_another_is_right() {
    let dir = tempfile::tempdir().unwrap();
    let sources = ["right", "broken"].map(|name| source(name, |_| {}));
    let [mut right, mut broken] = sources;
    at(&mut right, "198.51.100.1", "2001:db8:1::1");
    at(&mut broken, "198.51.100.2", "");
    let mut world = World::with(config(dir.path(), vec![right, broken]));
    name(&mut world, &["198.51.100.1"]);
    let seen = Arc::new(std::sync::Mutex::new(Vec::new()));
    let heard = Arc::clone(&seen);
    world.start(move |job| {
        let from = |hop: &crate::route::Hop| job.plan.leaving.as_ref()?.source.towards(hop.address);
        let from: Vec<IpAddr> = job.plan.hops.iter().filter_map(from).collect();
        heard.lock().unwrap().push((job.plan.key.to_string(), from, job.plan.avoided.clone()));
        all(Sent)
    });
    for number in 0..20 {
        world.send(&[&format!("user{number}@gmail.test")]);
        world.send(&[&format!("user{number}@a.test")]);
    }
    seconds(60).await;
    assert_eq!(world.messages(), 0);
    // Who does not mind gets mail from both.
    let to_others = (by(&world, "mx.a.test from right"), by(&world, "mx.a.test from broken"));
    assert!(to_others.0 > 0 && to_others.1 > 0 && to_others.0 + to_others.1 == 20);
    assert_eq!(by(&world, "google from right"), 20);
    let seen = seen.lock().unwrap();
    let to_google = seen.iter().filter(|(key, ..)| key.starts_with("google"));
    let only: IpAddr = "198.51.100.1".parse().unwrap();
    let mut texts = std::collections::BTreeSet::new();
    for (_, from, avoided) in to_google {
        assert_eq!(*from, [only]);
        texts.insert(avoided.as_ref().unwrap().text().into_owned());
    }
    // Each message says what it would have left from.
    assert_eq!(texts.len(), 2, "{texts:?}");
    assert!(texts.iter().any(|text| text.contains("198.51.100.2")), "{texts:?}");
    assert!(texts.iter().any(|text| text.contains("2001:db8:1::1")), "{texts:?}");
}

#[tokio::test(start_paused = true)]
async fn where_all_sources_are_broken_or_the_others_have_not_begun_mail_goes_as_it_would() {
    let later = |source: &mut Source| source.begins = "2028-01-01".parse().ok();
    for begun in [true, false] {
        let dir = tempfile::tempdir().unwrap();
        let broken = source("broken", |s| at(s, "198.51.100.2", ""));
        let other = source("other", |s| {
            at(s, "198.51.100.3", "");
            if !begun {
                later(s);
            }
        });
        let mut world = World::with(config(dir.path(), vec![broken, other]));
        if !begun {
            name(&mut world, &["198.51.100.3"]);
        }
        world.start(|_| all(Sent));
        for number in 0..20 {
            world.send(&[&format!("user{number}@gmail.test")]);
        }
        seconds(60).await;
        assert_eq!(world.messages(), 0);
        let others = by(&world, "google from other");
        assert_eq!(others > 0, begun, "{others}");
        assert_eq!(by(&world, "google from broken") + others, 20);
    }
}

/// A receiver turns its mail away for good; the next day it has a way.
#[tokio::test(start_paused = true)]
async fn what_a_plan_does_not_give_waits_where_the_other_source_is_broken() {
    let dir = tempfile::tempdir().unwrap();
    let new = source("new", |s| {
        at(s, "198.51.100.1", "");
        begins(s);
    });
    let broken = source("broken", |s| at(s, "198.51.100.2", ""));
    let mut world = World::with(config(dir.path(), vec![new, broken]));
    name(&mut world, &["198.51.100.1"]);
    world.start(|_| all(Sent));
    for number in 0..5 {
        world.send(&[&format!("user{number}@gmail.test")]);
    }
    seconds(HOUR).await;
    assert_eq!((by(&world, "google from new"), world.messages()), (3, 2));
    assert_eq!(by(&world, "google from broken"), 0);
    seconds(UNTIL_MIDNIGHT).await;
    assert_eq!((by(&world, "google from new"), world.messages()), (5, 0));
}
