//! The folder of a lab that stays: what its user edits, what the lab remembers, and which
//! lab runs where.
//!
//! A folder belongs to one running lab at a time, which holds its lock. Nothing is ever
//! written into a folder that is somebody else's or holds something else.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::cli::exit::{Failure, Sysexit};
use crate::lang::{Said, said, said_of, shell_word, system};

/// What the lab remembers of its folder.
const MEMORY: &str = "lab.json";
const LOCK: &str = "lab.lock";
/// Octets that a folder's path may have, so that those of the sockets in it are valid.
const LONGEST: usize = 84;

/// What a folder is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Kind {
    /// A lab in which everything is right, to break and mend.
    Keep,
    /// The exercise of this number.
    Exercise(u8),
    /// A class of so many students.
    Class(u8),
}

impl Kind {
    /// The folder's name, where the user names none.
    fn folder(self) -> String {
        match self {
            Self::Keep => "keep".to_owned(),
            Self::Exercise(number) => format!("exercise-{number}"),
            Self::Class(_) => "class".to_owned(),
        }
    }

    /// The command that goes on with it in a folder.
    pub(super) fn command(self, folder: &Path) -> String {
        let command = match self {
            Self::Keep => "puerto lab --keep".to_owned(),
            Self::Exercise(number) => format!("puerto lab exercise {number}"),
            Self::Class(count) => format!("puerto lab class --students {count}"),
        };
        match base().join(self.folder()) == folder {
            true => command,
            false => format!("{command}{}", named(folder)),
        }
    }
}

/// What the lab remembers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Memory {
    pub(super) kind: Kind,
    /// The ports that the files name: of the name server, the receivers and the server.
    pub(super) ports: (u16, u16, u16),
    /// How many hints were taken.
    #[serde(default)]
    pub(super) hints: usize,
    /// The files as they were at first, for what must not be touched.
    #[serde(default)]
    pub(super) first: (String, String),
}

/// A folder, held by this process.
#[derive(Debug)]
pub(super) struct Home {
    path: PathBuf,
    _lock: File,
}

