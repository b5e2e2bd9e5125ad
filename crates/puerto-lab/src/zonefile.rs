//! The zone as people edit it: a master file (RFC 1035 §5), read and written.
//!
//! It is stricter than name servers are where a file may be right and still mean
//! something else than its author thinks: a name without its final dot, a text without
//! quotes, whose semicolon begins a comment. Each fault has its line. A SOA is read and
//! forgotten: the lab makes its own, and no serial number is to be counted up.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, Ipv6Addr};

use puerto_mail::dkim::zone_file_text;
use puerto_mail::dns::{Record, RecordType, canonical};

/// Octets of one character-string (RFC 1035 §3.3).
const MAX_STRING: usize = 255;
/// Octets of a name and of one of its labels (RFC 1035 §3.1).
const MAX_NAME: usize = 253;
const MAX_LABEL: usize = 63;
/// What names of the lab end in: a relative name that does lacks its final dot.
const TOPS: [&str; 5] = ["example", "com", "org", "net", "arpa"];

/// A record with the name and the line that it stands in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The name, without a final dot.
    pub name: String,
    /// The type.
    pub record_type: RecordType,
    /// The data.
    pub record: Record,
    /// The line, counted from 1.
    pub line: usize,
}

/// What is wrong with a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The line, counted from 1.
    pub line: usize,
    /// What is wrong.
    pub what: Problem,
}

/// What can be wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Problem {
    /// A quote that is not closed on its line.
    OpenQuote,
    /// A parenthesis that is not closed.
    OpenParenthesis,
    /// The line begins with a blank, and no name stands above it.
    NoName,
    /// The line holds a name, and no type.
    NoType(String),
    /// No such type is known here.
    UnknownType(String),
    /// The type's data is missing.
    NoData(RecordType),
    /// There is more than the type's data.
    TooMuch(RecordType, String),
    /// Not an IPv4 address.
    NotIpv4(String),
    /// Not an IPv6 address.
    NotIpv6(String),
    /// Not a number from 0 to 65535.
    NotAPreference(String),
    /// Not a name.
    NotAName(String),
    /// An address where a host's name belongs.
    AddressForName(String),
    /// A name that is taken below the origin, and was not meant to be: the name as it
    /// is written, and as it would be.
    NoDot(String, String),
    /// A text without quotes.
    NoQuotes,
    /// A string of so many octets.
    LongString(usize),
    /// A name that has an alias has something else, too.
    AliasAndMore(String),
    /// A name that is somebody else's.
    NotYours(String),
    /// `$INCLUDE` and others.
    UnknownDirective(String),
}

/// Reads a file. What is wrong is told for every line at once.
pub fn parse(text: &str) -> Result<Vec<Entry>, Vec<Fault>> {
    let mut reader = Reader { origin: String::new(), owner: None, entries: Vec::new() };
    let mut faults = Vec::new();
    for line in logical_lines(text) {
        let read = line.and_then(|line| {
            let number = line.number;
            reader.read(line).map_err(|what| Fault { line: number, what })
        });
        faults.extend(read.err());
    }
    faults.extend(reader.aliases_and_more());
    if faults.is_empty() { Ok(reader.entries) } else { Err(faults) }
}

/// Names that are not at or below one of `yours`.
pub fn foreign<'a>(entries: &'a [Entry], yours: &'a [&str]) -> impl Iterator<Item = Fault> + 'a {
    let is_yours = |name: &str| yours.iter().any(|top| puerto_mail::dns::is_at_or_below(name, top));
    entries
        .iter()
        .filter(move |entry| !is_yours(&entry.name))
        .map(|entry| Fault { line: entry.line, what: Problem::NotYours(entry.name.clone()) })
}

