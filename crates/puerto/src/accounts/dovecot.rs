//! Accounts that Dovecot knows, asked over its authentication socket: the protocol is its
//! own, version 1 (lines of fields with tabs between them).
//!
//! Every attempt has a connection of its own, which is cheap beside a password's hash, and
//! can be given up without harm to others.

use std::io;
use std::net::IpAddr;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use puerto_smtp::base64;
use puerto_smtp::sasl::Claim;
use tokio::io::{
    AsyncBufRead, AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader,
};
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::{Login, Verdict, Why};

/// How long an answer may take; a failure takes Dovecot two seconds by itself.
const PATIENCE: Duration = Duration::from_secs(30);
/// Octets of a line at most, as its documentation has it.
const MAX_LINE: u64 = 16 * 1024;
/// Lines of its greeting at most.
const MAX_GREETING: usize = 1000;

/// Judges a name and a password.
pub(super) async fn judge(socket: &Path, from: IpAddr, claim: &Claim) -> Verdict {
    let unavailable = |why: String| Verdict::Unavailable(format!("{}: {why}", socket.display()));
    // NUL ends a field of PLAIN.
    if claim.password.contains(&0) {
        return Verdict::Refused { account: None, why: Why::Malformed };
    }
    match timeout(PATIENCE, ask(socket, from, claim)).await {
        Ok(Ok(verdict)) => verdict,
        Ok(Err(error)) => unavailable(error.to_string()),
        Err(_) => unavailable("no answer".to_owned()),
    }
}

async fn ask(socket: &Path, from: IpAddr, claim: &Claim) -> io::Result<Verdict> {
    let mut stream = BufReader::new(UnixStream::connect(socket).await?);
    let hello = format!("VERSION\t1\t1\nCPID\t{}\n", number());
    stream.write_all(hello.as_bytes()).await?;
    greeting(&mut stream).await?;
    let message = [b"\0", claim.user.as_bytes(), b"\0", &claim.password].concat();
    // How fast anybody may guess has been decided here.
    let request = format!(
        "AUTH\t1\tPLAIN\tservice=smtp\tnologin\tno-penalty\tsecured\trip={from}\tresp={}\n",
        base64::encode(&message)
    );
    stream.write_all(request.as_bytes()).await?;
    loop {
        let line = line(&mut stream).await?;
        let mut fields = line.split('\t');
        let (command, number) = (fields.next(), fields.next());
        if let (Some(command), Some("1")) = (command, number) {
            return verdict(command, &fields.collect::<Vec<_>>(), &claim.user);
        }
    }
}

async fn greeting(stream: &mut (impl AsyncBufRead + Unpin)) -> io::Result<()> {
    let mut knows_plain = false;
    for _ in 0..MAX_GREETING {
        let line = line(stream).await?;
        match line.split('\t').collect::<Vec<_>>().as_slice() {
            ["VERSION", version, ..] if *version != "1" => {
                return Err(io::Error::other(format!("Dovecot protocol {version}")));
            }
            ["MECH", "PLAIN", ..] => knows_plain = true,
            ["DONE", ..] if knows_plain => return Ok(()),
            ["DONE", ..] => break,
            _ => {}
        }
    }
    Err(io::Error::other("no PLAIN: auth_mechanisms"))
}

fn verdict(command: &str, fields: &[&str], user: &str) -> io::Result<Verdict> {
    let value = |name: &str| fields.iter().find_map(|field| field.strip_prefix(name));
    let is_for_later = fields.contains(&"temp") || value("code=") == Some("temp_fail");
    match command {
        // It may know the user by another name than the one that was typed.
        "OK" => Ok(Verdict::Known(Login {
            account: value("user=").unwrap_or(user).to_owned(),
            application: String::new(),
            // Those of its users stand in the configuration.
            addresses: Vec::new(),
            by: None,
        })),
        "FAIL" if is_for_later => {
            Err(io::Error::other(value("reason=").unwrap_or("temp_fail").to_owned()))
        }
        "FAIL" => Ok(Verdict::Refused { account: None, why: Why::RefusedByDovecot }),
        other => Err(io::Error::other(format!("{other}?"))),
    }
}

