//! SPF of the sender's domain: does its record let this server send, and can every
//! receiver evaluate it?

mod definitions;
mod manners;
mod remedy;
mod terms;

use std::net::IpAddr;

use puerto_mail::dns::{DnsError, Record, RecordType};
use puerto_mail::spf::count::{Count, CountFaultKind, count};
use puerto_mail::spf::mend;
use puerto_mail::spf::{self, Answer, Evaluation, MAX_LOOKUPS, Query, Question, SpfResult, Trace};

use super::context::Context;
use super::outcome::{Check, Definition, Draft, Family};
use super::world::World;
use crate::finding::Severity;
use crate::lang::Text;
use definitions::{
    AFTER_ALL, BROAD, COVERS_IP, EXISTS, INCLUDE_MISSING, LOOKUPS, LOOP, MACROS, MX_LIMIT, NO_ALL,
    PLUS_ALL, PTR_MECHANISM, REDIRECT_WITH_ALL, SINGLE, SIZE, STRING_255, SYNTAX, VOID,
};
use puerto_mail::together::together;
use remedy::Remedy;
use terms::{Faults, Terms};

pub(super) static FAMILY: Family = Family {
    name: "spf",
    title: Text::same("SPF"),
    is_of_machine: false,
    checks: &[
        &EXISTS,
        &SINGLE,
        &STRING_255,
        &SYNTAX,
        &INCLUDE_MISSING,
        &LOOP,
        &LOOKUPS,
        &VOID,
        &MX_LIMIT,
        &COVERS_IP,
        &PLUS_ALL,
        &BROAD,
        &NO_ALL,
        &AFTER_ALL,
        &REDIRECT_WITH_ALL,
        &PTR_MECHANISM,
        &SIZE,
        &MACROS,
    ],
};

/// Octets of an answer that come through everywhere (RFC 7208 §3.4), and through UDP
/// as DNS servers set it up today.
const SMALL_ANSWER: usize = 512;
const MAX_ANSWER: usize = 1232;
/// Addresses that the record's own networks may hold together.
const MAX_ADDRESSES: u64 = 1 << 16;
/// Look-ups from which it is worth to say how few are left.
const MANY_LOOKUPS: u32 = 8;
/// An address that nobody has, for which every term is tried.
const NOBODY: &str = "240.0.0.1";

pub(super) async fn run<W: World>(context: &Context<'_, W>) -> Vec<Check> {
    let domain = context.domain.as_str();
    let draft = |definition| about(context, definition);
    let (texts, ()) = tokio::join!(
        context.texts(domain),
        spf::ahead::ask(context.world, [(domain.to_owned(), RecordType::Txt)])
    );
    let texts = match texts {
        Ok(texts) => texts,
        Err(error) => {
            let mut checks = vec![draft(&EXISTS).no_answer(&error)];
            checks.extend(rest_after(&EXISTS).map(|check| draft(check).skipped(&EXISTS)));
            return checks;
        }
    };
    let remedy = Remedy::find(context, &texts).await;
    let records: Vec<&String> =
        texts.iter().filter(|text| spf::is_record(text.as_bytes())).collect();
    let record = match records.as_slice() {
        [] => return missing(context, &texts, &remedy),
        [record] => record.as_str(),
        several => {
            let list: Vec<_> = several.iter().map(|record| record.as_str()).collect();
            let exists = draft(&EXISTS)
                .with("count", list.len())
                .pass(("{count} records", "{count} registros"));
            let single = remedy
                .put_in(context, draft(&SINGLE))
                .with("records", list.join(" | "))
                .with("count", list.len())
                .finding(
                    ("{count} records: {records}", "{count} registros: {records}"),
                    ("one record", "un solo registro"),
                    remedy.for_all(),
                );
            let mut checks = vec![exists, single];
            checks.extend(rest_after(&SINGLE).map(|check| draft(check).skipped(&SINGLE)));
            return checks;
        }
    };
    let mut checks = vec![
        draft(&EXISTS).with("record", record).pass("{record}"),
        draft(&SINGLE).pass(("one record", "un solo registro")),
        size(context, &texts),
    ];
    checks.extend(of_record(context, record, &remedy).await);
    checks
}

