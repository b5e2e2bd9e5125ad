//! The daemon's end of mailbox deliveries. Each is a process of its own ([`mailbox`]),
//! started by the [`overseer`], which keeps the right to become each user when the daemon
//! gives root's rights up.
//!
//! The overseer gets one end of a socket pair for each delivery and nothing else; the
//! daemon asks for a user by name over the other end, and can only ever have the mailbox
//! of an existing user appended to. A user's deliveries come one after the other, different
//! users' side by side. Whatever a process does, or does not, its socket and a time limit
//! are all that the daemon waits for; a user whose process cannot even be killed, since
//! its disk does not answer, gets no second one.
//!
//! [`mailbox`]: super::mailbox
//! [`overseer`]: super::overseer

use std::collections::HashMap;
use std::io::{self, IoSlice};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream as Socket;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::net::{
    AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags, SocketType,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::sync::{Notify, Semaphore};
use tokio::time::{Instant, timeout};

use super::delivery::aside;
use super::failure::Failure;
use super::forward::Unheeded;
use super::frame::{Answer, BROKEN, CHUNK, FRAME_BOUND, Request, framed};
use super::mailbox::LIFE;
use super::overseer::{LONG, SHORT};
pub use super::overseer::{Role, run};
use crate::cause::Cause;
use crate::deliver::{Body, BodyReader};

/// The name of the hidden subcommand that runs the agent's processes.
pub const SUBCOMMAND: &str = "local-agent";

/// Deliveries that are under way at the same time.
const AT_ONCE: usize = 64;
/// How long a process may take to open a mailbox.
const OPENING: Duration = Duration::from_secs(10);
/// How long a mailbox that was found locked is left alone.
const LOCKED: Duration = Duration::from_secs(2);

/// What became of a delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Written {
    /// It is in the mailbox, on the disk, if it was to be. With it, why a `.forward` is not
    /// heeded.
    Stored(Option<Unheeded>),
    /// The texts of the user's `.forward` files, which say otherwise, each with what stands
    /// behind the name.
    Forward(Vec<(String, String)>),
}

/// The daemon's end. Dropping it ends the agent after what it is just writing.
#[derive(Debug)]
pub struct AgentHandle {
    control: OwnedFd,
    places: Semaphore,
    users: Mutex<HashMap<String, User>>,
    lost: Arc<Notify>,
}

/// What is known of a user's deliveries, while there is something to know.
#[derive(Debug, Default)]
struct User {
    turn: Arc<tokio::sync::Mutex<()>>,
    /// The socket of a process that did not answer in time and may still be there.
    stuck: Option<Socket>,
    /// The mailbox was found locked.
    locked: Option<(Instant, Failure)>,
}

/// Starts the agent: to be called as root, before privileges are dropped and before
/// any mail is taken.
pub fn spawn() -> io::Result<AgentHandle> {
    start(program(Role::Overseer))
}

/// The command that runs a process of the agent.
pub(super) fn program(role: Role) -> Command {
    let mut command = Command::new("/proc/self/exe");
    command.arg0("puerto").args([SUBCOMMAND, role.name()]).env_clear().stdout(Stdio::null());
    if let Some(zone) = std::env::var_os("TZ") {
        command.env("TZ", zone);
    }
    command
}

fn start(mut command: Command) -> io::Result<AgentHandle> {
    let kind = (AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC);
    let (ours, theirs) = rustix::net::socketpair(kind.0, kind.1, kind.2, None)?;
    // The overseer is nobody's to wait for: it ends with the daemon, or after it.
    drop(command.stdin(Stdio::from(theirs)).spawn()?);
    Ok(AgentHandle::new(ours))
}

impl AgentHandle {
    fn new(control: OwnedFd) -> Self {
        let (places, users, lost) = (Semaphore::new(AT_ONCE), Mutex::default(), Arc::default());
        Self { control, places, users, lost }
    }

    /// Tells when neither the agent nor its overseer is there any more: whoever has given
    /// root's rights up cannot start them again.
    pub fn lost(&self) -> Arc<Notify> {
        Arc::clone(&self.lost)
    }

    /// Has a message written. What goes wrong with the process is temporary.
    pub(super) async fn deliver(
        &self,
        request: &Request,
        body: &Arc<dyn Body>,
    ) -> Result<Written, Failure> {
        let turn = Arc::clone(&self.users().entry(lane(request)).or_default().turn);
        let result = {
            let _mine = turn.lock().await;
            match self.hindrance(&lane(request), &request.user) {
                Some(failure) => Err(failure),
                None => self.deliver_now(request, body).await,
            }
        };
        drop(turn);
        self.users().retain(|_, user| {
            let locked = user.locked.as_ref().is_some_and(|(since, _)| since.elapsed() < LOCKED);
            locked || user.stuck.is_some() || Arc::strong_count(&user.turn) > 1
        });
        result
    }

