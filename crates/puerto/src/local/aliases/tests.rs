//! What is read in the files, and what is told of it.

use super::*;

fn name(n: &str) -> Target {
    Target::Name(n.into())
}

fn address(a: &str) -> Target {
    Target::Address(Address::parse(a).unwrap())
}

#[test]
fn the_form_of_sendmail_is_read() {
    let aliases = Aliases::parse(
        "\u{feff}# comment\r\n\
         Postmaster: root\r\n\
         root:ana, \"b c\"@example.net ,\n\t luis@example.org\n\
         \"the office\": \\ana\n\
         \n   \n\
         list : a,b,,c\n",
    );
    assert_eq!(aliases.get("POSTMASTER"), Some(&[name("root")][..]));
    assert_eq!(aliases.get("the office"), Some(&[Target::User("ana".into())][..]));
    assert_eq!(aliases.get("list"), Some(&[name("a"), name("b"), name("c")][..]));
    let root = [name("ana"), address("\"b c\"@example.net"), address("luis@example.org")];
    assert_eq!(aliases.get("root"), Some(&root[..]));
    assert_eq!(aliases.get("nobody"), None);
    assert_eq!(aliases.warnings(&Local::default()), []);
}

#[test]
fn each_kind_of_target_is_told_from_the_others() {
    let at = |a: &str| Target::UserAt(Address::parse(a).unwrap());
    for (written, expected) in [
        ("/dev/null", Target::Nowhere),
        ("\"/dev/null\"", Target::Nowhere),
        ("\\Luis", Target::User("luis".into())),
        ("\\luis@example.com", at("luis@example.com")),
        ("\"\\\\luis\"", Target::User("luis".into())),
        (":include:/etc/list", Target::List("/etc/list".into())),
        ("\":include:/etc/the list\"", Target::List("/etc/the list".into())),
        ("Ana P\u{e9}rez <ana@example.com>", address("ana@example.com")),
        ("<ana@example.com>", address("ana@example.com")),
        ("ana (at home)", name("ana")),
        ("Root+Tag", name("root+tag")),
        ("\"ana luis\"", name("ana luis")),
        ("#1@example.com", address("#1@example.com")),
    ] {
        let aliases = Aliases::parse(&format!("x:{written}\n"));
        assert_eq!(aliases.get("x"), Some(&[expected][..]), "{written}");
        assert_eq!(aliases.warnings(&Local::default()), [], "{written}");
    }
}

#[test]
fn what_is_written_beside_the_form_is_read_as_it_is_meant_and_told() {
    let (ana, luis) = (name("ana"), name("luis"));
    for (written, expected, told) in [
        ("ana luis", &[ana.clone(), luis.clone()][..], "commas separate targets"),
        ("ana; luis;", &[ana.clone(), luis.clone()], "commas separate targets"),
        ("ana\tluis", &[ana.clone(), luis.clone()], "commas separate targets"),
        ("ana \\luis", &[ana.clone(), Target::User("luis".into())], "commas separate"),
        ("ana a@example.net", &[ana.clone(), address("a@example.net")], "commas separate"),
        ("ana # note", std::slice::from_ref(&ana), "a comment stands on a line of its own"),
        ("ana, # note\n luis", &[ana.clone(), luis.clone()], "a comment stands"),
        ("ana,\n luis\t#x", &[ana.clone(), luis], "line 2: what follows `#`"),
    ] {
        let aliases = Aliases::parse(&format!("x: {written}\n"));
        assert_eq!(aliases.get("x"), Some(expected), "{written}");
        let warnings: Vec<String> =
            aliases.warnings(&Local::default()).iter().map(Said::to_string).collect();
        assert!(warnings.len() == 1 && warnings[0].contains(told), "{written}: {warnings:?}");
    }
}

