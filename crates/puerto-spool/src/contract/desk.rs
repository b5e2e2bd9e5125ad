//! What an administrator sees.

use std::sync::Arc;
use std::time::Duration;

use puerto_smtp::Domain;

use super::{Bench, Check, START, alike, attempt, message};
use crate::{
    Attempt, Class, Classify, Content, Count, Disposition, Edit, Filter, Group, MessageId, Origin,
    PageRequest, RecipientState, Settlement, SpoolError, Tally, TallyRequest,
};

/// The checks.
pub(super) const CHECKS: &[(&str, Check)] = &[
    ("listing goes page by page in the order of ids", listing_pages),
    ("a filter selects, on pages and in counts", filters_select),
    ("what is queued is counted by destination and by why it waits", tally_counts),
    ("orders are kept until they are taken back", orders_are_kept),
    ("a page ends, however few are selected", few_of_many),
    ("what is not queued is not found", unknown_is_not_found),
    ("health counts", health_counts),
    ("this node is among the nodes", this_node_is_there),
    ("mail that is committed held waits, and says why", committed_held),
    ("a message of another store is adopted as it stands, and once", adopted_as_it_stands),
];

/// All that a filter selects, by pages of so many.
fn pages(bench: &Bench, filter: &Filter, limit: usize) -> Vec<MessageId> {
    let (mut seen, mut after) = (Vec::new(), None);
    loop {
        let request = PageRequest { after, limit, filter: filter.clone() };
        let page = bench.store.page(&request).wait().unwrap();
        assert!(page.entries.len() <= limit);
        seen.extend(page.entries.iter().map(|entry| entry.id));
        if page.next.is_none() {
            return seen;
        }
        assert!(page.next > after, "it goes on");
        after = page.next;
    }
}

fn listing_pages(bench: &Bench) {
    assert_eq!(pages(bench, &Filter::default(), 3), []);
    let ids: Vec<MessageId> = (0..7).map(|_| bench.commit(&["a@one.example"])).collect();
    for limit in [1, 3, 7, 100] {
        assert_eq!(pages(bench, &Filter::default(), limit), ids, "by {limit}");
    }
    // What goes meanwhile does not lead astray.
    bench.edit(ids[2], Edit::Remove).unwrap();
    let request = PageRequest { after: Some(ids[2]), limit: 1, ..PageRequest::default() };
    assert_eq!(bench.store.page(&request).wait().unwrap().entries[0].id, ids[3]);
}

