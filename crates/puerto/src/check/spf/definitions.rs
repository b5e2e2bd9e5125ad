//! The checks of SPF, as they are declared.

use crate::check::outcome::definitions;

definitions! {
    EXISTS = "spf.exists" Error "RFC 7208 §3, §4.5" [
        "The domain has an SPF record",
        "El dominio tiene un registro SPF",
        "It says which addresses may send for the domain. Gmail, Yahoo, Microsoft and Apple ask \
         for it. `puerto dns` prints the record to publish.",
        "Dice qué direcciones pueden enviar por el dominio. Gmail, Yahoo, Microsoft y Apple lo \
         piden. `puerto dns` escribe el registro que hay que publicar.",
    ];
    SINGLE = "spf.single" Error "RFC 7208 §3.2, §4.5" [
        "There is one SPF record only",
        "Hay un solo registro SPF",
        "With two records receivers use neither: the result is a permanent error. Put the terms \
         of both into one.",
        "Con dos registros los receptores no usan ninguno: el resultado es un error permanente. \
         Reúna los términos de ambos en uno solo.",
    ];
    STRING_255 = "spf.string-255" Error "RFC 7208 §3.3; RFC 1035 §3.3" [
        "The record came through the DNS panel unharmed",
        "El registro pasó por el panel de DNS sin daños",
        "Quotation marks inside the value, or terms that grew together, come from a panel that \
         splits long values by itself. Publish the value without quotation marks, or split it \
         with the space inside one of the strings.",
        "Las comillas dentro del valor, o los términos pegados, vienen de un panel que parte por \
         su cuenta los valores largos. Publique el valor sin comillas, o pártalo dejando el \
         espacio dentro de una de las cadenas.",
    ];
    SYNTAX = "spf.syntax" Error "RFC 7208 §4.6, §7, §12" [
        "The record can be read",
        "El registro se puede leer",
        "One wrong term anywhere makes the whole record a permanent error.",
        "Un solo término incorrecto convierte todo el registro en un error permanente.",
    ];
    INCLUDE_MISSING = "spf.include-missing" Error "RFC 7208 §5.2, §6.1" [
        "Every include and redirect leads to a record",
        "Cada include y cada redirect llevan a un registro",
        "An include of a domain without an SPF record, such as a service that was left, is a \
         permanent error. Remove it.",
        "Un include de un dominio sin registro SPF, como el de un servicio que se dejó, es un \
         error permanente. Quítelo.",
    ];
    LOOP = "spf.loop" Error "RFC 7208 §4.6.4" [
        "The record does not include itself",
        "El registro no se incluye a sí mismo",
        "A circle of includes never ends, and receivers give up with a permanent error.",
        "Un círculo de include no acaba nunca, y los receptores abandonan con un error permanente.",
    ];
    LOOKUPS = "spf.lookups" Error "RFC 7208 §4.6.4" [
        "The whole record asks the DNS at most ten times",
        "El registro entero consulta el DNS diez veces como mucho",
        "`include`, `a`, `mx`, `ptr`, `exists` and `redirect` count, those inside of includes too. \
         The eleventh is a permanent error. Replace includes by the addresses that you need, or \
         give other senders a subdomain of their own.",
        "Cuentan `include`, `a`, `mx`, `ptr`, `exists` y `redirect`, también los que hay dentro de \
         los include. El undécimo es un error permanente. Cambie include por las direcciones que \
         necesite, o dé a otros remitentes un subdominio propio.",
    ];
    VOID = "spf.void" Warning "RFC 7208 §4.6.4" [
        "At most two of these questions lead nowhere",
        "Como mucho dos de esas consultas no llevan a nada",
        "Names that no longer exist are allowed twice; the third is a permanent error.",
        "Se admiten dos nombres que ya no existan; el tercero es un error permanente.",
    ];
    MX_LIMIT = "spf.mx-limit" Warning "RFC 7208 §4.6.4" [
        "`mx` leads to at most ten hosts",
        "`mx` lleva a diez máquinas como mucho",
        "More than ten are a permanent error. List the addresses instead.",
        "Más de diez son un error permanente. Enumere las direcciones.",
    ];
    COVERS_IP = "spf.covers-ip" Error "RFC 7208 §4, §2.4" [
        "SPF passes for each address that mail leaves from",
        "SPF da «pass» para cada dirección desde la que sale correo",
        "The record must name this server's addresses, or those of the relayhost where mail goes \
         through one.",
        "El registro debe incluir las direcciones de este servidor, o las del relayhost si el \
         correo sale por uno.",
    ];
    PLUS_ALL = "spf.plus-all" Error "RFC 7208 §5.1" [
        "The record does not let the whole world send",
        "El registro no permite enviar a todo el mundo",
        "`+all` or `ip4:0.0.0.0/0` lets everyone send in your name; Gmail answers 5.7.24. End the \
         record with `-all` or `~all`.",
        "`+all` o `ip4:0.0.0.0/0` permite a cualquiera enviar en su nombre; Gmail responde 5.7.24. \
         Termine el registro con `-all` o `~all`.",
    ];
    BROAD = "spf.broad" Warning "RFC 7208 §11.4" [
        "The record does not name huge networks",
        "El registro no incluye redes enormes",
        "Whoever has an address in a network that you name may send in your name.",
        "Quien tenga una dirección en una red que usted incluya puede enviar en su nombre.",
    ];
    NO_ALL = "spf.no-all" Warning "RFC 7208 §4.7, §5.1" [
        "The record ends in `-all` or `~all`",
        "El registro acaba en `-all` o `~all`",
        "Without an end, or with `?all`, the record says nothing about others who send in your \
         name.",
        "Sin final, o con `?all`, el registro no dice nada de quienes envían en su nombre sin serlo.",
    ];
    AFTER_ALL = "spf.after-all" Warning "RFC 7208 §5.1" [
        "Nothing follows `all`",
        "No hay nada detrás de `all`",
        "Terms behind `all` are ignored. Move them in front of it.",
        "Los términos detrás de `all` se ignoran. Póngalos delante.",
    ];
    REDIRECT_WITH_ALL = "spf.redirect-with-all" Warning "RFC 7208 §6.1" [
        "`redirect` and `all` do not stand together",
        "`redirect` y `all` no están juntos",
        "`redirect` is ignored where there is an `all`. Keep one of the two.",
        "`redirect` se ignora donde hay un `all`. Deje uno de los dos.",
    ];
    PTR_MECHANISM = "spf.ptr-mechanism" Warning "RFC 7208 §5.5" [
        "The record does not use `ptr`",
        "El registro no usa `ptr`",
        "It is slow, and receivers may ignore it. Name the addresses with ip4 and ip6.",
        "Es lento, y los receptores pueden ignorarlo. Ponga las direcciones con ip4 e ip6.",
    ];
    SIZE = "spf.size" Warning "RFC 7208 §3.4" [
        "The TXT records of the domain fit into one DNS message",
        "Los registros TXT del dominio caben en un mensaje de DNS",
        "Answers above 512 octets need EDNS, and those above 1,232 are repeated over TCP, which \
         some firewalls stop. Move other TXT records to names of their own.",
        "Las respuestas de más de 512 octetos necesitan EDNS, y las de más de 1232 se repiten por \
         TCP, que algunos cortafuegos impiden. Lleve otros registros TXT a nombres propios.",
    ];
    MACROS = "spf.macros" Info "RFC 7208 §7.2" [
        "The record does not use the macro p",
        "El registro no usa la macro p",
        "`%{p}` asks for the reverse DNS of every client, and receivers may answer `unknown`.",
        "`%{p}` consulta el DNS inverso de cada cliente, y los receptores pueden dar `unknown`.",
    ];
}
