//! The MTA-STS policy (RFC 8461): a page that says by which hosts, and that only over
//! TLS, the domain takes mail. A policy that leaves an MX host out keeps mail away from
//! it, and the administrator never hears of it.

use puerto_mail::dns::{DnsError, Record, RecordType};

use super::Page;
use super::context::Context;
use super::outcome::{Check, Draft, Status, definitions};
use super::policies::MTASTS_RECORD;
use super::world::World;
use crate::finding::Severity;
use crate::lang::Text;

definitions! {
    POLICY = "mtasts.policy" Warning "RFC 8461 §3.2, §3.3" [
        "The MTA-STS policy can be fetched and read",
        "La política MTA-STS se puede obtener y leer",
        "Where `_mta-sts.DOMAIN` is published, senders fetch \
         `https://mta-sts.DOMAIN/.well-known/mta-sts.txt`: plain text, without a redirect, from \
         a host whose certificate is valid for that name. If they cannot, the policy has no \
         effect.",
        "Donde existe `_mta-sts.DOMINIO`, los remitentes piden \
         `https://mta-sts.DOMINIO/.well-known/mta-sts.txt`: texto sin formato, sin redirección, de \
         una máquina con certificado válido para ese nombre. Si no pueden, la política no tiene \
         efecto.",
    ];
    MX_MATCH = "mtasts.mx-match" Error "RFC 8461 §4.1" [
        "The MTA-STS policy names every MX host",
        "La política MTA-STS nombra todos los MX",
        "Senders that obey the policy deliver to no host that it does not name. Add the host to \
         the policy first, then change the id in the TXT record.",
        "Los remitentes que obedecen la política no entregan a ninguna máquina que no nombre. \
         Añada primero la máquina a la política y cambie después el id del registro TXT.",
    ];
    MAX_AGE = "mtasts.max-age" Info "RFC 8461 §3.2" [
        "The MTA-STS policy holds for a day to a year",
        "La política MTA-STS dura de un día a un año",
        "A short time leaves senders without the policy just when somebody interferes. A week or \
         more is usual.",
        "Un plazo corto deja a los remitentes sin la política justo cuando alguien interfiere. Lo \
         usual es una semana o más.",
    ];
}

const PATH: &str = "/.well-known/mta-sts.txt";
const DAY: u64 = 86_400;
/// RFC 8461 §3.2: about a year.
const LONGEST: u64 = 31_557_600;

/// A policy as it was read.
#[derive(Debug, PartialEq, Eq)]
struct Policy {
    mode: String,
    max_age: u64,
    hosts: Vec<String>,
}

/// Fetches and judges the policy, if the record promises one.
pub(super) async fn run<W: World>(context: &Context<'_, W>, record: &Check) -> Vec<Check> {
    let domain = context.domain.as_str();
    let host = format!("mta-sts.{domain}");
    let address = format!("https://{host}{PATH}");
    let draft = |definition| {
        context.about(definition, domain).asked(&address).with("url", &address).with("host", &host)
    };
    if record.status != Status::Pass {
        return vec![draft(&POLICY).skipped(&MTASTS_RECORD)];
    }
    if context.egress_given {
        return vec![draft(&POLICY).not_applicable((
            "the addresses given are judged, and nothing is fetched",
            "se juzgan las direcciones indicadas, y no se pide ninguna página",
        ))];
    }
    let (page, exchangers) = tokio::join!(context.world.page(&host, PATH), exchangers(context));
    let policy = match of_page(draft(&POLICY), &page) {
        Ok(policy) => policy,
        Err(check) => {
            let rest = [&MX_MATCH, &MAX_AGE].map(|check| draft(check).skipped(&POLICY));
            return std::iter::once(*check).chain(rest).collect();
        }
    };
    vec![
        draft(&POLICY).with("mode", &policy.mode).pass("mode: {mode}"),
        matching(draft(&MX_MATCH), &policy, exchangers),
        lasting(draft(&MAX_AGE), &policy),
    ]
}

fn of_page(draft: Draft, page: &Page) -> Result<Policy, Box<Check>> {
    let expected = Text::new(
        "status 200, text/plain, version, mode, mx and max_age",
        "estado 200, text/plain, version, mode, mx y max_age",
    );
    let serve = Text::new(
        "Serve the policy at {url} itself, with a certificate for {host}, or delete the TXT record \
         at _mta-sts.{subject}",
        "Sirva la política en {url} mismo, con un certificado de {host}, o borre el registro TXT de \
         _mta-sts.{subject}",
    );
    let (draft, seen) = match page {
        Page::Failed(why) => {
            let draft = draft.with_detail("why", why);
            return Err(Box::new(draft.unknown((
                "the page could not be fetched: {why}",
                "no se pudo obtener la página: {why}",
            ))));
        }
        Page::NoHost => (draft, Text::new("{host} has no address", "{host} no tiene dirección")),
        Page::Untrusted(why) => (
            draft.with_detail("why", why),
            Text::new(
                "the certificate of {host} is not valid: {why}",
                "el certificado de {host} no es válido: {why}",
            ),
        ),
        Page::Answer { status: 200, media_type, body } => {
            let is_text = media_type.to_ascii_lowercase().starts_with("text/plain");
            match Policy::read(body) {
                Ok(policy) if is_text => return Ok(policy),
                Ok(_) => (
                    draft.with("type", media_type),
                    Text::new("its type is {type}", "su tipo es {type}"),
                ),
                Err(what) => (
                    draft.with("what", what),
                    Text::new(
                        "the field {what} is missing or wrong",
                        "el campo {what} falta o es incorrecto",
                    ),
                ),
            }
        }
        Page::Answer { status, .. } => (
            draft.with("status", status),
            Text::new("the server answers {status}", "el servidor responde {status}"),
        ),
    };
    Err(Box::new(draft.finding(seen, expected, serve)))
}

