//! What strangers send, and what they get.

use super::*;
use crate::config::Config;

async fn reply_to(octets: &[u8], answers: &Answers) -> String {
    let (mut ours, theirs) = tokio::io::duplex(64 * 1024);
    let answers = answers.clone();
    let served =
        tokio::spawn(async move { serve(theirs, |request| answers.answer(request)).await });
    ours.write_all(octets).await.unwrap();
    ours.shutdown().await.unwrap();
    let mut text = String::new();
    tokio::io::AsyncReadExt::read_to_string(&mut ours, &mut text).await.unwrap();
    served.await.unwrap().unwrap();
    text
}

fn answers() -> Answers {
    let answers = Answers::default();
    answers.page("token", Some("token.thumb".to_owned()));
    answers
}

#[tokio::test]
async fn a_challenge_is_answered_and_nothing_else() {
    let answers = answers();
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: mail.example.com\r\n\r\n");
    for (request, status, body) in [
        (get("/.well-known/acme-challenge/token"), 200, "token.thumb"),
        (get("/.well-known/acme-challenge/token?x=1"), 200, "token.thumb"),
        (get("http://mail.example.com/.well-known/acme-challenge/token"), 200, "token.thumb"),
        (get("/.well-known/acme-challenge/other"), 404, "Not Found\n"),
        (get("/.well-known/acme-challenge/../acme-challenge/token"), 404, "Not Found\n"),
        (get("/"), 404, "Not Found\n"),
        (get("/../../etc/passwd"), 404, "Not Found\n"),
        (get("http://mail.example.com"), 404, "Not Found\n"),
        (get("/.well-known/acme-challenge/token").replace("GET", "HEAD"), 200, ""),
        (
            get("/.well-known/acme-challenge/token").replace("GET", "POST"),
            405,
            "Method Not Allowed\n",
        ),
        ("GET /.well-known/acme-challenge/token HTTP/1.0\r\n\r\n".into(), 200, "token.thumb"),
        (get("/x").replace("HTTP/1.1", "HTTP/2.0"), 505, "HTTP Version Not Supported\n"),
        (get("/x").replace("Host: mail.example.com\r\n", ""), 400, "Bad Request\n"),
        (get("/x").replace("Host:", "Host : a\r\nHost:"), 400, "Bad Request\n"),
        (get("/x").replace("Host:", "Host: a\r\nHost:"), 400, "Bad Request\n"),
        (get("x"), 400, "Bad Request\n"),
        ("EHLO mail.example.com\r\n\r\n".into(), 400, "Bad Request\n"),
        ("GET / HTTP/1.1\r\nHost: a".into(), 400, "Bad Request\n"),
        ("\r\n\r\n".into(), 400, "Bad Request\n"),
        (get(&format!("/{}", "x".repeat(9000))), 431, "Request Header Fields Too Large\n"),
    ] {
        let reply = reply_to(request.as_bytes(), &answers).await;
        let (head, shown) = reply.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{request:?}: {head}");
        assert_eq!(shown, body, "{request:?}");
        assert!(head.contains("Connection: close"), "{head}");
    }
    assert!(reply_to(&[0xff; 100], &answers).await.starts_with("HTTP/1.1 400"));
    answers.page("token", None);
    let gone = reply_to(get("/.well-known/acme-challenge/token").as_bytes(), &answers).await;
    assert!(gone.starts_with("HTTP/1.1 404"), "{gone}");
}

#[tokio::test]
async fn a_request_may_come_octet_by_octet() {
    let answers = answers();
    let (mut ours, theirs) = tokio::io::duplex(1);
    let served =
        tokio::spawn(async move { serve(theirs, |request| answers.answer(request)).await });
    let request = b"GET /.well-known/acme-challenge/token HTTP/1.1\r\nhost: a:80\r\n\r\n";
    ours.write_all(request).await.unwrap();
    let mut text = String::new();
    tokio::io::AsyncReadExt::read_to_string(&mut ours, &mut text).await.unwrap();
    served.await.unwrap().unwrap();
    assert!(text.ends_with("\r\n\r\ntoken.thumb"), "{text}");
}

#[test]
fn only_what_is_configured_is_bound_and_what_cannot_be_is_told() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let place = taken.local_addr().unwrap();
    let doors = |text: &str| Doors::open(&Config::parse(text, "test").unwrap());
    assert!(doors("").addresses().is_empty());
    let acme = format!(
        "[acme]\ndirectory = \"https://acme.test/dir\"\naccept_terms = true\nlisten = [\"{place}\"]\n"
    );
    let told = doors(&acme);
    assert!(told.addresses().is_empty());
    assert!(told.warnings()[0].contains("acme.listen"), "{:?}", told.warnings());
    let free = acme.replace(&place.to_string(), "127.0.0.1:0");
    assert_eq!(doors(&free).addresses().len(), 1);
}

