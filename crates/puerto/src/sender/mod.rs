//! Under which address a local sender is known elsewhere.
//!
//! The users of a machine write as `user@its-name`, which nobody outside can answer and
//! many receivers refuse. What they are known by is decided here and nowhere else, from
//! the configuration alone; intake asks for the envelope's sender and for each address
//! of From, Sender and Reply-To. What another host has signed is never asked about.

mod permission;

use puerto_mail::idn;
use puerto_smtp::{Address, Domain, LocalPart};

use crate::config::{Config, Known, Sender, Who};

pub use permission::{Permission, Submitter, Verdict};

/// Whether the configuration says anything about senders at all.
pub fn is_needed(config: &Config) -> bool {
    let Sender { always, map, masquerade, .. } = &config.sender;
    always.is_some() || !map.is_empty() || !masquerade.is_empty()
}

/// The address under which this one is known elsewhere; `None` if it is the same.
///
/// The map counts before masquerading; in it an address before a user, and a user before
/// a domain.
pub fn outside(config: &Config, address: &Address) -> Option<Address> {
    let known = mapped(config, address).or_else(|| masqueraded(&config.sender, address));
    known.map(in_a_labels).filter(|known| known != address)
}

// Whatever the configuration calls it: what stands in a message that says nothing of SMTPUTF8
// is ASCII, where it can be.
fn in_a_labels(address: Address) -> Address {
    idn::in_ascii(&address).unwrap_or(address)
}

/// The address that all mail is sent from, if there is one.
pub fn only_one(config: &Config) -> Option<&Address> {
    config.sender.always.as_ref()
}

/// From whom the machine's own mail is, such as cron's, as that is known elsewhere;
/// `None` if the configuration has no name that can stand in an address.
pub fn of_the_machine(config: &Config) -> Option<Address> {
    let named = config.sender_domain().cloned();
    let domain = named.or_else(|| Domain::parse(&config.hostname).ok())?;
    let root = Address::new(LocalPart::parse("root").ok()?, domain);
    Some(in_a_labels(only_one(config).cloned().or_else(|| outside(config, &root)).unwrap_or(root)))
}

fn mapped(config: &Config, address: &Address) -> Option<Address> {
    let own = is_own(config, address.domain());
    let whole = address.local_part().as_str();
    let user = whole.split_once('+').map(|(user, _)| user).filter(|user| !user.is_empty());
    let plain = user.unwrap_or(whole);
    let is_meant = |who: &Who, name: &str, of: Of| match (who, of) {
        (Who::Address(known), Of::Address) => {
            known.domain() == address.domain()
                && known.local_part().as_str().eq_ignore_ascii_case(name)
        }
        (Who::User(user), Of::User) => own && user.as_str().eq_ignore_ascii_case(name),
        (Who::Domain(domain), Of::Domain) => domain == address.domain(),
        _ => false,
    };
    let wanted = [
        (whole, Of::Address),
        (plain, Of::Address),
        (whole, Of::User),
        (plain, Of::User),
        (whole, Of::Domain),
    ];
    let entries = &config.sender.map;
    let (name, known) = wanted.into_iter().find_map(|(name, of)| {
        entries.iter().find(|(who, _)| is_meant(who, name, of)).map(|(_, known)| (name, known))
    })?;
    Some(match known {
        Known::Address(known) => extended(known, whole.get(name.len()..).unwrap_or_default()),
        Known::Domain(domain) => address.with_domain(domain.clone()),
    })
}

/// What an entry of the map may be about.
#[derive(Clone, Copy)]
enum Of {
    Address,
    User,
    Domain,
}

// An extension that the entry does not name stays, as with Postfix.
fn extended(known: &Address, extension: &str) -> Address {
    let local_part = format!("{}{extension}", known.local_part().as_str());
    match LocalPart::from_unquoted(&local_part) {
        Ok(local_part) if !extension.is_empty() => Address::new(local_part, known.domain().clone()),
        _ => known.clone(),
    }
}

// The names of this machine, and the one that completes its senders.
fn is_own(config: &Config, domain: &Domain) -> bool {
    config.domains.contains(domain)
        || config.origin.as_ref() == Some(domain)
        || domain
            .name()
            .is_some_and(|name| name == "localhost" || name.eq_ignore_ascii_case(&config.hostname))
}

