//! What every backend must do, as functions over a way to make an empty store.
//!
//! [`run`] runs them all. A check panics with the behaviour that it found broken.
//! Test code, public so that backends in other crates can be held to it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod model;

use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

use puerto_smtp::{Address, EnhancedCode, Envelope, Notify, Recipient, Return, ReversePath};

use crate::clock::{Clock, ManualClock};
use crate::{
    Attempt, ClaimRequest, Content, Disposition, Edit, Entry, Lease, ListRequest, MessageId,
    NewMessage, Origin, RecipientState, Settlement, Spool, SpoolError, Timestamp,
};

/// When the checks begin.
pub const START: Timestamp = Timestamp::from_millis(1_795_500_000_000);

/// Makes an empty store with this clock; called once for each check.
pub type Factory<'a> = &'a dyn Fn(Arc<ManualClock>) -> Arc<dyn Spool>;

type Check = fn(&Bench);

/// Every check and its name.
pub const CHECKS: &[(&str, Check)] = &[
    ("content and envelope come back as they were given", content_and_envelope_come_back),
    ("a draft of any size becomes content", a_draft_of_any_size_becomes_content),
    ("ids are never given twice", ids_are_never_given_twice),
    ("an id is committed once", an_id_is_committed_once),
    ("a message without recipients is refused", no_recipients_are_refused),
    ("a lease groups one message's recipients of a domain", a_lease_groups_by_domain),
    ("what is leased is not handed out again", leased_is_not_handed_out_again),
    ("domains are served in turn", domains_are_served_in_turn),
    ("limits are kept", limits_are_kept),
    ("an expired lease is due again, a renewed one not", leases_expire_unless_renewed),
    ("an expired lease cannot be settled", an_expired_lease_is_lost),
    ("a clock that leaps ends no lease", a_leaping_clock_ends_no_lease),
    ("a deferred recipient is due later and keeps its story", deferral_keeps_the_story),
    ("of many attempts the first and the last four are told", a_long_story_is_bounded),
    ("what a settlement does not name is due now", unnamed_recipients_return),
    ("a message is gone with its last recipient", gone_with_the_last_recipient),
    ("new and old mail of a domain take turns", new_and_old_take_turns),
    ("held mail waits until it is released", held_mail_waits),
    ("retry makes everything that waits due now", retry_makes_due),
    ("removal takes the lease with it", removal_takes_the_lease),
    ("the delay notice is remembered", the_delay_notice_is_remembered),
    ("listing goes page by page in the order of ids", listing_pages),
    ("what is not queued is not found", unknown_is_not_found),
    ("health counts", health_counts),
    ("a closed store takes no mail", closed_takes_no_mail),
    ("the index agrees with a simple model", model::agrees),
];

/// Runs every check on a fresh store each.
pub fn run(factory: Factory<'_>) {
    for (name, check) in CHECKS {
        let clock = Arc::new(ManualClock::new(START));
        let bench = Bench { spool: factory(Arc::clone(&clock)), clock };
        eprintln!("contract: {name}");
        check(&bench);
    }
}

/// A store and its clock, with shorthand for what the checks do.
pub struct Bench {
    /// The store.
    pub spool: Arc<dyn Spool>,
    /// Its clock.
    pub clock: Arc<ManualClock>,
}

/// A message to these addresses.
pub fn message(id: MessageId, to: &[&str], octets: &[u8], at: Timestamp) -> NewMessage {
    let recipients = to.iter().map(|a| Recipient::new(Address::parse(a).unwrap())).collect();
    NewMessage {
        id,
        envelope: Envelope::new(
            ReversePath::Address(Address::parse("sender@origin.example").unwrap()),
            recipients,
        ),
        received_at: at,
        origin: Origin::LocalUser(1000),
        prefix: b"Received: by test\r\n".to_vec(),
        content: Content::Memory(octets.to_vec()),
    }
}

/// An attempt that failed for the moment.
pub fn attempt(at: Timestamp) -> Attempt {
    Attempt {
        at,
        relay: "mx.example.net[192.0.2.1]:25".into(),
        code: 451,
        status: EnhancedCode::new(4, 3, 0),
        text: "try again later".into(),
        cause: r#"{"id":"reply"}"#.into(),
    }
}

