//! Which local parts exist: users of the system, aliases, and the names that every
//! mail server must know.

use std::collections::HashMap;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use puerto_smtp::LocalPart;
use tokio::time::Instant;

use super::account::Account;
use super::aliases::{self, Aliases};
use super::expansion::{Expander, Resolution};
use crate::cause::Cause;
use crate::config::Live;

/// How long an answer about a user is remembered: new users wait less than old ones
/// would cost.
const KNOWN_FOR: Duration = Duration::from_secs(60);
const UNKNOWN_FOR: Duration = Duration::from_secs(10);
/// Answers remembered at most, so that a flood of names costs little memory.
const ANSWERS: usize = 10_000;
/// How often the aliases file is looked at for changes.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// The users of this machine and their other names.
#[derive(Debug)]
pub struct Directory {
    config: Live,
    users: Mutex<HashMap<String, (bool, Instant)>>,
    aliases: Mutex<Option<Loaded>>,
}

#[derive(Debug)]
struct Loaded {
    path: PathBuf,
    stamp: Stamp,
    looked: Instant,
    /// What was read; `None` if nothing ever could be.
    aliases: Option<Arc<Aliases>>,
    /// Why the file that is there now cannot be read.
    unread: Option<Cause>,
    /// Its warnings were not told yet.
    fresh: bool,
}

// A file that is still the same: device, inode, size, time of change.
type Stamp = Option<(u64, u64, u64, i64, i64)>;

impl Directory {
    /// Follows the configuration in force.
    pub fn new(config: Live) -> Self {
        Self { config, users: Mutex::default(), aliases: Mutex::default() }
    }

    /// Whether mail for a local part would be taken: an alias, a user, or a user with
    /// an extension (`user+anything`). When that cannot be found out, the answer is yes:
    /// mail is then deferred at delivery instead of refused for good here.
    ///
    /// Answers are remembered for a while. One that is not may block on the system's
    /// user directory.
    pub fn knows(&self, local_part: &LocalPart) -> bool {
        self.knows_name(local_part.as_str())
    }

    fn knows_name(&self, name: &str) -> bool {
        let name = name.to_lowercase();
        let Ok(aliases) = self.aliases() else { return true };
        candidates(&name).any(|name| {
            required_target(name).is_some() || aliases.get(name).is_some() || self.is_user(name)
        })
    }

    /// Whether mail for a local part comes to a mailbox here or to an address elsewhere,
    /// all aliases followed. The error is the system's: users, or the aliases, could not be
    /// looked up.
    /// It may block on the system's user directory.
    pub fn reaches_somebody(&self, local_part: &LocalPart) -> io::Result<bool> {
        let resolution = self.resolve(local_part)?;
        Ok(!resolution.boxes.is_empty() || !resolution.remote.is_empty())
    }

    /// Whether a local part has an alias, by itself or without its extension; it may have
    /// one if the file cannot be read.
    pub(super) fn is_alias(&self, local_part: &LocalPart) -> bool {
        let Ok(aliases) = self.aliases() else { return true };
        candidates(&local_part.as_str().to_lowercase()).any(|name| aliases.get(name).is_some())
    }

    /// Follows aliases to their ends. The error is the system's: users could not be
    /// looked up.
    pub(super) fn resolve(&self, local_part: &LocalPart) -> io::Result<Resolution> {
        let (aliases, config) = (self.aliases()?, self.config.get());
        Expander::new(&aliases, &config).name(&local_part.as_str().to_lowercase())
    }

    /// Follows what a user's `.forward` says. With it, what is wrong in the file.
    pub(super) fn resolve_forward(
        &self,
        user: &str,
        text: &str,
    ) -> io::Result<(Resolution, Vec<String>)> {
        let (aliases, config) = (self.aliases()?, self.config.get());
        Expander::new(&aliases, &config).forward(user, text)
    }

