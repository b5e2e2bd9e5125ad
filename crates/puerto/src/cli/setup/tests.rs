//! The report of a setup, as people and programs get it.

use std::net::SocketAddr;

use puerto_mail::dns::{DnsError, Table, block_on};
use puerto_smtp::Domain;

use super::*;
use crate::dnsplan::{Plan, Subject, Unread};
use crate::golden::same;
use crate::setup::{Egress, Port25, Survey, World};

/// A machine with a reverse name, one without and one that nobody could ask for.
struct Told;

impl World for Told {
    fn is_published(&self, _: &str) -> bool {
        false
    }

    fn survey(&self, _: &str) -> Survey {
        let egress = |address: &str, names| Egress { address: address.parse().unwrap(), names };
        Survey {
            egress: vec![
                egress("203.0.113.5", Ok(vec!["vps5.host.example".into()])),
                egress("2001:db8::5", Ok(Vec::new())),
                egress("10.0.0.5", Err(DnsError::Timeout)),
            ],
            machine: Some("vps.host.example".into()),
            exchanges: Ok(vec!["mx.provider.example".into()]),
            absent: true,
            validates: Some(true),
        }
    }

    fn plan(&self, subject: &Subject) -> Result<Plan, Unread> {
        let mut table = Table::new();
        table.txt("example.com", "v=spf1 include:_spf.provider.example -all");
        table.txt("_spf.provider.example", "v=spf1 ip4:198.51.100.0/24 -all");
        block_on(crate::dnsplan::plan(&table, subject)).unwrap()
    }

    fn port_25(&self) -> Port25 {
        Port25::Unknown
    }

    fn running(&self) -> Vec<PathBuf> {
        Vec::new()
    }

    fn holders(&self, _: SocketAddr) -> Vec<PathBuf> {
        Vec::new()
    }

    fn execute(&self, command: &str) -> Result<(), String> {
        panic!("a folder that stands for a machine is not acted on: {command}")
    }
}

/// The files of a machine: each begins with a line `==> PATH`.
fn machine(files: &str) -> (tempfile::TempDir, Root) {
    let folder = tempfile::tempdir().unwrap();
    for file in files.split("==> ").skip(1) {
        let (path, text) = file.split_once('\n').unwrap();
        let path = folder.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    let root = Root::new(folder.path());
    (folder, root)
}

/// Without what is another each time: the folder, the keys and the month in their names.
fn steady(text: &str, root: &Root) -> String {
    let program = std::env::current_exe().unwrap().display().to_string();
    let text = text.replace(&root.folder().display().to_string(), "/ROOT");
    let text = text.replace("2026-11", "MONTH").replace(&program, "PROGRAM");
    let of_key = |c: char| c.is_ascii_alphanumeric() || "+/=".contains(c);
    let words = text.split_inclusive(|c| !of_key(c));
    let steady = words.map(|word| match word.find(|c| !of_key(c)).unwrap_or(word.len()) {
        length if length > 42 => format!("KEY{}", word.get(length..).unwrap_or_default()),
        _ => word.to_owned(),
    });
    steady.collect()
}

const LANGUAGES: [(Language, &str); 2] = [(Language::English, "en"), (Language::Spanish, "es")];

fn document(value: &serde_json::Value, root: &Root) -> String {
    steady(&format!("{value:#}\n"), root)
}

#[test]
fn a_report_and_what_is_undone_are_shown_as_ever() {
    let hop = |text: &str| NextHop::parse(text).unwrap();
    for (name, files, hostname, relayhost) in [
        ("first", include_str!("../../../tests/golden/setup/first.machine"), None, None),
        (
            "second",
            include_str!("../../../tests/golden/setup/second.machine"),
            Some("mail.example.com".to_owned()),
            Some(Some(hop("[r.example]:587"))),
        ),
        ("bare", "", Some("vps5.lan".to_owned()), Some(None)),
    ] {
        let wishes = Wishes {
            domain: "example.com".into(),
            hostname,
            root_mail: Some("ana@example.net".into()),
            relayhost,
            login: None,
            origin: (name == "second").then(|| Domain::parse("web.example").ok()),
            always: (name == "second").then(|| Address::parse("a@b.example").ok()),
            config_file: crate::config::DEFAULT_FILE.into(),
            program: "/usr/local/bin/puerto".into(),
            act: true,
            language: Language::English,
            today: jiff::civil::date(2026, 11, 24),
        };
        let (_folder, root) = machine(files);
        let report = setup::run(&wishes, &root, &Told, &mut Nobody).unwrap();
        let config = Config::load(Some(&root.at(&wishes.config_file))).unwrap();
        let places = (wishes.program.as_path(), wishes.config_file.as_path());
        let undone = setup::undo(&config, places, &root, &Told, None);
        for (language, code) in LANGUAGES {
            let file = |end: &str| format!("setup/{name}.{code}.{end}");
            same(&file("txt"), &steady(&show::text(&report, language), &root));
            same(&file("json"), &document(&show::json(&report, language), &root));
            same(&file("undone.txt"), &steady(&show::undone(&undone, language), &root));
            same(&file("undone.json"), &document(&show::undone_json(&undone, language), &root));
        }
    }
}