async fn line(stream: &mut (impl AsyncBufRead + Unpin)) -> io::Result<String> {
    let mut octets = Vec::new();
    stream.take(MAX_LINE).read_until(b'\n', &mut octets).await?;
    match octets.strip_suffix(b"\n") {
        Some(line) => Ok(String::from_utf8_lossy(line).into_owned()),
        None => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

/// What Dovecot takes for our process: it must be nobody else's, and one connection's alone.
/// Processes have no numbers as great as these.
fn number() -> u32 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let process = std::process::id() % (1 << 14);
    let count = NEXT.fetch_add(1, Ordering::Relaxed) % (1 << 16);
    1 << 30 | process << 16 | count
}

#[cfg(test)]
mod tests {
    use tokio::net::UnixListener;

    use super::*;

    const GREETING: &str =
        "VERSION\t1\t2\nMECH\tPLAIN\tplaintext\nSPID\t7\nCUID\t1\nCOOKIE\tx\nDONE\n";

    /// What becomes of a login where Dovecot says this, and what it was asked.
    async fn told(greeting: &str, answer: &str) -> (Verdict, String) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("auth");
        let listener = UnixListener::bind(&path).unwrap();
        let (greeting, answer) = (greeting.to_owned(), answer.to_owned());
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.write_all(greeting.as_bytes()).await.unwrap();
            let mut reader = BufReader::new(stream);
            let mut said = String::new();
            while let Ok(1..) = reader.read_line(&mut said).await {
                if said.contains("AUTH\t") {
                    reader.write_all(answer.as_bytes()).await.unwrap();
                    break;
                }
            }
            said
        });
        let claim = Claim { user: "ana".to_owned(), password: "contraseña".into() };
        let verdict = judge(&path, "192.0.2.1".parse().unwrap(), &claim).await;
        (verdict, server.await.unwrap())
    }

    #[tokio::test]
    async fn what_dovecot_says_is_what_becomes_of_it() {
        let (verdict, asked) = told(GREETING, "OK\t1\tuser=Ana@example.com\n").await;
        let login = Login {
            account: "Ana@example.com".to_owned(),
            application: String::new(),
            addresses: Vec::new(),
            by: None,
        };
        assert_eq!(verdict, Verdict::Known(login));
        let response = base64::encode("\0ana\0contraseña".as_bytes());
        let lines: Vec<&str> = asked.lines().collect();
        let number = lines[1].strip_prefix("CPID\t").and_then(|number| number.parse().ok());
        assert_eq!((lines[0], lines.len()), ("VERSION\t1\t1", 3), "{asked}");
        assert!(number.is_some_and(|number: u32| number >= 1 << 30), "{asked}");
        assert!(asked.ends_with(&format!("\trip=192.0.2.1\tresp={response}\n")), "{asked}");
        let refused = Verdict::Refused { account: None, why: Why::RefusedByDovecot };
        for (greeting, answer, expected) in [
            (GREETING, "FAIL\t1\tuser=ana\n", Ok(&refused)),
            // Another's answer is none.
            (GREETING, "OK\t2\tuser=root\nFAIL\t1\n", Ok(&refused)),
            (GREETING, "FAIL\t1\ttemp\treason=down\n", Err("down")),
            (GREETING, "FAIL\t1\tcode=temp_fail\n", Err("temp_fail")),
            (GREETING, "CONT\t1\tYQ==\n", Err("CONT?")),
            (GREETING, "", Err("unexpected end of file")),
            (GREETING, "OK", Err("unexpected end of file")),
            ("VERSION\t2\t0\n", "", Err("Dovecot protocol 2")),
            ("VERSION\t1\t2\nMECH\tGSSAPI\nDONE\n", "", Err("no PLAIN")),
            ("", "", Err("")),
        ] {
            let (verdict, _) = match greeting {
                // Closed at once.
                "" => (
                    judge(
                        Path::new("/nonexistent"),
                        "::1".parse().unwrap(),
                        &Claim { user: "a".into(), password: b"b".to_vec() },
                    )
                    .await,
                    String::new(),
                ),
                greeting => told(greeting, answer).await,
            };
            match (expected, &verdict) {
                (Ok(expected), verdict) => assert_eq!(verdict, expected, "{answer:?}"),
                (Err(part), Verdict::Unavailable(why)) => assert!(why.contains(part), "{why}"),
                (Err(part), other) => panic!("{part}: {other:?}"),
            }
        }
        let claim = Claim { user: "ana".to_owned(), password: b"a\0b".to_vec() };
        let verdict = judge(Path::new("/nonexistent"), "::1".parse().unwrap(), &claim).await;
        assert_eq!(verdict, Verdict::Refused { account: None, why: Why::Malformed });
    }

    #[test]
    fn no_two_connections_have_the_same_number() {
        let numbers: std::collections::HashSet<u32> = (0..10_000).map(|_| number()).collect();
        assert_eq!(numbers.len(), 10_000);
        assert!(numbers.iter().all(|number| *number > 4_194_304));
    }
}
