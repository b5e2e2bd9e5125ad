//! Aliases whose mail comes to nobody: they are right in form, and mail for them is lost to
//! whoever it was meant for. `newaliases` follows all of them, which no delivery does.

use std::collections::{BTreeSet, HashSet};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use puerto_smtp::{Address, LocalPart};

use super::account::Account;
use super::aliases::{Aliases, Target, on_line};
use super::directory::{OtherNames, Standing};
use super::expansion::{Expander, Resolution, UserBox};
use super::watched::{Names, read};
use crate::cause::Cause;
use crate::config::{Config, Who};
use crate::lang::{Said, said, said_of};
use crate::rights::{self, Identity};
use crate::route;

/// Where in the aliases file, or in that of `[virtual]`, a name leads to nobody, read as the
/// service's user would. The error is that of the file, or of the system's users, who could not
/// be looked up.
pub fn dead_ends(
    config: &Arc<Config>,
    service: Option<&Identity>,
) -> io::Result<Vec<(PathBuf, Said)>> {
    let file = &config.local.aliases;
    rights::act(service, || {
        let (text, owner) = read(file)?;
        let aliases = Arc::new(<Aliases as Names>::parse(&text, owner));
        let names = OtherNames::of_files(config, Arc::clone(&aliases));
        let mut all: Vec<_> =
            told(&names, &aliases)?.into_iter().map(|what| (file.clone(), what)).collect();
        if let Some(file) = &config.virtual_addresses.file {
            all.extend(of_table(&names)?.into_iter().map(|what| (file.clone(), what)));
        }
        Ok(all)
    })
}

/// Somebody whom the server itself, or this machine, writes to: who has that mail in the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reader {
    /// The key by which that can be changed.
    pub key: &'static str,
    /// The address that is written to.
    pub address: Address,
    /// Whether somebody has it.
    pub standing: Standing,
    /// Names that nobody has, or that lead in a circle.
    pub missing: Vec<String>,
}

impl Reader {
    /// That nobody has it, since there is nobody at the end.
    pub fn nobody(&self) -> Said {
        said!(
            "mail to {address} comes to nobody, as there is no {who}: notices of this server are lost",
            "el correo a {address} no llega a nadie, pues no existe {who}: los avisos de este \
             servidor se pierden";
            address = self.address, who = self.missing.join(", ")
        )
    }

    /// The same, since the LMTP server knows none of these.
    pub fn unknown(&self, whom: &[Address]) -> Said {
        said!(
            "mail to {address} comes to nobody, as the LMTP server does not know {who}: notices of \
             this server are lost, and strangers' mail comes back to them",
            "el correo a {address} no llega a nadie, pues el servidor LMTP no conoce a {who}: los \
             avisos de este servidor se pierden y el correo ajeno vuelve a quien lo envió";
            address = self.address, who = listed(whom)
        )
    }

    /// That the LMTP server could not be asked about these, and why not.
    pub fn not_asked(&self, whom: &[Address], why: &Cause) -> Said {
        said_of!(
            "whether the LMTP server knows {who}, who gets the mail to {address}, could not be \
             asked: {why}",
            "no se ha podido preguntar si el servidor LMTP conoce a {who}, que recibe el correo a \
             {address}: {why}";
            who = Said::words(listed(whom)), address = Said::words(self.address.to_string()),
            why = why.said()
        )
    }
}

fn listed(whom: &[Address]) -> String {
    whom.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// Who has postmaster's mail and root's, aliases followed as delivery does and read as the
/// service's user would. Whoever is elsewhere is not known here. The error is that of the
/// aliases, or of the system's users.
pub fn readers(config: &Arc<Config>, service: Option<&Identity>) -> io::Result<Vec<Reader>> {
    let at_home = |name: &str| {
        let domain = config.domains.first()?.clone();
        Some(Address::new(LocalPart::parse(name).ok()?, domain))
    };
    let whom = [
        ("postmaster", config.postmaster.clone()),
        ("local.postmaster", at_home("postmaster")),
        ("local.aliases", at_home("root")),
    ];
    let whom = whom.into_iter().filter_map(|(key, address)| Some((key, address?)));
    let here: Vec<_> =
        whom.filter(|(_, address)| route::is_here(config, address.domain())).collect();
    let found = rights::act(service, || {
        let (text, owner) = match read(&config.local.aliases) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Default::default(),
            found => found?,
        };
        let aliases = Arc::new(<Aliases as Names>::parse(&text, owner));
        let names = OtherNames::of_files(config, aliases);
        let follow = |(_, address): &(_, Address)| Expander::new(&names).recipient(address);
        here.iter().map(follow).collect::<io::Result<Vec<_>>>()
    })?;
    let mut readers: Vec<Reader> = Vec::new();
    for ((key, address), found) in here.into_iter().zip(found) {
        let around = found.circles.iter().flatten();
        let missing: Vec<String> = found.missing.iter().chain(around).cloned().collect();
        let may_forward = found.boxes.iter().any(forwards);
        let standing = match found.standing(config) {
            Standing::Asked(whom)
                if may_forward
                    || whom.iter().any(|one| route::is_relayed(config, one.domain())) =>
            {
                Standing::Known
            }
            standing => standing,
        };
        // Where some read it, whoever does not is no fault.
        let missing = if standing == Standing::Known { Vec::new() } else { missing };
        let reader = Reader { key, address, standing, missing };
        let is_same = |known: &Reader| {
            (&known.standing, &known.missing) == (&reader.standing, &reader.missing)
        };
        // What ends with somebody of whom it has been told is told once.
        if !readers.iter().any(is_same) {
            readers.push(reader);
        }
    }
    Ok(readers)
}

