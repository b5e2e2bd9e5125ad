//! Where a name's mail goes in the end: aliases followed through names, addresses of ours
//! and lists, to mailboxes and addresses elsewhere, each once.
//!
//! A name that its own expansion meets again, however it is written there, means the
//! mailbox of the user of that name, as `root: root, admin@example.net` is meant; where
//! there is no such user it leads in a circle and is left out.

use std::collections::{BTreeSet, HashSet};
use std::io;
use std::path::Path;

use puerto_smtp::{Address, LocalPart};

use super::account::Account;
use super::aliases::{self, Aliases, Target, listed};
use super::directory::{candidates, required_target};
use crate::cause::Cause;
use crate::config::Config;
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
    /// Names that nobody has.
    pub(super) missing: Vec<String>,
    /// What an alias names but this server does not do, or a chain without end.
    pub(super) problems: Vec<Cause>,
    /// Lists that cannot be read now.
    pub(super) unread: Vec<Cause>,
    /// What in lists is read as it is meant, though it is not written so.
    pub(super) remarks: Vec<String>,
    /// Names whose aliases say that mail is thrown away.
    pub(super) discards: Vec<String>,
}

/// Follows what a name stands for, until only mailboxes and addresses are left.
pub(super) struct Expander<'a> {
    aliases: &'a Aliases,
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
}

impl<'a> Expander<'a> {
    /// For one name, of which nothing has been followed yet.
    pub(super) fn new(aliases: &'a Aliases, config: &'a Config) -> Self {
        let (found, seen, waiting) = Default::default();
        Self { aliases, config, found, seen, waiting }
    }

    /// Where mail for a local part in lower case goes.
    pub(super) fn name(self, name: &str) -> io::Result<Resolution> {
        let target = Target::Name(name.to_owned());
        self.follow(vec![Step { target, through: Vec::new(), owner: None }])
    }

    /// Where the text of a user's `.forward` sends mail. What this server does not do is
    /// a warning there, and the user's own mailbox gets a copy in its place.
    pub(super) fn forward(self, user: &str, text: &str) -> io::Result<(Resolution, Vec<String>)> {
        let (targets, warnings) = listed(text);
        let mut warnings: Vec<String> = warnings.iter().map(ToString::to_string).collect();
        let is_done = |target: &Target| !matches!(target, Target::Unsupported(_) | Target::List(_));
        let (done, undone): (Vec<_>, Vec<_>) = targets.into_iter().partition(is_done);
        for target in &undone {
            if let Target::List(path) = target {
                warnings.push(format!("{}: a `.forward` includes no lists", path.display()));
            }
        }
        let step = |target| Step { target, through: Vec::new(), owner: None };
        let mut found = self.follow(done.into_iter().map(step).collect())?;
        let missing = std::mem::take(&mut found.missing).into_iter();
        let missing = missing.map(|user| Cause::NoSuchUser { user });
        let wrong = missing.chain(std::mem::take(&mut found.problems));
        let wrong = wrong.chain(std::mem::take(&mut found.unread));
        warnings.extend(wrong.map(|cause| cause.to_string()));
        warnings.append(&mut found.remarks);
        let nowhere =
            found.boxes.is_empty() && found.remote.is_empty() && found.discards.is_empty();
        if !undone.is_empty() || nowhere {
            found.boxes.insert(UserBox { user: user.to_owned(), forward: false });
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
            Target::Address(address) if route::is_local(self.config, address.domain()) => {
                return self.step_name(&address.local_part().as_str().to_lowercase(), step);
            }
            Target::Address(address) => self.elsewhere(address.clone(), step.owner),
            Target::User(name) => return self.mailbox(name, step.owner),
            Target::UserAt(address) if route::is_local(self.config, address.domain()) => {
                return self.mailbox(&address.local_part().as_str().to_lowercase(), step.owner);
            }
            Target::UserAt(address) => self.elsewhere(address.clone(), step.owner),
            Target::Nowhere => {
                self.found.discards.push(step.through.last().cloned().unwrap_or_default());
            }
            Target::List(path) => self.list(&path.clone(), &step),
            Target::Unsupported(what) => self.found.problems.push(what.clone()),
        }
        Ok(())
    }

