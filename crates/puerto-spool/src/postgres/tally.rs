//! Counts of what is queued. All of it is read in one go, the work alone: of a message there
//! is a row for each domain, and when it came is in its id. So are conditions decided that ask
//! for no more; for those on addresses and accounts the messages come with it, as in a list.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use puerto_smtp::Domain;
use tokio_postgres::{Error, Row};

use super::accept::signed;
use super::claims::unsigned;
use super::connect::Session;
use super::core::{Core, Promise};
use super::desk::{LIST, Listed, Wanted, span};
use super::lock;
use crate::SpoolError;
use crate::clock::Clock as _;
use crate::codec::Take;
use crate::entry::RecipientState;
use crate::faces::Answer;
use crate::filter::{Classify, LastAttempt, Selector};
use crate::id::{MessageId, Timestamp};
use crate::index::read_states;
use crate::tally::{Counted, Group, Tally, TallyRequest};

const MESSAGES: &str = "\
SELECT count(*), count(*) FILTER (WHERE held), coalesce(sum(size), 0)::bigint FROM message";

const WORK: &str = "\
SELECT id, place, domain, due, ceiling, open, held, owner, epoch, state FROM work
WHERE open > 0 AND damaged IS NULL";

const MEANT: &str = "\
SELECT id, place, domain, due, ceiling, work.open, work.held, owner, epoch, state, size
FROM work JOIN message USING (id)
WHERE work.open > 0 AND work.damaged IS NULL
  AND ($1::boolean IS NULL OR work.held = $1)
  AND ($2::bigint IS NULL OR size > $2)
  AND ($3::bigint[] IS NULL OR id = ANY ($3))";

const LIVING: &str = "\
SELECT number, epoch, lease_until FROM node
WHERE alive AND lease_until > (extract(epoch FROM clock_timestamp()) * 1000)::bigint";

/// To read all, it is better to read all.
const SETUP: &str = "SET enable_seqscan = on";

/// Rows that are brought at once.
const ROWS: i32 = 10_000;

impl Core {
    /// Counts what is queued.
    pub(super) fn tally(self: &Arc<Self>, request: TallyRequest) -> Answer<Tally> {
        let core = Arc::clone(self);
        let selector = request.filter.compiled();
        let (promise, answer) = Promise::new();
        // A million rows would be in the way of all else that this store's thread does.
        let work = move || {
            let counted = super::runtime().and_then(|runtime| {
                runtime.block_on(async {
                    match selector.looks_at_work_alone() {
                        true => core.tally_all(&request, &selector).await,
                        false => core.tally_listed(&request, &selector).await,
                    }
                })
            });
            promise.keep(counted);
        };
        // Where there is no thread, the promise is dropped, and that is an answer.
        drop(std::thread::Builder::new().name("tally".to_owned()).spawn(work));
        answer
    }

    // Of a message all parts come one behind the other, but not with the same rows.
    async fn tally_listed(
        &self,
        request: &TallyRequest,
        selector: &Selector,
    ) -> Result<Tally, SpoolError> {
        let mut session = self.reach.open_aside().await?;
        let read = async {
            session.client.batch_execute(SETUP).await?;
            let reading = session.client.transaction().await?;
            let filter = &request.filter;
            let wanted = Wanted::new(span(filter), usize::MAX, filter);
            let portal = reading.bind(LIST, &wanted.parameters()).await?;
            let (now, mut tally) = (self.clock.now(), Tally::default());
            let mut parts: Vec<Listed> = Vec::new();
            loop {
                let rows = reading.query_portal(&portal, ROWS).await?;
                for row in &rows {
                    parts.push(Listed::read(row)?);
                }
                let last = parts.last().map(|part| part.id).filter(|_| !rows.is_empty());
                let more = parts.split_off(parts.partition_point(|part| last != Some(part.id)));
                for parts in parts.chunk_by(|one, other| one.id == other.id) {
                    // What cannot be read is told of elsewhere.
                    if let Ok(entry) = self.entry(parts)
                        && selector.selects(&entry)
                    {
                        tally.count(&entry, (selector, &request.classify), now);
                    }
                }
                parts = more;
                if rows.is_empty() {
                    return Ok(tally);
                }
            }
        };
        read.await.map_err(|error: Error| self.reach.failure(&error))
    }

    async fn tally_all(
        &self,
        request: &TallyRequest,
        selector: &Selector,
    ) -> Result<Tally, SpoolError> {
        let session = self.reach.open_aside().await?;
        let read = async {
            session.client.batch_execute(SETUP).await?;
            self.read_all(session, request, selector).await
        };
        read.await.map_err(|error: Error| self.reach.failure(&error))
    }

