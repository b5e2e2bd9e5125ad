//! What root may do, and how: which rights a process keeps, as whom a step is taken, and
//! how root reaches a file whose folders may belong to somebody else.
//!
//! Whoever owns a folder can put any other name in the place of one that root is just
//! about to open, to change or to give away. So root either takes the step as the folder's
//! owner ([`Identity::act`]), and can do no more harm than that user could, or goes from
//! folder to folder by descriptors ([`Place`]), and does nothing where one of them is not
//! root's own.

mod capabilities;
mod identity;
mod place;
mod reader;
mod secret;

pub use capabilities::{Capabilities, become_nobody, have, is_privileged, keep};
pub use identity::{Identity, act};
pub use place::{Distrust, Place, open_to_read, read_bounded, said};
pub use reader::readable_by;
pub use secret::{MAX_SECRET, closing, read_secret, read_secrets, read_secrets_for};
