//! Completions and manual pages, made from the same declarations as the help.

use std::path::Path;
use std::process::ExitCode;

/// Prints completions for a shell.
pub fn completions(shell: clap_complete::Shell, mut command: clap::Command) -> ExitCode {
    clap_complete::generate(shell, &mut command, "puerto", &mut std::io::stdout());
    ExitCode::SUCCESS
}

/// Writes a manual page for each command into a folder, made if it is missing.
pub fn manual(folder: &Path, command: clap::Command) -> ExitCode {
    let written = std::fs::create_dir_all(folder)
        .and_then(|()| clap_mangen::generate_to(command.disable_help_subcommand(true), folder));
    match written {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("puerto: cannot write manual pages to {}: {error}", folder.display());
            ExitCode::from(73)
        }
    }
}
