//! `puerto backup` and `puerto restore`: what a server lives from as one file, and back.

use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal as _, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use puerto_spool::transfer;
use serde_json::json;

use super::clock::now;
use super::exit::{Failure, Sysexit, end};
use super::output::tell;
use super::spanish::Spanish as _;
use super::store::{FOUND, bar, failed, of_store};
use crate::backup::{BackupError, Manifest, Places, Writer, kept_by_others};
use crate::config::Config;
use crate::control::protocol::{ErrorCode, Selection};
use crate::control::{Client, ClientError, OrderView};
use crate::lang::{Language, Said, Text, octets, said_of, spool_error};
use crate::serve::store;

/// Write configuration, keys, accounts, history and the mail that waits into one file.
#[derive(Debug, Args)]
pub struct BackupArgs {
    /// The file to make; -: standard output
    #[arg(es = "El fichero que se crea; -: la salida estándar")]
    file: PathBuf,
    /// One JSON document about it, on standard error
    #[arg(es = "Un documento JSON sobre ella, en la salida de errores")]
    #[arg(long)]
    json: bool,
}

const EXISTS: Text = Text::new(
    "{file} is there already: name another, or move it away",
    "{file} ya existe: indique otro nombre o apártelo",
);
const SECRETS: Text = Text::new(
    "there are secrets in a backup: redirect it into a file that you alone can read",
    "una copia contiene secretos: rediríjala a un fichero que solo usted pueda leer",
);
const DONE: Text = Text::new(
    "{file}: files: {files}, messages that wait: {messages}, {size}.\nThere are secrets in it: keep it \
     where you alone can read it.",
    "{file}: ficheros: {files}, mensajes en espera: {messages}, {size}.\nContiene secretos: guárdela \
     donde solo usted pueda leerla.",
);
const IN_DATABASE: Text = Text::new(
    "{file}: files: {files}, {size}. The queue is in the database and not in here: the database's own \
     backup holds it (pg_dump, or what its administrator has).\nThere are secrets in it: keep it where \
     you alone can read it.",
    "{file}: ficheros: {files}, {size}. La cola está en la base de datos y no aquí: la guarda la copia \
     de la propia base de datos (pg_dump, o la de su administrador).\nContiene secretos: guárdela donde \
     solo usted pueda leerla.",
);
const MISSING: Text = Text::new(
    "message {id} is not in the backup: {error}",
    "el mensaje {id} no está en la copia: {error}",
);
const OTHERS: Text = Text::new(
    "not taken, since it is a link that another program keeps: {file}",
    "no se ha copiado, pues es un enlace que mantiene otro programa: {file}",
);

/// Makes a backup.
pub fn run(arguments: &BackupArgs, file: Option<&Path>, language: Language) -> ExitCode {
    let done = Config::load(file).map_err(Failure::from).and_then(|config| {
        let place = Config::file(file).0;
        back_up(&config, &place, arguments, language)
    });
    end("puerto backup", done, language)
}

fn back_up(
    config: &Config,
    place: &Path,
    arguments: &BackupArgs,
    language: Language,
) -> Result<Sysexit, Failure> {
    let out = Output::new(&arguments.file)?;
    let written = fill(config, place, &out, language);
    let (manifest, size, missing) = written.inspect_err(|_| out.discard())?;
    let file = arguments.file.display().to_string();
    for link in kept_by_others(config) {
        tell(&OTHERS.with(language, &[("file", &link.display().to_string())]));
    }
    let files = manifest.files.len();
    let messages = manifest.queue.as_ref().map(|queue| queue.messages);
    for (id, why) in &missing.messages {
        let id = Said::words(id.clone());
        let line = Said::of_parts(MISSING, &[("id", &id), ("error", why)]);
        tell(&line.of(language));
    }
    for line in &missing.damage {
        tell(&FOUND.with(language, &[("damage", line)]));
    }
    if arguments.json {
        let missing: Vec<&String> = missing.messages.iter().map(|(id, _)| id).collect();
        let document = json!({
            "file": file, "octets": size, "files": files, "messages": messages, "missing": missing,
        });
        eprint(&document.to_string());
    } else {
        let text = if messages.is_some() { DONE } else { IN_DATABASE };
        let (files, messages) = (files.to_string(), messages.unwrap_or_default().to_string());
        let values =
            [("file", &*file), ("files", &files), ("messages", &messages), ("size", &octets(size))];
        tell(&text.with(language, &values));
    }
    match missing.messages.is_empty() && missing.damage.is_empty() {
        true => Ok(Sysexit::Ok),
        false => Ok(Sysexit::DataError),
    }
}

/// What a backup lacks.
#[derive(Default)]
struct Missing {
    /// Messages that cannot be read, and why.
    messages: Vec<(String, Said)>,
    /// What else the queue says of damage.
    damage: Vec<String>,
}

// Standard output may be the backup itself.
fn eprint(line: &str) {
    let _unheard = writeln!(io::stderr(), "{line}");
}

fn fill(
    config: &Config,
    place: &Path,
    out: &Output,
    language: Language,
) -> Result<(Manifest, u64, Missing), Failure> {
    let begun = now();
    let manifest = Manifest {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        created: begun.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        hostname: config.hostname.clone(),
        config: std::path::absolute(place).unwrap_or_else(|_| place.to_owned()),
        ..Manifest::default()
    };
    let at = u64::try_from(begun.as_second()).unwrap_or_default();
    let target = Tallied { out: io::BufWriter::new(out.writer()), octets: 0 };
    let mut writer = Writer::new(target, at, manifest);
    for path in Places::of(config, place).found() {
        writer.file(&path).map_err(unwritten)?;
    }
    let mut missing = Missing::default();
    if config.store.url.is_none() {
        missing = match Client::connect(&config.run_dir) {
            Ok(client) => of_daemon(client, &mut writer, language)?,
            Err(ClientError::NotRunning { .. }) => of_store_at_rest(config, &mut writer, language)?,
            Err(error) => return Err(error.into()),
        };
    }
    let (manifest, target) = writer.finish().map_err(unwritten)?;
    let size = target.octets;
    drop(target);
    out.sync()?;
    Ok((manifest, size, missing))
}

