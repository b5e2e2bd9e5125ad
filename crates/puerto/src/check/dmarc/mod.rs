//! DMARC (RFC 9989): is there a policy, can it be read, and does our mail pass it?

mod organization;
mod reports;

use puerto_mail::dmarc::mend::{self, Fault, Mended};
use puerto_mail::dmarc::{
    self, Alignment, Authenticated, DmarcResult, Evaluation, Mode, PublicSuffix,
};
use puerto_mail::dns::RecordType;
use puerto_mail::spf::SpfResult;

use super::context::Context;
use super::outcome::{Check, Definition, Draft, family};
use super::world::World;
use crate::dnsplan::{dmarc_proposal, said_of_faults};
use crate::finding::Severity;
use crate::lang::{Said, Text, said_of};
use puerto_mail::together::together;

family! {
    FAMILY = "dmarc" ["DMARC"] is_of_machine: false;

    EXISTS = "dmarc.exists" Error "RFC 9989 §4.7, §4.10.1" [
        "A DMARC record applies to the domain",
        "Al dominio se le aplica un registro DMARC",
        "Gmail, Yahoo, Microsoft and Apple demand one of whoever sends much, and look for it with \
         everybody. Begin with `p=none` and an address for reports.",
        "Gmail, Yahoo, Microsoft y Apple se lo exigen a quien envía mucho, y lo buscan en todos. \
         Empiece con `p=none` y una dirección para los informes.",
        right: "{record}";
        wrong: "no record", "no hay registro";
        expected: "a DMARC record", "un registro DMARC";
        remedy: "{publish}";
    ];
    SINGLE = "dmarc.single" Error "RFC 9989 §4.10" [
        "There is one DMARC record only",
        "Hay un solo registro DMARC",
        "Where there are several, receivers use none of them.",
        "Donde hay varios, los receptores no usan ninguno.",
        right: "one record", "un registro";
        wrong: "{count} records: {records}", "{count} registros: {records}";
        expected: "one record", "un solo registro";
        remedy: "Put one in the place of all: {publish}", "Ponga uno en lugar de todos: {publish}";
    ];
    SYNTAX = "dmarc.syntax" Error "RFC 9989 §4.7, §4.8" [
        "The record can be read",
        "El registro se puede leer",
        "It begins with `v=DMARC1`, in capitals; its tags are separated by semicolons and have \
         values that are defined.",
        "Empieza por `v=DMARC1`, en mayúsculas; sus etiquetas van separadas por punto y coma y \
         tienen valores definidos.",
        right: "every tag is right", "todas las etiquetas son correctas";
        wrong: "{wrong}: {record}";
        expected: "v=DMARC1 in front, and tags with values that are defined",
            "v=DMARC1 delante, y etiquetas con valores definidos";
        remedy: "{publish}";
    ];
    LOCATION = "dmarc.location" Error "RFC 9989 §4.7" [
        "The record stands at _dmarc.DOMAIN",
        "El registro está en _dmarc.DOMINIO",
        "A DMARC record at the domain itself, or at _dmarc._dmarc, is never read.",
        "Un registro DMARC en el dominio mismo, o en _dmarc._dmarc, no lo lee nadie.",
        right: "nowhere else", "en ningún otro sitio";
        wrong: "a DMARC record at {name}", "un registro DMARC en {name}";
        expected: "at {right} only", "solo en {right}";
        remedy: "Delete it at {name} and publish: {right}. IN TXT \"{record}\"",
            "Bórrelo de {name} y publique: {right}. IN TXT \"{record}\"";
    ];
    MISSING_P = "dmarc.missing-p" Warning "RFC 9989 §4.7, §4.10.1" [
        "The record says its policy",
        "El registro dice su política",
        "Without `p=` old receivers ignore the record. Write it right behind `v=DMARC1`.",
        "Sin `p=` los receptores antiguos ignoran el registro. Escríbalo justo detrás de `v=DMARC1`.",
        right: "p={policy}";
        wrong: "no p=: {record}", "sin p=: {record}";
        remedy: "{publish}";
    ];
    POLICY = "dmarc.policy" Warning "RFC 9989 §7.4" [
        "The policy that applies to the domain",
        "La política que se aplica al dominio",
        "`p=none` asks for reports only and stops nobody from using the name; go on to \
         `quarantine` after a month of clean reports. `p=reject` is for domains whose users do \
         not write to mailing lists, and never with SPF alone.",
        "`p=none` solo pide informes y no impide que nadie use el nombre; pase a `quarantine` tras \
         un mes de informes limpios. `p=reject` es para dominios cuyos usuarios no escriben a \
         listas de correo, y nunca solo con SPF.",
        right: "{policy}";
    ];
    SUBDOMAIN = "dmarc.subdomain" Info "RFC 9989 §4.7" [
        "The policy that applies to subdomains",
        "La política que se aplica a los subdominios",
        "`sp` holds for subdomains, `np` for those that do not exist. `np=reject` costs nothing.",
        "`sp` vale para los subdominios, `np` para los que no existen. `np=reject` no cuesta nada.",
        right: "sp={sp} np={np}";
    ];
    ALIGNMENT = "dmarc.alignment" Error "RFC 9989 §4.4, §4.10.2" [
        "Our mail passes DMARC",
        "Nuestro correo pasa DMARC",
        "SPF or DKIM must pass for the domain in From, or for one of the same organization. With \
         a strict mode it must be the same domain.",
        "SPF o DKIM deben pasar para el dominio de From, o para uno de la misma organización. En \
         modo estricto debe ser el mismo dominio.",
        right: "{proofs}";
        expected: "SPF or DKIM for {domain}", "SPF o DKIM de {domain}";
        remedy: "Sign with a key of {domain} (puerto dkim new {domain}), or use adkim=r and aspf=r",
            "Firme con una clave de {domain} (puerto dkim new {domain}), o use adkim=r y aspf=r";
    ];
    STRICT = "dmarc.strict" Info "RFC 9989 §4.7" [
        "Alignment is relaxed",
        "La alineación es relajada",
        "With `adkim=s` or `aspf=s` mail from a subdomain's envelope or signature fails. Use the \
         relaxed mode unless you know why not.",
        "Con `adkim=s` o `aspf=s` falla el correo con sobre o firma de un subdominio. Use el modo \
         relajado salvo que sepa por qué no.",
        right: "relaxed", "relajada";
        wrong: "{record}";
        remedy: "Delete adkim=s and aspf=s at {name}", "Borre adkim=s y aspf=s en {name}";
    ];
    ORG_DOMAIN = "dmarc.org-domain" Warning "RFC 9989 §4.10.2, App. C.3; RFC 7489 §3.2" [
        "The organizational domain is the same for all receivers",
        "El dominio organizativo es el mismo para todos los receptores",
        "New receivers find it by walking up the DNS tree, old ones by the list of public \
         suffixes. Where both differ, so do the policy that applies and the domains that count as \
         yours. Publish a record at the domain that the list names, with `psd=n` if one above it has \
         a record too, or use strict alignment.",
        "Los receptores nuevos lo hallan recorriendo el árbol del DNS; los antiguos, con la lista \
         de sufijos públicos. Donde difieren, también difieren la política aplicable y los dominios \
         que cuentan como suyos. Publique un registro en el dominio que nombra la lista, con \
         `psd=n` si también lo tiene uno superior, o use alineación estricta.",
        right: "{walk}";
        wrong: "{walk} by the tree walk, {list} by the list of public suffixes; our mail: {new}, {old}",
            "{walk} según el árbol del DNS, {list} según la lista de sufijos públicos; nuestro \
             correo: {new}, {old}";
        expected: "the same by both ways", "el mismo de ambas formas";
    ];
    PSD = "dmarc.psd" Warning "RFC 9989 §4.7, §4.10" [
        "The record does not call the domain a public suffix",
        "El registro no llama sufijo público al dominio",
        "`psd=y` is for registries, such as that of `co.uk`. With it your subdomains count as \
         strangers.",
        "`psd=y` es para registros, como el de `co.uk`. Con él sus subdominios cuentan como ajenos.",
        right: "no psd=y", "sin psd=y";
        wrong: "psd=y";
        remedy: "Delete psd=y at {name}", "Borre psd=y en {name}";
    ];
    RUA = "dmarc.rua" Warning "RFC 9989 §4.7; RFC 9990 §3" [
        "Reports go to an address that takes mail",
        "Los informes van a una dirección que recibe correo",
        "Aggregate reports show who sends in your name. Without `rua` nobody tells you.",
        "Los informes agregados muestran quién envía en su nombre. Sin `rua` nadie se lo dice.",
        right: "{target}";
        wrong: "no rua: nobody sends you reports", "sin rua: nadie le envía informes";
        expected: "rua=mailto:…";
        remedy: "{publish}";
    ];
    RUA_EXTERNAL = "dmarc.rua-external" Error "RFC 9990 §4" [
        "Other domains permit that reports are sent to them",
        "Los dominios ajenos permiten que se les envíen informes",
        "Who gets reports for another domain must publish `v=DMARC1` at \
         DOMAIN._report._dmarc.TARGET; otherwise no report is sent.",
        "Quien recibe informes de otro dominio debe publicar `v=DMARC1` en \
         DOMINIO._report._dmarc.DESTINO; si no, no se envía ninguno.",
        right: "permitted", "permitido";
        wrong: "{target} does not permit it: no reports come",
            "{target} no lo permite: no llegan informes";
        expected: "{name} TXT v=DMARC1";
        remedy: "Ask {target} to publish: {name}. IN TXT \"v=DMARC1\", or use an address of your own",
            "Pida a {target} que publique: {name}. IN TXT \"v=DMARC1\", o use una dirección propia";
    ];
    RUA_SIZE = "dmarc.rua-size" Info "RFC 9989 §4.7" [
        "The report address has no size limit",
        "La dirección de informes no lleva límite de tamaño",
        "`!10m` behind an address is obsolete. Delete it.",
        "`!10m` detrás de una dirección es obsoleto. Bórrelo.",
        right: "none", "ninguno";
        wrong: "a size limit behind the address", "un límite de tamaño tras la dirección";
        remedy: "Delete everything from ! on", "Borre desde ! en adelante";
    ];
    RUF = "dmarc.ruf" Info "RFC 9991 §7" [
        "No reports of single messages are asked for",
        "No se piden informes de mensajes sueltos",
        "`ruf` reports may hold personal data, and the large receivers send none.",
        "Los informes `ruf` pueden llevar datos personales, y los grandes receptores no los envían.",
        right: "no ruf", "sin ruf";
        wrong: "{record}";
        remedy: "Delete ruf at {name}", "Borre ruf en {name}";
    ];
    REMOVED_TAGS = "dmarc.removed-tags" Info "RFC 9989 App. A.6, C.5.2" [
        "The record has no tags that were abolished",
        "El registro no lleva etiquetas abolidas",
        "`pct`, `rf` and `ri` have no effect any more, while old receivers still obey `pct`. Use \
         `t=y` for tests.",
        "`pct`, `rf` y `ri` ya no tienen efecto, aunque los receptores antiguos aún obedecen \
         `pct`. Para pruebas use `t=y`.",
        right: "none", "ninguna";
        wrong: "{record}";
        remedy: "Delete pct, rf and ri at {name}", "Borre pct, rf y ri en {name}";
    ];
    TESTING = "dmarc.testing" Info "RFC 9989 §4.7" [
        "The policy is not in test mode",
        "La política no está en modo de prueba",
        "`t=y` lowers the policy by one step. Remove it when the tests are over.",
        "`t=y` rebaja la política un paso. Quítelo cuando acaben las pruebas.",
        right: "no t=y", "sin t=y";
        wrong: "{record}";
        remedy: "Delete t=y at {name}", "Borre t=y en {name}";
    ];
}

