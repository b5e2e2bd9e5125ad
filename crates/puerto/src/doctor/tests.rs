use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};

use super::*;
use crate::finding::{Finding, Severity};
use crate::lang::Language;
use crate::setup::Root;
use crate::survey::mounts::Mount;

fn ids(findings: &[Finding]) -> Vec<&'static str> {
    findings.iter().map(|finding| finding.id).collect()
}

/// Does what a finding says, as its reader would.
fn heed(findings: &[Finding]) {
    for finding in findings {
        let command = finding.remedy.of(Language::English);
        let done = std::process::Command::new("/bin/sh").args(["-ec", &command]).output().unwrap();
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        assert!(done.status.success(), "{}: {command}: {said}", finding.id);
    }
}

#[test]
fn what_others_could_change_or_read_is_told_and_the_remedy_mends_it() {
    // Files are given to others.
    if !nix::unistd::geteuid().is_root() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut config = Config::for_tests(folder.path());
    // No other: all threads of the tests would become that user.
    config.user = "root".to_owned();
    let file = folder.path().join("the puerto.toml");
    let program = Path::new("/usr/bin/puerto");
    let look = |config: &Config| {
        let daemon = Daemon::Down;
        let file = &file;
        let machine = Machine { config, file, program, daemon, reserve: 0, now: 0, is_root: true };
        let mut found = files::look(&machine).findings;
        // The folder of all tests is everybody's.
        found.retain(|finding| finding.id != "file.way");
        found
    };
    assert_eq!(look(&config), [], "what is not there is not wrong");
    let mode = |path: &Path, mode| {
        std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
    };
    for (path, bits) in [(&file, 0o666), (&config.local.aliases, 0o644)] {
        std::fs::write(path, "").unwrap();
        mode(path, bits);
    }
    chown(&config.local.aliases, Some(1), None).unwrap();
    std::fs::create_dir_all(config.state_dir.join("spool")).unwrap();
    mode(&config.state_dir, 0o755);
    for path in [config.state_dir.clone(), config.state_dir.join("spool")] {
        chown(path, Some(1), None).unwrap();
    }
    let found = look(&config);
    assert_eq!(
        ids(&found),
        ["file.owner", "file.writable", "folder.owner", "folder.open", "queue.owner"]
    );
    heed(&found);
    assert_eq!(look(&config), []);
}

#[test]
fn a_disk_that_fills_up_is_told_before_and_after_mail_is_refused() {
    const MIB: u64 = 1 << 20;
    let mount = |is_read_only| Mount { point: "/".into(), kind: "ext4".to_owned(), is_read_only };
    let of = |free, files, is_read_only| {
        let room = disk::Room { free, all: 1 << 40, files };
        ids(&disk::scarce(&mount(is_read_only), &room, 64 * MIB))
    };
    assert_eq!(of(300 * MIB, Some(5000), false), [""; 0]);
    assert_eq!(of(300 * MIB, None, false), [""; 0], "files are not counted everywhere");
    assert_eq!(of(200 * MIB, Some(999), false), ["disk.nearly-full", "disk.inodes"]);
    assert_eq!(of(63 * MIB, None, false), ["disk.full"]);
    assert_eq!(of(0, None, true), [""; 0], "an image that is only read is always full");
}

#[test]
fn the_clock_is_held_against_the_battery_and_against_what_was_written() {
    let (now, hour) = (1_800_000_000, 3600);
    let (utc, local) = ("0.0 0 0.0\n0\nUTC\n", "0.0 0 0.0\n0\nLOCAL\n");
    for (battery, adjusted, is_apart) in [
        (now + 2, utc, false),
        (now - 299, "", false),
        (now - 301, "", true),
        (now + hour, utc, true),
        (now + hour, local, false),
        (now + 5 * hour + 1800, local, false),
        (now + hour + 400, local, true),
        (0, utc, false),
    ] {
        assert_eq!(clock::is_apart(now, battery, adjusted), is_apart, "{battery} {adjusted}");
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("segments/1");
    std::fs::create_dir(file.parent().unwrap()).unwrap();
    std::fs::write(&file, "").unwrap();
    let (then, latest) = clock::latest(folder.path()).unwrap();
    assert_eq!(latest, file);
    let mut config = Config::for_tests(folder.path());
    config.state_dir = folder.path().to_owned();
    let of = |now| {
        let mut found = clock::look(&config, &file, now).findings;
        found.retain(|finding| finding.id == "clock.behind");
        ids(&found)
    };
    assert_eq!(of(then - 100), [""; 0], "file systems round");
    assert_eq!(of(then - 1000), ["clock.behind"]);
}

#[test]
fn names_that_lead_elsewhere_or_nowhere_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let root = Root::new(folder.path());
    let ours = Path::new("/usr/bin/puerto");
    let look = || commands::of(&root, ours);
    for parent in ["usr/sbin", "usr/lib", "usr/bin"] {
        std::fs::create_dir_all(folder.path().join(parent)).unwrap();
    }
    let remedy = look().findings[0].remedy.of(Language::English);
    let first = remedy.lines().next().unwrap();
    assert!(
        first.starts_with("install -m 755 ") && first.ends_with(" /usr/bin/puerto"),
        "{remedy}"
    );
    std::fs::write(folder.path().join("usr/bin/puerto"), "").unwrap();
    assert_eq!(ids(&look().findings), ["command.missing"; 4]);
    let remedy = look().findings[0].remedy.of(Language::English);
    assert!(!remedy.contains("install"), "{remedy}");
    let link = |target: &str, path: &str| symlink(target, folder.path().join(path)).unwrap();
    link("../bin/puerto", "usr/sbin/sendmail");
    link("../sbin/sendmail", "usr/lib/sendmail");
    link("puerto", "usr/bin/newaliases");
    link("gone", "usr/bin/mailq");
    let found = look().findings;
    assert_eq!(ids(&found), ["command.missing"], "a link to nothing");
    assert_eq!(found[0].remedy.of(Language::English), "ln -sf /usr/bin/puerto /usr/bin/mailq");
    std::fs::remove_file(folder.path().join("usr/bin/mailq")).unwrap();
    std::fs::write(folder.path().join("usr/bin/mailq"), "").unwrap();
    let found = look().findings;
    assert_eq!(ids(&found), ["command.another"]);
    let seen = found[0].seen.of(Language::English);
    assert!(seen.starts_with("/usr/bin/mailq is another program:"), "{seen}");
    let remedy = found[0].remedy.of(Language::Spanish);
    assert_eq!(
        remedy,
        "mv /usr/bin/mailq /usr/bin/mailq.other\nln -s /usr/bin/puerto /usr/bin/mailq"
    );
}

