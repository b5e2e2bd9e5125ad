//! Whether all name servers of the domain say the same, asked one by one.
//!
//! A zone that was changed reaches its servers one after the other, or one of them no
//! more: then a part of the receivers sees the old records. Which of two answers is the
//! old one is known for a key, since ours is the new one; for the rest the zone's serial
//! number tells it. What the servers say beside SPF at the domain is no concern of mail.

use puerto_mail::dns::{DnsError, DnsFault, Record, RecordType};

use super::{NS_CONSISTENT, RESOLVERS_AGREE};
use crate::check::context::Context;
use crate::check::dkim::{public_part, shortened};
use crate::check::outcome::{Check, Draft, Judged};
use crate::check::world::World;
use crate::lang::{Said, dns_error, said_of};
use puerto_mail::together::together;

/// Name servers that are asked at most.
const MAX_SERVERS: usize = 8;

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
pub(super) async fn agree<W: World>(context: &Context<'_, W>) -> Judged {
    let domain = context.domain.as_str();
    let draft = context.asking(&NS_CONSISTENT, domain, (domain, RecordType::Ns));
    let Some((_, records)) = draft.answered(context.closest(RecordType::Ns).await)? else {
        return Ok(draft.not_applicable((
            "no name servers are named for the domain",
            "no consta ningún servidor de nombres del dominio",
        )));
    };
    let names = records.into_iter().filter_map(Record::into_name).take(MAX_SERVERS);
    let names: Vec<String> = names.collect();
    let questions = questions(context);
    let said = together(names.iter().map(|name| ask(context, name, &questions))).await;
    let silent = silent(&said);
    let draft = asking(draft, &questions, &said)
        .with("count", names.len())
        .with_said("silent", Said::joined(&silent, "; "));
    for (at, question) in questions.iter().enumerate() {
        let seen_by_resolver = match question.key {
            Some(_) => context.world.records(&question.name, question.kind).await,
            None => Ok(Vec::new()),
        };
        let seen_by_resolver = seen_by_resolver.unwrap_or_default();
        if let Some(difference) = difference(&said, at, question, &seen_by_resolver) {
            return Ok(differ(draft, question, &difference));
        }
    }
    if let Some(one) = said.iter().find(|one| one.is_missing) {
        return Ok(draft
            .with("odd", &one.server)
            .expected(("name servers that answer", "servidores de nombres que respondan"))
            .remedy((
                "Delete the NS record of {odd} in the zone and at the registrar, or give it an \
                 address",
                "Borre el registro NS de {odd} en la zona y en el registrador, o dele una \
                 dirección",
            ))
            .finding((
                "the zone names {odd} as a name server, which has no address",
                "la zona nombra a {odd} como servidor de nombres, y no tiene dirección",
            )));
    }
    if silent.is_empty() {
        return Ok(draft.right());
    }
    let advice = (
        "If it stays so, repair or remove that name server: it makes mail fail at random",
        "Si sigue igual, repare o quite ese servidor de nombres: hace fallar el correo al azar",
    );
    Ok(draft.advice(advice).unknown("{silent}"))
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
        Answered::by(resolver.ip().to_string(), together(asked).await)
    }))
    .await;
    let draft = asking(context.about(&RESOLVERS_AGREE, &context.domain), &questions, &said);
    let differing = questions
        .iter()
        .enumerate()
        .find_map(|(at, question)| Some((question, difference(&said, at, question, &[])?)));
    Some(match differing {
        None => draft.right(),
        Some((question, difference)) => of_difference(draft, question, &difference).wrong(),
    })
}

fn asking(draft: Draft, questions: &[Question], said: &[Answered]) -> Draft {
    let shown: Vec<_> = questions.iter().map(|one| format!("{} {}", one.kind, one.name)).collect();
    let servers: Vec<&str> = said.iter().map(|one| one.server.as_str()).collect();
    let asked = format!("{} @{}", shown.join(", "), servers.join(" @"));
    draft.asked_dns(asked).list("servers", servers)
}

