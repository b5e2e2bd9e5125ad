//! `puerto restore`: brings back what a backup holds.
//!
//! All of the archive is compared with its manifest before anything is looked for, and all
//! that stands in the way is looked for before anything is changed: a server that runs, a
//! user who is missing, files that are others now, a queue that holds mail. What was cut off
//! is done again: files that are the same are left alone, and a message that is there already
//! is not taken twice.
//!
//! Mail may have left after the backup was made, and a queue cannot know: so it comes back
//! held, and says so wherever it is shown.

use std::fs::File;
use std::io::{self, IsTerminal as _, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use clap::Args;
use nix::fcntl::OFlag;
use nix::unistd::{Gid, Group, Uid, User, fchown, geteuid};
use puerto_spool::{Backend, Entry, transfer};
use serde_json::{Value, json};

use super::backup::unwritten;
use super::exit::{Failure, Sysexit, end};
use super::output::{json_document, say, show, tell};
use super::spanish::Spanish as _;
use super::store::{bar, failed, of_store};
use crate::backup::{Archive, FileEntry, Folder};
use crate::cause::Cause;
use crate::config::Config;
use crate::control::{Client, ClientError};
use crate::lang::{Language, Said, Text, octets, said, said_of, system};
use crate::rights::{self, Identity, Place};
use crate::serve::store;

/// Bring back what a backup holds.
#[derive(Debug, Args)]
pub struct RestoreArgs {
    /// The backup; -: standard input
    #[arg(es = "La copia de seguridad; -: la entrada estándar")]
    file: PathBuf,
    /// Look at it and show what it holds; change nothing
    #[arg(es = "La examina y muestra lo que contiene; no cambia nada")]
    #[arg(long)]
    list: bool,
    /// Put its files in the place of others, which are kept beside them
    #[arg(es = "Pone sus ficheros en lugar de otros, que se conservan al lado")]
    #[arg(long)]
    replace: bool,
    /// Also files outside of /etc/puerto, /var/lib/puerto and /etc/aliases: look at --list first
    #[arg(
        es = "También ficheros fuera de /etc/puerto, /var/lib/puerto y /etc/aliases: mire antes \
                --list"
    )]
    #[arg(long)]
    anywhere: bool,
    /// Add its mail to a queue that holds some
    #[arg(es = "Añade su correo a una cola que ya tiene")]
    #[arg(long)]
    merge: bool,
    /// Have its mail sent, also what may have left since: for moving to another machine
    #[arg(es = "Deja salir su correo, también el que pudo salir después: para cambiar de máquina")]
    #[arg(long)]
    release: bool,
    /// One JSON document instead of text
    #[arg(es = "Un documento JSON en vez de texto")]
    #[arg(long)]
    json: bool,
}

const DIFFERENT: Text = Text::new(
    "other files are where these belong: {files}. Nothing was changed. With --replace those of the \
     backup take their places, and these are kept beside them",
    "hay otros ficheros en el lugar de estos: {files}. No se ha cambiado nada. Con --replace se ponen \
     los de la copia en su lugar, y aquellos se conservan al lado",
);
const ELSEWHERE: Text = Text::new(
    "it would write outside of /etc/puerto, /var/lib/puerto and /etc/aliases: {files}. Nothing was \
     changed. If you know where the archive comes from and these belong to it: --anywhere",
    "escribiría fuera de /etc/puerto, /var/lib/puerto y /etc/aliases: {files}. No se ha cambiado nada. \
     Si sabe de dónde viene el archivo y estos son suyos: --anywhere",
);
const RUNS: Text = Text::new(
    "the server runs: stop it first (systemctl stop puerto.socket puerto.service). Nothing was changed",
    "el servidor está en marcha: párelo antes (systemctl stop puerto.socket puerto.service). No se ha \
     cambiado nada",
);
const NOT_EMPTY: Text = Text::new(
    "the queue that is here holds mail ({count}). Nothing was changed. With --merge that of the backup \
     is added",
    "la cola que hay aquí tiene correo ({count}). No se ha cambiado nada. Con --merge se añade el de la \
     copia",
);
const NO_USER: Text = Text::new(
    "there is no user {user}, as whom the server works: install the program first, or run \
     `systemd-sysusers`. Nothing was changed",
    "no existe el usuario {user}, con el que trabaja el servidor: instale antes el programa, o ejecute \
     `systemd-sysusers`. No se ha cambiado nada",
);

const NO_INPUT: Text = Text::new(
    "a backup is to come on standard input: puerto restore - < FILE",
    "la copia ha de llegar por la entrada estándar: puerto restore - < FICHERO",
);

