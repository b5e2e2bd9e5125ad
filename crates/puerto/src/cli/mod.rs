//! The command line: which personality was called, and what it was asked to do.
//!
//! The binary is `puerto`, and also `sendmail`, `mailq` and `newaliases` when it is
//! called by those names. `puerto sendmail …` is passed on whole, since its options
//! are older than every convention that the rest follows.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

mod documents;

/// A mail server for sending, whose mail arrives.
#[derive(Debug, Parser)]
#[command(name = "puerto", version, max_term_width = 100, arg_required_else_help = true)]
pub struct Arguments {
    /// The configuration to use instead of /etc/puerto/puerto.toml
    #[arg(long, global = true, value_name = "FILE", env = "PUERTO_CONFIG")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Print completions for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Write the manual pages into a folder
    #[command(hide = true)]
    Man {
        /// The folder
        folder: PathBuf,
    },
}

/// Runs the program with its arguments, the first being the name that it was called by.
pub fn main(arguments: Vec<OsString>) -> ExitCode {
    let parsed = match Arguments::try_parse_from(&arguments) {
        Ok(parsed) => parsed,
        Err(error) => {
            // Help and version are answers, not mistakes.
            let code = if error.use_stderr() { 2 } else { 0 };
            let _ = error.print();
            return ExitCode::from(code);
        }
    };
    run(parsed)
}

fn run(arguments: Arguments) -> ExitCode {
    match arguments.command {
        Command::Completions { shell } => documents::completions(shell, Arguments::command()),
        Command::Man { folder } => documents::manual(&folder, Arguments::command()),
    }
}
