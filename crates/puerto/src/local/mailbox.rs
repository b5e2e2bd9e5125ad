//! One delivery into one mailbox, by a process of its own.
//!
//! The process begins as root, reads the request, and becomes the user for good before it
//! touches a name that the user could have put there: from then on whatever stands in a
//! mailbox's place harms nobody else. It serves no second request. The kernel ends it
//! after [`LIFE`], and the agent does where a signal of the user's has stopped it.

use std::io::{self, Read};
use std::os::fd::AsFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use nix::sys::signal::{SigSet, Signal};
use nix::unistd::{Gid, Uid, initgroups, setgid, setuid};
use puerto_spool::clock::{Clock as _, SystemClock};

use super::account::Account;
use super::failure::Failure;
use super::forward::Unheeded;
use super::frame::{self, Answer, Chunks, DeedRequest, Request};
use super::{command, forward, maildir, mbox};
use crate::cause::Cause;
use crate::rights::{self, Capabilities};

/// Where mailboxes in mbox form are, one file for each user.
const SPOOL: &str = "/var/mail";
/// How long a delivery may take.
pub(super) const LIFE: Duration = Duration::from_secs(30);
/// When it gives up by itself, so that it can leave the mailbox as it was.
const PATIENCE: Duration = Duration::from_secs(25);

/// The process's whole life. The request comes on the standard input, which is a socket.
pub(super) fn run() -> ExitCode {
    let mut blocked = SigSet::all();
    blocked.remove(Signal::SIGALRM);
    let _ = blocked.thread_block();
    let _ = nix::unistd::alarm::set(u32::try_from(LIFE.as_secs()).unwrap_or(30));
    let _ = std::env::set_current_dir("/");
    nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o077));
    let stream = io::stdin().as_fd().try_clone_to_owned().map(UnixStream::from);
    let served = stream.and_then(|stream| serve(stream, Path::new(SPOOL)));
    if served.is_ok() { ExitCode::SUCCESS } else { ExitCode::from(70) }
}

/// Serves one request, as the user that it is for. Errors are of the socket alone.
pub(super) fn serve(mut stream: UnixStream, spool: &Path) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    let request: Request = frame::read(&mut stream)?;
    let answer = attempt(&mut stream, &request, spool).unwrap_or_else(Answer::Failed);
    frame::write(&mut stream, &answer)
}

fn attempt(stream: &mut UnixStream, request: &Request, spool: &Path) -> Result<Answer, Failure> {
    let deadline = SystemClock.elapsed() + PATIENCE;
    let account = Account::find(&request.user)
        .map_err(Failure::no_users)?
        .ok_or_else(|| Failure::never(1, 1, Cause::NoSuchUser { user: request.user.clone() }))?;
    if request.look && !can_become(&account) {
        return Ok(Answer::Ready { remark: None });
    }
    if let Some(deed) = &request.deed {
        return attempt_deed(stream, (&account, request, deed), deadline);
    }
    become_for_good(&account, request.maildir, spool)?;
    deliver(&account, request, spool, |remark| {
        frame::write(stream, &Answer::Ready { remark })
            .map_err(|error| Failure::system(error, |error| Cause::MessageNotTaken { error }))?;
        Ok(Chunks::new(stream, deadline))
    })
}