fn filters_select(bench: &Bench) {
    let one = bench.commit(&["x@one.example", "y@two.example"]);
    for lease in bench.claim(10, 10) {
        let tried = Attempt { text: "Connection refused 100%".into(), ..attempt(bench.now()) };
        let due = bench.now().after(std::time::Duration::from_secs(3600));
        bench.settle(&lease, &Disposition::Deferred { due, attempt: tried });
    }
    let two = bench.commit_from(Origin::LocalUser(33), &["z@sub.one.example"]);
    let client = Origin::Client("web.lan[192.0.2.7]".to_owned());
    let three = bench.commit_from(client, &["z_z@three.example", "done@one.example"]);
    let leases = bench.claim(10, 10);
    let done = leases.iter().find(|lease| lease.domain.to_string() == "one.example").unwrap();
    bench.settle_as(alike(done, &bench.delivered())).unwrap();
    bench.edit(two, Edit::Hold).unwrap();
    let some = |text: &str| Some(text.to_owned());
    let one_of = |text: &str| text.split(' ').map(str::to_owned).collect();
    let class = |name: &str| Class { name: name.to_owned(), of: classes() };
    let (gone, later) = (bench.store.new_id(), bench.now().after(Duration::from_secs(1)));
    let all = Filter::default;
    for (filter, expected, recipients) in [
        (all(), vec![one, two, three], 4),
        (Filter { to: one_of("X@ONE"), ..all() }, vec![one], 2),
        (Filter { to: one_of("*@*.one.example"), ..all() }, vec![two], 1),
        (Filter { to: one_of("z_z"), ..all() }, vec![three], 1),
        (Filter { to: one_of("z%z"), ..all() }, vec![], 0),
        (Filter { to: one_of("done"), ..all() }, vec![], 0),
        (Filter { from: one_of("<>"), ..all() }, vec![], 0),
        (Filter { from: one_of("sender@ORIGIN.example"), ..all() }, vec![one, two, three], 4),
        (Filter { destination: one_of("one.example"), ..all() }, vec![one], 2),
        (Filter { destination: one_of("mx.example.NET"), ..all() }, vec![one], 2),
        (Filter { destination: one_of("ne.example"), ..all() }, vec![], 0),
        (Filter { destination: one_of("*.example"), ..all() }, vec![one, two, three], 4),
        (Filter { to: one_of("x@one y@two"), ..all() }, vec![one], 2),
        (Filter { destination: one_of("sub.one.example two.example"), ..all() }, vec![one, two], 3),
        (
            Filter { from: one_of("nobody sender@origin.example"), ..all() },
            vec![one, two, three],
            4,
        ),
        (Filter { reason: some("refused 100%"), ..all() }, vec![one], 2),
        (Filter { reason: some("refused"), to: one_of("y@"), ..all() }, vec![one], 2),
        (Filter { reason: some("refused"), from: one_of("<>"), ..all() }, vec![], 0),
        (Filter { held: Some(true), ..all() }, vec![two], 1),
        (Filter { class: Some(class("refused")), ..all() }, vec![one], 2),
        (Filter { class: Some(class("new")), ..all() }, vec![two, three], 2),
        (Filter { class: Some(class("other")), ..all() }, vec![], 0),
        (Filter { class: Some(class("refused")), to: one_of("z"), ..all() }, vec![], 0),
        (Filter { before: Some(later), ..all() }, vec![one, two, three], 4),
        (Filter { before: Some(START), ..all() }, vec![], 0),
        (Filter { larger: Some(26), ..all() }, vec![], 0),
        (Filter { larger: Some(25), ..all() }, vec![one, two, three], 4),
        (Filter { ids: Some(vec![three, one, one, gone]), ..all() }, vec![one, three], 3),
        (Filter { ids: Some(vec![one, two]), to: one_of("z"), ..all() }, vec![two], 1),
        (Filter { ids: Some(Vec::new()), ..all() }, vec![], 0),
        (Filter { held: Some(false), to: one_of("z*"), ..all() }, vec![three], 1),
        (Filter { origin: some("user 33"), ..all() }, vec![two], 1),
        (Filter { origin: some("user 3"), ..all() }, vec![], 0),
        (Filter { origin: some("*[192.0.2.7]"), ..all() }, vec![three], 1),
        (Filter { origin: some("user*"), held: Some(false), ..all() }, vec![one], 2),
    ] {
        for limit in [1, 2, 50] {
            assert_eq!(pages(bench, &filter, limit), expected, "{filter:?} by {limit}");
        }
        let count = Count { messages: expected.len() as u64, recipients };
        assert_eq!(bench.store.count(&filter).wait(), Ok(count), "{filter:?}");
    }
}

/// What nobody has tried is new; what was refused, refused.
fn classes() -> Classify {
    Arc::new(|last| match last {
        None => "new",
        Some(last) if last.text.contains("refused") => "refused",
        Some(_) => "other",
    })
}

