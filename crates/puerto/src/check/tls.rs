//! TLS for mail that comes to this server: its certificate, and what the domain says
//! about it in the DNS. Nobody refuses our mail for it, but bounces and reports come
//! this way, and a broken promise (MTA-STS, DANE) keeps them out.

use aws_lc_rs::digest;
use jiff::Timestamp;
use puerto_mail::dns::{Record, RecordType};
use rustls::Error;

use super::context::Context;
use super::outcome::{Check, Draft, Family, definitions};
use super::receiving::Receiving;
use super::world::World;
use super::{mtasts, policies};
use crate::lang::Text;
use crate::tls::{OwnCertificate, TlsError};
use puerto_mail::together::together;

pub(super) static FAMILY: Family = Family {
    name: "tls",
    title: Text::new("TLS towards this server", "TLS hacia este servidor"),
    is_of_machine: false,
    checks: &[
        &IN_STARTTLS,
        &CERT,
        &VERSIONS,
        &policies::MTASTS_RECORD,
        &mtasts::POLICY,
        &mtasts::MX_MATCH,
        &mtasts::MAX_AGE,
        &policies::TLSRPT_RECORD,
        &DANE_TLSA,
        &DANE_USAGE,
    ],
};

definitions! {
    IN_STARTTLS = "tls.in-starttls" Warning "RFC 3207 §4" [
        "This server offers STARTTLS to those who bring mail",
        "Este servidor ofrece STARTTLS a quien le trae correo",
        "Without a certificate, replies and bounces travel in plain text, and senders that insist \
         on TLS cannot deliver at all. Name a certificate and its key under `[tls]`.",
        "Sin certificado, las respuestas y los rebotes viajan en claro, y quien exige TLS no puede \
         entregar nada. Indique un certificado y su clave en `[tls]`.",
    ];
    CERT = "tls.cert" Warning "RFC 8461 §4.2" [
        "The certificate is valid for the names under which mail comes",
        "El certificado vale para los nombres con los que llega el correo",
        "Most senders take any certificate; those that follow an MTA-STS policy, and every mail \
         program of your users, want one that an authority known to all has issued for the name \
         in the MX record and that has not expired. Renew it by ACME (Let's Encrypt) and let it \
         reload this server.",
        "La mayoría de los remitentes acepta cualquier certificado; los que siguen una política \
         MTA-STS, y todos los programas de correo de sus usuarios, quieren uno emitido por una \
         autoridad reconocida para el nombre del registro MX y sin caducar. Renuévelo por ACME \
         (Let's Encrypt) y haga que se recargue este servidor.",
    ];
    VERSIONS = "tls.versions" Warning "RFC 8996 §4" [
        "Only TLS 1.2 and 1.3 are spoken",
        "Solo se habla TLS 1.2 y 1.3",
        "Older versions are broken. This server has none of them and takes no RSA key below 2048 \
         bits, so that nothing need be set.",
        "Las versiones anteriores están rotas. Este servidor no tiene ninguna y no acepta claves \
         RSA de menos de 2048 bits, así que no hay que configurar nada.",
    ];
    DANE_TLSA = "dane.tlsa" Warning "RFC 7672 §3" [
        "The TLSA records match the certificate",
        "Los registros TLSA corresponden al certificado",
        "Where TLSA records are published, senders that follow DANE deliver only if one of them \
         matches the certificate that this server shows. Publish the record of the next key \
         before it is used, wait two TTLs, then change the key.",
        "Donde hay registros TLSA, los remitentes que siguen DANE solo entregan si alguno \
         corresponde al certificado que muestra este servidor. Publique el registro de la clave \
         siguiente antes de usarla, espere dos TTL y cambie entonces la clave.",
    ];
    DANE_USAGE = "dane.usage" Warning "RFC 7672 §3.1" [
        "The TLSA records have a usage that SMTP knows",
        "Los registros TLSA tienen un uso que SMTP conoce",
        "For SMTP only the usages 2 and 3 count; 0 and 1 are not usable, so that senders find \
         none. `3 1 1` is the form that lasts over renewals with the same key.",
        "En SMTP solo cuentan los usos 2 y 3; 0 y 1 no son utilizables, de modo que los remitentes \
         no encuentran ninguno. `3 1 1` es la forma que sobrevive a las renovaciones con la misma \
         clave.",
    ];
}

