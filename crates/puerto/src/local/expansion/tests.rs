//! Where names come to, followed as delivery does.

use super::*;

fn resolve(aliases: &str, name: &str) -> Resolution {
    let mut config = Config::for_tests(Path::new("/nonexistent"));
    config.hostname = "mail.example.com".into();
    Expander::new(&OtherNames::for_tests(config, aliases)).name(name).unwrap()
}

// Mailboxes, addresses, names that nobody has: each sorted, `!` before a mailbox that
// no `.forward` has a say in.
fn told(found: &Resolution) -> String {
    let mark = |b: &UserBox| if b.forward { "" } else { "!" };
    let boxes = found.boxes.iter().map(|b| format!("{}{}", mark(b), b.user));
    let remote = found.remote.iter().map(|onward| match &onward.owner {
        Some(owner) => format!("{}/{owner}", onward.address),
        None => onward.address.to_string(),
    });
    let missing = found.missing.iter().map(|name| format!("?{name}"));
    let discards = found.discards.iter().map(|name| format!("{name}>"));
    let deeds = found.deeds.iter().map(|deed| format!("{:?} by {:?}", deed.what, deed.by));
    let rest = missing.chain(discards).chain(deeds);
    boxes.chain(remote).chain(rest).collect::<Vec<_>>().join(" ")
}

#[test]
fn an_alias_that_names_itself_in_any_way_is_its_users_own_mailbox_once() {
    for target in [
        "root@example.com",
        "ROOT@Example.COM",
        "root+tag@example.com",
        "root@localhost",
        "root@localhost.localdomain",
        "root@mail.example.com",
        "root@[127.0.0.1]",
        "root",
        "root+tag",
        "<root@example.com>",
        "office",
        "postmaster",
        "root, root@example.com, Root",
    ] {
        let aliases =
            format!("root: {target}, admin@example.net, ADMIN@example.net\noffice: root\n");
        for name in ["root", "root+x", "office"] {
            let found = resolve(&aliases, name);
            assert_eq!(told(&found), "root admin@example.net", "{target}, to {name}");
            assert_eq!(found.problems, [], "{target}");
        }
    }
    for target in ["\\root", "\\root@example.com", "\\ROOT+x@localhost"] {
        let found = resolve(&format!("root: {target}, a@example.net\n"), "root");
        assert_eq!(told(&found), "!root a@example.net", "{target}");
    }
}

#[test]
fn aliases_are_followed_to_their_ends_each_target_once() {
    let aliases = "staff: office, a@example.net, no-such-user\noffice: root, b@example.com\n\
         b: \\daemon, c@example.org, a@example.net\nroot: root, copy@example.net\n\
         x: y, a@example.net\ny: x, root\nempty: void\nvoid: empty\n\
         null: /dev/null\nsome: root@example.com, /dev/null\n\
         postmaster: postmaster@example.com\nremote: \\luis@example.net\n\
         daemon: bin\nbin: daemon\n";
    for (name, expected) in [
        ("staff", "!daemon root a@example.net c@example.org copy@example.net ?no-such-user"),
        ("root+tag", "root copy@example.net"),
        ("x", "root a@example.net copy@example.net"),
        ("y", "root a@example.net copy@example.net"),
        ("empty", ""),
        ("null", "null>"),
        ("some", "root copy@example.net some>"),
        ("postmaster", "root copy@example.net"),
        ("abuse", "root copy@example.net"),
        ("remote", "luis@example.net"),
        ("daemon", "daemon"),
        ("bin", "bin"),
        ("nobody-at-all", "?nobody-at-all"),
    ] {
        assert_eq!(told(&resolve(aliases, name)), expected, "{name}");
    }
    assert!(
        resolve("pipe: |cat\n", "pipe").problems[0]
            .text()
            .contains("only where `local.allow_commands`")
    );
}

