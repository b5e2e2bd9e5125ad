mod senders;

use std::path::Path;

use super::*;
use crate::lang::Language;

fn tree(files: &[(&str, &str)]) -> (tempfile::TempDir, Root) {
    let folder = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = folder.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    let root = Root::new(folder.path());
    (folder, root)
}

fn left(found: &Inherited) -> String {
    let said: Vec<String> = found.left.iter().map(|said| said.of(Language::English)).collect();
    said.join("\n")
}

fn names(domains: &[Domain]) -> Vec<String> {
    domains.iter().map(Domain::to_string).collect()
}

const MAIN_CF: &str = "\
# See /usr/share/postfix/main.cf.dist
smtpd_banner = $myhostname ESMTP $mail_name (Debian/GNU)
myhostname = mail.example.com
myorigin = /etc/mailname
mydestination = $myhostname, example.com,
    # a comment between
    localhost.$mydomain, localhost
relayhost = [smtp.example.net]:587
mynetworks = 127.0.0.0/8 [::ffff:127.0.0.0]/104 [::1]/128
  192.0.2.0/24, hash:/etc/postfix/clients
message_size_limit = 20480000
alias_maps = hash:/etc/postfix/aliases, nis:mail.aliases
smtp_sasl_auth_enable = yes
smtp_sasl_password_maps = hash:/etc/postfix/sasl_passwd
smtp_tls_security_level = secure
inet_interfaces = loopback-only
home_mailbox = Maildir/
transport_maps = hash:/etc/postfix/transport
smtp_bind_address = 192.0.2.7
";

#[test]
fn postfixs_table_of_other_addresses_is_read_as_it_is() {
    let of = |lines: &str| {
        let main = format!("myhostname = mail.example.com\nmynetworks = 127.0.0.0/8\n{lines}");
        let (_folder, root) = tree(&[
            ("etc/postfix/main.cf", &main),
            ("etc/postfix/virtual", "example.net anything\ninfo@example.net bosun\n"),
        ]);
        let [found] = <[Inherited; 1]>::try_from(look(&root)).unwrap();
        let lines = found.summary().into_iter().filter(|line| line.starts_with("virtual."));
        (lines.collect::<Vec<_>>().join("; "), left(&found))
    };
    let both = "virtual_alias_maps = hash:/etc/postfix/virtual, ldap:/etc/postfix/ldap.cf\n";
    let (taken, said) = of(both);
    assert_eq!(taken, "virtual.file = /etc/postfix/virtual");
    assert!(said.contains("ldap:/etc/postfix/ldap.cf is not taken over"), "{said}");
    assert!(!said.contains("hash:"), "{said}");
    let (taken, said) = of("virtual_alias_maps = hash:/etc/postfix/virtual\n\
                            virtual_alias_domains = example.org hash:/etc/postfix/virtual\n");
    let expected = "virtual.domains = example.org; virtual.file = /etc/postfix/virtual";
    assert_eq!((&*taken, &*said), (expected, ""));
    let (taken, said) = of("virtual_alias_maps = hash:/etc/postfix/gone\n");
    assert_eq!(taken, "");
    assert!(said.contains("`virtual.file`"), "{said}");
}

#[test]
fn postfix_is_read_with_its_relay_password_and_what_it_cannot_hand_on() {
    let (_folder, root) = tree(&[
        ("etc/postfix/main.cf", MAIN_CF),
        ("etc/mailname", "example.com\n"),
        (
            "etc/postfix/sasl_passwd",
            "# comment\n[other.example]:587 a:b\n[smtp.example.net]:587 ana@example.com:s3:cret\n",
        ),
    ]);
    let programs = look(&root);
    let [found] = programs.as_slice() else { panic!("{programs:?}") };
    assert_eq!(found.hostname.as_deref(), Some("mail.example.com"));
    assert_eq!(names(&found.domains), ["example.com", "mail.example.com"]);
    assert_eq!(found.relayhost.as_ref().unwrap().to_string(), "[smtp.example.net]:587");
    let login = found.login.as_ref().unwrap();
    assert_eq!((login.user.as_str(), login.password.as_str()), ("ana@example.com", "s3:cret"));
    assert!(!format!("{found:?}").contains("cret"), "a password was shown");
    let networks: Vec<String> = found.networks.iter().map(Network::to_string).collect();
    assert_eq!(networks, ["127.0.0.0/8", "::1/128", "192.0.2.0/24"]);
    assert_eq!(found.message_size, Some(20_480_000));
    assert_eq!(found.aliases.as_deref(), Some(Path::new("/etc/postfix/aliases")));
    assert_eq!(found.mailbox, Some(Mailbox::Maildir));
    assert_eq!(found.listen.as_deref(), Some(loopback().as_slice()));
    assert!(found.tls_required);
    assert_eq!(found.bind_ipv4, Some("192.0.2.7".parse().unwrap()));
    let left = left(found);
    for key in ["transport_maps = hash:", "hash:/etc/postfix/clients", "nis:mail.aliases"] {
        assert!(left.contains(key), "{key}: {left}");
    }
}

