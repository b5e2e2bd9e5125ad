//! A lab that stays: the simulated Internet, the server on its folder, and what happens
//! when somebody saves a file.
//!
//! The server is the real one. It is started again for each change of its files, which
//! takes a moment, forgets what its resolver remembered, and loses nothing. A zone or a
//! configuration with something wrong in it changes nothing.

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use puerto_lab::world::{SENDER_ADDRESS, SENDER_DOMAIN, SENDER_HOST};
use puerto_lab::{Lab, LabError, Options};
use puerto_smtp::Address;
use tokio::sync::Mutex as Turn;

use super::home::{Home, Kind, Memory, cannot, write};
use super::zone::{self, Records};
use crate::cli::exit::{Failure, Sysexit};
use crate::cli::lab::scenario::publish_blocklists;
use crate::cli::lab::scene::{free_port, write_keys};
use crate::cli::lab::started;
use crate::cli::lab::submit::{Counter, NotTaken, Promise, hand_in};
use crate::config::{Config, NextHop, NextHopHost};
use crate::lang::{Language, Said, Text, address_error, said, said_of};
use crate::receive::SUBMIT_SOCKET;
use crate::serve::{Daemon, Prepared, StartError};

/// The server's configuration in the folder.
pub(super) const CONFIG: &str = "puerto.toml";
/// The folder of its DKIM keys.
const KEYS: &str = "dkim";
/// How often files are looked at.
pub(super) const LOOK_AGAIN: Duration = Duration::from_millis(300);
/// Faults of a file that are told at once.
const MOST_FAULTS: usize = 10;
/// How long a queue that was just closed may remain in use.
const CLOSING: Duration = Duration::from_secs(3);

/// What a lab is before anybody edits it.
#[derive(Clone, Copy)]
pub(super) struct Blueprint {
    pub(super) kind: Kind,
    pub(super) options: fn(&mut Options),
    /// What is changed in the DNS.
    pub(super) zone: fn(&puerto_lab::Zone),
    /// The names that the user may publish; all if empty.
    pub(super) yours: &'static [&'static str],
    /// The server has DKIM keys, and they are published.
    pub(super) keys: bool,
    /// Keys at the top of its configuration, with `{port}` and `{folder}`.
    pub(super) top: &'static str,
    /// Tables at the end of it.
    pub(super) tables: &'static str,
    /// Pauses between attempts.
    pub(super) retry: &'static str,
    /// What is sent at once: from whom, to whom.
    pub(super) letters: &'static [(&'static str, &'static str)],
}

impl Blueprint {
    /// Everything is right.
    pub(super) const KEEP: Self = Self {
        kind: Kind::Keep,
        options: |_| {},
        zone: |_| {},
        yours: &["example", "com", "spamhaus.org", "in-addr.arpa", "ip6.arpa"],
        keys: true,
        top: "relayhost = \"\"\n",
        tables: "",
        retry: "[\"1s\", \"2s\", \"5s\"]",
        letters: &[],
    };
}

/// Files, when each was changed, and its size.
pub(super) type Stamps = Vec<(PathBuf, SystemTime, u64)>;

/// What happened to a file that was saved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct News {
    pub(super) good: bool,
    pub(super) said: Said,
}

/// The running lab.
pub(super) struct World {
    pub(super) lab: Lab,
    pub(super) blueprint: Blueprint,
    home: Home,
    memory: Mutex<Memory>,
    // Records that are not the user's.
    fixed: Records,
    state: Turn<State>,
}

#[derive(Default)]
struct State {
    daemon: Option<Daemon>,
    zone: Option<String>,
    files: Stamps,
    // What is wrong with the files.
    zone_fault: Option<Said>,
    config_fault: Option<Said>,
}

