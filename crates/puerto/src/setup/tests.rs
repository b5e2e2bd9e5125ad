use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use puerto_mail::dns::{DnsError, Table, block_on};
use puerto_smtp::Domain;

use super::decide::PASSWORD_FILE;
use super::*;
use crate::config::DEFAULT_FILE;
use crate::dnsplan::Unread;
use crate::lang::Language;

mod commands;
mod packaged;
mod resolver;
mod senders;

/// A world that says what a test wants.
struct Told {
    exchanges: Result<Vec<String>, DnsError>,
    port_25: Port25,
}

impl World for Told {
    // Another server of the domain has signed since this month.
    fn is_published(&self, name: &str) -> bool {
        name.starts_with("rsa-")
            && name.ends_with("._domainkey.relayed.example")
            && !name.contains("b.")
    }

    fn survey(&self, _: &str) -> Survey {
        let names = self.exchanges.as_ref().map(|_| Vec::new()).map_err(Clone::clone);
        let egress = vec![Egress { address: "203.0.113.5".parse().unwrap(), names }];
        Survey {
            egress,
            machine: Some("vps.host.example".into()),
            exchanges: self.exchanges.clone(),
            absent: false,
            validates: Some(true),
        }
    }

    fn plan(&self, subject: &Subject) -> Result<Publication, Unread> {
        let mut table = Table::new();
        table.txt("example.com", "v=spf1 include:_spf.provider.example -all");
        table.txt("_spf.provider.example", "v=spf1 ip4:198.51.100.0/24 -all");
        block_on(crate::dnsplan::plan(&table, subject)).unwrap()
    }

    fn port_25(&self) -> Port25 {
        self.port_25
    }

    fn running(&self) -> Vec<PathBuf> {
        panic!("a folder that stands for a machine is not the one that runs")
    }

    fn holders(&self, _: std::net::SocketAddr) -> Vec<PathBuf> {
        self.running()
    }

    fn execute(&self, command: &str) -> Result<(), String> {
        panic!("a folder that stands for a machine is not acted on: {command}")
    }
}

const QUIET: Told = Told { exchanges: Ok(Vec::new()), port_25: Port25::Open };

/// A person who gives these answers to questions that contain these words, and
/// otherwise accepts what is proposed.
struct Answers(Vec<(&'static str, &'static str)>);

impl Answers {
    fn to(&self, question: &Said) -> Option<&'static str> {
        let question = question.of(Language::English);
        let known = self.0.iter().find(|(words, _)| question.contains(words));
        known.map(|(_, answer)| *answer)
    }
}

impl Person for Answers {
    fn confirm(&mut self, question: &Said, proposed: bool) -> Result<bool, Gone> {
        match self.to(question) {
            Some("gone") => Err(Gone),
            Some(answer) => Ok(answer == "yes"),
            None => Ok(proposed),
        }
    }

    fn word(&mut self, question: &Said, proposed: &str) -> Result<String, Gone> {
        match self.to(question) {
            Some("gone") => Err(Gone),
            answer => Ok(answer.unwrap_or(proposed).to_owned()),
        }
    }

    fn secret(&mut self, question: &Said) -> Result<String, Gone> {
        self.word(question, "")
    }
}

struct Machine {
    folder: tempfile::TempDir,
    wishes: Wishes,
}

impl Machine {
    fn new() -> Self {
        let wishes = Wishes {
            domain: "example.com".into(),
            hostname: None,
            root_mail: None,
            relayhost: None,
            login: None,
            origin: None,
            always: None,
            config_file: DEFAULT_FILE.into(),
            program: "/usr/local/bin/puerto".into(),
            act: true,
            language: Language::English,
            today: jiff::civil::date(2026, 11, 24),
        };
        Self { folder: tempfile::tempdir().unwrap(), wishes }
    }

    fn with(self, path: &str, text: &str) -> Self {
        let path = self.folder.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
        self
    }

    /// Another program that is installed and starts with the machine.
    fn at_work(self, name: &str) -> Self {
        let wanted = "etc/systemd/system/multi-user.target.wants";
        self.with(&format!("usr/sbin/{name}"), "")
            .with(&format!("lib/systemd/system/{name}.service"), "")
            .with(&format!("{wanted}/{name}.service"), "")
    }

    fn run(&self, world: &Told, person: &mut dyn Person) -> Result<Report, SetupError> {
        run(&self.wishes, &Root::new(self.folder.path()), world, person)
    }

