//! Nobody's silence keeps other mail waiting: destinations, name servers and users that
//! never answer, by the thousand.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use puerto_mail::dns::Table;
use puerto_spool::clock::Clock as _;
use puerto_spool::{RecipientState, Store as _};

use super::harness::{Reaction, TestDns, World, all, seconds};
use crate::deliver::Places;
use crate::telemetry::DeliveryStatus::Sent;

/// What a file limit of 65,536 comes to.
const SOCKETS: usize = 20_000;
const HEALTHY: u32 = 1_000;

/// What the silent have in common.
#[derive(Debug, Clone, Copy)]
enum Share {
    Nothing,
    Address,
    Network,
    Operator,
    NameServer,
}

fn address(number: u32) -> Ipv4Addr {
    Ipv4Addr::from_bits(0x0b00_0001 + (number << 8))
}

fn table(silent: u32, share: Share) -> Table {
    let mut table = Table::new();
    for number in 0..silent {
        let (host, ip) = match share {
            Share::Nothing => (format!("mx.silent{number}.example"), address(number)),
            Share::Address => (format!("mx.silent{number}.example"), Ipv4Addr::new(1, 1, 1, 1)),
            Share::Network => {
                let last = u8::try_from(number % 250).unwrap();
                (format!("mx.silent{number}.example"), Ipv4Addr::new(1, 1, 1, last))
            }
            Share::Operator => (format!("mx{number}.silent.example"), address(number)),
            Share::NameServer => continue,
        };
        table.mx(&format!("s{number}.test"), 10, &host);
        table.address(&host, ip.into());
    }
    for number in 0..HEALTHY {
        let host = format!("mx.h{number}.example");
        table.mx(&format!("h{number}.test"), 10, &host);
        table.address(&host, address(100_000 + number).into());
    }
    table
}

fn world(silent: u32, share: Share) -> World {
    let mut world = World::new();
    let takes = Duration::from_millis(50);
    world.dns = Arc::new(TestDns { table: table(silent, share), takes, asked: 0.into() });
    world.places = Some(Places::with_sockets(SOCKETS));
    for number in 0..silent {
        match share {
            Share::NameServer => world.send(&[&format!("user@s{number}.silent.test")]),
            _ => world.send(&[&format!("user@s{number}.test")]),
        };
    }
    world
}

/// The median delay of one message for each healthy destination, and the longest.
async fn pace(world: &World) -> (Duration, Duration) {
    let start = tokio::time::Instant::now();
    let before = world.tries().len();
    let offset = world.elapsed();
    for number in 0..HEALTHY {
        world.send(&[&format!("user@h{number}.test")]);
    }
    while world.tries().len() < before + HEALTHY as usize {
        assert!(start.elapsed() < Duration::from_secs(600), "{}", world.tries().len());
        seconds(1).await;
    }
    let mut delays: Vec<Duration> =
        world.tries()[before..].iter().map(|one| one.at - offset).collect();
    delays.sort();
    (delays[delays.len() / 2], delays[delays.len() - 1])
}