fn rest_after(last: &'static Definition) -> impl Iterator<Item = &'static Definition> {
    FAMILY.checks.iter().copied().skip_while(move |check| check.id != last.id).skip(1)
}

fn missing<W: World>(context: &Context<'_, W>, texts: &[String], remedy: &Remedy) -> Vec<Check> {
    let draft = |definition| about(context, definition);
    let near = texts.iter().find(|text| mend::is_meant(text));
    let near = near.or(texts.iter().find(|text| text.to_ascii_lowercase().contains("spf1")));
    let seen = match near {
        Some(_) => Text::new(
            "no record begins with `v=spf1 `; this one does not count: {near}",
            "ningún registro empieza por `v=spf1 `; este no cuenta: {near}",
        ),
        None => Text::new("no SPF record", "no hay registro SPF"),
    };
    let mut checks = vec![
        remedy
            .put_in(context, draft(&EXISTS))
            .with("near", near.map_or("", |near| near.as_str()))
            .finding(seen, ("an SPF record", "un registro SPF"), remedy.text()),
    ];
    checks.extend(rest_after(&EXISTS).map(|check| draft(check).skipped(&EXISTS)));
    checks
}

// The record is the domain's, and is asked for at its own name.
fn about<W: World>(context: &Context<'_, W>, definition: &'static Definition) -> Draft {
    let domain = context.domain.as_str();
    context.asking(definition, domain, (domain, RecordType::Txt)).with("domain", domain)
}

async fn of_record<W: World>(
    context: &Context<'_, W>,
    record: &str,
    remedy: &Remedy,
) -> Vec<Check> {
    let domain = context.domain.as_str();
    let nobody: IpAddr = NOBODY.parse().unwrap_or(IpAddr::V4(std::net::Ipv4Addr::BROADCAST));
    let query =
        |address| Query::mail_from_text(address, &context.helo, &format!("postmaster@{domain}"));
    let terms = Terms::read(record);
    let senders = context.senders();
    let queries: Vec<Query> = senders.iter().map(|address| query(*address)).collect();
    let whole_query = query(nobody);
    let (count, whole, evaluations, mx) = tokio::join!(
        count(context.world, domain),
        spf::check(context.world, &whole_query),
        together(queries.iter().map(|query| spf::check(context.world, query))),
        mx_limit(context, &terms),
    );
    let mut checks = well_formed(context, record, &count, remedy);
    let own_fault = !mend::is_sound(record);
    let readable = !checks.iter().any(Check::is_wrong);
    let lookups = lookups(context, &count, readable);
    // A record with too many is cut down first, and what led nowhere may go with it.
    checks.push(match lookups.is_wrong() {
        true => context.about(&VOID, domain).skipped(&LOOKUPS),
        false => void(context, &[vec![whole.clone()], evaluations.clone()].concat()),
    });
    checks.push(lookups);
    checks.push(mx);
    let broken = checks.iter().find(|check| check.is_wrong()).map(|check| check.definition);
    checks.extend(coverage(context, (&senders, &evaluations), (record, broken), remedy));
    // What cannot be read as it was meant is not judged by its words.
    let damage = checks.iter().find(|check| {
        check.is_wrong() && [STRING_255.id, SYNTAX.id].contains(&check.id()) && own_fault
    });
    let damage = damage.map(|check| check.definition);
    checks.extend(manners::judge(
        context,
        (&terms, remedy),
        whole.result == SpfResult::Pass,
        damage,
    ));
    checks
}

// What makes a record, or one that it includes, unreadable: one finding for one fault.
fn well_formed<W: World>(
    context: &Context<'_, W>,
    record: &str,
    count: &Count,
    remedy: &Remedy,
) -> Vec<Check> {
    let domain = context.domain.as_str();
    let draft = |definition| about(context, definition);
    let faults = Faults::of(count, domain);
    let mended = |definition| remedy.put_in(context, draft(definition)).with("record", record);
    let quoted = record.contains(['"', '\\']);
    let grown = !quoted && mend::has_grown_together(record);
    let mut checks = Vec::new();
    checks.push(if grown {
        mended(&STRING_255).finding(
            ("terms grown together: {record}", "términos pegados: {record}"),
            ("a space between all terms", "un espacio entre todos los términos"),
            remedy.text(),
        )
    } else if quoted {
        mended(&STRING_255).finding(
            ("quotation marks in the value: {record}", "comillas dentro del valor: {record}"),
            ("no quotation marks in the value", "el valor sin comillas"),
            remedy.text(),
        )
    } else {
        draft(&STRING_255).pass(("whole", "entero"))
    });
    let readable = Text::new("a record that can be read", "un registro que se pueda leer");
    checks.push(match &faults.malformed {
        _ if quoted || grown => draft(&SYNTAX).skipped(&STRING_255),
        Some((whose, problem)) => {
            let correct = match whose == domain {
                true => remedy.text(),
                false => Text::new(
                    "Tell whoever runs {whose}, or take it out of: {record}",
                    "Avise a quien lleve {whose}, o quítelo de: {record}",
                ),
            };
            mended(&SYNTAX).with("whose", whose).with_said("problem", problem).finding(
                ("in the record of {whose}: {problem}", "en el registro de {whose}: {problem}"),
                readable,
                correct,
            )
        }
        None if !mend::is_sound(record) => {
            mended(&SYNTAX).with("terms", mend::mistaken(record).join(" ")).finding(
                (
                    "receivers do not read `{terms}` as it was meant: {record}",
                    "los receptores no leen `{terms}` como se quería: {record}",
                ),
                readable,
                remedy.text(),
            )
        }
        None => draft(&SYNTAX).pass(("every term is right", "todos los términos son correctos")),
    });
    checks.push(match &faults.missing {
        Some(whose) => draft(&INCLUDE_MISSING).with("whose", whose).finding(
            ("{whose} has no SPF record", "{whose} no tiene registro SPF"),
            (
                "a record at {whose}, or no include of it",
                "un registro en {whose}, o ningún include",
            ),
            (
                "Remove include:{whose} (or redirect={whose}) from the record of {domain}",
                "Quite include:{whose} (o redirect={whose}) del registro de {domain}",
            ),
        ),
        None => draft(&INCLUDE_MISSING).pass(("all there", "están todos")),
    });
    checks.push(match &faults.looping {
        Some(whose) => draft(&LOOP).with("whose", whose).finding(
            ("{whose} is reached from itself", "se llega a {whose} desde sí mismo"),
            ("no circle", "ningún círculo"),
            ("Break the circle: {whose}", "Rompa el círculo: {whose}"),
        ),
        None => draft(&LOOP).pass(("no circle", "ningún círculo")),
    });
    checks
}

fn lookups<W: World>(context: &Context<'_, W>, count: &Count, readable: bool) -> Check {
    let terms: Vec<_> = count.terms.iter().map(|term| term.term.as_str()).collect();
    let draft = about(context, &LOOKUPS)
        .with("count", count.lookups)
        .with("limit", MAX_LOOKUPS)
        .with("terms", terms.join(" "));
    if count.lookups > MAX_LOOKUPS {
        return draft.finding(
            ("{count} look-ups: {terms}", "{count} consultas: {terms}"),
            ("at most {limit}", "{limit} como mucho"),
            (
                "Remove includes that are not needed, replace others by ip4: and ip6: (`puerto \
                 dns` shows the record with its count), or give other senders a subdomain",
                "Quite los include que no hagan falta, cambie otros por ip4: e ip6: (`puerto dns` \
                 muestra el registro con su cuenta), o dé un subdominio a otros remitentes",
            ),
        );
    }
    let dns = count.faults.iter().find_map(|fault| match &fault.kind {
        CountFaultKind::Dns(error) => Some((fault.domain.as_str(), error)),
        _ => None,
    });
    if let Some((whose, error)) = dns {
        let draft = draft.with("whose", whose).with_said("error", error);
        return draft.unknown((
            "{count} so far; {whose}: {error}",
            "{count} hasta ahora; {whose}: {error}",
        ));
    }
    if !readable {
        return draft.not_applicable((
            "{count} so far; the record cannot be read to its end",
            "{count} hasta ahora; el registro no se puede leer hasta el final",
        ));
    }
    if count.lookups >= MANY_LOOKUPS {
        return draft.severity(Severity::Info).finding(
            ("{count} of {limit} look-ups", "{count} de {limit} consultas"),
            ("room for more", "margen para más"),
            ("Replace an include before you add one", "Cambie un include antes de añadir otro"),
        );
    }
    draft.pass(("{count} of {limit} look-ups", "{count} de {limit} consultas"))
}

// The first is of an address that nobody has, the others are of ours.
fn void<W: World>(context: &Context<'_, W>, whole: &[Evaluation]) -> Check {
    let names = whole.iter().enumerate().map(|(number, evaluation)| {
        let mut names = Vec::new();
        void_names(&evaluation.trace, number > 0, &mut names);
        names
    });
    let names: Vec<&Question> = names.max_by_key(Vec::len).unwrap_or_default();
    let nowhere = Answer::Nothing(DnsError::NoSuchDomain);
    let only_records = names.iter().all(|question| question.answer != nowhere);
    let asked: Vec<&str> = names.iter().map(|question| question.asked.as_str()).collect();
    let draft = about(context, &VOID).with("count", names.len()).with("names", asked.join(", "));
    if whole.iter().any(|evaluation| evaluation.result == SpfResult::TempError) {
        return draft.dns_silent();
    }
    if names.len() > 2 {
        let remedy = match only_records {
            true => Text::new(
                "Give these names such records, or replace their terms by ip4: and ip6:",
                "Dé esos registros a esos nombres, o cambie sus términos por ip4: e ip6:",
            ),
            false => Text::new(
                "Delete the terms of names that no longer exist",
                "Borre los términos de nombres que ya no existen",
            ),
        };
        return draft.finding(
            ("{count} lead nowhere: {names}", "{count} no llevan a nada: {names}"),
            ("at most 2", "2 como mucho"),
            remedy,
        );
    }
    draft.pass(("{count} of 2", "{count} de 2"))
}

// As an evaluation counts them (RFC 7208 §4.6.4); `exists` is made to lead nowhere for
// most addresses, and counts for those alone that we send from.
fn void_names<'a>(trace: &'a Trace, is_ours: bool, names: &mut Vec<&'a Question>) {
    for step in &trace.steps {
        let term = step.term.trim_start_matches(['+', '-', '~', '?']).to_ascii_lowercase();
        let counts = |asked: &&Question| {
            let is_counted = !term.starts_with("ptr") || asked.asked.starts_with("PTR ");
            is_counted && matches!(&asked.answer, Answer::Nothing(error) if error.is_absence())
        };
        if is_ours || !term.starts_with("exists:") {
            names.extend(step.questions.iter().filter(counts));
        }
        if let Some(nested) = &step.nested {
            void_names(nested, is_ours, names);
        }
    }
}

