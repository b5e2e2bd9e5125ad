//! Policies that are announced, fetched, kept and lost, by a clock that is set by hand.

use std::os::unix::fs::PermissionsExt as _;
use std::sync::atomic::{AtomicUsize, Ordering};

use puerto_mail::dns::Table;
use puerto_spool::Timestamp;
use puerto_spool::clock::ManualClock;

use super::*;

const DAY: Duration = Duration::from_secs(24 * 3600);
const RECORD: &str = "_mta-sts.example.net";

struct World {
    clock: Arc<ManualClock>,
    page: Arc<Mutex<Page>>,
    fetched: Arc<AtomicUsize>,
    dns: Table,
}

fn text(body: &str) -> Page {
    Page::Answer { status: 200, media_type: "text/plain".to_owned(), body: body.to_owned() }
}

fn enforce(max_age: u64) -> Page {
    text(&format!("version: STSv1\nmode: enforce\nmx: *.example.net\nmax_age: {max_age}\n"))
}

impl World {
    fn new(page: Page) -> Self {
        let noon = Timestamp::from_millis(1_795_000_000_000);
        let mut world = Self {
            clock: Arc::new(ManualClock::new(noon)),
            page: Arc::new(Mutex::new(page)),
            fetched: Arc::default(),
            dns: Table::new(),
        };
        world.announce("1");
        world
    }

    fn announce(&mut self, id: &str) {
        self.dns.remove(RECORD, RecordType::Txt);
        self.dns.txt(RECORD, &format!("v=STSv1; id={id};"));
    }

    fn publish(&self, page: Page) {
        *self.page.lock().unwrap() = page;
    }

    fn fetch(&self) -> Fetch {
        let (page, fetched) = (Arc::clone(&self.page), Arc::clone(&self.fetched));
        Arc::new(move |host: String, path: &'static str| -> Fetching {
            assert_eq!((host.as_str(), path), ("mta-sts.example.net", PATH));
            fetched.fetch_add(1, Ordering::SeqCst);
            let page = page.lock().unwrap().clone();
            Box::pin(async move { page })
        })
    }

    fn policies(&self) -> Policies {
        Policies::new(Arc::<ManualClock>::clone(&self.clock), self.fetch())
    }

    fn opened(&self, folder: &Path) -> Policies {
        Policies::in_folder(Arc::<ManualClock>::clone(&self.clock), self.fetch(), folder).unwrap()
    }

    fn fetches(&self) -> usize {
        self.fetched.load(Ordering::SeqCst)
    }
}

async fn mode(policies: &Policies, dns: &Table) -> Option<&'static str> {
    policies.of(dns, "example.net").await.0.map(|policy| policy.mode.name())
}

#[tokio::test]
async fn a_policy_is_fetched_once_and_again_when_its_id_is_another() {
    let mut world = World::new(enforce(600_000));
    let policies = world.policies();
    for _ in 0..3 {
        assert_eq!(mode(&policies, &world.dns).await, Some("enforce"));
    }
    assert_eq!(world.fetches(), 1);
    world.publish(text("version: STSv1\nmode: none\nmax_age: 86400\n"));
    world.announce("2");
    assert_eq!(mode(&policies, &world.dns).await, Some("none"));
    assert_eq!(world.fetches(), 2);
}

#[tokio::test]
async fn one_that_holds_outlives_its_record_its_page_and_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let mut world = World::new(enforce(7 * 86_400));
    let policies = world.opened(folder.path());
    assert_eq!(mode(&policies, &world.dns).await, Some("enforce"));
    policies.write().unwrap();
    world.publish(Page::NoHost);
    for gone in [None, Some(DnsError::NoSuchDomain), Some(DnsError::Timeout)] {
        match gone {
            None => world.announce("2"),
            Some(error) => {
                world.dns.fail(RECORD, RecordType::Txt, error);
            }
        }
        let again = world.opened(folder.path());
        for policies in [&policies, &again] {
            assert_eq!(mode(policies, &world.dns).await, Some("enforce"));
        }
    }
    world.clock.advance(DAY * 7);
    // Nobody knows any more: RFC 8461 §3.3.
    assert_eq!(policies.of(&world.dns, "example.net").await, (None, SOON));
    world.dns.fail(RECORD, RecordType::Txt, DnsError::NoSuchDomain);
    assert_eq!(mode(&policies, &world.dns).await, None);
    assert_eq!(mode(&world.opened(folder.path()), &world.dns).await, None);
    let file = std::fs::metadata(Policies::file(folder.path())).unwrap();
    assert_eq!(file.permissions().mode() & 0o777, 0o640);
}

