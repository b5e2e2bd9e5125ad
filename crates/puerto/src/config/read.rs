//! Reads the file: walks the parsed text along the declarations, so that every
//! error is found in one go and points at its place, then checks what only several
//! keys together can say.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::PathBuf;

use puerto_smtp::Domain;
use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use super::errors::{ConfigError, ConfigErrors, nearest};
use super::keys::{Draft, KEYS, Key, KeyDefault, ROUTE_KEYS, RouteDraft, SECTIONS};
use super::value::Node;
use super::{
    Config, Delivery, Limits, Listen, Local, LogFormat, LogTarget, Login, Mailbox, Networks,
    QueueTimes, Route, Sender, TlsFiles, TlsLevel, host,
};
use crate::lang::{Language, Said, Text, said, said_of};

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

const WITH_TLS: Text =
    Text::new("\"opportunistic\" or \"required\"", "\"opportunistic\" o \"required\"");
const LIST: Text = Text::new("routes form a list", "las rutas forman una lista");
const NO_ROUTE: Text = Text::new("this is not a route", "esto no es una ruta");

/// The keys that make a login, by their paths.
struct LoginKeys {
    user: &'static str,
    password: &'static str,
    relay: &'static str,
    tls: &'static str,
}

#[derive(Default)]
struct Reader {
    errors: Vec<ConfigError>,
    places: Places,
    headers: Vec<(String, usize)>,
}

