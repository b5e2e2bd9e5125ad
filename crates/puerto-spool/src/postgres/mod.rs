//! The backend for several nodes: one queue in a PostgreSQL that its administrator knows
//! how to replicate and to fail over.
//!
//! - The database holds every message, and a row of *work* for each message and domain.
//!   A row is nobody's, or a node's: its number and epoch are in it. A node's lease in
//!   the table of nodes says until when all of its rows are its own; who does not renew
//!   it in time loses them to the others ([`node`]).
//! - What a node owns it has *in hand*, in an index like that of the log on disk, from
//!   which claims are answered ([`hand`]). Fresh mail is stored as the node's own from
//!   the beginning, so that accepting and delivering it costs two statements in all.
//! - Sessions' commits share a statement ([`accept`]), settlements, too ([`settle`]). No
//!   transaction is open while mail is delivered.
//! - Nothing is notified by the transactions that store: wake-ups go together on a
//!   connection of their own ([`wake`]), and everybody looks by itself now and then.
//!
//! A message whose commit was answered with an error is absent, with one exception: where
//! the database went away in the middle of it and stayed away, nobody can know. Its client
//! tries again; what was stored is forgotten when the database is back, unless another
//! node took it over meanwhile. Then the recipients get it twice, never not at all.

mod accept;
mod adopt;
mod claims;
mod cleaning;
mod clock;
mod connect;
mod content;
mod core;
mod damage;
mod desk;
mod faces;
mod hand;
mod node;
mod notes;
mod orders;
mod schema;
mod settings;
mod settle;
mod sieve;
mod tally;
#[cfg(test)]
mod tests;
mod wake;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use self::connect::Reach;
use self::core::Core;
pub use self::hand::Bounds;
pub use self::schema::Migrated;

/// Behind the name of whoever moves messages for a node: it is one of the nodes while it does,
/// and nobody misses it afterwards.
pub const MOVES: &str = " (copy)";
pub use self::settings::url_for_psql;

use self::settings::Settings;
use crate::clock::{Clock, SystemClock};
use crate::ticket::Ticket;
use crate::{Hindrance, SpoolError};

/// How to open the store.
pub struct Options {
    /// Where the database is: a URL as PostgreSQL's own programs take it.
    pub url: String,
    /// A file whose first line is the password.
    pub password_file: Option<PathBuf>,
    /// This node's name, which no other has.
    pub node: String,
    /// A folder of this process alone, for large content on its way in.
    pub drafts: PathBuf,
    /// Whether to bring the tables to this program's version. Empty ones always are.
    pub migrate: bool,
    /// What waits go by. The time of day is the database's.
    pub clock: Arc<dyn Clock>,
    /// How much fresh mail this node keeps for itself.
    pub bounds: Bounds,
    /// How long a node keeps what it has without being heard of.
    pub lease: Duration,
    /// How often it is heard of.
    pub beat: Duration,
}

impl Options {
    /// What suits most.
    pub fn new(
        url: impl Into<String>,
        node: impl Into<String>,
        drafts: impl Into<PathBuf>,
    ) -> Self {
        Self {
            url: url.into(),
            password_file: None,
            node: node.into(),
            drafts: drafts.into(),
            migrate: false,
            clock: Arc::new(SystemClock),
            bounds: Bounds::default(),
            lease: Duration::from_secs(15),
            beat: Duration::from_secs(3),
        }
    }

    fn reach(&self) -> Result<Reach, SpoolError> {
        let mut settings = Settings::read(&self.url, self.password_file.as_deref())?;
        settings.config.application_name(connect::session_name(&self.node));
        Ok(Reach::new(settings))
    }
}

/// What an acknowledgement is worth, as the database is set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Durability {
    /// Whether the server waits for its own disk.
    pub fsync: bool,
    /// Which standbys it waits for, as `synchronous_standby_names`; empty: for none.
    pub standbys: String,
    /// The server's version, as it says it.
    pub server: String,
}

