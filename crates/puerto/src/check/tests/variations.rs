//! What people publish, well and badly, in every way that postmasters have seen: each
//! world has exactly its findings. The worlds are data, `variations.txt`.

use std::collections::HashSet;
use std::net::IpAddr;

use puerto_mail::dns::{DnsError, Record, RecordType, reverse_name};

use super::world::{KEY, Made, other_record};
use crate::check::{Check, Status};
use crate::finding::Severity;

pub(super) struct Case {
    pub(super) title: &'static str,
    changes: Vec<&'static str>,
    expected: Vec<String>,
}

pub(super) fn cases() -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    for line in include_str!("variations.txt").lines() {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let Some(line) = line.strip_prefix("  ") else {
            cases.push(Case { title: line, changes: Vec::new(), expected: Vec::new() });
            continue;
        };
        let case = cases.last_mut().unwrap();
        match ["E ", "W ", "I ", "? "].iter().any(|mark| line.starts_with(mark)) {
            true => case.expected.push(line.to_owned()),
            false => case.changes.push(line),
        }
    }
    cases
}

impl Case {
    /// The world as this case has it.
    pub(super) fn world(&self) -> Made {
        let world = Made::healthy().with_lists().with_hosts();
        let mut changed = Changed { world, replaced: HashSet::new() };
        for line in &self.changes {
            changed.change(line);
        }
        changed.world
    }
}

struct Changed {
    world: Made,
    /// Whose records were replaced already.
    replaced: HashSet<(String, RecordType)>,
}

impl Changed {
    fn change(&mut self, line: &str) {
        let (word, rest) = line.split_once(' ').unwrap();
        match word {
            "KEY" => {
                let (from, to) = rest.split_once(" => ").unwrap();
                let text = self.world.record.replacen(from, to, 1);
                assert_ne!(text, self.world.record, "{line}");
                self.world.set_txt(KEY, &text);
            }
            "HELO" => self.world.config.delivery.helo = whole(rest),
            "WILDCARD" => self.world.wildcard = Some(rest.to_owned()),
            "NO" | "FAIL" => {
                let (kind, name) = rest.split_once(' ').unwrap();
                let name = if kind == "PTR" { reversed(name) } else { whole(name) };
                let error = if word == "NO" { DnsError::NoRecords } else { DnsError::Timeout };
                self.world.table.fail(&name, kind_of(kind), error);
            }
            "SERVER" => {
                let (server, answer) = rest.split_once(' ').unwrap();
                let error = match answer {
                    "NXDOMAIN" => DnsError::NoSuchDomain,
                    "silent" => DnsError::Timeout,
                    code => DnsError::Failure(code.into()),
                };
                self.world.all_of(server, &Err(error));
            }
            "AT" => {
                let (server, said) = rest.split_once(' ').unwrap();
                let (name, kind, answer) = match said.strip_prefix("NO ") {
                    Some(question) => {
                        let (kind, name) = question.split_once(' ').unwrap();
                        (whole(name), kind_of(kind), Err(DnsError::NoSuchDomain))
                    }
                    None => {
                        let (name, kind, record) = self.record(said);
                        (name, kind, Ok(vec![record]))
                    }
                };
                self.world.servers.insert((server.parse().unwrap(), name, kind), answer);
            }
            _ => self.publish(line),
        }
    }

    fn publish(&mut self, line: &str) {
        let beside = line.strip_prefix('+');
        let (name, kind, record) = self.record(beside.unwrap_or(line));
        if kind == RecordType::Cname {
            let kinds = [RecordType::A, RecordType::Aaaa, RecordType::Txt, RecordType::Mx];
            for other in kinds {
                self.world.table.remove(&name, other);
            }
        }
        if beside.is_none() && self.replaced.insert((name.clone(), kind)) {
            self.world.table.remove(&name, kind);
        }
        self.world.table.add(&name, kind, record);
    }

    fn record(&self, line: &str) -> (String, RecordType, Record) {
        let mut words = line.splitn(3, ' ');
        let (word, name, value) =
            (words.next().unwrap(), words.next().unwrap(), words.next().unwrap());
        let text = value
            .replace("{ours}", "ip4:192.0.2.10 ip6:2001:db8::10")
            .replace("{key}", &self.world.record)
            .replace("{cut}", self.world.record.get(..255).unwrap())
            .replace("{other}", &other_record());
        match word {
            "A" => {
                let address: IpAddr = value.parse().unwrap();
                let kind = if address.is_ipv4() { RecordType::A } else { RecordType::Aaaa };
                (whole(name), kind, Record::Address(address))
            }
            "MX" => {
                let (preference, host) = value.split_once(' ').unwrap();
                let record = Record::Mx(preference.parse().unwrap(), whole(host));
                (whole(name), RecordType::Mx, record)
            }
            "PTR" => (reversed(name), RecordType::Ptr, Record::Name(whole(value))),
            "NS" | "CNAME" => (whole(name), kind_of(word), Record::Name(whole(value))),
            "TXT" => (whole(name), RecordType::Txt, Record::Txt(text.into_bytes())),
            other => panic!("{other}"),
        }
    }
}

fn whole(name: &str) -> String {
    name.replace('@', "example.com")
}

fn reversed(address: &str) -> String {
    reverse_name(address.parse().unwrap())
}

fn kind_of(word: &str) -> RecordType {
    match word {
        "A" => RecordType::A,
        "MX" => RecordType::Mx,
        "TXT" => RecordType::Txt,
        "PTR" => RecordType::Ptr,
        "NS" => RecordType::Ns,
        "SOA" => RecordType::Soa,
        "CNAME" => RecordType::Cname,
        other => panic!("{other}"),
    }
}

// As the data writes it; nothing for what is right or does not matter.
fn found(check: &Check) -> Option<String> {
    let mark = match (check.status, check.severity) {
        (Status::Unknown, _) => '?',
        (Status::Finding, Severity::Error) => 'E',
        (Status::Finding, Severity::Warning) => 'W',
        (Status::Finding, Severity::Info) => 'I',
        _ => return None,
    };
    Some(format!("{mark} {} {}", check.id(), check.subject))
}

#[tokio::test]
async fn what_is_published_has_exactly_its_findings() {
    let mut wrong = Vec::new();
    for mut case in cases() {
        let checks = case.world().check_all().await;
        let mut found: Vec<String> = checks.iter().filter_map(found).collect();
        found.sort();
        case.expected.sort();
        if found != case.expected {
            wrong.push(format!("{}: {found:?}, expected {:?}", case.title, case.expected));
        }
        for check in checks.iter().filter(|check| check.status == Status::Finding) {
            let texts = [&check.seen, &check.expected, &check.remedy].map(ToString::to_string);
            if texts.iter().any(|text| text.is_empty() || text.contains("{subject}")) {
                wrong.push(format!("{}: {check:?}", case.title));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
