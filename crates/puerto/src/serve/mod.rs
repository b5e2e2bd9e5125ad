//! The wiring diagram: each room is built once, here, and handed to those that use it.
//!
//! A start has two halves. [`Prepared::new`] does what needs root's rights and no
//! threads: folders, sockets, certificates, keys, the agent that writes local
//! mailboxes, the keeper of the certificate; then it becomes the service's user. [`Daemon::start`] opens the spool
//! and sets the rooms to work. A stop goes the other way: no new mail, what is in
//! flight ends, the queue gives back what it holds, the spool is closed, the log is
//! written out.

mod dnssec;
pub mod keeper;
mod memory;
mod notify;
mod policies;
mod prepared;
mod privileges;
mod readers;
mod reload;
mod reports;
mod signals;
pub mod store;

use std::path::PathBuf;
use std::sync::{Arc, Weak};
use std::time::Duration;

use puerto_spool::clock::Clock;
use puerto_spool::{Backend, Desk, Health, HeldBack, SpoolError};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;

use crate::accounts::Accounts;
use crate::acme;
use crate::bounce::Bouncer;
use crate::config::{Config, Live};
use crate::control;
use crate::deliver::{Remote, open_files};
use crate::dns::Resolver;
use crate::drop;
use crate::history::History;
use crate::intake::{self, Intake, KeyRing, Wake};
use crate::lang::{Said, said, said_of, spool_error};
use crate::local::Mailboxes;
use crate::local::agent::AgentHandle;
use crate::orders::Orders;
use crate::queue;
use crate::receive;
use crate::recipients::Recipients;
use crate::returns::Returns;
use crate::rights;
use crate::route::Router;
use crate::telemetry::{Event, MailLog, Reopen};
use crate::tls::{ClientTls, KnownKeys};
use crate::web::{Answers, Site};

use reload::{
    also_the_history, also_the_web, also_what_waits, certificate_reload, reloader, try_reload,
};

pub use memory::{fit_arenas, fit_threads};
pub use notify::{is_supervised, notify, ready, reloading, watchdog};
pub use prepared::Prepared;
pub use signals::{Signals, hold_back_reloads};

/// How long a stop waits for the rooms to end before it goes on without them.
const PATIENCE: Duration = Duration::from_secs(35);
/// How often the spool is asked whether something is wrong with it.
const LOOK_AT_SPOOL: Duration = Duration::from_secs(2);

const NO_DROP_AGENT: &str = "what sendmail has left while the server did not run is not taken";

/// Why the daemon did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A folder cannot be made or handed over.
    #[error("{path}: {error}", path = path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// The configured user does not exist.
    #[error(
        "there is no user {0:?}: make one (useradd --system {0}), or set `user` in the configuration; \
         `user = \"\"` stays who it is"
    )]
    NoSuchUser(String),
    /// The rights of root cannot be given up.
    #[error("{0}")]
    Privileges(Said),
    /// A socket cannot be opened.
    #[error("{0}")]
    Bind(Said),
    /// The certificate cannot be used.
    #[error("{0}")]
    Tls(Said),
    /// The log cannot be opened.
    #[error("the log cannot be opened: {0}")]
    Log(Said),
    /// The spool cannot be opened.
    #[error("the spool cannot be opened: {0}")]
    Spool(Said),
    /// The store says why it cannot be opened.
    #[error("the spool cannot be opened: {0}")]
    Store(SpoolError),
}