impl Bench {
    /// Commits a message to these addresses and waits until it is durable.
    pub fn commit(&self, to: &[&str]) -> MessageId {
        let id = self.spool.new_id();
        self.spool.commit(message(id, to, b"hello\r\n", self.clock.now())).wait().unwrap();
        id
    }

    /// Claims with leases of one minute.
    pub fn claim(&self, limit: usize, per_domain: usize) -> Vec<Lease> {
        let now = self.clock.now();
        let hold = Duration::from_secs(60);
        self.spool.claim(&ClaimRequest { now, hold, limit, per_domain }).unwrap()
    }

    /// Settles every recipient of a lease alike and waits until it is durable.
    pub fn settle(&self, lease: &Lease, disposition: &Disposition) -> u32 {
        let dispositions =
            lease.recipients.iter().map(|r| (r.index, disposition.clone())).collect();
        let (settled, ticket) =
            self.spool.settle(Settlement { token: lease.token, dispositions }).unwrap();
        ticket.wait().unwrap();
        settled.remaining
    }

    fn delivered(&self) -> Disposition {
        Disposition::Delivered(attempt(self.clock.now()))
    }

    fn deferred(&self, seconds: u64) -> Disposition {
        let now = self.clock.now();
        Disposition::Deferred {
            due: now.after(Duration::from_secs(seconds)),
            attempt: attempt(now),
        }
    }

    fn pass(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }

    fn read(&self, id: MessageId) -> Vec<u8> {
        let mut content = self.spool.content(id).unwrap();
        let mut octets = Vec::new();
        content.read_to_end(&mut octets).unwrap();
        assert_eq!(content.len(), octets.len() as u64);
        if let Some(content) = self.spool.content_at_once(id) {
            assert_eq!(content.in_memory(), Some(&*octets), "what is in memory is all of it");
        }
        octets
    }
}

fn addresses(lease: &Lease) -> Vec<String> {
    lease.recipients.iter().map(|r| r.recipient.address.to_string()).collect()
}

fn content_and_envelope_come_back(bench: &Bench) {
    let mut recipients = vec![
        Recipient::new(Address::parse("user@example.com").unwrap()),
        Recipient::new(Address::parse("\"\"@example.com").unwrap()),
        Recipient::new(Address::parse("josé@correo.españa.example").unwrap()),
        Recipient::new(Address::parse("x@[IPv6:2001:db8::1]").unwrap()),
        Recipient::new(Address::parse(&format!("{}@example.com", "a".repeat(64))).unwrap()),
        Recipient::new(Address::parse(&format!("\"{}\"@example.com", " ".repeat(62))).unwrap()),
    ];
    recipients[1].notify = Some(Notify::NEVER);
    recipients[2].notify = Some(Notify { success: true, failure: false, delay: true });
    recipients[3].original = Some("rfc822;someone else\u{7f}@example.org".into());
    for (reverse_path, origin, ret) in [
        (ReversePath::Null, Origin::Internal, None),
        (
            ReversePath::Address(Address::parse("\"a b\"@example.org").unwrap()),
            Origin::Client("mail.example[192.0.2.7]".into()),
            Some(Return::Full),
        ),
        (ReversePath::Null, Origin::LocalUser(u32::MAX), Some(Return::Headers)),
    ] {
        let mut new = message(bench.spool.new_id(), &[], b"body\r\n", bench.clock.now());
        new.envelope = Envelope {
            reverse_path,
            recipients: recipients.clone(),
            envelope_id: Some("an id+with=odd\tcharacters".into()),
            ret,
            eight_bit: true,
            smtputf8: true,
        };
        new.origin = origin;
        let (id, envelope, origin) = (new.id, new.envelope.clone(), new.origin.clone());
        bench.spool.commit(new).wait().unwrap();
        let entry = bench.spool.get(id).unwrap();
        assert_eq!(entry.origin, origin);
        assert_eq!(entry.size, 25);
        assert_eq!(entry.received_at, START);
        assert_eq!(envelope_of(&entry), envelope);
        assert_eq!(bench.read(id), b"Received: by test\r\nbody\r\n");
    }
}

