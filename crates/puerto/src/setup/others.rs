//! Whether another mail program is at work on this machine, or only left its files.
//!
//! A package that was removed but not purged leaves its configuration, its init script
//! and sometimes links to start it: all of that is for nothing without the program.

use std::path::{Path, PathBuf};

use super::root::Root;

/// A service that would do our work.
#[derive(Debug, Clone, Copy)]
pub struct Service {
    /// Its name for the service manager.
    pub unit: &'static str,
    /// The programs of which one is there while it is installed.
    pub programs: &'static [&'static str],
    /// What its daemon's path ends in.
    pub daemons: &'static [&'static str],
    /// The folders of its queue; every message is so many files somewhere below them.
    pub queue: &'static [&'static str],
    pub files_of_a_message: usize,
    /// The commands that show its queue and that try to empty it.
    pub queue_commands: [&'static str; 2],
}

/// Postfix.
pub(super) const POSTFIX: Service = Service {
    unit: "postfix",
    programs: &["/usr/sbin/postfix"],
    daemons: &["postfix/sbin/master", "postfix/master"],
    queue: &[
        "/var/spool/postfix/maildrop",
        "/var/spool/postfix/incoming",
        "/var/spool/postfix/active",
        "/var/spool/postfix/deferred",
        "/var/spool/postfix/hold",
    ],
    files_of_a_message: 1,
    queue_commands: ["postqueue -p", "postqueue -f"],
};
/// Exim, as Debian names it.
pub(super) const EXIM: Service = Service {
    unit: "exim4",
    programs: &["/usr/sbin/exim4", "/usr/sbin/exim"],
    daemons: &["/exim4", "/exim"],
    queue: &["/var/spool/exim4/input"],
    // Its envelope and its body.
    files_of_a_message: 2,
    queue_commands: ["exim4 -bp", "exim4 -qff"],
};
/// Exim, as it names itself.
pub(super) const EXIM_ELSEWHERE: Service = Service {
    unit: "exim",
    programs: &["/usr/sbin/exim"],
    queue: &["/var/spool/exim/input"],
    queue_commands: ["exim -bp", "exim -qff"],
    ..EXIM
};
/// OpenDKIM, which has no queue.
pub(super) const OPENDKIM: Service = Service {
    unit: "opendkim",
    programs: &["/usr/sbin/opendkim"],
    daemons: &["/opendkim"],
    queue: &[],
    ..POSTFIX
};
/// nullmailer, which listens nowhere.
pub(super) const NULLMAILER: Service = Service {
    unit: "nullmailer",
    programs: &["/usr/sbin/nullmailer-send"],
    daemons: &["/nullmailer-send"],
    queue: &[],
    ..POSTFIX
};

/// The mail servers that would do our work, each once.
pub fn mail_servers(root: &Root) -> Vec<Service> {
    let exim = if EXIM.is_installed(root) { EXIM } else { EXIM_ELSEWHERE };
    vec![POSTFIX, exim]
}

/// Files that are counted in a queue at most: beyond that it is simply large.
const COUNTED: usize = 100_000;

impl Service {
    /// Whether it runs, or starts with the machine.
    pub fn at_work(&self, root: &Root, running: &[PathBuf]) -> bool {
        running.iter().any(|program| self.is_daemon(program)) || self.starts(root)
    }

    /// Whether a program is its daemon.
    pub fn is_daemon(&self, program: &Path) -> bool {
        let program = program.to_string_lossy();
        self.daemons.iter().any(|end| program.ends_with(end))
    }

    /// Whether its program is there.
    pub(super) fn is_installed(&self, root: &Root) -> bool {
        self.programs.iter().any(|program| root.has(program))
    }

    fn starts(&self, root: &Root) -> bool {
        if !self.is_installed(root) {
            return false;
        }
        let unit = format!("{}.service", self.unit);
        let folders = ["/etc/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system"]
            .map(Path::new);
        let has_unit = folders.iter().any(|folder| root.has(folder.join(&unit)));
        match has_unit {
            true => root.names(folders[0]).iter().any(|folder| {
                folder.ends_with(".wants") && root.has(folders[0].join(folder).join(&unit))
            }),
            // systemd makes a unit of an init script that a runlevel starts.
            false => (2..=5).any(|level| {
                let scripts = root.names(format!("/etc/rc{level}.d"));
                let starts = |one: &String| one.starts_with('S') && one.get(3..) == Some(self.unit);
                scripts.iter().any(starts)
            }),
        }
    }

