//! The DNS of the sender's domain: its zone, its name servers, its mail exchangers.

mod definitions;
mod servers;

use std::net::IpAddr;

use puerto_mail::dns::{DnsError, Record, RecordType};

use super::context::Context;
use super::outcome::{Check, Family};
use super::world::World;
use crate::lang::Text;
use crate::survey::address::is_public;
use definitions::{
    APEX_CNAME, MX_CNAME, MX_IP_LITERAL, MX_PRIVATE, MX_RESOLVES, NULL_MX_MIXED, SOA, TTL,
    WILDCARD_TXT,
};
pub(super) use definitions::{NULL_MX, SENDER_RESOLVES};
use puerto_mail::together::together;

pub(super) static FAMILY: Family = Family {
    name: "dns",
    title: Text::new("DNS of the domain", "DNS del dominio"),
    is_of_machine: false,
    checks: &[
        &SENDER_RESOLVES,
        &SOA,
        &definitions::NS_CONSISTENT,
        &definitions::RESOLVERS_AGREE,
        &NULL_MX,
        &NULL_MX_MIXED,
        &MX_RESOLVES,
        &MX_CNAME,
        &MX_IP_LITERAL,
        &MX_PRIVATE,
        &APEX_CNAME,
        &WILDCARD_TXT,
        &TTL,
    ],
};

const MAX_EXCHANGERS: usize = 10;
const LONG_TTL: u32 = 2 * 86_400;

pub(super) async fn run<W: World>(context: &Context<'_, W>) -> Vec<Check> {
    let domain = context.domain.as_str();
    let mx = context.lookup(domain, RecordType::Mx).await;
    let (exchangers, addresses, soa, servers, resolvers, alias, wildcard) = tokio::join!(
        exchangers(context, &mx),
        resolves(context, &mx),
        soa(context),
        servers::agree(context),
        servers::resolvers_agree(context),
        apex_alias(context),
        wildcard(context),
    );
    let mut checks = vec![addresses, soa, servers, alias, wildcard];
    checks.extend(resolvers);
    checks.extend(exchangers);
    if let Ok(answer) = &mx {
        let draft =
            context.asking(&TTL, domain, (domain, RecordType::Mx)).with("seconds", answer.ttl);
        // A cache counts downwards, so a short time says nothing.
        checks.push(if answer.ttl > LONG_TTL {
            draft.finding(
                ("{seconds} seconds", "{seconds} segundos"),
                ("at most two days", "dos días como mucho"),
                ("Lower the TTL to 3600", "Baje el TTL a 3600"),
            )
        } else {
            draft.pass(("{seconds} seconds", "{seconds} segundos"))
        });
    }
    checks
}

type MxAnswer = Result<puerto_mail::dns::Answer, DnsError>;

fn hosts(mx: &MxAnswer) -> Vec<String> {
    let records = mx.as_ref().map(|answer| answer.records.as_slice()).unwrap_or_default();
    let exchangers = records.iter().cloned().filter_map(Record::into_exchanger);
    exchangers.map(|(_, host)| host).collect()
}

async fn resolves<W: World>(context: &Context<'_, W>, mx: &MxAnswer) -> Check {
    let domain = context.domain.as_str();
    let draft = context
        .asking(&SENDER_RESOLVES, domain, (domain, RecordType::Mx))
        .with("helo", &context.helo);
    let error = match mx {
        Ok(_) => return draft.with("hosts", hosts(mx).join(", ")).pass("MX {hosts}"),
        Err(error) => error,
    };
    if !error.is_absence() {
        return draft.no_answer(error);
    }
    let (v4, v6) = tokio::join!(context.addresses(domain, false), context.addresses(domain, true));
    let found: Vec<_> = [&v4, &v6].into_iter().flatten().flatten().map(IpAddr::to_string).collect();
    if !found.is_empty() {
        let draft = draft.with("found", found.join(", "));
        return draft.pass(("no MX, but {found}", "sin MX, pero {found}"));
    }
    match (v4, v6) {
        (Ok(_), Ok(_)) => draft.finding(
            ("no MX, A or AAAA record", "sin registros MX, A ni AAAA"),
            ("an MX record", "un registro MX"),
            "{subject}. IN MX 10 {helo}.",
        ),
        (Err(error), _) | (_, Err(error)) => draft.no_answer(&error),
    }
}

