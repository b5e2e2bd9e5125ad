//! The report for people: each method with the way to its result, then what is
//! wrong.

use anstyle::Style;
use puerto_mail::dkim::{StepKind, Verification};
use puerto_mail::dmarc::{self, DmarcResult};
use puerto_mail::spf;

use super::finding::{Finding, Severity};
use super::{Report, Spf};
use crate::finding::page::{BAD, ERROR, FAINT, GOOD, NOTE, Page, UNSURE, WARNING, paint};
use crate::lang::{Language, Said, Text, harmless, shown};

/// The report in one language, with colours: whoever prints it takes them out where
/// there are none.
pub fn show(report: &Report, language: Language) -> String {
    let mut page = Sheet(Page::new(language));
    page.spf(report);
    page.dkim(report);
    page.dmarc(report);
    let field = harmless(&report.authentication_results);
    page.line(&format!("\n{}", paint(FAINT, &field)));
    page.findings(report);
    page.0.finish()
}

struct Sheet(Page);

impl Sheet {
    fn line(&mut self, text: &str) {
        self.0.line(text);
    }

    fn say(&self, text: Text, values: &[(&str, &str)]) -> String {
        text.with(self.0.language(), values)
    }

    fn shown<T>(&self, value: &T) -> String
    where
        Said: for<'a> From<&'a T>,
    {
        shown(&Said::from(value).of(self.0.language()))
    }

    fn method(&mut self, method: &str, result: &str, about: &str) {
        let word = paint(style_of(result), &format!("{result:<10}"));
        self.line(&format!("{method:<6} {word} {about}"));
    }

    fn spf(&mut self, report: &Report) {
        const HELO: Text = Text::new("{domain} (name of HELO)", "{domain} (nombre de HELO)");
        const LOOKUPS: Text =
            Text::new("{count} of 10 look-ups used", "{count} de 10 consultas gastadas");
        let evaluation = match &report.spf {
            Spf::Checked(evaluation) => evaluation,
            Spf::NotChecked(why) => {
                let why = why.of(self.0.language());
                return self.method("SPF", "none", why);
            }
        };
        let domain = match evaluation.identity {
            spf::Identity::MailFrom => shown(&evaluation.domain),
            spf::Identity::Helo => self.say(HELO, &[("domain", &shown(&evaluation.domain))]),
        };
        self.method("SPF", evaluation.result.as_str(), &domain);
        self.trace(&evaluation.trace, 1);
        if let Some(explanation) = &evaluation.explanation {
            self.line(&format!("    “{}”", shown(explanation)));
        }
        let count = evaluation.lookups.to_string();
        let lookups = self.say(LOOKUPS, &[("count", &count)]);
        self.line(&format!("    {}", paint(FAINT, &lookups)));
    }

    fn trace(&mut self, trace: &spf::Trace, depth: usize) {
        const NO_RECORD: Text = Text::new("no record", "sin registro");
        let indent = "    ".repeat(depth);
        let record = trace.record.as_deref().map_or_else(|| self.say(NO_RECORD, &[]), shown);
        self.line(&format!("{indent}{}: {record}", shown(&trace.domain)));
        for step in &trace.steps {
            self.step(step, &format!("{indent}  "));
            for question in &step.questions {
                let answer = self.shown(&question.answer);
                let asked = format!("{indent}      {} → {answer}", shown(&question.asked));
                self.line(&paint(FAINT, &asked));
            }
            if let Some(nested) = &step.nested {
                self.trace(nested, depth + 1);
            }
        }
        if let Some(problem) = &trace.problem {
            let problem = self.shown(problem);
            self.line(&format!("{indent}  {}: {problem}", trace.result));
        }
    }

    fn step(&mut self, step: &spf::Step, indent: &str) {
        const MATCHES: Text = Text::new("matches: {result}", "coincide: {result}");
        const NO_MATCH: Text = Text::new("does not match", "no coincide");
        let outcome = match step.outcome {
            spf::Outcome::Match(result) => {
                let text = self.say(MATCHES, &[("result", result.as_str())]);
                paint(style_of(result.as_str()), &text)
            }
            spf::Outcome::NoMatch => paint(FAINT, &self.say(NO_MATCH, &[])),
            spf::Outcome::Error(result) => paint(style_of(result.as_str()), result.as_str()),
        };
        let reason = step.reason.as_ref().map(|reason| format!(" ({})", self.shown(reason)));
        let reason = reason.unwrap_or_default();
        self.line(&format!("{indent}{}  {outcome}{reason}", shown(&step.term)));
    }

    fn dkim(&mut self, report: &Report) {
        const NONE: Text = Text::new("the message is not signed", "el mensaje no está firmado");
        const OF: Text =
            Text::new("{domain}, selector {selector}", "{domain}, selector {selector}");
        if report.dkim.is_empty() {
            let text = self.say(NONE, &[]);
            self.method("DKIM", "none", &text);
        }
        for signature in &report.dkim {
            let (domain, selector) = (shown(&signature.domain), shown(&signature.selector));
            let about = self.say(OF, &[("domain", &domain), ("selector", &selector)]);
            self.method("DKIM", signature.result.name(), &about);
            self.signature(signature);
        }
    }

