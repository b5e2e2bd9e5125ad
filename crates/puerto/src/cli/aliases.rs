//! `newaliases`, `sendmail -bi`: other servers compile the aliases file; this one
//! reads it as it is. What is left to do is to say whether it can be read.

use std::ffi::OsString;
use std::io::ErrorKind;
use std::iter::once;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use crate::cli::exit::{Failure, Sysexit};
use crate::cli::output::{printable, say, tell};
use crate::cli::sendmail;
use crate::config::Config;
use crate::lang::{Language, Said, Text, said_of};
use crate::local;
use crate::rights::{self, Identity};

/// Runs `newaliases` with the arguments that follow its name: the options of
/// `sendmail`.
pub fn run(
    arguments: impl Iterator<Item = OsString>,
    config_path: Option<&Path>,
    language: Language,
) -> ExitCode {
    sendmail::run(once(OsString::from("-bi")).chain(arguments), config_path, language)
}

const WARNING: Text = Text::new("warning", "aviso");
const NOTHING: Text = Text::new(
    "{file}: changes hold at once; there is nothing to rebuild",
    "{file}: los cambios valen de inmediato; no hay nada que regenerar",
);
const NO_FILE: Text = Text::new(
    "{file}: there is no such file, and so there are no aliases",
    "{file}: no existe ese fichero, así que no hay alias",
);

/// Says whether the aliases file can be read, and what in it cannot be understood.
pub(super) fn check(config_path: Option<&Path>, language: Language) -> Result<(), Failure> {
    let config = Config::load(config_path)?;
    let file = &config.local.aliases;
    let shown = file.display().to_string();
    let service = Identity::of_service(&config.user).ok().flatten();
    let warn = |warnings: Vec<(PathBuf, Said)>| {
        let word = WARNING.of(language);
        for (file, warning) in warnings {
            let (file, warning) = (file.display().to_string(), warning.of(language));
            let (file, warning) = (printable(&file), printable(&warning));
            tell(&format!("newaliases: {word}: {file}: {warning}"));
        }
    };
    warn(local::table_warnings(&config, service.as_ref()));
    match local::alias_warnings(&config.local, service.as_ref()) {
        Ok(warnings) => {
            warn(warnings);
            // That users cannot be looked up is no fault of the file's.
            let config = Arc::new(config.clone());
            warn(local::dead_ends(&config, service.as_ref()).unwrap_or_default());
            say(&NOTHING.with(language, &[("file", &shown)]))?;
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {
            say(&NO_FILE.with(language, &[("file", &shown)]))?;
        }
        Err(error) => {
            let shown = Said::words(shown);
            let message = said_of!(
                "{file}: {error}", "{file}: {error}"; file = shown, error = rights::said(&error)
            );
            return Err(Failure::new(Sysexit::NoInput, message));
        }
    }
    Ok(())
}