/// The mail that waits, from the daemon that works on it. All that it had taken over when it
/// was asked is there, but for what has left since.
fn of_daemon<W: Write>(
    mut client: Client,
    writer: &mut Writer<W>,
    language: Language,
) -> Result<Missing, Failure> {
    let mut ids = Vec::new();
    client.ids(&Selection::default(), |some| {
        ids.extend(some);
        Ok(())
    })?;
    let bar = bar(SAVING, language);
    bar.set_length(ids.len() as u64);
    // What is found from here on is named by its message.
    let mut missing = Missing { damage: client.health()?.damaged, ..Missing::default() };
    for id in &ids {
        let taken = client.parcel(id, |entry, size, content| -> Result<(), Taken> {
            writer.message(id, entry, size, content).map_err(Taken::Backup)
        });
        match taken {
            Ok(()) | Err(Taken::Client(ClientError::Refused { code: ErrorCode::NotFound, .. })) => {
            }
            // It is whole or not begun: what cannot be read keeps none of the others out.
            Err(Taken::Client(ClientError::Refused { code: ErrorCode::Failed, message })) => {
                missing.messages.push((id.clone(), Said::words(message)));
            }
            Err(Taken::Client(error)) => return Err(error.into()),
            Err(Taken::Backup(error)) => return Err(unwritten(error)),
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    let orders = client.orders()?;
    let kept: Option<Vec<String>> = orders.iter().map(OrderView::kept).collect();
    writer.with_queue(kept.ok_or(io::Error::from(io::ErrorKind::InvalidData))?);
    Ok(missing)
}

enum Taken {
    Client(ClientError),
    Backup(BackupError),
}

impl From<ClientError> for Taken {
    fn from(error: ClientError) -> Self {
        Self::Client(error)
    }
}

/// The mail that waits while no daemon runs. It is opened as the service's user, whom this
/// process then stays.
fn of_store_at_rest<W: Write>(
    config: &Config,
    writer: &mut Writer<W>,
    language: Language,
) -> Result<Missing, Failure> {
    if !config.state_dir.join("spool").exists() {
        writer.with_queue(Vec::new());
        return Ok(Missing::default());
    }
    store::become_service(config).map_err(failed)?;
    let store = store::own(config).map_err(failed)?;
    let (bar, at) = (bar(SAVING, language), store.clock().now());
    // What is found from here on is named by its message.
    let damage = store.health().wait().map(|health| health.damaged);
    let copied = transfer::each(&*store, |entry, content, all| {
        bar.set_length(all);
        bar.inc(1);
        writer.stored(entry, at, content)
    });
    bar.finish_and_clear();
    let orders = store.orders().wait();
    store.close();
    let left = copied.map_err(unwritten)?;
    let orders = orders.map_err(|error| of_store(&error))?;
    writer.with_queue(orders.into_iter().map(|(_, order)| order).collect());
    let messages = left.iter().map(|(id, error)| (id.to_string(), spool_error(error))).collect();
    Ok(Missing { messages, damage: damage.map_err(|error| of_store(&error))? })
}

const SAVING: Text = Text::new("saving", "guardando");

pub(super) fn unwritten(error: BackupError) -> Failure {
    let code = match error {
        BackupError::File(..) => Sysexit::NoInput,
        BackupError::Queue(_) => Sysexit::TryAgain,
        _ => Sysexit::IoError,
    };
    Failure::new(code, error.said())
}

/// Counts what passes.
struct Tallied<W> {
    out: W,
    octets: u64,
}

impl<W: Write> Write for Tallied<W> {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        let count = self.out.write(octets)?;
        self.octets += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// Where a backup goes.
enum Output {
    Stdout,
    File(File, PathBuf),
}

impl Output {
    fn new(path: &Path) -> Result<Self, Failure> {
        if path == Path::new("-") {
            return match io::stdout().is_terminal() {
                true => Err(Failure::new(Sysexit::Arguments, SECRETS)),
                false => Ok(Self::Stdout),
            };
        }
        let name = Said::words(path.display().to_string());
        let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
        made.map(|file| Self::File(file, path.to_owned())).map_err(|error| {
            let said = match error.kind() {
                io::ErrorKind::AlreadyExists => Said::of_parts(EXISTS, &[("file", &name)]),
                _ => said_of!("{file}: {error}", "{file}: {error}";
                    file = name, error = crate::lang::system(&error)),
            };
            Failure::new(Sysexit::CantCreate, said)
        })
    }

    fn writer(&self) -> Box<dyn Write + '_> {
        match self {
            Self::Stdout => Box::new(io::stdout().lock()),
            Self::File(file, _) => Box::new(file),
        }
    }

    fn sync(&self) -> io::Result<()> {
        match self {
            Self::Stdout => Ok(()),
            Self::File(file, _) => file.sync_all(),
        }
    }

    // This process may have become another user meanwhile: what it cannot remove is empty.
    fn discard(&self) {
        if let Self::File(file, path) = self {
            let _ = file.set_len(0);
            let _ = std::fs::remove_file(path);
        }
    }
}
