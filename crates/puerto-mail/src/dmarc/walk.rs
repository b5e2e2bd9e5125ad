//! The tree walk (RFC 9989 §4.10): `_dmarc` records from a domain up to its top
//! label, in at most [`MAX_QUERIES`] questions, and what follows from them.

use std::collections::HashMap;

use super::record::is_dmarc;
use super::{Finding, PublicSuffix, Record, Step, mend};
use crate::dns::{self, Dns, DnsError, DnsFault, RecordType};

/// Questions of one walk. A name with more labels jumps to its last seven after the
/// first question.
pub(super) const MAX_QUERIES: usize = 8;
/// Different names that all walks of one evaluation may ask about. A message may
/// carry any number of signatures; none of them may make us ask without end.
const MAX_NAMES: usize = 64;

/// The records between a domain and the top, longest name first.
#[derive(Debug, Clone)]
pub(super) struct Walk {
    start: String,
    found: Vec<(String, Record)>,
    /// The name at which the DNS stopped the walk.
    pub(super) error: Option<(String, DnsError)>,
}

impl Walk {
    pub(super) fn record_at(&self, domain: &str) -> Option<(&String, &Record)> {
        self.found.iter().map(|(name, record)| (name, record)).find(|(name, _)| *name == domain)
    }

    pub(super) fn public_suffix_record(&self) -> Option<(&String, &Record)> {
        self.found
            .iter()
            .map(|(name, record)| (name, record))
            .find(|(_, record)| record.public_suffix == PublicSuffix::Yes)
    }

    // RFC 9989 §4.10.2.
    pub(super) fn organizational_domain(&self) -> String {
        for (name, record) in &self.found {
            match record.public_suffix {
                PublicSuffix::No => return name.clone(),
                PublicSuffix::Yes if *name != self.start => return self.one_below(name),
                PublicSuffix::Yes | PublicSuffix::Unknown => {}
            }
        }
        // The highest name with a record; without any, the domain itself.
        self.found.last().map_or_else(|| self.start.clone(), |(name, _)| name.clone())
    }

    fn one_below(&self, suffix: &str) -> String {
        let labels = suffix.split('.').count() + 1;
        last_labels(&self.start, labels).to_owned()
    }
}

// What one name holds, remembered for the walks that pass it again.
type Remembered = HashMap<String, Result<Option<Record>, DnsError>>;

pub(super) struct Walker<'a, D> {
    dns: &'a D,
    remembered: Remembered,
    /// What was asked since they were last taken.
    pub(super) steps: Vec<Step>,
    /// The first name with a record that is damaged, and the record.
    pub(super) damaged: Option<(String, String)>,
}

impl<'a, D: Dns> Walker<'a, D> {
    pub(super) fn new(dns: &'a D) -> Self {
        Self { dns, remembered: HashMap::new(), steps: Vec::new(), damaged: None }
    }

    pub(super) async fn walk(&mut self, start: &str) -> Walk {
        let mut walk = Walk { start: start.to_owned(), found: Vec::new(), error: None };
        let mut name = start;
        for _ in 0..MAX_QUERIES {
            match self.record_of(name).await {
                Ok(Some(record)) => {
                    let stop = match record.public_suffix {
                        PublicSuffix::No => true,
                        PublicSuffix::Yes => name != start,
                        PublicSuffix::Unknown => false,
                    };
                    walk.found.push((name.to_owned(), record));
                    if stop {
                        break;
                    }
                }
                Ok(None) => {}
                Err(error) => {
                    walk.error = Some((format!("_dmarc.{name}"), error));
                    break;
                }
            }
            let labels = name.split('.').count();
            if labels <= 1 {
                break;
            }
            name = last_labels(name, (labels - 1).min(MAX_QUERIES - 1));
        }
        walk
    }

    /// The one record at a name, asked for once.
    pub(super) async fn record_of(&mut self, name: &str) -> Result<Option<Record>, DnsError> {
        if let Some(known) = self.remembered.get(name) {
            return known.clone();
        }
        if self.remembered.len() >= MAX_NAMES {
            return Err(DnsError::Failure(DnsFault::TooManyNames));
        }
        let asked = format!("_dmarc.{name}");
        let (result, finding) = match self.dns.lookup(&asked, RecordType::Txt).await {
            Ok(answer) => {
                let text = damaged(&answer.records);
                let (record, finding) = select(answer.records);
                let finding = match text.filter(|_| record.is_none()) {
                    Some(text) => {
                        self.damaged.get_or_insert((asked.clone(), text.clone()));
                        Finding::Damaged(text)
                    }
                    None => finding,
                };
                (Ok(record), finding)
            }
            Err(error) if error.is_absence() => (Ok(None), Finding::Absent),
            Err(error) => (Err(error.clone()), Finding::Dns(error)),
        };
        self.steps.push(Step { about: asked, finding });
        self.remembered.insert(name.to_owned(), result.clone());
        result
    }
}

// A text that was meant as a record and is none to receivers.
fn damaged(records: &[dns::Record]) -> Option<String> {
    let texts = records.iter().filter_map(|record| match record {
        dns::Record::Txt(text) => Some(String::from_utf8_lossy(text).into_owned()),
        _ => None,
    });
    let mut texts = texts.filter(|text| mend::is_meant(text));
    let only = texts.next().filter(|text| !mend::mend(text).faults.is_empty())?;
    texts.next().is_none().then_some(only)
}

// Of several DMARC records at one name none counts.
fn select(records: Vec<dns::Record>) -> (Option<Record>, Finding) {
    let mut texts = records
        .into_iter()
        .filter_map(|record| match record {
            dns::Record::Txt(text) => String::from_utf8(text).ok(),
            _ => None,
        })
        .filter(|text| is_dmarc(text));
    match (texts.next(), texts.next()) {
        (None, _) => (None, Finding::NoneBegins),
        (Some(_), Some(_)) => (None, Finding::Several),
        (Some(text), None) => match Record::parse(&text) {
            Some(record) => (Some(record), Finding::Record(text)),
            None => (None, Finding::AsksNothing(text)),
        },
    }
}

fn last_labels(name: &str, count: usize) -> &str {
    let skip = name.split('.').count().saturating_sub(count);
    let mut rest = name;
    for _ in 0..skip {
        rest = rest.split_once('.').map_or(rest, |(_, after)| after);
    }
    rest
}

/// Whether the DNS can be asked about it and its `_dmarc`.
pub(super) fn is_domain(name: &str) -> bool {
    name.is_ascii()
        && name.len() <= 253
        && !name.starts_with('[')
        && name.split('.').all(|label| (1..=63).contains(&label.len()))
}
