//! The DNS of the sender's domain: its zone, its name servers, its mail exchangers.

mod servers;

use std::net::IpAddr;

use puerto_mail::dns::{Answer, DnsError, Record, RecordType, records_of};

use super::context::Context;
use super::outcome::{Check, Definition, Draft, Judged, family, told};
use super::world::World;
use crate::survey::address::is_public;
use puerto_mail::together::together;

family! {
    FAMILY = "dns" ["DNS of the domain", "DNS del dominio"] is_of_machine: false;

    SENDER_RESOLVES = "dns.sender-resolves" Error "RFC 5321 §5.1; RFC 7505 §4.2" [
        "The domain can be written to",
        "Se puede escribir al dominio",
        "Many servers refuse senders that cannot be answered: the domain needs an MX, A or AAAA \
         record.",
        "Muchos servidores rechazan remitentes a los que no se puede responder: el dominio \
         necesita un registro MX, A o AAAA.",
        right: "MX {hosts}";
        wrong: "no MX, A or AAAA record", "sin registros MX, A ni AAAA";
        expected: "an MX record", "un registro MX";
        remedy: "{subject}. IN MX 10 {helo}.";
    ];
    SOA = "dns.soa" Warning "RFC 1035 §3.3.13" [
        "The domain lies in a zone that answers",
        "El dominio está en una zona que responde",
        "A domain without SOA counts as one that does not exist; Yahoo asks for it.",
        "Un dominio sin SOA cuenta como inexistente; Yahoo lo pide.",
        right: "{zone} {serial}";
        wrong: "no SOA record", "no hay registro SOA";
        expected: "a zone that answers", "una zona que responda";
        remedy: "Is {subject} registered and delegated? Repair the zone at your DNS provider",
            "¿Está {subject} registrado y delegado? Repare la zona en su proveedor de DNS";
    ];
    NS_CONSISTENT = "dns.ns-consistent" Error "RFC 1034 §4.2.2; RFC 2182 §5; RFC 1912 §2.8" [
        "All name servers of the domain say the same",
        "Todos los servidores de nombres del dominio dicen lo mismo",
        "A server that still serves old records, or none, makes a part of the mail fail at \
         random. Each one is asked for MX, SPF, DKIM and DMARC.",
        "Un servidor que aún da registros antiguos, o ninguno, hace fallar al azar una parte del \
         correo. Se pregunta a cada uno por MX, SPF, DKIM y DMARC.",
        right: "{count} servers agree: {servers}", "{count} servidores coinciden: {servers}";
        expected: "the same everywhere", "lo mismo en todos";
        remedy: "Wait some minutes after a change. If it stays so, the zone does not reach {odd}: \
                 raise its serial number, or ask the DNS provider",
            "Espere unos minutos tras un cambio. Si sigue igual, la zona no llega a {odd}: suba su \
             número de serie, o pregunte al proveedor de DNS";
    ];
    RESOLVERS_AGREE = "dns.resolvers-agree" Warning "RFC 1034 §5.3.1" [
        "All resolvers of this machine say the same",
        "Todos los resolvers de esta máquina dicen lo mismo",
        "Where two differ, mail goes and is judged by the one that was asked, and so does every \
         answer here. Each one is asked for MX, SPF, DKIM and DMARC.",
        "Si dos difieren, el correo se envía y se juzga según a cuál se pregunte, y también todas \
         las respuestas de aquí. Se pregunta a cada uno por MX, SPF, DKIM y DMARC.",
        right: "they agree: {servers}", "coinciden: {servers}";
        wrong: "{type} {name}: the resolver {odd} says {theirs}, the other {usual}",
            "{type} {name}: el resolver {odd} dice {theirs}, el otro {usual}";
        expected: "the same from each", "lo mismo de cada uno";
        remedy: "Ask the domain's name servers which of the two is right, and take the other out of \
                 /etc/resolv.conf or `[dns] servers`; after a change, wait for the old record's \
                 lifetime",
            "Pregunte a los servidores de nombres del dominio cuál de los dos tiene razón y quite \
             el otro de /etc/resolv.conf o de `[dns] servers`; tras un cambio, espere lo que vale \
             el registro antiguo";
    ];
    NULL_MX = "dns.null-mx" Error "RFC 7505 §3, §4.2" [
        "The domain does not say that it takes no mail",
        "El dominio no dice que no recibe correo",
        "With the null MX (`0 .`) receivers refuse mail from the domain as well: 550 5.7.27.",
        "Con el MX nulo (`0 .`) los receptores rechazan también el correo del dominio: 550 5.7.27.",
        right: "no null MX", "sin MX nulo";
        wrong: "{subject} publishes the null MX", "{subject} publica el MX nulo";
        expected: "an MX that takes replies", "un MX que reciba las respuestas";
        remedy: "{subject}. IN MX 10 {helo}.";
    ];
    NULL_MX_MIXED = "dns.null-mx-mixed" Warning "RFC 7505 §3" [
        "A null MX stands alone",
        "Un MX nulo está solo",
        "Beside other MX records it means nothing certain. Delete one or the others.",
        "Junto a otros registros MX no significa nada seguro. Borre uno u otros.",
        right: "no null MX", "sin MX nulo";
        wrong: "the null MX beside: {hosts}", "el MX nulo junto a: {hosts}";
        expected: "one or the others", "uno u otros";
        remedy: "Delete: {subject}. IN MX 0 .", "Borre: {subject}. IN MX 0 .";
    ];
    MX_RESOLVES = "dns.mx-resolves" Error "RFC 5321 §5.1" [
        "Every MX host has an address",
        "Cada máquina MX tiene dirección",
        "An MX without address loses replies and bounces.",
        "Un MX sin dirección pierde respuestas y rebotes.",
        right: "{found}";
        wrong: "{subject} has no address", "{subject} no tiene dirección";
        expected: "an A or AAAA record", "un registro A o AAAA";
        remedy: "Give {subject} an address, or remove it from the MX of {domain}",
            "Dé una dirección a {subject}, o quítelo de los MX de {domain}";
    ];
    MX_CNAME = "dns.mx-cname" Warning "RFC 2181 §10.3; RFC 5321 §5.1" [
        "No MX host is an alias",
        "Ninguna máquina MX es un alias",
        "An MX must name a host with addresses of its own; some servers do not follow the alias.",
        "Un MX debe nombrar una máquina con direcciones propias; algunos servidores no siguen el \
         alias.",
        right: "no alias", "no es un alias";
        wrong: "{subject} is an alias of {target}", "{subject} es un alias de {target}";
        expected: "the host itself", "la propia máquina";
        remedy: "{domain}. IN MX 10 {target}.";
    ];
    MX_IP_LITERAL = "dns.mx-ip-literal" Error "RFC 1035 §3.3.9" [
        "Every MX names a host, not an address",
        "Cada MX nombra una máquina, no una dirección",
        "Make a host name with an A record and write that into the MX.",
        "Cree un nombre con un registro A y póngalo en el MX.",
        right: "{subject}";
        wrong: "the MX is the address {subject}", "el MX es la dirección {subject}";
        expected: "a host name", "un nombre de máquina";
        remedy: "mail.{domain}. IN A {subject} and {domain}. IN MX 10 mail.{domain}.",
            "mail.{domain}. IN A {subject} y {domain}. IN MX 10 mail.{domain}.";
    ];
    MX_PRIVATE = "dns.mx-private" Error "RFC 1918; RFC 6890" [
        "MX hosts have public addresses",
        "Las máquinas MX tienen direcciones públicas",
        "Nobody outside can reach a private address: replies and bounces are lost.",
        "Nadie de fuera llega a una dirección privada: se pierden respuestas y rebotes.",
        right: "public", "pública";
        wrong: "{subject} → {found}";
        expected: "a public address", "una dirección pública";
        remedy: "Publish the public address of {subject}",
            "Publique la dirección pública de {subject}";
    ];
    APEX_CNAME = "dns.apex-cname" Error "RFC 1034 §3.6.2; RFC 2181 §10.1" like MX_CNAME [
        "The domain is no alias",
        "El dominio no es un alias",
        "A name with a CNAME can have no MX and no SPF record of its own. Replace it by addresses.",
        "Un nombre con CNAME no puede tener MX ni SPF propios. Cámbielo por direcciones.",
        expected: "addresses of its own", "direcciones propias";
        remedy: "Replace the CNAME of {subject} by A and AAAA records (some panels: ALIAS)",
            "Cambie el CNAME de {subject} por registros A y AAAA (en algunos paneles: ALIAS)";
    ];
    WILDCARD_TXT = "dns.wildcard-txt" Warning "RFC 4592 §4; RFC 7208 §3.5" [
        "Names that were made up have no TXT record",
        "Los nombres inventados no tienen registro TXT",
        "A wildcard makes every selector and every report name look as if it were published.",
        "Un comodín hace que todo selector y todo nombre de informe parezcan publicados.",
        right: "none", "ninguno";
        wrong: "{name} has the TXT record {text}", "{name} tiene el registro TXT {text}";
        expected: "no such name", "que no exista";
        remedy: "Delete the wildcard TXT record of {subject} (*.{subject})",
            "Borre el registro TXT comodín de {subject} (*.{subject})";
    ];
    TTL = "dns.ttl" Info "RFC 1912 §2.2" [
        "Mail records hold for a minute to two days",
        "Los registros de correo valen de un minuto a dos días",
        "Very short lifetimes fail with every hiccup of a name server, very long ones delay \
         corrections.",
        "Con plazos muy cortos cualquier tropiezo de un servidor de nombres hace fallar; con muy \
         largos se retrasan las correcciones.",
        right: "{seconds} seconds", "{seconds} segundos";
        expected: "at most two days", "dos días como mucho";
        remedy: "Lower the TTL to 3600", "Baje el TTL a 3600";
    ];
}

