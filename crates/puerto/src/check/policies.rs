//! What a domain may publish about mail that comes to it, beside DANE: MTA-STS,
//! TLS-RPT, BIMI. None is demanded; a broken record is as good as none, and its owner
//! believes to have one.

use puerto_mail::dns::RecordType;

use super::context::Context;
use super::outcome::{Check, Definition, Family, definitions};
use super::world::World;
use crate::lang::Text;

/// Records for brands.
pub(super) static BIMI_FAMILY: Family = Family {
    name: "bimi",
    title: Text::new("The brand's logo", "El logotipo de la marca"),
    is_of_machine: false,
    checks: &[&BIMI_RECORD],
};

definitions! {
    MTASTS_RECORD = "mtasts.record" Info "RFC 8461 §3.1" [
        "The MTA-STS record is well formed",
        "El registro MTA-STS está bien formado",
        "`_mta-sts.DOMAIN` tells senders that a policy demands TLS towards your MX hosts. It is \
         optional. It must be one TXT record, `v=STSv1; id=…`, with an id of 1 to 32 letters and \
         digits that changes with the policy; otherwise senders act as if there were none.",
        "`_mta-sts.DOMINIO` indica a los remitentes que una política exige TLS hacia sus MX. Es \
         opcional. Debe ser un único registro TXT, `v=STSv1; id=…`, con un id de 1 a 32 letras y \
         cifras que cambia con la política; si no, los remitentes actúan como si no existiera.",
    ];
    TLSRPT_RECORD = "tlsrpt.record" Info "RFC 8460 §3" [
        "The TLS-RPT record is well formed",
        "El registro TLS-RPT está bien formado",
        "`_smtp._tls.DOMAIN` says where senders report that TLS towards your MX hosts failed. It \
         is optional, and useful with MTA-STS or DANE. It must be one TXT record, \
         `v=TLSRPTv1; rua=…`, with mailto: or https: addresses.",
        "`_smtp._tls.DOMINIO` indica adónde informan los remitentes de los fallos de TLS hacia sus \
         MX. Es opcional, y útil junto a MTA-STS o DANE. Debe ser un único registro TXT, \
         `v=TLSRPTv1; rua=…`, con direcciones mailto: o https:.",
    ];
    BIMI_RECORD = "bimi.record" Info "" [
        "The BIMI record is well formed",
        "El registro BIMI está bien formado",
        "`default._bimi.DOMAIN` names a logo that some receivers show beside your mail, if DMARC \
         says quarantine or reject and a certificate vouches for the logo. It is optional: \
         without that certificate it does little.",
        "`default._bimi.DOMINIO` indica un logotipo que algunos receptores muestran junto a su \
         correo, si DMARC dice quarantine o reject y un certificado avala el logotipo. Es \
         opcional: sin ese certificado sirve de poco.",
    ];
}

/// One kind of record: where it is, how it begins, and what it must hold.
struct Kind {
    definition: &'static Definition,
    prefix: &'static str,
    version: &'static str,
    form: &'static str,
    is_right: fn(&[(&str, &str)]) -> bool,
}

pub(super) async fn mta_sts<W: World>(context: &Context<'_, W>) -> Check {
    let form = "v=STSv1; id=20261124T0800;";
    let is_right = |fields: &[(&str, &str)]| {
        value(fields, "id").is_some_and(|id| {
            (1..=32).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric())
        })
    };
    let definition = &MTASTS_RECORD;
    judge(context, &Kind { definition, prefix: "_mta-sts", version: "STSv1", form, is_right }).await
}

pub(super) async fn tls_rpt<W: World>(context: &Context<'_, W>) -> Check {
    let is_right = |fields: &[(&str, &str)]| {
        value(fields, "rua").is_some_and(|uris| {
            let known = |uri: &str| uri.starts_with("mailto:") || uri.starts_with("https://");
            uris.split(',').map(str::trim).all(known)
        })
    };
    let kind = Kind {
        definition: &TLSRPT_RECORD,
        prefix: "_smtp._tls",
        version: "TLSRPTv1",
        form: "v=TLSRPTv1; rua=mailto:postmaster@{domain}",
        is_right,
    };
    judge(context, &kind).await
}

