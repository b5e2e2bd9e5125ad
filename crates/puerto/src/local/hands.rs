//! Who writes mailboxes.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::account::Account;
use super::agent::{self, AgentHandle, Request, SPOOL, Written};
use super::delivery::aside;
use super::failure::Failure;
use crate::deliver::Body;

/// Who writes mailboxes.
pub(super) enum Hands {
    /// The agent, or this process for its own user.
    System(Mutex<Option<Arc<AgentHandle>>>),
    /// This process, as mbox files below a directory.
    Below(PathBuf),
}

impl Hands {
    pub(super) fn system() -> Self {
        Self::System(Mutex::default())
    }

    pub(super) fn with_agent(agent: AgentHandle) -> Self {
        Self::System(Mutex::new(Some(Arc::new(agent))))
    }

    pub(super) async fn write(
        self: Arc<Self>,
        request: Request,
        body: Arc<dyn Body>,
    ) -> Result<Written, Failure> {
        aside(move || {
            let failed = |error: std::io::Error| Failure::system("read the queued message", &error);
            let mut reader = body.open().map_err(failed)?;
            self.write_now(&request, &mut reader).map(|()| Written::Stored)
        })
        .await
    }

    fn write_now(&self, request: &Request, body: &mut dyn std::io::Read) -> Result<(), Failure> {
        let we = nix::unistd::geteuid();
        let slot = match self {
            Self::System(slot) => slot,
            Self::Below(directory) => {
                let account = Account {
                    name: request.user.clone(),
                    uid: we,
                    gid: nix::unistd::getegid(),
                    home: directory.join(&request.user),
                };
                let request = Request { maildir: false, ..request.clone() };
                return agent::write(&account, &request, body, directory);
            }
        };
        if let Some(agent) = Self::agent(slot)? {
            return agent.deliver(request, body);
        }
        let account = Account::find(&request.user)
            .map_err(|error| Failure::later(3, 0, format!("cannot look up users: {error}")))?
            .ok_or_else(|| Failure::never(1, 1, format!("there is no user `{}`", request.user)))?;
        if account.uid == we {
            return agent::write(&account, request, body, Path::new(SPOOL));
        }
        let text = format!(
            "puerto was started as user {we} and may not write the mailbox of {}: start it as \
             root, it then drops to `user`",
            account.name
        );
        Err(Failure::later(2, 1, text))
    }

    // A daemon that stays root needs no agent before the first local mail.
    fn agent(slot: &Mutex<Option<Arc<AgentHandle>>>) -> Result<Option<Arc<AgentHandle>>, Failure> {
        let mut slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
        if slot.is_none() && nix::unistd::geteuid().is_root() {
            let agent = agent::spawn()
                .map_err(|error| Failure::system("start the mailbox agent", &error))?;
            *slot = Some(Arc::new(agent));
        }
        Ok(slot.clone())
    }
}
