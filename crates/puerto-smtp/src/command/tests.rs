use super::*;

fn parse(line: &str) -> Result<Command, String> {
    Command::parse(line.as_bytes()).map_err(|refused| refused.reply.to_string())
}

fn mail(line: &str) -> MailCommand {
    match parse(line) {
        Ok(Command::Mail(command)) => command,
        other => panic!("{line}: {other:?}"),
    }
}

fn rcpt(line: &str) -> RcptCommand {
    match parse(line) {
        Ok(Command::Rcpt(command)) => command,
        other => panic!("{line}: {other:?}"),
    }
}

fn mailbox(text: &str) -> Mailbox {
    Mailbox::Address(Address::parse(text).unwrap())
}

#[test]
fn simple_commands_are_read_in_any_case_and_spacing() {
    for (line, command) in [
        ("DATA", Command::Data),
        ("data", Command::Data),
        ("  Rset  ", Command::Rset),
        ("QUIT\t", Command::Quit),
        ("NOOP anything at all", Command::Noop),
        ("STARTTLS", Command::StartTls),
        ("EHLO mail.example.com", Command::Ehlo("mail.example.com".to_owned())),
        ("helo [192.0.2.1]", Command::Helo("[192.0.2.1]".to_owned())),
        ("VRFY postmaster", Command::Vrfy),
        ("HELP", Command::Help),
        ("HELP MAIL", Command::Help),
        ("BDAT 0", Command::Bdat { size: 0, last: false }),
        ("BDAT 86 LAST", Command::Bdat { size: 86, last: true }),
        ("bdat 18446744073709551615 last", Command::Bdat { size: u64::MAX, last: true }),
    ] {
        assert_eq!(parse(line), Ok(command), "{line:?}");
    }
}

#[test]
fn paths_and_parameters_are_read() {
    let all = mail("MAIL FROM:<a@b.example> SIZE=1000 BODY=8BITMIME SMTPUTF8 RET=HDRS ENVID=a+2Bb");
    assert_eq!(all.from, Some(mailbox("a@b.example")));
    assert_eq!((all.size, all.eight_bit, all.smtputf8), (Some(1000), true, true));
    assert_eq!((all.ret, all.envelope_id.as_deref()), (Some(Return::Headers), Some("a+b")));
    assert_eq!(mail("MAIL FROM:<>").from, None);
    assert_eq!(mail("mail from: <a@b.example> body=7bit").from, Some(mailbox("a@b.example")));
    assert_eq!(mail("MAIL FROM:<\"a> b\"@c.example>").from, Some(mailbox("\"a> b\"@c.example")));
    assert_eq!(mail("MAIL FROM:<@x,@y:a@b.example>").from, Some(mailbox("a@b.example")));

    let all = rcpt("RCPT TO:<a@b.example> NOTIFY=success,DELAY ORCPT=rfc822;x+40y.example");
    assert_eq!(all.to, mailbox("a@b.example"));
    assert_eq!(all.notify, Some(Notify { success: true, failure: false, delay: true }));
    assert_eq!(all.original.as_deref(), Some("rfc822;x@y.example"));
    assert_eq!(rcpt("RCPT TO:<a@b.example> NOTIFY=NEVER").notify, Some(Notify::NEVER));
    for (written, original) in [
        ("RFC822;X+40y.example", "RFC822;X@y.example"),
        ("x400;/c=", ""),
        ("x400;/c+3Dus/", "x400;/c=us/"),
        ("utf-8;b\\x{F3}@x.example", "utf-8;bó@x.example"),
        ("UTF-8;bó\\x{2B}y@x.example", "UTF-8;bó+y@x.example"),
        ("rfc822;bó@x.example", ""),
        ("rfc822;b+C3+B3@x.example", ""),
        ("rfc822;a+2bb@x.example", ""),
        ("utf-8;b+40x.example", ""),
        ("utf-8;b\\x{0A}@x.example", ""),
        ("rfc822;", ""),
        (";a@x.example", ""),
        ("a_b;c@x.example", ""),
    ] {
        match parse(&format!("RCPT TO:<a@b.example> ORCPT={written}")) {
            Ok(Command::Rcpt(rcpt)) => assert_eq!(rcpt.original.as_deref(), Some(original)),
            other => assert_eq!((original, other.is_err()), ("", true), "{written}"),
        }
    }
    let longest = format!("rfc822;{}", "x".repeat(493));
    assert_eq!(
        rcpt(&format!("RCPT TO:<a@b.example> ORCPT={longest}")).original,
        Some(longest.clone())
    );
    assert!(parse(&format!("RCPT TO:<a@b.example> ORCPT={longest}x")).is_err());
    for (line, verp) in [("XVERP", Some("+=")), ("xverp=-=", Some("-=")), ("SIZE=1", None)] {
        let mail = mail(&format!("MAIL FROM:<a@b.example> {line}"));
        assert_eq!(mail.verp.map(|verp| verp.to_string()).as_deref(), verp);
    }
    let postmaster = LocalPart::parse("postmaster").unwrap();
    assert_eq!(rcpt("rcpt to:<postmaster>").to, Mailbox::Bare(postmaster));
}

