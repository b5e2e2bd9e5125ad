//! Which local parts exist: users of the system, aliases, and the names that every
//! mail server must know.

use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use puerto_smtp::{Address, LocalPart};
use puerto_spool::clock::{Clock as _, SystemClock};
use tokio::time::Instant;

use super::account::Account;
use super::aliases::{Aliases, Target, waits_for};
use super::expansion::{Expander, Resolution};
use super::srs::{self, Srs, is_rewritten};
use super::table::{Entry, Table};
use super::watched::{Names as _, News, Watched, read};
use crate::cause::Cause;
use crate::config::{Config, Live, Mailbox};
use crate::lang::Said;
use crate::route;

/// How long an answer about a user is remembered: new users wait less than old ones
/// would cost.
const KNOWN_FOR: Duration = Duration::from_secs(60);
const UNKNOWN_FOR: Duration = Duration::from_secs(10);
/// Answers remembered at most, so that a flood of names costs little memory.
const ANSWERS: usize = 10_000;
/// Targets of an alias up to which it is found out at the door whether they exist.
const FOLLOWED: usize = 20;

/// The users of this machine and their other names.
#[derive(Debug)]
pub struct Directory {
    config: Live,
    users: Mutex<HashMap<String, (bool, Instant)>>,
    aliases: Watched<Aliases>,
    /// The file of `[virtual]`, and the entries that the configuration has itself.
    table: Watched<Table>,
    written: Mutex<Option<(Arc<Config>, Arc<Table>)>>,
    srs: Mutex<Option<(Arc<Config>, Arc<Srs>)>>,
}

/// All other names that there are now.
pub(super) struct OtherNames {
    pub(super) config: Arc<Config>,
    pub(super) aliases: Arc<Aliases>,
    written: Arc<Table>,
    file: Option<Arc<Table>>,
    /// What senders of forwarded mail are read with, or why they cannot be.
    srs: Option<Result<Arc<Srs>, Cause>>,
}

impl OtherNames {
    /// The entry of `[virtual]` that holds for an address: the configuration's own come
    /// before the file's, and what is about one address before what is about a domain.
    pub(super) fn entry(&self, address: &Address) -> Option<Entry> {
        let written = self.written.find(&self.config, address);
        if written.as_ref().is_some_and(|entry| !entry.is_catch_all) {
            return written;
        }
        let filed = self.file.as_ref().and_then(|file| file.find(&self.config, address));
        match (written, filed) {
            (Some(written), Some(filed)) if filed.is_catch_all => Some(written),
            (written, filed) => filed.or(written),
        }
    }
}

impl OtherNames {
    /// What a name stands for, if it is an alias.
    fn targets(&self, name: &str) -> &[Target] {
        let mut known = candidates(name, &self.config.local.recipient_delimiter);
        known.find_map(|name| self.aliases.get(name)).unwrap_or_default()
    }

    /// Whose mail comes back to this address, if it is one that this server has made, or
    /// somebody would have us think so.
    pub(super) fn back(&self, address: &Address) -> Option<Result<Address, Back>> {
        let domain = self.config.srs.domain.as_ref()?;
        if address.domain() != domain || !is_rewritten(address) {
            return None;
        }
        match self.srs.as_ref()? {
            Ok(srs) => srs.back(address, today()).map(|back| back.map_err(|_| Back::Wrong)),
            Err(why) => Some(Err(Back::Unread(why.clone()))),
        }
    }
}

// Whether an alias may lead to names that nobody has, or to what the configuration does not
// allow, and to nothing else: who sends to it is told at the door. Members of lists, and of
// longer aliases, are for delivery to follow.
fn may_be_nobodys(targets: &[Target]) -> bool {
    let is_list = |target: &Target| matches!(target, Target::List(_));
    (1..=FOLLOWED).contains(&targets.len()) && !targets.iter().any(is_list)
}