/// Writes records, those of a domain together.
pub fn write(records: &[(String, RecordType, Record)]) -> String {
    let mut sorted: Vec<_> = records.iter().map(|record| (zone_of(&record.0), record)).collect();
    sorted.sort();
    let mut out = String::new();
    let mut origin = None;
    for (zone, (name, record_type, record)) in sorted {
        if origin.as_deref() != Some(zone) {
            let _infallible = writeln!(out, "\n$ORIGIN {zone}.");
            origin = Some(zone.to_owned());
        }
        let relative = name.strip_suffix(zone).map(|name| name.trim_end_matches('.'));
        let relative = match relative {
            Some("") => "@",
            Some(relative) => relative,
            None => name,
        };
        let data = match record {
            Record::Address(address) => address.to_string(),
            Record::Mx(preference, host) => format!("{preference} {host}."),
            Record::Txt(text) => zone_file_text(&String::from_utf8_lossy(text)),
            Record::Name(target) => format!("{target}."),
            Record::Soa(..) | Record::Tlsa(..) => continue,
        };
        let data = match data.matches("\" \"").count() {
            0 => data,
            _ => format!("( {} )", data.replace("\" \"", "\"\n                            \"")),
        };
        let record_type = record_type.to_string();
        let _infallible = writeln!(out, "{relative:<22} {record_type:<5} {data}");
    }
    out
}

// The last two labels; for a reverse name all but the first.
fn zone_of(name: &str) -> &str {
    if puerto_mail::dns::is_at_or_below(name, "arpa") {
        return name.split_once('.').map_or(name, |(_, zone)| zone);
    }
    let dot = name.rmatch_indices('.').nth(1).map(|(at, _)| at + 1);
    dot.and_then(|at| name.get(at..)).unwrap_or(name)
}

struct Token {
    text: String,
    quoted: bool,
}

// A record, which parentheses may spread over several lines.
struct Line {
    number: usize,
    // It begins with a blank: the name is the one above.
    indented: bool,
    tokens: Vec<Token>,
}

fn logical_lines(text: &str) -> Vec<Result<Line, Fault>> {
    let mut lines = Vec::new();
    let mut open: Option<Line> = None;
    let mut depth = 0_usize;
    for (index, line) in text.lines().enumerate() {
        let number = index + 1;
        let mut current = open.take().unwrap_or_else(|| Line {
            number,
            indented: line.starts_with([' ', '\t']),
            tokens: Vec::new(),
        });
        if let Err(what) = tokens(line, &mut current.tokens, &mut depth) {
            lines.push(Err(Fault { line: number, what }));
            depth = 0;
        } else if depth > 0 {
            open = Some(current);
        } else if !current.tokens.is_empty() {
            lines.push(Ok(current));
        }
    }
    let unclosed =
        open.map(|line| Err(Fault { line: line.number, what: Problem::OpenParenthesis }));
    lines.extend(unclosed);
    lines
}

fn tokens(line: &str, out: &mut Vec<Token>, depth: &mut usize) -> Result<(), Problem> {
    let mut rest = line.trim_start_matches('\u{feff}').chars();
    let mut word = String::new();
    let end_word = |word: &mut String, out: &mut Vec<Token>| {
        if !word.is_empty() {
            out.push(Token { text: std::mem::take(word), quoted: false });
        }
    };
    while let Some(c) = rest.next() {
        match c {
            ';' => break,
            '"' => {
                end_word(&mut word, out);
                out.push(Token { text: quoted(&mut rest)?, quoted: true });
            }
            '(' | ')' => {
                end_word(&mut word, out);
                *depth = if c == '(' { *depth + 1 } else { depth.saturating_sub(1) };
            }
            c if c.is_whitespace() => end_word(&mut word, out),
            c => word.push(c),
        }
    }
    end_word(&mut word, out);
    Ok(())
}

// `\"` and `\\` stand for themselves, and `\059` for the octet of that number.
fn quoted(rest: &mut std::str::Chars<'_>) -> Result<String, Problem> {
    let mut text = Vec::new();
    let put = |text: &mut Vec<u8>, c: char| {
        let mut octets = [0; 4];
        text.extend_from_slice(c.encode_utf8(&mut octets).as_bytes());
    };
    loop {
        match rest.next().ok_or(Problem::OpenQuote)? {
            '"' => break,
            '\\' => {
                let digits: String = rest.as_str().chars().take(3).collect();
                match digits.parse::<u8>() {
                    Ok(octet) if digits.len() == 3 => {
                        text.push(octet);
                        rest.by_ref().take(3).for_each(drop);
                    }
                    _ => put(&mut text, rest.next().ok_or(Problem::OpenQuote)?),
                }
            }
            c => put(&mut text, c),
        }
    }
    match text.len() > MAX_STRING {
        true => Err(Problem::LongString(text.len())),
        false => Ok(String::from_utf8_lossy(&text).into_owned()),
    }
}

