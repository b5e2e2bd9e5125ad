//! The receiver's eye on a raw message: what SPF, DKIM and DMARC make of it, and
//! which of the rules that receivers enforce it breaks.
//!
//! Pure over [`Dns`]: the message, the client and the time are arguments, the
//! [`Report`] is the result, and whoever asked prints it. Nothing a message says can
//! make it unjudgeable: without a valid header it is judged by what is there.

mod json;
mod message;
mod rules;
mod show;
#[cfg(test)]
mod tests;

use std::net::IpAddr;

use puerto_mail::authres::{AuthenticationResults, MethodResult};
use puerto_mail::dkim::{self, DkimResult, Verification};
use puerto_mail::dmarc::{self, Authenticated, DmarcResult};
use puerto_mail::dns::Dns;
use puerto_mail::header::address_list::AddressListError;
use puerto_mail::header::{Field, Header, Mailbox, parse_address_list};
use puerto_mail::idn::name_in_ascii;
use puerto_mail::spf::{self, SpfResult};

use crate::finding::{Finding, Severity};
use crate::lang::Text;
use message::Message;
pub use show::show;

/// Octets of a header that is judged at most; of a longer one only that is said.
const MAX_HEADER: usize = 4 * 1024 * 1024;

/// A message and how it came.
#[derive(Debug, Clone)]
pub struct Question<'a> {
    /// The message as it was received or as a file holds it: lines may end in LF.
    pub message: &'a [u8],
    /// The address that it came from.
    pub ip: Option<IpAddr>,
    /// What the client called itself.
    pub helo: Option<&'a str>,
    /// The reverse-path; empty for the null one. If nobody says it, that of the field
    /// Return-Path counts.
    pub reverse_path: Option<&'a str>,
    /// It goes to many: the rules for bulk mail hold, whatever it says of itself.
    pub bulk: bool,
    /// Seconds since the epoch.
    pub now: i64,
    /// Who judges, as `Authentication-Results` names it.
    pub receiver: &'a str,
}

/// What SPF came to. A message without its envelope has none, which is no failure.
#[derive(Debug, Clone)]
pub enum Spf {
    /// It was evaluated.
    Checked(Box<spf::Evaluation>),
    /// It was not, for want of something.
    NotChecked(Text),
}

impl Spf {
    /// The result; none if it was not checked.
    pub fn result(&self) -> SpfResult {
        match self {
            Self::Checked(evaluation) => evaluation.result,
            Self::NotChecked(_) => SpfResult::None,
        }
    }

    /// The evaluation, if there was one.
    pub fn evaluation(&self) -> Option<&spf::Evaluation> {
        match self {
            Self::Checked(evaluation) => Some(evaluation),
            Self::NotChecked(_) => None,
        }
    }
}

/// Everything that was found out about a message.
#[derive(Debug, Clone)]
pub struct Report {
    /// Of the reverse-path, or with the null one of the name in HELO.
    pub spf: Spf,
    /// Each signature, from the top.
    pub dkim: Vec<Verification>,
    /// DMARC; `None` if From does not name one domain.
    pub dmarc: Option<dmarc::Evaluation>,
    /// The reverse-path that was judged, if it is known.
    pub reverse_path: Option<String>,
    /// The field that a receiver would write, on one line, without the line's end.
    pub authentication_results: String,
    /// The rules that it breaks, the worst first.
    pub findings: Vec<Finding>,
}

impl Report {
    /// The result of DMARC; permerror if From does not name one domain.
    pub fn dmarc_result(&self) -> DmarcResult {
        self.dmarc.as_ref().map_or(DmarcResult::PermError, |evaluation| evaluation.result)
    }

    /// Whether something is wrong that a receiver refuses or distrusts.
    pub fn is_wrong(&self) -> bool {
        let errors = self.findings.iter().any(|finding| finding.severity == Severity::Error);
        errors || self.dmarc_result() == DmarcResult::Fail
    }

    /// Whether DMARC could not be judged because SPF was not: no signature proves the
    /// domain, and nobody said where the message came from.
    pub fn wants_spf(&self) -> bool {
        matches!(self.spf, Spf::NotChecked(_)) && self.dmarc_result() == DmarcResult::TempError
    }

    /// The result of DMARC as people and programs are told it: a word of the protocol,
    /// or `unknown`.
    pub fn dmarc_word(&self) -> &'static str {
        if self.wants_spf() { "unknown" } else { self.dmarc_result().as_str() }
    }

    /// Whether the DNS left something open.
    pub fn is_uncertain(&self) -> bool {
        self.spf.result() == SpfResult::TempError
            || self.dkim.iter().any(|signature| signature.result == DkimResult::TempError)
            || self.dmarc_result() == DmarcResult::TempError
    }
}

/// Judges a message.
pub async fn verify<D: Dns>(dns: &D, question: &Question<'_>) -> Report {
    let message = Message::read(question.message);
    let header = Header::parse_within(message.octets(), MAX_HEADER).ok();
    let stands_there = || header.as_ref()?.first("Return-Path").map(Field::text);
    let reverse_path = question.reverse_path.map(str::to_owned).or_else(stands_there);
    let reverse_path = reverse_path.map(|path| without_brackets(&path).to_owned());
    let spf = check_spf(dns, question, reverse_path.as_deref()).await;
    let dkim = dkim::verify(message.octets(), dns, question.now).await;
    let authors = header.as_ref().map_or_else(|| Ok(Vec::new()), authors);
    let dmarc = match authors.as_deref().ok().and_then(author_domain) {
        Some(domain) => Some(check_dmarc(dns, &domain, &spf, &dkim).await),
        None => None,
    };
    let mut report = Report {
        authentication_results: String::new(),
        findings: Vec::new(),
        spf,
        dkim,
        dmarc,
        reverse_path,
    };
    report.authentication_results = authentication_results(&report, question.receiver);
    let subject = rules::Subject::new(&message, header.as_ref(), authors, question, &report);
    report.findings = subject.judge(dns).await;
    report
}