/// What is beside a file in whose place another was put.
const ASIDE: &str = "before-restore";

/// Brings a backup back.
pub fn run(arguments: &RestoreArgs, language: Language) -> ExitCode {
    end("puerto restore", restore(arguments, language), language)
}

fn restore(arguments: &RestoreArgs, language: Language) -> Result<Sysexit, Failure> {
    let file = input(&arguments.file)?;
    let progress = bar(Text::new("reading", "leyendo"), language);
    let opened = Archive::open(file, |at, all| {
        progress.set_length(all);
        progress.set_position(at);
    });
    progress.finish_and_clear();
    let mut archive = opened.map_err(|error| {
        let failure = unwritten(error);
        Failure::new(Sysexit::DataError, failure.message)
    })?;
    if arguments.list {
        return list(&archive, arguments.json, language);
    }
    let plan = Plan::new(&mut archive, arguments)?;
    let done = plan.carry_out(&mut archive, arguments, language)?;
    done.tell(&archive, arguments, language)?;
    Ok(Sysexit::Ok)
}

// It is read twice: compared with its manifest, then brought back.
fn input(path: &Path) -> Result<File, Failure> {
    let opened = match path == Path::new("-") {
        true if io::stdin().is_terminal() => {
            return Err(Failure::new(Sysexit::Arguments, NO_INPUT));
        }
        true => kept(io::stdin().lock()),
        false => File::open(path),
    };
    opened.map_err(|error| {
        let name = Said::words(path.display().to_string());
        let said =
            said_of!("{file}: {error}", "{file}: {error}"; file = name, error = system(&error));
        Failure::new(Sysexit::NoInput, said)
    })
}

/// What comes once, in a file without a name that nobody else can open. Where the system's own
/// folder for such is memory, a queue may not fit.
fn kept(mut from: impl io::Read) -> io::Result<File> {
    let folder = std::env::var_os("TMPDIR").map_or_else(|| "/var/tmp".into(), PathBuf::from);
    let folder = if folder.is_dir() { folder } else { std::env::temp_dir() };
    let mut file = tempfile::tempfile_in(folder)?;
    io::copy(&mut from, &mut file)?;
    Ok(file)
}

fn list(archive: &Archive, as_json: bool, language: Language) -> Result<Sysexit, Failure> {
    let manifest = &archive.manifest;
    if as_json {
        let value = serde_json::to_value(manifest).map_err(io::Error::from)?;
        say(&json_document(&value).map_err(io::Error::from)?)?;
        return Ok(Sysexit::Ok);
    }
    let mut text = said!(
        "{hostname}, {created}, puerto {version}", "{hostname}, {created}, puerto {version}";
        hostname = manifest.hostname, created = manifest.created, version = manifest.version
    )
    .of(language);
    text.push('\n');
    for file in &manifest.files {
        let (owner, path) = (format!("{}:{}", file.owner, file.group), file.path.display());
        text.push_str(&format!(
            "{:04o} {owner:<16} {:>10}  {path}\n",
            file.mode,
            octets(file.size)
        ));
    }
    let queue = match &manifest.queue {
        Some(queue) => said!(
            "messages that wait: {count} ({size})", "mensajes en espera: {count} ({size})";
            count = queue.messages, size = octets(queue.octets)
        ),
        None => said!("the queue is in a database", "la cola está en una base de datos"),
    };
    text.push_str(&queue.of(language));
    text.push('\n');
    show(&text)?;
    Ok(Sysexit::Ok)
}

/// What is to be done with the files.
struct Plan {
    /// Those that are to be written; something else is there, or nothing.
    files: Vec<(FileEntry, bool)>,
    same: usize,
    service: Option<Identity>,
}

impl Plan {
    /// Looks for all that stands in the way.
    fn new(archive: &mut Archive, arguments: &RestoreArgs) -> Result<Self, Failure> {
        let config = archive.config.clone();
        stay_inside(archive, arguments)?;
        match Client::connect(&config.run_dir) {
            Err(ClientError::NotRunning { .. }) => {}
            Ok(_) | Err(_) => return Err(Failure::new(Sysexit::TryAgain, RUNS)),
        }
        let service = Identity::of_service(&config.user)?;
        if service.is_none() && geteuid().is_root() && !config.user.is_empty() {
            let said = Said::with(NO_USER, &[("user", &config.user)]);
            return Err(Failure::new(Sysexit::NoUser, said));
        }
        let mut plan = Self { files: Vec::new(), same: 0, service };
        let mut different = Vec::new();
        for file in archive.manifest.files.clone() {
            match present(&file.path)? {
                Some(there) if there == archive.octets(&file).map_err(unwritten)? => plan.same += 1,
                Some(_) => {
                    different.push(file.path.display().to_string());
                    plan.files.push((file, true));
                }
                None => plan.files.push((file, false)),
            }
        }
        if !different.is_empty() && !arguments.replace {
            let said = Said::with(DIFFERENT, &[("files", &different.join(", "))]);
            return Err(Failure::new(Sysexit::CantCreate, said));
        }
        let waiting = if archive.manifest.queue.is_some() { waiting(archive)? } else { 0 };
        if waiting > 0 && !arguments.merge {
            let said = Said::with(NOT_EMPTY, &[("count", &waiting.to_string())]);
            return Err(Failure::new(Sysexit::CantCreate, said));
        }
        Ok(plan)
    }

