//! Makes an envelope and a header from the command line, the message and the user.
//!
//! What is done here is what only this side can know: the recipients that stand in
//! the header (`-t`), the blind ones that must not be seen by the others, and the
//! user's name for a From field that is missing. Date, Message-ID and everything
//! else that a local message may lack is added by the server.

use std::collections::HashSet;

use puerto_mail::header::address_list::AddressListProblem;
use puerto_mail::header::forgiving::AddressList;
use puerto_mail::header::{
    Field, Header, MAX_HEADER, Mailbox, read_address_list, write_mailboxes, write_structured,
};
use puerto_smtp::address::AddressError;
use puerto_smtp::{Address, Domain, Envelope, LocalPart, Recipient, ReversePath};

use super::arguments::Arguments;
use super::input::Input;
use super::raw::RawBody;
use crate::cli::exit::{Failure, Sysexit};
use crate::lang::{Said, address_error, address_list_error, said, said_of};

/// Whoever runs the command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// The login name.
    pub login: String,
    /// The full name, if the system knows one.
    pub full_name: Option<String>,
}

/// The domains that complete names without one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Home {
    /// Those of senders: where the users of this machine have their mailboxes.
    pub origin: Domain,
    /// Those of recipients: this machine, whose aliases say who reads what.
    pub local: Domain,
}

/// A message ready to be handed over.
#[derive(Debug)]
pub struct Submission {
    /// Who it is from and to.
    pub envelope: Envelope,
    /// Its header and the empty line after it.
    pub header: Vec<u8>,
    /// Where the body begins in what the input holds in memory.
    pub body_at: usize,
    /// The message as it was given.
    pub input: Input,
    /// What the user should know of it.
    pub notes: Vec<Said>,
}

impl Submission {
    /// Octets as the server will count them.
    pub fn size(&self) -> u64 {
        let near = self.input.beginning.len().saturating_sub(self.body_at);
        let far = self.input.rest.as_ref().map_or(0, super::input::Rest::len);
        (self.header.len() + near) as u64 + far
    }
}

/// The address that a user has here.
pub fn own_address(user: &User, domain: &Domain) -> Result<Address, Failure> {
    let local_part = LocalPart::from_unquoted(&user.login).map_err(|error| {
        let message = said_of!(
            "your login name \"{login}\" is no mailbox name: {error}; give an address with -f",
            "su nombre de usuario «{login}» no sirve como nombre de buzón: {error}; indique una \
             dirección con -f";
            login = Said::words(user.login.escape_debug().to_string()), error = address_error(&error)
        );
        Failure::new(Sysexit::Config, message)
    })?;
    Ok(Address::new(local_part, domain.clone()))
}

/// Makes the submission.
pub fn compose(
    arguments: &Arguments,
    mut input: Input,
    user: &User,
    home: &Home,
) -> Result<Submission, Failure> {
    let reverse_path = reverse_path(arguments, user, &home.origin)?;
    let skipped = mbox_lines(&input.beginning);
    input.beginning.drain(..skipped);
    let header = read_header(&input.beginning, arguments.recipients_from_header)?;
    let mut recipients = Recipients::default();
    for argument in &arguments.recipients {
        recipients.add_argument(argument, &home.local)?;
    }
    if arguments.recipients_from_header {
        recipients.add_header(&header, &home.local)?;
    }
    if recipients.list.is_empty() {
        return Err(nobody(arguments.recipients_from_header.then(|| is_resent(&header))));
    }
    let author = author(arguments, user, &home.origin, &reverse_path)?;
    let written = write_header(&header, &author, input.encoded);
    let body_at = header.body_offset();
    let envelope = envelope(arguments, reverse_path, recipients.list, input.eight_bit);
    Ok(Submission { envelope, header: written, body_at, input, notes: recipients.notes })
}