// What a command or a file is, whoever names it, is never root's to do.
fn attempt_deed(
    stream: &mut UnixStream,
    (account, request, deed): (&Account, &Request, &DeedRequest),
    deadline: Duration,
) -> Result<Answer, Failure> {
    if account.uid.is_root() {
        return Err(Failure::later(3, 5, Cause::NeverAsRoot {}));
    }
    become_for_good(account, true, Path::new("/"))?;
    let ready = |stream: &mut UnixStream| {
        frame::write(stream, &Answer::Ready { remark: None })
            .map_err(|error| Failure::system(error, |error| Cause::MessageNotTaken { error }))
    };
    if let Some(command) = &deed.command {
        let limit = Duration::from_secs(deed.seconds);
        let life = limit + LIFE;
        let _ = nix::unistd::alarm::set(u32::try_from(life.as_secs()).unwrap_or(u32::MAX));
        ready(stream)?;
        let theirs = stream
            .try_clone()
            .map_err(|error| Failure::system(error, |error| Cause::MessageNotTaken { error }))?;
        command::run(account, request, command, (theirs, limit))?;
        return Ok(Answer::Stored);
    }
    let path = deed.file.as_deref().unwrap_or(Path::new("/"));
    if request.maildir {
        let open = maildir::Open::at(path, account, request)?;
        ready(stream)?;
        open.fill(request, &mut Chunks::new(stream, deadline))?;
    } else {
        let open = mbox::Open::at(path, account, request)?;
        ready(stream)?;
        open.fill(request, &mut Chunks::new(stream, deadline))?;
    }
    Ok(Answer::Stored)
}

/// Writes with the rights that the process has now. The content is asked for when the
/// mailbox is open.
pub(super) fn deliver<B: Read>(
    account: &Account,
    request: &Request,
    spool: &Path,
    content: impl FnOnce(Option<Unheeded>) -> Result<B, Failure>,
) -> Result<Answer, Failure> {
    let (mut texts, mut remark) = (Vec::new(), None);
    let names = request.extensions.iter().map(String::as_str).chain([""]);
    for name in names.filter(|_| request.forward) {
        match forward::read(account, name)? {
            forward::Found::Text(text) => {
                texts.push((name.to_owned(), forward::with_lists(account, &text)?));
            }
            forward::Found::Unusable(why) => remark = Some(why),
            forward::Found::Nothing => {}
        }
    }
    if !texts.is_empty() {
        return Ok(Answer::Forward(texts));
    }
    if request.look {
        return Ok(Answer::Ready { remark });
    }
    if request.maildir {
        let open = maildir::Open::new(account, request)?;
        open.fill(request, &mut content(remark)?)?;
    } else {
        let open = mbox::Open::new(spool, account, request)?;
        open.fill(request, &mut content(remark)?)?;
    }
    Ok(Answer::Stored)
}

// For an mbox, the group is that of the directory where it allows its group to make files:
// how mail programs have shared it ever since. Beyond that the user's rights are enough.
fn become_for_good(account: &Account, maildir: bool, spool: &Path) -> Result<(), Failure> {
    if !can_become(account) {
        let we = nix::unistd::geteuid().as_raw().into();
        return Err(Failure::later(
            2,
            1,
            Cause::NotStartedAsRoot { we, user: account.name.clone() },
        ));
    }
    if !nix::unistd::geteuid().is_root() {
        return Ok(());
    }
    let shared = if maildir { None } else { mailbox_group(spool) };
    let failed = |error: io::Error| {
        let user = account.name.clone();
        Failure::later(3, 0, Cause::NotBecome { user, error: error.into() })
    };
    let name = std::ffi::CString::new(account.name.as_str()).map_err(|e| failed(e.into()))?;
    initgroups(&name, account.gid)
        .and_then(|()| setgid(shared.unwrap_or(account.gid)))
        .and_then(|()| setuid(account.uid))
        .map_err(|error| failed(error.into()))?;
    // Root's own mailbox is written without what makes root more than its owner.
    rights::keep(Capabilities::empty()).map_err(failed)?;
    if !account.uid.is_root() && setuid(Uid::from_raw(0)).is_ok() {
        return Err(failed(Cause::StillRoot {}.into()));
    }
    Ok(())
}

fn can_become(account: &Account) -> bool {
    let we = nix::unistd::geteuid();
    we.is_root() || we == account.uid
}

fn mailbox_group(spool: &Path) -> Option<Gid> {
    let metadata = std::fs::metadata(spool).ok()?;
    (metadata.mode() & 0o020 != 0).then(|| Gid::from_raw(metadata.gid()))
}
