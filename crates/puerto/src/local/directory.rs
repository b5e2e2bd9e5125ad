//! Which local parts exist: users of the system, aliases, and the names that every
//! mail server must know.

use std::collections::HashMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use puerto_smtp::{Address, LocalPart};

use super::account::Account;
use super::aliases::{Aliases, Target};
use crate::config::Live;
use crate::lang::{said_of, system};

/// How long an answer about a user is remembered: new users wait less than old ones
/// would cost.
const KNOWN_FOR: Duration = Duration::from_secs(60);
const UNKNOWN_FOR: Duration = Duration::from_secs(10);
/// Answers remembered at most, so that a flood of names costs little memory.
const ANSWERS: usize = 10_000;
/// How often the aliases file is looked at for changes.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// Aliases that lead to aliases, and targets of one name, at most.
const DEPTH: usize = 20;
const TARGETS: usize = 1000;

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
    aliases: Arc<Aliases>,
    /// Its warnings were not told yet.
    fresh: bool,
}

// A file that is still the same: device, inode, size, time of change.
type Stamp = Option<(u64, u64, u64, i64, i64)>;

/// What a local part comes to.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Resolution {
    /// Users whose mailboxes it goes to, by name.
    pub(super) users: Vec<String>,
    /// Addresses elsewhere.
    pub(super) remote: Vec<Address>,
    /// Names that nobody has.
    pub(super) missing: Vec<String>,
    /// What an alias names but this server does not do, or a chain without end.
    pub(super) problems: Vec<String>,
}

impl Directory {
    /// Follows the configuration in force.
    pub fn new(config: Live) -> Self {
        Self { config, users: Mutex::default(), aliases: Mutex::default() }
    }

    /// Whether mail for a local part would be taken: an alias, a user, or a user with
    /// an extension (`user+anything`). When the system cannot say, the answer is yes:
    /// mail is then deferred at delivery instead of refused for good here.
    ///
    /// Answers are remembered for a while. One that is not may block on the system's
    /// user directory.
    pub fn knows(&self, local_part: &LocalPart) -> bool {
        self.knows_name(local_part.as_str())
    }

    fn knows_name(&self, name: &str) -> bool {
        let name = name.to_lowercase();
        let aliases = self.aliases();
        candidates(&name).any(|name| {
            required_target(name).is_some() || aliases.get(name).is_some() || self.is_user(name)
        })
    }

    /// Whether mail for a local part comes to a mailbox here or to an address elsewhere,
    /// all aliases followed. The error is the system's: users could not be looked up.
    /// It may block on the system's user directory.
    pub fn reaches_somebody(&self, local_part: &LocalPart) -> std::io::Result<bool> {
        let resolution = self.resolve(local_part)?;
        Ok(!resolution.users.is_empty() || !resolution.remote.is_empty())
    }

    /// Whether a local part has an alias, by itself or without its extension.
    pub(super) fn is_alias(&self, local_part: &LocalPart) -> bool {
        let aliases = self.aliases();
        candidates(&local_part.as_str().to_lowercase()).any(|name| aliases.get(name).is_some())
    }

    /// Follows aliases to their ends. The error is the system's: users could not be
    /// looked up.
    pub(super) fn resolve(&self, local_part: &LocalPart) -> std::io::Result<Resolution> {
        let mut resolution = Resolution::default();
        let aliases = self.aliases();
        let first = Target::Name(local_part.as_str().to_lowercase());
        let mut waiting = vec![(first, 0)];
        let mut seen = Vec::new();
        while let Some((target, depth)) = waiting.pop() {
            if seen.contains(&target) {
                continue;
            }
            if depth > DEPTH || seen.len() >= TARGETS {
                let problem =
                    format!("aliases lead on and on: more than {DEPTH} deep or {TARGETS}");
                resolution.problems.push(problem);
                break;
            }
            for next in self.step(&target, &aliases, &mut resolution)? {
                waiting.push((next, depth + 1));
            }
            seen.push(target);
        }
        resolution.users.sort();
        resolution.users.dedup();
        Ok(resolution)
    }

    fn step(
        &self,
        target: &Target,
        aliases: &Aliases,
        resolution: &mut Resolution,
    ) -> std::io::Result<Vec<Target>> {
        match target {
            Target::Name(name) => return self.step_name(name, aliases, resolution),
            Target::User(name) => match find_user(name)? {
                Some(account) => resolution.users.push(account.name),
                None => resolution.missing.push(name.clone()),
            },
            Target::Address(address) if self.is_ours(address) => {
                let name = address.local_part().as_str().to_lowercase();
                return Ok(vec![Target::Name(name)]);
            }
            Target::Address(address) => resolution.remote.push(address.clone()),
            Target::Unsupported(what) => resolution.problems.push(what.to_string()),
        }
        Ok(Vec::new())
    }

    fn step_name(
        &self,
        name: &str,
        aliases: &Aliases,
        resolution: &mut Resolution,
    ) -> std::io::Result<Vec<Target>> {
        for candidate in candidates(name) {
            if let Some(targets) = aliases.get(candidate) {
                // An alias that names itself means the user of that name.
                let itself = |target: &Target| *target == Target::Name(candidate.to_owned());
                let follow = |target: &Target| match itself(target) {
                    true => Target::User(candidate.to_owned()),
                    false => target.clone(),
                };
                return Ok(targets.iter().map(follow).collect());
            }
            if let Some(account) = find_user(candidate)? {
                resolution.users.push(account.name);
                return Ok(Vec::new());
            }
            if let Some(target) = required_target(candidate) {
                return Ok(vec![Target::Name(target.to_owned())]);
            }
        }
        resolution.missing.push(name.to_owned());
        Ok(Vec::new())
    }

