//! Reads the file: walks the parsed text along the declarations, so that every
//! error is found in one go and points at its place, then checks what only several
//! keys together can say.

mod addresses;
pub(super) mod profiles;
mod relations;

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::PathBuf;

use puerto_smtp::Domain;
use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use super::errors::{ConfigError, ConfigErrors, nearest, nearest_by};
use super::keys::{
    Draft, KEYS, Key, KeyDefault, ROUTE_KEYS, RouteDraft, SECTIONS, SOURCE_KEYS, SourceDraft,
};
use super::source::USUAL_PLAN;
use super::value::{self, Node};
use super::{Acme, Config, Login, Route, Source, TlsFiles, TlsLevel, host};
use crate::lang::{Said, Text, said, said_of};

/// Where each key stood that the file names.
type Places = BTreeMap<String, Range<usize>>;

/// A key and its value as they stand in the file.
type Item<'i, 'a> = (&'i Spanned<DeString<'a>>, &'i Node<'a>);

pub(super) fn parse(text: &str, file: &str) -> Result<Config, ConfigErrors> {
    let (table, broken) = DeTable::parse_recoverable(text);
    let mut reader = Reader { headers: headers(table.get_ref(), text), ..Reader::default() };
    let mut draft = defaults();
    reader.document(table.get_ref(), &mut draft);
    let syntax: Vec<ConfigError> = broken.iter().map(|error| syntax_error(text, error)).collect();
    if !syntax.is_empty() {
        // What the parser made of a broken line is not what its author meant.
        let line = |offset: usize| text.get(..offset).map(|t| t.matches('\n').count());
        reader.errors.retain(|error| {
            !syntax.iter().any(|broken| line(broken.span.start) == line(error.span.start))
        });
        reader.errors.extend(syntax);
    } else {
        reader.relations(&draft);
    }
    if reader.errors.is_empty() {
        Ok(finish(draft))
    } else {
        Err(ConfigErrors::new(file, text, reader.errors))
    }
}

/// What can be read of a text that has errors, defaults for the rest. What a broken line
/// swallowed is looked for on a line of its own.
pub(super) fn salvage(text: &str) -> Config {
    let (table, _) = DeTable::parse_recoverable(text);
    let mut reader = Reader::default();
    let mut draft = defaults();
    reader.document(table.get_ref(), &mut draft);
    let is_run_dir = |line: &&str| {
        line.trim_start()
            .strip_prefix("run_dir")
            .is_some_and(|rest| rest.trim_start().starts_with('='))
    };
    if let Some(line) = text.lines().find(is_run_dir) {
        let (table, broken) = DeTable::parse_recoverable(line);
        if broken.is_empty() {
            reader.document(table.get_ref(), &mut draft);
        }
    }
    finish(draft)
}

/// The sections that have a header, with its line, in the order of the file.
fn headers(table: &DeTable<'_>, text: &str) -> Vec<(String, usize)> {
    let mut found: Vec<(String, usize)> = Vec::new();
    for (name, _) in table {
        let before = text.get(..name.span().start).unwrap_or_default();
        let line = before.rsplit('\n').next().unwrap_or_default();
        if line.trim_start().starts_with('[') {
            let name: &str = name.get_ref();
            found.push((name.to_owned(), before.matches('\n').count() + 1));
        }
    }
    found.sort_by_key(|(_, line)| *line);
    found
}

fn syntax_error(text: &str, error: &toml::de::Error) -> ConfigError {
    let span = error.span().unwrap_or(text.len()..text.len());
    ConfigError::new(span, super::syntax::wrong(error.message())).accepting(said!(
        "lines of the form `key = value`, under headers like `[delivery]`",
        "líneas de la forma `clave = valor`, bajo cabeceras como `[delivery]`"
    ))
}

const LIST: Text = Text::new("routes form a list", "las rutas forman una lista");
const SOURCES: Text = Text::new("sources form a list", "las fuentes forman una lista");
const NO_SOURCE: Text = Text::new("this is not a source", "esto no es una fuente");
const NO_ROUTE: Text = Text::new("this is not a route", "esto no es una ruta");

#[derive(Default)]
struct Reader {
    errors: Vec<ConfigError>,
    places: Places,
    headers: Vec<(String, usize)>,
    /// The file is no configuration: it has none of its sections.
    stands_apart: bool,
}

