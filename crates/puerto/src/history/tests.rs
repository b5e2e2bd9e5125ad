//! What is heard is told again, whatever happens to the files meanwhile.

mod damage;

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use puerto_smtp::{Address, EnhancedCode, Recipient, ReversePath};
use puerto_spool::clock::ManualClock;
use puerto_spool::{Answer, Hindrance, Note};

use super::*;
use crate::cause::Cause;
use crate::telemetry::{
    Change, Client, Delays, Delivery, DeliveryStatus, Encryption, LocalOrigin, Prepared, Signature,
    Signing, Verified,
};

const NOON: Timestamp = Timestamp::from_millis(1_795_521_600_000);

struct Bench {
    folder: tempfile::TempDir,
    config: Config,
    clock: Arc<ManualClock>,
    said: Arc<Mutex<Vec<String>>>,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = Config::for_tests(folder.path());
        let clock = Arc::new(ManualClock::new(NOON));
        Self { folder, config, clock, said: Arc::default() }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("history")
    }

    fn log(&self) -> MailLog {
        let said = Arc::clone(&self.said);
        MailLog::new(move |event| {
            if let Event::Notice { text, .. } = event {
                said.lock().unwrap().push((*text).to_owned());
            }
        })
    }

    fn open(&self) -> History {
        let clock: Arc<dyn Clock> = self.clock.clone();
        History::in_folder(&self.path(), &self.config, clock, &self.log()).unwrap()
    }

    fn said(&self) -> Vec<String> {
        self.said.lock().unwrap().clone()
    }
}

fn id(number: u64) -> MessageId {
    MessageId::from_u64(0xABC_DEF0_0000 + number)
}

fn address(text: &str) -> Address {
    Address::parse(text).unwrap()
}

fn accept(history: &History, id: MessageId, message_id: &str, from: &str, to: &[&str]) {
    let from = ReversePath::parse(&format!("<{from}>")).unwrap();
    let recipients: Vec<_> = to.iter().map(|to| Recipient::new(address(to))).collect();
    let mut origin = LocalOrigin::default();
    origin.process.pid = Some(4711);
    origin.process.unit = Some("cron.service".into());
    history.hear(&Event::FromLocalUser { id, uid: 1000, origin: &origin, from: &from });
    let signature =
        Signature { domain: "example.com".into(), selector: "s1".into(), algorithm: "rsa-sha256" };
    history.hear(&Event::Prepared(Prepared {
        id,
        message_id,
        from: &from,
        recipients: &recipients,
        changes: &[Change::Added("Date".into()), Change::Nuls(2), Change::LineEnds],
        signing: &Signing::With(vec![signature]),
    }));
    history.hear(&Event::Queued { id, from: &from, size: 1234, recipients: to.len() });
}

fn defer(history: &History, id: MessageId, to: &str) {
    let to = address(to);
    let host = "mx.example.net[192.0.2.1]".to_owned();
    let cause = Cause::NoTls { host };
    let tls = Encryption {
        version: "TLSv1.3",
        cipher: "TLS_AES_256_GCM_SHA384".into(),
        verified: Verified::Certificate,
    };
    history.hear(&Event::Delivery(Delivery {
        id,
        component: "smtp",
        to: &to,
        relay: "mx.example.net[192.0.2.1]:25",
        delay: Duration::from_millis(1500),
        delays: Delays { connection: Duration::from_millis(700), ..Delays::default() },
        status_code: EnhancedCode::new(4, 7, 4),
        status: DeliveryStatus::Deferred,
        text: &cause.text(),
        cause: &cause,
        code: None,
        next: Some(NOON.after(Duration::from_secs(300))),
        tls: Some(&tls),
        tls_reason: Some(&Cause::DaneMatched { record: "3 1 1".to_owned() }),
        explanation: None,
    }));
}

fn names(told: &[Happened]) -> Vec<String> {
    let name = |happened: &Happened| {
        serde_json::to_value(happened).unwrap()["event"].as_str().unwrap().to_owned()
    };
    told.iter().map(name).collect()
}

