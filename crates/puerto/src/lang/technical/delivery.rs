//! What `route`, `deliver` and the SMTP client say of a failure, in Spanish. In the log
//! it stands in English, where programs look for it.

use super::text;
use crate::lang::Text;

pub(super) static SENTENCES: &[Text] = &[
    // Routing.
    text(
        "the domain {} does not exist; is it spelled correctly?",
        "el dominio {=} no existe; ¿está bien escrito?",
    ),
    text(
        "the domain {} has neither MX nor address records",
        "el dominio {=} no tiene registros MX ni de dirección",
    ),
    text("the MX host {} has no address", "el MX {=} no tiene dirección"),
    text(
        "{} takes no mail: it publishes a null MX (RFC 7505)",
        "{=} no admite correo: publica un MX nulo (RFC 7505)",
    ),
    text("{} takes no mail: its MX is {}", "{=} no admite correo: su MX es {=}"),
    text(
        "the MX record names the address {}, where a host's name belongs",
        "el registro MX nombra la dirección {=}, donde debe ir el nombre de una máquina",
    ),
    text("{} has the {} address {}, {}", "{=} tiene la dirección {} {=}, {}"),
    text("the address literal {} is {}, {}", "la dirección literal {=} es {}, {}"),
    text("a {} address", "una dirección {}"),
    text("an {} address", "una dirección {}"),
    text(
        "where mail is not delivered unless [delivery] allow_private = true",
        "a la que no se entrega salvo con [delivery] allow_private = true",
    ),
    text("where no mail is delivered", "a la que no se entrega correo"),
    text(
        "{}; only MX records, which can be forged, name this host for {}: no password is sent to it unless its certificate is for {}, or it is configured in brackets: [{}]",
        "{}; solo los registros MX, que pueden falsificarse, nombran esta máquina para {=}: no se le envía la contraseña salvo que su certificado sea para {=} o esté configurada entre corchetes: [{=}]",
    ),
    text(
        "{}; going on in plain text, since tls is opportunistic",
        "{}; se sigue sin cifrar, porque tls es opportunistic",
    ),
    text(
        "mail for {} loops back to this server, which has no mailboxes at that address",
        "el correo para {=} vuelve a este servidor, que no tiene buzones en esa dirección",
    ),
    text("benchmarking", "de pruebas de red"),
    text("translated", "traducida"),
    text("loopback", "de bucle local"),
    text("private", "privada"),
    text("unspecified", "indeterminada"),
    text("link-local", "de enlace local"),
    text("multicast", "de multidifusión"),
    text("reserved", "reservada"),
    text("no mail exchanger is left to try", "no queda ningún MX que probar"),
    text(
        "mail for {} loops back to this server: its best mail exchanger {} is this host; if the domain is ours, add it to `domains`",
        "el correo para {=} vuelve a este servidor: su mejor MX, {=}, es esta máquina; si el dominio es nuestro, añádalo a `domains`",
    ),
    text(
        "{} is not a valid internationalized domain",
        "{=} no es un dominio internacionalizado válido",
    ),
    text("the domain is local", "el dominio es local"),
    text("the mail would stay on this machine", "el correo se quedaría en esta máquina"),
    text(
        "the configuration changed while the route was looked up",
        "la configuración ha cambiado mientras se buscaba la ruta",
    ),
    text("MX of {}: {}", "MX de {=}: {}"),
    text("MX of {}", "MX de {=}"),
    text("the recipient's address literal {}", "la dirección literal {=} del destinatario"),
    text("address of {}, which has no MX", "dirección de {=}, que no tiene MX"),
    text("address of {}: {}", "dirección de {=}: {}"),
    // Delivery.
    text("connect to {}: {}", "conexión con {=}: {}"),
    text("host {} refused to talk to me: {}", "{=} no quiere hablar con este servidor: {=}"),
    text(
        "SASL authentication failed; server {} said: {}",
        "ha fallado la identificación (AUTH); {=} respondió: {=}",
    ),
    text("host {} said: {} (in reply to {})", "{=} respondió: {=} (a {})"),
    text("lost connection with {} while {}", "se perdió la conexión con {=} {}"),
    text("conversation with {} timed out while {}", "{=} no respondió a tiempo {}"),
    text("gave up on {} while {}", "se dejó a {=} {}"),
    text("bad reply from {} while {}: {}", "{=} dio una mala respuesta {}: {}"),
    text("unexpected reply from {} while {}", "{=} dio una respuesta inesperada {}"),
    text(
        "host {} sent plain text behind its reply to STARTTLS: somebody may be interfering with the connection",
        "{=} envió texto sin cifrar tras su respuesta a STARTTLS: alguien podría estar interfiriendo en la conexión",
    ),
    text(
        "message size {} exceeds size limit {} of server {}",
        "el mensaje ocupa {=} octetos, más de los {=} que admite {=}",
    ),
    text(
        "SMTPUTF8 is required, but was not offered by host {}",
        "hace falta SMTPUTF8 y {=} no lo ofrece",
    ),
    text("TLS is required, but was not offered by host {}", "se exige TLS y {=} no lo ofrece"),
    text("Cannot start TLS with {}: {}", "no se puede iniciar TLS con {=}: {}"),
    text("the host's name cannot be verified", "el nombre de la máquina no se puede verificar"),
    text("the handshake timed out", "la negociación de TLS no terminó a tiempo"),
    text(
        "cannot read the password file {}: {}",
        "no se puede leer el fichero de la contraseña {=}: {}",
    ),
    text(
        "cannot authenticate to {} as {}: {}",
        "no es posible identificarse ante {=} como {=}: {}",
    ),
    text(
        "too many connections wait for other hosts",
        "hay demasiadas conexiones a la espera de otras máquinas",
    ),
    text(
        "too many connections wait for hosts of {}",
        "hay demasiadas conexiones a la espera de máquinas de {=}",
    ),
    text("too many connections wait for {}", "hay demasiadas conexiones a la espera de {=}"),
    text("no host was tried", "no se ha probado con ninguna máquina"),
    text("delivery time expired; last try: {}", "se agotó el plazo; último intento: {}"),
    text(
        "the sender cannot be told yet of: {}",
        "aún no se ha podido avisar al remitente de esto: {}",
    ),
    text("it could not be reached", "no se pudo llegar a él"),
    text(
        "the delivery was broken off by an internal error",
        "un error interno interrumpió la entrega",
    ),
    text(
        "routing was broken off by an internal error",
        "un error interno interrumpió la búsqueda de la ruta",
    ),
    text("reading the message failed: {}", "ha fallado la lectura del mensaje: {}"),
    text("cannot read the queued message: {}", "no se puede leer el mensaje de la cola: {}"),
    text(
        "the queued message is damaged: it should have {} octets and has not",
        "el mensaje de la cola está dañado: debería tener {=} octetos y no los tiene",
    ),
    // The SMTP client, before the name of the host is known.
    text("{} (in reply to {})", "{=} (a {})"),
    text("lost connection while {}", "se perdió la conexión {}"),
    text("timed out while {}", "no respondió a tiempo {}"),
    text("abandoned while {}", "se interrumpió {}"),
    text(
        "the peer sent an unexpected reply while {}",
        "el otro extremo dio una respuesta inesperada {}",
    ),
    text(
        "the peer sent plain text behind its reply to STARTTLS",
        "el otro extremo envió texto sin cifrar tras su respuesta a STARTTLS",
    ),
    text(
        "the message is larger than the {} octets that the peer takes",
        "el mensaje ocupa más de los {=} octetos que admite el otro extremo",
    ),
    text("the peer does not offer SMTPUTF8", "el otro extremo no ofrece SMTPUTF8"),
    text(
        "no password is sent over a connection without TLS",
        "por una conexión sin TLS no se envía ninguna contraseña",
    ),
    text("the server offers no AUTH", "el servidor no ofrece AUTH"),
    text(
        "the server offers neither AUTH PLAIN nor LOGIN, but {}",
        "el servidor no ofrece AUTH PLAIN ni LOGIN, sino {=}",
    ),
    // What was under way, and what a reply answers.
    text("receiving the initial server greeting", "al esperar su saludo"),
    text("performing the {} handshake", "durante la negociación de {=}"),
    text("performing the TLS handshake", "durante la negociación de TLS"),
    text("performing SASL authentication", "durante la identificación (AUTH)"),
    text("waiting between two messages", "entre dos mensajes"),
    text(
        "sending end of data -- message may be sent more than once",
        "al terminar el mensaje, que podría enviarse más de una vez",
    ),
    text("sending message body", "al enviar el mensaje"),
    text("sending DATA command", "al enviar DATA"),
    text("sending {}", "al enviar {=}"),
    text("initial connection", "la conexión inicial"),
    text("end of DATA command", "el final de DATA"),
    text("{} command", "{=}"),
];
