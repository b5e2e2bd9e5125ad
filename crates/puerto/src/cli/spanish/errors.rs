//! What is wrong with the arguments, in Spanish.
//!
//! The library's own sentences are English; what they are made of can be asked for,
//! so that each kind of mistake is put into words here once more.

use std::error::Error as _;
use std::net::AddrParseError;
use std::num::ParseIntError;

use anstyle::{AnsiColor, Style};
use clap::Error;
use clap::error::{ContextKind, ContextValue, ErrorKind};

use crate::lang::{Language, Said};

/// Prints the mistake; help and version, which end the parsing too, as they are.
pub(in crate::cli) fn print(error: &Error) {
    match error.kind() {
        ErrorKind::DisplayHelp
        | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
        | ErrorKind::DisplayVersion => {
            let _ = error.print();
        }
        _ => anstream::eprint!("{}", words(error)),
    }
}

fn words(error: &Error) -> String {
    let red: Style = AnsiColor::Red.on_default().bold();
    let mut out = format!("{red}error:{red:#} {}\n", mistake(error));
    for tip in tips(error) {
        out += &format!("\n  consejo: {tip}\n");
    }
    if let Some(ContextValue::StyledStr(usage)) = error.get(ContextKind::Usage) {
        let usage = usage.to_string();
        let usage = usage.strip_prefix("Usage:").unwrap_or(&usage).trim_start();
        out += &format!("\nUso: {usage}\n");
    }
    out + "\nMás información con «--help».\n"
}

fn mistake(error: &Error) -> String {
    let text = |kind| text(error, kind);
    let argument = text(ContextKind::InvalidArg);
    let value = text(ContextKind::InvalidValue);
    match error.kind() {
        ErrorKind::ArgumentConflict => conflict(error),
        ErrorKind::NoEquals => format!("a «{argument}» el valor se le da con un signo igual"),
        ErrorKind::InvalidValue if value.is_empty() => {
            format!("«{argument}» necesita un valor y no lo tiene{}", accepted(error))
        }
        ErrorKind::InvalidValue => {
            format!("«{value}» no es un valor válido para «{argument}»{}", accepted(error))
        }
        ErrorKind::ValueValidation => {
            format!("«{value}» no es un valor válido para «{argument}»{}", reason(error))
        }
        ErrorKind::InvalidSubcommand => {
            format!("no existe la orden «{}»", text(ContextKind::InvalidSubcommand))
        }
        ErrorKind::MissingSubcommand => {
            format!("a «{}» le falta la orden", text(ContextKind::InvalidSubcommand))
        }
        ErrorKind::MissingRequiredArgument => {
            format!("faltan argumentos obligatorios:{}", lines(error, ContextKind::InvalidArg))
        }
        ErrorKind::InvalidUtf8 => "hay un argumento que no es texto en UTF-8".to_owned(),
        ErrorKind::TooManyValues => format!("«{value}» es un valor de más para «{argument}»"),
        ErrorKind::TooFewValues | ErrorKind::WrongNumberOfValues => {
            format!("el número de valores de «{argument}» no es el debido")
        }
        ErrorKind::UnknownArgument => format!("no existe el argumento «{argument}»"),
        _ => "los argumentos no son correctos".to_owned(),
    }
}

fn conflict(error: &Error) -> String {
    let argument = text(error, ContextKind::InvalidArg);
    match error.get(ContextKind::PriorArg) {
        Some(ContextValue::String(prior)) if *prior == argument => {
            format!("«{argument}» no puede darse más de una vez")
        }
        Some(ContextValue::String(prior)) => {
            format!("«{argument}» no puede usarse junto con «{prior}»")
        }
        Some(ContextValue::Strings(_)) => {
            let prior = lines(error, ContextKind::PriorArg);
            format!("«{argument}» no puede usarse junto con:{prior}")
        }
        _ => format!("«{argument}» no puede usarse junto con los demás argumentos"),
    }
}

fn accepted(error: &Error) -> String {
    match error.get(ContextKind::ValidValue) {
        Some(ContextValue::Strings(values)) if !values.is_empty() => {
            format!("\n  [valores posibles: {}]", values.join(", "))
        }
        _ => String::new(),
    }
}

