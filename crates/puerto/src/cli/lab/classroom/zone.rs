//! The zone that a student edits: its file read and written, and what is wrong with it
//! said in both languages.

use std::path::Path;

use puerto_lab::zonefile::{self, Fault, Problem};
use puerto_mail::dns::{Record, RecordType, is_at_or_below};

use crate::lang::{Language, Said, Text, said};

/// The file's name in the folder of a lab.
pub(super) const FILE: &str = "dns.zone";

/// Records, as a zone has them.
pub(super) type Records = Vec<(String, RecordType, Record)>;

const HEAD: Text = Text::new(
    "; The DNS of this lab. Save the file and it holds at once; if a line is wrong, the lab\n\
     ; says which and the DNS stays as it was. A name without a final dot lies below\n\
     ; $ORIGIN, and @ is $ORIGIN itself. A text stands in quotes, in pieces of at most 255\n\
     ; characters: TXT ( \"…\" \"…\" ) is one text. No serial number has to be counted up.\n",
    "; El DNS de este laboratorio. Guarde el fichero y valdrá enseguida; si una línea está\n\
     ; mal, el laboratorio dice cuál y el DNS se queda como estaba. Un nombre sin punto final\n\
     ; está por debajo de $ORIGIN, y @ es el propio $ORIGIN. Un texto va entre comillas, en\n\
     ; trozos de 255 caracteres como mucho: TXT ( \"…\" \"…\" ) es un solo texto. No hay que\n\
     ; aumentar ningún número de serie.\n",
);

/// The records that the student may edit, and those that are others'. All are the
/// student's if `yours` is empty.
pub(super) fn divide(records: Records, yours: &[&str]) -> (Records, Records) {
    let is_yours = |name: &str| yours.iter().any(|top| is_at_or_below(name, top));
    records.into_iter().partition(|(name, ..)| yours.is_empty() || is_yours(name))
}

/// The file as the lab writes it.
pub(super) fn write(records: &Records, language: Language) -> String {
    format!("{}{}", HEAD.of(language), zonefile::write(records))
}

/// Reads the file; what is wrong, line by line.
pub(super) fn read(text: &str, yours: &[&str]) -> Result<Records, Vec<Fault>> {
    let entries = zonefile::parse(text)?;
    if !yours.is_empty() {
        let foreign: Vec<Fault> = zonefile::foreign(&entries, yours).collect();
        if !foreign.is_empty() {
            return Err(foreign);
        }
    }
    Ok(entries.into_iter().map(|one| (one.name, one.record_type, one.record)).collect())
}

/// A fault with its place: `…/dns.zone:7: …`.
pub(super) fn said_of(file: &Path, fault: &Fault, yours: &[&str]) -> Said {
    let line = fault.line.to_string();
    let what = what(&fault.what, yours);
    Said::of_both(|language| format!("{}:{line}: {}", file.display(), what.of(language)))
}