/// A queue that several nodes share.
pub struct PostgresStore {
    core: Arc<Core>,
    durability: Durability,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl PostgresStore {
    /// Connects, looks at the tables, and joins the nodes. Waits for the database.
    pub fn open(options: Options) -> Result<Arc<Self>, SpoolError> {
        let (opened, ticket) = Ticket::new();
        let work = move || match runtime() {
            Ok(runtime) => runtime.block_on(async {
                match core::start(options).await {
                    Ok((core, durability)) => {
                        opened.complete(Ok((Arc::clone(&core), durability)));
                        core.run().await;
                    }
                    Err(error) => opened.complete(Err(error)),
                }
            }),
            Err(error) => opened.complete(Err(error)),
        };
        let thread = std::thread::Builder::new().name("store".to_owned()).spawn(work);
        let thread = thread.map_err(|error| SpoolError::from(&error))?;
        let (core, durability) = ticket.wait()?;
        Ok(Arc::new(Self { core, durability, thread: Mutex::new(Some(thread)) }))
    }

    /// What an acknowledgement is worth.
    pub fn durability(&self) -> &Durability {
        &self.durability
    }

    /// Which other machines had connections by this node's name when it joined: they take part
    /// no more since.
    pub fn namesakes(&self) -> &[String] {
        &self.core.namesakes
    }

    /// Where the database is, without a password.
    pub fn shown(&self) -> &str {
        &self.core.reach.settings.shown
    }
}

/// What a look at a database shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Where it is, without a password.
    pub shown: String,
    /// The version of its tables; 0: there are none yet.
    pub version: u32,
    /// How it is set.
    pub durability: Durability,
    /// The role that the queue uses.
    pub role: String,
    /// Whether that role may see who keeps the database from clearing away.
    pub sees_holders: bool,
}

const ROLE: &str = "SELECT current_user::text, \
                    pg_has_role(current_user, 'pg_read_all_stats', 'USAGE')";

/// Looks at a database for a while, and changes nothing in it. Tables that this program cannot
/// work with are an error.
pub fn look(options: &Options, span: Duration) -> Result<Seen, SpoolError> {
    let reach = options.reach()?;
    let looked = async {
        let session = reach.open_within(span, None).await?;
        let version = schema::version(&reach, &session).await?;
        if version > 0 {
            schema::check(&reach, version)?;
        }
        let failed = |error: tokio_postgres::Error| reach.failure(&error);
        let durability = node::durability(&session).await.map_err(failed)?;
        let row = session.client.query_one(ROLE, &[]).await.map_err(failed)?;
        let role = row.try_get(0).map_err(failed)?;
        let sees_holders = row.try_get(1).map_err(failed)?;
        let shown = reach.settings.shown.clone();
        Ok(Seen { shown, version, durability, role, sees_holders })
    };
    runtime()?.block_on(reach.within(span, looked))
}

/// Whether a URL is one that can be used, as far as that is known without asking anybody.
pub fn check_url(url: &str) -> Result<(), SpoolError> {
    Settings::read(url, None).map(drop)
}

/// The version of a database's tables; 0 if there are none. Waits for the database.
pub fn version(options: &Options) -> Result<u32, SpoolError> {
    let reach = options.reach()?;
    runtime()?.block_on(async { schema::version(&reach, &reach.open(None).await?).await })
}

/// Brings a database's tables to this program's version. Waits for the database.
pub fn migrate(options: &Options) -> Result<Migrated, SpoolError> {
    let reach = options.reach()?;
    runtime()?.block_on(async { schema::migrate(&reach, &reach.open(None).await?).await })
}

fn runtime() -> Result<tokio::runtime::Runtime, SpoolError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| SpoolError::from(&error))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn closed() -> SpoolError {
    SpoolError::ReadOnly(Hindrance::Closed)
}
