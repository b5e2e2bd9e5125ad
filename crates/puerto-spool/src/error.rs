//! Why the store could not do what was asked.

use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::id::MessageId;

/// Why the store could not do what was asked. Whoever hears it tells its own
/// client to try again; nothing that was acknowledged is affected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SpoolError {
    /// The disk is full, or free space is below the reserve.
    #[error("the spool's disk is full: {0}")]
    Full(Hindrance),
    /// The store takes no new mail until it is opened again or has recovered, but
    /// what it holds is still delivered.
    #[error("{}", .0.under("the spool takes no new mail: "))]
    ReadOnly(Hindrance),
    /// An operation on the disk failed.
    #[error("{}", .0.under("the spool's disk failed: "))]
    Io(Hindrance),
    /// No such message is queued.
    #[error("no message {0} is queued")]
    NotFound(MessageId),
    /// The lease ran out or was given back, and the settlement was not recorded.
    #[error("the lease on message {0} is no longer held")]
    LeaseLost(MessageId),
    /// It is held, and not to be tried until it is released.
    #[error("message {0} is held")]
    Held(MessageId),
    /// The record of this message is damaged.
    #[error("message {id} is damaged: {what}")]
    Damaged {
        /// The message.
        id: MessageId,
        /// What is wrong with it, for whoever looks at its octets.
        what: String,
    },
}

/// What the trouble is. Paths are as people are shown them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs, reason = "the words say what the fields are")]
pub enum Hindrance {
    /// An error of the system: its number, if it has one, and its words.
    #[error("{1}")]
    System(Option<i32>, String),
    /// Hindrance that was met before and holds on.
    #[error("{0}")]
    Still(Box<SpoolError>),
    #[error("it is closed")]
    Closed,
    #[error("no segment can be written")]
    NoSegment,
    #[error("there is no room for another segment")]
    NoRoom,
    #[error(
        "{free} MiB are free in {directory}, and {reserve} MiB are kept in reserve: make room there"
    )]
    Reserve { free: u64, directory: String, reserve: u64 },
    #[error("a record is too large")]
    RecordTooLarge,
    #[error("message {0} is queued already")]
    QueuedAlready(MessageId),
    #[error("the content belongs to another store")]
    ForeignContent,
    #[error("content came without a draft")]
    NoDraft,
    #[error("the envelope is too large")]
    EnvelopeTooLarge,
    #[error("the envelope cannot be stored as it is")]
    EnvelopeDistorted,
    #[error("{directory} is in use by another process: stop that one first")]
    InUse { directory: String },
    #[error("{file} cannot be used: {}", bare(why))]
    Unusable { file: String, why: Box<SpoolError> },
    #[error("{folder} cannot be read: {}", bare(why))]
    Unreadable { folder: String, why: Box<SpoolError> },
    #[error(
        "the queue was kept in {segments}, and there is nothing in it: if it is on a disk of its \
         own, mount that first; to begin an empty queue, remove {directory}/identity and \
         {directory}/checkpoint"
    )]
    NothingThere { segments: String, directory: String },
    #[error(
        "no file in {directory} can be read: nothing was changed; let the user that the server \
         runs as read it, or mend its disk, and start again"
    )]
    NoneReadable { directory: String },
    #[error(
        "{file} has format {version}, and this program reads formats up to {known}: use the \
         program that wrote it, or a newer one"
    )]
    Newer { file: String, version: u32, known: u32 },
    #[error("the database's URL cannot be used: {what}")]
    DatabaseUrl { what: String },
    #[error(
        "the database {database} cannot be reached: {why}; mail is taken again as soon as it can"
    )]
    DatabaseAway { database: String, why: String },
    #[error("the database {database} does not answer; mail is taken again as soon as it does")]
    DatabaseSilent { database: String },
    /// Each of its servers by its name, with the reason; without one, it says nothing.
    #[error(
        "no server of the database {database} can be used: {}; mail is taken again as soon as one can",
        of_each(servers)
    )]
    DatabaseServers { database: String, servers: Vec<(String, Option<String>)> },
    #[error("the database {database} refuses: {why}")]
    DatabaseRefused { database: String, why: String },
    #[error(
        "the database {database} does not let this server in: {why}; see the user, the name and \
             the password in `[store]`"
    )]
    DatabaseDenied { database: String, why: String },
    #[error("no standby of the database {database} has confirmed the message")]
    NotReplicated { database: String },
    #[error(
        "the tables in {database} have version {version}, and this program needs {known}: run \
         `puerto store migrate`"
    )]
    SchemaOlder { database: String, version: u32, known: u32 },
    #[error(
        "the tables in {database} have version {version}, and this program knows {known}: use \
         the program that made them, or a newer one"
    )]
    SchemaNewer { database: String, version: u32, known: u32 },
    #[error(
        "another process takes part in the cluster as {name}, at {by}: give each node a name of its \
         own, by `[store] node`"
    )]
    NameTaken {
        name: String,
        #[serde(default)]
        by: String,
    },
    #[error("255 nodes have taken part in {database}, and there is no number for another")]
    TooManyNodes { database: String },
}