fn envelope_of(entry: &Entry) -> Envelope {
    Envelope {
        reverse_path: entry.reverse_path.clone(),
        recipients: entry.recipients.iter().map(|r| r.recipient.clone()).collect(),
        envelope_id: entry.envelope_id.clone(),
        ret: entry.ret,
        eight_bit: entry.eight_bit,
        smtputf8: entry.smtputf8,
    }
}

fn a_draft_of_any_size_becomes_content(bench: &Bench) {
    for size in [0_usize, 1, 4096, 100_000, 3_000_000] {
        let octets: Vec<u8> = (0..size).map(|n| (n % 251) as u8).collect();
        let mut draft = bench.spool.draft().unwrap();
        for piece in octets.chunks(70_000) {
            draft.write(piece).unwrap();
        }
        assert_eq!(draft.len(), size as u64);
        let content = draft.finish().unwrap();
        assert_eq!(content.len(), size as u64);
        let mut read = Vec::new();
        content.reader().unwrap().read_to_end(&mut read).unwrap();
        assert!(read == octets, "a draft of {size} octets reads back as it was written");
        let mut new = message(bench.spool.new_id(), &["a@b.example"], b"", bench.clock.now());
        new.content = content;
        let id = new.id;
        bench.spool.commit(new).wait().unwrap();
        let stored = bench.read(id);
        assert!(stored[19..] == octets, "content of {size} octets comes back");
        for lease in bench.claim(10, 10) {
            bench.settle(&lease, &bench.delivered());
        }
    }
    drop(bench.spool.draft().unwrap());
}

fn ids_are_never_given_twice(bench: &Bench) {
    let mut last = bench.spool.new_id();
    for step in 0..300 {
        if step == 100 {
            bench.clock.set(Timestamp::from_millis(0));
        }
        let next = bench.spool.new_id();
        assert!(next > last);
        last = next;
    }
}

fn an_id_is_committed_once(bench: &Bench) {
    let id = bench.commit(&["a@b.example"]);
    let again = message(id, &["c@d.example"], b"", bench.clock.now());
    assert!(bench.spool.commit(again).wait().is_err());
    assert_eq!(bench.spool.get(id).unwrap().recipients.len(), 1);
}

fn no_recipients_are_refused(bench: &Bench) {
    let id = bench.spool.new_id();
    assert!(bench.spool.commit(message(id, &[], b"", bench.clock.now())).wait().is_err());
    assert_eq!(bench.spool.health().messages, 0);
}

fn a_lease_groups_by_domain(bench: &Bench) {
    let id = bench.commit(&["a@one.example", "b@two.example", "c@one.example"]);
    let mut leases = bench.claim(10, 10);
    leases.sort_by_key(|lease| lease.domain.clone());
    assert_eq!(leases.len(), 2);
    assert_eq!(addresses(&leases[0]), ["a@one.example", "c@one.example"]);
    assert_eq!(addresses(&leases[1]), ["b@two.example"]);
    let indexes: Vec<u32> = leases[0].recipients.iter().map(|r| r.index).collect();
    assert_eq!(indexes, [0, 2]);
    assert_eq!(leases[1].recipients[0].index, 1);
    assert_eq!(leases[0].token.id, id);
    assert_ne!(leases[0].token, leases[1].token);
    assert_eq!(leases[0].recipients_in_all, 3);
    assert_eq!(leases[0].until, bench.clock.now().after(Duration::from_secs(60)));
}

fn leased_is_not_handed_out_again(bench: &Bench) {
    bench.commit(&["a@one.example"]);
    assert_eq!(bench.spool.next_due(), Some(START));
    assert_eq!(bench.claim(10, 10).len(), 1);
    assert_eq!(bench.claim(10, 10).len(), 0);
    let entry = &bench.spool.list(&ListRequest { after: None, limit: 9 }).unwrap()[0];
    assert!(matches!(entry.recipients[0].state, RecipientState::Leased(_)));
}

fn domains_are_served_in_turn(bench: &Bench) {
    for _ in 0..50 {
        bench.commit(&["a@many.example"]);
    }
    bench.commit(&["a@few.example"]);
    bench.commit(&["a@other.example"]);
    let first: Vec<Lease> = (0..4).flat_map(|_| bench.claim(1, 1000)).collect();
    let of = |name: &str| first.iter().filter(|l| l.domain.to_string() == name).count();
    assert_eq!((of("many.example"), of("few.example"), of("other.example")), (2, 1, 1));
}

