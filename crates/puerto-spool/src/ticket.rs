//! A result that a thread of the store will deliver, to be awaited or waited for.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;

#[derive(Debug)]
enum State<T> {
    Waiting(Option<Waker>),
    Done(T),
    Taken,
}

/// The waiting side. It is a future of no particular runtime; [`Ticket::wait`]
/// blocks a thread instead.
#[derive(Debug)]
pub struct Ticket<T>(Arc<Mutex<State<T>>>);

/// The delivering side.
#[derive(Debug)]
pub struct Completer<T>(Arc<Mutex<State<T>>>);

impl<T> Ticket<T> {
    /// A ticket and the handle that completes it.
    pub fn new() -> (Completer<T>, Self) {
        let shared = Arc::new(Mutex::new(State::Waiting(None)));
        (Completer(Arc::clone(&shared)), Self(shared))
    }

    /// A ticket that is already complete.
    pub fn ready(value: T) -> Self {
        Self(Arc::new(Mutex::new(State::Done(value))))
    }

    /// Blocks this thread until the result is there.
    pub fn wait(mut self) -> T {
        let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
        let mut context = Context::from_waker(&waker);
        loop {
            if let Poll::Ready(value) = Pin::new(&mut self).poll(&mut context) {
                return value;
            }
            std::thread::park();
        }
    }
}

impl<T> Completer<T> {
    /// Delivers the result and wakes whoever waits.
    pub fn complete(self, value: T) {
        let before = {
            let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut *state, State::Done(value))
        };
        if let State::Waiting(Some(waker)) = before {
            waker.wake();
        }
    }
}

/// Wakes a thread that is parked.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

impl<T> Future for Ticket<T> {
    type Output = T;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
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