// What has a file's name before it needs no word of whose file it is.
fn bare(why: &SpoolError) -> String {
    why.hindrance().map_or_else(|| why.to_string(), ToString::to_string)
}

fn of_each(servers: &[(String, Option<String>)]) -> String {
    let of_one = |(name, why): &(String, Option<String>)| match why {
        Some(why) => format!("{name}: {why}"),
        None => format!("{name} does not answer"),
    };
    servers.iter().map(of_one).collect::<Vec<_>>().join("; ")
}

impl Hindrance {
    /// Whether the words say by themselves what failed, which may be no disk at all.
    pub fn stands_alone(&self) -> bool {
        match self {
            Self::System(..)
            | Self::Still(_)
            | Self::Closed
            | Self::NoSegment
            | Self::NoRoom
            | Self::Reserve { .. }
            | Self::ForeignContent
            | Self::NoDraft => false,
            Self::RecordTooLarge
            | Self::QueuedAlready(_)
            | Self::EnvelopeTooLarge
            | Self::EnvelopeDistorted
            | Self::InUse { .. }
            | Self::Unusable { .. }
            | Self::Unreadable { .. }
            | Self::NothingThere { .. }
            | Self::NoneReadable { .. }
            | Self::Newer { .. }
            | Self::DatabaseUrl { .. }
            | Self::DatabaseAway { .. }
            | Self::DatabaseSilent { .. }
            | Self::DatabaseServers { .. }
            | Self::DatabaseRefused { .. }
            | Self::DatabaseDenied { .. }
            | Self::NotReplicated { .. }
            | Self::SchemaOlder { .. }
            | Self::SchemaNewer { .. }
            | Self::NameTaken { .. }
            | Self::TooManyNodes { .. } => true,
        }
    }

    // Its words, with others before them if they need that.
    fn under(&self, what: &str) -> String {
        let what = if self.stands_alone() { "" } else { what };
        format!("{what}{self}")
    }
}

impl From<&io::Error> for Hindrance {
    fn from(error: &io::Error) -> Self {
        Self::System(error.raw_os_error(), error.to_string())
    }
}

impl From<&io::Error> for SpoolError {
    fn from(error: &io::Error) -> Self {
        // What the store itself has said to whoever reads.
        if let Some(said) = error.get_ref().and_then(|inner| inner.downcast_ref::<Self>()) {
            return said.clone();
        }
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full(error.into()),
            io::ErrorKind::ReadOnlyFilesystem => Self::ReadOnly(error.into()),
            _ => Self::Io(error.into()),
        }
    }
}

impl SpoolError {
    /// What the trouble is, where there is more to say than which message it is about.
    pub fn hindrance(&self) -> Option<&Hindrance> {
        match self {
            Self::Full(what) | Self::ReadOnly(what) | Self::Io(what) => Some(what),
            Self::NotFound(_) | Self::LeaseLost(_) | Self::Held(_) | Self::Damaged { .. } => None,
        }
    }

    /// A folder that cannot be listed.
    pub(crate) fn unreadable(folder: &Path, error: &io::Error) -> Self {
        let folder = folder.display().to_string();
        Self::Io(Hindrance::Unreadable { folder, why: Box::new(error.into()) })
    }
}
