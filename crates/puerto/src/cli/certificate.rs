//! `puerto certificate`: the certificate of this server, and when the next one comes.

use std::io;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;

use super::clock::now;
use super::exit::{Failure, Sysexit, end};
use super::output::{json_document, say, show};
use super::spanish::Spanish as _;
use crate::acme::Report;
use crate::config::Config;
use crate::control::Client;
use crate::lang::{Language, Text};
use crate::rights::Identity;

/// How long an authority may take, with records that have to come to all servers of a zone.
const PATIENCE: u32 = 360;
const SECOND: Duration = Duration::from_secs(1);

const STILL: Text = Text::new(
    "the authority has not come to an end yet; `puerto certificate` shows what became of it",
    "la autoridad todavía no ha terminado; `puerto certificate` muestra en qué ha quedado",
);

/// Show the certificate.
#[derive(Debug, Args)]
pub struct CertificateArgs {
    /// Have the daemon ask the authority of [acme] for another now, and wait for it
    #[arg(es = "Hace que el servidor pida ahora otro a la autoridad de [acme], y espera")]
    #[arg(long)]
    renew: bool,
    /// Have a new key made; it comes into use at once, or two TTLs after its TLSA record is
    /// published where there are TLSA records
    #[arg(
        es = "Hace crear una clave nueva; se usa enseguida o, donde hay registros TLSA, dos TTL \
                después de publicar el suyo"
    )]
    #[arg(long, conflicts_with = "renew")]
    new_key: bool,
    /// One JSON document instead of text
    #[arg(es = "Un documento JSON en vez de texto")]
    #[arg(long)]
    json: bool,
}

/// Runs the command: 0 if there is a certificate and nothing is wrong with its renewal, 1 if
/// something is, 75 if the authority takes too long.
pub fn run(arguments: &CertificateArgs, config: Option<&Path>, language: Language) -> ExitCode {
    end("puerto certificate", work(arguments, config, language), language)
}

fn work(
    arguments: &CertificateArgs,
    file: Option<&Path>,
    language: Language,
) -> Result<Sysexit, Failure> {
    let config = Config::load(file)?;
    let service = Identity::of_service(&config.user)?;
    let look = || Report::of(&config, service.as_ref());
    let mut report = look();
    if arguments.renew || arguments.new_key {
        let before = report.standing.attempts;
        Client::connect(&config.run_dir)?.renew(arguments.new_key)?;
        let mut seconds = 0;
        let is_waiting = |report: &Report| arguments.new_key && report.standing.roll.is_some();
        while report.standing.attempts == before && !is_waiting(&report) {
            if seconds == PATIENCE {
                return Err(Failure::new(Sysexit::TryAgain, STILL));
            }
            std::thread::sleep(SECOND);
            seconds += 1;
            report = look();
        }
    }
    let now = now().as_second();
    match arguments.json {
        true => say(&json_document(&report.to_json(now, language)).map_err(io::Error::from)?)?,
        false => show(&report.show(language))?,
    }
    Ok(if report.is_well(now) { Sysexit::Ok } else { Sysexit::Findings })
}
