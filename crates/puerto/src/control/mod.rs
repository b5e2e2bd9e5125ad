//! The socket on which the queue is shown and changed: `run_dir/control`.
//!
//! The protocol is one JSON object on each line, in both directions. A request is
//! `{"version":1,"request":…}`; the answers to it are any number of lines that end
//! with `end` or `error`. [`protocol`] has all the words, [`view`] what a message
//! looks like from outside; both are also what `puerto queue --json` prints.
//!
//! Who may do what follows Postfix. Everybody on this machine may see the queue
//! (addresses, sizes and reasons, never content) and ask for waiting mail to be tried
//! now; only root and the server's own user may see headers and bodies, change messages or
//! reload the configuration. The kernel says who is at the other end.
//!
//! A client cannot harm the others: requests and waits are bounded, places for
//! ordinary users are counted apart from those for administrators, and octets that
//! are not a request end only the session that sent them.

mod client;
mod counting;
mod operations;
mod ordering;
pub mod overview;
mod places;
pub mod protocol;
pub mod reasons;
mod server;
mod session;
pub mod view;
mod why;

#[cfg(test)]
mod tests;

pub use client::{Client, ClientError, Known};
pub use ordering::OrderView;
pub use server::{BindError, Context, Reload, Renew, Server, Sight};
pub use why::{MatchView, Standing, StoryView, UnknownView};
