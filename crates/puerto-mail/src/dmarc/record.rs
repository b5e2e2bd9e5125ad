//! The syntax of a DMARC record (RFC 9989 §4.7).

use std::fmt;

/// What a domain asks of receivers for mail that fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Policy {
    /// Nothing; reports are wished for.
    None,
    /// Treat with suspicion: most receivers put it with the junk.
    Quarantine,
    /// Refuse it, so that its sender hears of it.
    Reject,
}

impl Policy {
    /// The word in a record.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Quarantine => "quarantine",
            Self::Reject => "reject",
        }
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        [Self::None, Self::Quarantine, Self::Reject]
            .into_iter()
            .find(|policy| text.eq_ignore_ascii_case(policy.as_str()))
    }

    /// What remains of it in test mode: one step less (RFC 9989 §4.7, tag `t`).
    #[must_use]
    pub fn relaxed(self) -> Self {
        match self {
            Self::Reject => Self::Quarantine,
            Self::Quarantine | Self::None => Self::None,
        }
    }
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How closely an authenticated domain must agree with that of From.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Mode {
    /// The organizational domains are the same.
    #[default]
    Relaxed,
    /// The domains are the same.
    Strict,
}

/// Whether a domain is one below which others register names (tag `psd`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum PublicSuffix {
    /// It is: others register names below it.
    Yes,
    /// It is not: this is the organizational domain.
    No,
    /// It does not say; the tree walk finds out.
    #[default]
    Unknown,
}

/// What a DMARC record asks for, with the defaults of RFC 9989 filled in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The record as it was found.
    pub text: String,
    /// Tag `p`: for the domain itself.
    pub policy: Policy,
    /// Tag `sp`: for its subdomains.
    pub subdomain_policy: Option<Policy>,
    /// Tag `np`: for subdomains that do not exist.
    pub nonexistent_policy: Option<Policy>,
    /// Tag `psd`: what the tree walk is told about this domain.
    pub public_suffix: PublicSuffix,
    /// Tag `t`: the policy is being tried out.
    pub testing: bool,
    /// Tag `adkim`: how closely `d=` must agree.
    pub dkim_mode: Mode,
    /// Tag `aspf`: how closely the reverse-path must agree.
    pub spf_mode: Mode,
    /// Tag `rua`: where aggregate reports go.
    pub aggregate_reports: Vec<String>,
}

/// Whether a TXT record says that it is a DMARC record: the tag `v` stands first
/// and its value is `DMARC1`, in capitals.
pub(super) fn is_dmarc(text: &str) -> bool {
    let first = text.split(';').next().unwrap_or_default();
    first.split_once('=').is_some_and(|(name, value)| {
        name.trim_end_matches(WSP).eq_ignore_ascii_case("v") && value.trim_matches(WSP) == "DMARC1"
    })
}

impl Record {
    /// Reads a record for which [`is_dmarc`] holds. `None` if it asks for nothing:
    /// a policy is missing or wrong, and there is nobody to report to (§4.7).
    ///
    /// Unknown tags, those that RFC 9989 removed (`pct`, `rf`, `ri`) among them, and
    /// wrong values of optional tags are ignored.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut policy = None;
        let mut wrong_policy = false;
        let mut record = Self {
            text: text.to_owned(),
            policy: Policy::None,
            subdomain_policy: None,
            nonexistent_policy: None,
            public_suffix: PublicSuffix::default(),
            testing: false,
            dkim_mode: Mode::default(),
            spf_mode: Mode::default(),
            aggregate_reports: Vec::new(),
        };
        for (name, value) in text.split(';').skip(1).filter_map(|tag| tag.split_once('=')) {
            let value = value.trim_matches(WSP);
            let parsed = Policy::parse(value);
            match name.trim_matches(WSP).to_ascii_lowercase().as_str() {
                "p" => {
                    policy = parsed;
                    wrong_policy |= parsed.is_none();
                }
                "sp" => {
                    record.subdomain_policy = parsed;
                    wrong_policy |= parsed.is_none();
                }
                "np" => {
                    record.nonexistent_policy = parsed;
                    wrong_policy |= parsed.is_none();
                }
                "psd" => record.public_suffix = parse_public_suffix(value),
                "t" => record.testing = value.eq_ignore_ascii_case("y"),
                "adkim" => record.dkim_mode = parse_mode(value),
                "aspf" => record.spf_mode = parse_mode(value),
                "rua" => record.aggregate_reports = parse_addresses(value),
                _ => {}
            }
        }
        if wrong_policy || policy.is_none() {
            // Without a policy that can be obeyed, reports may still be wanted.
            record.subdomain_policy = None;
            record.nonexistent_policy = None;
            return (!record.aggregate_reports.is_empty()).then_some(record);
        }
        record.policy = policy.unwrap_or(Policy::None);
        Some(record)
    }
}

const WSP: [char; 2] = [' ', '\t'];

fn parse_mode(value: &str) -> Mode {
    if value.eq_ignore_ascii_case("s") { Mode::Strict } else { Mode::Relaxed }
}

fn parse_public_suffix(value: &str) -> PublicSuffix {
    match value {
        "y" | "Y" => PublicSuffix::Yes,
        "n" | "N" => PublicSuffix::No,
        _ => PublicSuffix::Unknown,
    }
}

// The size limit after `!` of RFC 7489 is obsolete and cut off.
fn parse_addresses(value: &str) -> Vec<String> {
    value
        .split(',')
        .map(|uri| uri.trim_matches(WSP))
        .map(|uri| uri.split_once('!').map_or(uri, |(before, _)| before))
        .filter(|uri| uri.get(..7).is_some_and(|scheme| scheme.eq_ignore_ascii_case("mailto:")))
        .map(str::to_owned)
        .collect()
}
