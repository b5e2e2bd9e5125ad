//! The certificate's keeper: a small process that keeps the right to read all files when
//! the daemon gives up root's, and does nothing with it but read the certificate and its
//! key. It is nobody's otherwise, so that it can change nothing.
//!
//! A certificate is renewed every few weeks, and its key can often be read by root alone,
//! as certbot leaves it. The daemon starts the keeper before it drops its rights, with
//! the names of the two files, and asks it when it may not read them itself. A daemon
//! that was broken into gets nothing that it has not in memory already: a request has no
//! content, and the files are those of the start. One thread; it ends when the daemon's
//! end of the socket is closed.
//!
//! A request is one octet. The answer is one octet, [`READ`] or [`FAILED`], and then two
//! texts (chain, key) or one (why), each after its length.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::config::TlsFiles;
use crate::rights::{self, Capabilities};
use crate::tls::{Pem, TlsError};

/// The name of the hidden subcommand that runs the keeper.
pub const SUBCOMMAND: &str = "certificate-keeper";

const REQUEST: u8 = b'?';
const READ: u8 = b'+';
const FAILED: u8 = b'-';
/// Octets of a text at most: what [`Pem::read`] reads of a file, and more than an error.
const BOUND: u32 = 1024 * 1024;
/// How long the keeper may take to read two small files.
const PATIENCE: Duration = Duration::from_secs(10);

/// The daemon's end. Dropping it ends the keeper.
#[derive(Debug)]
pub struct Keeper {
    files: TlsFiles,
    connection: Mutex<Option<Connection>>,
}

#[derive(Debug)]
struct Connection {
    stream: Option<UnixStream>,
    child: Option<Child>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.stream = None;
        if let Some(mut child) = self.child.take() {
            let _ = child.wait();
        }
    }
}

impl Keeper {
    /// Starts the keeper: to be called as root, before privileges are dropped.
    pub fn spawn(files: &TlsFiles) -> io::Result<Self> {
        let (ours, theirs) = UnixStream::pair()?;
        let mut command = Command::new("/proc/self/exe");
        command.arg0("puerto").arg(SUBCOMMAND).arg("--").args([&files.certificate, &files.key]);
        command.env_clear().stdin(Stdio::from(OwnedFd::from(theirs))).stdout(Stdio::null());
        let child = command.spawn()?;
        Self::over(ours, Some(child), files)
    }

    fn over(stream: UnixStream, child: Option<Child>, files: &TlsFiles) -> io::Result<Self> {
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let connection = Connection { stream: Some(stream), child };
        Ok(Self { files: files.clone(), connection: Mutex::new(Some(connection)) })
    }

    /// Has the files read. `None` if they are others than those of the start, or if the
    /// keeper is gone. Blocks, for a moment.
    pub fn read(&self, files: &TlsFiles) -> Option<Result<Pem, String>> {
        if *files != self.files {
            return None;
        }
        let mut slot = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        let stream = slot.as_mut()?.stream.as_mut()?;
        match ask(stream) {
            Ok(answer) => Some(answer),
            Err(_) => {
                // What comes next on the socket cannot be told any more.
                *slot = None;
                None
            }
        }
    }
}

fn ask(stream: &mut UnixStream) -> io::Result<Result<Pem, String>> {
    stream.write_all(&[REQUEST])?;
    let mut kind = [0];
    stream.read_exact(&mut kind)?;
    Ok(match kind {
        [READ] => Ok(Pem { chain: read_text(stream)?, key: read_text(stream)? }),
        _ => Err(String::from_utf8_lossy(&read_text(stream)?).into_owned()),
    })
}

fn read_text(stream: &mut UnixStream) -> io::Result<Vec<u8>> {
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let length = u32::from_be_bytes(length);
    if length > BOUND {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut text = vec![0; length as usize];
    stream.read_exact(&mut text)?;
    Ok(text)
}

/// The keeper's whole life: what the hidden subcommand runs. Requests come on the standard
/// input, which is a socket.
pub fn run(files: &TlsFiles) -> ExitCode {
    // It ends with the daemon, which ends in its own time after a signal to the group.
    let _ = nix::sys::signal::SigSet::all().thread_block();
    let _ = std::env::set_current_dir("/");
    let stream = nix::unistd::dup(io::stdin().as_fd()).map(UnixStream::from);
    let served = reduce().and_then(|()| serve(stream?, files));
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("puerto {SUBCOMMAND}: this is started by `puerto serve` alone: {error}");
            ExitCode::from(70)
        }
    }
}

