//! The name that this server calls itself in EHLO.

use std::net::IpAddr;

use puerto_mail::dns::RecordType;
use puerto_mail::spf::{self, SpfResult};

use super::context::Context;
use super::outcome::{Check, Judged, family, told};
use super::world::World;
use crate::dnsplan::helo_spf_proposal;
use crate::lang::{Said, Text};
use crate::survey::egress::Host;
use crate::survey::names;
use puerto_mail::together::together;

family! {
    FAMILY = "helo" ["The name in EHLO", "El nombre en EHLO"] is_of_machine: true;

    FQDN = "helo.fqdn" Error "RFC 5321 §2.3.5, §4.1.1.1" [
        "The name in EHLO is a full public host name",
        "El nombre en EHLO es un nombre de máquina público y completo",
        "Receivers refuse clients that call themselves `localhost`, a bare name, an address or a \
         name of a private network. Set `hostname` (or `delivery.helo`) to a name that the world \
         can look up, such as `mail.example.com`.",
        "Muchos receptores rechazan a quien se presenta como `localhost`, con un nombre sin \
         dominio, con una dirección o con el nombre de una red privada. Ponga en `hostname` (o en \
         `delivery.helo`) un nombre que todo el mundo pueda resolver, como `mail.example.com`.",
        right: "{subject}";
        expected: "a full public host name, such as mail.{domain}",
            "un nombre de máquina público y completo, como mail.{domain}";
        remedy: "In puerto.toml: {key} = \"mail.{domain}\"",
            "En puerto.toml: {key} = \"mail.{domain}\"";
    ];
    RESOLVES = "helo.resolves" Error "RFC 5321 §2.3.5" [
        "The name in EHLO leads to the sending address",
        "El nombre en EHLO lleva a la dirección desde la que se envía",
        "Receivers look the name up. It must have an A record for each IPv4 and an AAAA record \
         for each IPv6 address that mail leaves from.",
        "Los receptores consultan ese nombre. Debe tener un registro A por cada dirección IPv4 y \
         un AAAA por cada dirección IPv6 desde la que sale correo.",
        right: "{name} → {found}";
        expected: "{name} → {subject}";
        remedy: "{name}. IN {type} {subject}";
    ];
    NO_CNAME = "helo.no-cname" Info "RFC 5321 §2.3.5" [
        "The name in EHLO is no alias",
        "El nombre en EHLO no es un alias",
        "A few filters compare names literally and do not follow a CNAME. Use the name that the \
         alias leads to.",
        "Algunos filtros comparan los nombres al pie de la letra y no siguen un CNAME. Use el \
         nombre al que lleva el alias.",
        right: "no alias", "no es un alias";
        wrong: "{subject} is an alias of {target}", "{subject} es un alias de {target}";
        expected: "a name with its own addresses", "un nombre con direcciones propias";
        remedy: "In puerto.toml: {key} = \"{target}\", or replace the CNAME by addresses",
            "En puerto.toml: {key} = \"{target}\", o cambie el CNAME por direcciones";
    ];
    SPF = "helo.spf" Warning "RFC 7208 §2.3, §2.4" [
        "SPF of the name in EHLO lets this server send",
        "El SPF del nombre en EHLO permite enviar a este servidor",
        "Bounces have no sender, so receivers check SPF for the name in EHLO instead. No record \
         is acceptable; one that does not name the address is not. `v=spf1 a -all` at the host \
         name is enough.",
        "Los avisos de rebote no llevan remitente, así que los receptores miran el SPF del nombre \
         en EHLO. Que no haya registro es aceptable; que lo haya y no incluya la dirección, no. \
         Basta con `v=spf1 a -all` en el nombre de la máquina.",
        right: "{result}: {record}";
        wrong: "{result} for {subject}: {record}", "{result} para {subject}: {record}";
        expected: "pass";
        remedy: "{name}. IN TXT \"{edited}\"";
    ];
}

pub(super) async fn run<W: World>(context: &Context<'_, W>) -> Vec<Check> {
    let hosts = match context.relay {
        Some(_) => vec![Host { name: context.helo.clone(), addresses: Vec::new() }],
        None => context.hosts(),
    };
    together(hosts.iter().map(|host| of_host(context, host))).await.concat()
}

