//! A command that an alias, a list or a `.forward` names: the message is its standard
//! input.
//!
//! It is run by the process of one delivery, after that has become its user for good, with
//! an environment that holds nothing but what it is told of the message. Whatever it does,
//! there is an end to it: it is a process group of its own, which is killed when its time is
//! over, or when the message cannot be given to it whole.

use std::io::{self, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{Child, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use puerto_spool::clock::{Clock as _, SystemClock};

use super::account::Account;
use super::failure::Failure;
use super::frame::{Chunks, Request};
use super::{mbox, text};
use crate::cause::Cause;

/// Octets of what it says that are kept.
const OUTPUT: usize = 2000;
/// How long what it has said is waited for once it has ended: what it left behind may hold
/// the other end.
const LAST_WORDS: Duration = Duration::from_millis(500);
/// Where programs are looked for.
const PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Exit(i32),
    Signal(i32),
    TooSlow,
}

/// Gives a command the message that comes over the stream, and waits for its end.
pub(super) fn run(
    account: &Account,
    request: &Request,
    command: &str,
    (stream, limit): (UnixStream, Duration),
) -> Result<(), Failure> {
    let deadline = SystemClock.elapsed() + limit;
    let failed =
        |error: io::Error| Failure::system(error, |error| Cause::CommandNotStarted { error });
    let (output, theirs) = io::pipe().map_err(failed)?;
    let mut shell = std::process::Command::new("/bin/sh");
    shell.args(["-c", command]).env_clear().envs(environment(account, request));
    shell.current_dir("/").process_group(0).stdin(Stdio::piped());
    shell.stdout(theirs.try_clone().map_err(failed)?).stderr(theirs);
    let mut child = shell.spawn().map_err(failed)?;
    // The pipe's other end is the child's alone from here on.
    drop(shell);
    let said = listen(output);
    let given = give(request, &mut child, stream, deadline);
    let end = wait(&mut child, &given, deadline)?;
    let output = said.recv_timeout(LAST_WORDS).unwrap_or_default();
    judge(end, command, &output, limit)
}

// What it says, as far as it is kept; the rest is read and forgotten.
fn listen(mut output: io::PipeReader) -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        let mut kept = Vec::new();
        let _ = output.by_ref().take(OUTPUT as u64).read_to_end(&mut kept);
        // A command that says more than that is not made to wait.
        let more = kept.len() == OUTPUT;
        let _ = sender.send(String::from_utf8_lossy(&kept).into_owned());
        if more {
            let _ = io::copy(&mut output, &mut io::sink());
        }
    });
    receiver
}

// The message goes in beside; the error is of the message, whose end then never comes.
fn give(
    request: &Request,
    child: &mut Child,
    mut stream: UnixStream,
    deadline: Duration,
) -> mpsc::Receiver<io::Error> {
    let (sender, receiver) = mpsc::channel();
    let Some(mut stdin) = child.stdin.take() else { return receiver };
    let mut preface = mbox::from_line(request);
    preface.push_str(&request.header);
    std::thread::spawn(move || {
        let mut chunks = Chunks::new(&mut stream, deadline);
        let given = stdin
            .write_all(preface.as_bytes())
            .and_then(|()| text::copy(&mut chunks, &mut stdin, false));
        // A command need not read all of it.
        if let Err(error) = given
            && error.kind() != io::ErrorKind::BrokenPipe
        {
            let _ = sender.send(error);
            // So that it does not take what it has for the whole.
            drop(stream);
            std::thread::park();
        }
    });
    receiver
}

fn wait(
    child: &mut Child,
    given: &mpsc::Receiver<io::Error>,
    deadline: Duration,
) -> Result<End, Failure> {
    let mut pause = Duration::from_millis(1);
    loop {
        if let Ok(error) = given.try_recv() {
            kill(child);
            return Err(Failure::of_message(error));
        }
        let ended = child.try_wait();
        let ended = ended
            .map_err(|error| Failure::system(error, |error| Cause::CommandNotStarted { error }))?;
        if let Some(status) = ended {
            return Ok(end_of(status));
        }
        if SystemClock.elapsed() >= deadline {
            kill(child);
            return Ok(End::TooSlow);
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(50));
    }
}

