//! Logins over real sockets, and that nobody relays without one.

use puerto_smtp::base64;

use super::*;
use crate::accounts::Book;

type Tls = Client<tokio_rustls::client::TlsStream<TcpStream>>;

const ELSEWHERE: &str = "RCPT TO:<someone@elsewhere.example>";

/// Strangers everywhere, on ports 25, 587 and 465, and an account: ana, with `secret word`.
fn with_logins(config: &mut Config) {
    strangers(config);
    with_tls(config);
    let any: Vec<SocketAddr> = vec!["127.0.0.1:0".parse().unwrap()];
    config.listen.submission.clone_from(&any);
    config.listen.submissions = any;
    let mut book = Book::default();
    let today = jiff::civil::date(2026, 11, 29);
    let ana = book.add("ana", &[]).unwrap();
    ana.set_password("", b"secret word", (today, None)).unwrap();
    ana.addresses.push("*".to_owned());
    book.save(&config.accounts.file, |_| Ok(())).unwrap();
}

impl Server {
    /// A client behind TLS on port 587 (1) or 465 (2).
    async fn secure(&self, index: usize) -> Tls {
        if index == 2 {
            let mut client = tls_client(self.client_of(2).await.stream).await;
            client.hello().await;
            return client;
        }
        let mut client = self.client_of(index).await;
        client.hello().await;
        client.expect("STARTTLS", "220").await;
        let mut client = tls_client(client.stream).await;
        client.expect("EHLO client.example", "250").await;
        client
    }

    fn stored(&self) -> String {
        let entry = self.spool.entries().pop().unwrap();
        let mut stored = String::new();
        let mut content = self.spool.content(entry.id).wait().unwrap();
        std::io::Read::read_to_string(&mut content, &mut stored).unwrap();
        stored
    }
}

fn plain(user: &str, password: &str) -> String {
    base64::encode(format!("\0{user}\0{password}").as_bytes())
}

/// A client's side of SCRAM.
struct Scram {
    header: String,
    bare: String,
    bound: Vec<u8>,
}

impl Scram {
    fn new(header: &str, user: &str, bound: &[u8]) -> Self {
        let bare = format!("n={user},r=cnonce");
        Self { header: header.to_owned(), bare, bound: bound.to_vec() }
    }

    async fn say(&self, client: &mut Tls, mechanism: &str) -> String {
        let first = base64::encode(format!("{}{}", self.header, self.bare).as_bytes());
        client.say(&format!("AUTH {mechanism} {first}")).await
    }

    /// The final message to a challenge, and what the server has to answer.
    fn prove(&self, challenge: &str, password: &str) -> (String, String) {
        let decode = |text: &str| base64::decode(text.trim().as_bytes()).unwrap();
        let sign = |key: &[u8], text: &[u8]| {
            let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, key);
            aws_lc_rs::hmac::sign(&key, text).as_ref().to_vec()
        };
        let asked = String::from_utf8(decode(challenge.strip_prefix("334 ").unwrap())).unwrap();
        let of = |name: &str| asked.split(',').find_map(|part| part.strip_prefix(name)).unwrap();
        let mut salted = [0; 32];
        let iterations = std::num::NonZeroU32::new(of("i=").parse().unwrap()).unwrap();
        let hash = aws_lc_rs::pbkdf2::PBKDF2_HMAC_SHA256;
        aws_lc_rs::pbkdf2::derive(
            hash,
            iterations,
            &decode(of("s=")),
            password.as_bytes(),
            &mut salted,
        );
        let client_key = sign(&salted, b"Client Key");
        let stored = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &client_key);
        let channel = base64::encode(&[self.header.as_bytes(), &self.bound].concat());
        let covered = format!("c={channel},r={}", of("r="));
        let message = format!("{},{asked},{covered}", self.bare);
        let signature = sign(stored.as_ref(), message.as_bytes());
        let proof: Vec<u8> = client_key.iter().zip(&signature).map(|(k, s)| k ^ s).collect();
        let last = base64::encode(format!("{covered},p={}", base64::encode(&proof)).as_bytes());
        let answer = sign(&sign(&salted, b"Server Key"), message.as_bytes());
        let answer = base64::encode(format!("v={}", base64::encode(&answer)).as_bytes());
        (last, format!("334 {answer}\r\n"))
    }
}

fn exported(client: &Tls) -> [u8; 32] {
    let (_, connection) = client.stream.get_ref();
    connection.export_keying_material([0; 32], b"EXPORTER-Channel-Binding", None).unwrap()
}

