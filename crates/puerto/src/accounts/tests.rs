//! What the accounts promise.

use std::os::unix::fs::PermissionsExt as _;

use puerto_spool::clock::ManualClock;

use super::*;

const HOME: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
const TODAY: Date = jiff::civil::date(2026, 11, 29);

struct House {
    accounts: Arc<Accounts>,
    config: Config,
    clock: Arc<ManualClock>,
    _directory: tempfile::TempDir,
}

fn house(change: impl FnOnce(&mut Book)) -> House {
    let directory = tempfile::tempdir().unwrap();
    let config = Config::for_tests(directory.path());
    std::fs::create_dir_all(&config.state_dir).unwrap();
    let mut book = Book::default();
    change(&mut book);
    book.save(&config.accounts.file, |_| Ok(())).unwrap();
    // 29 November 2026, 12:00 UTC.
    let clock = Arc::new(ManualClock::new(Timestamp::from_millis(1_795_953_600_000)));
    let accounts = Accounts::new(Live::new(config.clone()), Arc::clone(&clock) as Arc<dyn Clock>);
    House { accounts, config, clock, _directory: directory }
}

fn with_ana(book: &mut Book) {
    let ana = book.add("Ana", &[]).unwrap();
    ana.set_password("", b"correct horse", (TODAY, None)).unwrap();
    ana.set_password("phone", b"abcde-fghij", (TODAY, Some(TODAY))).unwrap();
}

impl House {
    /// Long after whatever was before it.
    async fn log_in(&self, user: &str, password: &str) -> Verdict {
        *self.accounts.pace() = Pace::default();
        let claim = Claim { user: user.to_owned(), password: password.into() };
        unmarked(self.accounts.by_password(HOME, claim).await)
    }
}

/// By which password it was is for [`Accounts::again`].
fn unmarked(verdict: Verdict) -> Verdict {
    match verdict {
        Verdict::Known(login) => Verdict::Known(Login { by: None, ..login }),
        other => other,
    }
}

fn known(account: &str, application: &str) -> Verdict {
    Verdict::Known(Login {
        account: account.to_owned(),
        application: application.to_owned(),
        addresses: Vec::new(),
        by: None,
    })
}

fn refused(account: Option<&str>, why: Why) -> Verdict {
    Verdict::Refused { account: account.map(str::to_owned), why }
}

#[tokio::test]
async fn each_password_of_an_account_lets_in_as_long_as_it_holds() {
    let house = house(with_ana);
    for user in ["ana", "ANA", "ana@example.com", "Ana@Example.COM"] {
        assert_eq!(house.log_in(user, "correct horse").await, known("ana", ""), "{user}");
    }
    assert_eq!(house.log_in("ana", "abcde-fghij").await, known("ana", "phone"));
    for (user, password) in [("ana", "correct horse "), ("ana", "Correct horse"), ("ana", "x")] {
        let verdict = house.log_in(user, password).await;
        assert_eq!(verdict, refused(Some("ana"), Why::WrongPassword), "{password}");
    }
    for user in ["ana@elsewhere.example", "ann", "ana@", "@example.com", "root"] {
        let verdict = house.log_in(user, "correct horse").await;
        assert_eq!(verdict, refused(None, Why::NoSuchAccount), "{user}");
    }
    // Its last day ends at midnight in UTC.
    house.clock.advance(Duration::from_secs(12 * 3600));
    let ended = Why::Ended { application: "phone".to_owned() };
    assert_eq!(house.log_in("ana", "abcde-fghij").await, refused(Some("ana"), ended));
    assert_eq!(house.log_in("ana", "correct horse").await, known("ana", ""));
    let uses = Uses::of(&house.config);
    let mut book = Book::load(&house.config.accounts.file).unwrap();
    let last = |book: &Book| -> Vec<(String, Option<i64>)> {
        let passwords = book.accounts().iter().flat_map(|ana| &ana.passwords);
        let last = |password| uses.last("ana", password).map(Timestamp::as_millis);
        passwords.map(|password| (password.application.clone(), last(password))).collect()
    };
    let phone = ("phone".to_owned(), Some(1_795_953_600_000));
    let own = (String::new(), Some(1_795_953_600_000 + 12 * 3_600_000));
    assert!(last(&book).contains(&phone) && last(&book).contains(&own), "{:?}", last(&book));
    // Another password of the same application has not been used.
    let ana = book.get_mut("ana", &[]).unwrap();
    ana.set_password("phone", b"fghij-abcde", (TODAY, None)).unwrap();
    assert!(last(&book).contains(&("phone".to_owned(), None)), "{:?}", last(&book));
    assert!(last(&book).contains(&own));
}

