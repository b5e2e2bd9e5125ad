//! What `sendmail --help` prints.

use crate::lang::Text;

pub(super) const HELP: Text = Text::new(
    "\
usage: sendmail [option ...] [recipient ...]

Reads a message from standard input and hands it to the mail server, or leaves it for
one that does not run. Exit code 0 means that it is on disk; with any other, nothing
was sent.

  -t            recipients are those of To, Cc and Bcc too; Bcc is removed
  -i, -oi       a line with a lone dot does not end the message
  -f ADDRESS    the envelope's sender (also -r); '' for none
  -F NAME       your name, for a From field that is missing
  -N WHEN       notifications: never, or a list of success, failure, delay
  -R full|hdrs  what a notification returns
  -V ID         the envelope's id, named by notifications
  -XV           names each recipient in the envelope's sender (VERP); -XV+= with
                these delimiters
  -B TYPE       7BIT or 8BITMIME
  -bs           speak SMTP on standard input and output
  -bp           list the queue (mailq)
  -bi, -I       check the aliases (newaliases)
  -q            try all waiting mail now; -qIID one message, -qRDOMAIN one domain
  -v            show the dialogue with the server on standard error
  -C FILE       another configuration file (also --config FILE)
  --            what follows are recipients

Accepted and ignored: -A -G -h -L -m -n -O -o -p -U -c -e -x
",
    "\
uso: sendmail [opción ...] [destinatario ...]

Lee un mensaje de la entrada estándar y lo entrega al servidor de correo, o lo deja para
uno que no está en marcha. El código de salida 0 significa que está en disco; con
cualquier otro no se ha enviado nada.

  -t            los destinatarios son también los de To, Cc y Bcc; Bcc se elimina
  -i, -oi       una línea con un solo punto no termina el mensaje
  -f DIRECCIÓN  el remitente del sobre (también -r); '' para ninguno
  -F NOMBRE     su nombre, para un campo From que falte
  -N CUÁNDO     notificaciones: never, o una lista de success, failure, delay
  -R full|hdrs  qué devuelve una notificación
  -V ID         el identificador del sobre, que citan las notificaciones
  -XV           nombra a cada destinatario en el remitente del sobre (VERP); -XV+=
                con esos delimitadores
  -B TIPO       7BIT u 8BITMIME
  -bs           habla SMTP por la entrada y la salida estándar
  -bp           enumera la cola (mailq)
  -bi, -I       comprueba los alias (newaliases)
  -q            intenta ahora todo el correo en espera; -qIID, un mensaje; -qRDOMINIO,
                un dominio
  -v            muestra el diálogo con el servidor por la salida de errores
  -C FICHERO    otro fichero de configuración (también --config FICHERO)
  --            lo que sigue son destinatarios

Se aceptan y no hacen nada: -A -G -h -L -m -n -O -o -p -U -c -e -x
",
);