    // RFC 5321 §3.9.2: failures of a list's members are the list's owner's to hear of.
    fn step_name(&mut self, name: &str, step: Step) -> io::Result<()> {
        for candidate in candidates(name) {
            let was_here = step.through.iter().any(|alias| alias == candidate);
            if let Some(targets) = self.aliases.get(candidate).filter(|_| !was_here) {
                if !self.seen.insert((b'n', candidate.to_owned())) {
                    return Ok(());
                }
                let owner = format!("owner-{candidate}");
                let owner = self.aliases.get(&owner).map(|_| owner).or(step.owner);
                let mut through = step.through;
                through.push(candidate.to_owned());
                let steps = targets.iter().map(|target| Step {
                    target: target.clone(),
                    through: through.clone(),
                    owner: owner.clone(),
                });
                self.wait(steps.collect());
                return Ok(());
            }
            if let Some(account) = Account::find(candidate)? {
                self.found.boxes.insert(UserBox { user: account.name, forward: true });
                return Ok(());
            }
            if let Some(target) = required_target(candidate) {
                let mut through = step.through;
                through.push(candidate.to_owned());
                let target = Target::Name(target.to_owned());
                self.waiting.push(Step { target, through, owner: step.owner });
                return Ok(());
            }
            if was_here {
                return self.circle(candidate, &step.through);
            }
        }
        self.nobody(name, step.owner);
        Ok(())
    }

    // The circle may have passed a user, who has no other way to be meant.
    fn circle(&mut self, closed_by: &str, through: &[String]) -> io::Result<()> {
        for name in through.iter().rev().take_while(|name| *name != closed_by) {
            if let Some(account) = Account::find(name)? {
                self.found.boxes.insert(UserBox { user: account.name, forward: true });
                break;
            }
        }
        Ok(())
    }

