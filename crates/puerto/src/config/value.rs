//! Reads one value of the file: its type, its form, its bounds. Each reader says
//! what is wrong and where; what is accepted stands in the key's declaration.

use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use std::path::PathBuf;
use std::time::Duration;

use puerto_mail::idn::in_ascii;
use puerto_smtp::{Address, Domain, LocalPart, Verp};
use toml::Spanned;
use toml::de::DeValue;

use super::addresses::{self, Destination, Destinations, Inhabitant, NamedIn};
use super::measure::{parse_duration, parse_rate, parse_size};
use super::sender::{self, Known, Masquerade, Who};
use super::{
    AddressPattern, Cap, Challenge, DomainPattern, Downgrade, LogFormat, LogTarget, Mailbox,
    Network, NextHop, OriginHeader, Otherwise, PolicyMode, TlsLevel,
};
use crate::lang::{Language, Said, Text, address_error, said, said_of};
use crate::providers::Rate;

pub(super) use super::measure::{show_duration, show_rate, show_size};

/// A value as it stands in the file.
pub(super) type Node<'a> = Spanned<DeValue<'a>>;

/// Why a value cannot be, and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wrong {
    /// Its place in the file, in octets.
    pub(super) span: Range<usize>,
    /// What is wrong.
    pub(super) message: Said,
}

/// What reading a value gives: all that is wrong with it, not the first alone.
pub(super) type Read<T> = Result<T, Vec<Wrong>>;

/// Keeps a value that could be read.
pub(super) fn store<T>(slot: &mut T, read: Read<T>) -> Read<()> {
    *slot = read?;
    Ok(())
}

pub(super) fn text(node: &Node<'_>) -> Read<String> {
    match node.get_ref() {
        DeValue::String(text) => Ok(text.to_string()),
        other => needed(node, TEXT_IN_QUOTES, other),
    }
}

pub(super) fn flag(node: &Node<'_>) -> Read<bool> {
    match node.get_ref() {
        DeValue::Boolean(value) => Ok(*value),
        other => needed(node, TRUE_OR_FALSE, other),
    }
}

/// A whole number of at least 1 and at most `most`.
pub(super) fn count(node: &Node<'_>, most: u32) -> Read<usize> {
    let number = match node.get_ref() {
        DeValue::Integer(integer) => i64::from_str_radix(integer.as_str(), integer.radix()).ok(),
        other => return needed(node, A_NUMBER, other),
    };
    match number.and_then(|number| u32::try_from(number).ok()) {
        Some(number) if (1..=most).contains(&number) => {
            Ok(usize::try_from(number).unwrap_or(usize::MAX))
        }
        _ => wrong(
            node,
            said!(
                "the number must lie between 1 and {most}",
                "el número debe estar entre 1 y {most}"; most = most
            ),
        ),
    }
}

pub(super) fn port(node: &Node<'_>) -> Read<u16> {
    count(node, 65_535).map(|number| u16::try_from(number).unwrap_or(25))
}

pub(super) fn list<T>(node: &Node<'_>, item: fn(&Node<'_>) -> Read<T>) -> Read<Vec<T>> {
    let DeValue::Array(nodes) = node.get_ref() else {
        return needed(node, A_LIST, node.get_ref());
    };
    let (mut values, mut wrongs) = (Vec::new(), Vec::new());
    for node in nodes.iter() {
        match item(node) {
            Ok(value) => values.push(value),
            Err(more) => wrongs.extend(more),
        }
    }
    if wrongs.is_empty() { Ok(values) } else { Err(wrongs) }
}