// What whoever read the value says of it. Our own readers know Spanish.
fn reason(error: &Error) -> String {
    let Some(source) = error.source() else { return String::new() };
    if let Some(said) = source.downcast_ref::<Said>() {
        return format!(": {}", said.of(Language::Spanish));
    }
    if source.is::<AddrParseError>() {
        return ": no es una dirección IPv4 ni IPv6".to_owned();
    }
    if source.is::<ParseIntError>() {
        return ": no es un número entero".to_owned();
    }
    String::new()
}

fn tips(error: &Error) -> Vec<String> {
    let similar = |kind, what: &str| {
        let names = match error.get(kind) {
            Some(ContextValue::String(name)) => format!("«{name}»"),
            Some(ContextValue::Strings(names)) if !names.is_empty() => {
                let names: Vec<_> = names.iter().map(|name| format!("«{name}»")).collect();
                names.join(", ")
            }
            _ => return None,
        };
        Some(format!("hay {what} de nombre parecido: {names}"))
    };
    let mut tips: Vec<String> = [
        similar(ContextKind::SuggestedArg, "un argumento"),
        similar(ContextKind::SuggestedSubcommand, "una orden"),
        similar(ContextKind::SuggestedValue, "un valor"),
    ]
    .into_iter()
    .flatten()
    .collect();
    // The library's other advice is a sentence of its own; this is the one it has.
    let argument = text(error, ContextKind::InvalidArg);
    if tips.is_empty() && argument.starts_with('-') && error.get(ContextKind::Suggested).is_some() {
        tips.push(format!("para que «{argument}» sea un valor, escriba «-- {argument}»"));
    }
    tips
}

fn text(error: &Error, kind: ContextKind) -> String {
    match error.get(kind) {
        Some(ContextValue::String(text)) => text.clone(),
        _ => String::new(),
    }
}

fn lines(error: &Error, kind: ContextKind) -> String {
    match error.get(kind) {
        Some(ContextValue::Strings(list)) => {
            list.iter().map(|item| format!("\n  {item}")).collect()
        }
        Some(ContextValue::String(item)) => format!("\n  {item}"),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::spanish;

    fn said(line: &str) -> String {
        let command = spanish::command(Language::Spanish);
        let error = command.try_get_matches_from(line.split(' ')).expect_err(line);
        anstream::adapter::strip_str(&words(&error)).to_string()
    }

    #[test]
    fn each_kind_of_mistake_is_said_in_spanish() {
        for (line, part) in [
            ("puerto setpu", "no existe la orden «setpu»"),
            ("puerto setpu", "hay una orden de nombre parecido: «setup»"),
            ("puerto setup", "faltan argumentos obligatorios:\n  <DOMINIO>"),
            ("puerto check --jsno", "no existe el argumento «--jsno»"),
            ("puerto check --jsno", "hay un argumento de nombre parecido: «--json»"),
            ("puerto check --zzz", "para que «--zzz» sea un valor, escriba «-- --zzz»"),
            ("puerto check a b", "no existe el argumento «b»"),
            ("puerto check --only", "«--only <GRUPO>» necesita un valor y no lo tiene"),
            ("puerto check --json --json", "«--json» no puede darse más de una vez"),
            ("puerto check --egress x", ": no es una dirección IPv4 ni IPv6"),
            ("puerto dns --format x", "[valores posibles: fields, zone, json]"),
            ("puerto dns --format jsno", "hay un valor de nombre parecido: «json»"),
            ("puerto dkim new --bits 1", ": se admiten 2048, 3072 y 4096"),
            ("puerto queue retry 0A1B2C3D4E5F --all", "no puede usarse junto con «--all»"),
            ("puerto --lang fr serve", ": escriba en o es"),
            ("puerto serve x", "Uso: puerto serve [OPCIONES]"),
        ] {
            let said = said(line);
            assert!(said.contains(part), "{line}: {said}");
            assert!(said.ends_with("\nMás información con «--help».\n"), "{line}: {said}");
        }
    }

    #[test]
    fn the_help_is_spanish_in_its_headings_too() {
        let command = spanish::command(Language::Spanish);
        let error = command.try_get_matches_from(["puerto", "dkim", "new", "--help"]).unwrap_err();
        let help = error.to_string();
        for part in [
            "\nUso: puerto dkim new [OPCIONES] [DOMINIO]\n",
            "\nArgumentos:\n",
            "\nOpciones:\n",
            "[por defecto: 2048]",
            "- both: Una de cada tipo",
        ] {
            assert!(help.contains(part), "{part:?} in {help}");
        }
    }
}
