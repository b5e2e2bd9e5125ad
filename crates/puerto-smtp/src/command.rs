//! The commands of a session: how each is written, and when it may be said.
//!
//! `table` is the one place that says what may be said when; [`Command::parse`]
//! reads a line into a value that exists only if it is well formed, and says with
//! a [`Reply`] what is wrong with one that is not.

mod parameters;
mod table;
mod xtext;

use std::borrow::Cow;
use std::fmt;

use crate::address::{Address, AddressError, LocalPart};
use crate::base64;
use crate::envelope::{Notify, Return};
use crate::reply::Reply;
use crate::sasl::Mechanism;
use crate::verp::Verp;

pub(crate) use parameters::unsupported;
pub(crate) use table::{Moment, Verb};
pub(crate) use xtext::{decode_utf8_address, decode_xtext, encode_utf8_address, encode_xtext};

/// A mailbox as MAIL or RCPT names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mailbox {
    /// With its domain.
    Address(Address),
    /// A local part alone, such as `<postmaster>` (RFC 5321 §4.1.1.3).
    Bare(LocalPart),
}

impl Mailbox {
    /// Whether it can be sent without SMTPUTF8.
    pub fn is_ascii(&self) -> bool {
        match self {
            Self::Address(address) => address.is_ascii(),
            Self::Bare(local_part) => local_part.as_str().is_ascii(),
        }
    }
}

/// MAIL FROM with its parameters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MailCommand {
    /// The reverse-path; `None` for `<>`.
    pub from: Option<Mailbox>,
    /// SIZE (RFC 1870).
    pub size: Option<u64>,
    /// BODY=8BITMIME (RFC 6152).
    pub eight_bit: bool,
    /// SMTPUTF8 (RFC 6531).
    pub smtputf8: bool,
    /// REQUIRETLS (RFC 8689 §2).
    pub require_tls: bool,
    /// RET (RFC 3461 §4.3).
    pub ret: Option<Return>,
    /// ENVID, decoded (RFC 3461 §4.4).
    pub envelope_id: Option<String>,
    /// XVERP, as Postfix has it.
    pub verp: Option<Verp>,
    /// It says AUTH (RFC 4954 §5); whom it names is the client's word and is not kept.
    pub names_submitter: bool,
}

/// RCPT TO with its parameters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RcptCommand {
    /// The forward-path.
    pub to: Mailbox,
    /// NOTIFY (RFC 3461 §4.1).
    pub notify: Option<Notify>,
    /// ORCPT, decoded, as `type;address` (RFC 3461 §4.2).
    pub original: Option<String>,
}

/// AUTH with its initial response. Its `Debug` form does not show that.
#[derive(Clone, PartialEq, Eq)]
pub struct AuthCommand {
    /// The mechanism, if it is one that this crate speaks.
    pub mechanism: Option<Mechanism>,
    /// The initial response, decoded; it may be empty, which is not the same as none.
    pub initial: Option<Vec<u8>>,
}

impl fmt::Debug for AuthCommand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthCommand").field("mechanism", &self.mechanism).finish_non_exhaustive()
    }
}

/// XORIGIN: one thing that a client says of the program that it sends for. Nobody has checked
/// it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OriginClaim {
    /// What it is about: `executable`, `directory` …
    pub name: String,
    /// What is said, without control characters.
    pub value: String,
}

/// A command that is well formed. Whether it may be said now is another question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// EHLO with the client's name as it was written.
    Ehlo(String),
    /// HELO with the client's name as it was written.
    Helo(String),
    /// MAIL.
    Mail(MailCommand),
    /// RCPT.
    Rcpt(RcptCommand),
    /// DATA.
    Data,
    /// BDAT (RFC 3030 §2).
    Bdat {
        /// Octets of the chunk.
        size: u64,
        /// It is the last one.
        last: bool,
    },
    /// RSET.
    Rset,
    /// NOOP.
    Noop,
    /// QUIT.
    Quit,
    /// VRFY.
    Vrfy,
    /// HELP.
    Help,
    /// STARTTLS (RFC 3207).
    StartTls,
    /// AUTH (RFC 4954).
    Auth(AuthCommand),
    /// XORIGIN, which is ours: what a client says of the program that it sends for.
    Origin(OriginClaim),
}

