//! `puerto doctor`: what is wrong on this machine, on one page.

use std::io;
use std::path::Path;
use std::process::ExitCode;

use clap::Args;

use super::clock::now;
use super::exit::{Failure, client_error, end};
use super::output::{json_document, say, show};
use super::spanish::Spanish as _;
use super::trial;
use crate::config::{Config, ConfigErrors};
use crate::control::{Client, ClientError};
use crate::doctor::{self, Daemon, Machine, Report, Section};
use crate::finding::{Finding, kinds};
use crate::lang::{Language, Said, Text, said};
use crate::serve::store;
use crate::setup;

kinds! {
    ABSENT = "config.absent" Warning:
        "there is no {file}, so the service does not start",
        "no existe {file}, así que el servicio no arranca",
        "{puerto} setup DOMAIN, with the domain that mail is sent from",
        "{puerto} setup DOMINIO, con el dominio desde el que se envía";
    WRONG = "config.wrong" Error:
        "line {line}: {what}", "línea {line}: {what}",
        "mend it; `{puerto} config check` shows the place",
        "corríjalo; `{puerto} config check` muestra el lugar";
}

/// Look for what is wrong on this machine.
#[derive(Debug, Args)]
pub struct DoctorArgs {
    /// One JSON document instead of text
    #[arg(es = "Un documento JSON en vez de texto")]
    #[arg(long)]
    json: bool,
}

/// Runs the command: exit code 0 if nothing is wrong, 1 if something is, 2 if not all could
/// be looked at.
pub fn run(arguments: &DoctorArgs, config: Option<&Path>, language: Language) -> ExitCode {
    let done = examine(config).and_then(|report| {
        match arguments.json {
            true => say(&json_document(&report.to_json(language)).map_err(io::Error::from)?)?,
            false => show(&report.show(language))?,
        }
        Ok(report.exit_code())
    });
    end("puerto doctor", done.map_err(Failure::unjudged), language)
}

fn examine(path: Option<&Path>) -> Result<Report, Failure> {
    let (file, _) = Config::file(path);
    let loaded = Config::load_whole(path);
    // With a configuration that is wrong, all else is looked at by what can be read of it.
    let config = match &loaded {
        Ok(config) => config.clone(),
        Err(_) => Config::load_leniently(path).or_else(|_| Config::parse("", ""))?,
    };
    let program = setup::program_path(std::env::current_exe().ok());
    let is_root = nix::unistd::geteuid().is_root();
    let machine = Machine {
        daemon: daemon(&config),
        reserve: store::reserve(&config),
        now: now().as_second(),
        program: &program,
        file: &file,
        config: &config,
        is_root,
    };
    let mut sections = vec![configuration(&file, loaded.as_ref())];
    sections.extend(doctor::look(&machine));
    // So that what is advised is about the server that was looked at.
    let own = Config::command(&file);
    for finding in sections.iter_mut().flat_map(|section| &mut section.findings) {
        finding.remedy = std::mem::take(&mut finding.remedy).put("puerto", &own);
    }
    let version = env!("CARGO_PKG_VERSION");
    let (hostname, file) = (config.hostname.clone(), file.display().to_string());
    Ok(Report { hostname, version, file, sections, is_whole: is_root })
}

fn daemon(config: &Config) -> Daemon {
    match Client::connect(&config.run_dir).and_then(|mut client| client.health()) {
        Ok(health) => Daemon::Runs(Box::new(health)),
        Err(ClientError::NotRunning { .. }) => Daemon::Down,
        Err(error) => Daemon::Mute(client_error(&error)),
    }
}

/// What the configuration says wrong, and what the daemon could not open of it.
fn configuration(file: &Path, loaded: Result<&Config, &ConfigErrors>) -> Section {
    let mut section = Section::new("configuration", Text::new("configuration", "configuración"));
    match loaded {
        Err(errors) => {
            section.findings.extend(errors.errors.iter().map(|error| {
                let line = Said::words(error.line.to_string());
                let parts = [("line", &line), ("what", &error.message)];
                let seen = Said::of_parts(WRONG.seen, &parts);
                Finding { subject: error.key.clone(), seen, ..Finding::from(WRONG) }
            }));
        }
        Ok(_) if !file.exists() => section.findings.push(ABSENT.put("file", file.display())),
        Ok(config) => {
            let tried = trial::of(config, file);
            let tried =
                tried.into_iter().filter(|tried| !tried.is_unseen && !is_told_better(tried));
            section.findings.extend(tried.map(trial::Tried::into_finding));
        }
    }
    if section.findings.is_empty() {
        section.seen = said!("can be used", "se puede usar");
    }
    section
}

// The page says more of these elsewhere.
fn is_told_better(tried: &trial::Tried) -> bool {
    let elsewhere = ["listener.held", "certificate.expired", "user.missing", "user.no-default"];
    elsewhere.contains(&tried.finding.id)
}
