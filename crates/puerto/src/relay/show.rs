//! The report for people.

use puerto_smtp::ReversePath;
use puerto_smtp::extension::Extensions;

use super::{Report, host, trouble};
use crate::config::NextHopHost;
use crate::deliver::probe::{Granted, Sight};
use crate::finding::page::{BAD, GOOD, Page, TITLE, UNSURE, paint};
use crate::lang::{Language, Said, Text, octets, said, said_of, shown};
use crate::telemetry::DeliveryStatus;
use crate::tls::{Agreed, Certificate};

/// The report in one language, with colours: whoever prints it takes them out where
/// there are none.
pub fn show(report: &Report, language: Language) -> String {
    const MEANING: Text = Text::new("meaning", "significa");
    let mut page = Page::new(language);
    meaning(&mut page, report);
    for sight in &report.sights {
        look(&mut page, sight);
    }
    sent(&mut page, report);
    page.line("");
    for problem in &report.problems {
        let cause = problem.cause();
        page.found(0, &problem.finding, cause.as_ref().map(|cause| (MEANING, cause)));
    }
    conclusion(&mut page, report);
    page.finish()
}

fn say(page: &mut Page, indent: usize, said: &Said) {
    page.line(&format!("{:indent$}{}", "", said.of(page.language())));
}

fn mark(page: &mut Page, is_good: bool, said: &Said) {
    let mark = if is_good { paint(GOOD, "✓") } else { paint(BAD, "✗") };
    page.line(&format!("    {mark} {}", said.of(page.language())));
}

fn meaning(page: &mut Page, report: &Report) {
    page.line(&paint(TITLE, &report.next_hop.to_string()));
    let name = report.next_hop.host.name().unwrap_or_default();
    let means = match &report.next_hop.host {
        NextHopHost::Mx(_) => said!(
            "no brackets: the MX records of {name} are asked for, and its address only if it has none",
            "sin corchetes: se consultan los registros MX de {name}, y su dirección solo si no los tiene";
            name = name
        ),
        NextHopHost::Name(_) => said!(
            "in brackets: the address of {name} itself; its MX records are not asked for",
            "entre corchetes: la dirección de {name} mismo; sus registros MX no se consultan";
            name = name
        ),
        NextHopHost::Address(_) => said!(
            "an address in brackets: nothing is asked of the DNS",
            "una dirección entre corchetes: no se consulta el DNS"
        ),
    };
    say(page, 2, &means);
    let port = report.next_hop.port_or(25);
    let port = match report.next_hop.implicit_tls {
        true => said!(
            "port {port}, with TLS from the first byte",
            "puerto {port}, con TLS desde el primer byte"; port = port
        ),
        false => said!("port {port}", "puerto {port}"; port = port),
    };
    say(page, 2, &port);
    let Some(names) = &report.names else { return };
    for (preference, host) in &names.exchangers {
        // The root is written as in a zone file.
        let host = if host.is_empty() { "." } else { host };
        page.line(&format!("  MX {preference} {}", shown(host)));
    }
    if !names.addresses.is_empty() {
        let list: Vec<String> = names.addresses.iter().map(ToString::to_string).collect();
        let addresses = said_of!(
            "address of {name}: {list}", "dirección de {name}: {list}";
            name = Said::words(name), list = Said::words(list.join(", "))
        );
        say(page, 2, &addresses);
    }
}

fn look(page: &mut Page, sight: &Sight) {
    page.line(&format!("\n{}", paint(TITLE, &host::title(sight))));
    if let Some(offered) = &sight.offered {
        offers(page, offered);
    }
    match &sight.tls {
        Some(tls) => encryption(page, sight, tls),
        None if sight.offered.is_some() => mark(page, false, &said!("no TLS", "sin TLS")),
        None => {}
    }
    if sight.offered.is_some() {
        rule(page, sight);
    }
    match &sight.login {
        Some(Ok(())) => mark(page, true, &said!("the login works", "se puede iniciar sesión")),
        Some(Err(why)) => {
            let refused = said_of!(
                "the login does not work: {reason}", "no se puede iniciar sesión: {reason}";
                reason = trouble::said(why)
            );
            mark(page, false, &refused);
        }
        None => {}
    }
    for one in &sight.granted {
        granted(page, one);
    }
    if let Some(failure) = &sight.failure {
        mark(page, false, &trouble::said(failure));
    }
}