fn end_of(status: ExitStatus) -> End {
    match status.code() {
        Some(code) => End::Exit(code),
        None => End::Signal(status.signal().unwrap_or_default()),
    }
}

fn kill(child: &mut Child) {
    if let Ok(group) = i32::try_from(child.id()) {
        let _ = killpg(Pid::from_raw(group), Signal::SIGKILL);
    }
    let _ = child.wait();
}

// What a command's end means, by sysexits.h as Postfix reads it. That it could not be found
// or not be run (the shell's 126 and 127) is this machine's trouble, and not the sender's.
fn judge(end: End, command: &str, output: &str, limit: Duration) -> Result<(), Failure> {
    let command = command.to_owned();
    let output = one_line(output);
    let code = match end {
        End::Exit(0) => return Ok(()),
        End::Exit(code) => code,
        End::Signal(signal) => {
            let signal = signal.unsigned_abs().into();
            return Err(Failure::later(3, 0, Cause::CommandKilled { command, signal }));
        }
        End::TooSlow => {
            let seconds = limit.as_secs();
            return Err(Failure::later(3, 0, Cause::CommandTooSlow { command, seconds }));
        }
    };
    let cause = match output.as_str() {
        "" => Cause::CommandFailed { command, code: code.unsigned_abs().into() },
        _ => Cause::CommandSaid { command, code: code.unsigned_abs().into(), output },
    };
    let (subject, detail) = match code {
        65 => (6, 0),
        67 => (1, 1),
        68 => (1, 2),
        73 => (2, 0),
        76 => (5, 0),
        77 => (7, 0),
        78 => (3, 5),
        _ => (3, 0),
    };
    Err(match code {
        75 | 126 | 127 => Failure::later(3, 0, cause),
        _ => Failure::never(subject, detail, cause),
    })
}

// On one line, without what a terminal would obey.
fn one_line(output: &str) -> String {
    let words = output.split(|c: char| c.is_whitespace() || c.is_control());
    words.filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}

fn environment(account: &Account, request: &Request) -> Vec<(&'static str, String)> {
    let mut all = vec![
        ("PATH", PATH.to_owned()),
        ("HOME", account.home.display().to_string()),
        ("USER", account.name.clone()),
        ("LOGNAME", account.name.clone()),
        ("SHELL", account.shell.display().to_string()),
        ("SENDER", clean(&request.sender)),
    ];
    if let Some(deed) = &request.deed {
        all.extend([
            ("RECIPIENT", clean(&deed.recipient)),
            ("ORIGINAL_RECIPIENT", clean(&deed.original)),
            ("LOCAL", clean(&deed.local)),
            ("DOMAIN", clean(&deed.domain)),
            ("EXTENSION", clean(&deed.extension)),
        ]);
    }
    if let Ok(zone) = std::env::var("TZ") {
        all.push(("TZ", zone));
    }
    all
}

