//! What the resolver and TLS say, in Spanish.

use super::text;
use crate::lang::Text;

pub(super) static SENTENCES: &[Text] = &[
    // The DNS.
    text("no such domain", "no existe ese dominio"),
    text("no such record", "no existe ese registro"),
    text("the DNS did not answer in time", "el DNS no ha respondido a tiempo"),
    text("the DNS failed: {}", "el DNS ha fallado: {}"),
    text("the look-up was broken off", "la consulta se ha interrumpido"),
    text("a chain of aliases is too long", "una cadena de alias es demasiado larga"),
    text("too many names to ask about", "habría que preguntar por demasiados nombres"),
    text("the name server has no address", "el servidor de nombres no tiene dirección"),
    text("no DNS server is configured", "no hay ningún servidor DNS configurado"),
    text("no DNS server is known: {}", "no se conoce ningún servidor DNS: {}"),
    text("DNS server {} cannot be used: {}", "no se puede usar el servidor DNS {}: {}"),
    text(
        "{} gave a referral instead of an answer",
        "{=} ha remitido a otros servidores en vez de responder",
    ),
    text("the server answered {}", "el servidor ha respondido {=}"),
    text("{} answered {}", "{=} ha respondido {=}"),
    text("io error: {}", "error de entrada/salida: {}"),
    text("protocol error: {}", "error del protocolo: {}"),
    text("proto error: {}", "error del protocolo: {}"),
    text("request timed out", "no ha respondido a tiempo"),
    text("no connections available", "no hay conexión con él"),
    text("resource too busy", "hay demasiadas consultas a la vez"),
    text(
        "case of query name in response did not match",
        "la respuesta no repite el nombre tal como se preguntó",
    ),
    text("cannot listen on {}: {}", "no se puede escuchar en {=}: {}"),
    text(
        "cannot make a certificate for the receivers: {}",
        "no se puede crear un certificado para los receptores: {}",
    ),
    // Certificates.
    text("invalid peer certificate: {}", "certificado no válido: {}"),
    text("UnknownIssuer", "lo emitió una autoridad que no se reconoce"),
    text("Expired", "ha caducado"),
    text("NotValidYet", "todavía no es válido"),
    text("Revoked", "está revocado"),
    text("BadEncoding", "está mal codificado"),
    text("BadSignature", "su firma no es válida"),
    text("NotValidForName", "es para otro nombre"),
    text("InvalidPurpose", "no es para servidores"),
    text("Other(OtherError(CaUsedAsEndEntity))", "es autofirmado, o el de una autoridad"),
    text(
        "certificate not valid for name \"{}\"; certificate is not valid for any names (according to its subjectAltName extension)",
        "no es para el nombre «{=}»; no lleva ningún nombre (subjectAltName)",
    ),
    text(
        "certificate not valid for name \"{}\"; certificate is only valid for DnsName(\"{}\") or DnsName(\"{}\")",
        "no es para el nombre «{=}»; solo vale para {=} y {=}",
    ),
    text(
        "certificate not valid for name \"{}\"; certificate is only valid for DnsName(\"{}\")",
        "no es para el nombre «{=}»; solo vale para {=}",
    ),
    text(
        "certificate not valid for name \"{}\"; certificate is only valid for {}",
        "no es para el nombre «{=}»; solo vale para {=}",
    ),
    text(
        "certificate expired: verification time {} (UNIX), but certificate is not valid after {} ({} seconds ago)",
        "ha caducado: ahora son las {=} (en segundos UNIX) y era válido hasta las {=} (hace {=} segundos)",
    ),
    text(
        "certificate not valid yet: verification time {} (UNIX), but certificate is not valid before {} ({} seconds in future)",
        "todavía no es válido: ahora son las {=} (en segundos UNIX) y lo será desde las {=} (dentro de {=} segundos)",
    ),
    text(
        "certificate does not allow extended key usage for {}, allows {}",
        "no sirve para {=}, solo para {=}",
    ),
    // TLS.
    text("{} with cipher {}", "{=} con el cifrado {=}"),
    text("received fatal alert: {}", "el otro extremo ha respondido con la alerta {=}"),
    text("received corrupt message of type {}", "se ha recibido algo que no es TLS ({=})"),
    text(
        "received unexpected message: got {} when expecting {}",
        "se ha recibido el mensaje {=} cuando se esperaba {=}",
    ),
    text("peer is incompatible: {}", "el otro extremo no es compatible ({=})"),
    text("peer misbehaved: {}", "el otro extremo incumple el protocolo ({=})"),
    text("peer sent no certificates", "el otro extremo no ha presentado ningún certificado"),
    text("cannot decrypt peer's message", "no se puede descifrar lo que envía el otro extremo"),
    text("peer sent excess record size", "el otro extremo ha enviado un bloque demasiado grande"),
    text("tls handshake eof", "la conexión se ha cerrado durante la negociación de TLS"),
    text("no answer in time", "no ha respondido a tiempo"),
    text("this machine's clock is wrong", "el reloj de esta máquina va mal"),
    text("the server does not sign its answers", "el servidor no firma sus respuestas"),
    text("the signature of the answer is malformed", "la firma de la respuesta está mal formada"),
    text("the answer's signature is wrong", "la firma de la respuesta no es válida"),
    text("the update is too large", "la actualización es demasiado grande"),
    text("the answer is malformed", "la respuesta está mal formada"),
    text("the answer belongs to another question", "la respuesta es la de otra pregunta"),
    text("no HTTP answer", "no ha dado una respuesta HTTP"),
    text("no time was left", "no quedaba tiempo"),
    text("not a name", "no es un nombre"),
];
