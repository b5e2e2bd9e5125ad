//! Tests of the whole program and of its rooms together, in one binary.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "clippy allows these in test functions, but not in what they share"
)]

mod architecture;
mod check_command;
mod citations;
mod drop;
mod explain_command;
mod from_postfix;
mod guide;
mod hidden;
mod lab;
mod lab_classroom;
mod lab_scenarios;
mod narrow;
mod queue_command;
mod sendmail;
mod serve;
mod setup;
mod spanish;
mod submission;
mod support;
mod user_command;
mod verify_command;