#[test]
fn postfix_that_refers_to_itself_in_a_circle_or_is_empty_is_read_to_its_end() {
    let circle = format!("myhostname = $a.x\na = ${{b}}\nb = $(a){}\n", "$a".repeat(1000));
    for text in [circle.as_str(), ""] {
        let (_folder, root) = tree(&[("etc/postfix/main.cf", text)]);
        assert_eq!(look(&root)[0].relayhost, None);
    }
}

#[test]
fn postfix_with_a_login_that_is_not_in_its_table_says_so() {
    let text = "relayhost = smtp.example.net\nsmtp_sasl_auth_enable = yes\n\
                smtp_sasl_password_maps = hash:/etc/postfix/none\n";
    let (_folder, root) = tree(&[("etc/postfix/main.cf", text)]);
    let programs = look(&root);
    assert!(programs[0].login.is_none());
    assert!(left(&programs[0]).contains("relayhost_password_file"));
}

#[test]
fn exim_is_read_as_debian_configures_it() {
    let conf = "# /etc/exim4/update-exim4.conf.conf\n\
                dc_eximconfig_configtype='smarthost'\n\
                dc_other_hostnames='example.com;localhost.localdomain ; shop.example.com'\n\
                dc_local_interfaces='127.0.0.1 ; ::1'\n\
                dc_relay_nets='192.0.2.0/24;2001:db8::/32'\n\
                dc_smarthost='smtp.example.net::587;backup.example.net'\n\
                dc_localdelivery='maildir_home'\n";
    let (_folder, root) = tree(&[
        ("etc/exim4/update-exim4.conf.conf", conf),
        ("etc/exim4/passwd.client", "# x\nother.example:u:p\n*.example.net:ana:se:cret\n"),
    ]);
    let programs = look(&root);
    let [found] = programs.as_slice() else { panic!("{programs:?}") };
    assert_eq!(names(&found.domains), ["example.com", "shop.example.com"]);
    assert_eq!(found.relayhost.as_ref().unwrap().to_string(), "[smtp.example.net]:587");
    let login = found.login.as_ref().unwrap();
    assert_eq!((login.user.as_str(), login.password.as_str()), ("ana", "se:cret"));
    assert_eq!(found.networks.len(), 2);
    assert_eq!(found.mailbox, Some(Mailbox::Maildir));
    assert!(found.listen.is_some());
    assert!(left(found).contains("dc_smarthost"));
}

#[test]
fn exim_with_a_file_of_its_own_is_read_where_it_is_plain() {
    let text = "primary_hostname = mail.example.com\n\
                domainlist local_domains = @ : example.com : ${lookup{x}} : localhost\n\
                hostlist   relay_from_hosts = localhost : 127.0.0.1 : 192.0.2.0/24\n\
                begin routers\nsmarthost:\n  driver = manualroute\n";
    for (path, unit) in [("etc/exim/exim.conf", "exim"), ("etc/exim4/exim4.conf", "exim4")] {
        let debian = ("etc/exim4/update-exim4.conf.conf", "dc_other_hostnames='old.example'\n");
        let (_folder, root) = tree(&[(path, text), debian]);
        let programs = look(&root);
        let [found] = programs.as_slice() else { panic!("{programs:?}") };
        assert_eq!(found.service.unwrap().unit, unit);
        assert_eq!(found.hostname.as_deref(), Some("mail.example.com"));
        assert_eq!(names(&found.domains), ["mail.example.com", "example.com"]);
        let networks: Vec<String> = found.networks.iter().map(Network::to_string).collect();
        assert_eq!(networks, ["127.0.0.1/32", "192.0.2.0/24"]);
        assert!(left(found).contains("set `relayhost`"), "{}", left(found));
    }
}

