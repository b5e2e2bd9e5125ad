//! The lab by itself, with a client that says what it is told to.

use std::net::Ipv4Addr;

use puerto_mail::dkim::{
    self, Algorithm, BodyHasher, Canonicalization, PrivateKey, SigningKey, SigningTime,
};
use puerto_mail::dns::RecordType;
use puerto_mail::header::Header;
use puerto_smtp::reply::{Reply, ReplyDecoder};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream, UdpSocket};

use super::*;
use crate::world::{GRUMPY, PLAIN, SENDER_ADDRESS, STRICT};

const SECONDS_10: Duration = Duration::from_secs(10);

struct Client {
    stream: TcpStream,
    replies: ReplyDecoder,
}

impl Client {
    async fn connect(lab: &Lab, from: Ipv4Addr, to: Resident) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind((from, 0).into()).unwrap();
        let stream = socket.connect((to.address, lab.mx_port()).into()).await.unwrap();
        let mut client = Self { stream, replies: ReplyDecoder::new() };
        client.reply().await.expect("a greeting");
        client
    }

    async fn reply(&mut self) -> Option<Reply> {
        loop {
            if let Some(reply) = self.replies.next_reply().unwrap() {
                return Some(reply);
            }
            let mut buffer = [0; 1024];
            match self.stream.read(&mut buffer).await {
                Ok(count) if count > 0 => self.replies.feed(&buffer[..count]),
                _ => return None,
            }
        }
    }

    async fn say(&mut self, line: &str) -> Option<Reply> {
        self.stream.write_all(format!("{line}\r\n").as_bytes()).await.unwrap();
        self.reply().await
    }

    // The reply that decided; `None` if there was none.
    async fn send(&mut self, from: &str, to: &str, message: &str) -> Option<Reply> {
        for line in ["EHLO mail.lab.example".to_owned(), format!("MAIL FROM:<{from}>")] {
            let reply = self.say(&line).await?;
            if !reply.is_positive() {
                return Some(reply);
            }
        }
        let reply = self.say(&format!("RCPT TO:<{to}>")).await?;
        if !reply.is_positive() {
            return Some(reply);
        }
        self.say("DATA").await?;
        self.say(&format!("{message}\r\n.")).await
    }
}

async fn send(lab: &Lab, from_ip: [u8; 4], to: Resident, message: &str) -> Option<Reply> {
    let recipient = format!("ana@{}", to.domain);
    let mut client = Client::connect(lab, from_ip.into(), to).await;
    client.send("root@lab.example", &recipient, message).await
}

const MESSAGE: &str = "From: root@lab.example\r\nSubject: hello\r\n\r\nhello";

#[tokio::test]
async fn the_plain_receiver_takes_everything() {
    let lab = Lab::start(Options::default()).await.unwrap();
    let reply = send(&lab, [127, 0, 0, 99], PLAIN, MESSAGE).await.unwrap();
    assert!(reply.is_positive(), "{reply}");
    let seen = lab.wait_for(SECONDS_10, |t| t.receiver == "plain").await.unwrap();
    assert_eq!((seen.outcome, seen.peer.to_string()), (Outcome::Accepted, "127.0.0.99".to_owned()));
    assert!(seen.message.ends_with(b"hello\r\n"));
    let mut client = Client::connect(&lab, SENDER_ADDRESS, PLAIN).await;
    let reply = client.send("", "no-such-user@plain.example", MESSAGE).await.unwrap();
    assert_eq!(reply.status().to_string(), "5.1.1");
    // It is told at once, although the client keeps its connection and says no more.
    let refused = lab.wait_for(SECONDS_10, |t| t.outcome == Outcome::Refused).await.unwrap();
    assert_eq!(refused.recipients.len(), 1);
    let reply = client.send("", "ana@strict.example", MESSAGE).await.unwrap();
    assert_eq!(reply.status().to_string(), "5.7.1");
}

