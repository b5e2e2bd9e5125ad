//! Who sees to it that nothing stays of the lab, whoever is killed.
//!
//! The command is two processes. The first, the keeper, makes the folder, starts the second
//! and waits; the second is the lab, and everything else is its child. An end of a pipe is
//! in the keeper's hand: when the keeper is told to end, or is killed, the lab sees the pipe
//! close and cleans up. When the lab is killed, its children become the keeper's, who does
//! the same. The lab is in a process group of its own, so that nobody reaches both at once
//! by way of a terminal.

use std::io::{self, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::prctl::set_child_subreaper;
use nix::sys::signal::{Signal as SignalName, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use tokio::net::unix::pipe::Receiver;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::Instant;

use crate::cli::lab::scene::Folder;

/// How long the lab may take to clean up.
const CLEARING: Duration = Duration::from_secs(20);
/// How often children that are to end are looked at; how many looks may pass before they
/// are told again, and before they are killed.
const LOOK_AGAIN: Duration = Duration::from_millis(20);
const AGAIN: u32 = 50;
const AT_LAST: u32 = 250;

/// This program, as it is now: an update of its file changes nothing.
pub(super) fn this_program() -> Command {
    let mut command = Command::new("/proc/self/exe");
    command.arg0("puerto");
    command
}

/// Runs the lab in a folder of its own, by these arguments and the folder as the last, and
/// leaves nothing behind. What it ended with.
pub(super) fn keep(arguments: &[&str]) -> io::Result<ExitStatus> {
    set_child_subreaper(true)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        // Nothing is there before it is known how it goes away.
        let mut signals = Signals::listen()?;
        let folder = Folder::new()?;
        let mut command = this_program();
        command.args(arguments).arg(folder.path());
        let kept = command.stdin(Stdio::piped()).process_group(0).spawn();
        let status = match kept {
            Ok(mut lab) => signals.until_ended(&mut lab).await,
            Err(error) => Err(error),
        };
        end_children();
        status
    })
}

struct Signals {
    children: Signal,
    ends: [Signal; 4],
}

impl Signals {
    fn listen() -> io::Result<Self> {
        Ok(Self {
            children: signal(SignalKind::child())?,
            ends: [
                signal(SignalKind::interrupt())?,
                signal(SignalKind::terminate())?,
                signal(SignalKind::hangup())?,
                signal(SignalKind::quit())?,
            ],
        })
    }

    async fn until_ended(&mut self, lab: &mut Child) -> io::Result<ExitStatus> {
        let mut rope = lab.stdin.take();
        let mut deadline = None;
        let [interrupt, terminate, hang_up, quit] = &mut self.ends;
        loop {
            if let Some(status) = lab.try_wait()? {
                return Ok(status);
            }
            let late = async {
                match deadline {
                    Some(deadline) => tokio::time::sleep_until(deadline).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                _ = self.children.recv() => continue,
                () = late => lab.kill()?,
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
                _ = hang_up.recv() => {}
                _ = quit.recv() => {}
            }
            if rope.take().is_some() {
                deadline = Some(Instant::now() + CLEARING);
            }
        }
    }
}

/// The lab's end of the pipe: the standard input.
pub(super) struct Rope(Receiver);

impl Rope {
    /// Takes it, and what becomes an orphan below this process.
    pub(super) fn hold() -> io::Result<Self> {
        set_child_subreaper(true)?;
        Ok(Self(Receiver::from_owned_fd(nix::unistd::dup(io::stdin().as_fd())?)?))
    }

    /// Completes when the keeper wants the lab to end, or is gone.
    pub(super) async fn is_cut(&self) {
        while let Ok(1..) = async {
            self.0.readable().await?;
            match self.0.try_read(&mut [0; 16]) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(1),
                read => read,
            }
        }
        .await
        {}
    }
}

/// Ends all children of this process, and what theirs leave behind: each is told to, and
/// killed where it does not. Returns when there are none.
pub(super) fn end_children() {
    for look in 0.. {
        let told = match look {
            AT_LAST.. => Some(SignalName::SIGKILL),
            look if look % AGAIN == 0 => Some(SignalName::SIGINT),
            _ => None,
        };
        for child in told.map_or_else(Vec::new, |_| children_of(Pid::this())) {
            // It may have ended.
            let _ignored = kill(child, told);
        }
        loop {
            match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::StillAlive) => break,
                Ok(_) | Err(Errno::EINTR) => {}
                Err(_) => return,
            }
        }
        std::thread::sleep(LOOK_AGAIN);
    }
}

/// The children of a process.
pub(super) fn children_of(parent: Pid) -> Vec<Pid> {
    let Ok(all) = std::fs::read_dir("/proc") else { return Vec::new() };
    let is_child = |pid: &Pid| parent_of(*pid) == Some(parent);
    all.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .map(Pid::from_raw)
        .filter(is_child)
        .collect()
}

// The name, in parentheses, may hold anything; behind it are the state and the parent.
fn parent_of(pid: Pid) -> Option<Pid> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, behind) = stat.rsplit_once(')')?;
    behind.split_whitespace().nth(1)?.parse().ok().map(Pid::from_raw)
}

/// Waits for a child to end, without keeping others from their work.
pub(super) async fn ended(child: &mut Child) -> io::Result<ExitStatus> {
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

/// Gives a child its whole input.
pub(super) fn feed(child: &mut Child, text: &str) -> io::Result<()> {
    child.stdin.take().map_or(Ok(()), |mut input| input.write_all(text.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_children_of_a_process_are_found() {
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let pid = Pid::from_raw(child.id().try_into().unwrap());
        assert!(children_of(Pid::this()).contains(&pid));
        assert_eq!(children_of(pid), []);
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(!children_of(Pid::this()).contains(&pid));
    }

    #[tokio::test]
    async fn a_rope_is_cut_when_its_other_end_is_gone() {
        let (ours, theirs) = nix::unistd::pipe().unwrap();
        let rope = Rope(Receiver::from_owned_fd(ours).unwrap());
        let cut = tokio::time::timeout(Duration::from_millis(100), rope.is_cut()).await;
        assert!(cut.is_err());
        drop(theirs);
        rope.is_cut().await;
    }
}
