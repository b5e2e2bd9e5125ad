//! A timer that is set with every step and hardly ever goes off.
//!
//! The runtime keeps what sleeps in a wheel that all threads share: to be put in and taken out
//! costs each step more than the step itself, and a session has ten of them for a message. So a
//! timer that is put off stays where it is; when it goes off, it is looked whether that was
//! meant, and if not, it is set anew.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use tokio::time::error::Elapsed;
use tokio::time::{Instant, Sleep, sleep_until, timeout};

/// See the module. It is not set before it is waited for.
#[derive(Debug, Default)]
pub struct Alarm(Option<Pin<Box<Sleep>>>);

impl Alarm {
    /// Waits until then; to be told another time, it is dropped and called again.
    pub async fn wait_until(&mut self, time: Instant) {
        loop {
            let sleep = self.0.get_or_insert_with(|| Box::pin(sleep_until(time)));
            if time < sleep.deadline() || sleep.is_elapsed() {
                sleep.as_mut().reset(time);
            }
            sleep.as_mut().await;
            if Instant::now() >= time {
                return;
            }
        }
    }
}

/// What comes of a future within such a time. What is ready at once, as nearly every write is,
/// asks for no time and sets no timer.
///
/// # Errors
/// Nothing has come of it in time.
pub async fn in_time<F: Future>(span: Duration, future: F) -> Result<F::Output, Elapsed> {
    let mut future = pin!(future);
    match at_once(&mut future).await {
        Some(value) => Ok(value),
        None => timeout(span, future).await,
    }
}

/// What comes of a future without waiting, if anything does; else it may be awaited.
pub async fn at_once<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
    poll_fn(|context| match Pin::new(&mut *future).poll(context) {
        Poll::Ready(value) => Poll::Ready(Some(value)),
        Poll::Pending => Poll::Ready(None),
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn it_goes_off_when_it_was_last_told_to() {
        let (start, mut alarm) = (Instant::now(), Alarm::default());
        let early = timeout(SECOND, alarm.wait_until(start + 10 * SECOND)).await;
        assert!(early.is_err());
        // Put off, and then sooner than ever.
        let early = timeout(SECOND, alarm.wait_until(start + 20 * SECOND)).await;
        assert!(early.is_err());
        alarm.wait_until(start + 5 * SECOND).await;
        assert_eq!(start.elapsed(), 5 * SECOND);
        // What is over is over at once, and it can be set again.
        alarm.wait_until(start + 4 * SECOND).await;
        alarm.wait_until(start + 5 * SECOND).await;
        assert_eq!(start.elapsed(), 5 * SECOND);
        let early = timeout(SECOND, alarm.wait_until(start + 7 * SECOND)).await;
        assert!(early.is_err());
        alarm.wait_until(start + 30 * SECOND).await;
        assert_eq!(start.elapsed(), 30 * SECOND);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_not_ready_has_its_time_and_no_more() {
        let start = Instant::now();
        assert_eq!(in_time(SECOND, async { 7 }).await.unwrap(), 7);
        in_time(2 * SECOND, tokio::time::sleep(SECOND)).await.unwrap();
        assert_eq!(start.elapsed(), SECOND);
        assert!(in_time(SECOND, tokio::time::sleep(2 * SECOND)).await.is_err());
        assert_eq!(start.elapsed(), 2 * SECOND);
    }
}
