//! The report as JSON; its shape is a contract.

use puerto_mail::dkim::Verification;
use puerto_mail::dmarc::{self, Alignment};
use puerto_mail::spf;
use serde_json::{Value, json};

use super::finding::Finding;
use super::{Report, Spf};
use crate::lang::{Language, Said};

impl Report {
    /// The report; its sentences are in one language, its words are the protocols'.
    pub fn to_json(&self, language: Language) -> Value {
        json!({
            "spf": self.spf_json(language),
            "dkim": self.dkim.iter().map(|one| signature(one, language)).collect::<Vec<_>>(),
            "dmarc": self.dmarc_json(language),
            "authentication_results": self.authentication_results,
            "findings": self.findings.iter().map(|found| finding(found, language)).collect::<Vec<_>>(),
        })
    }

    fn spf_json(&self, language: Language) -> Value {
        let evaluation = match &self.spf {
            Spf::Checked(evaluation) => evaluation,
            Spf::NotChecked(why) => {
                return json!({
                    "result": "none", "domain": null, "steps": [], "reason": why.of(language),
                });
            }
        };
        json!({
            "result": evaluation.result.as_str(),
            "domain": evaluation.domain,
            "identity": match evaluation.identity {
                spf::Identity::MailFrom => "mailfrom",
                spf::Identity::Helo => "helo",
            },
            "record": evaluation.trace.record,
            "reason": evaluation.trace.reason().map(|why| Said::from(&why).of(language)),
            "explanation": evaluation.explanation,
            "lookups": evaluation.lookups,
            "void_lookups": evaluation.void_lookups,
            "steps": steps(&evaluation.trace, language),
        })
    }

    fn dmarc_json(&self, language: Language) -> Value {
        let Some(evaluation) = &self.dmarc else {
            return json!({
                "result": "permerror", "policy": null, "org_domain": null,
                "org_domain_public_suffix": null, "result_public_suffix": "permerror",
                "alignment": { "spf": false, "dkim": false },
                "disposition": "none", "steps": [],
            });
        };
        let step = |step: &dmarc::Step| json!({ "about": step.about, "finding": Said::from(&step.finding).of(language) });
        json!({
            "result": self.dmarc_word(),
            "policy": evaluation.record.as_ref().map(|_| evaluation.policy.as_str()),
            "disposition": evaluation.disposition.as_str(),
            "from_domain": evaluation.from_domain,
            "org_domain": evaluation.organizational_domain,
            "org_domain_public_suffix": evaluation.by_list.organizational_domain,
            "result_public_suffix": match self.wants_spf() {
                true => "unknown",
                false => evaluation.by_list.result.as_str(),
            },
            "policy_domain": evaluation.policy_domain,
            "record": evaluation.record.as_ref().map(|record| record.text.as_str()),
            "alignment": { "spf": self.spf_aligned(), "dkim": self.dkim_aligned() },
            "steps": evaluation.steps.iter().map(step).collect::<Vec<_>>(),
        })
    }
}

impl Report {
    // With a From that no policy can hold for, nothing agrees.
    fn judged(&self) -> Option<&dmarc::Evaluation> {
        self.dmarc.as_ref().filter(|found| found.result != dmarc::DmarcResult::PermError)
    }

    /// Whether SPF passed for a domain that agrees with From; `None` if nobody can
    /// tell.
    pub fn spf_aligned(&self) -> Option<bool> {
        let Some(evaluation) = self.judged() else { return Some(false) };
        let Spf::Checked(spf) = &self.spf else { return None };
        if evaluation.record.is_none() {
            let passed = spf.result == spf::SpfResult::Pass;
            return without_record(evaluation, [(spf.domain.as_str(), passed)]);
        }
        any_aligned(evaluation.spf.iter())
    }

    /// Whether a signature passed whose domain agrees with From; `None` if nobody can
    /// tell.
    pub fn dkim_aligned(&self) -> Option<bool> {
        let Some(evaluation) = self.judged() else { return Some(false) };
        if evaluation.record.is_none() {
            let signatures = self.dkim.iter().map(|signature| {
                let passed = signature.result == puerto_mail::dkim::DkimResult::Pass;
                (signature.domain.as_str(), passed)
            });
            return without_record(evaluation, signatures);
        }
        any_aligned(evaluation.dkim.iter())
    }
}

fn any_aligned<'a>(domains: impl Iterator<Item = &'a (String, Alignment)>) -> Option<bool> {
    let mut answer = Some(false);
    for (_, alignment) in domains {
        match alignment {
            Alignment::Aligned => return Some(true),
            Alignment::Unknown => answer = None,
            Alignment::NotAligned | Alignment::NotPassed => {}
        }
    }
    answer
}

// Without a record there is nobody who says how closely domains must agree: the same
// domain agrees in any case, and of another nothing can be said.
fn without_record<'a>(
    evaluation: &dmarc::Evaluation,
    domains: impl IntoIterator<Item = (&'a str, bool)>,
) -> Option<bool> {
    let mut answer = Some(false);
    for (domain, passed) in domains {
        match passed {
            true if domain.eq_ignore_ascii_case(&evaluation.from_domain) => return Some(true),
            true => answer = None,
            false => {}
        }
    }
    answer
}

fn steps(trace: &spf::Trace, language: Language) -> Vec<Value> {
    let said = |reason: &spf::Reason| Said::from(reason).of(language);
    let step = |step: &spf::Step| {
        let (outcome, result) = match step.outcome {
            spf::Outcome::Match(result) => ("match", Some(result.as_str())),
            spf::Outcome::NoMatch => ("no-match", None),
            spf::Outcome::Error(result) => ("error", Some(result.as_str())),
        };
        let question = |asked: &spf::Question| json!({ "asked": asked.asked, "answer": Said::from(&asked.answer).of(language) });
        json!({
            "term": step.term,
            "outcome": outcome,
            "result": result,
            "reason": step.reason.as_ref().map(said),
            "questions": step.questions.iter().map(question).collect::<Vec<_>>(),
            "nested": step.nested.as_ref().map(|nested| json!({
                "domain": nested.domain,
                "record": nested.record,
                "result": nested.result.as_str(),
                "reason": nested.problem.as_ref().map(said),
                "steps": steps(nested, language),
            })),
        })
    };
    trace.steps.iter().map(step).collect()
}

fn signature(signature: &Verification, language: Language) -> Value {
    let step = |step: &puerto_mail::dkim::Step| {
        json!({
            "about": format!("{:?}", step.kind()),
            "passed": step.passed(),
            "detail": Said::from(step).of(language),
        })
    };
    json!({
        "result": signature.result.name(),
        "domain": signature.domain,
        "selector": signature.selector,
        "algorithm": signature.algorithm.map(|algorithm| algorithm.name()),
        "reason": signature.reason().map(|step| Said::from(step).of(language)),
        "identity": signature.identity,
        "key_bits": signature.key_bits,
        "testing": signature.testing,
        "steps": signature.steps.iter().map(step).collect::<Vec<_>>(),
    })
}

fn finding(finding: &Finding, language: Language) -> Value {
    json!({
        "id": finding.rule.id,
        "severity": finding.severity.as_str(),
        "seen": finding.seen.of(language),
        "expected": finding.rule.expected.of(language),
        "remedy": finding.remedy.of(language),
        "reference": finding.rule.reference,
    })
}