/// Names that a walk up the tree asks at most (RFC 9989 §4.10).
const MAX_WALK: usize = 8;

pub(super) async fn run<W: World>(context: &Context<'_, W>) -> Vec<Check> {
    let domain = context.domain.as_str();
    let own = format!("_dmarc.{domain}");
    let (texts, location, authenticated, ()) = tokio::join!(
        context.texts(&own),
        location(context),
        authenticated(context),
        walk_ahead(context),
    );
    let texts = match at(context, &EXISTS, domain).answered(texts) {
        Ok(texts) => texts,
        Err(silent) => {
            let rest = [&SINGLE, &SYNTAX, &POLICY, &ALIGNMENT, &RUA];
            let checks = silent.skipping(&rest, |check| context.about(check, domain));
            return [checks, vec![location]].concat();
        }
    };
    let (spf, dkim, certain) = authenticated;
    let evaluation = dmarc::evaluate(context.world, domain, spf.as_ref(), &dkim).await;
    let publish_own = publish(context, domain, &texts).await;
    let mut checks = found(context, &texts, &evaluation, (&location, &publish_own));
    checks.push(location);
    let Some(record) = &evaluation.record else {
        if evaluation.result != DmarcResult::TempError {
            checks.extend(asks_nothing(context, (&texts, &publish_own), &checks));
            let cause = checks.iter().find(|check| check.is_wrong());
            let cause = cause.map_or(&EXISTS, |check| check.definition);
            let rest = [&MISSING_P, &POLICY, &ALIGNMENT, &RUA].into_iter();
            let rest = rest.filter(|check| *check != cause);
            checks.extend(rest.map(|check| context.about(check, domain).skipped(cause)));
        }
        return checks;
    };
    let whose = evaluation.policy_domain.as_deref().unwrap_or(domain);
    let publish = publish(context, whose, std::slice::from_ref(&record.text)).await;
    let tags = mend::mend(&record.text);
    let draft = |check| at(context, check, whose).with_record("publish", &publish);
    checks.extend(of_record(draft, (&tags, record), &evaluation));
    checks.push(alignment(context, &evaluation, certain));
    checks.push(organization::check(context, &evaluation));
    checks.extend(reports::judge(context, draft, (&tags, record), whose).await);
    checks
}

