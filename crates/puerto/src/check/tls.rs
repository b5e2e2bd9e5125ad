//! TLS for mail that comes to this server: its certificate, and what the domain says
//! about it in the DNS. Nobody refuses our mail for it, but bounces and reports come
//! this way, and a broken promise (MTA-STS, DANE) keeps them out.

use jiff::Timestamp;
use rustls::Error;

use super::context::Context;
use super::outcome::{Check, Draft, Judged, family, told};
use super::receiving::Receiving;
use super::world::World;
use super::{dane, mtasts, policies};
use crate::lang::Text;
use crate::tls::{OwnCertificate, TlsError, tls_failure};

family! {
    FAMILY = "tls" ["TLS towards this server", "TLS hacia este servidor"] is_of_machine: false;

    IN_STARTTLS = "tls.in-starttls" Warning "RFC 3207 §4" [
        "This server offers STARTTLS to those who bring mail",
        "Este servidor ofrece STARTTLS a quien le trae correo",
        "Without a certificate, replies and bounces travel in plain text, and senders that insist \
         on TLS cannot deliver at all. Name a certificate and its key under `[tls]`.",
        "Sin certificado, las respuestas y los rebotes viajan en claro, y quien exige TLS no puede \
         entregar nada. Indique un certificado y su clave en `[tls]`.",
        right: "STARTTLS is offered", "se ofrece STARTTLS";
        wrong: "no certificate is configured, so STARTTLS is not offered",
            "no hay certificado configurado, así que no se ofrece STARTTLS";
        expected: "STARTTLS";
        remedy: "[tls]\ncertificate = \"/etc/letsencrypt/live/{subject}/fullchain.pem\"\nkey = \
                 \"/etc/letsencrypt/live/{subject}/privkey.pem\"";
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
        right: "valid until {end}", "válido hasta el {end}";
    ];
    VERSIONS = "tls.versions" Warning "RFC 8996 §4" [
        "Only TLS 1.2 and 1.3 are spoken",
        "Solo se habla TLS 1.2 y 1.3",
        "Older versions are broken. This server has none of them and takes no RSA key below 2048 \
         bits, so that nothing need be set.",
        "Las versiones anteriores están rotas. Este servidor no tiene ninguna y no acepta claves \
         RSA de menos de 2048 bits, así que no hay que configurar nada.",
        right: "TLS 1.2 and 1.3 only, and no RSA key below 2048 bits",
            "solo TLS 1.2 y 1.3, y ninguna clave RSA de menos de 2048 bits";
    ];
    MTASTS_RECORD = "mtasts.record" Info "RFC 8461 §3.1" [
        "The MTA-STS record is well formed",
        "El registro MTA-STS está bien formado",
        "`_mta-sts.DOMAIN` tells senders that a policy demands TLS towards your MX hosts. It is \
         optional. It must be one TXT record, `v=STSv1; id=…`, with an id of 1 to 32 letters and \
         digits that changes with the policy; otherwise senders act as if there were none.",
        "`_mta-sts.DOMINIO` indica a los remitentes que una política exige TLS hacia sus MX. Es \
         opcional. Debe ser un único registro TXT, `v=STSv1; id=…`, con un id de 1 a 32 letras y \
         cifras que cambia con la política; si no, los remitentes actúan como si no existiera.",
        right: "{record}";
        expected: "one TXT record: {form}", "un único registro TXT: {form}";
        remedy: "{name}. IN TXT \"{form}\"";
    ];
    MTASTS_POLICY = "mtasts.policy" Warning "RFC 8461 §3.2, §3.3" [
        "The MTA-STS policy can be fetched and read",
        "La política MTA-STS se puede obtener y leer",
        "Where `_mta-sts.DOMAIN` is published, senders fetch \
         `https://mta-sts.DOMAIN/.well-known/mta-sts.txt`: plain text, without a redirect, from \
         a host whose certificate is valid for that name. If they cannot, the policy has no \
         effect.",
        "Donde existe `_mta-sts.DOMINIO`, los remitentes piden \
         `https://mta-sts.DOMINIO/.well-known/mta-sts.txt`: texto sin formato, sin redirección, de \
         una máquina con certificado válido para ese nombre. Si no pueden, la política no tiene \
         efecto.",
        right: "mode: {mode}";
        expected: "status 200, text/plain, version, mode, mx and max_age",
            "estado 200, text/plain, version, mode, mx y max_age";
        remedy: "Serve the policy at {url} itself, with a certificate for {host}, or delete the TXT \
                 record at _mta-sts.{subject}",
            "Sirva la política en {url} mismo, con un certificado de {host}, o borre el registro \
             TXT de _mta-sts.{subject}";
    ];
    MTASTS_MX = "mtasts.mx-match" Error "RFC 8461 §4.1" [
        "The MTA-STS policy names every MX host",
        "La política MTA-STS nombra todos los MX",
        "Senders that obey the policy deliver to no host that it does not name. Add the host to \
         the policy first, then change the id in the TXT record.",
        "Los remitentes que obedecen la política no entregan a ninguna máquina que no nombre. \
         Añada primero la máquina a la política y cambie después el id del registro TXT.",
        right: "{hosts}";
        wrong: "the policy names {named}, not {strangers}",
            "la política nombra {named}, no {strangers}";
        expected: "every MX host", "todos los MX";
        remedy: "Add to the policy, then change the id at _mta-sts.{subject}:\n{lines}",
            "Añada a la política, y cambie después el id en _mta-sts.{subject}:\n{lines}";
    ];
    MTASTS_MAX_AGE = "mtasts.max-age" Info "RFC 8461 §3.2" [
        "The MTA-STS policy holds for a day to a year",
        "La política MTA-STS dura de un día a un año",
        "A short time leaves senders without the policy just when somebody interferes. A week or \
         more is usual.",
        "Un plazo corto deja a los remitentes sin la política justo cuando alguien interfiere. Lo \
         usual es una semana o más.",
        right: "{seconds} seconds", "{seconds} segundos";
        expected: "86400 to 31557600 seconds", "de 86400 a 31557600 segundos";
        remedy: "max_age: 604800";
    ];
    MTASTS_ID = "mtasts.id" Warning "RFC 8461 §3.1" [
        "The MTA-STS record has the id of the policy that this server serves",
        "El registro MTA-STS lleva el id de la política que sirve este servidor",
        "Senders fetch the policy anew when the id changes, and only then. First the policy, then \
         the id: reload this server, then publish the record.",
        "Los remitentes vuelven a obtener la política cuando cambia el id, y solo entonces. Primero \
         la política y después el id: recargue este servidor y publique entonces el registro.",
        right: "{id}";
        wrong: "the id is not {id}: senders go on with the policy that they have",
            "el id no es {id}: los remitentes siguen con la política que tienen";
        expected: "id={id}";
        remedy: "{name}. IN TXT \"v=STSv1; id={id};\"";
    ];
    TLSRPT_RECORD = "tlsrpt.record" Info "RFC 8460 §3" like MTASTS_RECORD [
        "The TLS-RPT record is well formed",
        "El registro TLS-RPT está bien formado",
        "`_smtp._tls.DOMAIN` says where senders report that TLS towards your MX hosts failed. It \
         is optional, and useful with MTA-STS or DANE. It must be one TXT record, \
         `v=TLSRPTv1; rua=…`, with mailto: or https: addresses.",
        "`_smtp._tls.DOMINIO` indica adónde informan los remitentes de los fallos de TLS hacia sus \
         MX. Es opcional, y útil junto a MTA-STS o DANE. Debe ser un único registro TXT, \
         `v=TLSRPTv1; rua=…`, con direcciones mailto: o https:.",
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
        right: "a record matches the certificate", "un registro corresponde al certificado";
        wrong: "no record matches the certificate: senders that follow DANE do not deliver",
            "ningún registro corresponde al certificado: los remitentes que siguen DANE no entregan";
        expected: "3 1 1 {right}";
        remedy: "{name}. IN TLSA 3 1 1 {right}";
    ];
    DANE_SHOWN = "dane.shown" Warning "RFC 7672 §3" [
        "What port 25 shows matches the TLSA records",
        "Lo que muestra el puerto 25 corresponde a los registros TLSA",
        "Senders that follow DANE go by the certificate that they are shown. The one on the disk may \
         be right while the server still shows the one before, or while another program answers at \
         the address that the DNS gives.",
        "Los remitentes que siguen DANE se rigen por el certificado que se les muestra. El del \
         disco puede ser el correcto mientras el servidor muestra aún el anterior, o mientras en la \
         dirección que da el DNS responde otro programa.",
        right: "{seen}";
        wrong: "{seen}: senders that follow DANE do not deliver",
            "{seen}: los remitentes que siguen DANE no entregan";
        expected: "a certificate that a record of {name} matches",
            "un certificado al que corresponda un registro de {name}";
        remedy: "If the certificate was renewed: systemctl reload puerto. If another program answers \
                 there, its certificate has to match.",
            "Si se ha renovado el certificado: systemctl reload puerto. Si allí responde otro \
             programa, su certificado ha de corresponder.";
    ];
    DANE_USAGE = "dane.usage" Warning "RFC 7672 §3.1" [
        "The TLSA records have a usage that SMTP knows",
        "Los registros TLSA tienen un uso que SMTP conoce",
        "For SMTP only the usages 2 and 3 count; 0 and 1 are not usable, so that senders find \
         none. `3 1 1` is the form that lasts over renewals with the same key.",
        "En SMTP solo cuentan los usos 2 y 3; 0 y 1 no son utilizables, de modo que los remitentes \
         no encuentran ninguno. `3 1 1` es la forma que sobrevive a las renovaciones con la misma \
         clave.",
        right: "{records}";
        wrong: "{records}: the usages 0 and 1 do not count for SMTP",
            "{records}: los usos 0 y 1 no cuentan en SMTP";
        expected: "usage 3 (or 2)", "uso 3 (o 2)";
        remedy: "Publish records of the form 3 1 1 and delete the others.",
            "Publique registros de la forma 3 1 1 y borre los demás.";
    ];
}

