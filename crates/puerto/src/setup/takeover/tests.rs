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

#[test]
fn keys_of_opendkim_are_found_in_table_setting_and_folder_each_once() {
    let pem = puerto_mail::dkim::PrivateKey::generate_rsa(2048).unwrap();
    let (_folder, root) = tree(&[
        (
            "etc/opendkim.conf",
            "KeyTable refile:/etc/opendkim/key.table\nDomain example.org\nSelector s\n\
             KeyFile /etc/dkimkeys/s.private # here\n",
        ),
        (
            "etc/opendkim/key.table",
            "# name place\nmail._domainkey.example.com example.com:Mail:/etc/opendkim/keys/example.com/mail.private\n",
        ),
        ("etc/opendkim/keys/example.com/mail.private", &pem),
        ("etc/opendkim/keys/example.com/mail.txt", "record"),
        ("etc/opendkim/keys/shop.example/2024.private", &pem),
        ("etc/opendkim/keys/torn.example/x.private", "-----BEGIN RSA PRIVATE KEY-----\n"),
        ("etc/dkimkeys/s.private", &pem),
    ]);
    let programs = look(&root);
    let [found] = programs.as_slice() else { panic!("{programs:?}") };
    let mut keys: Vec<String> =
        found.keys.iter().map(|key| format!("{}@{}", key.selector, key.domain)).collect();
    keys.sort();
    assert_eq!(keys, ["2024@shop.example", "mail@example.com", "s@example.org"]);
    assert!(left(found).contains("torn.example/x.private"), "{}", left(found));
    let secret = pem.lines().nth(1).unwrap();
    assert!(!format!("{found:?}").contains(secret), "a key was shown");
}

#[test]
fn a_machine_without_any_of_them_has_nothing_to_take_over() {
    let (_folder, root) = tree(&[("etc/hostname", "x\n")]);
    assert!(look(&root).is_empty());
}
