//! `puerto config`: whether the configuration is right, what it comes to, and what
//! may stand in it.

use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;

use clap::Subcommand;
use serde_json::json;

use super::exit::{Failure, Sysexit};
use super::output::{columns, show, tell};
use super::trial;
use crate::cli::spanish::Spanish as _;
use crate::config::{Config, ConfigErrors, TlsLevel};
use crate::lang::{Language, Said, Text, said, said_of};

/// What to do with the configuration.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Say whether it is right, and otherwise everything that is wrong with it
    #[command(es = "Dice si está bien y, si no, todo lo que está mal")]
    Check {
        /// One JSON document instead of text
        #[arg(es = "Un documento JSON en vez de texto")]
        #[arg(long)]
        json: bool,
    },
    /// Show every key as it holds, defaults included; passwords are never shown
    #[command(es = "Muestra el valor vigente de cada clave, también los valores por defecto; \
                    nunca las contraseñas")]
    Show {
        /// One JSON document instead of TOML
        #[arg(es = "Un documento JSON en vez de TOML")]
        #[arg(long)]
        json: bool,
    },
    /// Print a file that explains every key
    #[command(es = "Escribe un fichero que explica cada clave")]
    Sample,
}

/// Runs the command: exit code 0, or 78 if the configuration is wrong.
pub fn run(command: &ConfigCommand, file: Option<&Path>, language: Language) -> ExitCode {
    let done = match command {
        ConfigCommand::Check { json } => return check(*json, file, language),
        ConfigCommand::Show { json } => Config::load(file)
            .map_err(|errors| {
                let colour = colour(&io::stderr());
                let width = columns(&io::stderr());
                let message = Said::of_both(|language| errors.render(colour, width, language));
                Failure::new(Sysexit::Config, message)
            })
            .and_then(|config| show_all(&config, *json)),
        ConfigCommand::Sample => print(&Config::sample(language)),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            tell(&failure.of(language));
            failure.code.into()
        }
    }
}

const ABSENT: Text = Text::new(
    "ok: {file} does not exist, every key has its default",
    "bien: {file} no existe, así que cada clave tiene su valor por defecto",
);
const RIGHT: Text = Text::new("ok: {file}", "bien: {file}");
const STOPS: Text = Text::new(
    "{file} is well written, but the server could not start with it:",
    "{file} está bien escrito, pero el servidor no podría arrancar con él:",
);
const ONE_ERROR: Text = Text::new("{file}: one error", "{file}: un error");
const ERRORS: Text = Text::new("{file}: {count} errors", "{file}: {count} errores");

fn check(json: bool, file: Option<&Path>, language: Language) -> ExitCode {
    let (name, named) = Config::file(file);
    let name = name.display().to_string();
    let line = |text: Text| text.with(language, &[("file", &name)]) + "\n";
    let result = Config::load(file);
    let found = match &result {
        Ok(config) => trial::of(config, &trial::text_of(Path::new(&name))),
        Err(_) => Vec::new(),
    };
    let stops = found.iter().any(|finding| finding.gravity == trial::Gravity::Error);
    let written = match &result {
        Ok(config) if json => {
            let notes: Vec<String> = notes(config).iter().map(|note| note.of(language)).collect();
            let found: Vec<_> = found.iter().map(|finding| finding.json(language)).collect();
            let document = json!({ "ok": !stops, "file": name, "notes": notes, "findings": found });
            print(&format!("{document}\n"))
        }
        Ok(_) if !named && !Path::new(&name).exists() && found.is_empty() => {
            show(&line(ABSENT)).map_err(Failure::from)
        }
        Ok(config) => {
            let first = line(match (stops, Path::new(&name).exists()) {
                (true, _) => STOPS,
                (false, true) => RIGHT,
                (false, false) => ABSENT,
            });
            let findings = found.iter().map(|finding| finding.text(&name, language) + "\n");
            let notes = notes(config);
            let notes = notes.iter().map(|note| note.of(language) + "\n");
            let text = first + &findings.collect::<String>() + &notes.collect::<String>();
            show(&text).map_err(Failure::from)
        }
        Err(errors) if json => print(&format!("{}\n", errors.to_json(language))),
        Err(errors) => {
            let width = columns(&io::stderr());
            let shown = errors.render(colour(&io::stderr()), width, language);
            tell(&format!("{shown}\n\n{}", summary(errors, language)));
            Ok(())
        }
    };
    match (written, result) {
        (Err(failure), _) => failure.code.into(),
        (Ok(()), Ok(_)) if stops => Sysexit::Config.into(),
        (Ok(()), Ok(_)) => ExitCode::SUCCESS,
        (Ok(()), Err(_)) => Sysexit::Config.into(),
    }
}

// What is right and may yet be better.
fn notes(config: &Config) -> Vec<Said> {
    let logins: Vec<_> = config.relays().filter(|relay| relay.login.is_some()).collect();
    let by_mx = logins.iter().filter_map(|relay| relay.next_hop.advice_for_password());
    let by_mx = by_mx.map(|advice| said_of!("note: {advice}", "nota: {advice}"; advice = advice));
    let unproven = logins.iter().filter(|relay| relay.tls == TlsLevel::Opportunistic);
    unproven
        .map(|relay| {
            let section = if relay.route.is_some() { "[[route]]" } else { "[delivery]" };
            said!(
                "note: the password for {hop} goes to a certificate that verifies or to the key that was seen at the first login; `tls = \"required\"` in {section} demands the former",
                "nota: la contraseña para {hop} va a un certificado verificable o a la clave que se vio la primera vez; `tls = \"required\"` en {section} exige lo primero";
                hop = relay.next_hop, section = section
            )
        })
        .chain(by_mx)
        .collect()
}

fn summary(errors: &ConfigErrors, language: Language) -> String {
    let count = errors.errors.len();
    let text = if count == 1 { ONE_ERROR } else { ERRORS };
    text.with(language, &[("file", &errors.file), ("count", &count.to_string())])
}

fn show_all(config: &Config, json: bool) -> Result<(), Failure> {
    let text = config.to_toml();
    if !json {
        return print(&text);
    }
    let internal = |error: String| Failure::new(Sysexit::OsError, Said::words(error));
    let value: toml::Table = toml::from_str(&text).map_err(|error| internal(error.to_string()))?;
    let text = super::output::json_document(&value).map_err(|error| internal(error.to_string()))?;
    print(&format!("{text}\n"))
}

/// Writes to the standard output. A reader that has seen enough is no failure.
pub(super) fn print(text: &str) -> Result<(), Failure> {
    match io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

fn colour(to: &impl io::IsTerminal) -> bool {
    to.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_right_or_wrong_by_its_exit_code() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("puerto.toml");
        let code =
            |command: &ConfigCommand| format!("{:?}", run(command, Some(&file), Language::Spanish));
        let ok = format!("{:?}", ExitCode::SUCCESS);
        let wrong = format!("{:?}", ExitCode::from(78));
        let check = ConfigCommand::Check { json: true };
        assert_eq!(code(&check), wrong, "a file that was named must exist");
        std::fs::write(&file, Config::sample(Language::Spanish)).unwrap();
        assert_eq!(code(&check), ok);
        std::fs::write(&file, "relayhots = 1").unwrap();
        for command in
            [&check, &ConfigCommand::Check { json: false }, &ConfigCommand::Show { json: false }]
        {
            assert_eq!(code(command), wrong);
        }
    }
}