#[tokio::test]
async fn the_book_is_read_again_when_it_has_changed_and_kept_from_others() {
    let house = house(with_ana);
    let path = &house.config.accounts.file;
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let text = std::fs::read_to_string(path).unwrap();
    assert!(!text.contains("horse") && !text.contains("abcde"), "{text}");
    let mut book = Book::load(path).unwrap();
    let ours = [Domain::parse("example.com").unwrap(), Domain::parse("example.org").unwrap()];
    for name in [
        "a b",
        "",
        "a:b",
        "a@b@c",
        "ana@",
        "@example.com",
        "a,b",
        "Ana <a@b.example>",
        "-x",
        "a*b",
        "a?b",
    ] {
        assert!(matches!(book.add(name, &ours), Err(NotAdded::NoName)), "{name}");
    }
    // Whoever logs in by two names must not be two.
    book.add("info@example.com", &ours).unwrap();
    book.add("jos\u{e9}", &ours).unwrap();
    for (name, known) in [
        ("Jose\u{301}", "jos\u{e9}"),
        ("ana", "ana"),
        ("ANA@Example.com", "ana"),
        ("ana@example.org", "ana"),
        ("info", "info@example.com"),
    ] {
        let refused = book.add(name, &ours);
        assert!(matches!(refused, Err(NotAdded::Exists(same)) if same == known), "{name}");
    }
    book.add("ana@elsewhere.example", &ours).unwrap();
    book.add("info@example.org", &ours).unwrap();
    assert_eq!(book.doubles(&ours), []);
    let more = [&ours[..], &[Domain::parse("elsewhere.example").unwrap()]].concat();
    assert_eq!(book.doubles(&more), [("ana@elsewhere.example", "ana")]);
    for more in ["ana@elsewhere.example", "info@example.com", "info@example.org", "jose\u{301}"] {
        assert!(book.remove(more, &ours), "{more}");
    }
    assert!(book.get_mut("ana@example.org", &ours).is_some());
    assert!(book.get_mut("ana", &[]).unwrap().remove_password("phone"));
    assert!(book.add("bea", &[]).unwrap().set_password("", b"other", (TODAY, None)).is_ok());
    book.save(path, |_| Ok(())).unwrap();
    assert_eq!(house.log_in("bea", "other").await, known("bea", ""));
    let gone = refused(Some("ana"), Why::WrongPassword);
    assert_eq!(house.log_in("ana", "abcde-fghij").await, gone);
    let open = std::fs::Permissions::from_mode(0o644);
    std::fs::set_permissions(path, open).unwrap();
    book.save(path, |file| file.set_permissions(std::fs::Permissions::from_mode(0o644))).unwrap();
    let verdict = house.log_in("bea", "other").await;
    assert!(matches!(&verdict, Verdict::Unavailable(why) if why.contains("chmod")), "{verdict:?}");
    std::fs::remove_file(path).unwrap();
    assert_eq!(house.log_in("bea", "other").await, refused(None, Why::NoSuchAccount));
}

#[tokio::test]
async fn a_broken_book_lets_nobody_in_and_shows_nothing_of_itself() {
    let house = house(with_ana);
    let path = &house.config.accounts.file;
    let text = std::fs::read_to_string(path).unwrap();
    for broken in [
        text.replacen("hash = \"", "hash = \"!", 1),
        text.replacen("made = \"2026", "made = \"x026", 1),
        text.replacen("memory = ", "colour = ", 1),
        text.replacen("[[account]]", "[[account", 1),
    ] {
        std::fs::write(path, &broken).unwrap();
        let error = Book::load(path).unwrap_err();
        let (english, spanish) =
            (error.to_string(), error.said().of(crate::lang::Language::Spanish));
        assert!(english.contains("line "), "{english}");
        assert_ne!(english, spanish);
        let secret = broken.lines().find(|line| line.contains("hash")).unwrap();
        assert!(!english.contains(secret), "{english}");
    }
}

#[tokio::test]
async fn who_does_not_exist_is_asked_the_same_every_time_as_if_they_did() {
    let house = house(with_ana);
    let ask = async |user: &str| house.accounts.parameters(HOME, user.to_owned()).await.unwrap();
    let ana = ask("ana").await;
    assert_eq!((ana.salt.len(), ana.iterations), (keys::SALT, keys::ITERATIONS));
    assert_eq!(ask("ANA@example.com").await, ana);
    let nobody = ask("nobody").await;
    assert_eq!((nobody.salt.len(), nobody.iterations), (ana.salt.len(), ana.iterations));
    assert_eq!(ask("Nobody").await, nobody);
    assert_ne!(ask("nobody2").await.salt, nobody.salt);
    // The same after a restart, and after a change.
    let again = Accounts::new(Live::new(house.config.clone()), house.clock.clone());
    assert_eq!(again.parameters(HOME, "nobody".to_owned()).await.unwrap(), nobody);
}

