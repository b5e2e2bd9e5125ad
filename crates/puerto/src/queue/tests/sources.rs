//! Several addresses: by sender, in an order of each message's own, and as much as a plan gives.

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
