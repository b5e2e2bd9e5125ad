//! DMARC (RFC 9989): is there a policy, can it be read, and does our mail pass it?

mod definitions;
mod organization;
mod reports;

use puerto_mail::dmarc::{
    self, Alignment, Authenticated, DmarcResult, Evaluation, Mode, PublicSuffix,
};
use puerto_mail::dns::{DnsError, RecordType};
use puerto_mail::spf::{self, Query, SpfResult};

use super::context::Context;
use super::outcome::{Check, Family};
use super::world::World;
use crate::dnsplan::{dmarc_proposal, said_of_faults};
use crate::finding::Severity;
use crate::lang::{Said, Text, said_of};
use definitions::{
    ALIGNMENT, EXISTS, LOCATION, MISSING_P, ORG_DOMAIN, POLICY, PSD, REMOVED_TAGS, RUA,
    RUA_EXTERNAL, RUA_SIZE, RUF, SINGLE, STRICT, SUBDOMAIN, SYNTAX, TESTING,
};
use puerto_mail::dmarc::mend::{self, Fault, Mended};
use puerto_mail::together::together;

pub(super) static FAMILY: Family = Family {
    name: "dmarc",
    title: Text::same("DMARC"),
    is_of_machine: false,
    checks: &[
        &EXISTS,
        &SINGLE,
        &SYNTAX,
        &LOCATION,
        &MISSING_P,
        &POLICY,
        &SUBDOMAIN,
        &ALIGNMENT,
        &STRICT,
        &ORG_DOMAIN,
        &PSD,
        &RUA,
        &RUA_EXTERNAL,
        &RUA_SIZE,
        &RUF,
        &REMOVED_TAGS,
        &TESTING,
    ],
};

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
    let texts = match texts {
        Ok(texts) => texts,
        Err(error) => return unanswered(context, &error, location),
    };
    let (spf, dkim, certain) = authenticated;
    let evaluation = dmarc::evaluate(context.world, domain, spf.as_ref(), &dkim).await;
    let publish_own = publish(context, domain, &texts).await;
    let mut checks = found(context, &texts, &evaluation, (&location, &publish_own));
    checks.push(location);
    let Some(record) = &evaluation.record else {
        let known = evaluation.result != DmarcResult::TempError;
        let draft = |check| context.about(check, domain);
        checks.extend(asks_nothing(context, (&texts, &publish_own), &checks).filter(|_| known));
        let cause = checks.iter().find(|check| check.is_wrong()).map(|check| check.definition);
        if known {
            let rest = [&MISSING_P, &POLICY, &ALIGNMENT, &RUA];
            let rest = rest.into_iter().filter(|check| cause != Some(check));
            checks.extend(rest.map(|check| draft(check).skipped(cause.unwrap_or(&EXISTS))));
        }
        return checks;
    };
    let tags = mend::mend(&record.text);
    let whose = evaluation.policy_domain.as_deref().unwrap_or(domain);
    let publish = publish(context, whose, std::slice::from_ref(&record.text)).await;
    checks.extend(of_record(context, &tags, &evaluation, &publish));
    checks.push(alignment(context, &evaluation, certain));
    checks.push(organization::check(context, &evaluation));
    checks.extend(reports::judge(context, &tags, &evaluation, &publish).await);
    checks
}

