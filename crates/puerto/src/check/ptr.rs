//! Reverse DNS: the names of the addresses that mail leaves from.

use std::net::IpAddr;

use puerto_mail::dns::{Answer, Record, RecordType, reverse_name};

use super::context::Context;
use super::generic::{Generic, generic};
use super::helo::{FQDN, what_is_wrong_with};
use super::names::related;
use super::outcome::{Check, Family, definitions};
use super::world::World;
use crate::finding::Severity;
use crate::lang::Text;
use crate::survey::address::is_public;
use puerto_mail::together::together;

pub(super) static FAMILY: Family = Family {
    name: "ptr",
    title: Text::new("Reverse DNS", "DNS inverso"),
    is_of_machine: true,
    checks: &[&EXISTS, &V6, &FCRDNS, &SINGLE, &GENERIC, &MATCHES_HELO, &OWN_DOMAIN],
};

definitions! {
    EXISTS = "ptr.exists" Error "RFC 1912 §2.1; RFC 7372 §3.3" [
        "Each IPv4 address has a name (PTR)",
        "Cada dirección IPv4 tiene nombre (PTR)",
        "Gmail, Microsoft, Yahoo, Apple, GMX, Telekom and most small servers refuse clients \
         without reverse DNS. The record belongs to whoever owns the address: set it in the \
         hosting company's panel or ask its support, not in your own zone.",
        "Gmail, Microsoft, Yahoo, Apple, GMX, Telekom y la mayoría de los servidores pequeños \
         rechazan a los clientes sin DNS inverso. El registro pertenece al dueño de la dirección: \
         póngalo en el panel de la empresa de alojamiento o pídaselo a su soporte, no en su propia \
         zona.",
    ];
    V6 = "ptr.v6" Error "RFC 1912 §2.1; Google: Email sender guidelines" [
        "Each IPv6 address has a name (PTR)",
        "Cada dirección IPv6 tiene nombre (PTR)",
        "Gmail refuses all mail over IPv6 from addresses without a name. Set the PTR, or send \
         over IPv4 only until it is there.",
        "Gmail rechaza todo el correo por IPv6 de direcciones sin nombre. Ponga el PTR, o envíe \
         solo por IPv4 mientras no exista.",
    ];
    FCRDNS = "ptr.fcrdns" Error "RFC 8601 §2.7.3" [
        "The name of the address leads back to it",
        "El nombre de la dirección lleva de vuelta a ella",
        "Anyone can write any name into the reverse DNS of an address; it counts only if that \
         name has an A or AAAA record with the address.",
        "Cualquiera puede escribir cualquier nombre en el DNS inverso de su dirección; solo vale \
         si ese nombre tiene un registro A o AAAA con la dirección.",
    ];
    SINGLE = "ptr.single" Warning "RFC 2181 §10.2" [
        "The address has one name only",
        "La dirección tiene un solo nombre",
        "Many receivers read the first PTR record only, and the order is random. Keep the mail \
         host's name and delete the others.",
        "Muchos receptores solo leen el primer registro PTR, y el orden es aleatorio. Deje el \
         nombre de la máquina de correo y borre los demás.",
    ];
    MATCHES_HELO = "ptr.matches-helo" Warning "RFC 5321 §4.1.4" [
        "The name of the address is that in EHLO",
        "El nombre de la dirección es el de EHLO",
        "No standard demands it, and nobody should refuse mail for this alone, but many spam \
         filters add points where the two differ.",
        "Ninguna norma lo exige y nadie debería rechazar correo solo por esto, pero muchos \
         filtros de spam suman puntos cuando no coinciden.",
    ];
    GENERIC = "ptr.generic" Error "M3AAWG Sender Best Common Practices" [
        "The name of the address is not one made by a machine",
        "El nombre de la dirección no es uno generado automáticamente",
        "Names that contain the address, or words such as `dynamic`, `dsl` and `pool`, are taken \
         for home connections. Microsoft, GMX, Telekom and many others refuse them. Ask for a name \
         of your own, such as `mail.example.com`.",
        "Los nombres que contienen la dirección, o palabras como `dynamic`, `dsl` o `pool`, se \
         toman por conexiones domésticas. Microsoft, GMX, Telekom y muchos otros los rechazan. \
         Pida un nombre propio, como `mail.example.com`.",
    ];
    OWN_DOMAIN = "ptr.own-domain" Info "" [
        "The name of the address lies in a domain of yours",
        "El nombre de la dirección está en un dominio suyo",
        "Reputation sticks to names. Under a domain of your own it is yours alone.",
        "La reputación va unida a los nombres. En un dominio propio es solo suya.",
    ];
}

