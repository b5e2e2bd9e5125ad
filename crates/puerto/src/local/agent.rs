//! The mailbox agent: a small process that keeps root's rights when the daemon gives
//! them up, and does nothing with them but write mailboxes.
//!
//! The daemon starts it before it drops privileges ([`spawn`]) and keeps one end of a
//! socket pair. Each request names a user and brings a message; the agent becomes that
//! user, writes, becomes root again and answers. It has one thread, since a process
//! has one identity; it takes no paths, so that the daemon can only ever have the
//! mailbox of an existing user appended to; and it ends when the daemon's end of the
//! socket is closed.
//!
//! A request is a length and a JSON object, then the content in chunks, each with its
//! length: none ends it, and `u32::MAX` says that it cannot be read to its end. The
//! answer is a length and a JSON object.

use std::io::{self, Read, Write};
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nix::unistd::{Gid, Uid, initgroups, setegid, seteuid, setgroups};
use puerto_smtp::EnhancedCode;
use serde::{Deserialize, Serialize};

use super::account::Account;
use super::failure::Failure;
use super::mbox::Preface;
use super::{maildir, mbox};

/// The name of the hidden subcommand that runs the agent.
pub const SUBCOMMAND: &str = "local-agent";

/// Where mailboxes are.
pub(super) const SPOOL: &str = "/var/mail";

/// Octets of a request's or an answer's object at most.
const FRAME_BOUND: u32 = 1024 * 1024;
/// Octets of one chunk of content at most.
const CHUNK: usize = 64 * 1024;
/// The length that says that the content cannot be read to its end.
const BROKEN: u32 = u32::MAX;
/// How long the agent may take for one step; a mailbox may be locked for a while.
const PATIENCE: Duration = Duration::from_secs(60);

/// What to write, and for whom.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Request {
    /// The user, by name.
    pub(super) user: String,
    /// Into `~/Maildir/` instead of `/var/mail/USER`.
    pub(super) maildir: bool,
    /// The user's `.forward` has a say first.
    pub(super) forward: bool,
    /// See [`Preface`].
    pub(super) sender: String,
    /// See [`Preface`].
    pub(super) header: String,
}

/// What became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Written {
    /// It is in the mailbox, on the disk.
    Stored,
    /// The text of the user's `.forward`, which says otherwise.
    #[allow(dead_code, reason = "the agent does not read the file yet")]
    Forward(String),
}

#[derive(Debug, Serialize, Deserialize)]
struct Answer {
    /// Class, subject and detail; none if it is done.
    failure: Option<(u8, u16, u16)>,
    text: String,
}

/// The daemon's end. Dropping it ends the agent.
#[derive(Debug)]
pub struct AgentHandle(Mutex<Option<Connection>>);

#[derive(Debug)]
struct Connection {
    stream: Option<UnixStream>,
    child: Option<Child>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        // The agent ends at the end of its input, after what it is just writing.
        self.stream = None;
        if let Some(mut child) = self.child.take() {
            let _ = child.wait();
        }
    }
}

/// Starts the agent: to be called as root, before privileges are dropped and before
/// any mail is taken.
pub fn spawn() -> io::Result<AgentHandle> {
    let mut command = Command::new("/proc/self/exe");
    command.arg0("puerto").arg(SUBCOMMAND).env_clear();
    if let Some(zone) = std::env::var_os("TZ") {
        command.env("TZ", zone);
    }
    start(command)
}

fn start(mut command: Command) -> io::Result<AgentHandle> {
    let (ours, theirs) = UnixStream::pair()?;
    ours.set_read_timeout(Some(PATIENCE))?;
    ours.set_write_timeout(Some(PATIENCE))?;
    command.stdin(Stdio::from(std::os::fd::OwnedFd::from(theirs))).stdout(Stdio::null());
    let child = command.spawn()?;
    let connection = Connection { stream: Some(ours), child: Some(child) };
    Ok(AgentHandle(Mutex::new(Some(connection))))
}

