//! What is demanded of blocklists, for the registry and the documentation.

use crate::check::outcome::family;

family! {
    FAMILY = "blocklists" ["Blocklists", "Listas de bloqueo"] is_of_machine: false;

    SANITY = "bl.sanity" Error "RFC 5782 §5" [
        "The blocklists answer their tests",
        "Las listas de bloqueo superan su prueba",
        "A list is believed only if it lists its test point and does not list what never may be \
         listed. Lists that were shut down list nothing or everything, and some refuse resolvers \
         that are public or ask too often. What such a list says of you means nothing, and it is \
         not counted. A resolver of your own on this machine (Unbound, say) is answered by all.",
        "Solo se cree a una lista si incluye su punto de prueba y no incluye lo que nunca debe \
         estar en ella. Las listas cerradas no incluyen nada o lo incluyen todo, y algunas no \
         responden a resolutores públicos o que preguntan demasiado. Lo que una lista así diga de \
         usted no significa nada y no se cuenta. A un resolutor propio en esta máquina (Unbound, \
         por ejemplo) le responden todas.",
        right: "all {fit} lists answer their tests", "las {fit} listas superan su prueba";
    ];
    SPAMHAUS_ZEN = "bl.spamhaus-zen" Error "https://www.spamhaus.org/blocklists/" [
        "The sending address is not listed by Spamhaus",
        "La dirección de envío no está en las listas de Spamhaus",
        "Most receivers refuse what Spamhaus lists. SBL, CSS, XBL and DROP say that unwanted mail \
         or attacks came from the address: stop them first, then ask for removal. The PBL accuses \
         nobody: it lists dynamic and residential ranges, which should send through a relayhost; \
         whoever has a static address there may remove it.",
        "La mayoría de los receptores rechaza lo que lista Spamhaus. SBL, CSS, XBL y DROP dicen \
         que de la dirección salió correo no deseado o ataques: primero hay que cortarlos y \
         después pedir la baja. La PBL no acusa a nadie: lista rangos dinámicos y residenciales, \
         que deben enviar a través de un relayhost; quien tenga ahí una dirección fija puede darla \
         de baja.",
    ];
    SPAMHAUS_DBL = "bl.spamhaus-dbl" Error "https://www.spamhaus.org/blocklists/domain-blocklist/" [
        "The domain is not listed by Spamhaus",
        "El dominio no está en la lista de Spamhaus",
        "The DBL lists domains that appear in spam, phishing or malware, and legitimate ones that \
         are being abused. Find the page or account behind it before asking for removal.",
        "La DBL lista dominios que aparecen en spam, phishing o malware, y dominios legítimos de \
         los que se abusa. Localice la página o la cuenta responsable antes de pedir la baja.",
    ];
    SPAMCOP = "bl.spamcop" Warning "https://www.spamcop.net/bl.shtml" [
        "The sending address is not listed by SpamCop",
        "La dirección de envío no está en SpamCop",
        "SpamCop lists addresses whose mail its users reported as spam, until about a day after \
         the last report. Find the message that was reported.",
        "SpamCop lista direcciones cuyo correo denunciaron sus usuarios como spam, hasta cerca de \
         un día después de la última denuncia. Localice el mensaje denunciado.",
    ];
    BARRACUDA = "bl.barracuda" Warning "https://www.barracudacentral.org/rbl" [
        "The sending address is not listed by Barracuda",
        "La dirección de envío no está en Barracuda",
        "Barracuda's appliances stand in front of many companies. Its list answers only resolvers \
         whose address was registered with it, which is free.",
        "Muchas empresas tienen delante equipos de Barracuda. Su lista solo responde a resolutores \
         cuya dirección se haya registrado, lo que es gratuito.",
    ];
    URIBL_SURBL = "bl.uribl-surbl" Warning "RFC 5782 §3" [
        "The domain is not listed by URIBL or SURBL",
        "El dominio no está en URIBL ni en SURBL",
        "Both list domains that are advertised in unwanted mail; spam filters score every message \
         that names one. Find the message or the page that was abused, then ask for removal.",
        "Ambas listan dominios anunciados en correo no deseado; los filtros puntúan todo mensaje \
         que los nombre. Localice el mensaje o la página de la que se abusó y pida después la \
         baja.",
    ];
    OTHER = "bl.other" Info "RFC 5782" [
        "The smaller blocklists do not list the sending address",
        "Las listas menores no incluyen la dirección de envío",
        "Few receivers use these lists, so one of them alone is only information. Where two agree \
         there is mostly a reason: look at what they saw. Lists that answer paying customers only \
         are not asked.",
        "Pocos receptores usan estas listas, así que una sola es mera información. Cuando \
         coinciden dos suele haber un motivo: mire qué vieron. No se pregunta a las listas que \
         solo responden a clientes de pago.",
    ];
    UCEPROTECT = "bl.uceprotect" Info "https://www.uceprotect.net/" [
        "The sending address is not listed by UCEPROTECT",
        "La dirección de envío no está en UCEPROTECT",
        "Level 1 lists single addresses; level 2 whole allocations and level 3 whole hosting \
         companies, for what others there did. Few receivers heed them. Entries lapse after seven \
         days: never pay for a faster removal.",
        "El nivel 1 lista direcciones sueltas; el 2, bloques enteros, y el 3, proveedores enteros, \
         por lo que hicieron otros. Pocos receptores las atienden. Las entradas caducan a los \
         siete días: no pague nunca por una baja más rápida.",
    ];
    WHITELIST = "bl.whitelist" Info "https://www.dnswl.org/" [
        "The sending address may be listed as a good sender",
        "La dirección de envío puede figurar como buen remitente",
        "dnswl.org lists legitimate mail servers, and some filters trust it. Registering is free \
         for small senders and nobody demands it.",
        "dnswl.org lista servidores de correo legítimos, y algunos filtros se fían de ella. \
         Registrarse es gratuito para remitentes pequeños y nadie lo exige.",
    ];
    NEIGHBOURHOOD = "bl.neighbourhood" Info "" [
        "The addresses next to the sending one are not listed",
        "Las direcciones vecinas a la de envío no están listadas",
        "Some receivers judge a whole range by its members. A few neighbours of the same /24 are \
         asked about at Spamhaus. Among bad neighbours, ask the hosting company for an address in \
         another range.",
        "Algunos receptores juzgan un rango entero por sus miembros. Se pregunta a Spamhaus por \
         algunas vecinas de la misma /24. Entre malas vecinas, pida al proveedor una dirección de \
         otro rango.",
        right: "{list} lists {listed} of {answered} neighbours that were asked about",
            "{list} incluye {listed} de las {answered} vecinas por las que se preguntó";
        wrong: "{list} lists {listed} of {answered} neighbours that were asked about: {which}",
            "{list} incluye {listed} de las {answered} vecinas por las que se preguntó: {which}";
        expected: "neighbours that are not listed", "vecinas que no figuren";
        remedy: "Ask the hosting company for an address in another range.",
            "Pida al proveedor una dirección de otro rango.";
    ];
}
