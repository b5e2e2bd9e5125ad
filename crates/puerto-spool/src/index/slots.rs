//! One recipient's state, and how records say it.

use super::domains::DomainKey;
use super::story::{Shared, Story};
use crate::codec::{Malformed, Put, Take, bit, take_attempt};
use crate::entry::Disposition;
use crate::filter::LastAttempt;
use crate::id::Timestamp;

/// What a recipient waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    Waiting(Timestamp),
    /// By the lease of this number.
    Leased(u64),
    Done,
}

/// One recipient of a message.
#[derive(Debug, Clone)]
pub(crate) struct Slot {
    /// Place in the envelope.
    pub(crate) index: u32,
    /// Where the encoded envelope has it.
    pub(crate) offset: u32,
    pub(crate) domain: DomainKey,
    pub(crate) attempts: u32,
    pub(crate) state: State,
    /// Shared by recipients that met the same fate together.
    pub(crate) story: Option<Story>,
}

// A queue may have millions of recipients.
const _: () = assert!(size_of::<Slot>() <= 40);

impl Slot {
    /// A recipient that nobody has tried.
    pub(crate) fn new(index: u32, offset: u32, domain: DomainKey, due: Timestamp) -> Self {
        Self { index, offset, domain, attempts: 0, state: State::Waiting(due), story: None }
    }

    /// The lease that it is handed out by.
    pub(crate) fn lease(&self) -> Option<u64> {
        match self.state {
            State::Leased(number) => Some(number),
            State::Waiting(_) | State::Done => None,
        }
    }

    /// Takes what became of it.
    pub(crate) fn settle(&mut self, disposition: &Disposition, shared: &mut Shared) {
        match disposition {
            Disposition::Delivered(attempt) | Disposition::Bounced(attempt) => {
                self.story = Some(shared.with(self.story.as_ref(), attempt));
                self.state = State::Done;
            }
            Disposition::Discarded(_) => self.state = State::Done,
            Disposition::Deferred { due, attempt } => {
                self.story = Some(shared.with(self.story.as_ref(), attempt));
                self.attempts = self.attempts.saturating_add(1);
                self.state = State::Waiting(*due);
            }
            Disposition::Returned(due) => self.state = State::Waiting(*due),
        }
    }

    /// Due now, if it waits for later.
    pub(crate) fn retry(&mut self, now: Timestamp) {
        if let State::Waiting(due) = self.state {
            self.state = State::Waiting(due.min(now));
        }
    }

    /// The same recipient in the state that a record says.
    pub(crate) fn with(&self, state: &SlotState) -> Self {
        Self {
            attempts: state.attempts,
            state: state.due.map_or(State::Done, State::Waiting),
            story: state.story.clone(),
            ..*self
        }
    }
}

/// What the slots of one message and domain come to.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Summary {
    /// Recipients that are not done.
    pub(crate) open: u32,
    /// Whether all that wait were tried before, and when the first of them is due.
    pub(crate) next: Option<(bool, Timestamp)>,
}

impl Summary {
    /// Sums up slots.
    pub(crate) fn of(slots: &[Slot]) -> Self {
        let mut summary = Self::default();
        for slot in slots {
            summary.open += u32::from(slot.state != State::Done);
            if let State::Waiting(due) = slot.state {
                let retried = slot.attempts > 0;
                summary.next = Some(match summary.next {
                    None => (retried, due),
                    Some((all, first)) => (all && retried, first.min(due)),
                });
            }
        }
        summary
    }
}

/// What a record says of one recipient.
#[derive(Debug, Clone)]
pub(crate) struct SlotState {
    pub(crate) index: u32,
    /// `None` if it is done.
    due: Option<Timestamp>,
    attempts: u32,
    story: Option<Story>,
}

const DONE: u8 = 1;
/// Format 1 alone: its last one.
const HAS_ATTEMPT: u8 = 2;
const SAME_STORY: u8 = 4;
const HAS_STORY: u8 = 8;

/// Writes flags of a message and the states of recipients. A leased one is due now
/// for whoever reads this: leases do not outlive the process.
pub(crate) fn put_states<'a>(
    flags: u8,
    slots: impl Iterator<Item = &'a Slot>,
    now: Timestamp,
) -> Vec<u8> {
    let mut out = Vec::new();
    out.put_u8(flags);
    let mut before: Option<&Story> = None;
    for slot in slots {
        let story = slot.story.as_ref();
        let same = matches!((before, story), (Some(a), Some(b)) if a.is(b));
        let tag = bit(slot.state == State::Done, DONE)
            | bit(story.is_some() && !same, HAS_STORY)
            | bit(same, SAME_STORY);
        out.put_u8(tag);
        out.put_u32(slot.index);
        out.put_u32(slot.attempts);
        match slot.state {
            State::Waiting(due) => out.put_time(due),
            State::Leased(_) => out.put_time(now),
            State::Done => {}
        }
        if let (Some(story), false) = (story, same) {
            out.put_bytes(story.as_bytes());
        }
        before = story;
    }
    out
}

/// Reads what [`put_states`] wrote without a copy of anything: the place of each recipient, when
/// it is due (`None`: it is done), and what became of it last.
pub(crate) fn read_states<'a>(
    from: &mut Take<'a>,
    mut each: impl FnMut(u32, Option<Timestamp>, Option<LastAttempt<'a>>),
) -> Result<(), Malformed> {
    from.u8()?;
    let mut last = None;
    while !from.0.is_empty() {
        let tag = from.u8()?;
        let (index, _) = (from.u32()?, from.u32()?);
        let due = if tag & DONE == 0 { Some(from.time()?) } else { None };
        last = match tag & !DONE {
            0 => None,
            HAS_STORY => Some(Story::last_of(from.bytes()?)?),
            SAME_STORY => last,
            _ => return Err(Malformed("a recipient's state has an unknown tag")),
        };
        each(index, due, last);
    }
    Ok(())
}

/// Reads what [`put_states`] wrote, to the end.
pub(crate) fn take_states(from: &mut Take<'_>) -> Result<(u8, Vec<SlotState>), Malformed> {
    let flags = from.u8()?;
    let mut states: Vec<SlotState> = Vec::new();
    while !from.0.is_empty() {
        let tag = from.u8()?;
        if tag & !(DONE | HAS_ATTEMPT | SAME_STORY | HAS_STORY) != 0 {
            return Err(Malformed("a recipient's state has an unknown tag"));
        }
        let (index, attempts) = (from.u32()?, from.u32()?);
        let due = if tag & DONE == 0 { Some(from.time()?) } else { None };
        let story = match tag & !DONE {
            0 => None,
            HAS_ATTEMPT => Some(Story::with(None, take_attempt(from)?)),
            HAS_STORY => Some(Story::decode(from.bytes()?)?),
            SAME_STORY => states.last().and_then(|state| state.story.clone()),
            _ => return Err(Malformed("a recipient has two stories")),
        };
        states.push(SlotState { index, due, attempts, story });
    }
    Ok((flags, states))
}
