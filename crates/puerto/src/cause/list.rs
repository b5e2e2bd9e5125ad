//! Every cause: its fields, its id, its English and its Spanish.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::field::{
    AddressKind, BareSystemError, Command, DescribedAddress, Field, Spoken, SystemError, Words,
};
use crate::lang::Language;
use puerto_mail::dns::DnsError;
use puerto_smtp::address::AddressError;
use puerto_smtp::client::{AuthUnavailable, Stage};
use puerto_smtp::reply::ReplyError;
use puerto_spool::SpoolError;

/// Declares the causes. The words name the fields; one that they do not name, or name
/// and have not, does not compile.
macro_rules! causes {
    ($($name:ident { $($field:ident: $type:ty),* } = $id:literal [$english:literal, $spanish:literal] $(=> $rule:literal)?;)*) => {
        /// What went wrong, or brought something about.
        ///
        /// In JSON it is an object with its id for its one key.
        #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
        #[allow(missing_docs, reason = "the words of a cause say what its fields are")]
        pub enum Cause {
            $(
                #[doc = $english]
                #[serde(rename = $id)]
                $name { $($field: $type),* },
            )*
        }

        impl Cause {
            /// Its name, the same in every version.
            pub fn id(&self) -> &'static str {
                match self {
                    $(Self::$name { .. } => $id,)*
                }
            }

            /// The rule that explains it, whatever its fields.
            pub(super) fn rule(&self) -> Option<&'static str> {
                match self {
                    $(Self::$name { .. } => {
                        const RULE: &[&str] = &[$($rule)?];
                        RULE.first().copied()
                    })*
                }
            }

            /// The English of those that have a rule, each with its rule.
            pub const EXPLAINED: &[(&str, &str)] = &[$($(($english, $rule),)?)*];

            /// One of each.
            #[cfg(test)]
            pub(crate) fn samples() -> Vec<Self> {
                use super::tests::Sample;
                vec![$(Self::$name { $($field: <$type>::sample()),* }),*]
            }

            pub(super) fn in_language(&self, language: Language) -> String {
                match self {
                    $(Self::$name { $($field),* } => {
                        $(let $field = $field.said_in(language);)*
                        match language {
                            Language::English => format!($english $(, $field = $field)*),
                            Language::Spanish => format!($spanish $(, $field = $field)*),
                        }
                    })*
                }
            }
        }
    };
}

