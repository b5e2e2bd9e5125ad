//! What the large receivers would make of our mail: which of the checks each of them
//! enforces, by its own published rules.
//!
//! The rules for bulk senders are applied to everybody. They cost nothing, and the
//! small servers score the same things.

use super::outcome::{Check, Status};
use crate::finding::Severity;

/// Whether a receiver would take our mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing that it demands is missing.
    Accept,
    /// Something that it demands is missing.
    Refuse,
    /// Something that it demands could not be seen.
    Unknown,
    /// Our mail does not get as far as to it.
    Unreached,
}

impl Verdict {
    /// As JSON has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Accept => "accept",
            Self::Refuse => "refuse",
            Self::Unknown => "unknown",
            Self::Unreached => "unreached",
        }
    }
}

/// A receiver and what it demands.
#[derive(Debug)]
pub struct Receiver {
    /// As JSON has it.
    pub key: &'static str,
    /// As people know it.
    pub name: &'static str,
    /// Groups or ids of the checks that it enforces.
    demands: &'static [&'static [&'static str]],
    /// Where it says so, and when that was read.
    pub source: &'static str,
}

/// What a receiver would do, and the checks because of which.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judgement {
    /// What it would do with our mail as things are.
    pub verdict: Verdict,
    /// The ids of the checks that decided it, each once.
    pub because: Vec<&'static str>,
}

/// That our mail gets there, from an address with a name that leads back.
const REACHED: &[&str] = &["net.port25-out", "ptr.exists", "ptr.v6", "ptr.fcrdns"];

/// That it proves to come from its domain, whose policy can be read.
const PROVED: &[&str] = &[
    "spf",
    "dkim",
    "dmarc.exists",
    "dmarc.single",
    "dmarc.syntax",
    "dmarc.location",
    "dmarc.alignment",
];

/// The receivers that are judged.
pub const RECEIVERS: &[Receiver] = &[
    Receiver {
        key: "gmail",
        name: "Gmail",
        demands: &[REACHED, PROVED],
        source: "Google: Email sender guidelines, 21 March 2026",
    },
    Receiver {
        key: "microsoft",
        name: "Microsoft",
        demands: &[REACHED, PROVED, &["ptr.generic", "bl.spamhaus-zen"]],
        source: "Outlook.com: Policies, practices and guidelines, June 2026",
    },
    Receiver {
        key: "yahoo",
        name: "Yahoo",
        demands: &[REACHED, PROVED, &["dns.sender-resolves", "bl.spamhaus-zen"]],
        source: "Yahoo Sender Hub: Sender best practices, April 2025",
    },
    Receiver {
        key: "apple",
        name: "Apple",
        demands: &[REACHED, PROVED, &["bl.spamhaus-zen"]],
        source: "Apple Support: Postmaster information for iCloud Mail, 25 February 2025",
    },
    Receiver {
        key: "gmx",
        name: "GMX / WEB.DE",
        demands: &[
            REACHED,
            &[
                "helo.fqdn",
                "helo.resolves",
                "ptr.generic",
                "dkim",
                "dns.sender-resolves",
                "bl.spamhaus-zen",
            ],
        ],
        source: "postmaster.gmx.net: requirements for sending servers, May 2026",
    },
    Receiver {
        key: "t-online",
        name: "Telekom (t-online.de)",
        demands: &[REACHED, &["ptr.generic", "dns.sender-resolves"]],
        source: "postmaster.t-online.de: rules for sending servers",
    },
];

impl Receiver {
    /// What this receiver would do.
    pub fn judge(&self, checks: &[Check]) -> Judgement {
        let demanded = || checks.iter().filter(|check| self.demands_check(check));
        let ids = |wanted: &dyn Fn(&&Check) -> bool| {
            let mut ids: Vec<_> = demanded().filter(wanted).map(Check::id).collect();
            ids.dedup();
            ids
        };
        let failing =
            ids(&|check| check.status == Status::Finding && check.severity == Severity::Error);
        // No receiver refuses what it never sees.
        let (here, theirs): (Vec<_>, Vec<_>) =
            failing.into_iter().partition(|id| *id == "net.port25-out");
        if !here.is_empty() && theirs.is_empty() {
            return Judgement { verdict: Verdict::Unreached, because: here };
        }
        let failing = theirs;
        if !failing.is_empty() {
            return Judgement { verdict: Verdict::Refuse, because: failing };
        }
        // Blocklists and ports often keep silent without anything being wrong.
        let silent = ids(&|check| {
            check.status == Status::Unknown
                && check.definition.severity == Severity::Error
                && !["net", "bl", "tls"].contains(&check.definition.group())
        });
        if !silent.is_empty() || demanded().all(|check| check.status != Status::Pass) {
            return Judgement { verdict: Verdict::Unknown, because: silent };
        }
        Judgement { verdict: Verdict::Accept, because: Vec::new() }
    }

    fn demands_check(&self, check: &Check) -> bool {
        let (id, group) = (check.id(), check.definition.group());
        check.is_decisive
            || self.demands.concat().iter().any(|demand| *demand == id || *demand == group)
    }
}
