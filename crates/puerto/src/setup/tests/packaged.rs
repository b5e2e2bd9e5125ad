//! Machines whose package has brought the files of the service already.

use std::os::unix::fs::symlink;

use super::*;

const BROUGHT: [&str; 4] = [
    "usr/lib/systemd/system/puerto.service",
    "usr/lib/systemd/system/puerto.socket",
    "usr/lib/sysusers.d/puerto.conf",
    "usr/lib/tmpfiles.d/puerto.conf",
];

fn machine() -> Machine {
    let mut machine = Machine::new().with("usr/bin/puerto", "").with("usr/bin/dpkg-divert", "");
    machine.wishes.program = "/usr/bin/puerto".into();
    write_packaged(machine.folder.path()).unwrap();
    std::fs::create_dir_all(machine.folder.path().join("usr/sbin")).unwrap();
    for (name, target) in [
        ("usr/sbin/sendmail", "../bin/puerto"),
        ("usr/lib/sendmail", "../sbin/sendmail"),
        ("usr/bin/mailq", "puerto"),
        ("usr/bin/newaliases", "puerto"),
    ] {
        symlink(target, machine.folder.path().join(name)).unwrap();
    }
    machine.with("etc/passwd", "puerto:x:998:998::/var/lib/puerto:/usr/sbin/nologin\n")
}

fn below_etc(machine: &Machine) -> Vec<String> {
    let root = machine.folder.path().join("etc");
    let paths = machine.tree().into_keys().filter(|path| path.is_file() && path.starts_with(&root));
    let paths = paths.filter_map(|path| path.strip_prefix(&root).ok().map(Path::to_owned));
    let shown = paths.map(|path| path.display().to_string());
    shown.filter(|path| path.starts_with("s") || path.starts_with("tmp")).collect()
}

#[test]
fn what_the_package_brought_is_not_written_again_and_no_name_is_diverted() {
    let machine = machine();
    let report = machine.set_up();
    assert_eq!(english(&report.problems()), "");
    assert_eq!(below_etc(&machine), Vec::<String>::new());
    let told = commands(&report);
    for word in ["sysusers", "divert", "man", "ln -s", "install"] {
        assert!(!told.iter().any(|command| command.contains(word)), "{word}: {told:?}");
    }
    assert!(told.contains(&"systemctl enable --now puerto"), "{told:?}");
}

#[test]
fn what_a_configuration_needs_otherwise_is_written_over_the_packages() {
    let machine = machine();
    let world = Told { exchanges: Ok(vec!["mx.other.example".to_owned()]), ..QUIET };
    machine.run(&world, &mut Nobody).unwrap();
    assert_eq!(below_etc(&machine), ["systemd/system/puerto.socket"]);
    assert!(machine.read("etc/systemd/system/puerto.socket").contains("=127.0.0.1:25\n"));
    let before = machine.tree();
    assert!(!machine.run(&world, &mut Nobody).unwrap().changed());
    assert_eq!(machine.tree(), before);
}

#[test]
fn the_packages_units_wait_for_a_configuration_and_end_with_the_program() {
    let machine = machine();
    for unit in &BROUGHT[..2] {
        let unit = machine.read(unit);
        assert!(unit.contains("\nConditionPathExists=/etc/puerto/puerto.toml\n"), "{unit}");
        assert!(unit.contains("\nConditionFileIsExecutable=/usr/bin/puerto\n"), "{unit}");
    }
    assert_eq!(
        machine.read(BROUGHT[2]),
        "u puerto - \"Buen Puerto mail server\" /var/lib/puerto -\n"
    );
    assert!(machine.read(BROUGHT[3]).starts_with("d /var/lib/puerto 0700 puerto puerto -\n"));
}

#[test]
fn undoing_leaves_the_package_what_is_its_own() {
    let machine = machine();
    let world = Told { exchanges: Ok(vec!["mx.other.example".to_owned()]), ..QUIET };
    machine.run(&world, &mut Nobody).unwrap();
    let root = Root::new(machine.folder.path());
    let places = (Path::new("/usr/bin/puerto"), Path::new(DEFAULT_FILE));
    let undone = undo(&machine.config(), places, &root, &QUIET, None);
    let told: Vec<_> = undone.steps.iter().flat_map(|step| &step.commands).collect();
    assert_eq!(
        told,
        [
            "systemctl disable --now puerto.socket puerto.service",
            "rm -f /etc/systemd/system/puerto.socket",
            "rm -r /etc/puerto /var/lib/puerto",
            "apt-get purge puerto",
        ]
    );
}