    fn set_up(&self) -> Report {
        self.run(&QUIET, &mut Nobody).unwrap()
    }

    fn config(&self) -> Config {
        Config::load(Some(&self.folder.path().join("etc/puerto/puerto.toml"))).unwrap()
    }

    fn read(&self, path: &str) -> String {
        std::fs::read_to_string(self.folder.path().join(path)).unwrap()
    }

    /// Every path with its mode and content.
    fn tree(&self) -> BTreeMap<PathBuf, (u32, Vec<u8>)> {
        let mut tree = BTreeMap::new();
        let mut folders = vec![self.folder.path().to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                let metadata = path.symlink_metadata().unwrap();
                let content = if metadata.is_dir() {
                    folders.push(path.clone());
                    Vec::new()
                } else {
                    std::fs::read(&path)
                        .or_else(|_| {
                            std::fs::read_link(&path)
                                .map(|to| to.into_os_string().into_encoded_bytes())
                        })
                        .unwrap()
                };
                tree.insert(path, (metadata.permissions().mode(), content));
            }
        }
        tree
    }
}

fn english(said: &[Said]) -> String {
    said.iter().map(|said| said.of(Language::English)).collect::<Vec<_>>().join("\n")
}

fn commands(report: &Report) -> Vec<&str> {
    report.steps.iter().flat_map(|step| &step.commands).map(String::as_str).collect()
}

fn names(domains: &[Domain]) -> Vec<String> {
    domains.iter().map(Domain::to_string).collect()
}

fn installed(program: &str) -> Installed<'_> {
    Installed { program: program.as_ref(), config_file: DEFAULT_FILE.as_ref() }
}

#[test]
fn a_fresh_machine_gets_all_it_needs_and_a_second_run_changes_nothing() {
    let machine = Machine::new();
    let report = machine.set_up();
    assert!(report.changed());
    assert_eq!(english(&report.problems()), "");
    let config = machine.config();
    assert_eq!(config.hostname, "mail.example.com");
    assert_eq!(names(&config.domains), ["example.com"]);
    assert_eq!(config.relayhost, None);
    let kinds: Vec<&str> = report
        .keys
        .iter()
        .map(|record| if record.record.contains("k=rsa") { "rsa" } else { "ed25519" })
        .collect();
    assert_eq!(kinds, ["ed25519", "rsa"]);
    let before = machine.tree();
    for (path, (mode, _)) in before.iter().filter(|(path, _)| path.is_file() && !path.is_symlink())
    {
        let secret = path.extension().is_some_and(|extension| extension == "pem");
        assert_eq!(mode & 0o777, if secret { 0o640 } else { 0o644 }, "{}", path.display());
    }
    let again = machine.set_up();
    assert!(!again.changed());
    assert_eq!(machine.tree(), before);
    assert_eq!(commands(&again), commands(&report));
    assert!(commands(&again).contains(&"puerto check example.com"));
}

#[test]
fn what_is_to_be_published_is_merged_with_what_exists() {
    let machine = Machine::new();
    let plan = machine.set_up().plan.unwrap();
    let find = |name: &str| plan.changes().find(|record| record.name == name).unwrap();
    assert!(find("_dmarc.example.com").value.contains("p=none"));
    let spf = plan.changes().find(|record| record.value.starts_with("v=spf1 ")).unwrap();
    assert!(spf.value.contains("include:_spf.provider.example"), "{}", spf.value);
    assert!(spf.value.contains("203.0.113.5") || spf.value.contains("mail.example.com"));
    let keys = plan.changes().filter(|record| record.name.contains("._domainkey.")).count();
    assert_eq!(keys, 2);
}

#[test]
fn the_written_file_shows_every_key_and_reads_back_to_what_was_decided() {
    let mut machine = Machine::new();
    machine.wishes.hostname = Some("out.example.com".into());
    machine.wishes.relayhost = Some(NextHop::parse("[smtp.example.net]:587").ok());
    machine.set_up();
    let config = machine.config();
    let text = machine.read("etc/puerto/puerto.toml");
    assert_eq!(config.annotated(Language::English), text);
    let mut other = Machine::new();
    other.wishes = Wishes { language: Language::Spanish, ..machine.wishes.clone() };
    other.set_up();
    let spanish = Config { language: Language::Spanish, ..config.clone() };
    assert_eq!(spanish.annotated(Language::Spanish), other.read("etc/puerto/puerto.toml"));
    assert_eq!(config.hostname, "out.example.com");
    let set: Vec<&str> =
        text.lines().filter(|line| !line.starts_with('#') && line.contains('=')).collect();
    assert_eq!(
        set,
        [
            "hostname = \"out.example.com\"",
            "domains = [\"example.com\"]",
            "relayhost = \"[smtp.example.net]:587\""
        ]
    );
    for key in ["#message_size = \"50MiB\"", "#concurrency = 20", "#[[route]]"] {
        assert!(text.contains(key), "{key}");
    }
}

