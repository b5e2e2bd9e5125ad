//! The report for people: each method with the way to its result, then what is
//! wrong.

use anstyle::Style;
use puerto_mail::dkim::{StepKind, Verification};
use puerto_mail::dmarc::{self, DmarcResult};
use puerto_mail::spf;

use super::{Report, Spf};
use crate::finding::page::{BAD, FAINT, GOOD, Page, UNSURE, paint};
use crate::lang::{Language, Said, harmless, said, shown};

/// The report in one language, with colours: whoever prints it takes them out where
/// there are none.
pub fn show(report: &Report, language: Language) -> String {
    let mut page = Sheet(Page::new(language));
    page.spf(report);
    page.dkim(report);
    page.dmarc(report);
    let field = harmless(&report.authentication_results);
    page.0.line(&format!("\n{}", paint(FAINT, &field)));
    page.findings(report);
    page.0.finish()
}

struct Sheet(Page);

impl Sheet {
    fn say(&self, said: impl Into<Said>) -> String {
        said.into().of(self.0.language())
    }

    fn method(&mut self, method: &str, result: &str, about: &str) {
        let word = paint(style_of(result), &format!("{result:<10}"));
        self.0.line(&format!("{method:<6} {word} {about}"));
    }

    fn spf(&mut self, report: &Report) {
        let evaluation = match &report.spf {
            Spf::Checked(evaluation) => evaluation,
            Spf::NotChecked(why) => return self.method("SPF", "none", &self.say(*why)),
        };
        let domain = match evaluation.identity {
            spf::Identity::MailFrom => shown(&evaluation.domain),
            spf::Identity::Helo => self.say(said!(
                "{domain} (name of HELO)", "{domain} (nombre de HELO)";
                domain = evaluation.domain
            )),
        };
        self.method("SPF", evaluation.result.as_str(), &domain);
        self.trace(&evaluation.trace, 1);
        if let Some(explanation) = &evaluation.explanation {
            self.0.line(&format!("    “{}”", shown(explanation)));
        }
        let lookups = self.say(said!(
            "{count} of 10 look-ups used", "{count} de 10 consultas gastadas";
            count = evaluation.lookups
        ));
        self.0.line(&format!("    {}", paint(FAINT, &lookups)));
    }

    fn trace(&mut self, trace: &spf::Trace, depth: usize) {
        let indent = "    ".repeat(depth);
        let no_record = || self.say(said!("no record", "sin registro"));
        let record = trace.record.as_deref().map_or_else(no_record, shown);
        self.0.line(&format!("{indent}{}: {record}", shown(&trace.domain)));
        for step in &trace.steps {
            self.step(step, &format!("{indent}  "));
            for question in &step.questions {
                let answer = shown(&self.say(&question.answer));
                let asked = format!("{indent}      {} → {answer}", shown(&question.asked));
                self.0.line(&paint(FAINT, &asked));
            }
            if let Some(nested) = &step.nested {
                self.trace(nested, depth + 1);
            }
        }
        if let Some(problem) = &trace.problem {
            let problem = shown(&self.say(problem));
            self.0.line(&format!("{indent}  {}: {problem}", trace.result));
        }
    }

    fn step(&mut self, step: &spf::Step, indent: &str) {
        let outcome = match step.outcome {
            spf::Outcome::Match(result) => {
                let text = said!("matches: {result}", "coincide: {result}"; result = result);
                paint(style_of(result.as_str()), &self.say(text))
            }
            spf::Outcome::NoMatch => {
                paint(FAINT, &self.say(said!("does not match", "no coincide")))
            }
            spf::Outcome::Error(result) => paint(style_of(result.as_str()), result.as_str()),
        };
        let reason = step.reason.as_ref().map(|reason| format!(" ({})", shown(&self.say(reason))));
        let reason = reason.unwrap_or_default();
        self.0.line(&format!("{indent}{}  {outcome}{reason}", shown(&step.term)));
    }

    fn dkim(&mut self, report: &Report) {
        if report.dkim.is_empty() {
            let none = said!("the message is not signed", "el mensaje no está firmado");
            self.method("DKIM", "none", &self.say(none));
        }
        for signature in &report.dkim {
            let (domain, selector) = (shown(&signature.domain), shown(&signature.selector));
            let about = format!("{domain}, selector {selector}");
            self.method("DKIM", signature.result.name(), &about);
            self.signature(signature);
        }
    }

