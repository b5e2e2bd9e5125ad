//! What every check knows: whose mail is judged, from where it goes out, and by
//! which way.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use puerto_mail::dkim::SigningKey;
use puerto_mail::dns::{Answer, Dns, DnsError, Record, RecordType, records_of};
use puerto_mail::spf::{self, Evaluation, Query};
use puerto_mail::together::together;

use super::outcome::{Check, Definition, Draft};
use super::world::World;
use crate::config::{Config, NextHop, NextHopHost};
use crate::intake::{KeyProblem, KeyRing};
use crate::lang::{Said, Text};
use crate::survey::address::is_public;
use crate::survey::egress::Host;
use crate::survey::names::ascii;
use crate::survey::{egress, relayhost, unregistered};

/// What is judged.
#[derive(Debug)]
pub struct Context<'a, W> {
    /// Whom everything is asked: a family never reaches past it, so that tests can judge
    /// a made-up Internet.
    pub world: &'a W,
    /// What this server is told to be and to do; what is judged is what follows from it.
    pub config: &'a Config,
    /// The sender's domain, in From and in the reverse-path: lower case, A-labels.
    pub domain: String,
    /// The registered domain that it lies in, if the DNS says that there is none.
    pub unregistered: Option<String>,
    /// The name in EHLO: lower case, A-labels.
    pub helo: String,
    /// The names in EHLO of `[[source]]`, with their addresses as the world sees them.
    pub sources: Vec<Host>,
    /// The addresses that mail leaves from.
    pub egress: Vec<IpAddr>,
    /// Those of them that were found in the DNS: this machine has a private address.
    pub translated: Vec<IpAddr>,
    /// They were given by hand: they are not ours, and nothing of theirs is probed.
    pub egress_given: bool,
    /// The relayhost that all mail goes to, if there is one.
    pub relay: Option<Relay>,
    /// The keys that sign for the domain.
    pub keys: Vec<Arc<SigningKey>>,
    /// Other domains that there are keys for, where there are none for the domain.
    pub other_key_domains: Vec<String>,
    /// Key files that could not be used, each with its reason.
    pub key_problems: Vec<KeyProblem>,
    /// Where the keys are looked for, for people to look there too.
    pub key_directory: PathBuf,
    /// Seconds since the epoch: one moment for the whole run, so that its checks agree.
    pub now: i64,
    /// Which of the domains that are judged in one run this is.
    pub place: Place,
}

/// A domain among those that one run judges.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Place {
    /// The only one: subjects need not name it.
    #[default]
    Alone,
    /// The first of several: what is about this machine is judged with it.
    First,
    /// Another, of which the machine's own families say nothing again.
    Further,
}

/// A relayhost: to the world it is the one that sends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Relay {
    /// As the configuration names it, without brackets and port.
    pub name: String,
    /// Where it takes mail; whether it sends from there nobody can see from here.
    pub addresses: Result<Vec<IpAddr>, DnsError>,
}

/// What to judge, as it was asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Asked {
    /// The domain; `None`: those of the configuration.
    pub domain: Option<String>,
    /// Addresses to judge in place of this machine's own.
    pub egress: Vec<IpAddr>,
}

impl<'a, W: World> Context<'a, W> {
    /// Gathers what can be known before anything is checked.
    pub async fn gather(world: &'a W, config: &'a Config, asked: Asked, now: i64) -> Self {
        let domain = domain_of(&asked, config);
        let ring = KeyRing::of(config);
        let keys = puerto_smtp::Domain::parse(&domain).map(|domain| ring.keys_for(&domain));
        let keys = keys.unwrap_or_default();
        let mut others: Vec<String> = Vec::new();
        if keys.is_empty() {
            others.extend(ring.keys().iter().map(|key| key.domain.clone()));
            others.dedup();
        }
        let relay = match &config.relayhost {
            Some(next_hop) => Some(Relay::find(world, next_hop).await),
            None => None,
        };
        let unregistered = unregistered(world, &domain).await;
        let egress_given = !asked.egress.is_empty();
        let helo = ascii(&config.delivery.helo);
        let mut egress =
            if egress_given { egress::given(&asked.egress) } else { egress::find(config) };
        let mut sources = egress::sources(config);
        let translated = match egress_given || config.delivery.allow_private {
            true => Vec::new(),
            false => translate(world, &helo, &mut sources, &mut egress).await,
        };
        Self {
            world,
            config,
            domain,
            unregistered,
            helo,
            sources,
            egress,
            translated,
            egress_given,
            relay,
            keys,
            other_key_domains: others,
            key_problems: ring.problems(),
            key_directory: config.dkim_directory.clone(),
            now,
            place: Place::Alone,
        }
    }