#[test]
fn a_message_is_told_as_it_was_heard_and_found_by_all_its_names() {
    let bench = Bench::new();
    let history = bench.open();
    accept(&history, id(1), "<One@Host>", "Ana@Example.com", &["you@example.net", "b@example.org"]);
    defer(&history, id(1), "you@example.net");
    let client = Client { name: Some("mx".into()), address: "192.0.2.9".parse().ok() };
    history.hear(&Event::FromClient {
        id: id(2),
        client: &client,
        tls: Some("TLSv1.3 with cipher X"),
        login: Some("ana"),
        helo: "laptop",
        protocol: "ESMTPSA",
    });
    history.hear(&Event::Notification { id: id(1), kind: "notice", notification: id(3) });
    history.hear(&Event::Expired { id: id(1), from: &ReversePath::Null });
    let (level, component) = ("info", "qmgr");
    history.hear(&Event::Notice { level, component, id: Some(id(1)), text: "by hand" });
    let cause = Cause::HeldByHand { uid: 7 };
    history.hear(&Event::Remark { level, component, id: id(1), cause: &cause });
    history.hear(&Event::Notice { level, component, id: None, text: "of the server" });
    history.hear(&Event::Removed { id: id(1) });
    let check = |history: &History| {
        let told = history.of(id(1)).unwrap();
        let all = ["from_local_user", "message_id", "queued", "delivery", "notification"];
        assert_eq!(names(&told)[..5], all);
        assert_eq!(names(&told)[5..], ["expired", "notice", "notice", "removed"]);
        assert_eq!(told[0].at, "2026-11-24T12:00:00Z");
        let text = serde_json::to_value(&told).unwrap();
        assert_eq!(text[0]["uid"], 1000);
        assert_eq!((&text[0]["pid"], &text[0]["unit"]), (&4711.into(), &"cron.service".into()));
        assert_eq!(text[1]["message_id"], "<One@Host>");
        assert_eq!(text[1]["signed"][0]["selector"], "s1");
        assert_eq!(text[1]["changes"][1], serde_json::json!({"what": "nuls", "of": "2"}));
        assert_eq!(text[1]["to"][1], "b@example.org");
        assert_eq!(text[2]["size"], 1234);
        let tried = &text[3];
        assert_eq!(tried["tls_cipher"], "TLS_AES_256_GCM_SHA384");
        assert_eq!(tried["tls_verified"], "certificate");
        assert_eq!(tried["tls_reason"]["transport.dane-matched"]["record"], "3 1 1");
        assert_eq!(tried["next_attempt"], "2026-11-24T12:05:00Z");
        assert_eq!((&tried["delay"], &tried["delay_connection"]), (&1.5.into(), &0.7.into()));
        // What was noted by an older version has words alone.
        assert_eq!((&text[6]["text"], text[6].get("cause")), (&"by hand".into(), None));
        assert_eq!(text[7]["text"], *cause.text());
        assert_eq!(text[7]["cause"]["by-hand.held"]["uid"], 7);
        let Fact::Delivery(tried) = &told[3].fact else { panic!("{told:?}") };
        assert!(matches!(tried.cause(), Cause::NoTls { .. }), "{tried:?}");
        assert_eq!(tried.text, tried.cause().text());
        assert_eq!(names(&history.of(id(3)).unwrap()), ["notification_of"]);
        let of_client = serde_json::to_value(history.of(id(2)).unwrap()).unwrap();
        assert_eq!(of_client[0]["login"], "ana");
        assert_eq!(of_client[0]["client_address"], "192.0.2.9");
        for key in [
            Key::MessageId("<One@Host>"),
            Key::MessageId("one@host"),
            Key::Address("ana@example.com"),
            Key::Address("B@EXAMPLE.org"),
        ] {
            assert_eq!(history.find(key, 10).unwrap(), [id(1)], "{key:?}");
        }
        assert!(history.find(Key::Address("one@host"), 10).unwrap().is_empty());
        assert!(history.of(id(9)).unwrap().is_empty());
        assert_eq!(history.since().unwrap(), Some(NOON));
    };
    check(&history);
    drop(history);
    check(&bench.open());
    let files = std::fs::read_dir(bench.path()).unwrap().map(|entry| entry.unwrap());
    for file in files {
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o027, 0, "{file:?}");
    }
    assert_eq!(bench.said(), Vec::<String>::new());
}

