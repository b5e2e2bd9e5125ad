//! Addresses that stand for others: `[virtual]`, and its file in Postfix's form, `address
//! target, target` on each line.
//!
//! The most particular entry holds: the whole address, then the address without its
//! extension, then the bare name where the domain's users live here, then `@domain`. An
//! extension that the entry does not name goes on to its targets, as with Postfix.
//!
//! An entry of the file that cannot be understood keeps its address: mail for it waits until
//! the line is mended. To pass over the line, as Postfix does, would give that mail to whoever
//! catches all of the domain, or send it back as if there were nobody of that name.

use std::collections::HashMap;
use std::path::PathBuf;

use puerto_smtp::{Address, Domain, LocalPart};

use super::aliases::{Target, logical_lines, on_line};
use super::directory::candidates;
use super::watched::{Names, Owner, read};
use crate::config::{Config, Destination, Destinations, Virtual, Who};
use crate::lang::{Said, said, said_of};
use crate::rights::{self, Identity};
use crate::route;

/// Entries by what they are about, as [`key`] writes it.
#[derive(Debug, Default)]
pub(super) struct Table {
    entries: HashMap<String, Held>,
    /// Domains that the file names on lines of their own, with their lines.
    domains: Vec<(usize, Domain)>,
    /// Domains that entries of the file are about, with their lines.
    about: Vec<(usize, Domain)>,
    /// Addresses that entries of the file are about, with their lines.
    addresses: Vec<(usize, Address)>,
    /// What is wrong with lines, and whether that makes mail wait.
    warnings: Vec<(bool, usize, Said)>,
}

/// What holds for an address: where it leads, or the line that does not say it.
type Held = Result<Vec<Destination>, usize>;

/// An entry that holds for an address.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// What it is about.
    pub(super) key: String,
    /// Whether it is about a whole domain.
    pub(super) is_catch_all: bool,
    /// Where it leads, or the line of the file that cannot be understood.
    pub(super) targets: Result<Vec<Target>, usize>,
}

impl Table {
    /// The entries that the configuration itself has.
    pub(super) fn of(config: &Virtual) -> Self {
        let mut table = Self::default();
        for (who, Destinations(targets)) in &config.map {
            table.entries.insert(key_of(who), Ok(targets.clone()));
        }
        table
    }

    fn line(&mut self, number: usize, line: &str) {
        let (left, right) = line.split_once([' ', '\t']).unwrap_or((line, ""));
        // `ana.gil` is a user of this machine all the same.
        let is_domain = psl::suffix(left.as_bytes()).is_some_and(|suffix| suffix.is_known());
        if let Ok(domain) = Domain::parse(left)
            && left.contains('.')
            && is_domain
        {
            // Postfix's way to say that the domain is a virtual one: what follows is nothing.
            self.domains.push((number, domain));
            return;
        }
        let who = match Who::parse(left) {
            Ok(who) => who,
            Err(why) => return self.is_broken((number, left), &why),
        };
        match &who {
            Who::Address(address) => {
                self.about.push((number, address.domain().clone()));
                self.addresses.push((number, address.clone()));
            }
            Who::Domain(domain) => self.about.push((number, domain.clone())),
            Who::User(_) => {}
        }
        let targets = Destinations::parse(right.trim());
        if let Err(why) = &targets {
            self.is_broken((number, left), why);
        }
        let held = targets.map(|Destinations(targets)| targets).map_err(|_| number);
        // Of a line before that is broken it has been told already.
        if let Some(Ok(_)) = self.entries.insert(key_of(&who), held) {
            let text = said!(
                "`{left}` stands here for the second time: this one holds",
                "`{left}` aparece aquí por segunda vez: vale esta"; left = left
            );
            self.warnings.push((false, number, text));
        }
    }

    fn is_broken(&mut self, (number, left): (usize, &str), why: &Said) {
        let text = said_of!(
            "`{left}`: {why}: write `address target, target`",
            "`{left}`: {why}: escriba `dirección destino, destino`";
            left = Said::words(left), why = why
        );
        self.warnings.push((true, number, text));
    }

    /// The lines that cannot be understood: mail for what they are about waits.
    fn broken(&self) -> impl Iterator<Item = (usize, &Said)> {
        self.warnings.iter().filter(|(broken, ..)| *broken).map(|(_, line, what)| (*line, what))
    }

