//! `puerto explain`: what a refusal means, whose problem it is and what to do.

use std::fs::File;
use std::io::{self, IsTerminal, Read, Write};
use std::path::Path;
use std::process::ExitCode;

use puerto_spool::MessageId;
use serde::Serialize;

use super::exit::{Failure, Sysexit, end};
use super::output::{if_read, printable, show_reading, tell};
use super::sendmail;
use crate::cli::spanish::{Spanish as _, below};
use crate::control::Client;
use crate::control::view::State;
use crate::explain::{self, Explanation, Kind, MAX_INPUT, explain_attempt, explain_each};
use crate::finding::page::{BAD, FAINT, TITLE, UNSURE, paint};
use crate::lang::{Language, Text};

const EXIT_CODES: Text = Text::new(
    "Exit code: 0 explained, 1 there is no refusal in the text, 2 wrong usage.",
    "Código de salida: 0, explicado; 1, en el texto no hay ningún rechazo; 2, uso incorrecto.",
);

/// What to explain, and how to answer.
#[derive(Debug, clap::Args)]
#[command(after_help = below(EXIT_CODES))]
pub struct ExplainArgs {
    /// A reply, a log line of Postfix, Exim or this server, the id of a queued message,
    /// or a file with a notification; without one or for -, standard input is read
    #[arg(
        es = "Una respuesta, una línea del registro de Postfix, de Exim o de este servidor, el \
                identificador de un mensaje de la cola o un fichero con una notificación; si \
                falta o es -, se lee la entrada estándar"
    )]
    #[arg(value_name = "TEXT")]
    text: Vec<String>,
    /// The host that answered, if the text does not name it
    #[arg(es = "La máquina que respondió, si el texto no la nombra")]
    #[arg(long, value_name = "NAME")]
    host: Option<String>,
    /// One JSON document instead of text
    #[arg(es = "Un documento JSON en vez de texto")]
    #[arg(long)]
    json: bool,
    /// Also run the check that covers it, now, for this server; always on a terminal
    #[arg(es = "Hace además, ahora y para este servidor, la comprobación correspondiente; en un \
                terminal, siempre")]
    #[arg(long, conflicts_with = "json")]
    live: bool,
    /// Print the document that explains every class of refusal
    #[arg(es = "Escribe el documento que explica cada clase de rechazo")]
    #[arg(long, hide = true)]
    document: bool,
}

/// The answer for programs.
#[derive(Debug, Serialize)]
struct Answer<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    recipient: Option<&'a str>,
    provider: &'static str,
    class: &'static str,
    kind: &'static str,
    cause: &'static str,
    whose: &'static str,
    remedy: &'static str,
    check: Option<&'static str>,
    matched: &'static str,
    link: Option<&'static str>,
}

/// To whom it was said, if that is known, and what it means.
type Refusal = (Option<String>, Explanation);

/// Runs the command.
pub fn run(arguments: &ExplainArgs, config_path: Option<&Path>, language: Language) -> ExitCode {
    let answered = answer(arguments, config_path, language);
    end("puerto", answered.map_err(Failure::of_arguments), language)
}

