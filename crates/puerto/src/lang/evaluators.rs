//! What the evaluators of SPF, DKIM and DMARC find, in Spanish. They know no languages: in
//! English it is what they display. What they quote of a message or of the DNS stays.

use std::fmt::Display;

use puerto_mail::dkim::{RecordError, Step, TagError};
use puerto_mail::dmarc::{Alignment, Finding};
use puerto_mail::dns::DnsError;
use puerto_mail::spf::{Answer, Reason, SyntaxError, TermError};

use super::{Language, Said, crates, dns_error};

/// What is English where it is displayed.
pub trait InSpanish: Display {
    /// The same in Spanish.
    fn in_spanish(&self) -> String;
}

impl<T: InSpanish> From<&T> for Said {
    fn from(value: &T) -> Self {
        crates::beside(value, value.in_spanish())
    }
}

impl InSpanish for DnsError {
    fn in_spanish(&self) -> String {
        dns_error(self).of(Language::Spanish)
    }
}

impl InSpanish for Answer {
    fn in_spanish(&self) -> String {
        match self {
            Self::Records(shown, 0) => shown.join(", "),
            Self::Records(shown, more) => format!("{} y {more} más", shown.join(", ")),
            Self::Nothing(error) => error.in_spanish(),
            Self::NoSuchName => Reason::NoSuchName.in_spanish(),
        }
    }
}

impl InSpanish for Reason {
    fn in_spanish(&self) -> String {
        let words = match self {
            Self::NotADomain => "no es un nombre de dominio completo",
            Self::NoSuchName => "ese nombre no puede existir en el DNS",
            Self::NoTexts(error) => return format!("sin registro SPF: {}", error.in_spanish()),
            Self::NoRecord => "ningún registro TXT empieza por v=spf1",
            Self::SeveralRecords => "varios registros SPF: los receptores aceptan uno solo",
            Self::Dns(error) => return error.in_spanish(),
            Self::Asked(name, error) => return format!("{name}: {}", error.in_spanish()),
            Self::Syntax(error) => return error.in_spanish(),
            Self::NoTermMatched => "ningún término coincidió",
            Self::RedirectToNone => "el destino no tiene registro SPF",
            Self::IncludeOfNone => "el dominio incluido no tiene registro SPF",
            Self::TooManyMx(name, count) => {
                return format!("{name} tiene {count} registros MX, más de 10");
            }
            Self::TooManyLookups => {
                "más de 10 términos del registro y de sus include consultan el DNS"
            }
            Self::TooManyVoidLookups => {
                "más de 2 consultas del registro y de sus include no llevan a nada"
            }
            Self::Term(term, why) => return format!("término `{term}`: {}", why.in_spanish()),
        };
        words.to_owned()
    }
}

impl InSpanish for SyntaxError {
    fn in_spanish(&self) -> String {
        match self {
            Self::NotAscii => "el registro tiene caracteres no ASCII".to_owned(),
            Self::Term(term, error) => format!("término `{term}`: {}", error.in_spanish()),
        }
    }
}

impl InSpanish for TermError {
    fn in_spanish(&self) -> String {
        match self {
            Self::ControlCharacter => {
                "los términos se separan con espacios, no con caracteres de control".to_owned()
            }
            Self::Twice(name) => format!("{name}= solo puede aparecer una vez"),
            Self::AllWithValue => "`all` no lleva valor".to_owned(),
            Self::NoValue(name) => format!("a `{name}` le faltan los dos puntos y un valor"),
            Self::UnknownMechanism(name) => format!("`{name}` no es un mecanismo"),
            Self::NotAPrefix(text) => format!("`{text}` no es una longitud de prefijo"),
            Self::PrefixTooLong(digits, max) => {
                format!("`/{digits}` no es una longitud de prefijo de 0 a {max}")
            }
            Self::NotIpv4(text) => format!("`{text}` no es una dirección IPv4"),
            Self::NotIpv6(text) => format!("`{text}` no es una dirección IPv6"),
            Self::BarePercent => "tras % debe ir {, %, _ o -".to_owned(),
            Self::MacroNotClosed => "a una macro le falta la } final".to_owned(),
            Self::MacroEmpty => "una macro está vacía".to_owned(),
            Self::ExplanationMacro(letter) => {
                format!("%{{{letter}}} solo se admite en una explicación")
            }
            Self::UnknownMacro(letter) => format!("%{{{letter}}} no es una macro"),
            Self::ZeroParts => "una macro no conserva ninguna parte".to_owned(),
            Self::BadDelimiters(text) => {
                format!("`{text}` no es una lista de delimitadores de macro")
            }
            Self::NoDomain => "falta un nombre de dominio".to_owned(),
            Self::NoTopLevel(text) => {
                format!("`{text}` no termina en un dominio de primer nivel")
            }
        }
    }
}

