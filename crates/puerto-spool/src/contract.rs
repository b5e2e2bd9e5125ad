//! What every backend must do, as functions over a way to make an empty store.
//!
//! [`run`] runs them all. A check panics with the behaviour that it found broken.
//! Test code, public so that backends in other crates can be held to it.
//!
//! A store whose clock is elsewhere says so by its [`Time`]: how its tests let time pass
//! for it, and how far apart two looks at that clock may be.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod batches;
mod desk;
mod leases;
mod model;

use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

use puerto_smtp::{Address, EnhancedCode, Envelope, Notify, Recipient, Return, ReversePath, Verp};

use crate::clock::ManualClock;
use crate::{
    Attempt, Backend, ClaimRequest, Claimed, Content, Disposition, Edit, Entry, Health, Lease,
    MessageId, NewMessage, Origin, PageRequest, RecipientState, Settled, Settlement, SpoolError,
    Timestamp,
};

/// When the checks begin.
pub const START: Timestamp = Timestamp::from_millis(1_795_500_000_000);

/// What passes for a store under test: its clock, as the test moves it.
pub trait Time {
    /// The present time of day.
    fn now(&self) -> Timestamp;
    /// Lets time pass.
    fn pass(&self, span: Duration);
    /// Sets the time of day without any time having passed. `false`: this clock cannot be
    /// set, and what is said of a leap is not checked.
    fn leap(&self, to: Timestamp) -> bool;
    /// How much the clock goes on by itself in the course of a check.
    fn slack(&self) -> Duration {
        Duration::ZERO
    }
}

impl Time for ManualClock {
    fn now(&self) -> Timestamp {
        crate::clock::Clock::now(self)
    }

    fn pass(&self, span: Duration) {
        self.advance(span);
    }

    fn leap(&self, to: Timestamp) -> bool {
        self.set(to);
        true
    }
}

/// An empty store, and its time.
pub struct Subject {
    /// The store.
    pub store: Arc<dyn Backend>,
    /// Its time.
    pub time: Arc<dyn Time>,
}

/// Makes an empty store; called once for each check.
pub type Factory<'a> = &'a dyn Fn() -> Subject;

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
    ("a deferred recipient is due later and keeps its story", deferral_keeps_the_story),
    ("of many attempts the first and the last four are told", a_long_story_is_bounded),
    ("what a settlement does not name is due now", unnamed_recipients_return),
    ("a message is gone with its last recipient", gone_with_the_last_recipient),
    ("new and old mail of a domain take turns", new_and_old_take_turns),
    ("held mail waits until it is released", held_mail_waits),
    ("retry makes everything that waits due now", retry_makes_due),
    ("a closed store takes no mail", closed_takes_no_mail),
    ("the index agrees with a simple model", model::agrees),
];

/// Runs every check on a fresh store each.
pub fn run(factory: Factory<'_>) {
    let more = [leases::CHECKS, batches::CHECKS, desk::CHECKS].into_iter().flatten();
    for (name, check) in CHECKS.iter().chain(more) {
        let Subject { store, time } = factory();
        let bench = Bench { store, start: time.now(), time };
        eprintln!("contract: {name}");
        check(&bench);
        bench.store.close();
    }
}

/// A store and its time, with shorthand for what the checks do.
pub struct Bench {
    /// The store.
    pub store: Arc<dyn Backend>,
    /// Its time.
    pub time: Arc<dyn Time>,
    /// When the check began.
    pub start: Timestamp,
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
        held_for: None,
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

const MINUTE: Duration = Duration::from_secs(60);

impl Bench {
    /// The present time.
    pub fn now(&self) -> Timestamp {
        self.time.now()
    }

    /// Commits a message to these addresses and waits until it is durable.
    pub fn commit(&self, to: &[&str]) -> MessageId {
        self.commit_from(Origin::LocalUser(1000), to)
    }

    /// Commits a message that came from there.
    pub fn commit_from(&self, origin: Origin, to: &[&str]) -> MessageId {
        let id = self.store.new_id();
        let message = NewMessage { origin, ..message(id, to, b"hello\r\n", self.now()) };
        self.store.commit(message).wait().unwrap();
        id
    }

    /// Claims with leases of one minute.
    pub fn claim(&self, limit: usize, per_domain: usize) -> Vec<Lease> {
        self.claimed(limit, per_domain).leases
    }

    fn claimed(&self, limit: usize, per_domain: usize) -> Claimed {
        self.store
            .claim(&ClaimRequest { hold: MINUTE, limit, per_domain, resting: Vec::new() })
            .wait()
            .unwrap()
    }

    /// When more is due.
    pub fn next_due(&self) -> Option<Timestamp> {
        self.claimed(0, 0).next_due
    }

    /// Settles one lease and waits until that is durable; says what is left.
    pub fn settle_as(&self, settlement: Settlement) -> Result<u32, SpoolError> {
        let Settled { remaining, durable } =
            self.store.settle(vec![settlement]).wait().pop().unwrap()?;
        durable.wait().unwrap();
        Ok(remaining)
    }

