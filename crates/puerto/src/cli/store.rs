//! `puerto store`: the place where the queue is kept.

use std::io::{self, IsTerminal};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, Subcommand, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use puerto_spool::transfer::Moved;
use puerto_spool::{Backend, transfer};
use serde_json::json;

use super::exit::{Failure, Sysexit, end};
use super::output::{say, tell};
use super::serve::exit_code;
use super::spanish::Spanish as _;
use crate::config::Config;
use crate::history::{self, Files};
use crate::lang::{Language, Said, Text, said_of, spool_error};
use crate::serve::{StartError, store};
use crate::telemetry::MailLog;

/// Care for the place where the queue is kept.
#[derive(Debug, Subcommand)]
pub enum StoreCommand {
    /// Bring the database's tables to this program's version
    #[command(es = "Pone las tablas de la base de datos en la versión de este programa")]
    Migrate,
    /// Move the queue from one place to the other; what was begun is gone on with
    #[command(es = "Traslada la cola de un sitio al otro; continúa lo que se interrumpió")]
    Copy(CopyArgs),
    /// Say how many messages this machine's own queue holds while the server does not run
    #[command(es = "Dice cuántos mensajes hay en la cola de esta máquina mientras el servidor \
                    no está en marcha")]
    Count {
        /// One JSON document instead of text
        #[arg(es = "Un documento JSON en vez de texto")]
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, Args)]
pub struct CopyArgs {
    /// Where it is; nothing may work on it meanwhile
    #[arg(es = "Dónde está; nadie debe trabajar con ella entretanto")]
    from: Place,
    /// Where it goes
    #[arg(es = "Adónde va")]
    to: Place,
}

/// Where a queue is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Place {
    /// In state_dir, this machine's own
    #[value(es = "En state_dir, la de esta máquina")]
    Segments,
    /// In the database of `[store] url`
    #[value(es = "En la base de datos de `[store] url`")]
    Postgres,
}

impl Place {
    fn name(self) -> &'static str {
        match self {
            Self::Segments => "segments",
            Self::Postgres => "postgres",
        }
    }
}

const NO_DATABASE: Text = Text::new(
    "no database is configured: name it as `url` in the section `[store]`",
    "no hay ninguna base de datos configurada: indíquela como `url` en la sección `[store]`",
);
const SAME: Text = Text::new("both places are the same", "los dos sitios son el mismo");
const MIGRATED: Text = Text::new(
    "the tables have version {to} (they had {from})",
    "las tablas tienen la versión {to} (tenían la {from})",
);
const MOVED: Text = Text::new("{count} messages moved", "{count} mensajes trasladados");
const HISTORY: Text = Text::new(
    "notes of the history moved: {count}",
    "anotaciones del historial trasladadas: {count}",
);
const STAYS: Text = Text::new(
    "{file} cannot be read as a whole and stays where it is; what can be read of it was moved",
    "{file} no se puede leer entero y se queda donde está; lo legible se ha trasladado",
);
const NO_HISTORY: Text = Text::new(
    "the history was not moved, and is still where it was: {error}; the same command tries again",
    "no se ha trasladado el historial, que sigue donde estaba: {error}; la misma orden lo intenta otra \
     vez",
);
const LEFT: Text = Text::new(
    "message {id} was not moved: {error}",
    "no se ha trasladado el mensaje {id}: {error}",
);
pub(super) const FOUND: Text =
    Text::new("found damaged: {damage}", "se han encontrado daños: «{damage}»");
