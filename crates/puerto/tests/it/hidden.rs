//! What root reads at a start and the server's user cannot read at a reload is told before.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

fn with_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
}

fn told(file: &Path) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_puerto"));
    command.arg("--config").arg(file).args(["config", "check", "--lang", "en"]);
    let output = command.env_remove("PUERTO_CONFIG").output().unwrap();
    String::from_utf8([output.stdout, output.stderr].concat()).unwrap()
}

#[test]
fn config_check_looks_as_the_servers_user() {
    // Only root can become that user.
    if !nix::unistd::geteuid().is_root() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    for name in ["", "providers", "dkim", "dkim/example.com"] {
        if !name.is_empty() {
            std::fs::create_dir(path(name)).unwrap();
        }
        with_mode(&path(name), 0o755);
    }
    let (provider, key) = (path("providers/own.toml"), path("dkim/example.com/s1.pem"));
    std::fs::write(&provider, "hosts = [\"example.com\"]\n").unwrap();
    let made = Command::new("openssl").args(["genrsa", "-out"]).arg(&key).arg("2048").output();
    if !made.is_ok_and(|made| made.status.success()) {
        std::fs::write(&key, "no key\n").unwrap();
    }
    let file = path("puerto.toml");
    let text = format!(
        "hostname = \"mail.example.com\"\nuser = \"nobody\"\nrun_dir = {:?}\nstate_dir = {:?}\n\
         [listen]\nsmtp = []\n[delivery]\nproviders = {:?}\n[dkim]\ndirectory = {:?}\n",
        path("run"),
        path("state"),
        path("providers"),
        path("dkim"),
    );
    std::fs::write(&file, text).unwrap();
    let is_told = |what: &Path| {
        let hidden = format!("nobody, as whom the server runs, may not read {}", what.display());
        told(&file).split_whitespace().collect::<Vec<_>>().join(" ").contains(&hidden)
    };
    with_mode(&provider, 0o644);
    assert!(!is_told(&provider));
    with_mode(&provider, 0o600);
    with_mode(&key, 0o600);
    assert!(is_told(&provider), "{}", told(&file));
    assert!(is_told(&key), "{}", told(&file));
}