// A user's `.forward` has its say before an LMTP server. Where it cannot be seen, there may be one.
fn forwards(user_box: &UserBox) -> bool {
    let missing = [io::ErrorKind::NotFound, io::ErrorKind::NotADirectory];
    let forward = match Account::find(&user_box.user) {
        Ok(Some(account)) => std::fs::symlink_metadata(account.home.join(".forward")),
        Ok(None) => return false,
        Err(_) => return true,
    };
    user_box.forward && !forward.is_err_and(|error| missing.contains(&error.kind()))
}

fn told(names: &OtherNames, aliases: &Aliases) -> io::Result<Vec<Said>> {
    let (mut told, mut known, mut met) = (Vec::new(), HashSet::new(), HashSet::new());
    for (line, name, targets) in aliases.in_order() {
        let found = Expander::new(names).name(name)?;
        for missing in missing(&found, &names.config) {
            // Where another alias leads here, that is no fault of its own.
            let is_alias = aliases.get(&missing).is_some();
            let is_named = targets.iter().any(|target| names_it(target, &missing));
            let is_listed = targets.iter().any(|target| matches!(target, Target::List(_)));
            if is_alias || !(is_named || is_listed) || !known.insert((line, missing.clone())) {
                continue;
            }
            told.push(on_line(line, &nobody(name, &missing)));
        }
        told.extend(circles(name, &found, &mut met).iter().map(|what| on_line(line, what)));
    }
    Ok(told)
}

// Of an address that leads on to an entry of its own, that entry is told alone.
fn of_table(names: &OtherNames) -> io::Result<Vec<Said>> {
    let (mut told, mut met) = (Vec::new(), HashSet::new());
    for (line, address) in names.filed() {
        let found = Expander::new(names).recipient(&address)?;
        let entry = names.entry(&address).and_then(|entry| entry.targets.ok()).unwrap_or_default();
        let shown = address.to_string();
        for missing in missing(&found, &names.config) {
            if entry.iter().any(|target| names_it(target, &missing)) {
                told.push(on_line(line, &nobody(&shown, &missing)));
            }
        }
        told.extend(circles(&shown, &found, &mut met).iter().map(|what| on_line(line, what)));
    }
    Ok(told)
}

/// Circles that the entries of `[virtual]` lead in, read as the service's user would: those of
/// its map, and those of its file with it and their lines.
pub fn circles_of_virtual(
    config: &Arc<Config>,
    service: Option<&Identity>,
) -> io::Result<Vec<(Option<PathBuf>, Said)>> {
    rights::act(service, || {
        let (text, owner) = read(&config.local.aliases).unwrap_or_default();
        let aliases = Arc::new(<Aliases as Names>::parse(&text, owner));
        let names = OtherNames::of_files(config, aliases);
        let (mut told, mut met) = (Vec::new(), HashSet::new());
        for (who, _) in &config.virtual_addresses.map {
            let Who::Address(address) = who else { continue };
            let found = Expander::new(&names).recipient(address)?;
            let circles = circles(&address.to_string(), &found, &mut met);
            told.extend(circles.into_iter().map(|what| (None, what)));
        }
        for (line, address) in names.filed() {
            let found = Expander::new(&names).recipient(&address)?;
            let circles = circles(&address.to_string(), &found, &mut met);
            let file = &config.virtual_addresses.file;
            told.extend(circles.iter().map(|what| (file.clone(), on_line(line, what))));
        }
        Ok(told)
    })
}

