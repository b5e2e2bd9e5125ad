//! Writes a configuration: the one in force, and the sample with its comments.

use std::fmt::Write as _;

use super::Config;
use super::keys::{Draft, KEYS, Key, KeyDefault, ROUTE_KEYS, SECTIONS};
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

const ROUTE: Text = Text::new(
    "A route for some of the mail: the first that matches.",
    "Una ruta para parte del correo: vale la primera que coincida.",
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
    out
}

fn routes(out: &mut String, config: &Config) {
    for route in &config.routes {
        out.push_str("\n[[route]]\n");
        for key in ROUTE_KEYS {
            let _ = writeln!(out, "{} = {}", key.name, (key.show)(route));
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