struct Reader {
    origin: String,
    owner: Option<String>,
    entries: Vec<Entry>,
}

impl Reader {
    fn read(&mut self, line: Line) -> Result<(), Problem> {
        let mut tokens = line.tokens.into_iter().peekable();
        if let Some(directive) = tokens.peek().filter(|token| token.text.starts_with('$')) {
            let directive = directive.text.to_ascii_uppercase();
            let value = tokens.nth(1).map(|token| token.text);
            return self.direct(directive, value.as_deref());
        }
        let owner = match tokens.peek() {
            Some(first) if !line.indented => {
                let owner = self.name(&first.text)?;
                tokens.next();
                owner
            }
            _ => self.owner.clone().ok_or(Problem::NoName)?,
        };
        self.owner = Some(owner.clone());
        // A time to live and the class may stand before the type, in any order.
        let is_prefix = |token: &Token| {
            let text = token.text.as_str();
            text.eq_ignore_ascii_case("IN")
                || text.starts_with(|c: char| c.is_ascii_digit())
                    && text.trim_end_matches(['s', 'm', 'h', 'd', 'w']).parse::<u32>().is_ok()
        };
        while tokens.next_if(|token| is_prefix(token)).is_some() {}
        let kind = tokens.next().ok_or_else(|| Problem::NoType(owner.clone()))?;
        let record_type = match kind.text.to_ascii_uppercase().as_str() {
            "A" => RecordType::A,
            "AAAA" => RecordType::Aaaa,
            "MX" => RecordType::Mx,
            "TXT" => RecordType::Txt,
            "PTR" => RecordType::Ptr,
            "CNAME" => RecordType::Cname,
            "NS" => RecordType::Ns,
            "SOA" => return Ok(()),
            _ => return Err(Problem::UnknownType(kind.text)),
        };
        let data: Vec<Token> = tokens.collect();
        let record = self.data(record_type, &data)?;
        self.entries.push(Entry { name: owner, record_type, record, line: line.number });
        Ok(())
    }

    fn direct(&mut self, directive: String, value: Option<&str>) -> Result<(), Problem> {
        match (directive.as_str(), value) {
            ("$TTL", _) => Ok(()),
            ("$ORIGIN", Some(name)) => {
                if !name.ends_with('.') {
                    return Err(Problem::NoDot(name.to_owned(), format!("{name}.")));
                }
                self.origin = checked(name)?;
                self.owner = None;
                Ok(())
            }
            _ => Err(Problem::UnknownDirective(directive)),
        }
    }

    fn name(&self, written: &str) -> Result<String, Problem> {
        if written == "@" {
            return Ok(self.origin.clone());
        }
        if written.ends_with('.') {
            return checked(written);
        }
        let whole = match self.origin.is_empty() {
            true => written.to_owned(),
            false => format!("{written}.{}", self.origin),
        };
        let last = written.rsplit('.').next().unwrap_or_default();
        if TOPS.contains(&last.to_ascii_lowercase().as_str()) {
            return Err(Problem::NoDot(written.to_owned(), whole));
        }
        checked(&whole)
    }

    fn host(&self, written: &str) -> Result<String, Problem> {
        let is_address = written.trim_end_matches('.').parse::<std::net::IpAddr>().is_ok();
        if is_address {
            return Err(Problem::AddressForName(written.to_owned()));
        }
        self.name(written)
    }

