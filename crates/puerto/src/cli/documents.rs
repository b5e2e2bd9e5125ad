//! Completions and manual pages, made from the same declarations as the help.

use std::io;
use std::path::Path;
use std::process::ExitCode;

use super::exit::{Failure, Sysexit, end};
use super::spanish;
use crate::lang::{Language, Said, Text, system};

/// Prints completions for a shell.
pub fn completions(shell: clap_complete::Shell, mut command: clap::Command) -> ExitCode {
    clap_complete::generate(shell, &mut command, "puerto", &mut std::io::stdout());
    ExitCode::SUCCESS
}

/// Writes a manual page for each command into a folder, made if it is missing.
pub fn manual(folder: &Path, language: Language) -> ExitCode {
    const CANNOT: Text = Text::new(
        "cannot write manual pages to {folder}: {error}",
        "no se pueden escribir las páginas del manual en {folder}: {error}",
    );
    let command = spanish::command_without_help(language);
    let written = std::fs::create_dir_all(folder)
        .and_then(|()| clap_mangen::generate_to(command, folder))
        .and_then(|()| match language {
            Language::English => Ok(()),
            Language::Spanish => translate(folder),
        });
    let failed = |error: io::Error| {
        let folder = Said::words(folder.display().to_string());
        let parts = [("folder", &folder), ("error", &system(&error))];
        Failure::new(Sysexit::CantCreate, Said::of_parts(CANNOT, &parts))
    };
    end("puerto", written.map(|()| Sysexit::Ok).map_err(failed), language)
}

fn translate(folder: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let is_ours =
            path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"puerto"));
        if is_ours && path.extension().is_some_and(|extension| extension == "1") {
            let page = std::fs::read_to_string(&path)?;
            std::fs::write(&path, spanish::manual_in_spanish(&page))?;
        }
    }
    Ok(())
}