impl Home {
    /// Takes a folder for a lab; its memory, if it had one of this kind before. With
    /// `anew` everything of an earlier lab in it is removed first.
    pub(super) fn take(
        asked: Option<&Path>,
        kind: Kind,
        anew: bool,
    ) -> Result<(Self, Option<Memory>), Failure> {
        let path = match asked {
            Some(path) => std::path::absolute(path).map_err(|error| cannot(path, &error))?,
            None => base().join(kind.folder()),
        };
        if path.as_os_str().len() > LONGEST {
            return Err(Failure::new(
                Sysexit::Arguments,
                said!(
                    "{path}: the path is too long for the sockets of a lab, which may have {most} \
                     octets here: name a shorter one with --folder",
                    "{path}: la ruta es demasiado larga para los sockets de un laboratorio, que \
                     aquí admite {most} octetos: indique otra más corta con --folder";
                    path = path.display(), most = LONGEST
                ),
            ));
        }
        make(&path)?;
        // One that is damaged says all the same that the folder is a lab's.
        let (known, is_labs) = match Memory::of(&path) {
            Ok(known) => (known.clone(), known.is_some()),
            Err(damaged) if anew && damaged.code == Sysexit::DataError => (None, true),
            Err(error) => return Err(error),
        };
        if !is_labs && !is_unused(&path).map_err(|error| cannot(&path, &error))? {
            return Err(Failure::new(
                Sysexit::CantCreate,
                said!(
                    "{path} holds files that are no lab's: name an empty folder, or a new one, \
                     with --folder",
                    "{path} contiene ficheros que no son de un laboratorio: indique una carpeta \
                     vacía, o nueva, con --folder";
                    path = path.display()
                ),
            ));
        }
        let lock = lock(&path)?;
        let known = known.filter(|_| !anew);
        if let Some(known) = &known
            && known.kind != kind
        {
            return Err(Failure::new(
                Sysexit::CantCreate,
                said!(
                    "{path} holds another lab: go on with it (`{command}`), begin anew with \
                     --reset, or name another folder with --folder",
                    "{path} contiene otro laboratorio: siga con él (`{command}`), empiece de \
                     nuevo con --reset o indique otra carpeta con --folder";
                    path = path.display(), command = known.kind.command(&path)
                ),
            ));
        }
        let home = Self { path, _lock: lock };
        if known.is_none() {
            home.clear().map_err(|error| cannot(&home.path, &error))?;
        }
        Ok((home, known))
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    // All but the lock.
    fn clear(&self) -> io::Result<()> {
        for entry in fs::read_dir(&self.path)? {
            let entry = entry?;
            match entry.file_type()?.is_dir() {
                _ if entry.file_name() == LOCK => {}
                true => fs::remove_dir_all(entry.path())?,
                false => fs::remove_file(entry.path())?,
            }
        }
        Ok(())
    }
}

impl Memory {
    /// The memory of a folder; `None` if it has none.
    pub(super) fn of(folder: &Path) -> Result<Option<Self>, Failure> {
        let file = folder.join(MEMORY);
        match fs::read_to_string(&file) {
            Ok(text) => serde_json::from_str(&text).map(Some).map_err(|_| {
                Failure::new(
                    Sysexit::DataError,
                    said!(
                        "{file} is damaged: begin anew with --reset",
                        "{file} está dañado: empiece de nuevo con --reset";
                        file = file.display()
                    ),
                )
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(cannot(&file, &error)),
        }
    }

    /// Writes it, whole or not at all.
    pub(super) fn keep(&self, folder: &Path) -> io::Result<()> {
        let (file, new) = (folder.join(MEMORY), folder.join("lab.json.new"));
        write(&new, &serde_json::to_string_pretty(self).map_err(io::Error::other)?)?;
        fs::rename(new, file)
    }
}

/// Writes a file that its owner alone may read.
pub(super) fn write(file: &Path, text: &str) -> io::Result<()> {
    use std::io::Write as _;
    let mut options = OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(file)?;
    file.write_all(text.as_bytes())
}

/// The folder of the lab that runs: the one that is named, or the only one there is.
pub(super) fn running(asked: Option<&Path>) -> Result<PathBuf, Failure> {
    const HOW: &str = "puerto lab --keep";
    if let Some(path) = asked {
        let path = std::path::absolute(path).map_err(|error| cannot(path, &error))?;
        return match is_held(&path) {
            true => Ok(path),
            false => Err(Failure::new(
                Sysexit::TryAgain,
                said!(
                    "no lab runs in {path}: start it in another terminal",
                    "en {path} no hay ningún laboratorio en marcha: inícielo en otro terminal";
                    path = path.display()
                ),
            )),
        };
    }
    let mut found: Vec<PathBuf> = fs::read_dir(base())
        .map(|entries| entries.filter_map(|entry| Some(entry.ok()?.path())).collect())
        .unwrap_or_default();
    found.retain(|path| is_held(path));
    found.sort();
    match found.as_slice() {
        [one] => Ok(one.clone()),
        [] => Err(Failure::new(
            Sysexit::TryAgain,
            said!(
                "no lab is running: start one in another terminal, with `{how}` or `puerto lab \
                 exercise 1`; one in a folder of your own is named by --folder",
                "no hay ningún laboratorio en marcha: inicie uno en otro terminal, con `{how}` o \
                 `puerto lab exercise 1`; si está en una carpeta propia, indíquela con --folder";
                how = HOW
            ),
        )),
        several => {
            let list: Vec<String> = several.iter().map(|path| path.display().to_string()).collect();
            Err(Failure::new(
                Sysexit::Arguments,
                said!(
                    "several labs are running: say which with --folder: {list}",
                    "hay varios laboratorios en marcha: indique cuál con --folder: {list}";
                    list = list.join(", ")
                ),
            ))
        }
    }
}

/// What commands about the lab in a folder must say of it, beginning with a space; nothing where
/// they look by themselves.
pub(super) fn named(folder: &Path) -> String {
    match folder.parent() == Some(&base()) {
        true => String::new(),
        false => format!(" --folder {}", shell_word(folder)),
    }
}

// `~/puerto-lab`, which is easily found with an editor.
fn base() -> PathBuf {
    let home = std::env::var_os("HOME").map(PathBuf::from).filter(|home| home.is_absolute());
    match home {
        Some(home) => home.join("puerto-lab"),
        None => std::env::temp_dir().join(format!("puerto-lab-{}", nix::unistd::getuid())),
    }
}

fn make(path: &Path) -> Result<(), Failure> {
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|error| cannot(path, &error))?;
    let owner = fs::metadata(path).map_err(|error| cannot(path, &error))?.uid();
    if owner != nix::unistd::getuid().as_raw() {
        return Err(Failure::new(
            Sysexit::NoPermission,
            said!(
                "{path} belongs to another user: name a folder of your own with --folder",
                "{path} es de otro usuario: indique una carpeta suya con --folder";
                path = path.display()
            ),
        ));
    }
    Ok(())
}

fn is_unused(path: &Path) -> io::Result<bool> {
    for entry in fs::read_dir(path)? {
        if entry?.file_name() != LOCK {
            return Ok(false);
        }
    }
    Ok(true)
}

fn lock(path: &Path) -> Result<File, Failure> {
    let file = path.join(LOCK);
    let open = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&file);
    let open = open.map_err(|error| cannot(&file, &error))?;
    match open.try_lock() {
        Ok(()) => Ok(open),
        Err(TryLockError::WouldBlock) => Err(Failure::new(
            Sysexit::TryAgain,
            said!(
                "a lab is running in {path} already: end it with Ctrl-C in its terminal, or name \
                 another folder with --folder",
                "en {path} ya hay un laboratorio en marcha: termínelo con Ctrl-C en su terminal o \
                 indique otra carpeta con --folder";
                path = path.display()
            ),
        )),
        Err(TryLockError::Error(error)) => Err(cannot(&file, &error)),
    }
}

fn is_held(path: &Path) -> bool {
    let Ok(file) = File::open(path.join(LOCK)) else { return false };
    matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock))
}

