//! What this node has in hand: parts of messages that the database says are its own, from
//! which claims are answered at once.
//!
//! A part comes into the hand when its message is accepted here, or by a claim from the
//! database; it leaves it when a settlement gives it back. The index keeps whose turn it
//! is, what is leased and until when.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use puerto_smtp::Domain;

use crate::clock::Clock;
use crate::codec::Malformed;
use crate::entry::{Lease, LeaseToken, Settlement};
use crate::faces::Renewed;
use crate::id::{MessageId, Timestamp};
use crate::index::{Index, Moment, Part, PartState};
use crate::ticket::Completer;
use crate::{ClaimRequest, Edit, SpoolError};

/// How much fresh mail a node keeps for itself; what comes beyond is anybody's.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Parts of messages.
    pub parts: usize,
    /// Octets of content.
    pub octets: usize,
    /// Recipients of one domain.
    pub of_one_domain: u64,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { parts: 10_000, octets: 64 * 1024 * 1024, of_one_domain: 2_000 }
    }
}

/// Which part of a message, by the place of its first recipient.
pub(super) type PartOf = (MessageId, u32);

/// What the index keeps beside a part.
#[derive(Debug, Clone, Copy)]
pub(super) struct Held {
    pub(super) of: PartOf,
    /// The fence that the database has.
    pub(super) fence: i64,
    /// Parts of the message, and recipients of all of them.
    pub(super) parts: u32,
    pub(super) recipients: u32,
    /// When it came into the hand.
    pub(super) since: Duration,
}

/// Content that is kept for its first delivery.
struct Body {
    octets: Arc<Vec<u8>>,
    parts: usize,
}

/// What a settlement makes of a part, for the database.
#[derive(Debug)]
pub(super) struct PartSettled {
    pub(super) held: Held,
    pub(super) epoch: i64,
    pub(super) state: PartState,
}

/// All of it, behind one lock.
pub(super) struct Hand {
    index: Index<Held>,
    keys: BTreeMap<PartOf, MessageId>,
    last_key: u64,
    bodies: HashMap<MessageId, Body>,
    octets: usize,
    /// Messages on their way into the database that will be in hand.
    pub(super) arriving: HashSet<MessageId>,
    /// Parts that have left the hand, and of which the database does not know that yet.
    pub(super) leaving: HashMap<PartOf, u32>,
    pub(super) owner: i16,
    pub(super) epoch: i64,
    /// When the next is due of what is nobody's, as last heard.
    pub(super) others_due: Option<Timestamp>,
    /// Whether that is no longer known.
    pub(super) is_stale: bool,
    /// Whether more may be had from the database than when it was last asked.
    pub(super) may_be_more: bool,
    /// Recipients of one domain that were asked for last, and domains that were not.
    per_domain: usize,
    resting: Vec<Domain>,
    waiting: Vec<Completer<()>>,
    has_changed: bool,
    pub(super) is_closed: bool,
    /// As [`crate::Work::edits`] says.
    pub(super) edits: u64,
}

impl Hand {
    pub(super) fn new(owner: i16, epoch: i64) -> Self {
        Self {
            index: Index::default(),
            keys: BTreeMap::new(),
            last_key: 0,
            bodies: HashMap::new(),
            octets: 0,
            arriving: HashSet::new(),
            leaving: HashMap::new(),
            owner,
            epoch,
            others_due: None,
            is_stale: true,
            may_be_more: true,
            per_domain: 0,
            resting: Vec::new(),
            waiting: Vec::new(),
            has_changed: false,
            is_closed: false,
            edits: 0,
        }
    }

    /// Whether there is room for a fresh message.
    pub(super) fn has_room(&self, parts: &[Part], bounds: &Bounds) -> bool {
        let fits = |part: &Part| {
            self.index.depth_of(&part.domain) + u64::from(part.count) <= bounds.of_one_domain
        };
        self.keys.len() + self.arriving.len() + parts.len() <= bounds.parts
            && parts.iter().all(fits)
    }

    /// Takes up a part, unless it cannot be read.
    pub(super) fn take_up(
        &mut self,
        held: Held,
        (common, part, size): (&[u8], &Part, u64),
        due: Timestamp,
        states: Option<&[u8]>,
    ) -> Result<(), Malformed> {
        self.drop_part(held.of);
        self.last_key += 1;
        let key = MessageId::from_u64(self.last_key);
        let taken = self.index.insert_part(key, (common, part), (size, held), (due, states));
        if taken.is_err() {
            self.index.remove(key);
            return taken;
        }
        self.keys.insert(held.of, key);
        self.index.number_above(u64::try_from(held.fence).unwrap_or(0));
        Ok(())
    }

    /// Keeps the content of a message in hand, if there is room.
    pub(super) fn keep(&mut self, id: MessageId, octets: Arc<Vec<u8>>, bounds: &Bounds) {
        let parts = self.parts_of(id).count();
        if parts > 0 && self.octets + octets.len() <= bounds.octets {
            self.octets += octets.len();
            self.bodies.insert(id, Body { octets, parts });
        }
    }