#[test]
fn what_postfix_and_opendkim_were_told_is_taken_over() {
    let pem = puerto_mail::dkim::PrivateKey::generate_rsa(2048).unwrap();
    let machine = Machine::new()
        .with(
            "etc/postfix/main.cf",
            "myhostname = smtp.example.com\nmydestination = $myhostname, example.com, localhost\n\
             relayhost = [smtp.example.net]:587\nmynetworks = 127.0.0.0/8 192.0.2.0/24\n\
             smtp_sasl_auth_enable = yes\nsmtp_sasl_password_maps = hash:/etc/postfix/sasl\n",
        )
        .with("etc/postfix/sasl", "[smtp.example.net]:587 ana:s3cret\n")
        .with("etc/opendkim/keys/example.com/mail.private", &pem)
        .with("usr/sbin/sendmail", "Postfix's")
        .at_work("postfix")
        .at_work("opendkim");
    let report = machine.set_up();
    let config = machine.config();
    assert_eq!(config.hostname, "smtp.example.com");
    assert_eq!(names(&config.domains), ["smtp.example.com", "example.com"]);
    assert_eq!(config.relayhost.as_ref().unwrap().to_string(), "[smtp.example.net]:587");
    assert_eq!(config.relayhost_login.as_ref().unwrap().user, "ana");
    assert_eq!(machine.read("etc/puerto/relayhost.password"), "s3cret\n");
    assert_eq!(config.trusted_networks.0.len(), 3);
    // What is published for the old key stays right, so no other key is made.
    assert_eq!(machine.read("etc/puerto/dkim/example.com/mail.pem"), pem);
    let names: Vec<String> = report.keys.iter().map(Key::name).collect();
    assert_eq!(names, ["mail._domainkey.example.com"]);
    let commands = commands(&report);
    for wanted in [
        "systemctl disable --now postfix",
        "systemctl disable --now opendkim",
        "mv /usr/sbin/sendmail /usr/sbin/sendmail.other",
        "ln -s /usr/local/bin/puerto /usr/sbin/sendmail",
    ] {
        assert!(commands.contains(&wanted), "{wanted}: {commands:?}");
    }
    assert_eq!(machine.read("usr/sbin/sendmail"), "Postfix's");
    let before = machine.tree();
    assert!(!machine.set_up().changed());
    assert_eq!(machine.tree(), before);
}

#[test]
fn nothing_is_taken_over_against_the_persons_will() {
    let machine = Machine::new().with("etc/postfix/main.cf", "relayhost = old.example\n");
    let mut person = Answers(vec![("Take over", "no"), ("full name", "x.example.com")]);
    let report = machine.run(&QUIET, &mut person).unwrap();
    assert!(!report.programs[0].taken);
    let config = machine.config();
    assert_eq!((config.relayhost, config.hostname.as_str()), (None, "x.example.com"));
}

#[test]
fn a_relayhost_that_was_asked_for_gets_no_password_of_another() {
    let mut machine = Machine::new().with(
        "etc/msmtprc",
        "account default\nhost smtp.example.net\nauth on\nuser ana\npassword s3cret\n",
    );
    machine.wishes.relayhost = Some(NextHop::parse("other.example").ok());
    machine.set_up();
    let config = machine.config();
    assert_eq!(config.relayhost.unwrap().to_string(), "other.example");
    assert_eq!(config.relayhost_login, None);
    assert!(!machine.folder.path().join("etc/puerto/relayhost.password").exists());
}