async fn soa<W: World>(context: &Context<'_, W>) -> Check {
    let domain = context.domain.as_str();
    let draft = context.asking(&SOA, domain, (domain, RecordType::Soa));
    let mut name = domain;
    loop {
        match context.lookup(name, RecordType::Soa).await {
            Ok(answer) => {
                let serial = answer.records.iter().find_map(Record::serial);
                let draft = draft.with("zone", name).with("serial", serial.unwrap_or_default());
                return draft.pass("{zone} {serial}");
            }
            Err(error) if !error.is_absence() => return draft.no_answer(&error),
            Err(_) => {}
        }
        match name.split_once('.') {
            Some((_, above)) if above.contains('.') => name = above,
            _ => break,
        }
    }
    draft.finding(
        ("no SOA record", "no hay registro SOA"),
        ("a zone that answers", "una zona que responda"),
        (
            "Is {subject} registered and delegated? Repair the zone at your DNS provider",
            "¿Está {subject} registrado y delegado? Repare la zona en su proveedor de DNS",
        ),
    )
}

async fn exchangers<W: World>(context: &Context<'_, W>, mx: &MxAnswer) -> Vec<Check> {
    let domain = context.domain.as_str();
    let draft =
        |check| context.asking(check, domain, (domain, RecordType::Mx)).with("helo", &context.helo);
    let hosts = hosts(mx);
    if hosts.is_empty() {
        return Vec::new();
    }
    let null = hosts.iter().any(String::is_empty);
    if null && hosts.len() == 1 {
        return vec![draft(&NULL_MX).finding(
            ("{subject} publishes the null MX", "{subject} publica el MX nulo"),
            ("an MX that takes replies", "un MX que reciba las respuestas"),
            "{subject}. IN MX 10 {helo}.",
        )];
    }
    let mut checks = vec![draft(&NULL_MX).pass(("no null MX", "sin MX nulo"))];
    checks.push(if null {
        draft(&NULL_MX_MIXED).with("hosts", hosts.join(", ")).finding(
            ("the null MX beside: {hosts}", "el MX nulo junto a: {hosts}"),
            ("one or the others", "uno u otros"),
            ("Delete: {subject}. IN MX 0 .", "Borre: {subject}. IN MX 0 ."),
        )
    } else {
        draft(&NULL_MX_MIXED).pass(("no null MX", "sin MX nulo"))
    });
    let named = hosts.iter().filter(|host| !host.is_empty()).take(MAX_EXCHANGERS);
    checks.extend(together(named.map(|host| exchanger(context, host))).await.concat());
    checks
}