/// Where this server gets it by itself.
const GOT_HERE: Text = Text::new(
    "puerto certificate, which says why, and what to do",
    "puerto certificate, que dice por qué y qué hacer",
);

/// A certificate that ends sooner is to be renewed now.
const RENEW_BEFORE: i64 = 14 * DAY;
const DAY: i64 = 24 * 3600;

/// The configured certificate, if there is one.
pub(super) type Loaded = Option<Result<OwnCertificate, TlsError>>;

pub(super) async fn run<W: World>(context: &Context<'_, W>) -> Vec<Check> {
    let sts = async {
        let record = policies::record(context, &policies::MTA_STS).await;
        let mut checks = mtasts::run(context, &record).await;
        checks.push(record);
        checks
    };
    let tls_rpt = policies::record(context, &policies::TLS_RPT);
    let (receiving, sts, tls_rpt) = tokio::join!(Receiving::find(context), sts, tls_rpt);
    let certificate = context.config.tls.as_ref().map(OwnCertificate::load);
    let versions = loaded(&certificate, context.about(&VERSIONS, &context.helo));
    let mut checks = vec![
        told(in_starttls(context, &receiving, &certificate)),
        told(versions.map(|(_, draft)| draft.right())),
        tls_rpt,
    ];
    checks.extend(sts);
    checks.extend(cert(context, &receiving, &certificate));
    checks.extend(dane::run(context, &receiving, &certificate).await);
    checks
}