    /// What is wrong with the file, the configuration's domains beside it.
    pub(super) fn warnings(&self, config: &Config) -> Vec<Said> {
        let warnings = self.warnings.iter();
        let mut warnings: Vec<Said> =
            warnings.map(|(_, line, what)| on_line(*line, what)).collect();
        let named = self.domains.iter().filter(|(_, domain)| !route::is_here(config, domain));
        let about = self.about.iter().filter(|(_, domain)| {
            !route::is_here(config, domain) && !self.domains.iter().any(|(_, own)| own == domain)
        });
        let mut told: Vec<&Domain> = Vec::new();
        for (line, domain) in named.chain(about) {
            if told.contains(&domain) {
                continue;
            }
            told.push(domain);
            let text = said!(
                "mail for `{domain}` does not come here: add it to `virtual.domains`",
                "el correo para `{domain}` no llega aquí: añádalo a `virtual.domains`";
                domain = domain
            );
            warnings.push(on_line(*line, &text));
        }
        warnings
    }

    /// The addresses that entries of the file are about, each with its line.
    pub(super) fn addresses(&self) -> &[(usize, Address)] {
        &self.addresses
    }

    /// The entry that holds for an address, if one does and `may` says that it may.
    pub(super) fn find(&self, config: &Config, address: &Address) -> Option<Entry> {
        if self.entries.is_empty() {
            return None;
        }
        let delimiter = &config.local.recipient_delimiter;
        let whole = address.local_part().as_str().to_lowercase();
        let is_local = route::is_local(config, address.domain());
        let domain = domain_key(address.domain());
        let mut names: Vec<String> = Vec::new();
        for name in candidates(&whole, delimiter) {
            names.push(format!("{name}@{domain}"));
        }
        if is_local {
            names.extend(candidates(&whole, delimiter).map(str::to_owned));
        }
        let found = names.iter().find_map(|name| Some((name, self.entries.get(name)?)));
        if let Some((key, targets)) = found {
            let bare = key.rsplit_once('@').map_or(key.as_str(), |(name, _)| name);
            let left = whole.strip_prefix(bare).unwrap_or_default();
            let targets = led(targets, address, left);
            return Some(Entry { key: key.clone(), is_catch_all: false, targets });
        }
        let key = format!("@{domain}");
        let targets = self.entries.get(&key)?;
        let targets = led(targets, address, "");
        Some(Entry { key, is_catch_all: true, targets })
    }
}

impl Names for Table {
    fn parse(text: &str, _: Owner) -> Self {
        let mut table = Self::default();
        for line in logical_lines(text) {
            table.line(line.number, &line.text);
        }
        table
    }

    fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    // Somebody has named it.
    const MAY_BE_MISSING: bool = false;
}

/// What in the file of `[virtual]` cannot be understood, or read by the service's user: for
/// `newaliases`.
pub fn table_warnings(config: &Config, service: Option<&Identity>) -> Vec<(PathBuf, Said)> {
    let Some(file) = &config.virtual_addresses.file else { return Vec::new() };
    let warnings = match rights::act(service, || read(file)) {
        Ok((text, owner)) => Table::parse(&text, owner).warnings(config),
        Err(error) => vec![said_of!(
            "cannot be read, so that mail for this machine's users waits: {error}",
            "no se puede leer, así que el correo para los usuarios de esta máquina espera: {error}";
            error = rights::said(&error)
        )],
    };
    warnings.into_iter().map(|warning| (file.clone(), warning)).collect()
}

/// The lines of the file of `[virtual]` that cannot be understood, so that mail for what they
/// are about waits. That the file cannot be read is for others to say.
pub fn broken_lines(config: &Config, service: Option<&Identity>) -> Vec<(usize, Said)> {
    let Some(file) = &config.virtual_addresses.file else { return Vec::new() };
    let Ok((text, owner)) = rights::act(service, || read(file)) else { return Vec::new() };
    let table = Table::parse(&text, owner);
    table.broken().map(|(line, what)| (line, what.clone())).collect()
}

fn led(held: &Held, address: &Address, left: &str) -> Result<Vec<Target>, usize> {
    let targets = held.as_ref().map_err(|line| *line)?;
    Ok(targets.iter().map(|target| lead(target, address, left)).collect())
}

// Where a target leads for an address whose extension, with its delimiter, is `left`.
fn lead(target: &Destination, address: &Address, left: &str) -> Target {
    match target {
        Destination::User(name) => Target::Name(format!("{}{left}", name.as_str()).to_lowercase()),
        Destination::Domain(domain) => Target::Address(address.with_domain(domain.clone())),
        Destination::Address(to) if left.is_empty() => Target::Address(to.clone()),
        Destination::Address(to) => {
            let name = LocalPart::from_unquoted(&format!("{}{left}", to.local_part().as_str()));
            let extended = name.map(|name| Address::new(name, to.domain().clone()));
            Target::Address(extended.unwrap_or_else(|_| to.clone()))
        }
    }
}

fn key_of(who: &Who) -> String {
    match who {
        Who::User(name) => name.as_str().to_lowercase(),
        Who::Address(address) => {
            let name = address.local_part().as_str().to_lowercase();
            format!("{name}@{}", domain_key(address.domain()))
        }
        Who::Domain(domain) => format!("@{}", domain_key(domain)),
    }
}

