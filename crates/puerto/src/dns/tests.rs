//! The resolver against a scripted server on loopback, over UDP and TCP.

use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicUsize, Ordering};

use hickory_resolver::proto::op::{Message, ResponseCode};
use hickory_resolver::proto::rr::rdata::{A, CNAME, MX, NS, PTR, SOA, TLSA, TXT};
use hickory_resolver::proto::rr::{
    Name, RData, Record as HickoryRecord, RecordType as RecordTypes,
};
use puerto_mail::dns::Record;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UdpSocket};

use super::*;

const SHORT: Duration = Duration::from_millis(150);

struct Server {
    address: SocketAddr,
    questions: Arc<AtomicUsize>,
    over_tcp: Arc<AtomicUsize>,
}

type Script = fn(&str, &mut Message, bool) -> bool;

/// A server that answers as the script says: it fills the message in, and says
/// whether to send it at all.
async fn serve(script: Script) -> Server {
    let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = tcp.local_addr().unwrap();
    let udp = UdpSocket::bind(address).await.unwrap();
    let questions = Arc::new(AtomicUsize::new(0));
    let over_tcp = Arc::new(AtomicUsize::new(0));
    let (asked, asked_by_tcp) = (Arc::clone(&questions), Arc::clone(&over_tcp));
    tokio::spawn(async move {
        let mut buffer = [0; 4096];
        while let Ok((length, peer)) = udp.recv_from(&mut buffer).await {
            asked.fetch_add(1, Ordering::SeqCst);
            if let Some(answer) = answer(&buffer[..length], script, false) {
                udp.send_to(&answer, peer).await.unwrap();
            }
        }
    });
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = tcp.accept().await {
            let asked_by_tcp = Arc::clone(&asked_by_tcp);
            tokio::spawn(async move {
                while let Ok(length) = stream.read_u16().await {
                    asked_by_tcp.fetch_add(1, Ordering::SeqCst);
                    let mut buffer = vec![0; length.into()];
                    stream.read_exact(&mut buffer).await.unwrap();
                    let Some(answer) = answer(&buffer, script, true) else { return };
                    stream.write_u16(answer.len().try_into().unwrap()).await.unwrap();
                    stream.write_all(&answer).await.unwrap();
                }
            });
        }
    });
    Server { address, questions, over_tcp }
}

fn answer(question: &[u8], script: Script, over_tcp: bool) -> Option<Vec<u8>> {
    let question = Message::from_vec(question).unwrap();
    let query = question.queries[0].clone();
    let mut message = Message::response(question.metadata.id, question.metadata.op_code);
    message.metadata.recursion_desired = true;
    message.metadata.recursion_available = true;
    let name = format!("{} {}", query.name().to_ascii(), query.query_type());
    message.add_query(query);
    // As a resolver that validates does for whoever asks it to.
    message.metadata.authentic_data = question.metadata.authentic_data && name.contains("signed");
    script(&name, &mut message, over_tcp).then(|| message.to_vec().unwrap())
}

fn name(text: &str) -> Name {
    Name::from_ascii(text).unwrap()
}

fn add(message: &mut Message, owner: &str, ttl: u32, data: RData) {
    message.add_answer(HickoryRecord::from_rdata(name(owner), ttl, data));
}

fn soa(message: &mut Message, minimum: u32) {
    let soa = SOA::new(name("ns.test."), name("root.test."), 1, 1, 1, 1, minimum);
    message.add_authority(HickoryRecord::from_rdata(name("test."), 600, RData::SOA(soa)));
}

fn resolver(servers: &[&Server]) -> Resolver {
    let addresses: Vec<_> = servers.iter().map(|server| server.address).collect();
    Resolver::over(Servers::new(&addresses, SHORT, false))
}