    fn signature(&mut self, signature: &Verification) {
        for step in &signature.steps {
            let mark = if step.passed() { paint(GOOD, "✓") } else { paint(BAD, "✗") };
            let about = match step.kind() {
                StepKind::Syntax => said!("signature", "firma"),
                StepKind::Algorithm => said!("algorithm", "algoritmo"),
                StepKind::KeyRecord => said!("key record", "registro de la clave"),
                StepKind::BodyHash => said!("body hash", "hash del cuerpo"),
                StepKind::HeaderHash => said!("header hash", "hash de la cabecera"),
            };
            let (about, seen) = (self.say(about), shown(&self.say(step)));
            self.0.line(&format!("    {mark} {about}: {seen}"));
        }
    }

    fn dmarc(&mut self, report: &Report) {
        let Some(evaluation) = &report.dmarc else {
            let text = said!("From does not name one domain", "From no nombra un único dominio");
            return self.method("DMARC", "permerror", &self.say(text));
        };
        let from = &evaluation.from_domain;
        let about = match (&evaluation.record, &evaluation.policy_domain) {
            (Some(_), Some(domain)) => said!(
                "{from}: its policy is {policy}, by the record of {domain}",
                "{from}: su política es {policy}, según el registro de {domain}";
                from = from, policy = evaluation.policy.as_str(), domain = domain
            ),
            _ => said!(
                "{from}: no record applies", "{from}: no hay registro aplicable"; from = from
            ),
        };
        self.method("DMARC", report.dmarc_word(), &self.say(about));
        if let Some(record) = &evaluation.record {
            self.0.line(&paint(FAINT, &format!("    {}", shown(&record.text))));
        }
        self.organization(evaluation);
        self.aligned("SPF", report.spf_aligned());
        self.aligned("DKIM", report.dkim_aligned());
        if evaluation.result == DmarcResult::Fail {
            let text = said!(
                "its owner asks receivers to: {disposition}",
                "su dueño pide a los receptores: {disposition}";
                disposition = evaluation.disposition.as_str()
            );
            self.0.line(&format!("    {}", self.say(text)));
        }
    }

    fn organization(&mut self, evaluation: &dmarc::Evaluation) {
        let Some(walk) = &evaluation.organizational_domain else { return };
        let list = &evaluation.by_list.organizational_domain;
        let text = match evaluation.policy_domain.is_some() && walk != list {
            true => said!(
                "organizational domain {walk} by the tree walk, {list} by the list of public suffixes",
                "dominio organizativo {walk} según el árbol del DNS, {list} según la lista de sufijos públicos";
                walk = walk, list = list
            ),
            false => {
                said!("organizational domain {walk}", "dominio organizativo {walk}"; walk = walk)
            }
        };
        self.0.line(&paint(FAINT, &format!("    {}", self.say(text))));
    }

    fn aligned(&mut self, method: &str, aligned: Option<bool>) {
        let (mark, text) = match aligned {
            Some(true) => (
                paint(GOOD, "✓"),
                said!(
                    "{method} passes and agrees with From",
                    "{method} es válido y concuerda con From"; method = method
                ),
            ),
            Some(false) => (
                paint(BAD, "✗"),
                said!(
                    "{method} does not pass for a domain that agrees with From",
                    "{method} no es válido para un dominio que concuerde con From"; method = method
                ),
            ),
            None => (
                paint(UNSURE, "?"),
                said!(
                    "whether {method} agrees with From cannot be told",
                    "no se puede saber si {method} concuerda con From"; method = method
                ),
            ),
        };
        self.0.line(&format!("    {mark} {}", self.say(text)));
    }

    fn findings(&mut self, report: &Report) {
        self.0.line("");
        for finding in &report.findings {
            self.0.found(0, finding, None);
        }
        if report.wants_spf() {
            return;
        }
        if report.is_uncertain() {
            let text = said!(
                "Some answers of the DNS are missing: try again later.",
                "Faltan respuestas del DNS: inténtelo más tarde."
            );
            self.0.line(&paint(UNSURE, &self.say(text)));
        } else if report.findings.is_empty() && !report.is_wrong() {
            let text = said!(
                "Nothing is wrong: receivers have no reason to refuse this message.",
                "Todo está bien: los receptores no tienen motivo para rechazar este mensaje."
            );
            self.0.line(&paint(GOOD, &self.say(text)));
        }
    }
}

fn style_of(result: &str) -> Style {
    match result {
        "pass" => GOOD,
        "fail" | "permerror" | "policy" => BAD,
        _ => UNSURE,
    }
}
