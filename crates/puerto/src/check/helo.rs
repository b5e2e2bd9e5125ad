//! The name that this server calls itself in EHLO.

use std::net::IpAddr;

use puerto_mail::dns::RecordType;
use puerto_mail::spf::{self, SpfResult};

use super::context::Context;
use super::outcome::{Check, Family, definitions};
use super::world::World;
use crate::dnsplan::{SpfProposal, helo_spf_proposal};
use crate::lang::Text;
use crate::survey::names;
use puerto_mail::together::together;

pub(super) static FAMILY: Family = Family {
    name: "helo",
    title: Text::new("The name in EHLO", "El nombre en EHLO"),
    is_of_machine: true,
    checks: &[&FQDN, &RESOLVES, &NO_CNAME, &SPF],
};

definitions! {
    FQDN = "helo.fqdn" Error "RFC 5321 §2.3.5, §4.1.1.1" [
        "The name in EHLO is a full public host name",
        "El nombre en EHLO es un nombre de máquina público y completo",
        "Receivers refuse clients that call themselves `localhost`, a bare name, an address or a \
         name of a private network. Set `hostname` (or `delivery.helo`) to a name that the world \
         can look up, such as `mail.example.com`.",
        "Muchos receptores rechazan a quien se presenta como `localhost`, con un nombre sin \
         dominio, con una dirección o con el nombre de una red privada. Ponga en `hostname` (o en \
         `delivery.helo`) un nombre que todo el mundo pueda resolver, como `mail.example.com`.",
    ];
    RESOLVES = "helo.resolves" Error "RFC 5321 §2.3.5" [
        "The name in EHLO leads to the sending address",
        "El nombre en EHLO lleva a la dirección desde la que se envía",
        "Receivers look the name up. It must have an A record for each IPv4 and an AAAA record \
         for each IPv6 address that mail leaves from.",
        "Los receptores consultan ese nombre. Debe tener un registro A por cada dirección IPv4 y \
         un AAAA por cada dirección IPv6 desde la que sale correo.",
    ];
    NO_CNAME = "helo.no-cname" Info "RFC 5321 §2.3.5" [
        "The name in EHLO is no alias",
        "El nombre en EHLO no es un alias",
        "A few filters compare names literally and do not follow a CNAME. Use the name that the \
         alias leads to.",
        "Algunos filtros comparan los nombres al pie de la letra y no siguen un CNAME. Use el \
         nombre al que lleva el alias.",
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
    ];
}

pub(super) async fn run<W: World>(context: &Context<'_, W>) -> Vec<Check> {
    let name = context.helo.as_str();
    let mut checks = vec![fqdn(context)];
    let usable = checks.iter().all(|check| !check.is_wrong());
    if context.relay.is_some() {
        let why = Text::new(
            "mail goes to a relayhost, which calls itself by its own name to the world",
            "el correo va a un relayhost, que se presenta al mundo con su propio nombre",
        );
        let rest = [&RESOLVES, &NO_CNAME, &SPF];
        checks.extend(rest.map(|check| context.about(check, name).not_applicable(why)));
        return checks;
    }
    if !usable {
        let rest = [&RESOLVES, &NO_CNAME, &SPF];
        checks.extend(rest.map(|check| context.about(check, name).skipped(&FQDN)));
        return checks;
    }
    let egress = || context.egress.iter().copied();
    let (resolve, alias, allowed) = tokio::join!(
        together(egress().map(|address| resolves(context, address))),
        no_cname(context),
        together(egress().map(|address| spf_allows(context, address))),
    );
    // A record that says `a` lets pass what the name leads to: one fault, one finding.
    let missing: Vec<String> = resolve
        .iter()
        .filter(|check| check.is_wrong())
        .map(|check| check.subject.clone())
        .collect();
    let allowed = allowed.into_iter().map(|(check, by_name)| {
        match by_name && check.is_wrong() && missing.contains(&check.subject) {
            true => context.about(&SPF, &check.subject).skipped(&RESOLVES),
            false => check,
        }
    });
    let allowed: Vec<Check> = allowed.collect();
    checks.extend(resolve);
    checks.push(alias);
    checks.extend(allowed);
    checks
}

