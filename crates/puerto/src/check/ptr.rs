//! Reverse DNS: the names of the addresses that mail leaves from.

use std::net::IpAddr;

use puerto_mail::dns::{Record, RecordType, records_of, reverse_name};

use super::context::Context;
use super::generic::{Generic, generic};
use super::helo::{FQDN, what_is_wrong_with};
use super::names::related;
use super::outcome::{Check, Definition, family};
use super::world::World;
use crate::finding::Severity;
use crate::lang::Text;
use crate::survey::address::is_public;
use puerto_mail::together::together;

family! {
    FAMILY = "ptr" ["Reverse DNS", "DNS inverso"] is_of_machine: true;

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
        right: "{names}";
        wrong: "no name", "no tiene nombre";
        expected: "{question} → {helo}";
        remedy: "Ask whoever gave you {subject} (the hosting company; its panel says reverse DNS, \
                 rDNS or PTR) for: {subject} → {helo}",
            "Pida a quien le dio {subject} (la empresa de alojamiento; en su panel se llama DNS \
             inverso, rDNS o PTR): {subject} → {helo}";
    ];
    V6 = "ptr.v6" Error "RFC 1912 §2.1; Google: Email sender guidelines" like EXISTS [
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
        right: "{subject} → {good} → {subject}";
        wrong: "{subject} → {name} → {found}";
        expected: "{subject} → {name} → {subject}";
        remedy: "{name}. IN {type} {subject}   (or give the address another name)",
            "{name}. IN {type} {subject}   (o dé otro nombre a la dirección)";
    ];
    SINGLE = "ptr.single" Warning "RFC 2181 §10.2" [
        "The address has one name only",
        "La dirección tiene un solo nombre",
        "Many receivers read the first PTR record only, and the order is random. Keep the mail \
         host's name and delete the others.",
        "Muchos receptores solo leen el primer registro PTR, y el orden es aleatorio. Deje el \
         nombre de la máquina de correo y borre los demás.",
        right: "{names}";
        wrong: "{count} names: {names}", "{count} nombres: {names}";
        expected: "one name", "un solo nombre";
        remedy: "Ask the owner of the address to keep {helo} only",
            "Pida al dueño de la dirección que deje solo {helo}";
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
        right: "{names}";
        expected: "a name of your own: {helo}", "un nombre propio: {helo}";
        remedy: "Ask whoever gave you {subject} for: {subject} → {helo}",
            "Pida a quien le dio {subject}: {subject} → {helo}";
    ];
    MATCHES_HELO = "ptr.matches-helo" Warning "RFC 5321 §4.1.4" [
        "The name of the address is that in EHLO",
        "El nombre de la dirección es el de EHLO",
        "No standard demands it, and nobody should refuse mail for this alone, but many spam \
         filters add points where the two differ.",
        "Ninguna norma lo exige y nadie debería rechazar correo solo por esto, pero muchos \
         filtros de spam suman puntos cuando no coinciden.",
        right: "{helo}";
        wrong: "PTR {names}, EHLO {helo}";
        expected: "the same name", "el mismo nombre";
        remedy: "Set the PTR of {subject} to {helo}, or in puerto.toml: {key} = \"{names}\"",
            "Ponga {helo} en el PTR de {subject}, o en puerto.toml: {key} = \"{names}\"";
    ];
    OWN_DOMAIN = "ptr.own-domain" Info "" [
        "The name of the address lies in a domain of yours",
        "El nombre de la dirección está en un dominio suyo",
        "Reputation sticks to names. Under a domain of your own it is yours alone.",
        "La reputación va unida a los nombres. En un dominio propio es solo suya.",
        right: "{names}";
        expected: "a name below {domain}", "un nombre bajo {domain}";
        remedy: "Ask for {subject} → mail.{domain}, and set {key} to it",
            "Pida {subject} → mail.{domain}, y póngalo en {key}";
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
    let own = context.names_of(address);
    let bare = |check| context.about(check, address).with("helo", own.join(" / "));
    let question = reverse_name(address);
    let asking = bare(existence).asked_dns(context.question(&question, RecordType::Ptr));
    let asking = asking.with("question", &question);
    if !context.config.delivery.allow_private && !is_public(address) {
        return vec![asking.not_applicable((
            "{subject} is a private address: the world sees another one",
            "{subject} es una dirección privada: el mundo ve otra",
        ))];
    }
    let answer = records_of(context.world.undistorted(&question, RecordType::Ptr).await);
    let names: Vec<String> = match asking.answered(answer) {
        Ok(records) => records.into_iter().filter_map(Record::into_name).collect(),
        Err(silent) => return silent.skipping(&rest, bare),
    };
    if names.is_empty() {
        return asking.wrong().skipping(&rest, bare);
    }
    let key = context.key_of(own.first().copied().unwrap_or_default());
    let draft =
        |check: &'static Definition| bare(check).list("names", &names).with_said("key", key);
    let single = draft(&SINGLE).with("count", names.len()).judge(names.len() > 1);
    let found =
        [confirmed(context, address, &names).await, looks_generic(context, address, &names)];
    // One fault, one finding: a name that is wrong anyway need not be compared too.
    let wrong = found.iter().find(|check| check.is_wrong()).map(|check| check.definition);
    let helo_is_wrong = own.iter().any(|name| what_is_wrong_with(name).is_some());
    let wrong = wrong.or(helo_is_wrong.then_some(&FQDN));
    let compared = |check: &'static Definition, is_same: &dyn Fn(&String) -> bool| match wrong {
        Some(wrong) => bare(check).skipped(wrong),
        None => draft(check).judge(!names.iter().any(is_same)),
    };
    let is_helo = |name: &String| own.iter().any(|own| name.eq_ignore_ascii_case(own));
    let is_own = |name: &String| context.own_domains().any(|domain| related(name, domain));
    let [confirmed, looks] = found;
    let exists = asking.list("names", &names).right();
    let (same, own) = (compared(&MATCHES_HELO, &is_helo), compared(&OWN_DOMAIN, &is_own));
    vec![exists, confirmed, single, looks, same, own]
}