fn resolve_address(text: &str, address: &str) -> String {
    let text = format!("domains = [\"example.com\"]\nhostname = \"mail.example.com\"\n{text}");
    let config = Config::parse(&text, "test").unwrap_or_else(|e| panic!("{e}"));
    let names = OtherNames::for_tests(config, "office: daemon\nlist: bin\nowner-list: sys\n");
    let found = Expander::new(&names).recipient(&Address::parse(address).unwrap()).unwrap();
    let problems = found.problems.iter().map(|why| format!(" *{why}")).collect::<String>();
    format!("{}{problems}", told(&found))
}

const TABLE: &str = r#"
        [virtual]
        domains = ["example.org", "example.net", "old.example"]
        [virtual.map]
        "info@example.org" = ["root", "office", "a@elsewhere.example"]
        "bin@example.org" = "bin@example.org, daemon"
        "@example.org" = "catch@elsewhere.example"
        "a@example.net" = "b@example.net"
        "b@example.net" = "a@example.net, sys"
        "c@example.net" = "c@example.net"
        "@old.example" = "@example.com"
        "root@example.com" = "root@example.com, copy@elsewhere.example"
        "@example.com" = "catch@elsewhere.example"
    "#;

#[test]
fn an_entry_for_an_address_comes_before_one_for_a_domain_and_loops_end() {
    for (address, expected) in [
        ("info@example.org", "daemon root a@elsewhere.example"),
        ("Info+x@EXAMPLE.org", "daemon root a+x@elsewhere.example"),
        ("other@example.org", "catch@elsewhere.example"),
        ("bin@example.org", "daemon"),
        ("a@example.net", "sys"),
        ("b@example.net", "sys"),
        ("c@example.net", ""),
        ("nobody-here@example.net", "?nobody-here@example.net"),
        ("postmaster@example.net", "root"),
        ("PostMaster+x@example.net", "root"),
        ("abuse@example.org", "root"),
        ("root@old.example", "root copy@elsewhere.example"),
        ("bin@old.example", "bin"),
        ("nobody-here@old.example", "catch@elsewhere.example"),
        ("root@example.com", "root copy@elsewhere.example"),
        ("root+x@example.com", "root copy+x@elsewhere.example"),
        ("bin+x@mail.example.com", "bin"),
        ("office@example.com", "daemon"),
        ("list-request@example.com", "sys"),
        ("nobody-here@example.com", "catch@elsewhere.example"),
        ("nobody-here@localhost", "?nobody-here"),
    ] {
        assert_eq!(resolve_address(TABLE, address), expected, "{address}");
    }
}

#[test]
fn what_comes_back_for_a_sender_of_ours_goes_to_the_first_one() {
    use puerto_spool::clock::{Clock as _, SystemClock};
    let text = "[srs]\ndomain = \"example.com\"\n";
    let day = u64::try_from(SystemClock.now().as_secs() / 86_400).unwrap();
    let domain = Domain::parse("example.com").unwrap();
    let sender = Address::parse("ana@elsewhere.example").unwrap();
    let good = super::super::srs::Srs::new(b"secret", domain.clone());
    let good = good.forward(&sender, day).unwrap().to_string();
    let bad = super::super::srs::Srs::new(b"another", domain);
    let bad = bad.forward(&sender, day).unwrap().to_string();
    assert_eq!(resolve_address(text, &good), "ana@elsewhere.example");
    assert_eq!(resolve_address(text, &bad), format!("?{bad}"));
    assert_eq!(
        resolve_address("", &good),
        format!("?{}", good.to_lowercase().replace("@example.com", ""))
    );
}