#[tokio::test]
async fn a_leap_of_the_clock_neither_ends_nor_lengthens_a_policy() {
    let folder = tempfile::tempdir().unwrap();
    let mut world = World::new(enforce(7 * 86_400));
    let noon = world.clock.now();
    let policies = world.opened(folder.path());
    assert_eq!(mode(&policies, &world.dns).await, Some("enforce"));
    policies.write().unwrap();
    world.dns.fail(RECORD, RecordType::Txt, DnsError::NoSuchDomain);
    for leap in [DAY * 3650, Duration::ZERO] {
        world.clock.set(noon.after(leap));
        assert_eq!(mode(&policies, &world.dns).await, Some("enforce"));
    }
    // Begun in 1970: it holds no longer than it says.
    world.clock.set(Timestamp::from_millis(0));
    let again = world.opened(folder.path());
    assert_eq!(mode(&again, &world.dns).await, Some("enforce"));
    world.clock.advance(DAY * 7);
    assert_eq!(mode(&again, &world.dns).await, None);
    // Begun in ten years: it is asked for anew.
    world.clock.set(noon.after(DAY * 3650));
    world.announce("1");
    let before = world.fetches();
    assert_eq!(mode(&world.opened(folder.path()), &world.dns).await, Some("enforce"));
    assert_eq!(world.fetches(), before + 1);
}

#[tokio::test]
async fn what_cannot_be_fetched_is_left_alone_for_a_while_and_is_no_policy() {
    let good = "version: STSv1\nmode: enforce\nmx: a.test\nmax_age: 86400\n";
    let of_kind = |status, kind: &str, body: &str| Page::Answer {
        status,
        media_type: kind.to_owned(),
        body: body.to_owned(),
    };
    for page in [
        of_kind(301, "text/plain", good),
        of_kind(404, "text/plain", good),
        of_kind(200, "text/html", good),
        text("<html>"),
        text(&good.replace("enforce", "strict")),
        Page::NoHost,
        Page::Untrusted(crate::lang::Said::words("expired")),
        Page::Failed(crate::lang::Said::words("refused")),
    ] {
        let mut world = World::new(page.clone());
        let policies = world.policies();
        for _ in 0..2 {
            assert_eq!(mode(&policies, &world.dns).await, None, "{page:?}");
        }
        assert_eq!(world.fetches(), 1);
        world.clock.advance(PATIENCE);
        world.publish(enforce(86_400));
        assert_eq!(mode(&policies, &world.dns).await, Some("enforce"));
        world.clock.advance(DAY);
        world.publish(page);
        assert_eq!(mode(&policies, &world.dns).await, None, "it held for a day");
        world.announce("3");
        world.publish(enforce(86_400));
        assert_eq!(mode(&policies, &world.dns).await, Some("enforce"), "another id is tried");
    }
    let mut world = World::new(enforce(600));
    world.dns.txt(RECORD, "v=STSv1; id=2;");
    assert_eq!(mode(&world.policies(), &world.dns).await, None, "two records are none");
    world.dns.fail(RECORD, RecordType::Txt, DnsError::Timeout);
    assert_eq!(world.policies().of(&world.dns, "example.net").await, (None, SOON));
}

#[tokio::test]
async fn policies_are_refreshed_each_day_and_an_outage_costs_nothing() {
    let world = World::new(enforce(7 * 86_400));
    let policies = world.policies();
    assert_eq!(mode(&policies, &world.dns).await, Some("enforce"));
    policies.refresh(&world.dns).await;
    assert_eq!(world.fetches(), 1, "it is fresh");
    for day in 2..10 {
        world.clock.advance(DAY);
        policies.refresh(&world.dns).await;
        assert_eq!(world.fetches(), day);
    }
    world.publish(Page::NoHost);
    world.clock.advance(DAY * 6);
    policies.refresh(&world.dns).await;
    assert_eq!(mode(&policies, &world.dns).await, Some("enforce"));
    world.clock.advance(DAY);
    policies.refresh(&world.dns).await;
    assert_eq!(mode(&policies, &world.dns).await, None);
}

#[tokio::test]
async fn damage_of_the_file_costs_what_is_damaged_and_no_more() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::new(enforce(7 * 86_400));
    let policies = world.opened(folder.path());
    assert_eq!(mode(&policies, &world.dns).await, Some("enforce"));
    policies.write().unwrap();
    let file = Policies::file(folder.path());
    let mut text = b"\xff\x00{\"domain\":\n{\"domain\":\"half.test\",\"id\":\"1\"\n[]\n".to_vec();
    text.extend(std::fs::read(&file).unwrap());
    std::fs::write(&file, text).unwrap();
    let again = world.opened(folder.path());
    assert_eq!(mode(&again, &world.dns).await, Some("enforce"));
    assert_eq!(world.fetches(), 1);
}

#[test]
fn a_policy_says_what_it_says_of_a_host() {
    let policy = |mode| Policy { mode, max_age: 600, hosts: vec!["*.example.net".to_owned()] };
    let of = |mode, host| of_host(Some(&policy(mode)), "example.net", host);
    let pattern = || "*.example.net".to_owned();
    assert_eq!(of(Mode::Enforce, "MX.example.net"), OfHost::Enforced { pattern: pattern() });
    let domain = || "example.net".to_owned();
    assert_eq!(of(Mode::Enforce, "a.b.example.net"), OfHost::Excluded { domain: domain() });
    let testing = |pattern| OfHost::Testing { domain: "example.net".to_owned(), pattern };
    assert_eq!(of(Mode::Testing, "mx.example.net"), testing(Some(pattern())));
    assert_eq!(of(Mode::Testing, "mx.example.org"), testing(None));
    assert_eq!(of(Mode::None, "mx.example.net"), OfHost::Absent);
    assert_eq!(of_host(None, "example.net", "mx.example.net"), OfHost::Absent);
}