fn tally_counts(bench: &Bench) {
    let request = |filter: Filter| TallyRequest { filter, classify: classes() };
    let tally = |filter: Filter| bench.store.tally(&request(filter)).wait().unwrap();
    assert_eq!(tally(Filter::default()).messages, 0);
    bench.commit(&["a@one.example", "b@one.example", "c@two.example"]);
    for lease in bench.claim(10, 10) {
        let tried = Attempt { text: "Connection refused".into(), ..attempt(bench.now()) };
        let due = bench.now().after(Duration::from_secs(3600));
        bench.settle(&lease, &Disposition::Deferred { due, attempt: tried });
    }
    bench.pass(600);
    let held = bench.commit(&["d@one.example"]);
    bench.edit(held, Edit::Hold).unwrap();
    bench.commit(&["e@One.example"]);
    let leased = bench.claim(10, 10);
    assert_eq!(leased.len(), 1);
    let all = tally(Filter::default());
    assert_eq!((all.messages, all.held, all.octets), (3, 1, 78));
    let group = |tally: &Tally, domain: &str, class| {
        let of = |key: &&(Option<Arc<Domain>>, &str)| {
            key.1 == class && key.0.as_ref().is_some_and(|name| name.to_string() == domain)
        };
        tally.groups.keys().find(of).map_or_else(Group::default, |key| tally.groups[key])
    };
    let refused = group(&all, "one.example", "refused");
    assert_eq!((refused.recipients, refused.held, refused.active), (2, 0, 0));
    assert_eq!(refused.ages, [0, 2, 0, 0, 0, 0, 0, 0], "ten minutes old");
    assert!(bench.is_about(refused.next, bench.start.after(Duration::from_secs(3600))));
    assert!(bench.is_about(refused.oldest, bench.start));
    let new = group(&all, "one.example", "new");
    assert_eq!((new.recipients, new.held, new.active, new.next), (2, 1, 1, None));
    assert_eq!(new.ages[0], 2);
    assert_eq!(group(&all, "two.example", "refused").recipients, 1);
    assert_eq!(all.groups.len(), 3);
    let two = tally(Filter { to: vec!["@two".into()], ..Filter::default() });
    assert_eq!((two.messages, two.groups.len()), (1, 1), "only what is selected");
    let class = |name: &str| Some(Class { name: name.to_owned(), of: classes() });
    let none = Filter::default;
    // Messages, of which held, and recipients.
    for (filter, expected) in [
        (Filter { held: Some(true), ..none() }, (1, 1, 1)),
        (Filter { held: Some(false), ..none() }, (2, 0, 4)),
        (Filter { class: class("refused"), ..none() }, (1, 0, 3)),
        (Filter { class: class("new"), ..none() }, (2, 1, 2)),
        (Filter { reason: Some("REFUSED".into()), ..none() }, (1, 0, 3)),
        (Filter { destination: vec!["Two.example".into()], ..none() }, (1, 0, 1)),
        (Filter { destination: vec!["one.*".into()], ..none() }, (3, 1, 4)),
        (Filter { ids: Some(vec![held]), ..none() }, (1, 1, 1)),
        (Filter { larger: Some(26), ..none() }, (0, 0, 0)),
        (Filter { larger: Some(25), class: class("new"), ..none() }, (2, 1, 2)),
        (Filter { before: Some(bench.start.after(Duration::from_secs(60))), ..none() }, (1, 0, 3)),
        (Filter { from: vec!["nobody".into()], held: Some(true), ..none() }, (0, 0, 0)),
    ] {
        let found = tally(filter.clone());
        let recipients = found.groups.values().map(|group| group.recipients).sum();
        assert_eq!((found.messages, found.held, recipients), expected, "{filter:?}");
        assert_eq!(found.octets, found.messages * 26, "{filter:?}");
    }
}

fn orders_are_kept(bench: &Bench) {
    let orders = || bench.store.orders().wait().unwrap();
    let give = |text: &str| bench.store.give_order(text.to_owned()).wait().unwrap();
    assert_eq!(orders(), []);
    let (one, two) = (give("one"), give("{\"ñ\":2}"));
    assert!(one < two);
    assert_eq!(orders(), [(one, "one".to_owned()), (two, "{\"ñ\":2}".to_owned())]);
    assert_eq!(bench.store.take_back_order(two).wait(), Ok(true));
    assert_eq!(bench.store.take_back_order(two).wait(), Ok(false));
    assert!(give("three") > two, "a number is not given twice");
    assert_eq!(orders().len(), 2);
}