// Of a header that is too long the rest is body, as for the server; but where its
// recipients are to be read, none may be passed over.
fn read_header(message: &[u8], is_read: bool) -> Result<Header<'_>, Failure> {
    match Header::parse(message) {
        Err(_) if is_read => {
            let message = said!(
                "the header is longer than {octets} octets; nothing was sent",
                "la cabecera pasa de {octets} octetos; no se ha enviado nada"; octets = MAX_HEADER
            );
            Err(Failure::new(Sysexit::DataError, message))
        }
        Err(_) => Ok(Header::parse_leading(message, MAX_HEADER)),
        Ok(header) => Ok(header),
    }
}

// `resent` says of a header that was read whether it is that of a resent message.
fn nobody(resent: Option<bool>) -> Failure {
    Failure::new(
        Sysexit::Usage,
        match resent {
            Some(true) => said!(
                "no recipients: the header has Resent- fields, so the message goes to those that \
                 Resent-To, Resent-Cc and Resent-Bcc name, and they name nobody; nothing was sent",
                "no hay destinatarios: la cabecera tiene campos Resent-, así que el mensaje va a \
                 quienes nombran Resent-To, Resent-Cc y Resent-Bcc, y no nombran a nadie; no se ha \
                 enviado nada"
            ),
            Some(false) => said!(
                "no recipients: neither To, Cc nor Bcc names any; nothing was sent",
                "no hay destinatarios: ni To, ni Cc, ni Bcc nombran ninguno; no se ha enviado nada"
            ),
            None => said!(
                "no recipients: name them as arguments, or use -t to take them from the header",
                "no hay destinatarios: nómbrelos como argumentos o use -t para tomarlos de la \
                 cabecera"
            ),
        },
    )
}

fn envelope(
    arguments: &Arguments,
    reverse_path: ReversePath,
    recipients: Vec<Address>,
    eight_bit: bool,
) -> Envelope {
    // A domain in another script has an ASCII form too; only a local part has none.
    let is_utf8 = |address: &Address| !address.local_part().as_str().is_ascii();
    let smtputf8 = recipients.iter().chain(reverse_path.address()).any(is_utf8);
    let notify = arguments.notify;
    let recipients = recipients.into_iter();
    let recipients = recipients.map(|a| Recipient { notify, ..Recipient::new(a) }).collect();
    Envelope {
        envelope_id: arguments.envelope_id.clone(),
        ret: arguments.ret,
        verp: arguments.verp,
        eight_bit: arguments.eight_bit || eight_bit,
        smtputf8,
        ..Envelope::new(reverse_path, recipients)
    }
}

fn reverse_path(
    arguments: &Arguments,
    user: &User,
    domain: &Domain,
) -> Result<ReversePath, Failure> {
    let Some(written) = arguments.sender.as_deref().map(str::trim) else {
        return own_address(user, domain).map(ReversePath::Address);
    };
    if matches!(written, "" | "<>") {
        return Ok(ReversePath::Null);
    }
    let malformed = |why: Said| {
        let message = said_of!(
            "-f {written}: {why}; nothing was sent", "-f {written}: {why}; no se ha enviado nada";
            written = Said::words(written), why = why
        );
        Failure::new(Sysexit::Usage, message)
    };
    let list = read_address_list(written.as_bytes(), Some(domain));
    if let Some(error) = list.problems().next() {
        return Err(malformed(address_list_error(&error)));
    }
    let mut mailboxes = list.mailboxes();
    match (mailboxes.next(), mailboxes.next()) {
        (Some(only), None) => Ok(ReversePath::Address(only.address)),
        _ => Err(malformed(said!("give one address", "indique una sola dirección"))),
    }
}

// The name that stands in a From field of ours: the one that was given, or the
// user's, but not next to the address of somebody else.
fn author(
    arguments: &Arguments,
    user: &User,
    domain: &Domain,
    reverse_path: &ReversePath,
) -> Result<Mailbox, Failure> {
    let address = match reverse_path {
        ReversePath::Address(address) => address.clone(),
        ReversePath::Null => own_address(user, domain)?,
    };
    let is_user = address.local_part().as_str() == user.login && address.domain() == domain;
    let own_name = if is_user { user.full_name.clone() } else { None };
    let name = arguments.full_name.clone().or(own_name);
    Ok(Mailbox { name: name.filter(|name| !name.trim().is_empty()), address })
}

