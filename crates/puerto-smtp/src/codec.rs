//! Where a line and a message end: the only place that decides it.
//!
//! SMTP smuggling (CVE-2023-51764 and its family) lives on two servers that
//! disagree about where a message ends, so nothing here is lenient with strangers. A
//! command line ends in CRLF and in nothing else; content that came by DATA ends in
//! CRLF.CRLF and in nothing else. A CR or LF on its own and a NUL are faults of the content,
//! which is still read to its true end before it is refused: to stop earlier would
//! be to take the rest of it for commands.
//!
//! Clients that are trusted get the `lenient` decoders, which pass on lines that end
//! otherwise; they too end a message in one way only, which is the way in which its
//! client ends its own lines.
//!
//! [`LineDecoder`] reads command lines, [`DataDecoder`] content after DATA,
//! [`ChunkDecoder`] content after BDAT; [`DotStuffer`] writes content for DATA.

mod content;
mod line;
mod stuff;
mod watch;

pub use content::{ChunkDecoder, DataDecoder, Decoded};
pub use line::{Line, LineDecoder};
pub use stuff::DotStuffer;
pub use watch::ContentFault;
