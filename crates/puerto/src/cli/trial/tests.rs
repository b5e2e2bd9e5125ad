//! What is found before a start, with its line.

use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::accounts::Book;

fn tried(text: &str) -> Vec<(Severity, &'static str, Option<usize>)> {
    let mut config = Config::parse(text, "puerto.toml").unwrap();
    // What this machine has in the usual place is no matter of the tests.
    if !text.contains("[dkim]") {
        config.dkim_directory = "/nonexistent".into();
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("puerto.toml");
    std::fs::write(&file, text).unwrap();
    of(&config, &file).iter().map(|found| (found.finding.severity, found.key, found.line)).collect()
}

const QUIET: &str = "hostname = \"mail.example.com\"\n";

// An LMTP server that knows ana and nobody else.
fn lmtp_server(socket: &str) {
    use std::io::{BufRead as _, BufReader, Write as _};
    let listener = std::os::unix::net::UnixListener::bind(socket).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let _ = stream.write_all(b"220 lmtp.example ready\r\n");
            let lines = BufReader::new(stream.try_clone().unwrap()).lines();
            for line in lines.map_while(Result::ok) {
                let reply = match line.split(' ').next() {
                    Some("RCPT") if !line.contains("<ana@") => "550 5.1.1 no such user",
                    Some("QUIT") => "221 2.0.0 bye",
                    _ => "250 2.0.0 ok",
                };
                let _ = stream.write_all(format!("{reply}\r\n").as_bytes());
            }
        }
    });
}

#[test]
fn a_postmaster_whose_mail_comes_to_nobody_is_warned_of() {
    use Severity::Warning;
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let listen = "[listen]\nsmtp = []\n";
    let aliases = |name: &str, text: &str| std::fs::write(path(name), text).unwrap();
    aliases("ana", "postmaster: root\nroot: ana\n");
    aliases("bob", "postmaster: ana\nroot: bob\n");
    aliases("nobody", "postmaster: root\nroot: no-such-user\n");
    lmtp_server(&path("runs"));
    let local = |mailbox: &str, aliases: &str| {
        format!(
            "{QUIET}domains = [\"example.com\"]\n{listen}[local]\n{mailbox}aliases = \"{}\"\n",
            path(aliases)
        )
    };
    let lmtp = |socket: &str| format!("mailbox = \"lmtp:{}\"\n", path(socket));
    let away = (Warning, "local.mailbox", Some(6));
    for (text, expected) in [
        (local("", "nobody"), vec![(Warning, "local.postmaster", None)]),
        (
            format!("postmaster = \"nosuch@example.com\"\n{}", local("", "none")),
            vec![(Warning, "postmaster", Some(1))],
        ),
        (
            format!("{}postmaster = \"nosuch\"\n", local("", "none")),
            vec![(Warning, "local.postmaster", Some(7))],
        ),
        (
            format!("{}default_user = \"nosuch\"\n", local("", "none")),
            vec![(Warning, "local.default_user", Some(7))],
        ),
        (local(&lmtp("none"), "ana"), vec![away, (Warning, "local.postmaster", None)]),
        (local(&lmtp("runs"), "ana"), vec![]),
        (local(&lmtp("runs"), "none"), vec![(Warning, "local.postmaster", None)]),
        (local(&lmtp("runs"), "bob"), vec![(Warning, "local.aliases", Some(7))]),
    ] {
        assert_eq!(tried(&text), expected, "{text}");
    }
    let said = |text: &str| {
        let config = Config::parse(text, "puerto.toml").unwrap();
        let file = folder.path().join("puerto.toml");
        std::fs::write(&file, text).unwrap();
        let found = of(&config, &file);
        found.iter().map(|one| one.text("f", Language::English)).collect::<Vec<_>>().join("\n")
    };
    assert!(said(&local(&lmtp("runs"), "bob")).contains("does not know bob@example.com"));
    assert!(said(&local(&lmtp("none"), "ana")).contains("could not be asked"));
    assert!(said(&local("", "nobody")).contains("there is no no-such-user"));
}

