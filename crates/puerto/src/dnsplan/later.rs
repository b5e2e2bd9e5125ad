//! What makes mail to the domain safer once it works: prepared, and off.

use puerto_mail::dns::RecordType;

use super::existing::Existing;
use super::{Draft, Plan, Said, State, Subject, words};

/// TLS reports and MTA-STS, where this server takes the domain's mail.
pub(super) fn encryption(plan: &mut Plan, subject: &Subject, existing: &Existing) {
    if !plan.mailboxes.iter().any(|mailbox| mailbox.here) {
        return;
    }
    let domain = &subject.domain;
    let mut later = |name: String, value: String, why: Said| {
        let (kind, state, old) = (RecordType::Txt, State::New, None);
        let draft = Draft { name, kind, value, state, old, why };
        plan.later.push(draft.in_zone(&existing.zones, domain));
    };
    if existing.tls_reports.is_empty() {
        let value = format!("v=TLSRPTv1; rua=mailto:postmaster@{domain}");
        later(format!("_smtp._tls.{domain}"), value, words::TLS_REPORTS.into());
    }
    if existing.mta_sts.is_empty() {
        let mut hosts: Vec<&str> =
            existing.exchangers.iter().map(|(_, host)| host.as_str()).collect();
        if hosts.is_empty() {
            hosts.push(&subject.exchanger);
        }
        let hosts: Vec<String> = hosts.iter().map(|host| format!("mx: {host}")).collect();
        let file =
            format!("version: STSv1 / mode: testing / {} / max_age: 604800", hosts.join(" / "));
        let why = Said::plain(words::MTA_STS).put("domain", domain).put("file", file);
        later(format!("_mta-sts.{domain}"), "v=STSv1; id=1".to_owned(), why);
    }
}
