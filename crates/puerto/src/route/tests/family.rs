//! Which family is used towards receivers that mind from where mail comes.

use std::future::pending;

use puerto_mail::dns::{Answer, reverse_name};

use super::*;

const OURS: (&str, &str) = ("198.51.100.1", "2001:db8:1::1");

// Receivers with both families; ours have names, unless a test takes them away.
fn world() -> Table {
    let mut dns = internet();
    for (domain, host) in [
        ("gmail.test", "mx.l.google.com"),
        ("other.test", "mx.l.google.com"),
        ("aruba.test", "mx.aruba.it"),
        ("small.test", "mx.small.test"),
    ] {
        dns.mx(domain, 5, host);
    }
    for host in ["mx.l.google.com", "mx.aruba.it", "mx.small.test"] {
        dns.address(host, "192.0.2.9".parse().unwrap());
        dns.address(host, "2001:db8:9::9".parse().unwrap());
    }
    dns
}

fn ours() -> [IpAddr; 2] {
    [OURS.0.parse().unwrap(), OURS.1.parse().unwrap()]
}

fn name(dns: &mut Table, address: IpAddr, leads_back: bool) {
    let name = format!("out-{}.example.com", address.to_string().replace([':', '.'], "-"));
    dns.add(&reverse_name(address), RecordType::Ptr, Record::Name(name.clone()));
    if leads_back {
        dns.address(&name, address);
    }
}

fn router<D: Dns + 'static>(dns: D) -> Router<D> {
    let machine = Machine::fixed(Vec::new(), |_| true, 1).reaching_from(OURS.0, OURS.1);
    let config = config("[delivery]\nhelo = \"mail.example.com\"");
    Router::on_machine(Live::new(config), Arc::new(dns), machine)
}

fn sender(text: &str) -> ReversePath {
    match text {
        "" => ReversePath::Null,
        text => ReversePath::Address(Address::parse(text).unwrap()),
    }
}

async fn plan_of<D: Dns + 'static>(router: &Router<D>, from: &str, to: &str) -> Arc<Plan> {
    match router.route(&sender(from), &Domain::parse(to).unwrap()).await {
        Ok(Routing::Remote(plan)) => plan,
        other => panic!("{other:?}"),
    }
}

fn families(plan: &Plan) -> String {
    plan.hops.iter().map(|hop| if hop.address.is_ipv4() { '4' } else { '6' }).collect()
}

#[tokio::test]
async fn an_address_without_a_name_is_not_used_where_that_is_refused() {
    let [v4, v6] = ours();
    let both = |dns: &mut Table| ours().iter().for_each(|address| name(dns, *address, true));
    let only = |dns: &mut Table| name(dns, v4, true);
    let forged = |dns: &mut Table| {
        name(dns, v4, true);
        name(dns, v6, false);
    };
    let only_v6 = |dns: &mut Table| name(dns, v6, true);
    let unknown = |dns: &mut Table| {
        name(dns, v4, true);
        dns.fail(&reverse_name(v6), RecordType::Ptr, DnsError::Timeout);
    };
    let neither = |_: &mut Table| {};
    for (prepare, expected) in [
        (&both as &dyn Fn(&mut Table), "46"),
        (&only, "4"),
        (&forged, "4"),
        (&only_v6, "6"),
        (&unknown, "46"),
        (&neither, "46"),
    ] {
        let mut dns = world();
        prepare(&mut dns);
        let plan = plan_of(&router(dns), "", "gmail.test").await;
        assert_eq!(families(&plan), expected);
        assert_eq!(plan.avoided.is_some(), expected.len() == 1);
    }
    let mut dns = world();
    only(&mut dns);
    let router = router(dns);
    assert_eq!(families(&*plan_of(&router, "", "small.test").await), "46", "who does not mind");
    let said = plan_of(&router, "", "gmail.test").await.avoided.clone().unwrap();
    assert!(said.text().contains(OURS.1) && said.text().contains("google"), "{said}");
}

// Both addresses have names, and the sender's domain publishes this.
fn with_spf(record: &str) -> Table {
    let mut dns = world();
    ours().iter().for_each(|address| name(&mut dns, *address, true));
    if !record.is_empty() {
        dns.txt("example.com", record);
    }
    for number in 1..=11 {
        dns.txt(&format!("s{number}.example.com"), "v=spf1 ip4:192.0.2.1 -all");
    }
    dns.fail("broken.example.com", RecordType::Txt, DnsError::Timeout);
    dns
}