async fn exchanger<W: World>(context: &Context<'_, W>, host: &str) -> Vec<Check> {
    let domain = context.domain.as_str();
    let draft = |check| context.asking(check, host, (host, RecordType::A)).with("domain", domain);
    if host.parse::<IpAddr>().is_ok() {
        return vec![draft(&MX_IP_LITERAL).finding(
            ("the MX is the address {subject}", "el MX es la dirección {subject}"),
            ("a host name", "un nombre de máquina"),
            (
                "mail.{domain}. IN A {subject} and {domain}. IN MX 10 mail.{domain}.",
                "mail.{domain}. IN A {subject} y {domain}. IN MX 10 mail.{domain}.",
            ),
        )];
    }
    let (alias, v4, v6) = tokio::join!(
        context.alias(host),
        context.addresses(host, false),
        context.addresses(host, true)
    );
    let mut checks = vec![draft(&MX_IP_LITERAL).pass("{subject}")];
    let found: Vec<IpAddr> = [&v4, &v6].into_iter().flatten().flatten().copied().collect();
    let list: Vec<_> = found.iter().map(ToString::to_string).collect();
    checks.push(match (&v4, &v6) {
        _ if !found.is_empty() => {
            draft(&MX_RESOLVES).with("found", list.join(", ")).pass("{found}")
        }
        (Ok(_), Ok(_)) => draft(&MX_RESOLVES).finding(
            ("{subject} has no address", "{subject} no tiene dirección"),
            ("an A or AAAA record", "un registro A o AAAA"),
            (
                "Give {subject} an address, or remove it from the MX of {domain}",
                "Dé una dirección a {subject}, o quítelo de los MX de {domain}",
            ),
        ),
        (Err(error), _) | (_, Err(error)) => draft(&MX_RESOLVES).no_answer(error),
    });
    let private = !context.config.delivery.allow_private
        && !found.is_empty()
        && found.iter().all(|a| !is_public(*a));
    checks.push(if private {
        draft(&MX_PRIVATE).with("found", list.join(", ")).finding(
            "{subject} → {found}",
            ("a public address", "una dirección pública"),
            (
                "Publish the public address of {subject}",
                "Publique la dirección pública de {subject}",
            ),
        )
    } else if found.is_empty() {
        draft(&MX_PRIVATE).skipped(&MX_RESOLVES)
    } else {
        draft(&MX_PRIVATE).pass(("public", "pública"))
    });
    checks.push(draft(&MX_CNAME).no_alias(alias, |draft| {
        draft.asked(context.question(host, RecordType::Cname)).finding(
            ("{subject} is an alias of {target}", "{subject} es un alias de {target}"),
            ("the host itself", "la propia máquina"),
            "{domain}. IN MX 10 {target}.",
        )
    }));
    checks
}

async fn apex_alias<W: World>(context: &Context<'_, W>) -> Check {
    let domain = context.domain.as_str();
    let draft = context.asking(&APEX_CNAME, domain, (domain, RecordType::Cname));
    draft.no_alias(context.alias(domain).await, |draft| {
        draft.finding(
            ("{subject} is an alias of {target}", "{subject} es un alias de {target}"),
            ("addresses of its own", "direcciones propias"),
            (
                "Replace the CNAME of {subject} by A and AAAA records (some panels: ALIAS)",
                "Cambie el CNAME de {subject} por registros A y AAAA (en algunos paneles: ALIAS)",
            ),
        )
    })
}

async fn wildcard<W: World>(context: &Context<'_, W>) -> Check {
    let domain = context.domain.as_str();
    // Made of the time, so that no cache knows it and nobody has published it.
    let made_up = format!("puerto-{:x}", context.now);
    let names = [
        format!("{made_up}.{domain}"),
        format!("{made_up}._domainkey.{domain}"),
        format!("{made_up}._report._dmarc.{domain}"),
    ];
    let draft = context.asking(&WILDCARD_TXT, domain, (&names.join(" "), RecordType::Txt));
    let answers = together(names.iter().map(|name| context.texts(name))).await;
    let mail_related = |text: &String| {
        let text = text.to_ascii_lowercase();
        text.starts_with("v=spf1") || text.starts_with("v=dmarc1") || text.contains("p=")
    };
    for (name, answer) in names.iter().zip(&answers) {
        let text =
            answer.as_ref().ok().and_then(|texts| texts.iter().find(|text| mail_related(text)));
        // Who takes reports for all domains publishes just this.
        if let Some(text) = text
            && !name.contains("._report.")
        {
            return draft.with("name", name).with("text", text).finding(
                ("{name} has the TXT record {text}", "{name} tiene el registro TXT {text}"),
                ("no such name", "que no exista"),
                (
                    "Delete the wildcard TXT record of {subject} (*.{subject})",
                    "Borre el registro TXT comodín de {subject} (*.{subject})",
                ),
            );
        }
    }
    match answers.iter().find_map(|answer| answer.as_ref().err()) {
        Some(error) => draft.no_answer(error),
        None => draft.pass(("none", "ninguno")),
    }
}
