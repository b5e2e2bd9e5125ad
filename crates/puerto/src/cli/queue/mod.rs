//! `puerto queue`: shows what waits and why, and changes it through the running
//! server.

mod change;
mod conditions;
pub(in crate::cli) mod orders;
pub(in crate::cli) mod print;
pub(in crate::cli) mod summary;

use std::io::{self, BufWriter, IsTerminal, Write as _};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand};

use self::change::ChangeArgs;
use self::conditions::Conditions;
use self::orders::OrderEnd;
use self::print::{Form, Manner, Printer};
use crate::cli::clock::now;
use crate::cli::exit::{Failure, Sysexit, end};
use crate::cli::output::{columns, is_unread, json_document, print as print_text, say, tell};
use crate::cli::sendmail;
use crate::cli::spanish::Spanish as _;
use crate::control::Client;
use crate::control::protocol::Change;
use crate::lang::{Language, Said, Text, harmless_json, quoted, said};

pub(crate) use self::change::{HELD_ONE, paused_one};

/// Show and change the mail that waits.
#[derive(Debug, Args)]
pub struct QueueArgs {
    #[command(subcommand)]
    command: QueueCommand,
}

#[derive(Debug, Subcommand)]
enum QueueCommand {
    /// Count what waits by destination and by reason, and show what each lane is doing
    #[command(es = "Cuenta lo que espera por destino y por motivo, y muestra qué hace cada vía")]
    Summary(SummaryArgs),
    /// List waiting messages, the oldest first
    #[command(es = "Enumera los mensajes en espera, primero los más antiguos")]
    List(ListArgs),
    /// Show everything about one message
    #[command(es = "Muestra todo sobre un mensaje")]
    Show(ShowArgs),
    /// Write a message as it is stored, for root
    #[command(es = "Escribe un mensaje tal como está guardado, para root")]
    Body {
        /// The message's id
        #[arg(es = "El identificador del mensaje")]
        id: String,
    },
    /// Try messages now
    #[command(es = "Intenta entregar mensajes ahora")]
    Retry(ChangeArgs),
    /// Keep messages from being tried until they are released
    #[command(es = "Retiene mensajes: no se intenta entregarlos hasta que se liberan")]
    Hold(HoldArgs),
    /// Release messages from hold
    #[command(es = "Libera mensajes retenidos")]
    Release(ChangeArgs),
    /// Send what waits for a domain, and what will come, by another next hop
    #[command(es = "Envía por otro siguiente salto lo que espera para un dominio y lo que llegue")]
    Reroute(orders::RerouteArgs),
    /// List or take back what was ordered: pauses, holds of new mail, other ways
    #[command(
        es = "Enumera o retira lo ordenado: pausas, retenciones de correo nuevo, otros caminos"
    )]
    Rules(orders::RulesArgs),
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
struct HoldArgs {
    #[command(flatten)]
    change: ChangeArgs,
    /// Hold new mail that fits --to, --from, --account or --larger
    #[arg(es = "Retiene el correo nuevo que cumpla --to, --from, --account o --larger")]
    #[arg(long, conflicts_with_all = ["ids", "all", "yes", "dry_run"])]
    rule: bool,
    #[command(flatten)]
    end: OrderEnd,
}

