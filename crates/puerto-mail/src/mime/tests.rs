//! What real programs wrote and readers stumbled over, as their users reported it.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

const LIMITS: Limits = Limits { depth: 8, parts: 100 };

fn crlf(text: &str) -> String {
    text.replace("\r\n", "\n").replace('\n', "\r\n")
}

// The bodies of all parts, and what is wrong.
fn bodies(message: &str) -> (Vec<String>, Vec<Problem>) {
    let message = crlf(message);
    let header = Header::parse(message.as_bytes()).unwrap();
    let found = read(&header, LIMITS);
    let bodies = found.parts.iter().map(|part| String::from_utf8_lossy(part.body()).into_owned());
    (bodies.collect(), found.problems)
}

fn boundary(content_type: &str) -> Option<String> {
    Value::of(content_type).boundary().map(|octets| String::from_utf8(octets).unwrap())
}

#[test]
fn boundaries_are_read_as_programs_write_them() {
    for (content_type, expected) in [
        ("multipart/mixed; boundary=\"----=_Part_1.2\"; report-type=x", "----=_Part_1.2"),
        // Against RFC 2045, and common.
        ("multipart/mixed; boundary====1656457491496===", "===1656457491496==="),
        ("multipart/mixed;boundary=gc0pJq0M:08jU534c0p;charset=UTF-8", "gc0pJq0M:08jU534c0p"),
        ("multipart/report; boundary = \"a b\" ; type=\"text/html\"", "a b"),
        ("multipart/mixed; boundary=\"=_NextPart_2rf\";windows-852", "=_NextPart_2rf"),
        ("multipart/digest; boundary=\"foo \"", "foo"),
        ("Multipart/Mixed; charset=\"a;boundary=x\"; BOUNDARY=\"a;b\"", "a;b"),
        ("multipart/mixed; boundary=\"a\\\"b\"", "a\"b"),
        ("multipart/mixed boundary=a", "a"),
        ("multipart/mixed, boundary=\"a", "a"),
        ("multipart/mixed (for (you\\)) boundary=no); boundary=a(b)", "a"),
        ("multipart/mixed; boundary=a; boundary=b", "a"),
        (
            "multipart/alternative; boundary*0*=us-ascii''%3D_7ea0b6%3D10e51b18-803;\t\
             boundary*1*=3-b658d5dbbbbd_%3D",
            "=_7ea0b6=10e51b18-8033-b658d5dbbbbd_=",
        ),
        ("multipart/mixed; boundary*1=\"b;\"; boundary*0=a; boundary*3=d", "ab;"),
        ("multipart/mixed; boundary*2=c; boundary=a", "a"),
    ] {
        assert_eq!(boundary(content_type).as_deref(), Some(expected), "{content_type}");
        assert!(Value::of(content_type).word().starts_with("multipart/"));
    }
    for content_type in [
        "multipart/mixed",
        "multipart/mixed; boundary=\"\"; charset=utf-8",
        "multipart/mixed; boundary=",
        "multipart/mixed; boundary=; charset=utf-8",
        "multipart/mixed; xboundary=a; boundaryx=b; boundary**=c; boundary*x=d; a=boundary=e",
        "multipart/mixed; (boundary=a",
        &format!("multipart/mixed; boundary={}", "x".repeat(MAX_BOUNDARY + 1)),
    ] {
        assert_eq!(boundary(content_type), None, "{content_type}");
    }
}

#[test]
fn other_parameters_are_read_the_same_way() {
    for (value, name, expected) in [
        ("text/plain; charset=us-ascii (Plain text)", "charset", "us-ascii"),
        ("text/plain; charset=us-ascii(Plain; text=no); x=y", "x", "y"),
        ("text/html; charset = \"UTF-8\"", "charset", "UTF-8"),
        ("attachment; filename*=utf-8''bill%2Eexe", "filename", "bill.exe"),
        ("attachment; filename=old.txt; filename*=UTF-8'en'%e2%98%83.txt", "filename", "☃.txt"),
        // A letter may be cut, and only the first piece says the character set.
        ("a/b; name*0*=UTF-8''%E2%98; name*1*=%83; name*2=\"%20.txt\"", "name", "☃%20.txt"),
        ("a/b; name*0*=ISO-8859-1''%E9; name*1*=%E8.txt", "name", "éè.txt"),
        ("a/b; name*=koi8-r''%C1", "name", "\u{fffd}"),
        ("a/b; name*=100%; x", "name", "100%"),
        ("a/b; name*0=one.; name*1=exe; name*0=two.", "name", "one.exe"),
    ] {
        assert_eq!(Value::of(value).get(name).as_deref(), Some(expected), "{value}");
    }
    assert_eq!(Value::of(" TEXT/Html;charset=x").word(), "text/html");
    assert_eq!(Value::of("").word(), "");
}