    fn signature(&mut self, signature: &Verification) {
        for step in &signature.steps {
            let mark = if step.passed() { paint(GOOD, "✓") } else { paint(BAD, "✗") };
            let about = match step.kind() {
                StepKind::Syntax => Text::new("signature", "firma"),
                StepKind::Algorithm => Text::new("algorithm", "algoritmo"),
                StepKind::KeyRecord => Text::new("key record", "registro de la clave"),
                StepKind::BodyHash => Text::new("body hash", "hash del cuerpo"),
                StepKind::HeaderHash => Text::new("header hash", "hash de la cabecera"),
            };
            let (about, seen) = (self.say(about, &[]), self.shown(step));
            self.line(&format!("    {mark} {about}: {seen}"));
        }
    }

    fn dmarc(&mut self, report: &Report) {
        const NO_DOMAIN: Text =
            Text::new("From does not name one domain", "From no nombra un único dominio");
        const POLICY: Text = Text::new(
            "{from}: its policy is {policy}, by the record of {domain}",
            "{from}: su política es {policy}, según el registro de {domain}",
        );
        const NO_POLICY: Text =
            Text::new("{from}: no record applies", "{from}: no hay registro aplicable");
        const DISPOSITION: Text = Text::new(
            "its owner asks receivers to: {disposition}",
            "su dueño pide a los receptores: {disposition}",
        );
        let Some(evaluation) = &report.dmarc else {
            let text = self.say(NO_DOMAIN, &[]);
            return self.method("DMARC", "permerror", &text);
        };
        let from = shown(&evaluation.from_domain);
        let about = match (&evaluation.record, &evaluation.policy_domain) {
            (Some(_), Some(domain)) => self.say(
                POLICY,
                &[("from", &from), ("policy", evaluation.policy.as_str()), ("domain", domain)],
            ),
            _ => self.say(NO_POLICY, &[("from", &from)]),
        };
        self.method("DMARC", report.dmarc_word(), &about);
        if let Some(record) = &evaluation.record {
            self.line(&paint(FAINT, &format!("    {}", shown(&record.text))));
        }
        self.organization(evaluation);
        self.aligned("SPF", report.spf_aligned());
        self.aligned("DKIM", report.dkim_aligned());
        if evaluation.result == DmarcResult::Fail {
            let disposition = evaluation.disposition.as_str();
            let text = self.say(DISPOSITION, &[("disposition", disposition)]);
            self.line(&format!("    {text}"));
        }
    }

    fn organization(&mut self, evaluation: &dmarc::Evaluation) {
        const ONE: Text = Text::new("organizational domain {walk}", "dominio organizativo {walk}");
        const TWO: Text = Text::new(
            "organizational domain {walk} by the tree walk, {list} by the list of public suffixes",
            "dominio organizativo {walk} según el árbol del DNS, {list} según la lista de sufijos públicos",
        );
        let Some(walk) = &evaluation.organizational_domain else { return };
        let list = &evaluation.by_list.organizational_domain;
        let applies = evaluation.policy_domain.is_some();
        let text = if applies && walk != list { TWO } else { ONE };
        let text = self.say(text, &[("walk", &shown(walk)), ("list", &shown(list))]);
        self.line(&paint(FAINT, &format!("    {text}")));
    }

    fn aligned(&mut self, method: &str, aligned: Option<bool>) {
        let (mark, text) = match aligned {
            Some(true) => (
                paint(GOOD, "✓"),
                Text::new(
                    "{method} passes and agrees with From",
                    "{method} es válido y concuerda con From",
                ),
            ),
            Some(false) => (
                paint(BAD, "✗"),
                Text::new(
                    "{method} does not pass for a domain that agrees with From",
                    "{method} no es válido para un dominio que concuerde con From",
                ),
            ),
            None => (
                paint(UNSURE, "?"),
                Text::new(
                    "whether {method} agrees with From cannot be told",
                    "no se puede saber si {method} concuerda con From",
                ),
            ),
        };
        let text = self.say(text, &[("method", method)]);
        self.line(&format!("    {mark} {text}"));
    }

    fn findings(&mut self, report: &Report) {
        const NONE: Text = Text::new(
            "Nothing is wrong: receivers have no reason to refuse this message.",
            "Todo está bien: los receptores no tienen motivo para rechazar este mensaje.",
        );
        const UNKNOWN: Text = Text::new(
            "Some answers of the DNS are missing: try again later.",
            "Faltan respuestas del DNS: inténtelo más tarde.",
        );
        self.line("");
        for finding in &report.findings {
            self.finding(finding);
        }
        if report.wants_spf() {
            return;
        }
        if report.is_uncertain() {
            let text = self.say(UNKNOWN, &[]);
            self.line(&paint(UNSURE, &text));
        } else if report.findings.is_empty() && !report.is_wrong() {
            let text = self.say(NONE, &[]);
            self.line(&paint(GOOD, &text));
        }
    }

    fn finding(&mut self, finding: &Finding) {
        const EXPECTED: Text = Text::new("expected: {text}", "se espera: {text}");
        const REMEDY: Text = Text::new("remedy: {text}", "remedio: {text}");
        let severity = match finding.severity {
            Severity::Error => ERROR,
            Severity::Warning => WARNING,
            Severity::Info => NOTE,
        };
        let (rule, language) = (finding.rule, self.0.language());
        let about = [
            self.say(EXPECTED, &[("text", rule.expected.of(language))]),
            self.say(REMEDY, &[("text", finding.remedy.of(language))]),
        ];
        let name = format!("{} · {}", rule.id, rule.reference);
        self.0.finding(severity, &finding.seen.of(language), &about, &name);
    }
}

fn style_of(result: &str) -> Style {
    match result {
        "pass" => GOOD,
        "fail" | "permerror" | "policy" => BAD,
        _ => UNSURE,
    }
}