/// A certificate that ends sooner is to be renewed now.
const RENEW_BEFORE: i64 = 14 * 24 * 3600;

type Loaded = Option<Result<OwnCertificate, TlsError>>;

pub(super) async fn run<W: World>(context: &Context<'_, W>) -> Vec<Check> {
    let sts = async {
        let record = policies::mta_sts(context).await;
        let mut checks = mtasts::run(context, &record).await;
        checks.push(record);
        checks
    };
    let (receiving, sts, tls_rpt) =
        tokio::join!(Receiving::find(context), sts, policies::tls_rpt(context));
    let certificate = context.config.tls.as_ref().map(OwnCertificate::load);
    let mut checks = vec![
        in_starttls(context, &receiving, &certificate),
        versions(context, &certificate),
        tls_rpt,
    ];
    checks.extend(sts);
    checks.extend(cert(context, &receiving, &certificate));
    checks.extend(dane(context, &receiving, &certificate).await);
    checks
}

fn in_starttls<W: World>(
    context: &Context<'_, W>,
    receiving: &Receiving,
    certificate: &Loaded,
) -> Check {
    let draft = context.about(&IN_STARTTLS, &context.helo);
    let (_, draft) = match receiving.here(draft) {
        Ok(here) => here,
        Err(check) => return *check,
    };
    match certificate {
        Some(Ok(_)) => draft.pass(("STARTTLS is offered", "se ofrece STARTTLS")),
        Some(Err(_)) => draft.skipped(&CERT),
        None => draft.finding(
            (
                "no certificate is configured, so STARTTLS is not offered",
                "no hay certificado configurado, así que no se ofrece STARTTLS",
            ),
            "STARTTLS",
            "[tls]\ncertificate = \"/etc/letsencrypt/live/{subject}/fullchain.pem\"\nkey = \
                 \"/etc/letsencrypt/live/{subject}/privkey.pem\"",
        ),
    }
}

fn versions<W: World>(context: &Context<'_, W>, certificate: &Loaded) -> Check {
    let draft = context.about(&VERSIONS, &context.helo);
    match certificate {
        Some(Ok(_)) => draft.pass((
            "TLS 1.2 and 1.3 only, and no RSA key below 2048 bits",
            "solo TLS 1.2 y 1.3, y ninguna clave RSA de menos de 2048 bits",
        )),
        Some(Err(_)) => draft.skipped(&CERT),
        None => no_certificate(draft),
    }
}

fn no_certificate(draft: Draft) -> Check {
    draft.not_applicable(("no certificate is configured", "no hay certificado configurado"))
}

fn cert<W: World>(
    context: &Context<'_, W>,
    receiving: &Receiving,
    certificate: &Loaded,
) -> Vec<Check> {
    let own = std::slice::from_ref(&context.helo);
    let names = match receiving {
        Receiving::Here(hosts) => hosts.as_slice(),
        _ => own,
    };
    match certificate {
        None => vec![no_certificate(context.about(&CERT, &context.helo))],
        Some(Err(error)) => {
            let draft = context.about(&CERT, &context.helo).with_said("error", error.said());
            vec![draft.finding(
                ("it cannot be used: {error}", "no se puede usar: {error}"),
                ("a certificate with its key", "un certificado con su clave"),
                (
                    "Correct `certificate` and `key` under `[tls]`; `puerto config check` shows \
                     the configuration's faults.",
                    "Corrija `certificate` y `key` en `[tls]`; `puerto config check` muestra los \
                     fallos de la configuración.",
                ),
            )]
        }
        Some(Ok(certificate)) => {
            names.iter().map(|name| judge(context, certificate, name)).collect()
        }
    }
}

