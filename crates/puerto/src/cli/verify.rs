//! `puerto verify`: what a receiver makes of a raw message.

use std::io::{self, Read as _};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;

use super::clock::now;
use super::exit::{Failure, Sysexit, end};
use super::output::{json_document, say, show};
use crate::cli::spanish::Spanish as _;
use crate::config::Config;
use crate::dns::Resolver;
use crate::lang::{Language, Said, Text, system};
use crate::verify::{self, Question};

/// Octets of a message that is read: three times what any receiver takes.
const MAX_MESSAGE: u64 = 150 * 1024 * 1024;

/// Judge a raw message as a receiver does: SPF, DKIM, DMARC and the rules of form.
#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// The message as a file; standard input without it or with `-`
    #[arg(es = "El fichero del mensaje; si falta o es `-`, la entrada estándar")]
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    /// The address that the message came from; without it SPF is not checked
    #[arg(es = "La dirección desde la que llegó el mensaje; sin ella no se comprueba SPF")]
    #[arg(long, value_name = "IP")]
    ip: Option<IpAddr>,
    /// What the client called itself in EHLO
    #[arg(es = "El nombre que dio el cliente en EHLO")]
    #[arg(long, value_name = "NAME")]
    helo: Option<String>,
    /// The envelope's sender, '' for the null reverse-path; without it, what the
    /// field Return-Path says
    #[arg(es = "El remitente del sobre, '' si es el nulo; si falta, lo que diga el campo \
                Return-Path")]
    #[arg(long, value_name = "ADDR", allow_hyphen_values = true)]
    from: Option<String>,
    /// Hold it to the rules for bulk mail, whatever it says of itself
    #[arg(es = "Le aplica las reglas del correo masivo, diga lo que diga de sí mismo")]
    #[arg(long)]
    bulk: bool,
    /// One JSON document instead of text
    #[arg(es = "Un documento JSON en vez de texto")]
    #[arg(long)]
    json: bool,
}

/// Runs the command: exit code 0 if all is well, 1 if something is wrong, 2 if it
/// could not be checked.
pub fn run(arguments: &VerifyArgs, config: Option<&Path>, language: Language) -> ExitCode {
    end("puerto verify", judge(arguments, config, language).map_err(Failure::unjudged), language)
}

fn judge(arguments: &VerifyArgs, config: Option<&Path>, language: Language) -> Result<u8, Failure> {
    let config = Config::load(config)?;
    let message = read(arguments.file.as_deref())?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let question = Question {
        message: &message,
        ip: arguments.ip,
        helo: arguments.helo.as_deref(),
        reverse_path: arguments.from.as_deref(),
        bulk: arguments.bulk,
        now: now().as_second(),
        receiver: &config.hostname,
    };
    let report = runtime.block_on(async {
        let resolver = Resolver::new(&config);
        verify::verify(&resolver, &question).await
    });
    match arguments.json {
        true => say(&json_document(&report.to_json(language)).map_err(io::Error::from)?)?,
        false => show(&verify::show(&report, language))?,
    }
    Ok(match (report.is_wrong(), report.is_uncertain()) {
        (true, _) => 1,
        (false, true) => 2,
        (false, false) => 0,
    })
}

fn read(file: Option<&Path>) -> Result<Vec<u8>, Failure> {
    const UNREADABLE: Text =
        Text::new("cannot read {file}: {error}", "no se puede leer {file}: {error}");
    const TOO_LARGE: Text = Text::new(
        "{file} is larger than 150 MiB, which no receiver takes",
        "{file} ocupa más de 150 MiB, que ningún receptor admite",
    );
    let file = file.filter(|file| *file != Path::new("-"));
    let name = file.map_or_else(|| "-".to_owned(), |file| file.display().to_string());
    let mut message = Vec::new();
    let limit = MAX_MESSAGE + 1;
    let read = match file {
        Some(file) => {
            std::fs::File::open(file).and_then(|file| file.take(limit).read_to_end(&mut message))
        }
        None => io::stdin().lock().take(limit).read_to_end(&mut message),
    };
    let fail = |text: Text, error: &Said| {
        let parts = [("file", &Said::words(name.clone())), ("error", error)];
        Failure::new(Sysexit::NoInput, Said::of_parts(text, &parts))
    };
    read.map_err(|error| fail(UNREADABLE, &system(&error)))?;
    match u64::try_from(message.len()) {
        Ok(length) if length <= MAX_MESSAGE => Ok(message),
        _ => Err(fail(TOO_LARGE, &Said::words(""))),
    }
}