    /// The content of a message, if it is kept.
    pub(super) fn body(&self, id: MessageId) -> Option<Arc<Vec<u8>>> {
        self.bodies.get(&id).map(|body| Arc::clone(&body.octets))
    }

    fn parts_of(&self, id: MessageId) -> impl Iterator<Item = MessageId> {
        self.keys.range((id, 0)..=(id, u32::MAX)).map(|(_, key)| *key)
    }

    /// Whether a part is in hand, or on its way.
    pub(super) fn knows(&self, part: PartOf) -> bool {
        self.keys.contains_key(&part)
            || self.arriving.contains(&part.0)
            || self.leaving.contains_key(&part)
    }

    /// Notes that the delay of what is in hand was told of, or was not.
    pub(super) fn note_delay(&mut self, id: MessageId, told: bool, now: Timestamp) {
        for key in self.parts_of(id).collect::<Vec<_>>() {
            // It is there.
            let _ = self.index.note_delay(key, told, now);
        }
    }

    /// Whoever had the part of a message is not who has it now.
    pub(super) fn drop_part(&mut self, part: PartOf) {
        if let Some(key) = self.keys.remove(&part) {
            self.index.remove(key);
            self.forget_body(part.0);
        }
    }

    fn forget_body(&mut self, id: MessageId) {
        let Some(body) = self.bodies.get_mut(&id) else { return };
        body.parts = body.parts.saturating_sub(1);
        if body.parts == 0 {
            self.octets = self.octets.saturating_sub(body.octets.len());
            self.bodies.remove(&id);
        }
    }

    /// Everything is somebody else's now.
    pub(super) fn drop_all(&mut self) {
        for part in self.keys.keys().copied().collect::<Vec<_>>() {
            self.drop_part(part);
        }
        self.is_stale = true;
        self.may_be_more = true;
    }

    /// Others have taken everything; what comes from here on is had by this epoch.
    pub(super) fn begin_anew(&mut self, owner: i16, epoch: i64) {
        self.drop_all();
        self.owner = owner;
        self.epoch = epoch;
    }

    /// Hands out what is in hand and due.
    pub(super) fn claim(&mut self, request: &ClaimRequest, clock: &dyn Clock) -> Vec<Lease> {
        if request.limit > 0 {
            let rests = |domain: &Domain| request.resting.contains(domain);
            self.may_be_more |=
                request.per_domain > self.per_domain || !self.resting.iter().all(rests);
            self.resting.clone_from(&request.resting);
            self.per_domain = request.per_domain;
        }
        // So that fences grow over nodes, too: whoever comes later has a later time.
        let now = u64::try_from(clock.now().as_millis()).unwrap_or(0);
        self.index.number_above(now << FENCE_BITS);
        let leases = self.index.claim(request, Moment::of(clock)).leases;
        leases.into_iter().filter_map(|lease| self.named(lease)).collect()
    }

    // As others know it.
    fn named(&self, mut lease: Lease) -> Option<Lease> {
        let (_, _, held) = self.index.stored(lease.token.id)?;
        lease.token.id = held.of.0;
        lease.token.owner = self.owner.unsigned_abs();
        lease.recipients_in_all = held.recipients;
        Some(lease)
    }

    /// The number that the next lease will exceed.
    pub(super) fn fence(&self, clock: &dyn Clock) -> i64 {
        clock.now().as_millis() << FENCE_BITS
    }

    /// When the next is due of all that this node knows.
    pub(super) fn next_due(&mut self, clock: &dyn Clock) -> Option<Timestamp> {
        let request =
            ClaimRequest { hold: Duration::ZERO, limit: 0, per_domain: 0, resting: Vec::new() };
        let own = self.index.claim(&request, Moment::of(clock)).next_due;
        own.into_iter().chain(self.others_due).min()
    }

    // The token as the index knows it.
    fn inner(&self, token: &LeaseToken) -> Option<LeaseToken> {
        let of_lease = |key: &MessageId| self.index.has_lease(*key, token.fence);
        let key = self.parts_of(token.id).find(of_lease)?;
        (token.owner == self.owner.unsigned_abs()).then_some(LeaseToken {
            id: key,
            owner: 0,
            fence: token.fence,
        })
    }

    /// Lets leases hold on.
    pub(super) fn renew(
        &mut self,
        tokens: &[LeaseToken],
        hold: Duration,
        clock: &dyn Clock,
    ) -> Renewed {
        let at = Moment::of(clock);
        let mut renewed = Renewed::default();
        for token in tokens {
            let Some(inner) = self.inner(token) else {
                renewed.lost.push(*token);
                continue;
            };
            let of_one = self.index.renew(&[inner], hold, at);
            renewed.lost.extend(of_one.lost.iter().map(|_| *token));
            renewed.held.extend(of_one.held.iter().map(|_| *token));
        }
        renewed
    }