fn answer(
    arguments: &ExplainArgs,
    config_path: Option<&Path>,
    language: Language,
) -> Result<ExitCode, Failure> {
    if arguments.document {
        if_read(write!(io::stdout().lock(), "{}", crate::explain::document(language)))?;
        return Ok(ExitCode::SUCCESS);
    }
    let text = match arguments.text.as_slice() {
        [] => read_input(language)?,
        [only] if only == "-" => read_input(language)?,
        [only] if is_file(only) => read_up_to_limit(File::open(only)?)?,
        words => words.join(" "),
    };
    if text.trim().is_empty() {
        return Err(Failure::new(Sysexit::Usage, NO_TEXT));
    }
    let host = arguments.host.as_deref();
    let (refusals, nothing) = match text.trim().parse::<MessageId>() {
        Ok(id) => (of_message(id, host, config_path)?, NOT_REFUSED),
        Err(_) if is_name_of_file(&text) => (Vec::new(), NO_FILE),
        Err(_) if explain::is_success(&text) => (explain_each(&text, host), TAKEN),
        Err(_) => (explain_each(&text, host), NO_REFUSAL),
    };
    if refusals.is_empty() {
        if arguments.json {
            let none = serde_json::json!({"class": null, "reason": nothing.of(language)});
            if_read(writeln!(io::stdout().lock(), "{none:#}"))?;
        }
        tell(&format!("puerto: {}", nothing.of(language)));
        return Ok(ExitCode::FAILURE);
    }
    if arguments.json {
        json(&refusals, language)?;
    } else {
        let live = arguments.live || io::stdout().is_terminal();
        for refusal in &grouped(refusals) {
            show_reading(&for_people(refusal, language))?;
            let check = refusal.1.check().filter(|_| live);
            let said = check.and_then(|id| super::check::say_now(id, config_path, language));
            if let Some(said) = said {
                show_reading(&paragraph(NOW.of(language), &printable(&said)))?;
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

const NO_FILE: Text = Text::new(
    "no refusal found here: there is no file of that name",
    "aquí no hay ningún rechazo: no existe ningún fichero con ese nombre",
);
const NO_TEXT: Text = Text::new(
    "give a reply or a log line, as an argument or on standard input",
    "indique una respuesta o una línea del registro, como argumento o por la entrada estándar",
);
const NO_REFUSAL: Text = Text::new(
    "no refusal found here: give the reply itself, a log line or a notification",
    "aquí no hay ningún rechazo: indique la respuesta misma, una línea del registro o una \
     notificación",
);
const TAKEN: Text = Text::new(
    "no refusal found here: it says that the message was accepted",
    "aquí no hay ningún rechazo: dice que el mensaje fue aceptado",
);
const NOT_REFUSED: Text = Text::new(
    "no refusal found here: no attempt at this message has failed yet",
    "aquí no hay ningún rechazo: todavía no ha fallado ningún intento con este mensaje",
);
const PASTE: Text = Text::new(
    "paste the reply or the log line, then press Ctrl-D",
    "pegue la respuesta o la línea del registro y pulse Ctrl-D",
);

fn read_input(language: Language) -> Result<String, Failure> {
    if io::stdin().is_terminal() {
        tell(&format!("puerto: {}", PASTE.of(language)));
    }
    read_up_to_limit(io::stdin().lock())
}

fn read_up_to_limit(input: impl Read) -> Result<String, Failure> {
    let mut octets = Vec::new();
    input.take(MAX_INPUT as u64).read_to_end(&mut octets)?;
    Ok(String::from_utf8_lossy(&octets).into_owned())
}

// A queued message is meant even where a file happens to have the name of its id.
fn is_file(word: &str) -> bool {
    word.parse::<MessageId>().is_err() && Path::new(word).is_file()
}

// What is no file and no reply either, but was meant as a file.
fn is_name_of_file(word: &str) -> bool {
    let end = word.rfind('.').and_then(|at| word.get(at..)).unwrap_or_default();
    let is_kind = [".eml", ".msg", ".txt", ".log"].contains(&end);
    !word.contains(char::is_whitespace) && (word.starts_with(['/', '~']) || is_kind)
}

// People read what several recipients have in common once, under all their names.
fn grouped(refusals: Vec<Refusal>) -> Vec<Refusal> {
    let mut groups: Vec<Refusal> = Vec::new();
    for (recipient, found) in refusals {
        let means = |found: &Explanation| (found.matched(), found.kind(), found.provider());
        let same = groups.iter_mut().find(|(_, known)| means(known) == means(&found));
        match (same, recipient) {
            (Some((Some(names), _)), Some(name)) => *names = format!("{names}, {name}"),
            (Some((unnamed, _)), Some(name)) => *unnamed = Some(name),
            (Some(_), None) => {}
            (None, recipient) => groups.push((recipient, found)),
        }
    }
    groups
}

// What its recipients were told last, each refusal once.
fn of_message(
    id: MessageId,
    host: Option<&str>,
    config_path: Option<&Path>,
) -> Result<Vec<Refusal>, Failure> {
    let run_dir = sendmail::run_dir(config_path)?;
    let message = Client::connect(&run_dir)?.show(&id.to_string())?;
    let (mut refusals, mut told) = (Vec::new(), Vec::new());
    for recipient in &message.recipients {
        let Some(last) = &recipient.last else { continue };
        if told.contains(&&last.text) {
            continue;
        }
        // Where nobody answered, only the status says whether it is tried again.
        let said = match last.code {
            Some(_) => last.text.clone(),
            None => format!("{} {}", last.status, last.text),
        };
        // What is queued is tried again, whatever the code.
        let kind = match recipient.state {
            State::Done => Kind::Permanent,
            State::Waiting | State::Sending => Kind::Temporary,
        };
        let explained = explain::of_cause(&last.cause(), host);
        if let Some(explanation) = explained.or_else(|| explain_attempt(&said, host)) {
            refusals.push((Some(recipient.address.clone()), explanation.of_kind(kind)));
            told.push(&last.text);
        }
    }
    Ok(refusals)
}

// Several refusals are an array, each with its recipient; one is one object.
fn json(refusals: &[Refusal], language: Language) -> Result<(), Failure> {
    let answers: Vec<Answer<'_>> = refusals
        .iter()
        .map(|(recipient, explanation)| Answer {
            recipient: recipient.as_deref(),
            provider: explanation.provider(),
            class: explanation.class(),
            kind: explanation.kind().as_str(),
            cause: explanation.cause(language),
            whose: explanation.whose().as_str(),
            remedy: explanation.remedy(language),
            check: explanation.check(),
            matched: explanation.matched(),
            link: explanation.link(),
        })
        .collect();
    let document = match answers.as_slice() {
        [one] => super::output::json_document(one),
        all => super::output::json_document(all),
    };
    let document = document.map_err(io::Error::from)?;
    if_read(writeln!(io::stdout().lock(), "{document}"))?;
    Ok(())
}

const TEMPORARY: Text =
    Text::new("temporary: it is tried again by itself", "temporal: se reintenta por sí solo");
const PERMANENT: Text =
    Text::new("permanent: it is not tried again", "definitivo: no se reintenta");
const CAUSE: Text = Text::new("Cause", "Causa");
const WHOSE: Text = Text::new("Problem of", "Problema");
const REMEDY: Text = Text::new("Remedy", "Solución");
const SEE: Text = Text::new("See", "Véase");
const CHECK: Text = Text::new("Check", "Compruebe");
const RULE: Text = Text::new("Rule", "Regla");
const NOW: Text = Text::new("Now", "Ahora");

fn for_people((recipient, found): &Refusal, language: Language) -> String {
    let explained = explanation_text(found, found.check(), language);
    match recipient {
        Some(recipient) => format!("{}\n{explained}", paint(TITLE, &printable(recipient))),
        None => explained,
    }
}

/// An explanation as the command shows it, with the check that finds the cause.
pub(super) fn explanation_text(
    found: &Explanation,
    check: Option<&str>,
    language: Language,
) -> String {
    let (style, kind) = match found.kind() {
        Kind::Temporary => (UNSURE, TEMPORARY),
        Kind::Permanent => (BAD, PERMANENT),
    };
    let (class, provider) = (paint(style, found.class()), paint(FAINT, found.provider()));
    let mut out = format!("{class}  {}  {provider}\n\n", kind.of(language));
    for (name, text) in [
        (CAUSE, found.cause(language)),
        (WHOSE, found.whose().in_language(language)),
        (REMEDY, found.remedy(language)),
        (SEE, found.link().unwrap_or_default()),
        (CHECK, check.unwrap_or_default()),
        (RULE, found.matched()),
    ] {
        if !text.is_empty() {
            out.push_str(&paragraph(name.of(language), text));
        }
    }
    out.push('\n');
    out
}

/// A label and a text beside it.
fn paragraph(name: &str, text: &str) -> String {
    let padding = " ".repeat(12_usize.saturating_sub(name.chars().count()).max(2));
    format!("{}{padding}{text}\n", paint(TITLE, name))
}
