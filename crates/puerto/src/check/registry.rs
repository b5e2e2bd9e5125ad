//! All checks that there are, in the order in which they are shown, and the document
//! that explains them.

use super::outcome::Definition;
use crate::lang::{Language, Text};

/// A family of checks: one file, one heading.
#[derive(Debug, PartialEq, Eq)]
pub struct Family {
    /// Its short name.
    pub name: &'static str,
    /// Its heading.
    pub title: Text,
    /// Its checks.
    pub checks: &'static [&'static Definition],
}

/// The families, in order.
pub const FAMILIES: &[Family] = &[
    super::helo::FAMILY,
    super::ptr::FAMILY,
    super::tls::FAMILY,
    super::blocklists::FAMILY,
    super::mailboxes::FAMILY,
    super::policies::BIMI_FAMILY,
];

impl Family {
    /// Whether some of its checks are among those asked for.
    pub(super) fn is_wanted(&self, only: &[String]) -> bool {
        self.checks.iter().any(|check| is_wanted(check, only))
    }
}

/// Whether a check is among those asked for: by its id, its group or the name of its
/// family. Nothing asked for means all.
pub(super) fn is_wanted(check: &Definition, only: &[String]) -> bool {
    let family = FAMILIES.iter().find(|family| family.checks.contains(&check));
    let family = family.map_or("", |family| family.name);
    only.is_empty()
        || only.iter().any(|name| name == check.id || name == check.group() || name == family)
}

/// Whether there is a check, a group or a family of this name.
pub fn has_group(name: &str) -> bool {
    let names = [name.to_owned()];
    FAMILIES.iter().any(|family| family.is_wanted(&names))
}

/// The check of this id.
pub fn definition(id: &str) -> Option<&'static Definition> {
    FAMILIES.iter().flat_map(|family| family.checks).find(|check| check.id == id).copied()
}

/// Where a check stands in the order.
pub(super) fn position(check: &Definition) -> usize {
    let all = FAMILIES.iter().flat_map(|family| family.checks);
    all.take_while(|other| other.id != check.id).count()
}

/// The document that explains every check, in Markdown.
pub fn document(language: Language) -> String {
    let mut out = String::new();
    for family in FAMILIES {
        out.push_str(&format!("## {}\n\n", family.title.of(language)));
        for check in family.checks {
            let (id, severity) = (check.id, check.severity.as_str());
            let (title, reason) = (check.title.of(language), check.reason.of(language));
            out.push_str(&format!("### `{id}`\n\n**{title}** ({severity})\n\n{reason}\n\n"));
            if !check.reference.is_empty() {
                out.push_str(&format!("{}\n\n", check.reference));
            }
        }
    }
    out
}
