//! What a start does before the rooms are wired: with root's rights, and then with the queue's
//! database, which may not be there yet.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use puerto_spool::Backend;
use puerto_spool::clock::SystemClock;
use rustls::pki_types::CertificateDer;
use tokio::sync::Notify;

use super::keeper::Keeper;
use super::reload::files_of_others;
use super::signals::Signals;
use super::{StartError, notice, notify, privileges, store, watchdog};
use crate::cause::Cause;
use crate::config::Config;
use crate::control;
use crate::drop;
use crate::intake::KeyRing;
use crate::lang::{said_of, system};
use crate::local::agent::{self, AgentHandle};
use crate::receive::{self, Inherited, Listeners};
use crate::rights::Identity;
use crate::telemetry::{self, MailLog, Reopen};
use crate::tls::ServerTls;
use crate::web::Doors;

/// How long a database is left in peace that cannot be used.
const AGAIN: Duration = Duration::from_secs(1);

/// Everything that was made with root's rights, held by a process that has given
/// them up.
pub struct Prepared {
    pub(super) config: Config,
    pub(super) listeners: Listeners,
    pub(super) control: control::Server,
    pub(super) doors: Doors,
    pub(super) tls: ServerTls,
    pub(super) keys: KeyRing,
    pub(super) log: MailLog,
    pub(super) reopen: Reopen,
    pub(super) agent: Option<AgentHandle>,
    pub(super) keeper: Option<Arc<Keeper>>,
    pub(super) drop_agent: Option<std::io::Result<drop::agent::Agent>>,
    pub(super) small_store: bool,
    pub(super) roots: Vec<CertificateDer<'static>>,
    pub(super) store: Option<Arc<dyn Backend>>,
}

impl Prepared {
    /// Does what needs root's rights, then gives them up. Starts no thread but the
    /// log's writer.
    pub fn new(config: Config) -> Result<Self, StartError> {
        let inherited = Inherited::from_environment();
        let identity = privileges::target(&config.user)?;
        let owner = identity.as_ref();
        privileges::prepare_folder(&config.state_dir, 0o700, owner)?;
        privileges::hand_over_spool(&config.state_dir.join("spool"), owner)?;
        privileges::prepare_folder(&config.run_dir, 0o755, owner)?;
        let (log, reopen) = telemetry::open(&config, Arc::new(SystemClock))
            .map_err(|e| StartError::Log(e.said()))?;
        privileges::raise_file_limit();
        let prepared = Self {
            listeners: Listeners::open(&config, inherited)
                .map_err(|e| StartError::Bind(e.said()))?,
            control: control::Server::bind(&config).map_err(|e| StartError::Bind(e.said()))?,
            doors: Doors::open(&config),
            tls: ServerTls::load(files_of_others(&config))
                .map_err(|e| StartError::Tls(e.said()))?,
            keys: KeyRing::of(&config),
            drop_agent: config.pickup.directory.as_deref().map(|directory| {
                let submit = config.run_dir.join(receive::SUBMIT_SOCKET);
                drop::agent::Agent::spawn(directory, &submit, config.language)
            }),
            // Local mailboxes belong to their users, so one process keeps the right to become
            // them.
            agent: owner.map(|_| agent::spawn()).transpose().map_err(|error| {
                StartError::Privileges(Cause::AgentNotStarted { error: error.into() }.said())
            })?,
            keeper: kept(&config, owner)?,
            small_store: false,
            roots: Vec::new(),
            store: None,
            log,
            reopen,
            config,
        };
        if let Some(identity) = &identity {
            privileges::become_user(identity)?;
        }
        Ok(prepared)
    }

    /// Opens the queue, its tables brought to this program's version first where that is asked.
    /// A database that is out of reach, or refuses us, is waited for, and
    /// clients are sent away meanwhile: a server that ends itself is started again every few
    /// seconds by whoever supervises it, and clients wait on its sockets for a word. `None` if
    /// the server is told to stop before.
    pub async fn with_store(
        self,
        signals: &mut Signals,
        migrate: bool,
    ) -> Result<Option<Self>, StartError> {
        // At a start that goes well clients wait for a moment, and are not sent away.
        let has_failed = Notify::new();
        let why = Mutex::new(String::new());
        let opened = {
            let away = async {
                has_failed.notified().await;
                let clients = self.listeners.turn_away(&self.config.hostname);
                tokio::join!(clients, self.control.turn_away(&why));
            };
            tokio::select! {
                opened = self.patiently_opened((&has_failed, &why), migrate) => opened?,
                () = always(away) => return Ok(None),
                () = always(watchdog()) => return Ok(None),
                () = signals.told_to_stop() => return Ok(None),
            }
        };
        Ok(Some(Self { store: Some(opened), ..self }))
    }

    async fn patiently_opened(
        &self,
        (has_failed, why): (&Notify, &Mutex<String>),
        migrate: bool,
    ) -> Result<Arc<dyn Backend>, StartError> {
        loop {
            let (config, log, small) = (self.config.clone(), self.log.clone(), self.small_store);
            let opened = tokio::task::spawn_blocking(move || {
                if let (true, Some(url)) = (migrate, &config.store.url) {
                    store::migrate(&config, url)?;
                }
                store::open(&config, &log, small)
            });
            let error = match opened.await {
                Ok(Ok(store)) => return Ok(store),
                Ok(Err(error)) if self.config.store.url.is_none() => return Err(error),
                Ok(Err(error)) => error.to_string(),
                Err(error) => error.to_string(),
            };
            let error = format!("{error}; no mail is taken until it can be");
            let told = why.lock().map(|mut why| std::mem::replace(&mut *why, error.clone()));
            if told.is_ok_and(|told| told != error) {
                notice(&self.log, "error", &error);
            }
            has_failed.notify_one();
            notify("READY=1\nSTATUS=Waits for the database; no mail is taken");
            tokio::time::sleep(AGAIN).await;
        }
    }

    /// Trusting these authorities of others' certificates too, beside the system's.
    #[must_use]
    pub fn trusting(self, roots: Vec<CertificateDer<'static>>) -> Self {
        Self { roots, ..self }
    }

    /// With a queue for a few letters: many such servers have room on one disk.
    #[must_use]
    pub fn with_small_store(self) -> Self {
        Self { small_store: true, ..self }
    }
}

// Who goes on as somebody else leaves a process that may read a renewed certificate.
fn kept(config: &Config, owner: Option<&Identity>) -> Result<Option<Arc<Keeper>>, StartError> {
    let files = files_of_others(config).filter(|_| owner.is_some());
    let keeper = files.map(Keeper::spawn).transpose().map_err(|error| {
        StartError::Privileges(said_of!(
            "cannot start the certificate's keeper: {error}",
            "no se puede iniciar el guardián del certificado: {error}"; error = system(&error)
        ))
    })?;
    Ok(keeper.map(Arc::new))
}

// What may end and must not end what waits beside it.
async fn always(work: impl Future<Output = ()>) {
    work.await;
    std::future::pending().await
}