#[derive(Debug, Args)]
struct SummaryArgs {
    #[command(flatten)]
    conditions: Conditions,
    /// All destinations, not only the fullest
    #[arg(es = "Todos los destinos, no solo los más cargados")]
    #[arg(long)]
    all: bool,
    /// Print a JSON document
    #[arg(es = "Escribe un documento JSON")]
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct ShowArgs {
    /// The message's id, as `puerto queue list` and the log show it
    #[arg(es = "El identificador del mensaje, como lo muestran `puerto queue list` y el registro")]
    #[arg(value_parser = conditions::id)]
    id: String,
    /// Print a JSON object
    #[arg(es = "Escribe un objeto JSON")]
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub fn run(arguments: &QueueArgs, config_path: Option<&Path>, language: Language) -> ExitCode {
    let done = dispatch(&arguments.command, config_path, language);
    let done = done.map_err(|failure| sendmail::and_what_waits(failure, config_path));
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
        QueueCommand::Body { id } => return body(&mut connect()?, id),
        QueueCommand::Summary(arguments) => {
            return summarize(&mut connect()?, arguments, language);
        }
        QueueCommand::Retry(arguments) => (Change::Retry, arguments),
        QueueCommand::Hold(HoldArgs { change, rule: true, end }) => {
            let json = change.consent.json;
            return orders::hold(&connect, &change.conditions, (end, json), language);
        }
        QueueCommand::Hold(arguments) if arguments.end.is_given() => {
            return Err(usage(said!(
                "--for and --note go with --rule, which holds new mail",
                "--for y --note van con --rule, que retiene el correo nuevo"
            )));
        }
        QueueCommand::Hold(arguments) => (Change::Hold, &arguments.change),
        QueueCommand::Reroute(arguments) => {
            return orders::reroute(&connect, arguments, language);
        }
        QueueCommand::Rules(arguments) => {
            return orders::rules(&mut connect()?, arguments, language);
        }
        QueueCommand::Release(arguments) => (Change::Release, arguments),
        QueueCommand::Remove(arguments) => (Change::Remove, arguments),
    };
    change::run(&connect, what, arguments, language)
}

fn list(client: &mut Client, arguments: &ListArgs, language: Language) -> Result<Sysexit, Failure> {
    let stdout = io::stdout();
    let selection = arguments.conditions.selection();
    let listed = if arguments.json {
        let mut out = BufWriter::with_capacity(BUFFER, stdout.lock());
        let documents = client.documents(&selection, |document| {
            out.write_all(harmless_json(document).as_bytes())?;
            out.write_all(b"\n")
        });
        documents.and_then(|_| Ok(out.flush()?))
    } else {
        let form = if stdout.is_terminal() { Form::Table(columns(&stdout)) } else { Form::Plain };
        let manner = Manner { form, language, now: now() };
        let mut printer = Printer::new(BufWriter::with_capacity(BUFFER, stdout.lock()), manner);
        let causes = language != Language::English;
        let briefs = client.briefs(&selection, causes, |message| printer.message(message));
        briefs.and_then(|_| Ok(printer.finish()?))
    };
    match listed {
        // Whoever reads only the first lines has what they want.
        Err(error) if !is_unread(&error) => return Err(error.into()),
        Ok(()) | Err(_) => {}
    }
    tell_trouble(client, language);
    Ok(Sysexit::Ok)
}

fn body(client: &mut Client, id: &str) -> Result<Sysexit, Failure> {
    let mut out = BufWriter::new(io::stdout().lock());
    match client.body(id, &mut out).and_then(|()| Ok(out.flush()?)) {
        Err(error) if !is_unread(&error) => Err(error.into()),
        Ok(()) | Err(_) => Ok(Sysexit::Ok),
    }
}

fn summarize(
    client: &mut Client,
    arguments: &SummaryArgs,
    language: Language,
) -> Result<Sysexit, Failure> {
    let most = if arguments.all || arguments.json { usize::MAX } else { summary::DESTINATIONS };
    let selection = arguments.conditions.selection();
    let overview = client.overview(&selection, most, Duration::ZERO)?;
    if arguments.json {
        say(&json_document(&overview).map_err(io::Error::from)?)?;
    } else {
        print_text(&summary::text(&overview, now(), columns(&io::stdout()), language))?;
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

fn usage(message: Said) -> Failure {
    Failure::new(Sysexit::Usage, message)
}

// Spanish agrees in number with what it counts, so that each number has its sentence.
fn counted(one: Text, many: Text, count: u64, language: Language) -> String {
    let text = if count == 1 { one } else { many };
    text.with(language, &[("count", &count.to_string())])
}

/// Octets that are written at once.
const BUFFER: usize = 64 * 1024;
/// So many lines of trouble are shown; the log has all.
const MOST_TROUBLE: usize = 50;
const DAMAGED: Text = Text::new("damaged: {what}", "dañado: {what}");
const UNREADABLE: Text = Text::new(
    "cannot be read for now, nothing of it is lost: {what}",
    "no se puede leer por ahora, nada se ha perdido: {what}",
);
const MORE_TROUBLE: Text =
    Text::new("{count} more such lines are in the log", "hay {count} líneas más en el registro");