fn note(number: u64, at: Timestamp) -> Note {
    Note { id: id(number), at, keys: vec![7, number << 8], octets: vec![1; 500] }
}

fn keep(files: &Files, numbers: std::ops::Range<u64>) {
    for number in numbers {
        files.keep(vec![note(number, NOON)]).wait().unwrap();
    }
}

fn files(bench: &Bench) -> Files {
    Files::new(&bench.path(), bench.log())
}

fn volumes(bench: &Bench) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(bench.path()).unwrap();
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|end| end == "history"));
    paths.sort();
    paths
}

#[test]
fn what_is_in_several_files_is_found_and_the_oldest_goes_first() {
    let bench = Bench::new();
    let archive = files(&bench);
    archive.purge(NOON, 2 << 20).wait().unwrap();
    keep(&archive, 0..1000);
    assert!(volumes(&bench).len() > 5, "{:?}", volumes(&bench));
    let check = |archive: &Files| {
        for number in [0, 1, 499, 998, 999] {
            assert_eq!(archive.notes(id(number)).wait().unwrap(), [note(number, NOON)]);
            assert_eq!(archive.under(number << 8, 9).wait().unwrap().first(), Some(&id(number)));
        }
        let newest = [999, 998, 997].map(id);
        assert_eq!(archive.under(7, 3).wait().unwrap(), newest);
        assert_eq!(archive.under(7, 2000).wait().unwrap().len(), 1000);
        let last = archive.newest(2).wait().unwrap();
        assert_eq!(last.iter().map(|note| note.id).collect::<Vec<_>>(), newest[..2]);
        assert!(archive.under(8, 9).wait().unwrap().is_empty());
    };
    check(&archive);
    drop(archive);
    // An index that is missing is made anew.
    std::fs::remove_file(volumes(&bench)[2].with_extension("index")).unwrap();
    let archive = files(&bench);
    check(&archive);
    archive.purge(NOON, 300 << 10).wait().unwrap();
    assert!(archive.notes(id(0)).wait().unwrap().is_empty());
    assert_eq!(archive.notes(id(999)).wait().unwrap().len(), 1);
    let octets: u64 = volumes(&bench).iter().map(|file| file.metadata().unwrap().len()).sum();
    assert!(octets <= 300 << 10, "{octets}");
    archive.purge(Timestamp::from_millis(i64::MAX), 0).wait().unwrap();
    assert_eq!(std::fs::read_dir(bench.path()).unwrap().count(), 0);
    assert_eq!(archive.since().wait().unwrap(), None);
}

#[test]
fn what_is_too_old_goes_with_its_file() {
    let bench = Bench::new();
    let archive = files(&bench);
    archive.keep(vec![note(1, NOON)]).wait().unwrap();
    let later = NOON.after(Duration::from_secs(100_000));
    archive.keep(vec![note(2, later)]).wait().unwrap();
    assert_eq!(volumes(&bench).len(), 2);
    archive.purge(NOON.after(Duration::from_secs(1)), u64::MAX).wait().unwrap();
    assert!(archive.notes(id(1)).wait().unwrap().is_empty());
    assert_eq!(archive.notes(id(2)).wait().unwrap().len(), 1);
    assert_eq!(archive.since().wait().unwrap(), Some(later));
}

#[test]
fn a_full_disk_stops_the_history_and_the_log_says_so_once() {
    let bench = Bench::new();
    let free = Arc::new(AtomicU64::new(1 << 20));
    let seen = Arc::clone(&free);
    let archive = files(&bench).with_space(move |_| Ok((seen.load(Ordering::Relaxed), 1 << 40)));
    let clock: Arc<dyn Clock> = bench.clock.clone();
    let history =
        History::start(Arc::new(archive), None, &bench.config, clock, &bench.log()).unwrap();
    for number in 0..3 {
        history.hear(&Event::Removed { id: id(number) });
        assert!(history.of(id(number)).unwrap().is_empty());
    }
    assert_eq!(bench.said().len(), 1, "{:?}", bench.said());
    assert!(bench.said()[0].starts_with("the history has stopped, mail has not"));
    free.store(1 << 30, Ordering::Relaxed);
    bench.clock.advance(Duration::from_secs(61));
    history.hear(&Event::Removed { id: id(5) });
    assert_eq!(history.of(id(5)).unwrap().len(), 1);
    let said = bench.said();
    assert_eq!(said[1..], ["the history goes on; events that are missing from it: 3"]);
}

