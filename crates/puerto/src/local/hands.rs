//! Who writes mailboxes.

#[cfg(test)]
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::agent::{self, AgentHandle, Written};
use super::failure::Failure;
use super::frame::Request;
use crate::cause::Cause;
use crate::deliver::Body;

/// The way to a mailbox: through the agent, or for tests below a folder.
pub(super) enum Hands {
    /// The agent. Where the daemon stays who it is, the agent is started with the first
    /// local mail.
    System(Mutex<Option<Arc<AgentHandle>>>),
    /// A test's own process, as mbox files below a directory, one at a time.
    #[cfg(test)]
    Below(PathBuf, Mutex<()>),
}

impl Hands {
    pub(super) fn system() -> Self {
        Self::System(Mutex::default())
    }

    pub(super) fn with_agent(agent: AgentHandle) -> Self {
        Self::System(Mutex::new(Some(Arc::new(agent))))
    }

    #[cfg(test)]
    pub(super) fn below(directory: &Path) -> Self {
        Self::Below(directory.to_owned(), Mutex::default())
    }

    pub(super) async fn write(
        self: Arc<Self>,
        request: Request,
        body: Arc<dyn Body>,
    ) -> Result<Written, Failure> {
        match &*self {
            Self::System(slot) => Self::agent(slot)?.deliver(&request, &body).await,
            #[cfg(test)]
            Self::Below(..) => {
                super::delivery::aside(move || self.write_below(&request, body.as_ref())).await
            }
        }
    }

    fn agent(slot: &Mutex<Option<Arc<AgentHandle>>>) -> Result<Arc<AgentHandle>, Failure> {
        let mut slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(agent) = &*slot {
            return Ok(Arc::clone(agent));
        }
        let failed = |error| Failure::system(error, |error| Cause::AgentNotStarted { error });
        let agent = Arc::new(agent::spawn().map_err(failed)?);
        *slot = Some(Arc::clone(&agent));
        Ok(agent)
    }

    #[cfg(test)]
    fn write_below(&self, request: &Request, body: &dyn Body) -> Result<Written, Failure> {
        let Self::Below(directory, turn) = self else {
            return Err(Failure::internal());
        };
        let _mine = turn.lock().unwrap_or_else(PoisonError::into_inner);
        let account = super::account::Account {
            name: request.user.clone(),
            uid: nix::unistd::geteuid(),
            gid: nix::unistd::getegid(),
            home: directory.join("home").join(&request.user),
            shell: "/bin/sh".into(),
        };
        let request = Request { maildir: false, deed: None, ..request.clone() };
        let mut told = None;
        let answer = super::mailbox::deliver(&account, &request, directory, |remark| {
            told = remark;
            body.open().map_err(Failure::of_message)
        })?;
        Ok(match answer {
            super::frame::Answer::Forward(text) => Written::Forward(text),
            _ => Written::Stored(told),
        })
    }
}
