//! What an administrator has paused waits without an attempt, and nothing else does; what
//! goes another way goes its own again when that has ended.

use puerto_spool::{RecipientState, Timestamp};

use super::harness::{Reaction, World, all, seconds, unreachable};
use crate::orders::{Order, What};
use crate::telemetry::DeliveryStatus::Sent;

const EPOCH: i64 = 1_800_000_000_000;

fn pause(world: &World, to: &str, until: Option<i64>) {
    let order = Order {
        what: What::Pause { to: to.into(), from: None },
        since: Timestamp::from_millis(EPOCH),
        until: until.map(|seconds| Timestamp::from_millis(EPOCH + seconds * 1000)),
        by: 0,
        note: None,
    };
    world.orders.replace(vec![(1, serde_json::to_string(&order).unwrap())]);
}

#[tokio::test(start_paused = true)]
async fn what_is_paused_waits_untried_until_the_pause_ends() {
    let world = World::new();
    pause(&world, "a.test", Some(3600));
    world.start(|_| all(Sent));
    let id = world.send(&["user@a.test", "other@b.test"]);
    seconds(10).await;
    assert_eq!(world.tries_to("a.test").len(), 0);
    assert_eq!(world.tries_to("b.test").len(), 1, "the rest of the message goes");
    let waiting = world.state_of(id);
    let end = Timestamp::from_millis(EPOCH + 3_600_000);
    assert_eq!((waiting[0].state, waiting[0].attempts), (RecipientState::Due(end), 0));
    seconds(3600).await;
    assert_eq!((world.tries_to("a.test").len(), world.messages()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn what_stands_in_line_when_a_pause_is_given_is_not_tried_and_what_is_under_way_ends() {
    let world = World::new();
    world.start(|_| Reaction { takes: std::time::Duration::from_secs(60), ..all(Sent) });
    for _ in 0..50 {
        world.send(&["user@a.test"]);
    }
    seconds(5).await;
    let under_way = world.tries_to("a.test").len();
    assert!((1..50).contains(&under_way), "{under_way}");
    pause(&world, "*", None);
    seconds(600).await;
    assert_eq!(world.tries_to("a.test").len(), under_way);
    assert_eq!(world.messages(), 50 - under_way as u64);
    assert!(world.entries().iter().all(|entry| entry.recipients[0].attempts == 0));
    world.orders.replace(Vec::new());
    world.retry();
    seconds(3600).await;
    assert_eq!(world.messages(), 0);
}

/// Sends everything by a host that cannot be reached, until a time.
fn reroute(world: &World, until: i64) {
    let order = Order {
        what: What::Reroute { to: "*".into(), from: None, via: "[192.0.2.66]:2525".into() },
        since: Timestamp::from_millis(EPOCH),
        until: Some(Timestamp::from_millis(EPOCH + until * 1000)),
        by: 0,
        note: None,
    };
    world.orders.replace(vec![(1, serde_json::to_string(&order).unwrap())]);
}

#[tokio::test(start_paused = true)]
async fn what_stands_in_line_goes_its_own_way_again_when_another_has_ended() {
    let world = World::new();
    reroute(&world, 4);
    world.start(|job| if job.plan.is_relay { unreachable() } else { all(Sent) });
    world.send(&["first@a.test"]);
    seconds(2).await;
    // The lane is out of reach: this one waits in it to try it again.
    let second = world.send(&["second@a.test"]);
    seconds(1).await;
    let lanes = world.lanes.look();
    assert_eq!((lanes.len(), &*lanes[0].name, lanes[0].waiting), (1, "[192.0.2.66]:2525", 1));
    seconds(7).await;
    assert!(world.state_of(second).is_empty(), "{:?}", world.log());
    assert_eq!(world.tries_to("second@a.test").len(), 1, "by its own way alone");
    let lanes = world.lanes.look();
    assert!(lanes.is_empty(), "nothing goes by it any more: {lanes:?}");
}
