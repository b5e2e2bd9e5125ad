//! DMARC (RFC 9989): is there a policy, can it be read, and does our mail pass it?

mod definitions;
mod organization;
mod reports;
mod tags;

use puerto_mail::dmarc::{
    self, Alignment, Authenticated, DmarcResult, Evaluation, Mode, PublicSuffix,
};
use puerto_mail::dns::{DnsError, RecordType};
use puerto_mail::spf::{self, Query, SpfResult};

use super::context::Context;
use super::outcome::Check;
use super::registry::Family;
use super::world::World;
use crate::lang::Text;
use crate::survey::address::is_public;
use definitions::{
    ALIGNMENT, EXISTS, LOCATION, MISSING_P, ORG_DOMAIN, POLICY, PSD, REMOVED_TAGS, RUA,
    RUA_EXTERNAL, RUA_SIZE, RUF, SINGLE, STRICT, SUBDOMAIN, SYNTAX, TESTING,
};
use puerto_mail::together::together;
use tags::Tags;

pub(super) const FAMILY: Family = Family {
    name: "dmarc",
    title: Text::same("DMARC"),
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

/// Checks the record that applies to the domain.
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
    let mut checks = found(context, &texts, &evaluation, &location);
    checks.push(location);
    let Some(record) = &evaluation.record else {
        let known = evaluation.result != DmarcResult::TempError;
        let draft = |check| context.about(check, domain);
        checks.extend(asks_nothing(context, &texts, &checks).filter(|_| known));
        let cause = checks.iter().find(|check| check.is_wrong()).map(|check| check.definition);
        if known {
            let rest = [&MISSING_P, &POLICY, &ALIGNMENT, &RUA];
            let rest = rest.into_iter().filter(|check| cause != Some(check));
            checks.extend(rest.map(|check| draft(check).skipped(cause.unwrap_or(&EXISTS))));
        }
        return checks;
    };
    let tags = Tags::read(&record.text);
    checks.extend(of_record(context, &tags, &evaluation));
    checks.push(alignment(context, &evaluation, certain));
    checks.push(organization::check(context, &evaluation));
    checks.extend(reports::judge(context, &tags, &evaluation).await);
    checks
}

