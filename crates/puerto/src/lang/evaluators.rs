//! What the evaluators of SPF, DKIM and DMARC find, in Spanish. They know no languages: in
//! English it is what they display. What they quote of a message or of the DNS stays.

use std::fmt::Display;

use puerto_mail::dkim::{RecordError, Step, TagError};
use puerto_mail::dmarc::{Alignment, Finding};
use puerto_mail::spf::{Answer, Reason, SyntaxError, TermError};

use super::{Said, crates};

/// What is English where it is displayed.
pub trait InSpanish: Display {
    /// The same in Spanish.
    fn in_spanish(&self) -> String;
}

/// The Spanish of each variant, with what is put into it.
macro_rules! in_spanish {
    ($type:ty: $($variant:pat $(if $when:expr)? => $text:literal $(, $value:expr)*;)*) => {
        impl $crate::lang::InSpanish for $type {
            fn in_spanish(&self) -> String {
                match self {
                    $($variant $(if $when)? => format!($text $(, $value)*),)*
                }
            }
        }
    };
}
pub(super) use in_spanish;

impl<T: InSpanish> From<&T> for Said {
    fn from(value: &T) -> Self {
        crates::beside(value, value.in_spanish())
    }
}

in_spanish! { Answer:
    Self::Records(shown, 0) => "{}", shown.join(", ");
    Self::Records(shown, more) => "{} y {more} más", shown.join(", ");
    Self::Nothing(error) => "{}", error.in_spanish();
    Self::NoSuchName => "{}", Reason::NoSuchName.in_spanish();
}

in_spanish! { Reason:
    Self::NotADomain => "no es un nombre de dominio completo";
    Self::NoSuchName => "ese nombre no puede existir en el DNS";
    Self::NoTexts(error) => "sin registro SPF: {}", error.in_spanish();
    Self::NoRecord => "ningún registro TXT empieza por v=spf1";
    Self::SeveralRecords => "varios registros SPF: los receptores aceptan uno solo";
    Self::Dns(error) => "{}", error.in_spanish();
    Self::Asked(name, error) => "{name}: {}", error.in_spanish();
    Self::Syntax(error) => "{}", error.in_spanish();
    Self::NoTermMatched => "ningún término coincidió";
    Self::RedirectToNone => "el destino no tiene registro SPF";
    Self::IncludeOfNone => "el dominio incluido no tiene registro SPF";
    Self::TooManyMx(name, count) => "{name} tiene {count} registros MX, más de 10";
    Self::TooManyLookups => "más de 10 términos del registro y de sus include consultan el DNS";
    Self::TooManyVoidLookups => "más de 2 consultas del registro y de sus include no llevan a nada";
    Self::Term(term, why) => "término `{term}`: {}", why.in_spanish();
}

in_spanish! { SyntaxError:
    Self::NotAscii => "el registro tiene caracteres no ASCII";
    Self::Term(term, error) => "término `{term}`: {}", error.in_spanish();
}

in_spanish! { TermError:
    Self::ControlCharacter => "los términos se separan con espacios, no con caracteres de control";
    Self::Twice(name) => "{name}= solo puede aparecer una vez";
    Self::AllWithValue => "`all` no lleva valor";
    Self::NoValue(name) => "a `{name}` le faltan los dos puntos y un valor";
    Self::UnknownMechanism(name) => "`{name}` no es un mecanismo";
    Self::NotAPrefix(text) => "`{text}` no es una longitud de prefijo";
    Self::PrefixTooLong(digits, max) => "`/{digits}` no es una longitud de prefijo de 0 a {max}";
    Self::NotIpv4(text) => "`{text}` no es una dirección IPv4";
    Self::NotIpv6(text) => "`{text}` no es una dirección IPv6";
    Self::BarePercent => "tras % debe ir {{, %, _ o -";
    Self::MacroNotClosed => "a una macro le falta la }} final";
    Self::MacroEmpty => "una macro está vacía";
    Self::ExplanationMacro(letter) => "%{{{letter}}} solo se admite en una explicación";
    Self::UnknownMacro(letter) => "%{{{letter}}} no es una macro";
    Self::ZeroParts => "una macro no conserva ninguna parte";
    Self::BadDelimiters(text) => "`{text}` no es una lista de delimitadores de macro";
    Self::NoDomain => "falta un nombre de dominio";
    Self::NoTopLevel(text) => "`{text}` no termina en un dominio de primer nivel";
}