/// Why a line is not a command that we obey.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// The command, if it is one.
    pub(crate) verb: Option<Verb>,
    /// What the client is told.
    pub reply: Reply,
    /// Nothing that follows can be understood: the connection must be closed.
    pub fatal: bool,
}

/// How closely a client keeps to the grammar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Manners {
    /// As RFC 5321 §4.1.2 has it.
    Strict,
    /// Brackets may be missing, doubled or padded with blanks.
    Loose,
}

impl Command {
    /// Reads a command line without its CRLF.
    pub fn parse(line: &[u8]) -> Result<Self, Refused> {
        Self::read(line, Manners::Strict)
    }

    /// The same for a client that is trusted: programs of forty years wrote paths
    /// without brackets, with blanks in them or with one bracket too few, and other
    /// servers take that from their own.
    pub fn parse_leniently(line: &[u8]) -> Result<Self, Refused> {
        Self::read(line, Manners::Loose)
    }

    fn read(line: &[u8], manners: Manners) -> Result<Self, Refused> {
        let fatal = |refused: &Refused| refused.fatal || announces_chunk(line);
        let command = Self::read_line(line, manners);
        command.map_err(|refused| Refused { fatal: fatal(&refused), ..refused })
    }

    fn read_line(line: &[u8], manners: Manners) -> Result<Self, Refused> {
        if line.iter().any(|&octet| octet.is_ascii_control() && octet != b'\t') {
            let verb = std::str::from_utf8(line).ok().and_then(|text| split_verb(text).0);
            let text = "Error: control character in command";
            return Err(refused(verb, Reply::enhanced(501, (5, 5, 2), text)));
        }
        let Ok(text) = std::str::from_utf8(line) else {
            let text = "Error: command is neither ASCII nor UTF-8";
            return Err(refused(None, Reply::enhanced(500, (5, 5, 2), text)));
        };
        let (verb, arguments) = split_verb(text);
        let Some(verb) = verb else { return Err(unknown(text)) };
        let command = Self::parse_arguments(verb, arguments, manners);
        command.map_err(|reply| refused(Some(verb), reply))
    }

    fn parse_arguments(verb: Verb, arguments: &str, manners: Manners) -> Result<Self, Reply> {
        let none = arguments.is_empty();
        match verb {
            Verb::Ehlo if !none => Ok(Self::Ehlo(arguments.to_owned())),
            Verb::Helo if !none => Ok(Self::Helo(arguments.to_owned())),
            Verb::Mail => parse_mail(arguments, manners).map(Self::Mail),
            Verb::Rcpt => parse_rcpt(arguments, manners).map(Self::Rcpt),
            Verb::Bdat => parse_bdat(arguments),
            Verb::Data if none => Ok(Self::Data),
            Verb::Rset if none => Ok(Self::Rset),
            Verb::Quit if none || manners == Manners::Loose => Ok(Self::Quit),
            Verb::StartTls if none => Ok(Self::StartTls),
            Verb::Vrfy if !none => Ok(Self::Vrfy),
            Verb::Noop => Ok(Self::Noop),
            Verb::Help => Ok(Self::Help),
            Verb::Auth => parse_auth(arguments).map(Self::Auth),
            Verb::Origin => parse_origin(arguments).map(Self::Origin),
            Verb::Expn | Verb::Etrn | Verb::Turn => {
                Err(Reply::enhanced(502, (5, 5, 1), "Error: command not implemented"))
            }
            _ => Err(syntax(verb.rules().syntax)),
        }
    }
}

/// An address of type `utf-8` in the form that ASCII can carry (RFC 6533 §3).
pub fn utf8_address_in_ascii(address: &str) -> String {
    let mut out = String::new();
    encode_utf8_address(address, false, &mut out);
    out
}

/// Whether the client may send a chunk behind a line, although nobody can say of how many
/// octets: the line is refused, or was not even kept, and begins with BDAT, whatever
/// stands in between. What follows must then not be read as commands (RFC 3030 §4.2
/// has clients send the chunk without waiting).
pub(crate) fn announces_chunk(line: &[u8]) -> bool {
    let letters = line.iter().filter(|octet| octet.is_ascii_graphic()).take(4);
    letters.map(u8::to_ascii_uppercase).eq(*b"BDAT")
}