fn internet(question: &str, message: &mut Message, over_tcp: bool) -> bool {
    match question {
        "mx.test. MX" => {
            add(message, "MX.test.", 300, RData::MX(MX::new(10, name("Mail.Test."))));
            add(message, "mx.test.", 200, RData::MX(MX::new(0, Name::root())));
        }
        "txt.test. TXT" => {
            let strings = TXT::from_bytes(vec![b"v=spf1 ", b"\xff-all"]);
            add(message, "txt.test.", 300, RData::TXT(strings));
        }
        "1.0.0.127.in-addr.arpa. PTR" => {
            let target = PTR(name("host.test."));
            add(message, "1.0.0.127.in-addr.arpa.", 300, RData::PTR(target));
        }
        "chain.test. A" => {
            add(message, "chain.test.", 60, RData::CNAME(CNAME(name("two.test."))));
            add(message, "two.test.", 50, RData::CNAME(CNAME(name("three.test."))));
            add(message, "three.test.", 300, RData::A(A(Ipv4Addr::new(192, 0, 2, 1))));
        }
        "partial.test. A" => {
            add(message, "partial.test.", 60, RData::CNAME(CNAME(name("chain.test."))));
        }
        "loop.test. A" => {
            add(message, "loop.test.", 60, RData::CNAME(CNAME(name("loop.test."))));
        }
        "signed.test. MX" | "chance.test. MX" => {
            let owner = question.trim_end_matches(" MX");
            add(message, owner, 300, RData::MX(MX::new(10, name("mail.test."))));
        }
        "unsigned.test. MX" => {
            add(message, "unsigned.test.", 60, RData::CNAME(CNAME(name("chance.test."))));
        }
        "by-signed.test. MX" => {
            add(message, "by-signed.test.", 60, RData::CNAME(CNAME(name("signed.test."))));
        }
        ". NS" | "signed.test. NS" | "chance.test. NS" => {
            let owner = question.trim_end_matches(" NS");
            add(message, owner, 300, RData::NS(NS(name("ns.test."))));
        }
        "bogus.test. A" => message.metadata.response_code = ResponseCode::ServFail,
        "forged.test. A" => {
            add(message, "forged.test.", 60, RData::A(A(Ipv4Addr::new(192, 0, 2, 6))));
        }
        "signed.test. TLSA" => {
            let nothing = HickoryRecord::update0(name("signed.test."), 60, RecordTypes::TLSA);
            message.add_answer(nothing);
        }
        "beside.signed.test. TLSA" => {
            let nothing =
                HickoryRecord::update0(name("beside.signed.test."), 60, RecordTypes::TLSA);
            message.add_answer(nothing);
            let good = TLSA::new(3.into(), 1.into(), 1.into(), vec![7; 32]);
            add(message, "beside.signed.test.", 60, RData::TLSA(good));
            message.metadata.truncation = !over_tcp;
        }
        "empty-signed.test. MX" => soa(message, 7),
        "dead.test. A" => {
            add(message, "dead.test.", 60, RData::CNAME(CNAME(name("gone.test."))));
            message.metadata.response_code = ResponseCode::NXDomain;
            soa(message, 30);
        }
        "stray.test. A" => {
            add(message, "other.test.", 60, RData::A(A(Ipv4Addr::new(192, 0, 2, 66))));
        }
        "empty.test. A" => soa(message, 7),
        "referral.test. A" => {
            let target = NS(name("ns.test."));
            let record = HickoryRecord::from_rdata(name("test."), 60, RData::NS(target));
            message.add_authority(record);
        }
        "servfail.test. A" => message.metadata.response_code = ResponseCode::ServFail,
        "refused.test. A" => message.metadata.response_code = ResponseCode::Refused,
        "silent.test. A" => return false,
        _ => {
            message.metadata.response_code = ResponseCode::NXDomain;
            soa(message, 30);
        }
    }
    true
}

