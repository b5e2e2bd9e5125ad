//! What was found, written and is still to do.

use std::path::PathBuf;

use super::files::Done;
use super::hands::Step;
use super::takeover::Inherited;
use super::world::{Port25, Survey};
use crate::config::Config;
use crate::dnsplan::{Key, Plan};
use crate::finding::{Finding, Severity};
use crate::lang::Said;

/// The result of a setup.
#[derive(Debug)]
pub struct Report {
    /// The domain, in A-labels.
    pub domain: String,
    /// The configuration that was written, or that was there.
    pub config: Config,
    /// Its file, as a path of the machine.
    pub config_file: PathBuf,
    /// The folder that stands for the machine; `/` for the machine itself.
    pub root: PathBuf,
    /// What was found out.
    pub survey: Survey,
    /// Whether port 25 is open, if it was tried.
    pub port_25: Option<Port25>,
    /// Other mail programs.
    pub programs: Vec<Inherited>,
    /// The files, as paths of the machine, and what became of them.
    pub files: Vec<(PathBuf, Done)>,
    /// The records to publish, merged with what exists; none if the DNS did not say what
    /// exists.
    pub plan: Option<Plan>,
    /// The keys, whose records are known without the DNS.
    pub keys: Vec<Key>,
    /// What is good to know; an error keeps mail from being sent as it was asked for.
    pub found: Vec<Finding>,
    /// What is still to do, in this order.
    pub steps: Vec<Step>,
}

impl Report {
    /// Whether anything was written.
    pub fn changed(&self) -> bool {
        self.files.iter().any(|(_, done)| done.is_new())
    }

    /// What keeps mail from being sent as it was asked for.
    pub fn problems(&self) -> Vec<Said> {
        self.said(true)
    }

    /// What else is good to know.
    pub fn notes(&self) -> Vec<Said> {
        self.said(false)
    }

    fn said(&self, errors: bool) -> Vec<Said> {
        let is_wanted = |one: &&Finding| (one.severity == Severity::Error) == errors;
        self.found.iter().filter(is_wanted).map(Finding::said).collect()
    }
}
