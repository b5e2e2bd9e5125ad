//! The server over real sockets on loopback and in a directory of its own.

mod login;

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use puerto_spool::clock::SystemClock;
use puerto_spool::memory::MemorySpool;
use puerto_spool::{Desk as _, Hindrance, SpoolError, Store};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::*;
use crate::config::{Config, Networks, TlsFiles};
use crate::intake::{self, KeyRing, Wake};
use crate::telemetry::Event;

const MESSAGE: &str = "From: a@b.example\r\nDate: Tue, 24 Nov 2026 07:00:00 +0000\r\n\
                       Message-ID: <1@b.example>\r\nSubject: x\r\n\r\nhello\r\n";

/// A server that runs until it is stopped.
struct Server {
    directory: tempfile::TempDir,
    addresses: Vec<SocketAddr>,
    spool: Arc<MemorySpool>,
    accounts: Arc<Accounts>,
    events: Arc<Mutex<Vec<String>>>,
    stop: watch::Sender<bool>,
    running: JoinHandle<()>,
}

impl Server {
    fn start(change: impl FnOnce(&mut Config)) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut config = Config::for_tests(directory.path());
        config.listen.smtp = vec!["127.0.0.1:0".parse().unwrap()];
        change(&mut config);
        let tls = ServerTls::load(config.tls.as_ref()).unwrap();
        let listeners = Listeners::bind(&config).unwrap();
        let addresses = listeners.addresses();
        let events = Arc::new(Mutex::new(Vec::new()));
        let log = {
            let events = Arc::clone(&events);
            MailLog::new(move |event: &Event<'_>| events.lock().unwrap().push(format!("{event:?}")))
        };
        let dns = Arc::new(Resolver::with_servers(&[]));
        let keys = Arc::new(KeyRing::load(&config.dkim_directory));
        let spool = Arc::new(MemorySpool::new(Arc::new(SystemClock)));
        let live = Live::new(config);
        let store: Arc<dyn Store> = Arc::clone(&spool) as Arc<dyn Store>;
        let accounts = Accounts::new(live.clone(), Arc::new(SystemClock));
        let intake = Intake::new(intake::Context {
            config: live.clone(),
            store,
            keys,
            log: log.clone(),
            wake: Wake::default(),
            clock: Arc::new(SystemClock),
        });
        let context = Context {
            recipients: Arc::new(Recipients::new(live.clone())),
            config: live,
            intake: Arc::new(intake),
            dns,
            tls,
            accounts: Arc::clone(&accounts),
            log,
        };
        let (stop, stopped) = watch::channel(false);
        let running = tokio::spawn(listeners.run(context, stopped));
        Self { directory, addresses, spool, accounts, events, stop, running }
    }

    async fn client(&self) -> Client<TcpStream> {
        self.client_of(0).await
    }

    async fn client_of(&self, index: usize) -> Client<TcpStream> {
        Client { stream: TcpStream::connect(self.addresses[index]).await.unwrap() }
    }

    fn socket(&self) -> PathBuf {
        self.directory.path().join("run").join(SUBMIT_SOCKET)
    }

    fn queued(&self) -> usize {
        self.spool.entries().len()
    }

    fn logged(&self, what: &str) -> bool {
        self.events.lock().unwrap().iter().any(|event| event.contains(what))
    }

    async fn stop(self) -> Arc<Mutex<Vec<String>>> {
        self.stop.send(true).unwrap();
        self.running.await.unwrap();
        self.events
    }
}

/// A client that says one thing and reads one reply.
struct Client<S> {
    stream: S,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    async fn reply(&mut self) -> String {
        let mut text = String::new();
        loop {
            let mut line = Vec::new();
            while !line.ends_with(b"\r\n") {
                match self.stream.read_u8().await {
                    Ok(octet) => line.push(octet),
                    Err(_) => return format!("{text}<closed>"),
                }
            }
            let line = String::from_utf8(line).unwrap();
            text.push_str(&line);
            if line.as_bytes()[3] == b' ' {
                return text;
            }
        }
    }

