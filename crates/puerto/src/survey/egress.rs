//! Which addresses mail leaves from: found out, not assumed.
//!
//! A UDP socket that is connected sends nothing, but the kernel chooses the source
//! address for it as it will for mail. What it chooses may be private: then somebody
//! on the way translates it, and only the administrator can say into what.

use std::net::{IpAddr, SocketAddr, UdpSocket};

use super::names::ascii;
use crate::config::{Config, Source};

/// Addresses of the Internet, one in each family; nothing is sent there.
const FAR_AWAY: [&str; 2] = ["198.41.0.4:53", "[2001:503:ba3e::2:30]:53"];

/// The source addresses of both families, IPv4 first: those configured, or else what the
/// kernel chooses, and those of `[[source]]`. Where these are for all mail, no other is used.
pub fn find(config: &Config) -> Vec<IpAddr> {
    let named: Vec<IpAddr> = config.sources.iter().flat_map(Source::addresses).collect();
    let others = match config.sources.iter().any(|source| !source.is_for_some()) {
        true => Vec::new(),
        false => usual(config),
    };
    given(&others.into_iter().chain(named).collect::<Vec<_>>())
}

/// A name in EHLO, and the addresses from which mail leaves under it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    /// In lower case and A-labels.
    pub name: String,
    /// None where no mail leaves under the name.
    pub addresses: Vec<IpAddr>,
}

/// The names of `[[source]]`, each with its own addresses.
pub fn sources(config: &Config) -> Vec<Host> {
    let host = |source: &Source| Host {
        name: ascii(&source.helo),
        addresses: source.addresses().collect(),
    };
    config.sources.iter().map(host).collect()
}

/// Under which names mail leaves from an address: those of its sources, or else the server's own.
pub fn names_of<'a>(own: &'a str, sources: &'a [Host], address: IpAddr) -> Vec<&'a str> {
    let sources = sources.iter().filter(|source| source.addresses.contains(&address));
    let mut names: Vec<&str> = Vec::new();
    for source in sources {
        if !names.contains(&source.name.as_str()) {
            names.push(&source.name);
        }
    }
    if names.is_empty() { vec![own] } else { names }
}

/// All names in EHLO, the server's own first, each with those of the addresses that go by it.
pub fn hosts(own: &str, sources: &[Host], addresses: &[IpAddr]) -> Vec<Host> {
    let mut hosts = vec![Host { name: own.to_owned(), addresses: Vec::new() }];
    for address in addresses {
        for name in names_of(own, sources, *address) {
            match hosts.iter_mut().find(|host| host.name == name) {
                Some(host) => host.addresses.push(*address),
                None => hosts.push(Host { name: name.to_owned(), addresses: vec![*address] }),
            }
        }
    }
    hosts
}

fn usual(config: &Config) -> Vec<IpAddr> {
    let configured =
        [config.delivery.bind_ipv4.map(IpAddr::V4), config.delivery.bind_ipv6.map(IpAddr::V6)];
    let both = configured.into_iter().zip(FAR_AWAY);
    both.filter_map(|(bound, far)| bound.or_else(|| source_towards(far))).collect()
}

/// Addresses that somebody gave: each once, and one that is mapped into IPv6 as what it is.
pub fn given(addresses: &[IpAddr]) -> Vec<IpAddr> {
    let mut found = Vec::new();
    for address in addresses.iter().map(IpAddr::to_canonical) {
        if !found.contains(&address) {
            found.push(address);
        }
    }
    found
}

fn source_towards(far: &str) -> Option<IpAddr> {
    let far: SocketAddr = far.parse().ok()?;
    let any = if far.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = UdpSocket::bind(any).ok()?;
    socket.connect(far).ok()?;
    let address = socket.local_addr().ok()?.ip();
    (!address.is_unspecified() && !address.is_loopback()).then_some(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(addresses: &[&str]) -> Vec<IpAddr> {
        addresses.iter().map(|address| address.parse().unwrap()).collect()
    }

    #[test]
    fn configured_addresses_are_those_that_mail_leaves_from() {
        let mut config = Config::for_tests(std::path::Path::new("/nonexistent"));
        config.delivery.bind_ipv4 = Some("192.0.2.9".parse().unwrap());
        config.delivery.bind_ipv6 = Some("fd00::9".parse().unwrap());
        assert_eq!(find(&config), list(&["192.0.2.9", "fd00::9"]));
    }

    #[test]
    fn sources_are_among_them_with_names_of_their_own() {
        let text = "[delivery]\nbind_ipv4 = \"192.0.2.1\"\nbind_ipv6 = \"2001:db8::1\"\n\
            helo = \"mail.example.com\"\n[[source]]\nname = \"news\"\nipv4 = \"192.0.2.2\"\n\
            helo = \"news.example.com\"\nfrom = [\"@news.example.com\"]\n";
        let config = Config::parse(text, "puerto.toml").unwrap();
        assert_eq!(find(&config), list(&["192.0.2.1", "2001:db8::1", "192.0.2.2"]));
        let named = |name: &str, addresses: &[&str]| Host {
            name: name.to_owned(),
            addresses: list(addresses),
        };
        let hosts = hosts("mail.example.com", &sources(&config), &find(&config));
        let own = named("mail.example.com", &["192.0.2.1", "2001:db8::1"]);
        assert_eq!(hosts, [own, named("news.example.com", &["192.0.2.2"])]);
        let all = text.replace("from = [\"@news.example.com\"]\n", "");
        assert_eq!(find(&Config::parse(&all, "puerto.toml").unwrap()), list(&["192.0.2.2"]));
    }

    #[test]
    fn given_addresses_count_once() {
        let given_twice = list(&["::ffff:192.0.2.9", "2001:db8::1", "192.0.2.9"]);
        assert_eq!(given(&given_twice), list(&["192.0.2.9", "2001:db8::1"]));
    }
}
