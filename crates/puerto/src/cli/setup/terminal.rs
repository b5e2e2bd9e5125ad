//! Questions at a terminal.

use std::io::{self, BufRead as _, Write as _};

use nix::sys::signal::{Signal, raise};
use nix::sys::termios::{self, LocalFlags, SetArg, SpecialCharacterIndices, Termios};

use crate::cli::output::columns;
use crate::lang::layout::set;
use crate::lang::{Language, Said, Text};
use crate::setup::{Gone, Person};

const YES_NO: Text = Text::new("[Y/n]", "[S/n]");
const NO_YES: Text = Text::new("[y/N]", "[s/N]");
const UNCLEAR: Text = Text::new("Answer yes or no, please.", "Responda sí o no, por favor.");

/// What the interrupt key of a terminal sends.
const INTERRUPT: u8 = 3;

/// Asks on stderr, since stdout carries the result, and reads the answers from stdin.
pub(in crate::cli) struct Terminal {
    language: Language,
}

impl Terminal {
    pub(in crate::cli) fn new(language: Language) -> Self {
        Self { language }
    }

    fn ask(&self, question: &Said, hint: &str) -> Result<String, Gone> {
        let question = question.of(self.language);
        match hint {
            "" => say(&format!("{question}: ")),
            hint => say(&format!("{question} {hint} ")),
        }
        read_line()
    }
}

impl Person for Terminal {
    fn tell(&mut self, heading: &Said, lines: &[String]) {
        say(&format!("\n{}\n", heading.of(self.language)));
        // Files and commands, which are copied whole.
        lines.iter().for_each(|line| write(&format!("  {line}\n")));
    }

    fn confirm(&mut self, question: &Said, proposed: bool) -> Result<bool, Gone> {
        let hint = if proposed { YES_NO } else { NO_YES }.of(self.language);
        loop {
            let answer = self.ask(question, hint)?;
            match self.language.answer(&answer) {
                None if answer.is_empty() => return Ok(proposed),
                None => say(&format!("{}\n", UNCLEAR.of(self.language))),
                Some(agreed) => return Ok(agreed),
            }
        }
    }

    fn word(&mut self, question: &Said, proposed: &str) -> Result<String, Gone> {
        let hint = if proposed.is_empty() { String::new() } else { format!("[{proposed}]") };
        let answer = self.ask(question, &hint)?;
        Ok(if answer.is_empty() { proposed.to_owned() } else { answer })
    }

    fn secret(&mut self, question: &Said) -> Result<String, Gone> {
        let quiet = Quiet::new();
        let answer = self.ask(question, "");
        drop(quiet);
        // The line's end was not shown either.
        say("\n");
        let answer = answer?;
        if answer.as_bytes().last() == Some(&INTERRUPT) {
            let _ = raise(Signal::SIGINT);
            return Err(Gone);
        }
        Ok(answer)
    }
}

// In one piece, so that no answer is echoed into its middle. A question that nobody can
// see is not answered either.
fn say(text: &str) {
    write(&set(text, columns(&io::stderr())));
}

fn write(text: &str) {
    let mut stderr = io::stderr().lock();
    let _ = stderr.write_all(text.as_bytes()).and_then(|()| stderr.flush());
}

// Whatever it is that was typed: the answer is judged by whoever asked. A terminal gives
// a line at a time.
fn read_line() -> Result<String, Gone> {
    let mut line = Vec::new();
    let mut stdin = io::stdin().lock();
    while !matches!(line.last(), Some(&(b'\n' | INTERRUPT))) {
        let read = match stdin.fill_buf() {
            Ok(typed) => {
                line.extend_from_slice(typed);
                typed.len()
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(_) => return Err(Gone),
        };
        if read == 0 {
            return Err(Gone);
        }
        stdin.consume(read);
    }
    let text = String::from_utf8_lossy(&line);
    Ok(text.trim_matches([' ', '\t', '\r', '\n']).to_owned())
}

/// A terminal that shows nothing of what is typed, until dropped. The interrupt key ends
/// the line instead of the program, which would leave the terminal like that.
struct Quiet(Option<Termios>);

impl Quiet {
    fn new() -> Self {
        let stdin = io::stdin();
        let Ok(before) = termios::tcgetattr(&stdin) else { return Self(None) };
        let mut quiet = before.clone();
        quiet.local_flags.remove(LocalFlags::ECHO | LocalFlags::ISIG);
        let end = SpecialCharacterIndices::VEOL as usize;
        if let Some(key) = quiet.control_chars.get_mut(end) {
            *key = INTERRUPT;
        }
        let _ = termios::tcsetattr(&stdin, SetArg::TCSADRAIN, &quiet);
        Self(Some(before))
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        if let Some(before) = &self.0 {
            let _ = termios::tcsetattr(io::stdin(), SetArg::TCSADRAIN, before);
        }
    }
}