    async fn say(&mut self, text: &str) -> String {
        self.stream.write_all(text.as_bytes()).await.unwrap();
        self.stream.write_all(b"\r\n").await.unwrap();
        self.reply().await
    }

    async fn expect(&mut self, text: &str, reply: &str) {
        let got = self.say(text).await;
        assert!(got.starts_with(reply), "{text:?} got {got:?} instead of {reply:?}");
    }

    async fn hello(&mut self) {
        assert!(self.reply().await.starts_with("220 "));
        self.expect("EHLO client.example", "250").await;
    }

    async fn send(&mut self, to: &str) {
        self.expect("MAIL FROM:<a@b.example>", "250 2.1.0").await;
        self.expect(&format!("RCPT TO:<{to}>"), "250 2.1.5").await;
        self.expect("DATA", "354").await;
        self.expect(&format!("{MESSAGE}."), "250 2.0.0 Ok: queued as ").await;
    }

    async fn is_closed(&mut self) -> bool {
        matches!(self.stream.read_u8().await, Err(error)
            if error.kind() == std::io::ErrorKind::UnexpectedEof)
    }
}

fn strangers(config: &mut Config) {
    config.trusted_networks = Networks(Vec::new());
}

fn with_tls(config: &mut Config) {
    let directory = config.state_dir.clone();
    std::fs::create_dir_all(&directory).unwrap();
    let files =
        TlsFiles { certificate: directory.join("cert.pem"), key: directory.join("key.pem") };
    std::fs::write(&files.certificate, include_str!("../../tests/tls/localhost.pem")).unwrap();
    std::fs::write(&files.key, include_str!("../../tests/tls/localhost.key")).unwrap();
    std::fs::set_permissions(&files.key, std::fs::Permissions::from_mode(0o600)).unwrap();
    config.tls = Some(files);
}