// What is judged by the record of a domain, `{name}`.
fn at<W: World>(context: &Context<'_, W>, check: &'static Definition, whose: &str) -> Draft {
    let name = format!("_dmarc.{whose}");
    context.asking(check, whose, (&name, RecordType::Txt)).with("name", name)
}

// A record without a policy that names nobody to report to is ignored by all.
fn asks_nothing<W: World>(
    context: &Context<'_, W>,
    (texts, publish): (&[String], &Said),
    found: &[Check],
) -> Option<Check> {
    let mut records = texts.iter().filter(|text| mend::is_meant(text));
    let record = records.next().filter(|_| !found.iter().any(Check::is_wrong))?;
    let draft = at(context, &MISSING_P, &context.domain);
    let draft = draft.with("record", record).with_record("publish", publish);
    Some(draft.expected(("a policy", "una política")).finding((
        "no p= and no rua=, so that receivers ignore it: {record}",
        "sin p= ni rua=, de modo que los receptores no lo tienen en cuenta: {record}",
    )))
}

// The line that mends the record, as `puerto dns` proposes it.
async fn publish<W: World>(context: &Context<'_, W>, whose: &str, texts: &[String]) -> Said {
    let name = format!("_dmarc.{whose}");
    let proposal = dmarc_proposal(whose, texts);
    let alias = context.alias_of(&name).await;
    context.to_publish(alias.as_deref(), &format!("{name}. IN TXT \"{}\"", proposal.text))
}

