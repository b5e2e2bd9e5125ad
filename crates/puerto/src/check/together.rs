//! Waiting for many futures at once.

pub use puerto_mail::together::together;