fn reduce() -> io::Result<()> {
    if !nix::unistd::geteuid().is_root() {
        return Ok(());
    }
    // A unit of ours from before may leave the greater of the two rights alone.
    let one = if rights::have(Capabilities::DAC_READ_SEARCH)? {
        Capabilities::DAC_READ_SEARCH
    } else {
        Capabilities::DAC_OVERRIDE
    };
    rights::become_nobody(one)
}

fn serve(mut stream: UnixStream, files: &TlsFiles) -> io::Result<()> {
    let mut request = [0];
    while stream.read(&mut request)? == 1 {
        // Whatever was put in their place, nothing else is handed out.
        let answer = answer(Pem::read(files).and_then(|pem| pem.alone(files)));
        stream.write_all(&answer)?;
    }
    Ok(())
}

fn answer(read: Result<Pem, TlsError>) -> Vec<u8> {
    let (kind, texts) = match read {
        Ok(Pem { chain, key }) => (READ, vec![chain, key]),
        Err(error) => (FAILED, vec![error.to_string().into_bytes()]),
    };
    let mut out = vec![kind];
    for text in texts {
        out.extend(u32::try_from(text.len()).unwrap_or(u32::MAX).to_be_bytes());
        out.extend(text);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;

    const CERTIFICATE: &str = include_str!("../../tests/tls/localhost.pem");
    const KEY: &str = include_str!("../../tests/tls/localhost.key");

    fn files(folder: &Path) -> TlsFiles {
        let files = TlsFiles { certificate: folder.join("c.pem"), key: folder.join("k.pem") };
        std::fs::write(&files.certificate, CERTIFICATE).unwrap();
        std::fs::write(&files.key, KEY).unwrap();
        std::fs::set_permissions(&files.key, PermissionsExt::from_mode(0o600)).unwrap();
        files
    }

    /// A keeper in a thread.
    fn keeper(files: &TlsFiles) -> Keeper {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let kept = files.clone();
        std::thread::spawn(move || serve(theirs, &kept));
        Keeper::over(ours, None, files).unwrap()
    }

    #[test]
    fn it_reads_its_two_files_as_often_as_it_is_asked_and_no_others() {
        let folder = tempfile::tempdir().unwrap();
        let files = files(folder.path());
        let keeper = keeper(&files);
        for noise in ["", "root:$6$secret:20000::::::\n"] {
            std::fs::write(&files.certificate, format!("{noise}{CERTIFICATE}{noise}")).unwrap();
            let pem = keeper.read(&files).unwrap().unwrap();
            assert_eq!((pem.chain, pem.key), (CERTIFICATE.into(), KEY.into()));
        }
        // A6: another secret that was put in the certificate's place stays one.
        std::fs::write(&files.certificate, "root:$6$secret:20000::::::\n").unwrap();
        let error = keeper.read(&files).unwrap().map(|_| ()).unwrap_err();
        assert!(!error.contains("secret"), "{error}");
        std::fs::write(&files.certificate, CERTIFICATE).unwrap();
        let real = folder.path().join("real.pem");
        std::fs::rename(&files.certificate, &real).unwrap();
        nix::unistd::mkfifo(&files.certificate, nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert!(keeper.read(&files).unwrap().is_err());
        std::fs::remove_file(&files.certificate).unwrap();
        std::fs::rename(&real, &files.certificate).unwrap();
        let other = TlsFiles { key: "/etc/shadow".into(), ..files.clone() };
        assert!(keeper.read(&other).is_none());
        std::fs::remove_file(&files.key).unwrap();
        let error = keeper.read(&files).unwrap().map(|_| ()).unwrap_err();
        assert!(error.contains("k.pem"), "{error}");
    }

    #[test]
    fn a_key_that_others_can_read_is_refused_and_a_keeper_that_is_gone_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let files = files(folder.path());
        std::fs::set_permissions(&files.key, PermissionsExt::from_mode(0o644)).unwrap();
        let error = keeper(&files).read(&files).unwrap().map(|_| ()).unwrap_err();
        assert!(error.contains("chmod 0600"), "{error}");
        let (ours, theirs) = UnixStream::pair().unwrap();
        drop(theirs);
        let gone = Keeper::over(ours, None, &files).unwrap();
        for _ in 0..2 {
            assert!(gone.read(&files).is_none());
        }
    }
}
