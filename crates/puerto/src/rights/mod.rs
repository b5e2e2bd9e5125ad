//! What root may do: which rights a process keeps, and as whom a step is taken.
//!
//! Whoever owns a folder can put any other name in the place of one that root is just
//! about to open, to change or to give away. So root takes such a step as the folder's
//! owner ([`Identity::act`]), and can do no more harm than that user could.

mod capabilities;
mod identity;

pub use capabilities::{Capabilities, become_nobody, have, keep};
pub use identity::{Identity, act};
