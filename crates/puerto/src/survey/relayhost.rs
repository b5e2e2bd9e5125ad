//! What a relayhost means: whom the DNS is asked about, where that leads, and whose
//! service it is. How it is written says [`NextHop`].

use std::net::IpAddr;

use puerto_mail::dns::{Dns, Record, RecordType};
use puerto_mail::spf::ahead;
use puerto_mail::together::together;

use super::names::ascii;
use super::records::{Unanswered, addresses, records};
use crate::config::{NextHop, NextHopHost};
use puerto_mail::dns::is_at_or_below;

/// Addresses of a relayhost that are looked at.
const MAX_ADDRESSES: usize = 20;

/// Where a relayhost leads, as the DNS says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Way {
    /// Over MX records.
    pub by_mx: bool,
    /// The addresses of its hosts, or itself; empty: it leads nowhere.
    pub addresses: Vec<IpAddr>,
}

/// What [`way`] begins by asking, for whoever asks ahead.
pub fn first_questions(next_hop: &NextHop) -> Vec<ahead::Question> {
    let Some(name) = next_hop.host.name().map(ascii) else { return Vec::new() };
    let mut questions = ahead::addresses(&name).to_vec();
    if matches!(next_hop.host, NextHopHost::Mx(_)) {
        questions.push((name, RecordType::Mx));
    }
    questions
}

/// Finds the hosts of a relayhost: an address is its own, a name in brackets has
/// addresses, and a bare one MX records, or addresses where it has none.
pub async fn way<D: Dns>(dns: &D, next_hop: &NextHop) -> Result<Way, Unanswered> {
    let (name, is_bare) = match &next_hop.host {
        NextHopHost::Address(address) => {
            return Ok(Way { by_mx: false, addresses: vec![*address] });
        }
        NextHopHost::Name(name) => (ascii(name), false),
        NextHopHost::Mx(name) => (ascii(name), true),
    };
    let mut hosts = Vec::new();
    if is_bare {
        let found = records(dns, &name, RecordType::Mx).await?;
        hosts.extend(found.into_iter().filter_map(Record::into_exchanger));
        hosts.sort();
    }
    let by_mx = !hosts.is_empty();
    // A null MX names no host (RFC 7505).
    let mut names: Vec<String> = hosts.into_iter().map(|(_, host)| host).collect();
    names.retain(|name| !name.is_empty());
    if !by_mx {
        names.push(name);
    }
    let asked = names.iter().take(MAX_ADDRESSES).map(|name| addresses(dns, name));
    let mut found = Vec::new();
    for addresses in together(asked).await {
        found.append(&mut addresses?);
    }
    found.truncate(MAX_ADDRESSES);
    Ok(Way { by_mx, addresses: found })
}

/// What stands at the name of a relayhost, whichever of it is meant.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Names {
    /// Its MX records, the best first.
    pub exchangers: Vec<(u16, String)>,
    /// Its own addresses.
    pub addresses: Vec<IpAddr>,
}

/// Looks both meanings of a relayhost's name up, as far as the DNS answers; `None` for an
/// address.
pub async fn names<D: Dns>(dns: &D, next_hop: &NextHop) -> Option<Names> {
    let name = ascii(next_hop.host.name()?);
    let exchangers = dns.exchangers(&name).await.unwrap_or_default();
    let kinds = [RecordType::A, RecordType::Aaaa];
    let found = together(kinds.map(|kind| dns.records(&name, kind))).await;
    let records = found.into_iter().flatten().flatten();
    let mut addresses: Vec<IpAddr> = records.filter_map(Record::into_address).collect();
    addresses.sort();
    Some(Names { exchangers, addresses })
}

/// A service whose relays are known by the end of their names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Service {
    end: &'static str,
    /// The record that it publishes for SPF records to include.
    pub spf: Option<&'static str>,
    /// It has mailboxes, and takes from a login its own address alone.
    pub has_mailboxes: bool,
}

/// The service that a relayhost belongs to.
pub fn service(next_hop: &NextHop) -> Option<Service> {
    let host = next_hop.host.name()?.to_ascii_lowercase();
    let is_its = |end: &&str| is_at_or_below(&host, end);
    let of_mailboxes = || MAILBOXES.split(' ').find(is_its);
    let known = SERVICES.iter().find(|service| is_its(&service.end)).copied();
    known.or_else(|| Some(Service { end: of_mailboxes()?, spf: None, has_mailboxes: true }))
}

const fn of(end: &'static str, spf: &'static str, has_mailboxes: bool) -> Service {
    Service { end, spf: Some(spf), has_mailboxes }
}

