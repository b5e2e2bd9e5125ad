//! What is shown, whole, in every form and both languages.

use super::*;
use crate::config::Config;
use crate::golden;
use crate::intake::KeyRing;

const KEY: &str = include_str!("../../../tests/golden/dnsplan/key.record");

fn subject() -> Subject {
    let mut subject = super::subject();
    KEY.clone_into(&mut subject.keys[0].record);
    subject
}

fn same(name: &str, table: &Table, subject: &Subject) {
    let plan = planned(table, subject);
    let mut text = String::new();
    for language in [Language::English, Language::Spanish] {
        text += &render::fields(&plan, language);
        text += &format!("\n===== zone\n{}", zonefile::zone(&plan, language));
        text += &format!("\n===== json\n{:#}\n\n", render::json(&plan, language));
    }
    golden::same(&format!("dnsplan/{name}.txt"), &text);
}

fn name(text: &str) -> Record {
    Record::Name(text.to_owned())
}

#[test]
fn from_nothing_and_once_published() {
    let (mut table, subject) = (Table::new(), subject());
    same("unregistered", &table, &subject);
    table.add("example.com", RecordType::Soa, Record::Soa(1, "ns. h. 1 2 3 4 5".to_owned()));
    table.add("example.com", RecordType::Ns, name("ns.example.net"));
    same("nothing", &table, &subject);
    let published = publish(&table, &planned(&table, &subject));
    same("done", &published, &subject);
}

#[test]
fn where_everything_is_wrong() {
    let (mut table, mut subject) = (Table::new(), subject());
    subject.reached = vec![("postmaster", None), ("abuse", Some(false))];
    table
        .address("mail.example.com", "192.0.2.77".parse().unwrap())
        .address("mail.example.com", "192.0.2.1".parse().unwrap())
        .mx("example.com", 0, ".")
        .txt("example.com", "v=spf1 include:_spf.gone.example include:_spf.bad.example ?all")
        .txt("example.com", "v=spf1 a:+all +all exp=a.example exp=b.example")
        .txt("example.com", "\"v=spf1 ip4:198.51.100.1 -all\"")
        .txt("_spf.bad.example", "v=spf1 nonsense -all")
        .txt("mail.example.com", "v=spf1 -all mx")
        .txt("s1._domainkey.example.com", &format!("{KEY}; t=y"))
        .txt("s1._domainkey.example.com", "v=spf1 -all")
        .txt("_dmarc.example.com", "v=dmarc1; p=reject, rua=a@b.example; sp=x; sp=none")
        .txt("_dmarc.example.com", "v=DMARC1; p=none; rua=mailto:a@b.example")
        .add("1.2.0.192.in-addr.arpa", RecordType::Ptr, name("vps1.provider.example"))
        .fail(&reverse("2001:db8::1"), RecordType::Ptr, DnsError::Timeout);
    same("wrong", &table, &subject);
}

#[test]
fn what_is_the_owners_to_decide() {
    let (mut table, mut subject) = (Table::new(), subject());
    subject.receives = false;
    subject.keys[0].kind = "ed25519";
    table
        .mx("example.com", 5, "mx.provider.example")
        .txt("example.com", "v=spf1 ip4:198.51.100 a -all")
        .add("_dmarc.example.com", RecordType::Cname, name("d.host.example"))
        .add("mail.example.com", RecordType::Cname, name("vps1.host.example"))
        .txt("s1._domainkey.example.com", "v=DKIM1; p=")
        .add("1.2.0.192.in-addr.arpa", RecordType::Ptr, name("mail.example.com"))
        .add("1.2.0.192.in-addr.arpa", RecordType::Ptr, name("old.example.com"));
    same("undecided", &table, &subject);
    let (mut table, mut subject) = (Table::new(), self::subject());
    subject.hostname = "mail".to_owned();
    subject.keys.clear();
    subject.receives = false;
    table.txt("example.com", "v=spf1 include:example.com +all");
    same("no-name-no-key", &table, &subject);
}

#[test]
fn through_a_relay() {
    for (file, hop) in [
        ("relay-provider", "[smtp.gmail.com]:587"),
        ("relay-host", "[relay.example.net]:587"),
        ("relay-mx", "relay.example.net"),
        ("relay-address", "[198.51.100.9]"),
        ("relay-private", "[192.168.1.9]"),
        ("relay-nowhere", "[gone.example.net]"),
        ("relay-nowhere-mx", "gone.example.net:587"),
    ] {
        let (mut table, mut subject) = (Table::new(), subject());
        subject.relay = Some(NextHop::parse(hop).unwrap());
        subject.egress.clear();
        table
            .txt("example.com", "v=spf1 mx -all")
            .mx("example.com", 5, "mail.example.com")
            .txt("_spf.google.com", "v=spf1 ip4:203.0.113.0/24 ~all")
            .mx("relay.example.net", 10, "mx.example.net")
            .address("relay.example.net", "198.51.100.7".parse().unwrap())
            .address("mx.example.net", "198.51.100.8".parse().unwrap());
        same(file, &table, &subject);
    }
}

fn reverse(address: &str) -> String {
    puerto_mail::dns::reverse_name(address.parse().unwrap())
}

#[test]
fn what_is_said_of_failures() {
    use update::{KeyFileError, Stopped, UpdateError};
    let zone = || "example.com".to_owned();
    let nowhere = std::path::Path::new("/nonexistent");
    let config = Config::for_tests(nowhere);
    let said_of_domain = |config: &Config, domain: Option<&str>| {
        let ring = KeyRing::load(nowhere);
        Subject::new(config, &ring, domain, Vec::new()).unwrap_err()
    };
    let mut said = vec![
        said_of_domain(&config, Some("a b")),
        said_of_domain(&Config { domains: Vec::new(), ..config }, None),
        KeyFileError::Malformed("key".to_owned()).said(),
        KeyFileError::Algorithm("key".to_owned(), "hmac-md5".into()).said(),
        update::Key::load(std::path::Path::new("/nonexistent/key")).unwrap_err().said(),
        UpdateError::Changed(zone()).said(),
        UpdateError::Ignored(zone()).said(),
    ];
    said.extend((0..12).map(|code| UpdateError::Refused(zone(), code).said()));
    said.extend((15..19).map(|reason| UpdateError::Key(zone(), reason).said()));
    let error = UpdateError::Changed(zone());
    for unchanged in [vec![], vec![zone()]] {
        said.push(Stopped { error: error.clone(), changed: vec![zone()], unchanged }.said());
    }
    let mut text = String::new();
    for said in said {
        text += &format!("{}\n{}\n", said.of(Language::English), said.of(Language::Spanish));
    }
    let mut silent = Table::new();
    for number in 1..7 {
        let key = Key { selector: format!("s{number}"), ..subject().keys[0].clone() };
        let name = format!("{}._domainkey.example.com", key.selector);
        silent.fail(&name, RecordType::Txt, DnsError::Timeout);
    }
    let keys = (1..7).map(|n| Key { selector: format!("s{n}"), ..subject().keys[0].clone() });
    let subject = Subject { keys: keys.collect(), ..subject() };
    let unread = block_on(plan(&silent, &subject)).unwrap().unwrap_err().said();
    text += &format!("{}\n{}\n", unread.of(Language::English), unread.of(Language::Spanish));
    golden::same("dnsplan/failures.txt", &text);
}
