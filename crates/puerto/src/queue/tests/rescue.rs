//! A relay gets what is refused for the address that it comes from, and nothing else; what it says
//! is the end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use puerto_spool::clock::Clock as _;

use super::harness::{Reaction, World, all, seconds, unreachable};
use super::{DAY, HOUR};
use crate::bounce::Kind as News;
use crate::cause::Cause;
use crate::config::{Config, NextHop, TlsLevel};
use crate::deliver::{Job, Pressure};
use crate::providers::Against;
use crate::telemetry::DeliveryStatus::{self, Bounced, Deferred, Sent};

// In a folder where what is learnt outlives the process.
fn kept(folder: &tempfile::TempDir) -> Config {
    let config = Config { state_dir: folder.path().to_owned(), ..config() };
    // Whatever this machine has, mail leaves from here.
    let mut config = config;
    config.delivery.bind_ipv4 = "192.0.2.200".parse().ok();
    config.delivery.bind_ipv6 = "2001:db8::200".parse().ok();
    config
}

async fn stop(world: &World) {
    world.stop();
    seconds(60).await;
}

const RELAY: &str = "[192.0.2.77]:587";

fn config() -> Config {
    let mut config = super::config();
    config.rescue.via = NextHop::parse(RELAY).ok();
    config.rescue.tls = TlsLevel::Required;
    config
}

fn listed(status: DeliveryStatus) -> Reaction {
    let cause = Cause::words("host mx.test said: 554 5.7.1 blocked using zen.spamhaus.org");
    Reaction { against: Some(Against::List), cause, ..all(status) }
}

fn silent() -> Reaction {
    let error = std::io::Error::from_raw_os_error(110);
    let cause =
        Cause::NotConnected { peer: "mx.test[192.0.2.1]:25".into(), error: (&error).into() };
    Reaction { cause, ..unreachable() }
}

fn is_relay(job: &Job) -> bool {
    &*job.plan.key.0 == RELAY
}

fn ways(world: &World) -> Vec<String> {
    world.tries().into_iter().map(|one| one.by).collect()
}

fn failures(world: &World) -> usize {
    world.news().iter().filter(|(news, ..)| *news == News::Failed).count()
}

