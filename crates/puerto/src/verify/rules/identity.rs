//! Who a message says it is from, and whether SPF, DKIM and DMARC bear it out.

use puerto_mail::dkim::DkimResult;
use puerto_mail::dmarc::mend::mend;
use puerto_mail::dmarc::{Alignment, DmarcResult};
use puerto_mail::dns::{Dns, DnsError, RecordType};
use puerto_mail::header::Header;
use puerto_mail::spf::SpfResult;

use super::Subject;
use super::catalog::{
    DKIM_VERIFY, DMARC, ENVELOPE_MATCH, FROM_FREEMAIL, FROM_SINGLE, NO_LENGTH, ORG_DOMAIN, SPF,
};
use super::form::id_right;
use crate::finding::{Finding, Severity};
use crate::lang::{Said, address_list_error, said, said_of, shown};
use puerto_mail::idn::name_in_ascii;

/// Domains at which anybody may have an address, and whose owners ask receivers to
/// refuse what others send in their name.
const FREEMAIL: &str = "\
    gmail.com googlemail.com ymail.com rocketmail.com aol.com aim.com msn.com icloud.com \
    me.com mac.com web.de t-online.de freenet.de mail.ru bk.ru inbox.ru list.ru proton.me \
    protonmail.com pm.me zoho.com qq.com 163.com 126.com orange.fr wanadoo.fr laposte.net \
    libero.it";
/// The same under the domains of many countries.
const FREEMAIL_FAMILIES: [&str; 6] = ["yahoo", "outlook", "hotmail", "live", "gmx", "yandex"];