// A record without a policy that names nobody to report to is ignored by all.
fn asks_nothing<W: World>(
    context: &Context<'_, W>,
    texts: &[String],
    found: &[Check],
) -> Option<Check> {
    let own = format!("_dmarc.{}", context.domain);
    let mut records = texts.iter().filter(|text| is_meant(text));
    let record = records.next().filter(|_| !found.iter().any(Check::is_wrong))?;
    let draft = context
        .about(&MISSING_P, &context.domain)
        .asked(context.question(&own, RecordType::Txt))
        .with("name", own)
        .with("record", record)
        .with("domain", &context.domain);
    Some(draft.finding(
        Text::new(
            "no p= and no rua=, so that receivers ignore it: {record}",
            "sin p= ni rua=, de modo que los receptores no lo tienen en cuenta: {record}",
        ),
        Text::new("a policy", "una política"),
        Text::same("{name}. IN TXT \"v=DMARC1; p=none; rua=mailto:postmaster@{domain}\""),
    ))
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
    let senders = match &context.relay {
        Some(relay) => relay.addresses.clone().unwrap_or_default(),
        None => context.egress.clone(),
    };
    let public =
        |address: &std::net::IpAddr| context.config.delivery.allow_private || is_public(*address);
    let queries: Vec<Query> = senders
        .into_iter()
        .filter(public)
        .map(|address| {
            Query::mail_from_text(address, &context.helo, &format!("postmaster@{domain}"))
        })
        .collect();
    let results = together(queries.iter().map(|query| spf::check(context.world, query))).await;
    let passes = !results.is_empty() && results.iter().all(|one| one.result == SpfResult::Pass);
    let certain =
        !results.is_empty() && results.iter().all(|one| one.result != SpfResult::TempError);
    let mut signatures = Vec::new();
    let mut keys_certain = true;
    let names: Vec<_> = context
        .keys
        .iter()
        .map(|key| format!("{}._domainkey.{}", key.selector, key.domain))
        .collect();
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
    location: &Check,
) -> Vec<Check> {
    let domain = context.domain.as_str();
    let own = format!("_dmarc.{domain}");
    let draft = |check| {
        context
            .about(check, domain)
            .asked(context.question(&own, RecordType::Txt))
            .with("name", &own)
            .with("domain", domain)
    };
    let records: Vec<&String> = texts.iter().filter(|text| is_meant(text)).collect();
    let fresh = Text::same("{name}. IN TXT \"v=DMARC1; p=none; rua=mailto:postmaster@{domain}\"");
    match records.as_slice() {
        [] => {
            if let (Some(record), Some(whose)) = (&evaluation.record, &evaluation.policy_domain) {
                let draft = draft(&EXISTS).with("record", &record.text).with("whose", whose);
                return vec![
                    draft.pass(Text::new("that of {whose}: {record}", "el de {whose}: {record}")),
                ];
            }
            if evaluation.result == DmarcResult::TempError {
                let draft = draft(&EXISTS);
                return vec![
                    draft.unknown(Text::new("the DNS did not answer", "el DNS no respondió")),
                ];
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
            vec![draft.finding(seen, Text::new("a DMARC record", "un registro DMARC"), fresh)]
        }
        [text] => {
            let exists = draft(&EXISTS).with("record", text).pass(Text::same("{record}"));
            let single = draft(&SINGLE).pass(Text::new("one record", "un registro"));
            let wrong = Tags::read(text).wrong();
            let syntax = match wrong {
                None => draft(&SYNTAX)
                    .pass(Text::new("every tag is right", "todas las etiquetas son correctas")),
                Some(_) if !Tags::read(text).begins_right() => {
                    draft(&SYNTAX).with("record", text).finding(
                        Text::new(
                            "it does not begin with v=DMARC1: {record}",
                            "no empieza por v=DMARC1: {record}",
                        ),
                        Text::new(
                            "v=DMARC1, in capitals and in front of all else",
                            "v=DMARC1, en mayúsculas y delante de todo",
                        ),
                        fresh,
                    )
                }
                Some(wrong) => draft(&SYNTAX).with("wrong", wrong).with("record", text).finding(
                    Text::new("{wrong} is wrong: {record}", "{wrong} es incorrecto: {record}"),
                    Text::new("a value that is defined", "un valor definido"),
                    Text::new("Correct {wrong} in {name}", "Corrija {wrong} en {name}"),
                ),
            };
            vec![exists, single, syntax]
        }
        several => {
            let list: Vec<_> = several.iter().map(|text| text.as_str()).collect();
            let first = list.first().copied().unwrap_or_default();
            vec![
                draft(&EXISTS)
                    .with("count", list.len())
                    .pass(Text::new("{count} records", "{count} registros")),
                draft(&SINGLE)
                    .with("count", list.len())
                    .with("records", list.join(" | "))
                    .with("first", first)
                    .finding(
                        Text::new("{count} records: {records}", "{count} registros: {records}"),
                        Text::new("one record", "un solo registro"),
                        Text::new(
                            "Keep one: {name}. IN TXT \"{first}\"",
                            "Deje uno: {name}. IN TXT \"{first}\"",
                        ),
                    ),
            ]
        }
    }
}

// Whether somebody wanted to publish a DMARC record: one that nobody can read is told
// by its fault, not as missing.
fn is_meant(text: &str) -> bool {
    let mut letters = text.to_ascii_lowercase();
    letters.retain(|character| !character.is_whitespace());
    letters.contains("v=dmarc")
}

async fn location<W: World>(context: &Context<'_, W>) -> Check {
    let domain = context.domain.as_str();
    let names = [domain.to_owned(), format!("_dmarc._dmarc.{domain}")];
    let right = format!("_dmarc.{domain}");
    let draft = context.about(&LOCATION, domain).with("right", &right);
    let (at_right, answers) =
        tokio::join!(context.texts(&right), together(names.iter().map(|name| context.texts(name))));
    let is_record = |text: &String| text.starts_with("v=DMARC1");
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
                Text::new("a DMARC record at {name}", "un registro DMARC en {name}"),
                Text::new("at {right} only", "solo en {right}"),
                Text::new(
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
        .pass(Text::new("nowhere else", "en ningún otro sitio"))
}

fn of_record<W: World>(
    context: &Context<'_, W>,
    tags: &Tags,
    evaluation: &Evaluation,
) -> Vec<Check> {
    let Some(record) = &evaluation.record else { return Vec::new() };
    let whose = evaluation.policy_domain.as_deref().unwrap_or(&context.domain);
    let name = format!("_dmarc.{whose}");
    let subdomains = record.subdomain_policy.unwrap_or(record.policy);
    let draft = |check| {
        context
            .about(check, whose)
            .asked(context.question(&name, RecordType::Txt))
            .with("name", &name)
            .with("policy", evaluation.policy)
            .with("sp", subdomains)
            .with("np", record.nonexistent_policy.unwrap_or(subdomains))
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
    let removed: Vec<_> = ["pct", "rf", "ri"].into_iter().filter(|tag| tags.has(tag)).collect();
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
            !tags.has("p"),
            [
                Text::same("p={policy}"),
                Text::new("no p=: {record}", "sin p=: {record}"),
                Text::new("{name}: v=DMARC1; p=none; …", "{name}: v=DMARC1; p=none; …"),
            ],
        ),
        draft(&POLICY).pass(policy),
        draft(&SUBDOMAIN).pass(Text::same("sp={sp} np={np}")),
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
            tags.has("ruf"),
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
            format!("{what} {domain}: {}", word(*alignment).of(context.language))
        })
        .collect();
    let draft = context
        .about(&ALIGNMENT, &context.domain)
        .with("domain", &context.domain)
        .with("proofs", shown.join(", "));
    if evaluation.result == DmarcResult::Pass {
        return draft.pass(Text::same("{proofs}"));
    }
    if !certain || evaluation.result == DmarcResult::TempError {
        return draft.unknown(Text::new(
            "the DNS did not answer: {proofs}",
            "el DNS no respondió: {proofs}",
        ));
    }
    let misaligned = proofs.clone().any(|(_, (_, alignment))| *alignment == Alignment::NotAligned);
    if !misaligned {
        return draft.not_applicable(Text::new(
            "neither SPF nor DKIM passes, see there: {proofs}",
            "no pasan ni SPF ni DKIM, véase ahí: {proofs}",
        ));
    }
    draft.finding(
        Text::same("{proofs}"),
        Text::new("SPF or DKIM for {domain}", "SPF o DKIM de {domain}"),
        Text::new(
            "Sign with a key of {domain} (puerto dkim new {domain}), or use adkim=r and aspf=r",
            "Firme con una clave de {domain} (puerto dkim new {domain}), o use adkim=r y aspf=r",
        ),
    )
}

fn word(alignment: Alignment) -> Text {
    match alignment {
        Alignment::Aligned => Text::new("pass, aligned", "pass, alineado"),
        Alignment::NotAligned => Text::new("pass, not aligned", "pass, no alineado"),
        Alignment::NotPassed => Text::new("no pass", "sin pass"),
        Alignment::Unknown => Text::new("unknown", "no se sabe"),
    }
}
