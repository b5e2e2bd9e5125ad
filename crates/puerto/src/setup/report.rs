//! What was found, written and is still to do.

use std::path::PathBuf;

use super::files::Done;
use super::hands::Step;
use super::world::{Port25, Survey};
use crate::config::NextHop;
use crate::dnsplan::Plan;
use crate::lang::Said;

/// The result of a setup.
#[derive(Debug)]
pub struct Report {
    /// The domain, in A-labels.
    pub domain: String,
    /// The server's name.
    pub hostname: String,
    /// What completes bare senders.
    pub origin: Option<String>,
    /// Where all mail goes; none: to its MX.
    pub relayhost: Option<NextHop>,
    /// The configuration file, as a path of the machine.
    pub config_file: PathBuf,
    /// The folder that stands for the machine; `/` for the machine itself.
    pub root: PathBuf,
    /// What was found out.
    pub survey: Survey,
    /// Whether port 25 is open, if it was tried.
    pub port_25: Option<Port25>,
    /// Other mail programs.
    pub found: Vec<Found>,
    /// The files, as paths of the machine, and what became of them.
    pub files: Vec<(PathBuf, Done)>,
    /// The records to publish, merged with what exists; none if the DNS did not say what
    /// exists.
    pub plan: Option<Plan>,
    /// The records of the keys, which are known without the DNS.
    pub keys: Vec<Record>,
    /// What is good to know.
    pub notes: Vec<Said>,
    /// What keeps mail from being sent as it was asked for.
    pub problems: Vec<Said>,
    /// What is still to do, in this order.
    pub steps: Vec<Step>,
}

impl Report {
    /// Whether anything was written.
    pub fn changed(&self) -> bool {
        self.files.iter().any(|(_, done)| done.is_new())
    }
}

/// Another mail program.
#[derive(Debug)]
pub struct Found {
    /// Its name.
    pub program: &'static str,
    /// The files that it was known by.
    pub files: Vec<PathBuf>,
    /// Whether its settings were taken over now.
    pub taken: bool,
    /// Its settings, as ours would be written.
    pub settings: Vec<String>,
    /// What cannot be taken over.
    pub left: Vec<Said>,
}

/// The record of a key.
#[derive(Debug, Clone)]
pub struct Record {
    /// Its full name.
    pub name: String,
    /// Its text, as one string.
    pub value: String,
}
