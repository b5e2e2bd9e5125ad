//! `relay_recipients`: who lives in the domains that mail is relayed to, where the
//! configuration or a file says so.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use puerto_smtp::{Address, Domain};

use crate::config::{Config, Inhabitant, Who};
use crate::local::{Names, Owner, Standing, Watched, candidates};

/// The files that were read.
#[derive(Debug, Default)]
pub(super) struct Listed(Mutex<HashMap<PathBuf, Watched<Inhabitants>>>);

/// Addresses in lower case, and `@domain`.
#[derive(Debug, Default)]
struct Inhabitants(HashSet<String>);

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
        let domain = address.domain();
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
                listed.is_ok_and(|listed| keys.iter().any(|key| listed.0.contains(key)))
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
        let words = lines.filter_map(|line| line.split_whitespace().next());
        Self(words.filter_map(|word| Who::parse(word).ok()).map(|who| key(&who)).collect())
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    const MAY_BE_MISSING: bool = false;
}

fn key(who: &Who) -> String {
    match who {
        Who::User(name) => name.to_string(),
        Who::Address(address) => {
            let name = address.local_part().as_str().to_lowercase();
            let domain: &Domain = address.domain();
            format!("{name}@{domain}")
        }
        Who::Domain(domain) => format!("@{domain}"),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn those_who_are_listed_exist_and_no_others() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("recipients");
        std::fs::write(&file, "# ours\nana@example.net x\nLuis@Example.net\n@all.example OK\n")
            .unwrap();
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
