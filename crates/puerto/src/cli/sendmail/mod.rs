//! The `sendmail` command: takes a message from a local program and hands it to the
//! server of this machine.
//!
//! It needs no privileges: it speaks SMTP over a socket that everybody may open, and
//! the server learns from the kernel who is at the other end. The one promise that
//! callers rely on is its exit code: 0 means that the server has the message on
//! disk, for every recipient. With any other, nothing was sent, so that a caller may
//! try again without anybody getting the message twice.
//!
//! [`arguments`] reads the command line, [`input`] the message; [`compose`] makes an
//! envelope and a header of the two; `session` talks to the server.

pub mod arguments;
pub mod compose;
pub mod input;

mod caller;
mod help;
mod leave;
mod notice;
pub mod pickup;
mod raw;
mod session;
mod stdio;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use puerto_smtp::Domain;

use self::arguments::{Arguments, Flush, Mode};
use self::compose::{Home, Submission, User};
use self::help::HELP;
use self::input::Input;
use self::leave::{Left, NotLeft, Place};
use self::session::{Offer, Session};
use crate::cli::exit::{Failure, Sysexit, end};
use crate::cli::output::{say, tell};
use crate::cli::{aliases, mailq};
use crate::config::Config;
use crate::control::{Client, ClientError};
use crate::drop;
use crate::lang::{Language, Said, Text, said, said_of, system};
use crate::receive::SUBMIT_SOCKET;

/// Runs `sendmail` with the arguments that follow the program's name. A file that
/// `-C` names goes before `config_path`.
pub fn run(
    arguments: impl Iterator<Item = OsString>,
    config_path: Option<&Path>,
    language: Language,
) -> ExitCode {
    let result = arguments::parse(arguments).and_then(|arguments| {
        let config_path = arguments.config.clone().or(config_path.map(PathBuf::from));
        dispatch(&arguments, config_path.as_deref(), language)
    });
    end("sendmail", result.map(|()| Sysexit::Ok), language)
}

fn dispatch(
    arguments: &Arguments,
    config_path: Option<&Path>,
    language: Language,
) -> Result<(), Failure> {
    match &arguments.mode {
        Mode::Deliver => deliver(arguments, &Settings::load(config_path)?, language)?,
        Mode::Stdio => stdio::run(&Settings::load(config_path)?.submit_socket())?,
        Mode::ListQueue => mailq::print(config_path)?,
        Mode::Aliases => aliases::check(config_path, language)?,
        Mode::Flush(what) => flush(what, &Settings::load(config_path)?)?,
        Mode::Nothing => {}
        Mode::Help => say(HELP.of(language).trim_end())?,
        Mode::Version => say(&format!("Buen Puerto {} sendmail", env!("CARGO_PKG_VERSION")))?,
    }
    Ok(())
}

/// Where the server's sockets live.
pub(super) fn run_dir(config_path: Option<&Path>) -> Result<PathBuf, Failure> {
    Settings::load(config_path).map(|settings| settings.run_dir)
}

/// The same failure, and where the server does not run, how many messages were left for it:
/// one's own, for root all.
pub(super) fn and_what_waits(failure: Failure, config_path: Option<&Path>) -> Failure {
    let Ok(settings) = Settings::load(config_path) else { return failure };
    let is_down =
        || matches!(Client::connect(&settings.run_dir), Err(ClientError::NotRunning { .. }));
    let Some(directory) = settings.place.directory.as_deref() else { return failure };
    if failure.code != Sysexit::TryAgain || !is_down() {
        return failure;
    }
    let user = nix::unistd::geteuid();
    let owners = drop::owners(directory).into_iter();
    let count: usize = owners.map(|uid| drop::waiting(directory, uid)).sum();
    if count == 0 {
        return failure;
    }
    let path = match user.is_root() {
        true => directory.to_owned(),
        false => drop::folder_of(directory, user),
    };
    let message = said_of!(
        "{failure}\nleft for it meanwhile, in {path}: {count}; it takes them when it starts",
        "{failure}\ndejados mientras tanto para él, en {path}: {count}; los recogerá al arrancar";
        failure = &failure.message, path = Said::words(path.display().to_string()),
        count = Said::words(count.to_string())
    );
    Failure { message, ..failure }
}

