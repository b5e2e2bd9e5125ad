//! Mail for users of this machine: who they are, what their other names are, and how
//! a message gets into a mailbox.
//!
//! [`Directory`] answers whether a local part exists, from the system's users and the
//! aliases file. [`Mailboxes`] hands messages over. Writing a mailbox needs the rights
//! of its owner, which the daemon has given up by the time mail arrives: the [`agent`]
//! keeps the right to become a user, and starts a process for each delivery that becomes
//! the recipient's user for good. Commands that users name are run there and nowhere else, and
//! only where the configuration allows them.

mod account;
pub mod agent;
mod aliases;
mod command;
mod deed;
mod delivery;
mod directory;
mod ends;
mod expansion;
mod failure;
mod forward;
mod frame;
mod hands;
mod lmtp;
mod lock;
mod mailbox;
mod maildir;
mod mbox;
mod onward;
mod overseer;
mod report;
mod srs;
mod table;
#[cfg(test)]
mod tests;
mod text;
mod watched;

pub use aliases::{alias_warnings, broken_aliases};
pub use delivery::Mailboxes;
pub use directory::{Directory, Standing, candidates, lane};
pub use ends::{Reader, circles_of_virtual, dead_ends, readers};
pub use lmtp::lmtp_server;
pub use table::{broken_lines, table_warnings};
pub use watched::{Names, Owner, Watched};
