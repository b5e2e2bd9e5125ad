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
use crate::lang::{Said, Text, address_list_error, said_of, shown};
use crate::verify::finding::{Finding, Severity};
use crate::verify::in_ascii;

/// Domains at which anybody may have an address, and whose owners ask receivers to
/// refuse what others send in their name.
const FREEMAIL: [&str; 28] = [
    "gmail.com",
    "googlemail.com",
    "ymail.com",
    "rocketmail.com",
    "aol.com",
    "aim.com",
    "msn.com",
    "icloud.com",
    "me.com",
    "mac.com",
    "web.de",
    "t-online.de",
    "freenet.de",
    "mail.ru",
    "bk.ru",
    "inbox.ru",
    "list.ru",
    "proton.me",
    "protonmail.com",
    "pm.me",
    "zoho.com",
    "qq.com",
    "163.com",
    "126.com",
    "orange.fr",
    "wanadoo.fr",
    "laposte.net",
    "libero.it",
];
/// The same under the domains of many countries.
const FREEMAIL_FAMILIES: [&str; 6] = ["yahoo", "outlook", "hotmail", "live", "gmx", "yandex"];

impl Subject<'_> {
    pub(super) async fn author<D: Dns>(
        &self,
        header: &Header<'_>,
        dns: &D,
        findings: &mut Vec<Finding>,
    ) {
        const NONE: Text = Text::new("there is no From", "falta From");
        const FIELDS: Text = Text::new("{count} fields From", "{count} campos From");
        const ADDRESSES: Text =
            Text::new("From has {count} addresses", "From tiene {count} direcciones");
        const ABSENT: Text =
            Text::new("the domain {domain} does not exist", "el dominio {domain} no existe");
        const GROUP: Text = Text::new(
            "From begins a group with a colon and does not end it with a semicolon",
            "From empieza un grupo con dos puntos y no lo termina con punto y coma",
        );
        const BARE_AT: Text = Text::new(
            "From has an @ in the name before the address, outside of quotation marks",
            "From tiene una @ en el nombre que precede a la dirección, sin comillas",
        );
        let mut say = |text, values: &[(&'static str, &str)], remedy| {
            let finding = FROM_SINGLE.broken(Said::with(text, values));
            findings.push(finding.mended_by(remedy));
        };
        let count = header.count("From");
        if count == 0 {
            return say(NONE, &[], WRITE_ONE);
        }
        if count > 1 {
            say(FIELDS, &[("count", &count.to_string())], LEAVE_ONE);
        }
        let forms = header.named("From").map(|field| form_of(&field.unfolded()));
        let form = forms.fold(Form::default(), |one, other| Form {
            is_open: one.is_open || other.is_open,
            has_bare_at: one.has_bare_at || other.has_bare_at,
        });
        if form.is_open {
            say(GROUP, &[], WRITE_PLAINLY);
        } else if form.has_bare_at {
            say(BARE_AT, &[], QUOTE_NAME);
        }
        match &self.authors {
            Err(_) if form.is_open || form.has_bare_at => return,
            Err(error) => {
                let seen = said_of!(
                    "From is not an address: {problem}", "From no es una dirección: {problem}";
                    problem = address_list_error(error)
                );
                return findings.push(FROM_SINGLE.broken(seen).mended_by(WRITE_PLAINLY));
            }
            Ok(authors) if authors.len() != 1 && count == 1 => {
                say(ADDRESSES, &[("count", &authors.len().to_string())], FROM_SINGLE.remedy);
            }
            Ok(_) => {}
        }
        let Some(domain) = self.author_domain() else { return };
        if matches!(dns.lookup(&domain, RecordType::Mx).await, Err(DnsError::NoSuchDomain)) {
            say(ABSENT, &[("domain", &domain)], USE_ANOTHER);
        }
    }

    pub(super) fn freemail(&self, findings: &mut Vec<Finding>) {
        const TEXT: Text = Text::new(
            "From is at {domain}, and its owner does not vouch for this message",
            "From es de {domain}, cuyo dueño no responde de este mensaje",
        );
        let Some(domain) = self.author_domain() else { return };
        let family = domain.split('.').next().unwrap_or_default();
        let is_free = FREEMAIL.contains(&&*domain)
            || FREEMAIL_FAMILIES.contains(&family) && domain.split('.').count() <= 3;
        let vouched =
            matches!(self.report.dmarc_result(), DmarcResult::Pass | DmarcResult::TempError);
        if is_free && !vouched {
            findings.push(FROM_FREEMAIL.broken(Said::with(TEXT, &[("domain", &domain)])));
        }
    }

    pub(super) fn sender_policy(&self, findings: &mut Vec<Finding>) {
        const TEXT: Text =
            Text::new("SPF of {domain} for {ip}: {result}", "SPF de {domain} para {ip}: {result}");
        let Some(evaluation) = self.report.spf.evaluation() else { return };
        if matches!(evaluation.result, SpfResult::Pass | SpfResult::TempError) {
            return;
        }
        let ip = self.question.ip.map(|ip| ip.to_string()).unwrap_or_default();
        let values =
            [("domain", &*evaluation.domain), ("ip", &*ip), ("result", evaluation.result.as_str())];
        let refuses = matches!(evaluation.result, SpfResult::Fail | SpfResult::PermError);
        let finding = SPF.broken(Said::with(TEXT, &values));
        // A message that was forwarded is borne out by its signature, or would perhaps
        // be if its key could be fetched.
        let open = self.report.dmarc_result() == DmarcResult::TempError;
        let lenient = !self.bulk && (self.dmarc_passes() || open || !refuses);
        findings.push(if lenient { finding.at(Severity::Warning) } else { finding });
    }

    pub(super) fn signatures(&self, findings: &mut Vec<Finding>) {
        const NONE: Text = Text::new("there is no signature", "no hay ninguna firma");
        const FOREIGN: Text = Text::new(
            "the signature that passes is of {domain}, not of the domain of From",
            "la firma válida es de {domain}, no del dominio de From",
        );
        let signatures = &self.report.dkim;
        let open = signatures.iter().any(|signature| signature.result == DkimResult::TempError);
        if open || self.aligned_signatures().next().is_some() {
            return;
        }
        let passing = signatures.iter().find(|signature| signature.result == DkimResult::Pass);
        let seen = match (passing, signatures.first()) {
            (Some(passing), _) => Said::with(FOREIGN, &[("domain", &passing.domain)]),
            (None, Some(failed)) => said_of!(
                "the signature of {domain} with the selector {selector}: {result} ({reason})",
                "la firma de {domain} con el selector {selector}: {result} ({reason})";
                domain = Said::words(shown(&failed.domain)),
                selector = Said::words(shown(&failed.selector)),
                result = Said::words(failed.result.name()),
                reason = failed.reason().map_or_else(|| Said::words(""), Said::from)
            ),
            (None, None) => Said::plain(NONE),
        };
        let finding = DKIM_VERIFY.broken(seen);
        // Google asks all senders for SPF or DKIM, and those to many for both.
        let open = self.report.dmarc_result() == DmarcResult::TempError;
        let lenient = (self.dmarc_passes() || open) && !self.bulk;
        findings.push(if lenient { finding.at(Severity::Warning) } else { finding });
    }

    pub(super) fn signed_length(&self, findings: &mut Vec<Finding>) {
        const OPEN: Text = Text::new(
            "the signature of {domain} stops {octets} octets before the end of the body (l=): anybody could have added them",
            "la firma de {domain} acaba {octets} octetos antes del final del cuerpo (l=): cualquiera pudo añadirlos",
        );
        for signature in self.report.dkim.iter().filter(|signed| signed.octets_not_signed > 0) {
            let octets = signature.octets_not_signed.to_string();
            let values = [("domain", &*signature.domain), ("octets", &*octets)];
            findings.push(NO_LENGTH.broken(Said::with(OPEN, &values)));
        }
    }

    pub(super) fn alignment(&self, findings: &mut Vec<Finding>) {
        const FAILED: Text = Text::new(
            "neither SPF nor DKIM passes for {domain}, which asks for {policy}",
            "ni SPF ni DKIM autorizan {domain}, que pide {policy}",
        );
        const NO_RECORD: Text = Text::new(
            "{domain} publishes no DMARC record",
            "{domain} no publica ningún registro DMARC",
        );
        const NOT_JUDGED: Text = Text::new(
            "no signature proves {domain}, and SPF was not checked, so that whether DMARC passes cannot be told: say with --ip, --helo and --from how the message came",
            "ninguna firma prueba {domain} y no se ha comprobado SPF, así que no se puede saber si pasa DMARC: indique con --ip, --helo y --from cómo llegó el mensaje",
        );
        const DAMAGED: Text = Text::new(
            "the DMARC record at {name} is damaged, so that receivers do not read it as it was meant: {record}",
            "el registro DMARC de {name} está dañado, y los receptores no lo leen como se quería: {record}",
        );
        let Some(evaluation) = &self.report.dmarc else { return };
        let published = || {
            let (whose, record) =
                evaluation.policy_domain.as_ref().zip(evaluation.record.as_ref())?;
            let is_damaged = !mend(&record.text).faults.is_empty();
            is_damaged.then(|| (format!("_dmarc.{whose}"), record.text.clone()))
        };
        if let Some((name, record)) = evaluation.damaged.clone().or_else(published) {
            let seen = Said::with(DAMAGED, &[("name", &name), ("record", &record)]);
            let finding = DMARC.broken(seen).at(Severity::Warning);
            findings.push(finding.mended_by(Text::new(
                "`puerto dns` shows the record mended",
                "`puerto dns` muestra el registro reparado",
            )));
        }
        let values = [("domain", &*evaluation.from_domain), ("policy", evaluation.policy.as_str())];
        match evaluation.result {
            _ if self.report.wants_spf() => {
                let finding = DMARC.broken(Said::with(NOT_JUDGED, &values));
                findings.push(finding.at(Severity::Info));
            }
            DmarcResult::Fail => findings.push(DMARC.broken(Said::with(FAILED, &values))),
            DmarcResult::None if self.bulk && evaluation.damaged.is_none() => {
                findings.push(DMARC.broken(Said::with(NO_RECORD, &values)));
            }
            _ => {}
        }
    }

    pub(super) fn organization(&self, findings: &mut Vec<Finding>) {
        const DOMAINS: Text = Text::new(
            "the organizational domain of {from} is {walk} by the tree walk and {list} by the list of public suffixes; DMARC comes to {new} by the first and to {old} by the second",
            "el dominio organizativo de {from} es {walk} según el árbol del DNS y {list} según la lista de sufijos públicos; DMARC da {new} según el primero y {old} según la segunda",
        );
        const RESULTS: Text = Text::new(
            "DMARC of {from} comes to {new} by the tree walk and to {old} by the list of public suffixes",
            "DMARC de {from} da {new} según el árbol del DNS y {old} según la lista de sufijos públicos",
        );
        let Some(evaluation) = self.report.dmarc.as_ref().filter(|dmarc| dmarc.ways_differ())
        else {
            return;
        };
        let by_list = &evaluation.by_list;
        let walk = evaluation.organizational_domain.as_deref().unwrap_or_default();
        let same = walk == by_list.organizational_domain;
        let values = [
            ("from", &*evaluation.from_domain),
            ("walk", walk),
            ("list", &*by_list.organizational_domain),
            ("new", evaluation.result.as_str()),
            ("old", by_list.result.as_str()),
        ];
        let text = if same { RESULTS } else { DOMAINS };
        findings.push(ORG_DOMAIN.broken(Said::with(text, &values)));
    }

    pub(super) fn envelope(&self, header: &Header<'_>, findings: &mut Vec<Finding>) {
        const PATH: Text = Text::new(
            "MAIL FROM is of {domain}, From of {from}",
            "MAIL FROM es de {domain}, From de {from}",
        );
        const ID: Text = Text::new(
            "Message-ID is of {domain}, From of {from}",
            "Message-ID es de {domain}, From de {from}",
        );
        let Some(from) = self.author_domain() else { return };
        let path = self.report.reverse_path.as_deref().unwrap_or_default();
        let path = path.rsplit_once('@').map(|(_, domain)| in_ascii(domain));
        let aligned = self
            .report
            .dmarc
            .as_ref()
            .and_then(|evaluation| evaluation.spf.as_ref())
            .is_some_and(|(_, alignment)| *alignment == Alignment::Aligned);
        if let Some(domain) = path.filter(|domain| !aligned && !self.is_of_author(domain)) {
            let values = [("domain", &*domain), ("from", &*from)];
            findings.push(ENVELOPE_MATCH.broken(Said::with(PATH, &values)));
        }
        let id = header.first("Message-ID").map(|field| field.text()).unwrap_or_default();
        let right = id_right(&id).map(in_ascii).filter(|right| right.contains('.'));
        if let Some(domain) = right.filter(|domain| !self.is_of_author(domain)) {
            let values = [("domain", &*domain), ("from", &*from)];
            let finding = ENVELOPE_MATCH.broken(Said::with(ID, &values));
            findings.push(finding.at(Severity::Info));
        }
    }
}

const WRITE_ONE: Text = Text::new(
    "let the program write a From field with an address of yours",
    "haga que el programa escriba un campo From con una dirección suya",
);
const LEAVE_ONE: Text = Text::new(
    "leave one From field: that of the program which wrote the message",
    "deje un solo campo From: el del programa que escribió el mensaje",
);
const WRITE_PLAINLY: Text =
    Text::new("write From as Name <user@domain>", "escriba From como Nombre <usuario@dominio>");
const QUOTE_NAME: Text = Text::new(
    "put the name in quotation marks: \"name@here\" <user@domain>",
    "ponga el nombre entre comillas: \"nombre@aquí\" <usuario@dominio>",
);
const USE_ANOTHER: Text = Text::new(
    "correct the domain in From, or register it: nobody can answer, and receivers refuse it",
    "corrija el dominio de From, o regístrelo: nadie puede responder, y los receptores lo rechazan",
);

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
