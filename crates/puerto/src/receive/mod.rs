//! Takes mail from clients: the ports, TLS, the local socket, and who may send what
//! to whom.
//!
//! [`Listeners`] are bound before privileges are dropped and run afterwards. Each
//! connection is one task from its greeting to its end, also while its message is
//! being committed: nothing is handed from task to task on a message's path. The
//! task drives a [`puerto_smtp::server::Session`], which knows the protocol, and
//! asks [`policy`], which knows who is trusted. What comes in goes into a draft of
//! the spool as it comes, and to `intake` when it is whole.
//!
//! Users of this machine come by a socket in the run directory. It speaks ordinary
//! SMTP, so that what they send meets the same parser as everybody's; who they are
//! is what the kernel says of the other end.

mod census;
mod client_name;
mod connection;
mod driver;
mod inherited;
mod listen;
mod login;
mod policy;
mod process;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use crate::accounts::Accounts;
use crate::config::Live;
use crate::dns::Resolver;
use crate::intake::Intake;
use crate::recipients::Recipients;
use crate::telemetry::MailLog;
use crate::tls::ServerTls;

pub use inherited::Inherited;
pub use listen::{BindError, Listeners, bind_tcp};
pub use process::of as look_at_process;

/// The name of the local socket in the run directory.
pub const SUBMIT_SOCKET: &str = "submit";

/// The rooms that receiving needs.
#[derive(Clone)]
pub struct Context {
    /// The configuration in force.
    pub config: Live,
    /// Where whole messages go.
    pub intake: Arc<Intake>,
    /// Who lives here.
    pub recipients: Arc<Recipients>,
    /// Names of clients.
    pub dns: Arc<Resolver>,
    /// Our certificate.
    pub tls: ServerTls,
    /// Who may log in.
    pub accounts: Arc<Accounts>,
    /// The mail log.
    pub log: MailLog,
}

/// What kind of server a listener is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Service {
    /// Port 25: mail for our domains from everybody, for all from trusted clients.
    Smtp,
    /// Port 587: for our users alone, with STARTTLS.
    Submission,
    /// Port 465: the same with TLS from the first byte.
    Submissions,
}
