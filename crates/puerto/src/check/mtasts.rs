//! The MTA-STS policy (RFC 8461): a page that says by which hosts, and that only over
//! TLS, the domain takes mail. A policy that leaves an MX host out keeps mail away from
//! it, and the administrator never hears of it.

use puerto_mail::dns::{DnsError, RecordType};

use super::Page;
use super::context::Context;
use super::outcome::{Check, Draft, Judged, Status, told};
use super::tls::{MTASTS_ID, MTASTS_MAX_AGE, MTASTS_MX, MTASTS_POLICY, MTASTS_RECORD};
use super::world::World;
use crate::finding::Severity;
use crate::survey::mtasts::{LONGEST, Mode, PATH, Policy, id_for, id_of};
use crate::survey::names::ascii;

const DAY: u64 = 86_400;

/// Fetches and judges the policy, if the record promises one.
pub(super) async fn run<W: World>(context: &Context<'_, W>, record: &Check) -> Vec<Check> {
    let domain = context.domain.as_str();
    let host = format!("mta-sts.{domain}");
    let address = format!("https://{host}{PATH}");
    let draft = |definition| {
        context.about(definition, domain).asked(&address).with("url", &address).with("host", &host)
    };
    if record.status != Status::Pass {
        let mut checks = vec![draft(&MTASTS_POLICY).skipped(&MTASTS_RECORD)];
        // What senders will go by once the record is right is known without it.
        if let Some(Ok(policy)) = ours(context).as_deref().map(Policy::read) {
            let exchangers = context.exchangers().await;
            checks.push(told(matching(draft(&MTASTS_MX), &policy, exchangers)));
        }
        return checks;
    }
    if context.egress_given {
        return vec![draft(&MTASTS_POLICY).not_applicable((
            "the addresses given are judged, and nothing is fetched",
            "se juzgan las direcciones indicadas, y no se pide ninguna página",
        ))];
    }
    let (page, exchangers) = tokio::join!(context.world.page(&host, PATH), context.exchangers());
    match of_page(draft(&MTASTS_POLICY), &page) {
        Ok(policy) => {
            let mut checks = vec![
                draft(&MTASTS_POLICY).with("mode", policy.mode.name()).right(),
                told(matching(draft(&MTASTS_MX), &policy, exchangers)),
                draft(&MTASTS_MAX_AGE)
                    .with("seconds", policy.max_age)
                    .judge(!(DAY..=LONGEST).contains(&policy.max_age)),
            ];
            if let Some(ours) = ours(context) {
                checks.push(told(announced(context, &policy, &ours).await));
            }
            checks
        }
        Err(failed) => failed.skipping(&[&MTASTS_MX, &MTASTS_MAX_AGE], draft),
    }
}

// The policy that this server serves for the domain.
pub(super) fn ours<W: World>(context: &Context<'_, W>) -> Option<String> {
    let is_ours = context
        .config
        .domains
        .iter()
        .any(|domain| domain.name().is_some_and(|name| ascii(name) == context.domain));
    context.config.mta_sts.text().filter(|_| is_ours)
}

// Whether what is seen outside is what the configuration says, the policy first.
async fn announced<W: World>(context: &Context<'_, W>, seen: &Policy, ours: &str) -> Judged {
    let name = format!("_mta-sts.{}", context.domain);
    let draft = context
        .asking(&MTASTS_ID, &context.domain, (&name, RecordType::Txt))
        .with("name", &name)
        .with("id", id_for(ours));
    if Policy::read(ours).as_ref() != Ok(seen) {
        return Ok(draft
            .remedy((
                "First the policy: systemctl reload puerto, and see that mta-sts.{subject} leads to \
                 this server; then the id.",
                "Primero la política: systemctl reload puerto, y compruebe que mta-sts.{subject} \
                 lleva a este servidor; después el id.",
            ))
            .finding((
                "the policy that is served is not the configuration's",
                "la política que se sirve no es la de la configuración",
            )));
    }
    let texts = draft.answered(context.texts(&name).await)?;
    let is_right = id_of(texts.iter().map(String::as_str)) == Some(id_for(ours).as_str());
    Ok(draft.judge(!is_right))
}