    /// Settles a lease of what is in hand. What leaves the hand by it is on its way until
    /// [`Hand::has_left`].
    pub(super) fn settle(
        &mut self,
        mut settlement: Settlement,
        now: Timestamp,
    ) -> Result<PartSettled, SpoolError> {
        let token = settlement.token;
        let lost = || SpoolError::LeaseLost(token.id);
        settlement.token = self.inner(&token).ok_or_else(lost)?;
        let key = settlement.token.id;
        let held = *self.index.stored(key).ok_or_else(lost)?.2;
        let is_full = self.index.depth_around(key) >= self.per_domain as u64;
        let state = self.index.settle_part(settlement, now).map_err(|_| lost())?;
        if state.has_left {
            self.keys.remove(&held.of);
            self.forget_body(token.id);
        }
        *self.leaving.entry(held.of).or_default() += 1;
        // There is room for others of its domain, if they were kept out. Where nothing is
        // delivered, they wait for the next look: else a million messages for a domain that
        // is dead would be had and given back as fast as the database can.
        self.may_be_more |= is_full && state.open < state.open_before;
        Ok(PartSettled { held, epoch: self.epoch, state })
    }

    /// The database knows of a settlement, or will not hear of it.
    pub(super) fn has_left(&mut self, part: PartOf) {
        if let Some(count) = self.leaving.get_mut(&part) {
            *count -= 1;
            if *count == 0 {
                self.leaving.remove(&part);
            }
        }
    }

    /// Changes what is in hand as an administrator asks.
    pub(super) fn edit(&mut self, id: MessageId, edit: Edit, now: Timestamp) {
        for key in self.parts_of(id).collect::<Vec<_>>() {
            self.edits += u64::from(matches!(edit, Edit::Hold | Edit::Remove));
            match edit {
                Edit::Remove => {
                    if let Some((_, _, held)) = self.index.stored(key) {
                        self.drop_part(held.of);
                    }
                }
                // It is there; a held one is not retried.
                Edit::Hold | Edit::Release | Edit::Retry => {
                    let _ = self.index.edit(key, edit, now);
                }
            }
        }
    }

    /// Makes due what waits in hand; says of which messages.
    pub(super) fn retry_all(&mut self, now: Timestamp) -> HashSet<MessageId> {
        let mut retried = HashSet::new();
        let mut after = None;
        loop {
            let (some, next) = self.index.retry_some(after, usize::MAX, now);
            let held = some.iter().filter_map(|(key, _)| self.index.stored(*key));
            retried.extend(held.map(|(_, _, held)| held.of.0));
            if next.is_none() {
                return retried;
            }
            after = next;
        }
    }

    /// No recipient of a part waits for longer than until `bound`.
    pub(super) fn make_due(&mut self, part: PartOf, bound: Timestamp) {
        if let Some(key) = self.keys.get(&part) {
            self.index.make_due(*key, bound);
        }
    }

    /// How the recipients of a part in hand stand, by their places.
    pub(super) fn states(&self, part: PartOf) -> Vec<(u32, crate::RecipientState)> {
        let key = self.keys.get(&part);
        key.map(|key| self.index.states_of(*key)).unwrap_or_default()
    }

    /// Takes out of the hand what was not leased for so long, to give it back.
    pub(super) fn take_idle(&mut self, before: Duration, limit: usize) -> Vec<(PartOf, i64)> {
        let idle = self.index.unleased().filter(|(_, held)| held.since < before);
        let idle: Vec<_> = idle.map(|(_, held)| (held.of, held.fence)).take(limit).collect();
        for (of, _) in &idle {
            self.drop_part(*of);
            *self.leaving.entry(*of).or_default() += 1;
        }
        idle
    }

    /// They are given back.
    pub(super) fn have_left(&mut self, parts: &[(PartOf, i64)]) {
        for (of, _) in parts {
            self.has_left(*of);
        }
        self.is_stale |= !parts.is_empty();
    }

    /// Domains of which so many recipients are in hand.
    pub(super) fn domains_with(&self, recipients: usize) -> Vec<String> {
        self.index.domains_with(u64::try_from(recipients).unwrap_or(u64::MAX).max(1))
    }

    /// How many parts are due, and neither held nor leased.
    #[cfg(test)]
    pub(super) fn due(&self, now: Timestamp) -> usize {
        self.index.due_at(now)
    }

    /// How many leases are handed out.
    pub(super) fn leases(&self) -> u64 {
        self.index.leases()
    }

    /// Something of what is nobody's is due then.
    pub(super) fn hear_of(&mut self, due: Timestamp) {
        if self.others_due.is_none_or(|before| due < before) {
            self.others_due = Some(due);
            self.may_be_more = true;
        }
    }

    /// Work may have come that this process did not store.
    #[must_use = "whoever waits is to be woken without the lock"]
    pub(super) fn change(&mut self) -> Vec<Completer<()>> {
        self.may_be_more = true;
        self.is_stale = true;
        self.has_changed = self.waiting.is_empty();
        std::mem::take(&mut self.waiting)
    }

    /// Completes with the next change, or at once if there was one that nobody saw.
    pub(super) fn wait(&mut self, waiting: Completer<()>) {
        if std::mem::take(&mut self.has_changed) {
            waiting.complete(());
        } else {
            self.waiting.push(waiting);
        }
    }
}

/// Leases of one millisecond are told apart by so many bits.
pub(super) const FENCE_BITS: u32 = 16;
