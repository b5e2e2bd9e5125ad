//! Questions at a terminal.

use std::io::{self, BufRead as _, Write as _};

use crate::lang::{Language, Said, Text};
use crate::setup::{Gone, Person};

const YES_NO: Text = Text::new("[Y/n]", "[S/n]");
const NO_YES: Text = Text::new("[y/N]", "[s/N]");

/// Asks on stderr, since stdout carries the result, and reads the answers from stdin.
pub(super) struct Terminal {
    language: Language,
}

impl Terminal {
    pub(super) fn new(language: Language) -> Self {
        Self { language }
    }

    fn ask(&self, question: &Said, hint: &str) -> Result<String, Gone> {
        let mut stderr = io::stderr().lock();
        let asked = write!(stderr, "{} {hint} ", question.of(self.language));
        asked.and_then(|()| stderr.flush()).map_err(|_| Gone)?;
        let mut line = String::new();
        match io::stdin().lock().read_line(&mut line) {
            Ok(read) if read > 0 => Ok(line.trim().to_owned()),
            _ => Err(Gone),
        }
    }
}

impl Person for Terminal {
    fn tell(&mut self, lines: &[String]) {
        let mut stderr = io::stderr().lock();
        for (number, line) in lines.iter().enumerate() {
            let indent = if number == 0 { "" } else { "  " };
            // A question that nobody can see is not answered either.
            let _ = writeln!(stderr, "{indent}{line}");
        }
    }

    fn confirm(&mut self, question: &Said, proposed: bool) -> Result<bool, Gone> {
        let hint = if proposed { YES_NO } else { NO_YES }.of(self.language);
        loop {
            let answer = self.ask(question, hint)?.to_lowercase();
            match answer.as_str() {
                "" => return Ok(proposed),
                "y" | "yes" | "s" | "si" | "sí" => return Ok(true),
                "n" | "no" => return Ok(false),
                _ => {}
            }
        }
    }

    fn word(&mut self, question: &Said, proposed: &str) -> Result<String, Gone> {
        let answer = self.ask(question, &format!("[{proposed}]"))?;
        Ok(if answer.is_empty() { proposed.to_owned() } else { answer })
    }
}