/// By the certificate as the client got it, which is signed with SHA-256.
fn end_point(client: &Tls) -> Vec<u8> {
    let (_, connection) = client.stream.get_ref();
    let certificate = connection.peer_certificates().unwrap().first().unwrap();
    aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, certificate).as_ref().to_vec()
}

#[tokio::test]
async fn whoever_logs_in_may_send_anywhere_and_the_trace_says_so() {
    let server = Server::start(with_logins);
    for (index, command) in [
        (1, format!("AUTH PLAIN {}", plain("ana", "secret word"))),
        (2, format!("AUTH PLAIN {}", plain("Ana@example.com", "secret word"))),
    ] {
        let mut client = server.secure(index).await;
        client.expect("MAIL FROM:<a@b.example>", "530 5.7.0 Authentication required").await;
        client.expect(&command, "235 2.7.0").await;
        client.send("someone@elsewhere.example").await;
        assert!(server.stored().contains(" with ESMTPSA id "), "{}", server.stored());
        assert!(server.logged("login: Some(\"ana\")"));
        client.expect("MAIL FROM:<bare> RET=HDRS", "250").await;
    }
    // Whoever has not is known as before.
    let mut client = server.secure(0).await;
    client.send("root@example.com").await;
    assert!(server.stored().contains(" with ESMTPS id "), "{}", server.stored());
    assert_eq!(server.queued(), 3);
}

#[tokio::test]
async fn logins_are_offered_under_tls_on_their_ports_alone() {
    let server = Server::start(with_logins);
    const OFFER: &str = "250-AUTH SCRAM-SHA-256-PLUS SCRAM-SHA-256 PLAIN LOGIN\r\n";
    let login = format!("AUTH PLAIN {}", plain("ana", "secret word"));
    for (index, is_offered) in [(0, false), (1, true)] {
        let mut client = server.client_of(index).await;
        client.reply().await;
        assert!(!client.say("EHLO client.example").await.contains("AUTH"));
        client.expect(&login, if is_offered { "538 5.7.11" } else { "503 5.5.1" }).await;
        let mut client = server.secure(index).await;
        assert_eq!(client.say("EHLO client.example").await.contains(OFFER), is_offered);
        client.expect(&login, if is_offered { "235" } else { "503 5.5.1" }).await;
    }
    let mut client = server.secure(2).await;
    assert!(client.say("EHLO client.example").await.contains(OFFER));
    // Without bindings nobody is told of them, and who could bind says that it was not told.
    let unbound = Server::start(|config| {
        with_logins(config);
        config.accounts.channel_binding = false;
    });
    let mut client = unbound.secure(1).await;
    let offer = "250-AUTH SCRAM-SHA-256 PLAIN LOGIN\r\n";
    assert!(client.say("EHLO client.example").await.contains(offer));
    let scram = Scram::new("y,,", "ana", b"");
    let challenge = scram.say(&mut client, "SCRAM-SHA-256").await;
    let (last, _) = scram.prove(&challenge, "secret word");
    assert!(client.say(&last).await.starts_with("334"));
    let without_certificate = Server::start(|config| {
        with_logins(config);
        config.tls = None;
    });
    let mut client = without_certificate.client_of(1).await;
    client.hello().await;
    client.expect(&login, "503 5.5.1").await;
    client.expect("MAIL FROM:<a@b.example>", "530 5.7.0").await;
    let mut user = Client { stream: UnixStream::connect(server.socket()).await.unwrap() };
    user.hello().await;
    user.expect(&login, "503 5.5.1").await;
}