#[tokio::test]
async fn answers_are_read_in_our_own_words() {
    let server = serve(internet).await;
    let dns = resolver(&[&server]);
    let mx = dns.lookup("MX.test.", RecordType::Mx).await.unwrap();
    let expected = [Record::Mx(10, "mail.test".to_owned()), Record::Mx(0, String::new())];
    assert_eq!((mx.records.as_slice(), mx.ttl), (expected.as_slice(), 200));
    let txt = dns.lookup("txt.test", RecordType::Txt).await.unwrap();
    assert_eq!(txt.records, [Record::Txt(b"v=spf1 \xff-all".to_vec())]);
    let ptr = dns.lookup("1.0.0.127.in-addr.arpa", RecordType::Ptr).await.unwrap();
    assert_eq!(ptr.records, [Record::Name("host.test".to_owned())]);
    for alias in ["chain.test", "partial.test"] {
        let a = dns.lookup(alias, RecordType::A).await.unwrap();
        assert_eq!(a.records, [Record::Address([192, 0, 2, 1].into())], "{alias}");
        assert_eq!(a.ttl, 50, "the shortest of the chain");
    }
}

/// A7: nobody between us and the resolver may say that DNSSEC vouches for an answer.
#[tokio::test]
async fn the_word_on_dnssec_counts_only_if_no_way_to_it_is_open() {
    let server = serve(internet).await;
    let far: SocketAddr = "192.0.2.53:53".parse().unwrap();
    for (servers, trust_ad, name, validated) in [
        (vec![server.address], false, "signed.test", true),
        (vec![server.address], false, "by-signed.test", true),
        // An alias that leads out of what DNSSEC vouches for.
        (vec![server.address], false, "unsigned.test", false),
        (vec![server.address], false, "chance.test", false),
        (vec![server.address, far], false, "signed.test", false),
        (vec![server.address, far], true, "signed.test", true),
    ] {
        let dns = Resolver::over(Servers::new(&servers, SHORT, trust_ad));
        for _again in 0..2 {
            let answer = dns.lookup(name, RecordType::Mx).await.unwrap();
            assert_eq!(answer.validated, validated, "{name} {servers:?} {trust_ad}");
        }
    }
    let asked = ask_server(server.address, "signed.test", RecordType::Mx).await.unwrap();
    assert!(!asked.validated, "by an authoritative server");
}

/// RFC 7672 §2.2: the name whose records they are is where TLSA records are looked for.
#[tokio::test]
async fn an_alias_names_what_it_leads_to_and_an_absence_may_be_vouched_for() {
    let server = serve(internet).await;
    let dns = resolver(&[&server]);
    for (name, kind, leads_to) in [
        ("chain.test", RecordType::A, Some("three.test")),
        ("partial.test", RecordType::A, Some("three.test")),
        ("by-signed.test", RecordType::Mx, Some("signed.test")),
        ("signed.test", RecordType::Mx, None),
    ] {
        let answer = dns.lookup(name, kind).await.unwrap();
        assert_eq!(answer.alias_of.as_deref(), leads_to, "{name}");
    }
    for (name, vouched_for) in
        [("empty-signed.test", true), ("absent-signed.test", true), ("absent.test", false)]
    {
        for _again in 0..2 {
            let (answer, validated) = dns.vouched(name, RecordType::Mx).await;
            assert!(answer.unwrap_err().is_absence(), "{name}");
            assert_eq!(validated, vouched_for, "{name}");
        }
    }
    let far: SocketAddr = "192.0.2.53:53".parse().unwrap();
    let open = Resolver::over(Servers::new(&[server.address, far], SHORT, false));
    assert!(!open.vouched("absent-signed.test", RecordType::Mx).await.1);
}

/// Cloudflare, Quad9 and Unbound pass TLSA records without data on: each is one that nothing
/// can be compared with, and spoils no other.
#[tokio::test]
async fn a_record_without_data_is_no_absence_and_spoils_no_other() {
    let server = serve(internet).await;
    let unusable = Record::Tlsa(255, 255, 255, Vec::new());
    let good = Record::Tlsa(3, 1, 1, vec![7; 32]);
    for (name, records) in
        [("signed.test", vec![unusable.clone()]), ("beside.signed.test", vec![unusable, good])]
    {
        let answer = resolver(&[&server]).lookup(name, RecordType::Tlsa).await.unwrap();
        assert_eq!(answer.records, records, "{name}");
        assert!(answer.validated);
    }
}

