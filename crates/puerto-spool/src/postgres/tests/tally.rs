//! Counts of all that is queued are what a look at each message comes to.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::cluster::{self, Cluster};
use super::faults::{NOTHING_KEPT, claim, commit};
use super::{Bounds, HOUR, Options, PostgresStore, options};
use crate::contract::{alike, attempt, message};
use crate::{
    Attempt, Classify, Desk as _, Disposition, Edit, Filter, PageRequest, Store as _, Tally,
    TallyRequest, Work as _,
};

fn classes() -> Classify {
    Arc::new(|last| match last {
        None => "new",
        Some(last) if last.text.contains("refused") => "refused",
        Some(_) => "other",
    })
}

type Row = (u64, u64, u64, Option<i64>);

// Without what depends on the moment.
fn rows(tally: &Tally) -> (u64, u64, u64, BTreeMap<(String, &'static str), Row>) {
    let row = |((domain, class), group): (
        &(Option<Arc<puerto_smtp::Domain>>, &'static str),
        &crate::Group,
    )| {
        let name = domain.as_ref().map_or_else(String::new, ToString::to_string);
        let next = group.next.map(|next| next.as_secs());
        ((name, *class), (group.recipients, group.held, group.active, next))
    };
    (tally.messages, tally.held, tally.octets, tally.groups.iter().map(row).collect())
}

// The same by a look at each message, a few at a time.
fn paged(store: &PostgresStore, request: &TallyRequest) -> Tally {
    let (selector, now) = (request.filter.compiled(), store.clock().now());
    let (mut after, mut tally) = (None, Tally::default());
    loop {
        let page = PageRequest { after, limit: 7, filter: request.filter.clone() };
        let page = store.page(&page).wait().unwrap();
        for entry in &page.entries {
            tally.count(entry, (&selector, &request.classify), now);
        }
        after = page.next;
        if after.is_none() {
            return tally;
        }
    }
}

fn counts_agree(bounds: Bounds) {
    if !cluster::is_there() {
        return;
    }
    let cluster = Cluster::start("");
    let url = cluster.database("counted");
    let open = |node, bounds| {
        let (lease, beat) = (HOUR * 3, HOUR);
        PostgresStore::open(Options { bounds, lease, beat, ..options(&cluster, &url, node) })
            .unwrap()
    };
    let (one, two) = (open("one", bounds), open("two", NOTHING_KEPT));
    let now = one.clock().now();
    for n in 0..40 {
        let to = format!("a@d{}.example", n % 5);
        let both = [&*to, &format!("b@d{}.example", n % 5), "c@other.example"];
        one.commit(message(one.new_id(), &both, b"hello\r\n", now)).wait().unwrap();
    }
    let held = commit(&one, "h@held.example").unwrap();
    assert_eq!(one.edit(&[held], Edit::Hold).wait(), [Ok(())]);
    let mut leases = Vec::new();
    super::faults::until("all is handed out", || {
        leases.extend(claim(&one));
        leases.len() == 80
    });
    for (n, lease) in leases.iter().take(60).enumerate() {
        let text = if n % 3 == 0 { "Connection refused" } else { "450 4.7.1 later" };
        let attempt = Attempt { text: text.into(), ..attempt(now) };
        let due = now.after(HOUR * u32::try_from(n % 7 + 1).unwrap());
        let disposition = match n % 10 {
            9 => Disposition::Delivered(attempt),
            _ => Disposition::Deferred { due, attempt },
        };
        for settled in one.settle(vec![alike(lease, &disposition)]).wait() {
            settled.unwrap();
        }
    }
    commit(&two, "late@d1.example").unwrap();
    let filters = [
        Filter { to: vec!["a@*".to_owned()], ..Filter::default() },
        Filter { to: vec!["other.example".to_owned()], ..Filter::default() },
        Filter { from: vec!["<>".to_owned()], ..Filter::default() },
        Filter { from: vec!["*".to_owned()], held: Some(false), ..Filter::default() },
        Filter { ids: Some(vec![held]), to: vec!["h@".to_owned()], ..Filter::default() },
        Filter { account: vec!["nobody".to_owned()], ..Filter::default() },
    ];
    for (store, filter) in
        [&one, &two].into_iter().flat_map(|s| filters.iter().map(move |f| (s, f)))
    {
        let request = || TallyRequest { filter: filter.clone(), classify: classes() };
        let (all, paged) = (store.tally(&request()).wait().unwrap(), paged(store, &request()));
        assert_eq!(rows(&all), rows(&paged), "{filter:?}");
    }
    for store in [&one, &two] {
        let request = || TallyRequest { filter: Filter::default(), classify: classes() };
        let (all, paged) = (store.tally(&request()).wait().unwrap(), paged(store, &request()));
        let (paged, all) = (rows(&paged), rows(&all));
        assert_eq!(all, paged);
        assert_eq!(all.1, 1, "one is held");
        assert!(all.3.values().map(|row| row.2).sum::<u64>() >= 20, "{all:?}");
    }
}

#[test]
fn counts_agree_with_a_look_at_each_message() {
    counts_agree(Bounds::default());
}

#[test]
fn counts_agree_when_all_came_by_claims() {
    counts_agree(NOTHING_KEPT);
}