    /// Settles every recipient of a lease alike and waits until it is durable.
    pub fn settle(&self, lease: &Lease, disposition: &Disposition) -> u32 {
        self.settle_as(alike(lease, disposition)).unwrap()
    }

    /// Renews a lease for a minute; says whether it still holds.
    pub fn renew(&self, lease: &Lease) -> bool {
        self.store.renew(&[lease.token], MINUTE).wait().unwrap().lost.is_empty()
    }

    /// Changes one message.
    pub fn edit(&self, id: MessageId, edit: Edit) -> Result<(), SpoolError> {
        self.store.edit(&[id], edit).wait().pop().unwrap()
    }

    /// One message as it stands.
    pub fn get(&self, id: MessageId) -> Result<Entry, SpoolError> {
        self.store.get(id).wait()
    }

    /// How the store fares.
    pub fn health(&self) -> Health {
        self.store.health().wait().unwrap()
    }

    fn delivered(&self) -> Disposition {
        Disposition::Delivered(attempt(self.now()))
    }

    fn deferred(&self, seconds: u64) -> Disposition {
        let now = self.now();
        Disposition::Deferred {
            due: now.after(Duration::from_secs(seconds)),
            attempt: attempt(now),
        }
    }

    fn pass(&self, seconds: u64) {
        self.time.pass(Duration::from_secs(seconds));
    }

    /// Whether a time is the one expected, as far as the clock allows to tell.
    fn is_about(&self, time: Option<Timestamp>, expected: Timestamp) -> bool {
        let apart = |time: Timestamp| time.since(expected).max(expected.since(time));
        time.is_some_and(|time| apart(time) <= self.time.slack())
    }

    fn read(&self, id: MessageId) -> Vec<u8> {
        let mut content = self.store.content(id).wait().unwrap();
        let mut octets = Vec::new();
        content.read_to_end(&mut octets).unwrap();
        assert_eq!(content.len(), octets.len() as u64);
        if let Some(content) = self.store.content_at_once(id) {
            assert_eq!(content.in_memory(), Some(&*octets), "what is in memory is all of it");
        }
        octets
    }
}

/// Every recipient of a lease met the same fate.
pub fn alike(lease: &Lease, disposition: &Disposition) -> Settlement {
    let each = lease.recipients.iter().map(|r| (r.index, disposition.clone()));
    Settlement { token: lease.token, dispositions: each.collect() }
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
        (
            ReversePath::Address(Address::parse("ana@example.org").unwrap()),
            Origin::Account { name: "añá".into(), client: "phone.example[2001:db8::7]".into() },
            None,
        ),
    ] {
        let at = bench.now();
        let mut new = message(bench.store.new_id(), &[], b"body\r\n", at);
        new.envelope = Envelope {
            reverse_path,
            recipients: recipients.clone(),
            envelope_id: Some("an id+with=odd\tcharacters".into()),
            ret,
            verp: Verp::parse("-="),
            eight_bit: true,
            smtputf8: true,
            tls: puerto_smtp::TlsWish::Required,
            bulk: true,
        };
        new.origin = origin;
        let (id, envelope, origin) = (new.id, new.envelope.clone(), new.origin.clone());
        bench.store.commit(new).wait().unwrap();
        let entry = bench.get(id).unwrap();
        assert_eq!(entry.origin, origin);
        assert_eq!(entry.size, 25);
        assert_eq!(entry.received_at, at);
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
        verp: entry.verp,
        eight_bit: entry.eight_bit,
        smtputf8: entry.smtputf8,
        tls: entry.tls,
        bulk: entry.bulk,
    }
}

fn a_draft_of_any_size_becomes_content(bench: &Bench) {
    for size in [0_usize, 1, 4096, 100_000, 3_000_000] {
        let octets: Vec<u8> = (0..size).map(|n| (n % 251) as u8).collect();
        let mut draft = bench.store.draft().unwrap();
        for piece in octets.chunks(70_000) {
            draft.write(piece).unwrap();
        }
        assert_eq!(draft.len(), size as u64);
        let content = draft.finish().unwrap();
        assert_eq!(content.len(), size as u64);
        let mut read = Vec::new();
        content.reader().unwrap().read_to_end(&mut read).unwrap();
        assert!(read == octets, "a draft of {size} octets reads back as it was written");
        let mut new = message(bench.store.new_id(), &["a@b.example"], b"", bench.now());
        new.content = content;
        let id = new.id;
        bench.store.commit(new).wait().unwrap();
        let stored = bench.read(id);
        assert!(stored[19..] == octets, "content of {size} octets comes back");
        for lease in bench.claim(10, 10) {
            bench.settle(&lease, &bench.delivered());
        }
    }
    drop(bench.store.draft().unwrap());
}

fn ids_are_never_given_twice(bench: &Bench) {
    let mut last = bench.store.new_id();
    for step in 0..300 {
        if step == 100 {
            bench.time.leap(Timestamp::from_millis(0));
        }
        let next = bench.store.new_id();
        assert!(next > last);
        last = next;
    }
}

fn an_id_is_committed_once(bench: &Bench) {
    let id = bench.commit(&["a@b.example"]);
    let again = message(id, &["c@d.example"], b"", bench.now());
    assert!(bench.store.commit(again).wait().is_err());
    assert_eq!(bench.get(id).unwrap().recipients.len(), 1);
}

