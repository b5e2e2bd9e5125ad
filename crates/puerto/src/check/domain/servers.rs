//! Whether all name servers of the domain say the same, asked one by one.
//!
//! A zone that was changed reaches its servers one after the other, or one of them no
//! more: then a part of the receivers sees the old records. Which of two answers is the
//! old one is known for a key, since ours is the new one; for the rest the zone's serial
//! number tells it. What the servers say beside SPF at the domain is no concern of mail.

use puerto_mail::dns::{DnsError, DnsFault, Record, RecordType};

use super::super::context::Context;
use super::super::outcome::{Check, Draft};
use super::super::world::World;
use super::definitions::{NS_CONSISTENT, RESOLVERS_AGREE};
use crate::lang::{Said, Text, dns_error, said_of};
use puerto_mail::together::together;

/// Name servers that are asked at most.
const MAX_SERVERS: usize = 8;

// The servers of the closest zone above the name.
async fn delegation<W: World>(context: &Context<'_, W>) -> Result<Vec<String>, DnsError> {
    let mut name = context.domain.as_str();
    loop {
        match context.lookup(name, RecordType::Ns).await {
            Ok(answer) => {
                let names = answer.records.into_iter().filter_map(Record::into_name);
                return Ok(names.take(MAX_SERVERS).collect());
            }
            Err(error) if !error.is_absence() => return Err(error),
            Err(_) => {}
        }
        match name.split_once('.') {
            Some((_, above)) if above.contains('.') => name = above,
            _ => return Ok(Vec::new()),
        }
    }
}

/// One thing that every server is asked.
struct Question {
    name: String,
    kind: RecordType,
    /// Of the texts at a name, those that begin so.
    begins: &'static str,
    /// The public key that belongs there.
    key: Option<String>,
}

/// A name server, and what it said to each question.
struct Answered {
    server: String,
    serial: Option<u32>,
    answers: Vec<Result<Vec<Record>, DnsError>>,
    /// The DNS says for certain that it has no address.
    is_missing: bool,
}

/// Asks each server of the domain for what mail needs, and compares.
pub(super) async fn agree<W: World>(context: &Context<'_, W>) -> Check {
    let domain = context.domain.as_str();
    let draft = context.asking(&NS_CONSISTENT, domain, (domain, RecordType::Ns));
    let names = match delegation(context).await {
        Ok(names) if names.is_empty() => {
            return draft.not_applicable((
                "no name servers are named for the domain",
                "no consta ningún servidor de nombres del dominio",
            ));
        }
        Ok(names) => names,
        Err(error) => return draft.no_answer(&error),
    };
    let questions = questions(context);
    let said: Vec<Answered> =
        together(names.iter().map(|name| ask(context, name, &questions))).await;
    let silent = silent(&said);
    let draft = draft
        .asked(format!("{} @{}", shown_questions(&questions), names.join(" @")))
        .with("servers", names.join(", "))
        .with("count", names.len())
        .with_said("silent", Said::joined(&silent, "; "));
    for (at, question) in questions.iter().enumerate() {
        let seen_by_resolver = match question.key {
            Some(_) => context.lookup(&question.name, question.kind).await.ok(),
            None => None,
        };
        let seen_by_resolver = seen_by_resolver.map(|answer| answer.records).unwrap_or_default();
        if let Some(difference) = difference(&said, at, question, &seen_by_resolver) {
            return differ(draft, question, &difference);
        }
    }
    let missing: Vec<_> = said.iter().filter(|one| one.is_missing).collect();
    if let Some(one) = missing.first() {
        return draft.with("odd", &one.server).finding(
            (
                "the zone names {odd} as a name server, which has no address",
                "la zona nombra a {odd} como servidor de nombres, y no tiene dirección",
            ),
            ("name servers that answer", "servidores de nombres que respondan"),
            (
                "Delete the NS record of {odd} in the zone and at the registrar, or give it an \
                 address",
                "Borre el registro NS de {odd} en la zona y en el registrador, o dele una \
                 dirección",
            ),
        );
    }
    if !silent.is_empty() {
        return draft
            .remedy((
                "If it stays so, repair or remove that name server: it makes mail fail at random",
                "Si sigue igual, repare o quite ese servidor de nombres: hace fallar el correo al \
                 azar",
            ))
            .unknown("{silent}");
    }
    draft.pass(("{count} servers agree: {servers}", "{count} servidores coinciden: {servers}"))
}