fn of_page(draft: Draft, page: &Page) -> Judged<Policy> {
    match page {
        Page::Failed(why) => draft.with_said("why", why).unknown((
            "the page could not be fetched: {why}",
            "no se pudo obtener la página: {why}",
        )),
        Page::NoHost => draft.finding(("{host} has no address", "{host} no tiene dirección")),
        Page::Untrusted(why) => draft.with_said("why", why).finding((
            "the certificate of {host} is not valid: {why}",
            "el certificado de {host} no es válido: {why}",
        )),
        Page::Answer { status: 200, media_type, body } => {
            let is_text = media_type.to_ascii_lowercase().starts_with("text/plain");
            match Policy::read(body) {
                Ok(policy) if is_text => return Ok(policy),
                Ok(_) => draft
                    .with("type", media_type)
                    .finding(("its type is {type}", "su tipo es {type}")),
                Err(what) => draft.with("what", what).finding((
                    "the field {what} is missing or wrong",
                    "el campo {what} falta o es incorrecto",
                )),
            }
        }
        Page::Answer { status, .. } => draft
            .with("status", status)
            .finding(("the server answers {status}", "el servidor responde {status}")),
    }
    .fails()
}

fn matching(draft: Draft, policy: &Policy, exchangers: Result<Vec<String>, DnsError>) -> Judged {
    let exchangers = draft.answered(exchangers)?;
    if policy.mode == Mode::None {
        return Ok(draft.not_applicable(("the policy is off", "la política está desactivada")));
    }
    let strangers = || exchangers.iter().filter(|host| policy.pattern_of(host).is_none());
    // While it is tested, mail still comes.
    let severity = if policy.mode == Mode::Testing { Severity::Warning } else { Severity::Error };
    let lines: Vec<_> = strangers().map(|host| format!("mx: {host}")).collect();
    let draft = draft
        .list("hosts", &exchangers)
        .list("strangers", strangers())
        .list("named", &policy.hosts)
        .with("lines", lines.join("\n"));
    Ok(match lines.is_empty() {
        true => draft.right(),
        false => draft.severity(severity).wrong(),
    })
}

#[cfg(test)]
mod tests {
    use puerto_mail::dns::block_on;

    use super::super::policies;
    use super::super::tests::made::{Made, troubles};
    use super::*;
    use crate::config::Config;
    use crate::lang::Said;

    fn judged(page: Page) -> Vec<String> {
        let mut made = Made { page: Some(page), ..Made::default() };
        made.table.txt("_mta-sts.example.com", "v=STSv1; id=20261124T08;");
        made.table.mx("example.com", 10, "mail.example.com").mx(
            "example.com",
            20,
            "mx2.example.net",
        );
        let ours = |context: &mut Context<'_, Made>| context.egress_given = false;
        let checks = made.judge(ours, |context| {
            block_on(async {
                let record = policies::record(context, &policies::MTA_STS).await;
                run(context, &record).await
            })
        });
        troubles(&checks)
    }

    fn answer(status: u16, media_type: &str, body: &str) -> Page {
        Page::Answer { status, media_type: media_type.to_owned(), body: body.to_owned() }
    }

    #[test]
    fn each_fault_of_a_policy_is_one_finding_and_silence_is_none() {
        let good = "version: STSv1\nmode: enforce\nmx: mail.example.com\nmx: *.example.net\n\
                    max_age: 604800\n";
        let text = |body: &str| answer(200, "text/plain; charset=utf-8", body);
        let policy = ["mtasts.policy finding warning example.com"].as_slice();
        for (page, expected) in [
            (text(good), &[][..]),
            (
                text(&good.replace("*.example.net", "mx3.example.net")),
                &["mtasts.mx-match finding error example.com"],
            ),
            (
                text(&good.replace("mx: *.example.net", "").replace("enforce", "testing")),
                &["mtasts.mx-match finding warning example.com"],
            ),
            (text(&good.replace("604800", "3600")), &["mtasts.max-age finding info example.com"]),
            (text("<html>"), policy),
            (answer(200, "text/html", good), policy),
            (answer(301, "", ""), policy),
            (answer(404, "text/plain", "not found"), policy),
            (Page::NoHost, policy),
            (Page::Untrusted(Said::words("expired")), policy),
            (Page::Failed(Said::words("refused")), &["mtasts.policy unknown warning example.com"]),
        ] {
            assert_eq!(judged(page.clone()), expected, "{page:?}");
        }
    }

