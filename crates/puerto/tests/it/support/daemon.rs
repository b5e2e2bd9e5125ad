//! A stand-in for the server: speaks SMTP on the local socket by a script, and
//! records what it hears.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};

/// How it answers. What is `None` is answered as a good server would.
#[derive(Clone, Default)]
pub struct Script {
    /// How many sessions are turned away before one is taken.
    pub busy: usize,
    /// Instead of 220.
    pub greeting: Option<&'static str>,
    /// Instead of the usual extensions.
    pub extensions: Option<&'static [&'static str]>,
    /// To MAIL.
    pub mail: Option<&'static str>,
    /// To a RCPT that contains the text.
    pub recipient: Option<(&'static str, &'static str)>,
    /// Recipients of one message at most; further ones are told 452 4.5.3.
    pub most_recipients: Option<usize>,
    /// To DATA.
    pub data: Option<&'static str>,
    /// To the final dot.
    pub content: Option<&'static str>,
    /// Hang up after so many octets of content.
    pub hang_up_after: Option<usize>,
    /// Count the content instead of keeping it.
    pub count_only: bool,
}

/// One message that was accepted, or one session that came to nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Heard {
    /// Its commands, without line ends.
    pub commands: Vec<String>,
    /// The recipients that were accepted.
    pub recipients: Vec<String>,
    /// The content with dots undone; empty if none came to its end.
    pub content: Vec<u8>,
    /// Octets of content.
    pub octets: usize,
    /// A final dot came.
    pub complete: bool,
}

/// Starts it on `run/submit` in `home`; each session is told when it ends.
pub fn start(home: &Path, script: Script) -> Receiver<Heard> {
    let listener = UnixListener::bind(home.join("run/submit")).unwrap();
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        for (number, stream) in listener.incoming().enumerate() {
            let mut stream = stream.unwrap();
            if number < script.busy {
                stream.write_all(b"421 4.7.0 too many connections\r\n").unwrap();
            } else {
                serve(&stream, &script, &sender);
            }
        }
    });
    receiver
}

const USUAL: &[&str] =
    &["PIPELINING", "SIZE 104857600", "ENHANCEDSTATUSCODES", "8BITMIME", "DSN", "SMTPUTF8"];

fn serve(stream: &UnixStream, script: &Script, sender: &Sender<Heard>) {
    let mut heard = Heard::default();
    let _ = session(stream, script, &mut heard);
    let _ = sender.send(heard);
}

fn session(stream: &UnixStream, script: &Script, heard: &mut Heard) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream);
    let mut writer = stream;
    let mut say = |reply: &str| writer.write_all(format!("{reply}\r\n").as_bytes());
    say(script.greeting.unwrap_or("220 mail.example.com ESMTP"))?;
    let mut line = String::new();
    loop {
        line.clear();
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let command = line.strip_suffix("\r\n").expect("a command ends in CRLF").to_owned();
        heard.commands.push(command.clone());
        match command.split(' ').next().unwrap_or_default() {
            "EHLO" => {
                let extensions = script.extensions.unwrap_or(USUAL);
                let lines = std::iter::once("mail.example.com").chain(extensions.iter().copied());
                let lines: Vec<&str> = lines.collect();
                let (last, rest) = lines.split_last().unwrap();
                for line in rest {
                    say(&format!("250-{line}"))?;
                }
                say(&format!("250 {last}"))?;
            }
            "MAIL" => say(script.mail.unwrap_or("250 2.1.0 Ok"))?,
            "RCPT" => {
                let reply = recipient(&command, script, heard);
                say(reply)?;
            }
            "DATA" => {
                let reply = script.data.unwrap_or("354 go on");
                say(reply)?;
                if reply.starts_with('3') {
                    if !content(&mut reader, script, heard)? {
                        return Ok(());
                    }
                    say(script.content.unwrap_or("250 2.0.0 Ok: queued as 0A1B2C3D4E5F"))?;
                }
            }
            "QUIT" => return say("221 2.0.0 Bye"),
            _ => say("500 5.5.2 what?")?,
        }
    }
}

fn recipient(command: &str, script: &Script, heard: &mut Heard) -> &'static str {
    match script.recipient {
        Some((part, reply)) if command.contains(part) => return reply,
        _ => {}
    }
    if script.most_recipients.is_some_and(|most| heard.recipients.len() >= most) {
        return "452 4.5.3 Too many recipients";
    }
    let address = command.split(['<', '>']).nth(1).unwrap();
    heard.recipients.push(address.to_owned());
    "250 2.1.5 Ok"
}

// Only CRLF.CRLF ends it; `false` if it did not come.
fn content(
    reader: &mut BufReader<&UnixStream>,
    script: &Script,
    heard: &mut Heard,
) -> std::io::Result<bool> {
    let mut line = Vec::new();
    loop {
        line.clear();
        if reader.read_until(b'\n', &mut line)? == 0 {
            return Ok(false);
        }
        assert!(line.ends_with(b"\r\n"), "a bare LF came through");
        if line == b".\r\n" {
            heard.complete = true;
            return Ok(true);
        }
        let text = line.strip_prefix(b".").unwrap_or(&line);
        heard.octets += text.len();
        if !script.count_only {
            heard.content.extend_from_slice(text);
        }
        if script.hang_up_after.is_some_and(|most| heard.octets > most) {
            return Ok(false);
        }
    }
}
