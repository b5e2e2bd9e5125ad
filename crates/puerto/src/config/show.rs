//! Writes a configuration: the one in force, and the sample with its comments.

use std::fmt::Write as _;

use super::Config;
use super::keys::{KEYS, Key, KeyDefault, ROUTE_KEYS, SECTIONS};

/// The configuration as a file that reads back to it. Passwords are not in it: it
/// names the files that hold them.
pub(super) fn effective(config: &Config) -> String {
    let mut out = String::new();
    for (section, _) in SECTIONS {
        header(&mut out, section);
        for key in KEYS.iter().filter(|key| key.section == *section) {
            let _ = writeln!(out, "{} = {}", key.name, (key.show)(config));
        }
    }
    for route in &config.routes {
        out.push_str("\n[[route]]\n");
        for key in ROUTE_KEYS {
            let _ = writeln!(out, "{} = {}", key.name, (key.show)(route));
        }
    }
    out
}

/// A file of comments: every key with its default and what it is for.
pub(super) fn sample() -> String {
    let mut out = String::new();
    for (section, about) in SECTIONS {
        header(&mut out, section);
        let _ = writeln!(out, "# {about}");
        for key in KEYS.iter().filter(|key| key.section == *section) {
            entry(&mut out, key);
        }
    }
    out.push_str("\n# A route for some of the mail: the first that matches.\n#[[route]]\n");
    for key in ROUTE_KEYS {
        entry(&mut out, key);
    }
    out
}

fn header(out: &mut String, section: &str) {
    if !section.is_empty() {
        let _ = writeln!(out, "\n[{section}]");
    }
}

fn entry<D, C>(out: &mut String, key: &Key<D, C>) {
    let (value, note) = match key.default {
        KeyDefault::Written(value) => (value, String::new()),
        KeyDefault::Computed(example, source) => (example, format!("   # default: {source}")),
    };
    let Key { name, doc, accepts, .. } = key;
    let _ = write!(out, "\n# {doc}\n# Accepted: {accepts}.\n#{name} = {value}{note}\n");
}
