//! Buen Puerto: a mail server for sending, whose mail arrives.
//!
//! The rooms, in the order in which a message meets them: [`receive`] takes it from
//! a client, [`intake`] completes, signs and commits it, [`queue`] decides when and
//! how much, [`route`] where to, [`deliver`] and [`local`] hand it on, [`bounce`]
//! tells the sender. `ARCHITECTURE.md` says what each must not know.

pub mod accounts;
mod acme;
mod alarm;
mod backup;
pub mod bounce;
pub mod caps;
pub mod cause;
pub mod check;
pub mod cli;
pub mod config;
pub mod control;
pub mod deliver;
pub mod dns;
pub mod dnsplan;
mod doctor;
pub mod drop;
pub mod explain;
pub mod finding;
#[cfg(test)]
mod golden;
pub mod history;
pub mod intake;
pub mod lang;
pub mod local;
pub mod orders;
pub mod providers;
pub mod queue;
pub mod receive;
pub mod recipients;
pub mod relay;
mod reports;
pub mod returns;
pub mod rights;
pub mod route;
pub mod sender;
pub mod serve;
mod setup;
pub mod survey;
pub mod telemetry;
pub mod tls;
pub mod transport;
pub mod verify;
mod web;
