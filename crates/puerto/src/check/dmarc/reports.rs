//! Where a record sends reports: does mail arrive there, and is it permitted?

use puerto_mail::dmarc::Evaluation;
use puerto_mail::dmarc::mend::{Fault, Mended};
use puerto_mail::dns::{Answer, Record, RecordType};
use puerto_mail::together::together;

use super::definitions::{RUA, RUA_EXTERNAL, RUA_SIZE, SYNTAX};
use crate::check::context::Context;
use crate::check::domain::{NULL_MX, SENDER_RESOLVES};
use crate::check::names::related;
use crate::check::outcome::{Check, Draft};
use crate::check::world::World;
use crate::lang::{Said, Text};

pub(super) async fn judge<W: World>(
    context: &Context<'_, W>,
    tags: &Mended,
    evaluation: &Evaluation,
    publish: &Said,
) -> Vec<Check> {
    let Some(record) = &evaluation.record else { return Vec::new() };
    let whose = evaluation.policy_domain.as_deref().unwrap_or(&context.domain);
    let name = format!("_dmarc.{whose}");
    let draft = |check| {
        context
            .asking(check, whose, (&name, RecordType::Txt))
            .with("name", &name)
            .with("domain", whose)
    };
    if record.aggregate_reports.is_empty() {
        if tags.faults.iter().any(|fault| matches!(fault, Fault::Address(_))) {
            return vec![draft(&RUA).skipped(&SYNTAX)];
        }
        let add = Text::same("{publish}");
        return vec![draft(&RUA).with_said("publish", publish).finding(
            ("no rua: nobody sends you reports", "sin rua: nadie le envía informes"),
            "rua=mailto:…",
            add,
        )];
    }
    let mut checks = Vec::new();
    let mut targets: Vec<String> = Vec::new();
    for uri in &record.aggregate_reports {
        let domain = uri.rsplit_once('@').map(|(_, domain)| domain.trim().to_ascii_lowercase());
        targets.extend(domain.filter(|domain| !targets.contains(domain)));
    }
    let judged = targets.iter().map(|target| {
        let draft = draft(&RUA).with("target", target);
        async move {
            let permission = async {
                match related(target, whose) {
                    true => None,
                    false => Some(permission(context, whose, target).await),
                }
            };
            let (takes_mail, permission) =
                tokio::join!(takes_mail(context, draft, target), permission);
            let permission = match takes_mail.is_wrong() {
                true => permission
                    .map(|_| context.about(&RUA_EXTERNAL, context.subject(target)).skipped(&RUA)),
                false => permission,
            };
            [Some(takes_mail), permission]
        }
    });
    checks.extend(together(judged).await.into_iter().flatten().flatten());
    let sized = tags.get("rua").is_some_and(|value| value.contains('!'));
    checks.push(if sized {
        draft(&RUA_SIZE).finding(
            ("a size limit behind the address", "un límite de tamaño tras la dirección"),
            ("none", "ninguno"),
            ("Delete everything from ! on", "Borre desde ! en adelante"),
        )
    } else {
        draft(&RUA_SIZE).pass(("none", "ninguno"))
    });
    checks
}

async fn takes_mail<W: World>(context: &Context<'_, W>, draft: Draft, target: &str) -> Check {
    let draft = draft.asked(context.question(target, RecordType::Mx));
    let (mx, v4, v6) = tokio::join!(
        context.lookup(target, RecordType::Mx),
        context.addresses(target, false),
        context.addresses(target, true)
    );
    let takes_none = |answer: &Answer| {
        answer.records.iter().all(|one| matches!(one, Record::Mx(_, host) if host.is_empty()))
    };
    match &mx {
        Ok(answer) if takes_none(answer) && target == context.domain => {
            return draft.skipped(&NULL_MX);
        }
        Ok(answer) if takes_none(answer) => {
            return draft.finding(
                ("{target} says that it takes no mail", "{target} dice que no recibe correo"),
                ("a domain with MX", "un dominio con MX"),
                (
                    "Write a working address into rua at {name}",
                    "Ponga en rua una dirección que funcione, en {name}",
                ),
            );
        }
        Ok(_) => return draft.pass("{target}"),
        Err(_) => {}
    }
    match (mx, v4, v6) {
        (_, Ok(v4), Ok(v6)) if !v4.is_empty() || !v6.is_empty() => draft.pass("{target}"),
        // That our own domain takes no mail is told once.
        (Err(error), Ok(_), Ok(_)) if error.is_absence() && target == context.domain => {
            draft.skipped(&SENDER_RESOLVES)
        }
        (Err(error), Ok(_), Ok(_)) if error.is_absence() => draft.finding(
            ("{target} takes no mail", "{target} no recibe correo"),
            ("a domain with MX", "un dominio con MX"),
            (
                "Write a working address into rua at {name}",
                "Ponga en rua una dirección que funcione, en {name}",
            ),
        ),
        _ => draft.dns_silent(),
    }
}

async fn permission<W: World>(context: &Context<'_, W>, whose: &str, target: &str) -> Check {
    let name = format!("{whose}._report._dmarc.{target}");
    let draft = context
        .about(&RUA_EXTERNAL, context.subject(target))
        .with("target", target)
        .asked(context.question(&name, RecordType::Txt))
        .with("name", &name);
    match context.texts(&name).await {
        Ok(texts) if texts.iter().any(|text| text.starts_with("v=DMARC1")) => {
            draft.pass(("permitted", "permitido"))
        }
        Ok(_) => draft.finding(
            (
                "{target} does not permit it: no reports come",
                "{target} no lo permite: no llegan informes",
            ),
            "{name} TXT v=DMARC1",
            (
                "Ask {target} to publish: {name}. IN TXT \"v=DMARC1\", or use an address of your \
                 own",
                "Pida a {target} que publique: {name}. IN TXT \"v=DMARC1\", o use una dirección \
                 propia",
            ),
        ),
        Err(error) => draft.no_answer(&error),
    }
}