#[test]
fn a_server_behind_a_relay_of_its_own_domain_takes_neither_its_name_nor_its_selector() {
    let world = Told { exchanges: Ok(vec!["mail.relayed.example".into()]), port_25: Port25::Open };
    let mut machine = Machine::new().with("etc/hostname", "alumno.aula.lan\n");
    machine.wishes.domain = "relayed.example".into();
    machine.wishes.relayhost = Some(NextHop::parse("[mail.relayed.example]:587").ok());
    machine.run(&world, &mut Nobody).unwrap();
    let config = machine.config();
    assert_eq!(config.hostname, "alumno.relayed.example");
    assert_eq!(names(&config.domains), ["alumno.relayed.example"]);
    let folder = machine.folder.path().join("etc/puerto/dkim/relayed.example");
    let keys = std::fs::read_dir(folder).unwrap().flatten().map(|key| key.file_name());
    let mut keys: Vec<String> = keys.map(|name| name.into_string().unwrap()).collect();
    keys.sort();
    assert!(keys[0].starts_with("ed25519-") && !keys[0].ends_with("b.pem"), "{keys:?}");
    assert!(keys[1].starts_with("rsa-") && keys[1].ends_with("b.pem"), "{keys:?}");
}

#[test]
fn mail_for_a_domain_whose_mailboxes_are_elsewhere_does_not_end_here() {
    let world = Told { exchanges: Ok(vec!["mx.provider.example".into()]), port_25: Port25::Open };
    let machine = Machine::new();
    let report = machine.run(&world, &mut Nobody).unwrap();
    assert_eq!(names(&machine.config().domains), ["mail.example.com"]);
    assert!(english(&report.notes()).contains("mx.provider.example"));
    let own = Told { exchanges: Ok(vec!["mail.example.com".into()]), port_25: Port25::Open };
    let machine = Machine::new();
    machine.run(&own, &mut Nobody).unwrap();
    assert_eq!(names(&machine.config().domains), ["example.com"]);
}

#[test]
fn without_dns_it_works_and_says_so() {
    let world = Told { exchanges: Err(DnsError::Timeout), port_25: Port25::Unknown };
    let machine = Machine::new();
    let report = machine.run(&world, &mut Nobody).unwrap();
    assert!(english(&report.notes()).contains("did not answer in time"));
    let spanish: Vec<String> = report.notes().iter().map(|n| n.of(Language::Spanish)).collect();
    assert!(spanish.concat().contains("el DNS no ha respondido a tiempo"), "{spanish:?}");
    assert_eq!(names(&machine.config().domains), ["example.com"]);
    assert_eq!(english(&report.problems()), "");
}

#[test]
fn files_that_say_something_else_stay_unless_the_person_says_so() {
    let unit = "etc/systemd/system/puerto.service";
    let machine = Machine::new().with(unit, "mine");
    let report = machine.set_up();
    assert_eq!(machine.read(unit), "mine");
    assert!(report.files.contains(&(PathBuf::from(service::UNIT), Done::Kept)));
    let mut person = Answers(vec![("Replace it", "yes")]);
    let report = machine.run(&QUIET, &mut person).unwrap();
    assert!(report.files.contains(&(PathBuf::from(service::UNIT), Done::Replaced)));
    assert_eq!(machine.read(&format!("{unit}.old")), "mine");
    assert!(machine.read(unit).contains("Type=notify"));
}

#[test]
fn the_unit_of_the_sockets_follows_the_addresses_and_nothing_else() {
    let socket = "etc/systemd/system/puerto.socket";
    let machine = Machine::new();
    machine.set_up();
    let text = machine.read("etc/puerto/puerto.toml");
    let listens = "\n[listen]\nsmtp = [\"127.0.0.1:25\"]\n";
    let text = text.replacen("\n[listen]\n", listens, 1);
    assert!(text.contains(listens), "{text}");
    let machine = machine.with("etc/puerto/puerto.toml", &text).with("run/systemd/system/x", "");
    let root = Root::new(machine.folder.path());
    let found = overlap(&root, &machine.config()).unwrap().seen.of(Language::English);
    assert!(found.contains("127.0.0.1:25") && found.contains("holds 0.0.0.0:25"), "{found}");
    let report = machine.set_up();
    assert!(report.files.contains(&(PathBuf::from(service::SOCKET), Done::Replaced)));
    assert!(machine.read(socket).contains("ListenStream=127.0.0.1:25\n"));
    assert_eq!(overlap(&root, &machine.config()), None);
    let own = machine.read(socket).replace("SocketMode=0666", "SocketMode=0660");
    let own = own.replace("127.0.0.1:25", "0.0.0.0:25");
    let machine = machine.with(socket, &own);
    let report = machine.set_up();
    assert!(report.files.contains(&(PathBuf::from(service::SOCKET), Done::Kept)));
    assert!(overlap(&root, &machine.config()).is_some());
    let machine = machine.with(
        "etc/systemd/system/puerto.socket.d/override.conf",
        "[Socket]\nListenStream=\nListenStream=127.0.0.1:25\n",
    );
    assert_eq!(overlap(&root, &machine.config()), None);
    // What it holds beside them lets clients wait for nobody.
    let none =
        machine.read("etc/puerto/puerto.toml").replace("smtp = [\"127.0.0.1:25\"]", "smtp = []");
    let machine = machine.with("etc/puerto/puerto.toml", &none);
    assert_eq!(overlap(&root, &machine.config()).unwrap().id, "listener.unused");
}