// The circles that a name is in, each told once of any, or that it alone comes to.
fn circles(name: &str, found: &Resolution, met: &mut HashSet<BTreeSet<String>>) -> Vec<Said> {
    let is_lost = found.is_empty();
    let of_circle = |circle: &Vec<String>| {
        let at = circle.iter().position(|member| member.eq_ignore_ascii_case(name));
        if !is_lost && (at.is_none() || !met.insert(circle.iter().cloned().collect())) {
            return None;
        }
        let (before, from) = circle.split_at_checked(at.unwrap_or_default())?;
        let around = from.iter().chain(before).chain(from.first());
        let around = around.map(|member| format!("`{member}`")).collect::<Vec<_>>().join(" → ");
        Some(match is_lost {
            true => said!(
                "`{name}` leads in a circle, and mail for it to nobody: {around}",
                "`{name}` lleva en círculo y su correo, a nadie: {around}";
                name = name, around = around
            ),
            false => said!(
                "`{name}` leads in a circle, and to those alone that it names besides: {around}",
                "`{name}` lleva en círculo, y solo a quienes nombra además: {around}";
                name = name, around = around
            ),
        })
    };
    found.circles.iter().filter_map(of_circle).collect()
}

fn nobody(name: &str, missing: &str) -> Said {
    said!(
        "`{name}`: there is neither a user nor an alias `{missing}`",
        "`{name}`: no hay ni usuario ni alias `{missing}`"; name = name, missing = missing
    )
}

// Of a list that has an owner, those who do not exist are the owner's to hear of.
fn missing(found: &Resolution, config: &Config) -> Vec<String> {
    let to_owners = found.remote.iter().filter(|onward| onward.owner.is_some());
    let ours = to_owners.filter(|onward| route::is_local(config, onward.address.domain()));
    let ours = ours.map(|onward| onward.address.local_part().as_str().to_owned());
    found.missing.iter().cloned().chain(ours).collect()
}

