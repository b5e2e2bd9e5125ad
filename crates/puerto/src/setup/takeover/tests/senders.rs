//! From which addresses mail went, and what only hands mail on.

use super::*;

/// The senders that a program's configuration leads to, in one line.
fn senders(files: &[(&str, &str)]) -> (String, String) {
    let (_folder, root) = tree(files);
    let programs = look(&root);
    let found = &programs[0];
    let mut said = Vec::new();
    for line in found.summary() {
        if let Some(rest) = line.strip_prefix("sender.") {
            said.push(rest.to_owned());
        } else if line.starts_with("origin") {
            said.push(line);
        }
    }
    (said.join("; "), left(found))
}

#[test]
fn what_postfix_does_to_senders_is_taken_over_or_named_row_by_row() {
    let debian = "compatibility_level = 3.6\nmyhostname = web.example.com\n\
                  mydestination = $myhostname, localhost\n";
    for (settings, table, expected, told) in [
        ("myorigin = example.com", "", "origin = example.com", ""),
        ("myorigin = $mydomain", "", "origin = example.com", ""),
        ("myorigin = /etc/mailname", "", "origin = mailname.example", ""),
        ("myorigin = $myhostname", "", "", ""),
        ("myorigin = web.lan", "", "", "myorigin = web.lan is not taken over"),
        ("myorigin = ip-10-0-0-1.ec2.internal", "", "", "is not taken over"),
        (
            "masquerade_domains = !lists.example.com $mydomain\nmasquerade_exceptions = root, bob",
            "",
            "masquerade = !lists.example.com, example.com; masquerade_except = root, bob",
            "To and Cc stay",
        ),
        (
            "masquerade_domains = example.com\nmasquerade_classes = envelope_sender",
            "",
            "",
            "masquerade_classes = envelope_sender is not taken over",
        ),
        ("masquerade_domains = hash:/t", "", "", "names hash:/t"),
        (
            "sender_canonical_maps = hash:/t",
            "# ours\nroot admin@example.net\nana@web.example.com  ana\n@web.example.com @example.com\n",
            "map = root → admin@example.net; map = ana@web.example.com → ana@web.example.com; \
             map = @web.example.com → @example.com",
            "",
        ),
        (
            "canonical_maps = lmdb:/t\nsmtp_generic_maps = inline:{ {admin@example.net = x@example.org} }",
            "root admin@example.net\n",
            "map = root → x@example.org; map = admin@example.net → x@example.org",
            "recipients stay as they are written",
        ),
        ("smtp_generic_maps = texthash:/t", "a@b.lan x y\n", "", "the row `a@b.lan x y`"),
        ("sender_canonical_maps = static:shop@example.net", "", "always = shop@example.net", ""),
        (
            "sender_canonical_maps = regexp:/t",
            "/.+/    shop@example.net\n",
            "always = shop@example.net",
            "",
        ),
        (
            "sender_canonical_maps = pcre:/t",
            "/^root@(.*)$/ a@b.example\n/^(.*)@x$/ $1@y.example\n",
            "",
            "the row `/^root@(.*)$/ a@b.example`, which is not taken over: write what it means into \
             sender.map, or into sender.always if it is for everybody\nPostfix's \
             sender_canonical_maps has the row `/^(.*)@x$/ $1@y.example`",
        ),
        ("sender_canonical_maps = mysql:/t", "", "", "mysql:/t cannot be read here"),
        ("sender_canonical_maps = hash:/none", "", "", "hash:/none cannot be read here"),
        (
            "sender_canonical_maps = static:a@b.example\nsender_canonical_classes = header_sender",
            "",
            "",
            "sender_canonical_classes = header_sender is not taken over",
        ),
        ("local_header_rewrite_clients = static:all", "", "", "static:all is not taken over"),
        ("recipient_canonical_maps = hash:/t", "", "", "recipients stay"),
        ("multi_instance_directories = /etc/postfix-out", "", "", "several instances"),
        ("append_at_myorigin = no", "", "", "append_at_myorigin = no"),
    ] {
        let main = format!("{debian}{settings}\n");
        let files =
            [("etc/postfix/main.cf", &*main), ("t", table), ("etc/mailname", "mailname.example\n")];
        let (senders, left) = senders(&files);
        assert_eq!(senders, expected, "{settings}");
        assert!(left.contains(told) && left.is_empty() == told.is_empty(), "{settings}: {left}");
    }
}

#[test]
fn a_comment_behind_a_value_of_postfix_is_part_of_it_and_is_named() {
    let text = "myhostname = mail.example.com # ours\nrelayhost = [r.example]:587 # the relay\n";
    let (_folder, root) = tree(&[("etc/postfix/main.cf", text)]);
    let found = look(&root).remove(0);
    assert_eq!(found.hostname, None);
    assert_eq!(found.relayhost.as_ref().unwrap().to_string(), "[r.example]:587");
    for words in ["myhostname = mail.example.com # ours is not taken", "part of the value"] {
        assert!(left(&found).contains(words), "{}", left(&found));
    }
}