// Mail that was taken out of an mbox file begins with its separator lines.
fn mbox_lines(message: &[u8]) -> usize {
    let mut position = 0;
    loop {
        let rest = message.get(position..).unwrap_or_default();
        let quoted = rest.iter().take_while(|&&byte| byte == b'>').count();
        let is_separator = rest.get(quoted..).is_some_and(|line| line.starts_with(b"From "));
        match memchr::memchr(b'\n', rest) {
            Some(end) if is_separator => position += end + 1,
            _ => return position,
        }
    }
}

/// Fields that are not passed on, as with Postfix: blind recipients, and what only a
/// final delivery may say.
const DROPPED: [&str; 4] = ["Bcc", "Resent-Bcc", "Return-Path", "Content-Length"];

fn write_header(header: &Header<'_>, author: &Mailbox, encoded: Option<RawBody>) -> Vec<u8> {
    let mut out = Vec::with_capacity(header.octets().len() + 128);
    // Resent fields stand above what they were added to (RFC 5322 §3.6.6).
    if is_resent(header) && header.count("Resent-From") == 0 {
        write_mailboxes(&mut out, "Resent-From", std::slice::from_ref(author));
    }
    for field in header.fields() {
        let is_replaced = encoded.is_some() && field.is("Content-Transfer-Encoding");
        if !is_replaced && !DROPPED.iter().any(|name| field.is(name)) {
            out.extend_from_slice(field.raw());
        }
    }
    if header.count("From") == 0 {
        write_mailboxes(&mut out, "From", std::slice::from_ref(author));
    }
    if let Some(raw) = encoded {
        if header.count("MIME-Version") == 0 {
            write_structured(&mut out, "MIME-Version", ["1.0"]);
        }
        if let Some(content_type) = raw.content_type {
            write_structured(&mut out, "Content-Type", [content_type]);
        }
        write_structured(&mut out, "Content-Transfer-Encoding", ["base64"]);
    }
    out.extend_from_slice(b"\r\n");
    out
}

fn is_resent(header: &Header<'_>) -> bool {
    let is_resent = |field: &Field<'_>| {
        let start = field.name().get(..7);
        start.is_some_and(|start| start.eq_ignore_ascii_case(b"Resent-"))
    };
    header.fields().iter().any(is_resent)
}

/// Recipients in the order in which they were given, each once.
#[derive(Debug, Default)]
struct Recipients {
    list: Vec<Address>,
    // Two spellings of one address are one mailbox nearly everywhere.
    seen: HashSet<String>,
    notes: Vec<Said>,
}

impl Recipients {
    fn add_argument(&mut self, argument: &str, domain: &Domain) -> Result<(), Failure> {
        // A word that in a header would be a person's name: here nobody writes one.
        let word = argument.trim();
        let is_quoted = word.starts_with('"') && !word.contains('@');
        let may_be_name = is_quoted || !word.is_ascii();
        if let (true, Ok(local_part)) = (may_be_name, LocalPart::parse(word)) {
            self.add_one(Address::new(local_part, domain.clone()));
            return Ok(());
        }
        let list = read_address_list(argument.as_bytes(), Some(domain));
        let is_list = argument.trim().contains([' ', '\t', ',', ';']);
        let code = if is_list { Sysexit::DataError } else { Sysexit::Usage };
        let problem = match list.problems().next() {
            Some(error) => address_list_error(&error),
            None if list.mailboxes().next().is_none() => {
                said!("no address", "no hay ninguna dirección")
            }
            None => {
                self.add(&list);
                return Ok(());
            }
        };
        let message = said_of!(
            "recipient {argument}: {problem}; put commas between addresses; nothing was sent",
            "destinatario {argument}: {problem}; separe las direcciones con comas; no se ha \
             enviado nada";
            argument = Said::words(format!("{argument:?}")), problem = problem
        );
        Err(Failure::new(code, message))
    }