async fn tls_client(stream: TcpStream) -> Client<tokio_rustls::client::TlsStream<TcpStream>> {
    let mut roots = rustls::RootCertStore::empty();
    let certificate = include_bytes!("../../tests/tls/localhost.pem");
    roots.add(CertificateDer::from_pem_slice(certificate).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let name = ServerName::try_from("localhost").unwrap();
    Client { stream: connector.connect(name, stream).await.unwrap() }
}

#[tokio::test]
async fn a_trusted_client_sends_and_the_log_tells_of_it() {
    let server = Server::start(|_| {});
    let mut client = server.client().await;
    client.hello().await;
    client.send("someone@elsewhere.example").await;
    client.send("root@example.com").await;
    client.expect("QUIT", "221 2.0.0").await;
    assert!(client.is_closed().await);
    drop(client);
    assert_eq!(server.queued(), 2);
    let events = server.stop().await;
    let events = events.lock().unwrap().join("\n");
    for what in ["Connect {", "FromClient", "Queued", "(\"mail\", 2, 2)", "localhost"] {
        assert!(events.contains(what), "{what} is not in {events}");
    }
}

#[tokio::test]
async fn a_stranger_reaches_our_users_and_nobody_else() {
    let server = Server::start(strangers);
    let mut client = server.client().await;
    client.hello().await;
    client.expect("MAIL FROM:<a@b.example>", "250").await;
    let denied = "554 5.7.1 <x@elsewhere.example>: Relay access denied\r\n";
    client.expect("RCPT TO:<x@elsewhere.example>", denied).await;
    client.expect("RCPT TO:<x%elsewhere.example@example.com>", "550 5.1.1").await;
    client.expect("RCPT TO:<no-such-user@example.com>", "550 5.1.1").await;
    client.expect("RCPT TO:<bare>", "501 5.1.3").await;
    client.expect("DATA", "554 5.5.1").await;
    client.expect("RCPT TO:<root@example.com>", "250").await;
    client.expect("RCPT TO:<postmaster>", "250").await;
    assert!(server.logged("Relay access denied"));
    assert_eq!(server.queued(), 0);
}

/// A3 and A5: strangers can neither have notices sent nor write to a crowd at once.
#[tokio::test]
async fn strangers_get_no_dsn_and_fewer_recipients() {
    let few = |config: &mut Config| config.limits.recipients_from_strangers = 2;
    let server = Server::start(|config| {
        strangers(config);
        few(config);
    });
    let mut client = server.client().await;
    assert!(client.reply().await.starts_with("220 "));
    client.stream.write_all(b"EHLO client.example\r\n").await.unwrap();
    let offered = client.reply().await;
    assert!(!offered.contains("DSN") && offered.contains("SMTPUTF8"), "{offered}");
    for parameter in ["RET=FULL", "ret=hdrs", "ENVID=x", "SIZE=10 RET=HDRS"] {
        let command = format!("MAIL FROM:<victim@bank.example> {parameter}");
        client.expect(&command, "555 5.5.4 Unsupported option: ").await;
    }
    client.expect("MAIL FROM:<victim@bank.example> SIZE=10 BODY=8BITMIME", "250").await;
    for parameter in ["NOTIFY=SUCCESS", "NOTIFY=NEVER", "ORCPT=rfc822;buy+20this"] {
        let command = format!("RCPT TO:<root+1@example.com> {parameter}");
        client.expect(&command, "555 5.5.4 Unsupported option: ").await;
    }
    client.expect("RCPT TO:<root@example.com>", "250").await;
    client.expect("RCPT TO:<postmaster@example.com>", "250").await;
    client.expect("RCPT TO:<root+2@example.com>", "452 4.5.3").await;
    let server = Server::start(few);
    let mut client = server.client().await;
    client.hello().await;
    client.expect("MAIL FROM:<a@b.example> RET=FULL ENVID=x", "250").await;
    for number in 0..4 {
        let command = format!("RCPT TO:<u{number}@c.example> NOTIFY=SUCCESS ORCPT=rfc822;x");
        client.expect(&command, "250").await;
    }
}

/// A4: content that comes drop by drop holds a place no longer than its size is worth.
#[tokio::test]
async fn content_of_a_stranger_has_a_least_rate() {
    for (trust, ends) in [(false, true), (true, false)] {
        let server = Server::start(|config| {
            if !trust {
                strangers(config);
            }
        });
        let mut client = server.client().await;
        client.stream.set_nodelay(true).unwrap();
        client.hello().await;
        client.expect("MAIL FROM:<a@b.example>", "250").await;
        client.expect("RCPT TO:<root@example.com>", "250").await;
        client.expect("DATA", "354").await;
        tokio::time::pause();
        let begun = tokio::time::Instant::now();
        while begun.elapsed() < Duration::from_secs(400) && !server.logged("timeout after DATA") {
            // Whole lines, so that each moves the time for the next piece.
            let _ = client.stream.write_all(b"x: y\r\n").await;
            // A clock that jumps leaves the sockets no time of their own.
            for _ in 0..200 {
                tokio::task::yield_now().await;
            }
            tokio::time::sleep(Duration::from_secs(10)).await;
        }
        assert_eq!(server.logged("timeout after DATA"), ends, "trusted: {trust}");
        assert_eq!(begun.elapsed() < Duration::from_secs(330), ends, "{:?}", begun.elapsed());
        tokio::time::resume();
    }
}

/// A4: see `census` for the counts; this is the whole way.
#[tokio::test]
async fn when_strangers_have_no_place_left_the_idle_go() {
    let server = Server::start(|config| {
        strangers(config);
        config.limits.connections = 5;
    });
    let mut idle = server.client().await;
    idle.hello().await;
    let mut others = Vec::new();
    for _ in 0..3 {
        let mut client = server.client().await;
        client.hello().await;
        others.push(client);
    }
    tokio::time::sleep(Duration::from_millis(3100)).await;
    for client in &mut others {
        client.expect("MAIL FROM:<a@b.example>", "250").await;
    }
    let mut newcomer = server.client().await;
    newcomer.hello().await;
    assert!(idle.reply().await.starts_with("421 4.7.0 mail.example.com Error: too many"));
    assert!(idle.is_closed().await);
    assert!(server.client().await.reply().await.starts_with("421 4.7.0"));
    newcomer.send("root@example.com").await;
    let mut user = Client { stream: UnixStream::connect(server.socket()).await.unwrap() };
    user.hello().await;
}

#[tokio::test]
async fn a_local_user_is_known_by_the_kernel_and_may_send_as_anybody() {
    let server = Server::start(strangers);
    let mut client = Client { stream: UnixStream::connect(server.socket()).await.unwrap() };
    let mode = std::fs::metadata(server.socket()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o666);
    client.hello().await;
    client.send("someone@elsewhere.example").await;
    client.expect("MAIL FROM:<bare>", "250").await;
    client.expect("RCPT TO:<root>", "250").await;
    client.expect("RCPT TO:<no-such-user@example.com>", "250").await;
    let uid = nix::unistd::getuid();
    assert!(server.logged("FromLocalUser { id: MessageId("));
    assert!(server.logged(&format!("uid: {uid}")));
    assert!(server.logged(&format!("process: Process {{ pid: Some({})", std::process::id())));
    client.expect("RSET", "250").await;
    client.expect("XORIGIN script=/srv/a+20shop.php", "250").await;
    client.send("me@example.com").await;
    assert!(server.logged("script: Some(\"/srv/a shop.php\")"));
    // Garbage on the socket ends that client's session alone.
    let mut other = Client { stream: UnixStream::connect(server.socket()).await.unwrap() };
    assert!(other.reply().await.starts_with("220 "));
    other.expect("GET / HTTP/1.1", "554 5.5.1").await;
    assert!(other.is_closed().await);
    client.expect("NOOP", "250").await;
}

#[tokio::test]
async fn starttls_protects_what_follows_and_forgets_what_came_before() {
    let server = Server::start(with_tls);
    let mut client = server.client().await;
    client.hello().await;
    client.expect("STARTTLS", "220 2.0.0").await;
    let mut client = tls_client(client.stream).await;
    client.expect("RCPT TO:<c@d.example>", "503").await;
    let offer = client.say("EHLO client.example").await;
    assert!(!offer.contains("STARTTLS"), "{offer}");
    client.send("someone@elsewhere.example").await;
    assert!(server.logged("tls: Some(\"TLSv1.3 with cipher TLS_"));

    let mut injector = server.client().await;
    injector.hello().await;
    injector.expect("STARTTLS\r\nMAIL FROM:<evil@b.example>", "554 5.5.1").await;
    assert!(injector.is_closed().await);
}

#[tokio::test]
async fn a_handshake_that_fails_ends_that_session_alone() {
    let server = Server::start(with_tls);
    let mut client = server.client().await;
    client.hello().await;
    client.expect("STARTTLS", "220 2.0.0").await;
    client.stream.write_all(b"EHLO in.the.clear\r\n\r\n").await.unwrap();
    let mut rest = Vec::new();
    // A reset is as good an end as any.
    let _ = client.stream.read_to_end(&mut rest).await;
    assert!(!rest.starts_with(b"250"), "{rest:?}");
    server.client().await.hello().await;
    assert!(server.logged("TLS handshake failed"));
}

#[tokio::test]
async fn the_last_reply_arrives_although_the_client_goes_on_talking() {
    let server = Server::start(strangers);
    let mut client = server.client().await;
    client.hello().await;
    client.expect("MAIL FROM:<a@b.example>", "250").await;
    client.expect("RCPT TO:<root@example.com>", "250").await;
    client.expect("DATA", "354").await;
    let smuggled = "MAIL FROM:<evil@b.example>\r\n".repeat(10_000);
    let wire = format!("{MESSAGE}\n.\n{MESSAGE}\r\n.\r\n{smuggled}");
    client.stream.write_all(wire.as_bytes()).await.unwrap();
    assert!(client.reply().await.starts_with("550 5.5.2 Error: bare <LF>"));
    assert!(client.is_closed().await);
    assert_eq!(server.queued(), 0);
}

#[tokio::test]
async fn nobody_takes_all_connections() {
    let server = Server::start(|config| config.limits.connections_from_one_client = 1);
    let mut first = server.client().await;
    first.hello().await;
    let mut second = server.client().await;
    assert!(second.reply().await.starts_with("421 4.7.0 mail.example.com Error: too many"));
    assert!(second.is_closed().await);
    // Users of the machine are counted apart from its network.
    let mut user = Client { stream: UnixStream::connect(server.socket()).await.unwrap() };
    user.hello().await;
    first.expect("QUIT", "221").await;
    drop(first);
    // Its place is free as soon as the server has seen that it is gone.
    let again = async {
        while !server.client().await.reply().await.starts_with("220 ") {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), again).await.unwrap();
}

#[tokio::test]
async fn limits_of_a_message_hold() {
    let server = Server::start(|config| {
        config.limits.recipients = 1;
        config.limits.message_size = 1000;
    });
    let mut client = server.client().await;
    client.hello().await;
    client.expect("MAIL FROM:<a@b.example> SIZE=1001", "552 5.3.4").await;
    client.expect("MAIL FROM:<a@b.example>", "250").await;
    client.expect("RCPT TO:<c@d.example>", "250").await;
    client.expect("RCPT TO:<e@f.example>", "452 4.5.3").await;
    client.expect("DATA", "354").await;
    client.expect(&format!("{MESSAGE}{}\r\n.", "x".repeat(1000)), "552 5.3.4").await;
    assert_eq!(server.queued(), 0);
    client.send("c@d.example").await;
}

#[tokio::test]
async fn a_spool_that_takes_nothing_says_so_before_the_content() {
    let server = Server::start(|_| {});
    let mut client = server.client().await;
    client.hello().await;
    server.spool.refuse_with(Some(SpoolError::Full(Hindrance::NoRoom)));
    client.expect("MAIL FROM:<a@b.example>", "452 4.3.1").await;
    server.spool.refuse_with(None);
    client.expect("MAIL FROM:<a@b.example>", "250").await;
    client.expect("RCPT TO:<c@d.example>", "250").await;
    client.expect("DATA", "354").await;
    server.spool.refuse_with(Some(SpoolError::Io(Hindrance::NoDraft)));
    client.expect(&format!("{MESSAGE}."), "451 4.3.0").await;
    client.expect("RCPT TO:<c@d.example>", "503 5.5.1").await;
    assert_eq!(server.queued(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_message_arrives_octet_by_octet() {
    let server = Server::start(|_| {});
    let mut client = server.client().await;
    client.hello().await;
    client.expect("MAIL FROM:<a@b.example>", "250").await;
    client.expect("RCPT TO:<c@d.example>", "250").await;
    let body = ".0123456789abcdef\r\n".repeat(150_000);
    let content = format!("{MESSAGE}{body}");
    let (head, tail) = content.split_at(1_500_000);
    client.stream.write_all(format!("BDAT {}\r\n{head}", head.len()).as_bytes()).await.unwrap();
    assert!(client.reply().await.starts_with("250 2.0.0 Ok: 1500000 octets"));
    client
        .stream
        .write_all(format!("BDAT {} LAST\r\n{tail}", tail.len()).as_bytes())
        .await
        .unwrap();
    assert!(client.reply().await.starts_with("250 2.0.0 Ok: queued as "));
    let entry = server.spool.entries().remove(0);
    let mut stored = Vec::new();
    std::io::Read::read_to_end(&mut server.spool.content(entry.id).wait().unwrap(), &mut stored)
        .unwrap();
    assert!(stored.ends_with(content.as_bytes()));
}

// On one thread: whoever waited for the disk there would stop them all.
#[tokio::test]
async fn a_slow_disk_under_a_large_message_stops_nobody_else() {
    let server = Server::start(|_| {});
    let (waits, mut waiting) = tokio::sync::mpsc::unbounded_channel();
    let (go_on, gate) = std::sync::mpsc::channel::<()>();
    let gate = Mutex::new(gate);
    server.spool.wait_for(Arc::new(move || {
        let _ = waits.send(());
        let _ = gate.lock().unwrap().recv();
    }));
    let (mut slow, mut quick) = (server.client().await, server.client().await);
    slow.hello().await;
    slow.expect("MAIL FROM:<a@b.example>", "250").await;
    slow.expect("RCPT TO:<c@d.example>", "250").await;
    slow.expect("DATA", "354").await;
    let large = format!("{MESSAGE}{}", "0123456789abcdef\r\n".repeat(5000));
    slow.stream.write_all(large.as_bytes()).await.unwrap();
    waiting.recv().await.unwrap();
    quick.hello().await;
    quick.send("c@d.example").await;
    // Nor does it when the client goes away, and what was written goes too.
    drop(slow);
    go_on.send(()).unwrap();
    waiting.recv().await.unwrap();
    quick.send("c@d.example").await;
    assert_eq!(server.queued(), 2);
    drop(go_on);
    quick.expect("MAIL FROM:<a@b.example>", "250").await;
    quick.expect("RCPT TO:<c@d.example>", "250").await;
    quick.expect("DATA", "354").await;
    quick.expect(&format!("{large}."), "250 2.0.0 Ok: queued as").await;
    assert_eq!(server.queued(), 3);
}

#[tokio::test]
async fn stopping_lets_transactions_finish_and_ends_the_idle() {
    let server = Server::start(|_| {});
    let (mut idle, mut busy) = (server.client().await, server.client().await);
    idle.hello().await;
    busy.hello().await;
    busy.expect("MAIL FROM:<a@b.example>", "250").await;
    server.stop.send(true).unwrap();
    assert!(idle.reply().await.starts_with("421 4.3.2 mail.example.com"));
    assert!(idle.is_closed().await);
    busy.expect("RCPT TO:<c@d.example>", "250").await;
    busy.expect("DATA", "354").await;
    busy.expect(&format!("{MESSAGE}."), "250 2.0.0 Ok: queued as ").await;
    assert!(busy.reply().await.starts_with("421 4.3.2"));
    drop((idle, busy));
    let (address, spool) = (server.addresses[0], Arc::clone(&server.spool));
    let socket = server.socket();
    server.running.await.unwrap();
    assert!(TcpStream::connect(address).await.is_err());
    assert!(!socket.exists());
    assert_eq!(spool.health().wait().unwrap().messages, 1);
}

#[tokio::test]
async fn a_client_that_says_nothing_is_not_waited_for_any_longer() {
    let server = Server::start(|_| {});
    let mut client = server.client().await;
    client.hello().await;
    client.expect("MAIL FROM:<a@b.example>", "250").await;
    // From here on the clock jumps to the next timer as soon as nobody has work.
    tokio::time::pause();
    let begun = tokio::time::Instant::now();
    // Octets that complete no command buy no time.
    client.stream.write_all(b"RC").await.unwrap();
    tokio::time::sleep(Duration::from_secs(200)).await;
    client.stream.write_all(b"PT").await.unwrap();
    assert!(client.reply().await.starts_with("421 4.4.2 mail.example.com Error: timeout"));
    assert!(client.is_closed().await);
    assert!(begun.elapsed() < Duration::from_secs(320), "{:?}", begun.elapsed());
    assert!(server.logged("timeout after MAIL"));
}

#[tokio::test]
async fn a_place_that_is_taken_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let mut config = Config::for_tests(directory.path());
    config.listen.smtp = vec!["127.0.0.1:0".parse().unwrap()];
    let first = Listeners::bind(&config).unwrap();
    let error = Listeners::bind(&config).unwrap_err().to_string();
    assert!(error.contains("run/submit") && error.contains("another server holds it"), "{error}");
    config.listen.smtp = first.addresses();
    let error = Listeners::bind(&config).unwrap_err().to_string();
    assert!(error.contains(&first.addresses()[0].to_string()), "{error}");
    // A socket whose server is gone is no obstacle.
    drop(first);
    assert!(directory.path().join("run/submit").exists());
    Listeners::bind(&config).unwrap();
}