    // Why there is no sense in another process for this user now.
    fn hindrance(&self, lane: &str, name: &str) -> Option<Failure> {
        let mut users = self.users();
        let user = users.get_mut(lane)?;
        if let Some((_, failure)) = user.locked.as_ref().filter(|(at, _)| at.elapsed() < LOCKED) {
            return Some(failure.clone());
        }
        let here = user.stuck.as_mut().is_some_and(is_open);
        if here {
            return Some(silent(name));
        }
        user.stuck = None;
        None
    }

    async fn deliver_now(
        &self,
        request: &Request,
        body: &Arc<dyn Body>,
    ) -> Result<Written, Failure> {
        let failed =
            |error: io::Error| Failure::system(error, |error| Cause::ProcessNotStarted { error });
        let place = self.places.acquire().await;
        let (ours, theirs) = Socket::pair().map_err(failed)?;
        let (kind, life) = match &request.deed {
            Some(deed) if deed.command.is_some() => {
                (LONG, Duration::from_secs(deed.seconds) + LIFE)
            }
            _ => (SHORT, LIFE),
        };
        self.hand_over(theirs, kind)?;
        ours.set_nonblocking(true).map_err(failed)?;
        let mut stream = UnixStream::from_std(ours).map_err(failed)?;
        // A little longer than the process lives.
        let conversation = timeout(life + Duration::from_secs(3), talk(&mut stream, request, body));
        let result = match conversation.await {
            Ok(Ok(result)) => result,
            Ok(Err(error)) if error.kind() != io::ErrorKind::TimedOut => {
                let (user, error) = (request.user.clone(), error.into());
                Err(Failure::soon(3, 0, Cause::ProcessEnded { user, error }))
            }
            Ok(Err(_)) | Err(_) => {
                if let Ok(socket) = stream.into_std() {
                    let _ = socket.shutdown(std::net::Shutdown::Write);
                    self.users().entry(lane(request)).or_default().stuck = Some(socket);
                }
                Err(silent(&request.user))
            }
        };
        drop(place);
        if let Err(failure) = &result
            && failure.soon
            && (failure.status.subject, failure.status.detail) == (2, 0)
        {
            let locked = Some((Instant::now(), failure.clone()));
            self.users().entry(lane(request)).or_default().locked = locked;
        }
        result
    }

    fn hand_over(&self, socket: Socket, kind: &[u8; 1]) -> Result<(), Failure> {
        let sockets = [socket.as_fd()];
        let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        control.push(SendAncillaryMessage::ScmRights(&sockets));
        let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
        let sent = rustix::net::sendmsg(&self.control, &[IoSlice::new(kind)], &mut control, flags);
        sent.map(|_| ()).map_err(|error| match error {
            rustix::io::Errno::AGAIN => Failure::soon(3, 0, Cause::AgentBusy {}),
            _ => {
                self.lost.notify_one();
                Failure::soon(3, 0, Cause::AgentEnded {})
            }
        })
    }

