//! What a machine is called, and from which addresses it sends.

use super::*;

#[test]
fn a_domain_that_does_not_exist_and_a_short_name_are_told() {
    let machine = Machine::new().with("etc/puerto/puerto.toml", "hostname = \"vps\"\n");
    let report = machine.set_up();
    assert!(english(&report.problems()).contains("vps"), "{}", english(&report.problems()));
    let absent = Survey { absent: true, ..QUIET.survey("") };
    let root = Root::new(machine.folder.path());
    let site = Site { wishes: &machine.wishes, root: &root, world: &QUIET, survey: &absent };
    let said = notes(&site, &machine.config(), &[]);
    assert!(said.contains(&ABSENT.put("domain", "example.com")), "{said:?}");
}

#[test]
fn a_name_that_nobody_outside_knows_is_not_proposed_and_is_told() {
    for (etc, proposed) in [
        ("vps5.lan", "mail.example.com"),
        ("vps-1234.host.example", "mail.example.com"),
        ("ana.local", "mail.example.com"),
        ("mx1.example.com", "mx1.example.com"),
    ] {
        let machine = Machine::new().with("etc/hostname", etc);
        assert_eq!(machine.set_up().config.hostname, proposed, "{etc}");
    }
    let postfix = Machine::new().with("etc/postfix/main.cf", "myhostname = vps.lan\n");
    assert_eq!(postfix.set_up().config.hostname, "mail.example.com");
    let mut asked = Machine::new();
    asked.wishes.hostname = Some("vps5.lan".into());
    let report = asked.set_up();
    assert!(english(&report.problems()).contains("nobody outside knows"), "{:?}", report.found);
}

#[test]
fn a_name_of_the_hosting_company_is_not_proposed_and_what_comes_of_it_is_told() {
    for name in [
        "ec2-3-9-1-2.eu-west-1.compute.amazonaws.com",
        "vmi12.contaboserver.net",
        "vps-1.vps.ovh.net",
        "static.1.2.3.4.clients.your-server.de",
        "1-2-3-4.ip.linodeusercontent.com",
    ] {
        let main = format!("myhostname = {name}\nmyorigin = $myhostname\n");
        let machine = Machine::new().with("etc/postfix/main.cf", &main).with("etc/hostname", name);
        let report = machine.set_up();
        assert_eq!(report.config.hostname, "mail.example.com", "{name}");
        assert!(
            english(&report.programs[0].left).contains("myhostname ="),
            "{:?}",
            report.programs
        );
        assert_eq!(
            report.config.sender_domain().and_then(Domain::name),
            Some("example.com"),
            "{name}"
        );
        let mut asked = Machine::new();
        asked.wishes.hostname = Some(name.into());
        let report = asked.set_up();
        assert!(english(&report.problems()).contains("hosting company"), "{:?}", report.found);
        let mut person = Answers(vec![("calls machines", "mail.example.com"), ("full name", name)]);
        let report = Machine::new().run(&QUIET, &mut person).unwrap();
        assert_eq!(report.config.hostname, name, "who says it twice knows why");
    }
}

const ELSEWHERE_MX: &str = "mx.provider.example";

fn elsewhere() -> Told {
    Told { exchanges: Ok(vec![ELSEWHERE_MX.into()]), port_25: Port25::Open }
}