fn limits_are_kept(bench: &Bench) {
    for _ in 0..5 {
        bench.commit(&["a@one.example", "b@one.example", "c@two.example"]);
    }
    let count = |leases: &[Lease]| leases.iter().map(|l| l.recipients.len()).sum::<usize>();
    assert_eq!(count(&bench.claim(0, 10)), 0);
    assert_eq!(count(&bench.claim(10, 0)), 0);
    let first = bench.claim(100, 3);
    assert_eq!(count(&first), 6, "three of each domain");
    assert_eq!(count(&bench.claim(100, 3)), 0);
    let one = first.iter().find(|l| l.domain.to_string() == "one.example").unwrap();
    bench.settle(one, &bench.delivered());
    assert_eq!(count(&bench.claim(100, 3)), one.recipients.len());
    assert_eq!(count(&bench.claim(4, 100)), 4, "the greater bound holds at once");
}

fn leases_expire_unless_renewed(bench: &Bench) {
    bench.commit(&["a@one.example"]);
    bench.commit(&["a@two.example"]);
    let leases = bench.claim(10, 10);
    bench.pass(50);
    bench.spool.renew(&leases[0].token, Duration::from_secs(60)).unwrap();
    bench.pass(10);
    let again = bench.claim(10, 10);
    assert_eq!(again.len(), 1);
    assert_eq!(again[0].token.id, leases[1].token.id);
    assert_eq!(again[0].recipients[0].attempts, 0, "nobody has failed");
    assert_ne!(again[0].token, leases[1].token);
}

fn a_leaping_clock_ends_no_lease(bench: &Bench) {
    bench.commit(&["a@one.example"]);
    let lease = bench.claim(10, 10).remove(0);
    for leap in [3_600, -86_400, 315_360_000] {
        let there = bench.clock.now().as_millis() + leap * 1000;
        bench.clock.set(Timestamp::from_millis(there));
        assert_eq!(bench.claim(10, 10).len(), 0, "handed out twice after {leap} s");
        assert!(bench.spool.next_due() > Some(bench.clock.now()), "{leap} s");
        bench.spool.renew(&lease.token, Duration::from_secs(60)).unwrap();
    }
    bench.pass(59);
    assert_eq!(bench.claim(10, 10).len(), 0);
    bench.pass(1);
    let again = bench.claim(10, 10).remove(0);
    assert_eq!(again.token.id, lease.token.id);
    bench.settle(&again, &bench.delivered());
}

fn an_expired_lease_is_lost(bench: &Bench) {
    let id = bench.commit(&["a@one.example"]);
    let old = bench.claim(10, 10).remove(0);
    bench.pass(60);
    let new = bench.claim(10, 10).remove(0);
    let settlement = Settlement { token: old.token, dispositions: vec![(0, bench.delivered())] };
    let lost = bench.spool.settle(settlement.clone());
    assert!(matches!(lost, Err(SpoolError::LeaseLost(of)) if of == id));
    assert!(bench.spool.renew(&old.token, Duration::from_secs(60)).is_err());
    assert_eq!(bench.settle(&new, &bench.delivered()), 0);
    assert!(matches!(bench.spool.settle(settlement), Err(SpoolError::LeaseLost(_))));
}

fn deferral_keeps_the_story(bench: &Bench) {
    let id = bench.commit(&["a@one.example", "b@one.example"]);
    let lease = bench.claim(10, 10).remove(0);
    assert_eq!(bench.settle(&lease, &bench.deferred(300)), 2);
    assert_eq!(bench.spool.next_due(), Some(START.after(Duration::from_secs(300))));
    bench.pass(299);
    assert!(bench.claim(10, 10).is_empty());
    bench.pass(1);
    let again = bench.claim(10, 10).remove(0);
    assert_eq!(again.recipients[0].attempts, 1);
    let entry = bench.spool.get(id).unwrap();
    assert_eq!(entry.recipients[1].story, [attempt(START)]);
    assert_eq!(entry.recipients[1].attempts, 1);
}