async fn of_host<W: World>(context: &Context<'_, W>, host: &Host) -> Vec<Check> {
    let name = host.name.as_str();
    let draft = |check| context.about(check, name).with_said("key", context.key_of(name));
    let rest = [&RESOLVES, &NO_CNAME, &SPF];
    let fqdn = match what_is_wrong_with(name) {
        None => draft(&FQDN).right(),
        Some(wrong) => draft(&FQDN).finding(wrong),
    };
    if context.relay.is_some() {
        let why = Text::new(
            "mail goes to a relayhost, which calls itself by its own name to the world",
            "el correo va a un relayhost, que se presenta al mundo con su propio nombre",
        );
        let rest = rest.map(|check| draft(check).not_applicable(why));
        return std::iter::once(fqdn).chain(rest).collect();
    }
    if fqdn.is_wrong() {
        return fqdn.skipping(&rest, draft);
    }
    let egress = || host.addresses.iter().copied();
    let (resolve, alias, allowed) = tokio::join!(
        together(egress().map(async |address| told(resolves(context, (name, address)).await))),
        context.no_alias(draft(&NO_CNAME), name),
        together(egress().map(|address| spf_allows(context, (host, address)))),
    );
    // A record that says `a` lets pass what the name leads to: one fault, one finding.
    let is_missing =
        |one: &Check| resolve.iter().any(|check| check.is_wrong() && check.subject == one.subject);
    let allowed = allowed.into_iter().map(|(check, by_name)| {
        match by_name && check.is_wrong() && is_missing(&check) {
            true => context.about(&SPF, &check.subject).skipped(&RESOLVES),
            false => check,
        }
    });
    let allowed: Vec<Check> = allowed.collect();
    [vec![fqdn], resolve, vec![alias], allowed].concat()
}

/// Why the name is none that the world can look up, if so.
pub(super) fn what_is_wrong_with(name: &str) -> Option<Text> {
    let label_ok = |label: &str| {
        let inner = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
        (1..=63).contains(&label.len())
            && label.bytes().all(inner)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    if name.starts_with('[') || name.parse::<IpAddr>().is_ok() {
        Some(Text::new("{subject} is an address", "{subject} es una dirección"))
    } else if !name.contains('.') && !name.is_empty() {
        Some(Text::new("{subject} has no domain", "{subject} no tiene dominio"))
    } else if !name.split('.').all(label_ok) || name.len() > 253 {
        Some(Text::new("{subject} is no host name", "{subject} no es un nombre de máquina"))
    } else if names::is_private(name) {
        Some(Text::new(
            "{subject} is known in a private network only",
            "{subject} solo se conoce en una red privada",
        ))
    } else {
        None
    }
}

async fn resolves<W: World>(context: &Context<'_, W>, (name, address): (&str, IpAddr)) -> Judged {
    let kind = RecordType::of_address(address);
    let draft = context.asking(&RESOLVES, address, (name, kind));
    let draft = draft.with("name", name).with("type", kind);
    let found = draft.answered(context.public_addresses(name, kind).await)?;
    let draft = draft.list("found", &found);
    Ok(match found.as_slice() {
        [] => draft.finding(("{name} has no {type} record", "{name} no tiene registro {type}")),
        found => draft.judge(!found.contains(&address)),
    })
}

// Also whether the record goes by the addresses of the name.
async fn spf_allows<W: World>(
    context: &Context<'_, W>,
    (host, address): (&Host, IpAddr),
) -> (Check, bool) {
    let name = host.name.as_str();
    let query = spf::Query::helo(address, name);
    let evaluation = spf::check(context.world, &query).await;
    let record = evaluation.trace.record.clone().unwrap_or_default();
    let mut words = record.split_whitespace();
    let by_name = words.any(|word| ["a", "+a"].contains(&word.to_ascii_lowercase().as_str()));
    let draft = context
        .asking(&SPF, address, (name, RecordType::Txt))
        .with("name", name)
        .with("result", evaluation.result)
        .with("record", &record);
    let check = match evaluation.result {
        SpfResult::Pass => draft.right(),
        SpfResult::None | SpfResult::Neutral => draft.pass((
            "{result}, which is accepted; better `v=spf1 a -all`",
            "{result}, que se acepta; mejor `v=spf1 a -all`",
        )),
        SpfResult::TempError => match &evaluation.trace.problem {
            Some(problem) => draft
                .with_said("problem", problem)
                .unknown(("the DNS did not answer: {problem}", "el DNS no respondió: {problem}")),
            None => draft.dns_silent(),
        },
        SpfResult::Fail | SpfResult::SoftFail | SpfResult::PermError => {
            let texts = context.texts(name).await.unwrap_or_default();
            let proposal = helo_spf_proposal(context.world, (name, &host.addresses), &texts).await;
            let draft = match proposal.as_ref().map(|one| (one, one.unclear())) {
                Err(_) => draft.remedy(LATER),
                Ok((one, unclear)) if unclear.is_empty() => {
                    draft.with_record("edited", Said::words(&one.text))
                }
                Ok((one, unclear)) => draft
                    .with_record("edited", Said::words(&one.text))
                    .with("unclear", unclear)
                    .remedy(UNCLEAR),
            };
            draft.wrong()
        }
    };
    (check, by_name)
}

const LATER: Text = Text::new(
    "Run `puerto dns` once the DNS answers: it shows the record",
    "Ejecute `puerto dns` cuando el DNS responda: muestra el registro",
);
const UNCLEAR: Text = Text::new(
    "Write {unclear} right; or, if it stands for nobody, publish: {name}. IN TXT \"{edited}\"",
    "Corrija {unclear}; o, si no representa a nadie, publique: {name}. IN TXT \"{edited}\"",
);
