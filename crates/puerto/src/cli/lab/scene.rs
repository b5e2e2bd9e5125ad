//! What the lab's server needs: a folder of its own, keys, and a configuration like
//! the one of a real host, except that its Internet is the lab.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use puerto_lab::Lab;
use puerto_lab::world::{SENDER_ADDRESS, SENDER_DOMAIN, SENDER_HOST};
use puerto_mail::dkim::{Algorithm, PrivateKey};

use super::story::RELAYED_USER;
use crate::lang::{Said, key_error, said_of, system};

/// The selectors of the lab's keys.
const KEYS: [(&str, Algorithm); 2] =
    [("rsa", Algorithm::RsaSha256), ("ed", Algorithm::Ed25519Sha256)];

/// A folder that is removed with all that is in it when the lab ends.
#[derive(Debug)]
pub(super) struct Folder(PathBuf);

impl Folder {
    /// Makes one that only its owner can read, with a short path: those of sockets
    /// may have 107 octets.
    pub(super) fn new() -> io::Result<Self> {
        let base = std::env::temp_dir();
        let process = std::process::id();
        let mut number = 0;
        loop {
            let path = base.join(format!("puerto-lab-{process}-{number}"));
            match fs::DirBuilder::new().mode(0o700).create(&path) {
                Ok(()) => return Ok(Self(path)),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists && number < 1000 => {
                    number += 1;
                }
                Err(error) => return Err(error),
            }
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What cannot be removed is in the folder for temporary things.
        let _ignored = fs::remove_dir_all(&self.0);
    }
}

/// Where everything of the lab's server is.
#[derive(Debug)]
pub(super) struct Scene {
    pub(super) folder: Folder,
    /// Its configuration file.
    pub(super) config: PathBuf,
    /// Its mail log.
    pub(super) log: PathBuf,
    /// Its port for SMTP clients on this machine.
    pub(super) smtp: SocketAddr,
}

/// How the server of a scene is set up.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stage {
    /// The domain that the keys belong to.
    pub(super) key_domain: &'static str,
    /// All mail goes out through the relay.
    pub(super) relayhost: bool,
    /// The way to port 25 of every receiver is closed.
    pub(super) port_closed: bool,
}

impl Stage {
    /// As a well kept server is.
    pub(super) const USUAL: Self =
        Self { key_domain: SENDER_DOMAIN, relayhost: false, port_closed: false };
}

impl Scene {
    /// Writes keys and configuration, and publishes the keys in the lab's DNS.
    pub(super) fn set(lab: &Lab, stage: Stage) -> Result<Self, Said> {
        let folder = Folder::new().map_err(|error| {
            said_of!(
                "cannot make a folder: {error}", "no se puede crear una carpeta: {error}";
                error = system(&error)
            )
        })?;
        let path = |name: &str| folder.path().join(name);
        write_keys(&path("dkim"), lab, stage.key_domain)?;
        let port = match stage.port_closed {
            true => free_port()?.port(),
            false => lab.mx_port(),
        };
        let smtp = free_port()?;
        let (config, log) = (path("puerto.toml"), path("mail.log"));
        let failed = |error| cannot_write(folder.path(), &error);
        fs::write(path("aliases"), "postmaster: root\n").map_err(failed)?;
        fs::write(&config, configuration(folder.path(), lab, smtp, (stage, port)))
            .map_err(failed)?;
        Ok(Self { config, log, smtp, folder })
    }
}

impl Scene {
    /// Where its sockets are.
    pub(super) fn run_dir(&self) -> PathBuf {
        self.folder.path().join("run")
    }
}

fn write_keys(directory: &Path, lab: &Lab, domain: &str) -> Result<(), Said> {
    let directory = directory.join(domain);
    fs::create_dir_all(&directory).map_err(|error| cannot_write(&directory, &error))?;
    for (selector, algorithm) in KEYS {
        let pem = PrivateKey::generate(algorithm).map_err(|error| key_error(&error))?;
        let key = PrivateKey::from_pem(&pem).map_err(|error| key_error(&error))?;
        let file = directory.join(format!("{selector}.pem"));
        write_privately(&file, &pem).map_err(|error| cannot_write(&file, &error))?;
        let name = format!("{selector}._domainkey.{domain}");
        lab.zone().add_txt(&name, &key.record_text());
    }
    Ok(())
}

fn write_privately(file: &Path, text: &str) -> io::Result<()> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(file)?;
    file.write_all(text.as_bytes())
}

// The port is free now and most likely still is a moment later; when it is not, the
// server says which one it could not have.
fn free_port() -> Result<SocketAddr, Said> {
    let bound = TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
    bound.and_then(|listener| listener.local_addr()).map_err(|error| {
        said_of!(
            "no free port on 127.0.0.1: {error}", "no hay ningún puerto libre en 127.0.0.1: {error}";
            error = system(&error)
        )
    })
}

fn cannot_write(path: &Path, error: &io::Error) -> Said {
    said_of!(
        "cannot write {path}: {error}", "no se puede escribir {path}: {error}";
        path = Said::words(path.display().to_string()), error = system(error)
    )
}

fn configuration(
    folder: &Path,
    lab: &Lab,
    smtp: SocketAddr,
    (stage, port): (Stage, u16),
) -> String {
    let folder = folder.display();
    let (dns, relay) = (lab.dns_addr(), lab.relayhost());
    let relayhost = if stage.relayhost { relay.as_str() } else { "" };
    format!(
        "# The server of the lab. Its Internet is on this machine alone.\n\
         hostname = \"{SENDER_HOST}\"\n\
         domains = [\"{SENDER_HOST}\"]\n\
         state_dir = \"{folder}/state\"\n\
         run_dir = \"{folder}/run\"\n\
         user = \"\"\n\
         relayhost = \"{relayhost}\"\n\
         log = \"postfix\"\n\
         log_to = \"{folder}/mail.log\"\n\
         \n\
         [listen]\n\
         smtp = [\"{smtp}\"]\n\
         \n\
         [dns]\n\
         servers = [\"{dns}\"]\n\
         \n\
         [dkim]\n\
         directory = \"{folder}/dkim\"\n\
         \n\
         [delivery]\n\
         port = {port}\n\
         bind_ipv4 = \"{SENDER_ADDRESS}\"\n\
         allow_private = true\n\
         \n\
         [queue]\n\
         retry = [\"1s\"]\n\
         \n\
         [local]\n\
         aliases = \"{folder}/aliases\"\n\
         \n\
         # What a program of this host sends goes out through the provider's relay.\n\
         [[route]]\n\
         from = \"{RELAYED_USER}@{SENDER_DOMAIN}\"\n\
         via = \"{relay}\"\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    #[tokio::test]
    async fn the_configuration_is_valid_and_the_folder_goes_away() {
        let lab = Lab::start(puerto_lab::Options::default()).await.unwrap();
        let scene = Scene::set(&lab, Stage::USUAL).unwrap();
        let config = match Config::load(Some(&scene.config)) {
            Ok(config) => config,
            Err(errors) => panic!("{}", errors),
        };
        assert_eq!(config.delivery.port, lab.mx_port());
        assert_eq!(config.dns_servers, [lab.dns_addr()]);
        let folder = scene.folder.path().to_owned();
        assert!(folder.join("dkim/lab.example/rsa.pem").exists());
        drop(scene);
        assert!(!folder.exists());
    }
}
