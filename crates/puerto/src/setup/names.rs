//! `sendmail` and the other names by which programs call a mail server, whoever has them.

use std::path::{Path, PathBuf};

use super::files::{Content, Wanted, destination, link_of};
use super::root::Root;
use crate::lang::shell_word;

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

/// A name by which programs call a mail server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name {
    /// Its path.
    pub path: &'static Path,
    /// Where it leads, all links followed; `None`: to nothing that is there.
    pub leads_to: Option<PathBuf>,
}

/// All of them, as they are on a machine.
pub fn names_of_commands(root: &Root) -> Vec<Name> {
    let name = |path: &'static str| {
        let end = destination(root, Path::new(path));
        Name { path: Path::new(path), leads_to: root.at(&end).exists().then_some(end) }
    };
    COMMANDS.into_iter().map(name).collect()
}

/// The commands by which a program gets all of them: those that others have, and those that
/// nobody has.
pub fn commands_to_take(root: &Root, program: &Path) -> Vec<String> {
    let missing = names_of_commands(root).into_iter().filter(|name| name.leads_to.is_none());
    let missing: Vec<Name> = missing.collect();
    let link = |name: &Name| format!("ln -sf {} {}", shell_word(program), name.path.display());
    // What leads to nothing is nobody's.
    let is_free = |path: &Path| missing.iter().any(|name| name.path == path);
    let taken = take_some(root, program, |path| !is_free(path));
    missing.iter().map(link).chain(taken).collect()
}

/// What Debian's packages know of names that were diverted: three lines for each.
const DIVERSIONS: &str = "/var/lib/dpkg/diversions";

/// The commands by which the names that others have become ours; none if all are.
pub(super) fn take(root: &Root, program: &Path) -> Vec<String> {
    take_some(root, program, |_| true)
}

fn take_some(root: &Root, program: &Path, is_meant: impl Fn(&Path) -> bool) -> Vec<String> {
    let taken = COMMANDS.iter().map(Path::new).filter(|path| is_anothers(root, path, program));
    let taken = taken.filter(|path| is_meant(path));
    let (managed, plain): (Vec<_>, Vec<_>) =
        taken.map(|path| (path, alternative(root, path))).partition(|(_, name)| name.is_some());
    let managed: Vec<_> = managed.into_iter().filter_map(|(p, name)| Some((p, name?))).collect();
    let mut commands = by_alternatives(root, &managed, program);
    for (path, _) in plain {
        let ours = shell_word(program);
        commands.push(match diverts(root) {
            // Diverted already: whoever put it there was no package.
            true if is_diverted(root, path) => format!("mv {0} {0}.replaced", path.display()),
            true => divert("--rename", path),
            false => format!("mv {} {}", path.display(), beside(path).display()),
        });
        commands.push(format!("ln -s {ours} {}", path.display()));
    }
    commands
}

/// The commands that keep the names ours, whatever package comes later and brings a
/// mail server along: it gets its files beside them. None where that is so.
pub(super) fn keep(root: &Root, program: &Path) -> Vec<String> {
    if !diverts(root) {
        return Vec::new();
    }
    let names = COMMANDS.iter().map(Path::new);
    let ours = names.filter(|path| !root.has(path) || destination(root, path) == *program);
    let bare = ours.filter(|path| alternative(root, path).is_none() && !is_diverted(root, path));
    bare.map(|path| divert("--no-rename", path)).collect()
}

/// The commands that give the names back to whoever had them.
pub(super) fn give_back(root: &Root, program: &Path) -> Vec<String> {
    let mut commands = Vec::new();
    for path in COMMANDS.map(Path::new) {
        let is_ours = destination(root, path) == program;
        if let Some(name) = alternative(root, path).filter(|_| is_ours) {
            commands.push(format!("update-alternatives --remove {name} {}", shell_word(program)));
            continue;
        }
        if is_ours {
            commands.push(format!("rm {}", path.display()));
        }
        if is_diverted(root, path) && (is_ours || !root.has(path)) {
            let path = path.display();
            commands.push(format!("dpkg-divert --local --rename --remove {path}"));
        } else if is_ours && !diverts(root) && root.has(beside(path)) {
            commands.push(format!("mv {} {}", beside(path).display(), path.display()));
        }
    }
    commands
}

fn diverts(root: &Root) -> bool {
    root.has("/usr/bin/dpkg-divert")
}

