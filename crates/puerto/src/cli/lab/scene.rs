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
use crate::cli::clock::now;
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

    /// One that another process has made, and that nobody has put anything into: it is
    /// removed as well.
    pub(super) fn adopt(path: &Path) -> io::Result<Self> {
        match fs::read_dir(path)?.next() {
            None => Ok(Self(path.to_owned())),
            Some(_) => Err(io::ErrorKind::DirectoryNotEmpty.into()),
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
    /// Lines of `[dns]` and of `[delivery]` beside those of all.
    pub(super) dns: &'static str,
    pub(super) delivery: &'static str,
    /// Sections of its own.
    pub(super) more: &'static str,
    /// What the administrator says of receivers: files, by the names of providers.
    pub(super) providers: &'static [(&'static str, &'static str)],
    /// What the server knows from before: files of its state folder, by the present time.
    pub(super) known: fn(i64) -> Vec<(&'static str, String)>,
    /// The receivers' certificate is one that the server trusts.
    pub(super) is_trusting: bool,
}

impl Stage {
    /// As a well kept server is.
    pub(super) const USUAL: Self = Self {
        key_domain: SENDER_DOMAIN,
        relayhost: false,
        port_closed: false,
        dns: "",
        delivery: "",
        more: "",
        providers: &[],
        known: |_now| Vec::new(),
        is_trusting: false,
    };
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
            true => free_port(Ipv4Addr::LOCALHOST)?.port(),
            false => lab.mx_port(),
        };
        let smtp = free_port(Ipv4Addr::LOCALHOST)?;
        let relay = lab.relayhost();
        let files = stage.providers.iter().map(|(name, text)| (*name, (*text).to_owned()));
        let providers = path("providers");
        write_files(&providers, files)?;
        let delivery = format!("providers = \"{}\"\n{}", providers.display(), stage.delivery);
        let server = Server {
            host: SENDER_HOST,
            address: SENDER_ADDRESS,
            smtp,
            port,
            relayhost: if stage.relayhost { &relay } else { "" },
            concurrency: 20,
            keys: &path("dkim"),
            dns: stage.dns,
            delivery: &delivery,
            more: stage.more,
        };
        let config = server.write(folder.path(), lab)?;
        write_files(&path("state"), (stage.known)(now().as_second()))?;
        Ok(Self { config, log: path("mail.log"), smtp, folder })
    }
}

/// What a server is told, beside what all of the lab's are.
pub(super) struct Server<'a> {
    pub(super) host: &'a str,
    /// Where it sends from.
    pub(super) address: Ipv4Addr,
    /// Where it takes mail.
    pub(super) smtp: SocketAddr,
    /// The port of all receivers.
    pub(super) port: u16,
    pub(super) relayhost: &'a str,
    /// Connections to one destination.
    pub(super) concurrency: usize,
    /// The folder of its DKIM keys.
    pub(super) keys: &'a Path,
    /// Lines of its own in `[dns]` and in `[delivery]`.
    pub(super) dns: &'a str,
    pub(super) delivery: &'a str,
    /// Sections of its own.
    pub(super) more: &'a str,
}

impl Server<'_> {
    /// Writes its configuration, and what that names, into a folder that is there.
    pub(super) fn write(&self, folder: &Path, lab: &Lab) -> Result<PathBuf, Said> {
        let config = folder.join("puerto.toml");
        let failed = |error| cannot_write(folder, &error);
        fs::write(folder.join("aliases"), "postmaster: root\n").map_err(failed)?;
        fs::write(&config, configuration(self, folder, lab)).map_err(failed)?;
        Ok(config)
    }
}

impl Scene {
    /// Where its sockets are.
    pub(super) fn run_dir(&self) -> PathBuf {
        self.folder.path().join("run")
    }
}

/// Makes the keys of a domain, and publishes them.
pub(super) fn write_keys(directory: &Path, lab: &Lab, domain: &str) -> Result<(), Said> {
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

fn write_files(
    folder: &Path,
    files: impl IntoIterator<Item = (&'static str, String)>,
) -> Result<(), Said> {
    fs::create_dir_all(folder).map_err(|error| cannot_write(folder, &error))?;
    for (name, text) in files {
        let file = folder.join(name);
        write_privately(&file, &text).map_err(|error| cannot_write(&file, &error))?;
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
pub(super) fn free_port(address: Ipv4Addr) -> Result<SocketAddr, Said> {
    let bound = TcpListener::bind((address, 0));
    bound.and_then(|listener| listener.local_addr()).map_err(|error| {
        said_of!(
            "no free port on {address}: {error}", "no hay ningún puerto libre en {address}: {error}";
            address = Said::words(address.to_string()), error = system(&error)
        )
    })
}

pub(super) fn cannot_write(path: &Path, error: &io::Error) -> Said {
    said_of!(
        "cannot write {path}: {error}", "no se puede escribir {path}: {error}";
        path = Said::words(path.display().to_string()), error = system(error)
    )
}

fn configuration(server: &Server<'_>, folder: &Path, lab: &Lab) -> String {
    let Server { host, address, smtp, port, relayhost, concurrency, keys, more, .. } = server;
    let (of_dns, of_delivery) = (server.dns, server.delivery);
    let (folder, keys) = (folder.display(), keys.display());
    let (dns, relay) = (lab.dns_addr(), lab.relayhost());
    format!(
        "# The server of the lab. Its Internet is on this machine alone.\n\
         hostname = \"{host}\"\n\
         domains = [\"{host}\"]\n\
         origin = \"{SENDER_DOMAIN}\"\n\
         state_dir = \"{folder}/state\"\n\
         run_dir = \"{folder}/run\"\n\
         user = \"\"\n\
         relayhost = \"{relayhost}\"\n\
         log = \"postfix\"\n\
         log_to = \"{folder}/mail.log\"\n\
         \n\
         [pickup]\n\
         directory = \"\"\n\
         \n\
         [listen]\n\
         smtp = [\"{smtp}\"]\n\
         \n\
         [dns]\n\
         servers = [\"{dns}\"]\n\
         {of_dns}\
         \n\
         [dkim]\n\
         directory = \"{keys}\"\n\
         \n\
         [delivery]\n\
         port = {port}\n\
         concurrency = {concurrency}\n\
         bind_ipv4 = \"{address}\"\n\
         allow_private = true\n\
         tls_reports = false\n\
         {of_delivery}\
         \n\
         [queue]\n\
         retry = [\"1s\"]\n\
         \n\
         [local]\n\
         aliases = \"{folder}/aliases\"\n\
         \n\
         # Whoever starts the lab plays all its senders, and is nobody's user but their own.\n\
         [sender]\n\
         users = {{ \"*\" = [\"*\"] }}\n\
         \n\
         # What a program of this host sends goes out through the provider's relay.\n\
         [[route]]\n\
         from = \"{RELAYED_USER}@{SENDER_DOMAIN}\"\n\
         via = \"{relay}\"\n\
         {more}"
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
        // Nobody takes a folder with something in it for one that may be removed.
        assert!(Folder::adopt(&folder).is_err());
        drop(scene);
        assert!(!folder.exists());
    }
}
