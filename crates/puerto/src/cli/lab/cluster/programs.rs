//! Where PostgreSQL's programs are.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::lang::{Said, said};

/// The first version that has all that the store asks for.
const OLDEST: u32 = 13;
/// Where packages put server programs, a folder for each version: what stands before the
/// version and after it. Debian; Red Hat's of the PostgreSQL project; Alpine.
const PLACES: [(&str, &str, &str); 3] = [
    ("usr/lib/postgresql", "", "bin"),
    ("usr", "pgsql-", "bin"),
    ("usr/libexec", "postgresql", ""),
];

/// The programs that the lab starts, all of one folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Programs {
    pub(super) folder: PathBuf,
    /// As the server says it: `15.14`.
    pub(super) version: String,
}

impl Programs {
    /// The first of PATH, or the newest of the packages'.
    pub(super) fn find() -> Result<Self, Said> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let mut found = folders(&path, Path::new("/")).into_iter().filter_map(|folder| {
            let output = Command::new(folder.join("postgres")).arg("--version").output().ok()?;
            let version = version(std::str::from_utf8(&output.stdout).ok()?)?;
            Some(Self { folder, version })
        });
        found.next().ok_or_else(missing)
    }
}

// `postgres (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)`; `17rc1` is a version, too.
fn version(said: &str) -> Option<String> {
    let version = said.split_whitespace().nth(2)?;
    (number(version)? >= OLDEST).then(|| version.to_owned())
}

fn number(version: &str) -> Option<u32> {
    version.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

// All that hold both programs, in the order in which they are to be tried.
fn folders(path: &OsStr, root: &Path) -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> =
        std::env::split_paths(path).filter(|folder| folder.is_absolute()).collect();
    for (above, before, below) in PLACES {
        let Ok(entries) = fs::read_dir(root.join(above)) else { continue };
        let mut versions: Vec<(u32, PathBuf)> = entries
            .filter_map(|entry| {
                let entry = entry.ok()?;
                let name = entry.file_name();
                let version = number(name.to_str()?.strip_prefix(before)?)?;
                Some((version, entry.path().join(below)))
            })
            .collect();
        versions.sort();
        folders.extend(versions.into_iter().rev().map(|(_, folder)| folder));
    }
    folders.retain(|folder| ["initdb", "postgres"].iter().all(|name| runs(&folder.join(name))));
    folders
}

fn runs(file: &Path) -> bool {
    fs::metadata(file).is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
}

fn missing() -> Said {
    said!(
        "it needs PostgreSQL's server, {oldest} or later (initdb and postgres), which is neither \
         in PATH nor where packages put it. Install it; it need not run:\n\
         \x20 Debian, Ubuntu: `apt install postgresql`\n\
         \x20 Fedora: `dnf install postgresql-server`\n\
         \x20 Alpine: `apk add postgresql`",
        "necesita el servidor PostgreSQL, {oldest} o posterior (initdb y postgres), que no está \
         ni en PATH ni donde lo ponen los paquetes. Instálelo; no hace falta que esté en marcha:\n\
         \x20 Debian, Ubuntu: `apt install postgresql`\n\
         \x20 Fedora: `dnf install postgresql-server`\n\
         \x20 Alpine: `apk add postgresql`";
        oldest = OLDEST
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn install(root: &Path, folder: &str, programs: &[&str]) -> PathBuf {
        let folder = root.join(folder);
        fs::create_dir_all(&folder).unwrap();
        for program in programs {
            fs::write(folder.join(program), "").unwrap();
            fs::set_permissions(folder.join(program), fs::Permissions::from_mode(0o755)).unwrap();
        }
        folder
    }

    #[test]
    fn the_path_goes_first_then_the_newest() {
        const BOTH: [&str; 2] = ["initdb", "postgres"];
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        assert_eq!(folders(OsStr::new(""), root), Vec::<PathBuf>::new());
        let nine = install(root, "usr/lib/postgresql/9.6/bin", &BOTH);
        let fifteen = install(root, "usr/lib/postgresql/15/bin", &BOTH);
        // Clients alone.
        install(root, "usr/lib/postgresql/17/bin", &["psql"]);
        install(root, "usr/lib/postgresql/jit/bin", &BOTH);
        let red_hat = install(root, "usr/pgsql-16/bin", &BOTH);
        let alpine = install(root, "usr/libexec/postgresql14", &BOTH);
        let of_packages = [fifteen, nine, red_hat, alpine];
        assert_eq!(folders(OsStr::new(""), root), of_packages);
        let own = install(root, "opt/pg", &BOTH);
        let path = std::env::join_paths([Path::new("relative"), Path::new("/none"), &own]).unwrap();
        assert_eq!(folders(&path, root).first(), Some(&own));
        // What nobody may run is no program.
        fs::set_permissions(own.join("initdb"), fs::Permissions::from_mode(0o644)).unwrap();
        assert_eq!(folders(&path, root), of_packages);
    }

    #[test]
    fn what_is_too_old_is_none() {
        for (said, expected) in [
            ("postgres (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)\n", Some("15.14")),
            ("postgres (PostgreSQL) 13.22", Some("13.22")),
            ("postgres (PostgreSQL) 18beta1", Some("18beta1")),
            ("postgres (PostgreSQL) 12.22", None),
            ("postgres (PostgreSQL) 9.6.24", None),
            ("postgres: not found", None),
            ("", None),
        ] {
            assert_eq!(version(said).as_deref(), expected, "{said:?}");
        }
    }
}