#[test]
fn exim_that_sends_directly_has_no_relayhost() {
    let conf = "dc_eximconfig_configtype='internet'\ndc_smarthost='old.example.net'\n";
    let (_folder, root) = tree(&[("etc/exim4/update-exim4.conf.conf", conf)]);
    assert_eq!(look(&root)[0].relayhost, None);
}

#[test]
fn the_default_account_of_msmtp_is_the_relay() {
    for (text, hop, user, tls) in [
        (
            "defaults\ntls on\nauth on\naccount work\nhost smtp.example.net\nport 587\nuser ana\n\
             password \"s3cret\"\naccount other\nhost x.example\naccount default : work\n",
            "[smtp.example.net]:587",
            Some("ana"),
            true,
        ),
        (
            "account default\nhost smtp.example.net\ntls on\ntls_starttls off\nport 465\n\
             tls_certcheck off\n",
            "smtps://[smtp.example.net]:465",
            None,
            false,
        ),
        ("host relay.example\nuser x\npasswordeval cat /x\n", "[relay.example]", None, false),
    ] {
        let (_folder, root) = tree(&[("etc/msmtprc", text)]);
        let programs = look(&root);
        let found = &programs[0];
        assert_eq!(found.relayhost.as_ref().unwrap().to_string(), hop);
        assert_eq!(found.login.as_ref().map(|login| login.user.as_str()), user, "{hop}");
        assert_eq!(found.tls_required, tls, "{hop}");
        assert_eq!(left(found).contains("not written"), text.contains("passwordeval"), "{hop}");
    }
}

fn keys(found: &Inherited) -> Vec<String> {
    let mut keys: Vec<String> =
        found.keys.iter().map(|key| format!("{}@{}", key.selector, key.domain)).collect();
    keys.sort();
    keys
}

#[test]
fn keys_of_opendkim_are_those_that_its_tables_use() {
    let pem = puerto_mail::dkim::PrivateKey::generate_rsa(2048).unwrap();
    let (_folder, root) = tree(&[
        (
            "etc/opendkim.conf",
            "KeyTable refile:/etc/opendkim/key.table # here\nSigningTable\trefile:/etc/opendkim/signing\n\
             Domain example.org\nSelector s\nKeyFile /etc/dkimkeys/s.private\n",
        ),
        (
            "etc/opendkim/key.table",
            "# name place\nnew example.com:Mail:/keys/mail.private\n\
             old example.com:old:/keys/mail.private\n\
             each %:m:/keys/%.private\ninside example.com:in:MIIE\ntorn torn.example:x:/keys/torn\n",
        ),
        (
            "etc/opendkim/signing",
            "*@example.com new\n*@sub.example.com new\n*@other.example new\n*@shop.example each\n\
             torn.example torn\n",
        ),
        ("keys/mail.private", &pem),
        ("keys/shop.example.private", &pem),
        ("keys/torn", "-----BEGIN RSA PRIVATE KEY-----\n"),
        ("etc/dkimkeys/s.private", &pem),
        ("etc/opendkim/keys/unused.example/2024.private", &pem),
    ]);
    let programs = look(&root);
    let [found] = programs.as_slice() else { panic!("{programs:?}") };
    assert_eq!(keys(found), ["m@shop.example", "mail@example.com"]);
    let left = left(found);
    for words in ["/keys/torn cannot", "key inside", "puerto dkim new other.example"] {
        assert!(left.contains(words), "{words}: {left}");
    }
    assert!(!left.contains("sub.example.com"), "{left}");
    let secret = pem.lines().nth(1).unwrap();
    assert!(!format!("{found:?}").contains(secret), "a key was shown");
}