#[tokio::test]
async fn an_address_that_spf_does_not_let_send_is_not_used_where_the_other_may() {
    let includes =
        |most| (1..=most).map(|n| format!("include:s{n}.example.com ")).collect::<String>();
    for (record, expected) in [
        ("v=spf1 ip4:198.51.100.1 ip6:2001:db8:1::1 -all".to_owned(), "46"),
        ("v=spf1 ip4:198.51.100.1 -all".to_owned(), "4"),
        ("v=spf1 ip4:198.51.100.1 ~all".to_owned(), "4"),
        ("v=spf1 ip4:198.51.100.1 ?all".to_owned(), "4"),
        ("v=spf1 ip4:198.51.100.1".to_owned(), "4"),
        ("v=spf1 ip6:2001:db8:1::/48 -all".to_owned(), "6"),
        // Where neither may, mail goes as it would.
        ("v=spf1 -all".to_owned(), "46"),
        ("v=spf1 ip4:192.0.2.77 ~all".to_owned(), "46"),
        (String::new(), "46"),
        ("v=spf1 ip4:198.51.100.1 ip4:no -all".to_owned(), "46"),
        // Ten look-ups are right; the eleventh is the domain owner's mistake, and so is the
        // third name that does not exist.
        (format!("v=spf1 {}ip6:2001:db8:1::1 -all", includes(10)), "6"),
        (format!("v=spf1 ip4:198.51.100.1 {}ip6:2001:db8:1::1 -all", includes(11)), "4"),
        ("v=spf1 ip6:2001:db8:1::1 a:v1.test a:v2.test a:v3.test ip4:198.51.100.1".to_owned(), "6"),
        // A DNS that does not answer says nothing.
        ("v=spf1 ip4:198.51.100.1 include:broken.example.com -all".to_owned(), "46"),
        ("v=spf1 include:broken.example.com -all".to_owned(), "46"),
    ] {
        let router = router(with_spf(&record));
        let plan = plan_of(&router, "ana@example.com", "gmail.test").await;
        assert_eq!(families(&plan), expected, "{record}");
        assert_eq!(plan.avoided.is_some(), expected.len() == 1, "{record}");
        for who_does_not_mind in ["aruba.test", "small.test"] {
            let plan = plan_of(&router, "ana@example.com", who_does_not_mind).await;
            assert_eq!(families(&plan), "46", "{record}");
        }
    }
    let router = router(with_spf("v=spf1 ip4:198.51.100.1 -all"));
    let said = plan_of(&router, "ana@example.com", "gmail.test").await.avoided.clone().unwrap();
    for word in [OURS.1, "example.com", "google", "SPF"] {
        assert!(said.text().contains(word), "{said}");
    }
}

#[tokio::test]
async fn whose_mail_it_is_decides_and_is_asked_once() {
    let mut dns = with_spf("v=spf1 ip4:198.51.100.1 -all");
    dns.txt("shop.test", "v=spf1 ip6:2001:db8:1::1 -all");
    dns.txt("mail.example.com", "v=spf1 ip6:2001:db8:1::1 -all");
    let router = router(dns);
    let to = Domain::parse("gmail.test").unwrap();
    let usual = puerto_smtp::TlsWish::Usual;
    let first = router.question(&sender("ana@example.com"), &to, usual);
    assert!(!first.is_of_sender(), "nobody knows yet that it matters");
    for (from, expected) in [
        ("ana@example.com", "4"),
        ("ana@EXAMPLE.com", "4"),
        ("ana@shop.test", "6"),
        ("ana@silent.test", "46"),
        ("ana@[192.0.2.5]", "46"),
        // RFC 7208 §2.4: mail without a sender is the host's.
        ("", "6"),
    ] {
        let plan = plan_of(&router, from, "gmail.test").await;
        assert_eq!(families(&plan), expected, "{from}");
        let known = router.known(&sender(from), &to, usual);
        assert_eq!(known, Some(Ok(Routing::Remote(Arc::clone(&plan)))), "{from}");
        // So that one transaction can carry a message to both.
        assert!(Arc::ptr_eq(&plan, &plan_of(&router, from, "other.test").await), "{from}");
    }
    assert_eq!(router.destination(&to).map(|key| key.to_string()).as_deref(), Some("google"));
    assert!(router.question(&sender("ana@new.test"), &to, usual).is_of_sender());
    assert_eq!(router.known(&sender("ana@new.test"), &to, usual), None);
}

/// A DNS that never says anything about TXT records.
struct Mute(Table);

impl Dns for Mute {
    async fn lookup(&self, name: &str, record_type: RecordType) -> Result<Answer, DnsError> {
        match record_type {
            RecordType::Txt => pending().await,
            other => self.0.lookup(name, other).await,
        }
    }
}

#[tokio::test(start_paused = true)]
async fn mail_goes_soon_where_nobody_says_what_spf_says() {
    let router = router(Mute(with_spf("")));
    let before = Instant::now();
    let plan = plan_of(&router, "ana@example.com", "gmail.test").await;
    assert_eq!(families(&plan), "46");
    assert!(before.elapsed() <= Duration::from_secs(6), "{:?}", before.elapsed());
    let again = Instant::now();
    plan_of(&router, "luis@example.com", "gmail.test").await;
    assert_eq!(again.elapsed(), Duration::ZERO, "and for a while it is not asked again");
}