/// What the command needs to know of the configuration.
struct Settings {
    home: Home,
    run_dir: PathBuf,
    /// Where messages are left while the server does not run.
    place: Place,
}

impl Settings {
    // The file holds no secrets and is readable by all; where it is not, an
    // unprivileged user does with the defaults rather than with nothing. A file that
    // somebody named is another matter: it may belong to another server.
    fn load(path: Option<&Path>) -> Result<Self, Failure> {
        let (file, is_named) = Config::file(path);
        let unreadable = !is_named
            && std::fs::File::open(&file)
                .is_err_and(|error| error.kind() == std::io::ErrorKind::PermissionDenied);
        if unreadable {
            let config = Config::parse("", &file.display().to_string())?;
            let home =
                Self::home_of_daemon(&config.run_dir).map_or_else(|| home(&config, &file), Ok)?;
            return Ok(Self::of(home, config));
        }
        match Config::load(path) {
            Ok(config) => Ok(Self::of(home(&config, &file)?, config)),
            // A daemon that runs has a configuration that was right, and goes by it; where
            // none runs, the errors are the likely cause.
            Err(errors) => {
                let found = Config::load_leniently(path)?;
                let home = Self::home_of_daemon(&found.run_dir).ok_or(errors)?;
                Ok(Self::of(home, found))
            }
        }
    }

    fn of(home: Home, config: Config) -> Self {
        let place = Place {
            directory: config.pickup.directory,
            most_recipients: config.limits.recipients,
            largest: config.limits.message_size,
        };
        Self { home, run_dir: config.run_dir, place }
    }

    // What the daemon completes names with, if one runs.
    fn home_of_daemon(run_dir: &Path) -> Option<Home> {
        let health = Client::connect(run_dir).ok()?.health().ok()?;
        let origin = Domain::parse(&health.origin?).ok()?;
        Some(Home { origin, local: Domain::parse(&health.local?).ok()? })
    }

    fn submit_socket(&self) -> PathBuf {
        self.run_dir.join(SUBMIT_SOCKET)
    }
}

fn home(config: &Config, file: &Path) -> Result<Home, Failure> {
    let local = config.domains.first().cloned().ok_or_else(|| {
        let file = file.display();
        Failure::new(
            Sysexit::Config,
            said!(
                "{file}: `domains` names no domain",
                "{file}: `domains` no nombra ningún dominio"; file = file
            ),
        )
    })?;
    let origin = config.sender_domain().cloned().unwrap_or_else(|| local.clone());
    Ok(Home { origin, local })
}

fn deliver(arguments: &Arguments, settings: &Settings, language: Language) -> Result<(), Failure> {
    let user = user();
    let input = Input::read(std::io::stdin().lock(), arguments.dot_ends)?;
    let mut submission = compose::compose(arguments, input, &user, &settings.home)?;
    submit(&mut submission, settings, arguments.verbose)?;
    for note in &submission.notes {
        tell(&format!("sendmail: {}", note.of(language)));
    }
    Ok(())
}

fn user() -> User {
    let uid = nix::unistd::getuid();
    let entry = nix::unistd::User::from_uid(uid).ok().flatten();
    let from_environment = std::env::var("NAME").ok();
    let Some(entry) = entry else {
        return User { login: uid.to_string(), full_name: from_environment };
    };
    let full_name = from_environment.or_else(|| gecos_name(&entry));
    User { login: entry.name, full_name: full_name.filter(|name| !name.trim().is_empty()) }
}

// The first part of the GECOS field; `&` in it stands for the login name, capitalized.
fn gecos_name(entry: &nix::unistd::User) -> Option<String> {
    let gecos = entry.gecos.to_str().ok()?;
    let name = gecos.split(',').next()?;
    let mut login = entry.name.chars();
    let capital = login.next().map(|first| first.to_uppercase().chain(login).collect::<String>());
    Some(name.replace('&', &capital.unwrap_or_default()))
}

