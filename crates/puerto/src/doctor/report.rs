//! What was found, on one page and as one JSON document.

use std::path::Path;

use serde_json::{Value, json};

use super::Section;
use crate::config::Config;
use crate::finding::page::{BAD, FAINT, GOOD, Page, TITLE, UNSURE, paint};
use crate::finding::{Finding, Severity};
use crate::lang::{Language, Said, harmless, said};

/// How far findings stand below their section.
const INDENT: usize = 4;

/// What was found on a machine.
#[derive(Debug)]
pub struct Report {
    /// The server's name.
    pub hostname: String,
    /// The program's version.
    pub version: &'static str,
    /// The configuration's file.
    pub file: String,
    /// The matters that were looked at.
    pub sections: Vec<Section>,
    /// Whether everything could be looked at.
    pub is_whole: bool,
}

impl Report {
    /// All that was found, in the order of the page.
    pub fn findings(&self) -> impl Iterator<Item = &Finding> {
        self.sections.iter().flat_map(|section| &section.findings)
    }

    /// 0: nothing is wrong; 1: something is; 2: nothing is known to be, but not all could be
    /// looked at.
    pub fn exit_code(&self) -> u8 {
        match self.findings().any(is_wrong) {
            true => 1,
            false => u8::from(!self.is_whole) * 2,
        }
    }

    /// What to do first, in one sentence.
    pub fn summary(&self) -> Said {
        let wrong: Vec<_> = self.findings().filter(|finding| is_wrong(finding)).collect();
        // The worst of all, and of those the first.
        let is_worst = |finding: &&&Finding| finding.severity == Severity::Error;
        let first = wrong.iter().find(is_worst).or(wrong.first());
        let part = match (wrong.len(), first) {
            (0, _) => {
                said!("Nothing is wrong with this machine.", "Nada está mal en esta máquina.")
            }
            (1, _) => said!("One thing is wrong.", "Hay una cosa mal."),
            (count, first) => said!(
                "{count} things are wrong; begin with {id}.",
                "Hay {count} cosas mal; empiece por {id}.";
                count = count, id = first.map_or("", |finding| finding.id)
            ),
        };
        match self.is_whole {
            true => part,
            false => part.then(&said!(
                "Only root sees everything: sudo {puerto} doctor",
                "Solo root lo ve todo: sudo {puerto} doctor";
                puerto = Config::command(Path::new(&self.file))
            )),
        }
    }

    /// The report as one JSON document.
    pub fn to_json(&self, language: Language) -> Value {
        let section = |section: &Section| {
            let findings = section.findings.iter().map(|finding| finding.to_json(language));
            json!({
                "name": section.name,
                "seen": section.seen.of(language),
                "findings": findings.collect::<Vec<_>>(),
            })
        };
        json!({
            "hostname": self.hostname,
            "version": self.version,
            "file": self.file,
            "whole": self.is_whole,
            "summary": self.summary().of(language),
            "sections": self.sections.iter().map(section).collect::<Vec<_>>(),
        })
    }

    /// The page in one language, with colours: whoever prints it takes them out where there
    /// are none.
    pub fn show(&self, language: Language) -> String {
        let mut page = Page::new(language);
        let name = paint(TITLE, &harmless(&self.hostname));
        page.line(&format!("{name}  puerto {}  {}\n", self.version, harmless(&self.file)));
        for section in &self.sections {
            let worst = section.findings.iter().map(|finding| finding.severity).max();
            let mark = match worst {
                Some(Severity::Error) => paint(BAD, "✗"),
                Some(Severity::Warning) => paint(UNSURE, "!"),
                _ => paint(GOOD, "✓"),
            };
            let (title, seen) = (section.title.of(language), section.seen.of(language));
            match seen.is_empty() {
                true => page.line(&format!("{mark} {title}")),
                false => {
                    let seen = paint(FAINT, &harmless(&seen));
                    page.line(&format!("{mark} {title:<24} {seen}"));
                }
            }
            // What mends several is said once, below the last of them.
            let next = section.findings.iter().skip(1).map(Some).chain([None]);
            for (finding, next) in section.findings.iter().zip(next) {
                let is_said_next =
                    next.is_some_and(|next| next.id == finding.id && next.remedy == finding.remedy);
                let remedy = if is_said_next { Said::default() } else { finding.remedy.clone() };
                page.found(INDENT, &Finding { remedy, ..finding.clone() }, None);
            }
        }
        page.line(&format!("\n{}", paint(TITLE, &harmless(&self.summary().of(language)))));
        page.finish()
    }
}

fn is_wrong(finding: &Finding) -> bool {
    finding.severity > Severity::Info
}