impl InSpanish for Step {
    fn in_spanish(&self) -> String {
        let words = match self {
            Self::Signer(..) | Self::Algorithm(_) => return self.to_string(),
            Self::Key(kind, bits, testing) => {
                let testing = if *testing { ", en modo de prueba (t=y)" } else { "" };
                return format!("clave {kind} de {bits} bits{testing}");
            }
            Self::SeveralKeys(count) => {
                return format!(
                    "{count} claves en el selector, de las que puede contar cualquiera"
                );
            }
            Self::Body(octets) => return format!("{octets} octetos"),
            Self::Fields(count) => return format!("{count} campos"),
            Self::PartOfBody(signed, octets) => {
                return format!(
                    "l= cubre {signed} de {octets} octetos: cualquiera pudo añadir el resto"
                );
            }
            Self::NotChecked(checked) => {
                return format!("solo se comprueban las {checked} primeras firmas");
            }
            Self::Tags(error) => return error.in_spanish(),
            Self::Missing(tag) => return format!("falta la etiqueta {tag}="),
            Self::Version => "v= no es 1",
            Self::FromNotSigned => "h= no cubre From",
            Self::NotBase64(tag) => return format!("{tag}= no es base64"),
            Self::Query => "q= no ofrece dns/txt",
            Self::Sha1 => "rsa-sha1 no prueba nada desde el RFC 8301: firme con rsa-sha256",
            Self::UnknownAlgorithm(name) => return format!("el algoritmo «{name}» no se conoce"),
            Self::UnknownForm(form) => return format!("c={form} no se conoce"),
            Self::NotAName(tag, value) => return format!("{tag}={value} no es un nombre"),
            Self::NotANumber(value) => return format!("«{value}» no es un número"),
            Self::ExpiresBeforeSigned => "x= es anterior a t=",
            Self::Expired => "la firma ha caducado (x=)",
            Self::InTheFuture => "la firma se hizo en el futuro (t=): hay un reloj mal puesto",
            Self::NoIdentity => "i= no tiene @",
            Self::ForeignIdentity => "i= no está dentro de d=",
            Self::NoKey(name, error) => {
                return format!("no hay clave en {name}: {}", error.in_spanish());
            }
            Self::NoAnswer(name, error) => {
                return format!("sin respuesta para {name}: {}", error.in_spanish());
            }
            Self::KeyRecord(name, error) => return format!("{name}: {}", error.in_spanish()),
            Self::OtherKind(kind, algorithm) => {
                return format!("la clave es para {kind}, no para {algorithm}");
            }
            Self::HashNotAllowed => "el h= del registro de la clave no permite sha256",
            Self::IdentityNotAllowed(identity) => {
                return format!("el t=s del registro de la clave no permite i={identity}");
            }
            Self::BodyTooShort(length, octets) => {
                return format!("l={length} es más que los {octets} octetos del cuerpo");
            }
            Self::BodyChanged => {
                "el hash del cuerpo no coincide: el cuerpo se cambió después de firmarlo"
            }
            Self::HeaderChanged => {
                "la firma no corresponde a la cabecera: se cambió un campo después de firmarlo, o \
                 la clave publicada no es la de quien firmó"
            }
        };
        words.to_owned()
    }
}

impl InSpanish for TagError {
    fn in_spanish(&self) -> String {
        match self {
            Self::NotATag(text) => format!("«{text}» no es una etiqueta"),
            Self::NotAName(text) => format!("«{text}» no es un nombre de etiqueta"),
            Self::TooMany(most) => format!("hay más de {most} etiquetas"),
            Self::Twice(name) => format!("la etiqueta {name}= está repetida"),
        }
    }
}

impl InSpanish for RecordError {
    fn in_spanish(&self) -> String {
        let words = match self {
            Self::Malformed(error) => {
                return format!("el registro de la clave está mal escrito: {}", error.in_spanish());
            }
            Self::Version => "el registro de la clave no empieza por v=DKIM1",
            Self::NoKey => "el registro de la clave no tiene p=",
            Self::Revoked => "la clave está revocada: p= está vacío",
            Self::UnknownKind(kind) => {
                return format!("el k={kind} del registro de la clave no se conoce");
            }
            Self::BadKey(kind) => {
                return format!(
                    "el p= del registro de la clave no contiene una clave {kind} válida"
                );
            }
            Self::TooShort(bits) => {
                return format!(
                    "la clave RSA tiene {bits} bits: hacen falta al menos 1024, mejor 2048"
                );
            }
            Self::NotForEmail => "el s= del registro de la clave no permite el correo",
        };
        words.to_owned()
    }
}

impl InSpanish for Finding {
    fn in_spanish(&self) -> String {
        let words = match self {
            Self::NotADomain => "su dominio no es un nombre de dominio",
            Self::DomainAbsent => "su dominio no existe: se aplica np",
            Self::Record(text) => text,
            Self::Absent => "no hay registro",
            Self::NoneBegins => "ningún registro empieza por v=DMARC1",
            Self::Several => "varios registros, así que no cuenta ninguno",
            Self::Damaged(text) => {
                return format!("el registro está dañado, así que no cuenta: {text}");
            }
            Self::AsksNothing(text) => {
                return format!("sin política válida y sin rua, así que no cuenta: {text}");
            }
            Self::Dns(error) => return error.in_spanish(),
            Self::Policy(policy, domain, testing) => {
                let testing = if *testing { ", en modo de prueba" } else { "" };
                return format!("{policy} según el registro de {domain}{testing}");
            }
            Self::NoneApplies => "ningún registro es aplicable",
            Self::Unknown(name, error) => {
                return format!("no se sabe: {name}: {}", error.in_spanish());
            }
            Self::Alignment(Alignment::Aligned) => "pasa y está alineado con From",
            Self::Alignment(Alignment::NotAligned) => "pasa, pero no está alineado con From",
            Self::Alignment(Alignment::NotPassed) => "no pasa",
            Self::Alignment(Alignment::Unknown) => "pasa; el DNS no ha dicho si está alineado",
        };
        words.to_owned()
    }
}