fn few_of_many(bench: &Bench) {
    for _ in 0..30 {
        bench.commit(&["a@one.example"]);
    }
    let last = bench.commit(&["b@two.example"]);
    let filter = Filter { to: vec!["b@".to_owned()], ..Filter::default() };
    assert_eq!(pages(bench, &filter, 4), [last]);
    let none = Filter { to: vec!["nobody".to_owned()], ..Filter::default() };
    assert_eq!(pages(bench, &none, 4), []);
}

fn unknown_is_not_found(bench: &Bench) {
    let id = bench.store.new_id();
    assert_eq!(bench.get(id), Err(SpoolError::NotFound(id)));
    assert!(matches!(bench.store.content(id).wait(), Err(SpoolError::NotFound(_))));
    assert_eq!(bench.edit(id, Edit::Remove), Err(SpoolError::NotFound(id)));
    assert_eq!(bench.next_due(), None);
}

fn health_counts(bench: &Bench) {
    bench.commit(&["a@one.example", "b@two.example"]);
    bench.commit(&["a@one.example"]);
    let lease = bench.claim(1, 10).remove(0);
    bench.settle(&lease, &bench.delivered());
    let health = bench.health();
    assert!(health.recipients == 2 && health.messages <= 2);
    assert_eq!(health.octets, health.messages * 26);
    assert_eq!(health.refusing, None);
    assert_eq!(health.damaged, Vec::<String>::new());
}

fn this_node_is_there(bench: &Bench) {
    bench.commit(&["a@one.example"]);
    bench.commit(&["a@two.example"]);
    assert_eq!(bench.claim(10, 10).len(), 2);
    let nodes = bench.store.nodes().wait().unwrap();
    let this: Vec<_> = nodes.iter().filter(|node| node.is_this).collect();
    let [this] = this[..] else { panic!("{nodes:?}") };
    assert!(this.alive && this.since <= this.seen, "{this:?}");
    assert_eq!((this.leases, this.version.as_str()), (2, env!("CARGO_PKG_VERSION")));
    assert!(bench.store.living() >= 1);
    let entry = bench.store.page(&PageRequest { limit: 1, ..PageRequest::default() });
    let state = entry.wait().unwrap().entries[0].recipients[0].state;
    assert!(matches!(state, RecipientState::Leased(_)));
}

fn committed_held(bench: &Bench) {
    let reason = "{\"id\":\"cap\",\"ñ\":\"\0\"}";
    let commit = |reason: Option<&str>| {
        let id = bench.store.new_id();
        let to = ["a@one.example", "b@two.example", "c@one.example"];
        let mut new = message(id, &to, b"hello\r\n", bench.now());
        new.held_for = reason.map(str::to_owned);
        bench.store.commit(new).wait().unwrap();
        id
    };
    let how = |id| {
        let entry = bench.get(id).unwrap();
        (entry.held, entry.held_for)
    };
    let (id, other) = (commit(Some(reason)), commit(None));
    let claimed = bench.claim(10, 10);
    assert!(claimed.len() == 2 && claimed.iter().all(|lease| lease.token.id == other));
    for lease in &claimed {
        bench.settle(lease, &bench.delivered());
    }
    assert_eq!(bench.next_due(), None, "nothing is due");
    assert_eq!(how(id), (true, reason.to_owned()));
    let held = Filter { held: Some(true), ..Filter::default() };
    assert_eq!(bench.store.count(&held).wait().unwrap().messages, 1);
    assert_eq!(bench.edit(id, Edit::Retry), Err(SpoolError::Held(id)));
    assert_eq!(bench.store.retry_all().wait(), Ok(0));
    // It goes on as it stands.
    let (entry, octets) = (bench.get(id).unwrap(), bench.read(id));
    bench.edit(id, Edit::Remove).unwrap();
    assert_eq!(bench.store.adopt(&entry, Content::Memory(octets)).wait(), Ok(true));
    assert_eq!(how(id), (true, reason.to_owned()));
    // An administrator who holds what is held changes nothing; whoever holds it again
    // later has no reason.
    bench.edit(id, Edit::Hold).unwrap();
    assert_eq!(how(id), (true, reason.to_owned()));
    bench.edit(id, Edit::Release).unwrap();
    assert_eq!(how(id), (false, String::new()));
    bench.edit(id, Edit::Hold).unwrap();
    assert_eq!(how(id), (true, String::new()));
    bench.edit(id, Edit::Release).unwrap();
    let claimed = bench.claim(10, 10);
    assert_eq!(claimed.iter().map(|lease| lease.recipients.len()).sum::<usize>(), 3);
    for lease in &claimed {
        bench.settle(lease, &bench.delivered());
    }
    let id = commit(Some(""));
    assert_eq!(how(id), (true, String::new()), "a reason may be empty");
    bench.edit(id, Edit::Remove).unwrap();
}