#[test]
fn a_configuration_that_is_there_is_kept_and_what_contradicts_it_is_said() {
    let mut machine = Machine::new()
        .with("etc/puerto/puerto.toml", "hostname = \"a.example\"\ndomains = [\"example.com\"]\n");
    assert_eq!(english(&machine.set_up().problems()), "");
    machine.wishes.hostname = Some("b.example".into());
    machine.wishes.relayhost = Some(NextHop::parse("relay.example").ok());
    let report = machine.set_up();
    let problems = english(&report.problems());
    assert!(problems.contains("\"a.example\"") && problems.contains("\"b.example\""), "{problems}");
    assert!(problems.contains("relayhost"), "{problems}");
    assert_eq!(machine.config().hostname, "a.example");
    std::fs::write(machine.folder.path().join("etc/puerto/puerto.toml"), "hostnam = 1").unwrap();
    assert!(matches!(machine.run(&QUIET, &mut Nobody), Err(SetupError::Config(_))));
}

#[test]
fn a_person_who_goes_leaves_the_machine_as_it_was() {
    for (words, answer) in [("Write", "no"), ("mailboxes", "gone")] {
        let machine = Machine::new();
        let result = machine.run(&QUIET, &mut Answers(vec![(words, answer)]));
        assert!(matches!(result, Err(SetupError::BrokenOff)));
        assert!(machine.tree().is_empty());
    }
}

#[test]
fn a_domain_that_has_keys_gets_no_others() {
    let pem = puerto_mail::dkim::PrivateKey::generate_rsa(2048).unwrap();
    let machine = Machine::new().with("etc/puerto/dkim/example.com/own.pem", &pem);
    let key = machine.folder.path().join("etc/puerto/dkim/example.com/own.pem");
    std::fs::set_permissions(key, std::fs::Permissions::from_mode(0o600)).unwrap();
    let report = machine.set_up();
    assert_eq!(report.keys.len(), 1);
    assert_eq!(report.keys[0].name(), "own._domainkey.example.com");
}

#[test]
fn systemd_accepts_the_files() {
    let Ok(_) = std::process::Command::new("systemd-analyze").arg("--version").output() else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let unit = folder.path().join("puerto.service");
    // A program that exists wherever the test runs.
    let installed = installed("/bin/sh");
    std::fs::write(&unit, service::unit(installed, Path::new("/var/lib/puerto"))).unwrap();
    let socket = folder.path().join("puerto.socket");
    let config = Config::with_defaults("mail.example.com".to_owned());
    std::fs::write(&socket, service::socket(installed, &config)).unwrap();
    let verify = std::process::Command::new("systemd-analyze")
        .args(["verify", "--man=no"])
        .args([&unit, &socket])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&verify.stderr);
    let about_it: Vec<&str> = said.lines().filter(|line| line.contains("puerto.")).collect();
    assert_eq!(about_it, Vec::<&str>::new());
}

#[test]
fn the_socket_unit_holds_what_the_configuration_lists() {
    let mut config = Config::with_defaults("mail.example.com".to_owned());
    config.listen.submission = vec!["127.0.0.1:587".parse().unwrap()];
    let unit = service::socket(installed("/usr/bin/puerto"), &config);
    let held: Vec<&str> = unit.lines().filter_map(|l| l.strip_prefix("ListenStream=")).collect();
    assert_eq!(held, ["0.0.0.0:25", "[::]:25", "127.0.0.1:587", "/run/puerto/submit"]);
}