fn refused(verb: Option<Verb>, reply: Reply) -> Refused {
    Refused { verb, reply, fatal: false }
}

fn syntax(form: &str) -> Reply {
    Reply::enhanced(501, (5, 5, 4), format!("Syntax: {form}"))
}

fn split_verb(text: &str) -> (Option<Verb>, &str) {
    let text = text.trim_matches([' ', '\t']);
    let end = text.find([' ', '\t']).unwrap_or(text.len());
    let (word, arguments) = text.split_at_checked(end).unwrap_or((text, ""));
    (Verb::parse(word), arguments.trim_start_matches([' ', '\t']))
}

/// Methods and fields by which a browser or an HTTP client gives itself away: a
/// web page can make it send commands of ours in a body (ALPACA, CVE-2021-3618).
const HTTP: [&str; 11] = [
    "GET",
    "POST",
    "PUT",
    "HEAD",
    "CONNECT",
    "OPTIONS",
    "PATCH",
    "DELETE",
    "HOST:",
    "USER-AGENT:",
    "CONTENT-TYPE:",
];

fn unknown(text: &str) -> Refused {
    let word = text.split_ascii_whitespace().next().unwrap_or_default();
    if HTTP.iter().any(|known| known.eq_ignore_ascii_case(word)) {
        let reply = Reply::enhanced(554, (5, 5, 1), "Error: this is SMTP, not HTTP");
        return Refused { verb: None, reply, fatal: true };
    }
    refused(None, Reply::enhanced(500, (5, 5, 2), "Error: command not recognized"))
}

fn parse_mail(arguments: &str, manners: Manners) -> Result<MailCommand, Reply> {
    let form = Verb::Mail.rules().syntax;
    let rest = strip_keyword(arguments, "FROM:").ok_or_else(|| syntax(form))?;
    let (path, parameters) = path(rest, manners).ok_or_else(|| syntax(form))?;
    let from = match path.as_ref() {
        "<>" => None,
        path => Some(parse_mailbox(path).map_err(|error| bad_address((5, 1, 7), "sender", error))?),
    };
    parameters::mail(from, parameters)
}

fn parse_rcpt(arguments: &str, manners: Manners) -> Result<RcptCommand, Reply> {
    let form = Verb::Rcpt.rules().syntax;
    let rest = strip_keyword(arguments, "TO:").ok_or_else(|| syntax(form))?;
    let (path, parameters) = path(rest, manners).ok_or_else(|| syntax(form))?;
    let to = parse_mailbox(&path).map_err(|error| bad_address((5, 1, 3), "recipient", error))?;
    parameters::rcpt(to, parameters)
}

fn bad_address(status: (u8, u16, u16), which: &str, error: AddressError) -> Reply {
    Reply::enhanced(501, status, format!("Bad {which} address syntax: {error}"))
}

fn strip_keyword<'a>(text: &'a str, keyword: &str) -> Option<&'a str> {
    let (head, rest) = text.split_at_checked(keyword.len())?;
    // A space after the colon is an error of old clients that everybody forgives.
    head.eq_ignore_ascii_case(keyword).then(|| rest.trim_start_matches([' ', '\t']))
}

fn path(text: &str, manners: Manners) -> Option<(Cow<'_, str>, &str)> {
    match (split_path(text), manners) {
        (Some((path, rest)), Manners::Strict) => Some((path.into(), rest)),
        (None, Manners::Strict) => None,
        (Some((path, rest)), Manners::Loose) => Some((with_brackets(path), rest)),
        (None, Manners::Loose) => {
            let end = end_of_word(text);
            let (word, rest) = text.split_at_checked(end).filter(|(word, _)| !word.is_empty())?;
            Some((with_brackets(word), rest))
        }
    }
}

/// One pair of brackets around what is left without brackets and blanks.
fn with_brackets(word: &str) -> Cow<'_, str> {
    const MARKS: [char; 4] = ['<', '>', ' ', '\t'];
    let bare = word.trim_matches(MARKS);
    if word.len() == bare.len() + 2 && word.starts_with('<') && word.ends_with('>') {
        return word.into();
    }
    format!("<{bare}>").into()
}

