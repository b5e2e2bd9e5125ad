//! What a mail message is and what it proves, without sockets, files or clocks.
//!
//! Every evaluation returns its steps, so that it can be explained.

mod as_typed;
pub mod authres;
pub mod charset;
pub mod date;
pub mod dkim;
pub mod dmarc;
pub mod dns;
pub mod dsn;
pub mod header;
pub mod idn;
pub mod line_ends;
pub mod message;
pub mod mime;
pub mod received;
pub mod spf;
pub mod together;
