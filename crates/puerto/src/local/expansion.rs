//! Where a name's mail goes in the end: aliases followed through names, addresses of ours
//! and lists, to mailboxes and addresses elsewhere, each once.
//!
//! A name that its own expansion meets again, however it is written there, means the
//! mailbox of the user of that name, as `root: root, admin@example.net` is meant; where
//! there is no such user it leads in a circle and is left out.

use std::collections::{BTreeSet, HashSet};
use std::io;
use std::path::Path;

use puerto_smtp::{Address, Domain, LocalPart};

use super::account::Account;
use super::aliases::{Target, list_unread, listed, not_allowed, told};
use super::deed::{By, Deed, What};
use super::directory::{Back, OtherNames, Standing, candidates, is_required};
use super::table::Entry;
use super::watched::{self, Owner};
use crate::cause::Cause;
use crate::config::{Config, Destination, Mailbox, NamedIn};
use crate::lang::{Said, said, said_of};
use crate::route;

/// Aliases that lead to aliases, and targets of one name, at most.
const DEPTH: usize = 20;
const TARGETS: usize = 10_000;

/// A mailbox that mail goes to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct UserBox {
    /// The user, by name.
    pub(super) user: String,
    /// Whether the user's `.forward` has a say first.
    pub(super) forward: bool,
    /// What stood behind the name, with its delimiter, for a `.forward` of its own.
    pub(super) extension: String,
    /// Where an LMTP server has the mailboxes: the address that it knows this one by.
    pub(super) address: Option<Address>,
}

impl UserBox {
    /// The mailbox alone, whatever stood behind the user's name.
    pub(super) fn without_extension(&self) -> Self {
        Self { extension: String::new(), ..self.clone() }
    }
}

/// An address that mail goes on to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Onward {
    /// The address elsewhere that it goes on to.
    pub(super) address: Address,
    /// Who hears of failures instead of the sender: a name of ours.
    pub(super) owner: Option<String>,
}

/// What a name comes to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Resolution {
    /// Mailboxes of this machine, each once.
    pub(super) boxes: BTreeSet<UserBox>,
    /// Addresses elsewhere, each once.
    pub(super) remote: BTreeSet<Onward>,
    /// Commands and files that get it, each once.
    pub(super) deeds: BTreeSet<Deed>,
    /// Names that nobody has.
    pub(super) missing: Vec<String>,
    /// What an alias names but this server may not do, or a chain without end.
    pub(super) problems: Vec<Cause>,
    /// What cannot be read now, or understood: lists, targets, entries.
    pub(super) unread: Vec<Cause>,
    /// What in lists is read as it is meant, though it is not written so.
    pub(super) remarks: Vec<Said>,
    /// OtherNames whose aliases say that mail is thrown away.
    pub(super) discards: Vec<String>,
    /// Names and entries that lead to each other and by this to nobody, in this order.
    pub(super) circles: Vec<Vec<String>>,
}

impl Resolution {
    /// Whether there is neither anybody nor anything wrong: it led in a circle.
    pub(super) fn is_empty(&self) -> bool {
        let (remarks, circles) = (self.remarks.clone(), self.circles.clone());
        *self == Self { remarks, circles, ..Self::default() }
    }

    /// Whether there is somebody behind it.
    pub(super) fn standing(self, config: &Config) -> Standing {
        match self.unread.into_iter().next() {
            None => {}
            // What the line says is nobody's but the administrator's.
            Some(Cause::Target { .. }) => return Standing::Unsaid(Cause::AliasesUnsaid {}),
            Some(why) => return Standing::Unsaid(why),
        }
        let sure = !self.discards.is_empty()
            || !self.deeds.is_empty()
            || self.boxes.iter().any(|user_box| user_box.address.is_none())
            || self.remote.iter().any(|to| !route::is_relayed(config, to.address.domain()));
        if sure {
            return Standing::Known;
        }
        let boxes = self.boxes.into_iter().filter_map(|user_box| user_box.address);
        let asked: Vec<_> = boxes.chain(self.remote.into_iter().map(|to| to.address)).collect();
        if asked.is_empty() { Standing::Unknown } else { Standing::Asked(asked) }
    }
}