fn adopted_as_it_stands(bench: &Bench) {
    // Where it was: one recipient is done, one waits, one was tried often, one is leased.
    let id = bench.commit(&["a@one.example", "b@one.example", "c@two.example", "d@x.example"]);
    let leases = bench.claim(10, 10);
    let of = |name: &str| leases.iter().find(|lease| lease.domain.to_string() == name).unwrap();
    let dispositions = vec![(0, bench.delivered()), (1, bench.deferred(3600))];
    bench.settle_as(Settlement { token: of("one.example").token, dispositions }).unwrap();
    bench.settle(of("two.example"), &bench.deferred(0));
    assert_eq!(bench.store.note_delay(id).wait(), Ok(true));
    let mut entry = bench.get(id).unwrap();
    let mut octets = bench.read(id);
    let again = bench.store.adopt(&entry, Content::Memory(octets.clone())).wait();
    assert_eq!(again, Ok(false), "it is here");
    bench.edit(id, Edit::Remove).unwrap();
    // Where it comes to.
    for size in [octets.len(), 2_500_000] {
        entry.id = bench.store.new_id();
        entry.size = size as u64;
        let later = bench.now().after(std::time::Duration::from_secs(3600));
        entry.recipients[1].state = RecipientState::Due(later);
        octets.resize(size, b'x');
        let mut draft = bench.store.draft().unwrap();
        draft.write(&octets).unwrap();
        assert_eq!(bench.store.adopt(&entry, draft.finish().unwrap()).wait(), Ok(true));
        let again = bench.store.adopt(&entry, Content::Memory(octets.clone())).wait();
        assert_eq!(again, Ok(false));
        let adopted = bench.get(entry.id).unwrap();
        assert_eq!(adopted.recipients[..3], entry.recipients[..3]);
        assert_eq!((adopted.delay_notified, adopted.size), (true, entry.size));
        assert!(matches!(adopted.recipients[3].state, RecipientState::Due(_)), "no lease");
        assert!(bench.read(entry.id) == octets);
        let due = bench.claim(10, 10);
        assert_eq!(due.len(), 2, "what waited waits");
        assert_eq!(bench.settle(&due[0], &bench.delivered()), 2);
        assert_eq!(bench.settle(&due[1], &bench.delivered()), 1);
        bench.edit(entry.id, Edit::Hold).unwrap();
        let held = bench.get(entry.id).unwrap();
        bench.edit(entry.id, Edit::Remove).unwrap();
        assert_eq!(bench.store.adopt(&held, Content::Memory(octets.clone())).wait(), Ok(true));
        bench.pass(3601);
        assert!(bench.claim(10, 10).is_empty(), "it is held");
        bench.edit(entry.id, Edit::Release).unwrap();
        assert_eq!(bench.settle(&bench.claim(10, 10)[0], &bench.delivered()), 0);
    }
}
