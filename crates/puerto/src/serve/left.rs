//! What programs have left while the daemon did not run: the folders, who may look into
//! them, and who knows what was taken.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use nix::unistd::{Uid, geteuid};
use puerto_spool::{Desk, SpoolError};
use tokio::sync::mpsc;

use super::notice;
use crate::config::{Config, Live};
use crate::drop::agent::AgentHandle;
use crate::drop::{self, Ledger, Register, Stamps, Watch};
use crate::receive::SUBMIT_SOCKET;
use crate::rights;
use crate::telemetry::MailLog;

/// Users who were met and have not been looked after yet, at most.
const MET: usize = 256;

/// The folders, while the process may do with them what root may.
pub struct Left {
    directory: Option<PathBuf>,
    agent: Option<AgentHandle>,
    empty: Stamps,
    trouble: Option<io::Error>,
}

/// What is wired to the rooms.
pub struct Open {
    /// For sessions.
    pub register: Arc<Register>,
    met: mpsc::Receiver<Uid>,
    directory: PathBuf,
    agent: Option<AgentHandle>,
    empty: Stamps,
}

impl Left {
    /// Makes the folders. Mail is taken without them, too.
    pub fn prepare(config: &Config) -> Self {
        let (directory, agent) = (config.pickup.directory.clone(), None);
        match directory
            .as_deref()
            .map(|path| drop::prepare(path).map(|()| drop::empty_folders(path)))
        {
            Some(Ok(empty)) => Self { directory, agent, empty, trouble: None },
            Some(Err(error)) => {
                Self { directory, agent, empty: Stamps::new(), trouble: Some(error) }
            }
            None => Self { directory, agent, empty: Stamps::new(), trouble: None },
        }
    }

    /// Starts the process that keeps the right to become each user: before the daemon gives
    /// it up.
    pub fn keep_rights(&mut self, config: &Config) {
        let Some(directory) = self.directory.as_deref().filter(|_| self.trouble.is_none()) else {
            return;
        };
        match AgentHandle::spawn(directory, &config.run_dir.join(SUBMIT_SOCKET)) {
            Ok(agent) => self.agent = Some(agent),
            Err(error) => self.trouble = Some(error),
        }
    }

    /// Asks the store what was taken before the daemon ended last.
    pub async fn open(self, config: &Config, desk: &Arc<dyn Desk>, log: &MailLog) -> Option<Open> {
        let Self { directory, agent, empty, trouble } = self;
        let directory = directory?;
        if let Some(error) = trouble {
            let why = rights::said(&error);
            let text = format!(
                "sendmail cannot leave mail while the server does not run: {}: {why}; it is to be \
                 a folder of the user that starts the server, which nobody else may write to \
                 (pickup.directory)",
                directory.display()
            );
            notice(log, if geteuid().is_root() { "warning" } else { "info" }, &text);
            return None;
        }
        let is_there = |id| async move {
            match desk.get(id).await {
                Ok(_) => Ok(true),
                Err(SpoolError::NotFound(_)) => Ok(false),
                Err(error) => Err(error),
            }
        };
        let ledger = Arc::new(Ledger::open(&config.state_dir, is_there).await);
        let (announce, met) = mpsc::channel(MET);
        let register = Arc::new(Register::new(ledger, announce));
        Some(Open { register, met, directory, agent, empty })
    }
}

impl Open {
    /// What watches the folders.
    pub fn watch(self, config: &Live, log: &MailLog) -> Watch {
        let Self { register, met, directory, agent, empty } = self;
        let socket = config.get().run_dir.join(SUBMIT_SOCKET);
        let (ledger, config, log) = (Arc::clone(&register.ledger), config.clone(), log.clone());
        Watch { directory, socket, agent, empty, ledger, met, config, log }
    }
}
