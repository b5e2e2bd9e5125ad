//! Answers of the servers that a name's zone is delegated to, for what this machine's
//! own resolver may make up.
//!
//! systemd-resolved answers for the machine's own host name and addresses by itself,
//! without asking anybody, and so does dnsmasq from /etc/hosts: an address without any
//! name in the DNS has one there. What others see of it only their servers know.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use puerto_mail::dns::{Answer, Dns, DnsError, DnsFault, Record, RecordType};
use puerto_mail::together::together;

use crate::dns::{self, Resolver};

/// Name servers of one zone that are asked until one answers.
const MAX_SERVERS: usize = 3;
/// Aliases that are followed.
const MAX_ALIASES: usize = 4;
/// Where the resolvers listen that answer for their own machine: systemd-resolved, and
/// dnsmasq as desktops start it.
const INVENTING: [Ipv4Addr; 3] =
    [Ipv4Addr::new(127, 0, 0, 53), Ipv4Addr::new(127, 0, 0, 54), Ipv4Addr::new(127, 0, 1, 1)];

/// A resolver whose answers about this machine come from the zones' own servers.
#[derive(Debug, Clone)]
pub struct Undistorted {
    resolver: Resolver,
    own: Vec<String>,
}

impl Undistorted {
    /// Over a resolver, for a machine that has these names.
    pub fn new(resolver: Resolver, own: &[&str]) -> Self {
        let own = own.iter().map(|name| name.to_ascii_lowercase()).collect();
        Self { resolver, own }
    }
}

impl Dns for Undistorted {
    async fn lookup(&self, name: &str, kind: RecordType) -> Result<Answer, DnsError> {
        let is_own = self.own.iter().any(|own| own.eq_ignore_ascii_case(name));
        match kind {
            RecordType::Ptr => undistorted(&self.resolver, name, kind).await,
            RecordType::A | RecordType::Aaaa if is_own => {
                undistorted(&self.resolver, name, kind).await
            }
            _ => self.resolver.lookup(name, kind).await,
        }
    }
}

/// A DNS in which one server is asked first, which knows what it has better than any
/// cache, and the usual resolvers for what it does not answer.
#[derive(Debug, Clone)]
pub struct Authority {
    server: Resolver,
    others: Resolver,
}

impl Authority {
    /// The server, and whom to ask for the rest of the world.
    pub fn new(server: SocketAddr, others: Resolver) -> Self {
        Self { server: Resolver::with_servers(&[server]), others }
    }
}

impl Dns for Authority {
    async fn lookup(&self, name: &str, kind: RecordType) -> Result<Answer, DnsError> {
        match self.server.lookup(name, kind).await {
            Err(error) if !error.is_absence() => self.others.lookup(name, kind).await,
            answer => answer,
        }
    }
}

/// What the servers of the name's zone say. Where none of them answers it is what the
/// resolver says, unless that is one which answers for its own machine.
pub async fn undistorted(
    resolver: &Resolver,
    name: &str,
    kind: RecordType,
) -> Result<Answer, DnsError> {
    let mut servers = resolver.servers().into_iter();
    if !servers.any(|server| INVENTING.iter().any(|one| server.ip() == *one)) {
        return resolver.lookup(name, kind).await;
    }
    match ask_authority(resolver, resolver, name, kind).await {
        Ok(answer) => Ok(answer),
        Err(error) if error.is_absence() => Err(error),
        Err(error) => Err(DnsError::Failure(DnsFault::Distorted(Box::new(error)))),
    }
}

/// Asks one given server.
trait Server: Sync {
    fn ask(
        &self,
        server: IpAddr,
        name: &str,
        kind: RecordType,
    ) -> impl Future<Output = Result<Answer, DnsError>> + Send;
}

impl Server for Resolver {
    async fn ask(&self, server: IpAddr, name: &str, kind: RecordType) -> Result<Answer, DnsError> {
        ask_server(self, server, name, kind).await
    }
}

/// Asks one server of a zone, without recursion, in the Internet of a resolver.
pub async fn ask_server(
    resolver: &Resolver,
    server: IpAddr,
    name: &str,
    kind: RecordType,
) -> Result<Answer, DnsError> {
    // A simulated Internet on loopback has all its name servers on one port.
    let simulated = resolver.servers().first().filter(|_| server.is_loopback()).copied();
    let port = simulated.map_or(53, |resolver| resolver.port());
    dns::ask_server(SocketAddr::new(server, port), name, kind).await
}

