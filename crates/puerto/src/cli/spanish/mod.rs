//! The command line in Spanish: help, usage, and what is wrong with an argument.
//!
//! The arguments are declared once, with their help in English. When the language is
//! Spanish, the tree that these declarations make is gone through before anything is
//! parsed, and every sentence in it replaced by its pair in [`HELP`]; completions and
//! manual pages are made from the same tree. A sentence without a pair fails the
//! tests, so that nobody changes the one and forgets the other.

mod errors;
mod help;
mod manual;

use anstyle::Style;
use clap::builder::{Str, StyledStr};
use clap::{Arg, Command};

use self::help::{HELP, VALUES};
use crate::lang::Language;

pub(super) use self::errors::print as print_error;
pub(super) use self::manual::in_spanish as manual_in_spanish;

/// The language that the arguments ask for, found before they are parsed, since what
/// is wrong with them is said in it too.
pub(super) fn language(arguments: &[std::ffi::OsString]) -> Language {
    let words = arguments.iter().skip(1).map(|word| word.to_str().unwrap_or_default());
    let mut words = words.take_while(|word| *word != "--");
    let mut asked = None;
    while let Some(word) = words.next() {
        match word.strip_prefix("--lang") {
            Some("") => asked = words.next().and_then(Language::parse),
            Some(rest) => asked = rest.strip_prefix('=').and_then(Language::parse).or(asked),
            None => {}
        }
    }
    Language::of_process(asked)
}

/// The declarations as they are shown in a language.
pub(super) fn command(mut command: Command, language: Language) -> Command {
    if language == Language::English {
        return command;
    }
    // What clap adds of its own is there only afterwards.
    command.build();
    translated(command)
}

fn translated(command: Command) -> Command {
    let mut command = command.mut_args(argument).mut_subcommands(translated);
    if let Some(about) = command.get_about().map(in_spanish) {
        command = command.about(about);
    }
    if let Some(about) = command.get_long_about().map(in_spanish) {
        command = command.long_about(about);
    }
    if let Some(after) = command.get_after_help().map(in_spanish) {
        command = command.after_help(after);
    }
    let usage = usage(&command.render_usage().to_string());
    let template = template(&command);
    command.override_usage(usage).help_template(template)
}

fn argument(argument: Arg) -> Arg {
    let names: Vec<Str> = argument.get_value_names().into_iter().flatten().map(value).collect();
    let short = argument.get_help().map(in_spanish).unwrap_or_default();
    let long = argument.get_long_help().map(in_spanish);
    let notes = notes(&argument);
    let long = long.unwrap_or_else(|| short.clone()) + &meanings(&argument) + &notes;
    let argument = match names.is_empty() {
        true => argument,
        false => argument.value_names(names),
    };
    argument
        .help(short + &notes)
        .long_help(long)
        .hide_default_value(true)
        .hide_possible_values(true)
        .hide_env(true)
}

// What clap writes in brackets behind an argument's help.
fn notes(argument: &Arg) -> String {
    let mut notes = String::new();
    if !argument.get_action().takes_values() {
        return notes;
    }
    if let Some(name) = argument.get_env() {
        notes += &format!(" [entorno: {}]", name.to_string_lossy());
    }
    let list = |words: Vec<String>| words.join(", ");
    let defaults = argument.get_default_values().iter();
    let defaults = list(defaults.map(|word| word.to_string_lossy().into_owned()).collect());
    if !defaults.is_empty() && !argument.is_hide_default_value_set() {
        notes += &format!(" [por defecto: {defaults}]");
    }
    let possible = argument.get_possible_values();
    let possible = list(possible.iter().map(|word| word.get_name().to_owned()).collect());
    if !possible.is_empty() && !argument.is_hide_possible_values_set() {
        notes += &format!(" [valores posibles: {possible}]");
    }
    notes
}

fn meanings(argument: &Arg) -> String {
    let meaning = |value: &clap::builder::PossibleValue| {
        let help = value.get_help()?;
        Some(format!("\n- {}: {}", value.get_name(), in_spanish(help)))
    };
    let lines: String = argument.get_possible_values().iter().filter_map(meaning).collect();
    if lines.is_empty() { lines } else { lines + "\n" }
}

// As English where there is no pair, which a test forbids.
fn in_spanish(english: &StyledStr) -> String {
    let english = english.to_string();
    HELP.iter().find(|text| text.en == english).map_or(english, |text| text.es.to_owned())
}

fn value(english: &Str) -> Str {
    let pair = VALUES.iter().find(|text| text.en == english.as_str());
    pair.map_or_else(|| english.clone(), |text| text.es.into())
}

fn usage(english: &str) -> String {
    let usage = english.strip_prefix("Usage:").unwrap_or(english).trim_start();
    let words = [("[OPTIONS]", "[OPCIONES]"), ("<COMMAND>", "<ORDEN>"), ("[COMMAND]", "[ORDEN]")];
    words.iter().fold(usage.to_owned(), |usage, (en, es)| usage.replace(en, es))
}