/// Why mail that comes back goes nowhere.
pub(super) enum Back {
    /// This server has not made the address, or too long ago.
    Wrong,
    /// It cannot be told now.
    Unread(Cause),
}

// Days since 1970.
fn today() -> u64 {
    u64::try_from(SystemClock.now().as_secs() / 86_400).unwrap_or_default()
}

impl OtherNames {
    /// The addresses that the file of `[virtual]` is about, each with its line.
    pub(super) fn filed(&self) -> Vec<(usize, Address)> {
        self.file.iter().flat_map(|file| file.addresses().iter().cloned()).collect()
    }

    /// As the files say it now, for a look that sends nothing back.
    pub(super) fn of_files(config: &Arc<Config>, aliases: Arc<Aliases>) -> Self {
        let written = Arc::new(Table::of(&config.virtual_addresses));
        let file = config.virtual_addresses.file.as_deref().and_then(|file| read(file).ok());
        let file = file.map(|(text, owner)| Arc::new(Table::parse(&text, owner)));
        Self { config: Arc::clone(config), aliases, written, file, srs: None }
    }
}

#[cfg(test)]
impl OtherNames {
    /// These aliases and entries, and no others.
    pub(super) fn for_tests(config: Config, aliases: &str) -> Self {
        let written = Arc::new(Table::of(&config.virtual_addresses));
        let aliases = Arc::new(Aliases::parse(aliases));
        let srs = config.srs.domain.clone();
        let srs = srs.map(|domain| Ok(Arc::new(Srs::new(b"secret", domain))));
        Self { config: Arc::new(config), aliases, written, file: None, srs }
    }
}

/// Whether there is somebody behind an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// There is, as far as can be told.
    Known,
    /// There is not.
    Unknown,
    /// Those know it who have the mailboxes of these addresses.
    Asked(Vec<Address>),
    /// It cannot be found out now, for this reason.
    Unsaid(Cause),
}

impl Directory {
    /// Follows the configuration in force.
    pub fn new(config: Live) -> Self {
        let (users, aliases, table, written, srs) = Default::default();
        Self { config, users, aliases, table, written, srs }
    }

    /// Whether mail for an address would be taken: an entry of `[virtual]`, an alias, a user,
    /// or one of these with an extension.
    ///
    /// Answers are remembered for a while. One that is not may block on the system's
    /// user directory.
    pub fn standing(&self, address: &Address) -> Standing {
        let unsaid =
            |error: io::Error| Standing::Unsaid(Cause::UsersUnknown { error: error.into() });
        let name = address.local_part().as_str().to_lowercase();
        if candidates(&name, &self.config.get().local.recipient_delimiter).any(is_required) {
            return Standing::Known;
        }
        let names = match self.names() {
            Ok(names) => names,
            Err(error) => return unsaid(error),
        };
        let config = &names.config;
        let delimiter = &config.local.recipient_delimiter;
        let is_lmtp = matches!(config.local.mailbox, Mailbox::Lmtp(_));
        let targets = names.targets(&name);
        let is_plain = names.back(address).is_none()
            && !route::is_virtual(config, address.domain())
            && names.entry(address).is_none()
            && (!is_lmtp || !self.is_alias(address.local_part()))
            && !may_be_nobodys(targets);
        if !is_plain {
            return self.resolve(address).map_or_else(unsaid, |found| found.standing(config));
        }
        if is_lmtp {
            return Standing::Asked(vec![address.clone()]);
        }
        if let Some(why) = waits_for(targets) {
            return Standing::Unsaid(why);
        }
        let known = candidates(&name, delimiter)
            .any(|name| names.aliases.get(name).is_some() || self.is_user(name))
            || names.aliases.owner_of_request(&name).is_some();
        if known { Standing::Known } else { Standing::Unknown }
    }

