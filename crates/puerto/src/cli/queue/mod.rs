//! `puerto queue`: shows what waits and why, and changes it through the running
//! server.
//!
//! A bulk change is made in two steps. The messages that the conditions select are
//! counted first and their ids kept; after the question was answered, exactly these
//! are changed, and not others that have come since.

mod print;

use std::io::{self, BufRead, BufWriter, IsTerminal};
use std::path::Path;
use std::process::ExitCode;

use clap::{Args, Subcommand};

use self::print::{Form, Manner, Printer};
use crate::cli::clock::now;
use crate::cli::exit::{Failure, Sysexit, end};
use crate::cli::output::{columns, if_read, is_unread, json_document, say, tell};
use crate::cli::sendmail;
use crate::cli::spanish::Spanish as _;
use crate::control::Client;
use crate::control::protocol::{Change, Selection};
use crate::lang::{Language, Said, Text, quoted, said};

/// Show and change the mail that waits.
#[derive(Debug, Args)]
pub struct QueueArgs {
    #[command(subcommand)]
    command: QueueCommand,
}

#[derive(Debug, Subcommand)]
enum QueueCommand {
    /// List waiting messages, the oldest first
    #[command(es = "Enumera los mensajes en espera, primero los más antiguos")]
    List(ListArgs),
    /// Show everything about one message
    #[command(es = "Muestra todo sobre un mensaje")]
    Show(ShowArgs),
    /// Try messages now
    #[command(es = "Intenta entregar mensajes ahora")]
    Retry(ChangeArgs),
    /// Keep messages from being tried until they are released
    #[command(es = "Retiene mensajes: no se intenta entregarlos hasta que se liberan")]
    Hold(ChangeArgs),
    /// Release messages from hold
    #[command(es = "Libera mensajes retenidos")]
    Release(ChangeArgs),
    /// Remove messages for good, without notice to their senders
    #[command(es = "Elimina mensajes definitivamente, sin avisar a sus remitentes")]
    Remove(ChangeArgs),
}

