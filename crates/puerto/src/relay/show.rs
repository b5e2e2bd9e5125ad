//! The report for people.

use anstyle::Style;
use puerto_smtp::ReversePath;

use super::{Problem, Report, Weight, host, trouble};
use crate::config::NextHopHost;
use crate::deliver::probe::{Granted, Sight};
use crate::finding::page::{BAD, ERROR, GOOD, Page, UNSURE, WARNING, paint};
use crate::lang::{Language, Text, detail, shown};
use crate::telemetry::DeliveryStatus;
use crate::tls::Certificate;

const TITLE: Style = Style::new().bold();

/// The report in one language, with colours: whoever prints it takes them out where
/// there are none.
pub fn show(report: &Report, language: Language) -> String {
    let mut page = Sheet(Page::new(language));
    page.meaning(report);
    for sight in &report.sights {
        page.sight(sight);
    }
    page.sent(report);
    page.line("");
    for problem in &report.problems {
        page.problem(problem);
    }
    page.conclusion(report);
    page.0.finish()
}

struct Sheet(Page);

impl Sheet {
    fn line(&mut self, text: &str) {
        self.0.line(text);
    }

    fn say(&mut self, indent: &str, text: Text, values: &[(&str, &str)]) {
        let text = text.with(self.0.language(), values);
        self.line(&format!("{indent}{text}"));
    }

    fn mark(&mut self, good: bool, text: Text, values: &[(&str, &str)]) {
        let mark = if good { paint(GOOD, "✓") } else { paint(BAD, "✗") };
        self.say(&format!("    {mark} "), text, values);
    }

    fn meaning(&mut self, report: &Report) {
        const BARE: Text = Text::new(
            "no brackets: the MX records of {name} are asked for, and its address only if it has none",
            "sin corchetes: se consultan los registros MX de {name}, y su dirección solo si no los tiene",
        );
        const BRACKETS: Text = Text::new(
            "in brackets: the address of {name} itself; its MX records are not asked for",
            "entre corchetes: la dirección de {name} mismo; sus registros MX no se consultan",
        );
        const ADDRESS: Text = Text::new(
            "an address in brackets: nothing is asked of the DNS",
            "una dirección entre corchetes: no se consulta el DNS",
        );
        const PORT: Text = Text::new("port {port}{tls}", "puerto {port}{tls}");
        const IMPLICIT: Text =
            Text::new(", with TLS from the first byte", ", con TLS desde el primer byte");
        const EXCHANGER: Text = Text::new("MX {preference} {host}", "MX {preference} {host}");
        const ADDRESSES: Text =
            Text::new("address of {name}: {list}", "dirección de {name}: {list}");
        let hop = report.next_hop.to_string();
        self.line(&paint(TITLE, &hop));
        let (text, name) = match &report.next_hop.host {
            NextHopHost::Mx(name) => (BARE, name.as_str()),
            NextHopHost::Name(name) => (BRACKETS, name.as_str()),
            NextHopHost::Address(_) => (ADDRESS, ""),
        };
        self.say("  ", text, &[("name", name)]);
        let port = report.next_hop.port_or(25).to_string();
        let tls = if report.next_hop.implicit_tls { IMPLICIT.of(self.0.language()) } else { "" };
        self.say("  ", PORT, &[("port", &port), ("tls", tls)]);
        let Some(names) = &report.names else { return };
        for (preference, host) in &names.exchangers {
            // The root is written as in a zone file.
            let host = if host.is_empty() { "." } else { host };
            let values = [("preference", &*preference.to_string()), ("host", &*shown(host))];
            self.say("  ", EXCHANGER, &values);
        }
        if !names.addresses.is_empty() {
            let list: Vec<String> = names.addresses.iter().map(ToString::to_string).collect();
            self.say("  ", ADDRESSES, &[("name", name), ("list", &list.join(", "))]);
        }
    }

    fn sight(&mut self, sight: &Sight) {
        const CONNECTED: Text = Text::new("answers; offers {offers}", "responde; ofrece {offers}");
        const SIZE: Text = Text::new("messages of up to {size}", "mensajes de hasta {size}");
        const AUTH: Text = Text::new("AUTH {mechanisms}", "AUTH {mechanisms}");
        const NO_TLS: Text = Text::new("no TLS", "sin TLS");
        self.line(&format!("\n{}", paint(TITLE, &host::title(sight))));
        if let Some(offered) = &sight.offered {
            let offers = offers(offered);
            self.mark(true, CONNECTED, &[("offers", &offers)]);
            if let Some(size) = offered.size.filter(|size| *size > 0) {
                self.say("      ", SIZE, &[("size", &host::octets(size))]);
            }
            if !offered.auth.is_empty() {
                let mechanisms = shown(&offered.auth.join(" "));
                self.say("      ", AUTH, &[("mechanisms", &mechanisms)]);
            }
        }
        match &sight.tls {
            Some(tls) => self.tls(sight, tls),
            None if sight.offered.is_some() => self.mark(false, NO_TLS, &[]),
            None => {}
        }
        self.login(sight);
        for granted in &sight.granted {
            self.granted(granted);
        }
        if let Some(failure) = &sight.failure {
            let failure = trouble::said(failure).of(self.0.language());
            self.line(&format!("    {} {failure}", paint(BAD, "✗")));
        }
    }

