//! `newaliases`, `sendmail -bi`: other servers compile the aliases file; this one
//! reads it as it is. What is left to do is to say whether it can be read.

use std::ffi::OsString;
use std::io::ErrorKind;
use std::iter::once;
use std::path::Path;
use std::process::ExitCode;

use crate::cli::exit::{Failure, Sysexit};
use crate::cli::output::{printable, say};
use crate::cli::sendmail;
use crate::config::Config;
use crate::local;

/// Runs `newaliases` with the arguments that follow its name: the options of
/// `sendmail`.
pub fn run(arguments: impl Iterator<Item = OsString>, config_path: Option<&Path>) -> ExitCode {
    sendmail::run(once(OsString::from("-bi")).chain(arguments), config_path)
}

/// Says whether the aliases file can be read, and what in it cannot be understood.
pub(super) fn check(config_path: Option<&Path>) -> Result<(), Failure> {
    let file = Config::load(config_path)?.local.aliases;
    let shown = file.display();
    match std::fs::read(&file) {
        Ok(octets) => {
            for warning in local::alias_warnings(&String::from_utf8_lossy(&octets)) {
                eprintln!("newaliases: warning: {shown}: {}", printable(&warning));
            }
            say(&format!("{shown}: changes hold at once; there is nothing to rebuild"))?;
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {
            say(&format!("{shown}: there is no such file, and so there are no aliases"))?;
        }
        Err(error) => return Err(Failure::new(Sysexit::NoInput, format!("{shown}: {error}"))),
    }
    Ok(())
}