/// No way to begin a login, to break it off or to fail in it opens the server.
#[tokio::test]
async fn nobody_relays_without_having_logged_in() {
    let server = Server::start(with_logins);
    let [wrong, right] = ["wrong", "secret word"].map(|password| plain("ana", password));
    let [guess, other] =
        [&wrong, &plain("nobody", "secret word")].map(|p| format!("AUTH PLAIN {p}"));
    let for_another = format!("AUTH PLAIN {}", base64::encode(b"root\0ana\0secret word"));
    let attempts: [&[(&str, &str)]; 9] = [
        &[],
        &[(&guess, "535 5.7.8")],
        &[(&for_another, "535 5.7.8")],
        &[(&other, "535 5.7.8")],
        &[("AUTH PLAIN", "334 \r\n"), ("*", "501 5.7.0")],
        &[("AUTH PLAIN =", "535 5.7.8")],
        &[("AUTH LOGIN YW5h", "334 "), ("", "535 5.7.8")],
        &[("AUTH LOGIN", "334 "), ("/w==", "334 "), (&right, "535 5.7.8")],
        &[("AUTH CRAM-MD5", "504 5.5.4")],
    ];
    for index in [1, 2] {
        // As many as a client may fail before it is sent away.
        let server = Server::start(with_logins);
        for attempt in attempts {
            let mut client = server.secure(index).await;
            for (said, reply) in attempt {
                client.expect(said, reply).await;
            }
            client.expect("MAIL FROM:<ana@example.com>", "530 5.7.0").await;
            client.expect(ELSEWHERE, "503").await;
            client.expect("MAIL FROM:<ana@example.com> AUTH=<ana@example.com>", "530 5.7.0").await;
        }
        let failed = |account: &str, why: &str| {
            let event = format!("mechanism: \"PLAIN\", account: {account}, why: \"{why}\"");
            server.logged(&event)
        };
        assert!(failed("Some(\"ana\")", "wrong password") && failed("None", "no such account"));
        let log = server.events.lock().unwrap().join("\n");
        assert!(!log.contains("secret") && !log.contains("nobody"), "{log}");
        assert_eq!(server.queued(), 0);
    }
    // On port 25 a login is not even looked at, and on no other connection does it hold.
    let mut known = server.secure(1).await;
    known.expect(&format!("AUTH PLAIN {right}"), "235").await;
    let mut client = server.secure(0).await;
    client.expect(&format!("AUTH PLAIN {right}"), "503").await;
    client.expect("MAIL FROM:<ana@example.com>", "250").await;
    client.expect(ELSEWHERE, "554 5.7.1").await;
    let mut client = server.secure(1).await;
    client.expect("MAIL FROM:<ana@example.com>", "530 5.7.0").await;
    assert_eq!(server.queued(), 0);
}

#[tokio::test]
async fn a_proof_lets_in_and_shows_the_client_that_it_is_us() {
    let server = Server::start(with_logins);
    for (index, mechanism, header) in [
        (1, "SCRAM-SHA-256", "n,,"),
        (2, "scram-sha-256-plus", "p=tls-exporter,,"),
        (1, "SCRAM-SHA-256-PLUS", "p=tls-server-end-point,,"),
    ] {
        let mut client = server.secure(index).await;
        let bound = match header {
            "n,," => Vec::new(),
            "p=tls-exporter,," => exported(&client).to_vec(),
            _ => end_point(&client),
        };
        let scram = Scram::new(header, "ana", &bound);
        let challenge = scram.say(&mut client, mechanism).await;
        let (last, answer) = scram.prove(&challenge, "secret word");
        assert_eq!(client.say(&last).await, answer);
        // Not before the client has taken it.
        client.expect("", "235 2.7.0").await;
        client.send("someone@elsewhere.example").await;
    }
    let mut client = server.secure(1).await;
    client.expect("AUTH SCRAM-SHA-256", "334 \r\n").await;
    client.expect("*", "501").await;
    let scram = Scram::new("n,,", "ana", b"");
    let challenge = scram.say(&mut client, "SCRAM-SHA-256").await;
    let (last, answer) = scram.prove(&challenge, "secret word");
    assert_eq!(client.say(&last).await, answer);
    client.expect("*", "501").await;
    client.expect("MAIL FROM:<ana@example.com>", "530 5.7.0").await;
}

#[tokio::test]
async fn a_proof_that_is_not_its_own_lets_nobody_in() {
    let server = Server::start(with_logins);
    let mut client = server.secure(1).await;
    // Another password, another account, one that is not: asked and refused alike.
    for (user, password) in [("ana", "guess"), ("nobody", "secret word"), ("root", "")] {
        let scram = Scram::new("n,,", user, b"");
        let challenge = scram.say(&mut client, "SCRAM-SHA-256").await;
        let (last, _) = scram.prove(&challenge, password);
        client.expect(&last, "535 5.7.8").await;
    }
    // Somebody in between: another connection's binding, none where it is needed, and a
    // client that was told that there is none.
    let (exporter, end_point) = ("p=tls-exporter,,", "p=tls-server-end-point,,");
    for (mechanism, header, bound) in [
        ("SCRAM-SHA-256-PLUS", exporter, &[7; 32][..]),
        ("SCRAM-SHA-256-PLUS", exporter, b""),
        ("SCRAM-SHA-256-PLUS", "n,,", b""),
        ("SCRAM-SHA-256-PLUS", "p=tls-unique,,", b""),
        ("SCRAM-SHA-256-PLUS", end_point, &[7; 32]),
        ("SCRAM-SHA-256-PLUS", end_point, b""),
        ("SCRAM-SHA-256", end_point, b""),
        ("SCRAM-SHA-256", exporter, b""),
        ("SCRAM-SHA-256", "y,,", b""),
        ("SCRAM-SHA-256", "n,a=root,", b""),
    ] {
        let mut client = server.secure(1).await;
        let scram = Scram::new(header, "ana", bound);
        let mut reply = scram.say(&mut client, mechanism).await;
        if reply.starts_with("334") {
            let (last, _) = scram.prove(&reply, "secret word");
            reply = client.say(&last).await;
        }
        assert!(reply.starts_with("535 5.7.8"), "{mechanism} {header}: {reply}");
        client.expect("MAIL FROM:<ana@example.com>", "530 5.7.0").await;
    }
}