impl StartError {
    /// The error for people.
    pub fn said(&self) -> Said {
        match self {
            Self::Folder { path, error } => said_of!(
                "{path}: {error}", "{path}: {error}";
                path = Said::words(path.display().to_string()), error = rights::said(error)
            ),
            Self::NoSuchUser(user) => said!(
                "there is no user `{user}`: make one (useradd --system {user}), or set `user` in \
                 the configuration; `user = \"\"` stays who it is",
                "no existe el usuario `{user}`: créelo (useradd --system {user}) o cambie `user` en \
                 la configuración; con `user = \"\"` no se cambia de usuario"; user = user
            ),
            Self::Privileges(said) | Self::Bind(said) | Self::Tls(said) => said.clone(),
            Self::Log(said) => said_of!(
                "the log cannot be opened: {why}", "no se puede abrir el registro: {why}"; why = said
            ),
            Self::Spool(said) => said_of!(
                "the spool cannot be opened: {why}",
                "no se puede abrir el almacén de la cola: {why}"; why = said
            ),
            Self::Store(error) => said_of!(
                "the spool cannot be opened: {why}",
                "no se puede abrir el almacén de la cola: {why}"; why = spool_error(error)
            ),
        }
    }
}

/// The running daemon.
pub struct Daemon {
    config: Live,
    desk: Arc<dyn Desk>,
    remote: Arc<Remote>,
    log: MailLog,
    reopen: Reopen,
    reload: control::Reload,
    receiving: watch::Sender<bool>,
    queueing: watch::Sender<bool>,
    agent_lost: Option<Arc<Notify>>,
    history: Option<History>,
    /// Those that take mail and requests.
    fronts: Vec<JoinHandle<()>>,
    queue: JoinHandle<()>,
}