impl Reader {
    fn document(&mut self, table: &DeTable<'_>, draft: &mut Draft) {
        for (name, node) in table {
            let key: &str = name.get_ref();
            let is_section = SECTIONS.iter().any(|(section, _)| *section == key);
            match node.get_ref() {
                _ if key == "route" => self.routes(node, draft),
                _ if key == "source" => self.sources(node, draft),
                DeValue::Table(inner) if is_section => self.section(key, inner, draft),
                _ if is_section => self.errors.push(
                    ConfigError::new(
                        name.span(),
                        said!("`{key}` is a section", "`{key}` es una sección"; key = key),
                    )
                    .about(key)
                    .accepting(said!(
                        "a header `[{key}]` with its keys below",
                        "una cabecera `[{key}]` con sus claves debajo"; key = key
                    )),
                ),
                DeValue::Table(_)
                    if !KEYS.iter().any(|k| k.section.is_empty() && k.name == key) =>
                {
                    self.unknown_section(key, name.span());
                }
                _ => self.entry(KEYS, "", (name, node), draft),
            }
        }
    }

    fn section(&mut self, section: &str, table: &DeTable<'_>, draft: &mut Draft) {
        for item in table {
            self.entry(KEYS, section, item, draft);
        }
    }

    fn entry<D, C>(
        &mut self,
        keys: &'static [Key<D, C>],
        section: &str,
        (name, node): Item<'_, '_>,
        draft: &mut D,
    ) {
        let (name, span): (&str, _) = (name.get_ref(), name.span());
        let Some(key) = keys.iter().find(|key| key.section == section && key.name == name) else {
            self.unknown_key(keys, section, name, span);
            return;
        };
        self.places.insert(key.path(), node.span());
        for wrong in (key.set)(draft, node).err().unwrap_or_default() {
            let error = ConfigError::new(wrong.span, wrong.message).about(key.path());
            self.errors.push(error.accepting(key.accepts));
        }
    }

    fn unknown_key<D, C>(
        &mut self,
        keys: &'static [Key<D, C>],
        section: &str,
        name: &str,
        span: Range<usize>,
    ) {
        let place_of = |section: &str| match section {
            "" => said!("before the first section", "antes de la primera sección"),
            section => said!("in [{section}]", "en [{section}]"; section = section),
        };
        let place = place_of(section);
        let here = || keys.iter().filter(|key| key.section == section);
        let near = nearest_by(name, here().map(|key| key.name));
        let elsewhere = KEYS.iter().find(|key| key.name == name && key.section != section);
        let elsewhere = elsewhere.filter(|_| !self.stands_apart);
        // A letter too much or too few is the likelier slip than another section.
        let is_slip = near.is_some_and(|(distance, _)| distance <= 1);
        if let Some(key) = elsewhere.filter(|_| !is_slip) {
            return self.misplaced_key(key, section, span);
        }
        let far = nearest_by(name, keys.iter().map(|key| key.name));
        let far = far.filter(|(far, _)| !is_slip && near.is_none_or(|(near, _)| far < &near));
        let far = far.and_then(|(_, name)| keys.iter().find(|key| key.name == name));
        let path = if section.is_empty() { name.to_owned() } else { format!("{section}.{name}") };
        let (name_said, elsewhere) = (Said::words(name), elsewhere.filter(|_| is_slip));
        let message = match elsewhere {
            Some(key) => said_of!(
                "unknown key `{name}` {place}; there is one {other}",
                "no existe la clave `{name}` {place}; hay una {other}";
                name = name_said, place = place, other = place_of(key.section)
            ),
            None => said_of!(
                "unknown key `{name}` {place}", "no existe la clave `{name}` {place}";
                name = name_said, place = place
            ),
        };
        let mut error = ConfigError::new(span, message).about(path);
        error.nearest = far.map(Key::path).or(near.map(|(_, name)| name.to_owned()));
        let names: Vec<&str> = here().map(|key| key.name).collect();
        let names = Said::words(names.join(", "));
        let accepted =
            said_of!("{place}: {names}", "{place}: {names}"; place = place, names = names);
        self.errors.push(error.accepting(accepted));
    }