#[test]
fn keys_of_opendkim_without_tables_are_the_one_that_is_set_or_those_of_the_folder() {
    let pem = puerto_mail::dkim::PrivateKey::generate_rsa(2048).unwrap();
    let folder = "etc/opendkim/keys/shop.example/2024.private";
    for (conf, expected) in [
        (
            "Domain example.org, example.net\nSelector s\nKeyFile /k # x\n",
            "s@example.net s@example.org",
        ),
        ("Domain refile:/domains\nSelector s\nKeyFile /k\n", "s@example.edu"),
        ("KeyTable /table\n", "t@example.com"),
        ("Syslog yes\n", "2024@shop.example"),
        ("KeyTable mysql://user@host/x\n", ""),
    ] {
        let (_folder, root) = tree(&[
            ("etc/opendkim.conf", conf),
            ("domains", "# ours\nexample.edu\n"),
            ("table", "t example.com:t:/k\n"),
            ("k", &pem),
            (folder, &pem),
        ]);
        let programs = look(&root);
        assert_eq!(keys(&programs[0]).join(" "), expected, "{conf}");
        assert_eq!(left(&programs[0]).contains("mysql"), conf.contains("mysql"), "{conf}");
    }
}

#[test]
fn exim_signs_with_what_its_macros_say_and_takes_its_name_from_mailname() {
    let pem = puerto_mail::dkim::PrivateKey::generate_rsa(2048).unwrap();
    for (macros, expected, told) in [
        (
            "DKIM_DOMAIN = example.com\nDKIM_SELECTOR = ex\nDKIM_PRIVATE_KEY = /etc/exim4/k.pem\n",
            "ex@example.com",
            false,
        ),
        (
            "DKIM_DOMAIN = ${lc:$sender}\nDKIM_SELECTOR = x\nDKIM_FILE = /etc/exim4/k.pem\n",
            "",
            true,
        ),
        ("", "", false),
    ] {
        let (_folder, root) = tree(&[
            (
                "etc/exim4/update-exim4.conf.conf",
                "dc_eximconfig_configtype='internet'\ndc_other_hostnames='shop.example'\n\
                 dc_mailname_in_oh='true'\n",
            ),
            ("etc/exim4/exim4.conf.localmacros", macros),
            ("etc/exim4/k.pem", &pem),
            ("etc/mailname", "example.com\n"),
        ]);
        let programs = look(&root);
        let found = &programs[0];
        assert_eq!(names(&found.domains), ["example.com", "shop.example"]);
        assert_eq!(keys(found).join(" "), expected, "{macros}");
        assert_eq!(left(found).contains("DOMAIN/SELECTOR.pem"), told, "{macros}");
    }
}

#[test]
fn postfix_without_a_destination_takes_mail_for_its_name_and_its_ports_are_told() {
    let main = "myhostname = mail.example.com\ninet_protocols = ipv4\nrelay_domains = x.example\n\
                always_bcc = copy@example.com\n";
    let master = "smtp inet n - y - - smtpd\n#smtps inet n - y - - smtpd\n\
                  submission inet n - y - - smtpd\n  -o syslog_name=postfix/submission\n\
                  127.0.0.1:465 inet n - y - - smtpd\npickup unix n - y 60 1 pickup\n";
    let (_folder, root) = tree(&[("etc/postfix/main.cf", main), ("etc/postfix/master.cf", master)]);
    let programs = look(&root);
    assert_eq!(names(&programs[0].domains), ["mail.example.com"]);
    assert_eq!(programs[0].listen.as_deref(), Some(&["0.0.0.0:25".parse().unwrap()][..]));
    let left = left(&programs[0]);
    for words in ["service submission, 127.0.0.1:465", "relay_domains = x.example", "always_bcc"] {
        assert!(left.contains(words), "{words}: {left}");
    }
    let (_folder, root) = tree(&[("etc/postfix/main.cf", "mydestination =\n")]);
    assert!(look(&root)[0].domains.is_empty());
}

#[test]
fn a_relayhost_of_postfix_is_understood_in_all_its_forms() {
    for (written, hop, told) in [
        ("[smtp.example.net]:submission", "[smtp.example.net]:587", ""),
        ("192.0.2.1", "[192.0.2.1]", ""),
        ("[a.example]:587, [b.example]", "[a.example]:587", "several relays"),
    ] {
        let text = format!("relayhost = {written}\nmynetworks = 10.0.0.0/8 !10.1.0.0/16\n");
        let (_folder, root) = tree(&[("etc/postfix/main.cf", &text)]);
        let programs = look(&root);
        assert_eq!(programs[0].relayhost.as_ref().unwrap().to_string(), hop);
        assert!(left(&programs[0]).contains(told), "{}", left(&programs[0]));
        // More would be let in than Postfix does.
        assert!(programs[0].networks.is_empty() && left(&programs[0]).contains("leaves some out"));
    }
    let (_folder, root) =
        tree(&[("etc/postfix/main.cf", "inet_interfaces = 192.0.2.7, [2001:db8::7]\n")]);
    let listen: Vec<String> =
        look(&root)[0].listen.iter().flatten().map(ToString::to_string).collect();
    assert_eq!(listen, ["192.0.2.7:25", "[2001:db8::7]:25"]);
}