#[tokio::test(start_paused = true)]
async fn what_is_refused_for_our_address_goes_by_the_relay_at_once() {
    for status in [Bounced, Deferred] {
        let world = World::with(config());
        world.start(move |job| if is_relay(job) { all(Sent) } else { listed(status) });
        world.send(&["user@a.test"]);
        seconds(3).await;
        assert_eq!(ways(&world), ["mx.a.test", RELAY]);
        assert_eq!(world.messages(), 0);
        assert_eq!(failures(&world), 0);
        let log = world.log().join("\n");
        let first = log.lines().next().unwrap();
        assert!(first.starts_with("user@a.test Deferred 4.") && first.contains(RELAY), "{log}");
        assert!(first.contains("blocked using zen.spamhaus.org; the rescue route"), "{log}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_about_the_recipient_or_greylisted_stays_as_it_was() {
    let world = World::with(config());
    world.start(|_| all(Bounced));
    world.send(&["nobody@a.test"]);
    seconds(3).await;
    assert_eq!((ways(&world), failures(&world)), (vec!["mx.a.test".to_owned()], 1));
    let world = World::with(config());
    world.start(|_| all(Deferred));
    world.send(&["user@a.test"]);
    seconds(HOUR).await;
    assert!(ways(&world).iter().all(|way| way == "mx.a.test"));
}

#[tokio::test(start_paused = true)]
async fn of_one_message_each_recipient_has_its_own_way() {
    let world = World::with(config());
    world.start(|job| {
        let status: fn(&puerto_spool::LeasedRecipient) -> DeliveryStatus = |leased| {
            if leased.recipient.address.to_string().starts_with("ok") { Sent } else { Bounced }
        };
        match is_relay(job) {
            true => all(Sent),
            false => Reaction { each: Arc::new(status), ..listed(Bounced) },
        }
    });
    world.send(&["ok@a.test", "user@a.test"]);
    seconds(3).await;
    assert_eq!(world.tries()[1].to, ["user@a.test"]);
    assert_eq!(world.messages(), 0);
}

#[tokio::test(start_paused = true)]
async fn without_a_rescue_and_with_a_relay_of_its_own_a_refusal_is_one() {
    let mut with_relayhost = config();
    with_relayhost.relayhost = NextHop::parse("[192.0.2.9]").ok();
    for config in [super::config(), with_relayhost] {
        assert_eq!(refused(config).await, (1, 1));
    }
}

// How often a message is tried for that everybody refuses for our address, and whether it fails.
async fn refused(config: Config) -> (usize, usize) {
    let world = World::with(config);
    world.start(|_| listed(Bounced));
    world.send(&["user@a.test"]);
    seconds(10).await;
    (world.tries().len(), failures(&world))
}

#[tokio::test(start_paused = true)]
async fn what_the_relay_refuses_ends_and_says_both_reasons() {
    let world = World::with(config());
    world.start(|job| match is_relay(job) {
        // It says the same of us, too.
        true => {
            Reaction { cause: Cause::words("relay said: 554 5.7.1 go away"), ..listed(Bounced) }
        }
        false => listed(Bounced),
    });
    world.send(&["user@a.test"]);
    seconds(DAY).await;
    assert_eq!(ways(&world), ["mx.a.test", RELAY], "nothing goes round");
    assert_eq!((failures(&world), world.messages()), (1, 0));
    let log = world.log().join("\n");
    let refused = log.lines().find(|line| line.contains("Bounced")).unwrap();
    assert!(refused.contains("go away") && refused.contains("zen.spamhaus.org"), "{refused}");
}

#[tokio::test(start_paused = true)]
async fn a_relay_that_is_down_is_waited_for_by_the_usual_schedule() {
    let world = World::with(config());
    let down = Arc::new(AtomicBool::new(true));
    let switch = Arc::clone(&down);
    world.start(move |job| match is_relay(job) {
        true if down.load(Ordering::SeqCst) => unreachable(),
        true => all(Sent),
        false => listed(Bounced),
    });
    world.send(&["user@a.test"]);
    seconds(2 * HOUR).await;
    let ways = ways(&world);
    assert_eq!(ways.iter().filter(|way| *way != RELAY).count(), 1, "{ways:?}");
    assert!((4..=7).contains(&ways.len()), "{ways:?}");
    assert_eq!(failures(&world), 0);
    switch.store(false, Ordering::SeqCst);
    seconds(4 * HOUR).await;
    assert_eq!(world.messages(), 0);
    let world = World::with(config());
    world.start(move |job| if is_relay(job) { unreachable() } else { listed(Bounced) });
    world.send(&["user@a.test"]);
    seconds(6 * DAY).await;
    assert_eq!((failures(&world), world.messages()), (1, 0), "nothing waits for ever");
}

#[tokio::test(start_paused = true)]
async fn a_destination_that_refuses_again_and_again_is_not_asked_by_each() {
    let world = World::with(config());
    let shut = Arc::new(AtomicBool::new(true));
    let switch = Arc::clone(&shut);
    world.start(move |job| {
        if is_relay(job) || !shut.load(Ordering::SeqCst) { all(Sent) } else { listed(Bounced) }
    });
    for number in 0..200 {
        world.send(&[&format!("user{number}@a.test")]);
    }
    seconds(60).await;
    assert_eq!((world.messages(), failures(&world)), (0, 0));
    let direct = || world.tries_to("a.test").iter().filter(|one| one.by == "mx.a.test").count();
    assert!(direct() <= 10, "{} refusals were provoked", direct());
    // An hour later one looks, and the others wait for what it finds.
    let before = direct();
    seconds(HOUR).await;
    for number in 0..50 {
        world.send(&[&format!("later{number}@a.test")]);
    }
    seconds(60).await;
    assert_eq!(direct(), before + 1);
    assert_eq!((world.messages(), failures(&world)), (0, 0));
    // Somebody has mended it.
    switch.store(false, Ordering::SeqCst);
    world.retry();
    world.send(&["mended@a.test"]);
    seconds(5).await;
    assert_eq!(world.tries().last().unwrap().by, "mx.a.test");
}

#[tokio::test(start_paused = true)]
async fn a_closed_port_is_known_by_several_networks() {
    let world = World::with(config());
    world.start(|job| if is_relay(job) { all(Sent) } else { silent() });
    world.send(&["user@a.test"]);
    world.send(&["user@far.test"]);
    seconds(HOUR / 2).await;
    assert!(ways(&world).iter().all(|way| way != RELAY), "two may be out of order");
    world.send(&["user@farther.test"]);
    seconds(3).await;
    assert_eq!(world.tries().last().unwrap().by, RELAY);
    seconds(HOUR).await;
    assert_eq!(world.messages(), 0);
}

#[tokio::test(start_paused = true)]
async fn where_anybody_answers_the_port_is_open() {
    let world = World::with(config());
    world.start(|job| if &*job.plan.key.0 == "mx.b.test" { all(Sent) } else { silent() });
    for to in ["u@a.test", "u@b.test", "u@far.test", "u@b.test", "u@farther.test", "u@b.test"] {
        world.send(&[to]);
        seconds(60).await;
    }
    seconds(HOUR).await;
    assert!(ways(&world).iter().all(|way| way != RELAY), "{:?}", ways(&world));
}

#[tokio::test(start_paused = true)]
async fn mail_whose_way_demands_tls_gets_no_less_by_the_relay() {
    for (level, tls, goes) in [
        (TlsLevel::Required, TlsLevel::Required, true),
        (TlsLevel::Required, TlsLevel::Opportunistic, false),
        (TlsLevel::Opportunistic, TlsLevel::Opportunistic, true),
    ] {
        let mut config = config();
        config.delivery.tls = level;
        config.rescue.tls = tls;
        let world = World::with(config);
        world.start(|job| if is_relay(job) { all(Sent) } else { listed(Bounced) });
        world.send(&["user@a.test"]);
        seconds(3).await;
        assert_eq!(ways(&world).len(), 1 + usize::from(goes), "{level:?} {tls:?}");
        assert_eq!(failures(&world), usize::from(!goes));
    }
}

#[tokio::test(start_paused = true)]
async fn a_relay_that_leads_back_here_is_no_way() {
    let mut config = config();
    config.rescue.via = NextHop::parse("[127.0.0.1]:2525").ok();
    config.listen.smtp = vec!["127.0.0.1:2525".parse().unwrap()];
    let world = World::with(config);
    world.start(|_| listed(Bounced));
    world.send(&["user@a.test"]);
    seconds(HOUR).await;
    assert_eq!(world.tries().len(), 1, "nothing is carried there");
    let log = world.log().join("\n");
    assert!(log.contains("leads back to this server"), "{log}");
}

#[tokio::test(start_paused = true)]
async fn mail_for_others_in_front_of_whom_we_stand_never_leaves_by_the_relay() {
    let mut config = config();
    config.relay_domains = vec!["a.test".to_owned()];
    assert_eq!(refused(config).await, (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_pause_of_the_direct_way_holds_nothing_up() {
    let world = World::with(config());
    world.start(|job| match is_relay(job) {
        true => all(Sent),
        false => {
            Reaction { pressure: Pressure::Parked(Duration::from_secs(7200)), ..listed(Bounced) }
        }
    });
    for number in 0..20 {
        world.send(&[&format!("user{number}@a.test")]);
    }
    seconds(60).await;
    assert_eq!((world.messages(), failures(&world)), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn what_stands_outlives_a_restart_and_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::with(kept(&folder));
    let script = |job: &Job| if is_relay(job) { all(Sent) } else { listed(Bounced) };
    world.start(script);
    assert!(world.lanes.rescued().is_empty());
    for number in 0..5 {
        world.send(&[&format!("user{number}@a.test")]);
        seconds(2).await;
    }
    let direct = |world: &World| ways(world).iter().filter(|way| *way == "mx.a.test").count();
    let before = direct(&world);
    let [standing] = &world.lanes.rescued()[..] else { panic!() };
    assert_eq!(standing.name.as_deref(), Some("mx.a.test"));
    assert!(standing.why.text().contains("zen.spamhaus.org"));
    let left = standing.until.since(world.clock.now());
    assert!((Duration::from_secs(3500)..=Duration::from_secs(3600)).contains(&left), "{left:?}");
    stop(&world).await;
    // Another process, some time later.
    seconds(HOUR / 2).await;
    let lanes = world.again();
    world.start(script);
    world.send(&["later@a.test"]);
    seconds(5).await;
    assert_eq!(direct(&world), before, "nobody had to be refused to know it");
    assert_eq!(lanes.rescued()[0].since, standing.since);
    // The hour is over for it, too: one looks, and the next time is as much longer.
    seconds(HOUR / 2).await;
    world.send(&["looks@a.test"]);
    seconds(5).await;
    assert_eq!(direct(&world), before + 1);
    let left = lanes.rescued()[0].until.since(world.clock.now());
    assert!((Duration::from_secs(7100)..=Duration::from_secs(7200)).contains(&left), "{left:?}");
    assert_eq!((world.messages(), failures(&world)), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_closed_port_is_known_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::with(kept(&folder));
    let script = |job: &Job| if is_relay(job) { all(Sent) } else { silent() };
    world.start(script);
    for to in ["user@a.test", "user@far.test", "user@farther.test"] {
        world.send(&[to]);
    }
    seconds(10).await;
    assert_eq!(world.lanes.rescued()[0].name, None, "all of them");
    stop(&world).await;
    let lanes = world.again();
    world.start(script);
    world.send(&["user@b.test"]);
    seconds(5).await;
    assert_eq!(world.tries_to("b.test").last().unwrap().by, RELAY);
    assert_eq!(world.tries_to("b.test").len(), 1);
    // It is looked at after its time, and one that is silent still is enough.
    seconds(HOUR).await;
    world.send(&["look@b.test"]);
    seconds(10).await;
    assert_eq!(world.tries_to("b.test").len(), 3);
    assert_eq!(lanes.rescued().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_was_learnt_with_another_address_or_is_old_or_damaged_counts_no_more() {
    for (what, looks) in [("same", 0), ("moved", 1), ("old", 1), ("damaged", 1), ("mended", 1)] {
        let folder = tempfile::tempdir().unwrap();
        let first = World::with(kept(&folder));
        let script = |job: &Job| if is_relay(job) { all(Sent) } else { listed(Bounced) };
        first.start(script);
        for number in 0..5 {
            first.send(&[&format!("user{number}@a.test")]);
            seconds(2).await;
        }
        if what == "mended" {
            first.retry();
            seconds(10).await;
        }
        stop(&first).await;
        let mut config = kept(&folder);
        match what {
            "moved" => config.delivery.bind_ipv4 = "192.0.2.201".parse().ok(),
            "damaged" => std::fs::write(folder.path().join("rescue.json"), "{\"from\":").unwrap(),
            _ => {}
        }
        let second = World::with(config);
        second.clock.leap(if what == "old" { 3 * 24 * 3600 } else { 60 });
        second.start(script);
        second.send(&["user@a.test"]);
        seconds(5).await;
        let direct = ways(&second).iter().filter(|way| *way == "mx.a.test").count();
        assert_eq!(direct, looks, "{what}");
        assert_eq!(second.messages(), 0);
    }
}