/// That a path cannot be used, and what to do.
pub(super) fn cannot(path: &Path, error: &io::Error) -> Failure {
    let code = match error.kind() {
        io::ErrorKind::PermissionDenied => Sysexit::NoPermission,
        _ => Sysexit::CantCreate,
    };
    Failure::new(
        code,
        said_of!(
            "{path} cannot be used: {error}; name a folder that you may write into with --folder",
            "no se puede usar {path}: {error}; indique con --folder una carpeta en la que pueda \
             escribir";
            path = Said::words(path.display().to_string()), error = system(error)
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn memory(kind: Kind) -> Memory {
        Memory { kind, ports: (1, 2, 3), hints: 0, first: Default::default() }
    }

    #[test]
    fn a_folder_is_one_labs_at_a_time_and_is_gone_on_with() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mine");
        let (home, known) = Home::take(Some(&path), Kind::Exercise(3), false).unwrap();
        assert_eq!(known, None);
        memory(Kind::Exercise(3)).keep(home.path()).unwrap();
        assert_eq!(running(Some(&path)).unwrap(), path);
        let second = Home::take(Some(&path), Kind::Exercise(3), false).unwrap_err();
        assert_eq!(second.code, Sysexit::TryAgain);
        drop(home);
        assert_eq!(running(Some(&path)).unwrap_err().code, Sysexit::TryAgain);
        let other = Home::take(Some(&path), Kind::Keep, false).unwrap_err();
        assert_eq!(other.code, Sysexit::CantCreate);
        let (home, known) = Home::take(Some(&path), Kind::Exercise(3), false).unwrap();
        assert_eq!(known, Some(memory(Kind::Exercise(3))));
        fs::write(home.path().join(MEMORY), "{").unwrap();
        drop(home);
        let damaged = Home::take(Some(&path), Kind::Keep, false).unwrap_err();
        assert_eq!(damaged.code, Sysexit::DataError);
        let (home, known) = Home::take(Some(&path), Kind::Keep, true).unwrap();
        assert_eq!((known, Memory::of(home.path()).unwrap()), (None, None));
    }

    #[test]
    fn a_folder_with_something_else_in_it_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let thesis = folder.path().join("thesis.txt");
        fs::write(&thesis, "years of work").unwrap();
        for anew in [false, true] {
            let refused = Home::take(Some(folder.path()), Kind::Keep, anew).unwrap_err();
            assert_eq!(refused.code, Sysexit::CantCreate);
        }
        assert_eq!(fs::read_to_string(thesis).unwrap(), "years of work");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        let long = folder.path().join("a".repeat(90));
        let refused = Home::take(Some(&long), Kind::Keep, false).unwrap_err();
        assert_eq!(refused.code, Sysexit::Arguments);
        let nowhere = Home::take(Some(Path::new("/proc/no")), Kind::Keep, false).unwrap_err();
        assert_eq!(nowhere.code, Sysexit::CantCreate);
    }
}