// What the walk up the tree will ask one after the other, so that the answers are there.
async fn walk_ahead<W: World>(context: &Context<'_, W>) {
    let names = context
        .domain
        .match_indices('.')
        .filter_map(|(at, _)| context.domain.get(at + 1..).map(|above| format!("_dmarc.{above}")));
    let names: Vec<_> = names.take(MAX_WALK).collect();
    together(names.iter().map(|name| context.texts(name))).await;
}

// What SPF and DKIM come to for our mail, and whether that is certain.
async fn authenticated<W: World>(
    context: &Context<'_, W>,
) -> (Option<Authenticated>, Vec<Authenticated>, bool) {
    let domain = &context.domain;
    let results = context.spf_of(&context.senders()).await;
    let every =
        |is: fn(SpfResult) -> bool| !results.is_empty() && results.iter().all(|one| is(one.result));
    let passes = every(|result| result == SpfResult::Pass);
    let mut certain = every(|result| result != SpfResult::TempError);
    let signatures = together(context.keys.iter().map(async |key| {
        let published = context.texts(&key.record_name()).await;
        (published.is_ok(), key.domain.clone(), published.is_ok_and(|texts| !texts.is_empty()))
    }))
    .await;
    certain &= signatures.iter().all(|(is_certain, ..)| *is_certain);
    let signatures = signatures.into_iter().map(|(_, key, pass)| Authenticated::new(key, pass));
    (Some(Authenticated::new(domain.clone(), passes)), signatures.collect(), certain)
}

