//! How many terms of a record's whole tree ask the DNS (RFC 7208 §4.6.4).
//!
//! An evaluation stops at the first term that matches, the limit does not: a record
//! that passes for our address may be a permanent error for the newsletter service
//! that stands behind it. So this count follows every `include` and `redirect`,
//! whatever matches.

use std::future::Future;
use std::net::{IpAddr, Ipv4Addr};
use std::pin::Pin;

use super::macros::{MacroString, Values};
use super::record::{Mechanism, Record, find};
use super::{Reason, SyntaxError};
use crate::dns::{Dns, DnsError};

/// Records that one count reads at most: a tree with more has long broken the limit.
const MAX_RECORDS: u32 = 60;

/// Terms of a tree that ask the DNS.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Count {
    /// How many there are; at most [`super::MAX_LOOKUPS`] are allowed. A tree that is
    /// not read to its end, because of a fault, has at least so many.
    pub lookups: u32,
    /// Each of them, in the order of the record, includes followed where they stand.
    pub terms: Vec<CountedTerm>,
    /// What made a part of the tree unreadable.
    pub faults: Vec<CountFault>,
}

/// A term that asks the DNS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CountedTerm {
    /// How many includes and redirects lead to it.
    pub depth: u32,
    /// The domain whose record it stands in.
    pub domain: String,
    /// The term as it is written.
    pub term: String,
}

/// What is wrong with the record of a domain in the tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CountFault {
    /// The domain whose record it is.
    pub domain: String,
    /// Why what lies below it was not counted.
    pub kind: CountFaultKind,
}

/// Why a part of the tree was not counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CountFaultKind {
    /// It has no SPF record.
    NoRecord,
    /// It has several, none of which counts.
    SeveralRecords,
    /// Its record cannot be read.
    Malformed(SyntaxError),
    /// It includes itself, over others or directly.
    Loop,
    /// Which domain it is depends on the message: there are macros in its name.
    DependsOnMessage,
    /// The tree is too large to be read whole.
    TooLarge,
    /// The DNS did not answer.
    Dns(DnsError),
}

/// Counts the tree of the record that `domain` publishes.
pub async fn count<D: Dns>(dns: &D, domain: &str) -> Count {
    let mut counter = Counter::new(dns);
    counter.visit(domain.trim_end_matches('.').to_ascii_lowercase()).await;
    counter.count
}

/// Counts the tree of a record that `domain` may come to publish.
pub async fn count_text<D: Dns>(dns: &D, domain: &str, text: &str) -> Count {
    let mut counter = Counter::new(dns);
    let domain = domain.trim_end_matches('.').to_ascii_lowercase();
    counter.path.push(domain.clone());
    counter.follow(&domain, text.as_bytes()).await;
    counter.count
}

struct Counter<'a, D> {
    dns: &'a D,
    count: Count,
    path: Vec<String>,
    records: u32,
}

impl<'a, D: Dns> Counter<'a, D> {
    fn new(dns: &'a D) -> Self {
        Self { dns, count: Count::default(), path: Vec::new(), records: 0 }
    }