#[derive(Debug, Args)]
struct ListArgs {
    #[command(flatten)]
    conditions: Conditions,
    /// Print one JSON object for each message
    #[arg(es = "Escribe un objeto JSON por mensaje")]
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct ShowArgs {
    /// The message's id, as `puerto queue list` and the log show it
    #[arg(es = "El identificador del mensaje, como lo muestran `puerto queue list` y el registro")]
    id: String,
    /// Print a JSON object
    #[arg(es = "Escribe un objeto JSON")]
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct ChangeArgs {
    /// Ids of messages, as `puerto queue list` and the log show them
    #[arg(es = "Identificadores de mensajes, como los muestran `puerto queue list` y el registro")]
    #[arg(conflicts_with = "all")]
    ids: Vec<String>,
    #[command(flatten)]
    conditions: Conditions,
    /// All messages that wait
    #[arg(es = "Todos los mensajes en espera")]
    #[arg(long)]
    all: bool,
    /// Do not ask before changing several messages
    #[arg(es = "No pregunta antes de cambiar varios mensajes")]
    #[arg(long, short)]
    yes: bool,
}

/// Which messages. With `*` or `?`, a condition is a pattern; otherwise any text that
/// contains it will do. A message is selected whole, even if only one of its
/// recipients fits.
#[derive(Debug, Args)]
struct Conditions {
    /// With a waiting recipient like this
    #[arg(es = "Con un destinatario en espera como este")]
    #[arg(long, value_name = "ADDRESS")]
    to: Option<String>,
    /// With a sender like this; '<>' for notifications
    #[arg(es = "Con un remitente como este; '<>' para las notificaciones")]
    #[arg(long, value_name = "ADDRESS")]
    from: Option<String>,
    /// With a waiting recipient in this domain, or last tried at this host
    #[arg(
        es = "Con un destinatario en espera de este dominio, o cuyo último intento fue en esta \
                máquina"
    )]
    #[arg(long, value_name = "DOMAIN")]
    destination: Option<String>,
    /// That wait for a reason like this
    #[arg(es = "Que esperan por un motivo como este")]
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

impl Conditions {
    fn selection(&self) -> Selection {
        Selection {
            to: self.to.clone(),
            from: self.from.clone(),
            destination: self.destination.clone(),
            reason: self.reason.clone(),
        }
    }
}

/// Runs the command.
pub fn run(arguments: &QueueArgs, config_path: Option<&Path>, language: Language) -> ExitCode {
    let done = dispatch(&arguments.command, config_path, language);
    end("puerto", done.map_err(Failure::of_arguments), language)
}

fn dispatch(
    command: &QueueCommand,
    config_path: Option<&Path>,
    language: Language,
) -> Result<Sysexit, Failure> {
    let run_dir = sendmail::run_dir(config_path)?;
    let connect = || Client::connect(&run_dir);
    let (what, arguments) = match command {
        QueueCommand::List(arguments) => return list(&mut connect()?, arguments, language),
        QueueCommand::Show(arguments) => return show(&mut connect()?, arguments, language),
        QueueCommand::Retry(arguments) => (Change::Retry, arguments),
        QueueCommand::Hold(arguments) => (Change::Hold, arguments),
        QueueCommand::Release(arguments) => (Change::Release, arguments),
        QueueCommand::Remove(arguments) => (Change::Remove, arguments),
    };
    change(&connect, what, arguments, language)
}

fn list(client: &mut Client, arguments: &ListArgs, language: Language) -> Result<Sysexit, Failure> {
    let stdout = io::stdout();
    let form = match (arguments.json, stdout.is_terminal()) {
        (true, _) => Form::Json,
        (false, true) => Form::Table(columns(&stdout)),
        (false, false) => Form::Plain,
    };
    let selection = arguments.conditions.selection();
    let manner = Manner { form, language, now: now() };
    let mut printer = Printer::new(BufWriter::new(stdout.lock()), manner);
    let listed = client.list(&selection, |message| printer.message(&message));
    match listed {
        Ok(_) => if_read(printer.finish())?,
        // Whoever reads only the first lines has what they want.
        Err(error) if is_unread(&error) => {}
        Err(error) => return Err(error.into()),
    }
    tell_trouble(client, language);
    Ok(Sysexit::Ok)
}

/// What is wrong with the queue as a whole: a list of what is there does not tell what is
/// missing from it.
fn tell_trouble(client: &mut Client, language: Language) {
    let Ok(health) = client.health() else { return };
    let damaged = health.damaged.iter().map(|what| (DAMAGED, what));
    let all = damaged.chain(health.unreadable.iter().map(|what| (UNREADABLE, what)));
    let lines: Vec<_> = all.collect();
    for (text, what) in lines.iter().take(MOST_TROUBLE) {
        let what = quoted(what).of(language);
        tell(&format!("puerto: {}", text.with(language, &[("what", &what)])));
    }
    if let Some(more) = lines.len().checked_sub(MOST_TROUBLE).filter(|more| *more > 0) {
        let more = more.to_string();
        tell(&format!("puerto: {}", MORE_TROUBLE.with(language, &[("count", &more)])));
    }
}

fn show(client: &mut Client, arguments: &ShowArgs, language: Language) -> Result<Sysexit, Failure> {
    let message = client.show(&arguments.id)?;
    if arguments.json {
        say(&json_document(&message).map_err(io::Error::from)?)?;
    } else {
        let mut story = Vec::new();
        print::story(&mut story, &message, now(), language)?;
        crate::cli::output::show(&format!("{}\n", String::from_utf8_lossy(&story).trim_end()))?;
    }
    Ok(Sysexit::Ok)
}

fn change(
    connect: &dyn Fn() -> Result<Client, crate::control::ClientError>,
    change: Change,
    arguments: &ChangeArgs,
    language: Language,
) -> Result<Sysexit, Failure> {
    let selection = arguments.conditions.selection();
    let named = !arguments.ids.is_empty();
    let ids = if named {
        if !selection.is_empty() {
            return Err(usage(said!(
                "name messages by their ids or by conditions, not by both",
                "nombre los mensajes por su identificador o por condiciones, no de ambas formas"
            )));
        }
        arguments.ids.clone()
    } else if arguments.all || !selection.is_empty() {
        let mut ids = Vec::new();
        connect()?.list(&selection, |message| {
            ids.push(message.id);
            Ok(())
        })?;
        if !ids.is_empty() && !arguments.yes && !confirmed(change, ids.len(), language)? {
            tell(&format!("puerto: {}", UNCHANGED.of(language)));
            return Ok(Sysexit::Ok);
        }
        ids
    } else {
        return Err(usage(said!(
            "which messages? Name their ids, conditions such as --to, or --all",
            "¿qué mensajes? Indique sus identificadores, condiciones como --to, o --all"
        )));
    };
    let done = connect()?.change(change, &ids)?;
    if done.count > 0 || done.held.is_empty() {
        say(&past(change, done.count, language))?;
    }
    let (held, held_code) = of_the_held(&done.held, named, language);
    let (gone, code) = of_the_missing(&done.missing, named, language);
    for line in held.iter().chain(&gone) {
        tell(&format!("puerto: {line}"));
    }
    Ok(if code == Sysexit::Ok { held_code } else { code })
}

/// What to say of messages that would be tried if they were not held, and the exit code:
/// whoever `named` a message has not got what was asked for.
fn of_the_held(held: &[String], named: bool, language: Language) -> (Vec<String>, Sysexit) {
    match held {
        [] => (Vec::new(), Sysexit::Ok),
        held if named => {
            let lines = held.iter().map(|id| HELD_ONE.with(language, &[("id", id)]));
            (lines.collect(), Sysexit::Unavailable)
        }
        held => (vec![counted(HELD_OF_ALL, HELD, held.len() as u64, language)], Sysexit::Ok),
    }
}

/// What to say of messages that were not there to be changed, and the exit code. One
/// that was chosen by a condition may be delivered before it is changed; only whoever
/// `named` a message is owed an error when it is not there.
fn of_the_missing(missing: &[String], named: bool, language: Language) -> (Vec<String>, Sysexit) {
    if missing.is_empty() {
        return (Vec::new(), Sysexit::Ok);
    }
    if !named {
        let left = counted(LEFT_ONE, LEFT, missing.len() as u64, language);
        return (vec![left], Sysexit::Ok);
    }
    let lines = missing.iter().map(|id| GONE.with(language, &[("id", id)])).collect();
    (lines, Sysexit::NoInput)
}

fn usage(message: Said) -> Failure {
    Failure::new(Sysexit::Usage, message)
}

fn confirmed(change: Change, count: usize, language: Language) -> Result<bool, Failure> {
    let count = count as u64;
    if !io::stdin().is_terminal() {
        let (one, many) = (NOBODY_ONE, NOBODY);
        return Err(usage(Said::of_both(|language| counted(one, many, count, language))));
    }
    let (one, many) = question(change);
    eprint!("{} {} ", counted(one, many, count, language), YES_NO.of(language));
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim().to_lowercase().as_str(), "y" | "yes" | "s" | "sí" | "si"))
}