fn no_recipients_are_refused(bench: &Bench) {
    let id = bench.store.new_id();
    assert!(bench.store.commit(message(id, &[], b"", bench.now())).wait().is_err());
    assert_eq!(bench.health().messages, 0);
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
    assert!(bench.is_about(Some(leases[0].until), bench.now().after(MINUTE)));
}

fn leased_is_not_handed_out_again(bench: &Bench) {
    bench.commit(&["a@one.example"]);
    assert!(bench.is_about(bench.next_due(), bench.start));
    assert_eq!(bench.claim(10, 10).len(), 1);
    assert_eq!(bench.claim(10, 10).len(), 0);
    let first = PageRequest { limit: 9, ..PageRequest::default() };
    let entry = &bench.store.page(&first).wait().unwrap().entries[0];
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

fn deferral_keeps_the_story(bench: &Bench) {
    let id = bench.commit(&["a@one.example", "b@one.example"]);
    let lease = bench.claim(10, 10).remove(0);
    assert_eq!(bench.settle(&lease, &bench.deferred(300)), 2);
    assert!(bench.is_about(bench.next_due(), bench.start.after(Duration::from_secs(300))));
    bench.pass(299);
    assert!(bench.claim(10, 10).is_empty());
    bench.pass(1);
    let again = bench.claim(10, 10).remove(0);
    assert_eq!(again.recipients[0].attempts, 1);
    let entry = bench.get(id).unwrap();
    let story = &entry.recipients[1].story;
    assert_eq!(*story, [attempt(story[0].at)]);
    assert!(bench.is_about(Some(story[0].at), bench.start));
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
            ..attempt(bench.now())
        };
        let due = bench.now().after(Duration::from_secs(60));
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
    let entry = bench.get(id).unwrap();
    for recipient in &entry.recipients[..2] {
        assert_eq!((recipient.attempts, &recipient.story), (9, &told));
        assert_eq!(recipient.last(), told.last());
    }
    assert_eq!((entry.recipients[2].attempts, entry.recipients[2].last()), (0, None));
    let leases = bench.claim(10, 10);
    let one = leases.iter().find(|lease| lease.recipients.len() == 2).unwrap();
    let dispositions = vec![(0, Disposition::Bounced(attempt(START))), (1, bench.deferred(1))];
    bench.settle_as(Settlement { token: one.token, dispositions }).unwrap();
    let entry = bench.get(id).unwrap();
    assert_eq!((entry.recipients[0].attempts, entry.recipients[1].attempts), (9, 10));
    assert_eq!(entry.recipients[0].last(), Some(&attempt(START)), "what ended it is told, too");
    assert_eq!(entry.recipients[0].story[..4], [&told[..1], &told[2..]].concat());
}

fn unnamed_recipients_return(bench: &Bench) {
    bench.commit(&["a@one.example", "b@one.example", "c@one.example"]);
    let lease = bench.claim(10, 10).remove(0);
    let later = bench.now().after(Duration::from_secs(30));
    let dispositions = vec![
        (1, bench.delivered()),
        (2, Disposition::Returned(later)),
        (77, Disposition::Discarded("nobody has this place".into())),
    ];
    assert_eq!(bench.settle_as(Settlement { token: lease.token, dispositions }), Ok(2));
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
    assert!(matches!(bench.get(id), Err(SpoolError::NotFound(_))));
    assert!(matches!(bench.store.content(id).wait(), Err(SpoolError::NotFound(_))));
    assert!(bench.store.content_at_once(id).is_none());
    assert_eq!(bench.next_due(), None);
    let health = bench.health();
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
    bench.edit(id, Edit::Hold).unwrap();
    bench.settle(&lease, &bench.deferred(1));
    bench.pass(5);
    let rest = bench.claim(10, 10);
    assert!(rest.iter().all(|lease| lease.token.id == other), "nothing of what is held");
    for lease in rest {
        bench.settle(&lease, &bench.delivered());
    }
    assert_eq!(bench.next_due(), None);
    assert!(bench.get(id).unwrap().held);
    bench.edit(id, Edit::Release).unwrap();
    assert_eq!(bench.claim(10, 10).len(), 2);
}

fn retry_makes_due(bench: &Bench) {
    let id = bench.commit(&["a@one.example", "b@two.example"]);
    for lease in bench.claim(10, 10) {
        bench.settle(&lease, &bench.deferred(3600));
    }
    assert!(bench.claim(10, 10).is_empty());
    bench.edit(id, Edit::Retry).unwrap();
    assert_eq!(bench.claim(10, 10).len(), 2);
    assert_eq!(bench.get(id).unwrap().recipients[0].attempts, 1);
}

fn closed_takes_no_mail(bench: &Bench) {
    bench.commit(&["a@one.example"]);
    bench.store.close();
    let id = bench.store.new_id();
    let late = message(id, &["a@one.example"], b"", bench.now());
    assert!(bench.store.commit(late).wait().is_err());
    assert!(bench.health().refusing.is_some());
    bench.store.close();
}