#[test]
fn the_delimiter_is_the_configurations_and_parts_no_lists_name() {
    let local = |delimiter: &str| format!("[local]\nrecipient_delimiter = \"{delimiter}\"\n");
    for (delimiter, address, expected) in [
        ("-", "bin-x@example.com", "bin"),
        ("-", "bin+x@example.com", "?bin+x"),
        ("+-", "bin-x+y@example.com", "bin"),
        ("", "bin+x@example.com", "?bin+x"),
        ("-", "owner-list@example.com", "sys"),
        ("-", "list-request@example.com", "sys"),
        ("-", "mailer-daemon@example.com", "root"),
        ("-", "postmaster-x@example.com", "root"),
    ] {
        assert_eq!(resolve_address(&local(delimiter), address), expected, "{address}");
    }
    let to = "[local]\npostmaster = \"ops@elsewhere.example\"\n";
    assert_eq!(resolve_address(to, "postmaster@example.com"), "ops@elsewhere.example");
    let to = "[local]\npostmaster = \"postmaster@example.com\"\n";
    assert_eq!(resolve_address(to, "abuse@example.com"), "root");
}

#[test]
fn an_lmtp_server_knows_who_is_no_user_of_this_machine() {
    let text = "[local]\nmailbox = \"lmtp:/run/lmtp\"\n[virtual]\ndomains = [\"v.example\"]\n\
                [virtual.map]\n\"a@v.example\" = \"ana\"\n\"@v.example\" = \"@example.com\"\n";
    let config = Config::parse(
        &format!(
            "domains = [\"example.com\", \"example.org\"]\nhostname = \"m.example.com\"\n{text}"
        ),
        "test",
    );
    let names = OtherNames::for_tests(config.unwrap(), "team: ana+x, bin, luis@example.org\n");
    let known_by = |address: &str| {
        let found = Expander::new(&names).recipient(&Address::parse(address).unwrap()).unwrap();
        assert!(found.missing.is_empty(), "{address}");
        match found.standing(&names.config) {
            Standing::Asked(addresses) => {
                addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
            }
            other => format!("{other:?}"),
        }
    };
    for (address, expected) in [
        ("ana@example.org", "ana@example.org"),
        ("team@example.org", "ana+x@example.org bin@example.org luis@example.org"),
        ("a@v.example", "ana@example.com"),
        ("x+y@v.example", "x+y@example.com"),
    ] {
        assert_eq!(known_by(address), expected, "{address}");
    }
}

#[test]
fn commands_and_files_are_for_whom_the_configuration_allows_them() {
    let dir = tempfile::tempdir().unwrap();
    let list = dir.path().join("list");
    std::fs::write(&list, "|mlist\n/srv/list\n").unwrap();
    let uid = nix::unistd::geteuid().as_raw();
    let aliases = format!("team: |cmd, /srv/a, /srv/b/\nl: :include:{}\n", list.display());
    let alias = "Command(\"cmd\") by Owner(0)";
    let files = "File(\"/srv/a\") by Owner(0) File(\"/srv/b/\") by Owner(0)";
    for (allowed, name, expected, problems) in [
        ("", "team", String::new(), 3),
        ("allow_commands = [\"alias\"]", "team", alias.to_owned(), 2),
        ("allow_files = [\"alias\"]", "team", files.to_owned(), 1),
        ("allow_commands = [\"forward\", \"include\"]", "team", String::new(), 3),
        ("allow_commands = [\"alias\"]", "l", String::new(), 2),
        ("allow_commands = [\"include\"]", "l", format!("Command(\"mlist\") by Owner({uid})"), 1),
    ] {
        let config = Config::parse(&format!("[local]\n{allowed}\n"), "test").unwrap();
        let names = OtherNames::for_tests(config, &aliases);
        let found = Expander::new(&names).name(name).unwrap();
        assert_eq!(told(&found), expected, "{allowed}: {name}");
        assert_eq!(found.problems.len(), problems, "{allowed}: {name}");
    }
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o666);
    std::fs::set_permissions(&list, open).unwrap();
    let text = "[local]\nallow_commands = [\"include\", \"forward\"]\n";
    let names = OtherNames::for_tests(Config::parse(text, "test").unwrap(), &aliases);
    let found = Expander::new(&names).name("l").unwrap();
    assert_eq!(told(&found), "");
    assert!(found.problems[0].text().contains("everybody may write"), "{:?}", found.problems);
    let forward = "\"|procmail -a $EXTENSION\", /srv/x\n";
    let (found, warnings) = Expander::new(&names).forward("bin", forward).unwrap();
    let expected = "!bin Command(\"procmail -a $EXTENSION\") by User(\"bin\")";
    assert_eq!((told(&found).as_str(), warnings.len()), (expected, 1), "{warnings:?}");
}

