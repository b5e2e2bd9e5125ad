//! Which store keeps the queue, and how it is opened.

use std::sync::Arc;
use std::time::Duration;

use puerto_spool::clock::SystemClock;
use puerto_spool::disk::{Disk as _, SystemDisk};
use puerto_spool::postgres::{self, Migrated, PostgresStore, Seen};
use puerto_spool::segments::{Options, SegmentSpool};
use puerto_spool::{Backend, SpoolError};

use super::{StartError, notice, privileges};
use crate::config::Config;
use crate::lang::said;
use crate::survey::mounts;
use crate::telemetry::MailLog;

/// Opens the store that the configuration names; the log says what an acknowledgement is
/// worth where that is the database's to decide. A small one is for a few letters.
pub(super) fn open(
    config: &Config,
    log: &MailLog,
    small: bool,
) -> Result<Arc<dyn Backend>, StartError> {
    let Some(url) = &config.store.url else {
        return if small { sized(config, Some(SMALL)) } else { own(config) };
    };
    let store = database(config, url, &config.store.node)?;
    let durability = store.durability();
    let standbys = match durability.standbys.as_str() {
        "" => "no standby is waited for".to_owned(),
        names => format!("standbys are waited for ({names})"),
    };
    let text = format!("the queue is in {}: {standbys}", store.shown());
    notice(log, "info", &text);
    if let namesakes @ [_, ..] = store.namesakes() {
        let (name, others) = (&config.store.node, namesakes.join(", "));
        let text = format!(
            "{others} takes part in the cluster as {name}, too, and takes no mail from now on: give \
             each node a name of its own, by `[store] node`"
        );
        notice(log, "error", &text);
    }
    if !durability.fsync {
        notice(
            log,
            "warning",
            "the database does not wait for its disk (fsync = off): mail that was acknowledged is lost when its machine loses power",
        );
    }
    Ok(store)
}

/// The disk that a small queue is made for, in octets.
const SMALL: u64 = 64 << 20;

/// This machine's own queue, in the state directory.
pub fn own(config: &Config) -> Result<Arc<dyn Backend>, StartError> {
    sized(config, SystemDisk.total_space(&config.state_dir).ok())
}

fn sized(config: &Config, disk: Option<u64>) -> Result<Arc<dyn Backend>, StartError> {
    let directory = config.state_dir.join("spool");
    if !directory.exists()
        && let Some(point) = mounts::missing(&config.state_dir)
    {
        return Err(StartError::Spool(said!(
            "{point} is to be mounted by /etc/fstab and is not, so the queue may be there: mount \
             it, or make {directory} to begin an empty queue where it is",
            "según /etc/fstab, {point} debe montarse y no lo está, así que la cola puede estar \
             ahí: móntelo, o cree {directory} para empezar ahí con una cola vacía";
            point = point.display().to_string(), directory = directory.display().to_string()
        )));
    }
    let spool = SegmentSpool::open(
        directory,
        disk.map_or_else(Options::default, Options::fitting),
        Arc::new(SystemDisk),
        Arc::new(SystemClock),
    );
    spool.map(|spool| Arc::new(spool) as Arc<dyn Backend>).map_err(StartError::Store)
}

/// Octets that the queue leaves free on its disk: with fewer, it takes no new mail.
pub fn reserve(config: &Config) -> u64 {
    let there = config.state_dir.ancestors().find(|folder| folder.exists());
    let disk = SystemDisk.total_space(there.unwrap_or(&config.state_dir));
    disk.map_or_else(|_| Options::default(), Options::fitting).reserve
}

/// The queue of all nodes, which this process joins under a name. Waits for the database.
pub fn database(config: &Config, url: &str, name: &str) -> Result<Arc<PostgresStore>, StartError> {
    PostgresStore::open(options(config, url, name)).map_err(StartError::Store)
}

/// The same for whoever moves messages from or to it.
pub fn database_to_move(config: &Config, url: &str) -> Result<Arc<PostgresStore>, StartError> {
    database(config, url, &format!("{}{}", config.store.node, postgres::MOVES))
}

/// Brings the database's tables to this program's version. Waits for the database.
pub fn migrate(config: &Config, url: &str) -> Result<Migrated, StartError> {
    postgres::migrate(&options(config, url, &config.store.node)).map_err(StartError::Store)
}

/// Looks at the database, for so long, and changes nothing in it.
pub fn look(config: &Config, url: &str, span: Duration) -> Result<Seen, SpoolError> {
    postgres::look(&options(config, url, &config.store.node), span)
}

/// Becomes the service's user for good, as the daemon does, so that whatever is written
/// can be read by it.
pub fn become_service(config: &Config) -> Result<(), StartError> {
    let identity = privileges::target(&config.user)?;
    let owner = identity.as_ref();
    privileges::prepare_folder(&config.state_dir, 0o700, owner)?;
    privileges::hand_over_spool(&config.state_dir.join("spool"), owner)?;
    owner.map_or(Ok(()), privileges::become_user)
}

fn options(config: &Config, url: &str, name: &str) -> postgres::Options {
    let drafts = config.state_dir.join("drafts");
    postgres::Options {
        password_file: config.store.password_file.clone(),
        ..postgres::Options::new(url, name, drafts)
    }
}
