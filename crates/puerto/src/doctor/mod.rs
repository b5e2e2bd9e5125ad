//! What is wrong on this machine, looked at from outside of the daemon and without the
//! network, but for the database that has the queue: files and who may read and change them, users, the disk below the queue, the
//! clock, ports and who holds them, the certificate's end, the service and its process, and
//! the names by which programs call a mail server.
//!
//! Nothing is changed. What receivers demand is `check`'s; what the configuration alone says
//! is the configuration's own to judge. Each file looks at one matter and returns a
//! [`Section`]: what is to be seen in half a line, and what is wrong. A remedy that is a
//! command stands alone, so that it can be pasted.

mod certificate;
mod clock;
mod commands;
mod database;
mod disk;
mod files;
mod ports;
mod report;
mod service;
#[cfg(test)]
mod tests;
mod users;

use std::path::Path;

use crate::config::Config;
use crate::control::protocol::HealthView;
use crate::finding::Finding;
use crate::lang::{Said, Text};

pub use report::Report;
pub use users::default_user;

/// There where systemd is the first process.
const MANAGED: &str = "/run/systemd/system";

/// What is looked at, as far as it is known before.
#[derive(Debug)]
pub struct Machine<'a> {
    /// The configuration in force, or what can be read of it.
    pub config: &'a Config,
    /// Its file.
    pub file: &'a Path,
    /// The program that runs now.
    pub program: &'a Path,
    /// What the daemon says of itself.
    pub daemon: Daemon,
    /// Octets that the queue leaves free on its disk.
    pub reserve: u64,
    /// Seconds since 1970.
    pub now: i64,
    /// Whether everything can be looked at.
    pub is_root: bool,
}

/// What the daemon says of itself.
#[derive(Debug)]
pub enum Daemon {
    /// It runs.
    Runs(Box<HealthView>),
    /// Somebody runs, and did not say.
    Mute(Said),
    /// Nobody answers.
    Down,
}

/// One matter: what was looked at.
#[derive(Debug)]
pub struct Section {
    /// Its name in JSON.
    pub name: &'static str,
    /// Its name on the page.
    pub title: Text,
    /// What there is to see, in half a line.
    pub seen: Said,
    /// What is wrong.
    pub findings: Vec<Finding>,
}

impl Section {
    /// A matter of which nothing wrong is known yet.
    pub fn new(name: &'static str, title: Text) -> Self {
        Self { name, title, seen: Said::default(), findings: Vec::new() }
    }
}

/// Looks at everything but the configuration. Where there is no file of it, `puerto setup` was
/// not run yet, and what it makes is not missed.
pub fn look(machine: &Machine<'_>) -> Vec<Section> {
    let unit = service::Unit::of(machine);
    if !machine.file.try_exists().unwrap_or(true) {
        return vec![
            disk::look(machine.config, machine.reserve),
            clock::look(machine.config, machine.program, machine.now),
            ports::look(machine, unit.as_ref()),
        ];
    }
    let mut sections = vec![
        files::look(machine),
        users::look(machine.config),
        disk::look(machine.config, machine.reserve),
    ];
    sections.extend(database::look(machine));
    sections.extend([
        clock::look(machine.config, machine.program, machine.now),
        ports::look(machine, unit.as_ref()),
        certificate::look(machine.config, machine.now),
        service::look(machine, unit.as_ref()),
        commands::look(machine.program),
    ]);
    sections
}

/// A path or name as a shell takes it.
fn word(text: impl std::fmt::Display) -> String {
    crate::lang::shell_word(Path::new(&text.to_string()))
}