// Strangers choose these: what a shell might take for more than a word is no part of them.
fn clean(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "!@%-_=+:,./".contains(c);
    text.chars().map(|c| if is_plain(c) { c } else { '_' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::local::frame::DeedRequest;
    use puerto_smtp::EnhancedCode;
    use std::path::Path;

    #[test]
    fn an_exit_code_means_what_sysexits_says() {
        let judged = |end| {
            let failure = judge(end, "cmd", "sorry\n", Duration::from_secs(9)).unwrap_err();
            (failure.status, failure.cause.text().into_owned())
        };
        for (code, status) in [
            (75, (4, 3, 0)),
            (126, (4, 3, 0)),
            (127, (4, 3, 0)),
            (1, (5, 3, 0)),
            (64, (5, 3, 0)),
            (65, (5, 6, 0)),
            (67, (5, 1, 1)),
            (68, (5, 1, 2)),
            (70, (5, 3, 0)),
            (73, (5, 2, 0)),
            (77, (5, 7, 0)),
            (78, (5, 3, 5)),
            (255, (5, 3, 0)),
        ] {
            let (found, text) = judged(End::Exit(code));
            assert_eq!(found, EnhancedCode::new(status.0, status.1, status.2), "{code}");
            assert!(text.contains("`cmd`") && text.contains(": sorry"), "{text}");
        }
        assert_eq!(judged(End::Signal(11)).0.class, 4);
        assert!(judged(End::TooSlow).1.contains("9 seconds"));
        assert!(judge(End::Exit(0), "cmd", "all well", Duration::ZERO).is_ok());
    }

    fn run_here(command: &str, message: &'static [u8], limit: Duration) -> Result<(), Failure> {
        let (mut ours, theirs) = UnixStream::pair().unwrap();
        let writer = std::thread::spawn(move || {
            for chunk in message.chunks(crate::local::frame::CHUNK) {
                let length = u32::try_from(chunk.len()).unwrap();
                let _ = ours.write_all(&length.to_be_bytes());
                let _ = ours.write_all(chunk);
            }
            let _ = ours.write_all(&0_u32.to_be_bytes());
            ours
        });
        let deed = DeedRequest {
            recipient: "team+`id`@example.com".into(),
            extension: "`id`".into(),
            ..DeedRequest::default()
        };
        let request = Request {
            sender: "a$(touch x)@example.net".into(),
            deed: Some(deed),
            ..Request::for_tests("ana")
        };
        let account = Account::for_tests("ana", Path::new("/home/ana"));
        let result = run(&account, &request, command, (theirs, limit));
        drop(writer.join().unwrap());
        result
    }

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn a_command_reads_the_message_and_is_told_of_it_in_clean_words() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("out");
        let command = format!("(cat; env) > {}", file.display());
        run_here(&command, b"Subject: x\r\n\r\nFrom me\r\n", LONG).unwrap();
        let text = std::fs::read_to_string(&file).unwrap();
        assert!(text.starts_with("From a$(touch_x)@example.net "), "{text}");
        for part in [
            "\nDelivered-To: x@example.com\nSubject: x\n\nFrom me\n",
            "\nSENDER=a__touch_x_@example.net\n",
            "\nRECIPIENT=team+_id_@example.com\n",
            "\nEXTENSION=_id_\n",
            "\nHOME=/home/ana\n",
            "\nUSER=ana\n",
        ] {
            assert!(text.contains(part), "{part} in\n{text}");
        }
        assert!(!text.contains("CARGO"), "{text}");
    }

    #[test]
    fn whatever_a_command_does_there_is_an_end_to_it() {
        let large: &'static [u8] = vec![b'x'; 3_000_000].leak();
        // It need not read, may say more than anybody keeps, and may leave something behind.
        run_here("exit 0", large, LONG).unwrap();
        run_here("yes | head -c 3000000; cat > /dev/null", large, LONG).unwrap();
        run_here("sleep 100 & exit 0", b"x", LONG).unwrap();
        let failure = run_here("echo no such mailbox >&2; exit 67", large, LONG).unwrap_err();
        assert!(failure.cause.text().ends_with(": no such mailbox"), "{}", failure.cause);
        let slow = run_here("sleep 100", b"x", Duration::from_millis(200)).unwrap_err();
        assert!(matches!(slow.cause, Cause::CommandTooSlow { .. }), "{}", slow.cause);
        let killed = run_here("kill -9 $$", b"x", LONG).unwrap_err();
        assert!(matches!(killed.cause, Cause::CommandKilled { signal: 9, .. }), "{}", killed.cause);
        let missing = run_here("/no/such/program", b"x", LONG).unwrap_err();
        assert_eq!(missing.status.class, 4);
    }
}