fn judge<W: World>(context: &Context<'_, W>, certificate: &OwnCertificate, name: &str) -> Check {
    let end = certificate.not_after();
    let shown = end.and_then(|end| Timestamp::from_second(end).ok()).map(|end| end.to_string());
    let left = end.map(|end| end.saturating_sub(context.now));
    let draft = context
        .about(&CERT, name)
        .with("end", shown.unwrap_or_default())
        .with("days", left.unwrap_or_default() / (24 * 3600));
    let renew = Text::new(
        "Renew it: certbot renew (or your ACME client), then systemctl reload puerto.",
        "Renuévelo: certbot renew (o su cliente ACME) y después systemctl reload puerto.",
    );
    let issue = Text::new(
        "Have one issued for the name: certbot certonly -d {subject}",
        "Pida uno para ese nombre: certbot certonly -d {subject}",
    );
    let valid = Text::new("valid for 14 more days", "válido al menos 14 días más");
    if left.is_some_and(|left| left <= 0) {
        return draft.finding(("it expired at {end}", "caducó el {end}"), valid, renew);
    }
    if !certificate.names(name) {
        return draft.finding(
            ("it does not name {subject}", "no nombra a {subject}"),
            ("a certificate for {subject}", "un certificado para {subject}"),
            issue,
        );
    }
    if left.is_some_and(|left| left < RENEW_BEFORE) {
        return draft.finding(
            Text::by_count(
                u64::try_from(left.unwrap_or_default() / (24 * 3600)).unwrap_or_default(),
                Text::new("it expires in 1 day, at {end}", "caduca en 1 día, el {end}"),
                Text::new("it expires in {days} days, at {end}", "caduca en {days} días, el {end}"),
            ),
            valid,
            renew,
        );
    }
    match certificate.is_trusted(name, context.now) {
        Ok(()) => draft.pass(("valid until {end}", "válido hasta el {end}")),
        Err(error @ Error::InvalidCertificate(_)) => draft.with_detail("error", error).finding(
            (
                "no authority that this system knows vouches for it, or its chain is incomplete: \
                 {error}",
                "ninguna autoridad que conozca este sistema lo avala, o su cadena está incompleta: \
                 {error}",
            ),
            ("a chain up to a known authority", "una cadena hasta una autoridad conocida"),
            (
                "Name the full chain (fullchain.pem), or have one issued: certbot certonly -d \
                 {subject}",
                "Indique la cadena completa (fullchain.pem), o pida uno: certbot certonly -d \
                 {subject}",
            ),
        ),
        Err(error) => draft.with_detail("error", error).unknown((
            "whether it is trusted cannot be told: {error}",
            "no se puede saber si es de confianza: {error}",
        )),
    }
}

/// A TLSA record (RFC 6698 §2.1).
struct Tlsa {
    usage: u8,
    selector: u8,
    matching: u8,
    data: Vec<u8>,
}

async fn dane<W: World>(
    context: &Context<'_, W>,
    receiving: &Receiving,
    certificate: &Loaded,
) -> Vec<Check> {
    let hosts = match receiving.here(context.about(&DANE_TLSA, &context.domain)) {
        Ok((hosts, _)) => hosts,
        Err(check) => return vec![*check],
    };
    together(hosts.iter().map(|host| dane_of(context, host, certificate))).await.concat()
}