#[test]
fn the_page_says_what_is_wrong_and_the_exit_code_whether() {
    let finding =
        |id, severity| Finding::new(id, severity, Said::words("seen"), Said::words("do this"));
    let report = |findings, is_whole| Report {
        hostname: "mail.example.com".to_owned(),
        version: "1.0",
        file: "/etc/puerto/puerto.toml".to_owned(),
        sections: vec![
            Section { seen: Said::words("fine"), ..Section::new("one", Text::same("one")) },
            Section { findings, ..Section::new("two", Text::same("two")) },
        ],
        is_whole,
    };
    let note = || finding("a.note", Severity::Info);
    assert_eq!(report(vec![], true).exit_code(), 0);
    assert_eq!(report(vec![note()], true).exit_code(), 0);
    assert_eq!(report(vec![note()], false).exit_code(), 2);
    let wrong =
        || vec![note(), finding("b.less", Severity::Warning), finding("c.worse", Severity::Error)];
    let wrong = report(wrong(), false);
    assert_eq!(wrong.exit_code(), 1);
    let page = anstream::adapter::strip_str(&wrong.show(Language::English)).to_string();
    assert_eq!(
        page,
        "mail.example.com  puerto 1.0  /etc/puerto/puerto.toml\n\n\
         ✓ one                      fine\n\
         ✗ two\n    \
             note  a.note  seen\n      do          do this\n    \
             warning  b.less  seen\n      do          do this\n    \
             error  c.worse  seen\n      do          do this\n\n\
         2 things are wrong; begin with c.worse. Only root sees everything: sudo puerto doctor\n"
    );
    let json = wrong.to_json(Language::Spanish);
    assert_eq!(json["sections"][1]["findings"][2]["id"], "c.worse");
    assert_eq!(json["whole"], false);
}

#[test]
fn the_certificate_is_late_two_weeks_before_its_end() {
    let folder: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tls");
    let copy = tempfile::tempdir().unwrap();
    let place = |name: &str| {
        let path = copy.path().join(name);
        std::fs::copy(folder.join(name), &path).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
        path
    };
    let mut config = Config::with_defaults("mx.example".to_owned());
    let (certificate, key) = (place("mx.pem"), place("mx.key"));
    config.tls = Some(crate::config::TlsFiles { certificate, key });
    let end: jiff::Timestamp = "2126-10-31T00:00:00Z".parse().unwrap();
    let at = |days: i64| ids(&certificate::look(&config, end.as_second() + days * 86_400).findings);
    assert_eq!(at(-20), [""; 0]);
    assert_eq!(at(-10), ["certificate.ends"]);
    assert_eq!(at(2), ["certificate.expired"]);
}

#[test]
fn a_machine_that_was_never_set_up_misses_nothing_that_setup_makes() {
    let folder = tempfile::tempdir().unwrap();
    let config = Config::for_tests(folder.path());
    let file = folder.path().join("puerto.toml");
    let names = || {
        let (program, daemon) = (Path::new("/usr/bin/puerto"), Daemon::Down);
        let (config, file) = (&config, &file);
        let machine = Machine { config, file, program, daemon, reserve: 0, now: 0, is_root: true };
        look(&machine).iter().map(|section| section.name).collect::<Vec<_>>()
    };
    assert_eq!(names(), ["disk", "clock", "ports"]);
    std::fs::write(&file, "").unwrap();
    assert!(names().contains(&"users") && names().contains(&"commands"));
}

#[test]
fn what_mends_several_is_said_once() {
    let folder = tempfile::tempdir().unwrap();
    let section = commands::of(&Root::new(folder.path()), Path::new("/usr/bin/puerto"));
    assert_eq!(ids(&section.findings), ["command.missing"; 4]);
    let texts = || (String::new(), String::new());
    let ((hostname, file), version, sections) = (texts(), "1.0", vec![section]);
    let page = Report { hostname, version, file, sections, is_whole: true }.show(Language::English);
    assert_eq!(page.matches("/usr/bin/newaliases").count(), 3, "two of a finding: {page}");
}
