//! A peer on loopback that follows a script, one for each connection.
//!
//! `S: ` says a line, `raw ` what stands there, with `\r`, `\n` and `\0` for those octets;
//! `C: ` reads a line that must begin so; `content` reads what follows DATA and `chunk N`
//! what follows BDAT; `tls` performs a handshake, `drop` closes, `rst` resets, `hang` stays
//! silent. After the last line the connection is held open until the peer is dropped.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufStream};
use tokio::net::{TcpListener, TcpStream};

use crate::config::TlsFiles;
use crate::tls::ServerTls;

pub(super) const CA: &str = include_str!("../../../tests/tls/ca.pem");

/// What a peer saw.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) connections: usize,
    pub(super) commands: Vec<String>,
    pub(super) contents: Vec<Vec<u8>>,
    pub(super) errors: Vec<String>,
}

pub(super) struct Peer {
    pub(super) address: SocketAddr,
    seen: Arc<Mutex<Seen>>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Peer {
    pub(super) async fn start(scripts: &[&str]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Seen::default()));
        let scripts: Vec<String> = scripts.iter().map(|script| (*script).to_owned()).collect();
        let shared = Arc::clone(&seen);
        let task = tokio::spawn(async move {
            let mut running = tokio::task::JoinSet::new();
            for script in scripts {
                let (stream, _) = listener.accept().await.unwrap();
                stream.set_nodelay(true).unwrap();
                shared.lock().unwrap().connections += 1;
                running.spawn(serve(stream, script, Arc::clone(&shared)));
            }
            // What is not in the script is counted and closed.
            while let Ok((_stream, _)) = listener.accept().await {
                shared.lock().unwrap().connections += 1;
            }
        });
        Self { address, seen, task }
    }

    /// Listens on a socket in the file system, for one connection.
    pub(super) fn start_at(path: &Path, script: &str) -> Self {
        let listener = tokio::net::UnixListener::bind(path).unwrap();
        let seen = Arc::new(Mutex::new(Seen::default()));
        let (shared, script) = (Arc::clone(&seen), script.to_owned());
        let task = tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            if let Err(error) = follow(&mut BufStream::new(stream), &script, &shared).await {
                shared.lock().unwrap().errors.push(error);
            }
        });
        Self { address: SocketAddr::from(([127, 0, 0, 1], 0)), seen, task }
    }

    pub(super) fn connections(&self) -> usize {
        self.seen.lock().unwrap().connections
    }

    pub(super) fn contents(&self) -> Vec<String> {
        let seen = self.seen.lock().unwrap();
        seen.contents.iter().map(|c| String::from_utf8_lossy(c).into_owned()).collect()
    }

    pub(super) fn commands(&self) -> Vec<String> {
        self.seen.lock().unwrap().commands.clone()
    }

    /// Fails the test if a client did not follow the script.
    pub(super) fn check(&self) {
        assert_eq!(self.seen.lock().unwrap().errors, [""; 0]);
    }
}

enum End {
    Goes,
    Closed,
}

async fn serve(stream: TcpStream, script: String, seen: Arc<Mutex<Seen>>) {
    let (before, behind_tls) = match script.split_once("tls\n") {
        Some((before, behind)) => (before.to_owned(), Some(behind.to_owned())),
        None => (script, None),
    };
    let mut stream = BufStream::new(stream);
    match follow(&mut stream, &before, &seen).await {
        Err(error) => return seen.lock().unwrap().errors.push(error),
        Ok(End::Closed) => {
            if before.ends_with("rst\n") {
                let socket = socket2::SockRef::from(stream.get_ref());
                socket.set_linger(Some(std::time::Duration::ZERO)).unwrap();
            }
            return;
        }
        Ok(End::Goes) => {}
    }
    if let Some(script) = behind_tls {
        let Ok(encrypted) = acceptor().accept(stream.into_inner()).await else { return };
        let mut stream = BufStream::new(encrypted);
        if let Err(error) = follow(&mut stream, &script, &seen).await {
            seen.lock().unwrap().errors.push(error);
        }
    }
}

async fn follow<S>(
    stream: &mut BufStream<S>,
    script: &str,
    seen: &Arc<Mutex<Seen>>,
) -> Result<End, String>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    for step in script.lines() {
        match step.split_once(' ').unwrap_or((step, "")) {
            ("S:", text) => {
                stream.write_all(format!("{text}\r\n").as_bytes()).await.unwrap();
                stream.flush().await.unwrap();
            }
            ("raw", text) => {
                let text = text.replace("\\r", "\r").replace("\\n", "\n").replace("\\0", "\0");
                stream.write_all(text.as_bytes()).await.unwrap();
                stream.flush().await.unwrap();
            }
            ("C:", start) => {
                let mut line = String::new();
                stream.read_line(&mut line).await.map_err(|e| format!("{step}: {e}"))?;
                if !line.starts_with(start) || line.is_empty() {
                    return Err(format!("expected {start:?}, got {line:?}"));
                }
                seen.lock().unwrap().commands.push(line.trim_end().to_owned());
            }
            ("content", _) => {
                let content = read_content(stream).await.map_err(|e| format!("{step}: {e}"))?;
                seen.lock().unwrap().contents.push(content);
            }
            ("chunk", size) => {
                let mut content = vec![0; size.parse().unwrap()];
                stream.read_exact(&mut content).await.map_err(|e| format!("{step}: {e}"))?;
                seen.lock().unwrap().contents.push(content);
            }
            ("eof", _) => {
                let mut rest = Vec::new();
                let _ = stream.read_to_end(&mut rest).await;
                seen.lock().unwrap().contents.push(rest);
            }
            ("drop" | "rst", _) => return Ok(End::Closed),
            ("hang", _) => std::future::pending().await,
            other => panic!("unknown step {other:?}"),
        }
    }
    if script.ends_with("eof\n") || script.is_empty() {
        return Ok(End::Goes);
    }
    if !script.ends_with("C: STARTTLS\nS: 220 go\n") {
        // A client may wait for another message, or say QUIT and go.
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest).await;
        let rest = String::from_utf8_lossy(&rest).trim_end().to_owned();
        if !rest.is_empty() {
            seen.lock().unwrap().commands.push(rest);
        }
    }
    Ok(End::Goes)
}

async fn read_content<S>(stream: &mut BufStream<S>) -> std::io::Result<Vec<u8>>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut content = Vec::new();
    loop {
        let start = content.len();
        if stream.read_until(b'\n', &mut content).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        if &content[start..] == b".\r\n" {
            content.truncate(start);
            return Ok(content);
        }
    }
}

fn acceptor() -> tokio_rustls::TlsAcceptor {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tls");
    // The key's mode is checked, and a checkout does not keep it.
    let place = tempfile::tempdir().unwrap();
    let key = place.path().join("mx.key");
    std::fs::copy(directory.join("mx.key"), &key).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(&key, mode).unwrap();
    let files = TlsFiles { certificate: directory.join("mx.pem"), key };
    ServerTls::load(Some(&files)).unwrap().acceptor().unwrap().tls
}
