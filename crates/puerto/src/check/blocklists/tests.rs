use std::net::{IpAddr, SocketAddr};
use std::sync::Mutex;

use puerto_mail::dns::{DnsError, Table, block_on};

use super::super::context::{Asked, Relay};
use super::super::world::Greeting;
use super::*;
use crate::config::Config;
use crate::lang::Language;

/// A made-up Internet that remembers what it was asked.
#[derive(Debug, Default)]
struct Made {
    table: Table,
    asked: Mutex<Vec<String>>,
}

impl Dns for Made {
    async fn lookup(&self, name: &str, record_type: RecordType) -> Result<Answer, DnsError> {
        self.asked.lock().unwrap().push(name.to_owned());
        self.table.lookup(name, record_type).await
    }
}

impl World for Made {
    fn resolver(&self) -> String {
        "192.0.2.53".to_owned()
    }

    async fn ask_server(
        &self,
        _: IpAddr,
        name: &str,
        record_type: RecordType,
    ) -> Result<Answer, DnsError> {
        self.table.lookup(name, record_type).await
    }

    async fn greeting(&self, _: SocketAddr, _: Option<IpAddr>) -> Greeting {
        Greeting::TimedOut
    }
}

impl Made {
    /// Every list answers its tests and lists nothing else.
    fn healthy() -> Self {
        let mut made = Self::default();
        for list in &Lists::known().lists {
            let answer = if list.is_allow_list { [127, 0, 5, 0] } else { [127, 0, 0, 2] };
            let answer = if list.check == "bl.spamhaus-dbl" { [127, 0, 1, 2] } else { answer };
            made.answer(&format!("2.0.0.127.{}", list.zone), answer);
            made.answer(&format!("test.{}", list.zone), answer);
            let mapped = "2.0.0.0.0.0.f.7.f.f.f.f.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0";
            made.answer(&format!("{mapped}.{}", list.zone), answer);
        }
        made
    }

    fn answer(&mut self, name: &str, address: [u8; 4]) {
        self.table.address(name, address.into());
    }

