//! `sendmail` and the other names by which programs call a mail server, whoever has them.

use std::path::{Path, PathBuf};

use super::files::{Content, Wanted, destination, link_of};
use super::root::Root;
use super::steps::quoted;

/// The names.
pub(super) const COMMANDS: [&str; 4] =
    ["/usr/sbin/sendmail", "/usr/lib/sendmail", "/usr/bin/mailq", "/usr/bin/newaliases"];

/// Where the alternatives system keeps what it knows: Debian's, and Red Hat's.
const KNOWN: [&str; 2] = ["/var/lib/dpkg/alternatives", "/var/lib/alternatives"];

/// The names that nobody has, or that are ours already.
pub(super) fn free(root: &Root, program: &Path) -> Vec<Wanted> {
    let link = |path: &&str| Wanted {
        path: PathBuf::from(path),
        content: Content::Link(program.to_owned()),
    };
    let free =
        |wanted: &Wanted| !root.has(&wanted.path) || destination(root, &wanted.path) == *program;
    COMMANDS.iter().map(link).filter(free).collect()
}

/// The commands by which the names that others have become ours; none if all are.
pub(super) fn take(root: &Root, program: &Path) -> Vec<String> {
    let taken = COMMANDS.iter().map(Path::new).filter(|path| is_anothers(root, path, program));
    let (managed, plain): (Vec<_>, Vec<_>) =
        taken.map(|path| (path, alternative(root, path))).partition(|(_, name)| name.is_some());
    let managed: Vec<_> = managed.into_iter().filter_map(|(p, name)| Some((p, name?))).collect();
    let mut commands = by_alternatives(root, &managed, program);
    for (path, _) in plain {
        let (path, ours) = (path.display(), quoted(program));
        commands.push(if root.has("/usr/bin/dpkg-divert") {
            format!("dpkg-divert --local --rename --divert {path}.other --add {path}")
        } else {
            format!("mv {path} {path}.other")
        });
        commands.push(format!("ln -s {ours} {path}"));
    }
    commands
}

fn is_anothers(root: &Root, path: &Path, program: &Path) -> bool {
    // Most often the others are links to the first, and go where it goes.
    let names = COMMANDS.map(PathBuf::from);
    let follows = link_of(root, path).is_some_and(|next| names.contains(&next));
    root.has(path) && destination(root, path) != program && !follows
}

/// The name in the alternatives system that a path leads through.
fn alternative(root: &Root, path: &Path) -> Option<String> {
    let link = link_of(root, path).filter(|link| link.starts_with("/etc/alternatives"))?;
    Some(link.file_name()?.to_string_lossy().into_owned())
}

// One name of the system may bring others with it ("slaves"), which can then not be
// chosen by themselves: they are given along with it.
fn by_alternatives(root: &Root, managed: &[(&Path, String)], program: &Path) -> Vec<String> {
    let is_master = |name: &str| KNOWN.iter().any(|f| root.has(Path::new(f).join(name)));
    let (mut masters, mut slaves): (Vec<_>, Vec<_>) =
        managed.iter().partition(|(_, name)| is_master(name));
    if masters.is_empty() {
        masters.append(&mut slaves);
    }
    let ours = quoted(program);
    let mut commands = Vec::new();
    for (path, name) in masters {
        let mut install =
            format!("update-alternatives --install {} {name} {ours} 100", path.display());
        for (path, name) in slaves.drain(..) {
            install.push_str(&format!(" --slave {} {name} {ours}", path.display()));
        }
        commands.push(install);
        commands.push(format!("update-alternatives --set {name} {ours}"));
    }
    commands
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    const OURS: &str = "/usr/local/bin/puerto";

    fn commands(links: &[(&str, &str)], files: &[&str]) -> Vec<String> {
        let folder = tempfile::tempdir().unwrap();
        let make = |path: &str| {
            let path = folder.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            path
        };
        for path in files {
            std::fs::write(make(path), "").unwrap();
        }
        for (path, target) in links {
            symlink(target, make(path)).unwrap();
        }
        take(&Root::new(folder.path()), Path::new(OURS))
    }

    #[test]
    fn a_file_that_belongs_to_a_package_is_diverted_and_links_to_it_follow() {
        let links =
            [("usr/lib/sendmail", "../sbin/sendmail"), ("usr/bin/mailq", "../sbin/sendmail")];
        assert_eq!(
            commands(&links, &["usr/sbin/sendmail", "usr/bin/dpkg-divert"]),
            [
                "dpkg-divert --local --rename --divert /usr/sbin/sendmail.other --add /usr/sbin/sendmail",
                "ln -s /usr/local/bin/puerto /usr/sbin/sendmail"
            ]
        );
    }

    #[test]
    fn alternatives_that_come_along_with_another_are_given_with_it() {
        let links = [
            ("usr/sbin/sendmail", "/etc/alternatives/mta"),
            ("usr/bin/mailq", "/etc/alternatives/mta-mailq"),
            ("etc/alternatives/mta", "/usr/sbin/sendmail.postfix"),
            ("etc/alternatives/mta-mailq", "/usr/bin/mailq.postfix"),
        ];
        assert_eq!(
            commands(&links, &["var/lib/alternatives/mta"]),
            [
                "update-alternatives --install /usr/sbin/sendmail mta /usr/local/bin/puerto 100 \
                 --slave /usr/bin/mailq mta-mailq /usr/local/bin/puerto",
                "update-alternatives --set mta /usr/local/bin/puerto"
            ]
        );
    }

    #[test]
    fn names_that_lead_here_are_left_alone() {
        let links = [
            ("usr/sbin/sendmail", "/etc/alternatives/mta"),
            ("etc/alternatives/mta", OURS),
            ("usr/bin/mailq", OURS),
        ];
        assert_eq!(commands(&links, &[]), Vec::<String>::new());
    }
}
