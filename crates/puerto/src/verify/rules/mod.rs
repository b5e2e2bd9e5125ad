//! The rules that receivers enforce, each judged by what the message and the DNS
//! say. What only the receiver could know, such as its own size limit, is judged by
//! what the large ones publish.

mod catalog;
mod content;
mod form;
mod identity;
mod many;

use std::cmp::Reverse;

use puerto_mail::dkim::{DkimResult, Verification};
use puerto_mail::dmarc::Alignment;
use puerto_mail::dns::{Dns, is_at_or_below};
use puerto_mail::header::Header;
use puerto_mail::idn::name_in_ascii;

use super::message::Message;
use super::{Authors, Question, Report};
use crate::finding::Finding;
use crate::lang::said;
#[cfg(test)]
pub(super) use catalog::RULES;

/// What the rules look at.
pub(super) struct Subject<'a> {
    message: &'a Message<'a>,
    header: Option<&'a Header<'a>>,
    authors: Authors,
    question: &'a Question<'a>,
    report: &'a Report,
    bulk: bool,
}

impl<'a> Subject<'a> {
    /// Joins what is known.
    pub(super) fn new(
        message: &'a Message<'a>,
        header: Option<&'a Header<'a>>,
        authors: Authors,
        question: &'a Question<'a>,
        report: &'a Report,
    ) -> Self {
        let bulk = question.bulk || header.is_some_and(many::looks_like_bulk);
        Self { message, header, authors, question, report, bulk }
    }

    /// What is wrong, the worst first.
    pub(super) async fn judge<D: Dns>(&self, dns: &D) -> Vec<Finding> {
        let mut findings = Vec::new();
        self.line_ends(&mut findings);
        self.line_lengths(&mut findings);
        self.size(&mut findings);
        if let Some(header) = self.header {
            self.header_form(header, &mut findings);
            self.header_size(header, &mut findings);
            self.eight_bit(header, &mut findings);
            self.date(header, &mut findings);
            self.message_id(header, &mut findings);
            self.recipients(header, &mut findings);
            self.author(header, dns, &mut findings).await;
            self.freemail(&mut findings);
            self.content(header, &mut findings);
            self.unsubscribe(header, &mut findings);
            self.machine_made(header, &mut findings);
            self.honesty(header, &mut findings);
            self.envelope(header, &mut findings);
        } else {
            findings.push(catalog::HEADER_SIZE.broken(said!(
                "the header does not end within 4 MiB",
                "la cabecera no termina en 4 MiB"
            )));
        }
        self.sender_policy(&mut findings);
        self.signatures(&mut findings);
        self.signed_length(&mut findings);
        self.alignment(&mut findings);
        self.organization(&mut findings);
        findings.sort_by_key(|finding| Reverse(finding.severity));
        findings
    }

    fn author_domain(&self) -> Option<String> {
        let author = self.authors.as_ref().ok()?.first()?;
        Some(name_in_ascii(&author.address.domain().to_string()).into_owned())
    }

    // Whether a domain belongs to the organization of From, as far as can be told
    // without asking the DNS once more.
    fn is_of_author(&self, domain: &str) -> bool {
        let Some(from) = self.author_domain() else { return true };
        let organization = self
            .report
            .dmarc
            .as_ref()
            .and_then(|evaluation| evaluation.organizational_domain.clone())
            .unwrap_or_else(|| from.clone());
        is_at_or_below(domain, &organization) || is_at_or_below(&from, domain)
    }

    // The signatures that pass for the domain of From.
    fn aligned_signatures(&self) -> impl Iterator<Item = &Verification> {
        let dmarc = self.report.dmarc.as_ref();
        self.report.dkim.iter().filter(move |signature| {
            let domain = name_in_ascii(&signature.domain);
            let aligned = |(other, alignment): &(String, Alignment)| {
                *other == domain && *alignment == Alignment::Aligned
            };
            let by_record = dmarc.is_some_and(|dmarc| dmarc.dkim.iter().any(aligned));
            let no_record = dmarc.is_none_or(|dmarc| dmarc.record.is_none());
            signature.result == DkimResult::Pass
                && (by_record || no_record && self.is_of_author(&domain))
        })
    }
}
