//! Whether the addresses around the sending one are in bad repute.

use std::net::{IpAddr, Ipv4Addr};

use puerto_mail::dns::{Dns, RecordType};

use super::super::context::Context;
use super::super::outcome::Check;
use super::super::world::World;
use super::ask::{self, Subject, Verdict};
use super::data::List;
use super::definitions::NEIGHBOURHOOD;
use puerto_mail::together::together;

/// Neighbours are found by changing one bit each of the last octet: near and far ones,
/// all in the same /24.
const SAMPLE: [u8; 8] = [1, 2, 4, 8, 16, 32, 64, 128];
/// So many listed ones make a bad neighbourhood.
const BAD: usize = 3;

/// Asks a list that was tested about a sample of the /24. Entries that only say that
/// the range is dynamic do not count.
pub(super) async fn look_around<W: World>(
    context: &Context<'_, W>,
    dns: &impl Dns,
    list: &'static List,
    address: Ipv4Addr,
) -> Check {
    let [a, b, c, d] = address.octets();
    let neighbours = SAMPLE.map(|bit| Ipv4Addr::new(a, b, c, d ^ bit));
    let asked = neighbours.map(|ip| ask::ask(dns, list, Subject::Address(IpAddr::V4(ip))));
    let verdicts = together(asked).await;
    let answered = verdicts.iter().filter(|v| !matches!(v, Verdict::Unknown(_))).count();
    let is_bad = |verdict: &Verdict<'_>| {
        matches!(verdict, Verdict::Listed { meanings, .. }
            if meanings.iter().any(|meaning| !meaning.direct_only))
    };
    let bad = neighbours.iter().zip(&verdicts).filter(|(_, verdict)| is_bad(verdict));
    let bad: Vec<_> = bad.map(|(neighbour, _)| neighbour).collect();
    let first = Subject::Address(IpAddr::V4(neighbours[0])).name_in(&list.zone);
    let draft = context
        .asking(&NEIGHBOURHOOD, address, (&first, RecordType::A))
        .with("list", &list.name)
        .with("listed", bad.len())
        .with("answered", answered)
        .list("which", &bad);
    if bad.len() < BAD && answered < SAMPLE.len() {
        return draft.unknown((
            "{list} answered about {answered} neighbours only",
            "{list} solo respondió sobre {answered} vecinas",
        ));
    }
    draft.judge(bad.len() >= BAD)
}
