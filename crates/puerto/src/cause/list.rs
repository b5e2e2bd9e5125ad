//! Every cause: its fields, its id, its English and its Spanish.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::field::{
    AddressKind, BareSystemError, Command, DescribedAddress, Field, SystemError, Words,
};
use crate::lang::Language;
use puerto_smtp::client::{AuthUnavailable, Stage};
use puerto_smtp::reply::ReplyError;

/// Declares the causes. The words name the fields; one that they do not name, or name
/// and have not, does not compile.
macro_rules! causes {
    ($($name:ident { $($field:ident: $type:ty),* } = $id:literal [$english:literal, $spanish:literal];)*) => {
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

    // Routing.
    NoSuchDomain { domain: String } = "route.no-such-domain"
        ["the domain {domain} does not exist; is it spelled correctly?",
         "el dominio {domain} no existe; ¿está bien escrito?"];
    BareDomain { domain: String } = "route.bare-domain"
        ["the domain {domain} has neither MX nor address records",
         "el dominio {domain} no tiene registros MX ni de dirección"];
    BadDomain { domain: String } = "route.bad-domain"
        ["{domain} is not a valid internationalized domain",
         "{domain} no es un dominio internacionalizado válido"];
    HostWithoutAddress { host: String } = "route.host-without-address"
        ["the MX host {host} has no address",
         "el MX {host} no tiene dirección"];
    ExchangerIsAddress { address: String } = "route.exchanger-is-address"
        ["the MX record names the address {address}, where a host's name belongs",
         "el registro MX nombra la dirección {address}, donde debe ir el nombre de una máquina"];
    NoExchangerLeft {} = "route.no-exchanger-left"
        ["no mail exchanger is left to try",
         "no queda ningún MX que probar"];
    NullExchanger { domain: String } = "route.null-exchanger"
        ["{domain} takes no mail: it publishes a null MX (RFC 7505)",
         "{domain} no admite correo: publica un MX nulo (RFC 7505)"];
    LoopbackExchanger { domain: String, host: String } = "route.loopback-exchanger"
        ["{domain} takes no mail: its MX is {host}",
         "{domain} no admite correo: su MX es {host}"];
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
         "a la que no se entrega salvo con [delivery] allow_private = true"];
    NeverDelivered {} = "route.never-delivered"
        ["where no mail is delivered",
         "a la que no se entrega correo"];
    OwnLiteral { literal: String } = "route.own-literal"
        ["mail for {literal} loops back to this server, which has no mailboxes at that address",
         "el correo para {literal} vuelve a este servidor, que no tiene buzones en esa dirección"];
    OwnExchanger { domain: String, host: String } = "route.own-exchanger"
        ["mail for {domain} loops back to this server: its best mail exchanger {host} is this host; if the domain is ours, add it to `domains`",
         "el correo para {domain} vuelve a este servidor: su mejor MX, {host}, es esta máquina; si el dominio es nuestro, añádalo a `domains`"];
    LocalDomain {} = "route.local-domain"
        ["the domain is local",
         "el dominio es local"];
    StaysHere {} = "route.stays-here"
        ["the mail would stay on this machine",
         "el correo se quedaría en esta máquina"];
    ConfigurationChanged {} = "route.configuration-changed"
        ["the configuration changed while the route was looked up",
         "la configuración ha cambiado mientras se buscaba la ruta"];
    RoutingBrokenOff {} = "route.broken-off"
        ["routing was broken off by an internal error",
         "un error interno interrumpió la búsqueda de la ruta"];
    // What the configuration calls its rule stays as it is.
    OfRule { rule: String, why: Box<Cause> } = "route.of-rule"
        ["{rule}: {why}", "{rule}: {why}"];
    Rule { rule: String } = "route.by-rule" ["{rule}", "{rule}"];
    Exchangers { hosts: String } = "route.by-exchangers" ["MX {hosts}", "MX {hosts}"];
    AddressOf { domain: String } = "route.by-address"
        ["address of {domain}, which has no MX",
         "dirección de {domain}, que no tiene MX"];
    LiteralOf { literal: String } = "route.by-literal"
        ["the recipient's address literal {literal}",
         "la dirección literal {literal} del destinatario"];

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
         "se perdió la conexión con {host} {stage}"];
    TimedOut { host: String, stage: Stage } = "delivery.timed-out"
        ["conversation with {host} timed out while {stage}",
         "{host} no respondió a tiempo {stage}"];
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
         "el mensaje ocupa {size} octetos, más de los {limit} que admite {host}"];
    NeedsSmtputf8 { host: String } = "delivery.needs-smtputf8"
        ["SMTPUTF8 is required, but was not offered by host {host}",
         "hace falta SMTPUTF8 y {host} no lo ofrece"];
    PasswordUnread { file: String, error: SystemError } = "delivery.password-unread"
        ["cannot read the password file {file}: {error}",
         "no se puede leer el fichero de la contraseña {file}: {error}"];
    NoLogin { host: String, user: String, why: AuthUnavailable } = "delivery.no-login"
        ["cannot authenticate to {host} as {user}: {why}",
         "no es posible identificarse ante {host} como {user}: {why}"];

    // TLS.
    NoTls { host: String } = "tls.not-offered"
        ["TLS is required, but was not offered by host {host}",
         "se exige TLS y {host} no lo ofrece"];
    TlsFailed { host: String, why: Box<Cause> } = "tls.failed"
        ["Cannot start TLS with {host}: {why}",
         "no se puede iniciar TLS con {host}: {why}"];
    ForgeableName { why: Box<Cause>, relay: String, host: String } = "tls.forgeable-name"
        ["{why}; only MX records, which can be forged, name this host for {relay}: no password is sent to it unless its certificate is for {relay}, or it is configured in brackets: [{host}]",
         "{why}; solo los registros MX, que pueden falsificarse, nombran esta máquina para {relay}: no se le envía la contraseña salvo que su certificado sea para {relay} o esté configurada entre corchetes: [{host}]"];
    UnverifiableName {} = "tls.unverifiable-name"
        ["the host's name cannot be verified",
         "el nombre de la máquina no se puede verificar"];
    HandshakeTimedOut {} = "tls.handshake-timed-out"
        ["the handshake timed out",
         "la negociación de TLS no terminó a tiempo"];

    // The message and the queue.
    MessageUnread { error: SystemError } = "queue.message-unread"
        ["cannot read the queued message: {error}",
         "no se puede leer el mensaje de la cola: {error}"];
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
    Expired { last: Box<Cause> } = "queue.expired"
        ["delivery time expired; last try: {last}",
         "se agotó el plazo; último intento: {last}"];
    Untold { of: Box<Cause> } = "queue.untold"
        ["the sender cannot be told yet of: {of}",
         "aún no se ha podido avisar al remitente de esto: {of}"];
}
