use Verdict::{Allowed, Foreign, NotOwn};

use super::*;

fn config(top: &str, section: &str) -> Config {
    let text = format!(
        "hostname = \"web.example.com\"\ndomains = [\"example.com\", \"españa.example\"]\n{top}\n\
         [sender]\n{section}\n"
    );
    Config::parse(&text, "test").unwrap()
}

fn verdict(config: &Config, submitter: Submitter<'_>, address: &str) -> Verdict {
    let signs = |domain: &Domain| domain.to_string() == "signed.example";
    Permission::new(config, submitter, &signs).judge(&Address::parse(address).unwrap())
}

const ANA: Submitter<'_> = Submitter::User { uid: 1000, name: "ana" };
const ROOT: Submitter<'_> = Submitter::User { uid: 0, name: "root" };
const WWW: Submitter<'_> = Submitter::User { uid: 33, name: "www-data" };
const DYNAMIC: Submitter<'_> = Submitter::User { uid: 61_200, name: "mailer" };
const LDAP: Submitter<'_> = Submitter::User { uid: 1_000_000, name: "ana" };
const LOGIN: Submitter<'_> = Submitter::Account { name: "ana", addresses: &[] };

fn client(address: &str) -> Submitter<'static> {
    Submitter::Client(address.parse().unwrap())
}

#[test]
fn people_have_their_own_addresses_and_the_machine_all_of_ours() {
    let config = config("", "");
    for (address, ana, machine) in [
        ("ana@example.com", Allowed, Allowed),
        ("ANA@EXAMPLE.COM", Allowed, Allowed),
        ("\"ana\"@example.com", Allowed, Allowed),
        ("ana+cron@example.com", Allowed, Allowed),
        ("ana@web.example.com", Allowed, Allowed),
        ("ana@localhost", Allowed, Allowed),
        ("ana@localhost.localdomain", Allowed, Allowed),
        ("ana@españa.example", Allowed, Allowed),
        ("ana@xn--espaa-rta.example", Allowed, Allowed),
        ("director@example.com", NotOwn, Allowed),
        ("anabel@example.com", NotOwn, Allowed),
        ("root@localhost", NotOwn, Allowed),
        ("ana@other.example.com", NotOwn, Allowed),
        ("shop@signed.example", NotOwn, Allowed),
        ("ceo@bank.example", Foreign, Foreign),
        ("ana@notexample.com", Foreign, Foreign),
    ] {
        for who in [ANA, LDAP, LOGIN] {
            assert_eq!(verdict(&config, who, address), ana, "{who:?} {address}");
        }
        for who in [ROOT, WWW, DYNAMIC, client("127.0.0.1"), client("::ffff:127.0.0.1")] {
            assert_eq!(verdict(&config, who, address), machine, "{who:?} {address}");
        }
        // Another server has users of its own.
        assert_eq!(verdict(&config, client("192.0.2.7"), address), Allowed, "{address}");
    }
}

#[test]
fn what_is_granted_counts_beside_what_is_own() {
    let config = config(
        "",
        "users = { ana = [\"sales@example.com\", \"@shop.example\"], deploy = \"ours\" }\n\
         accounts = { \"bob@example.com\" = [\"*\"], \"*\" = [\"info@example.com\"] }\n\
         networks = { \"192.0.2.0/24\" = [\"@example.org\"], \"127.0.0.2/32\" = [] }\n\
         foreign = [\"partner.example\", \"*.partner.example\"]",
    );
    let noted = [AddressPattern::parse("ana.garcia@example.net").unwrap()];
    let noted = Submitter::Account { name: "ana", addresses: &noted };
    let deploy = Submitter::User { uid: 1001, name: "deploy" };
    let whole = Submitter::Account { name: "Bob@example.com", addresses: &[] };
    let short = Submitter::Account { name: "bob", addresses: &[] };
    for (who, address, expected) in [
        (short, "anybody@elsewhere.example", Allowed),
        (ANA, "sales@example.com", Allowed),
        (ANA, "Sales+es@example.com", Allowed),
        (ANA, "anyone@shop.example", Allowed),
        (ANA, "info@example.com", NotOwn),
        (ANA, "x@partner.example", Allowed),
        (ANA, "x@a.partner.example", Allowed),
        (ANA, "x@notpartner.example", Foreign),
        (deploy, "noreply@example.com", Allowed),
        (deploy, "noreply@other.example", Foreign),
        (LOGIN, "info@example.com", Allowed),
        (LOGIN, "sales@example.com", NotOwn),
        (noted, "ana.garcia@example.net", Allowed),
        (noted, "other@example.net", Foreign),
        (whole, "anyone@anywhere.example", Allowed),
        (client("192.0.2.7"), "a@example.org", Allowed),
        (client("192.0.2.7"), "a@example.com", NotOwn),
        (client("192.0.2.7"), "a@bank.example", Foreign),
        (client("127.0.0.2"), "a@example.com", NotOwn),
        (client("127.0.0.1"), "a@example.com", Allowed),
        (client("198.51.100.1"), "a@bank.example", Allowed),
    ] {
        assert_eq!(verdict(&config, who, address), expected, "{who:?} {address}");
    }
}