    /// Whether mail for a local part comes to a mailbox here or to an address elsewhere,
    /// all aliases followed. The error is the system's: users, or the aliases, could not be
    /// looked up.
    /// It may block on the system's user directory.
    pub fn reaches_somebody(&self, local_part: &LocalPart) -> io::Result<bool> {
        let names = self.names()?;
        let name = local_part.as_str().to_lowercase();
        let resolution = Expander::new(&names).name(&name)?;
        Ok(!resolution.boxes.is_empty() || !resolution.remote.is_empty())
    }

    /// Whether more than a mailbox may stand behind an address: an alias or an entry of
    /// `[virtual]`; there may be one if the files cannot be read.
    pub(super) fn has_rule(&self, address: &Address) -> bool {
        let Ok(names) = self.names() else { return true };
        route::is_virtual(&names.config, address.domain())
            || names.back(address).is_some()
            || names.entry(address).is_some()
            || self.is_alias(address.local_part())
    }

    fn is_alias(&self, local_part: &LocalPart) -> bool {
        let Ok(aliases) = self.aliases() else { return true };
        let name = local_part.as_str().to_lowercase();
        let config = self.config.get();
        candidates(&name, &config.local.recipient_delimiter)
            .any(|name| is_required(name) || aliases.get(name).is_some())
            || aliases.owner_of_request(&name).is_some()
    }

    /// Follows an address to its ends. The error is the system's: users could not be
    /// looked up.
    pub(super) fn resolve(&self, address: &Address) -> io::Result<Resolution> {
        Expander::new(&self.names()?).recipient(address)
    }

    /// Follows what a user's `.forward` says. With it, what is wrong in the file.
    pub(super) fn resolve_forward(
        &self,
        user: &str,
        text: &str,
    ) -> io::Result<(Resolution, Vec<Said>)> {
        Expander::new(&self.names()?).forward(user, text)
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

    fn aliases(&self) -> io::Result<Arc<Aliases>> {
        self.aliases.get(&self.config.get().local.aliases)
    }

    fn names(&self) -> io::Result<OtherNames> {
        let config = self.config.get();
        let file = config.virtual_addresses.file.as_deref();
        Ok(OtherNames {
            aliases: self.aliases.get(&config.local.aliases)?,
            written: self.written(&config),
            file: file.map(|file| self.table.get(file)).transpose()?,
            srs: self.srs(&config),
            config,
        })
    }

    /// The sender under which mail of this one is sent on; `None`: its own.
    pub(super) fn sender_on(&self, sender: &Address) -> Result<Option<Address>, Cause> {
        let config = self.config.get();
        if route::is_here(&config, sender.domain()) {
            return Ok(None);
        }
        let srs = self.srs(&config).transpose()?;
        Ok(srs.and_then(|srs| srs.forward(sender, today())))
    }

    fn srs(&self, config: &Arc<Config>) -> Option<Result<Arc<Srs>, Cause>> {
        let domain = config.srs.domain.clone()?;
        let mut slot = lock(&self.srs);
        if let Some((made_of, srs)) = &*slot
            && Arc::ptr_eq(made_of, config)
        {
            return Some(Ok(Arc::clone(srs)));
        }
        let file = config.srs.secret_file.clone();
        let file = file.unwrap_or_else(|| config.state_dir.join("srs.secret"));
        Some(match srs::secret(&file, config.srs.secret_file.is_none()) {
            Ok(secret) => {
                let srs = Arc::new(Srs::new(&secret, domain));
                *slot = Some((Arc::clone(config), Arc::clone(&srs)));
                Ok(srs)
            }
            Err(error) => {
                Err(Cause::FileUnread { file: file.display().to_string(), error: error.into() })
            }
        })
    }

    // The configuration's own entries, made anew with another configuration.
    fn written(&self, config: &Arc<Config>) -> Arc<Table> {
        let mut slot = lock(&self.written);
        match &*slot {
            Some((made_of, table)) if Arc::ptr_eq(made_of, config) => Arc::clone(table),
            _ => {
                let table = Arc::new(Table::of(&config.virtual_addresses));
                *slot = Some((Arc::clone(config), Arc::clone(&table)));
                table
            }
        }
    }

    /// Reads the files of names if they have changed, and gives their warnings once for each
    /// change, each with the file's name.
    pub fn new_warnings(&self) -> Vec<String> {
        let config = self.config.get();
        let path = &config.local.aliases;
        let news = self.aliases.news(path);
        let mut told = told(path, news, |aliases: &Aliases| aliases.warnings(&config.local));
        if let Some(path) = &config.virtual_addresses.file {
            let news = self.table.news(path);
            told.extend(self::told(path, news, |table: &Table| table.warnings(&config)));
        }
        told
    }
}

fn told<T>(path: &Path, news: Option<News<T>>, warnings: impl Fn(&T) -> Vec<Said>) -> Vec<String> {
    match news {
        None => Vec::new(),
        Some(News::Read(names)) => {
            let path = path.display();
            warnings(&names).iter().map(|warning| format!("{path}: {warning}")).collect()
        }
        Some(News::Kept(why)) => vec![format!("{why}: what was read of it before holds")],
        Some(News::Nothing(why)) => vec![format!("{why}: mail for this machine's users waits")],
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What mail for one user has in common, whatever extension its address has: the
/// user's own name, or an alias, in lower case.
pub fn lane(local_part: &LocalPart) -> String {
    let name = local_part.as_str().to_lowercase();
    candidates(&name, "+").last().unwrap_or(&name).to_owned()
}

/// The name itself, then the part before an extension.
pub fn candidates<'a>(name: &'a str, delimiter: &str) -> impl Iterator<Item = &'a str> {
    let user = split(name, delimiter).map(|(user, _)| user);
    std::iter::once(name).chain(user)
}

/// A name and its extension, where the first of these characters parts them. What every mail
/// server must know, and what belongs to a list, is one name.
pub(super) fn split<'a>(name: &'a str, delimiter: &str) -> Option<(&'a str, &'a str)> {
    let is_whole = name == "mailer-daemon"
        || name.starts_with("owner-")
        || name.ends_with("-request") && delimiter.contains('-');
    if is_whole && !name.contains(|c| c != '-' && delimiter.contains(c)) {
        return None;
    }
    let (user, rest) = name.split_once(|c| delimiter.contains(c))?;
    (!user.is_empty()).then_some((user, rest))
}