fn what(problem: &Problem, yours: &[&str]) -> Said {
    match problem {
        Problem::OpenQuote => said!(
            "a quote is not closed: close it with \" on the same line",
            "hay unas comillas sin cerrar: ciérrelas con \" en la misma línea"
        ),
        Problem::OpenParenthesis => {
            said!("a parenthesis is not closed: add )", "hay un paréntesis sin cerrar: añada )")
        }
        Problem::NoName => said!(
            "the line begins with a blank, so it is about the name above, and there is none: \
             begin it with a name, or with @",
            "la línea empieza por un espacio, así que trata del nombre de arriba, y no hay \
             ninguno: empiécela por un nombre o por @"
        ),
        Problem::NoType(name) => said!(
            "{name} has no type and no data: write for example {name}. A 127.0.0.10",
            "{name} no tiene tipo ni datos: escriba por ejemplo {name}. A 127.0.0.10"; name = name
        ),
        Problem::UnknownType(kind) => said!(
            "the type `{kind}` is not known here: A, AAAA, MX, TXT, PTR, CNAME, NS or SOA; SPF, \
             DKIM and DMARC are published as TXT",
            "el tipo `{kind}` no se conoce aquí: A, AAAA, MX, TXT, PTR, CNAME, NS o SOA; SPF, DKIM \
             y DMARC se publican como TXT"; kind = kind
        ),
        Problem::NoData(RecordType::Mx) => said!(
            "an MX record has a preference and a host: MX 10 mail",
            "un registro MX lleva una preferencia y un servidor: MX 10 mail"
        ),
        Problem::NoData(kind) => said!(
            "the data of the {kind} record is missing",
            "faltan los datos del registro {kind}"; kind = kind
        ),
        Problem::TooMuch(kind, more) => said!(
            "`{more}` is one thing too many in an {kind} record: write each record on a line of \
             its own",
            "`{more}` sobra en un registro {kind}: escriba cada registro en su propia línea";
            kind = kind, more = more
        ),
        Problem::NotIpv4(text) => said!(
            "`{text}` is no IPv4 address such as 127.0.0.10; a name belongs into CNAME or MX",
            "`{text}` no es una dirección IPv4 como 127.0.0.10; un nombre va en CNAME o MX";
            text = text
        ),
        Problem::NotIpv6(text) => said!(
            "`{text}` is no IPv6 address such as ::1",
            "`{text}` no es una dirección IPv6 como ::1"; text = text
        ),
        Problem::NotAPreference(text) => said!(
            "`{text}` is no preference from 0 to 65535: MX 10 mail",
            "`{text}` no es una preferencia de 0 a 65535: MX 10 mail"; text = text
        ),
        Problem::NotAName(text) => said!(
            "`{text}` is no name: letters, digits, - and _, in parts of at most 63",
            "`{text}` no es un nombre: letras, cifras, - y _, en partes de 63 como mucho";
            text = text
        ),
        Problem::AddressForName(text) => said!(
            "`{text}` is an address, and a name belongs here: give the address a name with an A \
             record, and write that name",
            "`{text}` es una dirección, y aquí va un nombre: dé un nombre a la dirección con un \
             registro A, y escriba ese nombre"; text = text
        ),
        Problem::NoDot(text, whole) => said!(
            "`{text}` has no final dot, so it would be {whole}: write `{text}.`",
            "a `{text}` le falta el punto final, así que sería {whole}: escriba `{text}.`";
            text = text, whole = whole
        ),
        Problem::NoQuotes => said!(
            "a text stands in quotes, since blanks would part it and ; would begin a comment: \
             TXT \"v=spf1 -all\"",
            "un texto va entre comillas, pues los espacios lo partirían y ; empezaría un \
             comentario: TXT \"v=spf1 -all\""
        ),
        Problem::LongString(octets) => said!(
            "a string has {octets} characters, and at most 255 are possible: part it, and it \
             remains one text: TXT ( \"…\" \"…\" )",
            "una cadena tiene {octets} caracteres y caben 255: pártala, y seguirá siendo un solo \
             texto: TXT ( \"…\" \"…\" )"; octets = octets
        ),
        Problem::AliasAndMore(name) => said!(
            "{name} is an alias (CNAME) and has another record: an alias has nothing else",
            "{name} es un alias (CNAME) y tiene otro registro: un alias no lleva nada más";
            name = name
        ),
        Problem::NotYours(name) => said!(
            "{name} is not yours to publish: yours are {yours} and what lies below",
            "{name} no es suyo: suyos son {yours} y lo que hay por debajo";
            name = name, yours = yours.join(", ")
        ),
        Problem::UnknownDirective(directive) => said!(
            "`{directive}` is not known here: only $ORIGIN with a name and $TTL are",
            "`{directive}` no se conoce aquí: solo $ORIGIN con un nombre, y $TTL";
            directive = directive
        ),
    }
}