const BEHIND_RELAY: Text = Text::new(
    "mail goes to a relayhost: the reverse DNS that counts is the relay's",
    "el correo va a un relayhost: el DNS inverso que cuenta es el del relay",
);

pub(super) async fn run<W: World>(context: &Context<'_, W>) -> Vec<Check> {
    if context.relay.is_some() {
        return vec![context.about(&EXISTS, &context.helo).not_applicable(BEHIND_RELAY)];
    }
    together(context.egress.iter().map(|address| of_address(context, *address))).await.concat()
}

async fn of_address<W: World>(context: &Context<'_, W>, address: IpAddr) -> Vec<Check> {
    let existence = if address.is_ipv6() { &V6 } else { &EXISTS };
    let rest = [&FCRDNS, &SINGLE, &GENERIC, &MATCHES_HELO, &OWN_DOMAIN];
    let question = reverse_name(address);
    let draft = context
        .asking(existence, address, (&question, RecordType::Ptr))
        .with("question", &question)
        .with("helo", &context.helo);
    if !context.config.delivery.allow_private && !is_public(address) {
        return vec![draft.not_applicable((
            "{subject} is a private address: the world sees another one",
            "{subject} es una dirección privada: el mundo ve otra",
        ))];
    }
    let names = match context.world.undistorted(&question, RecordType::Ptr).await {
        Ok(answer) => names_in(&answer),
        Err(error) if error.is_absence() => Vec::new(),
        Err(error) => {
            let mut checks = vec![draft.no_answer(&error)];
            checks.extend(rest.map(|check| context.about(check, address).skipped(existence)));
            return checks;
        }
    };
    if names.is_empty() {
        let mut checks = vec![draft.finding(
            ("no name", "no tiene nombre"),
            "{question} → {helo}",
            (
                "Ask whoever gave you {subject} (the hosting company; its panel says reverse DNS, \
                 rDNS or PTR) for: {subject} → {helo}",
                "Pida a quien le dio {subject} (la empresa de alojamiento; en su panel se llama \
                 DNS inverso, rDNS o PTR): {subject} → {helo}",
            ),
        )];
        checks.extend(rest.map(|check| context.about(check, address).skipped(existence)));
        return checks;
    }
    let exists = draft.with("names", names.join(", ")).pass("{names}");
    let confirmed = confirmed(context, address, &names).await;
    let mut checks = vec![exists, confirmed, single(context, address, &names)];
    let looks = looks_generic(context, address, &names);
    checks.push(looks);
    // One fault, one finding: a name that is wrong anyway need not be compared too.
    let wrong = checks.iter().find(|check| check.is_wrong() && check.id() != SINGLE.id);
    let bare = what_is_wrong_with(&context.helo).is_some().then_some(&FQDN);
    match wrong.map(|check| check.definition).or(bare) {
        Some(wrong) => {
            let rest = [&MATCHES_HELO, &OWN_DOMAIN];
            checks.extend(rest.map(|check| context.about(check, address).skipped(wrong)));
        }
        None => {
            checks.push(matches_helo(context, address, &names));
            checks.push(own_domain(context, address, &names));
        }
    }
    checks
}

fn names_in(answer: &Answer) -> Vec<String> {
    answer.records.iter().cloned().filter_map(Record::into_name).collect()
}

async fn confirmed<W: World>(context: &Context<'_, W>, address: IpAddr, names: &[String]) -> Check {
    const MAX_NAMES: usize = 10;
    let kind = if address.is_ipv6() { RecordType::Aaaa } else { RecordType::A };
    let first = names.first().cloned().unwrap_or_default();
    let draft =
        context.asking(&FCRDNS, address, (&first, kind)).with("type", kind).with("name", &first);
    let asked = names.iter().take(MAX_NAMES);
    let answers =
        together(asked.map(|name| context.public_addresses(name, address.is_ipv6()))).await;
    let good = names
        .iter()
        .zip(&answers)
        .find(|(_, answer)| answer.as_ref().is_ok_and(|addresses| addresses.contains(&address)));
    if let Some((name, _)) = good {
        let draft = draft.with("good", name).asked(context.question(name, kind));
        return draft.pass("{subject} → {good} → {subject}");
    }
    if let Some(error) = answers.iter().find_map(|answer| answer.as_ref().err()) {
        return draft.no_answer(error);
    }
    let found: Vec<_> = answers.iter().flatten().flatten().map(ToString::to_string).collect();
    let draft = draft.with("found", found.join(", "));
    let seen = if found.is_empty() {
        Text::new(
            "{subject} → {name}, which has no {type} record",
            "{subject} → {name}, que no tiene registro {type}",
        )
    } else {
        Text::new("{subject} → {name} → {found}", "{subject} → {name} → {found}")
    };
    draft.finding(
        seen,
        "{subject} → {name} → {subject}",
        (
            "{name}. IN {type} {subject}   (or give the address another name)",
            "{name}. IN {type} {subject}   (o dé otro nombre a la dirección)",
        ),
    )
}

