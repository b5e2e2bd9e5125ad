//! What a domain may publish about mail that comes to it, beside DANE: MTA-STS,
//! TLS-RPT, BIMI. None is demanded; a broken record is as good as none, and its owner
//! believes to have one.

use puerto_mail::dns::RecordType;

use super::context::Context;
use super::mtasts;
use super::outcome::{Check, Definition, Judged, family, told};
use super::tls::{MTASTS_RECORD, TLSRPT_RECORD};
use super::world::World;
use crate::lang::{Said, Text};
use crate::survey::mtasts::id_for;

family! {
    FAMILY = "bimi" ["The brand's logo", "El logotipo de la marca"] is_of_machine: false;

    BIMI_RECORD = "bimi.record" Info "" like MTASTS_RECORD [
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
pub(super) struct Kind {
    definition: &'static Definition,
    prefix: &'static str,
    version: &'static str,
    form: &'static str,
    is_right: fn(&[(&str, &str)]) -> bool,
}

/// That a policy is to be fetched.
pub(super) static MTA_STS: Kind = Kind {
    definition: &MTASTS_RECORD,
    prefix: "_mta-sts",
    version: "STSv1",
    form: "v=STSv1; id={id};",
    is_right: |fields| {
        value(fields, "id").is_some_and(|id| {
            (1..=32).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric())
        })
    },
};

/// Where others report that TLS failed.
pub(super) static TLS_RPT: Kind = Kind {
    definition: &TLSRPT_RECORD,
    prefix: "_smtp._tls",
    version: "TLSRPTv1",
    form: "v=TLSRPTv1; rua=mailto:postmaster@{domain}",
    is_right: |fields| {
        let known = |uri: &str| uri.starts_with("mailto:") || uri.starts_with("https://");
        value(fields, "rua").is_some_and(|uris| uris.split(',').map(str::trim).all(known))
    },
};

static BIMI: Kind = Kind {
    definition: &BIMI_RECORD,
    prefix: "default._bimi",
    version: "BIMI1",
    form: "v=BIMI1; l=https://{domain}/logo.svg; a=https://{domain}/logo.pem",
    is_right: |fields| {
        let is_secure = |uri: &str| uri.is_empty() || uri.starts_with("https://");
        value(fields, "l").is_some_and(is_secure) && value(fields, "a").is_none_or(is_secure)
    },
};

pub(super) async fn run<W: World>(context: &Context<'_, W>) -> Vec<Check> {
    vec![record(context, &BIMI).await]
}

/// Judges the domain's record of a kind.
pub(super) async fn record<W: World>(context: &Context<'_, W>, kind: &Kind) -> Check {
    told(judge(context, kind).await)
}

const NOT_PUBLISHED: Text =
    Text::new("not published, which nobody demands", "no está publicado, cosa que nadie exige");

// Whether somebody wanted to publish a record of this kind.
fn is_meant(text: &str, kind: &Kind) -> bool {
    let version = kind.version.trim_end_matches('1').to_ascii_lowercase();
    text.to_ascii_lowercase().contains(&version)
}

// As it is to be published: the id of the policy that this server serves is the one that
// `puerto dns` has; for another's policy it is what can be kept of the id that is there, since one
// that had no effect is as good as new.
fn form<W: World>(context: &Context<'_, W>, kind: &Kind, texts: &[String]) -> String {
    let kept = || {
        let given = texts.iter().find_map(|text| value(&fields(text), "id").map(str::to_owned));
        let given = given.unwrap_or_default();
        let kept: String = given.chars().filter(char::is_ascii_alphanumeric).take(32).collect();
        if kept.is_empty() { "1".to_owned() } else { kept }
    };
    let id = mtasts::ours(context).map_or_else(kept, |policy| id_for(&policy));
    kind.form.replace("{domain}", &context.domain).replace("{id}", &id)
}

async fn judge<W: World>(context: &Context<'_, W>, kind: &Kind) -> Judged {
    let name = format!("{}.{}", kind.prefix, context.domain);
    let draft = context
        .asking(kind.definition, &context.domain, (&name, RecordType::Txt))
        .with("name", &name);
    let texts = draft.answered(context.texts(&name).await)?;
    let draft = draft.with_record("form", Said::words(form(context, kind, &texts)));
    // RFC 8461 §3.1, RFC 8460 §3: other records at the name do not count.
    let versioned = |text: &&String| {
        fields(text).first().is_some_and(|(name, value)| *name == "v" && *value == kind.version)
    };
    let records: Vec<_> = texts.iter().filter(versioned).collect();
    Ok(match records.as_slice() {
        [record] if (kind.is_right)(&fields(record)) => draft.with("record", record).right(),
        [record] => draft.with("record", record).finding((
            "malformed, and so without effect: {record}",
            "mal formado, y por tanto sin efecto: {record}",
        )),
        // A wildcard's record, say: it means nothing here, and nobody meant it to.
        [] if !texts.iter().any(|text| is_meant(text, kind)) => draft.not_applicable(NOT_PUBLISHED),
        [] => draft.with("record", texts.join(" | ")).finding((
            "a record that is none of its kind, and so without effect: {record}",
            "un registro que no es de su clase, y por tanto sin efecto: {record}",
        )),
        _ => draft
            .with("count", records.len())
            .remedy((
                "Delete all but one of the records at {name}.",
                "Borre todos los registros de {name} menos uno.",
            ))
            .finding((
                "{count} records, so that none has effect",
                "{count} registros, con lo que ninguno tiene efecto",
            )),
    })
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