    fn is_user(&self, name: &str) -> bool {
        let now = Instant::now();
        if let Some((known, until)) = lock(&self.users).get(name)
            && *until > now
        {
            return *known;
        }
        let Ok(found) = Account::find(name) else {
            return true;
        };
        let known = found.is_some();
        let mut users = lock(&self.users);
        if users.len() >= ANSWERS {
            users.clear();
        }
        let until = now + if known { KNOWN_FOR } else { UNKNOWN_FOR };
        users.insert(name.to_owned(), (known, until));
        known
    }

    // What was read before holds on when the file cannot be read any more, or is gone: it
    // may be just being written. Where there is nothing, mail waits.
    fn aliases(&self) -> io::Result<Arc<Aliases>> {
        let path = self.config.get().local.aliases.clone();
        let now = Instant::now();
        let mut slot = lock(&self.aliases);
        let before = slot.take().filter(|loaded| loaded.path == path);
        let loaded = match before {
            Some(loaded) if now.duration_since(loaded.looked) < LOOK_AGAIN => loaded,
            before => look(path, before, now),
        };
        let aliases = loaded
            .aliases
            .clone()
            .ok_or_else(|| loaded.unread.clone().unwrap_or(Cause::InternalError {}).into());
        *slot = Some(loaded);
        aliases
    }

