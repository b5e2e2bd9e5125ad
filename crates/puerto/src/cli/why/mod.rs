//! `puerto why`: what became of a message, why it waits and what comes next.
//!
//! The server tells what it knows; [`story`] makes a story of it, for programs as it is and
//! for people as [`page`] writes it.

mod page;
mod story;
#[cfg(test)]
mod tests;
mod words;

use std::io::{self, BufRead, IsTerminal};
use std::path::Path;
use std::process::ExitCode;

use clap::Args;
use jiff::tz::TimeZone;
use puerto_smtp::Address;

use self::page::Manner;
use self::story::Story;
use crate::cli::clock::now;
use crate::cli::exit::{Failure, Sysexit, end};
use crate::cli::output::{json_document, say, show, tell};
use crate::cli::sendmail;
use crate::cli::spanish::{Spanish as _, below};
use crate::control::{Client, Known, MatchView, StoryView, UnknownView};
use crate::lang::{Language, Said, Text};

const EXIT_CODES: Text = Text::new(
    "Exit code: 0 told, 1 nothing is known of it, 2 wrong usage.",
    "Código de salida: 0, contado; 1, no se sabe nada de él; 2, uso incorrecto.",
);

/// Which message.
#[derive(Debug, Args)]
#[command(after_help = below(EXIT_CODES))]
pub struct WhyArgs {
    /// The message's id, as the log shows it, its Message-ID, or the address of its sender or
    /// of a recipient
    #[arg(es = "El identificador del mensaje, como lo muestra el registro, su Message-ID o la \
                dirección de su remitente o de un destinatario")]
    #[arg(value_name = "ID|MESSAGE-ID|ADDRESS")]
    what: String,
    /// One JSON document instead of text
    #[arg(es = "Un documento JSON en vez de texto")]
    #[arg(long)]
    json: bool,
    /// Have the history forget all finished mail from or to this address
    #[arg(es = "Borra del historial todo el correo ya terminado de esta dirección o para ella")]
    #[arg(long, conflicts_with = "json")]
    forget: bool,
}

/// Runs the command.
pub fn run(arguments: &WhyArgs, config_path: Option<&Path>, language: Language) -> ExitCode {
    end("puerto", why(arguments, config_path, language).map_err(Failure::of_arguments), language)
}

fn why(
    arguments: &WhyArgs,
    config_path: Option<&Path>,
    language: Language,
) -> Result<Sysexit, Failure> {
    let bare = meant(arguments)?;
    let run_dir = sendmail::run_dir(config_path)?;
    let mut client = Client::connect(&run_dir)?;
    if arguments.forget {
        let count = client.forget(bare)?.to_string();
        say(&FORGOTTEN.with(language, &[("count", &count)]))?;
        return Ok(Sysexit::Ok);
    }
    let manner = Manner { language, now: now(), zone: TimeZone::system() };
    let known = client.why(&arguments.what)?;
    if arguments.json {
        return json(&known, &arguments.what, &manner);
    }
    match known {
        Known::Story(story) => tell_story(&story, &manner),
        Known::Several(matches) => match chosen(&matches, &manner)? {
            Some(id) => match client.why(&id)? {
                Known::Story(story) => tell_story(&story, &manner),
                _ => Ok(Sysexit::Findings),
            },
            None => Ok(Sysexit::Ok),
        },
        Known::Nothing(unknown) => {
            for line in page::nothing(&arguments.what, &unknown, &manner) {
                tell(&format!("puerto: {line}"));
            }
            Ok(Sysexit::Findings)
        }
    }
}

// What is asked about, without brackets: something, and to be forgotten an address.
fn meant(arguments: &WhyArgs) -> Result<&str, Failure> {
    let what = arguments.what.trim();
    let bare = what.trim_matches(['<', '>']).trim();
    if bare.is_empty() {
        return Err(Failure::new(Sysexit::Arguments, NOTHING_MEANT));
    }
    if arguments.forget && Address::parse(bare).is_err() {
        return Err(Failure::new(Sysexit::Arguments, Said::with(NO_ADDRESS, &[("what", what)])));
    }
    Ok(bare)
}

const NOTHING_MEANT: Text = Text::new(
    "no message is named: give its id, its Message-ID, or an address of its sender or a recipient",
    "no se indica ningún mensaje: dé su identificador, su Message-ID o la dirección del remitente o \
     de un destinatario",
);
const NO_ADDRESS: Text = Text::new(
    "`{what}` is no address: --forget takes an address, and forgets all finished mail from or to it",
    "`{what}` no es una dirección: --forget espera una, y borra todo el correo ya terminado de ella o \
     para ella",
);
const FORGOTTEN: Text =
    Text::new("forgotten messages: {count}", "mensajes borrados del historial: {count}");
const WHICH: Text = Text::new("Which one? [1-{count}]", "¿Cuál? [1-{count}]");
const ASK_BY_ID: Text = Text::new(
    "`puerto why ID` tells the story of one of them",
    "`puerto why ID` cuenta la historia de uno de ellos",
);

fn tell_story(story: &StoryView, manner: &Manner) -> Result<Sysexit, Failure> {
    show(&page::story(&Story::of(story), manner))?;
    Ok(Sysexit::Ok)
}

// On a terminal somebody can be asked which of them is meant.
fn chosen(matches: &[MatchView], manner: &Manner) -> Result<Option<String>, Failure> {
    let asks = io::stdin().is_terminal() && io::stdout().is_terminal();
    crate::cli::output::print(&page::list(matches, asks, manner))?;
    if !asks {
        tell(&format!("puerto: {}", ASK_BY_ID.of(manner.language)));
        return Ok(None);
    }
    let count = matches.len().to_string();
    eprint!("{} ", WHICH.with(manner.language, &[("count", &count)]));
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    let number = answer.trim().parse::<usize>().ok().and_then(|number| number.checked_sub(1));
    Ok(number.and_then(|number| matches.get(number)).map(|found| found.id.clone()))
}

fn json(known: &Known, what: &str, manner: &Manner) -> Result<Sysexit, Failure> {
    let (document, code) = match known {
        Known::Story(story) => (Story::of(story).document(manner.language), Sysexit::Ok),
        Known::Several(matches) => (serde_json::json!({ "matches": matches }), Sysexit::Ok),
        Known::Nothing(unknown) => (nothing(unknown, what, manner), Sysexit::Findings),
    };
    say(&json_document(&document).map_err(io::Error::from)?)?;
    Ok(code)
}

fn nothing(unknown: &UnknownView, what: &str, manner: &Manner) -> serde_json::Value {
    let reason = page::nothing(what, unknown, manner).join("; ");
    serde_json::json!({
        "matches": [],
        "reason": reason,
        "history": unknown.on,
        "since": unknown.since,
        "given": unknown.given,
        "similar": unknown.similar,
    })
}
