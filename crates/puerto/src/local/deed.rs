//! What mail is given to that is no mailbox: commands and files.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use nix::unistd::{Uid, User};
use puerto_spool::LeasedRecipient;

use super::agent::Written;
use super::delivery::{Mailboxes, aside};
use super::directory::split;
use super::failure::Failure;
use super::frame::{DeedRequest, Request};
use super::report;
use crate::cause::Cause;
use crate::config::Config;
use crate::deliver::Job;

/// A command or a file that a message is given to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Deed {
    /// What it is.
    pub(super) what: What,
    /// As whom.
    pub(super) by: By,
}

/// What is done.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum What {
    /// The shell runs this.
    Command(String),
    /// It is appended to this file, or put into this Maildir if the path ends in `/`.
    File(PathBuf),
}

/// As whom it is done: the owner of the file that names it. Nothing is done as root.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum By {
    /// The owner of the aliases file or of a list.
    Owner(u32),
    /// The user whose `.forward` it is.
    User(String),
}

impl Mailboxes {
    /// Does all of them that were not done for this message yet.
    pub(super) async fn do_all(
        &self,
        job: &Job,
        leased: &LeasedRecipient,
        deeds: &BTreeSet<Deed>,
    ) -> Vec<Result<Cause, Failure>> {
        let mut results = Vec::with_capacity(deeds.len());
        for deed in deeds {
            results.push(match self.is_deed_done(job.id, deed) {
                true => Ok(Cause::WithOthers {}),
                false => self.do_one(job, leased, deed).await,
            });
        }
        results
    }

    async fn do_one(
        &self,
        job: &Job,
        leased: &LeasedRecipient,
        deed: &Deed,
    ) -> Result<Cause, Failure> {
        let config = self.config.get();
        let (by, default) = (deed.by.clone(), config.local.default_user.clone());
        let service = config.user.clone();
        let user = aside(move || doer(&by, default, &service)).await?;
        let request = request(&config, job, leased, (deed, user));
        match self.hands().write(request, Arc::clone(&job.body)).await? {
            Written::Stored(_) => {
                self.remember_deed(job.id, deed.clone());
                Ok(match &deed.what {
                    What::Command(command) => Cause::ToCommand { command: command.clone() },
                    What::File(path) => Cause::ToFile { path: path.display().to_string() },
                })
            }
            Written::Forward(_) => Err(Failure::internal()),
        }
    }
}

// The user's name. Neither root's rights nor those of the service, which has all mail, are
// anybody's to use.
fn doer(by: &By, default: String, service: &str) -> Result<String, Failure> {
    let name = match by {
        By::Owner(0) => default,
        By::Owner(uid) => match User::from_uid(Uid::from_raw(*uid)) {
            Ok(Some(user)) => user.name,
            Ok(None) => {
                return Err(Failure::later(3, 5, Cause::OwnerUnknown { uid: u64::from(*uid) }));
            }
            Err(error) => return Err(Failure::no_users(error.into())),
        },
        By::User(name) if name == "root" => default,
        By::User(name) => name.clone(),
    };
    if name == service {
        return Err(Failure::later(3, 5, Cause::OwnerIsService { user: name }));
    }
    Ok(name)
}

fn request(
    config: &Config,
    job: &Job,
    leased: &LeasedRecipient,
    (deed, user): (&Deed, String),
) -> Request {
    let address = &leased.recipient.address;
    let local = address.local_part().as_str().to_lowercase();
    let extension = split(&local, &config.local.recipient_delimiter).map(|(_, rest)| rest);
    let original = leased.recipient.original_or_address();
    let original = original.split_once(';').map_or(&*original, |(_, address)| address);
    let (command, file) = match &deed.what {
        What::Command(command) => (Some(command.clone()), None),
        What::File(path) => (None, Some(path.clone())),
    };
    Request {
        user,
        maildir: file
            .as_ref()
            .is_some_and(|path| path.as_os_str().as_encoded_bytes().ends_with(b"/")),
        forward: false,
        extensions: Vec::new(),
        look: false,
        sender: job.reverse_path.to_string(),
        header: report::preface_header(job, &[leased]),
        size: job.body.len(),
        limit: config.local.mailbox_size,
        at: job.after(Duration::ZERO),
        deed: Some(DeedRequest {
            seconds: config.local.command_timeout.as_secs(),
            command,
            file,
            recipient: address.to_string(),
            original: original.to_owned(),
            domain: address.domain().to_string(),
            extension: extension.unwrap_or_default().to_owned(),
            local,
        }),
    }
}