impl Subject<'_> {
    pub(super) async fn author<D: Dns>(
        &self,
        header: &Header<'_>,
        dns: &D,
        findings: &mut Vec<Finding>,
    ) {
        let mut say = |seen, remedy| {
            findings.push(Finding { remedy, ..FROM_SINGLE.broken(seen) });
        };
        let write_plainly = || {
            said!("write From as Name <user@domain>", "escriba From como Nombre <usuario@dominio>")
        };
        let count = header.count("From");
        if count == 0 {
            return say(
                said!("there is no From", "falta From"),
                said!(
                    "let the program write a From field with an address of yours",
                    "haga que el programa escriba un campo From con una dirección suya"
                ),
            );
        }
        if count > 1 {
            say(
                said!("{count} fields From", "{count} campos From"; count = count),
                said!(
                    "leave one From field: that of the program which wrote the message",
                    "deje un solo campo From: el del programa que escribió el mensaje"
                ),
            );
        }
        let forms: Vec<Form> =
            header.named("From").map(|field| form_of(&field.unfolded())).collect();
        let is_open = forms.iter().any(|form| form.is_open);
        let has_bare_at = forms.iter().any(|form| form.has_bare_at);
        if is_open {
            let seen = said!(
                "From begins a group with a colon and does not end it with a semicolon",
                "From empieza un grupo con dos puntos y no lo termina con punto y coma"
            );
            say(seen, write_plainly());
        } else if has_bare_at {
            say(
                said!(
                    "From has an @ in the name before the address, outside of quotation marks",
                    "From tiene una @ en el nombre que precede a la dirección, sin comillas"
                ),
                said!(
                    "put the name in quotation marks: \"name@here\" <user@domain>",
                    "ponga el nombre entre comillas: \"nombre@aquí\" <usuario@dominio>"
                ),
            );
        }
        match &self.authors {
            Err(_) if is_open || has_bare_at => return,
            Err(error) => {
                let seen = said_of!(
                    "From is not an address: {problem}", "From no es una dirección: {problem}";
                    problem = address_list_error(error)
                );
                return say(seen, write_plainly());
            }
            Ok(authors) if authors.len() != 1 && count == 1 => {
                let seen = said!(
                    "From has {count} addresses", "From tiene {count} direcciones";
                    count = authors.len()
                );
                say(seen, FROM_SINGLE.remedy.into());
            }
            Ok(_) => {}
        }
        let Some(domain) = self.author_domain() else { return };
        if matches!(dns.lookup(&domain, RecordType::Mx).await, Err(DnsError::NoSuchDomain)) {
            say(
                said!(
                    "the domain {domain} does not exist", "el dominio {domain} no existe";
                    domain = domain
                ),
                said!(
                    "correct the domain in From, or register it: nobody can answer, and receivers refuse it",
                    "corrija el dominio de From, o regístrelo: nadie puede responder, y los receptores lo rechazan"
                ),
            );
        }
    }

    pub(super) fn freemail(&self, findings: &mut Vec<Finding>) {
        let Some(domain) = self.author_domain() else { return };
        let family = domain.split('.').next().unwrap_or_default();
        let is_free = FREEMAIL.split(' ').any(|free| free == domain)
            || FREEMAIL_FAMILIES.contains(&family) && domain.split('.').count() <= 3;
        if is_free && !self.dmarc_passes_or_may() {
            findings.push(FROM_FREEMAIL.broken(said!(
                "From is at {domain}, and its owner does not vouch for this message",
                "From es de {domain}, cuyo dueño no responde de este mensaje";
                domain = domain
            )));
        }
    }

    pub(super) fn sender_policy(&self, findings: &mut Vec<Finding>) {
        let Some(evaluation) = self.report.spf.evaluation() else { return };
        if matches!(evaluation.result, SpfResult::Pass | SpfResult::TempError) {
            return;
        }
        let refuses = matches!(evaluation.result, SpfResult::Fail | SpfResult::PermError);
        // A message that was forwarded is borne out by its signature, or would perhaps
        // be if its key could be fetched.
        let is_serious = self.bulk || refuses && !self.dmarc_passes_or_may();
        let seen = said!(
            "SPF of {domain} for {ip}: {result}", "SPF de {domain} para {ip}: {result}";
            domain = evaluation.domain,
            ip = self.question.ip.map(|ip| ip.to_string()).unwrap_or_default(),
            result = evaluation.result
        );
        findings.push(SPF.broken_at(serious_or_not(is_serious), seen));
    }

    pub(super) fn signatures(&self, findings: &mut Vec<Finding>) {
        let signatures = &self.report.dkim;
        let open = signatures.iter().any(|signature| signature.result == DkimResult::TempError);
        if open || self.aligned_signatures().next().is_some() {
            return;
        }
        let passing = signatures.iter().find(|signature| signature.result == DkimResult::Pass);
        let seen = match (passing, signatures.first()) {
            (Some(passing), _) => said!(
                "the signature that passes is of {domain}, not of the domain of From",
                "la firma válida es de {domain}, no del dominio de From";
                domain = passing.domain
            ),
            (None, Some(failed)) => said_of!(
                "the signature of {domain} with the selector {selector}: {result} ({reason})",
                "la firma de {domain} con el selector {selector}: {result} ({reason})";
                domain = Said::words(shown(&failed.domain)),
                selector = Said::words(shown(&failed.selector)),
                result = Said::words(failed.result.name()),
                reason = failed.reason().map(Said::from).unwrap_or_default()
            ),
            (None, None) => said!("there is no signature", "no hay ninguna firma"),
        };
        // Google asks all senders for SPF or DKIM, and those to many for both.
        let is_serious = self.bulk || !self.dmarc_passes_or_may();
        findings.push(DKIM_VERIFY.broken_at(serious_or_not(is_serious), seen));
    }

    pub(super) fn signed_length(&self, findings: &mut Vec<Finding>) {
        for signature in self.report.dkim.iter().filter(|signed| signed.octets_not_signed > 0) {
            findings.push(NO_LENGTH.broken(said!(
                "the signature of {domain} stops {octets} octets before the end of the body (l=): anybody could have added them",
                "la firma de {domain} acaba {octets} octetos antes del final del cuerpo (l=): cualquiera pudo añadirlos";
                domain = signature.domain, octets = signature.octets_not_signed
            )));
        }
    }

    pub(super) fn alignment(&self, findings: &mut Vec<Finding>) {
        let Some(evaluation) = &self.report.dmarc else { return };
        let published = || {
            let (whose, record) =
                evaluation.policy_domain.as_ref().zip(evaluation.record.as_ref())?;
            let is_damaged = !mend(&record.text).faults.is_empty();
            is_damaged.then(|| (format!("_dmarc.{whose}"), record.text.clone()))
        };
        if let Some((name, record)) = evaluation.damaged.clone().or_else(published) {
            let seen = said!(
                "the DMARC record at {name} is damaged, so that receivers do not read it as it was meant: {record}",
                "el registro DMARC de {name} está dañado, y los receptores no lo leen como se quería: {record}";
                name = name, record = record
            );
            let remedy = said!(
                "`puerto dns` shows the record mended",
                "`puerto dns` muestra el registro reparado"
            );
            findings.push(Finding { remedy, ..DMARC.broken_at(Severity::Warning, seen) });
        }
        let domain = &evaluation.from_domain;
        match evaluation.result {
            _ if self.report.wants_spf() => {
                let seen = said!(
                    "no signature proves {domain}, and SPF was not checked, so that whether DMARC passes cannot be told: say with --ip, --helo and --from how the message came",
                    "ninguna firma prueba {domain} y no se ha comprobado SPF, así que no se puede saber si pasa DMARC: indique con --ip, --helo y --from cómo llegó el mensaje";
                    domain = domain
                );
                findings.push(DMARC.broken_at(Severity::Info, seen));
            }
            DmarcResult::Fail => findings.push(DMARC.broken(said!(
                "neither SPF nor DKIM passes for {domain}, which asks for {policy}",
                "ni SPF ni DKIM autorizan {domain}, que pide {policy}";
                domain = domain, policy = evaluation.policy.as_str()
            ))),
            DmarcResult::None if self.bulk && evaluation.damaged.is_none() => {
                findings.push(DMARC.broken(said!(
                    "{domain} publishes no DMARC record",
                    "{domain} no publica ningún registro DMARC"; domain = domain
                )));
            }
            _ => {}
        }
    }

    pub(super) fn organization(&self, findings: &mut Vec<Finding>) {
        let Some(evaluation) = self.report.dmarc.as_ref().filter(|dmarc| dmarc.ways_differ())
        else {
            return;
        };
        let by_list = &evaluation.by_list;
        let walk = evaluation.organizational_domain.as_deref().unwrap_or_default();
        let (from, list) = (&evaluation.from_domain, &by_list.organizational_domain);
        let (new, old) = (evaluation.result.as_str(), by_list.result.as_str());
        findings.push(ORG_DOMAIN.broken(match walk == list {
            true => said!(
                "DMARC of {from} comes to {new} by the tree walk and to {old} by the list of public suffixes",
                "DMARC de {from} da {new} según el árbol del DNS y {old} según la lista de sufijos públicos";
                from = from, new = new, old = old
            ),
            false => said!(
                "the organizational domain of {from} is {walk} by the tree walk and {list} by the list of public suffixes; DMARC comes to {new} by the first and to {old} by the second",
                "el dominio organizativo de {from} es {walk} según el árbol del DNS y {list} según la lista de sufijos públicos; DMARC da {new} según el primero y {old} según la segunda";
                from = from, walk = walk, list = list, new = new, old = old
            ),
        }));
    }

    pub(super) fn envelope(&self, header: &Header<'_>, findings: &mut Vec<Finding>) {
        let Some(from) = self.author_domain() else { return };
        let path = self.report.reverse_path.as_deref().unwrap_or_default();
        let path = path.rsplit_once('@').map(|(_, domain)| name_in_ascii(domain));
        let aligned = self
            .report
            .dmarc
            .as_ref()
            .and_then(|evaluation| evaluation.spf.as_ref())
            .is_some_and(|(_, alignment)| *alignment == Alignment::Aligned);
        if let Some(domain) = path.filter(|domain| !aligned && !self.is_of_author(domain)) {
            findings.push(ENVELOPE_MATCH.broken(said!(
                "MAIL FROM is of {domain}, From of {from}",
                "MAIL FROM es de {domain}, From de {from}"; domain = domain, from = from
            )));
        }
        let id = header.first("Message-ID").map(|field| field.text()).unwrap_or_default();
        let right = id_right(&id).map(name_in_ascii).filter(|right| right.contains('.'));
        if let Some(domain) = right.filter(|domain| !self.is_of_author(domain)) {
            let seen = said!(
                "Message-ID is of {domain}, From of {from}",
                "Message-ID es de {domain}, From de {from}"; domain = domain, from = from
            );
            findings.push(ENVELOPE_MATCH.broken_at(Severity::Info, seen));
        }
    }

    // Whoever may be borne out by an answer that the DNS did not give is not blamed.
    fn dmarc_passes_or_may(&self) -> bool {
        matches!(self.report.dmarc_result(), DmarcResult::Pass | DmarcResult::TempError)
    }
}