fn fqdn<W: World>(context: &Context<'_, W>) -> Check {
    let name = context.helo.as_str();
    let draft = context.about(&FQDN, name).with("domain", &context.domain);
    match what_is_wrong_with(name) {
        None => draft.pass("{subject}"),
        Some(wrong) => draft.finding(
            wrong,
            (
                "a full public host name, such as mail.{domain}",
                "un nombre de máquina público y completo, como mail.{domain}",
            ),
            (
                "In puerto.toml: hostname = \"mail.{domain}\"",
                "En puerto.toml: hostname = \"mail.{domain}\"",
            ),
        ),
    }
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

async fn resolves<W: World>(context: &Context<'_, W>, address: IpAddr) -> Check {
    let kind = if address.is_ipv6() { RecordType::Aaaa } else { RecordType::A };
    let draft = context
        .asking(&RESOLVES, address, (&context.helo, kind))
        .with("name", &context.helo)
        .with("type", kind);
    let found = match context.public_addresses(&context.helo, address.is_ipv6()).await {
        Ok(found) => found,
        Err(error) => return draft.no_answer(&error),
    };
    let list: Vec<_> = found.iter().map(ToString::to_string).collect();
    let draft = draft.with("found", list.join(", "));
    if found.contains(&address) {
        return draft.pass("{name} → {found}");
    }
    let seen = if found.is_empty() {
        Text::new("{name} has no {type} record", "{name} no tiene registro {type}")
    } else {
        Text::new("{name} → {found}", "{name} → {found}")
    };
    draft.finding(seen, "{name} → {subject}", "{name}. IN {type} {subject}")
}

async fn no_cname<W: World>(context: &Context<'_, W>) -> Check {
    let name = context.helo.as_str();
    let draft = context.asking(&NO_CNAME, name, (name, RecordType::Cname));
    draft.no_alias(context.alias(name).await, |draft| {
        draft.finding(
            ("{subject} is an alias of {target}", "{subject} es un alias de {target}"),
            ("a name with its own addresses", "un nombre con direcciones propias"),
            (
                "In puerto.toml: hostname = \"{target}\", or replace the CNAME by addresses",
                "En puerto.toml: hostname = \"{target}\", o cambie el CNAME por direcciones",
            ),
        )
    })
}

// Also whether the record goes by the addresses of the name.
async fn spf_allows<W: World>(context: &Context<'_, W>, address: IpAddr) -> (Check, bool) {
    let name = context.helo.as_str();
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
        SpfResult::Pass => draft.pass("{result}: {record}"),
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
            let proposal =
                helo_spf_proposal(context.world, (name, &context.egress), &texts).await.ok();
            let edited = proposal.as_ref().map_or("", |proposal| proposal.text.as_str());
            let unclear = proposal.as_ref().map(SpfProposal::unclear).unwrap_or_default();
            let remedy = match unclear.is_empty() {
                _ if proposal.is_none() => Text::new(
                    "Run `puerto dns` once the DNS answers: it shows the record",
                    "Ejecute `puerto dns` cuando el DNS responda: muestra el registro",
                ),
                true => Text::same("{name}. IN TXT \"{edited}\""),
                false => Text::new(
                    "Write {unclear} right; or, if it stands for nobody, publish: {name}. IN TXT \
                     \"{edited}\"",
                    "Corrija {unclear}; o, si no representa a nadie, publique: {name}. IN TXT \
                     \"{edited}\"",
                ),
            };
            draft.with("edited", edited).with("unclear", &unclear).finding(
                ("{result} for {subject}: {record}", "{result} para {subject}: {record}"),
                "pass",
                remedy,
            )
        }
    };
    (check, by_name)
}