/// Each is right by itself.
#[test]
fn names_networks_and_times_that_are_for_nobody_are_warned_of() {
    use Severity::Warning;
    let listen = "[listen]\nsmtp = []\n";
    for (text, key) in [
        ("[caps]\nusers = { nosuch = [\"1 messages/hour\"] }", Some("caps.users")),
        ("[caps]\nusers = { root = [\"1 messages/hour\"], \"*\" = [] }", None),
        ("[sender]\nusers = { nosuch = [\"ours\"] }", Some("sender.users")),
        ("[caps]\nclients = { \"192.0.2.0/24\" = [\"1 messages/hour\"] }", Some("caps.clients")),
        ("[caps]\nclients = { \"127.0.0.0/8\" = [\"1 messages/hour\"] }", None),
        ("[sender]\nnetworks = { \"192.0.2.0/24\" = [\"ours\"] }", Some("sender.networks")),
        ("[queue]\nexpire = \"2h\"", Some("queue.warn_after")),
        ("[queue]\nexpire = \"2h\"\nwarn_after = \"0s\"", None),
        ("[queue]\nexpire = \"2h\"\nwarn_after = \"1h\"\nretry = [\"3h\"]", Some("queue.retry")),
    ] {
        let text = format!("{QUIET}{listen}{text}\n");
        let found: Vec<_> =
            tried(&text).iter().map(|(severity, key, _)| (*severity, *key)).collect();
        assert_eq!(found, key.map(|key| (Warning, key)).into_iter().collect::<Vec<_>>(), "{text}");
    }
}

#[test]
fn a_database_that_could_not_be_used_is_found_with_its_line() {
    use Severity::{Error, Warning};
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    for (name, text, mode) in [("open", "s3cret\n", 0o644), ("empty", "\n", 0o600)] {
        std::fs::write(path(name), text).unwrap();
        std::fs::set_permissions(path(name), PermissionsExt::from_mode(mode)).unwrap();
    }
    let listen = "[listen]\nsmtp = []\n";
    std::fs::write(path("secret"), "s3cret\n").unwrap();
    std::fs::set_permissions(path("secret"), PermissionsExt::from_mode(0o600)).unwrap();
    let database = |options: &str, file: &str| {
        let file = path(file);
        format!(
            "{QUIET}{listen}[store]\nurl = \"postgres://u@db1.example/p{options}\"\n\
             password_file = \"{file}\"\n"
        )
    };
    for (text, expected) in [
        (database("", "none"), vec![(Error, "store.password_file", Some(6))]),
        (database("", "empty"), vec![(Error, "store.password_file", Some(6))]),
        (database("", "open"), vec![(Warning, "store.password_file", Some(6))]),
        (database("", "secret"), vec![]),
        (database("?sslmode=require", "secret"), vec![]),
        (database("?sslmode=quatsch", "secret"), vec![(Error, "store.url", Some(5))]),
        (database("?foo=bar", "secret"), vec![(Error, "store.url", Some(5))]),
        (database("?sslrootcert=/none", "secret"), vec![(Error, "store.url", Some(5))]),
        (
            format!("{QUIET}{listen}[store]\nnode = \"mail1\"\n"),
            vec![(Warning, "store.node", Some(5))],
        ),
    ] {
        assert_eq!(tried(&text), expected, "{text}");
    }
}

#[test]
fn what_would_stop_the_daemon_or_its_mail_is_found_with_its_line() {
    use Severity::{Error, Warning};
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    std::fs::write(path("open"), "secret\n").unwrap();
    std::fs::set_permissions(path("open"), PermissionsExt::from_mode(0o644)).unwrap();
    std::fs::write(path("empty"), "\n").unwrap();
    std::fs::set_permissions(path("empty"), PermissionsExt::from_mode(0o600)).unwrap();
    let listen = "[listen]\nsmtp = []\n";
    let relay = |file: &str| {
        format!(
            "{QUIET}relayhost = \"[r.example]\"\nrelayhost_user = \"u\"\nrelayhost_password_file = \"{}\"\n{listen}",
            path(file)
        )
    };
    for (text, expected) in [
        (format!("{QUIET}{listen}"), vec![]),
        (
            format!("{QUIET}user = \"nobody-of-this-name\"\n{listen}"),
            vec![(Error, "user", Some(2))],
        ),
        (format!("hostname = \"vps\"\n{listen}"), vec![(Warning, "hostname", Some(1))]),
        (format!("hostname = \"a.lan\"\n{listen}"), vec![(Warning, "hostname", Some(1))]),
        (format!("{QUIET}origin = \"a.lan\"\n{listen}"), vec![(Warning, "origin", Some(2))]),
        (
            format!("{QUIET}{listen}[sender]\nalways = \"a@b.lan\"\n"),
            vec![(Warning, "sender.always", Some(5))],
        ),
        (
            format!("{QUIET}log_to = \"{}\"\n{listen}", path("none/mail.log")),
            vec![(Error, "log_to", Some(2))],
        ),
        (format!("{QUIET}log_to = \"{}\"\n{listen}", path("")), vec![(Error, "log_to", Some(2))]),
        (format!("{QUIET}log_to = \"{}\"\n{listen}", path("mail.log")), vec![]),
        (
            format!("{QUIET}{listen}[dkim]\ndirectory = \"{}\"\n", path("open")),
            vec![(Warning, "dkim.directory", Some(5))],
        ),
        (
            format!("{QUIET}[listen]\nsmtp = [\"192.0.2.1:25\"]\n"),
            vec![(Error, "listen.smtp", Some(3))],
        ),
        (
            format!("{QUIET}{listen}[delivery]\nbind_ipv4 = \"192.0.2.1\"\n"),
            vec![(Warning, "delivery.bind_ipv4", Some(5))],
        ),
        (
            format!("{QUIET}{listen}[tls]\ncertificate = \"{0}\"\nkey = \"{0}\"\n", path("none")),
            vec![(Error, "tls.certificate", Some(5)), (Error, "tls.key", Some(6))],
        ),
        (
            format!("{QUIET}{listen}[tls]\ncertificate = \"{0}\"\nkey = \"{0}\"\n", path("open")),
            vec![(Error, "tls.certificate", Some(5))],
        ),
        (
            format!(
                "{QUIET}{listen}[virtual]\ndomains = [\"a.example\"]\nfile = \"{}\"\n",
                path("none")
            ),
            vec![(Error, "virtual.file", Some(6))],
        ),
        (
            format!(
                "{QUIET}relay_domains = [\"b.example\"]\nrelay_recipients = [\"{}\"]\n{listen}",
                path("none")
            ),
            vec![(Warning, "relay_recipients", Some(3))],
        ),
        (
            format!(
                "{QUIET}relay_domains = [\"b.example\"]\nrelay_recipients = [\"{}\"]\n{listen}",
                path("open")
            ),
            vec![(Error, "relay_recipients", Some(3))],
        ),
        (
            format!(
                "{QUIET}{listen}[srs]\ndomain = \"a.example\"\nsecret_file = \"{}\"\n",
                path("open")
            ),
            vec![(Warning, "srs.secret_file", Some(6))],
        ),
        (relay("none"), vec![(Error, "relayhost_password_file", Some(4))]),
        (relay("open"), vec![(Error, "relayhost_password_file", Some(4))]),
        (relay("empty"), vec![(Error, "relayhost_password_file", Some(4))]),
    ] {
        assert_eq!(tried(&text), expected, "{text}");
    }
}