const MAX_EXCHANGERS: usize = 10;
const LONG_TTL: u32 = 2 * 86_400;

pub(super) async fn run<W: World>(context: &Context<'_, W>) -> Vec<Check> {
    let domain = context.domain.as_str();
    let mx = context.world.lookup(domain, RecordType::Mx).await;
    let hosts = hosts(mx.clone());
    let (exchangers, resolves, soa, servers, resolvers, alias, wildcard) = tokio::join!(
        exchangers(context, hosts.as_deref().unwrap_or_default()),
        resolves(context, &hosts),
        soa(context),
        servers::agree(context),
        servers::resolvers_agree(context),
        context.no_alias(context.about(&APEX_CNAME, domain), domain),
        wildcard(context),
    );
    let mut checks = vec![told(resolves), told(soa), told(servers), alias, wildcard];
    checks.extend(resolvers);
    checks.extend(exchangers);
    if let Ok(answer) = &mx {
        // A cache counts downwards, so a short time says nothing.
        let draft = of_mx(context, &TTL).with("seconds", answer.ttl);
        checks.push(draft.judge(answer.ttl > LONG_TTL));
    }
    checks
}

type Hosts = Result<Vec<String>, DnsError>;

fn hosts(mx: Result<Answer, DnsError>) -> Hosts {
    let exchangers = records_of(mx)?.into_iter().filter_map(Record::into_exchanger);
    Ok(exchangers.map(|(_, host)| host).collect())
}

