//! `puerto check` against the DNS of the lab: well kept, and with one thing broken.

use std::net::IpAddr;
use std::path::Path;

use puerto_lab::world::{SENDER_ADDRESS, SENDER_DOMAIN, SENDER_HOST};
use puerto_lab::{Lab, Options};
use puerto_mail::dkim::{Algorithm, PrivateKey};
use puerto_mail::dns::RecordType;
use serde_json::Value;

use crate::support::command::{code, puerto, run, stderr, stdout};

const KEY: &str = "s1._domainkey.lab.example";

/// A home whose configuration asks the lab, with a key that is published there.
async fn sender() -> (Lab, tempfile::TempDir) {
    use std::os::unix::fs::PermissionsExt;
    let lab = Lab::start(Options::default()).await.unwrap();
    let home = tempfile::tempdir().unwrap();
    let keys = home.path().join("dkim").join(SENDER_DOMAIN);
    std::fs::create_dir_all(&keys).unwrap();
    let pem = PrivateKey::generate(Algorithm::RsaSha256).unwrap();
    let file = keys.join("s1.pem");
    std::fs::write(&file, &pem).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    lab.zone().set_txt(KEY, &PrivateKey::from_pem(&pem).unwrap().record_text());
    let configuration = format!(
        "hostname = {SENDER_HOST:?}\ndomains = [{SENDER_DOMAIN:?}]\nstate_dir = {:?}\n\
         [dns]\nservers = [\"{}\"]\n[dkim]\ndirectory = {:?}\n[listen]\nsmtp = []\n\
         [delivery]\nallow_private = true\n",
        home.path().join("state"),
        lab.dns_addr(),
        home.path().join("dkim"),
    );
    std::fs::write(home.path().join("puerto.toml"), configuration).unwrap();
    (lab, home)
}

async fn check(home: &Path, arguments: &[&str]) -> (i32, String) {
    let egress = SENDER_ADDRESS.to_string();
    let arguments = [&["check", "--egress", &egress], arguments].concat();
    let command = puerto(home, &arguments);
    let output = tokio::task::spawn_blocking(move || run(command, b"")).await.unwrap();
    assert_eq!(stderr(&output), "");
    (code(&output), stdout(&output))
}

fn findings(json: &Value) -> Vec<String> {
    let checks = json["checks"].as_array().unwrap().iter();
    // The lab's resolver does not validate, which is worth knowing and no fault.
    let wrong = checks.filter(|check| check["status"] == "finding" && check["severity"] != "info");
    wrong.map(|check| check["id"].as_str().unwrap().to_owned()).collect()
}

async fn json(home: &Path) -> (i32, Value) {
    let (code, text) = check(home, &["--json"]).await;
    (code, serde_json::from_str(&text).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_well_kept_sender_is_right_and_each_fault_is_named_first() {
    let (lab, home) = sender().await;
    let (code, report) = json(home.path()).await;
    assert_eq!((code, findings(&report)), (0, Vec::new()), "{report:#}");
    assert_eq!(report["domain"], SENDER_DOMAIN);
    assert_eq!(report["receivers"]["gmail"]["verdict"], "accept");

    let zone = lab.zone();
    zone.remove_pointer(IpAddr::V4(SENDER_ADDRESS));
    let (code, report) = json(home.path()).await;
    assert_eq!((code, findings(&report)), (1, vec!["ptr.exists".to_owned()]));
    assert_eq!(report["receivers"]["gmail"]["because"][0], "ptr.exists");
    assert!(report["summary"].as_str().unwrap().contains("ptr.exists"));
    zone.add_pointer(IpAddr::V4(SENDER_ADDRESS), SENDER_HOST);

    zone.add_txt(SENDER_DOMAIN, "v=spf1 mx -all");
    let (code, text) = check(home.path(), &["--lang", "es"]).await;
    assert_eq!(code, 1);
    assert!(text.contains("spf.single") && text.contains("Hay una cosa mal"), "{text}");
    assert!(!text.contains('\u{1b}'), "no colours where there is no terminal");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_timer_hears_of_a_change_once_it_is_certain() {
    let (lab, home) = sender().await;
    let watch = ["--watch"];
    assert_eq!(check(home.path(), &watch).await, (0, String::new()));
    lab.zone().remove(KEY, RecordType::Txt);
    assert_eq!(check(home.path(), &watch).await, (1, String::new()));
    let (code, text) = check(home.path(), &watch).await;
    assert_eq!(code, 1);
    assert!(text.starts_with("now wrong: dkim.record-exists s1._domainkey.lab.example"), "{text}");
    assert_eq!(check(home.path(), &watch).await, (1, String::new()));
}

#[test]
fn what_cannot_be_checked_is_said() {
    let home = crate::support::command::home();
    for (arguments, says) in [
        (["check", "--only", "nothing"].as_slice(), "no check or group `nothing`"),
        (&["check", "not a domain"], "is not a domain name"),
    ] {
        let output = run(puerto(home.path(), arguments), b"");
        assert_eq!(code(&output), 2);
        assert!(stderr(&output).contains(says), "{}", stderr(&output));
    }
}