impl World {
    /// Starts a lab in a folder: as it was left, or from its beginning.
    pub(super) async fn open(
        blueprint: Blueprint,
        folder: Option<&Path>,
        anew: bool,
        language: Language,
    ) -> Result<(Self, Vec<News>), Failure> {
        let (home, known) = Home::take(folder, blueprint.kind, anew)?;
        let mut options = Options::default();
        (blueprint.options)(&mut options);
        options.ports = known.as_ref().map(|known| (known.ports.0, known.ports.1));
        let lab = start(options, known.is_some()).await?;
        publish_blocklists(lab.zone());
        let unavailable = |said| Failure::new(Sysexit::Unavailable, said);
        let is_new = known.is_none();
        if is_new && blueprint.keys {
            write_keys(&home.path().join(KEYS), &lab, SENDER_DOMAIN).map_err(unavailable)?;
        }
        (blueprint.zone)(lab.zone());
        let (yours, fixed) = zone::divide(lab.zone().records(), blueprint.yours);
        let memory = match known {
            Some(memory) => memory,
            None => {
                let smtp = free_port(Ipv4Addr::LOCALHOST).map_err(unavailable)?;
                let ports = (lab.dns_addr().port(), lab.mx_port(), smtp.port());
                let written = Written {
                    host: SENDER_HOST,
                    origin: SENDER_DOMAIN,
                    address: SENDER_ADDRESS,
                    smtp: Some(smtp),
                    place: home.path(),
                    top: blueprint.top,
                    tables: blueprint.tables,
                    retry: blueprint.retry,
                };
                let texts = (zone::write(&yours, language), written.text(&lab, language));
                let memory = Memory { kind: blueprint.kind, ports, hints: 0, first: texts };
                lay_out(home.path(), &memory).map_err(|error| cannot(home.path(), &error))?;
                memory
            }
        };
        let world = Self {
            lab,
            blueprint,
            home,
            memory: Mutex::new(memory),
            fixed,
            state: Turn::default(),
        };
        let news = world.apply().await;
        if is_new {
            for (from, to) in blueprint.letters {
                world
                    .send(from, to, "Buen puerto")
                    .await
                    .map_err(|not_taken| unavailable(not_taken.into()))?;
            }
        }
        Ok((world, news))
    }

    /// Ends it: what is in flight ends, too.
    pub(super) async fn close(&self) {
        if let Some(daemon) = self.state.lock().await.daemon.take() {
            daemon.stop().await;
        }
    }

    pub(super) fn folder(&self) -> &Path {
        self.home.path()
    }

    pub(super) fn config_file(&self) -> PathBuf {
        self.folder().join(CONFIG)
    }

    pub(super) fn zone_file(&self) -> PathBuf {
        self.folder().join(zone::FILE)
    }

    pub(super) fn run_dir(&self) -> PathBuf {
        self.folder().join("run")
    }