impl Daemon {
    /// Opens the spool and sets the rooms to work, inside a tokio runtime.
    /// `file` is where the configuration came from, for a reload.
    #[expect(clippy::too_many_lines, reason = "the wiring of all rooms reads best in one piece")]
    pub async fn start(prepared: Prepared, file: Option<PathBuf>) -> Result<Self, StartError> {
        let Prepared {
            config,
            listeners,
            control,
            doors,
            tls,
            keys,
            log,
            reopen,
            agent,
            keeper,
            drop_agent,
            small_store,
            roots,
            store,
        } = prepared;
        let store = store.map_or_else(|| store::open(&config, &log, small_store), Ok)?;
        let desk: Arc<dyn Desk> = store.clone();
        let (history, log) = with_history(&config, &store, &log);
        let (hears, newcomers) = drop::agent::newcomers();
        let log = log.also(hears);
        let known = report_state(&*desk, &keys, &log).await;
        for warning in listeners.warnings().iter().chain(&doors.warnings()) {
            notice(&log, "warning", warning);
        }
        try_reload(&tls, &config, keeper.as_deref(), &log);
        let client_tls = ClientTls::trusting(roots).knowing(known_keys(&config, &log));
        let dns = Arc::new(Resolver::new(&config));
        let config = Live::new(config);
        dnssec::begin(&dns, &config, &log);
        let keys = Arc::new(keys);
        let wake = Wake::default();
        let clock = store.clock();
        let orders = standing_orders(&*store, &clock, &log).await;
        let intake = Intake::new(intake::Context {
            config: config.clone(),
            store: store.clone(),
            keys: Arc::clone(&keys),
            log: log.clone(),
            wake: wake.clone(),
            clock: Arc::clone(&clock),
        });
        let intake = Arc::new(intake.heeding(orders.clone()));
        let policies = policies::open(&dns, &config, &clock, &log);
        let folder = config.get().state_dir.clone();
        let results = reports::results(&folder, &clock, policies.downgrade(), &log);
        let remote = remote(&config, client_tls, &log, &store);
        let memory = reports::memory(&folder, &clock, &log);
        let remote = Arc::new(remote.remembering(memory).counting(results.clone()));
        let agent_lost = agent.as_ref().map(AgentHandle::lost);
        let mailboxes = Mailboxes::new(config.clone(), Arc::clone(&intake), log.clone())
            .with_remote(Arc::clone(&remote))
            .with_agent(agent);
        let certificate = (tls.clone(), keeper);
        let reload = reloader(config.clone(), file, certificate, keys, log.clone());
        let reload = also_the_history(reload, history.clone(), config.clone());
        let renew = acme::Renew::default();
        let reload = also_the_web(reload, (doors.clone(), renew.clone()), config.clone());
        let reload = also_what_waits(reload, config.clone());
        let answers = Answers::default();
        let needs = acme::Needs {
            config: config.clone(),
            dns: Arc::clone(&dns),
            answers: answers.clone(),
            reload: certificate_reload(tls.clone(), config.clone()),
            log: log.clone(),
            clock: Arc::clone(&clock),
        };
        let manager = acme::Manager::new(needs, renew.clone());
        let site = Site { answers, config: config.clone(), tls: tls.clone() };
        let (receiving, stop_receiving) = watch::channel(false);
        let (queueing, stop_queue) = watch::channel(false);
        let ways = (&dns, &config);
        let reporting = (&log, stop_receiving.clone());
        let reporter = reports::begin(&results, ways, (&intake, &clock), reporting);
        let carrier = queue::Crew {
            remote: Arc::clone(&remote),
            mailboxes: Arc::new(mailboxes),
            bouncer: Arc::new(Bouncer::new(config.clone(), Arc::clone(&intake), log.clone())),
            returns: returns(&config, history.as_ref(), &log),
        };
        let router = Router::new(config.clone(), Arc::clone(&dns)).heeding(orders.clone());
        let router = Arc::new(router.obeying(policies).counting(results));
        let lanes = queue::Lanes::default();
        let queue = queue::Wiring {
            config: config.clone(),
            store: store.clone(),
            work: store.clone(),
            router: Arc::clone(&router),
            carrier,
            log: log.clone(),
            wake: wake.clone(),
            clock: Arc::clone(&clock),
            files: open_files(),
            orders: orders.clone(),
            lanes: lanes.clone(),
        };
        let receiver = receive::Context {
            config: config.clone(),
            intake,
            recipients: recipients(&config, &router, &remote, &log),
            dns,
            tls,
            accounts: Accounts::new(config.clone(), clock),
            log: log.clone(),
        };
        let controller = control::Context {
            config: config.clone(),
            desk: Arc::clone(&desk),
            store,
            wake,
            log: log.clone(),
            history: history.clone(),
            reload: Arc::clone(&reload),
            sight: control::Sight {
                orders,
                lanes,
                lane_of: Arc::new(move |domain| Some(router.destination(domain)?.to_string())),
                renew: renewer(&config, renew),
            },
        };
        let mut fronts = vec![
            reporter,
            tokio::spawn(listeners.run(receiver, stop_receiving.clone())),
            tokio::spawn(control.run(controller, stop_receiving.clone())),
            tokio::spawn(doors.run(site, stop_receiving.clone())),
            tokio::spawn(manager.run(stop_receiving.clone())),
        ];
        match drop_agent {
            Some(Ok(agent)) => {
                let run = agent.run(log.clone(), newcomers, stop_receiving);
                fronts.push(tokio::spawn(run));
            }
            Some(Err(error)) => notice(&log, "warning", &format!("{NO_DROP_AGENT}: {error}")),
            None => {}
        }
        tokio::spawn(watch_spool(Arc::downgrade(&desk), known, log.clone()));
        let queue = tokio::spawn(queue::run(queue, stop_queue));
        notice(&log, "info", &format!("ready as {}", config.get().hostname));
        Ok(Self {
            config,
            desk,
            remote,
            log,
            reopen,
            reload,
            receiving,
            queueing,
            agent_lost,
            history,
            fronts,
            queue,
        })
    }

    /// The configuration in force.
    pub fn config(&self) -> Arc<Config> {
        self.config.get()
    }

    /// Waits until no mailbox can be written any more, since both the agent and its
    /// overseer are gone, if there is a service manager to start all of it again. Without
    /// one the rest goes on, and local mail waits.
    pub async fn agent_is_lost(&self) -> StartError {
        match self.agent_lost.as_ref().filter(|_| is_supervised()) {
            Some(lost) => lost.notified().await,
            None => std::future::pending().await,
        }
        StartError::Privileges(said!(
            "the mailbox agent and its overseer have ended: the service ends, too, and is to be \
             started again",
            "el agente de los buzones y su vigilante han terminado: el servicio termina también y \
             ha de iniciarse de nuevo"
        ))
    }