#[tokio::test]
async fn a_refused_recipient_is_what_counts_when_data_follows_at_once() {
    let lab = Lab::start(Options::default()).await.unwrap();
    let mut client = Client::connect(&lab, SENDER_ADDRESS, PLAIN).await;
    let group = "EHLO a.example\r\nMAIL FROM:<>\r\nRCPT TO:<no-such-user@plain.example>\r\nDATA";
    client.say(group).await.unwrap();
    let refused = lab.wait_for(SECONDS_10, |t| t.outcome == Outcome::Refused).await.unwrap();
    assert_eq!(refused.reply.as_ref().unwrap().status().to_string(), "5.1.1");
    assert_eq!(lab.transactions().len(), 1);
}

#[tokio::test]
async fn the_strict_receiver_wants_everything_in_order() {
    let lab = Lab::start(Options::default()).await.unwrap();
    let own = SENDER_ADDRESS.octets();
    // SPF alone passes and is aligned.
    assert!(send(&lab, own, STRICT, MESSAGE).await.unwrap().is_positive());
    let seen = lab.wait_for(SECONDS_10, |t| t.receiver == "strict").await.unwrap();
    let results = ["iprev", "spf", "dkim", "dmarc"].map(|method| seen.result_of(method));
    assert_eq!(results, [Some("pass"), Some("pass"), Some("none"), Some("pass")]);
    assert!(seen.message.starts_with(b"Authentication-Results: mx.strict.example;\r\n"));

    // A stranger in the sender's name.
    lab.zone().add_host("host.other.example", "127.0.0.99".parse().unwrap());
    let reply = send(&lab, [127, 0, 0, 99], STRICT, MESSAGE).await.unwrap();
    assert_eq!(reply.status().to_string(), "5.7.26");
    assert!(reply.text().contains("SPF [lab.example] with ip [127.0.0.99] = fail"), "{reply}");

    // Authenticated as somebody else.
    lab.zone().set_txt("lab.example", "v=spf1 +all");
    let forged = MESSAGE.replace("root@lab.example", "root@strict.example");
    lab.zone().add_txt("_dmarc.strict.example", "v=DMARC1; p=reject");
    let reply = send(&lab, own, STRICT, &forged).await.unwrap();
    assert!(reply.text().contains("DMARC policy of strict.example"), "{reply}");

    let reply = send(&lab, own, STRICT, "Subject: no From\r\n\r\nx").await.unwrap();
    assert_eq!(reply.status().to_string(), "5.7.1");

    lab.zone().remove_pointer(IpAddr::V4(SENDER_ADDRESS));
    let reply = send(&lab, own, STRICT, MESSAGE).await.unwrap();
    assert_eq!(reply.status().to_string(), "5.7.25");
}

#[tokio::test]
async fn the_strict_receiver_waits_for_a_dns_that_fails() {
    let lab = Lab::start(Options::default()).await.unwrap();
    let failure = puerto_mail::dns::DnsError::Failure("broken".into());
    lab.zone().fail("lab.example", RecordType::Txt, failure);
    let reply = send(&lab, SENDER_ADDRESS.octets(), STRICT, MESSAGE).await.unwrap();
    assert_eq!(reply.code().get(), 451);
}

#[tokio::test]
async fn the_grumpy_receiver_gives_in_at_the_fourth_attempt() {
    let lab = Lab::start(Options::default()).await.unwrap();
    let mut codes = Vec::new();
    for _ in 0..4 {
        let reply = send(&lab, SENDER_ADDRESS.octets(), GRUMPY, MESSAGE).await;
        codes.push(reply.map(|reply| reply.code().get()));
    }
    assert_eq!(codes, [Some(451), None, Some(421), Some(250)]);
    // The visit that it hung up on is recorded when it is over.
    lab.wait_for(SECONDS_10, |t| t.outcome == Outcome::HungUp).await.unwrap();
    let outcomes: Vec<_> = lab.transactions().iter().map(|t| t.outcome).collect();
    use Outcome::{Accepted, Deferred, HungUp};
    assert_eq!(outcomes, [Deferred, HungUp, Deferred, Accepted]);
}