    fn is_ours(&self, address: &Address) -> bool {
        self.config.get().domains.contains(address.domain())
    }

    fn is_user(&self, name: &str) -> bool {
        let now = Instant::now();
        if let Some((known, until)) = lock(&self.users).get(name)
            && *until > now
        {
            return *known;
        }
        let Ok(found) = find_user(name) else {
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

    fn aliases(&self) -> Arc<Aliases> {
        let path = self.config.get().local.aliases.clone();
        let now = Instant::now();
        let mut slot = lock(&self.aliases);
        if let Some(loaded) = slot.as_mut()
            && loaded.path == path
        {
            if now.duration_since(loaded.looked) < LOOK_AGAIN {
                return Arc::clone(&loaded.aliases);
            }
            loaded.looked = now;
            if loaded.stamp == stamp(&path) {
                return Arc::clone(&loaded.aliases);
            }
        }
        // The stamp comes first: a change while reading is seen at the next look.
        let stamp = stamp(&path);
        let aliases = Arc::new(read_aliases(&path));
        let loaded =
            Loaded { path, stamp, looked: now, aliases: Arc::clone(&aliases), fresh: true };
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
        let path = loaded.path.display();
        aliases.warnings.iter().map(|warning| format!("{path}: {warning}")).collect()
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
fn candidates(name: &str) -> impl Iterator<Item = &str> {
    let user = name.split_once('+').map(|(user, _)| user).filter(|user| !user.is_empty());
    std::iter::once(name).chain(user)
}

// RFC 5321 §4.5.1: postmaster always exists. Notifications name MAILER-DAEMON.
fn required_target(name: &str) -> Option<&'static str> {
    match name {
        "postmaster" => Some("root"),
        "mailer-daemon" | "abuse" => Some("postmaster"),
        _ => None,
    }
}

fn find_user(name: &str) -> std::io::Result<Option<Account>> {
    Account::find(name)
}

fn stamp(path: &Path) -> Stamp {
    let metadata = std::fs::metadata(path).ok()?;
    Some((metadata.dev(), metadata.ino(), metadata.size(), metadata.mtime(), metadata.mtime_nsec()))
}

fn read_aliases(path: &Path) -> Aliases {
    match std::fs::read(path) {
        Ok(bytes) => Aliases::parse(&String::from_utf8_lossy(&bytes)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Aliases::default(),
        Err(error) => {
            let mut aliases = Aliases::default();
            aliases.warnings.push(said_of!(
                "cannot be read, so there are no aliases: {error}",
                "no se puede leer, así que no hay alias: {error}"; error = system(&error)
            ));
            aliases
        }
    }
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
    fn aliases_are_followed_to_their_ends() {
        let dir = tempfile::tempdir().unwrap();
        let directory = directory(
            dir.path(),
            "staff: office, a@example.net, no-such-user\noffice: root, b@example.com\n\
             b: \\root, c@example.org\nroot: root, copy@example.net\n\
             x: y\ny: x\npipe: |cat\n",
        );
        let resolve = |name: &str| directory.resolve(&local(name)).unwrap();
        let staff = resolve("Staff");
        assert_eq!(staff.users, ["root"]);
        let mut remote: Vec<String> = staff.remote.iter().map(Address::to_string).collect();
        remote.sort();
        assert_eq!(remote, ["a@example.net", "c@example.org", "copy@example.net"]);
        assert_eq!(staff.missing, ["no-such-user"]);
        assert_eq!(resolve("root+tag").users, ["root"]);
        assert_eq!(resolve("x"), Resolution::default(), "a circle leads nowhere");
        assert!(resolve("pipe").problems[0].contains("never handed to a program"));
        assert_eq!(resolve("nobody-at-all").missing, ["nobody-at-all"]);
    }

    #[test]
    fn a_chain_that_is_too_long_ends() {
        let dir = tempfile::tempdir().unwrap();
        let chain: String = (0..100).map(|n| format!("a{n}: a{}\n", n + 1)).collect();
        let directory = directory(dir.path(), &chain);
        let resolution = directory.resolve(&local("a0")).unwrap();
        assert!(resolution.problems[0].contains("lead on and on"));
    }

    #[test]
    fn a_changed_file_is_read_again_and_its_warnings_are_told_once() {
        let dir = tempfile::tempdir().unwrap();
        let directory = directory(dir.path(), "one: root\nbad\n");
        assert_eq!(directory.new_warnings().len(), 1);
        assert_eq!(directory.new_warnings(), Vec::<String>::new());
        std::fs::write(dir.path().join("aliases"), "two: root\n").unwrap();
        if let Some(loaded) = lock(&directory.aliases).as_mut() {
            loaded.looked = Instant::now().checked_sub(LOOK_AGAIN).unwrap();
        }
        assert!(directory.knows(&local("two")) && !directory.knows(&local("one")));
    }
}