// A record without a policy that names nobody to report to is ignored by all.
fn asks_nothing<W: World>(
    context: &Context<'_, W>,
    (texts, publish): (&[String], &Said),
    found: &[Check],
) -> Option<Check> {
    let own = format!("_dmarc.{}", context.domain);
    let mut records = texts.iter().filter(|text| mend::is_meant(text));
    let record = records.next().filter(|_| !found.iter().any(Check::is_wrong))?;
    let draft = context
        .asking(&MISSING_P, &context.domain, (&own, RecordType::Txt))
        .with("name", own)
        .with("record", record)
        .with_said("publish", publish);
    Some(draft.finding(
        (
            "no p= and no rua=, so that receivers ignore it: {record}",
            "sin p= ni rua=, de modo que los receptores no lo tienen en cuenta: {record}",
        ),
        ("a policy", "una política"),
        "{publish}",
    ))
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

fn unanswered<W: World>(context: &Context<'_, W>, error: &DnsError, location: Check) -> Vec<Check> {
    let own = format!("_dmarc.{}", context.domain);
    let draft = |check| context.about(check, &context.domain);
    let exists = draft(&EXISTS).asked(context.question(&own, RecordType::Txt)).no_answer(error);
    let rest = [&SINGLE, &SYNTAX, &POLICY, &ALIGNMENT, &RUA];
    let mut checks = vec![exists, location];
    checks.extend(rest.map(|check| draft(check).skipped(&EXISTS)));
    checks
}

// What SPF and DKIM come to for our mail, and whether that is certain.
async fn authenticated<W: World>(
    context: &Context<'_, W>,
) -> (Option<Authenticated>, Vec<Authenticated>, bool) {
    let domain = &context.domain;
    let sender = format!("postmaster@{domain}");
    let query = |address| Query::mail_from_text(address, &context.helo, &sender);
    let queries: Vec<Query> = context.senders().into_iter().map(query).collect();
    let results = together(queries.iter().map(|query| spf::check(context.world, query))).await;
    let passes = !results.is_empty() && results.iter().all(|one| one.result == SpfResult::Pass);
    let certain =
        !results.is_empty() && results.iter().all(|one| one.result != SpfResult::TempError);
    let mut signatures = Vec::new();
    let mut keys_certain = true;
    let names: Vec<_> = context.keys.iter().map(|key| key.record_name()).collect();
    let published = together(names.iter().map(|name| context.texts(name))).await;
    for (key, published) in context.keys.iter().zip(published) {
        keys_certain &= published.is_ok();
        let pass = published.is_ok_and(|texts| !texts.is_empty());
        signatures.push(Authenticated::new(key.domain.clone(), pass));
    }
    (Some(Authenticated::new(domain.clone(), passes)), signatures, certain && keys_certain)
}

fn found<W: World>(
    context: &Context<'_, W>,
    texts: &[String],
    evaluation: &Evaluation,
    (location, publish): (&Check, &Said),
) -> Vec<Check> {
    let domain = context.domain.as_str();
    let own = format!("_dmarc.{domain}");
    let draft = |check| {
        context
            .asking(check, domain, (&own, RecordType::Txt))
            .with("name", &own)
            .with_said("publish", publish)
    };
    let records: Vec<&String> = texts.iter().filter(|text| mend::is_meant(text)).collect();
    let ready = Text::same("{publish}");
    match records.as_slice() {
        [] => {
            if let (Some(record), Some(whose)) = (&evaluation.record, &evaluation.policy_domain) {
                let draft = draft(&EXISTS).with("record", &record.text).with("whose", whose);
                return vec![draft.pass(("that of {whose}: {record}", "el de {whose}: {record}"))];
            }
            if evaluation.result == DmarcResult::TempError {
                let draft = draft(&EXISTS);
                return vec![draft.dns_silent()];
            }
            if location.is_wrong() {
                return vec![draft(&EXISTS).skipped(&LOCATION)];
            }
            let seen = match texts {
                [] => Text::new("no record", "no hay registro"),
                _ => Text::new(
                    "no record begins with v=DMARC1: {other}",
                    "ningún registro empieza por v=DMARC1: {other}",
                ),
            };
            let draft = draft(&EXISTS).with("other", texts.join(" | "));
            vec![draft.finding(seen, ("a DMARC record", "un registro DMARC"), ready)]
        }
        [text] => {
            let exists = draft(&EXISTS).with("record", text).pass("{record}");
            let single = draft(&SINGLE).pass(("one record", "un registro"));
            // That nothing is asked for is told by itself.
            let mut faults = mend::mend(text).faults;
            faults.retain(|fault| *fault != Fault::NoPolicy);
            let syntax = match said_of_faults(&faults) {
                None => {
                    draft(&SYNTAX).pass(("every tag is right", "todas las etiquetas son correctas"))
                }
                // Most receivers read past a semicolon too many.
                Some(wrong) => draft(&SYNTAX)
                    .severity(match faults.as_slice() {
                        [Fault::Separator] if evaluation.record.is_some() => Severity::Warning,
                        _ => Severity::Error,
                    })
                    .with_said("wrong", wrong)
                    .with("record", text)
                    .finding(
                        "{wrong}: {record}",
                        (
                            "v=DMARC1 in front, and tags with values that are defined",
                            "v=DMARC1 delante, y etiquetas con valores definidos",
                        ),
                        ready,
                    ),
            };
            vec![exists, single, syntax]
        }
        several => {
            let list: Vec<_> = several.iter().map(|text| text.as_str()).collect();
            vec![
                draft(&EXISTS)
                    .with("count", list.len())
                    .pass(("{count} records", "{count} registros")),
                draft(&SINGLE).with("count", list.len()).with("records", list.join(" | ")).finding(
                    ("{count} records: {records}", "{count} registros: {records}"),
                    ("one record", "un solo registro"),
                    (
                        "Put one in the place of all: {publish}",
                        "Ponga uno en lugar de todos: {publish}",
                    ),
                ),
            ]
        }
    }
}

async fn location<W: World>(context: &Context<'_, W>) -> Check {
    let domain = context.domain.as_str();
    let names = [domain.to_owned(), format!("_dmarc._dmarc.{domain}")];
    let right = format!("_dmarc.{domain}");
    let draft = context.about(&LOCATION, domain).with("right", &right);
    let (at_right, answers) =
        tokio::join!(context.texts(&right), together(names.iter().map(|name| context.texts(name))));
    let is_record = |text: &String| mend::is_meant(text);
    let mut unread = None;
    for (name, texts) in names.iter().zip(answers) {
        let texts = match texts {
            Ok(texts) => texts,
            Err(error) => {
                unread = Some((name, error));
                continue;
            }
        };
        // Where every name has the record, that is a wildcard's doing.
        let also_right = at_right.as_ref().is_ok_and(|right| right.iter().any(is_record));
        if let Some(text) = texts.iter().find(|text| is_record(text))
            && !(also_right && name != domain)
        {
            let draft = draft.asked(context.question(name, RecordType::Txt));
            return draft.with("name", name).with("record", text).finding(
                ("a DMARC record at {name}", "un registro DMARC en {name}"),
                ("at {right} only", "solo en {right}"),
                (
                    "Delete it at {name} and publish: {right}. IN TXT \"{record}\"",
                    "Bórrelo de {name} y publique: {right}. IN TXT \"{record}\"",
                ),
            );
        }
    }
    if let Some((name, error)) = unread {
        return draft.asked(context.question(name, RecordType::Txt)).no_answer(&error);
    }
    draft
        .asked(context.question(domain, RecordType::Txt))
        .pass(("nowhere else", "en ningún otro sitio"))
}

fn of_record<W: World>(
    context: &Context<'_, W>,
    tags: &Mended,
    evaluation: &Evaluation,
    publish: &Said,
) -> Vec<Check> {
    let Some(record) = &evaluation.record else { return Vec::new() };
    let whose = evaluation.policy_domain.as_deref().unwrap_or(&context.domain);
    let name = format!("_dmarc.{whose}");
    let subdomains = record.subdomain_policy.unwrap_or(record.policy);
    let draft = |check| {
        context
            .asking(check, whose, (&name, RecordType::Txt))
            .with("name", &name)
            .with("policy", evaluation.policy)
            .with("sp", subdomains)
            .with("np", record.nonexistent_policy.unwrap_or(subdomains))
            .with_said("publish", publish)
            .with("record", &record.text)
    };
    let judge = |definition, wrong: bool, texts: [Text; 3]| {
        let [good, seen, remedy] = texts;
        if wrong {
            draft(definition).finding(seen, good, remedy)
        } else {
            draft(definition).pass(good)
        }
    };
    let removed: Vec<_> =
        ["pct", "rf", "ri"].into_iter().filter(|tag| tags.get(tag).is_some()).collect();
    let policy = match evaluation.policy {
        dmarc::Policy::None => Text::new(
            "none: reports only; later quarantine",
            "none: solo informes; más adelante, quarantine",
        ),
        _ => Text::same("{policy}"),
    };
    let strict = record.dkim_mode == Mode::Strict || record.spf_mode == Mode::Strict;
    vec![
        judge(
            &MISSING_P,
            tags.faults.contains(&Fault::NoPolicy),
            [
                Text::same("p={policy}"),
                Text::new("no p=: {record}", "sin p=: {record}"),
                Text::same("{publish}"),
            ],
        ),
        draft(&POLICY).pass(policy),
        draft(&SUBDOMAIN).pass("sp={sp} np={np}"),
        judge(
            &PSD,
            record.public_suffix == PublicSuffix::Yes,
            [
                Text::new("no psd=y", "sin psd=y"),
                Text::same("psd=y"),
                Text::new("Delete psd=y at {name}", "Borre psd=y en {name}"),
            ],
        ),
        judge(
            &STRICT,
            strict,
            [
                Text::new("relaxed", "relajada"),
                Text::same("{record}"),
                Text::new(
                    "Delete adkim=s and aspf=s at {name}",
                    "Borre adkim=s y aspf=s en {name}",
                ),
            ],
        ),
        judge(
            &RUF,
            tags.get("ruf").is_some(),
            [
                Text::new("no ruf", "sin ruf"),
                Text::same("{record}"),
                Text::new("Delete ruf at {name}", "Borre ruf en {name}"),
            ],
        ),
        judge(
            &REMOVED_TAGS,
            !removed.is_empty(),
            [
                Text::new("none", "ninguna"),
                Text::same("{record}"),
                Text::new("Delete pct, rf and ri at {name}", "Borre pct, rf y ri en {name}"),
            ],
        ),
        judge(
            &TESTING,
            record.testing,
            [
                Text::new("no t=y", "sin t=y"),
                Text::same("{record}"),
                Text::new("Delete t=y at {name}", "Borre t=y en {name}"),
            ],
        ),
    ]
}

fn alignment<W: World>(context: &Context<'_, W>, evaluation: &Evaluation, certain: bool) -> Check {
    let proofs = evaluation
        .spf
        .iter()
        .map(|proof| ("SPF", proof))
        .chain(evaluation.dkim.iter().map(|proof| ("DKIM", proof)));
    let shown: Vec<_> = proofs
        .clone()
        .map(|(what, (domain, alignment))| {
            let domain = Said::words(format!("{what} {domain}"));
            said_of!("{domain}: {word}", "{domain}: {word}"; domain = domain, word = word(*alignment))
        })
        .collect();
    let draft = context
        .about(&ALIGNMENT, &context.domain)
        .with("domain", &context.domain)
        .with_said("proofs", Said::joined(&shown, ", "));
    if evaluation.result == DmarcResult::Pass {
        return draft.pass("{proofs}");
    }
    if !certain || evaluation.result == DmarcResult::TempError {
        return draft
            .unknown(("the DNS did not answer: {proofs}", "el DNS no respondió: {proofs}"));
    }
    let misaligned = proofs.clone().any(|(_, (_, alignment))| *alignment == Alignment::NotAligned);
    if !misaligned {
        return draft.not_applicable((
            "neither SPF nor DKIM passes, see there: {proofs}",
            "no pasan ni SPF ni DKIM, véase ahí: {proofs}",
        ));
    }
    draft.finding(
        "{proofs}",
        ("SPF or DKIM for {domain}", "SPF o DKIM de {domain}"),
        (
            "Sign with a key of {domain} (puerto dkim new {domain}), or use adkim=r and aspf=r",
            "Firme con una clave de {domain} (puerto dkim new {domain}), o use adkim=r y aspf=r",
        ),
    )
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