fn of_mx<W: World>(context: &Context<'_, W>, check: &'static Definition) -> Draft {
    context.asking(check, &context.domain, (&context.domain, RecordType::Mx))
}

async fn resolves<W: World>(context: &Context<'_, W>, mx: &Hosts) -> Judged {
    let draft = of_mx(context, &SENDER_RESOLVES);
    let hosts = draft.answered(mx.clone())?;
    if !hosts.is_empty() {
        return Ok(draft.list("hosts", hosts).right());
    }
    let found = draft.answered(context.addresses(&context.domain).await)?;
    Ok(match found.as_slice() {
        [] => draft.wrong(),
        found => draft.list("found", found).pass(("no MX, but {found}", "sin MX, pero {found}")),
    })
}

async fn soa<W: World>(context: &Context<'_, W>) -> Judged {
    let domain = context.domain.as_str();
    let draft = context.asking(&SOA, domain, (domain, RecordType::Soa));
    let Some((zone, records)) = draft.answered(context.closest(RecordType::Soa).await)? else {
        return Ok(draft.wrong());
    };
    let serial = records.iter().find_map(Record::serial).unwrap_or_default();
    Ok(draft.with("zone", zone).with("serial", serial).right())
}

async fn exchangers<W: World>(context: &Context<'_, W>, hosts: &[String]) -> Vec<Check> {
    let null = hosts.iter().any(String::is_empty);
    let mut checks = match hosts {
        [] => return Vec::new(),
        [_] if null => return vec![of_mx(context, &NULL_MX).wrong()],
        _ => vec![of_mx(context, &NULL_MX).right()],
    };
    checks.push(of_mx(context, &NULL_MX_MIXED).list("hosts", hosts).judge(null));
    let named = hosts.iter().filter(|host| !host.is_empty()).take(MAX_EXCHANGERS);
    checks.extend(together(named.map(|host| exchanger(context, host))).await.concat());
    checks
}

async fn exchanger<W: World>(context: &Context<'_, W>, host: &str) -> Vec<Check> {
    let draft = |check| context.asking(check, host, (host, RecordType::A));
    if host.parse::<IpAddr>().is_ok() {
        return vec![draft(&MX_IP_LITERAL).wrong()];
    }
    let is_no_alias = context.no_alias(context.about(&MX_CNAME, host), host);
    let (alias, found) = tokio::join!(is_no_alias, context.addresses(host));
    let list = found.as_deref().unwrap_or_default();
    let resolves = match &found {
        Ok(found) => draft(&MX_RESOLVES).list("found", found).judge(found.is_empty()),
        Err(error) => draft(&MX_RESOLVES).no_answer(error),
    };
    let is_reachable = |address| context.config.delivery.allow_private || is_public(address);
    let private = match list {
        [] => draft(&MX_PRIVATE).skipped(&MX_RESOLVES),
        _ => draft(&MX_PRIVATE).list("found", list).judge(!list.iter().copied().any(is_reachable)),
    };
    vec![draft(&MX_IP_LITERAL).right(), resolves, private, alias]
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
    let mail_related = |text: &&String| {
        let text = text.to_ascii_lowercase();
        text.starts_with("v=spf1") || text.starts_with("v=dmarc1") || text.contains("p=")
    };
    // Who takes reports for all domains publishes just that one.
    let of_mail = names.iter().zip(&answers).filter(|(name, _)| !name.contains("._report."));
    for (name, texts) in of_mail {
        if let Some(text) = texts.iter().flatten().find(mail_related) {
            return draft.with("name", name).with("text", text).wrong();
        }
    }
    match answers.iter().find_map(|answer| answer.as_ref().err()) {
        Some(error) => draft.no_answer(error),
        None => draft.right(),
    }
}