#[test]
fn the_policy_of_each_of_our_domains_is_served_and_of_no_other() {
    let text = "domains = [\"example.com\", \"b\u{fc}cher.example\"]\nhostname = \"mx.example.com\"\n\
                [acme]\ndirectory = \"https://acme.test/dir\"\naccept_terms = true\n\
                [mta_sts]\nmode = \"testing\"\n";
    let config = Config::parse(text, "test").unwrap();
    assert_eq!(
        config.acme.names,
        ["mx.example.com", "mta-sts.example.com", "mta-sts.xn--bcher-kva.example"]
    );
    let site = Site { answers: answers(), config: Live::new(config), tls: ServerTls::default() };
    let ask = |host: &str, path: &str| {
        let (path, host) = (path.to_owned(), host.to_owned());
        site.policy(&Request { path, host, is_head: false })
    };
    let reply = ask("mta-sts.example.com", mtasts::PATH);
    assert_eq!(
        (reply.status, reply.body.as_str()),
        (200, "version: STSv1\nmode: testing\nmx: mx.example.com\nmax_age: 604800\n")
    );
    let policy = mtasts::Policy::read(&reply.body).unwrap();
    assert_eq!(policy.pattern_of("mx.example.com"), Some("mx.example.com"));
    assert_eq!(ask("mta-sts.xn--bcher-kva.example", mtasts::PATH).status, 200);
    for (host, path) in [
        ("mta-sts.example.net", mtasts::PATH),
        ("example.com", mtasts::PATH),
        ("mta-sts.mx.example.com", mtasts::PATH),
        ("", mtasts::PATH),
        ("mta-sts.example.com", "/"),
        ("mta-sts.example.com", "/.well-known/acme-challenge/token"),
    ] {
        assert_eq!(ask(host, path).status, 404, "{host} {path}");
    }
}

// What stands at a place after `GET /`: the first octets of the reply, or nothing.
async fn at(place: std::net::SocketAddr) -> Option<String> {
    let mut stream = TcpStream::connect(place).await.ok()?;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.ok()?;
    let mut reply = Vec::new();
    tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut reply).await.ok()?;
    Some(String::from_utf8_lossy(&reply).into_owned())
}

#[tokio::test]
async fn a_reload_opens_what_is_new_and_closes_what_is_gone() {
    let config = |text: &str| Config::parse(text, "test").unwrap();
    let acme = |challenge: &str, place: &str| {
        config(&format!(
            "[acme]\ndirectory = \"https://acme.test/dir\"\naccept_terms = true\n\
             challenge = \"{challenge}\"\nlisten = [\"{place}\"]\n"
        ))
    };
    let doors = Doors::open(&config(""));
    let site =
        Site { answers: answers(), config: Live::new(config("")), tls: ServerTls::default() };
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let running = tokio::spawn(doors.clone().run(site, stopped));
    tokio::task::yield_now().await;
    assert!(doors.addresses().is_empty());

    let by_page = acme("http-01", "127.0.0.1:0");
    assert!(doors.reload(&by_page).is_empty());
    let [place] = doors.addresses()[..] else { panic!("{:?}", doors.addresses()) };
    assert!(at(place).await.unwrap().starts_with("HTTP/1.1 404"));
    // The same again moves nothing.
    assert!(doors.reload(&by_page).is_empty());
    assert_eq!(doors.addresses(), [place]);

    // The same place for another challenge: whoever speaks HTTP there gets no word.
    assert!(doors.reload(&acme("tls-alpn-01", "127.0.0.1:0")).is_empty());
    assert_eq!(doors.addresses(), [place]);
    while at(place).await.is_some_and(|reply| reply.starts_with("HTTP/")) {
        tokio::task::yield_now().await;
    }

    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let told = doors.reload(&acme("http-01", &taken.local_addr().unwrap().to_string()));
    assert!(told[0].contains("acme.listen"), "{told:?}");
    assert!(doors.addresses().is_empty());
    while TcpStream::connect(place).await.is_ok() {
        tokio::task::yield_now().await;
    }
    assert!(doors.reload(&config("")).is_empty());

    stop.send(true).unwrap();
    running.await.unwrap();
}
