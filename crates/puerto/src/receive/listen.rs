//! The sockets: bound once, accepted from until the server stops.

use std::future::poll_fn;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use puerto_smtp::Reply;
use puerto_smtp::limits::ServerTimeouts;
use socket2::{Protocol, Socket, Type};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::census::{Census, Counted, Full, Place};
use super::client_name;
use super::connection::Connection;
use super::driver::{Arrival, Driver, Peer, blocking};
use super::inherited::Inherited;
use super::policy::{Policy, Who};
use super::{Context, SUBMIT_SOCKET, Service, process};
use crate::cause::Cause;
use crate::config::Config;
use crate::lang::{Language, Said};
use crate::rights::{self, Identity};
use crate::telemetry::{Client, Event};

const BACKLOG: i32 = 1024;
/// How long accepting rests when there are no more file descriptors: enough for
/// others to give some back, and little to do meanwhile.
const REST: Duration = Duration::from_millis(100);
/// How long sessions may take to finish their transactions when the server stops.
const GRACE: Duration = Duration::from_secs(30);
/// How long somebody who is sent away may take to go.
const FAREWELL: Duration = Duration::from_secs(2);
/// How much less patient the server is when it is crowded.
pub(super) const HURRY: u32 = 10;

const NOT_LISTED: &str = "was handed over by the service manager, but [listen] does not list it: \
    clients that connect to it will wait for nobody; take it out of the socket unit \
    (puerto.socket), or add it to the configuration";

/// Why a listener cannot be bound. It says where, why and what to do.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {place}: {error}{}{}", hint(error), unused(rest))]
pub struct BindError {
    place: String,
    error: io::Error,
    /// What a service manager handed over and nobody could use.
    rest: Vec<String>,
}

impl BindError {
    /// The error for people.
    pub fn said(&self) -> Said {
        let advice = match self.error.kind() {
            io::ErrorKind::AddrInUse => {
                "; otro servidor la ocupa: deténgalo o cambie [listen] en la configuración"
            }
            io::ErrorKind::PermissionDenied => {
                "; los puertos por debajo de 1024 exigen root o CAP_NET_BIND_SERVICE, y la carpeta \
                 de los sockets debe poder escribirse"
            }
            io::ErrorKind::AddrNotAvailable => "; esta máquina no tiene esa dirección",
            _ => "",
        };
        let unused = match self.rest.as_slice() {
            [] => String::new(),
            rest => format!(
                "; el gestor de servicios ha entregado {}, que [listen] no incluye: la unidad de \
                 sockets y la configuración deben nombrar las mismas direcciones",
                rest.join(" y ")
            ),
        };
        let (error, place) = (rights::said(&self.error), &self.place);
        Said::of_both(|language| match language {
            Language::English => self.to_string(),
            Language::Spanish => {
                format!("no se puede escuchar en {place}: {}{advice}{unused}", error.of(language))
            }
        })
    }
}

fn hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            "; another server holds it: stop that one, or change [listen] in the configuration"
        }
        io::ErrorKind::PermissionDenied => {
            "; ports below 1024 need root or CAP_NET_BIND_SERVICE, and the run directory must \
             be writable"
        }
        io::ErrorKind::AddrNotAvailable => "; this machine has no such address",
        _ => "",
    }
}

fn unused(rest: &[String]) -> String {
    match rest {
        [] => String::new(),
        rest => format!(
            "; the service manager handed over {}, which [listen] does not list: the socket unit \
             and the configuration must name the same addresses",
            rest.join(" and ")
        ),
    }
}

/// Sockets that are bound and not yet accepted from.
#[derive(Debug)]
pub struct Listeners {
    tcp: Vec<(Service, TcpListener)>,
    unix: UnixListener,
    /// The local socket's path, if it is ours to remove.
    socket_path: Option<PathBuf>,
    warnings: Vec<String>,
}

impl Listeners {
    /// Binds everything that the configuration lists, and the local socket.
    pub fn bind(config: &Config) -> Result<Self, BindError> {
        Self::open(config, Inherited::default())
    }

