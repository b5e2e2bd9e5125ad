//! Writes a configuration: the one in force, and the sample with its comments.

use std::fmt::Write as _;

use super::Config;
use super::keys::{Draft, KEYS, Key, KeyDefault, ROUTE_KEYS, SECTIONS, SOURCE_KEYS};
use super::restart::from_a_start;
use crate::lang::{Language, Text};

/// The configuration as a file that reads back to it. Passwords are not in it: it
/// names the files that hold them.
pub(super) fn effective(config: &Config) -> String {
    let mut out = String::new();
    for (section, _) in SECTIONS {
        header(&mut out, section);
        for key in KEYS.iter().filter(|key| key.section == *section) {
            let _ = writeln!(out, "{} = {}", key.name, (key.show)(config));
        }
    }
    routes(&mut out, config);
    out
}

/// A file of comments: every key with its default and what it is for.
pub(super) fn sample(language: Language) -> String {
    commented(language, |_| None)
}

/// The same, in which what a configuration sets is written instead of its default.
/// The names of the machine are always written, so that it keeps them when the
/// machine is renamed.
pub(super) fn annotated(config: &Config, language: Language) -> String {
    let plain = Config::with_defaults(config.hostname.clone());
    let mut out = commented(language, |key| {
        let own = key.section.is_empty() && matches!(key.default, KeyDefault::Computed(..));
        let value = (key.show)(config);
        (own || value != (key.show)(&plain)).then_some(value)
    });
    routes(&mut out, config);
    out
}

/// Every key as a page in Markdown, a table for each section.
pub(super) fn document(language: Language) -> String {
    let made = MADE.with(language, &[("start", &from_a_start())]);
    let mut out = format!("# {}\n\n{made}\n", TITLE.of(language));
    for (section, about) in SECTIONS {
        let keys = KEYS.iter().filter(|key| key.section == *section);
        table(&mut out, section, about.of(language), keys, language);
    }
    table(&mut out, "[route]", ROUTE.of(language), ROUTE_KEYS.iter(), language);
    table(&mut out, "[source]", SOURCE.of(language), SOURCE_KEYS.iter(), language);
    out
}

const TITLE: Text = Text::new("Configuration keys", "Claves de la configuración");
const MADE: Text = Text::new(
    "Made by `puerto config sample --document` from the declarations that the program reads. The \
     file is `/etc/puerto/puerto.toml`; `puerto config check` says what is wrong with it, and \
     `puerto config show` what holds. An empty file is right. A reload (`systemctl reload puerto`) \
     takes changes over, but for those of {start}: they hold from the next start, and the log \
     says so.",
    "Página hecha por `puerto config sample --document` a partir de las declaraciones que lee el \
     programa. El fichero es `/etc/puerto/puerto.toml`; `puerto config check` dice qué está mal en \
     él, y `puerto config show`, qué vale. Un fichero vacío es correcto. Al recargar (`systemctl \
     reload puerto`) valen los cambios, salvo los de {start}: esos valen desde el próximo inicio, y \
     el registro lo dice.",
);
const HEADINGS: Text =
    Text::new("| key | default | what it is |", "| clave | por defecto | qué es |");

fn table<D: 'static, C: 'static>(
    out: &mut String,
    section: &str,
    about: &str,
    keys: impl Iterator<Item = &'static Key<D, C>>,
    language: Language,
) {
    if !section.is_empty() {
        let _ = write!(out, "\n## `[{section}]`\n\n{}\n", cell(about));
    }
    let _ = write!(out, "\n{}\n| --- | --- | --- |\n", HEADINGS.of(language));
    for Key { name, doc, accepts, default, .. } in keys {
        let default = match default {
            KeyDefault::Written(value) => format!("`{value}`"),
            KeyDefault::Computed(_, source) => source.of(language).to_owned(),
        };
        let [doc, accepts, accepted] = [*doc, *accepts, ACCEPTED].map(|text| text.of(language));
        let what = format!("{doc} {accepted}: {accepts}.");
        let _ = writeln!(out, "| `{name}` | {} | {} |", cell(&default), cell(&what));
    }
}

// Markdown takes these for marks of its own, but for `|` not in backquotes.
fn cell(text: &str) -> String {
    let mut is_code = false;
    let mut out = String::new();
    for character in text.chars() {
        is_code ^= character == '`';
        match character {
            '|' => out.push_str("\\|"),
            '*' | '<' | '[' | ']' if !is_code => out.extend(['\\', character]),
            _ => out.push(character),
        }
    }
    out
}

const ROUTE: Text = Text::new(
    "A route for some of the mail: the first that matches.",
    "Una ruta para parte del correo: vale la primera que coincida.",
);
const SOURCE: Text = Text::new(
    "An address that mail leaves from, where there are several; none: those of [delivery].",
    "Una dirección desde la que sale el correo, si hay varias; si no hay ninguna, las de [delivery].",
);
const ACCEPTED: Text = Text::new("Accepted", "Se admite");
const DEFAULT: Text = Text::new("default", "por defecto");

fn commented(language: Language, set: impl Fn(&Key<Draft, Config>) -> Option<String>) -> String {
    let mut out = String::new();
    for (section, about) in SECTIONS {
        header(&mut out, section);
        let _ = writeln!(out, "# {}", about.of(language));
        for key in KEYS.iter().filter(|key| key.section == *section) {
            entry(&mut out, key, set(key), language);
        }
    }
    let _ = writeln!(out, "\n# {}\n#[[route]]", ROUTE.of(language));
    for key in ROUTE_KEYS {
        entry(&mut out, key, None, language);
    }
    let _ = writeln!(out, "\n# {}\n#[[source]]", SOURCE.of(language));
    for key in SOURCE_KEYS {
        entry(&mut out, key, None, language);
    }
    out
}

fn routes(out: &mut String, config: &Config) {
    for route in &config.routes {
        out.push_str("\n[[route]]\n");
        for key in ROUTE_KEYS {
            let _ = writeln!(out, "{} = {}", key.name, (key.show)(route));
        }
    }
    for source in &config.sources {
        out.push_str("\n[[source]]\n");
        for key in SOURCE_KEYS {
            let _ = writeln!(out, "{} = {}", key.name, (key.show)(source));
        }
    }
}

fn header(out: &mut String, section: &str) {
    if !section.is_empty() {
        let _ = writeln!(out, "\n[{section}]");
    }
}

fn entry<D, C>(out: &mut String, key: &Key<D, C>, set: Option<String>, language: Language) {
    let Key { name, doc, accepts, .. } = key;
    let [doc, accepts, accepted, default] =
        [*doc, *accepts, ACCEPTED, DEFAULT].map(|text| text.of(language));
    let _ = write!(out, "\n# {doc}\n# {accepted}: {accepts}.\n");
    if let Some(value) = set {
        let _ = writeln!(out, "{name} = {value}");
        return;
    }
    let (value, note) = match key.default {
        KeyDefault::Written(value) => (value, String::new()),
        KeyDefault::Computed(example, source) => {
            (example, format!("   # {default}: {}", source.of(language)))
        }
    };
    let _ = writeln!(out, "#{name} = {value}{note}");
}
