//! A node of the lab: this program, as a daemon of its own.

use std::fs::{self, File};
use std::io;
use std::net::Ipv4Addr;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Duration;

use puerto_lab::Lab;
use puerto_lab::world::SENDER_DOMAIN;
use tokio::time::Instant;

use super::database::last_lines;
use super::keeper::{ended, feed, this_program};
use crate::cli::lab::scene::{Server, cannot_write, free_port};
use crate::cli::lab::{asked, load};
use crate::config::Config;
use crate::lang::{Said, quoted, said_of, system};

/// How long a node may take until it answers, and the pause between looks.
const PATIENCE: Duration = Duration::from_secs(20);
const LOOK_AGAIN: Duration = Duration::from_millis(50);
/// Connections to one receiver, for each node.
const CONNECTIONS: usize = 2;

/// A node, running or not.
pub(super) struct Member {
    pub(super) name: String,
    /// Where it takes mail and sends from.
    pub(super) address: Ipv4Addr,
    /// Its configuration file.
    pub(super) config: PathBuf,
    folder: PathBuf,
    process: Option<Child>,
}

impl Member {
    /// Writes what the node of this number, of so many, is told.
    pub(super) fn write(
        (number, of): (u8, u8),
        lab: &Lab,
        below: &Path,
        url: &str,
    ) -> Result<Self, Said> {
        let name = format!("node{number}");
        let address = address(number);
        let folder = below.join(&name);
        let made = fs::DirBuilder::new().mode(0o700).create(&folder);
        made.map_err(|error| cannot_write(&folder, &error))?;
        let server = Server {
            host: &host(number),
            address,
            smtp: free_port(address)?,
            port: lab.mx_port(),
            relayhost: "",
            concurrency: CONNECTIONS * usize::from(of),
            keys: &below.join("dkim"),
            dns: "",
            delivery: "",
            more: &format!("\n[store]\nurl = \"{url}\"\nnode = \"{name}\"\n"),
        };
        let config = server.write(&folder, lab)?;
        Ok(Self { name, address, config, folder, process: None })
    }

    /// Starts it; [`Member::answers`] waits until it does.
    pub(super) fn start(&mut self) -> Result<(), Said> {
        let start = || {
            let output = File::create(self.output())?;
            let mut command = this_program();
            // Whoever manages the lab's process does not manage this one.
            command.env_clear().envs(std::env::vars_os().filter(|(name, _)| name == "TZ"));
            command.args(["serve", "--config"]).arg(&self.config).stdin(Stdio::null());
            command.stdout(output.try_clone()?).stderr(output).spawn()
        };
        self.process = Some(start().map_err(|error| self.failed(&system(&error)))?);
        Ok(())
    }

    /// Waits until it answers.
    pub(super) async fn answers(&mut self) -> Result<(), Said> {
        let until = Instant::now() + PATIENCE;
        loop {
            let health = asked(&self.run_dir(), |client| client.health()).await;
            let Err(error) = health else { return Ok(()) };
            let has_ended = match &mut self.process {
                Some(process) => !matches!(process.try_wait(), Ok(None)),
                None => true,
            };
            if has_ended {
                return Err(self.failed(&quoted(&last_lines(&self.output()))));
            }
            if Instant::now() > until {
                return Err(self.failed(&error));
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// Kills it at once, as if its power had gone.
    pub(super) fn kill(&mut self) -> io::Result<()> {
        let Some(mut process) = self.process.take() else { return Ok(()) };
        process.kill()?;
        process.wait().map(drop)
    }

    /// What `sendmail` on this node ends with when it is given a letter.
    pub(super) async fn sendmail(&self, to: &str, text: &str) -> io::Result<Option<i32>> {
        let mut command = this_program();
        command.arg("--config").arg(&self.config);
        command.args(["sendmail", "-f", &format!("cron@{SENDER_DOMAIN}"), to]);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut sendmail = command.spawn()?;
        // One that has given up reads no more.
        let _ignored = feed(&mut sendmail, text);
        Ok(ended(&mut sendmail).await?.code())
    }

    /// Where its sockets are.
    pub(super) fn run_dir(&self) -> PathBuf {
        self.folder.join("run")
    }

    /// What it was told.
    pub(super) fn configuration(&self) -> Result<Config, Said> {
        load(&self.config)
    }

    fn output(&self) -> PathBuf {
        self.folder.join("output")
    }

    fn failed(&self, why: &Said) -> Said {
        said_of!(
            "{node} does not start: {why}", "{node} no arranca: {why}";
            node = Said::words(self.name.as_str()), why = why
        )
    }
}

/// Publishes nodes as what sends for the sender's domain.
pub(super) fn publish(lab: &Lab, count: u8) {
    let numbers = 1..=count;
    for number in numbers.clone() {
        lab.zone().add_host(&host(number), address(number).into());
    }
    let addresses: String = numbers.map(|number| format!(" ip4:{}", address(number))).collect();
    lab.zone().set_txt(SENDER_DOMAIN, &format!("v=spf1{addresses} -all"));
}

fn address(number: u8) -> Ipv4Addr {
    Ipv4Addr::new(127, 0, 0, 30 + number)
}

fn host(number: u8) -> String {
    format!("mail{number}.{SENDER_DOMAIN}")
}