    /// Where the server takes mail by SMTP.
    pub(super) fn smtp(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.memory().ports.2).into()
    }

    pub(super) fn memory(&self) -> Memory {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Remembers something else.
    pub(super) fn remember(&self, change: impl FnOnce(&mut Memory)) -> io::Result<()> {
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut memory);
        memory.keep(self.folder())
    }

    /// What is wrong with the files as they are now, once they have been looked at: a name
    /// for programs, and words.
    pub(super) async fn faults(&self) -> Vec<(&'static str, Said)> {
        self.apply().await;
        let state = self.state.lock().await;
        let zone = state.zone_fault.clone().map(|said| ("file.zone", said));
        let config = state.config_fault.clone().map(|said| ("file.config", said));
        zone.into_iter().chain(config).collect()
    }

    /// Whether a file is as it was at first: the zone, and the configuration.
    pub(super) fn is_untouched(&self) -> bool {
        let (zone, config) = self.memory().first;
        let is = |file: PathBuf, first: String| fs::read_to_string(file).is_ok_and(|t| t == first);
        is(self.zone_file(), zone) && is(self.config_file(), config)
    }

    /// Hands a message in at the server's socket.
    pub(super) async fn send(
        &self,
        from: &str,
        to: &str,
        subject: &str,
    ) -> Result<Promise, NotTaken> {
        send(Counter::Socket(&self.run_dir().join(SUBMIT_SOCKET)), (from, to), subject, "").await
    }

    /// Looks at the files again and again, and tells what came of each change.
    pub(super) async fn watch(&self, mut tell: impl FnMut(News)) {
        let mut seen = self.stamps();
        loop {
            tokio::time::sleep(LOOK_AGAIN).await;
            let now = self.stamps();
            // An editor may be in the middle of it: two looks have to agree.
            if now == seen {
                self.apply().await.into_iter().for_each(&mut tell);
            }
            seen = now;
        }
    }

    fn stamps(&self) -> (Option<(SystemTime, u64)>, Stamps) {
        (stamp(&self.zone_file()), files(self.folder()))
    }

    /// Brings what the files say into force, if it is something new.
    pub(super) async fn apply(&self) -> Vec<News> {
        let mut state = self.state.lock().await;
        let mut news = Vec::new();
        let has_new_zone = self.apply_zone(&mut state, &mut news);
        if let Some(fault) = news.iter().find(|news| !news.good) {
            state.zone_fault = Some(fault.said.clone());
        } else if has_new_zone {
            state.zone_fault = None;
        }
        let files = files(self.folder());
        if has_new_zone || files != state.files {
            let silently = state.files.is_empty() || files == state.files;
            state.files = files;
            let before = news.len();
            self.apply_config(&mut state, &mut news, silently).await;
            state.config_fault =
                news.iter().skip(before).find(|news| !news.good).map(|news| news.said.clone());
        }
        news
    }

    fn apply_zone(&self, state: &mut State, news: &mut Vec<News>) -> bool {
        let file = self.zone_file();
        let text = match fs::read(&file) {
            Ok(octets) => String::from_utf8_lossy(&octets).into_owned(),
            Err(error) => {
                if state.zone.take().is_some() {
                    news.push(News { good: false, said: cannot_read(&file, &error) });
                }
                return false;
            }
        };
        if state.zone.as_ref() == Some(&text) {
            return false;
        }
        let is_first = state.zone.is_none();
        let read = zone::read(&text, self.blueprint.yours);
        state.zone = Some(text);
        match read {
            Ok(records) => {
                let count = records.len();
                self.lab.zone().replace(self.fixed.iter().cloned().chain(records));
                if !is_first {
                    let said = said!(
                        "the DNS is as the file says: {count} records",
                        "el DNS queda como dice el fichero: {count} registros"; count = count
                    );
                    news.push(News { good: true, said });
                }
                true
            }
            Err(faults) => {
                let yours = self.blueprint.yours;
                let bad = |said| News { good: false, said };
                let told = faults.iter().take(MOST_FAULTS);
                news.extend(told.map(|fault| bad(zone::said_of(&file, fault, yours))));
                let more = faults.len().saturating_sub(MOST_FAULTS);
                if more > 0 {
                    news.push(bad(said!("and {more} more", "y {more} más"; more = more)));
                }
                let said = said!(
                    "the DNS stays as it was until that is mended",
                    "el DNS se queda como estaba hasta que lo corrija"
                );
                news.push(News { good: false, said });
                is_first
            }
        }
    }

    async fn apply_config(&self, state: &mut State, news: &mut Vec<News>, silently: bool) {
        let stays = said!(
            "the server goes on as it was until that is mended",
            "el servidor sigue como estaba hasta que lo corrija"
        );
        let config = match Config::load(Some(&self.config_file())) {
            Ok(config) => config,
            Err(errors) => {
                let said = Said::of_both(|language| errors.render(false, None, language));
                news.extend([said, stays].map(|said| News { good: false, said }));
                return;
            }
        };
        if let Some(said) = leads_outside(&self.lab, &config) {
            news.extend([said, stays].map(|said| News { good: false, said }));
            return;
        }
        if let Some(daemon) = state.daemon.take() {
            daemon.stop().await;
        }
        match serve(config, &self.config_file()).await {
            Ok(daemon) => {
                state.daemon = Some(daemon);
                if !silently {
                    let said = said!(
                        "the server runs with what you saved",
                        "el servidor funciona con lo que ha guardado"
                    );
                    news.push(News { good: true, said });
                }
            }
            Err(error) => {
                let said = said_of!(
                    "the server cannot start: {error}; mend the file and save it",
                    "el servidor no puede empezar: {error}; corrija el fichero y guárdelo";
                    error = error.said()
                );
                news.push(News { good: false, said });
            }
        }
    }
}