    /// Takes what the configuration lists out of what was handed over, and binds the
    /// rest of it. What was handed over and is not listed is closed, and warned of: the
    /// service manager goes on holding it, and a client there would wait for nobody.
    pub fn open(config: &Config, mut inherited: Inherited) -> Result<Self, BindError> {
        let listen = &config.listen;
        let wanted = [
            (Service::Smtp, &listen.smtp),
            (Service::Submission, &listen.submission),
            (Service::Submissions, &listen.submissions),
        ];
        let mut tcp = Vec::new();
        let mut missing = Vec::new();
        for (service, addresses) in wanted {
            let mut found = Vec::new();
            for address in addresses {
                match inherited.take_tcp(*address) {
                    Some(listener) => found.push((service, listener)),
                    None => missing.push((service, *address)),
                }
            }
            let dual = found.iter().filter(|(_, listener)| Inherited::is_dual(listener));
            for port in dual.filter_map(|(_, listener)| Some(listener.local_addr().ok()?.port())) {
                let four = SocketAddr::from(([0, 0, 0, 0], port));
                missing.retain(|(_, address)| *address != four);
            }
            tcp.extend(found);
        }
        let socket_path = config.run_dir.join(SUBMIT_SOCKET);
        let handed = inherited.take_unix(&socket_path);
        let rest = inherited.rest();
        let failed = |place: String| {
            let rest = rest.clone();
            move |error| BindError { place, error, rest }
        };
        for (service, address) in missing {
            let bound = bind_tcp(address).map_err(failed(address.to_string()))?;
            tcp.push((service, bound));
        }
        let (unix, socket_path) = match handed {
            Some(unix) => (unix, None),
            None => {
                let place = socket_path.display().to_string();
                let bound = Identity::of_service(&config.user)
                    .and_then(|service| rights::act(service.as_ref(), || bind_unix(&socket_path)));
                (bound.map_err(failed(place))?, Some(socket_path))
            }
        };
        let warnings = rest.iter().map(|what| format!("{what} {NOT_LISTED}")).collect();
        Ok(Self { tcp, unix, socket_path, warnings })
    }

    /// What is wrong with the sockets that were handed over.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Where it listens: what was handed over first, then what was bound, each in the
    /// order of the configuration. A port 0 there is a real one here.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.tcp.iter().filter_map(|(_, listener)| listener.local_addr().ok()).collect()
    }

    /// Sends all clients away until it is dropped: mail cannot be stored yet (RFC 5321 §3.8,
    /// 421). Who is told so tries again; who hears nothing waits for minutes.
    pub async fn turn_away(&self, hostname: &str) {
        let reply = Reply::enhanced(
            421,
            (4, 3, 0),
            format!("{hostname} mail cannot be stored now, try later"),
        );
        let mut line = Vec::new();
        reply.write_to(&mut line);
        let reply = line;
        let room = room_for_clients().min(Semaphore::MAX_PERMITS);
        let room = Arc::new(Semaphore::new(room));
        let mut doors = JoinSet::new();
        for (service, listener) in &self.tcp {
            let opened = listener.try_clone().and_then(tokio::net::TcpListener::from_std);
            // Before a handshake there is nothing to say on a port that begins with one.
            let words = if *service == Service::Submissions { Vec::new() } else { reply.clone() };
            if let Ok(listener) = opened {
                let next = move |context: &mut Knocking<'_>| listener.poll_accept(context);
                doors.spawn(dismiss_all(next, words, Arc::clone(&room)));
            }
        }
        if let Ok(listener) = self.unix.try_clone().and_then(tokio::net::UnixListener::from_std) {
            let next = move |context: &mut Knocking<'_>| listener.poll_accept(context);
            doors.spawn(dismiss_all(next, reply, room));
        }
        while doors.join_next().await.is_some() {}
        std::future::pending().await
    }

    /// Accepts and serves until `shutdown` is true; then sessions finish their
    /// transactions, for a bounded time.
    pub async fn run(self, context: Context, shutdown: watch::Receiver<bool>) {
        let census = Census::new(room_for_clients());
        let doorman = Doorman { context: Arc::new(context), census, shutdown };
        let mut doors = JoinSet::new();
        for (service, listener) in self.tcp {
            match tokio::net::TcpListener::from_std(listener) {
                Ok(listener) => {
                    doors.spawn(doorman.clone().keep(Door::Tcp(service, listener)));
                }
                Err(error) => doorman.warn(&format!("cannot use a listener: {error}")),
            }
        }
        match tokio::net::UnixListener::from_std(self.unix) {
            Ok(listener) => {
                doors.spawn(doorman.clone().keep(Door::Unix(listener)));
            }
            Err(error) => doorman.warn(&format!("cannot use the local socket: {error}")),
        }
        while doors.join_next().await.is_some() {}
        // Without its privileges the daemon may not be able to; the next start does it.
        if let Some(path) = &self.socket_path {
            let _ = std::fs::remove_file(path);
        }
    }
}

/// Whoever waits for somebody to come.
type Knocking<'a> = std::task::Context<'a>;