#[test]
fn a_chain_that_is_too_long_ends() {
    let chain: String = (0..100).map(|n| format!("a{n}: a{}\n", n + 1)).collect();
    assert!(resolve(&chain, "a0").problems[0].text().contains("lead on and on"));
}

#[test]
fn a_list_has_an_owner_who_hears_of_failures() {
    let aliases = "staff: a@example.net, inner, root, no-such-user\nowner-staff: root\n\
         inner: b@example.net\nowner-inner: root\nplain: c@example.net\n\
         outer: plain\nowner-outer: root\n";
    assert_eq!(
        told(&resolve(aliases, "staff")),
        "root a@example.net/owner-staff b@example.net/owner-inner \
         no-such-user@example.com/owner-staff"
    );
    assert_eq!(told(&resolve(aliases, "plain")), "c@example.net");
    assert_eq!(told(&resolve(aliases, "outer")), "c@example.net/owner-outer");
}

#[test]
fn an_included_list_is_read_and_one_that_cannot_be_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("members");
    let aliases = format!("staff: :include:{}, z@example.net\n", file.display());
    let unread = resolve(&aliases, "staff");
    assert!(unread.unread[0].text().contains("cannot be read"), "{:?}", unread.unread);
    assert_eq!(told(&unread), "z@example.net");
    std::fs::write(&file, "# members\nroot, a@example.net\nstaff\n|cat\n").unwrap();
    let found = resolve(&aliases, "staff");
    assert_eq!(told(&found), "root a@example.net z@example.net");
    assert_eq!((found.problems.len(), found.remarks.len()), (1, 1));
    std::fs::remove_file(&file).unwrap();
    let mode = nix::sys::stat::Mode::from_bits_truncate(0o600);
    nix::unistd::mkfifo(&file, mode).unwrap();
    assert!(resolve(&aliases, "staff").unread[0].text().contains("not a regular file"));
}

#[test]
fn a_forward_file_sends_on_and_keeps_what_it_cannot_send() {
    let config = Config::for_tests(Path::new("/nonexistent"));
    let names = OtherNames::for_tests(config, "root: root, admin@example.net\nteam: daemon\n");
    for (text, expected, warnings) in [
        ("ana@example.net\n", "ana@example.net", 0),
        ("\\bin, ana@example.net\n", "!bin ana@example.net", 0),
        ("\\bin@example.com\nana@example.net", "!bin ana@example.net", 0),
        ("team", "daemon", 0),
        ("bin", "bin", 0),
        ("\"|/usr/bin/vacation bin\"\n", "!bin", 1),
        ("ana@example.net, \"|/usr/bin/procmail\"", "!bin ana@example.net", 1),
        ("/home/bin/mail/", "!bin", 1),
        (":include:/etc/passwd", "!bin", 1),
        ("/dev/null", ">", 0),
        ("no-such-user", "!bin", 1),
        ("no-such-user, ana@example.net", "ana@example.net", 1),
        ("", "!bin", 0),
        ("# ana@example.net\n", "!bin", 0),
        ("ana@example.net luis@example.net", "ana@example.net luis@example.net", 1),
    ] {
        let (found, told_of) = Expander::new(&names).forward("bin", text).unwrap();
        assert_eq!(told(&found), expected, "{text}");
        assert_eq!(told_of.len(), warnings, "{text}: {told_of:?}");
    }
}