#[test]
fn where_mailboxes_are_elsewhere_users_send_from_their_domain() {
    let origin = |machine: &Machine| machine.config().origin.map(|origin| origin.to_string());
    let machine = Machine::new();
    let report = machine.run(&elsewhere(), &mut Nobody).unwrap();
    assert_eq!(origin(&machine).as_deref(), Some("example.com"));
    assert_eq!(report.config.sender_domain().and_then(Domain::name), Some("example.com"));
    assert!(english(&report.notes()).contains("send as root@example.com"), "{:?}", report.found);
    let here = Machine::new();
    here.set_up();
    assert_eq!(origin(&here), None, "the first of domains does it");
    // Another answer, and what comes of one that nobody can answer.
    let machine = Machine::new();
    let mut person =
        Answers(vec![("nobody outside knows", "example.net"), ("behind the @", "web.lan")]);
    machine.run(&elsewhere(), &mut person).unwrap();
    assert_eq!(origin(&machine).as_deref(), Some("example.net"));
    let mut asked = Machine::new();
    asked.wishes.origin = Some(Domain::parse("web.lan").ok());
    let report = asked.run(&elsewhere(), &mut Nobody).unwrap();
    assert!(english(&report.problems()).contains("user@web.lan"), "{:?}", report.found);
    // What Postfix was told counts, unless it is of no use outside.
    for (main, expected) in [
        ("myorigin = web.example.com\nmydestination = localhost\n", Some("web.example.com")),
        ("myorigin = web.lan\nmydestination = web.lan, localhost\n", Some("example.com")),
        ("myhostname = web.lan\n", Some("example.com")),
        (
            "myorigin = $mydomain\nmyhostname = web.example.com\nmydestination =\n",
            Some("example.com"),
        ),
    ] {
        let machine = Machine::new().with("etc/postfix/main.cf", main);
        machine.run(&elsewhere(), &mut Nobody).unwrap();
        assert_eq!(origin(&machine).as_deref(), expected, "{main}");
    }
}

#[test]
fn a_null_client_of_postfix_keeps_no_mail_for_the_domain_here() {
    let main = "myorigin = example.com\nmydestination =\nrelayhost = [r.example]\n";
    let machine = Machine::new().with("etc/postfix/main.cf", main);
    machine.set_up();
    assert_eq!(names(&machine.config().domains), ["mail.example.com"]);
    assert_eq!(machine.config().origin.unwrap().to_string(), "example.com");
}

#[test]
fn a_relay_that_insists_on_one_address_gets_all_mail_from_it() {
    for (hop, login, flag, expected) in [
        ("[mail.gmx.net]:587", "ana@gmx.de", None, Some("ana@gmx.de")),
        ("[smtp-relay.brevo.com]:587", "ana@gmail.com", None, None),
        ("[mail.gmx.net]:587", "ana@gmx.de", Some(None), None),
        ("[r.example]:587", "apikey", Some(Some("a@b.example")), Some("a@b.example")),
        ("[r.example]:587", "apikey", None, None),
    ] {
        let mut machine = Machine::new();
        machine.wishes.relayhost = Some(NextHop::parse(hop).ok());
        machine.wishes.login = Some(Credentials { user: login.into(), password: "x".into() });
        machine.wishes.always = flag.map(|flag| flag.map(|text| Address::parse(text).unwrap()));
        machine.run(&elsewhere(), &mut Nobody).unwrap();
        let always = machine.config().sender.always.map(|address| address.to_string());
        assert_eq!(always.as_deref(), expected, "{hop} {login}");
    }
    let main = "relayhost = [mail.gmx.net]:587\nsmtp_sasl_auth_enable = yes\n\
                smtp_sasl_password_maps = inline:{ {[mail.gmx.net]:587 = ana@gmx.de:s3cret} }\n";
    let machine = Machine::new().with("etc/postfix/main.cf", main);
    machine.set_up();
    let config = machine.config();
    assert_eq!(config.relayhost_login.unwrap().user, "ana@gmx.de");
    assert_eq!(config.sender.always, None, "what worked for Postfix stays");
}

#[test]
fn what_was_typed_for_a_domain_says_which_is_meant() {
    for (typed, domain) in [
        ("https://example.com/", Some("example.com")),
        ("http://example.com:8080/a?b", Some("example.com")),
        ("Example.COM.", Some("example.com")),
        ("user@example.com", Some("example.com")),
        (" example.com ", Some("example.com")),
        ("mañana.example", Some("xn--maana-pta.example")),
        ("example", None),
        ("192.0.2.1", None),
        ("ex ample.com", None),
        ("a_b.example", None),
        ("", None),
        ("@", None),
        ("..", None),
    ] {
        assert_eq!(domain_meant(typed).as_deref(), domain, "{typed:?}");
    }
}
