//! A PostgreSQL of a test's own, in a temporary folder: the real one, which syncs.

use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio_postgres::NoTls;

/// The newest PostgreSQL that is installed, as its folder of programs, or the one that is asked
/// for.
fn programs() -> Option<PathBuf> {
    if let Some(asked) = std::env::var_os("PUERTO_POSTGRES") {
        return Some(asked.into());
    }
    let versions = std::fs::read_dir("/usr/lib/postgresql").ok()?;
    let programs = versions.flatten().map(|entry| entry.path().join("bin"));
    programs.filter(|path| path.join("initdb").exists()).max()
}

/// Whether there is one. Where there is none, that is said where nobody overlooks it.
pub(super) fn is_there() -> bool {
    let there = programs().is_some();
    if !there {
        eprintln!("SKIPPED: no PostgreSQL is installed here; on Debian: apt install postgresql");
    }
    there
}

/// A database server, which ends with the test.
pub(super) struct Cluster {
    folder: tempfile::TempDir,
    postmaster: Mutex<Option<Child>>,
    pub(super) port: u16,
}

/// PostgreSQL does not run as root.
const NOBODY: u32 = 65534;

impl Cluster {
    /// An empty one, started, with these settings besides.
    pub(super) fn start(settings: &str) -> Self {
        let folder = tempfile::Builder::new().prefix("puerto-pg").tempdir().unwrap();
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let cluster = Self { folder, postmaster: Mutex::new(None), port };
        if nix::unistd::geteuid().is_root() {
            std::os::unix::fs::chown(cluster.folder.path(), Some(NOBODY), Some(NOBODY)).unwrap();
        }
        let data = cluster.data();
        let made = as_nobody("initdb")
            .args(["--no-sync", "--auth=trust", "--username=puerto", "--encoding=UTF8", "--pgdata"])
            .arg(&data)
            .stdout(Stdio::null())
            .status();
        assert!(made.unwrap().success());
        let socket = cluster.folder.path().display().to_string();
        let all = format!(
            "listen_addresses = '127.0.0.1'\nport = {port}\nunix_socket_directories = '{socket}'\n\
             fsync = on\nshared_buffers = 32MB\n{settings}\n"
        );
        let file = data.join("postgresql.auto.conf");
        std::fs::write(&file, all).unwrap();
        cluster.restart();
        cluster
    }

    /// Its files.
    pub(super) fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Speaks TLS from here on, by this certificate.
    pub(super) fn speak_tls(&self, certificate: &str, key: &str) {
        for (name, text) in [("server.crt", certificate), ("server.key", key)] {
            let file = self.data().join(name);
            std::fs::write(&file, text).unwrap();
            let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
            std::fs::set_permissions(&file, mode).unwrap();
            if nix::unistd::geteuid().is_root() {
                std::os::unix::fs::chown(&file, Some(NOBODY), Some(NOBODY)).unwrap();
            }
        }
        self.run("ALTER SYSTEM SET ssl = on");
        self.run("SELECT pg_reload_conf()");
    }

    /// Its folder.
    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Starts it, and waits until it answers.
    pub(super) fn restart(&self) {
        let log = std::fs::File::create(self.folder.path().join("log")).unwrap();
        let child = as_nobody("postgres").arg("-D").arg(self.data()).stderr(log).spawn().unwrap();
        *self.postmaster.lock().unwrap_or_else(PoisonError::into_inner) = Some(child);
        for _ in 0..600 {
            if self.try_run("SELECT 1").is_ok() {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("{}", std::fs::read_to_string(self.folder.path().join("log")).unwrap());
    }

    /// Kills it as a power cut does: all its processes at once, at whatever they are.
    pub(super) fn kill(&self) {
        if let Some(mut child) =
            self.postmaster.lock().unwrap_or_else(PoisonError::into_inner).take()
        {
            use nix::sys::signal::{Signal, kill};
            let end = |process: u32, signal| {
                let process = nix::unistd::Pid::from_raw(process.cast_signed());
                let _ = kill(process, signal);
            };
            // It is to begin no other meanwhile.
            end(child.id(), Signal::SIGSTOP);
            children(child.id()).into_iter().for_each(|process| end(process, Signal::SIGKILL));
            end(child.id(), Signal::SIGKILL);
            child.wait().unwrap();
        }
    }

    /// Stops all its processes where they are, until what is returned is dropped.
    pub(super) fn freeze(&self) -> Frozen {
        use nix::sys::signal::{Signal, kill};
        let postmaster = self.postmaster.lock().unwrap_or_else(PoisonError::into_inner);
        let main = postmaster.as_ref().unwrap().id();
        let stop = |process: u32| {
            let process = nix::unistd::Pid::from_raw(process.cast_signed());
            let _ = kill(process, Signal::SIGSTOP);
            process
        };
        // It is to begin no other meanwhile.
        let first = stop(main);
        let mut all: Vec<_> = children(main).into_iter().map(stop).collect();
        all.push(first);
        Frozen(all)
    }

    /// An empty database of this name; its URL.
    pub(super) fn database(&self, name: &str) -> String {
        self.run(&format!("CREATE DATABASE {name}"));
        self.url(name, self.port)
    }

    /// The URL of a database behind a port.
    pub(super) fn url(&self, name: &str, port: u16) -> String {
        format!("postgres://puerto@127.0.0.1:{port}/{name}")
    }

    /// Runs a statement in the first database.
    pub(super) fn run(&self, sql: &str) {
        self.try_run(sql).unwrap();
    }

    fn try_run(&self, sql: &str) -> Result<(), tokio_postgres::Error> {
        self.in_database("postgres", sql).map(drop)
    }

    /// Runs a statement in a database; the first value of what it says.
    pub(super) fn in_database(
        &self,
        name: &str,
        sql: &str,
    ) -> Result<Option<String>, tokio_postgres::Error> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (client, connection) =
                tokio_postgres::connect(&self.url(name, self.port), NoTls).await?;
            tokio::spawn(connection);
            let said = client.simple_query(sql).await?;
            Ok(said.iter().find_map(|message| match message {
                tokio_postgres::SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
                _ => None,
            }))
        })
    }
}

/// Processes that are stopped.
pub(super) struct Frozen(Vec<nix::unistd::Pid>);

impl Drop for Frozen {
    fn drop(&mut self) {
        for process in &self.0 {
            let _ = nix::sys::signal::kill(*process, nix::sys::signal::Signal::SIGCONT);
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.kill();
    }
}

fn children(parent: u32) -> Vec<u32> {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let numbers = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let is_child = |process: &u32| {
        let status = std::fs::read_to_string(format!("/proc/{process}/status"));
        status.is_ok_and(|status| status.contains(&format!("\nPPid:\t{parent}\n")))
    };
    numbers.filter(is_child).collect()
}

fn as_nobody(program: &str) -> Command {
    let mut command = Command::new(programs().unwrap().join(program));
    command.env("LC_ALL", "C").current_dir("/").process_group(0);
    if nix::unistd::geteuid().is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    command
}