    fn data(&self, record_type: RecordType, data: &[Token]) -> Result<Record, Problem> {
        if record_type == RecordType::Txt {
            return text(data);
        }
        let (value, more, rest) = match (record_type, data) {
            (_, []) | (RecordType::Mx, [_]) => return Err(Problem::NoData(record_type)),
            (RecordType::Mx, [preference, host, rest @ ..]) => {
                (host.text.as_str(), Some(preference.text.as_str()), rest)
            }
            (_, [value, rest @ ..]) => (value.text.as_str(), None, rest),
        };
        if let [more, ..] = rest {
            return Err(Problem::TooMuch(record_type, more.text.clone()));
        }
        let owned = || value.to_owned();
        Ok(match (record_type, more) {
            (RecordType::A, _) => {
                let address = value.parse::<Ipv4Addr>().map_err(|_| Problem::NotIpv4(owned()))?;
                Record::Address(address.into())
            }
            (RecordType::Aaaa, _) => {
                let address = value.parse::<Ipv6Addr>().map_err(|_| Problem::NotIpv6(owned()))?;
                Record::Address(address.into())
            }
            (_, Some(preference)) => {
                let not_a_number = |_| Problem::NotAPreference(preference.to_owned());
                let preference = preference.parse().map_err(not_a_number)?;
                let host = if value == "." { String::new() } else { self.host(value)? };
                Record::Mx(preference, host)
            }
            (_, None) => Record::Name(self.host(value)?),
        })
    }

    fn aliases_and_more(&self) -> Vec<Fault> {
        let mut faults = Vec::new();
        for alias in self.entries.iter().filter(|one| one.record_type == RecordType::Cname) {
            let more = self.entries.iter().find(|one| one.name == alias.name && *one != alias);
            faults.extend(more.map(|more| Fault {
                line: more.line.max(alias.line),
                what: Problem::AliasAndMore(alias.name.clone()),
            }));
        }
        faults
    }
}

fn text(data: &[Token]) -> Result<Record, Problem> {
    if data.is_empty() {
        return Err(Problem::NoData(RecordType::Txt));
    }
    if data.iter().any(|token| !token.quoted) {
        return Err(Problem::NoQuotes);
    }
    let whole: String = data.iter().map(|token| token.text.as_str()).collect();
    Ok(Record::Txt(whole.into_bytes()))
}

