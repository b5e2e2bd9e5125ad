//! One record in the place of what a domain publishes: the records that are there,
//! mended where they are damaged and put together where there are several.
//!
//! Receivers do nothing of the kind; it is for whoever writes the record anew. Every
//! sender that was meant is kept, and nobody else comes in: where it is not clear what
//! a word meant, it is named and nothing is made of it. A single record that receivers
//! read as it was meant stays to the letter.
//!
//! Of several records receivers use none (RFC 7208 §4.5), so that whoever one of them
//! lets pass was meant and nobody passed. Put together, they end in the strictest `all`
//! among them: no stranger fares better than by any one of them.

mod reading;
mod term;

use std::future::Future;
use std::pin::Pin;

use super::record::{Record, find, is_spf};
use super::{Reason, SpfResult};
use crate::dns::{Dns, DnsError};
use reading::{Reading, read, sound};

/// Redirects that are followed to find out how a record ends.
const MAX_REDIRECTS: u32 = 10;

/// One record out of those that a name has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mended {
    terms: Vec<String>,
    // The record itself, as long as it is to stay to the letter.
    verbatim: Option<String>,
    /// Words of which nobody can say what they meant: there may be senders in them, and
    /// only the domain's owner knows.
    pub unclear: Vec<String>,
    /// Terms that are left out, since they would let everybody pass who does not today.
    pub opening: Vec<String>,
    /// Modifiers that are left out, since only one of their kind may stand in a record.
    pub surplus: Vec<String>,
    /// Texts that stand beside a record that is right, and that receivers do not read.
    pub beside: Vec<String>,
}

/// Whether a text is an SPF record, or was meant as one.
pub fn is_meant(text: &str) -> bool {
    !read(text).is_empty()
}

/// Whether receivers read the record as it was meant. One that can be read may still
/// hold `include=`, which lets nobody pass, or terms that grew together.
pub fn is_sound(text: &str) -> bool {
    sound(text).is_some()
}

/// Whether terms stand together without a space between them, as where a DNS panel cut
/// the record into strings.
pub fn has_grown_together(text: &str) -> bool {
    reading::pulled_apart(text) != text
}

/// The terms that receivers read as something else than what they were meant as, or
/// not at all.
pub fn mistaken(text: &str) -> Vec<&str> {
    let terms = text.split(' ').skip(1).filter(|term| !term.is_empty());
    terms.filter(|term| !term::is_sound(term) || term.contains([',', ';'])).collect()
}

/// One record out of these texts of one name; those that were not meant as SPF records
/// are passed over. The error is that of a record that one of them redirects to.
pub async fn mend<D: Dns>(dns: &D, texts: &[String]) -> Result<Mended, DnsError> {
    let counting: Vec<&String> = texts.iter().filter(|text| is_spf(text.as_bytes())).collect();
    if let [only] = counting.as_slice()
        && let Some(reading) = sound(only)
    {
        let beside = texts.iter().filter(|text| text != only && is_meant(text));
        return Ok(Mended {
            terms: reading.terms,
            verbatim: Some((*only).clone()),
            beside: beside.cloned().collect(),
            ..Mended::empty()
        });
    }
    // Resolvers turn the records around; what is proposed must not depend on the day.
    let mut texts: Vec<&String> = texts.iter().collect();
    texts.sort();
    let mut readings: Vec<Reading> = Vec::new();
    for reading in texts.into_iter().flat_map(|text| read(text)) {
        if !readings.contains(&reading) && reading != Reading::default() {
            readings.push(reading);
        }
    }
    Merger::new(readings).merge(dns).await
}

impl Mended {
    fn empty() -> Self {
        Self {
            terms: Vec::new(),
            verbatim: None,
            unclear: Vec::new(),
            opening: Vec::new(),
            surplus: Vec::new(),
            beside: Vec::new(),
        }
    }

    /// A record of these terms.
    pub fn of_terms(terms: &[String]) -> Self {
        Self { terms: terms.to_vec(), ..Self::empty() }
    }

    /// The record to publish, in place of what was there.
    pub fn text(&self) -> String {
        if let Some(text) = &self.verbatim {
            return text.clone();
        }
        let terms = self.terms.iter().map(String::as_str);
        std::iter::once("v=spf1").chain(terms).collect::<Vec<_>>().join(" ")
    }

    /// The terms, in their order.
    pub fn terms(&self) -> &[String] {
        &self.terms
    }

    /// Puts terms in front of `matched`, the term that decides today, or else at the
    /// end of those that are tried.
    pub fn insert(&mut self, new: Vec<String>, matched: Option<&str>) {
        // What stands further behind, where it was not reached, need not stand twice.
        self.terms.retain(|term| !new.contains(term) || Some(term.as_str()) == matched);
        let decides = matched.and_then(|term| self.terms.iter().position(|other| other == term));
        let last_mechanism = || self.terms.iter().rposition(|term| !is_modifier(term));
        let end = self.terms.iter().position(|term| is_all(term));
        let at = decides.or(end).unwrap_or_else(|| last_mechanism().map_or(0, |last| last + 1));
        self.terms.splice(at..at, new);
        self.verbatim = None;
    }