async fn mx_limit<W: World>(context: &Context<'_, W>, terms: &Terms) -> Check {
    let domain = context.domain.as_str();
    let draft = context.about(&MX_LIMIT, domain);
    for target in terms.mx_targets(domain) {
        let hosts = match context.lookup(&target, RecordType::Mx).await {
            Ok(answer) => answer.records.iter().filter(|r| matches!(r, Record::Mx(..))).count(),
            Err(error) if error.is_absence() => 0,
            Err(error) => {
                return draft.asked(context.question(&target, RecordType::Mx)).no_answer(&error);
            }
        };
        if hosts > 10 {
            let draft = draft.asked(context.question(&target, RecordType::Mx));
            return draft.with("count", hosts).with("target", &target).finding(
                ("{target} has {count} MX hosts", "{target} tiene {count} máquinas MX"),
                ("at most 10", "10 como mucho"),
                ("Replace mx by ip4: and ip6:", "Cambie mx por ip4: e ip6:"),
            );
        }
    }
    draft.pass(("at most 10", "10 como mucho"))
}

fn coverage<W: World>(
    context: &Context<'_, W>,
    (senders, evaluations): (&[IpAddr], &[Evaluation]),
    (record, broken): (&str, Option<&'static Definition>),
    remedy: &Remedy,
) -> Vec<Check> {
    let domain = context.domain.as_str();
    if senders.is_empty() {
        let draft = context.about(&COVERS_IP, domain);
        return vec![draft.unknown((
            "it is not known by which public address our mail reaches the world",
            "no se sabe con qué dirección pública llega nuestro correo al mundo",
        ))];
    }
    let passes = evaluations.iter().any(|evaluation| evaluation.result == SpfResult::Pass);
    senders
        .iter()
        .zip(evaluations)
        .map(|(address, evaluation)| {
            let draft = remedy
                .put_in(context, context.about(&COVERS_IP, context.subject(address)))
                .with("address", address)
                .asked(context.question(domain, RecordType::Txt))
                .with("domain", domain)
                .with("result", evaluation.result)
                .with("record", record);
            match evaluation.result {
                SpfResult::Pass => draft.pass("{result}"),
                SpfResult::TempError => draft.dns_silent(),
                _ if broken.is_some() => draft.skipped(broken.unwrap_or(&SYNTAX)),
                // A relay may well send from other addresses than it takes mail at.
                _ if context.relay.is_some() && (passes || Terms::read(record).delegates()) => {
                    draft.unknown((
                        "{result} for {address}, where the relay takes mail; whether it sends from \
                         there cannot be seen from here",
                        "{result} para {address}, donde el relay recibe el correo; desde aquí no \
                         se puede saber si también envía desde ahí",
                    ))
                }
                _ => draft.finding(
                    ("{result} for {address}: {record}", "{result} para {address}: {record}"),
                    "pass",
                    remedy.text(),
                ),
            }
        })
        .collect()
}

fn size<W: World>(context: &Context<'_, W>, texts: &[String]) -> Check {
    // Name, type, class, lifetime and lengths take some 20 octets for each record.
    let octets: usize = 60 + texts.iter().map(|text| text.len() + 20).sum::<usize>();
    let draft = about(context, &SIZE).with("octets", octets).with("limit", SMALL_ANSWER);
    if octets <= SMALL_ANSWER {
        return draft.pass(("about {octets} octets", "unos {octets} octetos"));
    }
    // Between the two it is the usual thing, and hardly anybody fails.
    let severity = if octets > MAX_ANSWER { Severity::Warning } else { Severity::Info };
    draft.severity(severity).finding(
        ("about {octets} octets", "unos {octets} octetos"),
        ("at most {limit}", "{limit} como mucho"),
        (
            "Delete TXT records that are no longer needed, such as old ownership proofs",
            "Borre los registros TXT que ya no hagan falta, como pruebas de propiedad antiguas",
        ),
    )
}
