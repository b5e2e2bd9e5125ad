//! `puerto user`: accounts made, changed and listed, and no password where others see it.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Output;

use serde_json::Value;

use crate::support::command::{code, home, puerto, run, stderr, stdout};

struct House(tempfile::TempDir);

impl House {
    fn new() -> Self {
        let home = home();
        let file = home.path().join("puerto.toml");
        let text = std::fs::read_to_string(&file).unwrap();
        let accounts = home.path().join("accounts");
        let section = format!("\n[accounts]\nfile = \"{}\"\n", accounts.display());
        std::fs::write(&file, text + &section).unwrap();
        Self(home)
    }

    fn user(&self, arguments: &[&str], input: &str) -> Output {
        let arguments: Vec<&str> =
            std::iter::once("user").chain(arguments.iter().copied()).collect();
        run(puerto(self.0.path(), &arguments), input.as_bytes())
    }

    fn file(&self) -> std::path::PathBuf {
        self.0.path().join("accounts")
    }

    fn list(&self) -> Value {
        serde_json::from_str(&stdout(&self.user(&["list", "--json"], ""))).unwrap()
    }
}

#[test]
fn accounts_are_made_changed_listed_and_removed() {
    let house = House::new();
    assert_eq!(
        stdout(&house.user(&["list"], "")),
        "no accounts: make one with `puerto user add NAME`\n"
    );
    let made = house.user(&["add", "Ana", "--password-stdin"], "correct horse\n");
    assert_eq!((code(&made), stdout(&made)), (0, String::new()));
    assert_eq!(house.file().metadata().unwrap().permissions().mode() & 0o137, 0);
    let secret = house.0.path().join("secret");
    std::fs::write(&secret, "battery staple\nnot this\n").unwrap();
    std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o600)).unwrap();
    let secret = secret.to_str().unwrap();
    assert_eq!(code(&house.user(&["add", "bea@example.com", "--password-file", secret], "")), 0);
    // An application's password is made, and shown this once.
    let arguments = ["passwd", "ana", "--application", "phone", "--ends", "2099-01-31"];
    let phone = stdout(&house.user(&arguments, ""));
    assert!(phone.len() == 24 && phone.matches('-').count() == 3, "{phone}");
    let text = std::fs::read_to_string(house.file()).unwrap();
    for secret in ["horse", "battery", phone.trim()] {
        assert!(!text.contains(secret), "{secret} in\n{text}");
    }
    let list = house.list();
    assert_eq!(list["accounts"][0]["name"], "ana");
    assert_eq!(list["accounts"][0]["passwords"][1]["application"], "phone");
    assert_eq!(list["accounts"][0]["passwords"][1]["ends"], "2099-01-31");
    assert_eq!(list["accounts"][0]["passwords"][1]["last_used"], Value::Null);
    assert_eq!(list["accounts"][1]["name"], "bea@example.com");
    let list = stdout(&house.user(&["list"], ""));
    assert!(
        list.contains("application phone: made 20") && list.contains("until 2099-01-31"),
        "{list}"
    );
    assert_eq!(code(&house.user(&["remove", "ana", "--application", "phone"], "")), 0);
    assert_eq!(code(&house.user(&["passwd", "ana", "--password-stdin"], "another one\n")), 0);
    assert_eq!(house.list()["accounts"][0]["passwords"].as_array().unwrap().len(), 1);
    assert_eq!(code(&house.user(&["remove", "bea@example.com"], "")), 0);
    assert_eq!(house.list()["accounts"].as_array().unwrap().len(), 1);
}

