//! Servers that encrypt, and others.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpListener;

use super::super::tests::made::{Made, troubles};
use super::*;
use crate::config::TlsFiles;
use crate::tls::ServerTls;

const PATIENCE: Duration = Duration::from_secs(60);

fn acceptor() -> tokio_rustls::TlsAcceptor {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tls");
    // Only the server may read a key.
    let own = tempfile::tempdir().unwrap();
    let key = own.path().join("key");
    std::fs::copy(folder.join("mx.key"), &key).unwrap();
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
    let files = TlsFiles { certificate: folder.join("mx.pem"), key };
    ServerTls::load(Some(&files)).unwrap().acceptor().unwrap().tls
}

// Says the first line, then one answer to each that it hears; after the last it does
// what its TLS is said to do.
async fn met(lines: &'static [&'static str], encrypts: bool) -> Starttls {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let peer = listener.local_addr().unwrap();
    let server = async {
        let (stream, _) = listener.accept().await.unwrap();
        let mut stream = BufReader::new(stream);
        for (number, line) in lines.iter().enumerate() {
            let mut heard = String::new();
            if number > 0 && stream.read_line(&mut heard).await.unwrap_or(0) == 0 {
                return;
            }
            stream.write_all(line.as_bytes()).await.unwrap();
        }
        if encrypts {
            let stream = acceptor().accept(stream.into_inner()).await.unwrap();
            let mut stream = BufReader::new(stream);
            for answer in ["250 mx\r\n", "221 bye\r\n"] {
                stream.read_line(&mut String::new()).await.unwrap();
                stream.write_all(answer.as_bytes()).await.unwrap();
                stream.flush().await.unwrap();
            }
        } else if lines.last().unwrap().starts_with("220 go") {
            let _ = stream.write_all(b"this is no handshake\r\n").await;
        }
    };
    let names = ("mx.example", "mail.example.com");
    tokio::join!(attempt(peer, None, names, PATIENCE), server).0
}

#[tokio::test]
async fn what_a_server_does_is_told_apart() {
    let found =
        met(&["220 mx.example\r\n", "250-mx\r\n250 STARTTLS\r\n", "220 go\r\n"], true).await;
    assert!(
        matches!(&found, Starttls::Encrypted(what) if what.to_string().starts_with("TLSv1.3")),
        "{found:?}"
    );
    let found =
        met(&["220-mx\r\n220 mx\r\n", "250-mx\r\n250 SIZE\r\n", "221 bye\r\n"], false).await;
    assert_eq!(found, Starttls::NotOffered);
    // What a box that inspects SMTP makes of it.
    let found =
        met(&["220 mx\r\n", "250-mx\r\n250-XXXXXXXA\r\n250 OK\r\n", "221\r\n"], false).await;
    assert_eq!(found, Starttls::NotOffered);
    let refused = &["220 mx\r\n", "250-mx\r\n250 STARTTLS\r\n", "454 not now\r\n"];
    assert_eq!(met(refused, false).await, Starttls::Failed(Said::words("454 not now")));
    let broken = &["220 mx\r\n", "250-mx\r\n250 STARTTLS\r\n", "220 go\r\n"];
    let found = met(broken, false).await;
    assert!(matches!(found, Starttls::Failed(_)), "{found:?}");
    let found = met(&["554 go away\r\n"], false).await;
    assert_eq!(found, Starttls::NotTried(Said::words("554 go away")));
}

#[test]
fn one_that_encrypts_is_enough_and_one_that_does_not_proves_nothing() {
    let encrypted = || Starttls::Encrypted(Said::words("TLSv1.3"));
    let failed = || Starttls::Failed(Said::words("no"));
    let silent = || Starttls::NotTried(Said::words("no answer in time"));
    for (found, expected) in [
        (vec![encrypted(), encrypted()], None),
        (vec![encrypted(), Starttls::NotOffered, failed()], None),
        (vec![], None),
        (vec![silent(), silent()], Some("unknown")),
        (vec![Starttls::NotOffered, silent()], Some("unknown")),
        (vec![failed()], Some("unknown")),
        (vec![Starttls::NotOffered, Starttls::NotOffered], Some("finding")),
        (vec![failed(), Starttls::NotOffered, silent()], Some("finding")),
    ] {
        let tries: Vec<_> = found.into_iter().map(|one| ("mx.example".to_owned(), one)).collect();
        let checks = Made::default().judge(|_| {}, |context| Some(vec![judge(context, &tries)]));
        let expected = expected.map(|status| format!("tls.out {status} error mail.example.com"));
        assert_eq!(troubles(&checks), expected.into_iter().collect::<Vec<_>>(), "{tries:?}");
    }
}