/// Why a configuration is not taken: a lab's server talks to nobody outside this machine: the lab has hosts of the names
/// that the real Internet has, too.
pub(super) fn leads_outside(lab: &Lab, config: &Config) -> Option<Said> {
    let (dns, port) = (lab.dns_addr(), lab.mx_port());
    if config.dns_servers != [dns] {
        return Some(said!(
            "the lab's server asks no other DNS than the lab's: put back, below [dns], \
             servers = [\"{dns}\"]",
            "el servidor del laboratorio no pregunta a otro DNS que al suyo: vuelva a poner, \
             bajo [dns], servers = [\"{dns}\"]"; dns = dns
        ));
    }
    if config.delivery.port != port {
        return Some(said!(
            "the receivers of the lab listen on port {port} alone: put back, below \
             [delivery], port = {port}",
            "los receptores del laboratorio solo escuchan en el puerto {port}: vuelva a \
             poner, bajo [delivery], port = {port}"; port = port
        ));
    }
    let hops =
        config.relayhost.iter().chain(config.routes.iter().filter_map(|route| route.via.as_ref()));
    let mut outside = hops.filter_map(|hop| match hop {
        NextHop { host: NextHopHost::Address(address), .. } => Some(*address),
        NextHop { .. } => None,
    });
    let address = outside.find(|address: &IpAddr| !address.is_loopback())?;
    Some(said!(
        "{address} is outside the lab, whose hosts all are in 127.0.0.0/8",
        "{address} está fuera del laboratorio, cuyas máquinas están todas en 127.0.0.0/8";
        address = address
    ))
}

/// Hands a message in.
pub(super) async fn send(
    counter: Counter<'_>,
    (from, to): (&str, &str),
    subject: &str,
    text: &str,
) -> Result<Promise, NotTaken> {
    let [sender, recipient] = [from, to].map(|address| {
        Address::parse(address).map_err(|error| {
            said_of!("{address}: {error}", "{address}: {error}";
                address = Said::words(address), error = address_error(&error))
        })
    });
    let subject: String = subject.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let content = format!(
        "From: {from}\r\nTo: {to}\r\nSubject: {subject}\r\nMIME-Version: 1.0\r\n\
         Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n\
         {text}\r\n"
    );
    hand_in(counter, (&sender?, vec![recipient?]), content).await
}

/// Starts the Internet of a lab, at the ports of before if it had some.
pub(super) async fn start(options: Options, has_ports: bool) -> Result<Lab, Failure> {
    match Lab::start(options.clone()).await {
        Ok(lab) => Ok(lab),
        Err(LabError::Bind { address, error })
            if has_ports && error.kind() == io::ErrorKind::AddrInUse =>
        {
            Err(Failure::new(
                Sysexit::Unavailable,
                said!(
                    "another program has taken {address}, which the files of this lab name: end \
                     it, or begin anew with --reset",
                    "otro programa ha ocupado {address}, que figura en los ficheros de este \
                     laboratorio: termínelo o empiece de nuevo con --reset"; address = address
                ),
            ))
        }
        Err(_) => started(options).await.map_err(|said| Failure::new(Sysexit::Unavailable, said)),
    }
}

/// Starts a server. The queue of the one before may be in use for another moment.
pub(super) async fn serve(mut config: Config, file: &Path) -> Result<Daemon, StartError> {
    // A real server of this machine would take a letter for the Internet, and send it there.
    config.delivery.only_port = true;
    let since = tokio::time::Instant::now();
    loop {
        let prepared = Prepared::new(config.clone())?.with_small_store();
        match Daemon::start(prepared, Some(file.to_owned())).await {
            Err(StartError::Spool(_) | StartError::Store(_)) if since.elapsed() < CLOSING => {
                tokio::time::sleep(LOOK_AGAIN / 3).await;
            }
            started => return started,
        }
    }
}

fn lay_out(folder: &Path, memory: &Memory) -> io::Result<()> {
    let (zone, config) = &memory.first;
    write(&folder.join(zone::FILE), zone)?;
    write(&folder.join(CONFIG), config)?;
    write(&folder.join("aliases"), "postmaster: root\n")?;
    memory.keep(folder)
}

fn stamp(file: &Path) -> Option<(SystemTime, u64)> {
    let metadata = fs::metadata(file).ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}