    // With any Resent- field, the message goes to those that it is resent to, and
    // not again to the original recipients.
    fn add_header(&mut self, header: &Header<'_>, domain: &Domain) -> Result<(), Failure> {
        let names = if is_resent(header) {
            ["Resent-To", "Resent-Cc", "Resent-Bcc"]
        } else {
            ["To", "Cc", "Bcc"]
        };
        for field in header.fields() {
            if !names.iter().any(|name| field.is(name)) {
                continue;
            }
            let value = field.unfolded();
            let list = read_address_list(&value, Some(domain));
            let name = || Said::words(String::from_utf8_lossy(field.name()).into_owned());
            // A form that was left empty writes `Ann <>`: there is nobody to be sent to.
            let (empty, wrong): (Vec<_>, Vec<_>) =
                list.problems().partition(|problem| problem.problem == EMPTY);
            if let Some(error) = wrong.first() {
                let message = said_of!(
                    "recipients in the {name} field: {error}; put commas between addresses; \
                     nothing was sent",
                    "destinatarios del campo {name}: {error}; separe las direcciones con comas; no \
                     se ha enviado nada";
                    name = name(), error = address_list_error(error)
                );
                return Err(Failure::new(Sysexit::DataError, message));
            }
            self.notes.extend(empty.iter().map(|error| {
                said_of!(
                    "nothing was sent to {written} in the {name} field: it holds no address",
                    "no se ha enviado nada a {written} del campo {name}: no contiene ninguna \
                     dirección";
                    written = Said::words(error.excerpt.clone()), name = name()
                )
            }));
            self.add(&list);
        }
        Ok(())
    }

    fn add(&mut self, list: &AddressList<'_>) {
        list.written().for_each(|written| self.add_one(written.address.clone()));
    }

    fn add_one(&mut self, address: Address) {
        if self.seen.insert(address.to_string().to_lowercase()) {
            self.list.push(address);
        }
    }
}