    // Behind a header, all that follows belongs to its section.
    fn misplaced_key(&mut self, key: &Key<Draft, Config>, section: &str, span: Range<usize>) {
        let own = self.headers.iter().find(|(name, _)| name == key.section);
        let place = match (key.section, own, self.headers.first()) {
            ("", _, Some((first, line))) => {
                let is_list = matches!(first.as_str(), "route" | "source");
                let first = if is_list { format!("[[{first}]]") } else { format!("[{first}]") };
                said!(
                    "move it up, above line {line} with the first header, `{header}`",
                    "muévala arriba, encima de la línea {line}, donde está la primera cabecera, `{header}`";
                    line = line, header = first
                )
            }
            (_, Some((own, line)), _) => said!(
                "move it below the header `[{own}]` in line {line}",
                "muévala debajo de la cabecera `[{own}]`, en la línea {line}";
                own = own, line = line
            ),
            (own, None, _) => said!(
                "write a header `[{own}]` at the end of the file, and move it below that",
                "escriba una cabecera `[{own}]` al final del fichero y muévala debajo";
                own = own
            ),
        };
        let (message, path) = match section {
            "" => (
                Text::new(
                    "unknown key `{name}` before the first section: {place}",
                    "no existe la clave `{name}` antes de la primera sección: {place}",
                ),
                key.name.to_owned(),
            ),
            _ => (
                Text::new(
                    "unknown key `{name}` in [{section}]: {place}",
                    "no existe la clave `{name}` en [{section}]: {place}",
                ),
                format!("{section}.{}", key.name),
            ),
        };
        let section = match section {
            "route" => "[route]",
            "source" => "[source]",
            section => section,
        };
        let (name, section) = (Said::words(key.name), Said::words(section));
        let parts = [("name", &name), ("section", &section), ("place", &place)];
        let message = Said::of_parts(message, &parts);
        let mut error = ConfigError::new(span, message).about(path);
        // Its own name would help nobody.
        error.nearest = Some(key.path()).filter(|path| path != key.name);
        self.errors.push(error.accepting(key.accepts));
    }

    fn unknown_section(&mut self, name: &str, span: Range<usize>) {
        let names = || SECTIONS.iter().map(|(name, _)| *name).filter(|name| !name.is_empty());
        let known: Vec<String> = names().map(|name| format!("[{name}]")).collect();
        let mut error = ConfigError::new(
            span,
            said!(
                "unknown section `[{name}]`", "no existe la sección `[{name}]`"; name = name
            ),
        )
        .about(name);
        error.nearest = nearest(name, names().chain(["route", "source"])).map(|near| match near {
            "route" | "source" => format!("[[{near}]]"),
            near => format!("[{near}]"),
        });
        self.errors.push(
            error.accepting(Said::words(format!("{}, [[route]], [[source]]", known.join(", ")))),
        );
    }

    fn routes(&mut self, node: &Node<'_>, draft: &mut Draft) {
        const ACCEPTED: Text = Text::new(
            "a header `[[route]]`, with double brackets, for each route",
            "una cabecera `[[route]]`, con corchetes dobles, por cada ruta",
        );
        let said = [LIST, NO_ROUTE, ACCEPTED];
        self.tables(("route", ROUTE_KEYS), node, said, |reader, route: RouteDraft, span, right| {
            if right {
                reader.route_relations(&route, span);
            }
            draft.routes.push(route);
        });
    }

    fn sources(&mut self, node: &Node<'_>, draft: &mut Draft) {
        const ACCEPTED: Text = Text::new(
            "a header `[[source]]`, with double brackets, for each source",
            "una cabecera `[[source]]`, con corchetes dobles, por cada fuente",
        );
        let said = [SOURCES, NO_SOURCE, ACCEPTED];
        self.tables(
            ("source", SOURCE_KEYS),
            node,
            said,
            |reader, source: SourceDraft, span, right| {
                if right {
                    reader.source_relations(&source, &draft.sources, span);
                }
                draft.sources.push(source);
            },
        );
    }

    // Each table of a list, with where it stands and whether all of its keys are right.
    fn tables<D: Default, C>(
        &mut self,
        (section, keys): (&'static str, &'static [Key<D, C>]),
        node: &Node<'_>,
        [no_list, no_table, accepted]: [Text; 3],
        mut take: impl FnMut(&mut Self, D, Range<usize>, bool),
    ) {
        let DeValue::Array(tables) = node.get_ref() else {
            let error = ConfigError::new(node.span(), no_list).about(section);
            self.errors.push(error.accepting(accepted));
            return;
        };
        for node in tables.iter() {
            let DeValue::Table(table) = node.get_ref() else {
                let error = ConfigError::new(node.span(), no_table).about(section);
                self.errors.push(error.accepting(accepted));
                continue;
            };
            let mut draft = D::default();
            let before = self.errors.len();
            // Where the keys of the one before stood says nothing of this one.
            self.places.retain(|path, _| path.split_once('.').is_none_or(|(of, _)| of != section));
            for item in table {
                self.entry(keys, section, item, &mut draft);
            }
            take(self, draft, node.span(), self.errors.len() == before);
        }
    }
}

