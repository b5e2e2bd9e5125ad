//! The aliases file, in the form that sendmail and Postfix read: `name: target,
//! target`, with comments, and with lines that go on when the next begins with white
//! space.

use std::collections::HashMap;

use puerto_smtp::Address;

use crate::lang::{Said, address_error, said, said_of};

/// Octets of the file at most: more is a mistake, or somebody's attack on memory.
const FILE_BOUND: usize = 16 << 20;

/// Where mail for an alias goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Target {
    /// A local name, itself perhaps an alias.
    Name(String),
    /// `\name`: a user, whatever aliases there are.
    User(String),
    /// An address with a domain.
    Address(Address),
    /// Something that this server does not do, such as a program.
    Unsupported(Said),
}

/// All aliases, by name in lower case.
#[derive(Debug, Default)]
pub(super) struct Aliases {
    by_name: HashMap<String, Vec<Target>>,
    /// What is wrong with the file, with line numbers.
    pub(super) warnings: Vec<Said>,
}

impl Aliases {
    /// Reads a file's text. What cannot be understood is passed over with a warning.
    pub(super) fn parse(text: &str) -> Self {
        let mut aliases = Self::default();
        if text.len() > FILE_BOUND {
            aliases.warnings.push(said!(
                "the file is larger than 16 MiB and is not used",
                "el fichero ocupa más de 16 MiB y no se usa"
            ));
            return aliases;
        }
        for (number, line) in logical_lines(text) {
            aliases.entry(number, &line);
        }
        aliases
    }

    fn entry(&mut self, number: usize, line: &str) {
        let Some((name, value)) = split_name(line) else {
            let text = said!(
                "there is no colon after the name: write `name: target`",
                "faltan los dos puntos tras el nombre: escriba `nombre: destino`"
            );
            self.warn(number, &text);
            return;
        };
        let targets: Vec<Target> = split_targets(value).iter().filter_map(|t| target(t)).collect();
        for target in &targets {
            if let Target::Unsupported(what) = target {
                let name = Said::words(&*name);
                self.warn(
                    number,
                    &said_of!("`{name}`: {what}", "`{name}`: {what}"; name = name, what = what),
                );
            }
        }
        if targets.is_empty() {
            let text = said!("`{name}` has no targets", "`{name}` no tiene destinos"; name = name);
            self.warn(number, &text);
            return;
        }
        if self.by_name.insert(name.to_lowercase(), targets).is_some() {
            let text = said!(
                "`{name}` stands here for the second time: this one holds",
                "`{name}` aparece aquí por segunda vez: vale esta"; name = name
            );
            self.warn(number, &text);
        }
    }

    fn warn(&mut self, line: usize, text: &Said) {
        let line = Said::words(line.to_string());
        self.warnings.push(said_of!(
            "line {line}: {text}", "línea {line}: {text}"; line = line, text = text
        ));
    }

    /// The targets of a name, without regard to case.
    pub(super) fn get(&self, name: &str) -> Option<&[Target]> {
        self.by_name.get(&name.to_lowercase()).map(Vec::as_slice)
    }
}

// A line and those after it that begin with white space, with the first one's number.
fn logical_lines(text: &str) -> Vec<(usize, String)> {
    let mut lines: Vec<(usize, String)> = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let continues = line.starts_with([' ', '\t']);
        let content = line.trim();
        if content.is_empty() || content.starts_with('#') {
            continue;
        }
        match lines.last_mut() {
            Some((_, previous)) if continues => {
                previous.push(' ');
                previous.push_str(content);
            }
            _ => lines.push((index + 1, content.to_owned())),
        }
    }
    lines
}

fn split_name(line: &str) -> Option<(String, &str)> {
    let colon = outside_quotes(line, ':').next()?;
    let name = unquote(line.get(..colon)?.trim());
    (!name.is_empty()).then_some((name, line.get(colon + 1..)?))
}

fn split_targets(value: &str) -> Vec<&str> {
    let mut targets = Vec::new();
    let mut start = 0;
    for comma in outside_quotes(value, ',').chain([value.len()]) {
        targets.push(value.get(start..comma).unwrap_or_default().trim());
        start = comma + 1;
    }
    targets
}