fn a_long_story_is_bounded(bench: &Bench) {
    let id = bench.commit(&["a@one.example", "b@one.example", "c@two.example"]);
    let mut told = Vec::new();
    for n in 0..9_u64 {
        let tried = Attempt {
            relay: format!("mx{}.example.net[192.0.2.1]:25", n % 2),
            text: format!("no, {}", n / 3),
            cause: if n == 4 { String::new() } else { format!("{{\"n\":{n}}}") },
            ..attempt(bench.clock.now())
        };
        let due = bench.clock.now().after(Duration::from_secs(60));
        let deferred = Disposition::Deferred { due, attempt: tried.clone() };
        for lease in bench.claim(10, 10) {
            match lease.domain.to_string().as_str() {
                "one.example" => bench.settle(&lease, &deferred),
                _ => bench.settle(&lease, &Disposition::Returned(due)),
            };
        }
        told.push(tried);
        bench.pass(60);
    }
    told.drain(1..5);
    let entry = bench.spool.get(id).unwrap();
    for recipient in &entry.recipients[..2] {
        assert_eq!((recipient.attempts, &recipient.story), (9, &told));
        assert_eq!(recipient.last(), told.last());
    }
    assert_eq!((entry.recipients[2].attempts, entry.recipients[2].last()), (0, None));
    let leases = bench.claim(10, 10);
    let one = leases.iter().find(|lease| lease.recipients.len() == 2).unwrap();
    let dispositions = vec![(0, Disposition::Bounced(attempt(START))), (1, bench.deferred(1))];
    bench.spool.settle(Settlement { token: one.token, dispositions }).unwrap().1.wait().unwrap();
    let entry = bench.spool.get(id).unwrap();
    assert_eq!((entry.recipients[0].attempts, entry.recipients[1].attempts), (9, 10));
    assert_eq!(entry.recipients[0].last(), Some(&attempt(START)), "what ended it is told, too");
    assert_eq!(entry.recipients[0].story[..4], [&told[..1], &told[2..]].concat());
}

fn unnamed_recipients_return(bench: &Bench) {
    bench.commit(&["a@one.example", "b@one.example", "c@one.example"]);
    let lease = bench.claim(10, 10).remove(0);
    let later = bench.clock.now().after(Duration::from_secs(30));
    let dispositions = vec![
        (1, bench.delivered()),
        (2, Disposition::Returned(later)),
        (77, Disposition::Discarded("nobody has this place".into())),
    ];
    let (settled, ticket) =
        bench.spool.settle(Settlement { token: lease.token, dispositions }).unwrap();
    ticket.wait().unwrap();
    assert_eq!(settled.remaining, 2);
    let again = bench.claim(10, 10);
    assert_eq!(addresses(&again[0]), ["a@one.example"]);
    assert_eq!(again[0].recipients[0].attempts, 0);
    bench.pass(30);
    assert_eq!(addresses(&bench.claim(10, 10)[0]), ["c@one.example"]);
}

fn gone_with_the_last_recipient(bench: &Bench) {
    let id = bench.commit(&["a@one.example", "b@two.example", "c@three.example"]);
    let leases = bench.claim(10, 10);
    assert_eq!(bench.settle(&leases[0], &bench.delivered()), 2);
    assert_eq!(bench.settle(&leases[1], &Disposition::Discarded("a rule".into())), 1);
    assert_eq!(bench.settle(&leases[2], &Disposition::Bounced(attempt(START))), 0);
    assert!(matches!(bench.spool.get(id), Err(SpoolError::NotFound(_))));
    assert!(matches!(bench.spool.content(id), Err(SpoolError::NotFound(_))));
    assert!(bench.spool.content_at_once(id).is_none());
    assert_eq!(bench.spool.next_due(), None);
    let health = bench.spool.health();
    assert_eq!((health.messages, health.recipients, health.octets), (0, 0, 0));
}

fn new_and_old_take_turns(bench: &Bench) {
    for _ in 0..6 {
        bench.commit(&["old@one.example"]);
    }
    for lease in bench.claim(100, 100) {
        bench.settle(&lease, &bench.deferred(10));
    }
    bench.pass(60);
    for _ in 0..3 {
        bench.commit(&["new@one.example"]);
    }
    let six: Vec<String> = bench.claim(6, 100).iter().flat_map(addresses).collect();
    assert_eq!(six.iter().filter(|a| a.starts_with("new")).count(), 3);
}

