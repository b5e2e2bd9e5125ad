//! Aliases whose mail comes to nobody: they are right in form, and mail for them is lost to
//! whoever it was meant for. `newaliases` follows all of them, which no delivery does.

use std::collections::HashSet;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use puerto_smtp::Address;

use super::aliases::{Aliases, Target, on_line};
use super::directory::OtherNames;
use super::expansion::{Expander, Resolution};
use super::watched::{Names, read};
use crate::config::Config;
use crate::lang::{Said, said};
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

/// Whether mail to postmaster comes to the mailbox of `root`, read as the service's user would.
pub fn root_reads_postmaster(config: &Arc<Config>, service: Option<&Identity>) -> io::Result<bool> {
    rights::act(service, || {
        let (text, owner) = match read(&config.local.aliases) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Default::default(),
            found => found?,
        };
        let aliases = Arc::new(<Aliases as Names>::parse(&text, owner));
        let names = OtherNames::of_files(config, aliases);
        let found = Expander::new(&names).name("postmaster")?;
        Ok(found.boxes.iter().any(|known| known.user == "root"))
    })
}

fn told(names: &OtherNames, aliases: &Aliases) -> io::Result<Vec<Said>> {
    let (mut told, mut known) = (Vec::new(), HashSet::new());
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
        if found.is_empty() {
            told.push(on_line(line, &circle(name)));
        }
    }
    Ok(told)
}

// Of an address that leads on to an entry of its own, that entry is told alone.
fn of_table(names: &OtherNames) -> io::Result<Vec<Said>> {
    let mut told = Vec::new();
    for (line, address) in names.filed() {
        let found = Expander::new(names).recipient(&address)?;
        let entry = names.entry(&address).and_then(|entry| entry.targets.ok()).unwrap_or_default();
        let shown = address.to_string();
        for missing in missing(&found, &names.config) {
            if entry.iter().any(|target| names_it(target, &missing)) {
                told.push(on_line(line, &nobody(&shown, &missing)));
            }
        }
        if found.is_empty() {
            told.push(on_line(line, &circle(&shown)));
        }
    }
    Ok(told)
}

fn circle(name: &str) -> Said {
    said!(
        "`{name}` leads in a circle, and mail for it to nobody",
        "`{name}` lleva en círculo y su correo, a nadie"; name = name
    )
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
        let circle = |line, name| {
            format!("line {line}: `{name}` leads in a circle, and mail for it to nobody")
        };
        assert_eq!(
            told,
            [
                nobody(2, "office", "no-such-user"),
                circle(3, "a"),
                circle(4, "b"),
                circle(5, "self"),
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
                circle(2, "b@example.org"),
                circle(3, "c@example.org"),
            ],
        );
    }
}