#[test]
fn exims_and_msmtps_senders_are_taken_over() {
    let debian = "etc/exim4/update-exim4.conf.conf";
    let hidden = "dc_other_hostnames='web.example.com'\ndc_hide_mailname='true'\n\
                  dc_readhost='example.com'\n";
    let files = [
        (debian, hidden),
        ("etc/mailname", "web.example.com\n"),
        (
            "etc/email-addresses",
            "# user: address\nroot: admin@example.net\nana : ana@example.org\nx\n",
        ),
    ];
    let (found, left) = senders(&files);
    assert_eq!(
        found,
        "origin = example.com; map = root → admin@example.net; map = ana → ana@example.org; \
         map = @web.example.com → @example.com"
    );
    assert!(left.contains("the line `x` of /etc/email-addresses"), "{left}");
    let own = "primary_hostname = web.example.com\nqualify_domain = example.com\n";
    assert_eq!(senders(&[("etc/exim4/exim4.conf", own)]).0, "origin = example.com");
    for (settings, expected) in [
        ("from shop@example.com\nset_from_header on", "always = shop@example.com"),
        ("auto_from on\nmaildomain example.com", "origin = example.com"),
        ("from %U@%M\nmaildomain example.com", "origin = example.com"),
        ("from %U@%H", ""),
    ] {
        let text = format!("host r.example\ndomain web.example.com\n{settings}\n");
        assert_eq!(senders(&[("etc/msmtprc", &text)]).0, expected, "{settings}");
    }
}

#[test]
fn programs_that_only_hand_mail_on_are_taken_over() {
    for (files, expected, told) in [
        (
            vec![
                (
                    "etc/nullmailer/remotes",
                    "# x\nr.example smtp --port=587 --starttls --user=ana --pass='s3cret'\nb.example\n",
                ),
                ("etc/nullmailer/me", "web.example.com\n"),
                ("etc/nullmailer/defaulthost", "example.com\n"),
                ("etc/nullmailer/allmailfrom", "shop@example.com\n"),
                ("etc/nullmailer/adminaddr", "ana@example.net\n"),
            ],
            "hostname = web.example.com; origin = example.com; sender.always = shop@example.com; \
             relayhost = [r.example]:587; relayhost_user = ana",
            vec!["`root: ana@example.net`", "not `b.example`", "allmailfrom = shop@example.com"],
        ),
        (
            vec![("etc/nullmailer/remotes", "r.example smtp --ssl --source=192.0.2.1\n")],
            "relayhost = smtps://[r.example]",
            vec!["sets source"],
        ),
        (
            vec![
                (
                    "etc/ssmtp/ssmtp.conf",
                    "root=ana@example.net\nmailhub=r.example:465\nRewriteDomain=example.com\n\
                     hostname=web.example.com\nUseTLS=YES\nFromLineOverride=YES\nAuthUser=ana\n\
                     AuthPass=s3=cret\nOdd=1\n",
                ),
                ("etc/ssmtp/revaliases", "root:admin@example.net:r.example\nx\n"),
            ],
            "hostname = web.example.com; origin = example.com; sender.map = root → admin@example.net; \
             relayhost = smtps://[r.example]:465; relayhost_user = ana",
            vec!["revaliases = x", "sets odd", "`root: ana@example.net`"],
        ),
        (
            vec![
                (
                    "etc/dma/dma.conf",
                    "# dma\nSMARTHOST r.example\nPORT 587\nAUTHPATH /etc/dma/auth.conf\nSECURETRANSFER\n\
                     STARTTLS\nMAILNAME /etc/mailname\nMASQUERADE shop@example.com\nNULLCLIENT\n\
                     ALIASES /etc/aliases\nFINGERPRINT aa:bb\n",
                ),
                ("etc/dma/auth.conf", "# x\nbob|other.example:y\nana|r.example:s3:cret\n"),
                ("etc/mailname", "web.example.com\n"),
            ],
            "hostname = web.example.com; origin = web.example.com; sender.always = shop@example.com; \
             relayhost = [r.example]:587; relayhost_user = ana; aliases = /etc/aliases",
            vec!["FINGERPRINT = aa:bb", "MASQUERADE = shop@example.com"],
        ),
        (
            vec![(
                "etc/dma/dma.conf",
                "SMARTHOST r.example\nSECURETRANSFER\nMASQUERADE @example.com\n",
            )],
            "origin = example.com; relayhost = smtps://[r.example]",
            vec![],
        ),
        (vec![("etc/mail/sendmail.mc", "")], "", vec!["Sendmail is configured here"]),
    ] {
        let (_folder, root) = tree(&files);
        let found = look(&root).remove(0);
        assert_eq!(found.summary().join("; "), expected);
        for words in told {
            assert!(left(&found).contains(words), "{words}: {}", left(&found));
        }
        let shown = format!("{found:?}");
        assert!(!shown.contains("cret"), "a password was shown: {shown}");
    }
}
