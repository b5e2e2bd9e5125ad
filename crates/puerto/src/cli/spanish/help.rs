//! The sentences of the help, each as it is declared and in Spanish.

use crate::lang::Text;

macro_rules! pairs {
    ($($en:literal, $es:literal;)*) => { &[$(Text::new($en, $es)),*] };
}

/// Every sentence of the help, without the full stop that clap takes from its end.
#[rustfmt::skip]
pub(super) const HELP: &[Text] = pairs! {
    // Of clap itself.
    "Print help", "Muestra esta ayuda";
    "Print help (see more with '--help')", "Muestra esta ayuda; más, con «--help»";
    "Print help (see a summary with '-h')", "Muestra esta ayuda; resumida, con «-h»";
    "Print version", "Muestra la versión";
    "Print this message or the help of the given subcommand(s)",
        "Muestra esta ayuda o la de una orden";

    // Of all commands.
    "A mail server for sending, whose mail arrives",
        "Un servidor de correo saliente cuyo correo llega";
    "The configuration to use instead of /etc/puerto/puerto.toml",
        "La configuración que se usa en lugar de /etc/puerto/puerto.toml";
    "The language to speak: en or es; otherwise the environment's (LANG)",
        "El idioma: en o es; si no se indica, el del entorno (LANG)";
    "One JSON document instead of text", "Un documento JSON en vez de texto";
    "The domain that mail is sent from; all of `domains` if none is given",
        "El dominio desde el que se envía; si no se indica, todos los de `domains`";
    "The domain that mail is sent from; the first of `domains` if none is given",
        "El dominio desde el que se envía; si no se indica, el primero de `domains`";

    "Run the daemon in the foreground; SIGTERM stops it gracefully, SIGHUP reloads",
        "Ejecuta el servidor en primer plano; SIGTERM lo detiene ordenadamente, SIGHUP lo recarga";

    "Make this machine a server that can send: configuration, keys, service files",
        "Prepara esta máquina para enviar correo: configuración, claves y ficheros del servicio";
    "The domain to send mail for, such as example.com",
        "El dominio desde el que se enviará, como example.com";
    "The full name of this server; otherwise what the machine or another mail program says, or mail.DOMAIN",
        "El nombre completo de este servidor; si no se indica, el que diga la máquina u otro programa de correo, o mail.DOMINIO";
    "What completes senders, as in root@DOMAIN, where mailboxes are elsewhere; \"\" is the first of `domains`",
        "Lo que completa los remitentes, como en root@DOMINIO, si los buzones están en otra parte; \"\" es el primero de `domains`";
    "The one address to send all mail from, for a relay that takes no other; \"\" for none",
        "La única dirección desde la que sale todo el correo, para un relay que no admite otra; \"\": ninguna";
    "Where all mail goes, in Postfix's syntax: [smtp.example.net]:587; \"\" delivers to the recipients' MX",
        "Adónde va todo el correo, en la sintaxis de Postfix: [smtp.example.net]:587; con \"\" se entrega en el MX de cada destinatario";
    "The user name at the relayhost; its password is asked for, or in the file",
        "El nombre de usuario en el relayhost; la contraseña se pregunta o está en el fichero";
    "A file whose first line is that user's password; it is copied",
        "Un fichero cuya primera línea es la contraseña de ese usuario; se copia";
    "Do what is proposed without asking, also start the service; no file that exists is replaced and no other mail server is stopped",
        "Hace lo propuesto sin preguntar, también iniciar el servicio; no sustituye ningún fichero que ya exista ni detiene otro servidor de correo";
    "Who reads root's mail, such as cron's: an address, or users of this machine; \"\" is nobody but root",
        "Quién lee el correo de root, como el de cron: una dirección o usuarios de esta máquina; \"\" es solo root";
    "Undo what a setup did: the service, the names, its files. Configuration, keys and queue stay",
        "Deshace lo que hizo una preparación: el servicio, los nombres y sus ficheros. Se quedan la configuración, las claves y la cola";
    "Read and write below this folder, as if it were the machine",
        "Lee y escribe dentro de esta carpeta, como si fuera la máquina";
    "Exit code: 0 done, 1 something keeps mail from being sent, 2 wrong usage, 73 or 77 a file cannot be written, 75 broken off, 78 the configuration is wrong.",
        "Código de salida: 0, hecho; 1, algo impide enviar correo; 2, uso incorrecto; 73 o 77, no se puede escribir un fichero; 75, interrumpido; 78, la configuración está mal.";
    "One JSON document instead of text, and no questions",
        "Un documento JSON en vez de texto, y sin preguntas";

    "Check, live, everything that receivers demand of this server and a domain",
        "Comprueba en vivo todo lo que los receptores exigen a este servidor y a un dominio";
    "Only these checks: a group such as spf, or an id such as spf.exists; repeatable",
        "Solo estas comprobaciones: un grupo como spf o un identificador como spf.exists; puede repetirse";
    "Judge this address instead of this machine's own; repeatable",
        "Examina esta dirección en lugar de las de esta máquina; puede repetirse";
    "For a timer: say nothing until two runs in a row saw the same change",
        "Para un temporizador: calla hasta que dos pasadas seguidas hayan visto el mismo cambio";
    "Where --watch remembers the last run; below the state directory if none is given",
        "Dónde recuerda --watch la última pasada; si no se indica, en la carpeta de estado";
    "Also what is right, and what was skipped", "También lo que está bien y lo que se ha omitido";
    "Print the document that explains every check",
        "Escribe el documento que explica cada comprobación";

    "Check, show or explain the configuration", "Comprueba, muestra o explica la configuración";
    "Say whether it is right, and otherwise everything that is wrong with it",
        "Dice si está bien y, si no, todo lo que está mal";
    "Show every key as it holds, defaults included; passwords are never shown",
        "Muestra el valor vigente de cada clave, también los valores por defecto; nunca las contraseñas";
    "One JSON document instead of TOML", "Un documento JSON en vez de TOML";
    "Print a file that explains every key", "Escribe un fichero que explica cada clave";

    "Make and list the keys that mail is signed with",
        "Crea y enumera las claves con que se firma el correo";
    "Make a key and print the record to publish",
        "Crea una clave y muestra el registro que hay que publicar";
    "The domain to sign for; the first of `domains` if none is given",
        "El dominio para el que se firma; si no se indica, el primero de `domains`";
    "The name of the key below _domainkey; made of algorithm, year and month if none is given",
        "El nombre de la clave bajo _domainkey; si no se indica, se forma con el algoritmo, el año y el mes";
    "The kind of key; all receivers verify RSA",
        "El tipo de clave; RSA la verifican todos los receptores";
    "RSA with SHA-256", "RSA con SHA-256";
    "Ed25519 (RFC 8463), which some receivers do not verify yet",
        "Ed25519 (RFC 8463), que algunos receptores aún no verifican";
    "One of each", "Una de cada tipo";
    "The size of an RSA key", "El tamaño de una clave RSA, en bits";
    "Show all keys with their records", "Muestra todas las claves con sus registros";

    "Work out the DNS records to publish, merged with those that exist",
        "Calcula los registros DNS que hay que publicar, combinados con los que ya existen";
    "How to show the records", "Cómo se muestran los registros";
    "For the form of a provider's panel", "Para el formulario del panel de un proveedor";
    "A zone file that a name server loads", "Un fichero de zona que un servidor DNS puede cargar";
    "One JSON document", "Un documento JSON";
    "An address that mail leaves from, instead of those found out; repeatable",
        "Una dirección desde la que sale correo, en lugar de las averiguadas; puede repetirse";
    "Publish at this server by dynamic update (RFC 2136), after asking",
        "Publica en este servidor por actualización dinámica (RFC 2136), tras preguntar";
    "The key to sign updates with, in the form that tsig-keygen writes",
        "La clave con que se firman las actualizaciones, tal como la escribe tsig-keygen";
    "Publish without asking", "Publica sin preguntar";
    "One JSON document, as --format json", "Un documento JSON, como --format json";

    "Say what a refusal means, whose problem it is and what to do",
        "Dice qué significa un rechazo, de quién es el problema y qué hacer";
    "A reply, a log line of Postfix, Exim or this server, the id of a queued message, or a file with a notification; without one or for -, standard input is read",
        "Una respuesta, una línea del registro de Postfix, de Exim o de este servidor, el identificador de un mensaje de la cola o un fichero con una notificación; si falta o es -, se lee la entrada estándar";
    "The host that answered, if the text does not name it",
        "La máquina que respondió, si el texto no la nombra";
    "Also run the check that covers it, now, for this server; always on a terminal",
        "Hace además, ahora y para este servidor, la comprobación correspondiente; en un terminal, siempre";
    "Print the document that explains every class of refusal",
        "Escribe el documento que explica cada clase de rechazo";
    "Exit code: 0 explained, 1 there is no refusal in the text, 2 wrong usage.",
        "Código de salida: 0, explicado; 1, en el texto no hay ningún rechazo; 2, uso incorrecto.";

    "What the process is", "Qué es el proceso";
    "Starts the agent, again and again", "Arranca el agente, una y otra vez";
    "Starts mailbox processes", "Arranca procesos de buzón";
    "Delivers one message", "Entrega un mensaje";
    "Write mailboxes for the daemon, which starts this itself",
        "Escribe los buzones por encargo del servidor, que inicia esta orden por sí mismo";

    "Read the certificate again for the daemon, which starts this itself",
        "Vuelve a leer el certificado por encargo del servidor, que inicia esta orden por sí mismo";
    "The certificate", "El certificado";
    "Its key", "Su clave";

    "Show the whole system in a simulated Internet on this machine",
        "Muestra el sistema entero en un Internet simulado en esta máquina";
    "Send the letters, print the table and end: with 0 if all ended as it should, with 1 otherwise",
        "Envía las cartas, muestra la tabla y termina: con 0 si todo acabó como debía; si no, con 1";
    "Print JSON lines", "Escribe líneas JSON";
    "Show a world in which one thing is wrong, and end: with 0 if exactly what is expected came; `list` names them all",
        "Muestra un mundo en el que algo está mal y termina: con 0 si ocurrió justo lo esperado; `list` los enumera todos";

    "Show and change the mail that waits", "Muestra y cambia el correo en espera";
    "List waiting messages, the oldest first",
        "Enumera los mensajes en espera, primero los más antiguos";
    "Show everything about one message", "Muestra todo sobre un mensaje";
    "Try messages now", "Intenta entregar mensajes ahora";
    "Keep messages from being tried until they are released",
        "Retiene mensajes: no se intenta entregarlos hasta que se liberan";
    "Release messages from hold", "Libera mensajes retenidos";
    "Remove messages for good, without notice to their senders",
        "Elimina mensajes definitivamente, sin avisar a sus remitentes";
    "With a waiting recipient like this", "Con un destinatario en espera como este";
    "With a sender like this; '<>' for notifications",
        "Con un remitente como este; '<>' para las notificaciones";
    "With a waiting recipient in this domain, or last tried at this host",
        "Con un destinatario en espera de este dominio, o cuyo último intento fue en esta máquina";
    "That wait for a reason like this", "Que esperan por un motivo como este";
    "Print one JSON object for each message", "Escribe un objeto JSON por mensaje";
    "The message's id, as `puerto queue list` and the log show it",
        "El identificador del mensaje, como lo muestran `puerto queue list` y el registro";
    "Print a JSON object", "Escribe un objeto JSON";
    "Ids of messages, as `puerto queue list` and the log show them",
        "Identificadores de mensajes, como los muestran `puerto queue list` y el registro";
    "All messages that wait", "Todos los mensajes en espera";
    "Do not ask before changing several messages", "No pregunta antes de cambiar varios mensajes";

    "Judge a raw message as a receiver does",
        "Examina un mensaje en bruto como lo haría un receptor";
    "The message as a file; standard input without it or with `-`",
        "El fichero del mensaje; si falta o es `-`, la entrada estándar";
    "The address that the message came from; without it SPF is not checked",
        "La dirección desde la que llegó el mensaje; sin ella no se comprueba SPF";
    "What the client called itself in EHLO", "El nombre que dio el cliente en EHLO";
    "The envelope's sender, '' for the null reverse-path; without it, what the field Return-Path says",
        "El remitente del sobre, '' si es el nulo; si falta, lo que diga el campo Return-Path";
    "Hold it to the rules for bulk mail, whatever it says of itself",
        "Le aplica las reglas del correo masivo, diga lo que diga de sí mismo";

    "Test a relayhost before mail depends on it",
        "Prueba un relayhost antes de que el correo dependa de él";
    "Say what it means, where it leads, what it offers, and whether it takes our mail",
        "Dice qué significa, adónde lleva, qué ofrece y si acepta nuestro correo";
    "In Postfix's syntax, as in the configuration; without it, the configured one",
        "En la sintaxis de Postfix, como en la configuración; si falta, el configurado";
    "The sender to try, instead of root's as others see it",
        "El remitente que se prueba, en lugar del de root tal como se ve fuera";
    "The recipient to try, instead of the sender's own address; nothing is sent",
        "El destinatario que se prueba, en lugar de la propia dirección del remitente; no se envía nada";
    "Really send a short message to this address",
        "Envía de verdad un mensaje corto a esta dirección";

    "Send a message: the options of sendmail; also as `sendmail`",
        "Envía un mensaje, con las opciones de sendmail; también como `sendmail`";
    "Options and recipients; see `puerto sendmail --help`",
        "Opciones y destinatarios; véase `puerto sendmail --help`";
    "List the queue as Postfix does; also as `mailq`",
        "Enumera la cola como lo hace Postfix; también como `mailq`";
    "Check the aliases file; also as `newaliases`",
        "Comprueba el fichero de alias; también como `newaliases`";

    "Print completions for a shell", "Escribe el autocompletado para un intérprete de órdenes";
    "The shell", "El intérprete de órdenes";
    "Write the manual pages into a folder", "Escribe las páginas del manual en una carpeta";
    "The folder", "La carpeta";
};

/// The placeholders that stand for values.
pub(super) const VALUES: &[Text] = pairs! {
    "FILE", "FICHERO";
    "ROLE", "PAPEL";
    "LANGUAGE", "IDIOMA";
    "DOMAIN", "DOMINIO";
    "NAME", "NOMBRE";
    "HOP", "SALTO";
    "USER", "USUARIO";
    "CERTIFICATE", "CERTIFICADO";
    "KEY", "CLAVE";
    "DIR", "CARPETA";
    "GROUP", "GRUPO";
    "ADDRESS", "DIRECCIÓN";
    "ADDR", "DIRECCIÓN";
    "SELECTOR", "SELECTOR";
    "KIND", "TIPO";
    "BITS", "BITS";
    "FORMAT", "FORMATO";
    "SERVER", "SERVIDOR";
    "TEXT", "TEXTO";
    "ID", "ID";
    "IDS", "ID";
    "IP", "IP";
    "RELAYHOST", "RELAYHOST";
    "ARGUMENT", "ARGUMENTO";
    "SHELL", "INTÉRPRETE";
    "FOLDER", "CARPETA";
    "COMMAND", "ORDEN";
};
