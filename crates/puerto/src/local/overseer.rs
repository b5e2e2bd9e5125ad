//! The processes that keep the right to become each user, and do nothing with it but
//! start mailbox processes: the overseer, which starts the agent again when it has died,
//! and the agent itself, which takes sockets from the daemon, starts a process for each
//! and kills those that stay too long.
//!
//! Neither reads a word of what is said over those sockets. When the overseer has died,
//! the agent takes its place and starts another agent. Both end when the daemon has closed
//! its end.

use std::io::{self, IoSliceMut};
use std::os::fd::{AsFd as _, OwnedFd};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::Duration;

use nix::unistd::getppid;
use puerto_spool::clock::{Clock as _, SystemClock};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};

use super::agent::{SUBCOMMAND, program};
use super::mailbox::{self, LIFE};
use crate::rights::{self, Capabilities};

/// Mailbox processes at the same time at most, with those that cannot be killed.
const PROCESSES: usize = 1000;
/// With each socket comes for how long its process may live: as long as a delivery takes, or
/// as the longest command that the configuration may allow.
pub(super) const SHORT: &[u8; 1] = b"+";
pub(super) const LONG: &[u8; 1] = b"|";
const LONGEST: Duration = Duration::from_secs(3700);
/// How often the agent looks after processes, and whether the overseer is there.
const LOOK: Duration = Duration::from_secs(1);

/// What a process of the agent is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Role {
    /// Starts the agent, again and again.
    Overseer,
    /// Starts mailbox processes, and reads no message.
    Agent,
    /// Delivers one message as one user, and ends.
    Mailbox,
}

impl Role {
    /// As it stands on the command line.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Overseer => "overseer",
            Self::Agent => "agent",
            Self::Mailbox => "mailbox",
        }
    }
}

/// The whole life of such a process: what the hidden subcommand runs. The socket to the
/// daemon is its standard input.
pub fn run(role: Role) -> ExitCode {
    if role == Role::Mailbox {
        return mailbox::run();
    }
    // The daemon ends in its own time after a signal to the whole group, and the agent
    // with it: by then all mail that is under way has been written.
    let _ = nix::sys::signal::SigSet::all().thread_block();
    let _ = std::env::set_current_dir("/");
    let rights = Capabilities::SETUID | Capabilities::SETGID | Capabilities::KILL;
    let socket = io::stdin().as_fd().try_clone_to_owned();
    let lived = rights::keep(rights).and(socket).and_then(|socket| match role {
        Role::Agent => serve(&socket, &program),
        Role::Overseer | Role::Mailbox => oversee(&socket, &program, Vec::new()),
    });
    match lived {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("puerto {SUBCOMMAND}: this is started by `puerto serve` alone: {error}");
            ExitCode::from(70)
        }
    }
}

/// Makes the command of a process.
type Programs = dyn Fn(Role) -> Command;

/// A mailbox process that was started and is waited for.
struct Running {
    child: Child,
    /// By the agent's clock.
    since: Duration,
    life: Duration,
}

fn oversee(socket: &OwnedFd, programs: &Programs, mut left: Vec<Running>) -> io::Result<()> {
    loop {
        let begun = SystemClock.elapsed();
        let mut agent = start(programs(Role::Agent), socket.try_clone()?)?;
        let ended = loop {
            // What an agent has left behind that has become the overseer.
            look_after(&mut left);
            let ended = if left.is_empty() { Some(agent.wait()?) } else { agent.try_wait()? };
            match ended {
                Some(ended) => break ended,
                None => std::thread::sleep(LOOK),
            }
        };
        if ended.success() {
            return Ok(());
        }
        eprintln!("puerto {SUBCOMMAND}: the agent has ended ({ended}) and is started again");
        if SystemClock.elapsed() - begun < LOOK {
            std::thread::sleep(LOOK);
        }
    }
}

fn serve(socket: &OwnedFd, programs: &Programs) -> io::Result<()> {
    let overseer = getppid();
    let mut running = Vec::new();
    loop {
        wait(socket)?;
        look_after(&mut running);
        if getppid() != overseer {
            return oversee(socket, programs, running);
        }
        match receive(socket)? {
            Some(Received::Delivery(theirs, life)) if running.len() < PROCESSES => {
                match start(programs(Role::Mailbox), theirs) {
                    Ok(child) => {
                        running.push(Running { child, since: SystemClock.elapsed(), life });
                    }
                    // The daemon sees the socket closed, and tries again.
                    Err(error) => eprintln!("puerto {SUBCOMMAND}: no mailbox process: {error}"),
                }
            }
            Some(Received::End) => break,
            Some(Received::Delivery(..)) | None => {}
        }
    }
    let begun = SystemClock.elapsed();
    while !running.is_empty() && SystemClock.elapsed() - begun < LIFE + LOOK {
        look_after(&mut running);
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

fn start(mut command: Command, socket: OwnedFd) -> io::Result<Child> {
    command.stdin(Stdio::from(socket)).spawn()
}

// Waits for the daemon, but no longer than nobody need be looked after.
fn wait(socket: &OwnedFd) -> io::Result<()> {
    let patience = Timespec { tv_sec: 1, tv_nsec: 0 };
    let mut polled = [PollFd::new(socket, PollFlags::IN)];
    match poll(&mut polled, Some(&patience)) {
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn look_after(running: &mut Vec<Running>) {
    running.retain_mut(|one| match one.child.try_wait() {
        Ok(None) => {
            if SystemClock.elapsed() - one.since > one.life {
                // One that waits for a dead disk stays all the same.
                let _ = one.child.kill();
            }
            true
        }
        Ok(Some(_)) | Err(_) => false,
    });
}

enum Received {
    Delivery(OwnedFd, Duration),
    End,
}

fn receive(socket: &OwnedFd) -> io::Result<Option<Received>> {
    let mut octet = [0];
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
    let received = match recvmsg(socket, &mut [IoSliceMut::new(&mut octet)], &mut control, flags) {
        Ok(received) => received.bytes,
        Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => return Ok(None),
        Err(rustix::io::Errno::CONNRESET) => 0,
        Err(error) => return Err(error.into()),
    };
    if received == 0 {
        return Ok(Some(Received::End));
    }
    let mut sockets = control.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(sockets) => Some(sockets),
        _ => None,
    });
    let life = if octet == *LONG { LONGEST } else { LIFE };
    let socket = sockets.next().and_then(|mut all| all.next());
    Ok(socket.map(|socket| Received::Delivery(socket, life)))
}

/// Lives as the overseer or the agent of a test.
#[cfg(test)]
pub(super) fn process_for_tests(is_overseer: bool, programs: &Programs) {
    let rights = Capabilities::SETUID | Capabilities::SETGID | Capabilities::KILL;
    rights::keep(rights).unwrap();
    let socket = io::stdin().as_fd().try_clone_to_owned().unwrap();
    let lived = match is_overseer {
        true => oversee(&socket, programs, Vec::new()),
        false => serve(&socket, programs),
    };
    lived.unwrap();
}

/// The next delivery that was handed over, if there is one.
#[cfg(test)]
pub(super) fn receive_for_tests(socket: &OwnedFd) -> Option<OwnedFd> {
    match receive(socket).unwrap() {
        Some(Received::Delivery(socket, _)) => Some(socket),
        _ => None,
    }
}
