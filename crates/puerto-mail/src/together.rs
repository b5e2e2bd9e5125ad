//! Waiting for many futures at once, in one task.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;

/// Drives all of them at the same time; the results come in the order of the futures.
pub async fn together<F: Future>(futures: impl IntoIterator<Item = F>) -> Vec<F::Output> {
    together_within(usize::MAX, futures).await
}

/// Drives at most `limit` of them at the same time.
pub(crate) async fn together_within<F: Future>(
    limit: usize,
    futures: impl IntoIterator<Item = F>,
) -> Vec<F::Output> {
    let mut running: Vec<Option<Pin<Box<F>>>> =
        futures.into_iter().map(|future| Some(Box::pin(future))).collect();
    let mut outputs: Vec<Option<F::Output>> = running.iter().map(|_| None).collect();
    // Each wake-up polls all that run: there are dozens of them, not thousands. A
    // future does nothing before it is polled, so whoever is not polled has not begun.
    poll_fn(|context| {
        let mut waiting = 0;
        for (slot, output) in running.iter_mut().zip(&mut outputs) {
            let Some(future) = slot else { continue };
            if waiting == limit.max(1) {
                break;
            }
            match future.as_mut().poll(context) {
                Poll::Ready(value) => {
                    *output = Some(value);
                    *slot = None;
                }
                Poll::Pending => waiting += 1,
            }
        }
        if waiting > 0 { Poll::Pending } else { Poll::Ready(()) }
    })
    .await;
    outputs.into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    // Waits once, and counts who waits with it.
    async fn wait_once(now: &Cell<usize>, most: &Cell<usize>) -> usize {
        now.set(now.get() + 1);
        most.set(most.get().max(now.get()));
        let mut ready = false;
        poll_fn(|context| {
            if ready {
                return Poll::Ready(());
            }
            ready = true;
            context.waker().wake_by_ref();
            Poll::Pending
        })
        .await;
        now.set(now.get() - 1);
        most.get()
    }

    #[test]
    fn no_more_run_than_are_allowed_and_all_end() {
        for (limit, expected) in [(1, 1), (3, 3), (100, 10)] {
            let (now, most) = (Cell::new(0), Cell::new(0));
            let all = (0..10).map(|_| wait_once(&now, &most));
            let mut all = std::pin::pin!(together_within(limit, all));
            let mut context = std::task::Context::from_waker(std::task::Waker::noop());
            let done = (0..100).find_map(|_| match all.as_mut().poll(&mut context) {
                Poll::Ready(results) => Some(results.len()),
                Poll::Pending => None,
            });
            assert_eq!((done, most.get()), (Some(10), expected));
        }
    }
}