async fn confirmed<W: World>(context: &Context<'_, W>, address: IpAddr, names: &[String]) -> Check {
    const MAX_NAMES: usize = 10;
    let kind = RecordType::of_address(address);
    let first = names.first().map_or("", String::as_str);
    let draft = context.asking(&FCRDNS, address, (first, kind));
    let draft = draft.with("helo", context.names_of(address).join(" / "));
    let draft = draft.with("type", kind).named(first);
    let asked = names.iter().take(MAX_NAMES);
    let answers = together(asked.map(|name| context.public_addresses(name, kind))).await;
    let leads_back = |answer: &Result<Vec<IpAddr>, _>| {
        answer.as_ref().is_ok_and(|addresses| addresses.contains(&address))
    };
    if let Some((name, _)) = names.iter().zip(&answers).find(|(_, answer)| leads_back(answer)) {
        return draft.with("good", name).asked_dns(context.question(name, kind)).right();
    }
    if let Some(error) = answers.iter().find_map(|answer| answer.as_ref().err()) {
        return draft.no_answer(error);
    }
    let mut found = answers.iter().flatten().flatten().peekable();
    match found.peek() {
        None => draft.finding((
            "{subject} → {name}, which has no {type} record",
            "{subject} → {name}, que no tiene registro {type}",
        )),
        Some(_) => draft.list("found", found).wrong(),
    }
}

fn looks_generic<W: World>(context: &Context<'_, W>, address: IpAddr, names: &[String]) -> Check {
    let draft = context.about(&GENERIC, address);
    let draft = draft.with("helo", context.names_of(address).join(" / "));
    let own = |name: &str| related(name, &context.domain);
    let found = names.iter().find_map(|name| Some((name, generic(name, address, own(name))?)));
    let Some((name, why)) = found else { return draft.list("names", names).right() };
    let draft = draft.with("name", name);
    match why {
        Generic::Address => {
            draft.finding(("{name} is made from the address", "{name} se formó con la dirección"))
        }
        Generic::Word(word) => {
            draft.with("word", word).finding(("{name} says \"{word}\"", "{name} dice «{word}»"))
        }
        Generic::Provider(suffix) => draft.with("suffix", suffix).finding((
            "{name} is the provider's default name ({suffix})",
            "{name} es el nombre por defecto del proveedor ({suffix})",
        )),
        Generic::Numbered(word) => draft.with("word", word).severity(Severity::Warning).finding((
            "{name} looks numbered by a machine (\"{word}\")",
            "{name} parece numerado por una máquina («{word}»)",
        )),
    }
}