// Spanish agrees in number with what it counts, so that each number has its sentence.
fn counted(one: Text, many: Text, count: u64, language: Language) -> String {
    let text = if count == 1 { one } else { many };
    text.with(language, &[("count", &count.to_string())])
}

/// So many lines of trouble are shown; the log has all.
const MOST_TROUBLE: usize = 50;
const DAMAGED: Text = Text::new("damaged: {what}", "dañado: {what}");
const UNREADABLE: Text = Text::new(
    "cannot be read for now, nothing of it is lost: {what}",
    "no se puede leer por ahora, nada se ha perdido: {what}",
);
const MORE_TROUBLE: Text =
    Text::new("{count} more such lines are in the log", "hay {count} líneas más en el registro");
const YES_NO: Text = Text::new("[y/N]", "[s/N]");
const UNCHANGED: Text = Text::new("nothing was changed", "no se ha cambiado nada");
const GONE: Text =
    Text::new("{id} is not in the queue (any more)", "{id} no está (o ya no está) en la cola");
/// Of one message that is not tried, since it is held.
pub(super) const HELD_ONE: Text = Text::new(
    "{id} is held and is not tried until it is released: `puerto queue release {id}`",
    "{id} está retenido y no se intenta entregar hasta que se libere: `puerto queue release {id}`",
);
const HELD_OF_ALL: Text = Text::new(
    "1 message is held and is not tried until it is released: `puerto queue release` with the same selection",
    "1 mensaje está retenido y no se intenta entregar hasta que se libere: `puerto queue release` con la misma selección",
);
const HELD: Text = Text::new(
    "{count} messages are held and are not tried until they are released: `puerto queue release` with the same selection",
    "{count} mensajes están retenidos y no se intentan entregar hasta que se liberen: `puerto queue release` con la misma selección",
);
const LEFT_ONE: Text =
    Text::new("1 message left the queue meanwhile", "1 mensaje ha salido entretanto de la cola");