/// Asks the servers of the zone that a name lies in, and follows aliases to others.
async fn ask_authority<D: Dns>(
    dns: &D,
    zone: &impl Server,
    name: &str,
    kind: RecordType,
) -> Result<Answer, DnsError> {
    let mut name = name.to_owned();
    let mut failure = DnsError::Failure(DnsFault::Aliases);
    'aliases: for _ in 0..MAX_ALIASES {
        failure = DnsError::Failure(DnsFault::NoServerOf(name.clone()));
        for server in servers_of(dns, &name).await {
            match zone.ask(server, &name, RecordType::Cname).await {
                Ok(answer) => {
                    let mut records = answer.records.into_iter();
                    name = records.find_map(Record::into_name).unwrap_or_default();
                    continue 'aliases;
                }
                Err(error) if error.is_absence() => {}
                Err(error) => {
                    failure = error;
                    continue;
                }
            }
            match zone.ask(server, &name, kind).await {
                Err(error) if !error.is_absence() => failure = error,
                answer => return answer,
            }
        }
        return Err(failure);
    }
    Err(failure)
}

// The addresses of the name servers of the closest zone above a name.
async fn servers_of<D: Dns>(dns: &D, name: &str) -> Vec<IpAddr> {
    let above = std::iter::successors(Some(name), |name| name.split_once('.').map(|(_, up)| up));
    let above: Vec<&str> = above.filter(|name| name.contains('.')).collect();
    let answers = together(above.into_iter().map(|name| dns.lookup(name, RecordType::Ns))).await;
    let closest = answers.into_iter().find_map(Result::ok);
    let hosts = closest.into_iter().flat_map(|answer| answer.records);
    let hosts: Vec<String> = hosts.filter_map(Record::into_name).take(MAX_SERVERS).collect();
    let kinds = [RecordType::A, RecordType::Aaaa];
    let asked = hosts.iter().flat_map(|host| kinds.map(|kind| dns.lookup(host, kind)));
    let found = together(asked).await.into_iter().filter_map(Result::ok);
    let addresses = found.flat_map(|answer| answer.records).filter_map(Record::into_address);
    addresses.take(MAX_SERVERS).collect()
}

#[cfg(test)]
mod tests {
    use puerto_mail::dns::{Table, block_on};

    use super::*;

    const REVERSE: &str = "7.2.0.192.in-addr.arpa";

    fn name(text: &str) -> Record {
        Record::Name(text.to_owned())
    }

    struct Truth<'a>(&'a Table);

    impl Server for Truth<'_> {
        async fn ask(
            &self,
            server: IpAddr,
            name: &str,
            kind: RecordType,
        ) -> Result<Answer, DnsError> {
            assert_eq!(server, "198.51.100.53".parse::<IpAddr>().unwrap());
            self.0.lookup(name, kind).await
        }
    }

    fn ask(table: &Table, truth: &Table) -> Result<Answer, DnsError> {
        block_on(ask_authority(table, &Truth(truth), REVERSE, RecordType::Ptr)).unwrap()
    }

    #[test]
    fn a_name_that_only_our_resolver_knows_is_none() {
        let mut resolved = Table::new();
        resolved
            .add("2.0.192.in-addr.arpa", RecordType::Ns, name("ns.example.net"))
            .address("ns.example.net", "198.51.100.53".parse().unwrap())
            .add(REVERSE, RecordType::Ptr, name("mail.example.com"));
        let mut truth = Table::new();
        assert_eq!(ask(&resolved, &truth), Err(DnsError::NoSuchDomain));
        truth.add(REVERSE, RecordType::Ptr, name("vps7.example.net"));
        assert_eq!(ask(&resolved, &truth).unwrap().records, [name("vps7.example.net")]);
        truth.fail(REVERSE, RecordType::Ptr, DnsError::Timeout);
        truth.fail(REVERSE, RecordType::Cname, DnsError::NoRecords);
        assert_eq!(ask(&resolved, &truth), Err(DnsError::Timeout));
    }

    #[test]
    fn a_range_that_was_handed_on_is_asked_where_it_is() {
        let mut resolved = Table::new();
        resolved
            .add("2.0.192.in-addr.arpa", RecordType::Ns, name("ns.example.net"))
            .add("0-15.2.0.192.in-addr.arpa", RecordType::Ns, name("ns.example.net"))
            .address("ns.example.net", "198.51.100.53".parse().unwrap());
        let mut truth = Table::new();
        let handed_on = "7.0-15.2.0.192.in-addr.arpa";
        truth.add(REVERSE, RecordType::Cname, name(handed_on)).add(
            handed_on,
            RecordType::Ptr,
            name("mail.example.com"),
        );
        assert_eq!(ask(&resolved, &truth).unwrap().records, [name("mail.example.com")]);
    }
}