fn in_starttls<W: World>(
    context: &Context<'_, W>,
    receiving: &Receiving,
    certificate: &Loaded,
) -> Judged {
    let draft = context.about(&IN_STARTTLS, &context.helo);
    receiving.here(&draft)?;
    match certificate {
        None => Ok(draft.wrong()),
        _ => loaded(certificate, draft).map(|(_, draft)| draft.right()),
    }
}

// For what can be judged only of a certificate.
pub(super) fn loaded(certificate: &Loaded, draft: Draft) -> Judged<(&OwnCertificate, Draft)> {
    const NONE: Text = Text::new("no certificate is configured", "no hay certificado configurado");
    match certificate {
        Some(Ok(certificate)) => Ok((certificate, draft)),
        Some(Err(_)) => draft.skipped(&CERT).fails(),
        None => draft.not_applicable(NONE).fails(),
    }
}

fn cert<W: World>(
    context: &Context<'_, W>,
    receiving: &Receiving,
    certificate: &Loaded,
) -> Vec<Check> {
    let names = match receiving {
        Receiving::Here(hosts) => hosts.as_slice(),
        _ => std::slice::from_ref(&context.helo),
    };
    let draft = context.about(&CERT, &context.helo);
    if let Some(Err(error)) = certificate {
        let draft = draft
            .with_said("error", error.said())
            .expected(("a certificate with its key", "un certificado con su clave"));
        if context.config.acme.is_on() {
            return vec![
                draft
                    .remedy(GOT_HERE)
                    .finding(("there is none yet: {error}", "todavía no hay: {error}")),
            ];
        }
        return vec![
            draft
                .remedy((
                    "Correct `certificate` and `key` under `[tls]`; `puerto config check` shows the \
                     configuration's faults.",
                    "Corrija `certificate` y `key` en `[tls]`; `puerto config check` muestra los \
                     fallos de la configuración.",
                ))
                .finding(("it cannot be used: {error}", "no se puede usar: {error}")),
        ];
    }
    match loaded(certificate, draft) {
        Ok((certificate, _)) => {
            names.iter().map(|name| judge(context, certificate, name)).collect()
        }
        Err(check) => vec![*check],
    }
}

