//! `puerto pause` and `puerto resume`: destinations for which nothing is tried for a while.

use std::io;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand};
use puerto_smtp::Domain;

use super::clock::now;
use super::exit::{Failure, Sysexit, end};
use super::output::{json_document, say, tell};
use super::queue::orders::{self, OrderEnd};
use super::sendmail;
use super::spanish::Spanish as _;
use crate::config::{domain_matches, same_name};
use crate::control::{Client, OrderView};
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
const ENDED_ONE: Text = Text::new(
    "1 pause ended; what waited for it is tried now, where no other pause keeps it:",
    "1 pausa terminada; lo que esperaba por ella se intenta ahora, si no lo retiene otra pausa:",
);
const ENDED: Text = Text::new(
    "{count} pauses ended; what waited for them is tried now, where no other pause keeps it:",
    "{count} pausas terminadas; lo que esperaba por ellas se intenta ahora, si no lo retiene otra \
     pausa:",
);
const NO_PAUSE: Text = Text::new("No destination is paused.", "Ningún destino está en pausa.");
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
    let connect = || Client::connect(&sendmail::run_dir(config)?).map_err(Failure::from);
    match (&arguments.command, &arguments.to) {
        (Some(PauseCommand::List { json }), _) => {
            let pauses = (|what: &What| matches!(what, What::Pause { .. })) as fn(&What) -> bool;
            orders::show(&mut connect()?, (pauses, NO_PAUSE), *json, language)
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
    let is_meant = |order: &OrderView| match (&order.what, &arguments.to) {
        (What::Pause { to: domain, .. }, Some(to)) => same_name(domain, to),
        (What::Pause { .. }, None) => arguments.all || arguments.numbers.contains(&order.number),
        (What::Hold { .. } | What::Reroute { .. }, _) => false,
    };
    let (ended, others): (Vec<_>, Vec<_>) = client.orders()?.into_iter().partition(is_meant);
    let meant: Vec<u64> = ended.iter().map(|order| order.number).collect();
    let done = client.take_back(&meant)?;
    let still: Vec<&OrderView> =
        others.iter().filter(|other| ended.iter().any(|one| both_pause(one, other))).collect();
    if done.count == 0 {
        return Err(Failure::new(Sysexit::NoInput, Said::plain(NOTHING)));
    }
    if arguments.json {
        let still: Vec<u64> = still.iter().map(|order| order.number).collect();
        let document =
            serde_json::json!({ "changed": done.count, "numbers": meant, "still": still });
        say(&json_document(&document).map_err(io::Error::from)?)?;
        return Ok(Sysexit::Ok);
    }
    let text = match still.is_empty() {
        true => Text::by_count(done.count, RESUMED_ONE, RESUMED),
        false => Text::by_count(done.count, ENDED_ONE, ENDED),
    };
    say(&text.with(language, &[("count", &done.count.to_string())]))?;
    for order in still {
        tell(&format!("puerto: {}", orders::line(order, now(), language)));
    }
    Ok(Sysexit::Ok)
}

// Whether there may be mail that both are about.
fn both_pause(one: &OrderView, other: &OrderView) -> bool {
    let (What::Pause { to: one, .. }, What::Pause { to: other, .. }) = (&one.what, &other.what)
    else {
        return false;
    };
    let covers = |pattern: &str, name: &str| {
        let name = Domain::parse(name.strip_prefix("*.").unwrap_or(name));
        pattern == "*" || name.is_ok_and(|name| domain_matches(pattern, &name))
    };
    covers(one, other) || covers(other, one)
}

fn usage(message: Said) -> Failure {
    Failure::new(Sysexit::Usage, message)
}

/// How long an order holds, as `--for` says it.
pub(super) fn seconds(span: Option<Duration>) -> Option<u64> {
    span.map(|span| span.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `resume 2` said that all was tried now, and order 1 kept it.
    #[test]
    fn a_pause_beside_the_one_that_ended_is_known_by_what_it_covers() {
        let order = |to: &str| -> OrderView {
            serde_json::from_value(serde_json::json!({
                "number": 1, "kind": "pause", "to": to, "since": "2026-11-30T10:00:00Z",
                "until": null, "by": 0, "note": null
            }))
            .unwrap()
        };
        for (one, other, expected) in [
            ("example.net", "EXAMPLE.NET.", true),
            ("example.net", "*", true),
            ("example.net", "*.example.net", true),
            ("a.example.net", "*.example.net", true),
            ("*.a.example.net", "*.example.net", true),
            ("ñandú.example", "xn--and-6ma2c.example", true),
            ("example.net", "example.org", false),
            ("example.net", "a.example.net", false),
        ] {
            let (one, other) = (order(one), order(other));
            assert_eq!(both_pause(&one, &other), expected, "{one:?} {other:?}");
            assert_eq!(both_pause(&other, &one), expected, "{other:?} {one:?}");
        }
    }
}