/// Names that every mail server must know (RFC 5321 §4.5.1): postmaster always exists, and
/// notifications name MAILER-DAEMON.
pub(super) fn is_required(name: &str) -> bool {
    matches!(name, "postmaster" | "mailer-daemon" | "abuse")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn directory(dir: &Path, aliases: &str) -> Directory {
        std::fs::write(dir.join("aliases"), aliases).unwrap();
        Directory::new(Live::new(Config::for_tests(dir)))
    }

    fn at(name: &str) -> Address {
        Address::new(local(name), puerto_smtp::Domain::parse("example.com").unwrap())
    }

    fn knows(directory: &Directory, name: &str) -> bool {
        directory.standing(&at(name)) == Standing::Known
    }

    fn local(text: &str) -> LocalPart {
        LocalPart::from_unquoted(text).unwrap()
    }

    #[test]
    fn users_aliases_and_required_names_are_known() {
        let dir = tempfile::tempdir().unwrap();
        let aliases = "office: root\ngone: far-away\nfar-away: no-such-user\n\
                       half: no-such-user, root\nround: square\nsquare: round@example.com\n\
                       far: you@example.net\npipe: |cat\nboth: |cat, root\n";
        let directory = directory(dir.path(), aliases);
        for (name, known) in [
            ("root", true),
            ("ROOT", true),
            ("root+lists", true),
            ("office", true),
            ("Office+x", true),
            ("gone", false),
            ("gone+x", false),
            ("half", true),
            ("round", false),
            ("far", true),
            // What the configuration does not allow is nobody, too.
            ("pipe", false),
            ("both", true),
            ("Postmaster", true),
            ("MAILER-DAEMON", true),
            ("abuse", true),
            ("no-such-user", false),
            ("+x", false),
            ("../root", false),
            ("root/", false),
        ] {
            assert_eq!(knows(&directory, name), known, "{name}");
            assert_eq!(knows(&directory, name), known, "{name}, remembered");
        }
    }

    // Found by hand: a stranger's mail was taken, and went back to whomever it named.
    #[test]
    fn whom_a_broken_target_means_cannot_be_told_at_the_door() {
        let dir = tempfile::tempdir().unwrap();
        let list = |name: &str, text: &str| {
            let file = dir.path().join(name);
            std::fs::write(&file, text).unwrap();
            file.display().to_string()
        };
        let sound = list("sound", "root, a@example.net\n");
        let broken = list("broken", "root\n\"|echo\n");
        let above = list("above", &format!(":include:{broken}\n"));
        let aliases = format!(
            "relative: :include:lista.txt\nopen: \"|echo\nmixed: root, a@b@\n\
             long: {0}, a@b@\nlist: :include:{sound}\nin-list: :include:{broken}\n\
             in-inner: root, :include:{above}\ngone: :include:/nonexistent\n\
             on: open\nto-list: in-list\nto-gone: gone\npostmaster: open\n",
            vec!["root"; FOLLOWED + 1].join(", ")
        );
        let directory = directory(dir.path(), &aliases);
        for name in
            ["relative", "open", "Mixed", "mixed+x", "long", "in-list", "in-inner", "on", "to-list"]
        {
            let standing = directory.standing(&at(name));
            assert_eq!(standing, Standing::Unsaid(Cause::AliasesUnsaid {}), "{name}");
            let found = directory.resolve(&at(name)).unwrap();
            assert!(!found.unread.is_empty() && found.problems.is_empty(), "{name}: {found:?}");
        }
        for name in ["gone", "to-gone"] {
            let standing = directory.standing(&at(name));
            assert!(matches!(standing, Standing::Unsaid(Cause::ListUnread { .. })), "{standing:?}");
        }
        for name in ["list", "postmaster", "root"] {
            assert!(knows(&directory, name), "{name}");
        }
        assert_eq!(directory.standing(&at("no-such-user")), Standing::Unknown);
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
        assert!(knows(&directory, "two") && !knows(&directory, "one"));
    }

    fn look_again(directory: &Directory) {
        directory.aliases.look_again();
    }

    #[test]
    fn aliases_that_cannot_be_read_make_mail_wait_and_are_not_forgotten() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("aliases");
        std::fs::create_dir(&file).unwrap();
        let directory = Directory::new(Live::new(Config::for_tests(dir.path())));
        for _ in 0..2 {
            look_again(&directory);
            assert!(knows(&directory, "postmaster") && directory.is_alias(&local("x")));
            let standing = directory.standing(&at("no-such-user"));
            assert!(matches!(standing, Standing::Unsaid(_)), "{standing:?}");
            let error = directory.resolve(&at("root")).unwrap_err().to_string();
            assert!(error.contains("aliases cannot be read"), "{error}");
        }
        let told = directory.new_warnings();
        assert!(told.len() == 1 && told[0].contains("users waits"), "{told:?}");
        std::fs::remove_dir(&file).unwrap();
        std::fs::write(&file, "office: root\n").unwrap();
        look_again(&directory);
        assert!(knows(&directory, "office") && !knows(&directory, "no-such-user"));
        assert_eq!(directory.new_warnings(), Vec::<String>::new());
        // Gone, or in somebody's way: what was read of it holds.
        for is_in_the_way in [false, true] {
            std::fs::remove_file(&file).unwrap();
            if is_in_the_way {
                std::fs::create_dir(&file).unwrap();
            }
            for expected in [1, 0] {
                look_again(&directory);
                assert_eq!(directory.resolve(&at("office")).unwrap().boxes.len(), 1);
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