fn checked(name: &str) -> Result<String, Problem> {
    let bare = canonical(name);
    let is_label = |label: &str| {
        let is_fit = |octet: u8| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_');
        !label.is_empty() && label.len() <= MAX_LABEL && label.bytes().all(is_fit)
    };
    match bare.len() <= MAX_NAME && bare.split('.').all(is_label) {
        true => Ok(bare),
        false => Err(Problem::NotAName(name.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Zone;
    use crate::world;

    fn problem(text: &str) -> (usize, Problem) {
        let faults = parse(text).unwrap_err();
        let [fault] = faults.as_slice() else { panic!("{faults:?}") };
        (fault.line, fault.what.clone())
    }

    fn records(text: &str) -> Vec<(String, RecordType, Record)> {
        let entries = parse(text).unwrap();
        entries.into_iter().map(|one| (one.name, one.record_type, one.record)).collect()
    }

    #[test]
    fn the_whole_world_is_read_as_it_was_written() {
        let zone = Zone::new();
        world::publish(&zone);
        let long = format!("v=DKIM1; k=rsa; p={}", "A".repeat(400));
        zone.add_txt("rsa._domainkey.lab.example", &long);
        zone.add_pointer("::1".parse().unwrap(), "mail.lab.example");
        zone.add_mx("null.example", 0, "");
        zone.add_txt("word.example", "a \"contraseña\"; two \\ three");
        let written = write(&zone.records());
        let read = Zone::new();
        read.replace(records(&written));
        assert_eq!(read.records(), zone.records(), "{written}");
    }

    #[test]
    fn what_name_servers_read_is_read() {
        let text = "$TTL 1h\n$ORIGIN lab.example.\n\
             @ 3600 IN SOA ns1 hostmaster ( 2026112901 ; serial\n 7200 900 1209600 3600 )\n\
             \tIN MX 10 mx\n\
             mail IN 300 A 127.0.0.10 ; the server\n\
             \tAAAA ::1\n\
             Www CNAME mail.lab.example.\n\
             @ TXT ( \"v=spf1 \"\n \"ip4:127.0.0.10 \\\"\\059\" )\n";
        let name = |name: &str| name.to_owned();
        assert_eq!(
            records(text),
            [
                (name("lab.example"), RecordType::Mx, Record::Mx(10, name("mx.lab.example"))),
                (
                    name("mail.lab.example"),
                    RecordType::A,
                    Record::Address("127.0.0.10".parse().unwrap())
                ),
                (
                    name("mail.lab.example"),
                    RecordType::Aaaa,
                    Record::Address("::1".parse().unwrap())
                ),
                (
                    name("www.lab.example"),
                    RecordType::Cname,
                    Record::Name(name("mail.lab.example"))
                ),
                (
                    name("lab.example"),
                    RecordType::Txt,
                    Record::Txt(b"v=spf1 ip4:127.0.0.10 \";".to_vec())
                ),
            ]
        );
    }

    #[test]
    fn what_people_stumble_over_is_told_with_its_line() {
        let origin = "$ORIGIN lab.example.\n";
        let own = |text: &str| problem(&format!("{origin}{text}"));
        let said = |text: &str| text.to_owned();
        let no_dot = |name: &str| Problem::NoDot(said(name), format!("{name}.lab.example"));
        for (text, what) in [
            ("@ MX 10 mail.lab.example", no_dot("mail.lab.example")),
            ("lab.example TXT \"v=spf1 -all\"", no_dot("lab.example")),
            ("@ MX mail", Problem::NoData(RecordType::Mx)),
            ("@ MX ten mail", Problem::NotAPreference(said("ten"))),
            ("@ MX 10 127.0.0.10", Problem::AddressForName(said("127.0.0.10"))),
            ("mail A 127.0.0.300", Problem::NotIpv4(said("127.0.0.300"))),
            ("mail A mail", Problem::NotIpv4(said("mail"))),
            ("mail AAAA 127.0.0.1", Problem::NotIpv6(said("127.0.0.1"))),
            ("mail A 127.0.0.1 127.0.0.2", Problem::TooMuch(RecordType::A, said("127.0.0.2"))),
            // The semicolon of an unquoted key begins a comment.
            ("s._domainkey TXT v=DKIM1; k=rsa; p=MII", Problem::NoQuotes),
            ("@ TXT v=spf1 -all", Problem::NoQuotes),
            ("@ TXT \"v=spf1 -all", Problem::OpenQuote),
            ("@ TXT", Problem::NoData(RecordType::Txt)),
            ("@ SPF \"v=spf1 -all\"", Problem::UnknownType(said("SPF"))),
            ("mail", Problem::NoType(said("mail.lab.example"))),
            ("  A 127.0.0.1", Problem::NoName),
            ("$INCLUDE other", Problem::UnknownDirective(said("$INCLUDE"))),
            ("mail..x A 127.0.0.1", Problem::NotAName(said("mail..x.lab.example"))),
            ("@ TXT ( \"a\"", Problem::OpenParenthesis),
        ] {
            assert_eq!(own(text), (2, what), "{text}");
        }
        let long = format!("s._domainkey TXT \"{}\"", "A".repeat(400));
        assert_eq!(own(&long), (2, Problem::LongString(400)));
        let both = own("www CNAME mail\nwww A 127.0.0.1");
        assert_eq!(both, (3, Problem::AliasAndMore(said("www.lab.example"))));
        assert_eq!(
            problem("$ORIGIN lab.example"),
            (1, Problem::NoDot(said("lab.example"), said("lab.example.")))
        );
        let entries =
            parse("mx.strict.example. A 127.0.0.9\nmail.lab.example. A 127.0.0.10").unwrap();
        let foreign: Vec<Fault> = foreign(&entries, &["lab.example"]).collect();
        assert_eq!(
            foreign,
            [Fault { line: 1, what: Problem::NotYours(said("mx.strict.example")) }]
        );
    }
}
