//! Mail to many, mail from machines, and mail that pretends.

use puerto_mail::header::Header;

use super::Subject;
use super::catalog::{
    AUTO_SUBMITTED, FEEDBACK_ID, LIST_UNSUBSCRIBE, LIST_UNSUBSCRIBE_SIGNED, PRECEDENCE,
};
use crate::finding::Finding;
use crate::lang::said;

const UNSUBSCRIBE: &str = "List-Unsubscribe";
const UNSUBSCRIBE_POST: &str = "List-Unsubscribe-Post";

/// Whether a message says itself that it goes to many.
pub(super) fn looks_like_bulk(header: &Header<'_>) -> bool {
    let precedence = header.first("Precedence").map(|field| field.text().to_ascii_lowercase());
    let names = [UNSUBSCRIBE, "List-Id", "Feedback-ID"];
    matches!(precedence.as_deref(), Some("bulk" | "list"))
        || names.iter().any(|name| header.first(name).is_some())
}

impl Subject<'_> {
    pub(super) fn unsubscribe(&self, header: &Header<'_>, findings: &mut Vec<Finding>) {
        if !self.bulk {
            return;
        }
        let missing = |name: &str| said!("there is no {field}", "falta {field}"; field = name);
        if header.first("Feedback-ID").is_none() {
            findings.push(FEEDBACK_ID.broken(missing("Feedback-ID")));
        }
        let mut say = |seen| findings.push(LIST_UNSUBSCRIBE.broken(seen));
        let address = header.first(UNSUBSCRIBE).map(|field| field.text().to_ascii_lowercase());
        let post = header.first(UNSUBSCRIBE_POST).map(|field| field.text());
        match &address {
            None => say(missing(UNSUBSCRIBE)),
            Some(address) if !address.contains("<https://") => say(said!(
                "List-Unsubscribe has no https address in angle brackets",
                "List-Unsubscribe no tiene ninguna dirección https entre ángulos"
            )),
            Some(_) => {}
        }
        match &post {
            None => say(missing(UNSUBSCRIBE_POST)),
            Some(value) if !value.eq_ignore_ascii_case("List-Unsubscribe=One-Click") => say(said!(
                "List-Unsubscribe-Post is \"{value}\"", "List-Unsubscribe-Post es «{value}»";
                value = value
            )),
            Some(_) => {}
        }
        let signed = self.aligned_signatures().any(|signature| {
            let covers =
                |name| signature.signed_fields.iter().any(|f| f.eq_ignore_ascii_case(name));
            covers(UNSUBSCRIBE) && covers(UNSUBSCRIBE_POST)
        });
        if address.is_some() && post.is_some() && !signed {
            findings.push(LIST_UNSUBSCRIBE_SIGNED.broken(said!(
                "no signature of the domain of From covers both fields",
                "ninguna firma del dominio de From cubre los dos campos"
            )));
        }
    }

    pub(super) fn machine_made(&self, header: &Header<'_>, findings: &mut Vec<Finding>) {
        let value = header.first("Auto-Submitted").map(|field| field.text().to_ascii_lowercase());
        let value = value.as_deref().unwrap_or("no");
        let seen = match self.report.reverse_path.as_deref() {
            Some("") if value.starts_with("no") => said!(
                "the reverse-path is null, and Auto-Submitted does not say why",
                "el remitente es nulo, y Auto-Submitted no dice por qué"
            ),
            Some(path) if !path.is_empty() && value.starts_with("auto-replied") => said!(
                "an automatic reply with a reverse-path, to which another machine may reply",
                "una respuesta automática con remitente, a la que otra máquina puede contestar"
            ),
            _ => return,
        };
        findings.push(AUTO_SUBMITTED.broken(seen));
    }

    pub(super) fn honesty(&self, header: &Header<'_>, findings: &mut Vec<Finding>) {
        let subject = header.first("Subject").map(|field| field.text()).unwrap_or_default();
        let start = subject.split_once(':').map(|(start, _)| start.trim().to_ascii_lowercase());
        let claims = matches!(start.as_deref(), Some("re" | "fwd" | "fw" | "rv" | "aw" | "wg"));
        let thread = ["In-Reply-To", "References"].iter().any(|name| header.first(name).is_some());
        if claims && !thread {
            findings.push(PRECEDENCE.broken(said!(
                "the subject \"{subject}\" of a message that replies to none",
                "el asunto «{subject}» en un mensaje que no responde a ninguno";
                subject = subject
            )));
        }
        let author = self.authors.as_ref().ok().and_then(|authors| authors.first());
        let daemon = author.filter(|author| {
            author.address.local_part().as_str().eq_ignore_ascii_case("mailer-daemon")
        });
        let sent = self.report.reverse_path.as_deref().is_some_and(|path| !path.is_empty());
        if let Some(author) = daemon.filter(|_| sent) {
            findings.push(PRECEDENCE.broken(said!(
                "From is {address}, the name of a mail server, in a message that is no notification",
                "From es {address}, el nombre de un servidor de correo, en un mensaje que no es un aviso";
                address = author.address
            )));
        }
    }
}
