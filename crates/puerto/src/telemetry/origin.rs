//! Where a message of a local program came from: what the kernel says, and what the
//! program says of itself. The two are never mixed.

use std::fmt::{Display, Write as _};

use crate::lang::harmless;

/// Characters of one value at most.
const BOUND: usize = 256;

/// Where a message came from that a user of this machine has handed over.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LocalOrigin {
    /// Facts: the kernel vouches for them. A process chooses its own name, though.
    pub process: Process,
    /// What `sendmail` says. Whoever speaks to the socket may say anything.
    pub claims: Claims,
}

/// The process at the other end of the local socket, as the kernel knows it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Process {
    /// Its number.
    pub pid: Option<u32>,
    /// The systemd unit that it belongs to; where there is none, its control group, which
    /// begins with a slash.
    pub unit: Option<String>,
    /// What has started it, nearest first: `sh[4710]`.
    pub parents: Vec<Ancestor>,
}

/// A process above another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ancestor {
    /// As it calls itself.
    pub name: String,
    /// Its number.
    pub pid: u32,
}

impl Display for Ancestor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}[{}]", self.name, self.pid)
    }
}

/// What a client says of the program that it sends for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Claims {
    /// The program that called it: the nearest that is no shell.
    pub executable: Option<String>,
    /// The script that this program runs.
    pub script: Option<String>,
    /// The working directory.
    pub directory: Option<String>,
    /// When the message was left in the drop folder, as RFC 3339 writes it. What follows is
    /// of the process that left it.
    pub dropped: Option<String>,
    /// Its number.
    pub pid: Option<String>,
    /// Its unit.
    pub unit: Option<String>,
    /// What had started it.
    pub parents: Option<String>,
}

impl Claims {
    /// Takes them as they were said: bounded, and fit to be shown.
    pub fn of<'a>(said: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let mut claims = Self::default();
        for (name, value) in said {
            if let Some(slot) = claims.slot(name).filter(|_| !value.is_empty()) {
                *slot = Some(bounded(value));
            }
        }
        claims
    }

    fn slot(&mut self, name: &str) -> Option<&mut Option<String>> {
        Some(match name {
            "executable" => &mut self.executable,
            "script" => &mut self.script,
            "directory" => &mut self.directory,
            "dropped" => &mut self.dropped,
            "pid" => &mut self.pid,
            "unit" => &mut self.unit,
            "parents" => &mut self.parents,
            _ => return None,
        })
    }

    /// Their names and values.
    pub fn each(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let all = [
            ("executable", &self.executable),
            ("script", &self.script),
            ("directory", &self.directory),
            ("dropped", &self.dropped),
            ("pid", &self.pid),
            ("unit", &self.unit),
            ("parents", &self.parents),
        ];
        all.into_iter().filter_map(|(name, value)| Some((name, value.as_deref()?)))
    }
}

impl Process {
    /// Its facts by name.
    pub fn each(&self) -> impl Iterator<Item = (&'static str, String)> {
        let parents: Vec<String> = self.parents.iter().map(Ancestor::to_string).collect();
        let parents = (!parents.is_empty()).then(|| parents.join(" "));
        let pid = self.pid.map(|pid| pid.to_string());
        let all = [("pid", pid), ("unit", self.unit.clone()), ("parents", parents)];
        all.into_iter().filter_map(|(name, value)| Some((name, value?)))
    }
}

/// A value that can be shown. Of a long path, the end tells more than the beginning.
pub fn bounded(value: &str) -> String {
    let value = harmless(value);
    let length = value.chars().count();
    if length <= BOUND {
        return value;
    }
    let mut cut = String::from("…");
    cut.extend(value.chars().skip(length + 1 - BOUND));
    cut
}

impl LocalOrigin {
    /// All of it by name, facts first; what is claimed is called so.
    pub(super) fn each(&self) -> impl Iterator<Item = (String, String)> {
        let facts = self.process.each().map(|(name, value)| (name.to_owned(), value));
        let claims = self.claims.each().map(|(name, value)| {
            let mut claimed = String::from("claimed_");
            let _ = claimed.write_str(name);
            (claimed, value.to_owned())
        });
        facts.chain(claims)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_claimed_is_bounded_and_harmless() {
        let long = format!("/{}/mail.php", "x".repeat(5000));
        let claims = Claims::of([
            ("executable", "/usr/bin/php\n4711: uid=0"),
            ("script", long.as_str()),
            ("directory", ""),
            ("uid", "0"),
        ]);
        assert_eq!(claims.executable.as_deref(), Some("/usr/bin/php?4711: uid=0"));
        let script = claims.script.clone().unwrap();
        assert!(script.starts_with("…x") && script.ends_with("x/mail.php"));
        assert_eq!(script.chars().count(), BOUND);
        assert_eq!(
            claims.each().map(|(name, _)| name).collect::<Vec<_>>(),
            ["executable", "script"]
        );
    }
}