    /// Reads the configuration, certificates and keys again, and opens the log file
    /// anew. What is wrong is logged, and the old stays in force.
    pub fn reload(&self) {
        self.reopen.reopen();
        match (self.reload)() {
            Ok(()) => notice(&self.log, "info", "the configuration was read again"),
            Err(error) => notice(&self.log, "error", &error),
        }
    }

    /// Stops: no new mail, what is in flight ends, everything is made durable.
    pub async fn stop(self) {
        notice(&self.log, "info", "stopping");
        // A send fails only if nobody listens any more, and then there is nobody to stop.
        let _ = self.receiving.send(true);
        let _ = self.queueing.send(true);
        let all = async {
            for front in self.fronts {
                log_end(&self.log, "a listener", front.await);
            }
            log_end(&self.log, "the queue", self.queue.await);
            self.remote.close().await;
        };
        if tokio::time::timeout(PATIENCE, all).await.is_err() {
            notice(&self.log, "warning", "some sessions did not end in time and were cut off");
        }
        let (desk, history) = (self.desk, self.history);
        // Closing waits for the disk.
        let closing = move || {
            history.iter().for_each(History::close);
            desk.close();
        };
        let _ = tokio::task::spawn_blocking(closing).await;
        notice(&self.log, "info", "stopped");
        self.reopen.flush();
    }
}

// What was ordered before the start holds from its first moment.
async fn standing_orders(desk: &dyn Desk, clock: &Arc<dyn Clock>, log: &MailLog) -> Orders {
    let orders = Orders::new(Arc::clone(clock));
    match desk.orders().await {
        Ok(kept) => drop(orders.replace(kept)),
        Err(error) => {
            let text =
                format!("no pause, hold or reroute is in force, since none can be read: {error}");
            notice(log, "warning", &text);
        }
    }
    orders
}

// The history, and the log that it hears. Mail goes on without one.
fn with_history(
    config: &Config,
    store: &Arc<dyn Backend>,
    log: &MailLog,
) -> (Option<History>, MailLog) {
    let folder = config.state_dir.join("history");
    let started = match store.archive() {
        Some(archive) => History::shared(archive, &folder, config, store.clock(), log),
        None => History::in_folder(&folder, config, store.clock(), log),
    };
    match started {
        Ok(history) => {
            let hears = history.clone();
            (Some(history), log.also(move |event| hears.hear(event)))
        }
        Err(error) => {
            notice(log, "error", &format!("no history is kept: {error}"));
            (None, log.clone())
        }
    }
}

// What comes back is understood by what is known of what went out.
fn returns(config: &Live, history: Option<&History>, log: &MailLog) -> Returns {
    match history {
        Some(history) => Returns::start(config.clone(), Arc::new(history.clone()), log.clone()),
        None => Returns::nowhere(),
    }
}

fn renewer(live: &Live, renew: acme::Renew) -> control::Renew {
    let live = live.clone();
    Arc::new(move |new_key| {
        if !live.get().acme.is_on() {
            return Err("no certificate is got by ACME: [acme] names no directory".to_owned());
        }
        if new_key {
            renew.new_key()
        } else {
            renew.now()
        }
        Ok(())
    })
}

fn log_end(log: &MailLog, what: &str, end: Result<(), tokio::task::JoinError>) {
    if let Err(error) = end {
        notice(log, "error", &format!("{what} was broken off: {error}"));
    }
}