    /// Reads the aliases file if it has changed, and gives its warnings once for each
    /// change, each with the file's name.
    pub fn new_warnings(&self) -> Vec<String> {
        let aliases = self.aliases();
        let mut slot = lock(&self.aliases);
        let Some(loaded) = slot.as_mut().filter(|loaded| loaded.fresh) else {
            return Vec::new();
        };
        loaded.fresh = false;
        if let Some(why) = &loaded.unread {
            return vec![match aliases {
                Ok(_) => format!("{why}: what was read of it before holds"),
                Err(_) => format!("{why}: mail for this machine's users waits"),
            }];
        }
        let path = loaded.path.display();
        let warnings = aliases.iter().flat_map(|aliases| &aliases.warnings);
        warnings.map(|warning| format!("{path}: {warning}")).collect()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What mail for one user has in common, whatever extension its address has: the
/// user's own name, or an alias, in lower case.
pub fn lane(local_part: &LocalPart) -> String {
    let name = local_part.as_str().to_lowercase();
    candidates(&name).last().unwrap_or(&name).to_owned()
}

// The name itself, then the part before an extension.
pub(super) fn candidates(name: &str) -> impl Iterator<Item = &str> {
    let user = name.split_once('+').map(|(user, _)| user).filter(|user| !user.is_empty());
    std::iter::once(name).chain(user)
}

// RFC 5321 §4.5.1: postmaster always exists. Notifications name MAILER-DAEMON.
pub(super) fn required_target(name: &str) -> Option<&'static str> {
    match name {
        "postmaster" => Some("root"),
        "mailer-daemon" | "abuse" => Some("postmaster"),
        _ => None,
    }
}

fn stamp(path: &Path) -> Stamp {
    let metadata = std::fs::metadata(path).ok()?;
    Some((metadata.dev(), metadata.ino(), metadata.size(), metadata.mtime(), metadata.mtime_nsec()))
}

fn look(path: PathBuf, before: Option<Loaded>, looked: Instant) -> Loaded {
    // The stamp comes first: a change while reading is seen at the next look. It does not
    // show whether a file may be read by now.
    let stamp = stamp(&path);
    let before = match before {
        Some(same) if same.stamp == stamp && same.unread.is_none() => {
            return Loaded { looked, ..same };
        }
        before => before,
    };
    let untold = before.as_ref().is_some_and(|loaded| loaded.fresh);
    let (last, told) = before.map_or((None, None), |loaded| (loaded.aliases, loaded.unread));
    let had_some = last.as_ref().is_some_and(|aliases| !aliases.is_empty());
    let (aliases, unread) = match aliases::read(&path) {
        Ok(text) => (Some(Arc::new(Aliases::parse(&text))), None),
        Err(error) if error.kind() == io::ErrorKind::NotFound && !had_some => {
            (Some(Arc::default()), None)
        }
        Err(error) => {
            let (file, error) = (path.display().to_string(), error.into());
            (last, Some(Cause::FileUnread { file, error }))
        }
    };
    let fresh = untold || unread.is_none() || unread != told;
    Loaded { path, stamp, looked, aliases, unread, fresh }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn directory(dir: &Path, aliases: &str) -> Directory {
        std::fs::write(dir.join("aliases"), aliases).unwrap();
        Directory::new(Live::new(Config::for_tests(dir)))
    }

    fn local(text: &str) -> LocalPart {
        LocalPart::from_unquoted(text).unwrap()
    }

    #[test]
    fn users_aliases_and_required_names_are_known() {
        let dir = tempfile::tempdir().unwrap();
        let directory = directory(dir.path(), "office: root\n");
        for (name, known) in [
            ("root", true),
            ("ROOT", true),
            ("root+lists", true),
            ("office", true),
            ("Office+x", true),
            ("Postmaster", true),
            ("MAILER-DAEMON", true),
            ("abuse", true),
            ("no-such-user", false),
            ("+x", false),
            ("../root", false),
            ("root/", false),
        ] {
            assert_eq!(directory.knows(&local(name)), known, "{name}");
            assert_eq!(directory.knows(&local(name)), known, "{name}, remembered");
        }
    }

    #[test]
    fn a_user_has_one_lane_whatever_the_extension() {
        for (name, expected) in
            [("ana", "ana"), ("Ana+x", "ana"), ("ana+x+y", "ana"), ("ana+", "ana"), ("+x", "+x")]
        {
            assert_eq!(lane(&local(name)), expected, "{name}");
        }
    }

    #[test]
    fn a_changed_file_is_read_again_and_its_warnings_are_told_once() {
        let dir = tempfile::tempdir().unwrap();
        let directory = directory(dir.path(), "one: root\nbad\n");
        assert_eq!(directory.new_warnings().len(), 1);
        assert_eq!(directory.new_warnings(), Vec::<String>::new());
        std::fs::write(dir.path().join("aliases"), "two: root\n").unwrap();
        look_again(&directory);
        assert!(directory.knows(&local("two")) && !directory.knows(&local("one")));
    }

    fn look_again(directory: &Directory) {
        if let Some(loaded) = lock(&directory.aliases).as_mut() {
            loaded.looked = Instant::now().checked_sub(LOOK_AGAIN).unwrap();
        }
    }

    #[test]
    fn aliases_that_cannot_be_read_make_mail_wait_and_are_not_forgotten() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("aliases");
        std::fs::create_dir(&file).unwrap();
        let directory = Directory::new(Live::new(Config::for_tests(dir.path())));
        for _ in 0..2 {
            look_again(&directory);
            assert!(directory.knows(&local("no-such-user")) && directory.is_alias(&local("x")));
            let error = directory.resolve(&local("root")).unwrap_err().to_string();
            assert!(error.contains("aliases cannot be read"), "{error}");
        }
        let told = directory.new_warnings();
        assert!(told.len() == 1 && told[0].contains("users waits"), "{told:?}");
        std::fs::remove_dir(&file).unwrap();
        std::fs::write(&file, "office: root\n").unwrap();
        look_again(&directory);
        assert!(directory.knows(&local("office")) && !directory.knows(&local("no-such-user")));
        assert_eq!(directory.new_warnings(), Vec::<String>::new());
        // Gone, or in somebody's way: what was read of it holds.
        for is_in_the_way in [false, true] {
            std::fs::remove_file(&file).unwrap();
            if is_in_the_way {
                std::fs::create_dir(&file).unwrap();
            }
            for expected in [1, 0] {
                look_again(&directory);
                assert_eq!(directory.resolve(&local("office")).unwrap().boxes.len(), 1);
                let told = directory.new_warnings();
                assert_eq!(told.len(), expected, "{told:?}");
                assert!(told.iter().all(|text| text.contains("before holds")), "{told:?}");
            }
            if is_in_the_way {
                std::fs::remove_dir(&file).unwrap();
            }
            std::fs::write(&file, "office: root\n").unwrap();
        }
    }
}