/// An archive that cannot be reached for a while.
struct Away {
    files: Files,
    away: Arc<AtomicBool>,
}

impl Away {
    fn asked<T>(&self, answer: impl FnOnce(&Files) -> Answer<T>) -> Answer<T> {
        match self.away.load(Ordering::Relaxed) {
            true => Answer::ready(Err(SpoolError::ReadOnly(Hindrance::Closed))),
            false => answer(&self.files),
        }
    }
}

impl Archive for Away {
    fn keep(&self, notes: Vec<Note>) -> Answer<()> {
        self.asked(|files| files.keep(notes))
    }
    fn notes(&self, id: MessageId) -> Answer<Vec<Note>> {
        self.asked(|files| files.notes(id))
    }
    fn under(&self, key: u64, limit: usize) -> Answer<Vec<MessageId>> {
        self.asked(|files| files.under(key, limit))
    }
    fn behind(&self, place: u64) -> Answer<Option<(Vec<Note>, u64)>> {
        self.asked(|files| files.behind(place))
    }
    fn newest(&self, limit: usize) -> Answer<Vec<Note>> {
        self.asked(|files| files.newest(limit))
    }
    fn purge(&self, before: Timestamp, octets: u64) -> Answer<()> {
        self.asked(|files| files.purge(before, octets))
    }
    fn clear(&self) -> Answer<Vec<String>> {
        self.asked(Files::clear)
    }
    fn forget(&self, ids: &[MessageId]) -> Answer<u64> {
        self.asked(|files| files.forget(ids))
    }
    fn since(&self) -> Answer<Option<Timestamp>> {
        self.asked(Files::since)
    }
}

fn away(bench: &Bench) -> (History, Arc<AtomicBool>) {
    let away = Arc::new(AtomicBool::new(true));
    let archive = Away { files: files(bench), away: Arc::clone(&away) };
    let clock: Arc<dyn Clock> = bench.clock.clone();
    let (archive, node) = (Arc::new(archive), Some("mail1".to_owned()));
    (History::start(archive, node, &bench.config, clock, &bench.log()).unwrap(), away)
}

#[test]
fn what_happens_while_the_database_is_away_is_told_when_it_is_back() {
    let bench = Bench::new();
    let (history, away) = away(&bench);
    for number in 0..3 {
        history.hear(&Event::Removed { id: id(number) });
        // Whoever asks is told so at once.
        assert!(history.of(id(number)).is_err());
    }
    away.store(false, Ordering::Relaxed);
    history.hear(&Event::Removed { id: id(1) });
    for (number, expected) in [(0, 1), (1, 1), (2, 1)] {
        let told = history.of(id(number)).unwrap();
        // What is said twice of one moment happened once.
        assert_eq!(told.len(), expected, "{number}: {told:?}");
        assert_eq!(told[0].node.as_deref(), Some("mail1"));
    }
    history.close();
    let said = bench.said();
    assert_eq!(said.len(), 2, "{said:?}");
    assert_eq!(said[1], "the history goes on; events that are missing from it: 0");
}

#[test]
fn a_database_that_answers_now_and_then_is_told_of_once() {
    let bench = Bench::new();
    let (history, away) = away(&bench);
    let mut heard = 0;
    let mut hear = |is_away: bool, span: u64| {
        away.store(is_away, Ordering::Relaxed);
        bench.clock.advance(Duration::from_secs(span));
        heard += 1;
        history.hear(&Event::Removed { id: id(heard) });
        let _ = history.of(id(heard));
    };
    for _ in 0..5 {
        hear(true, 10);
        hear(false, 10);
    }
    assert_eq!(bench.said().len(), 1, "{:?}", bench.said());
    // When it has answered for a while, that is told, and what comes then is another trouble.
    hear(false, 61);
    assert_eq!(bench.said().len(), 2, "{:?}", bench.said());
    hear(true, 1);
    hear(false, 1);
    assert_eq!(bench.said().len(), 3, "{:?}", bench.said());
    history.close();
    assert_eq!(bench.said().len(), 4, "whoever reads the log knows how it ended");
}