/// The server runs with them, and a reload takes all else over.
#[test]
fn aliases_for_which_mail_waits_are_errors_with_their_place() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("aliases");
    let told = |aliases: &str| {
        std::fs::write(&file, aliases).unwrap();
        let text = format!("{QUIET}[listen]\nsmtp = []\n[local]\naliases = {file:?}\n");
        let config = Config::parse(&text, "puerto.toml").unwrap();
        let place = folder.path().join("puerto.toml");
        std::fs::write(&place, text).unwrap();
        let mut found = of(&config, &place);
        found.retain(|one| one.key == "local.aliases");
        assert!(found.iter().all(|one| one.is_error() && !one.stops()), "{found:?}");
        found.iter().map(|one| one.text("f", Language::English)).collect::<Vec<_>>()
    };
    assert_eq!(told("root: root\nbad line\npipe: |cat\n"), Vec::<String>::new());
    let found = told("root: root\nx: :include:lista.txt\ny: :include:/nonexistent\n");
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found[0].contains("aliases:2: `x`: `:include:lista.txt`: write"), "{found:?}");
    assert!(found.iter().all(|one| one.ends_with("; until then its mail waits")), "{found:?}");
    assert!(found[1].contains(": /nonexistent: No such file"), "{found:?}");
}

#[test]
fn who_may_log_in_is_looked_for_where_logins_are_listened_for() {
    use Severity::Warning;
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    std::fs::write(path("open"), "secret\n").unwrap();
    std::fs::set_permissions(path("open"), PermissionsExt::from_mode(0o644)).unwrap();
    std::fs::write(path("empty"), "\n").unwrap();
    std::fs::set_permissions(path("empty"), PermissionsExt::from_mode(0o600)).unwrap();
    let logins = |key: &str, file: &str| {
        format!(
            "{QUIET}[listen]\nsmtp = []\nsubmissions = [\"127.0.0.1:0\"]\n[tls]\n\
             certificate = \"{0}\"\nkey = \"{0}\"\n[accounts]\n{key} = \"{1}\"\n",
            path("none"),
            path(file)
        )
    };
    let mut book = Book::default();
    book.save(Path::new(&path("none-yet")), |_| Ok(())).unwrap();
    book.add("ana", &[]).unwrap();
    book.save(Path::new(&path("accounts")), |_| Ok(())).unwrap();
    // Made when other.example was no domain of ours.
    for name in ["ana@other.example", "bob@other.example"] {
        book.add(name, &[]).unwrap();
    }
    book.save(Path::new(&path("doubles")), |_| Ok(())).unwrap();
    for (text, expected) in [
        (logins("file", "none"), vec![(Warning, "listen.submissions", Some(4))]),
        (logins("file", "none-yet"), vec![(Warning, "listen.submissions", Some(4))]),
        (logins("file", "open"), vec![(Warning, "accounts.file", Some(9))]),
        (logins("file", "empty"), vec![(Warning, "listen.submissions", Some(4))]),
        (logins("dovecot", "none"), vec![(Warning, "accounts.dovecot", Some(9))]),
        (logins("file", "accounts"), vec![]),
        (
            format!("{}[caps]\naccounts = {{ ANA = [], bob = [] }}\n", logins("file", "accounts")),
            vec![(Warning, "caps.accounts", Some(11))],
        ),
        (
            format!("domains = [\"other.example\"]\n{}", logins("file", "doubles")),
            vec![(Warning, "domains", Some(1))],
        ),
    ] {
        // None of these has a certificate.
        let mut tried = tried(&text);
        tried.retain(|(_, key, _)| !key.starts_with("tls."));
        assert_eq!(tried, expected, "{text}");
    }
}

