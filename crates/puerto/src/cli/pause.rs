//! `puerto pause` and `puerto resume`: destinations for which nothing is tried for a while.

use std::io;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand};

use super::exit::{Failure, Sysexit, end};
use super::output::{json_document, say};
use super::queue::orders::{self, OrderEnd};
use super::sendmail;
use super::spanish::Spanish as _;
use crate::control::Client;
use crate::lang::{Language, Said, Text, said};
use crate::orders::What;

/// Try nothing for a destination until the pause ends.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct PauseArgs {
    #[command(subcommand)]
    command: Option<PauseCommand>,
    /// The recipients' domain: example.net, *.example.net with all below it, or * for all
    #[arg(
        es = "El dominio de los destinatarios: example.net, *.example.net con todos los que están \
                por debajo, o * para todos"
    )]
    #[arg(long, value_name = "DOMAIN")]
    to: Option<String>,
    /// Only mail of this sender: an address, @example.com, or <>
    #[arg(es = "Solo el correo de este remitente: una dirección, @example.com o <>")]
    #[arg(long, value_name = "ADDRESS")]
    from: Option<String>,
    #[command(flatten)]
    end: OrderEnd,
    /// Print a JSON document
    #[arg(es = "Escribe un documento JSON")]
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum PauseCommand {
    /// List what is paused
    #[command(es = "Enumera lo que está en pausa")]
    List {
        /// Print a JSON document
        #[arg(es = "Escribe un documento JSON")]
        #[arg(long)]
        json: bool,
    },
}

/// End pauses: what waits for their destinations is tried now.
#[derive(Debug, Args)]
pub struct ResumeArgs {
    /// Numbers of pauses, as `puerto pause list` shows them
    #[arg(es = "Números de pausas, como los muestra `puerto pause list`")]
    #[arg(conflicts_with_all = ["to", "all"])]
    numbers: Vec<u64>,
    /// Pauses of exactly this domain
    #[arg(es = "Las pausas de exactamente este dominio")]
    #[arg(long, value_name = "DOMAIN", conflicts_with = "all")]
    to: Option<String>,
    /// All pauses
    #[arg(es = "Todas las pausas")]
    #[arg(long)]
    all: bool,
    /// Print a JSON document
    #[arg(es = "Escribe un documento JSON")]
    #[arg(long)]
    json: bool,
}

const NOTHING: Text = Text::new("nothing of that is paused", "nada de eso está en pausa");
const RESUMED_ONE: Text = Text::new(
    "1 pause ended; what waited for it is tried now",
    "1 pausa terminada; lo que esperaba por ella se intenta ahora",
);
const RESUMED: Text = Text::new(
    "{count} pauses ended; what waited for them is tried now",
    "{count} pausas terminadas; lo que esperaba por ellas se intenta ahora",
);

/// Runs `puerto pause`.
pub fn run(arguments: &PauseArgs, config: Option<&Path>, language: Language) -> ExitCode {
    let done = pause(arguments, config, language);
    end("puerto pause", done.map_err(Failure::of_arguments), language)
}

fn pause(
    arguments: &PauseArgs,
    config: Option<&Path>,
    language: Language,
) -> Result<Sysexit, Failure> {
    let is_pause = |what: &What| matches!(what, What::Pause { .. });
    let connect = || Client::connect(&sendmail::run_dir(config)?).map_err(Failure::from);
    match (&arguments.command, &arguments.to) {
        (Some(PauseCommand::List { json }), _) => {
            orders::show(&mut connect()?, is_pause, *json, language)
        }
        (None, Some(to)) => {
            let what = What::Pause { to: to.clone(), from: arguments.from.clone() };
            orders::check(&what)?;
            let order = orders::give(&mut connect()?, what, &arguments.end)?;
            orders::say_given(&order, arguments.json, language)
        }
        (None, None) => Err(usage(said!(
            "what is to be paused? Write --to example.net, or --to '*' for everything",
            "¿qué se ha de poner en pausa? Escriba --to example.net, o --to '*' para todo"
        ))),
    }
}

/// Runs `puerto resume`.
pub fn resume(arguments: &ResumeArgs, config: Option<&Path>, language: Language) -> ExitCode {
    let done = end_pauses(arguments, config, language);
    end("puerto resume", done.map_err(Failure::of_arguments), language)
}

fn end_pauses(
    arguments: &ResumeArgs,
    config: Option<&Path>,
    language: Language,
) -> Result<Sysexit, Failure> {
    if arguments.numbers.is_empty() && arguments.to.is_none() && !arguments.all {
        return Err(usage(said!(
            "which pauses? Write their numbers, --to with a domain, or --all",
            "¿qué pausas? Escriba sus números, --to con un dominio, o --all"
        )));
    }
    let mut client = Client::connect(&sendmail::run_dir(config)?)?;
    let pauses = client.orders()?.into_iter().filter_map(|order| match order.what {
        What::Pause { to, .. } => Some((order.number, to)),
        What::Hold { .. } | What::Reroute { .. } => None,
    });
    let is_meant = |number: u64, domain: &str| match &arguments.to {
        Some(to) => domain.eq_ignore_ascii_case(to),
        None => arguments.all || arguments.numbers.contains(&number),
    };
    let meant: Vec<u64> = pauses
        .filter(|(number, domain)| is_meant(*number, domain))
        .map(|(number, _)| number)
        .collect();
    let done = client.take_back(&meant)?;
    if done.count == 0 {
        return Err(Failure::new(Sysexit::NoInput, Said::plain(NOTHING)));
    }
    if arguments.json {
        let document = serde_json::json!({ "changed": done.count, "numbers": meant });
        say(&json_document(&document).map_err(io::Error::from)?)?;
        return Ok(Sysexit::Ok);
    }
    let text = Text::by_count(done.count, RESUMED_ONE, RESUMED);
    say(&text.with(language, &[("count", &done.count.to_string())]))?;
    Ok(Sysexit::Ok)
}

fn usage(message: Said) -> Failure {
    Failure::new(Sysexit::Usage, message)
}

/// How long an order holds, as `--for` says it.
pub(super) fn seconds(span: Option<Duration>) -> Option<u64> {
    span.map(|span| span.as_secs())
}
