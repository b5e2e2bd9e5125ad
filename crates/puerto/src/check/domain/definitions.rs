//! The checks of the domain's DNS, as they are declared.

use crate::check::outcome::definitions;

definitions! {
    SENDER_RESOLVES = "dns.sender-resolves" Error "RFC 5321 §5.1; RFC 7505 §4.2" [
        "The domain can be written to",
        "Se puede escribir al dominio",
        "Many servers refuse senders that cannot be answered: the domain needs an MX, A or AAAA \
         record.",
        "Muchos servidores rechazan remitentes a los que no se puede responder: el dominio \
         necesita un registro MX, A o AAAA.",
    ];
    SOA = "dns.soa" Warning "RFC 1035 §3.3.13" [
        "The domain lies in a zone that answers",
        "El dominio está en una zona que responde",
        "A domain without SOA counts as one that does not exist; Yahoo asks for it.",
        "Un dominio sin SOA cuenta como inexistente; Yahoo lo pide.",
    ];
    NS_CONSISTENT = "dns.ns-consistent" Error "RFC 1034 §4.2.2; RFC 2182 §5; RFC 1912 §2.8" [
        "All name servers of the domain say the same",
        "Todos los servidores de nombres del dominio dicen lo mismo",
        "A server that still serves old records, or none, makes a part of the mail fail at \
         random. Each one is asked for MX, SPF, DKIM and DMARC.",
        "Un servidor que aún da registros antiguos, o ninguno, hace fallar al azar una parte del \
         correo. Se pregunta a cada uno por MX, SPF, DKIM y DMARC.",
    ];
    RESOLVERS_AGREE = "dns.resolvers-agree" Warning "RFC 1034 §5.3.1" [
        "All resolvers of this machine say the same",
        "Todos los resolvers de esta máquina dicen lo mismo",
        "Where two differ, mail goes and is judged by the one that was asked, and so does every \
         answer here. Each one is asked for MX, SPF, DKIM and DMARC.",
        "Si dos difieren, el correo se envía y se juzga según a cuál se pregunte, y también todas \
         las respuestas de aquí. Se pregunta a cada uno por MX, SPF, DKIM y DMARC.",
    ];
    NULL_MX = "dns.null-mx" Error "RFC 7505 §3, §4.2" [
        "The domain does not say that it takes no mail",
        "El dominio no dice que no recibe correo",
        "With the null MX (`0 .`) receivers refuse mail from the domain as well: 550 5.7.27.",
        "Con el MX nulo (`0 .`) los receptores rechazan también el correo del dominio: 550 5.7.27.",
    ];
    NULL_MX_MIXED = "dns.null-mx-mixed" Warning "RFC 7505 §3" [
        "A null MX stands alone",
        "Un MX nulo está solo",
        "Beside other MX records it means nothing certain. Delete one or the others.",
        "Junto a otros registros MX no significa nada seguro. Borre uno u otros.",
    ];
    MX_RESOLVES = "dns.mx-resolves" Error "RFC 5321 §5.1" [
        "Every MX host has an address",
        "Cada máquina MX tiene dirección",
        "An MX without address loses replies and bounces.",
        "Un MX sin dirección pierde respuestas y rebotes.",
    ];
    MX_CNAME = "dns.mx-cname" Warning "RFC 2181 §10.3; RFC 5321 §5.1" [
        "No MX host is an alias",
        "Ninguna máquina MX es un alias",
        "An MX must name a host with addresses of its own; some servers do not follow the alias.",
        "Un MX debe nombrar una máquina con direcciones propias; algunos servidores no siguen el \
         alias.",
    ];
    MX_IP_LITERAL = "dns.mx-ip-literal" Error "RFC 1035 §3.3.9" [
        "Every MX names a host, not an address",
        "Cada MX nombra una máquina, no una dirección",
        "Make a host name with an A record and write that into the MX.",
        "Cree un nombre con un registro A y póngalo en el MX.",
    ];
    MX_PRIVATE = "dns.mx-private" Error "RFC 1918; RFC 6890" [
        "MX hosts have public addresses",
        "Las máquinas MX tienen direcciones públicas",
        "Nobody outside can reach a private address: replies and bounces are lost.",
        "Nadie de fuera llega a una dirección privada: se pierden respuestas y rebotes.",
    ];
    APEX_CNAME = "dns.apex-cname" Error "RFC 1034 §3.6.2; RFC 2181 §10.1" [
        "The domain is no alias",
        "El dominio no es un alias",
        "A name with a CNAME can have no MX and no SPF record of its own. Replace it by addresses.",
        "Un nombre con CNAME no puede tener MX ni SPF propios. Cámbielo por direcciones.",
    ];
    WILDCARD_TXT = "dns.wildcard-txt" Warning "RFC 4592 §4; RFC 7208 §3.5" [
        "Names that were made up have no TXT record",
        "Los nombres inventados no tienen registro TXT",
        "A wildcard makes every selector and every report name look as if it were published.",
        "Un comodín hace que todo selector y todo nombre de informe parezcan publicados.",
    ];
    TTL = "dns.ttl" Info "RFC 1912 §2.2" [
        "Mail records hold for a minute to two days",
        "Los registros de correo valen de un minuto a dos días",
        "Very short lifetimes fail with every hiccup of a name server, very long ones delay \
         corrections.",
        "Con plazos muy cortos cualquier tropiezo de un servidor de nombres hace fallar; con muy \
         largos se retrasan las correcciones.",
    ];
}
