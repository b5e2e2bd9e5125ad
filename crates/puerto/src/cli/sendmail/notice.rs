//! What a user is told whose message was left while the server did not run, and refused
//! when it did.

use jiff::tz::TimeZone;

use crate::drop::letter::Head;
use crate::lang::{Language, Text, harmless};

const SUBJECT: Text = Text::new(
    "A message that you left could not be sent",
    "No se ha podido enviar un mensaje que usted dejó",
);
const BODY: Text = Text::new(
    "This is the mail server of this machine.\n\n\
     On {when} a program of yours ({user}) handed over a message while the mail server did \
     not run. Now that it runs, it has refused the message:\n\n    {reply}\n\n\
     Nobody has it. It was for:\n\n{recipients}\n\n\
     Its beginning follows.\n",
    "Este es el servidor de correo de esta máquina.\n\n\
     El {when} un programa suyo ({user}) entregó un mensaje mientras el servidor de correo no \
     estaba en marcha. Ahora que lo está, lo ha rechazado:\n\n    {reply}\n\n\
     Nadie lo tiene. Era para:\n\n{recipients}\n\n\
     A continuación va su comienzo.\n",
);
/// Recipients that are named.
const NAMED: usize = 20;
const BOUNDARY: &str = "=_left-for-the-server";

/// The whole notice, with CRLF line ends.
pub(super) fn text(
    language: Language,
    user: &str,
    head: &Head,
    reply: &str,
    beginning: &[u8],
) -> Vec<u8> {
    let when = jiff::Timestamp::from_millisecond(head.written.as_millis()).unwrap_or_default();
    let when = when.to_zoned(TimeZone::system()).strftime("%Y-%m-%d %H:%M:%S %z").to_string();
    let mut recipients = String::new();
    for address in head.addresses().take(NAMED) {
        recipients.push_str(&format!("    {address}\n"));
    }
    if head.recipients.len() > NAMED {
        recipients.push_str(&format!("    (+{})\n", head.recipients.len() - NAMED));
    }
    let user_shown = harmless(user);
    let values = [
        ("when", when.as_str()),
        ("user", &user_shown),
        ("reply", &harmless(reply)),
        ("recipients", recipients.trim_end()),
    ];
    let body = BODY.with(language, &values);
    let header = format!(
        "From: {user}\r\nTo: {user}\r\nSubject: {}\r\nAuto-Submitted: auto-replied\r\n\
         MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=\"{BOUNDARY}\"\r\n\r\n\
         --{BOUNDARY}\r\nContent-Type: text/plain; charset=utf-8\r\n\
         Content-Transfer-Encoding: 8bit\r\n\r\n",
        SUBJECT.of(language)
    );
    let mut out = header.into_bytes();
    out.extend(body.replace('\n', "\r\n").into_bytes());
    // As text: what was refused is not to be taken for a message again.
    out.extend(format!("\r\n--{BOUNDARY}\r\nContent-Type: text/plain\r\n\r\n").into_bytes());
    out.extend(beginning);
    out.extend(format!("\r\n--{BOUNDARY}--\r\n").into_bytes());
    out
}
