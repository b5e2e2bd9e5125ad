//! The lab's own PostgreSQL: in the lab's folder, on a UNIX socket that nobody else reaches.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, geteuid};
use tokio::net::UnixStream;
use tokio::time::Instant;

use super::keeper::{children_of, ended};
use super::programs::Programs;
use crate::cli::lab::scene::cannot_write;
use crate::lang::{Said, quoted, said_of, system};
use crate::rights::Identity;

/// Who may be the server where root starts the lab: PostgreSQL refuses root.
const OWNERS: [&str; 2] = ["postgres", "nobody"];
/// The user inside, who needs no password: the folder is closed to others.
const USER: &str = "puerto";
/// How long a server may take until it listens, and the pause between looks.
const PATIENCE: Duration = Duration::from_secs(20);
const LOOK_AGAIN: Duration = Duration::from_millis(20);
/// How often a server is started that ends at once: one before it may still be ending.
const STARTS: u32 = 5;
const START_AGAIN: Duration = Duration::from_millis(200);
/// Lines of its log that are shown.
const LINES: usize = 6;

/// A server, running or not.
pub(super) struct Database {
    programs: Programs,
    /// The lab's, where the programs' words go: whoever owns `folder` may do there what they
    /// like.
    lab: PathBuf,
    folder: PathBuf,
    owner: Option<Identity>,
    server: Option<Child>,
}

impl Database {
    /// Makes the files of a server below the lab's folder.
    pub(super) async fn set_up(programs: &Programs, lab: &Path) -> Result<Self, Said> {
        let folder = lab.join("database");
        let failed = |error| cannot_write(&folder, &error);
        fs::DirBuilder::new().mode(0o700).create(&folder).map_err(failed)?;
        let owner = owner().map_err(failed)?;
        if let Some(owner) = &owner {
            let (uid, gid) = (owner.uid.as_raw(), owner.gid.as_raw());
            chown(&folder, Some(uid), Some(gid)).map_err(failed)?;
            // So that it reaches its own folder; nothing else in the lab's is open to it.
            fs::set_permissions(lab, fs::Permissions::from_mode(0o711)).map_err(failed)?;
        }
        let database =
            Self { programs: programs.clone(), lab: lab.to_owned(), folder, owner, server: None };
        let mut initdb = database.spawn("initdb", |command| {
            // What is to be durable begins when the server runs.
            command.args(["--auth=trust", "--no-locale", "--encoding=UTF8", "--no-sync"]);
            command.args(["--username", USER, "--pgdata"]).arg(database.data());
        })?;
        let status = ended(&mut initdb).await.map_err(|error| system(&error))?;
        if status.success() { Ok(database) } else { Err(database.failed("initdb")) }
    }

    /// Where it is, for the configuration of nodes.
    pub(super) fn url(&self) -> String {
        let folder: String = self.folder.to_string_lossy().bytes().map(in_url).collect();
        format!("postgres://{USER}@/postgres?host={folder}")
    }

    /// Starts it; it listens when this returns, and may still be recovering.
    pub(super) async fn start(&mut self) -> Result<(), Said> {
        let until = Instant::now() + PATIENCE;
        for _ in 0..STARTS {
            let mut server = self.spawn("postgres", |command| {
                command.arg("-D").arg(self.data());
                for (name, value) in [
                    ("listen_addresses", ""),
                    ("unix_socket_directories", &*format!("\"{}\"", self.folder.display())),
                    ("fsync", "on"),
                    ("max_connections", "200"),
                    // In the folder, and so gone with it.
                    ("dynamic_shared_memory_type", "mmap"),
                ] {
                    command.arg("-c").arg(format!("{name}={value}"));
                }
            })?;
            while matches!(server.try_wait(), Ok(None)) && Instant::now() < until {
                if UnixStream::connect(self.folder.join(".s.PGSQL.5432")).await.is_ok() {
                    self.server = Some(server);
                    return Ok(());
                }
                tokio::time::sleep(LOOK_AGAIN).await;
            }
            tokio::time::sleep(START_AGAIN).await;
        }
        Err(self.failed("postgres"))
    }

    /// Kills all of it at once, as if the power had gone.
    pub(super) fn kill(&mut self) -> io::Result<()> {
        let Some(mut server) = self.server.take() else { return Ok(()) };
        let children = server.id().try_into().map(Pid::from_raw).map(children_of);
        server.kill()?;
        for child in children.unwrap_or_default() {
            // It may have seen its parent end.
            let _ignored = kill(child, Signal::SIGKILL);
        }
        server.wait().map(drop)
    }

    fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    // Starts one of the programs as the owner, its words going into a log.
    fn spawn(&self, name: &str, arguments: impl FnOnce(&mut Command)) -> Result<Child, Said> {
        let spawn = || {
            let log = File::options().append(true).create(true).open(self.log(name))?;
            let mut command = Command::new(self.programs.folder.join(name));
            // Its words are for us, and the time zone is looked for nowhere.
            command.env_clear().envs([("LC_ALL", "C"), ("TZ", "UTC")]);
            command.envs(std::env::var_os("PATH").map(|path| ("PATH", path)));
            command.current_dir(&self.folder).stdin(Stdio::null());
            command.stdout(log.try_clone()?).stderr(log);
            if let Some(owner) = &self.owner {
                command.uid(owner.uid.as_raw()).gid(owner.gid.as_raw());
            }
            arguments(&mut command);
            command.spawn()
        };
        spawn().map_err(|error| {
            said_of!(
                "cannot start PostgreSQL's {name}: {error}",
                "no se puede iniciar {name}, de PostgreSQL: {error}";
                name = Said::words(name), error = system(&error)
            )
        })
    }

    fn log(&self, name: &str) -> PathBuf {
        self.lab.join(format!("{name}.log"))
    }

    fn failed(&self, name: &str) -> Said {
        said_of!(
            "PostgreSQL's {name} failed: {words}", "ha fallado {name}, de PostgreSQL: {words}";
            name = Said::words(name), words = quoted(&last_lines(&self.log(name)))
        )
    }
}

/// The last that was written into a log.
pub(super) fn last_lines(log: &Path) -> String {
    let text = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    let last = lines.get(lines.len().saturating_sub(LINES)..).unwrap_or_default();
    last.join(" / ")
}

fn owner() -> io::Result<Option<Identity>> {
    if !geteuid().is_root() {
        return Ok(None);
    }
    for name in OWNERS {
        if let Some(found) = Identity::named(name)?.filter(|found| !found.uid.is_root()) {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

fn in_url(octet: u8) -> String {
    match octet {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' => {
            char::from(octet).to_string()
        }
        _ => format!("%{octet:02X}"),
    }
}