#[tokio::test]
async fn a_resolver_is_believed_that_vouches_for_what_is_signed_and_gives_nothing_forged() {
    let server = serve(internet).await;
    for (signed, bogus, found) in [
        ("signed.test.", "bogus.test.", Validation::Full),
        ("signed.test", "", Validation::Full),
        ("", "BOGUS.test", Validation::Full),
        (".", "bogus.test", Validation::Absent),
        ("chance.test", "bogus.test", Validation::Absent),
        ("nowhere.test", "bogus.test", Validation::Absent),
        ("signed.test", "forged.test", Validation::Credulous),
        // Which it may not know at all.
        ("signed.test", "nowhere.test", Validation::Full),
    ] {
        let dns = resolver(&[&server]);
        assert!(dns.lookup("signed.test", RecordType::Mx).await.unwrap().validated);
        assert_eq!(dns.validation(signed, bogus).await, found, "{signed} {bogus}");
        let is_believed = found != Validation::Credulous;
        let answer = dns.lookup("signed.test", RecordType::Mx).await.unwrap();
        assert_eq!(answer.validated, is_believed, "what is remembered, too");
        assert_eq!(dns.vouched("absent-signed.test", RecordType::Mx).await.1, is_believed);
    }
    let far: SocketAddr = "192.0.2.53:53".parse().unwrap();
    let open = Resolver::over(Servers::new(&[server.address, far], SHORT, false));
    assert_eq!(open.validation("signed.test", "bogus.test").await, Validation::Untrusted);
    let nobody = Resolver::over(Servers::new(&["127.0.0.1:1".parse().unwrap()], SHORT, false));
    let found = nobody.validation("signed.test", "bogus.test").await;
    assert!(matches!(found, Validation::Unknown(_)), "{found:?}");
    // One of two servers that is down says nothing, one that is credulous all.
    let both = ["127.0.0.1:1".parse().unwrap(), server.address];
    let both = Resolver::over(Servers::new(&both, SHORT, false));
    assert_eq!(both.validation("signed.test", "bogus.test").await, Validation::Full);
    assert_eq!(both.validation("signed.test", "forged.test").await, Validation::Credulous);
}

#[tokio::test]
async fn absence_and_failure_are_told_apart() {
    let server = serve(internet).await;
    let dns = resolver(&[&server]);
    let absent = [
        ("absent.test", DnsError::NoSuchDomain),
        ("dead.test", DnsError::NoSuchDomain),
        ("empty.test", DnsError::NoRecords),
        ("a..b", DnsError::NoSuchDomain),
    ];
    for (name, expected) in absent {
        assert_eq!(dns.lookup(name, RecordType::A).await, Err(expected), "{name}");
    }
    assert_eq!(dns.lookup("silent.test", RecordType::A).await, Err(DnsError::Timeout));
    for name in ["servfail.test", "refused.test", "referral.test", "loop.test"] {
        let error = dns.lookup(name, RecordType::A).await.unwrap_err();
        assert!(matches!(error, DnsError::Failure(_)), "{name}: {error:?}");
    }
    assert!(dns.lookup("stray.test", RecordType::A).await.is_err(), "another name's record");
}

#[tokio::test]
async fn without_a_server_nothing_is_concluded() {
    let error = Resolver::with_servers(&[]).lookup("a.test", RecordType::A).await.unwrap_err();
    assert!(matches!(error, DnsError::Failure(_)), "{error:?}");
    let nobody = Resolver::over(Servers::new(&["127.0.0.1:1".parse().unwrap()], SHORT, false));
    assert!(!nobody.lookup("a.test", RecordType::A).await.unwrap_err().is_absence());
}

