//! Who reads root's mail: cron's output, warnings, and what others write to postmaster
//! (RFC 5321 §4.5.1). In a mailbox of root's, hardly anybody does.

use std::path::Path;

use nix::unistd::User;
use puerto_smtp::Address;

use super::files::Wanted;
use super::hands::Step;
use super::person::{Gone, Person, ask};
use super::root::Root;
use crate::config::Config;
use crate::lang::{said, shell_word};

/// Whether a text names readers: addresses and users, separated by commas; or nobody.
pub fn is_reader(text: &str) -> bool {
    let user = |name: &str| {
        name.starts_with(|first: char| first.is_ascii_alphanumeric() || first == '_')
            && name.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
    };
    let reader = |name: &str| user(name) || (name.contains('@') && Address::parse(name).is_ok());
    text.trim().is_empty() || text.split(',').all(|name| reader(name.trim()))
}

/// Who is to read it, where neither the aliases nor the person have said so yet.
pub(super) fn reader(
    asked: Option<&str>,
    config: &Config,
    root: &Root,
    person: &mut dyn Person,
) -> Result<Option<String>, Gone> {
    if is_said(config, root) {
        return Ok(None);
    }
    let answer = match asked {
        Some(asked) if is_reader(asked) => asked.to_owned(),
        Some(_) => return Ok(None),
        None => {
            let question = said!(
                "Who reads root's mail, such as cron's? An address, or users of this machine \
                 (empty: nobody but root)",
                "¿Quién lee el correo de root, como el de cron? Una dirección, o usuarios de esta \
                 máquina (vacío: solo root)"
            );
            ask(person, question, "", |answer| match is_reader(answer) {
                true => match unknown_reader(answer, root) {
                    None => Ok(answer.to_owned()),
                    Some(name) => Err(said!(
                        "this machine has no user {name}: their mail would come back. Who reads \
                         root's mail",
                        "esta máquina no tiene ningún usuario {name}: su correo volvería. Quién lee \
                         el correo de root"; name = name
                    )),
                },
                false => Err(said!(
                    "{answer} is neither an address, as ana@example.net is, nor users of this \
                     machine. Who reads root's mail",
                    "{answer} no es ni una dirección, como ana@example.net, ni usuarios de esta \
                     máquina. Quién lee el correo de root"; answer = answer
                )),
            })?
        }
    };
    Ok(Some(answer.trim().to_owned()).filter(|answer| !answer.is_empty()))
}

/// The first of the users named whom this machine does not have.
pub fn unknown_reader<'a>(text: &'a str, root: &Root) -> Option<&'a str> {
    let is_nobody = |name: &&str| {
        !name.is_empty() && !name.contains('@') && matches!(User::from_name(name), Ok(None))
    };
    text.split(',').map(str::trim).find(|name| root.is_machine() && is_nobody(name))
}

/// The aliases, where there are none yet.
pub(super) fn file(reader: Option<&str>, config: &Config, root: &Root) -> Option<Wanted> {
    let reader = reader.filter(|_| !root.has(&config.local.aliases))?;
    let text = format!("postmaster: root\nabuse: root\nroot: {reader}\n");
    Some(Wanted::text(&config.local.aliases, text))
}

/// The line to add to aliases that are there.
pub(super) fn step(reader: &Option<String>, config: &Config, root: &Root, steps: &mut Vec<Step>) {
    let Some(reader) = reader.as_ref().filter(|_| !is_said(config, root)) else { return };
    let file = config.local.aliases.display().to_string();
    // On a line of its own, however the file ends.
    let (name, into) = (shell_word(Path::new(reader)), shell_word(&config.local.aliases));
    let command = format!("printf '\\nroot: %s\\n' {name} >> {into}");
    let what = said!(
        "{file} does not say who reads root's mail; so that {reader} does:",
        "{file} no dice quién lee el correo de root; para que lo lea {reader}:";
        file = file, reader = reader
    );
    let question = said!("Add that line now?", "¿Añadir ahora esa línea?");
    steps.insert(0, Step::new(what, [command]).proposed(question));
}

fn is_said(config: &Config, root: &Root) -> bool {
    let text = root.read(&config.local.aliases).ok().flatten().unwrap_or_default();
    text.lines().filter_map(|line| line.split_once(':')).any(|(name, _)| {
        !name.starts_with('#') && name.trim().trim_matches('"').eq_ignore_ascii_case("root")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readers_are_addresses_and_users() {
        for (text, is) in [
            ("ana", true),
            ("ana, luis@example.net", true),
            ("ana@example.net", true),
            ("", true),
            ("ana luis", false),
            ("|/bin/sh", false),
            ("ana@", false),
            ("/dev/null", false),
            (":include:/x", false),
            ("ana\nroot: x", false),
        ] {
            assert_eq!(is_reader(text), is, "{text:?}");
        }
    }
}
