//! The rules: what each expects, what to do, and who says so.

use crate::finding::{Finding, Severity};
use crate::lang::{Said, Text};

/// A rule that receivers enforce.
pub(in crate::verify) struct Rule {
    pub(in crate::verify) id: &'static str,
    /// How much it matters, where a finding does not say otherwise.
    pub(in crate::verify) severity: Severity,
    pub(in crate::verify) reference: &'static str,
    /// What should be.
    pub(in crate::verify) expected: Text,
    pub(in crate::verify) remedy: Text,
}

impl Rule {
    /// A finding as bad as the rule says.
    pub(super) fn broken(&self, seen: impl Into<Said>) -> Finding {
        self.broken_at(self.severity, seen)
    }

    /// A finding that is better or worse than others of the rule.
    pub(super) fn broken_at(&self, severity: Severity, seen: impl Into<Said>) -> Finding {
        Finding {
            expected: Some(self.expected.into()),
            reference: Some(self.reference),
            ..Finding::new(self.id, severity, seen.into(), self.remedy.into())
        }
    }
}

macro_rules! rules {
    ($($(#[$about:meta])* $name:ident = $id:literal $severity:ident $reference:literal [
        $expected_en:literal, $expected_es:literal, $remedy_en:literal, $remedy_es:literal,
    ];)*) => {
        $($(#[$about])* pub(super) static $name: Rule = Rule {
            id: $id,
            severity: Severity::$severity,
            reference: $reference,
            expected: Text::new($expected_en, $expected_es),
            remedy: Text::new($remedy_en, $remedy_es),
        };)*

        #[cfg(test)]
        pub(in crate::verify) static RULES: &[&Rule] = &[$(&$name),*];
    };
}