#[test]
fn mail_that_waits_in_the_other_queue_is_told_before_it_is_stopped() {
    let machine = Machine::new()
        .with("etc/postfix/main.cf", "myhostname = a.example.com\n")
        .with("var/spool/postfix/deferred/A/A1", "")
        .at_work("postfix");
    let report = machine.set_up();
    let commands = commands(&report);
    let find = |wanted| commands.iter().position(|command| *command == wanted);
    assert!(find("postqueue -f").is_some());
    assert!(find("postqueue -f") < find("systemctl disable --now postfix"));
}

#[test]
fn mail_in_the_queue_of_a_server_that_was_removed_is_told() {
    let machine = Machine::new()
        .with("etc/postfix/main.cf", "myhostname = a.example.com\n")
        .with("var/spool/postfix/deferred/A/A1", "");
    let report = machine.set_up();
    let steps: Vec<Said> = report.steps.iter().map(|step| step.what.clone()).collect();
    let told = english(&steps);
    assert!(told.contains("Postfix's queue, below /var/spool/postfix: 1."), "{told}");
    assert!(!commands(&report).iter().any(|command| command.contains("postqueue")));
}

#[test]
fn a_relayhost_that_is_typed_is_asked_for_its_user_and_password() {
    let closed = Told { exchanges: Ok(Vec::new()), port_25: Port25::Dropped };
    for (user, password, login) in
        [("ana", "s3cret", Some("s3cret\n")), ("", "", None), ("ana", "", None)]
    {
        let machine = Machine::new();
        let mut person = Answers(vec![
            ("A relayhost for", "[smtp.example.net]:587"),
            ("That password was empty, and without one nobody logs in", ""),
            ("user name that [smtp.example.net]:587 wants", user),
            ("password of ana", password),
        ]);
        machine.run(&closed, &mut person).unwrap();
        let config = machine.config();
        assert_eq!(config.relayhost_login.map(|login| login.user), login.map(|_| "ana".into()));
        let file = machine.folder.path().join(PASSWORD_FILE.trim_start_matches('/'));
        assert_eq!(std::fs::read_to_string(file).ok().as_deref(), login);
    }
}

#[test]
fn certbot_has_the_certificate_read_again_when_it_was_renewed() {
    let live = "etc/letsencrypt/live/mail.example.com";
    let hook = "etc/letsencrypt/renewal-hooks/deploy/puerto";
    for (folder, made) in [(live, true), ("etc/ssl", false)] {
        let settings = format!(
            "smtpd_tls_cert_file = /{folder}/fullchain.pem\n\
             smtpd_tls_key_file = /{folder}/privkey.pem\n"
        );
        let machine = Machine::new()
            .with("etc/postfix/main.cf", &settings)
            .with(&format!("{folder}/fullchain.pem"), include_str!("../../tests/tls/localhost.pem"))
            .with(&format!("{folder}/privkey.pem"), include_str!("../../tests/tls/localhost.key"));
        let key = machine.folder.path().join(folder).join("privkey.pem");
        std::fs::set_permissions(key, PermissionsExt::from_mode(0o600)).unwrap();
        machine.set_up();
        let script = machine.folder.path().join(hook);
        assert_eq!(script.exists(), made);
        if made {
            assert_eq!(script.metadata().unwrap().permissions().mode() & 0o777, 0o755);
        }
        assert!(!machine.set_up().changed());
    }
}

#[test]
fn whatever_postfix_says_what_is_written_can_be_read() {
    for line in [
        "message_size_limit = 1",
        "message_size_limit = 9223372036854775807",
        "mynetworks = 0.0.0.0/0, ::/0",
        "alias_maps = hash:/etc/ali\"as\\nes",
        "myhostname = with_underscore.example",
        "smtpd_tls_cert_file = /etc/postfix/main.cf\nsmtpd_tls_key_file = /etc/postfix/main.cf",
        "smtp_bind_address = 0.0.0.0\nsmtp_bind_address6 = fe80::1",
    ] {
        let machine = Machine::new().with("etc/postfix/main.cf", &format!("{line}\n"));
        machine.run(&QUIET, &mut Nobody).unwrap_or_else(|error| panic!("{line}: {error:?}"));
        let config = machine.config();
        assert_eq!((config.tls, config.limits.message_size), (None, 50 << 20), "{line}");
        assert_eq!(config.trusted_networks.0.len(), 2, "{line}");
    }
}

