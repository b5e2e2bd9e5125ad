//! What the daemon does when it is told something by a signal.

use std::io;

use nix::sys::signal::{SigSet, Signal as SignalName};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::{Daemon, ready, reloading};

/// Lets SIGHUP wait until [`Signals::listen`] hears it: whoever asks for a reload
/// while the daemon starts must not end it. To be called before anything else, while
/// there is one thread; those that are started later do the same.
pub fn hold_back_reloads() {
    // Without this a start goes on as it did.
    let _ = reloads().thread_block();
}

fn reloads() -> SigSet {
    let mut signals = SigSet::empty();
    signals.add(SignalName::SIGHUP);
    signals
}

/// The signals that the daemon hears.
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

impl Signals {
    /// Listens from now on, to what was held back as well. Needs a tokio runtime.
    pub fn listen() -> io::Result<Self> {
        let signals = Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
        };
        reloads().thread_unblock()?;
        Ok(signals)
    }

    /// Waits for SIGTERM or SIGINT, while there is nothing to reload.
    pub async fn told_to_stop(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }

    /// Serves until SIGTERM or SIGINT, and reloads at each SIGHUP.
    pub async fn until_told_to_stop(&mut self, daemon: &Daemon) {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return,
                _ = self.interrupt.recv() => return,
                _ = self.hang_up.recv() => {
                    reloading();
                    daemon.reload();
                    ready(&daemon.config().hostname);
                }
            }
        }
    }
}
