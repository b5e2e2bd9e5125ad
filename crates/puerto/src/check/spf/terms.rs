//! The terms of an SPF record as text: what an administrator wrote, judged and edited
//! without evaluating it.

use puerto_mail::spf::count::{Count, CountFaultKind};

use crate::lang::{Said, said};

/// A record's terms.
#[derive(Debug, Clone)]
pub(super) struct Terms {
    text: String,
    terms: Vec<String>,
}

impl Terms {
    pub(super) fn read(record: &str) -> Self {
        let terms = record.split_whitespace().skip(1).map(str::to_ascii_lowercase).collect();
        Self { text: record.to_owned(), terms }
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// The term `all` with its qualifier.
    pub(super) fn all(&self) -> Option<&str> {
        self.terms.iter().find(|term| is_all(term)).map(String::as_str)
    }

    pub(super) fn has_redirect(&self) -> bool {
        self.terms.iter().any(|term| term.starts_with("redirect="))
    }

    pub(super) fn has_no_end(&self) -> bool {
        match self.all() {
            None => !self.has_redirect(),
            Some(all) => all == "?all",
        }
    }

    pub(super) fn goes_on_after_all(&self) -> bool {
        let after = self.terms.iter().skip_while(|term| !is_all(term)).skip(1);
        // Modifiers may stand anywhere (RFC 7208 §4.6.1).
        after.into_iter().any(|term| !term.contains('='))
    }

    pub(super) fn has_ptr(&self) -> bool {
        self.terms.iter().any(|term| {
            let bare = term.trim_start_matches(['+', '-', '~', '?']);
            bare == "ptr" || bare.starts_with("ptr:")
        })
    }

    /// Whether it leaves a part of the answer to another domain's owner.
    pub(super) fn delegates(&self) -> bool {
        self.has_redirect() || self.terms.iter().any(|term| term.contains("include:"))
    }

    /// Whether anyone may send.
    pub(super) fn is_open(&self) -> bool {
        let halves = self.passing().filter(|term| prefix(term) == Some(1)).count();
        self.terms.iter().any(|term| is_everything(term) || matches!(term.as_str(), "all" | "+all"))
            || halves > 1
    }

    /// How many IPv4 addresses its own ip4 terms hold together.
    pub(super) fn own_addresses(&self) -> u64 {
        let networks = self.passing().filter_map(|term| prefix(term));
        networks.map(|length| 1_u64 << 32_u32.saturating_sub(length).min(32)).sum()
    }

    /// The names that `mx` terms ask about; those with macros are left out.
    pub(super) fn mx_targets(&self, domain: &str) -> Vec<String> {
        let bare = self.terms.iter().map(|term| term.trim_start_matches(['+', '-', '~', '?']));
        bare.filter_map(|term| {
            let (term, _) = term.split_once('/').unwrap_or((term, ""));
            match term.strip_prefix("mx")? {
                "" => Some(domain.to_owned()),
                rest => {
                    rest.strip_prefix(':').filter(|name| !name.contains('%')).map(str::to_owned)
                }
            }
        })
        .collect()
    }

    fn passing(&self) -> impl Iterator<Item = &String> {
        self.terms.iter().filter(|term| !term.starts_with(['-', '~', '?']))
    }
}

fn is_all(term: &str) -> bool {
    let bare = term.trim_start_matches(['+', '-', '~', '?']);
    bare.eq_ignore_ascii_case("all")
}

fn is_everything(term: &str) -> bool {
    let bare = term.strip_prefix('+').unwrap_or(term);
    (bare.starts_with("ip4:") || bare.starts_with("ip6:")) && bare.ends_with("/0")
}

fn prefix(term: &str) -> Option<u32> {
    let network = term.strip_prefix('+').unwrap_or(term).strip_prefix("ip4:")?;
    match network.split_once('/') {
        Some((_, length)) => length.parse().ok(),
        None => Some(32),
    }
}

/// The domain whose record in the tree cannot be read, and why.
pub(super) fn malformed(count: &Count) -> Option<(&str, Said)> {
    count.faults.iter().find_map(|fault| match &fault.kind {
        CountFaultKind::Malformed(problem) => Some((fault.domain.as_str(), problem.into())),
        CountFaultKind::SeveralRecords => {
            Some((fault.domain.as_str(), said!("several SPF records", "varios registros SPF")))
        }
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn open_records_are_told_from_closed_ones() {
        for (record, open) in [
            ("v=spf1 +all", true),
            ("v=spf1 mx all", true),
            ("v=spf1 ip4:0.0.0.0/0 -all", true),
            ("v=spf1 ip4:0.0.0.0/1 ip4:128.0.0.0/1 -all", true),
            ("v=spf1 ip6:::/0 -all", true),
            ("v=spf1 -ip4:0.0.0.0/0 -all", false),
            ("v=spf1 mx ?all", false),
        ] {
            assert_eq!(Terms::read(record).is_open(), open, "{record}");
        }
    }
}