    /// The subject of a check of the domain that is about one address or host: with
    /// several domains it names both.
    pub fn subject(&self, one: impl ToString) -> String {
        match self.place {
            Place::Alone => one.to_string(),
            Place::First | Place::Further => format!("{} {}", self.domain, one.to_string()),
        }
    }

    /// Begins the check of a subject.
    pub fn about(&self, definition: &'static Definition, subject: impl ToString) -> Draft {
        let draft = Draft::new(definition, subject.to_string());
        draft.with("domain", &self.domain).with("helo", &self.helo)
    }

    /// The same, where the DNS is asked one question.
    pub fn asking(
        &self,
        definition: &'static Definition,
        subject: impl ToString,
        (name, kind): (&str, RecordType),
    ) -> Draft {
        self.about(definition, subject).asked_dns(self.question(name, kind))
    }

    /// A question as people repeat it: `TXT example.com @127.0.0.53`.
    pub fn question(&self, name: &str, record_type: RecordType) -> String {
        format!("{record_type} {name} @{}", self.world.resolver())
    }

    /// The addresses of a name in both families; one that had no answer does not matter
    /// where the other has some.
    pub async fn addresses(&self, name: &str) -> Result<Vec<IpAddr>, DnsError> {
        let kinds = [RecordType::A, RecordType::Aaaa];
        let answers = together(kinds.map(|kind| addresses(self.world, name, kind))).await;
        let found: Vec<IpAddr> = answers.iter().flatten().flatten().copied().collect();
        match answers.into_iter().find_map(Result::err) {
            Some(error) if found.is_empty() => Err(error),
            _ => Ok(found),
        }
    }

    /// The addresses of a name in one family by the word of the zone's own servers: for
    /// names that this machine's resolver may answer for by itself.
    pub async fn public_addresses(
        &self,
        name: &str,
        kind: RecordType,
    ) -> Result<Vec<IpAddr>, DnsError> {
        addresses_in(self.world.undistorted(name, kind).await)
    }

    /// The closest name at or above the domain that has records of a type, with them: its
    /// zone.
    pub async fn closest(&self, kind: RecordType) -> Result<Option<(&str, Vec<Record>)>, DnsError> {
        let mut name = self.domain.as_str();
        loop {
            let records = self.world.records(name, kind).await?;
            match name.split_once('.') {
                _ if !records.is_empty() => return Ok(Some((name, records))),
                Some((_, above)) if above.contains('.') => name = above,
                _ => return Ok(None),
            }
        }
    }

    /// The hosts that the domain's mail goes to, the best first: those of its MX records, or
    /// itself where it has none (RFC 5321 §5.1); none with the null MX (RFC 7505).
    pub async fn exchangers(&self) -> Result<Vec<String>, DnsError> {
        let found = self.world.exchangers(&self.domain).await?;
        let own = found.is_empty().then(|| self.domain.clone());
        let named = found.into_iter().map(|(_, host)| host).filter(|host| !host.is_empty());
        Ok(named.chain(own).collect())
    }

    /// The TXT records of a name as text; none where the DNS says that there are
    /// none. Octets that are no text are replaced.
    pub async fn texts(&self, name: &str) -> Result<Vec<String>, DnsError> {
        let records = self.world.records(name, RecordType::Txt).await?;
        Ok(records.iter().filter_map(Record::text).collect())
    }

    /// What a name is an alias of.
    pub async fn alias(&self, name: &str) -> Result<Option<String>, DnsError> {
        let records = self.world.records(name, RecordType::Cname).await?;
        Ok(records.into_iter().find_map(Record::into_name))
    }

    /// The same; `None` also where the DNS does not say.
    pub async fn alias_of(&self, name: &str) -> Option<String> {
        self.alias(name).await.ok().flatten()
    }

    /// That a name is no alias.
    pub async fn no_alias(&self, draft: Draft, name: &str) -> Check {
        let draft = draft.asked_dns(self.question(name, RecordType::Cname));
        match self.alias(name).await {
            Ok(Some(target)) => draft.with("target", target).wrong(),
            Ok(None) => draft.right(),
            Err(error) => draft.no_answer(&error),
        }
    }

    /// How to publish a line of a zone file: beside an alias nothing may stand (RFC 1034
    /// §3.6.2).
    pub fn to_publish(&self, alias: Option<&str>, line: &str) -> Said {
        const AT_ALIAS: Text = Text::new(
            "The name is an alias (CNAME) of {target}: remove the CNAME first, or have the record \
             changed at {target}: {line}",
            "El nombre es un alias (CNAME) de {target}: quite antes el CNAME, o haga que cambien el \
             registro en {target}: {line}",
        );
        let line = Said::words(line);
        match alias {
            None => line,
            Some(target) => {
                Said::of_parts(AT_ALIAS, &[("target", &Said::words(target)), ("line", &line)])
            }
        }
    }