    fn run(&self, change: impl FnOnce(&mut Context<'_, Self>)) -> Vec<Check> {
        let dir = tempfile::tempdir().unwrap();
        let config = Config::for_tests(dir.path());
        let egress = vec!["192.0.2.7".parse().unwrap(), "2001:db8::7".parse().unwrap()];
        let asked = Asked { domain: None, egress, language: Language::English };
        let mut context = block_on(Context::gather(self, &config, asked, 0)).unwrap();
        change(&mut context);
        block_on(run(&context)).unwrap()
    }
}

/// What is not as it should be, as `id status severity subject`.
fn troubles(checks: &[Check]) -> Vec<String> {
    let wrong = checks.iter().filter(|c| !matches!(c.status, Status::Pass | Status::NotApplicable));
    wrong
        .map(|c| {
            let (status, severity) = (c.status.as_str(), c.severity.as_str());
            format!("{} {status} {severity} {}", c.id(), c.subject)
        })
        .collect()
}

#[test]
fn a_healthy_world_has_no_findings_and_each_list_is_asked_about_what_it_lists() {
    let made = Made::healthy();
    let checks = made.run(|_| {});
    assert_eq!(troubles(&checks), Vec::<String>::new());
    let asked = made.asked.lock().unwrap();
    for name in [
        "7.2.0.192.zen.spamhaus.org",
        "7.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.zen.spamhaus.org",
        "example.com.dbl.spamhaus.org",
        "7.2.0.192.dnsbl-3.uceprotect.net",
    ] {
        assert!(asked.iter().any(|asked| asked == name), "{name}");
    }
    // The name in EHLO is under the domain, which lists cover as a whole.
    assert!(!asked.iter().any(|name| name.starts_with("mail.example.com.")));
}

#[test]
fn lists_that_were_closed_or_need_a_key_are_never_asked() {
    let made = Made::healthy();
    made.run(|_| {});
    for name in made.asked.lock().unwrap().iter() {
        assert!(Lists::known().closed(name).is_none(), "{name}");
        assert!(!name.contains("abusix") && !name.contains("senderscore"), "{name}");
    }
    assert_eq!(closed_list("ix.dnsbl.manitu.net"), Some("NiX Spam"));
}

#[test]
fn an_entry_in_the_pbl_is_exactly_that() {
    let mut made = Made::healthy();
    made.answer("7.2.0.192.zen.spamhaus.org", [127, 0, 0, 10]);
    let checks = made.run(|_| {});
    assert_eq!(troubles(&checks), ["bl.spamhaus-zen finding error 192.0.2.7"]);
    let check = checks.iter().find(|check| check.status == Status::Finding).unwrap();
    assert!(check.seen.starts_with("listed by Spamhaus ZEN as PBL (127.0.0.10)"), "{check:?}");
    assert!(check.remedy.contains("relayhost") && check.remedy.contains("check.spamhaus.org"));
    assert_eq!(check.asked, "A 7.2.0.192.zen.spamhaus.org @192.0.2.53");
}

#[test]
fn a_list_that_refuses_the_resolver_is_unknown_and_the_resolver_is_named() {
    let mut made = Made::default();
    made.answer("2.0.0.127.zen.spamhaus.org", [127, 255, 255, 254]);
    made.answer("1.0.0.127.zen.spamhaus.org", [127, 255, 255, 254]);
    made.answer("7.2.0.192.zen.spamhaus.org", [127, 255, 255, 254]);
    let checks = made.run(|_| {});
    assert!(checks.iter().all(|check| check.status != Status::Finding));
    let zen = checks.iter().find(|c| c.id() == "bl.spamhaus-zen" && c.subject == "192.0.2.7");
    let zen = zen.unwrap();
    assert_eq!(zen.status, Status::Unknown);
    assert!(zen.seen.contains("192.0.2.53") && zen.seen.contains("127.255.255.254"), "{zen:?}");
    assert!(zen.remedy.contains("unbound"));
}

#[test]
fn a_list_that_lists_everything_or_fails_is_unknown() {
    let mut everything = Made::healthy();
    everything.answer("1.0.0.127.bl.spamcop.net", [127, 0, 0, 2]);
    everything.answer("7.2.0.192.bl.spamcop.net", [127, 0, 0, 2]);
    let mut failing = Made::healthy();
    let servfail = DnsError::Failure("SERVFAIL".to_owned());
    failing.table.fail("7.2.0.192.bl.spamcop.net", RecordType::A, servfail);
    assert_eq!(
        troubles(&everything.run(|_| {})),
        ["bl.sanity unknown error 192.0.2.53", "bl.spamcop unknown warning 192.0.2.7"]
    );
    assert_eq!(troubles(&failing.run(|_| {})), ["bl.spamcop unknown warning 192.0.2.7"]);
}

#[test]
fn the_smaller_lists_matter_when_two_agree() {
    let mut made = Made::healthy();
    made.answer("7.2.0.192.psbl.surriel.com", [127, 0, 0, 2]);
    assert_eq!(troubles(&made.run(|_| {})), ["bl.other finding info 192.0.2.7"]);
    made.answer("7.2.0.192.all.spamrats.com", [127, 0, 0, 38]);
    let two = ["bl.other finding warning 192.0.2.7"; 2];
    assert_eq!(troubles(&made.run(|_| {})), two);
}

#[test]
fn behind_a_relayhost_only_the_domain_is_asked_about() {
    let mut made = Made::healthy();
    made.answer("7.2.0.192.zen.spamhaus.org", [127, 0, 0, 10]);
    made.answer("example.com.dbl.spamhaus.org", [127, 0, 1, 102]);
    let checks = made.run(|context| {
        let addresses = Ok(vec!["198.51.100.1".parse().unwrap()]);
        context.relay = Some(Relay { name: "relay.example.net".to_owned(), addresses });
    });
    assert_eq!(troubles(&checks), ["bl.spamhaus-dbl finding warning example.com"]);
    let zen = checks.iter().find(|check| check.id() == "bl.spamhaus-zen").unwrap();
    assert_eq!(zen.status, Status::NotApplicable);
}

#[test]
fn bad_neighbours_are_told_of_and_dynamic_ones_are_not() {
    for (answer, expected) in [([127, 0, 0, 4], 1), ([127, 0, 0, 10], 0)] {
        let mut made = Made::healthy();
        for last in [6, 5, 3] {
            made.answer(&format!("{last}.2.0.192.zen.spamhaus.org"), answer);
        }
        let troubles = troubles(&made.run(|_| {}));
        assert_eq!(troubles.len(), expected, "{troubles:?}");
    }
}
