//! Blocklists: who says that this address or domain should not be heard.
//!
//! Which lists there are, and how each is to be read, is data (`blocklists.toml`). Each
//! list is tested before it is believed; one that refuses our resolver, does not answer
//! or answers nonsense is unknown, and the resolver is named, since it is mostly the
//! reason. Lists that were shut down are none of them: `explain` knows their
//! names from replies. Behind a relayhost receivers see
//! the relay's address, so that ours is not asked about; the domain is.

mod ask;
mod data;
mod definitions;
mod neighbourhood;

use puerto_mail::dns::{Answer, Dns, DnsError, RecordType, is_at_or_below};
use tokio::sync::Semaphore;

use super::context::{Context, Place};
use super::outcome::{Check, Definition, Draft};
use super::world::World;
use crate::lang::{Said, Text};
use ask::{Doubt, Subject, Verdict};
use data::{Kind, List, Lists, Meaning};
pub(super) use definitions::FAMILY;
use definitions::SPAMHAUS_ZEN;
use puerto_mail::together::together;

/// Questions that are asked at the same time at most.
const AT_ONCE: usize = 96;

/// The names that the lists which are asked must list (RFC 5782 §5): what a made-up
/// Internet has to answer for, so that they are believed.
pub fn test_points() -> Vec<String> {
    let asked = [Kind::Ipv4, Kind::Ipv6, Kind::Domain].into_iter();
    asked
        .flat_map(|kind| Lists::known().of(kind).map(move |list| ask::listed_names(list, kind)))
        .flatten()
        .collect()
}

/// Asks all lists about the addresses that receivers see and about the domain.
pub(super) async fn run<W: World>(context: &Context<'_, W>) -> Vec<Check> {
    let dns = Bounded { dns: context.world, at_once: Semaphore::new(AT_ONCE) };
    let subjects = subjects(context);
    let mut reports = Vec::new();
    for kind in [Kind::Ipv4, Kind::Ipv6, Kind::Domain] {
        let these: Vec<_> = subjects.iter().copied().filter(|s| s.kind() == kind).collect();
        if !these.is_empty() {
            for list in Lists::known().of(kind) {
                reports.push(report(context, &dns, list, (kind, these.clone())));
            }
        }
    }
    let reports = together(reports).await;
    let mut checks = vec![sanity(context, &reports)];
    checks.extend(reports.into_iter().flat_map(|report| report.checks));
    if context.relay.is_some() {
        checks.extend(behind_relay(context));
    }
    checks
}

/// What one list said of all subjects of a kind.
struct Report {
    list: &'static List,
    is_fit: bool,
    checks: Vec<Check>,
}