#[test]
fn an_end_forgets_nothing_however_long_nothing_has_happened() {
    let bench = Bench::new();
    for number in 0..30 {
        let history = bench.open();
        history.hear(&Event::Removed { id: id(number) });
        assert_eq!(history.of(id(number)).unwrap().len(), 1);
        // What is too old was looked for before; it is not the end that removes it.
        bench.clock.advance(Duration::from_secs(90));
        history.close();
    }
    let history = bench.open();
    for number in 0..30 {
        assert_eq!(history.of(id(number)).unwrap().len(), 1, "{number}");
    }
}

#[test]
fn a_clock_that_is_wrong_for_the_first_moments_costs_nothing() {
    let bench = Bench::new();
    let history = bench.open();
    history.hear(&Event::Removed { id: id(1) });
    history.close();
    // As of a machine that learns the time from others soon after its start.
    bench.clock.set(NOON.after(Duration::from_secs(400 * 86_400)));
    let history = bench.open();
    assert_eq!(history.of(id(1)).unwrap().len(), 1);
    bench.clock.set(NOON);
    bench.clock.advance(Duration::from_secs(61));
    history.hear(&Event::Removed { id: id(2) });
    history.close();
    assert_eq!(bench.open().of(id(1)).unwrap().len(), 1);
}

#[test]
fn files_that_come_after_the_first_look_are_never_written_over() {
    let bench = Bench::new();
    keep(&files(&bench), 0..3);
    let elsewhere = bench.folder.path().join("not-mounted-yet");
    std::fs::rename(bench.path(), &elsewhere).unwrap();
    let archive = files(&bench);
    assert_eq!(archive.since().wait().unwrap(), None);
    std::fs::rename(&elsewhere, bench.path()).unwrap();
    keep(&archive, 3..4);
    for archive in [archive, files(&bench)] {
        for number in 0..4 {
            assert_eq!(archive.notes(id(number)).wait().unwrap().len(), 1, "{number}");
        }
    }
}

#[test]
fn a_database_that_stays_away_costs_memory_within_bounds_and_holds_up_no_end() {
    let bench = Bench::new();
    let (history, _) = away(&bench);
    let text = "x".repeat(60_000);
    let (level, component) = ("info", "qmgr");
    for number in 0..400 {
        history.hear(&Event::Notice { level, component, id: Some(id(number)), text: &text });
    }
    assert!(history.recorder.waiting() <= 8 << 20);
    history.close();
}

#[test]
fn files_from_before_the_nodes_shared_their_history_are_told_and_forgotten_too() {
    let bench = Bench::new();
    let history = bench.open();
    accept(&history, id(1), "<1@x>", "a@example.com", &["b@example.com"]);
    history.close();
    let other = Bench::new();
    let clock: Arc<dyn Clock> = bench.clock.clone();
    let (shared, log) = (Arc::new(files(&other)), bench.log());
    let history = History::shared(shared, &bench.path(), &bench.config, clock, &log).unwrap();
    history.hear(&Event::Removed { id: id(1) });
    assert_eq!(names(&history.of(id(1)).unwrap())[2..], ["queued", "removed"]);
    assert_eq!(volumes(&other).len(), 1);
    assert_eq!(history.find(Key::MessageId("<1@x>"), 9).unwrap(), [id(1)]);
    assert_eq!(history.recent_names(9).unwrap().len(), 3);
    assert_eq!(history.since().unwrap(), Some(NOON));
    assert_eq!(history.forget(&[id(1)]).unwrap(), 1);
    assert!(history.of(id(1)).unwrap().is_empty());
}

