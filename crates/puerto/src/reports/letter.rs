//! A report as a mail (RFC 8460 §5.3).

use puerto_mail::date::{self, DateTime};
use puerto_mail::header::{Mailbox, write_mailboxes, write_structured, write_unstructured};
use puerto_smtp::{Address, base64};

use super::document::{Document, GZIP};

/// Characters of a line of base64 (RFC 2045 §6.8).
const LINE: usize = 76;

/// Writes it; the error says why our own address is none.
pub(super) fn write(
    document: &Document,
    to: &Address,
    id: &str,
    now: i64,
) -> Result<Vec<u8>, String> {
    let (domain, submitter) = (&document.domain, &document.submitter);
    let author = format!("postmaster@{submitter}");
    let address = Address::parse(&author).map_err(|error| format!("{author}: {error}"))?;
    let mailbox = |address| [Mailbox { name: None, address }];
    // No base64 has such a line.
    let boundary = format!("=_tlsrpt_{id}");
    let mut out = Vec::with_capacity(4096);
    write_mailboxes(&mut out, "From", &mailbox(address));
    write_mailboxes(&mut out, "To", &mailbox(to.clone()));
    let subject =
        format!("Report Domain: {domain} Submitter: {submitter} Report-ID: <{}>", document.id);
    write_unstructured(&mut out, "Subject", &subject);
    let date = date::format(DateTime { unix_seconds: now, offset_minutes: 0 });
    write_structured(&mut out, "Date", [date.as_str()]);
    write_structured(&mut out, "Message-ID", [format!("<{id}.tlsrpt@{submitter}>").as_str()]);
    write_structured(&mut out, "TLS-Report-Domain", [domain.as_str()]);
    write_structured(&mut out, "TLS-Report-Submitter", [submitter.as_str()]);
    write_structured(&mut out, "TLS-Required", ["No"]);
    write_structured(&mut out, "Auto-Submitted", ["auto-generated"]);
    write_structured(&mut out, "MIME-Version", ["1.0"]);
    let quoted = format!("boundary=\"{boundary}\"");
    let kind = ["multipart/report;", "report-type=\"tlsrpt\";", &quoted];
    write_structured(&mut out, "Content-Type", kind);
    let name = format!("filename=\"{}\"", document.file_name());
    out.extend(format!("\r\n--{boundary}\r\n").bytes());
    write_structured(&mut out, "Content-Type", ["text/plain;", "charset=us-ascii"]);
    out.extend(format!("\r\n{subject}\r\n\r\n--{boundary}\r\n").bytes());
    write_structured(&mut out, "Content-Type", [GZIP]);
    write_structured(&mut out, "Content-Transfer-Encoding", ["base64"]);
    write_structured(&mut out, "Content-Disposition", ["attachment;", &name]);
    out.extend(b"\r\n");
    for line in base64::encode(&document.zipped()).as_bytes().chunks(LINE) {
        out.extend(line);
        out.extend(b"\r\n");
    }
    out.extend(format!("\r\n--{boundary}--\r\n").bytes());
    Ok(out)
}