in_spanish! { Step:
    step @ (Self::Signer(..) | Self::Algorithm(_)) => "{step}";
    Self::Key(kind, bits, false) => "clave {kind} de {bits} bits";
    Self::Key(kind, bits, true) => "clave {kind} de {bits} bits, en modo de prueba (t=y)";
    Self::SeveralKeys(count) => "{count} claves en el selector, de las que puede contar cualquiera";
    Self::Body(octets) => "{octets} octetos";
    Self::Fields(count) => "{count} campos";
    Self::PartOfBody(signed, octets) =>
        "l= cubre {signed} de {octets} octetos: cualquiera pudo añadir el resto";
    Self::NotChecked(checked) => "solo se comprueban las {checked} primeras firmas";
    Self::Tags(error) => "{}", error.in_spanish();
    Self::Missing(tag) => "falta la etiqueta {tag}=";
    Self::Version => "v= no es 1";
    Self::FromNotSigned => "h= no cubre From";
    Self::NotBase64(tag) => "{tag}= no es base64";
    Self::Query => "q= no ofrece dns/txt";
    Self::Sha1 => "rsa-sha1 no prueba nada desde el RFC 8301: firme con rsa-sha256";
    Self::UnknownAlgorithm(name) => "el algoritmo «{name}» no se conoce";
    Self::UnknownForm(form) => "c={form} no se conoce";
    Self::NotAName(tag, value) => "{tag}={value} no es un nombre";
    Self::NotANumber(value) => "«{value}» no es un número";
    Self::ExpiresBeforeSigned => "x= es anterior a t=";
    Self::Expired => "la firma ha caducado (x=)";
    Self::InTheFuture => "la firma se hizo en el futuro (t=): hay un reloj mal puesto";
    Self::NoIdentity => "i= no tiene @";
    Self::ForeignIdentity => "i= no está dentro de d=";
    Self::NoKey(name, error) => "no hay clave en {name}: {}", error.in_spanish();
    Self::NoAnswer(name, error) => "sin respuesta para {name}: {}", error.in_spanish();
    Self::KeyRecord(name, error) => "{name}: {}", error.in_spanish();
    Self::OtherKind(kind, algorithm) => "la clave es para {kind}, no para {algorithm}";
    Self::HashNotAllowed => "el h= del registro de la clave no permite sha256";
    Self::IdentityNotAllowed(identity) => "el t=s del registro de la clave no permite i={identity}";
    Self::BodyTooShort(length, octets) => "l={length} es más que los {octets} octetos del cuerpo";
    Self::BodyChanged => "el hash del cuerpo no coincide: el cuerpo se cambió después de firmarlo";
    Self::HeaderChanged =>
        "la firma no corresponde a la cabecera: se cambió un campo después de firmarlo, o la clave \
         publicada no es la de quien firmó";
}

in_spanish! { TagError:
    Self::NotATag(text) => "«{text}» no es una etiqueta";
    Self::NotAName(text) => "«{text}» no es un nombre de etiqueta";
    Self::TooMany(most) => "hay más de {most} etiquetas";
    Self::Twice(name) => "la etiqueta {name}= está repetida";
}

in_spanish! { RecordError:
    Self::Malformed(error) => "el registro de la clave está mal escrito: {}", error.in_spanish();
    Self::Version => "el registro de la clave no empieza por v=DKIM1";
    Self::NoKey => "el registro de la clave no tiene p=";
    Self::Revoked => "la clave está revocada: p= está vacío";
    Self::UnknownKind(kind) => "el k={kind} del registro de la clave no se conoce";
    Self::BadKey(kind) => "el p= del registro de la clave no contiene una clave {kind} válida";
    Self::TooShort(bits) => "la clave RSA tiene {bits} bits: hacen falta al menos 1024, mejor 2048";
    Self::NotForEmail => "el s= del registro de la clave no permite el correo";
}

in_spanish! { Finding:
    Self::NotADomain => "su dominio no es un nombre de dominio";
    Self::DomainAbsent => "su dominio no existe: se aplica np";
    Self::Record(text) => "{text}";
    Self::Absent => "no hay registro";
    Self::NoneBegins => "ningún registro empieza por v=DMARC1";
    Self::Several => "varios registros, así que no cuenta ninguno";
    Self::Damaged(text) => "el registro está dañado, así que no cuenta: {text}";
    Self::AsksNothing(text) => "sin política válida y sin rua, así que no cuenta: {text}";
    Self::Dns(error) => "{}", error.in_spanish();
    Self::Policy(policy, domain, false) => "{policy} según el registro de {domain}";
    Self::Policy(policy, domain, true) =>
        "{policy} según el registro de {domain}, en modo de prueba";
    Self::NoneApplies => "ningún registro es aplicable";
    Self::Unknown(name, error) => "no se sabe: {name}: {}", error.in_spanish();
    Self::Alignment(Alignment::Aligned) => "pasa y está alineado con From";
    Self::Alignment(Alignment::NotAligned) => "pasa, pero no está alineado con From";
    Self::Alignment(Alignment::NotPassed) => "no pasa";
    Self::Alignment(Alignment::Unknown) => "pasa; el DNS no ha dicho si está alineado";
}
