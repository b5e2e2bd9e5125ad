//! What the daemon does when it is told something by a signal.

use tokio::signal::unix::{SignalKind, signal};

use super::{Daemon, ready, reloading};

/// Serves until SIGTERM or SIGINT, and reloads at each SIGHUP.
pub async fn until_told_to_stop(daemon: &Daemon) -> std::io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hang_up = signal(SignalKind::hangup())?;
    loop {
        tokio::select! {
            _ = terminate.recv() => return Ok(()),
            _ = interrupt.recv() => return Ok(()),
            _ = hang_up.recv() => {
                reloading();
                daemon.reload();
                ready(&daemon.config().hostname);
            }
        }
    }
}