fn serious_or_not(is_serious: bool) -> Severity {
    if is_serious { Severity::Error } else { Severity::Warning }
}

/// What is wrong with a list of addresses that readers may take all the same.
#[derive(Debug, Default, PartialEq, Eq)]
struct Form {
    is_open: bool,
    has_bare_at: bool,
}

fn form_of(value: &[u8]) -> Form {
    let mut form = Form::default();
    let (mut quoted, mut in_angle, mut comments, mut at) = (false, false, 0_u32, false);
    let mut octets = value.iter();
    while let Some(octet) = octets.next() {
        match octet {
            b'\\' => {
                octets.next();
            }
            b'"' if comments == 0 => quoted = !quoted,
            _ if quoted => {}
            b'(' => comments += 1,
            b')' => comments = comments.saturating_sub(1),
            _ if comments > 0 => {}
            b'<' => {
                form.has_bare_at |= at;
                in_angle = true;
            }
            b'>' => in_angle = false,
            _ if in_angle => {}
            b'@' => at = true,
            b',' => at = false,
            b':' => form.is_open = true,
            b';' => (form.is_open, at) = (false, false),
            _ => {}
        }
    }
    form
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_open_group_and_a_bare_at_are_seen() {
        for (value, is_open, has_bare_at) in [
            ("Ana <ana@example.com>", false, false),
            ("ana@example.com", false, false),
            ("\"a@x\" <e@example.com>", false, false),
            ("a@x <e@example.com>", false, true),
            ("Shop a@x <e@example.com>", false, true),
            ("Friends: ana@example.com", true, false),
            ("Friends: ana@example.com;", false, false),
            ("undisclosed:;", false, false),
            ("Ana (a@x: home) <ana@example.com>", false, false),
            ("a@x, Ben <ben@example.com>", false, false),
            ("Ana <@relay.example:ana@example.com>", false, false),
            ("Ana <ana@[IPv6:2001:db8::1]>", false, false),
        ] {
            assert_eq!(form_of(value.as_bytes()), Form { is_open, has_bare_at }, "{value}");
        }
    }
}
