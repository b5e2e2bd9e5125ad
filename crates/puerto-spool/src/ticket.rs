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
pub struct Ticket<T>(Kind<T>);

enum Kind<T> {
    /// What is known already, until it is taken: no memory is allocated for it.
    Ready(Option<T>),
    /// What a thread of the store will say.
    Shared(Arc<Mutex<State<T>>>),
    /// What comes of other answers.
    Made(Pin<Box<dyn Future<Output = T> + Send>>),
    Never,
}

/// The delivering side.
#[derive(Debug)]
pub struct Completer<T>(Arc<Mutex<State<T>>>);

impl<T> Ticket<T> {
    /// A ticket and the handle that completes it.
    pub fn new() -> (Completer<T>, Self) {
        let shared = Arc::new(Mutex::new(State::Waiting(None)));
        (Completer(Arc::clone(&shared)), Self(Kind::Shared(shared)))
    }

    /// A ticket that is already complete.
    pub const fn ready(value: T) -> Self {
        Self(Kind::Ready(Some(value)))
    }

    /// A ticket that never completes.
    pub const fn never() -> Self {
        Self(Kind::Never)
    }

    /// A ticket for what a future will say. The future runs only while somebody waits, so
    /// whatever is to happen in any case must have begun before.
    pub fn of(future: impl Future<Output = T> + Send + 'static) -> Self {
        Self(Kind::Made(Box::pin(future)))
    }

    /// The result if it is there already, else the ticket again.
    pub fn at_once(mut self) -> Result<T, Self> {
        match Pin::new(&mut self).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(value) => Ok(value),
            Poll::Pending => Err(self),
        }
    }

    /// Blocks this thread until the result is there.
    pub fn wait(self) -> T {
        let mut ticket = match self.at_once() {
            Ok(value) => return value,
            Err(ticket) => ticket,
        };
        let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
        let mut context = Context::from_waker(&waker);
        loop {
            if let Poll::Ready(value) = Pin::new(&mut ticket).poll(&mut context) {
                return value;
            }
            std::thread::park();
        }
    }
}

// Nothing in it is ever pinned in place.
impl<T> Unpin for Ticket<T> {}

impl<T> std::fmt::Debug for Ticket<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match &self.0 {
            Kind::Ready(_) => "Ticket(ready)",
            Kind::Shared(_) | Kind::Made(_) | Kind::Never => "Ticket(..)",
        })
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
        match &mut self.get_mut().0 {
            Kind::Ready(value) => value.take().map_or(Poll::Pending, Poll::Ready),
            Kind::Shared(state) => poll_shared(state, context),
            Kind::Made(future) => future.as_mut().poll(context),
            Kind::Never => Poll::Pending,
        }
    }
}

fn poll_shared<T>(state: &Mutex<State<T>>, context: &Context<'_>) -> Poll<T> {
    let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
    match std::mem::replace(&mut *state, State::Taken) {
        State::Done(value) => Poll::Ready(value),
        State::Waiting(_) | State::Taken => {
            *state = State::Waiting(Some(context.waker().clone()));
            Poll::Pending
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

    #[test]
    fn what_is_there_is_taken_at_once_and_what_is_not_stays() {
        let (completer, ticket) = Ticket::new();
        let ticket = ticket.at_once().unwrap_err();
        completer.complete(7);
        assert_eq!(ticket.at_once().unwrap(), 7);
        let (completer, inner) = Ticket::new();
        let made = Ticket::of(async move { inner.await + 1 }).at_once().unwrap_err();
        completer.complete(8);
        assert_eq!(made.wait(), 9);
        assert!(Ticket::<u8>::never().at_once().is_err());
    }
}
