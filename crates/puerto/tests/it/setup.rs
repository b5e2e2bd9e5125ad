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
        &[""],
        &["192.0.2.1"],
        &["2001:db8::1"],
        &["http://example.com/"],
        &["ana@example.com"],
        &["*.example.com"],
        &["a_b.example.com"],
        &["example.com", "--hostname", "mail_1.example.com"],
        &["example.com", "--hostname", "192.0.2.1"],
        &["example.com", "--relayhost", "smtp.example.net:99999"],
        &["example.com", "--relayhost-user", "ana"],
        &["example.com", "--relayhost", "[r.example]", "--relayhost-user", "ana", "--yes"],
        &[
            "example.com",
            "--relayhost",
            "[r.example]",
            "--relayhost-user",
            "ana",
            "--relayhost-password-file",
            "/no/such/file",
        ],
        &["example.com", "--hostname", "mail"],
        &["example.com", "--relayhost", "192.0.2.1"],
    ] {
        let root = tempfile::tempdir().unwrap();
        let output = setup(root.path(), arguments);
        assert_eq!(code(&output), 2, "{arguments:?}");
        assert_eq!(root.path().read_dir().unwrap().count(), 0, "{arguments:?}");
    }
}

#[test]
fn domains_are_taken_in_every_way_that_they_are_written() {
    for (written, domain) in [
        ("EXAMPLE.com", "example.com"),
        ("example.com.", "example.com"),
        ("münchen.example", "xn--mnchen-3ya.example"),
    ] {
        let root = tempfile::tempdir().unwrap();
        let output = setup(root.path(), &[written, "--yes", "--json"]);
        let report: serde_json::Value = serde_json::from_str(&stdout(&output)).unwrap();
        assert_eq!(report["domain"], domain, "{}", stderr(&output));
        assert!(root.path().join("etc/puerto/dkim").join(domain).is_dir());
    }
}

#[test]
fn the_password_of_a_relayhost_comes_from_a_file() {
    let root = tempfile::tempdir().unwrap();
    let file = root.path().join("password");
    std::fs::write(&file, "s3cret word\nmore\n").unwrap();
    let relay = ["example.com", "--relayhost", "[r.example]:587", "--relayhost-user", "ana"];
    let with_file = [&relay[..], &["--relayhost-password-file", file.to_str().unwrap()]].concat();
    let output = setup(root.path(), &with_file);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert!(!stdout(&output).contains("s3cret"));
    let kept = root.path().join("etc/puerto/relayhost.password");
    assert_eq!(std::fs::read_to_string(&kept).unwrap(), "s3cret word\n");
    let mode = std::os::unix::fs::PermissionsExt::mode(&kept.metadata().unwrap().permissions());
    assert_eq!(mode & 0o777, 0o640);
    let told = std::fs::read_to_string(root.path().join("etc/puerto/puerto.toml")).unwrap();
    assert!(told.contains("\nrelayhost_user = \"ana\"\n"), "{told}");
}

#[test]
fn a_folder_that_can_be_none_is_named_and_one_that_is_missing_is_made() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("file");
    std::fs::write(&file, "").unwrap();
    let output = setup(&file, &["example.com", "--yes"]);
    assert_eq!(code(&output), 73);
    let said = stderr(&output);
    assert!(said.contains(&format!("{}: Not a directory", file.display())), "{said}");
    // Relative paths, of which the files that are written must not depend.
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_puerto"));
    command.args(["--config", "own.toml", "setup", "example.com", "--yes", "--root", "new"]);
    command.current_dir(home.path()).env("LC_ALL", "C");
    let output = run(command, b"");
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let unit = home.path().join("new/etc/systemd/system/puerto.service");
    let unit = std::fs::read_to_string(unit).unwrap();
    let config = home.path().join("own.toml");
    assert!(unit.contains(&format!(" --config {} serve\n", config.display())), "{unit}");
}

#[test]
fn what_the_user_wrote_stays_as_it_is() {
    let root = tempfile::tempdir().unwrap();
    let file = root.path().join("etc/puerto/puerto.toml");
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    let own = "# mine\nhostname = \"mx.example.com\"\ndomains = [\"example.com\"]\n";
    std::fs::write(&file, own).unwrap();
    let output = setup(root.path(), &["example.com", "--hostname", "other.example.com", "--yes"]);
    assert_eq!(code(&output), 1, "{}", stdout(&output));
    assert_eq!(std::fs::read_to_string(&file).unwrap(), own);
    assert!(stdout(&output).contains("hostname, not \"other.example.com\""), "{}", stdout(&output));
    std::fs::write(&file, "hostnam = 1\n").unwrap();
    let output = setup(root.path(), &["example.com", "--yes"]);
    assert_eq!(code(&output), 78);
    assert!(stderr(&output).contains("did you mean `hostname`"), "{}", stderr(&output));
}