/// What the server reads: files of its folder, and its keys. What editors leave behind, the
/// log and what is the lab's own is not among them.
pub(super) fn files(folder: &Path) -> Stamps {
    fn add(folder: &Path, found: &mut Stamps, depth: u8) {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let (path, name) = (entry.path(), entry.file_name());
            let name = name.to_string_lossy();
            let is_ours = name.starts_with("lab.") || name == zone::FILE || name == "mail.log";
            if is_ours || name.starts_with('.') || name.ends_with('~') {
                continue;
            }
            let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
            match is_folder {
                true if depth > 0 || name == KEYS => {
                    if depth < 3 {
                        add(&path, found, depth + 1);
                    }
                }
                true => {}
                false => found.extend(stamp(&path).map(|(time, size)| (path, time, size))),
            }
        }
    }
    let mut found = Vec::new();
    add(folder, &mut found, 0);
    found.sort();
    found
}

fn cannot_read(file: &Path, error: &io::Error) -> Said {
    said_of!(
        "{file} cannot be read: {error}; the DNS stays as it was: put the file back, or begin anew \
         with --reset",
        "no se puede leer {file}: {error}; el DNS se queda como estaba: vuelva a poner el fichero o \
         empiece de nuevo con --reset";
        file = Said::words(file.display().to_string()), error = crate::lang::system(error)
    )
}

const YOURS: Text = Text::new(
    "# The server of the lab. Save this file and it runs with it; if something is wrong, the\n\
     # lab says what and where. What you may want to change stands first, and at the end.\n",
    "# El servidor del laboratorio. Guarde este fichero y funcionará con él; si hay algo mal, el\n\
     # laboratorio dice qué y dónde. Lo que puede querer cambiar está al principio y al final.\n",
);
const WIRING: Text = Text::new(
    "# What ties the server to the lab: leave it as it is.\n",
    "# Lo que ata el servidor al laboratorio: déjelo como está.\n",
);
const PLAYS_ALL: Text = Text::new(
    "# You play all users of this server, so that you may send as any of them.\n",
    "# Usted hace de todos los usuarios de este servidor: puede enviar como cualquiera de ellos.\n",
);

/// A server's configuration, before anybody edits it.
pub(super) struct Written<'a> {
    pub(super) host: &'a str,
    /// The domain that completes senders.
    pub(super) origin: &'a str,
    pub(super) address: Ipv4Addr,
    /// Where it takes mail by SMTP, if it does.
    pub(super) smtp: Option<SocketAddr>,
    /// Its folder.
    pub(super) place: &'a Path,
    /// Keys at the top, with `{port}` and `{folder}`, and tables at the end.
    pub(super) top: &'a str,
    pub(super) tables: &'a str,
    pub(super) retry: &'a str,
}

impl Written<'_> {
    /// The text of the file.
    pub(super) fn text(&self, lab: &Lab, language: Language) -> String {
        let Self { host, origin, address, retry, .. } = self;
        let (port, dns) = (lab.mx_port(), lab.dns_addr());
        let place = self.place.display().to_string();
        let port_text = port.to_string();
        let fill = |text: &str| text.replace("{port}", &port_text).replace("{folder}", &place);
        let (top, tables) = (fill(self.top), fill(self.tables));
        let smtp = self.smtp.map(|smtp| format!("\"{smtp}\"")).unwrap_or_default();
        let [yours, wiring, plays] = [YOURS, WIRING, PLAYS_ALL].map(|text| text.of(language));
        format!(
            "{yours}hostname = \"{host}\"\n\
             domains = [\"{host}\"]\n\
             origin = \"{origin}\"\n\
             {top}\n\
             {wiring}state_dir = \"{place}/state\"\n\
             run_dir = \"{place}/run\"\n\
             user = \"\"\n\
             log = \"postfix\"\n\
             log_to = \"{place}/mail.log\"\n\
             \n\
             [pickup]\n\
             directory = \"\"\n\
             \n\
             [listen]\n\
             smtp = [{smtp}]\n\
             \n\
             [dns]\n\
             servers = [\"{dns}\"]\n\
             \n\
             [dkim]\n\
             directory = \"{place}/{KEYS}\"\n\
             \n\
             [delivery]\n\
             port = {port}\n\
             bind_ipv4 = \"{address}\"\n\
             allow_private = true\n\
             \n\
             [queue]\n\
             retry = {retry}\n\
             \n\
             [local]\n\
             aliases = \"{place}/aliases\"\n\
             {tables}\n\
             {plays}[sender]\n\
             users = {{ \"*\" = [\"*\"] }}\n"
        )
    }
}