/// What an empty file gives on a machine of this name.
pub(super) fn with_defaults(hostname: String) -> Config {
    let mut draft = defaults();
    draft.hostname = Some(hostname);
    finish(draft)
}

/// A draft in which every key has its default, read from its declaration.
fn defaults() -> Draft {
    let mut draft = Draft::default();
    for key in KEYS {
        if let KeyDefault::Written(text) = key.default
            && let Ok(node) = DeValue::parse(text)
        {
            // A test reads them all, so that none of these can fail.
            let _ = (key.set)(&mut draft, &node);
        }
    }
    draft
}

fn finish(draft: Draft) -> Config {
    let hostname = draft.hostname.unwrap_or_else(host::machine_name);
    let domains = draft.domains.unwrap_or_else(|| {
        let named = host::mail_name().or_else(|| Domain::parse(&hostname).ok());
        named.into_iter().collect()
    });
    let mut config = draft.config;
    let tls = config.delivery.tls;
    config.routes = draft.routes.into_iter().map(|route| finish_route(route, tls)).collect();
    config.relayhost_login = login(draft.relayhost_user, draft.relayhost_password_file);
    config.rescue.login = login(draft.rescue_user, draft.rescue_password_file);
    config.tls =
        draft.certificate.zip(draft.key).map(|(certificate, key)| TlsFiles { certificate, key });
    if config.acme.is_on() {
        config.tls = Some(Acme::files(&config.state_dir));
    }
    config.mta_sts.mx = draft.policy_mx.unwrap_or_else(|| vec![hostname.clone()]);
    let acme = &mut config.acme;
    acme.names = draft.acme_names.unwrap_or_else(|| {
        // Those that policies are served at, too.
        let with_policy = domains.iter().filter(|_| config.mta_sts.mode.is_some());
        let names = with_policy.filter_map(|domain| idna::domain_to_ascii(domain.name()?).ok());
        let names = names.map(|name| format!("mta-sts.{name}"));
        std::iter::once(hostname.clone()).chain(names).collect()
    });
    acme.listen = draft.acme_listen.unwrap_or_else(|| acme.challenge.places());
    config.delivery.helo = draft.helo.unwrap_or_else(|| hostname.clone());
    let helo = &config.delivery.helo;
    config.sources = draft.sources.into_iter().map(|source| finish_source(source, helo)).collect();
    config.store.node = draft.node.unwrap_or_else(|| hostname.clone());
    config.pickup.directory =
        draft.pickup_directory.unwrap_or_else(|| Some(drop_folders(&config.state_dir)));
    config.hostname = hostname;
    config.domains = domains;
    config
}

// Beside the queue, which nobody but the service may look into: each instance has its own.
fn drop_folders(state_dir: &std::path::Path) -> PathBuf {
    let mut path = state_dir.as_os_str().to_owned();
    path.push("-drop");
    path.into()
}

fn finish_route(route: RouteDraft, tls: TlsLevel) -> Route {
    Route {
        to: route.to,
        from: route.from,
        via: route.via,
        login: login(route.user, route.password_file),
        tls: route.tls.unwrap_or(tls),
        verp: route.verp,
    }
}

fn finish_source(source: SourceDraft, helo: &str) -> Source {
    let usual = || {
        let read = DeValue::parse(USUAL_PLAN).map(|plan| value::list(&plan, value::per_day));
        read.ok().and_then(Result::ok).unwrap_or_default()
    };
    Source {
        name: source.name.unwrap_or_default(),
        ipv4: source.ipv4,
        ipv6: source.ipv6,
        helo: source.helo.unwrap_or_else(|| helo.to_owned()),
        weight: source.weight.and_then(|weight| u32::try_from(weight).ok()).unwrap_or(1),
        from: source.from,
        accounts: source.accounts,
        begins: source.begins.flatten(),
        plan: source.plan.unwrap_or_else(usual),
    }
}

fn login(user: Option<String>, password_file: Option<PathBuf>) -> Option<Login> {
    user.zip(password_file).map(|(user, password_file)| Login { user, password_file })
}
