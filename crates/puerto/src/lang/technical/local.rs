//! What `local` says of a mailbox that mail could not be written into, in Spanish.

use super::text;
use crate::lang::Text;

pub(super) static SENTENCES: &[Text] = &[
    text("this program has no LMTP client", "este programa no tiene cliente LMTP"),
    text("the configuration has just changed", "la configuración acaba de cambiar"),
    text("the LMTP server {} is not found: {}", "no se encuentra el servidor LMTP {=}: {}"),
    text("the LMTP server said nothing", "el servidor LMTP no ha dicho nada"),
    text(
        "mail forwarding loop: it was delivered to {} before",
        "bucle de reenvío: ya se entregó antes a {=}",
    ),
    text("cannot look up users: {}", "no se puede consultar a los usuarios: {}"),
    text("there is no user `{}`", "no existe el usuario `{=}`"),
    text("the user `{}`: {}", "el usuario `{=}`: {}"),
    text(
        "puerto was started as user {} and may not write the mailbox of {}: start it as root, it then drops to `user`",
        "puerto se inició como el usuario {=} y no puede escribir en el buzón de {=}: inícielo como root, y pasará después a `user`",
    ),
    text("internal error, it is tried again", "error interno, se volverá a intentar"),
    text(
        "in the aliases file: this name leads in a circle",
        "en el fichero de alias: este nombre lleva en círculo",
    ),
    text("in the aliases file: {}", "en el fichero de alias: {}"),
    text(
        "aliases lead on and on: more than {} deep or {}",
        "los alias llevan de uno a otro sin fin: más de {=} niveles o {=}",
    ),
    text("the list {} cannot be read: {}", "no se puede leer la lista {=}: {}"),
    text("it is not a regular file", "no es un fichero normal"),
    text("thrown away, as the alias `{}` says", "descartado, como dice el alias `{=}`"),
    text(
        "thrown away, as the user's .forward says",
        "descartado, como dice el .forward del usuario",
    ),
    text(
        "delivered with the message's other recipients",
        "entregado junto con los demás destinatarios del mensaje",
    ),
    text("{}; its other targets have it", "{}; sus otros destinos lo tienen"),
    text("another program keeps the mailbox locked", "otro programa tiene bloqueado el buzón"),
    text(
        "the mailbox is full: mailbox_size is {} octets",
        "el buzón está lleno: mailbox_size son {=} octetos",
    ),
    text(
        "the mailbox of {} does not answer: is its disk there?",
        "el buzón de {=} no responde: ¿está su disco?",
    ),
    text("the mailbox process of {} has ended: {}", "el proceso del buzón de {=} ha terminado: {}"),
    text("the mailbox agent is busy", "el agente de los buzones está ocupado"),
    text("cannot become {}: {}", "no se puede pasar a ser {=}: {}"),
    text("root's rights could be taken back", "se podrían recuperar los privilegios de root"),
    text("take the message", "recoger el mensaje"),
    text("read .forward", "leer .forward"),
    text("start a mailbox process", "iniciar un proceso de buzón"),
    text("the queued message cannot be read", "no se puede leer el mensaje de la cola"),
    text("the home directory {} is missing", "falta la carpeta personal {=}"),
    text("{} is replaced again and again", "{=} se reemplaza una y otra vez"),
    text("{} is a symbolic link", "{=} es un enlace simbólico"),
    text("{} is not a regular file", "{=} no es un fichero normal"),
    text(
        "{} has several names: remove the other links",
        "{=} tiene varios nombres: elimine los demás enlaces",
    ),
    text("{} does not belong to {}: `chown {}` it", "{=} no pertenece a {=}: use `chown {=}`"),
    text("lock the mailbox", "bloquear el buzón"),
    text("read the mailbox", "leer el buzón"),
    text("read the queued message", "leer el mensaje de la cola"),
    text("start the mailbox agent", "iniciar el agente de los buzones"),
    text(
        "the mailbox agent has ended: restart puerto to start it again",
        "el agente de los buzones ha terminado: reinicie puerto para volver a iniciarlo",
    ),
    text("cannot forward it: {}", "no se puede reenviar: {}"),
    text("cannot store the copy to forward: {}", "no se puede guardar la copia que reenviar: {}"),
    text("cannot {}: {}", "no se puede {}: {}"),
    // The spool, when it does not open.
    text(
        "the queue was kept in {}, and there is nothing in it: if it is on a disk of its own, mount that first; to begin an empty queue, remove {}/identity and {}/checkpoint",
        "la cola estaba en {=}, y ahí no hay nada: si está en un disco propio, móntelo primero; para empezar con una cola vacía, elimine {=}/identity y {=}/checkpoint",
    ),
    text(
        "no file in {} can be read: nothing was changed; let the user that the server runs as read it, or mend its disk, and start again",
        "no se puede leer ningún fichero de {=}: no se ha cambiado nada; permita que lo lea el usuario del servidor, o repare el disco, y vuelva a iniciar",
    ),
    text(
        "{} is in use by another process: stop that one first",
        "otro proceso está usando {=}: deténgalo primero",
    ),
    text("{} cannot be used: {}", "no se puede usar {=}: {}"),
    text("{} cannot be read: {}", "no se puede leer {=}: {}"),
];