const STAY_HERE: Text = Text::new(
    "messages that stay in state_dir: {count}. To have their senders told, take `url` and \
     `password_file` out of `[store]` and start the server: `puerto queue list` shows what it \
     has, `puerto queue remove ID` forgets a message. Then stop it, put both back and copy again",
    "mensajes que se quedan en state_dir: {count}. Para que se avise a sus remitentes, quite `url` \
     y `password_file` de `[store]` y arranque el servidor: `puerto queue list` muestra lo que \
     tiene, `puerto queue remove ID` olvida un mensaje. Después deténgalo, vuelva a poner ambas \
     claves y copie otra vez",
);
const STAY_THERE: Text = Text::new(
    "messages that stay in the database: {count}. To have their senders told, start a server with \
     `url` in `[store]`: `puerto queue list` shows what it has and what it cannot read, `puerto \
     queue remove ID` forgets a message. Then stop it and copy again",
    "mensajes que se quedan en la base de datos: {count}. Para que se avise a sus remitentes, \
     arranque un servidor con `url` en `[store]`: `puerto queue list` muestra lo que tiene y lo \
     que no puede leer, `puerto queue remove ID` olvida un mensaje. Después deténgalo y copie otra \
     vez",
);
const COUNTED: Text = Text::new("{folder}: {count} messages", "{folder}: {count} mensajes");
const IN_USE: Text = Text::new(
    "the node {name} works on that queue: stop it first",
    "el nodo {name} trabaja con esa cola: deténgalo primero",
);

/// Runs the command.
pub fn run(command: &StoreCommand, file: Option<&Path>, language: Language) -> ExitCode {
    let done = Config::load(file).map_err(Failure::from).and_then(|config| match command {
        StoreCommand::Migrate => migrate(&config, language),
        StoreCommand::Copy(arguments) => copy(&config, arguments, language),
        StoreCommand::Count { json } => count(&config, *json, language),
    });
    end("puerto store", done, language)
}

fn migrate(config: &Config, language: Language) -> Result<Sysexit, Failure> {
    let url = url(config)?;
    store::become_service(config).map_err(failed)?;
    let done = store::migrate(config, url).map_err(failed)?;
    let (from, to) = (done.from.to_string(), done.to.to_string());
    say(&MIGRATED.with(language, &[("from", &from), ("to", &to)]))?;
    Ok(Sysexit::Ok)
}

fn copy(config: &Config, arguments: &CopyArgs, language: Language) -> Result<Sysexit, Failure> {
    if arguments.from == arguments.to {
        return Err(Failure::new(Sysexit::Arguments, SAME));
    }
    store::become_service(config).map_err(failed)?;
    let from = open(config, arguments.from)?;
    let to = open(config, arguments.to)?;
    let nodes = from.nodes().wait().map_err(|error| of_store(&error))?;
    if let Some(other) = nodes.into_iter().find(|node| node.alive && !node.is_this) {
        return Err(Failure::new(Sysexit::TryAgain, Said::with(IN_USE, &[("name", &other.name)])));
    }
    const MOVING: Text = Text::new("moving", "trasladando");
    let bar = bar(MOVING, language);
    let place = |place: Place, store| transfer::Place { name: place.name(), store };
    let (source, target) = (place(arguments.from, &*from), place(arguments.to, &*to));
    let moved = transfer::run(source, target, &config.state_dir, |moved, all| {
        bar.set_length(all);
        bar.set_position(moved);
    });
    bar.finish_and_clear();
    // It tells of what is at the target now.
    let history = moved.is_ok().then(|| move_history(config, &*from, &*to));
    from.close();
    to.close();
    let moved = moved.map_err(|error| of_store(&error))?;
    say(&MOVED.with(language, &[("count", &moved.messages.to_string())]))?;
    let left = tell_left(&moved, arguments.from, language);
    match history {
        Some(Err(error)) => {
            let error = spool_error(&error).of(language);
            tell(&NO_HISTORY.with(language, &[("error", &error)]));
            Ok(if left == Sysexit::Ok { Sysexit::TryAgain } else { left })
        }
        Some(Ok(history)) => {
            if history.notes > 0 {
                say(&HISTORY.with(language, &[("count", &history.notes.to_string())]))?;
            }
            for file in &history.stay {
                tell(&STAYS.with(language, &[("file", file)]));
            }
            Ok(if history.stay.is_empty() { left } else { Sysexit::DataError })
        }
        None => Ok(left),
    }
}