    /// The term `all` with its qualifier, as it is written.
    pub fn all(&self) -> Option<&str> {
        self.terms.iter().map(String::as_str).find(|term| is_all(term))
    }

    /// Terms that nobody reads, since the record ends before them or by itself.
    pub fn unread(&self) -> Vec<&str> {
        let Some(end) = self.terms.iter().position(|term| is_all(term)) else { return Vec::new() };
        let behind = self.terms.iter().skip(end + 1).filter(|term| !is_modifier(term));
        let redirects = self.terms.iter().filter(|term| redirect(term).is_some());
        behind.chain(redirects).map(String::as_str).collect()
    }

    /// Whether another record decides for those whom no term has matched.
    pub fn has_redirect(&self) -> bool {
        self.terms.iter().any(|term| redirect(term).is_some())
    }

    /// Whether the record says nothing about strangers, or lets all of them pass.
    pub fn is_ajar(&self) -> bool {
        let opens = self.terms.iter().any(|term| opens(term));
        match self.all() {
            Some(all) => opens || !all.starts_with(['-', '~']),
            None => opens || !self.has_redirect(),
        }
    }

    /// The record with `~all` at its end where it says nothing about strangers or lets
    /// all of them pass. Whoever passed only for that has to be let pass again.
    #[must_use]
    pub fn closed(mut self) -> Self {
        if self.is_ajar() {
            self.verbatim = None;
            self.terms.retain(|term| !opens(term));
            let ends = self.all().is_some_and(|all| all.starts_with(['-', '~']));
            if !ends && (self.all().is_some() || !self.has_redirect()) {
                self.terms.retain(|term| !is_all(term));
                self.insert(vec!["~all".to_owned()], None);
            }
        }
        self
    }
}

struct Merger {
    readings: Vec<Reading>,
    mended: Mended,
}

impl Merger {
    fn new(readings: Vec<Reading>) -> Self {
        Self { readings, mended: Mended::empty() }
    }

    async fn merge<D: Dns>(mut self, dns: &D) -> Result<Mended, DnsError> {
        for reading in &mut self.readings {
            self.mended.unclear.append(&mut reading.unclear);
        }
        let redirects: Vec<String> =
            self.readings.iter().flat_map(redirects_of).map(str::to_owned).collect();
        if let [only] = self.readings.as_slice()
            && redirects.len() < 2
        {
            let terms = only.terms.clone();
            self.keep_order(terms);
            return Ok(self.mended);
        }
        let mut ends = Vec::new();
        for target in &redirects {
            ends.push(end_of(dns, target.clone(), MAX_REDIRECTS).await?);
        }
        self.put_together(&redirects, ends);
        Ok(self.mended)
    }

    // One damaged record: its terms where they stand.
    fn keep_order(&mut self, terms: Vec<String>) {
        let mut ends: Vec<Qualifier> = Vec::new();
        for term in terms {
            // `?all -all`: between the two nobody is let pass.
            if is_all(&term) && self.mended.terms.last().is_some_and(|last| is_all(last)) {
                ends.push(Qualifier::of(&term));
                let strictest = ends.iter().max().map(|end| end.at_least_soft().to_owned());
                self.mended.terms.pop();
                self.mended.terms.extend(strictest);
                continue;
            }
            ends = vec![Qualifier::of(&term)];
            let term = match is_all(&term) && !term.starts_with(['-', '~', '?']) {
                // Nobody passed by it as long as the record was in error.
                true => {
                    self.mended.opening.push(term);
                    "~all".to_owned()
                }
                false => term,
            };
            self.take(term);
        }
    }

    // Who passes by any of them passes: those that only let pass come first, since a
    // term that refuses would stop what the others let pass.
    fn put_together(&mut self, redirects: &[String], mut ends: Vec<Qualifier>) {
        let mut readings = std::mem::take(&mut self.readings);
        let refuses = |reading: &Reading| reached(reading).any(|term| !lets_pass(term));
        readings.sort_by_key(refuses);
        let mut refusing = readings.iter().filter(|reading| refuses(reading));
        if let (Some(_), Some(second)) = (refusing.next(), refusing.next()) {
            let terms = reached(second).filter(|term| !lets_pass(term));
            self.mended.unclear.extend(terms.cloned());
        }
        let mut has_end = !redirects.is_empty();
        let is_one_redirect = redirects.windows(2).all(|two| two.first() == two.last())
            && readings.iter().all(|reading| redirects_of(reading).next().is_some())
            && !readings.iter().any(refuses);
        for reading in &readings {
            reached(reading).for_each(|term| self.take(term.clone()));
            // Where one record ends and another goes on elsewhere, what the other leads
            // to is asked on the way.
            for target in redirects_of(reading).filter(|_| !is_one_redirect) {
                self.take(format!("include:{target}"));
            }
            let hidden = reading.terms.iter().skip_while(|term| !is_all(term)).skip(1);
            let hidden = hidden.filter(|term| !is_modifier(term) && !is_all(term));
            self.mended.unclear.extend(hidden.cloned());
            match reading.terms.iter().find(|term| is_all(term)) {
                Some(all) => {
                    has_end = true;
                    ends.push(Qualifier::of(all));
                }
                None if redirects_of(reading).next().is_none() => ends.push(Qualifier::Neutral),
                None => {}
            }
        }
        if is_one_redirect {
            self.mended.terms.extend(redirects.first().map(|one| format!("redirect={one}")));
        } else if has_end {
            let strictest = ends.iter().max().copied().unwrap_or(Qualifier::Neutral);
            if strictest == Qualifier::Pass {
                self.mended.opening.push("+all".to_owned());
            }
            self.mended.terms.push(strictest.at_least_soft().to_owned());
        }
        let modifiers = readings.iter().flat_map(|reading| reading.terms.iter());
        for modifier in modifiers.filter(|term| is_modifier(term) && redirect(term).is_none()) {
            self.take(modifier.clone());
        }
    }