// Mail is not stopped by a file that cannot be read: its keys are then new again.
fn known_keys(config: &Config, log: &MailLog) -> KnownKeys {
    KnownKeys::in_folder(&config.state_dir).unwrap_or_else(|error| {
        let file = KnownKeys::file(&config.state_dir);
        let text = format!("the keys of relays in {} cannot be read: {error}", file.display());
        notice(log, "warning", &text);
        KnownKeys::default()
    })
}

// Knows who lives here, and asks the hosts behind us.
fn recipients(
    config: &Live,
    router: &Arc<Router>,
    remote: &Arc<Remote>,
    log: &MailLog,
) -> Arc<Recipients> {
    let recipients = Recipients::new(config.clone());
    let recipients = Arc::new(recipients.asking(Arc::clone(router), Arc::clone(remote)));
    tokio::spawn(readers::tell(config.clone(), Arc::clone(&recipients), log.clone()));
    recipients
}

// Hands mail to other hosts, as one of those that share the queue.
fn remote(config: &Live, client_tls: ClientTls, log: &MailLog, store: &Arc<dyn Backend>) -> Remote {
    let cluster = Arc::clone(store);
    let remote = Remote::new(config.clone(), client_tls).with_log(log.clone());
    remote.among(move || cluster.living())
}

// What an administrator must see even if nobody asks for it.
async fn report_state(desk: &dyn Desk, keys: &KeyRing, log: &MailLog) -> Health {
    let health = report_trouble(desk, Health::default(), log).await;
    for problem in keys.problems() {
        notice(log, "warning", &problem.said.to_string());
    }
    if health.messages > 0 {
        let text = match health.messages {
            1 => "1 message waits in the queue".to_owned(),
            several => format!("{several} messages wait in the queue"),
        };
        notice(log, "info", &text);
    }
    health
}

// Says what is wrong with the spool and was not before; returns how it fares.
async fn report_trouble(desk: &dyn Desk, before: Health, log: &MailLog) -> Health {
    // One that does not answer now is asked again.
    let Ok(health) = desk.health().await else { return before };
    // The reason may name figures that change; that there is one is the news.
    match (&before.refusing, &health.refusing) {
        (None, Some(why)) => notice(log, "error", &format!("no mail is taken: {why}")),
        (Some(_), None) => notice(log, "info", "mail is taken again"),
        _ => {}
    }
    for damage in health.damaged.iter().filter(|damage| !before.damaged.contains(damage)) {
        notice(log, "error", &format!("the spool is damaged: {damage}"));
    }
    for trouble in health.unreadable.iter().filter(|text| !before.unreadable.contains(text)) {
        notice(log, "error", &format!("the spool cannot be read: {trouble}"));
    }
    let old = |health: &Health| health.held_back.clone().filter(HeldBack::is_old);
    match (old(&before), old(&health)) {
        (before, Some(held)) if before.as_ref().is_none_or(|before| before.by != held.by) => {
            let text = format!("the database cannot clear away what the queue deletes: {held}");
            notice(log, "warning", &text);
        }
        (Some(_), None) => notice(log, "info", "the database clears away again what is deleted"),
        _ => {}
    }
    match (before.unreadable.is_empty(), health.unreadable.is_empty()) {
        (true, false) => notice(
            log,
            "error",
            "mail is taken and delivered; what cannot be read is kept and tried again each minute: \
             let the user that the server runs as read it (chown), or mend the disk",
        ),
        (false, true) => notice(
            log,
            "info",
            &format!(
                "what could not be read was taken up: {} messages are in the queue",
                health.messages
            ),
        ),
        _ => {}
    }
    health
}

// Damage may be met at any time, and what cannot be read may be read later.
async fn watch_spool(desk: Weak<dyn Desk>, mut known: Health, log: MailLog) {
    loop {
        tokio::time::sleep(LOOK_AT_SPOOL).await;
        let Some(desk) = desk.upgrade() else { return };
        known = report_trouble(&*desk, known, &log).await;
    }
}

fn notice(log: &MailLog, level: &'static str, text: &str) {
    log.write(&Event::Notice { level, component: "master", id: None, text });
}