    async fn read_all(
        &self,
        mut session: Session,
        request: &TallyRequest,
        selector: &Selector,
    ) -> Result<Tally, Error> {
        let filter = &request.filter;
        let is_whole = filter.is_empty();
        let mut living = HashSet::new();
        for row in session.query(LIVING, &[]).await? {
            living.insert((row.try_get::<_, i16>(0)?, row.try_get::<_, i64>(1)?));
        }
        let mut counting = Counting {
            core: self,
            classify: &request.classify,
            selector: Some(selector).filter(|_| !is_whole),
            meant: HashSet::new(),
            living,
            now: self.clock.now(),
            domains: HashMap::new(),
            tally: Tally::default(),
        };
        if is_whole && let Some(row) = session.query(MESSAGES, &[]).await?.first() {
            let number = |at: usize| row.try_get::<_, i64>(at).map(i64::unsigned_abs);
            let tally = &mut counting.tally;
            (tally.messages, tally.held, tally.octets) = (number(0)?, number(1)?, number(2)?);
        }
        let reading = session.client.transaction().await?;
        let larger = filter.larger.map(|octets| i64::try_from(octets).unwrap_or(i64::MAX));
        let ids: Option<Vec<i64>> =
            filter.ids.as_ref().map(|ids| ids.iter().map(|id| signed(*id)).collect());
        let portal = match is_whole {
            true => reading.bind(WORK, &[]).await?,
            false => reading.bind(MEANT, &[&filter.held, &larger, &ids]).await?,
        };
        loop {
            let rows = reading.query_portal(&portal, ROWS).await?;
            if rows.is_empty() {
                return Ok(counting.tally);
            }
            for row in &rows {
                counting.add(row)?;
            }
        }
    }
}

struct Counting<'a> {
    core: &'a Core,
    classify: &'a Classify,
    /// Which recipients are meant, if not all, and the messages of those.
    selector: Option<&'a Selector>,
    meant: HashSet<MessageId>,
    /// The numbers and epochs of nodes that live: what of theirs is due is as good as leased.
    living: HashSet<(i16, i64)>,
    now: Timestamp,
    domains: HashMap<String, Arc<Domain>>,
    tally: Tally,
}

impl Counting<'_> {
    fn add(&mut self, row: &Row) -> Result<(), Error> {
        let id = unsigned(row.try_get(0)?);
        let Some(domain) = self.domain(row.try_get(2)?) else { return Ok(()) };
        let part = (id, row.try_get::<_, i32>(1)?.cast_unsigned());
        let owner = (row.try_get::<_, Option<i16>>(7)?, row.try_get::<_, i64>(8)?);
        let own = self.own_states(part, owner);
        let is_others = owner.0.is_some_and(|number| self.living.contains(&(number, owner.1)));
        let ceiling = row.try_get::<_, Option<i64>>(4)?.map(Timestamp::from_millis);
        let (held, now) = (row.try_get::<_, bool>(6)?, self.now);
        let counted = |place: u32, due: Timestamp| {
            let due = ceiling.map_or(due, |ceiling| due.min(ceiling));
            let state = match own.iter().find(|(known, _)| *known == place) {
                Some((_, state)) => *state,
                None if is_others && due <= now => RecipientState::Leased(now),
                None => RecipientState::Due(due),
            };
            Counted { state, received_at: id.given_at(), held }
        };
        let (tally, classify, selector) = (&mut self.tally, self.classify, self.selector);
        let size = selector.map(|_| row.try_get::<_, i64>(10)).transpose()?.unwrap_or_default();
        let meant = &mut self.meant;
        let mut count = |one: Counted, last: Option<LastAttempt<'_>>| {
            if let Some(selector) = selector {
                if !selector.selects_work(&domain, last, one.received_at) {
                    return;
                }
                if meant.insert(id) {
                    tally.count_message(held, size.unsigned_abs());
                }
            }
            let mut group = Group::default();
            group.count(one, now);
            tally.add(Arc::clone(&domain), classify(last), &group);
        };
        if let Some(states) = row.try_get::<_, Option<&[u8]>>(9)? {
            // What cannot be read is told of elsewhere.
            let _ = read_states(&mut Take(states), |place, due, last| {
                if let Some(due) = due {
                    count(counted(place, due), last);
                }
            });
            return Ok(());
        }
        let due = Timestamp::from_millis(row.try_get(3)?);
        let open = row.try_get::<_, i32>(5)?.cast_unsigned();
        // Nobody has tried them: any of those that are open will do.
        let places = own.iter().map(|(place, _)| *place).chain(std::iter::repeat(u32::MAX));
        for place in places.take(open as usize) {
            count(counted(place, due), None);
        }
        Ok(())
    }

    fn domain(&mut self, name: &str) -> Option<Arc<Domain>> {
        if let Some(known) = self.domains.get(name) {
            return Some(Arc::clone(known));
        }
        let domain = Arc::new(Domain::parse(name).ok()?);
        self.domains.insert(name.to_owned(), Arc::clone(&domain));
        Some(domain)
    }

    // Which of what is this node's is leased, only it knows.
    fn own_states(
        &self,
        part: (MessageId, u32),
        owner: (Option<i16>, i64),
    ) -> Vec<(u32, RecipientState)> {
        let hand = lock(&self.core.hand);
        if owner != (Some(hand.owner), hand.epoch) {
            return Vec::new();
        }
        let mut states = hand.states(part);
        states.retain(|(_, state)| *state != RecipientState::Done);
        states
    }
}