#[tokio::test]
async fn the_relay_hands_on_from_its_own_address() {
    let lab = Lab::start(Options::default()).await.unwrap();
    let mut stranger = Client::connect(&lab, [127, 0, 0, 99].into(), RELAY).await;
    let reply = stranger.send("a@b.example", "ana@strict.example", MESSAGE).await.unwrap();
    assert_eq!(reply.status().to_string(), "5.7.1");
    let mut client = Client::connect(&lab, SENDER_ADDRESS, RELAY).await;
    let to = "ana@strict.example";
    assert!(client.send("root@lab.example", to, MESSAGE).await.unwrap().is_positive());
    let seen = lab.wait_for(SECONDS_10, |t| t.receiver == "strict").await.unwrap();
    assert_eq!((seen.outcome, seen.peer), (Outcome::Accepted, IpAddr::V4(RELAY.address)));
    assert_eq!(seen.result_of("spf"), Some("pass"));
}

fn signed(key: PrivateKey, message: &str) -> String {
    let body = message.split_once("\r\n\r\n").unwrap().1;
    let mut hasher = BodyHasher::new(Canonicalization::Relaxed);
    hasher.update(body.as_bytes());
    let header = Header::parse(message.as_bytes()).unwrap();
    let key = SigningKey { domain: "lab.example".to_owned(), selector: "s1".to_owned(), key };
    let form = Canonicalization::Relaxed;
    let time = SigningTime { signed_at: 1_700_000_000, expires_at: None };
    let field = dkim::sign(&key, header.fields(), form, &hasher.finish(), time).unwrap();
    format!("{}{message}", String::from_utf8(field).unwrap())
}

#[tokio::test]
async fn a_signature_is_verified_with_the_key_that_the_zone_holds() {
    let lab = Lab::start(Options::default()).await.unwrap();
    let key = PrivateKey::from_pem(&PrivateKey::generate(Algorithm::Ed25519Sha256).unwrap());
    let key = key.unwrap();
    lab.zone().add_txt("s1._domainkey.lab.example", &key.record_text());
    // SPF cannot help from here.
    lab.zone().add_host("host.other.example", "127.0.0.99".parse().unwrap());
    let message = signed(key, &format!("{MESSAGE}\r\n"));
    let message = message.trim_end();
    let reply = send(&lab, [127, 0, 0, 99], STRICT, message).await.unwrap();
    assert!(reply.is_positive(), "{reply}");
    let seen = lab.transactions().pop().unwrap();
    let results = ["spf", "dkim", "dmarc"].map(|method| seen.result_of(method));
    assert_eq!(results, [Some("fail"), Some("pass"), Some("pass")]);

    let changed = message.replace("Subject: hello", "Subject: buy");
    let reply = send(&lab, [127, 0, 0, 99], STRICT, &changed).await.unwrap();
    assert_eq!(reply.status().to_string(), "5.7.26");
    assert!(reply.text().contains("DKIM = fail"), "{reply}");
}

#[tokio::test]
async fn the_strict_receiver_names_what_is_wrong_with_the_sender() {
    let sender = IpAddr::V4(SENDER_ADDRESS);
    type Change = fn(&Zone, IpAddr);
    let cases: [(Change, &str, &str); 6] = [
        (|zone, ip| zone.remove_pointer(ip), "5.7.25", "PTR"),
        (
            |zone, ip| {
                zone.remove_pointer(ip);
                zone.add_host("127-0-0-10.pool.isp.example", ip);
            },
            "5.7.1",
            "dynamic",
        ),
        (
            |zone, ip| zone.add_listing("zen.spamhaus.org", ip, [127, 0, 0, 10].into()),
            "5.7.1",
            "PBL",
        ),
        // That the list does not answer us says nothing about the sender.
        (
            |zone, ip| zone.add_listing("zen.spamhaus.org", ip, [127, 255, 255, 254].into()),
            "2.0.0",
            "Ok",
        ),
        (|zone, _| zone.remove("lab.example", RecordType::Txt), "5.7.23", "no SPF record"),
        (|zone, _| zone.add_txt("lab.example", "v=spf1 -all"), "5.7.24", "permerror"),
    ];
    let pem = PrivateKey::generate(Algorithm::Ed25519Sha256).unwrap();
    for (change, status, text) in cases {
        let lab = Lab::start(Options::default()).await.unwrap();
        let key = PrivateKey::from_pem(&pem).unwrap();
        lab.zone().add_txt("s1._domainkey.lab.example", &key.record_text());
        change(lab.zone(), sender);
        let message = signed(key, &format!("{MESSAGE}\r\n"));
        let reply = send(&lab, SENDER_ADDRESS.octets(), STRICT, message.trim_end()).await.unwrap();
        assert_eq!(reply.status().to_string(), status, "{reply}");
        assert!(reply.text().contains(text), "{reply}");
    }
}