#[test]
fn parts_begin_and_end_where_receivers_see_it() {
    let mixed = |boundary: &str, body: &str| {
        format!("Content-Type: multipart/mixed; boundary=\"{boundary}\"\n\n{body}")
    };
    for (message, expected) in [
        ("Subject: hi\n\n--a\n\nb\n".to_owned(), vec!["--a\r\n\r\nb\r\n"]),
        // What looks like a delimiter, before the first and within a line, is none.
        (mixed("a", "--ab\n-- a\nx --a\n--a\n\nsee --a\n\n--a--\nafter\n"), vec!["see --a\r\n"]),
        (
            mixed("Part", "--Part\n\nabc\n--Part--More\n--Part-\n--Part-- \t\n"),
            vec!["abc\r\n--Part--More\r\n--Part-"],
        ),
        // A boundary that begins as another does, and the outer one that ends the inner.
        (
            mixed(
                "a",
                "--a\nContent-Type: multipart/x; boundary=--a\n\n----a\n\n1\n----a\n\n2\n--a\n\n3\n--a--\n",
            ),
            vec!["1", "2", "3"],
        ),
        (
            mixed(
                "a",
                "--a\nContent-Type: multipart/x; boundary=a-in\n\n--a-in\n\n1\n--a-in--\n--a--\n",
            ),
            vec!["1"],
        ),
        // The same boundary inside and outside.
        (
            mixed(
                "a",
                "--a\nContent-Type: multipart/x; boundary=a\n\n--a\n\n1\n--a--\n\n--a\n\n2\n--a--\n",
            ),
            vec!["1", "2"],
        ),
        // A boundary that could be a field's name, and headers that never end.
        (
            mixed(
                "mixed-Cpanel::Object-1",
                "--mixed-Cpanel::Object-1\nX: y\n--mixed-Cpanel::Object-1--\n",
            ),
            vec![""],
        ),
        (mixed("a", "--a\n--a\nno field\n\nx\n--a\n\n--a--\n"), vec!["", "no field\r\n\r\nx", ""]),
        (
            mixed("a", "--a\nContent-Type: multipart/x; boundary=b\n--b\n\n1\n--b--\n--a--\n"),
            vec!["1"],
        ),
        (mixed("a", "--a\n x\n--a--\n"), vec![" x"]),
    ] {
        assert_eq!(bodies(&message).0, expected, "{message}");
    }
}

#[test]
fn what_is_broken_is_said() {
    let (a, b) = ("a".to_owned(), "b".to_owned());
    let nested = "Content-Type: multipart/x; boundary=b\n\n";
    for (body, expected) in [
        ("x", vec![Problem::NoParts(a.clone())]),
        ("--a--\n", vec![Problem::NoParts(a.clone())]),
        ("--a\n\nx\n", vec![Problem::NotClosed(a.clone())]),
        ("--a\n\nx\n--a-", vec![Problem::NotClosed(a.clone())]),
        ("--a\nContent-Type: multipart/x; boundary=\"\"\n\nx\n--a--", vec![Problem::NoBoundary]),
        (&format!("--a\n{nested}--b\n\nx\n--a--"), vec![Problem::NotClosed(b.clone())]),
        (&format!("--a\n{nested}--a"), vec![Problem::NoParts(b), Problem::NotClosed(a)]),
        ("--a\n\n--a--", vec![]),
        (&"--a\n".repeat(101), vec![Problem::TooMany]),
    ] {
        let message = format!("Content-Type: multipart/mixed; boundary=a\n\n{body}");
        assert_eq!(bodies(&message).1, expected, "{message}");
    }
    let nest: String = (0..100)
        .map(|depth| format!("Content-Type: multipart/x; boundary=b{depth}\n\n--b{depth}\n"))
        .collect();
    assert_eq!(bodies(&nest), (vec![], vec![Problem::TooMany]));
}

// Each would take hours if it were read more than a few times.
#[test]
fn what_is_long_is_read_in_one_go() {
    const LONG: usize = 500_000;
    for piece in ["(", "\\(", "\"\\", "a=", "a*1=", ";", ",", "\"", "a ", "(\"", "=", "%", "'"] {
        let value = format!("multipart/x; boundary*0*={}", piece.repeat(LONG / piece.len()));
        assert!(Value::of(&value).get("boundary").is_none_or(|found| found.len() <= LONG));
    }
    for line in [
        "--a",
        "--a: b",
        "X: y",
        " x",
        "",
        "-",
        "--",
        "--a\r\nContent-Type: multipart/x; boundary=a\r\n",
    ] {
        for boundary in ["a", "--", "-", "a: b"] {
            let lines = format!("{line}\r\n").repeat(LONG / (line.len() + 2));
            let message =
                format!("Content-Type: multipart/x; boundary=\"{boundary}\"\r\n\r\n{lines}");
            let header = Header::parse(message.as_bytes()).unwrap();
            let found = read(&header, Limits { depth: 30, parts: 10_000 });
            assert!(found.parts.len() <= 10_000);
        }
    }
}

proptest! {
    #[test]
    fn nothing_panics_and_no_octet_is_in_two_parts(
        value in "[a-z;,=\"\\\\(*0-9'% \\t]{0,60}",
        lines in vec("(--[ab]{1,2}(--)?[ \t]?|Content-Type: multipart/x; boundary=[ab]|[Xé]: y|| z|\n|\r)", 0..60),
    ) {
        let _ = (Value::of(&value).get("a"), Value::of(&value).boundary());
        let message =
            format!("Content-Type: multipart/x; {value}; boundary=a\r\n\r\n{}", lines.join("\r\n"));
        let header = Header::parse(message.as_bytes()).unwrap();
        let found = read(&header, LIMITS);
        let mut from = header.body().as_ptr();
        for part in &found.parts {
            let octets = [part.octets(), part.body()];
            prop_assert!(octets[0].as_ptr() >= from);
            from = octets[1].as_ptr_range().end;
        }
        prop_assert!(from <= header.body().as_ptr_range().end.max(from));
        prop_assert!(found.parts.len() <= LIMITS.parts);
    }
}