// Of ten thousand destinations nine thousand are silent; the others keep their pace.
async fn nobody_else_waits_for(share: Share) {
    let alone = world(0, Share::Nothing);
    alone.start(|_| all(Sent));
    seconds(20).await;
    let (median_alone, _) = pace(&alone).await;
    let world = world(9_000, share);
    world.start(|_| all(Sent));
    // In the middle of the onset, and when all of them hang.
    for wait in [0, 20] {
        seconds(wait).await;
        let (median, longest) = pace(&world).await;
        let told = format!("after {wait} s: {median:?} and {longest:?}");
        assert!(longest < Duration::from_secs(5), "{told}");
        assert!(wait == 0 || median <= 2 * median_alone, "{told}, alone {median_alone:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn nine_thousand_silent_hosts_keep_nobody_else_waiting() {
    nobody_else_waits_for(Share::Nothing).await;
}

#[tokio::test(start_paused = true)]
async fn nine_thousand_domains_at_one_silent_address_keep_nobody_else_waiting() {
    nobody_else_waits_for(Share::Address).await;
}

#[tokio::test(start_paused = true)]
async fn nine_thousand_domains_in_one_silent_network_keep_nobody_else_waiting() {
    nobody_else_waits_for(Share::Network).await;
}

#[tokio::test(start_paused = true)]
async fn nine_thousand_domains_of_one_silent_operator_keep_nobody_else_waiting() {
    nobody_else_waits_for(Share::Operator).await;
}

#[tokio::test(start_paused = true)]
async fn nine_thousand_silent_name_servers_keep_nobody_else_waiting() {
    nobody_else_waits_for(Share::NameServer).await;
}

#[tokio::test(start_paused = true)]
async fn mail_without_a_place_waits_with_the_reason_and_without_an_attempt_counted() {
    let mut world = world(700, Share::Address);
    world.start(|_| all(Sent));
    seconds(10).await;
    world.send(&["user@h1.test"]);
    world.send(&["someone@localhost"]);
    seconds(1).await;
    assert_eq!(world.tries().len(), 2, "a healthy domain and a mailbox");
    let told =
        world.log().into_iter().filter(|l| l.contains("too many connections wait for 1.1.1.1"));
    assert!(told.count() > 600);
    let entries = world.entries();
    assert_eq!(entries.len(), 700);
    let now = world.clock.now();
    for entry in &entries {
        let status = &entry.recipients[0];
        assert_eq!(status.attempts, 0);
        if let RecipientState::Due(due) = status.state {
            assert!(due.since(now) <= Duration::from_secs(20), "{due:?}");
        }
    }
    // Whoever finds a place and is not answered has been tried.
    seconds(3600).await;
    let entries = world.entries();
    let tried = entries.iter().filter(|entry| entry.recipients[0].attempts > 0).count();
    assert!(tried >= 300, "{tried} were tried within the hour");
    world.places = None;
}

#[tokio::test(start_paused = true)]
async fn mail_that_never_found_a_place_is_given_up_when_its_time_is_over() {
    let world = world(70, Share::Address);
    world.start(|_| all(Sent));
    seconds(6 * 24 * 3600).await;
    assert_eq!(world.messages(), 0);
    let expired = world.log().into_iter().filter(|line| line == "expired").count();
    assert_eq!(expired, 70);
}

#[tokio::test(start_paused = true)]
async fn five_thousand_recipients_at_one_silent_domain_keep_nobody_waiting() {
    let world = world(1, Share::Nothing);
    for message in 0..10 {
        let to: Vec<String> = (0..500).map(|n| format!("u{message}.{n}@s0.test")).collect();
        world.send(&to.iter().map(String::as_str).collect::<Vec<_>>());
    }
    world.start(|_| all(Sent));
    seconds(5).await;
    let (_, longest) = pace(&world).await;
    assert!(longest < Duration::from_secs(3), "{longest:?}");
}

#[tokio::test(start_paused = true)]
async fn many_lines_that_stand_make_room_for_others() {
    let world = world(0, Share::Nothing);
    // One destination with very many domains, whose connections all hang.
    for number in 0..200 {
        for _ in 0..40 {
            world.send(&[&format!("user@h{number}.test")]);
        }
    }
    world.start(|job| {
        let hangs = job.recipients[0].recipient.address.domain().name() != Some("h999.test");
        Reaction { takes: Duration::from_secs(if hangs { 600 } else { 0 }), ..all(Sent) }
    });
    seconds(10).await;
    world.send(&["user@h999.test"]);
    seconds(5).await;
    assert_eq!(world.tries_to("h999.test").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_user_whose_mailbox_hangs_keeps_only_own_mail_waiting_whatever_the_extension() {
    let world = World::new();
    world.start(|job| {
        let name = job.recipients[0].recipient.address.local_part().as_str().to_owned();
        let hangs = name.starts_with("ana");
        Reaction { takes: Duration::from_secs(if hangs { 3600 } else { 0 }), ..all(Sent) }
    });
    for number in 0..1_000 {
        world.send(&[&format!("ana+{number}@localhost")]);
    }
    seconds(5).await;
    assert!(world.seen.lock().unwrap().running <= 2, "one line for one user");
    for _ in 0..1_000 {
        world.send(&["ana@localhost"]);
    }
    world.send(&["luis@localhost"]);
    world.send(&["user@a.test"]);
    seconds(2).await;
    assert_eq!(world.tries_to("a.test").len(), 1);
    assert!(world.tries().iter().any(|one| one.to == ["luis@localhost"]));
}

#[tokio::test(start_paused = true)]
async fn what_is_told_of_a_message_comes_after_its_coming_was_told() {
    let world = World::new();
    world.start(|_| all(Sent));
    let id = world.spool.inner.new_id();
    let announcement = world.wake.announce(id);
    world.send_as(id, "<sender@example.com>", &["user@a.test"], |_| {});
    seconds(5).await;
    assert_eq!(world.tries().len(), 1, "delivery waits for no log");
    assert_eq!(world.log(), [""; 0]);
    world.log.lock().unwrap().push("queued".to_owned());
    drop(announcement);
    seconds(1).await;
    let log = world.log();
    assert_eq!(log, ["queued", "user@a.test Sent 2.1.1 host mx.test said so", "removed"]);
}

/// What a sender's domain says of itself is asked where the receiver minds, and a domain whose
/// name servers are silent keeps nobody's mail but its own waiting, and that not for long.
#[tokio::test(start_paused = true)]
async fn senders_whose_name_servers_are_silent_keep_no_other_mail_waiting() {
    let world = World::new();
    let queue = world.start(|_job| all(Sent));
    let silent: Vec<_> = (0..200)
        .map(|n| world.send_from(&format!("<a@s{n}.silent.test>"), &["b@gmail.test"], |_| {}))
        .collect();
    let prompt = world.send_from("<a@v4.test>", &["b@gmail.test"], |_| {});
    seconds(1).await;
    let is_done = |id| world.state_of(id).is_empty();
    assert!(is_done(prompt), "{:?}", world.state_of(prompt));
    assert!(!silent.iter().any(|id| is_done(*id)));
    seconds(8).await;
    assert_eq!(world.messages(), 0);
    assert_eq!(world.tries().len(), 201);
    world.stop();
    queue.await.unwrap();
}