/// One Argon2id for each attempt: for one password, for ten, and for none.
#[test]
fn the_time_an_answer_takes_does_not_tell_who_exists() {
    let house = house(|book| {
        book.add("one", &[]).unwrap().set_password("", b"password", (TODAY, None)).unwrap();
        let many = book.add("many", &[]).unwrap();
        for number in 0..10 {
            many.set_password(&number.to_string(), b"password", (TODAY, None)).unwrap();
        }
        book.add("none", &[]).unwrap();
    });
    for user in ["one", "many", "none", "nobody"] {
        let before = keys::tests::COMPUTED.get();
        let claim = Claim { user: user.to_owned(), password: b"wrong".to_vec() };
        assert!(matches!(house.accounts.judge(&claim), Verdict::Refused { .. }), "{user}");
        assert_eq!(keys::tests::COMPUTED.get() - before, 1, "{user}");
    }
}

#[tokio::test]
async fn a_flood_of_logins_waits_its_turn() {
    let house = house(with_ana);
    let all = house.accounts.workers.available_permits();
    let held = Arc::clone(&house.accounts.workers).acquire_many_owned(all as u32).await.unwrap();
    tokio::time::pause();
    let verdict = house.log_in("ana", "correct horse").await;
    assert!(
        matches!(&verdict, Verdict::Unavailable(why) if why.contains("too many")),
        "{verdict:?}"
    );
    tokio::time::resume();
    drop(held);
    assert_eq!(house.log_in("ana", "correct horse").await, known("ana", ""));
}

#[test]
fn made_passwords_are_of_four_groups_and_never_the_same() {
    let made: Vec<String> = (0..100).map(|_| new_password().unwrap()).collect();
    for password in &made {
        let groups: Vec<usize> = password.split('-').map(str::len).collect();
        assert_eq!(groups, [5, 5, 5, 5], "{password}");
        assert_eq!(made.iter().filter(|other| *other == password).count(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn guessing_is_slowed_then_stopped_and_costs_nothing_then() {
    let house = house(with_ana);
    let guess = async |from: &str, user: &str| {
        let claim = Claim { user: user.to_owned(), password: b"guess".to_vec() };
        let begun = tokio::time::Instant::now();
        let verdict = house.accounts.by_password(from.parse().unwrap(), claim).await;
        (begun.elapsed().as_secs(), verdict)
    };
    let mut waits = 0;
    for number in 0..10 {
        // By every name that it has.
        let user = ["ana", "Ana@example.com"][number % 2];
        let (wait, verdict) = guess("198.51.100.7", user).await;
        assert_eq!(verdict, refused(Some("ana"), Why::WrongPassword));
        waits += wait;
    }
    assert!(waits >= 39, "{waits}");
    for user in ["ana", "bea"] {
        let (wait, verdict) = guess("198.51.100.7", user).await;
        assert_eq!((wait, verdict), (0, Verdict::SentAway(TooMany::Client)));
    }
    // Others are not, and the owner is let in.
    let (_, verdict) = guess("198.51.100.8", "ana").await;
    assert_eq!(verdict, refused(Some("ana"), Why::WrongPassword));
    let claim = Claim { user: "ana".to_owned(), password: b"correct horse".to_vec() };
    assert_eq!(unmarked(house.accounts.by_password(HOME, claim).await), known("ana", ""));
    // What nobody could judge was no guess.
    std::fs::write(&house.config.accounts.file, "[[account").unwrap();
    for _ in 0..20 {
        let (_, verdict) = guess("203.0.113.1", "ana").await;
        assert!(matches!(verdict, Verdict::Unavailable(_)));
    }
}

#[test]
fn who_logs_in_may_say_of_themselves_in_any_spelling_whom_they_act_for() {
    let house = house(with_ana);
    let are_one = |one: &str, other: &str| house.accounts.are_one(one, other);
    for same in ["ana", "ANA", "ana@example.com", "Ana@Example.com"] {
        assert!(are_one(same, "ana") && are_one("ana", same), "{same}");
    }
    for other in ["bea", "ana@elsewhere.example", "root", "", "@example.com"] {
        assert!(!are_one(other, "ana") && !are_one("ana", other), "{other}");
    }
    // What Dovecot makes of names is not known here.
    let mut config = house.config.clone();
    config.accounts.dovecot = Some("/run/dovecot/auth".into());
    let accounts = Accounts::new(Live::new(config), house.clock.clone());
    assert!(accounts.are_one("Ana", "ana") && !accounts.are_one("ana@example.com", "ana"));
}