    // Boxed, since an include leads back here.
    fn visit(&mut self, domain: String) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(async move {
            if self.path.contains(&domain) {
                return self.fault(&domain, CountFaultKind::Loop);
            }
            self.records += 1;
            if self.records > MAX_RECORDS {
                return self.fault(&domain, CountFaultKind::TooLarge);
            }
            match find(self.dns, &domain).await {
                Ok(text) => {
                    self.path.push(domain.clone());
                    self.follow(&domain, &text).await;
                    self.path.pop();
                }
                Err(Reason::Dns(error)) => self.fault(&domain, CountFaultKind::Dns(error)),
                Err(Reason::SeveralRecords) => self.fault(&domain, CountFaultKind::SeveralRecords),
                Err(_) => self.fault(&domain, CountFaultKind::NoRecord),
            }
        })
    }

    async fn follow(&mut self, domain: &str, text: &[u8]) {
        let record = match Record::parse(text) {
            Ok(record) => record,
            Err(problem) => return self.fault(domain, CountFaultKind::Malformed(problem)),
        };
        for directive in &record.directives {
            let target = match &directive.mechanism {
                // What follows is never reached, a redirect included (§5.1, §6.1).
                Mechanism::All => return,
                Mechanism::Ip { .. } => continue,
                Mechanism::Include(target) => Some(target),
                Mechanism::A { .. }
                | Mechanism::Mx { .. }
                | Mechanism::Ptr(_)
                | Mechanism::Exists(_) => None,
            };
            self.term(domain, &directive.written, target).await;
        }
        if let Some(redirect) = &record.redirect {
            self.term(domain, &redirect.written, Some(&redirect.domain)).await;
        }
    }

    async fn term(&mut self, domain: &str, written: &str, target: Option<&MacroString>) {
        self.count.lookups += 1;
        let depth = u32::try_from(self.path.len()).unwrap_or(u32::MAX).saturating_sub(1);
        let (domain, term) = (domain.to_owned(), written.to_owned());
        self.count.terms.push(CountedTerm { depth, domain, term });
        let Some(target) = target else { return };
        match self.name(target) {
            Some(target) => self.visit(target).await,
            None => self.fault(written, CountFaultKind::DependsOnMessage),
        }
    }

    fn name(&self, target: &MacroString) -> Option<String> {
        if !target.depends_on_domains_only() {
            return None;
        }
        let values = Values {
            local_part: "",
            sender_domain: self.path.first()?,
            domain: self.path.last()?,
            ip: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            helo: "",
            receiver: "",
            timestamp: 0,
            validated: "",
        };
        Some(target.expand_domain(&values).to_ascii_lowercase())
    }

    fn fault(&mut self, domain: &str, kind: CountFaultKind) {
        self.count.faults.push(CountFault { domain: domain.to_owned(), kind });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dns::{RecordType, Table, block_on};

    fn table() -> Table {
        let mut table = Table::new();
        table
            .txt("example.com", "v=spf1 ip4:192.0.2.1 a mx include:one.example -all")
            .txt("one.example", "v=spf1 include:two.example include:two.%{d1} ~all")
            .txt("two.example", "v=spf1 a:x.example ptr exists:%{i}.x.example -all a")
            .txt("loop.example", "v=spf1 include:back.example -all")
            .txt("back.example", "v=spf1 redirect=loop.example")
            .txt("macro.example", "v=spf1 include:%{l}.example -all")
            .txt("torn.example", "v=spf1 a include:nowhere.example ip4:1.2.3 -all")
            .txt("gone.example", "v=spf1 a include:nowhere.example mx -all")
            .txt("twice.example", "v=spf1 -all")
            .txt("twice.example", "v=spf1 a -all")
            .fail("dark.example", RecordType::Txt, DnsError::Timeout);
        table
    }

    #[test]
    fn every_term_of_the_whole_tree_counts() {
        let count = block_on(count(&table(), "Example.com.")).unwrap();
        assert_eq!(count.lookups, 11);
        assert_eq!(count.faults, []);
        let shown = |t: &CountedTerm| format!("{} {} {}", t.depth, t.domain, t.term);
        let shown: Vec<_> = count.terms.iter().map(shown).collect();
        assert_eq!(
            shown[..5],
            [
                "0 example.com a",
                "0 example.com mx",
                "0 example.com include:one.example",
                "1 one.example include:two.example",
                "2 two.example a:x.example"
            ]
        );
    }

    #[test]
    fn what_cannot_be_followed_is_said() {
        for (domain, lookups, kind) in [
            ("loop.example", 2, CountFaultKind::Loop),
            ("macro.example", 1, CountFaultKind::DependsOnMessage),
            ("gone.example", 3, CountFaultKind::NoRecord),
            ("twice.example", 0, CountFaultKind::SeveralRecords),
            ("dark.example", 0, CountFaultKind::Dns(DnsError::Timeout)),
        ] {
            let count = block_on(count(&table(), domain)).unwrap();
            assert_eq!(count.lookups, lookups, "{domain}");
            assert_eq!(count.faults.len(), 1, "{domain}");
            assert_eq!(count.faults[0].kind, kind, "{domain}");
        }
        let torn = block_on(count(&table(), "torn.example")).unwrap();
        assert!(matches!(torn.faults[0].kind, CountFaultKind::Malformed(_)));
    }

    #[test]
    fn a_record_is_counted_before_it_is_published() {
        let text = "v=spf1 a include:one.example ~all include:never.example";
        assert_eq!(block_on(count_text(&table(), "example.com", text)).unwrap().lookups, 10);
    }
}
