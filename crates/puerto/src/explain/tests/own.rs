//! What this server itself says of a delivery is explained, and said in Spanish.

use super::*;
use crate::cause::Cause;
use crate::golden;

/// What this server itself writes: class, and whose problem it is. Those with a 4 in
/// front are temporary.
const OWN_WORDS: &[(&str, &str, Whose)] = {
    use Whose::{Content, Provider, Recipient, Server};
    &[
        (
            "4.4.3 MX of example.net: the DNS failed: 127.0.0.53:53 answered Query Refused",
            "temporary-failure",
            Server,
        ),
        (
            "4.4.3 MX of example.net: the DNS failed: 127.0.0.53:53 answered Server Failure",
            "temporary-failure",
            Server,
        ),
        ("4.4.3 MX of example.net: the DNS did not answer in time", "temporary-failure", Server),
        ("4.4.3 address of a.test: the DNS did not answer in time", "temporary-failure", Server),
        (
            "4.4.3 relayhost [a.test]:587: address of a.test: the DNS failed: no DNS server is \
             known: /etc/resolv.conf: Permission denied",
            "temporary-failure",
            Server,
        ),
        (
            "5.1.2 the domain example.net does not exist; is it spelled correctly?",
            "domain-not-found",
            Recipient,
        ),
        (
            "5.1.2 the domain example.net has neither MX nor address records",
            "domain-not-found",
            Recipient,
        ),
        ("5.4.4 the MX host mx.example.net has no address", "domain-not-found", Recipient),
        ("5.4.4 no mail exchanger is left to try", "domain-not-found", Recipient),
        (
            "5.1.10 example.net takes no mail: it publishes a null MX (RFC 7505)",
            "domain-not-found",
            Recipient,
        ),
        ("5.1.10 example.net takes no mail: its MX is localhost", "domain-not-found", Recipient),
        (
            "5.4.4 mx.example.net has the private address 10.0.0.1, where mail is not delivered \
             unless [delivery] allow_private = true",
            "domain-not-found",
            Server,
        ),
        (
            "5.4.4 the address literal [10.0.0.1] is a private address, where mail is not \
             delivered unless [delivery] allow_private = true",
            "domain-not-found",
            Server,
        ),
        (
            "5.4.4 the MX record names the address 192.0.2.52, where a host's name belongs",
            "domain-not-found",
            Recipient,
        ),
        (
            "5.4.6 mail for [192.0.2.1] loops back to this server, which has no mailboxes at \
             that address",
            "loop",
            Server,
        ),
        (
            "5.4.6 mail for example.net loops back to this server: its best mail exchanger \
             mail.example.com is this host; if the domain is ours, add it to `domains`",
            "loop",
            Server,
        ),
        (
            "4.4.1 connect to mx.example.net[192.0.2.1]:25: Connection refused",
            "connection-refused",
            Provider,
        ),
        (
            "4.4.1 connect to mx.example.net[192.0.2.1]:25: Connection timed out",
            "connection-refused",
            Server,
        ),
        (
            "4.4.2 lost connection with mx.example.net[192.0.2.1] while sending RCPT TO",
            "connection-refused",
            Provider,
        ),
        (
            "4.7.4 TLS is required, but was not offered by host mx.example.net[192.0.2.1]",
            "tls-required",
            Provider,
        ),
        (
            "4.3.5 cannot read the password file /etc/puerto/relay.password: No such file or \
             directory",
            "auth-required",
            Server,
        ),
        ("4.7.0 cannot authenticate to a.test as me: no mechanism", "auth-required", Server),
        (
            "5.3.4 message size 60000000 exceeds size limit 10240000 of server a.test[192.0.2.1]",
            "message-too-large",
            Content,
        ),
        (
            "5.6.7 SMTPUTF8 is required, but was not offered by host a.test[192.0.2.1]",
            "message-format",
            Content,
        ),
        ("5.4.6 mail forwarding loop: it was delivered to me@example.com before", "loop", Provider),
        ("5.1.1 there is no user `me`", "mailbox-unknown", Recipient),
        ("4.3.0 cannot look up users: Permission denied", "temporary-failure", Server),
        ("4.2.0 /var/mail/me is replaced again and again", "temporary-failure", Server),
        ("4.2.1 another program keeps the mailbox locked", "temporary-failure", Server),
        ("4.2.1 /var/mail/me is not a regular file", "temporary-failure", Server),
        ("4.3.1 cannot write /var/mail/me: No space left on device", "temporary-failure", Server),
        ("4.2.1 cannot write to /home/me/Maildir: Permission denied", "temporary-failure", Server),
        ("4.3.0 the mailbox agent is busy", "temporary-failure", Server),
        (
            "4.2.0 the mailbox of ana does not answer: is its disk there?",
            "temporary-failure",
            Server,
        ),
        ("4.3.0 the mailbox process of ana has ended: signal 9", "temporary-failure", Server),
        (
            "4.2.0 /var/mail/ana has several names: remove the other links",
            "temporary-failure",
            Server,
        ),
        ("5.4.6 in the aliases file: this name leads in a circle", "loop", Server),
    ]
};

