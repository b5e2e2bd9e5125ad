//! `puerto lab --nodes N`: several nodes on one queue, and what becomes of the mail when one
//! of them is killed, and the database is.
//!
//! The nodes are this very program, each with a configuration and addresses of its own; the
//! database is a PostgreSQL that is started in the lab's folder; their Internet is
//! `puerto_lab`. Whatever happens, [`keeper`] leaves nothing of it.

mod account;
mod database;
mod keeper;
mod member;
mod play;
mod programs;
mod screen;

use std::path::Path;
use std::process::ExitCode;

use self::keeper::{Rope, end_children, keep};
use self::play::Play;
use self::programs::Programs;
use self::screen::Screen;
use super::scene::{Folder, cannot_write};
use super::show::Show;
use crate::cli::exit::{Failure, Sysexit};
use crate::lang::{Language, Said, said, said_of, system};

/// How many nodes can be shown.
const NODES: std::ops::RangeInclusive<u8> = 2..=9;

/// Reads how many nodes are to be shown.
pub(super) fn count(text: &str) -> Result<u8, Said> {
    let count = text.parse().ok().filter(|count| NODES.contains(count));
    count.ok_or_else(|| said!("2 to 9 nodes can be shown", "se admiten de 2 a 9 nodos"))
}

/// Has another process show so many nodes, and leaves nothing behind.
pub(super) fn run(count: u8, json: bool, language: Language) -> Result<ExitCode, Failure> {
    // Nothing is begun that has to end at once.
    Programs::find().map_err(unavailable)?;
    let count = count.to_string();
    let lang = match language {
        Language::English => "en",
        Language::Spanish => "es",
    };
    let mut arguments = vec!["--lang", lang, "lab", "--nodes", &count];
    arguments.extend(json.then_some("--json"));
    arguments.push("--kept");
    let status = keep(&arguments).map_err(|error| {
        let why = said_of!(
            "cannot start: {error}", "no se puede empezar: {error}"; error = system(&error)
        );
        Failure::new(Sysexit::OsError, why)
    })?;
    match status.code().map(u8::try_from) {
        Some(Ok(code)) => Ok(ExitCode::from(code)),
        _ => Err(Failure::new(
            Sysexit::Unavailable,
            said!(
                "the lab was killed; everything that it had started is removed",
                "han matado al laboratorio; se ha retirado todo lo que había iniciado"
            ),
        )),
    }
}

/// Shows so many nodes. True if all was as it should; false if it was broken off, too.
pub(super) async fn stage(
    (count, folder): (u8, &Path),
    json: bool,
    language: Language,
) -> Result<bool, Said> {
    let rope = Rope::hold().map_err(|error| system(&error))?;
    let folder = Folder::adopt(folder).map_err(|error| cannot_write(folder, &error))?;
    let mut screen = Screen::new(Show::new(json, language), json);
    let outcome = tokio::select! {
        () = rope.is_cut() => None,
        outcome = perform(count, folder.path(), &mut screen) => Some(outcome),
    };
    if outcome.is_none() {
        screen.end(None, false);
    }
    screen.done();
    end_children();
    drop(folder);
    outcome.unwrap_or(Ok(false))
}

async fn perform(count: u8, folder: &Path, screen: &mut Screen) -> Result<bool, Said> {
    let programs = Programs::find()?;
    Play::begin((&programs, count), folder, screen).await?.perform().await
}

fn unavailable(why: Said) -> Failure {
    Failure::new(Sysexit::Unavailable, why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_is_of_two_to_nine() {
        assert_eq!(count("2").ok(), Some(2));
        assert_eq!(count("9").ok(), Some(9));
        for nonsense in ["", "0", "1", "10", "300", "-3", "3.5", "three", "٣", " 3"] {
            assert!(count(nonsense).is_err(), "{nonsense:?}");
        }
    }
}