fn divert(rename: &str, path: &Path) -> String {
    let path = path.display();
    format!("dpkg-divert --local {rename} --divert {path}.other --add {path}")
}

fn beside(path: &Path) -> PathBuf {
    PathBuf::from(format!("{}.other", path.display()))
}

/// Whether an administrator, or this program, had a name diverted: `:` stands for them.
fn is_diverted(root: &Root, path: &Path) -> bool {
    let text = root.read(DIVERSIONS).ok().flatten().unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines.chunks(3).any(|three| matches!(three, [from, _, ":"] if Path::new(from) == path))
}

fn is_anothers(root: &Root, path: &Path, program: &Path) -> bool {
    if !root.has(path) || destination(root, path) == program {
        return false;
    }
    // Most often the others are links to the first, and go where it goes; but a package
    // that comes later brings its own, which only a diversion keeps away.
    let names = COMMANDS.map(PathBuf::from);
    diverts(root) || !link_of(root, path).is_some_and(|next| names.contains(&next))
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
    let ours = shell_word(program);
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
        let (_folder, root) = machine(links, files, "");
        take(&root, Path::new(OURS))
    }

    fn machine(
        links: &[(&str, &str)],
        files: &[&str],
        diversions: &str,
    ) -> (tempfile::TempDir, Root) {
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
        std::fs::write(make("var/lib/dpkg/diversions"), diversions).unwrap();
        let root = Root::new(folder.path());
        (folder, root)
    }

    #[test]
    fn names_that_are_free_or_ours_are_kept_from_packages_that_come_later_and_given_back() {
        let links = [("usr/sbin/sendmail", OURS), ("usr/bin/mailq", "/usr/sbin/exim4")];
        let (_folder, root) = machine(&links, &["usr/bin/dpkg-divert"], "");
        let kept = keep(&root, Path::new(OURS));
        let expected = ["/usr/sbin/sendmail", "/usr/lib/sendmail", "/usr/bin/newaliases"];
        let expected = expected.map(|path| {
            format!("dpkg-divert --local --no-rename --divert {path}.other --add {path}")
        });
        assert_eq!(kept, expected);
        let diversions = "/bin/sh\n/bin/sh.distrib\ndash\n\
                          /usr/sbin/sendmail\n/usr/sbin/sendmail.other\n:\n";
        let (_folder, root) = machine(&links, &["usr/bin/dpkg-divert"], diversions);
        assert_eq!(keep(&root, Path::new(OURS)).len(), 2, "it is diverted once");
        assert_eq!(
            give_back(&root, Path::new(OURS)),
            ["rm /usr/sbin/sendmail", "dpkg-divert --local --rename --remove /usr/sbin/sendmail"]
        );
        let (_folder, root) = machine(&links, &["usr/sbin/sendmail.other"], "");
        assert_eq!(keep(&root, Path::new(OURS)), Vec::<String>::new());
        assert_eq!(
            give_back(&root, Path::new(OURS)),
            ["rm /usr/sbin/sendmail", "mv /usr/sbin/sendmail.other /usr/sbin/sendmail"]
        );
    }

    #[test]
    fn a_file_that_belongs_to_a_package_is_diverted_and_links_to_it_follow() {
        let links =
            [("usr/lib/sendmail", "../sbin/sendmail"), ("usr/bin/mailq", "../sbin/sendmail")];
        assert_eq!(
            commands(&links, &["usr/sbin/sendmail", "usr/bin/dpkg-divert"]),
            [
                "dpkg-divert --local --rename --divert /usr/sbin/sendmail.other --add /usr/sbin/sendmail",
                "ln -s /usr/local/bin/puerto /usr/sbin/sendmail",
                "dpkg-divert --local --rename --divert /usr/lib/sendmail.other --add /usr/lib/sendmail",
                "ln -s /usr/local/bin/puerto /usr/lib/sendmail",
                "dpkg-divert --local --rename --divert /usr/bin/mailq.other --add /usr/bin/mailq",
                "ln -s /usr/local/bin/puerto /usr/bin/mailq"
            ]
        );
        let moved = [
            "mv /usr/sbin/sendmail /usr/sbin/sendmail.other",
            "ln -s /usr/local/bin/puerto /usr/sbin/sendmail",
        ];
        assert_eq!(commands(&links, &["usr/sbin/sendmail"]), moved, "where nothing diverts");
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