fn template(command: &Command) -> String {
    let title = Style::new().bold().underline();
    let heading = |text: &str| format!("{title}{text}:{title:#}");
    let arguments = || command.get_arguments().filter(|argument| !argument.is_hide_set());
    let mut out = format!("{{before-help}}{{about-with-newline}}\n{} {{usage}}", heading("Uso"));
    let sections = [
        (command.has_subcommands(), "Órdenes", "{subcommands}"),
        (arguments().any(Arg::is_positional), "Argumentos", "{positionals}"),
        (arguments().any(|argument| !argument.is_positional()), "Opciones", "{options}"),
    ];
    for (present, name, tag) in sections {
        if present {
            out += &format!("\n\n{}\n{tag}", heading(name));
        }
    }
    out + "{after-help}"
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;
    use crate::cli::Arguments;

    fn sentences(command: &Command, found: &mut Vec<String>) {
        let texts = [command.get_about(), command.get_long_about(), command.get_after_help()];
        assert!(texts[0].is_some(), "{} says what it is for", command.get_name());
        found.extend(texts.into_iter().flatten().map(ToString::to_string));
        for argument in command.get_arguments() {
            let texts = [argument.get_help(), argument.get_long_help()];
            assert!(
                texts[0].is_some(),
                "{} {} says what it is for",
                command.get_name(),
                argument.get_id()
            );
            found.extend(texts.into_iter().flatten().map(ToString::to_string));
            let values = argument.get_possible_values();
            found.extend(values.iter().filter_map(|v| v.get_help()).map(ToString::to_string));
        }
        for command in command.get_subcommands() {
            sentences(command, found);
        }
    }

    fn tree() -> Vec<String> {
        let mut command = Arguments::command();
        command.build();
        let mut found = Vec::new();
        // The copy of the tree below `help` holds nothing of its own.
        sentences(&command, &mut found);
        found
    }

    #[test]
    fn every_sentence_of_the_help_has_its_spanish() {
        let tree = tree();
        let missing: Vec<_> =
            tree.iter().filter(|en| !HELP.iter().any(|text| text.en == **en)).collect();
        assert!(missing.is_empty(), "no Spanish in cli/spanish/help.rs for {missing:#?}");
        for text in HELP {
            assert_ne!(text.en, text.es);
        }
    }

    #[test]
    fn no_spanish_is_left_of_help_that_is_gone() {
        let tree = tree();
        // What clap adds depends on the command that it is added to.
        let left = HELP.iter().filter(|text| !text.en.starts_with("Print help"));
        let left: Vec<_> = left.filter(|text| !tree.iter().any(|en| en == text.en)).collect();
        assert!(left.is_empty(), "{left:#?}");
    }

    #[test]
    fn every_placeholder_is_translated_or_the_same() {
        fn names(command: &Command) {
            for argument in command.get_arguments().filter(|a| a.get_action().takes_values()) {
                for name in argument.get_value_names().into_iter().flatten() {
                    assert!(
                        VALUES.iter().any(|text| text.en == name.as_str()),
                        "{name} of {} is not in VALUES",
                        command.get_name()
                    );
                }
            }
            command.get_subcommands().for_each(names);
        }
        let mut command = Arguments::command();
        command.build();
        names(&command);
    }

    #[test]
    fn the_tree_parses_the_same_in_both_languages() {
        for line in [
            "puerto queue list --to a@example.net",
            "puerto --lang es config check --json",
            "puerto dkim new --type both --bits 3072 example.com",
            "puerto relay test [a.example] --lang=es",
            "puerto sendmail -t -- -x",
        ] {
            let english = Arguments::command().try_get_matches_from(line.split(' '));
            let spanish = command(Arguments::command(), Language::Spanish);
            let spanish = spanish.try_get_matches_from(line.split(' '));
            assert_eq!(
                format!("{:?}", english.is_ok()),
                format!("{:?}", spanish.is_ok()),
                "{line}"
            );
            assert!(spanish.is_ok(), "{line}: {}", spanish.unwrap_err());
        }
        command(Arguments::command(), Language::Spanish).debug_assert();
    }

    /// Every command's help, short and long, one behind the other.
    fn help(mut command: Command, out: &mut String) {
        for help in [command.render_help(), command.render_long_help()] {
            *out += &format!("==> {}\n{help}\n", command.get_bin_name().unwrap_or_default());
        }
        for command in command.get_subcommands() {
            help(command.clone(), out);
        }
    }

    #[test]
    fn help_and_manual_pages_are_as_ever() {
        for (language, code) in [(Language::English, "en"), (Language::Spanish, "es")] {
            let mut tree = command(Arguments::command(), language).term_width(100);
            tree.build();
            let mut out = String::new();
            help(tree, &mut out);
            crate::golden::same(&format!("cli/help.{code}.txt"), &out);
            let folder = tempfile::tempdir().unwrap();
            crate::cli::documents::manual(folder.path(), Arguments::command(), language);
            let pages = std::fs::read_dir(folder.path()).unwrap();
            let mut pages: Vec<_> = pages.map(|page| page.unwrap().path()).collect();
            pages.sort();
            let pages = pages.iter().map(|page| std::fs::read_to_string(page).unwrap());
            let pages = pages.collect::<String>().replace(env!("CARGO_PKG_VERSION"), "VERSION");
            crate::golden::same(&format!("cli/man.{code}.txt"), &pages);
        }
    }

    #[test]
    fn the_language_is_known_before_the_arguments_are_parsed() {
        let found = |line: &str| language(&line.split(' ').map(Into::into).collect::<Vec<_>>());
        assert_eq!(found("puerto check --lang es --nonsense"), Language::Spanish);
        assert_eq!(found("puerto --lang=es"), Language::Spanish);
        assert_eq!(found("puerto --lang=es check --lang en"), Language::English);
    }
}
