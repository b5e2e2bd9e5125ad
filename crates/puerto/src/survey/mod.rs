//! Facts about the world, each found out in one place for all rooms that need it.

pub mod address;
pub mod names;