async fn report<W: World>(
    context: &Context<'_, W>,
    dns: &Bounded<'_, W>,
    list: &'static List,
    (kind, subjects): (Kind, Vec<Subject<'_>>),
) -> Report {
    // What the list says counts only once it passed its test; asking does not wait.
    let asked = together(subjects.iter().map(|subject| ask::ask(dns, list, *subject)));
    let (doubt, verdicts) = tokio::join!(ask::test(dns, list, kind), asked);
    if let Some(doubt) = doubt {
        let verdict = || Verdict::Unknown(doubt.clone());
        let checks = subjects.iter().map(|subject| conclude(context, list, *subject, verdict()));
        return Report { list, is_fit: false, checks: checks.collect() };
    }
    let concluded = subjects.iter().zip(verdicts);
    let mut checks: Vec<Check> =
        concluded.map(|(subject, verdict)| conclude(context, list, *subject, verdict)).collect();
    let addresses = subjects.iter().filter_map(|subject| subject.address_v4());
    let around = addresses.filter(|_| list.check == SPAMHAUS_ZEN.id);
    let around = around.map(|address| neighbourhood::look_around(context, dns, list, address));
    checks.extend(together(around).await);
    Report { list, is_fit: true, checks }
}

fn subjects<'a, W: World>(context: &'a Context<'_, W>) -> Vec<Subject<'a>> {
    let mut subjects = Vec::new();
    if context.place == Place::Further {
        return vec![Subject::Domain(&context.domain)];
    }
    if context.relay.is_none() {
        subjects.extend(context.egress.iter().map(|address| Subject::Address(*address)));
    }
    subjects.push(Subject::Domain(&context.domain));
    // Lists match a domain with all that is under it.
    if !is_at_or_below(&context.helo, &context.domain)
        && context.relay.is_none()
        && context.helo.contains('.')
    {
        subjects.push(Subject::Domain(&context.helo));
    }
    subjects
}

fn conclude<W: World>(
    context: &Context<'_, W>,
    list: &'static List,
    subject: Subject<'_>,
    verdict: Verdict<'_>,
) -> Check {
    let asked = context.question(&subject.name_in(&list.zone), RecordType::A);
    let definition = definition_of(list);
    let draft = context.about(definition, subject).asked_dns(asked).with("list", &list.name);
    let draft = draft.severity(list.severity.min(definition.severity));
    match verdict {
        Verdict::NotListed if list.is_allow_list() => draft.with("page", &list.page).pass((
            "not registered with {list}, which nobody demands ({page})",
            "no está registrada en {list}, cosa que nadie exige ({page})",
        )),
        Verdict::NotListed => draft.pass(("not listed by {list}", "no figura en {list}")),
        Verdict::Listed { .. } if list.is_allow_list() => draft.pass((
            "{list} knows it as a legitimate mail server",
            "{list} la conoce como servidor de correo legítimo",
        )),
        Verdict::Listed { meanings, answers, text } => {
            listed(draft.list("answers", answers), list, (&meanings, text))
        }
        Verdict::Unknown(doubt) => unknown(context, draft, list, &doubt),
    }
}

fn listed(draft: Draft, list: &List, (meanings, text): (&[&Meaning], Option<String>)) -> Check {
    let names: Vec<_> = meanings.iter().map(|meaning| meaning.name.as_str()).collect();
    let means: Vec<_> = meanings.iter().map(|meaning| meaning.means()).collect();
    let remedies: Vec<_> = meanings.iter().map(|meaning| list.remedy(meaning)).collect();
    let worst = meanings.iter().map(|meaning| meaning.severity.unwrap_or(list.severity)).max();
    let words = text.map(|text| format!(" — “{text}”")).unwrap_or_default();
    draft
        .severity(worst.unwrap_or(list.severity))
        .with("names", unique(names).join(" + "))
        .with_said("means", joined(means, "; "))
        .with("words", words)
        .with_said("remedy", joined(remedies, " "))
        .with("page", &list.page)
        .expected(("not listed", "que no figure"))
        .remedy("{remedy} {page}")
        .finding((
            "listed by {list} as {names} ({answers}): {means}{words}",
            "figura en {list} como {names} ({answers}): {means}{words}",
        ))
}

fn unknown<W: World>(
    context: &Context<'_, W>,
    draft: Draft,
    list: &List,
    doubt: &Doubt<'_>,
) -> Check {
    let draft = draft.with("resolver", context.world.resolver()).with("page", &list.page);
    match doubt {
        Doubt::Silent(error) => draft.no_answer(error),
        Doubt::Refused(answer, meaning) => {
            const NO_REASON: Text = Text::new("it gives no reason", "no da motivo");
            let why = meaning.map_or_else(|| NO_REASON.into(), Meaning::means);
            draft.with("answer", answer).with_said("why", why).advice(OWN_RESOLVER).unknown((
                "{list} refuses to answer the resolver {resolver} ({answer}): {why}. This is \
                     no listing",
                "{list} no quiere responder al resolutor {resolver} ({answer}): {why}. Esto no \
                     es una inclusión en la lista",
            ))
        }
        Doubt::Unregistered => draft
            .advice((
                "Register the resolver's address, free of charge: {page}",
                "Registre la dirección del resolutor, sin coste: {page}",
            ))
            .unknown((
                "{list} answers registered resolvers only, and {resolver} does not seem to be one",
                "{list} solo responde a resolutores registrados, y {resolver} no parece serlo",
            )),
        Doubt::ListsNothing => draft.unknown((
            "{list} does not list its own test point when {resolver} asks it: it is not believed",
            "{list} no incluye su propio punto de prueba cuando le pregunta {resolver}: no se la \
             cree",
        )),
        Doubt::ListsEverything => draft.unknown((
            "{list} lists even what never may be listed: it is broken or was shut down",
            "{list} incluye hasta lo que nunca debe incluir: está estropeada o la cerraron",
        )),
        Doubt::Strange(answer) => draft.with("answer", answer).unknown((
            "{list} answered {answer} to {resolver}, which means nothing there",
            "{list} respondió {answer} a {resolver}, lo que en ella no significa nada",
        )),
    }
}

const OWN_RESOLVER: Text = Text::new(
    "Run a recursive resolver of your own on this machine (apt install unbound), and name it in \
     [dns] servers = [\"127.0.0.1:53\"].",
    "Ponga en esta máquina un resolutor recursivo propio (apt install unbound) y nómbrelo en \
     [dns] servers = [\"127.0.0.1:53\"].",
);

fn sanity<W: World>(context: &Context<'_, W>, reports: &[Report]) -> Check {
    let resolver = context.world.resolver();
    let (fit, unfit): (Vec<_>, Vec<_>) = reports.iter().partition(|report| report.is_fit);
    let names: Vec<_> = unfit.iter().map(|report| report.list.name.as_str()).collect();
    let draft = context
        .about(&definitions::SANITY, &resolver)
        .asked_dns(format!("127.0.0.2, 127.0.0.1, test, invalid @{resolver}"))
        .with("fit", fit.len())
        .list("unfit", unique(names));
    match unfit.as_slice() {
        [] => draft.right(),
        _ => draft.unknown((
            "asked by {subject}, these lists cannot be believed or do not answer: {unfit}; {fit} \
             do",
            "preguntadas por {subject}, estas listas no son de fiar o no responden: {unfit}; {fit} \
             sí",
        )),
    }
}

fn behind_relay<W: World>(context: &Context<'_, W>) -> Vec<Check> {
    let relay = context.relay.as_ref().map(|relay| relay.name.as_str()).unwrap_or_default();
    let of_domain = [&definitions::SANITY, &definitions::SPAMHAUS_DBL, &definitions::URIBL_SURBL];
    let of_addresses = FAMILY.checks.iter().filter(|check| !of_domain.contains(check));
    let skip = |definition: &&'static Definition| {
        context.about(definition, relay).not_applicable((
            "receivers see the address of the relay {subject}, which is its operator's business",
            "los receptores ven la dirección del relay {subject}, que es asunto de quien lo lleva",
        ))
    };
    of_addresses.map(skip).collect()
}

fn definition_of(list: &List) -> &'static Definition {
    let known = FAMILY.checks.iter().find(|definition| definition.id == list.check);
    known.copied().unwrap_or(&definitions::OTHER)
}

fn joined(said: Vec<Said>, between: &str) -> Said {
    Said::joined(&unique(said), between)
}

/// Each once, in the order of their first appearance.
fn unique<T: PartialEq>(texts: Vec<T>) -> Vec<T> {
    let mut seen = Vec::new();
    for text in texts {
        if !seen.contains(&text) {
            seen.push(text);
        }
    }
    seen
}

/// A DNS that is asked a bounded number of questions at the same time.
struct Bounded<'a, D> {
    dns: &'a D,
    at_once: Semaphore,
}

impl<D: Dns> Dns for Bounded<'_, D> {
    async fn lookup(&self, name: &str, record_type: RecordType) -> Result<Answer, DnsError> {
        // It is never closed.
        let _permit = self.at_once.acquire().await;
        self.dns.lookup(name, record_type).await
    }
}

#[cfg(test)]
mod tests;