fn judge<W: World>(context: &Context<'_, W>, certificate: &OwnCertificate, name: &str) -> Check {
    let end = certificate.not_after();
    let shown = end.and_then(|end| Timestamp::from_second(end).ok()).map(|end| end.to_string());
    let left = end.map(|end| end.saturating_sub(context.now));
    let days = left.unwrap_or_default() / DAY;
    let draft =
        context.about(&CERT, name).with("end", shown.unwrap_or_default()).with("days", days);
    let to_renew = || {
        let expected = ("valid for 14 more days", "válido al menos 14 días más");
        draft.clone().expected(expected).remedy(match context.config.acme.is_on() {
            true => GOT_HERE,
            false => Text::new(
                "Renew it: certbot renew (or your ACME client), then systemctl reload puerto.",
                "Renuévelo: certbot renew (o su cliente ACME) y después systemctl reload puerto.",
            ),
        })
    };
    match (left, certificate.is_trusted(name, context.now)) {
        (Some(..=0), _) => to_renew().finding(("it expired at {end}", "caducó el {end}")),
        _ if !certificate.names(name) => draft
            .expected(("a certificate for {subject}", "un certificado para {subject}"))
            .remedy(match context.config.acme.is_on() {
                true => Text::new(
                    "Add {subject} to `names` in [acme], then systemctl reload puerto.",
                    "Añada {subject} a `names` en [acme] y después systemctl reload puerto.",
                ),
                false => Text::new(
                    "Have one issued for the name: certbot certonly -d {subject}",
                    "Pida uno para ese nombre: certbot certonly -d {subject}",
                ),
            })
            .finding(("it does not name {subject}", "no nombra a {subject}")),
        (Some(..RENEW_BEFORE), _) => to_renew().finding(Text::by_count(
            days,
            Text::new("it expires in 1 day, at {end}", "caduca en 1 día, el {end}"),
            Text::new("it expires in {days} days, at {end}", "caduca en {days} días, el {end}"),
        )),
        (_, Ok(())) => draft.right(),
        (_, Err(error @ Error::InvalidCertificate(_))) => draft
            .with_said("error", &tls_failure(&error))
            .expected((
                "a chain up to a known authority",
                "una cadena hasta una autoridad conocida",
            ))
            .remedy(match context.config.acme.is_on() {
                true => Text::new(
                    "What the authority of acme.directory issues is believed by nobody else, if it is \
                     one for trials: name the real one, then systemctl restart puerto.",
                    "Lo que emite la autoridad de acme.directory no se lo cree nadie si es una de \
                     pruebas: indique la de verdad y después systemctl restart puerto.",
                ),
                false => Text::new(
                    "Name the full chain (fullchain.pem), or have one issued: certbot certonly -d \
                     {subject}",
                    "Indique la cadena completa (fullchain.pem), o pida uno: certbot certonly -d \
                     {subject}",
                ),
            })
            .finding((
                "no authority that this system knows vouches for it, or its chain is incomplete: \
                 {error}",
                "ninguna autoridad que conozca este sistema lo avala, o su cadena está incompleta: \
                 {error}",
            )),
        (_, Err(error)) => draft.with_said("error", &tls_failure(&error)).unknown((
            "whether it is trusted cannot be told: {error}",
            "no se puede saber si es de confianza: {error}",
        )),
    }
}

#[cfg(test)]
mod tests;