fn held_mail_waits(bench: &Bench) {
    let id = bench.commit(&["a@one.example", "b@two.example"]);
    let other = bench.commit(&["c@one.example"]);
    let lease = bench.claim(1, 10).remove(0);
    bench.spool.edit(id, Edit::Hold).unwrap().wait().unwrap();
    bench.settle(&lease, &bench.deferred(1));
    bench.pass(5);
    let rest = bench.claim(10, 10);
    assert!(rest.iter().all(|lease| lease.token.id == other), "nothing of what is held");
    for lease in rest {
        bench.settle(&lease, &bench.delivered());
    }
    assert_eq!(bench.spool.next_due(), None);
    assert!(bench.spool.get(id).unwrap().held);
    bench.spool.edit(id, Edit::Release).unwrap().wait().unwrap();
    assert_eq!(bench.claim(10, 10).len(), 2);
}

fn retry_makes_due(bench: &Bench) {
    let id = bench.commit(&["a@one.example", "b@two.example"]);
    for lease in bench.claim(10, 10) {
        bench.settle(&lease, &bench.deferred(3600));
    }
    assert!(bench.claim(10, 10).is_empty());
    bench.spool.edit(id, Edit::Retry).unwrap().wait().unwrap();
    assert_eq!(bench.claim(10, 10).len(), 2);
    assert_eq!(bench.spool.get(id).unwrap().recipients[0].attempts, 1);
}

fn removal_takes_the_lease(bench: &Bench) {
    let id = bench.commit(&["a@one.example"]);
    let lease = bench.claim(10, 1).remove(0);
    bench.spool.edit(id, Edit::Remove).unwrap().wait().unwrap();
    let settlement = Settlement { token: lease.token, dispositions: vec![(0, bench.delivered())] };
    assert!(matches!(bench.spool.settle(settlement), Err(SpoolError::LeaseLost(_))));
    assert!(matches!(bench.spool.edit(id, Edit::Hold), Err(SpoolError::NotFound(_))));
    bench.commit(&["b@one.example"]);
    assert_eq!(bench.claim(10, 1).len(), 1, "its place in the domain is free again");
}

fn the_delay_notice_is_remembered(bench: &Bench) {
    let id = bench.commit(&["a@one.example"]);
    bench.spool.edit(id, Edit::DelayNotified).unwrap().wait().unwrap();
    assert!(bench.spool.get(id).unwrap().delay_notified);
    assert!(bench.claim(1, 1)[0].delay_notified);
}

fn listing_pages(bench: &Bench) {
    let ids: Vec<MessageId> = (0..7).map(|_| bench.commit(&["a@one.example"])).collect();
    let mut seen = Vec::new();
    let mut after = None;
    loop {
        let page = bench.spool.list(&ListRequest { after, limit: 3 }).unwrap();
        assert!(page.len() <= 3);
        let Some(last) = page.last() else { break };
        after = Some(last.id);
        seen.extend(page.iter().map(|entry| entry.id));
    }
    assert_eq!(seen, ids);
}

fn unknown_is_not_found(bench: &Bench) {
    let id = bench.spool.new_id();
    assert!(matches!(bench.spool.get(id), Err(SpoolError::NotFound(of)) if of == id));
    assert!(matches!(bench.spool.content(id), Err(SpoolError::NotFound(_))));
    assert!(matches!(bench.spool.edit(id, Edit::Remove), Err(SpoolError::NotFound(_))));
    assert_eq!(bench.spool.next_due(), None);
}

fn health_counts(bench: &Bench) {
    bench.commit(&["a@one.example", "b@two.example"]);
    bench.commit(&["a@one.example"]);
    let lease = bench.claim(1, 10).remove(0);
    bench.settle(&lease, &bench.delivered());
    let health = bench.spool.health();
    assert!(health.recipients == 2 && health.messages <= 2);
    assert_eq!(health.octets, health.messages * 26);
    assert_eq!(health.refusing, None);
    assert_eq!(health.damaged, Vec::<String>::new());
}

fn closed_takes_no_mail(bench: &Bench) {
    bench.commit(&["a@one.example"]);
    bench.spool.close();
    let id = bench.spool.new_id();
    let late = message(id, &["a@one.example"], b"", bench.clock.now());
    assert!(bench.spool.commit(late).wait().is_err());
    assert!(bench.spool.health().refusing.is_some());
    bench.spool.close();
}