fn found<W: World>(
    context: &Context<'_, W>,
    texts: &[String],
    evaluation: &Evaluation,
    (location, publish): (&Check, &Said),
) -> Vec<Check> {
    let draft = |check| at(context, check, &context.domain).with_record("publish", publish);
    let records: Vec<&str> =
        texts.iter().filter(|text| mend::is_meant(text)).map(String::as_str).collect();
    match records.as_slice() {
        [] => vec![match (&evaluation.record, &evaluation.policy_domain) {
            (Some(record), Some(whose)) => draft(&EXISTS)
                .with("record", &record.text)
                .with("whose", whose)
                .pass(("that of {whose}: {record}", "el de {whose}: {record}")),
            _ if evaluation.result == DmarcResult::TempError => draft(&EXISTS).dns_silent(),
            _ if location.is_wrong() => draft(&EXISTS).skipped(&LOCATION),
            _ if texts.is_empty() => draft(&EXISTS).wrong(),
            _ => draft(&EXISTS).with("other", texts.join(" | ")).finding((
                "no record begins with v=DMARC1: {other}",
                "ningún registro empieza por v=DMARC1: {other}",
            )),
        }],
        [text] => {
            let draft = |check| draft(check).with("record", text);
            // That nothing is asked for is told by itself.
            let mut faults = mend::mend(text).faults;
            faults.retain(|fault| *fault != Fault::NoPolicy);
            // Most receivers read past a semicolon too many.
            let severity = match faults.as_slice() {
                [Fault::Separator] if evaluation.record.is_some() => Severity::Warning,
                _ => Severity::Error,
            };
            let syntax = match said_of_faults(&faults) {
                None => draft(&SYNTAX).right(),
                Some(wrong) => draft(&SYNTAX).severity(severity).with_said("wrong", wrong).wrong(),
            };
            vec![draft(&EXISTS).right(), draft(&SINGLE).right(), syntax]
        }
        several => {
            let draft = |check| draft(check).with("count", several.len());
            let exists = draft(&EXISTS).pass(("{count} records", "{count} registros"));
            vec![exists, draft(&SINGLE).with("records", several.join(" | ")).wrong()]
        }
    }
}