/// A table, in the order in which it stands in the file.
pub(super) fn table<K, V>(
    node: &Node<'_>,
    key: impl Fn(&str) -> Result<K, Said>,
    value: impl Fn(&Node<'_>) -> Read<V>,
) -> Read<Vec<(K, V)>> {
    let DeValue::Table(entries) = node.get_ref() else {
        return needed(node, A_TABLE, node.get_ref());
    };
    let mut entries: Vec<_> = entries.iter().collect();
    entries.sort_by_key(|(name, _)| name.span().start);
    let (mut pairs, mut wrongs) = (Vec::new(), Vec::new());
    for (name, node) in entries {
        let key = key(name.get_ref());
        let key = key.map_err(|message| vec![Wrong { span: name.span(), message }]);
        match (key, value(node)) {
            (Ok(key), Ok(value)) => pairs.push((key, value)),
            (key, value) => {
                wrongs.extend(key.err().into_iter().chain(value.err()).flatten());
            }
        }
    }
    if wrongs.is_empty() { Ok(pairs) } else { Err(wrongs) }
}

pub(super) fn sender_address(node: &Node<'_>) -> Read<Address> {
    parsed(node, sender::address)
}

/// The address that stands in every message: ASCII, where it can be.
pub(super) fn only_sender(node: &Node<'_>) -> Read<Address> {
    sender_address(node).map(|address| in_ascii(&address).unwrap_or(address))
}

/// The two delimiters of an envelope sender that names its recipient.
pub(super) fn verp(node: &Node<'_>) -> Read<Verp> {
    let written = text(node)?;
    match Verp::parse(&written) {
        Some(verp) => Ok(verp),
        None => wrong(
            node,
            said!(
                "{written} is not two of - = +", "{written} no es dos de - = +"; written = written
            ),
        ),
    }
}

pub(super) fn sender_map(node: &Node<'_>) -> Read<Vec<(Who, Known)>> {
    table(node, Who::parse, |node| parsed(node, Known::parse))
}

/// What stands for what: each target a text, or several in a list.
pub(super) fn virtual_map(node: &Node<'_>) -> Read<Vec<(Who, Destinations)>> {
    table(node, addresses::who, |node| match node.get_ref() {
        DeValue::Array(_) => {
            let targets = list(node, |node| parsed(node, Destinations::parse))?;
            Ok(Destinations(targets.into_iter().flat_map(|some| some.0).collect()))
        }
        _ => parsed(node, Destinations::parse),
    })
}

pub(super) fn destination(node: &Node<'_>) -> Read<Destination> {
    parsed(node, |text| match Destination::parse(text)? {
        Destination::Domain(_) => Err(said!(
            "a user or an address is needed here",
            "aquí hace falta un usuario o una dirección"
        )),
        one => Ok(one),
    })
}

pub(super) fn inhabitant(node: &Node<'_>) -> Read<Inhabitant> {
    parsed(node, Inhabitant::parse)
}

pub(super) fn named_in(node: &Node<'_>) -> Read<NamedIn> {
    choice(node, &NamedIn::ALL)
}

pub(super) fn unprivileged(node: &Node<'_>) -> Read<String> {
    parsed(node, addresses::unprivileged)
}

pub(super) fn delimiter(node: &Node<'_>) -> Read<String> {
    parsed(node, addresses::delimiter)
}

pub(super) fn foreign(node: &Node<'_>) -> Read<DomainPattern> {
    parsed(node, DomainPattern::parse)
}

pub(super) fn otherwise(node: &Node<'_>) -> Read<Otherwise> {
    choice(
        node,
        &[
            ("auto", Otherwise::Auto),
            ("reject", Otherwise::Reject),
            ("rewrite", Otherwise::Rewrite),
        ],
    )
}

fn caps_of(node: &Node<'_>) -> Read<Vec<Cap>> {
    match node.get_ref() {
        DeValue::String(_) => parsed(node, Cap::parse).map(|only| vec![only]),
        _ => list(node, |item| parsed(item, Cap::parse)),
    }
}

/// Names, and the caps of each.
pub(super) fn named_caps(node: &Node<'_>) -> Read<Vec<(String, Vec<Cap>)>> {
    table(node, |name| Ok(name.to_lowercase()), caps_of)
}

/// Networks, and the caps of each client in them.
pub(super) fn networks_caps(node: &Node<'_>) -> Read<Vec<(Network, Vec<Cap>)>> {
    table(node, Network::parse, caps_of)
}

fn patterns(node: &Node<'_>) -> Read<Vec<AddressPattern>> {
    match node.get_ref() {
        DeValue::String(_) => parsed(node, AddressPattern::parse).map(|only| vec![only]),
        _ => list(node, |item| parsed(item, AddressPattern::parse)),
    }
}

/// Names, and the addresses that each may use.
pub(super) fn named_addresses(node: &Node<'_>) -> Read<Vec<(String, Vec<AddressPattern>)>> {
    let name = |text: &str| match text.trim() {
        "" => Err(said!("the name is empty", "el nombre está vacío")),
        name => Ok(name.to_lowercase()),
    };
    table(node, name, patterns)
}

/// Networks, and the addresses that each may use.
pub(super) fn networks_addresses(node: &Node<'_>) -> Read<Vec<(Network, Vec<AddressPattern>)>> {
    table(node, Network::parse, patterns)
}

pub(super) fn masquerade(node: &Node<'_>) -> Read<Masquerade> {
    parsed(node, Masquerade::parse)
}

pub(super) fn local_part(node: &Node<'_>) -> Read<LocalPart> {
    parsed(node, sender::local_part)
}

/// A value of which the empty text says that there is none.
pub(super) fn optional<T>(node: &Node<'_>, item: fn(&Node<'_>) -> Read<T>) -> Read<Option<T>> {
    match node.get_ref() {
        DeValue::String(text) if text.is_empty() => Ok(None),
        _ => item(node).map(Some),
    }
}