#[tokio::test]
async fn a_relay_may_know_its_senders_and_a_name_server_may_break() {
    let options = Options { relay_refuses_senders: true, ..Options::default() };
    let lab = Lab::start(options).await.unwrap();
    let mut client = Client::connect(&lab, SENDER_ADDRESS, RELAY).await;
    let to = "ana@strict.example";
    let reply = client.send("root@lab.example", to, MESSAGE).await.unwrap();
    assert_eq!((reply.code().get(), reply.status().to_string().as_str()), (553, "5.7.1"));

    lab.break_second_name_server();
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let [first, second] = lab.name_servers();
    assert_eq!(first, lab.dns_addr());
    for (server, expected) in [(first, 0), (second, 2)] {
        socket.send_to(&question("mx.strict.example", 1), server).await.unwrap();
        let mut answer = [0; 512];
        let received = tokio::time::timeout(SECONDS_10, socket.recv_from(&mut answer));
        received.await.expect("an answer").unwrap();
        assert_eq!(answer[3] & 15, expected, "{server}");
    }
}

// A question as RFC 1035 §4.1 writes it.
fn question(name: &str, record_type: u8) -> Vec<u8> {
    let mut out = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.') {
        out.push(label.len().try_into().unwrap());
        out.extend_from_slice(label.as_bytes());
    }
    out.extend_from_slice(&[0, 0, record_type, 0, 1]);
    out
}

#[tokio::test]
async fn the_name_server_answers_over_udp() {
    let lab = Lab::start(Options::default()).await.unwrap();
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    // Response code, answers, records of authority.
    for (name, record_type, expected) in [
        ("strict.example", 15, (0, 1, 0)),
        ("mx.strict.example", 1, (0, 1, 0)),
        ("11.0.0.127.in-addr.arpa", 12, (0, 1, 0)),
        ("strict.example", 1, (0, 0, 1)),
        ("absent.example", 1, (3, 0, 1)),
    ] {
        socket.send_to(&question(name, record_type), lab.dns_addr()).await.unwrap();
        let mut answer = [0; 512];
        let received = tokio::time::timeout(SECONDS_10, socket.recv_from(&mut answer));
        received.await.expect("an answer").unwrap();
        assert_eq!(answer[..2], [0x12, 0x34]);
        assert_eq!(answer[2] & 4, 4, "authoritative");
        assert_eq!((answer[3] & 15, answer[7], answer[9]), expected, "{name} {record_type}");
    }
}

#[tokio::test]
async fn a_door_puts_everybody_off_or_leaves_them_waiting() {
    let lab = Lab::start(Options { kept: 2, ..Options::default() }).await.unwrap();
    lab.set_door(Door::Later);
    let mut client = Client::connect(&lab, SENDER_ADDRESS, PLAIN).await;
    let reply = client.send("me@lab.example", "you@plain.example", "x").await.unwrap();
    assert_eq!(reply.code().get(), 451);
    lab.set_door(Door::Silent);
    let mut client = Client::connect(&lab, SENDER_ADDRESS, PLAIN).await;
    let sending = client.send("me@lab.example", "you@plain.example", "x");
    tokio::pin!(sending);
    let silence = tokio::time::timeout(Duration::from_millis(300), &mut sending).await;
    assert!(silence.is_err(), "{silence:?}");
    lab.set_door(Door::Open);
    assert_eq!(sending.await.unwrap().code().get(), 250);
    // No more are kept than were asked for.
    let mut client = Client::connect(&lab, SENDER_ADDRESS, PLAIN).await;
    client.send("me@lab.example", "you@plain.example", "x").await.unwrap();
    let outcomes: Vec<_> = lab.transactions().iter().map(|seen| seen.outcome).collect();
    assert_eq!(outcomes, [Outcome::Accepted; 2]);
}
