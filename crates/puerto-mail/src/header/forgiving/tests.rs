use super::*;
use crate::header::{Field, write_address_list};

fn read(value: &[u8]) -> (Vec<String>, Vec<AddressListProblem>) {
    let domain = Domain::parse("here.example").unwrap();
    let list = read_address_list(value, Some(&domain));
    (
        list.mailboxes().map(|mailbox| mailbox.to_string()).collect(),
        list.problems().map(|error| error.problem).collect(),
    )
}

fn written(value: &[u8]) -> String {
    let domain = Domain::parse("here.example").unwrap();
    let mut out = Vec::new();
    write_address_list(&mut out, "To", &read_address_list(value, Some(&domain)), None);
    let field = Field::parse(&out).unwrap();
    String::from_utf8(field.unfolded().into_owned()).unwrap()
}

// Fault B5, and the neighbours of it.
#[test]
fn names_that_nobody_quoted() {
    for (value, expected) in [
        ("Kock, Arne <arne@x.example>", "\"Kock, Arne\" <arne@x.example>"),
        ("John, L, Doe <jd@x.example>", "\"John, L, Doe\" <jd@x.example>"),
        (
            "Mr, Example 1 <one@x.example>, Mrs Example 2 <two@x.example>",
            "\"Mr, Example 1\" <one@x.example>, Mrs Example 2 <two@x.example>",
        ),
        ("Jane Doe, CEO <j@x.example>", "\"Jane Doe, CEO\" <j@x.example>"),
        ("[Shop] Orders <o@x.example>", "\"[Shop] Orders\" <o@x.example>"),
        ("Shop: Orders <o@x.example>", "\"Shop: Orders\" <o@x.example>"),
        ("sales@shop <o@x.example>", "\"sales@shop\" <o@x.example>"),
        ("Ann; Bob <o@x.example>", "\"Ann; Bob\" <o@x.example>"),
        ("Ann (Sales <o@x.example>", "\"Ann (Sales\" <o@x.example>"),
        ("Ann) <o@x.example>", "\"Ann)\" <o@x.example>"),
        ("Ann <Sales> <o@x.example>", "\"Ann <Sales>\" <o@x.example>"),
        ("Ann \\ Bob <o@x.example>", "\"Ann \\\\ Bob\" <o@x.example>"),
        ("Ann \\\"Bo\\\" Lee <o@x.example>", "\"Ann \\\"Bo\\\" Lee\" <o@x.example>"),
        ("\"Ann <o@x.example>", "Ann <o@x.example>"),
        ("\"Kock, Arne <o@x.example>", "\"Kock, Arne\" <o@x.example>"),
        ("\"a\" b <o@x.example>", "\"a\" b <o@x.example>"),
        ("Dr. O'Neil-Smith <o@x.example>", "Dr. O'Neil-Smith <o@x.example>"),
        ("Ann Lee o@x.example", "Ann Lee <o@x.example>"),
        ("<o@x.example> via shop", "via shop <o@x.example>"),
        ("José (Ventas) <o@x.example>", "=?utf-8?Q?Jos=C3=A9_=28Ventas=29?= <o@x.example>"),
        ("=?utf-8?Q?Kock,_Arne?= <o@x.example>", "=?utf-8?Q?Kock=2C_Arne?= <o@x.example>"),
        ("Müller, Jörg <o@x.example>", "=?utf-8?Q?M=C3=BCller=2C_J=C3=B6rg?= <o@x.example>"),
        (
            "=?koi8-r?Q?=C1?= José <o@x.example>",
            "=?koi8-r?Q?=C1?= =?utf-8?Q?_Jos=C3=A9?= <o@x.example>",
        ),
        ("\"Ann <a@x.example>, \"Bob\" <b@x.example>", "Ann <a@x.example>, \"Bob\" <b@x.example>"),
    ] {
        assert_eq!(written(value.as_bytes()), expected, "{value}");
    }
    let latin = written(b"Jos\xe9 <shop@x.example>");
    assert_eq!(latin, "=?windows-1252?Q?Jos=E9?= <shop@x.example>");
}