fn outside_quotes(text: &str, wanted: char) -> impl Iterator<Item = usize> {
    let (mut quoted, mut escaped) = (false, false);
    text.char_indices().filter_map(move |(index, character)| {
        match character {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            found if found == wanted && !quoted => return Some(index),
            _ => {}
        }
        None
    })
}

fn unquote(text: &str) -> String {
    match text.strip_prefix('"').and_then(|text| text.strip_suffix('"')) {
        Some(inner) => inner.replace("\\\"", "\"").replace("\\\\", "\\"),
        None => text.to_owned(),
    }
}

fn target(written: &str) -> Option<Target> {
    if written.is_empty() {
        return None;
    }
    if let Ok(address) = Address::parse(written) {
        return Some(Target::Address(address));
    }
    let bare = unquote(written);
    let unsupported = |what: Said| {
        let bare = Said::words(&*bare);
        Some(Target::Unsupported(
            said_of!("`{bare}`: {what}", "`{bare}`: {what}"; bare = bare, what = what),
        ))
    };
    match bare.chars().next() {
        Some('|') => unsupported(said!(
            "mail is never handed to a program",
            "el correo nunca se entrega a un programa"
        )),
        Some('/') => unsupported(said!(
            "mail is not appended to files: name a user",
            "el correo no se añade a ficheros: indique un usuario"
        )),
        Some(':') => unsupported(said!(
            "included files are not read: list the members here",
            "los ficheros incluidos no se leen: enumere aquí a los miembros"
        )),
        Some('\\') => bare.strip_prefix('\\').map(|name| Target::User(name.to_lowercase())),
        _ if bare.contains('@') => match Address::parse(&bare) {
            Ok(address) => Some(Target::Address(address)),
            Err(error) => unsupported(address_error(&error)),
        },
        _ => Some(Target::Name(bare.to_lowercase())),
    }
}

/// What in the text of an aliases file cannot be understood, with line numbers: for
/// `newaliases`, which has nothing else to do.
pub fn alias_warnings(text: &str) -> Vec<Said> {
    Aliases::parse(text).warnings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_of_sendmail_is_read() {
        let aliases = Aliases::parse(
            "# comment\n\
             Postmaster: root\n\
             root:ana, \"b c\"@example.net ,\n\t luis@example.org # not a comment\n\
             \"the office\": \\ana\n\
             \n   \n\
             list : a,b,,c\n",
        );
        let name = |n: &str| Target::Name(n.into());
        let address = |a: &str| Target::Address(Address::parse(a).unwrap());
        assert_eq!(aliases.get("POSTMASTER"), Some(&[name("root")][..]));
        assert_eq!(aliases.get("the office"), Some(&[Target::User("ana".into())][..]));
        assert_eq!(aliases.get("list"), Some(&[name("a"), name("b"), name("c")][..]));
        let root = aliases.get("root").unwrap();
        assert_eq!(root[..2], [name("ana"), address("\"b c\"@example.net")]);
        assert!(matches!(root[2], Target::Unsupported(_)), "an address with junk behind it");
        assert_eq!(aliases.get("nobody"), None);
    }

    #[test]
    fn what_is_not_done_is_told_with_its_line() {
        let aliases = Aliases::parse(
            "a: \"|/usr/bin/vacation, x\"\nb: /var/mail/archive\nc: :include:/etc/list\n\
             d\ne:\na: ana\n",
        );
        for name in ["b", "c"] {
            assert!(matches!(aliases.get(name).unwrap(), [Target::Unsupported(_)]), "{name}");
        }
        let told: Vec<String> = aliases.warnings.iter().map(ToString::to_string).collect();
        let told = told.join("\n");
        for part in [
            "line 1: `a`: `|/usr/bin/vacation, x`: mail is never handed to a program",
            "line 2: `b`",
            "line 3: `c`",
            "line 4: there is no colon",
            "line 5: `e` has no targets",
            "line 6: `a` stands here for the second time",
        ] {
            assert!(told.contains(part), "{part} in\n{told}");
        }
    }
}