async fn dane_of<W: World>(
    context: &Context<'_, W>,
    host: &str,
    certificate: &Loaded,
) -> Vec<Check> {
    let name = format!("_25._tcp.{host}");
    let question = context.question(&name, RecordType::Tlsa);
    let draft = context.about(&DANE_TLSA, host).asked(&question).with("name", &name);
    let records: Vec<Tlsa> = match context.lookup(&name, RecordType::Tlsa).await {
        Ok(answer) => answer.records.into_iter().filter_map(tlsa).collect(),
        Err(error) if error.is_absence() => Vec::new(),
        Err(error) => return vec![draft.no_answer(&error)],
    };
    if records.is_empty() {
        return vec![draft.not_applicable((
            "no TLSA records, which nobody demands",
            "no hay registros TLSA, cosa que nadie exige",
        ))];
    }
    vec![
        usage(context.about(&DANE_USAGE, host).asked(question), &records),
        matches(draft, &records, certificate),
    ]
}

fn tlsa(record: Record) -> Option<Tlsa> {
    match record {
        Record::Tlsa(usage, selector, matching, data) => {
            Some(Tlsa { usage, selector, matching, data })
        }
        _ => None,
    }
}

fn usage(draft: Draft, records: &[Tlsa]) -> Check {
    let is_usable = |record: &&Tlsa| matches!(record.usage, 2 | 3);
    let shown: Vec<_> = records
        .iter()
        .map(|record| format!("{} {} {}", record.usage, record.selector, record.matching))
        .collect();
    let draft = draft.with("records", shown.join(", "));
    if records.iter().filter(is_usable).count() == records.len() {
        return draft.pass("{records}");
    }
    draft.finding(
        (
            "{records}: the usages 0 and 1 do not count for SMTP",
            "{records}: los usos 0 y 1 no cuentan en SMTP",
        ),
        ("usage 3 (or 2)", "uso 3 (o 2)"),
        (
            "Publish records of the form 3 1 1 and delete the others.",
            "Publique registros de la forma 3 1 1 y borre los demás.",
        ),
    )
}

fn matches(draft: Draft, records: &[Tlsa], certificate: &Loaded) -> Check {
    let certificate = match certificate {
        Some(Ok(certificate)) => certificate,
        Some(Err(_)) => return draft.skipped(&CERT),
        None => {
            return draft.finding(
                (
                    "TLSA records promise a certificate, and none is configured",
                    "los registros TLSA prometen un certificado, y no hay ninguno configurado",
                ),
                ("a certificate that matches", "un certificado que corresponda"),
                (
                    "Configure the certificate under `[tls]`, or delete the records at {name}.",
                    "Configure el certificado en `[tls]`, o borre los registros de {name}.",
                ),
            );
        }
    };
    if records.iter().any(|record| record.matches(certificate)) {
        return draft
            .pass(("a record matches the certificate", "un registro corresponde al certificado"));
    }
    let key = certificate.chain().next().and_then(|(_, key)| key);
    let right = key.map(|key| hex(digest::digest(&digest::SHA256, key.as_ref()).as_ref()));
    draft.with("right", right.unwrap_or_default()).finding(
        (
            "no record matches the certificate: senders that follow DANE do not deliver",
            "ningún registro corresponde al certificado: los remitentes que siguen DANE no \
             entregan",
        ),
        "3 1 1 {right}",
        "{name}. IN TLSA 3 1 1 {right}",
    )
}

impl Tlsa {
    /// RFC 7671 §5: usage 3 is about our certificate, 2 about one of its issuers in the
    /// chain; others are not usable.
    fn matches(&self, certificate: &OwnCertificate) -> bool {
        certificate.chain().enumerate().any(|(depth, (whole, key))| {
            let is_meant = matches!((self.usage, depth), (3, 0) | (2, 1..));
            let part = match (self.selector, &key) {
                (0, _) => Some(whole),
                (1, Some(key)) => Some(key.as_ref()),
                _ => None,
            };
            is_meant && part.is_some_and(|part| self.matches_part(part))
        })
    }

    fn matches_part(&self, part: &[u8]) -> bool {
        match self.matching {
            0 => part == self.data,
            1 => digest::digest(&digest::SHA256, part).as_ref() == self.data,
            2 => digest::digest(&digest::SHA512, part).as_ref() == self.data,
            _ => false,
        }
    }
}

fn hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}

#[cfg(test)]
mod tests;