causes! {
    Quoted { words: Words } = "quoted" ["{words}", "{words}"];

    Restored { created: String } = "backup.restored"
        ["it comes from the backup of {created}, and may have gone out since",
         "viene de la copia de seguridad del {created}, y puede haber salido desde entonces"];

    // Caps.
    OverMessagesInHour { who: String, most: u64 } = "caps.messages-hour"
        ["{who} has sent more messages in an hour than allowed ({most})",
         "{who} ha enviado en una hora más mensajes de los permitidos ({most})"];
    OverMessagesInDay { who: String, most: u64 } = "caps.messages-day"
        ["{who} has sent more messages in a day than allowed ({most})",
         "{who} ha enviado en un día más mensajes de los permitidos ({most})"];
    OverRecipientsInHour { who: String, most: u64 } = "caps.recipients-hour"
        ["{who} has sent to more new recipients in an hour than allowed ({most})",
         "{who} ha enviado en una hora a más destinatarios nuevos de los permitidos ({most})"];
    OverRecipientsInDay { who: String, most: u64 } = "caps.recipients-day"
        ["{who} has sent to more new recipients in a day than allowed ({most})",
         "{who} ha enviado en un día a más destinatarios nuevos de los permitidos ({most})"];

    // Routing.
    NoSuchDomain { domain: String } = "route.no-such-domain"
        ["the domain {domain} does not exist; is it spelled correctly?",
         "el dominio {domain} no existe; ¿está bien escrito?"]
        => "puerto.no-such-domain";
    BareDomain { domain: String } = "route.bare-domain"
        ["the domain {domain} has neither MX nor address records",
         "el dominio {domain} no tiene registros MX ni de dirección"]
        => "puerto.no-such-domain";
    BadDomain { domain: String } = "route.bad-domain"
        ["{domain} is not a valid internationalized domain",
         "{domain} no es un dominio internacionalizado válido"]
        => "puerto.no-such-domain";
    HostWithoutAddress { host: String } = "route.host-without-address"
        ["the MX host {host} has no address",
         "el MX {host} no tiene dirección"]
        => "puerto.no-address";
    ExchangerIsAddress { address: String } = "route.exchanger-is-address"
        ["the MX record names the address {address}, where a host's name belongs",
         "el registro MX nombra la dirección {address}, donde debe ir el nombre de una máquina"]
        => "puerto.no-address";
    NoExchangerLeft {} = "route.no-exchanger-left"
        ["no mail exchanger is left to try",
         "no queda ningún MX que probar"]
        => "puerto.no-address";
    NullExchanger { domain: String } = "route.null-exchanger"
        ["{domain} takes no mail: it publishes a null MX (RFC 7505)",
         "{domain} no admite correo: publica un MX nulo (RFC 7505)"]
        => "generic.null-mx";
    LoopbackExchanger { domain: String, host: String } = "route.loopback-exchanger"
        ["{domain} takes no mail: its MX is {host}",
         "{domain} no admite correo: su MX es {host}"]
        => "puerto.no-address";
    SpecialAddress { host: String, kind: AddressKind, address: IpAddr, why: Box<Cause> }
        = "route.special-address"
        ["{host} has the {kind} address {address}, {why}",
         "{host} tiene la dirección {kind} {address}, {why}"];
    SpecialLiteral { literal: String, kind: DescribedAddress, why: Box<Cause> }
        = "route.special-literal"
        ["the address literal {literal} is {kind}, {why}",
         "la dirección literal {literal} es {kind}, {why}"];
    UnlessAllowed {} = "route.unless-allowed"
        ["where mail is not delivered unless [delivery] allow_private = true",
         "a la que no se entrega salvo con [delivery] allow_private = true"]
        => "puerto.private";
    NeverDelivered {} = "route.never-delivered"
        ["where no mail is delivered",
         "a la que no se entrega correo"]
        => "puerto.private";
    AddressAvoided { address: String, receiver: String } = "route.address-avoided"
        ["{address} is not sent from: no name leads back to it (PTR and its address), and {receiver} turns such mail away",
         "no se envía desde {address}: ningún nombre vuelve a ella (PTR y su dirección) y {receiver} rechaza ese correo"];
    AddressNotPermitted { address: String, domain: String, receiver: String }
        = "route.address-not-permitted"
        ["{address} is not sent from: the SPF record of {domain} does not let it send, and {receiver} turns such mail away",
         "no se envía desde {address}: el registro SPF de {domain} no le deja enviar y {receiver} rechaza ese correo"];
    OwnRescue {} = "route.own-rescue"
        ["it leads back to this server, which would send what is refused round and round",
         "vuelve a este servidor, que haría dar vueltas a lo que se rechaza"];
    OwnLiteral { literal: String } = "route.own-literal"
        ["mail for {literal} loops back to this server, which has no mailboxes at that address",
         "el correo para {literal} vuelve a este servidor, que no tiene buzones en esa dirección"]
        => "puerto.ourselves";
    OwnExchanger { domain: String, host: String } = "route.own-exchanger"
        ["mail for {domain} loops back to this server: its best mail exchanger {host} is this host; if the domain is ours, add it to `domains`",
         "el correo para {domain} vuelve a este servidor: su mejor MX, {host}, es esta máquina; si el dominio es nuestro, añádalo a `domains`"]
        => "puerto.ourselves";
    LocalDomain {} = "route.local-domain"
        ["the domain is local",
         "el dominio es local"];
    StaysHere {} = "route.stays-here"
        ["the mail would stay on this machine",
         "el correo se quedaría en esta máquina"];
    HeldByOrder { number: String } = "order.held"
        ["order {number} of `puerto queue rules` holds such mail",
         "la orden {number} de `puerto queue rules` retiene este correo"];
    ConfigurationChanged {} = "route.configuration-changed"
        ["the configuration changed while the route was looked up",
         "la configuración ha cambiado mientras se buscaba la ruta"];
    RoutingBrokenOff {} = "route.broken-off"
        ["routing was broken off by an internal error",
         "un error interno interrumpió la búsqueda de la ruta"];
    ExchangersUnknown { domain: String, error: DnsError } = "route.exchangers-unknown"
        ["MX of {domain}: {error}",
         "MX de {domain}: {error}"]
        => "puerto.dns";
    AddressUnknown { host: String, error: DnsError } = "route.address-unknown"
        ["address of {host}: {error}",
         "dirección de {host}: {error}"]
        => "puerto.dns";
    // What the configuration calls its rule stays as it is.
    OfRule { rule: String, why: Box<Cause> } = "route.of-rule"
        ["{rule}: {why}", "{rule}: {why}"];

    // Connections.
    NotConnected { peer: String, error: BareSystemError } = "delivery.not-connected"
        ["connect to {peer}: {error}",
         "conexión con {peer}: {error}"];
    CrowdedSockets {} = "delivery.crowded-sockets"
        ["too many connections wait for other hosts",
         "hay demasiadas conexiones a la espera de otras máquinas"];
    CrowdedOperator { name: String } = "delivery.crowded-operator"
        ["too many connections wait for hosts of {name}",
         "hay demasiadas conexiones a la espera de máquinas de {name}"];
    CrowdedAddress { address: String } = "delivery.crowded-address"
        ["too many connections wait for {address}",
         "hay demasiadas conexiones a la espera de {address}"];
    NoHostTried {} = "delivery.no-host-tried"
        ["no host was tried",
         "no se ha probado con ninguna máquina"];
    NotTried {} = "queue.not-tried"
        ["it has not been tried yet",
         "aún no se ha intentado entregarlo"];
    NotReached {} = "delivery.not-reached"
        ["it could not be reached",
         "no se pudo llegar a él"];

    // Sessions.
    RefusedToTalk { host: String, reply: String } = "delivery.refused-to-talk"
        ["host {host} refused to talk to me: {reply}",
         "{host} no quiere hablar con este servidor: {reply}"];
    LoginRefused { host: String, reply: String } = "delivery.login-refused"
        ["SASL authentication failed; server {host} said: {reply}",
         "ha fallado la identificación (AUTH); {host} respondió: {reply}"];
    Refused { host: String, reply: String, command: Command } = "delivery.refused"
        ["host {host} said: {reply} (in reply to {command})",
         "{host} respondió: {reply} (a {command})"];
    ConnectionLost { host: String, stage: Stage } = "delivery.connection-lost"
        ["lost connection with {host} while {stage}",
         "se perdió la conexión con {host} {stage}"]
        => "network.hung-up";
    TimedOut { host: String, stage: Stage } = "delivery.timed-out"
        ["conversation with {host} timed out while {stage}",
         "{host} no respondió a tiempo {stage}"]
        => "network.hung-up";
    GaveUp { host: String, stage: Stage } = "delivery.gave-up"
        ["gave up on {host} while {stage}",
         "se dejó a {host} {stage}"];
    BadReply { host: String, stage: Stage, error: ReplyError } = "delivery.bad-reply"
        ["bad reply from {host} while {stage}: {error}",
         "{host} dio una mala respuesta {stage}: {error}"];
    UnexpectedReply { host: String, stage: Stage } = "delivery.unexpected-reply"
        ["unexpected reply from {host} while {stage}",
         "{host} dio una respuesta inesperada {stage}"];
    InjectedBeforeTls { host: String } = "delivery.injected-before-tls"
        ["host {host} sent plain text behind its reply to STARTTLS: somebody may be interfering with the connection",
         "{host} envió texto sin cifrar tras su respuesta a STARTTLS: alguien podría estar interfiriendo en la conexión"];
    TooLarge { size: u64, limit: u64, host: String } = "delivery.too-large"
        ["message size {size} exceeds size limit {limit} of server {host}",
         "el mensaje ocupa {size} octetos, más de los {limit} que admite {host}"]
        => "puerto.size";
    NeedsSmtputf8 { host: String } = "delivery.needs-smtputf8"
        ["SMTPUTF8 is required, but was not offered by host {host}",
         "hace falta SMTPUTF8 y {host} no lo ofrece"]
        => "postfix.smtputf8";
    PasswordUnread { file: String, error: SystemError } = "delivery.password-unread"
        ["cannot read the password file {file}: {error}",
         "no se puede leer el fichero de la contraseña {file}: {error}"]
        => "puerto.login";
    NoLogin { host: String, user: String, why: AuthUnavailable } = "delivery.no-login"
        ["cannot authenticate to {host} as {user}: {why}",
         "no es posible identificarse ante {host} como {user}: {why}"]
        => "puerto.login";

    // TLS.
    NoTls { host: String } = "tls.not-offered"
        ["TLS is required, but was not offered by host {host}",
         "se exige TLS y {host} no lo ofrece"]
        => "network.tls-not-offered";
    TlsFailed { host: String, why: Box<Cause> } = "tls.failed"
        ["Cannot start TLS with {host}: {why}",
         "no se puede iniciar TLS con {host}: {why}"]
        => "network.handshake";
    ForgeableName { why: Box<Cause>, relay: String, host: String } = "tls.forgeable-name"
        ["{why}; only MX records, which can be forged, name this host for {relay}: no password is sent to it unless its certificate is for {relay}, or it is configured in brackets: [{host}]",
         "{why}; solo los registros MX, que pueden falsificarse, nombran esta máquina para {relay}: no se le envía la contraseña salvo que su certificado sea para {relay} o esté configurada entre corchetes: [{host}]"];
    UnverifiableName {} = "tls.unverifiable-name"
        ["the host's name cannot be verified",
         "el nombre de la máquina no se puede verificar"];
    CertificateExpired {} = "tls.certificate-expired"
        ["the certificate has expired",
         "el certificado ha caducado"];
    CertificateNotYetValid {} = "tls.certificate-not-yet-valid"
        ["the certificate is not valid yet",
         "el certificado todavía no es válido"];
    CertificateOfOther {} = "tls.certificate-of-other"
        ["the certificate is for another name",
         "el certificado es para otro nombre"];
    CertificateFor { names: String } = "tls.certificate-for"
        ["the certificate is for {names}",
         "el certificado es para {names}"];
    CertificateSelfSigned {} = "tls.certificate-self-signed"
        ["the certificate is self-signed",
         "el certificado es autofirmado"];
    CertificateUntrusted {} = "tls.certificate-untrusted"
        ["the certificate's issuer is not trusted",
         "no se confía en quien emitió el certificado"];
    TlsaUnmatched { host: String } = "tls.tlsa-unmatched"
        ["no TLSA record of {host} matches the certificate",
         "ningún registro TLSA de {host} corresponde al certificado"]
        => "puerto.tlsa";
    TlsaUnknown { host: String, error: DnsError } = "transport.tlsa-unknown"
        ["TLSA of {host}: {error}; without an answer nothing goes there",
         "TLSA de {host}: {error}; sin respuesta no se envía nada allí"]
        => "puerto.dns";
    StsExcludes { domain: String, host: String } = "transport.sts-excludes"
        ["the MTA-STS policy of {domain} does not name its MX host {host}",
         "la política MTA-STS de {domain} no nombra su MX {host}"]
        => "puerto.sts";
    WithoutTls {} = "transport.none"
        ["plain, because the configuration says so",
         "sin cifrar, porque así lo dice la configuración"];
    Opportunistic {} = "transport.opportunistic"
        ["opportunistic", "oportunista"];
    TlsConfigured {} = "transport.configured"
        ["required by the configuration", "exigido por la configuración"];
    DanePublished { records: String } = "transport.dane"
        ["DANE: {records} published", "DANE: publicado {records}"];
    DaneMatched { record: String } = "transport.dane-matched"
        ["DANE: {record} matched", "DANE: coincide {record}"];
    DaneUnusable {} = "transport.dane-unusable"
        ["DANE: no usable TLSA record, so that TLS is demanded and no certificate",
         "DANE: ningún registro TLSA utilizable, así que se exige TLS y ningún certificado"];
    StsEnforced { pattern: String } = "transport.sts-enforce"
        ["MTA-STS enforce: mx pattern {pattern}", "MTA-STS enforce: patrón mx {pattern}"];
    StsTesting {} = "transport.sts-testing"
        ["MTA-STS testing: nothing is demanded", "MTA-STS testing: no se exige nada"];
    StsTestPassed {} = "transport.sts-test-passed"
        ["MTA-STS testing: it would have gone under enforce too",
         "MTA-STS testing: con enforce también habría salido"];
    StsTestFailed { why: Box<Cause> } = "transport.sts-test-failed"
        ["MTA-STS testing: under enforce it would have waited: {why}",
         "MTA-STS testing: con enforce habría esperado: {why}"];
    PlainNotOffered {} = "transport.plain-not-offered"
        ["plain, because TLS is not offered", "sin cifrar, porque no se ofrece TLS"];
    PlainBecause { why: Box<Cause> } = "transport.plain-because"
        ["plain, because TLS failed: {why}", "sin cifrar, porque ha fallado TLS: {why}"];
    PlainAfterTls { why: Box<Cause> } = "transport.plain-after-tls"
        ["plain, although this host spoke TLS before: {why}",
         "sin cifrar, aunque esta máquina hablaba antes TLS: {why}"];
    PlainRemembered {} = "transport.plain-remembered"
        ["plain, because TLS broke with this host within the last days",
         "sin cifrar, porque TLS ha fallado con esta máquina en los últimos días"];
    Downgraded { host: String, why: Box<Cause> } = "transport.downgraded"
        ["{host} spoke TLS before and does not now, so that nothing goes there: {why}",
         "{host} hablaba antes TLS y ahora no, así que no se envía nada allí: {why}"]
        => "puerto.downgraded";
    TlsOptional {} = "transport.optional"
        ["opportunistic, because the message says TLS-Required: No",
         "oportunista, porque el mensaje dice TLS-Required: No"];
    RequireTlsUnproven { host: String } = "transport.require-tls-unproven"
        ["the message asks for REQUIRETLS, and neither DNSSEC nor an enforced MTA-STS policy vouches for {host}",
         "el mensaje pide REQUIRETLS, y ni DNSSEC ni una política MTA-STS obligatoria avalan a {host}"]
        => "puerto.require-tls";
    RequireTlsUncertified { host: String, why: Box<Cause> } = "transport.require-tls-uncertified"
        ["the message asks for REQUIRETLS, and {host} does not prove who it is: {why}",
         "el mensaje pide REQUIRETLS, y {host} no demuestra quién es: {why}"]
        => "puerto.require-tls";
    RequireTlsVouched {} = "transport.require-tls-vouched"
        ["the message asks for REQUIRETLS, and nobody could have forged the host's name",
         "el mensaje pide REQUIRETLS, y nadie ha podido falsificar el nombre de la máquina"];
    RequireTlsNotOffered { host: String } = "transport.require-tls-not-offered"
        ["the message asks for REQUIRETLS, which {host} does not offer",
         "el mensaje pide REQUIRETLS, que {host} no ofrece"]
        => "puerto.require-tls";
    StsNotFetched {} = "transport.sts-not-fetched"
        ["the MTA-STS policy could not be fetched",
         "no se ha podido obtener la política MTA-STS"];
    StsInvalid {} = "transport.sts-invalid"
        ["the MTA-STS policy is malformed",
         "la política MTA-STS está mal formada"];
    StsUntrusted {} = "transport.sts-untrusted"
        ["the certificate of the MTA-STS policy's host is not valid",
         "el certificado de la máquina de la política MTA-STS no es válido"];
    CertificateChanged {} = "tls.certificate-changed"
        ["the certificate is not valid, and its key is not the one that this relay had before: no password is sent (relay-keys in state_dir has the key that is known)",
         "el certificado no es válido y su clave no es la que este relay tenía antes: no se envía ninguna contraseña (relay-keys, en state_dir, tiene la clave conocida)"];
    Alert { alert: String } = "tls.alert"
        ["received fatal alert: {alert}",
         "el otro extremo ha respondido con la alerta {alert}"];
    NoTlsRecord { kind: String } = "tls.no-record"
        ["received corrupt message of type {kind}",
         "se ha recibido algo que no es TLS ({kind})"];
    PeerIncompatible { why: String } = "tls.peer-incompatible"
        ["peer is incompatible: {why}",
         "el otro extremo no es compatible ({why})"];
    PeerMisbehaved { why: String } = "tls.peer-misbehaved"
        ["peer misbehaved: {why}",
         "el otro extremo incumple el protocolo ({why})"];
    NoCertificate {} = "tls.no-certificate"
        ["peer sent no certificates",
         "el otro extremo no ha presentado ningún certificado"];
    Undecipherable {} = "tls.undecipherable"
        ["cannot decrypt peer's message",
         "no se puede descifrar lo que envía el otro extremo"];
    OversizedRecord {} = "tls.oversized-record"
        ["peer sent excess record size",
         "el otro extremo ha enviado un bloque demasiado grande"];
    HandshakeBrokenOff {} = "tls.handshake-broken-off"
        ["tls handshake eof",
         "la conexión se ha cerrado durante la negociación de TLS"];
    HandshakeSystem { error: SystemError } = "tls.system"
        ["{error}", "{error}"];
    HandshakeTimedOut {} = "tls.handshake-timed-out"
        ["the handshake timed out",
         "la negociación de TLS no terminó a tiempo"];

    // Certificates that are got by ACME. A name may be several.
    AcmeUnreachable { server: String, why: Spoken } = "acme.unreachable"
        ["the authority {server} cannot be talked to: {why}",
         "no se puede hablar con la autoridad {server}: {why}"]
        => "puerto.acme-unreachable";
    AcmeMisunderstood { why: Words } = "acme.misunderstood"
        ["the authority's answer makes no sense: {why}",
         "la respuesta de la autoridad no se entiende: {why}"]
        => "puerto.acme-busy";
    AcmeSlow {} = "acme.slow"
        ["the authority did not come to an end in time",
         "la autoridad no ha terminado a tiempo"]
        => "puerto.acme-busy";
    AcmeInternal { detail: Words } = "acme.internal"
        ["the authority is in trouble itself: {detail}",
         "la propia autoridad tiene problemas: {detail}"]
        => "puerto.acme-busy";
    AcmeRateLimited { name: String, detail: Words } = "acme.rate-limited"
        ["the authority gives no more certificates for {name} for now: {detail}",
         "por ahora la autoridad no da más certificados para {name}: {detail}"]
        => "puerto.acme-rate-limited";
    AcmeUnauthorized { name: String, detail: Words } = "acme.unauthorized"
        ["the authority found something else at {name} than this server shows: {detail}",
         "la autoridad ha encontrado en {name} otra cosa que lo que muestra este servidor: {detail}"]
        => "puerto.acme-unauthorized";
    AcmeUnconnected { name: String, detail: Words } = "acme.unconnected"
        ["the authority could not connect to {name}: {detail}",
         "la autoridad no ha podido conectar con {name}: {detail}"]
        => "puerto.acme-unconnected";
    AcmeTls { name: String, detail: Words } = "acme.tls"
        ["the authority could not speak TLS with {name}: {detail}",
         "la autoridad no ha podido hablar TLS con {name}: {detail}"]
        => "puerto.acme-tls";
    AcmeNoName { name: String, detail: Words } = "acme.no-name"
        ["the authority did not find {name} in the DNS: {detail}",
         "la autoridad no ha encontrado {name} en el DNS: {detail}"]
        => "puerto.acme-no-name";
    AcmeForbidden { name: String, detail: Words } = "acme.forbidden"
        ["a CAA record forbids this authority to give certificates for {name}: {detail}",
         "un registro CAA prohíbe a esta autoridad dar certificados para {name}: {detail}"]
        => "puerto.acme-forbidden";
    AcmeRejected { name: String, detail: Words } = "acme.rejected"
        ["the authority gives no certificate for the name {name}: {detail}",
         "la autoridad no da certificados para el nombre {name}: {detail}"]
        => "puerto.acme-rejected";
    AcmeAccount { detail: Words } = "acme.account"
        ["the authority gives certificates to its own customers alone: {detail}",
         "la autoridad solo da certificados a sus clientes: {detail}"]
        => "puerto.acme-account";
    AcmeTerms { detail: Words } = "acme.terms"
        ["the authority's terms are to be accepted anew: {detail}",
         "hay que aceptar de nuevo las condiciones de la autoridad: {detail}"]
        => "puerto.acme-terms";
    AcmeRefused { kind: String, detail: Words } = "acme.refused"
        ["the authority refused it ({kind}): {detail}",
         "la autoridad lo ha rechazado ({kind}): {detail}"]
        => "puerto.acme-refused";
    AcmeNotOffered { name: String } = "acme.not-offered"
        ["the authority does not look at {name} by the challenge that is configured",
         "la autoridad no comprueba {name} con el método configurado"]
        => "puerto.acme-refused";
    AcmeNotWritten { name: String, why: Spoken } = "acme.not-written"
        ["the record {name} could not be written: {why}",
         "no se ha podido escribir el registro {name}: {why}"]
        => "puerto.acme-update";
    AcmeUnseen { name: String } = "acme.unseen"
        ["the record {name} was written, and did not come to all servers of its zone",
         "el registro {name} se ha escrito, pero no ha llegado a todos los servidores de su zona"]
        => "puerto.acme-update";
    AcmeUnkept { error: SystemError } = "acme.unkept"
        ["what is got from the authority cannot be kept: {error}",
         "no se puede guardar lo que se obtiene de la autoridad: {error}"]
        => "puerto.acme-unkept";

    // The message and the queue.
    MessageUnread { error: SystemError } = "queue.message-unread"
        ["cannot read the queued message: {error}",
         "no se puede leer el mensaje de la cola: {error}"]
        => "puerto.local";
    MessageDamaged { size: u64 } = "queue.message-damaged"
        ["the queued message is damaged: it should have {size} octets and has not",
         "el mensaje de la cola está dañado: debería tener {size} octetos y no los tiene"];
    ReadingBrokenOff { why: Words } = "queue.reading-broken-off"
        ["reading the message failed: {why}",
         "ha fallado la lectura del mensaje: {why}"];
    BrokenOff {} = "queue.broken-off"
        ["the delivery was broken off by an internal error",
         "un error interno interrumpió la entrega"];
    Suspended { why: Box<Cause> } = "queue.suspended"
        ["delivery temporarily suspended: {why}",
         "entrega suspendida por ahora: {why}"];
    Parked { why: Box<Cause> } = "queue.parked"
        ["its destination asked for a pause, in which no attempt is spent: {why}",
         "su destino pidió una pausa, en la que no se gasta ningún intento: {why}"];
    ToRescue { relay: String, why: Box<Cause> } = "queue.to-rescue"
        ["{why}; the rescue route {relay} is tried, since another address would not meet that",
         "{why}; se prueba la ruta de rescate {relay}, pues otra dirección no encontraría eso"];
    ByRescue { relay: String, why: Box<Cause> } = "queue.by-rescue"
        ["it goes by the rescue route {relay}, since the direct way failed: {why}",
         "va por la ruta de rescate {relay}, pues la vía directa ha fallado: {why}"];
    RescueFailed { last: Box<Cause>, why: Box<Cause> } = "queue.rescue-failed"
        ["{last}; this was the rescue route, since the direct way failed: {why}",
         "{last}; era la ruta de rescate, pues la vía directa falló: {why}"];
    WarmUp { source: String, provider: String, most: u64 } = "queue.warm-up"
        ["the new address {source} has sent {provider} the {most} messages of this day of its plan, and no other may carry this; it goes on tomorrow",
         "la dirección nueva {source} ya ha enviado a {provider} los {most} mensajes que su plan da para hoy, y ninguna otra puede llevar este; sigue mañana"];
    NoSource { destination: String } = "queue.no-source"
        ["none of the addresses that may carry this reaches {destination}: they have another address family (IPv4, IPv6) than its hosts",
         "ninguna de las direcciones que pueden llevar esto alcanza {destination}: son de otra familia (IPv4, IPv6) que sus máquinas"];
    PortClosed { destinations: u64 } = "queue.port-closed"
        ["nothing outside answers on port 25: {destinations} destinations in different networks could not be reached, and no other was meanwhile",
         "nada responde fuera en el puerto 25: no se ha podido llegar a {destinations} destinos de redes distintas, ni entretanto a ningún otro"];
    Expired { last: Box<Cause> } = "queue.expired"
        ["delivery time expired; last try: {last}",
         "se agotó el plazo; último intento: {last}"];
    Untold { of: Box<Cause> } = "queue.untold"
        ["the sender cannot be told yet of: {of}",
         "aún no se ha podido avisar al remitente de esto: {of}"];

    Unrecorded { error: SpoolError } = "queue.unrecorded"
        ["its settlement was not recorded: {error}",
         "no se anotó qué fue de sus destinatarios: {error}"];
    RecordWaits { error: SpoolError } = "queue.record-waits"
        ["what became of its recipients is kept in memory until the spool can record it: {error}",
         "lo que fue de sus destinatarios se guarda en memoria hasta que la cola pueda anotarlo: {error}"];
    RecordNotDurable { error: SpoolError } = "queue.record-not-durable"
        ["what became of its recipients is not on disk; after a restart some may get it again: {error}",
         "lo que fue de sus destinatarios no está en el disco; tras reiniciar, alguno podría recibirlo otra vez: {error}"];

    GoesOnInPlain { why: Box<Cause> } = "tls.goes-on-in-plain"
        ["{why}; going on in plain text, since tls is opportunistic",
         "{why}; se sigue sin cifrar, pues tls es opportunistic"];

    // What an administrator has done.
    TriedByHand { uid: u64 } = "by-hand.tried"
        ["to be tried now by uid {uid}",
         "el uid {uid} ha pedido intentarlo ya"];
    HeldByHand { uid: u64 } = "by-hand.held"
        ["placed on hold by uid {uid}",
         "retenido por el uid {uid}"];
    ReleasedByHand { uid: u64 } = "by-hand.released"
        ["released from hold by uid {uid}",
         "liberado por el uid {uid}"];
    RemovedByHand { uid: u64 } = "by-hand.removed"
        ["removed from the queue by uid {uid}",
         "eliminado de la cola por el uid {uid}"];
    ShownByHand { uid: u64 } = "by-hand.shown"
        ["shown whole to uid {uid}",
         "mostrado entero al uid {uid}"];

    // Taking a message over.
    Held { why: Box<Cause> } = "intake.held"
        ["held: {why}", "retenido: {why}"];
    PostmasterUntold { reply: String } = "intake.postmaster-untold"
        ["postmaster could not be told of it: {reply}",
         "no se ha podido avisar de ello a postmaster: {reply}"];
    NotStored { why: SpoolError } = "intake.not-stored"
        ["{why}", "{why}"];
    SenderRewritten { from: String, to: String, why: Box<Cause> } = "intake.sender-rewritten"
        ["sender <{from}> rewritten to <{to}>: {why}",
         "remitente <{from}> cambiado por <{to}>: {why}"];
    AuthorRewritten { from: String, to: String, why: Box<Cause> } = "intake.author-rewritten"
        ["From <{from}> rewritten to <{to}>: {why}",
         "From <{from}> cambiado por <{to}>: {why}"];
    DomainNotOurs { domain: String } = "intake.domain-not-ours"
        ["{domain} is none of our domains, so that DMARC would fail",
         "{domain} no es dominio nuestro, así que fallaría DMARC"];
    AddressNotOwned { who: String } = "intake.address-not-owned"
        ["not owned by {who}", "no es de {who}"];
    FirstAuthorKept { count: u64 } = "intake.first-author-kept"
        ["header: kept the first of {count} addresses in From",
         "cabecera: de {count} direcciones en From queda la primera"];
    OneFieldKept { count: u64, name: String } = "intake.one-field-kept"
        ["header: kept one of {count} {name} fields",
         "cabecera: de {count} campos {name} queda uno"];
    NulsRemoved { count: u64 } = "intake.nuls-removed"
        ["header: removed {count} NULs",
         "cabecera: se han quitado {count} octetos nulos"];
    NotSigned { key: String, why: Words } = "intake.not-signed"
        ["not signed with {key}: {why}",
         "sin firmar con {key}: {why}"];

    // Notifications.
    NoSenderToTell {} = "bounce.no-sender"
        ["an undeliverable notification is dropped: it has no sender",
         "se descarta una notificación que no se puede entregar: no tiene remitente"];
    PostmasterHasEnough {} = "bounce.postmaster-has-enough"
        ["too many undeliverable notifications within an hour: the postmaster is not told of this one",
         "demasiadas notificaciones sin entregar en una hora: de esta no se avisa a postmaster"];
    OutsidersHaveEnough {} = "bounce.outsiders-have-enough"
        ["too many notifications to outsiders within an hour: this one is dropped",
         "demasiadas notificaciones a gente de fuera en una hora: esta se descarta"];
    NotReturned { reply: String } = "bounce.not-returned"
        ["the message cannot be returned: {reply}",
         "el mensaje no se puede devolver: {reply}"];
    NobodyTold { who: String, reply: String } = "bounce.nobody-told"
        ["{who} cannot be told: {reply}",
         "no se puede avisar a {who}: {reply}"];
    ReportDoubted { why: Spoken } = "bounce.report-doubted"
        ["this report is noted with no message of ours: {why}",
         "este informe no se anota con ningún mensaje nuestro: {why}"];

    // Local delivery.
    ForwardUnheeded { user: String, why: Spoken } = "local.forward-unheeded"
        ["the .forward of {user} is not heeded: {why}",
         "no se hace caso del .forward de {user}: {why}"];
    InForward { user: String, what: Spoken } = "local.in-forward"
        ["in the .forward of {user}: {what}",
         "en el .forward de {user}: {what}"];
    ToMailbox {} = "local.to-mailbox"
        ["delivered to mailbox",
         "entregado en el buzón"];
    ToMaildir {} = "local.to-maildir"
        ["delivered to maildir",
         "entregado en el Maildir"];
    Delivered {} = "local.delivered"
        ["delivered",
         "entregado"];
    WithOthers {} = "local.with-others"
        ["delivered with the message's other recipients",
         "entregado junto con los demás destinatarios del mensaje"];
    Forwarded { id: String } = "local.forwarded"
        ["forwarded as {id}",
         "reenviado como {id}"];
    ThrownAway { alias: String } = "local.thrown-away"
        ["thrown away, as the alias `{alias}` says",
         "descartado, como dice el alias `{alias}`"];
    ForwardedNowhere {} = "local.forwarded-nowhere"
        ["thrown away, as the user's .forward says",
         "descartado, como dice el .forward del usuario"];
    Together { first: Box<Cause>, then: Box<Cause> } = "local.together"
        ["{first}, {then}",
         "{first}, {then}"];
    NoSuchUser { user: String } = "local.no-such-user"
        ["there is no user `{user}`",
         "no existe el usuario `{user}`"]
        => "puerto.no-user";
    BadUserName { user: String, error: AddressError } = "local.bad-user-name"
        ["the user `{user}`: {error}",
         "el usuario `{user}`: {error}"]
        => "puerto.no-user";
    UsersUnknown { error: SystemError } = "local.users-unknown"
        ["cannot look up users: {error}",
         "no se puede consultar a los usuarios: {error}"]
        => "puerto.local";
    ForwardingLoop { address: String } = "local.forwarding-loop"
        ["mail forwarding loop: it was delivered to {address} before",
         "bucle de reenvío: ya se entregó antes a {address}"]
        => "postfix.queue-hops";
    InternalError {} = "local.internal-error"
        ["internal error, it is tried again",
         "error interno, se volverá a intentar"];

    // Aliases.
    InAliases { why: Box<Cause> } = "aliases.why"
        ["in the aliases file: {why}",
         "en el fichero de alias: {why}"];
    AliasCircle {} = "aliases.circle"
        ["in the aliases or in [virtual], this name leads in a circle",
         "en los alias o en [virtual], este nombre lleva en círculo"]
        => "puerto.aliases";
    AliasesWithoutEnd { depth: u64, targets: u64 } = "aliases.without-end"
        ["aliases lead on and on: more than {depth} deep or {targets}",
         "los alias llevan de uno a otro sin fin: más de {depth} niveles o {targets}"];
    EntryBroken { file: String, line: u64 } = "virtual.entry-broken"
        ["line {line} of {file} cannot be understood, so this mail waits until it is mended: \
          `newaliases` says what is wrong",
         "no se entiende la línea {line} de {file}, y este correo espera a que se corrija: \
          `newaliases` dice qué le pasa"];
    ListUnread { list: String, error: SystemError } = "aliases.list-unread"
        ["the list {list} cannot be read: {error}",
         "no se puede leer la lista {list}: {error}"];
    Target { target: String, why: Box<Cause> } = "aliases.target"
        ["`{target}`: {why}",
         "`{target}`: {why}"];
    ProgramTarget {} = "aliases.program"
        ["mail is handed to a program only where `local.allow_commands` says so",
         "el correo solo se entrega a un programa donde lo dice `local.allow_commands`"];
    FileTarget {} = "aliases.file"
        ["mail is appended to a file only where `local.allow_files` says so",
         "el correo solo se añade a un fichero donde lo dice `local.allow_files`"];
    NamedByAnybody {} = "aliases.named-by-anybody"
        ["everybody may write the file that names a command or a file: `chmod o-w` it",
         "cualquiera puede escribir en el fichero que nombra una orden o un fichero: ejecute \
          `chmod o-w` con él"];
    OwnerUnknown { uid: u64 } = "aliases.owner-unknown"
        ["the file that names it belongs to uid {uid}, which is no user",
         "el fichero que lo nombra es del uid {uid}, que no es de ningún usuario"];
    OwnerIsService { user: String } = "aliases.owner-is-service"
        ["nothing is run as {user}, whose is everybody's mail: give the file that names it to \
          root, or set `local.default_user`",
         "nada se ejecuta como {user}, que tiene el correo de todos: dé a root el fichero que lo \
          nombra, o ponga otro `local.default_user`"];
    NeverAsRoot {} = "aliases.never-as-root"
        ["nothing that mail is handed to is run as root: set `local.default_user`",
         "nada de lo que recibe correo se ejecuta como root: ponga otro `local.default_user`"];
    SecretTooShort {} = "srs.secret-too-short"
        ["a secret needs at least 16 characters",
         "un secreto necesita al menos 16 caracteres"];
    ForwardTooLong {} = "forward.too-long"
        ["the .forward and its lists are longer than 64 KiB",
         "el .forward y sus listas pasan de 64 KiB"];
    ToCommand { command: String } = "local.to-command"
        ["delivered to command: {command}",
         "entregado a la orden: {command}"];
    ToFile { path: String } = "local.to-file"
        ["delivered to file: {path}",
         "entregado al fichero: {path}"];
    CommandNotStarted { error: SystemError } = "command.not-started"
        ["no command can be started: {error}",
         "no se puede iniciar ninguna orden: {error}"]
        => "puerto.local";
    CommandFailed { command: String, code: u64 } = "command.failed"
        ["the command `{command}` ended with exit code {code}",
         "la orden `{command}` terminó con el código {code}"];
    CommandSaid { command: String, code: u64, output: String } = "command.said"
        ["the command `{command}` ended with exit code {code}: {output}",
         "la orden `{command}` terminó con el código {code}: {output}"];
    CommandKilled { command: String, signal: u64 } = "command.killed"
        ["the command `{command}` was ended by signal {signal}",
         "la orden `{command}` terminó por la señal {signal}"];
    CommandTooSlow { command: String, seconds: u64 } = "command.too-slow"
        ["the command `{command}` was ended, since it took more than {seconds} seconds",
         "se terminó la orden `{command}`, que pasó de {seconds} segundos"];
    HalfList {} = "aliases.half-list"
        ["write `:include:` and the whole path of a file",
         "escriba `:include:` y la ruta completa de un fichero"];
    BadAddress { error: AddressError } = "aliases.bad-address"
        ["{error}",
         "{error}"];
    NoTarget {} = "aliases.no-target"
        ["this is neither a user nor an address: write `name: user, other@example.com`",
         "no es ni un usuario ni una dirección: escriba `nombre: usuario, otro@example.com`"];
    Several { causes: Vec<Cause> } = "aliases.several"
        ["{causes}",
         "{causes}"];
    OthersHaveIt { of: Box<Cause> } = "aliases.others-have-it"
        ["{of}; its other targets have it",
         "{of}; sus otros destinos lo tienen"];

    // Whether somebody exists.
    NobodyToAsk {} = "recipients.nobody-to-ask"
        ["nobody can be asked about it",
         "no hay a quién preguntar por ella"];
    HostNotAsked { host: String } = "recipients.host-not-asked"
        ["{host} cannot be asked about it",
         "no se puede preguntar por ella a {host}"];
    HostUnwilling { host: String } = "recipients.host-unwilling"
        ["{host} does not let us in to ask about it",
         "{host} no nos deja entrar a preguntar por ella"];
    NoAnswer {} = "recipients.no-answer"
        ["whoever has its mailbox did not answer in time",
         "quien tiene su buzón no respondió a tiempo"];

    // Mailboxes.
    MailboxLocked {} = "mailbox.locked"
        ["another program keeps the mailbox locked",
         "otro programa tiene bloqueado el buzón"]
        => "puerto.local";
    MailboxFull { limit: u64 } = "mailbox.full"
        ["the mailbox is full: mailbox_size is {limit} octets",
         "el buzón está lleno: mailbox_size son {limit} octetos"]
        => "generic.quota";
    MailboxReplaced { path: String } = "mailbox.replaced"
        ["{path} is replaced again and again",
         "{path} se reemplaza una y otra vez"]
        => "puerto.local";
    MailboxIsLink { path: String } = "mailbox.is-link"
        ["{path} is a symbolic link",
         "{path} es un enlace simbólico"]
        => "puerto.local";
    MailboxIsNoFile { path: String } = "mailbox.is-no-file"
        ["{path} is not a regular file",
         "{path} no es un fichero normal"]
        => "puerto.local";
    MailboxHasNames { path: String } = "mailbox.has-names"
        ["{path} has several names: remove the other links",
         "{path} tiene varios nombres: elimine los demás enlaces"]
        => "puerto.local";
    MailboxOfOther { path: String, user: String } = "mailbox.of-other"
        ["{path} does not belong to {user}: `chown {user}` it",
         "{path} no pertenece a {user}: use `chown {user}`"]
        => "puerto.local";
    HomeMissing { home: String } = "mailbox.home-missing"
        ["the home directory {home} is missing",
         "falta la carpeta personal {home}"]
        => "puerto.local";
    MailboxNotOpened { path: String, error: SystemError } = "mailbox.not-opened"
        ["cannot open {path}: {error}",
         "no se puede abrir {path}: {error}"]
        => "puerto.local";
    MailboxNotWritten { path: String, error: SystemError } = "mailbox.not-written"
        ["cannot write {path}: {error}",
         "no se puede escribir en {path}: {error}"]
        => "puerto.local";
    MaildirNotWritten { path: String, error: SystemError } = "mailbox.maildir-not-written"
        ["cannot write to {path}: {error}",
         "no se puede escribir en {path}: {error}"]
        => "puerto.local";
    MailboxNotLocked { error: SystemError } = "mailbox.not-locked"
        ["cannot lock the mailbox: {error}",
         "no se puede bloquear el buzón: {error}"]
        => "puerto.local";
    MailboxUnread { error: SystemError } = "mailbox.unread"
        ["cannot read the mailbox: {error}",
         "no se puede leer el buzón: {error}"]
        => "puerto.local";
    ForwardUnread { error: SystemError } = "mailbox.forward-unread"
        ["cannot read .forward: {error}",
         "no se puede leer .forward: {error}"]
        => "puerto.local";
    MessageNotTaken { error: SystemError } = "mailbox.message-not-taken"
        ["cannot take the message: {error}",
         "no se puede recoger el mensaje: {error}"]
        => "puerto.local";
    MessageBrokenOff {} = "mailbox.message-broken-off"
        ["the queued message cannot be read",
         "no se puede leer el mensaje de la cola"];
    MailboxSilent { user: String } = "mailbox.silent"
        ["the mailbox of {user} does not answer: is its disk there?",
         "el buzón de {user} no responde: ¿está su disco?"]
        => "puerto.local";
    NotStartedAsRoot { we: u64, user: String } = "mailbox.not-started-as-root"
        ["puerto was started as user {we} and may not write the mailbox of {user}: start it as root, it then drops to `user`",
         "puerto se inició como el usuario {we} y no puede escribir en el buzón de {user}: inícielo como root, y pasará después a `user`"];
    NotBecome { user: String, error: SystemError } = "mailbox.not-become"
        ["cannot become {user}: {error}",
         "no se puede pasar a ser {user}: {error}"]
        => "puerto.local";
    StillRoot {} = "mailbox.still-root"
        ["root's rights could be taken back",
         "se podrían recuperar los privilegios de root"];
    ProcessNotStarted { error: SystemError } = "mailbox.process-not-started"
        ["cannot start a mailbox process: {error}",
         "no se puede iniciar un proceso de buzón: {error}"]
        => "puerto.local";
    ProcessEnded { user: String, error: SystemError } = "mailbox.process-ended"
        ["the mailbox process of {user} has ended: {error}",
         "el proceso del buzón de {user} ha terminado: {error}"]
        => "puerto.local";
    AgentNotStarted { error: SystemError } = "mailbox.agent-not-started"
        ["cannot start the mailbox agent: {error}",
         "no se puede iniciar el agente de los buzones: {error}"]
        => "puerto.local";
    AgentBusy {} = "mailbox.agent-busy"
        ["the mailbox agent is busy",
         "el agente de los buzones está ocupado"]
        => "puerto.local";
    AgentEnded {} = "mailbox.agent-ended"
        ["the mailbox agent has ended: restart puerto to start it again",
         "el agente de los buzones ha terminado: reinicie puerto para volver a iniciarlo"]
        => "puerto.local";
    NotForwarded { reply: String } = "local.not-forwarded"
        ["cannot forward it: {reply}",
         "no se puede reenviar: {reply}"];
    CopyNotStored { why: SpoolError } = "local.copy-not-stored"
        ["cannot store the copy to forward: {why}",
         "no se puede guardar la copia que reenviar: {why}"]
        => "puerto.local";
    NoLmtpClient {} = "lmtp.no-client"
        ["this program has no LMTP client",
         "este programa no tiene cliente LMTP"];
    LmtpNoLonger {} = "lmtp.no-longer"
        ["the configuration has just changed",
         "la configuración acaba de cambiar"];
    LmtpServerUnknown { server: String, error: SystemError } = "lmtp.server-unknown"
        ["the LMTP server {server} is not found: {error}",
         "no se encuentra el servidor LMTP {server}: {error}"]
        => "puerto.local";
    LmtpServerSilent {} = "lmtp.server-silent"
        ["the LMTP server said nothing",
         "el servidor LMTP no ha dicho nada"]
        => "puerto.local";

    // Files.
    FileUnread { file: String, error: SystemError } = "file.unread"
        ["{file} cannot be read: {error}",
         "no se puede leer {file}: {error}"];
    NoRegularFile {} = "file.not-regular"
        ["it is not a regular file",
         "no es un fichero normal"];
    NoSocket {} = "file.not-socket"
        ["something that is not a socket is in its place",
         "en su lugar hay algo que no es un socket"];
    SocketTaken {} = "file.socket-taken"
        ["another server answers on it; stop that one first",
         "otro servidor responde en él; deténgalo primero"];
    FolderOfOther { path: String, owner: String } = "file.folder-of-other"
        ["{path} belongs to {owner}, who could put another file in its place: as root, use a folder of root's",
         "{path} es de {owner}, que podría poner otro fichero en su lugar: como root, use una carpeta de root"];
    FolderOpen { path: String } = "file.folder-open"
        ["others may write in {path} and could put another file in its place: chmod go-w {path}",
         "otros pueden escribir en {path} y poner otro fichero en su lugar: chmod go-w {path}"];
    SecretExposed { path: String, mode: String } = "file.secret-exposed"
        ["{path} has mode {mode}: others can read or change the password; run: chmod o-rwx,g-w {path}",
         "{path} tiene el modo {mode}: otros pueden leer o cambiar la contraseña; ejecute: chmod o-rwx,g-w {path}"];
}
