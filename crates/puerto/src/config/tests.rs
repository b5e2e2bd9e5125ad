//! What the configuration promises.

use super::*;

/// B11: one error must not keep `sendmail` and `mailq` from a daemon that runs.
#[test]
fn a_broken_file_still_says_where_the_daemon_is() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("puerto.toml");
    let run_dir = "run_dir = \"/run/other\"\n";
    for broken in [
        "relayhots = 1\n",
        "hostname = \"a.example\n",
        "domains = [\"a.example\"\n",
        "hostname\n",
        "log = \"json\"\nlog = \"json\"\n",
        "hostname = '''a\n",
        "trusted_networks = [\"0.0.0.0/0\"]\n",
        "[listen\n",
    ] {
        for text in [format!("{broken}{run_dir}"), format!("{run_dir}{broken}")] {
            std::fs::write(&file, &text).unwrap();
            assert!(Config::load(Some(&file)).is_err(), "{text}");
            let config = Config::load_leniently(Some(&file)).unwrap();
            assert_eq!(config.run_dir, Path::new("/run/other"), "{text}");
        }
        std::fs::write(&file, broken).unwrap();
        let config = Config::load_leniently(Some(&file)).unwrap();
        assert_eq!(config.run_dir, Path::new("/run/puerto"), "{broken}");
        assert!(!config.domains.is_empty());
    }
    std::fs::write(&file, b"\xff\xfe\nrun_dir = \"/run/other\"\n").unwrap();
    assert_eq!(Config::load_leniently(Some(&file)).unwrap().run_dir, Path::new("/run/other"));
    assert!(Config::load_leniently(Some(&dir.path().join("missing"))).is_err());
}

use crate::lang::Language;

fn errors(text: &str) -> ConfigErrors {
    Config::parse(text, "puerto.toml").expect_err(text)
}