/// Asks each resolver of this machine the same, where there are several.
pub(super) async fn resolvers_agree<W: World>(context: &Context<'_, W>) -> Option<Check> {
    let resolvers = context.world.resolvers();
    if resolvers.len() < 2 {
        return None;
    }
    let questions = questions(context);
    let said: Vec<Answered> = together(resolvers.iter().map(async |resolver| {
        let asked = questions.iter().map(|one| async {
            let answer = context.world.ask_resolver(*resolver, &one.name, one.kind).await?;
            Ok(one.about_mail(answer.records))
        });
        let server = resolver.ip().to_string();
        Answered { server, serial: None, answers: together(asked).await, is_missing: false }
    }))
    .await;
    let names: Vec<&str> = said.iter().map(|one| one.server.as_str()).collect();
    let draft = context
        .about(&RESOLVERS_AGREE, &context.domain)
        .asked(format!("{} @{}", shown_questions(&questions), names.join(" @")))
        .with("servers", names.join(", "));
    let differing = questions
        .iter()
        .enumerate()
        .find_map(|(at, question)| Some((question, difference(&said, at, question, &[])?)));
    Some(match differing {
        None => draft.pass(("they agree: {servers}", "coinciden: {servers}")),
        Some((question, difference)) => of_difference(draft, question, &difference).finding(
            (
                "{type} {name}: the resolver {odd} says {theirs}, the other {usual}",
                "{type} {name}: el resolver {odd} dice {theirs}, el otro {usual}",
            ),
            ("the same from each", "lo mismo de cada uno"),
            (
                "Ask the domain's name servers which of the two is right, and take the other out \
                 of /etc/resolv.conf or `[dns] servers`; after a change, wait for the old record's \
                 lifetime",
                "Pregunte a los servidores de nombres del dominio cuál de los dos tiene razón y \
                 quite el otro de /etc/resolv.conf o de `[dns] servers`; tras un cambio, espere lo \
                 que vale el registro antiguo",
            ),
        ),
    })
}

fn of_difference(draft: Draft, question: &Question, difference: &Difference) -> Draft {
    draft
        .with("name", &question.name)
        .with("type", question.kind)
        .with("odd", difference.odd.join(", "))
        .with("odd_count", difference.odd.len())
        .with("theirs", shown(&difference.theirs))
        .with("usual", shown(&difference.usual))
}

fn differ(draft: Draft, question: &Question, difference: &Difference) -> Check {
    let draft = of_difference(draft, question, difference);
    let seen = match (&question.key, difference.odd.len(), difference.theirs.is_empty()) {
        (Some(_), 1, false) => Text::new(
            "{name} is published, but 1 of {count} name servers still serves the old key: {odd}",
            "{name} está publicado, pero 1 de {count} servidores de nombres aún da la clave \
             antigua: {odd}",
        ),
        (Some(_), _, false) => Text::new(
            "{name} is published, but {odd_count} of {count} name servers still serve the old \
             key: {odd}",
            "{name} está publicado, pero {odd_count} de {count} servidores de nombres aún dan la \
             clave antigua: {odd}",
        ),
        (_, 1, _) => Text::new(
            "{type} {name}: 1 of {count} name servers says otherwise: {odd} says {theirs}, the \
             others {usual}",
            "{type} {name}: 1 de {count} servidores de nombres dice otra cosa: {odd} dice \
             {theirs}, los demás {usual}",
        ),
        _ => Text::new(
            "{type} {name}: {odd_count} of {count} name servers say otherwise: {odd} say {theirs}, \
             the others {usual}",
            "{type} {name}: {odd_count} de {count} servidores de nombres dicen otra cosa: {odd} \
             dicen {theirs}, los demás {usual}",
        ),
    };
    draft.finding(
        seen,
        ("the same everywhere", "lo mismo en todos"),
        (
            "Wait some minutes after a change. If it stays so, the zone does not reach {odd}: \
             raise its serial number, or ask the DNS provider",
            "Espere unos minutos tras un cambio. Si sigue igual, la zona no llega a {odd}: suba \
             su número de serie, o pregunte al proveedor de DNS",
        ),
    )
}

// Servers that did not answer, each with the first reason.
fn silent(said: &[Answered]) -> Vec<Said> {
    let failed = said.iter().filter_map(|one| {
        let error = one.answers.iter().find_map(|answer| match answer {
            Err(error) if !error.is_absence() => Some(error),
            _ => None,
        })?;
        let server = Said::words(&one.server);
        Some(said_of!("{server}: {error}", "{server}: {error}"; server = server, error = dns_error(error)))
    });
    failed.collect()
}

fn questions<W: World>(context: &Context<'_, W>) -> Vec<Question> {
    let domain = &context.domain;
    let plain = |name: String, kind, begins| Question { name, kind, begins, key: None };
    let mut questions = vec![
        plain(domain.clone(), RecordType::Mx, ""),
        plain(domain.clone(), RecordType::Txt, "v=spf1"),
        plain(format!("_dmarc.{domain}"), RecordType::Txt, "v=dmarc1"),
    ];
    questions.extend(context.keys.iter().map(|key| Question {
        name: key.record_name(),
        kind: RecordType::Txt,
        begins: "",
        key: Some(public_part(&key.key.record_text())),
    }));
    questions
}

fn shown_questions(questions: &[Question]) -> String {
    let shown: Vec<_> = questions.iter().map(|one| format!("{} {}", one.kind, one.name)).collect();
    shown.join(", ")
}