// What should be, and what to do.
rules! {
    RFC5322 = "msg.rfc5322" Error "RFC 5322 §3.6" [
        "a header of well-formed fields, each once where once is allowed, and an empty line behind it",
        "una cabecera de campos bien formados, sin repetir los que solo pueden ir una vez, y tras ella una línea vacía",
        "mend the program that builds the message",
        "corrija el programa que compone el mensaje",
    ];
    FROM_SINGLE = "msg.from-single" Error "RFC 5322 §3.6.2" [
        "one From field with one address, whose domain exists",
        "un solo campo From con una sola dirección, cuyo dominio exista",
        "name one author in From; name the others in Reply-To or Cc",
        "ponga un único autor en From; los demás, en Reply-To o Cc",
    ];
    FROM_FREEMAIL = "msg.from-freemail" Error "https://support.google.com/a/answer/81126" [
        "an author at a domain of yours",
        "un autor de un dominio propio",
        "put your own address in From and the visitor's address in Reply-To",
        "ponga su propia dirección en From y la del visitante en Reply-To",
    ];
    MESSAGE_ID = "msg.message-id" Error "RFC 5322 §3.6.4" [
        "one Message-ID of the form <something@a.domain.of.yours>",
        "un único Message-ID de la forma <algo@un.dominio.suyo>",
        "leave the field out: the server adds a right one",
        "no ponga el campo: el servidor añade uno correcto",
    ];
    DATE = "msg.date" Warning "RFC 5322 §3.6.1" [
        "one Date, of the time at which the message is sent",
        "un único Date, con la hora a la que se envía el mensaje",
        "leave the field out: the server adds it; or set the clock right",
        "no ponga el campo: el servidor lo añade; o ponga el reloj en hora",
    ];
    TO = "msg.to" Info "RFC 5322 §3.6.3" [
        "the recipient in To or Cc, at most 100 of them, and no Bcc left",
        "el destinatario en To o Cc, cien como mucho, y ningún Bcc",
        "write to each recipient in a message of their own",
        "escriba a cada destinatario en un mensaje propio",
    ];
    CRLF = "msg.crlf" Error "RFC 5321 §2.3.8" [
        "lines that end in CRLF, and no CR, LF or NUL anywhere else",
        "líneas que terminen en CRLF, y ningún CR, LF ni NUL en otro lugar",
        "let the program write one kind of line end; binary content goes in base64",
        "haga que el programa escriba un solo tipo de fin de línea; lo binario va en base64",
    ];
    LINE_LENGTH = "msg.line-length" Error "RFC 5322 §2.1.1" [
        "lines of at most 998 octets",
        "líneas de 998 octetos como máximo",
        "fold long fields; encode the body as quoted-printable or base64",
        "pliegue los campos largos; codifique el cuerpo en quoted-printable o base64",
    ];
    EIGHT_BIT = "msg.8bit" Warning "RFC 2047 §5" [
        "a header in ASCII, and 8-bit content only where it is declared",
        "una cabecera en ASCII, y contenido de 8 bits solo donde se declare",
        "encode header text by RFC 2047, and declare Content-Transfer-Encoding: 8bit or encode the body",
        "codifique el texto de la cabecera según RFC 2047, y declare Content-Transfer-Encoding: 8bit o codifique el cuerpo",
    ];
    HEADER_SIZE = "msg.header-size" Warning "RFC 5321 §6.3" [
        "a header below 64 KiB, fields below 16 KiB, fewer than 50 Received",
        "una cabecera de menos de 64 KiB, campos de menos de 16 KiB y menos de 50 Received",
        "shorten References and lists of recipients; with many Received, look for a mail loop",
        "acorte References y las listas de destinatarios; si hay muchos Received, busque un bucle de correo",
    ];
    SIZE = "msg.size" Warning "RFC 1870 §6" [
        "at most 25 MB as it is sent, with attachments encoded",
        "25 MB como máximo tal como se envía, con los adjuntos codificados",
        "send a link instead of the file",
        "envíe un enlace en lugar del fichero",
    ];
    ATTACHMENTS = "msg.attachments" Warning "https://support.google.com/mail/answer/6590" [
        "no attachment that can be run",
        "ningún adjunto ejecutable",
        "send a link, or the file in another format",
        "envíe un enlace, o el fichero en otro formato",
    ];
    MIME = "msg.mime" Warning "RFC 2046 §5.1" [
        "parts that begin and end as their boundaries say, a declared character set, and text beside HTML",
        "partes que empiecen y acaben donde dicen sus delimitadores, un juego de caracteres declarado, y texto junto al HTML",
        "let a MIME library build the message",
        "deje que una biblioteca de MIME componga el mensaje",
    ];
    LIST_UNSUBSCRIBE = "msg.list-unsubscribe" Error "RFC 8058 §3.1" [
        "List-Unsubscribe with an https address, and List-Unsubscribe-Post: List-Unsubscribe=One-Click",
        "List-Unsubscribe con una dirección https, y List-Unsubscribe-Post: List-Unsubscribe=One-Click",
        "add both fields; a mailto address alone is not enough",
        "añada los dos campos; una dirección mailto no basta",
    ];
    LIST_UNSUBSCRIBE_SIGNED = "msg.list-unsubscribe-signed" Error "RFC 8058 §4" [
        "both fields covered by a DKIM signature that passes for the domain of From",
        "los dos campos cubiertos por una firma DKIM válida del dominio de From",
        "have List-Unsubscribe and List-Unsubscribe-Post signed: they belong in h=",
        "haga firmar List-Unsubscribe y List-Unsubscribe-Post: deben figurar en h=",
    ];
    AUTO_SUBMITTED = "msg.auto-submitted" Info "RFC 3834 §5" [
        "Auto-Submitted in what a machine answers, and the null reverse-path for it",
        "Auto-Submitted en lo que responde una máquina, con el remitente nulo",
        "add Auto-Submitted: auto-replied or auto-generated, so that other machines do not answer",
        "añada Auto-Submitted: auto-replied o auto-generated, para que otras máquinas no contesten",
    ];
    FEEDBACK_ID = "msg.feedback-id" Info "https://support.google.com/a/answer/6254652" [
        "Feedback-ID, by which Google sorts complaints",
        "Feedback-ID, con el que Google clasifica las quejas",
        "add Feedback-ID: campaign:customer:kind:sender",
        "añada Feedback-ID: campaña:cliente:tipo:remitente",
    ];
    PRECEDENCE = "msg.precedence" Info "https://support.google.com/a/answer/81126" [
        "a subject and a sender that say what the message is",
        "un asunto y un remitente que digan qué es el mensaje",
        "write Re: and Fwd: only in replies and forwards, and send under a name of your own",
        "escriba Re: y Fwd: solo al responder o reenviar, y envíe con un nombre propio",
    ];
    DKIM_VERIFY = "msg.dkim-verify" Error "RFC 6376 §6.1" [
        "a DKIM signature that verifies, of the domain of From",
        "una firma DKIM válida, del dominio de From",
        "sign with a key of that domain (puerto dkim new DOMAIN), publish its record, and change nothing after signing",
        "firme con una clave de ese dominio (puerto dkim new DOMINIO), publique su registro y no cambie nada después de firmar",
    ];
    /// The severity is the data's: whoever signs so can be impersonated by an addition.
    NO_LENGTH = "dkim.no-length" Warning "RFC 6376 §8.2" [
        "a signature over the whole body, without l=",
        "una firma de todo el cuerpo, sin l=",
        "do not let the signing program write l=: text can be added behind it",
        "haga que el programa que firma no ponga l=: detrás se puede añadir texto",
    ];
    ENVELOPE_MATCH = "msg.envelope-match" Warning "RFC 9989 §4.4" [
        "MAIL FROM, From and Message-ID of one organization",
        "MAIL FROM, From y Message-ID de una misma organización",
        "use addresses of one domain and of its subdomains",
        "use direcciones de un mismo dominio y de sus subdominios",
    ];
    SPF = "spf.covers-ip" Error "RFC 7208 §2.6" [
        "SPF passes for this address",
        "que SPF autorice esta dirección",
        "add the address, or the include of whoever sends for you, to the one SPF record of the domain",
        "añada la dirección, o el include de quien envía por usted, al único registro SPF del dominio",
    ];
    DMARC = "dmarc.alignment" Error "RFC 9989 §4.4" [
        "SPF or DKIM passes for the domain of From or one of the same organization",
        "que SPF o DKIM autoricen el dominio de From u otro de la misma organización",
        "sign with d= the domain of From: that survives forwarding; and send with a MAIL FROM of that domain",
        "firme con d= el dominio de From, que sobrevive a los reenvíos, y envíe con un MAIL FROM de ese dominio",
    ];
    ORG_DOMAIN = "dmarc.org-domain" Warning "RFC 9989 §4.10.2, App. C.3" [
        "the same organizational domain and result by the tree walk and by the list of public suffixes, since receivers use either",
        "el mismo dominio organizativo y resultado al recorrer el árbol del DNS que con la lista de sufijos públicos, pues hay receptores de ambos tipos",
        "publish a DMARC record at the domain that the list names, with psd=n if a domain above it has a record too, and nowhere psd=y; or use the domain of From everywhere, with adkim=s and aspf=s",
        "publique un registro DMARC en el dominio que nombra la lista, con psd=n si también tiene registro un dominio superior, y sin psd=y en ninguno; o use siempre el dominio de From, con adkim=s y aspf=s",
    ];
}