#[tokio::test]
async fn who_fails_too_often_is_sent_away() {
    let server = Server::start(with_logins);
    let wrong = format!("AUTH PLAIN {}", plain("ana", "wrong"));
    let mut client = server.secure(1).await;
    for _ in 0..3 {
        client.expect(&wrong, "535 5.7.8").await;
    }
    client.expect(&wrong, "421 4.7.0 Error: too many failed logins").await;
    assert!(client.is_closed().await);
    // An address that guessed for long is not even judged.
    server.accounts.guessed_from("127.0.0.1".parse().unwrap(), 10);
    let mut client = server.secure(2).await;
    client.expect(&format!("AUTH PLAIN {}", plain("ana", "secret word")), "421 4.7.0").await;
    assert!(client.is_closed().await);
    assert!(server.logged("too many failed logins from this address"));
}

#[tokio::test]
async fn a_book_that_cannot_be_read_is_for_later_and_not_the_clients_fault() {
    let server = Server::start(|config| {
        with_logins(config);
        std::fs::write(&config.accounts.file, "[[account").unwrap();
    });
    let mut client = server.secure(1).await;
    client.expect(&format!("AUTH PLAIN {}", plain("ana", "secret word")), "454 4.7.0").await;
    let first = base64::encode(b"n,,n=ana,r=x");
    client.expect(&format!("AUTH SCRAM-SHA-256 {first}"), "454 4.7.0").await;
    client.expect("MAIL FROM:<ana@example.com>", "530 5.7.0").await;
    assert!(server.logged("PLAIN login not judged: ") && server.logged("accounts: line 1"));
    assert!(!server.logged("LoginFailed"));
}

#[tokio::test]
async fn a_session_ends_when_its_password_is_taken_away() {
    let file = std::sync::Arc::new(std::sync::Mutex::new(std::path::PathBuf::new()));
    let known = std::sync::Arc::clone(&file);
    let server = Server::start(move |config| {
        with_logins(config);
        known.lock().unwrap().clone_from(&config.accounts.file);
    });
    let file = file.lock().unwrap().clone();
    let change = |change: &dyn Fn(&mut Book)| {
        let mut book = Book::load(&file).unwrap();
        change(&mut book);
        book.save(&file, |_| Ok(())).unwrap();
    };
    let today = jiff::civil::date(2026, 11, 29);
    change(&|book| {
        let ana = book.get_mut("ana", &[]).unwrap();
        ana.set_password("phone", b"of the phone", (today, None)).unwrap();
    });
    let mut own = server.secure(1).await;
    own.expect(&format!("AUTH PLAIN {}", plain("ana", "secret word")), "235").await;
    let mut phone = server.secure(2).await;
    phone.expect(&format!("AUTH PLAIN {}", plain("ana", "of the phone")), "235").await;
    phone.send("someone@elsewhere.example").await;
    change(&|book| assert!(book.get_mut("ana", &[]).unwrap().remove_password("phone")));
    phone.expect("MAIL FROM:<ana@example.com>", "421 4.7.0").await;
    assert!(phone.is_closed().await);
    assert!(server.logged("session of ana closed"));
    // The others go on, until theirs is another.
    own.send("someone@elsewhere.example").await;
    change(&|book| {
        let ana = book.get_mut("ana", &[]).unwrap();
        ana.set_password("", b"another word", (today, None)).unwrap();
    });
    own.expect("MAIL FROM:<ana@example.com>", "421 4.7.0").await;
    let mut own = server.secure(1).await;
    own.expect(&format!("AUTH PLAIN {}", plain("ana", "another word")), "235").await;
    std::fs::write(&file, "[[account").unwrap();
    own.expect("MAIL FROM:<ana@example.com>", "451 4.3.0").await;
    std::fs::write(&file, "").unwrap();
    own.expect("MAIL FROM:<ana@example.com>", "421 4.7.0").await;
    assert_eq!(server.queued(), 2);
}
