//! The commands that setup runs itself.

use super::*;

/// Runs commands only in words; the ones that contain the word fail.
struct Hands(std::cell::RefCell<Vec<String>>, &'static str);

impl World for Hands {
    fn is_published(&self, _: &str) -> bool {
        false
    }

    fn survey(&self, domain: &str) -> Survey {
        QUIET.survey(domain)
    }

    fn plan(&self, subject: &Subject) -> Result<Publication, Unread> {
        QUIET.plan(subject)
    }

    fn port_25(&self) -> Port25 {
        Port25::Open
    }

    fn running(&self) -> Vec<PathBuf> {
        Vec::new()
    }

    fn holders(&self, _: std::net::SocketAddr) -> Vec<PathBuf> {
        Vec::new()
    }

    fn execute(&self, command: &str) -> Result<(), String> {
        self.0.borrow_mut().push(command.to_owned());
        if command.contains(self.1) { Err("no".to_owned()) } else { Ok(()) }
    }
}

fn acted(machine: &Machine, failing: &'static str, person: &mut dyn Person) -> (String, String) {
    let mut steps = machine.set_up().steps;
    let hands = Hands(std::cell::RefCell::default(), failing);
    let problems = hands::carry_out(&mut steps, &hands, person);
    (
        hands.0.into_inner().join("\n"),
        english(&problems.iter().map(Finding::said).collect::<Vec<_>>()),
    )
}

#[test]
fn a_bare_machine_is_made_ready_and_started_without_a_question() {
    let machine = Machine::new().with("usr/local/bin/puerto", "");
    let (commands, problems) = acted(&machine, "nothing fails", &mut Nobody);
    let wanted = "systemd-sysusers puerto.conf\nsystemd-tmpfiles --create puerto.conf\n\
                  /usr/local/bin/puerto man /usr/local/share/man/man1\n\
                  systemctl daemon-reload\nsystemctl enable --now puerto";
    assert_eq!((&*commands, &*problems), (wanted, ""));
}

#[test]
fn another_mail_server_is_neither_stopped_nor_robbed_of_its_name_unless_it_is_said() {
    let machine = || {
        Machine::new()
            .with("usr/local/bin/puerto", "")
            .with("etc/postfix/main.cf", "myhostname = a.example.com\n")
            .with("usr/sbin/sendmail", "Postfix's")
            .at_work("postfix")
    };
    let (commands, _) = acted(&machine(), "nothing fails", &mut Nobody);
    assert!(!commands.contains("postfix") && !commands.contains("sendmail"), "{commands}");
    // It would hold port 25.
    assert!(!commands.contains("enable"), "{commands}");
    let mut person = Answers(vec![("Stop Postfix", "yes"), ("`sendmail`", "yes")]);
    let (commands, _) = acted(&machine(), "nothing fails", &mut person);
    let order = ["disable --now postfix", "ln -s /usr/local/bin/puerto", "enable --now puerto"];
    let found: Vec<_> = order.iter().map(|words| commands.find(words)).collect();
    assert!(found.iter().all(Option::is_some) && found.is_sorted(), "{commands}");
}

#[test]
fn a_mail_server_that_only_left_its_files_does_not_stand_in_the_way() {
    let machine = Machine::new()
        .with("usr/local/bin/puerto", "")
        .with("etc/postfix/main.cf", "myhostname = a.example.com\n");
    let (commands, _) = acted(&machine, "nothing fails", &mut Nobody);
    assert!(commands.contains("enable --now puerto"), "{commands}");
    assert!(!commands.contains("postfix"), "{commands}");
}

#[test]
fn a_person_who_goes_before_the_commands_still_hears_what_is_to_be_done() {
    let machine = Machine::new().with("usr/local/bin/puerto", "");
    let mut person = Answers(vec![("Make the user", "gone")]);
    assert_eq!(acted(&machine, "nothing fails", &mut person), (String::new(), String::new()));
}

#[test]
fn what_fails_is_said_and_the_service_is_not_started_on_it() {
    let machine = Machine::new().with("usr/local/bin/puerto", "");
    let (commands, problems) = acted(&machine, "sysusers", &mut Nobody);
    assert!(commands.starts_with("systemd-sysusers puerto.conf\n") && !commands.contains("enable"));
    assert!(problems.contains("sysusers"), "{problems}");
}

#[test]
fn what_was_set_up_is_undone_but_for_configuration_keys_and_mail() {
    let machine = Machine::new()
        .with("usr/local/bin/puerto", "")
        .with("usr/local/share/man/man1/puerto.1", "")
        .with("usr/sbin/postfix", "")
        .with("var/lib/puerto-drop/33/0123", "left");
    machine.set_up();
    let root = Root::new(machine.folder.path());
    let config = machine.config();
    let places = (Path::new("/usr/local/bin/puerto"), Path::new(DEFAULT_FILE));
    let undone = undo(&config, places, &root, &QUIET, None);
    let told: Vec<_> = undone.steps.iter().flat_map(|step| &step.commands).collect();
    for command in [
        "systemctl disable --now puerto.socket puerto.service",
        "rm /usr/sbin/sendmail",
        "rm /usr/bin/newaliases",
        "rm -f /etc/systemd/system/puerto.service /etc/systemd/system/puerto.socket \
         /etc/sysusers.d/puerto.conf /etc/tmpfiles.d/puerto.conf \
         /usr/local/share/man/man1/puerto*.1",
        "systemctl enable --now postfix",
        "rm -r /etc/puerto /var/lib/puerto /var/lib/puerto-drop",
    ] {
        assert!(told.iter().any(|one| *one == command), "{command}: {told:?}");
    }
    let offered = |words: &str| {
        let step = undone.steps.iter().find(|step| step.commands.iter().any(|c| c.contains(words)));
        step.and_then(|step| step.question.as_ref().map(|_| step.proposed))
    };
    // Mail is never removed by a command of ours, and another's server is asked for.
    assert_eq!(offered("/var/lib/puerto"), None);
    assert_eq!(offered("postfix"), Some(false));
}