    // Each once, and nothing that opens a domain that was closed.
    fn take(&mut self, term: String) {
        let plus = |term: &str| term.strip_prefix('+').unwrap_or(term).to_ascii_lowercase();
        let known = |other: &String| plus(other) == plus(&term);
        if opens(&term) {
            self.mended.opening.push(term);
        } else if self.mended.terms.iter().any(known) {
        } else if is_explanation(&term) && self.mended.terms.iter().any(|t| is_explanation(t)) {
            self.mended.surplus.push(term);
        } else {
            self.mended.terms.push(term);
        }
    }
}

/// What becomes of those whom no term has matched, from the mildest to the strictest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Qualifier {
    Pass,
    Neutral,
    SoftFail,
    Fail,
}

impl Qualifier {
    fn of(term: &str) -> Self {
        match term.as_bytes().first() {
            Some(b'-') => Self::Fail,
            Some(b'~') => Self::SoftFail,
            Some(b'?') => Self::Neutral,
            _ => Self::Pass,
        }
    }

    fn at_least_soft(self) -> &'static str {
        match self {
            Self::Fail => "-all",
            Self::Neutral => "?all",
            Self::SoftFail | Self::Pass => "~all",
        }
    }
}

// How the record of a domain ends. One that depends on the message, or that is wrong,
// is taken to be strict: nobody shall pass for a guess. Boxed, since a redirect leads
// back here.
fn end_of<D: Dns>(
    dns: &D,
    domain: String,
    left: u32,
) -> Pin<Box<dyn Future<Output = Result<Qualifier, DnsError>> + Send + '_>> {
    Box::pin(async move {
        if domain.contains('%') || left == 0 {
            return Ok(Qualifier::Fail);
        }
        let record = match find(dns, &domain).await {
            Ok(text) => Record::parse(&text).ok(),
            Err(Reason::Dns(error)) => return Err(error),
            Err(_) => None,
        };
        let Some(record) = record else { return Ok(Qualifier::Fail) };
        let all = record.directives.iter().find(|one| is_all(&one.written));
        match (all.map(|all| all.qualifier), record.redirect) {
            (Some(SpfResult::Fail), _) => Ok(Qualifier::Fail),
            (Some(SpfResult::SoftFail), _) => Ok(Qualifier::SoftFail),
            (Some(SpfResult::Pass), _) => Ok(Qualifier::Pass),
            (Some(_), _) | (None, None) => Ok(Qualifier::Neutral),
            (None, Some(redirect)) => {
                let target = self::redirect(&redirect.written).unwrap_or("%").to_owned();
                end_of(dns, target, left - 1).await
            }
        }
    })
}

// What is tried before the record ends.
fn reached(reading: &Reading) -> impl Iterator<Item = &String> {
    let terms = reading.terms.iter().take_while(|term| !is_all(term));
    terms.filter(|term| !is_modifier(term))
}

// Where it goes on, if no `all` ends it before.
fn redirects_of(reading: &Reading) -> impl Iterator<Item = &str> {
    let ends = reading.terms.iter().any(|term| is_all(term));
    reading.terms.iter().filter(move |_| !ends).filter_map(|term| redirect(term))
}

fn lets_pass(term: &str) -> bool {
    !term.starts_with(['-', '~', '?'])
}

fn is_all(term: &str) -> bool {
    term.trim_start_matches(['+', '-', '~', '?']).eq_ignore_ascii_case("all")
}

fn is_modifier(term: &str) -> bool {
    term.split_once('=').is_some_and(|(name, _)| !name.contains([':', '/']))
}

fn is_explanation(term: &str) -> bool {
    term.get(..4).is_some_and(|name| name.eq_ignore_ascii_case("exp="))
}

fn redirect(term: &str) -> Option<&str> {
    let (name, target) = term.split_once('=')?;
    name.eq_ignore_ascii_case("redirect").then_some(target)
}

// Half of all addresses and more.
fn opens(term: &str) -> bool {
    let bare = term.strip_prefix('+').unwrap_or(term).to_ascii_lowercase();
    let name = bare.split([':', '/']).next().unwrap_or_default();
    let is_network = ["ip4", "ip6", "a", "mx"].contains(&name);
    is_network && bare.split('/').skip(1).any(|length| matches!(length, "0" | "1"))
}

#[cfg(test)]
mod tests;
