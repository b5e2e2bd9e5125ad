//! The command line in Spanish: help, usage, and what is wrong with an argument.
//!
//! Each command, argument and value is declared with its help in both languages: the
//! English is its doc comment, and beside it stands `es = "…"`, which calls [`Spanish::es`]
//! while the tree of the declarations is made. What clap writes of its own (headings, usage,
//! what stands in brackets) is gone over afterwards. Completions and manual pages are made
//! from the same tree. A test names what is said in one language alone.

mod errors;
mod manual;

use std::cell::Cell;

use anstyle::Style;
use clap::builder::{PossibleValue, Str};
use clap::{Arg, Command, CommandFactory as _};

use super::Arguments;
use crate::lang::{Language, Text};

pub(super) use self::errors::print as print_error;
pub(super) use self::manual::in_spanish as manual_in_spanish;

thread_local! {
    // What clap derives from the declarations takes no argument that could say it.
    static LANGUAGE: Cell<Language> = const { Cell::new(Language::English) };
}

/// The Spanish of a declaration, which holds in a tree that is made in Spanish.
pub(super) trait Spanish: Sized {
    /// Says what it is for.
    fn es(self, help: &'static str) -> Self {
        if LANGUAGE.get() == Language::Spanish { self.with(help) } else { self }
    }

    /// The same with this help.
    fn with(self, help: &'static str) -> Self;
}

impl Spanish for Command {
    fn with(self, help: &'static str) -> Self {
        self.about(help)
    }
}

impl Spanish for Arg {
    fn with(self, help: &'static str) -> Self {
        self.help(help)
    }
}

impl Spanish for PossibleValue {
    fn with(self, help: &'static str) -> Self {
        self.help(help)
    }
}

/// What stands below a command's help, in the language of the tree that is made.
pub(super) fn below(text: Text) -> &'static str {
    text.of(LANGUAGE.get())
}

/// The placeholders that stand for values.
const VALUES: &[(&str, &str)] = &[
    ("FILE", "FICHERO"),
    ("ROLE", "PAPEL"),
    ("LANGUAGE", "IDIOMA"),
    ("DOMAIN", "DOMINIO"),
    ("NAME", "NOMBRE"),
    ("HOP", "SALTO"),
    ("USER", "USUARIO"),
    ("CERTIFICATE", "CERTIFICADO"),
    ("KEY", "CLAVE"),
    ("DIR", "CARPETA"),
    ("SOCKET", "SOCKET"),
    ("GROUP", "GRUPO"),
    ("ADDRESS", "DIRECCIÓN"),
    ("ID|MESSAGE-ID|ADDRESS", "ID|MESSAGE-ID|DIRECCIÓN"),
    ("ADDR", "DIRECCIÓN"),
    ("SELECTOR", "SELECTOR"),
    ("KIND", "TIPO"),
    ("BITS", "BITS"),
    ("FORMAT", "FORMATO"),
    ("SERVER", "SERVIDOR"),
    ("TEXT", "TEXTO"),
    ("ID", "ID"),
    ("IDS", "ID"),
    ("ORIGIN", "ORIGEN"),
    ("IP", "IP"),
    ("RELAYHOST", "RELAYHOST"),
    ("ARGUMENT", "ARGUMENTO"),
    ("SHELL", "INTÉRPRETE"),
    ("N", "N"),
    ("FOLDER", "CARPETA"),
    ("DAY", "DÍA"),
    ("COMMAND", "ORDEN"),
    ("FROM", "ORIGEN"),
    ("TO", "DESTINO"),
    ("CLASS", "CLASE"),
    ("NUMBERS", "NÚMEROS"),
    ("TIME", "TIEMPO"),
    ("SIZE", "TAMAÑO"),
];

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
pub(super) fn command(language: Language) -> Command {
    LANGUAGE.set(language);
    shown(Arguments::command(), language)
}

/// The same without the command `help`, which has no manual page.
pub(super) fn command_without_help(language: Language) -> Command {
    LANGUAGE.set(language);
    shown(Arguments::command().disable_help_subcommand(true), language)
}

fn shown(mut command: Command, language: Language) -> Command {
    if language == Language::English {
        return command;
    }
    // What clap adds of its own is there only afterwards.
    command.build();
    translated(command)
}

fn translated(command: Command) -> Command {
    let mut command = command.mut_args(argument).mut_subcommands(translated);
    if command.get_name() == "help" {
        command = command.about("Muestra esta ayuda o la de una orden");
    }
    let usage = usage(&command.render_usage().to_string());
    let template = template(&command);
    command.override_usage(usage).help_template(template)
}

