//! The checks of DKIM, as they are declared.

use crate::check::outcome::definitions;

definitions! {
    KEY_PERMS = "dkim.key-perms" Error "" [
        "Every key file can be used, and by the server alone",
        "Todos los ficheros de claves se pueden usar, y solo el servidor puede",
        "A key that everybody on the machine can read lets everybody sign in your name; the \
         server passes such files over.",
        "Una clave que cualquiera en la máquina puede leer permite a cualquiera firmar en su \
         nombre; el servidor pasa por alto esos ficheros.",
    ];
    RECORD_EXISTS = "dkim.record-exists" Error "RFC 6376 §3.6.2.1" [
        "There is a key for the domain, and it is published",
        "El dominio tiene una clave y está publicada",
        "Without a key mail is not signed; without its record at SELECTOR._domainkey.DOMAIN the \
         signature is worth nothing. `puerto dkim new` makes a key and prints the record.",
        "Sin clave el correo no se firma; sin su registro en SELECTOR._domainkey.DOMINIO la firma \
         no vale nada. `puerto dkim new` crea una clave y escribe el registro.",
    ];
    MULTIPLE = "dkim.multiple" Error "RFC 6376 §3.6.2.2" [
        "There is one record for each key",
        "Hay un registro por clave",
        "With several TXT records at a selector a receiver may take any of them.",
        "Con varios registros TXT en un selector, el receptor puede tomar cualquiera.",
    ];
    CHUNKS = "dkim.chunks" Error "RFC 6376 §3.6.2.2; RFC 1035 §3.3" [
        "The record came through the DNS panel unharmed",
        "El registro pasó por el panel de DNS sin daños",
        "Quotation marks or backslashes inside the value come from a panel that quotes by itself. \
         Enter the value without them.",
        "Las comillas o barras invertidas dentro del valor vienen de un panel que pone comillas \
         por su cuenta. Escriba el valor sin ellas.",
    ];
    CNAME = "dkim.cname" Info "RFC 6376 §3.6.2.1; RFC 1034 §3.6.2" [
        "An alias at the selector leads to a key",
        "Un alias en el selector lleva a una clave",
        "Providers let SELECTOR._domainkey.DOMAIN be a CNAME to a record of theirs. Where that \
         record is gone the signature is worth nothing, and whoever gets hold of its name can sign \
         for you: correct the alias, or replace it by the key.",
        "Algunos proveedores piden que SELECTOR._domainkey.DOMINIO sea un CNAME a un registro \
         suyo. Si ese registro ya no existe la firma no vale nada, y quien se haga con su nombre \
         puede firmar por usted: corrija el alias, o sustitúyalo por la clave.",
    ];
    REVOKED = "dkim.revoked" Error "RFC 6376 §3.6.1" [
        "The key is not revoked",
        "La clave no está revocada",
        "An empty `p=` says that the key is no longer valid. Publish the key again, or make a new \
         one with another selector.",
        "Un `p=` vacío dice que la clave ya no vale. Publíquela de nuevo o cree otra con otro \
         selector.",
    ];
    SYNTAX = "dkim.syntax" Error "RFC 6376 §3.6.1; RFC 8463 §4" [
        "The record holds a whole key",
        "El registro contiene una clave entera",
        "A key of 2048 bits is longer than the 255 octets of one DNS string. Some panels cut it \
         off there: enter it in pieces, or use a panel that splits it.",
        "Una clave de 2048 bits no cabe en los 255 octetos de una cadena de DNS. Algunos paneles \
         la cortan ahí: escríbala en trozos, o use un panel que la parta.",
    ];
    KEY_MATCH = "dkim.key-match" Error "RFC 6376 §3.6.1" [
        "The published key is the one that signs",
        "La clave publicada es la que firma",
        "Every signature made with another key fails. Publish the current key, or go back to the \
         old private key.",
        "Toda firma hecha con otra clave falla. Publique la clave actual, o vuelva a la clave \
         privada antigua.",
    ];
    KEY_SIZE = "dkim.key-size" Error "RFC 8301 §3.2" [
        "RSA keys have 2048 to 4096 bits",
        "Las claves RSA tienen de 2048 a 4096 bits",
        "Receivers ignore keys below 1024 bits, and Gmail and Yahoo advise 2048. Above 4096 some \
         cannot verify.",
        "Los receptores ignoran las claves de menos de 1024 bits; Gmail y Yahoo aconsejan 2048. \
         Por encima de 4096 algunos no pueden verificar.",
    ];
    TESTING = "dkim.testing" Warning "RFC 6376 §3.6.1" [
        "The key is not marked as a test",
        "La clave no está marcada como prueba",
        "With `t=y` receivers may treat the mail as if it were not signed. Remove the flag.",
        "Con `t=y` los receptores pueden tratar el correo como si no estuviera firmado. Quite la \
         marca.",
    ];
    SELFTEST = "dkim.selftest" Error "RFC 6376 §6.1" [
        "A message that is signed here verifies",
        "Un mensaje firmado aquí se verifica bien",
        "A message is signed with the key and verified with the published record, as a receiver \
         does it.",
        "Se firma un mensaje con la clave y se verifica con el registro publicado, como lo hace \
         un receptor.",
    ];
    ALIGNMENT = "dkim.alignment" Error "RFC 9989 §4.4; RFC 6376 §3.5" [
        "The key belongs to the domain in From",
        "La clave es del dominio que va en From",
        "A signature of another domain proves nothing about the sender. Make a key for the domain: \
         `puerto dkim new DOMAIN`.",
        "Una firma de otro dominio no prueba nada del remitente. Cree una clave para el dominio: \
         `puerto dkim new DOMINIO`.",
    ];
    ED25519_DUAL = "dkim.ed25519-dual" Warning "RFC 8463 §3, §6" [
        "An RSA key signs too",
        "También firma una clave RSA",
        "Gmail, Microsoft and others still ignore Ed25519 signatures. Keep an RSA key beside it.",
        "Gmail, Microsoft y otros aún ignoran las firmas Ed25519. Tenga también una clave RSA.",
    ];
    ROTATION = "dkim.rotation" Info "M3AAWG DKIM Key Rotation Best Common Practices" [
        "The key is not older than a year",
        "La clave no tiene más de un año",
        "Make a new key with another selector, publish it, and remove the old one a week after \
         the change.",
        "Cree una clave nueva con otro selector, publíquela y retire la antigua una semana \
         después del cambio.",
    ];
}