#[test]
fn what_is_malformed_is_refused_with_a_reason() {
    for (line, reply) in [
        ("", "500 5.5.2 Error: command not recognized"),
        ("MAILFROM:<a@b>", "500 5.5.2 Error: command not recognized"),
        ("EHLO", "501 5.5.4 Syntax: EHLO hostname"),
        ("DATA now", "501 5.5.4 Syntax: DATA"),
        ("STARTTLS now", "501 5.5.4 Syntax: STARTTLS"),
        ("VRFY", "501 5.5.4 Syntax: VRFY address"),
        ("EXPN list", "502 5.5.1"),
        ("ETRN example.com", "502 5.5.1"),
        ("TURN", "502 5.5.1"),
        ("AUTH PLAIN YQ== b", "501 5.5.4 Syntax: AUTH mechanism"),
        ("AUTH PLAIN a", "501 5.5.2 Error: cannot decode"),
        ("MAIL", "501 5.5.4 Syntax: MAIL FROM:<address>"),
        ("MAIL TO:<a@b.example>", "501 5.5.4 Syntax: MAIL FROM:<address>"),
        ("MAIL FROM:a@b.example", "501 5.5.4 Syntax: MAIL FROM:<address>"),
        ("MAIL FROM:<a@b.example", "501 5.5.4 Syntax: MAIL FROM:<address>"),
        ("MAIL FROM:<a@b.example>SIZE=1", "501 5.5.4 Syntax: MAIL FROM:<address>"),
        ("MAIL FROM:<a b@c.example>", "501 5.1.7 Bad sender address syntax"),
        ("MAIL FROM:<a@b.example> SIZE", "555 5.5.4 Unsupported option: SIZE"),
        ("MAIL FROM:<a@b.example> SIZE=0x10", "501 5.5.4 Bad SIZE"),
        ("MAIL FROM:<a@b.example> SIZE=-1", "501 5.5.4 Bad SIZE"),
        ("MAIL FROM:<a@b.example> SIZE=1 SIZE=2", "501 5.5.4 Bad SIZE"),
        ("MAIL FROM:<a@b.example> BODY=BINARYMIME", "501 5.5.4 Bad BODY"),
        ("MAIL FROM:<a@b.example> RET=ALL", "501 5.5.4 Bad RET"),
        ("MAIL FROM:<a@b.example> ENVID=a+0Ab", "501 5.5.4 Bad ENVID"),
        ("MAIL FROM:<a@b.example> ENVID=", "501 5.5.4 Bad ENVID"),
        ("MAIL FROM:<a@b.example> ENVID=a+2bc", "501 5.5.4 Bad ENVID"),
        ("MAIL FROM:<a@b.example> ENVID=+C3+A9", "501 5.5.4 Bad ENVID"),
        ("MAIL FROM:<a@b.example> ENVID=a ENVID=b", "501 5.5.4 Bad ENVID parameter: expected each"),
        ("MAIL FROM:<a@b.example> RET=BODY", "501 5.5.4 Bad RET"),
        ("MAIL FROM:<a@b.example> XVERP=", "501 5.5.4 Bad XVERP"),
        ("MAIL FROM:<a@b.example> XVERP=+=-", "501 5.5.4 Bad XVERP"),
        ("RCPT TO:<a@b.example> NOTIFY=", "501 5.5.4 Bad NOTIFY"),
        ("RCPT TO:<a@b.example> NOTIFY=SUCCESS,", "501 5.5.4 Bad NOTIFY"),
        ("RCPT TO:<a@b.example> NOTIFY=ALWAYS", "501 5.5.4 Bad NOTIFY"),
        ("MAIL FROM:<a@b.example> AUTH", "555 5.5.4 Unsupported option: AUTH"),
        ("MAIL FROM:<a@b.example> AUTH=+0", "501 5.5.4 Bad AUTH"),
        ("RCPT TO:<>", "501 5.1.3 Bad recipient address syntax"),
        ("RCPT TO:<a@b.example> NOTIFY=NEVER,DELAY", "501 5.5.4 Bad NOTIFY"),
        ("RCPT TO:<a@b.example> ORCPT=rfc822", "501 5.5.4 Bad ORCPT"),
        ("RCPT TO:<a@b.example> ORCPT=rfc822;a+00", "501 5.5.4 Bad ORCPT"),
        ("RCPT TO:<a@b.example> SIZE=1", "555 5.5.4 Unsupported option: SIZE"),
    ] {
        let got = parse(line).unwrap_err();
        assert!(got.starts_with(reply), "{line:?}: {got}");
    }
    let long = "x".repeat(101);
    assert!(parse(&format!("MAIL FROM:<a@b.example> ENVID={long}")).is_err());
}