    fn users(&self) -> MutexGuard<'_, HashMap<String, User>> {
        self.users.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// What is done one after the other: a user's deliveries, and each command of a user's apart,
// so that a slow one keeps no other waiting.
fn lane(request: &Request) -> String {
    let deed = request.deed.as_ref();
    let deed = deed.and_then(|deed| {
        deed.command.clone().or_else(|| deed.file.as_ref().map(|path| path.display().to_string()))
    });
    match deed {
        Some(deed) => format!("{}\0{deed}", request.user),
        None => request.user.clone(),
    }
}

fn silent(name: &str) -> Failure {
    Failure::soon(2, 0, Cause::MailboxSilent { user: name.to_owned() })
}

// Whether the process at the other end is there still: its end is closed when it is gone.
fn is_open(socket: &mut Socket) -> bool {
    loop {
        match io::Read::read(socket, &mut [0; 1024]) {
            Ok(1..) => {}
            Ok(0) => return false,
            Err(error) => return error.kind() == io::ErrorKind::WouldBlock,
        }
    }
}

// An error of the kind TimedOut: the mailbox was not opened in time.
async fn talk(
    stream: &mut UnixStream,
    request: &Request,
    body: &Arc<dyn Body>,
) -> io::Result<Result<Written, Failure>> {
    stream.write_all(&framed(request)?).await?;
    let opened = timeout(OPENING, read_answer(stream)).await;
    let remark = match opened.map_err(|_| io::ErrorKind::TimedOut)?? {
        Answer::Ready { remark } if request.look => return Ok(Ok(Written::Stored(remark))),
        Answer::Ready { remark } => remark,
        Answer::Forward(texts) => return Ok(Ok(Written::Forward(texts))),
        Answer::Stored => return Err(io::ErrorKind::InvalidData.into()),
        Answer::Failed(failure) => return Ok(Err(failure)),
    };
    // A process that fails in the middle says why before it closes its end.
    let _ = send(stream, body).await;
    match read_answer(stream).await? {
        Answer::Stored => Ok(Ok(Written::Stored(remark))),
        Answer::Failed(failure) => Ok(Err(failure)),
        Answer::Ready { .. } | Answer::Forward(_) => Err(io::ErrorKind::InvalidData.into()),
    }
}

async fn read_answer(stream: &mut UnixStream) -> io::Result<Answer> {
    let length = stream.read_u32().await?;
    if length > FRAME_BOUND {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut object = vec![0; length as usize];
    stream.read_exact(&mut object).await?;
    Ok(serde_json::from_slice(&object)?)
}

async fn send(stream: &mut UnixStream, body: &Arc<dyn Body>) -> io::Result<()> {
    let Some(mut reader) = open(body).await else {
        return stream.write_u32(BROKEN).await;
    };
    if let Some(octets) = reader.in_memory().map(<[u8]>::to_vec) {
        for chunk in octets.chunks(CHUNK) {
            stream.write_u32(u32::try_from(chunk.len()).unwrap_or(BROKEN)).await?;
            stream.write_all(chunk).await?;
        }
        return stream.write_u32(0).await;
    }
    loop {
        let read = aside(move || {
            let mut chunk = vec![0; CHUNK];
            let read = reader.read(&mut chunk);
            let read = read.map_err(Failure::of_message)?;
            chunk.truncate(read);
            Ok((reader, chunk))
        });
        let Ok((same, chunk)) = read.await else {
            return stream.write_u32(BROKEN).await;
        };
        reader = same;
        stream.write_u32(u32::try_from(chunk.len()).unwrap_or(BROKEN)).await?;
        if chunk.is_empty() {
            return Ok(());
        }
        stream.write_all(&chunk).await?;
    }
}

async fn open(body: &Arc<dyn Body>) -> Option<Box<dyn BodyReader>> {
    if let Some(reader) = body.open_at_once() {
        return Some(reader);
    }
    let body = Arc::clone(body);
    aside(move || body.open().map_err(Failure::of_message)).await.ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::local::mailbox;
    use crate::local::overseer::{process_for_tests, receive_for_tests};
    use crate::local::tests::Text;
    use nix::unistd::Gid;
    use puerto_smtp::EnhancedCode;
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
    use std::path::Path;

    const ROLE: &str = "PUERTO_TEST_AGENT_ROLE";
    const SPOOL: &str = "PUERTO_TEST_AGENT_SPOOL";

    fn own_name() -> String {
        nix::unistd::User::from_uid(nix::unistd::geteuid()).unwrap().unwrap().name
    }

    fn program(role: Role) -> Command {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "local::agent::tests::agent_process", "--test-threads=1"]);
        command.env(ROLE, role.name()).stdout(Stdio::null());
        command
    }

    /// Not a test of its own: each of the processes that the others start.
    #[test]
    fn agent_process() {
        let Some(role) = std::env::var_os(ROLE) else { return };
        if role == Role::Mailbox.name() {
            let spool = std::env::var_os(SPOOL).unwrap();
            let stream = Socket::from(io::stdin().as_fd().try_clone_to_owned().unwrap());
            mailbox::serve(stream, Path::new(&spool)).unwrap();
        } else {
            process_for_tests(role == Role::Overseer.name(), &program);
        }
    }

    fn agent(spool: &Path) -> AgentHandle {
        let mut command = program(Role::Overseer);
        command.env(SPOOL, spool);
        start(command).unwrap()
    }

    fn text(octets: &'static [u8]) -> Arc<dyn Body> {
        Arc::new(Text(octets))
    }

    struct Broken;

    impl Body for Broken {
        fn len(&self) -> u64 {
            10
        }

        fn open(&self) -> io::Result<Box<dyn BodyReader>> {
            Err(io::Error::other("a bad disk"))
        }
    }

