//! Tells the service manager how the daemon is: ready, reloading, stopping, alive
//! (sd_notify(3)).

use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

/// Whether a service manager looks after us.
pub fn is_supervised() -> bool {
    std::env::var_os("NOTIFY_SOCKET").is_some()
}

/// Sends a state such as `READY=1`, if the service manager asked to be told. That it
/// cannot be told is no reason to stop.
pub fn notify(state: &str) {
    let Some(path) = std::env::var_os("NOTIFY_SOCKET") else { return };
    let path = path.into_vec();
    let address = match path.strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name),
        None => SocketAddr::from_pathname(std::ffi::OsString::from_vec(path)),
    };
    if let (Ok(address), Ok(socket)) = (address, UnixDatagram::unbound()) {
        let _ = socket.send_to_addr(state.as_bytes(), &address);
    }
}

/// Says that mail is taken, in words that `systemctl status` shows.
pub fn ready(hostname: &str) {
    notify(&format!("READY=1\nSTATUS=Takes and sends mail as {hostname}"));
}

/// Says that the configuration is being read again; [`ready`] ends it. The time is for
/// units of `Type=notify-reload`, which count only what was said after their signal.
pub fn reloading() {
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC).map(Duration::from).unwrap_or_default();
    notify(&format!(
        "RELOADING=1\nMONOTONIC_USEC={}\nSTATUS=Reads its configuration again",
        now.as_micros()
    ));
}

/// Tells again and again that the daemon is alive, if the service manager wants to hear
/// it. It is told from the threads that do the work, so that it ends when they hang.
pub async fn watchdog() {
    let variable = |name| std::env::var(name).ok();
    let Some(pause) = pause(variable("WATCHDOG_USEC"), variable("WATCHDOG_PID")) else { return };
    loop {
        notify("WATCHDOG=1");
        tokio::time::sleep(pause).await;
    }
}

/// How often to tell: twice in the time that is allowed, if it is us that are meant.
fn pause(usec: Option<String>, pid: Option<String>) -> Option<Duration> {
    let meant = pid.is_none_or(|pid| pid.parse() == Ok(std::process::id()));
    let usec: u64 = usec.filter(|_| meant)?.parse().ok()?;
    (usec > 0).then(|| Duration::from_micros(usec / 2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_watchdog_is_fed_twice_in_its_time_by_the_process_that_is_meant() {
        let own = std::process::id().to_string();
        let pause = |usec: &str, pid: Option<&str>| {
            pause(Some(usec.to_owned()), pid.map(ToOwned::to_owned)).map(|pause| pause.as_millis())
        };
        assert_eq!(pause("3000000", Some(&own)), Some(1500));
        assert_eq!(pause("3000000", None), Some(1500));
        assert_eq!(pause("3000000", Some("1")), None);
        assert_eq!(pause("soon", None), None);
        assert_eq!(pause("0", None), None);
    }
}