fn names_it(target: &Target, missing: &str) -> bool {
    match target {
        Target::Name(name) | Target::User(name) => name == missing,
        Target::Address(address) | Target::UserAt(address) => {
            let name = address.local_part().as_str();
            let is_it = |missing: Address| missing == *address;
            name.eq_ignore_ascii_case(missing) || Address::parse(missing).is_ok_and(is_it)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn names_that_lead_to_nobody_are_told_with_their_line() {
        let dir = tempfile::tempdir().unwrap();
        let list = dir.path().join("list");
        std::fs::write(&list, "root\nno-such-member\n").unwrap();
        let text = format!(
            "postmaster: office\noffice: root, no-such-user\na: b\nb: A@example.com\n\
             self: self\nroot: root, ops@example.net\nmembers: :include:{}\n\
             owned: no-such-owned\nowner-owned: root\ngone: nobody-here@example.com\n\
             null: /dev/null\nfar: a@example.net\ntag: root+x\n",
            list.display()
        );
        std::fs::write(dir.path().join("aliases"), text).unwrap();
        let config = Arc::new(Config::for_tests(dir.path()));
        let told = dead_ends(&config, None).unwrap();
        let told: Vec<String> = told.iter().map(|(_, what)| what.to_string()).collect();
        let nobody = |line, name, missing| {
            format!("line {line}: `{name}`: there is neither a user nor an alias `{missing}`")
        };
        let circle = |line, name, around| {
            format!("line {line}: `{name}` leads in a circle, and mail for it to nobody: {around}")
        };
        assert_eq!(
            told,
            [
                nobody(2, "office", "no-such-user"),
                circle(3, "a", "`a` → `b` → `a`"),
                circle(4, "b", "`b` → `a` → `b`"),
                circle(5, "self", "`self` → `self`"),
                nobody(7, "members", "no-such-member"),
                nobody(8, "owned", "no-such-owned"),
                nobody(10, "gone", "nobody-here"),
            ],
        );
        assert!(dead_ends(&Arc::new(Config::for_tests(Path::new("/nonexistent"))), None).is_err());
        let file = dir.path().join("virtual");
        let text = "a@example.org root, no-one\nb@example.org c@example.org\nc@example.org \
                    b@example.org\nd@example.org gone\n@example.org root\ne@example.org a@example.net\n";
        std::fs::write(&file, text).unwrap();
        let mut config = Config::for_tests(dir.path());
        config.virtual_addresses.domains = vec![puerto_smtp::Domain::parse("example.org").unwrap()];
        config.virtual_addresses.file = Some(file.clone());
        let told = dead_ends(&Arc::new(config), None).unwrap();
        let told = told.iter().filter(|(of, _)| *of == file).map(|(_, what)| what.to_string());
        assert_eq!(
            told.collect::<Vec<_>>(),
            [
                nobody(1, "a@example.org", "no-one"),
                circle(2, "b@example.org", "`b@example.org` → `c@example.org` → `b@example.org`"),
                circle(3, "c@example.org", "`c@example.org` → `b@example.org` → `c@example.org`"),
            ],
        );
        let map = "[virtual]\ndomains = [\"example.org\"]\n[virtual.map]\n\
                   \"x@example.org\" = \"y@example.org\"\n\"y@example.org\" = \"x@example.org\"\n\
                   \"z@example.org\" = \"root\"\n";
        let mut config = Config::parse(map, "").unwrap();
        config.virtual_addresses.file = Some(file.clone());
        let told = circles_of_virtual(&Arc::new(config), None).unwrap();
        assert_eq!(told.iter().filter(|(of, _)| of.is_some()).count(), 2, "{told:?}");
        let told = told.iter().filter(|(of, _)| of.is_none()).map(|(_, what)| what.to_string());
        let told: Vec<String> = told.collect();
        assert_eq!(told.len(), 2, "{told:?}");
        assert!(
            told[0].ends_with("`x@example.org` → `y@example.org` → `x@example.org`"),
            "{told:?}"
        );
    }

    #[test]
    fn whoever_reads_postmasters_mail_is_followed_to_the_end() {
        let dir = tempfile::tempdir().unwrap();
        let of = |aliases: &str, text: &str| {
            std::fs::write(dir.path().join("aliases"), aliases).unwrap();
            let file = dir.path().join("aliases");
            let text =
                format!("hostname = \"mail.example.com\"\ndomains = [\"example.com\"]\n{text}\n");
            let mut config = Config::parse(&text, "test").unwrap();
            config.local.aliases = file;
            let readers = readers(&Arc::new(config), None).unwrap();
            let told = readers.into_iter().map(|reader| match reader.standing {
                Standing::Known => format!("{} known", reader.key),
                Standing::Unsaid(why) => format!("{} {why}", reader.key),
                Standing::Unknown => format!("{} ?{}", reader.key, reader.missing.join(" ")),
                Standing::Asked(whom) => {
                    let whom: Vec<_> = whom.iter().map(ToString::to_string).collect();
                    format!("{} {}", reader.key, whom.join(" "))
                }
            });
            told.collect::<Vec<_>>().join(", ")
        };
        let lmtp = "[local]\nmailbox = \"lmtp:/run/lmtp\"";
        for (aliases, text, expected) in [
            ("", "", "local.postmaster known"),
            ("postmaster: root\nroot: no-such\n", "", "local.postmaster ?no-such"),
            ("postmaster: root, no-such\n", "", "local.postmaster known"),
            ("postmaster: a\na: b\nb: a\n", "", "local.postmaster ?a b, local.aliases known"),
            (
                "",
                "postmaster = \"no-such@example.com\"",
                "postmaster ?no-such, local.postmaster known",
            ),
            ("", "postmaster = \"ops@elsewhere.example\"", "local.postmaster known"),
            (
                "",
                "[local]\npostmaster = \"no-such\"",
                "local.postmaster ?no-such, local.aliases known",
            ),
            ("", "[local]\npostmaster = \"ops@elsewhere.example\"", "local.postmaster known"),
            ("", lmtp, "local.postmaster root@example.com"),
            ("postmaster: root\nroot: ana\n", lmtp, "local.postmaster ana@example.com"),
            (
                "postmaster: ana\n",
                lmtp,
                "local.postmaster ana@example.com, local.aliases root@example.com",
            ),
            (
                "postmaster: /dev/null\nroot: root\n",
                lmtp,
                "local.postmaster known, local.aliases root@example.com",
            ),
        ] {
            assert_eq!(of(aliases, text), expected, "{aliases:?} {text}");
        }
    }

    #[test]
    fn a_circle_that_leads_out_somewhere_is_told_once_with_its_members() {
        let dir = tempfile::tempdir().unwrap();
        let text = "into: one\none: two, out@example.net\ntwo: three\nthree: One\n\
                    root: root, admin@example.net\n";
        std::fs::write(dir.path().join("aliases"), text).unwrap();
        let told = dead_ends(&Arc::new(Config::for_tests(dir.path())), None).unwrap();
        let told: Vec<String> = told.iter().map(|(_, what)| what.to_string()).collect();
        let around = "`one` → `two` → `three` → `one`";
        assert_eq!(
            told,
            [format!(
                "line 2: `one` leads in a circle, and to those alone that it names besides: {around}"
            )]
        );
    }
}
