//! The rules: what each expects, what to do, and who says so.

use crate::lang::Text;
use crate::verify::finding::{Rule, Severity};

macro_rules! rules {
    ($($(#[$about:meta])* $name:ident: $id:literal, $severity:ident,
        expected: ($expected_en:literal, $expected_es:literal),
        remedy: ($remedy_en:literal, $remedy_es:literal),
        $reference:literal;)*) => {
        $($(#[$about])* pub(super) static $name: Rule = Rule {
            id: $id,
            severity: Severity::$severity,
            expected: Text::new($expected_en, $expected_es),
            remedy: Text::new($remedy_en, $remedy_es),
            reference: $reference,
        };)*

        /// Every rule.
        pub static RULES: &[&Rule] = &[$(&$name),*];
    };
}

rules! {
    RFC5322: "msg.rfc5322", Error,
    expected: (
        "a header of well-formed fields, each once where once is allowed, and an empty line behind it",
        "una cabecera de campos bien formados, sin repetir los que solo pueden ir una vez, y tras ella una línea vacía"
    ),
    remedy: (
        "mend the program that builds the message",
        "corrija el programa que compone el mensaje"
    ),
    "RFC 5322 §3.6";

    FROM_SINGLE: "msg.from-single", Error,
    expected: (
        "one From field with one address, whose domain exists",
        "un solo campo From con una sola dirección, cuyo dominio exista"
    ),
    remedy: (
        "name one author in From; name the others in Reply-To or Cc",
        "ponga un único autor en From; los demás, en Reply-To o Cc"
    ),
    "RFC 5322 §3.6.2";

    FROM_FREEMAIL: "msg.from-freemail", Error,
    expected: (
        "an author at a domain of yours",
        "un autor de un dominio propio"
    ),
    remedy: (
        "put your own address in From and the visitor's address in Reply-To",
        "ponga su propia dirección en From y la del visitante en Reply-To"
    ),
    "https://support.google.com/a/answer/81126";

    MESSAGE_ID: "msg.message-id", Error,
    expected: (
        "one Message-ID of the form <something@a.domain.of.yours>",
        "un único Message-ID de la forma <algo@un.dominio.suyo>"
    ),
    remedy: (
        "leave the field out: the server adds a right one",
        "no ponga el campo: el servidor añade uno correcto"
    ),
    "RFC 5322 §3.6.4";

    DATE: "msg.date", Warning,
    expected: (
        "one Date, of the time at which the message is sent",
        "un único Date, con la hora a la que se envía el mensaje"
    ),
    remedy: (
        "leave the field out: the server adds it; or set the clock right",
        "no ponga el campo: el servidor lo añade; o ponga el reloj en hora"
    ),
    "RFC 5322 §3.6.1";

    TO: "msg.to", Info,
    expected: (
        "the recipient in To or Cc, at most 100 of them, and no Bcc left",
        "el destinatario en To o Cc, cien como mucho, y ningún Bcc"
    ),
    remedy: (
        "write to each recipient in a message of their own",
        "escriba a cada destinatario en un mensaje propio"
    ),
    "RFC 5322 §3.6.3";

    CRLF: "msg.crlf", Error,
    expected: (
        "lines that end in CRLF, and no CR, LF or NUL anywhere else",
        "líneas que terminen en CRLF, y ningún CR, LF ni NUL en otro lugar"
    ),
    remedy: (
        "let the program write one kind of line end; binary content goes in base64",
        "haga que el programa escriba un solo tipo de fin de línea; lo binario va en base64"
    ),
    "RFC 5321 §2.3.8";

    LINE_LENGTH: "msg.line-length", Error,
    expected: (
        "lines of at most 998 octets",
        "líneas de 998 octetos como máximo"
    ),
    remedy: (
        "fold long fields; encode the body as quoted-printable or base64",
        "pliegue los campos largos; codifique el cuerpo en quoted-printable o base64"
    ),
    "RFC 5322 §2.1.1";

    EIGHT_BIT: "msg.8bit", Warning,
    expected: (
        "a header in ASCII, and 8-bit content only where it is declared",
        "una cabecera en ASCII, y contenido de 8 bits solo donde se declare"
    ),
    remedy: (
        "encode header text by RFC 2047, and declare Content-Transfer-Encoding: 8bit or encode the body",
        "codifique el texto de la cabecera según RFC 2047, y declare Content-Transfer-Encoding: 8bit o codifique el cuerpo"
    ),
    "RFC 2047 §5";

    HEADER_SIZE: "msg.header-size", Warning,
    expected: (
        "a header below 64 KiB, fields below 16 KiB, fewer than 50 Received",
        "una cabecera de menos de 64 KiB, campos de menos de 16 KiB y menos de 50 Received"
    ),
    remedy: (
        "shorten References and lists of recipients; with many Received, look for a mail loop",
        "acorte References y las listas de destinatarios; si hay muchos Received, busque un bucle de correo"
    ),
    "RFC 5321 §6.3";

    SIZE: "msg.size", Warning,
    expected: (
        "at most 25 MB as it is sent, with attachments encoded",
        "25 MB como máximo tal como se envía, con los adjuntos codificados"
    ),
    remedy: (
        "send a link instead of the file",
        "envíe un enlace en lugar del fichero"
    ),
    "RFC 1870 §6";

    ATTACHMENTS: "msg.attachments", Warning,
    expected: (
        "no attachment that can be run",
        "ningún adjunto ejecutable"
    ),
    remedy: (
        "send a link, or the file in another format",
        "envíe un enlace, o el fichero en otro formato"
    ),
    "https://support.google.com/mail/answer/6590";

    MIME: "msg.mime", Warning,
    expected: (
        "parts that begin and end as their boundaries say, a declared character set, and text beside HTML",
        "partes que empiecen y acaben donde dicen sus delimitadores, un juego de caracteres declarado, y texto junto al HTML"
    ),
    remedy: (
        "let a MIME library build the message",
        "deje que una biblioteca de MIME componga el mensaje"
    ),
    "RFC 2046 §5.1";

    LIST_UNSUBSCRIBE: "msg.list-unsubscribe", Error,
    expected: (
        "List-Unsubscribe with an https address, and List-Unsubscribe-Post: List-Unsubscribe=One-Click",
        "List-Unsubscribe con una dirección https, y List-Unsubscribe-Post: List-Unsubscribe=One-Click"
    ),
    remedy: (
        "add both fields; a mailto address alone is not enough",
        "añada los dos campos; una dirección mailto no basta"
    ),
    "RFC 8058 §3.1";

    LIST_UNSUBSCRIBE_SIGNED: "msg.list-unsubscribe-signed", Error,
    expected: (
        "both fields covered by a DKIM signature that passes for the domain of From",
        "los dos campos cubiertos por una firma DKIM válida del dominio de From"
    ),
    remedy: (
        "have List-Unsubscribe and List-Unsubscribe-Post signed: they belong in h=",
        "haga firmar List-Unsubscribe y List-Unsubscribe-Post: deben figurar en h="
    ),
    "RFC 8058 §4";

    AUTO_SUBMITTED: "msg.auto-submitted", Info,
    expected: (
        "Auto-Submitted in what a machine answers, and the null reverse-path for it",
        "Auto-Submitted en lo que responde una máquina, con el remitente nulo"
    ),
    remedy: (
        "add Auto-Submitted: auto-replied or auto-generated, so that other machines do not answer",
        "añada Auto-Submitted: auto-replied o auto-generated, para que otras máquinas no contesten"
    ),
    "RFC 3834 §5";

    FEEDBACK_ID: "msg.feedback-id", Info,
    expected: (
        "Feedback-ID, by which Google sorts complaints",
        "Feedback-ID, con el que Google clasifica las quejas"
    ),
    remedy: (
        "add Feedback-ID: campaign:customer:kind:sender",
        "añada Feedback-ID: campaña:cliente:tipo:remitente"
    ),
    "https://support.google.com/a/answer/6254652";

    PRECEDENCE: "msg.precedence", Info,
    expected: (
        "a subject and a sender that say what the message is",
        "un asunto y un remitente que digan qué es el mensaje"
    ),
    remedy: (
        "write Re: and Fwd: only in replies and forwards, and send under a name of your own",
        "escriba Re: y Fwd: solo al responder o reenviar, y envíe con un nombre propio"
    ),
    "https://support.google.com/a/answer/81126";

    DKIM_VERIFY: "msg.dkim-verify", Error,
    expected: (
        "a DKIM signature that verifies, of the domain of From",
        "una firma DKIM válida, del dominio de From"
    ),
    remedy: (
        "sign with a key of that domain (puerto dkim new DOMAIN), publish its record, and change nothing after signing",
        "firme con una clave de ese dominio (puerto dkim new DOMINIO), publique su registro y no cambie nada después de firmar"
    ),
    "RFC 6376 §6.1";

    /// The severity is the data's: whoever signs so can be impersonated by an addition.
    NO_LENGTH: "dkim.no-length", Warning,
    expected: (
        "a signature over the whole body, without l=",
        "una firma de todo el cuerpo, sin l="
    ),
    remedy: (
        "do not let the signing program write l=: text can be added behind it",
        "haga que el programa que firma no ponga l=: detrás se puede añadir texto"
    ),
    "RFC 6376 §8.2";

    ENVELOPE_MATCH: "msg.envelope-match", Warning,
    expected: (
        "MAIL FROM, From and Message-ID of one organization",
        "MAIL FROM, From y Message-ID de una misma organización"
    ),
    remedy: (
        "use addresses of one domain and of its subdomains",
        "use direcciones de un mismo dominio y de sus subdominios"
    ),
    "RFC 9989 §4.4";

    SPF: "spf.covers-ip", Error,
    expected: (
        "SPF passes for this address",
        "que SPF autorice esta dirección"
    ),
    remedy: (
        "add the address, or the include of whoever sends for you, to the one SPF record of the domain",
        "añada la dirección, o el include de quien envía por usted, al único registro SPF del dominio"
    ),
    "RFC 7208 §2.6";

    DMARC: "dmarc.alignment", Error,
    expected: (
        "SPF or DKIM passes for the domain of From or one of the same organization",
        "que SPF o DKIM autoricen el dominio de From u otro de la misma organización"
    ),
    remedy: (
        "sign with d= the domain of From: that survives forwarding; and send with a MAIL FROM of that domain",
        "firme con d= el dominio de From, que sobrevive a los reenvíos, y envíe con un MAIL FROM de ese dominio"
    ),
    "RFC 9989 §4.4";

    ORG_DOMAIN: "dmarc.org-domain", Warning,
    expected: (
        "the same organizational domain and result by the tree walk and by the list of public suffixes, since receivers use either",
        "el mismo dominio organizativo y resultado al recorrer el árbol del DNS que con la lista de sufijos públicos, pues hay receptores de ambos tipos"
    ),
    remedy: (
        "publish a DMARC record at the domain that the list names, with psd=n if a domain above it has a record too, and nowhere psd=y; or use the domain of From everywhere, with adkim=s and aspf=s",
        "publique un registro DMARC en el dominio que nombra la lista, con psd=n si también tiene registro un dominio superior, y sin psd=y en ninguno; o use siempre el dominio de From, con adkim=s y aspf=s"
    ),
    "RFC 9989 §4.10.2, App. C.3";
}