/// Follows what a name stands for, until only mailboxes and addresses are left.
pub(super) struct Expander<'a> {
    names: &'a OtherNames,
    config: &'a Config,
    found: Resolution,
    seen: HashSet<(u8, String)>,
    waiting: Vec<Step>,
}

#[derive(Clone)]
struct Step {
    target: Target,
    /// The aliases that led here, outermost first.
    through: Vec<String>,
    owner: Option<String>,
    /// The domain that a name was written with.
    domain: Option<Domain>,
    /// What names the target, and on whose word a command is run.
    named: (NamedIn, Spoken),
}

/// Whose word something is.
#[derive(Debug, Clone)]
enum Spoken {
    /// A file's that has this owner.
    By(Owner),
    /// A user's own.
    User(String),
}

impl Step {
    fn first(target: Target) -> Self {
        let named = (NamedIn::Alias, Spoken::By(Owner::default()));
        Self { target, through: Vec::new(), owner: None, domain: None, named }
    }

    /// Where this one leads by the name of `key`.
    fn on_to(&self, key: &str, target: Target) -> Self {
        let mut through = self.through.clone();
        through.push(key.to_owned());
        Self { target, through, ..self.clone() }
    }
}

impl<'a> Expander<'a> {
    /// For one name, of which nothing has been followed yet.
    pub(super) fn new(names: &'a OtherNames) -> Self {
        let (found, seen, waiting) = Default::default();
        Self { names, config: &names.config, found, seen, waiting }
    }

    /// Where mail for an address that ends here goes. One whose domain is no name of ours is
    /// at this machine's own address.
    pub(super) fn recipient(self, address: &Address) -> io::Result<Resolution> {
        if route::is_here(self.config, address.domain()) {
            return self.follow(vec![Step::first(Target::Address(address.clone()))]);
        }
        self.name(&address.local_part().as_str().to_lowercase())
    }

    /// Where mail for a local part in lower case goes.
    pub(super) fn name(self, name: &str) -> io::Result<Resolution> {
        self.follow(vec![Step::first(Target::Name(name.to_owned()))])
    }

    /// Where the text of a user's `.forward` sends mail. What this server does not do is
    /// a warning there, and the user's own mailbox gets a copy in its place.
    pub(super) fn forward(self, user: &str, text: &str) -> io::Result<(Resolution, Vec<Said>)> {
        let (targets, warnings) = listed(text);
        let mut warnings = told(&warnings, &self.config.local, NamedIn::Forward);
        let local = &self.config.local;
        let (commands, files) = (&local.allow_commands, &local.allow_files);
        let is_done = |target: &Target| match target {
            Target::Unsupported(_) | Target::List(_) => false,
            Target::Command(_) => commands.contains(&NamedIn::Forward),
            Target::File(_) => files.contains(&NamedIn::Forward),
            _ => true,
        };
        let (done, undone): (Vec<_>, Vec<_>) = targets.into_iter().partition(is_done);
        for target in &undone {
            if let Target::List(path) = target {
                warnings.push(said!(
                    "{file}: a `.forward` includes no lists",
                    "{file}: un `.forward` no incluye listas"; file = path.display()
                ));
            }
        }
        let address = self.known_by(user, None);
        let named = (NamedIn::Forward, Spoken::User(user.to_owned()));
        let first = |target| Step { named: named.clone(), ..Step::first(target) };
        let mut found = self.follow(done.into_iter().map(first).collect())?;
        let missing = std::mem::take(&mut found.missing).into_iter();
        let missing = missing.map(|user| Cause::NoSuchUser { user });
        let wrong = missing.chain(std::mem::take(&mut found.problems));
        let wrong = wrong.chain(std::mem::take(&mut found.unread));
        warnings.extend(wrong.map(|cause| cause.said()));
        warnings.append(&mut found.remarks);
        let nowhere = found.boxes.is_empty()
            && found.remote.is_empty()
            && found.discards.is_empty()
            && found.deeds.is_empty();
        if !undone.is_empty() || nowhere {
            found.boxes.insert(UserBox {
                user: user.to_owned(),
                forward: false,
                address,
                extension: String::new(),
            });
        }
        Ok((found, warnings))
    }

