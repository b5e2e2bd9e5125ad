//! Facts about the world, each found out in one place for all rooms that need it: how
//! long somebody waits for the DNS and whom else it can be asked of, from where mail
//! leaves and what a relayhost means, what addresses and names say
//! to others, what answers at a port and at HTTPS, what runs and is mounted on this machine.

pub mod address;
pub mod authority;
pub mod egress;
mod existence;
pub mod greeting;
pub mod https;
pub mod mounts;
pub mod mtasts;
pub mod names;
pub mod patience;
pub mod processes;
pub mod records;
pub mod relayhost;

pub use existence::unregistered;
