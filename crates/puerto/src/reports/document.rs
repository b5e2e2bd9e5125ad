//! A report as JSON (RFC 8460 §4.4), and as it is sent: in gzip's form (RFC 1952).

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::transport::results::{Fault, Kind, Tally};

/// The media type of [`Document::zipped`].
pub(super) const GZIP: &str = "application/tlsrpt+gzip";
/// Octets of one block that is stored (RFC 1951 §3.2.4).
const BLOCK: usize = 0xffff;
const DAY: i64 = 24 * 3600;

/// A report about a domain and a day.
pub(super) struct Document {
    /// Days since the epoch.
    pub(super) day: i64,
    /// The policy domain.
    pub(super) domain: String,
    /// Who reports.
    pub(super) submitter: String,
    /// Which report it is.
    pub(super) id: String,
    json: String,
}

impl Document {
    /// Writes what was counted on a day of a domain. Nodes that share a queue count each for
    /// itself, and so the host is in the report's name.
    pub(super) fn new(
        tallies: &[Tally],
        (day, domain): (i64, &str),
        (submitter, host): (&str, &str),
    ) -> Self {
        let id = format!("{}.{domain}@{host}", date(day));
        let policies: Vec<Value> = tallies.iter().map(policy).collect();
        let report = json!({
            "organization-name": submitter,
            "date-range": {
                "start-datetime": format!("{}T00:00:00Z", date(day)),
                "end-datetime": format!("{}T23:59:59Z", date(day)),
            },
            "contact-info": format!("postmaster@{submitter}"),
            "report-id": id,
            "policies": policies,
        });
        let (domain, submitter) = (domain.to_owned(), submitter.to_owned());
        Self { day, domain, submitter, id, json: report.to_string() }
    }

    /// The report.
    #[cfg(test)]
    pub(super) fn json(&self) -> &str {
        &self.json
    }

    /// RFC 8460 §5.1: the file's name.
    pub(super) fn file_name(&self) -> String {
        let (begin, end) = (self.day * DAY, (self.day + 1) * DAY - 1);
        format!("{}!{}!{begin}!{end}.json.gz", self.submitter, self.domain)
    }

    /// The report in gzip's form. It is stored, not compressed: a report is short, and no
    /// library is needed for that.
    pub(super) fn zipped(&self) -> Vec<u8> {
        let octets = self.json.as_bytes();
        // No name, no time, an unknown system.
        let mut out = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];
        let blocks = octets.chunks(BLOCK);
        let last = blocks.len().saturating_sub(1);
        for (number, block) in blocks.enumerate() {
            let length = u16::try_from(block.len()).unwrap_or(u16::MAX);
            out.push(u8::from(number == last));
            out.extend(length.to_le_bytes());
            out.extend((!length).to_le_bytes());
            out.extend(block);
        }
        out.extend(crc32fast::hash(octets).to_le_bytes());
        let length = u32::try_from(octets.len()).unwrap_or(u32::MAX);
        out.extend(length.to_le_bytes());
        out
    }
}

fn date(day: i64) -> String {
    let moment = jiff::Timestamp::from_second(day * DAY).unwrap_or_default();
    moment.to_zoned(jiff::tz::TimeZone::UTC).date().to_string()
}

fn policy(tally: &Tally) -> Value {
    let mut policy = json!({ "policy-type": tally.kind, "policy-domain": tally.domain });
    if let Some(members) = policy.as_object_mut() {
        if !tally.policy.is_empty() {
            members.insert("policy-string".to_owned(), json!(tally.policy));
        }
        if tally.kind == Kind::Sts && !tally.hosts.is_empty() {
            members.insert("mx-host".to_owned(), json!(tally.hosts));
        }
    }
    let details: Vec<Value> = tally.faults.iter().map(detail).collect();
    let mut value = json!({
        "policy": policy,
        "summary": {
            "total-successful-session-count": tally.good,
            "total-failure-session-count": tally.bad,
        },
    });
    if let Some(members) = value.as_object_mut().filter(|_| !details.is_empty()) {
        members.insert("failure-details".to_owned(), details.into());
    }
    value
}

fn detail(fault: &Fault) -> Value {
    // What is not known is left out.
    let members = [
        ("result-type", Some(json!(fault.kind))),
        ("sending-mta-ip", fault.from.map(|ip| json!(ip))),
        ("receiving-mx-hostname", fault.host.as_ref().map(|host| json!(host))),
        ("receiving-ip", fault.to.map(|ip| json!(ip))),
        ("failed-session-count", Some(json!(fault.count))),
        ("failure-reason-code", Some(json!(fault.reason))),
    ];
    let known = members.into_iter().filter_map(|(name, value)| Some((name, value?)));
    json!(known.collect::<BTreeMap<_, _>>())
}
