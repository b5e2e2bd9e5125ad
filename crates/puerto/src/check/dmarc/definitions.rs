//! The checks of DMARC, as they are declared.

use crate::check::outcome::definitions;

definitions! {
    EXISTS = "dmarc.exists" Error "RFC 9989 §4.7, §4.10.1" [
        "A DMARC record applies to the domain",
        "Al dominio se le aplica un registro DMARC",
        "Gmail, Yahoo, Microsoft and Apple demand one of whoever sends much, and look for it with \
         everybody. Begin with `p=none` and an address for reports.",
        "Gmail, Yahoo, Microsoft y Apple se lo exigen a quien envía mucho, y lo buscan en todos. \
         Empiece con `p=none` y una dirección para los informes.",
    ];
    SINGLE = "dmarc.single" Error "RFC 9989 §4.10" [
        "There is one DMARC record only",
        "Hay un solo registro DMARC",
        "Where there are several, receivers use none of them.",
        "Donde hay varios, los receptores no usan ninguno.",
    ];
    SYNTAX = "dmarc.syntax" Error "RFC 9989 §4.7, §4.8" [
        "The record can be read",
        "El registro se puede leer",
        "It begins with `v=DMARC1`, in capitals; its tags are separated by semicolons and have \
         values that are defined.",
        "Empieza por `v=DMARC1`, en mayúsculas; sus etiquetas van separadas por punto y coma y \
         tienen valores definidos.",
    ];
    LOCATION = "dmarc.location" Error "RFC 9989 §4.7" [
        "The record stands at _dmarc.DOMAIN",
        "El registro está en _dmarc.DOMINIO",
        "A DMARC record at the domain itself, or at _dmarc._dmarc, is never read.",
        "Un registro DMARC en el dominio mismo, o en _dmarc._dmarc, no lo lee nadie.",
    ];
    MISSING_P = "dmarc.missing-p" Warning "RFC 9989 §4.7, §4.10.1" [
        "The record says its policy",
        "El registro dice su política",
        "Without `p=` old receivers ignore the record. Write it right behind `v=DMARC1`.",
        "Sin `p=` los receptores antiguos ignoran el registro. Escríbalo justo detrás de `v=DMARC1`.",
    ];
    POLICY = "dmarc.policy" Warning "RFC 9989 §7.4" [
        "The policy that applies to the domain",
        "La política que se aplica al dominio",
        "`p=none` asks for reports only and stops nobody from using the name; go on to \
         `quarantine` after a month of clean reports. `p=reject` is for domains whose users do \
         not write to mailing lists, and never with SPF alone.",
        "`p=none` solo pide informes y no impide que nadie use el nombre; pase a `quarantine` tras \
         un mes de informes limpios. `p=reject` es para dominios cuyos usuarios no escriben a \
         listas de correo, y nunca solo con SPF.",
    ];
    SUBDOMAIN = "dmarc.subdomain" Info "RFC 9989 §4.7" [
        "The policy that applies to subdomains",
        "La política que se aplica a los subdominios",
        "`sp` holds for subdomains, `np` for those that do not exist. `np=reject` costs nothing.",
        "`sp` vale para los subdominios, `np` para los que no existen. `np=reject` no cuesta nada.",
    ];
    ALIGNMENT = "dmarc.alignment" Error "RFC 9989 §4.4, §4.10.2" [
        "Our mail passes DMARC",
        "Nuestro correo pasa DMARC",
        "SPF or DKIM must pass for the domain in From, or for one of the same organization. With \
         a strict mode it must be the same domain.",
        "SPF o DKIM deben pasar para el dominio de From, o para uno de la misma organización. En \
         modo estricto debe ser el mismo dominio.",
    ];
    STRICT = "dmarc.strict" Info "RFC 9989 §4.7" [
        "Alignment is relaxed",
        "La alineación es relajada",
        "With `adkim=s` or `aspf=s` mail from a subdomain's envelope or signature fails. Use the \
         relaxed mode unless you know why not.",
        "Con `adkim=s` o `aspf=s` falla el correo con sobre o firma de un subdominio. Use el modo \
         relajado salvo que sepa por qué no.",
    ];
    ORG_DOMAIN = "dmarc.org-domain" Warning "RFC 9989 §4.10.2, App. C.3; RFC 7489 §3.2" [
        "The organizational domain is the same for all receivers",
        "El dominio organizativo es el mismo para todos los receptores",
        "New receivers find it by walking up the DNS tree, old ones by the list of public \
         suffixes. Where both differ, so do the policy that applies and the domains that count as \
         yours. Publish a record at the domain that the list names, with `psd=n` if one above it has \
         a record too, or use strict alignment.",
        "Los receptores nuevos lo hallan recorriendo el árbol del DNS; los antiguos, con la lista \
         de sufijos públicos. Donde difieren, también difieren la política aplicable y los dominios \
         que cuentan como suyos. Publique un registro en el dominio que nombra la lista, con \
         `psd=n` si también lo tiene uno superior, o use alineación estricta.",
    ];
    PSD = "dmarc.psd" Warning "RFC 9989 §4.7, §4.10" [
        "The record does not call the domain a public suffix",
        "El registro no llama sufijo público al dominio",
        "`psd=y` is for registries, such as that of `co.uk`. With it your subdomains count as \
         strangers.",
        "`psd=y` es para registros, como el de `co.uk`. Con él sus subdominios cuentan como ajenos.",
    ];
    RUA = "dmarc.rua" Warning "RFC 9989 §4.7; RFC 9990 §3" [
        "Reports go to an address that takes mail",
        "Los informes van a una dirección que recibe correo",
        "Aggregate reports show who sends in your name. Without `rua` nobody tells you.",
        "Los informes agregados muestran quién envía en su nombre. Sin `rua` nadie se lo dice.",
    ];
    RUA_EXTERNAL = "dmarc.rua-external" Error "RFC 9990 §4" [
        "Other domains permit that reports are sent to them",
        "Los dominios ajenos permiten que se les envíen informes",
        "Who gets reports for another domain must publish `v=DMARC1` at \
         DOMAIN._report._dmarc.TARGET; otherwise no report is sent.",
        "Quien recibe informes de otro dominio debe publicar `v=DMARC1` en \
         DOMINIO._report._dmarc.DESTINO; si no, no se envía ninguno.",
    ];
    RUA_SIZE = "dmarc.rua-size" Info "RFC 9989 §4.7" [
        "The report address has no size limit",
        "La dirección de informes no lleva límite de tamaño",
        "`!10m` behind an address is obsolete. Delete it.",
        "`!10m` detrás de una dirección es obsoleto. Bórrelo.",
    ];
    RUF = "dmarc.ruf" Info "RFC 9991 §7" [
        "No reports of single messages are asked for",
        "No se piden informes de mensajes sueltos",
        "`ruf` reports may hold personal data, and the large receivers send none.",
        "Los informes `ruf` pueden llevar datos personales, y los grandes receptores no los envían.",
    ];
    REMOVED_TAGS = "dmarc.removed-tags" Info "RFC 9989 App. A.6, C.5.2" [
        "The record has no tags that were abolished",
        "El registro no lleva etiquetas abolidas",
        "`pct`, `rf` and `ri` have no effect any more, while old receivers still obey `pct`. Use \
         `t=y` for tests.",
        "`pct`, `rf` y `ri` ya no tienen efecto, aunque los receptores antiguos aún obedecen \
         `pct`. Para pruebas use `t=y`.",
    ];
    TESTING = "dmarc.testing" Info "RFC 9989 §4.7" [
        "The policy is not in test mode",
        "La política no está en modo de prueba",
        "`t=y` lowers the policy by one step. Remove it when the tests are over.",
        "`t=y` rebaja la política un paso. Quítelo cuando acaben las pruebas.",
    ];
}