fn of_difference(draft: Draft, question: &Question, difference: &Difference) -> Draft {
    draft
        .with("name", &question.name)
        .with("type", question.kind)
        .list("odd", &difference.odd)
        .with("odd_count", difference.odd.len())
        .with("theirs", shown(&difference.theirs))
        .with("usual", shown(&difference.usual))
}

fn differ(draft: Draft, question: &Question, difference: &Difference) -> Check {
    let draft = of_difference(draft, question, difference);
    match (&question.key, difference.odd.len(), difference.theirs.is_empty()) {
        (Some(_), 1, false) => draft.finding((
            "{name} is published, but 1 of {count} name servers still serves the old key: {odd}",
            "{name} está publicado, pero 1 de {count} servidores de nombres aún da la clave \
             antigua: {odd}",
        )),
        (Some(_), _, false) => draft.finding((
            "{name} is published, but {odd_count} of {count} name servers still serve the old \
             key: {odd}",
            "{name} está publicado, pero {odd_count} de {count} servidores de nombres aún dan la \
             clave antigua: {odd}",
        )),
        (_, 1, _) => draft.finding((
            "{type} {name}: 1 of {count} name servers says otherwise: {odd} says {theirs}, the \
             others {usual}",
            "{type} {name}: 1 de {count} servidores de nombres dice otra cosa: {odd} dice \
             {theirs}, los demás {usual}",
        )),
        _ => draft.finding((
            "{type} {name}: {odd_count} of {count} name servers say otherwise: {odd} say {theirs}, \
             the others {usual}",
            "{type} {name}: {odd_count} de {count} servidores de nombres dicen otra cosa: {odd} \
             dicen {theirs}, los demás {usual}",
        )),
    }
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

async fn ask<W: World>(context: &Context<'_, W>, server: &str, questions: &[Question]) -> Answered {
    let found = context.addresses(server).await;
    let Some(address) = found.as_ref().ok().and_then(|found| found.first()) else {
        let is_missing = found.is_ok();
        let error = found.err().unwrap_or(DnsError::Failure(DnsFault::NoAddress));
        return Answered { is_missing, ..Answered::by(server.to_owned(), vec![Err(error)]) };
    };
    let asked = questions.iter().map(|one| async {
        let answer = context.world.ask_server(*address, &one.name, one.kind).await?;
        Ok(one.about_mail(answer.records))
    });
    let serial = context.world.ask_server(*address, &context.domain, RecordType::Soa);
    let (answers, serial) = tokio::join!(together(asked), serial);
    let serial = serial.ok().and_then(|answer| answer.records.iter().find_map(Record::serial));
    Answered { serial, ..Answered::by(server.to_owned(), answers) }
}

impl Answered {
    fn by(server: String, answers: Vec<Result<Vec<Record>, DnsError>>) -> Self {
        Self { server, serial: None, answers, is_missing: false }
    }
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
    let is_alias = |record: &Record| matches!(record, Record::Name(_));
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

// RFC 1982 §3.2: serial numbers go round.
fn newer(one: u32, other: u32) -> u32 {
    if one.wrapping_sub(other) < 1 << 31 { one } else { other }
}

fn shown(records: &[Record]) -> String {
    const SHOWN: usize = 60;
    let shown = records.iter().map(|record| match record {
        Record::Address(address) => address.to_string(),
        Record::Mx(preference, host) => format!("{preference} {host}"),
        Record::Txt(octets) => {
            format!("\"{}\"", shortened(&String::from_utf8_lossy(octets), SHOWN))
        }
        Record::Name(name) => name.clone(),
        Record::Soa(serial, _) => serial.to_string(),
        Record::Tlsa(usage, selector, matching, _) => format!("{usage} {selector} {matching}"),
    });
    let list: Vec<String> = shown.collect();
    if list.is_empty() { "—".to_owned() } else { list.join(", ") }
}