/// The records are named as their operators or those who list such records tell them (read
/// in November 2026). None is named of services that put a reverse-path of their own into
/// every message, as Postmark says of itself
/// (postmarkapp.com/blog/why-we-no-longer-ask-for-spf-records) and SparkPost does, and of
/// Brevo, on whose record the sources do not agree.
const SERVICES: &[Service] = &[
    // support.google.com/a/answer/10684623
    of("gmail.com", "_spf.google.com", true),
    of("google.com", "_spf.google.com", false),
    // Published so; useboring-spfcreator-app.pages.dev/guides/spf-records-by-email-provider
    of("office365.com", "spf.protection.outlook.com", true),
    of("outlook.com", "spf.protection.outlook.com", true),
    // docs.aws.amazon.com/ses/latest/dg/send-email-authentication-spf.html
    of("amazonaws.com", "amazonses.com", false),
    // dmarcianbeacon.helpscoutdocs.com/article/126-spf-cleanup-techniques
    of("sendgrid.net", "sendgrid.net", false),
    // Published so; dailytool.net/tools/seo/spf-checker/blog/spf-record-multiple-email-providers
    of("mailgun.org", "mailgun.org", false),
    of("mailjet.com", "spf.mailjet.com", false),
    // sendmarc.com/spf/spf-mandrill
    of("mandrillapp.com", "spf.mandrillapp.com", false),
    // docs.mailchannels.com/email-api/spf-dkim-dmarc
    of("mailchannels.net", "relay.mailchannels.net", false),
    // docs.ovh.com/it/domains/hosting_condiviso_il_record_spf
    of("ovh.net", "mx.ovh.com", true),
    // helpdesk.gandi.net/hc/en-us/articles/14001808469404-What-is-an-SPF-record
    of("gandi.net", "_mailcust.gandi.net", true),
];

/// Mailboxes of which the login is another domain's are named; where it is the relay's own
/// domain, that tells it already.
const MAILBOXES: &str = "\
    1und1.de 163.com aliyun.com aruba.it fastmail.com free.fr gmx.com gmx.net hostinger.com \
    icloud.com infomaniak.com ionos.co.uk ionos.com ionos.de ionos.es ionos.fr kasserver.com \
    kundenserver.de libero.it mail.me.com mail.ru mailbox.org migadu.com naver.com orange.fr \
    posteo.de privateemail.com protonmail.ch qq.com secureserver.net strato.de t-online.de \
    telefonica.net titan.email web.de yahoo.com yandex.com yandex.ru zoho.com";

#[cfg(test)]
mod tests {
    use puerto_mail::dns::{DnsError, Table, block_on};

    use super::*;

    #[test]
    fn a_relayhost_leads_where_its_brackets_say() {
        let mut table = Table::new();
        table
            .mx("example.org", 20, "b.example")
            .mx("example.org", 10, "a.example")
            .address("example.org", "192.0.2.9".parse().unwrap())
            .address("a.example", "2001:db8::1".parse().unwrap())
            .address("b.example", "192.0.2.2".parse().unwrap())
            .address("xn--maana-pta.example", "192.0.2.3".parse().unwrap())
            .mx("null.example", 0, "")
            .address("null.example", "192.0.2.4".parse().unwrap());
        for (written, by_mx, addresses) in [
            ("example.org", true, &["2001:db8::1", "192.0.2.2"][..]),
            ("[example.org]:587", false, &["192.0.2.9"]),
            ("a.example", false, &["2001:db8::1"]),
            ("[mañana.example]", false, &["192.0.2.3"]),
            ("smtps://[192.0.2.7]", false, &["192.0.2.7"]),
            ("null.example", true, &[]),
            ("absent.example", false, &[]),
        ] {
            let found = block_on(way(&table, &NextHop::parse(written).unwrap())).unwrap().unwrap();
            let found: (bool, Vec<String>) =
                (found.by_mx, found.addresses.iter().map(ToString::to_string).collect());
            assert_eq!(found, (by_mx, addresses.iter().map(|a| (*a).to_owned()).collect()));
        }
        table.fail("b.example", RecordType::A, DnsError::Timeout);
        let silent = block_on(way(&table, &NextHop::parse("example.org").unwrap())).unwrap();
        assert_eq!(silent, Err(("A b.example".to_owned(), DnsError::Timeout)));
    }

    #[test]
    fn services_are_known_by_the_end_of_a_name() {
        for (written, spf, has_mailboxes) in [
            ("[smtp.gmail.com]:587", Some("_spf.google.com"), true),
            ("smtp-relay.google.com", Some("_spf.google.com"), false),
            ("[SMTP.Office365.com]", Some("spf.protection.outlook.com"), true),
            ("[smtp.strato.de]", None, true),
        ] {
            let found = service(&NextHop::parse(written).unwrap()).unwrap();
            assert_eq!((found.spf, found.has_mailboxes), (spf, has_mailboxes), "{written}");
        }
        for written in ["[mail.example.org]", "notgmail.com", "[192.0.2.1]"] {
            assert_eq!(service(&NextHop::parse(written).unwrap()), None, "{written}");
        }
    }
}