fn without_brackets(path: &str) -> &str {
    let path = path.trim();
    path.strip_prefix('<').and_then(|path| path.strip_suffix('>')).unwrap_or(path)
}

async fn check_spf<D: Dns>(dns: &D, question: &Question<'_>, reverse_path: Option<&str>) -> Spf {
    const NO_ADDRESS: Text = Text::new(
        "not checked: give the client's address with --ip",
        "sin comprobar: indique la dirección del cliente con --ip",
    );
    const NO_SENDER: Text = Text::new(
        "not checked: give the reverse-path with --from ('' for the null one)",
        "sin comprobar: indique el remitente del sobre con --from ('' para el nulo)",
    );
    const NO_HELO: Text = Text::new(
        "not checked: with the null reverse-path the name of --helo is what counts",
        "sin comprobar: con el remitente nulo lo que cuenta es el nombre de --helo",
    );
    let Some(ip) = question.ip else { return Spf::NotChecked(NO_ADDRESS) };
    let Some(reverse_path) = reverse_path else { return Spf::NotChecked(NO_SENDER) };
    let helo = question.helo.map(name_in_ascii);
    if reverse_path.is_empty() && helo.is_none() {
        return Spf::NotChecked(NO_HELO);
    }
    let sender = match reverse_path.rsplit_once('@') {
        Some((local_part, domain)) => format!("{local_part}@{}", name_in_ascii(domain)),
        None => name_in_ascii(reverse_path).into_owned(),
    };
    let query = spf::Query::mail_from_text(ip, helo.as_deref().unwrap_or("unknown"), &sender)
        .receiver(question.receiver)
        .at(u64::try_from(question.now).unwrap_or(0));
    Spf::Checked(Box::new(spf::check(dns, &query).await))
}

async fn check_dmarc<D: Dns>(
    dns: &D,
    domain: &str,
    spf: &Spf,
    dkim: &[Verification],
) -> dmarc::Evaluation {
    let spf_is_open = spf.result() == SpfResult::TempError || matches!(spf, Spf::NotChecked(_));
    let spf = spf.evaluation().map(|evaluation| {
        Authenticated::new(evaluation.domain.clone(), evaluation.result == SpfResult::Pass)
    });
    let signatures: Vec<Authenticated> = dkim
        .iter()
        .filter(|signature| !signature.domain.is_empty())
        .map(|signature| {
            Authenticated::new(
                name_in_ascii(&signature.domain).into_owned(),
                signature.result == DkimResult::Pass,
            )
        })
        .collect();
    let mut evaluation = dmarc::evaluate(dns, domain, spf.as_ref(), &signatures).await;
    // Neither passed, but one that could not be checked might have.
    let open =
        spf_is_open || dkim.iter().any(|signature| signature.result == DkimResult::TempError);
    if open {
        if evaluation.result == DmarcResult::Fail {
            evaluation.result = DmarcResult::TempError;
            evaluation.disposition = dmarc::Policy::None;
        }
        if evaluation.by_list.result == DmarcResult::Fail {
            evaluation.by_list.result = DmarcResult::TempError;
        }
    }
    evaluation
}

type Authors = Result<Vec<Mailbox>, AddressListError>;

fn authors(header: &Header<'_>) -> Authors {
    let mut mailboxes = Vec::new();
    for field in header.named("From") {
        mailboxes.extend(parse_address_list(field.value(), None)?);
    }
    Ok(mailboxes)
}

// The one domain of all authors, in A-labels: with several there is no policy that
// could be asked for (RFC 9989 §5).
fn author_domain(authors: &[Mailbox]) -> Option<String> {
    let mut domains = authors
        .iter()
        .map(|author| name_in_ascii(&author.address.domain().to_string()).into_owned());
    let first = domains.next()?;
    domains.all(|other| other == first).then_some(first)
}

fn authentication_results(report: &Report, receiver: &str) -> String {
    let mut results = AuthenticationResults::new(receiver);
    results = results.with(match &report.spf {
        Spf::Checked(evaluation) => {
            MethodResult::spf(evaluation, report.reverse_path.as_deref().unwrap_or_default())
        }
        Spf::NotChecked(why) => MethodResult::new("spf", "none").reason(why.en),
    });
    if report.dkim.is_empty() {
        results = results.with(MethodResult::new("dkim", "none"));
    }
    for signature in &report.dkim {
        results = results.with(MethodResult::dkim(signature));
    }
    results = results.with(match &report.dmarc {
        Some(_) if report.wants_spf() => {
            MethodResult::new("dmarc", "none").reason("SPF was not checked")
        }
        Some(evaluation) => MethodResult::dmarc(evaluation),
        None => MethodResult::new("dmarc", "permerror")
            .reason("the From field does not name one domain"),
    });
    let field = results.to_field();
    field.replace("\r\n  ", " ").replace("\r\n ", " ").trim_end().to_owned()
}