    fn follow(mut self, first: Vec<Step>) -> io::Result<Resolution> {
        self.wait(first);
        while let Some(step) = self.waiting.pop() {
            if step.through.len() > DEPTH || self.seen.len() >= TARGETS {
                let (depth, targets) = (DEPTH as u64, TARGETS as u64);
                self.found.problems.push(Cause::AliasesWithoutEnd { depth, targets });
                break;
            }
            self.step(step)?;
        }
        Ok(self.found)
    }

    // The first is the next to be followed.
    fn wait(&mut self, steps: Vec<Step>) {
        self.waiting.extend(steps.into_iter().rev());
    }

    fn step(&mut self, step: Step) -> io::Result<()> {
        match &step.target {
            Target::Name(name) => return self.step_name(&name.clone(), step),
            Target::Address(address) => return self.step_address(&address.clone(), step),
            Target::User(name) => return self.mailbox(&name.clone(), step),
            Target::UserAt(address) if route::is_local(self.config, address.domain()) => {
                let name = address.local_part().as_str().to_lowercase();
                let domain = Some(address.domain().clone());
                return self.mailbox(&name, Step { domain, ..step });
            }
            Target::UserAt(address) => self.elsewhere(address.clone(), step.owner),
            Target::Nowhere => {
                self.found.discards.push(step.through.last().cloned().unwrap_or_default());
            }
            Target::List(path) => self.list(&path.clone(), &step),
            Target::Command(command) => {
                let what = What::Command(command.clone());
                self.deed(what, &self.config.local.allow_commands, &step);
            }
            Target::File(path) => {
                self.deed(What::File(path.clone()), &self.config.local.allow_files, &step);
            }
            Target::Unsupported(what) => self.found.unread.push(what.clone()),
        }
        Ok(())
    }

    // An entry that its own targets come back to is done with: what is left of the address
    // is what it would be without the entry.
    fn step_address(&mut self, address: &Address, step: Step) -> io::Result<()> {
        match self.names.back(address) {
            Some(Ok(sender)) => {
                self.waiting.push(step.on_to(&address.to_string(), Target::Address(sender)));
                return Ok(());
            }
            Some(Err(Back::Wrong)) => {
                self.nobody(&address.to_string(), step.owner);
                return Ok(());
            }
            Some(Err(Back::Unread(why))) => {
                self.found.unread.push(why);
                return Ok(());
            }
            None => {}
        }
        let is_virtual = route::is_virtual(self.config, address.domain());
        if !is_virtual && !route::is_local(self.config, address.domain()) {
            self.elsewhere(address.clone(), step.owner);
            return Ok(());
        }
        let name = address.local_part().as_str().to_lowercase();
        let entry = self.names.entry(address);
        let entry_key = entry.as_ref().map(|entry| entry.key.clone());
        let came_round = entry_key.as_ref().is_some_and(|key| step.through.contains(key));
        let entry = entry.filter(|_| !came_round);
        // Who lives here comes before those who catch what is for nobody.
        let is_for_all = |entry: &Entry| entry.is_catch_all;
        let lives_here = match &entry {
            Some(entry) if is_for_all(entry) && !is_virtual => self.lives_here(&name)?,
            Some(entry) if is_for_all(entry) => self.required(&name).is_some(),
            _ => false,
        };
        if let Some(entry) = entry.filter(|_| !lives_here) {
            if !self.seen.insert((b'v', format!("{} {name}", entry.key))) {
                return Ok(());
            }
            match entry.targets {
                Ok(targets) => {
                    let targets = targets.into_iter();
                    self.wait(targets.map(|target| step.on_to(&entry.key, target)).collect());
                }
                Err(line) => {
                    let file = self.config.virtual_addresses.file.as_deref();
                    let file = file.map(|file| file.display().to_string()).unwrap_or_default();
                    self.found.unread.push(Cause::EntryBroken { file, line: line as u64 });
                }
            }
            return Ok(());
        }
        if !is_virtual {
            let domain = Some(address.domain().clone());
            return self.step_name(&name, Step { domain, ..step });
        }
        match self.required(&name) {
            Some(target) => self.waiting.push(step.on_to(&name, target)),
            None => match entry_key.filter(|_| came_round) {
                Some(key) => self.found.circles.push(members(&key, &step.through)),
                None => self.nobody(&address.to_string(), step.owner),
            },
        }
        Ok(())
    }

