//! What the tests of this binary share.

pub mod command;
pub mod daemon;
pub mod documents;