    /// Whether it is a mail server itself, which holds the port that ours needs.
    pub(super) fn listens(&self) -> bool {
        !self.queue.is_empty()
    }

    /// Where its queue is.
    pub(super) fn queue_folder(&self) -> &'static str {
        let first = self.queue.first().copied().unwrap_or_default();
        first.rsplit_once('/').map_or(first, |(folder, _)| folder)
    }

    /// How many messages wait in its queue.
    pub fn waiting(&self, root: &Root) -> usize {
        let files = self.queue.iter().map(|folder| count(&root.at(folder))).sum::<usize>();
        files.div_ceil(self.files_of_a_message)
    }
}

// A queue is spread over folders in folders.
fn count(folder: &Path) -> usize {
    let mut folders = vec![folder.to_owned()];
    let mut files = 0;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => folders.push(entry.path()),
                Ok(kind) if kind.is_file() => files += 1,
                _ => {}
            }
            if files >= COUNTED {
                return files;
            }
        }
    }
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(files: &[&str]) -> (tempfile::TempDir, Root) {
        let folder = tempfile::tempdir().unwrap();
        for path in files {
            let path = folder.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        let root = Root::new(folder.path());
        (folder, root)
    }

    const PROGRAM: &str = "usr/sbin/postfix";
    const UNIT: &str = "lib/systemd/system/postfix.service";
    const WANTED: &str = "etc/systemd/system/multi-user.target.wants/postfix.service";
    const SCRIPT: &str = "etc/rc3.d/S01postfix";

    #[test]
    fn a_package_that_left_its_files_is_not_at_work() {
        for (files, starts) in [
            (&["etc/postfix/main.cf"][..], false),
            // Removed, not purged: the links are there, the program is not.
            (&[UNIT, WANTED], false),
            (&[SCRIPT, "etc/init.d/postfix"], false),
            (&[PROGRAM, UNIT, WANTED], true),
            (&[PROGRAM, UNIT, "etc/systemd/system/custom.target.wants/postfix.service"], true),
            // Disabled, but an init script's link is still there.
            (&[PROGRAM, UNIT, SCRIPT], false),
            (&[PROGRAM, SCRIPT], true),
            (&[PROGRAM, "etc/rc3.d/K01postfix"], false),
            (&[PROGRAM, "etc/rc3.d/S01postfix-extra"], false),
        ] {
            let (_folder, root) = tree(files);
            assert_eq!(POSTFIX.at_work(&root, &[]), starts, "{files:?}");
        }
    }

    #[test]
    fn what_runs_is_at_work_however_it_was_started() {
        let (_folder, root) = tree(&[]);
        for (program, service) in [
            ("/usr/lib/postfix/sbin/master", POSTFIX),
            ("/usr/libexec/postfix/master", POSTFIX),
            ("/usr/sbin/exim4", EXIM),
            ("/usr/sbin/opendkim", OPENDKIM),
        ] {
            for other in [POSTFIX, EXIM, OPENDKIM] {
                let same = other.unit == service.unit;
                assert_eq!(other.at_work(&root, &[program.into()]), same, "{program}");
            }
        }
    }

    #[test]
    fn the_mail_that_waits_is_counted() {
        let (_folder, root) = tree(&[
            "var/spool/postfix/deferred/A/A1",
            "var/spool/postfix/deferred/B/B1",
            "var/spool/postfix/active/C1",
            "var/spool/postfix/defer/A/A1",
            "var/spool/exim4/input/1-H",
            "var/spool/exim4/input/1-D",
        ]);
        assert_eq!(POSTFIX.waiting(&root), 3);
        assert_eq!(EXIM.waiting(&root), 1);
        assert_eq!(OPENDKIM.waiting(&root), 0);
    }
}