// Says the same to all who come, as long as there is room to wait until they have heard it;
// `next` says who it is, and where from.
async fn dismiss_all<C: AsyncRead + AsyncWrite + Unpin + Send + 'static, A>(
    mut next: impl FnMut(&mut Knocking<'_>) -> Poll<io::Result<(C, A)>>,
    words: Vec<u8>,
    room: Arc<Semaphore>,
) {
    loop {
        let Ok((client, _)) = poll_fn(&mut next).await else {
            sleep(REST).await;
            continue;
        };
        let Ok(place) = Arc::clone(&room).try_acquire_owned() else { continue };
        let words = words.clone();
        tokio::spawn(async move {
            dismiss(client, words).await;
            drop(place);
        });
    }
}

// What the client has said is read, so that the reply is not lost with its connection.
async fn dismiss(mut client: impl AsyncRead + AsyncWrite + Unpin, words: Vec<u8>) {
    let told = async {
        client.write_all(&words).await?;
        client.shutdown().await?;
        let mut said = [0; 512];
        while client.read(&mut said).await? > 0 {}
        io::Result::Ok(())
    };
    let _ = timeout(FAREWELL, told).await;
}

/// A third of the file descriptors that the process may have: a client with a large
/// message takes two, and the queue, deliveries and the DNS need theirs.
fn room_for_clients() -> usize {
    use nix::sys::resource::{Resource, getrlimit};
    match getrlimit(Resource::RLIMIT_NOFILE) {
        Ok((soft, _)) => usize::try_from(soft / 3).unwrap_or(usize::MAX),
        Err(_) => usize::MAX,
    }
}

/// A listener that stands beside one of the other address family.
pub fn bind_tcp(address: SocketAddr) -> io::Result<TcpListener> {
    let socket =
        Socket::new(socket2::Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        // "[::]:25" and "0.0.0.0:25" stand side by side.
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// To be called as the owner of the folder, who could otherwise have root change the mode
/// of anything that is put in the socket's place.
fn bind_unix(path: &Path) -> io::Result<UnixListener> {
    if let Some(directory) = path.parent() {
        std::fs::create_dir_all(directory)?;
    }
    remove_stale(path)?;
    let listener = UnixListener::bind(path)?;
    // Every user may submit mail; who it is, the kernel says.
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o666))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Removes a socket that a server left behind which did not end well.
fn remove_stale(path: &Path) -> io::Result<()> {
    match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
        Ok(metadata) if !metadata.file_type().is_socket() => Err(Cause::NoSocket {}.into()),
        Ok(_) if std::os::unix::net::UnixStream::connect(path).is_ok() => {
            Err(io::ErrorKind::AddrInUse.into())
        }
        Ok(_) => std::fs::remove_file(path),
    }
}

/// One listener.
enum Door {
    Tcp(Service, tokio::net::TcpListener),
    Unix(tokio::net::UnixListener),
}

/// What holds for one session from its beginning to its end.
struct Terms {
    config: Arc<Config>,
    place: Place,
}

/// A connection that nobody has looked at.
enum Knock {
    Tcp(Service, TcpStream, SocketAddr),
    Unix(UnixStream),
}

impl Door {
    async fn accept(&self) -> io::Result<Knock> {
        match self {
            Self::Tcp(service, listener) => {
                let (stream, peer) = listener.accept().await?;
                Ok(Knock::Tcp(*service, stream, peer))
            }
            Self::Unix(listener) => Ok(Knock::Unix(listener.accept().await?.0)),
        }
    }
}

/// Lets clients in, or not.
#[derive(Clone)]
struct Doorman {
    context: Arc<Context>,
    census: Census,
    shutdown: watch::Receiver<bool>,
}

impl Doorman {
    async fn keep(mut self, door: Door) {
        let mut sessions = JoinSet::new();
        while !*self.shutdown.borrow() {
            tokio::select! {
                biased;
                changed = self.shutdown.changed() => if changed.is_err() { break },
                Some(ended) = sessions.join_next() => self.note_panic(ended.err()),
                accepted = door.accept() => match accepted {
                    Ok(knock) => self.admit(knock, &mut sessions),
                    Err(error) => self.rest(&error).await,
                },
            }
        }
        drop(door);
        self.census.ring();
        let finish = async {
            while let Some(ended) = sessions.join_next().await {
                self.note_panic(ended.err());
            }
        };
        if timeout(GRACE, finish).await.is_err() {
            self.warn("some sessions did not end in time and were cut off");
        }
    }

