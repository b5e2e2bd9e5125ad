//! A certificate that the server gets by itself, and renews (ACME, RFC 8555).
//!
//! Nothing is asked of any authority unless `[acme]` names one. The folder `acme` in the
//! state folder holds what is got: the account with each authority, the certificate, its key,
//! and how things stand, so that a restart does not forget that it was told to wait. All
//! belongs to the service's user and is read by nobody else.
//!
//! A renewal keeps the key, so that TLSA records of it stay true (RFC 7671 §8); a new one is
//! made only when an administrator asks. It comes when the authority suggests (RFC 9773), else
//! when two thirds of the certificate's life are over, and is tried again ever more rarely,
//! since authorities count failures. What is wrong is a [`Cause`](crate::cause::Cause), shown
//! by the log and by `puerto certificate`.

mod folder;
mod http;
mod names;
mod order;
mod proof;
mod report;
mod roll;
mod run;
mod trouble;
mod when;

pub use report::Report;
pub use roll::tlsa_hashes;
pub use run::{Manager, Needs, Renew};
