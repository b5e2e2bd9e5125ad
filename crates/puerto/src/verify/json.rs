//! The report as JSON; its shape is a contract.

use puerto_mail::dkim::{DkimResult, Verification};
use puerto_mail::dmarc::{self, Alignment, DmarcResult};
use puerto_mail::spf::{self, SpfResult};
use serde_json::{Value, json};

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
            "findings": self.findings.iter().map(|found| found.to_json(language)).collect::<Vec<_>>(),
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
        self.dmarc.as_ref().filter(|found| found.result != DmarcResult::PermError)
    }

    /// Whether SPF passed for a domain that agrees with From; `None` if nobody can
    /// tell.
    pub fn spf_aligned(&self) -> Option<bool> {
        let Some(dmarc) = self.judged() else { return Some(false) };
        let Spf::Checked(spf) = &self.spf else { return None };
        let passed = spf.result == SpfResult::Pass;
        match dmarc.record {
            None => any_aligned([without_record(dmarc, &spf.domain, passed)]),
            Some(_) => any_aligned(dmarc.spf.iter().map(|(_, alignment)| *alignment)),
        }
    }

    /// Whether a signature passed whose domain agrees with From; `None` if nobody can
    /// tell.
    pub fn dkim_aligned(&self) -> Option<bool> {
        let Some(dmarc) = self.judged() else { return Some(false) };
        match dmarc.record {
            None => any_aligned(self.dkim.iter().map(|signature| {
                without_record(dmarc, &signature.domain, signature.result == DkimResult::Pass)
            })),
            Some(_) => any_aligned(dmarc.dkim.iter().map(|(_, alignment)| *alignment)),
        }
    }
}

fn any_aligned(alignments: impl IntoIterator<Item = Alignment>) -> Option<bool> {
    let alignments: Vec<Alignment> = alignments.into_iter().collect();
    let is_aligned = alignments.contains(&Alignment::Aligned);
    (is_aligned || !alignments.contains(&Alignment::Unknown)).then_some(is_aligned)
}

// Without a record there is nobody who says how closely domains must agree: the same
// domain agrees in any case, and of another nothing can be said.
fn without_record(dmarc: &dmarc::Evaluation, domain: &str, passed: bool) -> Alignment {
    match passed {
        true if domain.eq_ignore_ascii_case(&dmarc.from_domain) => Alignment::Aligned,
        true => Alignment::Unknown,
        false => Alignment::NotPassed,
    }
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
