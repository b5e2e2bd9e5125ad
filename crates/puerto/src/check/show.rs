//! The report for people: each family with what is to be seen of it, the receivers'
//! verdicts, and what to do first.

use anstyle::Style;

use super::outcome::{Check, Status};
use super::receivers::{RECEIVERS, Verdict};
use super::registry::FAMILIES;
use super::report::Report;
use crate::finding::page::{BAD, FAINT, GOOD, Page, TITLE, UNSURE, paint};
use crate::lang::{Language, Said, Text, harmless};

/// How far findings stand below their family.
const INDENT: usize = 4;

/// The report in one language, with colours: whoever prints it takes them out where
/// there are none. `all`: also what is right, and what was skipped.
pub fn show(report: &Report, all: bool, language: Language) -> String {
    let mut page = Page::new(language);
    let egress: Vec<_> = report.egress.iter().map(ToString::to_string).collect();
    let domains = paint(TITLE, &harmless(&report.domains.join("  ")));
    page.line(&format!("{domains}  {}\n", egress.join("  ")));
    // Nothing else means much while this is so.
    let decisive = report.checks.iter().filter(|check| check.is_decisive);
    decisive.for_each(|check| one(&mut page, check));
    for family in FAMILIES {
        let is_its = |check: &&Check| family.checks.contains(&check.definition);
        let of_family = report.checks.iter().filter(is_its).filter(|check| !check.is_decisive);
        let checks: Vec<&Check> = of_family.collect();
        if checks.is_empty() {
            continue;
        }
        heading(&mut page, family.title, &checks);
        let mut last = None;
        for check in checks {
            // What has no answer is often the same for many subjects: one line for all.
            let again = check.status == Status::Unknown && last == Some(check.definition);
            last = (check.status == Status::Unknown).then_some(check.definition);
            if all || (!again && matches!(check.status, Status::Finding | Status::Unknown)) {
                one(&mut page, check);
            }
        }
    }
    page.line("");
    for receiver in RECEIVERS {
        let judgement = receiver.judge(&report.checks);
        let (style, text) = verdict(judgement.verdict);
        let verdict = paint(style, text.of(language));
        let line = format!("{:<22} {verdict} {}", receiver.name, judgement.because.join(", "));
        page.line(line.trim_end());
    }
    page.line(&format!("\n{}", paint(TITLE, &harmless(&report.summary(language)))));
    page.finish()
}

fn verdict(verdict: Verdict) -> (Style, Text) {
    match verdict {
        Verdict::Accept => (GOOD, Text::new("would accept", "aceptaría")),
        Verdict::Refuse => (BAD, Text::new("would refuse, because of", "rechazaría, por")),
        Verdict::Unreached => {
            (BAD, Text::new("gets none of our mail, because of", "no recibe nuestro correo, por"))
        }
        Verdict::Unknown => (UNSURE, Text::new("not known", "no se sabe")),
    }
}

fn heading(page: &mut Page, title: Text, checks: &[&Check]) {
    let language = page.language();
    let count = |status| checks.iter().filter(|check| check.status == status).count();
    let mark = if checks.iter().any(|check| check.is_wrong()) {
        paint(BAD, "✗")
    } else if count(Status::Unknown) > 0 {
        paint(UNSURE, "?")
    } else {
        paint(GOOD, "✓")
    };
    let skipped = count(Status::NotApplicable);
    let parts = [
        (count(Status::Finding), Text::new("to see", "por ver")),
        (count(Status::Unknown), Text::new("without answer", "sin respuesta")),
        (count(Status::Pass), Text::new("right", "bien")),
        (skipped, Text::by_count(skipped, SKIPPED, Text::new("skipped", "omitidas"))),
    ];
    let parts = parts.iter().filter(|(count, _)| *count > 0);
    let said: Vec<_> = parts.map(|(n, text)| format!("{n} {}", text.of(language))).collect();
    page.line(&format!("{mark} {:<24} {}", title.of(language), paint(FAINT, &said.join(", "))));
}

const SKIPPED: Text = Text::new("skipped", "omitida");

fn one(page: &mut Page, check: &Check) {
    const DEMANDED: Text = Text::new("demanded", "se exige");
    let finding = check.finding();
    let word = match check.status {
        Status::Finding => {
            let demanded = Said::plain(check.definition.title);
            return page.found(INDENT, &finding, Some((DEMANDED, &demanded)));
        }
        Status::Pass => (GOOD, Text::new("right", "bien")),
        Status::NotApplicable => (FAINT, SKIPPED),
        Status::Unknown => (UNSURE, Text::new("no answer", "sin respuesta")),
    };
    let language = page.language();
    let about = (check.id(), Some(check.subject.as_str()));
    page.headline(INDENT, word, about, (&check.seen.of(language), &check.asked));
    let remedy = check.remedy.of(language);
    if !remedy.is_empty() {
        page.line(&format!("      {}", harmless(&remedy)));
    }
}
