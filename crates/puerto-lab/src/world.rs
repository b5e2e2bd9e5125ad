//! The made-up Internet: who lives where.
//!
//! Every host has an address of its own in 127/8, all of which Linux answers
//! without being asked to, so that reverse names, SPF and greylisting mean what
//! they mean outside. All receivers listen on one port, since MX records name none.

use std::net::{IpAddr, Ipv4Addr};

use crate::zone::Zone;

/// The sender's domain.
pub const SENDER_DOMAIN: &str = "lab.example";
/// The sender's host.
pub const SENDER_HOST: &str = "mail.lab.example";
/// The address that the sender is to bind.
pub const SENDER_ADDRESS: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 10);
/// The addresses of the lab's two name servers; no NS record leads to them unless one
/// is added, since they do not answer on port 53.
pub const NAME_SERVERS: [Ipv4Addr; 2] = [Ipv4Addr::LOCALHOST, Ipv4Addr::new(127, 0, 0, 2)];
/// A local part that no receiver knows.
pub const UNKNOWN_USER: &str = "no-such-user";

/// A receiver of the lab.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resident {
    /// Its short name.
    pub name: &'static str,
    /// The domain that it receives for; that of the relay's operator for the relay.
    pub domain: &'static str,
    /// Its host name.
    pub host: &'static str,
    /// Its address.
    pub address: Ipv4Addr,
    /// How it treats its clients.
    pub manners: Manners,
}

/// How a receiver treats its clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manners {
    /// Wants reverse DNS, SPF, DKIM and DMARC in order, and refuses otherwise.
    Strict,
    /// Takes everything.
    Plain,
    /// Greylists, answers slowly, sends clients away and hangs up on them.
    Grumpy,
    /// Takes everything from the sender's host and hands it on.
    Relay,
}

/// The strict receiver.
pub const STRICT: Resident = Resident {
    name: "strict",
    domain: "strict.example",
    host: "mx.strict.example",
    address: Ipv4Addr::new(127, 0, 0, 11),
    manners: Manners::Strict,
};
/// The one that takes everything.
pub const PLAIN: Resident = Resident {
    name: "plain",
    domain: "plain.example",
    host: "mx.plain.example",
    address: Ipv4Addr::new(127, 0, 0, 12),
    manners: Manners::Plain,
};
/// The slow and grumpy one.
pub const GRUMPY: Resident = Resident {
    name: "grumpy",
    domain: "grumpy.example",
    host: "mx.grumpy.example",
    address: Ipv4Addr::new(127, 0, 0, 13),
    manners: Manners::Grumpy,
};
/// The relay of the sender's provider.
pub const RELAY: Resident = Resident {
    name: "relay",
    domain: "isp.example",
    host: "relay.isp.example",
    address: Ipv4Addr::new(127, 0, 0, 14),
    manners: Manners::Relay,
};
/// Where the relay's operator takes mail for its own customers: it hands nothing on. No
/// MX record leads to it unless one is added.
pub const RELAY_INWARD: Resident = Resident {
    name: "relay-in",
    domain: "isp.example",
    host: "mx.isp.example",
    address: Ipv4Addr::new(127, 0, 0, 16),
    manners: Manners::Plain,
};
/// Where the mailboxes of the sender's own domain are: replies and bounces come here.
pub const HOME: Resident = Resident {
    name: "home",
    domain: SENDER_DOMAIN,
    host: "mx.lab.example",
    address: Ipv4Addr::new(127, 0, 0, 15),
    manners: Manners::Plain,
};
/// All of them.
pub const RESIDENTS: [Resident; 5] = [STRICT, PLAIN, GRUMPY, RELAY, HOME];

/// Stand-ins of large providers, who take everything: for those who ask whether the
/// way to them is open. Their hosts are named as the real ones are, in part.
pub const PROVIDERS: [Resident; 3] = [
    provider("gmail", "gmail.com", "mx.google.example", 21),
    provider("outlook", "outlook.com", "mx.outlook.example", 22),
    provider("yahoo", "yahoo.com", "mx.yahoo.example", 23),
];

const fn provider(
    name: &'static str,
    domain: &'static str,
    host: &'static str,
    last: u8,
) -> Resident {
    let address = Ipv4Addr::new(127, 0, 0, last);
    Resident { name, domain, host, address, manners: Manners::Plain }
}

/// Publishes what a well kept Internet holds: hosts with names that lead back to
/// them, MX records, and for the sender's domain SPF and DMARC. Its DKIM keys are
/// for whoever makes them to publish.
pub(crate) fn publish(zone: &Zone) {
    for resident in RESIDENTS.into_iter().chain(PROVIDERS) {
        zone.add_host(resident.host, IpAddr::V4(resident.address));
        zone.add_mx(resident.domain, 10, resident.host);
    }
    zone.add_host(SENDER_HOST, IpAddr::V4(SENDER_ADDRESS));
    let spf = format!("v=spf1 ip4:{SENDER_ADDRESS} include:_spf.{} -all", RELAY.domain);
    zone.add_txt(SENDER_DOMAIN, &spf);
    zone.add_txt(SENDER_HOST, &spf);
    zone.add_txt(&format!("_spf.{}", RELAY.domain), &format!("v=spf1 ip4:{} -all", RELAY.address));
    zone.add_txt(RELAY.host, &format!("v=spf1 ip4:{} -all", RELAY.address));
    let dmarc = format!("v=DMARC1; p=reject; rua=mailto:postmaster@{SENDER_DOMAIN}");
    zone.add_txt(&format!("_dmarc.{SENDER_DOMAIN}"), &dmarc);
}