fn move_history(
    config: &Config,
    from: &dyn Backend,
    to: &dyn Backend,
) -> Result<history::Moved, puerto_spool::SpoolError> {
    let folder = config.state_dir.join("history");
    let of = |store: &dyn Backend| {
        store.archive().unwrap_or_else(|| Arc::new(Files::new(&folder, MailLog::nowhere())))
    };
    history::transfer(&*of(from), &*of(to), |_| {})
}

// Each by its id, and what can be done about those that are still there.
fn tell_left(moved: &Moved, from: Place, language: Language) -> Sysexit {
    for (id, error) in &moved.left {
        let error = spool_error(error);
        let (id, error) = (id.to_string(), error.of(language));
        tell(&LEFT.with(language, &[("id", &id), ("error", &error)]));
    }
    for line in &moved.damage {
        tell(&FOUND.with(language, &[("damage", line)]));
    }
    if moved.stay > 0 {
        let text = match from {
            Place::Segments => STAY_HERE,
            Place::Postgres => STAY_THERE,
        };
        tell(&text.with(language, &[("count", &moved.stay.to_string())]));
    }
    match moved.stay == 0 && moved.left.is_empty() && moved.damage.is_empty() {
        true => Sysexit::Ok,
        false => Sysexit::DataError,
    }
}

// Without a queue nothing is made, so that asking leaves no trace.
fn count(config: &Config, json: bool, language: Language) -> Result<Sysexit, Failure> {
    let folder = config.state_dir.join("spool");
    let messages = match folder.try_exists() {
        Ok(false) => 0,
        _ => {
            store::become_service(config).map_err(failed)?;
            let store = store::own(config).map_err(failed)?;
            let health = store.health().wait();
            store.close();
            let health = health.map_err(|error| of_store(&error))?;
            // What a disk does not give back may be messages, too.
            health.messages + health.unreadable.len() as u64
        }
    };
    let (folder, number) = (folder.display().to_string(), messages.to_string());
    match json {
        true => say(&json!({ "messages": messages, "folder": folder }).to_string())?,
        false => say(&COUNTED.with(language, &[("folder", &folder), ("count", &number)]))?,
    }
    Ok(Sysexit::Ok)
}

/// How far a walk through a queue has come.
pub(super) fn bar(what: Text, language: Language) -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(0).with_message(what.of(language));
    match ProgressStyle::with_template("{msg} {wide_bar} {human_pos}/{human_len} {eta}") {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

fn open(config: &Config, place: Place) -> Result<Arc<dyn Backend>, Failure> {
    match place {
        Place::Segments => store::own(config).map_err(failed),
        Place::Postgres => {
            let opened = store::database_to_move(config, url(config)?).map_err(failed)?;
            Ok(opened)
        }
    }
}

fn url(config: &Config) -> Result<&str, Failure> {
    config.store.url.as_deref().ok_or_else(|| Failure::new(Sysexit::Config, NO_DATABASE))
}

pub(super) fn failed(error: StartError) -> Failure {
    let code = match &error {
        // A command may say more of it than a server, which whoever supervises it starts again.
        StartError::Store(error) => Sysexit::of_store(error),
        other => exit_code(other),
    };
    or_as_root(code, error.said())
}

// Whoever is not root may have no more to mend than that.
fn or_as_root(code: Sysexit, why: Said) -> Failure {
    let is_denied = code == Sysexit::NoPermission && !nix::unistd::geteuid().is_root();
    let why = match is_denied {
        true => {
            said_of!("{why}; try as root or with sudo", "{why}; pruebe como root o con sudo"; why = why)
        }
        false => why,
    };
    Failure::new(code, why)
}

pub(super) fn of_store(error: &puerto_spool::SpoolError) -> Failure {
    or_as_root(Sysexit::of_store(error), spool_error(error))
}