pub(super) fn duration(node: &Node<'_>) -> Read<Duration> {
    parsed(node, parse_duration)
}

/// For how long something is kept; `0` needs no unit.
pub(super) fn keep(node: &Node<'_>) -> Read<Duration> {
    parsed(node, |text| if text == "0" { Ok(Duration::ZERO) } else { parse_duration(text) })
}

/// So many messages in a time.
pub(super) fn rate(node: &Node<'_>) -> Read<Rate> {
    parsed(node, parse_rate)
}

pub(super) fn size(node: &Node<'_>) -> Read<u64> {
    if let DeValue::Integer(integer) = node.get_ref() {
        let number = u64::from_str_radix(integer.as_str(), integer.radix());
        return number.or_else(|_| {
            wrong(node, said!("a size cannot be negative", "un tamaño no puede ser negativo"))
        });
    }
    parsed(node, parse_size)
}

pub(super) fn host_name(node: &Node<'_>) -> Read<String> {
    parsed(node, |text| match Domain::parse(text) {
        Ok(domain) => Ok(domain.to_string()),
        Err(error) => Err(said_of!(
            "`{text}` is not a host name: {error}",
            "`{text}` no es un nombre de máquina: {error}";
            text = Said::words(text), error = address_error(&error)
        )),
    })
}

pub(super) fn domain(node: &Node<'_>) -> Read<Domain> {
    parsed(node, |text| match Domain::parse(text) {
        Ok(domain @ Domain::Name(_)) => Ok(domain),
        _ => Err(said!(
            "`{text}` is not a domain name", "`{text}` no es un nombre de dominio"; text = text
        )),
    })
}

pub(super) fn next_hop(node: &Node<'_>) -> Read<NextHop> {
    parsed(node, NextHop::parse)
}

pub(super) fn network(node: &Node<'_>) -> Read<Network> {
    parsed(node, Network::parse)
}

pub(super) fn path(node: &Node<'_>) -> Read<PathBuf> {
    parsed(node, |text| match PathBuf::from(text) {
        path if path.is_absolute() => Ok(path),
        _ => Err(said!(
            "`{text}` is not a path from the root: begin it with `/`",
            "`{text}` no es una ruta absoluta: debe empezar por `/`"; text = text
        )),
    })
}

/// The URL of something that is asked over HTTPS.
pub(super) fn https_url(node: &Node<'_>) -> Read<String> {
    parsed(node, |text| {
        let read = text.parse::<http::Uri>().ok();
        let is_ours = |url: &http::Uri| {
            url.scheme() == Some(&http::uri::Scheme::HTTPS)
                && url.authority().is_some_and(|at| !at.as_str().contains('@'))
        };
        match read.filter(is_ours) {
            Some(_) => Ok(text.to_owned()),
            None => Err(said!(
                "`{text}` is no address that is asked over HTTPS: begin it with `https://`",
                "`{text}` no es una dirección HTTPS: debe empezar por `https://`"; text = text
            )),
        }
    })
}

pub(super) fn challenge(node: &Node<'_>) -> Read<Challenge> {
    choice(node, &Challenge::ALL.map(|one| (one.name(), one)))
}

pub(super) fn policy_mode(node: &Node<'_>) -> Read<PolicyMode> {
    choice(node, &PolicyMode::ALL.map(|one| (one.name(), one)))
}

/// The name of a node, which stands in lists, the log and the database.
pub(super) fn node(node: &Node<'_>) -> Read<String> {
    parsed(node, |text| {
        let fits = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_');
        if text.chars().all(fits) && text.len() <= 253 {
            return Ok(text.to_owned());
        }
        Err(said!(
            "`{text}` is no node's name: letters, digits, `.`, `-` and `_` may stand in it",
            "`{text}` no vale como nombre de nodo: puede llevar letras, cifras, `.`, `-` y `_`";
            text = text
        ))
    })
}