    #[tokio::test]
    async fn each_delivery_is_a_process_of_its_own() {
        let dir = tempfile::tempdir().unwrap();
        let agent = agent(dir.path());
        let user = own_name();
        let large: &'static [u8] = vec![b'x'; 200_000].leak();
        let to = |user: &str| Request::for_tests(user);
        let stored = Ok(Written::Stored(None));
        assert_eq!(agent.deliver(&to(&user), &text(large)).await, stored);
        let unknown = agent.deliver(&to("no-such-user"), &text(large)).await.unwrap_err();
        assert_eq!(unknown.status, EnhancedCode::new(5, 1, 1));
        let path = agent.deliver(&to("../root"), &text(b"x")).await.unwrap_err();
        assert_eq!(path.status.class, 5);
        let broken: Arc<dyn Body> = Arc::new(Broken);
        let failure = agent.deliver(&to(&user), &broken).await.unwrap_err();
        assert_eq!(failure.status.class, 4);
        let (request, body) = (to(&user), text(b"side by side\r\n"));
        let (one, two) =
            tokio::join!(agent.deliver(&request, &body), agent.deliver(&request, &body));
        assert_eq!((one, two), (stored.clone(), stored.clone()));
        let mailbox = dir.path().join(&user);
        let lock = std::fs::File::options().append(true).open(&mailbox).unwrap();
        lock.lock().unwrap();
        let locked = agent.deliver(&request, &body).await.unwrap_err();
        assert!(locked.soon && locked.status == EnhancedCode::new(4, 2, 0), "{}", locked.cause);
        drop(lock);
        let again = agent.deliver(&request, &body).await.unwrap_err();
        assert_eq!(again, locked, "it is left alone for a moment");
        let text = std::fs::read_to_string(mailbox).unwrap();
        assert_eq!(text.matches("Delivered-To").count(), 3);
        assert!(agent.users().len() == 1, "nothing is kept of users with nothing to know");
    }

    // An agent that is never started: sockets that are handed over stay where they are.
    fn nobody() -> (AgentHandle, OwnedFd) {
        let kind = (AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC);
        let (control, theirs) = rustix::net::socketpair(kind.0, kind.1, kind.2, None).unwrap();
        (AgentHandle::new(control), theirs)
    }

    #[tokio::test(start_paused = true)]
    async fn a_process_that_does_not_answer_is_not_joined_by_another() {
        let (agent, theirs) = nobody();
        let (request, body) = (Request::for_tests("root"), text(b"x\r\n"));
        let failure = agent.deliver(&request, &body).await.unwrap_err();
        assert!(
            failure.soon && failure.cause.text().contains("does not answer"),
            "{}",
            failure.cause
        );
        let process = receive_for_tests(&theirs);
        assert!(process.is_some());
        tokio::time::advance(LOCKED * 2).await;
        let failure = agent.deliver(&request, &body).await.unwrap_err();
        assert!(failure.cause.text().contains("does not answer"), "{}", failure.cause);
        assert!(receive_for_tests(&theirs).is_none(), "no other process was asked for");
        let _ = agent.deliver(&Request::for_tests("daemon"), &body).await;
        assert!(receive_for_tests(&theirs).is_some(), "another user's is");
        drop(process);
        tokio::time::advance(LOCKED * 2).await;
        let _ = agent.deliver(&request, &body).await;
        assert!(receive_for_tests(&theirs).is_some(), "it is gone, and another may come");
    }

    #[tokio::test]
    async fn an_agent_that_is_gone_makes_mail_wait() {
        let (agent, theirs) = nobody();
        drop(theirs);
        for _ in 0..2 {
            let request = Request::for_tests("root");
            let failure = agent.deliver(&request, &text(b"x")).await.unwrap_err();
            assert_eq!(failure.status.class, 4);
            assert!(failure.cause.text().contains("has ended"), "{}", failure.cause);
            agent.lost().notified().await;
        }
    }

    #[tokio::test]
    async fn the_process_of_root_becomes_each_recipient() {
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
        let agent = agent(&spool);
        let body = text(b"hi\r\n");
        agent.deliver(&Request::for_tests("nobody"), &body).await.unwrap();
        let made = std::fs::metadata(spool.join("nobody")).unwrap();
        assert_eq!((made.uid(), made.gid()), (nobody.uid.as_raw(), mail.as_raw()));
        assert_eq!(made.mode() & 0o777, 0o660);
        // A mailbox of somebody else's that stands in the way is not written.
        let trap = spool.join("daemon");
        std::fs::write(&trap, "").unwrap();
        std::fs::set_permissions(&trap, std::fs::Permissions::from_mode(0o666)).unwrap();
        let to_daemon = Request::for_tests("daemon");
        let refused = agent.deliver(&to_daemon, &body).await.unwrap_err();
        assert!(refused.cause.text().contains("does not belong to daemon"), "{}", refused.cause);
        nix::unistd::chown(&trap, Some(daemon.uid), None).unwrap();
        agent.deliver(&to_daemon, &body).await.unwrap();
        agent.deliver(&Request::for_tests("root"), &body).await.unwrap();
        assert_eq!(std::fs::metadata(spool.join("root")).unwrap().uid(), 0);
        assert!(!spool.join("root.lock").exists());
    }
}