// Faults B4, B15 and B19.
#[test]
fn addresses_are_found_however_they_are_written() {
    for (value, mailboxes) in [
        ("a@x.example; b@x.example", vec!["a@x.example", "b@x.example"]),
        ("a@x.example, b@x.example;", vec!["a@x.example", "b@x.example"]),
        ("a@x.example b@x.example", vec!["a@x.example", "b@x.example"]),
        ("<a@x.example> <b@x.example>", vec!["a@x.example", "b@x.example"]),
        ("Ann <a@x.example> Bob <b@x.example>", vec!["Ann <a@x.example>", "Bob <b@x.example>"]),
        ("<a@x.example, b@x.example>", vec!["a@x.example", "b@x.example"]),
        ("<a@x.example;b@x.example>", vec!["a@x.example", "b@x.example"]),
        ("\"ann@x.example\"", vec!["ann@x.example"]),
        ("'ann@x.example'", vec!["ann@x.example"]),
        ("<<a@x.example>>", vec!["a@x.example"]),
        ("<mailto:a@x.example>", vec!["a@x.example"]),
        ("mailto:a@x.example?subject=x", vec!["a@x.example"]),
        ("Ann Lee/Sales/Acme@ACME", vec![]),
        ("a@x.example:25", vec!["a@x.example"]),
        ("ana@x.example, bob@x.example:", vec!["ana@x.example", "bob@x.example"]),
        ("a@x.example>", vec!["a@x.example"]),
        ("<a@x.example", vec!["a@x.example"]),
        ("< a@x.example >", vec!["a@x.example"]),
        ("root@10.0.0.5", vec!["root@[10.0.0.5]"]),
        ("x..y@x.example, .x@x.example", vec!["\"x..y\"@x.example", "\".x\"@x.example"]),
        ("x.@x.example", vec!["\"x.\"@x.example"]),
        ("root, Root", vec!["root@here.example", "Root@here.example"]),
        ("root, Ann <a@x.example>", vec!["root@here.example", "Ann <a@x.example>"]),
        ("root (Cron Daemon)", vec!["Cron Daemon <root@here.example>"]),
        ("<root>", vec!["root@here.example"]),
        ("friends: a@x.example, b@x.example", vec!["friends <a@x.example>", "b@x.example"]),
        ("friends: a@x.example; b@x.example", vec!["a@x.example", "b@x.example"]),
        ("Undisclosed recipients", vec![]),
        ("<Undisclosed-Recipients:;>", vec![]),
        ("", vec![]),
        (" ,;, ", vec![]),
        ("José <jösé@x.example>", vec!["José <jösé@x.example>"]),
    ] {
        let (seen, problems) = read(value.as_bytes());
        let seen: Vec<String> =
            seen.into_iter().map(|text| text.replace("friends: <", "friends <")).collect();
        assert_eq!(seen, mailboxes, "{value} {problems:?}");
    }
}

#[test]
fn one_that_cannot_be_read_stops_no_other() {
    use AddressListProblem::*;
    for (value, mailboxes, problem) in [
        ("Ana <>, bob@x.example", vec!["bob@x.example"], Address(AddressError::Empty)),
        (
            "a@b@x.example, bob@x.example",
            vec!["bob@x.example"],
            Address(AddressError::BadLocalPart),
        ),
        ("a@-x-, bob@x.example", vec!["bob@x.example"], Address(AddressError::BadDomain)),
        ("not an address, bob@x.example", vec!["bob@x.example"], MissingComma),
        (
            "\"Web Shop\", bob@x.example",
            vec!["bob@x.example"],
            Address(AddressError::MissingDomain),
        ),
        (
            "Ann <a b@x.example>, bob@x.example",
            vec!["bob@x.example"],
            Address(AddressError::BadLocalPart),
        ),
    ] {
        let (seen, problems) = read(value.as_bytes());
        assert_eq!(
            (seen, problems),
            (mailboxes.iter().map(|m| (*m).to_owned()).collect(), vec![problem]),
            "{value}"
        );
    }
    let (seen, problems) = read(b"a\xff@x.example, bob@x.example");
    assert_eq!((seen.len(), problems), (1, vec![Unexpected]));
}