async fn location<W: World>(context: &Context<'_, W>) -> Check {
    let domain = context.domain.as_str();
    let names = [domain.to_owned(), format!("_dmarc._dmarc.{domain}")];
    let right = format!("_dmarc.{domain}");
    let draft = |name| {
        let asking = context.asking(&LOCATION, domain, (name, RecordType::Txt));
        asking.with("right", &right).with("name", name)
    };
    let (at_right, answers) =
        tokio::join!(context.texts(&right), together(names.iter().map(|name| context.texts(name))));
    let is_record = |text: &&String| mend::is_meant(text);
    // Where every name has the record, that is a wildcard's doing.
    let also_right = at_right.iter().flatten().any(|text| is_record(&text));
    let mut unread = None;
    for (name, texts) in names.iter().zip(&answers) {
        match texts {
            Err(error) => unread = Some(draft(name).no_answer(error)),
            Ok(_) if also_right && name != domain => {}
            Ok(texts) => {
                if let Some(text) = texts.iter().find(is_record) {
                    return draft(name).with_record("record", Said::words(text)).wrong();
                }
            }
        }
    }
    unread.unwrap_or_else(|| draft(domain).right())
}

fn of_record(
    draft: impl Fn(&'static Definition) -> Draft,
    (tags, record): (&Mended, &dmarc::Record),
    evaluation: &Evaluation,
) -> Vec<Check> {
    let subdomains = record.subdomain_policy.unwrap_or(record.policy);
    let draft = |check| {
        draft(check)
            .with("policy", evaluation.policy)
            .with("sp", subdomains)
            .with("np", record.nonexistent_policy.unwrap_or(subdomains))
            .with("record", &record.text)
    };
    let policy = match evaluation.policy {
        dmarc::Policy::None => draft(&POLICY).pass((
            "none: reports only; later quarantine",
            "none: solo informes; más adelante, quarantine",
        )),
        _ => draft(&POLICY).right(),
    };
    let is_strict = record.dkim_mode == Mode::Strict || record.spf_mode == Mode::Strict;
    let has = |tag: &str| tags.get(tag).is_some();
    vec![
        draft(&MISSING_P).judge(tags.faults.contains(&Fault::NoPolicy)),
        policy,
        draft(&SUBDOMAIN).right(),
        draft(&PSD).judge(record.public_suffix == PublicSuffix::Yes),
        draft(&STRICT).judge(is_strict),
        draft(&RUF).judge(has("ruf")),
        draft(&REMOVED_TAGS).judge(["pct", "rf", "ri"].into_iter().any(has)),
        draft(&TESTING).judge(record.testing),
    ]
}

fn alignment<W: World>(context: &Context<'_, W>, evaluation: &Evaluation, certain: bool) -> Check {
    let spf = evaluation.spf.iter().map(|proof| ("SPF", proof));
    let proofs: Vec<_> = spf.chain(evaluation.dkim.iter().map(|proof| ("DKIM", proof))).collect();
    let shown: Vec<_> = proofs
        .iter()
        .map(|(what, (domain, alignment))| {
            let domain = Said::words(format!("{what} {domain}"));
            said_of!("{domain}: {word}", "{domain}: {word}"; domain = domain, word = word(*alignment))
        })
        .collect();
    let draft = context.about(&ALIGNMENT, &context.domain);
    let draft = draft.with_said("proofs", Said::joined(&shown, ", "));
    let is_misaligned =
        |(_, (_, alignment)): &(_, &(_, Alignment))| *alignment == Alignment::NotAligned;
    match evaluation.result {
        DmarcResult::Pass => draft.right(),
        result if !certain || result == DmarcResult::TempError => {
            draft.unknown(("the DNS did not answer: {proofs}", "el DNS no respondió: {proofs}"))
        }
        _ if proofs.iter().any(is_misaligned) => draft.wrong(),
        _ => draft.not_applicable((
            "neither SPF nor DKIM passes, see there: {proofs}",
            "no pasan ni SPF ni DKIM, véase ahí: {proofs}",
        )),
    }
}

fn word(alignment: Alignment) -> Said {
    let word = match alignment {
        Alignment::Aligned => Text::new("pass, aligned", "pass, alineado"),
        Alignment::NotAligned => Text::new("pass, not aligned", "pass, no alineado"),
        Alignment::NotPassed => Text::new("no pass", "sin pass"),
        Alignment::Unknown => Text::new("unknown", "no se sabe"),
    };
    word.into()
}