#[test]
fn what_is_not_done_is_told_with_its_line() {
    let aliases = Aliases::parse(
        "a: \"|/usr/bin/vacation, x\"\nb: /var/mail/archive\nc: :include:list\n\
         d\ne:\na: ana\nf@example.com: ana\ng: a@b@, c:d\nh: |cat > x\n",
    );
    assert!(matches!(aliases.get("c").unwrap(), [Target::Unsupported(_)]));
    let command = |text: &str| Target::Command(text.into());
    assert_eq!(aliases.get("h"), Some(&[command("cat > x")][..]));
    assert_eq!(aliases.get("b"), Some(&[Target::File("/var/mail/archive".into())][..]));
    let allowed = Local { allow_commands: vec![NamedIn::Alias], ..Local::default() };
    let told = aliases.warnings(&allowed);
    assert!(told.iter().all(|what| !what.to_string().contains("program")), "{told:?}");
    let told: Vec<String> =
        aliases.warnings(&Local::default()).iter().map(ToString::to_string).collect();
    let told = told.join("\n");
    for part in [
        "line 1: `a`: `|/usr/bin/vacation, x`: mail is handed to a program only where",
        "line 2: `b`",
        "line 3: `c`: `:include:list`: write `:include:` and the whole path of a file; until that is \
         mended its mail waits",
        "line 4: there is no colon",
        "line 5: `e` has no targets",
        "line 6: `a` stands here for the second time",
        "line 7: `f@example.com`: a name stands here without a domain",
        "line 8: `g`: `a@b@`",
        "line 8: `g`: `c:d`: this is neither a user nor an address",
        "line 9: `h`",
    ] {
        assert!(told.contains(part), "{part} in\n{told}");
    }
}

#[test]
fn a_list_is_separated_by_commas_or_lines() {
    let (targets, warnings) =
        listed("# members\nana, luis\n\n\"|/usr/bin/vacation ana\"\na@example.net # home\n");
    assert_eq!(targets[..2], [name("ana"), name("luis")]);
    assert!(matches!(targets[2], Target::Command(_)));
    assert_eq!(targets[3], address("a@example.net"));
    let warnings = super::told(&warnings, &Local::default(), NamedIn::Include);
    let warnings: Vec<String> = warnings.iter().map(ToString::to_string).collect();
    assert!(warnings.len() == 2 && warnings[1].starts_with("line 5: "), "{warnings:?}");
}

#[test]
fn newaliases_looks_into_lists_and_the_lists_in_them() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    let text = format!(
        "one: ana luis, :include:{}\ntwo: :include:{}, :include:{}\n",
        path("members").display(),
        path("members").display(),
        path("missing").display()
    );
    std::fs::write(path("aliases"), text).unwrap();
    let text = format!("ana # at home\r\n:include:{}\r\n|cat\r\n", path("inner").display());
    std::fs::write(path("members"), text).unwrap();
    let text = format!("luis,\n\u{f1}u ana\n:include:{}\n", path("members").display());
    std::fs::write(path("inner"), text).unwrap();
    let local = |name| Local { aliases: path(name), ..Local::default() };
    let told = alias_warnings(&local("aliases"), None).unwrap();
    let told: Vec<String> = told
        .iter()
        .map(|(file, what)| format!("{} {what}", file.file_name().unwrap().display()))
        .collect();
    for (line, part) in told.iter().zip([
        "aliases line 1: `one`: `ana luis`: commas",
        "members line 1: what follows `#`",
        "members line 3: `|cat`",
        "inner line 2: `\u{f1}u ana`: commas",
        "missing cannot be read",
    ]) {
        assert!(line.starts_with(part), "{line}");
    }
    assert_eq!(told.len(), 5, "{told:?}");
    assert!(alias_warnings(&local("none"), None).is_err());
}

#[test]
fn where_mail_waits_is_told_with_its_place_in_the_file_or_the_list() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).display().to_string();
    let text = format!(
        "one: ana luis\ntwo: |cat\nthree: :include:list\nfour: :include:{}, :include:{}\nbad\n",
        path("members"),
        path("missing")
    );
    std::fs::write(path("aliases"), text).unwrap();
    std::fs::write(path("members"), "ana # at home\n\"|echo\n").unwrap();
    let local = Local { aliases: path("aliases").into(), ..Local::default() };
    let found = broken_aliases(&local, None);
    let found: Vec<String> = found.iter().map(|(place, what)| format!("{place} {what}")).collect();
    for (line, part) in found.iter().zip([
        format!("{}:3 `three`: `:include:list`: write", path("aliases")),
        format!("{}:2 `\"|echo`: this is neither", path("members")),
        format!("{} No such file", path("missing")),
    ]) {
        assert!(line.starts_with(&part), "{line}");
    }
    assert_eq!(found.len(), 3, "{found:?}");
    let local = Local { aliases: path("none").into(), ..Local::default() };
    assert_eq!(broken_aliases(&local, None), []);
}