impl AgentHandle {
    /// Has a message written. A failure of the agent itself is temporary: the message
    /// waits until the daemon is started again. Blocks.
    pub(super) fn deliver(&self, request: &Request, body: &mut dyn Read) -> Result<(), Failure> {
        let mut slot = self.lock();
        let stream = slot.as_mut().and_then(|connection| connection.stream.as_mut());
        let Some(stream) = stream else {
            let text = "the mailbox agent has ended: restart puerto to start it again";
            return Err(Failure::later(3, 0, text));
        };
        match exchange(stream, request, body) {
            Ok(answer) => answer.into_result(),
            Err(error) => {
                // What comes next on the socket cannot be told any more.
                *slot = None;
                Err(Failure::later(3, 0, format!("the mailbox agent does not answer: {error}")))
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Connection>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Answer {
    fn into_result(self) -> Result<(), Failure> {
        let Some((class, subject, detail)) = self.failure else {
            return Ok(());
        };
        Err(Failure { status: EnhancedCode::new(class, subject, detail), text: self.text })
    }
}

fn exchange(stream: &mut UnixStream, request: &Request, body: &mut dyn Read) -> io::Result<Answer> {
    write_frame(stream, request)?;
    let mut chunk = vec![0; 4 + CHUNK];
    loop {
        let length = match chunk.get_mut(4..).map(|space| body.read(space)) {
            Some(Ok(length)) => u32::try_from(length).unwrap_or(BROKEN),
            Some(Err(error)) if error.kind() == io::ErrorKind::Interrupted => continue,
            _ => BROKEN,
        };
        if let Some(space) = chunk.first_chunk_mut::<4>() {
            *space = length.to_be_bytes();
        }
        let content = if length == BROKEN { 0 } else { length as usize };
        stream.write_all(chunk.get(..4 + content).unwrap_or_default())?;
        if content == 0 {
            return read_frame(stream)?.ok_or_else(|| io::ErrorKind::UnexpectedEof.into());
        }
    }
}

fn write_frame(stream: &mut UnixStream, value: &impl Serialize) -> io::Result<()> {
    let object = serde_json::to_vec(value)?;
    let length = u32::try_from(object.len()).ok().filter(|length| *length <= FRAME_BOUND);
    let length = length.ok_or(io::ErrorKind::InvalidInput)?;
    let mut frame = length.to_be_bytes().to_vec();
    frame.extend_from_slice(&object);
    stream.write_all(&frame)
}

// `None` at the end of the stream.
fn read_frame<T: for<'de> Deserialize<'de>>(stream: &mut UnixStream) -> io::Result<Option<T>> {
    let mut length = [0; 4];
    match stream.read_exact(&mut length) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        result => result?,
    }
    let length = u32::from_be_bytes(length);
    if length > FRAME_BOUND {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut object = vec![0; length as usize];
    stream.read_exact(&mut object)?;
    Ok(Some(serde_json::from_slice(&object)?))
}

/// The agent's whole life: what the hidden subcommand runs. Requests come on the
/// standard input, which is a socket.
pub fn run() -> ExitCode {
    // The daemon ends in its own time after a signal to the whole group, and the agent
    // with it: by then all mail that is under way has been written.
    let _ = nix::sys::signal::SigSet::all().thread_block();
    let _ = std::env::set_current_dir("/");
    nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o077));
    let stream = nix::unistd::dup(io::stdin().as_fd()).map(UnixStream::from);
    let rights = if nix::unistd::geteuid().is_root() { Rights::Recipients } else { Rights::Own };
    match stream.map(|stream| serve(stream, Path::new(SPOOL), rights)) {
        Ok(Ok(())) => ExitCode::SUCCESS,
        Ok(Err(error)) => complain(&error),
        Err(error) => complain(&error.into()),
    }
}

fn complain(error: &io::Error) -> ExitCode {
    eprintln!("puerto {SUBCOMMAND}: this is started by `puerto serve` alone: {error}");
    ExitCode::from(70)
}

/// With whose rights mailboxes are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rights {
    /// Those that the process has.
    Own,
    /// Those of each mailbox's owner, which only root can take on.
    Recipients,
}

fn serve(mut stream: UnixStream, spool: &Path, rights: Rights) -> io::Result<()> {
    while let Some(request) = read_frame::<Request>(&mut stream)? {
        let mut body = Chunks { stream: &mut stream, left: 0, end: None };
        let result = handle(&request, &mut body, spool, rights);
        // After a failure, the rest of the content is still on its way.
        let _ = io::copy(&mut body, &mut io::sink());
        if body.end.is_none() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let answer = match result {
            Ok(()) => Answer { failure: None, text: String::new() },
            Err(Failure { status, text }) => {
                Answer { failure: Some((status.class, status.subject, status.detail)), text }
            }
        };
        write_frame(&mut stream, &answer)?;
    }
    Ok(())
}

fn handle(
    request: &Request,
    body: &mut dyn Read,
    spool: &Path,
    rights: Rights,
) -> Result<(), Failure> {
    let account = Account::find(&request.user)
        .map_err(|error| Failure::later(3, 0, format!("cannot look up users: {error}")))?
        .ok_or_else(|| Failure::never(1, 1, format!("there is no user `{}`", request.user)))?;
    let taken = match rights {
        Rights::Own => None,
        Rights::Recipients => Some(Taken::take(&account, request.maildir, spool)?),
    };
    let result = write(&account, request, body, spool);
    drop(taken);
    result
}

/// Writes with the rights that the process has now.
pub(super) fn write(
    account: &Account,
    request: &Request,
    body: &mut dyn Read,
    spool: &Path,
) -> Result<(), Failure> {
    let preface = Preface { sender: request.sender.clone(), header: request.header.clone() };
    if request.maildir {
        maildir::deliver(account, &preface, body)
    } else {
        mbox::deliver(spool, account, &preface, body)
    }
}

/// The rights of a user, until dropped.
struct Taken(());

impl Taken {
    // For an mbox, the group is that of the directory where it allows its group to make
    // files: how mail programs have shared it ever since. Beyond that the user's rights
    // are enough, and nothing is ever done as root.
    fn take(account: &Account, maildir: bool, spool: &Path) -> Result<Self, Failure> {
        let taken = Self(());
        let result = if maildir {
            std::ffi::CString::new(account.name.as_str())
                .map_err(|_| nix::Error::EINVAL)
                .and_then(|name| initgroups(&name, account.gid))
                .and_then(|()| setegid(account.gid))
        } else {
            setgroups(&[]).and_then(|()| setegid(mailbox_group(spool).unwrap_or(account.gid)))
        };
        result.and_then(|()| seteuid(account.uid)).map_err(|error| {
            Failure::later(3, 0, format!("cannot become {}: {error}", account.name))
        })?;
        Ok(taken)
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        let root = Gid::from_raw(0);
        let back =
            seteuid(Uid::from_raw(0)).and_then(|()| setegid(root)).and_then(|()| setgroups(&[]));
        if back.is_err() {
            // Whatever came next would be done with the wrong rights.
            std::process::exit(70);
        }
    }
}

fn mailbox_group(spool: &Path) -> Option<Gid> {
    use std::os::unix::fs::MetadataExt as _;
    let metadata = std::fs::metadata(spool).ok()?;
    (metadata.mode() & 0o020 != 0).then(|| Gid::from_raw(metadata.gid()))
}

/// The content of a request.
struct Chunks<'a> {
    stream: &'a mut UnixStream,
    /// Octets of the current chunk that are still to come.
    left: usize,
    /// How it ended: whole, or broken off.
    end: Option<bool>,
}