#[test]
fn a_pipe_in_the_place_of_a_file_holds_nobody_up() {
    let (folder, root) = tree(&[("etc/opendkim.conf", "KeyTable /etc/keys\n")]);
    nix::unistd::mkfifo(&folder.path().join("etc/keys"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    assert!(look(&root).is_empty());
}

#[test]
fn a_machine_without_any_of_them_has_nothing_to_take_over() {
    let (_folder, root) = tree(&[("etc/hostname", "x\n")]);
    assert!(look(&root).is_empty());
}

#[test]
fn a_port_or_a_switch_for_tls_from_the_first_byte_is_taken_over_from_every_program() {
    let exim = |smarthost: &str| {
        format!("dc_eximconfig_configtype='smarthost'\ndc_smarthost='{smarthost}'\n")
    };
    let debian = "etc/exim4/update-exim4.conf.conf";
    let postfix = |text: &str| vec![("etc/postfix/main.cf", text.to_owned())];
    let cases = [
        (postfix("relayhost = [r.example]:465\n"), "smtps://[r.example]:465"),
        (postfix("relayhost = [r.example]:smtps\n"), "smtps://[r.example]:465"),
        (postfix("relayhost = r.example:submissions\n"), "smtps://r.example:465"),
        (
            postfix("relayhost = [r.example]:10465\nsmtp_tls_wrappermode = YES\n"),
            "smtps://[r.example]:10465",
        ),
        (postfix("relayhost = [r.example]:submission\n"), "[r.example]:587"),
        (vec![(debian, exim("r.example::465"))], "smtps://[r.example]:465"),
        (
            vec![
                (debian, exim("r.example")),
                (
                    "etc/exim4/exim4.conf.localmacros",
                    "REMOTE_SMTP_SMARTHOST_PROTOCOL = smtps\n".to_owned(),
                ),
            ],
            "smtps://[r.example]",
        ),
        (
            vec![(
                "etc/exim4/exim4.conf",
                "begin routers\nsmart:\n  driver = manualroute\n  route_list = * r.example::465 byname\n\
                 begin transports\nremote:\n  driver = smtp\n  protocol = smtps\n"
                    .to_owned(),
            )],
            "smtps://[r.example]:465",
        ),
        (
            vec![("etc/msmtprc", "host r.example\nport 465\ntls on\n".to_owned())],
            "smtps://[r.example]:465",
        ),
    ];
    for (files, expected) in cases {
        let files: Vec<(&str, &str)> = files.iter().map(|(p, t)| (*p, t.as_str())).collect();
        let (_folder, root) = tree(&files);
        let hop = look(&root).remove(0).relayhost.map(|hop| hop.to_string());
        assert_eq!(hop.as_deref(), Some(expected), "{files:?}");
    }
}

#[test]
fn what_postfix_is_told_beyond_what_is_taken_over_is_named() {
    let debian = "smtpd_banner = $myhostname ESMTP $mail_name (Debian/GNU)\nbiff = no\n\
                  append_dot_mydomain = no\nreadme_directory = no\ncompatibility_level = 3.6\n\
                  smtpd_tls_security_level=may\nsmtp_tls_CApath=/etc/ssl/certs\n\
                  smtp_tls_session_cache_database = btree:${data_directory}/smtp_scache\n\
                  mailbox_size_limit = 0\nrecipient_delimiter = +\ninet_protocols = all\n";
    let (_folder, root) = tree(&[("etc/postfix/main.cf", debian)]);
    assert_eq!(left(&look(&root)[0]), "", "Debian's own file is nobody's wish");
    for (line, words) in [
        ("smtp_tls_security_level = fingerprint", "smtp_tls_security_level = fingerprint"),
        ("smtp_tls_security_level = dane-only", "= dane-only is not taken over"),
        ("mynetworks_style = subnet", "mynetworks_style = subnet"),
        ("smtp_tls_CAfile = /etc/ssl/own.pem", "with /etc/ssl/own.pem"),
        ("recipient_delimiter = -", "recipient_delimiter = -"),
        ("smtpd_milters = inet:localhost:8891", "smtpd_milters"),
        ("smtp_destination_rate_delay = 1s", "smtp_destination_rate_delay"),
        ("message_size_limit = 10M", "message_size_limit = 10M"),
        ("message_size_limit = 0", "messages have a limit here"),
        ("compatibility_level = 1", "mynetworks_style = subnet"),
        ("mydestination = a.example\n mynetworks = 10.0.0.0/8", "names 10.0.0.0/8"),
        ("mydestination = a.example # b", "mydestination names #"),
    ] {
        let (_folder, root) = tree(&[("etc/postfix/main.cf", &format!("{line}\n"))]);
        assert!(left(&look(&root)[0]).contains(words), "{line}: {}", left(&look(&root)[0]));
    }
    let own = "compatibility_level = 2\nsite = example.com\nmyhostname = mail.$site\n";
    let (_folder, root) = tree(&[("etc/postfix/main.cf", own)]);
    assert_eq!(left(&look(&root)[0]), "", "a name of the administrator's own stands in others");
}

#[test]
fn a_login_is_found_however_its_switch_and_its_line_are_written_or_its_absence_is_said() {
    let main = "relayhost = [r.example]:587\nsmtp_sasl_auth_enable = YES\n\
                smtp_sasl_password_maps = hash:/p\n";
    let (_folder, root) =
        tree(&[("etc/postfix/main.cf", main), ("p", "[r.example]:587\tana:s3cret\n")]);
    assert_eq!(look(&root)[0].login.as_ref().map(|l| l.user.as_str()), Some("ana"));
    let exim = "dc_eximconfig_configtype='smarthost'\ndc_smarthost='smtp.gmail.com::587'\n";
    for (passwords, user) in [
        ("smtp.gmail.com: ana : s3cret\n", Some("ana")),
        ("*: ana:s3cret\n", Some("ana")),
        ("*.google.com:ana:s3cret\n", None),
        ("# target.mail.server.example:login:password\n", None),
    ] {
        let (_folder, root) = tree(&[
            ("etc/exim4/update-exim4.conf.conf", exim),
            ("etc/exim4/passwd.client", passwords),
        ]);
        let programs = look(&root);
        assert_eq!(programs[0].login.as_ref().map(|l| l.user.as_str()), user, "{passwords}");
        let told = left(&programs[0]).contains("no line of /etc/exim4/passwd.client");
        assert_eq!(told, passwords.starts_with("*.google"), "{passwords}");
    }
}

#[test]
fn what_exim_is_told_beyond_what_is_taken_over_is_named() {
    for (line, words) in [
        ("dc_eximconfig_configtype='local'", "no mail may leave this machine"),
        ("dc_hide_mailname='true'\ndc_readhost='web.lan'", "dc_readhost = web.lan is not taken"),
        ("dc_relay_domains='x.example'", "dc_relay_domains = x.example"),
        ("dc_other_hostnames='a.example:*.b.example'", "names *.b.example"),
        (
            "dc_eximconfig_configtype='satellite'\ndc_readhost='example.com'",
            "`root: root@example.com`",
        ),
        ("dc_other='1'", "dc_other, of which nothing"),
    ] {
        let (_folder, root) = tree(&[
            ("etc/exim4/update-exim4.conf.conf", &format!("{line}\n")),
            (
                "etc/exim4/exim4.conf.localmacros",
                "REMOTE_SMTP_HELO_DATA = x\nMAIN_HARDCODE_PRIMARY_HOSTNAME = mail.example.com\n",
            ),
        ]);
        let programs = look(&root);
        assert_eq!(programs[0].hostname.as_deref(), Some("mail.example.com"));
        let left = left(&programs[0]);
        assert!(left.contains(words) && left.contains("REMOTE_SMTP_HELO_DATA"), "{line}: {left}");
    }
}

#[test]
fn keys_of_opendkim_that_are_everybodys_or_nobodys_are_named() {
    let pem = puerto_mail::dkim::PrivateKey::generate_rsa(2048).unwrap();
    for (conf, table, signing, expected, told) in [
        ("Domain *\nSelector s\nKeyFile /k\n", "", "", "", "`Domain *` signs for every"),
        ("KeyTable /t\n", "all %:s:/k\n", "", "", "`all %:s:/k` signs for every"),
        ("KeyTable /t\nSigningTable refile:/s\n", "all %:s:/k\n", "*@* all\n", "", "`all %:s:/k`"),
        ("KeyTable /t\nSigningTable refile:/s\n", "all %:s:/k\n", "* all\n", "", "`all %:s:/k`"),
        (
            "KeyTable /t\nSigningTable refile:/s\n",
            "all %:s:/k\n",
            "*@* all\n*@a.example all\n",
            "s@a.example",
            "`all %:s:/k`",
        ),
        (
            "KeyTable /t\nSigningTable refile:/s\n",
            "k a.example:s:/k\n",
            "*@* k\n",
            "s@a.example",
            "",
        ),
        ("KeyTable /t\n", "k a.example /k\n", "", "", "row `k a.example /k` is not"),
        (
            "KeyTable /t\nSigningTable /s\n",
            "k a.example:s:/k\n",
            "x other\n",
            "",
            "key k stands in",
        ),
        (
            "KeyTable /t\nSigningTable /s\n",
            "k a.example:s:/k\n",
            "x k\nx y\n",
            "s@a.example",
            "`x y`",
        ),
        ("KeyTable /t\nOmitHeaders x\n", "k a.example:s:/k\n", "", "s@a.example", "OmitHeaders"),
    ] {
        let (_folder, root) =
            tree(&[("etc/opendkim.conf", conf), ("t", table), ("s", signing), ("k", &pem)]);
        let programs = look(&root);
        assert_eq!(keys(&programs[0]).join(" "), expected, "{conf}{table}{signing}");
        assert!(left(&programs[0]).contains(told), "{conf}{table}: {}", left(&programs[0]));
    }
}

#[test]
fn what_msmtp_is_told_beyond_what_is_taken_over_is_named() {
    for (line, words) in [
        ("tls_fingerprint 00:11", "tls_fingerprint"),
        ("tls_trust_file /etc/own.pem", "with /etc/own.pem"),
        ("from shop@example.com", "from = shop@example.com is taken over as sender.always"),
        ("from *@example.com", "from = *@example.com is not taken over"),
        ("aliases /etc/aliases", "`default: me@example.com` of /etc/aliases"),
    ] {
        let (_folder, root) = tree(&[
            ("etc/msmtprc", &format!("host r.example\ntls on\n{line}\n")),
            ("etc/aliases", "root: me@example.com\ndefault: me@example.com\n"),
        ]);
        assert!(left(&look(&root)[0]).contains(words), "{line}: {}", left(&look(&root)[0]));
    }
    let trusted = "host r.example\ntls_trust_file /etc/ssl/certs/ca-certificates.crt\n";
    let (_folder, root) = tree(&[("etc/msmtprc", trusted)]);
    assert_eq!(left(&look(&root)[0]), "");
}

/// A file's name was refused with an empty quote (issue 7).
#[test]
fn networks_in_a_file_are_taken_over_and_never_more_than_it_lets_in() {
    let file =
        "# ours\n192.0.2.0/24   # the office\n\n2001:db8::/32, 198.51.100.7\n/etc/more\nlan\n";
    for (nets, listed, taken, said) in [
        (file, "/etc/nets", 3, "/etc/nets names the file /etc/more, which cannot be read"),
        (file, "/etc/nets", 3, "/etc/nets = lan is not taken over: `lan` is not an IPv4"),
        ("10.0.0.0/8\n!10.1.0.0/16\n", "/etc/nets", 0, "/etc/nets = 10.0.0.0/8 !10.1.0.0/16"),
        ("", "/etc/none", 0, "the file /etc/none, which cannot be read here"),
        ("", "10.0.0.0/8 ; !10.1.0.0/16", 0, "!10.1.0.0/16 leaves some out"),
        ("", "192.0.2.0/24;net-lsearch;/etc/nets", 1, "names the file"),
    ] {
        let settings = format!("dc_relay_nets='{listed}'\n");
        let exim = [("etc/exim4/update-exim4.conf.conf", &*settings), ("etc/nets", nets)];
        let exim = if nets.is_empty() { &exim[..1] } else { &exim[..] };
        let (_folder, root) = tree(exim);
        let found = exim::read(&root).unwrap();
        assert_eq!(found.networks.len(), taken, "{listed}: {}", left(&found));
        assert!(left(&found).contains(said), "{listed}: {}", left(&found));
        assert!(!left(&found).contains("``"), "{}", left(&found));
    }
    for (file, text) in [
        ("etc/postfix/main.cf", "mynetworks = 127.0.0.0/8 /etc/nets\n"),
        ("etc/exim4/exim4.conf", "hostlist relay_from_hosts = 127.0.0.0/8 : /etc/nets\n"),
    ] {
        let (_folder, root) = tree(&[(file, text), ("etc/nets", "192.0.2.0/24\n")]);
        let found = &look(&root)[0];
        let networks: Vec<_> = found.networks.iter().map(ToString::to_string).collect();
        assert_eq!(networks, ["127.0.0.0/8", "192.0.2.0/24"], "{file}: {}", left(found));
    }
}

/// The map is a table of the configuration, in which no name may stand twice (issue 7).
#[test]
fn a_sender_whom_a_program_names_twice_is_taken_over_once() {
    let exim = "dc_eximconfig_configtype='satellite'\ndc_readhost='example.com'\n\
                dc_hide_mailname='true'\ndc_other_hostnames='web.example.net:b.example.net'\n";
    let (_folder, root) = tree(&[
        ("etc/exim4/update-exim4.conf.conf", exim),
        ("etc/mailname", "web.example.net\n"),
        ("etc/email-addresses", "ana: ana@example.com\nana: other@example.com\n"),
    ]);
    let found = exim::read(&root).unwrap();
    let map = found.sender.map.iter().map(|(who, known)| format!("{who} {known}"));
    assert_eq!(
        map.collect::<Vec<_>>(),
        ["ana ana@example.com", "@web.example.net @example.com", "@b.example.net @example.com"]
    );
    let ssmtp = "ana:ana@example.com:mx\nana:other@example.com:mx\n";
    let (_folder, root) =
        tree(&[("etc/ssmtp/ssmtp.conf", "mailhub=mx\n"), ("etc/ssmtp/revaliases", ssmtp)]);
    assert_eq!(forwarders::ssmtp(&root).unwrap().sender.map.len(), 1);
}

#[test]
fn a_fallback_relay_of_postfix_becomes_the_rescue_route_with_what_it_gets_there() {
    let login = "smtp_sasl_auth_enable = yes\nsmtp_sasl_password_maps = hash:/p\n";
    for (text, expected, told) in [
        ("smtp_fallback_relay = [r.example]:587\n", "[r.example]:587", "such as greylisting"),
        ("smtp_fallback_relay = 192.0.2.1\n", "[192.0.2.1]", "unless rescue.tls"),
        ("fallback_relay = r.example\n", "r.example", "taken over as [rescue]"),
        (
            "fallback_relay = a.example\nsmtp_fallback_relay = [b.example], c.example\n",
            "[b.example]",
            "names several relays",
        ),
        (&format!("smtp_fallback_relay = [r.example]:587\n{login}"), "[r.example]:587 ana", ""),
        (
            &format!("smtp_fallback_relay = [other.example]\n{login}"),
            "[other.example]",
            "`password_file` below [rescue]",
        ),
        ("smtp_fallback_relay = [r.example\n", "", "smtp_fallback_relay = "),
        (
            "relayhost = [r.example]\nsmtp_fallback_relay = [s.example]\n",
            "",
            "mail for a relayhost waits for it",
        ),
        ("smtp_fallback_relay =\n", "", ""),
    ] {
        let (_folder, root) =
            tree(&[("etc/postfix/main.cf", text), ("p", "[r.example]:587 ana:s3cret\n")]);
        let found = look(&root).remove(0);
        let rescue = found.rescue.as_ref().map(|(hop, login)| {
            let user = login.as_ref().map(|login| format!(" {}", login.user));
            format!("{hop}{}", user.unwrap_or_default())
        });
        assert_eq!(rescue.unwrap_or_default(), expected, "{text}");
        assert!(left(&found).contains(told), "{text}: {}", left(&found));
        assert!(!left(&found).contains("also sets"), "{text}: {}", left(&found));
        assert!(found.relayhost.is_some() == text.starts_with("relayhost"), "{text}");
    }
}