/// Hands a message over: to all of its recipients, or to none.
///
/// Where the server takes fewer recipients with one message than there are, the rest
/// goes with further copies of it (RFC 5321 §4.5.3.1.10), but only once every
/// recipient was found to be acceptable.
fn submit(submission: &mut Submission, settings: &Settings, verbose: bool) -> Result<(), Failure> {
    let socket = &settings.submit_socket();
    let recipients = submission.envelope.recipients.clone();
    let claims = caller::claims();
    let mut session = match Session::open(socket, &claims, verbose) {
        Err(failure) if session::is_down(socket) => {
            let left = leave_for_later(submission, &settings.place, failure)?;
            if session::is_down(socket) {
                return Ok(());
            }
            // It has started, and may have looked into the folder before.
            left.take_back();
            Session::open(socket, &claims, verbose)?
        }
        opened => opened?,
    };
    let offer = session.offer(&submission.envelope, &recipients, submission.size())?;
    refused(&offer)?;
    if offer.accepted == recipients.len() {
        session.content(submission)?;
        session.quit();
        return Ok(());
    }
    session.quit();
    let way = (socket.as_path(), claims.as_slice(), verbose);
    let parts = partition(submission, offer.accepted, way)?;
    let mut rest = recipients.as_slice();
    for (done, count) in parts.iter().enumerate() {
        let (part, later) = rest.split_at_checked(*count).unwrap_or((rest, &[]));
        rest = later;
        send_part(submission, part, way).map_err(|failure| {
            if done == 0 {
                failure
            } else {
                partial(failure, recipients.len(), part.len() + later.len())
            }
        })?;
    }
    Ok(())
}

/// For a server that does not run: what is on the disk of this user's folder is as good as
/// handed over.
fn leave_for_later(
    submission: &mut Submission,
    place: &Place,
    failure: Failure,
) -> Result<Left, Failure> {
    let (size, limit) = (submission.size(), place.largest);
    if size > limit {
        return Err(session::too_large(size, limit));
    }
    let message = match place.leave(submission) {
        Ok(left) => return Ok(left),
        Err(NotLeft::Nowhere) => return Err(failure),
        Err(NotLeft::NoFolder(path)) => {
            let path = path.display().to_string();
            let uid = nix::unistd::geteuid();
            let who = match drop::is_for(uid) {
                true => said!(
                    "the server makes it when you send while it runs, or root now",
                    "la crea el servidor cuando usted envía mientras funciona, o root ahora"
                ),
                false => said!(
                    "the server makes none for such a user, but root may",
                    "el servidor no la crea para un usuario así, pero puede hacerlo root"
                ),
            };
            said_of!(
                "{failure}\nit could not be left for later either: you have no folder {path}; {who}: \
                 install -d -m 700 -o {uid} {path}",
                "{failure}\ntampoco se ha podido dejar para después: usted no tiene carpeta {path}; \
                 {who}: install -d -m 700 -o {uid} {path}";
                failure = &failure.message, path = Said::words(path), who = who,
                uid = Said::words(uid.to_string())
            )
        }
        Err(NotLeft::TooMany(path)) => said_of!(
            "{failure}\nit could not be left for later either: {path} holds {most} messages already",
            "{failure}\ntampoco se ha podido dejar para después: en {path} hay ya {most} mensajes";
            failure = &failure.message, path = Said::words(path.display().to_string()),
            most = Said::words(leave::MOST.to_string())
        ),
        Err(NotLeft::NoRoom(path, free)) => said_of!(
            "{failure}\nit could not be left for later either: the disk of {path} would have less \
             than {free} MiB left",
            "{failure}\ntampoco se ha podido dejar para después: en el disco de {path} quedarían \
             menos de {free} MiB";
            failure = &failure.message, path = Said::words(path.display().to_string()),
            free = Said::words((free >> 20).to_string())
        ),
        Err(NotLeft::Failed(path, error)) => said_of!(
            "{failure}\nit could not be left for later either, in {path}: {error}",
            "{failure}\ntampoco se ha podido dejar para después, en {path}: {error}";
            failure = &failure.message, path = Said::words(path.display().to_string()),
            error = system(&error)
        ),
    };
    Err(Failure { message, ..failure })
}

/// The socket, what is said of the caller, and whether the dialogue is shown.
type Way<'a> = (&'a Path, &'a [(&'static str, String)], bool);