pub(super) async fn bimi<W: World>(context: &Context<'_, W>) -> Vec<Check> {
    let is_right = |fields: &[(&str, &str)]| {
        let is_secure = |name| value(fields, name).is_none_or(secure_or_empty);
        value(fields, "l").is_some() && is_secure("l") && is_secure("a")
    };
    let kind = Kind {
        definition: &BIMI_RECORD,
        prefix: "default._bimi",
        version: "BIMI1",
        form: "v=BIMI1; l=https://{domain}/logo.svg; a=https://{domain}/logo.pem",
        is_right,
    };
    vec![judge(context, &kind).await]
}

fn secure_or_empty(uri: &str) -> bool {
    uri.is_empty() || uri.starts_with("https://")
}

const NOT_PUBLISHED: Text =
    Text::new("not published, which nobody demands", "no está publicado, cosa que nadie exige");

// Whether somebody wanted to publish a record of this kind.
fn is_meant(text: &str, kind: &Kind) -> bool {
    let version = kind.version.trim_end_matches('1').to_ascii_lowercase();
    text.to_ascii_lowercase().contains(&version)
}

async fn judge<W: World>(context: &Context<'_, W>, kind: &Kind) -> Check {
    let name = format!("{}.{}", kind.prefix, context.domain);
    let draft = context.about(kind.definition, &context.domain);
    let draft = draft.asked(context.question(&name, RecordType::Txt)).with("name", &name);
    let texts = match context.texts(&name).await {
        Ok(texts) => texts,
        Err(error) => return draft.no_answer(&error),
    };
    if texts.is_empty() {
        return draft.not_applicable(NOT_PUBLISHED);
    }
    // RFC 8461 §3.1, RFC 8460 §3: other records at the name do not count.
    let versioned = |text: &&String| {
        fields(text).first().is_some_and(|(name, value)| *name == "v" && *value == kind.version)
    };
    let records: Vec<_> = texts.iter().filter(versioned).collect();
    let form = kind.form.replace("{domain}", &context.domain);
    let draft = draft.with("form", form).with("count", records.len());
    let expected = Text::new("one TXT record: {form}", "un único registro TXT: {form}");
    let remedy = Text::new("{name}. IN TXT \"{form}\"", "{name}. IN TXT \"{form}\"");
    match records.as_slice() {
        [record] if (kind.is_right)(&fields(record)) => {
            draft.with("record", record).pass("{record}")
        }
        [record] => draft.with("record", record).finding(
            (
                "malformed, and so without effect: {record}",
                "mal formado, y por tanto sin efecto: {record}",
            ),
            expected,
            remedy,
        ),
        // A wildcard's record, say: it means nothing here, and nobody meant it to.
        [] if !texts.iter().any(|text| is_meant(text, kind)) => draft.not_applicable(NOT_PUBLISHED),
        [] => draft.with("record", texts.join(" | ")).finding(
            (
                "a record that is none of its kind, and so without effect: {record}",
                "un registro que no es de su clase, y por tanto sin efecto: {record}",
            ),
            expected,
            remedy,
        ),
        _ => draft.finding(
            (
                "{count} records, so that none has effect",
                "{count} registros, con lo que ninguno tiene efecto",
            ),
            expected,
            (
                "Delete all but one of the records at {name}.",
                "Borre todos los registros de {name} menos uno.",
            ),
        ),
    }
}

/// `name=value` between semicolons, white space around each left out.
fn fields(text: &str) -> Vec<(&str, &str)> {
    let parts = text.split(';').map(str::trim).filter(|part| !part.is_empty());
    parts
        .map(|part| {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            (name.trim(), value.trim())
        })
        .collect()
}

fn value<'a>(fields: &[(&str, &'a str)], wanted: &str) -> Option<&'a str> {
    fields.iter().find(|(name, _)| *name == wanted).map(|(_, value)| *value)
}