// Found by hand: a network's notices left as from the relay's own root.
#[test]
fn whoever_is_narrowed_is_known_by_an_address_that_it_may_use() {
    for (list, own) in [
        ("\"@uno.example.com\"", "postmaster@uno.example.com"),
        ("\"@*.example.com\", \"@uno.example.com\"", "postmaster@uno.example.com"),
        ("\"@uno.example.com\", \"web@dos.example.com\"", "web@dos.example.com"),
        ("\"ours\"", "root@example.com"),
        ("\"@example.com\"", "root@example.com"),
        ("\"sales-*@example.com\"", "nobody"),
        ("", "nobody"),
    ] {
        let section = format!("networks = {{ \"192.0.2.0/24\" = [{list}] }}");
        let config = config("origin = \"example.com\"", &section);
        let permission = Permission::new(&config, client("192.0.2.7"), &|_| false);
        let found = permission.own().map_or("nobody".to_owned(), |own| own.to_string());
        assert_eq!(found, own, "{list}");
    }
}

#[test]
fn what_the_map_makes_of_an_own_address_is_an_own_address() {
    let config = config(
        "origin = \"school.example\"",
        "map = { ana = \"Ana.Garcia@example.net\", \"@web.example.com\" = \"@example.com\" }",
    );
    for (who, address, expected) in [
        (ANA, "ana.garcia@example.net", Allowed),
        (ANA, "ana@school.example", Allowed),
        (ANA, "other@example.net", NotOwn),
        (WWW, "other@example.net", Allowed),
        (ROOT, "root@school.example", Allowed),
    ] {
        assert_eq!(verdict(&config, who, address), expected, "{who:?} {address}");
    }
    let signs = |_: &Domain| false;
    let own = |who| Permission::new(&config, who, &signs).own().unwrap().to_string();
    assert_eq!(own(ANA), "Ana.Garcia@example.net");
    assert_eq!(own(WWW), "www-data@school.example");
    assert_eq!(own(client("127.0.0.1")), "root@school.example");
    let always = self::config("", "always = \"me@provider.example\"");
    assert_eq!(verdict(&always, ANA, "me@provider.example"), Allowed);
}

#[test]
fn a_machine_behind_a_relay_may_use_the_relays_domain_and_its_login() {
    let config = config(
        "relayhost = \"[smtp.provider.example]:587\"\nrelayhost_user = \"me@mailbox.example\"\n\
         relayhost_password_file = \"/etc/puerto/password\"",
        "",
    );
    for (who, address, expected) in [
        (WWW, "shop@provider.example", Allowed),
        (WWW, "me@mailbox.example", Allowed),
        (WWW, "you@mailbox.example", Foreign),
        (ANA, "me@mailbox.example", Allowed),
        (ANA, "ana@provider.example", Foreign),
        (LOGIN, "me@mailbox.example", Foreign),
    ] {
        assert_eq!(verdict(&config, who, address), expected, "{who:?} {address}");
    }
    // A name that nobody chose: its own domain counts, and no other.
    let text = "hostname = \"web1.shop.example\"\ndomains = [\"web1.shop.example\"]";
    let plain = Config::parse(text, "test").unwrap();
    assert_eq!(verdict(&plain, WWW, "noreply@shop.example"), Allowed);
    assert_eq!(verdict(&plain, ANA, "noreply@shop.example"), Foreign);
    assert_eq!(verdict(&plain, WWW, "noreply@bigshop.example"), Foreign);
}

#[test]
fn what_else_happens_is_chosen() {
    let signs = |_: &Domain| false;
    let refuses = |choice: &str, who| {
        let config = config("", &format!("otherwise = \"{choice}\""));
        let path = ReversePath::parse("<a@example.com>").unwrap();
        Permission::new(&config, who, &signs).refuses(&path)
    };
    for who in [ANA, WWW, LOGIN, client("127.0.0.1"), client("192.0.2.1")] {
        assert!(refuses("reject", who) && !refuses("rewrite", who), "{who:?}");
    }
    assert!(!refuses("auto", ANA) && !refuses("auto", WWW) && !refuses("auto", client("::1")));
    assert!(refuses("auto", LOGIN) && refuses("auto", client("192.0.2.1")));
}

#[test]
fn mistakes_in_the_section_are_named_and_what_is_right_reads_back() {
    for (section, says) in [
        ("users = { ana = [\"sales\"] }", "sender.users"),
        ("accounts = [\"ana\"]", "sender.accounts"),
        ("networks = { nowhere = [\"*\"] }", "sender.networks"),
        ("foreign = [\"-x\"]", "sender.foreign"),
        ("otherwise = \"discard\"", "sender.otherwise"),
    ] {
        let text = format!("hostname = \"a.example\"\n[sender]\n{section}\n");
        let error = Config::parse(&text, "test").unwrap_err().to_string();
        assert!(error.contains(says), "{section}: {error}");
    }
    let section = "users = { ana = [\"*@example.com\", \"ours\"], \"*\" = \"*\" }\n\
                   networks = { \"192.0.2.0/24\" = [\"@*.example.org\"] }\n\
                   foreign = [\"*\"]\notherwise = \"reject\"";
    let whole = config("", section);
    assert_eq!(Config::parse(&whole.to_toml(), "test").unwrap().sender, whole.sender);
}