/// The URL of a database. A password does not belong into a file that others may read.
pub(super) fn database(node: &Node<'_>) -> Read<String> {
    parsed(node, |text| {
        let rest = ["postgres://", "postgresql://"].iter().find_map(|it| text.strip_prefix(it));
        let Some(rest) = rest else {
            return Err(said!(
                "`{text}` is no URL of a database: begin it with `postgres://`",
                "`{text}` no es la URL de una base de datos: debe empezar por `postgres://`";
                text = text
            ));
        };
        let authority = rest.split(['/', '?']).next().unwrap_or_default();
        let user = authority.rsplit_once('@').map(|(user, _)| user);
        if user.is_some_and(|user| user.contains(':')) || rest.contains("password=") {
            return Err(said!(
                "a password stands in the URL: write it into a file of its own and name that in \
                 `store.password_file`",
                "hay una contraseña en la URL: escríbala en un fichero aparte e indíquelo en \
                 `store.password_file`"
            ));
        }
        Ok(text.to_owned())
    })
}

/// A name that stands beside those of destinations, which have dots or are in small letters.
pub(super) fn source_name(node: &Node<'_>) -> Read<String> {
    parsed(node, |text| {
        let fits = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        match !text.is_empty() && text.len() <= 40 && text.chars().all(fits) {
            true => Ok(text.to_owned()),
            false => Err(said!(
                "`{text}` is no name for a source", "`{text}` no es nombre para una fuente";
                text = text
            )),
        }
    })
}

/// A day, as in RFC 3339.
pub(super) fn day(node: &Node<'_>) -> Read<jiff::civil::Date> {
    parsed(node, super::source::parse_day)
}

/// How many of something in a day.
pub(super) fn per_day(node: &Node<'_>) -> Read<u32> {
    count(node, 100_000_000).map(|count| u32::try_from(count).unwrap_or(u32::MAX))
}

pub(super) fn socket_address(node: &Node<'_>) -> Read<SocketAddr> {
    parsed(node, |text| {
        text.parse().map_err(|_| {
            let example = match text.parse::<IpAddr>() {
                Ok(address) => SocketAddr::new(address, 25).to_string(),
                Err(_) => "0.0.0.0:25".to_owned(),
            };
            said!(
                "`{text}` is not an address with a port: write it like `{example}`",
                "`{text}` no es una dirección con puerto: escríbala así: `{example}`";
                text = text, example = example
            )
        })
    })
}

/// A DNS server: port 53 unless one is written.
pub(super) fn dns_server(node: &Node<'_>) -> Read<SocketAddr> {
    parsed(node, |text| {
        let bare = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')).unwrap_or(text);
        let address = bare.parse::<IpAddr>().map(|address| SocketAddr::new(address, 53));
        address.or_else(|_| text.parse()).map_err(|_| {
            said!(
                "`{text}` is not the address of a DNS server: names cannot stand here",
                "`{text}` no es la dirección de un servidor DNS: aquí no sirve un nombre";
                text = text
            )
        })
    })
}

pub(super) fn address<T: std::str::FromStr>(node: &Node<'_>) -> Read<T> {
    parsed(node, |text| {
        text.parse().map_err(|_| {
            said!(
                "`{text}` is not an address of this family",
                "`{text}` no es una dirección de esta familia"; text = text
            )
        })
    })
}

pub(super) fn language(node: &Node<'_>) -> Read<Language> {
    choice(node, &[("en", Language::English), ("es", Language::Spanish)])
}

pub(super) fn log_format(node: &Node<'_>) -> Read<LogFormat> {
    choice(
        node,
        &[("postfix", LogFormat::Postfix), ("json", LogFormat::Json), ("text", LogFormat::Text)],
    )
}

pub(super) fn origin_header(node: &Node<'_>) -> Read<OriginHeader> {
    choice(
        node,
        &[("none", OriginHeader::None), ("local", OriginHeader::Local), ("all", OriginHeader::All)],
    )
}

pub(super) fn log_target(node: &Node<'_>) -> Read<LogTarget> {
    parsed(node, |text| match text {
        "auto" => Ok(LogTarget::Auto),
        "stderr" => Ok(LogTarget::Stderr),
        "syslog" => Ok(LogTarget::Syslog),
        path if path.starts_with('/') => Ok(LogTarget::File(path.into())),
        other => Err(said!(
            "`{other}` is neither a known target nor a path from the root",
            "`{other}` no es ni un destino conocido ni una ruta absoluta"; other = other
        )),
    })
}

pub(super) fn tls_level(node: &Node<'_>) -> Read<TlsLevel> {
    choice(
        node,
        &[
            ("opportunistic", TlsLevel::Opportunistic),
            ("required", TlsLevel::Required),
            ("none", TlsLevel::None),
        ],
    )
}