fn offers(page: &mut Page, offered: &Extensions) {
    let extensions = [
        (offered.pipelining, "PIPELINING"),
        (offered.chunking, "CHUNKING"),
        (offered.eight_bit_mime, "8BITMIME"),
        (offered.smtputf8, "SMTPUTF8"),
        (offered.dsn, "DSN"),
    ];
    let mut words: Vec<&str> =
        extensions.iter().filter(|(is_offered, _)| *is_offered).map(|(_, word)| *word).collect();
    if words.is_empty() {
        words.push("—");
    }
    let answers = said!(
        "answers; offers {offers}", "responde; ofrece {offers}"; offers = words.join(" ")
    );
    mark(page, true, &answers);
    if let Some(size) = offered.size.filter(|size| *size > 0) {
        let size = said!(
            "messages of up to {size}", "mensajes de hasta {size}"; size = octets(size)
        );
        say(page, 6, &size);
    }
    if !offered.auth.is_empty() {
        page.line(&format!("      AUTH {}", shown(&offered.auth.join(" "))));
    }
}

fn encryption(page: &mut Page, sight: &Sight, tls: &Agreed) {
    mark(page, true, &tls.said());
    let Some(inspected) = &sight.inspected else { return };
    let verdict = match &inspected.verdict {
        Ok(()) => said!(
            "the certificate is valid for {host}", "el certificado es válido para {host}";
            host = sight.host
        ),
        Err(fault) => said_of!(
            "the certificate is not good for {host}: {reason}",
            "el certificado no es bueno para {host}: {reason}";
            host = Said::words(&*sight.host), reason = host::fault_of(fault, inspected)
        ),
    };
    mark(page, inspected.verdict.is_ok(), &verdict);
    for certificate in inspected.chain.iter().filter_map(|der| Certificate::parse(der)) {
        let line = said!(
            "{subject}, issued by {issuer}, until {end}",
            "{subject}, emitido por {issuer}, hasta {end}";
            subject = certificate.subject, issuer = certificate.issuer, end = certificate.not_after
        );
        say(page, 6, &line);
    }
}

// As `why` and the log tell it of a message.
fn rule(page: &mut Page, sight: &Sight) {
    let told = match &sight.verdict {
        Some(Ok(met)) => met.said(),
        Some(Err(why)) => said_of!(
            "{reason}: {why}", "{reason}: {why}"; reason = &sight.rule.reason, why = why
        ),
        None => sight.rule.reason.said(),
    };
    let told = said_of!("TLS rule: {told}", "regla de TLS: {told}"; told = told);
    mark(page, !matches!(sight.verdict, Some(Err(_))), &told);
}

fn granted(page: &mut Page, granted: &Granted) {
    let from = match &granted.wish.reverse_path {
        ReversePath::Null => "<>".to_owned(),
        ReversePath::Address(address) => address.to_string(),
    };
    let [from, to] = [from, granted.wish.recipient.to_string()].map(Said::words);
    let answer = match &granted.answer {
        Ok(_) => said_of!(
            "would take mail from {from} to {to}", "aceptaría correo de {from} para {to}";
            from = from, to = to
        ),
        Err(failure) => said_of!(
            "does not take mail from {from} to {to}: {reason}",
            "no acepta correo de {from} para {to}: {reason}";
            from = from, to = to, reason = trouble::refusal(failure)
        ),
    };
    mark(page, granted.answer.is_ok(), &answer);
}

fn sent(page: &mut Page, report: &Report) {
    let Some(sent) = &report.sent else { return };
    page.line("");
    let to = Said::words(sent.to.to_string());
    let Some(outcome) = &sent.outcome else {
        let kept_back = said_of!(
            "no message was sent to {to}: the relayhost would not take it",
            "no se envió ningún mensaje a {to}: el relayhost no lo aceptaría"; to = to
        );
        return mark(page, false, &kept_back);
    };
    let cause = outcome.cause.said();
    let reply = Said::of_both(|language| shown(&cause.of(language)));
    let is_sent = outcome.status == DeliveryStatus::Sent;
    let told = match is_sent {
        true => said_of!(
            "a message was sent to {to}: {reply}", "se envió un mensaje a {to}: {reply}";
            to = to, reply = reply
        ),
        false => said_of!(
            "no message was sent to {to}: {reply}", "no se envió ningún mensaje a {to}: {reply}";
            to = to, reply = reply
        ),
    };
    mark(page, is_sent, &told);
}

fn conclusion(page: &mut Page, report: &Report) {
    const GOES: Text =
        Text::new("The relayhost takes our mail.", "El relayhost acepta nuestro correo.");
    const STOPS: Text = Text::new(
        "Mail does not get through this relayhost.",
        "El correo no pasa por este relayhost.",
    );
    const UNKNOWN: Text =
        Text::new("The relayhost could not be tested.", "No se pudo probar el relayhost.");
    let (style, text) = match (report.is_uncertain(), report.is_wrong()) {
        (true, _) => (UNSURE, UNKNOWN),
        (false, true) => (BAD, STOPS),
        (false, false) => (GOOD, GOES),
    };
    page.line(&paint(style, text.of(page.language())));
}