// How many recipients go with each copy; every one of them is accepted by the server.
fn partition(submission: &Submission, first: usize, way: Way<'_>) -> Result<Vec<usize>, Failure> {
    let recipients = &submission.envelope.recipients;
    let mut parts = vec![first];
    let mut offered = first;
    while let Some(rest) = recipients.get(offered..).filter(|rest| !rest.is_empty()) {
        let mut session = Session::open(way.0, way.1, way.2)?;
        let offer = session.offer(&submission.envelope, rest, submission.size())?;
        refused(&offer)?;
        session.quit();
        parts.push(offer.accepted);
        offered += offer.accepted;
    }
    Ok(parts)
}

fn send_part(
    submission: &mut Submission,
    part: &[puerto_smtp::Recipient],
    way: Way<'_>,
) -> Result<(), Failure> {
    let mut session = Session::open(way.0, way.1, way.2)?;
    let offer = session.offer(&submission.envelope, part, submission.size())?;
    refused(&offer)?;
    if offer.accepted < part.len() {
        let message = said!(
            "the mail server changed its mind about how many recipients it takes",
            "el servidor de correo ha cambiado de idea sobre cuántos destinatarios admite"
        );
        return Err(Failure::new(Sysexit::TryAgain, message));
    }
    session.content(submission)?;
    session.quit();
    Ok(())
}

fn partial(failure: Failure, all: usize, left: usize) -> Failure {
    let sent = all - left;
    let number = |count: usize| Said::words(count.to_string());
    let message = said_of!(
        "{failure}\nthe first {sent} of {all} recipients have the message, the last {left} do not",
        "{failure}\nlos {sent} primeros de {all} destinatarios tienen el mensaje; los {left} \
         últimos, no";
        failure = &failure.message, sent = number(sent), all = number(all), left = number(left)
    );
    Failure { message, ..failure }
}

/// Recipients that are named in an error message; the others are counted.
const NAMED: usize = 10;

fn refused(offer: &Offer) -> Result<(), Failure> {
    if offer.refused.is_empty() {
        return Ok(());
    }
    let permanent = offer
        .refused
        .iter()
        .filter(|(_, reply)| reply.severity() == puerto_smtp::Severity::Permanent);
    let unknown = |reply: &puerto_smtp::Reply| {
        let status = reply.status();
        (status.class, status.subject, status.detail) == (5, 1, 1)
    };
    let code = match permanent.clone().count() {
        0 => Sysexit::TryAgain,
        _ if permanent.clone().all(|(_, reply)| unknown(reply)) => Sysexit::NoUser,
        _ => Sysexit::Unavailable,
    };
    Err(Failure::new(code, Said::of_both(|language| refusals(offer, language))))
}

fn refusals(offer: &Offer, language: Language) -> String {
    const REFUSED: Text = Text::new(
        "the mail server refused recipients; nothing was sent",
        "el servidor de correo ha rechazado destinatarios; no se ha enviado nada",
    );
    const MORE: Text = Text::new("and {count} more", "y {count} más");
    let mut message = String::from(REFUSED.of(language));
    for (address, reply) in offer.refused.iter().take(NAMED) {
        message.push_str(&format!("\n  {address}: {reply}"));
    }
    if offer.refused.len() > NAMED {
        let count = (offer.refused.len() - NAMED).to_string();
        message.push_str(&format!("\n  {}", MORE.with(language, &[("count", &count)])));
    }
    message
}

fn flush(what: &Flush, settings: &Settings) -> Result<(), Failure> {
    let mut client = crate::control::Client::connect(&settings.run_dir)?;
    match what {
        Flush::All => client.flush(None)?,
        Flush::Site(domain) => client.flush(Some(domain))?,
        Flush::Message(id) => {
            let done = client.flush_message(id)?;
            if !done.held.is_empty() {
                let held = Said::with(super::queue::HELD_ONE, &[("id", id)]);
                return Err(Failure::new(Sysexit::Unavailable, held));
            }
            if let Some(paused) = done.paused.iter().find(|paused| !paused.in_part) {
                let paused = super::queue::paused_one(paused);
                return Err(Failure::new(Sysexit::Unavailable, paused));
            }
            done.count
        }
    };
    Ok(())
}
