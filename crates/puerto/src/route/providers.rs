//! Large providers, whose domains share one destination whatever their MX hosts are
//! called. The list is data: `providers.toml`.

use std::sync::LazyLock;

use serde::Deserialize;

/// A provider, and what it is known to bear.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Provider {
    /// Its name, which is the key of its destination. It holds no dot, so that it is
    /// never taken for a host.
    pub name: String,
    /// Suffixes of its MX hosts' names.
    pub hosts: Vec<String>,
    /// Connections to it at the same time, where it is known to mind.
    pub connections: Option<usize>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    provider: Vec<Provider>,
}

// The file is part of the program; a test reads it, so that it cannot be wrong here.
static PROVIDERS: LazyLock<Vec<Provider>> = LazyLock::new(|| {
    toml::from_str::<File>(include_str!("providers.toml")).map_or(Vec::new(), |file| file.provider)
});

/// The provider that all these hosts belong to.
pub(super) fn of_hosts(hosts: &[&str]) -> Option<&'static Provider> {
    let (first, rest) = hosts.split_first()?;
    let provider = PROVIDERS.iter().find(|provider| provider.has(first))?;
    rest.iter().all(|host| provider.has(host)).then_some(provider)
}

/// The provider whose destination has this key.
pub fn by_key(key: &super::DestinationKey) -> Option<&'static Provider> {
    PROVIDERS.iter().find(|provider| *provider.name == *key.0)
}

impl Provider {
    fn has(&self, host: &str) -> bool {
        self.hosts.iter().any(|suffix| {
            let rest = host.strip_suffix(suffix.as_str());
            rest.is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_well_formed() {
        let file: File = toml::from_str(include_str!("providers.toml")).unwrap();
        let mut names: Vec<_> = file.provider.iter().map(|p| p.name.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), file.provider.len());
        for provider in &file.provider {
            assert!(!provider.name.contains(['.', ',', '[']), "{}", provider.name);
            assert!(!provider.hosts.is_empty() && provider.connections != Some(0));
        }
    }

    #[test]
    fn a_domain_is_a_providers_only_if_all_its_hosts_are() {
        let name = |hosts: &[&str]| of_hosts(hosts).map(|p| p.name.as_str());
        assert_eq!(name(&["gmail-smtp-in.l.google.com"]), Some("google"));
        assert_eq!(
            name(&["a.mail.protection.outlook.com", "b.mail.protection.outlook.com"]),
            Some("microsoft-business")
        );
        assert_eq!(name(&["mx.example.com", "aspmx.l.google.com"]), None);
        assert_eq!(name(&["notgoogle.com"]), None);
        assert_eq!(name(&[]), None);
    }
}