#[test]
fn what_this_server_says_itself_is_explained() {
    let mut wrong = Vec::new();
    for &(text, class, whose) in OWN_WORDS {
        let kind = if text.starts_with('4') { Kind::Temporary } else { Kind::Permanent };
        let (status, reason) = text.split_once(' ').unwrap();
        let fate = if kind == Kind::Temporary { "deferred" } else { "bounced" };
        let logged = format!(
            "Nov 24 14:09:16 mail puerto/error[157]: 034B84868200: to=<you@example.net>, \
             relay=none, delay=0, delays=0/0/0/0, dsn={status}, status={fate} ({reason})"
        );
        for text in [text, &logged] {
            let found = understood(text);
            if (found.class(), found.kind(), found.whose()) != (class, kind, whose) {
                wrong.push(format!("{found:?} for {class} {kind:?} {whose:?}: {text}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Words of refusals, as names of users, mailboxes and hosts.
const NAMES: &[&str] = &[
    "dmarc",
    "dkim",
    "spf",
    "spam",
    "full",
    "over-quota",
    "quota",
    "relay",
    "blocked",
    "blacklist",
    "virus",
    "malware",
    "greylist",
    "greylisted",
    "timeout",
    "timed-out",
    "rejected",
    "denied",
    "unknown-user",
    "disabled",
    "policy",
    "reputation",
    "rate-limit",
    "loop",
    "tls",
    "too-large",
];

#[test]
fn a_name_is_no_reason_at_any_stage_b12() {
    let mut wrong = Vec::new();
    for &(text, class, whose) in OWN_WORDS {
        for name in NAMES {
            let text = text
                .replace("`me`", &format!("`{name}`"))
                .replace("me@", &format!("{name}@"))
                .replace("/me", &format!("/{name}"))
                .replace(" ana ", &format!(" {name} "))
                .replace("/ana ", &format!("/{name} "))
                .replace("mx.example.net", &format!("mx.{name}.example.net"))
                .replace(" example.net", &format!(" {name}.example.net"))
                .replace("a.test", &format!("{name}.a.test"));
            let (status, reason) = text.split_once(' ').unwrap();
            let logged = format!(
                "Nov 24 14:09:16 {name} puerto/error[157]: 034B84868200: to=<{name}@example.net>, \
                 orig_to=<{name}>, relay=none, delay=0, delays=0/0/0/0, dsn={status}, \
                 status=deferred ({reason})"
            );
            for text in [&text, &logged] {
                let found = understood(text);
                if (found.class(), found.whose()) != (class, whose) {
                    wrong.push(format!("{found:?} for {class} {whose:?}: {text}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} {}", wrong.len(), wrong.join("\n"));
}

// Found by hand: a host `mx-flood` whose greeting had no end was "too much too fast". The test
// above has only causes that have a rule, and names whose words stand between dots.
#[test]
fn what_a_host_is_called_is_no_reason_where_no_rule_knows_the_cause() {
    let mut wrong = Vec::new();
    for said in [
        "4.5.0 bad reply from HOST[192.0.2.1]:25 while receiving the initial server greeting: the \
         peer sent a reply that is too long",
        "4.5.0 gave up on HOST[192.0.2.1]:25 while performing the EHLO handshake",
        "4.5.0 unexpected reply from HOST[192.0.2.1]:25 while sending RCPT TO",
        "host HOST[192.0.2.1] said: 450 4.2.0 HOST: come back",
        "to=<a@b.example>, relay=HOST[192.0.2.1]:25, delay=0, dsn=4.5.0, status=deferred (bad \
         reply from HOST[192.0.2.1]:25 while sending MAIL FROM: what HOST sent is no reply)",
    ] {
        let of = |name: &str| {
            let text = said.replace("HOST", &format!("mx-{name}.plain.example"));
            let found = [explain(&text, None), explain_attempt(&text, None)];
            found.map(|found| found.map(|found| found.class()))
        };
        let names = NAMES.iter().chain(&["flood", "throttle", "mailbox-full", "no-such-user"]);
        wrong.extend(names.filter(|name| of(name) != of("x")).map(|name| (name, of(name), said)));
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// One of each cause, with paths where a path belongs, and some within others.
fn causes() -> Vec<Cause> {
    let with_path = |cause: Cause| {
        let kept = ["path", "home", "file", "list"].iter().fold(cause.kept(), |kept, field| {
            kept.replace(&format!("\"{field}\":\"X1\""), &format!("\"{field}\":\"/x/ana\""))
        });
        Cause::of_kept(&kept, &cause.text())
    };
    let mut causes: Vec<_> = Cause::samples().into_iter().map(with_path).collect();
    for errno in [13, 98, 99, 101, 104, 110, 111, 113] {
        let error = &std::io::Error::from_raw_os_error(errno);
        let peer = "mx.example.net[192.0.2.1]:25".to_owned();
        causes.push(Cause::NotConnected { peer, error: error.into() });
    }
    let inner = || Box::new(Cause::NoSuchDomain { domain: "b.example".to_owned() });
    causes.extend([
        Cause::OfRule { rule: "relayhost b.example".to_owned(), why: inner() },
        Cause::Suspended { why: inner() },
        Cause::Parked { why: inner() },
        Cause::Expired { last: inner() },
        Cause::Untold { of: inner() },
        Cause::InAliases { why: Box::new(Cause::AliasCircle {}) },
    ]);
    causes
}

#[test]
fn each_cause_is_explained_by_its_own_rule() {
    let explained = causes().into_iter().map(|cause| {
        let found = of_cause(&cause, None);
        format!("{}\t{}\n", cause.text(), found.as_ref().map_or("-", Explanation::matched))
    });
    golden::same("explain/causes.tsv", &explained.collect::<String>());
}

/// What stands within another cause is recognized there alone.
#[test]
fn what_a_cause_says_is_recognized_where_it_is_pasted() {
    let inner = ["route.unless-allowed", "route.never-delivered", "aliases.circle"];
    for cause in causes().iter().filter(|cause| !inner.contains(&cause.id())) {
        if let Explained::ByRule(id) = cause.explained()
            && id.starts_with("puerto.")
            && !cause.text().contains("b.example")
        {
            let found = specific(&cause.text(), None);
            assert_eq!(found.map(|found| found.matched()), Some(id), "{cause}");
        }
    }
}
