//! When the certificate ends. Whether it can be used at all is told with the configuration.

use super::{Section, word};
use crate::config::Config;
use crate::finding::kinds;
use crate::lang::{Text, said};
use crate::tls::OwnCertificate;

kinds! {
    EXPIRED = "certificate.expired" Error:
        "{file} expired {day}: whoever verifies it sends nothing here, and mail programs complain",
        "{file} caducó el {day}: quien lo verifica no envía nada aquí, y los programas de correo \
         protestan",
        "certbot renew && systemctl reload puerto", "certbot renew && systemctl reload puerto";
    ENDS = "certificate.ends" Warning:
        "{file} expires {day}, in {days} days: its renewal is late",
        "{file} caduca el {day}, dentro de {days} días: su renovación va con retraso",
        "certbot renew && systemctl reload puerto", "certbot renew && systemctl reload puerto";
}

const DAY: i64 = 86_400;
/// Those of authorities that renew by themselves are renewed before.
const LATE: i64 = 14;

pub(super) fn look(config: &Config, now: i64) -> Section {
    let mut section = Section::new("certificate", Text::new("certificate", "certificado"));
    let Some(files) = &config.tls else {
        section.seen = said!("none is configured", "no hay ninguno configurado");
        return section;
    };
    let own = OwnCertificate::load(files).ok();
    let Some(end) = own.and_then(|own| own.not_after()) else { return section };
    let days = (end - now).div_euclid(DAY);
    let day = jiff::Timestamp::from_second(end)
        .map_or_else(|_| end.to_string(), |end| end.strftime("%Y-%m-%d").to_string());
    let found = match days {
        ..0 => Some(EXPIRED),
        0..LATE => Some(ENDS),
        _ => None,
    };
    section.findings.extend(found.map(|kind| {
        kind.put("file", word(files.certificate.display())).put("day", &day).put("days", days)
    }));
    section.seen = said!("until {day}", "hasta el {day}"; day = day);
    section
}
