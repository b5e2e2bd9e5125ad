//! Exercises: a world in which something is wrong, a task, hints that cost points, and
//! checks of the world itself. What a student writes is never compared with an answer:
//! letters are sent and the DNS is evaluated as receivers do.
//!
//! Each exercise is one declaration, with a model solution and wrong ones, which tests
//! carry out; the program that students get does not hold these.

mod checks;
mod names;
mod receivers;
mod relays;
mod show;
#[cfg(test)]
mod tests;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use puerto_lab::Resident;
use puerto_lab::world::{SENDER_ADDRESS, STRICT};

pub(super) use self::checks::{Graded, grade};
pub(super) use self::show::{introduce, listed, points, shown_grade, shown_hint};
use super::home::Kind;
use super::world::Blueprint;
use crate::lang::Text;

/// An exercise.
pub(super) struct Exercise {
    pub(super) number: u8,
    pub(super) title: Text,
    /// What is to be done, with `{port}` and `{folder}`.
    pub(super) task: Text,
    pub(super) world: Blueprint,
    /// The cheapest first.
    pub(super) hints: &'static [Hint],
    pub(super) checks: &'static [Check],
    /// What solves it.
    #[cfg(test)]
    model: &'static [Step],
    /// What does not, and what grading then finds.
    #[cfg(test)]
    wrong: &'static [(&'static [Step], &'static str)],
}

/// A hint, and the points that it costs.
pub(super) struct Hint {
    pub(super) cost: u32,
    pub(super) text: Text,
}

/// Something that has to hold.
pub(super) struct Check {
    pub(super) points: u32,
    pub(super) title: Text,
    pub(super) what: What,
}

/// What is looked at.
pub(super) enum What {
    /// A letter of this sender of ours has come to this mailbox.
    Came { from: &'static str, to: &'static str },
    /// None of these mailboxes got a letter twice.
    Once(&'static [&'static str]),
    /// A letter that is sent now arrives.
    Arrives(Arrival),
    /// There is one SPF record.
    SpfSingle,
    /// SPF lets this address send.
    SpfPasses(IpAddr),
    /// SPF does not let this address send.
    SpfStops(IpAddr),
    /// The address has a name that leads back to it.
    ReverseName(IpAddr),
    /// Mail for our domain leads to the host that takes it.
    Exchanger,
    /// The key of this selector is published, whole.
    KeyPublished(&'static str),
    /// Reports about our domain are asked for, and can arrive.
    Reports,
    /// What others send in our name is refused.
    ForgeryRefused,
    /// The files are as they were.
    Untouched,
}

/// How a letter is to arrive.
#[derive(Clone, Copy)]
pub(super) struct Arrival {
    pub(super) at: Resident,
    /// From which address.
    pub(super) by: IpAddr,
    /// What the receiver has to have found in order.
    pub(super) proof: &'static [&'static str],
}

/// What is done to solve an exercise.
#[cfg(test)]
enum Step {
    /// In a file, this is replaced by that. Both may hold `{port}` and `{folder}`.
    Edit(&'static str, &'static str, &'static str),
    /// A text is put at a file's end.
    Add(&'static str, &'static str),
    /// From whom, to whom.
    Send(&'static str, &'static str),
    /// All that waits is tried now, until nothing waits.
    Retry,
    /// All that waits is removed.
    Remove,
    /// The record of the key is published in the place of what there is, in so many records.
    Publish(usize),
    /// No key is published.
    Unpublish,
}

/// Our server's address.
const OURS: IpAddr = IpAddr::V4(SENDER_ADDRESS);
/// The same over IPv6.
const OURS_V6: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);
/// Whoever sends our newsletter.
const NEWSLETTER: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 31));
/// Somebody who has nothing to do with us.
const STRANGER: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 66));
/// Who sends the letters of the tasks.
pub(super) const STUDENT: &str = "student@lab.example";

/// A world of an exercise in which nothing is wrong yet.
const WORLD: Blueprint =
    Blueprint { yours: &["lab.example", "10.0.0.127.in-addr.arpa"], ..Blueprint::KEEP };

const fn numbered(number: u8, world: Blueprint) -> Blueprint {
    Blueprint { kind: Kind::Exercise(number), ..world }
}

// A letter that arrives at the strict receiver, from this address and with this in order.
const fn strict(points: u32, by: IpAddr, proof: &'static [&'static str]) -> Check {
    let title = Text::new("a letter to strict.example arrives", "una carta a strict.example llega");
    Check { points, title, what: What::Arrives(Arrival { at: STRICT, by, proof }) }
}

/// All exercises, in their order.
pub(super) fn all() -> impl Iterator<Item = &'static Exercise> {
    relays::EXERCISES.iter().chain(names::EXERCISES).chain(receivers::EXERCISES)
}

/// The exercise of this number.
pub(super) fn find(number: u8) -> Option<&'static Exercise> {
    all().find(|exercise| exercise.number == number)
}