impl Reader {
    fn document(&mut self, table: &DeTable<'_>, draft: &mut Draft) {
        for (name, node) in table {
            let key: &str = name.get_ref();
            let is_section = SECTIONS.iter().any(|(section, _)| *section == key);
            match node.get_ref() {
                _ if key == "route" => self.routes(node, draft),
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
        let place = match section {
            "" => said!("before the first section", "antes de la primera sección"),
            section => said!("in [{section}]", "en [{section}]"; section = section),
        };
        let here = || keys.iter().filter(|key| key.section == section);
        if let Some(key) = KEYS.iter().find(|key| key.name == name)
            && key.section != section
        {
            return self.misplaced_key(key, section, span);
        }
        let near = nearest(name, here().map(|key| key.name));
        let far = nearest(name, keys.iter().map(|key| key.name));
        let far = far.and_then(|name| keys.iter().find(|key| key.name == name)).map(Key::path);
        let path = if section.is_empty() { name.to_owned() } else { format!("{section}.{name}") };
        let message = said_of!(
            "unknown key `{name}` {place}", "no existe la clave `{name}` {place}";
            name = Said::words(name), place = place
        );
        let mut error = ConfigError::new(span, message).about(path);
        error.nearest = near.map(str::to_owned).or(far);
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
                let first = if first == "route" { "[[route]]" } else { &*format!("[{first}]") };
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
        let section = if section == "route" { "[route]" } else { section };
        let (name, section) = (Said::words(key.name), Said::words(section));
        let parts = [("name", &name), ("section", &section), ("place", &place)];
        let message = Said::of_parts(message, &parts);
        let mut error = ConfigError::new(span, message).about(path);
        error.nearest = Some(key.path());
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
        error.nearest = nearest(name, names().chain(["route"])).map(|near| match near {
            "route" => "[[route]]".to_owned(),
            near => format!("[{near}]"),
        });
        self.errors.push(error.accepting(Said::words(format!("{}, [[route]]", known.join(", ")))));
    }

    fn routes(&mut self, node: &Node<'_>, draft: &mut Draft) {
        let accepted = Text::new(
            "a header `[[route]]`, with double brackets, for each route",
            "una cabecera `[[route]]`, con corchetes dobles, por cada ruta",
        );
        let DeValue::Array(routes) = node.get_ref() else {
            let error = ConfigError::new(node.span(), LIST).about("route");
            self.errors.push(error.accepting(accepted));
            return;
        };
        for node in routes.iter() {
            let DeValue::Table(table) = node.get_ref() else {
                let error = ConfigError::new(node.span(), NO_ROUTE).about("route");
                self.errors.push(error.accepting(accepted));
                continue;
            };
            let mut route = RouteDraft::default();
            let before = self.errors.len();
            // Where the keys of the route before stood says nothing of this one.
            self.places.retain(|path, _| !path.starts_with("route."));
            for item in table {
                self.entry(ROUTE_KEYS, "route", item, &mut route);
            }
            if self.errors.len() == before {
                self.route_relations(&route, node.span());
            }
            draft.routes.push(route);
        }
    }

    fn route_relations(&mut self, route: &RouteDraft, span: Range<usize>) {
        let mut complain = |key: &str, message: Text, accepted: Text| {
            let error = ConfigError::new(span.clone(), message).about(format!("route.{key}"));
            self.errors.push(error.accepting(accepted));
        };
        if route.to.is_none() && route.from.is_none() {
            let message = Text::new(
                "this route says neither whose mail it is for nor whose from",
                "esta ruta no dice ni para quién ni de quién es el correo",
            );
            let accepted = Text::new(
                "`to`, `from` or both; for all mail there is `relayhost`",
                "`to`, `from` o ambas; para todo el correo está `relayhost`",
            );
            complain("to", message, accepted);
        }
        let keys = LoginKeys {
            user: "route.user",
            password: "route.password_file",
            relay: "route.via",
            tls: "route.tls",
        };
        let level = route.tls.unwrap_or(TlsLevel::Required);
        let (user, password) = (route.user.is_some(), route.password_file.is_some());
        self.login(&keys, (user, password), route.via.is_some(), level);
    }

    // A user needs a password, a relay that knows it, and TLS to send it over.
    fn login(
        &mut self,
        keys: &LoginKeys,
        (user, password): (bool, bool),
        relay: bool,
        level: TlsLevel,
    ) {
        self.pair((keys.user, user), (keys.password, password));
        if !user || !password {
            return;
        }
        self.require(
            relay,
            keys.user,
            said!(
                "a user, but no relay to log in to",
                "hay usuario, pero ningún relay en el que identificarse"
            ),
            said!(
                "`{key}` with the relay that knows this user",
                "`{key}` con el relay que conoce a este usuario"; key = keys.relay
            ),
        );
        self.require(
            level != TlsLevel::None,
            keys.tls,
            said!("a password is never sent without TLS", "una contraseña nunca se envía sin TLS"),
            WITH_TLS.into(),
        );
    }

    fn relations(&mut self, draft: &Draft) {
        let config = &draft.config;
        let keys = LoginKeys {
            user: "relayhost_user",
            password: "relayhost_password_file",
            relay: "relayhost",
            tls: "delivery.tls",
        };
        let given = (draft.relayhost_user.is_some(), draft.relayhost_password_file.is_some());
        // A route without a level of its own has this one.
        let inherits = |route: &RouteDraft| route.user.is_some() && route.tls.is_none();
        let level = config.delivery.tls;
        self.login(&keys, given, config.relayhost.is_some(), level);
        self.require(
            level != TlsLevel::None || !draft.routes.iter().any(inherits),
            "delivery.tls",
            said!(
                "a route's password is never sent without TLS",
                "la contraseña de una ruta nunca se envía sin TLS"
            ),
            WITH_TLS.into(),
        );
        self.require(
            !config.trusted_networks.hold_the_internet(),
            "trusted_networks",
            said!(
                "together these networks hold so much of the Internet that this server would \
                 relay for strangers and be blocklisted within hours",
                "juntas, estas redes abarcan tanto de Internet que este servidor reenviaría \
                 correo de desconocidos y en unas horas estaría en las listas de bloqueo"
            ),
            said!(
                "your own networks; users elsewhere use AUTH",
                "sus propias redes; para los usuarios de fuera está AUTH"
            ),
        );
        self.pair(
            ("tls.certificate", draft.certificate.is_some()),
            ("tls.key", draft.key.is_some()),
        );
        self.require(
            config.listen.submissions.is_empty() || draft.certificate.is_some(),
            "listen.submissions",
            said!(
                "this listener speaks TLS from the first byte, but there is no certificate",
                "este puerto habla TLS desde el primer octeto, pero no hay certificado"
            ),
            said!(
                "[] until [tls] has `certificate` and `key`",
                "[] hasta que [tls] tenga `certificate` y `key`"
            ),
        );
        self.require(
            draft.domains.as_ref().is_none_or(|domains| !domains.is_empty()),
            "domains",
            said!(
                "the list is empty: bare names could not be completed",
                "la lista está vacía: los nombres sin dominio no se podrían completar"
            ),
            said!("at least one domain", "al menos un dominio"),
        );
        self.bounds(config);
    }

    fn bounds(&mut self, config: &Config) {
        let retry = &config.queue.retry;
        let second = std::time::Duration::from_secs(1);
        self.require(
            !retry.is_empty() && retry.iter().all(|wait| *wait >= second),
            "queue.retry",
            said!(
                "there must be a wait between attempts",
                "entre intentos tiene que haber una espera"
            ),
            said!(
                "at least one duration, none below \"1s\"",
                "al menos una duración, ninguna menor de \"1s\""
            ),
        );
        self.require(
            config.queue.expire >= second,
            "queue.expire",
            said!(
                "messages would be returned before the first attempt",
                "los mensajes se devolverían antes del primer intento"
            ),
            said!("a duration of at least \"1s\"", "una duración de al menos \"1s\""),
        );
        self.require(
            config.delivery.connect_timeout >= second,
            "delivery.connect_timeout",
            said!(
                "no connection could be opened in this time",
                "en ese tiempo no se podría abrir ninguna conexión"
            ),
            said!("a duration of at least \"1s\"", "una duración de al menos \"1s\""),
        );
        self.require(
            (1024..=1 << 40).contains(&config.limits.message_size),
            "limits.message_size",
            said!(
                "no message, or every message, would fit",
                "no cabría ningún mensaje, o cabría cualquiera"
            ),
            said!(
                "a size between \"1KiB\" and \"1024GiB\"",
                "un tamaño entre \"1KiB\" y \"1024GiB\""
            ),
        );
    }

    fn pair(&mut self, one: (&str, bool), other: (&str, bool)) {
        let ((present, _), (absent, _)) = match (one.1, other.1) {
            (true, false) => (one, other),
            (false, true) => (other, one),
            _ => return,
        };
        let message = said!(
            "`{present}` is set, but `{absent}` is not",
            "está `{present}`, pero falta `{absent}`"; present = present, absent = absent
        );
        let accepted = said!(
            "both `{present}` and `{absent}`, or neither",
            "`{present}` y `{absent}`, las dos o ninguna"; present = present, absent = absent
        );
        self.require(false, present, message, accepted);
    }

    fn require(&mut self, holds: bool, key: &str, message: Said, accepted: Said) {
        if !holds {
            let span = self.places.get(key).cloned().unwrap_or(0..0);
            self.errors.push(ConfigError::new(span, message).about(key).accepting(accepted));
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
    let mut draft = blank();
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
    config.tls =
        draft.certificate.zip(draft.key).map(|(certificate, key)| TlsFiles { certificate, key });
    config.delivery.helo = draft.helo.unwrap_or_else(|| hostname.clone());
    config.hostname = hostname;
    config.domains = domains;
    config
}

fn finish_route(route: RouteDraft, tls: TlsLevel) -> Route {
    Route {
        to: route.to,
        from: route.from,
        via: route.via,
        login: login(route.user, route.password_file),
        tls: route.tls.unwrap_or(tls),
    }
}

fn login(user: Option<String>, password_file: Option<PathBuf>) -> Option<Login> {
    user.zip(password_file).map(|(user, password_file)| Login { user, password_file })
}

// What each field is before the declarations fill it.
fn blank() -> Draft {
    let config = Config {
        hostname: String::new(),
        domains: Vec::new(),
        origin: None,
        sender: Sender::default(),
        relayhost: None,
        relayhost_login: None,
        trusted_networks: Networks::default(),
        state_dir: PathBuf::new(),
        run_dir: PathBuf::new(),
        user: String::new(),
        language: Language::English,
        log: LogFormat::Postfix,
        log_to: LogTarget::Auto,
        listen: Listen::default(),
        tls: None,
        dns_servers: Vec::new(),
        dkim_directory: PathBuf::new(),
        delivery: Delivery {
            port: 0,
            connect_timeout: std::time::Duration::ZERO,
            tls: TlsLevel::Opportunistic,
            bind_ipv4: None,
            bind_ipv6: None,
            helo: String::new(),
            concurrency: 0,
            allow_private: false,
        },
        queue: QueueTimes {
            retry: Vec::new(),
            expire: std::time::Duration::ZERO,
            warn_after: std::time::Duration::ZERO,
        },
        local: Local { mailbox: Mailbox::Mbox, mailbox_size: 0, aliases: PathBuf::new() },
        limits: Limits {
            message_size: 0,
            recipients: 0,
            recipients_from_strangers: 0,
            connections: 0,
            connections_from_one_client: 0,
        },
        routes: Vec::new(),
    };
    Draft {
        config,
        routes: Vec::new(),
        hostname: None,
        domains: None,
        relayhost_user: None,
        relayhost_password_file: None,
        certificate: None,
        key: None,
        helo: None,
    }
}
