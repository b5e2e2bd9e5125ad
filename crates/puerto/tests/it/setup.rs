//! `puerto setup` as its users run it, in a folder that stands for the machine.

use std::path::Path;
use std::process::Output;

use crate::support::command::{code, run, stderr, stdout};

fn setup(root: &Path, arguments: &[&str]) -> Output {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_puerto"));
    command.arg("setup").args(arguments).arg("--root").arg(root);
    command.env_remove("PUERTO_CONFIG").env("LC_ALL", "C");
    run(command, b"")
}

#[test]
fn a_folder_is_set_up_and_its_configuration_is_right() {
    let root = tempfile::tempdir().unwrap();
    let relay = ["example.com", "--hostname", "mail.example.com", "--relayhost", "[r.example]:587"];
    let output = setup(root.path(), &[&relay[..], &["--yes", "--json"]].concat());
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let report: serde_json::Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!(report["hostname"], "mail.example.com");
    assert_eq!(report["relayhost"], "[r.example]:587");
    assert_eq!(report["port_25"], "not-tried");
    assert_eq!(report["changed"], true);
    let file = root.path().join("etc/puerto/puerto.toml");
    let mut check = std::process::Command::new(env!("CARGO_BIN_EXE_puerto"));
    check.arg("--config").arg(&file).args(["config", "check"]);
    assert_eq!(code(&run(check, b"")), 0);
    let again = setup(root.path(), &[&relay[..], &["--json"]].concat());
    let report: serde_json::Value = serde_json::from_str(&stdout(&again)).unwrap();
    assert_eq!((code(&again), &report["changed"]), (0, &false.into()));
    let contrary = setup(root.path(), &["example.com", "--relayhost", "", "--yes"]);
    assert_eq!(code(&contrary), 1, "{}", stdout(&contrary));
}

#[test]
fn it_speaks_spanish_when_asked_to() {
    let root = tempfile::tempdir().unwrap();
    let output = setup(root.path(), &["example.com", "--lang", "es"]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert!(stdout(&output).contains("Registros DNS que publicar"), "{}", stdout(&output));
}

#[test]
fn names_that_cannot_be_are_refused_before_anything_is_written() {
    for arguments in [
        &["localhost"][..],
        &["a b.example"],
        &["example.com", "--hostname", "mail"],
        &["example.com", "--relayhost", "192.0.2.1"],
    ] {
        let root = tempfile::tempdir().unwrap();
        let output = setup(root.path(), arguments);
        assert_eq!(code(&output), 2, "{arguments:?}");
        assert_eq!(root.path().read_dir().unwrap().count(), 0, "{arguments:?}");
    }
}
