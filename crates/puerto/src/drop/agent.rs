//! The process that keeps the right to become each user, for the folders of what they have
//! left. The daemon sends it a user's number and one end of a socket pair; it starts a
//! process that makes the folder if it is missing, becomes that user for good and empties
//! it. Where folders are and where mail is handed over stands on its command line, so that
//! a daemon that was broken into can have nothing read but such folders.

use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::Duration;

use nix::unistd::{Gid, Uid, User, setgid, setgroups, setuid};
use puerto_spool::clock::{Clock as _, SystemClock};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
};

use crate::rights::{self, Capabilities};

/// The name of the hidden subcommand that runs the agent.
pub const SUBCOMMAND: &str = "drop-agent";
/// The name of the one that runs the processes that it starts.
pub const READER: &str = "drop-reader";

/// How long such a process may take.
pub const LIFE: Duration = Duration::from_secs(120);
/// Such processes at the same time at most.
const PROCESSES: usize = 32;
/// The group of a user whom the system does not know.
const NO_GROUP: u32 = 65_534;

/// The daemon's end. Dropping it ends the agent.
#[derive(Debug)]
pub struct AgentHandle {
    control: OwnedFd,
}

impl AgentHandle {
    /// Starts the agent: as root, before its rights are given up, or by a daemon that stays
    /// who it is.
    pub fn spawn(directory: &Path, socket: &Path) -> io::Result<Self> {
        let kind = (AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC);
        let (control, theirs) = socketpair(kind.0, kind.1, kind.2, None)?;
        let mut command = program(SUBCOMMAND, directory, socket);
        drop(command.stdin(Stdio::from(theirs)).spawn()?);
        Ok(Self { control })
    }

    /// Has a user's folder emptied; what is said about it is said over the socket.
    pub fn empty(&self, uid: Uid, socket: UnixStream) -> io::Result<()> {
        let sockets = [socket.as_fd()];
        let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        ancillary.push(SendAncillaryMessage::ScmRights(&sockets));
        let number = uid.as_raw().to_be_bytes();
        let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
        sendmsg(&self.control, &[IoSlice::new(&number)], &mut ancillary, flags)?;
        Ok(())
    }
}

fn program(subcommand: &str, directory: &Path, socket: &Path) -> Command {
    let mut command = Command::new("/proc/self/exe");
    command.arg0("puerto").arg(subcommand).arg("--").args([directory, socket]);
    command.env_clear().stdout(Stdio::null());
    if let Some(zone) = std::env::var_os("TZ") {
        command.env("TZ", zone);
    }
    command
}

/// The agent's whole life: what the hidden subcommand runs.
pub fn run(directory: &Path, socket: &Path) -> ExitCode {
    // It ends with the daemon, which ends in its own time after a signal to the group.
    let _ = nix::sys::signal::SigSet::all().thread_block();
    let _ = std::env::set_current_dir("/");
    let only =
        Capabilities::SETUID | Capabilities::SETGID | Capabilities::CHOWN | Capabilities::KILL;
    let control = io::stdin().as_fd().try_clone_to_owned();
    let lived = rights::keep(only).and(control).and_then(|control| {
        serve(&control, |uid, theirs| {
            let mut command = program(READER, directory, socket);
            command.arg(uid.to_string()).stdin(Stdio::from(theirs)).spawn()
        })
    });
    match lived {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("puerto {SUBCOMMAND}: this is started by `puerto serve` alone: {error}");
            ExitCode::from(70)
        }
    }
}

fn serve(control: &OwnedFd, start: impl Fn(u32, OwnedFd) -> io::Result<Child>) -> io::Result<()> {
    let mut running: Vec<(Child, Duration)> = Vec::new();
    loop {
        let patience = Timespec { tv_sec: 1, tv_nsec: 0 };
        let mut polled = [PollFd::new(control, PollFlags::IN)];
        match poll(&mut polled, Some(&patience)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        running.retain_mut(|(child, since)| match child.try_wait() {
            Ok(None) => {
                // Its user can stop it, and with it the alarm that would end it.
                if SystemClock.elapsed() - *since > LIFE {
                    let _ = child.kill();
                }
                true
            }
            Ok(Some(_)) | Err(_) => false,
        });
        match receive(control)? {
            Received::End => return Ok(()),
            // The daemon sees the socket closed, and tries again.
            Received::Folder(uid, theirs) if running.len() < PROCESSES => {
                match start(uid, theirs) {
                    Ok(child) => running.push((child, SystemClock.elapsed())),
                    Err(error) => eprintln!("puerto {SUBCOMMAND}: no process: {error}"),
                }
            }
            Received::Folder(..) | Received::Nothing => {}
        }
    }
}

enum Received {
    Folder(u32, OwnedFd),
    Nothing,
    End,
}

fn receive(control: &OwnedFd) -> io::Result<Received> {
    let mut number = [0; 4];
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
    let received = recvmsg(control, &mut [IoSliceMut::new(&mut number)], &mut ancillary, flags);
    let octets = match received {
        Ok(received) => received.bytes,
        Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => return Ok(Received::Nothing),
        Err(rustix::io::Errno::CONNRESET) => 0,
        Err(error) => return Err(error.into()),
    };
    if octets == 0 {
        return Ok(Received::End);
    }
    let mut sockets = ancillary.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(sockets) => Some(sockets),
        _ => None,
    });
    let socket = sockets.next().and_then(|mut all| all.next());
    Ok(match socket {
        Some(socket) if octets == number.len() => {
            Received::Folder(u32::from_be_bytes(number), socket)
        }
        _ => Received::Nothing,
    })
}

/// Becomes that user for good, without any other group's rights.
pub fn become_for_good(uid: Uid) -> io::Result<()> {
    if !nix::unistd::geteuid().is_root() {
        let is_own = nix::unistd::geteuid() == uid;
        return if is_own { Ok(()) } else { Err(io::ErrorKind::PermissionDenied.into()) };
    }
    let group = User::from_uid(uid).ok().flatten().map(|user| user.gid);
    setgroups(&[])?;
    setgid(group.unwrap_or(Gid::from_raw(NO_GROUP)))?;
    setuid(uid)?;
    rights::keep(Capabilities::empty())?;
    if !uid.is_root() && setuid(Uid::from_raw(0)).is_ok() {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    Ok(())
}