// Sources that are for all mail, but for the last.
const SOURCES: &str = "[[source]]\nname = \"both\"\nipv4 = \"198.51.100.1\"\n\
    ipv6 = \"2001:db8:1::1\"\nhelo = \"both.example.com\"\n\
    [[source]]\nname = \"new\"\nipv4 = \"198.51.100.2\"\nhelo = \"new.example.com\"\n\
    [[source]]\nname = \"shop\"\nipv4 = \"198.51.100.3\"\nfrom = [\"@shop.test\"]\n";

async fn by_sources(dns: Table, sources: &str, from: &str) -> Vec<String> {
    // The usual address would be avoided, and nothing leaves from it.
    let machine = Machine::fixed(Vec::new(), |_| true, 1).reaching_from("198.51.100.9", OURS.1);
    let config = config(&format!("[delivery]\nhelo = \"mail.example.com\"\n{sources}"));
    let router = Router::on_machine(Live::new(config.clone()), Arc::new(dns), machine);
    let plan = plan_of(&router, from, "gmail.test").await;
    let way = |source: &Source| {
        let made = plan.from_source(source).unwrap();
        let against = if plan.against(source).is_some() { " against" } else { "" };
        let avoided = if made.avoided.is_some() { " avoided" } else { "" };
        format!("{} {}{avoided}{against}", source.name, families(&made))
    };
    config.sources.iter().map(way).collect()
}

#[tokio::test]
async fn each_source_is_judged_by_its_own_name_and_spf() {
    let all = ["198.51.100.1", "2001:db8:1::1", "198.51.100.2", "198.51.100.3"];
    for (named, spf, expected) in [
        (&all[..], "", ["both 46", "new 4", "shop 4"]),
        (&all[..1], "", ["both 4 avoided", "new 4 against", "shop 4 against"]),
        (&all[1..], "", ["both 6 avoided", "new 4", "shop 4"]),
        (&all[2..], "", ["both 46 against", "new 4", "shop 4"]),
        (&all[..0], "", ["both 46 against", "new 4 against", "shop 4 against"]),
        (&all, "v=spf1 ip4:198.51.100.0/30 -all", ["both 4 avoided", "new 4", "shop 4"]),
        (
            &all,
            "v=spf1 ip6:2001:db8::/32 -all",
            ["both 6 avoided", "new 4 against", "shop 4 against"],
        ),
        (&all, "v=spf1 -all", ["both 46 against", "new 4 against", "shop 4 against"]),
        // One is known for its missing name, the other for what SPF says.
        (
            &all[..1],
            "v=spf1 ip4:198.51.100.2 -all",
            ["both 46 against", "new 4 against", "shop 4 against"],
        ),
        // A DNS that does not answer decides nothing.
        (&all, "v=spf1 include:broken.example.com -all", ["both 46", "new 4", "shop 4"]),
    ] {
        let mut dns = world();
        for address in named {
            let name = format!("h{}.example.com", address.replace([':', '.'], "-"));
            let address = address.parse().unwrap();
            dns.add(&reverse_name(address), RecordType::Ptr, Record::Name(name.clone()));
            dns.address(&name, address);
        }
        if !spf.is_empty() {
            dns.txt("example.com", spf);
        }
        dns.fail("broken.example.com", RecordType::Txt, DnsError::Timeout);
        let ways = by_sources(dns, SOURCES, "ana@example.com").await;
        assert_eq!(ways, expected, "{named:?} {spf}");
    }
}

#[tokio::test]
async fn mail_without_a_sender_is_judged_by_the_name_of_each_source() {
    let mut dns = world();
    for address in ["198.51.100.1", "2001:db8:1::1", "198.51.100.2", "198.51.100.3"] {
        name(&mut dns, address.parse().unwrap(), true);
    }
    dns.txt("both.example.com", "v=spf1 ip4:198.51.100.1 -all");
    dns.txt("new.example.com", "v=spf1 -all");
    let ways = by_sources(dns, SOURCES, "").await;
    assert_eq!(ways, ["both 4 avoided", "new 4 against", "shop 4"]);
}

/// Where some mail leaves from the usual address still, that is judged as before.
#[tokio::test]
async fn sources_for_some_mail_leave_the_usual_address_to_the_rest() {
    let mut dns = world();
    name(&mut dns, ours()[0], true);
    name(&mut dns, "198.51.100.2".parse().unwrap(), true);
    let machine = Machine::fixed(Vec::new(), |_| true, 1).reaching_from(OURS.0, OURS.1);
    let text = "[delivery]\nhelo = \"mail.example.com\"\n[[source]]\nname = \"news\"\n\
        ipv4 = \"198.51.100.2\"\nipv6 = \"2001:db8:1::2\"\nfrom = [\"@news.test\"]\n";
    let config = config(text);
    let router = Router::on_machine(Live::new(config.clone()), Arc::new(dns), machine);
    let plan = plan_of(&router, "ana@example.com", "gmail.test").await;
    assert_eq!((families(&plan).as_str(), plan.avoided.is_some()), ("4", true));
    let news = plan.from_source(&config.sources[0]).unwrap();
    assert_eq!(families(&news), "4", "by its own name, too");
    assert!(news.avoided.unwrap().text().contains("2001:db8:1::2"));
}
