//! `puerto config`: whether the configuration is right, what it comes to, and what
//! may stand in it.

use std::io;
use std::path::Path;
use std::process::ExitCode;

use clap::Subcommand;
use serde_json::json;

use super::exit::{Failure, Sysexit, end};
use super::output::{columns, json_document, print, say, show, tell};
use super::trial;
use crate::cli::spanish::Spanish as _;
use crate::config::{Config, ConfigErrors, Named, TlsLevel};
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
    Sample {
        /// Print the page of the guide that explains every key
        #[arg(es = "Escribe la página de la guía que explica cada clave")]
        #[arg(long, hide = true)]
        document: bool,
    },
}

/// Runs the command: exit code 0; 1 if the server runs with the configuration and something
/// is wrong all the same; 78 if it does not.
pub fn run(command: &ConfigCommand, file: Option<&Path>, language: Language) -> ExitCode {
    let done = match command {
        ConfigCommand::Check { json } => check(*json, file, language),
        ConfigCommand::Show { json } => show_all(*json, file, language),
        ConfigCommand::Sample { document } => {
            let text = match document {
                true => Config::document(language),
                false => Config::sample(language),
            };
            print(&text).map(|()| Sysexit::Ok).map_err(Failure::from)
        }
    };
    end("puerto", done, language)
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
const WAITS: Text = Text::new(
    "{file} is well written, but some mail would wait or be refused with it:",
    "{file} está bien escrito, pero con él parte del correo tendría que esperar o se rechazaría:",
);
const ONE_ERROR: Text = Text::new("{file}: one error", "{file}: un error");
const ERRORS: Text = Text::new("{file}: {count} errors", "{file}: {count} errores");

fn check(json: bool, file: Option<&Path>, language: Language) -> Result<Sysexit, Failure> {
    let name = Config::file(file).0;
    let shown = name.display().to_string();
    let config = match Config::load_whole(file) {
        Ok(config) => config,
        Err(errors) if json => {
            say(&errors.to_json(language).to_string())?;
            return Ok(Sysexit::Config);
        }
        Err(errors) => return Ok(wrong(&errors, &summary(&errors, language), language)),
    };
    let found = trial::of(&config, &name);
    let stops = found.iter().any(trial::Tried::stops);
    let is_wrong = found.iter().any(trial::Tried::is_error);
    let notes: Vec<String> = notes(&config).iter().map(|note| note.of(language)).collect();
    if json {
        let found: Vec<_> = found.iter().map(|tried| tried.json(language)).collect();
        let document = json!({ "ok": !is_wrong, "file": shown, "notes": notes, "findings": found });
        say(&document.to_string())?;
    } else {
        let first = match (stops, is_wrong) {
            (true, _) => STOPS,
            (false, true) => WAITS,
            (false, false) if name.exists() => RIGHT,
            (false, false) => ABSENT,
        };
        let mut lines = vec![first.with(language, &[("file", &shown)])];
        lines.extend(found.iter().map(|tried| tried.text(&shown, language)));
        lines.extend(notes);
        show(&(lines.join("\n") + "\n"))?;
    }
    Ok(match (stops, is_wrong) {
        (true, _) => Sysexit::Config,
        (false, true) => Sysexit::Findings,
        (false, false) => Sysexit::Ok,
    })
}

/// Tells what is wrong with a file, with its lines; `below` stands under them.
pub(super) fn wrong(errors: &ConfigErrors, below: &str, language: Language) -> Sysexit {
    let stderr = io::stderr();
    let shown = errors.render(colour(&stderr), columns(&stderr), language);
    tell(format!("{shown}\n\n{below}").trim_end());
    Sysexit::Config
}

// What is right and may yet be better.
fn notes(config: &Config) -> Vec<Said> {
    let logins: Vec<_> = config.relays().filter(|relay| relay.login.is_some()).collect();
    let by_mx = logins.iter().filter_map(|relay| relay.next_hop.advice_for_password());
    let by_mx = by_mx.map(|advice| said_of!("note: {advice}", "nota: {advice}"; advice = advice));
    let unproven = logins.iter().filter(|relay| relay.tls == TlsLevel::Opportunistic);
    unproven
        .map(|relay| {
            let section = match relay.named {
                Named::Relayhost => "[delivery]",
                Named::Route(_) => "[[route]]",
                Named::Rescue => "[rescue]",
            };
            said!(
                "note: the password for {hop} goes to a certificate that verifies or to the key that was seen at the first login; `tls = \"required\"` in {section} demands the former",
                "nota: la contraseña para {hop} va a un certificado verificable o a la clave que se vio la primera vez; `tls = \"required\"` en {section} exige lo primero";
                hop = relay.next_hop, section = section
            )
        })
        .chain(by_mx)
        .chain(pointless_rescue(config))
        .collect()
}

// What leaves by the relayhost never leaves directly, so that nothing is refused for our address.
fn pointless_rescue(config: &Config) -> Option<Said> {
    let (via, relayhost) = (config.rescue.via.as_ref()?, config.relayhost.as_ref()?);
    let direct = config.routes.iter().any(|route| route.via.is_none());
    (!direct).then(|| {
        said!(
            "note: [rescue] `via = \"{via}\"` has nothing to do: all mail leaves by relayhost {relayhost}",
            "nota: `via = \"{via}\"` en [rescue] no tiene nada que hacer: todo el correo sale por el relayhost {relayhost}";
            via = via, relayhost = relayhost
        )
    })
}

fn summary(errors: &ConfigErrors, language: Language) -> String {
    let count = errors.all().count();
    let text = if count == 1 { ONE_ERROR } else { ERRORS };
    text.with(language, &[("file", &errors.file), ("count", &count.to_string())])
}

fn show_all(json: bool, file: Option<&Path>, language: Language) -> Result<Sysexit, Failure> {
    let text = match Config::load(file) {
        Ok(config) => config.to_toml(),
        Err(errors) => return Ok(wrong(&errors, "", language)),
    };
    if json {
        let internal = |error: String| Failure::new(Sysexit::OsError, Said::words(error));
        let value: toml::Table =
            toml::from_str(&text).map_err(|error| internal(error.to_string()))?;
        say(&json_document(&value).map_err(|error| internal(error.to_string()))?)?;
    } else {
        print(&text)?;
    }
    Ok(Sysexit::Ok)
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