#[test]
fn a_group_keeps_its_name() {
    for (value, expected) in [
        (
            "Friends: root, José <j@x.example>; c@x.example",
            "Friends: root@here.example, =?utf-8?Q?Jos=C3=A9?= <j@x.example>; , c@x.example",
        ),
        ("\"My Friends\":;", "My Friends:;"),
        ("undisclosed-recipients", "undisclosed-recipients:;"),
        ("Añejos: root;", "=?utf-8?Q?A=C3=B1ejos?=: root@here.example;"),
    ] {
        assert_eq!(written(value.as_bytes()).replace(";,", "; ,"), expected, "{value}");
    }
}

#[test]
#[expect(clippy::disallowed_methods, reason = "real work is timed")]
fn the_longest_header_is_read_in_linear_time() {
    let started = std::time::Instant::now();
    for piece in
        ["(", "\"", "\">,\"", "a:", "<", "<@,", "\u{1b}", "=?", "=?a?Q?", "[", "a@b,", "\\"]
    {
        let value = piece.repeat(60_000 / piece.len());
        let list = read_address_list(value.as_bytes(), None);
        let mut out = Vec::new();
        write_address_list(&mut out, "To", &list, None);
    }
    assert!(started.elapsed().as_secs() < 30, "{:?}", started.elapsed());
}

proptest::proptest! {
    #[test]
    fn what_is_well_formed_is_read_alike(text in "([ab \"<>,;:.()@=?\\[\\]é]|a@b\\.example|<a@b\\.example>){0,9}") {
        let domain = Domain::parse("here.example").unwrap();
        if let Ok(strict) = parse_address_list(text.as_bytes(), None) {
            let list = read_address_list(text.as_bytes(), Some(&domain));
            let seen: Vec<_> = list.mailboxes().map(|mailbox| mailbox.address).collect();
            let strict: Vec<_> = strict.into_iter().map(|mailbox| mailbox.address).collect();
            proptest::prop_assert_eq!(seen, strict);
        }
    }

    #[test]
    fn what_is_written_is_well_formed_where_it_was_read(text in "([aB \"<>,;:.()@=?\\[\\]é\\\\]|a@b\\.example|<a@b\\.example>){0,9}") {
        let domain = Domain::parse("here.example").unwrap();
        let list = read_address_list(text.as_bytes(), Some(&domain));
        let mut out = Vec::new();
        write_address_list(&mut out, "To", &list, None);
        let field = Field::parse(&out).unwrap();
        if list.problems().count() == 0 {
            let strict = parse_address_list(field.value(), None).unwrap();
            let strict: Vec<_> = strict.into_iter().map(|mailbox| mailbox.address).collect();
            let seen: Vec<_> = list.mailboxes().map(|mailbox| mailbox.address).collect();
            proptest::prop_assert_eq!(seen, strict);
        }
    }

    // What is seen at a glance is what care finds.
    #[test]
    fn a_plain_address_is_read_as_with_care(
        text in "[a =?'.-]{0,8}<?[a.-]{0,6}@?[a1._-]{0,8}>? {0,1}|[a. ]{0,4}<a@[a1.]{1,5}>",
    ) {
        let value = text.trim_ascii().as_bytes();
        proptest::prop_assert_eq!(read_address_list(value, None), read_with_care(value, None));
    }

    #[test]
    fn any_octets_are_read(octets: Vec<u8>) {
        let list = read_address_list(&octets, None);
        let mut out = Vec::new();
        write_address_list(&mut out, "To", &list, Some("koi8-r"));
        proptest::prop_assert!(out.ends_with(b"\r\n"));
    }
}