#[test]
fn a_chunk_size_is_digits_and_a_mistake_in_it_is_fatal() {
    for size in
        ["0x10", "-1", "1e3", "+1", "", "18446744073709551616", "1 2", "1 LASTX", "1 LAST x"]
    {
        let refused = Command::parse(format!("BDAT {size}").as_bytes()).unwrap_err();
        assert_eq!((refused.reply.code().get(), refused.fatal), (501, true), "{size:?}");
    }
}

#[test]
fn a_refused_command_that_may_have_a_chunk_behind_it_is_fatal() {
    for line in [
        &b"BDAT 5\0"[..],
        b"BDAT\x075",
        b"\0BDAT 5",
        b"B\0DAT 5",
        b"bdat 5 LAST\r",
        b"  BDAT 5 \xff",
        b"BDAT\xa05",
        b"BDAT:5",
        b"BDAT5",
        b"BDAT",
        b"\tBDAT five",
    ] {
        assert!(Command::parse(line).unwrap_err().fatal, "{line:?}");
    }
    for line in [&b"BDA 5"[..], b"DATA \0", b"RCPT TO:<BDAT\0>", b"\xffXBDAT 5", b""] {
        assert!(!Command::parse(line).unwrap_err().fatal, "{line:?}");
    }
}

#[test]
fn control_characters_and_other_protocols_are_refused() {
    for line in [&b"NOOP \0"[..], b"MAIL FROM:<a\0@b.example>", b"RSET\rNOOP", b"EHLO \x1b[2J"] {
        assert_eq!(Command::parse(line).unwrap_err().reply.code().get(), 501, "{line:?}");
    }
    assert_eq!(Command::parse(b"EHLO \xff").unwrap_err().reply.code().get(), 500);
    for line in ["GET / HTTP/1.1", "post /x HTTP/1.0", "Host: example.com", "CONNECT a:25"] {
        assert!(Command::parse(line.as_bytes()).unwrap_err().fatal, "{line}");
    }
}

/// What programs write that other servers take from their own clients.
#[test]
fn trusted_clients_may_write_paths_as_they_are_used_to() {
    let lenient = |line: &str| Command::parse_leniently(line.as_bytes());
    let (a, null) = (Some(mailbox("a@b.example")), None);
    for (line, from, size) in [
        ("MAIL FROM:a@b.example", &a, None),
        ("mail from: a@b.example  size=7 ", &a, Some(7)),
        ("MAIL FROM:<a@b.example> ", &a, None),
        ("MAIL FROM: < a@b.example > SIZE=7", &a, Some(7)),
        ("MAIL FROM:<a@b.example SIZE=7", &a, Some(7)),
        ("MAIL FROM:a@b.example>", &a, None),
        ("MAIL FROM:<<a@b.example>>", &a, None),
        ("MAIL FROM:<@x.example:a@b.example>", &a, None),
        ("MAIL FROM:@x.example:a@b.example", &a, None),
        ("MAIL FROM: <>", &null, None),
        ("MAIL FROM:< > SIZE=7", &null, Some(7)),
    ] {
        match lenient(line) {
            Ok(Command::Mail(mail)) => assert_eq!((&mail.from, mail.size), (from, size), "{line}"),
            other => panic!("{line}: {other:?}"),
        }
    }
    for (line, to) in [
        ("RCPT TO:a@b.example", "a@b.example"),
        ("rcpt to:\ta@b.example", "a@b.example"),
        ("RCPT TO:\"a b\"@c.example NOTIFY=NEVER", "\"a b\"@c.example"),
        ("RCPT TO:<\"a> b\"@c.example>", "\"a> b\"@c.example"),
    ] {
        match lenient(line) {
            Ok(Command::Rcpt(rcpt)) => assert_eq!(rcpt.to, mailbox(to), "{line}"),
            other => panic!("{line}: {other:?}"),
        }
    }
    for line in [
        "MAIL FROM:",
        "MAIL a@b.example",
        "RCPT TO:",
        "RCPT TO:<>",
        "RCPT TO:a@b.example,c@d.example",
        "RCPT TO:<a@b.example>,<c@d.example>",
        "RCPT TO:a@b.example@c.example",
        "RCPT TO:<a@b.example>NOTIFY=NEVER",
    ] {
        assert_eq!(lenient(line).unwrap_err().reply.code().get(), 501, "{line}");
    }
    assert_eq!(lenient("QUIT now"), Ok(Command::Quit));
}