fn uncommented(sample: &str) -> String {
    let lines = sample.lines().map(|line| match line.strip_prefix('#') {
        Some(rest) if !rest.starts_with(' ') && !rest.is_empty() => rest,
        _ => line,
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn one_port_is_for_one_service() {
    for (section, wrong) in [
        ("smtp = [\"0.0.0.0:2525\", \"[::]:2525\"]", false),
        ("smtp = [\"192.0.2.1:2525\", \"192.0.2.2:2525\"]", false),
        ("smtp = [\"127.0.0.1:2525\", \"0.0.0.0:2525\"]", true),
        ("smtp = [\"127.0.0.1:2525\", \"127.0.0.1:2525\"]", true),
        ("smtp = [\"0.0.0.0:587\"]\nsubmission = [\"192.0.2.1:587\"]", true),
        ("submission = [\"[::]:465\"]\nsubmissions = [\"[::1]:465\"]", true),
    ] {
        let tls = "[tls]\ncertificate = \"/c.pem\"\nkey = \"/k.pem\"\n";
        let read = Config::parse(&format!("{tls}[listen]\n{section}\n"), "puerto.toml");
        let said = read.err().map(|errors| errors.to_string()).unwrap_or_default();
        assert_eq!(said.contains("they are the same port"), wrong, "{section}: {said}");
    }
}

#[test]
fn an_empty_file_gives_the_defaults_of_the_declarations() {
    let config = Config::parse("", "puerto.toml").unwrap();
    assert!(!config.hostname.is_empty() && !config.domains.is_empty());
    assert_eq!(config.delivery.helo, config.hostname);
    assert_eq!(config.listen.smtp.len(), 2);
    assert_eq!(config.queue.retry.len(), 8);
    assert_eq!(config.queue.expire, Duration::from_secs(5 * 86_400));
    assert_eq!(config.limits.message_size, 50 << 20);
    assert!(config.trusted_networks.contains("127.0.0.1".parse().unwrap()));
    for key in keys::KEYS {
        if let keys::KeyDefault::Written(text) = key.default {
            let node = toml::de::DeValue::parse(text).expect(key.name);
            let shown = (key.show)(&config);
            assert_eq!(shown, text, "{} is shown as it is declared", key.path());
            assert_eq!(node.span().len(), text.len());
        }
    }
}

#[test]
fn the_sample_reads_back_to_the_defaults() {
    for language in [Language::English, Language::Spanish] {
        sample_reads_back(language);
    }
}

fn sample_reads_back(language: Language) {
    let named = "hostname = \"mail.example.com\"\ndomains = [\"example.com\"]\n";
    let defaults = Config::parse(named, "defaults").unwrap();
    let sample = Config::sample(language);
    assert!(Config::parse(&sample, "sample").is_ok(), "as it is printed");
    let mut full = Config::parse(&uncommented(&sample), "sample").unwrap_or_else(|e| panic!("{e}"));
    assert_eq!((full.routes.len(), full.sources.len()), (1, 1));
    full.routes.clear();
    full.sources.clear();
    assert_eq!(full.to_toml(), defaults.to_toml());
}

#[test]
fn what_is_shown_reads_back_to_itself() {
    let text = r#"
        hostname = "mx.example.org"
        domains = ["example.org", "example.net"]
        relayhost = "smtps://[relay.example.net]:4465"
        relayhost_user = "u\"ser"
        relayhost_password_file = "/etc/puerto/relay password"
        [dns]
        servers = ["127.0.0.1:5353", "192.0.2.53", "2001:db8::53"]
        [local]
        mailbox = "lmtp:/run/dovecot/lmtp"
        [tls]
        certificate = "/a.pem"
        key = "/b.pem"
        [[route]]
        to = "*.example.net"
        from = "@Shop.example.com"
        via = "[192.0.2.1]:587"
        tls = "required"
        [rescue]
        via = "[relay.example.net]:587"
        user = "u"
        password_file = "/etc/puerto/rescue"
        [[source]]
        name = "news-1"
        ipv6 = "2001:db8::1"
        helo = "news.example.org"
        from = ["@news.example.org"]
        accounts = ["shop"]
        weight = 3
        begins = "2026-12-31"
        plan = [10, 20]
    "#;
    let config = Config::parse(text, "a").unwrap_or_else(|e| panic!("{e}"));
    let shown = config.to_toml();
    let again = Config::parse(&shown, "b").unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(again.to_toml(), shown);
    assert_eq!(config.dns_servers[1].to_string(), "192.0.2.53:53");
    assert_eq!(config.routes[0].from.as_deref(), Some("@shop.example.com"));
    assert_eq!(config.routes[0].tls, TlsLevel::Required);
}

/// `domain` at the top was to be moved to [srs], and `user` in [limits] was perhaps `user`.
#[test]
fn of_an_unknown_key_the_nearest_is_proposed_before_another_section() {
    for (text, nearest, part) in [
        ("domain = [\"x.example\"]", Some("domains"), "section; there is one in [srs]"),
        ("[srs]\ndomains = [\"x.example\"]", Some("domain"), "there is one before the first"),
        ("[limits]\nuser = \"x\"", None, "move it up"),
        ("[limits]\nrelayhost = \"x\"", None, "move it up"),
        ("smtp = []", Some("listen.smtp"), "write a header `[listen]`"),
        ("[listen]\nsmpt = []", Some("smtp"), "unknown key `smpt` in [listen]"),
    ] {
        let errors = errors(text);
        let error = &errors.errors[0];
        assert_eq!(error.nearest.as_deref(), nearest, "{text}");
        let said = error.message.of(crate::lang::Language::English);
        assert!(said.contains(part), "{text}: {said}");
    }
}

#[test]
fn all_errors_are_told_at_once_with_their_places() {
    let text = "relayhots = \"a.example\"\ntrusted_networks = [\"10.0.0.1/8\", \"0.0.0.0/0\"]\n\
                [delivery]\nport = \"25\"\nconnection_timeout = \"30s\"\n[limts]\n";
    let errors = errors(text);
    let told: Vec<_> =
        errors.errors.iter().map(|e| (e.line, e.column, e.nearest.as_deref())).collect();
    assert_eq!(
        told,
        [
            (1, 1, Some("relayhost")),
            (2, 21, None),
            (2, 35, None),
            (4, 8, None),
            (5, 1, Some("connect_timeout")),
            (6, 2, Some("[limits]")),
        ]
    );
    let shown = errors.to_string();
    for part in [
        "puerto.toml:1:1",
        "did you mean `relayhost`?",
        "write `10.0.0.0/8`",
        "the whole Internet",
        "accepted: a port from 1 to 65535",
        "port = \"25\"",
        "key `delivery.port`",
    ] {
        assert!(shown.contains(part), "{part} in\n{shown}");
    }
}

#[test]
fn impossible_values_and_combinations_are_refused() {
    for (text, key, part) in [
        ("hostname = 5", "hostname", "a text in quotes"),
        ("hostname = \"a b\"", "hostname", "not a host name"),
        ("domains = []", "domains", "empty"),
        ("domains = \"a.example\"", "domains", "list in brackets"),
        ("domains = [\"[192.0.2.1]\"]", "domains", "not a domain"),
        ("relayhost = \"192.0.2.1\"", "relayhost", "write `[192.0.2.1]`"),
        ("relayhost = \"a.example\"\nrelayhost_user = \"u\"", "relayhost_user", "is not"),
        ("relayhost_password_file = \"/p\"", "relayhost_password_file", "`relayhost_user` is not"),
        (
            "relayhost_user = \"u\"\nrelayhost_password_file = \"/p\"",
            "relayhost_user",
            "no relay to log in",
        ),
        ("state_dir = \"spool\"", "state_dir", "begin it with `/`"),
        ("[rescue]\nuser = \"u\"", "rescue.user", "is not"),
        ("[rescue]\nuser = \"u\"\npassword_file = \"/p\"", "rescue.user", "no relay to log in"),
        ("[[source]]\nipv4 = \"192.0.2.1\"", "source.name", "has no name"),
        ("[[source]]\nname = \"a\"", "source.ipv4", "has no address"),
        ("[[source]]\nname = \"a b\"", "source.name", "no name for a source"),
        (
            "[[source]]\nname = \"a\"\nipv4 = \"192.0.2.1\"\n[[source]]\nname = \"a\"\nipv4 = \"192.0.2.2\"",
            "source.name",
            "two sources",
        ),
        ("[[source]]\nname = \"a\"\nbegins = \"soon\"", "source.begins", "not a day"),
        ("[[source]]\nname = \"a\"\nplan = [0]", "source.plan", "between 1 and"),
        (
            "[[source]]\nname = \"a\"\nipv4 = \"192.0.2.1\"\nplan = [50]",
            "source.begins",
            "would bound nothing",
        ),
        ("[source]\nname = \"a\"", "source", "sources form a list"),
        ("log = \"xml\"", "log", "not one of"),
        ("log_to = \"mail.log\"", "log_to", "neither"),
        ("listen = 5", "listen", "a section"),
        ("[listen]\nsmtp = [\"0.0.0.0\"]", "listen.smtp", "write it like `0.0.0.0:25`"),
        ("[listen]\nsubmissions = [\"[::]:465\"]", "listen.submissions", "no certificate"),
        ("[listen]\nsubmission = [\"[::]:587\"]", "listen.submission", "no certificate"),
        ("[accounts]\nfile = \"accounts\"", "accounts.file", "begin it with `/`"),
        ("[tls]\nkey = \"/k\"", "tls.key", "`tls.certificate` is not"),
        ("[dns]\nservers = [\"dns.example\"]", "dns.servers", "names cannot"),
        ("[delivery]\nport = 0", "delivery.port", "between 1 and 65535"),
        ("[delivery]\nport = 70000", "delivery.port", "between 1 and 65535"),
        ("[delivery]\nconnect_timeout = 30", "delivery.connect_timeout", "a text in quotes"),
        ("[delivery]\nconnect_timeout = \"30\"", "delivery.connect_timeout", "no unit"),
        ("[delivery]\nbind_ipv4 = \"::1\"", "delivery.bind_ipv4", "family"),
        ("[delivery]\nallow_private = \"no\"", "delivery.allow_private", "`true` or `false`"),
        ("[queue]\nretry = []", "queue.retry", "wait between"),
        ("[queue]\nretry = [\"0s\"]", "queue.retry", "wait between"),
        ("[queue]\nexpire = \"0s\"", "queue.expire", "before the first"),
        ("[store]\nurl = \"db.example.com\"", "store.url", "begin it with `postgres://`"),
        (
            "[store]\nurl = \"postgres://puerto:secret@db.example.com/puerto\"",
            "store.url",
            "into a file of its own",
        ),
        (
            "[store]\nurl = \"postgres://db.example.com/puerto?password=secret\"",
            "store.url",
            "into a file of its own",
        ),
        ("[store]\npassword_file = \"/p\"", "store.password_file", "no database"),
        ("[store]\nnode = \"mail 1;x\"", "store.node", "no node's name"),
        ("[local]\nmailbox = \"mailbox\"", "local.mailbox", "not a kind"),
        ("[local]\nmailbox = \"lmtp:dovecot\"", "local.mailbox", "HOST:PORT"),
        ("[limits]\nmessage_size = -1", "limits.message_size", "negative"),
        ("[limits]\nmessage_size = 0", "limits.message_size", "would fit"),
        ("[limits]\nrecipients = 0", "limits.recipients", "between 1"),
        ("[route]\nto = \"a.example\"", "route", "form a list"),
        ("[[route]]\nvia = \"a.example\"", "route.to", "neither"),
        ("[[route]]\nto = \"u@a.example\"", "route.to", "by the recipient's domain"),
        (
            "[[route]]\nto = \"a.example\"\nuser = \"u\"",
            "route.user",
            "`route.password_file` is not",
        ),
        (
            "[delivery]\ntls = \"none\"\n[[route]]\nto = \"a.example\"\nvia = \"b.example\"\n\
             user = \"u\"\npassword_file = \"/p\"",
            "delivery.tls",
            "never sent without TLS",
        ),
        ("[[route]]\ntoo = \"a.example\"", "route.too", "unknown key"),
        ("smtp = []", "smtp", "unknown key"),
    ] {
        let errors = errors(text);
        let error = &errors.errors[0];
        assert_eq!(error.key.as_deref(), Some(key), "{text}: {errors}");
        assert!(error.message.to_string().contains(part), "{text}: {}", error.message);
        assert_ne!(error.message.of(Language::Spanish), error.message.to_string(), "{text}");
        assert!(
            error.accepted.as_ref().is_some_and(|accepted| {
                accepted.of(Language::Spanish) != accepted.to_string() || part == "unknown section"
            }),
            "{text}"
        );
        assert!(error.accepted.is_some(), "{text} says what is accepted");
    }
    assert_eq!(errors("smtp = []").errors[0].nearest.as_deref(), Some("listen.smtp"));
}

/// G3.
#[test]
fn a_misplaced_key_is_told_where_it_should_stand() {
    for (text, line, place) in [
        (
            "# a\n[listen]\nsmtp = []\n[tls]\nhostname = \"a.example\"\n",
            5,
            "above line 2 with the first header, `[listen]`",
        ),
        (
            "\n[[route]]\nto = \"a.example\"\nvia = \"b.example\"\nrelayhost = \"\"\n",
            5,
            "above line 2 with the first header, `[[route]]`",
        ),
        ("expire = \"5d\"\n[tls]\n[queue]\n", 1, "below the header `[queue]` in line 3"),
        ("[tls]\nport = 25\n", 2, "a header `[delivery]` at the end of the file"),
        (
            "run_dir = \"/x\"\ntrusted_networks = [\n\"[::1]\"]\n[dns]\ndomains = []\n",
            5,
            "above line 4 with the first header, `[dns]`",
        ),
    ] {
        let errors = errors(text);
        let error = errors.errors.iter().find(|error| error.message.to_string().contains(place));
        assert_eq!(error.map(|error| error.line), Some(line), "{text}: {errors}");
        let spanish = errors.render(false, Some(80), Language::Spanish);
        assert!(spanish.contains("muévala"), "{spanish}");
    }
}

#[test]
fn broken_toml_is_told_along_with_the_rest() {
    let errors = errors("hostname = \"a.example\nrelayhots = \"\"\n");
    assert!(errors.errors.len() >= 2, "{errors}");
    assert_eq!(errors.errors[0].line, 1);
    assert!(errors.errors[0].message.to_string().contains("not valid TOML"));
}

#[test]
fn only_the_default_file_may_be_missing() {
    let missing = Path::new("/nonexistent/puerto.toml");
    let errors = Config::load(Some(missing)).unwrap_err();
    assert!(errors.to_string().contains("/nonexistent/puerto.toml"));
}

#[test]
fn every_domain_of_the_tables_has_one_place() {
    let base = "hostname = \"mail.example.com\"\ndomains = [\"example.com\"]\n";
    for (text, told) in [
        ("[virtual]\ndomains = [\"Example.com\"]\n", "is in `domains`, too"),
        ("[virtual]\nmap = { \"a@example.org\" = \"ana\" }\n", "add `example.org` there"),
        ("[virtual]\nmap = { \"a@example.com\" = \"|cat\" }\n", "name an alias here"),
        ("[virtual]\nmap = { \"a@example.com\" = [] }\n", ""),
        ("relay_domains = [\"example.com\"]\n", "ends on this server"),
        ("relay_domains = [\"*.com\"]\n", "relay for strangers"),
        ("relay_domains = [\"*.co.uk\"]\n", "relay for strangers"),
        ("relay_domains = [\"*\"]\n", "is not a domain"),
        ("relay_recipients = [\"a@example.net\"]\n", "`example.net` is not in relay_domains"),
        ("relay_recipients = [\"ana\"]\n", "write the whole address"),
        ("[local]\nrecipient_delimiter = \"x\"\n", "cannot part them"),
        ("[local]\npostmaster = \"@example.net\"\n", "a user or an address"),
    ] {
        match Config::parse(&format!("{base}{text}"), "puerto.toml") {
            Err(errors) => assert!(errors.to_string().contains(told), "{told} in\n{errors}"),
            Ok(_) => assert!(told.is_empty(), "{text}"),
        }
    }
    let text = format!(
        "{base}relay_domains = [\"*.school.example\", \"example.net\"]\n\
         relay_recipients = [\"ana@a.school.example\", \"@example.net\", \"/etc/x\"]\n\
         [virtual]\ndomains = [\"example.org\"]\nfile = \"/etc/virtual\"\n\
         map = {{ \"a@example.org\" = [\"ana\", \"b@example.net\"], \"@example.org\" = \"@example.com\", root = \"ana\" }}\n"
    );
    let config = Config::parse(&text, "a").unwrap_or_else(|e| panic!("{e}"));
    let again = Config::parse(&config.to_toml(), "b").unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(again.to_toml(), config.to_toml());
    assert_eq!(again.virtual_addresses, config.virtual_addresses);
    assert_eq!(again.relay_recipients, config.relay_recipients);
}