#[test]
fn what_cannot_be_is_told_and_changes_nothing() {
    let house = House::new();
    assert_eq!(code(&house.user(&["add", "ana", "--password-stdin"], "correct horse")), 0);
    let before = std::fs::read(house.file()).unwrap();
    for (arguments, input, expected, part) in [
        (&["add", "ana", "--password-stdin"][..], "correct horse", 2, "exists already"),
        (&["add", "a b", "--password-stdin"], "correct horse", 2, "is no name"),
        (&["add", "bea", "--password-stdin"], "short", 2, "8 to 1024"),
        (&["add", "bea", "--password-stdin"], "", 2, "8 to 1024"),
        (&["add", "bea"], "correct horse", 2, "--password-stdin"),
        (&["add", "bea", "--password-file", "/nonexistent"], "", 66, "/nonexistent"),
        (&["passwd", "bea", "--application", "phone"], "", 67, "no account `bea`"),
        (&["passwd", "ana", "--application", "a b"], "", 2, "letters, digits"),
        (&["passwd", "ana", "--ends", "2099-01-31"], "", 2, "--application"),
        (&["passwd", "ana", "--application", "phone", "--ends", "soon"], "", 2, "2027-01-31"),
        (&["passwd", "ana", "--application", "phone", "--ends", "2001-01-31"], "", 2, "is over"),
        (&["remove", "bea"], "", 67, "no account `bea`"),
        (&["remove", "ana", "--application", "phone"], "", 67, "puerto user list"),
    ] {
        let output = house.user(arguments, input);
        assert_eq!(code(&output), expected, "{arguments:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(part), "{arguments:?}: {}", stderr(&output));
        assert_eq!(stdout(&output), "", "{arguments:?}");
    }
    assert_eq!(std::fs::read(house.file()).unwrap(), before);
    let exposed = house.0.path().join("exposed");
    std::fs::write(&exposed, "correct horse").unwrap();
    std::fs::set_permissions(&exposed, std::fs::Permissions::from_mode(0o644)).unwrap();
    let exposed: &Path = &exposed;
    let output = house.user(&["add", "bea", "--password-file", exposed.to_str().unwrap()], "");
    assert!(code(&output) == 66 && stderr(&output).contains("chmod"), "{}", stderr(&output));
    std::fs::write(house.file(), "[[account").unwrap();
    assert_eq!(code(&house.user(&["list"], "")), 65);
    assert_eq!(code(&house.user(&["add", "bea", "--password-stdin"], "correct horse")), 65);
}

/// Since one of our domains came later.
#[test]
fn two_accounts_of_one_name_are_marked_in_the_list() {
    let house = House::new();
    for name in ["ana", "bea", "ana@later.example"] {
        let made = house.user(&["add", name, "--password-stdin"], "correct horse");
        assert_eq!(code(&made), 0, "{}", stderr(&made));
    }
    let marked = || {
        let list = house.list();
        let of = |account: &Value| (account["name"].clone(), account["same_as"].clone());
        list["accounts"].as_array().unwrap().iter().map(of).collect::<Vec<_>>()
    };
    assert!(marked().iter().all(|(_, same)| *same == Value::Array(Vec::new())), "{:?}", marked());
    let file = house.0.path().join("puerto.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    let text = text.replace("domains = [", "domains = [\"later.example\", ");
    std::fs::write(&file, text).unwrap();
    let same: Vec<String> = marked().iter().map(|(name, same)| format!("{name} {same}")).collect();
    let expected =
        [r#""ana" ["ana@later.example"]"#, r#""bea" []"#, r#""ana@later.example" ["ana"]"#];
    assert_eq!(same, expected);
    let list = stdout(&house.user(&["list"], ""));
    assert!(list.starts_with("ana\n  is one name with ana@later.example"), "{list}");
    assert!(list.contains("ana@later.example\n  is one name with ana,"), "{list}");
}

/// Two at a time do not undo each other's work.
#[test]
fn changes_at_the_same_time_are_all_kept() {
    let house = House::new();
    std::thread::scope(|scope| {
        for number in 0..6 {
            let house = &house;
            scope.spawn(move || {
                let name = format!("user{number}");
                let made = house.user(&["add", &name, "--password-stdin"], "correct horse");
                assert_eq!(code(&made), 0, "{}", stderr(&made));
            });
        }
    });
    assert_eq!(house.list()["accounts"].as_array().unwrap().len(), 6);
}
