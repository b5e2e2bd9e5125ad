//! Whoever answers questions.

use crate::lang::Said;

/// The person has gone in the middle of a question: nothing more is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gone;

/// Answers questions: at a terminal, or by what is proposed.
pub trait Person {
    /// Whether there is somebody who could answer.
    fn is_there(&self) -> bool {
        true
    }

    /// Shows what the next question is about: a heading and what stands under it.
    fn tell(&mut self, _heading: &Said, _lines: &[String]) {}

    /// Yes or no; `proposed` is what an empty answer means.
    fn confirm(&mut self, question: &Said, proposed: bool) -> Result<bool, Gone>;

    /// A word; `proposed` is what an empty answer means.
    fn word(&mut self, question: &Said, proposed: &str) -> Result<String, Gone>;

    /// A word that nobody else may see.
    fn secret(&mut self, question: &Said) -> Result<String, Gone>;
}

/// Asks until the answer can be read; what is wrong with one is the next question.
pub(super) fn ask<T>(
    person: &mut dyn Person,
    mut question: Said,
    proposed: &str,
    mut read: impl FnMut(&str) -> Result<T, Said>,
) -> Result<T, Gone> {
    loop {
        match read(&person.word(&question, proposed)?) {
            Ok(value) => return Ok(value),
            Err(wrong) => question = wrong,
        }
    }
}

/// Nobody is there, or `--yes` was said: what is proposed holds. Nothing that replaces
/// a file is ever proposed.
#[derive(Debug, Clone, Copy)]
pub struct Nobody;

impl Person for Nobody {
    fn is_there(&self) -> bool {
        false
    }

    fn confirm(&mut self, _: &Said, proposed: bool) -> Result<bool, Gone> {
        Ok(proposed)
    }

    fn word(&mut self, _: &Said, proposed: &str) -> Result<String, Gone> {
        Ok(proposed.to_owned())
    }

    fn secret(&mut self, _: &Said) -> Result<String, Gone> {
        Ok(String::new())
    }
}