    /// The addresses that the world sees our mail come from.
    pub fn senders(&self) -> Vec<IpAddr> {
        let mut found = match &self.relay {
            Some(relay) => relay.addresses.clone().unwrap_or_default(),
            None => self.egress.clone(),
        };
        found.retain(|address| self.config.delivery.allow_private || is_public(*address));
        found
    }

    /// All names in EHLO, the server's own first, each with its addresses.
    pub fn hosts(&self) -> Vec<Host> {
        egress::hosts(&self.helo, &self.sources, &self.egress)
    }

    /// The names in EHLO of mail from an address: one, unless several sources share it.
    pub fn names_of(&self, address: IpAddr) -> Vec<&str> {
        egress::names_of(&self.helo, &self.sources, address)
    }

    /// Where the configuration says such a name in EHLO.
    pub fn key_of(&self, name: &str) -> Text {
        match name == self.helo {
            true => Text::same("hostname"),
            false => Text::same("[[source]] helo"),
        }
    }

    /// What SPF of the domain comes to for mail from each address.
    pub async fn spf_of(&self, addresses: &[IpAddr]) -> Vec<Evaluation> {
        let sender = format!("postmaster@{}", self.domain);
        let query = |address: &IpAddr| {
            let helo = self.names_of(*address).first().map_or("", |name| *name).to_owned();
            Query::mail_from_text(*address, &helo, &sender)
        };
        let queries: Vec<Query> = addresses.iter().map(query).collect();
        together(queries.iter().map(|query| spf::check(self.world, query))).await
    }

    /// The domains that are known to be ours.
    pub fn own_domains(&self) -> impl Iterator<Item = &str> {
        let configured = self.config.domains.iter().filter_map(puerto_smtp::Domain::name);
        configured.chain([self.domain.as_str(), self.helo.as_str()])
    }
}

/// The domain that is judged, the first if there are several: lower case, A-labels.
pub fn domain_of(asked: &Asked, config: &Config) -> String {
    domains_of(asked, config).into_iter().next().unwrap_or_default()
}

/// All domains that are judged: the one that was named, or those of the configuration. Where
/// mailboxes are elsewhere, the domain that mail is from comes first, and the machine's own
/// name, which then is no more than that, is none of them.
pub fn domains_of(asked: &Asked, config: &Config) -> Vec<String> {
    let is_bare = |domain: &&puerto_smtp::Domain| {
        config.origin.is_some() && ascii(&domain.to_string()) == ascii(&config.hostname)
    };
    let own = config.domains.iter().filter(|domain| !is_bare(domain));
    let configured = || config.origin.iter().chain(own).map(|domain| ascii(&domain.to_string()));
    let mut domains: Vec<String> = match &asked.domain {
        Some(domain) => vec![ascii(domain)],
        None => Vec::new(),
    };
    for domain in configured().filter(|_| asked.domain.is_none()) {
        if !domains.contains(&domain) {
            domains.push(domain);
        }
    }
    domains
}

// Behind address translation, each name says what the world sees: the addresses that were put
// in the place of private ones.
async fn translate<D: Dns>(
    dns: &D,
    own: &str,
    sources: &mut [Host],
    egress: &mut Vec<IpAddr>,
) -> Vec<IpAddr> {
    let private = |address: &IpAddr| address.is_ipv4() && !is_public(*address);
    let mut translated: Vec<IpAddr> = Vec::new();
    for host in egress::hosts(own, sources, egress) {
        if !host.addresses.iter().any(private) {
            continue;
        }
        let mut found = addresses(dns, &host.name, RecordType::A).await.unwrap_or_default();
        found.retain(|address| is_public(*address));
        if found.is_empty() {
            continue;
        }
        egress.retain(|address| !(private(address) && host.addresses.contains(address)));
        for source in sources.iter_mut().filter(|source| source.name == host.name) {
            source.addresses.extend(&found);
        }
        translated.append(&mut found);
    }
    *egress = egress::given(&[translated.as_slice(), egress].concat());
    translated
}

async fn addresses<D: Dns>(dns: &D, name: &str, kind: RecordType) -> Result<Vec<IpAddr>, DnsError> {
    addresses_in(dns.lookup(name, kind).await)
}

fn addresses_in(answer: Result<Answer, DnsError>) -> Result<Vec<IpAddr>, DnsError> {
    Ok(records_of(answer)?.into_iter().filter_map(Record::into_address).collect())
}

impl Relay {
    async fn find<D: Dns>(dns: &D, next_hop: &NextHop) -> Self {
        let name = match &next_hop.host {
            NextHopHost::Address(address) => address.to_string(),
            NextHopHost::Name(name) | NextHopHost::Mx(name) => name.clone(),
        };
        let way = relayhost::way(dns, next_hop).await;
        Self { name, addresses: way.map(|way| way.addresses).map_err(|(_, error)| error) }
    }
}