#[test]
fn files_follow_the_user_and_the_folders_of_the_configuration() {
    let own = "hostname = \"mail.example.com\"\nuser = \"courier\"\nstate_dir = \"/srv/mail\"\n";
    let machine = Machine::new().with("etc/puerto/puerto.toml", own);
    machine.set_up();
    assert!(
        machine
            .read("etc/tmpfiles.d/puerto.conf")
            .starts_with("d /srv/mail 0700 courier courier -\n")
    );
    assert!(machine.read("etc/sysusers.d/puerto.conf").starts_with("u courier - "));
    let machine = Machine::new().with("etc/puerto/puerto.toml", "user = \"\"\n");
    let report = machine.set_up();
    assert!(!commands(&report).iter().any(|command| command.contains("sysusers")));
    assert!(!machine.folder.path().join("etc/sysusers.d").exists());
}

#[test]
fn a_second_domain_is_told_where_its_mail_would_end() {
    let mut machine = Machine::new();
    machine.set_up();
    machine.wishes.domain = "example.net".into();
    let report = machine.set_up();
    assert!(english(&report.notes()).contains("example.net is not among `domains`"));
    assert_eq!(report.keys.len(), 4);
}

#[test]
fn the_unit_leaves_the_folders_to_the_user_and_can_signal_it() {
    // systemd hands folders of a unit without `User=` to root at every start and reload,
    // and the unit's own rights lack CAP_KILL.
    let unit = service::unit(installed("/usr/bin/puerto"), Path::new("/srv/mail"));
    assert!(unit.contains("\nRequiresMountsFor=/srv/mail\n"), "{unit}");
    assert!(!unit.contains("StateDirectory") && !unit.contains("RuntimeDirectory"), "{unit}");
    // A reload of a wrong configuration fails before the daemon hears of it.
    let reload = unit.lines().filter(|line| line.starts_with("ExecReload=")).collect::<Vec<_>>();
    let checked = "ExecReload=/bin/sh -c '/usr/bin/puerto config check || [ $$? -eq 1 ]'";
    assert_eq!(reload[0], checked, "some mail that would wait must not keep the rest from it");
    assert_eq!(reload[1..], ["ExecReload=+/bin/sh -c 'kill -HUP ${MAINPID}'"], "{unit}");
}

#[test]
fn it_listens_to_the_world_only_where_mailboxes_are_and_says_why() {
    for (exchanges, listens, words) in [
        (vec![], "0.0.0.0:25, [::]:25", "everybody may bring mail for mailboxes here"),
        (vec!["mx.other.example".to_owned()], "127.0.0.1:25, [::1]:25", "of this machine alone"),
    ] {
        let world = Told { exchanges: Ok(exchanges), ..QUIET };
        let machine = Machine::new();
        let report = machine.run(&world, &mut Nobody).unwrap();
        let listen: Vec<_> = machine.config().listen.smtp.iter().map(ToString::to_string).collect();
        assert_eq!(listen.join(", "), listens);
        let notes = english(&report.notes());
        assert!(notes.contains(words) && notes.contains(listens), "{notes}");
    }
}

#[test]
fn root_is_read_by_whoever_was_named() {
    let mut machine = Machine::new();
    machine.wishes.root_mail = Some("ana@example.net".into());
    machine.set_up();
    assert_eq!(
        machine.read("etc/aliases"),
        "postmaster: root\nabuse: root\nroot: ana@example.net\n"
    );
    let there = Machine::new().with("etc/aliases", "postmaster: root");
    let mut person = Answers(vec![("Who reads root's mail", "ana"), ("Add that line", "yes")]);
    let report = there.run(&QUIET, &mut person).unwrap();
    assert!(commands(&report).contains(&"printf '\\nroot: %s\\n' ana >> /etc/aliases"));
    assert_eq!(there.read("etc/aliases"), "postmaster: root", "what is there is not written over");
    let said = Machine::new().with("etc/aliases", "Root : ana\n");
    let report = said.run(&QUIET, &mut person).unwrap();
    assert!(!commands(&report).iter().any(|command| command.contains("printf")));
}

/// Let's Encrypt is asked for nothing before a person has said yes.
#[test]
fn a_certificate_is_asked_for_with_consent_alone() {
    for (answer, is_on) in [("yes", true), ("no", false)] {
        let machine = Machine::new();
        machine.run(&QUIET, &mut Answers(vec![("Let's Encrypt", answer)])).unwrap();
        assert_eq!(machine.config().acme.is_on(), is_on);
    }
    let machine = Machine::new();
    machine.set_up();
    assert!(!machine.config().acme.is_on(), "nobody was asked");
}