#[test]
fn what_is_found_is_said_as_ever() {
    // Others may not look at everything.
    if !nix::unistd::geteuid().is_root() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().display().to_string();
    let path = |name: &str, text: &str, mode: u32| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
        path.display().to_string()
    };
    let pem = "-----BEGIN CERTIFICATE-----\n";
    let held = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = held.local_addr().unwrap().to_string();
    let mut all = String::new();
    for text in [
        "hostname = \"vps\"\nuser = \"nobody-of-this-name\"\n".to_owned(),
        format!(
            "hostname = \"a.lan\"\norigin = \"b.lan\"\nlog_to = \"{root}\"\nrun_dir = \"{root}\"\n\
             [listen]\nsmtp = [\"{address}\", \"192.0.2.1:25\"]\n\
             [delivery]\nbind_ipv4 = \"192.0.2.1\"\nbind_ipv6 = \"2001:db8::1\"\n\
             [tls]\ncertificate = \"{root}/none\"\nkey = \"{}\"\n\
             [dkim]\ndirectory = \"{}\"\n\
             [[route]]\nto = \"a.example\"\nvia = \"[r.example]\"\nuser = \"u\"\n\
             password_file = \"{}\"\n",
            path("key.pem", pem, 0o600),
            path("dkim", "", 0o600),
            path("empty", "\n", 0o600),
        ),
        format!(
            "{QUIET}relayhost = \"[r.example]\"\nrelayhost_user = \"u\"\n\
             relayhost_password_file = \"{}\"\n[sender]\nalways = \"a@b.lan\"\n\
             [tls]\ncertificate = \"{root}/key.pem\"\nkey = \"{root}/key.pem\"\n",
            path("open", "secret\n", 0o644),
        ),
        format!(
            "{QUIET}[listen]\nsubmission = [\"127.0.0.1:0\"]\n[accounts]\nfile = \"{root}/none\"\n\
             [tls]\ncertificate = \"{root}/none\"\nkey = \"{root}/none\"\n",
        ),
        // No user who exists: all threads of the tests would become that user.
        format!("{QUIET}[dkim]\ndirectory = \"{root}\"\n"),
    ] {
        std::fs::create_dir_all(folder.path().join("example.com")).unwrap();
        path("example.com/s1.pem", "none", 0o640);
        let mut config = Config::parse(&text, "puerto.toml").unwrap();
        if !text.contains("[listen]") {
            config.listen = crate::config::Listen::default();
        }
        if !text.contains("[dkim]") {
            config.dkim_directory = "/nonexistent".into();
        }
        let file = folder.path().join("puerto.toml");
        std::fs::write(&file, &text).unwrap();
        for found in of(&config, &file) {
            for language in [Language::English, Language::Spanish] {
                let (shown, json) = (found.text("puerto.toml", language), found.json(language));
                all += &format!("{shown}\n{json}\n");
            }
        }
    }
    let all = all.replace(&root, "/ROOT").replace(&address, "ADDRESS");
    // This process holds it.
    let own = std::env::current_exe().unwrap().display().to_string();
    let all = all.replace(&own, "/PROGRAM");
    crate::golden::same("cli/trial.txt", &all);
}

#[test]
fn an_address_in_use_is_told_and_not_disturbed() {
    let held = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = held.local_addr().unwrap();
    let run = tempfile::tempdir().unwrap();
    let text = format!("{QUIET}run_dir = {:?}\n[listen]\nsmtp = [\"{address}\"]\n", run.path());
    assert_eq!(tried(&text), [(Severity::Warning, "listen.smtp", Some(4))]);
    assert!(std::net::TcpStream::connect(address).is_ok());
    let _daemon = std::os::unix::net::UnixListener::bind(run.path().join("control")).unwrap();
    assert_eq!(tried(&text), [], "the daemon that runs holds it");
}
