use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use super::archive::{Archive, Manifest, Writer};
use super::{BackupError, Places};
use crate::config::Config;
use crate::lang::Language;

/// A server's files below a folder.
fn server(folder: &Path) -> (Config, std::path::PathBuf) {
    let text = format!(
        "hostname = \"mail.example.com\"\nstate_dir = \"{0}/state\"\n[dkim]\ndirectory = \"{0}/dkim\"\n\
         [accounts]\nfile = \"{0}/accounts\"\n[local]\naliases = \"{0}/aliases\"\n",
        folder.display()
    );
    let file = folder.join("puerto.toml");
    let long = format!("dkim/example.com/{}.pem", "s".repeat(95));
    for (path, text) in [
        ("puerto.toml", text.as_str()),
        ("accounts", "ana\n"),
        ("aliases", "root: ana\n"),
        (&long, "key\n"),
        ("state/relay-keys", ""),
        ("state/history/00000001.history", "notes"),
        ("state/spool/segments/1", "not like this"),
        ("state/drafts/1", "nor this"),
        ("other", "not ours"),
    ] {
        let path = folder.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
    }
    symlink("/etc/shadow", folder.join("state/link")).unwrap();
    (Config::parse(&text, "").unwrap(), file)
}

fn write(config: &Config, file: &Path) -> Vec<u8> {
    let begun = Manifest { config: file.to_owned(), ..Manifest::default() };
    let mut writer = Writer::new(Vec::new(), 1, begun);
    for path in Places::of(config, file).found() {
        writer.file(&path).unwrap();
    }
    writer.with_queue(vec!["{\"what\":{}}".to_owned()]);
    writer.finish().unwrap().1
}

fn read(octets: &[u8]) -> Result<Archive, BackupError> {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(octets).unwrap();
    Archive::open(file, |_, _| {})
}

fn refused(octets: &[u8]) -> String {
    match read(octets) {
        Ok(_) => "taken".to_owned(),
        Err(error) => error.said().of(Language::English),
    }
}

#[test]
fn all_that_belongs_to_a_server_goes_in_and_comes_out_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let (config, file) = server(folder.path());
    let octets = write(&config, &file);
    let mut archive = read(&octets).unwrap();
    let files = archive.manifest.files.clone();
    let below = |path: &Path| path.strip_prefix(folder.path()).unwrap().display().to_string();
    let names: Vec<String> = files.iter().map(|file| below(&file.path)).collect();
    let long = format!("dkim/example.com/{}.pem", "s".repeat(95));
    let expected = [
        "accounts",
        "aliases",
        &long,
        "puerto.toml",
        "state/history/00000001.history",
        "state/relay-keys",
    ];
    assert_eq!(names, expected);
    for file in &files {
        assert_eq!(archive.octets(file).unwrap(), std::fs::read(&file.path).unwrap());
        assert_eq!(file.mode, 0o640);
    }
    assert!(archive.manifest.folders.iter().any(|one| one.path == folder.path().join("state")));
    let queue = archive.manifest.queue.as_ref().unwrap();
    assert_eq!((queue.messages, queue.orders.len()), (0, 1));
}

#[test]
fn tar_itself_reads_it() {
    let folder = tempfile::tempdir().unwrap();
    let (config, file) = server(folder.path());
    let place = folder.path().join("backup.tar");
    std::fs::write(&place, write(&config, &file)).unwrap();
    let listed = std::process::Command::new("tar").arg("-tf").arg(&place).output().unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    assert_eq!(listed.lines().count(), 7, "{listed}");
    assert!(listed.contains(&format!("files{}/accounts\n", folder.path().display())), "{listed}");
    assert!(listed.ends_with("manifest.json\n"));
}

#[test]
fn whatever_is_cut_or_changed_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (config, file) = server(folder.path());
    let octets = write(&config, &file);
    assert_eq!(refused(&octets), "taken");
    let whole = octets.iter().rposition(|octet| *octet == b'}').unwrap();
    for end in (0..=whole).step_by(97) {
        assert_ne!(refused(&octets[..end]), "taken", "cut at {end}");
    }
    // What fills the last block of a member says nothing.
    let of_files: Vec<usize> = (0..octets.len()).filter(|at| octets[*at] != 0).collect();
    for at in of_files.into_iter().step_by(7) {
        let mut changed = octets.clone();
        changed[at] ^= 1;
        if read(&changed).is_ok() {
            let manifest = octets.windows(13).rposition(|name| name == b"manifest.json").unwrap();
            assert!(at > manifest, "changed at {at}");
        }
    }
}

/// An archive as somebody means harm with it.
fn forged(members: &[(&str, &str)]) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, text) in members {
        let member = super::tar::Member { name: (*name).to_owned(), size: text.len() as u64 };
        super::tar::put_header(&mut out, &member, 0).unwrap();
        out.write_all(text.as_bytes()).unwrap();
        super::tar::put_padding(&mut out, member.size).unwrap();
    }
    super::tar::put_end(&mut out).unwrap();
    out
}

fn manifest_of(path: &str, text: &str) -> String {
    let sum = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes());
    let sum: String = sum.as_ref().iter().map(|octet| format!("{octet:02x}")).collect();
    serde_json::json!({
        "format": 1, "version": "1", "created": "", "hostname": "", "folders": [],
        "config": "/etc/puerto/puerto.toml", "queue": null,
        "files": [{ "path": path, "size": text.len(), "sha256": sum, "mode": 420,
                    "owner": "root", "group": "root" }],
    })
    .to_string()
}

#[test]
fn an_archive_writes_nowhere_but_where_its_configuration_says() {
    for path in [
        "/etc/passwd",
        "/etc/puerto/../passwd",
        "/var/lib/puerto/../../../etc/passwd",
        "/var/lib/puerto/spool/segments/1",
        "/etc/puerto/dkim",
    ] {
        let octets =
            forged(&[(&format!("files{path}"), "x"), ("manifest.json", &manifest_of(path, "x"))]);
        assert!(refused(&octets).contains("names no file"), "{path}: {}", refused(&octets));
    }
    for name in ["etc/passwd", "files", "filesystem", "queue/x.eml", "../x", "queue/../../x.entry"]
    {
        let octets = forged(&[(name, "x"), ("manifest.json", &manifest_of("/x", "x"))]);
        assert_ne!(refused(&octets), "taken", "{name}");
    }
    let path = "/etc/puerto/dkim/example.com/s.pem";
    let member = format!("files{path}");
    let good = [(member.as_str(), "x"), ("manifest.json", &*manifest_of(path, "x"))];
    assert_eq!(refused(&forged(&good)), "taken");
    // A link where a file should be.
    let mut link = forged(&good);
    link[156] = b'2';
    link[148..156].copy_from_slice(b"        ");
    let sum: u32 = link[..512].iter().map(|octet| u32::from(*octet)).sum();
    link[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    assert!(refused(&link).contains("no regular file"), "{}", refused(&link));
    let later = forged(&[("manifest.json", "{\"format\":2}")]);
    assert_eq!(refused(&later), BackupError::Later.said().of(Language::English));
    // Larger than was said, and than any file of a server.
    let mut large = Vec::new();
    let member = super::tar::Member { name: member.clone(), size: 1 << 40 };
    let written = super::tar::put_header(&mut large, &member, 0);
    assert!(written.is_err() || refused(&large).contains("too large"));
}
