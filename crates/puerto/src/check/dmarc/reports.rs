//! Where a record sends reports: does mail arrive there, and is it permitted?

use puerto_mail::dmarc::Record;
use puerto_mail::dmarc::mend::{Fault, Mended};
use puerto_mail::dns::{Answer, Record as DnsRecord, RecordType};
use puerto_mail::together::together;

use super::{RUA, RUA_EXTERNAL, RUA_SIZE, SYNTAX};
use crate::check::context::Context;
use crate::check::domain::{NULL_MX, SENDER_RESOLVES};
use crate::check::names::related;
use crate::check::outcome::{Check, Definition, Draft, Judged, told};
use crate::check::world::World;
use crate::lang::Said;

/// `draft` is of the record of `whose`.
pub(super) async fn judge<W: World>(
    context: &Context<'_, W>,
    draft: impl Fn(&'static Definition) -> Draft,
    (tags, record): (&Mended, &Record),
    whose: &str,
) -> Vec<Check> {
    if record.aggregate_reports.is_empty() {
        let is_unread = tags.faults.iter().any(|fault| matches!(fault, Fault::Address(_)));
        return vec![if is_unread { draft(&RUA).skipped(&SYNTAX) } else { draft(&RUA).wrong() }];
    }
    let mut targets: Vec<String> = Vec::new();
    for uri in &record.aggregate_reports {
        let domain = uri.rsplit_once('@').map(|(_, domain)| domain.trim().to_ascii_lowercase());
        targets.extend(domain.filter(|domain| !targets.contains(domain)));
    }
    let judged = targets.iter().map(|target| {
        let draft = draft(&RUA);
        async move {
            let permission = async {
                match related(target, whose) {
                    true => None,
                    false => Some(told(permission(context, whose, target).await)),
                }
            };
            let (takes_mail, permission) =
                tokio::join!(takes_mail(context, draft, target), permission);
            let permission = permission.map(|check| match takes_mail.is_wrong() {
                true => context.about(&RUA_EXTERNAL, &check.subject).skipped(&RUA),
                false => check,
            });
            [Some(takes_mail), permission]
        }
    });
    let mut checks: Vec<Check> = together(judged).await.into_iter().flatten().flatten().collect();
    let is_sized = tags.get("rua").is_some_and(|value| value.contains('!'));
    checks.push(draft(&RUA_SIZE).judge(is_sized));
    checks
}

async fn takes_mail<W: World>(context: &Context<'_, W>, draft: Draft, target: &str) -> Check {
    let draft = draft
        .asked_dns(context.question(target, RecordType::Mx))
        .with("target", target)
        .expected(("a domain with MX", "un dominio con MX"))
        .remedy((
            "Write a working address into rua at {name}",
            "Ponga en rua una dirección que funcione, en {name}",
        ));
    let (mx, addresses) =
        tokio::join!(context.world.lookup(target, RecordType::Mx), context.addresses(target));
    let takes_none = |answer: &Answer| {
        answer.records.iter().all(|one| matches!(one, DnsRecord::Mx(_, host) if host.is_empty()))
    };
    // That our own domain takes no mail is told once.
    let is_told = target == context.domain;
    match (mx, addresses) {
        (Ok(answer), _) if takes_none(&answer) && is_told => draft.skipped(&NULL_MX),
        (Ok(answer), _) if takes_none(&answer) => draft
            .finding(("{target} says that it takes no mail", "{target} dice que no recibe correo")),
        (Ok(_), _) => draft.right(),
        (Err(_), Ok(found)) if !found.is_empty() => draft.right(),
        (Err(error), Ok(_)) if error.is_absence() && is_told => draft.skipped(&SENDER_RESOLVES),
        (Err(error), Ok(_)) if error.is_absence() => {
            draft.finding(("{target} takes no mail", "{target} no recibe correo"))
        }
        _ => draft.dns_silent(),
    }
}

async fn permission<W: World>(context: &Context<'_, W>, whose: &str, target: &str) -> Judged {
    let name = format!("{whose}._report._dmarc.{target}");
    let draft = context
        .asking(&RUA_EXTERNAL, context.subject(target), (&name, RecordType::Txt))
        .with("target", target)
        .with_record("name", Said::words(&name));
    let texts = draft.answered(context.texts(&name).await)?;
    Ok(draft.judge(!texts.iter().any(|text| text.starts_with("v=DMARC1"))))
}