fn single<W: World>(context: &Context<'_, W>, address: IpAddr, names: &[String]) -> Check {
    let draft = context
        .about(&SINGLE, address)
        .with("names", names.join(", "))
        .with("count", names.len())
        .with("helo", &context.helo);
    match names {
        [_] => draft.pass("{names}"),
        _ => draft.finding(
            ("{count} names: {names}", "{count} nombres: {names}"),
            ("one name", "un solo nombre"),
            (
                "Ask the owner of the address to keep {helo} only",
                "Pida al dueño de la dirección que deje solo {helo}",
            ),
        ),
    }
}

fn looks_generic<W: World>(context: &Context<'_, W>, address: IpAddr, names: &[String]) -> Check {
    let draft = context.about(&GENERIC, address).with("helo", &context.helo);
    let own = |name: &str| related(name, &context.domain);
    let found = names.iter().find_map(|name| Some((name, generic(name, address, own(name))?)));
    let Some((name, why)) = found else {
        return draft.with("names", names.join(", ")).pass("{names}");
    };
    let draft = draft.with("name", name);
    let (draft, seen) = match why {
        Generic::Address => (
            draft,
            Text::new("{name} is made from the address", "{name} se formó con la dirección"),
        ),
        Generic::Word(word) => {
            (draft.with("word", word), Text::new("{name} says \"{word}\"", "{name} dice «{word}»"))
        }
        Generic::Provider(suffix) => (
            draft.with("suffix", suffix),
            Text::new(
                "{name} is the provider's default name ({suffix})",
                "{name} es el nombre por defecto del proveedor ({suffix})",
            ),
        ),
        Generic::Numbered(word) => (
            draft.with("word", word).severity(Severity::Warning),
            Text::new(
                "{name} looks numbered by a machine (\"{word}\")",
                "{name} parece numerado por una máquina («{word}»)",
            ),
        ),
    };
    draft.finding(
        seen,
        ("a name of your own: {helo}", "un nombre propio: {helo}"),
        (
            "Ask whoever gave you {subject} for: {subject} → {helo}",
            "Pida a quien le dio {subject}: {subject} → {helo}",
        ),
    )
}

fn matches_helo<W: World>(context: &Context<'_, W>, address: IpAddr, names: &[String]) -> Check {
    let draft = context
        .about(&MATCHES_HELO, address)
        .with("names", names.join(", "))
        .with("helo", &context.helo);
    if names.iter().any(|name| name.eq_ignore_ascii_case(&context.helo)) {
        return draft.pass("{helo}");
    }
    draft.finding(
        "PTR {names}, EHLO {helo}",
        ("the same name", "el mismo nombre"),
        (
            "Set the PTR of {subject} to {helo}, or in puerto.toml: hostname = \"{names}\"",
            "Ponga {helo} en el PTR de {subject}, o en puerto.toml: hostname = \"{names}\"",
        ),
    )
}

fn own_domain<W: World>(context: &Context<'_, W>, address: IpAddr, names: &[String]) -> Check {
    let draft = context
        .about(&OWN_DOMAIN, address)
        .with("names", names.join(", "))
        .with("domain", &context.domain);
    let own = names.iter().any(|name| context.own_domains().any(|domain| related(name, domain)));
    if own {
        return draft.pass("{names}");
    }
    draft.finding(
        "{names}",
        ("a name below {domain}", "un nombre bajo {domain}"),
        (
            "Ask for {subject} → mail.{domain}, and set hostname to it",
            "Pida {subject} → mail.{domain}, y póngalo en hostname",
        ),
    )
}
