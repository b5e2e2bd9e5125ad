//! The resolvers that the system names in resolv.conf(5), read as the C library does: a
//! line that it would skip does not keep this server from asking the DNS.

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV6};
use std::path::Path;

use puerto_mail::dns::DnsFault;

/// Where resolv.conf(5) says that the file is.
const FILE: &str = "/etc/resolv.conf";
const PORT: u16 = 53;

/// The system's resolvers, in their order, and whether the file says that the way to them
/// is safe, so that their word on DNSSEC counts (`options trust-ad`).
///
/// # Errors
/// The file is there and cannot be read.
pub(super) fn resolvers() -> Result<(Vec<SocketAddr>, bool), DnsFault> {
    read(Path::new(FILE))
}

fn read(file: &Path) -> Result<(Vec<SocketAddr>, bool), DnsFault> {
    match fs::read(file) {
        Ok(octets) => Ok(parse(&String::from_utf8_lossy(&octets))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(parse("")),
        Err(error) => {
            let (file, number) = (file.display().to_string(), error.raw_os_error());
            Err(DnsFault::Unread(file, number.unwrap_or_default(), error.to_string()))
        }
    }
}

// Where no resolver is named, the C library asks this machine.
fn parse(text: &str) -> (Vec<SocketAddr>, bool) {
    let mut found: Vec<SocketAddr> = Vec::new();
    let mut trust_ad = false;
    for line in text.lines() {
        let mut words = line.split_whitespace();
        match words.next() {
            Some("nameserver") => {}
            Some("options") => {
                trust_ad |= words.any(|option| option == "trust-ad");
                continue;
            }
            _ => continue,
        }
        if let Some(address) = words.next().and_then(address)
            && !found.contains(&address)
        {
            found.push(address);
        }
    }
    if found.is_empty() {
        found.push(SocketAddr::from((Ipv4Addr::LOCALHOST, PORT)));
    }
    (found, trust_ad)
}

// A link-local address is followed by its interface, as a name or a number (RFC 4007 §11).
fn address(word: &str) -> Option<SocketAddr> {
    let Some((ip, zone)) = word.split_once('%') else {
        return Some(SocketAddr::new(word.parse::<IpAddr>().ok()?, PORT));
    };
    let number = zone.parse().ok().or_else(|| nix::net::if_::if_nametoindex(zone).ok())?;
    Some(SocketAddrV6::new(ip.parse().ok()?, PORT, 0, number).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Vec<String> {
        parse(text).0.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn the_servers_are_taken_in_their_order_and_each_once() {
        let text = "# made by DHCP\nsearch example.org\nnameserver 192.0.2.53\n\
                    nameserver\t2001:db8::53   \nnameserver 192.0.2.53\n";
        assert_eq!(parsed(text), ["192.0.2.53:53", "[2001:db8::53]:53"]);
    }

    #[test]
    fn lines_that_are_not_understood_are_skipped() {
        let text = "nameserver\nnameserver dns.example.org\nlookup file bind\noptions edns0 \
                    what-is-this:7\nsearch --\n;nameserver 192.0.2.1\n\u{0}\nsortlist a/b/c\n\
                    nameserver 192.0.2.2 # the second\n";
        assert_eq!(parsed(text), ["192.0.2.2:53"]);
    }

    #[test]
    fn a_link_local_server_keeps_its_interface() {
        assert_eq!(parsed("nameserver fe80::1%7\n"), ["[fe80::1%7]:53"]);
        assert_eq!(parsed("nameserver fe80::1%lo\n"), ["[fe80::1%1]:53"]);
        let nobody = "nameserver fe80::1%no-such-interface\nnameserver 192.0.2.1%1\n";
        assert_eq!(parsed(nobody), ["127.0.0.1:53"]);
    }

    #[test]
    fn the_word_of_a_resolver_on_dnssec_counts_where_the_file_says_so() {
        for (text, trusted) in [
            ("nameserver 192.0.2.53\noptions edns0 trust-ad\n", true),
            ("options trust-ad\n", true),
            ("nameserver 192.0.2.53\noptions edns0\n# options trust-ad\n", false),
            ("nameserver 192.0.2.53 trust-ad\nsearch trust-ad\n", false),
        ] {
            assert_eq!(parse(text).1, trusted, "{text}");
        }
    }

    #[test]
    fn without_a_server_this_machine_is_asked() {
        assert_eq!(parsed(""), ["127.0.0.1:53"]);
        let nowhere = read(Path::new("/nowhere/resolv.conf")).unwrap();
        assert_eq!(nowhere, parse(""));
    }

    #[test]
    fn a_file_that_cannot_be_read_is_named() {
        let error = read(Path::new("/")).unwrap_err().to_string();
        assert!(error.starts_with("no DNS server is known: /: "), "{error}");
    }
}