#[test]
fn a_history_moves_whole_to_another_archive_and_is_told_once_where_that_was_broken_off() {
    let (here, there) = (Bench::new(), Bench::new());
    let history = here.open();
    accept(&history, id(1), "<1@x>", "a@example.com", &["b@example.com"]);
    defer(&history, id(1), "b@example.com");
    let told = history.of(id(1)).unwrap();
    history.close();
    let from = files(&here);
    from.purge(NOON, 2 << 20).wait().unwrap();
    keep(&from, 2..1500);
    assert!(volumes(&here).len() > 5);
    let to = files(&there);
    // As a run that was cut off has left it.
    let (some, _) = from.behind(0).wait().unwrap().unwrap();
    assert!(some.len() > 1);
    to.keep(some).wait().unwrap();
    let mut heard = 0;
    let Moved { notes: moved, stay } = transfer(&from, &to, |moved| heard = moved).unwrap();
    assert!(stay.is_empty(), "{stay:?}");
    // What was heard of the first message was noted in one piece or in several.
    assert!(moved == heard && (1499..1505).contains(&moved), "{moved} {heard}");
    assert_eq!(volumes(&here), Vec::<PathBuf>::new());
    assert_eq!(to.notes(id(1400)).wait().unwrap(), [note(1400, NOON)]);
    assert_eq!(to.under(1400 << 8, 9).wait().unwrap(), [id(1400)]);
    drop(to);
    let history = there.open();
    assert_eq!(history.of(id(1)).unwrap(), told);
    assert_eq!(history.find(Key::MessageId("<1@x>"), 9).unwrap(), [id(1)]);
    let nothing = Moved { notes: 0, stay: Vec::new() };
    assert_eq!(transfer(&files(&here), &files(&there), |_| {}), Ok(nothing));
}

#[test]
fn what_two_archives_hold_is_read_one_behind_the_other() {
    let (here, there) = (Bench::new(), Bench::new());
    let (first, before) = (files(&here), files(&there));
    keep(&before, 0..2);
    keep(&first, 2..4);
    let both = joined::Joined { first: Arc::new(first), before: Arc::new(before) };
    let (mut place, mut read) = (0, Vec::new());
    while let Some((notes, behind)) = both.behind(place).wait().unwrap() {
        read.extend(notes.into_iter().map(|note| note.id));
        place = behind;
    }
    assert_eq!(read, [0, 1, 2, 3].map(id));
}

#[test]
fn a_history_that_is_switched_off_keeps_nothing_and_removes_what_there_is() {
    let mut bench = Bench::new();
    let history = bench.open();
    accept(&history, id(1), "<1@x>", "a@example.com", &["b@example.com"]);
    assert_eq!(history.of(id(1)).unwrap().len(), 3);
    bench.config.history.keep = Duration::ZERO;
    history.reload(&bench.config);
    assert!(!history.is_on());
    history.hear(&Event::Removed { id: id(1) });
    history.close();
    assert_eq!(volumes(&bench), Vec::<PathBuf>::new());
    let history = bench.open();
    history.hear(&Event::Removed { id: id(1) });
    assert!(history.of(id(1)).unwrap().is_empty());
}

#[test]
fn what_is_to_be_forgotten_is_gone_and_all_else_stays() {
    let bench = Bench::new();
    let history = bench.open();
    accept(&history, id(1), "<1@x>", "a@example.com", &["b@example.com"]);
    accept(&history, id(2), "<2@x>", "c@example.com", &["d@example.com"]);
    let ids = history.find(Key::Address("b@example.com"), 9).unwrap();
    assert_eq!(history.forget(&ids).unwrap(), 1);
    let check = |history: &History| {
        assert!(history.of(id(1)).unwrap().is_empty());
        assert!(history.find(Key::MessageId("<1@x>"), 9).unwrap().is_empty());
        assert_eq!(history.of(id(2)).unwrap().len(), 3);
        assert_eq!(history.find(Key::Address("c@example.com"), 9).unwrap(), [id(2)]);
    };
    check(&history);
    let octets = volumes(&bench).into_iter().flat_map(|file| std::fs::read(file).unwrap());
    let text = String::from_utf8_lossy(&octets.collect::<Vec<_>>()).into_owned();
    assert!(text.contains("d@example.com") && !text.contains("b@example.com"));
    history.close();
    check(&bench.open());
}

#[test]
fn many_threads_lose_nothing() {
    let bench = Bench::new();
    let history = bench.open();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let history = &history;
            scope.spawn(move || {
                for number in 0..500 {
                    history.hear(&Event::Removed { id: id(thread * 1000 + number) });
                }
            });
        }
    });
    for (thread, number) in [(0, 0), (3, 499), (2, 250)] {
        assert_eq!(history.of(id(thread * 1000 + number)).unwrap().len(), 1);
    }
}