const LEFT: Text = Text::new(
    "{count} messages left the queue meanwhile",
    "{count} mensajes han salido entretanto de la cola",
);
const NOBODY_ONE: Text = Text::new(
    "this would change 1 message; add --yes, since there is nobody to ask",
    "esto cambiaría 1 mensaje; añada --yes, ya que no hay a quién preguntar",
);
const NOBODY: Text = Text::new(
    "this would change {count} messages; add --yes, since there is nobody to ask",
    "esto cambiaría {count} mensajes; añada --yes, ya que no hay a quién preguntar",
);

fn question(change: Change) -> (Text, Text) {
    match change {
        Change::Retry => (
            Text::new("Try 1 message?", "¿Intentar entregar 1 mensaje?"),
            Text::new("Try {count} messages?", "¿Intentar entregar {count} mensajes?"),
        ),
        Change::Hold => (
            Text::new("Hold 1 message?", "¿Retener 1 mensaje?"),
            Text::new("Hold {count} messages?", "¿Retener {count} mensajes?"),
        ),
        Change::Release => (
            Text::new("Release 1 message?", "¿Liberar 1 mensaje?"),
            Text::new("Release {count} messages?", "¿Liberar {count} mensajes?"),
        ),
        Change::Remove => (
            Text::new("Remove for good 1 message?", "¿Eliminar definitivamente 1 mensaje?"),
            Text::new(
                "Remove for good {count} messages?",
                "¿Eliminar definitivamente {count} mensajes?",
            ),
        ),
    }
}

fn past(change: Change, count: u64, language: Language) -> String {
    let (one, many) = match change {
        Change::Retry => (
            Text::new("1 message to be tried now", "1 mensaje se intentará entregar ahora"),
            Text::new(
                "{count} messages to be tried now",
                "{count} mensajes se intentarán entregar ahora",
            ),
        ),
        Change::Hold => (
            Text::new("1 message held", "1 mensaje retenido"),
            Text::new("{count} messages held", "{count} mensajes retenidos"),
        ),
        Change::Release => (
            Text::new("1 message released", "1 mensaje liberado"),
            Text::new("{count} messages released", "{count} mensajes liberados"),
        ),
        Change::Remove => (
            Text::new("1 message removed", "1 mensaje eliminado"),
            Text::new("{count} messages removed", "{count} mensajes eliminados"),
        ),
    };
    counted(one, many, count, language)
}

#[cfg(test)]
mod tests {
    use super::{of_the_held, of_the_missing};
    use crate::cli::exit::Sysexit;
    use crate::lang::Language;

    /// G4.
    #[test]
    fn a_retry_of_held_mail_says_that_it_is_held_and_how_it_is_released() {
        let ids = ["0A1B2C3D4E5F".to_owned(), "1A1B2C3D4E5F".to_owned()];
        for (language, word) in [(Language::English, "held"), (Language::Spanish, "retenido")] {
            let (lines, code) = of_the_held(&ids, true, language);
            assert_eq!((lines.len(), code), (2, Sysexit::Unavailable));
            assert!(lines[1].contains(word) && lines[1].contains("release 1A1B2C3D4E5F"));
            for some in [&ids[..], &ids[..1]] {
                let (lines, code) = of_the_held(some, false, language);
                assert_eq!((lines.len(), code), (1, Sysexit::Ok));
                assert!(lines[0].contains(word) && lines[0].contains("`puerto queue release`"));
            }
            assert_eq!(of_the_held(&[], true, language), (Vec::new(), Sysexit::Ok));
        }
    }

    #[test]
    fn a_delivery_between_choice_and_change_is_no_error() {
        let gone = ["0A1B2C3D4E5F".to_owned()];
        let (lines, code) = of_the_missing(&gone, false, Language::English);
        assert_eq!(
            (lines.join(""), code),
            ("1 message left the queue meanwhile".into(), Sysexit::Ok)
        );
        let (lines, code) = of_the_missing(&gone, true, Language::English);
        assert!(lines.join("").contains("0A1B2C3D4E5F is not in the queue"));
        assert_eq!(code, Sysexit::NoInput);
        assert_eq!(of_the_missing(&[], true, Language::English).1, Sysexit::Ok);
    }
}
