//! What makes mail to the domain safer once it works: prepared, and off.

use super::{Draft, Planned, Said, words};

/// TLS reports and MTA-STS, where this server takes the domain's mail.
pub(super) fn encryption(draft: &mut Draft<'_>) {
    let (subject, existing) = (draft.subject, draft.existing);
    if !draft.plan.mailboxes.iter().any(|mailbox| mailbox.here) {
        return;
    }
    let domain = &subject.domain;
    if !existing.has_tls_reports {
        let value = format!("v=TLSRPTv1; rua=mailto:postmaster@{domain}");
        let name = format!("_smtp._tls.{domain}");
        draft.prepare(Planned::text(&name, &value, words::TLS_REPORTS));
    }
    if !existing.has_mta_sts {
        // A null MX, which is to go, names no host.
        let hosts = existing.exchangers.iter().map(|(_, host)| host.as_str());
        let mut hosts: Vec<&str> = hosts.filter(|host| !host.is_empty()).collect();
        if hosts.is_empty() {
            hosts.push(&subject.exchanger);
        }
        let hosts: Vec<String> = hosts.iter().map(|host| format!("mx: {host}")).collect();
        let file =
            format!("version: STSv1 / mode: testing / {} / max_age: 604800", hosts.join(" / "));
        let why = Said::plain(words::MTA_STS).put("domain", domain).put("file", file);
        draft.prepare(Planned::text(&format!("_mta-sts.{domain}"), "v=STSv1; id=1", why));
    }
}