    fn carry_out(
        self,
        archive: &mut Archive,
        arguments: &RestoreArgs,
        language: Language,
    ) -> Result<Done, Failure> {
        let mut done = Done { same: self.same, ..Done::default() };
        let folders = archive.manifest.folders.clone();
        for (file, is_other) in &self.files {
            let octets = archive.octets(file).map_err(unwritten)?;
            let state = &archive.config.state_dir;
            // What is in the state is the service's own: root changes nothing in others' folders.
            let owner = self.service.as_ref().filter(|_| file.path.starts_with(state));
            let above = if owner.is_some() { state.join("file") } else { file.path.clone() };
            let written = make_folders(&above, &folders).and_then(|()| {
                rights::act(owner, || {
                    make_folders(&file.path, &folders)?;
                    let aside = is_other.then(|| set_aside(&file.path)).transpose()?;
                    put(file, &octets).map(|()| aside)
                })
            });
            done.aside.extend(written.map_err(|error| of_file(&file.path, &error))?);
            done.written += 1;
        }
        let queue = archive.manifest.queue.as_ref();
        if queue.is_some_and(|queue| queue.messages > 0 || !queue.orders.is_empty()) {
            // From here on as the service's user, so that the daemon can read what is written.
            take_over(archive, arguments.release, &mut done, language)?;
        }
        Ok(done)
    }
}

/// What was done.
#[derive(Default)]
struct Done {
    written: usize,
    same: usize,
    aside: Vec<PathBuf>,
    messages: u64,
    there: u64,
    orders: u64,
}

impl Done {
    fn tell(
        &self,
        archive: &Archive,
        arguments: &RestoreArgs,
        language: Language,
    ) -> Result<(), Failure> {
        let is_held = !arguments.release;
        if arguments.json {
            let aside: Vec<Value> =
                self.aside.iter().map(|path| path.display().to_string().into()).collect();
            let document = json!({
                "files": self.written, "unchanged": self.same, "aside": aside,
                "messages": self.messages, "there": self.there, "held": is_held,
                "orders": self.orders,
            });
            return Ok(say(&document.to_string())?);
        }
        let mut said = vec![said!(
            "Files brought back: {written}; already as in the backup: {same}.",
            "Ficheros recuperados: {written}; ya eran como en la copia: {same}.";
            written = self.written, same = self.same
        )];
        said.extend(self.aside.iter().map(|path| {
            said!("The one before is now {path}.", "El anterior es ahora {path}."; path = path.display())
        }));
        said.push(match &archive.manifest.queue {
            None => said!(
                "The queue is in the database, which has its own backup.",
                "La cola está en la base de datos, que tiene su propia copia."
            ),
            Some(_) if self.messages + self.there == 0 => {
                said!("No mail was waiting.", "No había correo en espera.")
            }
            Some(_) if self.messages == 0 => said!(
                "All messages of the backup are in the queue already: {there}.",
                "Todos los mensajes de la copia están ya en la cola: {there}.";
                there = self.there
            ),
            Some(_) if is_held => said!(
                "Messages brought back and held: {count}. They may have left after {created}. When the \
                 server runs, `puerto queue list --held` shows them, and `puerto queue release --held` \
                 sends them.",
                "Mensajes recuperados y retenidos: {count}. Pueden haber salido después del {created}. \
                 Con el servidor en marcha, `puerto queue list --held` los muestra y `puerto queue \
                 release --held` los envía.";
                count = self.messages, created = archive.manifest.created
            ),
            Some(_) => said!(
                "Messages brought back: {count}.", "Mensajes recuperados: {count}.";
                count = self.messages
            ),
        });
        said.extend((self.messages > 0 && self.there > 0).then(|| {
            said!(
                "Messages that were in the queue already: {there}.",
                "Mensajes que ya estaban en la cola: {there}."; there = self.there
            )
        }));
        said.extend((self.orders > 0).then(|| {
            said!(
                "Pauses, holds of new mail and other ways brought back: {count} (`puerto queue rules`).",
                "Pausas, retenciones de correo nuevo y desvíos recuperados: {count} (`puerto queue \
                 rules`).";
                count = self.orders
            )
        }));
        said.push(said!(
            "To see whether all is right: puerto doctor. To start: systemctl start puerto",
            "Para ver si todo está bien: puerto doctor. Para arrancar: systemctl start puerto"
        ));
        let lines: Vec<String> = said.iter().map(|said| said.of(language)).collect();
        Ok(show(&(lines.join("\n") + "\n"))?)
    }
}

