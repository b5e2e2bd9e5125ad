//! When the certificate ends. Whether it can be used at all is told with the configuration.

use std::path::Path;

use super::{Section, word};
use crate::acme::Report;
use crate::config::Config;
use crate::finding::{Finding, kinds};
use crate::lang::{Said, Text, said};
use crate::rights::Identity;
use crate::tls::OwnCertificate;

kinds! {
    EXPIRED = "certificate.expired" Error:
        "{file} expired {day}: whoever verifies it sends nothing here, and mail programs complain",
        "{file} caducó el {day}: quien lo verifica no envía nada aquí, y los programas de correo \
         protestan",
        "renew it the way it was got, then: systemctl reload puerto",
        "renuévelo por donde lo obtuvo y después: systemctl reload puerto";
    ENDS = "certificate.ends" Warning:
        "{file} expires {day}, in {days} days: its renewal is late",
        "{file} caduca el {day}, dentro de {days} días: su renovación va con retraso",
        "renew it the way it was got, then: systemctl reload puerto",
        "renuévelo por donde lo obtuvo y después: systemctl reload puerto";
}

kinds! {
    LACKING = "certificate.lacking" Error:
        "there is no certificate that holds for {names}: TLS is not offered, or nobody takes it",
        "no hay certificado válido para {names}: no se ofrece TLS, o nadie lo acepta",
        "{puerto} certificate, which says why, and what to do",
        "{puerto} certificate, que dice por qué y qué hacer";
    UNRENEWED = "certificate.unrenewed" Warning:
        "the certificate could not be renewed; it ends {day}",
        "no se ha podido renovar el certificado; caduca el {day}",
        "{puerto} certificate, which says why, and what to do",
        "{puerto} certificate, que dice por qué y qué hacer";
}

/// What certbot renews lies there, and only links to it elsewhere.
const OF_CERTBOT: &str = "/etc/letsencrypt";
const DAY: i64 = 86_400;
/// Those of authorities that renew by themselves are renewed before.
const LATE: i64 = 14;

pub(super) fn look(config: &Config, now: i64) -> Section {
    let mut section = Section::new("certificate", Text::new("certificate", "certificado"));
    if config.acme.is_on() {
        got_by_ourselves(&mut section, config, now);
        return section;
    }
    let Some(files) = &config.tls else {
        section.seen = said!("none is configured", "no hay ninguno configurado");
        return section;
    };
    let own = OwnCertificate::load(files).ok();
    let Some(end) = own.and_then(|own| own.not_after()) else { return section };
    let days = (end - now).div_euclid(DAY);
    let day = day_of(end);
    let found = match days {
        ..0 => Some(EXPIRED),
        0..LATE => Some(ENDS),
        _ => None,
    };
    section.findings.extend(found.map(|kind| {
        let finding =
            kind.put("file", word(files.certificate.display())).put("day", &day).put("days", days);
        match is_of_certbot(&files.certificate) {
            true => {
                let command = Said::words("certbot renew && systemctl reload puerto");
                Finding { remedy: command, ..finding }
            }
            false => finding,
        }
    }));
    section.seen = said!("until {day}", "hasta el {day}"; day = day);
    section
}

// By ACME. One whose renewal failed once has time; then the log has told it.
fn got_by_ourselves(section: &mut Section, config: &Config, now: i64) {
    let service = Identity::of_service(&config.user).ok().flatten();
    let report = Report::of(config, service.as_ref());
    let end = report.held.as_ref().map(|held| held.holds.1);
    let day = end.map_or_else(String::new, day_of);
    let names = config.acme.names.join(", ");
    if report.unread.is_some() {
        section.seen = report.unread.unwrap_or_default();
    } else if end.is_none_or(|end| end <= now) || !report.lacks.is_empty() {
        section.findings.push(LACKING.put("names", names));
    } else if report.standing.trouble.is_some() {
        section.findings.push(UNRENEWED.put("day", &day));
    }
    if section.seen.is_empty() && end.is_some() {
        section.seen = said!("until {day}", "hasta el {day}"; day = day);
    }
}

fn is_of_certbot(file: &Path) -> bool {
    let end = file.canonicalize().unwrap_or_else(|_| file.to_owned());
    [file, &end].iter().any(|path| path.starts_with(OF_CERTBOT))
}

fn day_of(end: i64) -> String {
    jiff::Timestamp::from_second(end)
        .map_or_else(|_| end.to_string(), |end| end.strftime("%Y-%m-%d").to_string())
}
