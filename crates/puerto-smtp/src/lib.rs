//! SMTP as a protocol (RFC 5321), without sockets, files, threads or clocks.
//!
//! Bytes go in and actions come out: a driver owns the socket and the timers,
//! feeds what it reads, performs what it is asked for, and answers questions of
//! policy. Nothing in this crate knows who may relay, where a message is kept or
//! what time it is, which is what lets every state be tested from a table.
//!
//! The rooms, from the smallest value to the largest conversation:
//! [`address`] and [`reply`] are values that exist only when they are valid;
//! [`command`] and [`extension`] are the words of a session; [`codec`] decides
//! where a line and a message end, and is the only place that does; [`limits`]
//! holds every bound and time-out; [`text`] says which characters no reader is shown;
//! [`sasl`] is what is said in AUTH; [`verp`] has a reverse-path name its recipient; [`server`] and [`client`] are the two sides.

pub mod address;
pub mod base64;
pub mod client;
pub mod codec;
pub mod command;
pub mod envelope;
pub mod extension;
pub mod limits;
pub mod reply;
pub mod sasl;
pub mod server;
pub mod text;
pub mod verp;

pub use address::{Address, Domain, LocalPart, ReversePath};
pub use envelope::{Envelope, Notify, Recipient, Return, TlsWish};
pub use reply::{EnhancedCode, Reply, ReplyCode, Severity};
pub use verp::Verp;
