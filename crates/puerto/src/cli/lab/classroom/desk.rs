//! How another terminal asks a running lab: one line of JSON over a socket in the lab's
//! folder, which its owner alone may open, and one line back.

use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixListener;

use super::class::Class;
use super::exercise::{self, Graded};
use super::home::{Kind, cannot};
use super::inbox::{self, Post};
use super::world::World;
use crate::cli::exit::{Failure, Sysexit};
use crate::lang::{Language, said, said_of, system};

/// Octets of a question.
const LONGEST: u64 = 4096;
/// How long an answer may take: grading sends letters and waits for them.
const PATIENCE: Duration = Duration::from_secs(120);

/// What a lab is asked.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Ask {
    /// What the receivers saw, with the messages if `full`.
    Inbox {
        /// Whether the messages come along.
        full: bool,
    },
    /// What holds of the exercise.
    Grade(Language),
    /// The next hint.
    Hint(Language),
}

/// What it answers.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Answer {
    /// What the receivers saw.
    Inbox(Vec<Post>),
    /// The exercise's number, what holds, and the points that hints have cost.
    Grade(u8, Vec<Graded>, u32),
    /// Hints, each with its cost.
    Hint(Vec<(u32, String)>),
    /// The lab is no exercise.
    NoExercise,
    /// It could not be done.
    Failed(String),
}

fn socket(folder: &Path) -> PathBuf {
    folder.join("lab.sock")
}

/// Opens the socket of a lab.
pub(super) fn open(folder: &Path) -> Result<UnixListener, Failure> {
    let path = socket(folder);
    // The lock is ours, so what is there was left by a lab that is gone.
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(cannot(&path, &error)),
        _ => {}
    }
    UnixListener::bind(&path).map_err(|error| cannot(&path, &error))
}

/// Who answers.
pub(super) enum Host {
    /// A lab with one server.
    World(Arc<World>),
    /// A class.
    Class(Arc<Class>),
}

/// Answers until it is dropped.
pub(super) async fn run(listener: UnixListener, host: Host) {
    let host = Arc::new(host);
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let host = Arc::clone(&host);
        tokio::spawn(async move {
            let (read, mut write) = stream.into_split();
            let mut line = String::new();
            let mut reader = tokio::io::BufReader::new(read.take(LONGEST));
            if reader.read_line(&mut line).await.is_err() {
                return;
            }
            let Ok(ask) = serde_json::from_str(&line) else { return };
            let answer = answer(&host, ask).await;
            if let Ok(mut line) = serde_json::to_string(&answer) {
                line.push('\n');
                // Whoever asked may have gone.
                let _ignored = write.write_all(line.as_bytes()).await;
            }
        });
    }
}

async fn answer(host: &Host, ask: Ask) -> Answer {
    let world = match (host, &ask) {
        (Host::World(world), _) => world,
        (Host::Class(class), Ask::Inbox { full }) => {
            return Answer::Inbox(inbox::posts(&class.lab.transactions(), *full));
        }
        (Host::Class(_), _) => return Answer::NoExercise,
    };
    let exercise = match world.blueprint.kind {
        Kind::Exercise(number) => exercise::find(number),
        Kind::Keep | Kind::Class(_) => None,
    };
    match (ask, exercise) {
        (Ask::Inbox { full }, _) => Answer::Inbox(inbox::posts(&world.lab.transactions(), full)),
        (_, None) => Answer::NoExercise,
        (Ask::Grade(language), Some(exercise)) => {
            let taken = exercise.hints.iter().take(world.memory().hints);
            let cost = taken.map(|hint| hint.cost).sum();
            let graded = exercise::grade(exercise, world, language).await;
            Answer::Grade(exercise.number, graded, cost)
        }
        (Ask::Hint(language), Some(exercise)) => {
            let taken = world.memory().hints;
            let hints = exercise::shown_hint(exercise, taken, world, language);
            let most = exercise.hints.len();
            match world.remember(|memory| memory.hints = (taken + 1).min(most)) {
                Ok(()) => Answer::Hint(hints),
                Err(error) => Answer::Failed(system(&error).of(language)),
            }
        }
    }
}

/// Asks the lab of a folder.
pub(super) fn ask(folder: &Path, ask: &Ask) -> Result<Answer, Failure> {
    let failed = |error: io::Error| {
        Failure::new(
            Sysexit::TryAgain,
            said_of!(
                "the lab does not answer: {error}; if it has just been started, try again",
                "el laboratorio no responde: {error}; si acaba de iniciarlo, vuelva a intentarlo";
                error = system(&error)
            ),
        )
    };
    let mut stream = UnixStream::connect(socket(folder)).map_err(failed)?;
    stream.set_read_timeout(Some(PATIENCE)).map_err(failed)?;
    let line = serde_json::to_string(ask).map_err(|error| failed(error.into()))?;
    stream.write_all(format!("{line}\n").as_bytes()).map_err(failed)?;
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer).map_err(failed)?;
    serde_json::from_str(&answer).map_err(|_| not_understood())
}

/// What was answered is no answer to what was asked.
pub(super) fn not_understood() -> Failure {
    Failure::new(
        Sysexit::Protocol,
        said!(
            "the lab answers what is not understood: it may be of another version; end it and \
             start it again",
            "no se entiende lo que responde el laboratorio: puede ser de otra versión; termínelo \
             y vuelva a iniciarlo"
        ),
    )
}