async fn ask<W: World>(context: &Context<'_, W>, server: &str, questions: &[Question]) -> Answered {
    let (v4, v6) = tokio::join!(context.addresses(server, false), context.addresses(server, true));
    let address =
        v4.as_ref().ok().and_then(|v4| v4.first()).or(v6.as_ref().ok().and_then(|v6| v6.first()));
    let Some(address) = address else {
        let is_missing = v4.is_ok() && v6.is_ok();
        let error = match (v4, v6) {
            (Err(error), _) | (_, Err(error)) => error,
            _ => DnsError::Failure(DnsFault::NoAddress),
        };
        return Answered {
            server: server.to_owned(),
            serial: None,
            answers: vec![Err(error)],
            is_missing,
        };
    };
    let asked = questions.iter().map(|one| async {
        let answer = context.world.ask_server(*address, &one.name, one.kind).await?;
        Ok(one.about_mail(answer.records))
    });
    let serial = context.world.ask_server(*address, &context.domain, RecordType::Soa);
    let (answers, serial) = tokio::join!(together(asked), serial);
    let serial = serial.ok().and_then(|answer| answer.records.iter().find_map(Record::serial));
    Answered { server: server.to_owned(), serial, answers, is_missing: false }
}

impl Question {
    fn about_mail(&self, mut records: Vec<Record>) -> Vec<Record> {
        records.retain(|record| {
            record
                .text()
                .is_none_or(|text| text.to_ascii_lowercase().trim_start().starts_with(self.begins))
        });
        records.sort();
        records
    }

    fn has_our_key(&self, records: &[Record]) -> bool {
        let key = self.key.as_ref();
        let mut texts = records.iter().filter_map(Record::text);
        key.is_some_and(|key| texts.any(|text| public_part(&text) == *key))
    }
}

fn public_part(record: &str) -> String {
    let tags = record.split(';').filter_map(|tag| tag.split_once('='));
    let values = tags.filter(|(name, _)| name.trim() == "p").map(|(_, value)| value);
    values.flat_map(str::split_whitespace).collect()
}

/// Servers that say something else than they should.
struct Difference {
    odd: Vec<String>,
    theirs: Vec<Record>,
    usual: Vec<Record>,
}

fn difference(
    said: &[Answered],
    at: usize,
    question: &Question,
    seen_by_resolver: &[Record],
) -> Option<Difference> {
    // An absence is an answer; a failure is none.
    let answers: Vec<(&Answered, Vec<Record>)> = said
        .iter()
        .filter_map(|one| match one.answers.get(at)? {
            Ok(records) => Some((one, records.clone())),
            Err(error) if error.is_absence() => Some((one, Vec::new())),
            Err(_) => None,
        })
        .collect();
    // Behind an alias the key is another zone's, of which these servers know nothing.
    let aliased = answers.iter().flat_map(|(_, records)| records).any(is_alias);
    let ours = answers.iter().map(|(_, records)| records.as_slice());
    let ours = ours.chain([seen_by_resolver]).filter(|_| !aliased);
    let frequency =
        |records: &Vec<Record>| answers.iter().filter(|(_, other)| other == records).count();
    let newest = answers.iter().filter_map(|(one, _)| one.serial).reduce(newer);
    let usual = match { ours }.find(|records| question.has_our_key(records)) {
        Some(records) => records.to_vec(),
        // Of two that are as new and as frequent, the fuller is likely the newer.
        None => answers
            .iter()
            .max_by_key(|(one, records)| (one.serial == newest, frequency(records), records.len()))?
            .1
            .clone(),
    };
    let is_odd = |records: &Vec<Record>| match !aliased && question.has_our_key(&usual) {
        true => !question.has_our_key(records),
        false => *records != usual,
    };
    let odd: Vec<_> = answers.iter().filter(|(_, records)| is_odd(records)).collect();
    let (_, theirs) = odd.first()?;
    Some(Difference {
        odd: odd.iter().map(|(one, _)| one.server.clone()).collect(),
        theirs: theirs.clone(),
        usual,
    })
}

fn is_alias(record: &Record) -> bool {
    matches!(record, Record::Name(_))
}

// RFC 1982 §3.2: serial numbers go round.
fn newer(one: u32, other: u32) -> u32 {
    if one.wrapping_sub(other) < 1 << 31 { one } else { other }
}

fn shown(records: &[Record]) -> String {
    const SHOWN: usize = 60;
    let list: Vec<String> = records
        .iter()
        .map(|record| match record {
            Record::Address(address) => address.to_string(),
            Record::Mx(preference, host) => format!("{preference} {host}"),
            Record::Txt(octets) => {
                let text = String::from_utf8_lossy(octets);
                let short: String = text.chars().take(SHOWN).collect();
                if short.len() < text.len() {
                    format!("\"{short}…\"")
                } else {
                    format!("\"{short}\"")
                }
            }
            Record::Name(name) => name.clone(),
            Record::Soa(serial, _) => serial.to_string(),
            Record::Tlsa(usage, selector, matching, _) => format!("{usage} {selector} {matching}"),
        })
        .collect();
    if list.is_empty() { "—".to_owned() } else { list.join(", ") }
}