    // Whether a name means somebody without any entry for its whole domain. Where an LMTP
    // server has the mailboxes, only it knows, and the entry is for all.
    fn lives_here(&self, name: &str) -> io::Result<bool> {
        let aliases = &self.names.aliases;
        for candidate in candidates(name, &self.config.local.recipient_delimiter) {
            if aliases.get(candidate).is_some() || is_required(candidate) {
                return Ok(true);
            }
            if !self.is_lmtp() && Account::find(candidate)?.is_some() {
                return Ok(true);
            }
        }
        Ok(aliases.owner_of_request(name).is_some())
    }

    fn is_lmtp(&self) -> bool {
        matches!(self.config.local.mailbox, Mailbox::Lmtp(_))
    }

    // RFC 5321 §4.5.1: what a name that every server must know means without an alias.
    fn required(&self, name: &str) -> Option<Target> {
        let known = candidates(name, &self.config.local.recipient_delimiter);
        let known = known.last().filter(|name| is_required(name))?;
        Some(match (known, &self.config.local.postmaster) {
            ("postmaster", Some(Destination::Address(address)))
                if !is_required(&address.local_part().as_str().to_lowercase()) =>
            {
                Target::Address(address.clone())
            }
            ("postmaster", Some(Destination::User(user)))
                if !is_required(&user.as_str().to_lowercase()) =>
            {
                Target::Name(user.as_str().to_lowercase())
            }
            ("postmaster", _) => Target::Name("root".to_owned()),
            _ => Target::Name("postmaster".to_owned()),
        })
    }

    // RFC 5321 §3.9.2: failures of a list's members are the list's owner's to hear of.
    fn step_name(&mut self, name: &str, step: Step) -> io::Result<()> {
        let names = self.names;
        for candidate in candidates(name, &names.config.local.recipient_delimiter) {
            let was_here = step.through.iter().any(|alias| alias == candidate);
            if let Some(targets) = names.aliases.get(candidate).filter(|_| !was_here) {
                if !self.seen.insert((b'n', candidate.to_owned())) {
                    return Ok(());
                }
                let owner = format!("owner-{candidate}");
                let owner = names.aliases.get(&owner).map(|_| owner).or(step.owner.clone());
                let named = (NamedIn::Alias, Spoken::By(names.aliases.owner));
                let step = Step { owner, named, ..step };
                let steps = targets.iter().map(|target| step.on_to(candidate, target.clone()));
                self.wait(steps.collect());
                return Ok(());
            }
            if let Some(account) = Account::find(candidate)? {
                self.put(account.name, (name, &step), true);
                return Ok(());
            }
            if let Some(target) = self.required(candidate) {
                self.waiting.push(step.on_to(candidate, target));
                return Ok(());
            }
            if was_here {
                return self.circle(candidate, &step);
            }
        }
        if let Some(owner) = names.aliases.owner_of_request(name) {
            self.waiting.push(step.on_to(name, Target::Name(owner)));
        } else if self.is_lmtp() {
            self.put(name.to_owned(), (name, &step), false);
        } else {
            self.nobody(name, step.owner);
        }
        Ok(())
    }

    fn put(&mut self, user: String, (name, step): (&str, &Step), forward: bool) {
        let address = self.known_by(name, step.domain.as_ref());
        let behind = name.get(user.len()..).filter(|_| forward && name.starts_with(&user));
        // It is part of a file's name.
        let behind = behind.filter(|behind| behind.len() < 200 && !behind.contains(['/', '\0']));
        let extension = behind.unwrap_or_default().to_owned();
        self.found.boxes.insert(UserBox { user, forward, extension, address });
    }

