//! `relay_recipients`: who lives in the domains that mail is relayed to, where the
//! configuration or a file says so.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use puerto_smtp::Address;

use crate::config::{Config, Inhabitant, Who, in_ascii};
use crate::lang::{Said, said};
use crate::local::{Names, Owner, Standing, Watched, candidates};
use crate::rights::{self, Identity};

/// The files that were read.
#[derive(Debug, Default)]
pub(super) struct Listed(Mutex<HashMap<PathBuf, Watched<Inhabitants>>>);

/// Addresses in lower case and `@domain`, and the lines that are neither.
#[derive(Debug, Default)]
struct Inhabitants {
    keys: HashSet<String>,
    broken: Vec<(usize, Said)>,
}

/// The lines of a file of `relay_recipients` that cannot be understood, so that whomever they
/// are about is refused. That the file cannot be read is for others to say.
pub fn broken_lines(file: &Path, service: Option<&Identity>) -> Vec<(usize, Said)> {
    let read = rights::act(service, || Watched::<Inhabitants>::default().get(file));
    read.map_or_else(|_| Vec::new(), |read| read.broken.clone())
}

impl Listed {
    /// Whether an address is listed. Where a file cannot be read, the next hop is
    /// asked about whoever is not listed elsewhere.
    pub(super) fn standing(
        &self,
        config: &Config,
        inhabitants: &[Inhabitant],
        address: &Address,
    ) -> Standing {
        let name = address.local_part().as_str().to_lowercase();
        let domain = in_ascii(address.domain());
        let mut keys: Vec<String> = candidates(&name, &config.local.recipient_delimiter)
            .map(|name| format!("{name}@{domain}"))
            .collect();
        keys.push(format!("@{domain}"));
        let mut files = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut is_unread = false;
        let is_there = inhabitants.iter().any(|inhabitant| match inhabitant {
            Inhabitant::Listed(who) => keys.contains(&key(who)),
            Inhabitant::File(path) => {
                let file = files.entry(path.clone()).or_default();
                let listed = file.get(path);
                is_unread |= listed.is_err();
                listed.is_ok_and(|listed| keys.iter().any(|key| listed.keys.contains(key)))
            }
        });
        match is_there {
            true => Standing::Known,
            false if is_unread => Standing::Asked(vec![address.clone()]),
            false => Standing::Unknown,
        }
    }
}

impl Names for Inhabitants {
    // Of Postfix's relay_recipient_maps, what stands behind the address is nothing.
    fn parse(text: &str, _: Owner) -> Self {
        let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default());
        let words =
            lines.enumerate().filter_map(|(n, line)| Some((n, line.split_whitespace().next()?)));
        let mut found = Self::default();
        for (number, word) in words {
            match Inhabitant::parse(word) {
                Ok(Inhabitant::Listed(who)) => drop(found.keys.insert(key(&who))),
                Ok(Inhabitant::File(_)) => found.broken.push((
                    number + 1,
                    said!(
                        "`{text}`: a file of addresses names no other",
                        "`{text}`: un fichero de direcciones no nombra otro"; text = word
                    ),
                )),
                Err(wrong) => found.broken.push((number + 1, wrong)),
            }
        }
        found
    }

    fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    const MAY_BE_MISSING: bool = false;
}

fn key(who: &Who) -> String {
    match who {
        Who::User(name) => name.to_string(),
        Who::Address(address) => {
            let name = address.local_part().as_str().to_lowercase();
            format!("{name}@{}", in_ascii(address.domain()))
        }
        Who::Domain(domain) => format!("@{}", in_ascii(domain)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_who_are_listed_exist_and_no_others() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("recipients");
        let lines = "# ours\nana@example.net x\nLuis@Example.net\n@all.example OK\nmal @@\n/x\n\
                     \na@b@\neva@xn--and-6ma2c.example\n";
        std::fs::write(&file, lines).unwrap();
        let broken = broken_lines(&file, None);
        assert_eq!(broken.iter().map(|(line, _)| *line).collect::<Vec<_>>(), [5, 6, 8]);
        assert!(broken[0].1.to_string().contains("mal@example.net"), "{broken:?}");
        let mut config = Config::for_tests(Path::new("/nonexistent"));
        config.relay_domains = vec!["example.net".into(), "*.example".into()];
        let inhabitants =
            [Inhabitant::parse("bea@example.net"), Inhabitant::parse(file.to_str().unwrap())]
                .map(Result::unwrap);
        let listed = Listed::default();
        let known = |address: &str| {
            let address = Address::parse(address).unwrap();
            listed.standing(&config, &inhabitants, &address) == Standing::Known
        };
        for (address, expected) in [
            ("ana@example.net", true),
            ("ANA+x@example.net", true),
            ("luis@example.net", true),
            ("bea@EXAMPLE.net", true),
            ("carl@example.net", false),
            ("anyone@all.example", true),
            ("ana@other.example", false),
            ("eva@ñandú.example", true),
            ("ana@sub.example.net", false),
        ] {
            assert_eq!(known(address), expected, "{address}");
        }
        std::fs::remove_file(&file).unwrap();
        let gone = Listed::default();
        let address = Address::parse("carl@example.net").unwrap();
        let asked = Standing::Asked(vec![address.clone()]);
        assert_eq!(gone.standing(&config, &inhabitants, &address), asked);
    }
}