    fn mailbox(&mut self, name: &str, owner: Option<String>) -> io::Result<()> {
        for candidate in candidates(name) {
            if let Some(account) = Account::find(candidate)? {
                self.found.boxes.insert(UserBox { user: account.name, forward: false });
                return Ok(());
            }
        }
        self.nobody(name, owner);
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

    fn list(&mut self, path: &Path, step: &Step) {
        let shown = path.display();
        if !self.seen.insert((b'l', shown.to_string())) {
            return;
        }
        let text = match aliases::read(path) {
            Ok(text) => text,
            Err(error) => {
                let (list, error) = (shown.to_string(), error.into());
                self.found.unread.push(Cause::ListUnread { list, error });
                return;
            }
        };
        let (targets, warnings) = listed(&text);
        let remarks = warnings.iter().map(|what| format!("{shown}: {what}"));
        self.found.remarks.extend(remarks);
        let steps = targets.into_iter().map(|target| Step { target, ..step.clone() });
        self.wait(steps.collect());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(aliases: &str, name: &str) -> Resolution {
        let aliases = Aliases::parse(aliases);
        let mut config = Config::for_tests(Path::new("/nonexistent"));
        config.hostname = "mail.example.com".into();
        Expander::new(&aliases, &config).name(name).unwrap()
    }

    // Mailboxes, addresses, names that nobody has: each sorted, `!` before a mailbox that
    // no `.forward` has a say in.
    fn told(found: &Resolution) -> String {
        let mark = |b: &UserBox| if b.forward { "" } else { "!" };
        let boxes = found.boxes.iter().map(|b| format!("{}{}", mark(b), b.user));
        let remote = found.remote.iter().map(|onward| match &onward.owner {
            Some(owner) => format!("{}/{owner}", onward.address),
            None => onward.address.to_string(),
        });
        let missing = found.missing.iter().map(|name| format!("?{name}"));
        let discards = found.discards.iter().map(|name| format!("{name}>"));
        boxes.chain(remote).chain(missing).chain(discards).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn an_alias_that_names_itself_in_any_way_is_its_users_own_mailbox_once() {
        for target in [
            "root@example.com",
            "ROOT@Example.COM",
            "root+tag@example.com",
            "root@localhost",
            "root@localhost.localdomain",
            "root@mail.example.com",
            "root@[127.0.0.1]",
            "root",
            "root+tag",
            "<root@example.com>",
            "office",
            "postmaster",
            "root, root@example.com, Root",
        ] {
            let aliases =
                format!("root: {target}, admin@example.net, ADMIN@example.net\noffice: root\n");
            for name in ["root", "root+x", "office"] {
                let found = resolve(&aliases, name);
                assert_eq!(told(&found), "root admin@example.net", "{target}, to {name}");
                assert_eq!(found.problems, [], "{target}");
            }
        }
        for target in ["\\root", "\\root@example.com", "\\ROOT+x@localhost"] {
            let found = resolve(&format!("root: {target}, a@example.net\n"), "root");
            assert_eq!(told(&found), "!root a@example.net", "{target}");
        }
    }

    #[test]
    fn aliases_are_followed_to_their_ends_each_target_once() {
        let aliases = "staff: office, a@example.net, no-such-user\noffice: root, b@example.com\n\
             b: \\daemon, c@example.org, a@example.net\nroot: root, copy@example.net\n\
             x: y, a@example.net\ny: x, root\nempty: void\nvoid: empty\n\
             null: /dev/null\nsome: root@example.com, /dev/null\n\
             postmaster: postmaster@example.com\nremote: \\luis@example.net\n\
             daemon: bin\nbin: daemon\n";
        for (name, expected) in [
            ("staff", "!daemon root a@example.net c@example.org copy@example.net ?no-such-user"),
            ("root+tag", "root copy@example.net"),
            ("x", "root a@example.net copy@example.net"),
            ("y", "root a@example.net copy@example.net"),
            ("empty", ""),
            ("null", "null>"),
            ("some", "root copy@example.net some>"),
            ("postmaster", "root copy@example.net"),
            ("abuse", "root copy@example.net"),
            ("remote", "luis@example.net"),
            ("daemon", "daemon"),
            ("bin", "bin"),
            ("nobody-at-all", "?nobody-at-all"),
        ] {
            assert_eq!(told(&resolve(aliases, name)), expected, "{name}");
        }
        assert!(
            resolve("pipe: |cat\n", "pipe").problems[0]
                .text()
                .contains("never handed to a program")
        );
    }

    #[test]
    fn a_chain_that_is_too_long_ends() {
        let chain: String = (0..100).map(|n| format!("a{n}: a{}\n", n + 1)).collect();
        assert!(resolve(&chain, "a0").problems[0].text().contains("lead on and on"));
    }

    #[test]
    fn a_list_has_an_owner_who_hears_of_failures() {
        let aliases = "staff: a@example.net, inner, root, no-such-user\nowner-staff: root\n\
             inner: b@example.net\nowner-inner: root\nplain: c@example.net\n\
             outer: plain\nowner-outer: root\n";
        assert_eq!(
            told(&resolve(aliases, "staff")),
            "root a@example.net/owner-staff b@example.net/owner-inner \
             no-such-user@example.com/owner-staff"
        );
        assert_eq!(told(&resolve(aliases, "plain")), "c@example.net");
        assert_eq!(told(&resolve(aliases, "outer")), "c@example.net/owner-outer");
    }

    #[test]
    fn an_included_list_is_read_and_one_that_cannot_be_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("members");
        let aliases = format!("staff: :include:{}, z@example.net\n", file.display());
        let unread = resolve(&aliases, "staff");
        assert!(unread.unread[0].text().contains("cannot be read"), "{:?}", unread.unread);
        assert_eq!(told(&unread), "z@example.net");
        std::fs::write(&file, "# members\nroot, a@example.net\nstaff\n|cat\n").unwrap();
        let found = resolve(&aliases, "staff");
        assert_eq!(told(&found), "root a@example.net z@example.net");
        assert_eq!((found.problems.len(), found.remarks.len()), (1, 1));
        std::fs::remove_file(&file).unwrap();
        let mode = nix::sys::stat::Mode::from_bits_truncate(0o600);
        nix::unistd::mkfifo(&file, mode).unwrap();
        assert!(resolve(&aliases, "staff").unread[0].text().contains("not a regular file"));
    }

    #[test]
    fn a_forward_file_sends_on_and_keeps_what_it_cannot_send() {
        let aliases = Aliases::parse("root: root, admin@example.net\nteam: daemon\n");
        let config = Config::for_tests(Path::new("/nonexistent"));
        for (text, expected, warnings) in [
            ("ana@example.net\n", "ana@example.net", 0),
            ("\\bin, ana@example.net\n", "!bin ana@example.net", 0),
            ("\\bin@example.com\nana@example.net", "!bin ana@example.net", 0),
            ("team", "daemon", 0),
            ("bin", "bin", 0),
            ("\"|/usr/bin/vacation bin\"\n", "!bin", 1),
            ("ana@example.net, \"|/usr/bin/procmail\"", "!bin ana@example.net", 1),
            ("/home/bin/mail/", "!bin", 1),
            (":include:/etc/passwd", "!bin", 1),
            ("/dev/null", ">", 0),
            ("no-such-user", "!bin", 1),
            ("no-such-user, ana@example.net", "ana@example.net", 1),
            ("", "!bin", 0),
            ("# ana@example.net\n", "!bin", 0),
            ("ana@example.net luis@example.net", "ana@example.net luis@example.net", 1),
        ] {
            let (found, told_of) = Expander::new(&aliases, &config).forward("bin", text).unwrap();
            assert_eq!(told(&found), expected, "{text}");
            assert_eq!(told_of.len(), warnings, "{text}: {told_of:?}");
        }
    }
}