pub(super) fn downgrade(node: &Node<'_>) -> Read<Downgrade> {
    choice(node, &[("tell", Downgrade::Tell), ("refuse", Downgrade::Refuse)])
}

pub(super) fn mailbox(node: &Node<'_>) -> Read<Mailbox> {
    parsed(node, |text| match text {
        "mbox" => Ok(Mailbox::Mbox),
        "maildir" => Ok(Mailbox::Maildir),
        _ => match text.strip_prefix("lmtp:") {
            Some("") => Err(said!(
                "after `lmtp:` the address of a server is missing",
                "tras `lmtp:` falta la dirección de un servidor"
            )),
            Some(address) if address.starts_with('/') || has_port(address) => {
                Ok(Mailbox::Lmtp(address.to_owned()))
            }
            Some(address) => Err(said!(
                "`{address}` is neither a socket's path nor HOST:PORT",
                "`{address}` no es ni la ruta de un socket ni MÁQUINA:PUERTO"; address = address
            )),
            None => Err(said!(
                "`{text}` is not a kind of mailbox",
                "`{text}` no es un tipo de buzón"; text = text
            )),
        },
    })
}

fn has_port(address: &str) -> bool {
    let port = address.rsplit_once(':').filter(|(host, _)| !host.is_empty());
    port.is_some_and(|(_, port)| port.parse::<u16>().is_ok_and(|port| port != 0))
}

/// The recipients of a route: a domain, with `*.` before it for its subdomains too.
pub(super) fn route_to(node: &Node<'_>) -> Read<String> {
    parsed(node, |text| {
        let (star, name) = text.strip_prefix("*.").map_or(("", text), |name| ("*.", name));
        match Domain::parse(name) {
            Ok(domain) => Ok(format!("{star}{domain}")),
            Err(_) if text.contains('@') => Err(said!(
                "a route goes by the recipient's domain, not by its address",
                "una ruta se rige por el dominio del destinatario, no por su dirección"
            )),
            Err(_) => Err(sender::not_a_domain(text)),
        }
    })
}

/// The reverse-paths of a route: an address, or `@domain`.
pub(super) fn route_from(node: &Node<'_>) -> Read<String> {
    parsed(node, |text| Known::parse(text).map(|whose| whose.to_string()))
}

pub(super) fn choice<T: Copy>(node: &Node<'_>, choices: &[(&str, T)]) -> Read<T> {
    parsed(node, |text| {
        let found = choices.iter().find(|(name, _)| *name == text);
        found.map(|(_, value)| *value).ok_or_else(|| {
            said!(
                "`{text}` is not one of the choices",
                "`{text}` no es ninguna de las opciones"; text = text
            )
        })
    })
}

fn parsed<T>(node: &Node<'_>, parse: impl Fn(&str) -> Result<T, Said>) -> Read<T> {
    let text = text(node)?;
    parse(&text).or_else(|message| wrong(node, message))
}

const TEXT_IN_QUOTES: Text = Text::new(
    "a text in quotes is needed here, not {kind}",
    "aquí hace falta un texto entre comillas, no {kind}",
);
const TRUE_OR_FALSE: Text = Text::new(
    "`true` or `false` is needed here, not {kind}",
    "aquí hace falta `true` o `false`, no {kind}",
);
const A_NUMBER: Text =
    Text::new("a number is needed here, not {kind}", "aquí hace falta un número, no {kind}");
const A_TABLE: Text =
    Text::new("a table in braces is needed here", "aquí hace falta una tabla entre llaves");
const A_LIST: Text = Text::new(
    "a list in brackets is needed here, not {kind}",
    "aquí hace falta una lista entre corchetes, no {kind}",
);

fn needed<T>(node: &Node<'_>, what: Text, found: &DeValue<'_>) -> Read<T> {
    wrong(node, Said::of_parts(what, &[("kind", &Said::plain(kind(found)))]))
}

pub(super) fn wrong<T>(node: &Node<'_>, message: Said) -> Read<T> {
    Err(vec![Wrong { span: node.span(), message }])
}

fn kind(value: &DeValue<'_>) -> Text {
    match value {
        DeValue::String(_) => Text::new("a text", "un texto"),
        DeValue::Integer(_) => Text::new("a whole number", "un número entero"),
        DeValue::Float(_) => Text::new("a number with a fraction", "un número con decimales"),
        DeValue::Boolean(_) => Text::new("true or false", "`true` ni `false`"),
        DeValue::Datetime(_) => Text::new("a date", "una fecha"),
        DeValue::Array(_) => Text::new("a list", "una lista"),
        DeValue::Table(_) => Text::new("a section", "una sección"),
    }
}