    // Of the policy that this server serves, by what is fetched and what the record says.
    fn announced_as(body: &str, id: &str) -> Vec<String> {
        let mut config = Config::for_tests(std::path::Path::new("/nonexistent"));
        config.domains = vec![puerto_smtp::Domain::parse("example.com").unwrap()];
        config.mta_sts.mode = Some(crate::config::PolicyMode::Enforce);
        config.mta_sts.mx = vec!["mail.example.com".to_owned()];
        config.mta_sts.max_age = std::time::Duration::from_secs(604_800);
        let served = config.mta_sts.text().unwrap();
        let (body, id) = (body.replace("{served}", &served), id.replace("{id}", &id_for(&served)));
        let mut made = Made { page: Some(answer(200, "text/plain", &body)), ..Made::default() };
        made.table.txt("_mta-sts.example.com", &format!("v=STSv1; id={id};"));
        made.table.mx("example.com", 10, "mail.example.com");
        let ours = |context: &mut Context<'_, Made>| context.egress_given = false;
        let checks = made.judge_with(&config, ours, |context| {
            block_on(async {
                let record = policies::record(context, &policies::MTA_STS).await;
                run(context, &record).await
            })
        });
        let about_id = checks.iter().filter(|check| check.id() == "mtasts.id");
        about_id.map(|check| check.seen.to_string()).collect()
    }

    /// The record that is there, and the hosts that our own policy names.
    fn served_beside(record: Option<&str>, named: &str) -> Vec<Check> {
        let mut config = Config::for_tests(std::path::Path::new("/nonexistent"));
        config.domains = vec![puerto_smtp::Domain::parse("example.com").unwrap()];
        config.mta_sts.mode = Some(crate::config::PolicyMode::Enforce);
        config.mta_sts.mx = vec![named.to_owned()];
        let mut made = Made::default();
        if let Some(record) = record {
            made.table.txt("_mta-sts.example.com", record);
        }
        made.table.mx("example.com", 10, "mail.example.com");
        made.judge_with(
            &config,
            |_| {},
            |context| {
                block_on(async {
                    let record = policies::record(context, &policies::MTA_STS).await;
                    let checks = run(context, &record).await;
                    std::iter::once(record).chain(checks).collect()
                })
            },
        )
    }

    /// A policy that leaves our MX host out stops all mail on the day on which the record is
    /// mended: it is told before.
    #[test]
    fn what_our_own_policy_leaves_out_is_told_without_a_right_record() {
        let wrong = |record, named| {
            let checks = served_beside(record, named);
            let wrong = checks.iter().filter(|check| check.status == Status::Finding);
            wrong.map(|check| check.id()).collect::<Vec<_>>()
        };
        let malformed = Some("v=STSv1; id=2026-11-30");
        let both = ["mtasts.record", "mtasts.mx-match"];
        assert_eq!(wrong(malformed, "mial.example.com"), both);
        assert_eq!(wrong(malformed, "mail.example.com"), ["mtasts.record"]);
        assert_eq!(wrong(None, "mial.example.com"), ["mtasts.mx-match"]);
        // The id that is told is that of the policy, which `puerto dns` has, too.
        let checks = served_beside(malformed, "mail.example.com");
        let mut config = Config::for_tests(std::path::Path::new("/nonexistent"));
        config.mta_sts.mode = Some(crate::config::PolicyMode::Enforce);
        config.mta_sts.mx = vec!["mail.example.com".to_owned()];
        let id = id_for(&config.mta_sts.text().unwrap());
        let remedy = checks[0].remedy.to_string();
        assert!(remedy.ends_with(&format!("\"v=STSv1; id={id};\"")), "{remedy}");
    }

    #[test]
    fn the_id_is_that_of_the_policy_which_is_served() {
        let [right] = &announced_as("{served}", "{id}")[..] else { panic!("no check") };
        assert_eq!(right.len(), 20, "{right}");
        let [old] = &announced_as("{served}", "20261124T08")[..] else { panic!("no check") };
        assert!(old.contains("senders go on with the policy that they have"), "{old}");
        // What comes after the policy is not asked for before it.
        let before = "version: STSv1\nmode: testing\nmx: mail.example.com\nmax_age: 604800\n";
        let [late] = &announced_as(before, "{id}")[..] else { panic!("no check") };
        assert!(late.contains("is not the configuration's"), "{late}");
    }
}
