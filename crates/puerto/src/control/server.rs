//! The server's side of the control socket.

use std::fs::Permissions;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use puerto_smtp::Domain;
use puerto_spool::{Desk, Store};
use tokio::sync::watch;
use tokio::time::timeout;

use super::ordering;
use super::places::Places;
use super::session::{self, Shared, serve};
use crate::cause::Cause;
use crate::config::{Config, Live};
use crate::history::History;
use crate::intake::Wake;
use crate::lang::{Said, said_of};
use crate::orders::Orders;
use crate::queue::Lanes;
use crate::rights::{self, Identity};
use crate::telemetry::MailLog;

/// How long a client may take over its next request, or over reading our answer.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// How often it is looked what was ordered elsewhere, and what has ended.
const LOOK_AT_ORDERS: Duration = Duration::from_secs(2);

/// Reads the configuration again and puts it in force, or says what is wrong with it.
pub type Reload = Arc<dyn Fn() -> Result<(), String> + Send + Sync>;

/// Has another certificate asked for, with a new key or the old one, or says why not.
pub type Renew = Arc<dyn Fn(bool) -> Result<(), String> + Send + Sync>;

/// What the sessions work with.
pub struct Context {
    /// The configuration in force.
    pub config: Live,
    /// The queue.
    pub desk: Arc<dyn Desk>,
    /// What its messages say.
    pub store: Arc<dyn Store>,
    /// To be told when mail has become due.
    pub wake: Wake,
    /// Where changes are written down.
    pub log: MailLog,
    /// What became of mail that is gone; `None`: it cannot be kept.
    pub history: Option<History>,
    /// Reads the configuration again.
    pub reload: Reload,
    /// What is seen of the rest of the server.
    pub sight: Sight,
}

/// By which lane mail for a domain goes, if that is known without asking the DNS.
type LaneOf = Arc<dyn Fn(&Domain) -> Option<String> + Send + Sync>;

/// What the sessions see of the rest of the server.
#[derive(Clone)]
pub struct Sight {
    /// What an administrator has ordered, as the rest of the server heeds it.
    pub orders: Orders,
    /// How the lanes stand.
    pub lanes: Lanes,
    /// Which lane is whose.
    pub lane_of: LaneOf,
    /// Has another certificate asked for.
    pub renew: Renew,
}

/// Nothing of it.
impl Default for Sight {
    fn default() -> Self {
        Self {
            orders: Orders::default(),
            lanes: Lanes::default(),
            lane_of: Arc::new(|_| None),
            renew: Arc::new(|_| Err("this server gets no certificate".to_owned())),
        }
    }
}

/// The socket cannot be made.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {}: {source}", path.display())]
pub struct BindError {
    /// The socket.
    pub path: PathBuf,
    /// Why not.
    #[source]
    pub source: io::Error,
}

impl BindError {
    /// The error for people.
    pub fn said(&self) -> Said {
        said_of!(
            "cannot listen on {path}: {error}", "no se puede escuchar en {path}: {error}";
            path = Said::words(self.path.display().to_string()), error = rights::said(&self.source)
        )
    }
}

/// The socket, listening.
#[derive(Debug)]
pub struct Server {
    listener: UnixListener,
    path: PathBuf,
}

impl Server {
    /// Makes the socket. One that a dead server left behind is replaced; one that a
    /// living server answers on is an error.
    pub fn bind(config: &Config) -> Result<Self, BindError> {
        let path = config.run_dir.join("control");
        // As the folder's owner, who could otherwise have root change the mode of anything
        // that is put in the socket's place.
        let bound = Identity::of_service(&config.user)
            .and_then(|service| rights::act(service.as_ref(), || listen(&path)));
        match bound {
            Ok(listener) => Ok(Self { listener, path }),
            Err(source) => Err(BindError { path, source }),
        }
    }

    /// Answers whatever is asked by why there is no queue, until it is dropped.
    pub async fn turn_away(&self, why: &Mutex<String>) {
        let opened = self.listener.try_clone().and_then(tokio::net::UnixListener::from_std);
        let Ok(listener) = opened else { return };
        let places = Places::new();
        loop {
            let (stream, uid) = next_client(&listener).await;
            // Whoever asks nothing is not waited for, but has a place.
            let Some(place) = places.enter(uid) else { continue };
            let why = why.lock().unwrap_or_else(PoisonError::into_inner).clone();
            tokio::spawn(async move {
                let _ = timeout(PATIENCE, session::refuse(stream, why)).await;
                drop(place);
            });
        }
    }

    /// Serves clients until told to stop.
    pub async fn run(self, context: Context, mut shutdown: watch::Receiver<bool>) {
        let Ok(listener) = tokio::net::UnixListener::from_std(self.listener) else { return };
        let shared = Arc::new(Shared::new(context));
        let tending = tokio::spawn(tend(Arc::clone(&shared)));
        loop {
            let (stream, uid) = tokio::select! {
                client = next_client(&listener) => client,
                _ = shutdown.wait_for(|stop| *stop) => break,
            };
            tokio::spawn(serve(stream, uid, Arc::clone(&shared)));
        }
        tending.abort();
        let _ = std::fs::remove_file(&self.path);
    }
}

// Who comes next, and which user that is, as the kernel says.
async fn next_client(listener: &tokio::net::UnixListener) -> (tokio::net::UnixStream, u32) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => match stream.peer_cred() {
                Ok(credentials) => return (stream, credentials.uid()),
                Err(_) => continue,
            },
            // Out of file descriptors, most likely: let others close some.
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
}

// Orders end, and other nodes give some.
async fn tend(shared: Arc<Shared>) {
    loop {
        tokio::time::sleep(LOOK_AT_ORDERS).await;
        let tended = Arc::clone(&shared);
        let _ = tokio::task::spawn_blocking(move || ordering::tend(&tended.context)).await;
    }
}

fn listen(path: &Path) -> io::Result<UnixListener> {
    if let Some(directory) = path.parent() {
        std::fs::create_dir_all(directory)?;
    }
    if path.exists() {
        if UnixStream::connect(path).is_ok() {
            return Err(io::Error::new(io::ErrorKind::AddrInUse, Cause::SocketTaken {}));
        }
        std::fs::remove_file(path)?;
    }
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, Permissions::from_mode(0o666))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}