#[tokio::test]
async fn a_truncated_answer_is_fetched_over_tcp() {
    fn script(_: &str, message: &mut Message, over_tcp: bool) -> bool {
        message.metadata.truncation = !over_tcp;
        let count = if over_tcp { 90 } else { 0 };
        for last in 0..count {
            add(message, "big.test.", 60, RData::A(A(Ipv4Addr::new(192, 0, 2, last))));
        }
        true
    }
    let server = serve(script).await;
    let answer = resolver(&[&server]).lookup("big.test", RecordType::A).await.unwrap();
    assert_eq!(answer.records.len(), 90);
    assert!(server.over_tcp.load(Ordering::SeqCst) > 0);
}

#[tokio::test]
async fn a_server_that_fails_does_not_hide_one_that_answers() {
    fn broken(question: &str, message: &mut Message, _: bool) -> bool {
        message.metadata.response_code = ResponseCode::ServFail;
        !question.starts_with("two")
    }
    let (first, second) = (serve(broken).await, serve(internet).await);
    let dns = resolver(&[&first, &second]);
    for name in ["chain.test", "partial.test"] {
        assert!(dns.lookup(name, RecordType::A).await.is_ok(), "{name}");
    }
    assert_eq!(first.questions.load(Ordering::SeqCst), 1, "it is asked last from then on");
}

#[tokio::test]
async fn a_dead_server_costs_nothing_once_it_is_known_which_answers() {
    fn dead(_: &str, _: &mut Message, _: bool) -> bool {
        false
    }
    let (first, second) = (serve(dead).await, serve(internet).await);
    let dns = resolver(&[&first, &second]);
    dns.prefer_the_first_to_answer("absent.test", RecordType::Soa).await;
    let before = first.questions.load(Ordering::SeqCst);
    assert!(dns.lookup("mx.test", RecordType::Mx).await.is_ok());
    assert_eq!(first.questions.load(Ordering::SeqCst), before);
    let nobody = resolver(&[&first, &first]);
    nobody.prefer_the_first_to_answer("absent.test", RecordType::Soa).await;
    assert_eq!(nobody.lookup("mx.test", RecordType::Mx).await, Err(DnsError::Timeout));
}

#[tokio::test]
async fn an_authoritative_server_answers_with_the_alias_alone() {
    let server = serve(internet).await;
    for (alias, target) in [("chain.test", "two.test"), ("dead.test", "gone.test")] {
        let answer = ask_server(server.address, alias, RecordType::A).await.unwrap();
        assert_eq!(answer.records, [Record::Name(target.to_owned())]);
    }
}

#[tokio::test]
async fn the_same_question_is_asked_once() {
    let server = serve(internet).await;
    let dns = resolver(&[&server]);
    let mut lookups = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let dns = dns.clone();
        lookups.spawn(async move { dns.lookup("mx.test", RecordType::Mx).await });
    }
    while let Some(result) = lookups.join_next().await {
        assert!(result.unwrap().is_ok());
    }
    for name in ["absent.test", "absent.test", "servfail.test", "servfail.test"] {
        assert!(dns.lookup(name, RecordType::A).await.is_err());
    }
    let asked = server.questions.load(Ordering::SeqCst);
    assert_eq!(asked, 1 + 1 + 2, "one each, and two rounds where the server failed");
    assert!(dns.0.state().in_flight.is_empty());
}

#[tokio::test]
async fn a_server_whose_answer_is_cut_off_over_tcp_too_is_given_up() {
    fn cut(_: &str, message: &mut Message, _: bool) -> bool {
        message.metadata.truncation = true;
        true
    }
    let server = serve(cut).await;
    let error = resolver(&[&server]).lookup("long.test", RecordType::Txt).await.unwrap_err();
    assert!(matches!(&error, DnsError::Failure(DnsFault::CutOff(_))), "{error}");
    let asked = [&server.questions, &server.over_tcp].map(|count| count.load(Ordering::SeqCst));
    assert_eq!(asked, [2, 2], "each round asks once by UDP and once by TCP");
    // Another server that has the whole answer is asked.
    let whole = serve(internet).await;
    let both = resolver(&[&server, &whole]);
    assert!(both.lookup("chain.test", RecordType::A).await.is_ok());
}