    // What an LMTP server knows a name by: its address in the domain that it came with, if
    // that is one of those whose users it has.
    fn known_by(&self, name: &str, domain: Option<&Domain>) -> Option<Address> {
        if !self.is_lmtp() {
            return None;
        }
        let domain = domain.or(self.config.domains.first())?.clone();
        LocalPart::from_unquoted(name).ok().map(|name| Address::new(name, domain))
    }

    // The circle may have passed a user, who has no other way to be meant.
    fn circle(&mut self, closed_by: &str, step: &Step) -> io::Result<()> {
        for name in step.through.iter().rev().take_while(|name| *name != closed_by) {
            if let Some(account) = Account::find(name)? {
                self.put(account.name, (name, step), true);
                return Ok(());
            }
        }
        self.found.circles.push(members(closed_by, &step.through));
        Ok(())
    }

    fn mailbox(&mut self, name: &str, step: Step) -> io::Result<()> {
        for candidate in candidates(name, &self.config.local.recipient_delimiter) {
            if let Some(account) = Account::find(candidate)? {
                self.put(account.name, (name, &step), false);
                return Ok(());
            }
        }
        match self.is_lmtp() {
            true => self.put(name.to_owned(), (name, &step), false),
            false => self.nobody(name, step.owner),
        }
        Ok(())
    }

    fn elsewhere(&mut self, address: Address, owner: Option<String>) {
        if self.seen.insert((b'a', address.to_string().to_lowercase())) {
            self.found.remote.insert(Onward { address, owner });
        }
    }

    // A list's member that does not exist is its owner's affair, whom the notification
    // about a copy of its own reaches.
    fn nobody(&mut self, name: &str, owner: Option<String>) {
        if !self.seen.insert((b'm', name.to_owned())) {
            return;
        }
        let domain = self.config.domains.first().cloned();
        match (owner, LocalPart::from_unquoted(name), domain) {
            (Some(owner), Ok(local_part), Some(domain)) => {
                let address = Address::new(local_part, domain);
                self.found.remote.insert(Onward { address, owner: Some(owner) });
            }
            _ => self.found.missing.push(name.to_owned()),
        }
    }

    // Whoever may write the file that names it has all that its owner may do.
    fn deed(&mut self, what: What, allowed: &[NamedIn], step: &Step) {
        let (place, spoken) = &step.named;
        if !allowed.contains(place) {
            self.found.problems.extend(not_allowed(&step.target));
            return;
        }
        let by = match spoken {
            Spoken::By(Owner { is_open: true, .. }) => {
                self.found.problems.push(Cause::NamedByAnybody {});
                return;
            }
            Spoken::By(owner) => By::Owner(owner.uid),
            Spoken::User(user) => By::User(user.clone()),
        };
        self.found.deeds.insert(Deed { what, by });
    }

    fn list(&mut self, path: &Path, step: &Step) {
        let shown = path.display();
        if !self.seen.insert((b'l', shown.to_string())) {
            return;
        }
        let (text, owner) = match watched::read(path) {
            Ok(read) => read,
            Err(error) => {
                self.found.unread.push(list_unread(path, error));
                return;
            }
        };
        let (targets, warnings) = listed(&text);
        let warnings = told(&warnings, &self.config.local, NamedIn::Include);
        let remarks = warnings.into_iter().map(|what| {
            let list = Said::words(shown.to_string());
            said_of!("{list}: {what}", "{list}: {what}"; list = list, what = what)
        });
        self.found.remarks.extend(remarks);
        let named = (NamedIn::Include, Spoken::By(owner));
        let steps =
            targets.into_iter().map(|target| Step { target, named: named.clone(), ..step.clone() });
        self.wait(steps.collect());
    }
}

// What lies in a circle, from the one that closes it on.
fn members(closed_by: &str, through: &[String]) -> Vec<String> {
    through.iter().skip_while(|name| *name != closed_by).cloned().collect()
}

#[cfg(test)]
mod tests;