/// Where the first blank outside quotes is.
fn end_of_word(text: &str) -> usize {
    let (mut quoted, mut escaped) = (false, false);
    let is_end = |octet| match octet {
        _ if std::mem::take(&mut escaped) => false,
        b'\\' if quoted => {
            escaped = true;
            false
        }
        b'"' => {
            quoted = !quoted;
            false
        }
        other => !quoted && matches!(other, b' ' | b'\t'),
    };
    text.bytes().position(is_end).unwrap_or(text.len())
}

/// Splits `<path> parameters` after the bracket that ends the path: one inside a
/// quoted local part does not.
fn split_path(text: &str) -> Option<(&str, &str)> {
    let (mut quoted, mut escaped) = (false, false);
    for (index, octet) in text.bytes().enumerate() {
        match octet {
            _ if index == 0 && octet != b'<' => return None,
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'>' if !quoted => {
                let (path, rest) = text.split_at_checked(index + 1)?;
                let separated = rest.is_empty() || rest.starts_with([' ', '\t']);
                return separated.then_some((path, rest));
            }
            _ => {}
        }
    }
    None
}

fn parse_mailbox(path: &str) -> Result<Mailbox, AddressError> {
    match Address::parse_path(path) {
        Ok(address) => Ok(Mailbox::Address(address)),
        Err(AddressError::MissingDomain) => {
            let inner = path.strip_prefix('<').and_then(|rest| rest.strip_suffix('>'));
            let local_part = LocalPart::parse(inner.ok_or(AddressError::BadBrackets)?)?;
            Ok(Mailbox::Bare(local_part))
        }
        Err(error) => Err(error),
    }
}

/// `BDAT size [LAST]`. The size is digits and nothing else: a lenient reading of
/// `0x10` or `-1` would put the end of the chunk where the client does not.
fn parse_bdat(arguments: &str) -> Result<Command, Reply> {
    let form = || syntax(Verb::Bdat.rules().syntax);
    let mut words = arguments.split_ascii_whitespace();
    let size = words.next().and_then(parameters::digits).ok_or_else(form)?;
    let last = match words.next() {
        None => false,
        Some(word) if word.eq_ignore_ascii_case("LAST") => true,
        Some(_) => return Err(form()),
    };
    if words.next().is_some() {
        return Err(form());
    }
    Ok(Command::Bdat { size, last })
}

/// `AUTH mechanism [initial response]`, where `=` is a response of no octets. Some clients
/// put more than one blank between the two, or one behind them.
fn parse_auth(arguments: &str) -> Result<AuthCommand, Reply> {
    let form = || syntax(Verb::Auth.rules().syntax);
    let mut words = arguments.split_ascii_whitespace();
    let mechanism = words.next().ok_or_else(form)?;
    let initial = match words.next() {
        None => None,
        Some("=") => Some(Vec::new()),
        Some(word) => Some(base64::decode(word.as_bytes()).ok_or_else(not_base64)?),
    };
    if words.next().is_some() {
        return Err(form());
    }
    Ok(AuthCommand { mechanism: Mechanism::parse(mechanism), initial })
}

/// `XORIGIN name=value`, the value as xtext.
fn parse_origin(arguments: &str) -> Result<OriginClaim, Reply> {
    let form = || syntax(Verb::Origin.rules().syntax);
    let (name, value) = arguments.trim_end().split_once('=').ok_or_else(form)?;
    let is_name = |name: &str| {
        (1..=20).contains(&name.len()) && name.bytes().all(|octet| octet.is_ascii_lowercase())
    };
    let value = decode_xtext(value).filter(|_| is_name(name)).ok_or_else(form)?;
    Ok(OriginClaim { name: name.to_owned(), value })
}

/// The reply to what should be Base64 and is not (RFC 4954 §4).
pub(crate) fn not_base64() -> Reply {
    Reply::enhanced(501, (5, 5, 2), "Error: cannot decode the response: it is not Base64")
}

#[cfg(test)]
mod tests;