fn argument(argument: Arg) -> Arg {
    let argument = match argument.get_id().as_str() {
        "version" => argument.help("Muestra la versión"),
        "help" if argument.get_long_help().is_some() => argument
            .help("Muestra esta ayuda; más, con «--help»")
            .long_help("Muestra esta ayuda; resumida, con «-h»"),
        "help" => argument.help("Muestra esta ayuda"),
        _ => argument,
    };
    let names: Vec<Str> = argument.get_value_names().into_iter().flatten().map(value).collect();
    let short = argument.get_help().cloned().unwrap_or_default().to_string();
    let long = argument.get_long_help().map_or_else(|| short.clone(), ToString::to_string);
    let notes = notes(&argument);
    let long = long + &meanings(&argument) + &notes;
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
        Some(format!("\n- {}: {help}", value.get_name()))
    };
    let lines: String = argument.get_possible_values().iter().filter_map(meaning).collect();
    if lines.is_empty() { lines } else { lines + "\n" }
}

// As English where there is no pair, which a test forbids.
fn value(english: &Str) -> Str {
    let pair = VALUES.iter().find(|(en, _)| *en == english.as_str());
    pair.map_or_else(|| english.clone(), |(_, es)| (*es).into())
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
    use std::collections::BTreeMap;

    use clap::builder::StyledStr;

    use super::*;

    /// What is said of a command and all below it, each by its place.
    fn sentences(at: &str, command: &Command, found: &mut BTreeMap<String, String>) {
        let at = format!("{at} {}", command.get_name());
        let mut add = |place: String, said: Option<&StyledStr>| {
            found.extend(said.map(|said| (place, said.to_string())));
        };
        add(at.clone(), command.get_about());
        add(format!("{at}, in full"), command.get_long_about());
        add(format!("{at}, below"), command.get_after_help());
        for argument in command.get_arguments() {
            let of = format!("{at} {}", argument.get_id());
            add(of.clone(), argument.get_help());
            add(format!("{of}, in full"), argument.get_long_help());
            for value in argument.get_possible_values().iter().filter(|_| !argument.is_hide_set()) {
                add(format!("{of} {}", value.get_name()), value.get_help());
            }
        }
        command.get_subcommands().for_each(|command| sentences(&at, command, found));
    }

    #[test]
    fn every_command_argument_and_value_says_what_it_is_for_in_both_languages() {
        let said = |language| {
            LANGUAGE.set(language);
            let (mut tree, mut found) = (Arguments::command(), BTreeMap::new());
            sentences("", &tree, &mut found);
            let mut silent = Vec::new();
            tree.build();
            places(&tree, &mut silent);
            assert!(silent.is_empty(), "{language:?}: {silent:?} do not say what they are for");
            found
        };
        let (english, spanish) = (said(Language::English), said(Language::Spanish));
        assert!(english.keys().eq(spanish.keys()));
        let same: Vec<_> = english.iter().filter(|(at, said)| spanish[*at] == **said).collect();
        assert!(same.is_empty(), "in one language alone: {same:#?}");
    }

    /// What says nothing of itself.
    fn places(command: &Command, silent: &mut Vec<String>) {
        silent.extend(command.get_about().is_none().then(|| command.get_name().to_owned()));
        let arguments = command.get_arguments().filter(|argument| argument.get_help().is_none());
        silent.extend(arguments.map(|argument| argument.get_id().to_string()));
        command.get_subcommands().for_each(|command| places(command, silent));
    }

    #[test]
    fn every_placeholder_is_translated_or_the_same() {
        fn names(command: &Command) {
            for argument in command.get_arguments().filter(|a| a.get_action().takes_values()) {
                for name in argument.get_value_names().into_iter().flatten() {
                    assert!(
                        VALUES.iter().any(|(en, _)| *en == name.as_str()),
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
            let spanish = command(Language::Spanish).try_get_matches_from(line.split(' '));
            assert_eq!(
                format!("{:?}", english.is_ok()),
                format!("{:?}", spanish.is_ok()),
                "{line}"
            );
            assert!(spanish.is_ok(), "{line}: {}", spanish.unwrap_err());
        }
        command(Language::Spanish).debug_assert();
    }

    /// Every command's help, short and long, one behind the other.
    fn help(command: Command, out: &mut String) {
        // What was built before does not take the width from the command above it, but from the
        // terminal that the tests run at.
        let mut command = command.term_width(100);
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
            let mut tree = command(language).term_width(100);
            tree.build();
            let mut out = String::new();
            help(tree, &mut out);
            crate::golden::same(&format!("cli/help.{code}.txt"), &out);
            let folder = tempfile::tempdir().unwrap();
            crate::cli::documents::manual(folder.path(), language);
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