// U-labels and A-labels of one name are the same name (RFC 5890 §2.3.2.4).
fn domain_key(domain: &Domain) -> String {
    match domain.name().filter(|name| !name.is_ascii()) {
        Some(name) => idna::domain_to_ascii(name).unwrap_or_else(|_| name.to_owned()),
        None => domain.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn config() -> Config {
        let mut config = Config::for_tests(Path::new("/nonexistent"));
        config.virtual_addresses.domains = vec![Domain::parse("example.org").unwrap()];
        config
    }

    fn found(text: &str, address: &str) -> String {
        let table = Table::parse(text, Owner::default());
        let entry = table.find(&config(), &Address::parse(address).unwrap());
        let shown = |target: &Target| match target {
            Target::Name(name) => name.clone(),
            Target::Address(address) => address.to_string(),
            other => format!("{other:?}"),
        };
        entry.map_or("-".into(), |entry| match entry.targets {
            Ok(targets) => targets.iter().map(shown).collect::<Vec<_>>().join(" "),
            Err(line) => format!("line {line}"),
        })
    }

    #[test]
    fn the_most_particular_entry_holds_and_an_extension_goes_on() {
        let text = "# the form of virtual(5)\nexample.org anything\nana.gil gil\n\
            info@example.org ana,\n  luis@example.net\nInfo+news@Example.ORG news\n\
            @example.org catch@example.net\nroot ops@example.net\n\
            sales@example.com \"b c\"@example.net\n";
        for (address, expected) in [
            ("info@example.org", "ana luis@example.net"),
            ("INFO@example.org", "ana luis@example.net"),
            ("info+x@example.org", "ana+x luis+x@example.net"),
            ("info+news@example.org", "news"),
            ("other@example.org", "catch@example.net"),
            ("other+x@example.org", "catch@example.net"),
            ("root@example.com", "ops@example.net"),
            ("root+a+b@mail.example.com", "ops+a+b@example.net"),
            ("ana.gil@example.com", "gil"),
            ("root@example.org", "catch@example.net"),
            ("sales@example.com", "\"b c\"@example.net"),
            ("other@example.com", "-"),
            ("other@example.net", "-"),
        ] {
            assert_eq!(found(text, address), expected, "{address}");
        }
        let moved = "@example.org @example.net\n";
        assert_eq!(found(moved, "Ana+x@example.org"), "Ana+x@example.net");
    }

    #[test]
    fn what_a_broken_line_is_about_goes_to_nobody_else() {
        let text = "info@example.org |cat\n@example.org catch\nsales@example.org\n\
            twice@example.org ana\ntwice@example.org ana@\nonce@example.org ana@\n\
            once@example.org ana\nroot ops@@example.net\n@other.example catch@\n";
        for (address, expected) in [
            ("info@example.org", "line 1"),
            ("info+x@example.org", "line 1"),
            ("sales@example.org", "line 3"),
            ("other@example.org", "catch"),
            ("twice@example.org", "line 5"),
            ("once@example.org", "ana"),
            ("root@example.com", "line 8"),
            ("any@other.example", "line 9"),
        ] {
            assert_eq!(found(text, address), expected, "{address}");
        }
        let table = Table::parse(text, Owner::default());
        assert_eq!(table.broken().map(|(line, _)| line).collect::<Vec<_>>(), [1, 3, 5, 6, 8, 9]);
    }

    #[test]
    fn a_domain_is_one_name_in_either_alphabet() {
        let text = "ana@ma\u{f1}ana.example luis\n";
        assert_eq!(found(text, "ana@xn--maana-pta.example"), "luis");
    }

    #[test]
    fn what_is_wrong_in_the_file_is_told_with_its_line() {
        let table = Table::parse(
            "example.org x\ninfo@example.org\na@b@ ana\nb@example.org |cat\n\
             c@example.net ana\nd@example.net ana\ninfo@example.org ana\ninfo@example.org luis\n\
             other-one.com anything\n",
            Owner::default(),
        );
        let told: Vec<String> = table.warnings(&config()).iter().map(Said::to_string).collect();
        for (line, part) in told.iter().zip([
            "line 2: `info@example.org`: there is no target",
            "line 3: `a@b@`",
            "line 4: `b@example.org`: ",
            "line 8: `info@example.org` stands here for the second time",
            "line 9: mail for `other-one.com` does not come here: add it to `virtual.domains`",
            "line 5: mail for `example.net` does not come here",
        ]) {
            assert!(line.starts_with(part), "{line}");
        }
        assert_eq!(told.len(), 6, "{told:#?}");
    }
}