// An archive names its places itself, and whoever made it may mean harm: what a mail server
// has no business to write is written only for those who say so.
fn stay_inside(archive: &Archive, arguments: &RestoreArgs) -> Result<(), Failure> {
    const TREES: [&str; 2] = ["/etc/puerto", "/var/lib/puerto"];
    const ALIASES: &str = "/etc/aliases";
    let is_usual = |path: &&Path| {
        TREES.iter().any(|tree| path.starts_with(tree)) || *path == Path::new(ALIASES)
    };
    let files = archive.manifest.files.iter().map(|file| file.path.as_path());
    let all = files.chain([archive.config.state_dir.as_path()]);
    let outside: Vec<String> =
        all.filter(|path| !is_usual(path)).map(|path| path.display().to_string()).collect();
    if outside.is_empty() || arguments.anywhere {
        return Ok(());
    }
    let said = Said::with(ELSEWHERE, &[("files", &outside.join(", "))]);
    Err(Failure::new(Sysexit::NoPermission, said))
}

/// The octets of the file that is there; nothing of what is none.
fn present(path: &Path) -> Result<Option<Vec<u8>>, Failure> {
    match rights::open_to_read(path, None) {
        Ok(mut file) => {
            let mut octets = Vec::new();
            file.read_to_end(&mut octets).map_err(|error| of_file(path, &error))?;
            Ok(Some(octets))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(of_file(path, &error)),
    }
}

fn of_file(path: &Path, error: &io::Error) -> Failure {
    let said = said_of!(
        "{path}: {error}", "{path}: {error}";
        path = Said::words(path.display().to_string()), error = rights::said(error)
    );
    Failure::new(Sysexit::CantCreate, said)
}

/// How many messages wait in the queue that is here: asked of a process of its own, since
/// whoever opens it becomes the service's user for good.
fn waiting(archive: &mut Archive) -> Result<u64, Failure> {
    if !archive.config.state_dir.join("spool").exists() {
        return Ok(0);
    }
    let mut text = tempfile_of(&archive.config)?;
    let program = std::env::current_exe()?;
    let asked = Command::new(program)
        .arg("--config")
        .arg(text.path())
        .args(["store", "count", "--json"])
        .output()?;
    text.remove();
    let answer: Value = serde_json::from_slice(&asked.stdout).unwrap_or_default();
    answer.get("messages").and_then(Value::as_u64).ok_or_else(|| {
        let said = String::from_utf8_lossy(&asked.stderr).trim().to_owned();
        Failure::new(Sysexit::TryAgain, Said::words(said))
    })
}

/// A configuration in a file that goes again.
struct Written(PathBuf);

impl Written {
    fn path(&self) -> &Path {
        &self.0
    }

    fn remove(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn tempfile_of(config: &Config) -> Result<Written, Failure> {
    let path = std::env::temp_dir().join(format!("puerto-restore-{}.toml", std::process::id()));
    let place = Place::of(&path)?;
    let mut file = place.create(OFlag::O_WRONLY, 0o600)?;
    file.write_all(config.to_toml().as_bytes())?;
    Ok(Written(path))
}

/// Makes the folders of a file that are missing, as they were.
fn make_folders(path: &Path, folders: &[Folder]) -> io::Result<()> {
    let mut missing: Vec<&Path> = path.ancestors().skip(1).filter(|one| !one.exists()).collect();
    missing.reverse();
    for folder in missing {
        let known = folders.iter().find(|known| known.path == folder);
        let mode = known.map_or(0o755, |known| known.mode & 0o777);
        let place = Place::of(folder)?;
        place.may_be_changed()?;
        let Some(made) = place.new_folder(mode)? else { continue };
        made.set_permissions(std::fs::Permissions::from_mode(mode))?;
        if let Some(known) = known {
            give(&made, &known.owner, &known.group)?;
        }
    }
    Ok(())
}

/// Keeps a copy of the file that is there beside it.
fn set_aside(path: &Path) -> io::Result<PathBuf> {
    let mut file = rights::open_to_read(path, None)?;
    let metadata = file.metadata()?;
    let mut octets = Vec::new();
    file.read_to_end(&mut octets)?;
    for number in 1..1000 {
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".{ASIDE}"));
        if number > 1 {
            name.push(format!(".{number}"));
        }
        let aside = PathBuf::from(name);
        let place = Place::of(&aside)?;
        place.may_be_changed()?;
        match place.create(OFlag::O_WRONLY, metadata.mode() & 0o777) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            made => {
                let mut made = made?;
                made.write_all(&octets)?;
                if geteuid().is_root() {
                    let (uid, gid) = (Uid::from_raw(metadata.uid()), Gid::from_raw(metadata.gid()));
                    fchown(&made, Some(uid), Some(gid))?;
                }
                return Ok(aside);
            }
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

fn put(file: &FileEntry, octets: &[u8]) -> io::Result<()> {
    let place = Place::of(&file.path)?;
    let mode = file.mode & 0o777;
    place.may_be_changed()?;
    place.replace_once(octets, mode, |made| {
        made.set_permissions(std::fs::Permissions::from_mode(mode))?;
        give(made, &file.owner, &file.group)
    })
}

/// Gives a file to a user and a group by their names; who is not here gets nothing.
fn give(file: &File, owner: &str, group: &str) -> io::Result<()> {
    if !geteuid().is_root() {
        return Ok(());
    }
    let user = User::from_name(owner)?.map(|user| user.uid);
    let group = Group::from_name(group)?.map(|group| group.gid);
    Ok(fchown(file, user, group)?)
}

/// Takes the mail over.
fn take_over(
    archive: &mut Archive,
    release: bool,
    done: &mut Done,
    language: Language,
) -> Result<(), Failure> {
    store::become_service(&archive.config).map_err(failed)?;
    let store = store::own(&archive.config).map_err(failed)?;
    let all = archive.manifest.queue.as_ref().map_or(0, |queue| queue.messages);
    let bar = bar(Text::new("restoring", "recuperando"), language);
    bar.set_length(all);
    let why = Cause::Restored { created: archive.manifest.created.clone() }.kept();
    let orders = archive.manifest.queue.as_ref().map(|queue| queue.orders.clone());
    // What is paused or held is so before the first message is there.
    let given = transfer::give_orders(&*store, &orders.unwrap_or_default());
    let taken = match given {
        Ok(given) => {
            done.orders = given;
            take_over_messages(archive, &*store, done, |entry| {
                bar.inc(1);
                as_restored(entry, release, &why)
            })
        }
        Err(error) => Err(of_store(&error)),
    };
    bar.finish_and_clear();
    store.close();
    if taken.is_err() {
        tell(BROKEN_OFF.of(language));
    }
    taken
}

fn take_over_messages(
    archive: &mut Archive,
    store: &dyn Backend,
    done: &mut Done,
    as_taken: impl Fn(Entry) -> Entry,
) -> Result<(), Failure> {
    let mut messages = archive.messages().map_err(unwritten)?;
    let mut adoptions = transfer::Adoptions::new(store);
    while let Some(begun) = messages
        .next(|entry, content| adoptions.begin(&as_taken(entry), content))
        .map_err(unwritten)?
    {
        begun.map_err(|error| of_store(&error))?;
    }
    let taken = adoptions.end().map_err(|error| of_store(&error))?;
    (done.messages, done.there) = (taken.new, taken.there);
    Ok(())
}

const BROKEN_OFF: Text = Text::new(
    "not all mail was brought back: mend what follows and run the same with --merge",
    "no se ha recuperado todo el correo: arregle lo que sigue y repita con --merge",
);

// Who held it before had a reason of their own, and releases it.
fn as_restored(entry: Entry, release: bool, why: &str) -> Entry {
    match release || entry.held {
        true => entry,
        false => Entry { held: true, held_for: why.to_owned(), ..entry },
    }
}

#[cfg(test)]
mod tests {
    use std::io::Seek as _;

    use super::*;

    #[test]
    fn a_backup_that_comes_on_a_pipe_can_be_read_as_often_as_one_in_a_file() {
        let mut file = kept(&b"ustar"[..]).unwrap();
        for _ in 0..2 {
            file.rewind().unwrap();
            let mut text = String::new();
            file.read_to_string(&mut text).unwrap();
            assert_eq!(text, "ustar");
        }
        assert_eq!(file.metadata().unwrap().nlink(), 0, "nobody else finds it");
    }
}
