//! `newaliases`, `sendmail -bi`: other servers compile the aliases file; this one
//! reads it as it is. What is left to do is to say whether it can be read.

use std::ffi::OsString;
use std::io::ErrorKind;
use std::iter::once;
use std::path::Path;
use std::process::ExitCode;

use crate::cli::exit::{Failure, Sysexit};
use crate::cli::sendmail;
use crate::config::Config;

/// Runs `newaliases` with the arguments that follow its name: the options of
/// `sendmail`.
pub fn run(arguments: impl Iterator<Item = OsString>, config_path: Option<&Path>) -> ExitCode {
    sendmail::run(once(OsString::from("-bi")).chain(arguments), config_path)
}

/// Says whether the aliases file can be read.
pub(super) fn check(config_path: Option<&Path>) -> Result<String, Failure> {
    let file = Config::load(config_path)?.local.aliases;
    let shown = file.display();
    match std::fs::read(&file) {
        Ok(_) => Ok(format!("{shown}: changes hold at once; there is nothing to rebuild")),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            Ok(format!("{shown}: there is no such file, and so there are no aliases"))
        }
        Err(error) => Err(Failure::new(Sysexit::NoInput, format!("{shown}: {error}"))),
    }
}
