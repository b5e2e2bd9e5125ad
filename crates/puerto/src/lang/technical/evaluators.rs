//! What the evaluators of `puerto-mail` say, in Spanish.

use super::text;
use crate::lang::Text;

/// The more special before the more general.
pub(super) static SENTENCES: &[Text] = &[
    // SPF.
    text("this is not a full domain name", "no es un nombre de dominio completo"),
    text("no such name can exist in the DNS", "ese nombre no puede existir en el DNS"),
    text("no SPF record: {}", "sin registro SPF: {}"),
    text("no TXT record begins with v=spf1", "ningún registro TXT empieza por v=spf1"),
    text(
        "several SPF records: receivers accept exactly one",
        "varios registros SPF: los receptores aceptan uno solo",
    ),
    text("no term matched", "ningún término coincidió"),
    text("the target has no SPF record", "el destino no tiene registro SPF"),
    text("the included domain has no SPF record", "el dominio incluido no tiene registro SPF"),
    text("{} has {} MX records, more than 10", "{} tiene {} registros MX, más de 10"),
    text(
        "more than 10 terms of the record and its includes ask the DNS",
        "más de 10 términos del registro y de sus include consultan el DNS",
    ),
    text(
        "more than 2 questions of the record and its includes lead nowhere",
        "más de 2 consultas del registro y de sus include no llevan a nada",
    ),
    text("the record holds characters outside ASCII", "el registro tiene caracteres no ASCII"),
    text("term `{}`: {}", "término `{}`: {}"),
    text(
        "terms are separated by spaces, not by control characters",
        "los términos se separan con espacios, no con caracteres de control",
    ),
    text("{}= may stand once only", "{}= solo puede aparecer una vez"),
    text("`all` takes no value", "`all` no lleva valor"),
    text("`{}` needs a colon and a value", "a `{}` le faltan los dos puntos y un valor"),
    text("`{}` is not a mechanism", "`{}` no es un mecanismo"),
    text("`{}` is not a prefix length", "`{}` no es una longitud de prefijo"),
    text(
        "`/{}` is not a prefix length of 0 to {}",
        "`/{}` no es una longitud de prefijo de 0 a {}",
    ),
    text("`{}` is not an IPv4 address", "`{}` no es una dirección IPv4"),
    text("`{}` is not an IPv6 address", "`{}` no es una dirección IPv6"),
    text(
        "only visible ASCII characters may stand in a term",
        "en un término solo puede haber caracteres ASCII visibles",
    ),
    text("% must be followed by {, %, _ or -", "tras % debe ir {, %, _ o -"),
    text("a macro has no closing }", "a una macro le falta la } final"),
    text("a macro is empty", "una macro está vacía"),
    text("%{{}} is allowed in an explanation only", "%{{=}} solo se admite en una explicación"),
    text("%{{}} is not a macro", "%{{=}} no es una macro"),
    text(
        "`{}` is not a list of macro delimiters",
        "`{}` no es una lista de delimitadores de macro",
    ),
    text("a domain name is missing", "falta un nombre de dominio"),
    text(
        "`{}` does not end in a top-level domain",
        "`{}` no termina en un dominio de primer nivel",
    ),
    // DKIM.
    text("{} key of {} bits, in test mode (t=y)", "clave {} de {} bits, en modo de prueba (t=y)"),
    text("{} key of {} bits", "clave {} de {} bits"),
    text(
        "{} keys at the selector, of which any may count",
        "{} claves en el selector, de las que puede contar cualquiera",
    ),
    text("l={} is more than the body's {} octets", "l={} es más que los {} octetos del cuerpo"),
    text("{} octets", "{} octetos"),
    text("{} fields", "{} campos"),
    text("only the first {} signatures are checked", "solo se comprueban las {} primeras firmas"),
    text(
        "the body hash differs: the body was changed after it was signed",
        "el hash del cuerpo no coincide: el cuerpo se cambió después de firmarlo",
    ),
    text(
        "the signature does not fit the header: a signed field was changed after it was signed, or the published key is not the signer's",
        "la firma no corresponde a la cabecera: se cambió un campo después de firmarlo, o la clave publicada no es la de quien firmó",
    ),
    text(
        "l= covers {} of {} octets: anybody could have added the rest",
        "l= cubre {} de {} octetos: cualquiera pudo añadir el resto",
    ),
    text("the tag {}= is missing", "falta la etiqueta {}="),
    text("the tag {}= stands twice", "la etiqueta {}= está repetida"),
    text("there are more than {} tags", "hay más de {} etiquetas"),
    text("\"{}\" is not a tag's name", "«{}» no es un nombre de etiqueta"),
    text("\"{}\" is not a tag", "«{}» no es una etiqueta"),
    text("\"{}\" is not a number", "«{}» no es un número"),
    text("v= is not 1", "v= no es 1"),
    text("h= does not cover From", "h= no cubre From"),
    text("{}= is not base64", "{}= no es base64"),
    text("q= does not offer dns/txt", "q= no ofrece dns/txt"),
    text(
        "rsa-sha1 proves nothing since RFC 8301: sign with rsa-sha256",
        "rsa-sha1 no prueba nada desde el RFC 8301: firme con rsa-sha256",
    ),
    text("the algorithm \"{}\" is unknown", "el algoritmo «{}» no se conoce"),
    text("x= is before t=", "x= es anterior a t="),
    text("the signature has expired (x=)", "la firma ha caducado (x=)"),
    text(
        "the signature was made in the future (t=): a clock is wrong",
        "la firma se hizo en el futuro (t=): hay un reloj mal puesto",
    ),
    text("i= has no @", "i= no tiene @"),
    text("i= is not within d=", "i= no está dentro de d="),
    text("c={} is unknown", "c={} no se conoce"),
    text("{}={} is not a name", "{}={} no es un nombre"),
    text("no key at {}: {}", "no hay clave en {}: {}"),
    text("no answer for {}: {}", "sin respuesta para {}: {}"),
    text("the key is for {}, not {}", "la clave es para {}, no para {}"),
    text(
        "the key record's h= does not allow sha256",
        "el h= del registro de la clave no permite sha256",
    ),
    text(
        "the key record's t=s does not allow i={}",
        "el t=s del registro de la clave no permite i={}",
    ),
    text("the key record is malformed: {}", "el registro de la clave está mal escrito: {}"),
    text(
        "the key record's v= is not DKIM1 in the first place",
        "el registro de la clave no empieza por v=DKIM1",
    ),
    text("the key record has no p=", "el registro de la clave no tiene p="),
    text("the key has been revoked: p= is empty", "la clave está revocada: p= está vacío"),
    text("the key record's k={} is unknown", "el k={} del registro de la clave no se conoce"),
    text(
        "the key record's p= does not hold a valid {} key",
        "el p= del registro de la clave no contiene una clave {} válida",
    ),
    text(
        "the RSA key has {} bits: at least 1024 are needed, 2048 recommended",
        "la clave RSA tiene {} bits: hacen falta al menos 1024, mejor 2048",
    ),
    text(
        "the key record's s= does not allow email",
        "el s= del registro de la clave no permite el correo",
    ),
    text("there is no key", "no hay ninguna clave"),
    // DMARC.
    text("its domain is not a domain name", "su dominio no es un nombre de dominio"),
    text("no record applies", "ningún registro es aplicable"),
    text("unknown: {}", "no se sabe: {}"),
    text("{} by the record of {}, in test mode", "{=} según el registro de {=}, en modo de prueba"),
    text("{} by the record of {}", "{=} según el registro de {=}"),
    text("its domain does not exist: np applies", "su dominio no existe: se aplica np"),
    text("passed and is aligned with From", "pasa y está alineado con From"),
    text("passed, but is not aligned with From", "pasa, pero no está alineado con From"),
    text("did not pass", "no pasa"),
    text(
        "passed; the DNS did not say whether it is aligned",
        "pasa; el DNS no ha dicho si está alineado",
    ),
    text("no record begins with v=DMARC1", "ningún registro empieza por v=DMARC1"),
    text(
        "the record is damaged, so it does not count: {}",
        "el registro está dañado, así que no cuenta: {=}",
    ),
    text("several records, so none counts", "varios registros, así que no cuenta ninguno"),
    text(
        "no valid policy and no rua, so it does not count: {}",
        "sin política válida y sin rua, así que no cuenta: {=}",
    ),
    text("no record", "no hay registro"),
    // Addresses.
    text(
        "something is opened and not closed: quotes, parentheses or brackets in {}",
        "algo se abre y no se cierra: comillas, paréntesis o corchetes en {}",
    ),
    text(
        "a comma between addresses is missing, or a name needs <> around its address in {}",
        "falta una coma entre direcciones, o los <> de una dirección con nombre en {}",
    ),
    text("unexpected character in {}", "carácter inesperado en {}"),
    text("address is empty in {}", "dirección vacía en {}"),
    text(
        "address has no domain: write user@domain in {}",
        "dirección sin dominio: escriba usuario@dominio en {}",
    ),
    text(
        "the part after @ is not a domain name in {}",
        "lo que sigue a @ no es un nombre de dominio en {}",
    ),
    text("the part before @ is malformed: {}", "lo que precede a @ está mal escrito: {}"),
    text("address is too long: {}", "dirección demasiado larga: {}"),
    text("address literal is malformed: {}", "dirección literal mal escrita: {}"),
];