impl Policy {
    // What is wrong is told by the name of the field.
    fn read(body: &str) -> Result<Self, &'static str> {
        let fields: Vec<(&str, &str)> = body
            .lines()
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.trim(), value.trim()))
            .collect();
        let value = |wanted| fields.iter().find(|(name, _)| *name == wanted).map(|field| field.1);
        if value("version") != Some("STSv1") {
            return Err("version");
        }
        let modes = ["enforce", "testing", "none"];
        let mode = value("mode").filter(|mode| modes.contains(mode)).ok_or("mode")?.to_owned();
        let max_age = value("max_age").and_then(|age| age.parse().ok()).ok_or("max_age")?;
        let hosts = fields.iter().filter(|(name, _)| *name == "mx");
        let hosts: Vec<_> = hosts.map(|(_, host)| host.to_ascii_lowercase()).collect();
        if hosts.is_empty() && mode != "none" {
            return Err("mx");
        }
        Ok(Self { mode, max_age, hosts })
    }

    // RFC 8461 §4.1: a wildcard stands for one label.
    fn names(&self, host: &str) -> bool {
        self.hosts.iter().any(|pattern| match pattern.strip_prefix("*.") {
            Some(rest) => host.split_once('.').is_some_and(|(_, above)| above == rest),
            None => pattern == host,
        })
    }
}

async fn exchangers<W: World>(context: &Context<'_, W>) -> Result<Vec<String>, DnsError> {
    match context.lookup(&context.domain, RecordType::Mx).await {
        Ok(answer) => Ok(answer
            .records
            .into_iter()
            .filter_map(|record| match record {
                Record::Mx(_, host) if !host.is_empty() => Some(host),
                _ => None,
            })
            .collect()),
        Err(error) if error.is_absence() => Ok(vec![context.domain.clone()]),
        Err(error) => Err(error),
    }
}

fn matching(draft: Draft, policy: &Policy, exchangers: Result<Vec<String>, DnsError>) -> Check {
    let exchangers = match exchangers {
        Ok(exchangers) => exchangers,
        Err(error) => return draft.no_answer(&error),
    };
    if policy.mode == "none" {
        return draft.not_applicable(("the policy is off", "la política está desactivada"));
    }
    let strangers: Vec<_> =
        exchangers.iter().filter(|host| !policy.names(host)).map(String::as_str).collect();
    if strangers.is_empty() {
        return draft.with("hosts", exchangers.join(", ")).pass("{hosts}");
    }
    // While it is tested, mail still comes.
    let severity = if policy.mode == "testing" { Severity::Warning } else { Severity::Error };
    let lines: Vec<_> = strangers.iter().map(|host| format!("mx: {host}")).collect();
    draft
        .severity(severity)
        .with("strangers", strangers.join(", "))
        .with("named", policy.hosts.join(", "))
        .with("lines", lines.join("\n"))
        .finding(
            (
                "the policy names {named}, not {strangers}",
                "la política nombra {named}, no {strangers}",
            ),
            ("every MX host", "todos los MX"),
            (
                "Add to the policy, then change the id at _mta-sts.{subject}:\n{lines}",
                "Añada a la política, y cambie después el id en _mta-sts.{subject}:\n{lines}",
            ),
        )
}

fn lasting(draft: Draft, policy: &Policy) -> Check {
    let draft = draft.with("seconds", policy.max_age);
    if (DAY..=LONGEST).contains(&policy.max_age) {
        return draft.pass(("{seconds} seconds", "{seconds} segundos"));
    }
    draft.finding(
        ("{seconds} seconds", "{seconds} segundos"),
        ("86400 to 31557600 seconds", "de 86400 a 31557600 segundos"),
        "max_age: 604800",
    )
}

#[cfg(test)]
mod tests {
    use puerto_mail::dns::block_on;

    use super::super::made::{Made, troubles};
    use super::super::policies;
    use super::*;

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
                let record = policies::mta_sts(context).await;
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
            (Page::Untrusted("expired".to_owned()), policy),
            (Page::Failed("refused".to_owned()), &["mtasts.policy unknown warning example.com"]),
        ] {
            assert_eq!(judged(page.clone()), expected, "{page:?}");
        }
    }

    #[test]
    fn policies_are_read_and_name_hosts() {
        let text = "version: STSv1\r\nmode: enforce\r\nmx: Mail.example.com\r\nmx: *.mx.example\r\n\
                    max_age: 604800\r\n";
        let policy = Policy::read(text).unwrap();
        assert_eq!((policy.mode.as_str(), policy.max_age), ("enforce", 604_800));
        for (host, named) in [
            ("mail.example.com", true),
            ("a.mx.example", true),
            ("b.a.mx.example", false),
            ("mx.example", false),
            ("other.example.com", false),
        ] {
            assert_eq!(policy.names(host), named, "{host}");
        }
        for (from, to, what) in [
            ("STSv1", "STSv2", "version"),
            ("enforce", "strict", "mode"),
            ("604800", "a week", "max_age"),
            ("mx: ", "host: ", "mx"),
        ] {
            assert_eq!(Policy::read(&text.replace(from, to)), Err(what));
        }
        assert!(Policy::read("version: STSv1\nmode: none\nmax_age: 86400\n").is_ok());
    }
}