const EMPTY: AddressListProblem = AddressListProblem::Address(AddressError::Empty);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::sendmail::arguments;

    fn user() -> User {
        User { login: "ana".into(), full_name: Some("Ana Pérez".into()) }
    }

    fn run(line: &str, message: &str) -> Result<Submission, Failure> {
        let arguments = arguments::parse(line.split('|').filter(|w| !w.is_empty()).map(Into::into));
        let arguments = arguments.unwrap();
        let input = Input::read(message.as_bytes(), arguments.dot_ends).unwrap();
        let local = Domain::parse("example.com").unwrap();
        compose(&arguments, input, &user(), &Home { origin: local.clone(), local })
    }

    fn recipients(line: &str, message: &str) -> Vec<String> {
        let submission = run(line, message).unwrap();
        submission.envelope.recipients.iter().map(|r| r.address.to_string()).collect()
    }

    fn wire(submission: &Submission) -> String {
        let mut octets = submission.header.clone();
        octets.extend_from_slice(&submission.input.beginning[submission.body_at..]);
        assert_eq!(octets.len() as u64, submission.size());
        String::from_utf8(octets).unwrap()
    }

    #[test]
    fn recipients_come_from_the_command_line_and_the_header() {
        let list = "To: A <a@x.example>, \"B, c\" <b@x.example>,\n grp: d@x.example,\n\te@x.example;\
                    , f (comment)\nCC: A@x.example\nBcc: hidden@x.example\n\nTo: no@x.example\n";
        for (line, message, expected) in [
            ("you@example.net", "hi\n", "you@example.net"),
            ("root", "hi\n", "root@example.com"),
            // Names of people in a header, and of users here.
            ("ñandú|\"quoted name\"", "", "ñandú@example.com \"quoted name\"@example.com"),
            ("\"ann@example.net\"|\"a, b\"", "", "ann@example.net \"a, b\"@example.com"),
            ("a@x.example, b@x.example|c", "", "a@x.example b@x.example c@example.com"),
            ("A Name <a@x.example>", "", "a@x.example"),
            ("you@example.net", "To: a@x.example\n\n", "you@example.net"),
            ("-t|g@x.example", "To: a@x.example\n\n", "g@x.example a@x.example"),
            ("-t|a@x.example", "To: a@x.example, A@X.example\n\n", "a@x.example"),
            (
                "-t",
                list,
                "a@x.example b@x.example d@x.example e@x.example f@example.com hidden@x.example",
            ),
            // Lists as people and programs write them.
            ("a@x.example; b@x.example", "", "a@x.example b@x.example"),
            ("a@x.example;", "", "a@x.example"),
            ("a@x.example b@x.example", "", "a@x.example b@x.example"),
            ("-t", "To: a@x.example; b@x.example;\n\n", "a@x.example b@x.example"),
            ("-t", "To: a@x.example b@x.example\n\n", "a@x.example b@x.example"),
            ("-t", "To: \"ann@example.net\"\n\n", "ann@example.net"),
            ("-t", "To: Ana <>, bob@x.example\n\n", "bob@x.example"),
            ("-t", "To: ana@x.example, bob@x.example:\n\n", "ana@x.example bob@x.example"),
            ("-t", "To: x..y@x.example, b@x.example\n\n", "\"x..y\"@x.example b@x.example"),
            ("-t", "To: undisclosed-recipients:;\nBcc: b@x.example\n\n", "b@x.example"),
            (
                "-t",
                "To: a@x.example\nResent-To: r@x.example\nresent-bcc: s@x.example\nBcc: q@x.example\n",
                "r@x.example s@x.example",
            ),
            ("-t|--|-dash@x.example", "Bcc: b@x.example\n\n", "-dash@x.example b@x.example"),
            ("-t", "To: José <josé@correo.example>\n\n", "josé@correo.example"),
        ] {
            assert_eq!(recipients(line, message).join(" "), expected, "{line} {message:?}");
        }
    }

    #[test]
    fn nothing_is_sent_when_recipients_are_missing_or_malformed() {
        for (line, message, code) in [
            ("", "hi\n", Sysexit::Usage),
            ("-t", "Subject: x\n\nTo: a@x.example\n", Sysexit::Usage),
            ("-t", "To: undisclosed-recipients:;\n\n", Sysexit::Usage),
            ("-t", "", Sysexit::Usage),
            ("-t", "To: a@x.example, b@c@x.example\n\n", Sysexit::DataError),
            ("-t", "To: a@x.example, not an address\n\n", Sysexit::DataError),
            ("-t", "To: a@-bad-.example\n\n", Sysexit::DataError),
            ("-t", "To: Ana <>\n\n", Sysexit::Usage),
            ("-t", "To: a@x.example\nResent-From: b@x.example\n\n", Sysexit::Usage),
            ("a@x.example, not an address", "", Sysexit::DataError),
            ("a@-bad-.example", "", Sysexit::Usage),
            ("-f|a b c|x@y.example", "", Sysexit::Usage),
            ("-f|a@x.example, b@x.example|x@y.example", "", Sysexit::Usage),
        ] {
            assert_eq!(run(line, message).unwrap_err().code, code, "{line} {message:?}");
        }
    }

    #[test]
    fn the_sender_is_the_user_unless_given() {
        for (line, expected) in [
            ("x@y.example", "ana@example.com"),
            ("-f|me@example.net|x@y.example", "me@example.net"),
            ("-f|me|x@y.example", "me@example.com"),
            ("-f|Me <me@example.net>|x@y.example", "me@example.net"),
            ("-f||x@y.example", ""),
            ("-f|<>|x@y.example", ""),
        ] {
            // An empty word cannot pass through the split above.
            let line = line.replace("-f||", "-f|<>|");
            assert_eq!(run(&line, "").unwrap().envelope.reverse_path.to_string(), expected);
        }
    }

    #[test]
    fn what_is_wrong_with_the_recipients_is_said() {
        for (line, message, says) in [
            ("a@x.example, not an address", "", "commas"),
            ("-t", "To: not an address\n\n", "commas"),
            ("-t", "To: a@x.example\nResent-From: b@x.example\n\n", "Resent-To"),
        ] {
            let said = run(line, message).unwrap_err().message.to_string();
            assert!(said.contains(says), "{said}");
        }
        let notes = run("-t", "To: Ana <>, bob@x.example\n\n").unwrap().notes;
        assert!(notes.iter().any(|note| note.to_string().contains("Ana <>")), "{notes:?}");
    }

    #[test]
    fn senders_are_completed_with_the_origin_and_recipients_with_this_machine() {
        let arguments = arguments::parse(["root".into()]).unwrap();
        let input = Input::read(&b"hi\n"[..], true).unwrap();
        let domain = |name| Domain::parse(name).unwrap();
        let home = Home { origin: domain("example.com"), local: domain("web.example.com") };
        let submission = compose(&arguments, input, &user(), &home).unwrap();
        assert_eq!(submission.envelope.reverse_path.to_string(), "ana@example.com");
        assert_eq!(submission.envelope.recipients[0].address.to_string(), "root@web.example.com");
        assert!(wire(&submission).contains("<ana@example.com>"));
    }

    #[test]
    fn the_header_is_kept_but_for_what_nobody_may_see() {
        for (line, message, expected) in [
            (
                "x@y.example",
                "hello\nworld\n",
                "From: =?utf-8?Q?Ana_P=C3=A9rez?= <ana@example.com>\r\n\r\nhello\r\nworld\r\n",
            ),
            ("-F|Joe|x@y.example", "", "From: Joe <ana@example.com>\r\n\r\n"),
            ("-f|o@z.example|x@y.example", "", "From: o@z.example\r\n\r\n"),
            ("-f|o@z.example|-FJoe|x@y.example", "", "From: Joe <o@z.example>\r\n\r\n"),
            ("-f|<>|-FJoe|x@y.example", "", "From: Joe <ana@example.com>\r\n\r\n"),
            (
                "-t",
                "From ana Tue Nov 24\n>From b\nfrom: a\nTO:  b@x.example\nBcc: c@x.example,\n d\n\
                 Subject: s\n folded\n\nFrom here\n",
                "from: a\r\nTO:  b@x.example\r\nSubject: s\r\n folded\r\n\r\nFrom here\r\n",
            ),
            (
                "x@y.example",
                "From: a\nReturn-Path: <q>\nContent-Length: 3\nResent-Bcc: z\nbcc: y\nnot a field\nz",
                "Resent-From: =?utf-8?Q?Ana_P=C3=A9rez?= <ana@example.com>\r\nFrom: a\r\n\r\n\
                 not a field\r\nz\r\n",
            ),
            (
                "x@y.example",
                " From: a\n",
                "From: =?utf-8?Q?Ana_P=C3=A9rez?= <ana@example.com>\r\n\r\n From: a\r\n",
            ),
        ] {
            let submission = run(line, message).unwrap();
            assert_eq!(wire(&submission), expected, "{line} {message:?}");
        }
    }

    #[test]
    fn the_envelope_declares_what_the_message_needs() {
        let plain = run("x@y.example", "From: a\n\nb\n").unwrap().envelope;
        assert!(!plain.eight_bit && !plain.smtputf8);
        let eight_bit = run("x@y.example", "From: a\n\né\n").unwrap().envelope;
        assert!(eight_bit.eight_bit && !eight_bit.smtputf8);
        assert!(run("-B8BITMIME|x@y.example", "").unwrap().envelope.eight_bit);
        assert!(run("josé@y.example", "").unwrap().envelope.smtputf8);
        assert!(!run("jose@mañana.example", "").unwrap().envelope.smtputf8);
        assert!(run("-f|josé@y.example|x@y.example", "").unwrap().envelope.smtputf8);
        let wishes = run("-N|never|-R|full|-V|id|x@y.example", "").unwrap().envelope;
        assert_eq!(wishes.recipients[0].notify, Some(puerto_smtp::Notify::NEVER));
        assert_eq!(wishes.ret, Some(puerto_smtp::Return::Full));
        assert_eq!(wishes.envelope_id.as_deref(), Some("id"));
    }

    #[test]
    fn ten_thousand_recipients_are_read_from_folded_lines() {
        let list: Vec<String> = (0..10_000).map(|n| format!("user{n}@example.net")).collect();
        let message = format!("Bcc: {}\n\nhi\n", list.join(",\n "));
        assert_eq!(recipients("-t", &message), list);
    }
}