impl Read for Chunks<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 && self.end.is_none() {
            let mut length = [0; 4];
            self.stream.read_exact(&mut length)?;
            match u32::from_be_bytes(length) {
                0 => self.end = Some(true),
                BROKEN => self.end = Some(false),
                length if length as usize > CHUNK => return Err(io::ErrorKind::InvalidData.into()),
                length => self.left = length as usize,
            }
        }
        match self.end {
            Some(true) => return Ok(0),
            Some(false) => return Err(io::Error::other("the queued message cannot be read")),
            None => {}
        }
        let wanted = buffer.len().min(self.left);
        let read = self.stream.read(buffer.get_mut(..wanted).unwrap_or_default())?;
        if read == 0 && wanted > 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.left -= read;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
    use std::path::PathBuf;

    fn request(user: &str) -> Request {
        Request {
            user: user.into(),
            maildir: false,
            forward: false,
            sender: "me@example.com".into(),
            header: "Delivered-To: x@example.com\n".into(),
        }
    }

    fn own_name() -> String {
        nix::unistd::User::from_uid(nix::unistd::geteuid()).unwrap().unwrap().name
    }

    /// An agent in a thread, with the rights of the test itself.
    fn agent(spool: &Path) -> AgentHandle {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let spool = spool.to_owned();
        std::thread::spawn(move || serve(theirs, &spool, Rights::Own));
        AgentHandle(Mutex::new(Some(Connection { stream: Some(ours), child: None })))
    }

    struct Failing;

    impl Read for Failing {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("a bad disk"))
        }
    }

    #[test]
    fn requests_are_answered_one_after_the_other() {
        let dir = tempfile::tempdir().unwrap();
        let agent = agent(dir.path());
        let user = own_name();
        let large = vec![b'x'; 200_000];
        agent.deliver(&request(&user), &mut large.as_slice()).unwrap();
        let unknown = agent.deliver(&request("no-such-user"), &mut large.as_slice()).unwrap_err();
        assert_eq!(unknown.status, EnhancedCode::new(5, 1, 1));
        let path = agent.deliver(&request("../root"), &mut &b"x"[..]).unwrap_err();
        assert_eq!(path.status.class, 5);
        let broken = agent.deliver(&request(&user), &mut (&b"half"[..]).chain(Failing));
        assert_eq!(broken.unwrap_err().status.class, 4);
        agent.deliver(&request(&user), &mut &b"last\r\n"[..]).unwrap();
        let text = std::fs::read_to_string(dir.path().join(user)).unwrap();
        assert_eq!(text.matches("Delivered-To").count(), 2);
        assert!(!text.contains("half") && text.ends_with("last\n\n"));
    }

    #[test]
    fn an_agent_that_is_gone_makes_mail_wait() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        drop(theirs);
        let connection = Connection { stream: Some(ours), child: None };
        let agent = AgentHandle(Mutex::new(Some(connection)));
        for _ in 0..2 {
            let failure = agent.deliver(&request("root"), &mut &b"x"[..]).unwrap_err();
            assert_eq!(failure.status.class, 4);
        }
    }

    const SPOOL_VARIABLE: &str = "PUERTO_TEST_AGENT_SPOOL";

    /// Not a test of its own: the process that the next one starts.
    #[test]
    fn agent_process() {
        if let Some(spool) = std::env::var_os(SPOOL_VARIABLE) {
            let stream = nix::unistd::dup(io::stdin().as_fd()).map(UnixStream::from).unwrap();
            serve(stream, &PathBuf::from(spool), Rights::Recipients).unwrap();
        }
    }

    #[test]
    fn the_agent_of_root_becomes_each_recipient() {
        let nobody = nix::unistd::User::from_name("nobody").unwrap();
        let daemon = nix::unistd::User::from_name("daemon").unwrap();
        let (true, Some(nobody), Some(daemon)) = (nix::unistd::geteuid().is_root(), nobody, daemon)
        else {
            return;
        };
        let dir = tempfile::tempdir().unwrap();
        let spool = dir.path().join("mail");
        std::fs::create_dir(&spool).unwrap();
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        let mail = Gid::from_raw(8);
        nix::unistd::chown(&spool, None, Some(mail)).unwrap();
        std::fs::set_permissions(&spool, std::fs::Permissions::from_mode(0o2775)).unwrap();
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "local::agent::tests::agent_process", "--test-threads=1"]);
        command.env(SPOOL_VARIABLE, &spool);
        let agent = start(command).unwrap();
        agent.deliver(&request("nobody"), &mut &b"hi\r\n"[..]).unwrap();
        let made = std::fs::metadata(spool.join("nobody")).unwrap();
        assert_eq!((made.uid(), made.gid()), (nobody.uid.as_raw(), mail.as_raw()));
        assert_eq!(made.mode() & 0o777, 0o660);
        // A mailbox of somebody else's that stands in the way is not written.
        let trap = spool.join("daemon");
        std::fs::write(&trap, "").unwrap();
        std::fs::set_permissions(&trap, std::fs::Permissions::from_mode(0o666)).unwrap();
        let refused = agent.deliver(&request("daemon"), &mut &b"hi\r\n"[..]).unwrap_err();
        assert!(refused.text.contains("does not belong to daemon"), "{}", refused.text);
        nix::unistd::chown(&trap, Some(daemon.uid), None).unwrap();
        agent.deliver(&request("daemon"), &mut &b"hi\r\n"[..]).unwrap();
        agent.deliver(&request("root"), &mut &b"hi\r\n"[..]).unwrap();
        assert_eq!(std::fs::metadata(spool.join("root")).unwrap().uid(), 0);
        assert!(!spool.join("root.lock").exists());
    }
}