    fn tls(&mut self, sight: &Sight, tls: &str) {
        const VALID: Text = Text::new(
            "the certificate is valid for {host}",
            "el certificado es válido para {host}",
        );
        const INVALID: Text = Text::new(
            "the certificate is not good for {host}: {reason}",
            "el certificado no es bueno para {host}: {reason}",
        );
        const CERTIFICATE: Text = Text::new(
            "{subject}, issued by {issuer}, until {end}",
            "{subject}, emitido por {issuer}, hasta {end}",
        );
        let tls = detail(tls).of(self.0.language());
        self.line(&format!("    {} {tls}", paint(GOOD, "✓")));
        let Some(inspected) = &sight.inspected else { return };
        let fault = inspected.verdict.as_ref().err();
        let reason = fault.map(|fault| host::fault_of(fault, inspected).of(self.0.language()));
        let text = if reason.is_none() { VALID } else { INVALID };
        let values = [("host", &*sight.host), ("reason", reason.as_deref().unwrap_or_default())];
        self.mark(reason.is_none(), text, &values);
        for der in &inspected.chain {
            let Some(certificate) = Certificate::parse(der) else { continue };
            let values = [
                ("subject", &*shown(&certificate.subject)),
                ("issuer", &*shown(&certificate.issuer)),
                ("end", &*certificate.not_after.to_string()),
            ];
            self.say("      ", CERTIFICATE, &values);
        }
    }

    fn login(&mut self, sight: &Sight) {
        const TAKEN: Text = Text::new("the login works", "se puede iniciar sesión");
        const REFUSED: Text =
            Text::new("the login does not work: {reason}", "no se puede iniciar sesión: {reason}");
        match &sight.login {
            Some(Ok(())) => self.mark(true, TAKEN, &[]),
            Some(Err(why)) => {
                let reason = trouble::said(why).of(self.0.language());
                self.mark(false, REFUSED, &[("reason", &reason)]);
            }
            None => {}
        }
    }

    fn granted(&mut self, granted: &Granted) {
        const TAKEN: Text = Text::new(
            "would take mail from {from} to {to}",
            "aceptaría correo de {from} para {to}",
        );
        const REFUSED: Text = Text::new(
            "does not take mail from {from} to {to}: {reason}",
            "no acepta correo de {from} para {to}: {reason}",
        );
        let from = match &granted.wish.reverse_path {
            ReversePath::Null => "<>".to_owned(),
            ReversePath::Address(address) => address.to_string(),
        };
        let to = granted.wish.recipient.to_string();
        let failure = granted.answer.as_ref().err();
        let reason = failure.map(|failure| trouble::refusal(failure).of(self.0.language()));
        let text = if reason.is_none() { TAKEN } else { REFUSED };
        let reason = reason.unwrap_or_default();
        self.mark(
            granted.answer.is_ok(),
            text,
            &[("from", &from), ("to", &to), ("reason", &reason)],
        );
    }

    fn sent(&mut self, report: &Report) {
        const SENT: Text =
            Text::new("a message was sent to {to}: {reply}", "se envió un mensaje a {to}: {reply}");
        const NOT_SENT: Text = Text::new(
            "no message was sent to {to}: {reply}",
            "no se envió ningún mensaje a {to}: {reply}",
        );
        const KEPT_BACK: Text = Text::new(
            "no message was sent to {to}: the relayhost would not take it",
            "no se envió ningún mensaje a {to}: el relayhost no lo aceptaría",
        );
        let Some(sent) = &report.sent else { return };
        self.line("");
        let to = sent.to.to_string();
        let Some(outcome) = &sent.outcome else {
            return self.mark(false, KEPT_BACK, &[("to", &to)]);
        };
        let good = outcome.status == DeliveryStatus::Sent;
        let reply = shown(&outcome.cause.said().of(self.0.language()));
        let values = [("to", &*to), ("reply", &*reply)];
        self.mark(good, if good { SENT } else { NOT_SENT }, &values);
    }

    fn problem(&mut self, problem: &Problem) {
        const CAUSE: Text = Text::new("meaning: {text}", "significado: {text}");
        const REMEDY: Text = Text::new("remedy: {text}", "remedio: {text}");
        let weight = match problem.weight {
            Weight::Error => ERROR,
            Weight::Warning => WARNING,
        };
        let language = self.0.language();
        let cause = problem.cause.as_ref().map(|cause| (CAUSE, cause));
        let about = cause.into_iter().chain([(REMEDY, &problem.remedy)]);
        let about = about.map(|(text, said)| self.0.words(text, &[("text", &said.of(language))]));
        let about: Vec<String> = about.collect();
        self.0.finding(weight, &problem.seen.of(language), &about, problem.id);
    }

    fn conclusion(&mut self, report: &Report) {
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
        self.line(&paint(style, text.of(self.0.language())));
    }
}

fn offers(offered: &puerto_smtp::extension::Extensions) -> String {
    let words = [
        (offered.pipelining, "PIPELINING"),
        (offered.chunking, "CHUNKING"),
        (offered.eight_bit_mime, "8BITMIME"),
        (offered.smtputf8, "SMTPUTF8"),
        (offered.dsn, "DSN"),
    ];
    let words: Vec<&str> =
        words.iter().filter(|(offered, _)| *offered).map(|(_, word)| *word).collect();
    if words.is_empty() { "—".to_owned() } else { words.join(" ") }
}
