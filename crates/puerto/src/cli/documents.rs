//! Completions and manual pages, made from the same declarations as the help.

use std::io;
use std::path::Path;
use std::process::ExitCode;

use super::exit::{Failure, Sysexit, end};
use super::output::print;
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

/// Prints the guide's page about every command.
pub fn print_page(language: Language) -> ExitCode {
    let printed = print(&page(language)).map(|()| Sysexit::Ok).map_err(Failure::from);
    end("puerto", printed, language)
}

/// The guide's page about every command: the help of each, one below the other.
pub fn page(language: Language) -> String {
    let mut out = format!("# {}\n\n{}\n", TITLE.of(language), MADE.of(language));
    let mut command = spanish::command_without_help(language).term_width(COLUMNS);
    command.build();
    for command in command.get_subcommands() {
        section(&mut out, command, 2);
    }
    out
}

const COLUMNS: usize = 84;
const TITLE: Text = Text::new("Commands", "Órdenes");
const MADE: Text = Text::new(
    "Made by `puerto man --document`. Each command says the same itself with `--help`, and has a \
     manual page: `man puerto-queue-list`. What `sendmail`, `mailq` and `newaliases` take, \
     `sendmail --help` says.",
    "Página hecha por `puerto man --document`. Cada orden dice lo mismo con `--help`, y tiene su \
     página del manual: `man puerto-queue-list`. Lo que admiten `sendmail`, `mailq` y `newaliases` \
     lo dice `sendmail --help`.",
);

fn section(out: &mut String, command: &clap::Command, level: usize) {
    if command.is_hide_set() {
        return;
    }
    // What the environment of whoever writes the page says is no part of it.
    let mut shown =
        command.clone().term_width(COLUMNS).mut_args(|argument| argument.hide_env_values(true));
    let (heading, name) = ("#".repeat(level), shown.get_bin_name().unwrap_or_default().to_owned());
    let help = shown.render_long_help().to_string();
    let help: Vec<&str> = help.lines().map(str::trim_end).collect();
    out.push_str(&format!("\n{heading} {name}\n\n```text\n{}\n```\n", help.join("\n").trim_end()));
    for below in command.get_subcommands() {
        section(out, below, level + 1);
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    #[test]
    fn the_guides_pages_of_keys_and_commands_are_up_to_date() {
        for (language, code) in [(Language::English, "en"), (Language::Spanish, "es")] {
            for (name, command, made) in [
                ("keys", "config sample", Config::document(language)),
                ("commands", "man", page(language)),
            ] {
                let file = format!("{}/../../docs/{code}/{name}.md", env!("CARGO_MANIFEST_DIR"));
                if std::env::var_os("PUERTO_BLESS").is_some() {
                    std::fs::write(&file, &made).unwrap();
                }
                let written = std::fs::read_to_string(&file).unwrap_or_default();
                assert!(
                    written == made,
                    "write it anew: puerto --lang {code} {command} --document > docs/{code}/{name}.md"
                );
            }
        }
    }
}