/// The address without its host, where the section says that it does not show.
pub fn masqueraded(sender: &Sender, address: &Address) -> Option<Address> {
    if sender.masquerade_except.contains(address.local_part()) {
        return None;
    }
    let name = address.domain().name()?;
    let is_below = |domain: &Domain| {
        let above = domain.name().and_then(|domain| name.strip_suffix(domain));
        above.is_some_and(|host| host.ends_with('.'))
    };
    let matching = sender.masquerade.iter().find(|masquerade| {
        // Where the domain itself is listed, it shows: what follows is not asked.
        is_below(&masquerade.domain) || masquerade.domain == *address.domain()
    })?;
    (!matching.is_exception).then(|| address.with_domain(matching.domain.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(section: &str) -> Config {
        let text = format!(
            "hostname = \"web.example.com\"\ndomains = [\"web.example.com\"]\n\
             origin = \"example.com\"\n[sender]\n{section}\n"
        );
        Config::parse(&text, "test").unwrap()
    }

    fn seen(config: &Config, address: &str) -> String {
        let address = Address::parse(address).unwrap();
        outside(config, &address).unwrap_or(address).to_string()
    }

    #[test]
    fn the_map_knows_users_addresses_and_domains() {
        let config = config(
            "map = { root = \"admin@example.com\", \"www-data@web.example.com\" = \"shop@example.net\", \
             \"@web.example.com\" = \"@example.com\" }",
        );
        for (address, expected) in [
            ("root@web.example.com", "admin@example.com"),
            ("Root@localhost", "admin@example.com"),
            ("root@example.com", "admin@example.com"),
            ("root@other.example", "root@other.example"),
            ("www-data@web.example.com", "shop@example.net"),
            ("ana@web.example.com", "ana@example.com"),
            ("ana@sub.web.example.com", "ana@sub.web.example.com"),
            ("root+cron@web.example.com", "admin+cron@example.com"),
            ("www-data+a+b@web.example.com", "shop+a+b@example.net"),
            ("ana+x@web.example.com", "ana+x@example.com"),
            ("+root@other.example", "+root@other.example"),
        ] {
            assert_eq!(seen(&config, address), expected, "{address}");
        }
    }

    // Found by hand: all mail of the machine came back, since no host of then offered SMTPUTF8.
    #[test]
    fn what_is_known_elsewhere_is_ascii_where_it_can_be() {
        for (section, address) in [
            ("map = { root = \"adm@españa.example\" }", "root@web.example.com"),
            ("map = { \"@web.example.com\" = \"@españa.example\" }", "adm@web.example.com"),
            ("masquerade = [\"españa.example\"]", "adm@web.españa.example"),
        ] {
            assert_eq!(seen(&config(section), address), "adm@xn--espaa-rta.example", "{section}");
        }
        let always = config("always = \"adm@españa.example\"");
        assert_eq!(only_one(&always).unwrap().to_string(), "adm@xn--espaa-rta.example");
        assert_eq!(of_the_machine(&always).unwrap().to_string(), "adm@xn--espaa-rta.example");
    }

    #[test]
    fn hosts_do_not_show_unless_they_are_excepted() {
        let config = config(
            "masquerade = [\"!lists.example.com\", \"dept.example.com\", \"example.com\", \
             \"example.net\"]\n\
             masquerade_except = [\"root\"]",
        );
        for (address, expected) in [
            ("ana@web.example.com", "ana@example.com"),
            ("ana@a.b.example.net", "ana@example.net"),
            ("ana@example.com", "ana@example.com"),
            ("ana@dept.example.com", "ana@dept.example.com"),
            ("ana@x.dept.example.com", "ana@dept.example.com"),
            ("ana@lists.example.com", "ana@lists.example.com"),
            ("ana@one.lists.example.com", "ana@one.lists.example.com"),
            ("root@web.example.com", "root@web.example.com"),
            ("ana@notexample.com", "ana@notexample.com"),
            ("ana@[192.0.2.1]", "ana@[192.0.2.1]"),
        ] {
            assert_eq!(seen(&config, address), expected, "{address}");
        }
    }

    #[test]
    fn the_machines_own_mail_is_from_root_as_root_is_known_elsewhere() {
        for (section, expected) in [
            ("", "root@example.com"),
            ("map = { root = \"admin@example.net\" }", "admin@example.net"),
            ("always = \"shop@example.org\"", "shop@example.org"),
        ] {
            let found = of_the_machine(&config(section)).unwrap();
            assert_eq!(found.to_string(), expected, "{section}");
        }
    }

    #[test]
    fn mistakes_are_named_with_their_place() {
        for (section, says) in [
            ("always = \"nobody\"", "sender.always"),
            ("map = { root = \"nobody\" }", "sender.map"),
            ("map = { \"a b\" = \"a@example.com\" }", "sender.map"),
            ("map = [\"root\"]", "sender.map"),
            ("masquerade = [\"-x\"]", "sender.masquerade"),
        ] {
            let text = format!("hostname = \"a.example\"\n[sender]\n{section}\n");
            let error = Config::parse(&text, "test").unwrap_err().to_string();
            assert!(error.contains(says), "{section}: {error}");
        }
        let both =
            config("always = \"noreply@example.com\"\n[sender.map]\nroot = \"a@example.com\"");
        assert_eq!(only_one(&both).unwrap().to_string(), "noreply@example.com");
        assert_eq!(both.sender.map.len(), 1);
        assert!(is_needed(&both) && !is_needed(&config("")));
        assert_eq!(Config::parse(&both.to_toml(), "test").unwrap().sender, both.sender);
    }
}