    async fn rest(&self, error: &io::Error) {
        // ECONNABORTED and its like are about one client that is gone; the others
        // are about us, and do not go away by trying at once.
        let gone = [
            io::ErrorKind::ConnectionAborted,
            io::ErrorKind::ConnectionReset,
            io::ErrorKind::Interrupted,
        ];
        if !gone.contains(&error.kind()) {
            self.warn(&format!("cannot accept connections for the moment: {error}"));
            sleep(REST).await;
        }
    }

    fn admit(&self, knock: Knock, sessions: &mut JoinSet<()>) {
        let config = self.context.config.get();
        let counted = match &knock {
            Knock::Tcp(_, _, peer) if config.trusted_networks.contains(peer.ip()) => {
                Counted::Trusted(peer.ip())
            }
            Knock::Tcp(_, _, peer) => Counted::Stranger(peer.ip()),
            Knock::Unix(stream) => match stream.peer_cred() {
                Ok(credentials) => Counted::User(credentials.uid()),
                // Without a name nobody sends mail from here.
                Err(_) => return,
            },
        };
        match self.census.enter(counted, &config.limits) {
            Ok(place) => {
                let doorman = self.clone();
                // A session is several KiB, which starting and ending a task would copy around.
                sessions.spawn(Box::pin(doorman.serve(knock, counted, Terms { config, place })));
            }
            Err(full) => self.turn_away(knock, full, &config.hostname),
        }
    }

    async fn serve(self, knock: Knock, counted: Counted, terms: Terms) {
        let arrival = match (knock, counted) {
            (Knock::Tcp(service, stream, peer), _) => {
                self.client(service, (stream, peer), terms).await
            }
            (Knock::Unix(stream), Counted::User(uid)) => user(stream, uid, terms),
            (Knock::Unix(_), _) => return,
        };
        // Not `Driver::new(…).run()`, which would copy all that a session may ever hold.
        let mut driver = Driver::new(self.context, arrival, self.shutdown);
        driver.run().await;
    }

    async fn client(
        &self,
        service: Service,
        (stream, peer): (TcpStream, SocketAddr),
        terms: Terms,
    ) -> Arrival {
        // Replies are small and waited for. A socket that refuses is only slower.
        let _ = stream.set_nodelay(true);
        let address = peer.ip().to_canonical();
        let own = stream.local_addr().ok().map(|own| own.ip());
        let name = client_name::look_up(&*self.context.dns, address).await;
        Arrival {
            policy: Policy::new(&terms.config, service, Who::Client(address), own),
            connection: Connection::Tcp(stream),
            peer: Peer::Client(SocketAddr::new(address, peer.port())),
            client: Client { name, address: Some(address) },
            service,
            config: terms.config,
            place: terms.place,
            timeouts: ServerTimeouts::default(),
        }
    }

    fn turn_away(&self, knock: Knock, full: Full, hostname: &str) {
        let (connection, address) = match knock {
            Knock::Tcp(_, stream, peer) => {
                (Connection::Tcp(stream), Some(peer.ip().to_canonical()))
            }
            Knock::Unix(stream) => (Connection::Unix(stream), None),
        };
        let why = match full {
            Full::Server => "too many connections",
            Full::Client => "too many connections from your address",
        };
        let text = format!("{hostname} Error: {why}");
        connection.turn_away(&Reply::enhanced(421, (4, 7, 0), text));
        let client = Client { name: None, address };
        self.context.log.write(&Event::SessionProblem { client: &client, what: why });
    }

    fn note_panic(&self, error: Option<tokio::task::JoinError>) {
        if let Some(error) = error.filter(tokio::task::JoinError::is_panic) {
            self.warn(&format!("a session ended by a fault of this program: {error}"));
        }
    }

    fn warn(&self, text: &str) {
        let level = "warning";
        self.context.log.write(&Event::Notice { level, component: "smtpd", id: None, text });
    }
}

fn user(stream: UnixStream, uid: u32, terms: Terms) -> Arrival {
    // Where names come from a directory server, asking it may take a while.
    let (process, found) = blocking(|| {
        let process = process::at_the_other_end(&stream, uid);
        (process, nix::unistd::User::from_uid(nix::unistd::Uid::from_raw(uid)))
    });
    let name = found.ok().flatten().map_or_else(|| uid.to_string(), |user| user.name);
    Arrival {
        policy: Policy::new(&terms.config, Service::Smtp, Who::User, None),
        connection: Connection::Unix(stream),
        peer: Peer::User { uid, name, process },
        client: Client { name: Some("localhost".to_owned()), address: None },
        service: Service::Smtp,
        config: terms.config,
        place: terms.place,
        timeouts: ServerTimeouts::default(),
    }
}
