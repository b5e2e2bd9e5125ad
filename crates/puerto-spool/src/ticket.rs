//! A result that a thread of the store will deliver, to be awaited or waited for.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

#[derive(Debug)]
enum State<T> {
    Waiting(Option<Waker>),
    Done(T),
    Taken,
}

#[derive(Debug)]
struct Shared<T> {
    state: Mutex<State<T>>,
    done: Condvar,
}

/// The waiting side. It is a future of no particular runtime; [`Ticket::wait`]
/// blocks a thread instead.
#[derive(Debug)]
pub struct Ticket<T>(Arc<Shared<T>>);

/// The delivering side.
#[derive(Debug)]
pub struct Completer<T>(Arc<Shared<T>>);

impl<T> Ticket<T> {
    /// A ticket and the handle that completes it.
    pub fn new() -> (Completer<T>, Self) {
        let shared =
            Arc::new(Shared { state: Mutex::new(State::Waiting(None)), done: Condvar::new() });
        (Completer(Arc::clone(&shared)), Self(shared))
    }

    /// A ticket that is already complete.
    pub fn ready(value: T) -> Self {
        Self(Arc::new(Shared { state: Mutex::new(State::Done(value)), done: Condvar::new() }))
    }

    /// Blocks this thread until the result is there.
    pub fn wait(self) -> T {
        let mut state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            match std::mem::replace(&mut *state, State::Taken) {
                State::Done(value) => return value,
                waiting => *state = waiting,
            }
            state = self.0.done.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl<T> Completer<T> {
    /// Delivers the result and wakes whoever waits.
    pub fn complete(self, value: T) {
        let before = {
            let mut state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut *state, State::Done(value))
        };
        self.0.done.notify_all();
        if let State::Waiting(Some(waker)) = before {
            waker.wake();
        }
    }
}

impl<T> Future for Ticket<T> {
    type Output = T;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        let mut state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        match std::mem::replace(&mut *state, State::Taken) {
            State::Done(value) => Poll::Ready(value),
            State::Waiting(_) | State::Taken => {
                *state = State::Waiting(Some(context.waker().clone()));
                Poll::Pending
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_waiting_thread_gets_the_result() {
        let (completer, ticket) = Ticket::new();
        let waiter = std::thread::spawn(move || ticket.wait());
        completer.complete(7);
        assert_eq!(waiter.join().unwrap(), 7);
        assert_eq!(Ticket::ready(8).wait(), 8);
    }
}
